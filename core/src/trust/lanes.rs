//! BLAKE3 of parts of a tree, with all lanes of the processor's vectors at work.
//!
//! Alone, the crate hashes the end of whatever is no power of two in ever smaller subtrees, down to single chunks. Each of those takes
//! about as long as 16 chunks side by side do, so that 30 KiB take twice as long as their share of a large file. Here, chunks and
//! parents are hashed as many at a time as the processor can; lanes that are left over repeat an input.

use blake3::hazmat::{ContextKey, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use blake3::platform::Platform;
use blake3::{BLOCK_LEN, CHUNK_LEN, Hasher, IncrementCounter};

use crate::alloc;
use crate::error::Result;
use crate::format::trailer::Digest;

/// The most lanes that a processor has.
const LANES: usize = 16;

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
                let parents = self.hash::<BLOCK_LEN>(children.as_chunks().0, None);
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

    /// Hashes inputs side by side, as many as the processor has lanes: chunks, of which the first one has the number `chunk`, or parents.
    fn hash<const N: usize>(&self, inputs: &[[u8; N]], chunk: Option<u64>) -> [Digest; LANES] {
        let mut out = [[0; 32]; LANES];
        let Some(last) = inputs.last() else { return out };
        let mut lanes = [last; LANES];
        for (lane, input) in lanes.iter_mut().zip(inputs) {
            *lane = input;
        }
        let width = if self.platform.simd_degree() == 1 { 1 } else { inputs.len().next_power_of_two() };
        let lanes = lanes.get(..width).unwrap_or_default();
        let (increment, kind, start, end) = match chunk {
            Some(_) => (IncrementCounter::Yes, DERIVE_KEY_MATERIAL, CHUNK_START, CHUNK_END),
            None => (IncrementCounter::No, DERIVE_KEY_MATERIAL | PARENT, 0, 0),
        };
        let counter = chunk.unwrap_or(0);
        self.platform.hash_many(lanes, &self.key, counter, increment, kind, start, end, out.as_flattened_mut());
        out
    }
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
        for (slot, byte) in self.pending.iter_mut().skip(self.pending_len).zip(bytes) {
            *slot = *byte;
        }
        self.pending_len += bytes.len();
    }

    fn push(&mut self, chunks: &[[u8; CHUNK_LEN]]) {
        for group in chunks.chunks(self.lanes.platform.simd_degree()) {
            let found = self.lanes.hash(group, Some(self.chunk));
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
