//! What `inspect` shows of an artifact: one object, which `--json` prints as it is. Its keys are an interface: programs are
//! written against them. What doesn't decode is null.

use artifact::artifact::Artifact;
use artifact::error::{Error, Result};
use artifact::format::Map;
use artifact::format::body::Place;
use artifact::format::elf;
use artifact::format::flags::{Features, Flag, Tunables};
use artifact::format::types::Types;
use artifact::format::upvars::Upvars;
use serde::Serialize;

/// Flags in the order of the file, as often as they stand there.
type FileFlags<'a> = Map<&'a str, Flag<&'a str>>;

#[derive(Serialize)]
pub struct Facts<'a> {
    pub file_len: u64,
    pub producer: &'a str,
    pub version: String,
    pub target: Option<&'a str>,
    pub modules: Vec<Module>,
    pub main: usize,
    pub header_offset: u64,
    pub metadata_offset: u64,
    pub shared_flags: Option<&'a FileFlags<'a>>,
    pub isa_flags: Option<&'a FileFlags<'a>>,
    pub tunables: Option<&'a Tunables>,
    pub features: Option<&'a Features>,
    pub module_upvars: Option<&'a Upvars>,
    pub types: Option<&'a Types<&'a str>>,
    /// There is none yet.
    pub trailer: Option<()>,
}

#[derive(Serialize)]
pub struct Module {
    pub offset: u64,
    pub len: u64,
    pub align: Option<u64>,
    pub machine: u16,
    pub endian: &'static str,
    #[serde(rename = "type")]
    pub kind: u16,
    pub sections: Option<Vec<Section>>,
    #[serde(skip)]
    pub symbols: Option<Symbols>,
    /// Why something of the above is missing. Opening reads no section headers, so they may be damaged here.
    #[serde(skip)]
    pub damage: Option<Error>,
}

#[derive(Serialize)]
pub struct Section {
    pub name: String,
    /// From the start of the module.
    pub offset: u64,
    pub size: u64,
    pub align: u64,
    #[serde(rename = "type")]
    pub kind: u32,
    pub flags: u64,
}

#[derive(Default)]
pub struct Symbols {
    pub defined: usize,
    pub undefined: usize,
}

impl<'a> Facts<'a> {
    pub fn new(artifact: &'a Artifact) -> Facts<'a> {
        let metadata = artifact.metadata().ok();
        let places = artifact.places().iter().enumerate();
        Facts {
            file_len: artifact.len(),
            producer: artifact.producer(),
            version: String::from_utf8_lossy(artifact.version()).into_owned(),
            target: metadata.map(|metadata| metadata.target),
            modules: places.map(|(index, place)| Module::new(artifact, index, place)).collect(),
            main: artifact.main_module(),
            header_offset: artifact.header_offset(),
            metadata_offset: artifact.metadata_offset(),
            shared_flags: metadata.map(|metadata| metadata.shared_flags.wire()),
            isa_flags: metadata.map(|metadata| metadata.isa_flags.wire()),
            tunables: metadata.map(|metadata| &metadata.tunables),
            features: metadata.map(|metadata| &metadata.features),
            module_upvars: metadata.map(|metadata| &metadata.upvars),
            types: metadata.map(|metadata| &metadata.types),
            trailer: None,
        }
    }
}

impl Module {
    fn new(artifact: &Artifact, index: usize, place: &Place) -> Module {
        let mut module = Module {
            offset: place.offset,
            len: place.extent.len,
            align: None,
            machine: place.extent.machine,
            endian: if place.extent.big_endian { "big" } else { "little" },
            kind: place.extent.kind,
            sections: None,
            symbols: None,
            damage: None,
        };
        let filled = artifact.module(index).and_then(|view| {
            let about = |error: Error| error.within(format!("module {index}")).at(0).shifted(place.offset);
            module.fill(&view).map_err(about)
        });
        module.damage = filled.err();
        module
    }

    /// What takes reading the section headers, as far as that goes.
    fn fill(&mut self, view: &elf::Module<'_>) -> Result<()> {
        let section = |number| {
            let elf::Section { name, offset, size, align, kind, flags, .. } = view.section(number)?;
            Ok(Section { name: String::from_utf8_lossy(name).into_owned(), offset, size, align, kind, flags })
        };
        self.sections = Some((0..view.section_count()).map(section).collect::<Result<_>>()?);
        self.align = Some(view.align()?);
        let symbols = view.symbols()?;
        let mut found = Symbols::default();
        // The first is the null symbol.
        for number in 1..symbols.count() {
            match symbols.get(number)?.section {
                0 => found.undefined += 1,
                _ => found.defined += 1,
            }
        }
        self.symbols = Some(found);
        Ok(())
    }
}
