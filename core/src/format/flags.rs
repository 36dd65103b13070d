//! Compiler flags, tunables and Wasm features, as Metadata stores them. Variants and fields have the names that JSON uses, and the
//! order of the binary encoding.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::wire::Map;
use crate::alloc;
use crate::error::{Error, Result, Status};

/// The value of one compiler flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flag<S> {
    /// A word out of an enumeration.
    Enum(S),
    /// A small number.
    Num(u8),
    /// A switch.
    Bool(bool),
}

impl<S: AsRef<str>> Flag<S> {
    /// Returns the same value with its text borrowed.
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
    // Sorted and without duplicates. Only set if `wire` is not, which no known writer creates.
    sorted: Option<Vec<(&'a str, Flag<&'a str>)>>,
}

impl<'a> Flags<'a> {
    /// Creates a flag map from its entries in file order.
    ///
    /// # Errors
    ///
    /// NO_MEMORY, which is only possible if the names are out of order.
    pub fn new(mut wire: Map<&'a str, Flag<&'a str>>) -> Result<Flags<'a>> {
        if wire.0.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Ok(Flags { wire, sorted: None });
        }
        // Unused capacity would count towards the bound on the memory of decoded Metadata.
        wire.0.shrink_to_fit();
        let what = "a flag map whose names are out of order";
        let name_at = |at: usize| wire.0.get(at).map(|(name, _)| *name);
        let name = |at: &u32| name_at(*at as usize);
        let order = alloc::sorted_indexes(wire.0.len(), what, &|a, b| name_at(a).cmp(&name_at(b)))?;
        // Sorting is stable, so the last of equal names is the last one in the file, which wins.
        let last_of_each_name = || order.chunk_by(|a, b| name(a) == name(b)).filter_map(|equal| equal.last());
        let mut sorted = alloc::with_capacity(last_of_each_name().count(), what)?;
        sorted.extend(last_of_each_name().filter_map(|at| wire.0.get(*at as usize)));
        Ok(Flags { sorted: Some(sorted), wire })
    }

    /// Returns the entries in file order, duplicates included.
    #[must_use]
    pub fn wire(&self) -> &Map<&'a str, Flag<&'a str>> {
        &self.wire
    }

    /// Returns the entries sorted by name, without duplicates.
    #[must_use]
    pub fn sorted(&self) -> &[(&'a str, Flag<&'a str>)] {
        self.sorted.as_deref().unwrap_or(&self.wire.0)
    }

    /// Returns whether the names in the file are sorted and unique.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        self.sorted.is_none()
    }

    /// Returns the value of the flag named `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Flag<&'a str>> {
        let sorted = self.sorted();
        let found = sorted.binary_search_by(|(candidate, _)| candidate.cmp(&name)).ok()?;
        sorted.get(found).map(|(_, flag)| *flag)
    }
}

/// The declaration of one setting: its name, and how a compatibility check describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The field's name, which is also its key in JSON.
    pub name: &'static str,
    /// The setting's name in the sentence of a mismatch, in Wasmtime's words; none if artifact and engine may differ.
    pub compared_as: Option<&'static str>,
}

/// The value of one setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// A number of Wasm pages.
    Pages(u64),
    /// A number of bytes.
    Bytes(u64),
    /// A switch.
    Switch(bool),
}

impl SettingValue {
    /// Returns the value as a number. A switch is 0 or 1.
    #[must_use]
    pub fn number(self) -> u64 {
        match self {
            SettingValue::Pages(number) | SettingValue::Bytes(number) => number,
            SettingValue::Switch(on) => on.into(),
        }
    }
}

/// Conversion of a number to the type of a field.
trait FromNumber: Sized {
    fn from_number(number: u64) -> Result<Self>;
}

impl FromNumber for u64 {
    fn from_number(number: u64) -> Result<u64> {
        Ok(number)
    }
}

impl FromNumber for bool {
    fn from_number(number: u64) -> Result<bool> {
        match number {
            0 | 1 => Ok(number == 1),
            found => Err(Error::new(Status::InvalidArgument, format!("expected 0 or 1, found {found}"))),
        }
    }
}

/// Declares a struct of settings. The order of its fields is the order of the binary encoding, of the compatibility check and of the
/// numbers in the C interface. Every field states how it is compared, or that it is not. There is no default, so that a new field
/// needs a decision.
macro_rules! settings {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $( $(#[$doc:meta])* $field:ident: $kind:ident($type:ty), $($compared:ident)+ $(: $words:literal)?; )*
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[$doc])* pub $field: $type, )*
        }

        impl $name {
            /// All settings, in the order of the fields.
            pub const SETTINGS: [Setting; [$(stringify!($field)),*].len()] = [
                $( Setting { name: stringify!($field), compared_as: compared_as!($($compared)+ $($words)?) }, )*
            ];

            /// Returns the values of all settings, in the order of [`SETTINGS`](Self::SETTINGS).
            #[must_use]
            pub fn values(&self) -> [SettingValue; Self::SETTINGS.len()] {
                [$( SettingValue::$kind(self.$field), )*]
            }

            /// Sets the setting with index `index` in [`SETTINGS`](Self::SETTINGS). For a switch, `value` must be 0 or 1.
            ///
            /// # Errors
            ///
            /// INVALID_ARGUMENT if there is no such setting, or if it is a switch and `value` is neither 0 nor 1.
            pub fn set(&mut self, index: usize, value: u64) -> Result<()> {
                let mut next = 0;
                $(
                    if index == next {
                        self.$field = FromNumber::from_number(value)
                            .map_err(|error: Error| error.within(stringify!($field)))?;
                        return Ok(());
                    }
                    next += 1;
                )*
                Err(Error::new(Status::InvalidArgument, format!("setting: expected 0 to {}, found {index}", next - 1)))
            }
        }
    };
}

/// Turns the comparison clause of a field's declaration into `Setting::compared_as`.
macro_rules! compared_as {
    (compared as $words:literal) => {
        Some($words)
    };
    (not compared) => {
        None
    };
}

settings! {
    /// Settings for the layout of linear memories and for instrumentation.
    pub struct Tunables {
        /// Maximum size in Wasm pages of linear memories whose address space is reserved completely (static memories).
        static_memory_bound: Pages(u64), compared as: "static memory bound";
        /// Size in bytes of the guard region after a static memory.
        static_memory_offset_guard_size: Bytes(u64), compared as: "static memory guard size";
        /// Size in bytes of the guard region after a memory that can move (dynamic memory).
        dynamic_memory_offset_guard_size: Bytes(u64), compared as: "dynamic memory guard size";
        /// Number of bytes by which a dynamic memory can grow without moving. Not compared: it only affects the speed of growing.
        dynamic_memory_growth_reserve: Bytes(u64), not compared;
        /// Whether DWARF for the machine code is generated.
        generate_native_debuginfo: Switch(bool), compared as: "debug information support";
        /// Whether DWARF of the Wasm module is parsed for backtraces.
        parse_wasm_debuginfo: Switch(bool), compared as: "WebAssembly backtrace support";
        /// Whether code polls for interruption.
        interruptable: Switch(bool), compared as: "interruption support";
        /// Whether code counts fuel.
        consume_fuel: Switch(bool), compared as: "fuel support";
        /// Whether memories can't grow beyond the static bound.
        static_memory_bound_is_maximum: Switch(bool), compared as: "pooling allocation support";
        /// Whether there is a guard region before each memory too.
        guard_before_linear_memory: Switch(bool), compared as: "guard before linear memory";
        /// Whether a map from code to Wasm offsets is stored. Not compared: it only affects backtraces.
        generate_address_map: Switch(bool), not compared;
    }
}

settings! {
    /// Wasm proposals that the compiler accepted.
    #[allow(missing_docs)]
    pub struct Features {
        reference_types: Switch(bool), compared as: "WebAssembly reference types support";
        multi_value: Switch(bool), compared as: "WebAssembly multi-value support";
        bulk_memory: Switch(bool), compared as: "WebAssembly bulk memory support";
        module_linking: Switch(bool), compared as: "WebAssembly module linking support";
        simd: Switch(bool), compared as: "WebAssembly SIMD support";
        threads: Switch(bool), compared as: "WebAssembly threads support";
        tail_call: Switch(bool), compared as: "WebAssembly tail-call support";
        deterministic_only: Switch(bool), compared as: "WebAssembly deterministic-only support";
        multi_memory: Switch(bool), compared as: "WebAssembly multi-memory support";
        exceptions: Switch(bool), compared as: "WebAssembly exceptions support";
        memory64: Switch(bool), compared as: "WebAssembly 64-bit memory support";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_duplicate_name_wins() {
        let wire = vec![("b", Flag::Num(1)), ("a", Flag::Num(2)), ("b", Flag::Num(3))];
        let flags = Flags::new(Map(wire)).unwrap();
        assert!(!flags.is_sorted());
        assert_eq!(flags.sorted(), [("a", Flag::Num(2)), ("b", Flag::Num(3))]);
        assert_eq!(flags.get("b"), Some(Flag::Num(3)));
        assert_eq!(flags.get("c"), None);
        assert_eq!(flags.wire().0.len(), 3);
    }

    #[test]
    fn settings_are_reached_by_their_index() {
        for (index, setting) in Tunables::SETTINGS.iter().enumerate() {
            let mut tunables = Tunables::default();
            tunables.set(index, 1).unwrap();
            let json = serde_json::to_value(tunables).unwrap();
            for (other, (value, Setting { name, .. })) in tunables.values().iter().zip(&Tunables::SETTINGS).enumerate()
            {
                assert_eq!(value.number(), u64::from(other == index), "{} and {name}", setting.name);
                let expected = match value {
                    SettingValue::Switch(on) => serde_json::json!(on),
                    SettingValue::Pages(number) | SettingValue::Bytes(number) => serde_json::json!(number),
                };
                assert_eq!(json[name], expected, "{name}");
            }
        }
        let mut tunables = Tunables::default();
        assert_eq!(tunables.set(4, 2).unwrap_err().message(), "generate_native_debuginfo: expected 0 or 1, found 2");
        assert_eq!(tunables.set(11, 0).unwrap_err().message(), "setting: expected 0 to 10, found 11");
        assert_eq!(tunables, Tunables::default());
    }
}
