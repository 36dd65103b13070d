//! Dropping of unused sections: an image keeps what ld keeps, and does the same.
#![allow(missing_docs)]

mod native;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use artifact::error::Status;
use artifact::native::link::Options;

use native::{
    AARCH64, Machine, X86_64, compile, compile_text, folder, have, link_to_with, load_and_run, run, try_link_with,
};

/// The options with which only `run` is exported.
fn only_run() -> Options<'static> {
    let mut options = Options::default();
    options.entries = &["run"];
    options
}

/// Links with the system's linker in the same way.
fn system_link(linker: &str, arguments: &[&str], files: &[&Path], image: &Path) {
    let script = image.with_extension("map");
    fs::write(&script, "{ global: run; local: *; };").unwrap();
    let mut command = Command::new(linker);
    command.args(["-shared", "-Bsymbolic", "--gc-sections", "-O1", "-u", "run", "--version-script"]).arg(script);
    run(command.args(arguments).arg("-o").arg(image).args(files));
}

/// The functions and objects that an image has; neither labels nor what linkers define.
fn symbols(image: &Path) -> BTreeSet<String> {
    let text = run(Command::new("readelf").args(["--wide", "--symbols"]).arg(image));
    let words = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let kept =
        words.filter(|words| matches!(words[..], [_, _, _, "FUNC" | "OBJECT", _, _, section, _] if section != "UND"));
    kept.map(|words| words[7].to_owned())
        .filter(|name| !name.contains(['$', '_']) || name.starts_with("kept"))
        .collect()
}

const KEPT: &str = "
    int common, unusedcommon[1000];
    __attribute__((weak)) extern int absent;
    static int started;
    __attribute__((constructor)) static void begin(void) { started = 30; }
    __attribute__((destructor)) static void finish(void) { started = 0; }
    __attribute__((section(\"registry\"))) int first = 4, second = 5;
    __attribute__((section(\"other\"))) int unregistered = 6;
    extern int __start_registry[], __stop_registry[];
    int unusedtoo(void) { return absent + *__start_registry; }
    int unused(void) { return unusedtoo() + 1; }
    const char *unusedtext(void) { return \"nobody says this\"; }
    const char *volatile text = \"this is said\";
    static int table(int n) { static const int numbers[] = {1, 2, 3}; return numbers[n]; }
    static int (*const volatile pointers[])(int) = {table};
    extern int theirs(int);
    int run(void) {
        int sum = started + common;
        for (int *entry = __start_registry; entry < __stop_registry; entry++) sum += *entry;
        return sum + pointers[0](2) + theirs(3) + (text[0] == 't') * 10000;
    }";
const THEIRS: &str = "
    int unusedelsewhere(int n) { return n; }
    static int helper(int n) { return n * 1000; }
    int theirs(int n) { return helper(n); }
    int nowhere(void); int unresolved(void) { return nowhere(); }";

fn sources(machine: &Machine, folder: &Path, flags: &[&str]) -> [PathBuf; 2] {
    let flags =
        [&["-O1", "-fPIC", "-fcommon", "-fno-inline", "-ffunction-sections", "-fdata-sections"], flags].concat();
    [("kept", KEPT), ("theirs", THEIRS)]
        .map(|(name, text)| compile_text(machine.cc, &flags, "c", text, &folder.join(format!("{name}.o"))))
}

#[test]
fn c_keeps_what_ld_keeps() {
    for machine in [X86_64, AARCH64].into_iter().filter(Machine::is_here) {
        let folder = folder(&format!("gc-{}", machine.name));
        let objects = sources(&machine, &folder, &[]);
        let [kept, theirs] = objects.each_ref().map(PathBuf::as_path);
        let (ours, by_ld) = (folder.join("ours.so"), folder.join("theirs.so"));
        let image = link_to_with(&[kept, theirs], &only_run(), &ours);
        system_link(machine.ld, &[], &[kept, theirs], &by_ld);
        let expected = [
            "run", "text", "begin", "finish", "table", "pointers", "theirs", "helper", "started", "common", "first",
            "second",
        ];
        let expected: BTreeSet<_> = expected.iter().chain(&["numbers.0"]).map(|name| (*name).to_owned()).collect();
        assert_eq!(symbols(&ours), expected);
        // ld keeps all common symbols.
        assert_eq!(symbols(&by_ld), &expected | &["unusedcommon".to_owned()].into());
        let has = |text: &[u8]| image.windows(text.len()).any(|window| window == text);
        assert!(has(b"this is said") && !has(b"nobody says this"));
        let undefined = run(Command::new("nm").args(["--dynamic", "--undefined-only"]).arg(&ours));
        assert_eq!(undefined, "", "only functions that are left out import something");
        let driver = machine.driver(&folder);
        assert_eq!(machine.open(&driver, &[&ours]), "returned 13042\nclosed\n");
        if machine.name == std::env::consts::ARCH {
            assert_eq!(load_and_run(&image), 13042);
        }
        // Without entries, everything that is exported is needed.
        let mut options = Options::default();
        options.gc_sections = true;
        link_to_with(&[kept, theirs], &options, &ours);
        assert!(symbols(&ours).is_superset(&["unused", "unusedcommon", "unusedelsewhere"].map(str::to_owned).into()));
        assert!(!symbols(&ours).contains("nothing"));
    }
}

#[test]
fn sections_that_ask_for_it_are_kept() {
    let text = "
        .globl run
        .section .text.run, \"ax\"
        run: movl $7, %eax
        ret
        .section .text.retained, \"axR\"
        .type keptretained, @function
        keptretained: call keptbyretained
        ret
        .section .text.by, \"ax\"
        .type keptbyretained, @function
        keptbyretained: ret
        .section .text.described, \"ax\"
        .type described, @function
        described: ret
        .section describes, \"ao\", @progbits, .text.described
        .quad 1
        .section .text.keptunit, \"axG\", @progbits, unit, comdat
        .type keptunit, @function
        keptunit: ret
        .section .rodata.keptunit, \"aG\", @progbits, unit, comdat
        .type keptwithunit, @object
        keptwithunit: .quad 2
        .section .init_array, \"aw\"
        .quad keptunit
        .section .note.keptnote, \"a\", @note
        .long 4, 4, 1
        .asciz \"abc\"
        .long 5
        .section .data.cycle, \"aw\"
        .type cycle, @object
        cycle: .quad again
        .section .data.again, \"aw\"
        .type again, @object
        again: .quad cycle";
    let folder = folder("gc-asks");
    let object = compile_text("cc", &[], "s", text, &folder.join("asks.o"));
    let ours = folder.join("ours.so");
    link_to_with(&[&object], &only_run(), &ours);
    let kept = ["run", "keptretained", "keptbyretained", "keptunit", "keptwithunit"].map(str::to_owned);
    let found = run(Command::new("nm").arg("--format=just-symbols").arg(&ours));
    assert_eq!(found.lines().map(str::to_owned).collect::<BTreeSet<_>>(), kept.into());
    let sections = run(Command::new("readelf").args(["--wide", "--sections"]).arg(&ours));
    assert!(sections.contains(".note.keptnote") && !sections.contains("describes"), "{sections}");
}

/// What is left out is not checked.
#[test]
fn sections_that_cannot_be_linked_may_be_left_out() {
    let text = "
        .globl run, refused
        .section .text.run, \"ax\"
        run: CODE
        ret
        .section .refused, \"awx\"
        refused: ret
        .section .text.other, \"ax\"
        call refused
        movq refused, %rax";
    let folder = folder("gc-refused");
    let object = |code| compile_text("cc", &[], "s", &text.replace("CODE", code), &folder.join("refused.o"));
    link_to_with(&[&object("nop")], &only_run(), &folder.join("ours.so"));
    for (code, options) in [("call refused", only_run()), ("nop", Options::default())] {
        let error = try_link_with(&[&object(code)], &options).unwrap_err();
        assert_eq!(error.status(), Status::Unsupported);
        assert!(error.message().contains("section '.refused' is writable and executable"), "{error}");
    }
}

/// The base of thread-local storage is needed, but none of its variables.
#[test]
fn thread_local_storage_may_be_left_out() {
    const TEXT: &str = "
        .section .text.base, \"ax\"
        .globl base
        base: leaq _TLS_MODULE_BASE_@tlsdesc(%rip), %rax
        call *_TLS_MODULE_BASE_@tlscall(%rax)
        ret
        .text
        .globl run
        run: xorl %eax, %eax
        ret
        .section .tbss.unused, \"awT\", @nobits
        .globl unused
        unused: .zero 8";
    if !X86_64.is_here() {
        return;
    }
    let folder = folder("gc-tls-base");
    let object = compile_text(X86_64.cc, &[], "s", TEXT, &folder.join("object.o"));
    let image = folder.join("ours.so");
    for (entries, base) in [(&["run"][..], ""), (&["base"], "symbol"), (&["base", "unused"], "PT_TLS")] {
        let mut options = Options::default();
        options.entries = entries;
        link_to_with(&[&object], &options, &image);
        let text = run(Command::new("readelf").args(["--wide", "--dyn-syms", "--segments"]).arg(&image));
        assert_eq!(text.contains("UND _TLS_MODULE_BASE_"), base == "symbol", "{entries:?}");
        assert_eq!(text.contains("\n  TLS "), base == "PT_TLS", "{entries:?}");
    }
}

#[test]
fn unwind_tables_and_debug_information_follow() {
    let folder = folder("gc-follow");
    let objects = sources(&X86_64, &folder, &["-g", "-gdwarf-4", "-fasynchronous-unwind-tables"]);
    let [kept, theirs] = objects.each_ref().map(PathBuf::as_path);
    let (ours, by_ld) = (folder.join("ours.so"), folder.join("theirs.so"));
    link_to_with(&[kept, theirs], &only_run(), &ours);
    system_link("ld", &[], &[kept, theirs], &by_ld);
    let dump = |what: &str, image: &Path| run(Command::new("readelf").arg(format!("--debug-dump={what}")).arg(image));
    let functions = |image: &Path| dump("frames", image).matches(" FDE ").count();
    assert_eq!((functions(&ours), functions(&by_ld)), (6, 6));
    // The address of what is left out is 0; that of a function in the image never is.
    let info = dump("info", &ours);
    let low = |name: &str| {
        let named =
            info.lines().skip_while(|line| !(line.contains("DW_AT_name") && line.ends_with(&format!(" {name}"))));
        let line = named.into_iter().find(|line| line.contains("DW_AT_low_pc")).unwrap();
        line.rsplit_once(": ").unwrap().1.trim().to_owned()
    };
    assert_eq!((low("unused"), low("unresolved")), ("0".to_owned(), "0".to_owned()));
    assert!(low("helper").len() > 4, "{}", low("helper"));
    // Two zeros would end a list of ranges.
    assert!(
        dump("Ranges", &ours).contains("0000000000000001 0000000000000001 (start == end)"),
        "{}",
        dump("Ranges", &ours)
    );
}

#[test]
fn cxx_runs_without_what_it_does_not_need() {
    let folder = folder("gc-cxx");
    let driver = X86_64.driver(&folder);
    for flags in [&["-O0", "-ffunction-sections"][..], &["-O2", "-ffunction-sections", "-fdata-sections", "-g"]] {
        let flags = [&["-w", "-std=c++17", "-fPIC", "-fno-gnu-unique"], flags].concat();
        let classes = compile("c++", &flags, "classes.cc", &folder.join("classes.o"));
        let too = compile("c++", &flags, "classes_too.cc", &folder.join("too.o"));
        let (ours, by_cxx) = (folder.join("ours.so"), folder.join("theirs.so"));
        link_to_with(&[&classes, &too], &only_run(), &ours);
        run(Command::new("c++").args(["-shared", "-Wl,-Bsymbolic", "-o"]).arg(&by_cxx).args([&classes, &too]));
        let (said, expected) = (X86_64.open(&driver, &[&ours]), X86_64.open(&driver, &[&by_cxx]));
        assert!(expected.contains("goodbye from a global") && expected.contains("caught problem 14"), "{expected}");
        assert_eq!(said, expected, "{flags:?}");
    }
}

const RUST: &str = "#![no_std]
use core::fmt::Write;
struct Buffer { bytes: [u8; 64], len: usize }
impl Write for Buffer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            *self.bytes.get_mut(self.len).ok_or(core::fmt::Error)? = byte;
            self.len += 1;
        }
        Ok(())
    }
}
#[unsafe(no_mangle)]
pub extern \"C\" fn run() -> i32 {
    let mut buffer = Buffer { bytes: [0; 64], len: 0 };
    write!(buffer, \"{:?} {:.3} {}\", [1u128 << 100], 2.5f64, \"text\").unwrap();
    buffer.bytes[..buffer.len].iter().map(|byte| i32::from(*byte)).sum()
}
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }";

/// The bytes that an image takes in memory.
fn memory(image: &Path) -> f64 {
    let text = run(Command::new("size").arg(image));
    text.lines().nth(1).unwrap().split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn a_static_library_of_rust_is_as_small_as_with_ld() {
    if !have("rustc") {
        return;
    }
    let folder = folder("gc-rust");
    let (source, library) = (folder.join("run.rs"), folder.join("librun.a"));
    fs::write(&source, RUST).unwrap();
    let flags = ["--edition=2024", "--crate-type=staticlib", "-O", "-Crelocation-model=pic", "-Cpanic=abort"];
    run(Command::new("rustc").args(flags).arg(&source).arg("-o").arg(&library));
    let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
    let image = link_to_with(&[&library], &only_run(), &ours);
    assert_eq!(load_and_run(&image), 2549);
    for (linker, arguments) in [("ld", &[][..]), ("ld.lld", &["-m", "elf_x86_64"])] {
        if cfg!(target_arch = "x86_64") && have(linker) {
            system_link(linker, arguments, &[&library], &theirs);
            let ratio = memory(&ours) / memory(&theirs);
            assert!(ratio < 1.05, "{ratio:.3} times as large as with {linker}");
        }
    }
}
