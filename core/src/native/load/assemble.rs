//! Puts the modules of an artifact into memory: places in one range, mapped from the file or from a sealed copy, bound to one
//! another's absence, and their relocated constants made read-only.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use super::bind::{Place, bind, relative};
use super::reserve::{Memory, Reserved, Source};
use super::resolve::{Import, Names, Pending, Resolver};
use super::{Loaded, NOEXEC};
use crate::alloc;
use crate::artifact::Artifact;
use crate::error::{Error, Result, Status};
use crate::limits::MAX_CODE;
use crate::native::image::{Image, Segment};
use crate::storage::sealed;

/// Addresses for all modules in one range.
pub struct Placed {
    pub reserved: Reserved,
    /// Where the room behind them begins, on pages of its own.
    pub end: usize,
    /// Of modules that are mapped already, as they lie in the file: the pages that are writable for now.
    pub flat: Option<Range<usize>>,
}

/// Up to so many bytes of modules, taking the right to write from some pages costs more than giving it to all of them.
const WRITTEN_WHOLE: u64 = 128 << 10;

/// Finds addresses for all modules, with `room` bytes behind them.
pub fn place(modules: &mut [Loaded], room: usize, page: u64) -> Result<Placed> {
    let mut end = 0u64;
    let align = modules.iter().map(|module| module.tables.align).max().unwrap_or(page);
    for module in modules.iter_mut() {
        // As far from a multiple of its alignment as the image's start is.
        let (align, skew) = (module.tables.align, module.tables.start % module.tables.align);
        module.bias = end + align - 1 - (end + align - 1 - skew) % align;
        end = module.bias + module.tables.len;
        if end > MAX_CODE {
            let message = format!("code: expected at most {MAX_CODE} bytes of addresses, found more");
            return Err(Error::new(Status::Limit, message));
        }
    }
    let total = end + (room as u64).next_multiple_of(page) + (align - page);
    let total = usize::try_from(total).map_err(|_| Error::no_memory("code"))?;
    let reserved = Reserved::new(total)?;
    let base = (reserved.start() as u64).next_multiple_of(align);
    for module in modules {
        module.bias = (base + module.bias).wrapping_sub(module.tables.start);
    }
    Ok(Placed { reserved, end: (base + end) as usize, flat: None })
}

/// Maps modules that can lie in memory as they do in the file, all of them at once, and writable where some module is written and
/// between those places; none if some module can't. Otherwise each module takes some mappings, and the kernel's work with those is
/// most of loading.
pub fn place_flat(
    artifact: &Artifact,
    modules: &mut [Loaded],
    room: usize,
    page: u64,
    allow_memfd: bool,
) -> Option<Placed> {
    let (file, start) = source(artifact, allow_memfd)?;
    let mut end = 0;
    for (index, module) in modules.iter_mut().enumerate() {
        let (place, tables) = (artifact.place(index).ok()?, &module.tables);
        let first = tables.segments.first()?;
        let flat = |segment: &Segment| segment.address.wrapping_sub(segment.offset);
        // The file goes on there, with debug information: what is zero in memory has to be cleared.
        let little_bss =
            |segment: &Segment| segment.end() <= (segment.address + segment.file_len).next_multiple_of(page) + page;
        let from = tables.start.checked_sub(flat(first))?; // in the image
        let fits = (start + place.offset) % page == 0
            && tables.align == page
            && !tables.in_text
            && tables.segments.iter().all(|segment| flat(segment) == flat(first) && little_bss(segment))
            && from + tables.len <= place.len.next_multiple_of(page);
        if !fits {
            return None;
        }
        module.bias = place.offset.wrapping_sub(flat(first));
        end = place.offset + from + tables.len;
    }
    if end > MAX_CODE {
        return None;
    }
    let written = if end <= WRITTEN_WHOLE { 0..end as usize } else { written(modules, page) };
    let room = room.next_multiple_of(page as usize);
    let region = artifact.region();
    let fill = |offset: usize, to: &mut [u8]| {
        let there = region.len().saturating_sub(offset as u64).min(to.len() as u64) as usize; // the last page may not be whole
        region.read_at(offset as u64, to.get_mut(..there).unwrap_or_default())
    };
    let reserved = Reserved::of_file(&Source { file, offset: start }, end as usize, room, &written, fill).ok()?;
    let base = reserved.start();
    for module in modules {
        module.bias = module.bias.wrapping_add(base as u64);
    }
    Some(Placed { reserved, end: base + end as usize, flat: Some(base + written.start..base + written.end) })
}

/// Pages from the first that is written to the last.
fn written(modules: &[Loaded], page: u64) -> Range<usize> {
    let pages = |module: &Loaded, segment: &Segment| {
        let place = |address: u64| module.bias.wrapping_add(address) as usize;
        place(segment.address / page * page)..place(segment.end().next_multiple_of(page))
    };
    let all = modules.iter().flat_map(|module| module.tables.segments.iter().map(move |segment| (module, segment)));
    let all = all.filter(|(_, segment)| segment.writable).map(|(module, segment)| pages(module, segment));
    all.reduce(|first, last| first.start..last.end).unwrap_or(0..0)
}

/// The file that modules can be mapped from, and where the artifact begins in it. What was checked must not change any more: it
/// is mapped from a copy unless nobody can change the file.
fn source(artifact: &Artifact, allow_memfd: bool) -> Option<(BorrowedFd<'_>, u64)> {
    let region = artifact.region();
    let file = region.file().filter(|_| !allow_memfd || !region.noexec());
    file.filter(|_| artifact.signer().is_none() || artifact.is_frozen())
}

/// What is being put together.
pub struct Assembly<'a> {
    pub artifact: &'a Artifact,
    pub modules: &'a [Loaded],
    pub placed: &'a Placed,
    pub page: u64,
}

/// How a module gets into memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is there already.
    Mapped,
    /// From the file that it is in.
    Direct,
    /// From a copy: it is in no file, or not on pages of its own there.
    Copied,
    /// From a copy that was relocated before.
    Patched,
}

/// Text that is relocated before it is mapped.
struct Patch<'p> {
    bytes: &'p mut [u8],
    text: Range<u64>,
}

impl Place for Patch<'_> {
    fn write(&mut self, address: u64, value: u64) -> Option<()> {
        let end = address.checked_add(8).filter(|end| address >= self.text.start && *end <= self.text.end)?;
        // Addresses are offsets in such a module.
        self.bytes.get_mut(address as usize..end as usize)?.copy_from_slice(&value.to_le_bytes());
        Some(())
    }
}

#[cold]
fn forbidden() -> Error {
    Error::io("mapping code", &io::Error::from_raw_os_error(libc::EPERM)).within(NOEXEC)
}

impl<'a> Assembly<'a> {
    fn way(&self, index: usize, module: &Loaded, direct: bool) -> Result<Way> {
        let start = self.artifact.region().file().map_or(0, |(_, start)| start);
        Ok(match module.tables.in_text {
            _ if module.run.is_some() => Way::Mapped,
            true => Way::Patched,
            false if direct && (start + self.artifact.place(index)?.offset).is_multiple_of(self.page) => Way::Direct,
            false => Way::Copied,
        })
    }

    /// Maps and binds everything. Whether modules got handles of their own for their destructors.
    pub fn run(
        &self,
        symbols: &[Import<'a>],
        resolver: Option<Resolver<'_>>,
        process: bool,
        allow_memfd: bool,
    ) -> Result<bool> {
        let region = self.artifact.region();
        let file = source(self.artifact, allow_memfd);
        let flat = match (&self.placed.flat, file) {
            (Some(_), None) => return Err(forbidden()), // it was remounted with noexec meanwhile
            (written, file) => written.as_ref().zip(file),
        };
        let mut ways = alloc::with_capacity(self.modules.len(), "modules")?;
        for (index, module) in self.modules.iter().enumerate() {
            ways.push(self.way(index, module, file.is_some())?);
        }
        // What would be copied although its file system forbids executing it. Where it is mapped directly, the kernel says so.
        let copies = ways.iter().any(|way| matches!(way, Way::Copied | Way::Patched));
        if !allow_memfd && (region.copied_noexec() || copies && region.noexec()) {
            return Err(forbidden());
        }

        let copy = self.copy(&ways)?;
        let mut copied = copy.iter().flat_map(|(_, offsets)| offsets);
        let mut names = Names::new(symbols)?;
        let mut pending: Vec<Pending> = Vec::new();
        let mut patched: Vec<(usize, Vec<u8>)> = Vec::new();
        for (index, (module, way)) in self.modules.iter().zip(&ways).enumerate() {
            let image = module.image(self.artifact, index)?;
            let located = |error| self.artifact.in_module(index, error);
            let source = match (way, file, &copy) {
                (Way::Direct, Some((file, start)), _) => {
                    Some(Source { file, offset: start + self.artifact.place(index)?.offset })
                }
                (Way::Copied, _, Some((copy, _))) => {
                    Some(Source { file: copy.as_fd(), offset: copied.next().copied().unwrap_or(0) })
                }
                (Way::Mapped, ..) => None,
                _ => {
                    let mut bytes = alloc::copy(self.artifact.module_bytes(index)?, "a copy of a module")?;
                    let patch = patch(module, &mut bytes);
                    bind(&image, index, module.bias, patch, &mut names, &mut pending).map_err(located)?;
                    alloc::push(&mut patched, (index, bytes), "modules")?;
                    continue;
                }
            };
            if flat.is_some() {
                self.placed.reserved.clear(&module.tables, module.bias);
            } else if let Some(source) = source {
                let fill = copy_from(image);
                self.placed
                    .reserved
                    .map_image(&module.tables, module.bias, &source, self.page, fill)
                    .map_err(located)?;
            }
            // SAFETY: just mapped at that bias, and protected further down only.
            let memory = unsafe { Memory::new(&module.tables, module.bias) };
            relative(&image, &memory).map_err(located)?;
            bind(&image, index, module.bias, &memory, &mut names, &mut pending).map_err(located)?;
        }
        // Of modules that are mapped already, text comes last: nobody is asked for names if that can't be.
        if flat.is_some() && names.are_missing() && !allow_memfd && region.noexec() {
            return Err(forbidden());
        }
        names.settle(resolver, process)?;
        self.complete(&pending, &names, &mut patched)?;
        match &flat {
            Some((written, (file, offset))) => {
                self.finish_flat((*written).clone(), &Source { file: *file, offset: *offset })?;
            }
            None => {
                for module in self.modules {
                    if let Some(relro) = &module.tables.relro {
                        let start = module.bias.wrapping_add(relro.start) as usize;
                        self.placed.reserved.protect(start, (relro.end - relro.start) as usize)?;
                    }
                }
            }
        }
        Ok(names.has_handles())
    }

    /// Makes read-only what was mapped writable and isn't to stay so, in as few runs as there are, and maps text.
    fn finish_flat(&self, written: Range<usize>, file: &Source<'_>) -> Result<()> {
        let reserved = &self.placed.reserved;
        let whole = written == (reserved.start()..self.placed.end); // and mapped without the right to read
        let Range { start: mut from, end } = written;
        for module in self.modules {
            let place = |address: u64| module.bias.wrapping_add(address) as usize;
            for data in module.tables.segments.iter().filter(|segment| segment.writable) {
                let stop = data.end().next_multiple_of(self.page);
                let first = data.address / self.page * self.page;
                let relro = module.tables.relro.as_ref().filter(|relro| (first..stop).contains(&relro.start));
                let start = relro.filter(|relro| relro.start == first).map_or(first, |relro| relro.end);
                if start < stop {
                    reserved.protect(from, place(start) - from)?;
                    from = place(stop);
                    if whole {
                        reserved.allow(place(start), (stop - start) as usize)?;
                    }
                }
                // Behind data: it has just got the right to be written with that.
                if let Some(relro) = relro.filter(|relro| relro.start > first) {
                    reserved.protect(place(relro.start), (relro.end - relro.start) as usize)?;
                }
            }
        }
        reserved.protect(from, end - from)?;
        for (index, module) in self.modules.iter().enumerate() {
            let source = Source { offset: file.offset + self.artifact.place(index)?.offset, ..*file };
            for text in module.tables.segments.iter().filter(|segment| segment.executable) {
                let mapped = reserved.map_text(text, module.bias, &source, self.page);
                mapped.map_err(|error| self.artifact.in_module(index, error))?;
            }
        }
        Ok(())
    }

    /// Writes what has waited for names, and maps what had to wait with it.
    fn complete(&self, pending: &[Pending], names: &Names<'_>, patched: &mut [(usize, Vec<u8>)]) -> Result<()> {
        // Both are in the order of modules.
        let mut patches = patched.iter_mut().peekable();
        for pending in pending.chunk_by(|a, b| a.module == b.module) {
            let Some((index, module)) =
                pending.first().and_then(|first| self.modules.get(first.module).map(|m| (first.module, m)))
            else {
                continue;
            };
            while patches.next_if(|(at, _)| *at < index).is_some() {}
            // SAFETY: a module that isn't patched was mapped at that bias, and is protected later.
            let memory = unsafe { Memory::new(&module.tables, module.bias) };
            for one in pending {
                let value = names.meaning(one.name, module.base()).wrapping_add(one.addend);
                let done = match patches.peek_mut() {
                    Some((at, bytes)) if *at == index => patch(module, bytes).write(one.address, value),
                    _ => memory.write(one.address, value),
                };
                let outside =
                    || Error::corrupt(format!("relocation: no writable segment has address {:#x}", one.address));
                done.ok_or_else(|| self.artifact.in_module(index, outside()))?;
            }
        }
        for (index, bytes) in patched.iter() {
            let Some(module) = self.modules.get(*index) else { continue };
            let copy = sealed(&[bytes])?;
            let source = Source { file: copy.as_fd(), offset: 0 };
            let image = module.image(self.artifact, *index)?;
            let mapped =
                self.placed.reserved.map_image(&module.tables, module.bias, &source, self.page, copy_from(image));
            mapped.map_err(|error| self.artifact.in_module(*index, error))?;
        }
        Ok(())
    }

    /// A sealed file with all modules that are to be copied, and where each begins in it.
    fn copy(&self, ways: &[Way]) -> Result<Option<(File, Vec<u64>)>> {
        let count = ways.iter().filter(|way| **way == Way::Copied).count();
        if count == 0 {
            return Ok(None);
        }
        let zeros: Vec<u8> = alloc::zeroed(self.page as usize, "a page")?;
        let mut pieces: Vec<&[u8]> = alloc::with_capacity(2 * count, "modules")?;
        let mut offsets = alloc::with_capacity(count, "modules")?;
        let mut end = 0u64;
        for (index, _) in ways.iter().enumerate().filter(|(_, way)| **way == Way::Copied) {
            let bytes = self.artifact.module_bytes(index)?;
            let padding = (bytes.len() as u64).next_multiple_of(self.page) - bytes.len() as u64;
            offsets.push(end);
            pieces.push(bytes);
            pieces.push(zeros.get(..padding as usize).unwrap_or(&[]));
            end += bytes.len() as u64 + padding;
        }
        Ok(Some((sealed(&pieces)?, offsets)))
    }
}

/// Takes initialized data from an image's bytes.
fn copy_from(image: Image<'_>) -> impl Fn(usize, &mut [u8]) -> Result<()> + '_ {
    move |offset, to| {
        let found = image.bytes.get(offset..offset + to.len());
        to.copy_from_slice(found.ok_or_else(|| Error::corrupt("expected a segment within the image"))?);
        Ok(())
    }
}

fn patch<'p>(module: &Loaded, bytes: &'p mut [u8]) -> Patch<'p> {
    let text = module.tables.segments.iter().find(|segment| segment.executable);
    Patch { bytes, text: text.map_or(0..0, |text| text.address..text.end()) }
}
