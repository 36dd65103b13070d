//! Entries that other machines have made, in a store that they share.

use std::path::Path;
use std::sync::Arc;

use super::Cache;
use super::key::Hex;
use super::outcome::Outcome;
use super::search::{Found, check_key, entry_name};
use super::target::Target;
use crate::alloc;
use crate::artifact::{Artifact, OpenOptions};
use crate::builder::Sync;
use crate::error::{Error, Result, Status};
use crate::format::trailer::Digest;
use crate::limits::MAX_REMOTE_ENTRY;
use crate::storage::Region;
use crate::trust::digest::remote_name;

impl Cache {
    /// The size in bytes of the largest entry that is exchanged with the remote.
    fn max_remote_len(&self) -> u64 {
        self.options.max_bytes.min(MAX_REMOTE_ENTRY)
    }

    /// Asks the remote for an entry. What it gives is checked before it is stored or used: size, signature, key, settings, digests, in this
    /// order. What is refused is the reason why nothing is found.
    ///
    /// # Errors
    ///
    /// NO_MEMORY, INTERNAL.
    pub(super) fn fetch(&self, key: &Digest) -> Result<Found> {
        let mut miss = (Outcome::Absent, None);
        for target in &self.targets {
            let name = Hex(&remote_name(key, &target.fingerprint)).to_string();
            let bytes = match self.receive(&name) {
                Ok(None) => continue,
                Ok(Some(bytes)) => bytes,
                Err(error) if error.status() == Status::NoMemory => return Err(error),
                Err(error) => {
                    self.report(Outcome::RemoteFailed, Path::new(&name), Some(&error));
                    break; // it would for the next target, too
                }
            };
            match self.checked(bytes, key) {
                Ok(artifact) => return self.keep_fetched(key, target, artifact).map(Found::Artifact),
                Err(error) => {
                    let Some(outcome) = Outcome::of(&error) else { return Err(error) };
                    self.report(outcome, Path::new(&name), Some(&error));
                    if miss.0 == Outcome::Absent {
                        miss = (outcome, Some(error));
                    }
                }
            }
        }
        Ok(Found::Nothing(miss.0, miss.1))
    }

    /// Receives what the remote has under a name.
    fn receive(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(remote) = &self.options.remote else { return Ok(None) };
        let max = self.max_remote_len();
        let mut bytes = Vec::new();
        let mut failure = None;
        let found = remote.get(name, max, &mut |piece| {
            let added = if (bytes.len() + piece.len()) as u64 > max {
                Err(Error::new(Status::Limit, format!("remote: expected at most {max} bytes, found more")))
            } else {
                alloc::extend(&mut bytes, piece, "an entry of the remote")
            };
            failure = failure.take().or(added.err());
            failure.is_none()
        });
        match failure {
            Some(error) => Err(error),
            None => Ok(found?.then_some(bytes)),
        }
    }

    fn checked(&self, bytes: Vec<u8>, key: &Digest) -> Result<Artifact> {
        let artifact = Artifact::from_region(Region::owned(bytes), Some(&self.engine), &OpenOptions::default())?;
        check_key(&artifact, key)?;
        artifact.check(&self.engine)?;
        artifact.verify()?;
        Ok(artifact)
    }

    /// Stores an entry of the remote in the folder, and shares it.
    fn keep_fetched(&self, key: &Digest, target: &Target, artifact: Artifact) -> Result<Arc<Artifact>> {
        let name = entry_name(key, target);
        let mut kept = artifact;
        let stored = match &self.tree() {
            Err(error) => Err(error.duplicate()),
            Ok(tree) if !self.options.read_only => {
                let bytes = kept.bytes()?;
                // It may not be marked as one that is verified each time, so it is synced.
                self.write(tree, &name, Sync::Yes, &mut |to| to(&[bytes])).map(Some)
            }
            Ok(_) => Ok(None),
        };
        self.report(Outcome::Fetched, &self.path_of(&name), None);
        match stored {
            Err(error) if error.status() == Status::NoMemory => return Err(error),
            Err(error) => self.report(Outcome::NotStored, &self.path_of(&name), Some(&error)),
            Ok(Some(stored)) => {
                kept = stored;
                self.collect_after(kept.len());
            }
            Ok(None) => {}
        }
        Ok(self.shared.share(key, kept))
    }

    /// Gives the remote an entry that was just stored.
    ///
    /// # Errors
    ///
    /// NO_MEMORY.
    pub(super) fn upload(&self, key: &Digest, target: &Target, artifact: &Artifact) -> Result<()> {
        let Some(remote) = &self.options.remote else { return Ok(()) };
        let name = Hex(&remote_name(key, &target.fingerprint)).to_string();
        let max = self.max_remote_len();
        let sent = if artifact.len() > max {
            Err(Error::new(Status::Limit, format!("remote: expected at most {max} bytes, found {}", artifact.len())))
        } else {
            artifact
                .region()
                .stable(0, artifact.len(), "an entry for the remote")
                .and_then(|bytes| remote.put(&name, &bytes))
        };
        match sent {
            Err(error) if error.status() == Status::NoMemory => Err(error),
            Err(error) => {
                self.report(Outcome::RemoteFailed, Path::new(&name), Some(&error));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
