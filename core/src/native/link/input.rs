//! A checked view of a relocatable object: sections, symbols, groups. Field names follow the ELF gABI.

use std::borrow::Cow;

use object::LittleEndian;
use object::elf::{self, FileHeader64, RelocationType, SectionHeader64, SectionType, Sym64, SymbolBind, SymbolType};
use object::endian::{I64, U64};
use object::read::elf::{Crel, CrelIterator, FileHeader as _, SectionHeader as _, SectionTable, SymbolTable};
use object::{SectionIndex, SymbolIndex};

use super::compressed::{self, Compression};
use super::{Object, defect, item};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::format::elf::extent_of;
use crate::format::foreign;
use crate::format::module::name_at;
use crate::limits::{MAX_ALIGN, MAX_CODE, MAX_STRINGS};
use crate::native::machine::{self, Machine};

type Header = FileHeader64<LittleEndian>;
pub(super) type Rela = elf::Rela64<LittleEndian>;

const WITH_ADDENDS: &str = "expected relocations with addends (SHT_RELA), as this machine's ABI has them";

/// The byte order of every machine that the linker knows.
pub(super) const ORDER: LittleEndian = LittleEndian;

pub(super) struct Input<'a> {
    pub name: &'a str,
    /// Its size in bytes.
    pub len: u64,
    pub machine: &'static Machine,
    pub sections: Vec<Section<'a>>,
    pub symbols: Vec<Symbol<'a>>,
    pub groups: Vec<Group<'a>>,
}

pub(super) struct Section<'a> {
    pub name: &'a [u8],
    pub kind: SectionType,
    pub flags: u64,
    pub size: u64,
    pub align: u64,
    pub entry: u64,
    pub link: u32,
    /// Offset of `data` in the object.
    pub offset: u64,
    /// Empty for SHT_NOBITS. Of a compressed section, the compressed content until [`super::compressed::expand`].
    pub data: Cow<'a, [u8]>,
    pub compression: Option<Compression>,
    pub relocations: Cow<'a, [Rela]>,
}

pub(super) struct Symbol<'a> {
    pub name: &'a [u8],
    pub location: SymbolLocation,
    pub size: u64,
    pub kind: SymbolType,
    pub binding: SymbolBind,
    pub other: u8,
}

#[derive(Clone, Copy)]
pub(super) enum SymbolLocation {
    Undefined,
    Absolute(u64),
    /// The linker allocates it; `large` if it belongs to the large memory model.
    Common {
        align: u64,
        large: bool,
    },
    Section {
        index: usize,
        offset: u64,
    },
}

/// A COMDAT group: of all groups with the same signature, only the first one's sections are linked.
pub(super) struct Group<'a> {
    pub signature: &'a [u8],
    pub members: Vec<usize>,
}

/// The relocation that an error is about.
#[derive(Clone, Copy)]
pub(super) struct Site<'a> {
    pub input: &'a Input<'a>,
    pub section: &'a Section<'a>,
    pub rela: &'a Rela,
}

impl Section<'_> {
    pub fn is(&self, flag: elf::SectionFlags) -> bool {
        self.flags & flag.0 != 0
    }

    pub fn is_frame(&self) -> bool {
        self.name == b".eh_frame" && self.is(elf::SHF_ALLOC) && self.kind != elf::SHT_NOBITS
    }
}

impl<'a> Site<'a> {
    fn raw_symbol(&self) -> Option<&'a Symbol<'a>> {
        self.input.symbols.get(self.rela.r_sym(ORDER, false) as usize)
    }

    /// Returns the symbol's name; for a section symbol, the section's name.
    pub fn symbol(&self) -> &'a [u8] {
        match self.raw_symbol() {
            Some(Symbol { name: [], location: SymbolLocation::Section { index, .. }, .. }) => {
                self.input.sections.get(*index).map_or(&[][..], |section| section.name)
            }
            Some(symbol) => symbol.name,
            // `Symbols::find` reports such an index, with this site.
            None => &[],
        }
    }

    /// Returns whether the symbol's visibility demands a definition in the same image.
    pub fn is_hidden(&self) -> bool {
        self.raw_symbol().is_some_and(|symbol| symbol.other & 3 != elf::STV_DEFAULT.0)
    }

    /// UNSUPPORTED, as linkers say it: object, section, offset, relocation, symbol, and `why`, the end of the sentence.
    #[cold]
    pub fn refuse(&self, why: impl std::fmt::Display) -> Error {
        self.error(Status::Unsupported, why)
    }

    /// CORRUPT, in the form of [`Site::refuse`].
    #[cold]
    pub fn corrupt(&self, why: impl std::fmt::Display) -> Error {
        self.error(Status::Corrupt, why)
    }

    fn error(&self, status: Status, why: impl std::fmt::Display) -> Error {
        let (kind, offset) = (kind(self.rela), self.rela.r_offset.get(ORDER));
        let machine = self.input.machine;
        let number = format!("{} of {}", kind.0, machine.name);
        let message = format!(
            "{}:({}+{offset:#x}): relocation {} against symbol '{}' {why}",
            quote(self.input.name.as_bytes()),
            quote(self.section.name),
            (machine.reloc_name)(kind).unwrap_or(&number),
            quote(self.symbol()),
        );
        Error::new(status, message).at(self.section.offset.saturating_add(offset))
    }
}

pub(super) fn kind(rela: &Rela) -> RelocationType {
    rela.r_type(ORDER, false)
}

/// Returns an error about an object or a part of it.
#[cold]
pub(super) fn failure(status: Status, object: &str, what: impl std::fmt::Display) -> Error {
    Error::new(status, format!("{}: {what}", quote(object.as_bytes())))
}

impl<'a> Input<'a> {
    /// Parses an object.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if it is not a relocatable object, UNSUPPORTED if it is for an unknown machine or uses an unsupported
    /// feature, TRUNCATED or CORRUPT if it is damaged, LIMIT.
    pub fn parse(object: &Object<'a>) -> Result<Input<'a>> {
        let Object { name, bytes } = *object;
        let machine = check_kind(bytes).map_err(|error| error.within(quote(name.as_bytes())))?;
        let corrupt = |what: &'static str| move |error| failure(Status::Corrupt, name, format_args!("{what}: {error}"));
        let header = Header::parse(bytes).map_err(corrupt("ELF header"))?;
        let table = header.sections(ORDER, bytes).map_err(corrupt("section headers"))?;
        let symbols = table.symbols(ORDER, bytes, elf::SHT_SYMTAB).map_err(corrupt("symbol table"))?;
        let names = match header.shstrndx(ORDER, bytes).map_err(corrupt("section names"))? {
            0 => &[],
            index => data(&table, SectionIndex(index as usize), bytes).map_err(corrupt("section names"))?,
        };
        let strings = match symbols.is_empty() {
            true => &[],
            false => data(&table, symbols.string_section(), bytes).map_err(corrupt("symbol names"))?,
        };
        let len = bytes.len() as u64;
        let mut input = Input { name, len, machine, sections: Vec::new(), symbols: Vec::new(), groups: Vec::new() };
        input.read_sections(&table, names, bytes).map_err(|error| input.within(error))?;
        input.read_symbols(&symbols, strings).map_err(|error| input.within(error))?;
        input.read_relocations_and_groups(&table, &symbols, bytes).map_err(|error| input.within(error))?;
        Ok(input)
    }

    fn within(&self, error: Error) -> Error {
        error.within(quote(self.name.as_bytes()))
    }

    fn read_sections(&mut self, table: &SectionTable<'a, Header>, names: &'a [u8], bytes: &'a [u8]) -> Result<()> {
        self.sections = alloc::with_capacity(table.len(), "sections")?;
        let (mut stored, mut named) = (0u64, 0);
        for (index, header) in table.enumerate() {
            let index = index.0;
            let name = match header.sh_name.get(ORDER) {
                0 => &[],
                offset => name_at(names, offset, "section", index)?,
            };
            check_names(&mut named, name)?;
            let wrong = |what: String| Error::corrupt(format!("section '{}': {what}", quote(name)));
            let (kind, flags, mut size) =
                (header.sh_type.get(ORDER), header.sh_flags.get(ORDER).0, header.sh_size.get(ORDER));
            let mut data = match index {
                // Its sh_size is the number of sections if that exceeds e_shnum.
                0 => &[],
                _ => header.data(ORDER, bytes).map_err(|error| wrong(error.to_string()))?,
            };
            // Overlapping sections are refused: the size of the image stays proportional to that of the objects.
            stored += data.len() as u64;
            if stored > bytes.len() as u64 {
                return Err(wrong("expected sections that share no bytes, found overlapping ones".to_owned()));
            }
            let mut align = header.sh_addralign.get(ORDER);
            let mut compression = None;
            if flags & elf::SHF_COMPRESSED.0 != 0 {
                let (header, content) = compressed::split(data)
                    .ok_or_else(|| wrong("expected a compression header, found fewer bytes".to_owned()))?;
                (data, size, align, compression) = (content, header.size, header.align, Some(header));
            }
            let align = align.max(1);
            if !align.is_power_of_two() {
                return Err(wrong(format!("alignment: expected a power of two, found {align}")));
            }
            if align > MAX_ALIGN {
                let message =
                    format!("section '{}': alignment: expected at most {MAX_ALIGN}, found {align}", quote(name));
                return Err(Error::new(Status::Limit, message));
            }
            let section = Section {
                name,
                kind,
                flags,
                size: if index == 0 { 0 } else { size },
                align,
                entry: header.sh_entsize.get(ORDER),
                link: header.sh_link.get(ORDER),
                offset: header.sh_offset.get(ORDER),
                data: data.into(),
                compression,
                relocations: Cow::Borrowed(&[]),
            };
            self.sections.push(section);
        }
        Ok(())
    }

    fn read_symbols(&mut self, table: &SymbolTable<'a, Header>, strings: &'a [u8]) -> Result<()> {
        self.symbols = alloc::with_capacity(table.len(), "symbols")?;
        let mut named = 0;
        for (index, raw) in table.enumerate() {
            let name = match raw.st_name.get(ORDER) {
                0 => &[],
                offset => name_at(strings, offset, "symbol", index.0)?,
            };
            check_names(&mut named, name)?;
            self.symbols.push(Symbol {
                name,
                location: self.location(table, raw, index, name)?,
                size: raw.st_size.get(ORDER),
                kind: raw.st_type(),
                binding: raw.st_bind(),
                other: raw.st_other.0,
            });
        }
        Ok(())
    }

    fn location(
        &self,
        table: &SymbolTable<'a, Header>,
        raw: &Sym64<LittleEndian>,
        index: SymbolIndex,
        name: &[u8],
    ) -> Result<SymbolLocation> {
        let wrong = |what: String| Error::corrupt(format!("symbol '{}': {what}", quote(name)));
        let value = raw.st_value.get(ORDER);
        let section = raw.st_shndx.get(ORDER);
        let large = self.machine.large_common == Some(section);
        match section {
            elf::SHN_UNDEF => return Ok(SymbolLocation::Undefined),
            elf::SHN_ABS => return Ok(SymbolLocation::Absolute(value)),
            _ if section == elf::SHN_COMMON || large => {
                let align = value.max(1);
                if !align.is_power_of_two() || align > MAX_ALIGN {
                    return Err(wrong(format!("alignment: expected a power of two up to {MAX_ALIGN}, found {align}")));
                }
                return Ok(SymbolLocation::Common { align, large });
            }
            _ => {}
        }
        let index = table
            .symbol_section(ORDER, raw, index)
            .map_err(|error| wrong(error.to_string()))?
            .ok_or_else(|| wrong(format!("expected a section, found the reserved index {:#x}", section.0)))?;
        // gcc's section anchors are local symbols that may lie behind the section; addends lead back.
        let beyond = if raw.st_bind() == elf::STB_LOCAL { MAX_CODE } else { 0 };
        match self.sections.get(index.0) {
            Some(section) if value <= section.size.max(beyond) => {
                Ok(SymbolLocation::Section { index: index.0, offset: value })
            }
            Some(section) => {
                let (name, size) = (quote(section.name), section.size);
                Err(wrong(format!("expected an offset within section '{name}' of {size} bytes, found {value}")))
            }
            None => Err(wrong(format!("expected a section index below {}, found {}", self.sections.len(), index.0))),
        }
    }

    fn read_relocations_and_groups(
        &mut self,
        table: &SectionTable<'a, Header>,
        symbols: &SymbolTable<'a, Header>,
        bytes: &'a [u8],
    ) -> Result<()> {
        for (index, header) in table.enumerate() {
            let name = item(&self.sections, index.0, "section")?.name;
            let place = || format!("section '{}'", quote(name));
            let wrong = |what: String| Error::corrupt(format!("{}: {what}", place()));
            let refused = |what: &str| Error::new(Status::Unsupported, format!("{}: {what}", place()));
            let invalid = |error: object::read::Error| wrong(error.to_string());
            match header.sh_type.get(ORDER) {
                kind @ (elf::SHT_RELA | elf::SHT_CREL) => {
                    let target = header.sh_info.get(ORDER) as usize;
                    let count = self.sections.len();
                    let known = self.sections.get_mut(target).filter(|_| target != 0 && target != index.0);
                    let target = known.ok_or_else(|| {
                        wrong(format!("sh_info: expected a section index below {count}, found {target}"))
                    })?;
                    let relocations: Cow<'a, [Rela]> = match kind {
                        elf::SHT_RELA => header.data_as_array(ORDER, bytes).map_err(invalid)?.into(),
                        _ => compact(header.data(ORDER, bytes).map_err(invalid)?, target.size)
                            .map_err(|error| error.within(place()))?
                            .into(),
                    };
                    if SectionIndex(header.sh_link.get(ORDER) as usize) != symbols.section() && !relocations.is_empty()
                    {
                        return Err(wrong(
                            "sh_link: expected the object's symbol table, found another section".to_owned(),
                        ));
                    }
                    if !target.relocations.is_empty() {
                        return Err(wrong("expected one relocation section per section, found a second".to_owned()));
                    }
                    target.relocations = relocations;
                }
                elf::SHT_REL | elf::SHT_RELR => {
                    return Err(refused(WITH_ADDENDS));
                }
                elf::SHT_GROUP => {
                    let group = header.group(ORDER, bytes).map_err(invalid)?;
                    let (flags, members) = group.ok_or_else(|| defect("a section of type SHT_GROUP is no group"))?;
                    let symbol = self.symbols.get(header.sh_info.get(ORDER) as usize);
                    let signature = match symbol {
                        Some(Symbol {
                            kind: elf::STT_SECTION,
                            location: SymbolLocation::Section { index, .. },
                            ..
                        }) => item(&self.sections, *index, "section")?.name,
                        Some(symbol) => symbol.name,
                        None => return Err(wrong("sh_info: expected the group's signature symbol".to_owned())),
                    };
                    // Without GRP_COMDAT every object keeps its group.
                    if flags & elf::GRP_COMDAT == elf::GroupFlags(0) {
                        continue;
                    }
                    let members = members.iter().map(|member| member.get(ORDER) as usize);
                    let members = alloc::collect(members, "a group")?;
                    if let Some(member) = members.iter().find(|member| **member >= self.sections.len()) {
                        let count = self.sections.len();
                        return Err(wrong(format!(
                            "expected section indexes below {count} in the group, found {member}"
                        )));
                    }
                    alloc::push(&mut self.groups, Group { signature, members }, "groups")?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Describes a relocation of one of the object's sections, for messages.
    pub fn site<'b>(&'b self, section: &'b Section<'b>, rela: &'b Rela) -> Site<'b> {
        Site { input: self, section, rela }
    }
}

/// Reads compact relocations (SHT_CREL), as LLVM writes them with `--crel`, of a section of `size` bytes. The smallest take a byte, so
/// their number is limited by that of the bytes that they can relocate, too.
fn compact(bytes: &[u8], size: u64) -> Result<Vec<Rela>> {
    let invalid = |error: object::read::Error| Error::corrupt(error.to_string());
    let found = CrelIterator::new(bytes).map_err(invalid)?;
    let (count, max) = (found.len() as u64, size.min(bytes.len() as u64));
    if count > max {
        let message =
            format!("expected at most {max} relocations in {} bytes for {size} bytes, found {count}", bytes.len());
        return Err(Error::corrupt(message));
    }
    if !found.is_rela() && !found.is_empty() {
        return Err(Error::new(Status::Unsupported, WITH_ADDENDS));
    }
    let rela = |crel: Crel| Rela {
        r_offset: U64::new(ORDER, crel.r_offset),
        r_info: Rela::r_info(ORDER, false, crel.r_sym, crel.r_type),
        r_addend: I64::new(ORDER, crel.r_addend),
    };
    alloc::try_collect(found.map(|crel| Ok(rela(crel.map_err(invalid)?))), "relocations")
}

/// Limits the total length of names: they may overlap in the string table, and add up to far more than its size.
fn check_names(total: &mut usize, name: &[u8]) -> Result<()> {
    *total += name.len();
    if *total > MAX_STRINGS {
        return Err(Error::new(Status::Limit, format!("names: expected at most {MAX_STRINGS} bytes, found more")));
    }
    Ok(())
}

fn data<'a>(table: &SectionTable<'a, Header>, index: SectionIndex, bytes: &'a [u8]) -> object::read::Result<&'a [u8]> {
    let section: &SectionHeader64<LittleEndian> = table.section(index)?;
    section.data(ORDER, bytes)
}

/// Checks that the bytes are a little-endian ELF64 relocatable object, and returns its machine.
pub(super) fn check_kind(bytes: &[u8]) -> Result<&'static Machine> {
    foreign::check(bytes, "a relocatable object (ET_REL, as cc -c makes)")?;
    let extent = extent_of(bytes).map_err(|error| match error.status() {
        Status::NotAnArtifact => Error::corrupt(error.message().to_owned()),
        _ => error,
    })?;
    if extent.kind != elf::ET_REL.0 {
        let found = match elf::FileType(extent.kind) {
            elf::ET_EXEC => "a program",
            elf::ET_DYN => "a shared object; add it as a module",
            elf::ET_CORE => "a core dump",
            _ => "another kind of ELF",
        };
        let message = format!("expected a relocatable object (ET_REL, as cc -c makes), found {found}");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    match Machine::of(extent.machine) {
        Some(machine) if !extent.big_endian => Ok(machine),
        found => {
            let order = if found.is_some() { " in big-endian order" } else { "" };
            let known = machine::ALL.map(|machine| format!("{} (machine {})", machine.name, machine.number.0));
            let message = format!(
                "expected a little-endian object for {}, found machine {}{order}",
                known.join(" or "),
                extent.machine
            );
            Err(Error::new(Status::Unsupported, message))
        }
    }
}
