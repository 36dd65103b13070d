//! Writes the image: headers, sections, synthetic sections, the symbol table and, last, the section headers.

use object::LittleEndian;
use object::elf::{self, FileHeader64, Ident, ProgramFlags, ProgramHeader64, ProgramType, SectionHeader64, Sym64};
use object::endian::{I64, U16, U32, U64};
use object::pod;

use super::apply::{Deferred, LinkContext, put};
use super::debug::DebugAddress;
use super::dynamic::{DynamicReloc, Tables, add_name, symbol};
use super::input::{ORDER, Rela};
use super::layout::Layout;
use super::relr::Packed;
use super::sections::{Class, Load, OutputSection, Synthetic, too_many_sections};
use super::symbols::{Definition, Entry, Target};
use super::{defect, item};
use crate::alloc;
use crate::error::{Error, Result};

type Header = SectionHeader64<LittleEndian>;

/// Assigns every symbol its address and writes the sections, but for the tables. Returns the relocations that are left, too.
pub(super) fn write_sections(context: &mut LinkContext<'_>) -> Result<(Vec<u8>, Deferred)> {
    context.give_addresses()?;
    let end = usize::try_from(context.layout.file_end).map_err(|_| Error::no_memory("a linked image"))?;
    // What `finish` appends has its place already, or the image would be copied.
    let mut image = alloc::zeroed(end + symbol_table_size(context), "a linked image")?;
    image.truncate(end);
    let deferred = context.write_sections(&mut image)?;
    Ok((image, deferred))
}

/// Writes the image.
pub(super) fn write(mut context: LinkContext<'_>, tables: Tables) -> Result<Vec<u8>> {
    let (mut image, Deferred { dynamic, debug }) = write_sections(&mut context)?;
    let layout = &context.layout;
    let (dynamic, packed) = if tables.packs() {
        let Packed { packed, rest, table } = Packed::new(dynamic, layout, context.machine)?;
        put_addends(&mut image, layout, &packed)?;
        (rest, alloc::collect(table.iter().flat_map(|word| word.to_le_bytes()), ".relr.dyn")?)
    } else {
        (dynamic, Vec::new())
    };
    let (relocations, relative) = tables.relocations(dynamic, context.machine)?;
    for (synthetic, bytes) in [
        (Synthetic::GnuHash, &tables.hash),
        (Synthetic::DynSym, &tables.symbols(&context.symbols)?),
        (Synthetic::DynStr, &tables.strings),
        (Synthetic::Versions, &tables.versions.of_symbols),
        (Synthetic::NeededVersions, &tables.versions.needed),
        (Synthetic::RelaDyn, &relocations),
        (Synthetic::RelrDyn, &packed),
        (Synthetic::Dynamic, &tables.dynamic(layout, relative)?),
    ] {
        if bytes.len() as u64 != layout.synthetic_size(synthetic) {
            return Err(defect(format_args!("{synthetic:?} differs in size from its layout")));
        }
        if !bytes.is_empty() {
            put(&mut image, layout.synthetic_offset(synthetic)?, bytes)?;
        }
    }
    let segments = segments(&context);
    put(&mut image, HEADER, pod::bytes_of_slice(&segments))?;

    let header = finish(&context, &debug, tables.versions.libraries.len() as u32, &mut image)?;
    put(&mut image, 0, pod::bytes_of(&header))?;
    Ok(image)
}

/// Puts addends where packed relocations have them, over what another relocation may have put there: RELA would do the same.
fn put_addends(image: &mut [u8], layout: &Layout<'_>, packed: &[DynamicReloc]) -> Result<()> {
    packed.iter().try_for_each(|relocation| {
        let segment = layout.segment_at(relocation.address);
        let segment = segment.ok_or_else(|| defect("a packed relocation lies outside the image"))?;
        let offset = segment.offset + (relocation.address - segment.address);
        put(image, offset as usize, &relocation.addend.to_le_bytes())
    })
}

const HEADER: usize = size_of::<FileHeader64<LittleEndian>>();

fn program_header(
    kind: ProgramType,
    flags: ProgramFlags,
    (offset, address): (u64, u64),
    (file, memory): (u64, u64),
    align: u64,
) -> ProgramHeader64<LittleEndian> {
    ProgramHeader64 {
        p_type: U32::new(ORDER, kind),
        p_flags: U32::new(ORDER, flags),
        p_offset: U64::new(ORDER, offset),
        p_vaddr: U64::new(ORDER, address),
        p_paddr: U64::new(ORDER, address),
        p_filesz: U64::new(ORDER, file),
        p_memsz: U64::new(ORDER, memory),
        p_align: U64::new(ORDER, align),
    }
}

fn segments(context: &LinkContext<'_>) -> Vec<ProgramHeader64<LittleEndian>> {
    let layout = &context.layout;
    let mut list = Vec::new();
    let mut relro = None;
    for segment in &layout.segments {
        let flags = match segment.load {
            Load::ReadOnly => elf::PF_R,
            Load::Text => elf::PF_R | elf::PF_X,
            Load::Relro | Load::Data => elf::PF_R | elf::PF_W,
        };
        let (place, sizes) = ((segment.offset, segment.address), (segment.file_size, segment.memory_size));
        list.push(program_header(elf::PT_LOAD, flags, place, sizes, segment.align));
        if segment.load == Load::Relro {
            relro = Some(program_header(elf::PT_GNU_RELRO, elf::PF_R, place, sizes, 1));
        }
    }
    let of_section = |kind, output: &OutputSection<'_>| {
        let flags = if output.is(elf::SHF_WRITE) { elf::PF_R | elf::PF_W } else { elf::PF_R };
        program_header(kind, flags, (output.offset, output.address), (output.size, output.size), output.align)
    };
    for output in &layout.outputs {
        match output.name {
            b".dynamic" => list.push(of_section(elf::PT_DYNAMIC, output)),
            b".eh_frame_hdr" => list.push(of_section(elf::PT_GNU_EH_FRAME, output)),
            _ if output.class == Class::Note => list.push(of_section(elf::PT_NOTE, output)),
            _ => {}
        }
    }
    if let Some(tls) = layout.tls {
        let (place, sizes) = ((tls.offset, tls.address), (tls.file_size, tls.memory_size));
        list.push(program_header(elf::PT_TLS, elf::PF_R, place, sizes, tls.align));
    }
    list.extend(relro);
    list.push(program_header(elf::PT_GNU_STACK, elf::PF_R | elf::PF_W, (0, 0), (0, 0), 16));
    list
}

/// Appends what is in no segment (`.symtab`, relocations of debug sections, names, section headers), and returns the file
/// header. `libraries` are how many the image needs.
fn finish(
    context: &LinkContext<'_>,
    debug: &[DebugAddress],
    libraries: u32,
    image: &mut Vec<u8>,
) -> Result<FileHeader64<LittleEndian>> {
    let layout = &context.layout;
    let (symbols, strings, locals) = symbol_table(context, !debug.is_empty())?;
    let outputs = layout.outputs.len() as u32;
    let mut names = vec![0];
    let mut headers = alloc::with_capacity(layout.outputs.len() + 4, "section headers")?;
    headers.push(header(&Fields::default()));
    // Section 0 is the null section, so indexes of sections are those of outputs plus 1.
    let index = |synthetic| {
        let found = layout.synthetic(synthetic).map(|(output, _)| output as u32 + 1);
        found.ok_or_else(|| defect(format_args!("{synthetic:?} is used, but not in the image")))
    };
    for output in &layout.outputs {
        let (link, info) = match output.kind {
            elf::SHT_GNU_HASH | elf::SHT_RELA | elf::SHT_GNU_VERSYM => (index(Synthetic::DynSym)?, 0),
            elf::SHT_GNU_VERNEED => (index(Synthetic::DynStr)?, libraries),
            // Number of local symbols: the null symbol.
            elf::SHT_DYNSYM => (index(Synthetic::DynStr)?, 1),
            elf::SHT_DYNAMIC => (index(Synthetic::DynStr)?, 0),
            _ => (0, 0),
        };
        let fields = Fields {
            name: add_name(&mut names, &[output.name])?,
            kind: output.kind.0,
            flags: output.flags,
            address: output.address,
            offset: output.offset,
            size: output.size,
            link,
            info,
            align: output.align,
            entry: output.entry,
        };
        headers.push(header(&fields));
    }
    let symbol_size = size_of::<Sym64<LittleEndian>>() as u64;
    let table = Fields {
        kind: elf::SHT_SYMTAB.0,
        link: outputs + 2,
        info: locals,
        align: 8,
        entry: symbol_size,
        ..Fields::default()
    };
    let text = Fields { kind: elf::SHT_STRTAB.0, align: 1, ..Fields::default() };
    for (name, bytes, fields) in [(&b".symtab"[..], &symbols, table), (b".strtab", &strings, text)] {
        let name = add_name(&mut names, &[name])?;
        let offset = append(image, bytes, fields.align as usize)?;
        headers.push(header(&Fields { name, offset, size: bytes.len() as u64, ..fields }));
    }
    for addresses in debug.chunk_by(|one, other| one.section == other.section) {
        let section = item(addresses, 0, "address of a debug section")?.section;
        let output = item(&layout.outputs, section, "output section")?;
        let bytes = debug_relocations(context, addresses)?;
        let fields = Fields {
            name: add_name(&mut names, &[b".rela", output.name])?,
            kind: elf::SHT_RELA.0,
            flags: elf::SHF_INFO_LINK.0,
            offset: append(image, &bytes, 8)?,
            size: bytes.len() as u64,
            link: outputs + 1,
            info: section as u32 + 1,
            align: 8,
            entry: size_of::<Rela>() as u64,
            ..Fields::default()
        };
        alloc::push(&mut headers, header(&fields), "section headers")?;
    }
    let name = add_name(&mut names, &[b".shstrtab"])?;
    let offset = append(image, &names, 1)?;
    alloc::push(&mut headers, header(&Fields { name, offset, size: names.len() as u64, ..text }), "section headers")?;
    if headers.len() >= usize::from(elf::SHN_LORESERVE) {
        return Err(too_many_sections());
    }
    let table = append(image, pod::bytes_of_slice(&headers), 8)?;

    let size = |bytes: usize| U16::new(ORDER, bytes as u16);
    let has_indirect = context.symbols.entries.iter().any(|entry| entry.target() == Target::Indirect);
    Ok(FileHeader64 {
        e_ident: Ident {
            magic: elf::ELFMAG,
            class: elf::ELFCLASS64,
            data: elf::ELFDATA2LSB,
            version: elf::EV_CURRENT,
            // The symbol type STT_GNU_IFUNC is an extension of GNU.
            os_abi: if has_indirect { elf::ELFOSABI_GNU } else { elf::ELFOSABI_NONE },
            abi_version: 0,
            padding: [0; 7],
        },
        e_type: U16::new(ORDER, elf::ET_DYN),
        e_machine: U16::new(ORDER, context.machine.number),
        e_version: U32::new(ORDER, u32::from(elf::EV_CURRENT.0)),
        e_entry: U64::new(ORDER, 0),
        e_phoff: U64::new(ORDER, HEADER as u64),
        e_shoff: U64::new(ORDER, table),
        e_flags: U32::new(ORDER, elf::FileFlags(0)),
        e_ehsize: size(HEADER),
        e_phentsize: size(size_of::<ProgramHeader64<LittleEndian>>()),
        e_phnum: size(layout.headers),
        e_shentsize: size(size_of::<Header>()),
        e_shnum: size(headers.len()),
        e_shstrndx: U16::new(ORDER, elf::SymbolSection(headers.len() as u16 - 1)),
    })
}

/// Returns relocations against section symbols, as `ld --emit-relocs` keeps them. Section symbols come first in `.symtab`.
fn debug_relocations(context: &LinkContext<'_>, addresses: &[DebugAddress]) -> Result<Vec<u8>> {
    let mut bytes = alloc::with_capacity(addresses.len() * size_of::<Rela>(), "relocations of debug sections")?;
    for address in addresses {
        let start = item(&context.layout.outputs, address.target, "output section")?.address;
        let stored = Rela {
            r_offset: U64::new(ORDER, address.offset),
            r_info: Rela::r_info(ORDER, false, address.target as u32 + 1, context.machine.word),
            r_addend: I64::new(ORDER, address.address.wrapping_sub(start).cast_signed()),
        };
        bytes.extend_from_slice(pod::bytes_of(&stored));
    }
    Ok(bytes)
}

#[derive(Clone, Copy, Default)]
struct Fields {
    name: u32,
    kind: u32,
    flags: u64,
    address: u64,
    offset: u64,
    size: u64,
    link: u32,
    info: u32,
    align: u64,
    entry: u64,
}

fn header(fields: &Fields) -> Header {
    SectionHeader64 {
        sh_name: U32::new(ORDER, fields.name),
        sh_type: U32::new(ORDER, elf::SectionType(fields.kind)),
        sh_flags: U64::new(ORDER, elf::SectionFlags(fields.flags)),
        sh_addr: U64::new(ORDER, fields.address),
        sh_offset: U64::new(ORDER, fields.offset),
        sh_size: U64::new(ORDER, fields.size),
        sh_link: U32::new(ORDER, fields.link),
        sh_info: U32::new(ORDER, fields.info),
        sh_addralign: U64::new(ORDER, fields.align),
        sh_entsize: U64::new(ORDER, fields.entry),
    }
}

/// Appends bytes at a multiple of `align`, and returns their offset.
fn append(image: &mut Vec<u8>, bytes: &[u8], align: usize) -> Result<u64> {
    let start = image.len().next_multiple_of(align);
    image.try_reserve(start - image.len() + bytes.len()).map_err(|_| Error::no_memory("a linked image"))?;
    image.resize(start, 0);
    image.extend_from_slice(bytes);
    Ok(start as u64)
}

/// A symbol table that is being built.
#[derive(Default)]
struct SymbolTable {
    bytes: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl SymbolTable {
    fn push(&mut self, name: &[&[u8]], entry: &Entry<'_>, local: bool) -> Result<()> {
        let symbol = symbol(entry, add_name(&mut self.strings, name)?, local)?;
        self.bytes.try_reserve(size_of_val(&symbol)).map_err(|_| Error::no_memory(".symtab"))?;
        self.bytes.extend_from_slice(pod::bytes_of(&symbol));
        self.count += 1;
        Ok(())
    }
}

/// Returns about how many bytes `.symtab` and its names take, more rather than less.
fn symbol_table_size(context: &LinkContext<'_>) -> usize {
    context.symbols.entries.iter().map(|entry| size_of::<Sym64<LittleEndian>>() + entry.name.len() + 1).sum()
}

/// Builds `.symtab`: with `sections`, a symbol for each section that has an address, in their order, for relocations; then the
/// named symbols, for debuggers and profilers. Returns its bytes, its strings, and the number of local symbols.
fn symbol_table(context: &LinkContext<'_>, sections: bool) -> Result<(Vec<u8>, Vec<u8>, u32)> {
    let count = 1 + context.layout.outputs.len() + context.symbols.entries.len() + context.needs.plt_entries.len();
    let mut table = SymbolTable {
        bytes: alloc::with_capacity(count * size_of::<Sym64<LittleEndian>>(), ".symtab")?,
        ..SymbolTable::default()
    };
    let mut plt_entry = Entry::new(0, &[], elf::STB_LOCAL);
    table.push(&[], &plt_entry, true)?;
    let loaded =
        context.layout.outputs.iter().enumerate().filter(|(_, output)| sections && output.class != Class::Debug);
    for (index, output) in loaded {
        let mut section = Entry::new(0, &[], elf::STB_LOCAL);
        section.definition = Definition::Section { section: 0, offset: 0 };
        (section.kind, section.output, section.address) = (elf::STT_SECTION, Some(index as u16), output.address);
        table.push(&[], &section, true)?;
    }
    let entries = &context.symbols.entries;
    let shown = |entry: &&Entry<'_>| is_shown(context, entry);
    let local = |entry: &&Entry<'_>| entry.is_local() && entry.is_defined();
    for entry in entries.iter().filter(shown).filter(local) {
        table.push(&[entry.name], entry, true)?;
    }
    // To debuggers, a PLT entry is a function.
    plt_entry.definition = Definition::Section { section: 0, offset: 0 };
    (plt_entry.kind, plt_entry.size) = (elf::STT_FUNC, context.machine.plt_entry.code.len() as u64);
    if let Some((output, _)) = context.layout.synthetic(Synthetic::Plt) {
        (plt_entry.output, plt_entry.address) =
            (Some(output as u16), context.layout.synthetic_address(Synthetic::Plt)?);
    }
    for entry in &context.needs.plt_entries {
        let entry = item(entries, *entry, "symbol")?;
        table.push(&[entry.name, b"$plt"], &plt_entry, true)?;
        plt_entry.address += plt_entry.size;
    }
    let locals = table.count;
    for entry in entries.iter().filter(shown).filter(|entry| !local(entry)) {
        table.push(&[entry.name], entry, false)?;
    }
    Ok((table.bytes, table.strings, locals))
}

/// Returns whether `.symtab` has a symbol: one that is imported, or is in a segment and is not a section symbol.
fn is_shown(context: &LinkContext<'_>, entry: &Entry<'_>) -> bool {
    // Compilers give such names to constants and jump targets.
    let unnamed = entry.name.is_empty() || entry.name.starts_with(b".L");
    if unnamed || entry.kind == elf::STT_SECTION || matches!(entry.definition, Definition::Linker(_)) {
        return false;
    }
    match entry.target() {
        Target::Inside | Target::Indirect => {
            // A local symbol of a discarded section has none.
            let output = entry.output.and_then(|output| context.layout.outputs.get(usize::from(output)));
            output.is_some_and(|output| output.class != Class::Debug)
        }
        Target::Absolute => true,
        _ => entry.imported,
    }
}
