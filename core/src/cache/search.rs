//! Finding an entry: what is open already, then the folder, then the layers, each under the names of all targets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};

use super::Cache;
use super::key::Hex;
use super::outcome::Outcome;
use super::pack::Pack;
use super::target::Target;
use crate::artifact::{Artifact, OpenOptions, Part};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::format::trailer::Digest;
use crate::limits::MAX_CODE;
use crate::storage::{self, Region, Tree, quote_path};
use crate::trust::keys::PublicKey;

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
        if let Some((artifact, is_old)) = self.shared.get(key) {
            if let (true, Ok(tree)) = (is_old, &self.tree()) {
                // Opening refreshes the age. Whatever is wrong with the file, the artifact is fine.
                self.targets.iter().for_each(|target| drop(self.open_entry(tree, &entry_name(key, target))));
            }
            return Ok(Found::Artifact(artifact));
        }
        let folder = self.tree().or_else(|_| self.reopened_tree());
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
        if let Err(error) = &folder {
            fail(error.duplicate(), &|| self.path.clone())?;
        }
        let own = folder.iter().map(|tree| Place::Folder(tree));
        for place in own.chain(self.layers.iter().map(Layer::place)) {
            for target in &self.targets {
                let opened = match place {
                    Place::Folder(tree) => self.open_entry(tree, &entry_name(key, target)),
                    Place::Pack(pack) => pack.open_entry(key, target, &self.engine),
                };
                match opened.and_then(|found| self.accept(found, key)) {
                    Ok(Some(artifact)) => {
                        return Ok(Found::Artifact(self.shared.share(key, artifact)));
                    }
                    Ok(None) => {}
                    Err(error) => fail(error, &|| match place {
                        Place::Folder(tree) => tree.path(&entry_name(key, target)),
                        Place::Pack(pack) => pack.path.clone(),
                    })?,
                }
            }
        }
        let _ = self.reopened_tree(); // for the next search, if the folder was deleted
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
        let options = open_options(tree.is_remote());
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

/// Returns how entries are opened: copied where a mapping could end the process, as on a network file system, whose files other machines
/// truncate.
pub(super) fn open_options(is_remote: bool) -> OpenOptions<'static> {
    OpenOptions { copy: is_remote, copy_limit: MAX_CODE, ..OpenOptions::default() }
}

/// Where entries are searched.
#[derive(Clone, Copy)]
enum Place<'p> {
    Folder(&'p Tree),
    Pack(&'p PackFile),
}

/// Where entries are searched after the folder, and never written to.
#[derive(Debug)]
pub(super) enum Layer {
    Folder(Tree),
    Pack(Box<PackFile>),
}

#[derive(Debug)]
pub(super) struct PackFile {
    path: PathBuf,
    pack: Pack,
    is_remote: bool,
}

impl Layer {
    /// Opens a folder of a cache, or a pack.
    ///
    /// # Errors
    ///
    /// As [`Tree::open`] and [`Pack::open`]; UNTRUSTED for a pack that others than root and this user can write to or replace, unless keys
    /// are trusted.
    pub fn open(path: &Path, trusted: &[PublicKey]) -> Result<Layer> {
        match Tree::open(path, false, trusted.is_empty()) {
            Err(error) if error.errno() == libc::ENOTDIR => {}
            opened => return opened.map(Layer::Folder),
        }
        let region = Region::open(path, Part::default())?;
        let mut is_remote = false;
        if let Some((file, _)) = region.file() {
            is_remote = storage::is_remote(file);
            if trusted.is_empty() {
                storage::check_private(file, path)?;
            }
        }
        let pack = Pack::from_region(region, trusted).map_err(|error| error.within(quote_path(path)))?;
        Ok(Layer::Pack(Box::new(PackFile { path: path.to_owned(), pack, is_remote })))
    }

    fn place(&self) -> Place<'_> {
        match self {
            Layer::Folder(tree) => Place::Folder(tree),
            Layer::Pack(pack) => Place::Pack(pack),
        }
    }
}

impl PackFile {
    fn open_entry(&self, key: &Digest, target: &Target, engine: &Engine) -> Result<Option<Artifact>> {
        let Some(target) = target.fingerprint.first_chunk() else { return Ok(None) };
        let Some(row) = self.pack.find(key, target)? else { return Ok(None) };
        self.pack.artifact(&row, Some(engine), &open_options(self.is_remote)).map(Some)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::{Builder, Sync};

    #[test]
    fn on_a_network_file_system_entries_are_copied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entry");
        let mut elf = vec![0; 100_000];
        elf.splice(..20, *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0");
        // Version, offset of the section headers, size of the header and of theirs, their number, the index of the one with their names, and
        // of that the type, offset and size.
        [(20, 1), (40, 64), (52, 64), (58, 64), (60, 2), (62, 1), (132, 3), (152, 255), (160, 1)]
            .into_iter()
            .for_each(|(at, value)| elf[at] = value);
        for (is_remote, survives) in [(true, true), (false, false)] {
            let mut builder = Builder::new(&Engine::new());
            builder.add_module(&elf).unwrap();
            builder.serialize_to_file(&path, Sync::No).unwrap();
            let artifact = Artifact::open(&path, None, &open_options(is_remote)).unwrap();
            // Another machine truncates it.
            std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
            assert_eq!(artifact.bytes().is_ok(), survives);
        }
        assert!(!storage::is_remote(std::os::fd::AsFd::as_fd(&std::fs::File::open("/proc").unwrap())));
    }
}
