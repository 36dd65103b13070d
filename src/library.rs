//! Library: version and status names.

use std::ffi::c_char;

use super::boundary::infallible;
use artifact::error::Status;

/// What a call came to. The numbers never change meaning and are never reused; new ones may come, so keep a default in
/// a switch. By the number alone: 10 is not ours, or too little to tell (an artifact cut to under 4 bytes, or right
/// behind its first module): leave it alone where others put files, replace it in a cache folder of your own. 11 to 13
/// is damaged. 20 to 23 is sound but stale or foreign: make it anew. 30 must not run. To replace a bad file save over
/// it; don't delete it first, since another process may just have replaced it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum artifact_status_t {
    /// All is well.
    ARTIFACT_OK = 0,
    /// An argument makes no sense; the message names it.
    ARTIFACT_INVALID_ARGUMENT = 1,
    /// The operating system refused; artifact_error_errno() says why.
    ARTIFACT_IO = 2,
    /// A limit of the library or of the call's options was exceeded.
    ARTIFACT_LIMIT = 3,
    /// Memory ran out.
    ARTIFACT_NO_MEMORY = 4,
    /// There is no such section, symbol, flag, attribute or index. A missing file is ARTIFACT_IO with ENOENT.
    ARTIFACT_NOT_FOUND = 5,
    /// The file is nothing of ours.
    ARTIFACT_NOT_AN_ARTIFACT = 10,
    /// The file ends inside something that promised more.
    ARTIFACT_TRUNCATED = 11,
    /// The file contradicts the format or itself.
    ARTIFACT_CORRUPT = 12,
    /// A digest doesn't match.
    ARTIFACT_DIGEST_MISMATCH = 13,
    /// Made for another host, or with other settings.
    ARTIFACT_INCOMPATIBLE = 20,
    /// Written by another version.
    ARTIFACT_WRONG_VERSION = 21,
    /// Written by another producer.
    ARTIFACT_WRONG_PRODUCER = 22,
    /// Asks for something that this library can't do.
    ARTIFACT_UNSUPPORTED = 23,
    /// Not signed by a key that the engine trusts: don't run it.
    ARTIFACT_UNTRUSTED = 30,
    /// Symbols that nobody defines; artifact_error_missing() has their names.
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

/// Bytes that somebody else owns; the function that gives them says who. data is NULL exactly where len is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct artifact_slice_t {
    /// The first byte.
    pub data: *const u8,
    /// How many bytes.
    pub len: usize,
}

impl artifact_slice_t {
    /// No bytes.
    pub(super) const EMPTY: artifact_slice_t = artifact_slice_t { data: std::ptr::null(), len: 0 };

    pub(super) fn of(bytes: &[u8]) -> artifact_slice_t {
        match bytes {
            [] => artifact_slice_t::EMPTY,
            _ => artifact_slice_t { data: bytes.as_ptr(), len: bytes.len() },
        }
    }
}

/// The library's version at run time, as ARTIFACT_VERSION_NUMBER was when the library was built:
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

/// The library's version at run time, as text such as "0.1.0". Static: never freed.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_version_string() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The name of a status, such as "ARTIFACT_CORRUPT"; "unknown status" for a number that is none. Static: never freed.
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
