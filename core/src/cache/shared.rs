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

    /// Shares an artifact from now on.
    pub fn keep(&self, key: &Digest, artifact: &Arc<Artifact>) {
        let mut table = fork::lock(&self.0);
        if table.open.len() >= table.clean_at {
            // So that the list has at most twice as many dead entries as live ones, at a constant cost for each.
            table.open.retain(|_, open| open.artifact.strong_count() > 0);
            table.clean_at = MIN_CLEAN.max(2 * table.open.len());
        }
        table.open.insert(*key, Open { artifact: Arc::downgrade(artifact), since: Instant::now() });
    }

    /// Doesn't share the artifact of a key any more.
    pub fn forget(&self, key: &Digest) {
        fork::lock(&self.0).open.remove(key);
    }
}
