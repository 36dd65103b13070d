//! A cache of compiled code: key → artifact, in a folder that any number of threads, processes and machines share.
//!
//! [`Cache::get_or_make`] is the whole of it for most programs: it finds the code of a key, or has it made once, by one of all
//! processes that ask for it at the same time. Whatever a disk, another process or a network does is an [`Outcome`], and the program gets its
//! code all the same. docs/cache.md describes the design.

mod collect;
mod folder;
mod key;
mod options;
mod outcome;
pub mod pack;
mod remote;
mod search;
mod shared;
mod store;
mod target;
mod turns;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use crate::artifact::Artifact;
use crate::builder::Builder;
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::format::trailer::Digest;
use crate::storage::Tree;

pub use crate::builder::{SignFn, Signer};
pub use crate::storage::Usage;
pub use collect::Entry;
pub use key::Key;
pub use options::{CacheOptions, OnEvent, Remote};
pub use outcome::{Event, Lookup, Outcome, Stats};
pub use search::{KEY_ATTRIBUTE, UNSYNCED_ATTRIBUTE};

use collect::Scan;
use outcome::Counters;
use search::{Found, Layer, entry_name};
use shared::Shared;
use target::Target;
use turns::{Turns, key_byte};

/// A cache. Any number of threads may use it, and a child of a fork may, too.
pub struct Cache {
    /// The engine of the host, with the keys that it trusts.
    engine: Engine,
    targets: Vec<Target>,
    options: CacheOptions,
    path: PathBuf,
    /// The folder, or why it can't be used.
    folder: Mutex<Result<Arc<Tree>>>,
    layers: Vec<Layer>,
    shared: Shared,
    turns: Turns,
    counters: Counters,
    /// A collection that a store has begun.
    scan: Mutex<Option<Scan>>,
    /// What was stored since the last collection, in [`collect::TURN`]ths of what is stored between two.
    stored: AtomicU64,
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("path", &self.path).field("options", &self.options).finish_non_exhaustive()
    }
}

impl Cache {
    /// Opens the cache in `folder`, which is created with mode 0700 if it does not exist. `engine` is that of the host that runs the code:
    /// its producer and version say which compiler the code must be of, and its keys whose signatures are trusted.
    ///
    /// A folder that can't be used is no error: nothing is found or stored there then, each call says why, and [`Cache::trouble`] does.
    /// Unless the engine trusts keys, that includes a folder that others than root and this user can write to or replace.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for an empty path, targets of another producer or version, a signing key that the engine does not trust, or a remote whose
    /// entries would be used without a signature although [`CacheOptions::remote_unsigned`] is not set; NO_MEMORY.
    pub fn open(folder: &Path, engine: &Engine, options: CacheOptions) -> Result<Cache> {
        let trusted = engine.trusted_keys();
        let wrong = |message: &str| Err(Error::new(Status::InvalidArgument, message));
        if folder.as_os_str().is_empty() {
            return wrong("folder: expected a path, found an empty one");
        }
        if options.remote.is_some() && trusted.is_empty() && !options.remote_unsigned {
            return wrong(
                "remote: expected an engine that trusts keys, or permission for unsigned entries, found neither",
            );
        }
        if let Some(Signer::Key(key)) = &options.signer
            && !trusted.is_empty()
            && !trusted.contains(&key.public())
        {
            return wrong("signing key: expected one that the engine trusts, found another");
        }
        let opened = match Tree::open(folder, !options.read_only, trusted.is_empty()) {
            Err(error) if error.status() == Status::NoMemory => return Err(error),
            opened => opened,
        };
        let mut cache = Cache {
            engine: engine.clone(),
            targets: target::targets(engine, &options)?,
            path: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()),
            folder: Mutex::new(opened.map(Arc::new)),
            layers: Vec::new(),
            shared: Shared::default(),
            turns: Turns::default(),
            counters: Counters::default(),
            scan: Mutex::new(None),
            stored: AtomicU64::new(collect::random() % collect::TURN),
            options,
        };
        if let Some(error) = cache.trouble() {
            cache.report(Outcome::of(&error).unwrap_or(Outcome::Unreadable), folder, Some(&error));
        }
        for path in &cache.options.layers {
            match Layer::open(path, trusted) {
                Ok(layer) => cache.layers.push(layer),
                Err(error) if error.status() == Status::NoMemory => return Err(error),
                Err(error) => cache.report(Outcome::of(&error).unwrap_or(Outcome::Unreadable), path, Some(&error)),
            }
        }
        Ok(cache)
    }

    /// Returns why the folder can't be used; none if it can. The next search tries to open it again.
    #[must_use]
    pub fn trouble(&self) -> Option<Error> {
        self.tree().err()
    }

    /// Returns the folder, or why it can't be used.
    fn tree(&self) -> Result<Arc<Tree>> {
        fork::lock(&self.folder).as_ref().map(Arc::clone).map_err(Error::duplicate)
    }

    /// Returns the folder after opening it again, if it could not be opened or was deleted.
    fn reopened_tree(&self) -> Result<Arc<Tree>> {
        let current = self.tree();
        if current.as_ref().is_ok_and(|tree| !tree.is_gone()) {
            return current;
        }
        let opened = Tree::open(&self.path, !self.options.read_only, self.engine.trusted_keys().is_empty());
        *fork::lock(&self.folder) = opened.map(Arc::new);
        self.tree()
    }

    /// Returns how often each outcome was the result of a call, or an event, for this handle.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.counters.read()
    }

    /// Finds the code of a key. It fits the host's engine, and is whole as far as it was checked: as [`Artifact::open`] says, and all of
    /// it if the entry was not synced, came from a remote, or [`CacheOptions::verify_always`] is set.
    ///
    /// While the artifact of a key is open in this process, it is shared.
    ///
    /// # Errors
    ///
    /// NO_MEMORY, INTERNAL. A miss is no error.
    pub fn get(&self, key: &Key) -> Result<Lookup> {
        let key = key.digest();
        let (outcome, error) = match self.find(&key, true)? {
            Found::Artifact(artifact) => return Ok(self.hit(artifact, Outcome::Hit)),
            Found::Nothing(outcome, error) => (outcome, error),
        };
        self.find_elsewhere(&key, outcome, error)
    }

    /// Asks the remote, after `outcome` in the folder and the layers, and reports if there is nothing at all.
    fn find_elsewhere(&self, key: &Digest, outcome: Outcome, error: Option<Error>) -> Result<Lookup> {
        let (outcome, error) = match (self.fetch(key)?, outcome) {
            (Found::Artifact(artifact), _) => {
                return Ok(Lookup { artifact: Some(artifact), outcome: Outcome::Fetched, error: None });
            }
            (Found::Nothing(outcome, error), Outcome::Absent) => (outcome, error),
            _ => (outcome, error),
        };
        if let (Outcome::Absent, Some(target)) = (outcome, self.targets.first()) {
            self.report(outcome, &self.path_of(&entry_name(key, target)), None);
        }
        Ok(Lookup { artifact: None, outcome, error })
    }

    /// Stores the code that a builder has, in place of what is stored for the key, and opens it. It is stored for the target whose settings
    /// the builder has, or else for the last one that it fits. The outcome is `Stored`, or `NotStored` if it is in memory only.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the builder has no module or writes no trailer; INCOMPATIBLE, WRONG_PRODUCER or WRONG_VERSION if it fits none of
    /// the targets; as [`Builder::serialize`]; NO_MEMORY.
    pub fn put(&self, key: &Key, builder: &Builder<'_>) -> Result<Lookup> {
        let kept = self.store(&key.digest(), builder, Outcome::Stored)?;
        let outcome = if kept.error.is_some() { Outcome::NotStored } else { Outcome::Stored };
        Ok(Lookup { artifact: Some(kept.artifact), outcome, error: kept.error })
    }

    /// Finds the code of a key, or has it made and stores it. `make` fills a builder with the settings of the first target. Of all threads
    /// and processes that share the folder, one calls `make` for a key at a time, and the others wait for it: for at most
    /// [`CacheOptions::wait`], or until it fails, or its process dies.
    ///
    /// # Errors
    ///
    /// The error of `make`, unchanged; as [`Cache::put`]; INCOMPATIBLE if what was made does not fit the host; INVALID_ARGUMENT if `make`
    /// itself asks for the key that it makes.
    pub fn get_or_make<'m>(&self, key: &Key, make: impl FnOnce(&mut Builder<'m>) -> Result<()>) -> Result<Lookup> {
        let key = key.digest();
        let outcome = match self.find(&key, true)? {
            Found::Artifact(artifact) => return Ok(self.hit(artifact, Outcome::Hit)),
            Found::Nothing(outcome, _) => outcome,
        };
        let target = self.targets.first().ok_or_else(|| Error::new(Status::Internal, "a cache without targets"))?;
        let lock_file = || match self.tree() {
            Ok(tree) if !self.options.read_only => Some(tree.lock_file()),
            _ => None,
        };
        let waited = self.turns.wait(&key, key_byte(&key, &target.fingerprint), self.options.wait, lock_file)?;
        if let Some(error) = &waited.error {
            self.report(Outcome::NotLocked, &self.path_of(&entry_name(&key, target)), Some(error));
        }
        // Others may have made it since it was searched for.
        if let Found::Artifact(artifact) = self.find(&key, false)? {
            return Ok(self.hit(artifact, Outcome::MadeByOther));
        }
        let elsewhere = self.find_elsewhere(&key, outcome, None)?;
        if elsewhere.artifact.is_some() {
            return Ok(elsewhere);
        }
        let mut builder = Builder::new(&target.engine);
        make(&mut builder)?;
        let kept = self.store(&key, &builder, Outcome::Made)?;
        if let Some(error) = kept.misfit {
            return Err(error);
        }
        let outcome = if kept.error.is_some() { Outcome::NotStored } else { Outcome::Made };
        Ok(Lookup { artifact: Some(kept.artifact), outcome, error: kept.error })
    }

    /// Removes what the folder has for a key and the targets. Returns whether there was something. Whoever has it open keeps it.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the cache is read-only; IO.
    pub fn remove(&self, key: &Key) -> Result<bool> {
        let (tree, key) = (self.own_tree()?, key.digest());
        self.shared.forget(&key);
        let mut any = false;
        for name in self.targets.iter().map(|target| entry_name(&key, target)) {
            if tree.remove(&name, None)? {
                any = true;
                self.report(Outcome::Removed, &tree.path(&name), None);
            }
        }
        Ok(any)
    }

    /// Returns the folder if it may be written to.
    fn own_tree(&self) -> Result<Arc<Tree>> {
        if self.options.read_only {
            let message = "expected a cache that may be changed, found that it was opened read-only";
            return Err(Error::new(Status::InvalidArgument, message));
        }
        self.tree()
    }

    fn hit(&self, artifact: Arc<Artifact>, outcome: Outcome) -> Lookup {
        self.counters.add(outcome);
        Lookup { artifact: Some(artifact), outcome, error: None }
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(Tree::ENTRIES).join(name)
    }

    /// Counts an event, and tells the program.
    fn report(&self, outcome: Outcome, path: &Path, error: Option<&Error>) {
        self.counters.add(outcome);
        if let Some(on_event) = &self.options.on_event {
            on_event(&Event { outcome, path, error });
        }
    }
}
