//! What a host compiles with, or would have: target, flags, tunables, features, producer and version rule; and whose signatures
//! it believes.
//!
//! Data and the rules for changing it. Comparing an engine with an artifact is `compat`'s; finding out what this very CPU
//! can do is `cpu`'s.

mod cpu;
mod fingerprint;
mod json;
pub(crate) mod target;
mod wasmtime;

use std::collections::BTreeMap;

use crate::error::{Error, Result, Status, quote};
use crate::format::body::{check_producer, check_version};
use crate::format::flags::{Features, Flag, Tunables};
use crate::trust::keys::PublicKey;

/// The producer that an engine starts with.
pub const DEFAULT_PRODUCER: &str = "artifact";
/// The producer whose files Wasmtime 0.33 reads.
pub const WASMTIME: &str = "wasmtime";
/// The version that the library rule writes for [`WASMTIME`].
const WASMTIME_VERSION: &str = "0.33.0";
/// The version that the library rule writes for everybody else: the revision of the body's layout. A patch release of
/// the library doesn't change it, so that it makes no file stale.
const LAYOUT_REVISION: &str = "1";

/// Which version an engine writes, and which it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionRule {
    /// The layout's revision; under producer `wasmtime` 0.33.0. Accepts exactly that.
    Library,
    /// The embedder's own, 0 to 255 bytes. Accepts exactly that: an empty one accepts only files with an empty version.
    Custom(String),
    /// Writes an empty version. Accepts anything.
    None,
}

impl VersionRule {
    /// What is written under this rule.
    #[must_use]
    pub fn written(&self, producer: &str) -> &str {
        match self {
            VersionRule::Library => library_version(producer),
            VersionRule::Custom(version) => version,
            VersionRule::None => "",
        }
    }

    /// Its number in the C interface.
    #[doc(hidden)]
    #[must_use]
    pub fn number(&self) -> u32 {
        match self {
            VersionRule::Library => 0,
            VersionRule::Custom(_) => 1,
            VersionRule::None => 2,
        }
    }

    /// Whether a file with this version is accepted.
    #[must_use]
    pub fn accepts(&self, producer: &str, version: &[u8]) -> bool {
        matches!(self, VersionRule::None) || self.written(producer).as_bytes() == version
    }
}

/// The version of the body's layout that this library knows for a producer.
#[must_use]
pub(crate) fn library_version(producer: &str) -> &'static str {
    if producer == WASMTIME { WASMTIME_VERSION } else { LAYOUT_REVISION }
}

/// The two flag maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagMap {
    /// Flags that every architecture has.
    Shared,
    /// Instruction sets.
    Isa,
}

/// Flags by name.
pub type FlagTable = BTreeMap<String, Flag<String>>;

/// These flags. One by one: collecting them would bring a sort of its own, kilobytes for each place that does.
fn table(flags: &mut dyn Iterator<Item = (&str, Flag<String>)>) -> FlagTable {
    let mut table = FlagTable::new();
    for (name, flag) in flags {
        table.insert(name.to_owned(), flag);
    }
    table
}

/// What a host compiles with.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    producer: String,
    version: VersionRule,
    target: String,
    shared_flags: FlagTable,
    isa_flags: FlagTable,
    /// Memory layout and instrumentation.
    pub tunables: Tunables,
    /// Wasm proposals.
    pub features: Features,
    /// Whose signatures are believed, in the order of their bytes.
    trusted: Vec<PublicKey>,
}

impl Engine {
    /// This host's triple and no flags: the baseline that a compiler fills in.
    #[must_use]
    pub fn new() -> Engine {
        Engine {
            producer: DEFAULT_PRODUCER.to_owned(),
            version: VersionRule::Library,
            target: target::host(),
            shared_flags: FlagTable::new(),
            isa_flags: FlagTable::new(),
            tunables: Tunables::default(),
            features: Features::default(),
            trusted: Vec::new(),
        }
    }

    /// The same plus every instruction set of this very CPU, under LLVM's names: what artifacts are checked against.
    #[must_use]
    pub fn host() -> Engine {
        let isa_flags = table(&mut cpu::features().iter().map(|name| (*name, Flag::Bool(true))));
        Engine { isa_flags, ..Engine::new() }
    }

    /// The baseline plus the instruction sets of a CPU: names separated by commas, each `native` for this very CPU, a
    /// microarchitecture level of the x86-64 psABI (`x86-64` to `x86-64-v4`), or a feature under LLVM's name.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a name that is none of these on this host's architecture.
    pub fn for_cpu(names: &str) -> Result<Engine> {
        let mut engine = Engine::new();
        for name in names.split(',') {
            let features = cpu::features_named(name).ok_or_else(|| {
                let shown = quote(name.as_bytes());
                let message = format!(
                    "CPU: expected native, a level such as x86-64-v3, or LLVM's name of a feature of this host's \
                     architecture, found '{shown}'"
                );
                Error::new(Status::InvalidArgument, message)
            })?;
            engine.isa_flags.extend(features.into_iter().map(|feature| (feature.to_owned(), Flag::Bool(true))));
        }
        Ok(engine)
    }

    /// What Wasmtime 0.33 would compile with on this host by default.
    #[must_use]
    pub fn wasmtime() -> Engine {
        wasmtime::engine(&target::host())
    }

    /// Target triple.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Sets the target triple.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if it is no target triple.
    pub fn set_target(&mut self, triple: &str) -> Result<()> {
        target::check(triple)?;
        triple.clone_into(&mut self.target);
        Ok(())
    }

    /// Who compiles.
    #[must_use]
    pub fn producer(&self) -> &str {
        &self.producer
    }

    /// Sets who compiles.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a name that can't be represented.
    pub fn set_producer(&mut self, producer: &str) -> Result<()> {
        check_producer(producer)?;
        producer.clone_into(&mut self.producer);
        Ok(())
    }

    /// Which version is written and accepted.
    #[must_use]
    pub fn version_rule(&self) -> &VersionRule {
        &self.version
    }

    /// Sets which version is written and accepted.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a custom version of more than 255 bytes.
    pub fn set_version_rule(&mut self, rule: VersionRule) -> Result<()> {
        if let VersionRule::Custom(version) = &rule {
            check_version(version.as_bytes())?;
        }
        self.version = rule;
        Ok(())
    }

    /// The version that is written.
    #[must_use]
    pub fn version(&self) -> &str {
        self.version.written(&self.producer)
    }

    /// One of the flag maps.
    #[must_use]
    pub fn flags(&self, map: FlagMap) -> &FlagTable {
        match map {
            FlagMap::Shared => &self.shared_flags,
            FlagMap::Isa => &self.isa_flags,
        }
    }

    /// Sets a flag, or changes it.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for an empty name.
    pub fn set_flag(&mut self, map: FlagMap, name: &str, value: Flag<String>) -> Result<()> {
        if name.is_empty() {
            return Err(Error::new(Status::InvalidArgument, "flag: expected a name, found an empty one"));
        }
        self.flags_mut(map).insert(name.to_owned(), value);
        Ok(())
    }

    /// Removes a flag.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if the map has none of that name.
    pub fn unset_flag(&mut self, map: FlagMap, name: &str) -> Result<()> {
        match self.flags_mut(map).remove(name) {
            Some(_) => Ok(()),
            None => Err(no_flag(name)),
        }
    }

    /// Believes what this key signs, and from then on nothing that no trusted key has signed.
    pub fn trust(&mut self, key: PublicKey) {
        if let Err(place) = self.trusted.binary_search_by_key(&key.bytes(), PublicKey::bytes) {
            self.trusted.insert(place, key);
        }
    }

    /// Whose signatures are believed, in the order of their bytes. Without any, artifacts need none.
    #[must_use]
    pub fn trusted_keys(&self) -> &[PublicKey] {
        &self.trusted
    }

    fn flags_mut(&mut self, map: FlagMap) -> &mut FlagTable {
        match map {
            FlagMap::Shared => &mut self.shared_flags,
            FlagMap::Isa => &mut self.isa_flags,
        }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Engine::new()
    }
}

/// There is no flag of that name.
#[doc(hidden)] // for the C interface
#[must_use]
pub fn no_flag(name: &str) -> Error {
    Error::new(Status::NotFound, format!("no flag is named '{}'", quote(name.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_rules() {
        let mut engine = Engine::new();
        assert_eq!(engine.version(), "1");
        engine.set_producer("wasmtime").unwrap();
        assert_eq!(engine.version(), "0.33.0");
        assert!(engine.version_rule().accepts("wasmtime", b"0.33.0"));
        assert!(!engine.version_rule().accepts("wasmtime", b"0.33.1"));
        engine.set_version_rule(VersionRule::Custom("v8".into())).unwrap();
        assert_eq!(engine.version(), "v8");
        assert!(!engine.version_rule().accepts("wasmtime", b"0.33.0"));
        engine.set_version_rule(VersionRule::None).unwrap();
        assert_eq!(engine.version(), "");
        assert!(engine.version_rule().accepts("wasmtime", b"\xff\0"));
        assert!(engine.set_version_rule(VersionRule::Custom("x".repeat(256))).is_err());
        assert_eq!(engine.version_rule(), &VersionRule::None, "a refused rule changes nothing");
        // Both write an empty version; only the rule "none" accepts others.
        engine.set_version_rule(VersionRule::Custom(String::new())).unwrap();
        assert_eq!(engine.version(), "");
        assert!(engine.version_rule().accepts("wasmtime", b""));
        assert!(!engine.version_rule().accepts("wasmtime", b"0.33.0"));
    }

    #[test]
    fn a_host_engine_names_what_this_cpu_has() {
        let engine = Engine::host();
        if cfg!(target_arch = "x86_64") {
            assert_eq!(engine.flags(FlagMap::Isa).get("sse2"), Some(&Flag::Bool(true)));
        }
        assert!(engine.flags(FlagMap::Shared).is_empty());
    }
}
