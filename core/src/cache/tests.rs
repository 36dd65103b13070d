use std::fs;
use std::time::Duration;

use super::*;
use crate::native::link::Object;

const OBJECT: &[u8] = match cfg!(target_arch = "aarch64") {
    true => include_bytes!("../../tests/objects/fib-aarch64.o"),
    false => include_bytes!("../../tests/objects/fib-x86_64.o"),
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

fn builder(engine: &Engine, number: u32) -> Builder<'static> {
    let mut builder = Builder::new(engine);
    fill(&mut builder, number).unwrap();
    builder
}

fn open_with(folder: &Path, change: impl FnOnce(&mut CacheOptions)) -> Cache {
    let mut options = CacheOptions { no_sync: false, ..CacheOptions::default() };
    change(&mut options);
    Cache::open(folder, &Engine::host(), options).unwrap()
}

#[track_caller]
fn assert_is(lookup: &Lookup, outcome: Outcome, number: u32) {
    assert_eq!(lookup.outcome, outcome, "{:?}", lookup.error);
    let artifact = lookup.artifact.as_ref().unwrap();
    assert_eq!(artifact.attribute("number").unwrap(), number.to_le_bytes());
}

#[test]
fn what_is_stored_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open_with(&folder.path().join("a/b"), |_| ());
    assert_eq!(cache.get(&key(1)).unwrap().outcome, Outcome::Absent);
    assert_is(&cache.put(&key(1), &builder(&Engine::host(), 1)).unwrap(), Outcome::Stored, 1);
    assert_is(&cache.get(&key(1)).unwrap(), Outcome::Hit, 1);
    assert_is(&cache.get_or_make(&key(1), |_| panic!()).unwrap(), Outcome::Hit, 1);
    assert_is(&cache.get_or_make(&key(2), |builder| fill(builder, 2)).unwrap(), Outcome::Made, 2);
    let other = open_with(&folder.path().join("a/b"), |options| options.wait = Duration::ZERO);
    assert_is(&other.get(&key(2)).unwrap(), Outcome::Hit, 2);
    assert_eq!(fs::read(folder.path().join("a/b/lock")).unwrap(), b"");
    assert_eq!(cache.usage().unwrap().entries, 2);
}
