//! A second reader, `reader.py`, knows nothing but docs/format.md. It comes to the same verdicts as the library.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::{Engine, FlagMap, VersionRule};
use artifact::format::flags::Flag;
use artifact::format::types::{EntityType, Memory, WasmType};
use artifact::report::Kind;
use common::elf::Shape;

type Files = BTreeMap<String, Vec<u8>>;

/// What the reader says of each file; nothing where there is no Python.
fn read(files: &Files) -> Option<BTreeMap<String, String>> {
    let found = Command::new("python3").args(["-c", "import sys; sys.exit(sys.version_info < (3, 8))"]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no python3");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let reader = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/reader.py");
    let output = Command::new("python3").arg(reader).args(files.keys()).current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let verdicts: BTreeMap<_, _> =
        text.lines().filter_map(|line| line.split_once('\t')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(verdicts.len(), files.len(), "{text}{errors}");
    Some(verdicts)
}

/// What the library says, in the reader's words.
fn verify(bytes: &[u8]) -> &'static str {
    let options = OpenOptions::default();
    let Ok(report) = Artifact::open_bytes(bytes, None, &options).and_then(|artifact| artifact.verify()) else {
        return "damaged";
    };
    // What is inside sections and what a triple means the document leaves to others.
    let format = |kind| matches!(kind, Kind::Link | Kind::Padding | Kind::Metadata | Kind::TrailingBytes);
    if report.findings.iter().any(|finding| format(finding.kind)) { "odd" } else { "sound" }
}

fn agree(files: &Files) -> BTreeMap<&'static str, usize> {
    let Some(verdicts) = read(files) else { return BTreeMap::new() };
    let mut counts = BTreeMap::new();
    for (name, verdict) in verdicts {
        let ours = verify(&files[&name]);
        assert!(verdict.starts_with(&format!("{ours}: ")), "{name}: we say {ours}, the reader {verdict}");
        *counts.entry(ours).or_default() += 1;
    }
    counts
}

/// Small artifacts with everything in them that the format has.
fn written() -> Files {
    let shapes = [
        Shape::default(),
        Shape { align: 4096, big_endian: true, ..Shape::default() },
        Shape { extended: true, headers_first: true, trailing: 5, ..Shape::default() },
        Shape { segment: Some(1 << 20), text: vec![7; 3000], ..Shape::default() },
    ];
    let images: Vec<_> = shapes.iter().map(Shape::image).collect();
    let mut files = Files::new();
    for modules in [1, 2, 4] {
        for (what, trailer, attributes) in [("plain", false, 0), ("trailer", true, 0), ("attributes", true, 3)] {
            let mut engine = Engine::new();
            engine.set_flag(FlagMap::Isa, "a", Flag::Bool(true)).unwrap();
            engine.set_flag(FlagMap::Shared, "ä", Flag::Enum("words".to_owned())).unwrap();
            engine.set_flag(FlagMap::Shared, "n", Flag::Num(200)).unwrap();
            engine.set_version_rule(VersionRule::Custom("x".repeat(modules))).unwrap();
            let mut builder = Builder::new(&engine);
            builder.set_trailer(trailer).unwrap();
            for image in &images[..modules] {
                builder.add_module(image).unwrap();
            }
            builder.add_func_type(vec![WasmType::I32, WasmType::ExternRef], vec![WasmType::V128]).unwrap();
            builder.add_instance_type().unwrap();
            builder.add_module_type(0).unwrap();
            let memory = Memory { minimum: 1, maximum: Some(2), shared: true, memory64: false };
            builder.add_module_import(0, "memory", EntityType::Memory(memory)).unwrap();
            builder.add_instance_export(0, "run", EntityType::Function(0)).unwrap();
            let parent = builder.add_upvar(None, 0, &[0]).unwrap();
            builder.add_upvar(Some(parent), 0, &[]).unwrap();
            for number in 0..attributes {
                let value = vec![number as u8; number * 700];
                builder.set_attribute(&format!("attribute-{number}"), &value).unwrap();
            }
            files.insert(format!("{modules}-{what}"), builder.serialize().unwrap());
        }
    }
    files
}

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

#[test]
fn what_the_library_writes_is_sound() {
    let files = written();
    let Some(verdicts) = read(&files) else { return };
    for (name, verdict) in &verdicts {
        assert!(verdict.starts_with("sound: "), "{name}: {verdict}");
        assert_eq!(verdict.contains(", trailer"), !name.ends_with("plain"), "{name}: {verdict}");
        assert_eq!(verdict.contains("attribute-2"), name.ends_with("attributes"), "{name}: {verdict}");
        assert_eq!(verify(&files[name]), "sound", "{name}");
    }
}

#[test]
fn genuine_files_are_sound_and_stay_so_with_a_trailer() {
    let mut files = common::artifacts();
    for (name, bytes) in common::artifacts() {
        let artifact = Artifact::open_bytes(&bytes, None, &OpenOptions::default()).unwrap();
        let builder = Builder::from_artifact(Arc::new(artifact)).unwrap();
        files.insert(format!("{name}-trailer"), builder.serialize().unwrap());
    }
    let counts = agree(&files);
    assert!(counts.is_empty() || counts == BTreeMap::from([("sound", files.len())]), "{counts:?}");
}

#[test]
fn every_flipped_bit_in_a_file_with_a_trailer_is_damage_to_both() {
    let mut files = Files::new();
    for name in ["1-attributes", "2-attributes", "1-trailer"] {
        let bytes = &written()[name];
        // Spread over the file, with every bit of a byte getting its turn; and the trailer's end closer.
        let bits = (0..bytes.len() * 8).step_by((bytes.len() * 8 / 150) | 1);
        let end = (bytes.len() * 8 - 330 * 8..bytes.len() * 8).step_by(53);
        files.extend(bits.chain(end).map(|bit| (format!("{name}-{bit}"), flip(bytes, bit))));
    }
    let counts = agree(&files);
    assert!(counts.is_empty() || counts == BTreeMap::from([("damaged", files.len())]), "{counts:?}");
    assert!(files.len() > 500);
}

#[test]
fn both_judge_damage_alike_where_no_digest_helps() {
    let mut files = Files::new();
    let genuine = common::artifacts();
    for (name, bytes) in [("two", &written()["2-plain"]), ("genuine", &genuine["empty"]), ("types", &genuine["types"])]
    {
        let artifact = Artifact::open_bytes(bytes, None, &OpenOptions::default()).unwrap();
        let first = artifact.extent(0).unwrap().len as usize;
        let tail = artifact.metadata_offset() as usize - 40;
        // The link, the gap, and what follows the last module.
        let second = if artifact.module_count() > 1 { first..first + 64 } else { first..first };
        for byte in second.chain((tail..bytes.len()).step_by(3)) {
            let bit = byte * 8 + byte % 8;
            files.insert(format!("{name}-flip-{bit}"), flip(bytes, bit));
        }
        for cut in (0..bytes.len()).step_by(bytes.len() / 40).chain(tail..tail + 60) {
            files.insert(format!("{name}-cut-{cut}"), bytes[..cut].to_vec());
        }
        files.insert(format!("{name}-longer"), [&bytes[..], b"more"].concat());
    }
    for (name, bytes) in written().iter().filter(|(name, _)| name.ends_with("attributes")) {
        for cut in (0..bytes.len()).step_by(bytes.len() / 40).chain(bytes.len() - 70..bytes.len()) {
            files.insert(format!("{name}-cut-{cut}"), bytes[..cut].to_vec());
        }
    }
    let counts = agree(&files);
    assert!(counts.is_empty() || counts.len() == 3, "{counts:?}");
}
