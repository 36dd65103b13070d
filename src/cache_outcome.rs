//! Cache outcome: what a cache found, made or did.

use std::ffi::c_char;

use super::boundary::infallible;
use artifact::cache::Outcome;

/// What came of a call of a cache, or what an event is about. The numbers never change meaning and are never reused. New ones may
/// be added, so a switch needs a default.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum artifact_cache_outcome_t {
    /// There was an entry in the folder or in a layer, and it fits.
    ARTIFACT_CACHE_HIT = 1,
    /// The caller's function made the artifact, and it was stored.
    ARTIFACT_CACHE_MADE = 2,
    /// Another thread or process made the entry while this call waited for it.
    ARTIFACT_CACHE_MADE_BY_OTHER = 3,
    /// The builder's artifact was stored.
    ARTIFACT_CACHE_STORED = 4,
    /// The artifact was made, and can be used, but could not be stored; the event says why.
    ARTIFACT_CACHE_NOT_STORED = 5,
    /// The entry came from the remote, and is now in the folder too.
    ARTIFACT_CACHE_FETCHED = 6,
    /// There is no entry.
    ARTIFACT_CACHE_ABSENT = 10,
    /// The entry is from another producer or another version, or needs a newer library.
    ARTIFACT_CACHE_STALE = 11,
    /// The entry does not fit the host.
    ARTIFACT_CACHE_INCOMPATIBLE = 12,
    /// The entry is damaged, belongs to another key, or is no regular file.
    ARTIFACT_CACHE_DAMAGED = 13,
    /// The engine trusts keys, and none of them has signed the entry; or it trusts none, and others could have put the entry there.
    ARTIFACT_CACHE_UNTRUSTED = 14,
    /// The entry or the folder cannot be read.
    ARTIFACT_CACHE_UNREADABLE = 15,
    /// An entry was deleted, since the folder exceeded its limits. In events only.
    ARTIFACT_CACHE_EVICTED = 20,
    /// An entry was removed by artifact_cache_remove(). In events only.
    ARTIFACT_CACHE_REMOVED = 21,
    /// The remote reported an error. In events only.
    ARTIFACT_CACHE_REMOTE_FAILED = 22,
    /// Another thread or process that makes the same entry took longer than wait_ms of the options, or the folder cannot be locked. In
    /// events only.
    ARTIFACT_CACHE_NOT_LOCKED = 23,
}

impl artifact_cache_outcome_t {
    pub(super) const fn of(outcome: Outcome) -> artifact_cache_outcome_t {
        match outcome {
            Outcome::Hit => artifact_cache_outcome_t::ARTIFACT_CACHE_HIT,
            Outcome::Made => artifact_cache_outcome_t::ARTIFACT_CACHE_MADE,
            Outcome::MadeByOther => artifact_cache_outcome_t::ARTIFACT_CACHE_MADE_BY_OTHER,
            Outcome::Stored => artifact_cache_outcome_t::ARTIFACT_CACHE_STORED,
            Outcome::NotStored => artifact_cache_outcome_t::ARTIFACT_CACHE_NOT_STORED,
            Outcome::Fetched => artifact_cache_outcome_t::ARTIFACT_CACHE_FETCHED,
            Outcome::Absent => artifact_cache_outcome_t::ARTIFACT_CACHE_ABSENT,
            Outcome::Stale => artifact_cache_outcome_t::ARTIFACT_CACHE_STALE,
            Outcome::Incompatible => artifact_cache_outcome_t::ARTIFACT_CACHE_INCOMPATIBLE,
            Outcome::Damaged => artifact_cache_outcome_t::ARTIFACT_CACHE_DAMAGED,
            Outcome::Untrusted => artifact_cache_outcome_t::ARTIFACT_CACHE_UNTRUSTED,
            Outcome::Unreadable => artifact_cache_outcome_t::ARTIFACT_CACHE_UNREADABLE,
            Outcome::Evicted => artifact_cache_outcome_t::ARTIFACT_CACHE_EVICTED,
            Outcome::Removed => artifact_cache_outcome_t::ARTIFACT_CACHE_REMOVED,
            Outcome::RemoteFailed => artifact_cache_outcome_t::ARTIFACT_CACHE_REMOTE_FAILED,
            Outcome::NotLocked => artifact_cache_outcome_t::ARTIFACT_CACHE_NOT_LOCKED,
            _ => panic!("an outcome that has no number in C"),
        }
    }
}

// Doesn't compile while an outcome of the core is missing above or has another number there.
const _: () = {
    let mut all = Outcome::ALL;
    while let [outcome, rest @ ..] = all {
        assert!(artifact_cache_outcome_t::of(*outcome) as u32 == *outcome as u32);
        all = rest;
    }
};

/// Returns the name of an outcome.
///
/// @param outcome An artifact_cache_outcome_t.
/// @return Static text, never to be freed, such as "ARTIFACT_CACHE_HIT"; "unknown outcome" if no outcome has this number.
#[unsafe(no_mangle)]
pub extern "C" fn artifact_cache_outcome_name(outcome: u32) -> *const c_char {
    infallible(c"unknown outcome".as_ptr(), || {
        let name = match outcome {
            1 => c"ARTIFACT_CACHE_HIT",
            2 => c"ARTIFACT_CACHE_MADE",
            3 => c"ARTIFACT_CACHE_MADE_BY_OTHER",
            4 => c"ARTIFACT_CACHE_STORED",
            5 => c"ARTIFACT_CACHE_NOT_STORED",
            6 => c"ARTIFACT_CACHE_FETCHED",
            10 => c"ARTIFACT_CACHE_ABSENT",
            11 => c"ARTIFACT_CACHE_STALE",
            12 => c"ARTIFACT_CACHE_INCOMPATIBLE",
            13 => c"ARTIFACT_CACHE_DAMAGED",
            14 => c"ARTIFACT_CACHE_UNTRUSTED",
            15 => c"ARTIFACT_CACHE_UNREADABLE",
            20 => c"ARTIFACT_CACHE_EVICTED",
            21 => c"ARTIFACT_CACHE_REMOVED",
            22 => c"ARTIFACT_CACHE_REMOTE_FAILED",
            23 => c"ARTIFACT_CACHE_NOT_LOCKED",
            _ => c"unknown outcome",
        };
        name.as_ptr()
    })
}
