//! BLAKE3 of parts of a tree, with all lanes of the processor's vectors at work.
//!
//! Alone, the crate hashes the end of whatever is no power of two in ever smaller subtrees, down to single chunks. Each of those takes
//! about as long as 16 chunks side by side do, so that 30 KiB take twice as long as their share of a large file. Here, chunks and
//! parents are hashed as many at a time as the processor can, of several trees where that helps; lanes that are left over hash zeros.

use blake3::hazmat::{ContextKey, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use blake3::platform::Platform;
use blake3::{BLOCK_LEN, CHUNK_LEN, Hasher, IncrementCounter};

use crate::alloc;
use crate::error::Result;
use crate::format::trailer::Digest;

/// The most lanes that a processor has.
pub const LANES: usize = 16;

/// Flags of inputs, as BLAKE3's specification defines them.
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 1 << 1;
const PARENT: u8 = 1 << 2;
const DERIVE_KEY_MATERIAL: u8 = 1 << 6;

/// Hashes nodes of the trees of one context.
pub struct Lanes<'k> {
    context: &'k ContextKey,
    key: [u32; 8],
    platform: Platform,
}

impl Lanes<'_> {
    /// Uses the instructions of this processor.
    pub fn new(context: &ContextKey) -> Lanes<'_> {
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(context.as_chunks().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Lanes { context, key, platform: Platform::detect() }
    }

    /// Merges subtrees that lie side by side: all of one size, but for the last one, which may be smaller. The result is the digest of the
    /// whole, or the node of a part of it. `nodes` are overwritten.
    pub fn merge(&self, nodes: &mut [Digest], root: bool) -> Digest {
        let mut level = nodes;
        while level.len() > 2 {
            let pairs = level.len() / 2;
            for at in (0..pairs).step_by(self.platform.simd_degree()) {
                let count = self.platform.simd_degree().min(pairs - at);
                let children = level.get(2 * at..2 * (at + count)).unwrap_or_default().as_flattened();
                let parents = self.hash::<BLOCK_LEN>(children.as_chunks().0.iter(), Inputs::Parents);
                for (node, parent) in level.iter_mut().skip(at).zip(parents).take(count) {
                    *node = parent;
                }
            }
            // An odd one at the end rises as it is.
            if level.len() > 2 * pairs {
                level.swap(pairs, 2 * pairs);
            }
            let above = level.len() - pairs;
            level = level.get_mut(..above).unwrap_or_default();
        }
        let mode = Mode::DeriveKeyMaterial(self.context);
        match level {
            [] => Digest::default(),
            [node] => *node,
            [left, right, ..] if root => merge_subtrees_root(left, right, mode).into(),
            [left, right, ..] => merge_subtrees_non_root(left, right, mode),
        }
    }

    /// Hashes whole trees side by side, at most [`LANES`], each longer than a chunk. What one has more than most of the others is hashed by
    /// itself.
    ///
    /// # Errors
    ///
    /// NO_MEMORY.
    pub fn trees(&self, trees: &[&[u8]]) -> Result<[Digest; LANES]> {
        let parts = trees.iter().map(|tree| Part::new(self, 0, tree.len() as u64));
        let mut parts = alloc::try_collect(parts, "the nodes of hash trees")?;
        for at in 0.. {
            let chunk = |tree: &&'_ [u8]| tree.as_chunks::<CHUNK_LEN>().0.get(at).is_some();
            if trees.iter().filter(|tree| chunk(tree)).count() <= self.platform.simd_degree() / 2 {
                break;
            }
            let chunks = trees.iter().filter_map(|tree| tree.as_chunks().0.get(at));
            let found = self.hash::<CHUNK_LEN>(chunks, Inputs::SameChunk(at as u64));
            let longer = parts.iter_mut().zip(trees).filter(|(_, tree)| chunk(tree));
            for ((part, _), node) in longer.zip(found) {
                part.nodes.push(node);
                part.chunk += 1;
            }
        }
        let mut digests = [[0; 32]; LANES];
        for ((mut part, tree), digest) in parts.into_iter().zip(trees).zip(&mut digests) {
            part.update(tree.get(part.chunk as usize * CHUNK_LEN..).unwrap_or_default());
            *digest = part.finish(true);
        }
        Ok(digests)
    }

    /// Hashes inputs side by side, as many as the processor has lanes.
    fn hash<'i, const N: usize>(&self, inputs: impl Iterator<Item = &'i [u8; N]>, kind: Inputs) -> [Digest; LANES] {
        let mut lanes = [&[0; N]; LANES];
        let mut count = 0_usize;
        for (lane, input) in lanes.iter_mut().zip(inputs) {
            *lane = input;
            count += 1;
        }
        let width = if self.platform.simd_degree() == 1 { count } else { count.next_power_of_two() };
        let lanes = lanes.get(..width).unwrap_or_default();
        let (counter, increment, kind, start, end) = match kind {
            Inputs::Chunks(first) => (first, IncrementCounter::Yes, 0, CHUNK_START, CHUNK_END),
            Inputs::SameChunk(chunk) => (chunk, IncrementCounter::No, 0, CHUNK_START, CHUNK_END),
            Inputs::Parents => (0, IncrementCounter::No, PARENT, 0, 0),
        };
        let mut out = [[0; 32]; LANES];
        let (flags, bytes) = (DERIVE_KEY_MATERIAL | kind, out.as_flattened_mut());
        self.platform.hash_many(lanes, &self.key, counter, increment, flags, start, end, bytes);
        out
    }
}

/// What is hashed side by side.
enum Inputs {
    /// Chunks of one tree, one after another from this one on.
    Chunks(u64),
    /// The chunk with this number of several trees.
    SameChunk(u64),
    Parents,
}

/// Hashes a part of a tree that is longer than a chunk.
pub struct Part<'l> {
    lanes: &'l Lanes<'l>,
    /// The number of the next chunk in the tree.
    chunk: u64,
    nodes: Vec<Digest>,
    /// The bytes of the next chunk, as far as they are known.
    pending: [u8; CHUNK_LEN],
    pending_len: usize,
}

impl<'l> Part<'l> {
    /// Begins at an offset that is a multiple of the largest subtree in the part. `len` is for how many bytes there is memory.
    ///
    /// # Errors
    ///
    /// NO_MEMORY.
    pub fn new(lanes: &'l Lanes<'l>, offset: u64, len: u64) -> Result<Part<'l>> {
        let nodes = alloc::with_capacity(len.div_ceil(CHUNK_LEN as u64) as usize, "the nodes of a hash tree")?;
        let chunk = offset / CHUNK_LEN as u64;
        Ok(Part { lanes, chunk, nodes, pending: [0; CHUNK_LEN], pending_len: 0 })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let (head, bytes) = match self.pending_len {
            0 => (&[][..], bytes),
            len => bytes.split_at_checked(CHUNK_LEN - len).unwrap_or((bytes, &[])),
        };
        self.hold(head);
        if self.pending_len == CHUNK_LEN {
            let whole = self.pending;
            self.pending_len = 0;
            self.push(&[whole]);
        }
        let (chunks, rest) = bytes.as_chunks();
        self.push(chunks);
        self.hold(rest);
    }

    /// Keeps bytes that end before the chunk does.
    fn hold(&mut self, bytes: &[u8]) {
        let end = self.pending_len + bytes.len();
        if let Some(slot) = self.pending.get_mut(self.pending_len..end) {
            slot.copy_from_slice(bytes);
        }
        self.pending_len = end;
    }

    fn push(&mut self, chunks: &[[u8; CHUNK_LEN]]) {
        for group in chunks.chunks(self.lanes.platform.simd_degree()) {
            let found = self.lanes.hash(group.iter(), Inputs::Chunks(self.chunk));
            self.nodes.extend(found.iter().take(group.len()));
            self.chunk += group.len() as u64;
        }
    }

    /// Returns the digest of a tree, or the node of a part of one.
    pub fn finish(mut self, root: bool) -> Digest {
        if let Some(rest @ [_, ..]) = self.pending.get(..self.pending_len) {
            let mut hasher = Hasher::new_from_context_key(self.lanes.context);
            hasher.set_input_offset(self.chunk * CHUNK_LEN as u64).update(rest);
            self.nodes.push(hasher.finalize_non_root());
        }
        self.lanes.merge(&mut self.nodes, root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::digest;

    fn plain(bytes: &[u8]) -> Digest {
        Hasher::new_from_context_key(digest::module_key()).update(bytes).finalize().into()
    }

    fn platforms() -> Vec<Platform> {
        let mut all = vec![Platform::portable(), Platform::detect()];
        #[cfg(target_arch = "x86_64")]
        all.extend([Platform::sse2(), Platform::sse41(), Platform::avx2()].into_iter().flatten());
        all
    }

    /// Lengths around those at which chunks, lanes and levels end.
    fn lengths() -> Vec<usize> {
        let chunks = [1, 2, 3, 4, 5, 7, 8, 9, 14, 15, 16, 17, 30, 31, 32, 33, 63, 200, 255, 256];
        let around = |chunks: usize| [chunks * CHUNK_LEN - 1, chunks * CHUNK_LEN, chunks * CHUNK_LEN + 1];
        let all = chunks.into_iter().flat_map(around);
        all.filter(|len| (CHUNK_LEN + 1..=256 * CHUNK_LEN).contains(len)).collect()
    }

    #[test]
    fn every_length_gives_the_plain_digest_with_every_instruction_set() {
        let bytes: Vec<u8> = (0..256 * CHUNK_LEN).map(|at| (at * 7 + at / 251) as u8).collect();
        for platform in platforms() {
            let lanes = Lanes { platform, ..Lanes::new(digest::module_key()) };
            for len in lengths() {
                let (whole, expected) = (&bytes[..len], plain(&bytes[..len]));
                for piece in [len, 1, 64, 1023, 1025, 40_000] {
                    let mut part = Part::new(&lanes, 0, len as u64).expect("memory");
                    whole.chunks(piece).for_each(|piece| part.update(piece));
                    assert_eq!(part.finish(true), expected, "{len} bytes in pieces of {piece}, {platform:?}");
                }
            }
        }
    }

    #[test]
    fn trees_side_by_side_give_the_plain_digests() {
        let bytes: Vec<u8> = (0..256 * CHUNK_LEN).map(|at| (at * 5 + at / 253) as u8).collect();
        let lengths = lengths();
        for platform in platforms() {
            let lanes = Lanes { platform, ..Lanes::new(digest::module_key()) };
            for count in 1..=LANES {
                for first in (0..lengths.len()).step_by(7) {
                    let lengths = lengths.iter().cycle().skip(first).take(count);
                    let trees: Vec<&[u8]> = lengths.map(|len| &bytes[bytes.len() - len..]).collect();
                    let found = lanes.trees(&trees).expect("memory");
                    let expected: Vec<_> = trees.iter().map(|tree| plain(tree)).collect();
                    assert_eq!(found[..count], expected, "{platform:?}");
                }
                let trees = [&bytes[..30_001]; LANES];
                let found = lanes.trees(&trees[..count]).expect("memory");
                assert_eq!(found[..count], [plain(trees[0]); LANES][..count], "{platform:?}");
            }
        }
    }
}
