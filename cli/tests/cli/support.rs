//! Running the program, and test data.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use artifact::builder::Builder;
use artifact::engine::Engine;
use tempfile::TempDir;

use crate::elf::Shape;
use crate::json::Json;

/// All commands but the hidden ones.
pub const COMMANDS: [&str; 13] = [
    "cache", "check", "engine", "extract", "fat", "inspect", "keygen", "pack", "rewrite", "run", "sign", "thin",
    "verify",
];

/// The commands that open an artifact, all of which have --trust and --engine.
pub const OPENING: [&str; 9] = ["check", "extract", "fat", "inspect", "rewrite", "run", "sign", "thin", "verify"];

/// The result of a run.
pub struct Ran {
    pub status: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Ran {
    pub fn out(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    pub fn json(&self) -> Json {
        Json::parse(&self.out)
    }

    #[track_caller]
    pub fn expect(self, status: i32) -> Ran {
        assert_eq!(self.status, status, "stdout: {}\nstderr: {}", String::from_utf8_lossy(&self.out), self.err);
        self
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let Output { status, stdout, stderr } = output;
        let status = status.code().expect("not killed by a signal");
        Ran { status, out: stdout, err: String::from_utf8(stderr).unwrap() }
    }
}

pub fn command(args: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_artifact"));
    command.args(args);
    command
}

pub fn run(args: &[impl AsRef<OsStr>]) -> Ran {
    command(args).stdin(Stdio::null()).output().unwrap().into()
}

pub fn run_with(args: &[impl AsRef<OsStr>], input: &[u8]) -> Ran {
    let mut command = command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().into()
}

pub fn fixture(file: &str) -> String {
    format!("{}/../tests/fixtures/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// The names of all genuine artifacts.
pub fn fixtures() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(fixture(""))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".cwasm").map(str::to_owned))
        .collect();
    names.sort();
    assert_eq!(names.len(), 24);
    names
}

pub fn facts(name: &str) -> Json {
    Json::parse(&fs::read(fixture(&format!("{name}.json"))).unwrap())
}

pub fn genuine(name: &str) -> Vec<u8> {
    fs::read(fixture(&format!("{name}.cwasm"))).unwrap()
}

/// A temporary directory.
pub struct Folder(pub TempDir);

impl Folder {
    pub fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Writes an artifact with a genuine module, compiled for this engine.
    pub fn artifact(&self, name: &str, engine: &Engine) -> String {
        let elf = module();
        let mut builder = Builder::new(engine);
        builder.add_module(&elf).unwrap();
        self.file(name, builder.serialize().unwrap())
    }
}

/// A genuine module.
pub fn module() -> Vec<u8> {
    let len: usize = facts("addfib").get("elves").list()[0].get("len").text()[1..].parse().unwrap();
    genuine("addfib")[..len].to_vec()
}

/// A module of another alignment.
pub fn other_module() -> Vec<u8> {
    Shape { align: 512, ..Shape::default() }.image()
}

/// Replaces every `from`, of which there must be one, by `to`, which has the same length.
pub fn patched(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
    bytes
}

/// The text between two markers, which must be there.
pub fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let found = text.split_once(start).and_then(|(_, rest)| rest.split_once(end));
    found.unwrap_or_else(|| panic!("no {start:?} before {end:?} in\n{text}")).0
}

pub fn offset(name: &str, key: &str) -> usize {
    facts(name).get(key).text()[1..].parse().unwrap()
}

/// An artifact of this version whose Metadata cannot be decoded.
pub fn garbled(version: &[u8; 6]) -> Vec<u8> {
    let mut bytes = patched(genuine("addfib"), b"\x060.33.0", &[&[6], &version[..]].concat());
    let target = offset("addfib", "metadata_offset");
    bytes[target..target + 8].fill(0xff);
    bytes
}

/// The genuine engine's default configuration as `--engine` reads it.
pub fn default_config() -> String {
    let text = fs::read(fixture("CONFIGS.json")).unwrap();
    let configs: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let mut engine = configs["default"].clone();
    let keys = engine.as_object_mut().unwrap();
    keys.remove("accepts_any_version");
    keys.insert("version".into(), serde_json::json!({"library": true}));
    keys.insert("producer".into(), "wasmtime".into());
    engine.to_string()
}
