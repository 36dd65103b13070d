//! Linking: what compilers make runs as it does when the system's linker has linked it; what can't be linked is refused with
//! all that one needs to know.
mod native;

use std::path::Path;
use std::process::Command;

use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::Status;
use artifact::format::module::Module;

use native::{AARCH64, Machine, X86_64, compile, compile_text, folder, have, link_to, run, try_link};

/// Links objects both ways and has both images say the same when they are opened.
fn compare(machine: &Machine, driver: &Path, objects: &[&Path], what: &str) {
    let (ours, theirs) = (driver.with_file_name("ours.so"), driver.with_file_name("theirs.so"));
    link_to(objects, &ours);
    check_image(&ours, what);
    machine.system_link(objects, &theirs);
    let (said, expected) = (machine.open(driver, &[&ours]), machine.open(driver, &[&theirs]));
    assert!(expected.lines().count() > 1, "{what}: {expected}");
    assert_eq!(said, expected, "{what}");
}

/// What eu-elflint says of images that are as they should be, and why they are so.
const COMPLAINTS: [(&str, &str); 1] = [(
    "symbol in dynamic symbol table with non-default visibility",
    "a protected symbol is exported, as gABI wants; images of the system's linker get the same complaint",
)];

/// What every image promises, as readelf sees it; and what eu-elflint has to say.
fn check_image(image: &Path, what: &str) {
    for (program, argument) in [("readelf", "--all"), ("nm", "--dynamic")] {
        let output = native::try_run(Command::new(program).arg(argument).arg(image));
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && complaints.is_empty(), "{what}: {program}: {complaints}");
    }
    let text = run(Command::new("readelf").args(["--wide", "--dynamic", "--segments", "--relocs"]).arg(image));
    assert!(!text.contains("TEXTREL") && !text.contains("RWE"), "{what}: {text}");
    for line in text.lines().filter(|line| line.contains(" R_")) {
        let known = ["_RELATIV", "_GLOB_DA", "R_X86_64_64 ", "R_AARCH64_ABS64 "];
        assert!(known.iter().any(|kind| line.contains(kind)), "{what}: {line}");
    }
    for segment in ["GNU_RELRO", "GNU_STACK", "DYNAMIC"] {
        assert!(text.contains(segment), "{what}: {text}");
    }
    if have("eu-elflint") {
        let output = native::try_run(Command::new("eu-elflint").args(["--quiet", "--gnu-ld"]).arg(image));
        for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| !line.is_empty()) {
            assert!(COMPLAINTS.iter().any(|(complaint, _)| line.ends_with(complaint)), "{what}: {line}");
        }
    }
}

/// Every way of compiling that has to link.
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
        // Without optimization, its large model has absolute addresses in code in spite of -fPIC.
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
            // Destructors of static objects run when a shared object goes, if the compiler's startup files are linked in.
            let theirs = folder.join("theirs.so");
            run(Command::new(machine.cxx)
                .args(["-shared", "-Wl,-Bsymbolic", "-o"])
                .arg(&theirs)
                .args([&classes, &too]));
            let (mut said, mut expected) = (machine.open(&driver, &[&image]), machine.open(&driver, &[&theirs]));
            if !model.contains(&NO_UNIQUE) {
                // A unique symbol keeps theirs open until the program ends.
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
    // -fPIE takes the C++ library's data, such as its types that are caught, for the program's own.
    let (folder, flags) = (folder("cxx-pie"), ["-O2", "-w", "-std=c++17", "-fPIE"]);
    let error = try_link(&[&compile("c++", &flags, "classes.cc", &folder.join("classes.o"))]).unwrap_err();
    assert!(error.message().contains("symbol '_ZTI") && error.message().contains("with -fPIC"), "{error}");
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
            // ld for x86-64 doesn't link relocations against numbers, although they are known.
            assert_eq!(machine.open(&driver, &[&image]), format!("returned {sum}\nclosed\n"), "{}", machine.name);
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

/// What is refused, with what in the message.
fn refused(name: &str, flags: &[&str], text: &str, status: Status, words: &[&str]) {
    let folder = folder(&format!("refused-{name}"));
    let object = compile_text("cc", flags, "c", text, &folder.join("bad.o"));
    let error = try_link(&[&object]).expect_err(name);
    assert_eq!(error.status(), status, "{error}");
    for word in ["bad.o"].iter().chain(words) {
        assert!(error.message().contains(word), "{name}: no '{word}' in: {error}");
    }
}

#[test]
fn what_cannot_be_linked_is_refused_by_name() {
    use Status::Unsupported;
    let data = "extern int far; int get(void) { return far; }";
    let words = ["section '.text'", "offset 0x", "symbol 'far'", "relocation R_X86_64_PC32", "compile with -fPIC"];
    refused("pie", &["-O2", "-fPIE", "-mcmodel=small"], data, Unsupported, &words);
    let address = "static int near[9]; int *get(void) { return near; }";
    refused("absolute", &["-O2", "-fno-pic"], address, Unsupported, &["R_X86_64_32", "symbol '.bss'", "-fPIC"]);
    let thread = "__thread int mine; int get(void) { return mine; }";
    refused("thread", &["-O2", "-fPIC"], thread, Unsupported, &["thread-local storage"]);
    let other = "extern __thread int theirs; int get(void) { return theirs; }";
    refused("threads", &["-O2", "-fPIC"], other, Unsupported, &["symbol 'theirs'", "R_X86_64_TLSGD", "thread-local"]);
    let indirect = "static int one(void) { return 1; } static void *pick(void) { return one; }\
                    int chosen(void) __attribute__((ifunc(\"pick\")));";
    refused("indirect", &["-O2", "-fPIC"], indirect, Unsupported, &["symbol 'chosen'", "STT_GNU_IFUNC"]);
    refused("lto", &["-O2", "-fPIC", "-flto"], "int get(void) { return 1; }", Unsupported, &["-flto"]);
    let nested = "void call(void (*)(void)); int get(int n) { void in(void) { n++; } call(in); return n; }";
    refused("nested", &["-O0", "-fPIC"], nested, Unsupported, &["executable stack"]);
    let code = "asm(\".text\\n.quad puts\\n\");";
    refused("code", &["-fPIC"], code, Unsupported, &["symbol 'puts'", "R_X86_64_64", "never written"]);
    let version = "asm(\".symver old, old@V1\\n.globl old\\nold: ret\\n\");";
    refused("version", &["-fPIC"], version, Unsupported, &["old@V1", "version"]);
    let get = "int get(void) { return 1; }";
    refused("packed", &["-g3", "-gz=zlib", "-fPIC"], get, Unsupported, &["is compressed", "-gz=none"]);
}

#[test]
fn two_definitions_are_one_too_many() {
    let folder = folder("twice");
    let flags = ["-fPIC", "-fno-common"];
    let one = compile_text("cc", &flags, "c", "int same(void) { return 1; }", &folder.join("one.o"));
    let two = compile_text("cc", &flags, "c", "int same(void) { return 2; }", &folder.join("two.o"));
    let error = try_link(&[&one, &two]).unwrap_err();
    assert_eq!(error.status(), Status::InvalidArgument);
    for word in ["object 'two.o'", "object 'one.o'", "symbol 'same'"] {
        assert!(error.message().contains(word), "{error}");
    }
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
