//! Trailer: integrity and attributes.

use std::ffi::c_char;

use super::artifact::artifact_t;
use super::boundary::{fallible, ffi, give, handle, infallible, out, past_the_end, text};
use super::error::artifact_error_t;
use super::library::{artifact_slice_t, artifact_status_t};
use artifact::artifact::Integrity;

/// What vouches for an artifact's bytes.
#[repr(C)]
pub enum artifact_integrity_t {
    /// Nothing: a file without a trailer, as Wasmtime 0.33 writes them.
    ARTIFACT_INTEGRITY_NONE = 0,
    /// A trailer with digests over every byte. Opening checks those of the settings, artifact_verify() all. They find
    /// damage, not malice: whoever changes a file can make them anew.
    ARTIFACT_INTEGRITY_DIGESTS = 1,
    /// The signature of a key that the engine trusts, over digests of every byte; see artifact_signed_by(). A module is
    /// checked when it is first asked for.
    ARTIFACT_INTEGRITY_SIGNED = 2,
}

/// What vouches for the artifact's bytes, an artifact_integrity_t; ARTIFACT_INTEGRITY_NONE for NULL.
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

/// How many attributes it has. They are read, and their digest is checked, when this or another function that reads
/// them is first called: ARTIFACT_DIGEST_MISMATCH or ARTIFACT_CORRUPT if they are damaged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_attribute_count(
    artifact: *const artifact_t,
    count: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(count, "count", 0, error, || Ok(handle(artifact, "artifact")?.artifact.attributes()?.len())))
}

/// An attribute by its place in the file. Name and value are borrowed: valid until the artifact is freed.
/// ARTIFACT_NOT_FOUND past the last one.
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

/// The value of an attribute, borrowed: valid until the artifact is freed. ARTIFACT_NOT_FOUND if there is none of that name.
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
