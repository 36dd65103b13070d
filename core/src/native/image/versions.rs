//! Symbol versions (Linux Standard Base, Symbol Versioning): `.gnu.version` has an index for each dynamic symbol, `.gnu.version_r` names
//! the versions that an image needs of others. The names of those that it defines aren't read: the index tells what `dlsym` finds.

use std::ffi::CStr;

use object::LittleEndian as Le;
use object::elf::{self, Vernaux, Verneed};

use super::symbols::wrong_tables;
use super::{Bytes, Image, Symbol, Symbols, slice_at};
use crate::alloc;
use crate::error::{Error, Result};

/// A version's index in `.gnu.version`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u16);

impl Version {
    /// What a symbol of an image without versions has: it is global, without a version.
    pub const NONE: Version = Version(1);

    fn index(self) -> u16 {
        self.0 & 0x7fff
    }

    /// Whether the symbol belongs to a version. Index 0 is for local symbols, 1 for global ones.
    fn is_named(self) -> bool {
        self.index() > 1
    }

    /// Whether only who names the version gets the symbol: `name@VERSION`, not `name@@VERSION`.
    fn is_hidden(self) -> bool {
        self.0 & 0x8000 != 0
    }
}

impl<'a> Symbols<'a> {
    /// The version of a symbol.
    ///
    /// # Errors
    ///
    /// CORRUPT if the image has versions, but none for this symbol.
    pub fn version(&self, index: u32) -> Result<Version> {
        if self.versions.is_empty() {
            return Ok(Version::NONE);
        }
        let found = self.versions.get(index as usize).map(|version| Version(u16::from_le_bytes(*version)));
        found.ok_or_else(|| Error::corrupt(format!("DT_VERSYM: expected a version for symbol {index}, found none")))
    }

    /// The name of a version that the image needs, or `None` for a symbol without a version.
    ///
    /// # Errors
    ///
    /// CORRUPT if there is no such version, or its name doesn't end within the string table; LIMIT if that is too long.
    pub fn needed_version(&self, index: u32, needed: &Needed) -> Result<Option<&'a CStr>> {
        let version = self.version(index)?;
        if !version.is_named() {
            return Ok(None);
        }
        let at = needed.0.binary_search_by_key(&version.index(), |(index, _)| *index).ok();
        // An image may refer to a version that it defines itself: then the name alone counts.
        let Some((_, name)) = at.and_then(|at| needed.0.get(at)) else { return Ok(None) };
        self.name_at(*name, "version name").map(Some)
    }
}

/// Chooses among definitions of one name as `dlsym` does: one without a version, or else the only one that isn't hidden.
#[derive(Default)]
pub struct DefaultVersion {
    versioned: Option<Symbol>,
    is_ambiguous: bool,
}

impl DefaultVersion {
    /// Takes a definition into account. Returns whether it is the one, whatever follows.
    pub fn offer(&mut self, symbol: Symbol, version: Version) -> bool {
        if version.is_named() && !version.is_hidden() {
            self.is_ambiguous |= self.versioned.is_some();
            self.versioned = self.versioned.or(Some(symbol));
        }
        !version.is_named()
    }

    /// What is found if no definition was the one.
    pub fn found(self) -> Option<Symbol> {
        self.versioned.filter(|_| !self.is_ambiguous)
    }
}

/// The versions that an image needs of others, sorted by their indexes, with the offsets of their names in the string table.
#[derive(Debug)]
pub struct Needed(Vec<(u16, u32)>);

impl Needed {
    /// Checks the names of all versions. Those that end before `names_end` aren't read: they may overlap.
    ///
    /// # Errors
    ///
    /// As [`Symbols::needed_version`].
    pub fn check_names(&self, symbols: &Symbols<'_>, names_end: usize) -> Result<()> {
        for (_, name) in self.0.iter().filter(|(_, name)| *name as usize >= names_end) {
            symbols.name_at(*name, "version name")?;
        }
        Ok(())
    }
}

fn cut() -> Error {
    Error::corrupt("DT_VERNEED: expected its entries within their segment")
}

fn at<'a, T: object::pod::Pod>(bytes: &Bytes<'a>, offset: usize) -> Result<&'a T> {
    slice_at(bytes, offset as u64, 1).and_then(<[T]>::first).ok_or_else(cut)
}

impl Image<'_> {
    /// Whether symbols have versions.
    #[must_use]
    pub fn has_versions(&self) -> bool {
        !self.tables.versions.is_empty()
    }

    /// Reads DT_VERNEED.
    ///
    /// # Errors
    ///
    /// CORRUPT, NO_MEMORY.
    pub fn needed_versions(&self) -> Result<Needed> {
        let bytes = Bytes::whole(self.bytes.get(self.tables.needed.clone()).ok_or_else(wrong_tables)?);
        // Entries may overlap, but there are no more of them than fit next to each other.
        let mut room = self.tables.needed.len() / size_of::<Verneed<Le>>();
        let mut found = Vec::new();
        let mut offset = 0usize;
        for _ in 0..self.tables.needed_count {
            let file: &Verneed<Le> = at(&bytes, offset)?;
            if file.vn_version.get(Le) != elf::VER_NEED_CURRENT {
                let message = format!("DT_VERNEED: expected version 1, found {}", file.vn_version.get(Le));
                return Err(Error::corrupt(message));
            }
            let mut version_offset = offset.checked_add(file.vn_aux.get(Le) as usize).ok_or_else(cut)?;
            for _ in 0..file.vn_cnt.get(Le) {
                room = room.checked_sub(1).ok_or_else(cut)?;
                let version: &Vernaux<Le> = at(&bytes, version_offset)?;
                let index = version.vna_other.get(Le).0 & 0x7fff;
                alloc::push(&mut found, (index, version.vna_name.get(Le)), "versions")?;
                let next = version.vna_next.get(Le) as usize;
                if next == 0 {
                    break;
                }
                version_offset = version_offset.checked_add(next).ok_or_else(cut)?;
            }
            room = room.checked_sub(1).ok_or_else(cut)?;
            let next = file.vn_next.get(Le) as usize;
            if next == 0 {
                break;
            }
            offset = offset.checked_add(next).ok_or_else(cut)?;
        }
        alloc::sort(&mut found, "versions", |(index, _)| *index)?;
        Ok(Needed(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(versions: &[u16]) -> Option<u64> {
        let mut choice = DefaultVersion::default();
        for (value, version) in versions.iter().enumerate() {
            let kind = elf::STT_FUNC;
            let symbol = Symbol {
                name: 0,
                value: value as u64,
                size: 0,
                defined: true,
                exported: true,
                absolute: false,
                weak: false,
                kind,
            };
            if choice.offer(symbol, Version(*version)) {
                return Some(symbol.value);
            }
        }
        choice.found().map(|symbol| symbol.value)
    }

    /// As glibc's `dlsym` chooses.
    #[test]
    fn the_default_version_is_chosen() {
        assert_eq!(chosen(&[0x8002, 0x8003, 4]), Some(2), "hidden ones are passed over");
        assert_eq!(chosen(&[4, 0x8002]), Some(0));
        assert_eq!(chosen(&[0x8002]), None, "there are only hidden ones");
        assert_eq!(chosen(&[0x8002, 3, 1]), Some(2), "one without a version comes first");
        assert_eq!(chosen(&[0x8001]), Some(0), "a hidden one without a version is found");
        assert_eq!(chosen(&[2, 3]), None, "two defaults are ambiguous");
        assert_eq!(chosen(&[2, 3, 4]), None, "and so are three");
        assert_eq!(chosen(&[]), None);
    }
}
