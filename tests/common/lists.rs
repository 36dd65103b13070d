//! Builds ELF files and artifacts with lists of any length: sections, symbols, relocations, groups, unwind tables, settings.
#![allow(missing_docs, dead_code)]

use artifact::builder::{Builder, Settings};
use artifact::engine::Engine;
use artifact::format::Map;
use artifact::format::flags::Flag;
use artifact::format::types::{EntityType, FuncType, InstanceType, Types, WasmType};

/// One section.
pub struct Section {
    /// The offset of the name in [`Elf::names`].
    pub name: u32,
    pub kind: u32,
    pub flags: u64,
    pub data: Vec<u8>,
    pub link: u32,
    pub info: u32,
    pub align: u64,
    pub entry: u64,
}

/// A relocatable object for this machine.
#[derive(Default)]
pub struct Elf {
    /// The string table of sections and symbols.
    pub names: Vec<u8>,
    /// All but the null section, the symbol table and the string table.
    pub sections: Vec<Section>,
    symbols: Vec<u8>,
    locals: u32,
}

pub const PROGBITS: u32 = 1;
pub const RELA: u32 = 4;
pub const GROUP: u32 = 17;
pub const ALLOC: u64 = 2;
pub const CODE: u64 = 6;
/// The binding and type of a global function.
pub const GLOBAL: u8 = 0x12;

/// The type of a 64-bit absolute relocation on this machine.
pub const ABS64: u32 = if cfg!(target_arch = "aarch64") { 257 } else { 1 };
/// The type of a 32-bit relative relocation.
pub const PC32: u32 = if cfg!(target_arch = "aarch64") { 261 } else { 2 };

impl Elf {
    pub fn new() -> Elf {
        Elf { names: vec![0], symbols: vec![0; 24], locals: 1, ..Elf::default() }
    }

    /// Adds a string, and returns its offset.
    pub fn name(&mut self, name: &str) -> u32 {
        let at = self.names.len() as u32;
        self.names.extend(name.bytes().chain([0]));
        at
    }

    /// Adds a section, and returns its index.
    pub fn section(&mut self, name: &str, kind: u32, flags: u64, data: Vec<u8>) -> u32 {
        let name = self.name(name);
        self.sections.push(Section { name, kind, flags, data, link: 0, info: 0, align: 1, entry: 0 });
        self.sections.len() as u32
    }

    /// Adds relocations for a section: offset, symbol, type, addend.
    pub fn relocations(&mut self, target: u32, entries: impl Iterator<Item = (u64, u32, u32, i64)>) {
        let data = entries.flat_map(|(offset, symbol, kind, addend)| {
            let info = u64::from(symbol) << 32 | u64::from(kind);
            [offset.to_le_bytes(), info.to_le_bytes(), addend.to_le_bytes()].concat()
        });
        let index = self.section(".rela", RELA, 0x40, data.collect());
        let section = &mut self.sections[index as usize - 1];
        (section.info, section.align, section.entry, section.link) = (target, 8, 24, u32::MAX);
    }

    /// Adds a symbol whose name is at an offset, and returns its index.
    pub fn symbol_at(&mut self, name: u32, info: u8, section: u16, value: u64, size: u64) -> u32 {
        let index = self.symbols.len() as u32 / 24;
        self.symbols.extend(name.to_le_bytes());
        self.symbols.extend([info, 0]);
        self.symbols.extend(section.to_le_bytes());
        self.symbols.extend([value.to_le_bytes(), size.to_le_bytes()].concat());
        if info >> 4 == 0 {
            self.locals = index + 1;
        }
        index
    }

    pub fn symbol(&mut self, name: &str, info: u8, section: u32) -> u32 {
        let name = self.name(name);
        self.symbol_at(name, info, section as u16, 0, 0)
    }

    /// Returns the file. In `link`, `u32::MAX` means the symbol table.
    pub fn build(mut self) -> Vec<u8> {
        let symbols = self.section(".symtab", 2, 0, Vec::new());
        let names = self.section(".strtab", 3, 0, Vec::new());
        let table = &mut self.sections[symbols as usize - 1];
        table.data = std::mem::take(&mut self.symbols);
        (table.link, table.info, table.align, table.entry) = (names, self.locals, 8, 24);
        self.sections[names as usize - 1].data = std::mem::take(&mut self.names);
        let mut out = vec![0; 64];
        let mut headers: Vec<u8> = Vec::new();
        let count = self.sections.len() as u64 + 1;
        let extended = count >= 0xff00;
        let mut header = |words: [u64; 10]| {
            for (at, word) in words.into_iter().enumerate() {
                let size = if matches!(at, 0 | 1 | 6 | 7) { 4 } else { 8 };
                headers.extend(&word.to_le_bytes()[..size]);
            }
        };
        header([0, 0, 0, 0, 0, if extended { count } else { 0 }, if extended { names.into() } else { 0 }, 0, 0, 0]);
        for section in &self.sections {
            out.resize(out.len().next_multiple_of(8), 0);
            let link = if section.link == u32::MAX { symbols } else { section.link };
            let (offset, size) = (out.len() as u64, section.data.len() as u64);
            let (name, kind) = (u64::from(section.name), u64::from(section.kind));
            let (align, entry) = (section.align, section.entry);
            header([name, kind, section.flags, 0, offset, size, link.into(), section.info.into(), align, entry]);
            out.extend(&section.data);
        }
        out.resize(out.len().next_multiple_of(8), 0);
        let table = out.len() as u64;
        out.extend(headers);
        out[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x01\0\x3e\0");
        if cfg!(target_arch = "aarch64") {
            out[18..20].copy_from_slice(&183u16.to_le_bytes());
        }
        out[20] = 1;
        out[40..48].copy_from_slice(&table.to_le_bytes());
        let numbers = if extended { [64, 0, 0, 64, 0, 0xffff] } else { [64, 0, 0, 64, count as u16, names as u16] };
        for (at, number) in numbers.into_iter().enumerate() {
            out[52 + 2 * at..54 + 2 * at].copy_from_slice(&u16::to_le_bytes(number));
        }
        out
    }
}

/// The length of the longest name in [`overlapping_symbols`] and [`overlapping_sections`].
pub const LONG: usize = 60_000;

/// An object with `count` symbols, whose names are all suffixes of one string.
pub fn overlapping_symbols(count: usize) -> Vec<u8> {
    let mut elf = Elf::new();
    elf.section(".text", PROGBITS, CODE, vec![0xc3; 16]);
    let start = elf.name(&"A".repeat(LONG));
    for number in 0..count {
        elf.symbol_at(start + (number % LONG) as u32, GLOBAL, 1, 0, 1);
    }
    elf.build()
}

/// An object with `count` sections, whose names are all suffixes of one string.
pub fn overlapping_sections(count: usize) -> Vec<u8> {
    let mut elf = Elf::new();
    let start = elf.name(&"S".repeat(LONG));
    for number in 0..count {
        elf.section("", PROGBITS, 0, Vec::new());
        elf.sections.last_mut().unwrap().name = start + (number % LONG) as u32;
    }
    elf.build()
}

/// A file whose artifact has `n` of everything that settings have. Names are in the wrong order.
pub fn settings(n: usize) -> Vec<u8> {
    let mut settings = Settings::from(&Engine::new());
    let flags = || (0..n).rev().map(|at| (format!("f{at:06}"), Flag::Num((at % 200) as u8))).collect();
    (settings.shared_flags, settings.isa_flags) = (Map(flags()), Map(flags()));
    let image = overlapping_symbols(1);
    let mut builder = Builder::from_settings(settings).unwrap();
    builder.add_module(&image).unwrap();
    let global = || (0..n).rev().map(|at| (format!("e{at:06}"), EntityType::Function(0))).collect();
    let mut types = Types::default();
    types.wasm_signatures.extend((0..n).map(|_| FuncType::new(vec![WasmType::I32; 2], vec![WasmType::I64])));
    types.instance_signatures.push(InstanceType { exports: Map(global()) });
    builder.set_types(types).unwrap();
    let module = builder.add_module_type(0).unwrap();
    (0..n).for_each(|at| builder.add_module_import(module, &format!("i{at}"), EntityType::Function(0)).unwrap());
    let mut parent = None;
    for at in 0..n {
        let upvar = builder.add_upvar(parent, 0, &[0, 0]).unwrap();
        parent = Some(upvar).filter(|_| at % 50 != 0);
    }
    builder.serialize().unwrap()
}
