//! A buffer over a region, for reading what lies together in as few system calls as possible.

use super::Region;
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::format::Fetch;

/// A buffered reader of a region. At first the buffer holds the region's last bytes: the trailer, if there is one, and the whole
/// of a small artifact. Later it holds neighbouring data that is read together: a link word and the ELF header after it, or the
/// terminator and Metadata.
pub(crate) struct Window<'r> {
    region: &'r Region,
    start: u64,
    filled: usize,
    buffer: &'r mut [u8],
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
        let mut window = Window { region, start: 0, filled: 0, buffer };
        window.fill(region.len().saturating_sub(Window::SIZE as u64), Window::SIZE as u64)?;
        Ok(window)
    }

    fn fill(&mut self, offset: u64, size: u64) -> Result<()> {
        // The cast is lossless: the size is at most the buffer's.
        let size = self.region.len().saturating_sub(offset).min(size).min(Window::SIZE as u64) as usize;
        self.filled = 0;
        self.region.read_at(offset, self.buffer.get_mut(..size).unwrap_or_default())?;
        (self.start, self.filled) = (offset, size);
        Ok(())
    }

    /// Returns the buffered bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or(&[])
    }

    /// Returns `len` bytes at `offset` if they are buffered.
    #[must_use]
    pub fn get(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let skip = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes().get(skip..skip.checked_add(len)?)
    }

    /// Reads `len` bytes at `offset` into a new vector. `what` names them in the error if memory runs out.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED, NO_MEMORY.
    pub fn read_to_vec(&self, offset: u64, len: u64, what: &str) -> Result<Vec<u8>> {
        let buffered = usize::try_from(len).ok().and_then(|len| self.get(offset, len));
        let Some(bytes) = buffered else { return self.region.read_to_vec(offset, len, what) };
        alloc::copy(bytes, what)
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
