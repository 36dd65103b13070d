//! Addresses for all modules of one artifact, and what is mapped there. No page is ever writable and executable, or made
//! executable after it was writable: text is mapped executable from a file and stays as it is.

use std::cell::Cell;
use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};

use crate::error::{Error, Result};
use crate::native::image::{Segment, Tables};

/// A range of addresses that is ours until it is dropped, with everything that was mapped into it.
#[derive(Debug)]
pub struct Reserved {
    start: usize,
    len: usize,
}

/// Where an image's bytes are mapped from.
#[derive(Clone, Copy)]
pub struct Source<'f> {
    /// A file or sealed memfd.
    pub file: BorrowedFd<'f>,
    /// Where in it the image begins: a multiple of the page size.
    pub offset: u64,
}

/// Up to so many bytes, initialized data is copied.
const MOST_COPIED: u64 = 64 << 10;

fn failed(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::io(what, &errno.into())
}

fn text_failed(errno: Errno) -> Error {
    let error = failed("mapping code")(errno);
    match errno {
        Errno::PERM | Errno::ACCESS => error.within(super::NOEXEC),
        _ => error,
    }
}

impl Reserved {
    /// A range of zeroed, writable memory, which is what modules have where they have no bytes of a file.
    pub fn new(len: usize) -> Result<Reserved> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), len, protection, flags) };
        let start = start.map_err(failed("reserving addresses for code"))?;
        Ok(Reserved { start: start as usize, len })
    }

    /// A range of a file's bytes, of which `written`, counted from the range's start, can be written in private; and zeroed
    /// memory behind them. `fill` gives bytes of the range.
    pub fn of_file(
        source: &Source<'_>,
        len: usize,
        room: usize,
        written: &Range<usize>,
        fill: impl Fn(usize, &mut [u8]) -> Result<()>,
    ) -> Result<Reserved> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // What is mapped readable and writable from an ELF file, valgrind takes for its data, which text mustn't overlap. On all
        // machines that code is loaded on, what can be written can be read.
        let protection = if written.len() == len { ProtFlags::WRITE } else { ProtFlags::READ };
        let reserved = if room > 0 {
            let reserved = Reserved::new(len + room)?;
            reserved.map(reserved.start, len as u64, protection, source, 0)?;
            reserved
        } else {
            // SAFETY: a new mapping, at an address of the kernel's choice.
            let start = unsafe { mmap(std::ptr::null_mut(), len, protection, flags, source.file, source.offset) };
            Reserved { start: start.map_err(failed("mapping modules"))? as usize, len }
        };
        if written.is_empty() || written.len() == len {
            return Ok(reserved);
        }
        let place = reserved.start + written.start;
        if written.len() <= MOST_COPIED as usize {
            // Pages of our own at once, and a copy: less than a fault for each page.
            let flags = flags | MapFlags::FIXED | MapFlags::POPULATE;
            let (at, writable) = (reserved.at(place, written.len()), ProtFlags::READ | ProtFlags::WRITE);
            // SAFETY: replaces pages of the range, which nobody but us knows of yet.
            let done = unsafe { mmap_anonymous(at, written.len(), writable, flags) };
            done.map_err(failed("mapping modules"))?;
            fill(written.start, reserved.fresh(place, written.len()))?;
        } else {
            reserved.allow(place, written.len())?;
        }
        Ok(reserved)
    }

    pub fn start(&self) -> usize {
        self.start
    }

    /// An address in it that `len` bytes fit behind.
    fn at(&self, address: usize, len: usize) -> *mut c_void {
        let inside = address.checked_sub(self.start).and_then(|skip| skip.checked_add(len));
        assert!(inside.is_some_and(|end| end <= self.len), "a mapping outside the reserved range");
        address as *mut c_void
    }

    fn map(&self, address: usize, len: u64, protection: ProtFlags, source: &Source<'_>, offset: u64) -> Result<()> {
        let (len, offset) = (len as usize, source.offset + offset);
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        let wrong =
            if protection.contains(ProtFlags::EXEC) { text_failed } else { |errno| failed("mapping a module")(errno) };
        // SAFETY: replaces pages of the range only, which `at` sees to, and which nobody but us knows of yet.
        unsafe { mmap(self.at(address, len), len, protection, flags, source.file, offset) }.map_err(wrong)?;
        Ok(())
    }

    /// Maps an image's text so that its address 0 is at `bias`.
    pub fn map_text(&self, text: &Segment, bias: u64, source: &Source<'_>, page: u64) -> Result<()> {
        let down = |value: u64| value / page * page;
        let start = down(text.address);
        let len = text.end().next_multiple_of(page) - start;
        let protection = ProtFlags::READ | ProtFlags::EXEC;
        self.map(bias.wrapping_add(start) as usize, len, protection, source, down(text.offset))
    }

    /// Fills with zeros what an image that is mapped writable at `bias` has behind its initialized data.
    pub fn clear(&self, tables: &Tables, bias: u64) {
        for data in tables.segments.iter().filter(|segment| segment.len > segment.file_len) {
            let start = bias.wrapping_add(data.address + data.file_len) as usize;
            self.fresh(start, (data.len - data.file_len) as usize).fill(0);
        }
    }

    /// Bytes of the range.
    ///
    /// # Safety
    ///
    /// They can be read, and nobody writes them as long as these are used.
    pub unsafe fn bytes(&self, address: usize, len: usize) -> &[u8] {
        // SAFETY: the caller's promise; of a file's pages, what is read is checked where it is used, as with all mappings.
        unsafe { std::slice::from_raw_parts(self.at(address, len).cast::<u8>().cast_const(), len) }
    }

    /// Memory that can be written, and that nobody else has yet.
    #[allow(clippy::mut_from_ref)] // each piece is given out once, before anything in the range runs
    fn fresh(&self, address: usize, len: usize) -> &mut [u8] {
        let start = self.at(address, len).cast::<u8>();
        // SAFETY: as many writable bytes of the range, which nobody else knows of yet: nothing was mapped over them, or a file to
        // be written in private.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }

    /// Bytes of our own, which are only read from then on.
    pub fn map_bytes(&self, address: usize, bytes: &[u8]) -> Result<()> {
        self.fresh(address, bytes.len()).copy_from_slice(bytes);
        self.protect(address, bytes.len())
    }

    /// Takes the right to write from pages that were mapped writable.
    pub fn protect(&self, address: usize, len: usize) -> Result<()> {
        self.rights(address, len, MprotectFlags::READ).map_err(failed("making relocated data read-only"))
    }

    /// Gives the rights to read and write to pages that have one of them.
    pub fn allow(&self, address: usize, len: usize) -> Result<()> {
        self.rights(address, len, MprotectFlags::READ | MprotectFlags::WRITE).map_err(failed("making data writable"))
    }

    fn rights(&self, address: usize, len: usize, rights: MprotectFlags) -> rustix::io::Result<()> {
        // SAFETY: pages of the range, whose bytes stay; who wrote them is done.
        if len == 0 { Ok(()) } else { unsafe { mprotect(self.at(address, len), len, rights) } }
    }

    /// Maps an image so that its address 0 is at `bias`. `fill` gives initialized data, by its offset in the image.
    pub fn map_image(
        &self,
        tables: &Tables,
        bias: u64,
        source: &Source<'_>,
        page: u64,
        fill: impl Fn(usize, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        let down = |value: u64| value / page * page;
        let place = |address: u64| bias.wrapping_add(address) as usize;
        let readable = |segment: &Segment| (!segment.writable).then(|| segment.address.wrapping_sub(segment.offset));
        // Neighbours that are only read, and lie in memory as they do in the file, are mapped at once.
        for run in tables.segments.chunk_by(|a, b| readable(a).is_some() && readable(a) == readable(b)) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let start = down(first.address);
            if first.writable {
                // A page that is going to be written is cheaper to copy than to map, fault in and copy.
                let mapped =
                    if first.file_len > MOST_COPIED { down(first.address + first.file_len) - start } else { 0 };
                if mapped > 0 {
                    let protection = ProtFlags::READ | ProtFlags::WRITE;
                    self.map(place(start), mapped, protection, source, down(first.offset))?;
                }
                let skip = if mapped > 0 { start + mapped - first.address } else { 0 };
                let rest = self.fresh(place(first.address + skip), (first.file_len - skip) as usize);
                fill((first.offset + skip) as usize, rest)?;
                continue;
            }
            // Text at the end of a run has nothing under it.
            let end = if last.executable { down(last.address) } else { last.end().next_multiple_of(page) };
            if end > start {
                self.map(place(start), end - start, ProtFlags::READ, source, down(first.offset))?;
            }
            for text in run.iter().filter(|segment| segment.executable) {
                self.map_text(text, bias, source, page)?;
            }
        }
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // SAFETY: ours, mapped as a whole. That nobody runs or reads what is in it any more is what freeing code means.
        // It fails only if the kernel has no memory to split a mapping, which a whole range doesn't need.
        let _ = unsafe { munmap(self.start as *mut c_void, self.len) };
    }
}

/// The memory of one image whose segments are mapped and not protected yet.
pub struct Memory<'m> {
    bias: u64,
    segments: &'m [Segment],
    /// The writable addresses that were written last.
    last: Cell<(u64, u64)>,
}

impl<'m> Memory<'m> {
    /// # Safety
    ///
    /// The image is mapped at `bias`, nobody else uses it, and its writable segments stay so as long as this is used.
    pub unsafe fn new(tables: &'m Tables, bias: u64) -> Memory<'m> {
        Memory { bias, segments: &tables.segments, last: Cell::new((1, 0)) }
    }

    pub fn bias(&self) -> u64 {
        self.bias
    }

    #[inline(always)]
    fn slot(&self, address: u64) -> Option<*mut u64> {
        let (start, end) = self.last.get();
        if address < start || address > end {
            self.find(address)?;
        }
        Some(self.bias.wrapping_add(address) as *mut u64)
    }

    #[cold]
    fn find(&self, address: u64) -> Option<()> {
        let fits = |segment: &&Segment| {
            segment.writable && segment.len >= 8 && (segment.address..=segment.end() - 8).contains(&address)
        };
        let found = self.segments.iter().find(fits)?;
        self.last.set((found.address, found.end() - 8));
        Some(())
    }

    /// Writes a word to an address of the image; none if it isn't in a writable segment.
    #[inline(always)]
    #[must_use]
    pub fn write(&self, address: u64, value: u64) -> Option<()> {
        let slot = self.slot(address)?;
        // SAFETY: eight bytes of a writable segment, which whoever made this has mapped.
        unsafe { slot.write_unaligned(value) };
        Some(())
    }

    /// Adds to the word at an address of the image; none as for [`Memory::write`].
    #[inline(always)]
    #[must_use]
    pub fn add(&self, address: u64, value: u64) -> Option<()> {
        let slot = self.slot(address)?;
        // SAFETY: as in `write`.
        unsafe { slot.write_unaligned(slot.read_unaligned().wrapping_add(value)) };
        Some(())
    }
}
