//! What is in an ELF image: a checked view of its sections, symbols and relocations. Field names follow the ELF gABI.

use std::ffi::CStr;

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::read::elf::{
    FileHeader as _, ProgramHeader as _, Rela as _, SectionHeader as _, SectionTable, Sym as _, SymbolTable,
};
use object::{Endianness, SectionIndex, SymbolIndex};

use crate::error::{Error, Result, Status, quote};
use crate::limits::{MAX_ALIGN, MAX_NAME, SEGMENT_ALIGN};

type Header = FileHeader64<Endianness>;

fn malformed(what: &'static str) -> impl Fn(object::read::Error) -> Error {
    move |error| Error::corrupt(format!("{what}: {error}"))
}

/// The text at an offset of a string table. Looks no further than the longest name goes: names may overlap.
pub(crate) fn name_at<'a>(strings: &'a [u8], offset: u32, what: &str, index: usize) -> Result<&'a [u8]> {
    let outside = || Error::corrupt(format!("name of {what} {index}: expected to lie within the string table"));
    let rest = strings.get(offset as usize..).ok_or_else(outside)?;
    let window = rest.get(..=MAX_NAME).unwrap_or(rest);
    match CStr::from_bytes_until_nul(window).ok() {
        Some(name) => Ok(name.to_bytes()),
        None if window.len() < rest.len() => {
            let message = format!("name of {what} {index}: expected at most {MAX_NAME} bytes, found more");
            Err(Error::new(Status::Limit, message))
        }
        None => Err(outside()),
    }
}

/// A checked view of one stored image.
pub struct Module<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    order: Endianness,
    segments: &'a [ProgramHeader64<Endianness>],
    sections: SectionTable<'a, Header>,
    names: &'a [u8],
}

/// One section of a module.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// Its name, as stored.
    pub name: &'a [u8],
    /// `sh_offset`, from the image's start.
    pub offset: u64,
    /// `sh_size`.
    pub size: u64,
    /// `sh_addralign`.
    pub align: u64,
    /// `sh_addr`.
    pub address: u64,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
}

impl<'a> Section<'a> {
    /// Whether the image has bytes for it.
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        ![elf::SHT_NULL.0, elf::SHT_NOBITS.0].contains(&self.kind)
    }

    /// Its bytes within the image; none for SHT_NOBITS and the null section.
    ///
    /// # Errors
    ///
    /// CORRUPT if they lie outside the image.
    pub fn bytes(&self, image: &'a [u8]) -> Result<&'a [u8]> {
        self.check_inside(image)?;
        if !self.has_bytes() {
            return Ok(&[]);
        }
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        Ok(image.get(start..start.saturating_add(size)).unwrap_or(&[]))
    }

    /// Checks that the image has its bytes.
    ///
    /// # Errors
    ///
    /// CORRUPT if its bytes lie outside the image.
    pub fn check_inside(&self, image: &[u8]) -> Result<()> {
        let Section { offset, size, .. } = *self;
        match offset.checked_add(size) {
            _ if !self.has_bytes() => Ok(()),
            Some(end) if end <= image.len() as u64 => Ok(()),
            _ => Err(Error::corrupt(format!(
                "section '{}': expected to lie within the module's {} bytes, found offset {offset} and size {size}",
                quote(self.name),
                image.len(),
            ))),
        }
    }
}

impl<'a> Module<'a> {
    /// Reads the headers of an image whose extent is known.
    ///
    /// # Errors
    ///
    /// CORRUPT if a table lies outside the image.
    pub fn parse(bytes: &'a [u8]) -> Result<Module<'a>> {
        let header = Header::parse(bytes).map_err(malformed("ELF header"))?;
        let order = header.endian().map_err(malformed("ELF byte order"))?;
        let segments = header.program_headers(order, bytes).map_err(malformed("program headers"))?;
        let sections = header.sections(order, bytes).map_err(malformed("section headers"))?;
        let names = header.shstrndx(order, bytes).map_err(malformed("section names"))?;
        let mut module = Module { bytes, header, order, segments, sections, names: &[] };
        if names != 0 {
            module.names = module.data(SectionIndex(names as usize)).map_err(malformed("section names"))?;
        }
        Ok(module)
    }

    fn data(&self, index: SectionIndex) -> object::read::Result<&'a [u8]> {
        self.sections.section(index)?.data(self.order, self.bytes)
    }

    /// The file header and the byte order of everything.
    pub(super) fn header(&self) -> (Header, Endianness) {
        (*self.header, self.order)
    }

    /// Number of sections, the null section among them.
    #[must_use]
    pub fn section_count(&self) -> usize {
        self.sections.len()
    }

    /// A section by its index.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is none, CORRUPT or LIMIT for its name.
    pub fn section(&self, index: usize) -> Result<Section<'a>> {
        // `section` hands out no header for index 0, which gABI reserves; the iterator does.
        let header = match index {
            0 => self.sections.iter().next(),
            _ => self.sections.section(SectionIndex(index)).ok(),
        };
        let header: &SectionHeader64<Endianness> = header.ok_or_else(|| {
            let count = self.sections.len();
            Error::new(Status::NotFound, format!("section index: expected one below {count}, found {index}"))
        })?;
        let order = self.order;
        let name = match header.sh_name(order) {
            0 if index == 0 => &[],
            offset => name_at(self.names, offset, "section", index)?,
        };
        Ok(Section {
            name,
            offset: header.sh_offset(order),
            size: header.sh_size(order),
            align: header.sh_addralign(order),
            address: header.sh_addr(order),
            kind: header.sh_type(order).0,
            flags: header.sh_flags(order).0,
        })
    }

    /// The first section of that name.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if no section has it.
    pub fn section_named(&self, name: &[u8]) -> Result<Section<'a>> {
        // Those without a name are not to be found by it.
        for index in if name.is_empty() { 0..0 } else { 1..self.section_count() } {
            let section = self.section(index)?;
            if section.name == name {
                return Ok(section);
            }
        }
        Err(Error::new(Status::NotFound, format!("no section is named '{}'", quote(name))))
    }

    /// What an image's offset in an artifact is a multiple of: the largest alignment of its sections, and of its PT_LOAD
    /// segments up to 64 KiB. Linkers align segments to pages whose sections are content with less.
    ///
    /// # Errors
    ///
    /// CORRUPT for an alignment that is no power of two, LIMIT for one over 2 MiB.
    pub fn align(&self) -> Result<u64> {
        let sections = self.sections.iter().map(|section| (section.sh_addralign(self.order), u64::MAX));
        let segments = self
            .segments
            .iter()
            .filter(|segment| segment.p_type(self.order) == elf::PT_LOAD)
            .map(|segment| (segment.p_align(self.order), SEGMENT_ALIGN));
        let mut largest = 1;
        for (align, most) in sections.chain(segments) {
            if align > 1 && !align.is_power_of_two() {
                return Err(Error::corrupt(format!("alignment: expected a power of two, found {align}")));
            }
            largest = largest.max(align.min(most));
        }
        if largest > MAX_ALIGN {
            return Err(Error::new(Status::Limit, format!("alignment: expected at most {MAX_ALIGN}, found {largest}")));
        }
        Ok(largest)
    }

    /// The relocation sections with addends, which are the only ones on the machines that we know.
    ///
    /// # Errors
    ///
    /// CORRUPT if one lies outside the image.
    pub fn relocations(&self) -> impl Iterator<Item = Result<Relocations<'a>>> + '_ {
        let tables = self.sections.iter().enumerate().filter(|(_, header)| header.sh_type(self.order) == elf::SHT_RELA);
        tables.map(|(index, header)| {
            let found = header.rela(self.order, self.bytes).map_err(malformed("relocations"))?;
            let (entries, link) = found.unwrap_or((&[], SectionIndex(0)));
            // A table of a shared object that needs no symbol names none.
            let symbols = self.sections.section(link).map_or(0, |table| table.sh_size(self.order) / SYMBOL_SIZE);
            Ok(Relocations {
                name: self.section(index)?.name,
                target: header.sh_info(self.order) as usize,
                relocatable: self.header.e_type(self.order) == elf::ET_REL,
                symbols,
                entries,
                order: self.order,
            })
        })
    }

    /// The symbol table: `.symtab`, or `.dynsym` where there is no other.
    ///
    /// # Errors
    ///
    /// CORRUPT if the table or its strings lie outside the image.
    pub fn symbols(&self) -> Result<Symbols<'a>> {
        let wrong = malformed("symbol table");
        let mut table = self.sections.symbols(self.order, self.bytes, elf::SHT_SYMTAB).map_err(&wrong)?;
        if table.is_empty() {
            table = self.sections.symbols(self.order, self.bytes, elf::SHT_DYNSYM).map_err(&wrong)?;
        }
        let names = if table.is_empty() { &[] } else { self.data(table.string_section()).map_err(wrong)? };
        Ok(Symbols { table, order: self.order, names })
    }
}

const SYMBOL_SIZE: u64 = size_of::<Sym64<Endianness>>() as u64;

/// One relocation section.
pub struct Relocations<'a> {
    /// The section's name.
    pub name: &'a [u8],
    /// Index of the section that it applies to.
    pub target: usize,
    /// Whether offsets count from that section's start, as in ET_REL, and aren't addresses.
    pub relocatable: bool,
    /// How many symbols its symbol table has.
    pub symbols: u64,
    entries: &'a [elf::Rela64<Endianness>],
    order: Endianness,
}

impl Relocations<'_> {
    /// Offset and symbol index of each entry.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mips64el = false;
        self.entries.iter().map(move |entry| (entry.r_offset(self.order), entry.r_sym(self.order, mips64el).into()))
    }

    /// Bytes of the table.
    #[must_use]
    pub fn size(&self) -> u64 {
        size_of_val(self.entries) as u64
    }
}

/// One symbol of a module.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'a> {
    /// Its name, as stored.
    pub name: &'a [u8],
    /// `st_value`.
    pub value: u64,
    /// `st_size`.
    pub size: u64,
    /// `st_shndx`, extended numbering resolved.
    pub section: u32,
    /// `st_type`.
    pub kind: u8,
    /// `st_bind`.
    pub binding: u8,
}

impl Symbol<'_> {
    /// Whether its value is the place of code or data: of no section or file, no number, and none of the marks that
    /// assemblers put between code and data on Arm machines.
    #[must_use]
    pub fn is_place(&self) -> bool {
        let kinds = [elf::STT_NOTYPE.0, elf::STT_OBJECT.0, elf::STT_FUNC.0, elf::STT_GNU_IFUNC.0];
        let placed = self.section != 0 && ![elf::SHN_ABS.0, elf::SHN_COMMON.0].map(u32::from).contains(&self.section);
        placed && kinds.contains(&self.kind) && !self.name.is_empty() && !self.name.starts_with(b"$")
    }
}

/// A module's symbols.
pub struct Symbols<'a> {
    table: SymbolTable<'a, Header>,
    order: Endianness,
    names: &'a [u8],
}

impl<'a> Symbols<'a> {
    /// How many, the null symbol among them.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// A symbol by its index.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is none, CORRUPT or LIMIT for its name.
    pub fn get(&self, index: usize) -> Result<Symbol<'a>> {
        let raw: &Sym64<Endianness> = self.table.iter().nth(index).ok_or_else(|| {
            let count = self.count();
            Error::new(Status::NotFound, format!("symbol index: expected one below {count}, found {index}"))
        })?;
        let name = match raw.st_name(self.order) {
            0 => &[],
            offset => name_at(self.names, offset, "symbol", index)?,
        };
        let section = match raw.st_shndx(self.order) {
            elf::SHN_XINDEX => self.table.shndx(self.order, SymbolIndex(index)).unwrap_or(0),
            plain => u32::from(plain.0),
        };
        Ok(Symbol {
            name,
            value: raw.st_value(self.order),
            size: raw.st_size(self.order),
            section,
            kind: raw.st_type().0,
            binding: raw.st_bind().0,
        })
    }

    /// The symbol of that name that a linker would take: a defined global one before a weak, a local, and an undefined one.
    /// Of several alike the first.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if no symbol has it.
    pub fn named(&self, name: &[u8]) -> Result<Symbol<'a>> {
        let rank = |symbol: &Symbol<'_>| match symbol.binding {
            _ if symbol.section == u32::from(elf::SHN_UNDEF.0) => 3,
            binding if binding == elf::STB_LOCAL.0 => 2,
            binding if binding == elf::STB_WEAK.0 => 1,
            _ => 0,
        };
        let mut best: Option<Symbol<'a>> = None;
        // Symbols without a name, of sections for instance, are not to be found by it.
        for index in if name.is_empty() { 0..0 } else { 1..self.count() } {
            let symbol = self.get(index)?;
            if symbol.name == name && best.as_ref().is_none_or(|best| rank(&symbol) < rank(best)) {
                best = Some(symbol);
            }
        }
        best.ok_or_else(|| Error::new(Status::NotFound, format!("no symbol is named '{}'", quote(name))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_within_their_table_and_the_limit() {
        let table = b"\0.text\0cut";
        assert_eq!(name_at(table, 1, "section", 1).unwrap(), b".text");
        assert_eq!(name_at(table, 3, "section", 1).unwrap(), b"ext", "names may overlap");
        assert_eq!(name_at(table, 0, "section", 1).unwrap(), b"");
        for outside in [7, 10, 11, u32::MAX] {
            assert_eq!(name_at(table, outside, "section", 1).unwrap_err().status(), Status::Corrupt, "{outside}");
        }
        let mut long = vec![b'a'; MAX_NAME + 1];
        long.push(0);
        assert_eq!(name_at(&long, 1, "symbol", 1).unwrap().len(), MAX_NAME);
        assert_eq!(name_at(&long, 0, "symbol", 1).unwrap_err().status(), Status::Limit);
    }
}
