//! What is done with the whole folder of a cache: exporting it to a pack, verifying it, and clearing it.
#![allow(missing_docs)]

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use artifact::artifact::OpenOptions;
use artifact::builder::{Builder, Sync};
use artifact::cache::pack::{Pack, PackOptions};
use artifact::cache::{Cache, CacheOptions, Entry, KEY_ATTRIBUTE, Key, Outcome, Signer};
use artifact::engine::Engine;
use artifact::error::Status;
use artifact::native::link::Object;
use artifact::native::load::{LoadOptions, load};
use artifact::trust::keys::PrivateKey;
use common::elf::Shape;

type Events = Arc<Mutex<Vec<(Outcome, String)>>>;

fn key(number: u8) -> Key {
    let mut key = Key::new();
    key.add("number", &[number]);
    key
}

fn open(folder: &Path, engine: &Engine, change: impl FnOnce(&mut CacheOptions)) -> (Cache, Events) {
    let (events, mut options) = (Events::default(), CacheOptions::default());
    let seen = Arc::clone(&events);
    options.no_sync = true;
    options.on_event = Some(Arc::new(move |event| {
        let sentence = event.error.map(|error| error.message().to_owned()).unwrap_or_default();
        seen.lock().unwrap().push((event.outcome, sentence));
    }));
    change(&mut options);
    (Cache::open(folder, engine, options).unwrap(), events)
}

fn put(cache: &Cache, number: u8, engine: &Engine) {
    let image = Shape { text: vec![number; 3], ..Shape::default() }.image();
    let mut builder = Builder::new(engine);
    builder.add_module(&image).unwrap();
    assert_eq!(cache.put(&key(number), &builder).unwrap().outcome, Outcome::Stored);
}

fn entries(cache: &Cache) -> Vec<Entry> {
    let mut entries = Vec::new();
    cache
        .each(|entry| {
            entries.push(entry.clone());
            Ok(())
        })
        .unwrap();
    entries.sort_by_key(|entry| (entry.key, entry.target));
    entries
}

/// Returns the file of the entry with this number.
fn file(cache: &Cache, number: u8) -> PathBuf {
    entries(cache).into_iter().find(|entry| entry.key == key(number).digest()).unwrap().path
}

fn no_sync() -> PackOptions {
    let mut options = PackOptions::default();
    options.sync = Sync::No;
    options
}

#[test]
fn a_folder_is_exported_to_a_pack() {
    let folder = tempfile::tempdir().unwrap();
    let (path, engine) = (folder.path().join("pack"), Engine::new());
    let (cache, _) = open(&folder.path().join("a"), &engine, |_| ());
    for number in 0..70 {
        put(&cache, number, &engine);
    }
    let usage = cache.export(&path, &no_sync()).unwrap();
    let pack = Pack::open(&path, None).unwrap();
    assert_eq!((usage.entries, pack.len()), (70, 70));
    pack.verify().unwrap();
    for Entry { key, target, path, .. } in entries(&cache) {
        let row = pack.find(&key, &target).unwrap().unwrap();
        let found = pack.artifact(&row, Some(&engine), &OpenOptions::default()).unwrap();
        assert_eq!(found.attribute(KEY_ATTRIBUTE).unwrap(), key);
        assert_eq!(found.bytes().unwrap(), fs::read(path).unwrap());
    }
    // The order in which entries were stored has no effect.
    let (other, _) = open(&folder.path().join("b"), &engine, |_| ());
    for number in (0..70).rev() {
        put(&other, number, &engine);
    }
    let second = folder.path().join("second");
    other.export(&second, &no_sync()).unwrap();
    assert!(fs::read(&path).unwrap() == fs::read(second).unwrap());
    // An empty folder is an empty pack.
    let (empty, _) = open(&folder.path().join("c"), &engine, |_| ());
    assert_eq!(empty.export(&path, &no_sync()).unwrap().entries, 0);
    assert_eq!(Pack::open(&path, None).unwrap().len(), 0);
}

#[test]
fn what_is_damaged_is_named_and_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let (path, engine) = (folder.path().join("pack"), Engine::new());
    let (cache, events) = open(&folder.path().join("cache"), &engine, |_| ());
    (0..6).for_each(|number| put(&cache, number, &engine));
    let flipped = file(&cache, 1);
    let mut bytes = fs::read(&flipped).unwrap();
    bytes[70] ^= 1;
    fs::write(&flipped, &bytes).unwrap();
    fs::copy(file(&cache, 2), file(&cache, 3)).unwrap();
    fs::write(file(&cache, 4), "").unwrap();
    let statuses: Vec<_> = (0..6)
        .map(|number| {
            let entry = entries(&cache).into_iter().find(|entry| entry.key == key(number).digest()).unwrap();
            cache.verify(&entry).map_or_else(|error| error.status(), |report| report.status())
        })
        .collect();
    assert_eq!(statuses[0..4], [Status::Ok, Status::DigestMismatch, Status::Ok, Status::Corrupt]);
    assert_ne!(statuses[4], Status::Ok);
    events.lock().unwrap().clear();
    assert_eq!(cache.export(&path, &no_sync()).unwrap().entries, 3);
    let events = events.lock().unwrap();
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(
        events.iter().all(|(outcome, sentence)| *outcome == Outcome::Damaged && !sentence.is_empty()),
        "{events:?}"
    );
    assert!(events.iter().any(|(_, sentence)| sentence.contains("expected the entry of key")), "{events:?}");
    let pack = Pack::open(&path, None).unwrap();
    pack.each(&mut |row| pack.artifact(row, None, &OpenOptions::default())?.verify().map(drop)).unwrap();
}

#[test]
fn a_pack_is_signed_by_the_cache_s_signer_and_has_only_what_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (path, place) = (folder.path().join("pack"), folder.path().join("cache"));
    let [ours, other] = [(); 2].map(|()| Arc::new(PrivateKey::generate().unwrap()));
    let mut engine = Engine::new();
    put(&open(&place, &engine, |_| ()).0, 1, &engine);
    engine.trust(ours.public());
    let signer = Signer::Key(Arc::clone(&ours));
    let (cache, events) = open(&place, &engine, |options| options.signer = Some(signer));
    put(&cache, 2, &engine);
    assert_eq!(cache.export(&path, &no_sync()).unwrap().entries, 1);
    assert!(events.lock().unwrap().iter().any(|(outcome, _)| *outcome == Outcome::Untrusted));
    let pack = Pack::open(&path, Some(&engine)).unwrap();
    assert_eq!(pack.signer(), Some(&ours.public()));
    // Other signers take its place. A callback gets what docs/format.md says.
    let callback = {
        let other = Arc::clone(&other);
        Signer::Callback(Arc::new(move |message| {
            assert!(message.starts_with(b"libartifact pack signature 1\0") && message.len() == 157);
            Ok((other.public(), [0; 64]))
        }))
    };
    let mut options = no_sync();
    options.signers = vec![callback];
    let refused = cache.export(&path, &options).unwrap_err();
    assert_eq!(refused.status(), Status::InvalidArgument, "a signature that doesn't match its key");
    options.signers = vec![Signer::Key(Arc::clone(&other))];
    cache.export(&path, &options).unwrap();
    let pack = Pack::open(&path, Some(&engine)).unwrap();
    assert_eq!(pack.signer(), None);
    assert_eq!(pack.signatures()[0].key, other.public().bytes());
}

#[test]
fn clearing_removes_what_the_cache_made_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (place, engine) = (folder.path().join("cache"), Engine::new());
    let (cache, _) = open(&place, &engine, |_| ());
    for number in 0..20 {
        put(&cache, number, &engine);
    }
    let _ = cache.get_or_make(&key(99), |_| Err(artifact::Error::new(Status::NotFound, "no compiler"))); // makes the lock file
    let entry = file(&cache, 0);
    let sub = entry.parent().unwrap().to_owned();
    let temporary =
        |end| sub.join(format!(".{}.0123456789abcde{end}.tmp", entry.file_name().unwrap().to_str().unwrap()));
    let (old, new) = (temporary(1), temporary(2));
    for path in [&old, &new] {
        fs::write(path, "half").unwrap();
    }
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    fs::File::options().write(true).open(&old).unwrap().set_modified(hour_ago).unwrap();
    let strangers = [sub.join("notes"), place.join("v1/readme"), place.join("letter")];
    for path in &strangers {
        fs::write(path, "mine").unwrap();
    }
    fs::create_dir_all(place.join("v1/zz/deep")).unwrap();
    let lock = fs::metadata(place.join("lock")).unwrap().ino();
    let (reader, _) = open(&place, &engine, |options| options.read_only = true);
    assert_eq!(reader.clear().unwrap_err().status(), Status::InvalidArgument);
    let removed = cache.clear().unwrap();
    assert_eq!(removed.entries, 20);
    assert_eq!(removed.bytes, 20 * 4096);
    assert_eq!(entries(&cache).len(), 0);
    assert_eq!(cache.get(&key(1)).unwrap().outcome, Outcome::Absent);
    assert!(!old.exists() && new.exists(), "a temporary file is left to the process that may be writing it");
    assert!(strangers.iter().all(|path| fs::read(path).unwrap() == b"mine"));
    assert_eq!(fs::metadata(place.join("lock")).unwrap().ino(), lock);
    assert!(place.join("CACHEDIR.TAG").exists());
    put(&cache, 1, &engine);
    assert_eq!(cache.get(&key(1)).unwrap().outcome, Outcome::Hit);
}

/// Code is found in a pack behind an empty folder, and runs: mapped from the pack, or copied if it isn't aligned or was signed.
#[test]
fn code_in_a_pack_runs() {
    const OBJECT: &[u8] = match cfg!(target_arch = "aarch64") {
        true => include_bytes!("../core/tests/objects/fib-aarch64.o"),
        false => include_bytes!("../core/tests/objects/fib-x86_64.o"),
    };
    if !cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (path, host, signing_key) = (folder.path().join("a.pack"), Engine::host(), PrivateKey::generate().unwrap());
    let (signing_key, mut trusting) = (Arc::new(signing_key), host.clone());
    trusting.trust(signing_key.public());
    let (cache, _) = open(&folder.path().join("cache"), &host, |_| ());
    for number in 0..5 {
        let make = |builder: &mut Builder<'_>| {
            builder.set_attribute("number", &[number])?;
            builder.add_objects(&[Object { name: "fib.o", bytes: OBJECT }], &Default::default()).map(drop)
        };
        cache.get_or_make(&key(number), make).unwrap();
    }
    let page = rustix::param::page_size() as u64;
    for (align, signed) in [(64, false), (4096, false), (65_536, false), (65_536, true)] {
        let mut options = no_sync();
        options.align = align;
        options.signers.extend(signed.then(|| Signer::Key(Arc::clone(&signing_key))));
        cache.export(&path, &options).unwrap();
        let engine = if signed { &trusting } else { &host };
        let set = |options: &mut CacheOptions| options.layers = vec![path.clone()];
        let (behind, events) = open(&folder.path().join(format!("empty-{align}-{signed}")), engine, set);
        for number in 0..5 {
            let found = behind.get(&key(number)).unwrap();
            assert_eq!(found.outcome, Outcome::Hit, "{align} {signed}: {:?} {:?}", found.error, events.lock().unwrap());
            let artifact = found.artifact.unwrap();
            assert_eq!(artifact.attribute("number").unwrap(), [number]);
            // SAFETY: the object above, which imports nothing.
            let code = unsafe { load(artifact, engine, LoadOptions::default()) }.unwrap();
            let fib = code.symbol(0, b"fib").unwrap().address;
            // SAFETY: `long fib(long)`, of code that is still loaded.
            let fib: extern "C" fn(i64) -> i64 = unsafe { std::mem::transmute(fib) };
            assert_eq!(fib(10), 55);
            let maps = fs::read_to_string("/proc/self/maps").unwrap();
            let mapped = maps.lines().any(|line| line.contains(" r-xp ") && line.ends_with("/a.pack"));
            assert_eq!(mapped, align >= page && !signed, "{align}: {maps}");
        }
        assert_eq!(behind.get(&key(9)).unwrap().outcome, Outcome::Absent);
    }
}
