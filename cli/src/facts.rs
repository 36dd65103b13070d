//! What `inspect` shows: one object, which `--json` prints as it is. Programs rely on its keys. Values that cannot be decoded
//! are null.

use artifact::artifact::Artifact;
use artifact::error::{Error, Result};
use artifact::format::Map;
use artifact::format::elf::{Extent, extent_of};
use artifact::format::flags::{Features, Flag, Tunables};
use artifact::format::module as elf;
use artifact::format::types::Types;
use artifact::format::upvars::Upvars;
use artifact::limits::NameBudget;
use artifact::trust::keys::PublicKey;
use serde::Serialize;

use crate::metadata::{Base64, attributes};
use crate::variants::{self, Judged};

/// Flags in the order of the file, duplicates included.
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
    /// The trusted key that made the detached signature of an artifact without a trailer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    #[serde(flatten)]
    pub fat: Option<Fat>,
}

/// What is said about a file of several targets.
#[derive(Serialize)]
pub struct Fat {
    /// The index of the variant that everything else is about.
    pub variant: usize,
    /// The index of the variant that this host would get.
    pub host_variant: Option<usize>,
    pub index: Index,
    pub variants: Vec<Judged>,
}

/// The signatures over the index of variants.
#[derive(Serialize)]
pub struct Index {
    /// The trusted key that signed it.
    pub signed_by: Option<String>,
    /// The keys that the signatures name. The signatures may be invalid.
    pub signatures: Vec<String>,
}

impl Fat {
    /// Collects the facts; none for a file of one target.
    fn new(artifact: &Artifact) -> Result<Option<Fat>> {
        let variants = variants::list(artifact)?;
        if variants.is_empty() {
            return Ok(None);
        }
        let index = Index {
            signed_by: artifact.signer().map(PublicKey::to_string),
            signatures: artifact.index_signatures().map(|found| hex(&found.key)).collect(),
        };
        // What has a version with an unknown layout fits nothing.
        let judged = variants::judge(artifact, None).unwrap_or_default();
        let host_variant = variants::chosen(&judged).map(|variant| variant.index);
        Ok(Some(Fat { variant: artifact.variant_chosen(), host_variant, index, variants }))
    }
}

/// The trailer: digests, attributes and signatures.
#[derive(Serialize)]
pub struct Trailer {
    pub format: u32,
    pub attributes: Map<String, Base64>,
    /// The trusted key that signed the artifact.
    pub signed_by: Option<String>,
    /// The keys that the signatures in the trailer name. The signatures may be invalid.
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
    /// Present only if requested; the inner value is `None` if the symbols cannot be decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symbols: Option<Option<Vec<Symbol>>>,
    #[serde(skip)]
    pub counts: Option<Counts>,
    /// Why a value above is missing: opening an artifact does not read section headers, which may be damaged.
    #[serde(skip)]
    pub damage: Option<Error>,
}

#[derive(Serialize)]
pub struct Section {
    pub name: String,
    /// Offset from the start of the module.
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
    /// Index of the section; 0 if the symbol is undefined.
    pub section: u32,
}

/// The number of symbols.
#[derive(Default)]
pub struct Counts {
    pub defined: usize,
    pub undefined: usize,
}

impl<'a> Facts<'a> {
    /// Collects the facts, with the symbols of each module if `symbols` is set.
    pub fn new(artifact: &'a Artifact, symbols: bool) -> Result<Facts<'a>> {
        let metadata = artifact.metadata().ok();
        let trailer = Trailer::new(artifact)?;
        let signed_by = if trailer.is_none() { artifact.signer().map(PublicKey::to_string) } else { None };
        let mut names = NameBudget::for_file(artifact.len());
        let modules = (0..artifact.module_count()).map(|index| Module::new(artifact, index, symbols, &mut names));
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
            fat: Fat::new(artifact)?,
        })
    }
}

impl Module {
    fn new(artifact: &Artifact, index: usize, symbols: bool, names: &mut NameBudget) -> Result<Module> {
        let range = artifact.module_range(index)?;
        let extent = artifact.extent(index)?;
        let mut module = Module {
            offset: range.offset,
            len: range.len,
            align: None,
            machine: extent.machine,
            endian: if extent.big_endian { "big" } else { "little" },
            kind: extent.kind,
            sections: None,
            symbols: symbols.then_some(None),
            counts: None,
            damage: None,
        };
        let decoded = artifact.module(index).and_then(|view| {
            let in_module = |error: Error| error.within(format!("module {index}")).at(0).shifted(range.offset);
            module.decode(&view, symbols, names).map_err(in_module)
        });
        module.damage = decoded.err();
        Ok(module)
    }

    /// Collects the facts of an image that is a whole file.
    pub fn of_file(bytes: &[u8], symbols: bool) -> Result<Module> {
        let Extent { len, machine, kind, big_endian, .. } = extent_of(bytes)?;
        let endian = if big_endian { "big" } else { "little" };
        let symbols_key = symbols.then_some(None);
        let (align, sections, counts, damage) = (None, None, None, None);
        let mut module =
            Module { offset: 0, len, align, machine, endian, kind, sections, symbols: symbols_key, counts, damage };
        let mut names = NameBudget::for_file(len);
        module.damage = elf::Module::parse(bytes).and_then(|view| module.decode(&view, symbols, &mut names)).err();
        Ok(module)
    }

    /// Fills in what the section headers describe, up to the first error.
    fn decode(&mut self, view: &elf::Module<'_>, symbols: bool, names: &mut NameBudget) -> Result<()> {
        let mut text = |name| -> Result<String> {
            let name = String::from_utf8_lossy(name);
            names.take(name.len())?;
            Ok(name.into_owned())
        };
        let section = |index| {
            let elf::Section { name, offset, size, align, kind, flags, .. } = view.section(index)?;
            Ok(Section { name: text(name)?, offset, size, align, kind, flags })
        };
        self.sections = Some((0..view.section_count()).map(section).collect::<Result<_>>()?);
        self.align = Some(view.align()?);
        let (mut counts, mut list) = (Counts::default(), Vec::new());
        let table = view.symbols()?;
        // Symbol 0 is the null symbol.
        for index in 1..table.count() {
            let elf::Symbol { name, value, size, section, kind, binding } = table.get(index)?;
            match section {
                0 => counts.undefined += 1,
                _ => counts.defined += 1,
            }
            if symbols {
                list.push(Symbol { name: text(name)?, value, size, kind, binding, section });
            }
        }
        self.counts = Some(counts);
        self.symbols = symbols.then_some(Some(list));
        Ok(())
    }
}

/// Formats bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
