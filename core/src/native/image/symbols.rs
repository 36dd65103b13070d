//! The symbols and relocations of an image, and how a symbol is found by its name (gABI, "Hash Table"; DT_GNU_HASH).

use std::ffi::CStr;
use std::ops::Range;

use object::LittleEndian as Le;
use object::elf::{self, Rela64, Sym64};

use super::versions::DefaultVersion;
use super::{Hash, Image, Symbol, slice_at, word};
use crate::error::{Error, Result, Status, quote};
use crate::limits::MAX_NAME;

/// A symbol table and its string table.
#[derive(Clone, Copy)]
pub struct Symbols<'a> {
    table: &'a [Sym64<Le>],
    strings: &'a [u8],
    /// DT_VERSYM; empty if symbols have no versions.
    pub(super) versions: &'a [[u8; 2]],
    /// The address that `st_value` counts from.
    origin: u64,
}

impl<'a> Symbols<'a> {
    /// Returns the number of symbols, including the null symbol.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table.len()
    }

    /// Returns a symbol by its index.
    ///
    /// # Errors
    ///
    /// CORRUPT if there is no such symbol.
    pub fn get(&self, index: u32) -> Result<Symbol> {
        let Some(raw) = self.table.get(index as usize) else {
            return Err(Error::corrupt(format!("symbol {index}: expected it within the symbol table")));
        };
        let section = raw.st_shndx.get(Le);
        let (defined, absolute) = (section != elf::SHN_UNDEF, section == elf::SHN_ABS);
        let value = raw.st_value.get(Le).wrapping_add(if defined && !absolute { self.origin } else { 0 });
        Ok(Symbol {
            name: raw.st_name.get(Le),
            value,
            size: raw.st_size.get(Le),
            defined,
            exported: is_exported(raw),
            absolute,
            weak: raw.st_bind() == elf::STB_WEAK,
            kind: raw.st_type(),
        })
    }

    /// Returns a symbol's name.
    ///
    /// # Errors
    ///
    /// CORRUPT if it doesn't end within the string table, LIMIT if it is too long.
    pub fn name(&self, symbol: &Symbol) -> Result<&'a CStr> {
        self.name_at(symbol.name, "symbol name")
    }

    /// As [`Symbols::name`], for a name at an offset. `what` says in errors what it names.
    pub(super) fn name_at(&self, offset: u32, what: &str) -> Result<&'a CStr> {
        let rest = self.strings.get(offset as usize..).unwrap_or(&[]);
        let window = rest.get(..=MAX_NAME).unwrap_or(rest);
        CStr::from_bytes_until_nul(window).map_err(|_| match window.len() < rest.len() {
            true => Error::new(Status::Limit, format!("{what}: expected at most {MAX_NAME} bytes, found more")),
            false => Error::corrupt(format!("{what}: expected it to end within the string table")),
        })
    }

    /// Returns the offset in the string table after which no name ends.
    pub(in crate::native) fn names_end(&self) -> usize {
        self.strings.iter().rposition(|byte| *byte == 0).map_or(0, |last| last + 1)
    }

    fn is_named(&self, symbol: &Symbol, name: &[u8]) -> bool {
        let rest = self.strings.get(symbol.name as usize..).unwrap_or(&[]);
        rest.starts_with(name) && rest.get(name.len()) == Some(&0)
    }
}

/// Only happens if the tables are those of another image.
#[cold]
pub(super) fn wrong_tables() -> Error {
    Error::new(Status::Internal, "image: tables outside the bytes that they were found in")
}

impl<'a> Image<'a> {
    /// Returns one of the relocation tables.
    ///
    /// # Errors
    ///
    /// INTERNAL if `bytes` and `tables` don't belong together.
    pub fn relocations(&self, table: &Range<usize>) -> Result<&'a [Rela64<Le>]> {
        slice_at(&self.bytes, table.start as u64, table.len() as u64 / 24).ok_or_else(wrong_tables)
    }

    /// Returns the words of DT_RELR.
    ///
    /// # Errors
    ///
    /// As [`Image::relocations`].
    pub fn relative(&self) -> Result<impl Iterator<Item = u64> + use<'a>> {
        let (words, _) = self.bytes.get(self.tables.relative.clone()).ok_or_else(wrong_tables)?.as_chunks::<8>();
        Ok(words.iter().map(|word| u64::from_le_bytes(*word)))
    }

    /// Returns the dynamic symbols.
    ///
    /// # Errors
    ///
    /// As [`Image::relocations`].
    pub fn symbols(&self) -> Result<Symbols<'a>> {
        let table = self.tables.symbols.clone();
        Ok(Symbols {
            table: slice_at(&self.bytes, table.start as u64, table.len() as u64 / 24).ok_or_else(wrong_tables)?,
            strings: self.bytes.get(self.tables.strings.clone()).ok_or_else(wrong_tables)?,
            versions: self.bytes.get(self.tables.versions.clone()).ok_or_else(wrong_tables)?.as_chunks().0,
            origin: self.tables.origin,
        })
    }

    /// Returns the defined symbol of that name that `dlsym` finds, if the image exports one: of several versions the default one.
    ///
    /// # Errors
    ///
    /// CORRUPT if the tables that lead to it are damaged.
    pub fn export(&self, name: &[u8]) -> Result<Option<Symbol>> {
        let symbols = self.symbols()?;
        let mut choice = DefaultVersion::default();
        let mut fits = |index: u32| {
            let symbol = symbols.get(index)?;
            let fits = symbol.exported && symbols.is_named(&symbol, name);
            Ok::<_, Error>((fits && choice.offer(symbol, symbols.version(index)?)).then_some(symbol))
        };
        let cut =
            || Error::corrupt(format!("symbol '{}': expected its chain to end within the hash table", quote(name)));
        match self.tables.hash {
            Hash::Gnu(at) => {
                let hash = gnu_hash(name);
                let field = |at: u64| word(&self.bytes, at as usize).ok_or_else(cut);
                let (buckets, first) = (u64::from(field(at)?), u64::from(field(at + 4)?));
                let (bloom, shift) = (u64::from(field(at + 8)?), field(at + 12)?);
                let filter = at + 16 + u64::from(hash / 64) % bloom.max(1) * 8;
                let filter = u64::from(field(filter)?) | u64::from(field(filter + 4)?) << 32;
                let mask = 1u64 << (hash % 64) | 1 << (hash.wrapping_shr(shift) % 64);
                let mut index = field(at + 16 + bloom * 8 + u64::from(hash) % buckets.max(1) * 4)?;
                if filter & mask != mask || index == 0 {
                    return Ok(None);
                }
                loop {
                    let chain = u64::from(index).checked_sub(first).ok_or_else(cut)?;
                    let found = field(at + 16 + bloom * 8 + (buckets + chain) * 4)?;
                    if found | 1 == hash | 1
                        && let Some(symbol) = fits(index)?
                    {
                        return Ok(Some(symbol));
                    }
                    if found & 1 != 0 {
                        return Ok(choice.found());
                    }
                    index = index.checked_add(1).ok_or_else(cut)?;
                }
            }
            Hash::Sysv(at) => {
                let field = |at: u64| word(&self.bytes, at as usize).ok_or_else(cut);
                let (buckets, chains) = (u64::from(field(at)?), u64::from(field(at + 4)?));
                let mut index = field(at + 8 + u64::from(sysv_hash(name)) % buckets.max(1) * 4)?;
                // No chain has more entries than all chains together.
                for _ in 0..chains {
                    if index == 0 {
                        break;
                    }
                    if let Some(symbol) = fits(index)? {
                        return Ok(Some(symbol));
                    }
                    if u64::from(index) >= chains {
                        return Err(cut());
                    }
                    index = field(at + 8 + (buckets + u64::from(index)) * 4)?;
                }
                Ok(choice.found())
            }
            Hash::None => {
                for index in 0..symbols.table.len() as u32 {
                    let symbol = symbols.get(index)?;
                    if symbol.defined && symbols.is_named(&symbol, name) {
                        return Ok(Some(symbol));
                    }
                }
                Ok(None)
            }
        }
    }
}

/// Whether dynamic linkers find a symbol by its name.
fn is_exported(symbol: &Sym64<Le>) -> bool {
    let section = symbol.st_shndx.get(Le);
    // The value of a thread-local variable counts from the start of a block.
    let may_be_zero = section == elf::SHN_ABS || symbol.st_type() == elf::STT_TLS;
    let has_value = section != elf::SHN_UNDEF && (may_be_zero || symbol.st_value.get(Le) != 0);
    has_value
        && [elf::STB_GLOBAL, elf::STB_WEAK, elf::STB_GNU_UNIQUE].contains(&symbol.st_bind())
        && [elf::STV_DEFAULT, elf::STV_PROTECTED].contains(&symbol.st_visibility())
        && [elf::STT_NOTYPE, elf::STT_OBJECT, elf::STT_FUNC, elf::STT_COMMON, elf::STT_TLS, elf::STT_GNU_IFUNC]
            .contains(&symbol.st_type())
}

/// The hash function of `.gnu.hash`.
pub fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381, |hash: u32, byte| hash.wrapping_mul(33).wrapping_add((*byte).into()))
}

fn sysv_hash(name: &[u8]) -> u32 {
    name.iter().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add((*byte).into());
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hash_as_everywhere() {
        assert_eq!(gnu_hash(b""), 0x1505);
        assert_eq!(gnu_hash(b"printf"), 0x156b_2bb8);
        assert_eq!(gnu_hash(b"syscall"), 0xbac2_12a0);
    }
}
