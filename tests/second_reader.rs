//! `reader.py` is a second reader, written from docs/format.md alone. It must give the same verdicts as the library.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::{Builder, FatBuilder};
use artifact::cache::Signer;
use artifact::cache::pack::{Pack, PackOptions, Packed, write};
use artifact::engine::{Engine, FlagMap, VersionRule};
use artifact::error::{Error, Status};
use artifact::format::flags::Flag;
use artifact::format::pack::SIGNED;
use artifact::format::trailer::{Footer, Root, Signature};
use artifact::format::types::{EntityType, Memory, WasmType};
use artifact::report::Kind;
use artifact::storage::{Part, Region};
use artifact::trust::digest;
use artifact::trust::keys::PrivateKey;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use common::elf::Shape;
use zerocopy::{FromBytes, IntoBytes};

type Files = BTreeMap<String, Vec<u8>>;

/// Returns the second reader's verdict on each file; none if Python is not installed.
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

/// Returns the library's verdict on a file, in the second reader's words.
fn verify(bytes: &[u8]) -> &'static str {
    if bytes.ends_with(&SIGNED.magic) {
        return verify_pack(bytes).unwrap_or("damaged");
    }
    let options = OpenOptions::default();
    let Ok(report) = Artifact::open_bytes(bytes, None, &options).and_then(|artifact| artifact.verify()) else {
        return "damaged";
    };
    // The document does not specify the content of sections or the meaning of triples, so findings on those don't count.
    let format =
        |kind| matches!(kind, Kind::Link | Kind::Padding | Kind::Metadata | Kind::TrailingBytes | Kind::Signature);
    if report.findings.iter().any(|finding| format(finding.kind)) { "odd" } else { "sound" }
}

fn verify_pack(bytes: &[u8]) -> artifact::error::Result<&'static str> {
    let pack = Pack::from_region(Region::copied(bytes, Part::default())?, &[])?;
    let mut worst = if pack.verify()?.findings.is_empty() { "sound" } else { "odd" };
    pack.each(&mut |row| {
        pack.artifact(row, None, &OpenOptions::default())?;
        match verify(&bytes[row.offset.get() as usize..row.end() as usize]) {
            "sound" => {}
            "odd" => worst = "odd",
            _ => return Err(Error::corrupt("an artifact")),
        }
        Ok(())
    })?;
    Ok(worst)
}

fn agree(files: &Files) -> BTreeMap<&'static str, usize> {
    let Some(verdicts) = read(files) else { return BTreeMap::new() };
    let mut counts = BTreeMap::new();
    for (name, verdict) in verdicts {
        let ours = verify(&files[&name]);
        assert!(verdict.starts_with(&format!("{ours}: ")), "{name}: library {ours}, second reader {verdict}");
        *counts.entry(ours).or_default() += 1;
    }
    counts
}

/// Returns a key that is the same in every run.
fn key(seed: u8) -> PrivateKey {
    // PKCS#8 (RFC 8410) around 32 equal bytes.
    let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
    der.extend([seed; 32]);
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64_STANDARD.encode(der));
    PrivateKey::from_pem(&pem).unwrap()
}

/// Builds small artifacts that use every feature of the format.
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
        let kinds =
            [("plain", false, 0, 0), ("trailer", true, 0, 0), ("attributes", true, 3, 0), ("signed", true, 1, 2)];
        for (what, trailer, attributes, signatures) in kinds {
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
            for seed in 1..=signatures {
                builder.add_key(&Arc::new(key(seed))).unwrap();
            }
            files.insert(format!("{modules}-{what}"), builder.serialize().unwrap());
        }
    }
    files
}

/// Packs the artifacts that have a trailer.
fn packs() -> Files {
    let artifacts = written();
    let sealed: Vec<_> = artifacts.iter().filter(|(name, _)| !name.ends_with("plain")).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut files = Files::new();
    for (count, align, signatures) in [(0, 8, 0), (2, 4096, 1), (sealed.len(), 8, 0), (70, 64, 2)] {
        let mut options = PackOptions::default();
        options.align = align;
        options.signers = (1..=signatures).map(|seed| Signer::Key(Arc::new(key(seed)))).collect();
        let mut numbers = 0..count;
        let path = folder.path().join("pack");
        let next = &mut || {
            let Some(number) = numbers.next() else { return Ok(None) };
            let bytes = if count > sealed.len() { sealed[0].1 } else { sealed[number].1 };
            let artifact = Artifact::open_bytes(bytes, None, &OpenOptions::default())?;
            let target = (number as u64 % 2).to_be_bytes();
            Ok(Some(Packed { key: [number as u8 / 2; 32], target, artifact }))
        };
        write(&path, &options, next).unwrap();
        files.insert(format!("pack-{count}"), fs::read(&path).unwrap());
    }
    files
}

#[test]
fn packs_of_the_library_are_sound() {
    let files = packs();
    for (name, bytes) in &files {
        assert_eq!(verify(bytes), "sound", "{name}");
    }
    let Some(verdicts) = read(&files) else { return };
    for (name, verdict) in &verdicts {
        let count = name.strip_prefix("pack-").unwrap();
        assert!(verdict.starts_with(&format!("sound: pack of {count}, signed by [")), "{name}: {verdict}");
        let signers = match count {
            "2" => 1,
            "70" => 2,
            _ => 0,
        };
        assert_eq!(verdict.matches("'").count(), 2 * signers, "{name}: {verdict}");
    }
}

#[test]
fn both_readers_agree_on_damaged_packs() {
    let mut files = Files::new();
    for (name, bytes) in packs().into_iter().filter(|(name, _)| name != "pack-70") {
        let end = bytes.len().saturating_sub(500);
        for byte in (0..end).step_by(bytes.len() / 24 + 1).chain((end..bytes.len()).step_by(7)) {
            let bit = byte * 8 + byte % 8;
            files.insert(format!("{name}-flip-{bit}"), flip(&bytes, bit));
        }
        for cut in (0..bytes.len()).step_by(bytes.len() / 12 + 1) {
            files.insert(format!("{name}-cut-{cut}"), bytes[..cut].to_vec());
        }
    }
    let counts = agree(&files);
    assert!(counts.is_empty() || counts.keys().eq(["damaged"].iter()), "{counts:?}");
}

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

#[test]
fn artifacts_of_the_library_are_sound() {
    let files = written();
    let Some(verdicts) = read(&files) else { return };
    for (name, verdict) in &verdicts {
        assert!(verdict.starts_with("sound: "), "{name}: {verdict}");
        assert_eq!(verdict.contains(", trailer"), !name.ends_with("plain"), "{name}: {verdict}");
        assert_eq!(verdict.contains("attribute-2"), name.ends_with("attributes"), "{name}: {verdict}");
        let signers = [1, 2].map(|seed| format!("'{}'", key(seed).public()));
        let signed = format!("signed by [{}]", signers.join(", "));
        assert_eq!(verdict.contains(&signed), name.ends_with("signed"), "{name}: {verdict}");
        assert_eq!(verify(&files[name]), "sound", "{name}");
    }
}

/// Builds a signed file of several targets, whose flags are of every kind.
fn several() -> Vec<u8> {
    let image = Shape::default().image();
    let mut fat = FatBuilder::new();
    for (score, flags) in [vec!["b", "a", "off"], vec![], vec!["b"]].into_iter().enumerate() {
        let mut engine = Engine::new();
        engine.set_target("x86_64-unknown-linux-gnu").unwrap();
        for name in flags {
            engine.set_flag(FlagMap::Isa, name, Flag::Bool(name != "off")).unwrap();
        }
        if score == 0 {
            engine.set_flag(FlagMap::Isa, "a-b", Flag::Enum("größer=2".to_owned())).unwrap();
            engine.set_flag(FlagMap::Isa, "number", Flag::Num(7)).unwrap();
        }
        let mut builder = Builder::new(&engine);
        builder.add_module(&image).unwrap();
        fat.add_builder(&builder, -(score as i32)).unwrap();
    }
    fat.add_key(&Arc::new(key(1))).unwrap();
    fat.serialize().unwrap()
}

#[test]
fn both_read_several_targets_and_detect_every_flipped_bit_of_the_index() {
    let bytes = several();
    let first = Artifact::open_bytes(&bytes, None, &OpenOptions::default()).unwrap();
    let mut files = Files::from([("whole".to_owned(), bytes.clone())]);
    let Some(verdicts) = read(&files) else { return };
    let verdict = &verdicts["whole"];
    assert!(verdict.starts_with(&format!("sound: 3 variants, index signed by ['{}']", key(1).public())), "{verdict}");
    for at in 0..3 {
        let row = first.variant(at).unwrap();
        let texts = std::iter::once(row.target.into()).chain(row.needs()).map(|text| format!("'{text}'"));
        let texts = texts.collect::<Vec<_>>().join(", ").replace('ö', "\\xf6").replace('ß', "\\xdf");
        let said = format!("variant {at} at {}, added {}, score {}, for [{texts}]", row.offset, row.added, row.score);
        assert!(verdict.contains(&said), "{said} isn't in {verdict}");
    }
    let index = u64::from_le_bytes(bytes[bytes.len() - 96..][..8].try_into().unwrap()) as usize;
    let bits = (index * 8..bytes.len() * 8).step_by(3).chain((0..index * 8).step_by((index * 8 / 50) | 1));
    files.extend(bits.map(|bit| (format!("flip-{bit}"), flip(&bytes, bit))));
    for cut in (first.len() as usize - 1..bytes.len()).step_by(509).chain(index..index + 30) {
        files.insert(format!("cut-{cut}"), bytes[..cut].to_vec());
    }
    let counts = agree(&files);
    assert_eq!(counts, BTreeMap::from([("damaged", files.len() - 1), ("sound", 1)]));
}

/// Replaces the signatures of a file and updates the footer's checksum.
fn with_signatures(bytes: &[u8], signatures: &[Signature]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    let footer_at = changed.len() - 64;
    let (rest, footer) = changed.split_at_mut(footer_at);
    let place = footer_at - size_of_val(signatures);
    rest[place..].copy_from_slice(signatures.as_bytes());
    let footer = Footer::mut_from_bytes(footer).unwrap();
    let root = Root::read_from_bytes(&rest[place - 256..place]).unwrap();
    footer.checksum = digest::footer(&root, signatures, footer);
    changed
}

#[test]
fn both_report_a_signature_that_does_not_match_its_key() {
    let bytes = written()["1-signed"].clone();
    let place = bytes.len() - 64 - 2 * 96;
    let mut files = Files::new();
    for at in [0, 31, 32, 64, 96 + 95] {
        let mut wrong = bytes[place..][..2 * 96].to_vec();
        wrong[at] ^= 1;
        let wrong = with_signatures(&bytes, <[Signature]>::ref_from_bytes(&wrong).unwrap());
        // An engine that trusts only the key of the wrong signature rejects the file. One that trusts the other key accepts it.
        for seed in [1, 2] {
            let mut engine = Engine::new();
            engine.set_producer("another").unwrap(); // checked after the signature
            engine.trust(key(seed).public());
            let opened = Artifact::open_bytes(&wrong, Some(&engine), &OpenOptions::default());
            let is_wrong = (at < 96) == (seed == 1);
            let expected = if is_wrong { Status::Untrusted } else { Status::WrongProducer };
            assert_eq!(opened.unwrap_err().status(), expected, "{at}, key {seed}");
        }
        files.insert(format!("signature-{at}"), wrong);
    }
    let counts = agree(&files);
    assert!(counts.is_empty() || counts == BTreeMap::from([("odd", 5)]), "{counts:?}");
}

/// What only who has the private key can make, and about which RFC 8032 leaves readers a choice.
#[test]
fn both_judge_signatures_alike_that_their_signer_made_unusual() {
    let artifact = Artifact::open_bytes(&common::artifacts()["empty"], None, &OpenOptions::default()).unwrap();
    let mut builder = Builder::from_artifact(Arc::new(artifact)).unwrap();
    builder.add_key(&Arc::new(key(1))).unwrap();
    let bytes = builder.serialize().unwrap();
    let usual = Signature::read_from_bytes(&bytes[bytes.len() - 64 - 96..][..96]).unwrap();
    let point = |hex: &str| (0..32).map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()).collect::<Vec<_>>();
    let cases = [
        // Its first half has a point of order 8 added: only the equation times 8 would hold.
        (
            "torsion",
            "odd",
            "244000f8f17993441065e5b9759392905c988f2e99db312f95e9cc10e1354d12",
            "e241b363727f76d9a684b8d358abcf55c9ee04962bbe61521c93a5043ccc2309",
        ),
        // Its first half is of small order: the neutral element, and a point of order 8.
        (
            "neutral",
            "odd",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "5472933da6abdc6c58c2c3057e6ab00d133f696f51583e225166da8dee47910a",
        ),
        (
            "small",
            "odd",
            "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
            "06dc4f085ebebe1d2291e4711ae1cd09bafbeebe7d47d6f0db93457f0eacfb02",
        ),
    ];
    let mut files = Files::from([("usual".to_owned(), bytes.clone())]);
    for (name, verdict, first, second) in cases {
        let halves = [point(first), point(second)].concat();
        let signature = Signature { bytes: halves.try_into().unwrap(), ..usual };
        let file = with_signatures(&bytes, &[signature]);
        assert_eq!(verify(&file), verdict, "{name}");
        files.insert(name.to_owned(), file);
    }
    agree(&files);
}

#[test]
fn genuine_files_are_sound_with_and_without_a_trailer() {
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
fn both_detect_every_flipped_bit_in_a_file_with_a_trailer() {
    let mut files = Files::new();
    for name in ["1-attributes", "2-attributes", "1-trailer", "2-signed"] {
        let bytes = &written()[name];
        // Bits spread over the whole file, with an odd step so that every bit of a byte occurs, and more of them near the end.
        let bits = (0..bytes.len() * 8).step_by((bytes.len() * 8 / 150) | 1);
        let end = (bytes.len() * 8 - 330 * 8..bytes.len() * 8).step_by(53);
        files.extend(bits.chain(end).map(|bit| (format!("{name}-{bit}"), flip(bytes, bit))));
    }
    let counts = agree(&files);
    assert!(counts.is_empty() || counts == BTreeMap::from([("damaged", files.len())]), "{counts:?}");
    assert!(files.len() > 500);
}

#[test]
fn both_give_the_same_verdicts_on_damage_without_digests() {
    let mut files = Files::new();
    let genuine = common::artifacts();
    for (name, bytes) in [("two", &written()["2-plain"]), ("genuine", &genuine["empty"]), ("types", &genuine["types"])]
    {
        let artifact = Artifact::open_bytes(bytes, None, &OpenOptions::default()).unwrap();
        let first = artifact.extent(0).unwrap().len as usize;
        let tail = artifact.metadata_offset() as usize - 40;
        // The link word, the padding, and the tail.
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
