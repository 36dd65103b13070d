//! What `__builtin_cpu_supports` and `__builtin_cpu_is` read: `__cpu_model`, which libgcc.a defines in each shared object that a compiler
//! links. If no object defines it, the linker adds an object of its own, whose `__cpu_model` is a copy of that in libgcc_s.so.1.
//!
//! A copy, since compilers may take the symbol for the objects' own, as clang does. Its constructor is `__cpu_indicator_init`, which
//! code that runs before constructors calls by itself (`__builtin_cpu_init`), and which has libgcc_s fill in the original first.

use std::borrow::Cow;

use object::elf::{self, SectionType, SymbolType};
use object::endian::{I64, U64};

use super::input::{Input, ORDER, Rela, Section, Symbol, SymbolLocation};
use crate::native::machine::{CpuModel, Machine};

const MODEL: &[u8] = b"__cpu_model";
const INIT: &[u8] = b"__cpu_indicator_init";

/// The priority that libgcc's constructor has.
const INIT_ARRAY: &[u8] = b".init_array.00101";

/// The sections of the object, by index.
const TEXT: usize = 1;
const BSS: usize = 2;

/// Returns the linker's object, if objects refer to what it defines and none of them defines that.
pub(super) fn input(inputs: &[Input<'_>], machine: &'static Machine) -> Option<Input<'static>> {
    let model = machine.cpu_model.as_ref()?;
    let is_one = |symbol: &&Symbol<'_>| symbol.binding != elf::STB_LOCAL && [MODEL, INIT].contains(&symbol.name);
    let mut found = inputs.iter().flat_map(|input| &input.symbols).filter(is_one);
    let is_undefined = |symbol: &Symbol<'_>| matches!(symbol.location, SymbolLocation::Undefined);
    (found.next().is_some_and(is_undefined) && found.all(is_undefined)).then(|| object(model, machine))
}

fn object(model: &CpuModel, machine: &'static Machine) -> Input<'static> {
    let address = [relocation(0, machine.word, CpuModel::INIT, 0)];
    let code = model.fields.iter().map(|(at, kind, symbol)| relocation(*at, *kind, *symbol, -4));
    let (alloc, write) = (elf::SHF_ALLOC.0, elf::SHF_WRITE.0);
    let executable = elf::SHF_EXECINSTR.0;
    let mut sections = vec![
        section(b"", elf::SHT_NULL, 0, &[], &[]),
        section(b".text", elf::SHT_PROGBITS, alloc | executable, model.code, &code.collect::<Vec<_>>()),
        section(b".bss", elf::SHT_NOBITS, alloc | write, &[], &[]),
        section(INIT_ARRAY, elf::SHT_INIT_ARRAY, alloc | write, &[0; 8], &address),
    ];
    if let [.., bss, constructor] = sections.as_mut_slice() {
        bss.size = CpuModel::SIZE;
        // It is needed only with the copy.
        constructor.flags |= elf::SHF_LINK_ORDER.0;
        constructor.link = BSS as u32;
    }
    let inside = |index| SymbolLocation::Section { index, offset: 0 };
    Input {
        name: "(linker)",
        len: 0,
        machine,
        sections,
        // In the order of the constants of `CpuModel`.
        symbols: vec![
            symbol(b"", SymbolLocation::Undefined, elf::STT_NOTYPE, 0),
            symbol(MODEL, inside(BSS), elf::STT_OBJECT, CpuModel::SIZE),
            symbol(INIT, inside(TEXT), elf::STT_FUNC, model.code.len() as u64),
            symbol(b"__cpu_model@GCC_4.8.0", SymbolLocation::Undefined, elf::STT_NOTYPE, 0),
            // Weak: a host that gives its own __cpu_model has filled it in.
            Symbol {
                binding: elf::STB_WEAK,
                ..symbol(b"__cpu_indicator_init@GCC_4.8.0", SymbolLocation::Undefined, elf::STT_NOTYPE, 0)
            },
        ],
        groups: Vec::new(),
    }
}

fn relocation(at: u64, kind: elf::RelocationType, symbol: u32, addend: i64) -> Rela {
    Rela {
        r_offset: U64::new(ORDER, at),
        r_info: Rela::r_info(ORDER, false, symbol, kind),
        r_addend: I64::new(ORDER, addend),
    }
}

fn section(
    name: &'static [u8],
    kind: SectionType,
    flags: u64,
    data: &'static [u8],
    relocations: &[Rela],
) -> Section<'static> {
    Section {
        name,
        kind,
        flags,
        size: data.len() as u64,
        align: 16,
        entry: 0,
        link: 0,
        offset: 0,
        data: Cow::Borrowed(data),
        compression: None,
        relocations: Cow::Owned(relocations.to_vec()),
    }
}

/// Definitions are hidden, as libgcc.a's are; the visibility of others does not count.
fn symbol(name: &'static [u8], location: SymbolLocation, kind: SymbolType, size: u64) -> Symbol<'static> {
    let is_undefined = matches!(location, SymbolLocation::Undefined);
    let other = if is_undefined { elf::STV_DEFAULT } else { elf::STV_HIDDEN };
    Symbol { name, location, size, kind, binding: elf::STB_GLOBAL, other: other.0 }
}
