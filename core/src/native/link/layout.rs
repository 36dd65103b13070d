//! Layout: collects input sections into output sections and these into segments, and assigns addresses and file offsets.
//!
//! In memory segments are on pages of their own, of the machine's largest size. In the file they begin at a multiple of 4 KiB; those of
//! a small image follow one another, and share pages. Otherwise small images, and all images for aarch64, whose kernels may have
//! pages of 64 KiB, would be mostly padding.

use std::collections::HashMap;

use object::elf;

use super::eh_frame::Frames;
use super::input::Input;
use super::merge::Merged;
use super::scan::Needs;
use super::sections::{Chunk, Class, Content, Load, OutputSection, OutputSections, Place, Synthetic, too_large};
use super::select::{Disposition, Dispositions};
use super::startup::{self, STARTUP};
use super::symbols::{Definition, LinkerSymbol, Symbols};
use super::veneers::Veneers;
use super::{defect, item, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::format::align_up;
use crate::limits::MAX_PADDING;
use crate::native::machine::{EXIT_FUNCTION_SIZE, Machine};

/// A PT_LOAD segment.
pub(super) struct Segment {
    pub load: Load,
    pub address: u64,
    pub offset: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
}

/// The PT_TLS segment.
#[derive(Clone, Copy)]
pub(super) struct TlsSegment {
    pub address: u64,
    pub offset: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
}

pub(super) struct Layout<'a> {
    pub outputs: Vec<OutputSection<'a>>,
    pub segments: Vec<Segment>,
    /// PT_TLS: what each thread has its own copy of. It lies in the RELRO segment, except for its zeros.
    pub tls: Option<TlsSegment>,
    /// Number of program headers.
    pub headers: usize,
    pub veneers: Veneers,
    /// File offset of the end of all sections.
    pub file_end: u64,
    /// The output section of each input section, and the offset in it; by object and section index.
    locations: Vec<Vec<Option<(usize, u64)>>>,
    synthetic: [Option<(usize, u64)>; Synthetic::COUNT],
    /// The indexes of the sections in PT_LOAD segments that are not thread-local, by name.
    names: HashMap<&'a [u8], usize>,
}

/// What an image is made of.
pub(super) struct Parts<'l, 'a> {
    pub inputs: &'l [Input<'a>],
    pub dispositions: &'l Dispositions,
    pub symbols: &'l Symbols<'a>,
    pub frames: &'l Frames,
    pub needs: &'l Needs,
    pub merged: &'l Merged,
}

/// The sizes of the dynamic tables, in bytes.
pub(super) struct Sizes {
    pub hash: u64,
    pub symbols: u64,
    pub strings: u64,
    pub versions: u64,
    pub needed: u64,
    pub relocations: u64,
    pub packed: u64,
    /// Number of entries in `.dynamic`, without those for constructors and destructors.
    pub dynamic: u64,
}

const EHDR: u64 = 64;
const PHDR: u64 = 56;
/// The alignment of segments in the file: the smallest page size of the machines.
const FILE_PAGE: u64 = 4 << 10;
/// Up to this many bytes in segments, an image is packed: its segments share pages of the file. Larger images keep the layout of the
/// file in memory, as far as pages allow, so that one mapping can contain many of them.
const MAX_PACKED: u64 = 16 << 10;

impl<'a> Layout<'a> {
    /// Collects the output sections, and assigns them addresses and offsets.
    ///
    /// # Errors
    ///
    /// LIMIT for an image that is too large or has too much padding, UNSUPPORTED for sections of one name that cannot be
    /// combined.
    pub fn new(parts: &Parts<'_, 'a>, sizes: &Sizes, machine: &Machine) -> Result<Layout<'a>> {
        let Parts { inputs, dispositions, symbols, frames, needs, merged } = *parts;
        let mut all = OutputSections { outputs: Vec::new(), names: HashMap::new() };
        all.add_synthetic(Synthetic::GnuHash, sizes.hash, 8)?;
        all.add_synthetic(Synthetic::DynSym, sizes.symbols, 8)?;
        all.add_synthetic(Synthetic::DynStr, sizes.strings, 1)?;
        if sizes.versions > 0 {
            all.add_synthetic(Synthetic::Versions, sizes.versions, 2)?;
            all.add_synthetic(Synthetic::NeededVersions, sizes.needed, 8)?;
        }
        if sizes.relocations > 0 {
            all.add_synthetic(Synthetic::RelaDyn, sizes.relocations, 8)?;
        }
        if sizes.packed > 0 {
            all.add_synthetic(Synthetic::RelrDyn, sizes.packed, 8)?;
        }
        let startup = STARTUP.iter().filter(|startup| startup.is_in(inputs, dispositions));
        for function in startup.clone() {
            all.add_synthetic(function.start, machine.startup.start.len() as u64, startup::ALIGN)?;
        }
        for (object, (input, dispositions)) in inputs.iter().zip(dispositions).enumerate() {
            for (index, disposition) in dispositions.iter().enumerate() {
                if matches!(disposition, Disposition::Loaded | Disposition::Debug) {
                    let relocated = needs.is_relocated(object, index)?;
                    all.add_section(input, (object, index), *disposition, relocated, merged)?;
                }
            }
        }
        for (index, entry) in symbols.entries.iter().enumerate() {
            if let Definition::Common { align, large } = entry.definition {
                let (name, class): (&[u8], _) = if large { (b".lbss", Class::LargeBss) } else { (b".bss", Class::Bss) };
                let output = all.output(name, Place::Image)?;
                if output.chunks.is_empty() {
                    (output.class, output.kind) = (class, elf::SHT_NOBITS);
                }
                output.flags |= elf::SHF_ALLOC.0;
                output.push(Content::Common { entry: index }, entry.size, align, false, 0)?;
            }
        }
        for function in startup.clone() {
            all.add_synthetic(function.end, machine.startup.end.len() as u64, startup::ALIGN)?;
        }
        if frames.size > 0 {
            all.add_synthetic(Synthetic::EhFrameHdr, frames.header_size(), 4)?;
            all.add_synthetic(Synthetic::EhFrame, frames.size, 8)?;
        }
        if !needs.plt_entries.is_empty() {
            let size = machine.plt_entry.code.len() as u64;
            all.add_synthetic(Synthetic::Plt, size * needs.plt_entries.len() as u64, size)?;
        }
        if symbols.finalize.is_some() {
            all.add_synthetic(Synthetic::Finalizer, machine.finalizer.code.len() as u64, 16)?;
            all.add_synthetic(Synthetic::FinalizerPointer, 8, 8)?;
        }
        if !symbols.exit_functions.is_empty() {
            let size = EXIT_FUNCTION_SIZE * symbols.exit_functions.len() as u64;
            all.add_synthetic(Synthetic::ExitFunctions, size, EXIT_FUNCTION_SIZE)?;
        }
        let arrays = [&b".init_array"[..], b".fini_array"].into_iter();
        let arrays = arrays.filter(|name| all.names.contains_key(&(*name, Place::Image)));
        let dynamic = sizes.dynamic + 2 * arrays.count() as u64 + startup.count() as u64;
        all.add_synthetic(Synthetic::Dynamic, dynamic * 16, 8)?;
        if needs.has_got {
            all.add_synthetic(Synthetic::Got, needs.got.size(), 8)?;
        }
        let mut outputs = all.outputs;
        for output in &mut outputs {
            if !matches!(output.class, Class::Note | Class::Table | Class::ReadOnly | Class::Text | Class::Debug) {
                output.flags |= elf::SHF_WRITE.0;
            }
        }
        alloc::sort(&mut outputs, "sections", |output| output.class)?;
        let veneers = Veneers::insert(&mut outputs, inputs, symbols, machine)?;
        let mut layout = Layout {
            outputs,
            segments: Vec::new(),
            tls: None,
            headers: 0,
            file_end: 0,
            locations: Vec::new(),
            synthetic: [None; Synthetic::COUNT],
            names: HashMap::new(),
            veneers,
        };
        layout.assign_addresses(machine)?;
        layout.remember(inputs, merged)?;
        Ok(layout)
    }

    /// Assigns every section its address and its offset.
    fn assign_addresses(&mut self, machine: &Machine) -> Result<()> {
        let (mut address, mut offset, mut padding) = (0u64, 0u64, 0u64);
        for output in &mut self.outputs {
            padding = padding.saturating_add(output.arrange()?);
        }
        let has = |load| self.outputs.iter().any(|output| output.class.load() == Some(load) && output.size > 0);
        let loads = [Load::ReadOnly, Load::Text, Load::Relro, Load::Data].map(|load| (load, has(load)));
        let frames = usize::from(self.outputs.iter().any(|output| output.name == b".eh_frame_hdr"));
        let notes = self.outputs.iter().filter(|output| output.class == Class::Note).count();
        let is_tls = |output: &&OutputSection<'_>| output.is(elf::SHF_TLS);
        let tls_align = self.outputs.iter().filter(is_tls).map(|output| output.align).max();
        let mut tls_end = 0;
        // The segment starts at a multiple of its alignment: then offsets in it are aligned, too.
        if let (Some(align), Some(first)) = (tls_align, self.outputs.iter_mut().find(|output| is_tls(&&**output))) {
            first.align = align;
        }
        // The three are PT_DYNAMIC, PT_GNU_RELRO and PT_GNU_STACK.
        self.headers =
            loads.iter().filter(|(_, filled)| *filled).count() + 3 + notes + frames + usize::from(tls_align.is_some());
        let in_segments = |output: &&OutputSection<'_>| output.class.load().is_some() && output.has_bytes();
        let bytes = self.outputs.iter().filter(in_segments).map(|output| output.size);
        let is_packed = bytes.fold(EHDR + PHDR * self.headers as u64, u64::saturating_add) <= MAX_PACKED;
        let file_align = if is_packed { 1 } else { FILE_PAGE };
        for (load, filled) in loads {
            let of_load = self.outputs.iter_mut().filter(|output| output.class.load() == Some(load));
            let mut sections: Vec<&mut OutputSection<'_>> = of_load.collect();
            if !filled {
                // Empty sections have addresses, but need no segment.
                sections.iter_mut().for_each(|output| (output.address, output.offset) = (address, offset));
                continue;
            }
            let largest = sections.iter().map(|output| output.align).max().unwrap_or(1);
            let align = machine.max_page_size.max(largest);
            if load != Load::ReadOnly {
                let next = align_up(offset, file_align.max(largest)).ok_or_else(too_large)?;
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
                let is_tls_bss = output.class == Class::TlsBss;
                let start = if is_tls_bss { tls_end.max(address) } else { address };
                let next = align_up(start, output.align).ok_or_else(too_large)?;
                output.address = next;
                output.offset = segment.offset + (next - segment.address);
                let end = next.checked_add(output.size).filter(|end| *end <= output.limit()).ok_or_else(too_large)?;
                if is_tls_bss {
                    // It takes no addresses of the image: the next section is where it is.
                    tls_end = end;
                    continue;
                }
                address = end;
                if output.has_bytes() {
                    padding = padding.saturating_add(next - (segment.address + segment.file_size));
                    segment.file_size = address - segment.address;
                } else {
                    output.offset = segment.offset + segment.file_size;
                }
            }
            segment.memory_size = address - segment.address;
            if load == Load::Relro {
                // Only whole pages can be made read-only. Without bytes of the file, the rest of the last one would have to be cleared.
                let end = segment.offset + segment.file_size;
                segment.file_size += align_up(end, file_align).ok_or_else(too_large)? - end;
                address = align_up(address, machine.max_page_size).ok_or_else(too_large)?;
                segment.memory_size = address - segment.address;
            }
            offset = segment.offset + segment.file_size;
            self.segments.push(segment);
        }
        self.tls = self.tls_segment();
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

    /// Returns PT_TLS, once its sections have addresses.
    fn tls_segment(&self) -> Option<TlsSegment> {
        let mut sections = self.outputs.iter().filter(|output| output.is(elf::SHF_TLS));
        let first = sections.next()?;
        let last = sections.next_back().unwrap_or(first);
        let data = self.outputs.iter().rfind(|output| output.class == Class::TlsData);
        Some(TlsSegment {
            address: first.address,
            offset: first.offset,
            file_size: data.map_or(0, |data| data.end() - first.address),
            // Dynamic linkers give modules without a byte of it no number, by which code could ask for its address.
            memory_size: (last.end() - first.address).max(1),
            align: first.align,
        })
    }

    fn remember(&mut self, inputs: &[Input<'_>], merged: &Merged) -> Result<()> {
        self.locations = alloc::with_capacity(inputs.len(), "sections")?;
        for input in inputs {
            self.locations.push(alloc::collect(input.sections.iter().map(|_| None), "sections")?);
        }
        let mut pools = alloc::collect(merged.pools.iter().map(|_| None), "merged sections")?;
        for (index, output) in self.outputs.iter().enumerate() {
            if output.class != Class::Debug && !output.is(elf::SHF_TLS) {
                self.names.insert(output.name, index);
            }
            for chunk in &output.chunks {
                match chunk.content {
                    Content::Section { object, section } => {
                        let locations = item_mut(&mut self.locations, object, "object")?;
                        *item_mut(locations, section, "section")? = Some((index, chunk.at));
                    }
                    Content::Pool(pool) => *item_mut(&mut pools, pool, "pool")? = Some((index, chunk.at)),
                    Content::Synthetic(synthetic) => {
                        *item_mut(&mut self.synthetic, synthetic as usize, "synthetic section")? =
                            Some((index, chunk.at));
                    }
                    Content::Island { index } => {
                        let island = item_mut(&mut self.veneers.islands, index, "island")?;
                        (island.address, island.offset) = (output.address + chunk.at, output.offset + chunk.at);
                    }
                    // `LinkContext::give_addresses` handles these.
                    Content::Common { .. } => {}
                }
            }
        }
        for ((object, section), pool) in merged.members() {
            let locations = item_mut(&mut self.locations, object, "object")?;
            *item_mut(locations, section, "section")? = *item(&pools, pool, "pool")?;
        }
        Ok(())
    }

    /// Returns the index of the output section of a linked input section, and the offset in it; for a merged section, those of its
    /// pool.
    pub fn location_of(&self, object: usize, section: usize) -> Result<(usize, u64)> {
        let assign_addresses = *item(item(&self.locations, object, "object")?, section, "section")?;
        assign_addresses.ok_or_else(|| defect(format_args!("section {section} of object {object} is not in the image")))
    }

    /// Returns the address of a linked input section, or of its pool; for a debug section, the offset in the output section; for a
    /// thread-local one, the offset in the TLS segment.
    pub fn address_of(&self, object: usize, section: usize) -> Result<u64> {
        let (output, at) = self.location_of(object, section)?;
        let output = item(&self.outputs, output, "output section")?;
        let origin = self.tls.filter(|_| output.is(elf::SHF_TLS)).map_or(0, |tls| tls.address);
        Ok(output.address - origin + at)
    }

    /// Returns the index of the output section that has a synthetic section, and the offset in it; `None` if the image has
    /// no such synthetic section.
    pub fn synthetic(&self, synthetic: Synthetic) -> Option<(usize, u64)> {
        self.synthetic.get(synthetic as usize).copied().flatten()
    }

    fn section_of(&self, synthetic: Synthetic) -> Result<(&OutputSection<'a>, u64)> {
        let (output, at) = self
            .synthetic(synthetic)
            .ok_or_else(|| defect(format_args!("{synthetic:?} is used, but not in the image")))?;
        Ok((item(&self.outputs, output, "output section")?, at))
    }

    /// Returns the address of a synthetic section.
    pub fn synthetic_address(&self, synthetic: Synthetic) -> Result<u64> {
        self.section_of(synthetic).map(|(output, at)| output.address + at)
    }

    /// Returns the file offset of a synthetic section.
    pub fn synthetic_offset(&self, synthetic: Synthetic) -> Result<usize> {
        self.section_of(synthetic).map(|(output, at)| (output.offset + at) as usize)
    }

    /// Returns the size of a synthetic section; 0 if the image has none.
    pub fn synthetic_size(&self, synthetic: Synthetic) -> u64 {
        let output = self.synthetic(synthetic).and_then(|(output, _)| self.outputs.get(output));
        let is_it = |chunk: &&Chunk| matches!(chunk.content, Content::Synthetic(found) if found == synthetic);
        output.and_then(|output| output.chunks.iter().find(is_it)).map_or(0, |chunk| chunk.size)
    }

    /// Returns the section of this name in a segment, if it is not thread-local.
    pub fn named(&self, name: &[u8]) -> Option<&OutputSection<'a>> {
        self.names.get(name).and_then(|index| self.outputs.get(*index))
    }

    /// Returns the segment that has file bytes for an address.
    pub fn segment_at(&self, address: u64) -> Option<&Segment> {
        let has = |segment: &&Segment| address.checked_sub(segment.address).is_some_and(|at| at < segment.file_size);
        self.segments.iter().find(has)
    }

    fn segment(&self, load: Load) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.load == load)
    }

    /// Returns the address of a symbol that the linker defines, or its offset in the TLS segment.
    pub fn linker_symbol(&self, linker_symbol: LinkerSymbol<'_>) -> Result<u64> {
        let named =
            |name: &[u8]| self.named(name).ok_or_else(|| defect("__start_ or __stop_ of a section outside the image"));
        // The sections are sorted by class.
        let first_bss = || self.outputs.partition_point(|output| output.class < Class::Bss);
        let bss = || self.outputs.get(first_bss()).filter(|output| output.class <= Class::LargeBss);
        // The last segment is not the data segment if the image has no data.
        let last = self.segments.last();
        let file_end = last.map_or(0, |segment| segment.address + segment.file_size);
        let memory_end = last.map_or(0, |segment| segment.address + segment.memory_size);
        Ok(match linker_symbol {
            LinkerSymbol::ImageStart => 0,
            LinkerSymbol::TextEnd => {
                self.segment(Load::Text).map_or(0, |segment| segment.address + segment.memory_size)
            }
            LinkerSymbol::DataEnd => file_end.min(memory_end),
            LinkerSymbol::BssStart => bss().map_or(memory_end, |output| output.address),
            LinkerSymbol::End => memory_end,
            // The image has no GOT if only debug sections refer to it, or nothing at all.
            LinkerSymbol::Got if self.synthetic(Synthetic::Got).is_none() => 0,
            LinkerSymbol::Got => self.synthetic_address(Synthetic::Got)?,
            LinkerSymbol::Dynamic | LinkerSymbol::DsoHandle => self.synthetic_address(Synthetic::Dynamic)?,
            LinkerSymbol::ExitFunction(index) => {
                self.synthetic_address(Synthetic::ExitFunctions)? + EXIT_FUNCTION_SIZE * index as u64
            }
            LinkerSymbol::TlsStart => 0,
            LinkerSymbol::SectionStart(name) => named(name)?.address,
            LinkerSymbol::SectionEnd(name) => named(name)?.end(),
        })
    }
}
