//! Loading: images that no linker here makes.
mod native;

use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::format::module::Module;
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
    let code = load(artifact, &engine, LoadOptions::default()).unwrap();
    assert_eq!(code.call(0, b"get", &[]).unwrap(), 5);
}
