//! The settings that an engine has accepted before, byte for byte. Most openings meet the same settings again, and then one comparison of
//! bytes replaces hashing, decoding and comparing them.
//!
//! Only equality with what was checked in full is asked for here, so nothing that a file says has any influence on another file. What an
//! artifact's own root record says about its settings is checked each time, and signatures are verified before and never remembered.

use std::sync::{Arc, OnceLock};

use crate::fork;
use crate::format::fat::Rows;
use crate::format::tail::Tail;
use crate::format::trailer::Digest;
use crate::limits::{MAX_ACCEPTED, MAX_ACCEPTED_SIZE};

/// Values that are added and never taken away. Cells are filled once, so readers need no lock.
///
/// Turned down: the last few instead of the first. A reader would have to take part in deciding when a value may be freed, for which
/// there is no way without locks or a crate that registers each thread.
#[derive(Debug)]
struct Slots<T>([OnceLock<T>; MAX_ACCEPTED]);

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots([const { OnceLock::new() }; MAX_ACCEPTED])
    }
}

impl<T> Slots<T> {
    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map_while(OnceLock::get)
    }

    /// Adds a value if there is room. If another thread is faster, this one's may be dropped.
    fn add(&self, value: T) {
        if let Some(cell) = self.0.iter().find(|cell| cell.get().is_none()) {
            fork::keep(cell, value);
        }
    }
}

#[derive(Debug)]
struct Settings {
    digest: Digest,
    tail: Arc<Tail>,
}

#[derive(Debug)]
struct Index {
    digest: Digest,
    rows: Arc<Rows>,
    offset: u64,
    /// The variant that was opened. What the engine does not meet is what the rows before it need.
    variant: usize,
}

/// The first few distinct settings that an engine has accepted since its own were last changed, and the first few indexes of files of
/// several targets of which it has opened a variant. What one engine accepts differs in upvars and types at most, which few producers
/// write, and in flags that are off.
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    settings: Slots<Settings>,
    indexes: Slots<Index>,
}

impl Accepted {
    /// Returns the settings that were accepted and have these bytes and this digest.
    pub(crate) fn find(&self, digest: &Digest, bytes: &[u8]) -> Option<Arc<Tail>> {
        let mut all = self.settings.iter();
        let found = all.find(|known| known.digest == *digest && known.tail.bytes() == Some(bytes))?;
        Some(Arc::clone(&found.tail))
    }

    /// Returns whether these very settings, not only equal ones, were accepted.
    pub(crate) fn has(&self, tail: &Arc<Tail>) -> bool {
        self.settings.iter().any(|known| Arc::ptr_eq(&known.tail, tail))
    }

    /// Remembers settings that were accepted and whose digest is right, unless they are large or enough are known.
    pub(crate) fn remember(&self, tail: &Arc<Tail>, digest: &Digest) {
        let small = tail.bytes().is_some_and(|bytes| bytes.len() <= MAX_ACCEPTED_SIZE);
        if small && !self.settings.iter().any(|known| known.digest == *digest) {
            self.settings.add(Settings { digest: *digest, tail: Arc::clone(tail) });
        }
    }

    /// Returns the rows of an index at `offset` that has these bytes and this digest, if a variant was opened, and which one.
    pub(crate) fn find_index(&self, digest: &Digest, offset: u64, bytes: &[u8]) -> Option<(Arc<Rows>, usize)> {
        let found = self.indexes.iter().find(|known| {
            known.digest == *digest && known.offset == offset && known.rows.borrow_owner().as_slice() == bytes
        })?;
        Some((Arc::clone(&found.rows), found.variant))
    }

    /// Remembers that of an index at `offset`, whose digest is right, `variant` was opened because the engine does not meet what the rows
    /// before it need.
    pub(crate) fn remember_index(&self, rows: &Arc<Rows>, digest: &Digest, offset: u64, variant: usize) {
        let small = rows.borrow_owner().len() <= MAX_ACCEPTED_SIZE;
        if small && !self.indexes.iter().any(|known| known.digest == *digest && known.offset == offset) {
            self.indexes.add(Index { digest: *digest, rows: Arc::clone(rows), offset, variant });
        }
    }
}

/// A clone's settings can be changed, so it begins with none.
impl Clone for Accepted {
    fn clone(&self) -> Accepted {
        Accepted::default()
    }
}

/// What was accepted is no setting: engines are equal without it.
impl PartialEq for Accepted {
    fn eq(&self, _: &Accepted) -> bool {
        true
    }
}
