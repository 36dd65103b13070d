//! Compiler flags, tunables and Wasm features as Metadata stores them. The names of variants and fields are those that
//! JSON shows; their order is the wire's.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::wire::Map;
use crate::alloc;
use crate::error::Result;

/// The value of one compiler flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flag<S> {
    /// One of several words.
    Enum(S),
    /// A small number.
    Num(u8),
    /// On or off.
    Bool(bool),
}

impl<S: AsRef<str>> Flag<S> {
    /// The same value with its text borrowed.
    pub fn borrowed(&self) -> Flag<&str> {
        match self {
            Flag::Enum(text) => Flag::Enum(text.as_ref()),
            Flag::Num(number) => Flag::Num(*number),
            Flag::Bool(on) => Flag::Bool(*on),
        }
    }
}

impl<S: AsRef<str>> fmt::Display for Flag<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Flag::Enum(text) => f.write_str(text.as_ref()),
            Flag::Num(number) => number.fmt(f),
            Flag::Bool(on) => on.fmt(f),
        }
    }
}

/// A flag map of an artifact, borrowed from its bytes.
#[derive(Clone, Debug, Default)]
pub struct Flags<'a> {
    wire: Map<&'a str, Flag<&'a str>>,
    // Only for a file whose names are out of order or appear twice, which no writer that we know makes.
    tidy: Option<Vec<(&'a str, Flag<&'a str>)>>,
}

impl<'a> Flags<'a> {
    /// Takes the entries in the order of the file.
    ///
    /// # Errors
    ///
    /// NO_MEMORY, which only a file with names out of order can come to.
    pub fn new(mut wire: Map<&'a str, Flag<&'a str>>) -> Result<Flags<'a>> {
        if wire.0.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Ok(Flags { wire, tidy: None });
        }
        // Every byte counts here: what a hostile file decodes to is bounded.
        wire.0.shrink_to_fit();
        let what = "a flag map whose names are out of order";
        let name_at = |at: usize| wire.0.get(at).map(|(name, _)| *name);
        let name = |at: &u32| name_at(*at as usize);
        let order = alloc::order(wire.0.len(), what, &|a, b| name_at(a).cmp(&name_at(b)))?;
        // Of equal names the last in the file stands last.
        let last_of_a_name = || order.chunk_by(|a, b| name(a) == name(b)).filter_map(|same| same.last());
        let mut tidy = alloc::with_capacity(last_of_a_name().count(), what)?;
        tidy.extend(last_of_a_name().filter_map(|at| wire.0.get(*at as usize)));
        Ok(Flags { tidy: Some(tidy), wire })
    }

    /// The entries as the file has them.
    #[must_use]
    pub fn wire(&self) -> &Map<&'a str, Flag<&'a str>> {
        &self.wire
    }

    /// Each name once, in the order of names.
    #[must_use]
    pub fn sorted(&self) -> &[(&'a str, Flag<&'a str>)] {
        self.tidy.as_deref().unwrap_or(&self.wire.0)
    }

    /// Whether the file has the names in order, each once.
    #[must_use]
    pub fn is_tidy(&self) -> bool {
        self.tidy.is_none()
    }

    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Flag<&'a str>> {
        let sorted = self.sorted();
        let found = sorted.binary_search_by(|(candidate, _)| candidate.cmp(&name)).ok()?;
        sorted.get(found).map(|(_, flag)| *flag)
    }
}

/// How the compiler laid out memories and what it compiled in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tunables {
    /// Linear memories up to this many Wasm pages are reserved whole.
    pub static_memory_bound: u64,
    /// Bytes of guard behind such a memory.
    pub static_memory_offset_guard_size: u64,
    /// Bytes of guard behind a memory that can move.
    pub dynamic_memory_offset_guard_size: u64,
    /// Bytes that such a memory can grow in place. Not compared.
    pub dynamic_memory_growth_reserve: u64,
    /// DWARF for the machine code.
    pub generate_native_debuginfo: bool,
    /// DWARF of the Wasm module is read for backtraces.
    pub parse_wasm_debuginfo: bool,
    /// Code polls for interruption.
    pub interruptable: bool,
    /// Code counts fuel.
    pub consume_fuel: bool,
    /// No memory grows beyond the static bound.
    pub static_memory_bound_is_maximum: bool,
    /// A guard lies before each memory too.
    pub guard_before_linear_memory: bool,
    /// A map from code to Wasm offsets is stored. Not compared.
    pub generate_address_map: bool,
}

/// Wasm proposals that the compiler accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Features {
    pub reference_types: bool,
    pub multi_value: bool,
    pub bulk_memory: bool,
    pub module_linking: bool,
    pub simd: bool,
    pub threads: bool,
    pub tail_call: bool,
    pub deterministic_only: bool,
    pub multi_memory: bool,
    pub exceptions: bool,
    pub memory64: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_duplicate_name_wins() {
        let wire = vec![("b", Flag::Num(1)), ("a", Flag::Num(2)), ("b", Flag::Num(3))];
        let flags = Flags::new(Map(wire)).unwrap();
        assert!(!flags.is_tidy());
        assert_eq!(flags.sorted(), [("a", Flag::Num(2)), ("b", Flag::Num(3))]);
        assert_eq!(flags.get("b"), Some(Flag::Num(3)));
        assert_eq!(flags.get("c"), None);
        assert_eq!(flags.wire().0.len(), 3);
    }
}
