//! Cache options: how a cache works, and the functions that it calls.

use std::ffi::{c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::ptr::{null, null_mut};
use std::sync::Arc;
use std::time::Duration;

use super::boundary::{callback_result, ffi, handle, known_flags, options, path_in, slice};
use super::cache_remote::{artifact_cache_remote_t, read_remote};
use super::engine::artifact_engine_t;
use super::error::artifact_error_t;
use super::signing::{artifact_key_t, artifact_public_key_t};
use super::text::c_string;
use artifact::builder::Signer;
use artifact::cache::{CacheOptions, Event};
use artifact::error::{Error, Result, Status};
use artifact::trust::keys::PublicKey;

/// Is told what a cache does; see artifact_cache_options_t.on_event. Called in the thread whose call of the cache it is about,
/// by several threads at once if several use the cache. It must not unwind (throw) or longjmp, and must not use the cache.
///
/// @param context artifact_cache_options_t.event_context.
/// @param outcome An artifact_cache_outcome_t.
/// @param path The file that it happened to, or the name in the remote; valid only during the call.
/// @param error Why; NULL if the outcome says everything. Valid only during the call; never free it.
pub type artifact_cache_event_fn = Option<
    unsafe extern "C" fn(context: *mut c_void, outcome: u32, path: *const c_char, error: *const artifact_error_t),
>;

/// Signs what a cache stores, with a key that this process does not have; see artifact_cache_options_t.sign. Called by several
/// threads at once if several use the cache. It must not unwind (throw) or longjmp, and must not use the cache.
///
/// @param context artifact_cache_options_t.sign_context.
/// @param message The bytes to sign with Ed25519 (RFC 8032), as they are: for an entry, ARTIFACT_SIGNATURE_CONTEXT with its NUL,
///     followed by the root record. Valid only during the call.
/// @param len The number of bytes.
/// @param public_key Receives the key that signed.
/// @param signature An array of 64 bytes, which receives the signature.
/// @return ARTIFACT_OK, or another artifact_status_t: the entry is then not stored.
pub type artifact_sign_fn = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        message: *const u8,
        len: usize,
        public_key: *mut artifact_public_key_t,
        signature: *mut u8,
    ) -> u32,
>;

/// How a cache works. Begin with ARTIFACT_CACHE_OPTIONS_INIT. Everything is needed only while artifact_cache_open() runs, except
/// for functions and their contexts, which must remain valid until the cache is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_cache_options_t {
    /// sizeof(artifact_cache_options_t).
    pub size: usize,
    /// A combination of ARTIFACT_CACHE_ flags.
    pub flags: u64,
    /// The number of bytes that the entries may take, in full blocks of 4 KiB; 0: 1 GiB; UINT64_MAX: no limit. When stores exceed it, the
    /// entries that were not used for longest are deleted, down to 80 %. If N processes store at once, it may be exceeded by N eighths.
    pub max_bytes: u64,
    /// The number of entries, likewise; 0: no limit.
    pub max_entries: u64,
    /// The number of seconds after its last use when an entry may be deleted; 0: no limit. A use is noted at most once an hour.
    pub max_age_s: u64,
    /// The number of milliseconds for which artifact_cache_get_or_make() waits for another thread or process that makes the same entry, before it makes
    /// one itself; 0: a minute; UINT64_MAX: no limit. After it has waited in vain for another process, it does not wait for one again for as long.
    pub wait_ms: u64,
    /// Engines that entries may be built for, the preferred one first, each with the producer and version of the cache's engine.
    /// NULL: that engine alone. An entry is looked for under each of them in this order. artifact_cache_get_or_make() makes for
    /// the first. Machines that share a folder share the entries of the targets that they have in common.
    pub targets: *const *const artifact_engine_t,
    /// The number of targets.
    pub target_count: usize,
    /// Signs what is stored; it may be freed before the cache. NULL: see sign.
    pub signing_key: *const artifact_key_t,
    /// Signs what is stored, instead of signing_key, for example in hardware. NULL, as signing_key: entries are not signed, and
    /// if the engine trusts keys nothing can be stored.
    pub sign: artifact_sign_fn,
    /// Passed to sign; may be NULL.
    pub sign_context: *mut c_void,
    /// Paths that are searched after the folder, in this order, and never written: folders of other caches, or packs as
    /// artifact_cache_export() writes them. One that does not exist is skipped. NULL: none.
    pub layers: *const *const c_char,
    /// The number of layers.
    pub layer_count: usize,
    /// Searched last, and filled after each store; copied. What it returns is used, and stored in the folder, only if it is signed
    /// by a key that the engine trusts, or with ARTIFACT_CACHE_REMOTE_UNSIGNED. NULL: none.
    pub remote: *const artifact_cache_remote_t,
    /// Called for each miss, each store, each deletion, and each reason for which something was not stored or used; may be NULL.
    pub on_event: artifact_cache_event_fn,
    /// Passed to on_event; may be NULL.
    pub event_context: *mut c_void,
}

const ARTIFACT_CACHE_READ_ONLY: u64 = 1;
const ARTIFACT_CACHE_NO_SYNC: u64 = 2;
const ARTIFACT_CACHE_VERIFY_ALWAYS: u64 = 4;
const ARTIFACT_CACHE_REMOTE_UNSIGNED: u64 = 8;
const KNOWN: u64 =
    ARTIFACT_CACHE_READ_ONLY | ARTIFACT_CACHE_NO_SYNC | ARTIFACT_CACHE_VERIFY_ALWAYS | ARTIFACT_CACHE_REMOTE_UNSIGNED;

/// Reads the options of a cache. 0 stands for a default.
pub(super) unsafe fn read_options(given: *const artifact_cache_options_t) -> Result<CacheOptions> {
    let defaults = artifact_cache_options_t {
        size: 0,
        flags: 0,
        max_bytes: 0,
        max_entries: 0,
        max_age_s: 0,
        wait_ms: 0,
        targets: null(),
        target_count: 0,
        signing_key: null(),
        sign: None,
        sign_context: null_mut(),
        layers: null(),
        layer_count: 0,
        remote: null(),
        on_event: None,
        event_context: null_mut(),
    };
    let given = ffi!(options(given, defaults, "options"))?;
    known_flags(given.flags, KNOWN)?;
    let mut read = CacheOptions::default();
    read.read_only = given.flags & ARTIFACT_CACHE_READ_ONLY != 0;
    read.no_sync = given.flags & ARTIFACT_CACHE_NO_SYNC != 0;
    read.verify_always = given.flags & ARTIFACT_CACHE_VERIFY_ALWAYS != 0;
    read.remote_unsigned = given.flags & ARTIFACT_CACHE_REMOTE_UNSIGNED != 0;
    let set = |to: &mut u64, number: u64| {
        if number != 0 {
            *to = number;
        }
    };
    set(&mut read.max_bytes, given.max_bytes);
    set(&mut read.max_entries, given.max_entries);
    if given.max_age_s != 0 {
        read.max_age = Some(Duration::from_secs(given.max_age_s));
    }
    if given.wait_ms != 0 {
        read.wait = Duration::from_millis(given.wait_ms);
    }
    for target in ffi!(slice(given.targets, given.target_count, "options.targets"))? {
        read.targets.push(ffi!(handle(*target, "options.targets[]"))?.engine.clone());
    }
    for layer in ffi!(slice(given.layers, given.layer_count, "options.layers"))? {
        read.layers.push(ffi!(path_in(*layer, "options.layers[]"))?.to_path_buf());
    }
    read.signer = ffi!(read_signer(&given))?;
    read.remote = ffi!(read_remote(given.remote))?;
    if let Some(function) = given.on_event {
        let context = Context(given.event_context);
        read.on_event = Some(Arc::new(move |event: &Event<'_>| tell(function, &context, event)));
    }
    Ok(read)
}

unsafe fn read_signer(given: &artifact_cache_options_t) -> Result<Option<Signer>> {
    let key = ffi!(given.signing_key.as_ref());
    match (key, given.sign) {
        (None, None) => Ok(None),
        (Some(key), None) => Ok(Some(Signer::Key(Arc::clone(&key.key)))),
        (None, Some(sign)) => {
            let context = Context(given.sign_context);
            Ok(Some(Signer::Callback(Arc::new(move |message: &[u8]| ask(sign, &context, message)))))
        }
        (Some(_), Some(_)) => {
            Err(Error::new(Status::InvalidArgument, "options: expected signing_key or sign, found both"))
        }
    }
}

/// What C passes to its functions.
pub(super) struct Context(pub(super) *mut c_void);

// SAFETY: the library only passes it on, to functions of which the header says that any thread calls them.
unsafe impl Send for Context {}
// SAFETY: likewise, of which the header says that several threads call them at once.
unsafe impl Sync for Context {}

type EventFn = unsafe extern "C" fn(*mut c_void, u32, *const c_char, *const artifact_error_t);

fn tell(function: EventFn, context: &Context, event: &Event<'_>) {
    // Without memory for the path, the event is told without it.
    let path = c_string(event.path.as_os_str().as_bytes()).unwrap_or_default();
    let error = event.error.map(|error| artifact_error_t::new(error.duplicate()));
    let error = error.as_ref().map_or(null(), |error| error as *const artifact_error_t);
    // SAFETY: the function and its context are valid until the cache is freed, as the header requires; the rest is valid here.
    unsafe { function(context.0, event.outcome as u32, path.as_ptr(), error) }
}

type SignFn = unsafe extern "C" fn(*mut c_void, *const u8, usize, *mut artifact_public_key_t, *mut u8) -> u32;

fn ask(sign: SignFn, context: &Context, message: &[u8]) -> Result<(PublicKey, [u8; 64])> {
    let mut key = artifact_public_key_t { bytes: [0; 32] };
    let mut signature = [0; 64];
    // SAFETY: the function and its context are valid until the cache is freed, as the header requires. Key and signature have the
    // sizes that the header says.
    let status = unsafe { sign(context.0, message.as_ptr(), message.len(), &raw mut key, signature.as_mut_ptr()) };
    callback_result("sign", status, None)?;
    Ok((PublicKey::from_bytes(&key.bytes)?, signature))
}
