//! Merging of equal strings and constants: images are as small as ld's, and do the same.
#![allow(missing_docs)]

mod native;

use std::fs;
use std::path::Path;
use std::process::Command;

use artifact::format::module::Module;
use artifact::native::link::Options;

use native::{AARCH64, Machine, X86_64, compile_text, folder, link_to, link_to_with, load_and_run, run};

const ONE: &str = "
    #include <wchar.h>
    const char *texts[] = {\"shared\", \"only in one\", \"shared\" + 2, \"an aligned string of some length\"};
    const wchar_t *wide[] = {L\"wide\", L\"shared\"};
    double scaled(double x) { return x * 2.5 + 0.125; }
    float scaled_float(float x) { return x * 2.5f; }
    const char *from_two(int);
    int run(void) {
        if (__builtin_strcmp(texts[0], from_two(0)) || __builtin_strcmp(texts[2], \"ared\")) return 1;
        if (wide[1][0] != L's' || wide[0][3] != L'e' || from_two(1)[0] != 'o' || from_two(2)[4] != '\\n') return 2;
        if (__builtin_strcmp(texts[3], \"an aligned string of some length\")) return 3;
        return (int)(scaled(4) * 8) + (int)scaled_float(2) + (texts[0] == from_two(0)) * 1000;
    }";
const TWO: &str = "
    #include <wchar.h>
    const char *from_two(int n) { return n == 0 ? \"shared\" : n == 1 ? \"only in two\" : \"two\\0\\nx\"; }
    const wchar_t *wide_two(void) { return L\"shared\"; }
    double scaled_too(double x) { return x * 2.5 - 0.125; }";

fn contents(image: &[u8], section: &[u8]) -> Vec<u8> {
    let section = Module::parse(image).unwrap().section_named(section).unwrap();
    image[section.offset as usize..][..section.size as usize].to_vec()
}

fn count(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).filter(|window| *window == text).count()
}

#[test]
fn equal_entries_are_stored_once() {
    for machine in [X86_64, AARCH64].into_iter().filter(Machine::is_here) {
        for flags in
            [&["-O1"][..], &["-O2"], &["-O2", "-ffunction-sections", "-fdata-sections", "-fmerge-all-constants"]]
        {
            let folder = folder(&format!("merge-{}", machine.name));
            let flags = [&["-fPIC", "-w"], flags].concat();
            let object = |name: &str, text| compile_text(machine.cc, &flags, "c", text, &folder.join(name));
            let (one, two) = (object("one.o", ONE), object("two.o", TWO));
            let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
            let image = link_to(&[&one, &two], &ours);
            machine.system_link(&[&one, &two], &theirs);
            let driver = machine.driver(&folder);
            let said = machine.open(&driver, &[&ours]);
            assert_eq!(said, machine.open(&driver, &[&theirs]), "{flags:?}");
            assert_eq!(said, "returned 1086\nclosed\n", "{flags:?}");
            if machine.name == std::env::consts::ARCH {
                assert_eq!(load_and_run(&image), 1086);
            }
            let constants = contents(&image, b".rodata");
            assert_eq!(count(&constants, b"shared\0"), 1, "{flags:?}");
            assert_eq!(count(&constants, b"s\0\0\0h\0\0\0a\0\0\0"), 1, "{flags:?}");
            assert_eq!(count(&constants, &2.5f64.to_le_bytes()), usize::from(machine.name == "x86_64"));
        }
    }
}

/// What a section may say, and which entries it has then.
#[test]
fn only_whole_entries_are_merged() {
    let folder = folder("merge-which");
    let image = |sections: &str| {
        let text = format!(".globl run\nrun: ret\n{sections}");
        let object = compile_text("cc", &[], "s", &text, &folder.join("which.o"));
        link_to(&[&object], &folder.join("ours.so"))
    };
    for (section, entries, size) in [
        ("\"aM\", @progbits, 8", ".quad 1, 2, 1", 16),
        ("\"aM\", @progbits, 4", ".long 1, 2, 1, 1, 2", 8),
        ("\"aMS\", @progbits, 1", ".asciz \"a\", \"b\", \"\", \"a\", \"\"", 5),
        ("\"aMS\", @progbits, 2", ".short 'a', 0, 'a', 0, 0", 6),
        // Not merged: no flag, no end, alignment over the entries', written, with relocations.
        ("\"a\", @progbits", ".quad 1, 2, 1", 24),
        ("\"aMS\", @progbits, 1", ".asciz \"a\", \"a\"\n.ascii \"a\"", 5),
        ("\"aM\", @progbits, 4", ".balign 8\n.long 1, 1, 1, 1", 16),
        ("\"awM\", @progbits, 8", ".quad 1, 1", 16),
        ("\"aM\", @progbits, 4", ".long run - ., 0, 0", 12),
    ] {
        let image = image(&format!(".section .constants, {section}\n{entries}"));
        assert_eq!(contents(&image, b".constants").len(), size, "{section}: {entries}");
    }
    // A section whose name is an identifier is an array.
    let array = image(".section array, \"aM\", @progbits, 8\n.quad 1, 1\n.data\n.quad __start_array");
    assert_eq!(contents(&array, b"array").len(), 16);
}

/// A constant that each thread has its own copy of isn't the same as an equal one of the image.
#[test]
fn thread_local_constants_are_not_merged() {
    let text = "
        .section .rodata.own, \"aMT\", @progbits, 8
        .globl own
        .type own, @tls_object
        own: .quad 5, 5
        .section .rodata, \"aM\", @progbits, 8
        .globl shared
        shared: .quad 5, 7, 5
        .data
        .quad shared + 8
        .text
        .globl run
        run: ret";
    let folder = folder("merge-thread-local");
    let object = compile_text("cc", &["-Wa,--no-warn"], "s", text, &folder.join("object.o"));
    let image = link_to(&[&object], &folder.join("ours.so"));
    let module = Module::parse(&image).unwrap();
    let symbols = module.symbols().unwrap();
    let value = |name: &[u8]| symbols.named(name).unwrap().value as usize;
    assert_eq!(value(b"own"), 0, "in the TLS segment");
    // Read-only sections have the same addresses and offsets.
    let shared = &image[value(b"shared")..][..16];
    assert_eq!(shared, [5u64.to_le_bytes(), 7u64.to_le_bytes()].as_flattened());
}

/// Relocations against the section's symbol, and against symbols within and at the end of entries.
#[test]
fn references_find_their_entries() {
    let text = "
        .section .rodata.str, \"aMS\", @progbits, 1
        first: .asciz \"same\"
        second: .asciz \"same\"
        third: .asciz \"other\"
        .section .rodata.pairs, \"aM\", @progbits, 8
        .balign 8
        .quad 7, 8, 7
        last: .quad 9
        end:
        .section .data.rel.ro, \"aw\"
        .globl run, end
        .hidden end
        .quad first, second, third, second + 1, .rodata.str + 5, .rodata.str + 12, .rodata.pairs + 16, last, end, end - 8
        .text
        run: ret";
    let folder = folder("merge-references");
    let object = compile_text("cc", &[], "s", text, &folder.join("references.o"));
    let ours = folder.join("ours.so");
    let image = link_to(&[&object], &ours);
    let module = Module::parse(&image).unwrap();
    let relocated = run(Command::new("readelf").args(["--wide", "--relocs"]).arg(&ours));
    let addends: Vec<u64> = relocated
        .lines()
        .filter(|line| line.contains("R_X86_64_RELATIVE"))
        .map(|line| u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap())
        .collect();
    let base = module.section_named(b".rodata").unwrap().address;
    let offsets: Vec<u64> = addends.iter().map(|address| address - base).collect();
    // The pool of strings is "same" and "other"; that of pairs 7, 8 and 9, from 16 on.
    assert_eq!(offsets, [0, 0, 5, 1, 0, 7, 16, 32, 40, 32]);
    assert_eq!(contents(&image, b".rodata").len(), 40);
    // The end of a section is in no entry.
    let text = text.replace("last, end,", "last, .rodata.pairs + 32,");
    let object = compile_text("cc", &[], "s", &text, &folder.join("end.o"));
    assert_eq!(contents(&link_to(&[&object], &ours), b".rodata").len(), 48);
}

/// The debug information of many objects that include the same headers.
#[test]
fn debug_information_is_as_small_as_with_ld() {
    let folder = folder("merge-debug");
    let objects: Vec<_> = (0..8)
        .map(|number| {
            let text =
                format!("#include <stdio.h>\n#include <stdlib.h>\nint f{number}(FILE *f) {{ return fclose(f); }}");
            let text = if number == 0 { format!("{text}\nint run(void) {{ return 5; }}") } else { text };
            compile_text("cc", &["-g", "-O1", "-fPIC"], "c", &text, &folder.join(format!("{number}.o")))
        })
        .collect();
    let objects: Vec<&Path> = objects.iter().map(AsRef::as_ref).collect();
    let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
    let image = link_to_with(&objects, &Options::default(), &ours);
    assert_eq!(load_and_run(&image), 5);
    X86_64.system_link(&objects, &theirs);
    let theirs = fs::read(&theirs).unwrap();
    // Unlike lld, ld also stores a string within a longer one that ends with it.
    for (section, ratio) in [(&b".debug_str"[..], 1.2), (b".debug_line_str", 1.2), (b".comment", 1.05)] {
        let (size, expected) = (contents(&image, section).len() as f64, contents(&theirs, section).len() as f64);
        assert!(size <= ratio * expected, "{}: {size} bytes, ld has {expected}", String::from_utf8_lossy(section));
    }
    let names = |image: &Path| {
        let text = run(Command::new("readelf").arg("--debug-dump=info").arg(image));
        let names = text.lines().filter(|line| line.contains("DW_AT_name") || line.contains("DW_AT_comp_dir"));
        names.map(|line| line.rsplit_once(": ").unwrap().1.trim().to_owned()).collect::<Vec<_>>()
    };
    assert!(names(&ours).len() > 100);
    assert_eq!(names(&ours), names(&folder.join("theirs.so")));
}
