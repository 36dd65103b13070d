//! Metadata: the settings, upvars and types of an artifact. Fields are in the order of the encoding.

use serde::Serialize;

use super::flags::{Features, Flag, Flags, Tunables};
use super::types::Types;
use super::upvars::Upvars;
use super::wire::{self, Decoder};
use crate::error::{Error, Result, Status};
use crate::limits::MAX_METADATA;

/// Decoded Metadata, which borrows from the encoded bytes.
#[derive(Debug)]
#[non_exhaustive]
pub struct Metadata<'a> {
    /// Target triple.
    pub target: &'a str,
    /// Compiler flags that do not depend on the architecture.
    pub shared_flags: Flags<'a>,
    /// Flags of the instruction set architecture: the instruction sets that the compiler used.
    pub isa_flags: Flags<'a>,
    /// Settings for memory layout and instrumentation.
    pub tunables: Tunables,
    /// Wasm proposals that the compiler accepted.
    pub features: Features,
    /// The modules that nested modules can refer to.
    pub upvars: Upvars,
    /// The type tables.
    pub types: Types<&'a str>,
}

impl<'a> Metadata<'a> {
    /// Decodes Metadata from the start of `bytes` and returns it with its encoded length. Bytes after it are ignored.
    ///
    /// # Errors
    ///
    /// TRUNCATED if `bytes` end early, CORRUPT for an invalid encoding, LIMIT for upvars that are nested too deep, NO_MEMORY.
    /// Offsets count from the start of `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<(Metadata<'a>, usize)> {
        let decoder = Decoder::new(bytes);
        let target = decoder.field("target")?;
        let shared_flags = Flags::new(decoder.field("shared_flags")?)?;
        let isa_flags = Flags::new(decoder.field("isa_flags")?)?;
        let tunables = decoder.field("tunables")?;
        let features = decoder.field("features")?;
        let upvars = decoder.field("module_upvars")?;
        let types_at = decoder.position();
        let types: Types<&'a str> = decoder.field("types")?;
        types.check().map_err(|error| error.at(types_at as u64).within("Metadata, types"))?;
        Ok((Metadata { target, shared_flags, isa_flags, tunables, features, upvars, types }, decoder.position()))
    }

    /// Checks Metadata against the number of modules in the file.
    ///
    /// # Errors
    ///
    /// CORRUPT if an upvar refers to a module that does not exist.
    pub fn check(&self, modules: u64) -> Result<()> {
        self.upvars.check(modules).map_err(|error| error.within("Metadata, module_upvars"))
    }

    /// Returns the fields for re-encoding.
    #[doc(hidden)] // for tests of this repository
    #[must_use]
    pub fn fields(&self) -> Fields<'_, &'a str> {
        Fields {
            target: self.target,
            shared_flags: &self.shared_flags.wire().0,
            isa_flags: &self.isa_flags.wire().0,
            tunables: &self.tunables,
            features: &self.features,
            upvars: &self.upvars,
            types: &self.types,
        }
    }
}

/// The fields of Metadata, ready to be encoded.
#[doc(hidden)]
#[derive(Debug)]
pub struct Fields<'f, S> {
    /// Target triple.
    pub target: &'f str,
    /// Shared flags, in the order of the encoding.
    pub shared_flags: &'f [(&'f str, Flag<&'f str>)],
    /// ISA flags, in the order of the encoding.
    pub isa_flags: &'f [(&'f str, Flag<&'f str>)],
    /// Settings for memory layout and instrumentation.
    pub tunables: &'f Tunables,
    /// Wasm proposals that the compiler accepted.
    pub features: &'f Features,
    /// The modules that nested modules can refer to.
    pub upvars: &'f Upvars,
    /// The type tables.
    pub types: &'f Types<S>,
}

impl<S: Serialize> Fields<'_, S> {
    /// Appends the encoded Metadata to `out`.
    ///
    /// # Errors
    ///
    /// LIMIT if the encoding is larger than a reader accepts.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let Fields { target, shared_flags, isa_flags, tunables, features, upvars, types } = self;
        let start = out.len();
        wire::encode(target, out)?;
        wire::encode(&Entries(shared_flags), out)?;
        wire::encode(&Entries(isa_flags), out)?;
        wire::encode(tunables, out)?;
        wire::encode(features, out)?;
        wire::encode(upvars, out)?;
        wire::encode(types, out)?;
        let size = (out.len() - start) as u64;
        if size > MAX_METADATA {
            let message = format!("Metadata: expected at most {MAX_METADATA} bytes, found {size}");
            return Err(Error::new(Status::Limit, message));
        }
        Ok(())
    }
}

struct Entries<'f>(&'f [(&'f str, Flag<&'f str>)]);

impl Serialize for Entries<'_> {
    fn serialize<Z: serde::Serializer>(&self, serializer: Z) -> std::result::Result<Z::Ok, Z::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes Metadata in which every field is empty.
    fn empty() -> Vec<u8> {
        let mut bytes = Vec::new();
        Fields::<String> {
            target: "",
            shared_flags: &[],
            isa_flags: &[],
            tunables: &Tunables::default(),
            features: &Features::default(),
            upvars: &Upvars::default(),
            types: &Types::default(),
        }
        .encode(&mut bytes)
        .unwrap();
        bytes
    }

    /// The offset of each count in empty Metadata: target, both flag maps, upvars, three type tables.
    const COUNTS: [usize; 7] = [0, 8, 16, 24 + 39 + 11, 82, 90, 98];

    #[test]
    fn empty_metadata_has_only_counts_and_switches() {
        let bytes = empty();
        assert_eq!(bytes.len(), 7 * 8 + 39 + 11);
        let (metadata, len) = Metadata::decode(&bytes).unwrap();
        assert_eq!((metadata.target, len), ("", bytes.len()));
        let longer = [&bytes[..], b"whatever follows"].concat();
        assert_eq!(Metadata::decode(&longer).unwrap().1, bytes.len());
    }

    #[test]
    fn an_excessive_count_is_an_error_with_its_offset() {
        for at in COUNTS {
            for count in [1, 1 << 32, 1 << 40, 1 << 63, u64::MAX] {
                let mut bytes = empty();
                bytes[at..at + 8].copy_from_slice(&u64::to_le_bytes(count));
                // Zeros to decode items from: even then the decoder must not trust the count.
                bytes.resize(4096, 0);
                let Err(error) = Metadata::decode(&bytes) else {
                    assert_eq!(count, 1, "count {count} at {at}");
                    continue;
                };
                assert!(matches!(error.status(), Status::Truncated | Status::Corrupt), "{count} at {at}: {error}");
                assert!(error.offset().is_some_and(|offset| offset <= 4096), "{count} at {at}: {error}");
                assert!(error.message().starts_with("Metadata, "), "{error}");
            }
        }
    }

    #[test]
    fn upvars_nest_up_to_the_limit() {
        let nested = |levels: usize| {
            let mut bytes = empty();
            let mut upvars = Vec::new();
            for _ in 0..levels {
                upvars.extend(1u64.to_le_bytes());
                upvars.extend([0; 16]); // module 0, no artifact_upvars
            }
            upvars.extend([0; 8]);
            bytes.splice(74..82, upvars);
            bytes
        };
        for levels in [1, 100] {
            let bytes = nested(levels);
            let (metadata, _) = Metadata::decode(&bytes).unwrap();
            assert_eq!(metadata.upvars.nodes().len(), levels);
            metadata.check(1).unwrap();
            assert_eq!(metadata.check(0).unwrap_err().status(), Status::Corrupt);
            let mut encoded = Vec::new();
            metadata.fields().encode(&mut encoded).unwrap();
            assert_eq!(encoded, bytes);
        }
        for levels in [101, 100_000] {
            assert_eq!(Metadata::decode(&nested(levels)).unwrap_err().status(), Status::Limit);
        }
    }

    #[test]
    fn wrong_tags_and_text_are_corrupt() {
        let mut bytes = empty();
        bytes[24 + 32] = 2; // generate_native_debuginfo
        let error = Metadata::decode(&bytes).unwrap_err();
        assert_eq!((error.status(), error.offset()), (Status::Corrupt, Some(24 + 33)));
        assert_eq!(error.message(), "Metadata, tunables: expected a bool of 0 or 1, found 2");

        let mut bytes = empty();
        bytes[0] = 1;
        bytes.insert(8, 0xff);
        assert_eq!(Metadata::decode(&bytes).unwrap_err().message(), "Metadata, target: expected UTF-8 text");
    }
}
