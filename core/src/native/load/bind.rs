//! Applies relocations. Those that refer to undefined symbols are noted, and applied once all modules' symbols are resolved.

use std::ops::Range;

use object::LittleEndian as Le;
use object::elf::{self, Rela64, RelocationType};

use super::ifunc::IndirectWords;
use super::map::{MapStrategy, Mapper, ReservedLayout};
use super::reserve::Memory;
use super::resolve::{Import, Names, Pending, Resolver};
use super::tls::{self, HostVariables, Place};
use super::{LoadedModule, defect};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::limits::NameBudget;
use crate::native::image::{Image, Needed, Symbol, Symbols, Tables, Variable};
use crate::native::machine::{DynamicRelocation, HOST_RELATIVE, host_dynamic_relocation};

/// What binding leaves for the steps that follow.
pub struct Bound {
    /// Modules use a `__dso_handle` of their own.
    pub has_handles: bool,
    /// The modules that are mapped as [`MapStrategy::PatchedCopy`], in ascending order.
    pub patched: Vec<PatchedCopy>,
    /// What makes thread-local variables of the host accessible to the modules.
    pub host_variables: HostVariables,
    /// Words that only code of the modules can fill in.
    pub indirect: IndirectWords,
}

/// A copy of an image whose text is relocated before it is mapped.
pub struct PatchedCopy {
    /// The module's position among the loaded ones.
    pub module: usize,
    pub bytes: Vec<u8>,
}

/// Resolves the symbols of all modules and applies their relocations.
///
/// # Errors
///
/// UNRESOLVED with the names of all undefined symbols; CORRUPT, UNSUPPORTED, LIMIT, NO_MEMORY; IO if text can't be mapped later.
pub fn bind<'a>(
    mapper: &'a Mapper<'a>,
    modules: &'a [LoadedModule],
    layout: &ReservedLayout,
    symbols: &[Import<'a>],
    resolver: Option<Resolver<'_>>,
    process_symbols: bool,
    mut indirect: IndirectWords,
) -> Result<Bound> {
    let mut names = Names::new(symbols, process_symbols, NameBudget::for_file(mapper.artifact.len()))?;
    let mut pending: Vec<Pending> = Vec::new();
    let mut patched: Vec<PatchedCopy> = Vec::new();
    for (at, module) in modules.iter().enumerate() {
        let image = module.image(mapper.artifact)?;
        let done = if layout.strategies.get(at) == Some(&MapStrategy::PatchedCopy) {
            let mut bytes = alloc::copy(mapper.artifact.module_bytes(module.index)?, "a copy of a module")?;
            let later = Later { pending: &mut pending, indirect: &mut indirect };
            let done = relocate(&image, at, module, patch(module, &mut bytes), &mut names, later);
            alloc::push(&mut patched, PatchedCopy { module: at, bytes }, "modules")?;
            done
        } else {
            // SAFETY: mapped at this bias, with writable segments, which `Mapper::protect` changes only after binding. Nothing
            // refers to those: `image` reads other bytes of the module.
            let memory = unsafe { Memory::new(&module.tables, module.bias) };
            let later = Later { pending: &mut pending, indirect: &mut indirect };
            relocate_relr(&image, &memory).and_then(|()| relocate(&image, at, module, &memory, &mut names, later))
        };
        done.map_err(|error| mapper.artifact.in_module(module.index, error))?;
    }
    if layout.unprotected.is_some() && names.are_missing() {
        mapper.check_executable()?; // before the resolver is called: text is mapped after it
    }
    names.resolve_missing(resolver)?;
    let mut host_variables = HostVariables::default();
    apply_pending(mapper, modules, layout, &pending, &names, &mut patched, &mut host_variables)?;
    Ok(Bound { has_handles: names.has_handles(), patched, host_variables, indirect })
}

/// Applies the relocations that refer to symbols which were undefined at first.
fn apply_pending(
    mapper: &Mapper<'_>,
    modules: &[LoadedModule],
    layout: &ReservedLayout,
    pending: &[Pending],
    names: &Names<'_>,
    patched: &mut [PatchedCopy],
    host_variables: &mut HostVariables,
) -> Result<()> {
    for pending in pending.chunk_by(|a, b| a.module == b.module) {
        let at = pending.first().ok_or_else(|| defect("no relocations"))?.module;
        let module = modules.get(at).ok_or_else(|| defect("a relocation of no module"))?;
        let done = if layout.strategies.get(at) == Some(&MapStrategy::PatchedCopy) {
            let copy = patched.binary_search_by_key(&at, |copy| copy.module).ok();
            let copy = copy.and_then(|found| patched.get_mut(found)).ok_or_else(|| defect("no patched copy"))?;
            write_addresses(pending, module, names, patch(module, &mut copy.bytes), host_variables)
        } else {
            // SAFETY: as in `bind`, which has mapped modules protected only later, too.
            let memory = unsafe { Memory::new(&module.tables, module.bias) };
            write_addresses(pending, module, names, &memory, host_variables)
        };
        done.map_err(|error| mapper.artifact.in_module(module.index, error))?;
    }
    Ok(())
}

fn write_addresses(
    pending: &[Pending],
    module: &LoadedModule,
    names: &Names<'_>,
    mut sink: impl RelocSink,
    host_variables: &mut HostVariables,
) -> Result<()> {
    for one in pending {
        let address = names.address_in(one.name, module.base())?;
        let words = match one.kind {
            DynamicRelocation::Symbol | DynamicRelocation::SymbolPlusAddend => (address.wrapping_add(one.addend), None),
            kind => host_variables
                .words(kind, address, one.addend)
                .map_err(|error| error.within(format_args!("symbol '{}'", names.text(one.name))))?,
        };
        write_words(&mut sink, one.address, words)?;
    }
    Ok(())
}

fn write_words(sink: &mut impl RelocSink, address: u64, (first, second): tls::Words) -> Result<()> {
    sink.write(address, first).ok_or_else(|| outside(address))?;
    if let Some(second) = second {
        sink.write(address.wrapping_add(8), second).ok_or_else(|| outside(address))?;
    }
    Ok(())
}

/// What [`relocate`] leaves for later.
struct Later<'l> {
    /// Relocations that refer to undefined symbols.
    pending: &'l mut Vec<Pending>,
    indirect: &'l mut IndirectWords,
}

#[cold]
pub fn outside(address: u64) -> Error {
    Error::corrupt(format!("relocation: expected an address in a writable segment, found {address:#x}"))
}

/// Where relocations are written to: mapped memory, or a copy that is going to be mapped.
pub trait RelocSink {
    /// Writes a word at an address of the image. Returns `None` if relocations may not write there.
    fn write(&mut self, address: u64, value: u64) -> Option<()>;
}

impl RelocSink for &Memory<'_> {
    #[inline(always)]
    fn write(&mut self, address: u64, value: u64) -> Option<()> {
        Memory::write(self, address, value)
    }
}

/// The text in a [`PatchedCopy`].
struct PatchedText<'p> {
    bytes: &'p mut [u8],
    text: Range<u64>,
}

impl RelocSink for PatchedText<'_> {
    fn write(&mut self, address: u64, value: u64) -> Option<()> {
        let end = address.checked_add(8).filter(|end| address >= self.text.start && *end <= self.text.end)?;
        // In such a module, addresses are offsets.
        self.bytes.get_mut(address as usize..end as usize)?.copy_from_slice(&value.to_le_bytes());
        Some(())
    }
}

fn patch<'p>(module: &LoadedModule, bytes: &'p mut [u8]) -> PatchedText<'p> {
    let Tables { segments, .. } = &module.tables;
    let text = segments.iter().find(|segment| segment.executable).map_or(0..0, |text| text.address..text.end());
    PatchedText { bytes, text }
}

/// Applies the relocations of a module that is mapped, but those of DT_RELR. Relocations that refer to undefined symbols
/// or to indirect functions are left for later. `at` is the module's position among the loaded ones.
///
/// # Errors
///
/// CORRUPT, UNSUPPORTED, LIMIT, NO_MEMORY.
fn relocate<'a>(
    image: &Image<'a>,
    at: usize,
    module: &LoadedModule,
    mut sink: impl RelocSink,
    names: &mut Names<'a>,
    later: Later<'_>,
) -> Result<()> {
    let symbols = image.symbols()?;
    let needed = (names.looks_in_process() && image.has_versions()).then(|| image.needed_versions()).transpose()?;
    let (origin, bias) = (image.tables.origin(), module.bias);
    let mut found = Vec::new();
    for table in &image.tables.relocations {
        let mut rest = image.relocations(table)?;
        loop {
            rest = relocate_relative(rest, origin, bias, &mut sink)?;
            let Some((relocation, after)) = rest.split_first() else { break };
            rest = after;
            let (offset, info) = (relocation.r_offset.get(Le), relocation.r_info.get(Le));
            let address = offset.wrapping_add(origin);
            let addend = relocation.r_addend.get(Le) as u64;
            let value = match host_dynamic_relocation(RelocationType(info as u32)) {
                DynamicRelocation::Nothing => continue,
                kind @ (DynamicRelocation::Symbol | DynamicRelocation::SymbolPlusAddend) => {
                    let addend = if kind == DynamicRelocation::Symbol { 0 } else { addend };
                    match resolve(&symbols, needed.as_ref(), (info >> 32) as u32, bias, names, &mut found)? {
                        Resolved::Address(found) => found.wrapping_add(addend),
                        Resolved::Undefined(name) => {
                            let one = Pending { module: at, kind, address, addend, name };
                            alloc::push(later.pending, one, "undefined symbols")?;
                            continue;
                        }
                        Resolved::Indirect(resolver) => {
                            later.indirect.add(at, image.tables, address, resolver, addend)?;
                            continue;
                        }
                    }
                }
                kind @ (DynamicRelocation::TlsModule
                | DynamicRelocation::TlsOffset
                | DynamicRelocation::TlsStaticOffset
                | DynamicRelocation::TlsDescriptor) => {
                    let symbol = (info >> 32) as u32;
                    match image.variable(&symbols, symbol)? {
                        Variable::Own(offset) => {
                            let own = module.thread_local.as_ref().ok_or_else(|| defect("no thread-local storage"))?;
                            let words = tls::words(kind, Place::Block { index: own.get(), offset }, addend)?;
                            write_words(&mut sink, address, words)?;
                        }
                        Variable::Undefined(found_symbol) => {
                            let name = undefined(&symbols, needed.as_ref(), symbol, &found_symbol, names, &mut found)?;
                            let one = Pending { module: at, kind, address, addend, name };
                            alloc::push(later.pending, one, "undefined symbols")?;
                        }
                    }
                    continue;
                }
                DynamicRelocation::Indirect => {
                    later.indirect.add(at, image.tables, address, addend, 0)?;
                    continue;
                }
                DynamicRelocation::Unsupported(name) => {
                    let message = format!("relocation: expected a type that can be applied when loading, found {name}");
                    return Err(Error::new(Status::Unsupported, message));
                }
                DynamicRelocation::Unknown => {
                    let message = format!("relocation: expected a type that this machine has, found {}", info as u32);
                    return Err(Error::corrupt(message));
                }
            };
            sink.write(address, value).ok_or_else(|| outside(address))?;
        }
    }
    Ok(())
}

/// Applies the RELATIVE relocations that a table begins with, and returns the rest of the table. Most relocations are RELATIVE, and
/// linkers put them next to each other.
#[inline(never)]
fn relocate_relative<'a>(
    table: &'a [Rela64<Le>],
    origin: u64,
    bias: u64,
    sink: &mut impl RelocSink,
) -> Result<&'a [Rela64<Le>]> {
    let mut rest = table;
    while let Some((relocation, after)) = rest.split_first()
        && relocation.r_info.get(Le) as u32 == HOST_RELATIVE.0
    {
        let address = relocation.r_offset.get(Le).wrapping_add(origin);
        let value = bias.wrapping_add(relocation.r_addend.get(Le) as u64);
        sink.write(address, value).ok_or_else(|| outside(address))?;
        rest = after;
    }
    Ok(rest)
}

/// Applies DT_RELR (gABI, Relative Relocation Table). Each word is an address, or a bitmap of the 63 words that follow the last
/// address or bitmap.
///
/// # Errors
///
/// CORRUPT.
fn relocate_relr(image: &Image<'_>, memory: &Memory<'_>) -> Result<()> {
    let bias = memory.bias();
    let mut next = 0u64;
    for word in image.relative()? {
        if word & 1 == 0 {
            memory.add(word, bias).ok_or_else(|| outside(word))?;
            next = word.wrapping_add(8);
            continue;
        }
        let mut bits = word >> 1;
        while bits != 0 {
            let address = next.wrapping_add(u64::from(bits.trailing_zeros()) * 8);
            memory.add(address, bias).ok_or_else(|| outside(address))?;
            bits &= bits - 1;
        }
        next = next.wrapping_add(63 * 8);
    }
    Ok(())
}

enum Resolved {
    /// The symbol's address.
    Address(u64),
    /// The image's address of the resolver that returns the symbol's address.
    Indirect(u64),
    /// The index of its name, if it isn't defined yet.
    Undefined(usize),
}

/// Resolves a symbol. `needed` are the versions that the image needs, if they count. `found` has the index of the name, plus one, of each undefined symbol of this image that was resolved before:
/// each name is read once, however many relocations refer to it.
#[inline]
fn resolve<'a>(
    symbols: &Symbols<'a>,
    needed: Option<&Needed>,
    index: u32,
    bias: u64,
    names: &mut Names<'a>,
    found: &mut Vec<u32>,
) -> Result<Resolved> {
    if index == 0 {
        return Ok(Resolved::Address(0)); // gABI: the null symbol's value
    }
    let symbol = symbols.get(index)?;
    if symbol.is_indirect() {
        return Ok(Resolved::Indirect(symbol.value));
    }
    if symbol.kind == elf::STT_TLS {
        let name = symbols.name(&symbol).map_or(String::new(), |name| quote(name.to_bytes()).into_owned());
        let message = format!("symbol '{name}': expected a function or data, found thread-local storage");
        return Err(Error::new(Status::Unsupported, message));
    }
    if symbol.defined {
        return Ok(Resolved::Address(if symbol.absolute { symbol.value } else { bias.wrapping_add(symbol.value) }));
    }
    let name = undefined(symbols, needed, index, &symbol, names, found)?;
    Ok(names.address(name).map_or(Resolved::Undefined(name), Resolved::Address))
}

/// Returns the index of an undefined symbol's name. `found` is as for [`resolve`].
#[inline]
fn undefined<'a>(
    symbols: &Symbols<'a>,
    needed: Option<&Needed>,
    index: u32,
    symbol: &Symbol,
    names: &mut Names<'a>,
    found: &mut Vec<u32>,
) -> Result<usize> {
    if let Some(name) = found.get(index as usize).and_then(|name| name.checked_sub(1)) {
        return Ok(name as usize);
    }
    let version = needed.map(|needed| symbols.needed_version(index, needed)).transpose()?.flatten();
    let name = names.find(symbols.name(symbol)?, version, symbol.weak)?;
    if found.is_empty() {
        *found = alloc::zeroed(symbols.count(), "undefined symbols")?;
    }
    if let Some(found) = found.get_mut(index as usize) {
        *found = name as u32 + 1; // `Names` has fewer than 2^32
    }
    Ok(name)
}
