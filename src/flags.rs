//! Flags, tunables and features: the settings of engines and artifacts.

use std::ffi::c_char;

use super::boundary::unknown;
use super::text::Texts;
use artifact::engine::FlagMap;
use artifact::error::Result;
use artifact::format::flags::{Features, Flag, Tunables};

/// The two maps of compiler flags.
#[repr(C)]
pub enum artifact_flag_map_t {
    /// Flags that every architecture has, such as "opt_level". They must be equal.
    ARTIFACT_FLAGS_SHARED = 0,
    /// Instruction sets, such as "avx2". A boolean flag is compared only if it is on in the artifact.
    ARTIFACT_FLAGS_ISA = 1,
}

/// The type of a flag's value.
#[repr(C)]
pub enum artifact_flag_kind_t {
    /// One of several words.
    ARTIFACT_FLAG_ENUM = 0,
    /// A number from 0 to 255.
    ARTIFACT_FLAG_NUM = 1,
    /// On or off.
    ARTIFACT_FLAG_BOOL = 2,
}

/// A compiler flag. Its texts are borrowed: valid until the engine or artifact that returned it is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_flag_t {
    /// The flag's name.
    pub name: *const c_char,
    /// An artifact_flag_kind_t.
    pub kind: u32,
    /// ARTIFACT_FLAG_NUM: the number. ARTIFACT_FLAG_BOOL: 1 for on, 0 for off. ARTIFACT_FLAG_ENUM: 0.
    pub value: u32,
    /// ARTIFACT_FLAG_ENUM: the word. Otherwise NULL.
    pub text: *const c_char,
}

impl artifact_flag_t {
    pub(super) const EMPTY: artifact_flag_t =
        artifact_flag_t { name: std::ptr::null(), kind: 0, value: 0, text: std::ptr::null() };

    pub(super) fn of(texts: &Texts, name: &str, flag: Flag<&str>) -> Result<artifact_flag_t> {
        let (kind, value, text) = match flag {
            Flag::Enum(word) => (artifact_flag_kind_t::ARTIFACT_FLAG_ENUM, 0, texts.get(word.as_bytes())?),
            Flag::Num(number) => (artifact_flag_kind_t::ARTIFACT_FLAG_NUM, number.into(), std::ptr::null()),
            Flag::Bool(on) => (artifact_flag_kind_t::ARTIFACT_FLAG_BOOL, on.into(), std::ptr::null()),
        };
        Ok(artifact_flag_t { name: texts.get(name.as_bytes())?, kind: kind as u32, value, text })
    }
}

/// Settings of how a Wasm compiler lays out linear memories and what it compiles into the code. Sizes are in bytes
/// unless said otherwise. Settings without a size are switches, 0 or 1. A compatibility check compares all but the two
/// that say otherwise.
#[repr(C)]
pub enum artifact_tunable_t {
    /// Memories of at most this size, in Wasm pages of 64 KiB, are reserved as a whole (static memories).
    ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND = 0,
    /// Size of the guard region after a static memory.
    ARTIFACT_TUNABLE_STATIC_MEMORY_OFFSET_GUARD_SIZE = 1,
    /// Size of the guard region after a memory that can move (a dynamic memory).
    ARTIFACT_TUNABLE_DYNAMIC_MEMORY_OFFSET_GUARD_SIZE = 2,
    /// How far a dynamic memory can grow in place. Not compared.
    ARTIFACT_TUNABLE_DYNAMIC_MEMORY_GROWTH_RESERVE = 3,
    /// The machine code has DWARF.
    ARTIFACT_TUNABLE_GENERATE_NATIVE_DEBUGINFO = 4,
    /// Backtraces use the Wasm module's DWARF.
    ARTIFACT_TUNABLE_PARSE_WASM_DEBUGINFO = 5,
    /// The code can be interrupted.
    ARTIFACT_TUNABLE_INTERRUPTABLE = 6,
    /// The code counts fuel.
    ARTIFACT_TUNABLE_CONSUME_FUEL = 7,
    /// No memory grows beyond the static bound, as a pooling allocator requires.
    ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND_IS_MAXIMUM = 8,
    /// A guard region also precedes each memory.
    ARTIFACT_TUNABLE_GUARD_BEFORE_LINEAR_MEMORY = 9,
    /// The artifact stores a map from machine code to Wasm code. Not compared.
    ARTIFACT_TUNABLE_GENERATE_ADDRESS_MAP = 10,
}

/// Wasm proposals that a compiler accepts.
#[repr(C)]
pub enum artifact_feature_t {
    /// Reference types.
    ARTIFACT_FEATURE_REFERENCE_TYPES = 0,
    /// Functions and blocks with several results.
    ARTIFACT_FEATURE_MULTI_VALUE = 1,
    /// Bulk memory operations.
    ARTIFACT_FEATURE_BULK_MEMORY = 2,
    /// Module linking.
    ARTIFACT_FEATURE_MODULE_LINKING = 3,
    /// 128-bit SIMD.
    ARTIFACT_FEATURE_SIMD = 4,
    /// Shared memories and atomics.
    ARTIFACT_FEATURE_THREADS = 5,
    /// Tail calls.
    ARTIFACT_FEATURE_TAIL_CALL = 6,
    /// Only deterministic instructions.
    ARTIFACT_FEATURE_DETERMINISTIC_ONLY = 7,
    /// Several memories in one module.
    ARTIFACT_FEATURE_MULTI_MEMORY = 8,
    /// Exceptions.
    ARTIFACT_FEATURE_EXCEPTIONS = 9,
    /// Memories with 64-bit addresses.
    ARTIFACT_FEATURE_MEMORY64 = 10,
}

pub(super) fn flag_map(map: u32) -> Result<FlagMap> {
    match map {
        0 => Ok(FlagMap::Shared),
        1 => Ok(FlagMap::Isa),
        found => Err(unknown("map", found, 2)),
    }
}

/// Converts the key of a tunable or feature, of which there are `count`, to its index.
pub(super) fn setting_index(name: &str, key: u32, count: usize) -> Result<usize> {
    let index = key as usize;
    if index < count { Ok(index) } else { Err(unknown(name, key, count as u32)) }
}

pub(super) fn tunable(tunables: Tunables, key: u32) -> Result<u64> {
    let values = tunables.values();
    let index = setting_index("tunable", key, values.len())?;
    Ok(values.get(index).map_or(0, |value| value.number()))
}

pub(super) fn feature(features: Features, key: u32) -> Result<bool> {
    let values = features.values();
    let index = setting_index("feature", key, values.len())?;
    Ok(values.get(index).is_some_and(|value| value.number() != 0))
}

#[cfg(test)]
mod tests {
    use artifact::format::flags::Setting;

    use super::*;

    /// The core declares the settings, and this file numbers them for C: both must have the same names in the same order.
    #[test]
    fn enumerators_are_the_cores_settings() {
        let source = include_str!("flags.rs");
        let check = |prefix: &str, settings: &[Setting]| {
            let numbered: Vec<_> = source.lines().filter(|line| line.trim_start().starts_with(prefix)).collect();
            assert_eq!(numbered.len(), settings.len(), "{prefix}");
            for (index, (line, setting)) in numbered.iter().zip(settings).enumerate() {
                assert_eq!(line.trim(), format!("{prefix}{} = {index},", setting.name.to_uppercase()));
            }
        };
        check("ARTIFACT_TUNABLE_", &Tunables::SETTINGS);
        check("ARTIFACT_FEATURE_", &Features::SETTINGS);
    }
}
