//! Linking: compiled code runs as it does when the system's linker links it; what cannot be linked is refused with a message
//! that says where it is, why, and what to do.
mod native;

use std::path::Path;
use std::process::Command;

use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::Status;
use artifact::format::module::Module;

use native::{
    AARCH64, Machine, X86_64, check_image, compile, compile_text, folder, have, link_to, run, try_link, with_kinds,
};

/// Links objects with the library and with the system's linker, and checks that both images do the same when opened.
fn compare(machine: &Machine, driver: &Path, objects: &[&Path], what: &str) {
    let (ours, theirs) = (driver.with_file_name("ours.so"), driver.with_file_name("theirs.so"));
    link_to(objects, &ours);
    check_image(&ours, what);
    machine.system_link(objects, &theirs);
    let (said, expected) = (machine.open(driver, &[&ours]), machine.open(driver, &[&theirs]));
    assert!(expected.lines().count() > 1, "{what}: {expected}");
    assert_eq!(said, expected, "{what}");
}

/// Compiler options whose objects have to link.
const MODELS: [&[&str]; 9] = [
    &["-fPIC"],
    &["-fpic"],
    &["-fPIE"],
    &["-fPIC", "-ffunction-sections", "-fdata-sections"],
    &["-fPIC", "-fno-plt"],
    &["-fPIC", "-g3"],
    &["-fPIC", "-fvisibility=hidden", "-Drun=__attribute__((visibility(\"default\")))run"],
    &["-fPIC", "-mcmodel=medium"],
    &["-fPIC", "-mcmodel=large"],
];

fn c_with(machine: &Machine, compiler: &str, models: &[&[&str]], levels: &[&str]) {
    let folder = folder(&format!("c-{}-{compiler}", machine.name));
    let driver = machine.driver(&folder);
    for level in levels {
        for model in models {
            let flags: Vec<&str> = [level, "-fcommon", "-w"].iter().chain(*model).copied().collect();
            let many = compile(compiler, &flags, "many.c", &folder.join("many.o"));
            let more = compile(compiler, &flags, "more.c", &folder.join("more.o"));
            compare(machine, &driver, &[&many, &more], &format!("{compiler} {flags:?}"));
        }
    }
}

#[test]
fn c_by_gcc_runs_as_linked_by_ld() {
    c_with(&X86_64, "cc", &MODELS, &["-O0", "-O1", "-O2", "-O3"]);
}

#[test]
fn c_by_clang_runs_as_linked_by_ld() {
    if have("clang") {
        c_with(&X86_64, "clang", &MODELS, &["-O1", "-O2", "-O3"]);
        // Without optimization, clang's large model has absolute addresses in code, even with -fPIC: tests/link_models.rs.
        c_with(&X86_64, "clang", MODELS.split_at(8).0, &["-O0"]);
    }
}

#[test]
fn c_for_aarch64_runs_as_linked_by_ld() {
    if AARCH64.is_here() {
        let small = MODELS.split_at(7).0;
        c_with(&AARCH64, AARCH64.cc, small, &["-O0", "-O2"]);
        c_with(&AARCH64, AARCH64.cc, &[&["-fPIC", "-mno-outline-atomics"]], &["-O1", "-O3"]);
        if have("clang") {
            let target = "--target=aarch64-linux-gnu";
            c_with(&AARCH64, "clang", &[&["-fPIC", target], &["-fPIC", "-g", target]], &["-O0", "-O2"]);
        }
    }
}

const NO_UNIQUE: &str = "-fno-gnu-unique";

fn cxx_with(machine: &Machine, compiler: &str, models: &[&[&str]], levels: &[&str]) {
    let folder = folder(&format!("cxx-{}-{compiler}", machine.name));
    let driver = machine.driver(&folder);
    for level in levels {
        for model in models {
            let flags: Vec<&str> = [*level, "-w", "-std=c++17"].iter().chain(*model).copied().collect();
            let classes = compile(compiler, &flags, "classes.cc", &folder.join("classes.o"));
            let too = compile(compiler, &flags, "classes_too.cc", &folder.join("too.o"));
            let what = format!("{compiler} {flags:?}");
            let image = folder.join("ours.so");
            link_to(&[&classes, &too], &image);
            check_image(&image, &what);
            // The compiler driver links startup files, which run destructors of static objects at dlclose().
            let theirs = folder.join("theirs.so");
            run(Command::new(machine.cxx)
                .args(["-shared", "-Wl,-Bsymbolic", "-o"])
                .arg(&theirs)
                .args([&classes, &too]));
            let (mut said, mut expected) = (machine.open(&driver, &[&image]), machine.open(&driver, &[&theirs]));
            if !model.contains(&NO_UNIQUE) {
                // A unique symbol keeps the other image open until the program ends.
                (said, expected) = (said.replace("closed\n", ""), expected.replace("closed\n", ""));
            }
            assert!(expected.contains("goodbye from a global") && expected.contains("caught problem 14"), "{expected}");
            assert_eq!(said, expected, "{what}");
        }
    }
}

#[test]
fn cxx_by_gcc_runs_as_linked_by_gcc() {
    cxx_with(
        &X86_64,
        "c++",
        &[&["-fPIC"], &["-fPIC", "-g", "-fno-plt"], &["-fPIC", "-mcmodel=large"]],
        &["-O0", "-O2"],
    );
    cxx_with(&X86_64, "c++", &[&["-fPIC", "-mcmodel=medium", "-ffunction-sections"]], &["-O1", "-O3"]);
    // -fPIE assumes that the C++ library's data, such as the types that are caught, is in the program.
    let (folder, flags) = (folder("cxx-pie"), ["-O2", "-w", "-std=c++17", "-fPIE"]);
    let error = try_link(&[&compile("c++", &flags, "classes.cc", &folder.join("classes.o"))]).unwrap_err();
    assert!(error.message().contains("against symbol '_ZTI") && error.message().contains("with -fPIC"), "{error}");
}

#[test]
fn cxx_by_clang_runs_as_linked_by_gcc() {
    if have("clang++") {
        cxx_with(&X86_64, "clang++", &[&["-fPIC"], &["-fPIC", "-g", "-ffunction-sections"]], &["-O0", "-O2"]);
        cxx_with(&X86_64, "clang++", &[&["-fPIE", "-fno-plt"], &["-fPIC", "-mcmodel=medium"]], &["-O1", "-O3"]);
    }
}

#[test]
fn cxx_for_aarch64_runs_as_linked_by_gcc() {
    if AARCH64.is_here() && have(AARCH64.cxx) {
        cxx_with(&AARCH64, AARCH64.cxx, &[&["-fPIC"], &["-fPIC", "-g", NO_UNIQUE]], &["-O0", "-O2"]);
    }
}

#[test]
fn what_an_assembler_can_say() {
    for (machine, sum) in [(X86_64, 2250), (AARCH64, 265_326)] {
        if machine.is_here() {
            let folder = folder(&format!("as-{}", machine.name));
            let driver = machine.driver(&folder);
            let object = compile(machine.cc, &[], &format!("gnu_{}.s", machine.name), &folder.join("gnu.o"));
            let numbers = ".globl fixed, wide_number\n.set fixed, 1000\n.set wide_number, 0x0001000200030004\n";
            let numbers = compile_text(machine.cc, &[], "s", numbers, &folder.join("numbers.o"));
            let image = folder.join("image.so");
            link_to(&[&object, &numbers], &image);
            check_image(&image, machine.name);
            // There is no comparison with ld: for x86-64 it refuses relocations against absolute symbols.
            assert_eq!(machine.open(&driver, &[&image]), format!("returned {sum}\nclosed\n"), "{}", machine.name);
        }
    }
}

/// Relocation types that the installed assemblers cannot write.
#[test]
fn what_no_assembler_here_can_say() {
    const X86_64_CODE: &str = "
        .globl run
        run: call new
        movq %rax, %rdi
        jmp host_twice@PLT
        .section .new, \"ax\"
        new: movq host_number@GOTPCREL(%rip), %rax
        movl (%rax), %eax
        ret";
    const AARCH64_CODE: &str = "
        .globl run
        run: stp x29, x30, [sp, #-32]!
        str x19, [sp, #16]
        adrp x19, new
        add x19, x19, :lo12:new
        mov w0, #21
        ldrsw x1, [x19]
        add x1, x1, x19
        blr x1                          // 42
        ldrsw x1, [x19, #4]
        add x1, x1, x19
        ldr x1, [x1, #4]
        ldr w1, [x1]                    // + 12
        add w0, w0, w1
        adrp x2, _GLOBAL_OFFSET_TABLE_
        add x2, x2, :lo12:_GLOBAL_OFFSET_TABLE_
        ldr x1, [x19, #8]
        ldr w1, [x1, x2]                // + 5
        add w0, w0, w1
        ldrsw x1, [x19, #16]
        ldr w1, [x1, x2]                // + 7
        add w0, w0, w1
        ldr x19, [sp, #16]
        ldp x29, x30, [sp], #32
        ret
        .data
        .word 5, 7
        .section .new, \"a\"
        .balign 8
        new: .word host_twice - .       // R_AARCH64_PLT32
        .word host_number - .           // R_AARCH64_GOTPCREL32
        .quad .data - .                 // R_AARCH64_GOTREL64
        .word .data + 4 - .             // R_AARCH64_GOTREL32";
    // R_X86_64_CODE_4_GOTPCRELX (43) belongs to an APX instruction, but is computed the same for any instruction.
    for (machine, text, kinds, returned) in
        [(X86_64, X86_64_CODE, &[43][..], 24), (AARCH64, AARCH64_CODE, &[314, 315, 307, 308], 66)]
    {
        if machine.is_here() {
            let folder = folder(&format!("new-{}", machine.name));
            let object = compile_text(machine.cc, &[], "s", text, &folder.join("new.o"));
            link_to(&[&with_kinds(&object, ".rela.new", kinds)], &folder.join("new.so"));
            let said = machine.open(&machine.driver(&folder), &[&folder.join("new.so")]);
            assert_eq!(said, format!("returned {returned}\nclosed\n"), "{}", machine.name);
        }
    }
}

#[test]
fn an_artifact_is_a_shared_object() {
    let folder = folder("artifact");
    let driver = X86_64.driver(&folder);
    let many = compile("cc", &["-O2", "-g", "-fPIC", "-fcommon"], "many.c", &folder.join("many.o"));
    let more = compile("cc", &["-O2", "-g", "-fPIC", "-fcommon"], "more.c", &folder.join("more.o"));
    let image = link_to(&[&many, &more], &folder.join("image.so"));
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(&image).unwrap();
    let artifact = folder.join("whole.artifact");
    std::fs::write(&artifact, builder.serialize().unwrap()).unwrap();
    assert_eq!(X86_64.open(&driver, &[&artifact]), X86_64.open(&driver, &[&folder.join("image.so")]));
    let names = run(Command::new("nm").arg("-D").arg(&artifact));
    assert!(names.contains(" T run\n") && names.contains(" U qsort\n"), "{names}");
    let code = run(Command::new("objdump").args(["-d", "--no-show-raw-insn"]).arg(&artifact));
    assert!(code.contains("<run>:") && code.contains("call") && code.contains("qsort"), "{code}");
    if have("gdb") {
        let mut gdb = Command::new("gdb");
        gdb.args([
            "-nx",
            "-batch",
            "-ex",
            "set breakpoint pending on",
            "-ex",
            "break more.c:sum",
            "-ex",
            "run",
            "-ex",
            "backtrace",
        ]);
        let said = run(gdb.arg("--args").arg(&driver).arg(&artifact));
        assert!(said.contains("#0  sum (count=") && said.contains("many.c:"), "{said}");
    }
}

/// Checks that source text is refused, with these words in the message.
fn refused(name: &str, flags: &[&str], text: &str, status: Status, words: &[&str]) {
    let folder = folder(&format!("refused-{name}"));
    let object = compile_text("cc", flags, "c", text, &folder.join("bad.o"));
    let error = try_link(&[&object]).map(drop).expect_err(name);
    assert_eq!(error.status(), status, "{error}");
    for word in ["bad.o"].iter().chain(words) {
        assert!(error.message().contains(word), "{name}: no '{word}' in: {error}");
    }
}

#[test]
fn what_cannot_be_linked_is_refused_by_name() {
    use Status::Unsupported;
    let data = "extern int far; int get(void) { return far; }";
    let words = ["bad.o:(.text+0x", "relocation R_X86_64_PC32 against symbol 'far' refers", "compile with -fPIC"];
    refused("pie", &["-O2", "-fPIE", "-mcmodel=small"], data, Unsupported, &words);
    let hidden = "extern int far __attribute__((visibility(\"hidden\"))); int get(void) { return far; }";
    refused("hidden", &["-O2", "-fPIC"], hidden, Unsupported, &["symbol 'far'", "add the object that defines it"]);
    let address = "static int near[9]; int *get(void) { return near; }";
    let words = ["R_X86_64_32 against symbol '.bss' is too narrow", "-fPIC"];
    refused("absolute", &["-O2", "-fno-pic"], address, Unsupported, &words);
    refused("lto", &["-O2", "-fPIC", "-flto"], "int get(void) { return 1; }", Unsupported, &["-flto"]);
    let nested = "void call(void (*)(void)); int get(int n) { void in(void) { n++; } call(in); return n; }";
    refused("nested", &["-O0", "-fPIC"], nested, Unsupported, &["executable stack", "-ftrampoline-impl=heap"]);
    let code = "asm(\".text\\n.quad puts\\n\");";
    refused("code", &["-fPIC"], code, Unsupported, &["symbol 'puts'", "R_X86_64_64", "never writable"]);
    let version = "asm(\".symver old, old@V1\\n.globl old\\nold: ret\\n\");";
    refused("version", &["-fPIC"], version, Unsupported, &["old@V1", "version"]);
}

#[test]
fn sections_that_cannot_be_linked_are_refused_by_name() {
    let refused = |name: &str, text: &str, words: &[&str]| {
        refused(name, &["-fPIC"], &format!("asm({text:?});"), Status::Unsupported, words);
    };
    refused("rights", ".section both,\"awx\"\n.byte 0\n", &["section 'both'", "writable and executable"]);
    refused(
        "hollow",
        ".section hollow,\"ax\",@nobits\n.zero 8\n",
        &["section 'hollow' is executable, but has no bytes"],
    );
    let constructor = "__attribute__((constructor))";
    for (section, words) in [
        (".preinit_array,\"aw\"", ["section '.preinit_array'", constructor]),
        (".dynamic,\"aw\"", ["section '.dynamic'", "another name"]),
        ("odd,\"a\",@0x60000000", ["section 'odd'", "unsupported type 0x60000000"]),
    ] {
        refused("section", &format!(".section {section}\n.quad 0\n"), &words);
    }
    let frame = "frame: .cfi_startproc\n.cfi_personality 0, puts\nret\n.cfi_endproc\n";
    refused("frame", frame, &["(.eh_frame+0x", "R_X86_64_64 against symbol 'puts'", "unwind tables"]);
    let unknown = ".reloc ., R_X86_64_COPY, puts\n.quad 0\n";
    refused("unknown", unknown, &["relocation R_X86_64_COPY against symbol 'puts' is not supported"]);
    let fixed = ".set fixed, 9\n.globl fixed\nlea 0(%rip), %rax\n.reloc .-4, R_X86_64_PC32, fixed\n";
    refused("fixed", fixed, &["R_X86_64_PC32", "a distance to a fixed address"]);
    let weak = ".weak nobody\n.hidden nobody\nlea nobody(%rip), %rax\n";
    refused("weak", weak, &["symbol 'nobody'", "a distance to an undefined weak symbol"]);
}

/// Damage that would otherwise give a wrong image.
#[test]
fn damaged_objects_are_refused() {
    let refused = |name: &str, text: &str, words: &[&str]| {
        refused(name, &["-fPIC"], &format!("asm({text:?});"), Status::Corrupt, words);
    };
    let cie = ".long 16, 0\n.byte 1\n.asciz \"zR\"\n.byte 1, 0x78, 16, 1, 0x1b, 0, 0, 0\n";
    let frames = |extra: &str| {
        let fde = ".long 16, 24\n.long f - .\n.long 1, 0\n.long 0\n";
        format!(".text\nf: ret\n.section .eh_frame,\"a\",@progbits\n{cie}{fde}{extra}.previous\n")
    };
    refused("twice", &frames(".reloc 28, R_X86_64_PC32, f\n"), &["bad.o:(.eh_frame+0x14): ", "found none or several"]);
    refused("outside", &frames(".reloc 40, R_X86_64_PC32, f\n"), &["(.eh_frame+0x28): ", "lies outside every record"]);
    let folder = folder("damaged");
    let object = compile_text("cc", &[], "s", &frames(""), &folder.join("sound.o"));
    link_to(&[&object], &folder.join("sound.so"));
    let order = ".section about,\"ao\",@progbits,.text\n.quad 0\n";
    let object = compile_text("cc", &[], "s", order, &folder.join("order.o"));
    let mut bytes = std::fs::read(&object).unwrap();
    let headers = u64::from_le_bytes(*bytes[40..].first_chunk().unwrap()) as usize;
    let link = (headers..bytes.len()).step_by(64).find(|at| bytes[at + 8] == 0x82).unwrap() + 40;
    bytes[link] = 200;
    std::fs::write(&object, bytes).unwrap();
    let error = try_link(&[&object]).unwrap_err();
    assert_eq!(error.status(), Status::Corrupt);
    assert!(error.message().contains("section 'about'") && error.message().contains("found 200"), "{error}");
}

#[test]
fn what_is_too_far_or_too_large_is_refused() {
    let folder = folder("far");
    let link = |cc: &str, text: &str| {
        try_link(&[&compile_text(cc, &[], "s", text, &folder.join("far.o"))]).unwrap_err().to_string()
    };
    let bss = ".section .one,\"aw\",@nobits\n.zero 0x9000000000\n.section .two,\"aw\",@nobits\n.zero 0x9000000000\n";
    assert!(link("cc", bss).contains("at most 2147483648 bytes of memory, and 1099511627776 with .bss"));
    let padded: String =
        (0..50).map(|at| format!(".section s{at},\"aw\"\n.balign 0x200000\n.byte 1\n.balign 8\n")).collect();
    assert!(link("cc", &padded).contains("padding"), "{}", link("cc", &padded));
    if have(AARCH64.cc) {
        let branch = ".globl far\ntbz x0, #1, far\n.zero 0x8000\nfar: ret\n";
        let error = link(AARCH64.cc, branch);
        for word in ["far.o:(.text+0x0)", "R_AARCH64_TSTBR14 against symbol 'far' is out of range: 0x8004"] {
            assert!(error.contains(word), "{error}");
        }
    }
}

#[test]
fn names_mean_what_they_mean_to_ld() {
    let one = "
        #include <stdio.h>
        int common_or_strong, common_twice[2]; __attribute__((weak)) int weak_or_common = 1, weak_or_strong = 2;
        __attribute__((weak)) int pick(void) { return 1; }
        extern __attribute__((weak)) int nobody; int two(void);
        extern char _etext[], _edata[], __bss_start[], _end[]; extern const char __ehdr_start[];
        static int data = 5, bss[7];
        int strict = 9; __attribute__((visibility(\"protected\"))) int guarded = 10;
        int run(void) {
            printf(\"%d %d %d %d %d\\n\", common_or_strong, weak_or_common, weak_or_strong, pick(), &nobody == 0);
            printf(\"%d %d\\n\", common_twice[1], strict + guarded);
            printf(\"%d %d\\n\", (char *)run < _etext, (char *)&data < _edata && _edata <= __bss_start);
            printf(\"%d %.3s\\n\", __bss_start <= (char *)bss && (char *)(bss + 7) <= _end, __ehdr_start + 1);
            return two();
        }";
    let two = "int common_or_strong = 7, weak_or_common, weak_or_strong = 8, common_twice[5];
        int pick(void) { return 3; }
        extern __attribute__((visibility(\"hidden\"))) int strict, guarded;
        int two(void) { return common_twice[4] + strict + guarded; }";
    let flags = ["-O1", "-fPIC", "-fcommon", "-w"];
    for machine in [X86_64, AARCH64].into_iter().filter(Machine::is_here) {
        let folder = folder(&format!("meaning-{}", machine.name));
        let driver = machine.driver(&folder);
        let one = compile_text(machine.cc, &flags, "c", one, &folder.join("one.o"));
        let two = compile_text(machine.cc, &flags, "c", two, &folder.join("two.o"));
        compare(&machine, &driver, &[&one, &two], machine.name);
        let names = run(Command::new("nm").arg("-D").arg(folder.join("ours.so")));
        assert!(names.contains(" common_twice\n") && names.contains(" T pick\n"), "{names}");
        assert!(!names.contains("strict") && !names.contains("guarded"), "hidden by the other object: {names}");
        // ld refuses an undefined symbol that is hidden.
        let text =
            "__attribute__((visibility(\"hidden\"))) int host_twice(int); int run(void) { return host_twice(4); }";
        link_to(&[&compile_text(machine.cc, &flags, "c", text, &folder.join("hidden.o"))], &folder.join("hidden.so"));
        assert_eq!(machine.open(&driver, &[&folder.join("hidden.so")]), "returned 8\nclosed\n");
    }
}

#[test]
fn two_definitions_are_one_too_many() {
    let folder = folder("twice");
    let flags = ["-fPIC", "-fno-common"];
    let one = compile_text("cc", &flags, "c", "int same(void) { return 1; }", &folder.join("one.o"));
    let two = compile_text("cc", &flags, "c", "int same(void) { return 2; }", &folder.join("two.o"));
    let error = try_link(&[&one, &two]).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument);
    assert_eq!(error.message(), "duplicate symbol 'same' in one.o and two.o");
    assert_eq!(try_link(&[]).unwrap_err().status(), Status::InvalidArgument);
    let image = link_to(&[&one], &folder.join("image.so"));
    std::fs::write(folder.join("image.o"), image).unwrap();
    let error = try_link(&[&folder.join("image.o")]).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument);
    assert!(error.message().contains("shared object"), "{error}");
    if have(AARCH64.cc) {
        let other = compile_text(AARCH64.cc, &flags, "c", "int other;", &folder.join("other.o"));
        let error = try_link(&[&one, &other]).unwrap_err();
        assert!(error.message().contains("other.o") && error.message().contains("aarch64"), "{error}");
    }
}

#[test]
fn what_can_be_looked_up() {
    let folder = folder("names");
    let text = "static int a_local(void) { return 1; } int (*keep)(void) = a_local; __attribute__((visibility(\"hidden\")))\
                int a_hidden; int a_global(void) { return a_hidden; }";
    let object = compile_text("cc", &["-O0", "-fPIC", "-g"], "c", text, &folder.join("names.o"));
    let image = link_to(&[&object], &folder.join("names.so"));
    let dynamic = run(Command::new("nm").arg("-D").arg(folder.join("names.so")));
    assert!(
        dynamic.contains(" T a_global") && !dynamic.contains("a_local") && !dynamic.contains("a_hidden"),
        "{dynamic}"
    );
    let module = Module::parse(&image).unwrap();
    let symbols = module.symbols().unwrap();
    for name in ["a_local", "a_hidden", "a_global"] {
        assert!(symbols.named(name.as_bytes()).is_ok(), "{name}");
    }
    assert!(module.section_named(b".debug_info").is_ok());
}
