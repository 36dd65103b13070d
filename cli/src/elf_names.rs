//! ELF constants as `readelf` names them.

use std::borrow::Cow;

/// The name of a module's ELF type.
pub fn file_type(number: u16) -> Cow<'static, str> {
    match number {
        1 => "relocatable".into(),
        2 => "executable".into(),
        3 => "shared object".into(),
        other => format!("type {other}").into(),
    }
}

/// The name of a module's machine.
pub fn machine(number: u16) -> Cow<'static, str> {
    match number {
        3 => "x86".into(),
        22 => "s390x".into(),
        40 => "ARM".into(),
        62 => "x86-64".into(),
        183 => "aarch64".into(),
        243 => "RISC-V".into(),
        other => format!("machine {other}").into(),
    }
}

/// The name of a section type, as in `readelf -S`.
pub fn section_type(kind: u32) -> Cow<'static, str> {
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

/// The name of a symbol type, as in `readelf -s`.
pub fn symbol_type(kind: u8) -> Cow<'static, str> {
    named(&["NOTYPE", "OBJECT", "FUNC", "SECTION", "FILE", "COMMON", "TLS", "0x7", "0x8", "0x9", "IFUNC"], kind.into())
}

/// The name of a symbol binding, as in `readelf -s`.
pub fn symbol_binding(binding: u8) -> Cow<'static, str> {
    named(&["LOCAL", "GLOBAL", "WEAK", "0x3", "0x4", "0x5", "0x6", "0x7", "0x8", "0x9", "UNIQUE"], binding.into())
}

/// The name of a number, or the number itself in hexadecimal.
fn named(names: &[&'static str], number: u32) -> Cow<'static, str> {
    names.get(number as usize).map_or_else(|| format!("{number:#x}").into(), |name| (*name).into())
}

/// The letters of section flags, as in `readelf -S`; flags without a letter are appended as a number.
pub fn section_flags(flags: u64) -> String {
    const LETTERS: [(u64, char); 9] =
        [(1, 'W'), (2, 'A'), (4, 'X'), (0x10, 'M'), (0x20, 'S'), (0x40, 'I'), (0x80, 'L'), (0x200, 'G'), (0x400, 'T')];
    let known = LETTERS.iter().filter(|(bit, _)| flags & bit != 0);
    let unnamed = known.clone().fold(flags, |unnamed, (bit, _)| unnamed & !bit);
    let mut text: String = known.map(|(_, letter)| letter).collect();
    if unnamed != 0 {
        text.push_str(&format!("+{unnamed:#x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn section_names() {
        assert_eq!(section_flags(6), "AX");
        assert_eq!(section_flags(0x8000_0003), "WA+0x80000000");
        assert_eq!(section_flags(0), "");
        assert_eq!(section_type(8), "NOBITS");
        assert_eq!(section_type(0x7000_0001), "0x70000001");
    }
}
