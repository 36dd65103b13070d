//! A checked view of an ELF image's sections, symbols and relocations. Field names follow the ELF gABI.

use std::ffi::CStr;
use std::ops::Range;

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::read::elf::{FileHeader as _, ProgramHeader as _, Rela as _, SectionHeader as _, SectionTable};
use object::{Endianness, SectionIndex, pod};

use crate::error::{Error, Result, Status, quote};
use crate::limits::{MAX_ALIGN, MAX_NAME, MAX_SEGMENT_ALIGN};

pub use super::symbols::{Symbol, Symbols};

type Header = FileHeader64<Endianness>;

/// What is wrong with an image. It takes no memory, as an [`Error`] does.
struct Malformed {
    what: &'static str,
    /// None: it lies outside of the module.
    error: Option<object::read::Error>,
}

impl From<Malformed> for Error {
    #[cold]
    fn from(Malformed { what, error }: Malformed) -> Error {
        Error::corrupt(match error {
            Some(error) => format!("{what}: {error}"),
            None => format!("{what}: expected it to lie within the module"),
        })
    }
}

fn malformed(what: &'static str) -> impl Fn(object::read::Error) -> Malformed {
    move |error| Malformed { what, error: Some(error) }
}

/// Returns the NUL-terminated name at `offset` of a string table, unless it is longer than a name may be or doesn't end there.
pub(super) fn name_in(strings: &[u8], offset: u32) -> Option<&[u8]> {
    let rest = strings.get(offset as usize..)?;
    CStr::from_bytes_until_nul(rest.get(..=MAX_NAME).unwrap_or(rest)).ok().map(CStr::to_bytes)
}

/// Returns the NUL-terminated name at `offset` of a string table. The search stops at the length limit: names may overlap, so
/// reading all of them to their ends could take far longer than the table is.
pub(crate) fn name_at<'a>(strings: &'a [u8], offset: u32, what: &str, index: usize) -> Result<&'a [u8]> {
    name_in(strings, offset).ok_or_else(|| {
        if strings.len().saturating_sub(offset as usize) > MAX_NAME + 1 {
            let message = format!("name of {what} {index}: expected at most {MAX_NAME} bytes, found more");
            return Error::new(Status::Limit, message);
        }
        Error::corrupt(format!("name of {what} {index}: expected to lie within the string table"))
    })
}

/// Returns whether the name at `offset` of a string table is `name`, without looking for the end of another name. None if it doesn't
/// end within the table, whose last NUL is at `last`.
pub(super) fn is_name_at(strings: &[u8], last: Option<usize>, offset: u32, name: &[u8]) -> Option<bool> {
    let offset = offset as usize;
    let rest = strings.get(offset..).filter(|_| last.is_some_and(|last| offset <= last))?;
    Some(rest.starts_with(name) && rest.get(name.len()) == Some(&0))
}

pub(super) fn last_nul(strings: &[u8]) -> Option<usize> {
    strings.iter().rposition(|byte| *byte == 0)
}

/// A checked view of one ELF image.
pub struct Module<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    endian: Endianness,
    segments: &'a [ProgramHeader64<Endianness>],
    sections: SectionTable<'a, Header>,
    names: &'a [u8],
    name_section: usize,
}

/// One section of a module.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// The section's name, as stored.
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
    /// Returns whether the image holds bytes for the section.
    #[must_use]
    pub fn has_bytes(&self) -> bool {
        ![elf::SHT_NULL.0, elf::SHT_NOBITS.0].contains(&self.kind)
    }

    /// Returns the section's bytes in `image`; an empty slice for SHT_NOBITS and the null section.
    ///
    /// # Errors
    ///
    /// CORRUPT if the bytes lie outside the image.
    pub fn bytes(&self, image: &'a [u8]) -> Result<&'a [u8]> {
        self.check_inside(image)?;
        if !self.has_bytes() {
            return Ok(&[]);
        }
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        Ok(image.get(start..start.saturating_add(size)).unwrap_or(&[]))
    }

    /// Checks that the section's bytes lie inside `image`.
    ///
    /// # Errors
    ///
    /// CORRUPT if they do not.
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
    /// Parses the headers of an image, of which `bytes` are the whole extent.
    ///
    /// # Errors
    ///
    /// CORRUPT if a header is invalid or a table lies outside the image.
    pub fn parse(bytes: &'a [u8]) -> Result<Module<'a>> {
        Ok(Module::read(bytes)?)
    }

    fn read(bytes: &'a [u8]) -> std::result::Result<Module<'a>, Malformed> {
        let header = Header::parse(bytes).map_err(malformed("ELF header"))?;
        let endian = header.endian().map_err(malformed("ELF byte order"))?;
        let segments = header.program_headers(endian, bytes).map_err(malformed("program headers"))?;
        let sections = header.sections(endian, bytes).map_err(malformed("section headers"))?;
        let names = header.shstrndx(endian, bytes).map_err(malformed("section names"))?;
        let name_section = names as usize;
        let mut module = Module { bytes, header, endian, segments, sections, names: &[], name_section };
        if names != 0 {
            module.names = module.data(SectionIndex(name_section)).map_err(malformed("section names"))?;
        }
        Ok(module)
    }

    fn data(&self, index: SectionIndex) -> object::read::Result<&'a [u8]> {
        self.sections.section(index)?.data(self.endian, self.bytes)
    }

    /// Returns the file header and the byte order of the image.
    pub(super) fn header(&self) -> (Header, Endianness) {
        (*self.header, self.endian)
    }

    /// Returns where in the image the names of its sections are.
    #[must_use]
    pub(crate) fn names_range(&self) -> Range<u64> {
        let headers = self.sections.section(SectionIndex(self.name_section));
        let range = headers.ok().and_then(|header| header.file_range(self.endian));
        range.map_or(0..0, |(start, len)| start..start.saturating_add(len))
    }

    /// Returns the number of sections, including the null section.
    #[must_use]
    pub fn section_count(&self) -> usize {
        self.sections.len()
    }

    /// Returns the section with index `index`.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if the index is out of range, CORRUPT or LIMIT if the section's name is invalid or too long.
    pub fn section(&self, index: usize) -> Result<Section<'a>> {
        // `SectionTable::section` refuses index 0, which the gABI reserves; the iterator does not.
        let header = match index {
            0 => self.sections.iter().next(),
            _ => self.sections.section(SectionIndex(index)).ok(),
        };
        let header: &SectionHeader64<Endianness> = header.ok_or_else(|| {
            let count = self.sections.len();
            Error::new(Status::NotFound, format!("section index: expected one below {count}, found {index}"))
        })?;
        let endian = self.endian;
        let name = match header.sh_name(endian) {
            0 if index == 0 => &[],
            offset => name_at(self.names, offset, "section", index)?,
        };
        Ok(Section {
            name,
            offset: header.sh_offset(endian),
            size: header.sh_size(endian),
            align: header.sh_addralign(endian),
            address: header.sh_addr(endian),
            kind: header.sh_type(endian).0,
            flags: header.sh_flags(endian).0,
        })
    }

    /// Returns the first section named `name`.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if no section has that name, which is always so for the empty name; CORRUPT if the name of a section before it is
    /// invalid; LIMIT if its own is too long.
    pub fn section_named(&self, name: &[u8]) -> Result<Section<'a>> {
        // The empty name finds nothing, although there are sections without a name.
        let last = last_nul(self.names);
        let headers = self.sections.iter().enumerate().skip(1).filter(|_| !name.is_empty());
        for (index, header) in headers {
            if is_name_at(self.names, last, header.sh_name(self.endian), name) != Some(false) {
                let section = self.section(index)?;
                if section.name == name {
                    return Ok(section);
                }
            }
        }
        Err(Error::new(Status::NotFound, format!("no section is named '{}'", quote(name))))
    }

    /// Returns the alignment that the image's offset in an artifact needs: the largest alignment of its sections, and of its
    /// PT_LOAD segments up to 64 KiB. Linkers align segments to pages even if their sections need less.
    ///
    /// # Errors
    ///
    /// CORRUPT for an alignment that is not a power of two, LIMIT for one over 2 MiB.
    pub fn align(&self) -> Result<u64> {
        let sections = self.sections.iter().map(|section| (section.sh_addralign(self.endian), u64::MAX));
        let segments = self
            .segments
            .iter()
            .filter(|segment| segment.p_type(self.endian) == elf::PT_LOAD)
            .map(|segment| (segment.p_align(self.endian), MAX_SEGMENT_ALIGN));
        let mut largest = 1;
        for (align, max) in sections.chain(segments) {
            if align > 1 && !align.is_power_of_two() {
                return Err(Error::corrupt(format!("alignment: expected a power of two, found {align}")));
            }
            largest = largest.max(align.min(max));
        }
        if largest > MAX_ALIGN {
            return Err(Error::new(Status::Limit, format!("alignment: expected at most {MAX_ALIGN}, found {largest}")));
        }
        Ok(largest)
    }

    /// Returns the SHT_RELA sections. The supported machines use no others.
    ///
    /// # Errors
    ///
    /// An item is CORRUPT if the section lies outside the image.
    pub fn relocations(&self) -> impl Iterator<Item = Result<Relocations<'a>>> + '_ {
        let tables =
            self.sections.iter().enumerate().filter(|(_, header)| header.sh_type(self.endian) == elf::SHT_RELA);
        tables.map(|(index, header)| {
            let found = header.rela(self.endian, self.bytes).map_err(malformed("relocations"))?;
            let (entries, link) = found.unwrap_or((&[], SectionIndex(0)));
            // A relocation section of a shared object has no symbol table if none of its relocations refers to a symbol.
            let symbols = self.sections.section(link).map_or(0, |table| table.sh_size(self.endian) / SYMBOL_SIZE);
            Ok(Relocations {
                name: self.section(index)?.name,
                target: header.sh_info(self.endian) as usize,
                relocatable: self.header.e_type(self.endian) == elf::ET_REL,
                symbols,
                entries,
                endian: self.endian,
            })
        })
    }

    /// Finds the symbol table: `.symtab`, or `.dynsym` if the image has no `.symtab`. This looks at every section.
    ///
    /// # Errors
    ///
    /// CORRUPT if the table or its strings lie outside the image.
    pub fn symbol_tables(&self) -> Result<SymbolTables> {
        Ok(self.find_symbols()?)
    }

    fn find_symbols(&self) -> std::result::Result<SymbolTables, Malformed> {
        let wrong = malformed("symbol table");
        let mut table = self.sections.symbols(self.endian, self.bytes, elf::SHT_SYMTAB).map_err(&wrong)?;
        if table.is_empty() {
            table = self.sections.symbols(self.endian, self.bytes, elf::SHT_DYNSYM).map_err(&wrong)?;
        }
        if table.is_empty() {
            return Ok(SymbolTables::default());
        }
        let part = |index: SectionIndex| {
            let (start, size) = self.sections.section(index).map_err(&wrong)?.file_range(self.endian).unwrap_or((0, 0));
            let end = start.checked_add(size).filter(|end| *end <= self.bytes.len() as u64).ok_or(OUTSIDE)?;
            Ok(start as usize..end as usize) // within memory
        };
        let extended = table.shndx_section();
        Ok(SymbolTables {
            symbols: part(table.section())?,
            names: part(table.string_section())?,
            extended: if extended.0 == 0 { 0..0 } else { part(extended)? },
        })
    }

    /// Returns the symbols of tables that [`Module::symbol_tables`] has found in this image.
    ///
    /// # Errors
    ///
    /// CORRUPT if they lie outside the image.
    pub fn symbols_in(&self, tables: &SymbolTables) -> Result<Symbols<'a>> {
        Ok(self.read_symbols(tables)?)
    }

    fn read_symbols(&self, tables: &SymbolTables) -> std::result::Result<Symbols<'a>, Malformed> {
        let part = |range: &Range<usize>| self.bytes.get(range.clone()).ok_or(OUTSIDE);
        let (symbols, extended) = (part(&tables.symbols)?, part(&tables.extended)?);
        Ok(Symbols {
            table: pod::slice_from_all_bytes(symbols).map_err(|()| OUTSIDE)?,
            extended: pod::slice_from_all_bytes(extended).map_err(|()| OUTSIDE)?,
            endian: self.endian,
            names: part(&tables.names)?,
        })
    }

    /// Returns the function or object of an image that contains an address: the innermost one of known size, or else the last symbol
    /// without a size before the address. Takes no memory and no lock: signal handlers may call it. A damaged image has none.
    #[must_use]
    pub fn symbol_at(bytes: &'a [u8], address: u64) -> Option<Symbol<'a>> {
        let module = Module::read(bytes).ok()?;
        module.read_symbols(&module.find_symbols().ok()?).ok()?.at(address)
    }

    /// Returns the symbols of the table that [`Module::symbol_tables`] finds.
    ///
    /// # Errors
    ///
    /// As [`Module::symbol_tables`].
    pub fn symbols(&self) -> Result<Symbols<'a>> {
        self.symbols_in(&self.symbol_tables()?)
    }
}

/// The ranges of a module's symbol table, its string table and its SHT_SYMTAB_SHNDX table in the image; empty if it has none.
#[derive(Clone, Debug, Default)]
pub struct SymbolTables {
    symbols: Range<usize>,
    names: Range<usize>,
    extended: Range<usize>,
}

const OUTSIDE: Malformed = Malformed { what: "symbol table", error: None };

const SYMBOL_SIZE: u64 = size_of::<Sym64<Endianness>>() as u64;

/// An SHT_RELA section.
pub struct Relocations<'a> {
    /// The section's name.
    pub name: &'a [u8],
    /// Index of the section that the relocations apply to.
    pub target: usize,
    /// Whether offsets count from the start of that section, as in ET_REL, rather than being addresses.
    pub relocatable: bool,
    /// Number of symbols in the associated symbol table.
    pub symbols: u64,
    entries: &'a [elf::Rela64<Endianness>],
    endian: Endianness,
}

impl Relocations<'_> {
    /// Returns the offset and symbol index of each entry.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mips64el = false;
        self.entries.iter().map(move |entry| (entry.r_offset(self.endian), entry.r_sym(self.endian, mips64el).into()))
    }

    /// Returns the size of the table in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        size_of_val(self.entries) as u64
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
