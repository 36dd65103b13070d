//! Symbol versions (Linux Standard Base, Symbol Versioning) of what an image imports: `.symver name_of_old, name@VERSION` in an object
//! makes an undefined symbol `name@VERSION`. `.gnu.version` has the number of the version for each dynamic symbol, `.gnu.version_r`
//! the library that each version is of. An object names no library; a system's linker finds it by reading the libraries, this one by
//! the version's name.

use std::collections::HashMap;

use object::LittleEndian;
use object::elf::{self, Vernaux, Verneed, VersionFlags, VersionIndex};
use object::endian::{U16, U32};
use object::pod;

use super::dynamic::add_name;
use super::input::ORDER;
use super::symbols::{Entry, Symbols};
use super::{defect, item, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status};

/// How the names of versions begin, and whose they are.
const LIBRARIES: [(&[u8], &[u8]); 4] = [
    (b"GLIBC_", b"libc.so.6"),
    (b"GLIBCXX_", b"libstdc++.so.6"),
    (b"CXXABI_", b"libstdc++.so.6"),
    (b"GCC_", b"libgcc_s.so.1"),
];

/// What a symbol without a version has in `.gnu.version`.
const NO_VERSION: u16 = elf::VER_NDX_GLOBAL.0;

/// The largest number of a version: the bit above it means that a definition is hidden.
const MAX_VERSION: usize = 0x7fff;

/// Splits the name of a global symbol into the symbol's own name and that of its version.
pub(super) fn split(name: &[u8]) -> (&[u8], Option<&[u8]>) {
    match name.iter().position(|byte| *byte == b'@').and_then(|at| name.split_at_checked(at)) {
        Some((name, [_, version @ ..])) => (name, Some(version)),
        _ => (name, None),
    }
}

/// Returns why a global symbol cannot be linked, if it has a version.
pub(super) fn refusal(name: &[u8], is_defined: bool) -> Option<&'static str> {
    let (own, version) = split(name);
    match version {
        None => None,
        Some(_) if is_defined => Some(
            "has a version and is defined, for which linkers need a version script, which this one does not read; remove .symver, or \
             link a shared object with a system's linker",
        ),
        Some(version) if !own.is_empty() && library_of(version).is_some() => None,
        Some(_) => Some(
            "has a version, of a library that is not known: only GLIBC_, GLIBCXX_, CXXABI_ and GCC_ are; remove .symver, or link a \
             shared object with a system's linker, which reads the libraries",
        ),
    }
}

/// Returns the name of the library that a version is of.
fn library_of(version: &[u8]) -> Option<&'static [u8]> {
    LIBRARIES.iter().find(|(start, _)| version.starts_with(start)).map(|(_, library)| *library)
}

/// A version that the image needs.
struct Version<'a> {
    name: &'a [u8],
    /// Whether only weak symbols need it.
    weak: bool,
}

/// The versions of an image; nothing if it needs none.
#[derive(Default)]
pub(super) struct Versions {
    /// The bytes of `.gnu.version`.
    pub of_symbols: Vec<u8>,
    /// The bytes of `.gnu.version_r`.
    pub needed: Vec<u8>,
    /// The names of the libraries, as offsets in `.dynstr`.
    pub libraries: Vec<u32>,
}

impl Versions {
    /// Numbers the versions of the dynamic symbols `order`, and adds their names and those of their libraries to `.dynstr`.
    pub fn new(order: &[usize], symbols: &Symbols<'_>, strings: &mut Vec<u8>) -> Result<Versions> {
        let mut found: Vec<Version<'_>> = Vec::new();
        let mut known: HashMap<&[u8], usize> = HashMap::new();
        // Of the null symbol, and of each symbol its version by index in `found`.
        let mut of_symbols = alloc::with_capacity(order.len(), ".gnu.version")?;
        for entry in order {
            let entry: &Entry<'_> = item(&symbols.entries, *entry, "symbol")?;
            let version = split(entry.name).1.filter(|_| !entry.is_defined());
            of_symbols.push(match version {
                None => None,
                Some(name) => {
                    known.try_reserve(1).map_err(|_| Error::no_memory("versions"))?;
                    let index = *known.entry(name).or_insert(found.len());
                    if index == found.len() {
                        alloc::push(&mut found, Version { name, weak: true }, "versions")?;
                    }
                    item_mut(&mut found, index, "version")?.weak &= entry.binding == elf::STB_WEAK;
                    Some(index)
                }
            });
        }
        if found.is_empty() {
            return Ok(Versions::default());
        }
        // Numbers begin after that of symbols without a version.
        let number = |index: usize| NO_VERSION + 1 + index as u16;
        if usize::from(NO_VERSION) + found.len() > MAX_VERSION {
            let message =
                format!("versions of symbols: expected fewer than {MAX_VERSION} different ones, found {}", found.len());
            return Err(Error::new(Status::Limit, message));
        }
        let mut versions = Versions { of_symbols: vec![0; 2], ..Versions::default() };
        for version in of_symbols {
            let number = version.map_or(NO_VERSION, number);
            alloc::extend(&mut versions.of_symbols, &number.to_le_bytes(), ".gnu.version")?;
        }
        let mut libraries: Vec<&[u8]> = Vec::new();
        for version in &found {
            let library = library_of(version.name).ok_or_else(|| defect("a version is of no library"))?;
            if !libraries.contains(&library) {
                libraries.push(library);
            }
        }
        for (position, library) in libraries.iter().enumerate() {
            let is_last = position + 1 == libraries.len();
            versions.add_library(library, &found, number, is_last, strings)?;
        }
        Ok(versions)
    }

    fn add_library(
        &mut self,
        library: &[u8],
        found: &[Version<'_>],
        number: impl Fn(usize) -> u16,
        is_last: bool,
        strings: &mut Vec<u8>,
    ) -> Result<()> {
        const FILE: usize = size_of::<Verneed<LittleEndian>>();
        const VERSION: usize = size_of::<Vernaux<LittleEndian>>();
        let own = || found.iter().enumerate().filter(|(_, version)| library_of(version.name) == Some(library));
        let count = own().count();
        let name = add_name(strings, &[library])?;
        alloc::push(&mut self.libraries, name, "libraries")?;
        let file = Verneed {
            vn_version: U16::new(ORDER, elf::VER_NEED_CURRENT),
            vn_cnt: U16::new(ORDER, count as u16),
            vn_file: U32::new(ORDER, name),
            vn_aux: U32::new(ORDER, FILE as u32),
            vn_next: U32::new(ORDER, if is_last { 0 } else { (FILE + VERSION * count) as u32 }),
        };
        alloc::extend(&mut self.needed, pod::bytes_of(&file), ".gnu.version_r")?;
        for (position, (index, version)) in own().enumerate() {
            let stored = Vernaux {
                vna_hash: U32::new(ORDER, elf::hash(version.name)),
                vna_flags: U16::new(ORDER, if version.weak { elf::VER_FLG_WEAK } else { VersionFlags(0) }),
                vna_other: U16::new(ORDER, VersionIndex(number(index))),
                vna_name: U32::new(ORDER, add_name(strings, &[version.name])?),
                vna_next: U32::new(ORDER, if position + 1 == count { 0 } else { VERSION as u32 }),
            };
            alloc::extend(&mut self.needed, pod::bytes_of(&stored), ".gnu.version_r")?;
        }
        Ok(())
    }
}
