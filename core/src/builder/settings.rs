//! The settings of an artifact in owned form, exactly as they are written.

use crate::engine::{Engine, FlagMap};
use crate::format::Map;
use crate::format::flags::{Features, Flag, Tunables};

/// Flags in the order in which they are written, duplicates included.
pub type FileFlags = Map<String, Flag<String>>;

/// The settings that an artifact was compiled with: everything in HEADER and Metadata except upvars and types. The flags of an
/// engine's settings are always sorted and unique; those of an artifact need not be.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The name of the producer that compiled it.
    pub producer: String,
    /// The version to write: up to 255 arbitrary bytes.
    pub version: Vec<u8>,
    /// Target triple.
    pub target: String,
    /// Compiler flags that do not depend on the architecture.
    pub shared_flags: FileFlags,
    /// Flags of the instruction set architecture: the instruction sets that the compiler used.
    pub isa_flags: FileFlags,
    /// Settings for memory layout and instrumentation.
    pub tunables: Tunables,
    /// Wasm proposals that the compiler accepted.
    pub features: Features,
}

impl From<&Engine> for Settings {
    fn from(engine: &Engine) -> Settings {
        let flags = |map| Map(engine.flags(map).iter().map(|(name, flag)| (name.clone(), flag.clone())).collect());
        Settings {
            producer: engine.producer().to_owned(),
            version: engine.version().as_bytes().to_vec(),
            target: engine.target().to_owned(),
            shared_flags: flags(FlagMap::Shared),
            isa_flags: flags(FlagMap::Isa),
            tunables: engine.tunables,
            features: engine.features,
        }
    }
}
