//! Where everything goes: input sections into sections of the image, those into segments.
//!
//! In memory the segments are pages of the machine's largest kind apart; in the file only 4 KiB, or what a section asks for: an
//! image for aarch64, whose kernels may have pages of 64 KiB, isn't mostly padding.

use std::collections::HashMap;

use object::elf::{self, SectionFlags, SectionType};

use super::eh_frame::Frames;
use super::input::{Input, Section, failure};
use super::machine::Machine;
use super::scan::Needs;
use super::select::{Fate, Fates};
use super::symbols::{Definition, Special, Symbols};
use crate::error::{Error, Result, Status, quote};
use crate::format::align_up;
use crate::limits::{MAX_CODE, MAX_PADDING};
use crate::memory;

/// Sections of the image in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Class {
    Note,
    /// What the dynamic linker reads.
    Table,
    ReadOnly,
    Text,
    /// Written by the loader, then read-only.
    Relro,
    Data,
    /// Without bytes in the file; what may be far away last.
    Bss,
    LargeBss,
    Debug,
}

/// A segment, by its index among the PT_LOADs that are there in full images.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Load {
    ReadOnly,
    Text,
    Relro,
    Data,
}

/// What the linker makes itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Made {
    Hash,
    Symbols,
    Strings,
    Relocations,
    FrameHeader,
    Frames,
    Stubs,
    Finalizer,
    FinalizerPointer,
    Dynamic,
    Got,
}

/// Part of a section of the image.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Section { object: usize, section: usize },
    Common { entry: usize },
    Made(Made),
}

pub(super) struct Piece {
    pub content: Content,
    pub size: u64,
    pub align: u64,
    /// Offset within the output section.
    pub at: u64,
    /// Whether it isn't just zeros.
    bits: bool,
    /// Constructors and destructors are sorted by this.
    priority: u32,
}

/// A section of the image.
pub(super) struct Output<'a> {
    pub name: &'a [u8],
    pub class: Class,
    pub kind: SectionType,
    pub flags: u64,
    pub entry: u64,
    pub align: u64,
    pub size: u64,
    pub address: u64,
    pub offset: u64,
    pub pieces: Vec<Piece>,
    /// Not one piece has bytes.
    empty: bool,
}

/// A PT_LOAD.
pub(super) struct Segment {
    pub load: Load,
    pub address: u64,
    pub offset: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
}

pub(super) struct Layout<'a> {
    pub outputs: Vec<Output<'a>>,
    pub segments: Vec<Segment>,
    /// Number of program headers.
    pub headers: usize,
    /// Where the segments end in the file.
    pub file_end: u64,
    /// The section and offset where each input section went.
    placed: Vec<Vec<Option<(usize, u64)>>>,
    made: [Option<(usize, u64)>; 11],
    /// The sections in segments.
    names: HashMap<&'a [u8], usize>,
}

/// How many bytes the linker's own tables take.
pub(super) struct Sizes {
    pub hash: u64,
    pub symbols: u64,
    pub strings: u64,
    pub relocations: u64,
    /// Entries in `.dynamic`, but for those about constructors and destructors.
    pub dynamic: u64,
}

const EHDR: u64 = 64;
const PHDR: u64 = 56;
/// What sections of different segments are apart in the file: the smallest page size.
const FILE_PAGE: u64 = 4 << 10;

impl Class {
    pub fn load(self) -> Option<Load> {
        match self {
            Class::Note | Class::Table | Class::ReadOnly => Some(Load::ReadOnly),
            Class::Text => Some(Load::Text),
            Class::Relro => Some(Load::Relro),
            Class::Data | Class::Bss | Class::LargeBss => Some(Load::Data),
            Class::Debug => None,
        }
    }
}

impl Output<'_> {
    pub fn is(&self, flag: SectionFlags) -> bool {
        self.flags & flag.0 != 0
    }

    pub fn has_bytes(&self) -> bool {
        self.kind != elf::SHT_NOBITS
    }

    pub fn end(&self) -> u64 {
        self.address + self.size
    }
}

fn too_large() -> Error {
    Error::new(Status::Limit, format!("linked image: expected at most {MAX_CODE} bytes of memory, found more"))
}

/// The section that an input section goes into.
fn output_name<'a>(section: &Section<'a>, relocated: bool) -> &'a [u8] {
    const POOLS: [&[u8]; 11] = [
        b".text",
        b".rodata",
        b".data.rel.ro",
        b".data",
        b".bss",
        b".init_array",
        b".fini_array",
        b".gcc_except_table",
        b".lrodata",
        b".ldata",
        b".lbss",
    ];
    let is =
        |pool: &&&[u8]| section.name.strip_prefix(**pool).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."));
    match POOLS.iter().find(is) {
        Some(&b".rodata" | &b".lrodata") if relocated && !section.is(elf::SHF_WRITE) => b".data.rel.ro",
        Some(pool) => pool,
        None if section.name == b".rodata1" => b".rodata",
        None if section.name == b".data1" => b".data",
        None => section.name,
    }
}

/// `.init_array.00100` comes before `.init_array`.
fn priority(name: &[u8]) -> u32 {
    let number = name.rsplit(|byte| *byte == b'.').next().and_then(|number| std::str::from_utf8(number).ok());
    number.and_then(|number| number.parse::<u32>().ok()).unwrap_or(u32::MAX)
}

/// The sections of the image by their names.
struct Gathering<'a> {
    outputs: Vec<Output<'a>>,
    /// By name, and whether it is for debuggers.
    names: HashMap<(&'a [u8], bool), usize>,
}

impl<'a> Gathering<'a> {
    fn output(&mut self, name: &'a [u8], debug: bool) -> Result<&mut Output<'a>> {
        let next = self.outputs.len();
        let index = *self.names.entry((name, debug)).or_insert(next);
        if index == next {
            // Section indexes that symbols can have.
            if next >= usize::from(elf::SHN_LORESERVE) - 32 {
                return Err(Error::new(Status::Limit, "linked image: expected fewer than 65248 sections, found more"));
            }
            let output = Output {
                name,
                class: Class::Debug,
                kind: elf::SHT_NULL,
                flags: 0,
                entry: 0,
                align: 1,
                size: 0,
                address: 0,
                offset: 0,
                pieces: Vec::new(),
                empty: true,
            };
            memory::push(&mut self.outputs, output, "sections")?;
        }
        self.outputs.get_mut(index).ok_or_else(too_large)
    }

    fn add_section(
        &mut self,
        input: &Input<'a>,
        (object, index): (usize, usize),
        fate: Fate,
        relocated: bool,
    ) -> Result<()> {
        const ACCESS: u64 = elf::SHF_WRITE.0 | elf::SHF_ALLOC.0 | elf::SHF_EXECINSTR.0;
        const STRINGS: u64 = elf::SHF_MERGE.0 | elf::SHF_STRINGS.0;
        let Some(section) = input.sections.get(index) else { return Ok(()) };
        let debug = fate == Fate::Debug;
        let name = output_name(section, relocated && !debug);
        let output = self.output(name, debug)?;
        let moved = name == b".data.rel.ro";
        let access = section.flags & ACCESS | if moved { elf::SHF_WRITE.0 } else { 0 };
        // What all parts are, the whole is.
        let strings = section.flags & STRINGS;
        if output.pieces.is_empty() {
            (output.flags, output.entry, output.kind) = (access | strings, section.entry, section.kind);
        } else {
            let same = output.entry == section.entry;
            output.flags = (output.flags | access) & (!STRINGS | if same { strings } else { 0 });
            output.entry = if same { output.entry } else { 0 };
            if output.kind != section.kind {
                output.kind = elf::SHT_PROGBITS;
            }
        }
        let large = name.starts_with(b".l");
        let bits = section.kind != elf::SHT_NOBITS;
        output.empty &= !bits;
        let class = match name {
            _ if debug => Class::Debug,
            _ if output.is(elf::SHF_EXECINSTR) && output.is(elf::SHF_WRITE) => {
                let what =
                    format!("section '{}': some are writable, some executable; code is never written", quote(name));
                return Err(failure(Status::Unsupported, input.name, what));
            }
            _ if output.is(elf::SHF_EXECINSTR) => Class::Text,
            _ if output.empty && large => Class::LargeBss,
            _ if output.empty => Class::Bss,
            b".init_array" | b".fini_array" | b".data.rel.ro" => Class::Relro,
            _ if output.is(elf::SHF_WRITE) => Class::Data,
            _ if relocated || output.class == Class::Relro => Class::Relro,
            _ if output.kind == elf::SHT_NOTE => Class::Note,
            _ => Class::ReadOnly,
        };
        match name {
            b".init_array" => (output.kind, output.entry) = (elf::SHT_INIT_ARRAY, 8),
            b".fini_array" => (output.kind, output.entry) = (elf::SHT_FINI_ARRAY, 8),
            _ => {}
        }
        output.class = class;
        let content = Content::Section { object, section: index };
        output.push(content, section.size, section.align, bits, priority(section.name))
    }

    fn add_made(&mut self, made: Made, size: u64, align: u64) -> Result<()> {
        const A: u64 = elf::SHF_ALLOC.0;
        const AX: u64 = A | elf::SHF_EXECINSTR.0;
        const WA: u64 = A | elf::SHF_WRITE.0;
        let (name, class, kind, flags, entry): (&[u8], _, _, _, _) = match made {
            Made::Hash => (b".gnu.hash", Class::Table, elf::SHT_GNU_HASH, A, 0),
            Made::Symbols => (b".dynsym", Class::Table, elf::SHT_DYNSYM, A, 24),
            Made::Strings => (b".dynstr", Class::Table, elf::SHT_STRTAB, A, 0),
            Made::Relocations => (b".rela.dyn", Class::Table, elf::SHT_RELA, A, 24),
            Made::FrameHeader => (b".eh_frame_hdr", Class::ReadOnly, elf::SHT_PROGBITS, A, 0),
            Made::Frames => (b".eh_frame", Class::ReadOnly, elf::SHT_PROGBITS, A, 0),
            Made::Stubs => (b".plt.got", Class::Text, elf::SHT_PROGBITS, AX, align),
            Made::Finalizer => (b".text", Class::Text, elf::SHT_PROGBITS, AX, 0),
            Made::FinalizerPointer => (b".fini_array", Class::Relro, elf::SHT_FINI_ARRAY, WA, 8),
            Made::Dynamic => (b".dynamic", Class::Relro, elf::SHT_DYNAMIC, WA, 16),
            Made::Got => (b".got", Class::Relro, elf::SHT_PROGBITS, WA, 8),
        };
        let output = self.output(name, false)?;
        (output.class, output.kind, output.entry, output.empty) = (class, kind, entry, false);
        output.flags |= flags;
        if output.is(elf::SHF_EXECINSTR) && output.is(elf::SHF_WRITE) {
            let message = format!("section '{}': expected code, found a writable section of that name", quote(name));
            return Err(Error::new(Status::Unsupported, message));
        }
        // The image's own destructor comes first, which is to say that it runs last.
        output.push(Content::Made(made), size, align, true, 0)
    }
}

impl Output<'_> {
    fn push(&mut self, content: Content, size: u64, align: u64, bits: bool, priority: u32) -> Result<()> {
        self.align = self.align.max(align);
        memory::push(&mut self.pieces, Piece { content, size, align, at: 0, bits, priority }, "pieces of sections")
    }

    /// Puts the pieces one behind the other; the bytes between them.
    fn arrange(&mut self) -> Result<u64> {
        if [elf::SHT_INIT_ARRAY, elf::SHT_FINI_ARRAY].contains(&self.kind) {
            memory::sort(&mut self.pieces, "pieces of sections", |piece| piece.priority)?;
        }
        let (mut end, mut padding) = (0u64, 0u64);
        for piece in &mut self.pieces {
            piece.at = align_up(end, piece.align).ok_or_else(too_large)?;
            padding = padding.saturating_add(piece.at - end).saturating_add(if piece.bits { 0 } else { piece.size });
            end = piece.at.checked_add(piece.size).filter(|end| *end <= MAX_CODE).ok_or_else(too_large)?;
        }
        self.size = end;
        Ok(if self.has_bytes() { padding } else { 0 })
    }
}

impl<'a> Layout<'a> {
    /// # Errors
    ///
    /// LIMIT for an image that is too large or mostly padding, UNSUPPORTED for sections that don't go together.
    pub fn new(
        inputs: &[Input<'a>],
        fates: &Fates,
        symbols: &Symbols<'a>,
        frames: &Frames<'a>,
        needs: &Needs,
        sizes: &Sizes,
        machine: &Machine,
    ) -> Result<Layout<'a>> {
        let mut all = Gathering { outputs: Vec::new(), names: HashMap::new() };
        all.add_made(Made::Hash, sizes.hash, 8)?;
        all.add_made(Made::Symbols, sizes.symbols, 8)?;
        all.add_made(Made::Strings, sizes.strings, 1)?;
        if sizes.relocations > 0 {
            all.add_made(Made::Relocations, sizes.relocations, 8)?;
        }
        for (object, (input, fates)) in inputs.iter().zip(fates).enumerate() {
            for (index, fate) in fates.iter().enumerate() {
                if matches!(fate, Fate::Loaded | Fate::Debug) {
                    let relocated = needs.is_relocated(object, index);
                    all.add_section(input, (object, index), *fate, relocated)?;
                }
            }
        }
        for (index, entry) in symbols.entries.iter().enumerate() {
            if let Definition::Common { align, large } = entry.definition {
                let (name, class): (&[u8], _) = if large { (b".lbss", Class::LargeBss) } else { (b".bss", Class::Bss) };
                let output = all.output(name, false)?;
                if output.pieces.is_empty() {
                    (output.class, output.kind) = (class, elf::SHT_NOBITS);
                }
                output.flags |= elf::SHF_ALLOC.0;
                output.push(Content::Common { entry: index }, entry.size, align, false, 0)?;
            }
        }
        if frames.size > 0 {
            all.add_made(Made::FrameHeader, frames.header_size(), 4)?;
            all.add_made(Made::Frames, frames.size, 8)?;
        }
        if !needs.stubs.is_empty() {
            let size = machine.stub.code.len() as u64;
            all.add_made(Made::Stubs, size * needs.stubs.len() as u64, size)?;
        }
        if symbols.finalize.is_some() {
            all.add_made(Made::Finalizer, machine.finalizer.code.len() as u64, 16)?;
            all.add_made(Made::FinalizerPointer, 8, 8)?;
        }
        let arrays = [&b".init_array"[..], b".fini_array"].into_iter();
        let arrays = arrays.filter(|name| all.names.contains_key(&(*name, false)));
        let dynamic = sizes.dynamic + 2 * arrays.count() as u64;
        all.add_made(Made::Dynamic, dynamic * 16, 8)?;
        if needs.got {
            // One word at least: its address may be all that is needed.
            all.add_made(Made::Got, 8 * needs.slots.len().max(1) as u64, 8)?;
        }
        let mut outputs = all.outputs;
        for output in &mut outputs {
            if matches!(output.class, Class::Relro | Class::Bss | Class::LargeBss) {
                output.flags |= elf::SHF_WRITE.0;
            }
        }
        memory::sort(&mut outputs, "sections", |output| output.class)?;
        let mut layout = Layout {
            outputs,
            segments: Vec::new(),
            headers: 0,
            file_end: 0,
            placed: Vec::new(),
            made: [None; 11],
            names: HashMap::new(),
        };
        layout.place(machine)?;
        layout.remember(inputs)?;
        Ok(layout)
    }

    /// Gives every section its address and its offset.
    fn place(&mut self, machine: &Machine) -> Result<()> {
        let (mut address, mut offset, mut padding) = (0u64, 0u64, 0u64);
        for output in &mut self.outputs {
            padding = padding.saturating_add(output.arrange()?);
        }
        let has = |load| self.outputs.iter().any(|output| output.class.load() == Some(load) && output.size > 0);
        let loads = [Load::ReadOnly, Load::Text, Load::Relro, Load::Data].map(|load| (load, has(load)));
        let frames = usize::from(self.outputs.iter().any(|output| output.name == b".eh_frame_hdr"));
        let notes = self.outputs.iter().filter(|output| output.class == Class::Note).count();
        // Beside them: PT_DYNAMIC, PT_GNU_RELRO, PT_GNU_STACK.
        self.headers = loads.iter().filter(|(_, filled)| *filled).count() + 3 + notes + frames;
        for (load, filled) in loads {
            let of_load = self.outputs.iter_mut().filter(|output| output.class.load() == Some(load));
            let mut sections: Vec<&mut Output<'_>> = of_load.collect();
            if !filled {
                // Sections without a byte have addresses, but need no segment.
                sections.iter_mut().for_each(|output| (output.address, output.offset) = (address, offset));
                continue;
            }
            let largest = sections.iter().map(|output| output.align).max().unwrap_or(1);
            let align = machine.page.max(largest);
            if load != Load::ReadOnly {
                let next = align_up(offset, FILE_PAGE.max(largest)).ok_or_else(too_large)?;
                padding += next - offset;
                offset = next;
                address = align_up(address, align).ok_or_else(too_large)? + offset % align;
            }
            let mut segment = Segment { load, address, offset, file_size: 0, memory_size: 0, align };
            if load == Load::ReadOnly {
                address = EHDR + PHDR * self.headers as u64;
                segment.file_size = address;
            }
            for output in &mut sections {
                let next = align_up(address, output.align).ok_or_else(too_large)?;
                output.address = next;
                output.offset = segment.offset + (next - segment.address);
                address = next.checked_add(output.size).filter(|end| *end <= MAX_CODE).ok_or_else(too_large)?;
                if output.has_bytes() {
                    padding = padding.saturating_add(next - (segment.address + segment.file_size));
                    segment.file_size = address - segment.address;
                } else {
                    output.offset = segment.offset + segment.file_size;
                }
            }
            segment.memory_size = address - segment.address;
            if load == Load::Relro {
                // Whole pages can be made read-only: of the file for kernels with small pages, of memory for all.
                let end = segment.offset + segment.file_size;
                segment.file_size += align_up(end, FILE_PAGE).ok_or_else(too_large)? - end;
                address = align_up(address, machine.page).ok_or_else(too_large)?;
                segment.memory_size = address - segment.address;
            }
            offset = segment.offset + segment.file_size;
            self.segments.push(segment);
        }
        if address > MAX_CODE {
            return Err(too_large());
        }
        for output in self.outputs.iter_mut().filter(|output| output.class == Class::Debug) {
            let next = align_up(offset, output.align).ok_or_else(too_large)?;
            padding += next - offset;
            output.offset = next;
            offset = next.checked_add(output.size).ok_or_else(too_large)?;
        }
        self.file_end = offset;
        if padding > MAX_PADDING {
            let message = format!("linked image: expected at most {MAX_PADDING} bytes of padding, found {padding}");
            return Err(Error::new(Status::Limit, message));
        }
        Ok(())
    }

    fn remember(&mut self, inputs: &[Input<'_>]) -> Result<()> {
        self.placed = memory::with_room(inputs.len(), "sections")?;
        for input in inputs {
            self.placed.push(memory::collect(input.sections.iter().map(|_| None), "sections")?);
        }
        for (index, output) in self.outputs.iter().enumerate() {
            if output.class != Class::Debug {
                self.names.insert(output.name, index);
            }
            for piece in &output.pieces {
                match piece.content {
                    Content::Section { object, section } => {
                        if let Some(place) = self.placed.get_mut(object).and_then(|of| of.get_mut(section)) {
                            *place = Some((index, piece.at));
                        }
                    }
                    Content::Made(made) => {
                        if let Some(place) = self.made.get_mut(made as usize) {
                            *place = Some((index, piece.at));
                        }
                    }
                    Content::Common { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// The output section that an input section went into, and where in it.
    pub fn place_of(&self, object: usize, section: usize) -> Option<(usize, u64)> {
        self.placed.get(object)?.get(section).copied()?
    }

    /// The address of an input section in the image; of one for debuggers its offset in its output section.
    pub fn address_of(&self, object: usize, section: usize) -> Option<u64> {
        let (output, at) = self.place_of(object, section)?;
        Some(self.outputs.get(output)?.address + at)
    }

    /// The index of the section with something that the linker made, and where in it that is.
    pub fn made(&self, made: Made) -> Option<(usize, u64)> {
        self.made.get(made as usize).copied().flatten()
    }

    /// The address of something that the linker made; 0 if there is no such thing.
    pub fn made_address(&self, made: Made) -> u64 {
        let found = self.made(made).and_then(|(output, at)| Some(self.outputs.get(output)?.address + at));
        found.unwrap_or(0)
    }

    /// Offset in the file of the same.
    pub fn made_offset(&self, made: Made) -> usize {
        let found = self.made(made).and_then(|(output, at)| Some(self.outputs.get(output)?.offset + at));
        found.unwrap_or(0) as usize
    }

    /// The section of that name in a segment.
    pub fn named(&self, name: &[u8]) -> Option<&Output<'a>> {
        self.names.get(name).and_then(|index| self.outputs.get(*index))
    }

    fn segment(&self, load: Load) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.load == load)
    }

    /// The address of what the linker defines.
    pub fn special(&self, special: Special<'_>) -> u64 {
        let bss = |output: &&Output<'_>| matches!(output.class, Class::Bss | Class::LargeBss);
        // What comes before the data may be all there is.
        let last = self.segments.last();
        let file_end = last.map_or(0, |segment| segment.address + segment.file_size);
        let memory_end = last.map_or(0, |segment| segment.address + segment.memory_size);
        match special {
            Special::ImageStart => 0,
            Special::TextEnd => self.segment(Load::Text).map_or(0, |segment| segment.address + segment.memory_size),
            Special::DataEnd => file_end.min(memory_end),
            Special::BssStart => self.outputs.iter().find(bss).map_or(memory_end, |output| output.address),
            Special::End => memory_end,
            Special::Got => self.made_address(Made::Got),
            Special::Dynamic | Special::Handle => self.made_address(Made::Dynamic),
            Special::SectionStart(name) => self.named(name).map_or(0, |output| output.address),
            Special::SectionEnd(name) => self.named(name).map_or(0, Output::end),
        }
    }
}
