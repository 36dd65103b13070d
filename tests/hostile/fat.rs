//! A file of several targets with a changed index and changed variants. What opens fits the engine, and under trust is what was signed.
//!
//! The input is a byte of options and changes: each a place (u16) and a byte. Even places are in the index, odd ones in the variants.

use std::sync::{Arc, OnceLock};

use super::elf::Shape;
use artifact::artifact::{Artifact, Integrity, OpenOptions};
use artifact::builder::{Builder, FatBuilder};
use artifact::engine::{Engine, FlagMap};
use artifact::format::flags::Flag;
use artifact::report::{Finding, Kind, Report};
use artifact::trust::digest;
use artifact::trust::keys::PrivateKey;

/// Size of the index footer.
const FOOTER: usize = 96;
/// Offsets of the digests in it.
const DIGESTS: [usize; 2] = [24, 56];

struct Base {
    file: Vec<u8>,
    index: usize,
    /// Where each variant is, in the order of the index.
    variants: Vec<std::ops::Range<usize>>,
    /// An engine for each variant of x86-64: from the least to the most.
    engines: [Engine; 3],
    trusting: [Engine; 3],
}

fn engine(features: &[&str]) -> Engine {
    let mut engine = Engine::new();
    engine.set_target("x86_64-unknown-linux-gnu").expect("a triple");
    for name in features {
        engine.set_flag(FlagMap::Isa, name, Flag::Bool(true)).expect("a name");
    }
    engine
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let engines = [engine(&[]), engine(&["popcnt"]), engine(&["avx", "avx2", "popcnt"])];
        let key = PrivateKey::generate().expect("a key");
        let mut fat = FatBuilder::new();
        for (level, engine) in engines.iter().enumerate() {
            let image = Shape { text: vec![level as u8; 10], ..Shape::default() }.image();
            let mut builder = Builder::new(engine);
            builder.add_module(&image).expect("an image");
            fat.add_builder(&builder, 0).expect("a variant");
        }
        let trusting = engines.clone().map(|mut engine| {
            engine.trust(key.public());
            engine
        });
        fat.add_key(&Arc::new(key)).expect("a key");
        let file = fat.serialize().expect("a file");
        let index = super::number(&file, file.len() - FOOTER);
        let opened = Artifact::open_bytes(&file, None, &OpenOptions::default()).expect("an artifact");
        let range = |at| opened.variant(at).map(|row| row.offset as usize..(row.offset + row.len) as usize);
        let variants = (0..3).map(|at| range(at).expect("a variant")).collect();
        Base { file, index, variants, engines, trusting }
    })
}

/// Recomputes the digests of an index, as far as the place and the number of signatures in the footer are valid.
fn reseal_index(file: &mut [u8]) {
    let footer = file.len() - FOOTER;
    let signatures = (super::number(file, footer + 16) as u32 as usize).saturating_mul(96);
    let (index, end) = (super::number(file, footer), footer.saturating_sub(signatures));
    if let Some(bytes) = file.get(index..end) {
        let found = digest::index(bytes);
        file[footer + DIGESTS[1]..][..32].copy_from_slice(&found);
    }
    let found = blake3::derive_key("libartifact 2026-11 index 1: signatures", &file[end..footer]);
    file[footer + DIGESTS[0]..][..32].copy_from_slice(&if signatures == 0 { [0; 32] } else { found });
}

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Base { file: sound, index, variants, engines, trusting } = base();
    let [kind, changes @ ..] = data else { return };
    let mut file = sound.clone();
    for change in changes.chunks_exact(3) {
        let place = usize::from(u16::from_le_bytes([change[0], change[1]]));
        let at = match place % 2 {
            0 => index + place / 2 % (file.len() - index),
            _ => {
                let variant = &variants[place / 2 % variants.len()];
                variant.start + place / 2 / variants.len() % variant.len()
            }
        };
        file[at] = change[2];
    }
    if kind & 1 != 0 {
        for (row, range) in variants.iter().enumerate() {
            super::reseal(&mut file[range.clone()]);
            let checksum: [u8; 32] = file[range.end - 40..range.end - 8].try_into().expect("32 bytes");
            file[index + 24 + row * 64 + 16..][..32].copy_from_slice(&checksum);
        }
    }
    if kind & 2 != 0 {
        reseal_index(&mut file);
    }
    let mut options = OpenOptions::default();
    (options.copy, options.verify) = (kind & 4 != 0, kind & 8 != 0);
    options.variant = (kind & 16 != 0).then_some(usize::from(kind >> 5));
    let level = usize::from(kind >> 6) % engines.len();
    if let Ok(opened) = Artifact::open_bytes(&file, Some(&trusting[level]), &options) {
        assert_eq!(opened.integrity(), Integrity::Signed);
        let same = opened.module_bytes(0).is_ok_and(|found| {
            let signed = &sound[variants[opened.variant_chosen()].clone()];
            signed.starts_with(found)
        });
        assert!(same || opened.module_bytes(0).is_err(), "other code than what was signed");
    }
    let Ok(opened) = Artifact::open_bytes(&file, Some(&engines[level]), &options) else { return };
    // Headers of modules are compared by a check, and by loading.
    let is_settings = |finding: &Finding| finding.kind != Kind::ModuleMachine;
    let fits = |report: Report| !report.findings.iter().any(is_settings);
    let readable = opened.report(&engines[level]);
    assert!(options.variant.is_some() || readable.map_or(true, fits), "code that does not fit");
    let mut fit = Vec::new();
    for at in 0..opened.variant_count() {
        let row = opened.variant(at).expect("a row");
        assert!(row.needs().count() < file.len());
        let report = opened.variant_report(at, &engines[level]);
        fit.extend(report.map_or(true, fits).then_some(at));
    }
    assert!(options.variant.is_some() || fit.contains(&opened.variant_chosen()));
    let verified = opened.verify().is_ok();
    // What is written again opens, and verifies if the original did.
    let again = FatBuilder::from_artifact(&Arc::new(opened)).and_then(|again| again.serialize());
    let Ok(bytes) = again else { return };
    let reopened = Artifact::open_bytes(&bytes, None, &OpenOptions::default()).expect("what was written");
    assert!(!verified || reopened.verify().is_ok());
}
