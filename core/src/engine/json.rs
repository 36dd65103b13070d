//! The JSON form of an engine, which `artifact engine` prints and `--engine` reads.

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Engine, FlagMap, FlagTable, VersionRule};
use crate::error::{Error, Result, Status};
use crate::format::flags::{Features, Flag, Tunables};
use crate::format::{Object, object};
use crate::trust::keys::PublicKey;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    producer: String,
    version: Version,
    target: String,
    #[serde(deserialize_with = "flags")]
    shared_flags: FlagTable,
    #[serde(deserialize_with = "flags")]
    isa_flags: FlagTable,
    #[serde(deserialize_with = "object")]
    tunables: Tunables,
    #[serde(deserialize_with = "object")]
    features: Features,
    /// In hexadecimal. Omitted if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trusted_keys: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Version {
    Library(bool),
    Custom(String),
    None(bool),
}

/// Deserializes a flag map and rejects duplicate names.
fn flags<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<FlagTable, D::Error> {
    struct Entries;
    impl<'de> Visitor<'de> for Entries {
        type Value = FlagTable;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a map of flags")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<FlagTable, A::Error> {
            let mut table = FlagTable::new();
            while let Some((name, flag)) = map.next_entry::<String, Flag<String>>()? {
                if table.contains_key(&name) {
                    return Err(A::Error::custom(format!("flag '{name}' is duplicate")));
                }
                table.insert(name, flag);
            }
            Ok(table)
        }
    }
    deserializer.deserialize_map(Entries)
}

impl Engine {
    /// Serializes the engine to JSON.
    ///
    /// # Errors
    ///
    /// INTERNAL if serialization fails, which would be a bug.
    pub fn to_json(&self) -> Result<String> {
        let Engine { producer, version, target, shared_flags, isa_flags, tunables, features, trusted, accepted: _ } =
            self.clone();
        let version = match version {
            VersionRule::Library => Version::Library(true),
            VersionRule::Custom(version) => Version::Custom(version),
            VersionRule::None => Version::None(true),
        };
        let trusted_keys = trusted.iter().map(PublicKey::to_string).collect();
        let document =
            Document { producer, version, target, shared_flags, isa_flags, tunables, features, trusted_keys };
        serde_json::to_string_pretty(&document).map_err(|error| Error::new(Status::Internal, error.to_string()))
    }

    /// Parses an engine from JSON. All keys except `trusted_keys` are required, and unknown keys are rejected.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for invalid JSON, with line and column, or an invalid setting.
    pub fn from_json(json: &str) -> Result<Engine> {
        let invalid = |why: &str| Error::new(Status::InvalidArgument, format!("engine in JSON: {why}"));
        let Object(document): Object<Document> =
            serde_json::from_str(json).map_err(|error| Error::json("engine", &error))?;
        let Document { producer, version, target, shared_flags, isa_flags, tunables, features, trusted_keys } =
            document;
        let mut engine = Engine { tunables, features, ..Engine::new() };
        engine.set_producer(&producer)?;
        engine.set_target(&target)?;
        engine.set_version_rule(match version {
            Version::Library(true) => VersionRule::Library,
            Version::Custom(version) => VersionRule::Custom(version),
            Version::None(true) => VersionRule::None,
            Version::Library(false) | Version::None(false) => {
                return Err(invalid("version: expected {\"library\": true}, {\"custom\": …} or {\"none\": true}"));
            }
        })?;
        for (map, table) in [(FlagMap::Shared, shared_flags), (FlagMap::Isa, isa_flags)] {
            for (name, flag) in table {
                engine.set_flag(map, &name, flag)?;
            }
        }
        for key in trusted_keys {
            engine.trust(key.parse().map_err(|error: Error| invalid(error.message()))?);
        }
        Ok(engine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_round_trips() {
        let mut custom = Engine::host();
        custom.set_version_rule(VersionRule::Custom("my \"own\" 1".into())).unwrap();
        let mut empty = Engine::wasmtime();
        empty.set_version_rule(VersionRule::Custom(String::new())).unwrap();
        let mut none = Engine::wasmtime();
        none.set_version_rule(VersionRule::None).unwrap();
        let mut trusting = Engine::new();
        for byte in [3, 1] {
            trusting.trust(PublicKey::from_bytes(&[byte; 32]).unwrap());
        }
        assert!(trusting.to_json().unwrap().contains("trusted_keys"));
        assert!(!none.to_json().unwrap().contains("trusted_keys"));
        for engine in [Engine::new(), custom, empty, none, trusting] {
            assert_eq!(Engine::from_json(&engine.to_json().unwrap()).unwrap(), engine);
        }
    }

    #[test]
    fn invalid_json_is_rejected_with_its_position() {
        let json = Engine::new().to_json().unwrap();
        let bad = [
            json.replacen("\"producer\"", "\"producers\"", 1),
            json.replacen("\"library\": true", "\"library\": false", 1),
            json.replacen("\"shared_flags\": {}", r#""shared_flags": {"a": {"Bool": true}, "a": {"Bool": true}}"#, 1),
            json.replacen("\"shared_flags\": {}", r#""shared_flags": {"a": {"Num": 256}}"#, 1),
            json.replacen("\"simd\"", "\"smd\"", 1),
            format!("{json}x"),
            "[]".to_owned(),
            json.replacen("\"features\": {", "\"features\": [false], \"x\": {", 1),
            "[".repeat(100_000),
            json.replacen("\"target\"", "\"trusted_keys\": [\"abc\"], \"target\"", 1),
            json.replacen("\"target\"", &format!("\"trusted_keys\": [\"{}\"], \"target\"", "é".repeat(32)), 1),
        ];
        for text in bad {
            let error = Engine::from_json(&text).unwrap_err();
            assert_eq!(error.status(), Status::InvalidArgument, "{text}");
            assert!(error.message().starts_with("engine in JSON: "), "{}", error.message());
        }
    }
}
