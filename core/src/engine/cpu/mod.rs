//! The features of the CPU that this process runs on, under LLVM's target feature names, detected at run time. A feature counts
//! only if the operating system has enabled its state. See `table` for what the names mean.

mod aarch64;
mod names;
mod system;
pub mod table;
mod x86_64;

use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use aarch64::detect;
#[cfg(target_arch = "x86_64")]
use x86_64::detect;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use unknown::detect;

use super::target;
use crate::fork;
use table::{Features, Support};

/// The flags for the lengths of vectors whose length differs from CPU to CPU: decimal numbers of bits, as compilers take them for
/// `-msve-vector-bits`. Only code that was compiled for one length names it.
pub const LENGTHS: [&str; 3] = ["sve-vector-bits", "sme-vector-bits", "rvv-vector-bits"];

/// Returns the features of this CPU, sorted by name, those of AMX included whether or not this process may use them. The list is
/// empty on an architecture without detection. It is read once: CPUID takes microseconds under hypervisors.
fn features() -> &'static [&'static str] {
    static FOUND: OnceLock<Vec<&'static str>> = OnceLock::new();
    FOUND.get().unwrap_or_else(|| {
        let mut found = detect();
        found.extend(Features::of(&target::host()).map_or(&[][..], |table| table.baseline));
        found.sort_unstable();
        found.dedup();
        fork::keep(&FOUND, found)
    })
}

/// Returns the features of this CPU that this process may use at this moment, sorted by name.
pub fn usable() -> impl Iterator<Item = &'static str> {
    let permitted = !features().iter().any(|name| is_amx(name)) || system::amx_permitted();
    features().iter().copied().filter(move |name| permitted || !is_amx(name))
}

fn is_amx(name: &str) -> bool {
    name.starts_with("amx-")
}

/// Returns whether `bits` is a length that vectors can have under the name `length` of [`LENGTHS`].
pub fn is_length(length: &str, bits: u32) -> bool {
    match length {
        "rvv-vector-bits" => bits.is_power_of_two() && (32..=65536).contains(&bits),
        _ => bits.is_multiple_of(128) && (128..=2048).contains(&bits),
    }
}

/// Returns the lengths of the calling thread's vectors that [`LENGTHS`] names, as far as they are detected.
pub fn lengths() -> impl Iterator<Item = (&'static str, u32)> {
    LENGTHS.into_iter().zip(system::vector_bits()).filter_map(|(name, bits)| Some((name, bits?)))
}

/// Why this CPU cannot run code that was compiled with a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// The CPU does not have it, or the operating system has not enabled it.
    Absent,
    /// This process has not asked the operating system for it.
    NotPermitted,
}

/// Returns the first of the features with these names, which are sorted and in any scheme, that this very CPU lacks. Names that the
/// table does not have are passed over.
pub fn first_lack<'n>(names: impl Iterator<Item = &'n str>) -> Option<(&'n str, Lack)> {
    let mut rest = features();
    let mut amx_checked = false;
    for name in names {
        while let Some((first, after)) = rest.split_first()
            && *first < name
        {
            rest = after;
        }
        if rest.first() != Some(&name) && lacks(name) {
            return Some((name, Lack::Absent));
        }
        if is_amx(name) && !amx_checked {
            amx_checked = true;
            if !system::amx_permitted() {
                return Some((name, Lack::NotPermitted));
            }
        }
    }
    None
}

/// Returns whether a feature is known, and this CPU lacks it.
#[cold]
fn lacks(name: &str) -> bool {
    static TABLE: OnceLock<Option<&'static Features>> = OnceLock::new();
    let table = TABLE.get().unwrap_or_else(|| fork::keep(&TABLE, Features::of(&target::host())));
    let Some(table) = *table else { return false };
    let found = |llvm: &str| features().binary_search(&llvm).is_ok().then_some(true);
    table.support(table.llvm_name(name), &found) == Support::No
}

/// Returns whether this CPU has the feature that LLVM or Cranelift names `name`.
pub fn has(name: &str) -> bool {
    let name = Features::of(&target::host()).map_or(name, |table| table.llvm_name(name));
    features().binary_search(&name).is_ok()
}

/// Returns the features that a CPU, level or feature of this name stands for, under LLVM's names. Without a table, every name is
/// taken for a feature. Returns none for an unknown name.
pub fn features_named<'n>(table: Option<&Features>, name: &'n str) -> Option<Vec<&'n str>> {
    let Some(table) = table else { return (!name.is_empty()).then(|| vec![name]) };
    let single = || {
        let llvm = table.llvm_name(name);
        (table.kind(llvm).is_some() && !table.is_tuning_for_a_cpu(llvm)).then(|| vec![llvm])
    };
    table.cpu(name).or_else(single)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod unknown {
    pub fn detect() -> Vec<&'static str> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_features_that_code_can_need() {
        let table = |target: &str| Features::of(target).unwrap();
        let (x86, arm) = (table("x86_64-unknown-linux-gnu"), table("aarch64-unknown-linux-gnu"));
        let levels = ["x86-64-v1", "x86-64-v2", "x86-64-v3", "x86-64-v4"].map(|name| x86.cpu(name).unwrap());
        assert_eq!(levels.each_ref().map(Vec::len), [0, 8, 17, 22]);
        for pair in levels.windows(2) {
            assert!(pair[0].iter().all(|feature| pair[1].contains(feature)));
        }
        for table in [x86, arm] {
            for (name, set) in table.cpus.iter() {
                let once = table.cpus.iter().filter(|(other, _)| *other == name).count() == 1;
                let needs = set.features(table).iter().all(|feature| table.kind(feature) == Some(table::Kind::Need));
                assert!(once && needs && name != "native", "{name}");
            }
        }
        assert_eq!(features_named(Some(x86), "avx2"), Some(vec!["avx2"]));
        assert_eq!(features_named(Some(x86), "has_bmi1"), Some(vec!["bmi"]));
        for wrong in ["", "avx-2", "AVX2", "x86-64-v5"] {
            assert_eq!(features_named(Some(x86), wrong), None, "{wrong}");
        }
        assert_eq!(features_named(Some(arm), "lse"), Some(vec!["lse"]));
        assert_eq!(features_named(Some(arm), "x86-64-v2"), None);
        assert_eq!(features_named(None, "vector"), Some(vec!["vector"]));
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

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn agrees_with_the_standard_library() {
        use std::arch::is_x86_feature_detected as detected;
        // It takes some VEX-encoded features from CPUID alone, and agrees where AVX is enabled.
        if detected!("avx") {
            let pairs = [
                ("adx", detected!("adx")),
                ("aes", detected!("aes")),
                ("avx512bf16", detected!("avx512bf16")),
                ("avx512fp16", detected!("avx512fp16")),
                ("avx512ifma", detected!("avx512ifma")),
                ("avx512vbmi2", detected!("avx512vbmi2")),
                ("avx512vnni", detected!("avx512vnni")),
                ("avx512vp2intersect", detected!("avx512vp2intersect")),
                ("avx512vpopcntdq", detected!("avx512vpopcntdq")),
                ("avxifma", detected!("avxifma")),
                ("avxneconvert", detected!("avxneconvert")),
                ("avxvnni", detected!("avxvnni")),
                ("avxvnniint8", detected!("avxvnniint8")),
                ("avxvnniint16", detected!("avxvnniint16")),
                ("f16c", detected!("f16c")),
                ("gfni", detected!("gfni")),
                ("kl", detected!("kl")),
                ("pclmul", detected!("pclmulqdq")),
                ("rdrnd", detected!("rdrand")),
                ("rdseed", detected!("rdseed")),
                ("rtm", detected!("rtm")),
                ("sha512", detected!("sha512")),
                ("sm3", detected!("sm3")),
                ("sm4", detected!("sm4")),
                ("sse4a", detected!("sse4a")),
                ("tbm", detected!("tbm")),
                ("vaes", detected!("vaes")),
                ("vpclmulqdq", detected!("vpclmulqdq")),
                ("xsavec", detected!("xsavec")),
            ];
            for (name, std) in pairs {
                assert_eq!(has(name), std, "{name}");
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn lacks_are_found_under_every_name() {
        let lack = |names: &[&'static str]| first_lack(names.iter().copied()).map(|(name, _)| name);
        assert_eq!(lack(&["64bit", "fast-gather", "has_something", "invpcid", "my-flag", "sse2", "x87"]), None);
        assert_eq!(lack(&["32bit-mode", "sse2"]), Some("32bit-mode"));
        // No CPU has both of these.
        let [other, theirs] = [["avx512er", "xop"], ["avx512er", "fma4"]].map(|names| lack(&names));
        assert!(other.is_some() && theirs.is_some());
        assert_eq!(lack(&["has_avx2"]).is_some(), !std::arch::is_x86_feature_detected!("avx2"));
        let all: Vec<&'static str> = usable().collect();
        assert_eq!(first_lack(all.into_iter()), None);
    }
}
