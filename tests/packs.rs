//! Packs: what is written is found, damage anywhere is found, lies in the table lead to nothing but errors, and keys are trusted as
//! docs/format.md says.
#![allow(missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::{Builder, Sync};
use artifact::cache::Signer;
use artifact::cache::pack::{Pack, PackOptions, Packed, write};
use artifact::engine::Engine;
use artifact::error::{Error, Result, Status};
use artifact::format::pack::{Block, PackRoot, Row, Target};
use artifact::format::trailer::{Footer, Signature};
use artifact::report::Kind;
use artifact::storage::{Part, Region};
use artifact::trust::digest;
use artifact::trust::keys::{PrivateKey, PublicKey};
use common::elf::Shape;
use proptest::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

type Name = ([u8; 32], Target);
type Artifacts = BTreeMap<Name, Vec<u8>>;

/// Returns an artifact that differs from that of every other number.
fn artifact(number: usize, key: Option<&Arc<PrivateKey>>) -> Vec<u8> {
    let image = Shape { text: vec![number as u8; 1 + number % 7], ..Shape::default() }.image();
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(&image).unwrap();
    builder.set_attribute("number", &number.to_le_bytes()).unwrap();
    key.into_iter().for_each(|key| builder.add_key(key).unwrap());
    builder.serialize().unwrap()
}

fn name(number: usize) -> Name {
    // Several targets for each key.
    let mut key = [0; 32];
    key[..8].copy_from_slice(&((number / 3) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    (key, ((number % 3) as u64).to_be_bytes())
}

fn artifacts(count: usize, key: Option<&Arc<PrivateKey>>) -> Artifacts {
    (0..count).map(|number| (name(number), artifact(number, key))).collect()
}

fn write_to(path: &Path, artifacts: &Artifacts, options: &PackOptions) -> Result<()> {
    let mut left = artifacts.iter();
    write(path, options, &mut || {
        let Some(((key, target), bytes)) = left.next() else { return Ok(None) };
        let artifact = Artifact::open_bytes(bytes, None, &OpenOptions::default())?;
        Ok(Some(Packed { key: *key, target: *target, artifact }))
    })
}

fn options(align: u64, keys: &[&Arc<PrivateKey>]) -> PackOptions {
    let mut options = PackOptions::default();
    (options.align, options.sync) = (align, Sync::No);
    options.signers = keys.iter().map(|key| Signer::Key(Arc::clone(key))).collect();
    options
}

fn pack(artifacts: &Artifacts, align: u64, keys: &[&Arc<PrivateKey>]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pack");
    write_to(&path, artifacts, &options(align, keys)).unwrap();
    fs::read(path).unwrap()
}

fn open(bytes: &[u8], trusted: &[PublicKey]) -> Result<Pack> {
    Pack::from_region(Region::copied(bytes, Part::default())?, trusted)
}

/// Opens a pack and looks at every byte of it.
fn check(bytes: &[u8]) -> Result<()> {
    let pack = open(bytes, &[])?;
    pack.verify()?;
    pack.each(&mut |row| pack.artifact(row, None, &OpenOptions::default())?.verify().map(drop))
}

/// The offsets of table, directory and root record.
fn places(bytes: &[u8]) -> [usize; 3] {
    let footer = Footer::read_from_suffix(bytes).unwrap().1;
    let root = footer.root_offset.get() as usize;
    let record = PackRoot::read_from_prefix(&bytes[root..]).unwrap().0;
    let table = record.table.get() as usize;
    [table, table + record.rows.get() as usize * size_of::<Row>(), root]
}

/// Rewrites a pack without signatures after `change` has seen its rows and root record, with the digests that follow from them.
fn resealed(bytes: &[u8], change: impl FnOnce(&mut Vec<Row>, &mut PackRoot)) -> Vec<u8> {
    let [table, directory, root] = places(bytes);
    let mut rows = <[Row]>::ref_from_bytes(&bytes[table..directory]).unwrap().to_vec();
    let mut record = PackRoot::read_from_prefix(&bytes[root..]).unwrap().0;
    change(&mut rows, &mut record);
    let block =
        |rows: &[Row]| Block { key: rows[0].key, target: rows[0].target, digest: digest::rows(rows.as_bytes()) };
    let blocks: Vec<_> = rows.chunks(64).map(block).collect();
    record.directory_digest = digest::directory(blocks.as_bytes());
    finish([&bytes[..table], rows.as_bytes(), blocks.as_bytes()].concat(), &record, &[])
}

/// Appends root record, signatures and footer.
fn finish(mut bytes: Vec<u8>, record: &PackRoot, signatures: &[Signature]) -> Vec<u8> {
    let mut footer = Footer::new(bytes.len() as u64, signatures.len(), &artifact::format::pack::SIGNED).unwrap();
    footer.checksum = digest::pack_footer(record, signatures, &footer);
    bytes.extend([record.as_bytes(), signatures.as_bytes(), footer.as_bytes()].concat());
    bytes
}

fn number(artifact: &Artifact) -> usize {
    usize::from_le_bytes(artifact.attribute("number").unwrap().try_into().unwrap())
}

#[test]
fn what_is_written_is_found() {
    for count in [0, 1, 2, 63, 64, 65, 128, 200] {
        let artifacts = artifacts(count, None);
        let bytes = pack(&artifacts, 4096, &[]);
        assert_eq!(bytes, pack(&artifacts, 4096, &[]), "deterministic");
        check(&bytes).unwrap();
        let pack = open(&bytes, &[]).unwrap();
        assert_eq!((pack.len(), pack.align(), pack.file_len()), (count as u64, 4096, bytes.len() as u64));
        for wanted in 0..count {
            let (key, target) = name(wanted);
            let row = pack.find(&key, &target).unwrap().unwrap();
            let found = pack.artifact(&row, Some(&Engine::new()), &OpenOptions::default()).unwrap();
            assert_eq!(number(&found), wanted);
            assert_eq!(found.len(), artifacts[&(key, target)].len() as u64);
            assert_eq!(row.offset.get() % 4096, 0);
            for (key, target) in [(key, [9; 8]), ([0xff; 32], target), (key.map(|byte| byte ^ 1), target)] {
                assert_eq!(pack.find(&key, &target).unwrap(), None);
            }
        }
        let mut names = Vec::new();
        pack.each(&mut |row| {
            names.push((row.key, row.target));
            Ok(())
        })
        .unwrap();
        assert!(names.iter().eq(artifacts.keys()));
    }
}

#[test]
fn packs_open_from_files_and_take_the_place_of_old_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pack");
    fs::write(&path, "old").unwrap();
    assert_eq!(Pack::open(&path, None).unwrap_err().status(), Status::NotAnArtifact);
    let mut calls = 0;
    let failed = write(&path, &options(4096, &[]), &mut || {
        calls += 1;
        if calls == 3 { Err(Error::new(Status::Io, "unreadable")) } else { first(artifact(calls, None), calls) }
    });
    assert_eq!(failed.unwrap_err().message(), "unreadable");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    write_to(&path, &artifacts(100, None), &options(64, &[])).unwrap();
    let pack = Pack::open(&path, None).unwrap();
    let (key, target) = name(77);
    let row = pack.find(&key, &target).unwrap().unwrap();
    assert_eq!(number(&pack.artifact(&row, None, &OpenOptions::default()).unwrap()), 77);
    assert_eq!(Pack::open(folder.path(), None).unwrap_err().status(), Status::InvalidArgument);
    assert_eq!(Pack::open(&folder.path().join("none"), None).unwrap_err().status(), Status::Io);
}

fn first(bytes: Vec<u8>, number: usize) -> Result<Option<Packed>> {
    let artifact = Artifact::open_bytes(&bytes, None, &OpenOptions::default())?;
    let (key, target) = ([number as u8; 32], [0; 8]);
    Ok(Some(Packed { key, target, artifact }))
}

#[test]
fn what_cannot_be_packed_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pack");
    let mut numbers = [2, 1].into_iter();
    let unsorted = write(&path, &options(8, &[]), &mut || {
        numbers.next().map_or(Ok(None), |number| first(artifact(number, None), number))
    });
    assert!(unsorted.unwrap_err().message().contains("sorted"));
    let twice = write(&path, &options(8, &[]), &mut || first(artifact(1, None), 1));
    assert_eq!(twice.unwrap_err().status(), Status::InvalidArgument);
    let mut builder = Builder::new(&Engine::new());
    let image = Shape::default().image();
    builder.add_module(&image).unwrap();
    builder.set_trailer(false).unwrap();
    let plain = builder.serialize().unwrap();
    let without_trailer = write(&path, &options(8, &[]), &mut || first(plain.clone(), 1));
    assert!(without_trailer.unwrap_err().message().contains("without"));
    for align in [0, 1, 4, 24, 4 << 20] {
        let refused = write(&path, &options(align, &[]), &mut || Ok(None)).unwrap_err();
        assert_eq!(refused.status(), Status::InvalidArgument, "{align}");
    }
    let key = Arc::new(PrivateKey::generate().unwrap());
    let many = options(8, &vec![&key; 65]);
    assert_eq!(write(&path, &many, &mut || Ok(None)).unwrap_err().status(), Status::Limit);
    assert!(!path.exists());
}

#[test]
fn every_flipped_bit_is_found() {
    let key = Arc::new(PrivateKey::generate().unwrap());
    let bytes = pack(&artifacts(66, None), 8, &[&key]);
    check(&bytes).unwrap();
    let [table, directory, _] = places(&bytes);
    // All of directory, root record, signature and footer; in the table one bit of each byte; elsewhere one now and then.
    let bits = (0..table).step_by(37).chain(table..directory).map(|byte| byte * 8 + byte % 8);
    for bit in bits.chain(directory * 8..bytes.len() * 8) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = check(&flipped).expect_err(&format!("bit {bit} of {}", bytes.len()));
        let damage = [Status::DigestMismatch, Status::Corrupt, Status::Truncated, Status::NotAnArtifact, Status::Limit];
        assert!(damage.contains(&error.status()), "bit {bit}: {error}");
        if bit / 8 >= table && bit / 8 < directory {
            assert_eq!(error.status(), Status::DigestMismatch, "bit {bit}: {error}");
        }
    }
}

#[test]
fn every_truncation_is_found() {
    let bytes = pack(&artifacts(3, None), 8, &[]);
    for len in 0..bytes.len() {
        let error = open(&bytes[..len], &[]).expect_err(&len.to_string());
        assert_eq!(error.status(), Status::NotAnArtifact, "{len}");
    }
    let longer = [&bytes[..], b"more"].concat();
    assert_eq!(open(&longer, &[]).unwrap_err().status(), Status::NotAnArtifact);
    let [.., root] = places(&bytes);
    let inside_out = [&bytes[..root - 88], &bytes[root..]].concat();
    assert_eq!(open(&inside_out, &[]).unwrap_err().status(), Status::Truncated);
}

#[test]
fn a_table_that_lies_is_rejected() {
    let bytes = pack(&artifacts(70, None), 8, &[]);
    let [table, ..] = places(&bytes);
    check(&resealed(&bytes, |_, _| ())).unwrap();
    type Change = fn(&mut Vec<Row>, &mut PackRoot);
    let lies: [(&str, Change); 14] = [
        ("an artifact in PACK_MAGIC", |rows, _| rows[0].offset = 0.into()),
        ("one past the end", |rows, _| rows[69].offset = (1 << 40).into()),
        ("one that overflows", |rows, _| rows[69].len = u64::MAX.into()),
        ("one in the table", |rows, _| rows[69].len = (rows[69].len.get() + 8).into()),
        ("an empty one", |rows, _| rows[3].len = 0.into()),
        ("one that is not aligned", |rows, _| rows[3].offset = (rows[3].offset.get() + 4).into()),
        ("two that overlap", |rows, _| rows[4].offset = rows[3].offset),
        ("two that are exchanged", |rows, _| {
            let (a, b) = (rows[3].offset, rows[4].offset);
            (rows[3].offset, rows[4].offset) = (b, a);
        }),
        ("blocks that overlap", |rows, _| (rows[64].offset, rows[64].len) = (rows[0].offset, rows[0].len)),
        ("rows out of order", |rows, _| rows.swap(3, 4)),
        ("a row twice", |rows, _| rows[4].key = rows[3].key),
        ("blocks out of order", |rows, _| rows.swap(0, 64)),
        ("another artifact", |rows, _| rows[3].root_digest = rows[4].root_digest),
        ("half an artifact", |rows, _| rows[3].len = (rows[3].len.get() / 2).into()),
    ];
    for (what, lie) in lies {
        let lying = resealed(&bytes, |rows, record| {
            lie(rows, record);
            if what == "a row twice" {
                rows[4].target = rows[3].target;
            }
        });
        let error = check(&lying).expect_err(what);
        assert!(!matches!(error.status(), Status::Io | Status::Internal | Status::NoMemory), "{what}: {error}");
    }
    let records: [(&str, Status, Change); 8] = [
        ("another format", Status::Unsupported, |_, record| record.format = 2.into()),
        ("too many rows", Status::Limit, |_, record| record.rows = ((1 << 24) + 1).into()),
        ("more rows than there are", Status::Corrupt, |_, record| record.rows = 71.into()),
        ("a table elsewhere", Status::Corrupt, |_, record| record.table = (record.table.get() - 8).into()),
        ("a table at the end of all numbers", Status::Corrupt, |_, record| record.table = u64::MAX.into()),
        ("no alignment", Status::Corrupt, |_, record| record.align = 12.into()),
        ("reserved bytes", Status::Corrupt, |_, record| record.reserved = [1; 4]),
        ("reserved bytes at the end", Status::Corrupt, |_, record| record.reserved_end[63] = 1),
    ];
    for (what, status, lie) in records {
        assert_eq!(open(&resealed(&bytes, lie), &[]).expect_err(what).status(), status, "{what}");
    }
    // A directory that doesn't match its rows, with the right digests.
    let [_, directory, root] = places(&bytes);
    let record = PackRoot::read_from_prefix(&bytes[root..]).unwrap().0;
    let blocks = <[Block]>::ref_from_bytes(&bytes[directory..root]).unwrap().to_vec();
    for (first, change) in [(0, 1u8), (1, 1)] {
        let (mut blocks, mut record) = (blocks.clone(), record);
        blocks[first].key[31] ^= change;
        record.directory_digest = digest::directory(blocks.as_bytes());
        let lying = finish([&bytes[..directory], blocks.as_bytes()].concat(), &record, &[]);
        let pack = open(&lying, &[]).unwrap();
        assert_eq!(pack.each(&mut |_| Ok(())).unwrap_err().status(), Status::Corrupt);
    }
    // Bytes between artifacts.
    let padded = pack(&artifacts(2, None), 4096, &[]);
    for at in [9, 4095, places(&padded)[0] - 1] {
        let mut changed = padded.clone();
        changed[at] = 1;
        check(&changed).unwrap_err();
    }
    assert_eq!(table % 8, 0);
}

#[test]
fn keys_are_trusted_through_the_pack_or_the_artifact() {
    let [ours, other] = [(); 2].map(|()| Arc::new(PrivateKey::generate().unwrap()));
    let mut engine = Engine::new();
    engine.trust(ours.public());
    let trusted = engine.trusted_keys().to_vec();
    let (key, target) = name(5);
    let found = |bytes: &[u8]| {
        let pack = open(bytes, &trusted).unwrap();
        let row = pack.find(&key, &target).unwrap().unwrap();
        pack.artifact(&row, Some(&engine), &OpenOptions::default())
    };
    let (plain, signed, foreign) = (artifacts(9, None), artifacts(9, Some(&ours)), artifacts(9, Some(&other)));
    for (bytes, what) in [
        (pack(&plain, 8, &[&ours]), "signed pack"),
        (pack(&plain, 8, &[&other, &ours]), "pack of two keys"),
        (pack(&signed, 8, &[]), "signed artifacts"),
        (pack(&signed, 8, &[&other]), "signed artifacts in a pack of another key"),
        (pack(&foreign, 8, &[&ours]), "artifacts of another key in a signed pack"),
    ] {
        let artifact = found(&bytes).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(artifact.signer(), Some(&ours.public()), "{what}");
        assert_eq!(artifact.integrity(), artifact::Integrity::Signed);
        artifact.check_trust(&engine).unwrap();
        artifact.verify().unwrap();
        let mut stranger = Engine::new();
        stranger.trust(PrivateKey::generate().unwrap().public());
        assert_eq!(artifact.check_trust(&stranger).unwrap_err().status(), Status::Untrusted, "{what}");
    }
    for bytes in [pack(&plain, 8, &[]), pack(&plain, 8, &[&other]), pack(&foreign, 8, &[&other])] {
        assert_eq!(found(&bytes).unwrap_err().status(), Status::Untrusted);
        for (copy, verify) in [(true, false), (false, true)] {
            let mut options = OpenOptions::default();
            (options.copy, options.verify) = (copy, verify);
            let pack = open(&bytes, &trusted).unwrap();
            let row = pack.find(&key, &target).unwrap().unwrap();
            assert_eq!(pack.artifact(&row, Some(&engine), &options).unwrap_err().status(), Status::Untrusted);
        }
    }
    // What a signed pack lists is exchanged for something as long that has a valid signature of its own.
    let mut swapped = pack(&signed, 4096, &[&ours]);
    let row = open(&swapped, &trusted).unwrap().find(&key, &target).unwrap().unwrap();
    let evil = artifact(5 + 7, Some(&ours));
    assert_eq!(evil.len() as u64, row.len.get());
    swapped[row.offset.get() as usize..][..evil.len()].copy_from_slice(&evil);
    assert_eq!(found(&swapped).unwrap_err().status(), Status::DigestMismatch);
    let unsigned = pack(&signed, 8, &[]);
    let lying = resealed(&unsigned, |rows, _| {
        let at = rows.iter().position(|row| (row.key, row.target) == (key, target)).unwrap();
        rows[at].root_digest = rows[(at + 1) % rows.len()].root_digest;
    });
    assert_eq!(found(&lying).unwrap_err().status(), Status::DigestMismatch, "signed, but not what the row says");
    // The signature of an artifact is none of a pack, nor the other way round.
    let [.., root] = places(&unsigned);
    let record = PackRoot::read_from_prefix(&unsigned[root..]).unwrap().0;
    let wrong = Signature { key: ours.public().bytes(), bytes: [7; 64] };
    let forged = finish(unsigned[..root].to_vec(), &record, &[wrong]);
    let pack = open(&forged, &trusted).unwrap();
    assert_eq!(pack.signer(), None);
    assert_eq!(pack.signatures(), [wrong]);
    let kinds: Vec<_> = pack.verify().unwrap().findings.iter().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [Kind::Signature]);
}

/// Names that collide in places, and lists of changes.
fn names() -> impl Strategy<Value = Vec<Name>> {
    let byte = prop::sample::select(vec![0u8, 1, 0x7f, 0xff]);
    prop::collection::vec((byte.clone(), byte.clone(), any::<u8>(), byte), 0..150).prop_map(|names| {
        let name = |(a, b, c, d)| {
            let (mut key, mut target) = ([0; 32], [0; 8]);
            (key[0], key[1], key[31], target[7]) = (a, b, c, d);
            (key, target)
        };
        names.into_iter().map(name).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_pack_is_a_map(names in names(), wanted in names(), power in 3..13u32) {
        let artifacts: Artifacts =
            names.into_iter().enumerate().map(|(at, name)| (name, artifact(at, None))).collect();
        let bytes = pack(&artifacts, 1 << power, &[]);
        let pack = open(&bytes, &[]).unwrap();
        for (key, target) in artifacts.keys().copied().chain(wanted) {
            let row = pack.find(&key, &target).unwrap();
            let found = row.map(|row| bytes[row.offset.get() as usize..][..row.len.get() as usize].to_vec());
            prop_assert_eq!(found.as_ref(), artifacts.get(&(key, target)));
        }
    }

    /// With right digests everywhere, changed words of table and root record lead to errors, or to an artifact that is the row's.
    #[test]
    fn lies_lead_to_errors(
        changes in prop::collection::vec((0..70usize, 0..11usize, prop_oneof![any::<u64>(), 0..40_000u64, Just(u64::MAX)]), 1..4),
        root in prop::option::of((0..16usize, any::<u64>())),
    ) {
        let bytes = pack(&artifacts(70, None), 8, &[]);
        let lying = resealed(&bytes, |rows, record| {
            for (row, word, value) in changes {
                rows[row].as_mut_bytes()[word * 8..][..8].copy_from_slice(&value.to_le_bytes());
            }
            if let Some((word, value)) = root {
                record.as_mut_bytes()[word * 8..][..8].copy_from_slice(&value.to_le_bytes());
            }
        });
        let Ok(pack) = open(&lying, &[]) else { return Ok(()) };
        let _ = pack.verify();
        let _ = pack.each(&mut |row| {
            let Ok(artifact) = pack.artifact(row, None, &OpenOptions::default()) else { return Ok(()) };
            assert_eq!(digest::packed(&artifact.trailer().unwrap().root), row.root_digest);
            Ok(())
        });
        for wanted in 0..70 {
            let (key, target) = name(wanted);
            if let Ok(Some(row)) = pack.find(&key, &target) {
                assert_eq!((row.key, row.target), (key, target));
            }
        }
    }
}
