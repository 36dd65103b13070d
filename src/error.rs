//! Error: why a call failed.

#[cfg(test)]
use std::ffi::CStr;
use std::ffi::{CString, c_char, c_int};

use super::boundary::{ffi, free, handle, infallible};
use super::library::artifact_status_t;
use super::text::c_string;
use artifact::error::{Error, Status};

/// Why a call failed. You own it; free it with artifact_error_free(). Its functions accept NULL, which means "no
/// error". Many threads may read one error at once.
pub struct artifact_error_t {
    error: Error,
    message: CString,
    missing: Vec<CString>,
}

impl artifact_error_t {
    /// Returns an error for C, and its status. If there is no memory for a name in its list of undefined symbols, the error is about
    /// that: a list that lacks names would be wrong.
    pub(super) fn boxed(error: Error) -> (Status, *mut artifact_error_t) {
        let error = artifact_error_t::new(error);
        (error.error.status(), Box::into_raw(Box::new(error)))
    }

    pub(super) fn new(mut error: Error) -> artifact_error_t {
        let mut missing = error.take_missing();
        for name in &mut missing {
            if name.to_str().is_err() {
                match c_string(name.to_bytes()) {
                    Ok(text) => *name = text,
                    Err(failure) => {
                        error = failure;
                        break;
                    }
                }
            }
        }
        if error.status() != Status::Unresolved {
            missing = Vec::new();
        }
        let message = c_string(error.message().as_bytes());
        let message = message.unwrap_or_else(|_| c"out of memory for the message".to_owned());
        artifact_error_t { error, message, missing }
    }

    /// The inverse of [`artifact_error_t::new`], for an error that a callback passes on.
    pub(super) fn into_error(self) -> Error {
        self.error.missing_names(self.missing)
    }

    #[cfg(test)]
    pub(super) fn message(&self) -> &CStr {
        &self.message
    }
}

/// Returns the status that the failed call returned; ARTIFACT_OK if error is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_status(error: *const artifact_error_t) -> artifact_status_t {
    ffi!(infallible(artifact_status_t::ARTIFACT_INTERNAL, || {
        handle(error, "error").map_or(artifact_status_t::ARTIFACT_OK, |error| error.error.status().into())
    }))
}

/// Returns one sentence that says what was expected, what was found, and where. It has no line breaks or other control
/// characters. Borrowed: valid until the error is freed. "" if error is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_message(error: *const artifact_error_t) -> *const c_char {
    ffi!(infallible(c"".as_ptr(), || { handle(error, "error").map_or(c"".as_ptr(), |error| error.message.as_ptr()) }))
}

/// Returns the offset, in bytes, of what is wrong. It counts from the start of the file or bytes that were opened, even
/// if the artifact starts later in them. UINT64_MAX if the error concerns no particular offset, or if error is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_offset(error: *const artifact_error_t) -> u64 {
    ffi!(infallible(u64::MAX, || {
        handle(error, "error").map_or(u64::MAX, |error| error.error.offset().unwrap_or(u64::MAX))
    }))
}

/// Returns the operating system's error number (errno); 0 if no system call failed, or if error is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_errno(error: *const artifact_error_t) -> c_int {
    ffi!(infallible(0, || { handle(error, "error").map_or(0, |error| error.error.errno()) }))
}

/// Returns the number of undefined symbols; 0 unless the status is ARTIFACT_UNRESOLVED, or if error is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_missing_count(error: *const artifact_error_t) -> usize {
    ffi!(infallible(0, || { handle(error, "error").map_or(0, |error| error.missing.len()) }))
}

/// Returns the name of an undefined symbol.
///
/// @param error The error, or NULL.
/// @param index An index below artifact_error_missing_count().
/// @return The name, borrowed: valid until the error is freed. NULL if index is out of range or error is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_missing(error: *const artifact_error_t, index: usize) -> *const c_char {
    ffi!(infallible(std::ptr::null(), || {
        let error = handle(error, "error").ok();
        error.and_then(|error| error.missing.get(index)).map_or(std::ptr::null(), |name| name.as_ptr())
    }))
}

/// Frees an error. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_error_free(error: *mut artifact_error_t) {
    ffi!(free(error))
}
