//! Thread-local storage: images that use it do the same as those of the system's linker, under plain `dlopen`, in every model that
//! compilers have for shared objects. What needs static storage of its own is refused.
mod native;

use std::path::Path;
use std::process::Command;

use artifact::error::Status;

use native::{
    AARCH64, Machine, X86_64, check_image, compile, compile_text, folder, have, link_to, run, try_link, with_kinds,
};

/// Returns what `readelf` says about an image.
fn read(image: &Path, arguments: &[&str]) -> String {
    run(Command::new("readelf").arg("--wide").args(arguments).arg(image))
}

/// Links objects with the library and with the system's linker, and checks that both images do the same. Returns what they say.
fn compare(machine: &Machine, objects: &[&Path], what: &str) -> String {
    let folder = objects[0].parent().unwrap();
    let driver = machine.driver_of("tls_driver.c", folder);
    let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
    link_to(objects, &ours);
    check_image(&ours, what);
    machine.system_link(objects, &theirs);
    let (said, expected) = (machine.open(&driver, &[&ours]), machine.open(&driver, &[&theirs]));
    assert!(expected.lines().count() >= 6 && expected.ends_with("closed\n"), "{what}: {expected}");
    assert_eq!(said, expected, "{what}");
    said
}

/// What the relocations of an image must have and must not have.
type Words = (&'static [&'static str], &'static [&'static str]);

const GENERAL: Words = (&["DTPMOD64", "DTPOFF64"], &["TLSDESC", "_TPOFF64"]);
const DESCRIPTORS: Words = (&["TLSDESC"], &["DTPMOD64", "DTPOFF64", "_TPOFF64"]);
const AARCH64_GENERAL: Words = (&["TLS_DTPMOD", "TLS_DTPREL"], &["TLSDESC", "TLS_TPREL"]);

/// Compares every model at every level.
fn compare_all(machine: &Machine, compiler: &str, models: &[(&str, &[&str], Words)], levels: &[&str]) {
    for level in levels {
        for (name, model, (present, absent)) in models {
            let flags: Vec<&str> = [level, "-w"].iter().chain(*model).copied().collect();
            let folder = folder(&format!("tls-{}-{compiler}-{name}{level}", machine.name));
            let one = compile(compiler, &flags, "tls.c", &folder.join("tls.o"));
            let more = compile(compiler, &flags, "tls_more.c", &folder.join("more.o"));
            let said = compare(machine, &[&one, &more], &format!("{compiler} {flags:?}"));
            assert!(!said.contains("-1"), "an address is not aligned: {said}");
            let said = read(&folder.join("ours.so"), &["--relocs"]);
            let wrong =
                present.iter().any(|word| !said.contains(word)) || absent.iter().any(|word| said.contains(word));
            assert!(!wrong, "{compiler} {flags:?}: expected {present:?} without {absent:?}, found {said}");
        }
    }
}

#[test]
fn models_of_gcc_run_as_linked_by_ld() {
    let models: [(&str, &[&str], Words); 6] = [
        ("general", &["-fPIC", "-g"], GENERAL),
        ("descriptors", &["-fPIC", "-mtls-dialect=gnu2"], DESCRIPTORS),
        ("no-plt", &["-fPIC", "-fno-plt", "-fdata-sections", "-ffunction-sections"], GENERAL),
        ("medium", &["-fPIC", "-mcmodel=medium"], GENERAL),
        ("large", &["-fPIC", "-mcmodel=large"], GENERAL),
        ("large-descriptors", &["-fPIC", "-mcmodel=large", "-mtls-dialect=gnu2"], DESCRIPTORS),
    ];
    compare_all(&X86_64, "cc", &models, &["-O0", "-O2"]);
}

#[test]
fn models_of_clang_run_as_linked_by_ld() {
    if have("clang") {
        let models: [(&str, &[&str], Words); 3] = [
            ("general", &["-fPIC", "-g"], GENERAL),
            ("no-plt", &["-fPIC", "-fno-plt", "-fdata-sections"], GENERAL),
            ("large", &["-fPIC", "-mcmodel=large"], GENERAL),
        ];
        compare_all(&X86_64, "clang", &models, &["-O1", "-O2"]);
    }
}

#[test]
fn models_for_aarch64_run_as_linked_by_ld() {
    if AARCH64.is_here() {
        let models: [(&str, &[&str], Words); 4] = [
            ("descriptors", &["-fPIC", "-g"], DESCRIPTORS),
            ("general", &["-fPIC", "-mtls-dialect=trad"], AARCH64_GENERAL),
            ("tiny", &["-fPIC", "-mcmodel=tiny"], DESCRIPTORS),
            ("tiny-general", &["-fPIC", "-mcmodel=tiny", "-mtls-dialect=trad"], AARCH64_GENERAL),
        ];
        compare_all(&AARCH64, AARCH64.cc, &models, &["-O0", "-O2"]);
        if have("clang") {
            let local = ["-fPIC", "--target=aarch64-linux-gnu", "-mllvm", "-aarch64-elf-ldtls-generation=1"];
            let models: [(&str, &[&str], Words); 2] =
                [("descriptors", local.split_at(2).0, DESCRIPTORS), ("local", &local, DESCRIPTORS)];
            compare_all(&AARCH64, "clang", &models, &["-O0", "-O2"]);
        }
    }
}

#[test]
fn images_run_under_musl() {
    const MUSL: Machine = Machine { name: "musl", cc: "musl-gcc", cxx: "musl-gcc", ..X86_64 };
    if have(MUSL.cc) {
        let models: [(&str, &[&str], Words); 2] =
            [("general", &["-fPIC"], GENERAL), ("descriptors", &["-fPIC", "-mtls-dialect=gnu2"], DESCRIPTORS)];
        compare_all(&MUSL, "cc", &models, &["-O2"]);
    }
}

/// The machines that are here, each with its compilers for C++.
fn cxx() -> Vec<(Machine, &'static str)> {
    let compilers = [(X86_64, X86_64.cxx), (X86_64, "clang++"), (AARCH64, AARCH64.cxx)];
    compilers.into_iter().filter(|(machine, compiler)| machine.is_here() && have(compiler)).collect()
}

#[test]
fn cxx_has_variables_of_the_host_constructors_and_inline_variables() {
    for (machine, compiler) in cxx() {
        for level in ["-O0", "-O2"] {
            let flags = ["-fPIC", "-std=c++17", "-fno-gnu-unique", level];
            let flags = flags.split_at(2).0.iter().chain(&flags[if compiler == "clang++" { 3 } else { 2 }..]).copied();
            let flags: Vec<&str> = flags.collect();
            let folder = folder(&format!("tls-cxx-{}-{compiler}{level}", machine.name));
            let one = compile(compiler, &flags, "tls_once.cc", &folder.join("one.o"));
            let too = compile(compiler, &flags, "tls_once_too.cc", &folder.join("too.o"));
            let image = folder.join("ours.so");
            link_to(&[&one, &too], &image);
            check_image(&image, compiler);
            // The compiler driver links startup files, which run destructors of static objects at dlclose().
            let theirs = folder.join("theirs.so");
            run(Command::new(machine.cxx).args(["-shared", "-Wl,-Bsymbolic", "-o"]).arg(&theirs).args([&one, &too]));
            let driver = machine.driver_of("tls_driver.c", &folder);
            let (said, expected) = (machine.open(&driver, &[&image]), machine.open(&driver, &[&theirs]));
            assert!(expected.contains("gone at ") && expected.contains("new thread: "), "{expected}");
            assert_eq!(said, expected, "{compiler} {level}");
            let names = run(Command::new("nm").args(["-D", "-C"]).arg(&image));
            assert!(names.contains(" U std::__once_callable"), "{names}");
        }
    }
}

/// -fPIE assumes that the variable is in the program's storage or in that of an object that was there when it started.
#[test]
fn variables_of_the_host_can_be_initial_exec() {
    let text = "extern __thread int host_count; int run(int step) { return host_count += step; }";
    for machine in [X86_64, AARCH64].into_iter().filter(Machine::is_here) {
        let folder = folder(&format!("tls-initial-{}", machine.name));
        for model in ["-fPIE", "-ftls-model=initial-exec", "-mcmodel=tiny"] {
            let tiny = model == "-mcmodel=tiny";
            if tiny && machine.name != AARCH64.name {
                continue;
            }
            let flags = ["-O1", if tiny { "-fPIE" } else { "-fPIC" }, model];
            let object = compile_text(machine.cc, &flags, "c", text, &folder.join("initial.o"));
            let said = compare(&machine, &[&object], model);
            assert!(
                said.contains("main thread: 31, ") && said.contains("thread: 41, then 42, host_count 42"),
                "{said}"
            );
            let about = read(&folder.join("ours.so"), &["--dynamic", "--relocs"]);
            let kind = if machine.name == AARCH64.name { "R_AARCH64_TLS_TPREL" } else { "R_X86_64_TPOFF64" };
            assert!(about.contains("STATIC_TLS") && about.contains(kind), "{about}");
        }
    }
}

/// Relocation types and sections that compilers seldom write.
#[test]
fn what_an_assembler_can_say() {
    const X86_64_CODE: &str = "
        .globl run
        run: pushq %rbx
        movl %edi, %ebx
        leaq _TLS_MODULE_BASE_@tlsdesc(%rip), %rax
        call *_TLS_MODULE_BASE_@tlscall(%rax)
        addl %ebx, %fs:odd@dtpoff(%rax)
        movq offset(%rip), %rcx         # DTPOFF64 in data
        addl %ebx, %fs:(%rcx,%rax)
        movl %fs:odd@dtpoff(%rax), %ebx
        imull $10, %ebx
        addl %fs:(%rcx,%rax), %ebx
        movl %ebx, %eax
        popq %rbx
        ret
        .data
        .balign 8
        offset: .quad last@dtpoff";
    const AARCH64_CODE: &str = "
        .globl run
        run: stp x29, x30, [sp, #-32]!
        str x19, [sp, #16]
        mov w19, w0
        adrp x0, :tlsldm:odd
        add x0, x0, :tlsldm_lo12_nc:odd
        bl __tls_get_addr
        nop
        add x1, x0, :dtprel_hi12:last, lsl 12
        add x1, x1, :dtprel_lo12_nc:last
        movz x2, #:dtprel_g1:last
        movk x2, #:dtprel_g0_nc:last
        ldr w3, [x0, x2]
        add w3, w3, w19
        str w3, [x1]
        ldr w2, [x0, #:dtprel_lo12:odd]
        add w2, w2, w19
        str w2, [x0, #:dtprel_lo12_nc:odd]
        mov w4, #10
        madd w0, w2, w4, w3
        ldr x19, [sp, #16]
        ldp x29, x30, [sp], #32
        ret";
    // Names that are no pools of the linker, zeros among data, and sections whose order is not that of the image.
    const VARIABLES: &str = "
        .section .tbss.late,\"awT\",%nobits
        .zero 70000
        .balign 32
        last: .zero 4
        .section names,\"awT\",%progbits
        .balign 16
        odd: .4byte 7
        .section zeros,\"awT\",%nobits
        .zero 20
        .section .tdata,\"awT\",%progbits
        .byte 1";
    for (machine, code) in [(X86_64, X86_64_CODE), (AARCH64, AARCH64_CODE)] {
        if machine.is_here() {
            let folder = folder(&format!("tls-as-{}", machine.name));
            let text = format!("{code}{VARIABLES}\n");
            let object = compile_text(machine.cc, &[], "s", &text, &folder.join("as.o"));
            let said = compare(&machine, &[&object], machine.name);
            assert!(said.contains("main thread: 81, exported -1, then 103, "), "{said}");
        }
    }
}

/// The types for instructions of APX are computed like the others; the test has them in older instructions.
#[test]
fn types_of_apx() {
    let text = "
        .globl run
        run: jmp new
        .section .new, \"ax\"
        new: movq host_count@GOTTPOFF(%rip), %rcx
        leaq mine@tlsdesc(%rip), %rax
        call *(%rax)
        addl %edi, %fs:(%rax)
        movl %fs:(%rax), %eax
        addl %fs:(%rcx), %eax
        movq host_number@GOTPCREL(%rip), %rcx
        addl (%rcx), %eax
        ret
        .section .tbss,\"awT\",@nobits
        .zero 12
        mine: .zero 4
        .data
        .globl host_number
        host_number: .word 1000, 0\n";
    let folder = folder("tls-apx");
    let driver = X86_64.driver_of("tls_driver.c", &folder);
    for kinds in [[22, 34, 9], [44, 45, 43], [47, 48, 46], [50, 51, 49]] {
        let object = compile_text("cc", &[], "s", text, &folder.join("apx.o"));
        link_to(&[&with_kinds(&object, ".rela.new", &kinds)], &folder.join("ours.so"));
        let said = X86_64.open(&driver, &[&folder.join("ours.so")]);
        assert!(said.starts_with("main thread: 1031, exported -1, then 1033, host_count 30\n"), "{said}");
    }
}

#[test]
fn the_segment_is_as_the_psabis_say() {
    let segment = |folder: &Path, text: &str| {
        let text = &format!("{text} int code(void) {{ return 1; }}");
        link_to(
            &[&compile_text("cc", &["-O1", "-fPIC", "-w"], "c", text, &folder.join("tls.o"))],
            &folder.join("tls.so"),
        );
        check_image(&folder.join("tls.so"), text);
        let said = read(&folder.join("tls.so"), &["--segments"]);
        let line = said.lines().find(|line| line.trim_start().starts_with("TLS ")).map(str::to_owned);
        let number = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).unwrap();
        // Offset, address, physical address, size in the file, size in memory, flags, alignment.
        line.map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words[6], "R", "{line}");
            let (address, align) = (number(words[2]), number(words[7]));
            assert_eq!((address % align, number(words[1]) % align), (0, 0), "{line}");
            (number(words[4]), number(words[5]), align)
        })
    };
    let folder = folder("tls-segment");
    assert_eq!(segment(&folder, "int plain = 1;"), None);
    assert_eq!(segment(&folder, "__thread int one = 1; __thread char two;"), Some((4, 5, 4)));
    assert_eq!(segment(&folder, "__thread char bytes[1 << 27];"), Some((0, 1 << 27, 16)), "zeros take no place");
    assert_eq!(segment(&folder, "__thread __attribute__((aligned(8192))) char page = 1;"), Some((1, 1, 8192)));
    let both = "__thread char one = 1; __thread __attribute__((aligned(4096))) char page;";
    assert_eq!(segment(&folder, both), Some((1, 4097, 4096)));
    // A dynamic linker gives a module without any thread-local byte no number.
    let empty = "struct {} __thread none; void *get(void) { return &none; }";
    assert_eq!(segment(&folder, empty), Some((0, 1, 1)));
    // Symbols are offsets.
    link_to(
        &[&compile_text("cc", &["-fPIC"], "c", "__thread int one = 1, two = 2, three;", &folder.join("tls.o"))],
        &folder.join("tls.so"),
    );
    let symbols = read(&folder.join("tls.so"), &["--dyn-syms"]);
    for (value, name) in [(0, "one"), (4, "two"), (8, "three")] {
        let found = symbols.lines().find(|line| line.ends_with(&format!(" {name}")));
        let words: Vec<&str> = found.expect(name).split_whitespace().collect();
        assert_eq!((words[1], words[3]), (format!("{value:016x}").as_str(), "TLS"), "{symbols}");
    }
}

#[test]
fn debuggers_find_the_variables() {
    // For aarch64, compilers say nothing about the places of such variables.
    for compiler in ["cc", "clang"].into_iter().filter(|compiler| have(compiler)) {
        let folder = folder(&format!("tls-debug-{compiler}"));
        let objects = [
            "__thread int one = 1, two = 2, three;",
            "static __thread int four = 4, five; int *get(int step) {
            return step ? &four : &five; }",
        ];
        let names = ["one.o", "two.o"].map(|name| folder.join(name));
        for (text, name) in objects.iter().zip(&names) {
            compile_text(compiler, &["-O0", "-g", "-fPIC"], "c", text, name);
        }
        let objects = names.each_ref().map(|name| name.as_path());
        let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
        link_to(&objects, &ours);
        X86_64.system_link(&objects, &theirs);
        let locations = |image: &Path| -> Vec<String> {
            let said = read(image, &["--debug-dump=info"]);
            let is_location = |line: &&str| line.contains("_tls_address");
            said.lines().filter(is_location).map(|line| line.split_once("byte block").unwrap().1.to_owned()).collect()
        };
        assert_eq!(locations(&theirs).len(), 5, "{compiler}");
        assert_eq!(locations(&ours), locations(&theirs), "{compiler}");
    }
}

/// Links source texts for a machine; returns the error.
fn error(machine: &Machine, flags: &[&str], texts: &[&str]) -> String {
    let folder = folder("tls-refused");
    let names = ["one.o", "two.o"].map(|name| folder.join(name));
    let objects: Vec<&Path> = texts
        .iter()
        .zip(&names)
        .map(|(text, name)| {
            compile_text(machine.cc, flags, "c", text, name);
            name.as_path()
        })
        .collect();
    let error = try_link(&objects).expect_err("expected an error");
    assert_eq!(error.status(), Status::Unsupported, "{error}");
    error.to_string()
}

#[test]
fn what_needs_static_storage_of_its_own_is_refused() {
    const DYNAMIC: &str = "compile with -fPIC -ftls-model=global-dynamic";
    let own = "__thread int mine; int get(void) { return mine; }";
    for machine in [X86_64, AARCH64].into_iter().filter(Machine::is_here) {
        for flags in [["-O1", "-fPIE", ""], ["-O1", "-fno-pic", ""], ["-O1", "-fPIC", "-ftls-model=local-exec"]] {
            let flags: Vec<&str> = flags.into_iter().filter(|flag| !flag.is_empty()).collect();
            let error = error(&machine, &flags, &[own]);
            // gcc for aarch64 refers to a section anchor.
            let symbol = if machine.name == X86_64.name { "'mine' is" } else { " is" };
            for words in ["one.o:(.text+0x", "against symbol '", &format!("{symbol} local exec"), DYNAMIC] {
                assert!(error.contains(words), "{words}: {error}");
            }
        }
        let said = error(&machine, &["-O1", "-fPIC", "-ftls-model=initial-exec"], &[own]);
        assert!(said.contains(" is initial exec") && said.contains(DYNAMIC), "{said}");
        let hidden =
            "extern __thread int none __attribute__((weak, visibility(\"hidden\"))); int *get(void) { return &none; }";
        let said = error(&machine, &["-O1", "-fPIC"], &[hidden]);
        assert!(
            said.contains("symbol 'none' refers to a thread-local symbol that is undefined, weak and hidden"),
            "{said}"
        );
        let local = "extern __thread int theirs __attribute__((tls_model(\"local-dynamic\"))); int get(void) { return theirs; }";
        if machine.name == X86_64.name {
            let said = error(&machine, &["-O1", "-fPIC"], &[local]);
            assert!(said.contains("'theirs' is local dynamic, but") && said.contains(DYNAMIC), "{said}");
        }
    }
}

#[test]
fn a_symbol_is_thread_local_in_all_objects_or_in_none() {
    let used = "extern __thread int both; int get(void) { return both; }";
    let plain = "extern int both; int *take(void) { return &both; }";
    let flags = ["-O1", "-fPIC"];
    // Defined plainly, defined thread-locally, or not defined at all.
    let said = error(&X86_64, &flags, &["int both;", used]);
    assert!(
        said.contains("two.o:(.text+0x") && said.contains("against symbol 'both' is for thread-local symbols, but"),
        "{said}"
    );
    let said = error(&X86_64, &flags, &["__thread int both;", plain]);
    assert!(said.contains("against symbol 'both' is not for thread-local symbols, as the symbol is"), "{said}");
    for texts in [[used, plain], [plain, used]] {
        let said = error(&X86_64, &flags, &texts);
        assert!(said.contains("R_X86_64_REX_GOTPCRELX against symbol 'both' is not for thread-local"), "{said}");
    }
    for section in [".section code,\"awxT\",@progbits", ".section note,\"awT\",@note", ".section debug,\"T\",@progbits"]
    {
        let said = error(&X86_64, &flags, &[&format!("asm({:?});", format!("{section}\n.quad 0\n"))]);
        assert!(said.contains("is thread-local, but not data"), "{said}");
    }
    let common = "asm(\".tls_common both, 4, 4\");";
    let said = error(&X86_64, &flags, &[common]);
    assert!(said.contains("symbol 'both' is thread-local, but not in a thread-local section"), "{said}");
}

/// clang can make ordinary symbols of thread-local ones, and calls of the compiler's library.
#[test]
fn emulated_storage_is_made_of_ordinary_symbols() {
    if have("clang") {
        let text = "static __thread int mine = 3; __thread int exported = 4;
            int run(int step) { return (mine += step) * 100 + (exported += step); }";
        let folder = folder("tls-emulated");
        let object = compile_text("clang", &["-O1", "-fPIC", "-femulated-tls"], "c", text, &folder.join("emulated.o"));
        let said = compare(&X86_64, &[&object], "emulated");
        assert!(said.starts_with("main thread: 405, ") && said.contains("thread: 405, then 506, "), "{said}");
    }
}

/// Rust's standard library, with a thread of its own, in the image.
#[test]
fn rust_runs_with_its_standard_library() {
    let text = "use std::cell::{Cell, RefCell};
        thread_local! {
            static COUNT: Cell<i32> = const { Cell::new(3) };
            static LIST: RefCell<Vec<i32>> = RefCell::new(vec![1]);
        }
        #[unsafe(no_mangle)]
        pub extern \"C\" fn run(step: i32) -> i32 {
            let add = move || {
                COUNT.set(COUNT.get() + step);
                LIST.with_borrow_mut(|list| list.push(step));
                COUNT.get() * 100 + LIST.with_borrow(|list| list.iter().sum::<i32>())
            };
            add() + 10_000 * std::thread::spawn(add).join().unwrap()
        }";
    let folder = folder("tls-rust");
    std::fs::write(folder.join("code.rs"), text).unwrap();
    let rustc = |kind: &[&str]| {
        let code = folder.join("code.rs");
        run(Command::new("rustc").args(["-O", "--edition=2024"]).args(kind).arg(code).arg("--out-dir").arg(&folder))
    };
    rustc(&["--crate-type=lib", "--emit=obj"]);
    link_to(&[&folder.join("code.o")], &folder.join("code.so"));
    check_image(&folder.join("code.so"), "rustc --emit=obj");
    // The object, and the archive with the standard library and the allocator's functions, which rustc adds when it links. `ld -r`
    // takes from the archive what run() needs.
    rustc(&["--crate-type=staticlib", "--emit=obj,link"]);
    let [code, archive, whole] = ["code.o", "libcode.a", "whole.o"].map(|name| folder.join(name));
    run(Command::new("ld").args(["-r", "-u", "run", "-o"]).arg(&whole).arg(&archive));
    for objects in [&[code.as_path(), &archive][..], &[&whole]] {
        let said = compare(&X86_64, objects, "Rust");
        assert!(
            said.starts_with("main thread: 4020402, exported -1, then 5030604, ")
                && said.contains("thread: 4020402, then"),
            "{said}"
        );
    }
}
