//! Sections' bytes with the values of their relocations, and what is left for the loader.

use super::dynamic::Dynamic;
use super::eh_frame::{self, Frames};
use super::input::{Input, ORDER, Rela, Section, Site, kind};
use super::layout::Layout;
use super::scan::{Need, Needs};
use super::sections::{Class, Content, Made};
use super::select::{Fate, Fates};
use super::symbols::{Definition, Entry, Special, Symbols, Target};
use super::{defect, item, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::native::machine::{Field, Machine, Of, Template, Value};

/// Everything that is known when addresses are.
pub(super) struct Linked<'a> {
    pub inputs: Vec<Input<'a>>,
    pub fates: Fates,
    pub symbols: Symbols<'a>,
    pub frames: Frames<'a>,
    pub needs: Needs,
    pub layout: Layout<'a>,
    pub machine: &'static Machine,
}

/// Where bytes are: in the image's file, and in memory.
#[derive(Clone, Copy)]
struct Place {
    offset: usize,
    address: u64,
}

impl Place {
    fn plus(self, more: u64) -> Place {
        Place { offset: self.offset + more as usize, address: self.address + more }
    }
}

/// What relocations leave to others.
#[derive(Default)]
pub(super) struct Left {
    /// To the loader.
    pub dynamic: Vec<Dynamic>,
    /// To debuggers, of each section for them together.
    pub debug: Vec<DebugAddress>,
}

/// A word of a debug section with an address of the image in it. It is right already in the file; a debugger that is shown the
/// image as it is loaded (`native/load/gdb.rs`) finds by it what to add the image's address to.
pub(super) struct DebugAddress {
    /// The debug section, and the offset in it.
    pub section: usize,
    pub offset: u64,
    /// The section that the address is about, and the address.
    pub target: usize,
    pub address: u64,
}

/// The image, being written, and what is left to others.
struct Writing<'i> {
    image: &'i mut [u8],
    left: Left,
}

impl Writing<'_> {
    fn put(&mut self, offset: usize, bytes: &[u8]) -> Result<()> {
        put(self.image, offset, bytes)
    }

    /// Writes a value into a field; a refusal of the caller's if it doesn't fit.
    fn store(&mut self, offset: usize, field: Field, value: i128, unfit: impl FnOnce() -> Error) -> Result<()> {
        field.store(part(self.image, offset, field.width())?, value).map_err(|_| unfit())
    }

    fn leave(&mut self, relocation: Dynamic) -> Result<()> {
        alloc::push(&mut self.left.dynamic, relocation, "dynamic relocations")
    }
}

/// So many bytes of the image.
fn part(image: &mut [u8], offset: usize, len: usize) -> Result<&mut [u8]> {
    let size = image.len();
    let found = offset.checked_add(len).and_then(|end| image.get_mut(offset..end));
    found.ok_or_else(|| defect(format_args!("{len} bytes at {offset} of an image of {size}")))
}

/// Puts bytes into the image.
pub(super) fn put(image: &mut [u8], offset: usize, bytes: &[u8]) -> Result<()> {
    part(image, offset, bytes.len())?.copy_from_slice(bytes);
    Ok(())
}

/// A multiple of the pages that instructions of aarch64 count in.
fn page(address: i128) -> i128 {
    address & !0xfff
}

impl<'a> Linked<'a> {
    /// Gives every symbol its address.
    pub fn give_addresses(&mut self) -> Result<()> {
        for entry in &mut self.symbols.entries {
            match entry.definition {
                Definition::Absolute(value) => entry.address = value,
                Definition::Linker(special) => entry.address = self.layout.special(special)?,
                Definition::Section { section, offset } => {
                    match item(item(&self.fates, entry.object, "object")?, section, "section")? {
                        Fate::Loaded | Fate::Debug => {
                            let (output, at) = self.layout.place_of(entry.object, section)?;
                            let start = item(&self.layout.outputs, output, "output section")?.address;
                            (entry.output, entry.address) = (Some(output), start + at + offset);
                        }
                        // Not in the image, or not as it is: no relocation that is applied refers to it.
                        Fate::Frames | Fate::Left | Fate::Dropped(_) => {}
                    }
                }
                Definition::Undefined | Definition::Common { .. } => {}
            }
        }
        for (index, output) in self.layout.outputs.iter().enumerate() {
            for piece in &output.pieces {
                if let Content::Common { entry } = piece.content {
                    let entry = item_mut(&mut self.symbols.entries, entry, "symbol")?;
                    (entry.output, entry.address) = (Some(index), output.address + piece.at);
                }
            }
        }
        Ok(())
    }

    fn site<'b>(&'b self, object: usize, section: &'b Section<'b>, rela: &'b Rela) -> Result<Site<'b>> {
        Ok(item(&self.inputs, object, "object")?.site(section, rela))
    }

    /// Writes all sections that come from objects, and what the linker makes for code. What is left.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED for a value that doesn't fit its field, naming the relocation; CORRUPT for one in a debug section.
    pub fn write_sections(&self, image: &mut [u8]) -> Result<Left> {
        let mut writing = Writing { image, left: Left::default() };
        for (index, output) in self.layout.outputs.iter().enumerate().filter(|(_, output)| output.has_bytes()) {
            for piece in &output.pieces {
                // What the linker makes is written below, or by `image`; common symbols are zeros.
                let Content::Section { object, section } = piece.content else { continue };
                let section = item(&item(&self.inputs, object, "object")?.sections, section, "section")?;
                let place = Place { offset: output.offset as usize, address: output.address }.plus(piece.at);
                writing.put(place.offset, section.data)?;
                for rela in section.relocations {
                    if output.class == Class::Debug {
                        self.apply_debug(&mut writing, place, index, (object, section), rela)?;
                    } else {
                        self.apply(&mut writing, place, 0, (object, section), rela)?;
                    }
                }
            }
        }
        self.write_frames(&mut writing)?;
        self.write_got(&mut writing)?;
        self.write_stubs(&mut writing)?;
        Ok(writing.left)
    }

    /// Applies a relocation to bytes of a section from `start` on, which are at `place`.
    fn apply(
        &self,
        writing: &mut Writing<'_>,
        place: Place,
        start: u64,
        (object, section): (usize, &Section<'_>),
        rela: &Rela,
    ) -> Result<()> {
        let site = &self.site(object, section, rela)?;
        let how = (self.machine.how)(kind(rela)).ok_or_else(|| defect("a relocation that no scan has seen"))?;
        if how.value == Value::Nothing {
            return Ok(());
        }
        let index = self.symbols.find(object, rela, site)?;
        let entry = item(&self.symbols.entries, index, "symbol")?;
        let need = self.needs.need(how, entry.target(), section, rela, site)?;
        let mut place = place.plus(rela.r_offset.get(ORDER) - start);
        let mut addend = rela.r_addend.get(ORDER);
        let (mut value, mut field) = (how.value, how.field);
        match need {
            Need::Relaxed => {
                let at = rela.r_offset.get(ORDER) as usize;
                let relaxed = (self.machine.relax)(section.data, at, value);
                let new = relaxed.ok_or_else(|| defect("an instruction that could be changed cannot"))?;
                let code = new.code.get(..new.len).ok_or_else(|| defect("an instruction longer than its bytes"))?;
                let start = place.offset.checked_sub(new.before);
                writing.put(start.ok_or_else(|| defect("an instruction before the image"))?, code)?;
                place = place.plus(new.behind as u64);
                (value, field, addend) = (Value::Relative, new.field, addend.saturating_add(new.addend));
            }
            Need::Rebase => {
                let addend = entry.address.cast_signed().wrapping_add(addend);
                let relocation = Dynamic { kind: self.machine.relative, place: place.address, entry: None, addend };
                writing.leave(relocation)?;
            }
            Need::Import => {
                let (kind, entry) = (self.machine.word, Some(index));
                let relocation = Dynamic { kind, place: place.address, entry, addend };
                return writing.leave(relocation);
            }
            Need::Direct | Need::Slot | Need::Stub | Need::Got => {}
        }
        let computed = self.compute(value, entry, place.address, addend)?;
        writing.store(place.offset, field, computed, || {
            let hint = "link fewer objects together, or compile with a larger -mcmodel";
            site.refuse(format_args!(
                "{computed:#x} is more than the field holds, or not a multiple of its unit; {hint}"
            ))
        })
    }

    /// Applies a relocation of a debug section, the image's with that index: addresses there count from the image's start, and
    /// what isn't in the image is 0.
    fn apply_debug(
        &self,
        writing: &mut Writing<'_>,
        place: Place,
        index: usize,
        (object, section): (usize, &Section<'_>),
        rela: &Rela,
    ) -> Result<()> {
        let site = &self.site(object, section, rela)?;
        let unknown = || site.refuse("expected a relocation that debug sections can have");
        let how = (self.machine.how)(kind(rela)).ok_or_else(unknown)?;
        let entry = item(&self.symbols.entries, self.symbols.find(object, rela, site)?, "symbol")?;
        let (at, addend) = (rela.r_offset.get(ORDER), i128::from(rela.r_addend.get(ORDER)));
        let end = at.checked_add(how.field.width() as u64);
        if end.is_none_or(|end| end > section.data.len() as u64) {
            return Err(
                site.corrupt(format_args!("expected a place within the section's {} bytes", section.data.len()))
            );
        }
        let address = self.debug_address(entry)?;
        let value = match how.value {
            Value::Nothing => return Ok(()),
            Value::Absolute => match address {
                Some(address) => i128::from(address) + addend,
                // In lists of ranges two zeros are the end.
                None => i128::from([&b".debug_ranges"[..], b".debug_loc"].contains(&section.name)),
            },
            Value::Size => i128::from(entry.size) + addend,
            Value::ThreadLocal => addend,
            _ => return Err(unknown()),
        };
        let place = place.plus(at);
        writing
            .store(place.offset, how.field, value, || site.refuse("expected debug information of less than 4 GiB"))?;
        if let Some(target) = entry.output
            && item(&self.layout.outputs, target, "output section")?.class != Class::Debug
            && how.value == Value::Absolute
            && how.field.is_word()
            && address.is_some()
        {
            // A debug section's own address is 0.
            let left = DebugAddress { section: index, offset: place.address, target, address: value as u64 };
            alloc::push(&mut writing.left.debug, left, "relocations of debug sections")?;
        }
        Ok(())
    }

    /// The address of a symbol as debug sections want it: in another one of them the offset in it.
    fn debug_address(&self, entry: &Entry<'_>) -> Result<Option<u64>> {
        let fate = |object, section| item(item(&self.fates, object, "object")?, section, "section");
        Ok(match entry.definition {
            Definition::Section { section, offset } => {
                let (object, section) = match *fate(entry.object, section)? {
                    Fate::Loaded | Fate::Debug => (entry.object, section),
                    // The debug section that is kept says the same. Code may differ, so that its address isn't taken.
                    Fate::Dropped(Some((object, section))) if *fate(object, section)? == Fate::Debug => {
                        (object, section)
                    }
                    Fate::Dropped(_) | Fate::Frames | Fate::Left => return Ok(None),
                };
                Some(self.layout.address_of(object, section)? + offset)
            }
            Definition::Undefined => None,
            _ => Some(entry.address),
        })
    }

    /// What a relocation puts there. All terms are below 2^64, so that nothing overflows.
    fn compute(&self, value: Value, entry: &Entry<'_>, place: u64, addend: i64) -> Result<i128> {
        let (place, addend) = (i128::from(place), i128::from(addend));
        let symbol = || self.symbol(entry).map(i128::from);
        let slot = || self.slot(entry).map(i128::from);
        let stub = || self.stub(entry).map(i128::from);
        let got = || self.layout.made_address(Made::Got).map(i128::from);
        Ok(match value {
            Value::Nothing | Value::ThreadLocal => return Err(defect("a relocation that computes nothing is applied")),
            Value::Absolute | Value::InPage => symbol()? + addend,
            // A jump to what isn't inside goes to its stub.
            Value::Relative if entry.target() == Target::Outside => stub()? + addend - place,
            Value::Relative => symbol()? + addend - place,
            Value::RelativePage => page(symbol()? + addend) - page(place),
            Value::Call => stub()? + addend - place,
            Value::Slot | Value::SlotRelaxable => slot()? + addend - place,
            Value::SlotPage => page(slot()?) - page(place),
            Value::SlotInPage => slot()?,
            Value::SlotFromGotPage => slot()? - page(got()?),
            Value::SlotFromGot => slot()? + addend - got()?,
            Value::Got => got()? + addend - place,
            Value::FromGot => symbol()? + addend - got()?,
            Value::CallFromGot => stub()? + addend - got()?,
            Value::Size => i128::from(entry.size) + addend,
        })
    }

    /// The address of a symbol that the image knows.
    fn symbol(&self, entry: &Entry<'_>) -> Result<u64> {
        match (entry.definition, entry.target()) {
            (Definition::Section { .. } | Definition::Common { .. }, _) if entry.output.is_none() => {
                Err(defect("the address of a symbol that isn't in the image"))
            }
            (_, Target::Inside | Target::Absolute) => Ok(entry.address),
            (_, Target::Zero) => Ok(0),
            (_, Target::Outside | Target::Missing) => Err(defect("the address of a symbol that only the loader finds")),
        }
    }

    /// The address of a symbol's slot in the GOT.
    fn slot(&self, entry: &Entry<'_>) -> Result<u64> {
        let slot = entry.slot.ok_or_else(|| defect("a symbol has no slot in the GOT"))?;
        Ok(self.layout.made_address(Made::Got)? + 8 * slot as u64)
    }

    /// Where a call of a symbol goes: its stub, or the symbol itself where the image knows it.
    fn stub(&self, entry: &Entry<'_>) -> Result<u64> {
        match entry.stub {
            Some(stub) => {
                let size = self.machine.stub.code.len() as u64;
                Ok(self.layout.made_address(Made::Stubs)? + stub as u64 * size)
            }
            None => self.symbol(entry),
        }
    }

    fn write_frames(&self, writing: &mut Writing<'_>) -> Result<()> {
        if self.frames.size == 0 {
            return Ok(());
        }
        let address = self.layout.made_address(Made::Frames)?;
        let whole = Place { offset: self.layout.made_offset(Made::Frames)?, address };
        let mut functions = alloc::with_capacity(self.frames.functions, "unwind tables")?;
        for record in self.frames.kept() {
            let section = item(&item(&self.inputs, record.object, "object")?.sections, record.section, "section")?;
            let bytes = section.data.get(record.start..record.start + record.len);
            let bytes = bytes.ok_or_else(|| defect("a record of .eh_frame outside its section"))?;
            let place = whole.plus(record.at);
            writing.put(place.offset, bytes)?;
            if let Some(cie) = self.frames.cie_of(record)? {
                let distance = u32::try_from(record.at + 4 - cie)
                    .map_err(|_| Error::new(Status::Limit, ".eh_frame: expected less than 4 GiB, found more"))?;
                writing.put(place.offset + 4, &distance.to_le_bytes())?;
            }
            for rela in self.frames.relocations_of(record)? {
                self.apply(writing, place, record.start as u64, (record.object, section), rela)?;
            }
            if record.cie.is_some() {
                let rela = self.frames.function(record)?.ok_or_else(|| defect("an FDE has no function"))?;
                let site = self.site(record.object, section, rela)?;
                let entry = item(&self.symbols.entries, self.symbols.find(record.object, rela, &site)?, "symbol")?;
                functions.push((entry.address.wrapping_add_signed(rela.r_addend.get(ORDER)), place.address));
            }
        }
        let header = eh_frame::header(self.layout.made_address(Made::FrameHeader)?, address, &mut functions)?;
        if header.len() as u64 != self.frames.header_size() {
            return Err(defect(".eh_frame_hdr of another size than the layout has"));
        }
        writing.put(self.layout.made_offset(Made::FrameHeader)?, &header)
    }

    fn write_got(&self, writing: &mut Writing<'_>) -> Result<()> {
        if self.needs.slots.is_empty() {
            return Ok(());
        }
        let got = Place { offset: self.layout.made_offset(Made::Got)?, address: self.layout.made_address(Made::Got)? };
        for (slot, index) in self.needs.slots.iter().enumerate() {
            let entry = item(&self.symbols.entries, *index, "symbol")?;
            let place = got.plus(8 * slot as u64);
            let (kind, symbol) = match entry.target() {
                Target::Inside => (self.machine.relative, None),
                Target::Outside => (self.machine.glob_dat, Some(*index)),
                Target::Absolute | Target::Zero => {
                    writing.put(place.offset, &self.symbol(entry)?.to_le_bytes())?;
                    continue;
                }
                Target::Missing => return Err(defect("an undefined local symbol has a slot in the GOT")),
            };
            let address = if symbol.is_some() { 0 } else { self.symbol(entry)? };
            writing.put(place.offset, &address.to_le_bytes())?;
            let addend = address.cast_signed();
            writing.leave(Dynamic { kind, place: place.address, entry: symbol, addend })?;
        }
        Ok(())
    }

    fn write_stubs(&self, writing: &mut Writing<'_>) -> Result<()> {
        let template = &self.machine.stub;
        for (index, entry) in self.needs.stubs.iter().enumerate() {
            let offset = self.layout.made_offset(Made::Stubs)?;
            let stubs = Place { offset, address: self.layout.made_address(Made::Stubs)? };
            let entry = item(&self.symbols.entries, *entry, "symbol")?;
            self.write_code(writing, stubs.plus((index * template.code.len()) as u64), template, entry)?;
        }
        // Without __dso_handle there are no destructors to run.
        let Some(finalize) = self.symbols.finalize else { return Ok(()) };
        let finalize = item(&self.symbols.entries, finalize, "symbol")?;
        let address = self.layout.made_address(Made::Finalizer)?;
        let code = Place { offset: self.layout.made_offset(Made::Finalizer)?, address };
        self.write_code(writing, code, &self.machine.finalizer, finalize)?;
        writing.put(self.layout.made_offset(Made::FinalizerPointer)?, &address.to_le_bytes())?;
        let place = self.layout.made_address(Made::FinalizerPointer)?;
        let relocation = Dynamic { kind: self.machine.relative, place, entry: None, addend: address.cast_signed() };
        writing.leave(relocation)
    }

    /// Code of ours about an entry with a slot.
    fn write_code(
        &self,
        writing: &mut Writing<'_>,
        place: Place,
        template: &Template,
        entry: &Entry<'_>,
    ) -> Result<()> {
        writing.put(place.offset, template.code)?;
        for hole in template.holes {
            let place = place.plus(hole.at as u64);
            let address = match hole.of {
                Of::Slot => self.slot(entry)?,
                Of::Handle => self.layout.special(Special::Handle)?,
            };
            let (target, at) = (i128::from(address), i128::from(place.address));
            let value = match hole.how.value {
                Value::Relative => target + i128::from(hole.addend) - at,
                Value::RelativePage => page(target) - page(at),
                Value::InPage => target,
                _ => return Err(defect("code of the linker's own with a hole of another kind")),
            };
            writing.store(place.offset, hole.how.field, value, || {
                let message = "linked image: expected code within reach of the GOT, found it further away";
                Error::new(Status::Unsupported, message)
            })?;
        }
        Ok(())
    }
}
