//! `artifact inspect` and `artifact verify` on packs.

use std::fs;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::cache::Signer;
use artifact::cache::pack::{PackOptions, Packed, write};
use artifact::engine::Engine;
use artifact::format::pack::PackRoot;
use artifact::format::trailer::{Footer, Signature};
use artifact::trust::digest::pack_footer;
use artifact::trust::keys::PrivateKey;
use zerocopy::FromBytes;

use crate::json::Json;
use crate::support::{Folder, module, run, run_with};

/// Writes a pack of two artifacts.
fn pack(folder: &Folder, name: &str, keys: &[&Arc<PrivateKey>]) -> String {
    let file = folder.artifact("packed", &Engine::new());
    let mut options = PackOptions::default();
    options.signers = keys.iter().map(|key| Signer::Key(Arc::clone(key))).collect();
    let mut numbers = 1..3;
    let path = folder.path(name);
    write(&path, &options, &mut || {
        let Some(number) = numbers.next() else { return Ok(None) };
        let artifact = Artifact::open(file.as_ref(), None, &OpenOptions::default())?;
        Ok(Some(Packed { key: [number; 32], target: [7; 8], artifact }))
    })
    .unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_pack_is_listed() {
    let folder = Folder::new();
    let key = Arc::new(PrivateKey::generate().unwrap());
    let plain = pack(&folder, "plain", &[]);
    let (public, len) = (key.public().to_string(), fs::metadata(folder.path("packed")).unwrap().len());
    let second = 4096 + len.next_multiple_of(4096);
    let name = |number: &str| format!("{}.0707070707070707", number.repeat(32));
    let total = fs::metadata(&plain).unwrap().len();
    let expected = format!(
        "{plain}: pack, {total} bytes\nartifacts\t2\nalignment\t4096 bytes\nsignature\tnone\n\nartifacts\nkey and target\toffset\tbytes\n\
         {}\t4096\t{len}\n{}\t{second}\t{len}\n",
        name("01"),
        name("02")
    );
    assert_eq!(run(&["inspect", &plain]).expect(0).out(), expected);
    let signed = pack(&folder, "signed", &[&key]);
    let shown = run(&["inspect", &signed]).expect(0);
    assert!(shown.out().contains(&format!("signature\tkey {public}, not verified\n")), "{}", shown.out());
    let trust = folder.file("key.pub", key.public().to_pem().unwrap());
    let shown = run(&["inspect", "--trust", &trust, &signed]).expect(0);
    assert!(shown.out().contains(&format!("signature\tkey {public}, trusted\n")), "{}", shown.out());
    let json = run_with(&["inspect", "--json", "--trust", &trust, "-"], &fs::read(&signed).unwrap()).expect(0).json();
    assert_eq!(json.keys(), ["file_len", "align", "signed_by", "signatures", "artifacts"]);
    assert_eq!(json.get("signed_by").text(), public);
    assert_eq!(json.get("artifacts").list()[1].get("offset"), &Json::number(second));
    assert!(run(&["inspect", "--trust", &trust, &plain]).expect(4).err.contains("over the pack"));
    let detached = folder.file("sig", [0; 96]);
    let refused = run(&["inspect", "--trust", &trust, "--signature", &detached, &signed]).expect(5);
    assert!(refused.err.contains("signed by its own signatures only"), "{}", refused.err);
    for command in [&["check"][..], &["extract", "-d", "x"], &["sign", "-o", "x", "--key", &trust]] {
        let refused = run(&[command, &[plain.as_str()]].concat());
        assert_ne!(refused.status, 0);
    }
    assert!(run(&["check", &plain]).expect(3).err.contains("found a pack of artifacts"));
    let elf = folder.file("module", module());
    let refused = run(&["pack", "-o", "x", &elf, &plain]).expect(5);
    assert!(refused.err.contains("a pack of artifacts; list them with `artifact inspect`"), "{}", refused.err);
}

#[test]
fn a_pack_is_verified_with_all_it_has() {
    let folder = Folder::new();
    let [key, other] = [(); 2].map(|()| Arc::new(PrivateKey::generate().unwrap()));
    let signed = pack(&folder, "signed", &[&key]);
    let [trust, distrust] =
        [&key, &other].map(|key| folder.file(&key.public().to_string(), key.public().to_pem().unwrap()));
    assert_eq!(run(&["verify", "--strict", &signed]).expect(0).out(), format!("{signed}: OK\n"));
    run(&["verify", "--trust", &trust, &signed]).expect(0);
    assert!(run(&["verify", "--trust", &distrust, &signed]).expect(4).err.contains("artifact 0101"));
    let bytes = fs::read(&signed).unwrap();
    let flipped = |at: usize| {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        folder.file("flipped", bytes)
    };
    let len = fs::metadata(folder.path("packed")).unwrap().len() as usize;
    let second = 4096 + len.next_multiple_of(4096);
    let damaged = run(&["verify", &flipped(second + 100)]).expect(3);
    assert!(damaged.err.contains(&format!("artifact {}.0707070707070707: ", "02".repeat(32))), "{}", damaged.err);
    assert!(run(&["verify", &flipped(second - 1)]).expect(3).err.contains("expected zeros between artifacts"));
    let json = run(&["verify", "--json", &flipped(bytes.len() - 200)]).expect(3).json();
    assert_eq!(json.get("status"), &Json::number(13));
    // A signature that isn't its key's, with a checksum that says so, is a warning.
    let mut changed = bytes.clone();
    let (root, end) = (bytes.len() - 64 - 96 - 128, bytes.len());
    changed[root + 128 + 40] ^= 1;
    let record = PackRoot::read_from_bytes(&changed[root..root + 128]).unwrap();
    let signature = Signature::read_from_bytes(&changed[root + 128..end - 64]).unwrap();
    let checksum = pack_footer(&record, &[signature], &Footer::read_from_suffix(&changed).unwrap().1);
    changed[end - 40..end - 8].copy_from_slice(&checksum);
    let odd = folder.file("odd", changed);
    assert!(run(&["verify", &odd]).expect(0).out().contains("signature 0: "));
    run(&["verify", "--strict", &odd]).expect(3);
}
