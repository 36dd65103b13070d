//! The ISA flags that stand for a CPU: this host's, or one named by the user, in the naming scheme of the engine.

use super::accepted::Accepted;
use super::cpu::table::{Features, Kind};
use super::{Engine, FlagTable, WASMTIME, cpu, target, wasmtime};
use crate::error::{Error, Result, Status, quote};
use crate::format::flags::Flag;

impl Engine {
    /// Creates the baseline engine plus every feature of this CPU as an ISA flag, under LLVM's names. Check artifacts against this
    /// engine before running them.
    ///
    /// A feature counts if the operating system has enabled its state and this process may use it, at the time of this call: on
    /// Linux the `amx-*` features only appear after `arch_prctl(ARCH_REQ_XCOMP_PERM, 18)`. Where the length of vectors differs from
    /// CPU to CPU, as with SVE, the calling thread's length is a flag (`sve-vector-bits`).
    #[must_use]
    pub fn host() -> Engine {
        Engine::new().clone_for_host()
    }

    /// Returns a copy with this host's target and the features of this CPU, as [`Engine::host`] finds them, in place of the engine's: what
    /// this host can run of the code that a compiler with these settings makes.
    ///
    /// The features have the names that the engine uses: Cranelift's (`has_avx2`) if it has one of those or its producer is `wasmtime`,
    /// LLVM's otherwise. ISA flags that are not features of a CPU stay, and so does everything else.
    #[must_use]
    pub fn clone_for_host(&self) -> Engine {
        let mut engine = self.clone();
        engine.replace_features(target::host(), &host_flags());
        engine
    }

    /// Creates the baseline engine with the features of a CPU as ISA flags, as [`Engine::set_cpu`] does.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for an unknown name.
    pub fn for_cpu(names: &str) -> Result<Engine> {
        let mut engine = Engine::new();
        engine.set_cpu(names)?;
        Ok(engine)
    }

    /// Replaces the features among the ISA flags by those of a CPU of the engine's target, under the names that the engine uses, as
    /// [`Engine::clone_for_host`] does.
    ///
    /// `names` is a comma-separated list of `native` for this CPU, LLVM's names of CPUs (`haswell`, `znver4`, `neoverse-n1`), levels of the
    /// x86-64 psABI (`x86-64-v1` to `x86-64-v4`), names of single features, and on aarch64 `sve-vector-bits=512` for code that was
    /// compiled for one length of SVE vectors. With `-` before it, a name's features are taken away from those before. A CPU stands for
    /// all features that LLVM gives it and that code can need; what needs nothing of a CPU is left out.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a name that the target's architecture does not have, for `native` if that is not this host's, and under
    /// producer `wasmtime` for a single feature for which Cranelift has no flag. Nothing changes then.
    pub fn set_cpu(&mut self, names: &str) -> Result<()> {
        let mut found = FlagTable::new();
        for name in names.split(',') {
            match name.strip_prefix('-') {
                Some(name) => self.cpu_flags(name)?.keys().for_each(|name| drop(found.remove(name))),
                None => self.cpu_flags(name)?.into_iter().for_each(|(name, flag)| drop(found.insert(name, flag))),
            }
        }
        self.replace_features(self.target.clone(), &found);
        Ok(())
    }

    /// Turns all features of a CPU off: what is left is the baseline of the target's architecture.
    pub fn remove_cpu(&mut self) {
        self.replace_features(self.target.clone(), &FlagTable::new());
    }

    /// Returns what one name stands for, under LLVM's names.
    fn cpu_flags(&self, name: &str) -> Result<FlagTable> {
        let architecture = target::compared_parts(&self.target).0;
        let mut flags = FlagTable::new();
        if name == "native" && architecture == target::compared_parts(&target::host()).0 {
            return Ok(host_flags());
        }
        if let Some((length, bits)) = vector_length(name) {
            flags.insert(length.to_owned(), bits);
            return Ok(flags);
        }
        let features = Features::of(&self.target);
        let names = cpu::features_named(features, name).filter(|_| name != "native").ok_or_else(|| {
            let near = features.map(|features| features.near(name)).filter(|near| !near.is_empty());
            let near = near.map_or(String::new(), |near| format!("; similar names are {}", near.join(", ")));
            let message = format!(
                "CPU: expected native on this host's architecture, or LLVM's name of a CPU, level or feature of {}, found '{}'{near}",
                quote(architecture.as_bytes()),
                quote(name.as_bytes()),
            );
            Error::new(Status::InvalidArgument, message)
        })?;
        if self.producer == WASMTIME
            && let Some(features) = features
            && let [single] = *names
            && features.cpu(name).is_none()
            && features.kind(single) == Some(Kind::Need)
            && features.cranelift_name(single).is_none()
        {
            let message =
                format!("CPU: expected a feature for which Cranelift has a flag, found '{}'", quote(name.as_bytes()));
            return Err(Error::new(Status::InvalidArgument, message));
        }
        for name in names {
            flags.insert(name.to_owned(), Flag::Bool(true));
        }
        Ok(flags)
    }

    /// Replaces target and features. `found` has LLVM's names.
    fn replace_features(&mut self, target: String, found: &FlagTable) {
        let (before, after) = (Features::of(&self.target), Features::of(&target));
        let same_machine = target::compared_parts(&self.target).0 == target::compared_parts(&target).0;
        self.accepted = Accepted::default();
        self.target = target;
        let all = std::mem::take(&mut self.isa_flags);
        let is_feature = |name: &str, flag: &Flag<String>| match flag {
            Flag::Bool(_) => before.is_none() || Features::ALL.iter().any(|features| is_need(features, name)),
            _ => cpu::LENGTHS.contains(&name),
        };
        let mut uses_cranelift = false;
        let mut names = Vec::new();
        for (name, flag) in all {
            if !is_feature(&name, &flag) {
                self.isa_flags.insert(name, flag);
                continue;
            }
            uses_cranelift |= name.starts_with("has_");
            names.push(name);
        }
        if self.producer == WASMTIME {
            // Wasmtime compares all names: those of its version, whatever the values.
            names.retain(|name| after.map_or(same_machine, |features| is_need(features, name)));
            if names.is_empty() {
                names = wasmtime::isa_names(&self.target).iter().map(|name| (*name).to_owned()).collect();
            }
            for name in names {
                let llvm = after.map_or(name.as_str(), |features| features.llvm_name(&name));
                let on = found.get(llvm) == Some(&Flag::Bool(true));
                self.isa_flags.insert(name, Flag::Bool(on));
            }
            return;
        }
        for (llvm, flag) in found {
            let cranelift = after.filter(|_| uses_cranelift).and_then(|features| features.cranelift_name(llvm));
            self.isa_flags.insert(cranelift.unwrap_or(llvm).to_owned(), flag.clone());
        }
    }
}

/// Returns whether a name is a feature that asks something of the CPU.
fn is_need(features: &Features, name: &str) -> bool {
    !matches!(features.kind(features.llvm_name(name)), None | Some(Kind::NoNeed))
}

/// Returns the ISA flags for this CPU: its features and the lengths of its vectors.
fn host_flags() -> FlagTable {
    let mut table = super::flag_table(&mut cpu::usable().map(|name| (name, Flag::Bool(true))));
    for (name, bits) in cpu::lengths() {
        table.insert(name.to_owned(), Flag::Enum(bits.to_string()));
    }
    table
}

/// Parses the length of vectors in a name such as `sve-vector-bits=512`.
fn vector_length(name: &str) -> Option<(&str, Flag<String>)> {
    let (length, bits) = name.split_once('=').filter(|(length, _)| cpu::LENGTHS.contains(length))?;
    let number: u32 = bits.parse().ok().filter(|number| cpu::is_length(length, *number))?;
    Some((length, Flag::Enum(number.to_string())))
}

#[cfg(test)]
mod tests {
    use super::super::FlagMap;
    use super::*;

    fn on(engine: &Engine) -> Vec<&str> {
        let flags = engine.flags(FlagMap::Isa).iter();
        flags.filter(|(_, flag)| **flag == Flag::Bool(true)).map(|(name, _)| name.as_str()).collect()
    }

    fn for_target(triple: &str) -> Engine {
        let mut engine = Engine::new();
        engine.set_target(triple).unwrap();
        engine
    }

    #[test]
    fn a_host_engine_has_the_features_of_this_cpu() {
        let engine = Engine::host();
        if cfg!(target_arch = "x86_64") {
            assert_eq!(engine.flags(FlagMap::Isa).get("sse2"), Some(&Flag::Bool(true)));
        }
        assert!(engine.flags(FlagMap::Shared).is_empty());
    }

    #[test]
    fn an_engine_for_a_cpu() {
        let isa = |names: &str| Engine::for_cpu(names).map(|engine| engine.flags(FlagMap::Isa).clone());
        assert_eq!(isa("native").unwrap(), *Engine::host().flags(FlagMap::Isa));
        let length = isa("sve-vector-bits=512").unwrap();
        assert_eq!(length.get("sve-vector-bits"), Some(&Flag::Enum("512".to_owned())));
        for wrong in ["sve-vector-bits", "sve-vector-bits=0", "sve-vector-bits=100", "sve-vector-bits=4096", "avx-2"] {
            // Without a table of features, any name may be one.
            let detected = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
            assert_eq!(isa(wrong).is_err(), detected, "{wrong}");
        }
    }

    #[test]
    fn names_are_of_the_engines_architecture_and_replace_what_was_there() {
        let mut engine = for_target("x86_64-unknown-linux-gnu");
        engine.set_cpu("znver5").unwrap();
        engine.set_flag(FlagMap::Isa, "my-abi", Flag::Num(2)).unwrap();
        engine.set_flag(FlagMap::Isa, "my-flag", Flag::Bool(true)).unwrap();
        engine.set_cpu("nehalem,+avx").unwrap_err();
        engine.set_cpu("nehalem,bmi1,-sahf").unwrap();
        assert_eq!(
            on(&engine),
            ["bmi", "crc32", "cx16", "my-flag", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"],
            "without znver5's, and with what is no feature of a CPU"
        );
        assert_eq!(engine.flags(FlagMap::Isa).get("my-abi"), Some(&Flag::Num(2)));
        engine.set_cpu("x86-64-v3,-x86-64-v2").unwrap();
        assert_eq!(on(&engine), ["avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "my-flag", "xsave"]);
        let mut arm = for_target("aarch64-unknown-linux-gnu");
        arm.set_cpu("neoverse-n1").unwrap();
        assert_eq!(on(&arm), ["aes", "ccpp", "crc", "dotprod", "fullfp16", "lse", "rcpc", "rdm", "sha2", "ssbs"]);
        arm.set_cpu("generic").unwrap();
        assert!(on(&arm).is_empty());
        assert!(arm.set_cpu("haswell").is_err() && engine.set_cpu("neoverse-n1").is_err());
        let foreign = if cfg!(target_arch = "aarch64") { &mut engine } else { &mut arm };
        assert!(foreign.set_cpu("native").is_err());
    }

    #[test]
    fn unknown_names_are_errors_that_list_similar_ones() {
        let mut engine = for_target("x86_64-unknown-linux-gnu");
        let mut message = |name: &str| engine.set_cpu(name).unwrap_err().message().to_owned();
        for (wrong, similar) in [
            ("znver6", "znver1, znver2"),
            ("icelake", "icelake-client, icelake-server"),
            ("Haswell", "haswell"),
            ("skylake_avx512", "skylake-avx512"),
            ("avx512vml", "avx512vl"),
        ] {
            let message = message(wrong);
            assert!(message.contains(&format!("found '{wrong}'; similar names are ")), "{message}");
            assert!(message.contains(similar), "{message}");
        }
        for wrong in ["", "-", "xyzzy", "x86-64-v5,", &"q".repeat(1 << 20)] {
            assert!(message(wrong).starts_with("CPU: expected "), "{wrong}");
        }
        let mut arm = for_target("aarch64-unknown-linux-gnu");
        // What LLVM names its tuning for a CPU is no name of a CPU.
        for wrong in ["cortex-a9999", "neoverse-n9", "apple-z1"] {
            assert!(arm.set_cpu(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn under_wasmtime_the_names_are_cranelifts() {
        let mut engine = wasmtime::engine("x86_64-unknown-linux-gnu");
        engine.set_cpu("haswell").unwrap();
        assert_eq!(engine.flags(FlagMap::Isa).len(), wasmtime::isa_names("x86_64").len());
        let haswell = [
            "has_avx",
            "has_avx2",
            "has_bmi1",
            "has_bmi2",
            "has_lzcnt",
            "has_popcnt",
            "has_sse3",
            "has_sse41",
            "has_sse42",
            "has_ssse3",
        ];
        assert_eq!(on(&engine), haswell);
        assert!(engine.set_cpu("haswell,adx").unwrap_err().message().contains("Cranelift has a flag, found 'adx'"));
        engine.set_cpu("avx,has_avx2").unwrap();
        assert_eq!(on(&engine), ["has_avx", "has_avx2"]);
        assert_eq!(Engine::wasmtime().clone_for_host(), Engine::wasmtime());
        engine.set_target("aarch64-unknown-linux-gnu").unwrap();
        engine.set_cpu("neoverse-n1").unwrap();
        assert_eq!((on(&engine), engine.flags(FlagMap::Isa).len()), (vec!["has_lse"], 1));
        assert_eq!(engine.clone_for_host(), Engine::wasmtime());
    }

    #[test]
    fn a_compilers_engine_becomes_the_hosts() {
        let mut compiler = for_target("s390x-unknown-linux-gnu");
        compiler.set_producer("mine").unwrap();
        compiler.set_version_rule(super::super::VersionRule::Custom("v8".into())).unwrap();
        compiler.set_flag(FlagMap::Shared, "abi", Flag::Num(3)).unwrap();
        compiler.set_flag(FlagMap::Isa, "my-abi", Flag::Enum("x".into())).unwrap();
        compiler.set_flag(FlagMap::Isa, "vector", Flag::Bool(true)).unwrap();
        compiler.tunables.static_memory_bound = 7;
        compiler.features.simd = true;
        let host = compiler.clone_for_host();
        assert_eq!(host.target(), target::host());
        let mut expected = compiler.clone();
        expected.target = target::host();
        expected.isa_flags = host_flags();
        expected.isa_flags.insert("my-abi".into(), Flag::Enum("x".into()));
        assert_eq!(host, expected);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn an_engine_with_cranelifts_names_keeps_them() {
        let mut compiler = Engine::new();
        for name in ["has_sse3", "has_avx512vbmi"] {
            compiler.set_flag(FlagMap::Isa, name, Flag::Bool(true)).unwrap();
        }
        let host = compiler.clone_for_host();
        assert!(!on(&host).contains(&"sse3") && on(&host).contains(&"has_sse3"));
        assert_eq!(host.fingerprint(), Engine::host().fingerprint(), "they mean the same");
    }
}
