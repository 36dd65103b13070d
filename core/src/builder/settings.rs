//! What an artifact says that it was compiled with, owned, and just as it is written.

use crate::engine::{Engine, FlagMap};
use crate::format::Map;
use crate::format::flags::{Features, Flag, Tunables};

/// Flags in the order in which they are written, as often as they stand there.
pub type FileFlags = Map<String, Flag<String>>;

/// Everything about how an artifact was compiled that stands in HEADER and Metadata beside upvars and types. An engine's
/// settings are always tidy; an artifact's need not be.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Who compiled it.
    pub producer: String,
    /// The version that is written; any bytes, at most 255 of them.
    pub version: Vec<u8>,
    /// Target triple.
    pub target: String,
    /// Compiler flags that don't depend on the architecture.
    pub shared_flags: FileFlags,
    /// Instruction sets that the compiler used.
    pub isa_flags: FileFlags,
    /// Memory layout and instrumentation.
    pub tunables: Tunables,
    /// Wasm proposals.
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
