//! Linking code that takes addresses in other ways than position-independent code does: what JIT compilers emit by default.
mod native;

use std::path::{Path, PathBuf};
use std::process::Command;

use native::{AARCH64, Machine, X86_64, compile, compile_text, folder, have, link_to, run, try_link};

/// Compiles the same sources in other models, and checks that the linked images do what the system's image of PIC does.
fn same_as_pic(machine: &Machine, compiler: &str, common: &[&str], models: &[&[&str]], levels: &[&str]) {
    let folder = folder(&format!("models-{}-{compiler}", machine.name));
    let driver = machine.driver(&folder);
    let objects = |flags: &[&str]| {
        let flags: Vec<&str> = [&["-fcommon", "-w"], common, flags].concat();
        ["many", "more"]
            .map(|name| compile(compiler, &flags, &format!("{name}.c"), &folder.join(name).with_extension("o")))
    };
    let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
    let [many, more] = objects(&["-fPIC", "-O1"]);
    machine.system_link(&[&many, &more], &theirs);
    let expected = machine.open(&driver, &[&theirs]);
    assert!(expected.lines().count() > 1, "{expected}");
    for model in models {
        for level in levels {
            let [many, more] = objects(&[model, &[*level][..]].concat());
            link_to(&[&many, &more], &ours);
            assert_eq!(machine.open(&driver, &[&ours]), expected, "{compiler} {model:?} {level}");
        }
    }
}

#[test]
fn absolute_addresses_by_clang() {
    let levels = ["-O0", "-O1", "-O2", "-O3"];
    if have("clang") {
        // The medium model takes the addresses of data in this way, even in position-independent code at -O0.
        let large: [&[&str]; 4] = [
            &["-fno-pic", "-mcmodel=large"],
            &["-fPIE", "-mcmodel=large"],
            &["-fPIC", "-mcmodel=large"],
            &["-fno-pic", "-mcmodel=large", "-ffunction-sections", "-g"],
        ];
        same_as_pic(&X86_64, "clang", &[], &large, &levels);
        if AARCH64.is_here() {
            let large: [&[&str]; 2] = [&["-fno-pic", "-mcmodel=large"], &["-fno-pic", "-mcmodel=large", "-g"]];
            same_as_pic(&AARCH64, "clang", &["--target=aarch64-linux-gnu"], &large, &levels);
        }
    }
}

/// Objects of llvmlite, which numba compiles with.
#[test]
fn objects_of_llvm_jits() {
    for machine in [X86_64, AARCH64].into_iter().filter(Machine::is_here) {
        let folder = folder(&format!("jit-{}", machine.name));
        let driver = machine.driver(&folder);
        let script = native::source("llvm_jit.py");
        run(Command::new("python3").arg(script).arg(format!("{}-unknown-linux-gnu", machine.name)).arg(&folder));
        let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
        let objects: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains("-O")).collect();
        if objects.is_empty() {
            eprintln!("llvmlite not found: skipping its objects");
        }
        for object in objects {
            let image = folder.join("image.so");
            link_to(&[&object], &image);
            let what = format!("{} {}", machine.name, object.display());
            assert_eq!(machine.open(&driver, &[&image]), "returned 155\nclosed\n", "{what}");
        }
    }
}

/// Every instruction that the linker rewrites, and what it must not take for one.
#[test]
fn instructions_that_take_addresses() {
    const X86_64_CODE: &str = "
        .globl run
        run: pushq %rbx
        pushq %r12
        pushq %r13
        movabsq $host_twice, %r12
        movl $21, %edi
        call *%r12
        movl %eax, %ebx
        movabsq $host_number, %rdx
        addl (%rdx), %ebx
        movabsq $numbers + 4, %r13
        addl (%r13), %ebx
        movq $numbers + 8, %r9
        addl (%r9), %ebx
        leaq host_number(%rip), %r10
        addl (%r10), %ebx
        movabsq $missing, %rcx
        testq %rcx, %rcx
        jne 1f
        addl $100, %ebx
        1: movabsq $1000, %rax
        addl %eax, %ebx
        movl %ebx, %eax
        popq %r13
        popq %r12
        popq %rbx
        ret
        .weak missing
        .data
        numbers: .long 1, 20, 300";
    const AARCH64_CODE: &str = "
        .globl run
        run: stp x29, x30, [sp, #-32]!
        stp x19, x20, [sp, #16]
        movz x20, #:abs_g0_nc:host_twice
        mov w0, #21
        movk x20, #:abs_g1_nc:host_twice
        movk x20, #:abs_g2_nc:host_twice
        movk x20, #:abs_g3:host_twice
        blr x20
        mov w19, w0
        movz x1, #:abs_g0_nc:host_number
        movz x2, #:abs_g0_nc:numbers + 4
        movk x1, #:abs_g1_nc:host_number
        movk x2, #:abs_g1_nc:numbers + 4
        movk x1, #:abs_g2_nc:host_number
        movk x2, #:abs_g2_nc:numbers + 4
        movk x1, #:abs_g3:host_number
        movk x2, #:abs_g3:numbers + 4
        ldr w3, [x1]
        add w19, w19, w3
        ldr w3, [x2]
        add w19, w19, w3
        ldr x4, 2f
        b 3f
        2: .quad numbers + 8
        3: ldr w3, [x4]
        add w19, w19, w3
        ldr x4, 4f
        b 5f
        4: .quad host_number
        5: ldr w3, [x4]
        add w19, w19, w3
        adrp x5, missing
        add x6, x5, :lo12:missing
        cbnz x6, 6f
        add w19, w19, #100
        6: add w0, w19, #1000
        ldp x19, x20, [sp, #16]
        ldp x29, x30, [sp], #32
        ret
        .weak missing
        .data
        numbers: .long 1, 20, 300";
    for (machine, code) in [(X86_64, X86_64_CODE), (AARCH64, AARCH64_CODE)] {
        if machine.is_here() {
            let folder = folder(&format!("addresses-{}", machine.name));
            let object = compile_text(machine.cc, &[], "s", code, &folder.join("addresses.o"));
            let image = folder.join("image.so");
            link_to(&[&object], &image);
            let sum = 42 + 12 + 20 + 300 + 12 + 100 + 1000;
            assert_eq!(machine.open(&machine.driver(&folder), &[&image]), format!("returned {sum}\nclosed\n"));
            let text = run(Command::new("readelf").args(["--wide", "--dynamic", "--relocs"]).arg(&image));
            assert!(!text.contains("TEXTREL"), "{text}");
        }
    }
}

/// Addresses in code that no instruction of the same length can compute.
#[test]
fn what_stays_refused() {
    let folder = folder("models-refused");
    let refused = |machine: &Machine, code: &str, words: &[&str]| {
        if machine.is_here() {
            let object = compile_text(machine.cc, &[], "s", code, &folder.join("refused.o"));
            let error = try_link(&[&object]).map(|_| code.to_owned()).unwrap_err();
            assert_eq!(error.status(), artifact::error::Status::Unsupported, "{code}: {error}");
            for word in
                words.iter().chain(&["-fPIC", "LLVM: Reloc::PIC_ with CodeModel::Small", "Cranelift: is_pic = true"])
            {
                assert!(error.message().contains(word), "{code}: {error}");
            }
        }
    };
    let narrow = ["too narrow for an address"];
    for instruction in ["movl $word, %edi", "movl word(, %rax, 4), %eax", "cmpq $word, %rax", "movq $word, (%rax)"] {
        refused(&X86_64, &format!("{instruction}\n.data\nword: .quad 0"), &narrow);
    }
    let in_code = ["a dynamic relocation in code"];
    for instruction in ["movabsl word, %eax", "movabsq $outside + 4, %rax", ".quad word", "nop; nop; .quad outside"] {
        refused(&X86_64, &format!("{instruction}\n.data\nword: .quad 0"), &in_code);
    }
    refused(&X86_64, "movl outside(%rip), %eax", &["data of the host"]);
    refused(&X86_64, "leal outside(%rip), %eax", &["data of the host"]);
    refused(&AARCH64, ".quad word\n.data\nword: .quad 0", &in_code);
    refused(&AARCH64, "ldr x0, 1f\nnop\n1: .quad outside", &in_code);
    for code in ["movz x0, #:abs_g0_nc:word\nmovk x0, #:abs_g1:word", "movz x0, #:abs_g0_nc:outside"] {
        refused(&AARCH64, &format!("{code}\n.data\nword: .quad 0"), &narrow);
    }
    refused(&AARCH64, "adrp x0, outside\nldr x0, [x0, :lo12:outside]", &["data of the host"]);
}

/// gcc's static models have instructions that are too short for an address, which the message says.
#[test]
fn static_models_by_gcc_are_refused_as_such() {
    let folder = folder("models-static");
    for flags in [&["-fno-pic"][..], &["-fno-pic", "-mcmodel=kernel"], &["-fno-pic", "-mcmodel=large"]] {
        let object = compile("cc", &[&["-O2", "-w", "-fcommon"], flags].concat(), "many.c", &folder.join("many.o"));
        let error = try_link(&[Path::new(&object)]).unwrap_err();
        assert!(error.message().contains("compile with -fPIC"), "{flags:?}: {error}");
    }
}

/// Branches of aarch64 reach 128 MiB. Those that go farther, in both directions and out of the image, go through veneers.
#[test]
fn branches_farther_than_they_reach() {
    if !AARCH64.is_here() {
        return;
    }
    let folder = folder("veneers");
    let object = |name: &str, text: &str| compile_text(AARCH64.cc, &[], "s", text, &folder.join(name));
    let space = ".section .text.space, \"ax\"\n.space 50 << 20\n";
    let first = "
        .globl run, add_three
        run: stp x29, x30, [sp, #-16]!
        mov w0, #1
        bl far
        bl far_local_caller
        bl near
        bl chosen
        ldp x29, x30, [sp], #16
        ret
        .globl chosen
        .type chosen, %gnu_indirect_function
        chosen: adrp x0, add_ten
        add x0, x0, :lo12:add_ten
        ret
        add_ten: add w0, w0, #10
        ret
        add_three: add w0, w0, #3
        ret
        near: add w0, w0, #100
        ret";
    let last = "
        .globl far, far_local_caller
        far: stp x29, x30, [sp, #-16]!
        bl add_three
        bl host_twice
        ldp x29, x30, [sp], #16
        ret
        far_local_caller: b middle";
    let middle = ".globl middle\nmiddle: b host_twice\n";
    let objects = [
        object("first.o", first),
        object("space1.o", space),
        object("space2.o", space),
        object("middle.o", middle),
        object("space3.o", space),
        object("space4.o", space),
        object("last.o", last),
    ];
    let objects: Vec<&Path> = objects.iter().map(PathBuf::as_path).collect();
    let image = folder.join("image.so");
    std::fs::write(&image, try_link(&objects).unwrap()).unwrap();
    // ((1 + 3) * 2) * 2 + 100 + 10; `chosen` is near, but its PLT entry is far.
    assert_eq!(AARCH64.open(&AARCH64.driver(&folder), &[&image]), "returned 126\nclosed\n");
    std::fs::remove_dir_all(&folder).unwrap();

    // The target must be near the island of the section, which a single section can be too large for.
    let folder = native::folder("veneers-refused");
    let object = |name: &str, text: &str| compile_text(AARCH64.cc, &[], "s", text, &folder.join(name));
    let objects = [object("large.o", "bl far\n.space 130 << 20\n"), object("far.o", ".globl far\nfar: ret\n")];
    let error = try_link(&[&objects[0], &objects[1]]).map(drop).unwrap_err();
    assert!(error.message().contains("R_AARCH64_CALL26 against symbol 'far' is out of range"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}
