//! CPU features of x86-64: the table that every host has, and detection with CPUID and XCR0. For the bits see Intel SDM, volume 2A,
//! CPUID, and AMD APM, volume 3, appendix E. For LLVM's view see `sys::getHostCPUFeatures`.

use super::names;
use super::table::{Features, column};
use State::{Amx, Apx, Avx, Avx10, Avx10Narrow, Avx512, FsGsBase, KeyLocker, Lwp, Plain, Xsave};
use Word::{
    Amd1c, Amd1d, Amd8b, Avx10 as Avx10Version, Basic1c, KeyLocker19b, Leaf7_1a, Leaf7_1d, Leaf7b, Leaf7c, Leaf7d,
    Save1a, Tiles1eA, Trace14b,
};

/// A word that CPUID returns: leaf, subleaf and register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub enum Word {
    Basic1c,
    Leaf7b,
    Leaf7c,
    Leaf7d,
    Leaf7_1a,
    Leaf7_1d,
    Save1a,
    Trace14b,
    KeyLocker19b,
    Tiles1eA,
    /// The version in leaf 0x24: the number in the table is the least version, not a bit.
    Avx10,
    Amd1c,
    Amd1d,
    Amd8b,
}

/// What the operating system must have enabled before a program can use a feature that the CPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub enum State {
    /// Nothing beyond the state that every x86-64 system keeps.
    Plain,
    /// CR4.OSXSAVE.
    Xsave,
    /// VEX- and XOP-encoded vector instructions: OSXSAVE, XMM and YMM in XCR0, and AVX itself.
    Avx,
    /// EVEX-encoded instructions: as `Avx`, with opmask and ZMM registers in XCR0, and AVX512F itself.
    Avx512,
    /// AVX10 with vectors of up to 256 bits.
    Avx10Narrow,
    /// AVX10 with vectors of up to 512 bits.
    Avx10,
    /// Tile registers in XCR0, and AMX-TILE itself. Linux also asks each process for a request ([`super::amx_permitted`]).
    Amx,
    /// Registers r16 to r31 in XCR0.
    Apx,
    /// The state of lightweight profiling in XCR0.
    Lwp,
    /// CR4.FSGSBASE, which Linux reports in the auxiliary vector.
    FsGsBase,
    /// CR4.KL (CPUID's AESKLE).
    KeyLocker,
}

/// The features that code can need, sorted by LLVM's name: where CPUID reports each, and the state that it needs.
#[rustfmt::skip]
pub const NEEDS: &[(&str, Word, u8, State)] = &[
    ("3dnow", Amd1d, 31, Plain),
    ("3dnowa", Amd1d, 30, Plain),
    ("adx", Leaf7b, 19, Plain),
    ("aes", Basic1c, 25, Plain),
    ("amx-avx512", Tiles1eA, 7, Amx),
    ("amx-bf16", Leaf7d, 22, Amx),
    ("amx-complex", Leaf7_1d, 8, Amx),
    ("amx-fp16", Leaf7_1a, 21, Amx),
    ("amx-fp8", Tiles1eA, 4, Amx),
    ("amx-int8", Leaf7d, 25, Amx),
    ("amx-movrs", Tiles1eA, 8, Amx),
    ("amx-tf32", Tiles1eA, 6, Amx),
    ("amx-tile", Leaf7d, 24, Amx),
    ("amx-transpose", Tiles1eA, 5, Amx),
    ("avx", Basic1c, 28, Avx),
    ("avx10.1", Avx10Version, 1, Avx10),
    ("avx10.1-256", Avx10Version, 1, Avx10Narrow),
    ("avx10.1-512", Avx10Version, 1, Avx10),
    ("avx10.2", Avx10Version, 2, Avx10),
    ("avx10.2-256", Avx10Version, 2, Avx10Narrow),
    ("avx10.2-512", Avx10Version, 2, Avx10),
    ("avx2", Leaf7b, 5, Avx),
    ("avx5124fmaps", Leaf7d, 3, Avx512),
    ("avx5124vnniw", Leaf7d, 2, Avx512),
    ("avx512bf16", Leaf7_1a, 5, Avx512),
    ("avx512bitalg", Leaf7c, 12, Avx512),
    ("avx512bw", Leaf7b, 30, Avx512),
    ("avx512cd", Leaf7b, 28, Avx512),
    ("avx512dq", Leaf7b, 17, Avx512),
    ("avx512er", Leaf7b, 27, Avx512),
    ("avx512f", Leaf7b, 16, Avx512),
    ("avx512fp16", Leaf7d, 23, Avx512),
    ("avx512ifma", Leaf7b, 21, Avx512),
    ("avx512pf", Leaf7b, 26, Avx512),
    ("avx512vbmi", Leaf7c, 1, Avx512),
    ("avx512vbmi2", Leaf7c, 6, Avx512),
    ("avx512vl", Leaf7b, 31, Avx512),
    ("avx512vnni", Leaf7c, 11, Avx512),
    ("avx512vp2intersect", Leaf7d, 8, Avx512),
    ("avx512vpopcntdq", Leaf7c, 14, Avx512),
    ("avxifma", Leaf7_1a, 23, Avx),
    ("avxneconvert", Leaf7_1d, 5, Avx),
    ("avxvnni", Leaf7_1a, 4, Avx),
    ("avxvnniint16", Leaf7_1d, 10, Avx),
    ("avxvnniint8", Leaf7_1d, 4, Avx),
    ("bmi", Leaf7b, 3, Plain),
    ("bmi2", Leaf7b, 8, Plain),
    ("ccmp", Leaf7_1d, 21, Apx),
    ("cf", Leaf7_1d, 21, Apx),
    ("clflushopt", Leaf7b, 23, Plain),
    ("clwb", Leaf7b, 24, Plain),
    ("clzero", Amd8b, 0, Plain),
    ("cmpccxadd", Leaf7_1a, 7, Plain),
    ("crc32", Basic1c, 20, Plain),
    ("cx16", Basic1c, 13, Plain),
    ("egpr", Leaf7_1d, 21, Apx),
    ("enqcmd", Leaf7c, 29, Plain),
    ("f16c", Basic1c, 29, Avx),
    ("fma", Basic1c, 12, Avx),
    ("fma4", Amd1c, 16, Avx),
    ("fsgsbase", Leaf7b, 0, FsGsBase),
    ("gfni", Leaf7c, 8, Plain),
    ("kl", Leaf7c, 23, KeyLocker),
    ("lwp", Amd1c, 15, Lwp),
    ("lzcnt", Amd1c, 5, Plain),
    ("movbe", Basic1c, 22, Plain),
    ("movdir64b", Leaf7c, 28, Plain),
    ("movdiri", Leaf7c, 27, Plain),
    ("movrs", Leaf7_1a, 31, Plain),
    ("mwaitx", Amd1c, 29, Plain),
    ("ndd", Leaf7_1d, 21, Apx),
    ("nf", Leaf7_1d, 21, Apx),
    ("pclmul", Basic1c, 1, Plain),
    ("pku", Leaf7c, 4, Plain),
    ("popcnt", Basic1c, 23, Plain),
    ("ppx", Leaf7_1d, 21, Apx),
    ("prefetchwt1", Leaf7c, 0, Plain),
    ("prfchw", Amd1c, 8, Plain),
    ("ptwrite", Trace14b, 4, Plain),
    ("push2pop2", Leaf7_1d, 21, Apx),
    ("raoint", Leaf7_1a, 3, Plain),
    ("rdpid", Leaf7c, 22, Plain),
    ("rdpru", Amd8b, 4, Plain),
    ("rdrnd", Basic1c, 30, Plain),
    ("rdseed", Leaf7b, 18, Plain),
    ("rtm", Leaf7b, 11, Plain),
    ("sahf", Amd1c, 0, Plain),
    ("serialize", Leaf7d, 14, Plain),
    ("sgx", Leaf7b, 2, Plain),
    ("sha", Leaf7b, 29, Plain),
    ("sha512", Leaf7_1a, 0, Avx),
    ("shstk", Leaf7c, 7, Plain),
    ("sm3", Leaf7_1a, 1, Avx),
    ("sm4", Leaf7_1a, 2, Avx),
    ("sse3", Basic1c, 0, Plain),
    ("sse4.1", Basic1c, 19, Plain),
    ("sse4.2", Basic1c, 20, Plain),
    ("sse4a", Amd1c, 6, Plain),
    ("ssse3", Basic1c, 9, Plain),
    ("tbm", Amd1c, 21, Plain),
    ("tsxldtrk", Leaf7d, 16, Plain),
    ("uintr", Leaf7d, 5, Plain),
    ("usermsr", Leaf7_1d, 15, Plain),
    ("vaes", Leaf7c, 9, Avx),
    ("vpclmulqdq", Leaf7c, 10, Avx),
    ("waitpkg", Leaf7c, 5, Plain),
    ("widekl", KeyLocker19b, 2, KeyLocker),
    ("xop", Amd1c, 11, Avx),
    ("xsave", Basic1c, 26, Xsave),
    ("xsavec", Save1a, 1, Xsave),
    ("xsaveopt", Save1a, 0, Xsave),
    ("zu", Leaf7_1d, 21, Apx),
];

/// The other modes of the CPU, which no process of this machine runs in, and SSE with the MM bit of MXCSR, which is off.
pub const NOT_DETECTED: &[&str] = &["16bit-mode", "32bit-mode", "sse-unaligned-mem"];

/// The names in [`NEEDS`].
pub const NAMES: [&str; NEEDS.len()] = column!(NEEDS, 0, "");

/// Where each of them is reported.
#[cfg(target_arch = "x86_64")]
const WORDS: [Word; NEEDS.len()] = column!(NEEDS, 1, Word::Basic1c);
#[cfg(target_arch = "x86_64")]
const BITS: [u8; NEEDS.len()] = column!(NEEDS, 2, 0);
#[cfg(target_arch = "x86_64")]
const STATES: [State; NEEDS.len()] = column!(NEEDS, 3, State::Plain);

/// The table of x86-64.
#[rustfmt::skip]
pub const FEATURES: Features = Features {
    cpus: names::X86_64,
    needs: &NAMES,
    not_detected: NOT_DETECTED,
    baseline: &[
        "64bit", "64bit-mode", "cmov", "cx8", "fxsr", "mmx", "nopl", "sse", "sse2", "x87",
    ],
    privileged: &[
        "hreset", "invpcid", "pconfig", "wbnoinvd", "xsaves",
    ],
    no_need: &[
        "allow-light-256-bit", "cldemote", "ermsb", "fsrm", "idivl-to-divb", "idivq-to-divl", "inline-asm-use-gpr32",
        "lea-sp", "lea-uses-ag", "macrofusion", "pad-short-functions", "prefetchi", "sbb-dep-breaking", "seses",
        "soft-float", "tagged-globals", "vzeroupper",
    ],
    no_need_prefixes: &[
        "branch", "false-deps-", "fast-", "faster-", "harden-sls-", "lvi-", "no-bypass-delay", "prefer-", "retpoline",
        "slow-", "tuning-", "use-",
    ],
    tuning_prefixes: &[],
    implied: &[
        // AVX-512 with vectors of 512 bits, as LLVM 18 to 20 say: every CPU that has AVX512F has them.
        ("evex512", &["avx512f"]),
    ],
    synonyms: &[
        ("apxf", "egpr"),
        ("bmi1", "bmi"),
        ("cmpxchg16b", "cx16"),
        ("has_avx", "avx"),
        ("has_avx2", "avx2"),
        ("has_avx512bitalg", "avx512bitalg"),
        ("has_avx512dq", "avx512dq"),
        ("has_avx512f", "avx512f"),
        ("has_avx512vbmi", "avx512vbmi"),
        ("has_avx512vl", "avx512vl"),
        ("has_avx512vnni", "avx512vnni"),
        ("has_avx_vnni", "avxvnni"),
        ("has_bmi1", "bmi"),
        ("has_bmi2", "bmi2"),
        ("has_cmpxchg16b", "cx16"),
        ("has_fma", "fma"),
        ("has_lzcnt", "lzcnt"),
        ("has_popcnt", "popcnt"),
        ("has_sse3", "sse3"),
        ("has_sse41", "sse4.1"),
        ("has_sse42", "sse4.2"),
        ("has_ssse3", "ssse3"),
        ("lahfsahf", "sahf"),
        ("pclmulqdq", "pclmul"),
        ("rdrand", "rdrnd"),
    ],
};

/// Returns the features that code can need and that this CPU has, with their state enabled by the operating system.
#[cfg(target_arch = "x86_64")]
pub fn detect() -> Vec<&'static str> {
    detection::Cpu::read(super::system::KnownLeaves::find()).features()
}

#[cfg(target_arch = "x86_64")]
mod detection {
    use std::arch::x86_64::{__cpuid, __cpuid_count, CpuidResult};

    use super::{BITS, NAMES, STATES, State, WORDS, Word};
    use crate::engine::cpu::system::{self, KnownLeaves};

    // Components of the state in XCR0.
    const YMM: u64 = 0b110;
    const ZMM: u64 = 0b1110_0000;
    const TILES: u64 = 0b11 << 17;
    const APX: u64 = 1 << 19;
    const LWP: u64 = 1 << 62;

    /// What CPUID and XCR0 say.
    pub struct Cpu {
        basic: CpuidResult,
        extended: CpuidResult,
        extended_1: CpuidResult,
        save_1: CpuidResult,
        trace: CpuidResult,
        key_locker: CpuidResult,
        tiles_1: CpuidResult,
        avx10: CpuidResult,
        amd: CpuidResult,
        amd_8: CpuidResult,
        /// XCR0; 0 without OSXSAVE.
        xcr0: u64,
        fsgsbase: bool,
    }

    fn bit(word: u32, bit: u8) -> bool {
        word >> bit & 1 == 1
    }

    /// Reads a CPUID leaf, by executing CPUID unless it is known; zeros if the CPU does not have it.
    fn leaf(known: Option<KnownLeaves>, number: u32, subleaf: u32) -> CpuidResult {
        if let Some(found) = known.and_then(|known| known.get(number, subleaf)) {
            return found;
        }
        let max = __cpuid(number & 0x8000_0000).eax;
        if number <= max { __cpuid_count(number, subleaf) } else { CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 } }
    }

    impl Cpu {
        pub fn read(known: Option<KnownLeaves>) -> Cpu {
            let leaf = |number, subleaf| leaf(known, number, subleaf);
            let basic = leaf(1, 0);
            let extended = leaf(7, 0);
            // EAX of subleaf 0 is the last subleaf. For a subleaf beyond, some CPUs return the contents of another one.
            let none = || CpuidResult { eax: 0, ebx: 0, ecx: 0, edx: 0 };
            let extended_1 = if extended.eax >= 1 { leaf(7, 1) } else { none() };
            let tiles_1 = if bit(extended.edx, 24) { leaf(0x1e, 1) } else { none() };
            let avx10 = if bit(extended_1.edx, 19) { leaf(0x24, 0) } else { none() };
            Cpu {
                extended,
                extended_1,
                save_1: leaf(0xd, 1),
                trace: leaf(0x14, 0),
                key_locker: leaf(0x19, 0),
                tiles_1,
                avx10,
                amd: leaf(0x8000_0001, 0),
                amd_8: leaf(0x8000_0008, 0),
                xcr0: if bit(basic.ecx, 27) { system::xcr0() } else { 0 },
                fsgsbase: system::fsgsbase_enabled(),
                basic,
            }
        }

        pub fn features(&self) -> Vec<&'static str> {
            let rows = NAMES.into_iter().zip(WORDS).zip(BITS).zip(STATES);
            let present = rows.filter(|(((_, word), bit), state)| self.has(*word, *bit) && self.enabled(*state));
            present.map(|(((name, _), _), _)| name).collect()
        }

        fn has(&self, word: Word, number: u8) -> bool {
            let word = match word {
                Word::Basic1c => self.basic.ecx,
                Word::Leaf7b => self.extended.ebx,
                Word::Leaf7c => self.extended.ecx,
                Word::Leaf7d => self.extended.edx,
                Word::Leaf7_1a => self.extended_1.eax,
                Word::Leaf7_1d => self.extended_1.edx,
                Word::Save1a => self.save_1.eax,
                Word::Trace14b => self.trace.ebx,
                Word::KeyLocker19b => self.key_locker.ebx,
                Word::Tiles1eA => self.tiles_1.eax,
                Word::Avx10 => return self.avx10.ebx & 0xff >= u32::from(number),
                Word::Amd1c => self.amd.ecx,
                Word::Amd1d => self.amd.edx,
                Word::Amd8b => self.amd_8.ebx,
            };
            bit(word, number)
        }

        fn enabled(&self, state: State) -> bool {
            let saved = |components: u64| self.xcr0 & components == components;
            let avx = bit(self.basic.ecx, 28) && saved(YMM);
            match state {
                State::Plain => true,
                State::Xsave => bit(self.basic.ecx, 26) && bit(self.basic.ecx, 27),
                State::Avx => avx,
                State::Avx512 => avx && saved(ZMM) && bit(self.extended.ebx, 16),
                State::Avx10Narrow => avx && saved(ZMM) && bit(self.extended_1.edx, 19),
                State::Avx10 => avx && saved(ZMM) && bit(self.extended_1.edx, 19) && bit(self.avx10.ebx, 18),
                State::Amx => saved(TILES) && bit(self.extended.edx, 24),
                State::Apx => saved(APX),
                State::Lwp => saved(LWP),
                State::FsGsBase => self.fsgsbase,
                State::KeyLocker => bit(self.extended.ecx, 23) && bit(self.key_locker.ebx, 0),
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::super::NEEDS;
        use super::*;

        const ALL: CpuidResult = CpuidResult { eax: !0, ebx: !0, ecx: !0, edx: !0 };

        /// A CPU that has everything, under an operating system that has enabled these components of the state.
        fn full(xcr0: u64) -> Cpu {
            Cpu {
                basic: ALL,
                extended: ALL,
                extended_1: ALL,
                save_1: ALL,
                trace: ALL,
                key_locker: ALL,
                tiles_1: ALL,
                avx10: ALL,
                amd: ALL,
                amd_8: ALL,
                xcr0,
                fsgsbase: true,
            }
        }

        /// What glibc has asked for is what CPUID says.
        #[test]
        fn known_leaves_are_those_of_cpuid() {
            assert_eq!(Cpu::read(KnownLeaves::find()).features(), Cpu::read(None).features());
            let Some(known) = KnownLeaves::find() else { return };
            for (number, subleaf) in [(7, 0), (0x8000_0001, 0), (0x8000_0008, 0)] {
                let (found, read) = (known.get(number, subleaf).unwrap(), leaf(None, number, subleaf));
                assert_eq!((found.ecx, found.edx), (read.ecx, read.edx), "leaf {number:#x}");
            }
            assert!(known.get(0x16, 0).is_none(), "a leaf that glibc does not keep");
        }

        fn missing(cpu: &Cpu) -> Vec<&'static str> {
            let found = cpu.features();
            NEEDS.iter().map(|(name, ..)| *name).filter(|name| !found.contains(name)).collect()
        }

        fn states(names: &[&'static str]) -> Vec<State> {
            let mut states: Vec<State> = Vec::new();
            for (_, _, _, state) in NEEDS.iter().filter(|(name, ..)| names.contains(name)) {
                if !states.contains(state) {
                    states.push(*state);
                }
            }
            states
        }

        #[test]
        fn a_feature_counts_if_its_state_is_enabled() {
            let everything = YMM | ZMM | TILES | APX | LWP | 1;
            assert_eq!(missing(&full(everything)), [""; 0]);
            assert_eq!(missing(&full(everything & !TILES)).iter().filter(|name| !name.starts_with("amx-")).count(), 0);
            assert!(missing(&full(everything & !TILES)).contains(&"amx-tile"));
            // The tile configuration alone is of no use.
            assert!(missing(&full(everything & !(1 << 18))).contains(&"amx-tile"));
            assert_eq!(missing(&full(everything & !APX)).len(), 8);
            assert_eq!(missing(&full(everything & !LWP)), ["lwp"]);
            let no_zmm = missing(&full(everything & !0b100_0000));
            assert!(["avx512f", "avx512vl", "avx10.1"].iter().all(|name| no_zmm.contains(name)));
            assert!(["avx", "avx2", "vaes", "avxvnni"].iter().all(|name| !no_zmm.contains(name)));
            // Without YMM state all that is VEX-encoded or larger is gone, and nothing else.
            let mut no_avx = states(&missing(&full(everything & !0b100)));
            no_avx.retain(|state| !matches!(state, State::Avx | State::Avx512 | State::Avx10 | State::Avx10Narrow));
            assert_eq!(no_avx, []);
            for name in [
                "avx",
                "f16c",
                "fma",
                "avx2",
                "vaes",
                "vpclmulqdq",
                "xop",
                "fma4",
                "avxvnni",
                "sha512",
                "sm3",
                "avx512f",
            ] {
                assert!(missing(&full(everything & !0b100)).contains(&name), "{name}");
            }
        }

        #[test]
        fn without_avx_or_osxsave_nothing_vex_encoded_counts() {
            let mut hidden = full(!0);
            hidden.basic.ecx &= !(1 << 28);
            for name in ["avx", "avx2", "f16c", "fma", "vaes", "avx512f", "avx512vbmi", "avx10.1"] {
                assert!(missing(&hidden).contains(&name), "{name}");
            }
            assert!(!missing(&hidden).contains(&"xsave"));
            let mut no_xsave = full(0);
            no_xsave.basic.ecx &= !(1 << 26 | 1 << 27);
            let gone = missing(&no_xsave);
            assert!(
                ["xsave", "xsaveopt", "xsavec", "avx", "f16c", "amx-tile", "egpr"]
                    .iter()
                    .all(|name| gone.contains(name))
            );
            assert!(["bmi", "bmi2", "gfni", "aes", "sse4.2", "popcnt"].iter().all(|name| !gone.contains(name)));
            let mut no_foundation = full(!0);
            no_foundation.extended.ebx &= !(1 << 16);
            assert!(missing(&no_foundation).contains(&"avx512bw"));
            let mut narrow = full(!0);
            narrow.avx10.ebx = 0x3_0001;
            let gone = missing(&narrow);
            assert!(["avx10.1", "avx10.1-512", "avx10.2-256"].iter().all(|name| gone.contains(name)));
            assert!(!gone.contains(&"avx10.1-256"));
            let mut no_keys = full(!0);
            no_keys.key_locker.ebx = 4;
            assert_eq!(missing(&no_keys), ["kl", "widekl"]);
        }
    }
}
