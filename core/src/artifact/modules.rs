//! The modules of an opened artifact: their ranges and their bytes. The bytes come from the mapping. In a signed artifact they come
//! from a private copy, made and checked on first use, so that nothing can change them between check and use. A caller can ask
//! for private copies of any artifact's modules.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use zerocopy::FromBytes;

use super::table::{ModuleBytes, Table, range_of};
use super::verify::check_all_digests;
use super::{Artifact, digest_mismatch};
use crate::alloc;
use crate::compat;
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::format::body::{Header, LINK_SIZE, ModuleRange};
use crate::format::elf::{Extent, HEADER_SIZE, Identity, extent_of, header_tables};
use crate::format::module::{Module, Section, Symbol, Symbols};
use crate::format::trailer::{CommonIdentity, Digest, MODULE_ENTRY_SIZE, ModuleEntry, Root};
use crate::report::Finding;
use crate::storage::{PrivateCopy, Region};
use crate::trust::hashing;
use crate::trust::seal::{self, BodyInfo};

/// Maximum size of a module that is read whole for its tables, in bytes: that is faster than reading its parts.
const MIN_PARTIAL: u64 = 64 << 10;

/// Computes the root record and module table that a trailer without chunks would have, for a file without a trailer whose modules
/// are at `ranges`. Metadata is assumed to end at the end of the file. The modules are read in pieces: nobody has signed them yet, so
/// they must not determine how much memory this takes.
pub(super) fn implied_root(
    region: &Region,
    ranges: &[ModuleRange],
    header_offset: u64,
) -> Result<(Root, Vec<ModuleEntry>)> {
    let start = header_offset.saturating_sub(LINK_SIZE);
    let tail = region.stable(start, region.len(), "Metadata")?;
    let header = Header::decode(tail.get(LINK_SIZE as usize..).unwrap_or(&[]));
    let header = header.map_err(|error| error.shifted(header_offset))?;
    let entries = compute_entries(region, ranges)?;
    let mut identities = alloc::with_capacity(ranges.len(), "the list of modules")?;
    for range in ranges {
        identities.push(read_identity(region, range)?);
    }
    let body = BodyInfo {
        body_end: region.len(),
        header_offset,
        metadata_offset: header_offset + header.len as u64,
        tail: &tail,
        entries: &entries,
        identity: CommonIdentity::of(&mut identities.into_iter()),
    };
    Ok((seal::root_record(&body, &[], 0), entries))
}

/// Computes the module table that a trailer would have.
fn compute_entries(region: &Region, ranges: &[ModuleRange]) -> Result<Vec<ModuleEntry>> {
    let start =
        |module: usize| module.checked_sub(1).and_then(|previous| ranges.get(previous)).map_or(0, ModuleRange::end);
    let len = |module: usize| ranges.get(module).map_or(0, ModuleRange::end) - start(module);
    let digests =
        hashing::hash_read(ranges.len(), &len, &|module, offset, piece| region.read_at(start(module) + offset, piece))?;
    let mut entries = alloc::with_capacity(ranges.len(), "the module table")?;
    for (index, (range, digest)) in ranges.iter().zip(&digests).enumerate() {
        let align = read_align(region, range)?
            .map_err(|error| excess_as_damage(error).within(format!("module {index}")).at(0).shifted(range.offset))?;
        entries.push(seal::module_entry(range, align, digest));
    }
    Ok(entries)
}

/// Reads a module's alignment: of a large one only the tables of sections and segments. The outer result is that of reading, and the
/// inner one counts offsets from the module's start.
fn read_align(region: &Region, range: &ModuleRange) -> Result<Result<u64>> {
    let align = |bytes: &[u8]| Module::parse(bytes).and_then(|module| module.align());
    if range.len <= MIN_PARTIAL {
        return region.read_to_vec(range.offset, range.len, "a module").map(|bytes| align(&bytes));
    }
    let mut head = [0; HEADER_SIZE];
    region.read_at(range.offset, &mut head)?;
    match header_tables(&head, range.len) {
        Ok(tables) => Ok(align(region.private_copy_of(range.offset, range.len, &tables)?.bytes())),
        Err(error) => Ok(Err(error)),
    }
}

/// Reads what a module's header says about its machine; none if it is no ELF image.
fn read_identity(region: &Region, range: &ModuleRange) -> Result<Option<Identity>> {
    let mut prefix = [0; Identity::PREFIX];
    region.read_at(range.offset, &mut prefix)?;
    Ok(Identity::of(&prefix))
}

/// Turns the error for bytes that are no image at all into CORRUPT: in an artifact, an image was there.
fn as_damage(error: Error) -> Error {
    match error.status() {
        Status::InvalidArgument | Status::NotAnArtifact | Status::Unsupported => error.with_status(Status::Corrupt),
        _ => error,
    }
}

/// Turns LIMIT into CORRUPT, where no writer exceeds the limit.
fn excess_as_damage(error: Error) -> Error {
    if error.status() == Status::Limit { error.with_status(Status::Corrupt) } else { error }
}

impl Artifact {
    fn table(&self) -> Result<&Table> {
        self.shared_table().map(|table| &**table)
    }

    fn shared_table(&self) -> Result<&Arc<Table>> {
        if let Some(table) = self.table.get() {
            return Ok(table);
        }
        let trailer = self
            .trailer
            .as_ref()
            .ok_or_else(|| Error::new(Status::Internal, "artifact without a trailer has no module table"))?;
        let table = Table::read(&self.region, trailer, self.signer.is_some() || self.private);
        let table = table.map_err(|error| error.shifted(self.base()))?;
        Ok(fork::keep(&self.table, Arc::new(table)))
    }

    /// Returns the ranges of all modules.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH or CORRUPT if the trailer's module table is damaged; IO, NO_MEMORY.
    pub fn module_ranges(&self) -> Result<&[ModuleRange]> {
        Ok(&self.table()?.ranges)
    }

    /// Returns the range of the module with index `index`.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such module; as [`Artifact::module_ranges`].
    pub fn module_range(&self, index: usize) -> Result<&ModuleRange> {
        self.check_index(index)?;
        let outside = || Error::new(Status::Internal, "a module that isn't in the module table");
        self.module_ranges()?.get(index).ok_or_else(outside)
    }

    /// Checks that there is a module with index `index`.
    pub(crate) fn check_index(&self, index: usize) -> Result<()> {
        let count = self.modules;
        if index < count {
            return Ok(());
        }
        Err(Error::new(Status::NotFound, format!("expected a module index below {count}, found {index}")))
    }

    /// Returns the module table; empty if the artifact has none.
    pub(crate) fn entries(&self) -> Result<&[ModuleEntry]> {
        Ok(&self.table()?.entries)
    }

    /// Returns the module table of the trailer, or computes the one that a trailer would have from the modules' digests.
    pub(crate) fn entries_for(&self, digests: &[Digest]) -> Result<Cow<'_, [ModuleEntry]>> {
        let Table { entries, ranges, .. } = self.table()?;
        if entries.len() == ranges.len() {
            return Ok(Cow::Borrowed(entries));
        }
        let mut entries = alloc::with_capacity(ranges.len(), "the module table")?;
        for (index, (range, digest)) in ranges.iter().zip(digests).enumerate() {
            let align = Module::parse(self.module_bytes(index)?).and_then(|module| module.align());
            let align = align.map_err(|error| self.in_module(index, excess_as_damage(error)))?;
            entries.push(seal::module_entry(range, align, digest));
        }
        Ok(Cow::Owned(entries))
    }

    /// Returns the root record, which signatures are over: that of the trailer, or the one that a trailer without attributes would
    /// have. This reads every byte.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH or CORRUPT if the artifact is damaged, a module's section headers included, or if unknown bytes follow Metadata;
    /// IO, NO_MEMORY.
    pub fn root_record(&self) -> Result<Root> {
        // Do not sign a damaged artifact.
        check_all_digests(self)?;
        if let Some(root) = self.root() {
            return Ok(*root);
        }
        if self.body_end() != self.len() {
            let (end, len) = (self.body_end(), self.len());
            let message = format!("signature: expected a file that ends with Metadata, at {end}, found {len} bytes");
            return Err(Error::corrupt(message).at(self.base() + end));
        }
        let implied = implied_root(&self.region, self.module_ranges()?, self.header_offset);
        implied.map(|(root, _)| root).map_err(|error| error.shifted(self.base()))
    }

    /// Returns the bytes that a module's digest is over: its ELF image, and before it, except for the first module, the link word and
    /// padding.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such module; IO or NO_MEMORY if the file can't be mapped; DIGEST_MISMATCH if the bytes of a signed
    /// module do not match its digest.
    pub(crate) fn module_span(&self, index: usize) -> Result<&[u8]> {
        let end = self.module_range(index)?.end();
        let start = self.span_start(index)?;
        let mapped = || {
            let found = self.bytes()?.get(start as usize..end as usize);
            found.ok_or_else(|| Error::new(Status::Internal, "module lies outside the mapping"))
        };
        let Table { entries, copies, .. } = self.table()?;
        let Some(copy_cell) = copies.get(index) else { return mapped() };
        let copy_cell = match copy_cell.get() {
            Some(copy) => copy,
            None => {
                let copy = if self.private { Some(self.private_span(index, start, end)?) } else { None };
                let bytes = match &copy {
                    Some(copy) => copy.bytes(),
                    None => mapped()?,
                };
                if self.signer.is_some()
                    && hashing::hash_each(&[bytes])?.first() != entries.get(index).map(|entry| &entry.digest)
                {
                    return Err(digest_mismatch(&format!("module {index}"), self.base() + start));
                }
                // If two threads get here at once, both copy the module and one copy is dropped.
                fork::keep(copy_cell, copy)
            }
        };
        copy_cell.as_ref().map_or_else(mapped, |copy| Ok(copy.bytes()))
    }

    /// Copies the bytes that a module's digest is over. Without a module table, the image is only aligned to a word.
    pub(super) fn private_span(&self, index: usize, start: u64, end: u64) -> Result<PrivateCopy> {
        let align = self.table()?.entries.get(index).map_or(8, |entry| entry.align.get());
        let copy = self.region.private_copy(start, end - start, self.module_range(index)?.offset - start, align);
        copy.map_err(|error| error.shifted(self.base()))
    }

    /// Returns the offset of the first byte that a module's digest is over.
    pub(super) fn span_start(&self, index: usize) -> Result<u64> {
        index.checked_sub(1).map_or(Ok(0), |previous| Ok(self.module_range(previous)?.end()))
    }

    /// Returns a module's ELF image.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such module; IO or NO_MEMORY if the file can't be mapped; DIGEST_MISMATCH if the bytes of a signed
    /// module do not match its digest.
    pub fn module_bytes(&self, index: usize) -> Result<&[u8]> {
        self.image_in(index, self.module_span(index)?)
    }

    /// Returns the ELF image in the bytes that a module's digest is over.
    pub(super) fn image_in<'a>(&self, index: usize, span: &'a [u8]) -> Result<&'a [u8]> {
        let prefix = self.module_range(index)?.offset - self.span_start(index)?;
        Ok(span.get(prefix as usize..).unwrap_or(&[]))
    }

    /// Returns the modules' bytes as the artifact has them, for longer than it is open.
    pub(crate) fn shared_bytes(&self) -> ModuleBytes {
        ModuleBytes { bytes: self.region.shared(), table: self.table.get().cloned() }
    }

    /// Returns where a module is, and where the one before it ends, or 0. Of a large module table nobody else needs, only their
    /// entries are read, whose digest is then not checked: if nobody has signed it, who loads the module compares the entry with the
    /// link and the ELF header instead.
    pub(crate) fn place_of(&self, index: usize) -> Result<(ModuleRange, u64)> {
        let Some(trailer) = self.trailer.as_ref().filter(|trailer| {
            trailer.table.is_none() && self.table.get().is_none() && self.signer.is_none() && !self.private
        }) else {
            return Ok((*self.module_range(index)?, self.span_start(index)?));
        };
        self.check_index(index)?;
        let first = index.saturating_sub(1);
        let (at, len) = (first as u64 * MODULE_ENTRY_SIZE, (index - first + 1) as u64 * MODULE_ENTRY_SIZE);
        let bytes = self.region.read_to_vec(trailer.layout.table + at, len, "the module table")?;
        let (mut previous, mut found) = (0, ModuleRange { offset: 0, len: 0 });
        for (index, entry) in (first..).zip(<[ModuleEntry]>::ref_from_bytes(&bytes).unwrap_or(&[])) {
            previous = found.end();
            found = range_of(entry, index, previous, trailer.root.tail_offset())?;
        }
        Ok((found, previous))
    }

    /// Returns the facts that a module's ELF header gives.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module_bytes`], and CORRUPT if the header or the module's link contradicts the trailer.
    pub fn extent(&self, index: usize) -> Result<Extent> {
        self.extent_in(index, self.module_span(index)?)
    }

    /// As [`Artifact::extent`], of the bytes that a module's digest is over.
    pub(super) fn extent_in(&self, index: usize, span: &[u8]) -> Result<Extent> {
        let in_file = |error: Error| self.in_module(index, error);
        let bytes = self.image_in(index, span)?;
        let extent = extent_of(bytes).map_err(as_damage).map_err(in_file)?;
        self.check_link(index, span)?;
        if extent.len == bytes.len() as u64 {
            return Ok(extent);
        }
        let message = format!("expected {} bytes, as the trailer says, found an ELF of {}", bytes.len(), extent.len);
        Err(in_file(Error::corrupt(message)))
    }

    /// Compares the modules' headers with an engine's target. What the root record says of them is enough to pass. Otherwise they are
    /// read, from the file, not from the checked copies that a signed artifact's modules have. Either way, a check only says what to
    /// expect of loading, which compares each header again.
    pub(super) fn compare_machines(&self, engine: &Engine, sink: &mut dyn FnMut(Finding) -> Result<()>) -> Result<()> {
        let stated = self.root().and_then(|root| root.identity.get());
        if let Some(all) = self.identity.get().copied().or(stated)
            && compat::machine(engine, 0, all).is_none()
        {
            return Ok(());
        }
        let mut same = true;
        let mut first = None;
        for (index, range) in self.module_ranges()?.iter().enumerate() {
            let found = read_identity(&self.region, range).and_then(|found| {
                found.ok_or_else(|| Error::corrupt("expected an ELF image, found other bytes").at(0))
            });
            let found = found.map_err(|error| self.in_module(index, error))?;
            same &= *first.get_or_insert(found) == found;
            if let Some(finding) = compat::machine(engine, index, found) {
                sink(finding)?;
            }
        }
        if let Some(first) = first.filter(|_| same) {
            fork::keep(&self.identity, first);
        }
        Ok(())
    }

    /// Returns what the headers of all modules say, for a new root record.
    pub(crate) fn common_identity(&self) -> Result<CommonIdentity> {
        let of = |index| self.module_bytes(index).map(Identity::of);
        let found = alloc::try_collect((0..self.modules).map(of), "the list of modules")?;
        Ok(CommonIdentity::of(&mut found.into_iter()))
    }

    /// Checks that the link to a module agrees with the trailer's module table, since other readers follow the links.
    fn check_link(&self, index: usize, span: &[u8]) -> Result<()> {
        let Some(previous) = index.checked_sub(1) else { return Ok(()) };
        let (from, to) = (self.module_range(previous)?.end(), self.module_range(index)?.offset);
        let found = span.first_chunk().map(|word| u64::from_le_bytes(*word));
        if found == Some(to) {
            return Ok(());
        }
        let found = found.map_or("none".to_owned(), |found| found.to_string());
        let message = format!("module {index}: expected a link to {to}, as the trailer says, found {found}");
        Err(Error::corrupt(message).at(self.base() + from))
    }

    /// Returns the section with index `index` of a module, and its bytes.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module`]; NOT_FOUND if there is no such section; CORRUPT if it lies outside its module.
    pub fn section(&self, module: usize, index: usize) -> Result<(Section<'_>, &[u8])> {
        let bytes = self.module_bytes(module)?;
        let found = self.module(module)?.section(index).and_then(|section| Ok((section, section.bytes(bytes)?)));
        found.map_err(|error| self.in_module(module, error))
    }

    /// Returns the first section named `name` of a module, and its bytes.
    ///
    /// # Errors
    ///
    /// As [`Artifact::section`].
    pub fn section_named(&self, module: usize, name: &[u8]) -> Result<(Section<'_>, &[u8])> {
        let bytes = self.module_bytes(module)?;
        let found = self.module(module)?.section_named(name).and_then(|section| Ok((section, section.bytes(bytes)?)));
        found.map_err(|error| self.in_module(module, error))
    }

    /// Returns a module's symbol table.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module`], and CORRUPT if the table or its names lie outside the module.
    pub fn symbols(&self, module: usize) -> Result<Symbols<'_>> {
        let view = self.module(module)?;
        let cell = self.table()?.symbols.get(module);
        let found = match cell.and_then(OnceLock::get) {
            Some(known) => view.symbols_in(known),
            None => view.symbol_tables().and_then(|found| {
                let symbols = view.symbols_in(&found)?;
                if let Some(cell) = cell {
                    fork::keep(cell, found);
                }
                Ok(symbols)
            }),
        };
        found.map_err(|error| self.in_module(module, error))
    }

    /// Returns the symbol with index `index` of a module. Index 0 is the null symbol.
    ///
    /// # Errors
    ///
    /// As [`Artifact::symbols`], and NOT_FOUND if there is no such symbol.
    pub fn symbol(&self, module: usize, index: usize) -> Result<Symbol<'_>> {
        self.symbols(module)?.get(index).map_err(|error| self.in_module(module, error))
    }

    /// Returns the symbol of a module that [`Symbols::named`] chooses for `name`.
    ///
    /// # Errors
    ///
    /// As [`Artifact::symbols`], and NOT_FOUND if no symbol has that name.
    pub fn symbol_named(&self, module: usize, name: &[u8]) -> Result<Symbol<'_>> {
        self.symbols(module)?.named(name).map_err(|error| self.in_module(module, error))
    }

    /// Returns a checked view of a module's ELF image.
    ///
    /// # Errors
    ///
    /// As [`Artifact::extent`], and CORRUPT if the image's tables are damaged.
    pub fn module(&self, index: usize) -> Result<Module<'_>> {
        self.extent(index)?;
        Module::parse(self.module_bytes(index)?).map_err(|error| self.in_module(index, error))
    }

    /// Returns the alignment of a module's offset, as [`Module::align`] computes it.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module`]; CORRUPT also for an alignment over 2 MiB, which no artifact has.
    pub fn module_align(&self, index: usize) -> Result<u64> {
        self.align_of(index, &self.module(index)?)
    }

    /// As [`Artifact::module_align`], of the view of a module.
    pub(super) fn align_of(&self, index: usize, module: &Module<'_>) -> Result<u64> {
        module.align().map_err(|error| self.in_module(index, excess_as_damage(error)))
    }

    /// Adds the module's index to an error, and turns its offset in the module into one in the file.
    pub(crate) fn in_module(&self, index: usize, error: Error) -> Error {
        let start = self.module_range(index).map_or(0, |range| range.offset).saturating_add(self.base());
        error.within(format!("module {index}")).at(0).shifted(start)
    }
}
