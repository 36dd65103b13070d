//! CPU features of aarch64: the table that every host has, and detection. The standard library asks the operating system; what it
//! does not know is in the auxiliary vector of Linux (HWCAP2).

use super::table::Features;

/// The table of aarch64.
#[rustfmt::skip]
pub const FEATURES: Features = Features {
    levels: &[],
    need: |name| {
        let std = STD.binary_search(&name).ok().and_then(|index| STD.get(index)).copied();
        std.or_else(|| HWCAP2.iter().map(|(known, _)| *known).find(|known| *known == name))
    },
    // No system reports these, or the standard library and the bits below do not have them yet.
    not_detected: &[
        "all", "btie", "cmpbr", "cpa", "f16f32dot", "f16f32mm", "f16mm", "f8f16mm", "f8f32mm", "fprcvt", "gcs", "ite",
        "ls64", "lscp", "lsfe", "lsui", "mops-go", "mtetc", "pauth-lr", "sme-mop4", "sme-tmop", "sme2p2", "sme2p3",
        "ssve-aes", "ssve-bitperm", "ssve-fexpa", "streaming-sve", "sve-aes2", "sve-b16mm", "sve-bfscale", "sve-f16f32mm",
        "sve2p2", "sve2p3", "tev", "tme", "v8r", "v9.5a", "v9.6a", "v9.7a",
    ],
    baseline: &[
        "fp-armv8", "neon", "v8a",
    ],
    privileged: &[
        "CONTEXTIDREL2", "am", "amvs", "brbe", "ccidx", "d128", "ecv", "el2vmsa", "el3", "ete", "fgt", "gcie", "hcx",
        "lor", "mec", "mpam", "mpamv2", "nmi", "nv", "occmo", "pan", "pan-rwv", "perfmon", "pmuv3", "poe2", "pops",
        "ras", "rasv2", "rme", "sel2", "spe", "spe-eef", "the", "tlb-rmi", "tlbid", "tlbiw", "tracev8.4", "trbe",
        "uaops", "vh", "xs",
    ],
    no_need: &[
        "a320", "a35", "a510", "a520", "a520ae", "a53", "a55", "a57", "a64fx", "a65", "a710", "a715", "a72", "a720",
        "a720ae", "a73", "a75", "a76", "a77", "a78", "a78ae", "a78c", "alternate-sextload-cvt-f32-pattern",
        "alu-lsl-fast", "ampere1", "ampere1a", "ampere1b", "ampere1c", "arith-bcc-fusion", "arith-cbz-fusion",
        "ascend-store-address", "balance-fp-ops", "c1-nano", "c1-premium", "c1-pro", "c1-ultra", "carmel", "chk",
        "clrbhb", "cmh", "cmp-bcc-fusion", "custom-cheap-as-move", "enable-select-opt", "execute-only", "falkor", "fmv",
        "force-32bit-jump-tables", "fpac", "fujitsu-monaka", "kryo", "ldp-aligned-only", "lsl-fast", "olympus",
        "oryon-1", "outline-atomics", "pcdphint", "predictable-select-expensive", "predres", "prfm-slc-target",
        "saphira", "sign_return_address", "sign_return_address_all", "sign_return_address_with_bkey", "specres2",
        "specrestrict", "store-pair-suppress", "stp-aligned-only", "strict-align", "tagged-globals", "tsv110",
        "use_bti",
    ],
    no_need_prefixes: &[
        "addr-lsl-", "aggressive-", "apple-", "avoid-", "call-saved-", "cortex-", "disable-", "exynos", "fast-",
        "fix-cortex-", "fuse-", "harden-sls-", "max-interleave-", "neoverse", "no-", "prefer-", "reserve-", "slow-",
        "thunderx", "tpidr", "use-", "zcm", "zcz",
    ],
    implied: &[
        ("crypto", &["aes", "sha2"]),
        ("v8.1a", &["crc", "lse", "rdm"]),
        ("v8.2a", &["ccpp", "v8.1a"]),
        ("v8.3a", &["complxnum", "jsconv", "pauth", "rcpc", "v8.2a"]),
        ("v8.4a", &["dit", "dotprod", "flagm", "lse2", "rcpc-immo", "v8.3a"]),
        ("v8.5a", &["altnzcv", "bti", "ccdp", "fptoint", "sb", "v8.4a"]),
        ("v8.6a", &["bf16", "i8mm", "v8.5a"]),
        ("v8.7a", &["v8.6a", "wfxt"]),
        ("v8.8a", &["hbc", "mops", "v8.7a"]),
        ("v8.9a", &["cssc", "v8.8a"]),
        ("v9.1a", &["v8.6a", "v9a"]),
        ("v9.2a", &["v8.7a", "v9.1a"]),
        ("v9.3a", &["v8.8a", "v9.2a"]),
        ("v9.4a", &["sve2p1", "v8.9a", "v9.3a"]),
        ("v9a", &["sve2", "v8.5a"]),
    ],
    synonyms: &[
        ("dpb", "ccpp"),
        ("dpb2", "ccdp"),
        ("fcma", "complxnum"),
        ("fhm", "fp16fml"),
        ("flagm2", "altnzcv"),
        ("fp16", "fullfp16"),
        ("frintts", "fptoint"),
        ("has_dotprod", "dotprod"),
        ("has_fp16", "fullfp16"),
        ("has_i8mm", "i8mm"),
        ("has_lse", "lse"),
        ("has_pauth", "pauth"),
        ("paca", "pauth"),
        ("pacg", "pauth"),
        ("rcpc2", "rcpc-immo"),
        ("sme-f64", "sme-f64f64"),
        ("sme-i64", "sme-i16i64"),
    ],
};

/// The features that the standard library detects, by LLVM's name.
#[rustfmt::skip]
const STD: &[&str] = &[
    "aes", "bf16", "bti", "ccdp", "ccpp", "complxnum", "crc", "dit", "dotprod", "f32mm", "f64mm", "flagm",
    "fp16fml", "fptoint", "fullfp16", "i8mm", "jsconv", "lse", "lse2", "mte", "pauth", "rand", "rcpc",
    "rcpc-immo", "rdm", "sb", "sha2", "sha3", "sm4", "ssbs", "sve", "sve2", "sve2-aes", "sve2-bitperm",
    "sve2-sha3", "sve2-sm4",
];

/// The bits of HWCAP2 for the rest, by LLVM's name (Linux, `arch/arm64/include/uapi/asm/hwcap.h`).
#[rustfmt::skip]
const HWCAP2: &[(&str, u8)] = &[
    ("altnzcv", 7),
    ("cssc", 34),
    ("faminmax", 50),
    ("fp8", 51),
    ("fp8dot2", 54),
    ("fp8dot4", 53),
    ("fp8fma", 52),
    ("hbc", 44),
    ("lse128", 47),
    ("lut", 49),
    ("mops", 43),
    ("rcpc3", 46),
    ("sme", 23),
    ("sme-b16b16", 41),
    ("sme-f16f16", 42),
    ("sme-f64f64", 25),
    ("sme-f8f16", 58),
    ("sme-f8f32", 59),
    ("sme-fa64", 30),
    ("sme-i16i64", 24),
    ("sme-lutv2", 57),
    ("sme2", 37),
    ("sme2p1", 38),
    ("ssve-fp8dot2", 62),
    ("ssve-fp8dot4", 61),
    ("ssve-fp8fma", 60),
    ("sve-aes", 2),
    ("sve-b16b16", 45),
    ("sve-bitperm", 4),
    ("sve-sha3", 5),
    ("sve-sm4", 6),
    ("sve2p1", 36),
    ("wfxt", 31),
];

/// Maps LLVM's name for a feature to the standard library's, and detects the feature.
#[cfg(target_arch = "aarch64")]
macro_rules! known {
    ($($llvm:literal = $std:tt),* $(,)?) => {
        [$( ($llvm, std::arch::is_aarch64_feature_detected!($std)) ),*]
    };
}

/// Returns the features that code can need and that this CPU and the operating system have.
#[cfg(target_arch = "aarch64")]
pub fn detect() -> Vec<&'static str> {
    let std = known!(
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
        "fp16fml" = "fhm",
        "fptoint" = "frintts",
        "fullfp16" = "fp16",
        "i8mm" = "i8mm",
        "jsconv" = "jsconv",
        "lse" = "lse",
        "lse2" = "lse2",
        "mte" = "mte",
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
    );
    let hwcap2 = super::system::hwcap2();
    let linux = HWCAP2.iter().map(|(name, bit)| (*name, hwcap2 >> bit & 1 == 1));
    std.into_iter().chain(linux).filter(|(_, present)| *present).map(|(name, _)| name).collect()
}
