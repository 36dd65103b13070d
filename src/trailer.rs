//! Trailer: integrity and attributes.

use std::ffi::c_char;

use super::artifact::artifact_t;
use super::boundary::{fallible, ffi, give, handle, infallible, out, past_the_end, text};
use super::error::artifact_error_t;
use super::library::{artifact_slice_t, artifact_status_t};
use artifact::artifact::Integrity;

/// What guarantees that an artifact's bytes are those that were written.
#[repr(C)]
pub enum artifact_integrity_t {
    /// Nothing: the file has no trailer, such as those that Wasmtime 0.33 writes.
    ARTIFACT_INTEGRITY_NONE = 0,
    /// A trailer with digests over every byte. Opening checks those of the settings, artifact_verify() checks all. They
    /// detect damage, not malice: whoever changes the file can recompute them.
    ARTIFACT_INTEGRITY_DIGESTS = 1,
    /// A trusted key's signature over digests of every byte; see artifact_signed_by(). A module is checked when it is
    /// first needed.
    ARTIFACT_INTEGRITY_SIGNED = 2,
}

/// Returns what guarantees that an artifact's bytes are those that were written, an artifact_integrity_t;
/// ARTIFACT_INTEGRITY_NONE if artifact is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_integrity(artifact: *const artifact_t) -> u32 {
    ffi!(infallible(0, || {
        let found = handle(artifact, "artifact");
        found.map_or(Integrity::None, |found| found.artifact.integrity()) as u32
    }))
}

// The core has the same numbers.
const _: () = {
    assert!(artifact_integrity_t::ARTIFACT_INTEGRITY_NONE as u32 == Integrity::None as u32);
    assert!(artifact_integrity_t::ARTIFACT_INTEGRITY_DIGESTS as u32 == Integrity::Digests as u32);
    assert!(artifact_integrity_t::ARTIFACT_INTEGRITY_SIGNED as u32 == Integrity::Signed as u32);
};

/// Reads the number of attributes. This and the other functions that read attributes check the digest of all attributes
/// when one of them is first called.
///
/// @param artifact The artifact.
/// @param count Receives the number.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_DIGEST_MISMATCH or ARTIFACT_CORRUPT if the attributes are
///     damaged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_attribute_count(
    artifact: *const artifact_t,
    count: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(count, "count", 0, error, || Ok(handle(artifact, "artifact")?.artifact.attributes()?.len())))
}

/// Reads an attribute by its index.
///
/// @param artifact The artifact.
/// @param index An index below artifact_attribute_count(). Attributes have the order of the file.
/// @param name Receives the name, borrowed: valid until the artifact is freed.
/// @param value Receives the value, borrowed: valid until the artifact is freed.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or as
///     artifact_attribute_count().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_attribute_at(
    artifact: *const artifact_t,
    index: usize,
    name: *mut *const c_char,
    value: *mut artifact_slice_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!({
        let outs = (out(name, "name", std::ptr::null()), out(value, "value", artifact_slice_t::EMPTY));
        fallible(error, || {
            let (name, value) = (outs.0?, outs.1?);
            let artifact_t { artifact, texts } = handle(artifact, "artifact")?;
            let attributes = artifact.attributes()?;
            let found = attributes.get(index).ok_or_else(|| past_the_end("attribute", index, attributes.len()))?;
            *name = texts.get(found.name.as_bytes())?;
            *value = artifact_slice_t::of(found.value);
            Ok(())
        })
    })
}

/// Reads an attribute by its name.
///
/// @param artifact The artifact.
/// @param name The attribute's name.
/// @param value Receives the value, borrowed: valid until the artifact is freed.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if the artifact has no attribute of this name, or as
///     artifact_attribute_count().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_attribute(
    artifact: *const artifact_t,
    name: *const c_char,
    value: *mut artifact_slice_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(value, "value", artifact_slice_t::EMPTY, error, || {
        let artifact = &handle(artifact, "artifact")?.artifact;
        Ok(artifact_slice_t::of(artifact.attribute(text(name, "name")?)?))
    }))
}
