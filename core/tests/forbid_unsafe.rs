//! A Rust program that contains no unsafe code uses everything but loading and calling. Where it doesn't compile, a safe function
//! of the public API has become unsafe.
#![forbid(unsafe_code)]
#![allow(missing_docs)]

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use artifact::builder::Sync;
use artifact::detect::detect;
use artifact::format::flags::{Flag, Tunables};
use artifact::format::types::WasmType;
use artifact::native::link::Object;
use artifact::report::Kind;
use artifact::{
    Artifact, Builder, Engine, FlagMap, Integrity, OpenOptions, PrivateKey, PublicKey, Report, Result, Settings,
    Status, VersionRule,
};

/// Targets that the committed objects are for.
const MACHINES: [&str; 2] = ["x86_64", "aarch64"];

fn object(machine: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/objects/fib-{machine}.o"));
    fs::read(path).unwrap()
}

fn engine(machine: &str) -> Engine {
    let mut engine = Engine::new();
    engine.set_target(&format!("{machine}-unknown-linux-gnu")).unwrap();
    engine.set_producer("mine").unwrap();
    engine.set_version_rule(VersionRule::Custom("7".into())).unwrap();
    engine.set_flag(FlagMap::Shared, "opt_level", Flag::Enum("speed".into())).unwrap();
    engine.tunables.consume_fuel = true;
    engine.features.simd = true;
    engine
}

fn builder(machine: &str) -> Builder<'static> {
    let mut builder = Builder::new(&engine(machine));
    let object = object(machine);
    builder.add_objects(&[Object { name: "fib.o", bytes: &object }], &Default::default()).unwrap();
    builder.add_func_type(vec![WasmType::I64], vec![WasmType::I64]).unwrap();
    builder.set_attribute("source", b"fib.c").unwrap();
    builder
}

/// Reads everything that an artifact has.
fn read(artifact: &Artifact, machine: &str) {
    assert_eq!((artifact.producer(), artifact.version()), ("mine", &b"7"[..]));
    assert_eq!(artifact.attribute("source").unwrap(), b"fib.c");
    assert_eq!(artifact.attribute("none").unwrap_err().status(), Status::NotFound);
    let metadata = artifact.metadata().unwrap();
    assert_eq!(metadata.target, format!("{machine}-unknown-linux-gnu"));
    assert_eq!(metadata.shared_flags.get("opt_level"), Some(Flag::Enum("speed")));
    let tunables = metadata.tunables.values();
    let on: Vec<_> = Tunables::SETTINGS.iter().zip(tunables).filter(|(_, value)| value.number() == 1).collect();
    assert_eq!(on.first().map(|(setting, _)| setting.name), Some("consume_fuel"));
    assert_eq!(metadata.types.wasm_signatures.len(), 1);
    assert_eq!((artifact.module_count(), artifact.main_module()), (1, 0));
    let module = artifact.module(0).unwrap();
    assert!((1..module.section_count()).all(|index| artifact.section(0, index).is_ok()));
    assert_eq!(artifact.symbol_named(0, b"fib").unwrap().name, b"fib");
    assert!(artifact.module_bytes(0).unwrap().starts_with(b"\x7fELF"));
    let body: usize = artifact.body().unwrap().iter().map(|piece| piece.len()).sum();
    assert_eq!(body as u64, artifact.body_end());
    assert_eq!(artifact.verify().unwrap(), Report::default());
}

#[test]
fn saved_opened_checked_and_read() {
    let folder = tempfile::tempdir().unwrap();
    for machine in MACHINES {
        let path = folder.path().join(machine);
        let builder = builder(machine);
        builder.serialize_to_file(&path, Sync::Yes).unwrap();
        let bytes = builder.serialize().unwrap();
        let mut pieces = Vec::new();
        let append = |piece: &[u8]| {
            pieces.extend_from_slice(piece);
            Ok(())
        };
        builder.serialize_to(append).unwrap();
        assert!(bytes == pieces && bytes == fs::read(&path).unwrap());

        let found = detect(&path).unwrap().unwrap();
        assert_eq!((found.producer.as_str(), &*found.version), ("mine", &b"7"[..]));

        let engine = engine(machine);
        let mut options = OpenOptions::default();
        let file = File::open(&path).unwrap();
        let leaked: &'static [u8] = bytes.clone().leak();
        for verify in [false, true] {
            options.verify = verify;
            options.copy = verify;
            let opened = [
                Artifact::open(&path, Some(&engine), &options),
                Artifact::open_fd(file.as_fd(), Some(&engine), &options),
                Artifact::open_bytes(&bytes, Some(&engine), &options),
                Artifact::open_borrowed(leaked, Some(&engine), &options),
            ];
            for artifact in opened {
                let artifact = artifact.unwrap();
                artifact.check(&engine).unwrap();
                assert_eq!(artifact.integrity(), Integrity::Digests);
                // From several threads at once.
                thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(|| read(&artifact, machine)))));
            }
        }
        let mut other = engine.clone();
        other.features.simd = false;
        let report = Artifact::open(&path, None, &options).unwrap().report(&other).unwrap();
        assert_eq!(report.findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [Kind::Feature]);
        assert_eq!(report.status(), Status::Incompatible);
    }
}

#[test]
fn signed_and_rewritten() {
    let key = Arc::new(PrivateKey::generate().unwrap());
    let public: PublicKey = key.public().to_string().parse().unwrap();
    let mut trusting = engine("x86_64");
    trusting.trust(public.clone());
    assert_eq!(Engine::from_json(&trusting.to_json().unwrap()).unwrap(), trusting);
    assert_eq!(trusting.fingerprint(), engine("x86_64").fingerprint());

    let mut builder = builder("x86_64");
    let unsigned = builder.serialize().unwrap();
    builder.add_key(&PrivateKey::from_pem(&key.to_pem().unwrap()).map(Arc::new).unwrap()).unwrap();
    let signed = builder.serialize().unwrap();
    let open = |bytes: &[u8]| Artifact::open_bytes(bytes, Some(&trusting), &OpenOptions::default());
    assert_eq!(open(&unsigned).unwrap_err().status(), Status::Untrusted);
    let artifact = open(&signed).unwrap();
    assert_eq!((artifact.integrity(), artifact.signer()), (Integrity::Signed, Some(&public)));
    read(&artifact, "x86_64");

    let rewritten = Builder::from_artifact(Arc::new(artifact)).unwrap().serialize().unwrap();
    assert!(rewritten == signed, "its signature still holds");
}

#[test]
fn wrong_arguments_are_errors() {
    let refused = |result: Result<()>| assert_eq!(result.unwrap_err().status(), Status::InvalidArgument);
    refused(Engine::new().set_target("nothing"));
    refused(Engine::new().set_flag(FlagMap::Isa, "", Flag::Bool(true)));
    refused(Builder::new(&Engine::new()).serialize().map(drop));
    refused(Builder::new(&Engine::new()).add_module(b"no ELF file").map(drop));
    let mut settings = Settings::from(&Engine::new());
    settings.producer = "No Producer".into();
    refused(Builder::from_settings(settings).map(drop));
}
