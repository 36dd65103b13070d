//! Loading of images that the linkers available here do not create.
mod common;
mod native;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::Status;
use artifact::format::module::Module;
use artifact::native::image::parse;
use artifact::native::load::{LoadOptions, load};
use artifact::storage::Sync;

use native::{compile_text, folder, link_to, run, try_link};

const TEXT: &str = "static int five = 5; int *pointer = &five; char room[256] = {1}; const char large[1 << 16] = {1};
    long get(void) { return *pointer; }";

/// A large file is parsed in its final mapping. Relocations stored in writable data must not be read from the pages that relocations
/// are applied to.
#[test]
fn relocations_stored_in_data_are_applied() {
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
    // The DT_RELA entry of .dynamic.
    let entry = |address: u64| [7u64.to_le_bytes(), address.to_le_bytes()].concat();
    let offsets: Vec<usize> = (0..image.len() - 16).filter(|at| image[*at..*at + 16] == entry(address)).collect();
    assert_eq!(offsets.len(), 1);
    image[offsets[0]..offsets[0] + 16].copy_from_slice(&entry(room));

    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    builder.add_module(&image).unwrap();
    let path = folder.join("data.artifact");
    builder.serialize_to_file(&path, Sync::No).unwrap();
    assert_eq!(load_and_get(&path, &engine), 5);
}

/// Loads an artifact of [`TEXT`] and calls its function.
fn load_and_get(path: &Path, engine: &Engine) -> i64 {
    let artifact = Arc::new(Artifact::open(path, None, &OpenOptions::default()).unwrap());
    // SAFETY: the text above, which imports nothing. Nobody else has the file, and nothing of the code is used after this function.
    let code = unsafe { load(artifact, engine, LoadOptions::default()) }.unwrap();
    // SAFETY: `get` takes no arguments and returns a long.
    unsafe { code.call(0, b"get", &[]) }.unwrap()
}

/// Two writable segments, and the dynamic section in the second one.
const SCRIPT: &str = "PHDRS { headers PT_LOAD FILEHDR PHDRS FLAGS(4); text PT_LOAD FLAGS(5); one PT_LOAD FLAGS(6);
    other PT_LOAD FLAGS(6); dynamic PT_DYNAMIC FLAGS(6); }
    SECTIONS {
        . = SIZEOF_HEADERS;
        .hash : { *(.gnu.hash) } :headers
        .dynsym : { *(.dynsym) } .dynstr : { *(.dynstr) } .rela.dyn : { *(.rela.*) } .rodata : { *(.rodata*) }
        . = ALIGN(0x10000); .text : { *(.text*) } :text
        . = ALIGN(0x10000); .data : { *(.data*) } :one
        . = ALIGN(0x10000); .dynamic : { *(.dynamic) } :other :dynamic
        /DISCARD/ : { *(.comment) *(.note*) *(.eh_frame*) }
    }";

/// A large file is read where it is mapped, in its first writable segment at most. A dynamic section in another one was taken for
/// an empty one.
#[test]
fn a_dynamic_section_in_the_second_writable_segment_is_read() {
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return;
    }
    let folder = folder("load-dynamic-last");
    let object = compile_text("cc", &["-O1", "-fPIC"], "c", TEXT, &folder.join("data.o"));
    let (script, image) = (folder.join("script"), folder.join("data.so"));
    fs::write(&script, SCRIPT).unwrap();
    run(Command::new("ld")
        .args(["-shared", "-Bsymbolic", "--hash-style=gnu", "-T"])
        .arg(&script)
        .arg(&object)
        .arg("-o")
        .arg(&image));

    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    let image = fs::read(&image).unwrap();
    builder.add_module(&image).unwrap();
    let path = folder.join("data.artifact");
    builder.serialize_to_file(&path, Sync::No).unwrap();
    assert_eq!(load_and_get(&path, &engine), 5);
}

/// A Wasmtime module has one relocation section for `.text`. A second one would be ignored, so it is rejected.
#[test]
fn a_second_relocation_section_is_rejected() {
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

/// An FDE for code past the end of its section would make the loader refuse the image. The linker refuses the object.
#[test]
fn unwind_tables_for_code_outside_their_section_are_refused() {
    let folder = folder("link-frames-outside");
    let path = folder.join("f.o");
    let flags = ["-O1", "-fPIC", "-fasynchronous-unwind-tables"];
    compile_text("cc", &flags, "c", "int f(void) { return 5; }", &path);
    let mut object = fs::read(&path).unwrap();
    let frames = Module::parse(&object).unwrap().section_named(b".eh_frame").unwrap().offset as usize;
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap());
    let range = frames + 4 + word(&object, frames) as usize + 12;
    let size = word(&object, range);
    assert!((1..=16).contains(&size), "{size}");
    for (bytes, fits) in [(size, true), (size + 64, false), (0x00fb_ffea, false), (u32::MAX, false)] {
        object[range..range + 4].copy_from_slice(&bytes.to_le_bytes());
        fs::write(&path, &object).unwrap();
        match try_link(&[&path]) {
            Ok(_) => assert!(fits, "{bytes}"),
            Err(error) => {
                assert!(!fits && error.status() == Status::Corrupt, "{error}");
                assert!(error.message().starts_with("f.o:(.eh_frame+0x"), "{error}");
            }
        }
    }
}
