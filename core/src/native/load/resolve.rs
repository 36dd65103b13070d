//! Resolves undefined symbols: in the host's table, by its callback, in the process if the caller wants that, and last among the
//! builtin definitions of what compilers take for granted although no process exports it.

use std::ffi::{CStr, CString, c_void};
use std::hash::{BuildHasher, RandomState};

use super::{builtin, defect, exits, process, tls};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::limits::NameBudget;
use crate::native::machine::DynamicRelocation;

/// A symbol that the host defines, or is asked to define.
#[derive(Clone, Copy, Debug)]
pub struct Import<'n> {
    /// Its name.
    pub name: &'n CStr,
    /// Its address; of a thread-local variable, that of the loading thread's instance. NULL doesn't define the symbol: the next source
    /// is asked.
    pub address: *const c_void,
}

/// Called once with all undefined symbols. Sets the addresses of those that it defines. Loading fails with an error that it returns.
pub type Resolver<'r> = &'r mut dyn FnMut(&mut [Import<'_>]) -> Result<()>;

/// A relocation that refers to an undefined symbol.
pub struct Pending {
    /// The module's position among the loaded ones.
    pub module: usize,
    /// What it stores.
    pub kind: DynamicRelocation,
    /// The address of the image that it is written to.
    pub address: u64,
    pub addend: u64,
    /// Index of the symbol's name.
    pub name: usize,
}

struct Name<'a> {
    text: &'a CStr,
    /// The version that is looked up in the process.
    version: Option<&'a CStr>,
    /// The index of the first name with the same text, if that one has another version.
    first: Option<usize>,
    hash: u64,
    address: u64,
    definition: Definition,
    /// Some module has a reference to it that isn't weak.
    needed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Definition {
    Undefined,
    /// One address for all modules.
    Shared,
    /// `__dso_handle`: each module has its own.
    Handle,
}

/// The names of all symbols that the host defines or modules leave undefined, each once, with their addresses.
pub struct Names<'a> {
    names: Vec<Name<'a>>,
    /// A hash table of indexes of names, plus one. Its length is a power of two, and at most half of it is used.
    slots: Vec<u32>,
    /// How many names the host's table defines. They come first.
    given: usize,
    /// What neither the table nor the callback defines is looked up in the process.
    process: bool,
    seed: Seed,
    /// What the names in the modules may take: they are hashed, and copied if they stay undefined.
    budget: NameBudget,
}

/// The hash's start value, and the odd number that it multiplies by. They are random, so that names can't be chosen to collide.
#[derive(Clone, Copy)]
struct Seed {
    start: u64,
    factor: u64,
}

impl Seed {
    fn new() -> Seed {
        let random = RandomState::new();
        Seed { start: random.hash_one(0), factor: random.hash_one(1) | 1 }
    }
}

impl<'a> Names<'a> {
    /// The host's table, and a limit for the names of undefined symbols. If a name is defined twice in the table, the first one counts.
    pub fn new(table: &[Import<'a>], process: bool, budget: NameBudget) -> Result<Names<'a>> {
        let mut names = Names {
            names: alloc::with_capacity(table.len(), "names")?,
            slots: Vec::new(),
            given: 0,
            process,
            seed: Seed::new(),
            budget: NameBudget::unlimited(),
        };
        if !table.is_empty() {
            names.grow(table.len() * 2)?;
        }
        let is_given = |import: &&Import<'_>| !import.address.is_null() && import.name != tls::GET_ADDRESS;
        for import in table.iter().filter(is_given) {
            let index = names.find(import.name, None, true)?;
            if let Some(name) = names.names.get_mut(index).filter(|name| name.definition == Definition::Undefined) {
                let address = exits::instead_of(name.text, import.address);
                (name.address, name.definition) = (address as u64, Definition::Shared);
            }
        }
        names.given = names.names.len();
        names.budget = budget;
        Ok(names)
    }

    fn grow(&mut self, min: usize) -> Result<()> {
        let size = min.max(16).next_power_of_two();
        self.slots = alloc::zeroed(size, "names")?;
        for (index, name) in self.names.iter().enumerate() {
            insert(&mut self.slots, name.hash, index);
        }
        Ok(())
    }

    /// Returns the index of a name, which is added if it is new. For names that the table defines the version doesn't count.
    pub fn find(&mut self, text: &'a CStr, version: Option<&'a CStr>, weak: bool) -> Result<usize> {
        self.budget.take(text.count_bytes() + version.map_or(0, CStr::count_bytes))?;
        let (mut key, mut first) = (hash(self.seed, text.to_bytes()), None);
        let mut found = self.look_up(key, |name| name.first.is_none() && name.text == text);
        if let Ok(index) = found
            && index >= self.given
            && self.names.get(index).is_some_and(|name| name.version != version)
        {
            // The hash of another version depends on the version: there may be many of one name.
            first = Some(index);
            key = hash(Seed { start: key, ..self.seed }, version.unwrap_or_default().to_bytes());
            found = self.look_up(key, |name| name.first == first && name.version == version);
        }
        let at = match found {
            Ok(index) => {
                if let Some(name) = self.names.get_mut(index) {
                    name.needed |= !weak;
                }
                return Ok(index);
            }
            Err(at) => at,
        };
        let index = self.names.len();
        if index >= u32::MAX as usize {
            return Err(Error::no_memory("names"));
        }
        let definition = Definition::Undefined;
        let name = Name { text, version, first, hash: key, address: 0, definition, needed: !weak };
        alloc::push(&mut self.names, name, "names")?;
        let mask = self.slots.len().wrapping_sub(1);
        match self.slots.get_mut(at) {
            Some(slot) if index * 2 < mask => *slot = index as u32 + 1,
            _ => self.grow(index * 4)?,
        }
        Ok(index)
    }

    /// Returns the index of the name with this hash that is accepted or, if there is none, the slot that it would take.
    fn look_up(&self, hash: u64, accept: impl Fn(&Name<'a>) -> bool) -> std::result::Result<usize, usize> {
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        while let Some(index) = self.slots.get(at).and_then(|index| index.checked_sub(1)) {
            let index = index as usize;
            if self.names.get(index).is_some_and(|name| name.hash == hash && accept(name)) {
                return Ok(index);
            }
            at = (at + 1) & mask;
        }
        Err(at)
    }

    /// The symbol's address, if it is defined and the same in all modules.
    pub fn address(&self, index: usize) -> Option<u64> {
        self.names.get(index).filter(|name| name.definition == Definition::Shared).map(|name| name.address)
    }

    /// A name, for messages.
    pub fn text(&self, index: usize) -> String {
        self.names.get(index).map_or(String::new(), |name| quote(name.text.to_bytes()).into_owned())
    }

    /// The symbol's address in the module that is mapped at `base`. Undefined symbols, all of them weak by now, have address 0.
    pub fn address_in(&self, index: usize, base: u64) -> Result<u64> {
        let name = self.names.get(index).ok_or_else(|| defect("a symbol without a name"))?;
        Ok(if name.definition == Definition::Handle { base } else { name.address })
    }

    /// Whether symbols are looked up in the process, where their versions count.
    pub fn looks_in_process(&self) -> bool {
        self.process
    }

    /// Whether modules use symbols that the host's table doesn't define.
    pub fn are_missing(&self) -> bool {
        self.names.len() > self.given
    }

    /// Whether modules use the builtin `__dso_handle`.
    pub fn has_handles(&self) -> bool {
        self.names.iter().any(|name| name.definition == Definition::Handle)
    }

    /// Resolves symbols that the host's table doesn't define.
    ///
    /// # Errors
    ///
    /// UNRESOLVED with the names of all symbols that are still undefined and not weak.
    pub fn resolve_missing(&mut self, resolver: Option<Resolver<'_>>) -> Result<()> {
        let asked = self.names.get_mut(self.given..).unwrap_or_default();
        if asked.is_empty() {
            return Ok(());
        }
        for name in asked.iter_mut().filter(|name| name.text == tls::GET_ADDRESS) {
            (name.address, name.definition) = (tls::get_address() as u64, Definition::Shared);
        }
        if let Some(resolver) = resolver {
            let import = |name: &Name<'a>| Import { name: name.text, address: std::ptr::null() };
            let is_asked = |name: &Name<'a>| name.first.is_none() && name.definition == Definition::Undefined;
            let undefined = asked.iter().filter(|name| is_asked(name));
            let mut imports = alloc::collect(undefined.map(import), "undefined symbols")?;
            if !imports.is_empty() {
                resolver(&mut imports)?;
            }
            for (name, import) in asked.iter_mut().filter(|name| is_asked(name)).zip(&imports) {
                if !import.address.is_null() {
                    let address = exits::instead_of(name.text, import.address);
                    (name.address, name.definition) = (address as u64, Definition::Shared);
                }
            }
            self.share_with_versions();
        }
        let asked = self.names.get_mut(self.given..).unwrap_or_default();
        for name in asked.iter_mut().filter(|name| name.definition == Definition::Undefined) {
            let text = name.text.to_bytes();
            let process = || process::find(name.text, name.version).or_else(|| builtin::find_in_c_library(text));
            let process = || self.process.then(process).flatten();
            let builtin = || exits::find_missing(text).or_else(|| builtin::find(text));
            if let Some(address) = exits::find(text).or_else(process).or_else(builtin) {
                (name.address, name.definition) = (address as u64, Definition::Shared);
            } else if text == b"__dso_handle" {
                name.definition = Definition::Handle;
            }
        }
        let is_open = |name: &Name<'a>| name.needed && name.definition == Definition::Undefined;
        let is_said = |name: &Name<'a>| name.first.and_then(|first| self.names.get(first)).is_some_and(is_open);
        let undefined = self.names.iter().skip(self.given).filter(|name| is_open(name) && !is_said(name));
        let undefined: Vec<&CStr> = alloc::collect(undefined.map(|name| name.text), "undefined symbols")?;
        if undefined.is_empty() { Ok(()) } else { Err(unresolved(&undefined)) }
    }

    /// Defines the other versions of each name that the callback defines: it knows only names.
    fn share_with_versions(&mut self) {
        for index in self.given..self.names.len() {
            let first = self.names.get(index).and_then(|name| self.names.get(name.first?));
            let Some((address, definition)) = first.map(|first| (first.address, first.definition)) else { continue };
            if let Some(name) = self.names.get_mut(index) {
                (name.address, name.definition) = (address, definition);
            }
        }
    }
}

#[cold]
fn unresolved(undefined: &[&CStr]) -> Error {
    const MAX_SHOWN: usize = 20;
    const MAX_HINTS: usize = 3;
    let shown = undefined.iter().take(MAX_SHOWN).map(|name| format!("'{}'", quote(name.to_bytes())));
    let mut message = format!("undefined symbols: {}", shown.collect::<Vec<_>>().join(", "));
    if undefined.len() > MAX_SHOWN {
        message += &format!(" and {} more", undefined.len() - MAX_SHOWN);
    }
    let mut hints: Vec<&str> = Vec::new();
    for hint in undefined.iter().filter_map(|name| builtin::hint(name.to_bytes())) {
        if hints.len() < MAX_HINTS && !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    if !hints.is_empty() {
        message += &format!(" ({})", hints.join("; "));
    }
    match alloc::try_collect(undefined.iter().map(|name| owned(name)), "undefined symbols") {
        Ok(names) => Error::new(Status::Unresolved, message).missing_names(names),
        Err(error) => error,
    }
}

/// Copies a name. [`CStr::to_owned`] would end the process if there is no memory.
fn owned(name: &CStr) -> Result<CString> {
    // With room for the terminator, which the conversion appends.
    let mut bytes = alloc::with_capacity(name.count_bytes() + 1, "undefined symbols")?;
    bytes.extend_from_slice(name.to_bytes());
    CString::new(bytes).map_err(|_| defect("a NUL in a name"))
}

fn insert(slots: &mut [u32], hash: u64, index: usize) {
    let mask = slots.len().wrapping_sub(1);
    let mut at = hash as usize & mask;
    while let Some(slot) = slots.get_mut(at) {
        if *slot == 0 {
            *slot = index as u32 + 1; // `find` adds fewer than 2^32 names
            return;
        }
        at = (at + 1) & mask;
    }
}

/// Hashes eight bytes at a time, and mixes in both halves of each product: with one half alone, names can be chosen whose
/// differences cancel out for every seed.
fn hash(seed: Seed, text: &[u8]) -> u64 {
    let mut hash = seed.start ^ text.len() as u64;
    let mut mix = |word: u64| {
        let product = u128::from(hash ^ word) * u128::from(seed.factor);
        hash = product as u64 ^ (product >> 64) as u64;
    };
    for word in text.as_chunks::<8>().0 {
        mix(u64::from_le_bytes(*word));
    }
    // The last eight bytes overlap those before, unless the length is a multiple of eight.
    mix(match text.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    });
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When only the low half of each product was used, flipping the highest bit of a word and a bit of the next one cancelled out
    /// for every seed.
    #[test]
    fn names_made_to_collide_do_not() {
        const PAIRS: usize = 10;
        for bit in 0..64 {
            let seed = Seed::new();
            let mut hashes: Vec<u64> = (0..1u32 << PAIRS)
                .map(|number| {
                    let mut name = [b'a'; 16 * PAIRS];
                    let pairs = name.chunks_exact_mut(16).enumerate();
                    for (_, words) in pairs.filter(|(pair, _)| number >> pair & 1 != 0) {
                        words[7] ^= 0x80;
                        words[8 + bit / 8] ^= 1 << (bit % 8);
                    }
                    hash(seed, &name) & 0xffff
                })
                .collect();
            hashes.sort_unstable();
            hashes.dedup();
            assert!(hashes.len() > 900, "bit {bit}: {} of 1024", hashes.len());
        }
    }

    #[test]
    fn names_are_found_again_however_many_there_are() {
        let texts: Vec<std::ffi::CString> =
            (0..1000).map(|n| std::ffi::CString::new(format!("name{n}")).unwrap()).collect();
        let table: Vec<Import<'_>> =
            texts[..100].iter().map(|text| Import { name: text, address: (&raw const *text).cast() }).collect();
        let mut names = Names::new(&table, false, NameBudget::for_file(0)).unwrap();
        for _ in 0..2 {
            for (index, text) in texts.iter().enumerate() {
                assert_eq!(names.find(text, None, false).unwrap(), index);
            }
        }
        assert!(names.are_missing());
    }

    /// They take linear time: comparing each with all others would take minutes.
    #[test]
    fn a_name_may_have_many_versions() {
        let versions: Vec<CString> = (0..200_000).map(|n| CString::new(format!("V{n}")).unwrap()).collect();
        let mut names = Names::new(&[], true, NameBudget::unlimited()).unwrap();
        let start = std::time::Instant::now();
        for _ in 0..2 {
            for (index, version) in versions.iter().enumerate() {
                assert_eq!(names.find(c"name", Some(version), false).unwrap(), index);
            }
        }
        assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
    }

    #[test]
    fn versions_of_a_name_are_one_for_the_host() {
        let table = [Import { name: c"given", address: std::ptr::without_provenance(7) }];
        let mut names = Names::new(&table, true, NameBudget::for_file(0)).unwrap();
        let find = |names: &mut Names<'static>, name, version| names.find(name, version, false).unwrap();
        assert_eq!(find(&mut names, c"given", Some(c"V1")), 0, "the table has names only");
        let versions = [None, Some(c"V1"), Some(c"V2"), Some(c"V1")];
        assert_eq!(versions.map(|version| find(&mut names, c"asked", version)), [1, 2, 3, 2]);
        assert_eq!(find(&mut names, c"no such symbol", Some(c"V1")), 4);
        assert_eq!(find(&mut names, c"no such symbol", Some(c"V2")), 5);
        let mut asked = Vec::new();
        let mut answer = |missing: &mut [Import<'_>]| {
            asked.extend(missing.iter().map(|import| import.name.to_owned()));
            missing[0].address = std::ptr::without_provenance(9);
            Ok(())
        };
        let error = names.resolve_missing(Some(&mut answer)).unwrap_err();
        assert_eq!(asked, [c"asked", c"no such symbol"], "each name once");
        assert_eq!(error.message().matches("no such symbol").count(), 1, "{}", error.message());
        assert_eq!([0, 1, 2, 3].map(|index| names.address(index)), [Some(7), Some(9), Some(9), Some(9)]);
    }
}
