//! Linking references to versions of symbols (`.symver`): bound as in what the system's linker makes of the same objects.
mod native;

use std::fs;
use std::process::Command;

use artifact::error::Status;
use native::{AARCH64, Machine, X86_64, check_image, compile_text, folder, link_to, load_and_run, run, try_link};

/// `old` is a version of a function of the C library that has a newer one. run() compares its address with those in the process.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x
extern char old[], NAME[];
__asm__(".symver old, " TEXT(NAME) "@" TEXT(VERSION));
__asm__(".symver terminate, _ZSt9terminatev@GLIBCXX_3.4\n.weak terminate");
__asm__(".symver throw, __cxa_throw@CXXABI_1.3\n.symver raise_it, _Unwind_RaiseException@GCC_3.0");
extern char raise_it[], throw[] __attribute__((weak)), terminate[] __attribute__((weak));
char *volatile in_data[] = {old, throw, raise_it, terminate};
int run(void);
int run(void) {
    char *versioned = dlvsym(RTLD_DEFAULT, TEXT(NAME), TEXT(VERSION)), *latest = dlsym(RTLD_DEFAULT, TEXT(NAME));
    char *in_code = old;
    int found = in_data[1] == dlsym(RTLD_DEFAULT, "__cxa_throw") && in_data[2] == dlsym(RTLD_DEFAULT, "_Unwind_RaiseException");
    return (in_code == versioned) | (in_data[0] == versioned) << 1 | (latest != versioned) << 2 | found << 3 | (NAME != 0) << 4;
}
"#;
const EXPECTED: &str = "returned 31\nclosed\n";

/// The lines of `readelf --version-info` that say which versions an image needs of which libraries.
fn needed(image: &std::path::Path) -> Vec<String> {
    let text = run(Command::new("readelf").args(["--wide", "--version-info"]).arg(image));
    let mut file = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let word = |label: &str| line.split_once(label).and_then(|(_, rest)| rest.split_whitespace().next());
        file = word("File: ").map_or(file, str::to_owned);
        found.extend(word("Name: ").map(|name| format!("{file} {name} {}", word("Flags: ").unwrap())));
    }
    found.sort();
    found
}

fn versions_are_bound(machine: &Machine, name: &str, version: &str) -> Vec<u8> {
    let folder = folder(&format!("versions-{}", machine.name));
    let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
    let (name, version_flag) = (format!("-DNAME={name}"), format!("-DVERSION={version}"));
    let flags = ["-O1", "-w", "-fPIC", "-fno-builtin", &name, &version_flag];
    let object = compile_text(machine.cc, &flags, "c", PROGRAM, &folder.join("old.o"));
    let image = link_to(&[&object], &ours);
    check_image(&ours, "versions");
    let driver = machine.driver(&folder);
    assert_eq!(machine.open(&driver, &[&ours]), EXPECTED);
    let lines = needed(&ours);
    let expected = [
        format!("libc.so.6 {version} none"),
        "libgcc_s.so.1 GCC_3.0 none".into(),
        "libstdc++.so.6 CXXABI_1.3 WEAK".into(),
        "libstdc++.so.6 GLIBCXX_3.4 WEAK".into(),
    ];
    assert_eq!(lines, expected);
    let dynamic = run(Command::new("readelf").args(["--wide", "--dynamic"]).arg(&ours));
    for library in ["[libc.so.6]", "[libstdc++.so.6]", "[libgcc_s.so.1]"] {
        assert_eq!(dynamic.matches(library).count(), 1, "{dynamic}");
    }
    // The system's linker, which reads the libraries, finds the same.
    let link = ["-shared", "-Wl,--no-as-needed", "-o"];
    run(Command::new(machine.cxx).args(link).arg(&theirs).arg(&object));
    let theirs_needs = needed(&theirs);
    for line in &lines {
        let name = line.rsplit_once(' ').unwrap().0;
        assert!(theirs_needs.iter().any(|line| line.starts_with(name)), "{line}: {theirs_needs:?}");
    }
    assert_eq!(machine.open(&driver, &[&theirs]), EXPECTED);
    image
}

#[test]
fn versions_of_the_c_library_are_bound() {
    let image = versions_are_bound(&X86_64, "memcpy", "GLIBC_2.2.5");
    if cfg!(target_arch = "x86_64") {
        assert_eq!(load_and_run(&image), 31);
    }
}

#[test]
fn versions_of_the_c_library_are_bound_for_aarch64() {
    if AARCH64.is_here() {
        versions_are_bound(&AARCH64, "glob", "GLIBC_2.17");
    }
}

/// A symbol without a version and one with are two symbols, whoever defines the first. A weak one may be of a version that its library
/// does not have.
#[test]
fn a_version_is_not_the_objects_own_symbol() {
    let folder = folder("versions-own");
    let text = r#"
        extern int old(const char *), puts(const char *), absent(void) __attribute__((weak));
        __asm__(".symver old, puts@GLIBC_2.2.5\n.symver absent, absent@GLIBC_9.9");
        int puts(const char *text) { return 40 + (text != 0); }
        int run(void); int run(void) { return puts("") + (old != puts) + 4 * (absent == 0); }"#;
    let object = compile_text("cc", &["-O1", "-fPIC", "-fno-builtin"], "c", text, &folder.join("own.o"));
    let ours = folder.join("ours.so");
    let image = link_to(&[&object], &ours);
    check_image(&ours, "own");
    assert_eq!(needed(&ours), ["libc.so.6 GLIBC_2.2.5 none", "libc.so.6 GLIBC_9.9 WEAK"]);
    if cfg!(target_arch = "x86_64") {
        assert_eq!(load_and_run(&image), 46);
    }
    assert_eq!(X86_64.open(&X86_64.driver(&folder), &[&ours]), "returned 46\nclosed\n");
}

#[test]
fn an_image_without_versions_has_no_tables_of_them() {
    let folder = folder("versions-none");
    let text = "int puts(const char *); int run(void) { return puts(\"\"); }";
    let object = compile_text("cc", &["-O1", "-fPIC"], "c", text, &folder.join("none.o"));
    let ours = folder.join("ours.so");
    link_to(&[&object], &ours);
    let text = run(Command::new("readelf").args(["--wide", "--dynamic", "--sections"]).arg(&ours));
    assert!(!text.contains("NEEDED") && !text.contains("VER") && !text.contains(".gnu.version"), "{text}");
}

#[test]
fn versions_that_need_a_system_linker_are_refused() {
    let folder = folder("versions-refused");
    for (code, symbol, words) in [
        (
            ".symver old, old@V1\n.globl old\nold: ret\n",
            "old@V1",
            "is defined, for which linkers need a version script",
        ),
        (".symver old, old@@V2\n.globl old\nold: ret\n", "old@@V2", "link a shared object with a system's linker"),
        (".symver far, far@FAR_1.0\ncall far\n", "far@FAR_1.0", "of a library that is not known: only GLIBC_, "),
        (".symver far, far@GLIBC\ncall far\n", "far@GLIBC", "reads the libraries"),
    ] {
        let file = folder.join("bad.s");
        fs::write(&file, format!(".text\n{code}")).unwrap();
        let object = folder.join("bad.o");
        run(Command::new("cc").arg("-c").arg(&file).arg("-o").arg(&object));
        let error = try_link(&[&object]).unwrap_err();
        assert_eq!(error.status(), Status::Unsupported);
        let begin = format!("bad.o: symbol '{symbol}' has a version");
        assert!(error.message().starts_with(&begin) && error.message().contains(words), "{error}");
    }
}
