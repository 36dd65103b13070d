//! Builds files of several targets out of whole artifacts, whose bytes are copied.

use std::cmp::Reverse;
use std::path::Path;
use std::sync::Arc;

use zerocopy::IntoBytes;

use super::Builder;
use super::signing::Signing;
use crate::alloc;
use crate::artifact::{Artifact, OpenOptions, check_all_digests};
use crate::compat;
use crate::engine::Engine;
use crate::error::{Error, Result, Status, quote};
use crate::format::align_up;
use crate::format::fat::{NewRow, VARIANT_ALIGN, encode_index, encode_texts, index_footer};
use crate::format::trailer::{ALIGN, Digest};
use crate::limits::MAX_VARIANTS;
use crate::storage::{Region, Sink, Sync, replace_with};
use crate::trust::digest;
use crate::trust::keys::{IndexRecord, PrivateKey, PublicKey};

/// Number of bytes copied at a time.
const COPY_CHUNK: u64 = 1 << 20;

/// Builds a file of several targets. Each variant is a whole artifact with a trailer; all have the same producer and version. A file of
/// one variant is that artifact, byte for byte.
#[derive(Debug, Default)]
pub struct FatBuilder {
    /// In the order of adding.
    variants: Vec<Entry>,
    signing: Signing,
}

#[derive(Debug)]
struct Entry {
    artifact: Arc<Artifact>,
    score: i32,
    /// The texts of the row.
    texts: Vec<u8>,
    /// An engine that supports exactly what the variant needs.
    engine: Engine,
}

/// An index that is about to be written.
struct Layout<'b> {
    /// The variants in the order of the index.
    order: Vec<&'b Entry>,
    index: Vec<u8>,
    index_offset: u64,
    digest: Digest,
}

impl FatBuilder {
    /// Creates a builder without variants.
    #[must_use]
    pub fn new() -> FatBuilder {
        FatBuilder::default()
    }

    /// Creates a builder with all variants of an existing file, their scores and their order of adding. Signatures of its index are kept
    /// if they are still valid when the file is written.
    ///
    /// # Errors
    ///
    /// As [`FatBuilder::add`] and [`Artifact::open_variant`].
    pub fn from_artifact(artifact: &Arc<Artifact>) -> Result<FatBuilder> {
        let mut builder = FatBuilder::new();
        let count = artifact.variant_count();
        let mut order = alloc::try_collect((0..count).map(|at| Ok((artifact.variant(at)?.added, at))), "the variants")?;
        alloc::sort(&mut order, "the variants", |(added, _)| *added)?;
        let options = OpenOptions { read: artifact.is_private(), ..OpenOptions::default() };
        for (_, at) in order {
            let score = artifact.variant(at)?.score;
            let variant = match at == artifact.variant_chosen() {
                true => Arc::clone(artifact),
                false => Arc::new(artifact.open_variant(at, &options)?),
            };
            builder.add(variant, score)?;
        }
        builder.signing.inherit(artifact.index_signatures().copied());
        Ok(builder)
    }

    /// Adds an artifact as a variant, and returns its index in the order of adding. Of a file of several targets, only the opened variant
    /// is added. An engine tries a variant before those that need less; among others, that of the higher score first, then the one that
    /// was added first.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if it has no trailer, was made by another producer or version than the others, needs the same as one of them, or
    /// has a target or an ISA flag with a NUL, or a flag with a `=`; LIMIT for more than 256 variants, or 1024 needs of one; WRONG_VERSION if its Metadata has
    /// an unknown layout; NO_MEMORY.
    pub fn add(&mut self, artifact: Arc<Artifact>, score: i32) -> Result<usize> {
        let at = self.variants.len();
        let refused = |why: String| Err(Error::new(Status::InvalidArgument, format!("variant {at}: {why}")));
        if at >= MAX_VARIANTS {
            let message = format!("variants: expected at most {MAX_VARIANTS}, found one more");
            return Err(Error::new(Status::Limit, message));
        }
        if artifact.trailer().is_none() {
            return refused("expected an artifact with a trailer, found one without".to_owned());
        }
        if let Some(first) = self.variants.first().map(|entry| &entry.artifact)
            && (first.producer(), first.version()) != (artifact.producer(), artifact.version())
        {
            let named = |of: &Artifact| format!("'{}' version '{}'", of.producer(), quote(of.version()));
            return refused(format!("expected producer {}, found {}", named(first), named(&artifact)));
        }
        let metadata = artifact.metadata()?;
        let flags = metadata.isa_flags.sorted();
        let texts = encode_texts(metadata.target, flags).map_err(|error| error.within(format_args!("variant {at}")))?;
        let engine = Engine::of_code(artifact.producer(), metadata.target, flags);
        let entry = Entry { score, texts, engine, artifact };
        if let Some(same) = self.variants.iter().position(|other| entry.covers(other) && other.covers(&entry)) {
            return refused(format!("expected needs that no other variant has, found those of variant {same}"));
        }
        alloc::push(&mut self.variants, entry, "the variants")?;
        Ok(at)
    }

    /// Adds the artifact that a builder would write. It is kept in memory.
    ///
    /// # Errors
    ///
    /// As [`FatBuilder::add`] and [`Builder::serialize`].
    pub fn add_builder(&mut self, builder: &Builder<'_>, score: i32) -> Result<usize> {
        self.add(
            Arc::new(Artifact::from_region(Region::owned(builder.serialize()?), None, &OpenOptions::default())?),
            score,
        )
    }

    /// Returns the number of variants.
    #[must_use]
    pub fn variant_count(&self) -> usize {
        self.variants.len()
    }

    /// Removes the variant with this index in the order of adding. Those after it move up.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such variant.
    pub fn remove(&mut self, index: usize) -> Result<()> {
        if index >= self.variants.len() {
            let message = format!("expected a variant below {}, found {index}", self.variants.len());
            return Err(Error::new(Status::NotFound, message));
        }
        self.variants.remove(index);
        Ok(())
    }

    /// Adds a key, which signs the index of each file that is written from now on. The variants keep their own signatures.
    ///
    /// # Errors
    ///
    /// LIMIT for more keys than a file may have signatures.
    pub fn add_key(&mut self, key: &Arc<PrivateKey>) -> Result<()> {
        self.signing.add_key(key)
    }

    /// Returns the digest of the index in its current state, for signing elsewhere: the message is `INDEX_CONTEXT` and these 32 bytes.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for fewer than two variants, which need no index; as [`FatBuilder::serialize`].
    pub fn index_digest(&self) -> Result<Digest> {
        if self.variants.len() < 2 {
            let message = format!("index: expected at least two variants, found {}", self.variants.len());
            return Err(Error::new(Status::InvalidArgument, message));
        }
        Ok(self.layout()?.digest)
    }

    /// Adds a signature over [`FatBuilder::index_digest`] that was made elsewhere.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the signature is not one of `key` over the current index; LIMIT for too many signatures; as
    /// [`FatBuilder::index_digest`].
    pub fn add_signature(&mut self, key: &PublicKey, bytes: &[u8; 64]) -> Result<()> {
        let digest = self.index_digest()?;
        self.signing.add_signature(key, bytes, &IndexRecord(digest))
    }

    /// Removes all keys, and all signatures of the index. The variants keep theirs.
    pub fn clear_signatures(&mut self) {
        self.signing = Signing::default();
    }

    /// Returns how many signatures of the existing file's index no longer match and will not be written.
    ///
    /// # Errors
    ///
    /// As [`FatBuilder::serialize`].
    pub fn void_signatures(&self) -> Result<usize> {
        if self.variants.len() < 2 {
            return Ok(self.signing.inherited_count());
        }
        Ok(self.signing.void(&IndexRecord(self.layout()?.digest)))
    }

    /// Serializes the file into memory.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT without variants, if keys sign a file of one, which has no index, or if an added signature does not match the
    /// index; DIGEST_MISMATCH or CORRUPT if a variant is damaged; LIMIT, NO_MEMORY, IO.
    pub fn serialize(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.write(&mut |pieces| {
            // Room for one more byte, so that the C interface can append a NUL without copying.
            let len = pieces.iter().map(|piece| piece.len()).sum::<usize>() + 1;
            bytes.try_reserve(len).map_err(|_| Error::no_memory("the whole file"))?;
            pieces.iter().for_each(|piece| bytes.extend_from_slice(piece));
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Serializes the file and passes it to `write`, piece by piece in order.
    ///
    /// # Errors
    ///
    /// As [`FatBuilder::serialize`], and the first error of `write`, which is not called again then.
    pub fn serialize_to(&self, mut write: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        self.write(&mut |pieces| pieces.iter().try_for_each(|piece| write(piece)))
    }

    /// Serializes to a file, which atomically replaces `path`.
    ///
    /// # Errors
    ///
    /// As [`FatBuilder::serialize`] and [`Builder::serialize_to_file`].
    pub fn serialize_to_file(&self, path: &Path, sync: Sync) -> Result<()> {
        replace_with(path, sync, &mut |write| self.write(write))
    }

    fn write(&self, to: &mut Sink<'_>) -> Result<()> {
        // Do not vouch for a damaged variant.
        self.variants.iter().try_for_each(|entry| check_all_digests(&entry.artifact))?;
        if let [only] = self.variants.as_slice() {
            if self.signing.is_requested() {
                let message = "key: expected at least two variants for an index that is signed, found one";
                return Err(Error::new(Status::InvalidArgument, message));
            }
            return copy(&only.artifact, to);
        }
        let layout = self.layout()?;
        let zeros = alloc::zeroed(VARIANT_ALIGN as usize, "padding")?;
        let mut position = 0;
        let pad = |end: u64, align: u64, to: &mut Sink<'_>| {
            let padding = align_up(end, align).map_or(0, |next| next - end);
            to(&[zeros.get(..padding as usize).unwrap_or(&[])])?; // shorter than the alignment
            Ok::<u64, Error>(end + padding)
        };
        for entry in layout.order.iter().rev() {
            position = pad(position, VARIANT_ALIGN, to)? + entry.artifact.len();
            copy(&entry.artifact, to)?;
        }
        pad(position, ALIGN, to)?;
        let signatures = self.signing.signatures(&IndexRecord(layout.digest), None)?;
        let footer = index_footer(
            layout.index_offset,
            layout.index.len() as u64,
            signatures.len() as u32, // at most MAX_SIGNATURES
            digest::index_signatures(&signatures),
            layout.digest,
        )?;
        to(&[&layout.index, signatures.as_bytes(), footer.as_bytes()])
    }

    fn layout(&self) -> Result<Layout<'_>> {
        if self.variants.is_empty() {
            return Err(Error::new(Status::InvalidArgument, "variants: expected at least one, found none"));
        }
        let order = self.order();
        if order.len() != self.variants.len() {
            return Err(Error::new(Status::Internal, "variants that need more than each other"));
        }
        let rows: Vec<NewRow<'_>> = order.iter().filter_map(|(added, entry)| entry.row(*added)).collect();
        let (index, index_offset) = encode_index(&rows)?;
        let digest = digest::index(&index);
        Ok(Layout { order: order.into_iter().map(|(_, entry)| entry).collect(), index, index_offset, digest })
    }

    /// Returns the variants in the order of the index, with their numbers in the order of adding.
    fn order(&self) -> Vec<(u32, &Entry)> {
        // For each variant, those that need more.
        let above: Vec<Vec<usize>> = self.variants.iter().map(|entry| self.above(entry)).collect();
        let is_least = |at: usize| !above.iter().any(|above| above.contains(&at));
        let least = self.variants.iter().enumerate().filter(|(at, _)| is_least(*at));
        let portable = least.min_by_key(|(_, entry)| entry.engine.need_count()).map(|(at, _)| at);
        let mut placed = vec![false; self.variants.len()];
        let mut order = Vec::new();
        while order.len() < placed.len() {
            let is_next = |at: usize| {
                let needs_less =
                    above.get(at).is_some_and(|above| above.iter().any(|at| placed.get(*at) == Some(&false)));
                let comes_last = Some(at) == portable && order.len() + 1 < placed.len();
                placed.get(at) == Some(&false) && !needs_less && !comes_last
            };
            let candidates = self.variants.iter().enumerate().filter(|(at, _)| is_next(*at));
            // There is one: needing more is a partial order.
            let Some((at, entry)) = candidates.min_by_key(|(at, entry)| (Reverse(entry.score), *at)) else { break };
            placed.iter_mut().skip(at).take(1).for_each(|placed| *placed = true);
            order.push((at as u32, entry)); // below MAX_VARIANTS
        }
        order
    }

    /// Returns the variants that need everything that this one needs, and more.
    fn above(&self, entry: &Entry) -> Vec<usize> {
        let others = self.variants.iter().enumerate().filter(|(_, other)| !std::ptr::eq(*other, entry));
        others.filter(|(_, other)| other.covers(entry)).map(|(at, _)| at).collect()
    }
}

impl Entry {
    /// Returns whether every host that fits this variant also fits the other one, as far as the index tells.
    fn covers(&self, other: &Entry) -> bool {
        other.artifact.metadata().is_ok_and(|metadata| compat::meets_needs(&self.engine, metadata))
    }

    fn row(&self, added: u32) -> Option<NewRow<'_>> {
        let checksum = self.artifact.trailer()?.checksum;
        Some(NewRow { len: self.artifact.len(), checksum, added, score: self.score, texts: &self.texts })
    }
}

/// Copies an artifact's bytes as they are.
fn copy(artifact: &Artifact, to: &mut Sink<'_>) -> Result<()> {
    let len = artifact.len();
    let mut buffer = alloc::zeroed(len.min(COPY_CHUNK) as usize, "a copy of a variant")?;
    let mut offset = 0;
    while offset < len {
        let chunk = buffer.get_mut(..(len - offset).min(COPY_CHUNK) as usize).unwrap_or_default();
        artifact.region().read_at(offset, chunk).map_err(|error| error.shifted(artifact.region().base()))?;
        to(&[chunk])?;
        offset += chunk.len() as u64;
    }
    Ok(())
}
