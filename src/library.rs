//! Library: version and status names.

use std::ffi::c_char;

use super::boundary::infallible;
use artifact::error::Status;

/// The outcome of a call. The numbers never change meaning and are never reused. New ones may be added, so a switch
/// needs a default.
///
/// What a cache should do:
///
/// - 10, not an artifact, or too short to tell (an artifact cut to less than 4 bytes, or right after its first module):
///   never overwrite it in a folder that you share with others; rebuild in a folder of your own.
/// - 11 to 13, damaged: rebuild.
/// - 20 to 23, valid but stale or foreign: rebuild.
/// - 30, not signed by a trusted key: do not run.
///
/// To replace a file, save over it. Do not delete it first: another process may just have replaced it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum artifact_status_t {
    /// Success.
    ARTIFACT_OK = 0,
    /// An argument is invalid; the message names it.
    ARTIFACT_INVALID_ARGUMENT = 1,
    /// The operating system refused a request; artifact_error_errno() returns the reason.
    ARTIFACT_IO = 2,
    /// Something exceeds a limit of the library or of the call's options.
    ARTIFACT_LIMIT = 3,
    /// Not enough memory.
    ARTIFACT_NO_MEMORY = 4,
    /// There is no such section, symbol, flag, attribute or index. A missing file is ARTIFACT_IO with ENOENT.
    ARTIFACT_NOT_FOUND = 5,
    /// The file is not an artifact.
    ARTIFACT_NOT_AN_ARTIFACT = 10,
    /// The file is shorter than its contents say.
    ARTIFACT_TRUNCATED = 11,
    /// The file violates the format or contradicts itself.
    ARTIFACT_CORRUPT = 12,
    /// The bytes do not match their digest.
    ARTIFACT_DIGEST_MISMATCH = 13,
    /// The artifact was compiled for another host, or with other settings.
    ARTIFACT_INCOMPATIBLE = 20,
    /// The artifact was written by another version.
    ARTIFACT_WRONG_VERSION = 21,
    /// The artifact was written by another producer.
    ARTIFACT_WRONG_PRODUCER = 22,
    /// The input needs something that this library cannot do.
    ARTIFACT_UNSUPPORTED = 23,
    /// No key that the engine trusts has signed the artifact: do not run it.
    ARTIFACT_UNTRUSTED = 30,
    /// Symbols are undefined; artifact_error_missing() returns their names.
    ARTIFACT_UNRESOLVED = 40,
    /// A defect of the library.
    ARTIFACT_INTERNAL = 90,
}

impl artifact_status_t {
    const fn of(status: Status) -> artifact_status_t {
        match status {
            Status::Ok => artifact_status_t::ARTIFACT_OK,
            Status::InvalidArgument => artifact_status_t::ARTIFACT_INVALID_ARGUMENT,
            Status::Io => artifact_status_t::ARTIFACT_IO,
            Status::Limit => artifact_status_t::ARTIFACT_LIMIT,
            Status::NoMemory => artifact_status_t::ARTIFACT_NO_MEMORY,
            Status::NotFound => artifact_status_t::ARTIFACT_NOT_FOUND,
            Status::NotAnArtifact => artifact_status_t::ARTIFACT_NOT_AN_ARTIFACT,
            Status::Truncated => artifact_status_t::ARTIFACT_TRUNCATED,
            Status::Corrupt => artifact_status_t::ARTIFACT_CORRUPT,
            Status::DigestMismatch => artifact_status_t::ARTIFACT_DIGEST_MISMATCH,
            Status::Incompatible => artifact_status_t::ARTIFACT_INCOMPATIBLE,
            Status::WrongVersion => artifact_status_t::ARTIFACT_WRONG_VERSION,
            Status::WrongProducer => artifact_status_t::ARTIFACT_WRONG_PRODUCER,
            Status::Unsupported => artifact_status_t::ARTIFACT_UNSUPPORTED,
            Status::Untrusted => artifact_status_t::ARTIFACT_UNTRUSTED,
            Status::Unresolved => artifact_status_t::ARTIFACT_UNRESOLVED,
            Status::Internal => artifact_status_t::ARTIFACT_INTERNAL,
            _ => panic!("a status that has no number in C"),
        }
    }
}

// Doesn't compile while a status of the core is missing above or has another number there.
const _: () = {
    let mut all = Status::ALL;
    while let [status, rest @ ..] = all {
        assert!(artifact_status_t::of(*status) as u32 == *status as u32);
        all = rest;
    }
};

impl From<Status> for artifact_status_t {
    fn from(status: Status) -> artifact_status_t {
        artifact_status_t::of(status)
    }
}

/// Borrowed bytes. The function that returns them says how long they are valid.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct artifact_slice_t {
    /// The first byte; NULL if and only if len is 0.
    pub data: *const u8,
    /// The number of bytes.
    pub len: usize,
}

impl artifact_slice_t {
    /// An empty slice.
    pub(super) const EMPTY: artifact_slice_t = artifact_slice_t { data: std::ptr::null(), len: 0 };

    pub(super) fn of(bytes: &[u8]) -> artifact_slice_t {
        match bytes {
            [] => artifact_slice_t::EMPTY,
            _ => artifact_slice_t { data: bytes.as_ptr(), len: bytes.len() },
        }
    }
}

/// Returns the version of the library that the program runs with, as ARTIFACT_VERSION_NUMBER encodes it:
/// major * 1000000 + minor * 1000 + patch.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_version() -> u32 {
    const fn number(digits: &str) -> u32 {
        let (bytes, mut value, mut at) = (digits.as_bytes(), 0, 0);
        while at < bytes.len() {
            value = value * 10 + (bytes[at] - b'0') as u32;
            at += 1;
        }
        value
    }
    const MAJOR: u32 = number(env!("CARGO_PKG_VERSION_MAJOR"));
    const MINOR: u32 = number(env!("CARGO_PKG_VERSION_MINOR"));
    const PATCH: u32 = number(env!("CARGO_PKG_VERSION_PATCH"));
    MAJOR * 1_000_000 + MINOR * 1000 + PATCH
}

/// Returns the version of the library that the program runs with as text, such as "0.1.0". The text is static: never
/// free it.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Returns the name of a status.
///
/// @param status An artifact_status_t.
/// @return Static text, never to be freed, such as "ARTIFACT_CORRUPT"; "unknown status" if no status has this number.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_status_name(status: u32) -> *const c_char {
    infallible(c"unknown status".as_ptr(), || {
        let name = match status {
            0 => c"ARTIFACT_OK",
            1 => c"ARTIFACT_INVALID_ARGUMENT",
            2 => c"ARTIFACT_IO",
            3 => c"ARTIFACT_LIMIT",
            4 => c"ARTIFACT_NO_MEMORY",
            5 => c"ARTIFACT_NOT_FOUND",
            10 => c"ARTIFACT_NOT_AN_ARTIFACT",
            11 => c"ARTIFACT_TRUNCATED",
            12 => c"ARTIFACT_CORRUPT",
            13 => c"ARTIFACT_DIGEST_MISMATCH",
            20 => c"ARTIFACT_INCOMPATIBLE",
            21 => c"ARTIFACT_WRONG_VERSION",
            22 => c"ARTIFACT_WRONG_PRODUCER",
            23 => c"ARTIFACT_UNSUPPORTED",
            30 => c"ARTIFACT_UNTRUSTED",
            40 => c"ARTIFACT_UNRESOLVED",
            90 => c"ARTIFACT_INTERNAL",
            _ => c"unknown status",
        };
        name.as_ptr()
    })
}
