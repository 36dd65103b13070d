//! CPU features of aarch64: the table that every host has, and detection. The standard library asks the operating system; what it
//! does not know is in the auxiliary vector of Linux (HWCAP2).

use super::names;
use super::table::{Features, column};
use Source::{Hwcap2, Std};

/// The table of aarch64.
#[rustfmt::skip]
pub const FEATURES: Features = Features {
    cpus: names::AARCH64,
    needs: &NAMES,
    not_detected: NOT_DETECTED,
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
        "use_bti", "use_csdb",
    ],
    no_need_prefixes: &[
        "addr-lsl-", "aggressive-", "avoid-", "call-saved-", "disable-", "fast-", "fix-cortex-", "fuse-",
        "harden-sls-", "max-interleave-", "no-", "prefer-", "reserve-", "slow-", "tpidr", "use-", "zcm", "zcz",
    ],
    tuning_prefixes: &[
        "apple-", "cortex-", "exynos", "neoverse", "thunderx",
    ],
    implied: &[
        ("crypto", &["aes", "sha2"]),
        // As LLVM before 20 named these pairs.
        ("sve2-aes", &["sve-aes", "sve2"]),
        ("sve2-bitperm", &["sve-bitperm", "sve2"]),
        ("sve2-sha3", &["sve-sha3", "sve2"]),
        ("sve2-sm4", &["sve-sm4", "sve2"]),
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

/// Features that no system reports, or that the standard library and [`NEEDS`] do not have yet.
#[rustfmt::skip]
pub const NOT_DETECTED: &[&str] = &[
    "all", "btie", "cmpbr", "cpa", "f16f32dot", "f16f32mm", "f16mm", "f8f16mm", "f8f32mm", "fprcvt", "gcs", "ite",
    "ls64", "lscp", "lsfe", "lsui", "mops-go", "mtetc", "pauth-lr", "sme-mop4", "sme-tmop", "sme2p2", "sme2p3",
    "ssve-aes", "ssve-bitperm", "ssve-fexpa", "streaming-sve", "sve-aes2", "sve-b16mm", "sve-bfscale", "sve-f16f32mm",
    "sve2p2", "sve2p3", "tev", "tme", "v8r", "v9.5a", "v9.6a", "v9.7a",
];

/// What reports a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The standard library.
    Std,
    /// A bit of HWCAP2 (Linux, `arch/arm64/include/uapi/asm/hwcap.h`).
    Hwcap2(u8),
}

/// The features that code can need, sorted by LLVM's name, and what reports each.
#[rustfmt::skip]
pub const NEEDS: &[(&str, Source)] = &[
    ("aes", Std),
    ("altnzcv", Hwcap2(7)),
    ("bf16", Std),
    ("bti", Std),
    ("ccdp", Std),
    ("ccpp", Std),
    ("complxnum", Std),
    ("crc", Std),
    ("cssc", Hwcap2(34)),
    ("dit", Std),
    ("dotprod", Std),
    ("f32mm", Std),
    ("f64mm", Std),
    ("faminmax", Hwcap2(50)),
    ("flagm", Std),
    ("fp16fml", Std),
    ("fp8", Hwcap2(51)),
    ("fp8dot2", Hwcap2(54)),
    ("fp8dot4", Hwcap2(53)),
    ("fp8fma", Hwcap2(52)),
    ("fptoint", Std),
    ("fullfp16", Std),
    ("hbc", Hwcap2(44)),
    ("i8mm", Std),
    ("jsconv", Std),
    ("lse", Std),
    ("lse128", Hwcap2(47)),
    ("lse2", Std),
    ("lut", Hwcap2(49)),
    ("mops", Hwcap2(43)),
    ("mte", Std),
    ("pauth", Std),
    ("rand", Std),
    ("rcpc", Std),
    ("rcpc-immo", Std),
    ("rcpc3", Hwcap2(46)),
    ("rdm", Std),
    ("sb", Std),
    ("sha2", Std),
    ("sha3", Std),
    ("sm4", Std),
    ("sme", Hwcap2(23)),
    ("sme-b16b16", Hwcap2(41)),
    ("sme-f16f16", Hwcap2(42)),
    ("sme-f64f64", Hwcap2(25)),
    ("sme-f8f16", Hwcap2(58)),
    ("sme-f8f32", Hwcap2(59)),
    ("sme-fa64", Hwcap2(30)),
    ("sme-i16i64", Hwcap2(24)),
    ("sme-lutv2", Hwcap2(57)),
    ("sme2", Hwcap2(37)),
    ("sme2p1", Hwcap2(38)),
    ("ssbs", Std),
    ("ssve-fp8dot2", Hwcap2(62)),
    ("ssve-fp8dot4", Hwcap2(61)),
    ("ssve-fp8fma", Hwcap2(60)),
    ("sve", Std),
    ("sve-aes", Hwcap2(2)),
    ("sve-b16b16", Hwcap2(45)),
    ("sve-bitperm", Hwcap2(4)),
    ("sve-sha3", Hwcap2(5)),
    ("sve-sm4", Hwcap2(6)),
    ("sve2", Std),
    ("sve2p1", Hwcap2(36)),
    ("wfxt", Hwcap2(31)),
];

/// The names in [`NEEDS`].
pub const NAMES: [&str; NEEDS.len()] = column!(NEEDS, 0, "");

/// What reports each of them.
#[cfg(target_arch = "aarch64")]
const SOURCES: [Source; NEEDS.len()] = column!(NEEDS, 1, Source::Std);

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
    );
    let hwcap2 = super::system::hwcap2();
    let linux = NAMES.iter().zip(SOURCES).map(|(name, source)| match source {
        Source::Std => (*name, false),
        Source::Hwcap2(bit) => (*name, hwcap2 >> bit & 1 == 1),
    });
    std.into_iter().chain(linux).filter(|(_, present)| *present).map(|(name, _)| name).collect()
}
