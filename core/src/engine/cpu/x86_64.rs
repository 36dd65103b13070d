//! CPU features of x86-64. The standard library detects those that the operating system has to enable; others, which need only
//! the CPU, are read from CPUID.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};

/// Detects features given by LLVM's name, and the standard library's name where it differs.
macro_rules! known {
    ($($llvm:tt $(= $std:tt)?),* $(,)?) => { [ $( ($llvm, known!(@detected $llvm $($std)?)) ),* ] };
    (@detected $llvm:tt) => { is_x86_feature_detected!($llvm) };
    (@detected $llvm:tt $std:tt) => { is_x86_feature_detected!($std) };
}

/// The features that each level of the x86-64 psABI (section "Micro-Architecture Levels") adds to the previous one.
const LEVELS: [(&str, &[&str]); 4] = [
    ("x86-64", &[]),
    ("x86-64-v2", &["crc32", "cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"]),
    ("x86-64-v3", &["avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"]),
    ("x86-64-v4", &["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"]),
];

/// Returns the features of a microarchitecture level, without those of the x86-64 baseline.
pub fn level(name: &str) -> Option<Vec<&'static str>> {
    let last = LEVELS.iter().position(|(level, _)| *level == name)?;
    Some(LEVELS.iter().take(last + 1).flat_map(|(_, features)| *features).copied().collect())
}

/// Returns every feature that can be detected, and whether this CPU has it.
pub fn detect() -> Vec<(&'static str, bool)> {
    let mut found = vec![("64bit", true)];
    found.extend(known! {
        "adx", "aes", "avx", "avx2", "avx512bf16", "avx512bitalg", "avx512bw", "avx512cd", "avx512dq", "avx512f",
        "avx512fp16", "avx512ifma", "avx512vbmi", "avx512vbmi2", "avx512vl", "avx512vnni", "avx512vp2intersect",
        "avx512vpopcntdq", "avxifma", "avxneconvert", "avxvnni", "avxvnniint16", "avxvnniint8", "bmi" = "bmi1", "bmi2",
        "cx16" = "cmpxchg16b", "ermsb", "f16c", "fma", "fxsr", "gfni", "kl", "lzcnt", "mmx", "movbe",
        "pclmul" = "pclmulqdq", "popcnt", "rdrnd" = "rdrand", "rdseed", "rtm", "sha", "sha512",
        "sm3", "sm4", "sse", "sse2", "sse3", "sse4.1", "sse4.2", "crc32" = "sse4.2", "sse4a", "ssse3", "tbm", "vaes",
        "vpclmulqdq", "widekl", "xsave", "xsavec", "xsaveopt", "xsaves",
    });
    let avx = is_x86_feature_detected!("avx");
    found.extend(from_cpuid(avx));
    found
}

/// Reads a CPUID leaf; zeros if the CPU does not have it.
fn leaf(number: u32, subleaf: u32) -> CpuidResult {
    let max = __cpuid(number & 0x8000_0000).eax;
    if number <= max { __cpuid_count(number, subleaf) } else { CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 } }
}

/// Reads the features that the standard library does not report. For the bits see Intel SDM, volume 2A, CPUID, and AMD APM, volume
/// 3, appendix E.
fn from_cpuid(avx: bool) -> [(&'static str, bool); 38] {
    let (basic, extended, extended_1) = (leaf(1, 0), leaf(7, 0), leaf(7, 1));
    let (amd, amd_8, save, trace) = (leaf(0x8000_0001, 0), leaf(0x8000_0008, 0), leaf(0xd, 0), leaf(0x14, 0));
    // A program can use AMX only if the operating system has enabled the state of the tile registers (component 18), that is, if
    // the size of the enabled state reaches past their end.
    let tiles = leaf(0xd, 18);
    let tiles_enabled = tiles.eax > 0 && save.ebx >= tiles.ebx.saturating_add(tiles.eax);
    let amx = |bit: bool| bit && tiles_enabled;
    let bit = |word: u32, bit: u32| word >> bit & 1 == 1;
    [
        ("cx8", bit(basic.edx, 8)),
        ("cmov", bit(basic.edx, 15)),
        ("fsgsbase", bit(extended.ebx, 0)),
        ("sgx", bit(extended.ebx, 2)),
        ("invpcid", bit(extended.ebx, 10)),
        ("clflushopt", bit(extended.ebx, 23)),
        ("clwb", bit(extended.ebx, 24)),
        // Bit 4 (OSPKE): the operating system has enabled protection keys.
        ("pku", bit(extended.ecx, 4)),
        ("waitpkg", bit(extended.ecx, 5)),
        ("shstk", bit(extended.ecx, 7)),
        ("rdpid", bit(extended.ecx, 22)),
        ("cldemote", bit(extended.ecx, 25)),
        ("movdiri", bit(extended.ecx, 27)),
        ("movdir64b", bit(extended.ecx, 28)),
        ("enqcmd", bit(extended.ecx, 29)),
        ("uintr", bit(extended.edx, 5)),
        ("serialize", bit(extended.edx, 14)),
        ("tsxldtrk", bit(extended.edx, 16)),
        ("pconfig", bit(extended.edx, 18)),
        ("amx-bf16", amx(bit(extended.edx, 22))),
        ("amx-tile", amx(bit(extended.edx, 24))),
        ("amx-int8", amx(bit(extended.edx, 25))),
        ("cmpccxadd", bit(extended_1.eax, 7)),
        ("amx-fp16", amx(bit(extended_1.eax, 21))),
        ("hreset", bit(extended_1.eax, 22)),
        ("amx-complex", amx(bit(extended_1.edx, 8))),
        ("prefetchi", bit(extended_1.edx, 14)),
        ("usermsr", bit(extended_1.edx, 15)),
        ("ptwrite", bit(trace.ebx, 4)),
        ("sahf", bit(amd.ecx, 0)),
        ("prfchw", bit(amd.ecx, 8)),
        ("xop", avx && bit(amd.ecx, 11)),
        ("lwp", bit(amd.ecx, 15)),
        ("fma4", avx && bit(amd.ecx, 16)),
        ("mwaitx", bit(amd.ecx, 29)),
        ("clzero", bit(amd_8.ebx, 0)),
        ("rdpru", bit(amd_8.ebx, 4)),
        ("wbnoinvd", bit(amd_8.ebx, 9)),
    ]
}
