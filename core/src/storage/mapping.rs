//! Private, read-only mappings of files, and read-only copies of their bytes.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use super::{Part, Region, open_regular, quote_path};
use crate::error::{Error, Result};

/// A private, read-only mapping of a part of a file.
///
/// The file must not be truncated or written in place while it is mapped; the C header says so. Data read from a mapping is
/// therefore validated where it is used, and Metadata is never decoded from a mapping: verifying only hashes it there.
#[derive(Debug)]
pub struct Mapping(Option<memmap2::Mmap>);

impl Mapping {
    /// Maps `len` bytes at `offset`, which need not be a multiple of the page size.
    pub(super) fn new(file: BorrowedFd<'_>, offset: u64, len: u64) -> Result<Mapping> {
        let cannot = |error| Error::io(format!("mapping {len} bytes"), &error).at(offset);
        if len == 0 {
            return Ok(Mapping(None));
        }
        let size = usize::try_from(len).map_err(|_| cannot(std::io::ErrorKind::OutOfMemory.into()))?;
        let mut options = memmap2::MmapOptions::new();
        options.offset(offset).len(size);
        // SAFETY: the mapping is private and read-only, and its bytes are only read, through bounds-checked slices. Memory
        // safety does not depend on two reads of a byte giving the same value. Truncation by another process raises SIGBUS,
        // which no user of mappings can prevent; the interface documents this and offers private copies.
        let map = unsafe { options.map_copy_read_only(file.as_raw_fd()) }.map_err(cannot)?;
        Ok(Mapping(Some(map)))
    }

    /// Maps a whole regular file.
    ///
    /// # Errors
    ///
    /// IO if the file can't be opened or mapped, INVALID_ARGUMENT if it is not a regular file.
    pub fn open(path: &Path) -> Result<Mapping> {
        use std::os::fd::AsFd;
        let (file, len) = open_regular(path)?;
        Mapping::new(file.as_fd(), 0, len).map_err(|error| error.within(quote_path(path)))
    }

    /// Maps a whole open file, which need not stay open.
    ///
    /// # Errors
    ///
    /// IO if the file can't be mapped, INVALID_ARGUMENT if it is not a regular file.
    pub fn open_fd(fd: BorrowedFd<'_>) -> Result<Mapping> {
        let region = Region::open_fd(fd, Part::default())?;
        Mapping::new(fd, 0, region.len())
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_deref().unwrap_or(&[])
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
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
    /// Creates a copy of `len` bytes, which `fill` writes. The byte after the first `prefix` ones is aligned to `align`.
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
        let mut memory = memmap2::MmapMut::map_anon(size).map_err(cannot)?;
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
