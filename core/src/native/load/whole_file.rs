//! [`MapStrategy::WholeFile`]: one mapping of the file for all modules, writable as long as relocations are applied.

use std::ops::Range;

use super::map::{MapStrategy, Mapper, ReservedLayout, Unprotected};
use super::reserve::Reserved;
use super::{LoadedModule, defect};
use crate::error::Result;
use crate::limits::MAX_CODE;
use crate::native::image::{Segment, Tables};

/// Up to this many bytes the whole mapping is made writable: that takes less time than changing the protection of some pages in a
/// system call of its own.
const MAX_WRITABLE_WHOLE: u64 = 128 << 10;

/// How many bytes of a module, from its start in the file, make up its memory: a whole number of pages, the last of which the file
/// may end in. `None` if the module's layout in memory isn't the one in the file. `len` is the module's length in the file.
fn mapped_len(tables: &Tables, len: u64, page: u64) -> Option<u64> {
    let delta = tables.segments.first()?.delta();
    // After the initialized data the file continues, with debug information. What is zero in memory there has to be cleared, and
    // clearing takes memory that .bss otherwise takes only when it is used.
    let has_little_bss =
        |segment: &Segment| segment.end() <= (segment.address + segment.file_len).next_multiple_of(page) + page;
    let start = tables.start.checked_sub(delta)?;
    let fits = tables.align == page
        && !tables.in_text
        && tables.segments.iter().all(|segment| segment.delta() == delta && has_little_bss(segment))
        && start + tables.len <= len.next_multiple_of(page);
    fits.then_some(start + tables.len)
}

impl Mapper<'_> {
    /// Whether all modules can be mapped as [`MapStrategy::WholeFile`].
    pub fn can_map_file_whole(&self, modules: &[LoadedModule]) -> bool {
        let (Some(file), Some(first)) = (self.file, modules.first()) else { return false };
        let start = first.range.offset;
        for (at, module) in modules.iter().enumerate() {
            let place = module.range;
            let mapped = mapped_len(&module.tables, place.len, self.page);
            let fits = mapped.is_some_and(|len| place.offset - start + len <= MAX_CODE);
            // What lies between modules would be mapped, too.
            let follows = module.index == first.index + at;
            if !fits || !follows || !self.is_page_aligned(file, &place) {
                return false;
            }
        }
        true
    }

    /// [`MapStrategy::WholeFile`]. Text stays readable only until [`Mapper::protect`].
    pub fn map_file_whole(
        &self,
        modules: &mut [LoadedModule],
        strategies: Vec<MapStrategy>,
        room: usize,
    ) -> Result<ReservedLayout> {
        let first = modules.first().ok_or_else(|| defect("no modules"))?;
        let (source, start) = (self.source(first)?, first.range.offset);
        let mut end = 0;
        for module in modules.iter_mut() {
            let place = module.range;
            let mapped = mapped_len(&module.tables, place.len, self.page).zip(module.tables.segments.first());
            let (len, first) = mapped.ok_or_else(|| defect("a module that isn't in memory as in its file"))?;
            module.bias = (place.offset - start).wrapping_sub(first.delta());
            end = place.offset - start + len;
        }
        let writable = if end <= MAX_WRITABLE_WHOLE { 0..end as usize } else { written_pages(modules, self.page) };
        let room = room.next_multiple_of(self.page as usize);
        let region = self.artifact.region();
        let fill = |offset: usize, buffer: &mut [u8]| {
            // The file may end within the last page.
            let offset = start + offset as u64;
            let len = region.len().saturating_sub(offset).min(buffer.len() as u64) as usize;
            region.read_at(offset, buffer.get_mut(..len).unwrap_or_default())
        };
        let mut reserved = Reserved::of_file(&source, end as usize, room, &writable, fill)?;
        let base = reserved.start();
        for module in modules {
            module.bias = module.bias.wrapping_add(base as u64);
            reserved.clear_bss(&module.tables, module.bias);
        }
        let write_only = writable == (0..end as usize);
        let pages = base + writable.start..base + writable.end;
        let unprotected = Some(Unprotected { pages, write_only });
        Ok(ReservedLayout { reserved, room: base + end as usize, strategies, unprotected })
    }
}

/// The pages from the first to the last that some module writes, counted as the modules' biases are.
fn written_pages(modules: &[LoadedModule], page: u64) -> Range<usize> {
    let segments =
        modules.iter().flat_map(|module| module.tables.segments.iter().map(move |segment| (module, segment)));
    let pages = segments.filter(|(_, segment)| segment.writable).map(|(module, segment)| {
        module.address(segment.address / page * page)..module.address(segment.end().next_multiple_of(page))
    });
    pages.reduce(|first, last| first.start..last.end).unwrap_or(0..0)
}
