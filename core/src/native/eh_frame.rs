//! Unwind tables: the records of `.eh_frame` (LSB Core, Exception Frames; DWARF, Call Frame Information).
//!
//! An unwinder looks at all registered tables whenever anything in the process throws. It trusts every length, aborts on encodings that
//! it doesn't know, and follows indirect pointers. So before a table is registered, [`check`] proves that all unwinders read the same in
//! it, and that this is about the module's own code alone. The call frame instructions aren't checked, just as code isn't: an
//! unwinder executes them only for frames of functions that they belong to, which have been called by then.

mod cie;
#[cfg(test)]
mod tests;

use std::ops::Range;

use object::elf;

use crate::alloc;
use crate::error::{Error, Result, Status};

pub use cie::Cie;

/// The size of a record's first two fields, its length and its identity: 0 for a CIE, the distance to its CIE for an FDE.
const HEAD: usize = 8;

/// How a machine's tables differ from other machines'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// x86-64.
    X86_64,
    /// aarch64.
    Aarch64,
}

impl Format {
    /// The format of tables for the machine with this `e_machine`.
    #[must_use]
    pub fn of(machine: u16) -> Format {
        if machine == elf::EM_AARCH64.0 { Format::Aarch64 } else { Format::X86_64 }
    }

    /// The largest DWARF register that all unwinders have.
    fn max_register(self) -> u64 {
        match self {
            Format::X86_64 => 16,
            Format::Aarch64 => 95,
        }
    }
}

/// What a table may refer to, in addresses of its image.
#[derive(Clone, Debug)]
pub struct Scope {
    /// The addresses of functions.
    pub code: Range<u64>,
    /// The addresses of everything that is mapped.
    pub image: Range<u64>,
    /// The machine's format.
    pub format: Format,
}

/// What is known about a table's end, besides that it ends at a terminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableEnd {
    /// Its length in bytes, as the section header says.
    At(usize),
    /// The offset of one of its FDEs, the last one that `.eh_frame_hdr` lists.
    After(usize),
    /// Nothing.
    Unknown,
}

/// A table where it is mapped.
#[derive(Clone, Copy)]
pub struct Table<'a> {
    /// All bytes that are mapped from its start on.
    pub bytes: &'a [u8],
    /// Its address in the image.
    pub address: u64,
    /// What is known about its end.
    pub end: TableEnd,
}

/// A table that has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Its length in bytes, without the terminator.
    pub len: usize,
    /// Whether it ends with a terminator, a zero word, at which unwinders stop.
    pub terminated: bool,
    /// The number of its FDEs that cover code.
    pub functions: usize,
    /// The number of its FDEs that cover none. They must not be registered: an unwinder that finds one of them looks no further.
    pub empty: usize,
}

/// What [`check`] has found.
#[derive(Clone, Copy, Debug)]
pub enum Found {
    /// A pointer that is relative to its own address: its offset, and its size in bytes.
    Pointer(usize, usize),
    /// An FDE that covers no code: its offset, its length, and the offset of the record that is registered before it.
    Empty(usize, usize, usize),
}

/// Checks a table. `found` is called with everything that has to change in a copy of it.
///
/// # Errors
///
/// CORRUPT, UNSUPPORTED, NO_MEMORY. Offsets count from the table's start.
pub fn check(table: &Table<'_>, scope: &Scope, found: impl FnMut(Found)) -> Result<Checked> {
    let Table { bytes, address, end } = *table;
    let within = match end {
        TableEnd::At(len) => bytes.get(..len).unwrap_or(bytes),
        _ => bytes,
    };
    let mut walk =
        Walk { bytes: within, address, scope, found, cies: Vec::new(), at: 0, last: 0, functions: 0, empty: 0 };
    let terminated = loop {
        match walk.step() {
            Ok(None) => {}
            Ok(Some(terminated)) => break terminated || is_terminator(bytes, walk.at),
            Err(error) if error.status() == Status::NoMemory => return Err(error),
            // Other data follows the table.
            Err(_) if matches!(end, TableEnd::After(last) if walk.at > last) => break false,
            Err(error) if end == TableEnd::Unknown && error.status() == Status::Corrupt => {
                let message = format!(
                    ".eh_frame: expected a terminator, or a section header that says where it ends ({})",
                    error.message()
                );
                return Err(Error::new(Status::Unsupported, message).at(walk.at as u64));
            }
            Err(error) => return Err(error.within(".eh_frame").at(walk.at as u64)),
        }
    };
    Ok(Checked { len: walk.at, terminated, functions: walk.functions, empty: walk.empty })
}

/// Reads a CIE, a whole record of a table, at an offset in the table.
///
/// # Errors
///
/// CORRUPT if its fields reach beyond the record or contradict each other, UNSUPPORTED if unwinders read it in different ways or it
/// needs relocation.
pub fn read_cie(record: &[u8], at: usize, machine: u16) -> Result<Cie> {
    cie::read(record, at, Format::of(machine)).map(|(cie, _)| cie)
}

fn is_terminator(bytes: &[u8], at: usize) -> bool {
    word(bytes, at) == Some(0)
}

/// Checks records one after another.
struct Walk<'w, F> {
    bytes: &'w [u8],
    address: u64,
    scope: &'w Scope,
    found: F,
    /// All CIEs before `at`.
    cies: Vec<Cie>,
    /// The offset of the next record.
    at: usize,
    /// The offset of the record before it, without those that are empty.
    last: usize,
    functions: usize,
    empty: usize,
}

impl<F: FnMut(Found)> Walk<'_, F> {
    /// Checks a record, and the usual FDEs that follow it. At the table's end, returns whether there is a terminator.
    fn step(&mut self) -> Result<Option<bool>> {
        let at = self.at;
        let len = match word(self.bytes, at) {
            Some(0) => return Ok(Some(true)),
            Some(len) => len as usize,
            None if self.bytes.len() == at => return Ok(Some(false)),
            None => return Err(Error::corrupt("expected a record, found the end")),
        };
        let record = at.checked_add(4 + len).and_then(|end| self.bytes.get(at..end));
        let record = record.and_then(|record| Some((record, word(record, 4)? as usize)));
        let (record, identity) = record.ok_or_else(|| {
            Error::corrupt("expected a record of at least 8 bytes within the section, found another length")
        })?;
        let cie = if identity == 0 {
            self.cie(record)?
        } else {
            let offset = (at + 4).wrapping_sub(identity);
            let index = self.cies.binary_search_by_key(&offset, |cie| cie.at).ok();
            let cie = index.and_then(|index| self.cies.get(index)).copied();
            let cie = cie.ok_or_else(|| Error::corrupt("expected an FDE with a CIE before it"))?;
            self.fde(record, &cie)?;
            cie
        };
        self.at += record.len();
        // Most FDEs are checked here, and all others above.
        self.usual_fdes(&cie);
        Ok(None)
    }

    fn cie(&mut self, record: &[u8]) -> Result<Cie> {
        let (cie, personality) = cie::read(record, self.at, self.scope.format)?;
        if let Some((at, pointer)) = personality {
            let target =
                self.target(record, at, pointer.size).ok_or_else(|| Error::corrupt("CIE: expected a pointer"))?;
            let Scope { code, image, .. } = self.scope;
            let is_sound = if pointer.indirect { has(image, target, 8) } else { has(code, target, 1) };
            if !is_sound {
                return Err(Error::corrupt("CIE: expected a personality routine of this module, or a pointer to one"));
            }
            (self.found)(Found::Pointer(self.at + at, pointer.size));
        }
        alloc::push(&mut self.cies, cie, "unwind tables")?;
        self.last = self.at;
        Ok(cie)
    }

    fn fde(&mut self, record: &[u8], cie: &Cie) -> Result<()> {
        let cut = || Error::corrupt("expected a whole FDE");
        let size = cie.pointer;
        let relative = number(record, HEAD, size).ok_or_else(cut)?;
        let len = number(record, HEAD + size, size).ok_or_else(cut)?;
        let mut fields = Leb { bytes: record, at: HEAD + 2 * size };
        let data = fields.unsigned().ok_or_else(cut)?;
        let expected = cie.lsda.map_or(0, |lsda| lsda.size);
        if data != expected as u64 || record.len() - fields.at < expected {
            let message = format!("expected an FDE with {expected} bytes of augmentation data, found {data}");
            return Err(Error::corrupt(message));
        }
        // Unwinders take a relative address of 0 for a function that a linker has left out.
        if relative == 0 || len == 0 {
            (self.found)(Found::Empty(self.at, record.len(), self.last));
            self.empty += 1;
            return Ok(());
        }
        let begin = self.target(record, HEAD, size).ok_or_else(cut)?;
        if !has(&self.scope.code, begin, len) {
            return Err(Error::corrupt("expected a function of this module, found one outside"));
        }
        (self.found)(Found::Pointer(self.at + HEAD, size));
        if let Some(lsda) = cie.lsda.filter(|lsda| number(record, fields.at, lsda.size) != Some(0)) {
            let target = self.target(record, fields.at, lsda.size).ok_or_else(cut)?;
            if !has(&self.scope.image, target, if lsda.indirect { 8 } else { 1 }) {
                return Err(Error::corrupt("expected language-specific data in this module, found it outside"));
            }
            (self.found)(Found::Pointer(self.at + fields.at, lsda.size));
        }
        self.functions += 1;
        self.last = self.at;
        Ok(())
    }

    /// The address that a field of the record at `self.at` refers to.
    fn target(&self, record: &[u8], at: usize, size: usize) -> Option<u64> {
        let relative = number(record, at, size)?;
        Some(self.address.wrapping_add((self.at + at) as u64).wrapping_add(relative))
    }

    /// Checks FDEs as long as they are sound and like most that compilers write.
    fn usual_fdes(&mut self, cie: &Cie) {
        if cie.pointer != 4 || cie.lsda.is_some_and(|lsda| lsda.size != 4 || lsda.indirect) {
            return;
        }
        let lsda = cie.lsda.is_some();
        let usual =
            Usual { address: self.address, code: &self.scope.code, image: &self.scope.image, cie: cie.at, lsda };
        (self.at, self.last, self.functions) =
            usual.walk(self.bytes, self.at, (self.last, self.functions), &mut self.found);
    }
}

/// Whether `len` bytes at an address lie in a range.
#[inline(always)]
fn has(range: &Range<u64>, address: u64, len: u64) -> bool {
    let skip = address.wrapping_sub(range.start);
    let room = range.end.wrapping_sub(range.start);
    skip <= room && len <= room - skip
}

/// FDEs like most that compilers write. Each function has one, so this is where checking a table spends its time.
struct Usual<'u> {
    address: u64,
    code: &'u Range<u64>,
    image: &'u Range<u64>,
    /// The offset of their CIE.
    cie: usize,
    /// They have language-specific data.
    lsda: bool,
}

impl Usual<'_> {
    /// Walks from an offset on. Takes the offset of the record before and the number of functions, and returns the offset where the
    /// usual FDEs end and the new values of both. A function of its own, so that the loop has all registers.
    #[inline(never)]
    fn walk(
        &self,
        bytes: &[u8],
        mut at: usize,
        (mut last, mut functions): (usize, usize),
        found: &mut impl FnMut(Found),
    ) -> (usize, usize, usize) {
        while let Some((len, lsda)) = bytes.get(at..).and_then(|rest| self.fde(rest, at)) {
            found(Found::Pointer(at + HEAD, 4));
            if lsda != 0 {
                found(Found::Pointer(at + LSDA, 4));
            }
            functions += 1;
            last = at;
            at += len;
        }
        (at, last, functions)
    }

    /// Returns the length of an FDE if it is sound: it belongs to the CIE, has two words, one byte for the length of its augmentation
    /// data, and that data. Also returns the relative address of its language-specific data, or 0.
    #[inline(always)]
    fn fde(&self, rest: &[u8], at: usize) -> Option<(usize, u32)> {
        let head: &[u8; LSDA] = rest.first_chunk()?;
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, data] = *head;
        let len = 4 + u32::from_le_bytes([a, b, c, d]) as usize;
        let identity = u32::from_le_bytes([e, f, g, h]) as usize;
        let relative = u32::from_le_bytes([i, j, k, l]);
        let size = extend(u32::from_le_bytes([m, n, o, p]));
        let field = self.address.wrapping_add(at as u64);
        let begin = field.wrapping_add(HEAD as u64).wrapping_add(extend(relative));
        let sound = identity == (at + 4).wrapping_sub(self.cie)
            && relative != 0
            && size != 0
            && has(self.code, begin, size)
            && len <= rest.len();
        if !self.lsda {
            return (sound && data == 0 && len >= LSDA).then_some((len, 0));
        }
        let lsda = u32::from_le_bytes(*rest.get(LSDA..)?.first_chunk()?);
        let target = field.wrapping_add(LSDA as u64).wrapping_add(extend(lsda));
        let sound = sound && data == 4 && len >= LSDA + 4 && (lsda == 0 || has(self.image, target, 1));
        sound.then_some((len, lsda))
    }
}

/// Where the language-specific data of a usual FDE is: after its length, identity, address, size, and the length of that data.
const LSDA: usize = HEAD + 9;

fn extend(value: u32) -> u64 {
    i64::from(value as i32) as u64
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The number of 4 or 8 bytes at an offset, sign-extended.
fn number(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    if size == 4 {
        return word(bytes, at).map(extend);
    }
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads bytes and LEB128 numbers. Numbers have at most nine bytes: unwinders abort on some longer ones.
struct Leb<'l> {
    bytes: &'l [u8],
    at: usize,
}

impl Leb<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Returns a number and how many bits it has.
    fn bits(&mut self) -> Option<(u64, u32)> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some((value, shift + 7));
            }
        }
        None
    }

    fn unsigned(&mut self) -> Option<u64> {
        self.bits().map(|(value, _)| value)
    }

    fn signed(&mut self) -> Option<i64> {
        self.bits().map(|(value, bits)| (value << (64 - bits)) as i64 >> (64 - bits))
    }
}

/// Makes a copy of a table fit for registration: relocates its pointers, which are `moved` bytes further away from what they point at
/// than those of the table were, and makes its empty FDEs a part of the records before them, where they are instructions that do
/// nothing. `table.bytes` is the copy, before it is changed.
///
/// # Errors
///
/// UNSUPPORTED if a pointer doesn't reach that far, over other modules' large data. Else as [`check`].
pub fn adapt(copy: &mut [u8], address: u64, scope: &Scope, moved: u64) -> Result<()> {
    let mut changes = Vec::new();
    let mut full = Ok(());
    let table = Table { bytes: copy, address, end: TableEnd::At(copy.len()) };
    check(&table, scope, |found| {
        if full.is_ok() {
            full = alloc::push(&mut changes, found, "unwind tables");
        }
    })?;
    full?;
    for change in changes {
        match change {
            Found::Pointer(at, size) => relocate(copy, at, size, moved)?,
            Found::Empty(at, len, last) => absorb(copy, at, len, last)
                .ok_or_else(|| Error::new(Status::Internal, "unwind tables: expected a record before an empty FDE"))?,
        }
    }
    Ok(())
}

fn relocate(copy: &mut [u8], at: usize, size: usize, moved: u64) -> Result<()> {
    let too_far = || {
        let message = "unwind tables: expected code within 2 GiB of the copy of all modules' tables, found it further away; add modules \
                       with large data last";
        Error::new(Status::Unsupported, message).at(at as u64)
    };
    let value = number(copy, at, size).ok_or_else(too_far)?.wrapping_sub(moved);
    let place = copy.get_mut(at..at + size).ok_or_else(too_far)?;
    match size {
        4 => place.copy_from_slice(&i32::try_from(value as i64).map_err(|_| too_far())?.to_le_bytes()),
        _ => place.copy_from_slice(&value.to_le_bytes()),
    }
    Ok(())
}

/// Appends the bytes of a record to the record at `last`, as zeros (DW_CFA_nop).
fn absorb(copy: &mut [u8], at: usize, len: usize, last: usize) -> Option<()> {
    let longer = word(copy, last)?.checked_add(u32::try_from(len).ok()?)?;
    copy.get_mut(last..)?.first_chunk_mut::<4>().map(|place| *place = longer.to_le_bytes())?;
    copy.get_mut(at..at.checked_add(len)?)?.fill(0);
    Some(())
}
