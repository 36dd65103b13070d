//! Every input that is kept goes through the fuzz targets' code: the seeds, the genuine files, and in `tests/regressions` the
//! smallest form of whatever fuzzing found, one folder for each target.
#![allow(missing_docs)]

mod hostile;

use std::fs;
use std::path::Path;

/// Runs the files of a folder. How many there were.
fn replay(folder: &str, run: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let Ok(entries) = fs::read_dir(&folder) else { return 0 };
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.inspect(|path| println!("{}", path.display())).map(|path| run(&fs::read(path).unwrap())).count()
}

/// Of a target: what it found, its seeds, and what else it takes.
fn replay_all(target: &str, seeds: &str, run: fn(&[u8])) {
    replay(&format!("tests/regressions/{target}"), run);
    let found = replay(&format!("fuzz/seeds/{seeds}"), run);
    // The crate has no fuzz folder.
    assert!(found > 0 || !Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").exists(), "no seeds");
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
fn signed() {
    replay_all("signed", "trailer", hostile::signed::run);
}

#[test]
fn api() {
    replay_all("api", "api", hostile::api::run);
}
