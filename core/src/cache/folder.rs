//! What is done with all entries of the folder at once: putting them into a pack, and removing them.

use std::path::Path;

use super::Cache;
use super::collect::{Aged, Entry, FOLDERS, TEMPORARY_AGE, folder_name, is_ours, name_of};
use super::outcome::Outcome;
use super::pack::{self, PackOptions, Packed};
use super::search::{check_key, now};
use crate::alloc;
use crate::artifact::{Artifact, OpenOptions};
use crate::error::{Error, Result};
use crate::report::Report;
use crate::storage::{Region, Tree, Usage};

impl Cache {
    /// Writes the entries of the folder to a pack, atomically, whatever their target, producer and version. Each is verified before. What
    /// is damaged or, if the engine trusts keys, not signed by one of them, is left out and becomes an event. The folder stays as it is.
    ///
    /// Without signers in the options, [`CacheOptions::signer`](super::CacheOptions::signer) signs the pack if there is one. Returns the number of
    /// entries in the pack, and their size in it.
    ///
    /// # Errors
    ///
    /// IO if the folder can't be read; LIMIT for more entries than a pack may have; NO_MEMORY; as [`pack::write`].
    pub fn export(&self, path: &Path, options: &PackOptions) -> Result<Usage> {
        let tree = &*self.tree()?;
        let mut names = Vec::new();
        self.each(|entry| alloc::push(&mut names, (entry.key, entry.target), "the list of entries"))?;
        alloc::sort(&mut names, "the list of entries", |name| *name)?;
        let mut options = options.clone();
        if options.signers.is_empty() {
            options.signers.extend(self.options.signer.clone());
        }
        let (mut names, mut usage) = (names.into_iter(), Usage::default());
        pack::write(path, &options, &mut || {
            for (key, target) in names.by_ref() {
                let name = name_of(&key, &target);
                match self.read_whole(tree, &name, &key) {
                    Ok((artifact, _)) => {
                        usage.entries += 1;
                        usage.bytes += artifact.len();
                        return Ok(Some(Packed { key, target, artifact }));
                    }
                    Err(error) => match Outcome::of(&error) {
                        None => return Err(error),
                        Some(Outcome::Absent) => {} // removed meanwhile
                        Some(outcome) => self.report(outcome, &tree.path(&name), Some(&error)),
                    },
                }
            }
            Ok(None)
        })?;
        Ok(usage)
    }

    /// Verifies an entry, all of it: its digests, that it belongs to the key in its name and, if the engine trusts keys, that one of them has
    /// signed it. It need not fit the host. The report lists oddities, as that of [`Artifact::verify`].
    ///
    /// # Errors
    ///
    /// CORRUPT for another key's artifact; UNTRUSTED; INVALID_ARGUMENT for anything but a regular file; as [`Artifact::verify`].
    pub fn verify(&self, entry: &Entry) -> Result<Report> {
        let tree = &*self.tree()?;
        self.read_whole(tree, &name_of(&entry.key, &entry.target), &entry.key).map(|(_, report)| report)
    }

    /// Opens and verifies an entry of any target, producer and version. Nothing is mapped: another process may truncate the file.
    fn read_whole(&self, tree: &Tree, name: &str, key: &[u8; 32]) -> Result<(Artifact, Report)> {
        let (file, len, _) = tree.open_file(name)?;
        let options = OpenOptions { read: true, trusted: self.engine.trusted_keys(), ..OpenOptions::default() };
        let artifact = Artifact::from_region(Region::of_file(file, len), None, &options)?;
        check_key(&artifact, key)?;
        if artifact.trailer().is_none() {
            return Err(Error::corrupt("expected an entry with a trailer, found one without"));
        }
        let report = artifact.verify()?;
        Ok((artifact, report))
    }

    /// Removes all entries, and temporary files of processes that have died. The folder stays, with its subfolders and what is not of the
    /// cache, and other processes may go on using it. Returns the number of entries that were removed, and their size.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the cache is read-only; IO for the first entry that can't be removed, after the others were.
    pub fn clear(&self) -> Result<Usage> {
        let tree = &*self.own_tree()?;
        let (mut usage, mut failed, now) = (Usage::default(), None, now());
        for folder in (0..FOLDERS).map(folder_name) {
            tree.list(&folder, &mut |name| Ok(is_ours(&folder, name)), &mut |file| {
                if file.is_temporary {
                    if now.abs_diff(file.used) > TEMPORARY_AGE as u64
                        && let Ok(name) = std::str::from_utf8(file.name)
                    {
                        failed = failed.take().or(tree.remove(&format!("{folder}/{name}"), Some(file.used)).err());
                    }
                    return Ok(());
                }
                let Some(entry) = Aged::new(&folder, &file) else { return Ok(()) };
                match tree.remove(&entry.name(), None) {
                    Ok(true) => {
                        self.shared.forget(&entry.key);
                        usage.entries += 1;
                        usage.bytes = usage.bytes.saturating_add(entry.size);
                        self.report(Outcome::Removed, &tree.path(&entry.name()), None);
                    }
                    Ok(false) => {}
                    Err(error) => failed = failed.take().or(Some(error)),
                }
                Ok(())
            })?;
        }
        failed.map_or(Ok(usage), Err)
    }
}
