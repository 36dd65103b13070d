//! Fingerprints of engines. Two engines have equal fingerprints if and only if every artifact is compatible with both or neither.

use super::{Engine, FlagMap, VersionRule, WASMTIME, target};
use crate::format::flags::{Features, Flag, Setting, SettingValue, Tunables};

/// The context of BLAKE3's derive-key mode, which separates fingerprints from all other digests.
const CONTEXT: &str = "libartifact 2026-11 engine fingerprint";

struct Hasher(blake3::Hasher);

impl Hasher {
    fn number(&mut self, value: u64) {
        self.0.update(&value.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text.as_bytes());
    }

    fn flags<'f>(&mut self, flags: impl ExactSizeIterator<Item = (&'f str, Flag<&'f str>)>) {
        self.number(flags.len() as u64);
        for (name, flag) in flags {
            self.text(name);
            match flag {
                Flag::Enum(word) => {
                    self.number(0);
                    self.text(word);
                }
                Flag::Num(number) => {
                    self.number(1);
                    self.number(u64::from(number));
                }
                Flag::Bool(on) => {
                    self.number(2);
                    self.number(u64::from(on));
                }
            }
        }
    }

    fn settings<const N: usize>(&mut self, settings: &[Setting; N], values: [SettingValue; N]) {
        for value in settings.iter().zip(values).filter_map(|(setting, value)| setting.compared_as.map(|_| value)) {
            match value {
                SettingValue::Pages(number) | SettingValue::Bytes(number) => self.number(number),
                SettingValue::Switch(on) => drop(self.0.update(&[on.into()])),
            }
        }
    }
}

impl Engine {
    /// Returns a hash of everything that a check compares, for use as a cache key.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        let Engine {
            producer,
            version,
            target,
            shared_flags: _, // hashed below
            isa_flags: _,    // hashed below
            tunables,
            features,
            trusted: _, // signatures do not affect compatibility
            accepted: _,
        } = self;
        let mut hasher = Hasher(blake3::Hasher::new_derive_key(CONTEXT));
        hasher.text(producer);
        match version {
            VersionRule::None => hasher.number(0),
            // A custom version that equals the library's accepts the same artifacts.
            VersionRule::Library | VersionRule::Custom(_) => {
                hasher.number(1);
                hasher.text(version.written(producer));
            }
        }
        let (architecture, system) = target::compared_parts(target);
        hasher.text(&architecture);
        hasher.text(&system);
        let entries = |map| self.flags(map).iter().map(|(name, flag)| (name.as_str(), flag.borrowed()));
        hasher.flags(entries(FlagMap::Shared));
        match producer.as_str() {
            WASMTIME => hasher.flags(entries(FlagMap::Isa)),
            // Here a missing flag counts as off, and a feature may have several names.
            _ => hasher.flags(self.distinct_isa_flags().into_iter()),
        }
        hasher.settings(&Tunables::SETTINGS, tunables.values());
        hasher.settings(&Features::SETTINGS, features.values());
        *hasher.0.finalize().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::keys::PrivateKey;

    #[test]
    fn only_compared_settings_change_the_fingerprint() {
        let base = Engine::new();
        let changed = |change: fn(&mut Engine)| {
            let mut engine = base.clone();
            change(&mut engine);
            engine.fingerprint() != base.fingerprint()
        };
        assert!(!changed(|_| ()));
        assert!(!changed(|e| e.trust(PrivateKey::generate().unwrap().public())));
        assert!(!changed(|e| e.tunables.dynamic_memory_growth_reserve = 1));
        assert!(!changed(|e| e.tunables.generate_address_map = true));
        assert!(!changed(|e| e.set_flag(FlagMap::Isa, "avx9", Flag::Bool(false)).unwrap()));
        assert!(!changed(|e| e.set_version_rule(VersionRule::Custom("1".into())).unwrap()));
        assert!(changed(|e| e.set_flag(FlagMap::Isa, "avx9", Flag::Bool(true)).unwrap()));
        assert!(changed(|e| e.set_flag(FlagMap::Shared, "pic", Flag::Bool(false)).unwrap()));
        assert!(changed(|e| e.set_version_rule(VersionRule::None).unwrap()));
        let with_rule = |rule| {
            let mut engine = base.clone();
            engine.set_version_rule(rule).unwrap();
            engine.fingerprint()
        };
        assert_ne!(with_rule(VersionRule::Custom(String::new())), with_rule(VersionRule::None));
        assert!(changed(|e| e.set_producer("other").unwrap()));
        assert!(changed(|e| e.set_target("s390x-unknown-linux-gnu").unwrap()));
        assert!(changed(|e| e.tunables.static_memory_bound = 1));
        assert!(changed(|e| e.features.memory64 = true));
    }

    /// Fingerprints are keys of caches on disk: an engine keeps its own from one version of the library to the next.
    #[test]
    fn known_answers() {
        let hex = |engine: &Engine| engine.fingerprint().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut plain = Engine::new();
        plain.set_target("x86_64-unknown-linux-gnu").unwrap();
        assert_eq!(hex(&plain), "41398c461965ee69be63dc7375da43bcbf9f44138a81e3a10456f534d31203c3");
        let mut full = Engine::wasmtime();
        full.set_target("s390x-unknown-linux-gnu").unwrap();
        full.isa_flags.clear();
        full.set_flag(FlagMap::Isa, "has_mie2", Flag::Bool(true)).unwrap();
        full.tunables.static_memory_bound_is_maximum = true;
        full.tunables.consume_fuel = true;
        full.features.memory64 = true;
        assert_eq!(hex(&full), "e79c2d0745cf145bfd569511f76537440ba60dfbdcdfa4368269bec09a6a8a30");
    }
}
