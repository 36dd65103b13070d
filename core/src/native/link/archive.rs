//! Archives among the objects: which of their members are linked.
//!
//! All members' symbols are read, as lld and mold do it. The index of an archive saves little time, and may be wrong.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader as _, Sym as _};

use super::input::{ORDER, check_kind};
use super::{Object, Options, item_mut};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::format::archive::{Members, is_archive, is_thin};
use crate::format::foreign;
use crate::format::module::name_at;
use crate::limits::NameBudget;

/// An object that is linked.
pub(super) struct Source<'a> {
    pub name: Cow<'a, str>,
    pub bytes: &'a [u8],
}

/// A member of an archive that may be linked.
struct Candidate<'a> {
    archive: &'a str,
    name: &'a [u8],
    bytes: &'a [u8],
    needed: bool,
}

impl<'a> Candidate<'a> {
    fn source(&self) -> Source<'a> {
        let name = format!("{}({})", self.archive, String::from_utf8_lossy(self.name));
        Source { name: Cow::Owned(name), bytes: self.bytes }
    }
}

/// Returns the objects and, after them, the members of archives that are linked.
///
/// # Errors
///
/// INVALID_ARGUMENT for a thin archive, or if an input is neither an object nor an archive; UNSUPPORTED, TRUNCATED or CORRUPT for a
/// damaged one; LIMIT.
pub(super) fn expand<'a>(objects: &[Object<'a>], options: &Options<'a>) -> Result<Vec<Source<'a>>> {
    let mut sources = alloc::with_capacity(objects.len(), "objects")?;
    let mut candidates = Vec::new();
    for object in objects {
        if !is_archive(object.bytes) {
            sources.push(Source { name: Cow::Borrowed(object.name), bytes: object.bytes });
            continue;
        }
        let within = |error: Error| error.within(quote(object.name.as_bytes()));
        if is_thin(object.bytes) {
            foreign::check(object.bytes, "a relocatable object or an archive").map_err(within)?;
        }
        for member in Members::new(object.bytes) {
            let member = member.map_err(within)?;
            let bytes = member.bytes.unwrap_or_default();
            let candidate =
                Candidate { archive: object.name, name: member.name, bytes, needed: options.whole_archives };
            alloc::push(&mut candidates, candidate, "members of archives")?;
        }
    }
    if !options.whole_archives && !candidates.is_empty() {
        choose(&sources, &mut candidates, options.entries)?;
    }
    for candidate in candidates.iter().filter(|candidate| candidate.needed) {
        alloc::push(&mut sources, candidate.source(), "objects")?;
    }
    Ok(sources)
}

/// Finds out which members are needed.
fn choose<'a>(sources: &[Source<'a>], candidates: &mut [Candidate<'a>], entries: &[&'a str]) -> Result<()> {
    // The first member that defines each symbol.
    let mut offers = HashMap::new();
    for (index, candidate) in candidates.iter().enumerate() {
        let within = |error: Error| error.within(quote(candidate.source().name.as_bytes()));
        match check_kind(candidate.bytes) {
            Ok(_) => {}
            // A damaged object. Members of other kinds, such as text, define nothing.
            Err(error) if [Status::Corrupt, Status::Truncated].contains(&error.status()) => return Err(within(error)),
            Err(_) => continue,
        }
        let offer = |name, is_defined, _| {
            if is_defined {
                offers.try_reserve(1).map_err(|_| Error::no_memory("symbols"))?;
                offers.entry(name).or_insert(index);
            }
            Ok(())
        };
        globals(candidate.bytes, offer).map_err(within)?;
    }
    let mut search = Search { defined: HashSet::new(), wanted: Vec::new() };
    for source in sources {
        let within = |error: Error| error.within(quote(source.name.as_bytes()));
        check_kind(source.bytes).and_then(|_| search.add(source.bytes)).map_err(within)?;
    }
    for entry in entries {
        alloc::push(&mut search.wanted, entry.as_bytes(), "symbols")?;
    }
    let mut next = 0;
    while let Some(&name) = search.wanted.get(next) {
        next += 1;
        if search.defined.contains(name) {
            continue;
        }
        let Some(index) = offers.get(name) else { continue };
        let candidate = item_mut(candidates, *index, "member of an archive")?;
        candidate.needed = true;
        search.add(candidate.bytes)?;
    }
    Ok(())
}

/// The symbols of the objects that are linked so far.
struct Search<'a> {
    defined: HashSet<&'a [u8]>,
    /// Names that are referred to, other than weakly.
    wanted: Vec<&'a [u8]>,
}

impl<'a> Search<'a> {
    fn add(&mut self, object: &'a [u8]) -> Result<()> {
        globals(object, |name, is_defined, is_weak| {
            if is_defined {
                self.defined.try_reserve(1).map_err(|_| Error::no_memory("symbols"))?;
                self.defined.insert(name);
            } else if !is_weak {
                alloc::push(&mut self.wanted, name, "symbols")?;
            }
            Ok(())
        })
    }
}

/// Calls `visit` with the name of each global symbol of an object, whether it is defined, and whether it is weak. A common symbol
/// counts as defined.
fn globals<'a>(bytes: &'a [u8], mut visit: impl FnMut(&'a [u8], bool, bool) -> Result<()>) -> Result<()> {
    let corrupt = |error: object::read::Error| Error::corrupt(format!("symbol table: {error}"));
    let header = FileHeader64::<object::LittleEndian>::parse(bytes).map_err(corrupt)?;
    let table = header.sections(ORDER, bytes).map_err(corrupt)?;
    let symbols = table.symbols(ORDER, bytes, elf::SHT_SYMTAB).map_err(corrupt)?;
    if symbols.is_empty() {
        return Ok(());
    }
    let strings = table.section(symbols.string_section()).map_err(corrupt)?;
    let strings = object::read::elf::SectionHeader::data(strings, ORDER, bytes).map_err(corrupt)?;
    // Names may overlap in their table.
    let mut budget = NameBudget::for_file(bytes.len() as u64);
    for (index, symbol) in symbols.enumerate() {
        if symbol.st_bind() == elf::STB_LOCAL {
            continue;
        }
        let name = name_at(strings, symbol.st_name.get(ORDER), "symbol", index.0)?;
        budget.take(name.len())?;
        visit(name, symbol.st_shndx(ORDER) != elf::SHN_UNDEF, symbol.st_bind() == elf::STB_WEAK)?;
    }
    Ok(())
}
