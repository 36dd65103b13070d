//! Flags, tunables and features: what engines and artifacts are described with.

use std::ffi::c_char;

use super::boundary::unknown;
use super::text::Texts;
use artifact::engine::FlagMap;
use artifact::error::Result;
use artifact::format::flags::{Features, Flag, Tunables};

/// The two maps of compiler flags.
#[repr(C)]
pub enum artifact_flag_map_t {
    /// Flags that every architecture has, such as "opt_level". Compared exactly.
    ARTIFACT_FLAGS_SHARED = 0,
    /// Instruction sets, such as "avx2". A boolean only matters where the artifact has it on.
    ARTIFACT_FLAGS_ISA = 1,
}

/// What kind of value a flag has.
#[repr(C)]
pub enum artifact_flag_kind_t {
    /// One of several words.
    ARTIFACT_FLAG_ENUM = 0,
    /// A number of 0 to 255.
    ARTIFACT_FLAG_NUM = 1,
    /// On or off.
    ARTIFACT_FLAG_BOOL = 2,
}

/// One flag. Its texts are borrowed: valid until the engine or artifact that they were asked of is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_flag_t {
    /// Its name.
    pub name: *const c_char,
    /// An artifact_flag_kind_t.
    pub kind: u32,
    /// The number, or 1 for on and 0 for off; 0 for a word.
    pub value: u32,
    /// The word; NULL for the other kinds.
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

/// How a compiler lays out linear memories, and what it compiles in. Sizes are in bytes unless said otherwise; the others
/// are 0 or 1. All but the two that say so are compared.
#[repr(C)]
pub enum artifact_tunable_t {
    /// Memories up to this many Wasm pages are reserved whole.
    ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND = 0,
    /// Guard behind such a memory.
    ARTIFACT_TUNABLE_STATIC_MEMORY_OFFSET_GUARD_SIZE = 1,
    /// Guard behind a memory that can move.
    ARTIFACT_TUNABLE_DYNAMIC_MEMORY_OFFSET_GUARD_SIZE = 2,
    /// How far such a memory can grow in place. Not compared.
    ARTIFACT_TUNABLE_DYNAMIC_MEMORY_GROWTH_RESERVE = 3,
    /// DWARF for the machine code.
    ARTIFACT_TUNABLE_GENERATE_NATIVE_DEBUGINFO = 4,
    /// The Wasm module's DWARF is used in backtraces.
    ARTIFACT_TUNABLE_PARSE_WASM_DEBUGINFO = 5,
    /// Code can be interrupted.
    ARTIFACT_TUNABLE_INTERRUPTABLE = 6,
    /// Code counts fuel.
    ARTIFACT_TUNABLE_CONSUME_FUEL = 7,
    /// No memory grows beyond the static bound, as a pooling allocator needs it.
    ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND_IS_MAXIMUM = 8,
    /// A guard lies before each memory too.
    ARTIFACT_TUNABLE_GUARD_BEFORE_LINEAR_MEMORY = 9,
    /// A map from machine code to Wasm code is stored. Not compared.
    ARTIFACT_TUNABLE_GENERATE_ADDRESS_MAP = 10,
}

/// Wasm proposals that the compiler accepts.
#[repr(C)]
#[allow(missing_docs)]
pub enum artifact_feature_t {
    ARTIFACT_FEATURE_REFERENCE_TYPES = 0,
    ARTIFACT_FEATURE_MULTI_VALUE = 1,
    ARTIFACT_FEATURE_BULK_MEMORY = 2,
    ARTIFACT_FEATURE_MODULE_LINKING = 3,
    ARTIFACT_FEATURE_SIMD = 4,
    ARTIFACT_FEATURE_THREADS = 5,
    ARTIFACT_FEATURE_TAIL_CALL = 6,
    ARTIFACT_FEATURE_DETERMINISTIC_ONLY = 7,
    ARTIFACT_FEATURE_MULTI_MEMORY = 8,
    ARTIFACT_FEATURE_EXCEPTIONS = 9,
    ARTIFACT_FEATURE_MEMORY64 = 10,
}

pub(super) fn flag_map(map: u32) -> Result<FlagMap> {
    match map {
        0 => Ok(FlagMap::Shared),
        1 => Ok(FlagMap::Isa),
        found => Err(unknown("map", found, 2)),
    }
}

/// A tunable's value behind its key.
pub(super) enum Slot<'t> {
    Number(&'t mut u64),
    Switch(&'t mut bool),
}

pub(super) fn tunable_slot(tunables: &mut Tunables, key: u32) -> Result<Slot<'_>> {
    Ok(match key {
        0 => Slot::Number(&mut tunables.static_memory_bound),
        1 => Slot::Number(&mut tunables.static_memory_offset_guard_size),
        2 => Slot::Number(&mut tunables.dynamic_memory_offset_guard_size),
        3 => Slot::Number(&mut tunables.dynamic_memory_growth_reserve),
        4 => Slot::Switch(&mut tunables.generate_native_debuginfo),
        5 => Slot::Switch(&mut tunables.parse_wasm_debuginfo),
        6 => Slot::Switch(&mut tunables.interruptable),
        7 => Slot::Switch(&mut tunables.consume_fuel),
        8 => Slot::Switch(&mut tunables.static_memory_bound_is_maximum),
        9 => Slot::Switch(&mut tunables.guard_before_linear_memory),
        10 => Slot::Switch(&mut tunables.generate_address_map),
        found => return Err(unknown("tunable", found, 11)),
    })
}

pub(super) fn tunable(mut tunables: Tunables, key: u32) -> Result<u64> {
    Ok(match tunable_slot(&mut tunables, key)? {
        Slot::Number(number) => *number,
        Slot::Switch(on) => u64::from(*on),
    })
}

pub(super) fn feature_slot(features: &mut Features, key: u32) -> Result<&mut bool> {
    Ok(match key {
        0 => &mut features.reference_types,
        1 => &mut features.multi_value,
        2 => &mut features.bulk_memory,
        3 => &mut features.module_linking,
        4 => &mut features.simd,
        5 => &mut features.threads,
        6 => &mut features.tail_call,
        7 => &mut features.deterministic_only,
        8 => &mut features.multi_memory,
        9 => &mut features.exceptions,
        10 => &mut features.memory64,
        found => return Err(unknown("feature", found, 11)),
    })
}

pub(super) fn feature(mut features: Features, key: u32) -> Result<bool> {
    feature_slot(&mut features, key).map(|on| *on)
}
