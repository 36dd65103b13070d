//! Maps modules of an artifact into one range of addresses. [`Mapper::choose`] decides how each module gets there; each
//! [`MapStrategy`] has one function that does it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use super::bind::PatchedCopy;
use super::fast_path::MAX_READ_WHOLE;
use super::reserve::Text::{self, LaterOverCopies, LaterOverMapping, Now};
use super::reserve::{Reserved, Source};
use super::{LoadedModule, NOEXEC, NOEXEC_COPY, defect};
use crate::alloc;
use crate::artifact::{Artifact, ModuleRange};
use crate::error::{Error, Result, Status};
use crate::limits::MAX_ADDRESSES;
use crate::native::image::Segment;
use crate::storage::sealed;

/// How a module gets into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapStrategy {
    /// All modules have the same layout in memory as in the file: one mapping of the file contains them all, and text is mapped
    /// over it at the end. Either all modules that are loaded are mapped like this or none. Each mapping that is saved counts:
    /// the kernel's work with them is most of what loading takes.
    WholeFile,
    /// Segment by segment, from the artifact's file. If all modules are, what is small is copied, and text is mapped at the end.
    FileSegments,
    /// Segment by segment, from a sealed copy: the module is in memory, isn't page-aligned in its file, or was signed and the
    /// file may still change.
    SealedCopy,
    /// Segment by segment, from a sealed copy of its own that was relocated before it was sealed: relocations change its text.
    PatchedCopy,
}

/// The addresses of all modules, in one range.
pub struct ReservedLayout {
    pub reserved: Reserved,
    /// Where the room for unwind tables begins: a page boundary.
    pub room: usize,
    /// How each module is mapped.
    pub strategies: Vec<MapStrategy>,
    /// If all modules are mapped from the file: what is left for [`Mapper::protect`], which maps text too.
    pub unprotected: Option<Unprotected>,
}

/// Pages that are writable until relocations have been applied.
#[derive(Clone)]
pub struct Unprotected {
    pub pages: Range<usize>,
    /// They have no right to be read yet: see `Reserved::of_file`.
    pub write_only: bool,
}

/// Copies bytes of a module into memory: takes the module's index, an offset in its image, and a buffer to fill.
pub type Contents<'c> = dyn Fn(usize, usize, &mut [u8]) -> Result<()> + 'c;

/// What it takes to map the modules of one artifact.
pub struct Mapper<'a> {
    pub artifact: &'a Artifact,
    /// The file that modules can be mapped from, executable, and the artifact's offset in it.
    pub file: Option<Source<'a>>,
    pub allow_memfd: bool,
    /// The host's page size.
    pub page: u64,
}

/// Whether the system forbids executing a file: noexec, SELinux, AppArmor, IMA, seccomp and their like.
fn is_forbidden(error: &Error) -> bool {
    matches!(error.errno(), libc::EACCES | libc::EPERM)
}

/// Adds to the error why a private copy can't be executed.
#[cold]
fn copy_failed(error: Error) -> Error {
    if is_forbidden(&error) { error.within(NOEXEC_COPY) } else { error }
}

#[cold]
fn noexec_error() -> Error {
    Error::io("mapping code", &io::Error::from_raw_os_error(libc::EPERM)).within(NOEXEC)
}

/// Whether a module's tables are in a copy of its image. Tables of a larger one may be read where they are mapped, and a hostile image
/// has them anywhere.
fn is_small(module: &LoadedModule) -> bool {
    module.range.len <= MAX_READ_WHOLE
}

impl<'a> Mapper<'a> {
    pub fn new(artifact: &'a Artifact, allow_memfd: bool) -> Mapper<'a> {
        let region = artifact.region();
        let file = region.file().filter(|_| !allow_memfd || !region.noexec());
        // What is checked in private copies is mapped from the file only if it can't have changed since.
        let file = file.filter(|_| !artifact.is_private());
        let file = file.map(|(file, offset)| Source { file, offset });
        Mapper { artifact, file, allow_memfd, page: rustix::param::page_size() as u64 }
    }

    /// Reserves addresses for all modules, sets their biases, and maps them, with `room` bytes next to them. All of them are
    /// mapped now but [`MapStrategy::PatchedCopy`] and, if all of them come from the file, their text: [`Mapper::protect`] maps those.
    pub fn map(&self, modules: &mut [LoadedModule], room: usize, contents: &Contents<'_>) -> Result<ReservedLayout> {
        let strategies = self.choose(modules)?;
        if strategies.first() == Some(&MapStrategy::WholeFile) {
            return self.map_file_whole(modules, strategies, room);
        }
        let is_from_file = strategies.iter().all(|strategy| *strategy == MapStrategy::FileSegments);
        let mut layout = self.reserve(modules, strategies, room)?;
        if is_from_file {
            let start = layout.room + (room as u64).next_multiple_of(self.page) as usize;
            let end = modules.last().map_or(start, |module| (module.base() + module.tables.len) as usize);
            let pages = start..end;
            layout.unprotected = Some(Unprotected { pages, write_only: false });
        }
        let copy = self.sealed_copy(modules, &layout.strategies)?;
        let mut copied = 0;
        for (at, module) in modules.iter().enumerate() {
            match layout.strategies.get(at) {
                Some(MapStrategy::FileSegments) => self.map_file_segments(&mut layout, module, contents)?,
                Some(MapStrategy::SealedCopy) => {
                    self.map_sealed_copy(&mut layout, module, contents, copy.as_ref(), &mut copied)?;
                }
                Some(MapStrategy::PatchedCopy) => {}
                Some(MapStrategy::WholeFile) | None => return Err(defect("a module without a strategy of its own")),
            }
        }
        Ok(layout)
    }

    /// Decides how each module is mapped.
    ///
    /// # Errors
    ///
    /// IO with EPERM if a copy would be needed that gets around a file system's `noexec`, and wasn't allowed. The kernel itself
    /// refuses what is mapped directly from such a file system.
    fn choose(&self, modules: &[LoadedModule]) -> Result<Vec<MapStrategy>> {
        let whole_file = self.can_map_file_whole(modules);
        let mut strategies = alloc::with_capacity(modules.len(), "modules")?;
        for module in modules {
            strategies.push(match self.file {
                _ if whole_file => MapStrategy::WholeFile,
                _ if module.tables.in_text => MapStrategy::PatchedCopy,
                Some(file) if self.is_page_aligned(file, &module.range) => MapStrategy::FileSegments,
                _ => MapStrategy::SealedCopy,
            });
        }
        let is_copy = |strategy| matches!(strategy, &MapStrategy::SealedCopy | &MapStrategy::PatchedCopy);
        let region = self.artifact.region();
        if !self.allow_memfd && (region.copied_noexec() || strategies.iter().any(is_copy) && region.noexec()) {
            return Err(noexec_error());
        }
        Ok(strategies)
    }

    /// Whether a module begins at a page boundary of the file.
    pub fn is_page_aligned(&self, file: Source<'_>, range: &ModuleRange) -> bool {
        (file.offset + range.offset).is_multiple_of(self.page)
    }

    /// Fails if mapping text from the file would: for callers that map it last, but want to know before.
    pub fn check_executable(&self) -> Result<()> {
        match self.file {
            Some(file) if !self.allow_memfd => Reserved::check_executable(&file, self.page)
                .map_err(|error| if is_forbidden(&error) { error.within(NOEXEC) } else { error }),
            _ => Ok(()),
        }
    }

    /// Where a module is in the file.
    pub fn source(&self, module: &LoadedModule) -> Result<Source<'a>> {
        let file = self.file.ok_or_else(|| defect("no file to map from"))?;
        Ok(Source { offset: file.offset + module.range.offset, ..file })
    }

    /// Maps text of a module from the artifact's file. If the system forbids that, and copies are allowed, maps a sealed copy of
    /// the text: data that is mapped from the file stays so.
    pub fn map_text(&self, reserved: &Reserved, module: &LoadedModule, text: &Segment) -> Result<()> {
        let error = match reserved.map_text(text, module.bias, &self.source(module)?, self.page) {
            Err(error) if is_forbidden(&error) => error,
            done => return done,
        };
        if !self.allow_memfd {
            return Err(error.within(NOEXEC));
        }
        let place = module.range;
        let skip = text.offset % self.page;
        let start = text.offset - skip;
        // Whole pages, as in the file, but no further than the module.
        let len = (skip + text.len).next_multiple_of(self.page).min(place.len.saturating_sub(start));
        let bytes = self.artifact.region().read_to_vec(place.offset + start, len, "a private copy")?;
        let copy = sealed(&[&bytes]).map_err(copy_failed)?;
        let source = Source { file: copy.as_fd(), offset: 0 };
        reserved.map_text(&Segment { offset: skip, ..*text }, module.bias, &source, self.page).map_err(copy_failed)
    }

    /// Reserves zeroed memory for modules that are mapped segment by segment, and sets their biases.
    fn reserve(
        &self,
        modules: &mut [LoadedModule],
        strategies: Vec<MapStrategy>,
        room: usize,
    ) -> Result<ReservedLayout> {
        let page = self.page;
        // The room comes first: a module may have more zeros at its end than 32-bit distances reach over.
        let mut end = (room as u64).next_multiple_of(page);
        let max_align = modules.iter().map(|module| module.tables.align).max().unwrap_or(page);
        for module in modules.iter_mut() {
            // The image's start may not be a multiple of its alignment. Then its address is as far from one.
            let (align, skew) = (module.tables.align, module.tables.start % module.tables.align);
            module.bias = end + align - 1 - (end + align - 1 - skew) % align;
            end = module.bias + module.tables.len;
            if end > MAX_ADDRESSES {
                let message = format!("code: expected at most {MAX_ADDRESSES} bytes of addresses, found more");
                return Err(Error::new(Status::Unsupported, message));
            }
        }
        let total = end + (max_align - page);
        let total = usize::try_from(total).map_err(|_| Error::no_memory("code"))?;
        let reserved = Reserved::new(total)?;
        let base = (reserved.start() as u64).next_multiple_of(max_align);
        for module in modules {
            module.bias = (base + module.bias).wrapping_sub(module.tables.start);
        }
        Ok(ReservedLayout { reserved, room: base as usize, strategies, unprotected: None })
    }

    /// [`MapStrategy::FileSegments`].
    fn map_file_segments(
        &self,
        layout: &mut ReservedLayout,
        module: &LoadedModule,
        contents: &Contents<'_>,
    ) -> Result<()> {
        let source = self.source(module)?;
        if layout.unprotected.is_none() {
            let map_text = |reserved: &Reserved, text: &Segment| self.map_text(reserved, module, text);
            return self.map_segments(layout, module, contents, &source, Now(&map_text));
        }
        let text = if is_small(module) { LaterOverCopies } else { LaterOverMapping };
        self.map_segments(layout, module, contents, &source, text)
    }

    /// A sealed file with the images of all modules that are mapped as [`MapStrategy::SealedCopy`], each padded to pages.
    fn sealed_copy(&self, modules: &[LoadedModule], strategies: &[MapStrategy]) -> Result<Option<File>> {
        let is_copied = |(_, strategy): &(&LoadedModule, &MapStrategy)| **strategy == MapStrategy::SealedCopy;
        let copied = modules.iter().zip(strategies).filter(is_copied);
        let count = copied.clone().count();
        if count == 0 {
            return Ok(None);
        }
        let zeros: Vec<u8> = alloc::zeroed(self.page as usize, "a page")?;
        let mut pieces: Vec<&[u8]> = alloc::with_capacity(2 * count, "modules")?;
        for (module, _) in copied {
            let image = self.artifact.module_bytes(module.index)?;
            let padding = image.len().next_multiple_of(self.page as usize) - image.len();
            pieces.push(image);
            pieces.push(zeros.get(..padding).ok_or_else(|| defect("padding of more than a page"))?);
        }
        sealed(&pieces).map(Some).map_err(copy_failed)
    }

    /// [`MapStrategy::SealedCopy`]. `copied` is the module's offset in the copy, and then the next one's.
    fn map_sealed_copy(
        &self,
        layout: &mut ReservedLayout,
        module: &LoadedModule,
        contents: &Contents<'_>,
        copy: Option<&File>,
        copied: &mut u64,
    ) -> Result<()> {
        let copy = copy.ok_or_else(|| defect("no copy to map from"))?;
        self.map_copy(layout, module, contents, &Source { file: copy.as_fd(), offset: *copied })?;
        *copied += (self.artifact.module_bytes(module.index)?.len() as u64).next_multiple_of(self.page);
        Ok(())
    }

    /// [`MapStrategy::PatchedCopy`].
    fn map_patched_copy(
        &self,
        layout: &mut ReservedLayout,
        module: &LoadedModule,
        patched: &PatchedCopy,
    ) -> Result<()> {
        let copy = sealed(&[&patched.bytes]).map_err(copy_failed)?;
        let source = Source { file: copy.as_fd(), offset: 0 };
        let contents = |_: usize, offset: usize, buffer: &mut [u8]| {
            let bytes = patched.bytes.get(offset..offset + buffer.len());
            buffer.copy_from_slice(bytes.ok_or_else(|| defect("a segment outside its image"))?);
            Ok(())
        };
        self.map_copy(layout, module, &contents, &source)
    }

    /// Maps a module from a sealed copy.
    fn map_copy(
        &self,
        layout: &mut ReservedLayout,
        module: &LoadedModule,
        contents: &Contents<'_>,
        source: &Source<'_>,
    ) -> Result<()> {
        let map_text = |reserved: &Reserved, text: &Segment| {
            reserved.map_text(text, module.bias, source, self.page).map_err(copy_failed)
        };
        self.map_segments(layout, module, contents, source, Now(&map_text))
    }

    fn map_segments(
        &self,
        layout: &mut ReservedLayout,
        module: &LoadedModule,
        contents: &Contents<'_>,
        source: &Source<'_>,
        text: Text<'_>,
    ) -> Result<()> {
        let fill = |offset: usize, buffer: &mut [u8]| contents(module.index, offset, buffer);
        let mapped = layout.reserved.map_image(&module.tables, module.bias, source, self.page, fill, text);
        mapped.map_err(|error| self.artifact.in_module(module.index, error))
    }

    /// Maps what had to wait for relocations, and makes read-only what relocations were written to and the program doesn't write.
    pub fn protect(
        &self,
        modules: &[LoadedModule],
        layout: &mut ReservedLayout,
        patched: &[PatchedCopy],
    ) -> Result<()> {
        if let Some(unprotected) = layout.unprotected.take() {
            return self.protect_all(modules, &layout.reserved, unprotected);
        }
        for copy in patched {
            let module = modules.get(copy.module).ok_or_else(|| defect("a patched copy of no module"))?;
            self.map_patched_copy(layout, module, copy)?;
        }
        for module in modules {
            for relro in module.tables.segments.iter().filter_map(|data| module.tables.relro_of(data, self.page)) {
                layout.reserved.protect(module.address(relro.start), (relro.end - relro.start) as usize)?;
            }
        }
        Ok(())
    }
    /// Makes read-only what was writable for relocations, in as few system calls as possible, and maps text: if all modules come from
    /// the file.
    fn protect_all(&self, modules: &[LoadedModule], reserved: &Reserved, unprotected: Unprotected) -> Result<()> {
        let Unprotected { pages, write_only } = unprotected;
        // What lies between `from` and the next data that stays writable becomes read-only at once, across modules.
        let Range { start: mut from, end } = pages;
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
                    if write_only {
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
        for module in modules {
            for text in module.tables.segments.iter().filter(|segment| segment.executable) {
                let mapped = self.map_text(reserved, module, text);
                mapped.map_err(|error| self.artifact.in_module(module.index, error))?;
            }
        }
        Ok(())
    }
}
