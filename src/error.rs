//! Error: why a call failed.

#[cfg(test)]
use std::ffi::CStr;
use std::ffi::{CString, c_char, c_int};

use super::boundary::{ffi, free, handle, infallible};
use super::library::artifact_status_t;
use super::text::c_string;
use artifact::error::{Error, Status};

/// Why a call failed. Owned by the caller, who frees it with artifact_error_free(). Every function here takes NULL, which
/// stands for "no error". May be read from many threads at once.
pub struct artifact_error_t {
    status: Status,
    message: CString,
    offset: u64,
    errno: i32,
    missing: Vec<CString>,
}

impl artifact_error_t {
    pub(super) fn boxed(error: &Error) -> *mut artifact_error_t {
        Box::into_raw(Box::new(artifact_error_t {
            status: error.status(),
            message: c_string(error.message().as_bytes()).unwrap_or_default(),
            offset: error.offset().unwrap_or(u64::MAX),
            errno: error.errno(),
            missing: error.missing().iter().filter_map(|name| c_string(name.to_bytes()).ok()).collect(),
        }))
    }

    #[cfg(test)]
    pub(super) fn message(&self) -> &CStr {
        &self.message
    }
}

/// The status that the failed call returned; ARTIFACT_OK for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_status(error: *const artifact_error_t) -> artifact_status_t {
    ffi!(infallible(artifact_status_t::ARTIFACT_INTERNAL, || {
        handle(error, "error").map_or(artifact_status_t::ARTIFACT_OK, |error| error.status.into())
    }))
}

/// One sentence: what was expected, what was found, where. Without line breaks or other control characters. Valid until
/// the error is freed; "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_message(error: *const artifact_error_t) -> *const c_char {
    ffi!(infallible(c"".as_ptr(), || { handle(error, "error").map_or(c"".as_ptr(), |error| error.message.as_ptr()) }))
}

/// Where in the file or bytes, counted from their beginning (not from the artifact's, where that is inside a larger file);
/// UINT64_MAX if it is about no place in particular, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_offset(error: *const artifact_error_t) -> u64 {
    ffi!(infallible(u64::MAX, || { handle(error, "error").map_or(u64::MAX, |error| error.offset) }))
}

/// The operating system's error number; 0 if it had no part in it, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_errno(error: *const artifact_error_t) -> c_int {
    ffi!(infallible(0, || { handle(error, "error").map_or(0, |error| error.errno) }))
}

/// How many symbols nobody defines; 0 unless the status is ARTIFACT_UNRESOLVED, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_missing_count(error: *const artifact_error_t) -> usize {
    ffi!(infallible(0, || { handle(error, "error").map_or(0, |error| error.missing.len()) }))
}

/// The name of one of them, valid until the error is freed; NULL past the last one, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_missing(error: *const artifact_error_t, index: usize) -> *const c_char {
    ffi!(infallible(std::ptr::null(), || {
        let error = handle(error, "error").ok();
        error.and_then(|error| error.missing.get(index)).map_or(std::ptr::null(), |name| name.as_ptr())
    }))
}

/// Frees an error. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_free(error: *mut artifact_error_t) {
    ffi!(free(error))
}
