//! Signatures: keys, the keys that an engine trusts, signing, and the signatures of an artifact.

use std::ffi::c_char;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::artifact::artifact_t;
use super::boundary::{
    fallible, ffi, free, give, give_handle, handle, handle_mut, infallible, past_the_end, path, slice, text,
};
use super::buffer::artifact_buffer_t;
use super::builder::artifact_builder_t;
use super::engine::artifact_engine_t;
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use artifact::error::{Error, Result, Status};
use artifact::storage;
use artifact::trust::keys::{PrivateKey, PublicKey};

/// A private key: Ed25519 (RFC 8032). You own it; free it with artifact_key_free(). It is wiped from memory when it and
/// every builder that signs with it are freed. A text from which you read a key is yours to wipe. Many threads may use
/// one key at once.
pub struct artifact_key_t {
    pub(super) key: Arc<PrivateKey>,
}

/// A public key: Ed25519 (RFC 8032). People exchange public keys as PEM; see artifact_public_key_from_pem().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_public_key_t {
    /// The key's 32 bytes.
    pub bytes: [u8; 32],
}

/// Gives C the public key that `body` returns.
unsafe fn give_public(
    public_key: *mut artifact_public_key_t,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce() -> Result<[u8; 32]>,
) -> artifact_status_t {
    let empty = artifact_public_key_t { bytes: [0; 32] };
    ffi!(give(public_key, "public_key", empty, error, || body().map(|bytes| artifact_public_key_t { bytes })))
}

/// Gives C a handle of the private key that `body` returns.
unsafe fn give_key(
    key: *mut *mut artifact_key_t,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce() -> Result<PrivateKey>,
) -> artifact_status_t {
    ffi!(give_handle(key, "key", error, || body().map(|key| artifact_key_t { key: Arc::new(key) })))
}

/// Generates a private key from the operating system's random numbers.
///
/// @param key Receives the key, which you own.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_IO if the operating system has no random numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_key_generate(
    key: *mut *mut artifact_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_key(key, error, PrivateKey::generate))
}

/// Reads a private key from PEM.
///
/// @param pem PEM text of one unencrypted PKCS#8 key, as `openssl genpkey -algorithm ed25519` writes it.
/// @param key Receives the key, which you own.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the text is anything else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_key_from_pem(
    pem: *const c_char,
    key: *mut *mut artifact_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_key(key, error, || PrivateKey::from_pem(text(pem, "pem")?)))
}

/// Frees a key. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_key_free(key: *mut artifact_key_t) {
    ffi!(free(key))
}

/// Writes a private key as PEM text, PKCS#8.
///
/// @param key The key.
/// @param pem Receives the text, a buffer that you own and that is wiped when it is freed.
/// @return ARTIFACT_OK, or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_key_to_pem(
    key: *const artifact_key_t,
    pem: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(pem, "pem", error, || {
        let found = handle(key, "key")?.key.to_pem()?;
        artifact_buffer_t::copy(found.as_bytes(), true)
    }))
}

/// Saves a private key to a new file that only its owner can read (mode 0600), as artifact_key_to_pem() writes it.
///
/// @param key The key.
/// @param path The file to create. An existing file is never replaced.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_IO if the file cannot be written; artifact_error_errno() is
///     EEXIST if it exists.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_key_save(
    key: *const artifact_key_t,
    path: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let pem = handle(key, "key")?.key.to_pem()?;
        storage::create(self::path(path)?, pem.as_bytes(), storage::PRIVATE_MODE)
    }))
}

/// Computes the public key of a private key.
///
/// @param key The private key.
/// @param public_key Receives the public key.
/// @return ARTIFACT_OK, or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_key_public(
    key: *const artifact_key_t,
    public_key: *mut artifact_public_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_public(public_key, error, || Ok(handle(key, "key")?.key.public().bytes())))
}

/// Reads a public key from PEM.
///
/// @param pem PEM text of one SubjectPublicKeyInfo, as `openssl pkey -pubout` writes it.
/// @param public_key Receives the key.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the text is anything else, or if the key has
///     a small order and its signatures prove nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_public_key_from_pem(
    pem: *const c_char,
    public_key: *mut artifact_public_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_public(public_key, error, || Ok(PublicKey::from_pem(text(pem, "pem")?)?.bytes())))
}

/// Writes a public key as PEM text.
///
/// @param public_key The key.
/// @param pem Receives the text, a buffer that you own.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the bytes are not a public key.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_public_key_to_pem(
    public_key: *const artifact_public_key_t,
    pem: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(pem, "pem", error, || {
        let found = PublicKey::from_bytes(&handle(public_key, "public_key")?.bytes)?.to_pem()?;
        artifact_buffer_t::copy(found.as_bytes(), false)
    }))
}

/// Makes an engine trust a key. From then on it opens and loads only artifacts that a trusted key has signed; any other
/// is ARTIFACT_UNTRUSTED, which is decided before anything else of it is decoded. An engine can trust several keys.
/// Compatibility checks and fingerprints ignore keys.
///
/// @param engine The engine to change.
/// @param pem The public key as PEM text; see artifact_public_key_from_pem().
/// @return As artifact_public_key_from_pem().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_trust_key(
    engine: *mut artifact_engine_t,
    pem: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let engine = &mut handle_mut(engine, "engine")?.engine;
        engine.trust(PublicKey::from_pem(text(pem, "pem")?)?);
        Ok(())
    }))
}

/// Returns the number of keys that an engine trusts; 0 if engine is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_trusted_key_count(engine: *const artifact_engine_t) -> usize {
    ffi!(infallible(0, || { handle(engine, "engine").map_or(0, |found| found.engine.trusted_keys().len()) }))
}

/// Reads a key that an engine trusts.
///
/// @param engine The engine.
/// @param index An index below artifact_engine_trusted_key_count(). Keys are sorted by their bytes.
/// @param public_key Receives the key.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if index is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_trusted_key_at(
    engine: *const artifact_engine_t,
    index: usize,
    public_key: *mut artifact_public_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_public(public_key, error, || {
        let keys = handle(engine, "engine")?.engine.trusted_keys();
        keys.get(index).map(PublicKey::bytes).ok_or_else(|| past_the_end("trusted key", index, keys.len()))
    }))
}

/// Makes a builder sign everything that it writes from now on. The same artifact and key give the same bytes.
///
/// @param builder The builder to change. It can have up to 64 keys, each of which adds a signature.
/// @param key The private key. It may be freed before the builder.
/// @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if the builder writes no trailer, which holds
///     signatures, or ARTIFACT_LIMIT if the builder has 64 keys already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_key(
    builder: *mut artifact_builder_t,
    key: *const artifact_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle_mut(builder, "builder")?.builder.add_key(&handle(key, "key")?.key)))
}

/// Computes the root record of a builder's artifact as it is now, to be signed with a key that this process does not
/// have. What has to be signed is ARTIFACT_SIGNATURE_CONTEXT with its NUL, followed by the record; pass the signature
/// to artifact_builder_add_signature(). Reads every byte of the modules.
///
/// @param builder The builder.
/// @param record Receives the record, 256 bytes in a buffer that you own.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the builder has no module or writes no
///     trailer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_root_record(
    builder: *const artifact_builder_t,
    record: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(record, "record", error, || {
        let root = handle(builder, "builder")?.builder.root_record()?;
        artifact_buffer_t::copy(root.as_bytes(), false)
    }))
}

/// Adds a signature that was made elsewhere; see artifact_root_record(). If the artifact changes afterwards, writing it
/// returns ARTIFACT_INVALID_ARGUMENT.
///
/// @param builder The builder to change.
/// @param public_key The key that signed.
/// @param signature An Ed25519 signature (RFC 8032) of the artifact as it is now; it is copied.
/// @param signature_len Its length in bytes: 64.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the signature is by another key, or of
///     another artifact.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_signature(
    builder: *mut artifact_builder_t,
    public_key: *const artifact_public_key_t,
    signature: *const u8,
    signature_len: usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let builder = &mut handle_mut(builder, "builder")?.builder;
        let key = PublicKey::from_bytes(&handle(public_key, "public_key")?.bytes)?;
        let signature = slice(signature, signature_len, "signature")?.try_into().map_err(|_| {
            let message = format!("signature: expected 64 bytes, found {signature_len}");
            Error::new(Status::InvalidArgument, message)
        })?;
        builder.add_signature(&key, signature)
    }))
}

/// Removes all keys and signatures from a builder. A builder that rewrites an artifact starts with that artifact's
/// signatures, and writes those that are still valid; changing an attribute invalidates them.
///
/// @param builder The builder to change.
/// @return ARTIFACT_OK, or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_clear_signatures(
    builder: *mut artifact_builder_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        handle_mut(builder, "builder")?.builder.clear_signatures();
        Ok(())
    }))
}

/// Reads the trusted key whose signature was verified when the artifact was opened.
///
/// @param artifact The artifact.
/// @param public_key Receives the key.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if no key was trusted when the artifact was opened.
///     What such a file claims, artifact_signature_at() returns; it proves nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_signed_by(
    artifact: *const artifact_t,
    public_key: *mut artifact_public_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_public(public_key, error, || {
        handle(artifact, "artifact")?.artifact.signer().map(PublicKey::bytes).ok_or_else(|| {
            let message =
                "signer: expected an artifact opened with an engine that trusts a key, found one opened without";
            Error::new(Status::NotFound, message)
        })
    }))
}

/// Returns the number of signatures that an artifact carries, whoever made them; 0 if artifact is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_signature_count(artifact: *const artifact_t) -> usize {
    ffi!(infallible(0, || { handle(artifact, "artifact").map_or(0, |found| found.artifact.signatures().count()) }))
}

/// Reads which key a signature claims to be from. The claim is not verified; see artifact_signed_by().
///
/// @param artifact The artifact.
/// @param index An index below artifact_signature_count().
/// @param public_key Receives the key.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if index is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_signature_at(
    artifact: *const artifact_t,
    index: usize,
    public_key: *mut artifact_public_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_public(public_key, error, || {
        let artifact = &handle(artifact, "artifact")?.artifact;
        let found = artifact.signatures().nth(index);
        found.map(|found| found.key).ok_or_else(|| past_the_end("signature", index, artifact.signatures().count()))
    }))
}

/// Creates a detached signature, for a file that must not change, such as one without a trailer. Keep it beside the
/// file, and pass it in artifact_open_options_t.signature, where several may follow one another. Reads every byte of
/// the artifact.
///
/// @param artifact The artifact.
/// @param key The private key.
/// @param signature Receives the detached signature, 96 bytes in a buffer that you own: 32 of the public key, 64 of the
///     signature.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_DIGEST_MISMATCH or ARTIFACT_CORRUPT if the artifact is damaged,
///     or has no trailer and does not end with its settings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_sign(
    artifact: *const artifact_t,
    key: *const artifact_key_t,
    signature: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(signature, "signature", error, || {
        let root = handle(artifact, "artifact")?.artifact.root_record()?;
        artifact_buffer_t::copy(handle(key, "key")?.key.sign(&root).as_bytes(), false)
    }))
}

/// Computes the root record of an opened artifact, for a detached signature by a key that this process does not have.
/// What has to be signed is described at artifact_root_record(). The detached signature consists of the public key's 32
/// bytes and the signature's 64.
///
/// @param artifact The artifact.
/// @param record Receives the record, 256 bytes in a buffer that you own.
/// @return As artifact_sign().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_detached_record(
    artifact: *const artifact_t,
    record: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(record, "record", error, || {
        let root = handle(artifact, "artifact")?.artifact.root_record()?;
        artifact_buffer_t::copy(root.as_bytes(), false)
    }))
}
