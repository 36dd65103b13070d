//! Computes BLAKE3 on one thread.

/// # Safety
///
/// `data` must be valid for reads of `len` bytes, and `digest` for writes of 32 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn raw_blake3(data: *const u8, len: usize, digest: *mut u8) {
    // SAFETY: the caller guarantees that both pointers are valid for these lengths.
    unsafe {
        let found = blake3::hash(std::slice::from_raw_parts(data, len));
        digest.copy_from_nonoverlapping(found.as_bytes().as_ptr(), 32);
    }
}
