//! One table of features for each architecture: the names that LLVM, Cranelift and Rust give them, and whether code that was compiled
//! with a feature needs something of the CPU for it.
//!
//! LLVM lists under "target features" not only instruction sets. Tuning (`prefer-256-bit`) changes which instructions are chosen
//! out of those that are there anyway; privileged instructions (`invpcid`) trap in every program, on every CPU. Neither is a need.

use super::names::Cpus;
use super::{aarch64, x86_64};

/// The features of one architecture. Every list is sorted.
pub struct Features {
    /// Names of CPUs, and microarchitecture levels.
    pub cpus: Cpus,
    /// Features that code can need, and that detection knows.
    pub needs: &'static [&'static str],
    /// Features that code can need, and that detection never finds.
    pub not_detected: &'static [&'static str],
    /// What every CPU of the architecture has.
    pub baseline: &'static [&'static str],
    /// Instructions of the kernel: a program that executes one is ended, wherever it runs.
    pub privileged: &'static [&'static str],
    /// Tuning, ways to generate code, and hints that older CPUs execute as NOP.
    pub no_need: &'static [&'static str],
    /// How names in `no_need` can begin, besides.
    pub no_need_prefixes: &'static [&'static str],
    /// How names of LLVM's tuning for one CPU begin, which needs nothing of that CPU.
    pub tuning_prefixes: &'static [&'static str],
    /// Features that a CPU has if it has certain others, and whose CPUs have those.
    pub implied: &'static [(&'static str, &'static [&'static str])],
    /// Other names of features, and LLVM's: those of Cranelift (`has_avx2`) and of Rust (`bmi1`).
    pub synonyms: &'static [(&'static str, &'static str)],
}

/// Returns a column of a constant table, as a constant: the whole table, with the names once more, is then not in the library.
macro_rules! column {
    ($table:ident, $column:tt, $empty:expr) => {{
        let mut column = [$empty; $table.len()];
        let mut index = 0;
        while index < column.len() {
            column[index] = $table[index].$column;
            index += 1;
        }
        column
    }};
}
pub(super) use column;

/// What a feature asks of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Instructions that not every CPU has.
    Need,
    /// Nothing that some CPU of the architecture lacks.
    Baseline,
    /// Nothing.
    NoNeed,
    /// What these features ask.
    Implied(&'static [&'static str]),
}

/// Whether an engine or a CPU supports a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    Yes,
    No,
    /// Neither the engine nor the table has the name.
    Unknown,
}

impl Features {
    /// The tables of all architectures.
    pub const ALL: [&'static Features; 2] = [&x86_64::FEATURES, &aarch64::FEATURES];

    /// Returns the features that a CPU or level of this name has and that code can need, without the baseline's.
    #[must_use]
    pub fn cpu(&self, name: &str) -> Option<Vec<&'static str>> {
        let (_, set) = self.cpus.iter().find(|(known, _)| *known == name)?;
        Some(set.features(self))
    }

    /// Returns the table of a target's architecture, if there is one.
    #[must_use]
    pub fn of(target: &str) -> Option<&'static Features> {
        match target.split('-').next()? {
            "x86_64" | "x86_64h" => Some(&x86_64::FEATURES),
            "aarch64" | "aarch64_be" | "arm64" | "arm64e" => Some(&aarch64::FEATURES),
            _ => None,
        }
    }

    /// Returns LLVM's name for a feature; the name itself if it has no other.
    #[must_use]
    pub fn llvm_name<'n>(&self, name: &'n str) -> &'n str {
        lookup(self.synonyms, name).unwrap_or(name)
    }

    /// Returns all names of the feature that LLVM names `llvm`.
    pub fn names<'n>(&self, llvm: &'n str) -> impl Iterator<Item = &'n str> {
        let others = self.synonyms.iter().filter(move |(_, name)| *name == llvm).map(|(other, _)| *other);
        std::iter::once(llvm).chain(others)
    }

    /// Returns what the feature that LLVM names `llvm` asks of the CPU; none for an unknown name.
    #[must_use]
    pub fn kind(&self, llvm: &str) -> Option<Kind> {
        let is_in = |names: &[&str]| names.binary_search(&llvm).is_ok();
        if is_in(self.needs) || is_in(self.not_detected) {
            return Some(Kind::Need);
        }
        if is_in(self.baseline) {
            return Some(Kind::Baseline);
        }
        if let Some(needs) = lookup(self.implied, llvm) {
            return Some(Kind::Implied(needs));
        }
        let begins = |prefix: &&str| llvm.starts_with(prefix);
        let free = is_in(self.privileged) || is_in(self.no_need) || self.no_need_prefixes.iter().any(begins);
        (free || self.is_tuning_for_a_cpu(llvm)).then_some(Kind::NoNeed)
    }

    /// Returns whether a name looks like LLVM's tuning for a CPU, and so like a CPU's.
    #[must_use]
    pub fn is_tuning_for_a_cpu(&self, llvm: &str) -> bool {
        self.tuning_prefixes.iter().any(|prefix| llvm.starts_with(prefix))
    }

    /// Returns Cranelift's name of the feature that LLVM names `llvm`, if it has one.
    #[must_use]
    pub fn cranelift_name(&self, llvm: &str) -> Option<&'static str> {
        self.synonyms.iter().find(|(other, name)| *name == llvm && other.starts_with("has_")).map(|(other, _)| *other)
    }

    /// Returns the features that a feature stands for, down to those that stand for no others.
    pub fn leaves(&self, llvm: &'static str) -> Vec<&'static str> {
        match lookup(self.implied, llvm) {
            Some(needs) => needs.iter().flat_map(|need| self.leaves(need)).collect(),
            None => vec![llvm],
        }
    }

    /// Returns whether a feature is supported where `stated` returns what is known about a feature by LLVM's name: on, off, or
    /// nothing.
    pub fn support(&self, llvm: &str, stated: &dyn Fn(&str) -> Option<bool>) -> Support {
        match (self.kind(llvm), stated(llvm)) {
            (Some(Kind::NoNeed), _) | (_, Some(true)) => Support::Yes,
            (_, Some(false)) => Support::No,
            (kind, None) => self.support_unstated(kind, stated),
        }
    }

    /// Returns whether a feature of this kind is supported if nothing is stated about itself.
    pub fn support_unstated(&self, kind: Option<Kind>, stated: &dyn Fn(&str) -> Option<bool>) -> Support {
        let all = |needs: &[&str]| needs.iter().all(|need| self.support(need, stated) == Support::Yes);
        match kind {
            None => Support::Unknown,
            Some(Kind::NoNeed | Kind::Baseline) => Support::Yes,
            Some(Kind::Implied(needs)) if all(needs) => Support::Yes,
            Some(Kind::Implied(_) | Kind::Need) => Support::No,
        }
    }
}

/// Looks a name up in a sorted list.
fn lookup<T: Copy>(list: &[(&'static str, T)], name: &str) -> Option<T> {
    let index = list.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
    list.get(index).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_have_each_name_once() {
        for features in Features::ALL {
            let Features { needs, not_detected, baseline, privileged, no_need, .. } = features;
            assert!(needs.is_sorted_by(|a, b| a < b));
            for list in [not_detected, baseline, privileged, no_need] {
                assert!(list.is_sorted_by(|a, b| a < b), "{list:?}");
                assert_eq!(list.iter().find(|name| needs.contains(name)), None);
            }
            assert!(features.implied.is_sorted_by(|a, b| a.0 < b.0));
            assert!(features.synonyms.is_sorted_by(|a, b| a.0 < b.0));
            for (_, needs) in features.implied {
                assert!(needs.iter().all(|need| features.kind(need).is_some()), "{needs:?}");
            }
            for (other, llvm) in features.synonyms {
                assert_eq!(features.kind(other), None, "{other}");
                assert!(features.kind(llvm).is_some(), "{llvm}");
                assert!(features.names(llvm).any(|name| name == *other));
            }
        }
    }

    #[test]
    fn kinds() {
        let kind = |target: &str, name: &str| {
            let features = Features::of(target).unwrap();
            features.kind(features.llvm_name(name))
        };
        let x86 = |name: &str| kind("x86_64-unknown-linux-gnu", name);
        for name in ["64bit", "cmov", "cx8", "fxsr", "mmx", "sse", "sse2", "x87"] {
            assert_eq!(x86(name), Some(Kind::Baseline), "{name}");
        }
        for name in ["prefer-256-bit", "fast-gather", "fast-of-tomorrow", "invpcid", "xsaves", "retpoline", "cldemote"]
        {
            assert_eq!(x86(name), Some(Kind::NoNeed), "{name}");
        }
        for name in ["f16c", "has_avx512f", "bmi1", "amx-tile", "egpr", "32bit-mode"] {
            assert_eq!(x86(name), Some(Kind::Need), "{name}");
        }
        assert_eq!(x86("evex512"), Some(Kind::Implied(&["avx512f"])));
        assert_eq!((x86("avx-2"), x86("sve"), x86("")), (None, None, None));
        let arm = |name: &str| kind("aarch64-unknown-linux-gnu", name);
        assert_eq!((arm("lse"), arm("has_lse"), arm("cmpbr")), (Some(Kind::Need), Some(Kind::Need), Some(Kind::Need)));
        assert_eq!(
            (arm("neon"), arm("pan"), arm("reserve-x18")),
            (Some(Kind::Baseline), Some(Kind::NoNeed), Some(Kind::NoNeed))
        );
        assert!(Features::of("s390x-unknown-linux-gnu").is_none());
    }

    #[test]
    fn what_is_implied_is_supported() {
        let features = &aarch64::FEATURES;
        let has = |names: &'static [&'static str]| move |name: &str| names.contains(&name).then_some(true);
        assert_eq!(features.support("v8.1a", &has(&["crc", "lse", "rdm"])), Support::Yes);
        assert_eq!(features.support("v8.1a", &has(&["crc", "lse"])), Support::No);
        assert_eq!(features.support("v8.1a", &has(&["v8.1a"])), Support::Yes);
        assert_eq!(features.support("neon", &|_| Some(false)), Support::No);
        assert_eq!(features.support("v8a", &|_| None), Support::Yes);
        assert_eq!(features.support("v8z", &|_| None), Support::Unknown);
    }
}
