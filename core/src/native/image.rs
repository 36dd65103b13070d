//! A checked view of an image's segments, dynamic tables, relocations and symbols. Every offset and count is compared with the bytes
//! of the image before it is used, and nothing here is unsafe. Field names follow the ELF gABI.
//!
//! No table is read from bytes that relocations are written to, even if the image is read where it is mapped.

mod bytes;
mod dynamic;
mod segments;
mod symbols;
mod thread_local;
mod unwind;
mod versions;

use std::ops::Range;

use object::LittleEndian as Le;
use object::elf::{self, FileHeader64, ProgramHeader64};

pub use bytes::Bytes;
pub use segments::Segment;
pub use symbols::Symbols;
pub(super) use symbols::gnu_hash;
pub use thread_local::{ThreadLocal, Variable};
pub use unwind::UnwindTable;
pub use versions::Needed;

use crate::error::{Error, Result, Status};
use crate::format::elf::Identity;
use crate::limits::{MAX_ADDRESSES, MAX_SEGMENT_ALIGN};
use crate::native::eh_frame::{self, Checked, Format, Scope, Table};
use bytes::{slice_at, word};
use segments::{load_segments, max_alignment};
use symbols::wrong_tables;

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(Status::Unsupported, message)
}

/// How symbols are found by name.
#[derive(Clone, Copy, Debug)]
enum Hash {
    Gnu(u64),
    Sysv(u64),
    /// Every symbol is looked at: there is no table of exports.
    None,
}

/// The addresses and offsets of everything in an image. Addresses are the image's own; ranges are offsets in its bytes and lie
/// within them.
#[derive(Debug)]
pub struct Tables {
    /// PT_LOAD, ascending. No two share a page.
    pub segments: Vec<Segment>,
    /// The image's length in bytes.
    image: usize,
    /// The address of the first page.
    pub start: u64,
    /// The number of bytes from there to the end of the last page, at least one page.
    pub len: u64,
    /// The bias is a multiple of this.
    pub align: u64,
    /// DT_RELA and DT_JMPREL, or `.rela.text` of a Wasmtime module.
    pub relocations: [Range<usize>; 2],
    /// DT_RELR.
    pub relative: Range<usize>,
    /// DT_INIT and DT_FINI.
    pub init: Option<u64>,
    /// See `init`.
    pub fini: Option<u64>,
    /// DT_INIT_ARRAY: the address and the number of pointers.
    pub init_array: (u64, u64),
    /// See `init_array`.
    pub fini_array: (u64, u64),
    /// PT_GNU_RELRO, rounded down to whole pages. It may reach beyond writable segments, whose part of it is
    /// [`Tables::relro_of`].
    relro: Range<u64>,
    /// PT_TLS.
    pub thread_local: Option<ThreadLocal>,
    /// `.eh_frame`, in a read-only segment.
    pub eh_frame: Option<UnwindTable>,
    /// `e_machine`.
    machine: u16,
    symbols: Range<usize>,
    strings: Range<usize>,
    hash: Hash,
    /// DT_VERSYM, up to the end of its segment; empty if symbols have no versions.
    versions: Range<usize>,
    /// DT_VERNEED, likewise.
    needed: Range<usize>,
    /// DT_VERNEEDNUM.
    needed_count: u64,
    /// The address that `st_value` counts from: 0, or the start of `.text` in a Wasmtime module.
    origin: u64,
    /// Relocations change text, so they are applied before it is mapped. Only in Wasmtime modules.
    pub in_text: bool,
}

/// A dynamic symbol.
#[derive(Clone, Copy, Debug)]
pub struct Symbol {
    /// The offset of its name in the string table.
    pub name: u32,
    /// `st_value`: an address of the image unless `absolute`.
    pub value: u64,
    /// `st_size`.
    pub size: u64,
    /// Not SHN_UNDEF.
    pub defined: bool,
    /// A definition that dynamic linkers find by its name.
    pub exported: bool,
    /// SHN_ABS.
    pub absolute: bool,
    /// STB_WEAK.
    pub weak: bool,
    /// `st_type`.
    pub kind: elf::SymbolType,
}

impl Symbol {
    /// Whether its value is the address of a resolver, which returns the function's address.
    #[must_use]
    pub fn is_indirect(&self) -> bool {
        self.kind == elf::STT_GNU_IFUNC && self.defined && !self.absolute
    }
}

/// An image's bytes and the tables that were found in them.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    /// The bytes.
    pub bytes: Bytes<'a>,
    /// The tables.
    pub tables: &'a Tables,
}

impl<'a> Image<'a> {
    /// Returns the unwind table, which isn't checked yet.
    ///
    /// # Errors
    ///
    /// INTERNAL if `bytes` and `tables` don't belong together.
    pub fn unwind_table(&self) -> Result<Option<Table<'a>>> {
        let Some(UnwindTable { address, offset, limit, end }) = self.tables.eh_frame else { return Ok(None) };
        let bytes = self.bytes.get(offset..limit).ok_or_else(wrong_tables)?;
        Ok(Some(Table { bytes, address, end }))
    }

    /// Checks the unwind table, if there is one.
    ///
    /// # Errors
    ///
    /// As [`eh_frame::check`]. Offsets count from the image's start.
    pub fn check_unwind_table(&self) -> Result<Option<Checked>> {
        let Some(table) = self.unwind_table()? else { return Ok(None) };
        let start = self.tables.eh_frame.map_or(0, |table| table.offset as u64);
        eh_frame::check(&table, &self.tables.unwind_scope(), |_| ()).map(Some).map_err(|error| error.shifted(start))
    }
}

/// Finds and checks the tables of an image. `page` is the host's page size.
///
/// # Errors
///
/// CORRUPT if a table contradicts the image, UNSUPPORTED if the image needs something that this loader doesn't do, INCOMPATIBLE if it
/// is for another machine, LIMIT. Offsets count from the image's start.
pub fn parse(bytes: &[u8], machine: u16, page: u64) -> Result<Tables> {
    let whole = Bytes::whole(bytes);
    match kind(&whole, machine)? {
        elf::ET_DYN => {
            let mut tables = segments(&whole, bytes.len() as u64, machine, page)?;
            tables.read(&whole, page)?;
            Ok(tables)
        }
        elf::ET_REL => super::wasmtime::parse(bytes, machine, page),
        other => Err(unsupported(format!("expected a shared object (ET_DYN 3), found e_type {}", other.0)).at(16)),
    }
}

/// Finds the segments of a shared object of `len` bytes, from its first bytes, which contain the program headers. Returns `None` if it
/// isn't a shared object or the headers are longer. [`Tables::read`] finds the rest.
#[must_use]
pub fn segments_of(head: &[u8], len: u64, machine: u16, page: u64) -> Option<Tables> {
    let head = Bytes::whole(head);
    if kind(&head, machine).ok()? != elf::ET_DYN {
        return None;
    }
    segments(&head, len, machine, page).ok()
}

fn header<'a>(bytes: &Bytes<'a>) -> Result<&'a FileHeader64<Le>> {
    let found = slice_at::<FileHeader64<Le>>(bytes, 0, 1).and_then(<[_]>::first);
    found.ok_or_else(|| Error::corrupt("ELF header is cut short"))
}

fn kind(bytes: &Bytes<'_>, machine: u16) -> Result<elf::FileType> {
    let header = header(bytes)?;
    if header.e_ident.data != elf::ELFDATA2LSB || header.e_machine.get(Le).0 != machine {
        let found = bytes.get(0..Identity::PREFIX).and_then(Identity::of);
        let found = found.map_or("none".to_owned(), |found| found.to_string());
        let expected = Identity::new(machine, 64, false);
        let message = format!("expected code for this host's machine, {expected}; found code for {found}");
        return Err(Error::new(Status::Incompatible, message).at(18));
    }
    Ok(header.e_type.get(Le))
}

fn program_headers<'a>(bytes: &Bytes<'a>) -> Result<&'a [ProgramHeader64<Le>]> {
    let header = header(bytes)?;
    let (count, size) = (u64::from(header.e_phnum.get(Le)), usize::from(header.e_phentsize.get(Le)));
    if size != size_of::<ProgramHeader64<Le>>() {
        return Err(Error::corrupt(format!("e_phentsize: expected 56, found {size}")).at(54));
    }
    let headers = slice_at(bytes, header.e_phoff.get(Le), count);
    headers.ok_or_else(|| Error::corrupt("program headers: expected them within the image").at(32))
}

fn segments(bytes: &Bytes<'_>, len: u64, machine: u16, page: u64) -> Result<Tables> {
    let headers = program_headers(bytes)?;
    let segments = load_segments(len, headers, page)?;
    if segments.is_empty() {
        return Err(Error::corrupt("expected a segment to load, found none"));
    }
    let mut tables = Tables::new(segments, len, machine, page)?;
    tables.align = max_alignment(headers)?.max(page);
    Ok(tables)
}

#[cold]
fn refused(what: &str) -> Error {
    unsupported(format!("expected a module that can be loaded, found one with {what}"))
}

/// Only happens if a part of the image is read: [`Bytes::whole`] keeps everything.
#[cold]
fn not_kept(what: &str) -> Error {
    unsupported(format!("{what}: expected it in a read-only segment, found it elsewhere"))
}

impl Tables {
    /// The tables of an image of which only the segments are known.
    pub(super) fn new(segments: Vec<Segment>, image: u64, machine: u16, page: u64) -> Result<Tables> {
        let (start, len) = match (segments.first(), segments.last()) {
            (Some(first), Some(last)) => {
                let start = first.address / page * page;
                (start, last.end().next_multiple_of(page) - start)
            }
            _ => (0, page),
        };
        if len > MAX_ADDRESSES {
            return Err(Error::new(
                Status::Unsupported,
                format!("image: expected at most {MAX_ADDRESSES} bytes of addresses, found {len}"),
            ));
        }
        Ok(Tables {
            segments,
            image: image as usize,
            start,
            len,
            align: page,
            relocations: [0..0, 0..0],
            relative: 0..0,
            init: None,
            fini: None,
            init_array: (0, 0),
            fini_array: (0, 0),
            relro: 0..0,
            thread_local: None,
            eh_frame: None,
            machine,
            symbols: 0..0,
            strings: 0..0,
            hash: Hash::None,
            versions: 0..0,
            needed: 0..0,
            needed_count: 0,
            origin: 0,
            in_text: false,
        })
    }

    /// Finds and checks everything but the segments.
    ///
    /// # Errors
    ///
    /// As [`parse`].
    pub fn read(&mut self, bytes: &Bytes<'_>, page: u64) -> Result<()> {
        let headers = program_headers(bytes)?;
        let mut dynamic = None;
        for header in headers {
            let (address, len) = (header.p_vaddr.get(Le), header.p_memsz.get(Le));
            match header.p_type.get(Le) {
                elf::PT_DYNAMIC => dynamic = Some((address, header.p_filesz.get(Le))),
                elf::PT_TLS => self.thread_local = Some(self.thread_local(header)?),
                elf::PT_GNU_STACK if header.p_flags.get(Le).0 & elf::PF_X.0 != 0 => {
                    return Err(refused("an executable stack (PT_GNU_STACK)"));
                }
                // Dynamic linkers take the last one.
                elf::PT_GNU_RELRO => self.relro = self.relro_pages(address, len, page)?,
                elf::PT_GNU_EH_FRAME if len > 0 => self.find_eh_frame(bytes, address, page)?,
                _ => {}
            }
        }
        if let Some((address, len)) = dynamic {
            self.read_dynamic(bytes, address, len)?;
        }
        Ok(())
    }

    /// The offsets of the bytes at `len` addresses, which must lie in one segment's part of the file, and that segment.
    fn place(&self, address: u64, len: u64, what: &str) -> Result<(Segment, Range<usize>)> {
        let inside = |segment: &&Segment| {
            let file = Segment { len: segment.file_len, ..**segment };
            file.has(address, len)
        };
        let outside =
            || Error::corrupt(format!("{what}: expected {len} bytes at address {address:#x} within a segment"));
        let segment = self.segments.iter().find(inside).ok_or_else(outside)?;
        // All of it lies within the image, as `load_segments` has checked.
        let start = (segment.offset + (address - segment.address)) as usize;
        Ok((*segment, start..start + len as usize))
    }

    /// The offsets of the bytes at `len` addresses, if they lie in one segment's part of the file.
    #[must_use]
    pub fn bytes_of(&self, address: u64, len: u64) -> Option<Range<usize>> {
        self.place(address, len, "").ok().map(|(_, place)| place)
    }

    /// The whole pages of PT_GNU_RELRO. It may reach beyond the segment: LLD before version 18 rounds its end up to the largest page
    /// size of the machine.
    fn relro_pages(&self, address: u64, len: u64, page: u64) -> Result<Range<u64>> {
        let down = |value: u64| value / page * page;
        let end = (self.start + self.len).checked_next_multiple_of(MAX_SEGMENT_ALIGN).unwrap_or(u64::MAX);
        match down(address)..down(address.wrapping_add(len)) {
            pages if pages.start == pages.end => Ok(0..0),
            // Dynamic linkers change the protection of all these pages, whatever they are, as long as there are any.
            pages if (self.start..self.start + self.len).contains(&pages.start) && pages.end <= end => Ok(pages),
            _ => Err(Error::corrupt("PT_GNU_RELRO: expected pages of the image, found others")),
        }
    }

    /// The pages of a writable segment that become read-only once relocations have been applied. Of a RELRO that reaches beyond
    /// the segment, only these pages count: others are read-only already, or another segment's.
    #[must_use]
    pub fn relro_of(&self, segment: &Segment, page: u64) -> Option<Range<u64>> {
        let start = self.relro.start.max(segment.address / page * page);
        let end = self.relro.end.min(segment.end().next_multiple_of(page));
        (segment.writable && start < end).then_some(start..end)
    }

    /// What the unwind table may refer to.
    #[must_use]
    pub fn unwind_scope(&self) -> Scope {
        let mut code = self.segments.iter().filter(|segment| segment.executable);
        let first = code.next();
        let code = first.map_or(0..0, |first| first.address..code.next_back().unwrap_or(first).end());
        Scope { code, image: self.start..self.start + self.len, format: Format::of(self.machine) }
    }

    /// Whether an address lies in a segment.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.has(address, 1))
    }

    /// Whether a symbol may have this address: labels also mark ends, of sections, segments or the image.
    #[must_use]
    pub fn may_mark(&self, address: u64) -> bool {
        (self.start..=self.start + self.len).contains(&address)
    }

    /// Whether an address lies in an executable segment.
    #[must_use]
    pub fn is_code(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.executable && segment.has(address, 1))
    }

    /// Whether relocations may be written to the word at an address.
    #[must_use]
    pub fn is_relocated(&self, address: u64) -> bool {
        if self.in_text {
            return self.segments.iter().find(|segment| segment.executable).is_some_and(|text| text.has(address, 8));
        }
        self.segments.iter().any(|segment| segment.writable && segment.has(address, 8))
    }

    /// The address that values of symbols count from.
    #[must_use]
    pub fn origin(&self) -> u64 {
        self.origin
    }

    /// Sets the tables of symbols and of their names. `origin` is the address that their values count from.
    pub(super) fn set_symbols(&mut self, symbols: Range<usize>, strings: Range<usize>, origin: u64) {
        (self.symbols, self.strings, self.origin) = (symbols, strings, origin);
    }
}
