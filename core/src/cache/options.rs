//! What a program can choose about its cache.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Event;
use crate::builder::Signer;
use crate::engine::Engine;
use crate::error::Result;

/// A store of bytes that machines share, such as a server. It is used by several threads at once.
pub trait Remote: Send + Sync {
    /// Passes what is stored under `name`, 64 hexadecimal digits, to `sink`, in one or more pieces of at most `max_len` bytes in
    /// total, until `sink` returns false. Returns whether there is something.
    ///
    /// # Errors
    ///
    /// Any: it becomes an event.
    fn get(&self, name: &str, max_len: u64, sink: &mut dyn FnMut(&[u8]) -> bool) -> Result<bool>;

    /// Stores bytes under `name`, replacing what is there.
    ///
    /// # Errors
    ///
    /// Any: it becomes an event.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()>;
}

/// A function that receives events, in the thread in which they happen. It must not use the cache: the call that it is told about may hold
/// what another one would wait for.
pub type OnEvent = dyn Fn(&Event<'_>) + Send + Sync;

/// Options for opening a cache.
#[derive(Clone)]
#[non_exhaustive]
pub struct CacheOptions {
    /// Engines to make code for and to look for, in order of preference; of the host engine's producer and version. Empty: the host's
    /// engine alone. Code is made for the first one.
    pub targets: Vec<Engine>,
    /// The size in bytes that the folder should stay below; 1 GiB by default. Each entry counts in full blocks of 4 KiB.
    pub max_bytes: u64,
    /// The number of entries that the folder should stay below.
    pub max_entries: u64,
    /// Entries that were not used for so long are removed by the next collection.
    pub max_age: Option<Duration>,
    /// How long to wait for another thread or process that makes the same; 60 s by default. After waiting for a process in vain, none is
    /// waited for again for as long.
    pub wait: Duration,
    /// Never write anything to the folder.
    pub read_only: bool,
    /// Don't wait until what is stored has reached the disk. Whoever finds such an entry verifies all of its digests.
    pub no_sync: bool,
    /// Verify all digests of whatever is found.
    pub verify_always: bool,
    /// Use what a remote gives although it is not signed by a trusted key: whoever can write to the remote then runs code here.
    pub remote_unsigned: bool,
    /// Signs what is stored.
    pub signer: Option<Signer>,
    /// Folders of other caches, or packs, which are searched after the folder and never written to.
    pub layers: Vec<PathBuf>,
    /// A store that machines share, which is searched last.
    pub remote: Option<Arc<dyn Remote>>,
    /// Is told what happens.
    pub on_event: Option<Arc<OnEvent>>,
}

impl Default for CacheOptions {
    fn default() -> Self {
        CacheOptions {
            targets: Vec::new(),
            max_bytes: 1 << 30,
            max_entries: u64::MAX,
            max_age: None,
            wait: Duration::from_secs(60),
            read_only: false,
            no_sync: false,
            verify_always: false,
            remote_unsigned: false,
            signer: None,
            layers: Vec::new(),
            remote: None,
            on_event: None,
        }
    }
}

impl fmt::Debug for CacheOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CacheOptions { targets, max_bytes, max_entries, max_age, wait, layers, .. } = self;
        let shown = (targets.len(), max_bytes, max_entries, max_age, wait, layers);
        f.debug_tuple("CacheOptions").field(&shown).finish_non_exhaustive()
    }
}
