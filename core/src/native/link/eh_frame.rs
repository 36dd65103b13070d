//! Links `.eh_frame` record by record, without the FDEs of discarded functions, and builds `.eh_frame_hdr`, a table of the
//! remaining FDEs sorted by address. The format is the LSB's: DWARF's, but with a zero terminator, and with CIE pointers that are
//! backward distances.

use super::input::{Input, ORDER, Rela, Section, SymbolLocation, kind};
use super::select::{Disposition, Dispositions};
use super::{defect, item, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::native::eh_frame;
use crate::native::machine::RelExpr;

/// A record of an object's `.eh_frame`: a CIE or an FDE.
pub(super) struct Record {
    pub object: usize,
    pub section: usize,
    /// Its offset in the input section.
    pub start: usize,
    /// Its length, including the length field.
    pub len: usize,
    /// Its offset in the output section.
    pub at: u64,
    /// Its relocations: a range of [`Frames::relocations`].
    pub relocations: std::ops::Range<usize>,
    /// The record index of its CIE, if this is an FDE.
    pub cie: Option<usize>,
    /// The size of a function's address in its FDEs, in bytes, if this is a CIE that the loader accepts.
    pointer: Option<u8>,
    /// The index of the section that has an FDE's function, if a section of the object has it.
    pub code: Option<usize>,
    /// Whether it is an FDE that covers no code.
    is_empty: bool,
    /// Whether it is linked: an FDE if its function is and has any code, a CIE if one of its FDEs is.
    used: bool,
}

/// The output section `.eh_frame`.
#[derive(Default)]
pub(super) struct Frames {
    pub records: Vec<Record>,
    /// The relocations of all `.eh_frame` sections, sorted by object, section and offset.
    pub relocations: Vec<Rela>,
    pub size: u64,
    /// Number of FDEs that are linked.
    pub functions: usize,
}

/// The size of the smallest FDE that compilers make: length, CIE, address and length of the function.
const SMALLEST: usize = 16;

/// Offset of the function's address in an FDE.
const FUNCTION: usize = 8;

impl Frames {
    /// Reads the records of all objects.
    ///
    /// # Errors
    ///
    /// CORRUPT for malformed records, UNSUPPORTED for records of 4 GiB and more.
    pub fn collect(inputs: &[Input<'_>], dispositions: &Dispositions) -> Result<Frames> {
        let mut frames = Frames::default();
        for (object, (input, dispositions)) in inputs.iter().zip(dispositions).enumerate() {
            for section in
                (0..dispositions.len()).filter(|section| dispositions.get(*section) == Some(&Disposition::EhFrame))
            {
                frames.read(input, object, section)?;
            }
        }
        Ok(frames)
    }

    /// Lays out the records of the functions that are linked.
    pub fn lay_out(&mut self, dispositions: &Dispositions) -> Result<()> {
        for index in 0..self.records.len() {
            let record = item_mut(&mut self.records, index, "record of .eh_frame")?;
            let Some(cie) = record.cie.filter(|_| !record.is_empty) else { continue };
            let code = record.code.map(|code| item(item(dispositions, record.object, "object")?, code, "section"));
            if code.transpose()?.is_none_or(|disposition| *disposition == Disposition::Loaded) {
                record.used = true;
                item_mut(&mut self.records, cie, "record of .eh_frame")?.used = true;
                self.functions += 1;
            }
        }
        for record in self.records.iter_mut().filter(|record| record.used) {
            record.at = self.size;
            self.size += record.len as u64;
        }
        // A zero length terminates the section for unwinders that do not know its size.
        if self.size > 0 {
            self.size += 4;
        }
        Ok(())
    }

    /// Returns the records that are linked.
    pub fn kept(&self) -> impl Iterator<Item = &Record> {
        self.records.iter().filter(|record| record.used)
    }

    /// Returns the relocations of a record.
    pub fn relocations_of(&self, record: &Record) -> Result<&[Rela]> {
        let found = self.relocations.get(record.relocations.clone());
        found.ok_or_else(|| defect("a record of .eh_frame has relocations that do not exist"))
    }

    /// Returns the offset of an FDE's CIE in the output section; `None` for a CIE.
    pub fn cie_of(&self, record: &Record) -> Result<Option<u64>> {
        record.cie.map(|cie| Ok(item(&self.records, cie, "record of .eh_frame")?.at)).transpose()
    }

    fn read(&mut self, input: &Input<'_>, object: usize, index: usize) -> Result<()> {
        let section = item(&input.sections, index, "section")?;
        let wrong = |status, at: usize, what: &str| {
            let error = Error::new(status, format!("{}:(.eh_frame+{at:#x}): {what}", quote(input.name.as_bytes())));
            Err(error.at(section.offset.saturating_add(at as u64)))
        };
        let first = self.records.len();
        let mut next = self.relocations.len();
        self.relocations.try_reserve(section.relocations.len()).map_err(|_| Error::no_memory("relocations"))?;
        self.relocations.extend_from_slice(&section.relocations);
        // Most FDEs have one relocation.
        let records = section.relocations.len().min(section.data.len() / SMALLEST);
        self.records.try_reserve(records).map_err(|_| Error::no_memory("records"))?;
        let offset = |rela: &Rela| rela.r_offset.get(ORDER);
        let new = self.relocations.get_mut(next..).ok_or_else(|| defect("relocations of .eh_frame went away"))?;
        alloc::sort(new, "relocations", offset)?;
        let word = |at: usize| {
            let bytes = at.checked_add(4).and_then(|end| section.data.get(at..end)?.try_into().ok());
            bytes.map(u32::from_le_bytes)
        };
        let mut start = 0;
        while start < section.data.len() {
            let Some(length) = word(start) else {
                return wrong(Status::Corrupt, start, "expected a record, found fewer than 4 bytes");
            };
            if length == 0 {
                // A terminator: the output section gets its own.
                start += 4;
                continue;
            }
            if length == u32::MAX {
                return wrong(Status::Unsupported, start, "expected a record of less than 4 GiB, found a longer one");
            }
            let len = length as usize + 4;
            let end = start.checked_add(len).filter(|end| *end <= section.data.len());
            let Some((id, end)) = word(start + 4).zip(end).filter(|_| length >= 4) else {
                return wrong(
                    Status::Corrupt,
                    start,
                    "expected a record that ends within the section, found a longer one",
                );
            };
            let (from, to) = (self.first_from(next, start), self.first_from(next, end));
            self.check_ignored(next..from, input, section)?;
            next = to;
            let mut record = Record {
                object,
                section: index,
                start,
                len,
                at: 0,
                relocations: from..to,
                cie: None,
                pointer: None,
                code: None,
                is_empty: false,
                used: false,
            };
            let bytes = section.data.get(start..end).ok_or_else(|| defect("a record of .eh_frame went away"))?;
            if id == 0 {
                let cie = eh_frame::read_cie(bytes, start, input.machine.number.0).ok();
                record.pointer = cie.and_then(|cie| u8::try_from(cie.pointer).ok());
            } else {
                let cie = (start + 4).checked_sub(id as usize);
                let known = self.records.get(first..).ok_or_else(|| defect("records of .eh_frame went away"))?;
                let found = cie.and_then(|cie| known.binary_search_by_key(&cie, |record| record.start).ok());
                let Some(cie) = found.filter(|found| known.get(*found).is_some_and(|cie| cie.cie.is_none())) else {
                    return wrong(Status::Corrupt, start, "expected an FDE that refers to an earlier CIE");
                };
                record.cie = Some(first + cie);
                let Some(function) = self.function(&record)? else {
                    return wrong(
                        Status::Corrupt,
                        start,
                        "expected an FDE with one relocation for its function, found none or several",
                    );
                };
                // `Needs::scan` refuses an index that no symbol has.
                let symbol = input.symbols.get(function.r_sym(ORDER, false) as usize).map(|symbol| symbol.location);
                if let Some(SymbolLocation::Section { index: code, offset }) = symbol {
                    let begin = offset.wrapping_add_signed(function.r_addend.get(ORDER));
                    let size = item(&input.sections, code, "section")?.size;
                    let range = range_of(input, section, function);
                    // The loader refuses unwind tables for code outside the module.
                    if size.checked_sub(begin).is_none_or(|rest| range.is_none_or(|range| range > rest)) {
                        let what = "expected an FDE for a function within its section, found one for code outside";
                        return wrong(Status::Corrupt, start, what);
                    }
                    record.code = Some(code);
                }
                record.is_empty = self.is_empty(&record, bytes)?;
            }
            alloc::push(&mut self.records, record, "records")?;
            start = end;
        }
        self.check_ignored(next..self.relocations.len(), input, section)
    }

    /// Returns whether an FDE covers no code, as that of a function that ends before its first instruction. An unwinder that finds it
    /// looks no further, even if another function starts at the same address. System linkers drop such FDEs, too.
    fn is_empty(&self, record: &Record, bytes: &[u8]) -> Result<bool> {
        let cie = record.cie.map(|cie| item(&self.records, cie, "record of .eh_frame")).transpose()?;
        let Some(pointer) = cie.and_then(|cie| cie.pointer) else { return Ok(false) };
        let pointer = usize::from(pointer);
        let at = FUNCTION + pointer;
        let mut relocations = self.relocations_of(record)?.iter().map(|rela| rela.r_offset.get(ORDER));
        let is_constant = !relocations.any(|offset| offset == (record.start + at) as u64);
        let len = bytes.get(at..at + pointer);
        Ok(is_constant && len.is_some_and(|len| len.iter().all(|byte| *byte == 0)))
    }

    /// Checks that the loader accepts the CIEs that are linked.
    ///
    /// # Errors
    ///
    /// CORRUPT or UNSUPPORTED, with the object's name.
    pub fn check_encodings(&self, inputs: &[Input<'_>]) -> Result<()> {
        for record in self.kept().filter(|record| record.cie.is_none() && record.pointer.is_none()) {
            let input = item(inputs, record.object, "object")?;
            let section = item(&input.sections, record.section, "section")?;
            let bytes = section.data.get(record.start..record.start + record.len);
            let bytes = bytes.ok_or_else(|| defect("a record of .eh_frame went away"))?;
            let Err(error) = eh_frame::read_cie(bytes, record.start, input.machine.number.0) else { continue };
            let start = record.start;
            let place = format!("{}:(.eh_frame+{start:#x})", quote(input.name.as_bytes()));
            return Err(error.within(place).at(section.offset.saturating_add(start as u64)));
        }
        Ok(())
    }

    /// Returns the index of the first relocation, from `index` on, whose offset is not below `offset`.
    fn first_from(&self, index: usize, offset: usize) -> usize {
        let before = |rela: &&Rela| rela.r_offset.get(ORDER) < offset as u64;
        index + self.relocations.iter().skip(index).take_while(before).count()
    }

    /// Refuses relocations that belong to no record, which would not be applied.
    fn check_ignored(&self, range: std::ops::Range<usize>, input: &Input<'_>, section: &Section<'_>) -> Result<()> {
        for rela in self.relocations.get(range).ok_or_else(|| defect("relocations of .eh_frame went away"))? {
            if !(input.machine.howto)(kind(rela)).is_some_and(|howto| howto.expr == RelExpr::None) {
                return Err(input.site(section, rela).corrupt("lies outside every record"));
            }
        }
        Ok(())
    }

    /// Returns the relocation that stores an FDE's function address; `None` if there are several.
    pub fn function(&self, record: &Record) -> Result<Option<&Rela>> {
        let at = (record.start + FUNCTION) as u64;
        let mut found = self.relocations_of(record)?.iter().filter(|rela| rela.r_offset.get(ORDER) == at);
        Ok(found.next().filter(|_| found.next().is_none()))
    }

    /// Returns the size of `.eh_frame_hdr`.
    pub fn header_size(&self) -> u64 {
        HEADER + 8 * self.functions as u64
    }
}

/// Returns the length of an FDE's function, which follows its address in a field of the same size.
fn range_of(input: &Input<'_>, section: &Section<'_>, function: &Rela) -> Option<u64> {
    let width = (input.machine.howto)(kind(function))?.field.width();
    let at = usize::try_from(function.r_offset.get(ORDER)).ok()?.checked_add(width)?;
    let field = section.data.get(at..at.checked_add(width)?)?;
    let mut word = [0; 8];
    word.get_mut(..width)?.copy_from_slice(field);
    Some(u64::from_le_bytes(word))
}

const HEADER: u64 = 12;

/// Returns the bytes of `.eh_frame_hdr`, given its address and that of `.eh_frame`. `functions` has the addresses of each
/// function and its FDE; the table is sorted and relative to the header.
///
/// # Errors
///
/// UNSUPPORTED if an address is too far from the header for 32 bits.
pub(super) fn header(address: u64, frames: u64, functions: &mut [(u64, u64)]) -> Result<Vec<u8>> {
    let far = || Error::new(Status::Unsupported, "unwind tables: expected code within 2 GiB, found it further away");
    let relative = |to: u64, from: u64| i32::try_from(to.wrapping_sub(from).cast_signed()).map_err(|_| far());
    alloc::sort(functions, ".eh_frame_hdr", |function| *function)?;
    let mut bytes = alloc::with_capacity(HEADER as usize + 8 * functions.len(), ".eh_frame_hdr")?;
    bytes.extend([
        1,                   // version
        pointer(0x10, 0x0b), // address of .eh_frame: relative to the field, four bytes
        0x03,                // number of functions: four bytes
        pointer(0x30, 0x0b), // table: relative to the header, four bytes
    ]);
    bytes.extend(relative(frames, address + 4)?.to_le_bytes());
    bytes.extend(u32::try_from(functions.len()).map_err(|_| far())?.to_le_bytes());
    for (function, frame) in functions {
        bytes.extend(relative(*function, address)?.to_le_bytes());
        bytes.extend(relative(*frame, address)?.to_le_bytes());
    }
    Ok(bytes)
}

/// A DW_EH_PE pointer encoding: what it is relative to, and its form.
const fn pointer(relative: u8, form: u8) -> u8 {
    relative | form
}
