//! Signatures: keys, whom an engine trusts, who signs, who has signed.

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

/// A private key: Ed25519 (RFC 8032). Owned; freed with artifact_key_free(). It is wiped from memory when it and every builder
/// that signs with it are freed; a text that it was read from is yours to wipe. May be used from many threads at once.
pub struct artifact_key_t {
    key: Arc<PrivateKey>,
}

/// A public key: the 32 bytes of RFC 8032. PEM is what people exchange; see artifact_public_key_from_pem().
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_public_key_t {
    /// The key.
    pub bytes: [u8; 32],
}

/// Gives C a public key, by its bytes.
unsafe fn give_public(
    public_key: *mut artifact_public_key_t,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce() -> Result<[u8; 32]>,
) -> artifact_status_t {
    let empty = artifact_public_key_t { bytes: [0; 32] };
    ffi!(give(public_key, "public_key", empty, error, || body().map(|bytes| artifact_public_key_t { bytes })))
}

/// Gives C a private key.
unsafe fn give_key(
    key: *mut *mut artifact_key_t,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce() -> Result<PrivateKey>,
) -> artifact_status_t {
    ffi!(give_handle(key, "key", error, || body().map(|key| artifact_key_t { key: Arc::new(key) })))
}

/// A new key, from the operating system's random numbers. The caller owns it. ARTIFACT_IO if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_key_generate(
    key: *mut *mut artifact_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_key(key, error, PrivateKey::generate))
}

/// The key in a PEM text: unencrypted PKCS#8, as `openssl genpkey -algorithm ed25519` writes it. The caller owns it.
/// ARTIFACT_INVALID_ARGUMENT if it is anything else.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_key_from_pem(
    pem: *const c_char,
    key: *mut *mut artifact_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_key(key, error, || PrivateKey::from_pem(text(pem, "pem")?)))
}

/// Frees a key. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_key_free(key: *mut artifact_key_t) {
    ffi!(free(key))
}

/// The key as a PEM text, PKCS#8, in a buffer that the caller owns and that is wiped when it is freed.
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

/// Saves the key at path as artifact_key_to_pem() gives it, in a file that only its owner can read (mode 0600). A file that is
/// there is never replaced: ARTIFACT_IO, artifact_error_errno() being EEXIST.
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

/// The public key that belongs to a private one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_key_public(
    key: *const artifact_key_t,
    public_key: *mut artifact_public_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_public(public_key, error, || Ok(handle(key, "key")?.key.public().bytes())))
}

/// The public key in a PEM text (SubjectPublicKeyInfo), as `openssl pkey -pubout` writes it. ARTIFACT_INVALID_ARGUMENT if
/// it is anything else, or a key of small order, whose signatures prove nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_public_key_from_pem(
    pem: *const c_char,
    public_key: *mut artifact_public_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_public(public_key, error, || Ok(PublicKey::from_pem(text(pem, "pem")?)?.bytes())))
}

/// The public key as a PEM text, in a buffer that the caller owns. ARTIFACT_INVALID_ARGUMENT if the bytes are no key.
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

/// Makes the engine trust what this key signs, a PEM text as artifact_public_key_from_pem() takes it. From then on, opening
/// with this engine whatever no trusted key has signed is ARTIFACT_UNTRUSTED, before anything else of it is decoded. A
/// second key is trusted beside the first. No check of compatibility, and no fingerprint, takes notice of keys.
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

/// How many keys the engine trusts; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_trusted_key_count(engine: *const artifact_engine_t) -> usize {
    ffi!(infallible(0, || { handle(engine, "engine").map_or(0, |found| found.engine.trusted_keys().len()) }))
}

/// A key that the engine trusts, in the order of their bytes. ARTIFACT_NOT_FOUND past the last one.
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

/// Signs with this key whatever the builder writes from now on; up to 64 keys sign side by side. The key may be freed. The same
/// artifact and key give the same bytes. ARTIFACT_INVALID_ARGUMENT without a trailer, in which signatures stand.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_key(
    builder: *mut artifact_builder_t,
    key: *const artifact_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle_mut(builder, "builder")?.builder.add_key(&handle(key, "key")?.key)))
}

/// For a key that this process doesn't have: the 256 bytes of the root record of the artifact as it is now, in a buffer that
/// the caller owns. What has to be signed is ARTIFACT_SIGNATURE_CONTEXT, with its NUL, and then this record; the
/// signature goes to artifact_builder_add_signature(). Every byte of the modules is read. ARTIFACT_INVALID_ARGUMENT
/// without any module or without a trailer.
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

/// Adds a signature made elsewhere: 64 bytes (RFC 8032), of the artifact as it is now. ARTIFACT_INVALID_ARGUMENT if it isn't
/// this key's, or of another artifact; and when the artifact is written, if it was changed since.
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

/// Forgets the builder's keys and signatures. A builder made from an artifact begins with that one's signatures, and
/// writes those that still hold: an attribute that changes makes them void.
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

/// The trusted key whose signature was found when the artifact was opened. ARTIFACT_NOT_FOUND if it was opened without an engine
/// that trusts a key: what a file then claims is in artifact_signature_at(), and proves nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_signed_by(
    artifact: *const artifact_t,
    public_key: *mut artifact_public_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_public(public_key, error, || {
        handle(artifact, "artifact")?.artifact.signer().map(PublicKey::bytes).ok_or_else(|| {
            let message = "signer: expected an artifact opened with an engine that trusts a key, found another";
            Error::new(Status::NotFound, message)
        })
    }))
}

/// How many signatures the artifact carries, whoever made them; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_signature_count(artifact: *const artifact_t) -> usize {
    ffi!(infallible(0, || { handle(artifact, "artifact").map_or(0, |found| found.artifact.signatures().count()) }))
}

/// Whose signature one claims to be. Nobody has checked it: see artifact_signed_by(). ARTIFACT_NOT_FOUND past the last one.
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

/// A detached signature of the artifact, to keep beside a file that must stay as it is, such as one without a trailer: 96
/// bytes, the public key and the signature, in a buffer that the caller owns. For artifact_open_options_t.signature; several
/// may stand one behind the other. Every byte is read: ARTIFACT_DIGEST_MISMATCH or ARTIFACT_CORRUPT if the file is damaged, or
/// has no trailer and doesn't end with Metadata.
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

/// For a detached signature by a key that this process doesn't have: the root record of an opened artifact, as
/// artifact_root_record() gives a builder's. The detached signature is then the public key's 32 bytes and the signature's 64.
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
