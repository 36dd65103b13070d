//! Detection: what a file is.

use std::ffi::{c_char, c_int};

use super::artifact::borrow_fd;
use super::boundary::{fallible, ffi, out, path, slice};
use super::cwasm::detected;
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use artifact::detect::{Detection, What, detect_region};
use artifact::error::Result;
use artifact::storage::{Part, Region};

/// What a file is.
#[repr(C)]
pub enum artifact_detected_t {
    /// Neither an artifact nor a file of Wasmtime.
    ARTIFACT_DETECTED_NOTHING = 0,
    /// An artifact.
    ARTIFACT_DETECTED_ARTIFACT = 1,
    /// A WebAssembly module that Wasmtime 3 or newer compiled, which is no artifact: see artifact_cwasm_open_file().
    ARTIFACT_DETECTED_WASMTIME_MODULE = 2,
    /// A WebAssembly component that Wasmtime 3 or newer compiled, which is no artifact either.
    ARTIFACT_DETECTED_WASMTIME_COMPONENT = 3,
}

/// What a file is, and who wrote it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_detection_t {
    /// An artifact_detected_t.
    pub kind: u32,
    /// The length of version in bytes, 0 to 255.
    pub version_len: u32,
    /// The producer, NUL-terminated: "wasmtime" for a file of Wasmtime.
    pub producer: [c_char; 36],
    /// The version that the producer wrote: any bytes, followed by NULs.
    pub version: [c_char; 256],
}

impl artifact_detection_t {
    const NOTHING: artifact_detection_t =
        artifact_detection_t { kind: 0, version_len: 0, producer: [0; 36], version: [0; 256] };

    fn of(detection: &Detection) -> artifact_detection_t {
        let kind = match detection.what {
            What::Wasmtime(kind) => detected(kind),
            _ => artifact_detected_t::ARTIFACT_DETECTED_ARTIFACT,
        };
        let mut found = artifact_detection_t { kind: kind as u32, ..artifact_detection_t::NOTHING };
        let copy = |from: &[u8], to: &mut [c_char]| {
            from.iter().zip(to).for_each(|(from, to)| *to = from.cast_signed() as c_char);
        };
        copy(detection.producer.as_bytes(), &mut found.producer);
        copy(&detection.version, &mut found.version);
        found.version_len = detection.version.len() as u32; // at most 255
        found
    }
}

/// Detects what is in `region`: what all functions here have in common.
unsafe fn detecting(
    detection: *mut artifact_detection_t,
    error: *mut *mut artifact_error_t,
    region: impl FnOnce() -> Result<Region>,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let detection = out(detection, "detection", artifact_detection_t::NOTHING)?;
        if let Some(found) = detect_region(&region()?)? {
            *detection = artifact_detection_t::of(&found);
        }
        Ok(())
    }))
}

/// Finds out whether a file is an artifact or one of Wasmtime 3 or newer, and who wrote it, with as few reads as
/// possible: it reads headers, and settings only of a file of Wasmtime.
///
/// @param path The file's path.
/// @param detection Receives what the file is.
/// @return ARTIFACT_OK whatever the file is, a general status, or one of these:
///   - ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT, ARTIFACT_DIGEST_MISMATCH, ARTIFACT_LIMIT, ARTIFACT_UNSUPPORTED: the file
///     is an artifact or one of Wasmtime, but its headers are damaged, or need a newer library.
///   - ARTIFACT_IO: the file cannot be read.
///   - ARTIFACT_INVALID_ARGUMENT: path is a directory, device, FIFO or socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_detect_file(
    path: *const c_char,
    detection: *mut artifact_detection_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(detecting(detection, error, || Region::open(self::path(path)?, Part::default())))
}

/// Finds out whether an open file is an artifact. Otherwise like artifact_detect_file().
///
/// @param fd A descriptor open for reading. Its position is neither used nor changed.
/// @param detection Receives what the file is.
/// @return As artifact_detect_file().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_detect_fd(
    fd: c_int,
    detection: *mut artifact_detection_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(detecting(detection, error, || Region::open_fd(borrow_fd(fd)?, Part::default())))
}

/// Finds out whether bytes in memory are an artifact. Otherwise like artifact_detect_file().
///
/// @param data The bytes, needed only during the call; may be NULL if len is 0.
/// @param len The number of bytes.
/// @param detection Receives what the bytes are.
/// @return As artifact_detect_file().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_detect_bytes(
    data: *const u8,
    len: usize,
    detection: *mut artifact_detection_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(detecting(detection, error, || {
        // The region is dropped before the call returns.
        let bytes: &'static [u8] = slice(data, len, "data")?;
        Region::borrowed(bytes, Part::default())
    }))
}
