//! bincode 1.x as Wasmtime 0.33 uses it: fixed-width little-endian integers, u64 counts. This module adds what bincode lacks:
//! the offset of an error, and containers that grow only with the items actually decoded.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::marker::PhantomData;

use bincode::config::{AllowTrailing, FixintEncoding, WithOtherIntEncoding, WithOtherTrailing};
use bincode::{BincodeRead, DefaultOptions, ErrorKind, Options};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, Status};
use crate::limits::{MAX_RESERVE, MAX_UPVAR_DEPTH};

// A serde error carries only text. `Decoder` recognizes these two by their text and returns the right status for them.
pub const NO_MEMORY: &str = "out of memory for decoded Metadata";
pub const TOO_DEEP: &str = "upvars are nested deeper than the limit of 100";
const _: () = assert!(MAX_UPVAR_DEPTH == 100);

type Config = WithOtherTrailing<WithOtherIntEncoding<DefaultOptions, FixintEncoding>, AllowTrailing>;

fn config() -> Config {
    DefaultOptions::new().with_fixint_encoding().allow_trailing_bytes()
}

/// Appends the encoding of `value` to `out`.
pub fn encode(value: &impl Serialize, out: &mut Vec<u8>) -> Result<()> {
    config()
        .serialize_into(out, value)
        .map_err(|error| Error::new(Status::Internal, format!("encoding Metadata: {error}")))
}

/// Decodes a sequence of values from borrowed bytes.
pub struct Decoder<'a> {
    bytes: &'a [u8],
    position: Cell<usize>,
}

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { bytes, position: Cell::new(0) }
    }

    /// Returns the number of bytes decoded so far.
    pub fn position(&self) -> usize {
        self.position.get()
    }

    /// Decodes the next value. `field` names it in errors. Error offsets count from the start of the decoder's bytes.
    pub fn field<T: Deserialize<'a>>(&self, field: &str) -> Result<T> {
        let reader = Reader { bytes: self.bytes, position: &self.position };
        let mut deserializer = bincode::Deserializer::with_bincode_read(reader, config());
        T::deserialize(&mut deserializer).map_err(|error| self.field_error(field, *error))
    }

    #[cold]
    fn field_error(&self, field: &str, error: ErrorKind) -> Error {
        let (status, found) = match &error {
            ErrorKind::Io(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => {
                (Status::Truncated, cause.to_string())
            }
            ErrorKind::Io(cause) => (Status::Corrupt, cause.to_string()),
            ErrorKind::Custom(text) if text == NO_MEMORY => (Status::NoMemory, text.clone()),
            ErrorKind::Custom(text) if text == TOO_DEEP => (Status::Limit, text.clone()),
            ErrorKind::InvalidBoolEncoding(found) => {
                (Status::Corrupt, format!("expected a bool of 0 or 1, found {found}"))
            }
            ErrorKind::InvalidTagEncoding(found) => {
                (Status::Corrupt, format!("expected an option tag of 0 or 1, found {found}"))
            }
            ErrorKind::InvalidUtf8Encoding(_) => (Status::Corrupt, "expected UTF-8 text".to_owned()),
            other => (Status::Corrupt, other.to_string()),
        };
        Error::new(status, format!("Metadata, {field}: {found}")).at(self.position() as u64)
    }
}

struct Reader<'a, 'p> {
    bytes: &'a [u8],
    position: &'p Cell<usize>,
}

impl<'a> Reader<'a, '_> {
    fn advance(&self, length: usize) -> io::Result<&'a [u8]> {
        let start = self.position.get();
        let rest = self.bytes.get(start..).unwrap_or(&[]);
        match rest.get(..length) {
            Some(found) => {
                self.position.set(start + length);
                Ok(found)
            }
            None => Err(Self::out_of_bounds(length, rest.len())),
        }
    }

    #[cold]
    fn out_of_bounds(length: usize, rest: usize) -> io::Error {
        // A length within the limit may be that of a truncated file. A length above it is corrupt.
        let kind = match length as u64 {
            0..=crate::limits::MAX_METADATA => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, format!("expected {length} more bytes, found {rest}"))
    }
}

impl io::Read for Reader<'_, '_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        out.copy_from_slice(self.advance(out.len())?);
        Ok(out.len())
    }

    fn read_exact(&mut self, out: &mut [u8]) -> io::Result<()> {
        self.read(out).map(|_| ())
    }
}

impl<'a> BincodeRead<'a> for Reader<'a, '_> {
    fn forward_read_str<V: Visitor<'a>>(&mut self, length: usize, visitor: V) -> bincode::Result<V::Value> {
        let text = std::str::from_utf8(self.advance(length)?)
            .map_err(|error| Box::new(ErrorKind::InvalidUtf8Encoding(error)))?;
        visitor.visit_borrowed_str(text)
    }

    fn get_byte_buffer(&mut self, length: usize) -> bincode::Result<Vec<u8>> {
        let bytes = self.advance(length)?;
        let mut owned = Vec::new();
        owned.try_reserve_exact(length).map_err(|_| bincode::Error::custom(NO_MEMORY))?;
        owned.extend_from_slice(bytes);
        Ok(owned)
    }

    fn forward_read_bytes<V: Visitor<'a>>(&mut self, length: usize, visitor: V) -> bincode::Result<V::Value> {
        visitor.visit_borrowed_bytes(self.advance(length)?)
    }
}

/// Appends an item. Running out of memory is an error here, where `Vec::push` would abort the process.
pub fn push<T, E: serde::de::Error>(items: &mut Vec<T>, item: T) -> std::result::Result<(), E> {
    items.try_reserve(1).map_err(|_| E::custom(NO_MEMORY))?;
    items.push(item);
    Ok(())
}

/// Returns a vector with room for `hint` items, or for fewer if a file could have made the hint up.
fn with_bounded_capacity<T, E: serde::de::Error>(hint: Option<usize>) -> std::result::Result<Vec<T>, E> {
    let mut items = Vec::new();
    let capacity = hint.unwrap_or(0).min(MAX_RESERVE / size_of::<T>().max(1));
    items.try_reserve_exact(capacity).map_err(|_| E::custom(NO_MEMORY))?;
    Ok(items)
}

/// Deserializes a list, for `#[serde(deserialize_with)]`.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> std::result::Result<Vec<T>, D::Error> {
    struct Items<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Vec<T>, A::Error> {
            let mut items = with_bounded_capacity(seq.size_hint())?;
            while let Some(item) = seq.next_element()? {
                push(&mut items, item)?;
            }
            Ok(items)
        }
    }
    deserializer.deserialize_seq(Items(PhantomData))
}

/// A struct that must be an object in JSON. serde alone would accept a list of the field values too.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Object<T>, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> std::result::Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        // In the binary encoding a struct is the sequence of its fields.
        let value = match deserializer.is_human_readable() {
            true => deserializer.deserialize_map(Entries(PhantomData)),
            false => T::deserialize(deserializer),
        };
        value.map(Object)
    }
}

/// Deserializes an [`Object`], for `#[serde(deserialize_with)]`.
///
/// # Errors
///
/// Any error of the deserializer.
pub fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> std::result::Result<T, D::Error> {
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// Deserializes a list of [`Object`]s, for `#[serde(deserialize_with)]`.
pub fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Vec<T>, D::Error> {
    if !deserializer.is_human_readable() {
        return list(deserializer);
    }
    Ok(list(deserializer)?.into_iter().map(|Object(value)| value).collect())
}

/// A map that keeps its entries in file order, duplicate keys included.
#[derive(Clone, Debug, PartialEq)]
pub struct Map<S, V>(pub Vec<(S, V)>);

impl<S, V> Default for Map<S, V> {
    fn default() -> Self {
        Map(Vec::new())
    }
}

impl<S: Serialize, V: Serialize> Serialize for Map<S, V> {
    fn serialize<Z: Serializer>(&self, serializer: Z) -> std::result::Result<Z::Ok, Z::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, S: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Map<S, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries<S, V>(PhantomData<(S, V)>);
        impl<'de, S: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for Entries<S, V> {
            type Value = Map<S, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Map<S, V>, A::Error> {
                let mut entries = with_bounded_capacity(map.size_hint())?;
                while let Some(entry) = map.next_entry()? {
                    push(&mut entries, entry)?;
                }
                Ok(Map(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}
