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
