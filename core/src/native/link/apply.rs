//! Writes section contents with their relocations applied, and collects the dynamic relocations.

use object::elf;

use super::debug::DebugAddress;
use super::dynamic::DynamicReloc;
use super::eh_frame::{self, Frames};
use super::input::{Input, ORDER, Rela, Section, Site, kind};
use super::layout::{Layout, Parts};
use super::merge::Merged;
use super::scan::{Need, Needs};
use super::sections::{Class, Content, Synthetic};
use super::select::{Disposition, Dispositions};
use super::startup::STARTUP;
use super::symbols::{Definition, Entry, LinkerSymbol, Symbols, Target};
use super::{defect, item, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::native::machine::{
    AddressFrom, EXIT_FUNCTION_SIZE, Field, HoleTarget, Howto, Machine, RelExpr, Slot, Template,
};

/// The state of a link once the layout is known.
pub(super) struct LinkContext<'a> {
    pub inputs: Vec<Input<'a>>,
    pub dispositions: Dispositions,
    pub symbols: Symbols<'a>,
    pub frames: Frames,
    pub needs: Needs,
    pub merged: Merged,
    pub layout: Layout<'a>,
    pub machine: &'static Machine,
}

/// Where bytes go: their offset in the file and their address in memory.
#[derive(Clone, Copy)]
pub(super) struct OutputLocation {
    pub offset: usize,
    pub address: u64,
}

impl OutputLocation {
    pub fn plus(self, more: u64) -> OutputLocation {
        OutputLocation { offset: self.offset + more as usize, address: self.address + more }
    }

    /// The bytes before it, which belong to the same section.
    fn minus(self, less: usize) -> Result<OutputLocation> {
        let (offset, address) = (self.offset.checked_sub(less), self.address.checked_sub(less as u64));
        let before = offset.zip(address).map(|(offset, address)| OutputLocation { offset, address });
        before.ok_or_else(|| defect("rewritten instructions start before the image"))
    }
}

/// Relocations that the loader and debuggers apply.
#[derive(Default)]
pub(super) struct Deferred {
    /// For the loader.
    pub dynamic: Vec<DynamicReloc>,
    /// For debuggers, grouped by debug section.
    pub debug: Vec<DebugAddress>,
}

/// The image that is being written, and the relocations deferred so far.
pub(super) struct ImageWriter<'i> {
    image: &'i mut [u8],
    pub deferred: Deferred,
}

impl ImageWriter<'_> {
    pub fn put(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        put(self.image, offset, bytes)
    }

    /// Stores a value in a field; returns the caller's error if it does not fit.
    pub fn store(&mut self, offset: usize, field: Field, value: i128, overflow: impl FnOnce() -> Error) -> Result<()> {
        field.store(part(self.image, offset, field.width())?, value).map_err(|_| overflow())
    }

    pub fn defer(&mut self, relocation: DynamicReloc) -> Result<()> {
        alloc::push(&mut self.deferred.dynamic, relocation, "dynamic relocations")
    }
}

/// Returns `len` bytes of the image.
fn part(image: &mut [u8], offset: usize, len: usize) -> Result<&mut [u8]> {
    let size = image.len();
    let found = offset.checked_add(len).and_then(|end| image.get_mut(offset..end));
    found.ok_or_else(|| defect(format_args!("{len} bytes at {offset} of an image of {size}")))
}

/// Copies bytes into the image.
pub(super) fn put(image: &mut [u8], offset: usize, bytes: &[u8]) -> Result<()> {
    part(image, offset, bytes.len())?.copy_from_slice(bytes);
    Ok(())
}

/// Page() of the psABIs: rounds down to the pages of 4 KiB in which aarch64's adrp counts.
fn page(address: i128) -> i128 {
    address & !0xfff
}

impl<'a> LinkContext<'a> {
    /// What the layout is made from.
    pub fn parts(&self) -> Parts<'_, 'a> {
        let LinkContext { inputs, dispositions, symbols, frames, needs, merged, .. } = self;
        Parts { inputs, dispositions, symbols, frames, needs, merged }
    }

    /// Assigns every symbol its address.
    pub fn give_addresses(&mut self) -> Result<()> {
        for entry in &mut self.symbols.entries {
            match entry.definition {
                Definition::Absolute(value) => entry.address = value,
                Definition::Linker(linker_symbol) => entry.address = self.layout.linker_symbol(linker_symbol)?,
                Definition::Section { section, offset } => {
                    match item(item(&self.dispositions, entry.object, "object")?, section, "section")? {
                        Disposition::Loaded | Disposition::Debug => {
                            let (output, _) = self.layout.location_of(entry.object, section)?;
                            let start = self.layout.address_of(entry.object, section)?;
                            let offset = self.merged.offset_of((entry.object, section), offset)?;
                            (entry.output, entry.address) = (Some(output as u16), start + offset);
                        }
                        // The section is not in the image as it is. No relocation that is applied refers to it.
                        Disposition::EhFrame
                        | Disposition::Ignored
                        | Disposition::Refused
                        | Disposition::Discarded(_) => {}
                    }
                }
                Definition::Undefined | Definition::Common { .. } => {}
            }
        }
        for (index, output) in self.layout.outputs.iter().enumerate() {
            for chunk in &output.chunks {
                if let Content::Common { entry } = chunk.content {
                    let entry = item_mut(&mut self.symbols.entries, entry, "symbol")?;
                    (entry.output, entry.address) = (Some(index as u16), output.address + chunk.at);
                }
            }
        }
        Ok(())
    }

    pub fn site<'b>(&'b self, object: usize, section: &'b Section<'b>, rela: &'b Rela) -> Result<Site<'b>> {
        Ok(item(&self.inputs, object, "object")?.site(section, rela))
    }

    /// Writes the sections that come from objects, `.eh_frame`, the GOT and the linker's own code.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED for a relocation that is out of range, CORRUPT for one outside its debug section.
    pub fn write_sections(&self, image: &mut [u8]) -> Result<Deferred> {
        let mut writer = ImageWriter { image, deferred: Deferred::default() };
        writer.deferred.dynamic = alloc::with_capacity(self.needs.words as usize, "dynamic relocations")?;
        let nop = self.machine.startup.nop;
        for (index, output) in self.layout.outputs.iter().enumerate().filter(|(_, output)| output.has_bytes()) {
            if output.class == Class::Text && STARTUP.iter().any(|startup| startup.name == output.name) {
                // Execution runs through the padding between the pieces.
                let padding = part(writer.image, output.offset as usize, output.size as usize)?;
                padding.chunks_exact_mut(nop.len()).for_each(|bytes| bytes.copy_from_slice(nop));
            }
            for chunk in &output.chunks {
                let location =
                    OutputLocation { offset: output.offset as usize, address: output.address }.plus(chunk.at);
                let (object, section) = match chunk.content {
                    Content::Section { object, section } => (object, section),
                    Content::Pool(pool) => {
                        for entry in &item(&self.merged.pools, pool, "pool")?.entries {
                            writer.put(location.plus(entry.at).offset, entry.bytes(&self.inputs)?)?;
                        }
                        continue;
                    }
                    // Synthetic sections are written below or by `image`; common symbols are zeros.
                    Content::Synthetic(_) | Content::Common { .. } | Content::Island { .. } => continue,
                };
                let section = item(&item(&self.inputs, object, "object")?.sections, section, "section")?;
                writer.put(location.offset, &section.data)?;
                for rela in section.relocations.iter() {
                    if output.class == Class::Debug {
                        self.apply_debug(&mut writer, location, index, (object, section), rela)?;
                    } else {
                        self.apply(&mut writer, location, 0, (object, section), rela)?;
                    }
                }
            }
        }
        self.write_frames(&mut writer)?;
        self.write_got(&mut writer)?;
        self.write_plt(&mut writer)?;
        self.write_veneers(&mut writer)?;
        for startup in STARTUP.iter().filter(|startup| self.layout.synthetic(startup.start).is_some()) {
            writer.put(self.layout.synthetic_offset(startup.start)?, self.machine.startup.start)?;
            writer.put(self.layout.synthetic_offset(startup.end)?, self.machine.startup.end)?;
        }
        Ok(writer.deferred)
    }

    /// Applies a relocation. `location` is where the section's bytes from offset `start` on are.
    fn apply(
        &self,
        writer: &mut ImageWriter<'_>,
        location: OutputLocation,
        start: u64,
        (object, section): (usize, &Section<'_>),
        rela: &Rela,
    ) -> Result<()> {
        let site = &self.site(object, section, rela)?;
        let howto = (self.machine.howto)(kind(rela))
            .ok_or_else(|| defect("a relocation of unknown type has passed the scan"))?;
        if howto.expr == RelExpr::None {
            return Ok(());
        }
        let index = self.symbols.find(object, rela, site)?;
        let entry = item(&self.symbols.entries, index, "symbol")?;
        let need = self.needs.need(howto, entry.target(), section, rela, site)?;
        let location = location.plus(rela.r_offset.get(ORDER) - start);
        let addend = rela.r_addend.get(ORDER);
        let merged = self.in_pool(entry, addend)?;
        let addend = if merged.is_some() { 0 } else { addend };
        let entry = merged.as_ref().unwrap_or(entry);
        let store = |writer: &mut ImageWriter<'_>, location: OutputLocation, howto: Howto, addend| {
            let mut computed = self.compute(howto.expr, entry, location.address, addend)?;
            if howto.is_far_branch()
                && !howto.field.fits(computed)
                && let Some(veneer) = self.layout.veneers.find(location.address, (index, addend))
            {
                computed = i128::from(veneer) - i128::from(location.address);
            }
            writer.store(location.offset, howto.field, computed, || {
                let sign = if computed < 0 { "-" } else { "" };
                let (size, hint) =
                    (computed.unsigned_abs(), "link fewer objects together, or compile with a larger -mcmodel");
                site.refuse(format_args!(
                    "is out of range: {sign}{size:#x} does not fit into the field, or is not a multiple of its unit; {hint}"
                ))
            })
        };
        match need {
            Need::Computed | Need::Loaded => {
                let from = if need == Need::Loaded { AddressFrom::Got } else { AddressFrom::Distance };
                let new = (self.machine.rewrite)(&section.data, rela.r_offset.get(ORDER) as usize, howto, from);
                let new = new.ok_or_else(|| defect("instructions that the scan rewrote cannot be rewritten"))?;
                let start = location.minus(new.before)?;
                writer.put(start.offset, new.code())?;
                return new.fields().iter().try_for_each(|field| {
                    store(writer, start.plus(field.at as u64), field.howto, addend.saturating_add(field.addend))
                });
            }
            Need::Rebase => {
                let addend = entry.address.cast_signed().wrapping_add(addend);
                let relocation =
                    DynamicReloc { kind: self.machine.relative, address: location.address, entry: None, addend };
                writer.defer(relocation)?;
            }
            Need::Resolve => {
                let (kind, addend) = (self.machine.indirect, entry.address.cast_signed());
                return writer.defer(DynamicReloc { kind, address: location.address, entry: None, addend });
            }
            Need::Import => {
                let (kind, entry) = (self.machine.word, Some(index));
                let relocation = DynamicReloc { kind, address: location.address, entry, addend };
                return writer.defer(relocation);
            }
            Need::Direct | Need::Slot(_) | Need::PltEntry | Need::Got => {}
        }
        store(writer, location, howto, addend)
    }

    /// Returns a symbol for what a relocation means by a merged section's symbol and an addend; `None` for other symbols.
    fn in_pool(&self, entry: &Entry<'a>, addend: i64) -> Result<Option<Entry<'a>>> {
        let Definition::Section { section, offset } = entry.definition else { return Ok(None) };
        let place = (entry.object, section);
        if entry.kind != elf::STT_SECTION || self.merged.pool_of(place).is_none() {
            return Ok(None);
        }
        let (offset, _) = self.merged.target(place, entry.kind, offset, addend)?;
        let address = self.layout.address_of(entry.object, section)? + offset;
        Ok(Some(Entry { address, ..entry.clone() }))
    }

    /// Computes the value of a relocation. All terms are below 2^64 in size, so nothing overflows.
    fn compute(&self, expr: RelExpr, entry: &Entry<'_>, place: u64, addend: i64) -> Result<i128> {
        let (place, addend) = (i128::from(place), i128::from(addend));
        let symbol = || self.symbol(entry).map(i128::from);
        let slot = |slot| self.slot_address(entry, slot).map(i128::from);
        let plt_entry = || self.plt_entry(entry).map(i128::from);
        let got = || self.layout.synthetic_address(Synthetic::Got).map(i128::from);
        Ok(match expr {
            RelExpr::None | RelExpr::TlsStaticOffset => {
                return Err(defect("a relocation that computes nothing is applied"));
            }
            RelExpr::Absolute | RelExpr::PageOffset | RelExpr::TlsOffset => symbol()? + addend,
            // A jump out of the image goes through a PLT entry, and so does what calls an indirect function.
            RelExpr::Pc if [Target::Outside, Target::Indirect].contains(&entry.target()) => {
                plt_entry()? + addend - place
            }
            RelExpr::Pc => symbol()? + addend - place,
            RelExpr::PagePc => page(symbol()? + addend) - page(place),
            RelExpr::PltPc => plt_entry()? + addend - place,
            RelExpr::GotPc(kind) => slot(kind)? + addend - place,
            RelExpr::GotPcRelaxable => slot(Slot::Address)? + addend - place,
            RelExpr::GotPagePc(kind) => page(slot(kind)?) - page(place),
            RelExpr::GotPageOffset(kind) => slot(kind)?,
            RelExpr::GotFromGotPage => slot(Slot::Address)? - page(got()?),
            RelExpr::GotFromGot => slot(Slot::Address)? + addend - got()?,
            RelExpr::GotBasePc => got()? + addend - place,
            RelExpr::GotRel if entry.target() == Target::Indirect => plt_entry()? + addend - got()?,
            RelExpr::GotRel => symbol()? + addend - got()?,
            RelExpr::PltGotRel => plt_entry()? + addend - got()?,
            RelExpr::Size => i128::from(entry.size) + addend,
        })
    }

    /// Returns the address of a symbol that is known before loading.
    fn symbol(&self, entry: &Entry<'_>) -> Result<u64> {
        match (entry.definition, entry.target()) {
            (Definition::Section { .. } | Definition::Common { .. }, _) if entry.output.is_none() => {
                Err(defect("the address of a symbol outside the image is used"))
            }
            (_, Target::Inside | Target::Absolute) => Ok(entry.address),
            (_, Target::Zero) => Ok(0),
            (_, Target::Indirect | Target::Outside | Target::Missing) => {
                Err(defect("the address of a symbol is used that is known only at load time"))
            }
        }
    }

    /// Returns the address of a symbol's PLT entry or, without one, of the symbol.
    fn plt_entry(&self, entry: &Entry<'_>) -> Result<u64> {
        match entry.plt_entry {
            Some(plt_entry) => {
                let size = self.machine.plt_entry.code.len() as u64;
                Ok(self.layout.synthetic_address(Synthetic::Plt)? + u64::from(plt_entry) * size)
            }
            None => self.symbol(entry),
        }
    }

    fn write_frames(&self, writer: &mut ImageWriter<'_>) -> Result<()> {
        if self.frames.size == 0 {
            return Ok(());
        }
        let address = self.layout.synthetic_address(Synthetic::EhFrame)?;
        let whole = OutputLocation { offset: self.layout.synthetic_offset(Synthetic::EhFrame)?, address };
        let mut functions = alloc::with_capacity(self.frames.functions, "unwind tables")?;
        for record in self.frames.kept() {
            let section = item(&item(&self.inputs, record.object, "object")?.sections, record.section, "section")?;
            let bytes = section.data.get(record.start..record.start + record.len);
            let bytes = bytes.ok_or_else(|| defect("a record of .eh_frame lies outside its section"))?;
            let location = whole.plus(record.at);
            writer.put(location.offset, bytes)?;
            if let Some(cie) = self.frames.cie_of(record)? {
                let distance = u32::try_from(record.at + 4 - cie)
                    .map_err(|_| Error::new(Status::Limit, ".eh_frame: expected less than 4 GiB, found more"))?;
                writer.put(location.offset + 4, &distance.to_le_bytes())?;
            }
            for rela in self.frames.relocations_of(record)? {
                self.apply(writer, location, record.start as u64, (record.object, section), rela)?;
            }
            if record.cie.is_some() {
                let rela = self.frames.function(record)?.ok_or_else(|| defect("an FDE has no function"))?;
                let site = self.site(record.object, section, rela)?;
                let entry = item(&self.symbols.entries, self.symbols.find(record.object, rela, &site)?, "symbol")?;
                functions.push((entry.address.wrapping_add_signed(rela.r_addend.get(ORDER)), location.address));
            }
        }
        let header = eh_frame::header(self.layout.synthetic_address(Synthetic::EhFrameHdr)?, address, &mut functions)?;
        if header.len() as u64 != self.frames.header_size() {
            return Err(defect(".eh_frame_hdr differs in size from its layout"));
        }
        writer.put(self.layout.synthetic_offset(Synthetic::EhFrameHdr)?, &header)
    }

    fn write_plt(&self, writer: &mut ImageWriter<'_>) -> Result<()> {
        let template = &self.machine.plt_entry;
        for (index, entry) in self.needs.plt_entries.iter().enumerate() {
            let offset = self.layout.synthetic_offset(Synthetic::Plt)?;
            let plt_entries = OutputLocation { offset, address: self.layout.synthetic_address(Synthetic::Plt)? };
            let entry = item(&self.symbols.entries, *entry, "symbol")?;
            self.write_code(writer, plt_entries.plus((index * template.code.len()) as u64), template, entry)?;
        }
        for (index, (function, called)) in self.symbols.exit_functions.iter().enumerate() {
            let address = self.layout.synthetic_address(Synthetic::ExitFunctions)?;
            let functions = OutputLocation { offset: self.layout.synthetic_offset(Synthetic::ExitFunctions)?, address };
            let template = item(&self.machine.exit_functions, *function, "function")?;
            let called = item(&self.symbols.entries, *called, "symbol")?;
            self.write_code(writer, functions.plus(EXIT_FUNCTION_SIZE * index as u64), template, called)?;
        }
        // Without a reference to __dso_handle, no destructors are registered.
        let Some(finalize) = self.symbols.finalize else { return Ok(()) };
        let finalize = item(&self.symbols.entries, finalize, "symbol")?;
        let address = self.layout.synthetic_address(Synthetic::Finalizer)?;
        let code = OutputLocation { offset: self.layout.synthetic_offset(Synthetic::Finalizer)?, address };
        self.write_code(writer, code, &self.machine.finalizer, finalize)?;
        writer.put(self.layout.synthetic_offset(Synthetic::FinalizerPointer)?, &address.to_le_bytes())?;
        let relocation = DynamicReloc {
            kind: self.machine.relative,
            address: self.layout.synthetic_address(Synthetic::FinalizerPointer)?,
            entry: None,
            addend: address.cast_signed(),
        };
        writer.defer(relocation)
    }

    fn write_veneers(&self, writer: &mut ImageWriter<'_>) -> Result<()> {
        let Some(template) = &self.machine.veneer else { return Ok(()) };
        for island in &self.layout.veneers.islands {
            let island_start = OutputLocation { offset: island.offset as usize, address: island.address };
            for (index, (entry, addend)) in island.destinations.iter().enumerate() {
                let entry = item(&self.symbols.entries, *entry, "symbol")?;
                let location = island_start.plus((index * template.code.len()) as u64);
                let destination = self.plt_entry(entry)?.wrapping_add_signed(*addend);
                self.write_template(writer, location, template, |_| Ok(destination))?;
            }
        }
        Ok(())
    }

    /// Writes code of the linker, for a symbol with a GOT entry.
    fn write_code(
        &self,
        writer: &mut ImageWriter<'_>,
        location: OutputLocation,
        template: &Template,
        entry: &Entry<'_>,
    ) -> Result<()> {
        self.write_template(writer, location, template, |target| match target {
            HoleTarget::GotEntry => self.slot_address(entry, Slot::Address),
            HoleTarget::DsoHandle => self.layout.linker_symbol(LinkerSymbol::DsoHandle),
            HoleTarget::Destination => Err(defect("code other than a veneer has a destination")),
        })
    }

    fn write_template(
        &self,
        writer: &mut ImageWriter<'_>,
        location: OutputLocation,
        template: &Template,
        address_of: impl Fn(HoleTarget) -> Result<u64>,
    ) -> Result<()> {
        writer.put(location.offset, template.code)?;
        for hole in template.holes {
            let location = location.plus(hole.at as u64);
            let (target, at) = (i128::from(address_of(hole.target)?), i128::from(location.address));
            let value = match hole.howto.expr {
                RelExpr::Pc => target + i128::from(hole.addend) - at,
                RelExpr::PagePc => page(target) - page(at),
                RelExpr::PageOffset => target,
                _ => return Err(defect("a code template has a hole of an unknown kind")),
            };
            writer.store(location.offset, hole.howto.field, value, || {
                let message = "linked image: expected code within reach of the GOT, found it further away";
                Error::new(Status::Unsupported, message)
            })?;
        }
        Ok(())
    }
}
