//! Buffer: bytes that the caller owns.

use zeroize::Zeroize;

use super::boundary::{handle, infallible};
use crate::error::Result;
use crate::memory;

/// Bytes that the caller owns and frees with artifact_buffer_free(). One NUL, which doesn't count, stands behind the last
/// byte, so that text in a buffer can be used as it is. May be read from many threads at once.
pub struct artifact_buffer_t {
    bytes: Vec<u8>,
    /// Whether it is wiped when it is freed.
    secret: bool,
}

impl Drop for artifact_buffer_t {
    fn drop(&mut self) {
        if self.secret {
            self.bytes.zeroize();
        }
    }
}

impl artifact_buffer_t {
    /// Takes bytes whose allocation has room for one more.
    pub(super) fn boxed(mut bytes: Vec<u8>) -> *mut artifact_buffer_t {
        bytes.push(0);
        Box::into_raw(Box::new(artifact_buffer_t { bytes, secret: false }))
    }

    /// A copy of bytes that are wiped when the buffer is freed.
    pub(super) fn boxed_secret(secret: &[u8]) -> Result<*mut artifact_buffer_t> {
        let mut bytes = memory::with_room(secret.len() + 1, "a buffer")?;
        bytes.extend_from_slice(secret);
        bytes.push(0);
        Ok(Box::into_raw(Box::new(artifact_buffer_t { bytes, secret: true })))
    }
}

/// The first byte, valid until the buffer is freed; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_buffer_data(buffer: *const artifact_buffer_t) -> *const u8 {
    infallible(std::ptr::null(), || {
        // SAFETY: the header's rule for pointers.
        unsafe { handle(buffer, "buffer") }.map_or(std::ptr::null(), |buffer| buffer.bytes.as_ptr())
    })
}

/// How many bytes; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_buffer_len(buffer: *const artifact_buffer_t) -> usize {
    infallible(0, || {
        // SAFETY: the header's rule for pointers.
        unsafe { handle(buffer, "buffer") }.map_or(0, |buffer| buffer.bytes.len() - 1)
    })
}

/// Frees a buffer. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_buffer_free(buffer: *mut artifact_buffer_t) {
    infallible((), || {
        if !buffer.is_null() {
            // SAFETY: the header's rule for pointers: one of ours, freed once.
            drop(unsafe { Box::from_raw(buffer) });
        }
    });
}
