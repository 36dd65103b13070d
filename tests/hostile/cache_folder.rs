//! The folder of a cache with arbitrary files in it. A get never returns another key's code, and for a reader who trusts a key
//! nothing but what was signed; whatever is there, make is called or found, and clearing leaves no entry.
//!
//! The input is a list of records, each a place and a content (a byte each), the number of bytes that follow (u16), and the bytes: the
//! content itself, or changes of a genuine entry, each an offset (u16) and a byte.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::elf::Shape;
use artifact::builder::Builder;
use artifact::cache::{Cache, CacheOptions, KEY_ATTRIBUTE, Key, Lookup, Signer};
use artifact::engine::Engine;
use artifact::trust::keys::PrivateKey;

/// Number of keys.
const KEYS: u8 = 3;

struct Base {
    /// The files of genuine entries, relative to the folder, and their bytes: unsigned, then signed.
    files: Vec<(PathBuf, [Vec<u8>; 2])>,
    engine: Engine,
    trusting: Engine,
    signer: Signer,
}

fn key(number: u8) -> Key {
    let mut key = Key::new();
    key.add("number", &[number]);
    key
}

fn fill(builder: &mut Builder<'_>, number: u8) -> artifact::Result<()> {
    let machine = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    builder.add_owned_module(Shape { machine, text: vec![number; 9], ..Shape::default() }.image())?;
    builder.set_attribute("number", &[number])
}

/// A new folder, in memory where that is possible.
fn folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let shared = Path::new("/dev/shm");
    let parent = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
    parent.join(format!("cache-{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed)))
}

/// A folder that is removed again.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn open(folder: &Path, engine: &Engine, set: impl FnOnce(&mut CacheOptions)) -> Cache {
    let mut options = CacheOptions::default();
    (options.no_sync, options.wait) = (true, Duration::ZERO);
    set(&mut options);
    Cache::open(folder, engine, options).expect("options that fit")
}

fn base() -> &'static Base {
    static BASE: OnceLock<Base> = OnceLock::new();
    BASE.get_or_init(|| {
        let key_pair = Arc::new(PrivateKey::generate().expect("a key"));
        let (engine, mut trusting, signer) = (Engine::new(), Engine::new(), Signer::Key(Arc::clone(&key_pair)));
        trusting.trust(key_pair.public());
        let stored = |engine: &Engine, signer: Option<&Signer>| {
            let folder = Folder(folder());
            let cache = open(&folder.0, engine, |options| options.signer = signer.cloned());
            let mut files = Vec::new();
            for number in 0..KEYS {
                cache.get_or_make(&key(number), |builder| fill(builder, number)).expect("an artifact");
            }
            cache
                .each(|entry| {
                    let bytes = fs::read(&entry.path).expect("an entry");
                    files.push((entry.key, entry.path.strip_prefix(&folder.0).expect("inside").to_owned(), bytes));
                    Ok(())
                })
                .expect("a folder");
            (0..KEYS)
                .map(|number| files.iter().position(|(found, ..)| *found == key(number).digest()))
                .map(|at| files[at.expect("an entry")].clone())
                .collect::<Vec<_>>()
        };
        let (unsigned, signed) = (stored(&engine, None), stored(&trusting, Some(&signer)));
        let files = unsigned.into_iter().zip(signed);
        let files = files.map(|((_, path, unsigned), (.., signed))| (path, [unsigned, signed])).collect();
        Base { files, engine, trusting, signer }
    })
}

/// Takes the next record: place, kind of content, and bytes.
fn next<'d>(data: &mut &'d [u8]) -> Option<(u8, u8, &'d [u8])> {
    let [place, kind, low, high, rest @ ..] = *data else { return None };
    let (bytes, rest) = rest.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(rest.len()));
    *data = rest;
    Some((*place, *kind, bytes))
}

/// Writes what a record describes. Nothing of it has to succeed: one record can be in another's way.
fn write(folder: &Path, place: u8, kind: u8, bytes: &[u8]) {
    let files = &base().files;
    let entry = &files[usize::from(place % KEYS)].0;
    let target = folder.join(match place / KEYS % 8 {
        0..3 => entry.clone(),
        3 => entry.with_file_name(format!(".{}.0123456789abcdef.tmp", entry.file_name().unwrap_or_default().display())),
        4 => "lock".into(),
        5 => "CACHEDIR.TAG".into(),
        6 => entry.parent().unwrap_or(entry).to_owned(),
        _ => "v1".into(),
    });
    let _ = target.parent().map(fs::create_dir_all);
    let genuine = &files[usize::from(kind >> 3 & 3) % files.len()].1;
    let _ = match kind & 7 {
        0 => fs::write(target, bytes),
        // The genuine entry of any key with some bytes changed, with old or new digests.
        1..5 => {
            let mut changed = genuine[usize::from(kind & 1)].clone();
            for change in bytes.chunks_exact(3) {
                let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % changed.len();
                changed[at] = change[2];
            }
            if kind & 7 > 2 {
                super::reseal(&mut changed);
            }
            fs::write(target, changed)
        }
        5 => fs::create_dir_all(target),
        6 => symlink(if bytes.is_empty() { "/dev/zero" } else { "../../lock" }, target),
        _ => fs::write(target, &genuine[0][..bytes.len().min(genuine[0].len())]),
    };
}

/// Returns the number that the artifact of a lookup has.
fn number(lookup: &Lookup, number: u8) -> Option<u8> {
    let artifact = lookup.artifact.as_ref()?;
    assert_eq!(artifact.attribute(KEY_ATTRIBUTE).expect("a key"), key(number).digest(), "another key's code");
    artifact.attribute("number").ok().and_then(|value| value.first().copied())
}

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Base { engine, trusting, signer, .. } = base();
    let folder = Folder(folder());
    let mut rest = data;
    // Opening makes the folder with its own mode.
    drop(open(&folder.0, engine, |_| ()));
    while let Some((place, kind, bytes)) = next(&mut rest) {
        write(&folder.0, place, kind, bytes);
    }
    let trusted = open(&folder.0, trusting, |options| options.signer = Some(signer.clone()));
    let whole = open(&folder.0, engine, |options| (options.verify_always, options.read_only) = (true, true));
    for wanted in 0..KEYS {
        if let Some(found) = number(&trusted.get(&key(wanted)).expect("memory"), wanted) {
            assert_eq!(found, wanted, "what nobody signed");
        }
        let found = whole.get(&key(wanted)).expect("memory");
        number(&found, wanted);
        if let Some(artifact) = found.artifact {
            artifact.verify().expect("an artifact that was verified");
        }
    }
    drop((trusted, whole));
    let cache = open(&folder.0, engine, |_| ());
    let _ = cache.each(|entry| cache.verify(entry).map(drop).or(Ok(())));
    for wanted in 0..KEYS {
        let found = cache.get_or_make(&key(wanted), |builder| fill(builder, wanted)).expect("memory");
        assert!(found.artifact.is_some(), "{:?}", found.error);
        number(&found, wanted);
    }
    let _ = cache.trim();
    if cache.clear().is_ok() {
        assert_eq!(cache.usage().expect("a folder").entries, 0);
    }
}
