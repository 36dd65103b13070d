//! The cache as programs use it: what is found, what a damaged or hostile folder does, limits, processes, remotes.

#![cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), target_endian = "little"))] // objects are linked for these only

mod damage;
mod hostile;
mod limits;
mod processes;
mod remote;
mod trust;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use artifact::cache::{CacheOptions, Key, Lookup, Outcome, pack};
use artifact::engine::FlagMap;
use artifact::error::Result;
use artifact::native::link::Object;
use artifact::{Artifact, Builder, Cache, Engine, OpenOptions, Status, VersionRule};

const OBJECT: &[u8] = if cfg!(target_arch = "aarch64") {
    include_bytes!("../objects/fib-aarch64.o")
} else {
    include_bytes!("../objects/fib-x86_64.o")
};

fn key(number: u32) -> Key {
    let mut key = Key::new();
    key.add("number", &number.to_le_bytes());
    key
}

/// Fills a builder with code that says which number it is of.
fn fill(builder: &mut Builder<'_>, number: u32) -> Result<()> {
    builder.add_objects(&[Object { name: "fib.o", bytes: OBJECT }], &Default::default())?;
    builder.set_attribute("number", &number.to_le_bytes())
}

fn built(engine: &Engine, number: u32) -> Builder<'static> {
    let mut builder = Builder::new(engine);
    fill(&mut builder, number).unwrap();
    builder
}

/// Changes a byte of the module of an entry.
fn damage_code(bytes: &mut [u8]) {
    let artifact = Artifact::open_bytes(bytes, None, &OpenOptions::default()).unwrap();
    let module = *artifact.module_range(0).unwrap();
    bytes[(module.offset + module.len / 2) as usize] ^= 1;
}

fn options(change: impl FnOnce(&mut CacheOptions)) -> CacheOptions {
    let mut options = CacheOptions::default();
    change(&mut options);
    options
}

fn open_with(folder: &Path, change: impl FnOnce(&mut CacheOptions)) -> Cache {
    Cache::open(folder, &Engine::host(), options(change)).unwrap()
}

fn open(folder: &Path) -> Cache {
    open_with(folder, |_| ())
}

fn number_of(artifact: &Artifact) -> u32 {
    u32::from_le_bytes(artifact.attribute("number").unwrap().try_into().unwrap())
}

#[track_caller]
fn assert_is(lookup: Result<Lookup>, outcome: Outcome, number: u32) {
    let lookup = lookup.unwrap();
    assert_eq!(lookup.outcome, outcome, "{:?}", lookup.error);
    assert_eq!(number_of(lookup.artifact.as_ref().unwrap()), number);
}

#[track_caller]
fn assert_miss(lookup: Result<Lookup>, outcome: Outcome) {
    let lookup = lookup.unwrap();
    assert_eq!(lookup.outcome, outcome, "{:?}", lookup.error);
    assert!(lookup.artifact.is_none());
    assert_eq!(lookup.error.is_none(), outcome == Outcome::Absent, "{:?}", lookup.error);
}

/// The file of an entry for this host.
fn entry(folder: &Path, number: u32) -> PathBuf {
    entry_of(folder, number, &Engine::host())
}

fn entry_of(folder: &Path, number: u32, target: &Engine) -> PathBuf {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (key, target) = (hex(&key(number).digest()), hex(&target.fingerprint()[..8]));
    folder.join("v1").join(&key[..2]).join(format!("{key}.{target}"))
}

/// Events: the outcome, the path, and the sentence.
type Events = Arc<Mutex<Vec<(Outcome, PathBuf, String)>>>;

fn record(options: &mut CacheOptions) -> Events {
    let events = Events::default();
    let list = Arc::clone(&events);
    options.on_event = Some(Arc::new(move |event| {
        let sentence = event.error.map_or(String::new(), ToString::to_string);
        list.lock().unwrap().push((event.outcome, event.path.to_owned(), sentence));
    }));
    events
}

#[test]
fn what_is_stored_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("a/b");
    let cache = open(&folder);
    assert!(cache.trouble().is_none());
    assert_miss(cache.get(&key(1)), Outcome::Absent);
    assert_is(cache.put(&key(1), &built(&Engine::host(), 1)), Outcome::Stored, 1);
    assert_is(cache.get(&key(1)), Outcome::Hit, 1);
    assert_is(cache.get_or_make(&key(1), |_| panic!()), Outcome::Hit, 1);
    assert_is(cache.get_or_make(&key(2), |builder| fill(builder, 2)), Outcome::Made, 2);
    assert_is(open(&folder).get(&key(2)), Outcome::Hit, 2);
    // A new one replaces the old one, also for those who share it.
    let old = cache.get(&key(1)).unwrap().artifact.unwrap();
    assert_is(cache.put(&key(1), &built(&Engine::host(), 3)), Outcome::Stored, 3);
    assert_is(cache.get(&key(1)), Outcome::Hit, 3);
    assert_eq!(number_of(&old), 1);

    assert_eq!(cache.usage().unwrap().entries, 2);
    assert!(cache.remove(&key(1)).unwrap());
    assert!(!cache.remove(&key(1)).unwrap());
    assert_miss(cache.get(&key(1)), Outcome::Absent);
    let stats = cache.stats();
    let count = |outcome| stats.count(outcome);
    assert_eq!((count(Outcome::Hit), count(Outcome::Absent), count(Outcome::Made)), (4, 3, 1));
    assert_eq!((count(Outcome::Stored), count(Outcome::Removed)), (2, 1));

    // What is on disk is what docs/cache.md says.
    assert_eq!(fs::read(folder.join("lock")).unwrap(), b"");
    assert!(fs::read(folder.join("CACHEDIR.TAG")).unwrap().starts_with(b"Signature: 8a477f597d28d172789f06886806bc55"));
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let file = Artifact::open(&entry(&folder, 2), None, &OpenOptions::default()).unwrap();
    assert_eq!(file.attribute("artifact.cache.key").unwrap(), key(2).digest());
    assert!(file.attribute("artifact.cache.unsynced").is_err());
}

#[test]
fn what_is_open_is_shared() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    let made = cache.get_or_make(&key(1), |builder| fill(builder, 1)).unwrap().artifact.unwrap();
    fs::remove_dir_all(folder.path().join("v1")).unwrap();
    let found = cache.get(&key(1)).unwrap().artifact.unwrap();
    assert!(Arc::ptr_eq(&made, &found));
    drop((made, found));
    assert_miss(cache.get(&key(1)), Outcome::Absent);
}

#[test]
fn the_error_of_make_reaches_its_caller() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path());
    let error = cache.get_or_make(&key(1), |_| Err(artifact::Error::new(Status::Limit, "my own"))).unwrap_err();
    assert_eq!((error.status(), error.message()), (Status::Limit, "my own"));
    // So do its mistakes.
    assert_eq!(cache.get_or_make(&key(1), |_| Ok(())).unwrap_err().status(), Status::InvalidArgument);
    let inner = cache.get_or_make(&key(1), |_| cache.get_or_make(&key(1), |_| panic!()).map(drop));
    assert_eq!(inner.unwrap_err().status(), Status::InvalidArgument);
    let no_trailer = cache.get_or_make(&key(1), |builder| {
        fill(builder, 1)?;
        builder.set_trailer(false)
    });
    assert_eq!(no_trailer.unwrap_err().status(), Status::InvalidArgument);
    // A make that panics gives its turn back, and one may ask for another key.
    let panics = std::panic::AssertUnwindSafe(|| cache.get_or_make(&key(1), |_| panic!("on purpose")));
    assert!(std::panic::catch_unwind(panics).is_err());
    let nested = cache.get_or_make(&key(1), |builder| {
        assert_is(cache.get_or_make(&key(2), |builder| fill(builder, 2)), Outcome::Made, 2);
        fill(builder, 1)
    });
    assert_is(nested, Outcome::Made, 1);
}

#[test]
fn targets_are_looked_for_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let baseline = Engine::new();
    let both = |options: &mut CacheOptions| options.targets = vec![Engine::host(), Engine::new()];
    let strong = open_with(folder.path(), both);
    let weak = Cache::open(folder.path(), &baseline, CacheOptions::default()).unwrap();
    // Made for the first target; what is for the second one is found by machines of both kinds.
    assert_is(strong.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::Made, 1);
    assert!(entry(folder.path(), 1).exists());
    assert_is(strong.put(&key(2), &built(&baseline, 2)), Outcome::Stored, 2);
    assert!(entry_of(folder.path(), 2, &baseline).exists());
    assert_is(weak.get(&key(2)), Outcome::Hit, 2);
    assert_is(open_with(folder.path(), both).get(&key(2)), Outcome::Hit, 2);
    if baseline.fingerprint() != Engine::host().fingerprint() {
        assert_miss(weak.get(&key(1)), Outcome::Absent);
        assert_is(weak.get_or_make(&key(1), |builder| fill(builder, 3)), Outcome::Made, 3);
        assert_is(open_with(folder.path(), both).get(&key(1)), Outcome::Hit, 1);
        // The first one is preferred, whatever becomes of it.
        fs::write(entry(folder.path(), 1), "damage").unwrap();
        assert_is(open_with(folder.path(), both).get(&key(1)), Outcome::Hit, 3);
    }
    // Code with other settings goes to the last target that it fits.
    let mut other = Engine::new();
    other.set_flag(FlagMap::Isa, "avx9", artifact::format::flags::Flag::Bool(false)).unwrap();
    assert_is(strong.put(&key(4), &built(&other, 4)), Outcome::Stored, 4);
    assert!(entry_of(folder.path(), 4, &baseline).exists());
    let foreign = {
        let mut engine = Engine::new();
        engine.set_target("s390x-unknown-linux-gnu").unwrap();
        engine
    };
    let mut misfit = Builder::new(&foreign);
    let modules =
        artifact::native::link::link(&[Object { name: "fib.o", bytes: OBJECT }], &Default::default()).unwrap();
    misfit.add_owned_module(modules).unwrap();
    assert_eq!(strong.put(&key(5), &misfit).unwrap_err().status(), Status::Incompatible);
    // A target that this host can't run may be stored for, but not made for the caller to run.
    let options = options(|options| options.targets = vec![foreign]);
    let cross = Cache::open(folder.path(), &Engine::host(), options).unwrap();
    assert_eq!(cross.put(&key(5), &misfit).unwrap().outcome, Outcome::Stored);
    assert_miss(cross.get(&key(5)), Outcome::Incompatible);
    let mut other_version = Engine::host();
    other_version.set_version_rule(VersionRule::Custom("2".into())).unwrap();
    let wrong = CacheOptions::default();
    let error = {
        let mut wrong = wrong;
        wrong.targets = vec![other_version];
        Cache::open(folder.path(), &Engine::host(), wrong).unwrap_err()
    };
    assert_eq!(error.status(), Status::InvalidArgument);
}

#[test]
fn layers_are_searched_after_the_folder() {
    let root = tempfile::tempdir().unwrap();
    let path = |name| root.path().join(name);
    let shipped = open(&path("shipped"));
    for number in [1, 2] {
        shipped.put(&key(number), &built(&Engine::host(), number)).unwrap();
    }
    let mut packed = [2, 3];
    packed.sort_by_key(|number| key(*number).digest());
    let mut packed = packed.into_iter();
    pack::write(&path("pack"), &Default::default(), &mut || {
        let Some(number) = packed.next() else { return Ok(None) };
        shipped.put(&key(number), &built(&Engine::host(), 10 * number))?;
        let target = *Engine::host().fingerprint().first_chunk().unwrap();
        let artifact = Artifact::open(&entry(&path("shipped"), number), None, &OpenOptions::default())?;
        Ok(Some(pack::Packed { key: key(number).digest(), target, artifact }))
    })
    .unwrap();
    shipped.put(&key(2), &built(&Engine::host(), 2)).unwrap();
    shipped.remove(&key(3)).unwrap();

    let mut events = None;
    let cache = open_with(&path("own"), |options| {
        options.layers = vec![path("missing"), path("shipped"), path("pack")];
        events = Some(record(options));
    });
    let events = events.unwrap();
    assert_eq!(events.lock().unwrap().len(), 1);
    assert_is(cache.get(&key(1)), Outcome::Hit, 1);
    assert_is(cache.get(&key(2)), Outcome::Hit, 2);
    assert_is(cache.get(&key(3)), Outcome::Hit, 30);
    assert_miss(cache.get(&key(4)), Outcome::Absent);
    assert_is(cache.put(&key(1), &built(&Engine::host(), 5)), Outcome::Stored, 5);
    assert_is(cache.get(&key(1)), Outcome::Hit, 5);
    assert_is(shipped.get(&key(1)), Outcome::Hit, 1);
    // A damaged entry of a layer isn't the end of the search.
    fs::write(entry(&path("shipped"), 2), "damage").unwrap();
    let cache = open_with(&path("own"), |options| options.layers = vec![path("shipped"), path("pack")]);
    assert_is(cache.get(&key(2)), Outcome::Hit, 20);
    assert_eq!(cache.stats().count(Outcome::Damaged), 1);
}

#[test]
fn a_folder_that_is_deleted_is_made_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("cache");
    let cache = open(&folder);
    cache.put(&key(1), &built(&Engine::host(), 1)).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert_miss(cache.get(&key(1)), Outcome::Absent);
    assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::Made, 1);
    fs::remove_dir_all(&folder).unwrap();
    assert_is(cache.put(&key(1), &built(&Engine::host(), 1)), Outcome::Stored, 1);
    // One that could not be made is tried again, too.
    let blocked = root.path().join("file");
    fs::write(&blocked, "").unwrap();
    let cache = open(&blocked);
    assert_eq!(cache.trouble().unwrap().errno(), libc::ENOTDIR);
    assert_is(cache.put(&key(1), &built(&Engine::host(), 1)), Outcome::NotStored, 1);
    assert_miss(cache.get(&key(2)), Outcome::Damaged);
    fs::remove_file(&blocked).unwrap();
    assert_is(cache.get_or_make(&key(2), |builder| fill(builder, 2)), Outcome::Made, 2);
    assert!(cache.trouble().is_none());
}
