//! Detection: what is it?

use std::ffi::{c_char, c_int};

use super::artifact::borrow_fd;
use super::boundary::{fallible, ffi, out, path, slice};
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use artifact::detect::{Detection, detect_region};
use artifact::error::Result;
use artifact::storage::{Part, Region};

/// What a file was found to be.
#[repr(C)]
pub enum artifact_detected_t {
    /// Nothing of ours.
    ARTIFACT_DETECTED_NOTHING = 0,
    /// An artifact.
    ARTIFACT_DETECTED_ARTIFACT = 1,
}

/// What a file is, and if an artifact, of whom.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_detection_t {
    /// An artifact_detected_t.
    pub kind: u32,
    /// Bytes in version, 0 to 255.
    pub version_len: u32,
    /// Who compiled it, NUL-terminated.
    pub producer: [c_char; 36],
    /// The version that the producer wrote: any bytes, then NUL to the end.
    pub version: [c_char; 256],
}

impl artifact_detection_t {
    const NOTHING: artifact_detection_t =
        artifact_detection_t { kind: 0, version_len: 0, producer: [0; 36], version: [0; 256] };

    fn of(detection: &Detection) -> artifact_detection_t {
        let mut found = artifact_detection_t { kind: 1, ..artifact_detection_t::NOTHING };
        let copy = |from: &[u8], to: &mut [c_char]| {
            from.iter().zip(to).for_each(|(from, to)| *to = from.cast_signed() as c_char);
        };
        copy(detection.producer.as_bytes(), &mut found.producer);
        copy(&detection.version, &mut found.version);
        found.version_len = detection.version.len() as u32; // at most 255
        found
    }
}

/// Detects in `body`; the shape of every function here.
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

/// Tells what the file at path is, with as few reads as possible: headers only, no settings. ARTIFACT_OK for an artifact, and
/// for what is nothing of ours; ARTIFACT_TRUNCATED or ARTIFACT_CORRUPT for a damaged artifact; ARTIFACT_IO;
/// ARTIFACT_INVALID_ARGUMENT for a directory, device, FIFO or socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_detect_file(
    path: *const c_char,
    detection: *mut artifact_detection_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(detecting(detection, error, || Region::open(self::path(path)?, Part::default())))
}

/// The same for an open file, whose position is neither used nor moved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_detect_fd(
    fd: c_int,
    detection: *mut artifact_detection_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(detecting(detection, error, || Region::open_fd(borrow_fd(fd)?, Part::default())))
}

/// The same for bytes in memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_detect_bytes(
    data: *const u8,
    len: usize,
    detection: *mut artifact_detection_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(detecting(detection, error, || {
        let bytes: &'static [u8] = slice(data, len, "data")?;
        Region::borrowed(bytes, Part::default())
    }))
}
