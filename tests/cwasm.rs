//! Genuine files of Wasmtime 3 to 50: read, told apart, compared, signed, stored as modules; and damaged ones.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::cwasm::{self, Cwasm, Kind, Settings};
use artifact::detect::{What, detect_region};
use artifact::engine::Engine;
use artifact::error::Status;
use artifact::format::module::Module;
use artifact::format::trailer::Signature;
use artifact::native::load::{LoadOptions, load};
use artifact::storage::{Part, Region};
use artifact::trust::keys::PrivateKey;
use common::cwasm::{file, files, parse};
use serde_json::{Value, json};
use zerocopy::IntoBytes;

fn region(bytes: &[u8]) -> Region {
    Region::copied(bytes, Part::default()).unwrap()
}

fn settings(bytes: &[u8]) -> (usize, &[u8]) {
    let section = Module::parse(bytes).unwrap().section_named(b".wasmtime.engine").unwrap();
    (section.offset as usize, section.bytes(bytes).unwrap())
}

/// Replaces the version of a file by one of the same length.
fn with_version(mut bytes: Vec<u8>, version: &str) -> Vec<u8> {
    let at = settings(&bytes).0 + 2;
    bytes[at..at + version.len()].copy_from_slice(version.as_bytes());
    bytes
}

#[test]
fn every_file_reads_as_it_was_written() {
    for (name, (bytes, expected)) in files() {
        let found = parse(&bytes);
        let mut json: Value = serde_json::from_str(&found.to_json().unwrap()).unwrap();
        let module = Module::parse(&bytes).unwrap();
        let names = (0..module.section_count())
            .map(|index| String::from_utf8(module.section(index).unwrap().name.to_vec()).unwrap());
        json["sections"] = names.collect();
        assert_eq!(json, expected, "{name}");
        // Flags keep the order of the file, which comparing objects does not show.
        let order = |flags: &Value| flags.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(order(&json["isa_flags"]), order(&expected["isa_flags"]), "{name}");
        assert_eq!(Cwasm::read(&region(&bytes)).unwrap().unwrap(), found, "{name}: a few reads find the same");
        cwasm::verify(&bytes).unwrap();
    }
}

#[test]
fn settings_that_were_switched_on_are_on() {
    for name in
        ["v03_settings", "v08_settings", "v21_settings", "v28_settings", "v33_settings", "v43_settings", "v50_settings"]
    {
        let found: Value = serde_json::from_str(&parse(&file(name)).to_json().unwrap()).unwrap();
        let tunables = &found["tunables"];
        let debug = if name < "v39" { "generate_native_debuginfo" } else { "debug_native" };
        for on in ["consume_fuel", "epoch_interruption", debug] {
            assert_eq!(tunables[on], true, "{name}: {on}");
        }
        assert_eq!(found["shared_flags"]["opt_level"], json!({"Enum": "none"}), "{name}");
    }
    let features = parse(&file("v50_settings")).settings.rest.unwrap().features_on();
    assert!(features.contains(&"simd".to_owned()) && features.contains(&"bulk_memory_opt".to_owned()), "{features:?}");
    assert!(!features.contains(&"threads".to_owned()), "{features:?}");
}

#[test]
fn files_are_told_apart() {
    let what = |bytes: &[u8]| detect_region(&region(bytes)).unwrap();
    for (name, (bytes, expected)) in files() {
        let found = what(&bytes).unwrap();
        let kind = if expected["kind"] == "component" { Kind::Component } else { Kind::Module };
        assert_eq!((found.what, found.producer.as_str()), (What::Wasmtime(kind), "wasmtime"), "{name}");
        assert_eq!(found.version, expected["version"].as_str().unwrap().as_bytes(), "{name}");
    }
    let program = fs::read("/bin/true").unwrap();
    assert_eq!(what(&program), None);
    assert_eq!(Cwasm::parse(&program).unwrap(), None);
    // Neither an ELF file of another system nor one of Wasmtime's kind without its flags.
    let bytes = file("v50_settings");
    for at in [7, 8] {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert_eq!(what(&other), None);
    }
    let mut other = bytes;
    other[48] = 0;
    assert_eq!(what(&other), None);
    for (name, artifact) in common::artifacts() {
        assert_eq!(what(&artifact).unwrap().what, What::Artifact, "{name}");
        assert_eq!(Cwasm::parse(&artifact).unwrap(), None, "{name}");
    }
}

#[test]
fn opening_one_says_what_it_is() {
    for (name, words) in [
        ("v14_debug_add", "a WebAssembly module that Wasmtime 14.0.4 compiled, which Wasmtime 14.0.4 runs"),
        ("v48_default_comp", "a WebAssembly component that Wasmtime 48 compiled, which any Wasmtime 48.x runs"),
        ("v48_vercustom_add", "under the version 'my-host 7', which only a Wasmtime of this version runs"),
        ("v14_vernone_add", "a Wasmtime without a version"),
    ] {
        let bytes = file(name);
        for engine in [None, Some(Engine::host()), Some(Engine::wasmtime())] {
            let error = Artifact::open_bytes(&bytes, engine.as_ref(), &OpenOptions::default()).unwrap_err();
            assert_eq!(error.status(), Status::NotAnArtifact, "a cache must not overwrite it");
            assert!(error.message().contains(words), "{error}");
        }
    }
    let mut damaged = file("v48_default_empty");
    let at = settings(&damaged).0;
    damaged[at] = 1;
    let error = Artifact::open_bytes(&damaged, None, &OpenOptions::default()).unwrap_err();
    assert_eq!(error.status(), Status::NotAnArtifact);
    assert!(
        error.message().contains("a damaged file of Wasmtime (section .wasmtime.engine: expected layout 0"),
        "{error}"
    );
    let mut trusting = Engine::host();
    trusting.trust(PrivateKey::generate().unwrap().public());
    let signature = [0; 96];
    let options = {
        let mut options = OpenOptions::default();
        options.signature = &signature;
        options
    };
    let error = Artifact::open_bytes(&file("v48_default_empty"), Some(&trusting), &options).unwrap_err();
    assert_eq!(error.status(), Status::Untrusted);
    assert!(error.message().contains("Wasmtime 48"), "{error}");
}

#[test]
fn one_can_be_a_module_of_an_artifact() {
    for (name, (bytes, _)) in files() {
        let mut builder = Builder::new(&Engine::new());
        builder.add_module(&bytes).unwrap();
        let saved = builder.serialize().unwrap();
        let artifact = Artifact::open_bytes(&saved, None, &OpenOptions::default()).unwrap();
        assert!(artifact.module_bytes(0).unwrap() == bytes, "{name}");
        artifact.verify().unwrap();
        assert_eq!(detect_region(&region(&saved)).unwrap().unwrap().what, What::Artifact, "{name}");
        assert_eq!(Cwasm::read(&region(&saved)).unwrap(), None, "{name}: the artifact is not the file");
        // It is kept, not run.
        let mut host = Engine::new();
        host.set_version_rule(artifact::engine::VersionRule::None).unwrap();
        // SAFETY: loading is refused, which this checks.
        let loaded = unsafe { load(Arc::new(artifact), &host, LoadOptions::default()) };
        let error = loaded.err().expect("a refusal");
        let expected = [Status::Unsupported, Status::Incompatible];
        assert!(expected.contains(&error.status()), "{name}: {error}");
        if error.status() == Status::Unsupported && cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
            assert!(error.message().contains("found a file of Wasmtime 3 or newer"), "{name}: {error}");
        }
    }
}

#[test]
fn an_unknown_version_is_read_up_to_the_isa_flags() {
    for (name, version) in
        [("v50_settings", "51"), ("v45_empty", "99"), ("v14_x64_fib", "14-0.4"), ("v08_settings", "9.0-8")]
    {
        let known = parse(&file(name)).settings;
        let found = parse(&with_version(file(name), version)).settings;
        assert_eq!(
            (&found.target, &found.shared_flags, &found.isa_flags),
            (&known.target, &known.shared_flags, &known.isa_flags)
        );
        assert_eq!((known.unknown(), found.rest.is_none()), (None, true), "{name}");
        let sentence = found.unknown().unwrap();
        assert!(sentence.contains(version) && sentence.contains("releases 3 to 50"), "{sentence}");
    }
}

#[test]
fn a_layout_is_chosen_by_the_version_and_has_to_fit() {
    // The same bytes under a version with other tunables.
    for (name, version) in
        [("v14_debug_add", "20.0.4"), ("v45_empty", "47"), ("v50_settings", "47"), ("v33_settings", "26.0.0")]
    {
        let error = Cwasm::parse(&with_version(file(name), version)).unwrap_err();
        assert!([Status::Truncated, Status::Corrupt].contains(&error.status()), "{name}: {error}");
    }
}

#[test]
fn every_cut_of_the_settings_is_found() {
    for name in ["v03_settings", "v14_x64_fib", "v33_settings", "v50_settings"] {
        let bytes = file(name);
        let (offset, section) = settings(&bytes);
        for len in 0..section.len() {
            let error = Settings::decode(&section[..len]).unwrap_err();
            assert_eq!(error.status(), Status::Truncated, "{name} at {len}: {error}");
            assert!(error.offset().is_some_and(|at| at <= len as u64), "{name} at {len}: {error:?}");
        }
        // And every cut of the file, which ends with the table that tells where things are.
        for len in (0..bytes.len()).step_by(97).chain(bytes.len() - 64..bytes.len()) {
            assert_eq!(Cwasm::parse(&bytes[..len]).unwrap(), None, "{name} at {len}");
        }
        let longer = [section, &[0]].concat();
        let error = Settings::decode(&longer).unwrap_err();
        assert!(error.message().contains("expected its end, found 1 more bytes"), "{error}");
        assert_eq!(error.offset(), Some(section.len() as u64));
        let mut damaged = bytes.clone();
        damaged[offset] = 9;
        assert_eq!(Cwasm::parse(&damaged).unwrap_err().status(), Status::Unsupported);
    }
}

#[test]
fn flipped_bits_are_errors_or_other_settings() {
    for name in ["v03_settings", "v21_settings", "v50_settings"] {
        let bytes = file(name);
        let good = parse(&bytes).settings;
        let (_, section) = settings(&bytes);
        for bit in 0..section.len() * 8 {
            let mut flipped = section.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(found) = Settings::decode(&flipped) {
                assert!(found != good, "{name}, bit {bit}");
            }
        }
        let headers = bytes.len() - 13 * 64..bytes.len();
        for bit in (0..64 * 8).chain(headers.start * 8..headers.end * 8).step_by(5) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            // A few reads and a look at all bytes come to the same.
            let (few, all) = (Cwasm::read(&region(&flipped)), Cwasm::parse(&flipped));
            assert_eq!(few.ok().flatten(), all.ok().flatten(), "{name}, bit {bit}");
            let _ = cwasm::verify(&flipped);
            let _ = detect_region(&region(&flipped));
        }
    }
}

#[test]
fn zeros_do_not_pass_for_settings() {
    // Under an unknown version they would be empty texts and maps.
    let bytes = [&[0, 1, b'x'][..], &[0; 100]].concat();
    let error = Settings::decode(&bytes).unwrap_err();
    assert!(error.message().ends_with("target: expected a triple, found an empty text"), "{error}");
}

#[test]
fn a_large_section_is_refused() {
    let mut bytes = file("v48_default_empty");
    let table = u64::from_le_bytes(bytes[40..48].try_into().unwrap()) as usize;
    bytes[table + 64 + 32..][..8].copy_from_slice(&(2u64 << 20).to_le_bytes());
    for error in [Cwasm::parse(&bytes).unwrap_err(), Cwasm::read(&region(&bytes)).unwrap_err()] {
        assert_eq!(error.status(), Status::Limit, "{error}");
    }
}

#[test]
fn a_signature_is_over_every_byte() {
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let bytes = file("v03_settings");
    let signature = key.sign(&cwasm::file_record(&bytes).unwrap());
    let (public, stranger) = (key.public(), other.public());
    let signer = |bytes: &[u8]| cwasm::signer(bytes, std::slice::from_ref(&public), signature.as_bytes());
    assert_eq!(signer(&bytes).unwrap(), Some(public.clone()));
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert_eq!(signer(&flipped).unwrap_err().status(), Status::Untrusted, "byte {at}");
    }
    for changed in [&bytes[..bytes.len() - 1], &[&bytes[..], &[0]].concat()] {
        assert_eq!(signer(changed).unwrap_err().status(), Status::Untrusted);
    }
    let refused = |trusted: &[_], signatures: &[Signature]| {
        cwasm::signer(&bytes, trusted, signatures.as_bytes()).unwrap_err().status()
    };
    assert_eq!(refused(&[stranger], &[signature]), Status::Untrusted);
    assert_eq!(refused(std::slice::from_ref(&public), &[]), Status::Untrusted);
    assert_eq!(refused(&[], &[signature]), Status::InvalidArgument);
    assert_eq!(cwasm::signer(&bytes, &[], &[]).unwrap(), None);
    // The signature of an artifact that holds the file as its module is another one.
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(&bytes).unwrap();
    let artifact = Artifact::open_bytes(&builder.serialize().unwrap(), None, &OpenOptions::default()).unwrap();
    let over_root = key.sign(&artifact.root_record().unwrap());
    assert_eq!(refused(std::slice::from_ref(&public), &[over_root]), Status::Untrusted);
}
