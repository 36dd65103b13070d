//! Keeping the folder within its limits. There is no thread and no counter on disk: each handle collects when it has stored a sixteenth of
//! the limit, for at most 50 ms. What is left of the work waits in the handle for its next store. The handle begins to count anywhere, so
//! that a process that stores n bytes and ends has collected with probability n / (limit / 16).
//!
//! A collection lists subfolders, beginning with any, and removes the files that were not used for longest. As entries are spread over
//! the subfolders by digest, some subfolders with many entries are a sample of all: they are cut to their share of the limits if there is no
//! time to list the others.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use super::Cache;
use super::key::Hex;
use super::outcome::Outcome;
use super::search::{CLOCK_SLACK, now};
use super::turns::{KEY_BYTES, Pauses};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::fork;
use crate::format::trailer::Digest;
use crate::limits::MAX_COLLECTED;
use crate::storage::{Listed, Tree, Usage, temporary_of};

/// The number of subfolders.
pub(super) const FOLDERS: u32 = 256;
/// How long a store may list files, and how long it may take in all, for a collection.
const LIST_TIME: Duration = Duration::from_millis(25);
const SLICE_TIME: Duration = Duration::from_millis(50);
/// How long a store on a full disk may take to remove files.
const ROOM_TIME: Duration = Duration::from_millis(500);
/// The number of entries that say enough about the others.
const SAMPLE: usize = 4096;
/// After how many other files of a subfolder the time is looked at.
const OTHERS: usize = 256;
/// Age in seconds from which on a temporary file is one that nobody writes any more.
pub(super) const TEMPORARY_AGE: i64 = 60;
/// The part of the limit after which a handle collects.
const PARTS: u64 = 16;
/// That part, in the unit of [`Cache::stored`].
pub(super) const TURN: u64 = 1 << 40;

/// An entry of a cache's folder.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// The digest of its key.
    pub key: [u8; 32],
    /// The first bytes of the fingerprint of the target that it was made for.
    pub target: [u8; 8],
    /// Its size in bytes, in full blocks of 4 KiB.
    pub size: u64,
    /// When it was stored or last used. Uses count up to once an hour.
    pub used: SystemTime,
    /// Its file.
    pub path: PathBuf,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Aged {
    pub key: Digest,
    target: [u8; 8],
    pub size: u64,
    used: i64,
    nanos: u32,
}

impl Aged {
    /// Reads the name of an entry in a subfolder. Returns none for other files.
    pub fn new(folder: &str, file: &Listed<'_>) -> Option<Aged> {
        let (key, target) = parse(folder, file.name)?;
        Some(Aged { key, target, size: file.size, used: file.used, nanos: file.nanos })
    }

    pub fn name(&self) -> String {
        name_of(&self.key, &self.target)
    }
}

/// What decides which entries are removed first.
struct Ages {
    now: i64,
    /// What was last used before this is removed in any case.
    oldest: i64,
    max_bytes: u64,
}

impl Ages {
    /// When an entry was used, for comparisons. What is from the future counts as the oldest, and so does what is larger than the folder
    /// may be, since all others would have to be removed for it.
    fn order(&self, entry: &Aged) -> (i64, u32) {
        let is_sound = entry.used <= self.now.saturating_add(CLOCK_SLACK) && entry.size <= self.max_bytes;
        if is_sound { (entry.used, entry.nanos) } else { (i64::MIN, 0) }
    }
}

/// Reads the name of an entry in a subfolder: its key and its target. Returns none for the names of other files.
fn parse(folder: &str, name: &[u8]) -> Option<(Digest, [u8; 8])> {
    let (key, target) = name.split_at_checked(64)?;
    let found = (unhex(key)?, unhex(target.strip_prefix(b".")?)?);
    key.starts_with(folder.as_bytes()).then_some(found)
}

/// Returns whether a name in a subfolder is one that the cache gives: that of an entry, or of a temporary file for one.
pub(super) fn is_ours(folder: &str, name: &[u8]) -> bool {
    parse(folder, temporary_of(name).unwrap_or(name)).is_some()
}

/// The name of an entry in the folder.
pub(super) fn name_of(key: &Digest, target: &[u8; 8]) -> String {
    format!("{}/{}.{}", Hex(key.get(..1).unwrap_or(&[])), Hex(key), Hex(target))
}

fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

pub(super) fn folder_name(index: u32) -> String {
    format!("{:02x}", index % FOLDERS)
}

/// What a collection has found so far.
#[derive(Debug)]
pub(super) struct Scan {
    first: u32,
    /// How many subfolders are left of all, these included.
    left: u32,
    /// How many subfolders were listed.
    listed: u32,
    /// Sorted by age once there is a goal, the oldest at the end.
    entries: Vec<Aged>,
    usage: Usage,
    /// What is to be left of these entries.
    goal: Option<Usage>,
}

impl Scan {
    fn new(first: u32, left: u32) -> Scan {
        Scan { first, left, listed: 0, entries: Vec::new(), usage: Usage::default(), goal: None }
    }

    fn is_complete(&self) -> bool {
        self.listed >= self.left
    }

    /// Returns the scan of the other subfolders.
    fn rest(&self) -> Option<Scan> {
        (!self.is_complete()).then(|| Scan::new(self.first.wrapping_add(self.listed), self.left - self.listed))
    }

    /// Returns whether no more has to be removed.
    fn is_done(&self, ages: &Ages) -> bool {
        let over_age = self.entries.last().is_some_and(|entry| ages.order(entry).0 < ages.oldest);
        let goal = self.goal.unwrap_or(Usage { bytes: u64::MAX, entries: u64::MAX });
        !over_age && self.usage.bytes <= goal.bytes && self.usage.entries <= goal.entries
    }
}

/// Returns any number.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// When a collection stops.
#[derive(Clone, Copy)]
struct Times {
    list: Option<Instant>,
    all: Option<Instant>,
}

fn is_over(time: Option<Instant>) -> bool {
    time.is_some_and(|time| Instant::now() >= time)
}

impl Cache {
    /// Collects if enough was stored with these `len` bytes, and goes on with a collection that has begun.
    pub(super) fn collect_after(&self, len: u64) {
        let Ok(tree) = &self.tree() else { return };
        let limits = &self.options;
        // The cast is lossless: a number up to TURN.
        let part = |stored: u64, limit: u64| {
            let turn = u128::from(limit / PARTS).max(1);
            (u128::from(stored) * u128::from(TURN) / turn).min(u128::from(TURN)) as u64
        };
        let stored = part(len, limits.max_bytes).max(part(1, limits.max_entries));
        let begun = fork::lock(&self.scan).is_some();
        if self.stored.fetch_add(stored, Relaxed).saturating_add(stored) >= TURN || begun {
            let start = Instant::now();
            let times = Times { list: Some(start + LIST_TIME), all: Some(start + SLICE_TIME) };
            // A collection that fails, or that another process is at, is tried again after the next store.
            if let Ok(Some(_)) = self.collect(tree, times, Duration::ZERO, None) {
                self.stored.store(0, Relaxed);
            }
        }
    }

    /// Removes a fifth of the folder, and at least twice as much as an entry of `len` bytes needs.
    pub(super) fn make_room(&self, tree: &Tree, len: u64) {
        let end = Some(Instant::now() + ROOM_TIME);
        let _ = self.collect(tree, Times { list: end, all: end }, ROOM_TIME, Some(len)); // the next store says what is wrong
    }

    /// Removes what is beyond the limits. Returns how many bytes were removed.
    ///
    /// # Errors
    ///
    /// IO if the folder can't be read; LIMIT if another process collects for longer than [`CacheOptions::wait`](super::CacheOptions::wait);
    /// INVALID_ARGUMENT if the cache is read-only; NO_MEMORY.
    pub fn trim(&self) -> Result<u64> {
        let tree = &*self.own_tree()?;
        *fork::lock(&self.scan) = None;
        let mut freed = 0;
        loop {
            let part = self.collect(tree, Times { list: None, all: None }, self.options.wait, None)?;
            freed += part.ok_or_else(|| {
                let wait = self.options.wait;
                let message = format!("collecting: expected to wait at most {wait:?} for another process, found more");
                Error::new(Status::Limit, message)
            })?;
            if fork::lock(&self.scan).is_none() {
                return Ok(freed);
            }
        }
    }

    /// Lists files and removes the oldest ones until the time is over. Returns how many bytes were removed; none if another process is
    /// collecting.
    fn collect(&self, tree: &Tree, times: Times, wait: Duration, room: Option<u64>) -> Result<Option<u64>> {
        let failed = |error| Error::io("locking the folder", &error);
        let lock = Pauses::new(wait).lock(tree.lock_file().map_err(failed)?, KEY_BYTES).map_err(failed)?;
        if lock.is_none() {
            return Ok(None);
        }
        // What is left of another collection has a goal of its own.
        let begun = fork::lock(&self.scan).take().filter(|_| room.is_none());
        let mut scan = begun.unwrap_or_else(|| Scan::new(random() as u32, FOLDERS));
        while scan.goal.is_none() && !scan.is_complete() {
            self.list(tree, &mut scan, times.list)?;
            if is_over(times.list) || scan.entries.len() >= MAX_COLLECTED {
                break; // after some progress
            }
        }
        if scan.goal.is_none() {
            if !scan.is_complete() && scan.entries.len() < SAMPLE {
                *fork::lock(&self.scan) = Some(scan);
                return Ok(Some(0));
            }
            self.set_goal(&mut scan, room)?;
        }
        let freed = self.remove_oldest(tree, &mut scan, times.all);
        let is_done = scan.is_done(&self.ages()) || scan.entries.is_empty();
        *fork::lock(&self.scan) = if is_done { scan.rest() } else { Some(scan) };
        Ok(Some(freed))
    }

    /// Lists the next subfolder, and removes temporary files that nobody writes any more.
    fn list(&self, tree: &Tree, scan: &mut Scan, until: Option<Instant>) -> Result<()> {
        let folder = folder_name(scan.first.wrapping_add(scan.listed));
        scan.listed += 1;
        let (now, mut others) = (now(), 0_usize);
        // Many of a subfolder's entries are as good a sample.
        let long = || Error::new(Status::Limit, "a long subfolder");
        let mut select = |name: &[u8]| {
            let is_ours = is_ours(&folder, name);
            others += usize::from(!is_ours || temporary_of(name).is_some());
            if others == OTHERS {
                others = 0;
                return if is_over(until) { Err(long()) } else { Ok(is_ours) };
            }
            Ok(is_ours)
        };
        let listed = tree.list(&folder, &mut select, &mut |file| {
            if file.is_temporary {
                if now.abs_diff(file.used) > TEMPORARY_AGE as u64
                    && let Ok(name) = std::str::from_utf8(file.name)
                {
                    let _ = tree.remove(&format!("{folder}/{name}"), Some(file.used));
                }
            } else if let Some(entry) = Aged::new(&folder, &file) {
                alloc::push(&mut scan.entries, entry, "the list of entries")?;
                scan.usage.bytes = scan.usage.bytes.saturating_add(entry.size);
                scan.usage.entries += 1;
                let listed = scan.entries.len();
                if listed >= MAX_COLLECTED || listed.is_multiple_of(SAMPLE) && is_over(until) {
                    return Err(long());
                }
            }
            Ok(())
        });
        match listed {
            Err(error) if error.status() == Status::NoMemory => Err(error),
            _ => Ok(()), // a subfolder that can't be read is left alone
        }
    }

    /// Decides how much of what was listed is to be left.
    fn set_goal(&self, scan: &mut Scan, room: Option<u64>) -> Result<()> {
        let ages = self.ages();
        alloc::sort(&mut scan.entries, "the list of entries", |entry| std::cmp::Reverse(ages.order(entry)))?;
        // The casts are lossless: a part of a u64.
        let part = |limit: u64| (u128::from(limit) * u128::from(scan.listed.min(FOLDERS)) / u128::from(FOLDERS)) as u64;
        let keep = |used: u64, limit: u64| if used > limit { limit / 5 * 4 } else { u64::MAX };
        let Usage { bytes, entries } = scan.usage;
        let mut goal = Usage {
            bytes: keep(bytes, part(self.options.max_bytes)),
            entries: keep(entries, part(self.options.max_entries)),
        };
        if let Some(len) = room {
            goal.bytes = goal.bytes.min(bytes / 5 * 4).min(bytes.saturating_sub(len.saturating_mul(2)));
        }
        scan.goal = Some(goal);
        Ok(())
    }

    fn ages(&self) -> Ages {
        let now = now();
        let age = self.options.max_age.and_then(|age| i64::try_from(age.as_secs()).ok());
        let oldest = age.map_or(i64::MIN, |age| now.saturating_sub(age));
        Ages { now, oldest, max_bytes: self.options.max_bytes }
    }

    /// Removes entries until the goal is reached or the time is over. Returns how many bytes were removed.
    fn remove_oldest(&self, tree: &Tree, scan: &mut Scan, until: Option<Instant>) -> u64 {
        let ages = self.ages();
        let mut freed = 0;
        while !scan.is_done(&ages) {
            let Some(entry) = scan.entries.pop() else { break };
            let name = entry.name();
            // One that was used or stored meanwhile, or can't be removed, stays and still counts.
            if let Ok(true) = tree.remove(&name, Some(entry.used)) {
                freed += entry.size;
                scan.usage.bytes = scan.usage.bytes.saturating_sub(entry.size);
                scan.usage.entries = scan.usage.entries.saturating_sub(1);
                self.report(Outcome::Evicted, &tree.path(&name), None);
            }
            if is_over(until) {
                break; // after some progress
            }
        }
        freed
    }

    /// Passes every entry of the folder to `each`, until that returns an error. The order is any.
    ///
    /// # Errors
    ///
    /// IO if the folder can't be read; the error of `each`.
    pub fn each(&self, mut each: impl FnMut(&Entry) -> Result<()>) -> Result<()> {
        let tree = match self.tree() {
            Err(error) if Outcome::of(&error) == Some(Outcome::Absent) => return Ok(()),
            tree => tree?,
        };
        for folder in (0..FOLDERS).map(folder_name) {
            tree.list(&folder, &mut |name| Ok(is_ours(&folder, name)), &mut |file| {
                let Some(found) = Aged::new(&folder, &file) else { return Ok(()) };
                let Aged { key, target, size, used, .. } = found;
                let distance = Duration::from_secs(used.unsigned_abs());
                let used = match used {
                    0.. => SystemTime::UNIX_EPOCH.checked_add(distance),
                    _ => SystemTime::UNIX_EPOCH.checked_sub(distance),
                };
                let used = used.unwrap_or(SystemTime::UNIX_EPOCH);
                each(&Entry { key, target, size, used, path: tree.path(&found.name()) })
            })?;
        }
        Ok(())
    }

    /// Returns how many entries the folder has, and their size. This lists the folder.
    ///
    /// # Errors
    ///
    /// IO if the folder can't be read.
    pub fn usage(&self) -> Result<Usage> {
        let mut usage = Usage::default();
        self.each(|entry| {
            usage.bytes = usage.bytes.saturating_add(entry.size);
            usage.entries += 1;
            Ok(())
        })?;
        Ok(usage)
    }
}

#[cfg(test)]
mod tests;
