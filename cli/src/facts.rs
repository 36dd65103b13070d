//! What `inspect` shows of an artifact: one object, which `--json` prints as it is. Its keys are an interface: programs are
//! written against them. What doesn't decode is null.

use artifact::artifact::Artifact;
use artifact::error::{Error, Result};
use artifact::format::Map;
use artifact::format::flags::{Features, Flag, Tunables};
use artifact::format::module as elf;
use artifact::format::types::Types;
use artifact::format::upvars::Upvars;
use artifact::trust::keys::PublicKey;
use serde::Serialize;

use crate::metadata::{Base64, attributes};

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
    pub trailer: Option<Trailer>,
    /// Whose signature beside a file without a trailer a trusted key has confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
}

/// What lets every byte be checked, and what the embedder added.
#[derive(Serialize)]
pub struct Trailer {
    pub format: u32,
    /// The embedder's values.
    pub attributes: Map<String, Base64>,
    /// Whose signature a trusted key has confirmed.
    pub signed_by: Option<String>,
    /// Whose signatures it carries, as they claim.
    pub signatures: Vec<String>,
}

impl Trailer {
    fn new(artifact: &Artifact) -> Result<Option<Trailer>> {
        let Some(trailer) = artifact.trailer() else { return Ok(None) };
        let attributes = attributes(artifact)?;
        let signed_by = artifact.signer().map(PublicKey::to_string);
        let signatures = trailer.signatures.iter().map(|found| hex(&found.key)).collect();
        Ok(Some(Trailer { format: trailer.root.format.get(), attributes, signed_by, signatures }))
    }
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
    /// Where they are asked for; none inside where they can't be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbols: Option<Option<Vec<Symbol>>>,
    #[serde(skip)]
    pub counts: Option<Counts>,
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

#[derive(Serialize)]
pub struct Symbol {
    pub name: String,
    pub value: u64,
    pub size: u64,
    #[serde(rename = "type")]
    pub kind: u8,
    pub binding: u8,
    /// Its index; 0: undefined.
    pub section: u32,
}

/// How many symbols there are.
#[derive(Default)]
pub struct Counts {
    pub defined: usize,
    pub undefined: usize,
}

impl<'a> Facts<'a> {
    /// With the symbols of each module, if they are asked for.
    pub fn new(artifact: &'a Artifact, symbols: bool) -> Result<Facts<'a>> {
        let metadata = artifact.metadata().ok();
        let trailer = Trailer::new(artifact)?;
        let signed_by = if trailer.is_none() { artifact.signer().map(PublicKey::to_string) } else { None };
        let modules = (0..artifact.module_count()).map(|index| Module::new(artifact, index, symbols));
        Ok(Facts {
            file_len: artifact.len(),
            producer: artifact.producer(),
            version: String::from_utf8_lossy(artifact.version()).into_owned(),
            target: metadata.map(|metadata| metadata.target),
            modules: modules.collect::<Result<_>>()?,
            main: artifact.main_module(),
            header_offset: artifact.header_offset(),
            metadata_offset: artifact.metadata_offset(),
            shared_flags: metadata.map(|metadata| metadata.shared_flags.wire()),
            isa_flags: metadata.map(|metadata| metadata.isa_flags.wire()),
            tunables: metadata.map(|metadata| &metadata.tunables),
            features: metadata.map(|metadata| &metadata.features),
            module_upvars: metadata.map(|metadata| &metadata.upvars),
            types: metadata.map(|metadata| &metadata.types),
            trailer,
            signed_by,
        })
    }
}

impl Module {
    fn new(artifact: &Artifact, index: usize, symbols: bool) -> Result<Module> {
        let place = artifact.place(index)?;
        let extent = artifact.extent(index)?;
        let mut module = Module {
            offset: place.offset,
            len: place.len,
            align: None,
            machine: extent.machine,
            endian: if extent.big_endian { "big" } else { "little" },
            kind: extent.kind,
            sections: None,
            symbols: symbols.then_some(None),
            counts: None,
            damage: None,
        };
        let filled = artifact.module(index).and_then(|view| {
            let about = |error: Error| error.within(format!("module {index}")).at(0).shifted(place.offset);
            module.fill(&view, symbols).map_err(about)
        });
        module.damage = filled.err();
        Ok(module)
    }

    /// What takes reading the section headers, as far as that goes.
    fn fill(&mut self, view: &elf::Module<'_>, symbols: bool) -> Result<()> {
        let section = |number| {
            let elf::Section { name, offset, size, align, kind, flags, .. } = view.section(number)?;
            Ok(Section { name: String::from_utf8_lossy(name).into_owned(), offset, size, align, kind, flags })
        };
        self.sections = Some((0..view.section_count()).map(section).collect::<Result<_>>()?);
        self.align = Some(view.align()?);
        let (mut counts, mut list) = (Counts::default(), Vec::new());
        let table = view.symbols()?;
        // The first is the null symbol.
        for number in 1..table.count() {
            let elf::Symbol { name, value, size, section, kind, binding } = table.get(number)?;
            match section {
                0 => counts.undefined += 1,
                _ => counts.defined += 1,
            }
            if symbols {
                let name = String::from_utf8_lossy(name).into_owned();
                list.push(Symbol { name, value, size, kind, binding, section });
            }
        }
        self.counts = Some(counts);
        self.symbols = symbols.then_some(Some(list));
        Ok(())
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
