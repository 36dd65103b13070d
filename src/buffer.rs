//! Buffer: bytes that the caller owns.

use zeroize::Zeroize;

use super::boundary::{ffi, free, handle, infallible};
use artifact::alloc;
use artifact::error::Result;

/// Bytes that you own; free them with artifact_buffer_free(). A NUL, which the length does not count, follows the last
/// byte, so that a buffer that holds text is a C string. Many threads may read one buffer at once.
pub struct artifact_buffer_t {
    bytes: Vec<u8>,
    /// Whether the bytes are wiped when the buffer is freed.
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
    /// Takes bytes, whose allocation should have room for the NUL.
    pub(super) fn of(mut bytes: Vec<u8>) -> artifact_buffer_t {
        bytes.push(0);
        artifact_buffer_t { bytes, secret: false }
    }

    /// Copies bytes; if they are secret, the copy is wiped when it is freed.
    pub(super) fn copy(bytes: &[u8], secret: bool) -> Result<artifact_buffer_t> {
        let mut copy = alloc::with_capacity(bytes.len() + 1, "a buffer")?;
        copy.extend_from_slice(bytes);
        copy.push(0);
        Ok(artifact_buffer_t { bytes: copy, secret })
    }
}

/// Returns the first byte of a buffer. Borrowed: valid until the buffer is freed. NULL if buffer is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_buffer_data(buffer: *const artifact_buffer_t) -> *const u8 {
    ffi!(infallible(std::ptr::null(), || {
        handle(buffer, "buffer").map_or(std::ptr::null(), |buffer| buffer.bytes.as_ptr())
    }))
}

/// Returns the number of bytes in a buffer; 0 if buffer is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_buffer_len(buffer: *const artifact_buffer_t) -> usize {
    ffi!(infallible(0, || { handle(buffer, "buffer").map_or(0, |buffer| buffer.bytes.len() - 1) }))
}

/// Frees a buffer. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_buffer_free(buffer: *mut artifact_buffer_t) {
    ffi!(free(buffer))
}
