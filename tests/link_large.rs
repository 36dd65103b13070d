//! Images with more zeroed data than 32-bit distances reach over: what the memory models allow is linked and loaded, and takes memory
//! only where it is used.
#![cfg(target_arch = "x86_64")]
mod native;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::{Error, Status};
use artifact::native::load::{LoadOptions, load};
use native::{X86_64, check_image, compile_text, folder, have, link_to, load_and_run, run, try_link};

/// Touches two arrays of 3 GiB at both ends, and small variables; calls out of the image.
const PROGRAM: &str = r#"
#include <string.h>
#define SIZE (3ul << 30)
char exported[SIZE];
static char own[SIZE];
int small, initialized = 7;
int host_twice(int);
static char *const ends[] = {exported, own};
static __attribute__((noinline)) int touch(char *array, unsigned long at) { array[at] += at ? 2 : 1; return array[at]; }
int run(void);
int run(void) {
    small += initialized;
    exported[SIZE / 2] = (char)strlen("four");
    own[SIZE - 1] = 20;
    return touch(exported, 0) + touch(exported, SIZE - 1) + touch(own, 0) + own[SIZE - 1] + small + exported[SIZE / 2]
        + 100 * (ends[0] == exported && ends[1] == own && exported + SIZE - 1 != own);
}
"#;
const EXPECTED: i64 = 1 + 2 + 1 + 20 + 7 + 4 + 100;

fn large_arrays_are_linked(compiler: &str, models: &[&[&str]]) {
    let folder = folder(&format!("large-{compiler}"));
    let driver = X86_64.driver(&folder);
    let (ours, theirs) = (folder.join("ours.so"), folder.join("theirs.so"));
    for model in models {
        for level in ["-O0", "-O2"] {
            let flags = [&["-w", "-fcommon", "-fno-builtin", level][..], model].concat();
            let object = compile_text(compiler, &flags, "c", PROGRAM, &folder.join("large.o"));
            let what = format!("{compiler} {flags:?}");
            let image = link_to(&[&object], &ours);
            assert!(image.len() < 64 << 10, "{what}: {} bytes", image.len());
            check_image(&ours, &what);
            let expected = format!("returned {EXPECTED}\nclosed\n");
            assert_eq!(X86_64.open(&driver, &[&ours]), expected, "{what}");
            assert_eq!(load_and_run(&image), EXPECTED, "{what}");
            if flags.contains(&"-fPIC") {
                // GNU ld takes loads from the GOT for computations that then do not reach.
                let link = ["-shared", "-Bsymbolic", "--no-relax", "-o"];
                run(Command::new("ld").args(link).arg(&theirs).arg(&object));
                assert_eq!(X86_64.open(&driver, &[&theirs]), expected, "{what}");
                assert_eq!(load_and_run(&fs::read(&theirs).unwrap()), EXPECTED, "{what}");
            }
        }
    }
}

#[test]
fn large_arrays_by_gcc() {
    large_arrays_are_linked("cc", &[&["-fPIC", "-mcmodel=medium"], &["-fPIC", "-mcmodel=large"]]);
}

#[test]
fn large_arrays_by_clang() {
    if have("clang") {
        let models: [&[&str]; 3] =
            [&["-fPIC", "-mcmodel=medium"], &["-fPIC", "-mcmodel=large"], &["-fno-pic", "-mcmodel=large"]];
        large_arrays_are_linked("clang", &models);
    }
}

/// Code that was not compiled for it does not reach the end of a large array.
#[test]
fn the_small_model_does_not_allow_it() {
    let folder = folder("large-small");
    let text = ".lcomm array, 0xc0000000\n.lcomm end, 1\n.text\nlea end(%rip), %rax\n";
    let object = compile_text("cc", &[], "s", text, &folder.join("small.o"));
    let error = try_link(&[&object]).map(drop).unwrap_err();
    assert_eq!(error.status(), Status::Unsupported);
    assert!(error.message().contains("is out of range") && error.message().contains("a larger -mcmodel"), "{error}");
}

/// Loads images as modules of one artifact, and returns the sum of what `run` of each returns.
fn run_all(images: &[&Path], no_unwind: bool) -> Result<i64, Error> {
    let engine = Engine::new();
    let images: Vec<Vec<u8>> = images.iter().map(|path| fs::read(path).unwrap()).collect();
    let mut builder = Builder::new(&engine);
    for image in &images {
        builder.add_module(image)?;
    }
    let bytes = builder.serialize()?;
    let artifact = Arc::new(Artifact::open_bytes(&bytes, None, &OpenOptions::default())?);
    let mut options = LoadOptions::default();
    (options.process_symbols, options.no_unwind) = (true, no_unwind);
    // SAFETY: the test's own code, in memory that nobody else has. Nothing of it is used after this function.
    let code = unsafe { load(artifact, &engine, options) }?;
    // SAFETY: every `run` here takes no arguments and returns an int.
    Ok((0..images.len()).map(|module| unsafe { code.call(module, b"run", &[]) }.unwrap() as i32 as i64).sum())
}

/// The tables of several modules are registered as one, which has to reach the code of all.
#[test]
fn a_large_module_may_come_last() {
    let folder = folder("large-last");
    let flags = ["-fPIC", "-O1", "-w", "-mcmodel=medium", "-fexceptions"];
    let program = PROGRAM.replace("host_twice", "abs");
    let large = compile_text("cc", &flags, "c", &program, &folder.join("large.o"));
    let small = compile_text("cc", &flags, "c", "int run(void) { return 1000; }", &folder.join("small.o"));
    let [large_image, small_image] = ["large.so", "small.so"].map(|name| folder.join(name));
    link_to(&[&large], &large_image);
    link_to(&[&small], &small_image);
    assert_eq!(run_all(&[&small_image, &small_image, &large_image], false).unwrap(), 2000 + EXPECTED);
    let error = run_all(&[&large_image, &small_image], false).unwrap_err();
    assert_eq!(error.status(), Status::Unsupported);
    assert!(error.message().contains("add modules with large data last"), "{error}");
    assert_eq!(run_all(&[&large_image, &small_image], true).unwrap(), EXPECTED + 1000);
}

/// Who may use few addresses gets an error, not less memory.
#[test]
fn addresses_are_limited() {
    let folder = folder("large-limits");
    let link = |gigabytes: u64| {
        let text = format!(".section .lbss,\"aw\",@nobits\n.zero {}\n", gigabytes << 30);
        try_link(&[&compile_text("cc", &[], "s", &text, &folder.join("zeros.o"))])
    };
    assert!(link(1000).is_ok());
    let error = link(1024).map(drop).unwrap_err();
    assert_eq!(error.status(), Status::Limit);
    assert!(error.message().contains("and 1099511627776 with .bss and .lbss"), "{error}");
}
