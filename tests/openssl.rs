//! Keys and signatures go back and forth between the library and openssl.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::trust::keys::{CONTEXT, PrivateKey, PublicKey};
use common::elf::Shape;
use tempfile::TempDir;
use zerocopy::IntoBytes;

/// Runs openssl in a folder; nothing where there is none.
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

/// What has to be signed.
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
        ("private.pem", key.to_pem().as_bytes()),
        ("public.pem", key.public().to_pem().as_bytes()),
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
    assert_eq!(fs::read(folder.path().join("derived.pem")).unwrap(), key.public().to_pem().into_bytes());
}

#[test]
fn signatures_and_keys_of_openssl_are_as_good_as_ours() {
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
    // Ed25519 is deterministic: the same key here makes the same signature.
    assert_eq!(private.sign(&builder.root_record().unwrap()).bytes, signature);
}

#[test]
fn keys_of_other_algorithms_are_refused() {
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
