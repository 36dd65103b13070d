//! The short way for an artifact of one shared object in a file: nothing but its headers is read before it is mapped, and its
//! tables are read where they are mapped. That saves mapping the file a second time, a fifth of all that loading takes.
//!
//! Where anything is out of the ordinary, there is no short way, and no error: the long way has the right one.

use super::reserve::Source;
use super::unwind::Frames;
use super::{LoadOptions, Loaded, Prepared, assemble};
use crate::artifact::Artifact;
use crate::error::Result;
use crate::format::Fetch;
use crate::format::elf::extent;
use crate::native::image::{Bytes, Segment, segments_of};
use crate::storage::Region;

/// File header and program headers: linkers put the ones behind the other.
const HEAD: u64 = 1024;

/// Up to so many bytes, an image is read as a whole: that takes less time than the page faults of looking at it.
const SMALL: u64 = 48 << 10;

/// Reads from the head where it can.
struct Head<'h> {
    bytes: &'h [u8],
    region: &'h Region,
}

impl Fetch for Head<'_> {
    fn fetch(&mut self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        match self.bytes.get(start..start.saturating_add(buffer.len())) {
            Some(found) => buffer.copy_from_slice(found),
            None => self.region.read_at(offset, buffer)?,
        }
        Ok(())
    }
}

/// Maps the one module of an artifact, if there is a short way.
pub fn prepare(artifact: &Artifact, options: &LoadOptions<'_>, machine: u16, page: u64) -> Option<Prepared> {
    let region = artifact.region();
    let (file, start) = region.file()?;
    let plain = artifact.module_count() == 1 && artifact.signer().is_none() && start % page == 0;
    if !plain || region.copied_noexec() || options.allow_memfd && region.noexec() {
        return None;
    }
    let len = artifact.place(0).ok()?.len;
    let size = if len <= SMALL { len } else { HEAD };
    let head = region.copy(0, size, "a module's headers").ok()?;
    if extent(&mut Head { bytes: &head, region }, 0, len).ok()?.len != len {
        return None;
    }
    if size < len {
        region.check_length().ok()?; // reading it as a whole would have told
    }
    let tables = segments_of(&head, len, machine, page)?;
    let first = *tables.segments.first().filter(|first| !first.writable && first.offset == 0)?;
    let delta = first.address;
    let same = |segment: &&Segment| !segment.writable && segment.address.checked_sub(segment.offset) == Some(delta);
    let last = *tables.segments.iter().take_while(same).last()?;
    let data = tables.segments.iter().find(|segment| segment.writable).copied();

    let mut modules = vec![Loaded { tables, bias: 0, run: None, own: Vec::new() }];
    let placed = assemble::place_flat(artifact, &mut modules, 0, page, options.allow_memfd)
        .or_else(|| assemble::place(&mut modules, 0, page).ok())?;
    let reserved = &placed.reserved;
    let module = modules.first_mut()?;
    if placed.flat.is_none() {
        let fill = |offset: usize, to: &mut [u8]| Head { bytes: &head, region }.fetch(offset as u64, to);
        reserved.map_image(&module.tables, module.bias, &Source { file, offset: start }, page, fill).ok()?;
    }

    let place = |address: u64| module.bias.wrapping_add(address) as usize;
    // What the last page has behind the segment are bytes of the image, as far as it reaches.
    let run = (last.end().next_multiple_of(page) - first.address).min(len) as usize;
    module.run = Some((0, place(first.address), run));
    if size == len {
        module.tables.read(&Bytes::whole(&head), page).ok()?;
        module.own = head;
    } else {
        // SAFETY: mapped to be read, as long as the range is there.
        let read = unsafe { reserved.bytes(place(first.address), run) };
        // SAFETY: initialized data that was just written, and isn't written again before these bytes are gone.
        let written = data
            .map(|data| unsafe { (data.offset as usize, reserved.bytes(place(data.address), data.file_len as usize)) });
        module.tables.read(&Bytes::pieces([(0, read), written.unwrap_or((0, &[]))]), page).ok()?;
    }
    let frames = if options.no_unwind { None } else { Frames::check(artifact, &modules).ok()? };
    if frames.as_ref().is_some_and(|frames| frames.room() > 0) {
        return None;
    }
    Some(Prepared { modules, frames, placed })
}
