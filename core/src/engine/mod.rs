//! Engines: the settings that a host compiles with (target, flags, tunables, features, producer, version rule), and the keys that it
//! trusts.
//!
//! This module holds the data and the rules for changing it. `compat` compares an engine with an artifact, `needs` says which features
//! an engine supports, `isa` which flags stand for a CPU, and `cpu` detects the features of the CPU.

mod accepted;
pub(crate) mod cpu;
mod fingerprint;
mod isa;
mod json;
mod needs;
pub(crate) mod target;
mod wasmtime;

use std::collections::BTreeMap;

use crate::error::{Error, Result, Status, quote};
use crate::format::body::{check_producer, check_version};
use crate::format::flags::{Features, Flag, Tunables};
use crate::trust::keys::PublicKey;
use accepted::Accepted;

/// The producer of a new engine.
pub const DEFAULT_PRODUCER: &str = "artifact";
/// The producer name of artifacts that Wasmtime 0.33 reads.
pub const WASMTIME: &str = "wasmtime";
/// The version that the library rule writes for [`WASMTIME`].
const WASMTIME_VERSION: &str = "0.33.0";
/// The version that the library rule writes for all other producers: the revision of the body's layout. It does not change with a
/// patch release, so that a release makes no artifact stale.
const LAYOUT_REVISION: &str = "1";

/// The rule for the version that an engine writes and for the versions that it accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionRule {
    /// Writes the revision of the layout, or 0.33.0 for producer `wasmtime`. Accepts exactly that.
    Library,
    /// Writes this version, which has 0 to 255 bytes. Accepts exactly that: an empty one accepts only artifacts with an empty version.
    Custom(String),
    /// Writes an empty version. Accepts anything.
    None,
}

impl VersionRule {
    /// Returns the version that is written under this rule.
    #[must_use]
    pub fn written(&self, producer: &str) -> &str {
        match self {
            VersionRule::Library => library_version(producer),
            VersionRule::Custom(version) => version,
            VersionRule::None => "",
        }
    }

    /// Returns the number of the rule in the C interface.
    #[doc(hidden)]
    #[must_use]
    pub fn number(&self) -> u32 {
        match self {
            VersionRule::Library => 0,
            VersionRule::Custom(_) => 1,
            VersionRule::None => 2,
        }
    }

    /// Returns whether an artifact of this version is accepted.
    #[must_use]
    pub fn accepts(&self, producer: &str, version: &[u8]) -> bool {
        matches!(self, VersionRule::None) || self.written(producer).as_bytes() == version
    }
}

/// Returns the version of the body's layout that this library supports for a producer.
#[must_use]
pub(crate) fn library_version(producer: &str) -> &'static str {
    if producer == WASMTIME { WASMTIME_VERSION } else { LAYOUT_REVISION }
}

/// The two flag maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagMap {
    /// Flags that do not depend on the architecture.
    Shared,
    /// Flags of the instruction set architecture.
    Isa,
}

/// Flags, sorted by name.
pub type FlagTable = BTreeMap<String, Flag<String>>;

/// Creates a flag table. Flags are inserted one by one, because each use of `collect` adds kilobytes of sorting code.
fn flag_table(flags: &mut dyn Iterator<Item = (&str, Flag<String>)>) -> FlagTable {
    let mut table = FlagTable::new();
    for (name, flag) in flags {
        table.insert(name.to_owned(), flag);
    }
    table
}

/// The settings that a host compiles with, and the keys that it trusts.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    producer: String,
    version: VersionRule,
    target: String,
    shared_flags: FlagTable,
    isa_flags: FlagTable,
    /// Settings for memory layout and instrumentation.
    pub tunables: Tunables,
    /// Wasm proposals that the compiler accepts.
    pub features: Features,
    /// Trusted public keys, sorted by their bytes.
    trusted: Vec<PublicKey>,
    /// What it compared with itself before. Whoever changes what is compared empties it.
    pub(crate) accepted: Accepted,
}

impl Engine {
    /// Creates an engine with this host's triple and no flags: the baseline that a compiler adds its settings to.
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
            accepted: Accepted::default(),
        }
    }

    /// Creates an engine that supports exactly what code of this producer with this target and these ISA flags needs.
    pub(crate) fn of_code(producer: &str, target: &str, isa_flags: &[(&str, Flag<&str>)]) -> Engine {
        let owned = |flag: &Flag<&str>| match *flag {
            Flag::Enum(text) => Flag::Enum(text.to_owned()),
            Flag::Num(number) => Flag::Num(number),
            Flag::Bool(on) => Flag::Bool(on),
        };
        let needs = isa_flags.iter().filter(|(_, flag)| *flag != Flag::Bool(false));
        let isa_flags = flag_table(&mut needs.map(|(name, flag)| (*name, owned(flag))));
        Engine { producer: producer.to_owned(), target: target.to_owned(), isa_flags, ..Engine::new() }
    }

    /// Creates an engine with the default settings of Wasmtime 0.33 on this host.
    #[must_use]
    pub fn wasmtime() -> Engine {
        wasmtime::engine(&target::host())
    }

    /// Returns the target triple.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Sets the target triple.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if `triple` is not a target triple of a known architecture.
    pub fn set_target(&mut self, triple: &str) -> Result<()> {
        target::check(triple)?;
        self.accepted = Accepted::default();
        triple.clone_into(&mut self.target);
        Ok(())
    }

    /// Returns the producer's name.
    #[must_use]
    pub fn producer(&self) -> &str {
        &self.producer
    }

    /// Sets the producer's name.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for an invalid name.
    pub fn set_producer(&mut self, producer: &str) -> Result<()> {
        check_producer(producer)?;
        self.accepted = Accepted::default();
        producer.clone_into(&mut self.producer);
        Ok(())
    }

    /// Returns the version rule.
    #[must_use]
    pub fn version_rule(&self) -> &VersionRule {
        &self.version
    }

    /// Sets the version rule.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for a custom version of more than 255 bytes.
    pub fn set_version_rule(&mut self, rule: VersionRule) -> Result<()> {
        if let VersionRule::Custom(version) = &rule {
            check_version(version.as_bytes())?;
        }
        self.accepted = Accepted::default();
        self.version = rule;
        Ok(())
    }

    /// Returns the version that is written.
    #[must_use]
    pub fn version(&self) -> &str {
        self.version.written(&self.producer)
    }

    /// Returns the flags of a map.
    #[must_use]
    pub fn flags(&self, map: FlagMap) -> &FlagTable {
        match map {
            FlagMap::Shared => &self.shared_flags,
            FlagMap::Isa => &self.isa_flags,
        }
    }

    /// Sets a flag, replacing its previous value.
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
    /// NOT_FOUND if the map has no flag of that name.
    pub fn unset_flag(&mut self, map: FlagMap, name: &str) -> Result<()> {
        match self.flags_mut(map).remove(name) {
            Some(_) => Ok(()),
            None => Err(no_flag(name)),
        }
    }

    /// Trusts a key. Once an engine trusts a key, it accepts only artifacts that a trusted key has signed.
    pub fn trust(&mut self, key: PublicKey) {
        if let Err(index) = self.trusted.binary_search_by_key(&key.bytes(), PublicKey::bytes) {
            self.trusted.insert(index, key);
        }
    }

    /// Returns the trusted keys, sorted by their bytes. Without trusted keys, artifacts need no signature.
    #[must_use]
    pub fn trusted_keys(&self) -> &[PublicKey] {
        &self.trusted
    }

    fn flags_mut(&mut self, map: FlagMap) -> &mut FlagTable {
        self.accepted = Accepted::default();
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

/// Creates the error for a flag that does not exist.
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
        assert_eq!(engine.version_rule(), &VersionRule::None, "a rejected rule changes nothing");
        // Both rules write an empty version, but only `None` accepts other versions.
        engine.set_version_rule(VersionRule::Custom(String::new())).unwrap();
        assert_eq!(engine.version(), "");
        assert!(engine.version_rule().accepts("wasmtime", b""));
        assert!(!engine.version_rule().accepts("wasmtime", b"0.33.0"));
    }
}
