//! The range of addresses that an artifact's modules are mapped into, and the system calls that map them.
//!
//! No page is ever writable and executable, and none becomes executable that was writable: text is mapped executable from a file
//! and stays as it is.

use std::cell::Cell;
use std::ffi::c_void;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};

use crate::error::{Error, Result};
use crate::native::image::{Segment, Tables};

/// A range of addresses, with everything that is mapped into it. Unmapped when it is dropped.
#[derive(Debug)]
pub struct Reserved {
    start: usize,
    len: usize,
}

/// Where an image is mapped from.
#[derive(Clone, Copy)]
pub struct Source<'f> {
    /// A file or sealed memfd.
    pub file: BorrowedFd<'f>,
    /// The image's offset in it. Only a multiple of the page size can be mapped.
    pub offset: u64,
}

/// When the text of an image is mapped, and what is there until then.
pub enum Text<'t> {
    /// At once, with [`Reserved::map_text`].
    Now(&'t dyn Fn(&Reserved, &Segment) -> Result<()>),
    /// Later. Until then it is mapped read-only if it is next to the segment that the image begins with: tables may be in it.
    LaterOverMapping,
    /// Later. Until then there is nothing, and other segments without PF_W are copied, and writable: that takes less time than a
    /// mapping and a fault.
    LaterOverCopies,
}

/// Up to this many bytes, initialized data is copied. A page that is going to be written is cheaper to copy than to map, fault in
/// and have the kernel copy.
const MAX_COPIED_DATA: u64 = 64 << 10;

fn failed(what: &'static str) -> impl Fn(Errno) -> Error {
    move |errno| Error::io(what, &errno.into())
}

impl Reserved {
    /// Reserves a range of zeroed, writable memory, which stays where modules have no bytes of a file.
    pub fn new(len: usize) -> Result<Reserved> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at an address that the kernel chooses: it replaces no other one.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), len, protection, flags) };
        let start = start.map_err(failed("reserving addresses for code"))?;
        Ok(Reserved { start: start as usize, len })
    }

    /// Reserves a range with `len` bytes of a file, mapped privately, and `room` bytes of zeroed memory after them. Of the file's
    /// bytes, those in `writable`, counted from the start of the range, can be written, and all others only read. `fill` reads bytes at
    /// an offset of the range.
    pub fn of_file(
        source: &Source<'_>,
        len: usize,
        room: usize,
        writable: &Range<usize>,
        fill: impl Fn(usize, &mut [u8]) -> Result<()>,
    ) -> Result<Reserved> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // Write-only if all of it is writable: valgrind takes a readable and writable mapping of an ELF file for its data segment,
        // and fails when text is mapped over it. On all machines that code is loaded on, writable pages can be read anyway.
        let is_writable_whole = writable.len() == len;
        let protection = if is_writable_whole { ProtFlags::WRITE } else { ProtFlags::READ };
        let mut reserved = if room > 0 {
            let mut reserved = Reserved::new(len + room)?;
            reserved.map(reserved.start, len as u64, protection, source, 0)?;
            reserved
        } else {
            // SAFETY: a new mapping, at an address that the kernel chooses: it replaces no other one.
            let start = unsafe { mmap(std::ptr::null_mut(), len, protection, flags, source.file, source.offset) };
            Reserved { start: start.map_err(failed("mapping modules"))? as usize, len }
        };
        if writable.is_empty() || is_writable_whole {
            return Ok(reserved);
        }
        let address = reserved.start + writable.start;
        if writable.len() <= MAX_COPIED_DATA as usize {
            // Memory that is populated at once, and a copy: that takes less time than a fault for each page.
            let flags = flags | MapFlags::FIXED | MapFlags::POPULATE;
            let (at, protection) = (reserved.at(address, writable.len()), ProtFlags::READ | ProtFlags::WRITE);
            // SAFETY: replaces pages of the range, which nothing refers to yet: it was mapped a moment ago.
            let done = unsafe { mmap_anonymous(at, writable.len(), protection, flags) };
            done.map_err(failed("mapping modules"))?;
            // SAFETY: just mapped writable.
            fill(writable.start, unsafe { reserved.writable(address, writable.len()) })?;
        } else {
            reserved.allow(address, writable.len())?;
        }
        Ok(reserved)
    }

    pub fn start(&self) -> usize {
        self.start
    }

    pub fn addresses(&self) -> Range<usize> {
        self.start..self.start + self.len
    }

    /// A pointer to `len` bytes of the range.
    fn at(&self, address: usize, len: usize) -> *mut c_void {
        let end = address.checked_sub(self.start).and_then(|skip| skip.checked_add(len));
        assert!(end.is_some_and(|end| end <= self.len), "a mapping outside the reserved range");
        address as *mut c_void
    }

    fn map(&mut self, address: usize, len: u64, protection: ProtFlags, source: &Source<'_>, offset: u64) -> Result<()> {
        // SAFETY: `self` is borrowed mutably, so no slice of the range is in use. Callers replace pages of the module that they map,
        // which has no pages in common with others.
        unsafe { self.map_over(address, len, protection, source, offset) }
    }

    /// Replaces pages of the range by pages of a file.
    ///
    /// # Safety
    ///
    /// Nothing refers to the pages that are replaced, or else they have the same bytes afterwards.
    unsafe fn map_over(
        &self,
        address: usize,
        len: u64,
        protection: ProtFlags,
        source: &Source<'_>,
        offset: u64,
    ) -> Result<()> {
        let (len, offset) = (len as usize, source.offset + offset);
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        let what = if protection.contains(ProtFlags::EXEC) { "mapping code" } else { "mapping a module" };
        // SAFETY: `at` checks that only pages of the range are replaced; the rest is the caller's promise.
        unsafe { mmap(self.at(address, len), len, protection, flags, source.file, offset) }.map_err(failed(what))?;
        Ok(())
    }

    /// Fails as [`Reserved::map_text`] would if the system forbids executing the file: maps a page of it elsewhere and unmaps it.
    pub fn check_executable(source: &Source<'_>, page: u64) -> Result<()> {
        let (len, protection) = (page as usize, ProtFlags::READ | ProtFlags::EXEC);
        // SAFETY: a new mapping, at an address that the kernel chooses: it replaces no other one.
        let start =
            unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::PRIVATE, source.file, source.offset) };
        drop(Reserved { start: start.map_err(failed("mapping code"))? as usize, len });
        Ok(())
    }

    /// Maps the text of an image whose address 0 is at `bias`.
    pub fn map_text(&self, text: &Segment, bias: u64, source: &Source<'_>, page: u64) -> Result<()> {
        let down = |value: u64| value / page * page;
        let start = down(text.address);
        let len = text.end().next_multiple_of(page) - start;
        let protection = ProtFlags::READ | ProtFlags::EXEC;
        let address = bias.wrapping_add(start) as usize;
        // SAFETY: pages of the segment alone. Either nothing refers to them yet, or the same bytes of the same file are there, mapped
        // without the right to be executed.
        unsafe { self.map_over(address, len, protection, source, down(text.offset)) }
    }

    /// Zeroes the bytes after the initialized data of an image that was mapped from a file, writable, at `bias`.
    pub fn clear_bss(&mut self, tables: &Tables, bias: u64) {
        for data in tables.segments.iter().filter(|segment| segment.len > segment.file_len) {
            let start = bias.wrapping_add(data.address + data.file_len) as usize;
            // SAFETY: a segment that is longer than its bytes is writable, and mapped so. Nothing refers to it yet.
            unsafe { self.writable(start, (data.len - data.file_len) as usize) }.fill(0);
        }
    }

    /// Bytes of the range.
    ///
    /// # Safety
    ///
    /// They are mapped readable, and nothing writes to them as long as the slice is used.
    pub unsafe fn bytes(&self, address: usize, len: usize) -> &[u8] {
        // SAFETY: `at` checks that they lie in the range, which is mapped as long as `self` exists; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts(self.at(address, len).cast::<u8>().cast_const(), len) }
    }

    /// Bytes of the range, to write to.
    ///
    /// # Safety
    ///
    /// They are mapped writable, and nothing else refers to them.
    unsafe fn writable(&mut self, address: usize, len: usize) -> &mut [u8] {
        // SAFETY: `at` checks that they lie in the range, which is mapped as long as `self` exists; the rest is the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.at(address, len).cast::<u8>(), len) }
    }

    /// Copies bytes to memory after the modules, which becomes read-only.
    ///
    /// # Safety
    ///
    /// The memory is mapped writable, and nothing else refers to it.
    pub unsafe fn map_bytes(&mut self, address: usize, bytes: &[u8]) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { self.writable(address, bytes.len()) }.copy_from_slice(bytes);
        self.protect(address, bytes.len())
    }

    /// Makes writable pages read-only.
    pub fn protect(&self, address: usize, len: usize) -> Result<()> {
        self.set_rights(address, len, MprotectFlags::READ).map_err(failed("making relocated data read-only"))
    }

    /// Makes pages readable and writable.
    pub fn allow(&self, address: usize, len: usize) -> Result<()> {
        self.set_rights(address, len, MprotectFlags::READ | MprotectFlags::WRITE)
            .map_err(failed("making data writable"))
    }

    fn set_rights(&self, address: usize, len: usize, rights: MprotectFlags) -> rustix::io::Result<()> {
        // SAFETY: `at` checks that these are pages of the range. Their bytes stay, they can still be read, and no reference is used
        // to write to them: relocations and copies are done when they become read-only.
        if len == 0 { Ok(()) } else { unsafe { mprotect(self.at(address, len), len, rights) } }
    }

    /// Maps an image segment by segment, so that its address 0 is at `bias`. `fill` reads bytes at an offset of the image.
    pub fn map_image(
        &mut self,
        tables: &Tables,
        bias: u64,
        source: &Source<'_>,
        page: u64,
        fill: impl Fn(usize, &mut [u8]) -> Result<()>,
        text: Text<'_>,
    ) -> Result<()> {
        let down = |value: u64| value / page * page;
        let address = |address: u64| bias.wrapping_add(address) as usize;
        let front = tables.segments.first().map(Segment::delta);
        // Read-only segments that are next to each other, in memory as in the file, share one mapping.
        let read_only = |segment: &Segment| (!segment.writable).then(|| segment.delta());
        for run in tables.segments.chunk_by(|a, b| read_only(a).is_some() && read_only(a) == read_only(b)) {
            let ([first, ..], [.., last]) = (run, run) else { return Err(super::defect("no segments")) };
            let start = down(first.address);
            if first.writable {
                let mapped =
                    if first.file_len > MAX_COPIED_DATA { down(first.address + first.file_len) - start } else { 0 };
                if mapped > 0 {
                    let protection = ProtFlags::READ | ProtFlags::WRITE;
                    self.map(address(start), mapped, protection, source, down(first.offset))?;
                }
                let skip = if mapped > 0 { start + mapped - first.address } else { 0 };
                // SAFETY: the range is writable memory where nothing has been mapped over it. Segments share no pages, so this is
                // where nothing of the image is yet.
                let rest = unsafe { self.writable(address(first.address + skip), (first.file_len - skip) as usize) };
                fill((first.offset + skip) as usize, rest)?;
                continue;
            }
            if matches!(text, Text::LaterOverCopies) {
                for table in run.iter().filter(|segment| !segment.executable) {
                    // SAFETY: as above.
                    let bytes = unsafe { self.writable(address(table.address), table.file_len as usize) };
                    fill(table.offset as usize, bytes)?;
                }
                continue;
            }
            // Text at the end of a run doesn't need a mapping below its own.
            let has_tables = matches!(text, Text::LaterOverMapping) && Some(first.delta()) == front;
            let is_text_last = last.executable && !has_tables;
            let end = if is_text_last { down(last.address) } else { last.end().next_multiple_of(page) };
            if end > start {
                self.map(address(start), end - start, ProtFlags::READ, source, down(first.offset))?;
            }
            if let Text::Now(map_text) = text {
                run.iter().filter(|segment| segment.executable).try_for_each(|text| map_text(self, text))?;
            }
        }
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // SAFETY: this mapping, whole, whatever was mapped over parts of it. Nothing uses it any more: that is what the caller of
        // `load` has promised for its code, and what loading has registered is taken back before.
        // It fails only if the kernel has no memory to split a mapping, which unmapping a whole range doesn't take.
        let _ = unsafe { munmap(self.start as *mut c_void, self.len) };
    }
}

/// The memory of an image that is mapped and not protected yet, for relocations.
pub struct Memory<'m> {
    bias: u64,
    segments: &'m [Segment],
    /// The first and last address of a word in the writable segment that was written to last.
    last: Cell<(u64, u64)>,
}

impl<'m> Memory<'m> {
    /// # Safety
    ///
    /// The image is mapped at `bias`. Its writable segments are mapped writable, and nothing else uses them, as long as this exists.
    pub unsafe fn new(tables: &'m Tables, bias: u64) -> Memory<'m> {
        Memory { bias, segments: &tables.segments, last: Cell::new((1, 0)) }
    }

    pub fn bias(&self) -> u64 {
        self.bias
    }

    #[inline(always)]
    fn word(&self, address: u64) -> Option<*mut u64> {
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

    /// Writes a word at an address of the image. Returns `None` if it doesn't lie in a writable segment.
    #[inline(always)]
    #[must_use]
    pub fn write(&self, address: u64, value: u64) -> Option<()> {
        let word = self.word(address)?;
        // SAFETY: eight bytes of a writable segment, as `word` checks. Whoever called `new` promised that it is mapped writable.
        unsafe { word.write_unaligned(value) };
        Some(())
    }

    /// Adds to the word at an address of the image. Returns `None` if it doesn't lie in a writable segment.
    #[inline(always)]
    #[must_use]
    pub fn add(&self, address: u64, value: u64) -> Option<()> {
        let word = self.word(address)?;
        // SAFETY: as in `write`; writable pages of the machines that code is loaded on can be read.
        unsafe { word.write_unaligned(word.read_unaligned().wrapping_add(value)) };
        Some(())
    }
}
