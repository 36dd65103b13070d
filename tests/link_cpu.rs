//! `__builtin_cpu_supports` without libgcc.a among the objects: the image has a copy of libgcc_s's `__cpu_model`.
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
use artifact::native::link::Options;
use artifact::native::load::{Import, LoadOptions, load};
use native::{X86_64, check_image, compile_text, folder, have, link_to, link_to_with, load_and_run, run, try_link};

/// Asks about the CPU in a resolver, which runs before all constructors, in a constructor, and later.
const PROGRAM: &str = r#"
static int early, constructed;
static int sum(void) {
    return (__builtin_cpu_supports("sse2") != 0) + 2 * (__builtin_cpu_supports("sse4.2") != 0)
        + 4 * (__builtin_cpu_supports("avx2") != 0) + 8 * (__builtin_cpu_supports("avx512f") != 0)
        + 16 * (__builtin_cpu_is("intel") != 0) + 32 * (__builtin_cpu_is("amd") != 0);
}
static int one(int n) { return n + 1; }
static int other(int n) { return n + 1; }
static int (*pick(void))(int) { __builtin_cpu_init(); early = sum(); return early & 1 ? one : other; }
int picked(int) __attribute__((ifunc("pick")));
__attribute__((constructor)) static void construct(void) { constructed = sum(); }
int run(void);
int run(void) { return sum() == early && sum() == constructed && picked(1) == 2 ? 1000 + sum() : -1; }
"#;

fn needed(image: &Path) -> String {
    run(Command::new("readelf").args(["--wide", "--dynamic", "--version-info"]).arg(image))
}

fn asks_about_the_cpu(compiler: &str, models: &[&[&str]]) {
    let folder = folder(&format!("cpu-{compiler}"));
    // It has no libgcc_s: the image brings it.
    let driver = folder.join("driver");
    run(Command::new("cc").args(["-O1", "-rdynamic", "-o"]).arg(&driver).arg(native::source("driver.c")));
    let [ours, theirs, whole] = ["ours.so", "theirs.so", "whole.so"].map(|name| folder.join(name));
    let archive = run(Command::new("cc").arg("-print-libgcc-file-name"));
    for model in models {
        for level in ["-O0", "-O2"] {
            let flags = [&["-w", level][..], model].concat();
            let what = format!("{compiler} {flags:?}");
            let object = compile_text(compiler, &flags, "c", PROGRAM, &folder.join("asks.o"));
            run(Command::new("cc").args(["-shared", "-o"]).arg(&theirs).arg(&object));
            let expected = X86_64.open(&driver, &[&theirs]);
            assert!(expected.starts_with("returned 10"), "{what}: {expected}");

            let image = link_to(&[&object], &ours);
            let text = needed(&ours);
            assert!(text.contains("[libgcc_s.so.1]") && text.contains("GCC_4.8.0"), "{what}: {text}");
            assert_eq!(X86_64.open(&driver, &[&ours]), expected, "{what}");
            assert_eq!(format!("returned {}\nclosed\n", load_and_run(&image)), expected, "{what}");
            let mut only_run = Options::default();
            only_run.entries = &["run"];
            link_to_with(&[&object], &only_run, &ours);
            assert_eq!(X86_64.open(&driver, &[&ours]), expected, "{what}");

            // libgcc.a defines all of it.
            let image = link_to(&[&object, Path::new(archive.trim())], &whole);
            assert!(!needed(&whole).contains("libgcc_s"), "{what}");
            assert_eq!(format!("returned {}\nclosed\n", load_and_run(&image)), expected, "{what}");
        }
    }
}

#[test]
fn gcc_asks_about_the_cpu() {
    asks_about_the_cpu("cc", &[&["-fPIC"], &["-fPIC", "-fno-plt"], &["-fPIC", "-mcmodel=medium"]]);
}

#[test]
fn clang_asks_about_the_cpu() {
    if have("clang") {
        asks_about_the_cpu("clang", &[&["-fPIC"], &["-fPIE"]]);
    }
}

fn run_with(image: &[u8], symbols: &[Import<'_>], constructors: bool) -> Result<i64, Error> {
    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    builder.add_module(image)?;
    let bytes = builder.serialize()?;
    let artifact = Arc::new(Artifact::open_bytes(&bytes, None, &OpenOptions::default())?);
    let mut options = LoadOptions::default();
    (options.symbols, options.constructors) = (symbols, constructors);
    // SAFETY: the test's own code, in memory that nobody else has. Nothing of it is used after this function.
    let code = unsafe { load(artifact, &engine, options) }?;
    // SAFETY: `run` takes no arguments and returns an int.
    Ok(i64::from(unsafe { code.call(0, b"run", &[]) }? as i32))
}

/// A host that gives no symbols of the process may have a `__cpu_model` of its own.
#[test]
fn a_host_gives_its_own_model() {
    let folder = folder("cpu-host");
    let text = "int filler = 1; int run(void) { return (__builtin_cpu_supports(\"avx2\") != 0) + 10 * (__builtin_cpu_is(\"intel\") != 0); }";
    let object = compile_text("cc", &["-fPIC", "-O1"], "c", text, &folder.join("host.o"));
    let ours = folder.join("ours.so");
    let image = link_to(&[&object], &ours);
    check_image(&ours, "host");
    // Intel, and AVX2, which is bit 10.
    let model = [1u32, 0, 0, 1 << 10];
    let symbols = [Import { name: c"__cpu_model", address: model.as_ptr().cast() }];
    assert_eq!(run_with(&image, &symbols, true).unwrap(), 11);
    let error = run_with(&image, &[], true).unwrap_err();
    assert_eq!(error.status(), Status::Unresolved);
    assert!(error.message().contains("libgcc_s.so.1"), "{error}");
    let error = run_with(&image, &symbols, false).unwrap_err();
    assert!(error.status() == Status::Unsupported && error.message().contains("constructors: "), "{error}");
}

/// What asks about the CPU may be left out, and the constructor with it.
#[test]
fn only_who_asks_needs_a_model() {
    let folder = folder("cpu-unused");
    let text = "int asks(void) { return __builtin_cpu_supports(\"avx2\"); } int run(void) { return 7; }";
    let flags = ["-fPIC", "-O1", "-ffunction-sections"];
    let object = compile_text("cc", &flags, "c", text, &folder.join("unused.o"));
    let ours = folder.join("ours.so");
    for (entry, count) in [("run", 0), ("asks", 1)] {
        let entries = [entry];
        let mut options = Options::default();
        options.entries = &entries;
        let image = link_to_with(&[&object], &options, &ours);
        let text = needed(&ours);
        for word in ["libgcc_s.so.1]", "(INIT_ARRAY)"] {
            assert_eq!(text.matches(word).count(), count, "{entry}: {text}");
        }
        if entry == "run" {
            assert_eq!(run_with(&image, &[], false).unwrap(), 7);
        }
    }
}

/// libgcc_s has only the features that were known when `__cpu_model` got its size.
#[test]
fn later_features_need_the_archive() {
    let folder = folder("cpu-later");
    let text = "int run(void) { return __builtin_cpu_supports(\"gfni\") ? 2 : 1; }";
    let archive = run(Command::new("cc").arg("-print-libgcc-file-name"));
    for compiler in ["cc", "clang"].into_iter().filter(|compiler| have(compiler)) {
        let object = compile_text(compiler, &["-fPIC", "-O1"], "c", text, &folder.join("later.o"));
        let error = match try_link(&[&object]) {
            Ok(image) => run_with(&image, &[], true).unwrap_err(),
            Err(error) => error,
        };
        assert!(error.message().contains("'__cpu_features2'") && error.message().contains("libgcc.a"), "{error}");
        let (whole, theirs) = (folder.join("whole.so"), folder.join("theirs.so"));
        let image = link_to(&[&object, Path::new(archive.trim())], &whole);
        run(Command::new("cc").args(["-shared", "-o"]).arg(&theirs).arg(&object));
        assert_eq!(load_and_run(&image), load_and_run(&fs::read(&theirs).unwrap()), "{compiler}");
    }
}
