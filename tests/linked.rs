//! What the linker makes the loader takes: objects of any sections, symbols and relocations either don't link, or give an image that can
//! be stored, verified and loaded, and whose memory is what its own headers and relocations say.
#![allow(missing_docs)]

mod hostile;
#[path = "common/lists.rs"]
mod lists;

use std::sync::atomic::{AtomicUsize, Ordering};

use artifact::native::link::{Object, Options, link};
use lists::{ABS64, ALLOC, CODE, Elf, PC32, PROGBITS};
use proptest::prelude::*;

const WRITE: u64 = 1;
const INIT_ARRAY: u32 = 14;

#[derive(Clone, Debug)]
struct Section {
    name: &'static str,
    kind: u32,
    flags: u64,
    len: usize,
    align: u32,
}

fn section() -> impl Strategy<Value = Section> {
    let kind = prop_oneof![
        Just((".text", PROGBITS, CODE)),
        Just((".text.hot", PROGBITS, CODE)),
        Just((".rodata", PROGBITS, ALLOC)),
        Just((".data", PROGBITS, ALLOC | WRITE)),
        Just((".data.rel.ro", PROGBITS, ALLOC | WRITE)),
        Just(("mine", PROGBITS, ALLOC | WRITE)),
        Just((".init_array", INIT_ARRAY, ALLOC | WRITE)),
        Just((".debug_info", PROGBITS, 0)),
    ];
    // The length is a multiple of eight, as that of an array of pointers is.
    (kind, 0..40usize, 0..14u32).prop_map(|((name, kind, flags), words, align)| Section {
        name,
        kind,
        flags,
        len: 8 * words,
        align,
    })
}

/// Binding and type, the section or a special index, the place in it and the size as parts of 256.
type Symbol = (u8, u16, u8, u8);
/// What compilers use: a word's address in data, a call in code.
const USUAL: u32 = 0;
const CALL: u32 = if cfg!(target_arch = "aarch64") { 283 } else { 4 };

/// The section, the place in it, the symbol, the type and the addend.
type Relocation = (usize, u8, usize, u32, i64);

fn symbol() -> impl Strategy<Value = Symbol> {
    let info = prop_oneof![Just(0x00u8), Just(0x01), Just(0x02), Just(0x10), Just(0x11), Just(0x12), Just(0x22)];
    let place = prop_oneof![8 => 1..8u16, 2 => Just(0), 1 => Just(0xfff1), 1 => Just(0xfff2)];
    (info, place, any::<u8>(), any::<u8>())
}

fn relocation() -> impl Strategy<Value = Relocation> {
    let any_kind = if cfg!(target_arch = "aarch64") { 257..316u32 } else { 1..43u32 };
    let kind = prop_oneof![20 => Just(USUAL), 1 => any_kind];
    let addend = prop_oneof![20 => -64..64i64, 1 => any::<i32>().prop_map(i64::from), 1 => any::<i64>()];
    (0..8usize, any::<u8>(), 0..24usize, kind, addend)
}

/// An object of these parts. Numbers out of range are taken modulo what there is.
fn object(name: usize, sections: &[Section], symbols: &[Symbol], relocations: &[Relocation]) -> Vec<u8> {
    let mut elf = Elf::new();
    for section in sections {
        let index = elf.section(section.name, section.kind, section.flags, vec![0x90; section.len]) as usize;
        elf.sections[index - 1].align = 1 << section.align;
    }
    let mut sorted: Vec<&Symbol> = symbols.iter().collect();
    sorted.sort_by_key(|symbol| symbol.0 >> 4); // local ones come first
    for (number, (info, place, start, size)) in sorted.into_iter().enumerate() {
        let in_section = sections.get((usize::from(*place)).wrapping_sub(1) % sections.len());
        let (section, len) = match (place, in_section) {
            (1..8, Some(found)) => ((usize::from(*place) - 1) % sections.len() + 1, found.len),
            _ => (usize::from(*place), 16),
        };
        let value = if *place == 0xfff2 { 8 } else { len as u64 * u64::from(*start) / 256 };
        let text = elf.name(&format!("s{}", if info >> 4 == 0 { number } else { number + name % 2 }));
        elf.symbol_at(text, *info, section as u16, value, len as u64 * u64::from(*size) / 256);
    }
    for (target, section) in sections.iter().enumerate() {
        let here = relocations.iter().filter(|relocation| relocation.0 % sections.len() == target && section.len > 0);
        let entries: Vec<_> = here
            .map(|(_, at, symbol, kind, addend)| {
                let offset = section.len as u64 * u64::from(*at) / 256 / 8 * 8;
                let usual = match section.flags {
                    CODE => CALL,
                    ALLOC => PC32,
                    _ => ABS64,
                };
                let kind = if *kind == USUAL { usual } else { *kind };
                (offset, (symbol % (symbols.len() + 1)) as u32, kind, *addend)
            })
            .collect();
        if !entries.is_empty() {
            elf.relocations(target as u32 + 1, entries.into_iter());
        }
    }
    elf.build()
}

#[test]
fn what_the_linker_makes_the_loader_takes() {
    static LINKED: AtomicUsize = AtomicUsize::new(0);
    static ALL: AtomicUsize = AtomicUsize::new(0);
    let parts = || {
        let relocations = prop::collection::vec(relocation(), 0..12);
        (prop::collection::vec(section(), 1..8), prop::collection::vec(symbol(), 0..16), relocations)
    };
    proptest!(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() },
        |(objects in prop::collection::vec(parts(), 1..3))| {
        let objects: Vec<Vec<u8>> = objects.iter().enumerate()
            .map(|(at, (sections, symbols, relocations))| object(at, sections, symbols, relocations))
            .collect();
        hostile::link::run(&objects.concat());
        ALL.fetch_add(1, Ordering::Relaxed);
        let named: Vec<Object<'_>> = objects.iter().map(|bytes| Object { name: "part", bytes }).collect();
        let mut packing = Options::default();
        packing.pack_relative_relocs = true;
        match (link(&named, &Options::default()), link(&named, &packing)) {
            (Ok(image), Ok(packed)) => {
                LINKED.fetch_add(1, Ordering::Relaxed);
                hostile::memory::run(&image);
                hostile::memory::run(&packed);
            }
            (one, other) => assert_eq!(one.map_err(|error| error.status()), other.map_err(|error| error.status())),
        }
    });
    let (linked, all) = (LINKED.load(Ordering::Relaxed), ALL.load(Ordering::Relaxed));
    println!("{linked} of {all} linked");
    assert!(linked * 5 > all, "{linked} of {all} linked");
}
