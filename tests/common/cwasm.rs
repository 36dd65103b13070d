//! The genuine files of Wasmtime 3 and newer.

use std::collections::BTreeMap;
use std::fs;

use artifact::cwasm::Cwasm;
use serde_json::Value;

/// Returns every file and its contents, by name.
pub fn files() -> BTreeMap<String, (Vec<u8>, Value)> {
    let folder = super::folder().join("wasmtime");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = paths.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"));
    let read = |path: std::path::PathBuf| {
        let json = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), (fs::read(&path).unwrap(), json))
    };
    let found: BTreeMap<_, _> = files.map(read).collect();
    assert!(found.len() >= 25, "all fixtures are there");
    found
}

pub fn file(name: &str) -> Vec<u8> {
    files().remove(name).unwrap().0
}

pub fn parse(bytes: &[u8]) -> Cwasm {
    Cwasm::parse(bytes).unwrap().unwrap()
}
