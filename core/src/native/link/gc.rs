//! Drops the sections that nothing needs. Needed are the sections of exported symbols, what runs when the image is loaded or unloaded,
//! what its compiler asks to keep, and whatever needed sections refer to.

use std::collections::HashMap;

use object::elf;

use super::eh_frame::{Frames, Record};
use super::input::{Input, Rela, Section};
use super::select::{Disposition, Dispositions};
use super::symbols::{Definition, LinkerSymbol, Symbols, is_identifier};
use super::{item, item_mut};
use crate::alloc;
use crate::error::{Error, Result};

/// A section: the indexes of its object and of itself.
type Place = (usize, usize);

/// What is needed if a section is, without a relocation that says so.
#[derive(Clone, Copy)]
enum Follower {
    /// A section of the same object, by its index.
    Section(usize),
    /// What the FDE of one of its functions refers to, by the FDE's index.
    Frame(usize),
}

struct Marker<'l, 'a> {
    inputs: &'l [Input<'a>],
    dispositions: &'l Dispositions,
    symbols: &'l Symbols<'a>,
    frames: &'l Frames,
    /// Sorted by section.
    followers: Vec<(Place, Follower)>,
    /// The sections for which `__start_` and `__stop_` symbols exist.
    named: HashMap<&'a [u8], Vec<Place>>,
    /// By object and section index, by symbol, by record of .eh_frame: whether it is needed.
    sections: Vec<Vec<bool>>,
    entries: Vec<bool>,
    records: Vec<bool>,
    /// The needed sections whose relocations have not been followed.
    queue: Vec<Place>,
}

/// Discards the sections that nothing needs, and the symbols in them.
///
/// # Errors
///
/// CORRUPT for a relocation that refers to no symbol.
pub(super) fn drop_unused<'a>(
    inputs: &[Input<'a>],
    dispositions: &mut Dispositions,
    symbols: &mut Symbols<'a>,
    frames: &Frames,
) -> Result<()> {
    let mut marker = Marker::new(inputs, dispositions, symbols, frames)?;
    marker.mark_roots()?;
    marker.follow()?;
    let Marker { sections, entries, .. } = marker;
    let mut of_inputs = inputs.iter().zip(&sections).flat_map(|(input, kept)| input.sections.iter().zip(kept));
    let has_tls = of_inputs.any(|(section, kept)| *kept && section.is(elf::SHF_TLS));
    let (mut handle, mut exit_functions) = (false, Vec::new());
    for (entry, needed) in symbols.entries.iter_mut().zip(&entries) {
        let gone = match entry.definition {
            Definition::Section { section, .. } => {
                let disposition = *item(item(dispositions, entry.object, "object")?, section, "section")?;
                let kept = *item(item(&sections, entry.object, "object")?, section, "section")?;
                let section = item(&item(inputs, entry.object, "object")?.sections, section, "section")?;
                can_go(section, disposition) && !kept && entry.binding != elf::STB_LOCAL
            }
            Definition::Common { .. } => !needed,
            // The image may have no such section.
            Definition::Linker(LinkerSymbol::SectionStart(_) | LinkerSymbol::SectionEnd(_)) => !needed,
            Definition::Linker(LinkerSymbol::ExitFunction(function)) if *needed => {
                let kept = LinkerSymbol::ExitFunction(exit_functions.len());
                let function = *item(&symbols.exit_functions, function, "function")?;
                alloc::push(&mut exit_functions, function, "symbols")?;
                (entry.definition, handle) = (Definition::Linker(kept), true);
                false
            }
            Definition::Linker(LinkerSymbol::ExitFunction(_)) => true,
            Definition::Linker(LinkerSymbol::TlsStart) => !has_tls,
            Definition::Linker(symbol) => {
                handle |= *needed && symbol == LinkerSymbol::DsoHandle;
                false
            }
            Definition::Undefined | Definition::Absolute(_) => false,
        };
        if gone {
            entry.definition = Definition::Undefined;
        }
    }
    symbols.exit_functions = exit_functions;
    if !handle {
        symbols.finalize = None;
    }
    for ((input, dispositions), kept) in inputs.iter().zip(dispositions).zip(&sections) {
        for ((section, disposition), kept) in input.sections.iter().zip(dispositions).zip(kept) {
            if can_go(section, *disposition) && !kept {
                *disposition = Disposition::Discarded(None);
            }
        }
    }
    Ok(())
}

/// Sections that run when the image is loaded or unloaded.
const RUN: [&[u8]; 6] = [b".init", b".fini", b".init_array", b".fini_array", b".ctors", b".dtors"];

/// Returns whether a section is needed although nothing refers to it.
fn is_root(section: &Section<'_>) -> bool {
    let is =
        |name: &&[u8]| section.name.strip_prefix(*name).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."));
    let runs = [elf::SHT_INIT_ARRAY, elf::SHT_FINI_ARRAY].contains(&section.kind) || RUN.iter().any(is);
    // A note in a group belongs to the group.
    let note = section.kind == elf::SHT_NOTE && !section.is(elf::SHF_GROUP);
    // What describes another section is needed with that one.
    let follows = section.is(elf::SHF_LINK_ORDER) && section.link != 0;
    (runs || note) && !follows || section.is(elf::SHF_GNU_RETAIN)
}

/// Returns whether a section is left out if nothing needs it. Debug sections stay, whatever they refer to.
fn can_go(section: &Section<'_>, disposition: Disposition) -> bool {
    section.is(elf::SHF_ALLOC) && matches!(disposition, Disposition::Loaded | Disposition::Refused)
}

impl<'l, 'a> Marker<'l, 'a> {
    fn new(
        inputs: &'l [Input<'a>],
        dispositions: &'l Dispositions,
        symbols: &'l Symbols<'a>,
        frames: &'l Frames,
    ) -> Result<Marker<'l, 'a>> {
        let mut marker = Marker {
            inputs,
            dispositions,
            symbols,
            frames,
            followers: Vec::new(),
            named: HashMap::new(),
            sections: alloc::with_capacity(inputs.len(), "sections")?,
            entries: alloc::zeroed(symbols.entries.len(), "symbols")?,
            records: alloc::zeroed(frames.records.len(), "records")?,
            queue: Vec::new(),
        };
        for (object, input) in inputs.iter().enumerate() {
            marker.sections.push(alloc::zeroed(input.sections.len(), "sections")?);
            for (index, section) in input.sections.iter().enumerate() {
                if section.is(elf::SHF_LINK_ORDER) && section.link != 0 {
                    // It is needed with the section that it describes.
                    let about = (object, section.link as usize);
                    alloc::push(&mut marker.followers, (about, Follower::Section(index)), "sections")?;
                } else if is_identifier(section.name) {
                    marker.named.try_reserve(1).map_err(|_| Error::no_memory("sections"))?;
                    alloc::push(marker.named.entry(section.name).or_default(), (object, index), "sections")?;
                }
            }
            // The members of a group are needed together: each is followed by the next one, and the last by the first.
            let of_object = item(dispositions, object, "object")?;
            let can_go = |member: &&usize| {
                let found = input.sections.get(**member).zip(of_object.get(**member));
                found.is_some_and(|(section, disposition)| can_go(section, *disposition))
            };
            for group in &input.groups {
                let members = || group.members.iter().filter(can_go);
                for (member, next) in members().zip(members().cycle().skip(1)) {
                    alloc::push(&mut marker.followers, ((object, *member), Follower::Section(*next)), "sections")?;
                }
            }
        }
        for (index, record) in frames.records.iter().enumerate() {
            if let Some(code) = record.code {
                alloc::push(&mut marker.followers, ((record.object, code), Follower::Frame(index)), "records")?;
            }
        }
        alloc::sort(&mut marker.followers, "sections", |(section, _)| *section)?;
        Ok(marker)
    }

    fn mark_roots(&mut self) -> Result<()> {
        for (object, input) in self.inputs.iter().enumerate() {
            for index in (0..input.sections.len()).filter(|index| input.sections.get(*index).is_some_and(is_root)) {
                self.mark_section((object, index))?;
            }
        }
        for (index, entry) in self.symbols.entries.iter().enumerate() {
            if entry.is_exported() {
                self.mark_symbol(index)?;
            }
        }
        for (index, record) in self.frames.records.iter().enumerate() {
            if record.cie.is_some() && record.code.is_none() {
                self.mark_frame(index)?;
            }
        }
        Ok(())
    }

    fn follow(&mut self) -> Result<()> {
        while let Some(place) = self.queue.pop() {
            let section = item(&item(self.inputs, place.0, "object")?.sections, place.1, "section")?;
            for rela in section.relocations.iter() {
                self.mark_target(place.0, section, rela)?;
            }
            let first = self.followers.partition_point(|(other, _)| *other < place);
            for index in first..self.followers.len() {
                match *item(&self.followers, index, "follower of a section")? {
                    (of, _) if of != place => break,
                    (_, Follower::Section(other)) => self.mark_section((place.0, other))?,
                    (_, Follower::Frame(record)) => self.mark_frame(record)?,
                }
            }
        }
        Ok(())
    }

    fn mark_section(&mut self, place: Place) -> Result<()> {
        let section = item(&item(self.inputs, place.0, "object")?.sections, place.1, "section")?;
        let disposition = *item(item(self.dispositions, place.0, "object")?, place.1, "section")?;
        let needed = item_mut(item_mut(&mut self.sections, place.0, "object")?, place.1, "section")?;
        if can_go(section, disposition) && !*needed {
            *needed = true;
            alloc::push(&mut self.queue, place, "sections")?;
        }
        Ok(())
    }

    fn mark_target(&mut self, object: usize, section: &Section<'_>, rela: &Rela) -> Result<()> {
        let site = item(self.inputs, object, "object")?.site(section, rela);
        self.mark_symbol(self.symbols.find(object, rela, &site)?)
    }

    fn mark_symbol(&mut self, index: usize) -> Result<()> {
        let needed = item_mut(&mut self.entries, index, "symbol")?;
        if *needed {
            return Ok(());
        }
        *needed = true;
        let entry = item(&self.symbols.entries, index, "symbol")?;
        match entry.definition {
            Definition::Section { section, .. } => self.mark_section((entry.object, section)),
            Definition::Linker(LinkerSymbol::SectionStart(name) | LinkerSymbol::SectionEnd(name)) => {
                // Taken out: the sections are needed from now on.
                let places = self.named.remove(name).unwrap_or_default();
                places.into_iter().try_for_each(|place| self.mark_section(place))
            }
            // The linker's own functions call other ones.
            Definition::Linker(LinkerSymbol::DsoHandle) => self.mark_finalize(),
            Definition::Linker(LinkerSymbol::ExitFunction(function)) => {
                self.mark_finalize()?;
                self.mark_symbol(item(&self.symbols.exit_functions, function, "function")?.1)
            }
            _ => Ok(()),
        }
    }

    fn mark_finalize(&mut self) -> Result<()> {
        self.symbols.finalize.map_or(Ok(()), |finalize| self.mark_symbol(finalize))
    }

    /// Marks what an FDE and its CIE refer to: personality routine and language-specific data.
    fn mark_frame(&mut self, index: usize) -> Result<()> {
        let fde = item(&self.frames.records, index, "record of .eh_frame")?;
        self.mark_record(fde)?;
        if let Some(cie) = fde.cie
            && !std::mem::replace(item_mut(&mut self.records, cie, "record of .eh_frame")?, true)
        {
            self.mark_record(item(&self.frames.records, cie, "record of .eh_frame")?)?;
        }
        Ok(())
    }

    fn mark_record(&mut self, record: &Record) -> Result<()> {
        let section = item(&item(self.inputs, record.object, "object")?.sections, record.section, "section")?;
        self.frames.relocations_of(record)?.iter().try_for_each(|rela| self.mark_target(record.object, section, rela))
    }
}
