//! Names of CPUs, and the features that each stands for: those that the compilers of the LLVM project use for a CPU of that name, without
//! what needs nothing of a CPU. A name says nothing about a machine: hypervisors, firmware and systems hide features of the CPU.

mod aarch64;
mod x86_64;

pub use aarch64::CPUS as AARCH64;
pub use x86_64::CPUS as X86_64;

use super::table::Features;

/// The names of CPUs of an architecture and what they have. All names are one text, as pointers to each would take more of the library
/// than what they point to.
pub struct Cpus {
    /// The names with the first set, with `|` between them; the same for the second one in the next line, and so on.
    names: &'static str,
    sets: &'static [Set],
}

impl Cpus {
    /// Returns each name with what the CPU has.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, Set)> {
        self.names.lines().zip(self.sets).flat_map(|(names, set)| names.split('|').map(|name| (name, *set)))
    }
}

/// A set of an architecture's features: bit n is the nth of `needs`, then `not_detected`. A hundred names as text would
/// take as much of the library as all the rest of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set(u128);

impl Set {
    /// No features beyond the architecture's baseline.
    const NONE: Set = Set(0);

    /// Returns the set with and without certain features, all of them in these lists. It happens when the library is compiled: a
    /// name that the lists don't have is an error then.
    const fn change(self, lists: [&[&str]; 2], added: &[&str], removed: &[&str]) -> Set {
        Set((self.0 | bits(lists, added)) & !bits(lists, removed))
    }

    /// Returns the features in the set.
    pub fn features(self, features: &Features) -> Vec<&'static str> {
        let names = features.needs.iter().chain(features.not_detected).enumerate();
        names.filter(|(n, _)| self.0 >> n & 1 == 1).map(|(_, name)| *name).collect()
    }
}

/// Returns the bits of features.
const fn bits(lists: [&[&str]; 2], names: &[&str]) -> u128 {
    let [needs, not_detected] = lists;
    assert!(needs.len() + not_detected.len() <= 128);
    let (mut bits, mut next) = (0, 0);
    while next < names.len() {
        let mut n = 0;
        while !same(names[next], if n < needs.len() { needs[n] } else { not_detected[n - needs.len()] }) {
            n += 1;
        }
        bits |= 1 << n;
        next += 1;
    }
    bits
}

impl Features {
    /// Returns up to five names of CPUs and features that are like `name`, most alike first: that begin with it, or that differ by a few
    /// characters.
    pub fn near(&self, name: &str) -> Vec<&'static str> {
        const LONGEST: usize = 32;
        const MOST: usize = 5;
        if name.is_empty() || name.len() > LONGEST {
            return Vec::new();
        }
        let mut near = Vec::new();
        // Without sorting: its code would be larger than all of this.
        for distance in 0..=1 + name.len() / 4 {
            for other in self.cpus.iter().map(|(name, _)| name).chain(self.needs.iter().copied()) {
                if near.len() < MOST && difference(name, other) == distance {
                    near.push(other);
                }
            }
        }
        near
    }
}

/// Returns how many characters have to be inserted, deleted or replaced to make one name of the other, case aside; 1 if the other only
/// continues.
fn difference(name: &str, other: &str) -> usize {
    if other.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)) {
        return usize::from(other.len() > name.len());
    }
    // The distances of the name's first bytes so far from each beginning of the other name.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, byte) in name.bytes().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        let mut cells = row.iter_mut();
        if let Some(first) = cells.next() {
            *first = left;
        }
        for (cell, theirs) in cells.zip(other.bytes()) {
            let replaced = diagonal + usize::from(!byte.eq_ignore_ascii_case(&theirs));
            diagonal = *cell;
            left = replaced.min(left + 1).min(diagonal + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut n = 0;
    while n < a.len() {
        if a[n] != b[n] {
            return false;
        }
        n += 1;
    }
    true
}

/// Declares the names of CPUs: `"name" | "name": SET = BASE + [features] - [features]`, each with the features of `BASE`, an earlier
/// set, with and without some.
macro_rules! cpus {
    ($lists:expr; $($name:literal $(| $other:literal)*: $set:ident =
        $base:ident $(+ [$($added:literal)*])? $(- [$($removed:literal)*])?;)*
    ) => {
        const NONE: Set = Set::NONE;
        $(const $set: Set = $base.change($lists, &[$($($added),*)?], &[$($($removed),*)?]);)*
        /// The names of CPUs and what they have.
        pub const CPUS: super::Cpus =
            super::Cpus { names: concat!($($name, $("|", $other,)* "\n"),*), sets: &[$($set),*] };
    };
}
use cpus;
