//! `artifact inspect`.

use artifact::builder::Builder;
use artifact::engine::Engine;

use crate::elf::Shape;
use crate::json::Json;
use crate::support::{Folder, command, facts, fixture, fixtures, garbled, genuine, patched, run, run_with};
use crate::terminal::shown;

/// The expected output of `inspect --json`, from what an independent parser found.
fn expected(name: &str) -> Json {
    let facts = facts(name);
    let pick = |from: &Json, keys: &[(&str, &str)]| {
        Json::Map(keys.iter().map(|(ours, theirs)| ((*ours).to_owned(), from.get(theirs).clone())).collect())
    };
    let module = |elf: &Json| {
        let keys = [("offset", "offset"), ("len", "len"), ("align", "max_section_align"), ("machine", "e_machine")];
        let Json::Map(mut module) = pick(elf, &keys) else { unreachable!() };
        module.push(("endian".into(), elf.get("endian").clone()));
        module.push(("type".into(), elf.get("e_type").clone()));
        let keys = ["name", "offset", "size", "align", "type", "flags"].map(|key| (key, key));
        let sections = elf.get("sections").list().iter().map(|section| pick(section, &keys)).collect();
        module.push(("sections".into(), Json::List(sections)));
        Json::Map(module)
    };
    let modules: Vec<Json> = facts.get("elves").list().iter().map(module).collect();
    let tables = ["wasm_signatures", "module_signatures", "instance_signatures"];
    let types = tables.map(|table| (table.to_owned(), facts.get("types").get(table).get("elems").clone()));
    let same = |key: &str| (key.to_owned(), facts.get(key).clone());
    Json::Map(vec![
        same("file_len"),
        ("producer".into(), Json::Text("wasmtime".into())),
        same("version"),
        same("target"),
        ("main".into(), Json::number(modules.len() - 1)),
        ("modules".into(), Json::List(modules)),
        same("header_offset"),
        same("metadata_offset"),
        same("shared_flags"),
        same("isa_flags"),
        same("tunables"),
        same("features"),
        same("module_upvars"),
        ("types".into(), Json::Map(types.into())),
        ("trailer".into(), Json::Null),
    ])
}

#[test]
fn prints_what_an_independent_parser_found() {
    for name in fixtures() {
        let ran = run(&["inspect", "--json", &fixture(&format!("{name}.cwasm"))]).expect(0);
        assert_eq!(ran.err, "", "{name}");
        let (found, expected) = (ran.json(), expected(&name));
        for key in expected.keys() {
            assert_eq!(found.get(key), expected.get(key), "{name}: {key}");
        }
        let order = "file_len producer version target modules main header_offset metadata_offset shared_flags isa_flags \
                     tunables features module_upvars types trailer";
        assert_eq!(found.keys().join(" "), order);
    }
}

#[test]
fn prints_v128_exactly() {
    let ran = run(&["inspect", "--json", &fixture("ml_types.cwasm")]).expect(0);
    assert!(ran.out().contains("\"V128Const\": 171653549535673402679019659085567242768\n"));
}

#[test]
fn reads_standard_input() {
    let named = run(&["inspect", "--json", &fixture("types.cwasm")]).expect(0);
    let piped = run_with(&["inspect", "--json", "-"], &genuine("types")).expect(0);
    assert_eq!(named.out(), piped.out());
}

/// Rows of the text output for `ml_types`, as lists of cells.
const WORDS: [&[&str]; 11] = [
    &["producer", "wasmtime"],
    &["version", "0.33.0"],
    &["target", "x86_64-unknown-linux-gnu"],
    &["integrity", "none"],
    &["signature", "none"],
    &["ELF", "relocatable, x86-64, little-endian"],
    &["location", "offset 12288, 1808 bytes (1.8 KiB), aligned to 4096 bytes (4 KiB)"],
    &["section", "offset", "size", "align", "type", "flags"],
    &[".text", "4096", "4096", "4096", "PROGBITS", "AX"],
    &["opt_level", "speed"],
    &["static_memory_bound", "65536 pages, 4294967296 bytes (4 GiB)"],
];

#[test]
fn prints_text() {
    let file = fixture("ml_types.cwasm");
    let ran = run(&["inspect", &file]).expect(0);
    let rows = WORDS.map(|cells| cells.join("\t"));
    for line in rows.iter().map(String::as_str).chain([
        format!("{file}: artifact, 16208 bytes (15.8 KiB)").as_str(),
        "module 1 (main)",
        "  function 0: (i32) -> (i64)",
        "    export \"vc\": global v128, initialized to 0x8123456789abcdeffedcba9876543210",
    ]) {
        assert!(ran.out().lines().any(|found| found == line), "{line:?} is not in\n{}", ran.out());
    }
    let upvars = run(&["inspect", &fixture("ml_upvars1.cwasm")]).expect(0);
    assert!(upvars.out().contains("\n  upvar 0: module 1, artifact upvars: 0\n"));
}

#[test]
fn tables_are_aligned_on_a_terminal() {
    let seen = shown(command(&["inspect", "--symbols", &fixture("ml_types.cwasm")]));
    assert!(!seen.contains('\t'));
    // Cells are separated by at least two spaces.
    let rows: Vec<Vec<&str>> =
        seen.lines().map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()).collect();
    for cells in WORDS {
        assert!(rows.iter().any(|row| row == cells), "{cells:?} is not in\n{seen}");
    }
    for line in [
        "  producer   wasmtime",
        "  .text                           4096        4096    4096  PROGBITS    AX",
        "  opt_level                               speed",
    ] {
        assert!(seen.lines().any(|found| found == line), "{line:?} is not in\n{seen}");
    }
}

#[test]
fn empty_settings_take_one_line() {
    let folder = Folder::new();
    let ran = run(&["inspect", &folder.artifact("bare", &Engine::new())]).expect(0);
    let settings = "shared flags: none\n\nISA flags: none\n\ntunables: all off or 0\n\nfeatures: none\n\n";
    assert!(ran.out().ends_with(&format!("\n\n{settings}upvars: none\n\ntypes: none\n")), "{}", ran.out());
}

#[test]
fn lists_symbols_on_request() {
    let file = fixture("addfib.cwasm");
    let plain = run(&["inspect", "--json", &file]).expect(0).json();
    assert!(!plain.get("modules").list()[0].keys().contains(&"symbols"));
    let ran = run(&["inspect", "--json", "--symbols", &file]).expect(0).json();
    let symbols = ran.get("modules").list()[0].get("symbols").list();
    let facts = facts("addfib");
    let elf = &facts.get("elves").list()[0];
    let undefined = |symbol: &&Json| symbol.get("section") == &Json::number(0);
    let names: Vec<&str> = symbols.iter().filter(undefined).map(|symbol| symbol.get("name").text()).collect();
    let expected: Vec<&str> = elf.get("undefined_symbols").list().iter().map(Json::text).collect();
    assert_eq!(names, expected);
    for (found, expected) in symbols.iter().zip(elf.get("symbols_first6_defined").list()) {
        assert_eq!((found.get("name"), found.get("size")), (expected.get("name"), expected.get("size")));
    }
    let words = run(&["inspect", "--symbols", &file]).expect(0);
    assert!(words.out().contains("\nvalue\tsize\ttype\tbinding\tsection\tsymbol\n"));
    assert!(words.out().contains("\n0000000000000011\t129\tFUNC\tLOCAL\t.text\t_wasm_function_1\n"));
    assert!(words.out().contains("\n0000000000000000\t0\tNOTYPE\tWEAK\tundefined\twasmtime_f64_nearest\n"));
}

#[test]
fn symbols_that_cannot_be_decoded_are_null() {
    let mut bytes = genuine("addfib");
    let word = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let sections = word(&bytes, 0x28) as usize;
    let count = u16::from_le_bytes([bytes[0x3c], bytes[0x3d]]) as usize;
    let is_symtab = |header: &usize| bytes[*header + 4..*header + 8] == 2u32.to_le_bytes();
    let symtab = (0..count).map(|index| sections + index * 64).find(is_symtab).unwrap();
    bytes[symtab + 0x18..symtab + 0x20].copy_from_slice(&(1u64 << 40).to_le_bytes()); // sh_offset
    let folder = Folder::new();
    let file = folder.file("damaged", bytes);
    let shown = run(&["inspect", "--json", "--symbols", &file]).out().to_owned();
    assert!(shown.contains("\"symbols\": null"), "{shown}");
}

#[test]
fn keeps_order_and_duplicates_of_the_file() {
    let folder = Folder::new();
    // Unsorted names, one of them twice.
    let bytes = patched(patched(genuine("addfib"), b"has_bmi2", b"has_bmi1"), b"has_avx2", b"has_zzz2");
    let ran = run(&["inspect", "--json", &folder.file("a", bytes)]).expect(0);
    let flags = ran.json().get("isa_flags").clone();
    let names = flags.keys();
    assert_eq!(names[..2], ["has_avx", "has_zzz2"]);
    assert_eq!(names.iter().filter(|name| **name == "has_bmi1").count(), 2);
    assert_eq!(names.len(), 15);
}

#[test]
fn shows_what_can_be_decoded_of_an_unknown_version() {
    let folder = Folder::new();
    let other = folder.file("other", patched(genuine("addfib"), b"\x060.33.0", b"\x069.99.9"));
    let found = run(&["inspect", "--json", &other]).expect(0).json();
    assert_eq!(found.get("version").text(), "9.99.9");
    assert_eq!(found.get("target").text(), "x86_64-unknown-linux-gnu");

    let unknown = folder.file("unknown", garbled(b"9.99.9"));
    let ran = run(&["inspect", "--json", &unknown]).expect(0);
    assert_eq!(ran.json().get("version").text(), "9.99.9");
    assert_eq!(ran.json().get("modules"), expected("addfib").get("modules"));
    for key in ["target", "shared_flags", "isa_flags", "tunables", "features", "module_upvars", "types"] {
        assert_eq!(ran.json().get(key), &Json::Null, "{key}");
    }
    assert!(
        ran.err.starts_with(&format!("warning: '{unknown}': Metadata of version '9.99.9' has an unknown layout")),
        "{}",
        ran.err
    );
    assert!(run(&["inspect", &unknown]).expect(0).out().contains("\nversion\t9.99.9\n"));
    // With a known version, it is damage.
    run(&["inspect", &folder.file("damaged", garbled(b"0.33.0"))]).expect(3);

    let engine = folder.file("engine.json", Engine::wasmtime().to_json().unwrap());
    run(&["inspect", "--engine", &engine, &fixture("addfib.cwasm")]).expect(0);
    run(&["inspect", "--engine", &engine, &other]).expect(1);
}

#[test]
fn shows_what_can_be_decoded_of_a_damaged_module() {
    let folder = Folder::new();
    let mut bytes = genuine("addfib");
    let headers: usize = facts("addfib").get("elves").list()[0].get("e_shoff").text()[1..].parse().unwrap();
    bytes[headers + 64..headers + 68].fill(0xff); // the name of section 1
    let file = folder.file("a", bytes);
    let ran = run(&["inspect", "--json", &file]).expect(3);
    assert_eq!(ran.json().get("modules").list()[0].get("sections"), &Json::Null);
    assert_eq!(ran.json().get("types"), expected("addfib").get("types"));
    assert!(ran.err.starts_with(&format!("error: '{file}': module 0: name of section 1: ")), "{}", ran.err);
}

#[test]
fn text_from_a_file_is_escaped() {
    let folder = Folder::new();
    let bytes = patched(genuine("addfib"), b"opt_level", b"opt\x1b[31m\n");
    let ran = run(&["inspect", &folder.file("a", bytes)]).expect(0);
    assert!(!ran.out().contains('\x1b'));
    assert!(ran.out().contains("opt\\u{1b}[31m\\n"), "{}", ran.out());
}

#[test]
fn names_that_overlap_take_memory_in_proportion_to_the_file() {
    const COUNT: usize = 1000;
    let strings = format!("\0{}\0", "S".repeat(60_000));
    let section = |kind: u32, size: usize| {
        let mut header = vec![0; 64];
        header[4..8].copy_from_slice(&kind.to_le_bytes());
        header[24..32].copy_from_slice(&64u64.to_le_bytes()); // sh_offset
        header[32..40].copy_from_slice(&(size as u64).to_le_bytes());
        header
    };
    let mut elf = Shape::default().image();
    elf.truncate(64);
    elf.extend(strings.bytes());
    let headers = elf.len().next_multiple_of(8);
    elf.resize(headers, 0);
    elf.extend([vec![0; 64], section(3, strings.len())].concat()); // SHT_STRTAB
    (2..COUNT).for_each(|_| elf.extend(section(8, 0))); // SHT_NOBITS
    elf[0x28..0x30].copy_from_slice(&(headers as u64).to_le_bytes());
    elf[0x3c..0x40].copy_from_slice(&[COUNT.to_le_bytes()[0], COUNT.to_le_bytes()[1], 1, 0]);
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(&elf).unwrap();
    let mut bytes = builder.serialize().unwrap();
    for index in 1..COUNT {
        bytes[headers + index * 64..][..4].copy_from_slice(&(index as u32).to_le_bytes()); // the name
    }
    let folder = Folder::new();
    let file = folder.file("a", bytes);
    let ran = run(&["inspect", "--json", &file]).expect(5);
    assert_eq!(ran.json().get("modules").list()[0].get("sections"), &Json::Null);
    let expected =
        "module 0: names: expected at most 1048576 bytes of them in a file of this size, found more that overlap";
    assert!(ran.err.contains(expected), "{}", ran.err);
}
