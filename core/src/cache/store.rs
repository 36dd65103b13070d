//! Storing an entry.

use std::cell::Cell;
use std::sync::Arc;

use super::Cache;
use super::outcome::Outcome;
use super::search::{KEY_ATTRIBUTE, UNSYNCED_ATTRIBUTE, entry_name, open_options};
use super::target::target_of;
use crate::artifact::Artifact;
use crate::builder::{Addition, Builder, Sync};
use crate::error::{Error, Result, Status};
use crate::format::trailer::Digest;
use crate::storage::{Region, Sink, Tree};

/// What was stored, or is in memory.
pub(super) struct Kept {
    pub artifact: Arc<Artifact>,
    /// Why it could not be stored.
    pub error: Option<Error>,
    /// Why it doesn't fit the host, if it doesn't.
    pub misfit: Option<Error>,
}

fn is_misfit(error: &Error) -> bool {
    matches!(error.status(), Status::Incompatible | Status::WrongProducer | Status::WrongVersion)
}

impl Cache {
    /// Stores what a builder has, or keeps it in memory.
    ///
    /// # Errors
    ///
    /// NO_MEMORY; the builder's own, such as INVALID_ARGUMENT if it has no module; INCOMPATIBLE if it is for none of the targets.
    pub(super) fn store(&self, key: &Digest, builder: &Builder<'_>, stored: Outcome) -> Result<Kept> {
        builder.needs_trailer("cache")?;
        let target = target_of(&self.targets, builder)?;
        let name = entry_name(key, target);
        let written = self.writable_tree().and_then(|tree| {
            let sync = if self.options.no_sync { Sync::No } else { Sync::Yes };
            self.write(&tree, &name, sync, &mut |to| self.write_builder(key, builder, to))
        });
        // The file can fail only now, which is no reason to fail. That the code doesn't fit the host is one for the caller.
        let checked = written.and_then(|artifact| match artifact.check(&self.engine) {
            Err(error) if !is_misfit(&error) => Err(error),
            checked => Ok((artifact, checked.err())),
        });
        let path = self.path_of(&name);
        let (artifact, misfit, error) = match checked {
            Ok((artifact, misfit)) => {
                self.report(stored, &path, None);
                self.collect_after(artifact.len());
                self.upload(key, target, &artifact)?;
                (artifact, misfit, None)
            }
            Err(error) if error.status() == Status::NoMemory => return Err(error),
            Err(error) => {
                // An error of the builder comes up again.
                let attributes: &[(&str, &[u8])] = &[(KEY_ATTRIBUTE, key)];
                let artifact = Artifact::own(builder.serialize_with(&Addition { attributes, signer: None })?)?;
                self.report(Outcome::NotStored, &path, Some(&error));
                let misfit = artifact.check(&self.engine).err();
                (artifact, misfit, Some(error))
            }
        };
        let artifact = Arc::new(artifact);
        if misfit.is_none() {
            self.shared.replace(key, &artifact);
        }
        Ok(Kept { artifact, error, misfit })
    }

    /// Returns the folder if something may be stored in it.
    fn writable_tree(&self) -> Result<Arc<Tree>> {
        let refused = |message| Err(Error::new(Status::InvalidArgument, message));
        if self.options.read_only {
            return refused("expected a folder to store to, found that it was opened read-only");
        }
        if self.options.signer.is_none() && !self.engine.trusted_keys().is_empty() {
            return refused("expected a key to sign with, since the engine trusts only what is signed, found none");
        }
        self.reopened_tree()
    }

    fn write_builder(&self, key: &Digest, builder: &Builder<'_>, to: &mut Sink<'_>) -> Result<()> {
        let attributes: [(&str, &[u8]); 2] = [(KEY_ATTRIBUTE, key), (UNSYNCED_ATTRIBUTE, &[])];
        let attributes = attributes.get(..1 + usize::from(self.options.no_sync)).unwrap_or(&[]);
        let addition = Addition { attributes, signer: self.options.signer.as_ref() };
        builder.with_addition(&addition, &mut |layout| layout.write(to))
    }

    /// Writes an entry, and opens what was written. If the disk is full, old entries are removed for it.
    ///
    /// # Errors
    ///
    /// LIMIT for an entry that is larger than the folder may be; IO; the error of `fill`; as [`Artifact::open`].
    pub(super) fn write(
        &self,
        tree: &Tree,
        name: &str,
        sync: Sync,
        fill: &mut dyn FnMut(&mut Sink<'_>) -> Result<()>,
    ) -> Result<Artifact> {
        let max = self.options.max_bytes;
        let len = Cell::new(0);
        let mut write = || {
            len.set(0);
            tree.replace(name, sync, &mut |to| {
                fill(&mut |pieces| {
                    let sum = len.get() + pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
                    if sum > max {
                        let message =
                            format!("entry: expected at most {max} bytes, as the folder may have, found {sum}");
                        return Err(Error::new(Status::Limit, message));
                    }
                    len.set(sum);
                    to(pieces)
                })
            })
        };
        let written = match write() {
            Err(error) if matches!(error.errno(), libc::ENOSPC | libc::EDQUOT) => {
                self.make_room(tree, len.get());
                write()
            }
            written => written,
        };
        // Not by its name, under which others may have put something else by now.
        let region = Region::of_file(written?, len.get());
        Artifact::from_region(region, Some(&self.engine), &open_options(tree.is_remote()))
    }
}
