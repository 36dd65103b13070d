//! [`MapStrategy::WholeFile`]: one mapping of the file for all modules, writable as long as relocations are applied.

use std::ops::Range;

use super::map::{MapStrategy, Mapper, ReservedLayout};
use super::reserve::{Reserved, Source};
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
    pub fn can_map_file_whole(&self, modules: &[LoadedModule]) -> Result<bool> {
        let Some(file) = self.file else { return Ok(false) };
        for (index, module) in modules.iter().enumerate() {
            let place = self.artifact.module_range(index)?;
            let mapped = mapped_len(&module.tables, place.len, self.page);
            let fits = mapped.is_some_and(|len| place.offset + len <= MAX_CODE);
            if !fits || !self.is_page_aligned(file, index)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// [`MapStrategy::WholeFile`]. Text stays readable only until [`Mapper::protect_file_whole`].
    pub fn map_file_whole(
        &self,
        modules: &mut [LoadedModule],
        strategies: Vec<MapStrategy>,
        room: usize,
    ) -> Result<ReservedLayout> {
        let file = self.file.ok_or_else(|| defect("no file to map from"))?;
        let mut end = 0;
        for (index, module) in modules.iter_mut().enumerate() {
            let place = self.artifact.module_range(index)?;
            let mapped = mapped_len(&module.tables, place.len, self.page).zip(module.tables.segments.first());
            let (len, first) = mapped.ok_or_else(|| defect("a module that isn't in memory as in its file"))?;
            module.bias = place.offset.wrapping_sub(first.delta());
            end = place.offset + len;
        }
        let writable = if end <= MAX_WRITABLE_WHOLE { 0..end as usize } else { written_pages(modules, self.page) };
        let room = room.next_multiple_of(self.page as usize);
        let region = self.artifact.region();
        let fill = |offset: usize, buffer: &mut [u8]| {
            // The file may end within the last page.
            let len = region.len().saturating_sub(offset as u64).min(buffer.len() as u64) as usize;
            region.read_at(offset as u64, buffer.get_mut(..len).unwrap_or_default())
        };
        let mut reserved = Reserved::of_file(&file, end as usize, room, &writable, fill)?;
        let base = reserved.start();
        for module in modules {
            module.bias = module.bias.wrapping_add(base as u64);
            reserved.clear_bss(&module.tables, module.bias);
        }
        let writable = base + writable.start..base + writable.end;
        Ok(ReservedLayout { reserved, end: base + end as usize, strategies, whole_file: Some(writable) })
    }

    /// Makes read-only what was mapped writable for relocations, in as few system calls as possible, and maps text.
    pub fn protect_file_whole(
        &self,
        modules: &[LoadedModule],
        layout: &ReservedLayout,
        writable: Range<usize>,
    ) -> Result<()> {
        let file = self.file.ok_or_else(|| defect("no file to map from"))?;
        let reserved = &layout.reserved;
        // Then nothing has the right to be read yet: see `Reserved::of_file`.
        let is_write_only = writable == (reserved.start()..layout.end);
        // What lies between `from` and the next data that stays writable becomes read-only at once, across modules.
        let Range { start: mut from, end } = writable;
        for module in modules {
            for data in module.tables.segments.iter().filter(|segment| segment.writable) {
                let data_end = data.end().next_multiple_of(self.page);
                let data_start = data.address / self.page * self.page;
                let relro = module.tables.relro_of(data, self.page);
                // Linkers put RELRO at the start of the segment.
                let start =
                    relro.as_ref().filter(|relro| relro.start == data_start).map_or(data_start, |relro| relro.end);
                if start < data_end {
                    reserved.protect(from, module.address(start) - from)?;
                    from = module.address(data_end);
                    if is_write_only {
                        reserved.allow(module.address(start), (data_end - start) as usize)?;
                    }
                }
                // RELRO that follows data has just become or stayed writable with it.
                if let Some(relro) = relro.filter(|relro| relro.start > data_start) {
                    reserved.protect(module.address(relro.start), (relro.end - relro.start) as usize)?;
                }
            }
        }
        reserved.protect(from, end - from)?;
        for (index, module) in modules.iter().enumerate() {
            let source = Source { offset: file.offset + self.artifact.module_range(index)?.offset, ..file };
            for text in module.tables.segments.iter().filter(|segment| segment.executable) {
                let mapped = self.map_text(reserved, index, module, text, &source);
                mapped.map_err(|error| self.artifact.in_module(index, error))?;
            }
        }
        Ok(())
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
