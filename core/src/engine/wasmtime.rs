//! The Wasmtime 0.33 profile: the default settings of that version, under Cranelift's names. `docs/format.md` lists the same
//! values.

use super::{Engine, VersionRule, WASMTIME, cpu, flag_table};
use crate::format::flags::{Features, Flag, Tunables};

const ON: [&str; 8] = [
    "avoid_div_traps",
    "enable_atomics",
    "enable_float",
    "enable_heap_access_spectre_mitigation",
    "enable_jump_tables",
    "enable_safepoints",
    "enable_simd",
    "unwind_info",
];
const OFF: [&str; 11] = [
    "emit_all_ones_funcaddrs",
    "enable_llvm_abi_extensions",
    "enable_nan_canonicalization",
    "enable_pinned_reg",
    "enable_probestack",
    "enable_verifier",
    "is_pic",
    "machine_code_cfg_info",
    "probestack_func_adjusts_sp",
    "use_colocated_libcalls",
    "use_pinned_reg_as_heap_base",
];
const NUMBERS: [(&str, u8); 2] = [("baldrdash_prologue_words", 0), ("probestack_size_log2", 12)];
const WORDS: [(&str, &str); 4] =
    [("libcall_call_conv", "isa_default"), ("opt_level", "speed"), ("regalloc", "backtracking"), ("tls_model", "none")];

/// Cranelift 0.80's ISA flags by architecture.
const X86_64: &[&str] = &[
    "has_avx",
    "has_avx2",
    "has_avx512bitalg",
    "has_avx512dq",
    "has_avx512f",
    "has_avx512vbmi",
    "has_avx512vl",
    "has_bmi1",
    "has_bmi2",
    "has_lzcnt",
    "has_popcnt",
    "has_sse3",
    "has_sse41",
    "has_sse42",
    "has_ssse3",
];
const AARCH64: &[&str] = &["has_lse"];
const S390X: &[&str] = &["has_mie2", "has_vxrs_ext2"];

/// Returns the names of the ISA flags of a target.
pub fn isa_names(target: &str) -> &'static [&'static str] {
    match target.split('-').next() {
        Some("x86_64") => X86_64,
        Some("aarch64") => AARCH64,
        Some("s390x") => S390X,
        _ => &[],
    }
}

pub fn engine(target: &str) -> Engine {
    let mut shared_flags = ON
        .map(|name| (name, Flag::Bool(true)))
        .into_iter()
        .chain(OFF.map(|name| (name, Flag::Bool(false))))
        .chain(NUMBERS.map(|(name, number)| (name, Flag::Num(number))))
        .chain(WORDS.map(|(name, word)| (name, Flag::Enum(word.to_owned()))));
    let mut isa_flags = isa_names(target).iter().map(|name| (*name, Flag::Bool(cpu::has(name))));
    Engine {
        producer: WASMTIME.to_owned(),
        version: VersionRule::Library,
        target: target.to_owned(),
        shared_flags: flag_table(&mut shared_flags),
        isa_flags: flag_table(&mut isa_flags),
        tunables: Tunables {
            static_memory_bound: 65536,
            static_memory_offset_guard_size: 2 << 30,
            dynamic_memory_offset_guard_size: 64 << 10,
            dynamic_memory_growth_reserve: 2 << 30,
            guard_before_linear_memory: true,
            generate_address_map: true,
            ..Tunables::default()
        },
        features: Features {
            reference_types: true,
            multi_value: true,
            bulk_memory: true,
            simd: true,
            ..Features::default()
        },
        ..Engine::new()
    }
}
