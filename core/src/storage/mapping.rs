//! A private, read-only mapping of a part of a file.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use super::{Part, Region, open_regular, shown};
use crate::error::{Error, Result};

/// Bytes of a file, mapped.
///
/// They are the file's as long as nobody truncates or writes it in place; the C header says so. What is read from a
/// mapping is therefore checked where it is used, and Metadata is never decoded from one: verifying only hashes it there.
#[derive(Debug)]
pub struct Mapping(Option<memmap2::Mmap>);

impl Mapping {
    /// Maps `len` bytes from `offset`, which need not be a multiple of the page size.
    pub(super) fn new(file: BorrowedFd<'_>, offset: u64, len: u64) -> Result<Mapping> {
        let cannot = |error| Error::io(format!("mapping {len} bytes"), &error).at(offset);
        if len == 0 {
            return Ok(Mapping(None));
        }
        let size = usize::try_from(len).map_err(|_| cannot(std::io::ErrorKind::OutOfMemory.into()))?;
        let mut options = memmap2::MmapOptions::new();
        options.offset(offset).len(size);
        // SAFETY: the bytes are only ever read, through bounds-checked slices, and no decision about memory safety rests on
        // their staying the same between two reads. Truncation by another process raises SIGBUS, which nothing that maps
        // can prevent; the interface documents it and offers private copies.
        let map = unsafe { options.map_copy_read_only(file.as_raw_fd()) }.map_err(cannot)?;
        Ok(Mapping(Some(map)))
    }

    /// Maps a whole regular file.
    ///
    /// # Errors
    ///
    /// IO if it can't be opened or mapped, INVALID_ARGUMENT if it is no regular file.
    pub fn open(path: &Path) -> Result<Mapping> {
        use std::os::fd::AsFd;
        let (file, len) = open_regular(path)?;
        Mapping::new(file.as_fd(), 0, len).map_err(|error| error.within(shown(path)))
    }

    /// Maps a whole open file, which must be a regular one and need not stay open.
    ///
    /// # Errors
    ///
    /// IO if it can't be mapped, INVALID_ARGUMENT if it is no regular file.
    pub fn open_fd(fd: BorrowedFd<'_>) -> Result<Mapping> {
        let region = Region::open_fd(fd, Part::default())?;
        Mapping::new(fd, 0, region.len())
    }

    /// The bytes.
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

/// A private copy of a part of a region, read-only from the moment it is handed out.
#[derive(Debug)]
pub struct PrivateCopy {
    memory: memmap2::Mmap,
    start: usize,
    len: usize,
}

impl PrivateCopy {
    /// `len` bytes that `fill` writes, the one at `lead` on an address that is a multiple of `align`.
    pub(super) fn new(
        len: u64,
        lead: u64,
        align: u64,
        fill: impl FnOnce(&mut [u8]) -> Result<()>,
    ) -> Result<PrivateCopy> {
        let no_memory = || Error::no_memory("a private copy");
        let word = |number: u64| usize::try_from(number).map_err(|_| no_memory());
        let (len, lead, align) = (word(len)?, word(lead)?, word(align)?.max(1));
        let size = len.checked_add(align).ok_or_else(no_memory)?;
        let cannot = |error| Error::io("making a private copy", &error);
        let mut memory = memmap2::MmapMut::map_anon(size).map_err(cannot)?;
        let past = (memory.as_ptr() as usize).wrapping_add(lead) % align;
        let start = (align - past) % align;
        fill(memory.get_mut(start..start + len).unwrap_or_default())?;
        Ok(PrivateCopy { memory: memory.make_read_only().map_err(cannot)?, start, len })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.memory.get(self.start..self.start + self.len).unwrap_or(&[])
    }
}
