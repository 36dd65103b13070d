//! Nested functions whose trampolines are on the heap, as GCC 14 makes them with -ftrampoline-impl=heap.
#![cfg(target_arch = "x86_64")]
mod native;

use std::process::Command;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::native::load::{Code, Import, LoadOptions, load};
use native::{check_image, compile, folder, link_to, load_and_run, run};

/// 40 + 1, and 41 + 2.
const EXPECTED: i64 = 41 + 43;

fn load_with(image: &[u8], symbols: &[Import<'_>]) -> Code {
    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    builder.add_module(image).unwrap();
    let bytes = builder.serialize().unwrap();
    let artifact = Arc::new(Artifact::open_bytes(&bytes, None, &OpenOptions::default()).unwrap());
    let mut options = LoadOptions::default();
    (options.symbols, options.process_symbols) = (symbols, true);
    // SAFETY: the test's own code, in memory that nobody else has. Nothing of it is used after the test.
    unsafe { load(artifact, &engine, options) }.unwrap()
}

#[test]
fn the_host_gives_heap_trampolines() {
    let folder = folder("trampolines");
    let [nested, host] = ["trampoline.s", "trampoline_host.c"]
        .map(|name| compile("cc", &["-fPIC", "-O1"], name, &folder.join(name).with_extension("o")));
    let [image, host_image] = ["nested.so", "host.so"].map(|name| folder.join(name));
    let nested_bytes = link_to(&[&nested], &image);
    check_image(&image, "nested");
    let host_bytes = link_to(&[&host], &host_image);

    let host_code = load_with(&host_bytes, &[]);
    let names = [c"__gcc_nested_func_ptr_created", c"__gcc_nested_func_ptr_deleted", c"apply"];
    let symbols =
        names.map(|name| Import { name, address: host_code.symbol(0, name.to_bytes()).unwrap().address as _ });
    let code = load_with(&nested_bytes, &symbols);
    // SAFETY: `run` takes no arguments and returns an int.
    assert_eq!(unsafe { code.call(0, b"run", &[]) }.unwrap() as i32 as i64, EXPECTED);
    drop(code);

    // With the functions among the objects, and in a program that opens the image.
    let both = folder.join("both.so");
    assert_eq!(load_and_run(&link_to(&[&nested, &host], &both)), EXPECTED);
    let driver = folder.join("driver");
    run(Command::new("cc").args(["-O1", "-rdynamic", "-o"]).arg(&driver).arg(native::source("driver.c")).arg(&host));
    let text = format!("returned {EXPECTED}\nclosed\n");
    assert_eq!(run(Command::new(&driver).args([&image, &both])), format!("returned {EXPECTED}\n{text}"));
}
