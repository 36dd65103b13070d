//! What `inspect` tells people: where everything is, how big, and what the artifact was compiled with. Text from the file
//! is quoted, so that it can't play tricks on a terminal.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use artifact::artifact::Artifact;
use artifact::error::quote;
use artifact::format::Map;
use artifact::format::flags::{Features, Flag, Tunables};

use crate::facts::{Facts, Module, Section, hex};
use crate::output::{Console, Paint};
use crate::types;

pub fn print(out: &mut Console, file: &Path, artifact: &Artifact, facts: &Facts<'_>) -> io::Result<()> {
    out.line(file, &format!("artifact of {}", Bytes(facts.file_len)), Paint::Heading)?;
    let version = if artifact.version().is_empty() { "none".into() } else { quote(artifact.version()) };
    writeln!(out, "  producer   {}", facts.producer)?;
    writeln!(out, "  version    {version}")?;
    writeln!(out, "  target     {}", facts.target.map_or("unknown".into(), |target| quote(target.as_bytes())))?;
    writeln!(out, "  header     at {}", facts.header_offset)?;
    let (start, end) = (facts.metadata_offset, artifact.body_end());
    writeln!(out, "  metadata   at {start}, {}", Bytes(end - start))?;
    if facts.trailer.is_none() && end < facts.file_len {
        writeln!(out, "  behind it  at {end}, {} that are nothing of ours", Bytes(facts.file_len - end))?;
    }
    match &facts.trailer {
        None => writeln!(out, "  integrity  none")?,
        Some(trailer) => {
            writeln!(out, "  integrity  digests (trailer format {})", trailer.format)?;
            for (name, _) in &trailer.attributes.0 {
                writeln!(out, "  attribute  {}", quote(name.as_bytes()))?;
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

/// Who has signed, as far as anybody knows.
fn signatures(out: &mut Console, artifact: &Artifact) -> io::Result<()> {
    for found in artifact.signatures() {
        let known = if artifact.confirms(found) { "trusted" } else { "not checked" };
        writeln!(out, "  signature  of {}, {known}", hex(&found.key))?;
    }
    match artifact.signatures().next() {
        Some(_) => Ok(()),
        None => writeln!(out, "  signature  none"),
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
    writeln!(out, "  ELF        {kind}, {machine}, {}-endian", module.endian)?;
    let align = module.align.map(|align| format!(", aligned to {}", Bytes(align))).unwrap_or_default();
    writeln!(out, "  place      at {}, {}{align}", module.offset, Bytes(module.len))?;
    if let Some(symbols) = &module.symbols {
        writeln!(out, "  symbols    {} defined, {} undefined", symbols.defined, symbols.undefined)?;
    }
    let Some(sections) = &module.sections else { return Ok(()) };
    writeln!(out, "  {:<24} {:>10} {:>10} {:>6}  {:<10} flags", "section", "offset", "size", "align", "type")?;
    // The first is the null section.
    for Section { name, offset, size, align, kind, flags } in sections.iter().skip(1) {
        let (name, kind, flags) = (quote(name.as_bytes()), section_kind(*kind), section_flags(*flags));
        let row = format!("  {name:<24} {offset:>10} {size:>10} {align:>6}  {kind:<10} {flags}");
        writeln!(out, "{}", row.trim_end())?;
    }
    Ok(())
}

/// As `readelf -S` calls them.
fn section_kind(kind: u32) -> String {
    const NAMES: [&str; 12] =
        ["NULL", "PROGBITS", "SYMTAB", "STRTAB", "RELA", "HASH", "DYNAMIC", "NOTE", "NOBITS", "REL", "SHLIB", "DYNSYM"];
    NAMES.get(kind as usize).map_or_else(|| format!("{kind:#x}"), |name| (*name).to_owned())
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
        writeln!(out, "  {:<38} {value}", quote(name.as_bytes()))?;
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
    out.heading("tunables:")?;
    let bound = types::pages(static_memory_bound);
    writeln!(out, "  {:<38} {bound}", "static_memory_bound")?;
    for (name, size) in [
        ("static_memory_offset_guard_size", static_memory_offset_guard_size),
        ("dynamic_memory_offset_guard_size", dynamic_memory_offset_guard_size),
        ("dynamic_memory_growth_reserve", dynamic_memory_growth_reserve),
    ] {
        writeln!(out, "  {name:<38} {}", Bytes(size))?;
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
        writeln!(out, "  {name:<38} {}", switch(on))?;
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
        writeln!(out, "  {name:<38} {}", switch(on))?;
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
