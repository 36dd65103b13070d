//! Names that modules leave undefined, and who defines them: the host's table, its callback, the process if it was asked for,
//! and last what compilers take for granted although no process exports it.

use std::ffi::{CStr, c_void};
use std::hash::{BuildHasher, RandomState};

use super::builtin;
use crate::alloc;
use crate::error::{Error, Result, Status, quote};

/// A symbol that the host defines, or is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Import<'n> {
    /// Its name.
    pub name: &'n CStr,
    /// Its address; NULL if it has none.
    pub address: *const c_void,
}

/// Asked for all names that are missing, at once.
pub type Resolver<'r> = &'r mut dyn FnMut(&mut [Import<'_>]);

/// A place that waits for a name.
pub struct Pending {
    pub module: usize,
    pub address: u64,
    pub addend: u64,
    /// Index of the name.
    pub name: usize,
}

struct Name<'a> {
    text: &'a CStr,
    hash: u64,
    address: u64,
    found: Origin,
    /// Some module can't do without.
    needed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Nobody,
    Given,
    /// Each module has its own.
    Handle,
}

/// Every name once, with its address as soon as somebody has defined it.
pub struct Names<'a> {
    names: Vec<Name<'a>>,
    /// Indexes of names plus one, by hash; a power of two, at most half full.
    slots: Vec<u32>,
    given: usize,
    seed: Seed,
}

/// Where hashing begins and what it multiplies by, an odd number: nobody who doesn't know them can make names collide.
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
    /// What the host defines; of several alike the first counts.
    pub fn new(table: &[Import<'a>]) -> Result<Names<'a>> {
        let mut names = Names {
            names: alloc::with_capacity(table.len(), "names")?,
            slots: Vec::new(),
            given: 0,
            seed: Seed::new(),
        };
        if !table.is_empty() {
            names.grow(table.len() * 2)?;
        }
        for import in table {
            let index = names.find(import.name, true)?;
            if let Some(name) = names.names.get_mut(index).filter(|name| name.found == Origin::Nobody) {
                (name.address, name.found) = (import.address as u64, Origin::Given);
            }
        }
        names.given = names.names.len();
        Ok(names)
    }

    fn grow(&mut self, least: usize) -> Result<()> {
        let size = least.max(16).next_power_of_two();
        self.slots = alloc::zeroed(size, "names")?;
        for (index, name) in self.names.iter().enumerate() {
            insert(&mut self.slots, name.hash, index);
        }
        Ok(())
    }

    /// A name's index; it is added if it is new.
    pub fn find(&mut self, text: &'a CStr, weak: bool) -> Result<usize> {
        let hash = hash(self.seed, text.to_bytes());
        let mask = self.slots.len().wrapping_sub(1);
        let mut at = hash as usize & mask;
        while let Some(index) = self.slots.get(at).and_then(|index| index.checked_sub(1)) {
            let index = index as usize;
            if let Some(name) = self.names.get_mut(index).filter(|name| name.hash == hash && name.text == text) {
                name.needed |= !weak;
                return Ok(index);
            }
            at = (at + 1) & mask;
        }
        let index = self.names.len();
        if index >= u32::MAX as usize {
            return Err(Error::no_memory("names"));
        }
        alloc::push(&mut self.names, Name { text, hash, address: 0, found: Origin::Nobody, needed: !weak }, "names")?;
        match self.slots.get_mut(at) {
            Some(slot) if index * 2 < mask => *slot = index as u32 + 1,
            _ => self.grow(index * 4)?,
        }
        Ok(index)
    }

    /// The address of a name, if somebody has defined it for all modules.
    pub fn address(&self, index: usize) -> Option<u64> {
        self.names.get(index).filter(|name| name.found == Origin::Given).map(|name| name.address)
    }

    /// What a name means in the module that is mapped at `base`; 0 if nobody has defined it, and nobody needs it.
    pub fn meaning(&self, index: usize, base: u64) -> u64 {
        match self.names.get(index) {
            Some(name) if name.found == Origin::Handle => base,
            Some(name) => name.address,
            None => 0,
        }
    }

    /// Whether modules use names that the host's table doesn't have.
    pub fn are_missing(&self) -> bool {
        self.names.len() > self.given
    }

    /// Whether modules use `__dso_handle` as we define it.
    pub fn has_handles(&self) -> bool {
        self.names.iter().any(|name| name.found == Origin::Handle)
    }

    /// Asks everybody else for what is missing.
    ///
    /// # Errors
    ///
    /// UNRESOLVED with every name that some module needs and nobody has defined.
    pub fn settle(&mut self, resolver: Option<Resolver<'_>>, process: bool) -> Result<()> {
        let asked = self.names.get_mut(self.given..).unwrap_or_default();
        if asked.is_empty() {
            return Ok(());
        }
        if let Some(resolver) = resolver {
            let import = |name: &Name<'a>| Import { name: name.text, address: std::ptr::null() };
            let mut imports = alloc::collect(asked.iter().map(import), "missing symbols")?;
            resolver(&mut imports);
            for (name, import) in asked.iter_mut().zip(&imports) {
                if !import.address.is_null() {
                    (name.address, name.found) = (import.address as u64, Origin::Given);
                }
            }
        }
        for name in asked.iter_mut().filter(|name| name.found == Origin::Nobody) {
            if process && let Some(address) = in_process(name.text) {
                (name.address, name.found) = (address as u64, Origin::Given);
            } else if name.text == c"__dso_handle" {
                name.found = Origin::Handle;
            } else if let Some(address) = builtin::find(name.text.to_bytes()) {
                (name.address, name.found) = (address as u64, Origin::Given);
            }
        }
        let missing = asked.iter().filter(|name| name.needed && name.found == Origin::Nobody);
        let missing: Vec<&CStr> = alloc::collect(missing.map(|name| name.text), "missing symbols")?;
        if missing.is_empty() { Ok(()) } else { Err(unresolved(&missing)) }
    }
}

#[cold]
fn unresolved(missing: &[&CStr]) -> Error {
    const SHOWN: usize = 20;
    let shown: Vec<String> = missing.iter().take(SHOWN).map(|name| format!("'{}'", quote(name.to_bytes()))).collect();
    let rest = if missing.len() > SHOWN { format!(" and {} more", missing.len() - SHOWN) } else { String::new() };
    let hints: Vec<&str> = missing.iter().filter_map(|name| builtin::hint(name.to_bytes())).take(3).collect();
    let hints = if hints.is_empty() { String::new() } else { format!(" ({})", hints.join("; ")) };
    let message =
        format!("expected definitions of {} symbols, found none of {}{rest}{hints}", missing.len(), shown.join(", "));
    let names = missing.iter().map(|name| (*name).to_owned()).collect();
    Error::new(Status::Unresolved, message).missing_names(names)
}

fn in_process(name: &CStr) -> Option<*const c_void> {
    // SAFETY: a NUL-terminated name.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found.cast_const())
}

fn insert(slots: &mut [u32], hash: u64, index: usize) {
    let mask = slots.len().wrapping_sub(1);
    let mut at = hash as usize & mask;
    while let Some(slot) = slots.get_mut(at) {
        if *slot == 0 {
            *slot = index as u32 + 1; // fewer than 2^32, as `find` sees to
            return;
        }
        at = (at + 1) & mask;
    }
}

/// Eight bytes at a time, each time both halves of a product: of one half alone, differences that cancel out are known.
fn hash(seed: Seed, text: &[u8]) -> u64 {
    let mut hash = seed.start ^ text.len() as u64;
    let mut mix = |word: u64| {
        let product = u128::from(hash ^ word) * u128::from(seed.factor);
        hash = product as u64 ^ (product >> 64) as u64;
    };
    for word in text.as_chunks::<8>().0 {
        mix(u64::from_le_bytes(*word));
    }
    // The last eight take some of the ones before along.
    mix(match text.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last),
        None => text.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    });
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flipping the highest bit of a word, and a bit of the next one, cancelled out for every seed when only the low half of
    /// products counted.
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
            texts[..100].iter().map(|text| Import { name: text, address: std::ptr::null() }).collect();
        let mut names = Names::new(&table).unwrap();
        for _ in 0..2 {
            for (index, text) in texts.iter().enumerate() {
                assert_eq!(names.find(text, false).unwrap(), index);
            }
        }
        assert!(names.are_missing());
    }
}
