//! CPU features of aarch64, detected by the standard library, which asks the operating system.

use std::arch::is_aarch64_feature_detected;

/// Maps LLVM's name for a feature to the standard library's, and detects the feature.
macro_rules! known {
    ($($llvm:literal = $std:tt),* $(,)?) => {
        [$( ($llvm, is_aarch64_feature_detected!($std)) ),*]
    };
}

/// Returns none: only x86-64 has microarchitecture levels.
pub fn level(_: &str) -> Option<Vec<&'static str>> {
    None
}

/// Returns every feature that can be detected, and whether this CPU has it.
pub fn detect() -> Vec<(&'static str, bool)> {
    known!(
        "aes" = "aes",
        "bf16" = "bf16",
        "bti" = "bti",
        "ccdp" = "dpb2",
        "ccpp" = "dpb",
        "complxnum" = "fcma",
        "crc" = "crc",
        "dit" = "dit",
        "dotprod" = "dotprod",
        "f32mm" = "f32mm",
        "f64mm" = "f64mm",
        "flagm" = "flagm",
        "fp-armv8" = "neon",
        "fp16fml" = "fhm",
        "fptoint" = "frintts",
        "fullfp16" = "fp16",
        "i8mm" = "i8mm",
        "jsconv" = "jsconv",
        "lse" = "lse",
        "lse2" = "lse2",
        "mte" = "mte",
        "neon" = "neon",
        "pauth" = "paca",
        "rand" = "rand",
        "rcpc" = "rcpc",
        "rcpc-immo" = "rcpc2",
        "rdm" = "rdm",
        "sb" = "sb",
        "sha2" = "sha2",
        "sha3" = "sha3",
        "sm4" = "sm4",
        "ssbs" = "ssbs",
        "sve" = "sve",
        "sve2" = "sve2",
        "sve2-aes" = "sve2-aes",
        "sve2-bitperm" = "sve2-bitperm",
        "sve2-sha3" = "sve2-sha3",
        "sve2-sm4" = "sve2-sm4",
    )
    .to_vec()
}
