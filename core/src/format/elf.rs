//! One ELF image inside an artifact: where it ends, and how it is stored. What is in it is `module`'s.
//!
//! An ELF has no length field. In an artifact it ends where its section header table ends, so that table has to come
//! last; [`Image::new`] sees to that for images made by tools that put it elsewhere. Field names follow the ELF gABI.

use object::Endianness;
use object::elf::{self, FileHeader64, SectionHeader64};
use object::pod;
use object::read::elf::{FileHeader as _, SectionHeader as _};

use super::module::Module;
use super::{Fetch, align_up};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::limits::MAX_SECTIONS;

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

struct Header {
    raw: FileHeader64<Endianness>,
    order: Endianness,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<Header> {
        if let Some(error) = not_elf64(bytes) {
            return Err(error.at(0));
        }
        let (raw, _) = pod::from_bytes::<FileHeader64<Endianness>>(bytes)
            .map_err(|()| Error::corrupt("ELF header is cut short"))?;
        // `endian` takes every byte but 2 for little-endian.
        for (at, name, known) in [(5, "byte order", &[1u8, 2][..]), (6, "version", &[1])] {
            let found = bytes.get(at).copied().unwrap_or(0);
            if !known.contains(&found) {
                return Err(
                    Error::corrupt(format!("ELF {name}: expected one of {known:?}, found {found}")).at(at as u64)
                );
            }
        }
        let order = raw.endian().map_err(|error| Error::corrupt(format!("ELF byte order: {error}")))?;
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
            return Err(Error::corrupt(format!("e_shoff: expected at least {HEADER_SIZE}, found {offset}")).at(40));
        }
        let entry = u64::from(self.raw.e_shentsize(self.order));
        if entry != SECTION_SIZE {
            return Err(Error::corrupt(format!("e_shentsize: expected {SECTION_SIZE}, found {entry}")).at(58));
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
            fetch.fetch(base.saturating_add(offset), &mut first).map_err(|error| error.relative_to(base))?;
            let (first, _) = pod::from_bytes::<SectionHeader64<Endianness>>(&first)
                .map_err(|()| Error::corrupt("section header 0 is cut short"))?;
            count = first.sh_size(self.order);
        }
        if count < 2 {
            return Err(Error::corrupt(format!("number of sections: expected at least 2, found {count}")).at(60));
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
    fetch.fetch(base, head).map_err(|error| error.relative_to(base))?;
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
            Status::NotAnArtifact => Error::corrupt(error.message().to_owned()).at(40),
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
        let overflow = || Error::corrupt("image is too large to move its section header table");
        let moved = align_up(available, 8).ok_or_else(overflow)?;
        let (mut raw, order) = module.header();
        let start = usize::try_from(raw.e_shoff(order)).map_err(|_| overflow())?;
        let table = bytes.get(start..extent.len as usize).ok_or_else(overflow)?;
        raw.e_shoff.set(order, moved);
        let padding = (moved - available) as usize;
        let mut tail = alloc::with_capacity(padding + table.len(), "a section header table")?;
        tail.resize(padding, 0);
        tail.extend_from_slice(table);
        Ok(Image { head: pod::bytes_of(&raw).to_vec(), tail, align })
    }
}
