//! A JSON parser for the tests.

use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, SeqAccess, Visitor};

/// JSON with maps in order and numbers as text: serde_json alone cannot represent V128 values.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// Text, or a number with the prefix `#`.
    Text(String),
    List(Vec<Json>),
    Map(Vec<(String, Json)>),
}

impl Json {
    pub fn parse(text: &[u8]) -> Json {
        let mut quoted = String::new();
        let (mut inside, mut escaped) = (false, false);
        let mut chars = std::str::from_utf8(text).unwrap().chars().peekable();
        while let Some(c) = chars.next() {
            if !inside && matches!(c, '-' | '0'..='9') {
                quoted.extend(['"', '#', c]);
                while let Some(next) = chars.next_if(|next| matches!(next, '0'..='9' | '.' | 'e' | 'E' | '+' | '-')) {
                    quoted.push(next);
                }
                quoted.push('"');
                continue;
            }
            inside ^= c == '"' && !escaped;
            escaped = inside && c == '\\' && !escaped;
            quoted.push(c);
        }
        serde_json::from_str(&quoted).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(text)))
    }

    pub fn number(number: impl fmt::Display) -> Json {
        Json::Text(format!("#{number}"))
    }

    pub fn get(&self, key: &str) -> &Json {
        let Json::Map(entries) = self else { panic!("no map: {self:?}") };
        entries.iter().find(|(name, _)| name == key).map_or_else(|| panic!("no key {key:?}"), |(_, value)| value)
    }

    pub fn list(&self) -> &[Json] {
        let Json::List(items) = self else { panic!("no list: {self:?}") };
        items
    }

    pub fn text(&self) -> &str {
        let Json::Text(text) = self else { panic!("no text: {self:?}") };
        text
    }

    pub fn keys(&self) -> Vec<&str> {
        let Json::Map(entries) = self else { panic!("no map: {self:?}") };
        entries.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Json, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Json;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without numbers")
            }
            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Bool(value))
            }
            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Text(value.to_owned()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Json::Map(entries))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
