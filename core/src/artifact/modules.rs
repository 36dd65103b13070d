//! An opened artifact's modules: where they are, and their bytes. These come from the mapping; where a trusted key has signed
//! the file, from a private copy that is made and checked when the module is first asked for, so that nobody can change it
//! between the check and its use.

use std::borrow::Cow;
use std::sync::OnceLock;

use zerocopy::FromBytes;

use super::verify::check_all_digests;
use super::{Artifact, Trailer, digest_mismatch};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::format::body::{Header, LINK_SIZE, ModuleRange};
use crate::format::elf::{Extent, extent_of};
use crate::format::module::{Module, Section, Symbol, Symbols};
use crate::format::trailer::{Digest, MODULE_ENTRY_SIZE, ModuleEntry, Root};
use crate::limits::MAX_ALIGN;
use crate::storage::{PrivateCopy, Region};
use crate::trust::seal::{self, BodyInfo};
use crate::trust::{digest, hashing};

/// Where the modules are.
#[derive(Debug)]
pub(super) struct Table {
    ranges: Vec<ModuleRange>,
    /// The trailer's table, or what it would be; empty for a file that has none and that nobody vouches for.
    entries: Vec<ModuleEntry>,
    /// One for each module of a file that a trusted key has signed, else none. Full once the module's bytes were right: with a
    /// copy of them, or nothing where they can't change.
    copies: Vec<OnceLock<Option<PrivateCopy>>>,
}

impl Table {
    /// Of a file that nobody vouches for.
    pub(super) fn without_entries(ranges: Vec<ModuleRange>) -> Table {
        Table { ranges, entries: Vec::new(), copies: Vec::new() }
    }

    /// Of a file whose root record vouches for these rows.
    pub(super) fn with_entries(ranges: Vec<ModuleRange>, entries: Vec<ModuleEntry>, signed: bool) -> Result<Table> {
        let count = if signed { entries.len() } else { 0 };
        let copies = alloc::collect((0..count).map(|_| OnceLock::new()), "the list of modules")?;
        Ok(Table { ranges, entries, copies })
    }

    /// The trailer's table, its digest being right.
    fn read(region: &Region, trailer: &Trailer, signed: bool) -> Result<Table> {
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
            let malformed = |message: String| {
                let message = format!("module table: expected module {index} {message}");
                Err(Error::corrupt(message).at(at + index as u64 * MODULE_ENTRY_SIZE))
            };
            let range = ModuleRange { offset: entry.offset.get(), len: entry.len.get() };
            let first_is_first = index > 0 || range.offset == 0;
            if range.offset < earliest || range.end() > tail || !first_is_first {
                return malformed(format!("between {earliest} and {tail}, found it at {}", range.offset));
            }
            let align = entry.align.get();
            if !align.is_power_of_two() || align > MAX_ALIGN {
                return malformed(format!("aligned to a power of two up to {MAX_ALIGN}, found {align}"));
            }
            earliest = range.end().saturating_add(LINK_SIZE);
            ranges.push(range);
        }
        if earliest != tail + LINK_SIZE {
            let message =
                format!("module table: expected the last module to end at {tail}, found {}", earliest - LINK_SIZE);
            return Err(Error::corrupt(message).at(at));
        }
        Table::with_entries(ranges, alloc::copy(entries, "the module table")?, signed)
    }
}

/// The root record and module table that a trailer without chunks would have, of a file that has none and whose modules lie
/// at `ranges`. Metadata is taken to end where the file does.
pub(super) fn implied_root(
    region: &Region,
    ranges: &[ModuleRange],
    header_offset: u64,
) -> Result<(Root, Vec<ModuleEntry>)> {
    let bytes = region.bytes()?;
    let from = |start: u64| bytes.get(start as usize..).unwrap_or(&[]);
    let header = Header::decode(from(header_offset)).map_err(|error| error.shifted(header_offset))?;
    let entries = compute_entries(bytes, ranges)?;
    let body = BodyInfo {
        body_end: region.len(),
        header_offset,
        metadata_offset: header_offset + header.len as u64,
        tail: from(header_offset.saturating_sub(LINK_SIZE)),
        entries: &entries,
    };
    Ok((seal::root_record(&body, &[], 0), entries))
}

/// The module table that a trailer would have.
fn compute_entries(bytes: &[u8], ranges: &[ModuleRange]) -> Result<Vec<ModuleEntry>> {
    let mut end = 0;
    let spans = ranges.iter().map(|range| {
        let start = std::mem::replace(&mut end, range.end());
        bytes.get(start as usize..end as usize).unwrap_or(&[])
    });
    let spans = alloc::collect(spans, "the list of modules")?;
    entries_with(bytes, ranges, &hashing::hash_each(&spans)?)
}

/// The module table that a trailer would have, given the modules' digests.
fn entries_with(bytes: &[u8], ranges: &[ModuleRange], digests: &[Digest]) -> Result<Vec<ModuleEntry>> {
    let mut entries = alloc::with_capacity(ranges.len(), "the module table")?;
    for (index, (range, digest)) in ranges.iter().zip(digests).enumerate() {
        let module = bytes.get(range.offset as usize..range.end() as usize).unwrap_or(&[]);
        let align = Module::parse(module).and_then(|module| module.align());
        let align = align.map_err(|error| error.within(format!("module {index}")).at(0).shifted(range.offset))?;
        entries.push(seal::module_entry(range, align, digest));
    }
    Ok(entries)
}

impl Artifact {
    fn table(&self) -> Result<&Table> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let trailer = self.trailer.as_ref().ok_or_else(|| Error::new(Status::Internal, "modules without places"))?;
        let table = Table::read(&self.region, trailer, self.signer.is_some());
        let table = table.map_err(|error| error.shifted(self.base()))?;
        Ok(self.table.get_or_init(|| table))
    }

    /// Where the modules are.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH or CORRUPT if the trailer's table is damaged; IO, NO_MEMORY.
    pub fn module_ranges(&self) -> Result<&[ModuleRange]> {
        Ok(&self.table()?.ranges)
    }

    /// Where a module is.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such module; as [`Artifact::module_ranges`].
    pub fn module_range(&self, index: usize) -> Result<&ModuleRange> {
        self.module_ranges()?.get(index).ok_or_else(|| {
            let count = self.modules;
            Error::new(Status::NotFound, format!("expected a module index below {count}, found {index}"))
        })
    }

    /// The module table; empty where there is none.
    pub(crate) fn entries(&self) -> Result<&[ModuleEntry]> {
        Ok(&self.table()?.entries)
    }

    /// The module table that a trailer has, or would have, of modules with these digests.
    pub(crate) fn entries_for(&self, digests: &[Digest]) -> Result<Cow<'_, [ModuleEntry]>> {
        let Table { entries, ranges, .. } = self.table()?;
        if entries.len() == ranges.len() {
            return Ok(Cow::Borrowed(entries));
        }
        entries_with(self.bytes()?, ranges, digests).map(Cow::Owned).map_err(|error| error.shifted(self.base()))
    }

    /// What a signature of this artifact is over: the trailer's root record, or the one that a trailer without attributes
    /// would have. Every byte is read.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH or CORRUPT if it is damaged, or bytes of no meaning follow Metadata, or a module's section headers are
    /// damaged; IO, NO_MEMORY.
    pub fn root_record(&self) -> Result<Root> {
        // Damage must not get a signature.
        check_all_digests(self)?;
        if let Some(root) = self.root() {
            return Ok(*root);
        }
        if self.body_end() != self.len() {
            let (end, len) = (self.body_end(), self.len());
            let message = format!("signature: expected a file that ends with Metadata, at {end}, found {len} bytes");
            return Err(Error::corrupt(message).at(self.base() + end));
        }
        let made = implied_root(&self.region, self.module_ranges()?, self.header_offset);
        made.map(|(root, _)| root).map_err(|error| error.shifted(self.base()))
    }

    /// A module, with the link word and padding that stand before it unless it is the first: what its digest is over.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such module, IO or NO_MEMORY if the file can't be mapped; DIGEST_MISMATCH if a trusted key has
    /// signed other bytes.
    pub(crate) fn module_span(&self, index: usize) -> Result<&[u8]> {
        let end = self.module_range(index)?.end();
        let start = self.span_start(index)?;
        let mapped = || {
            let found = self.bytes()?.get(start as usize..end as usize);
            found.ok_or_else(|| Error::new(Status::Internal, "module lies outside the mapping"))
        };
        let Table { entries, copies, .. } = self.table()?;
        let (Some(entry), Some(copy_cell)) = (entries.get(index), copies.get(index)) else { return mapped() };
        let copy_cell = match copy_cell.get() {
            Some(copy) => copy,
            None => {
                let copy = self.private_span(start, end, entry)?;
                let bytes = match &copy {
                    Some(copy) => copy.bytes(),
                    None => mapped()?,
                };
                if hashing::hash_each(&[bytes])? != [entry.digest] {
                    return Err(digest_mismatch(&format!("module {index}"), self.base() + start));
                }
                // Of two threads that come here at once, one copies in vain.
                copy_cell.get_or_init(|| copy)
            }
        };
        copy_cell.as_ref().map_or_else(mapped, |copy| Ok(copy.bytes()))
    }

    /// A private copy of a module that lies where others might change it.
    fn private_span(&self, start: u64, end: u64, entry: &ModuleEntry) -> Result<Option<PrivateCopy>> {
        if self.frozen {
            return Ok(None);
        }
        let prefix = entry.offset.get() - start;
        self.region.private_copy(start, end - start, prefix, entry.align.get()).map(Some)
    }

    /// Where the bytes under a module's digest begin.
    fn span_start(&self, index: usize) -> Result<u64> {
        index.checked_sub(1).map_or(Ok(0), |previous| Ok(self.module_range(previous)?.end()))
    }

    /// A module's ELF.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such module, IO or NO_MEMORY if the file can't be mapped; DIGEST_MISMATCH if a trusted key has
    /// signed other bytes.
    pub fn module_bytes(&self, index: usize) -> Result<&[u8]> {
        let prefix = self.module_range(index)?.offset - self.span_start(index)?;
        Ok(self.module_span(index)?.get(prefix as usize..).unwrap_or(&[]))
    }

    /// What a module's header says.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module_bytes`], and CORRUPT if the header doesn't fit the module's place.
    pub fn extent(&self, index: usize) -> Result<Extent> {
        let located = |error: Error| self.in_module(index, error);
        let bytes = self.module_bytes(index)?;
        let extent = extent_of(bytes).map_err(located)?;
        self.check_link(index)?;
        if extent.len == bytes.len() as u64 {
            return Ok(extent);
        }
        let message = format!("expected {} bytes, as the trailer says, found an ELF of {}", bytes.len(), extent.len);
        Err(located(Error::corrupt(message)))
    }

    /// The trailer's table must say what the links say, which is what other readers follow.
    fn check_link(&self, index: usize) -> Result<()> {
        let Some(previous) = index.checked_sub(1) else { return Ok(()) };
        let (from, to) = (self.module_range(previous)?.end(), self.module_range(index)?.offset);
        let found = self.module_span(index)?.first_chunk().map(|word| u64::from_le_bytes(*word));
        if found == Some(to) {
            return Ok(());
        }
        let found = found.map_or("none".to_owned(), |found| found.to_string());
        let message = format!("module {index}: expected a link to {to}, as the trailer says, found {found}");
        Err(Error::corrupt(message).at(self.base() + from))
    }

    /// A section by its index.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module`], NOT_FOUND, and CORRUPT if it lies outside its module.
    pub fn section(&self, module: usize, index: usize) -> Result<(Section<'_>, &[u8])> {
        let bytes = self.module_bytes(module)?;
        let found = self.module(module)?.section(index).and_then(|section| Ok((section, section.bytes(bytes)?)));
        found.map_err(|error| self.in_module(module, error))
    }

    /// The first section of a name.
    ///
    /// # Errors
    ///
    /// As [`Artifact::section`].
    pub fn section_named(&self, module: usize, name: &[u8]) -> Result<(Section<'_>, &[u8])> {
        let bytes = self.module_bytes(module)?;
        let found = self.module(module)?.section_named(name).and_then(|section| Ok((section, section.bytes(bytes)?)));
        found.map_err(|error| self.in_module(module, error))
    }

    /// A module's symbols.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module`], and CORRUPT if the table or its names lie outside the module.
    pub fn symbols(&self, module: usize) -> Result<Symbols<'_>> {
        self.module(module)?.symbols().map_err(|error| self.in_module(module, error))
    }

    /// One of a module's symbols by its index; 0 is the null symbol.
    ///
    /// # Errors
    ///
    /// As [`Artifact::symbols`], and NOT_FOUND past the last one.
    pub fn symbol(&self, module: usize, index: usize) -> Result<Symbol<'_>> {
        self.symbols(module)?.get(index).map_err(|error| self.in_module(module, error))
    }

    /// The symbol of a module with that name, as [`Symbols::named`] finds it.
    ///
    /// # Errors
    ///
    /// As [`Artifact::symbols`], and NOT_FOUND if none has that name.
    pub fn symbol_named(&self, module: usize, name: &[u8]) -> Result<Symbol<'_>> {
        self.symbols(module)?.named(name).map_err(|error| self.in_module(module, error))
    }

    /// A checked view of a module's ELF.
    ///
    /// # Errors
    ///
    /// As [`Artifact::extent`], and CORRUPT if its tables are damaged.
    pub fn module(&self, index: usize) -> Result<Module<'_>> {
        self.extent(index)?;
        Module::parse(self.module_bytes(index)?).map_err(|error| self.in_module(index, error))
    }

    /// Places an error about a module, whose offset counts from the module's start, in the file.
    pub(crate) fn in_module(&self, index: usize, error: Error) -> Error {
        let start = self.module_range(index).map_or(0, |range| range.offset).saturating_add(self.base());
        error.within(format!("module {index}")).at(0).shifted(start)
    }
}
