//! The extent of an ELF image inside an artifact, and the changes that storing one needs. `module` decodes its content.
//!
//! ELF has no length field. In an artifact an image ends where its section header table ends, so that table has to come last.
//! [`ImageFixup::new`] moves the table of images whose tools put it elsewhere. Field names follow the ELF gABI.

use std::fmt;
use std::ops::Range;

use object::Endianness;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::pod;
use object::read::elf::{FileHeader as _, SectionHeader as _};

use super::module::Module;
use super::{Fetch, align_up, foreign};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::limits::{MAX_SECTIONS, NameBudget};

/// Size of an ELF64 file header, which is also the size of an ELF64 section header.
pub const HEADER_SIZE: usize = size_of::<FileHeader64<Endianness>>();
/// Maximum size of an image's file header, section headers and program headers in bytes.
pub const MAX_HEADER_TABLES: u64 = MAX_SECTIONS * SECTION_HEADER_SIZE
    + (u16::MAX as u64) * size_of::<ProgramHeader64<Endianness>>() as u64
    + HEADER_SIZE as u64;
const SECTION_HEADER_SIZE: u64 = size_of::<SectionHeader64<Endianness>>() as u64;

/// The facts about an image that its file header gives.
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

/// What an image is for: `e_machine`, class and byte order of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// `e_machine`.
    pub machine: u16,
    /// 32 or 64.
    pub bits: u8,
    /// Whether multi-byte fields are big-endian.
    pub big_endian: bool,
}

impl Identity {
    /// Size of the part of a file header that [`Identity::of`] reads.
    pub const PREFIX: usize = 20;

    /// Creates an identity.
    #[must_use]
    pub const fn new(machine: u16, bits: u8, big_endian: bool) -> Identity {
        Identity { machine, bits, big_endian }
    }

    /// Reads the identity of an image, of either class, from its first bytes. Returns none for anything but an ELF image.
    #[must_use]
    pub fn of(image: &[u8]) -> Option<Identity> {
        let prefix: &[u8; Identity::PREFIX] = image.first_chunk()?;
        let [m0, m1, m2, m3, class, order, ..] = *prefix;
        let [.., low, high] = *prefix;
        let bits = match class {
            1 => 32,
            2 => 64,
            _ => return None,
        };
        let machine = match order {
            1 => u16::from_le_bytes([low, high]),
            2 => u16::from_be_bytes([low, high]),
            _ => return None,
        };
        ([m0, m1, m2, m3] == elf::ELFMAG).then(|| Identity::new(machine, bits, order == 2))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Identity { machine, bits, big_endian } = *self;
        match machine_name(machine) {
            Some(name) => write!(f, "{name} (machine {machine})")?,
            None => write!(f, "machine {machine}")?,
        }
        if bits == 32 {
            f.write_str(", 32-bit")?;
        }
        f.write_str(if big_endian { ", big-endian" } else { ", little-endian" })
    }
}

/// Returns the usual name of an `e_machine`.
#[must_use]
pub fn machine_name(machine: u16) -> Option<&'static str> {
    let name = match elf::Machine(machine) {
        elf::EM_SPARC => "SPARC",
        elf::EM_386 => "x86",
        elf::EM_68K => "m68k",
        elf::EM_MIPS => "MIPS",
        elf::EM_PPC => "PowerPC",
        elf::EM_PPC64 => "PowerPC64",
        elf::EM_S390 => "s390x",
        elf::EM_ARM => "ARM",
        elf::EM_SPARCV9 => "SPARC V9",
        elf::EM_X86_64 => "x86-64",
        elf::EM_AVR => "AVR",
        elf::EM_XTENSA => "Xtensa",
        elf::EM_MSP430 => "MSP430",
        elf::EM_HEXAGON => "Hexagon",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_AMDGPU => "AMDGPU",
        elf::EM_RISCV => "RISC-V",
        elf::EM_BPF => "BPF",
        elf::EM_LOONGARCH => "LoongArch",
        _ => return None,
    };
    Some(name)
}

/// Returns the error for bytes that are no ELF64 image at all, as opposed to a damaged one.
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
    endian: Endianness,
}

impl Header {
    fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<Header> {
        if let Some(error) = not_elf64(bytes) {
            return Err(error.at(0));
        }
        let (raw, _) = pod::from_bytes::<FileHeader64<Endianness>>(bytes)
            .map_err(|()| Error::corrupt("ELF header is truncated"))?;
        // `endian()` below takes every value but 2 for little-endian.
        for (at, name, known) in [(5, "byte order", &[1u8, 2][..]), (6, "version", &[1])] {
            let found = bytes.get(at).copied().unwrap_or(0);
            if !known.contains(&found) {
                return Err(
                    Error::corrupt(format!("ELF {name}: expected one of {known:?}, found {found}")).at(at as u64)
                );
            }
        }
        let endian = raw.endian().map_err(|error| Error::corrupt(format!("ELF byte order: {error}")))?;
        Ok(Header { raw: *raw, endian })
    }

    /// Returns the end of the section header table, which is the image's length, after checking it against `available` bytes.
    fn len(&self, available: u64, fetch: &mut impl Fetch, base: u64) -> Result<u64> {
        let offset = self.raw.e_shoff(self.endian);
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
        let entry_size = u64::from(self.raw.e_shentsize(self.endian));
        if entry_size != SECTION_HEADER_SIZE {
            return Err(
                Error::corrupt(format!("e_shentsize: expected {SECTION_HEADER_SIZE}, found {entry_size}")).at(58)
            );
        }
        let outside = |end: Option<u64>| {
            let found = end.map_or("an end beyond 2^64".to_owned(), |end| format!("an end at {end}"));
            let status = if end.is_some() { Status::Truncated } else { Status::Corrupt };
            let message =
                format!("section header table: expected to end within the {available} bytes available, found {found}");
            Error::new(status, message).at(40)
        };
        let mut count = u64::from(self.raw.e_shnum(self.endian));
        if count == 0 {
            // gABI, extended numbering: sh_size of section 0 holds the true count.
            let first_end = offset.checked_add(SECTION_HEADER_SIZE);
            if first_end.is_none_or(|end| end > available) {
                return Err(outside(first_end));
            }
            let mut first = [0; SECTION_HEADER_SIZE as usize];
            fetch.fetch(base.saturating_add(offset), &mut first).map_err(|error| error.relative_to(base))?;
            let (first, _) = pod::from_bytes::<SectionHeader64<Endianness>>(&first)
                .map_err(|()| Error::corrupt("section header 0 is truncated"))?;
            count = first.sh_size(self.endian);
        }
        if count < 2 {
            return Err(Error::corrupt(format!("number of sections: expected at least 2, found {count}")).at(60));
        }
        let end = count.checked_mul(SECTION_HEADER_SIZE).and_then(|size| offset.checked_add(size));
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

/// Returns the extent of the image at offset `base`, from where `available` bytes exist.
///
/// # Errors
///
/// INVALID_ARGUMENT if the bytes are no ELF image, UNSUPPORTED if they are no ELF64 image, NOT_AN_ARTIFACT if the image has no
/// section headers, TRUNCATED if it extends past `available`, CORRUPT if its header is invalid, LIMIT if it has too many
/// sections. Offsets count from the image's start.
pub fn extent(fetch: &mut impl Fetch, base: u64, available: u64) -> Result<Extent> {
    let mut bytes = [0; HEADER_SIZE];
    let present = usize::try_from(available).unwrap_or(usize::MAX).min(HEADER_SIZE);
    let (prefix, _) = bytes.split_at_mut(present);
    fetch.fetch(base, prefix).map_err(|error| error.relative_to(base))?;
    if present < HEADER_SIZE {
        let cut = format!("expected an ELF header of {HEADER_SIZE} bytes, found {available} bytes");
        return Err(not_elf64(prefix).unwrap_or_else(|| {
            let has_magic = present >= elf::ELFMAG.len();
            Error::new(if has_magic { Status::Truncated } else { Status::InvalidArgument }, cut)
        }));
    }
    let header = Header::parse(&bytes)?;
    let len = header.len(available, fetch, base)?;
    Ok(Extent {
        len,
        machine: header.raw.e_machine(header.endian).0,
        kind: header.raw.e_type(header.endian).0,
        big_endian: header.endian == Endianness::Big,
    })
}

/// Returns the ranges of file header, section headers and program headers in an image of `len` bytes that has this file header. They
/// take at most [`MAX_HEADER_TABLES`] bytes.
///
/// # Errors
///
/// INVALID_ARGUMENT, UNSUPPORTED or CORRUPT if the header is invalid; CORRUPT if a table ends outside the image, or has more entries
/// than a file header or the limits allow.
pub fn header_tables(header: &[u8; HEADER_SIZE], len: u64) -> Result<[Range<u64>; 3]> {
    let Header { raw, endian } = Header::parse(header)?;
    let (segments, count) = (raw.e_phoff(endian), raw.e_phnum(endian));
    let size = u64::from(count) * size_of::<ProgramHeader64<Endianness>>() as u64;
    let end = segments.checked_add(size).filter(|end| *end <= len && count != elf::PN_XNUM);
    let end = end.ok_or_else(|| {
        Error::corrupt(format!("program headers: expected them within {len} bytes, found {count} at {segments}"))
    })?;
    let sections = raw.e_shoff(endian).min(len);
    if len - sections > MAX_SECTIONS * SECTION_HEADER_SIZE {
        let message =
            format!("number of sections: expected at most {MAX_SECTIONS}, found a table from {sections} to {len}");
        return Err(Error::corrupt(message).at(40));
    }
    Ok([0..HEADER_SIZE as u64, sections..len, segments..end])
}

/// Returns the extent of the image at the start of `bytes`.
///
/// # Errors
///
/// As [`extent`].
pub fn extent_of(bytes: &[u8]) -> Result<Extent> {
    extent(&mut SliceSource(bytes), 0, bytes.len() as u64)
}

struct SliceSource<'a>(&'a [u8]);

impl Fetch for SliceSource<'_> {
    fn fetch(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(buffer.len())?))
            .ok_or_else(|| Error::new(Status::Truncated, "expected more bytes, found the end of the image"))?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// The changes that make an image end with its section header table.
#[derive(Clone, Debug)]
pub struct ImageFixup {
    /// The patched file header, which replaces the image's own; empty if the table need not move.
    pub header: Vec<u8>,
    /// Bytes to append to the image: padding and a copy of the table; empty if the table need not move.
    pub suffix: Vec<u8>,
    /// Required alignment of the image's offset in the artifact.
    pub align: u64,
}

impl ImageFixup {
    /// Checks that an image can be stored, that is, that everything its headers refer to lies inside it, and computes the changes.
    ///
    /// # Errors
    ///
    /// As [`extent`], but CORRUPT if the image has no section headers; LIMIT for an alignment over 2 MiB; NO_MEMORY.
    pub fn new(bytes: &[u8]) -> Result<ImageFixup> {
        let available = bytes.len() as u64;
        foreign::check(bytes, "an ELF object or shared object")?;
        // The same errors, in the same words, as for an image in an artifact.
        let extent = extent_of(bytes).map_err(|error| match error.status() {
            // A module by itself is not an artifact anyway: without section headers it is damaged.
            Status::NotAnArtifact => Error::corrupt(error.message().to_owned()).at(40),
            _ => error,
        })?;
        let module = Module::parse(bytes)?;
        let mut names = NameBudget::for_file(available);
        for index in 0..module.section_count() {
            let section = module.section(index)?;
            names.take(section.name.len())?;
            section.check_inside(bytes)?;
        }
        let align = module.align()?;
        if extent.len == available {
            return Ok(ImageFixup { header: Vec::new(), suffix: Vec::new(), align });
        }
        let overflow = || Error::corrupt("image is too large to move its section header table");
        let moved = align_up(available, 8).ok_or_else(overflow)?;
        let (mut raw, endian) = module.header();
        let start = usize::try_from(raw.e_shoff(endian)).map_err(|_| overflow())?;
        let table = bytes.get(start..extent.len as usize).ok_or_else(overflow)?;
        raw.e_shoff.set(endian, moved);
        let padding = (moved - available) as usize;
        let mut suffix = alloc::with_capacity(padding + table.len(), "a section header table")?;
        suffix.resize(padding, 0);
        suffix.extend_from_slice(table);
        Ok(ImageFixup { header: pod::bytes_of(&raw).to_vec(), suffix, align })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_in_either_byte_order() {
        let mut header = [0; Identity::PREFIX];
        header[..6].copy_from_slice(b"\x7fELF\x02\x02");
        header[19] = 22;
        assert_eq!(Identity::of(&header), Some(Identity::new(22, 64, true)));
        assert_eq!(Identity::of(&header).unwrap().to_string(), "s390x (machine 22), big-endian");
        header[4] = 1;
        header[5] = 1;
        assert_eq!(Identity::of(&header).unwrap().to_string(), "machine 5632, 32-bit, little-endian");
        assert_eq!(Identity::of(&header[..19]), None);
        for (at, byte) in [(0, 0), (4, 3), (5, 0)] {
            let mut wrong = header;
            wrong[at] = byte;
            assert_eq!(Identity::of(&wrong), None);
        }
    }
}
