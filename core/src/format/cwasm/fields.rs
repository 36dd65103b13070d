//! The settings of Wasmtime's engines, each with the releases that have it. The layout of a release is its rows, in this order.
//!
//! Source: `Tunables`, `WasmFeatures` and `check_compatible` of the releases themselves. CONTRIBUTING.md says how one is added.

/// The first release whose files are an ELF image with a section of settings.
pub const FIRST: u8 = 3;
/// The newest release whose layout the tables have.
pub const NEWEST: u8 = 50;
/// The first release that encodes integers as postcard does; earlier ones as bincode does.
pub const POSTCARD: u8 = 21;
/// The first release whose version is its major number alone.
pub const MAJOR_ALONE: u8 = 38;
/// The first release that stores features as the bits of a number.
pub const FEATURE_BITS: u8 = 33;
/// The first release whose features may need more than 32 bits.
pub const WIDE_FEATURE_BITS: u8 = 34;
/// The first release that accepts files without features that it has itself.
pub const FEATURES_MAY_LACK: u8 = 37;
/// The first release that says "version" rather than "Wasmtime version".
pub const PLAIN_VERSION: u8 = 42;

/// How a setting is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// One byte, 0 or 1.
    Switch,
    /// An integer of at most so many bits.
    Number(u8),
    /// A switch, and the integer if it is on.
    OptionalNumber(u8),
    /// The index of one of so many words.
    Choice(u8),
    /// A switch, and the index if it is on.
    OptionalChoice(u8),
    /// 0 and a byte for each of so many operators, or 1 for the usual costs.
    Costs,
}

/// How a setting of a file is compared with that of an engine, in Wasmtime's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// They may differ.
    Not,
    /// They must be equal.
    Equal(&'static str),
    /// As collectors of garbage, which have these names.
    Collector(&'static [&'static str]),
    /// As modes of inlining, which have these names.
    Inlining(&'static [&'static str]),
    /// As costs of operators, which count only if fuel does.
    Costs,
}

/// A setting: its name, and the releases that have it, the last one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, which is its key in JSON.
    pub name: &'static str,
    /// How it is encoded.
    pub ty: Type,
    /// The first release that has it.
    pub first: u8,
    /// The last release that has it.
    pub last: u8,
    /// How it is compared.
    pub compare: Compare,
}

const fn field(name: &'static str, ty: Type, first: u8, last: u8, compare: Compare) -> Field {
    Field { name, ty, first, last, compare }
}

use Compare::{Equal, Not};
use Type::{Number, OptionalNumber, Switch};

const WITHOUT: &str = "without intra-module inlining";
const WITH: &str = "with intra-module inlining";
const WITH_GC: &str = "with intra-module inlining only when using GC";
const COLLECTORS: &[&str] = &["deferred reference-counting", "null", "copying"];
const INTRA_MODULE: &[&str] = &[WITH, WITHOUT, WITH_GC];
const INLINING: &[&str] = &[WITH, WITH_GC, "with inter-module inlining", "with intrinsic inlining", WITHOUT];

const TUNABLES: &[Field] = &[
    field("collector", Type::OptionalChoice(3), 27, NEWEST, Compare::Collector(COLLECTORS)),
    field("static_memory_bound", Number(64), 3, 21, Equal("static memory bound")),
    field("static_memory_reservation", Number(64), 22, 27, Equal("static memory reservation")),
    field("static_memory_offset_guard_size", Number(64), 3, 26, Equal("static memory guard size")),
    field("dynamic_memory_offset_guard_size", Number(64), 3, 26, Equal("dynamic memory guard size")),
    field("memory_reservation", Number(64), 28, NEWEST, Equal("memory reservation")),
    field("memory_guard_size", Number(64), 27, NEWEST, Equal("memory guard size")),
    field("dynamic_memory_growth_reserve", Number(64), 3, 27, Not),
    field("memory_reservation_for_growth", Number(64), 28, NEWEST, Not),
    field("generate_native_debuginfo", Switch, 3, 38, Equal("debug information support")),
    field("debug_native", Switch, 39, NEWEST, Equal("native debug information support")),
    field("debug_guest", Switch, 39, NEWEST, Equal("guest debug")),
    field("debug_symbols", Switch, 47, NEWEST, Equal("debug symbols")),
    field("parse_wasm_debuginfo", Switch, 3, NEWEST, Equal("WebAssembly backtrace support")),
    field("consume_fuel", Switch, 3, NEWEST, Equal("fuel support")),
    field("operator_cost", Type::Costs, 43, NEWEST, Compare::Costs),
    field("epoch_interruption", Switch, 3, NEWEST, Equal("epoch interruption")),
    field("static_memory_bound_is_maximum", Switch, 3, 27, Equal("pooling allocation support")),
    field("memory_may_move", Switch, 28, NEWEST, Equal("memory may move")),
    field("guard_before_linear_memory", Switch, 3, NEWEST, Equal("guard before linear memory")),
    field("table_lazy_init", Switch, 22, NEWEST, Equal("table lazy init")),
    field("generate_address_map", Switch, 3, NEWEST, Not),
    field("debug_adapter_modules", Switch, 3, NEWEST, Not),
    field("relaxed_simd_deterministic", Switch, 8, NEWEST, Equal("relaxed simd deterministic semantics")),
    field("tail_callable", Switch, 12, 23, Equal("WebAssembly tail calls")),
    field("winch_callable", Switch, 20, NEWEST, Equal("Winch calling convention")),
    field("cache_call_indirects", Switch, 21, 22, Equal("caching of call-indirect targets")),
    field(
        "max_call_indirect_cache_slots",
        Number(64),
        21,
        22,
        Equal("maximum slot count for caching of call-indirect targets"),
    ),
    field("signals_based_traps", Switch, 26, NEWEST, Equal("Signals-based traps")),
    field("memory_init_cow", Switch, 28, NEWEST, Equal("memory initialization with CoW")),
    field("inlining", Switch, 36, 44, Equal("function inlining")),
    field("inlining_intra_module", Type::Choice(3), 36, 44, Compare::Inlining(INTRA_MODULE)),
    field("inlining", Type::Choice(5), 45, NEWEST, Compare::Inlining(INLINING)),
    field("inlining_small_callee_size", Number(32), 36, NEWEST, Equal("function inlining small-callee size")),
    field("inlining_sum_size_threshold", Number(32), 36, NEWEST, Equal("function inlining sum-size threshold")),
    field("concurrency_support", Switch, 42, NEWEST, Equal("concurrency support")),
    field("recording", Switch, 43, NEWEST, Equal("RR recording support")),
    field("asan_stack_switching", Switch, 50, NEWEST, Equal("AddressSanitizer stack-switching support")),
    field("gc_zeal_alloc_counter", OptionalNumber(32), 45, NEWEST, Not),
    field("gc_heap_reservation", Number(64), 45, NEWEST, Equal("GC heap reservation")),
    field("gc_heap_guard_size", Number(64), 45, NEWEST, Equal("GC heap guard size")),
    field("gc_heap_reservation_for_growth", Number(64), 45, NEWEST, Not),
    field("gc_heap_initial_size", Number(64), 47, NEWEST, Equal("GC heap initial size")),
    field("gc_heap_may_move", Switch, 45, NEWEST, Equal("GC heap may move")),
    field("metadata_for_internal_asserts", Switch, 46, NEWEST, Not),
    field("metadata_for_gc_heap_corruption", Switch, 46, NEWEST, Not),
    field("branch_hinting", Switch, 46, NEWEST, Not),
];

/// The features before [`FEATURE_BITS`], a byte each.
const FEATURES: &[Field] = &[
    field("reference_types", Switch, 3, 32, Equal("WebAssembly reference types support")),
    field("multi_value", Switch, 3, 32, Equal("WebAssembly multi-value support")),
    field("bulk_memory", Switch, 3, 32, Equal("WebAssembly bulk memory support")),
    field("component_model", Switch, 3, 32, Equal("WebAssembly component model support")),
    field("simd", Switch, 3, 32, Equal("WebAssembly SIMD support")),
    field("tail_call", Switch, 12, 32, Equal("WebAssembly tail calls support")),
    field("threads", Switch, 3, 32, Equal("WebAssembly threads support")),
    field("tail_call", Switch, 3, 5, Equal("WebAssembly tail-call support")),
    field("deterministic_only", Switch, 3, 4, Equal("WebAssembly deterministic-only support")),
    field("multi_memory", Switch, 3, 32, Equal("WebAssembly multi-memory support")),
    field("exceptions", Switch, 3, 32, Equal("WebAssembly exceptions support")),
    field("memory64", Switch, 3, 32, Equal("WebAssembly 64-bit memory support")),
    field("relaxed_simd", Switch, 3, 32, Equal("WebAssembly relaxed-simd support")),
    field("extended_const", Switch, 3, 32, Equal("WebAssembly extended-const support")),
    field("function_references", Switch, 10, 32, Equal("WebAssembly function-references support")),
    field("gc", Switch, 19, 32, Equal("WebAssembly garbage collection support")),
    field("custom_page_sizes", Switch, 23, 32, Equal("WebAssembly custom-page-sizes support")),
    field(
        "component_model_more_flags",
        Switch,
        23,
        30,
        Equal("WebAssembly component model support for more than 32 flags"),
    ),
    field(
        "component_model_multiple_returns",
        Switch,
        24,
        30,
        Equal("WebAssembly component model support for multiple returns"),
    ),
    field(
        "component_model_async",
        Switch,
        30,
        32,
        Equal("WebAssembly component model support for async lifts/lowers, futures, streams, and errors"),
    ),
    field(
        "component_model_async_builtins",
        Switch,
        32,
        32,
        Equal("WebAssembly component model support for async builtins"),
    ),
    field(
        "component_model_async_stackful",
        Switch,
        32,
        32,
        Equal("WebAssembly component model support for async stackful"),
    ),
    field("gc_types", Switch, 25, 32, Equal("support for WebAssembly gc types")),
    field("wide_arithmetic", Switch, 27, 32, Equal("WebAssembly wide-arithmetic support")),
    field("stack_switching", Switch, 31, 32, Equal("WebAssembly stack switching support")),
];

/// The names of the bits of features: the first release with that meaning, the bit, the name. A later row replaces an earlier one.
const BITS: &[(u8, u8, &str)] = &[
    (33, 0, "mutable_global"),
    (33, 1, "saturating_float_to_int"),
    (33, 2, "sign_extension"),
    (33, 3, "reference_types"),
    (33, 4, "multi_value"),
    (33, 5, "bulk_memory"),
    (33, 6, "simd"),
    (33, 7, "relaxed_simd"),
    (33, 8, "threads"),
    (33, 9, "shared_everything_threads"),
    (33, 10, "tail_call"),
    (33, 11, "floats"),
    (33, 12, "multi_memory"),
    (33, 13, "exceptions"),
    (33, 14, "memory64"),
    (33, 15, "extended_const"),
    (33, 16, "component_model"),
    (33, 17, "function_references"),
    (33, 18, "memory_control"),
    (33, 19, "gc"),
    (33, 20, "custom_page_sizes"),
    (33, 21, "cm_values"),
    (33, 22, "cm_nested_names"),
    (33, 23, "legacy_exceptions"),
    (33, 24, "gc_types"),
    (33, 25, "stack_switching"),
    (33, 26, "wide_arithmetic"),
    (33, 27, "cm_async"),
    (33, 28, "cm_async_stackful"),
    (33, 29, "cm_async_builtins"),
    (33, 30, "cm_error_context"),
    (34, 31, "cm_fixed_size_list"),
    (34, 32, "cm_gc"),
    (34, 33, "call_indirect_overlong"),
    (34, 34, "bulk_memory_opt"),
    (37, 30, "cm_threading"),
    (37, 31, "cm_error_context"),
    (37, 32, "cm_fixed_size_list"),
    (37, 33, "cm_gc"),
    (37, 34, "call_indirect_overlong"),
    (37, 35, "bulk_memory_opt"),
    (40, 36, "custom_descriptors"),
    (42, 37, "compact_imports"),
    (42, 38, "cm_map"),
    (43, 32, "cm_fixed_length_lists"),
    (45, 29, "cm_more_async_builtins"),
    (45, 39, "cm64"),
    (46, 40, "cm_implements"),
    (48, 41, "cm_canon_names"),
    (50, 42, "cm_forward"),
    (50, 43, "cm_accessors"),
];

/// The number of operators that [`Type::Costs`] has a byte for, by the first release with that number.
const OPERATORS: &[(u8, usize)] = &[(43, 627), (49, 643)];

fn rows(table: &'static [Field], release: u8) -> impl Iterator<Item = &'static Field> {
    table.iter().filter(move |field| (field.first..=field.last).contains(&release))
}

/// Returns the tunables of a release, in the order of its encoding.
pub fn tunables(release: u8) -> impl Iterator<Item = &'static Field> {
    rows(TUNABLES, release)
}

/// Returns the features of a release before [`FEATURE_BITS`], in the order of its encoding.
pub fn features(release: u8) -> impl Iterator<Item = &'static Field> {
    rows(FEATURES, release)
}

/// Returns the name of a bit of the features of a release, if it has one.
#[must_use]
pub fn bit_name(release: u8, bit: u8) -> Option<&'static str> {
    let mut named = BITS.iter().rev().filter(|(first, at, _)| *first <= release && *at == bit);
    named.next().map(|(.., name)| *name)
}

/// Returns the number of operators whose costs a release stores.
#[must_use]
pub fn operators(release: u8) -> usize {
    OPERATORS.iter().rev().find(|(first, _)| *first <= release).map_or(0, |(_, count)| *count)
}

/// Returns the release that writes this version: the full one up to 37, the major number alone from 38 on. None for a version that no
/// release in the tables writes, such as an embedder's own.
#[must_use]
pub fn release(version: &str) -> Option<u8> {
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u8>().ok().filter(|number| plain && number.to_string() == text)
    };
    let mut parts = version.split('.');
    let major = number(parts.next()?)?;
    let rest = [parts.next(), parts.next(), parts.next()];
    let full = matches!(rest, [Some(minor), Some(patch), None] if number(minor).is_some() && number(patch).is_some());
    let alone = rest == [None; 3];
    let written = if major < MAJOR_ALONE { full } else { alone };
    (written && (FIRST..=NEWEST).contains(&major)).then_some(major)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_by_the_form_of_their_versions() {
        for (version, expected) in [
            ("3.0.0", Some(3)),
            ("14.0.4", Some(14)),
            ("36.0.14", Some(36)),
            ("37.0.0", Some(37)),
            ("38", Some(38)),
            ("50", Some(50)),
            ("51", None),
            ("256", None),
            ("2.0.2", None),
            ("14", None),
            ("38.0.0", None),
            ("14.0", None),
            ("14.0.4.1", None),
            ("14.0.04", None),
            ("+48", None),
            ("14.0.4-dev", None),
            ("", None),
            ("my-host 7", None),
        ] {
            assert_eq!(release(version), expected, "{version}");
        }
    }

    /// The numbers of settings that the sources of the releases have.
    #[test]
    fn every_release_has_its_settings() {
        let counts = |release| (tunables(release).count(), features(release).count());
        for (releases, expected) in [
            (3..=4, (12, 13)),
            (5..=5, (12, 12)),
            (6..=7, (12, 11)),
            (8..=9, (13, 11)),
            (10..=11, (13, 12)),
            (12..=18, (14, 13)),
            (19..=19, (14, 14)),
            (20..=20, (15, 14)),
            (21..=21, (17, 14)),
            (22..=22, (18, 14)),
            (23..=23, (16, 16)),
            (24..=24, (15, 17)),
            (25..=25, (15, 18)),
            (26..=26, (16, 18)),
            (27..=27, (16, 19)),
            (28..=29, (17, 19)),
            (30..=30, (17, 20)),
            (31..=31, (17, 19)),
            (32..=32, (17, 21)),
            (33..=35, (17, 0)),
            (36..=38, (21, 0)),
            (39..=41, (22, 0)),
            (42..=42, (23, 0)),
            (43..=44, (25, 0)),
            (45..=45, (29, 0)),
            (46..=46, (32, 0)),
            (47..=49, (34, 0)),
            (50..=50, (35, 0)),
        ] {
            for release in releases {
                assert_eq!(counts(release), expected, "release {release}");
            }
        }
    }

    #[test]
    fn a_name_occurs_once_in_a_release() {
        for release in FIRST..=NEWEST {
            for fields in [tunables(release).collect::<Vec<_>>(), features(release).collect()] {
                for (at, field) in fields.iter().enumerate() {
                    assert!(
                        fields.iter().skip(at + 1).all(|other| other.name != field.name),
                        "{} in {release}",
                        field.name
                    );
                }
            }
        }
        let names = |release| (0..64).filter_map(move |bit| bit_name(release, bit)).count();
        assert_eq!([33, 34, 37, 42, 48, 50].map(names), [31, 35, 36, 39, 42, 44]);
    }
}
