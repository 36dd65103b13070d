//! Files of several targets: order, choice, trust.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions, Part};
use artifact::builder::{Builder, FatBuilder};
use artifact::detect::detect_region;
use artifact::engine::{Engine, FlagMap, VersionRule};
use artifact::error::{Error, Status};
use artifact::format::flags::Flag;
use artifact::storage::Region;
use artifact::trust::keys::IndexRecord;
use artifact::{Integrity, PrivateKey};
use common::elf::Shape;
use common::fat::*;

#[test]
fn an_engine_gets_the_best_that_fits() {
    let file = five().serialize().unwrap();
    for cpu in ["", V2, V3, V4] {
        assert_eq!(chosen(&file, X86, cpu), format!("{X86} {cpu}"));
        assert_eq!(chosen(&file, ARM, if cpu.is_empty() { "" } else { "lse" }), format!("{ARM} "));
    }
    // A CPU of v4 without one of its features gets v3, whatever it is called.
    let mut masked = engine(X86, V4);
    masked.set_flag(FlagMap::Isa, "avx512bw", Flag::Bool(false)).unwrap();
    assert_eq!(text_of(&open(&file, Some(&masked)).unwrap()), format!("{X86} {V3}"));
    // Cranelift's names mean the same.
    let names = ["sse3", "ssse3", "sse41", "sse42", "popcnt", "avx", "avx2", "bmi1", "bmi2", "lzcnt", "fma"];
    let mut cranelift = engine(X86, "cx16,sahf,f16c,movbe,xsave,crc32");
    for name in names {
        cranelift.set_flag(FlagMap::Isa, &format!("has_{name}"), Flag::Bool(true)).unwrap();
    }
    assert_eq!(text_of(&open(&file, Some(&cranelift)).unwrap()), format!("{X86} {V3}"));
}

#[test]
fn without_an_engine_it_is_the_first_in_the_file() {
    let file = five().serialize().unwrap();
    let first = open(&file, None).unwrap();
    assert_eq!((first.variant_count(), first.variant_chosen()), (5, 4));
    assert_eq!(text_of(&first), format!("{X86} "));
    assert!(file[..first.len() as usize] == variant(X86, ""), "the portable one lies first");
    for at in 0..5 {
        let options = with(|options| options.variant = Some(at));
        let one = Artifact::open_bytes(&file, None, &options).unwrap();
        assert_eq!((one.variant_chosen(), text_of(&one)), (at, text_of(&first.open_variant(at, &options).unwrap())));
        let row = first.variant(at).unwrap();
        assert_eq!((row.target, row.len), (one.metadata().unwrap().target, one.len()));
        assert_eq!(row.offset % (64 << 10), 0);
        // An engine changes nothing about a choice by hand, but what it says about producer and version.
        assert!(Artifact::open_bytes(&file, Some(&engine(ARM, "")), &options).is_ok());
    }
    let none = with(|options| options.variant = Some(5));
    assert_eq!(status(Artifact::open_bytes(&file, None, &none)), Status::NotFound);
    assert_eq!(status(first.variant(5)), Status::NotFound);
    assert_eq!(status(first.open_variant(5, &options())), Status::NotFound);
    let detected = detect_region(&Region::owned(file)).unwrap().unwrap();
    assert_eq!(detected.producer, "artifact");
}

#[test]
fn the_order_is_supersets_then_scores_then_adding() {
    let order = |variants: &[(&str, &str, i32)]| {
        let built = variants.iter().map(|(target, cpu, score)| (variant(target, cpu), *score));
        let file = fat_of(&built.collect::<Vec<_>>()).serialize().unwrap();
        let first = open(&file, None).unwrap();
        (0..first.variant_count()).map(|at| first.variant(at).unwrap().added).collect::<Vec<_>>()
    };
    // A score never puts a variant before one that needs more.
    assert_eq!(order(&[(X86, "", 9), (X86, V2, 8), (X86, V3, 7), (X86, V4, 6)]), [3, 2, 1, 0]);
    assert_eq!(order(&[(X86, "avx2", 0), (X86, "popcnt", 5), (X86, "", 0), (X86, "bmi", 5)]), [1, 3, 0, 2]);
    // The one with the fewest needs is the last, of these the one that was added first.
    assert_eq!(order(&[(ARM, "", 0), (X86, "", 0), (X86, "avx", 0)]), [2, 1, 0]);
    assert_eq!(order(&[(X86, "", 7), (ARM, "", 0), (X86, "avx", 0)]), [1, 2, 0]);
    assert_eq!(order(&[(X86, "avx,avx2", 0), (X86, "bmi", 3), (ARM, "lse,crc", 0)]), [0, 2, 1]);
}

#[test]
fn the_bytes_depend_on_the_variants_only() {
    let file = five().serialize().unwrap();
    assert!(file == five().serialize().unwrap());
    let mut pieces = Vec::new();
    let append = |piece: &[u8]| {
        pieces.extend_from_slice(piece);
        Ok(())
    };
    five().serialize_to(append).unwrap();
    assert!(pieces == file);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("five.artifact");
    five().serialize_to_file(&path, artifact::builder::Sync::No).unwrap();
    assert!(std::fs::read(&path).unwrap() == file);
    // Opened and written again, and taken apart and put together again, they are the same.
    let again = Arc::new(Artifact::open(&path, None, &options()).unwrap());
    assert!(FatBuilder::from_artifact(&again).unwrap().serialize().unwrap() == file);
    let best = Arc::new(Artifact::open(&path, Some(&engine(X86, V4)), &options()).unwrap());
    let mut builder = FatBuilder::from_artifact(&best).unwrap();
    builder.remove(0).unwrap();
    assert_eq!(builder.variant_count(), 4);
    assert_eq!(chosen(&builder.serialize().unwrap(), X86, V3), format!("{X86} {V2}"));
}

#[test]
fn adding_and_removing_copies_bytes() {
    let four = fat_of(&FIVE.map(|(target, cpu)| (variant(target, cpu), 0))[..3]).serialize().unwrap();
    let mut builder = FatBuilder::from_artifact(&opened(&four)).unwrap();
    builder.add(opened(&variant(X86, V4)), 0).unwrap();
    let more = builder.serialize().unwrap();
    let first = open(&more, None).unwrap();
    for at in 0..4 {
        let row = first.variant(at).unwrap();
        let (target, cpu) = FIVE[row.added as usize];
        assert!(more[row.offset as usize..][..row.len as usize] == variant(target, cpu));
    }
    builder.remove(3).unwrap();
    assert!(builder.serialize().unwrap() == four);
    // What is left of it when only one remains is that artifact itself.
    builder.remove(0).unwrap();
    builder.remove(0).unwrap();
    assert!(builder.serialize().unwrap() == variant(ARM, ""));
    assert_eq!(status(builder.remove(1)), Status::NotFound);
    builder.remove(0).unwrap();
    assert_eq!(status(builder.serialize()), Status::InvalidArgument);
    let one = open(&variant(X86, V2), None).unwrap();
    assert_eq!((one.variant_count(), one.variant_chosen()), (1, 0));
    assert!(one.variant(0).unwrap().needs().any(|need| need == "popcnt"));
    assert_eq!(status(one.variant(1)), Status::NotFound);
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let mut builder = five();
    let mut refused = |bytes: &[u8], words: &str| {
        let error = builder.add(opened(bytes), 0).err().unwrap();
        assert_eq!(error.status(), Status::InvalidArgument);
        assert!(error.message().contains(words), "{error}");
    };
    refused(&artifact_for(&engine(X86, V3), b"other code, same needs"), "found those of variant 0");
    let mut renamed = engine(X86, "");
    renamed.set_flag(FlagMap::Isa, "sse2", Flag::Bool(true)).unwrap();
    refused(&artifact_for(&renamed, b"sse2 is no need"), "found those of variant 1");
    let mut other = engine(X86, "avx");
    other.set_producer("other").unwrap();
    refused(&artifact_for(&other, b""), "expected producer 'artifact' version '1', found 'other'");
    other = engine(X86, "avx");
    other.set_version_rule(VersionRule::Custom("2".to_owned())).unwrap();
    refused(&artifact_for(&other, b""), "found 'artifact' version '2'");
    other = engine(X86, "avx");
    other.set_flag(FlagMap::Isa, "a=b", Flag::Bool(true)).unwrap();
    refused(&artifact_for(&other, b""), "without NUL and '='");
    let bare = {
        let image = Shape::default().image();
        let mut bare = Builder::new(&engine(X86, "avx"));
        bare.add_module(&image).unwrap();
        bare.set_trailer(false).unwrap();
        bare.serialize().unwrap()
    };
    refused(&bare, "expected an artifact with a trailer");
    let mut needy = engine(X86, "");
    for at in 0..1025 {
        needy.set_flag(FlagMap::Isa, &format!("flag-{at}"), Flag::Bool(true)).unwrap();
    }
    let needy = opened(&artifact_for(&needy, b""));
    assert_eq!(status(needy.variant(0)), Status::Limit);
    assert_eq!(status(builder.add(needy, 0)), Status::Limit);
    let mut many = FatBuilder::new();
    for at in 0..256 {
        let mut engine = engine(X86, "");
        engine.set_flag(FlagMap::Isa, &format!("flag-{at}"), Flag::Bool(true)).unwrap();
        many.add(opened(&artifact_for(&engine, b"")), 0).unwrap();
    }
    assert_eq!(status(many.add(opened(&variant(X86, "")), 0)), Status::Limit);
    let file = many.serialize().unwrap();
    assert_eq!(open(&file, None).unwrap().variant_count(), 256);
    let error = open(&file, Some(&engine(X86, ""))).err().unwrap();
    assert!(error.message().ends_with("; and 236 more"), "{error}");
}

#[test]
fn a_variant_that_differs_otherwise_is_passed_over() {
    let mut slow = engine(X86, V3);
    slow.set_flag(FlagMap::Shared, "opt_level", Flag::Enum("speed".to_owned())).unwrap();
    let file = fat_of(&[(artifact_for(&slow, b"other settings"), 0), (variant(X86, ""), 0)]).serialize().unwrap();
    let host = engine(X86, V3);
    let found = open(&file, Some(&host)).unwrap();
    assert_eq!((found.variant_chosen(), text_of(&found)), (1, format!("{X86} ")));
    let why = found.variant_report(0, &host).unwrap();
    assert_eq!(why.findings.len(), 1);
    assert!(why.findings[0].sentence.contains("opt_level"));
    assert!(found.variant_report(1, &host).unwrap().findings.is_empty());
    let best = with(|options| options.require_best = true);
    let error = Artifact::open_bytes(&file, Some(&host), &best).err().unwrap();
    assert_eq!(error.status(), Status::Incompatible);
    assert!(error.message().contains("opt_level"), "{error}");
    // None fits: every reason is given.
    let error = open(&five().serialize().unwrap(), Some(&engine("riscv64gc-unknown-linux-gnu", ""))).err().unwrap();
    assert_eq!(error.status(), Status::Incompatible);
    assert_eq!(error.message().matches("Module was compiled for architecture").count(), 5, "{error}");
    // Another producer is the same error as with one target, whether a row fits or not.
    for target in [X86, "riscv64gc-unknown-linux-gnu"] {
        let mut other = engine(target, "");
        other.set_producer("other").unwrap();
        assert_eq!(status(open(&file, Some(&other))), Status::WrongProducer);
    }
}

#[test]
fn requiring_the_best() {
    let file = five().serialize().unwrap();
    let best = with(|options| options.require_best = true);
    let open = |engine: Option<&Engine>, options| Artifact::open_bytes(&file, engine, options);
    assert!(open(Some(&engine(X86, V4)), &best).is_ok());
    assert!(open(Some(&engine(ARM, "")), &best).is_ok(), "the best one for this target");
    for cpu in ["", V2, V3] {
        let error = open(Some(&engine(X86, cpu)), &best).err().unwrap();
        assert_eq!(error.status(), Status::Incompatible);
        assert!(error.message().contains(": variant 1: Module was compiled with setting"), "{error}");
    }
    assert_eq!(status(open(None, &best)), Status::InvalidArgument);
    let both = with(|options| {
        *options = best;
        options.variant = Some(0);
    });
    assert_eq!(status(open(Some(&engine(X86, V4)), &both)), Status::InvalidArgument);
    let one = variant(X86, "");
    assert!(Artifact::open_bytes(&one, Some(&engine(X86, V4)), &best).is_ok());
}

#[test]
fn part_copy_read_and_verify() {
    let file = five().serialize().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inside");
    std::fs::write(&path, [&[1; 777][..], &file, &[2; 99]].concat()).unwrap();
    let part = Part { offset: 777, length: Some(file.len() as u64) };
    let v3 = engine(X86, V3);
    for (copy, read, verify) in [(true, false, false), (false, true, true), (false, false, true), (false, false, false)]
    {
        let options = with(|options| {
            options.part = part;
            options.copy = copy;
            options.read = read;
            options.verify = verify;
        });
        let found = Artifact::open(&path, Some(&v3), &options).unwrap();
        assert_eq!(text_of(&found), format!("{X86} {V3}"));
        found.verify().unwrap();
        assert_eq!(text_of(&found.open_variant(4, &options_of(copy, read)).unwrap()), format!("{X86} "));
    }
    // Only the variant is copied.
    let limit = open(&file, Some(&v3)).unwrap().len();
    let tight = with(|options| {
        options.part = part;
        options.copy = true;
        options.copy_limit = limit;
    });
    Artifact::open(&path, Some(&v3), &tight).unwrap();
}

fn options_of(copy: bool, read: bool) -> OpenOptions<'static> {
    with(|options| {
        options.copy = copy;
        options.read = read;
    })
}

#[test]
fn under_trust_the_index_must_be_signed() {
    let key = Arc::new(PrivateKey::generate().unwrap());
    let trusting = |target: &str, cpu: &str| {
        let mut engine = engine(target, cpu);
        engine.trust(key.public());
        engine
    };
    // Variants that are signed do not make up for an index that is not.
    let signed_variant = |target: &str, cpu: &str, code: &str| {
        let image = Shape { text: code.as_bytes().to_vec(), ..Shape::default() }.image();
        let mut builder = Builder::new(&engine(target, cpu));
        builder.add_module(&image).unwrap();
        builder.add_key(&key).unwrap();
        builder.serialize().unwrap()
    };
    let mut builder = fat_of(&[(signed_variant(X86, V3, "v3"), 0), (signed_variant(X86, "", "base"), 0)]);
    let unsigned = builder.serialize().unwrap();
    for cpu in ["", V3] {
        let error = open(&unsigned, Some(&trusting(X86, cpu))).err().unwrap();
        assert_eq!(error.status(), Status::Untrusted);
        assert!(error.message().starts_with("index of variants: signature: expected one of a trusted key"), "{error}");
    }
    assert_eq!(status(open(&unsigned, None).unwrap().check_trust(&trusting(X86, ""))), Status::Untrusted);
    builder.add_key(&key).unwrap();
    let signed = builder.serialize().unwrap();
    for (cpu, code) in [("", "base"), (V3, "v3")] {
        let found = open(&signed, Some(&trusting(X86, cpu))).unwrap();
        assert_eq!((text_of(&found).as_str(), found.integrity()), (code, Integrity::Signed));
        assert_eq!(found.signer(), Some(&key.public()));
        found.verify().unwrap();
        found.check_trust(&trusting(X86, cpu)).unwrap();
        let signature = *found.index_signatures().next().unwrap();
        assert!(found.confirms(&signature));
        let other = found.open_variant(1 - found.variant_chosen(), &options()).unwrap();
        assert_eq!(other.integrity(), Integrity::Signed);
        // A copy is made of what is checked.
        let copied = Artifact::open_bytes(&signed, Some(&trusting(X86, cpu)), &options_of(true, false)).unwrap();
        assert_eq!(text_of(&copied), code);
    }
    // Variants need no signature of their own.
    let mut plain = five();
    plain.add_key(&key).unwrap();
    let plain = plain.serialize().unwrap();
    assert_eq!(text_of(&open(&plain, Some(&trusting(X86, V4))).unwrap()), format!("{X86} {V4}"));
    // The signature can be detached, and made elsewhere.
    let digest = builder.index_digest().unwrap();
    let detached = key.sign(&IndexRecord(digest));
    let mut external = fat_of(&[(signed_variant(X86, V3, "v3"), 0), (signed_variant(X86, "", "base"), 0)]);
    external.add_signature(&key.public(), &detached.bytes).unwrap();
    assert!(external.serialize().unwrap() == signed);
    let bytes: Vec<u8> = [&detached.key[..], &detached.bytes].concat();
    let beside = with(|options| options.signature = &bytes);
    assert_eq!(text_of(&Artifact::open_bytes(&unsigned, Some(&trusting(X86, V3)), &beside).unwrap()), "v3");
    assert_eq!(status(Artifact::open_bytes(&unsigned, Some(&engine(X86, V3)), &beside)), Status::InvalidArgument);
    // A signature of a root record is none of an index.
    let root = open(&unsigned, None).unwrap().root_record().unwrap();
    let wrong = key.sign(&root);
    assert_eq!(status(external.add_signature(&key.public(), &wrong.bytes)), Status::InvalidArgument);
    // An old variant that was signed as well can't be put in place of another, with any digests recomputed.
    let mut spliced = signed.clone();
    let row = open(&signed, None).unwrap().variant(0).map(|row| (row.offset as usize, row.len as usize)).unwrap();
    let old = signed_variant(X86, V3, "v2");
    spliced[row.0..row.0 + row.1].copy_from_slice(&old);
    assert_eq!(status(open(&spliced, Some(&trusting(X86, V3)))), Status::DigestMismatch);
    assert_eq!(status(open(&spliced, Some(&engine(X86, V3)))), Status::DigestMismatch);
    // Nor can the index be made to name it, or the rows be exchanged: that takes a signature.
    let mut again = fat_of(&[(old, 0), (signed_variant(X86, "", "base"), 0)]);
    assert_eq!(status(open(&again.serialize().unwrap(), Some(&trusting(X86, V3)))), Status::Untrusted);
    let error = again.add_signature(&key.public(), &detached.bytes).err().unwrap();
    assert_eq!(error.status(), Status::InvalidArgument);
    // Taking the first variant out leaves a file that its own signature covers: a downgrade (docs/security.md).
    let first = open(&signed, None).unwrap().len() as usize;
    assert_eq!(text_of(&open(&signed[..first], Some(&trusting(X86, V3))).unwrap()), "base");
    // Rewriting keeps the signature as long as the index is the same.
    let mut same = FatBuilder::from_artifact(&opened(&signed)).unwrap();
    assert_eq!(same.void_signatures().unwrap(), 0);
    assert!(same.serialize().unwrap() == signed);
    same.add(opened(&variant(X86, V4)), 0).unwrap();
    assert_eq!(same.void_signatures().unwrap(), 1);
    assert_eq!(status(open(&same.serialize().unwrap(), Some(&trusting(X86, "")))), Status::Untrusted);
}

#[test]
fn errors_say_where() {
    let file = five().serialize().unwrap();
    let mut bad = file.clone();
    let row = open(&file, None).unwrap().variant(1).map(|row| row.offset).unwrap();
    let end = open(&file, None).unwrap().variant(1).map(|row| row.offset + row.len).unwrap();
    bad[end as usize - 40] ^= 1;
    let shifted: Vec<u8> = [&[0; 64][..], &bad].concat();
    let options = with(|options| options.part = Part { offset: 64, length: None });
    let error: Error = Artifact::open_bytes(&shifted, Some(&engine(X86, V4)), &options).err().unwrap();
    assert_eq!(error.status(), Status::DigestMismatch);
    assert!(error.offset().is_some_and(|at| (64 + row..64 + end).contains(&at)), "{error}");
    assert!(error.message().starts_with("variant 1: "), "{error}");
}
