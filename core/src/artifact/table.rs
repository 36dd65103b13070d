//! The module table of an opened artifact: where each module is, and the private copies of modules.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use zerocopy::FromBytes;

use super::{Trailer, digest_mismatch};
use crate::alloc;
use crate::error::{Error, Result};
use crate::format::body::{LINK_SIZE, ModuleRange};
use crate::format::module::SymbolTables;
use crate::format::trailer::{MODULE_ENTRY_SIZE, ModuleEntry};
use crate::limits::MAX_ALIGN;
use crate::storage::{PrivateCopy, Region, SharedBytes};
use crate::trust::digest;

/// The ranges of the modules, and their private copies.
#[derive(Debug)]
pub(super) struct Table {
    pub ranges: Vec<ModuleRange>,
    /// The module table of the trailer, or the one that a trailer would have if a detached signature is over it; else empty.
    pub entries: Vec<ModuleEntry>,
    /// One cell for each module if a trusted key has signed the artifact or modules are private, else empty. A cell is set once the
    /// module's bytes matched the digest that was signed: to a private copy, or to none if the bytes can't change.
    pub copies: Vec<OnceLock<Option<PrivateCopy>>>,
    /// Where each module's symbols are, found on first use: a caller that reads all symbols asks once for each.
    pub symbols: Vec<OnceLock<SymbolTables>>,
}

impl Table {
    /// Creates a table with the entries that a root record has a digest of. Without a root record there are none.
    pub(super) fn new(ranges: Vec<ModuleRange>, entries: Vec<ModuleEntry>, copies: bool) -> Result<Table> {
        let count = if copies { ranges.len() } else { 0 };
        let copies = alloc::collect((0..count).map(|_| OnceLock::new()), "the list of modules")?;
        let symbols = alloc::collect(ranges.iter().map(|_| OnceLock::new()), "the list of modules")?;
        Ok(Table { ranges, entries, copies, symbols })
    }

    /// Reads and checks the trailer's module table.
    pub(super) fn read(region: &Region, trailer: &Trailer, copies: bool) -> Result<Table> {
        let at = trailer.layout.table;
        let bytes = match &trailer.table {
            Some(bytes) => Cow::Borrowed(bytes.as_slice()),
            None => Cow::Owned(region.read_to_vec(
                at,
                trailer.root.modules.get() * MODULE_ENTRY_SIZE,
                "the module table",
            )?),
        };
        if digest::table(&bytes) != trailer.root.table_digest {
            return Err(digest_mismatch("module table", at));
        }
        let entries = <[ModuleEntry]>::ref_from_bytes(&bytes).unwrap_or(&[]);
        let tail = trailer.root.tail_offset();
        let mut ranges = alloc::with_capacity(entries.len(), "the list of modules")?;
        let mut earliest = 0;
        for (index, entry) in entries.iter().enumerate() {
            let range = range_of(entry, index, earliest, tail);
            let range = range.map_err(|error| error.at(at + index as u64 * MODULE_ENTRY_SIZE))?;
            earliest = range.end().saturating_add(LINK_SIZE);
            ranges.push(range);
        }
        if earliest != tail + LINK_SIZE {
            let message =
                format!("module table: expected the last module to end at {tail}, found {}", earliest - LINK_SIZE);
            return Err(Error::corrupt(message).at(at));
        }
        Table::new(ranges, alloc::copy(entries, "the module table")?, copies)
    }
}

/// Checks what an entry of the module table says. The module comes no earlier than `earliest` and ends no later than `tail`.
pub(super) fn range_of(entry: &ModuleEntry, index: usize, earliest: u64, tail: u64) -> Result<ModuleRange> {
    let malformed = |what: String| Err(Error::corrupt(format!("module table: expected module {index} {what}")));
    let range = ModuleRange { offset: entry.offset.get(), len: entry.len.get() };
    let starts_at_0 = index > 0 || range.offset == 0;
    if range.offset < earliest || range.end() > tail || !starts_at_0 {
        return malformed(format!("between {earliest} and {tail}, found it at {}", range.offset));
    }
    let align = entry.align.get();
    if !align.is_power_of_two() || align > MAX_ALIGN {
        return malformed(format!("aligned to a power of two up to {MAX_ALIGN}, found {align}"));
    }
    Ok(range)
}

/// The modules' bytes for who may need them longer than the artifact is open. Keeps no descriptor.
#[derive(Debug)]
pub(crate) struct ModuleBytes {
    pub(super) bytes: SharedBytes,
    /// Has the private copies, if there are any.
    pub(super) table: Option<Arc<Table>>,
}

impl ModuleBytes {
    /// Returns the ELF image of the module with index `index`, which is at `range`; none if it is a private copy that nobody has asked
    /// for, or the file can't be mapped. Takes no lock and no memory: signal handlers call it.
    pub fn get(&self, index: usize, range: &ModuleRange) -> Option<&[u8]> {
        let copy = match self.table.as_ref().and_then(|table| table.copies.get(index)) {
            Some(cell) => cell.get()?.as_ref(),
            None => None,
        };
        // The casts are lossless: the bytes are in memory, or else none are found.
        let len = range.len as usize;
        match copy {
            Some(copy) => copy.bytes().get(copy.bytes().len().checked_sub(len)?..),
            None => self.bytes.get()?.get(range.offset as usize..range.end() as usize),
        }
    }
}
