//! Metadata: what an artifact says about itself, in wire order.

use serde::Serialize;

use super::flags::{Features, Flag, Flags, Tunables};
use super::types::Types;
use super::upvars::{ListSeed, Upvars};
use super::wire::{self, Decoder};
use crate::error::{Error, Result};

/// Metadata, borrowed from the bytes that it was decoded from.
#[derive(Debug)]
pub struct Metadata<'a> {
    /// Target triple.
    pub target: &'a str,
    /// Compiler flags that don't depend on the architecture.
    pub shared_flags: Flags<'a>,
    /// Instruction sets that the compiler used.
    pub isa_flags: Flags<'a>,
    /// Memory layout and instrumentation.
    pub tunables: Tunables,
    /// Wasm proposals.
    pub features: Features,
    /// Which modules nested modules can reach.
    pub upvars: Upvars,
    /// The type tables.
    pub types: Types<&'a str>,
}

impl<'a> Metadata<'a> {
    /// Decodes Metadata from the start of `bytes` and says how many bytes it took; what follows is left alone.
    ///
    /// # Errors
    ///
    /// TRUNCATED, CORRUPT, LIMIT or NO_MEMORY; offsets count from the start of `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<(Metadata<'a>, usize)> {
        let decoder = Decoder::new(bytes);
        let target = decoder.field("target")?;
        let shared_flags = Flags::new(decoder.field("shared_flags")?);
        let isa_flags = Flags::new(decoder.field("isa_flags")?);
        let tunables = decoder.field("tunables")?;
        let features = decoder.field("features")?;
        let mut upvars = Upvars::default();
        decoder.seeded("module_upvars", ListSeed { upvars: &mut upvars, parent: None, depth: 0 })?;
        let types_at = decoder.position();
        let types: Types<&'a str> = decoder.field("types")?;
        types.check().map_err(|error| error.at(types_at as u64).within("Metadata, types"))?;
        Ok((Metadata { target, shared_flags, isa_flags, tunables, features, upvars, types }, decoder.position()))
    }

    /// Checks what Metadata says against the number of modules that the file has.
    ///
    /// # Errors
    ///
    /// CORRUPT if an upvar names a module that isn't there.
    pub fn check(&self, modules: u64) -> Result<()> {
        self.upvars.check(modules).map_err(|error| error.within("Metadata, module_upvars"))
    }

    /// The fields, to be encoded anew.
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

/// What Metadata is encoded from.
#[derive(Debug)]
pub struct Fields<'f, S> {
    /// Target triple.
    pub target: &'f str,
    /// In the order in which they are written.
    pub shared_flags: &'f [(&'f str, Flag<&'f str>)],
    /// In the order in which they are written.
    pub isa_flags: &'f [(&'f str, Flag<&'f str>)],
    /// Memory layout and instrumentation.
    pub tunables: &'f Tunables,
    /// Wasm proposals.
    pub features: &'f Features,
    /// Which modules nested modules can reach.
    pub upvars: &'f Upvars,
    /// The type tables.
    pub types: &'f Types<S>,
}

impl<S: Serialize> Fields<'_, S> {
    /// Appends the encoded Metadata to `out`.
    ///
    /// # Errors
    ///
    /// LIMIT if it is larger than a reader accepts.
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
        let (size, limit) = ((out.len() - start) as u64, crate::limits::MAX_METADATA);
        if size > limit {
            let message = format!("Metadata: expected at most {limit} bytes, found {size}");
            return Err(Error::new(crate::error::Status::Limit, message));
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
