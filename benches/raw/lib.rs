//! BLAKE3 of bytes, on one thread.

/// # Safety
///
/// `data` has `len` bytes, `digest` room for 32.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn raw_blake3(data: *const u8, len: usize, digest: *mut u8) {
    // SAFETY: as said.
    unsafe {
        let found = blake3::hash(std::slice::from_raw_parts(data, len));
        digest.copy_from_nonoverlapping(found.as_bytes().as_ptr(), 32);
    }
}
