//! The settings as JSON: what `artifact inspect --json` prints of a file, and what stands for an engine. Flags have the form that they
//! have in every JSON of this library; tunables are numbers, switches or null; features are a list of switches, or their bits in
//! hexadecimal.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::{Features, Flags, Kind, ReleaseSettings, Settings, Type, Value, fields};
use crate::error::{Error, Result, Status};
use crate::format::Map;
use crate::format::wire::push;

/// The settings of a file, as JSON shows them.
#[derive(Serialize)]
pub struct Document<'a> {
    kind: &'static str,
    version: &'a str,
    target: &'a str,
    shared_flags: &'a Flags,
    isa_flags: &'a Flags,
    tunables: Option<Map<&'static str, &'a Value>>,
    features: Option<&'a Features>,
}

impl<'a> Document<'a> {
    /// Creates the document of a file's settings.
    #[must_use]
    pub fn new(kind: Kind, settings: &'a Settings) -> Document<'a> {
        let Settings { version, target, shared_flags, isa_flags, rest } = settings;
        let tunables =
            |rest: &'a ReleaseSettings| Map(rest.tunables().map(|(field, value)| (field.name, value)).collect());
        Document {
            kind: kind.name(),
            version,
            target,
            shared_flags,
            isa_flags,
            tunables: rest.as_ref().map(tunables),
            features: rest.as_ref().map(|rest| &rest.features),
        }
    }
}

impl Serialize for Value {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> std::result::Result<Z::Ok, Z::Error> {
        match self {
            Value::None => serializer.serialize_none(),
            Value::Switch(on) => serializer.serialize_bool(*on),
            Value::Number(number) => serializer.serialize_u64(*number),
            Value::Costs(costs) => serializer.collect_seq(costs),
        }
    }
}

impl Serialize for Features {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> std::result::Result<Z::Ok, Z::Error> {
        match self {
            Features::Each(on) => serializer.collect_seq(on),
            Features::Bits(bits) => serializer.collect_str(&format_args!("{bits:#x}")),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Value, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("null, a switch, a number or a list of bytes")
            }
            fn visit_unit<E>(self) -> std::result::Result<Value, E> {
                Ok(Value::None)
            }
            fn visit_bool<E>(self, on: bool) -> std::result::Result<Value, E> {
                Ok(Value::Switch(on))
            }
            fn visit_u64<E>(self, number: u64) -> std::result::Result<Value, E> {
                Ok(Value::Number(number))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
                let mut costs = Vec::new();
                while let Some(cost) = seq.next_element()? {
                    push(&mut costs, cost)?;
                }
                Ok(Value::Costs(costs))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// An engine's settings. Other keys, such as those that `inspect --json` prints of a file, are passed over.
#[derive(Deserialize)]
struct Parsed {
    version: String,
    target: String,
    shared_flags: Flags,
    isa_flags: Flags,
    tunables: Option<Map<String, Value>>,
    features: Option<ParsedFeatures>,
}

enum ParsedFeatures {
    Each(Vec<bool>),
    Bits(String),
}

// Deriving this as an untagged enum would buffer values of any type, in code of several kilobytes.
impl<'de> Deserialize<'de> for ParsedFeatures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<ParsedFeatures, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ParsedFeatures;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of switches or a number in hexadecimal")
            }
            fn visit_str<E>(self, text: &str) -> std::result::Result<ParsedFeatures, E> {
                Ok(ParsedFeatures::Bits(text.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<ParsedFeatures, A::Error> {
                let mut each = Vec::new();
                while let Some(on) = seq.next_element()? {
                    push(&mut each, on)?;
                }
                Ok(ParsedFeatures::Each(each))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Tells the JSON of Wasmtime's settings from that of an engine of artifacts, which has no kind.
#[derive(Deserialize)]
struct Probe {
    kind: Option<IgnoredAny>,
}

fn wrong(what: &str, why: impl fmt::Display) -> Error {
    Error::new(Status::InvalidArgument, format!("engine of Wasmtime in JSON: {what}: {why}"))
}

impl Settings {
    /// Returns whether a text is JSON of the form that [`Settings::from_json`] reads, rather than that of an
    /// engine of artifacts.
    #[must_use]
    pub fn is_json(json: &str) -> bool {
        serde_json::from_str::<Probe>(json).is_ok_and(|probe| probe.kind.is_some())
    }

    /// Parses an engine's settings: the object that `artifact inspect --json` prints of a file that the engine compiled.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for invalid JSON, with line and column, or if it does not have the settings of its version.
    pub fn from_json(json: &str) -> Result<Settings> {
        let parsed = serde_json::from_str(json).map_err(|error| Error::json("engine of Wasmtime", &error))?;
        let Parsed { version, target, shared_flags, isa_flags, tunables, features } = parsed;
        let rest = fields::release(&version).map(|release| -> Result<ReleaseSettings> {
            let expected =
                |what, expected: &str| wrong(what, format_args!("expected {expected} of Wasmtime {release}"));
            let tunables = tunables.ok_or_else(|| expected("tunables", "those"))?;
            let features = features.ok_or_else(|| expected("features", "those"))?;
            let features = parse_features(features, release).ok_or_else(|| match release {
                fields::FEATURE_BITS.. => expected("features", "the bits in hexadecimal, such as \"0x80\","),
                _ => expected("features", &format!("a list of the {} switches", fields::features(release).count())),
            })?;
            Ok(ReleaseSettings { release, tunables: parse_tunables(&tunables, release)?, features })
        });
        Ok(Settings { version, target, shared_flags, isa_flags, rest: rest.transpose()? })
    }
}

fn parse_features(features: ParsedFeatures, release: u8) -> Option<Features> {
    match (features, release) {
        (ParsedFeatures::Each(on), ..fields::FEATURE_BITS) => {
            (on.len() == fields::features(release).count()).then_some(Features::Each(on))
        }
        (ParsedFeatures::Bits(text), fields::FEATURE_BITS..) => {
            let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'))?;
            u64::from_str_radix(digits, 16).ok().map(Features::Bits)
        }
        _ => None,
    }
}

fn parse_tunables(found: &Map<String, Value>, release: u8) -> Result<Vec<Value>> {
    let fields: Vec<_> = fields::tunables(release).collect();
    if let Some((name, _)) = found.0.iter().find(|(name, _)| fields.iter().all(|field| field.name != name)) {
        return Err(wrong(
            "tunables",
            format_args!("Wasmtime {release} has none named '{}'", crate::error::quote(name.as_bytes())),
        ));
    }
    let value = |field: &&fields::Field| {
        let mut values = found.0.iter().filter(|(name, _)| name == field.name).map(|(_, value)| value);
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(wrong(field.name, "expected one value, found none or several"));
        };
        let fits = match (field.ty, value) {
            (Type::Switch, Value::Switch(_)) | (Type::OptionalNumber(_) | Type::OptionalChoice(_), Value::None) => true,
            (Type::Number(bits) | Type::OptionalNumber(bits), Value::Number(number)) => {
                number.leading_zeros() >= 64 - u32::from(bits)
            }
            (Type::Choice(count) | Type::OptionalChoice(count), Value::Number(index)) => *index < count.into(),
            (Type::Costs, Value::Number(usual)) => *usual == 1,
            (Type::Costs, Value::Costs(costs)) => costs.len() == fields::operators(release),
            _ => false,
        };
        if fits {
            Ok(value.clone())
        } else {
            Err(wrong(field.name, format_args!("expected a value of the type {:?}", field.ty)))
        }
    };
    fields.iter().map(value).collect()
}
