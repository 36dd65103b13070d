//! The digests of all modules at once. BLAKE3 is a tree whose branches can be hashed in any order: a large module is hashed in
//! blocks, small ones are taken together, and whoever is free takes the next job.

use std::sync::{Mutex, MutexGuard, PoisonError};

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::digest;
use crate::alloc;
use crate::error::Result;
use crate::format::trailer::Digest;
use crate::threads::with_helpers;

/// From so many bytes on, other threads help. One thread hashes that much in a little over a millisecond, and another one that
/// has to wait for a busy processor begins after two.
const THREADS_FROM: u64 = 4 << 20;

/// Bytes in a block, at least; a power of two.
const BLOCK: u64 = 256 << 10;

/// Blocks of up to 4 GiB, whose digests take half a megabyte; where there is more to hash, blocks are larger.
const MOST_BLOCKS: u64 = 16 << 10;

/// Small modules in one job, at most.
const MOST_TOGETHER: usize = 64;

/// Makes the digests of so many modules, each of which is the bytes that `pieces` gives, and meanwhile does something else with
/// them. Several threads hash if there is enough to hash, else the calling one.
///
/// # Errors
///
/// NO_MEMORY, and what `meanwhile` returns.
pub fn modules<'p>(
    count: usize,
    pieces: &(dyn Fn(usize) -> &'p [&'p [u8]] + Sync),
    meanwhile: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Digest>> {
    let len = |module: usize| -> u64 { pieces(module).iter().map(|piece| piece.len() as u64).sum() };
    let total = (0..count).map(len).sum::<u64>();
    let block = (total / MOST_BLOCKS).next_power_of_two().max(BLOCK);
    let blocks = |module: usize| len(module).div_ceil(block).max(1) as usize;

    let results = (0..count).map(blocks).sum();
    let mut digests = alloc::with_capacity(results, "the digests of all modules")?;
    digests.resize(results, [0; 32]);
    let digests = Mutex::new(digests);
    let next = Mutex::new(Job::default());
    let key = digest::module_key();
    let help = || {
        while let Some((job, after)) = take(&next, count, block, len) {
            let mut made = [[0; 32]; MOST_TOGETHER];
            let made = made.get_mut(..after.result - job.result).unwrap_or_default();
            let mut at = job;
            for digest in made.iter_mut() {
                *digest = hash(key, pieces(at.module), at.block * block, block, len(at.module));
                at = at.after(block, len);
            }
            if let Some(room) = lock(&digests).get_mut(job.result..after.result) {
                room.copy_from_slice(made);
            }
        }
    };
    let mut own = || {
        let done = meanwhile();
        if done.is_err() {
            lock(&next).module = count; // nobody wants the rest
        }
        help();
        done
    };
    if total < THREADS_FROM { own() } else { with_helpers(&help, own) }?;

    // A module's own digest takes the place of those of its blocks.
    let mut digests = digests.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut first = 0;
    for module in 0..count {
        let end = first + blocks(module);
        let whole = join(key, digests.get(first..end).unwrap_or_default());
        if let Some(room) = digests.get_mut(module) {
            *room = whole;
        }
        first = end;
    }
    digests.truncate(count);
    Ok(digests)
}

/// The digests of modules that are in one piece each.
///
/// # Errors
///
/// NO_MEMORY.
pub fn runs(runs: &[&[u8]]) -> Result<Vec<Digest>> {
    modules(runs.len(), &|module| runs.get(module..=module).unwrap_or_default(), &mut || Ok(()))
}

/// What is to be hashed next: from which block of which module on, and the how manieth result that is.
#[derive(Clone, Copy, Default)]
struct Job {
    module: usize,
    block: u64,
    result: usize,
}

impl Job {
    /// The job behind one block.
    fn after(self, block: u64, len: impl Fn(usize) -> u64) -> Job {
        let result = self.result + 1;
        if (self.block + 1) * block < len(self.module) {
            Job { block: self.block + 1, result, ..self }
        } else {
            Job { module: self.module + 1, block: 0, result }
        }
    }
}

/// Takes the next job, and says where it ends: after one block, or small modules of that many bytes.
fn take(next: &Mutex<Job>, count: usize, block: u64, len: impl Fn(usize) -> u64) -> Option<(Job, Job)> {
    let mut next = lock(next);
    let job = *next;
    let mut bytes = 0;
    while next.module < count && bytes < block && next.result - job.result < MOST_TOGETHER {
        bytes += (len(next.module) - next.block * block).min(block);
        *next = next.after(block, &len);
    }
    (next.result > job.result).then_some((job, *next))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The digest of a module that has but one block, or one of a larger one's blocks as [`join`] takes it.
fn hash(key: &ContextKey, pieces: &[&[u8]], start: u64, block: u64, len: u64) -> Digest {
    let mut hasher = Hasher::new_from_context_key(key);
    hasher.set_input_offset(start);
    let end = len.min(start + block);
    let mut at = 0;
    for piece in pieces {
        let within = |offset: u64| offset.saturating_sub(at).min(piece.len() as u64) as usize;
        hasher.update(piece.get(within(start)..within(end)).unwrap_or_default());
        at += piece.len() as u64;
    }
    if len <= block { hasher.finalize().into() } else { hasher.finalize_non_root() }
}

/// A module's digest from those of its blocks.
fn join(key: &ContextKey, blocks: &[Digest]) -> Digest {
    match split(blocks) {
        None => blocks.first().copied().unwrap_or_default(),
        Some((left, right)) => {
            let mode = Mode::DeriveKeyMaterial(key);
            merge_subtrees_root(&branch(left, mode), &branch(right, mode), mode).into()
        }
    }
}

fn branch(blocks: &[Digest], mode: Mode<'_>) -> Digest {
    match split(blocks) {
        None => blocks.first().copied().unwrap_or_default(),
        Some((left, right)) => merge_subtrees_non_root(&branch(left, mode), &branch(right, mode), mode),
    }
}

/// The left branch has the largest power of two that leaves something to the right one.
fn split(blocks: &[Digest]) -> Option<(&[Digest], &[Digest])> {
    (blocks.len() > 1).then(|| blocks.split_at_checked(blocks.len().next_power_of_two() / 2)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    fn in_one(module: &[u8]) -> Digest {
        Hasher::new_from_context_key(digest::module_key()).update(module).finalize().into()
    }

    #[test]
    fn in_blocks_as_in_one() {
        let block = BLOCK as usize;
        let sizes = [
            0,
            17 * block + 1,
            1,
            1024,
            block - 1,
            block,
            block + 1,
            2 * block,
            3 * block + 5,
            4 * block,
            9 * block + 1023,
        ];
        let modules: Vec<Vec<u8>> = sizes.iter().map(|size| bytes(*size)).collect();
        let cuts: Vec<Vec<&[u8]>> = modules.iter().map(|module| module.chunks(100_003).collect()).collect();
        let expected: Vec<_> = modules.iter().map(|module| in_one(module)).collect();
        let mut seen = false;
        let found = super::modules(cuts.len(), &|module| &cuts[module], &mut || {
            seen = true;
            Ok(())
        });
        assert_eq!(found.expect("digests"), expected);
        assert!(seen);
        // Alone, below what threads are for.
        let found = super::modules(1, &|module| &cuts[module], &mut || Ok(()));
        assert_eq!(found.expect("digests"), expected[..1]);
    }

    #[test]
    fn many_small_ones() {
        let modules: Vec<Vec<u8>> = (0..5000).map(|at| bytes(at % 700)).collect();
        let slices: Vec<&[u8]> = modules.iter().map(Vec::as_slice).collect();
        let found = runs(&slices);
        let expected: Vec<_> = slices.iter().map(|module| in_one(module)).collect();
        assert_eq!(found.expect("digests"), expected);
    }

    #[test]
    fn an_error_ends_it() {
        let module = bytes(64 * BLOCK as usize);
        let slices = [module.as_slice()];
        let error = || crate::error::Error::new(crate::error::Status::Io, "the disk");
        let found = super::modules(1, &|_| &slices, &mut || Err(error()));
        assert_eq!(found.expect_err("an error").message(), "the disk");
    }
}
