//! Engine: what code is compiled for, or what a host can run.

use std::ffi::c_char;

use super::boundary::{
    fallible, ffi, free, give, give_handle, handle, handle_mut, infallible, past_the_end, text, unknown,
};
use super::buffer::artifact_buffer_t;
use super::error::artifact_error_t;
use super::flags::{self, artifact_flag_t, flag_map, setting_index};
use super::library::artifact_status_t;
use super::text::Texts;
use artifact::engine::{Engine, VersionRule, no_flag};
use artifact::error::{Error, Result, Status};
use artifact::format::flags::{Features, Flag, Tunables};

/// What code is compiled for, or what a host can run: target triple, flags, tunables, features, producer, version rule,
/// and trusted keys. You own it; free it with artifact_engine_free(). Functions that take it const may run in many
/// threads at once while no thread changes it. Builders, artifacts and reports copy what they need from it: you may
/// change or free it after any call.
pub struct artifact_engine_t {
    pub(super) engine: Engine,
    texts: Texts,
}

/// Which version an engine writes into artifacts, and which it accepts when it opens them.
#[repr(C)]
pub enum artifact_version_rule_t {
    /// Writes and accepts exactly the version of the body's layout: "1", which releases of the library change only if
    /// they must; "0.33.0" under producer "wasmtime".
    ARTIFACT_VERSION_RULE_LIBRARY = 0,
    /// Writes and accepts exactly a version of your own, such as that of your compiler.
    ARTIFACT_VERSION_RULE_CUSTOM = 1,
    /// Writes no version and accepts any.
    ARTIFACT_VERSION_RULE_NONE = 2,
}

impl artifact_engine_t {
    fn of(engine: Engine) -> artifact_engine_t {
        artifact_engine_t { engine, texts: Texts::default() }
    }
}

pub(super) fn boxed(engine: impl FnOnce() -> Engine) -> *mut artifact_engine_t {
    infallible(std::ptr::null_mut(), || Box::into_raw(Box::new(artifact_engine_t::of(engine()))))
}

/// Creates an engine with this host's target triple, producer "artifact", ARTIFACT_VERSION_RULE_LIBRARY, no flags, and
/// all tunables and features 0. A compiler starts with it and sets what it compiles with.
///
/// If your code generator can change, set a producer, and ARTIFACT_VERSION_RULE_CUSTOM with its version or build id:
/// ARTIFACT_VERSION_RULE_LIBRARY notices neither a new compiler nor a new runtime.
///
/// @return An engine that you own. NULL only because of a defect of the library.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_engine_new() -> *mut artifact_engine_t {
    boxed(Engine::new)
}

/// Creates an engine as artifact_engine_new() does, and adds every instruction set of the CPU that runs this call as an
/// ISA flag under LLVM's name for it. Check artifacts against this engine. On machines other than x86-64 and aarch64 it
/// has no ISA flags.
///
/// An instruction set counts if the CPU has it, the operating system has enabled the registers that it uses, and this
/// process may use it, all at the time of this call. On Linux, a process may use AMX only after
/// arch_prctl(ARCH_REQ_XCOMP_PERM, 18): make that call before you create the engine, which otherwise has no amx-tile.
///
/// The length of SVE vectors differs from CPU to CPU. It is the enum flag "sve-vector-bits", the length of the calling
/// thread's vectors in bits, such as "512"; "sme-vector-bits" is the length in streaming mode. An artifact that has such
/// a flag fits only the same length; one that does not fits any.
///
/// Shared flags, tunables, features, producer and version rule are those of artifact_engine_new(): set them to what you
/// set when you save.
///
/// @return An engine that you own. NULL only because of a defect of the library.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_engine_new_host() -> *mut artifact_engine_t {
    boxed(Engine::host)
}

/// Creates an engine with what Wasmtime 0.33 compiles with by default on this host: producer "wasmtime", and
/// Cranelift's names of flags. Use it to exchange files with Wasmtime 0.33.
///
/// @return An engine that you own. NULL only because of a defect of the library.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_engine_new_wasmtime() -> *mut artifact_engine_t {
    boxed(Engine::wasmtime)
}

/// Copies an engine. Returns a copy that you own; NULL if engine is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_clone(engine: *const artifact_engine_t) -> *mut artifact_engine_t {
    match ffi!(engine.as_ref()) {
        Some(engine) => boxed(|| engine.engine.clone()),
        None => std::ptr::null_mut(),
    }
}

/// Frees an engine. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_free(engine: *mut artifact_engine_t) {
    ffi!(free(engine))
}

/// Changes an engine with `body`: what all setters have in common.
pub(super) unsafe fn change(
    engine: *mut artifact_engine_t,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce(&mut Engine) -> Result<()>,
) -> artifact_status_t {
    ffi!(fallible(error, || body(&mut handle_mut(engine, "engine")?.engine)))
}

/// Sets the target triple.
///
/// @param engine The engine to change.
/// @param triple A target triple, such as "x86_64-unknown-linux-gnu". A compatibility check compares only its
///     architecture and operating system. If your code depends on a C library or an ABI, add a shared flag for it.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if triple is not a target triple.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_target(
    engine: *mut artifact_engine_t,
    triple: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(change(engine, error, |engine| engine.set_target(text(triple, "triple")?)))
}

/// Sets the producer: the name of the program that compiles. An engine does not open artifacts of another producer.
/// Wasmtime 0.33 opens artifacts that are saved under producer "wasmtime".
///
/// @param engine The engine to change.
/// @param producer 1 to 32 characters from a-z, 0-9, '.', '_' and '-', without "-aot", which the file format appends.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if producer is not such a name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_producer(
    engine: *mut artifact_engine_t,
    producer: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(change(engine, error, |engine| engine.set_producer(text(producer, "producer")?)))
}

/// Sets which version the engine writes into artifacts and accepts when it opens them.
///
/// @param engine The engine to change.
/// @param rule An artifact_version_rule_t.
/// @param custom The version, 0 to 255 bytes, if rule is ARTIFACT_VERSION_RULE_CUSTOM; otherwise NULL.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if rule is unknown or custom does not suit it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_version_rule(
    engine: *mut artifact_engine_t,
    rule: u32,
    custom: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    let body = |engine: &mut Engine| {
        let rule = match rule {
            1 => {
                let custom = ffi!(text(custom, "custom"))?;
                VersionRule::Custom(custom.to_owned())
            }
            _ if !custom.is_null() => {
                let message = "custom: expected NULL unless the rule is ARTIFACT_VERSION_RULE_CUSTOM, found a pointer";
                return Err(Error::new(Status::InvalidArgument, message));
            }
            0 => VersionRule::Library,
            2 => VersionRule::None,
            found => return Err(unknown("rule", found, 3)),
        };
        engine.set_version_rule(rule)
    };
    ffi!(change(engine, error, body))
}

/// Sets a compiler flag to on or off. Replaces the flag if it exists, whatever its type was. The library gives names
/// and values no meaning except what artifact_flag_map_t says of their map.
///
/// @param engine The engine to change.
/// @param map An artifact_flag_map_t.
/// @param name The flag's name, not empty.
/// @param value On or off.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if map is unknown or name is empty.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_flag_bool(
    engine: *mut artifact_engine_t,
    map: u32,
    name: *const c_char,
    value: bool,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(change(engine, error, |engine| engine.set_flag(flag_map(map)?, text(name, "name")?, Flag::Bool(value))))
}

/// Sets a compiler flag to a number. Otherwise like artifact_engine_set_flag_bool().
///
/// @param engine The engine to change.
/// @param map An artifact_flag_map_t.
/// @param name The flag's name, not empty.
/// @param value The number.
/// @return As artifact_engine_set_flag_bool().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_flag_num(
    engine: *mut artifact_engine_t,
    map: u32,
    name: *const c_char,
    value: u8,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(change(engine, error, |engine| engine.set_flag(flag_map(map)?, text(name, "name")?, Flag::Num(value))))
}

/// Sets a compiler flag to a word. Otherwise like artifact_engine_set_flag_bool().
///
/// @param engine The engine to change.
/// @param map An artifact_flag_map_t.
/// @param name The flag's name, not empty.
/// @param value The word, which is copied.
/// @return As artifact_engine_set_flag_bool().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_flag_enum(
    engine: *mut artifact_engine_t,
    map: u32,
    name: *const c_char,
    value: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    let body = |engine: &mut Engine| {
        let (name, value) = ffi!((text(name, "name")?, text(value, "value")?));
        engine.set_flag(flag_map(map)?, name, Flag::Enum(value.to_owned()))
    };
    ffi!(change(engine, error, body))
}

/// Removes a compiler flag.
///
/// @param engine The engine to change.
/// @param map An artifact_flag_map_t.
/// @param name The flag's name.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if the map has no flag of this name, or
///     ARTIFACT_INVALID_ARGUMENT if map is unknown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_unset_flag(
    engine: *mut artifact_engine_t,
    map: u32,
    name: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(change(engine, error, |engine| engine.unset_flag(flag_map(map)?, text(name, "name")?)))
}

/// Sets a tunable.
///
/// @param engine The engine to change.
/// @param tunable An artifact_tunable_t.
/// @param value The size, or 0 or 1 for a switch.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if tunable is unknown, or is a switch and value
///     is neither 0 nor 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_tunable(
    engine: *mut artifact_engine_t,
    tunable: u32,
    value: u64,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    let body = |engine: &mut Engine| {
        let index = setting_index("tunable", tunable, Tunables::SETTINGS.len())?;
        engine.tunables.set(index, value)
    };
    ffi!(change(engine, error, body))
}

/// Turns a Wasm feature on or off.
///
/// @param engine The engine to change.
/// @param feature An artifact_feature_t.
/// @param value On or off.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if feature is unknown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_feature(
    engine: *mut artifact_engine_t,
    feature: u32,
    value: bool,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(change(engine, error, |engine| {
        let index = setting_index("feature", feature, Features::SETTINGS.len())?;
        engine.features.set(index, value.into())
    }))
}

/// Returns a text of an engine, NULL for a NULL engine.
unsafe fn engine_text(engine: *const artifact_engine_t, get: impl FnOnce(&Engine) -> &str) -> *const c_char {
    ffi!(infallible(std::ptr::null(), || {
        let engine = handle(engine, "engine");
        engine.and_then(|engine| engine.texts.get(get(&engine.engine).as_bytes())).unwrap_or(std::ptr::null())
    }))
}

/// Returns the target triple. Borrowed: valid until the engine is freed, even if the target changes. NULL if engine is
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_target(engine: *const artifact_engine_t) -> *const c_char {
    ffi!(engine_text(engine, Engine::target))
}

/// Returns the producer. Borrowed: valid until the engine is freed, even if the producer changes. NULL if engine is
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_producer(engine: *const artifact_engine_t) -> *const c_char {
    ffi!(engine_text(engine, Engine::producer))
}

/// Returns the version that the engine writes into artifacts; "" under ARTIFACT_VERSION_RULE_NONE. Borrowed: valid
/// until the engine is freed, even if the version changes. NULL if engine is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_version(engine: *const artifact_engine_t) -> *const c_char {
    ffi!(engine_text(engine, Engine::version))
}

/// Returns the version rule, an artifact_version_rule_t; ARTIFACT_VERSION_RULE_LIBRARY if engine is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_version_rule(engine: *const artifact_engine_t) -> u32 {
    ffi!(infallible(0, || {
        let engine = handle(engine, "engine");
        engine.map_or(0, |engine| engine.engine.version_rule().number())
    }))
}

/// Returns the number of compiler flags in a map.
///
/// @param engine The engine, or NULL.
/// @param map An artifact_flag_map_t.
/// @return The number of flags; 0 if engine is NULL or map is unknown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_flag_count(engine: *const artifact_engine_t, map: u32) -> usize {
    ffi!(infallible(0, || {
        let engine = handle(engine, "engine");
        engine.and_then(|engine| Ok(engine.engine.flags(flag_map(map)?).len())).unwrap_or(0)
    }))
}

/// Reads a compiler flag by its index.
///
/// @param engine The engine.
/// @param map An artifact_flag_map_t.
/// @param index An index below artifact_engine_flag_count(). Flags are sorted by name.
/// @param flag Receives the flag. Its texts are valid until the engine is freed.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or ARTIFACT_INVALID_ARGUMENT if
///     map is unknown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_flag_at(
    engine: *const artifact_engine_t,
    map: u32,
    index: usize,
    flag: *mut artifact_flag_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(flag, "flag", artifact_flag_t::EMPTY, error, || {
        let artifact_engine_t { engine, texts } = handle(engine, "engine")?;
        let flags = engine.flags(flag_map(map)?);
        let (name, value) = flags.iter().nth(index).ok_or_else(|| past_the_end("flag", index, flags.len()))?;
        artifact_flag_t::of(texts, name, value.borrowed())
    }))
}

/// Reads a compiler flag by its name.
///
/// @param engine The engine.
/// @param map An artifact_flag_map_t.
/// @param name The flag's name.
/// @param flag Receives the flag. Its texts are valid until the engine is freed.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if the map has no flag of this name, or
///     ARTIFACT_INVALID_ARGUMENT if map is unknown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_flag(
    engine: *const artifact_engine_t,
    map: u32,
    name: *const c_char,
    flag: *mut artifact_flag_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(flag, "flag", artifact_flag_t::EMPTY, error, || {
        let artifact_engine_t { engine, texts } = handle(engine, "engine")?;
        let name = text(name, "name")?;
        let value = engine.flags(flag_map(map)?).get(name).ok_or_else(|| no_flag(name))?;
        artifact_flag_t::of(texts, name, value.borrowed())
    }))
}

/// Reads a tunable.
///
/// @param engine The engine.
/// @param tunable An artifact_tunable_t.
/// @param value Receives the size, or 0 or 1 for a switch.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if tunable is unknown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_tunable(
    engine: *const artifact_engine_t,
    tunable: u32,
    value: *mut u64,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(value, "value", 0, error, || flags::tunable(handle(engine, "engine")?.engine.tunables, tunable)))
}

/// Reads whether a Wasm feature is on.
///
/// @param engine The engine.
/// @param feature An artifact_feature_t.
/// @param value Receives true for on, false for off.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if feature is unknown.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_feature(
    engine: *const artifact_engine_t,
    feature: u32,
    value: *mut bool,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(value, "value", false, error, || flags::feature(handle(engine, "engine")?.engine.features, feature)))
}

/// Computes a cache key: a digest of everything that a compatibility check compares. Two engines have equal
/// fingerprints if and only if every artifact fits both or neither. A fingerprint is not secret, and is the same on
/// every machine.
///
/// Fingerprint the engine that you check against to get one entry for each kind of CPU, which is never stale.
/// Fingerprint the engine that you build with to share entries between CPUs, and check each entry when you open it.
///
/// @param engine The engine.
/// @param fingerprint An array of 32 bytes, which receives the fingerprint.
/// @return ARTIFACT_OK, or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_fingerprint(
    engine: *const artifact_engine_t,
    fingerprint: *mut u8,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(fingerprint.cast::<[u8; 32]>(), "fingerprint", [0; 32], error, || {
        Ok(handle(engine, "engine")?.engine.fingerprint())
    }))
}

/// Writes everything in an engine as JSON, which artifact_engine_from_json() reads.
///
/// @param engine The engine.
/// @param json Receives the JSON text, a buffer that you own.
/// @return ARTIFACT_OK, or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_to_json(
    engine: *const artifact_engine_t,
    json: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(json, "json", error, || {
        handle(engine, "engine")?.engine.to_json().map(|text| artifact_buffer_t::of(text.into_bytes()))
    }))
}

/// Creates an engine from JSON, as artifact_engine_to_json() writes it.
///
/// @param json JSON text. Every key is required, and unknown keys are refused.
/// @param engine Receives the engine, which you own.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT, with line and column, if the text is not the
///     JSON of an engine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_from_json(
    json: *const c_char,
    engine: *mut *mut artifact_engine_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(engine, "engine", error, || Engine::from_json(text(json, "json")?).map(artifact_engine_t::of)))
}
