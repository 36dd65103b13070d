//! Loading: images that no linker here makes.
mod common;
mod native;

use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::format::module::Module;
use artifact::native::image::parse;
use artifact::native::load::{LoadOptions, load};
use artifact::storage::Sync;

use native::{compile_text, folder, link_to};

const TEXT: &str = "static int five = 5; int *pointer = &five; char room[256] = {1}; const char large[1 << 16] = {1};
    long get(void) { return *pointer; }";

/// A large file is looked at where it is mapped; but what relocations are written to isn't what they are read from.
#[test]
fn relocations_that_stand_among_data_are_applied() {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return;
    }
    let folder = folder("load-among-data");
    let object = compile_text("cc", &["-O1", "-fPIC"], "c", TEXT, &folder.join("data.o"));
    let mut image = link_to(&[&object], &folder.join("data.so"));
    let module = Module::parse(&image).unwrap();
    let (table, data) = (module.section_named(b".rela.dyn").unwrap(), module.section_named(b".data").unwrap());
    let room = module.symbols().unwrap().named(b"room").unwrap().value;
    let (from, to) = (table.offset as usize, (data.offset + room - data.address) as usize);
    let (len, address) = (table.size as usize, table.address);
    assert!(len > 0 && len <= 256);
    image.copy_within(from..from + len, to);
    image[from..from + len].fill(0xff);
    // DT_RELA, in .dynamic.
    let entry = |address: u64| [7u64.to_le_bytes(), address.to_le_bytes()].concat();
    let places: Vec<usize> = (0..image.len() - 16).filter(|at| image[*at..*at + 16] == entry(address)).collect();
    assert_eq!(places.len(), 1);
    image[places[0]..places[0] + 16].copy_from_slice(&entry(room));

    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    builder.add_module(&image).unwrap();
    let path = folder.join("data.artifact");
    builder.serialize_to_file(&path, Sync::No).unwrap();
    let artifact = Arc::new(Artifact::open(&path, None, &OpenOptions::default()).unwrap());
    // SAFETY: the text above, which imports nothing. Nobody else has the file, and nothing of the code is used after this test.
    let code = unsafe { load(artifact, &engine, LoadOptions::default()) }.unwrap();
    // SAFETY: `get` takes no arguments and returns a long.
    assert_eq!(unsafe { code.call(0, b"get", &[]) }.unwrap(), 5);
}

/// Of two sections of relocations for its text a Wasmtime module would lose one.
#[test]
fn a_second_section_of_relocations_is_damage() {
    let bytes = &common::artifacts()["target_x64_baseline_libcalls"];
    let artifact = Artifact::open_bytes(bytes, None, &OpenOptions::default()).unwrap();
    let mut image = artifact.module_bytes(0).unwrap().to_vec();
    let module = artifact.module(0).unwrap();
    let header = |name: &[u8]| {
        let index = (1..module.section_count()).find(|index| module.section(*index).unwrap().name == name).unwrap();
        u64::from_le_bytes(*image[40..].first_chunk().unwrap()) as usize + 64 * index
    };
    let (one, other) = (header(b".rela.text"), header(b".wasmtime.traps"));
    assert!(parse(&image, 62, 4096).is_ok());
    image.copy_within(one..one + 8, other); // name and type
    image[other + 32..other + 40].fill(0); // size
    let error = parse(&image, 62, 4096).unwrap_err();
    assert!(error.message().contains("found a second"), "{error}");
}
