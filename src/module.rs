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
#[allow(missing_docs)]
pub enum artifact_byte_order_t {
    ARTIFACT_LITTLE_ENDIAN = 0,
    ARTIFACT_BIG_ENDIAN = 1,
}

/// One module: an ELF image. Numbers are those of <elf.h>.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_module_t {
    /// The whole image. Borrowed: valid until the artifact is freed.
    pub bytes: artifact_slice_t,
    /// Where it begins in the artifact.
    pub offset: u64,
    /// What that offset is a multiple of: the largest alignment of its sections, and of its segments up to 64 KiB. In
    /// memory the bytes are aligned so only where the artifact begins at such an address: a file of its own does, up to
    /// the page size.
    pub align: u64,
    /// e_machine: which architecture.
    pub machine: u32,
    /// e_type: 1 relocatable, 3 shared object.
    pub r#type: u32,
    /// An artifact_byte_order_t.
    pub byte_order: u32,
}

/// One section of a module. Numbers are those of <elf.h>. Borrowed: valid until the artifact is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_section_t {
    /// Its name.
    pub name: *const c_char,
    /// Its bytes; none for SHT_NOBITS.
    pub bytes: artifact_slice_t,
    /// sh_offset: where it begins in the module.
    pub offset: u64,
    /// sh_size, in bytes.
    pub size: u64,
    /// sh_addralign.
    pub align: u64,
    /// sh_addr.
    pub address: u64,
    /// sh_flags.
    pub flags: u64,
    /// sh_type.
    pub r#type: u32,
}

/// One symbol of a module. Numbers are those of <elf.h>. Borrowed: valid until the artifact is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_symbol_t {
    /// Its name.
    pub name: *const c_char,
    /// st_value: in a relocatable module an offset in its section, otherwise an address.
    pub value: u64,
    /// st_size, in bytes.
    pub size: u64,
    /// st_shndx: the index of its section, extended numbering being resolved; 0 (SHN_UNDEF) if it is undefined, 65521
    /// (SHN_ABS) for a number that is no address, 65522 (SHN_COMMON) for a common block.
    pub section: u32,
    /// st_type.
    pub r#type: u32,
    /// st_bind.
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

/// An artifact, and the texts that it has given out.
unsafe fn read<'a>(artifact: *const artifact_t) -> Result<(&'a Artifact, &'a Texts)> {
    let artifact: &'a artifact_t = ffi!(handle(artifact, "artifact"))?;
    Ok((&artifact.artifact, &artifact.texts))
}

/// How many modules it has, at least 1; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_module_count(artifact: *const artifact_t) -> usize {
    ffi!(infallible(0, || { handle(artifact, "artifact").map_or(0, |found| found.artifact.module_count()) }))
}

/// The index of the main module, the last one; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_main_module(artifact: *const artifact_t) -> usize {
    ffi!(infallible(0, || { handle(artifact, "artifact").map_or(0, |found| found.artifact.main_module()) }))
}

/// A module by its index. The file is mapped when this or another function that reads modules is first called:
/// ARTIFACT_IO or ARTIFACT_NO_MEMORY if that fails. Of an artifact that a trusted key has signed the module is read into private
/// memory instead, and checked: ARTIFACT_DIGEST_MISMATCH if it isn't what was signed. ARTIFACT_NOT_FOUND past the last one;
/// ARTIFACT_CORRUPT or ARTIFACT_LIMIT if its headers are damaged.
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
            align: artifact.module(index)?.align()?,
            machine: extent.machine.into(),
            r#type: extent.kind.into(),
            byte_order: extent.big_endian.into(),
        })
    }))
}

/// How many sections a module has, the null section among them.
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

/// A section by its index in the section header table; 0 is the null section. ARTIFACT_NOT_FOUND past the last one,
/// ARTIFACT_CORRUPT if it lies outside its module.
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

/// The first section of that name, such as ".text". ARTIFACT_NOT_FOUND if none has it.
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

/// How many symbols a module has in .symtab, or in .dynsym if it has no other table; the null symbol among them.
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

/// A symbol by its index; 0 is the null symbol. ARTIFACT_NOT_FOUND past the last one.
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

/// The symbol of that name: a defined global one before a weak, a local, and an undefined one; of several alike the first.
/// ARTIFACT_NOT_FOUND if none has it.
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
