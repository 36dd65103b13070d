//! The features of the CPU that the process runs on, under LLVM's target feature names, detected at run time.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use aarch64::{detect, level};
#[cfg(target_arch = "x86_64")]
use x86_64::{detect, level};

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use unknown::{detect, level};

/// Returns the features of this CPU, sorted by name. The list is empty on an architecture without detection.
pub fn features() -> &'static [&'static str] {
    static FOUND: OnceLock<Vec<&'static str>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = Vec::new();
        for (name, _) in detect().into_iter().filter(|(_, present)| *present) {
            if let Err(index) = found.binary_search(&name) {
                found.insert(index, name);
            }
        }
        found
    })
}

/// Returns the features that `name` stands for: `native`, a microarchitecture level, or a single feature. On an architecture
/// without detection every name is taken for a feature. Returns none for an unknown name.
pub fn features_named(name: &str) -> Option<Vec<&str>> {
    let known = detect();
    match name {
        "" => None,
        "native" => Some(features().to_vec()),
        _ => level(name)
            .or_else(|| (known.is_empty() || known.iter().any(|(feature, _)| *feature == name)).then(|| vec![name])),
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod unknown {
    pub fn detect() -> Vec<(&'static str, bool)> {
        Vec::new()
    }

    pub fn level(_: &str) -> Option<Vec<&'static str>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn each_level_includes_the_previous_one_and_only_detectable_features() {
        let known: Vec<&str> = detect().into_iter().map(|(name, _)| name).collect();
        let levels = ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"].map(|name| features_named(name).unwrap());
        assert_eq!(levels.each_ref().map(Vec::len), [0, 8, 17, 22]);
        for pair in levels.windows(2) {
            assert!(pair[0].iter().all(|feature| pair[1].contains(feature)));
        }
        assert!(levels[3].iter().all(|feature| known.contains(feature)));
        assert_eq!(features_named("avx2"), Some(vec!["avx2"]));
        assert_eq!(features_named("native").as_deref(), Some(features()));
        for wrong in ["", "avx-2", "AVX2", "x86-64-v5"] {
            assert_eq!(features_named(wrong), None, "{wrong}");
        }
    }

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
        // LLVM's names and the kernel's.
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
