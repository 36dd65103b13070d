//! Runs the fuzz targets' code on all stored inputs: the seeds, the genuine files, and the minimized findings of fuzzing, which are
//! in `tests/regressions`, one folder for each target.
#![allow(missing_docs)]

mod hostile;

use std::fs;
use std::path::Path;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::Status;

/// Runs a target on the files of a folder and returns their number.
fn replay(folder: &str, run: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = fs::read_dir(&folder) else { return 0 };
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.inspect(|path| println!("{}", path.display())).map(|path| run(&fs::read(path).unwrap())).count()
}

/// Runs a target on its findings and on a folder of seeds.
fn replay_all(target: &str, seeds: &str, run: fn(&[u8])) {
    replay(&format!("tests/regressions/{target}"), run);
    let found = replay(&format!("fuzz/seeds/{seeds}"), run);
    assert!(found > 0, "no seeds");
}

#[test]
fn open_all() {
    replay_all("open_all", "files", hostile::open_all::run);
    assert!(replay("tests/fixtures", hostile::open_all::run) > 0);
}

#[test]
fn rewrite() {
    replay_all("rewrite", "files", hostile::rewrite::run);
    assert!(replay("tests/fixtures", hostile::rewrite::run) > 0);
}

#[test]
fn trailer() {
    replay_all("trailer", "trailer", hostile::trailer::run);
}

#[test]
fn fat() {
    replay_all("fat", "fat", hostile::fat::run);
}

#[test]
fn load() {
    replay_all("load", "load", hostile::load::run);
}

#[test]
fn memory() {
    replay_all("memory", "load", hostile::memory::run);
}

#[test]
fn pack() {
    replay_all("pack", "pack", hostile::pack::run);
}

#[test]
fn cache_folder() {
    replay_all("cache_folder", "cache_folder", hostile::cache_folder::run);
}

#[test]
fn texts() {
    replay_all("texts", "texts", hostile::texts::run);
}

#[test]
fn cwasm() {
    replay_all("cwasm", "cwasm", hostile::cwasm::run);
    assert!(replay("tests/fixtures/wasmtime", hostile::cwasm::run) > 0);
}

#[test]
fn signed() {
    replay_all("signed", "trailer", hostile::signed::run);
}

#[test]
fn link() {
    replay_all("link", "link", hostile::link::run);
}

#[test]
fn api() {
    replay_all("api", "api", hostile::api::run);
}

/// Excessive counts, lengths and offsets in a trailer with correct digests are rejected without allocating memory for them.
#[test]
fn excessive_counts_in_trailers_are_rejected() {
    let image = hostile::elf::Shape::default().image();
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(&image).unwrap();
    builder.set_attribute("name", b"value").unwrap();
    let sound = builder.serialize().unwrap();
    let footer = sound.len() - hostile::FOOTER;
    let root = footer - hostile::ROOT;
    // The root record's body_end, header_offset, metadata_offset, modules and chunks_len; the footer's root_offset and file_len,
    // and then its number of signatures.
    let words = [root + 8, root + 16, root + 24, root + 32, root + 40, footer, footer + 8];
    let values = [1 << 21, 1 << 32, 1 << 40, 1 << 58, 1 << 63, u64::MAX - 8, u64::MAX];
    let mut damaged: Vec<_> =
        words.iter().flat_map(|at| values.map(|value| (*at, value.to_le_bytes().to_vec()))).collect();
    damaged.extend([u32::MAX, 1 << 31, 65].map(|value: u32| (footer + 16, value.to_le_bytes().to_vec())));
    for (at, bytes) in damaged {
        let mut file = sound.clone();
        file[at..at + bytes.len()].copy_from_slice(&bytes);
        hostile::reseal(&mut file);
        let error = Artifact::open_bytes(&file, None, &OpenOptions::default()).expect_err("damage");
        let expected = [Status::Corrupt, Status::Truncated, Status::DigestMismatch, Status::Limit, Status::Unsupported];
        assert!(expected.contains(&error.status()), "{at} {bytes:?}: {}", error.message());
    }
}
