//! The status that each function returns for a damaged file: a cache that gets one deletes the file and compiles again, so it must
//! not take damage for a mistake of its own.
#![allow(missing_docs)]

mod hostile;

use std::cell::RefCell;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::{Error, Status};
use artifact::native::load::{LoadOptions, load};
use artifact::storage::sealed;

/// Statuses for damage. The last four are for files that say of themselves, after the damage, that they are for something else.
const DAMAGE: [Status; 8] = [
    Status::NotAnArtifact,
    Status::Truncated,
    Status::Corrupt,
    Status::DigestMismatch,
    Status::Incompatible,
    Status::WrongVersion,
    Status::WrongProducer,
    Status::Unsupported,
];

/// What was damaged, for messages.
struct Case<'c> {
    file: &'c str,
    at: usize,
    pattern: u8,
    wrong: RefCell<Vec<String>>,
}

impl Case<'_> {
    /// Checks a result, and returns the value. `others` are statuses that are right as well.
    fn check<T>(&self, function: &str, others: &[Status], result: Result<T, Error>) -> Option<T> {
        let error = match result {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let status = error.status();
        let Case { file, at, pattern, wrong } = self;
        if !DAMAGE.contains(&status) && !others.contains(&status) {
            let sentence = format!("{file}, byte {at} ^ {pattern:#x}: {function} returned {status:?}: {error}");
            wrong.borrow_mut().push(sentence);
        }
        None
    }
}

/// Reads everything through every function that reads.
fn read(case: &Case<'_>, artifact: &Artifact, engine: &Engine) {
    // A changed name isn't found any more.
    let by_name = &[Status::NotFound];
    case.check("check", &[], artifact.check(engine));
    case.check("report", &[], artifact.report(engine));
    case.check("metadata", &[], artifact.metadata());
    case.check("attributes", &[], artifact.attributes());
    case.check("attribute", by_name, artifact.attribute("name"));
    case.check("bytes", &[], artifact.bytes());
    case.check("body", &[], artifact.body());
    case.check("root_record", &[], artifact.root_record());
    case.check("verify", &[], artifact.verify());
    for index in 0..artifact.module_count() {
        case.check("module_range", &[], artifact.module_range(index));
        case.check("module_bytes", &[], artifact.module_bytes(index));
        case.check("extent", &[], artifact.extent(index));
        case.check("module_align", &[], artifact.module_align(index));
        let Some(module) = case.check("module", &[], artifact.module(index)) else { continue };
        for section in 0..module.section_count() {
            case.check("section", &[], artifact.section(index, section));
        }
        case.check("section_named", by_name, artifact.section_named(index, b".text"));
        let Some(symbols) = case.check("symbols", &[], artifact.symbols(index)) else { continue };
        for symbol in 0..symbols.count() {
            case.check("symbol", &[], artifact.symbol(index, symbol));
        }
        case.check("symbol_named", by_name, artifact.symbol_named(index, b"answer"));
    }
}

/// Opens, reads and loads each variant of a file with a changed byte.
fn damage(file: &str, bytes: &[u8], engine: &Engine) {
    let mut case = Case { file, at: 0, pattern: 0, wrong: RefCell::default() };
    for at in 0..bytes.len() {
        for pattern in [0x01, 0x80, 0xff, 0x24] {
            (case.at, case.pattern) = (at, pattern);
            let mut damaged = bytes.to_vec();
            damaged[at] ^= pattern;
            let whole = OpenOptions::default();
            if let Some(artifact) = case.check("open", &[], Artifact::open_bytes(&damaged, None, &whole)) {
                read(&case, &artifact, engine);
            }
            let mut verified = OpenOptions::default();
            verified.verify = true;
            case.check("open and verify", &[], Artifact::open_bytes(&damaged, Some(engine), &verified));
            let memory = sealed(&[&damaged]).unwrap();
            let opened = Artifact::open_fd(memory.as_fd(), Some(engine), &whole);
            let Some(artifact) = case.check("open for an engine", &[], opened) else { continue };
            let mut options = LoadOptions::default();
            options.skip_constructors = true;
            // SAFETY: none of the code runs: no constructors, no calls, no exceptions. The sealed file doesn't change.
            let code = unsafe { load(Arc::new(artifact), engine, options) };
            // A changed name is one that the host doesn't define.
            case.check("load", &[Status::Unresolved], code);
        }
    }
    let wrong = case.wrong.into_inner();
    assert!(wrong.is_empty(), "{} wrong statuses:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_function_calls_damage_damage() {
    let small = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/load/small")).unwrap();
    let engine = Engine::new();
    for count in [1, 2] {
        for trailer in [true, false] {
            let mut builder = Builder::new(&engine);
            for _ in 0..count {
                builder.add_module(&small).unwrap();
            }
            builder.set_trailer(trailer).unwrap();
            if trailer {
                builder.set_attribute("name", b"value").unwrap();
            }
            damage(&format!("{count} modules, trailer: {trailer}"), &builder.serialize().unwrap(), &engine);
        }
    }
}

/// Reserved fields are zeros, or the file is refused, even if every digest is right.
#[test]
fn reserved_bytes_are_zeros() {
    let image = hostile::elf::Shape::default().image();
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(&image).unwrap();
    builder.set_attribute("name", b"value").unwrap();
    let sound = builder.serialize().unwrap();
    let footer = sound.len() - hostile::FOOTER;
    let root = footer - hostile::ROOT;
    let chunk = root - 32; // 16 bytes of header, 13 of content, 3 of padding
    let reserved = (root + 148..root + 256).chain(footer + 20..footer + 24);
    let unused = (chunk + 5..chunk + 8).chain(root - 3..root);
    for at in reserved.chain(unused) {
        for bit in [0x01, 0x80] {
            let mut changed = sound.clone();
            assert_eq!(changed[at], 0, "byte {at} is reserved");
            changed[at] |= bit;
            hostile::reseal(&mut changed);
            let opened = Artifact::open_bytes(&changed, None, &OpenOptions::default());
            let error = opened.and_then(|artifact| artifact.verify()).expect_err("a reserved byte that isn't 0");
            assert_eq!(error.status(), Status::Corrupt, "byte {at}: {error}");
        }
    }
}

/// Bytes that change after opening are read and compared again.
#[test]
fn verifying_finds_what_has_changed_since_opening() {
    let image = hostile::elf::Shape::default().image();
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(&image).unwrap();
    let sound = builder.serialize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, &sound).unwrap();
    let artifact = Artifact::open(&path, None, &OpenOptions::default()).unwrap();
    artifact.verify().unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let table = sound.len() - hostile::FOOTER - hostile::ROOT - hostile::MODULE_ENTRY;
    for at in 0..table as u64 {
        file.write_all_at(&[!sound[at as usize]], at).unwrap();
        let error = artifact.verify().expect_err("a changed byte");
        assert!([Status::DigestMismatch, Status::Corrupt].contains(&error.status()), "byte {at}: {error}");
        file.write_all_at(&[sound[at as usize]], at).unwrap();
    }
    artifact.verify().unwrap();
}
