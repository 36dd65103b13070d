//! What an engine has accepted before makes opening faster and never makes it accept anything else: an engine that has opened many
//! files gives the same verdict on each file as a new one.
#![allow(missing_docs)]

mod hostile;

use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::{Builder, FatBuilder};
use artifact::engine::{Engine, FlagMap, VersionRule};
use artifact::error::{Error, Status};
use artifact::format::flags::Flag;
use artifact::trust::keys::PrivateKey;
use hostile::elf::Shape;

/// What opening and checking say, so that two verdicts can be compared.
fn verdict(bytes: &[u8], engine: &Engine) -> Result<(), (Status, String, Option<u64>)> {
    let opened = Artifact::open_bytes(bytes, Some(engine), &OpenOptions::default());
    let checked = opened.and_then(|artifact| artifact.check(engine));
    checked.map_err(|error: Error| (error.status(), error.message().to_owned(), error.offset()))
}

/// An engine that has accepted these files.
fn warm(engine: &Engine, files: &[&[u8]]) -> Engine {
    let engine = engine.clone();
    for file in files {
        for _ in 0..2 {
            assert_eq!(verdict(file, &engine), Ok(()));
        }
    }
    engine
}

fn builder<'m>(engine: &Engine, image: &'m [u8], modules: usize) -> Builder<'m> {
    let mut builder = Builder::new(engine);
    for _ in 0..modules {
        builder.add_module(image).unwrap();
    }
    builder
}

fn flagged(name: &str) -> Engine {
    let mut engine = Engine::new();
    engine.set_flag(FlagMap::Shared, name, Flag::Bool(true)).unwrap();
    engine
}

#[test]
fn damage_is_found_as_by_a_new_engine() {
    let image = Shape::default().image();
    let cold = flagged("opt");
    let sound = builder(&cold, &image, 2).serialize().unwrap();
    let warm = warm(&cold, &[&sound]);
    let opened = Artifact::open_bytes(&sound, None, &OpenOptions::default()).unwrap();
    let tail = opened.header_offset() as usize - 8;
    let mut found = 0;
    for at in tail..sound.len() {
        for bit in 0..8 {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << bit;
            assert_eq!(verdict(&damaged, &warm), verdict(&damaged, &cold.clone()), "bit {bit} of byte {at}");
            // The same with digests that are right, so that only the meaning of the bytes counts.
            hostile::reseal(&mut damaged);
            let expected = verdict(&damaged, &cold.clone());
            assert_eq!(verdict(&damaged, &warm), expected, "bit {bit} of byte {at}, with its digests");
            found += usize::from(expected.is_err());
        }
    }
    assert!(found > 1000, "{found}");
    assert_eq!(verdict(&sound, &warm), Ok(()));
}

#[test]
fn damage_in_an_index_is_found_as_by_a_new_engine() {
    let image = Shape::default().image();
    let mut fat = FatBuilder::new();
    for needs in [&[][..], &["sse3"], &["sse3", "avx"]] {
        let mut engine = Engine::new();
        for need in needs {
            engine.set_flag(FlagMap::Isa, need, Flag::Bool(true)).unwrap();
        }
        fat.add_builder(&builder(&engine, &image, 1), 0).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fat");
    fat.serialize_to_file(&path, artifact::builder::Sync::No).unwrap();
    let sound = std::fs::read(path).unwrap();
    let mut cold = Engine::new();
    cold.set_flag(FlagMap::Isa, "sse3", Flag::Bool(true)).unwrap();
    let warm = warm(&cold, &[&sound]);
    let chosen =
        |engine: &Engine| Artifact::open_bytes(&sound, Some(engine), &OpenOptions::default()).unwrap().variant_chosen();
    assert_eq!((chosen(&warm), chosen(&warm)), (1, 1));
    for at in sound.len() - 600..sound.len() {
        for bit in 0..8 {
            let mut damaged = sound.clone();
            damaged[at] ^= 1 << bit;
            assert_eq!(verdict(&damaged, &warm), verdict(&damaged, &cold.clone()), "bit {bit} of byte {at}");
        }
    }
    // The best variant is known not to fit; who requires it is told so all the same.
    let mut best = OpenOptions::default();
    best.require_best = true;
    let refusal = |engine: &Engine| {
        let error = Artifact::open_bytes(&sound, Some(engine), &best).expect_err("the best variant needs avx");
        (error.status(), error.message().to_owned())
    };
    assert_eq!(refusal(&warm), refusal(&cold.clone()));
    // With another engine, another variant is the best.
    let mut more = warm.clone();
    more.set_flag(FlagMap::Isa, "avx", Flag::Bool(true)).unwrap();
    let mut changed = warm;
    changed.set_flag(FlagMap::Isa, "avx", Flag::Bool(true)).unwrap();
    assert_eq!((chosen(&more), chosen(&changed)), (0, 0));
}

#[test]
fn changing_an_engine_changes_what_it_accepts() {
    let image = Shape::default().image();
    let cold = flagged("opt");
    let sound = builder(&cold, &image, 1).serialize().unwrap();
    type Change = fn(&mut Engine);
    let changes: [(&str, Status, Change); 9] = [
        ("target", Status::Incompatible, |engine| engine.set_target("aarch64-unknown-linux-gnu").unwrap()),
        ("producer", Status::WrongProducer, |engine| engine.set_producer("other").unwrap()),
        ("version", Status::WrongVersion, |engine| {
            engine.set_version_rule(VersionRule::Custom("2".to_owned())).unwrap();
        }),
        ("flag", Status::Incompatible, |engine| {
            engine.set_flag(FlagMap::Shared, "opt", Flag::Bool(false)).unwrap();
        }),
        ("new flag", Status::Incompatible, |engine| {
            engine.set_flag(FlagMap::Shared, "new", Flag::Bool(false)).unwrap();
        }),
        ("no flag", Status::Incompatible, |engine| engine.unset_flag(FlagMap::Shared, "opt").unwrap()),
        ("tunable", Status::Incompatible, |engine| engine.tunables.consume_fuel = !engine.tunables.consume_fuel),
        ("feature", Status::Incompatible, |engine| engine.features.simd = !engine.features.simd),
        ("key", Status::Untrusted, |engine| engine.trust(PrivateKey::generate().unwrap().public())),
    ];
    for (what, status, change) in changes {
        let mut engine = warm(&cold, &[&sound]);
        let opened = Artifact::open_bytes(&sound, Some(&engine), &OpenOptions::default()).unwrap();
        change(&mut engine);
        assert_eq!(verdict(&sound, &engine).map_err(|error| error.0), Err(status), "{what}");
        if status != Status::Untrusted {
            assert_eq!(opened.check(&engine).map_err(|error| error.status()), Err(status), "{what}, opened before");
        }
    }
    // What one engine has accepted is nothing to another.
    let opened = Artifact::open_bytes(&sound, Some(&warm(&cold, &[&sound])), &OpenOptions::default()).unwrap();
    assert_eq!(opened.check(&Engine::new()).unwrap_err().status(), Status::Incompatible);
}

#[test]
fn the_memory_limit_counts_for_known_settings() {
    let image = Shape::default().image();
    let cold = flagged("opt");
    let sound = builder(&cold, &image, 1).serialize().unwrap();
    let warm = warm(&cold, &[&sound]);
    let mut options = OpenOptions::default();
    options.memory_limit = 10;
    let error = Artifact::open_bytes(&sound, Some(&warm), &options).unwrap_err();
    assert_eq!(error.status(), Status::Limit, "{error}");
}

#[test]
fn signatures_are_asked_for_every_time() {
    let image = Shape::default().image();
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let mut trusting = flagged("opt");
    trusting.trust(key.public());
    let sign = |key: PrivateKey| {
        let mut builder = builder(&trusting, &image, 1);
        builder.add_key(&Arc::new(key)).unwrap();
        builder.serialize().unwrap()
    };
    let signed = sign(key);
    let warm = warm(&trusting, &[&signed]);
    for wrong in [sign(other), builder(&trusting, &image, 1).serialize().unwrap()] {
        assert_eq!(verdict(&wrong, &warm).map_err(|error| error.0), Err(Status::Untrusted));
    }
    for at in signed.len() - 64 - 96..signed.len() {
        let mut damaged = signed.clone();
        damaged[at] ^= 0x10;
        assert!(verdict(&damaged, &warm).is_err(), "byte {at}");
    }
}

/// The same settings are damage in a file with fewer modules, if they refer to one that it does not have.
#[test]
fn upvars_are_checked_against_each_file() {
    let image = Shape::default().image();
    let engine = flagged("opt");
    let file = |modules, upvar| {
        let mut builder = builder(&engine, &image, modules);
        builder.add_upvar(None, upvar, &[]).unwrap();
        builder.serialize().unwrap()
    };
    let (two, mut one) = (file(2, 1), file(1, 0));
    let tail = |bytes: &[u8]| {
        let opened = Artifact::open_bytes(bytes, None, &OpenOptions::default()).unwrap();
        opened.header_offset() as usize..opened.body_end() as usize
    };
    let (from, to) = (tail(&two), tail(&one));
    one[to].copy_from_slice(&two[from]);
    hostile::reseal(&mut one);
    let warm = warm(&engine, &[&two]);
    let error = verdict(&one, &warm).unwrap_err();
    assert_eq!(error.0, Status::Corrupt, "{}", error.1);
    assert_eq!(Err(error), verdict(&one, &engine));
}

#[test]
fn more_settings_than_are_remembered_are_read_all_the_same() {
    let image = Shape::default().image();
    let engine = flagged("opt");
    let files: Vec<Vec<u8>> = (0..40)
        .map(|number| {
            let mut builder = builder(&engine, &image, 1);
            for _ in 0..number {
                builder.add_upvar(None, 0, &[]).unwrap();
            }
            builder.serialize().unwrap()
        })
        .collect();
    for _ in 0..3 {
        for (number, file) in files.iter().enumerate() {
            let opened = Artifact::open_bytes(file, Some(&engine), &OpenOptions::default()).unwrap();
            opened.check(&engine).unwrap();
            assert_eq!(opened.metadata().unwrap().upvars.nodes().len(), number);
        }
    }
}

/// A file that says its modules are for this machine is found out by whoever looks at them.
#[test]
fn a_lie_about_the_modules_machine_is_found_by_verifying_and_loading() {
    let image = Shape::default().image();
    let engine = Engine::new();
    let mut lying = builder(&engine, &image, 2).serialize().unwrap();
    let module = Artifact::open_bytes(&lying, None, &OpenOptions::default()).unwrap();
    let second = module.module_range(1).unwrap().offset as usize;
    for at in [18, second + 18] {
        lying[at..at + 2].copy_from_slice(&22_u16.to_le_bytes()); // s390x
    }
    hostile::reseal(&mut lying);
    let opened = Artifact::open_bytes(&lying, Some(&engine), &OpenOptions::default()).unwrap();
    opened.check(&engine).expect("what the root record says");
    let error = opened.verify().unwrap_err();
    assert_eq!(error.status(), Status::Corrupt);
    assert!(error.message().contains("as the root record says"), "{error}");

    // Zeros say nothing, so that a check reads the headers.
    let root = lying.len() - hostile::FOOTER - hostile::ROOT;
    lying[root + 144..root + 148].fill(0);
    hostile::reseal(&mut lying);
    let opened = Artifact::open_bytes(&lying, Some(&engine), &OpenOptions::default()).unwrap();
    let error = opened.check(&engine).unwrap_err();
    assert_eq!(error.status(), Status::Incompatible, "{error}");
    // Neither class nor byte order of an ELF file.
    for wrong in [[62, 0, 0, 1], [62, 0, 2, 3], [62, 0, 0, 0], [0, 0, 3, 1]] {
        lying[root + 144..root + 148].copy_from_slice(&wrong);
        hostile::reseal(&mut lying);
        assert_eq!(verdict(&lying, &engine).unwrap_err().0, Status::Corrupt, "{wrong:?}");
    }
}
