//! Files of Wasmtime 3 and newer, which are one ELF64 image each: how they are recognized, and what their section `.wasmtime.engine`
//! says. docs/format.md describes them.

pub mod fields;
mod json;
mod reader;

use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::FileHeader as _;

use super::elf::HEADER_SIZE;
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use fields::{Field, Type};
pub use json::Document;
pub use reader::Flags;
use reader::Reader;

/// The section that holds the settings.
pub const ENGINE_SECTION: &[u8] = b".wasmtime.engine";

/// EI_OSABI of Wasmtime's files.
const OS_ABI: u8 = 200;
const MODULE: u32 = 1;
const COMPONENT: u32 = 2;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A compiled WebAssembly module.
    Module,
    /// A compiled WebAssembly component.
    Component,
}

impl Kind {
    /// Returns the kind in lower case, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Module => "module",
            Kind::Component => "component",
        }
    }
}

/// Returns what the file with this ELF header holds; none if Wasmtime did not write it.
#[must_use]
pub fn kind(header: &[u8; HEADER_SIZE]) -> Option<Kind> {
    let header = FileHeader64::<Endianness>::parse(&header[..]).ok()?;
    let endian = header.endian().ok()?;
    if (header.e_ident.os_abi.0, header.e_ident.abi_version) != (OS_ABI, 0) {
        return None;
    }
    match header.e_flags.get(endian).0 {
        flags if flags & MODULE != 0 => Some(Kind::Module),
        flags if flags & COMPONENT != 0 => Some(Kind::Component),
        _ => None,
    }
}

/// The value of a tunable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// An optional value that is absent.
    None,
    /// A switch.
    Switch(bool),
    /// A number, or the index of an alternative.
    Number(u64),
    /// The cost of each operator.
    Costs(Vec<u8>),
}

/// The WebAssembly features that a compiler accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Features {
    /// Up to release 32: each feature by its place in [`fields::features`].
    Each(Vec<bool>),
    /// From release 33 on: bits, which [`fields::bit_name`] names.
    Bits(u64),
}

/// The settings whose layout depends on the release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReleaseSettings {
    /// The major version of Wasmtime.
    pub release: u8,
    /// The values of [`fields::tunables`].
    pub tunables: Vec<Value>,
    /// The features.
    pub features: Features,
}

impl ReleaseSettings {
    /// Returns each tunable with its value.
    pub fn tunables(&self) -> impl Iterator<Item = (&'static Field, &Value)> {
        fields::tunables(self.release).zip(&self.tunables)
    }

    /// Returns the names of the features that are on. A bit without a name has the name `bit 63`.
    #[must_use]
    pub fn features_on(&self) -> Vec<String> {
        match &self.features {
            Features::Each(on) => {
                let on = fields::features(self.release).zip(on).filter(|(_, on)| **on);
                on.map(|(field, _)| field.name.to_owned()).collect()
            }
            Features::Bits(bits) => {
                let name =
                    |bit| fields::bit_name(self.release, bit).map_or_else(|| format!("bit {bit}"), str::to_owned);
                (0..64).filter(|bit| bits >> bit & 1 == 1).map(name).collect()
            }
        }
    }
}

/// The settings that code was compiled with, or that an engine has.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// The version of Wasmtime, or a text of the program that embeds it; empty if its files fit every version.
    pub version: String,
    /// The target triple.
    pub target: String,
    /// Flags that do not depend on the architecture.
    pub shared_flags: Flags,
    /// Flags of the instruction set.
    pub isa_flags: Flags,
    /// The rest; none if the version is not one of the releases in [`fields`].
    pub rest: Option<ReleaseSettings>,
}

impl Settings {
    /// Decodes the section `.wasmtime.engine`.
    ///
    /// # Errors
    ///
    /// TRUNCATED or CORRUPT if the bytes are not the settings of that version; UNSUPPORTED for another layout of the section;
    /// NO_MEMORY. Offsets count from the start of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Settings> {
        let mut reader = Reader::new(bytes);
        let within =
            |field: &'static str| move |error: Error| error.within(format!("section .wasmtime.engine, {field}"));
        match reader.byte().map_err(within("layout"))? {
            0 => {}
            found => {
                let message = format!("section .wasmtime.engine: expected layout 0, found {found}");
                return Err(Error::new(Status::Unsupported, message).at(0));
            }
        }
        let version = reader.byte().and_then(|len| reader.text_of(len.into())).map_err(within("version"))?;
        let release = fields::release(&version);
        // The length of the target has seven zeros after it only where it has a fixed width: text has no NUL.
        let padded = reader.rest().get(1..8).is_some_and(|bytes| bytes == [0; 7]);
        reader.fixed = release.map_or(padded, |release| release < fields::POSTCARD);
        let target = reader.text().map_err(within("target"))?;
        if target.is_empty() {
            return Err(within("target")(reader.error(Status::Corrupt, "expected a triple, found an empty text")));
        }
        let shared_flags = reader.flags().map_err(within("shared flags"))?;
        let isa_flags = reader.flags().map_err(within("ISA flags"))?;
        let rest = release.map(|release| decode_rest(&mut reader, release)).transpose()?;
        if rest.is_some() && !reader.rest().is_empty() {
            let message =
                format!("section .wasmtime.engine: expected its end, found {} more bytes", reader.rest().len());
            return Err(Error::corrupt(message).at((bytes.len() - reader.rest().len()) as u64));
        }
        Ok(Settings { version, target, shared_flags, isa_flags, rest })
    }

    /// Says why tunables and features are not known, if they are not.
    #[must_use]
    pub fn unknown(&self) -> Option<String> {
        let (first, newest) = (fields::FIRST, fields::NEWEST);
        let version = quote(self.version.as_bytes());
        self.rest.is_none().then(|| {
            format!(
                "tunables and features are unknown: version '{version}' is none of Wasmtime's releases {first} to {newest}, on \
                 which their layout depends"
            )
        })
    }
}

fn decode_rest(reader: &mut Reader<'_>, release: u8) -> Result<ReleaseSettings> {
    let within = |name: &str, error: Error| error.within(format!("section .wasmtime.engine, {name}"));
    let mut tunables = Vec::new();
    for field in fields::tunables(release) {
        let value = decode_value(reader, field, release).map_err(|error| within(field.name, error))?;
        alloc::push(&mut tunables, value, "tunables")?;
    }
    let features = match release {
        fields::FEATURE_BITS.. => {
            let bits = if release < fields::WIDE_FEATURE_BITS { 32 } else { 64 };
            Features::Bits(reader.number(bits).map_err(|error| within("features", error))?)
        }
        _ => {
            let each =
                fields::features(release).map(|field| reader.switch().map_err(|error| within(field.name, error)));
            Features::Each(alloc::try_collect(each, "features")?)
        }
    };
    Ok(ReleaseSettings { release, tunables, features })
}

fn decode_value(reader: &mut Reader<'_>, field: &Field, release: u8) -> Result<Value> {
    Ok(match field.ty {
        Type::Switch => Value::Switch(reader.switch()?),
        Type::Number(bits) => Value::Number(reader.number(bits)?),
        Type::Choice(count) => Value::Number(reader.choice(count)?),
        Type::OptionalNumber(_) | Type::OptionalChoice(_) if !reader.switch()? => Value::None,
        Type::OptionalNumber(bits) => Value::Number(reader.number(bits)?),
        Type::OptionalChoice(count) => Value::Number(reader.choice(count)?),
        Type::Costs => match reader.choice(2)? {
            0 => Value::Costs(alloc::copy(reader.take(fields::operators(release) as u64)?, "the costs of operators")?),
            usual => Value::Number(usual),
        },
    })
}
