//! One ELF image inside an artifact: where it ends, how it wants to be aligned, what its sections and symbols are.
//!
//! An ELF has no length field. In an artifact it ends where its section header table ends, so that table has to come
//! last; [`Image::new`] sees to that for images made by tools that put it elsewhere. Field names follow the ELF gABI.

use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64, Sym64};
use object::pod;
use object::read::elf::{
    FileHeader as _, ProgramHeader as _, Rela as _, SectionHeader as _, SectionTable, Sym as _, SymbolTable,
};
use object::{Endianness, SectionIndex, SymbolIndex};

use super::{Fetch, align_up};
use crate::error::{Error, Result, Status, quote};
use crate::limits::{MAX_ALIGN, MAX_SECTIONS, SEGMENT_ALIGN};
use crate::memory;

/// Size of an ELF64 file header, and of a section header too.
pub const HEADER_SIZE: usize = size_of::<FileHeader64<Endianness>>();
const SECTION_SIZE: u64 = size_of::<SectionHeader64<Endianness>>() as u64;

/// What a reader learns of an image from its header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Bytes from the image's start to the end of its section header table.
    pub len: u64,
    /// `e_machine`.
    pub machine: u16,
    /// `e_type`.
    pub kind: u16,
    /// Whether multi-byte fields are big-endian.
    pub big_endian: bool,
}

/// Why bytes are no ELF64 image at all, as opposed to a damaged one.
fn not_elf64(bytes: &[u8]) -> Option<Error> {
    let found = bytes.get(..elf::ELFMAG.len())?;
    if found != elf::ELFMAG {
        let found: Vec<String> = found.iter().map(|byte| format!("{byte:02x}")).collect();
        let message = format!("expected an ELF image (magic 7f 45 4c 46), found bytes {}", found.join(" "));
        return Some(Error::new(Status::InvalidArgument, message));
    }
    let class = *bytes.get(4)?;
    (class != elf::ELFCLASS64.0).then(|| {
        let message = format!("expected a 64-bit ELF image (class 2), found class {class}");
        Error::new(Status::Unsupported, message)
    })
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(Status::Corrupt, message)
}

struct Header {
    raw: FileHeader64<Endianness>,
    order: Endianness,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<Header> {
        if let Some(error) = not_elf64(bytes) {
            return Err(error.at(0));
        }
        let (raw, _) =
            pod::from_bytes::<FileHeader64<Endianness>>(bytes).map_err(|()| corrupt("ELF header is cut short"))?;
        // `endian` takes every byte but 2 for little-endian.
        for (at, name, known) in [(5, "byte order", &[1u8, 2][..]), (6, "version", &[1])] {
            let found = bytes.get(at).copied().unwrap_or(0);
            if !known.contains(&found) {
                return Err(corrupt(format!("ELF {name}: expected one of {known:?}, found {found}")).at(at as u64));
            }
        }
        let order = raw.endian().map_err(|error| corrupt(format!("ELF byte order: {error}")))?;
        Ok(Header { raw: *raw, order })
    }

    /// Where the section header table, and with it the image, ends: within `available` bytes.
    fn len(&self, available: u64, fetch: &mut impl Fetch, base: u64) -> Result<u64> {
        let offset = self.raw.e_shoff(self.order);
        if offset == 0 {
            return Err(Error::new(
                Status::NotAnArtifact,
                "expected an ELF image with section headers, found e_shoff 0",
            )
            .at(40));
        }
        if offset < HEADER_SIZE as u64 {
            return Err(corrupt(format!("e_shoff: expected at least {HEADER_SIZE}, found {offset}")).at(40));
        }
        let entry = u64::from(self.raw.e_shentsize(self.order));
        if entry != SECTION_SIZE {
            return Err(corrupt(format!("e_shentsize: expected {SECTION_SIZE}, found {entry}")).at(58));
        }
        let outside = |end: Option<u64>| {
            let found = end.map_or("an end beyond 2^64".to_owned(), |end| format!("an end at {end}"));
            let status = if end.is_some() { Status::Truncated } else { Status::Corrupt };
            let message =
                format!("section header table: expected to end within the {available} bytes there are, found {found}");
            Error::new(status, message).at(40)
        };
        let mut count = u64::from(self.raw.e_shnum(self.order));
        if count == 0 {
            // gABI, extended numbering: the true count stands in sh_size of section 0.
            let first_end = offset.checked_add(SECTION_SIZE);
            if first_end.is_none_or(|end| end > available) {
                return Err(outside(first_end));
            }
            let mut first = [0; SECTION_SIZE as usize];
            fetch.fetch(base.saturating_add(offset), &mut first)?;
            let (first, _) = pod::from_bytes::<SectionHeader64<Endianness>>(&first)
                .map_err(|()| corrupt("section header 0 is cut short"))?;
            count = first.sh_size(self.order);
        }
        if count < 2 {
            return Err(corrupt(format!("number of sections: expected at least 2, found {count}")).at(60));
        }
        let end = count.checked_mul(SECTION_SIZE).and_then(|size| offset.checked_add(size));
        match end {
            Some(end) if end <= available => {
                if count > MAX_SECTIONS {
                    let message = format!("number of sections: expected at most {MAX_SECTIONS}, found {count}");
                    return Err(Error::new(Status::Limit, message).at(60));
                }
                Ok(end)
            }
            end => Err(outside(end)),
        }
    }
}

/// The extent of the image that starts at `base`, of which `available` bytes exist.
///
/// # Errors
///
/// INVALID_ARGUMENT if it is no ELF, UNSUPPORTED if it is no ELF64, NOT_AN_ARTIFACT if it has no section headers,
/// TRUNCATED if it promises more than `available`, CORRUPT or LIMIT otherwise. Offsets count from the image's start.
pub fn extent(fetch: &mut impl Fetch, base: u64, available: u64) -> Result<Extent> {
    let mut bytes = [0; HEADER_SIZE];
    let present = usize::try_from(available).unwrap_or(usize::MAX).min(HEADER_SIZE);
    let (head, _) = bytes.split_at_mut(present);
    fetch.fetch(base, head)?;
    if present < HEADER_SIZE {
        let cut = format!("expected an ELF header of {HEADER_SIZE} bytes, found {available} bytes");
        return Err(not_elf64(head).unwrap_or_else(|| {
            let promised = present >= elf::ELFMAG.len();
            Error::new(if promised { Status::Truncated } else { Status::InvalidArgument }, cut)
        }));
    }
    let header = Header::parse(&bytes)?;
    let len = header.len(available, fetch, base)?;
    Ok(Extent {
        len,
        machine: header.raw.e_machine(header.order).0,
        kind: header.raw.e_type(header.order).0,
        big_endian: header.order == Endianness::Big,
    })
}

/// The extent of the image that begins these bytes; as [`extent`].
///
/// # Errors
///
/// As [`extent`].
pub fn extent_of(bytes: &[u8]) -> Result<Extent> {
    extent(&mut Slice(bytes), 0, bytes.len() as u64)
}

struct Slice<'a>(&'a [u8]);

impl Fetch for Slice<'_> {
    fn fetch(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(buffer.len())?))
            .ok_or_else(|| Error::new(Status::Truncated, "image ends inside its headers"))?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// What has to change about an image so that its section header table is the last thing in it.
#[derive(Clone, Debug)]
pub struct Image {
    /// Stands in place of as many first bytes: the header, patched where the table had to move; otherwise empty.
    pub head: Vec<u8>,
    /// Follows the image: zeros and a copy of the table where it had to move; otherwise empty.
    pub tail: Vec<u8>,
    /// What the image's offset in the file is a multiple of.
    pub align: u64,
}

impl Image {
    /// Checks an image that somebody wants to store: everything that its headers point at lies inside it.
    ///
    /// # Errors
    ///
    /// As [`extent`], and LIMIT for an alignment over 2 MiB.
    pub fn new(bytes: &[u8]) -> Result<Image> {
        let available = bytes.len() as u64;
        // The same refusals, with the same words, as for an image in a file.
        let extent = extent_of(bytes).map_err(|error| match error.status() {
            // For a module on its own there is no question whether it is ours.
            Status::NotAnArtifact => corrupt(error.message().to_owned()).at(40),
            _ => error,
        })?;
        let module = Module::parse(bytes)?;
        for index in 0..module.section_count() {
            module.section(index)?.check_inside(bytes)?;
        }
        let align = module.align()?;
        if extent.len == available {
            return Ok(Image { head: Vec::new(), tail: Vec::new(), align });
        }
        let overflow = || corrupt("image is too large to move its section header table");
        let moved = align_up(available, 8).ok_or_else(overflow)?;
        let mut raw = *module.header;
        let start = usize::try_from(raw.e_shoff(module.order)).map_err(|_| overflow())?;
        let table = bytes.get(start..extent.len as usize).ok_or_else(overflow)?;
        raw.e_shoff.set(module.order, moved);
        let padding = (moved - available) as usize;
        let mut tail = memory::with_room(padding + table.len(), "a section header table")?;
        tail.resize(padding, 0);
        tail.extend_from_slice(table);
        Ok(Image { head: pod::bytes_of(&raw).to_vec(), tail, align })
    }
}

/// A checked view of one stored image.
pub struct Module<'a> {
    bytes: &'a [u8],
    header: &'a FileHeader64<Endianness>,
    order: Endianness,
    segments: &'a [ProgramHeader64<Endianness>],
    sections: SectionTable<'a, FileHeader64<Endianness>>,
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

impl<'a> Section<'a> {
    /// Its bytes within the image; none for SHT_NOBITS.
    ///
    /// # Errors
    ///
    /// CORRUPT if they lie outside the image.
    pub fn bytes(&self, image: &'a [u8]) -> Result<&'a [u8]> {
        self.check_inside(image)?;
        if self.kind == elf::SHT_NOBITS.0 {
            return Ok(&[]);
        }
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        Ok(image.get(start..start.saturating_add(size)).unwrap_or(&[]))
    }

    /// # Errors
    ///
    /// CORRUPT if its bytes lie outside the image.
    pub fn check_inside(&self, image: &[u8]) -> Result<()> {
        if matches!(self.kind, k if k == elf::SHT_NOBITS.0 || k == elf::SHT_NULL.0) {
            return Ok(());
        }
        match self.offset.checked_add(self.size) {
            Some(end) if end <= image.len() as u64 => Ok(()),
            _ => Err(corrupt(format!(
                "section '{}': expected to lie within the module's {} bytes, found offset {} and size {}",
                quote(self.name),
                image.len(),
                self.offset,
                self.size
            ))
            .at(self.offset)),
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
        let malformed = |what: &'static str| move |error: object::read::Error| corrupt(format!("{what}: {error}"));
        let header = FileHeader64::<Endianness>::parse(bytes).map_err(malformed("ELF header"))?;
        let order = header.endian().map_err(malformed("ELF byte order"))?;
        let segments = header.program_headers(order, bytes).map_err(malformed("program headers"))?;
        let sections = header.sections(order, bytes).map_err(malformed("section headers"))?;
        Ok(Module { bytes, header, order, segments, sections })
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
    /// NOT_FOUND if there is none, CORRUPT if its name is outside the string table.
    pub fn section(&self, index: usize) -> Result<Section<'a>> {
        let header = self.sections.section(SectionIndex(index)).map_err(|_| {
            let count = self.sections.len();
            Error::new(Status::NotFound, format!("expected a section index below {count}, found {index}"))
        });
        // object hands out no header for index 0, which gABI reserves.
        let header = match index {
            0 => self.sections.iter().next().ok_or_else(|| corrupt("module has no sections"))?,
            _ => header?,
        };
        let order = self.order;
        let name = if header.sh_name(order) == 0 && index == 0 {
            &[]
        } else {
            self.sections
                .section_name(order, header)
                .map_err(|_| corrupt(format!("name of section {index}: expected to lie within the string table")))?
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
        for index in 1..self.section_count() {
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
                return Err(corrupt(format!("alignment: expected a power of two, found {align}")));
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
    pub fn relocations(&self) -> Result<Vec<Relocations<'a>>> {
        let malformed = |error: object::read::Error| corrupt(format!("relocations: {error}"));
        let mips64el = false;
        let relocatable = self.header.e_type(self.order) == elf::ET_REL;
        let mut tables = Vec::new();
        for header in self.sections.iter() {
            let Some((entries, _)) = header.rela(self.order, self.bytes).map_err(malformed)? else { continue };
            let places =
                entries.iter().map(|entry| (entry.r_offset(self.order), u64::from(entry.r_sym(self.order, mips64el))));
            let entries = memory::collect(places, "relocations")?;
            let table = Relocations {
                name: self.sections.section_name(self.order, header).unwrap_or_default(),
                target: header.sh_info(self.order) as usize,
                relocatable,
                entries,
            };
            memory::push(&mut tables, table, "relocations")?;
        }
        Ok(tables)
    }

    /// The symbol table: `.symtab`, or `.dynsym` where there is no other.
    ///
    /// # Errors
    ///
    /// CORRUPT if the table or its strings lie outside the image.
    pub fn symbols(&self) -> Result<Symbols<'a>> {
        let malformed = |error: object::read::Error| corrupt(format!("symbol table: {error}"));
        let mut table = self.sections.symbols(self.order, self.bytes, elf::SHT_SYMTAB).map_err(malformed)?;
        if table.is_empty() {
            table = self.sections.symbols(self.order, self.bytes, elf::SHT_DYNSYM).map_err(malformed)?;
        }
        Ok(Symbols { table, order: self.order })
    }
}

/// One relocation section.
pub struct Relocations<'a> {
    /// The section's name.
    pub name: &'a [u8],
    /// Index of the section that it applies to.
    pub target: usize,
    /// Whether offsets count from that section's start, as in ET_REL, and aren't addresses.
    pub relocatable: bool,
    /// Offset and symbol index of each.
    pub entries: Vec<(u64, u64)>,
}

/// A module's symbols.
pub struct Symbols<'a> {
    table: SymbolTable<'a, FileHeader64<Endianness>>,
    order: Endianness,
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
    /// NOT_FOUND if there is none, CORRUPT if its name is outside the string table.
    pub fn get(&self, index: usize) -> Result<Symbol<'a>> {
        let raw: &Sym64<Endianness> = self.table.iter().nth(index).ok_or_else(|| {
            let count = self.count();
            Error::new(Status::NotFound, format!("expected a symbol index below {count}, found {index}"))
        })?;
        let name = if raw.st_name(self.order) == 0 {
            &[]
        } else {
            raw.name(self.order, self.table.strings())
                .map_err(|_| corrupt(format!("name of symbol {index}: expected to lie within the string table")))?
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
