//! Cache key: what an entry of a cache is found by.

use std::ffi::c_char;

use super::boundary::{fallible, ffi, free, give, handle, handle_mut, infallible, slice, text};
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use artifact::cache::Key;

/// A key: everything that code was compiled from. You own it; free it with artifact_cache_key_free().
///
/// Add whatever can make a compiler produce other code: the source, options, versions of what the source includes. What the
/// engine says need not be added: an entry is for one target, and its producer and version are compared.
pub struct artifact_cache_key_t {
    pub(super) key: Key,
}

/// Creates a key without parts.
///
/// @return A key that you own. NULL only because of a defect of the library.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_cache_key_new() -> *mut artifact_cache_key_t {
    infallible(std::ptr::null_mut(), || Box::into_raw(Box::new(artifact_cache_key_t { key: Key::new() })))
}

/// Adds a part to a key. Names, lengths and the order of parts count: "a" and "bc" are another key than "ab" and "c", and a
/// name may occur several times.
///
/// @param key The key to change.
/// @param name The part's name, such as "source".
/// @param data The part's bytes, needed only during the call; may be NULL if len is 0.
/// @param len The number of bytes.
/// @return ARTIFACT_OK, or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_key_add(
    key: *mut artifact_cache_key_t,
    name: *const c_char,
    data: *const u8,
    len: usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let key = &mut handle_mut(key, "key")?.key;
        key.add(text(name, "name")?, slice(data, len, "data")?);
        Ok(())
    }))
}

/// Computes the digest of a key, by which entries are found: BLAKE3 of all parts, under a context of its own. Equal keys have
/// equal digests on every machine. A part may be added afterwards.
///
/// @param key The key.
/// @param digest An array of 32 bytes, which receives the digest.
/// @return ARTIFACT_OK, or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_key_digest(
    key: *const artifact_cache_key_t,
    digest: *mut u8,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(digest.cast::<[u8; 32]>(), "digest", [0; 32], error, || Ok(handle(key, "key")?.key.digest())))
}

/// Frees a key. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_key_free(key: *mut artifact_cache_key_t) {
    ffi!(free(key))
}
