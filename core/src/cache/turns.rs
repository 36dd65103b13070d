//! Whose turn it is to make an entry: one thread of all processes that share the folder. Threads of this process wait for each other by
//! a table, and for other processes by locked bytes of a file in the folder.
//!
//! Waiting is asking again, after 0.1 to 10 ms. Rejected: a condition variable, which a forked child could not use, and waiting in the
//! kernel for the lock, which has no time limit.

use std::collections::HashMap;
use std::io;
use std::sync::Mutex;
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use crate::error::{Error, Result, Status};
use crate::fork;
use crate::format::trailer::Digest;
use crate::storage::{Lock, LockFile};

const FIRST_PAUSE: Duration = Duration::from_micros(100);
const MAX_PAUSE: Duration = Duration::from_millis(10);

/// The number of bytes that stand for keys. The byte after them is the collector's.
pub(super) const KEY_BYTES: u64 = 1 << 30;

/// Returns the byte that is locked while an entry is made: one for each key and target, up to chance.
pub(super) fn key_byte(key: &Digest, target: &Digest) -> u64 {
    let start = |digest: &Digest| digest.first_chunk().map_or(0, |start| u32::from_le_bytes(*start));
    u64::from(start(key) ^ start(target)) % KEY_BYTES
}

#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// The process that these threads are of: see `fork::generation`.
    generation: u32,
    making: HashMap<Digest, ThreadId>,
    /// When a thread last gave up waiting for another process.
    in_vain: Option<Instant>,
}

/// The right to make an entry.
#[derive(Debug)]
pub(super) struct Turn<'t> {
    turns: &'t Turns,
    key: Digest,
    generation: u32,
    lock: Option<Lock>,
}

/// What waiting for a turn ended with.
#[derive(Debug)]
pub(super) struct Waited<'t> {
    /// The turn, which ends when this is dropped; none if another thread of this process still has it.
    pub _turn: Option<Turn<'t>>,
    /// Why somebody else might be making the same.
    pub error: Option<Error>,
}

impl Turns {
    fn table(&self) -> fork::Locked<'_, Table> {
        let mut table = fork::lock(&self.0);
        if table.generation != fork::generation() {
            // The threads are the parent's.
            *table = Table { generation: fork::generation(), ..Table::default() };
        }
        table
    }

    fn enter(&self, key: &Digest) -> Result<Option<Turn<'_>>> {
        let mut table = self.table();
        let this = thread::current().id();
        match table.making.get(key) {
            None => {
                table.making.insert(*key, this);
                Ok(Some(Turn { turns: self, key: *key, generation: table.generation, lock: None }))
            }
            Some(maker) if *maker == this => {
                let message = "make: expected not to ask for the key that it makes, found that it does";
                Err(Error::new(Status::InvalidArgument, message))
            }
            Some(_) => Ok(None),
        }
    }

    /// Waits for the turn to make what `key` stands for, for at most `limit`. `open` opens the file in which other processes lock
    /// `byte`, if there are any. After waiting for one of them in vain, nobody waits for others as long again: somebody who can write to
    /// the folder may have locked all of the file, which is to cost one wait and not one for each key.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if this very thread has the turn.
    pub fn wait(
        &self,
        key: &Digest,
        byte: u64,
        limit: Duration,
        open: impl FnOnce() -> Option<io::Result<LockFile>>,
    ) -> Result<Waited<'_>> {
        let late = || {
            let message = format!("waiting for another that makes the same: expected at most {limit:?}, found more");
            Some(Error::new(Status::Limit, message))
        };
        let unlockable = |error| Some(Error::io("locking the folder", &error));
        let mut pauses = Pauses::new(limit);
        let mut turn = loop {
            if let Some(turn) = self.enter(key)? {
                break turn;
            }
            if !pauses.pause() {
                return Ok(Waited { _turn: None, error: late() });
            }
        };
        let error = match open() {
            None => None,
            Some(Err(error)) => unlockable(error),
            Some(Ok(file)) => {
                let in_vain = self.table().in_vain.is_some_and(|since| since.elapsed() < limit);
                if in_vain {
                    pauses = Pauses::new(Duration::ZERO);
                }
                match pauses.lock(file, byte) {
                    Err(error) => unlockable(error),
                    Ok(None) if in_vain => {
                        let message = format!(
                            "locking the folder: expected nobody else, found another process again, less than {limit:?} after one was waited for in vain"
                        );
                        Some(Error::new(Status::Limit, message))
                    }
                    Ok(None) => {
                        self.table().in_vain = Some(Instant::now());
                        late()
                    }
                    Ok(lock) => {
                        turn.lock = lock;
                        None
                    }
                }
            }
        };
        Ok(Waited { _turn: Some(turn), error })
    }
}

/// Pauses of growing length, up to a limit in total.
pub(super) struct Pauses {
    started: Instant,
    limit: Duration,
    next: Duration,
}

impl Pauses {
    pub fn new(limit: Duration) -> Pauses {
        Pauses { started: Instant::now(), limit, next: FIRST_PAUSE }
    }

    /// Locks a byte of a file. Returns none if the time is over.
    ///
    /// # Errors
    ///
    /// As [`LockFile::try_lock`].
    pub fn lock(&mut self, mut file: LockFile, byte: u64) -> io::Result<Option<Lock>> {
        loop {
            file = match file.try_lock(byte)? {
                Ok(lock) => return Ok(Some(lock)),
                Err(file) => file,
            };
            if !self.pause() {
                return Ok(None);
            }
        }
    }

    /// Waits, and returns false if the time is over.
    fn pause(&mut self) -> bool {
        let left = self.limit.saturating_sub(self.started.elapsed());
        thread::sleep(self.next.min(left));
        self.next = (2 * self.next).min(MAX_PAUSE);
        !left.is_zero()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.lock = None; // first, so that the next thread finds it unlocked
        if self.generation == fork::generation() {
            self.turns.table().making.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_at_a_time() {
        let turns = Turns::default();
        let (key, other) = ([1; 32], [2; 32]);
        let wait = |key: &Digest, limit: u64| turns.wait(key, 0, Duration::from_millis(limit), || None);
        let turn = wait(&key, 0).unwrap();
        assert!(turn._turn.is_some() && turn.error.is_none());
        assert_eq!(wait(&key, 0).unwrap_err().status(), Status::InvalidArgument);
        assert!(wait(&other, 0).unwrap()._turn.is_some());
        thread::scope(|scope| {
            let late = scope.spawn(|| wait(&key, 20).unwrap()).join().unwrap();
            assert!(late._turn.is_none() && late.error.unwrap().message().contains("20ms"));
            let waiting = scope.spawn(|| wait(&key, 60_000).unwrap()._turn.is_some());
            thread::sleep(Duration::from_millis(20));
            drop(turn);
            assert!(waiting.join().unwrap());
        });
    }
}
