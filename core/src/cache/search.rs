//! Finding an entry: what is open already, then the folder, then the layers, each under the names of all targets.

use std::path::PathBuf;
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};

use super::Cache;
use super::key::Hex;
use super::outcome::Outcome;
use super::target::Target;
use crate::artifact::{Artifact, OpenOptions};
use crate::error::{Error, Result};
use crate::format::trailer::Digest;
use crate::limits::MAX_CODE;
use crate::storage::{self, Region, Tree};

/// The attribute with the digest of the key that an entry was stored under.
pub const KEY_ATTRIBUTE: &str = "artifact.cache.key";
/// The attribute, without a value, of entries that were stored without waiting for the disk: a power failure can damage them.
pub const UNSYNCED_ATTRIBUTE: &str = "artifact.cache.unsynced";

/// After this time in seconds, a hit refreshes the age of an entry.
const REFRESH: i64 = 60 * 60;
/// By how many seconds clocks may differ.
pub(super) const CLOCK_SLACK: i64 = 60;

/// What a search ended with.
pub(super) enum Found {
    Artifact(Arc<Artifact>),
    /// Nothing, and the first reason other than that there is none.
    Nothing(Outcome, Option<Error>),
}

/// The name of an entry in the folder.
pub(super) fn entry_name(key: &Digest, target: &Target) -> String {
    let (shard, suffix) = (Hex(key.get(..1).unwrap_or(&[])), Hex(target.fingerprint.get(..8).unwrap_or(&[])));
    format!("{shard}/{}.{suffix}", Hex(key))
}

impl Cache {
    /// Searches for an entry on this machine. With `report`, everything unusable that is found becomes an event.
    ///
    /// # Errors
    ///
    /// NO_MEMORY, INTERNAL.
    pub(super) fn find(&self, key: &Digest, report: bool) -> Result<Found> {
        let mut folder = self.folder();
        if let Some((artifact, is_old)) = self.shared.get(key) {
            if let (true, Ok(tree)) = (is_old, &*folder) {
                // Opening refreshes the age. Whatever is wrong with the file, the artifact is fine.
                self.targets.iter().for_each(|target| drop(self.open_entry(tree, &entry_name(key, target))));
            }
            return Ok(Found::Artifact(artifact));
        }
        if let Some(reopened) = self.reopen(&folder)? {
            folder = reopened;
        }
        let mut miss = (Outcome::Absent, None);
        let mut fail = |error: Error, path: &dyn Fn() -> PathBuf| {
            let outcome = Outcome::of(&error);
            if let Some(outcome) = outcome.filter(|outcome| *outcome != Outcome::Absent) {
                if report {
                    self.report(outcome, &path(), Some(&error));
                }
                if miss.0 == Outcome::Absent {
                    miss = (outcome, Some(error));
                }
                return Ok(());
            }
            outcome.map(|_| ()).ok_or(error)
        };
        if let Err(error) = &*folder {
            fail(error.duplicate(), &|| self.path.clone())?;
        }
        for tree in folder.iter().chain(&self.layers) {
            for target in &self.targets {
                let name = entry_name(key, target);
                match self.open_entry(tree, &name).and_then(|found| self.accept(found, key)) {
                    Ok(Some(artifact)) => {
                        return Ok(Found::Artifact(self.shared.share(key, artifact)));
                    }
                    Ok(None) => {}
                    Err(error) => fail(error, &|| tree.path(&name))?,
                }
            }
        }
        let (outcome, error) = miss;
        Ok(Found::Nothing(outcome, error))
    }

    /// Opens an entry of the folder or of a layer, unchecked. Returns none if there is none.
    ///
    /// # Errors
    ///
    /// As [`Tree::open_file`] and [`Artifact::open`].
    pub(super) fn open_entry(&self, tree: &Tree, name: &str) -> Result<Option<Artifact>> {
        let (file, len, used) = match tree.open_file(name) {
            Err(error) if Outcome::of(&error) == Some(Outcome::Absent) => return Ok(None),
            opened => opened?,
        };
        if tree.is_writable() && !(-CLOCK_SLACK..REFRESH).contains(&now().saturating_sub(used)) {
            storage::touch(&file);
        }
        // A mapping of a file that another machine truncates ends the process.
        let options = OpenOptions { copy: tree.is_remote(), copy_limit: MAX_CODE, ..OpenOptions::default() };
        match Artifact::from_region(Region::of_file(file, len), Some(&self.engine), &options) {
            Err(error) if Outcome::of(&error) == Some(Outcome::Absent) => Ok(None),
            opened => opened.map(Some),
        }
    }

    /// Checks that an artifact is the one of a key, fits the host, and is whole, as far as that has to be checked.
    ///
    /// # Errors
    ///
    /// CORRUPT for another key's artifact; as [`Artifact::check`] and [`Artifact::verify`].
    fn accept(&self, found: Option<Artifact>, key: &Digest) -> Result<Option<Artifact>> {
        let Some(artifact) = found else { return Ok(None) };
        check_key(&artifact, key)?;
        artifact.check(&self.engine)?;
        let unsynced = artifact.attributes()?.iter().any(|attribute| attribute.name == UNSYNCED_ATTRIBUTE);
        if unsynced || self.options.verify_always {
            artifact.verify()?;
        }
        Ok(Some(artifact))
    }
}

/// Checks that an artifact was stored under a key.
///
/// # Errors
///
/// CORRUPT for another key's artifact; as [`Artifact::attributes`].
pub(super) fn check_key(artifact: &Artifact, key: &Digest) -> Result<()> {
    let found = artifact.attributes()?.iter().find(|attribute| attribute.name == KEY_ATTRIBUTE);
    match found {
        Some(found) if found.value == key => Ok(()),
        Some(found) => {
            let found = Hex(found.value.get(..key.len()).unwrap_or(found.value));
            Err(Error::corrupt(format!("expected the entry of key {}, found that of key {found}", Hex(key))))
        }
        None => Err(Error::corrupt(format!("expected the entry of key {}, found an artifact without a key", Hex(key)))),
    }
}

/// Returns the time in seconds since 1970.
pub(super) fn now() -> i64 {
    clock_gettime(ClockId::Realtime).tv_sec as i64
}
