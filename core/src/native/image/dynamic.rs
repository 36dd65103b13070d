//! The dynamic section, which lists an image's tables for the loader.

use std::ops::Range;

use object::LittleEndian as Le;
use object::elf::{self, Dyn64, Rela64, Sym64};

use super::{Bytes, Hash, Tables, not_kept, refused, slice_at, word};
use crate::error::{Error, Result};

impl Tables {
    pub(super) fn read_dynamic(&mut self, bytes: &Bytes<'_>, address: u64, len: u64) -> Result<()> {
        let (_, range) = self.place(address, len, "PT_DYNAMIC")?;
        let entries: &[Dyn64<Le>] =
            slice_at(bytes, range.start as u64, len / 16).ok_or_else(|| not_kept("PT_DYNAMIC"))?;
        let mut found = Dynamic::default();
        for entry in entries {
            let (tag, value) = (entry.d_tag.get(Le), entry.d_val.get(Le));
            match tag {
                elf::DT_NULL => break,
                elf::DT_SYMTAB => found.symbols = Some(value),
                elf::DT_SYMENT => expect("DT_SYMENT", size_of::<Sym64<Le>>(), value)?,
                elf::DT_STRTAB => found.strings.0 = value,
                elf::DT_STRSZ => found.strings.1 = value,
                elf::DT_GNU_HASH => found.gnu_hash = Some(value),
                elf::DT_HASH => found.hash = Some(value),
                elf::DT_RELA => found.rela.0 = value,
                elf::DT_RELASZ => found.rela.1 = value,
                elf::DT_RELAENT => expect("DT_RELAENT", size_of::<Rela64<Le>>(), value)?,
                elf::DT_JMPREL => found.jmprel.0 = value,
                elf::DT_PLTRELSZ => found.jmprel.1 = value,
                elf::DT_PLTREL => expect("DT_PLTREL", 7, value)?,
                elf::DT_RELR => found.relr.0 = value,
                elf::DT_RELRSZ => found.relr.1 = value,
                elf::DT_VERSYM => found.versions = Some(value),
                elf::DT_VERNEED => found.needed.0 = value,
                elf::DT_VERNEEDNUM => found.needed.1 = value,
                elf::DT_RELRENT => expect("DT_RELRENT", 8, value)?,
                elf::DT_INIT => self.init = Some(value),
                elf::DT_FINI => self.fini = Some(value),
                elf::DT_INIT_ARRAY => self.init_array.0 = value,
                elf::DT_INIT_ARRAYSZ => self.init_array.1 = value / 8,
                elf::DT_FINI_ARRAY => self.fini_array.0 = value,
                elf::DT_FINI_ARRAYSZ => self.fini_array.1 = value / 8,
                elf::DT_REL => return Err(refused("relocations without addends (DT_REL)")),
                elf::DT_TEXTREL => return Err(refused("relocations in its text (DT_TEXTREL)")),
                elf::DT_FLAGS if value & elf::DF_TEXTREL.0 != 0 => {
                    return Err(refused("relocations in its text (DF_TEXTREL)"));
                }
                // DT_NEEDED and the like: undefined symbols are looked up in the process, wherever they are.
                _ => {}
            }
        }
        self.set_tables(bytes, &found)
    }

    fn set_tables(&mut self, bytes: &Bytes<'_>, found: &Dynamic) -> Result<()> {
        let table = |(address, len): (u64, u64), entry: u64, what: &str| {
            if len % entry != 0 {
                return Err(Error::corrupt(format!("{what}: expected a multiple of {entry} bytes, found {len}")));
            }
            if len == 0 { Ok(0..0) } else { self.kept(bytes, address, len, what) }
        };
        let relocations = [table(found.rela, 24, "DT_RELA")?, table(found.jmprel, 24, "DT_JMPREL")?];
        let relative = table(found.relr, 8, "DT_RELR")?;
        let strings = table(found.strings, 1, "DT_STRTAB")?;
        for (what, (address, count)) in [("DT_INIT_ARRAY", self.init_array), ("DT_FINI_ARRAY", self.fini_array)] {
            if count > 0 {
                self.place(address, count * 8, what)?;
            }
        }
        for (what, entry) in [("DT_INIT", self.init), ("DT_FINI", self.fini)] {
            if entry.is_some_and(|address| !self.is_code(address)) {
                return Err(Error::corrupt(format!("{what}: expected an address in an executable segment")));
            }
        }
        if let Some(address) = found.symbols {
            // Nothing says how many symbols there are, but they can't reach beyond their segment.
            let symbols = self.kept_rest(bytes, address, "DT_SYMTAB")?;
            self.hash = match (found.gnu_hash, found.hash) {
                (Some(address), _) => Hash::Gnu(self.gnu_hash(bytes, address)?),
                (None, Some(address)) => Hash::Sysv(self.sysv_hash(bytes, address)?),
                (None, None) => Hash::None,
            };
            self.set_symbols(symbols, strings, 0);
            if let Some(address) = found.versions {
                self.versions = self.kept_rest(bytes, address, "DT_VERSYM")?;
            }
            if found.needed.1 > 0 {
                self.needed = self.kept_rest(bytes, found.needed.0, "DT_VERNEED")?;
                self.needed_count = found.needed.1;
            }
        }
        (self.relocations, self.relative) = (relocations, relative);
        Ok(())
    }

    /// The offsets of a table that is read again when relocations are applied.
    fn kept(&self, bytes: &Bytes<'_>, address: u64, len: u64, what: &str) -> Result<Range<usize>> {
        let (_, range) = self.place(address, len, what)?;
        if bytes.keep(&range) { Ok(range) } else { Err(not_kept(what)) }
    }

    /// The offsets from an address to the end of its segment, for a table that doesn't say how long it is.
    fn kept_rest(&self, bytes: &Bytes<'_>, address: u64, what: &str) -> Result<Range<usize>> {
        let (segment, Range { start, .. }) = self.place(address, 0, what)?;
        let rest = start..(segment.offset + segment.file_len) as usize;
        if bytes.keep(&rest) { Ok(rest) } else { Err(not_kept(what)) }
    }

    /// Checks the arrays of a GNU hash table and returns its offset. Chains are checked as they are followed.
    fn gnu_hash(&self, bytes: &Bytes<'_>, address: u64) -> Result<u64> {
        let header = self.kept(bytes, address, 16, "DT_GNU_HASH")?;
        let field = |at| word(bytes, header.start + at).map(u64::from).ok_or_else(|| not_kept("DT_GNU_HASH"));
        let (buckets, bloom) = (field(0)?, field(8)?);
        if buckets == 0 || !bloom.is_power_of_two() {
            return Err(Error::corrupt(format!(
                "DT_GNU_HASH: expected buckets and a power of two of filter words, found {buckets} and {bloom}"
            )));
        }
        self.kept(bytes, address, 16 + bloom * 8 + buckets * 4, "DT_GNU_HASH").map(|table| table.start as u64)
    }

    fn sysv_hash(&self, bytes: &Bytes<'_>, address: u64) -> Result<u64> {
        let header = self.kept(bytes, address, 8, "DT_HASH")?;
        let field = |at| word(bytes, header.start + at).map(u64::from).ok_or_else(|| not_kept("DT_HASH"));
        let (buckets, chains) = (field(0)?, field(4)?);
        if buckets == 0 {
            return Err(Error::corrupt("DT_HASH: expected buckets, found none"));
        }
        self.kept(bytes, address, 8 + (buckets + chains) * 4, "DT_HASH").map(|table| table.start as u64)
    }
}

/// Entries of the dynamic section: addresses, and lengths in bytes.
#[derive(Default)]
struct Dynamic {
    symbols: Option<u64>,
    strings: (u64, u64),
    gnu_hash: Option<u64>,
    hash: Option<u64>,
    rela: (u64, u64),
    jmprel: (u64, u64),
    relr: (u64, u64),
    versions: Option<u64>,
    needed: (u64, u64),
}

fn expect(what: &str, expected: usize, found: u64) -> Result<()> {
    if found == expected as u64 {
        Ok(())
    } else {
        Err(Error::corrupt(format!("{what}: expected {expected}, found {found}")))
    }
}
