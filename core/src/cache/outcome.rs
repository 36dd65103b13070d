//! What happened: the outcome of a call, events, and how often each was.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::artifact::Artifact;
use crate::error::{Error, Status};

/// What happened to an entry. Calls return one of the first two groups; events have any but `Hit`. The numbers are part of the C
/// interface: they never change and are never reused.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The entry was found.
    Hit = 1,
    /// It was made and stored.
    Made = 2,
    /// It was found after waiting for another thread or process that made it.
    MadeByOther = 3,
    /// It was stored.
    Stored = 4,
    /// It is in memory only: it could not be stored.
    NotStored = 5,
    /// It came from the remote.
    Fetched = 6,
    /// There is none.
    Absent = 10,
    /// What was found was made by another producer or version, or for a newer library.
    Stale = 11,
    /// What was found is for another host.
    Incompatible = 12,
    /// What was found is damaged, is another key's, or is no artifact at all.
    Damaged = 13,
    /// What was found is not signed by a trusted key, or lies where others could have put it.
    Untrusted = 14,
    /// It could not be read: a permission, a bad disk, too many open files.
    Unreadable = 15,
    /// A collection removed the entry.
    Evicted = 20,
    /// [`Cache::remove`](super::Cache::remove) removed the entry.
    Removed = 21,
    /// The remote reported a failure.
    RemoteFailed = 22,
    /// Waiting for others that make the same was given up: it took too long, or the folder can't be locked.
    NotLocked = 23,
}

/// How many numbers outcomes can have.
const NUMBERS: usize = 24;

macro_rules! every_outcome {
    ($($outcome:ident $name:literal)*) => {
        impl Outcome {
            /// All outcomes, ordered by number.
            pub const ALL: &'static [Outcome] = &[$(Outcome::$outcome),*];

            /// Returns the outcome in words, such as `not stored`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Outcome::$outcome => $name,)*
                }
            }
        }
    };
}

every_outcome! {
    Hit "hit" Made "made" MadeByOther "made by another" Stored "stored" NotStored "not stored" Fetched "fetched"
    Absent "absent" Stale "stale" Incompatible "incompatible" Damaged "damaged" Untrusted "untrusted" Unreadable "unreadable"
    Evicted "evicted" Removed "removed" RemoteFailed "remote failed" NotLocked "not locked"
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Outcome {
    /// Returns the outcome that an error of opening, checking or verifying an entry is; none for what the program has to know.
    pub(super) fn of(error: &Error) -> Option<Outcome> {
        Some(match error.status() {
            Status::Io => match error.errno() {
                libc::ENOENT | libc::ESTALE => Outcome::Absent,
                // A link, a file or a socket where a folder or an entry belongs.
                libc::ELOOP | libc::ENOTDIR | libc::ENXIO | libc::EISDIR | libc::ENODEV => Outcome::Damaged,
                _ => Outcome::Unreadable,
            },
            Status::WrongProducer | Status::WrongVersion | Status::Unsupported => Outcome::Stale,
            Status::Incompatible => Outcome::Incompatible,
            Status::Untrusted => Outcome::Untrusted,
            Status::NoMemory | Status::Internal => return None,
            _ => Outcome::Damaged,
        })
    }
}

/// What a call found or made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Lookup {
    /// The artifact; none after a miss. It fits the engine, and has been checked as the options say.
    pub artifact: Option<Arc<Artifact>>,
    /// What happened.
    pub outcome: Outcome,
    /// The sentence that belongs to the outcome, if it is a failure.
    pub error: Option<Error>,
}

/// Something that happened, for [`CacheOptions::on_event`](super::CacheOptions::on_event).
#[derive(Debug)]
#[non_exhaustive]
pub struct Event<'e> {
    /// What.
    pub outcome: Outcome,
    /// The file, or the name at the remote.
    pub path: &'e Path,
    /// Why.
    pub error: Option<&'e Error>,
}

/// How often each outcome was, for one handle.
#[derive(Clone, Debug)]
pub struct Stats([u64; NUMBERS]);

impl Stats {
    /// Returns how often an outcome was the result of a call, or an event.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.0.get(outcome as usize).copied().unwrap_or(0)
    }
}

#[derive(Debug, Default)]
pub(super) struct Counters([AtomicU64; NUMBERS]);

impl Counters {
    pub fn add(&self, outcome: Outcome) {
        if let Some(counter) = self.0.get(outcome as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    pub fn read(&self) -> Stats {
        Stats(self.0.each_ref().map(|counter| counter.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn errors_are_outcomes() {
        let io = |errno| Outcome::of(&Error::io("opening", &io::Error::from_raw_os_error(errno)));
        // A file that was replaced on the server of a network file system is one that isn't there.
        assert_eq!((io(libc::ENOENT), io(libc::ESTALE)), (Some(Outcome::Absent), Some(Outcome::Absent)));
        assert_eq!((io(libc::ELOOP), io(libc::ENOTDIR)), (Some(Outcome::Damaged), Some(Outcome::Damaged)));
        for errno in [libc::EACCES, libc::EIO, libc::EMFILE, libc::ENFILE, libc::EPERM] {
            assert_eq!(io(errno), Some(Outcome::Unreadable));
        }
        assert_eq!(io(libc::ENOMEM), None);
        for status in Status::ALL {
            let expected = match status {
                Status::NoMemory | Status::Internal => None,
                Status::WrongProducer | Status::WrongVersion | Status::Unsupported => Some(Outcome::Stale),
                Status::Incompatible => Some(Outcome::Incompatible),
                Status::Untrusted => Some(Outcome::Untrusted),
                Status::Io => Some(Outcome::Unreadable),
                _ => Some(Outcome::Damaged),
            };
            assert_eq!(Outcome::of(&Error::new(*status, "")), expected, "{status:?}");
        }
    }

    #[test]
    fn every_outcome_is_counted() {
        let counters = Counters::default();
        for outcome in Outcome::ALL {
            counters.add(*outcome);
        }
        let stats = counters.read();
        assert!(Outcome::ALL.iter().all(|outcome| stats.count(*outcome) == 1));
        assert!(Outcome::ALL.is_sorted_by_key(|outcome| *outcome as u32));
    }
}
