//! The fast path, if only one module is loaded, which is a shared object in a file: only its headers are read before it is mapped,
//! and its tables are read where it is mapped. That saves mapping the file a second time, a fifth of all the time that loading
//! takes.
//!
//! If anything is out of the ordinary, the fast path gives up without an error. The normal path then reports the right one.

use super::map::Mapper;
use super::unwind::Frames;
use super::{ImageBytes, LoadedModule, Mapped};
use crate::artifact::ModuleRange;
use crate::error::Result;
use crate::format::Fetch;
use crate::format::body::LINK_SIZE;
use crate::format::elf::extent;
use crate::native::image::{Bytes, Segment, segments_of};
use crate::storage::Region;

/// What is read of a large image at first, in bytes: linkers put the program headers right after the file header.
const HEADERS_LEN: u64 = 1024;

/// Up to this many bytes, an image is read as a whole: that takes less time than the page faults of reading it where it is mapped.
pub const MAX_READ_WHOLE: u64 = 48 << 10;

/// A module whose first bytes have been read.
struct HeaderCache<'h> {
    bytes: &'h [u8],
    region: &'h Region,
    /// The module's offset in the region.
    start: u64,
}

impl HeaderCache<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.bytes.get(start..start.saturating_add(buffer.len())) {
            Some(found) => buffer.copy_from_slice(found),
            None => self.region.read_at(self.start + offset, buffer)?,
        }
        Ok(())
    }
}

impl Fetch for HeaderCache<'_> {
    fn fetch(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.read(offset, buffer)
    }
}

/// Prepares and maps the only module of an artifact that is loaded, or returns `None` if the normal path has to.
pub fn prepare_and_map(mapper: &Mapper<'_>, index: usize, machine: u16, no_unwind: bool) -> Option<Mapped> {
    let (artifact, page) = (mapper.artifact, mapper.page);
    let region = artifact.region();
    let file = mapper.file?;
    let (range, previous) = artifact.place_of(index).ok()?;
    let ModuleRange { offset: start, len } = range;
    if artifact.signer().is_some() || !mapper.is_page_aligned(file, &range) || region.copied_noexec() {
        return None;
    }
    if index > 0 {
        let mut link = [0; LINK_SIZE as usize];
        region.read_at(previous, &mut link).ok()?;
        if u64::from_le_bytes(link) != start {
            return None;
        }
    }
    let cached_len = if len <= MAX_READ_WHOLE { len } else { HEADERS_LEN };
    let cached = region.read_to_vec(start, cached_len, "a module's headers").ok()?;
    let mut cache = HeaderCache { bytes: &cached, region, start };
    if extent(&mut cache, 0, len).ok()?.len != len {
        return None;
    }
    if cached_len < len {
        region.check_length().ok()?; // reading a small file as a whole has already told
    }
    let tables = segments_of(&cached, len, machine, page)?;
    // The read-only segments that the image begins with have to be next to each other, in memory as in the file.
    let first = *tables.segments.first().filter(|first| !first.writable && first.offset == 0)?;
    let is_next = |segment: &&Segment| !segment.writable && segment.delta() == first.address;
    let last = *tables.segments.iter().take_while(is_next).last()?;
    let data = tables.segments.iter().find(|segment| segment.writable).copied();

    let mut modules = vec![LoadedModule::new(index, range, tables)];
    let layout = mapper.map(&mut modules, 0, &|_, offset, buffer| cache.read(offset as u64, buffer)).ok()?;

    let module = modules.first_mut()?;
    if cached_len == len {
        module.tables.read(&Bytes::whole(&cached), page).ok()?;
        module.bytes = ImageBytes::Copy(cached);
    } else {
        // The rest of the last page has the bytes that follow in the file, as far as the image reaches.
        let mapped_len = (last.end().next_multiple_of(page) - first.address).min(len) as usize;
        let address = module.address(first.address);
        // SAFETY: read-only segments, which have just been mapped readable and next to each other. Nothing writes to them.
        let read_only = unsafe { layout.reserved.bytes(address, mapped_len) };
        let data = data.map(|data| {
            let address = module.address(data.address);
            // SAFETY: initialized data that has just been mapped or copied. Relocations are the first to write to it, and they
            // are applied after this function has dropped these bytes.
            let bytes = unsafe { layout.reserved.bytes(address, data.file_len as usize) };
            (data.offset as usize, bytes)
        });
        module.tables.read(&Bytes::pieces([(0, read_only), data.unwrap_or((0, &[]))]), page).ok()?;
        module.bytes = ImageBytes::Mapped { address, len: mapped_len };
    }
    let frames = if no_unwind { None } else { Frames::check(artifact, &modules).ok()? };
    if frames.as_ref().is_some_and(|frames| frames.copy_len() > 0) {
        return None; // there is no room for a copy of its unwind table
    }
    Some(Mapped { modules, frames, layout })
}
