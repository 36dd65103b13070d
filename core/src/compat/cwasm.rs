//! The same for files of Wasmtime 3 and newer, in the words and the order of the release that compiled them.

use std::ops::ControlFlow;

use super::{Sink, triple};
use crate::engine::cpu::table::Support;
use crate::engine::{Engine, target};
use crate::error::{Result, quote};
use crate::format::cwasm::fields::{self, Compare};
use crate::format::cwasm::{Features, Flags, ReleaseSettings, Settings, Value};
use crate::format::flags::Flag;
use crate::report::{Finding, Kind, Report};

const CONTEXT: &str = "compilation settings of module incompatible with native host";

/// Collects what `compare` finds.
fn collect(compare: impl FnOnce(Sink<'_>) -> ControlFlow<()>) -> Result<Report> {
    let mut report = Report::default();
    let mut outcome = Ok(());
    let _ = compare(&mut |finding| {
        outcome = report.add(finding);
        if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    outcome.map(|()| report)
}

/// Compares target and ISA flags with those of a host.
pub fn cpu(host: &Engine, found: &Settings) -> Result<Report> {
    collect(|sink| {
        triple(host.target(), &found.target, sink)?;
        // The names of another architecture's flags say nothing about this one.
        if !same_architecture(host.target(), &found.target) {
            return ControlFlow::Continue(());
        }
        isa_flags(&found.isa_flags, host.target(), &|name| host.support(name), sink)
    })
}

/// Compares everything with the settings of an engine.
pub fn engine(engine: &Settings, found: &Settings) -> Result<Report> {
    collect(|sink| {
        if !engine.version.is_empty() && engine.version != found.version {
            return sink(version(engine, found));
        }
        triple(&engine.target, &found.target, sink)?;
        shared_flags(engine, found, sink)?;
        if same_architecture(&engine.target, &found.target) {
            isa_flags(&found.isa_flags, &engine.target, &|name| stated(&engine.isa_flags, name), sink)?;
        }
        match (&engine.rest, &found.rest) {
            (Some(engine), Some(found)) if engine.release == found.release => {
                tunables(engine, found, sink)?;
                features(engine, found, sink)
            }
            _ => ControlFlow::Continue(()),
        }
    })
}

fn version(engine: &Settings, found: &Settings) -> Finding {
    let released = engine.rest.as_ref().is_some_and(|rest| rest.release < fields::PLAIN_VERSION);
    let name = if released { "Wasmtime version" } else { "version" };
    let shown = quote(found.version.as_bytes()).into_owned();
    Finding {
        kind: Kind::Version,
        setting: "version".to_owned(),
        sentence: format!("Module was compiled with incompatible {name} '{shown}'"),
        artifact: shown,
        engine: engine.version.clone(),
    }
}

fn same_architecture(engine: &str, found: &str) -> bool {
    target::compared_parts(engine).0 == target::compared_parts(found).0
}

/// Returns what an engine's own flags say about an instruction set.
fn stated(flags: &Flags, name: &str) -> Support {
    match last(flags, name) {
        Some(Flag::Bool(true)) => Support::Yes,
        Some(_) => Support::No,
        None => Support::Unknown,
    }
}

/// Returns the flag of a name; the last one if there are several.
fn last<'f>(flags: &'f Flags, name: &str) -> Option<&'f Flag<String>> {
    flags.0.iter().rev().find(|(found, _)| found == name).map(|(_, flag)| flag)
}

/// Formats a flag as Wasmtime does.
fn shown(flag: &Flag<String>) -> String {
    match flag {
        Flag::Enum(word) => format!("Enum(\"{}\")", quote(word.as_bytes())),
        flag => format!("{flag:?}"),
    }
}

fn flag_finding(kind: Kind, name: &str, flag: &Flag<String>, engine: String, why: &str) -> Finding {
    Finding {
        kind,
        setting: quote(name.as_bytes()).into_owned(),
        artifact: quote(flag.to_string().as_bytes()).into_owned(),
        engine,
        sentence: format!("{CONTEXT}: {why}"),
    }
}

/// Hints that CPUs without them execute as NOP, and settings that change nothing by themselves.
const NO_NEED: [&str; 4] =
    ["sign_return_address", "sign_return_address_all", "sign_return_address_with_bkey", "use_bti"];

fn isa_flags(found: &Flags, host: &str, support: &dyn Fn(&str) -> Support, sink: Sink<'_>) -> ControlFlow<()> {
    let riscv = host.starts_with("riscv");
    for (name, flag) in &found.0 {
        let quoted = quote(name.as_bytes());
        let why = match flag {
            Flag::Bool(false) => continue,
            Flag::Enum(width) if width == "pointer32" || width == "pointer64" => {
                if target::pointer_bits(host).is_none_or(|bits| width.ends_with(&bits.to_string())) {
                    continue;
                }
                "wrong host pointer width".to_owned()
            }
            Flag::Bool(true) if name == "big_endian" => {
                if target::is_big_endian(host) {
                    continue;
                }
                "wrong host endianness".to_owned()
            }
            Flag::Bool(true) if NO_NEED.contains(&name.as_str()) => continue,
            Flag::Bool(true) => match support(name) {
                Support::Yes => continue,
                Support::No => format!("compilation setting \"{quoted}\" is enabled, but not available on the host"),
                Support::Unknown if riscv => continue, // as Wasmtime, which does not look for them
                Support::Unknown => {
                    format!("don't know how to test for target-specific flag \"{quoted}\" at runtime")
                }
            },
            flag => format!("isa-specific feature \"{quoted}\" configured to unknown value {}", shown(flag)),
        };
        sink(flag_finding(Kind::IsaFlag, name, flag, String::new(), &why))?;
    }
    ControlFlow::Continue(())
}

/// The shared flags that decide how code works with its runtime, and what every engine of Wasmtime needs them to be, by the first release
/// that does.
const NEEDED: &[(u8, &str, Flag<&str>)] = &[
    (3, "avoid_div_traps", Flag::Bool(true)),
    (3, "libcall_call_conv", Flag::Enum("isa_default")),
    (3, "preserve_frame_pointers", Flag::Bool(true)),
    (3, "enable_probestack", Flag::Bool(false)),
    (4, "enable_probestack", Flag::Bool(true)),
    (3, "probestack_strategy", Flag::Enum("outline")),
    (4, "probestack_strategy", Flag::Enum("inline")),
    (3, "enable_llvm_abi_extensions", Flag::Bool(false)),
    (3, "enable_pinned_reg", Flag::Bool(false)),
    (3, "use_colocated_libcalls", Flag::Bool(false)),
    (3, "use_pinned_reg_as_heap_base", Flag::Bool(false)),
    (27, "enable_multi_ret_implicit_sret", Flag::Bool(true)),
];

/// The first release that probes the stack on every architecture; earlier ones do on these.
const PROBES_EVERYWHERE: u8 = 27;
const PROBED: [&str; 3] = ["x86_64", "aarch64", "riscv64"];

/// Returns what an engine needs a shared flag to be, if it matters to it.
fn needed(engine: &Settings, name: &str) -> Option<Flag<&'static str>> {
    let (architecture, system) = target::compared_parts(&engine.target);
    let release = engine.rest.as_ref().map_or(fields::NEWEST, |rest| rest.release);
    let on =
        |feature: &str| engine.rest.as_ref().is_some_and(|rest| rest.features_on().iter().any(|name| name == feature));
    match name {
        "enable_probestack" if (4..PROBES_EVERYWHERE).contains(&release) => {
            Some(Flag::Bool(PROBED.iter().any(|probed| architecture.starts_with(probed))))
        }
        "enable_safepoints" if on("reference_types") => Some(Flag::Bool(true)),
        "unwind_info" if system == "windows" => Some(Flag::Bool(true)),
        "stack_switch_model" if on("stack_switching") => {
            Some(Flag::Enum(if system == "windows" { "update_windows_tib" } else { "basic" }))
        }
        _ => NEEDED.iter().rev().find(|(first, known, _)| *first <= release && *known == name).map(|(.., flag)| *flag),
    }
}

fn shared_flags(engine: &Settings, found: &Settings, sink: Sink<'_>) -> ControlFlow<()> {
    for (name, flag) in &found.shared_flags.0 {
        let Some(needed) = needed(engine, name) else { continue };
        if flag.borrowed() != needed {
            let why = format!(
                "setting \"{}\" is configured to {} which is not supported",
                quote(name.as_bytes()),
                shown(flag)
            );
            sink(flag_finding(Kind::SharedFlag, name, flag, needed.to_string(), &why))?;
        }
    }
    ControlFlow::Continue(())
}

fn value_text(value: &Value) -> String {
    match value {
        Value::None => "none".to_owned(),
        Value::Switch(on) => on.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Costs(_) => "a table of costs".to_owned(),
    }
}

/// Says how two values differ that must be equal; `words` name the setting.
fn unequal(words: &str, found: &Value, engine: &Value) -> String {
    match (found, engine) {
        (Value::Switch(true), _) => format!("Module was compiled with {words} but it is not enabled for the host"),
        (Value::Switch(false), _) => format!("Module was compiled without {words} but it is enabled for the host"),
        _ => format!(
            "Module was compiled with a {words} of '{}' but '{}' is expected for the host",
            value_text(found),
            value_text(engine)
        ),
    }
}

fn collectors(names: &[&str], found: &Value, engine: &Value, release: u8) -> Option<String> {
    let name = |value: &Value| match value {
        Value::Number(index) => names.get(*index as usize).copied(),
        _ => None,
    };
    match (name(found), name(engine)) {
        (None, _) if release >= fields::FEATURES_MAY_LACK => None,
        (None, _) => Some("module was compiled without GC but GC is enabled in the host".to_owned()),
        (Some(_), None) => Some("module was compiled with GC however GC is disabled in the host".to_owned()),
        (Some(found), Some(engine)) => Some(format!(
            "module was compiled for the {found} collector but the host is configured to use the {engine} collector"
        )),
    }
}

fn tunables(engine: &ReleaseSettings, found: &ReleaseSettings, sink: Sink<'_>) -> ControlFlow<()> {
    let mut fuel = false;
    for ((field, value), (_, other)) in found.tunables().zip(engine.tunables()) {
        fuel |= field.name == "consume_fuel" && *value == Value::Switch(true);
        if value == other {
            continue;
        }
        let name = |names: &[&'static str], value: &Value| match value {
            Value::Number(index) => names.get(*index as usize).copied().unwrap_or_default(),
            _ => "",
        };
        let sentence = match field.compare {
            Compare::Not => None,
            Compare::Equal(words) => Some(unequal(words, value, other)),
            Compare::Collector(names) => collectors(names, value, other, found.release),
            Compare::Inlining(names) => Some(format!(
                "module was compiled {} however the host is configured {}",
                name(names, value),
                name(names, other)
            )),
            Compare::Costs => fuel.then(|| "Module costs are incompatible".to_owned()),
        };
        if let Some(sentence) = sentence {
            let (artifact, engine) = (value_text(value), value_text(other));
            sink(Finding { kind: Kind::Tunable, setting: field.name.to_owned(), artifact, engine, sentence })?;
        }
    }
    ControlFlow::Continue(())
}

fn features(engine: &ReleaseSettings, found: &ReleaseSettings, sink: Sink<'_>) -> ControlFlow<()> {
    let mut differ = |name: String, on: bool, sentence| {
        sink(Finding {
            kind: Kind::Feature,
            setting: name,
            artifact: on.to_string(),
            engine: (!on).to_string(),
            sentence,
        })
    };
    match (&engine.features, &found.features) {
        (Features::Each(engine), Features::Each(found_each)) => {
            for ((field, on), other) in fields::features(found.release).zip(found_each).zip(engine) {
                let Compare::Equal(words) = field.compare else { continue };
                if on != other {
                    let sentence = unequal(words, &Value::Switch(*on), &Value::Switch(*other));
                    differ(field.name.to_owned(), *on, sentence)?;
                }
            }
        }
        (Features::Bits(engine), Features::Bits(bits)) => {
            for bit in 0..64 {
                let (on, other) = (bits >> bit & 1 == 1, engine >> bit & 1 == 1);
                // Bits without a name are dropped.
                let Some(name) = fields::bit_name(found.release, bit).filter(|_| on != other) else { continue };
                if on || found.release < fields::FEATURES_MAY_LACK {
                    let words = format!("support for WebAssembly feature `{name}`");
                    differ(name.to_owned(), on, unequal(&words, &Value::Switch(on), &Value::Switch(other)))?;
                }
            }
        }
        _ => {}
    }
    ControlFlow::Continue(())
}
