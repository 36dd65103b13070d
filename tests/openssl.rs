//! Keys and signatures are interchangeable between the library and openssl.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::format::trailer::{Root, Signature};
use artifact::trust::keys::{CONTEXT, PrivateKey, PublicKey};
use common::elf::Shape;
use tempfile::TempDir;
use zerocopy::{FromZeros, IntoBytes};

/// Runs openssl in a folder and returns whether it succeeded; none if openssl is not installed.
fn openssl(folder: &Path, arguments: &[&str]) -> Option<bool> {
    match Command::new("openssl").args(arguments).current_dir(folder).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            eprintln!("openssl {arguments:?}: {}, {said}", output.status);
            Some(output.status.success())
        }
        Err(error) => {
            eprintln!("skipped: no openssl ({error})");
            None
        }
    }
}

fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn builder(image: &[u8]) -> Builder<'_> {
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(image).unwrap();
    builder.set_attribute("name", b"value").unwrap();
    builder
}

/// Returns the message that signatures are over.
fn message(builder: &Builder<'_>) -> Vec<u8> {
    [CONTEXT, builder.root_record().unwrap().as_bytes()].concat()
}

#[test]
fn openssl_verifies_our_signatures_and_reads_our_keys() {
    let image = Shape::default().image();
    let mut builder = builder(&image);
    let key = Arc::new(PrivateKey::generate().unwrap());
    builder.add_key(&key).unwrap();
    let bytes = builder.serialize().unwrap();
    let artifact = Artifact::open_bytes(&bytes, None, &OpenOptions::default()).unwrap();
    let signature = artifact.signatures().next().unwrap().bytes;
    let mut wrong = signature;
    wrong[40] ^= 1;
    let folder = folder(&[
        ("private.pem", key.to_pem().unwrap().as_bytes()),
        ("public.pem", key.public().to_pem().unwrap().as_bytes()),
        ("message", &message(&builder)),
        ("good", &signature),
        ("wrong", &wrong),
    ]);
    let verify = |signature: &str| {
        let arguments =
            ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "message", "-sigfile", signature];
        openssl(folder.path(), &arguments)
    };
    let Some(good) = verify("good") else { return };
    assert!(good);
    assert_eq!(verify("wrong"), Some(false));
    let arguments = ["pkey", "-in", "private.pem", "-pubout", "-out", "derived.pem"];
    assert_eq!(openssl(folder.path(), &arguments), Some(true));
    assert_eq!(fs::read(folder.path().join("derived.pem")).unwrap(), key.public().to_pem().unwrap().into_bytes());
}

#[test]
fn the_library_accepts_keys_and_signatures_of_openssl() {
    let image = Shape::default().image();
    let mut builder = builder(&image);
    let folder = folder(&[("message", &message(&builder))]);
    let run = |arguments: &[&str]| openssl(folder.path(), arguments);
    let Some(made) = run(&["genpkey", "-algorithm", "ed25519", "-out", "private.pem"]) else { return };
    assert!(made);
    assert_eq!(run(&["pkey", "-in", "private.pem", "-pubout", "-out", "public.pem"]), Some(true));
    let sign = ["pkeyutl", "-sign", "-inkey", "private.pem", "-rawin", "-in", "message", "-out", "signature"];
    assert_eq!(run(&sign), Some(true));
    let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let private = PrivateKey::from_pem(&text("private.pem")).unwrap();
    let public = PublicKey::from_pem(&text("public.pem")).unwrap();
    assert_eq!(private.public(), public);
    let signature: [u8; 64] = fs::read(folder.path().join("signature")).unwrap().try_into().unwrap();
    builder.add_signature(&public, &signature).unwrap();
    let mut engine = Engine::new();
    engine.trust(public.clone());
    let bytes = builder.serialize().unwrap();
    let artifact = Artifact::open_bytes(&bytes, Some(&engine), &OpenOptions::default()).unwrap();
    assert_eq!(artifact.signer(), Some(&public));
    // Ed25519 is deterministic, so the library makes the same signature with the same key.
    assert_eq!(private.sign(&builder.root_record().unwrap()).bytes, signature);
}

/// Signatures of a zeroed root record that only the key's owner can make, and not with a usual signer. RFC 8032 leaves verifiers
/// a choice about some of them; whatever the library accepts openssl accepts.
#[test]
fn openssl_accepts_every_signature_that_we_accept() {
    const KEY: &str = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    // The same key with a point of order 8 added.
    const MIXED: &str = "9ea3f11f5bd34f0cd7147fd0a436c088f624c6100c1df6a53c0a29e05d60cea0";
    let cases = [
        // A nonce of the signer's own choice.
        (
            "nonce",
            KEY,
            [true, true],
            "7e81b95fff342ee3ab6eb59ad22f580cfa8fdb5eb5829b702a2c132671aa16241cb33903da2955453d8095831cbe74d38351065949a4671ec9e5e86c7d60be0d",
        ),
        // A point of order 8 added to the first half.
        (
            "torsion",
            KEY,
            [false, false],
            "832f133dc62ed584a6609a64ba9c1bbb7d8387db5bde9fd2f812134e0c38b89a9d2a8df2b23dd1761b857cca2408b6e189c17693582b957fbaae174cd8df0206",
        ),
        // A first half of small order, which openssl lets pass.
        (
            "neutral",
            KEY,
            [false, true],
            "0100000000000000000000000000000000000000000000000000000000000000ed84249235384f75147bb121710f8df57bf5df1b5beb2bbd9b7f013d245fbc0d",
        ),
        // Under the mixed key the equation holds if the hash is a multiple of 8.
        (
            "mixed",
            MIXED,
            [true, true],
            "41280c36a7f1b959763867a2e1e14c1a207940e3d02d4ed44fa556050a92495997fadabcdbd2a480946e45b5d5e174b1b60e08cced1342394f2c9fad9862e80a",
        ),
        (
            "unlucky",
            MIXED,
            [false, false],
            "7e81b95fff342ee3ab6eb59ad22f580cfa8fdb5eb5829b702a2c132671aa162405f5a339a0c0e6bfbe767aa93110be51339e8b48a3213f251ff6a1bab50bc103",
        ),
    ];
    let root = Root::new_zeroed();
    let message = [&CONTEXT[..], root.as_bytes()].concat();
    for (name, key, [ours, theirs], signature) in cases {
        let key: PublicKey = key.parse().unwrap();
        let bytes: Vec<u8> = (0..64).map(|at| u8::from_str_radix(&signature[2 * at..][..2], 16).unwrap()).collect();
        let signature = Signature { key: key.bytes(), bytes: bytes.try_into().unwrap() };
        assert_eq!(key.verifies(&root, &signature), ours, "{name}");
        let folder = folder(&[
            ("public.pem", key.to_pem().unwrap().as_bytes()),
            ("message", &message),
            ("signature", &signature.bytes),
        ]);
        let arguments = [
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            "public.pem",
            "-rawin",
            "-in",
            "message",
            "-sigfile",
            "signature",
        ];
        let Some(accepted) = openssl(folder.path(), &arguments) else { return };
        assert_eq!(accepted, theirs, "{name}");
        assert!(accepted || !ours);
    }
}

#[test]
fn keys_of_other_algorithms_are_rejected() {
    let folder = folder(&[]);
    let run = |arguments: &[&str]| openssl(folder.path(), arguments);
    for (algorithm, name) in [("x25519", "x.pem"), ("ed448", "e.pem")] {
        let Some(made) = run(&["genpkey", "-algorithm", algorithm, "-out", name]) else { return };
        assert!(made);
        let pem = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(PrivateKey::from_pem(&pem).unwrap_err().message().contains("Ed25519"));
    }
    let made = ["genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:secret", "-out", "encrypted.pem"];
    assert_eq!(run(&made), Some(true));
    let pem = fs::read_to_string(folder.path().join("encrypted.pem")).unwrap();
    assert!(PrivateKey::from_pem(&pem).unwrap_err().message().contains("unencrypted"));
}
