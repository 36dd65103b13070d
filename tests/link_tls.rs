//! Thread-local storage: images that use it do the same as those of the system's linker, under plain `dlopen`, in every model that
//! compilers have for shared objects. What needs static storage of its own is refused.
mod native;

use std::path::{Path, PathBuf};
use std::process::Command;

use artifact::error::Status;

use native::{AARCH64, Machine, X86_64, check_image, compile, compile_text, folder, have, link_to, run, try_link};

/// Returns what `readelf` says about an image.
fn read(image: &Path, arguments: &[&str]) -> String {
    run(Command::new("readelf").arg("--wide").args(arguments).arg(image))
}

/// Links the two objects with the library and with the system's linker, and checks that both images do the same. Returns the
/// relocations of the library's image.
fn compare(machine: &Machine, compiler: &str, flags: &[&str], what: &str) -> String {
    let folder = folder(&format!("tls-{}-{what}", machine.name));
    let driver = machine.driver_of("tls_driver.c", &folder);
    let one = compile(compiler, flags, "tls.c", &folder.join("tls.o"));
    let more = compile(compiler, flags, "tls_more.c", &folder.join("more.o"));
    let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
    link_to(&[&one, &more], &ours);
    check_image(&ours, what);
    machine.system_link(&[&one, &more], &theirs);
    let (said, expected) = (machine.open(&driver, &[&ours]), machine.open(&driver, &[&theirs]));
    assert!(expected.lines().count() == 6 && !expected.contains("-1"), "{what}: {expected}");
    assert_eq!(said, expected, "{what}");
    read(&ours, &["--relocs"])
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
            let said = compare(machine, compiler, &flags, &format!("{compiler}-{name}{level}"));
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
