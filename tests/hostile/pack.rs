//! Packs: arbitrary bytes, and a signed pack with changed bytes, with and without recomputed digests. What is found has the name that
//! was searched for and the root record of its row; what a reader who trusts the signer gets is what was signed.
//!
//! The input is a kind and, for an even kind, the pack itself; for an odd one changes: each an offset (u16) and a byte.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::elf::Shape;
use super::{FOOTER, number};
use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::cache::Signer;
use artifact::cache::pack::{Pack, PackOptions, Packed, write};
use artifact::engine::Engine;
use artifact::format::pack::{Row, Target};
use artifact::storage::{Part, Region};
use artifact::trust::keys::PrivateKey;

type Name = ([u8; 32], Target);

/// Size of a row.
const ROW: usize = 88;
/// Size of an entry of the directory.
const BLOCK: usize = 72;
/// Number of artifacts: two blocks.
const COUNT: u8 = 66;

struct Base {
    bytes: Vec<u8>,
    /// The root records of the artifacts.
    roots: BTreeMap<Name, Vec<u8>>,
    engine: Engine,
}

fn root(artifact: &Artifact) -> Vec<u8> {
    use zerocopy::IntoBytes;
    artifact.trailer().map(|trailer| trailer.root.as_bytes().to_vec()).unwrap_or_default()
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let mut engine = Engine::new();
        let key = Arc::new(PrivateKey::generate().expect("a key"));
        let path = std::env::temp_dir().join(format!("pack-{}", std::process::id()));
        let mut options = PackOptions::default();
        (options.align, options.signers) = (8, vec![Signer::Key(Arc::clone(&key))]);
        let (mut numbers, mut roots) = (0..COUNT, BTreeMap::new());
        let next = &mut || {
            let Some(number) = numbers.next() else { return Ok(None) };
            let image = Shape { text: vec![number; 1 + usize::from(number % 3)], ..Shape::default() }.image();
            let mut builder = Builder::new(&Engine::new());
            builder.add_module(&image)?;
            let artifact = Artifact::open_bytes(&builder.serialize()?, None, &OpenOptions::default())?;
            let name = ([number / 2; 32], [number % 2; 8]);
            roots.insert(name, root(&artifact));
            Ok(Some(Packed { key: name.0, target: name.1, artifact }))
        };
        write(&path, &options, next).expect("a pack");
        let bytes = std::fs::read(&path).expect("a pack");
        std::fs::remove_file(&path).expect("a pack");
        engine.trust(key.public());
        Base { bytes, roots, engine }
    })
}

fn digest(what: &str, bytes: &[u8]) -> [u8; 32] {
    blake3::derive_key(&format!("libartifact 2026-11 pack 1: {what}"), bytes)
}

/// Recomputes the digests of table, directory and footer, as far as the offsets are valid.
fn reseal(file: &mut [u8]) {
    let Some(footer) = file.len().checked_sub(FOOTER) else { return };
    let root = number(file, footer);
    let (rows, table) = (number(file, root.saturating_add(16)), number(file, root.saturating_add(24)));
    let directory = table.saturating_add(rows.saturating_mul(ROW));
    if directory > root || root > footer.saturating_sub(128) {
        return;
    }
    for block in 0..rows.div_ceil(64) {
        let (start, at) = (table + block * 64 * ROW, directory + block * BLOCK + 40);
        if at + 32 <= root {
            let sum = digest("rows", &file[start..(start + 64 * ROW).min(directory)]);
            file[at..at + 32].copy_from_slice(&sum);
        }
    }
    let sum = digest("directory", &file[directory..root]);
    file[root + 32..root + 64].copy_from_slice(&sum);
    file[footer + 24..footer + 56].fill(0);
    let sum = digest("footer", &file[root..]);
    file[footer + 24..footer + 56].copy_from_slice(&sum);
}

/// Looks at all of a pack that opens, and searches for some names of the base.
fn read(bytes: &[u8], engine: &Engine, mut found: impl FnMut(&Row, &Artifact)) {
    let region = Region::copied(bytes, Part::default()).expect("memory");
    let Ok(pack) = Pack::from_region(region, engine.trusted_keys()) else { return };
    let mut artifact = |row: &Row| {
        let Ok(artifact) = pack.artifact(row, Some(engine), &OpenOptions::default()) else { return };
        let digest = digest("artifact", &root(&artifact));
        assert_eq!(digest, row.root_digest);
        found(row, &artifact);
    };
    let _ = pack.verify();
    let _ = pack.each(&mut |row| {
        artifact(row);
        Ok(())
    });
    for (key, target) in base().roots.keys().step_by(7) {
        if let Ok(Some(row)) = pack.find(key, target) {
            assert_eq!((&row.key, &row.target), (key, target));
            artifact(&row);
        }
    }
}

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Base { bytes, roots, engine } = base();
    let [kind, rest @ ..] = data else { return };
    let mut file = if kind & 1 == 0 { rest.to_vec() } else { bytes.clone() };
    if kind & 1 == 1 {
        for change in rest.chunks_exact(3) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % file.len();
            // Offsets from the end hit the table, directory and what follows.
            let end = file.len();
            let at = if kind & 2 == 0 { end - 1 - at % 6500 } else { at };
            file[at] = change[2];
        }
    }
    if kind & 4 != 0 {
        reseal(&mut file);
    }
    read(&file, &Engine::new(), |_, _| ());
    read(&file, engine, |row, artifact| {
        let signed = roots.get(&(row.key, row.target));
        assert!(signed.is_some_and(|signed| *signed == root(artifact)), "what nobody signed was accepted");
        artifact.check_trust(engine).expect("a signature");
    });
}
