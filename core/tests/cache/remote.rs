//! Machines that share a remote: each has a folder of its own.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use artifact::PrivateKey;
use artifact::cache::{Remote, Signer};

use super::*;

#[derive(Default)]
struct Server {
    stored: Mutex<HashMap<String, Vec<u8>>>,
    fails: Mutex<bool>,
    gets: AtomicUsize,
}

impl Remote for Server {
    fn get(&self, name: &str, _max_len: u64, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool> {
        self.gets.fetch_add(1, SeqCst);
        self.check(name)?;
        let stored = self.stored.lock().unwrap();
        let Some(bytes) = stored.get(name) else { return Ok(false) };
        bytes.chunks(1000).all(sink);
        Ok(true)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.check(name)?;
        self.stored.lock().unwrap().insert(name.to_owned(), bytes.to_owned());
        Ok(())
    }
}

impl Server {
    fn check(&self, name: &str) -> Result<()> {
        assert!(name.len() == 64 && name.bytes().all(|digit| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit)));
        match *self.fails.lock().unwrap() {
            true => Err(artifact::Error::new(Status::Io, "connection refused")),
            false => Ok(()),
        }
    }

    /// Changes all that is stored.
    fn poison(&self, change: impl Fn(&mut Vec<u8>)) {
        self.stored.lock().unwrap().values_mut().for_each(change);
    }
}

/// Machines that trust one key, and a server.
struct Fleet {
    root: tempfile::TempDir,
    server: Arc<Server>,
    key: Arc<PrivateKey>,
}

impl Fleet {
    fn new() -> Fleet {
        let key = Arc::new(PrivateKey::generate().unwrap());
        Fleet { root: tempfile::tempdir().unwrap(), server: Arc::default(), key }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn machine(&self, name: &str, change: impl FnOnce(&mut CacheOptions)) -> Cache {
        let mut engine = Engine::host();
        engine.trust(self.key.public());
        let mut options = CacheOptions::default();
        options.signer = Some(Signer::Key(Arc::clone(&self.key)));
        options.remote = Some(Arc::clone(&self.server) as Arc<dyn Remote>);
        change(&mut options);
        Cache::open(&self.folder(name), &engine, options).unwrap()
    }
}

#[test]
fn one_machine_makes_for_all() {
    let fleet = Fleet::new();
    let first = fleet.machine("1", |_| ());
    assert_is(first.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::Made, 1);
    let second = fleet.machine("2", |_| ());
    assert_is(second.get(&key(1)), Outcome::Fetched, 1);
    assert_is(fleet.machine("3", |_| ()).get_or_make(&key(1), |_| panic!()), Outcome::Fetched, 1);
    // From then on it is in the folder.
    let asked = fleet.server.gets.load(SeqCst);
    assert_is(second.get(&key(1)), Outcome::Hit, 1);
    assert_is(fleet.machine("2", |_| ()).get(&key(1)), Outcome::Hit, 1);
    assert_eq!(fleet.server.gets.load(SeqCst), asked);
    assert_eq!(second.stats().count(Outcome::Fetched), 1);
    // Where nothing can be stored, it is used from memory.
    let reader = fleet.machine("4", |options| options.read_only = true);
    assert_is(reader.get(&key(1)), Outcome::Fetched, 1);
    assert!(!fleet.folder("4").exists());
}

#[test]
fn a_server_that_fails_is_an_event() {
    let fleet = Fleet::new();
    *fleet.server.fails.lock().unwrap() = true;
    let mut events = None;
    let cache = fleet.machine("1", |options| events = Some(record(options)));
    assert_miss(cache.get(&key(1)), Outcome::Absent);
    assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 1)), Outcome::Made, 1);
    let events = events.unwrap();
    let failed: Vec<_> =
        events.lock().unwrap().iter().filter(|event| event.0 == Outcome::RemoteFailed).cloned().collect();
    assert_eq!(failed.len(), 3); // two that ask, and one that stores
    assert!(failed.iter().all(|(_, name, sentence)| name.as_os_str().len() == 64 && sentence == "connection refused"));
    *fleet.server.fails.lock().unwrap() = false;
    assert_is(cache.put(&key(2), &built(&Engine::host(), 2)), Outcome::Stored, 2);
    assert_is(fleet.machine("2", |_| ()).get(&key(2)), Outcome::Fetched, 2);
}

#[test]
fn what_a_server_gives_is_checked_before_it_is_stored() {
    let poisoned = |expected: Outcome, poison: &dyn Fn(&Fleet)| {
        let fleet = Fleet::new();
        fleet.machine("1", |_| ()).put(&key(1), &built(&Engine::host(), 1)).unwrap();
        poison(&fleet);
        let cache = fleet.machine("2", |_| ());
        assert_miss(cache.get(&key(1)), expected);
        assert_eq!(cache.stats().count(expected), 1, "{expected}");
        assert_eq!(cache.usage().unwrap().entries, 0);
        assert_is(cache.get_or_make(&key(1), |builder| fill(builder, 2)), Outcome::Made, 2);
        assert_is(fleet.machine("3", |_| ()).get(&key(1)), Outcome::Fetched, 2);
    };
    // Without a signature, or with another key's.
    poisoned(Outcome::Untrusted, &|fleet| {
        let folder = fleet.folder("x");
        open(&folder).put(&key(1), &built(&Engine::host(), 1)).unwrap();
        fleet.server.poison(|bytes| *bytes = fs::read(entry(&folder, 1)).unwrap());
    });
    // Signed, but another key's code.
    poisoned(Outcome::Damaged, &|fleet| {
        let folder = fleet.folder("x");
        fleet.machine("x", |options| options.remote = None).put(&key(7), &built(&Engine::host(), 7)).unwrap();
        fleet.server.poison(|bytes| *bytes = fs::read(entry(&folder, 7)).unwrap());
    });
    // Signed, with one wrong byte of code.
    poisoned(Outcome::Damaged, &|fleet| {
        fleet.server.poison(|bytes| damage_code(bytes));
    });
    // Not even a signature to look at.
    poisoned(Outcome::Untrusted, &|fleet| fleet.server.poison(|bytes| bytes.truncate(1000)));
    poisoned(Outcome::Untrusted, &|fleet| fleet.server.poison(Vec::clear));
}

#[test]
fn sizes_are_limited() {
    let fleet = Fleet::new();
    let cache = fleet.machine("1", |_| ());
    cache.put(&key(1), &built(&Engine::host(), 1)).unwrap();
    fleet.server.poison(|bytes| bytes.resize(2_000_000, 0));
    let small = fleet.machine("2", |options| options.max_bytes = 1_000_000);
    assert_miss(small.get(&key(1)), Outcome::Absent);
    assert_eq!(small.stats().count(Outcome::RemoteFailed), 1);
}

#[test]
fn unsigned_entries_need_permission() {
    let root = tempfile::tempdir().unwrap();
    let server: Arc<Server> = Arc::default();
    let remote = |options: &mut CacheOptions| options.remote = Some(Arc::clone(&server) as Arc<dyn Remote>);
    let refused = Cache::open(root.path(), &Engine::host(), options(remote)).unwrap_err();
    assert_eq!(refused.status(), Status::InvalidArgument);
    let unsigned = |options: &mut CacheOptions| {
        remote(options);
        options.remote_unsigned = true;
    };
    open_with(&root.path().join("1"), unsigned).put(&key(1), &built(&Engine::host(), 1)).unwrap();
    assert_is(open_with(&root.path().join("2"), unsigned).get(&key(1)), Outcome::Fetched, 1);
}
