//! Hashes all modules at once, on several threads. BLAKE3 is a tree hash whose subtrees can be hashed in any order: a large
//! module is hashed in blocks, small modules are batched, and each thread takes the next job when it is free. Modules in a file that
//! must not be mapped are read in pieces.

use std::ops::{Range, RangeInclusive};
use std::sync::{Mutex, MutexGuard, PoisonError};

use blake3::hazmat::HasherExt;
use blake3::{CHUNK_LEN, Hasher};

use super::digest;
use super::lanes::{LANES, Lanes, Part};
use crate::alloc;
use crate::error::{Error, Result};
use crate::format::trailer::Digest;
use crate::threads::with_helpers;

/// Minimum number of bytes for which helper threads are started. One thread hashes this many in a little over a millisecond; a
/// helper that has to wait for a busy processor starts after about two.
const PARALLEL_THRESHOLD: u64 = 4 << 20;

/// Minimum block size in bytes; a power of two.
const MIN_BLOCK: u64 = 256 << 10;

/// Maximum number of blocks, whose digests take half a megabyte. Above 4 GiB in all, blocks are larger than [`MIN_BLOCK`].
const MAX_BLOCKS: u64 = 16 << 10;

/// Maximum number of small modules in one job; a multiple of [`LANES`].
const MAX_BATCH: usize = 64;

/// Lengths of blocks that are hashed in lanes. Shorter ones are one chunk. The nodes of longer ones would take memory, and the crate
/// hashes them just as fast.
const LANED: RangeInclusive<u64> = CHUNK_LEN as u64 + 1..=MIN_BLOCK;

/// Number of bytes that a thread reads at a time: what it hashes next is then still in its cache.
const READ_PIECE: u64 = 64 << 10;

/// Hashes `count` modules, each the concatenation of what `pieces` returns for its index. The calling thread runs `meanwhile`
/// first, then joins in; helper threads hash from the start if there are enough bytes.
///
/// # Errors
///
/// NO_MEMORY, and any error of `meanwhile`.
pub fn hash_modules<'p>(
    count: usize,
    pieces: &(dyn Fn(usize) -> &'p [&'p [u8]] + Sync),
    meanwhile: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Digest>> {
    let len = |module: usize| -> u64 { pieces(module).iter().map(|piece| piece.len() as u64).sum() };
    let update = |add: Add<'_>, module: usize, range: Range<u64>| {
        let mut at = 0;
        for piece in pieces(module) {
            let clamp = |offset: u64| offset.saturating_sub(at).min(piece.len() as u64) as usize;
            add(piece.get(clamp(range.start)..clamp(range.end)).unwrap_or_default());
            at += piece.len() as u64;
        }
        Ok(())
    };
    let whole = |module| match pieces(module) {
        [whole] => Some(*whole),
        _ => None,
    };
    hash_blocks(count, &len, &update, &whole, meanwhile)
}

/// Hashes `count` modules of the lengths that `len` returns. `read` fills a piece with the bytes at an offset of a module. Each thread
/// has [`READ_PIECE`] bytes in memory.
///
/// # Errors
///
/// NO_MEMORY, and the first error of `read`.
pub fn hash_read(count: usize, len: &(dyn Fn(usize) -> u64 + Sync), read: Read<'_>) -> Result<Vec<Digest>> {
    let update = |add: Add<'_>, module: usize, range: Range<u64>| {
        let mut buffer = alloc::zeroed((range.end - range.start).min(READ_PIECE) as usize, "a part of a module")?;
        for at in range.clone().step_by(READ_PIECE as usize) {
            let piece = buffer.get_mut(..(range.end - at).min(READ_PIECE) as usize).unwrap_or_default();
            read(module, at, piece)?;
            add(piece);
        }
        Ok(())
    };
    hash_blocks(count, len, &update, &|_| None, &mut || Ok(()))
}

/// Fills a piece with the bytes at an offset of a module.
type Read<'r> = &'r (dyn Fn(usize, u64, &mut [u8]) -> Result<()> + Sync);

/// Passes a range of a module on, in order.
type Update<'u> = &'u (dyn Fn(Add<'_>, usize, Range<u64>) -> Result<()> + Sync);

/// Receives the next bytes of a range.
type Add<'a> = &'a mut dyn FnMut(&[u8]);

/// Returns a module that is one slice.
type Whole<'w, 'p> = &'w (dyn Fn(usize) -> Option<&'p [u8]> + Sync);

fn hash_blocks(
    count: usize,
    len: &(dyn Fn(usize) -> u64 + Sync),
    update: Update<'_>,
    whole: Whole<'_, '_>,
    meanwhile: &mut dyn FnMut() -> Result<()>,
) -> Result<Vec<Digest>> {
    let total = (0..count).map(len).sum::<u64>();
    let block = (total / MAX_BLOCKS).next_power_of_two().max(MIN_BLOCK);
    let blocks = |module: usize| len(module).div_ceil(block).max(1) as usize;

    let results = (0..count).map(blocks).sum();
    let mut digests = alloc::with_capacity(results, "the digests of all modules")?;
    digests.resize(results, [0; 32]);
    let digests = Mutex::new(digests);
    let next = Mutex::new(Job::default());
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let lanes = Lanes::new(digest::module_key());
    let work = || {
        while let Some((job, end)) = next_batch(&next, count, block, len) {
            let mut batch = [[0; 32]; MAX_BATCH];
            let batch = batch.get_mut(..end.result - job.result).unwrap_or_default();
            if let Err(error) = hash_batch(&lanes, update, whole, job, block, len, batch) {
                lock(&failure).get_or_insert(error);
                lock(&next).module = count; // the remaining digests are not needed
                return;
            }
            if let Some(slot) = lock(&digests).get_mut(job.result..end.result) {
                slot.copy_from_slice(batch);
            }
        }
    };
    let mut main_work = || {
        let done = meanwhile();
        if done.is_err() {
            lock(&next).module = count; // the remaining digests are not needed
        }
        work();
        done
    };
    if total < PARALLEL_THRESHOLD { main_work() } else { with_helpers(&work, main_work) }?;

    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }

    // Merge the digests of each module's blocks into the module's digest, in place.
    let mut digests = digests.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut first = 0;
    for module in 0..count {
        let end = first + blocks(module);
        let merged = lanes.merge(digests.get_mut(first..end).unwrap_or_default(), true)?;
        if let Some(slot) = digests.get_mut(module) {
            *slot = merged;
        }
        first = end;
    }
    digests.truncate(count);
    Ok(digests)
}

/// Hashes modules that are one slice each.
///
/// # Errors
///
/// NO_MEMORY.
pub fn hash_each(modules: &[&[u8]]) -> Result<Vec<Digest>> {
    hash_modules(modules.len(), &|module| modules.get(module..=module).unwrap_or_default(), &mut || Ok(()))
}

/// The next unit of work: a block of a module, and the index of its result.
#[derive(Clone, Copy, Default)]
struct Job {
    module: usize,
    block: u64,
    result: usize,
}

impl Job {
    /// Returns the job after this block.
    fn next(self, block: u64, len: impl Fn(usize) -> u64) -> Job {
        let result = self.result + 1;
        if (self.block + 1) * block < len(self.module) {
            Job { block: self.block + 1, result, ..self }
        } else {
            Job { module: self.module + 1, block: 0, result }
        }
    }
}

/// Takes the next job and returns its start and end. It covers one block, or small modules that add up to a block, or to up to four if
/// that fills all lanes.
fn next_batch(next: &Mutex<Job>, count: usize, block: u64, len: impl Fn(usize) -> u64) -> Option<(Job, Job)> {
    let mut next = lock(next);
    let job = *next;
    let mut bytes = 0;
    while next.module < count && next.result - job.result < MAX_BATCH {
        let fills_lanes = !(next.result - job.result).is_multiple_of(LANES) && len(next.module) <= block / 4;
        if bytes >= if fills_lanes { 4 * block } else { block } {
            break;
        }
        bytes += (len(next.module) - next.block * block).min(block);
        *next = next.next(block, &len);
    }
    (next.result > job.result).then_some((job, *next))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hashes the blocks of a job. Small modules go side by side.
fn hash_batch(
    lanes: &Lanes<'_>,
    update: Update<'_>,
    whole: Whole<'_, '_>,
    job: Job,
    block: u64,
    len: &(dyn Fn(usize) -> u64 + Sync),
    digests: &mut [Digest],
) -> Result<()> {
    let mut at = job;
    for group in digests.chunks_mut(LANES) {
        let small = |module| whole(module).filter(|bytes| LANED.contains(&(bytes.len() as u64)));
        let mut trees = [&[][..]; LANES];
        let mut count = 0;
        for (slot, bytes) in trees.iter_mut().zip((at.module..at.module + group.len()).map_while(small)) {
            *slot = bytes;
            count += 1;
        }
        if count == group.len() && count > 1 {
            let found = lanes.trees(trees.get(..count).unwrap_or_default())?;
            for (digest, found) in group.iter_mut().zip(found) {
                *digest = found;
                at = at.next(block, len);
            }
            continue;
        }
        for digest in group {
            *digest = hash_block(lanes, update, at, block, len(at.module))?;
            at = at.next(block, len);
        }
    }
    Ok(())
}

/// Hashes one block: the whole of a module that has only one, or a subtree of a larger module.
fn hash_block(lanes: &Lanes<'_>, update: Update<'_>, job: Job, block: u64, len: u64) -> Result<Digest> {
    let start = job.block * block;
    let range = start..len.min(start + block);
    let (is_root, block_len) = (len <= block, range.end - range.start);
    if LANED.contains(&block_len) {
        let mut part = Part::new(lanes, start, block_len)?;
        update(&mut |bytes| part.update(bytes), job.module, range)?;
        return part.finish(is_root);
    }
    let mut hasher = Hasher::new_from_context_key(digest::module_key());
    hasher.set_input_offset(start);
    update(&mut |bytes| _ = hasher.update(bytes), job.module, range)?;
    Ok(if is_root { hasher.finalize().into() } else { hasher.finalize_non_root() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
    }

    fn hash_whole(module: &[u8]) -> Digest {
        Hasher::new_from_context_key(digest::module_key()).update(module).finalize().into()
    }

    #[test]
    fn hashing_in_blocks_gives_the_plain_digest() {
        let block = MIN_BLOCK as usize;
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
        let expected: Vec<_> = modules.iter().map(|module| hash_whole(module)).collect();
        let mut seen = false;
        let found = super::hash_modules(cuts.len(), &|module| &cuts[module], &mut || {
            seen = true;
            Ok(())
        });
        assert_eq!(found.expect("digests"), expected);
        assert!(seen);
        // A single small module, below the threshold for threads.
        let found = super::hash_modules(1, &|module| &cuts[module], &mut || Ok(()));
        assert_eq!(found.expect("digests"), expected[..1]);
    }

    #[test]
    fn hashing_what_is_read_gives_the_plain_digest() {
        let piece = READ_PIECE as usize;
        let sizes = [0, 1, piece - 1, piece, piece + 1, MIN_BLOCK as usize + 1, 17 * MIN_BLOCK as usize + piece + 5];
        let modules: Vec<Vec<u8>> = sizes.iter().map(|size| bytes(*size)).collect();
        let len = |module: usize| modules[module].len() as u64;
        let found = hash_read(modules.len(), &len, &|module, offset, out| {
            assert!(out.len() <= piece);
            out.copy_from_slice(&modules[module][offset as usize..][..out.len()]);
            Ok(())
        });
        let expected: Vec<_> = modules.iter().map(|module| hash_whole(module)).collect();
        assert_eq!(found.expect("digests"), expected);
        let error = |offset: u64| crate::error::Error::new(crate::error::Status::Truncated, "shorter").at(offset);
        let cut = hash_read(modules.len(), &len, &|module, offset, _| {
            if module == 6 && offset >= 4 * MIN_BLOCK { Err(error(offset)) } else { Ok(()) }
        });
        assert_eq!(cut.expect_err("an error").message(), "shorter");
    }

    #[test]
    fn many_small_modules() {
        let block = MIN_BLOCK as usize;
        let tiny: Vec<usize> = (0..5000).map(|at| at % 700).collect();
        let alike = vec![30_001; 200];
        let mixed: Vec<usize> = (0..300).map(|at| 1025 + at * 7919 % 60_000).collect();
        let beside_large = vec![20_000, 3 * block + 70, 20_000, 40_000, 500, 20_000, block, 20_000, 20_000, 0];
        for sizes in [tiny, alike, mixed, beside_large] {
            let modules: Vec<Vec<u8>> = sizes.into_iter().map(bytes).collect();
            let slices: Vec<&[u8]> = modules.iter().map(Vec::as_slice).collect();
            let found = hash_each(&slices);
            let expected: Vec<_> = slices.iter().map(|module| hash_whole(module)).collect();
            assert_eq!(found.expect("digests"), expected);
        }
    }

    #[test]
    fn an_error_of_meanwhile_is_returned() {
        let module = bytes(64 * MIN_BLOCK as usize);
        let slices = [module.as_slice()];
        let error = || crate::error::Error::new(crate::error::Status::Io, "the disk");
        let found = super::hash_modules(1, &|_| &slices, &mut || Err(error()));
        assert_eq!(found.expect_err("an error").message(), "the disk");
    }
}
