//! Relocations of one image: what they ask for is written into its memory. Names that nobody has defined yet are noted.

use object::LittleEndian as Le;
use object::elf::{self, Rela64, RelocationType};

use super::reserve::Memory;
use super::resolve::{Names, Pending};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::native::image::{Image, Symbols};
use crate::native::machine::{DynamicRelocation, HOST_RELATIVE, host_dynamic_relocation};

#[cold]
fn outside(address: u64) -> Error {
    Error::corrupt(format!("relocation: expected a place in a writable segment, found address {address:#x}"))
}

/// Where relocations are written: memory, or bytes that are going to be mapped.
pub trait Place {
    /// Writes a word; none if the address doesn't lie where relocations may write.
    fn write(&mut self, address: u64, value: u64) -> Option<()>;
}

impl Place for &Memory<'_> {
    #[inline(always)]
    fn write(&mut self, address: u64, value: u64) -> Option<()> {
        Memory::write(self, address, value)
    }
}

/// Applies an image's relocations, mapped at `bias`. Those that wait for a name are added to `pending`.
///
/// # Errors
///
/// CORRUPT, UNSUPPORTED, LIMIT, NO_MEMORY.
pub fn bind<'a>(
    image: &Image<'a>,
    module: usize,
    bias: u64,
    mut place: impl Place,
    names: &mut Names<'a>,
    pending: &mut Vec<Pending>,
) -> Result<()> {
    let symbols = image.symbols();
    let origin = image.tables.origin();
    for table in &image.tables.relocations {
        let mut rest = image.relocations(table);
        loop {
            rest = relatives(rest, origin, bias, &mut place)?;
            let Some((relocation, others)) = rest.split_first() else { break };
            rest = others;
            let (offset, info) = (relocation.r_offset.get(Le), relocation.r_info.get(Le));
            let address = offset.wrapping_add(origin);
            let addend = relocation.r_addend.get(Le) as u64;
            let value = match host_dynamic_relocation(RelocationType(info as u32)) {
                DynamicRelocation::Nothing => continue,
                kind @ (DynamicRelocation::Symbol | DynamicRelocation::SymbolPlusAddend) => {
                    let addend = if kind == DynamicRelocation::Symbol { 0 } else { addend };
                    match symbol(&symbols, (info >> 32) as u32, bias, names)? {
                        Found::Address(found) => found.wrapping_add(addend),
                        Found::Missing(name) => {
                            alloc::push(pending, Pending { module, address, addend, name }, "missing symbols")?;
                            continue;
                        }
                    }
                }
                DynamicRelocation::Unsupported(name) => {
                    let message = format!("expected relocations that can be done when loading, found {name}");
                    return Err(Error::new(Status::Unsupported, message));
                }
                DynamicRelocation::Unknown => {
                    let message = format!("relocation: expected a type that this machine has, found {}", info as u32);
                    return Err(Error::corrupt(message));
                }
            };
            place.write(address, value).ok_or_else(|| outside(address))?;
        }
    }
    Ok(())
}

/// Applies the RELATIVE relocations that a table begins with, and gives the rest. Most are of that kind, and stand together.
#[inline(never)]
fn relatives<'a>(table: &'a [Rela64<Le>], origin: u64, bias: u64, place: &mut impl Place) -> Result<&'a [Rela64<Le>]> {
    let mut rest = table;
    while let Some((relocation, others)) = rest.split_first()
        && relocation.r_info.get(Le) as u32 == HOST_RELATIVE.0
    {
        let address = relocation.r_offset.get(Le).wrapping_add(origin);
        let value = bias.wrapping_add(relocation.r_addend.get(Le) as u64);
        place.write(address, value).ok_or_else(|| outside(address))?;
        rest = others;
    }
    Ok(rest)
}

/// Applies DT_RELR (gABI, Relative Relocation Table): an address, or a bitmap of the 63 words behind the last one.
///
/// # Errors
///
/// CORRUPT.
pub fn relative(image: &Image<'_>, memory: &Memory<'_>) -> Result<()> {
    let bias = memory.bias();
    let mut next = 0u64;
    for word in image.relative() {
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

enum Found {
    Address(u64),
    Missing(usize),
}

#[inline]
fn symbol<'a>(symbols: &Symbols<'a>, index: u32, bias: u64, names: &mut Names<'a>) -> Result<Found> {
    if index == 0 {
        return Ok(Found::Address(0)); // gABI: the null symbol's value
    }
    let symbol = symbols.get(index)?;
    if !symbol.is_plain() {
        let name = symbols.name(&symbol).map_or(String::new(), |name| quote(name.to_bytes()).into_owned());
        let what = if symbol.kind == elf::STT_TLS { "thread-local storage" } else { "STT_GNU_IFUNC (IRELATIVE)" };
        let message = format!("symbol '{name}': expected a function or data, found {what}");
        return Err(Error::new(Status::Unsupported, message));
    }
    if symbol.defined {
        return Ok(Found::Address(if symbol.absolute { symbol.value } else { bias.wrapping_add(symbol.value) }));
    }
    let name = names.find(symbols.name(&symbol)?, symbol.weak)?;
    Ok(names.address(name).map_or(Found::Missing(name), Found::Address))
}
