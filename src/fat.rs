//! Files of several targets: building them, and what an opened one has.

use std::ffi::{c_char, c_void};

use super::artifact::artifact_t;
use super::boundary::{
    fallible, ffi, free, give, give_handle, handle, handle_mut, infallible, out_optional, past_the_end, path,
};
use super::buffer::artifact_buffer_t;
use super::builder::artifact_builder_t;
use super::engine::artifact_engine_t;
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use super::report::artifact_report_t;
use super::saving::{artifact_save_options_t, artifact_write_fn, caller, read_options};
use super::signing::{artifact_key_t, artifact_public_key_t, read_signature};
use artifact::builder::FatBuilder;
use artifact::error::Result;

/// A file of several targets under construction. You own it; free it with artifact_fat_builder_free(). Only one thread at
/// a time may change it. Functions that take it const may run in many threads at once while no thread changes it.
pub struct artifact_fat_builder_t {
    builder: FatBuilder,
}

/// A variant of a file of several targets.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_variant_t {
    /// The target triple, borrowed: valid until the artifact is freed.
    pub target: *const c_char,
    /// The number of ISA flags that it needs; see artifact_variant_need_at().
    pub needs: usize,
    /// The offset of the variant in the file, a multiple of 64 KiB.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// The score that it was added with.
    pub score: i32,
    /// When it was added: 0 for the variant that was added first.
    pub added: u32,
}

const NO_VARIANT: artifact_variant_t =
    artifact_variant_t { target: std::ptr::null(), needs: 0, offset: 0, length: 0, score: 0, added: 0 };

/// Creates a builder of a file of several targets: one artifact for each, of which artifact_open_file() opens the best that
/// fits. Returns NULL only after an internal error.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_fat_builder_new() -> *mut artifact_fat_builder_t {
    infallible(std::ptr::null_mut(), || Box::into_raw(Box::new(artifact_fat_builder_t { builder: FatBuilder::new() })))
}

/// Creates a builder with all variants of an existing file, in the order in which they were added, and with their scores.
/// Signatures of the index that are still valid when the file is written are kept. Of a file of one target, the artifact is
/// the only variant.
///
/// @param artifact Any variant of the file. It may be freed before the builder.
/// @param fat Receives the builder, which you own.
/// @return ARTIFACT_OK, a general status, or as artifact_open_file() and artifact_fat_builder_add_artifact().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_builder_new_from_artifact(
    artifact: *const artifact_t,
    fat: *mut *mut artifact_fat_builder_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(fat, "fat", error, || {
        let builder = FatBuilder::from_artifact(&handle(artifact, "artifact")?.artifact)?;
        Ok(artifact_fat_builder_t { builder })
    }))
}

/// Frees a builder of a file of several targets. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_builder_free(fat: *mut artifact_fat_builder_t) {
    ffi!(free(fat))
}

/// Adds a variant with `body`, which returns its index.
unsafe fn add(
    fat: *mut artifact_fat_builder_t,
    index: *mut usize,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce(&mut FatBuilder) -> Result<usize>,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let index = out_optional(index, 0);
        let added = body(&mut handle_mut(fat, "fat")?.builder)?;
        if let Some(index) = index {
            *index = added;
        }
        Ok(())
    }))
}

/// Adds the artifact that a builder would write as a variant: its target and the ISA flags that are on say which hosts it
/// is for. The artifact is kept in memory.
///
/// An engine tries a variant before those of the same target that need less; among others, the one with the higher score
/// first, then the one that was added first. Last comes the most portable variant: the one with the fewest needs, and among
/// equals the one that was added first. It lies at the start of the file, where Wasmtime 0.33, nm and dlopen find it.
///
/// @param fat The builder to change.
/// @param builder The artifact's builder, with a trailer. It may be freed at once.
/// @param score Decides the order of variants of which neither needs all that the other one needs.
/// @param index Receives the variant's index in the order of adding; may be NULL.
/// @return ARTIFACT_OK, a general status, or one of these, in which case nothing was added:
///   - ARTIFACT_INVALID_ARGUMENT: the artifact has no module or no trailer, has another producer or version than the
///     others, or needs the same as one of them; or the name of a flag that is on has a '='.
///   - ARTIFACT_LIMIT: there are 256 variants, or more than 1024 flags are on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_builder_add(
    fat: *mut artifact_fat_builder_t,
    builder: *const artifact_builder_t,
    score: i32,
    index: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(fat, index, error, |fat| fat.add_builder(&handle(builder, "builder")?.builder, score)))
}

/// Adds an opened artifact as a variant, as artifact_fat_builder_add() does. Its bytes are copied as they are, with its
/// signatures, when the file is written; until then its file must not change. Of a file of several targets, only the variant
/// that was opened is added.
///
/// @param fat The builder to change.
/// @param artifact The artifact. It may be freed before the builder.
/// @param score As artifact_fat_builder_add().
/// @param index As artifact_fat_builder_add().
/// @return As artifact_fat_builder_add(), or ARTIFACT_WRONG_VERSION if the artifact's settings cannot be decoded.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_builder_add_artifact(
    fat: *mut artifact_fat_builder_t,
    artifact: *const artifact_t,
    score: i32,
    index: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(fat, index, error, |fat| fat.add(handle(artifact, "artifact")?.artifact.clone(), score)))
}

/// Removes a variant. The indexes of those that were added later become one less.
///
/// @param fat The builder to change.
/// @param index An index below artifact_fat_builder_count(), in the order of adding.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if index is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_builder_remove(
    fat: *mut artifact_fat_builder_t,
    index: usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle_mut(fat, "fat")?.builder.remove(index)))
}

/// Returns the number of variants that were added; 0 if fat is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_builder_count(fat: *const artifact_fat_builder_t) -> usize {
    ffi!(infallible(0, || { handle(fat, "fat").map_or(0, |found| found.builder.variant_count()) }))
}

/// Makes a builder sign the index of each file that it writes from now on. The variants need no signatures of their own.
///
/// @param fat The builder to change. It can have up to 64 keys.
/// @param key The private key. It may be freed before the builder.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_LIMIT if the builder has 64 keys already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_builder_add_key(
    fat: *mut artifact_fat_builder_t,
    key: *const artifact_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle_mut(fat, "fat")?.builder.add_key(&handle(key, "key")?.key)))
}

/// Computes the digest of the index as it is now, to be signed with a key that this process does not have. What has to be
/// signed is ARTIFACT_INDEX_SIGNATURE_CONTEXT with its NUL, followed by the digest; pass the signature to
/// artifact_fat_builder_add_signature().
///
/// @param fat The builder.
/// @param digest Receives the digest, 32 bytes in a buffer that you own.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if there are fewer than two variants.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_builder_index_digest(
    fat: *const artifact_fat_builder_t,
    digest: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(digest, "digest", error, || {
        artifact_buffer_t::copy(&handle(fat, "fat")?.builder.index_digest()?, false)
    }))
}

/// Adds a signature of the index that was made elsewhere; see artifact_fat_builder_index_digest(). If the index changes
/// afterwards, writing it returns ARTIFACT_INVALID_ARGUMENT.
///
/// @param fat The builder to change.
/// @param public_key The key that signed.
/// @param signature An Ed25519 signature (RFC 8032) of the index as it is now; it is copied.
/// @param signature_len Its length in bytes: 64.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the signature is by another key, or of
///     another index.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_builder_add_signature(
    fat: *mut artifact_fat_builder_t,
    public_key: *const artifact_public_key_t,
    signature: *const u8,
    signature_len: usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let fat = &mut handle_mut(fat, "fat")?.builder;
        let (key, signature) = read_signature(public_key, signature, signature_len)?;
        fat.add_signature(&key, signature)
    }))
}

/// Removes all keys and all signatures of the index from a builder. The variants keep theirs.
///
/// @param fat The builder to change.
/// @return ARTIFACT_OK, or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_builder_clear_signatures(
    fat: *mut artifact_fat_builder_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        handle_mut(fat, "fat")?.builder.clear_signatures();
        Ok(())
    }))
}

/// Writes the file to memory. The same variants, scores and order of adding give the same bytes. With one variant, the
/// file is that artifact, byte for byte. All digests of the variants are checked first.
///
/// @param fat The builder.
/// @param buffer Receives the file, a buffer that you own.
/// @return ARTIFACT_OK, a general status, or one of these:
///   - ARTIFACT_INVALID_ARGUMENT: there is no variant, or there is a key although one variant has no index to sign.
///   - ARTIFACT_DIGEST_MISMATCH, ARTIFACT_CORRUPT: a variant is damaged.
///   - ARTIFACT_LIMIT: targets and flags take more than 1 MiB.
///   - ARTIFACT_IO: the file of a variant cannot be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_serialize(
    fat: *const artifact_fat_builder_t,
    buffer: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(buffer, "buffer", error, || {
        handle(fat, "fat")?.builder.serialize().map(artifact_buffer_t::of)
    }))
}

/// Writes to a file, as atomically as artifact_serialize_to_file().
///
/// @param fat The builder.
/// @param path The file to create or replace. It may be the file of a variant.
/// @param options How to save; NULL: the defaults.
/// @return As artifact_fat_serialize() and artifact_serialize_to_file().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_serialize_to_file(
    fat: *const artifact_fat_builder_t,
    path: *const c_char,
    options: *const artifact_save_options_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let fat = &handle(fat, "fat")?.builder;
        fat.serialize_to_file(self::path(path)?, read_options(options)?)
    }))
}

/// Writes the file through a callback, piece by piece, in order.
///
/// @param fat The builder.
/// @param write Called with each piece. If it returns a value other than 0, the writing ends.
/// @param context Passed to write; may be NULL.
/// @return As artifact_fat_serialize(), or ARTIFACT_IO with the errno that write returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_fat_serialize_to(
    fat: *const artifact_fat_builder_t,
    write: artifact_write_fn,
    context: *mut c_void,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle(fat, "fat")?.builder.serialize_to(caller(write, context)?)))
}

/// Returns the number of variants in an artifact's file: 1 unless it is a file of several targets; 0 if artifact is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_variant_count(artifact: *const artifact_t) -> usize {
    ffi!(infallible(0, || { handle(artifact, "artifact").map_or(0, |found| found.artifact.variant_count()) }))
}

/// Returns the index of the variant that was opened; 0 if the file has one target, or artifact is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_variant_chosen(artifact: *const artifact_t) -> usize {
    ffi!(infallible(0, || { handle(artifact, "artifact").map_or(0, |found| found.artifact.variant_chosen()) }))
}

/// Reads what a variant is for. In a file of one target, variant 0 is the whole artifact.
///
/// @param artifact Any variant of the file.
/// @param index An index below artifact_variant_count(), in the order in which an engine tries them: the last one is the
///     most portable.
/// @param variant Receives the variant.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or, for a file of one target,
///     ARTIFACT_WRONG_VERSION if its settings cannot be decoded, or ARTIFACT_LIMIT if more than 1024 flags are on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_variant_at(
    artifact: *const artifact_t,
    index: usize,
    variant: *mut artifact_variant_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(variant, "variant", NO_VARIANT, error, || {
        let artifact_t { artifact, texts } = handle(artifact, "artifact")?;
        let found = artifact.variant(index)?;
        Ok(artifact_variant_t {
            target: texts.get(found.target.as_bytes())?,
            needs: found.needs().count(),
            offset: found.offset,
            length: found.len,
            score: found.score,
            added: found.added,
        })
    }))
}

/// Reads what a variant needs.
///
/// @param artifact Any variant of the file.
/// @param index An index below artifact_variant_count().
/// @param need An index below artifact_variant_t.needs. Needs are sorted by name.
/// @param text Receives the name of an ISA flag that is on, or `name=value` for one that is no switch. Borrowed: valid
///     until the artifact is freed.
/// @return As artifact_variant_at(); ARTIFACT_NOT_FOUND also if need is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_variant_need_at(
    artifact: *const artifact_t,
    index: usize,
    need: usize,
    text: *mut *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(text, "text", std::ptr::null(), error, || {
        let artifact_t { artifact, texts } = handle(artifact, "artifact")?;
        let needs = artifact.variant(index)?.needs();
        let found = needs.clone().nth(need).ok_or_else(|| past_the_end("need", need, needs.count()))?;
        texts.get(found.as_bytes())
    }))
}

/// Lists every mismatch between a variant and an engine: why it was not chosen. A variant that fits, but comes after the one
/// that was chosen, has an empty report.
///
/// @param artifact Any variant of the file.
/// @param index An index below artifact_variant_count().
/// @param engine The engine to compare with.
/// @param report Receives the report, which you own.
/// @return As artifact_compat_report() and, since the variant is opened, as artifact_open_file(); ARTIFACT_NOT_FOUND if index
///     is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_variant_report(
    artifact: *const artifact_t,
    index: usize,
    engine: *const artifact_engine_t,
    report: *mut *mut artifact_report_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(report, "report", error, || {
        let artifact = &handle(artifact, "artifact")?.artifact;
        artifact.variant_report(index, &handle(engine, "engine")?.engine).map(artifact_report_t::of)
    }))
}
