//! Formats what `inspect` shows for people. Text from the file is quoted: it may hold terminal escape sequences.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;

use artifact::artifact::{Artifact, Integrity};
use artifact::error::quote;
use artifact::format::Map;
use artifact::format::flags::{Features, Flag, Setting, SettingValue, Tunables};

use crate::elf_names;
use crate::facts::{Counts, Facts, Fat, Module, Section, Symbol, hex};
use crate::output::{Console, Style};
use crate::types;
use crate::variants::Judged;

/// Column widths, for [`Console::row`].
pub const FACT: [isize; 2] = [9, 0];
const SECTION: [isize; 6] = [24, -10, -10, -6, 10, 0];
const VARIANT: [isize; 6] = [9, -10, -10, -6, 26, 0];
const SYMBOL: [isize; 6] = [16, -10, 7, 7, 16, 0];
pub const SETTING: [isize; 2] = [38, 0];

pub fn print(out: &mut Console, file: &Path, artifact: &Artifact, facts: &Facts<'_>) -> io::Result<()> {
    let variant = match &facts.fat {
        Some(Fat { variant, variants, .. }) => format!(" (variant {variant} of {})", variants.len()),
        None => String::new(),
    };
    out.line(file, &format!("artifact, {}{variant}", Bytes(facts.file_len)), Style::Heading)?;
    let version = if artifact.version().is_empty() { "none".into() } else { quote(artifact.version()) };
    out.row(FACT, ["producer", facts.producer])?;
    out.row(FACT, ["version", &version])?;
    out.row(FACT, ["target", &facts.target.map_or("unknown".into(), |target| quote(target.as_bytes()))])?;
    out.row(FACT, ["header", &format!("offset {}", facts.header_offset)])?;
    let (start, end) = (facts.metadata_offset, artifact.body_end());
    out.row(FACT, ["metadata", &format!("offset {start}, {}", Bytes(end - start))])?;
    if facts.trailer.is_none() && end < facts.file_len {
        let trailing = Bytes(facts.file_len - end);
        out.row(FACT, ["trailing", &format!("offset {end}, {trailing} that are not part of the artifact")])?;
    }
    let integrity = match artifact.integrity() {
        Integrity::None => "none",
        Integrity::Digests => "digests",
        Integrity::Signed => "signed",
        _ => "unknown",
    };
    match &facts.trailer {
        None => out.row(FACT, ["integrity", integrity])?,
        Some(trailer) => {
            out.row(FACT, ["integrity", &format!("{integrity} (trailer format {})", trailer.format)])?;
            for (name, value) in &trailer.attributes.0 {
                out.row(FACT, ["attribute", &attribute(name, &value.0)])?;
            }
        }
    }
    signatures(out, artifact)?;
    facts.fat.as_ref().map_or(Ok(()), |fat| variants(out, artifact, fat))?;
    for (index, found) in facts.modules.iter().enumerate() {
        module(out, index, index == facts.main, found)?;
    }
    for (title, map) in [("shared flags", facts.shared_flags), ("ISA flags", facts.isa_flags)] {
        if let Some(map) = map {
            flags(out, title, map)?;
        }
    }
    facts.tunables.map_or(Ok(()), |found| tunables(out, found))?;
    facts.features.map_or(Ok(()), |found| features(out, found))?;
    facts.module_upvars.map_or(Ok(()), |found| types::upvars(out, found))?;
    facts.types.map_or(Ok(()), |found| types::tables(out, found))
}

/// Formats an attribute: its value if it is text, otherwise the size of the value.
fn attribute(name: &str, value: &[u8]) -> String {
    let shown = match std::str::from_utf8(value) {
        Ok(_) => format!("\"{}\"", quote(value)),
        Err(_) => Bytes(value.len() as u64).to_string(),
    };
    format!("{} = {shown}", quote(name.as_bytes()))
}

fn signatures(out: &mut Console, artifact: &Artifact) -> io::Result<()> {
    for signature in artifact.signatures() {
        let trust = if artifact.confirms(signature) { "trusted" } else { "not verified" };
        out.row(FACT, ["signature", &format!("key {}, {trust}", hex(&signature.key))])?;
    }
    match artifact.signatures().next() {
        Some(_) => Ok(()),
        None => out.row(FACT, ["signature", "none"]),
    }
}

/// Lists the variants of a file of several targets, and the signatures over their index.
fn variants(out: &mut Console, artifact: &Artifact, fat: &Fat) -> io::Result<()> {
    let host = fat.host_variant.map_or("this host gets none".to_owned(), |index| format!("this host gets {index}"));
    out.heading(&format!("variants: {host}"))?;
    for signature in artifact.index_signatures() {
        let trust = if artifact.confirms(signature) { "trusted" } else { "not verified" };
        out.row(FACT, ["index", &format!("signed by key {}, {trust}", hex(&signature.key))])?;
    }
    out.row(VARIANT, ["variant", "offset", "size", "score", "target", "needs"])?;
    for Judged { index, target, needs, offset, len, score, .. } in &fat.variants {
        let [index, offset, len, score] = [index.to_string(), offset.to_string(), len.to_string(), score.to_string()];
        let needs = if needs.is_empty() { "none".into() } else { quote(needs.join(",").as_bytes()).into_owned() };
        out.row(VARIANT, [&index, &offset, &len, &score, &quote(target.as_bytes()), &needs])?;
    }
    Ok(())
}

fn module(out: &mut Console, index: usize, main: bool, module: &Module) -> io::Result<()> {
    let main = if main { " (main)" } else { "" };
    out.heading(&format!("module {index}{main}"))?;
    image(out, module)
}

/// Prints what is in an ELF image.
pub fn image(out: &mut Console, module: &Module) -> io::Result<()> {
    let (kind, machine) = (elf_names::file_type(module.kind), elf_names::machine(module.machine));
    out.row(FACT, ["ELF", &format!("{kind}, {machine}, {}-endian", module.endian)])?;
    let align = module.align.map(|align| format!(", aligned to {}", Bytes(align))).unwrap_or_default();
    out.row(FACT, ["location", &format!("offset {}, {}{align}", module.offset, Bytes(module.len))])?;
    if let Some(Counts { defined, undefined }) = &module.counts {
        out.row(FACT, ["symbols", &format!("{defined} defined, {undefined} undefined")])?;
    }
    let Some(sections) = &module.sections else { return Ok(()) };
    out.row(SECTION, ["section", "offset", "size", "align", "type", "flags"])?;
    // Section 0 is the null section.
    for Section { name, offset, size, align, kind, flags } in sections.iter().skip(1) {
        let [offset, size, align] = [offset, size, align].map(u64::to_string);
        let (kind, flags) = (elf_names::section_type(*kind), elf_names::section_flags(*flags));
        out.row(SECTION, [&quote(name.as_bytes()), &offset, &size, &align, &kind, &flags])?;
    }
    let Some(Some(symbols)) = &module.symbols else { return Ok(()) };
    out.row(SYMBOL, ["value", "size", "type", "binding", "section", "symbol"])?;
    for Symbol { name, value, size, kind, binding, section } in symbols {
        let (value, size) = (format!("{value:016x}"), size.to_string());
        let section = match *section {
            0 => "undefined".into(),
            0xfff1 => "absolute".into(),
            0xfff2 => "common".into(),
            index => sections.get(index as usize).map_or("?".into(), |section| quote(section.name.as_bytes())),
        };
        let (kind, binding) = (elf_names::symbol_type(*kind), elf_names::symbol_binding(*binding));
        out.row(SYMBOL, [&value, &size, &kind, &binding, &section, &quote(name.as_bytes())])?;
    }
    Ok(())
}

pub fn flags<S: AsRef<str>>(out: &mut Console, title: &str, map: &Map<S, Flag<S>>) -> io::Result<()> {
    out.heading(&format!("{title}:{}", if map.0.is_empty() { " none" } else { "" }))?;
    for (name, flag) in &map.0 {
        let value = match flag {
            Flag::Bool(on) => on_off(*on).into(),
            Flag::Num(number) => number.to_string().into(),
            Flag::Enum(word) => quote(word.as_ref().as_bytes()),
        };
        out.row(SETTING, [&quote(name.as_ref().as_bytes()), &value])?;
    }
    Ok(())
}

pub fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn tunables(out: &mut Console, tunables: &Tunables) -> io::Result<()> {
    if *tunables == Tunables::default() {
        return out.heading("tunables: all off or 0");
    }
    out.heading("tunables:")?;
    settings(out, &Tunables::SETTINGS, &tunables.values())
}

fn features(out: &mut Console, features: &Features) -> io::Result<()> {
    if *features == Features::default() {
        return out.heading("features: none");
    }
    out.heading("features:")?;
    settings(out, &Features::SETTINGS, &features.values())
}

fn settings(out: &mut Console, settings: &[Setting], values: &[SettingValue]) -> io::Result<()> {
    for (setting, value) in settings.iter().zip(values) {
        let shown = match *value {
            SettingValue::Pages(count) => types::page_count(count).into(),
            SettingValue::Bytes(size) => Bytes(size).to_string().into(),
            SettingValue::Switch(on) => Cow::Borrowed(on_off(on)),
        };
        out.row(SETTING, [setting.name, &shown])?;
    }
    Ok(())
}

/// Formats a size in bytes, and from 1 KiB on also in a larger unit, rounded.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let Bytes(bytes) = *self;
        write!(f, "{bytes} {}", if bytes == 1 { "byte" } else { "bytes" })?;
        let Some(power) = bytes.max(1).ilog2().checked_div(10).filter(|power| *power > 0) else { return Ok(()) };
        let unit = UNITS.get(power as usize - 1).copied().unwrap_or_default();
        if bytes.trailing_zeros() >= power * 10 {
            return write!(f, " ({} {unit})", bytes >> (power * 10));
        }
        let rounded = bytes as f64 / f64::from(power * 10).exp2();
        write!(f, " ({rounded:.1} {unit})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (1023, "1023 bytes"),
            (1024, "1024 bytes (1 KiB)"),
            (11736, "11736 bytes (11.5 KiB)"),
            (2 << 30, "2147483648 bytes (2 GiB)"),
            (u64::MAX, "18446744073709551615 bytes (16.0 EiB)"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }
}
