//! Engine: what a host compiles with, or runs.

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

/// What a host compiles with, or runs: target, flags, tunables, features, producer and version rule. Owned; freed with
/// artifact_engine_free(). Functions that take it const may run in many threads at once as long as none changes it.
/// Builders, artifacts and reports keep what they need of it: it may be changed or freed at any time after the call.
pub struct artifact_engine_t {
    pub(super) engine: Engine,
    texts: Texts,
}

/// Which version an engine writes, and which it accepts when opening.
#[repr(C)]
pub enum artifact_version_rule_t {
    /// The revision of the body's layout, "1", which no release of the library changes without need; "0.33.0" under producer
    /// "wasmtime". Accepts exactly that.
    ARTIFACT_VERSION_RULE_LIBRARY = 0,
    /// The embedder's own, such as its compiler's version. Accepts exactly that.
    ARTIFACT_VERSION_RULE_CUSTOM = 1,
    /// Writes none and accepts any.
    ARTIFACT_VERSION_RULE_NONE = 2,
}

impl artifact_engine_t {
    fn of(engine: Engine) -> artifact_engine_t {
        artifact_engine_t { engine, texts: Texts::default() }
    }
}

fn boxed(engine: impl FnOnce() -> Engine) -> *mut artifact_engine_t {
    infallible(std::ptr::null_mut(), || Box::into_raw(Box::new(artifact_engine_t::of(engine()))))
}

/// An engine with this host's target triple and no flags: the baseline that a compiler fills in. Producer "artifact",
/// library version rule, tunables 0 and features off. The caller owns it. NULL only for a defect of the library.
///
/// If your code generator can change, set a producer and ARTIFACT_VERSION_RULE_CUSTOM with its version or build id: the
/// library rule notices neither a new compiler nor a new runtime.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_engine_new() -> *mut artifact_engine_t {
    boxed(Engine::new)
}

/// The same plus every instruction set of this very CPU, detected at run time, under LLVM's target-feature names: what
/// artifacts are checked against. On machines other than x86-64 and aarch64 there are none. Shared flags, tunables, features,
/// producer and version are as empty as in artifact_engine_new(): set the same ones on both.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_engine_new_host() -> *mut artifact_engine_t {
    boxed(Engine::host)
}

/// What Wasmtime 0.33 compiles with on this host by default, under producer "wasmtime" and Cranelift's names: exchanges
/// files with it.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_engine_new_wasmtime() -> *mut artifact_engine_t {
    boxed(Engine::wasmtime)
}

/// A copy that the caller owns; NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_clone(engine: *const artifact_engine_t) -> *mut artifact_engine_t {
    match ffi!(engine.as_ref()) {
        Some(engine) => boxed(|| engine.engine.clone()),
        None => std::ptr::null_mut(),
    }
}

/// Frees an engine. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_free(engine: *mut artifact_engine_t) {
    ffi!(free(engine))
}

/// Changes the engine in `body`; the shape of every setter.
unsafe fn change(
    engine: *mut artifact_engine_t,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce(&mut Engine) -> Result<()>,
) -> artifact_status_t {
    ffi!(fallible(error, || body(&mut handle_mut(engine, "engine")?.engine)))
}

/// Sets the target triple, such as "x86_64-unknown-linux-gnu". ARTIFACT_INVALID_ARGUMENT if it is none. Only architecture and
/// operating system are compared: if your code depends on a C library or an ABI, say so in a shared flag.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_target(
    engine: *mut artifact_engine_t,
    triple: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(change(engine, error, |engine| engine.set_target(text(triple, "triple")?)))
}

/// Sets who compiles: 1 to 32 of a-z 0-9 . _ -, not containing "-aot", which the file puts behind it; otherwise
/// ARTIFACT_INVALID_ARGUMENT. Files of another producer are not opened. Under "wasmtime" Wasmtime 0.33 opens the files that
/// are written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_producer(
    engine: *mut artifact_engine_t,
    producer: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(change(engine, error, |engine| engine.set_producer(text(producer, "producer")?)))
}

/// Sets which version is written and accepted: an artifact_version_rule_t. custom is the version's text, 0 to 255 bytes,
/// with ARTIFACT_VERSION_RULE_CUSTOM, and NULL with the others; otherwise ARTIFACT_INVALID_ARGUMENT.
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
                let message = "custom: expected NULL with every rule but ARTIFACT_VERSION_RULE_CUSTOM, found a pointer";
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

/// Sets a flag of a map (an artifact_flag_map_t) to on or off, whatever it was before. Names and words are yours: the library
/// gives them no meaning but that of the map. ARTIFACT_INVALID_ARGUMENT for an empty name or an unknown map.
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

/// Sets a flag to a number; as artifact_engine_set_flag_bool().
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

/// Sets a flag to a word; as artifact_engine_set_flag_bool().
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

/// Removes a flag. ARTIFACT_NOT_FOUND if the map has none of that name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_unset_flag(
    engine: *mut artifact_engine_t,
    map: u32,
    name: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(change(engine, error, |engine| engine.unset_flag(flag_map(map)?, text(name, "name")?)))
}

/// Sets a tunable, an artifact_tunable_t. ARTIFACT_INVALID_ARGUMENT if there is no such tunable, or for a value other than
/// 0 or 1 where it is a switch.
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

/// Sets a Wasm feature, an artifact_feature_t. ARTIFACT_INVALID_ARGUMENT if there is no such feature.
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

/// A text of an engine's; NULL for a NULL engine.
unsafe fn engine_text(engine: *const artifact_engine_t, get: impl FnOnce(&Engine) -> &str) -> *const c_char {
    ffi!(infallible(std::ptr::null(), || {
        let engine = handle(engine, "engine");
        engine.and_then(|engine| engine.texts.get(get(&engine.engine).as_bytes())).unwrap_or(std::ptr::null())
    }))
}

/// The target triple. Borrowed: valid until the engine is freed, even if the target is changed. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_target(engine: *const artifact_engine_t) -> *const c_char {
    ffi!(engine_text(engine, Engine::target))
}

/// The producer; as artifact_engine_target().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_producer(engine: *const artifact_engine_t) -> *const c_char {
    ffi!(engine_text(engine, Engine::producer))
}

/// The version that is written, "" under ARTIFACT_VERSION_RULE_NONE; as artifact_engine_target().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_version(engine: *const artifact_engine_t) -> *const c_char {
    ffi!(engine_text(engine, Engine::version))
}

/// The version rule, an artifact_version_rule_t; ARTIFACT_VERSION_RULE_LIBRARY for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_version_rule(engine: *const artifact_engine_t) -> u32 {
    ffi!(infallible(0, || {
        let engine = handle(engine, "engine");
        engine.map_or(0, |engine| engine.engine.version_rule().number())
    }))
}

/// How many flags a map has; 0 for NULL or an unknown map.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_flag_count(engine: *const artifact_engine_t, map: u32) -> usize {
    ffi!(infallible(0, || {
        let engine = handle(engine, "engine");
        engine.and_then(|engine| Ok(engine.engine.flags(flag_map(map)?).len())).unwrap_or(0)
    }))
}

/// A flag by its place in the order of names. ARTIFACT_NOT_FOUND past the last one.
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

/// A flag by its name. ARTIFACT_NOT_FOUND if the map has none of that name.
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

/// The value of a tunable, an artifact_tunable_t; a switch is 0 or 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_tunable(
    engine: *const artifact_engine_t,
    tunable: u32,
    value: *mut u64,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(value, "value", 0, error, || flags::tunable(handle(engine, "engine")?.engine.tunables, tunable)))
}

/// Whether a Wasm feature, an artifact_feature_t, is on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_feature(
    engine: *const artifact_engine_t,
    feature: u32,
    value: *mut bool,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(value, "value", false, error, || flags::feature(handle(engine, "engine")?.engine.features, feature)))
}

/// Writes 32 bytes over everything that a compatibility check compares: a cache key. Two engines have the same ones
/// exactly if every artifact fits both or neither. Not a secret, and the same on every machine. Made of the engine that
/// you check against, a key never finds anything stale, and each kind of CPU has its own entries; made of the engine
/// that you build with, CPUs share entries, and each must be checked.
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

/// Everything in the engine, as JSON in a buffer that the caller owns; artifact_engine_from_json() reads it.
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

/// The engine that this JSON describes; the caller owns it. ARTIFACT_INVALID_ARGUMENT, with line and column, if it is no such
/// JSON: every key is needed, and an unknown one refused.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_from_json(
    json: *const c_char,
    engine: *mut *mut artifact_engine_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(engine, "engine", error, || Engine::from_json(text(json, "json")?).map(artifact_engine_t::of)))
}
