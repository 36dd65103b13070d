//! All code that is loaded in this process, by its addresses. Reading takes no lock and no memory, so that signal handlers can.
//!
//! Readers count themselves in and out. Code is taken out of the table before any of it goes away, and whoever takes it out waits
//! until the readers that may still see it are gone. There are two counters: while a writer waits for one to become zero, new
//! readers use the other, so that it doesn't wait for ever.
//!
//! Changes take no lock either. Slots that are free form a stack, and memory for slots is never given back.

use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Weak};

use super::code::{Loaded, View};
use crate::alloc;
use crate::error::{Error, Result};
use crate::fork;

/// What a slot refers to.
struct Target {
    view: Arc<View>,
    loaded: Weak<Loaded>,
}

/// A place in the table. It is in use while `start` isn't 0.
#[derive(Default)]
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    target: AtomicPtr<Target>,
    /// In a free slot: the index of the next one, plus one.
    next_free: AtomicU32,
}

/// Chunk `k` has `FIRST_CHUNK << k` slots.
const FIRST_CHUNK: usize = 64;
const CHUNKS: usize = 24;

static SLOTS: [AtomicPtr<Slot>; CHUNKS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; CHUNKS];
/// How many slots have ever been in use.
static COUNT: AtomicUsize = AtomicUsize::new(0);
/// The first free slot's index, plus one. The upper half counts changes, so that a slot that has been taken and given back in the
/// meantime is noticed.
static FREE: AtomicU64 = AtomicU64::new(0);
/// Readers at work, in the lower half; the upper half says in which process. A child has none of its parent's, but for the one that the
/// thread which forked may be, in a signal handler.
static READERS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
/// Which of the counters new readers use.
static COUNTER: AtomicUsize = AtomicUsize::new(0);

/// The chunk that a slot is in, and its place there.
fn place(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST_CHUNK + 1).ilog2() as usize;
    (chunk, index - FIRST_CHUNK * ((1 << chunk) - 1))
}

fn slot(index: usize) -> Option<&'static Slot> {
    let (chunk, at) = place(index);
    let slots = SLOTS.get(chunk)?.load(SeqCst);
    // SAFETY: a chunk that is in the table has `FIRST_CHUNK << chunk` slots, more than `at`, and stays for ever.
    (!slots.is_null()).then(|| unsafe { &*slots.add(at) })
}

/// Makes sure that the chunk that a slot is in exists.
fn make_chunk(index: usize) -> Result<()> {
    let (chunk, _) = place(index);
    let full = || Error::no_memory("the table of loaded code");
    let place = SLOTS.get(chunk).ok_or_else(full)?;
    if place.load(SeqCst).is_null() {
        let slots = (0..FIRST_CHUNK << chunk).map(|_| Slot::default());
        let slots = Box::into_raw(alloc::collect(slots, "the table of loaded code")?.into_boxed_slice());
        if place.compare_exchange(std::ptr::null_mut(), slots.cast(), SeqCst, SeqCst).is_err() {
            // SAFETY: from `into_raw`, and another thread's chunk is in the table instead.
            drop(unsafe { Box::from_raw(slots) });
        }
    }
    Ok(())
}

/// A place in the table that is taken, and refers to nothing yet.
pub struct Reservation(usize);

impl Reservation {
    pub fn new() -> Result<Reservation> {
        let mut free = FREE.load(SeqCst);
        while let Some(index) = (free as u32).checked_sub(1) {
            let index = index as usize;
            let Some(slot) = slot(index) else { break };
            let next = (free >> 32).wrapping_add(1) << 32 | u64::from(slot.next_free.load(SeqCst));
            match FREE.compare_exchange(free, next, SeqCst, SeqCst) {
                Ok(_) => return Ok(Reservation(index)),
                Err(now) => free = now,
            }
        }
        loop {
            let index = COUNT.load(SeqCst);
            make_chunk(index)?;
            if COUNT.compare_exchange(index, index + 1, SeqCst, SeqCst).is_ok() {
                return Ok(Reservation(index));
            }
        }
    }

    /// Enters code, which [`find`] finds from now on.
    pub fn publish(self, addresses: Range<usize>, view: Arc<View>, loaded: Weak<Loaded>) -> Entry {
        if let Some(slot) = slot(self.0) {
            slot.target.store(Box::into_raw(Box::new(Target { view, loaded })), SeqCst);
            slot.end.store(addresses.end, SeqCst);
            slot.start.store(addresses.start, SeqCst);
        }
        Entry(self)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let Some(slot) = slot(self.0) else { return };
        let mut free = FREE.load(SeqCst);
        loop {
            slot.next_free.store(free as u32, SeqCst);
            let next = (free >> 32).wrapping_add(1) << 32 | (self.0 as u64 + 1);
            match FREE.compare_exchange(free, next, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(now) => free = now,
            }
        }
    }
}

/// Code in the table. Dropping it takes it out, and returns when no reader sees it any more.
pub struct Entry(Reservation);

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(slot) = slot(self.0.0) else { return };
        slot.start.store(0, SeqCst);
        for (counter, other) in READERS.iter().zip([1, 0]) {
            COUNTER.store(other, SeqCst);
            while readers(counter.load(SeqCst), fork::generation()) != 0 {
                std::thread::yield_now();
            }
        }
        // SAFETY: from `publish`. Readers that came before `start` became 0 are gone: they would have kept one of the counters from
        // being 0. Those that came later have not looked at `target`.
        drop(unsafe { Box::from_raw(slot.target.load(SeqCst)) });
    }
}

/// How many of the readers that are counted here are in a process.
fn readers(count: u64, process: u32) -> u64 {
    if count >> 32 == u64::from(process) { count & u64::from(u32::MAX) } else { 0 }
}

/// A reader at work.
struct Reading {
    counter: &'static AtomicU64,
    process: u32,
}

impl Reading {
    fn new() -> Reading {
        let [first, second] = &READERS;
        let counter = if COUNTER.load(SeqCst) == 0 { first } else { second };
        let process = fork::generation();
        let one_more = |count| Some(u64::from(process) << 32 | (readers(count, process) + 1));
        let _ = counter.fetch_update(SeqCst, SeqCst, one_more); // always has a new value
        Reading { counter, process }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let one_less = |count| (readers(count, self.process) > 0).then(|| count - 1);
        let _ = self.counter.fetch_update(SeqCst, SeqCst, one_less); // unless this is a child by now
    }
}

fn find_target<R>(address: usize, read: impl FnOnce(&Target) -> R) -> Option<R> {
    let _reading = Reading::new();
    let contains = |slot: &&Slot| {
        let start = slot.start.load(SeqCst);
        start != 0 && (start..slot.end.load(SeqCst)).contains(&address)
    };
    let found = (0..COUNT.load(SeqCst)).filter_map(slot).find(contains)?;
    // SAFETY: the slot was in use while this reader was counted, so what it refers to stays until `_reading` is dropped.
    Some(read(unsafe { &*found.target.load(SeqCst) }))
}

/// Reads the code whose addresses contain this one. What `read` does must be short: who frees code waits for it.
pub fn find<R>(address: usize, read: impl FnOnce(&View) -> R) -> Option<R> {
    find_target(address, |target| read(&target.view))
}

/// Keeps the code whose addresses contain this one mapped. `None` if there is no such code, or if it is just being unmapped.
pub fn pin(address: usize) -> Option<Arc<Loaded>> {
    find_target(address, |target| target.loaded.upgrade()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_follow_one_another() {
        let mut expected = (0, 0);
        for index in 0..FIRST_CHUNK * 15 {
            assert_eq!(place(index), expected);
            expected.1 += 1;
            if expected.1 == FIRST_CHUNK << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
    }

    #[test]
    fn slots_are_used_again() {
        let taken: Vec<Reservation> = (0..200).map(|_| Reservation::new().unwrap()).collect();
        let mut indexes: Vec<usize> = taken.iter().map(|reservation| reservation.0).collect();
        indexes.sort_unstable();
        indexes.dedup();
        assert_eq!(indexes.len(), 200, "each place is given once");
        let before = COUNT.load(SeqCst);
        drop(taken);
        let again: Vec<Reservation> = (0..200).map(|_| Reservation::new().unwrap()).collect();
        assert!(COUNT.load(SeqCst) < before + 200, "{} places, {before} before", COUNT.load(SeqCst));
        drop(again);
    }
}
