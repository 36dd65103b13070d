//! Cache: key to code, in one call.

use std::ffi::{c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use super::artifact::artifact_t;
use super::boundary::{
    callback_result, fallible, ffi, free, give, give_handle, handle, infallible, out, out_optional, path_in,
};
use super::builder::artifact_builder_t;
use super::cache_key::artifact_cache_key_t;
use super::cache_options::{artifact_cache_options_t, read_options};
use super::cache_outcome::artifact_cache_outcome_t;
use super::engine::artifact_engine_t;
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use super::text::{Texts, c_string};
use artifact::cache::pack::PackOptions;
use artifact::cache::{Cache, Lookup, Outcome};
use artifact::error::{Error, Result, Status};

/// A folder of artifacts that were made once and are found by a key. You own it; free it with artifact_cache_free(). Many threads
/// may use one cache at once, and many processes one folder.
pub struct artifact_cache_t {
    cache: Cache,
}

/// Makes the artifact of a key for artifact_cache_get_or_make(). It must not unwind (throw) or longjmp. It may use the cache,
/// for another key.
///
/// @param context The context given to artifact_cache_get_or_make().
/// @param builder A builder for the artifact, with the settings of the cache's first target, to which it adds modules. It must not
///     free it. artifact_builder_add_module() copies the bytes that this builder is given.
/// @param error May receive an error of this library, which artifact_cache_get_or_make() then returns. Never NULL; *error is NULL.
/// @return ARTIFACT_OK, or another artifact_status_t, which artifact_cache_get_or_make() returns.
pub type artifact_make_fn = Option<
    unsafe extern "C" fn(
        context: *mut c_void,
        builder: *mut artifact_builder_t,
        error: *mut *mut artifact_error_t,
    ) -> u32,
>;

/// An entry of a cache's folder.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_cache_entry_t {
    /// The path of the file.
    pub path: *const c_char,
    /// The digest of its key; see artifact_cache_key_digest().
    pub key: [u8; 32],
    /// The first 8 bytes of the fingerprint of the target that it was made for; see artifact_engine_fingerprint().
    pub target: [u8; 8],
    /// The number of bytes that it takes, in full blocks of 4 KiB.
    pub size: u64,
    /// When it was stored or last used, in seconds since 1970. A use is noted at most once an hour.
    pub used: i64,
}

/// What a cache's folder holds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_cache_stats_t {
    /// The number of entries.
    pub entries: u64,
    /// The number of bytes that they take, in full blocks of 4 KiB.
    pub bytes: u64,
}

/// Is given an entry by artifact_cache_each(). It must not unwind (throw) or longjmp.
///
/// @param context The context given to artifact_cache_each().
/// @param entry The entry, valid only during the call.
/// @return 0 to go on, another value to stop.
pub type artifact_cache_entry_fn =
    Option<unsafe extern "C" fn(context: *mut c_void, entry: *const artifact_cache_entry_t) -> c_int>;

/// Opens a cache. Creates the folder and its parents, with mode 0700, unless they exist or the options say ARTIFACT_CACHE_READ_ONLY.
///
/// That the folder cannot be used, now or later, is no error: nothing is then found or stored there, and the program has its code
/// made each time. artifact_cache_trouble() says why. This includes a folder that others than root and this user own, can write
/// to, or can replace, unless the engine trusts keys: who can write to a cache can run code.
///
/// @param folder The folder's path. It must be the cache's own.
/// @param engine The host that will run the code. Its producer and version say which compiler makes the entries: those of another one
///     are never found. Make a compiler's build id part of the version if it changes without its version.
/// @param options How the cache works; NULL: the defaults.
/// @param cache Receives the cache, which you own.
/// @return ARTIFACT_OK, a general status, or one of these:
///   - ARTIFACT_INVALID_ARGUMENT: also if a target has another producer or version than the engine, the engine trusts keys but not
///     signing_key, both signing_key and sign are set, or there is a remote although the engine trusts no key and the flags do not say
///     ARTIFACT_CACHE_REMOTE_UNSIGNED.
///   - ARTIFACT_UNSUPPORTED: the options need a newer library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_open(
    folder: *const c_char,
    engine: *const artifact_engine_t,
    options: *const artifact_cache_options_t,
    cache: *mut *mut artifact_cache_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(cache, "cache", error, || {
        let folder = path_in(folder, "folder")?;
        let engine = &handle(engine, "engine")?.engine;
        Ok(artifact_cache_t { cache: Cache::open(folder, engine, read_options(options)?)? })
    }))
}

/// Returns why the folder of a cache could not be used when it was opened.
///
/// @param cache The cache.
/// @return ARTIFACT_OK if it can be used, a general status, or one of these:
///   - ARTIFACT_UNTRUSTED: the engine trusts no keys, and others than root and this user own the folder, can write to it, or can
///     replace it.
///   - ARTIFACT_IO: the folder cannot be created or opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_trouble(
    cache: *const artifact_cache_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || match handle(cache, "cache")?.cache.trouble() {
        Some(trouble) => Err(trouble),
        None => Ok(()),
    }))
}

/// Finds the artifact of a key: in the folder, then in the layers, then in the remote. A hit opens one file, takes no lock and writes
/// nothing.
///
/// That there is no entry that fits, whatever the reason, is no error.
///
/// @param cache The cache.
/// @param key The key.
/// @param artifact Receives the artifact, which you own, and which may outlive the cache; NULL if there is none. It fits the
///     engine, was verified as far as artifact_open_file() does, and belongs to this key. artifact_load() makes it run.
/// @param outcome Receives an artifact_cache_outcome_t: ARTIFACT_CACHE_HIT or ARTIFACT_CACHE_FETCHED, or why there is no
///     artifact; may be NULL.
/// @return ARTIFACT_OK, or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_get(
    cache: *const artifact_cache_t,
    key: *const artifact_cache_key_t,
    artifact: *mut *mut artifact_t,
    outcome: *mut u32,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(look_up(artifact, outcome, error, || handle(cache, "cache")?.cache.get(&handle(key, "key")?.key)))
}

/// Looks up with `body`: what all functions that return an artifact have in common.
unsafe fn look_up(
    artifact: *mut *mut artifact_t,
    outcome: *mut u32,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce() -> Result<Lookup>,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let outcome = out_optional(outcome, 0);
        let artifact = out(artifact, "artifact", std::ptr::null_mut())?;
        let found = body()?;
        if let Some(outcome) = outcome {
            *outcome = artifact_cache_outcome_t::of(found.outcome) as u32;
        }
        if let Some(found) = found.artifact {
            let texts = Texts::for_file(found.len());
            *artifact = Box::into_raw(Box::new(artifact_t { artifact: found, texts }));
        }
        Ok(())
    }))
}

/// Stores what a builder has under a key, replacing an entry that is there.
///
/// @param cache The cache.
/// @param key The key.
/// @param builder The builder. Its artifact is stored for the target whose settings it has, otherwise for the last target that it fits.
///     It does not change.
/// @param artifact Receives the artifact, which you own, also if it could not be stored.
/// @param outcome Receives ARTIFACT_CACHE_STORED or ARTIFACT_CACHE_NOT_STORED; may be NULL.
/// @return ARTIFACT_OK, a general status, or one of these:
///   - ARTIFACT_INVALID_ARGUMENT: the builder has no module, or writes no trailer.
///   - ARTIFACT_WRONG_PRODUCER, ARTIFACT_WRONG_VERSION, ARTIFACT_INCOMPATIBLE: the artifact fits none of the targets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_put(
    cache: *const artifact_cache_t,
    key: *const artifact_cache_key_t,
    builder: *const artifact_builder_t,
    artifact: *mut *mut artifact_t,
    outcome: *mut u32,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(look_up(artifact, outcome, error, || {
        let key = &handle(key, "key")?.key;
        handle(cache, "cache")?.cache.put(key, &handle(builder, "builder")?.builder)
    }))
}

/// Finds the artifact of a key as artifact_cache_get() does, or else makes and stores it.
///
/// Of all threads and processes that use the folder, only one at a time makes the artifact of a key. The others wait, at most
/// wait_ms of the options, and get what it made. If it fails or dies, the next one makes it.
///
/// An artifact that cannot be stored is returned all the same, from memory.
///
/// @param cache The cache.
/// @param key The key.
/// @param make Makes the artifact; called at most once, in this thread.
/// @param context Passed to make; may be NULL.
/// @param artifact Receives the artifact, which you own, and which may outlive the cache. It fits the engine.
/// @param outcome Receives an artifact_cache_outcome_t: ARTIFACT_CACHE_HIT, ARTIFACT_CACHE_FETCHED, ARTIFACT_CACHE_MADE_BY_OTHER,
///     ARTIFACT_CACHE_MADE or ARTIFACT_CACHE_NOT_STORED; may be NULL. Why there was no entry, the event says.
/// @return ARTIFACT_OK, a general status, what make returned, or one of these:
///   - ARTIFACT_INVALID_ARGUMENT: also if make added no module, or was itself asked for by a make of the same key.
///   - ARTIFACT_INCOMPATIBLE: what was made does not fit the engine, since the first target does not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_get_or_make(
    cache: *const artifact_cache_t,
    key: *const artifact_cache_key_t,
    make: artifact_make_fn,
    context: *mut c_void,
    artifact: *mut *mut artifact_t,
    outcome: *mut u32,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(look_up(artifact, outcome, error, || {
        let cache = &handle(cache, "cache")?.cache;
        let key = &handle(key, "key")?.key;
        let make = make.ok_or_else(|| Error::new(Status::InvalidArgument, "make: expected a function, found NULL"))?;
        cache.get_or_make(key, |builder| {
            let mut failure: *mut artifact_error_t = std::ptr::null_mut();
            let status = artifact_builder_t::lend(builder, |builder| make(context, builder, &raw mut failure));
            let error = (!failure.is_null()).then(|| Box::from_raw(failure).into_error());
            callback_result("make", status, error)
        })
    }))
}

/// Removes the entries of a key for all targets. That there are none is no error.
///
/// @param cache The cache.
/// @param key The key.
/// @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if the cache is read-only, ARTIFACT_IO if an entry cannot be
///     removed, or what artifact_cache_trouble() returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_remove(
    cache: *const artifact_cache_t,
    key: *const artifact_cache_key_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle(cache, "cache")?.cache.remove(&handle(key, "key")?.key).map(|_| ())))
}

/// Deletes what exceeds the limits, now and until nothing does: what stores do bit by bit. Also deletes temporary files of processes
/// that died.
///
/// @param cache The cache.
/// @param freed Receives the number of bytes that were freed; may be NULL.
/// @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if the cache is read-only, ARTIFACT_IO if the folder cannot be
///     read, ARTIFACT_LIMIT if another process has been doing so for longer than wait_ms of the options, or what
///     artifact_cache_trouble() returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_trim(
    cache: *const artifact_cache_t,
    freed: *mut u64,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let freed = out_optional(freed, 0);
        let bytes = handle(cache, "cache")?.cache.trim()?;
        if let Some(freed) = freed {
            *freed = bytes;
        }
        Ok(())
    }))
}

/// Passes each entry of the folder to a function, in no particular order. Entries that are stored or deleted meanwhile may or may not be
/// among them.
///
/// @param cache The cache.
/// @param entry Called with each entry.
/// @param context Passed to entry; may be NULL.
/// @return ARTIFACT_OK, also if entry stopped it, a general status, ARTIFACT_IO if the folder cannot be read, or what
///     artifact_cache_trouble() returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_each(
    cache: *const artifact_cache_t,
    entry: artifact_cache_entry_fn,
    context: *mut c_void,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let cache = &handle(cache, "cache")?.cache;
        let call =
            entry.ok_or_else(|| Error::new(Status::InvalidArgument, "entry: expected a function, found NULL"))?;
        // An error is what ends the loop.
        let mut stopped = false;
        let walked = cache.each(|entry| {
            let path = c_string(entry.path.as_os_str().as_bytes())?;
            let found = artifact_cache_entry_t {
                path: path.as_ptr(),
                key: entry.key,
                target: entry.target,
                size: entry.size,
                used: seconds(entry.used),
            };
            stopped = call(context, &raw const found) != 0;
            if stopped { Err(Error::new(Status::Internal, "stopped")) } else { Ok(()) }
        });
        if stopped { Ok(()) } else { walked }
    }))
}

/// Returns a time in seconds since 1970.
fn seconds(time: SystemTime) -> i64 {
    let whole = |distance: Duration| i64::try_from(distance.as_secs()).unwrap_or(i64::MAX);
    time.duration_since(SystemTime::UNIX_EPOCH).map_or_else(|before| -whole(before.duration()), whole)
}

/// Counts what this handle has seen since it was opened: the results of its calls, and its events.
///
/// @param cache The cache.
/// @param outcome An artifact_cache_outcome_t.
/// @return How often that was the outcome of a call or an event; 0 if cache is NULL or outcome unknown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_count(cache: *const artifact_cache_t, outcome: u32) -> u64 {
    ffi!(infallible(0, || {
        let known = Outcome::ALL.iter().find(|known| **known as u32 == outcome);
        known.map_or(0, |known| handle(cache, "cache").map_or(0, |cache| cache.cache.stats().count(*known)))
    }))
}

/// Measures the folder, by reading all of it.
///
/// @param cache The cache.
/// @param stats Receives the numbers.
/// @return ARTIFACT_OK, a general status, ARTIFACT_IO if the folder cannot be read, or what artifact_cache_trouble() returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_stats(
    cache: *const artifact_cache_t,
    stats: *mut artifact_cache_stats_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    let empty = artifact_cache_stats_t { entries: 0, bytes: 0 };
    ffi!(give(stats, "stats", empty, error, || {
        let usage = handle(cache, "cache")?.cache.usage()?;
        Ok(artifact_cache_stats_t { entries: usage.entries, bytes: usage.bytes })
    }))
}

/// Writes the entries of the folder to one file, a pack, which artifact_cache_options_t.layers takes: what a product is shipped with. The
/// file is replaced atomically, as artifact_serialize_to_file() does it. Each entry is verified; what is damaged or not trusted is left
/// out, and becomes an event.
///
/// @param cache The cache. If it signs, it signs the pack, too: who trusts the key needs no other signature of what is in it.
/// @param path The file to create or replace.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_IO if the folder cannot be read or the file cannot be
///     written, or what artifact_cache_trouble() returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_export(
    cache: *const artifact_cache_t,
    path: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let cache = &handle(cache, "cache")?.cache;
        cache.export(path_in(path, "path")?, &PackOptions::default()).map(|_| ())
    }))
}

/// Frees a cache. NULL is allowed. Artifacts that it returned remain valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cache_free(cache: *mut artifact_cache_t) {
    ffi!(free(cache))
}
