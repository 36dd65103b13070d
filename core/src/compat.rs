//! Does an artifact fit an engine? The only place that knows the order of the checks and their words, which are those of
//! Wasmtime 0.33's own loader (docs/format.md, Compatibility).
//!
//! `expected '{}'` is the artifact's value throughout: that is how the original words it.

use std::ops::ControlFlow;

use crate::engine::{Engine, FlagMap, FlagTable, VersionRule, WASMTIME, target};
use crate::error::{Error, Result, quote};
use crate::format::flags::{Features, Flag, Flags, Tunables};
use crate::format::metadata::Metadata;
use crate::report::{Finding, Kind, Report};

/// Takes findings as they come; says whether it wants more.
type Sink<'s> = &'s mut dyn FnMut(Finding) -> ControlFlow<()>;

/// Compares who wrote an artifact, which decides whether the rest of it means anything to this engine.
#[must_use]
pub fn origin(engine: &Engine, producer: &str, version: &[u8]) -> Option<Finding> {
    if producer != engine.producer() {
        let sentence =
            format!("Module was compiled by '{producer}' but '{}' is expected for the host", engine.producer());
        return Some(Finding {
            kind: Kind::Producer,
            setting: "producer".to_owned(),
            artifact: producer.to_owned(),
            engine: engine.producer().to_owned(),
            sentence,
        });
    }
    let rule = engine.version_rule();
    if rule.accepts(producer, version) {
        return None;
    }
    let name = match (rule, producer) {
        (VersionRule::Library, WASMTIME) => "Wasmtime version",
        _ => "version",
    };
    let shown = quote(version);
    Some(Finding {
        kind: Kind::Version,
        setting: "version".to_owned(),
        sentence: format!("Module was compiled with incompatible {name} '{shown}'"),
        artifact: shown.into_owned(),
        engine: engine.version().to_owned(),
    })
}

/// The first mismatch, as an error.
///
/// # Errors
///
/// INCOMPATIBLE with that mismatch's sentence.
pub fn check(engine: &Engine, metadata: &Metadata<'_>) -> Result<()> {
    let mut first = None;
    let _ = compare(engine, metadata, &mut |finding| {
        first = Some(finding);
        ControlFlow::Break(())
    });
    first.map_or(Ok(()), |finding| Err(Error::from(finding)))
}

/// Every mismatch.
///
/// # Errors
///
/// LIMIT if there are more than a report holds.
pub fn report(engine: &Engine, metadata: &Metadata<'_>) -> Result<Report> {
    let mut report = Report::default();
    let mut outcome = Ok(());
    let _ = compare(engine, metadata, &mut |finding| {
        outcome = report.add(finding);
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    outcome.map(|()| report)
}

fn compare(engine: &Engine, metadata: &Metadata<'_>, sink: Sink<'_>) -> ControlFlow<()> {
    triple(engine.target(), metadata.target, sink)?;
    shared_flags(engine.flags(FlagMap::Shared), &metadata.shared_flags, sink)?;
    let strict = engine.producer() == WASMTIME;
    isa_flags(engine.flags(FlagMap::Isa), &metadata.isa_flags, strict, sink)?;
    tunables(&engine.tunables, &metadata.tunables, sink)?;
    features(&engine.features, &metadata.features, sink)
}

fn triple(engine: &str, artifact: &str, sink: Sink<'_>) -> ControlFlow<()> {
    if engine == artifact {
        return ControlFlow::Continue(());
    }
    let (host, module) = (target::compared(engine), target::compared(artifact));
    let parts = [
        (Kind::Architecture, "architecture", module.0, host.0),
        (Kind::OperatingSystem, "operating system", module.1, host.1),
    ];
    for (kind, setting, artifact, engine) in parts {
        if artifact != engine {
            let artifact = quote(artifact.as_bytes()).into_owned();
            let sentence = format!("Module was compiled for {setting} '{artifact}'");
            sink(Finding { kind, setting: setting.to_owned(), artifact, engine, sentence })?;
        }
    }
    ControlFlow::Continue(())
}

/// What is wrong with one flag.
enum Fault {
    Different,
    NotInArtifact,
    NotInEngine,
    NotSupported,
}

#[cold]
fn flag_finding(
    kind: Kind,
    fault: &Fault,
    name: &str,
    artifact: Option<&Flag<&str>>,
    engine: Option<&Flag<String>>,
) -> Finding {
    let name = quote(name.as_bytes()).into_owned();
    let artifact = match artifact {
        None => String::new(),
        Some(Flag::Enum(word)) => quote(word.as_bytes()).into_owned(),
        Some(flag) => flag.to_string(),
    };
    let engine = engine.map_or(String::new(), ToString::to_string);
    let sentence = match fault {
        Fault::Different => {
            format!(
                "Module was compiled with a different '{name}' setting: expected '{artifact}' but host has '{engine}'"
            )
        }
        Fault::NotInArtifact => format!("Module was compiled without setting '{name}'"),
        Fault::NotInEngine => format!("Module was compiled with setting '{name}' but it is not present for the host"),
        Fault::NotSupported => {
            format!("Module was compiled with setting '{name}' enabled but the host does not support it")
        }
    };
    Finding { kind, setting: name, artifact, engine, sentence }
}

/// By reference: copies of the values would cost more than the comparison.
fn same(artifact: &Flag<&str>, engine: &Flag<String>) -> bool {
    match (artifact, engine) {
        (Flag::Enum(artifact), Flag::Enum(engine)) => artifact == engine,
        (Flag::Num(artifact), Flag::Num(engine)) => artifact == engine,
        (Flag::Bool(artifact), Flag::Bool(engine)) => artifact == engine,
        _ => false,
    }
}

/// Meets every flag of the engine in the order of names, then what the artifact has besides.
fn flags(
    kind: Kind,
    engine: &FlagTable,
    artifact: &Flags<'_>,
    judge: impl Fn(Option<&Flag<&str>>, Option<&Flag<String>>) -> Option<Fault>,
    sink: Sink<'_>,
) -> ControlFlow<()> {
    let mut rest = artifact.sorted();
    let mut leftovers = false;
    for (name, ours) in engine {
        let mut theirs = None;
        while let Some(((found, flag), after)) = rest.split_first() {
            let order = (*found).cmp(name);
            if order.is_gt() {
                break;
            }
            rest = after;
            if order.is_eq() {
                theirs = Some(flag);
                break;
            }
            leftovers = true;
        }
        if let Some(fault) = judge(theirs, Some(ours)) {
            sink(flag_finding(kind, &fault, name, theirs, Some(ours)))?;
        }
    }
    if leftovers || !rest.is_empty() {
        for (name, theirs) in artifact.sorted() {
            if !engine.contains_key(*name)
                && let Some(fault) = judge(Some(theirs), None)
            {
                sink(flag_finding(kind, &fault, name, Some(theirs), None))?;
            }
        }
    }
    ControlFlow::Continue(())
}

fn shared_flags(engine: &FlagTable, artifact: &Flags<'_>, sink: Sink<'_>) -> ControlFlow<()> {
    let judge = |artifact: Option<&Flag<&str>>, engine: Option<&Flag<String>>| match (artifact, engine) {
        (Some(artifact), Some(engine)) => (!same(artifact, engine)).then_some(Fault::Different),
        (None, _) => Some(Fault::NotInArtifact),
        (_, None) => Some(Fault::NotInEngine),
    };
    flags(Kind::SharedFlag, engine, artifact, judge, sink)
}

/// An instruction set may be there unused. Unless `strict`, as under producer `wasmtime`, an absent one counts as off.
fn isa_flags(engine: &FlagTable, artifact: &Flags<'_>, strict: bool, sink: Sink<'_>) -> ControlFlow<()> {
    let judge = |artifact: Option<&Flag<&str>>, engine: Option<&Flag<String>>| match (artifact, engine) {
        (Some(Flag::Bool(used)), Some(Flag::Bool(there))) => (*used && !*there).then_some(Fault::NotSupported),
        (Some(artifact), Some(engine)) => (!same(artifact, engine)).then_some(Fault::Different),
        (None, Some(Flag::Bool(_))) if !strict => None,
        (Some(Flag::Bool(used)), None) if !strict => used.then_some(Fault::NotSupported),
        (None, _) => Some(Fault::NotInArtifact),
        (_, None) => Some(Fault::NotInEngine),
    };
    flags(Kind::IsaFlag, engine, artifact, judge, sink)
}

fn size(setting: &str, name: &str, artifact: u64, engine: u64, sink: Sink<'_>) -> ControlFlow<()> {
    if artifact == engine {
        return ControlFlow::Continue(());
    }
    sink(Finding {
        kind: Kind::Tunable,
        setting: setting.to_owned(),
        artifact: artifact.to_string(),
        engine: engine.to_string(),
        sentence: format!("Module was compiled with a {name} of '{artifact}' but '{engine}' is expected for the host"),
    })
}

fn switch(kind: Kind, setting: &str, name: &str, artifact: bool, engine: bool, sink: Sink<'_>) -> ControlFlow<()> {
    if artifact == engine {
        return ControlFlow::Continue(());
    }
    let (with, is) = if artifact { ("with", "is not") } else { ("without", "is") };
    sink(Finding {
        kind,
        setting: setting.to_owned(),
        artifact: artifact.to_string(),
        engine: engine.to_string(),
        sentence: format!("Module was compiled {with} {name} but it {is} enabled for the host"),
    })
}

/// Compares one named field of both sides.
macro_rules! compare_fields {
    ($compare:expr, $artifact:expr, $engine:expr; $($field:ident: $name:literal),* $(,)?) => {
        $( $compare(stringify!($field), $name, $artifact.$field, $engine.$field)?; )*
    };
}

fn tunables(engine: &Tunables, artifact: &Tunables, sink: Sink<'_>) -> ControlFlow<()> {
    // A new field doesn't compile until somebody decides how it is compared.
    let Tunables {
        static_memory_bound: _,
        static_memory_offset_guard_size: _,
        dynamic_memory_offset_guard_size: _,
        dynamic_memory_growth_reserve: _, // not compared: only how fast a memory grows
        generate_native_debuginfo: _,
        parse_wasm_debuginfo: _,
        interruptable: _,
        consume_fuel: _,
        static_memory_bound_is_maximum: _,
        guard_before_linear_memory: _,
        generate_address_map: _, // not compared: only what a backtrace can say
    } = engine;
    let mut sizes = |setting, name, artifact, engine| size(setting, name, artifact, engine, sink);
    compare_fields!(sizes, artifact, engine;
        static_memory_bound: "static memory bound",
        static_memory_offset_guard_size: "static memory guard size",
        dynamic_memory_offset_guard_size: "dynamic memory guard size",
    );
    let mut switches = |setting, name, artifact, engine| switch(Kind::Tunable, setting, name, artifact, engine, sink);
    compare_fields!(switches, artifact, engine;
        generate_native_debuginfo: "debug information support",
        parse_wasm_debuginfo: "WebAssembly backtrace support",
        interruptable: "interruption support",
        consume_fuel: "fuel support",
        static_memory_bound_is_maximum: "pooling allocation support",
        guard_before_linear_memory: "guard before linear memory",
    );
    ControlFlow::Continue(())
}

fn features(engine: &Features, artifact: &Features, sink: Sink<'_>) -> ControlFlow<()> {
    // A new field doesn't compile until somebody decides how it is compared.
    let Features {
        reference_types: _,
        multi_value: _,
        bulk_memory: _,
        module_linking: _,
        simd: _,
        threads: _,
        tail_call: _,
        deterministic_only: _,
        multi_memory: _,
        exceptions: _,
        memory64: _,
    } = engine;
    let mut switches = |setting, name, artifact, engine| switch(Kind::Feature, setting, name, artifact, engine, sink);
    compare_fields!(switches, artifact, engine;
        reference_types: "WebAssembly reference types support",
        multi_value: "WebAssembly multi-value support",
        bulk_memory: "WebAssembly bulk memory support",
        module_linking: "WebAssembly module linking support",
        simd: "WebAssembly SIMD support",
        threads: "WebAssembly threads support",
        tail_call: "WebAssembly tail-call support",
        deterministic_only: "WebAssembly deterministic-only support",
        multi_memory: "WebAssembly multi-memory support",
        exceptions: "WebAssembly exceptions support",
        memory64: "WebAssembly 64-bit memory support",
    );
    ControlFlow::Continue(())
}
