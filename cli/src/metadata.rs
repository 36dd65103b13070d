//! metadata.json: everything in an artifact but its modules. `extract` writes it and `pack` reads it. Its keys are those of
//! `inspect --json`. Text and numbers are exact, and maps keep their order and duplicate names, so that `pack` can reproduce
//! the body.

use std::collections::HashSet;
use std::io::{self, Write};

use artifact::artifact::Artifact;
use artifact::builder::{Builder, Settings};
use artifact::error::{Error, Result, Status, quote};
use artifact::format::flags::{Features, Flag, Tunables};
use artifact::format::types::Types;
use artifact::format::upvars::Upvars;
use artifact::format::{Map, Object, object};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::input::MAX_TEXT_LEN;
use crate::output::EscapeJson;

/// The contents of metadata.json. Every key but the last is required, and no other key is accepted.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "S: Deserialize<'de>"))]
pub struct Document<S> {
    producer: S,
    version: S,
    target: S,
    shared_flags: Map<S, Flag<S>>,
    isa_flags: Map<S, Flag<S>>,
    #[serde(deserialize_with = "object")]
    tunables: Tunables,
    #[serde(deserialize_with = "object")]
    features: Features,
    module_upvars: Upvars,
    #[serde(deserialize_with = "object")]
    types: Types<S>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attributes: Option<Map<String, Base64>>,
}

/// Bytes that JSON holds as base64.
pub struct Base64(pub Vec<u8>);

impl Serialize for Base64 {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> std::result::Result<Z::Ok, Z::Error> {
        serializer.serialize_str(&BASE64_STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Base64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |error| D::Error::custom(format!("expected base64: {error}"));
        BASE64_STANDARD.decode(text).map(Base64).map_err(wrong)
    }
}

/// An artifact's attributes.
pub fn attributes(artifact: &Artifact) -> Result<Map<String, Base64>> {
    let found = artifact.attributes()?.iter();
    Ok(Map(found.map(|found| (found.name.to_owned(), Base64(found.value.to_vec()))).collect()))
}

impl<'a> Document<&'a str> {
    /// Collects the metadata of an artifact.
    ///
    /// # Errors
    ///
    /// WRONG_VERSION if Metadata cannot be decoded; UNSUPPORTED if the version is not UTF-8, which JSON cannot represent.
    pub fn from_artifact(artifact: &'a Artifact) -> Result<Document<&'a str>> {
        let metadata = artifact.metadata()?;
        let version = std::str::from_utf8(artifact.version()).map_err(|_| {
            let found = quote(artifact.version());
            let message = format!("version: expected UTF-8 (metadata.json cannot hold other bytes), found '{found}'");
            Error::new(Status::Unsupported, message)
        })?;
        Ok(Document {
            producer: artifact.producer(),
            version,
            target: metadata.target,
            shared_flags: metadata.shared_flags.wire().clone(),
            isa_flags: metadata.isa_flags.wire().clone(),
            tunables: metadata.tunables,
            features: metadata.features,
            module_upvars: metadata.upvars.clone(),
            types: metadata.types.clone(),
            attributes: Some(attributes(artifact)?).filter(|attributes| !attributes.0.is_empty()),
        })
    }

    /// The text of metadata.json.
    ///
    /// # Errors
    ///
    /// LIMIT or NO_MEMORY if it is too large: the JSON of a hostile artifact can be ninety times as long as its Metadata.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let mut json = Bounded(Vec::new());
        let written = serde_json::to_writer_pretty(EscapeJson(&mut json), self).map_err(io::Error::from);
        written.and_then(|()| json.write_all(b"\n")).map_err(|error| match error.kind() {
            io::ErrorKind::OutOfMemory => Error::no_memory("metadata.json"),
            _ => Error::new(Status::Limit, format!("metadata.json: expected at most {MAX_TEXT_LEN} bytes, found more")),
        })?;
        Ok(json.0)
    }
}

/// A buffer that fails to grow beyond [`MAX_TEXT_LEN`], or when memory runs out.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MAX_TEXT_LEN - self.0.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.try_reserve(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Document<String> {
    /// Parses metadata.json.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT, with line and column.
    pub fn from_json(json: &str) -> Result<Document<String>> {
        let wrong = |error: serde_json::Error| Error::json("metadata", &error);
        let mut deserializer = serde_json::Deserializer::from_str(json);
        // Only upvars nest. They have their own limit, which is higher: each upvar takes two levels of JSON.
        deserializer.disable_recursion_limit();
        let Object(document) = Object::deserialize(&mut deserializer).map_err(wrong)?;
        deserializer.end().map_err(wrong)?;
        Ok(document)
    }

    /// Returns a builder with everything but modules and upvars, and the upvars, which can be set once the modules that they
    /// refer to have been added.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if an artifact cannot represent a value, or an index or name is wrong.
    pub fn into_builder<'m>(self) -> Result<(Builder<'m>, Upvars)> {
        let mut builder = Builder::from_settings(Settings {
            producer: self.producer,
            version: self.version.into_bytes(),
            target: self.target,
            shared_flags: self.shared_flags,
            isa_flags: self.isa_flags,
            tunables: self.tunables,
            features: self.features,
        })?;
        builder.set_types(self.types)?;
        let mut names = HashSet::new();
        for (name, Base64(value)) in &self.attributes.unwrap_or_default().0 {
            if !names.insert(name) {
                let message = format!("attributes: expected each name once, found '{}' twice", quote(name.as_bytes()));
                return Err(Error::new(Status::InvalidArgument, message));
            }
            builder.set_attribute(name, value)?;
        }
        Ok((builder, self.module_upvars))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use artifact::artifact::OpenOptions;
    use proptest::prelude::*;

    fn json(fixture: &str) -> String {
        let path = format!("{}/../tests/fixtures/{fixture}.cwasm", env!("CARGO_MANIFEST_DIR"));
        let artifact = Artifact::open(path.as_ref(), None, &OpenOptions::default()).unwrap();
        String::from_utf8(Document::from_artifact(&artifact).unwrap().to_json().unwrap()).unwrap()
    }

    /// Does what `pack` does, without modules.
    fn read(json: &str) -> Result<Upvars> {
        let (mut builder, upvars) = Document::from_json(json)?.into_builder()?;
        builder.set_upvars(upvars.clone()).map_or_else(|_| Ok(upvars), |()| Ok(Upvars::default()))
    }

    fn nested(levels: usize, node: (&str, &str)) -> String {
        let upvars = format!("[{}{}]", node.0.repeat(levels), node.1.repeat(levels));
        json("empty").replacen("\"module_upvars\": []", &format!("\"module_upvars\": {upvars}"), 1)
    }

    #[test]
    fn upvars_nest_to_the_limit_in_any_order_of_fields() {
        let last = ("{\"index\": 7, \"artifact_upvars\": [1, 2], \"module_upvars\": [", "]}");
        let first = ("{\"module_upvars\": [", "], \"artifact_upvars\": [1, 2], \"index\": 7}");
        for node in [last, first] {
            let upvars = read(&nested(100, node)).unwrap();
            assert_eq!(upvars.nodes().len(), 100);
            for (index, node) in upvars.nodes().iter().enumerate() {
                assert_eq!((node.module, upvars.artifact_upvars(node)), (7, &[1, 2][..]));
                assert_eq!(node.parent, index.checked_sub(1).map(|parent| parent as u32));
            }
            for levels in [101, 100_000] {
                let error = read(&nested(levels, node)).unwrap_err();
                assert!(error.message().contains("nested deeper than the limit of 100 at line"), "{error}");
            }
        }
        for (from, to, why) in [
            ("\"index\": 7, ", "", "missing field `index`"),
            ("[1, 2]", "[1, -2]", "expected u64"),
            ("\"index\": 7", "\"index\": 7, \"index\": 8", "duplicate field `index`"),
            ("\"index\": 7", "\"index\": 7, \"more\": 8", "unknown field `more`"),
            ("{\"index\": 7", "[{\"index\": 7", "expected an upvar"),
        ] {
            let error = read(&nested(3, last).replacen(from, to, 1)).unwrap_err();
            assert!(error.message().contains(why), "{error}");
        }
    }

    #[test]
    fn nothing_else_nests() {
        let whole = json("ml_types");
        for (open, close) in [("[", "]"), ("{\"Global\":", "}"), ("{\"a\":", "}")] {
            for target in ["\"Import\"", "\"types\": ", "\"Bool\": true"] {
                let deep = format!("{target}, \"x\": {}1{}", open.repeat(100_000), close.repeat(100_000));
                assert!(read(&whole.replacen(target, &deep, 1)).is_err());
                assert!(read(&whole.replacen(target, &format!("{}{target}", open.repeat(100_000)), 1)).is_err());
            }
        }
        for depth in ["[".repeat(1_000_000), "{\"types\":".repeat(100_000)] {
            assert!(read(&depth).is_err());
        }
    }

    #[test]
    fn output_is_bounded() {
        let mut json = Bounded(vec![0; MAX_TEXT_LEN - 2]);
        json.write_all(&[0; 2]).unwrap();
        assert_eq!(json.write_all(&[0]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(json.0.len(), MAX_TEXT_LEN);
    }

    fn edits() -> impl Strategy<Value = Vec<(usize, usize, String)>> {
        let text = prop_oneof![
            Just(String::new()),
            "[\\[\\]{}:,\"0-9a-z-]{1,4}",
            prop_oneof![
                Just("18446744073709551616"),
                Just("-1"),
                Just("1e999"),
                Just("null"),
                Just("\"\\u0000\""),
                Just("\"\\ud800\""),
                Just("{\"Module\": 0}"),
                Just("[[]]")
            ]
            .prop_map(str::to_owned),
        ];
        prop::collection::vec((any::<prop::sample::Index>().prop_map(|at| at.index(1 << 20)), 0..40_usize, text), 1..4)
    }

    proptest! {
        #[test]
        fn an_edited_file_is_read_or_rejected(edits in edits(), fixture in 0..3_usize) {
            let mut text = json(["ml_types", "ml_upvars1", "types"][fixture]);
            for (at, len, new) in edits {
                let start = at % text.len();
                text.replace_range(start..(start + len).min(text.len()), &new);
            }
            match Document::from_json(&text) {
                Err(error) => prop_assert_eq!(error.status(), Status::InvalidArgument),
                // Writing and reading again changes nothing.
                Ok(document) => {
                    let again = serde_json::to_string(&document).unwrap();
                    let same = serde_json::to_string(&Document::from_json(&again).unwrap()).unwrap();
                    prop_assert_eq!(again, same);
                    if let Ok((builder, _)) = document.into_builder() {
                        prop_assert!(builder.serialize().is_err(), "there are no modules");
                    }
                }
            }
        }
    }
}
