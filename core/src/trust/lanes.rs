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

/// What memory is for.
const WHAT: &str = "the nodes of hash trees";

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
    ///
    /// # Errors
    ///
    /// NO_MEMORY.
    pub fn merge(&self, nodes: &mut [Digest], root: bool) -> Result<Digest> {
        let mut tree = [nodes];
        self.climb(&mut tree)?;
        let [top] = tree;
        Ok(self.top(top, root))
    }

    /// Hashes whole trees side by side, at most [`LANES`], each longer than a chunk. What one has more than most of the others is hashed by
    /// itself.
    ///
    /// # Errors
    ///
    /// NO_MEMORY.
    pub fn trees(&self, trees: &[&[u8]]) -> Result<[Digest; LANES]> {
        let mut parts = alloc::try_collect(trees.iter().map(|tree| nodes_for(tree.len() as u64)), WHAT)?;
        for at in 0.. {
            let has_it = |tree: &&[u8]| tree.as_chunks::<CHUNK_LEN>().0.get(at).is_some();
            if trees.iter().filter(|tree| has_it(tree)).count() <= self.platform.simd_degree() / 2 {
                break;
            }
            let chunks = trees.iter().filter_map(|tree| tree.as_chunks().0.get(at));
            let (_, found) = self.hash::<CHUNK_LEN>(chunks, Inputs::SameChunk(at as u64));
            let longer = parts.iter_mut().zip(trees).filter(|(_, tree)| has_it(tree));
            for ((nodes, _), node) in longer.zip(found) {
                nodes.push(node);
            }
        }
        for (nodes, tree) in parts.iter_mut().zip(trees) {
            let mut part = Part::after(self, nodes.len() as u64, std::mem::take(nodes));
            part.update(tree.get(part.nodes.len() * CHUNK_LEN..).unwrap_or_default());
            *nodes = part.leaves();
        }
        let mut levels = alloc::collect(parts.iter_mut().map(Vec::as_mut_slice), WHAT)?;
        self.climb(&mut levels)?;
        let mut digests = [[0; 32]; LANES];
        for (digest, level) in digests.iter_mut().zip(levels) {
            *digest = self.top(level, true);
        }
        Ok(digests)
    }

    /// Merges pairs, level by level, until no tree has more than two nodes.
    fn climb(&self, trees: &mut [&mut [Digest]]) -> Result<()> {
        let mut parents = alloc::with_capacity(trees.iter().map(|tree| tree.len() / 2).sum(), WHAT)?;
        loop {
            parents.clear();
            let high = trees.iter().filter(|tree| tree.len() > 2);
            let mut pairs = high.flat_map(|tree| tree.as_flattened().as_chunks::<BLOCK_LEN>().0);
            loop {
                let (count, found) = self.hash(pairs.by_ref().take(self.platform.simd_degree()), Inputs::Parents);
                if count == 0 {
                    break;
                }
                parents.extend(found.iter().take(count));
            }
            if parents.is_empty() {
                return Ok(());
            }
            let mut found = parents.iter();
            for tree in trees.iter_mut().filter(|tree| tree.len() > 2) {
                let pairs = tree.len() / 2;
                for (node, parent) in tree.iter_mut().take(pairs).zip(&mut found) {
                    *node = *parent;
                }
                // An odd one at the end rises as it is.
                if tree.len() > 2 * pairs {
                    tree.swap(pairs, 2 * pairs);
                }
                let above = tree.len() - pairs;
                *tree = std::mem::take(tree).get_mut(..above).unwrap_or_default();
            }
        }
    }

    /// Merges the last two nodes.
    fn top(&self, level: &[Digest], root: bool) -> Digest {
        let mode = Mode::DeriveKeyMaterial(self.context);
        match level {
            [] => Digest::default(),
            [node] => *node,
            [left, right, ..] if root => merge_subtrees_root(left, right, mode).into(),
            [left, right, ..] => merge_subtrees_non_root(left, right, mode),
        }
    }

    /// Hashes inputs side by side, as many as the processor has lanes. Returns how many there were, and the results.
    fn hash<'i, const N: usize>(
        &self,
        inputs: impl Iterator<Item = &'i [u8; N]>,
        kind: Inputs,
    ) -> (usize, [Digest; LANES]) {
        let mut out = [[0; 32]; LANES];
        let mut lanes = [&[0; N]; LANES];
        let mut count = 0_usize;
        for (input, lane) in inputs.zip(&mut lanes) {
            *lane = input;
            count += 1;
        }
        if count == 0 {
            return (0, out);
        }
        let width = match self.platform.simd_degree() {
            1 => count,
            // On processors with wider vectors, passes over 2 and 4 inputs read up to 48 bytes behind the end of the first: harmless
            // in the crate, whose inputs lie side by side. Ours may be at the end of what is mapped.
            8.. if count > 1 => count.next_power_of_two().max(8),
            _ => count.next_power_of_two(),
        };
        let lanes = lanes.get(..width).unwrap_or_default();
        let (counter, increment, kind, start, end) = match kind {
            Inputs::Chunks(first) => (first, IncrementCounter::Yes, 0, CHUNK_START, CHUNK_END),
            Inputs::SameChunk(chunk) => (chunk, IncrementCounter::No, 0, CHUNK_START, CHUNK_END),
            Inputs::Parents => (0, IncrementCounter::No, PARENT, 0, 0),
        };
        let (flags, bytes) = (DERIVE_KEY_MATERIAL | kind, out.as_flattened_mut());
        self.platform.hash_many(lanes, &self.key, counter, increment, flags, start, end, bytes);
        (count, out)
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
        Ok(Part::after(lanes, offset / CHUNK_LEN as u64, nodes_for(len)?))
    }

    /// Goes on with the chunk of this number, after these nodes.
    fn after(lanes: &'l Lanes<'l>, chunk: u64, nodes: Vec<Digest>) -> Part<'l> {
        Part { lanes, chunk, nodes, pending: [0; CHUNK_LEN], pending_len: 0 }
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
            let (_, found) = self.lanes.hash(group.iter(), Inputs::Chunks(self.chunk));
            self.nodes.extend(found.iter().take(group.len()));
            self.chunk += group.len() as u64;
        }
    }

    /// Returns the nodes of all chunks.
    fn leaves(mut self) -> Vec<Digest> {
        if let Some(rest @ [_, ..]) = self.pending.get(..self.pending_len) {
            let mut hasher = Hasher::new_from_context_key(self.lanes.context);
            hasher.set_input_offset(self.chunk * CHUNK_LEN as u64).update(rest);
            self.nodes.push(hasher.finalize_non_root());
        }
        self.nodes
    }

    /// Returns the digest of a tree, or the node of a part of one.
    ///
    /// # Errors
    ///
    /// NO_MEMORY.
    pub fn finish(self, root: bool) -> Result<Digest> {
        let lanes = self.lanes;
        lanes.merge(&mut self.leaves(), root)
    }
}

/// Returns memory for the nodes of as many bytes.
fn nodes_for(len: u64) -> Result<Vec<Digest>> {
    alloc::with_capacity(len.div_ceil(CHUNK_LEN as u64) as usize, WHAT)
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
                    assert_eq!(
                        part.finish(true).expect("memory"),
                        expected,
                        "{len} bytes in pieces of {piece}, {platform:?}"
                    );
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
