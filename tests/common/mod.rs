//! Access to the genuine Wasmtime files, shared by several tests.
#![allow(missing_docs, dead_code)]

pub mod cwasm;
pub mod elf;
pub mod fat;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// Returns every genuine artifact by name.
pub fn artifacts() -> BTreeMap<String, Vec<u8>> {
    let found: BTreeMap<_, _> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cwasm"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    assert_eq!(found.len(), 24, "all fixtures are there");
    found
}

pub fn json_file(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

/// Returns the engine configurations of the fixtures by name.
pub fn engines() -> BTreeMap<String, artifact::engine::Engine> {
    let Value::Object(configs) = json_file("CONFIGS.json") else { panic!("expected an object") };
    configs.into_iter().map(|(name, config)| (name, engine(&config))).collect()
}

fn engine(config: &Value) -> artifact::engine::Engine {
    let version = match (config["accepts_any_version"].as_bool().unwrap(), config["version"].as_str().unwrap()) {
        (true, _) => json!({"none": true}),
        (false, "0.33.0") => json!({"library": true}),
        (false, custom) => json!({"custom": custom}),
    };
    let mut engine = json!({"producer": "wasmtime", "version": version});
    for key in ["target", "shared_flags", "isa_flags", "tunables", "features"] {
        engine[key] = config[key].clone();
    }
    artifact::engine::Engine::from_json(&engine.to_string()).unwrap()
}
