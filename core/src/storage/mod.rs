//! Where bytes come from and go to: files, mappings, memory. The only place that talks to the file system.

mod mapping;
mod save;
mod snapshot;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::OnceLock;

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};

pub use mapping::Mapping;
pub(crate) use mapping::PrivateCopy;
pub use save::{PRIVATE_MODE, PUBLIC_MODE, Sink, Sync, create, replace, replace_with};
pub use snapshot::sealed;

use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::format::Fetch;

/// A run of bytes that an artifact lies in: a file or a part of one, or memory.
#[derive(Debug)]
pub struct Region {
    backing: Backing,
    /// Where it begins in what the caller named: what errors count from.
    base: u64,
    /// Where it begins in the file that it is read from.
    start: u64,
    len: u64,
    /// Copied from a file system that forbids executing what it has.
    noexec: bool,
}

#[derive(Debug)]
enum Backing {
    /// Read with `pread`; mapped when somebody first wants its bytes.
    File(File, OnceLock<Mapping>),
    Owned(Vec<u8>),
    Borrowed(&'static [u8]),
}

/// Where some of a region's bytes are.
enum Piece<'r> {
    Memory(&'r [u8]),
    /// In a file, from that offset on.
    File(&'r File, u64),
}

#[cold]
fn unreadable(wanted: usize, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        let message = format!("expected {wanted} bytes, found a file that has become shorter");
        return Error::new(Status::Truncated, message);
    }
    Error::io(format!("reading {wanted} bytes"), error)
}

/// Which part of a file or of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// Its length in bytes; to the end if there is none.
    pub length: Option<u64>,
}

impl Part {
    fn of(self, total: u64) -> Result<(u64, u64)> {
        let rest = total.checked_sub(self.offset).ok_or_else(|| {
            let message = format!("offset: expected at most the length of {total} bytes, found {}", self.offset);
            Error::new(Status::InvalidArgument, message)
        })?;
        match self.length {
            None => Ok((self.offset, rest)),
            Some(length) if length <= rest => Ok((self.offset, length)),
            Some(length) => {
                let message = format!("length: expected at most the {rest} bytes behind the offset, found {length}");
                Err(Error::new(Status::InvalidArgument, message))
            }
        }
    }
}

/// A path as messages show it.
#[must_use]
pub fn shown(path: &Path) -> String {
    format!("'{}'", quote(path.as_os_str().as_bytes()))
}

/// Opens a regular file for reading. Never waits for another process, as opening a FIFO would.
fn open_regular(path: &Path) -> Result<(File, u64)> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| Error::io(format!("opening {}", shown(path)), &error))?;
    let len = regular_len(&file).map_err(|error| error.within(shown(path)))?;
    Ok((file, len))
}

fn regular_len(file: &File) -> Result<u64> {
    let metadata = file.metadata().map_err(|error| Error::io("reading the file's length", &error))?;
    if metadata.is_file() {
        return Ok(metadata.len());
    }
    let message = format!("expected a regular file, found {}", kind_of(metadata.file_type()));
    Err(Error::new(Status::InvalidArgument, message))
}

fn kind_of(kind: std::fs::FileType) -> &'static str {
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
    /// A part of the file at `path`.
    ///
    /// # Errors
    ///
    /// IO if it can't be opened; INVALID_ARGUMENT if it is no regular file or has no such part.
    pub fn open(path: &Path, part: Part) -> Result<Region> {
        let (file, len) = open_regular(path)?;
        let (base, len) = part.of(len).map_err(|error| error.within(shown(path)))?;
        Ok(Region { backing: Backing::File(file, OnceLock::new()), base, start: base, len, noexec: false })
    }

    /// A part of an open file. The descriptor is duplicated, and its position neither used nor moved.
    ///
    /// # Errors
    ///
    /// As [`Region::open`].
    pub fn open_fd(fd: BorrowedFd<'_>, part: Part) -> Result<Region> {
        let copy = fd.try_clone_to_owned().map_err(|error| Error::io("duplicating the descriptor", &error))?;
        let file = File::from(copy);
        let (base, len) = part.of(regular_len(&file)?)?;
        Ok(Region { backing: Backing::File(file, OnceLock::new()), base, start: base, len, noexec: false })
    }

    /// A copy of a part of these bytes.
    ///
    /// # Errors
    ///
    /// NO_MEMORY; INVALID_ARGUMENT if there is no such part.
    pub fn copied(bytes: &[u8], part: Part) -> Result<Region> {
        let (base, len) = part.of(bytes.len() as u64)?;
        // Both fit: they lie within a slice.
        let bytes = bytes.get(base as usize..(base + len) as usize).unwrap_or(&[]);
        let mut owned = alloc::with_capacity(bytes.len(), "a copy of the artifact")?;
        owned.extend_from_slice(bytes);
        Ok(Region { backing: Backing::Owned(owned), base, start: 0, len, noexec: false })
    }

    /// A part of these bytes, as they are.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if there is no such part.
    pub fn borrowed(bytes: &'static [u8], part: Part) -> Result<Region> {
        let (base, len) = part.of(bytes.len() as u64)?;
        let bytes = bytes.get(base as usize..(base + len) as usize).unwrap_or(&[]);
        Ok(Region { backing: Backing::Borrowed(bytes), base, start: 0, len, noexec: false })
    }

    /// The same region once more.
    ///
    /// # Errors
    ///
    /// IO, NO_MEMORY.
    pub fn again(&self) -> Result<Region> {
        let backing = match &self.backing {
            Backing::File(file, _) => {
                let copy = file.try_clone().map_err(|error| Error::io("duplicating the descriptor", &error))?;
                Backing::File(copy, OnceLock::new())
            }
            Backing::Owned(bytes) => Backing::Owned(alloc::copy(bytes, "a copy of the artifact")?),
            Backing::Borrowed(bytes) => Backing::Borrowed(bytes),
        };
        Ok(Region { backing, ..*self })
    }

    /// Where it begins in the file or memory that it is a part of.
    #[must_use]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The file that it lies in, and where it begins there; none if it is memory.
    #[must_use]
    pub fn file(&self) -> Option<(BorrowedFd<'_>, u64)> {
        match &self.backing {
            Backing::File(file, _) => Some((file.as_fd(), self.start)),
            Backing::Owned(_) | Backing::Borrowed(_) => None,
        }
    }

    /// Whether the file system that its bytes come from forbids executing them.
    #[must_use]
    pub fn noexec(&self) -> bool {
        self.noexec || self.file().is_some_and(|(file, _)| snapshot::noexec(file))
    }

    /// Whether it is a copy of what a file system forbids executing: that the copy's own file wouldn't tell.
    #[must_use]
    pub fn copied_noexec(&self) -> bool {
        self.noexec
    }

    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where `len` bytes from `offset` are to be had, without touching a mapping.
    fn piece(&self, offset: u64, len: usize) -> Result<Piece<'_>> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.len);
        let memory = match &self.backing {
            Backing::Owned(bytes) => bytes.as_slice(),
            Backing::Borrowed(bytes) => bytes,
            Backing::File(file, _) if end.is_some() => return Ok(Piece::File(file, self.start + offset)),
            Backing::File(..) => &[],
        };
        let found = end.and_then(|end| memory.get(usize::try_from(offset).ok()?..usize::try_from(end).ok()?));
        found.map(Piece::Memory).ok_or_else(|| {
            let message = format!("expected {len} bytes at {offset}, found the end at {}", self.len);
            Error::new(Status::Truncated, message).at(offset)
        })
    }

    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    ///
    /// IO; TRUNCATED if the region ends before.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match self.piece(offset, buffer.len())? {
            Piece::Memory(found) => buffer.copy_from_slice(found),
            Piece::File(file, at) => {
                file.read_exact_at(buffer, at).map_err(|error| unreadable(buffer.len(), &error).at(offset))?;
            }
        }
        Ok(())
    }

    /// Bytes from `offset` in a vector of their own; `what` names them where there is no memory for them.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED, NO_MEMORY.
    pub fn copy(&self, offset: u64, len: u64, what: &str) -> Result<Vec<u8>> {
        let len = usize::try_from(len).map_err(|_| Error::no_memory(what))?;
        let (file, at) = match self.piece(offset, len)? {
            Piece::Memory(found) => return alloc::copy(found, what),
            Piece::File(file, at) => (file, at),
        };
        let mut copy = alloc::with_capacity(len, what)?;
        while copy.len() < len {
            let next = at + copy.len() as u64;
            let error = match pread(file, spare_capacity(&mut copy), next) {
                Ok(0) => io::ErrorKind::UnexpectedEof.into(),
                Ok(_) | Err(Errno::INTR) => continue,
                Err(error) => io::Error::from(error),
            };
            return Err(unreadable(len, &error).at(offset));
        }
        copy.truncate(len); // there may have been more room than was asked for
        Ok(copy)
    }

    /// Bytes from `offset` in read-only memory of their own, the one at `lead` on an address that is a multiple of `align`.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED, NO_MEMORY.
    pub fn private_copy(&self, offset: u64, len: u64, lead: u64, align: u64) -> Result<PrivateCopy> {
        PrivateCopy::new(len, lead, align, |copy| self.read_at(offset, copy))
    }

    /// Compares its length with its file's, which is to be mapped: whoever looks at pages that a file no longer has gets a
    /// SIGBUS. That can still happen to a file that is cut later.
    ///
    /// # Errors
    ///
    /// TRUNCATED if the file has become shorter; IO.
    pub fn check_length(&self) -> Result<()> {
        let Backing::File(file, _) = &self.backing else { return Ok(()) };
        let (expected, found) = (self.start + self.len, regular_len(file)?);
        if found >= expected {
            return Ok(());
        }
        let message =
            format!("expected a file of {expected} bytes as when it was opened, found a shorter one of {found}");
        Err(Error::new(Status::Truncated, message))
    }

    /// All its bytes; a file is mapped when this is first called.
    ///
    /// # Errors
    ///
    /// IO or NO_MEMORY if it can't be mapped; TRUNCATED if it has become shorter before.
    pub fn bytes(&self) -> Result<&[u8]> {
        match &self.backing {
            Backing::Owned(bytes) => Ok(bytes),
            Backing::Borrowed(bytes) => Ok(bytes),
            Backing::File(file, mapping) => {
                if let Some(mapping) = mapping.get() {
                    return Ok(mapping.bytes());
                }
                self.check_length()?;
                // Of two threads that come here at once, one maps in vain.
                let fresh = Mapping::new(file.as_fd(), self.start, self.len)?;
                Ok(mapping.get_or_init(|| fresh).bytes())
            }
        }
    }
}

/// Reads through a small buffer. It begins with the region's last bytes, where a trailer would be, and for a small artifact
/// everything else; later it holds what lies close together: a link word and the header that follows it, the last link word
/// and Metadata.
pub(crate) struct Window<'r> {
    region: &'r Region,
    start: u64,
    filled: usize,
    buffer: &'r mut [u8],
}

impl<'r> Window<'r> {
    /// Footer, root record and signature, the module table of a hundred modules, and a typical Metadata.
    const SIZE: usize = 8192;
    /// A link word, padding to a page, and an ELF header; also a typical Metadata, twice over.
    const AHEAD: u64 = 4096 + 256;

    /// What a window reads into. Its user has it, since moving it would take longer than most of what else opening does.
    pub const BUFFER: [u8; Window::SIZE] = [0; Window::SIZE];

    /// A window on the region's end, with [`BUFFER`](Window::BUFFER) to read into.
    ///
    /// # Errors
    ///
    /// IO or TRUNCATED if it can't be read.
    pub fn new(region: &'r Region, buffer: &'r mut [u8]) -> Result<Window<'r>> {
        let mut window = Window { region, start: 0, filled: 0, buffer };
        window.fill(region.len().saturating_sub(Window::SIZE as u64), Window::SIZE as u64)?;
        Ok(window)
    }

    fn fill(&mut self, offset: u64, size: u64) -> Result<()> {
        // At most the buffer's size.
        let size = self.region.len().saturating_sub(offset).min(size).min(Window::SIZE as u64) as usize;
        self.filled = 0;
        self.region.read_at(offset, self.buffer.get_mut(..size).unwrap_or_default())?;
        (self.start, self.filled) = (offset, size);
        Ok(())
    }

    /// The bytes at hand.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or(&[])
    }

    /// `len` bytes from `offset`, if they are at hand.
    #[must_use]
    pub fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let skip = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes().get(skip..skip.checked_add(len)?)
    }

    /// Bytes from `offset` in a vector of their own; `what` names them where there is no memory for them.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED, NO_MEMORY.
    pub fn copy(&self, offset: u64, len: u64, what: &str) -> Result<Vec<u8>> {
        let at_hand = usize::try_from(len).ok().and_then(|len| self.get(offset, len));
        let Some(bytes) = at_hand else { return self.region.copy(offset, len, what) };
        alloc::copy(bytes, what)
    }
}

impl Fetch for Window<'_> {
    fn fetch(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        if self.get(offset, out.len()).is_none() {
            // The first header says how far away everything else is: no use in reading more than it.
            if offset == 0 || out.len() as u64 > Window::AHEAD {
                return self.region.read_at(offset, out);
            }
            self.fill(offset, Window::AHEAD)?;
        }
        let found = self.get(offset, out.len());
        let ended = || Error::new(Status::Truncated, "expected more bytes, found the end").at(offset);
        out.copy_from_slice(found.ok_or_else(ended)?);
        Ok(())
    }
}
