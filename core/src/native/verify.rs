//! What loading checks about an image, without loading it: verification calls corrupt what loading would, on any host.

use object::LittleEndian as Le;
use object::elf::{self, RelocationType};

use super::image::{Bytes, Image, Symbol, Symbols, Tables, Variable, parse};
use super::machine::{DynamicRelocation, Machine};
use crate::error::{Error, Result, Status};

/// The smallest page size of a host. With larger pages, loading refuses more images as unsupported, and none as corrupt.
const PAGE: u64 = 4096;

/// Verifies an image for x86-64 or aarch64, or does nothing if it is for another machine. Whether a host can load it is another question:
/// it may need what the loader doesn't support.
///
/// # Errors
///
/// CORRUPT or TRUNCATED if loading would fail with that, NO_MEMORY. Offsets count from the image's start.
pub fn verify(bytes: &[u8], machine: u16) -> Result<()> {
    let Some(machine) = Machine::of(machine) else { return Ok(()) };
    only_damage(check(bytes, machine))
}

/// The part of [`verify`] that is about relocations.
///
/// # Errors
///
/// As [`verify`].
pub fn verify_relocations(image: &Image<'_>, machine: &Machine) -> Result<()> {
    only_damage(relocations(image, machine))
}

fn only_damage(result: Result<()>) -> Result<()> {
    let is_damage = |status| [Status::Corrupt, Status::Truncated, Status::NoMemory].contains(&status);
    result.or_else(|error| if is_damage(error.status()) { Err(error) } else { Ok(()) })
}

/// Checks in the order of loading: what comes after something unsupported isn't looked at.
fn check(bytes: &[u8], machine: &Machine) -> Result<()> {
    let tables = parse(bytes, machine.number.0, PAGE)?;
    let image = Image { bytes: Bytes::whole(bytes), tables: &tables };
    image.check_unwind_table()?;
    relocations(&image, machine)
}

fn relocations(image: &Image<'_>, machine: &Machine) -> Result<()> {
    let symbols = image.symbols()?;
    let names_end = symbols.names_end();
    if image.has_versions() {
        image.needed_versions()?.check_names(&symbols, names_end)?;
    }
    relative(image)?;
    for table in &image.tables.relocations {
        for relocation in image.relocations(table)? {
            let (address, info) = (relocation.r_offset.get(Le), relocation.r_info.get(Le));
            let kind = RelocationType(info as u32);
            let index = (info >> 32) as u32;
            if kind != machine.relative {
                match (machine.dynamic_relocation)(kind) {
                    DynamicRelocation::Nothing => continue,
                    DynamicRelocation::Indirect => {
                        let resolver = relocation.r_addend.get(Le) as u64;
                        if !image.tables.in_text && !image.tables.is_code(resolver) {
                            return Err(wrong_resolver(resolver));
                        }
                    }
                    DynamicRelocation::Symbol | DynamicRelocation::SymbolPlusAddend => {
                        symbol(image.tables, &symbols, index, names_end)?;
                    }
                    tls @ (DynamicRelocation::TlsModule
                    | DynamicRelocation::TlsOffset
                    | DynamicRelocation::TlsStaticOffset
                    | DynamicRelocation::TlsDescriptor) => {
                        variable(image, &symbols, index, names_end)?;
                        if tls == DynamicRelocation::TlsDescriptor {
                            written(image.tables, address.wrapping_add(8))?;
                        }
                    }
                    DynamicRelocation::Unsupported(_) => return Err(Error::new(Status::Unsupported, "a relocation")),
                    DynamicRelocation::Unknown => {
                        let found = info as u32;
                        let message = format!("relocation: expected a type that this machine has, found {found}");
                        return Err(Error::corrupt(message));
                    }
                }
            }
            written(image.tables, address.wrapping_add(image.tables.origin()))?;
        }
    }
    Ok(())
}

/// DT_RELR.
fn relative(image: &Image<'_>) -> Result<()> {
    let mut next = 0u64;
    for word in image.relative()? {
        if word & 1 == 0 {
            written(image.tables, word)?;
            next = word.wrapping_add(8);
            continue;
        }
        for bit in (0..63).filter(|bit| word >> 1 >> bit & 1 != 0) {
            written(image.tables, next.wrapping_add(bit * 8))?;
        }
        next = next.wrapping_add(63 * 8);
    }
    Ok(())
}

/// Checks a symbol that relocations refer to. Names that end before `names_end` aren't read: they may overlap.
fn symbol(tables: &Tables, symbols: &Symbols<'_>, index: u32, names_end: usize) -> Result<()> {
    if index == 0 {
        return Ok(());
    }
    let symbol = symbols.get(index)?;
    if symbol.kind == elf::STT_TLS {
        return Err(Error::new(Status::Unsupported, "a symbol"));
    }
    if symbol.is_indirect() && !tables.in_text && !tables.is_code(symbol.value) {
        return Err(wrong_resolver(symbol.value));
    }
    if symbol.defined { Ok(()) } else { name(symbols, index, &symbol, names_end) }
}

/// Checks a thread-local variable that relocations refer to.
fn variable(image: &Image<'_>, symbols: &Symbols<'_>, index: u32, names_end: usize) -> Result<()> {
    match image.variable(symbols, index)? {
        Variable::Own(_) => Ok(()),
        Variable::Undefined(symbol) => name(symbols, index, &symbol, names_end),
    }
}

fn name(symbols: &Symbols<'_>, index: u32, symbol: &Symbol, names_end: usize) -> Result<()> {
    symbols.version(index)?;
    if symbol.name as usize >= names_end {
        symbols.name(symbol)?;
    }
    Ok(())
}

/// CORRUPT: the resolver of an indirect function isn't code of its module.
#[cold]
pub fn wrong_resolver(address: u64) -> Error {
    Error::corrupt(format!("indirect function: expected a resolver in the module's code, found {address:#x}"))
}

/// Checks that relocations may write a word at an address.
fn written(tables: &Tables, address: u64) -> Result<()> {
    if tables.is_relocated(address) {
        return Ok(());
    }
    Err(Error::corrupt(format!("relocation: expected an address in a writable segment, found {address:#x}")))
}
