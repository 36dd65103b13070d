//! What happens to each kind of section that compilers, assemblers and their plug-ins write: it is linked as linkers do, left out, or
//! refused by name.
mod native;

use std::path::{Path, PathBuf};
use std::process::Command;

use artifact::error::Status;
use artifact::format::module::Module;

use native::{AARCH64, Machine, X86_64, compile_text, folder, link_to, run, try_link};

fn assemble(machine: &Machine, folder: &Path, name: &str, text: &str) -> PathBuf {
    compile_text(machine.cc, &[], "s", text, &folder.join(name))
}

/// Returns the content of a section.
fn content<'i>(image: &'i [u8], name: &str) -> &'i [u8] {
    let section = Module::parse(image).unwrap().section_named(name.as_bytes()).unwrap();
    &image[section.offset as usize..][..section.size as usize]
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

/// Sections that only linkers read, or without which an image is right.
const LEFT_OUT: &[&str] = &[
    ".sframe,\"a\",@progbits",
    "sframe_too,\"a\",@0x6ffffff4",
    ".note.gnu.property,\"a\",@note",
    ".llvm_addrsig,\"e\",@0x6fff4c03",
    ".deplibs,\"MS\",@0x6fff4c04,1",
    ".llvm.call-graph-profile,\"\",@0x6fff4c09",
    ".llvm_bb_addr_map,\"o\",@0x6fff4c0a,.text",
    "a_llvm_table,\"a\",@0x6fff4c7f",
    ".gnu.attributes,\"\",@0x6ffffff5",
    ".ARM.attributes,\"\",@0x70000003",
    ".llvmbc,\"\",@progbits",
    ".llvmcmd,\"\",@progbits",
    ".gnu.warning.gets,\"\",@progbits",
    ".stab.indexstr,\"\",@progbits",
    ".note.GNU-no-split-stack,\"\",@progbits",
    ".gnu.lto_main,\"e\",@progbits",
    "of_an_application,\"\",@0x80000001",
];

#[test]
fn what_only_linkers_read_is_left_out() {
    let folder = folder("left-out");
    let text: String = LEFT_OUT.iter().map(|section| format!(".section {section}\n.quad .text\n")).collect();
    let one = assemble(&X86_64, &folder, "one.o", &format!(".globl one\none: ret\n{text}"));
    let two = assemble(&X86_64, &folder, "two.o", &format!(".globl two\ntwo: ret\n{text}"));
    let image = link_to(&[&one, &two], &folder.join("image.so"));
    let module = Module::parse(&image).unwrap();
    for section in LEFT_OUT {
        let name = section.split(',').next().unwrap();
        assert!(Module::parse(&std::fs::read(&one).unwrap()).unwrap().section_named(name.as_bytes()).is_ok(), "{name}");
        assert!(module.section_named(name.as_bytes()).is_err(), "{name}");
    }
}

/// Tracers find probes by `.note.stapsdt`, whose notes have addresses.
#[test]
fn notes_outside_memory_follow_each_other() {
    let folder = folder("notes");
    let note = |value: u8| {
        let text = format!(
            ".globl f{value}\n.zero {value}\nf{value}: ret\n.section .note.stapsdt,\"\",@note\n.balign 4\n\
             .long 4, 8, 3\n.asciz \"std\"\n.quad f{value}\n"
        );
        assemble(&X86_64, &folder, &format!("note{value}.o"), &text)
    };
    let image = link_to(&[&note(3), &note(5)], &folder.join("image.so"));
    let notes = content(&image, ".note.stapsdt");
    assert_eq!(notes.len(), 48);
    let symbols = Module::parse(&image).unwrap().symbols().unwrap();
    let address = |name: &str| symbols.named(name.as_bytes()).unwrap().value;
    assert_eq!(words(&notes[16..24]), [address("f3")]);
    assert_eq!(words(&notes[40..]), [address("f5")]);
}

#[test]
fn debug_sections_may_refer_to_the_got() {
    let text = "
        .globl f
        f: movq outside@GOTPCREL(%rip), %rax
        ret
        .data
        x: .quad 1
        .section .debug_info,\"\",@progbits
        .quad 0
        .macro field kind, symbol
        .reloc ., \\kind, \\symbol
        .quad 0
        .endm
        field R_X86_64_GOTPC64, _GLOBAL_OFFSET_TABLE_
        field R_X86_64_GOTOFF64, x
        field R_X86_64_GOTPCREL64, outside
        field R_X86_64_GOT64, outside
        field R_X86_64_GOT64, x
        field R_X86_64_PC64, f
        field R_X86_64_PC64, .debug_info
        field R_X86_64_GOTOFF64, nowhere";
    let folder = folder("debug-got");
    let image = link_to(&[&assemble(&X86_64, &folder, "got.o", text)], &folder.join("image.so"));
    let module = Module::parse(&image).unwrap();
    let address = |name: &str| module.section_named(name.as_bytes()).unwrap().address;
    let (got, x, f) = (address(".got"), address(".data"), address(".text"));
    let minus = u64::wrapping_sub;
    let expected = [0, minus(got, 8), minus(x, got), minus(got, 24), 0, 0, minus(f, 48), minus(0, 56), 0];
    assert_eq!(words(content(&image, ".debug_info")), expected);
    // Debug information alone makes no GOT, and does not stop a link.
    let text = ".globl f\nf: ret\n.section .debug_info,\"\",@progbits\n.reloc ., R_X86_64_GOTPC64, _GLOBAL_OFFSET_TABLE_\n.quad 0\n";
    let image = link_to(&[&assemble(&X86_64, &folder, "alone.o", text)], &folder.join("alone.so"));
    assert_eq!(words(content(&image, ".debug_info")), [0]);
}

/// OpenSSL's assembly calls a function in `.init`.
#[test]
fn pieces_of_init_and_fini_become_functions() {
    let pieces = |machine: &Machine, number: u32| {
        let call = if machine.name == "x86_64" { "call" } else { "bl" };
        format!(
            ".section .init,\"ax\",%progbits\n{call} up{number}\n.section .fini,\"ax\",%progbits\n.balign 16\n{call} down{number}\n"
        )
    };
    let code = "
        #include <stdio.h>
        #define HIDDEN __attribute__((visibility(\"hidden\")))
        #define SAY(name) HIDDEN void name(void); void name(void) { printf(\"%s %g\\n\", #name, number / 2.0); number++; }
        static int number = 1;
        SAY(up1) SAY(up2) SAY(down1) SAY(down2)
        static __attribute__((constructor(101))) void early(void) { printf(\"early %d\\n\", number); }
        static __attribute__((destructor(101))) void late(void) { printf(\"late %d\\n\", number); }
        int run(void) { return number; }";
    for machine in [X86_64, AARCH64].into_iter().filter(Machine::is_here) {
        let folder = folder(&format!("init-{}", machine.name));
        let driver = machine.driver(&folder);
        let code = compile_text(machine.cc, &["-O1", "-fPIC"], "c", code, &folder.join("code.o"));
        let one = assemble(&machine, &folder, "one.o", &pieces(&machine, 1));
        let two = assemble(&machine, &folder, "two.o", &pieces(&machine, 2));
        let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
        link_to(&[&code, &one, &two], &ours);
        run(Command::new(machine.cc).arg("-shared").args([&code, &one, &two]).arg("-o").arg(&theirs));
        let said = machine.open(&driver, &[&ours]);
        assert_eq!(
            said, "up1 0.5\nup2 1\nearly 3\nreturned 3\nlate 3\ndown1 1.5\ndown2 2\nclosed\n",
            "{}",
            machine.name
        );
        assert_eq!(said, machine.open(&driver, &[&theirs]), "{}", machine.name);
    }
}

#[test]
fn what_cannot_be_linked_says_so() {
    let folder = folder("refused");
    for (text, words) in [
        (".section .note.GNU-split-stack,\"\",@progbits\n", &["'.note.GNU-split-stack'", "-fsplit-stack"][..]),
        (".section .init,\"ax\"\n.globl _init\n_init: nop\n", &["'_init'", "crti.o"]),
        (".section .preinit_array.1,\"aw\"\n.quad 0\n", &["'.preinit_array.1'", "constructor"]),
        (".section odd,\"a\",@0x60000000\n.quad 0\n", &["'odd'", "unsupported type 0x60000000"]),
        (".section odd,\"a\",@0x80000001\n.quad 0\n", &["'odd'", "unsupported type 0x80000001"]),
    ] {
        let error = try_link(&[&assemble(&X86_64, &folder, "bad.o", text)]).map(drop).expect_err(text);
        assert_eq!(error.status(), Status::Unsupported, "{error}");
        for word in ["bad.o"].iter().chain(words) {
            assert!(error.message().contains(word), "no '{word}' in: {error}");
        }
    }
}

#[test]
fn compressed_debug_sections_are_expanded() {
    let folder = folder("compressed");
    let compile = |kind: &str| {
        let flags = ["-O1", "-g3", "-fPIC", "-fcommon", &format!("-Wa,--compress-debug-sections={kind}")];
        native::compile("cc", &flags, "many.c", &folder.join(format!("{kind}.o")))
    };
    let plain = compile("none");
    let expected = link_to(&[&plain], &folder.join("none.so"));
    let zstd = run(Command::new("as").arg("--help")).contains("zstd");
    for kind in ["zlib"].into_iter().chain(zstd.then_some("zstd")) {
        let object = compile(kind);
        let headers = run(Command::new("readelf").arg("-tW").arg(&object));
        assert!(headers.contains(&kind.to_uppercase()), "{headers}");
        let image = link_to(&[&object], &folder.join("image.so"));
        for section in [".debug_info", ".debug_line", ".debug_abbrev", ".debug_str", ".debug_macro"] {
            assert_eq!(content(&image, section), content(&expected, section), "{kind}: {section}");
        }
        assert!(image == expected, "{kind}");
    }
}

/// Offset of a section's header in an object.
fn header_of(object: &[u8], name: &str) -> usize {
    let offset = Module::parse(object).unwrap().section_named(name.as_bytes()).unwrap().offset;
    let headers = u64::from_le_bytes(object[40..48].try_into().unwrap()) as usize;
    let is_it = |at: &usize| object[at + 24..at + 32] == offset.to_le_bytes();
    (headers + 64..object.len()).step_by(64).find(is_it).unwrap()
}

#[test]
fn compressed_content_is_limited_and_exact() {
    const SIZE: usize = 8;
    let folder = folder("compressed-wrong");
    let text = "#include <stdio.h>\n#include <stdlib.h>\nint main(void) { return puts(\"\"); }\n";
    let object = compile_text("cc", &["-g3", "-fPIC", "-gz=zlib"], "c", text, &folder.join("sound.o"));
    let sound = std::fs::read(object).unwrap();
    let header = header_of(&sound, ".debug_str");
    let start = u64::from_le_bytes(sound[header + 24..header + 32].try_into().unwrap()) as usize;
    let size = u64::from_le_bytes(sound[start + SIZE..start + SIZE + 8].try_into().unwrap());
    let refused = |at: usize, bytes: &[u8], status: Status, words: &str| {
        let mut damaged = sound.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(folder.join("damaged.o"), damaged).unwrap();
        let error = try_link(&[&folder.join("damaged.o")]).unwrap_err();
        assert_eq!(error.status(), status, "{error}");
        assert!(error.message().contains("damaged.o") && error.message().contains(words), "{error}");
    };
    refused(start + SIZE, &(size + 1).to_le_bytes(), Status::Corrupt, "section '.debug_str': expected");
    refused(start + SIZE, &(size - 1).to_le_bytes(), Status::Corrupt, "section '.debug_str'");
    refused(start + SIZE, &(64 * sound.len() as u64 + 1).to_le_bytes(), Status::Limit, "section '.debug_str'");
    refused(start + SIZE, &u64::MAX.to_le_bytes(), Status::Limit, "section '.debug_str'");
    refused(start + 24, &[0; 16], Status::Corrupt, "section '.debug_str'");
    refused(start, &7u32.to_le_bytes(), Status::Unsupported, "zlib (1) or zstd (2), found 7");
    refused(header + 32, &4u64.to_le_bytes(), Status::Corrupt, "compression header");
    // Code may not be compressed.
    refused(header_of(&sound, ".text") + 8, &(0x806u64).to_le_bytes(), Status::Corrupt, "section '.text'");
}

/// Replaces a section's relocations by the same in LLVM's compact form, which takes less space.
fn make_compact(object: &mut [u8], name: &str) {
    fn signed(bytes: &mut Vec<u8>, mut value: i64) {
        loop {
            let (low, rest) = ((value & 0x7f) as u8, value >> 7);
            let done = rest == -i64::from(low >> 6);
            bytes.push(low | if done { 0 } else { 0x80 });
            value = rest;
            if done {
                break;
            }
        }
    }
    fn unsigned(bytes: &mut Vec<u8>, mut value: u64) {
        while value > 0x7f {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }
    let header = header_of(object, name);
    let field = |at: usize| u64::from_le_bytes(object[header + at..header + at + 8].try_into().unwrap()) as usize;
    let (start, size) = (field(24), field(32));
    let (mut bytes, mut last) = (Vec::new(), [0i64; 4]);
    unsigned(&mut bytes, (size as u64 / 24 * 8) | 4);
    for rela in words(&object[start..start + size]).chunks_exact(3) {
        let new = [rela[0] as i64, (rela[1] >> 32) as i64, rela[1] as i64 & 0xffff_ffff, rela[2] as i64];
        let (delta, flags) =
            ((new[0] - last[0]) as u64, (1..4).map(|at| u8::from(new[at] != last[at]) << (at - 1)).sum::<u8>());
        bytes.push(((delta as u8 & 0xf) << 3) | flags | if delta > 0xf { 0x80 } else { 0 });
        if delta > 0xf {
            unsigned(&mut bytes, delta >> 4);
        }
        (1..4).filter(|at| new[*at] != last[*at]).for_each(|at| signed(&mut bytes, new[at] - last[at]));
        last = new;
    }
    assert!(bytes.len() <= size);
    object[start..start + bytes.len()].copy_from_slice(&bytes);
    object[header + 4..header + 8].copy_from_slice(&0x4000_0014u32.to_le_bytes());
    object[header + 32..header + 40].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
}

#[test]
fn compact_relocations_are_relocations() {
    let folder = folder("compact");
    let flags = ["-O1", "-g", "-fPIC", "-fcommon"];
    let object = native::compile("cc", &flags, "many.c", &folder.join("many.o"));
    let expected = link_to(&[&object], &folder.join("expected.so"));
    let mut bytes = std::fs::read(&object).unwrap();
    for name in [".rela.text", ".rela.eh_frame", ".rela.debug_info"] {
        make_compact(&mut bytes, name);
    }
    std::fs::write(folder.join("compact.o"), &bytes).unwrap();
    assert!(link_to(&[&folder.join("compact.o")], &folder.join("image.so")) == expected);
    let header = header_of(&bytes, ".rela.text");
    let start = u64::from_le_bytes(bytes[header + 24..header + 32].try_into().unwrap()) as usize;
    let refused = |first: [u8; 2], status: Status, words: &str| {
        let mut bytes = bytes.clone();
        bytes[start..start + 2].copy_from_slice(&first);
        std::fs::write(folder.join("damaged.o"), bytes).unwrap();
        let error = try_link(&[&folder.join("damaged.o")]).unwrap_err();
        assert_eq!(error.status(), status, "{error}");
        assert!(
            error.message().contains("damaged.o: section '.rela.text': ") && error.message().contains(words),
            "{error}"
        );
    };
    refused([0xfc, 0x7f], Status::Corrupt, "relocation");
    refused([0x08, 0x00], Status::Unsupported, "with addends");
}

#[test]
fn one_error_names_all_that_cannot_be_linked() {
    let folder = folder("all");
    let one = "
        extern int far, farther; int near[9];
        int get(void) { return far + far; } int more(void) { return farther; }
        asm(\".section .preinit_array,\\\"aw\\\"\\n.globl listed\\nlisted: .quad 0\\n.text\\n\");
        extern int listed; int of_list(void) { return listed; }
        asm(\".symver old, old@V1\\n.globl old\\nold: ret\\n\");
        int same(void) { return 1; }";
    let two = "extern int far; int again(void) { return far; } int same(void) { return 2; }";
    let flags = ["-O1", "-fPIE", "-mcmodel=small"];
    let one = compile_text("cc", &flags, "c", one, &folder.join("one.o"));
    let two = compile_text("cc", &flags, "c", two, &folder.join("two.o"));
    let error = try_link(&[&one, &two]).unwrap_err();
    assert_eq!(error.status(), Status::Unsupported);
    let lines: Vec<&str> = error.message().split(" | ").collect();
    let begins = [
        "one.o: section '.preinit_array' is valid in executables only; use __attribute__((constructor))",
        "one.o: symbol 'old@V1' has a version and is defined, ",
        "duplicate symbol 'same' in one.o and two.o",
        "one.o:(.text+0x",
        "one.o:(.text+0x",
        "two.o:(.text+0x",
    ];
    assert_eq!(lines.len(), begins.len(), "{error}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "'{begin}' does not begin: {line}");
    }
    for (line, symbol, advice) in [(3, "'far'", true), (4, "'farther'", false), (5, "'far'", false)] {
        assert!(lines[line].contains(symbol) && lines[line].contains("; compile with -fPIC") == advice, "{error}");
    }
    let many: String = (0..30).map(|number| format!("movl far{number}(%rip), %eax\n")).collect();
    let error = try_link(&[&assemble(&X86_64, &folder, "many.o", &many)]).unwrap_err();
    let lines: Vec<&str> = error.message().split(" | ").collect();
    assert_eq!((lines.len(), lines[20]), (21, "and 10 more"));
}

/// Compilers without `.init_array` have lists of constructors that are run from the end.
#[test]
fn constructors_of_the_obsolete_form_run_as_with_ld() {
    let code = "
        #include <stdio.h>
        static int count;
        #define SAY(name) void name(void) { printf(\"%s %d\\n\", #name, ++count); }
        SAY(a) SAY(b) SAY(c) SAY(d) SAY(e)
        asm(\".section .ctors,\\\"aw\\\"\\n.balign 8\\n.quad a, b\\n.section .ctors.65435,\\\"aw\\\"\\n.balign 8\\n.quad c\\n\"
            \".section .dtors,\\\"aw\\\"\\n.balign 8\\n.quad a, d\\n.section .dtors.00010,\\\"aw\\\"\\n.balign 8\\n.quad e\\n.text\\n\");
        static __attribute__((constructor(200))) void early(void) { puts(\"early\"); }
        static __attribute__((constructor)) void usual(void) { puts(\"usual\"); }
        static __attribute__((destructor)) void late(void) { puts(\"late\"); }
        int run(void) { return count; }";
    for machine in [X86_64, AARCH64].into_iter().filter(Machine::is_here) {
        let folder = folder(&format!("ctors-{}", machine.name));
        let driver = machine.driver(&folder);
        let object = compile_text(machine.cc, &["-O1", "-fPIC"], "c", code, &folder.join("code.o"));
        let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
        link_to(&[&object], &ours);
        machine.system_link(&[&object], &theirs);
        let said = machine.open(&driver, &[&ours]);
        assert!(said.starts_with("c 1\nearly\n") && said.contains("returned 3\n"), "{said}");
        assert_eq!(said, machine.open(&driver, &[&theirs]), "{}", machine.name);
    }
    let folder = folder("ctors-wrong");
    for text in [".section .ctors,\"aw\"\n.long 0\n", ".section .ctors,\"aw\"\n.long 0\n.quad .text\n.long 0\n"] {
        let error = try_link(&[&assemble(&X86_64, &folder, "bad.o", text)]).unwrap_err();
        assert_eq!(error.status(), Status::Corrupt, "{error}");
        assert!(error.message().starts_with("bad.o: section '.ctors': expected words"), "{error}");
    }
}
