//! Maps the modules of an artifact into one range of addresses. [`Mapper::choose`] decides how each module gets there; each
//! [`MapStrategy`] has one function that does it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

use super::bind::PatchedCopy;
use super::reserve::{Reserved, Source};
use super::{LoadedModule, NOEXEC, NOEXEC_COPY, defect};
use crate::alloc;
use crate::artifact::Artifact;
use crate::error::{Error, Result, Status};
use crate::limits::MAX_CODE;
use crate::native::image::Segment;
use crate::storage::sealed;

/// How a module gets into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapStrategy {
    /// All modules have the same layout in memory as in the file: one mapping of the file contains them all, and text is mapped
    /// over it at the end. Either all modules of an artifact are mapped like this or none. Each mapping that is saved counts:
    /// the kernel's work with them is most of what loading takes.
    WholeFile,
    /// Segment by segment, from the artifact's file.
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
    /// Where the last module ends: a page boundary, from which the room for unwind tables begins.
    pub end: usize,
    /// How each module is mapped.
    pub strategies: Vec<MapStrategy>,
    /// With [`MapStrategy::WholeFile`]: the addresses that are writable until [`Mapper::protect`].
    pub whole_file: Option<Range<usize>>,
}

/// Copies initialized data of a module into memory: takes the module's index, an offset in its image, and a buffer to fill.
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

impl<'a> Mapper<'a> {
    pub fn new(artifact: &'a Artifact, allow_memfd: bool) -> Mapper<'a> {
        let region = artifact.region();
        let file = region.file().filter(|_| !allow_memfd || !region.noexec());
        // What is checked in private copies is mapped from the file only if it can't have changed since.
        let file = file.filter(|_| !artifact.is_private());
        let file = file.map(|(file, offset)| Source { file, offset });
        Mapper { artifact, file, allow_memfd, page: rustix::param::page_size() as u64 }
    }

    /// Reserves addresses for all modules, sets their biases, and maps them, with `room` bytes after the last one. All of them are
    /// mapped now but [`MapStrategy::PatchedCopy`], which [`Mapper::protect`] maps.
    pub fn map(&self, modules: &mut [LoadedModule], room: usize, contents: &Contents<'_>) -> Result<ReservedLayout> {
        let strategies = self.choose(modules)?;
        if strategies.first() == Some(&MapStrategy::WholeFile) {
            return self.map_file_whole(modules, strategies, room);
        }
        let mut layout = self.reserve(modules, strategies, room)?;
        let copy = self.sealed_copy(&layout.strategies)?;
        let mut copied = 0;
        for (index, module) in modules.iter().enumerate() {
            match layout.strategies.get(index) {
                Some(MapStrategy::FileSegments) => self.map_file_segments(&mut layout, index, module, contents)?,
                Some(MapStrategy::SealedCopy) => {
                    self.map_sealed_copy(&mut layout, index, module, contents, copy.as_ref(), &mut copied)?;
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
        let whole_file = self.can_map_file_whole(modules)?;
        let mut strategies = alloc::with_capacity(modules.len(), "modules")?;
        for (index, module) in modules.iter().enumerate() {
            strategies.push(match self.file {
                _ if whole_file => MapStrategy::WholeFile,
                _ if module.tables.in_text => MapStrategy::PatchedCopy,
                Some(file) if self.is_page_aligned(file, index)? => MapStrategy::FileSegments,
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
    pub fn is_page_aligned(&self, file: Source<'_>, index: usize) -> Result<bool> {
        Ok((file.offset + self.artifact.module_range(index)?.offset).is_multiple_of(self.page))
    }

    /// Fails if mapping text from the file would: for callers that map it last, but want to know before.
    pub fn check_executable(&self) -> Result<()> {
        match self.file {
            Some(file) if !self.allow_memfd => Reserved::check_executable(&file, self.page)
                .map_err(|error| if is_forbidden(&error) { error.within(NOEXEC) } else { error }),
            _ => Ok(()),
        }
    }

    /// Maps text of a module from the artifact's file. If the system forbids that, and copies are allowed, maps a sealed copy of
    /// the text: data that is mapped from the file stays so.
    pub fn map_text(
        &self,
        reserved: &Reserved,
        index: usize,
        module: &LoadedModule,
        text: &Segment,
        source: &Source<'_>,
    ) -> Result<()> {
        let error = match reserved.map_text(text, module.bias, source, self.page) {
            Err(error) if is_forbidden(&error) => error,
            done => return done,
        };
        if !self.allow_memfd {
            return Err(error.within(NOEXEC));
        }
        let place = self.artifact.module_range(index)?;
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
        let mut end = 0u64;
        let max_align = modules.iter().map(|module| module.tables.align).max().unwrap_or(page);
        for module in modules.iter_mut() {
            // The image's start may not be a multiple of its alignment. Then its address is as far from one.
            let (align, skew) = (module.tables.align, module.tables.start % module.tables.align);
            module.bias = end + align - 1 - (end + align - 1 - skew) % align;
            end = module.bias + module.tables.len;
            if end > MAX_CODE {
                let message = format!("code: expected at most {MAX_CODE} bytes of addresses, found more");
                return Err(Error::new(Status::Unsupported, message));
            }
        }
        let total = end + (room as u64).next_multiple_of(page) + (max_align - page);
        let total = usize::try_from(total).map_err(|_| Error::no_memory("code"))?;
        let reserved = Reserved::new(total)?;
        let base = (reserved.start() as u64).next_multiple_of(max_align);
        for module in modules {
            module.bias = (base + module.bias).wrapping_sub(module.tables.start);
        }
        Ok(ReservedLayout { reserved, end: (base + end) as usize, strategies, whole_file: None })
    }

    /// [`MapStrategy::FileSegments`].
    fn map_file_segments(
        &self,
        layout: &mut ReservedLayout,
        index: usize,
        module: &LoadedModule,
        contents: &Contents<'_>,
    ) -> Result<()> {
        let file = self.file.ok_or_else(|| defect("no file to map from"))?;
        let source = Source { offset: file.offset + self.artifact.module_range(index)?.offset, ..file };
        let map_text = |reserved: &Reserved, text: &Segment| self.map_text(reserved, index, module, text, &source);
        self.map_segments(layout, index, module, contents, &source, &map_text)
    }

    /// A sealed file with the images of all modules that are mapped as [`MapStrategy::SealedCopy`], each padded to pages.
    fn sealed_copy(&self, strategies: &[MapStrategy]) -> Result<Option<File>> {
        let is_copied = |(_, strategy): &(usize, &MapStrategy)| **strategy == MapStrategy::SealedCopy;
        let count = strategies.iter().enumerate().filter(is_copied).count();
        if count == 0 {
            return Ok(None);
        }
        let zeros: Vec<u8> = alloc::zeroed(self.page as usize, "a page")?;
        let mut pieces: Vec<&[u8]> = alloc::with_capacity(2 * count, "modules")?;
        for (index, _) in strategies.iter().enumerate().filter(is_copied) {
            let image = self.artifact.module_bytes(index)?;
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
        index: usize,
        module: &LoadedModule,
        contents: &Contents<'_>,
        copy: Option<&File>,
        copied: &mut u64,
    ) -> Result<()> {
        let copy = copy.ok_or_else(|| defect("no copy to map from"))?;
        self.map_copy(layout, index, module, contents, &Source { file: copy.as_fd(), offset: *copied })?;
        *copied += (self.artifact.module_bytes(index)?.len() as u64).next_multiple_of(self.page);
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
        self.map_copy(layout, patched.module, module, &contents, &source)
    }

    /// Maps a module from a sealed copy.
    fn map_copy(
        &self,
        layout: &mut ReservedLayout,
        index: usize,
        module: &LoadedModule,
        contents: &Contents<'_>,
        source: &Source<'_>,
    ) -> Result<()> {
        let map_text = |reserved: &Reserved, text: &Segment| {
            reserved.map_text(text, module.bias, source, self.page).map_err(copy_failed)
        };
        self.map_segments(layout, index, module, contents, source, &map_text)
    }

    fn map_segments(
        &self,
        layout: &mut ReservedLayout,
        index: usize,
        module: &LoadedModule,
        contents: &Contents<'_>,
        source: &Source<'_>,
        map_text: &dyn Fn(&Reserved, &Segment) -> Result<()>,
    ) -> Result<()> {
        let fill = |offset: usize, buffer: &mut [u8]| contents(index, offset, buffer);
        let mapped = layout.reserved.map_image(&module.tables, module.bias, source, self.page, fill, map_text);
        mapped.map_err(|error| self.artifact.in_module(index, error))
    }

    /// Maps what had to wait for relocations, and makes read-only what relocations were written to and the program doesn't write.
    pub fn protect(
        &self,
        modules: &[LoadedModule],
        layout: &mut ReservedLayout,
        patched: &[PatchedCopy],
    ) -> Result<()> {
        if let Some(writable) = &layout.whole_file {
            return self.protect_file_whole(modules, layout, writable.clone());
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
}
