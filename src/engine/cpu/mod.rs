//! What this very CPU can do, under LLVM's target-feature names: detected at run time, not what we were compiled for.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::sync::OnceLock;

/// The features of this CPU, sorted by name. None on an architecture whose detection we don't know.
pub fn features() -> &'static [&'static str] {
    static FOUND: OnceLock<Vec<&'static str>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = detect();
        found.sort_unstable();
        found.dedup();
        found
    })
}

#[cfg(target_arch = "aarch64")]
use aarch64::detect;
#[cfg(target_arch = "x86_64")]
use x86_64::detect;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detect() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    fn agrees_with_the_kernel() {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let kernel: Vec<&str> = cpuinfo
            .lines()
            .find_map(|line| line.strip_prefix("flags")?.split_once(':').map(|(_, flags)| flags))
            .unwrap()
            .split_whitespace()
            .collect();
        // LLVM's name and the kernel's.
        let pairs = [
            ("avx", "avx"),
            ("avx2", "avx2"),
            ("avx512f", "avx512f"),
            ("avx512bitalg", "avx512_bitalg"),
            ("bmi", "bmi1"),
            ("bmi2", "bmi2"),
            ("fma", "fma"),
            ("lzcnt", "abm"),
            ("popcnt", "popcnt"),
            ("sse4.1", "sse4_1"),
            ("cx16", "cx16"),
            ("clflushopt", "clflushopt"),
            ("clwb", "clwb"),
            ("fsgsbase", "fsgsbase"),
            ("rdpid", "rdpid"),
            ("movdiri", "movdiri"),
            ("amx-tile", "amx_tile"),
            ("sha", "sha_ni"),
            ("xsaveopt", "xsaveopt"),
        ];
        for (ours, theirs) in pairs {
            assert_eq!(features().contains(&ours), kernel.contains(&theirs), "{ours}");
        }
    }
}
