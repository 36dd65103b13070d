//! Which features an engine supports, whatever the scheme of the names that it and an artifact use.

use std::collections::BTreeMap;

use super::cpu::table::{Features, Kind, Support};
use super::{Engine, FlagTable};
use crate::format::flags::Flag;

impl Engine {
    /// Returns whether code that was compiled with the feature `name` fits the engine. The feature may be on in the engine under
    /// another name, be a baseline of its architecture, follow from other features, or need nothing of the CPU.
    pub(crate) fn support(&self, name: &str) -> Support {
        let features = Features::of(&self.target);
        let support = match (features, stated(&self.isa_flags, name)) {
            (Some(features), _) => features.support(features.llvm_name(name), &|llvm| self.states(features, llvm)),
            (None, Some(true)) => Support::Yes,
            (None, Some(false)) => Support::No,
            (None, None) => Support::Unknown,
        };
        let is_elsewhere =
            |other: &&Features| other.kind(other.llvm_name(name)).is_some_and(|kind| kind != Kind::NoNeed);
        match support {
            // A feature of another architecture is known, and missing here.
            Support::Unknown if Features::ALL.iter().any(is_elsewhere) => Support::No,
            support => support,
        }
    }

    /// Returns the ISA flags that decide which artifacts fit, each under LLVM's name: without those that need nothing, those that are
    /// off, and those that are supported anyway.
    pub(super) fn distinct_isa_flags(&self) -> BTreeMap<&str, Flag<&str>> {
        let mut distinct = BTreeMap::new();
        let features = Features::of(&self.target);
        for (name, flag) in &self.isa_flags {
            let (Flag::Bool(on), Some(features)) = (flag, features) else {
                if *flag != Flag::Bool(false) {
                    distinct.insert(name.as_str(), flag.borrowed());
                }
                continue;
            };
            let llvm = features.llvm_name(name);
            let stated = |llvm: &str| self.states(features, llvm);
            let on = stated(llvm).unwrap_or(*on);
            // What it stands for is what counts, not that it is on by this name.
            if let (Some(Kind::Implied(needs)), true) = (features.kind(llvm), on) {
                for need in needs.iter().flat_map(|need| features.leaves(need)) {
                    if features.support(need, &stated) == Support::Yes && features.kind(need) == Some(Kind::Need) {
                        distinct.insert(need, Flag::Bool(true));
                    }
                }
            }
            let kind = features.kind(llvm);
            let anyway = features.support_unstated(kind, &stated) == Support::Yes;
            if kind != Some(Kind::NoNeed) && on != anyway {
                distinct.insert(llvm, Flag::Bool(on));
            }
        }
        distinct
    }

    /// Returns the number of ISA flags that decide which artifacts fit.
    pub(crate) fn need_count(&self) -> usize {
        self.distinct_isa_flags().len()
    }

    /// Returns what the ISA flags say about the feature that LLVM names `llvm`. It is on if it is on under one of its names, or if nothing
    /// is said about it and a feature is on that stands for it.
    fn states(&self, features: &Features, llvm: &str) -> Option<bool> {
        let by_name = features.names(llvm).filter_map(|name| stated(&self.isa_flags, name)).max();
        let implies = |(other, needs): &&(&'static str, &'static [&'static str])| {
            needs.contains(&llvm) && self.states(features, other) == Some(true)
        };
        by_name.or_else(|| features.implied.iter().find(implies).map(|_| true))
    }
}

fn stated(flags: &FlagTable, name: &str) -> Option<bool> {
    match flags.get(name) {
        Some(Flag::Bool(on)) => Some(*on),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::FlagMap;
    use super::*;

    fn engine(flags: &[(&str, bool)]) -> Engine {
        let mut engine = Engine::new();
        engine.set_target("x86_64-unknown-linux-gnu").unwrap();
        for (name, on) in flags {
            engine.set_flag(FlagMap::Isa, name, Flag::Bool(*on)).unwrap();
        }
        engine
    }

    #[test]
    fn a_feature_is_supported_under_every_name() {
        let bare = engine(&[]);
        for free in ["x87", "sse2", "64bit", "prefer-256-bit", "fast-gather", "invpcid"] {
            assert_eq!(bare.support(free), Support::Yes, "{free}");
        }
        assert_eq!((bare.support("avx"), bare.support("evex512")), (Support::No, Support::No));
        assert_eq!((bare.support("has_avx"), bare.support("my-flag")), (Support::No, Support::Unknown));
        assert_eq!(
            (bare.support("lse"), bare.support("has_lse")),
            (Support::No, Support::No),
            "of another architecture"
        );
        let mut other = engine(&[("has_mie2", false), ("vector", true)]);
        other.set_target("s390x-unknown-linux-gnu").unwrap();
        assert_eq!(
            ["has_mie2", "vector", "avx", "my-flag"].map(|name| other.support(name)),
            [Support::No, Support::Yes, Support::No, Support::Unknown]
        );
        let cranelift = engine(&[("has_avx512f", true), ("bmi1", true), ("my-flag", false)]);
        for name in ["avx512f", "has_avx512f", "evex512", "bmi", "has_bmi1", "bmi1"] {
            assert_eq!(cranelift.support(name), Support::Yes, "{name}");
        }
        assert_eq!(cranelift.support("my-flag"), Support::No);
        assert_eq!(engine(&[("sse2", false)]).support("sse2"), Support::No);
        assert_eq!(engine(&[("evex512", true)]).support("avx512f"), Support::Yes);
        assert_eq!(engine(&[("evex512", true), ("avx512f", false)]).support("avx512f"), Support::No);
        assert_eq!(engine(&[("avx512f", true), ("evex512", false)]).support("evex512"), Support::No);
    }

    #[test]
    fn engines_that_support_the_same_have_the_same_fingerprint() {
        let same = [
            engine(&[("avx512f", true)]),
            engine(&[("has_avx512f", true), ("avx2", false)]),
            engine(&[("avx512f", true), ("evex512", true), ("prefer-256-bit", true), ("invpcid", false)]),
            engine(&[("avx512f", true), ("sse2", true), ("x87", true), ("has_avx512f", false)]),
        ];
        for other in &same {
            assert_eq!(other.fingerprint(), same[0].fingerprint());
        }
        let different = [
            engine(&[]),
            engine(&[("avx512f", true), ("sse2", false)]),
            engine(&[("avx512f", true), ("evex512", false)]),
        ];
        for other in different {
            assert_ne!(other.fingerprint(), same[0].fingerprint());
        }
        assert_ne!(engine(&[("evex512", true)]).fingerprint(), engine(&[]).fingerprint());
        assert_eq!(engine(&[("evex512", true)]).fingerprint(), same[0].fingerprint());
    }

    #[test]
    fn a_version_of_the_architecture_stands_for_its_features() {
        let arm = |flags: &[&str]| {
            let mut engine = Engine::new();
            engine.set_target("aarch64-unknown-linux-gnu").unwrap();
            for name in flags {
                engine.set_flag(FlagMap::Isa, name, Flag::Bool(true)).unwrap();
            }
            engine
        };
        let version = arm(&["v8.3a", "sve2-aes"]);
        for name in ["v8.3a", "v8.2a", "v8.1a", "lse", "has_lse", "pauth", "rcpc", "sve2", "sve-aes", "sve2-aes"] {
            assert_eq!(version.support(name), Support::Yes, "{name}");
        }
        for name in ["v8.4a", "dotprod", "sve2-sm4", "sha2"] {
            assert_eq!(version.support(name), Support::No, "{name}");
        }
        let features = ["ccpp", "complxnum", "crc", "jsconv", "lse", "pauth", "rcpc", "rdm", "sve-aes", "sve2"];
        assert_eq!(version.fingerprint(), arm(&features).fingerprint());
        assert_ne!(version.fingerprint(), arm(&features[1..]).fingerprint());
        assert_ne!(version.fingerprint(), arm(&["v8.2a", "sve2-aes"]).fingerprint());
    }
}
