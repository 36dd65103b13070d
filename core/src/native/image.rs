//! What an image asks a loader for: segments, dynamic tables, relocations, symbols. A checked view: everything is compared
//! with the bytes that are there before it is used, and nothing here is unsafe. Field names follow the ELF gABI.
//!
//! Tables are read from the file's bytes and not from mapped segments: what relocation writes, no table is read from.

mod dynamic;
mod symbols;

use std::ops::Range;

use object::LittleEndian as Le;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::pod::{self, Pod};

pub use symbols::Symbols;
pub(super) use symbols::gnu_hash;

use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::limits::{MAX_ALIGN, MAX_CODE, MAX_SEGMENTS};

fn unsupported(message: impl Into<String>) -> Error {
    Error::new(Status::Unsupported, message)
}

/// A run of the image that is mapped with one protection.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// `p_vaddr`.
    pub address: u64,
    /// `p_offset`, from the image's start.
    pub offset: u64,
    /// `p_filesz`; inside the image.
    pub file_len: u64,
    /// `p_memsz`, at least `file_len`; the address of its end doesn't overflow.
    pub len: u64,
    /// PF_W.
    pub writable: bool,
    /// PF_X; never both.
    pub executable: bool,
}

impl Segment {
    /// Where it ends, in the image's addresses.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.address + self.len
    }

    /// The distance from its offset in the image to its address. It may wrap around.
    #[must_use]
    pub fn delta(&self) -> u64 {
        self.address.wrapping_sub(self.offset)
    }

    fn has(&self, address: u64, len: u64) -> bool {
        address >= self.address && address.checked_add(len).is_some_and(|end| end <= self.end())
    }
}

/// How symbols are found by name.
#[derive(Clone, Copy, Debug)]
enum Hash {
    Gnu(u64),
    Sysv(u64),
    /// Every symbol is looked at: there is no table of exports.
    None,
}

/// Where everything is in an image. Addresses are the image's own; ranges are offsets in its bytes and lie within them.
#[derive(Debug)]
pub struct Tables {
    /// PT_LOAD, ascending; no two share a page.
    pub segments: Vec<Segment>,
    /// Bytes of the image.
    image: usize,
    /// Where the first page begins.
    pub start: u64,
    /// Bytes from there to the end of the last page, at least one page.
    pub len: u64,
    /// What the start's distance from the address that it is mapped at is a multiple of.
    pub align: u64,
    /// DT_RELA and DT_JMPREL, or what a Wasmtime module's text asks for.
    pub relocations: [Range<usize>; 2],
    /// DT_RELR.
    pub relative: Range<usize>,
    /// DT_INIT and DT_FINI.
    pub init: Option<u64>,
    /// See `init`.
    pub fini: Option<u64>,
    /// DT_INIT_ARRAY: address and number of pointers.
    pub init_array: (u64, u64),
    /// See `init_array`.
    pub fini_array: (u64, u64),
    /// PT_GNU_RELRO, cut to whole pages.
    pub relro: Option<Range<u64>>,
    /// Where `.eh_frame` begins: an address within a segment that isn't written, and the offset of its bytes.
    pub eh_frame: Option<(u64, usize)>,
    /// Where the bytes end that are mapped behind `eh_frame`.
    pub eh_frame_limit: usize,
    symbols: Range<usize>,
    strings: Range<usize>,
    hash: Hash,
    /// What `st_value` counts from: 0, or where `.text` begins.
    origin: u64,
    /// Relocations change text, before it is mapped: Wasmtime's.
    pub in_text: bool,
}

/// A symbol that relocations or callers ask for.
#[derive(Clone, Copy, Debug)]
pub struct Symbol {
    /// Offset of its name in the string table.
    pub name: u32,
    /// `st_value`; an address of the image unless `absolute`.
    pub value: u64,
    /// `st_size`.
    pub size: u64,
    /// Not SHN_UNDEF.
    pub defined: bool,
    /// SHN_ABS.
    pub absolute: bool,
    /// STB_WEAK.
    pub weak: bool,
    /// `st_type`.
    pub kind: elf::SymbolType,
}

impl Symbol {
    /// Whether it is a function or data, at one address for all threads.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.kind != elf::STT_TLS && self.kind != elf::STT_GNU_IFUNC
    }
}

/// An image's bytes by their offsets: all of them, or those that are mapped.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    pieces: [(usize, &'a [u8]); 2],
}

impl<'a> Bytes<'a> {
    /// All bytes of an image.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes { pieces: [(0, bytes), (0, &[])] }
    }

    /// Pieces of an image, each with its offset: one that is only read, and one that relocations are written to.
    #[must_use]
    pub fn pieces(pieces: [(usize, &'a [u8]); 2]) -> Bytes<'a> {
        Bytes { pieces }
    }

    /// The bytes of a range, if one piece has them.
    #[must_use]
    #[inline]
    pub fn get(&self, range: Range<usize>) -> Option<&'a [u8]> {
        let within = |(start, bytes): &(usize, &'a [u8])| {
            bytes.get(range.start.checked_sub(*start)?..range.end.checked_sub(*start)?)
        };
        if range.is_empty() { Some(&[]) } else { self.pieces.iter().find_map(within) }
    }

    /// Whether the first piece has a range. All that is looked at again when relocations are written has to be there: the
    /// second piece is what they are written to.
    fn keep(&self, range: &Range<usize>) -> bool {
        let (start, bytes) = self.pieces[0];
        range.is_empty() || range.start >= start && range.end - start <= bytes.len()
    }
}

/// An image and where everything is in it.
#[derive(Clone, Copy)]
pub struct Image<'a> {
    /// Its bytes.
    pub bytes: Bytes<'a>,
    /// What was found in them.
    pub tables: &'a Tables,
}

fn slice_at<'a, T: Pod>(bytes: &Bytes<'a>, offset: u64, count: u64) -> Option<&'a [T]> {
    let (start, count) = (usize::try_from(offset).ok()?, usize::try_from(count).ok()?);
    let end = start.checked_add(count.checked_mul(size_of::<T>())?)?;
    Some(pod::slice_from_bytes(bytes.get(start..end)?, count).ok()?.0)
}

fn word(bytes: &Bytes<'_>, at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..at.checked_add(4)?)?.first_chunk()?))
}

/// Checks where everything is in an image; `page` is the host's page size.
///
/// # Errors
///
/// CORRUPT if a table contradicts the image, UNSUPPORTED if it asks for what can't be done here, INCOMPATIBLE if it is for
/// another machine, LIMIT. Offsets count from the image's start.
pub fn parse(bytes: &[u8], machine: u16, page: u64) -> Result<Tables> {
    let whole = Bytes::whole(bytes);
    match kind(&whole, machine)? {
        elf::ET_DYN => {
            let mut tables = segments(&whole, bytes.len() as u64, page)?;
            tables.read(&whole, page)?;
            Ok(tables)
        }
        elf::ET_REL => super::wasmtime::parse(bytes, page),
        other => Err(unsupported(format!("expected a shared object (ET_DYN 3), found e_type {}", other.0)).at(16)),
    }
}

/// The segments of a shared object of `len` bytes, of which as many are at hand as its headers take; none if it is anything else,
/// or has longer headers. The rest is for [`Tables::read`].
#[must_use]
pub fn segments_of(head: &[u8], len: u64, machine: u16, page: u64) -> Option<Tables> {
    let head = Bytes::whole(head);
    if kind(&head, machine).ok()? != elf::ET_DYN {
        return None;
    }
    segments(&head, len, page).ok()
}

fn header<'a>(bytes: &Bytes<'a>) -> Result<&'a FileHeader64<Le>> {
    let found = slice_at::<FileHeader64<Le>>(bytes, 0, 1).and_then(<[_]>::first);
    found.ok_or_else(|| Error::corrupt("ELF header is cut short"))
}

fn kind(bytes: &Bytes<'_>, machine: u16) -> Result<elf::FileType> {
    let header = header(bytes)?;
    if header.e_ident.data != elf::ELFDATA2LSB || header.e_machine.get(Le).0 != machine {
        let order = if header.e_ident.data == elf::ELFDATA2LSB { "little" } else { "big" };
        let found = header.e_machine.get(Le).0;
        let message =
            format!("expected code for this host's machine {machine}, found {order}-endian code for machine {found}");
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

fn segments(bytes: &Bytes<'_>, len: u64, page: u64) -> Result<Tables> {
    let headers = program_headers(bytes)?;
    let segments = loads(len, headers, page)?;
    if segments.is_empty() {
        return Err(Error::corrupt("expected a segment to load, found none"));
    }
    let mut tables = Tables::new(segments, len, page)?;
    tables.align = alignment(headers)?.max(page);
    Ok(tables)
}

#[cold]
fn refused(what: &str) -> Error {
    unsupported(format!("expected a module that can be loaded, found one with {what}"))
}

/// Of all bytes of an image none is left out: this is for those who have but a part.
#[cold]
fn not_kept(what: &str) -> Error {
    unsupported(format!("{what}: expected it where the image is only read, found it elsewhere"))
}

fn loads(image: u64, headers: &[ProgramHeader64<Le>], page: u64) -> Result<Vec<Segment>> {
    let wrong = |index: usize, what: &str| Error::corrupt(format!("program header {index}: {what}"));
    let mut segments: Vec<Segment> = alloc::with_capacity(4, "segments")?;
    for (index, header) in headers.iter().enumerate() {
        if header.p_type.get(Le) != elf::PT_LOAD || header.p_memsz.get(Le) == 0 {
            continue;
        }
        let (address, len) = (header.p_vaddr.get(Le), header.p_memsz.get(Le));
        let (offset, file_len) = (header.p_offset.get(Le), header.p_filesz.get(Le));
        let flags = header.p_flags.get(Le).0;
        let (writable, executable) = (flags & elf::PF_W.0 != 0, flags & elf::PF_X.0 != 0);
        if file_len > len || offset.checked_add(file_len).is_none_or(|end| end > image) {
            return Err(wrong(index, "expected a segment that lies within the image, found one that doesn't"));
        }
        // Room to round up to pages, and to align, without a check each time.
        if address.checked_add(len).is_none_or(|end| end > 1 << 62) {
            return Err(wrong(index, "expected an address below 2^62, found one beyond"));
        }
        if writable && executable {
            return Err(refused("a segment that is writable and executable").at(header.p_offset.get(Le)));
        }
        if !writable && len != file_len {
            return Err(refused("a read-only segment that is longer than its bytes"));
        }
        if address % page != offset % page {
            return Err(misaligned(index, page));
        }
        if let Some(last) = segments.last() {
            if address < last.end() {
                return Err(wrong(index, "expected segments one behind another, found them out of order"));
            }
            if address / page <= (last.end() - 1) / page {
                return Err(misaligned(index, page));
            }
        }
        if segments.len() == MAX_SEGMENTS {
            let message = format!("number of segments: expected at most {MAX_SEGMENTS}, found more");
            return Err(Error::new(Status::Limit, message));
        }
        alloc::push(&mut segments, Segment { address, offset, file_len, len, writable, executable }, "segments")?;
    }
    Ok(segments)
}

fn alignment(headers: &[ProgramHeader64<Le>]) -> Result<u64> {
    let mut largest = 1;
    for header in headers.iter().filter(|header| header.p_type.get(Le) == elf::PT_LOAD) {
        let align = header.p_align.get(Le);
        if align > 1 && !align.is_power_of_two() {
            return Err(Error::corrupt(format!("p_align: expected a power of two, found {align}")));
        }
        largest = largest.max(align);
    }
    if largest > MAX_ALIGN {
        return Err(Error::new(Status::Limit, format!("p_align: expected at most {MAX_ALIGN}, found {largest}")));
    }
    Ok(largest)
}

#[cold]
fn misaligned(index: usize, page: u64) -> Error {
    unsupported(format!(
        "program header {index}: expected segments on pages of their own, which here have {page} bytes"
    ))
}

impl Tables {
    /// Tables of an image that has segments and, so far, nothing else.
    pub(super) fn new(segments: Vec<Segment>, image: u64, page: u64) -> Result<Tables> {
        let (start, len) = match (segments.first(), segments.last()) {
            (Some(first), Some(last)) => {
                let start = first.address / page * page;
                (start, last.end().next_multiple_of(page) - start)
            }
            _ => (0, page),
        };
        if len > MAX_CODE {
            return Err(Error::new(Status::Limit, format!("image: expected at most {MAX_CODE} bytes, found {len}")));
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
            relro: None,
            eh_frame: None,
            eh_frame_limit: 0,
            symbols: 0..0,
            strings: 0..0,
            hash: Hash::None,
            origin: 0,
            in_text: false,
        })
    }

    /// Reads everything else.
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
                elf::PT_TLS if len > 0 => return Err(refused("thread-local storage (PT_TLS)")),
                elf::PT_GNU_STACK if header.p_flags.get(Le).0 & elf::PF_X.0 != 0 => {
                    return Err(refused("an executable stack (PT_GNU_STACK)"));
                }
                elf::PT_GNU_RELRO => {
                    let inside = self.segments.iter().any(|segment| segment.writable && segment.has(address, len));
                    let outside = || Error::corrupt("PT_GNU_RELRO: expected it within a writable segment");
                    let end = address.checked_add(len).filter(|_| inside).ok_or_else(outside)?;
                    self.relro = Some(address / page * page..end / page * page).filter(|range| !range.is_empty());
                }
                elf::PT_GNU_EH_FRAME => self.find_eh_frame(bytes, address, page)?,
                _ => {}
            }
        }
        if let Some((address, len)) = dynamic {
            self.read_dynamic(bytes, address, len)?;
        }
        Ok(())
    }

    /// The bytes of `len` addresses, as an offset: within one segment's part of the file.
    fn place(&self, address: u64, len: u64, what: &str) -> Result<(Segment, Range<usize>)> {
        let inside = |segment: &&Segment| {
            let file = Segment { len: segment.file_len, ..**segment };
            file.has(address, len)
        };
        let outside =
            || Error::corrupt(format!("{what}: expected {len} bytes at address {address:#x} within a segment"));
        let segment = self.segments.iter().find(inside).ok_or_else(outside)?;
        // All of it lies within the image.
        let start = (segment.offset + (address - segment.address)) as usize;
        Ok((*segment, start..start + len as usize))
    }

    /// The bytes in the image of so many addresses of one segment.
    #[must_use]
    pub fn bytes_of(&self, address: u64, len: u64) -> Option<Range<usize>> {
        self.place(address, len, "").ok().map(|(_, place)| place)
    }

    fn find_eh_frame(&mut self, bytes: &Bytes<'_>, address: u64, page: u64) -> Result<()> {
        const PCREL_SDATA4: u8 = 0x1b;
        const OMIT: u8 = 0xff;
        let wrong = |what: &str| Error::corrupt(format!(".eh_frame_hdr: {what}"));
        let (_, header) = self.place(address, 8, ".eh_frame_hdr")?;
        let found = bytes.get(header).unwrap_or(&[]);
        let &[version, encoding, _, _, a, b, c, d] = found else { return Err(wrong("expected 8 bytes")) };
        match (version, encoding) {
            (1, OMIT) => return Ok(()),
            (1, PCREL_SDATA4) => {}
            _ => {
                return Err(wrong(&format!("expected version 1 and encoding 0x1b, found {version} and {encoding:#x}")));
            }
        }
        let target = address.wrapping_add(4).wrapping_add_signed(i32::from_le_bytes([a, b, c, d]).into());
        self.set_eh_frame(target, page)?;
        match self.eh_frame {
            Some((_, start)) if !bytes.keep(&(start..self.eh_frame_limit)) => Err(not_kept(".eh_frame")),
            _ => Ok(()),
        }
    }

    /// Notes where `.eh_frame` begins.
    pub(super) fn set_eh_frame(&mut self, address: u64, page: u64) -> Result<()> {
        let (segment, place) = self.place(address, 4, ".eh_frame")?;
        if segment.writable {
            return Err(refused("a writable .eh_frame"));
        }
        let mapped = (segment.offset + segment.file_len).next_multiple_of(page);
        self.eh_frame = Some((address, place.start));
        self.eh_frame_limit = self.image.min(usize::try_from(mapped).unwrap_or(usize::MAX));
        Ok(())
    }

    /// Whether an address lies in a segment.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.has(address, 1))
    }

    /// Whether an address lies in a segment of code.
    #[must_use]
    pub fn is_code(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.executable && segment.has(address, 1))
    }

    /// What values of symbols count from.
    #[must_use]
    pub fn origin(&self) -> u64 {
        self.origin
    }

    /// Sets the symbols that relocations and names refer to; `origin` is what their values count from.
    pub(super) fn set_symbols(&mut self, symbols: Range<usize>, strings: Range<usize>, origin: u64) {
        (self.symbols, self.strings, self.origin) = (symbols, strings, origin);
    }
}
