//! The symbols of an ELF image. Field names follow the ELF gABI.

use object::elf::{self, Sym64};
use object::read::elf::Sym as _;
use object::{Endianness, U32};

use super::module::{is_name_at, last_nul, name_at, name_in};
use crate::error::{Error, Result, Status, quote};

/// One symbol of a module.
#[derive(Clone, Copy, Debug)]
pub struct Symbol<'a> {
    /// The symbol's name, as stored.
    pub name: &'a [u8],
    /// `st_value`.
    pub value: u64,
    /// `st_size`.
    pub size: u64,
    /// `st_shndx`, extended numbering resolved.
    pub section: u32,
    /// `st_type`.
    pub kind: u8,
    /// `st_bind`.
    pub binding: u8,
}

impl Symbol<'_> {
    /// Returns whether the symbol is a named address of code or data. Section and file symbols, absolute and undefined symbols, and
    /// the mapping symbols (`$x`, `$d`) of Arm assemblers are not.
    #[must_use]
    pub fn is_address(&self) -> bool {
        let kinds = [elf::STT_NOTYPE.0, elf::STT_OBJECT.0, elf::STT_FUNC.0, elf::STT_GNU_IFUNC.0];
        let defined = self.section != 0 && ![elf::SHN_ABS.0, elf::SHN_COMMON.0].map(u32::from).contains(&self.section);
        defined && kinds.contains(&self.kind) && !self.name.is_empty() && !self.name.starts_with(b"$")
    }
}

/// A module's symbols.
pub struct Symbols<'a> {
    pub(super) table: &'a [Sym64<Endianness>],
    /// The section indexes of symbols with SHN_XINDEX, by symbol.
    pub(super) extended: &'a [U32<Endianness>],
    pub(super) endian: Endianness,
    pub(super) names: &'a [u8],
}

impl<'a> Symbols<'a> {
    /// Returns the number of symbols, including the null symbol.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// Returns the symbol with index `index`.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if the index is out of range, CORRUPT or LIMIT if the symbol's name is invalid or too long.
    pub fn get(&self, index: usize) -> Result<Symbol<'a>> {
        let raw = self.table.get(index).ok_or_else(|| {
            let count = self.count();
            Error::new(Status::NotFound, format!("symbol index: expected one below {count}, found {index}"))
        })?;
        let name = match raw.st_name(self.endian) {
            0 => &[],
            offset => name_at(self.names, offset, "symbol", index)?,
        };
        Ok(self.symbol(index, raw, name))
    }

    fn symbol(&self, index: usize, raw: &Sym64<Endianness>, name: &'a [u8]) -> Symbol<'a> {
        let section = match raw.st_shndx(self.endian) {
            elf::SHN_XINDEX => self.extended.get(index).map_or(0, |section| section.get(self.endian)),
            plain => u32::from(plain.0),
        };
        Symbol {
            name,
            value: raw.st_value(self.endian),
            size: raw.st_size(self.endian),
            section,
            kind: raw.st_type().0,
            binding: raw.st_bind().0,
        }
    }

    /// As [`Module::symbol_at`](super::module::Module::symbol_at).
    pub(super) fn at(&self, address: u64) -> Option<Symbol<'a>> {
        let mut best: Option<((bool, u64), Symbol<'a>)> = None;
        for (index, raw) in self.table.iter().enumerate().skip(1) {
            let (start, size) = (raw.st_value(self.endian), raw.st_size(self.endian));
            let Some(offset) = address.checked_sub(start) else { continue };
            let rank = (offset < size, start);
            if offset >= size && size != 0 || best.as_ref().is_some_and(|(found, _)| *found >= rank) {
                continue;
            }
            let Some(name) = name_in(self.names, raw.st_name(self.endian)) else { continue }; // damaged: names nothing
            let symbol = self.symbol(index, raw, name);
            if symbol.is_address() {
                best = Some((rank, symbol));
            }
        }
        best.map(|(_, symbol)| symbol)
    }

    /// Returns the symbol named `name` that a linker would choose: a global definition over a weak one, a weak definition over a
    /// local one, and any definition over an undefined symbol. Among equals the first wins.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if no symbol has that name, which is always so for the empty name; CORRUPT if a symbol's name is invalid; LIMIT if
    /// the name is too long.
    pub fn named(&self, name: &[u8]) -> Result<Symbol<'a>> {
        let rank = |symbol: &Symbol<'_>| match symbol.binding {
            _ if symbol.section == u32::from(elf::SHN_UNDEF.0) => 3,
            binding if binding == elf::STB_LOCAL.0 => 2,
            binding if binding == elf::STB_WEAK.0 => 1,
            _ => 0,
        };
        let mut best: Option<Symbol<'a>> = None;
        // The empty name finds nothing, although there are symbols without a name, such as section symbols.
        let last = last_nul(self.names);
        for (index, raw) in self.table.iter().enumerate().skip(1).filter(|_| !name.is_empty()) {
            let offset = raw.st_name(self.endian);
            if offset == 0 || is_name_at(self.names, last, offset, name) == Some(false) {
                continue;
            }
            let symbol = self.get(index)?;
            if symbol.name == name && best.as_ref().is_none_or(|best| rank(&symbol) < rank(best)) {
                best = Some(symbol);
            }
        }
        best.ok_or_else(|| Error::new(Status::NotFound, format!("no symbol is named '{}'", quote(name))))
    }
}
