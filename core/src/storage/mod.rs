//! The sources and destinations of bytes: files, mappings, memory. Only this module accesses the file system.

mod lock;
mod mapping;
mod save;
mod snapshot;
mod tree;
mod window;

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};

pub use crate::threads::without_size_signal;
pub use lock::{Lock, LockFile};
pub use mapping::PrivateCopy;
use mapping::{LazyMapping, MappedFile};
pub use save::{Folder, PRIVATE_MODE, PUBLIC_MODE, Sink, Sync, create, replace, replace_with, temporary_of};
pub use snapshot::sealed;
pub use tree::{Listed, Tree, Usage, check_private, is_remote, touch};
pub(crate) use window::{Held, Window};

use crate::alloc;
use crate::error::{Error, Result, Status, quote};

/// The bytes of an artifact: a file, a part of a file, or memory.
#[derive(Debug)]
pub struct Region {
    backing: Backing,
    /// Offset of the region in the file or memory that the caller gave. Offsets in errors include it.
    base: u64,
    /// Offset of the region in the backing file or memory, which may be a private copy.
    start: u64,
    len: u64,
    /// Whether the region is a copy from a file system mounted with noexec.
    noexec: bool,
}

#[derive(Debug)]
enum Backing {
    /// Read with `pread`, and mapped when `bytes` is first called.
    File(MappedFile),
    Owned(Arc<Vec<u8>>),
    Borrowed(&'static [u8]),
}

/// The bytes of a region without its file: who has them keeps no descriptor.
#[derive(Clone, Debug)]
pub enum SharedBytes {
    /// Mapped, or going to be when they are first needed.
    Mapped(Arc<LazyMapping>),
    /// In memory of the library's own.
    Owned(Arc<Vec<u8>>),
    /// In the caller's memory.
    Borrowed(&'static [u8]),
}

impl SharedBytes {
    /// Returns the bytes, if they can be had. Takes no lock and no memory: signal handlers call it.
    #[must_use]
    pub fn get(&self) -> Option<&[u8]> {
        match self {
            SharedBytes::Mapped(mapping) => mapping.map_if_long_enough(),
            SharedBytes::Owned(bytes) => Some(bytes),
            SharedBytes::Borrowed(bytes) => Some(bytes),
        }
    }
}

/// The location of some of a region's bytes.
enum Source<'r> {
    Memory(&'r [u8]),
    /// A file and the offset in it.
    File(&'r File, u64),
}

#[cold]
fn read_error(wanted: usize, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let message = format!("expected {wanted} bytes, found that the file has become shorter");
        return Error::new(Status::Truncated, message);
    }
    Error::io(format!("reading {wanted} bytes"), error)
}

/// A part of a file or of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Offset of the part in bytes.
    pub offset: u64,
    /// Length of the part in bytes. Without a length the part extends to the end.
    pub length: Option<u64>,
}

impl Part {
    /// Returns offset and length of the part in a file or memory of `total` bytes.
    fn resolve(self, total: u64) -> Result<(u64, u64)> {
        let rest = total.checked_sub(self.offset).ok_or_else(|| {
            let message = format!("offset: expected at most the length of {total} bytes, found {}", self.offset);
            Error::new(Status::InvalidArgument, message)
        })?;
        match self.length {
            None => Ok((self.offset, rest)),
            Some(length) if length <= rest => Ok((self.offset, length)),
            Some(length) => {
                let message = format!("length: expected at most the {rest} bytes after the offset, found {length}");
                Err(Error::new(Status::InvalidArgument, message))
            }
        }
    }
}

/// Quotes a path for an error message.
#[must_use]
pub fn quote_path(path: &Path) -> String {
    format!("'{}'", quote(path.as_os_str().as_bytes()))
}

/// Opens a regular file for reading. O_NONBLOCK keeps the call from waiting for the other end of a FIFO.
fn open_regular(path: &Path) -> Result<(File, u64)> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| Error::io(format!("opening {}", quote_path(path)), &error))?;
    let len = regular_len(&file).map_err(|error| error.within(quote_path(path)))?;
    Ok((file, len))
}

fn regular_len(file: &File) -> Result<u64> {
    let metadata = file.metadata().map_err(|error| Error::io("reading the file's length", &error))?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    let message = format!("expected a regular file, found {}", file_type_name(metadata.file_type()));
    Err(Error::new(Status::InvalidArgument, message))
}

fn file_type_name(kind: std::fs::FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_block_device() || kind.is_char_device() {
        "a device"
    } else {
        "something else"
    }
}

impl Region {
    /// Opens a part of the file at `path`.
    ///
    /// # Errors
    ///
    /// IO if the file can't be opened; INVALID_ARGUMENT if it is not a regular file or the part lies outside it.
    pub fn open(path: &Path, part: Part) -> Result<Region> {
        let (file, len) = open_regular(path)?;
        let (base, len) = part.resolve(len).map_err(|error| error.within(quote_path(path)))?;
        Ok(Region::of_part(file, base, len))
    }

    fn of_part(file: File, base: u64, len: u64) -> Region {
        let backing = Backing::File(MappedFile::new(Arc::new(file), base, len));
        Region { backing, base, start: base, len, noexec: false }
    }

    /// Creates a region from a part of an open file. The descriptor is duplicated. Its file position is neither used nor changed.
    ///
    /// # Errors
    ///
    /// As [`Region::open`].
    pub fn open_fd(fd: BorrowedFd<'_>, part: Part) -> Result<Region> {
        let copy = fd.try_clone_to_owned().map_err(|error| Error::io("duplicating the descriptor", &error))?;
        let file = File::from(copy);
        let (base, len) = part.resolve(regular_len(&file)?)?;
        Ok(Region::of_part(file, base, len))
    }

    /// Creates a region of a whole open file of `len` bytes.
    #[must_use]
    pub fn of_file(file: File, len: u64) -> Region {
        Region::of_part(file, 0, len)
    }

    /// Copies a part of `bytes` into a region.
    ///
    /// # Errors
    ///
    /// NO_MEMORY; INVALID_ARGUMENT if the part lies outside `bytes`.
    pub fn copied(bytes: &[u8], part: Part) -> Result<Region> {
        let (base, len) = part.resolve(bytes.len() as u64)?;
        // The casts are lossless: both bounds lie within a slice.
        let bytes = bytes.get(base as usize..(base + len) as usize).unwrap_or(&[]);
        let mut owned = alloc::with_capacity(bytes.len(), "a copy of the artifact")?;
        owned.extend_from_slice(bytes);
        Ok(Region { base, ..Region::owned(owned) })
    }

    /// Creates a region that owns `bytes`.
    #[must_use]
    pub fn owned(bytes: Vec<u8>) -> Region {
        let len = bytes.len() as u64;
        Region { backing: Backing::Owned(Arc::new(bytes)), base: 0, start: 0, len, noexec: false }
    }

    /// Creates a region that borrows a part of `bytes`.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the part lies outside `bytes`.
    pub fn borrowed(bytes: &'static [u8], part: Part) -> Result<Region> {
        let (base, len) = part.resolve(bytes.len() as u64)?;
        let bytes = bytes.get(base as usize..(base + len) as usize).unwrap_or(&[]);
        Ok(Region { backing: Backing::Borrowed(bytes), base, start: 0, len, noexec: false })
    }

    /// Returns a region over a part of this one, which shares its file or memory.
    ///
    /// # Errors
    ///
    /// TRUNCATED if the part lies outside the region.
    pub fn part(&self, offset: u64, len: u64) -> Result<Region> {
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            let message = format!("expected {len} bytes at {offset}, found the end at {}", self.len);
            return Err(Error::new(Status::Truncated, message).at(offset));
        }
        let start = self.start + offset;
        let backing = match &self.backing {
            Backing::File(from) => Backing::File(MappedFile::new(Arc::clone(&from.file), start, len)),
            Backing::Owned(bytes) => Backing::Owned(Arc::clone(bytes)),
            Backing::Borrowed(bytes) => Backing::Borrowed(bytes),
        };
        Ok(Region { backing, base: self.base + offset, start, len, noexec: self.noexec })
    }

    /// Returns the offset of the region in the file or memory that the caller gave.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// Returns the backing file and the region's offset in it; none if the region is memory.
    #[must_use]
    pub fn file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        match &self.backing {
            Backing::File(from) => Some((from.file.as_fd(), self.start)),
            Backing::Owned(_) | Backing::Borrowed(_) => None,
        }
    }

    /// Returns whether the bytes come from a file system mounted with noexec.
    #[must_use]
    pub fn noexec(&self) -> bool {
        self.noexec || self.file().is_some_and(|(file, _)| snapshot::noexec(file))
    }

    /// Returns whether the region is a copy from a file system mounted with noexec. The copy's own memfd would not show that.
    #[must_use]
    pub fn copied_noexec(&self) -> bool {
        self.noexec
    }

    /// Returns the length in bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether the region has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the bytes of a region in memory; none of a file.
    fn memory(&self) -> &[u8] {
        let all: &[u8] = match &self.backing {
            Backing::Owned(bytes) => bytes,
            Backing::Borrowed(bytes) => bytes,
            Backing::File(..) => &[],
        };
        // The casts are lossless: both bounds lie within a slice.
        all.get(self.start as usize..(self.start + self.len) as usize).unwrap_or(&[])
    }

    /// Locates `len` bytes at `offset`, without touching a mapping.
    fn locate(&self, offset: u64, len: usize) -> Result<Source<'_>> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len);
        if let (Backing::File(from), Some(_)) = (&self.backing, end) {
            return Ok(Source::File(&from.file, self.start + offset));
        }
        let found = end.and_then(|end| self.memory().get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
        found.map(Source::Memory).ok_or_else(|| {
            let message = format!("expected {len} bytes at {offset}, found the end at {}", self.len);
            Error::new(Status::Truncated, message).at(offset)
        })
    }

    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// # Errors
    ///
    /// IO; TRUNCATED if the region ends before `buffer` is full.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match self.locate(offset, buffer.len())? {
            Source::Memory(found) => buffer.copy_from_slice(found),
            Source::File(file, at) => {
                file.read_exact_at(buffer, at).map_err(|error| read_error(buffer.len(), &error).at(offset))?;
            }
        }
        Ok(())
    }

    /// Reads `len` bytes at `offset` into a new vector. `what` names them in the error if memory runs out.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED, NO_MEMORY.
    pub fn read_to_vec(&self, offset: u64, len: u64, what: &str) -> Result<Vec<u8>> {
        let len = usize::try_from(len).map_err(|_| Error::no_memory(what))?;
        let (file, at) = match self.locate(offset, len)? {
            Source::Memory(found) => return alloc::copy(found, what),
            Source::File(file, at) => (file, at),
        };
        let mut copy = alloc::with_capacity(len, what)?;
        while copy.len() < len {
            let next = at + copy.len() as u64;
            let error = match pread(file, spare_capacity(&mut copy), next) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) | Err(Errno::INTR) => continue,
                Err(error) => io::Error::from(error),
            };
            return Err(read_error(len, &error).at(offset));
        }
        copy.truncate(len); // the vector may have more capacity than requested, which pread fills too
        Ok(copy)
    }

    /// Returns the bytes between two offsets, of a file a copy: no change of the file can reach it.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED, NO_MEMORY.
    pub fn stable(&self, start: u64, end: u64, what: &str) -> Result<Cow<'_, [u8]>> {
        let len = end.saturating_sub(start);
        if self.file().is_some() {
            return self.read_to_vec(start, len, what).map(Cow::Owned);
        }
        match self.locate(start, usize::try_from(len).map_err(|_| Error::no_memory(what))?)? {
            Source::Memory(found) => Ok(Cow::Borrowed(found)),
            Source::File(..) => Err(Error::new(Status::Internal, "a file that has no descriptor")),
        }
    }

    /// Copies `len` bytes at `offset` into new read-only memory, where the byte after the first `prefix` ones is aligned to `align`.
    /// Holes of a sparse file take no memory.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED, NO_MEMORY.
    pub fn private_copy(&self, offset: u64, len: u64, prefix: u64, align: u64) -> Result<PrivateCopy> {
        PrivateCopy::new(len, prefix, align, |copy| self.read_data(offset, copy))
    }

    /// Copies only these ranges, which count from `offset`, out of `len` bytes at `offset`. The other bytes are zeros, which take no
    /// memory.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED, NO_MEMORY.
    pub fn private_copy_of(&self, offset: u64, len: u64, ranges: &[Range<u64>]) -> Result<PrivateCopy> {
        PrivateCopy::new(len, 0, 1, |copy| {
            ranges.iter().try_for_each(|range| {
                // Ranges outside the copy stay empty, so the casts are lossless.
                let part = copy.get_mut(range.start as usize..range.end as usize).unwrap_or_default();
                self.read_at(offset + range.start, part)
            })
        })
    }

    /// Checks, before the file is mapped, that it is still as long as the region needs: accessing pages past the end of a file raises
    /// SIGBUS. A file that is truncated later can still cause that.
    ///
    /// # Errors
    ///
    /// TRUNCATED if the file has become shorter; IO.
    pub fn check_length(&self) -> Result<()> {
        let Backing::File(from) = &self.backing else { return Ok(()) };
        let (expected, found) = (self.start + self.len, regular_len(&from.file)?);
        if found >= expected {
            return Ok(());
        }
        let message =
            format!("expected a file of {expected} bytes, as when it was opened, found a shorter one of {found}");
        Err(Error::new(Status::Truncated, message))
    }

    /// Returns the bytes for who may need them longer than the region is there.
    #[must_use]
    pub fn shared(&self) -> SharedBytes {
        match &self.backing {
            Backing::File(from) => SharedBytes::Mapped(Arc::clone(&from.mapping)),
            Backing::Owned(bytes) => SharedBytes::Owned(Arc::clone(bytes)),
            Backing::Borrowed(bytes) => SharedBytes::Borrowed(bytes),
        }
    }

    /// Returns all bytes. A file is mapped by the first call.
    ///
    /// # Errors
    ///
    /// IO or NO_MEMORY if the file can't be mapped; TRUNCATED if it has become shorter since it was opened.
    pub fn bytes(&self) -> Result<&[u8]> {
        match &self.backing {
            Backing::Owned(_) | Backing::Borrowed(_) => Ok(self.memory()),
            Backing::File(from) => {
                if let Some(bytes) = from.mapping.get() {
                    return Ok(bytes);
                }
                self.check_length()?;
                let mapped = from.mapping.map();
                mapped.map_err(|errno| Error::io(format!("mapping {} bytes", self.len), &errno.into()).at(self.start))
            }
        }
    }
}
