//! Private, read-only mappings of files, and read-only copies of their bytes.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering::SeqCst};

use rustix::fs::fstat;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::param::page_size;

use super::{Part, Region, quote_path};
use crate::error::{Error, Result};

/// An open file, and the mapping of a part of it, which others may share and keep for longer.
#[derive(Debug)]
pub(super) struct MappedFile {
    pub file: Arc<File>,
    pub mapping: Arc<LazyMapping>,
}

impl MappedFile {
    /// Owns a file of which `len` bytes at `offset` are going to be mapped.
    pub fn new(file: Arc<File>, offset: u64, len: u64) -> MappedFile {
        let (descriptor, pages) = (AtomicI32::new(file.as_raw_fd()), AtomicPtr::new(null_mut()));
        MappedFile { file, mapping: Arc::new(LazyMapping { offset, len, descriptor, pages }) }
    }
}

impl Drop for MappedFile {
    /// Maps the file for those who keep the mapping: nobody can once the descriptor is closed.
    fn drop(&mut self) {
        if Arc::strong_count(&self.mapping) > 1 {
            self.mapping.close();
        }
    }
}

/// A private, read-only mapping of a part of a file, made when it is first needed. That takes neither a lock nor memory, so that
/// signal handlers can.
///
/// The file must not be truncated or written in place while it is mapped; the C header says so. Data read from a mapping is
/// therefore validated where it is used, and Metadata is never decoded from a mapping: verifying only hashes it there.
#[derive(Debug)]
pub struct LazyMapping {
    offset: u64,
    len: u64,
    /// The file's descriptor, which a [`MappedFile`] owns; -1: closed.
    descriptor: AtomicI32,
    /// The first page; NULL: not mapped yet; [`LOST`]: never to be mapped.
    pages: AtomicPtr<u8>,
}

/// No page begins here.
const LOST: *mut u8 = std::ptr::without_provenance_mut(1);

impl LazyMapping {
    /// How many bytes the mapping has before the first one that was asked for, and in all.
    fn extent(&self) -> Option<(usize, usize)> {
        let skip = self.offset as usize % page_size();
        Some((skip, usize::try_from(self.len).ok()?.checked_add(skip)?))
    }

    /// Returns the bytes if they are mapped.
    pub fn get(&self) -> Option<&[u8]> {
        if self.len == 0 {
            return Some(&[]);
        }
        let pages = self.pages.load(SeqCst);
        let (skip, size) = self.extent().filter(|_| !pages.is_null() && pages != LOST)?;
        // SAFETY: `map` has mapped as many bytes there, of which `skip` come before ours, readable until this is dropped. The bytes
        // are only read, through bounds-checked slices, and memory safety does not depend on two reads of a byte giving the same value.
        // Truncation by another process raises SIGBUS, which no user of mappings can prevent; the interface documents this and offers
        // private copies.
        Some(unsafe { std::slice::from_raw_parts(pages.add(skip), size - skip) })
    }

    /// Maps the bytes.
    pub fn map(&self) -> std::result::Result<&[u8], Errno> {
        if let Some(mapped) = self.get() {
            return Ok(mapped);
        }
        let (skip, size) = self.extent().ok_or(Errno::NOMEM)?;
        let file = self.file().ok_or(Errno::BADF)?;
        // SAFETY: a new mapping, at an address that the kernel chooses: it replaces no other one.
        let pages =
            unsafe { mmap(null_mut(), size, ProtFlags::READ, MapFlags::PRIVATE, file, self.offset - skip as u64)? };
        // If two threads get here at once, both map the file and one mapping is dropped. So is the mapping of whatever file has got
        // the number of the descriptor that `close`, in another thread, has given up a moment ago.
        if self.pages.compare_exchange(null_mut(), pages.cast(), SeqCst, SeqCst).is_err() {
            // SAFETY: mapped just now, and nothing refers to it.
            let _ = unsafe { munmap(pages, size) }; // can't fail: a whole mapping
        }
        self.get().ok_or(Errno::NOMEM)
    }

    /// Returns the bytes. Maps a file that is as long as it has to be, unless that is done. Takes no memory, even if it fails.
    pub fn map_if_long_enough(&self) -> Option<&[u8]> {
        self.get().or_else(|| {
            let len = fstat(self.file()?).ok()?.st_size as u64;
            if len >= self.offset + self.len { self.map().ok() } else { None }
        })
    }

    fn file(&self) -> Option<BorrowedFd<'_>> {
        let descriptor = self.descriptor.load(SeqCst);
        // SAFETY: a `MappedFile` closes it only after `close`. Who has read the number just before may use it after that: see `map`.
        (descriptor >= 0).then(|| unsafe { BorrowedFd::borrow_raw(descriptor) })
    }

    /// Maps the bytes as long as the descriptor is open. From now on nothing uses the descriptor.
    fn close(&self) {
        if self.map_if_long_enough().is_none() {
            // Already mapped if this fails.
            let _ = self.pages.compare_exchange(null_mut(), LOST, SeqCst, SeqCst);
        }
        self.descriptor.store(-1, SeqCst);
    }
}

impl Drop for LazyMapping {
    fn drop(&mut self) {
        let pages = *self.pages.get_mut();
        if let Some((_, size)) = self.extent().filter(|_| !pages.is_null() && pages != LOST) {
            // SAFETY: mapped by `map`, and nothing borrows from it any more.
            let _ = unsafe { munmap(pages.cast(), size) }; // can't fail: a whole mapping
        }
    }
}

/// A private copy of a part of a region. It is read-only once it is constructed.
#[derive(Debug)]
pub struct PrivateCopy {
    memory: memmap2::Mmap,
    start: usize,
    len: usize,
}

impl PrivateCopy {
    /// Copies a whole regular file.
    ///
    /// # Errors
    ///
    /// IO if the file can't be opened or read, INVALID_ARGUMENT if it is not a regular file, TRUNCATED if it becomes shorter
    /// meanwhile, NO_MEMORY.
    pub fn open(path: &Path) -> Result<PrivateCopy> {
        let region = Region::open(path, Part::default())?;
        region.private_copy(0, region.len(), 0, 1).map_err(|error| error.within(quote_path(path)))
    }

    /// Creates a copy of `len` bytes, which `fill` writes into zeros. The byte after the first `prefix` ones is aligned to `align`.
    pub(super) fn new(
        len: u64,
        prefix: u64,
        align: u64,
        fill: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<PrivateCopy> {
        let no_memory = || Error::no_memory("a private copy");
        let word = |number: u64| usize::try_from(number).map_err(|_| no_memory());
        let (len, prefix, align) = (word(len)?, word(prefix)?, word(align)?.max(1));
        let size = len.checked_add(align).ok_or_else(no_memory)?;
        let cannot = |error| Error::io("making a private copy", &error);
        // No swap is reserved: what is a hole of a sparse file takes no memory.
        let mut memory = memmap2::MmapOptions::new().len(size).no_reserve_swap().map_anon().map_err(cannot)?;
        let misalignment = (memory.as_ptr() as usize).wrapping_add(prefix) % align;
        let start = (align - misalignment) % align;
        fill(memory.get_mut(start..start + len).unwrap_or_default())?;
        Ok(PrivateCopy { memory: memory.make_read_only().map_err(cannot)?, start, len })
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.len).unwrap_or(&[])
    }
}

impl AsRef<[u8]> for PrivateCopy {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}
