//! Packed relative relocations (DT_RELR): the loader, `dlopen` and readelf find in the image what they find with RELA.
#![allow(missing_docs)]

mod native;

use std::path::Path;
use std::process::Command;

use artifact::format::module::{Module, Section};
use artifact::native::link::Options;

use native::{AARCH64, X86_64, check_image, compile_text, folder, have, link_to, link_to_with, load_and_run, run};

/// Virtual functions, tables of pointers in all segments that are written, and words at odd addresses.
const TABLES: &str = r#"
    struct Shape { virtual int a() { return 1; } virtual int b() { return 2; } };
    struct Square : Shape { int a() override { return 30; } };
    template <int N> struct Numbered : Square { int b() override { return N; } int a() override { return N + 1; } };
    template <int N> int product() { static Numbered<N> shape; Shape *volatile any = &shape; return any->a() * any->b(); }
    static int triple(int n) { return n * 3; }
    static int numbers[300];
    #define TEN(of, n) of(n) of(n + 1) of(n + 2) of(n + 3) of(n + 4) of(n + 5) of(n + 6) of(n + 7) of(n + 8) of(n + 9)
    #define HUNDRED(of, n) TEN(of, n) TEN(of, n + 10) TEN(of, n + 20) TEN(of, n + 30) TEN(of, n + 40) \
        TEN(of, n + 50) TEN(of, n + 60) TEN(of, n + 70) TEN(of, n + 80) TEN(of, n + 90)
    #define ADDRESS(n) &numbers[n],
    #define PRODUCT(n) product<n>,
    // Far apart: bitmaps with gaps, in the next entry's range or not.
    struct Entry { int (*call)(int); long number; const char *name; long more[60]; };
    #define ENTRY(n) {triple, n, "entry " #n, {}},
    extern "C" {
    int *pointers[] = {HUNDRED(ADDRESS, 0) HUNDRED(ADDRESS, 100) HUNDRED(ADDRESS, 200)};
    int (*const products[])() = {HUNDRED(PRODUCT, 0)};
    extern const Entry entries[] = {TEN(ENTRY, 0) TEN(ENTRY, 10)};
    struct __attribute__((packed)) { char odd; int *at_odd[3]; char even; int *at_even[3]; } unaligned =
        {1, {numbers, numbers + 1, numbers + 2}, 2, {numbers + 3, numbers + 4, numbers + 5}};
    __thread int *of_thread = &numbers[7];
    }
    static int started;
    static struct Starts { Starts() { started = 5; } ~Starts() { started = 0; } } starts;
    extern "C" int run(void) {
        long sum = started;
        for (long n = 0; n < 300; n++) sum += (pointers[n] == &numbers[n]) * n;
        for (int (*product)() : products) sum += product();
        for (const Entry &entry : entries) sum += entry.call((int)entry.number) + entry.name[6];
        for (int n = 0; n < 3; n++) sum += (unaligned.at_odd[n] == numbers + n) * 1000000;
        for (int n = 0; n < 3; n++) sum += (unaligned.at_even[n] == numbers + 3 + n) * 10000000;
        return (int)(sum + (of_thread == &numbers[7]) * 100000000);
    }"#;
/// 300 pointers, 100 products n * (n + 1), 20 triples and first digits, 5 from the constructor, and the rest.
const RETURNED: i64 = 44850 + 333_300 + 570 + 970 + 5 + 3_000_000 + 30_000_000 + 100_000_000;

fn packing() -> Options<'static> {
    let mut options = Options::default();
    options.pack_relative_relocs = true;
    options
}

/// The bytes of a section; none if the image has no such section.
fn bytes_of<'a>(image: &'a [u8], name: &str) -> &'a [u8] {
    let section = Module::parse(image).unwrap().section_named(name.as_bytes());
    section.map_or(&[], |section| section.bytes(image).unwrap())
}

fn words(image: &[u8], name: &str) -> Vec<u64> {
    bytes_of(image, name).as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

/// A place in a section, which stays the same where the sizes of other sections change.
type Place = (String, u64);

/// The sections with addresses.
fn sections(image: &[u8]) -> Vec<Section<'_>> {
    let module = Module::parse(image).unwrap();
    let all = (0..module.section_count()).map(|index| module.section(index).unwrap());
    all.filter(|section| section.address > 0 && section.name != b".tbss").collect()
}

fn place(sections: &[Section<'_>], address: u64) -> Place {
    let has = |section: &&Section<'_>| (section.address..section.address + section.size).contains(&address);
    let section = sections.iter().find(has).unwrap_or_else(|| panic!("{address:#x} is in no section"));
    (String::from_utf8_lossy(section.name).into_owned(), address - section.address)
}

/// What relative relocations do, however they are stored: the places of the words and those of the addresses that they get.
fn relative(image: &[u8]) -> Vec<(Place, Place)> {
    let sections = sections(image);
    let stored = |address: u64| {
        let has = |section: &&Section<'_>| (section.address..section.address + section.size).contains(&address);
        let section = sections.iter().find(has).expect("a section");
        let at = (address - section.address) as usize;
        u64::from_le_bytes(section.bytes(image).unwrap()[at..at + 8].try_into().unwrap())
    };
    let relocations = words(image, ".rela.dyn");
    let relocations = relocations.chunks(3).filter(|rela| [8, 1027].contains(&rela[1]));
    let mut found: Vec<(u64, u64)> = relocations.map(|rela| (rela[0], rela[2])).collect();
    let mut base = 0;
    for word in words(image, ".relr.dyn") {
        if word % 2 == 0 {
            found.push((word, stored(word)));
            base = word + 8;
        } else {
            let set = (0..63).filter(|bit| word >> (bit + 1) & 1 == 1).map(|bit| base + 8 * bit);
            found.extend(set.map(|address| (address, stored(address))));
            base += 63 * 8;
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(address, addend)| (place(&sections, address), place(&sections, addend))).collect()
}

fn readelf(argument: &str, image: &Path) -> String {
    run(Command::new("readelf").args(["--wide", argument]).arg(image))
}

#[test]
fn packed_images_do_the_same() {
    for machine in [X86_64, AARCH64].into_iter().filter(|machine| machine.is_here() && have(machine.cxx)) {
        let folder = folder(&format!("relr-{}", machine.name));
        let flags = ["-O1", "-fPIC", "-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics"];
        let object = compile_text(machine.cxx, &flags, "cc", TABLES, &folder.join("tables.o"));
        let (packed, plain) = (folder.join("packed.so"), folder.join("plain.so"));
        let ours = link_to_with(&[&object], &packing(), &packed);
        let other = link_to(&[&object], &plain);
        check_image(&packed, machine.name);

        let relocations = relative(&ours);
        assert_eq!(relocations, relative(&other));
        let count = |list: &[(Place, Place)], name| list.iter().filter(|((section, _), _)| section == name).count();
        for (section, least) in [(".data", 306), (".data.rel.ro", 340), (".tdata", 1), (".init_array", 1)] {
            assert!(count(&relocations, section) >= least, "{section}: {relocations:?}");
        }
        // Those at odd addresses stay where they were.
        let [sizes, before] =
            [&ours, &other].map(|image| [".rela.dyn", ".relr.dyn"].map(|name| bytes_of(image, name).len()));
        assert_eq!(before[1], 0);
        let text = readelf("--relocs", &packed);
        assert_eq!(text.lines().filter(|line| line.contains("_RELATIV")).count(), 3, "{text}");
        assert!(text.contains(&format!("contains {} entries", sizes[1] / 8)), "{text}");
        assert!(text.contains(&format!("{} offsets", relocations.len() - 3)), "{text}");
        let text = readelf("--dynamic", &packed);
        assert!(["(RELR)", "(RELRSZ)", "(RELRENT)"].iter().all(|tag| text.contains(tag)), "{text}");
        eprintln!("{}: {} bytes of relocations, {} packed", machine.name, before[0], sizes[0] + sizes[1]);
        assert!(12 * (sizes[0] + sizes[1]) < before[0], "{sizes:?} {before:?}");
        assert!(ours.len() < other.len());

        let expected = format!("returned {RETURNED}\nclosed\n");
        let driver = machine.driver(&folder);
        assert_eq!(machine.open(&driver, &[&plain]), expected);
        assert_eq!(machine.open(&driver, &[&packed]), expected);
        if machine.name == std::env::consts::ARCH {
            assert_eq!((load_and_run(&ours), load_and_run(&other)), (RETURNED, RETURNED));
        }
    }
}

/// Links assembly both ways and returns the relative relocations, which are the same, and the numbers of packed words.
fn both(name: &str, text: &str) -> (Vec<(Place, Place)>, usize) {
    let folder = folder(&format!("relr-{name}"));
    let object = compile_text("cc", &[], "s", text, &folder.join("a.o"));
    let packed = folder.join("packed.so");
    let ours = link_to_with(&[&object], &packing(), &packed);
    let other = link_to(&[&object], &folder.join("plain.so"));
    check_image(&packed, name);
    let relocations = relative(&ours);
    assert_eq!(relocations, relative(&other), "{name}");
    (relocations, bytes_of(&ours, ".relr.dyn").len() / 8)
}

#[test]
fn words_that_cannot_be_packed() {
    if std::env::consts::ARCH != "x86_64" || !have("cc") {
        return;
    }
    let text = |data: &str| format!(".text\n.globl run\nrun: ret\n.data\n.balign 16\nwords: .quad 0, 0\n{data}\n");
    // Without relative relocations there is no table, and with nothing but odd addresses neither.
    assert_eq!(both("none", &text("")), (vec![], 0));
    let (relocations, table) = both("odd", &text(".byte 0\n.quad words, words + 1"));
    assert_eq!((relocations.len(), table), (2, 0));
    // What is added to words that overlap would be added twice.
    let (relocations, table) = both("twice", &text(".reloc words, R_X86_64_64, run\n.reloc words, R_X86_64_64, words"));
    assert_eq!((relocations.len(), table), (2, 0));
    let (relocations, table) =
        both("overlap", &text(".reloc words, R_X86_64_64, run\n.reloc words + 6, R_X86_64_64, words\n.quad run"));
    assert_eq!((relocations.len(), table), (3, 1));
    // RELA has its addend, whatever else is stored in the word.
    let (relocations, table) =
        both("stored", &text(".reloc words, R_X86_64_64, run\n.reloc words, R_X86_64_PC32, run"));
    assert_eq!((relocations.len(), table), (1, 1));
    // A chain of bitmaps does not go on from one segment into the next.
    let data =
        "last: .skip 4080\n.quad run\n.section .data.rel.ro, \"aw\"\n.balign 4096\n.rept 500\n.quad words\n.endr";
    let (relocations, table) = both("segments", &text(data));
    assert_eq!((relocations.len(), table), (501, 1 + 8 + 1));
}
