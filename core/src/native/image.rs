//! A checked view of an image's segments, dynamic tables, relocations and symbols. Every offset and count is compared with the bytes
//! of the image before it is used, and nothing here is unsafe. Field names follow the ELF gABI.
//!
//! No table is read from bytes that relocations are written to, even if the image is read where it is mapped.

mod bytes;
mod dynamic;
mod segments;
mod symbols;

use std::ops::Range;

use object::LittleEndian as Le;
use object::elf::{self, FileHeader64, ProgramHeader64};

pub use bytes::Bytes;
pub use segments::Segment;
pub use symbols::Symbols;
pub(super) use symbols::gnu_hash;

use crate::error::{Error, Result, Status};
use crate::limits::MAX_CODE;
use bytes::{slice_at, word};
use segments::{load_segments, max_alignment};

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
    /// The start of `.eh_frame`: its address, in a read-only segment, and its offset.
    pub eh_frame: Option<(u64, usize)>,
    /// The offset up to which the bytes that follow `eh_frame` are mapped.
    pub eh_frame_limit: usize,
    symbols: Range<usize>,
    strings: Range<usize>,
    hash: Hash,
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
    /// SHN_ABS.
    pub absolute: bool,
    /// STB_WEAK.
    pub weak: bool,
    /// `st_type`.
    pub kind: elf::SymbolType,
}

impl Symbol {
    /// Whether its value is the address of a function or of data.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.kind != elf::STT_TLS && self.kind != elf::STT_GNU_IFUNC
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
            let mut tables = segments(&whole, bytes.len() as u64, page)?;
            tables.read(&whole, page)?;
            Ok(tables)
        }
        elf::ET_REL => super::wasmtime::parse(bytes, page),
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
    let segments = load_segments(len, headers, page)?;
    if segments.is_empty() {
        return Err(Error::corrupt("expected a segment to load, found none"));
    }
    let mut tables = Tables::new(segments, len, page)?;
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
    pub(super) fn new(segments: Vec<Segment>, image: u64, page: u64) -> Result<Tables> {
        let (start, len) = match (segments.first(), segments.last()) {
            (Some(first), Some(last)) => {
                let start = first.address / page * page;
                (start, last.end().next_multiple_of(page) - start)
            }
            _ => (0, page),
        };
        if len > MAX_CODE {
            return Err(Error::new(
                Status::Unsupported,
                format!("image: expected at most {MAX_CODE} bytes, found {len}"),
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
            eh_frame: None,
            eh_frame_limit: 0,
            symbols: 0..0,
            strings: 0..0,
            hash: Hash::None,
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
                elf::PT_TLS if len > 0 => return Err(refused("thread-local storage (PT_TLS)")),
                elf::PT_GNU_STACK if header.p_flags.get(Le).0 & elf::PF_X.0 != 0 => {
                    return Err(refused("an executable stack (PT_GNU_STACK)"));
                }
                // Dynamic linkers take the last one.
                elf::PT_GNU_RELRO => self.relro = self.relro_pages(address, len, page)?,
                elf::PT_GNU_EH_FRAME => self.find_eh_frame(bytes, address, page)?,
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

    fn find_eh_frame(&mut self, bytes: &Bytes<'_>, address: u64, page: u64) -> Result<()> {
        const PCREL_SDATA4: u8 = 0x1b;
        const OMIT: u8 = 0xff;
        let wrong = |what: &str| Error::corrupt(format!(".eh_frame_hdr: {what}"));
        let (_, header) = self.place(address, 8, ".eh_frame_hdr")?;
        let found = bytes.get(header).unwrap_or(&[]);
        let &[version, encoding, _, _, a, b, c, d] = found else { return Err(not_kept(".eh_frame_hdr")) };
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

    /// Sets the address of `.eh_frame`.
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

    /// The whole pages of PT_GNU_RELRO. It may reach beyond the segment: LLD before version 18 rounds its end up.
    fn relro_pages(&self, address: u64, len: u64, page: u64) -> Result<Range<u64>> {
        let down = |value: u64| value / page * page;
        match down(address)..down(address.wrapping_add(len)) {
            pages if pages.start == pages.end => Ok(0..0),
            // Dynamic linkers change the protection of all these pages, whatever they are, as long as there are any.
            pages if pages.start < self.start + self.len && pages.end > self.start.max(pages.start) => Ok(pages),
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

    /// Whether an address lies in a segment.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.has(address, 1))
    }

    /// Whether an address lies in an executable segment.
    #[must_use]
    pub fn is_code(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.executable && segment.has(address, 1))
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
