//! Segments: the parts of an image that are mapped.

use object::LittleEndian as Le;
use object::elf::{self, ProgramHeader64};

use super::{refused, unsupported};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::limits::{MAX_ALIGN, MAX_SEGMENTS};

/// A PT_LOAD segment: a part of the image that is mapped with one protection.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    /// `p_vaddr`.
    pub address: u64,
    /// `p_offset`, from the image's start.
    pub offset: u64,
    /// `p_filesz`. These bytes lie in the image.
    pub file_len: u64,
    /// `p_memsz`, at least `file_len`. The address of its end doesn't overflow.
    pub len: u64,
    /// PF_W.
    pub writable: bool,
    /// PF_X. Never both.
    pub executable: bool,
}

impl Segment {
    /// The address of its end.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.address + self.len
    }

    /// The distance from its offset in the image to its address. It may wrap around.
    #[must_use]
    pub fn delta(&self) -> u64 {
        self.address.wrapping_sub(self.offset)
    }

    /// Whether `len` bytes at an address lie in it.
    pub(super) fn has(&self, address: u64, len: u64) -> bool {
        address >= self.address && address.checked_add(len).is_some_and(|end| end <= self.end())
    }
}

/// Finds and checks the PT_LOAD segments of an image of `image` bytes.
pub(super) fn load_segments(image: u64, headers: &[ProgramHeader64<Le>], page: u64) -> Result<Vec<Segment>> {
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
            return Err(wrong(index, "expected a segment within the image, found one that ends outside"));
        }
        // Addresses can then be rounded up to pages and alignments without a check for overflow.
        if address.checked_add(len).is_none_or(|end| end > 1 << 62) {
            return Err(wrong(index, "expected a segment that ends below address 2^62, found one that doesn't"));
        }
        if writable && executable {
            return Err(refused("a segment that is writable and executable").at(header.p_offset.get(Le)));
        }
        if !writable && len != file_len {
            return Err(refused("a read-only segment that is longer in memory than in the file"));
        }
        if address % page != offset % page {
            return Err(misaligned(index, page));
        }
        if let Some(last) = segments.last() {
            if address < last.end() {
                return Err(wrong(index, "expected segments in ascending order of addresses, found them out of order"));
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

/// Returns the largest alignment of the PT_LOAD segments.
pub(super) fn max_alignment(headers: &[ProgramHeader64<Le>]) -> Result<u64> {
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
        "program header {index}: expected a segment on pages of its own, with the host's page size of {page} bytes"
    ))
}
