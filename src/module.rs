//! Modules of an artifact: ELF images with their sections and symbols.

use std::ffi::c_char;

use super::artifact::artifact_t;
use super::boundary::{ffi, give, handle, infallible, text};
use super::error::artifact_error_t;
use super::library::{artifact_slice_t, artifact_status_t};
use super::text::Texts;
use artifact::artifact::Artifact;
use artifact::error::Result;
use artifact::format::module::{Section, Symbol};

/// The byte order of a module.
#[repr(C)]
pub enum artifact_byte_order_t {
    /// Least significant byte first.
    ARTIFACT_LITTLE_ENDIAN = 0,
    /// Most significant byte first.
    ARTIFACT_BIG_ENDIAN = 1,
}

/// A module: an ELF image. Machine and type are numbers of <elf.h>.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_module_t {
    /// The whole image, borrowed: valid until the artifact is freed.
    pub bytes: artifact_slice_t,
    /// The offset of the image in the artifact.
    pub offset: u64,
    /// The alignment of that offset in bytes: the largest alignment of the module's sections, and of its segments up to
    /// 64 KiB. The bytes have the same alignment in memory only if the artifact does: one that is a file by itself
    /// does, up to the page size.
    pub align: u64,
    /// e_machine: the architecture.
    pub machine: u32,
    /// e_type: 1 for a relocatable object, 3 for a shared object.
    pub r#type: u32,
    /// An artifact_byte_order_t.
    pub byte_order: u32,
}

/// A section of a module. Flags and type are numbers of <elf.h>. Name and bytes are borrowed: valid until the artifact
/// is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_section_t {
    /// The section's name.
    pub name: *const c_char,
    /// The section's bytes; empty for SHT_NOBITS.
    pub bytes: artifact_slice_t,
    /// sh_offset: its offset in the module.
    pub offset: u64,
    /// sh_size, in bytes.
    pub size: u64,
    /// sh_addralign, in bytes.
    pub align: u64,
    /// sh_addr.
    pub address: u64,
    /// sh_flags.
    pub flags: u64,
    /// sh_type.
    pub r#type: u32,
}

/// A symbol of a module. Type and binding are numbers of <elf.h>. The name is borrowed: valid until the artifact is
/// freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_symbol_t {
    /// The symbol's name.
    pub name: *const c_char,
    /// st_value: an offset in its section if the module is a relocatable object, otherwise an address.
    pub value: u64,
    /// st_size, in bytes.
    pub size: u64,
    /// st_shndx, with extended numbering resolved: the index of its section, or 0 (SHN_UNDEF) for an undefined symbol,
    /// 65521 (SHN_ABS) for an absolute value, 65522 (SHN_COMMON) for a common block.
    pub section: u32,
    /// The type of st_info, such as STT_FUNC.
    pub r#type: u32,
    /// The binding of st_info, such as STB_GLOBAL.
    pub binding: u32,
}

const NO_SECTION: artifact_section_t = artifact_section_t {
    name: std::ptr::null(),
    bytes: artifact_slice_t::EMPTY,
    offset: 0,
    size: 0,
    align: 0,
    address: 0,
    flags: 0,
    r#type: 0,
};
const NO_SYMBOL: artifact_symbol_t =
    artifact_symbol_t { name: std::ptr::null(), value: 0, size: 0, section: 0, r#type: 0, binding: 0 };

fn section_of(texts: &Texts, (section, bytes): (Section<'_>, &[u8])) -> Result<artifact_section_t> {
    Ok(artifact_section_t {
        name: texts.get(section.name)?,
        bytes: artifact_slice_t::of(bytes),
        offset: section.offset,
        size: section.size,
        align: section.align,
        address: section.address,
        flags: section.flags,
        r#type: section.kind,
    })
}

fn symbol_of(texts: &Texts, symbol: &Symbol<'_>) -> Result<artifact_symbol_t> {
    Ok(artifact_symbol_t {
        name: texts.get(symbol.name)?,
        value: symbol.value,
        size: symbol.size,
        section: symbol.section,
        r#type: symbol.kind.into(),
        binding: symbol.binding.into(),
    })
}

/// Borrows an artifact, and the texts that it has returned to C.
unsafe fn read<'a>(artifact: *const artifact_t) -> Result<(&'a Artifact, &'a Texts)> {
    let artifact: &'a artifact_t = ffi!(handle(artifact, "artifact"))?;
    Ok((&artifact.artifact, &artifact.texts))
}

/// Returns the number of modules in an artifact, at least 1; 0 if artifact is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_module_count(artifact: *const artifact_t) -> usize {
    ffi!(infallible(0, || { handle(artifact, "artifact").map_or(0, |found| found.artifact.module_count()) }))
}

/// Returns the index of the main module, which is the last one; 0 if artifact is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_main_module(artifact: *const artifact_t) -> usize {
    ffi!(infallible(0, || { handle(artifact, "artifact").map_or(0, |found| found.artifact.main_module()) }))
}

/// Reads a module by its index.
///
/// This and the other functions that read modules map the file when one of them is first called. If a trusted key has
/// signed the artifact, they copy the module to private memory instead, and check it.
///
/// @param artifact The artifact.
/// @param index An index below artifact_module_count().
/// @param module Receives the module. Its bytes are valid until the artifact is freed.
/// @return ARTIFACT_OK, a general status, or one of these:
///   - ARTIFACT_NOT_FOUND: index is out of range.
///   - ARTIFACT_IO: the file cannot be mapped or read.
///   - ARTIFACT_DIGEST_MISMATCH: the module is not what was signed, or the module table is damaged.
///   - ARTIFACT_CORRUPT, ARTIFACT_LIMIT: the module's headers or the module table are damaged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_module(
    artifact: *const artifact_t,
    index: usize,
    module: *mut artifact_module_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    let empty =
        artifact_module_t { bytes: artifact_slice_t::EMPTY, offset: 0, align: 0, machine: 0, r#type: 0, byte_order: 0 };
    ffi!(give(module, "module", empty, error, || {
        let (artifact, _) = read(artifact)?;
        let place = artifact.module_range(index)?;
        let extent = artifact.extent(index)?;
        Ok(artifact_module_t {
            bytes: artifact_slice_t::of(artifact.module_bytes(index)?),
            offset: place.offset,
            align: artifact.module_align(index)?,
            machine: extent.machine.into(),
            r#type: extent.kind.into(),
            byte_order: extent.big_endian.into(),
        })
    }))
}

/// Reads the number of sections of a module, including the null section.
///
/// @param artifact The artifact.
/// @param module The module's index.
/// @param count Receives the number.
/// @return As artifact_module().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_section_count(
    artifact: *const artifact_t,
    module: usize,
    count: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(count, "count", 0, error, || {
        let (artifact, _) = read(artifact)?;
        Ok(artifact.module(module)?.section_count())
    }))
}

/// Reads a section by its index in the section header table.
///
/// @param artifact The artifact.
/// @param module The module's index.
/// @param index An index below artifact_section_count(); 0 is the null section.
/// @param section Receives the section. Its name and bytes are valid until the artifact is freed.
/// @return As artifact_module(); ARTIFACT_NOT_FOUND also if index is out of range, ARTIFACT_CORRUPT also if the section
///     reaches beyond its module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_section_at(
    artifact: *const artifact_t,
    module: usize,
    index: usize,
    section: *mut artifact_section_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(section, "section", NO_SECTION, error, || {
        let (artifact, texts) = read(artifact)?;
        section_of(texts, artifact.section(module, index)?)
    }))
}

/// Reads the first section of a name. Each call looks at the sections one after the other; to find many, read all of
/// them once with artifact_section_at().
///
/// @param artifact The artifact.
/// @param module The module's index.
/// @param name The section's name, such as ".text".
/// @param section Receives the section. Its name and bytes are valid until the artifact is freed.
/// @return As artifact_module(); ARTIFACT_NOT_FOUND also if no section has this name, ARTIFACT_CORRUPT also if the
///     section reaches beyond its module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_section(
    artifact: *const artifact_t,
    module: usize,
    name: *const c_char,
    section: *mut artifact_section_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(section, "section", NO_SECTION, error, || {
        let (artifact, texts) = read(artifact)?;
        section_of(texts, artifact.section_named(module, text(name, "name")?.as_bytes())?)
    }))
}

/// Reads the number of symbols in a module's .symtab, or in its .dynsym if it has no .symtab, including the null
/// symbol.
///
/// @param artifact The artifact.
/// @param module The module's index.
/// @param count Receives the number.
/// @return As artifact_module(); ARTIFACT_CORRUPT also if the table or its names reach beyond the module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_symbol_count(
    artifact: *const artifact_t,
    module: usize,
    count: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(count, "count", 0, error, || {
        let (artifact, _) = read(artifact)?;
        Ok(artifact.symbols(module)?.count())
    }))
}

/// Reads a symbol by its index in the symbol table.
///
/// @param artifact The artifact.
/// @param module The module's index.
/// @param index An index below artifact_symbol_count(); 0 is the null symbol.
/// @param symbol Receives the symbol. Its name is valid until the artifact is freed.
/// @return As artifact_symbol_count(); ARTIFACT_NOT_FOUND also if index is out of range.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_symbol_at(
    artifact: *const artifact_t,
    module: usize,
    index: usize,
    symbol: *mut artifact_symbol_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(symbol, "symbol", NO_SYMBOL, error, || {
        let (artifact, texts) = read(artifact)?;
        symbol_of(texts, &artifact.symbol(module, index)?)
    }))
}

/// Reads a symbol by its name. If several symbols have this name, a defined global one precedes a weak one, a local
/// one, and an undefined one; among equals the first in the table is chosen.
///
/// Each call looks at all symbols of the module; to find many, read all of them once with artifact_symbol_at(). In loaded
/// code, artifact_code_symbol() finds exported symbols through the module's hash table.
///
/// @param artifact The artifact.
/// @param module The module's index.
/// @param name The symbol's name.
/// @param symbol Receives the symbol. Its name is valid until the artifact is freed.
/// @return As artifact_symbol_count(); ARTIFACT_NOT_FOUND also if no symbol has this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_symbol(
    artifact: *const artifact_t,
    module: usize,
    name: *const c_char,
    symbol: *mut artifact_symbol_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(symbol, "symbol", NO_SYMBOL, error, || {
        let (artifact, texts) = read(artifact)?;
        let name = text(name, "name")?.as_bytes();
        symbol_of(texts, &artifact.symbol_named(module, name)?)
    }))
}
