//! Output sections: which chunks each consists of, and its class.

use std::collections::HashMap;

use object::elf::{self, SectionFlags, SectionType};

use super::input::{Input, Section, failure};
use super::merge::Merged;
use super::select::Disposition;
use super::{arrays, item, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::format::align_up;
use crate::limits::{MAX_ADDRESSES, MAX_CODE};

/// The class of an output section. Sections are in this order in the image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Class {
    Note,
    /// A table for the loader.
    Table,
    ReadOnly,
    Text,
    /// The initial values of thread-local variables. The loader may write them, before it copies them.
    TlsData,
    /// Zeros after them, which have no place in the image's memory.
    TlsBss,
    /// Written by the loader, then read-only.
    Relro,
    Data,
    /// Without bytes in the file.
    Bss,
    /// The same for the large memory model. It comes last, where it does not increase distances between other sections.
    LargeBss,
    Debug,
}

/// Where the contents of a section are when code runs. Input sections of one name but different places are not combined.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Place {
    Image,
    /// In each thread's storage.
    Thread,
    /// Only in the file.
    File,
}

/// A kind of PT_LOAD segment. An image has at most one of each, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Load {
    ReadOnly,
    Text,
    Relro,
    Data,
}

/// A section, or part of one, that the linker generates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Synthetic {
    GnuHash,
    DynSym,
    DynStr,
    Versions,
    NeededVersions,
    RelaDyn,
    RelrDyn,
    EhFrameHdr,
    EhFrame,
    Plt,
    InitStart,
    InitEnd,
    FiniStart,
    FiniEnd,
    Finalizer,
    FinalizerPointer,
    ExitFunctions,
    Dynamic,
    Got,
}

impl Synthetic {
    /// Number of variants.
    pub const COUNT: usize = Synthetic::Got as usize + 1;
}

/// What a chunk of an output section contains.
#[derive(Clone, Copy)]
pub(super) enum Content {
    Section {
        object: usize,
        section: usize,
    },
    /// The merged entries of several sections, by the index of the pool.
    Pool(usize),
    Common {
        entry: usize,
    },
    Synthetic(Synthetic),
    /// An island of veneers.
    Island {
        index: usize,
    },
}

pub(super) struct Chunk {
    pub content: Content,
    pub size: u64,
    pub align: u64,
    /// Offset within the output section.
    pub at: u64,
    /// Whether it has bytes in the file, rather than being zeros.
    has_bytes: bool,
    /// Sort key in `.init_array` and `.fini_array`.
    priority: u32,
}

/// A section of the image.
pub(super) struct OutputSection<'a> {
    pub name: &'a [u8],
    pub class: Class,
    pub kind: SectionType,
    pub flags: u64,
    pub entry: u64,
    pub align: u64,
    pub size: u64,
    pub address: u64,
    pub offset: u64,
    pub chunks: Vec<Chunk>,
    /// Whether no chunk has bytes.
    nobits: bool,
}

impl Class {
    pub fn load(self) -> Option<Load> {
        match self {
            Class::Note | Class::Table | Class::ReadOnly => Some(Load::ReadOnly),
            Class::Text => Some(Load::Text),
            Class::TlsData | Class::TlsBss | Class::Relro => Some(Load::Relro),
            Class::Data | Class::Bss | Class::LargeBss => Some(Load::Data),
            Class::Debug => None,
        }
    }
}

impl OutputSection<'_> {
    pub fn is(&self, flag: SectionFlags) -> bool {
        self.flags & flag.0 != 0
    }

    pub fn has_bytes(&self) -> bool {
        self.kind != elf::SHT_NOBITS
    }

    /// The address that the section may reach up to.
    pub fn limit(&self) -> u64 {
        // Zeros come last, so that other sections stay within reach of each other. Code that is not compiled to reach those beyond
        // has relocations that do not fit.
        if matches!(self.class, Class::Bss | Class::LargeBss) { MAX_ADDRESSES } else { MAX_CODE }
    }

    pub fn end(&self) -> u64 {
        self.address + self.size
    }
}

pub(super) fn too_large() -> Error {
    let message = format!(
        "linked image: expected at most {MAX_CODE} bytes of memory, and {MAX_ADDRESSES} with .bss and .lbss, found more"
    );
    Error::new(Status::Limit, message)
}

pub(super) fn too_many_sections() -> Error {
    Error::new(Status::Limit, "linked image: expected fewer than 65248 sections, found more")
}

/// Returns the name of the output section for an input section.
pub(super) fn output_name<'a>(section: &Section<'a>, relocated: bool) -> &'a [u8] {
    const POOLS: [&[u8]; 14] = [
        b".text",
        b".rodata",
        b".data.rel.ro",
        b".data",
        b".bss",
        b".init_array",
        b".fini_array",
        b".gcc_except_table",
        b".tdata",
        b".tbss",
        b".ltext",
        b".lrodata",
        b".ldata",
        b".lbss",
    ];
    let is =
        |pool: &&&[u8]| section.name.strip_prefix(**pool).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."));
    if let Some(array) = arrays::array_of(section.name) {
        return array;
    }
    match POOLS.iter().find(is) {
        Some(&b".rodata" | &b".lrodata") if relocated && !section.is(elf::SHF_WRITE) => b".data.rel.ro",
        Some(pool) => pool,
        None if section.name == b".rodata1" => b".rodata",
        None if section.name == b".data1" => b".data",
        None => section.name,
    }
}

/// The output sections, found by name.
pub(super) struct OutputSections<'a> {
    pub outputs: Vec<OutputSection<'a>>,
    /// Index by name and place.
    pub names: HashMap<(&'a [u8], Place), usize>,
}

impl<'a> OutputSections<'a> {
    pub fn output(&mut self, name: &'a [u8], place: Place) -> Result<&mut OutputSection<'a>> {
        let next = self.outputs.len();
        self.names.try_reserve(1).map_err(|_| Error::no_memory("sections"))?;
        let index = *self.names.entry((name, place)).or_insert(next);
        if index == next {
            // Symbols have 16 bits for a section index, and some sections are added later.
            if next >= usize::from(elf::SHN_LORESERVE) - 32 {
                return Err(too_many_sections());
            }
            let output = OutputSection {
                name,
                class: Class::Debug,
                kind: elf::SHT_NULL,
                flags: 0,
                entry: 0,
                align: 1,
                size: 0,
                address: 0,
                offset: 0,
                chunks: Vec::new(),
                nobits: true,
            };
            alloc::push(&mut self.outputs, output, "sections")?;
        }
        item_mut(&mut self.outputs, index, "output section")
    }

    pub fn add_section(
        &mut self,
        input: &Input<'a>,
        (object, index): (usize, usize),
        disposition: Disposition,
        relocated: bool,
        merged: &Merged,
    ) -> Result<()> {
        const ACCESS: u64 = elf::SHF_WRITE.0 | elf::SHF_ALLOC.0 | elf::SHF_EXECINSTR.0 | elf::SHF_TLS.0;
        const STRINGS: u64 = elf::SHF_MERGE.0 | elf::SHF_STRINGS.0;
        let section = item(&input.sections, index, "section")?;
        let place = match disposition {
            Disposition::Debug => Place::File,
            _ if section.is(elf::SHF_TLS) => Place::Thread,
            _ => Place::Image,
        };
        let name = output_name(section, relocated && place == Place::Image);
        let output = self.output(name, place)?;
        let moved = name == b".data.rel.ro";
        let access = section.flags & ACCESS | if moved { elf::SHF_WRITE.0 } else { 0 };
        // The output section is mergeable only if all its input sections are, with the same entry size.
        let strings = section.flags & STRINGS;
        if output.chunks.is_empty() {
            (output.flags, output.entry, output.kind) = (access | strings, section.entry, section.kind);
        } else {
            let same = output.entry == section.entry;
            output.flags = (output.flags | access) & (!STRINGS | if same { strings } else { 0 });
            output.entry = if same { output.entry } else { 0 };
            if output.kind != section.kind {
                output.kind = elf::SHT_PROGBITS;
            }
        }
        let large = name == b".lbss";
        let has_bytes = section.kind != elf::SHT_NOBITS;
        output.nobits &= !has_bytes;
        let class = match name {
            _ if place == Place::File => Class::Debug,
            _ if output.is(elf::SHF_EXECINSTR) && output.is(elf::SHF_WRITE) => {
                let what = format!("section '{}' is writable in one object and executable in another", quote(name));
                return Err(failure(Status::Unsupported, input.name, what));
            }
            _ if place == Place::Thread && output.nobits => Class::TlsBss,
            _ if place == Place::Thread => Class::TlsData,
            _ if output.is(elf::SHF_EXECINSTR) => Class::Text,
            _ if output.nobits && large => Class::LargeBss,
            _ if output.nobits => Class::Bss,
            b".init_array" | b".fini_array" | b".data.rel.ro" => Class::Relro,
            _ if output.is(elf::SHF_WRITE) => Class::Data,
            _ if relocated || output.class == Class::Relro => Class::Relro,
            _ if output.kind == elf::SHT_NOTE => Class::Note,
            _ => Class::ReadOnly,
        };
        match name {
            _ if place != Place::Image => {}
            b".init_array" => (output.kind, output.entry) = (elf::SHT_INIT_ARRAY, 8),
            b".fini_array" => (output.kind, output.entry) = (elf::SHT_FINI_ARRAY, 8),
            _ => {}
        }
        output.class = class;
        let (content, size, align) = match merged.pool_of((object, index)) {
            None => (Content::Section { object, section: index }, section.size, section.align),
            Some(index_of_pool) => match item(&merged.pools, index_of_pool, "pool")? {
                pool if pool.first == (object, index) => (Content::Pool(index_of_pool), pool.size, pool.align),
                // The first of its sections has brought the pool.
                _ => return Ok(()),
            },
        };
        output.push(content, size, align, has_bytes, arrays::priority(section.name))
    }

    pub fn add_synthetic(&mut self, synthetic: Synthetic, size: u64, align: u64) -> Result<()> {
        const A: u64 = elf::SHF_ALLOC.0;
        const AX: u64 = A | elf::SHF_EXECINSTR.0;
        const WA: u64 = A | elf::SHF_WRITE.0;
        let (name, class, kind, flags, entry): (&[u8], _, _, _, _) = match synthetic {
            Synthetic::GnuHash => (b".gnu.hash", Class::Table, elf::SHT_GNU_HASH, A, 0),
            Synthetic::DynSym => (b".dynsym", Class::Table, elf::SHT_DYNSYM, A, 24),
            Synthetic::DynStr => (b".dynstr", Class::Table, elf::SHT_STRTAB, A, 0),
            Synthetic::Versions => (b".gnu.version", Class::Table, elf::SHT_GNU_VERSYM, A, 2),
            Synthetic::NeededVersions => (b".gnu.version_r", Class::Table, elf::SHT_GNU_VERNEED, A, 0),
            Synthetic::RelaDyn => (b".rela.dyn", Class::Table, elf::SHT_RELA, A, 24),
            Synthetic::RelrDyn => (b".relr.dyn", Class::Table, elf::SHT_RELR, A, 8),
            Synthetic::EhFrameHdr => (b".eh_frame_hdr", Class::ReadOnly, elf::SHT_PROGBITS, A, 0),
            Synthetic::EhFrame => (b".eh_frame", Class::ReadOnly, elf::SHT_PROGBITS, A, 0),
            Synthetic::Plt => (b".plt.got", Class::Text, elf::SHT_PROGBITS, AX, align),
            Synthetic::InitStart | Synthetic::InitEnd => (b".init", Class::Text, elf::SHT_PROGBITS, AX, 0),
            Synthetic::FiniStart | Synthetic::FiniEnd => (b".fini", Class::Text, elf::SHT_PROGBITS, AX, 0),
            Synthetic::Finalizer | Synthetic::ExitFunctions => (b".text", Class::Text, elf::SHT_PROGBITS, AX, 0),
            Synthetic::FinalizerPointer => (b".fini_array", Class::Relro, elf::SHT_FINI_ARRAY, WA, 8),
            Synthetic::Dynamic => (b".dynamic", Class::Relro, elf::SHT_DYNAMIC, WA, 16),
            Synthetic::Got => (b".got", Class::Relro, elf::SHT_PROGBITS, WA, 8),
        };
        let output = self.output(name, Place::Image)?;
        (output.class, output.kind, output.entry, output.nobits) = (class, kind, entry, false);
        output.flags |= flags;
        if output.is(elf::SHF_EXECINSTR) && output.is(elf::SHF_WRITE) {
            let message = format!("section '{}': expected code, found a writable section of this name", quote(name));
            return Err(Error::new(Status::Unsupported, message));
        }
        // Priority 0 puts the finalizer first in .fini_array, which is run in reverse: it runs last.
        output.push(Content::Synthetic(synthetic), size, align, true, 0)
    }
}

impl OutputSection<'_> {
    pub fn push(&mut self, content: Content, size: u64, align: u64, has_bytes: bool, priority: u32) -> Result<()> {
        self.align = self.align.max(align);
        alloc::push(&mut self.chunks, Chunk { content, size, align, at: 0, has_bytes, priority }, "chunks of sections")
    }

    /// Inserts a chunk with bytes before the chunk `at`.
    pub fn insert(&mut self, at: usize, content: Content, size: u64, align: u64) -> Result<()> {
        self.chunks.try_reserve(1).map_err(|_| Error::no_memory("chunks of sections"))?;
        self.align = self.align.max(align);
        let at = at.min(self.chunks.len());
        self.chunks.insert(at, Chunk { content, size, align, at: 0, has_bytes: true, priority: u32::MAX });
        Ok(())
    }

    /// Assigns offsets to the chunks, one after the other, and returns the number of padding bytes.
    pub fn arrange(&mut self) -> Result<u64> {
        if [elf::SHT_INIT_ARRAY, elf::SHT_FINI_ARRAY].contains(&self.kind) {
            alloc::sort(&mut self.chunks, "chunks of sections", |chunk| chunk.priority)?;
        }
        let (mut end, mut padding) = (0u64, 0u64);
        for chunk in &mut self.chunks {
            chunk.at = align_up(end, chunk.align).ok_or_else(too_large)?;
            padding =
                padding.saturating_add(chunk.at - end).saturating_add(if chunk.has_bytes { 0 } else { chunk.size });
            end = chunk.at.checked_add(chunk.size).filter(|end| *end <= MAX_ADDRESSES).ok_or_else(too_large)?;
        }
        self.size = end;
        Ok(if self.has_bytes() { padding } else { 0 })
    }
}
