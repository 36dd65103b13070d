//! What `inspect` tells people: where everything is, how big, and what the artifact was compiled with. Text from the file
//! is quoted, so that it can't play tricks on a terminal.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;

use artifact::artifact::{Artifact, Integrity};
use artifact::error::quote;
use artifact::format::Map;
use artifact::format::flags::{Features, Flag, Tunables};

use crate::facts::{Counts, Facts, Module, Section, Symbol, hex};
use crate::output::{Console, Paint};
use crate::types;

/// Widths of the columns: of facts, sections, symbols, settings.
const FACT: [isize; 2] = [9, 0];
const SECTION: [isize; 6] = [24, -10, -10, -6, 10, 0];
const SYMBOL: [isize; 6] = [16, -10, 7, 7, 16, 0];
const SETTING: [isize; 2] = [38, 0];

pub fn print(out: &mut Console, file: &Path, artifact: &Artifact, facts: &Facts<'_>) -> io::Result<()> {
    out.line(file, &format!("artifact of {}", Bytes(facts.file_len)), Paint::Heading)?;
    let version = if artifact.version().is_empty() { "none".into() } else { quote(artifact.version()) };
    out.row(FACT, ["producer", facts.producer])?;
    out.row(FACT, ["version", &version])?;
    out.row(FACT, ["target", &facts.target.map_or("unknown".into(), |target| quote(target.as_bytes()))])?;
    out.row(FACT, ["header", &format!("at {}", facts.header_offset)])?;
    let (start, end) = (facts.metadata_offset, artifact.body_end());
    out.row(FACT, ["metadata", &format!("at {start}, {}", Bytes(end - start))])?;
    if facts.trailer.is_none() && end < facts.file_len {
        let rest = Bytes(facts.file_len - end);
        out.row(FACT, ["behind it", &format!("at {end}, {rest} that are nothing of ours")])?;
    }
    let integrity = match artifact.integrity() {
        Integrity::None => "none",
        Integrity::Digests => "digests",
        Integrity::Signed => "signed",
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

/// A name, and its value where that is text.
fn attribute(name: &str, value: &[u8]) -> String {
    let shown = match std::str::from_utf8(value) {
        Ok(_) => format!("\"{}\"", quote(value)),
        Err(_) => Bytes(value.len() as u64).to_string(),
    };
    format!("{} = {shown}", quote(name.as_bytes()))
}

/// Who has signed, as far as anybody knows.
fn signatures(out: &mut Console, artifact: &Artifact) -> io::Result<()> {
    for found in artifact.signatures() {
        let known = if artifact.confirms(found) { "trusted" } else { "not checked" };
        out.row(FACT, ["signature", &format!("of {}, {known}", hex(&found.key))])?;
    }
    match artifact.signatures().next() {
        Some(_) => Ok(()),
        None => out.row(FACT, ["signature", "none"]),
    }
}

fn module(out: &mut Console, index: usize, main: bool, module: &Module) -> io::Result<()> {
    let main = if main { ", the main one" } else { "" };
    out.heading(&format!("module {index}{main}"))?;
    let kind = match module.kind {
        1 => "relocatable".to_owned(),
        2 => "executable".to_owned(),
        3 => "shared object".to_owned(),
        other => format!("type {other}"),
    };
    let machine = match module.machine {
        3 => "x86".to_owned(),
        22 => "s390x".to_owned(),
        40 => "ARM".to_owned(),
        62 => "x86-64".to_owned(),
        183 => "aarch64".to_owned(),
        243 => "RISC-V".to_owned(),
        other => format!("machine {other}"),
    };
    out.row(FACT, ["ELF", &format!("{kind}, {machine}, {}-endian", module.endian)])?;
    let align = module.align.map(|align| format!(", aligned to {}", Bytes(align))).unwrap_or_default();
    out.row(FACT, ["place", &format!("at {}, {}{align}", module.offset, Bytes(module.len))])?;
    if let Some(Counts { defined, undefined }) = &module.counts {
        out.row(FACT, ["symbols", &format!("{defined} defined, {undefined} undefined")])?;
    }
    let Some(sections) = &module.sections else { return Ok(()) };
    out.row(SECTION, ["section", "offset", "size", "align", "type", "flags"])?;
    // The first is the null section.
    for Section { name, offset, size, align, kind, flags } in sections.iter().skip(1) {
        let [offset, size, align] = [offset, size, align].map(u64::to_string);
        let (name, kind, flags) = (quote(name.as_bytes()), section_kind(*kind), section_flags(*flags));
        out.row(SECTION, [&name, &offset, &size, &align, &kind, &flags])?;
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
        let (kind, binding) = (symbol_kind(*kind), symbol_binding(*binding));
        out.row(SYMBOL, [&value, &size, &kind, &binding, &section, &quote(name.as_bytes())])?;
    }
    Ok(())
}

/// As `readelf -S` calls them.
fn section_kind(kind: u32) -> Cow<'static, str> {
    const NAMES: [&str; 20] = [
        "NULL",
        "PROGBITS",
        "SYMTAB",
        "STRTAB",
        "RELA",
        "HASH",
        "DYNAMIC",
        "NOTE",
        "NOBITS",
        "REL",
        "SHLIB",
        "DYNSYM",
        "0xc",
        "0xd",
        "INIT_ARRAY",
        "FINI_ARRAY",
        "PREINIT_ARRAY",
        "GROUP",
        "SYMTAB_SHNDX",
        "RELR",
    ];
    match kind {
        0x6fff_fff6 => "GNU_HASH".into(),
        0x6fff_fffd => "VERDEF".into(),
        0x6fff_fffe => "VERNEED".into(),
        0x6fff_ffff => "VERSYM".into(),
        _ => named(&NAMES, kind),
    }
}

/// As `readelf -s` calls them.
fn symbol_kind(kind: u8) -> Cow<'static, str> {
    named(&["NOTYPE", "OBJECT", "FUNC", "SECTION", "FILE", "COMMON", "TLS", "0x7", "0x8", "0x9", "IFUNC"], kind.into())
}

/// As `readelf -s` calls them.
fn symbol_binding(binding: u8) -> Cow<'static, str> {
    named(&["LOCAL", "GLOBAL", "WEAK", "0x3", "0x4", "0x5", "0x6", "0x7", "0x8", "0x9", "UNIQUE"], binding.into())
}

/// What has no name, as a number.
fn named(names: &[&'static str], number: u32) -> Cow<'static, str> {
    names.get(number as usize).map_or_else(|| format!("{number:#x}").into(), |name| (*name).into())
}

/// As `readelf -S` abbreviates them; what has no letter as a number.
fn section_flags(flags: u64) -> String {
    const LETTERS: [(u64, char); 9] =
        [(1, 'W'), (2, 'A'), (4, 'X'), (0x10, 'M'), (0x20, 'S'), (0x40, 'I'), (0x80, 'L'), (0x200, 'G'), (0x400, 'T')];
    let known = LETTERS.iter().filter(|(bit, _)| flags & bit != 0);
    let rest = known.clone().fold(flags, |rest, (bit, _)| rest & !bit);
    let mut text: String = known.map(|(_, letter)| letter).collect();
    if rest != 0 {
        text.push_str(&format!("+{rest:#x}"));
    }
    text
}

fn flags(out: &mut Console, title: &str, map: &Map<&str, Flag<&str>>) -> io::Result<()> {
    out.heading(&format!("{title}:{}", if map.0.is_empty() { " none" } else { "" }))?;
    for (name, flag) in &map.0 {
        let value = match flag {
            Flag::Bool(on) => switch(*on).into(),
            Flag::Num(number) => number.to_string().into(),
            Flag::Enum(word) => quote(word.as_bytes()),
        };
        out.row(SETTING, [&quote(name.as_bytes()), &value])?;
    }
    Ok(())
}

fn switch(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn tunables(out: &mut Console, tunables: &Tunables) -> io::Result<()> {
    let Tunables {
        static_memory_bound,
        static_memory_offset_guard_size,
        dynamic_memory_offset_guard_size,
        dynamic_memory_growth_reserve,
        generate_native_debuginfo,
        parse_wasm_debuginfo,
        interruptable,
        consume_fuel,
        static_memory_bound_is_maximum,
        guard_before_linear_memory,
        generate_address_map,
    } = *tunables;
    if *tunables == Tunables::default() {
        return out.heading("tunables: all off and 0");
    }
    out.heading("tunables:")?;
    let bound = types::pages(static_memory_bound);
    out.row(SETTING, ["static_memory_bound", &bound])?;
    for (name, size) in [
        ("static_memory_offset_guard_size", static_memory_offset_guard_size),
        ("dynamic_memory_offset_guard_size", dynamic_memory_offset_guard_size),
        ("dynamic_memory_growth_reserve", dynamic_memory_growth_reserve),
    ] {
        out.row(SETTING, [name, &Bytes(size).to_string()])?;
    }
    for (name, on) in [
        ("generate_native_debuginfo", generate_native_debuginfo),
        ("parse_wasm_debuginfo", parse_wasm_debuginfo),
        ("interruptable", interruptable),
        ("consume_fuel", consume_fuel),
        ("static_memory_bound_is_maximum", static_memory_bound_is_maximum),
        ("guard_before_linear_memory", guard_before_linear_memory),
        ("generate_address_map", generate_address_map),
    ] {
        out.row(SETTING, [name, switch(on)])?;
    }
    Ok(())
}

fn features(out: &mut Console, features: &Features) -> io::Result<()> {
    let Features {
        reference_types,
        multi_value,
        bulk_memory,
        module_linking,
        simd,
        threads,
        tail_call,
        deterministic_only,
        multi_memory,
        exceptions,
        memory64,
    } = *features;
    if *features == Features::default() {
        return out.heading("features: none");
    }
    out.heading("features:")?;
    for (name, on) in [
        ("reference_types", reference_types),
        ("multi_value", multi_value),
        ("bulk_memory", bulk_memory),
        ("module_linking", module_linking),
        ("simd", simd),
        ("threads", threads),
        ("tail_call", tail_call),
        ("deterministic_only", deterministic_only),
        ("multi_memory", multi_memory),
        ("exceptions", exceptions),
        ("memory64", memory64),
    ] {
        out.row(SETTING, [name, switch(on)])?;
    }
    Ok(())
}

/// A size in bytes, exact, and rounded where that is easier to grasp.
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

    #[test]
    fn flags_of_sections() {
        assert_eq!(section_flags(6), "AX");
        assert_eq!(section_flags(0x8000_0003), "WA+0x80000000");
        assert_eq!(section_flags(0), "");
        assert_eq!(section_kind(8), "NOBITS");
        assert_eq!(section_kind(0x7000_0001), "0x70000001");
    }
}
