//! Compatibility of artifacts with engines. Only this module defines the order and the words of the checks, which are those of
//! Wasmtime 0.33's loader (docs/format.md, Compatibility).
//!
//! In its sentences `expected '{}'` gives the artifact's value, as in Wasmtime's.

pub mod cwasm;

use std::cmp::Ordering;
use std::ops::ControlFlow;

use crate::engine::cpu::table::Support;
use crate::engine::cpu::{LENGTHS, Lack, first_lack, lengths};
use crate::engine::{Engine, FlagMap, FlagTable, VersionRule, WASMTIME, target};
use crate::error::{Error, Result, quote};
use crate::format::elf::Identity;
use crate::format::fat::{Variant, split_need};
use crate::format::flags::{Features, Flag, Flags, Setting, SettingValue, Tunables};
use crate::format::metadata::Metadata;
use crate::report::{Finding, Kind, Report};

/// A function that receives each finding and returns whether to continue.
type Sink<'s> = &'s mut dyn FnMut(Finding) -> ControlFlow<()>;

/// A function that compares a flag of an artifact, by its name, with that of an engine.
type Judge<'j> = &'j dyn Fn(&str, Option<&Flag<&str>>, Option<&Flag<String>>) -> Option<FlagMismatch>;

/// Compares producer and version, and returns the mismatch if there is one. The rest of an artifact is only meaningful to an engine
/// that accepts both.
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

/// Checks that Metadata is compatible with an engine.
///
/// # Errors
///
/// INCOMPATIBLE, with the first mismatch's sentence as the message.
pub fn check(engine: &Engine, metadata: &Metadata<'_>) -> Result<()> {
    first_of(&mut |sink| compare(engine, metadata, false, sink))
}

/// As [`check`], of code whose needs the engine is known to meet.
///
/// # Errors
///
/// As [`check`].
pub fn check_rest(engine: &Engine, metadata: &Metadata<'_>) -> Result<()> {
    first_of(&mut |sink| compare(engine, metadata, true, sink))
}

/// As [`check`], of settings that the engine has accepted since its own were last changed by a call.
///
/// # Errors
///
/// As [`check`].
pub fn check_fields(engine: &Engine, metadata: &Metadata<'_>) -> Result<()> {
    first_of(&mut |sink| fields(engine, metadata, sink))
}

/// Returns the first finding of a comparison as an error.
fn first_of(comparison: &mut dyn FnMut(Sink<'_>) -> ControlFlow<()>) -> Result<()> {
    let mut first = None;
    let _ = comparison(&mut |finding| {
        first = Some(finding);
        ControlFlow::Break(())
    });
    first.map_or(Ok(()), |finding| Err(Error::from(finding)))
}

/// Returns every mismatch of Metadata and an engine.
///
/// # Errors
///
/// LIMIT for more mismatches than a report holds.
pub fn report(engine: &Engine, metadata: &Metadata<'_>) -> Result<Report> {
    collect(&|sink| compare(engine, metadata, false, sink))
}

/// Returns every reason for which a host cannot run code, whoever made it and with which settings. `host` is [`Engine::host`].
///
/// # Errors
///
/// LIMIT for more reasons than a report holds.
pub fn report_for_host(host: &Engine, metadata: &Metadata<'_>) -> Result<Report> {
    collect(&|sink| {
        triple(host.target(), metadata.target, sink)?;
        let judge =
            |name: &str, artifact: Option<&Flag<&str>>, in_host: Option<&Flag<String>>| match (artifact?, in_host) {
                (Flag::Bool(true), _) => unsupported(host, name),
                (length, Some(found)) if LENGTHS.contains(&name) => {
                    (!flags_equal(length, found)).then_some(FlagMismatch::Different)
                }
                (_, None) if LENGTHS.contains(&name) => Some(FlagMismatch::NotInEngine),
                // Off, or a setting of the compiler.
                _ => None,
            };
        flags(Kind::IsaFlag, host.flags(FlagMap::Isa), &metadata.isa_flags, &judge, sink)
    })
}

/// Collects the findings of a comparison.
fn collect(compare: &dyn Fn(Sink<'_>) -> ControlFlow<()>) -> Result<Report> {
    let mut report = Report::default();
    let mut outcome = Ok(());
    let _ = compare(&mut |finding| {
        outcome = report.add(finding);
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    outcome.map(|()| report)
}

/// Compares everything. `needs_met` says that the target fits and that all ISA flags that are on are met.
fn compare(engine: &Engine, metadata: &Metadata<'_>, needs_met: bool, sink: Sink<'_>) -> ControlFlow<()> {
    triple(engine.target(), metadata.target, sink)?;
    shared_flags(engine.flags(FlagMap::Shared), &metadata.shared_flags, sink)?;
    // Where names may be missing, only flags that are no switches are left.
    if needs_met && engine.producer() != WASMTIME {
        let others = engine.flags(FlagMap::Isa).iter().filter(|(_, flag)| !matches!(flag, Flag::Bool(_)));
        for (name, flag) in others {
            let artifact = metadata.isa_flags.get(name);
            if let Some(mismatch) = isa_mismatch(engine, name, artifact.as_ref(), Some(flag)) {
                sink(flag_finding(Kind::IsaFlag, &mismatch, name, artifact.as_ref(), Some(flag)))?;
            }
        }
    } else {
        isa_flags(engine, &metadata.isa_flags, sink)?;
    }
    fields(engine, metadata, sink)
}

/// Compares what anybody can change in an engine without a call.
fn fields(engine: &Engine, metadata: &Metadata<'_>, sink: Sink<'_>) -> ControlFlow<()> {
    if engine.tunables == metadata.tunables && engine.features == metadata.features {
        return ControlFlow::Continue(()); // as nearly always
    }
    settings(Kind::Tunable, &Tunables::SETTINGS, metadata.tunables.values(), engine.tunables.values(), sink)?;
    settings(Kind::Feature, &Features::SETTINGS, metadata.features.values(), engine.features.values(), sink)
}

fn triple(engine: &str, artifact: &str, sink: Sink<'_>) -> ControlFlow<()> {
    if engine == artifact {
        return ControlFlow::Continue(());
    }
    let (host, module) = (target::compared_parts(engine), target::compared_parts(artifact));
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

/// The kinds of mismatch of a flag.
enum FlagMismatch {
    Different,
    NotInArtifact,
    NotInEngine,
    NotSupported,
    Unknown,
    NotPermitted,
}

#[cold]
fn flag_finding(
    kind: Kind,
    mismatch: &FlagMismatch,
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
    let sentence = match mismatch {
        FlagMismatch::Different => {
            format!(
                "Module was compiled with a different '{name}' setting: expected '{artifact}' but host has '{engine}'"
            )
        }
        FlagMismatch::NotInArtifact => format!("Module was compiled without setting '{name}'"),
        FlagMismatch::NotInEngine => {
            format!("Module was compiled with setting '{name}' but it is not present for the host")
        }
        // The engine has none of them as long as the process hasn't asked for them, whatever the CPU has.
        FlagMismatch::NotSupported if name.starts_with("amx-") => {
            format!(
                "Module was compiled with setting '{name}' enabled but the host does not support it, or has not asked for \
                 it before its engine was created (arch_prctl(ARCH_REQ_XCOMP_PERM, 18))"
            )
        }
        FlagMismatch::NotSupported => {
            format!("Module was compiled with setting '{name}' enabled but the host does not support it")
        }
        FlagMismatch::Unknown => {
            format!(
                "Module was compiled with setting '{name}' enabled, which is unknown: it is neither a feature of a CPU \
                 nor a setting of the host"
            )
        }
        FlagMismatch::NotPermitted => {
            format!(
                "Module was compiled with setting '{name}' enabled but this process has not asked for it \
                 (arch_prctl(ARCH_REQ_XCOMP_PERM, 18))"
            )
        }
    };
    Finding { kind, setting: name, artifact, engine, sentence }
}

/// Compares two values by reference, since copying them would cost more than the comparison.
fn flags_equal(artifact: &Flag<&str>, engine: &Flag<String>) -> bool {
    match (artifact, engine) {
        (Flag::Enum(artifact), Flag::Enum(engine)) => artifact == engine,
        (Flag::Num(artifact), Flag::Num(engine)) => artifact == engine,
        (Flag::Bool(artifact), Flag::Bool(engine)) => artifact == engine,
        _ => false,
    }
}

/// Compares names of flags. Most differ in their first bytes, for which no function needs to be called.
fn by_name(a: &str, b: &str) -> Ordering {
    let start = |name: &str| name.as_bytes().first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    match (start(a), start(b)) {
        (Some(a), Some(b)) if a != b => a.cmp(&b),
        _ => a.cmp(b),
    }
}

/// Compares the flags of engine and artifact: first every flag of the engine, sorted by name, then those that only the artifact has.
fn flags(kind: Kind, engine: &FlagTable, artifact: &Flags<'_>, judge: Judge<'_>, sink: Sink<'_>) -> ControlFlow<()> {
    let mut rest = artifact.sorted();
    let mut only_in_artifact = false;
    for (name, engine_flag) in engine {
        let mut artifact_flag = None;
        while let Some(((found, flag), after)) = rest.split_first() {
            let order = by_name(found, name);
            if order.is_gt() {
                break;
            }
            rest = after;
            if order.is_eq() {
                artifact_flag = Some(flag);
                break;
            }
            only_in_artifact = true;
        }
        if let Some(mismatch) = judge(name, artifact_flag, Some(engine_flag)) {
            sink(flag_finding(kind, &mismatch, name, artifact_flag, Some(engine_flag)))?;
        }
    }
    if only_in_artifact || !rest.is_empty() {
        for (name, artifact_flag) in artifact.sorted() {
            if !engine.contains_key(*name)
                && let Some(mismatch) = judge(name, Some(artifact_flag), None)
            {
                sink(flag_finding(kind, &mismatch, name, Some(artifact_flag), None))?;
            }
        }
    }
    ControlFlow::Continue(())
}

fn shared_flags(engine: &FlagTable, artifact: &Flags<'_>, sink: Sink<'_>) -> ControlFlow<()> {
    let judge = |_: &str, artifact: Option<&Flag<&str>>, engine: Option<&Flag<String>>| match (artifact, engine) {
        (Some(artifact), Some(engine)) => (!flags_equal(artifact, engine)).then_some(FlagMismatch::Different),
        (None, _) => Some(FlagMismatch::NotInArtifact),
        (_, None) => Some(FlagMismatch::NotInEngine),
    };
    flags(Kind::SharedFlag, engine, artifact, &judge, sink)
}

/// Compares ISA flags. The engine may have an instruction set that the artifact does not use.
fn isa_flags(engine: &Engine, artifact: &Flags<'_>, sink: Sink<'_>) -> ControlFlow<()> {
    let judge = |name: &str, artifact: Option<&Flag<&str>>, in_engine: Option<&Flag<String>>| {
        isa_mismatch(engine, name, artifact, in_engine)
    };
    flags(Kind::IsaFlag, engine.flags(FlagMap::Isa), artifact, &judge, sink)
}

/// Compares an ISA flag. Unless the producer is `wasmtime`, a missing flag counts as off, a feature may have another name in the
/// engine, and what needs nothing of the CPU is no mismatch.
fn isa_mismatch(
    engine: &Engine,
    name: &str,
    artifact: Option<&Flag<&str>>,
    in_engine: Option<&Flag<String>>,
) -> Option<FlagMismatch> {
    match (artifact, in_engine) {
        (Some(Flag::Bool(true)), Some(Flag::Bool(true))) | (Some(Flag::Bool(false)), Some(Flag::Bool(_))) => None,
        (Some(Flag::Bool(true)), Some(Flag::Bool(false))) if engine.producer() == WASMTIME => {
            Some(FlagMismatch::NotSupported)
        }
        (None, Some(_)) if engine.producer() == WASMTIME => Some(FlagMismatch::NotInArtifact),
        (_, None) if engine.producer() == WASMTIME => Some(FlagMismatch::NotInEngine),
        (Some(Flag::Bool(false)), None) => None,
        (Some(Flag::Bool(true)), None | Some(Flag::Bool(false))) => unsupported(engine, name),
        (Some(artifact), Some(engine)) => (!flags_equal(artifact, engine)).then_some(FlagMismatch::Different),
        // Code that does not name a length of vectors runs with any.
        (None, Some(flag)) => {
            let needed = !matches!(flag, Flag::Bool(_)) && !LENGTHS.contains(&name);
            needed.then_some(FlagMismatch::NotInArtifact)
        }
        (_, None) => Some(FlagMismatch::NotInEngine),
    }
}

/// Returns the first need of a variant that an engine does not meet, by what the variant's row says.
#[must_use]
pub fn unmet(engine: &Engine, variant: &Variant<'_>) -> Option<Finding> {
    let mut first = None;
    let _ = triple(engine.target(), variant.target, &mut |finding| {
        first = Some(finding);
        ControlFlow::Break(())
    });
    if first.is_some() {
        return first;
    }
    let table = engine.flags(FlagMap::Isa);
    let mut flags = table.iter().peekable();
    variant.find_need(&mut |need| {
        // Both are sorted, and nearly every need is on in the engine under its own name.
        while let Some((other, flag)) = flags.peek() {
            match by_name(other, need) {
                Ordering::Less => flags.next(),
                Ordering::Equal if **flag == Flag::Bool(true) => return None,
                _ => break,
            };
        }
        let (name, value) = split_need(need);
        let in_engine = table.get(name);
        let flag = match (value, in_engine) {
            (None, _) => Flag::Bool(true),
            (Some(value), Some(Flag::Num(_))) if value.parse::<u8>().is_ok() => Flag::Num(value.parse().ok()?),
            (Some(value), _) => Flag::Enum(value),
        };
        let mismatch = isa_mismatch(engine, name, Some(&flag), in_engine)?;
        Some(flag_finding(Kind::IsaFlag, &mismatch, name, Some(&flag), in_engine))
    })
}

/// Returns whether code for this triple can be for the engine's target.
#[must_use]
pub fn same_target(engine: &Engine, artifact: &str) -> bool {
    triple(engine.target(), artifact, &mut |_| ControlFlow::Break(())).is_continue()
}

/// Returns whether an engine has the target and the ISA flags that code with this Metadata needs.
#[must_use]
pub fn meets_needs(engine: &Engine, metadata: &Metadata<'_>) -> bool {
    let needs = Variant::of_code(metadata.target, metadata.isa_flags.sorted());
    unmet(engine, &needs).is_none()
}

/// Returns why an engine does not support a feature.
fn unsupported(engine: &Engine, name: &str) -> Option<FlagMismatch> {
    match engine.support(name) {
        Support::Yes => None,
        Support::No => Some(FlagMismatch::NotSupported),
        Support::Unknown => Some(FlagMismatch::Unknown),
    }
}

/// Compares the header of a module with the engine's target, and returns the mismatch if there is one.
#[must_use]
pub fn machine(engine: &Engine, index: usize, found: Identity) -> Option<Finding> {
    let expected = target::elf_identity(engine.target()).filter(|expected| *expected != found)?;
    Some(Finding {
        kind: Kind::ModuleMachine,
        setting: format!("module {index}"),
        artifact: found.to_string(),
        engine: expected.to_string(),
        sentence: format!("Module {index} has code for {found}, but {expected} is expected for the host"),
    })
}

/// Checks that this very CPU can run code compiled with these settings, whatever an engine says.
///
/// # Errors
///
/// INCOMPATIBLE if it lacks an instruction set, or its vectors have another length.
pub fn check_this_cpu(metadata: &Metadata<'_>) -> Result<()> {
    let flags = metadata.isa_flags.sorted();
    if flags.is_empty() {
        return Ok(());
    }
    let on = flags.iter().filter(|(_, flag)| *flag == Flag::Bool(true)).map(|(name, _)| *name);
    if let Some((name, lack)) = first_lack(on) {
        let mismatch = match lack {
            Lack::Absent => FlagMismatch::NotSupported,
            Lack::NotPermitted => FlagMismatch::NotPermitted,
        };
        return Err(flag_finding(Kind::IsaFlag, &mismatch, name, Some(&Flag::Bool(true)), None).into());
    }
    for name in LENGTHS {
        let Some(artifact) = metadata.isa_flags.get(name) else { continue };
        let bits = lengths().find(|(known, _)| *known == name).map(|(_, bits)| Flag::Enum(bits.to_string()));
        let mismatch = match &bits {
            Some(bits) if flags_equal(&artifact, bits) => continue,
            Some(_) => FlagMismatch::Different,
            None => FlagMismatch::NotInEngine,
        };
        return Err(flag_finding(Kind::IsaFlag, &mismatch, name, Some(&artifact), bits.as_ref()).into());
    }
    Ok(())
}

/// Compares settings in the order of their declaration, which is also Wasmtime's order.
fn settings<const N: usize>(
    kind: Kind,
    settings: &[Setting; N],
    artifact: [SettingValue; N],
    engine: [SettingValue; N],
    sink: Sink<'_>,
) -> ControlFlow<()> {
    for ((setting, artifact), engine) in settings.iter().zip(artifact).zip(engine) {
        match setting.compared_as {
            Some(words) if artifact != engine => sink(setting_finding(kind, setting.name, words, artifact, engine))?,
            _ => (),
        }
    }
    ControlFlow::Continue(())
}

#[cold]
fn setting_finding(kind: Kind, name: &str, words: &str, artifact: SettingValue, engine: SettingValue) -> Finding {
    let format_value = |value| match value {
        SettingValue::Pages(number) | SettingValue::Bytes(number) => number.to_string(),
        SettingValue::Switch(on) => on.to_string(),
    };
    let (engine, artifact_value) = (format_value(engine), format_value(artifact));
    let sentence = match artifact {
        SettingValue::Pages(_) | SettingValue::Bytes(_) => {
            format!("Module was compiled with a {words} of '{artifact_value}' but '{engine}' is expected for the host")
        }
        SettingValue::Switch(true) => format!("Module was compiled with {words} but it is not enabled for the host"),
        SettingValue::Switch(false) => format!("Module was compiled without {words} but it is enabled for the host"),
    };
    Finding { kind, setting: name.to_owned(), artifact: artifact_value, engine, sentence }
}
