//! The artifacts of a cache that are open in this process. Whoever asks for the key of one shares it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use crate::artifact::Artifact;
use crate::fork;
use crate::format::trailer::Digest;

/// After this time, the file of a shared artifact is looked at again, so that its age is refreshed.
const REFRESH: Duration = Duration::from_secs(60 * 60);
/// The least number of artifacts from which on the list is cleaned.
const MIN_CLEAN: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    open: HashMap<Digest, Open>,
    /// The length at which the list is cleaned next.
    clean_at: usize,
}

#[derive(Debug)]
struct Open {
    artifact: Weak<Artifact>,
    since: Instant,
}

impl Shared {
    /// Returns the artifact of a key if it is open, and whether it is time to look at its file again.
    pub fn get(&self, key: &Digest) -> Option<(Arc<Artifact>, bool)> {
        let mut table = fork::lock(&self.0);
        let open = table.open.get_mut(key)?;
        let artifact = open.artifact.upgrade()?;
        let is_old = open.since.elapsed() >= REFRESH;
        if is_old {
            open.since = Instant::now();
        }
        Some((artifact, is_old))
    }

    /// Shares an artifact from now on, unless another one of its key is open, and returns the one that is shared.
    pub fn share(&self, key: &Digest, artifact: Artifact) -> Arc<Artifact> {
        let artifact = Arc::new(artifact);
        let mut table = fork::lock(&self.0);
        if let Some(open) = table.open.get(key).and_then(|open| open.artifact.upgrade()) {
            return open;
        }
        table.insert(key, &artifact);
        artifact
    }

    /// Shares an artifact from now on, in place of any other one of its key.
    pub fn replace(&self, key: &Digest, artifact: &Arc<Artifact>) {
        fork::lock(&self.0).insert(key, artifact);
    }

    /// Doesn't share the artifact of a key any more.
    pub fn forget(&self, key: &Digest) {
        fork::lock(&self.0).open.remove(key);
    }
}

impl Table {
    fn insert(&mut self, key: &Digest, artifact: &Arc<Artifact>) {
        if self.open.len() >= self.clean_at {
            // So that the list has at most twice as many dead entries as live ones, at a constant cost for each.
            self.open.retain(|_, open| open.artifact.strong_count() > 0);
            self.clean_at = MIN_CLEAN.max(2 * self.open.len());
        }
        self.open.insert(*key, Open { artifact: Arc::downgrade(artifact), since: Instant::now() });
    }
}
