//! The buffer through which opening reads a region, so that most files take one read.

use std::borrow::Cow;

use super::Region;
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::format::Fetch;

/// A buffered reader of a region. At first the buffer holds the region's last bytes: the trailer, if there is one, and the whole
/// of a small artifact. Later it holds neighbouring data that is read together: a link word and the ELF header after it, or the
/// terminator and Metadata.
pub(crate) struct Window<'r> {
    region: &'r Region,
    held: Held,
    buffer: &'r mut [u8],
}

/// Which bytes of a region a buffer holds.
#[derive(Clone, Default)]
pub(crate) struct Held {
    start: u64,
    len: usize,
    /// Where in the buffer they begin.
    at: usize,
}

impl Held {
    /// Returns which bytes of a part of the region the buffer holds.
    pub fn narrowed(&self, offset: u64, len: u64) -> Held {
        let end = self.start + self.len as u64;
        let (from, to) = (self.start.max(offset), end.min(offset.saturating_add(len)));
        if from >= to {
            return Held::default();
        }
        // The casts are lossless: both bounds lie in the buffer.
        Held { start: from - offset, len: (to - from) as usize, at: self.at + (from - self.start) as usize }
    }
}

impl<'r> Window<'r> {
    /// Enough for footer, root record, a signature, the module table of a hundred modules, and typical Metadata.
    const SIZE: usize = 8192;
    /// Enough for a link word, padding to a page, and an ELF header. Typical Metadata takes half of it.
    const READ_AHEAD: u64 = 4096 + 256;

    /// An empty buffer for [`Window::new`]. The caller owns the buffer because moving it would take longer than most of the other
    /// work of opening.
    pub const BUFFER: [u8; Window::SIZE] = [0; Window::SIZE];

    /// Creates a window and reads the region's last bytes into `buffer`, a copy of [`BUFFER`](Window::BUFFER).
    ///
    /// # Errors
    ///
    /// IO or TRUNCATED if the region can't be read.
    pub fn new(region: &'r Region, buffer: &'r mut [u8]) -> Result<Window<'r>> {
        Window::resume(region, buffer, Held::default())
    }

    /// Creates a window whose buffer holds some bytes of the region. Unless these are its last bytes, and as many as opening usually
    /// needs, they are read.
    ///
    /// # Errors
    ///
    /// As [`Window::new`].
    pub fn resume(region: &'r Region, buffer: &'r mut [u8], held: Held) -> Result<Window<'r>> {
        let (len, filled) = (region.len(), held.len as u64);
        let is_end = held.start + filled == len && filled >= len.min(Window::SIZE as u64 / 2);
        let mut window = Window { region, held, buffer };
        if !is_end {
            window.fill(len.saturating_sub(Window::SIZE as u64), Window::SIZE as u64)?;
        }
        Ok(window)
    }

    /// Returns which bytes are buffered.
    pub fn held(&self) -> Held {
        self.held.clone()
    }

    fn fill(&mut self, offset: u64, size: u64) -> Result<()> {
        // The cast is lossless: the size is at most the buffer's.
        let size = self.region.len().saturating_sub(offset).min(size).min(Window::SIZE as u64) as usize;
        self.held = Held::default();
        self.region.read_at(offset, self.buffer.get_mut(..size).unwrap_or_default())?;
        self.held = Held { start: offset, len: size, at: 0 };
        Ok(())
    }

    /// Returns the buffered bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.held.at..self.held.at + self.held.len).unwrap_or(&[])
    }

    /// Returns `len` bytes at `offset` if they are buffered.
    #[must_use]
    pub fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let skip = usize::try_from(offset.checked_sub(self.held.start)?).ok()?;
        self.bytes().get(skip..skip.checked_add(len)?)
    }

    /// Returns `len` bytes at `offset`, read into a new vector unless they are buffered. `what` names them in the error if memory runs out.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED, NO_MEMORY.
    pub fn read(&self, offset: u64, len: u64, what: &str) -> Result<Cow<'_, [u8]>> {
        match usize::try_from(len).ok().and_then(|len| self.get(offset, len)) {
            Some(bytes) => Ok(Cow::Borrowed(bytes)),
            None => self.region.read_to_vec(offset, len, what).map(Cow::Owned),
        }
    }

    /// As [`Window::read`], into a new vector in any case.
    ///
    /// # Errors
    ///
    /// As [`Window::read`].
    pub fn read_to_vec(&self, offset: u64, len: u64, what: &str) -> Result<Vec<u8>> {
        alloc::into_owned(self.read(offset, len, what)?, what)
    }
}

impl Fetch for Window<'_> {
    fn fetch(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        if self.get(offset, out.len()).is_none() {
            // Only the first header tells how far away everything else is, so there is nothing to read ahead yet.
            if offset == 0 || out.len() as u64 > Window::READ_AHEAD {
                return self.region.read_at(offset, out);
            }
            self.fill(offset, Window::READ_AHEAD)?;
        }
        let found = self.get(offset, out.len());
        let ended = || Error::new(Status::Truncated, "expected more bytes, found the end").at(offset);
        out.copy_from_slice(found.ok_or_else(ended)?);
        Ok(())
    }
}
