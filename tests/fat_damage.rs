//! Files of several targets whose index is damaged, or lies; and round trips.
#![allow(missing_docs)]

mod common;

use std::sync::Arc;

use artifact::PrivateKey;
use artifact::builder::FatBuilder;
use artifact::engine::FlagMap;
use artifact::error::Status;
use artifact::format::flags::Flag;
use common::fat::*;
use proptest::prelude::*;

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let key = Arc::new(PrivateKey::generate().unwrap());
    let mut builder = fat_of(&[(variant(X86, V2), -3), (variant(X86, ""), 0), (variant(ARM, "lse"), 7)]);
    builder.add_key(&key).unwrap();
    let file = builder.serialize().unwrap();
    let damage = [Status::Truncated, Status::Corrupt, Status::DigestMismatch, Status::Unsupported];
    let host = engine(X86, V2);
    for at in index_of(&file)..file.len() {
        for bit in 0..8 {
            let mut bad = file.clone();
            bad[at] ^= 1 << bit;
            for engine in [None, Some(&host)] {
                let status = status(open(&bad, engine));
                assert!(damage.contains(&status), "byte {at} bit {bit}: {status:?}");
            }
        }
    }
    let first = open(&file, None).unwrap().len() as usize;
    let body = open(&file, None).unwrap().body_end() as usize;
    for len in index_of(&file)..file.len() {
        assert!(damage.contains(&status(open(&file[..len], None))), "cut at {len}");
    }
    // Shorter ones: what is left is the first variant, and everything behind it is missing or not known to belong to it.
    for len in (first + 1..index_of(&file)).step_by(97) {
        assert_eq!(status(open(&file[..len], None)), Status::Truncated, "cut at {len}");
    }
    for len in [first, body] {
        assert_eq!(open(&file[..len], None).unwrap().variant_count(), 1);
    }
    // Zeros between variants are only looked at by verifying.
    let mut bad = file.clone();
    bad[first + 5] = 1;
    let found = open(&bad, Some(&host)).unwrap();
    assert_eq!(status(found.verify()), Status::Corrupt);
    let other = (open(&file, None).unwrap().variant(2).unwrap().offset + 70) as usize;
    let mut bad = file.clone();
    bad[other] ^= 1;
    assert_eq!(status(open(&bad, Some(&host)).unwrap().verify()), Status::DigestMismatch);
    open(&file, Some(&host)).unwrap().verify().unwrap();
}

#[test]
fn a_row_that_contradicts_its_variant_is_corrupt() {
    let file = five().serialize().unwrap();
    let at = |text: &[u8]| {
        file[index_of(&file)..].windows(text.len()).position(|found| found == text).unwrap() + index_of(&file)
    };
    let host = engine(X86, V2);
    for (from, to) in [(&b"avx2\0"[..], &b"avx1\0"[..]), (b"x86_64-unknown-linux-gnu\0", b"x86_64-unknown-linux-gnx\0")]
    {
        let mut bad = file.clone();
        bad[at(from)..][..from.len()].copy_from_slice(to);
        assert_eq!(status(open(&bad, Some(&engine(X86, V4)))), Status::DigestMismatch);
        reseal(&mut bad);
        let mut known = engine(X86, V4);
        known.set_flag(FlagMap::Isa, "avx1", Flag::Bool(true)).unwrap();
        let error = open(&bad, Some(&known)).err().unwrap();
        assert_eq!(error.status(), Status::Corrupt);
        assert!(
            error.message().starts_with("variant 1: expected the target and ISA flags that the index says"),
            "{error}"
        );
        // A row without a target has that of the row before.
        let others = open(&bad, Some(&host));
        if from.starts_with(b"avx2") {
            assert_eq!(text_of(&others.unwrap()), format!("{X86} {V2}"), "another one is whole");
        } else {
            assert_eq!(status(others), Status::Corrupt);
        }
    }
    // A row's texts end with a NUL, even if that is all that is missing.
    let mut bad = file.clone();
    let texts = index_of(&file) + 24 + 5 * 64;
    assert_eq!(&bad[texts + ARM.len()..][..1], b"\0");
    bad[texts + ARM.len()] = b'x';
    reseal(&mut bad);
    let error = open(&bad, None).err().unwrap();
    assert!(error.status() == Status::Corrupt && error.message().contains("a NUL after each"), "{error}");
    // Needs that are left out make nothing open that does not fit: the variant's own Metadata says them too.
    let mut bad = file.clone();
    let header = index_of(&file);
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let (rows, row) = (header + 24, header + 24 + 64);
    let (start, len) = (rows + 5 * 64 + word(rows + 56), word(row + 56));
    // As many needs as take a multiple of 8 bytes.
    let ends = (1..=len).rev().filter(|len| file[start + len - 1] == 0 && *len > X86.len());
    let kept = ends.clone().find(|kept| (len - kept) % 8 == 0 && *kept < len).unwrap();
    bad.drain(start + kept..start + len);
    bad[header + 16..header + 20].copy_from_slice(&((word(header + 16) - (len - kept)) as u32).to_le_bytes());
    bad[row + 56..row + 60].copy_from_slice(&(kept as u32).to_le_bytes());
    let end = bad.len();
    bad[end - 88..end - 80].copy_from_slice(&(end as u64).to_le_bytes());
    reseal(&mut bad);
    let error = open(&bad, Some(&engine(X86, V4))).err().unwrap();
    assert!(error.status() == Status::Corrupt && error.message().contains("ISA flags that the index says"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is written over the index, with digests that match: what opens fits, and is one of the variants.
    #[test]
    fn a_lying_index_opens_nothing_unfit(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cpu in prop::sample::select(vec!["", V2, V3, V4]),
    ) {
        let file = five().serialize().unwrap();
        let mut bad = file.clone();
        let start = index_of(&file);
        for (at, byte) in changes {
            let len = bad.len() - 96 - start;
            bad[start + at.index(len)] = byte;
        }
        reseal(&mut bad);
        let host = engine(X86, cpu);
        if let Ok(found) = open(&bad, Some(&host)) {
            found.check(&host).unwrap();
            let known = FIVE.iter().any(|(target, cpu)| found.bytes().unwrap() == variant(target, cpu));
            prop_assert!(known);
        }
        let mut trusting = host;
        trusting.trust(PrivateKey::generate().unwrap().public());
        prop_assert_eq!(status(open(&bad, Some(&trusting))), Status::Untrusted);
    }

    /// What is written is what is read, for any sets of flags.
    #[test]
    fn variants_round_trip(sets in prop::collection::vec((prop::collection::btree_set("[a-z]{1,6}", 0..6), any::<i32>()), 1..8)) {
        let mut builder = FatBuilder::new();
        let mut added = Vec::new();
        for (set, score) in sets {
            let mut engine = engine(X86, "");
            for name in &set {
                engine.set_flag(FlagMap::Isa, name, Flag::Bool(true)).unwrap();
            }
            let bytes = artifact_for(&engine, format!("{set:?}").as_bytes());
            match builder.add(opened(&bytes), score) {
                Ok(_) => added.push((engine, score, bytes)),
                Err(error) => prop_assert!(error.message().contains("found those of variant"), "{}", error),
            }
        }
        let file = builder.serialize().unwrap();
        let first = open(&file, None).unwrap();
        prop_assert_eq!(first.variant_count(), added.len());
        first.verify().unwrap();
        for at in 0..added.len() {
            let row = first.variant(at).unwrap();
            let (_, score, bytes) = &added[row.added as usize];
            prop_assert_eq!(row.score, if added.len() == 1 { 0 } else { *score });
            let range = row.offset as usize..(row.offset + row.len) as usize;
            prop_assert!(&file[range] == bytes.as_slice());
        }
        // Each engine gets code that needs as much as any that fits it.
        for (engine, _, bytes) in &added {
            let found = open(&file, Some(engine)).unwrap();
            prop_assert!(found.bytes().unwrap() == bytes.as_slice(), "{}", text_of(&found));
        }
        prop_assert!(FatBuilder::from_artifact(&Arc::new(first)).unwrap().serialize().unwrap() == file);
    }
}
