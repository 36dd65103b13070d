//! Opening an artifact: what is read and checked, in which order.
//!
//! With a trailer: footer and root record, signature, digest of the tail, producer, version, Metadata. The module table is read
//! when a module is first requested. Without a trailer: links, producer, version, Metadata. If keys are trusted, the detached
//! signature is checked before the producer, which takes reading every byte.

use std::sync::{Arc, OnceLock};

use zerocopy::FromBytes;

use super::modules::implied_root;
use super::table::Table;
use super::trust::{Detached, Voucher, signer, unsigned_error};
use super::{Artifact, OpenOptions, fat, header_offset};
use crate::alloc;
use crate::compat;
use crate::cwasm;
use crate::engine::{Engine, library_version};
use crate::error::{Error, Result, Status};
use crate::format::align_up;
use crate::format::body::{Header, LINK_SIZE, TERMINATOR, follow_links};
use crate::format::metadata::Metadata;
use crate::format::pack;
use crate::format::tail::{Decoded, Tail};
use crate::format::trailer::{
    ALIGN, Digest, FOOTER_SIZE, Footer, Layout, MODULE_ENTRY_SIZE, ROOT_SIZE, Root, SIGNATURE_SIZE, SIGNED, Signature,
    TRAILER_MAGIC,
};
use crate::limits::{MAX_METADATA, MAX_MODULES};
use crate::storage::{Held, Region, Window};
use crate::trust::digest;
use crate::trust::keys::PublicKey;

/// Maximum size of the tail without Metadata: terminator, HEADER and version.
const TAIL_OVERHEAD: u64 = LINK_SIZE + Header::MAX_SIZE;

/// A trailer whose root record, signatures and footer match their checksum.
#[derive(Debug)]
#[non_exhaustive]
pub struct Trailer {
    /// The root record.
    pub root: Root,
    /// The offsets of the trailer's parts.
    pub(crate) layout: Layout,
    /// The signatures in the trailer.
    pub signatures: Vec<Signature>,
    /// The bytes of the module table if they were read along with the rest. Not checked yet.
    pub(crate) table: Option<Vec<u8>>,
    /// The footer's checksum, which the index of a file of several targets has too.
    pub(crate) checksum: Digest,
}

impl Trailer {
    /// Finds and checks the trailer of an artifact of `len` bytes. Returns none if there is no trailer.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH, TRUNCATED or CORRUPT if the trailer is damaged; UNSUPPORTED for another trailer format; LIMIT; IO; NO_MEMORY.
    pub(crate) fn find(window: &Window<'_>, len: u64) -> Result<Option<Trailer>> {
        let Some(footer) = Footer::find(window.bytes(), len, &SIGNED)? else { return Ok(None) };
        let offset = footer.root_offset.get();
        let signatures = u64::from(footer.signatures.get()) * SIGNATURE_SIZE;
        let bytes = window.read(offset, ROOT_SIZE + signatures, "the root record")?;
        let truncated = || Error::corrupt("trailer: root record is truncated").at(offset);
        let (root, signed) = Root::read_from_prefix(&bytes).map_err(|_| truncated())?;
        let signed = <[Signature]>::ref_from_bytes(signed).map_err(|_| truncated())?;
        if digest::footer(&root, signed, &footer) != footer.checksum {
            return Err(digest_mismatch("footer and root record", offset));
        }
        if footer.reserved != [0; 4] {
            let message = "trailer: expected zeros in the footer's reserved field, found nonzero bytes";
            return Err(Error::corrupt(message).at(len - FOOTER_SIZE));
        }
        let layout = root.check(offset)?;
        if root.modules.get() > MAX_MODULES as u64 {
            let message = format!("number of modules: expected at most {MAX_MODULES}, found {}", root.modules);
            return Err(Error::new(Status::Limit, message).at(offset));
        }
        let signatures = alloc::copy(signed, "the signatures")?;
        let table = window.get(layout.table, root.modules.get() as usize * MODULE_ENTRY_SIZE as usize); // at most MAX_MODULES
        let table = table.map(|bytes| alloc::copy(bytes, "the module table")).transpose()?;
        Ok(Some(Trailer { root, layout, signatures, table, checksum: footer.checksum }))
    }
}

/// Creates the error for bytes that do not match their digest.
#[cold]
pub fn digest_mismatch(what: &str, offset: u64) -> Error {
    let message = format!("{what}: expected the bytes that were written, found other bytes (digest mismatch)");
    Error::new(Status::DigestMismatch, message).at(offset)
}

/// What the index of a file of several targets says about the variant that is opened.
pub(super) struct Vouched<'v> {
    /// The checksum in the footer of its trailer.
    pub checksum: &'v Digest,
    /// The trusted key whose signature over the index was verified.
    pub signer: Option<&'v PublicKey>,
}

/// Opens the artifact in a region, or a variant of it if there are several.
pub(super) fn open(mut region: Region, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
    let trusting = !trusted_keys(engine, options).is_empty();
    if !trusting && !options.signature.is_empty() {
        let message = "detached signature: expected a trusted key to check it with, found none";
        return Err(Error::new(Status::InvalidArgument, message));
    }
    if options.require_best && (engine.is_none() || options.variant.is_some()) {
        let message = "best variant: expected an engine that chooses it, found none, or a choice of the caller";
        return Err(Error::new(Status::InvalidArgument, message));
    }
    let mut private = options.is_private(&region, trusting);
    let mut buffer = Window::BUFFER;
    let window = Window::new(&region, &mut buffer)?;
    let mut held = window.held();
    if let Some(found) = fat::Found::find(&window, region.len(), engine)? {
        if options.voucher.is_some() {
            return Err(Error::corrupt("pack: expected an artifact, found a file of several targets"));
        }
        return fat::open(region, found, engine, options, &mut buffer, held);
    }
    if let Some(index) = options.variant.filter(|index| *index > 0) {
        return Err(fat::no_variant(1, index));
    }
    if options.copy {
        require_signature(&window, region.len(), engine, options)?;
        region = region.snapshot(options.copy_limit)?;
        (private, held) = (options.is_private(&region, trusting), Held::default());
    }
    open_one(region, private, &mut buffer, held, engine, options, None)
}

/// Opens the artifact in a region that holds one. `buffer` holds some of its bytes.
pub(super) fn open_one(
    region: Region,
    private: bool,
    buffer: &mut [u8],
    held: Held,
    engine: Option<&Engine>,
    options: &OpenOptions<'_>,
    vouched: Option<&Vouched<'_>>,
) -> Result<Artifact> {
    // A variant's signatures and detached ones are not asked for: those over the index are.
    let trusted = if vouched.is_some() { Vec::new() } else { trusted_keys(engine, options) };
    let mut detached = if vouched.is_some() { Detached::default() } else { Detached::new(options.signature)? };
    let mut window = Window::resume(&region, buffer, held)?;
    let limit = options.memory_limit.min(MAX_METADATA);
    let trailer = Trailer::find(&window, region.len())?;
    if trailer.is_none() && window.bytes().ends_with(&pack::SIGNED.magic) {
        let message = "expected an artifact, found a pack of artifacts, each of which can be opened";
        return Err(Error::new(Status::NotAnArtifact, message));
    }
    options.voucher.map_or(Ok(()), |voucher| voucher.check(trailer.as_ref()))?;
    let packed_by = vouched_by(options.voucher, &trusted);
    let (tail, header_offset, modules, table, signer) = match (&trailer, vouched) {
        (None, Some(_)) => {
            let message = "expected an artifact with a trailer, as the index says, found none";
            return Err(Error::corrupt(message).at(region.len()));
        }
        (Some(trailer), Some(vouched)) if trailer.checksum != *vouched.checksum => {
            return Err(digest_mismatch("footer and root record", trailer.layout.root));
        }
        (Some(Trailer { root, signatures, .. }), _) => {
            let signer = match (vouched, packed_by) {
                (Some(vouched), _) => vouched.signer.cloned(),
                (None, Some(key)) => Some(key.clone()),
                (None, None) => signer(&trusted, root, signatures, &detached)?,
            };
            let tail = read_sealed_tail(&window, root, engine, limit)?;
            let modules = root.modules.get() as usize; // at most MAX_MODULES
            (tail, root.header_offset.get(), modules, None, signer)
        }
        (None, None) if trusted.is_empty() => {
            let ranges = follow_links(&mut window, region.len()).map_err(|error| cwasm::refusal(&region, error))?;
            let (header_offset, modules) = (header_offset(&ranges), ranges.len());
            let tail = read_unsealed_tail(&window, region.len(), header_offset, modules as u64, engine, limit)?;
            (Arc::new(tail), header_offset, modules, Some(Table::new(ranges, Vec::new(), private)?), None)
        }
        (None, None) if detached.is_empty() => return Err(unsigned_error()),
        (None, None) => {
            let ranges = follow_links(&mut window, region.len());
            let ranges = ranges.map_err(|error| as_untrusted(cwasm::refusal(&region, error)))?;
            let (header_offset, modules) = (header_offset(&ranges), ranges.len());
            if region.len() - header_offset > limit + Header::MAX_SIZE {
                // Checked before every byte is read: in a sparse file, most of them may not exist.
                return Err(too_large(limit, header_offset));
            }
            let (root, entries) = implied_root(&region, &ranges, header_offset).map_err(as_untrusted)?;
            let signer = signer(&trusted, &root, &[], &detached)?;
            let tail = read_sealed_tail(&window, &root, engine, limit)?;
            detached.root = Some(root);
            (tail, header_offset, modules, Some(Table::new(ranges, entries, true)?), signer)
        }
    };
    let decoded = tail.borrow_dependent();
    if let Err(error) = &decoded.metadata {
        // Another version may have another layout. Without an engine such a file opens for inspection, without Metadata.
        let foreign = decoded.header.version != library_version(decoded.header.producer).as_bytes();
        if engine.is_some() || !foreign || error.status() == Status::NoMemory {
            return Err(error.duplicate());
        }
    }
    let table = table.map_or_else(OnceLock::new, |table| OnceLock::from(Arc::new(table)));
    let (chunks, identity, unknown_tail) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
    let artifact = Artifact {
        tail,
        header_offset,
        modules,
        table,
        trailer,
        detached,
        signer,
        vouched: packed_by.is_some(),
        private,
        own: false,
        unknown_tail,
        identity,
        chunks,
        region,
        variant: None,
    };
    if artifact.trailer.is_none() {
        reject_cut_trailer(&artifact)?;
    }
    if artifact.trailer.as_ref().is_some_and(|trailer| trailer.root.critical_chunks.get() > 0) {
        // A critical chunk of an unknown kind forbids using the file. Otherwise chunks are read on first use.
        artifact.attributes()?;
    }
    Ok(artifact)
}

/// Rejects an artifact that no trusted key has signed before it is copied, as far as the footer and root record tell.
fn require_signature(window: &Window<'_>, len: u64, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<()> {
    let trusted = trusted_keys(engine, options);
    if trusted.is_empty() {
        return Ok(());
    }
    let detached = Detached::new(options.signature)?;
    match Trailer::find(window, len)? {
        Some(_) if vouched_by(options.voucher, &trusted).is_some() => Ok(()),
        Some(Trailer { root, signatures, .. }) => signer(&trusted, &root, &signatures, &detached).map(|_| ()),
        None if detached.is_empty() => Err(unsigned_error()),
        None => Ok(()),
    }
}

/// Returns the trusted key that has signed the pack that the artifact is in.
fn vouched_by<'v>(voucher: Option<&'v Voucher>, trusted: &[&PublicKey]) -> Option<&'v PublicKey> {
    voucher?.signer.as_ref().filter(|key| trusted.contains(key))
}

/// Returns the keys that the engine and the options trust.
pub(super) fn trusted_keys<'k>(engine: Option<&'k Engine>, options: &OpenOptions<'k>) -> Vec<&'k PublicKey> {
    engine.map_or(&[][..], Engine::trusted_keys).iter().chain(options.trusted).collect()
}

/// Turns an error about damage into UNTRUSTED: a file of which no root record can be computed can't have been signed.
fn as_untrusted(error: Error) -> Error {
    match error.status() {
        Status::Io | Status::NoMemory => error,
        _ => error.with_status(Status::Untrusted).within("signature: expected a file that can be signed"),
    }
}

/// Reads the tail that a root record locates, checks its digest and decodes it. If the engine has accepted the same bytes under the same
/// digest before, comparing them is enough, and the artifact shares what they decode to.
fn read_sealed_tail(window: &Window<'_>, root: &Root, engine: Option<&Engine>, limit: u64) -> Result<Arc<Tail>> {
    let (start, header) = (root.tail_offset(), root.header_offset.get());
    let size = root.body_end.get().saturating_sub(start);
    let metadata = root.body_end.get().saturating_sub(root.metadata_offset.get());
    if metadata > limit || size > limit + TAIL_OVERHEAD {
        return Err(too_large(limit, root.metadata_offset.get()));
    }
    let bytes = window.read(start, size, "Metadata")?;
    if let Some(engine) = engine
        && let Some(known) = engine.accepted.find(&root.tail_digest, &bytes)
        && is_tail_of(&known, root)
    {
        return Ok(known);
    }
    let buffer = alloc::into_owned(bytes, "Metadata")?;
    if digest::tail(&buffer) != root.tail_digest {
        return Err(digest_mismatch("HEADER and Metadata", start));
    }
    let disagrees = |what: &str, at| {
        let message = format!("expected {what} at the offset in the root record, found other bytes there");
        Error::corrupt(message).at(at)
    };
    if buffer.first_chunk() != Some(&TERMINATOR.to_le_bytes()) {
        return Err(disagrees("the terminator", start));
    }
    let tail = Tail::try_new(buffer, |buffer| {
        let bytes = buffer.get(LINK_SIZE as usize..).unwrap_or(&[]);
        decode(bytes, root.modules.get(), engine).map_err(|error| error.shifted(header))
    })?;
    let decoded = tail.borrow_dependent();
    let metadata_at = header + decoded.header.len as u64;
    let fits = decoded.metadata.as_ref().map_or(true, |(_, len)| metadata_at + *len as u64 == root.body_end.get());
    if metadata_at != root.metadata_offset.get() || !fits {
        return Err(disagrees("Metadata and its end", metadata_at));
    }
    Ok(Arc::new(locate_metadata_error(tail, metadata_at)))
}

/// Returns whether a tail that was accepted in another file is sound in the one that this root record is of, whose bytes it equals.
/// Where it is not, decoding says why.
fn is_tail_of(tail: &Tail, root: &Root) -> bool {
    let Decoded { header, metadata } = tail.borrow_dependent();
    root.header_offset.get() + header.len as u64 == root.metadata_offset.get()
        && metadata.as_ref().is_ok_and(|(metadata, _)| metadata.check(root.modules.get()).is_ok())
}

/// Reads and decodes the tail of a file without a trailer, from the terminator before `offset` on. The length of Metadata is known
/// only after decoding it, so a long rest of the file is read in chunks of growing size.
fn read_unsealed_tail(
    window: &Window<'_>,
    len: u64,
    offset: u64,
    modules: u64,
    engine: Option<&Engine>,
    limit: u64,
) -> Result<Tail> {
    const FIRST_CHUNK: u64 = 16 << 10;
    let start = offset - LINK_SIZE;
    let rest = len - start;
    let max = limit + TAIL_OVERHEAD;
    let mut chunk = FIRST_CHUNK.min(max);
    loop {
        let size = rest.min(chunk);
        let buffer = window.read_to_vec(start, size, "Metadata")?;
        let tail = Tail::try_new(buffer, |buffer| {
            let bytes = buffer.get(LINK_SIZE as usize..).unwrap_or(&[]);
            decode(bytes, modules, engine).map_err(|error| error.shifted(offset))
        })?;
        let decoded = tail.borrow_dependent();
        let metadata_at = offset + decoded.header.len as u64;
        let truncated = matches!(&decoded.metadata, Err(error) if error.status() == Status::Truncated) && size < rest;
        let over_limit = decoded.metadata.as_ref().map_or(truncated && chunk == max, |(_, len)| *len as u64 > limit);
        if over_limit {
            return Err(too_large(limit, metadata_at));
        }
        if !truncated {
            return Ok(locate_metadata_error(tail, metadata_at));
        }
        chunk = chunk.saturating_mul(16).min(max);
    }
}

fn too_large(limit: u64, offset: u64) -> Error {
    let message = format!("Metadata: expected at most {limit} bytes, found more");
    Error::new(Status::Limit, message).at(offset)
}

fn decode<'a>(buffer: &'a [u8], modules: u64, engine: Option<&Engine>) -> Result<Decoded<'a>> {
    let header = Header::decode(buffer)?;
    if let Some(engine) = engine
        && let Some(finding) = compat::origin(engine, header.producer, header.version)
    {
        return Err(Error::from(finding).at(0));
    }
    let bytes = buffer.get(header.len..).unwrap_or(&[]);
    let metadata = Metadata::decode(bytes).and_then(|(metadata, len)| {
        metadata.check(modules)?;
        Ok((metadata, len))
    });
    Ok(Decoded { header, metadata })
}

fn locate_metadata_error(mut tail: Tail, metadata_at: u64) -> Tail {
    tail.with_dependent_mut(|_, decoded| {
        if let Err(error) = &mut decoded.metadata {
            *error = error.duplicate().at(0).shifted(metadata_at);
        }
    });
    tail
}

/// Rejects a file that has the start of a trailer but no footer, because it was truncated or damaged. A file truncated before the
/// trailer can't be told from one that never had a trailer.
fn reject_cut_trailer(artifact: &Artifact) -> Result<()> {
    let (end, len) = (artifact.body_end(), artifact.len());
    let Some(start) = align_up(end, ALIGN).filter(|start| start + TRAILER_MAGIC.len() as u64 <= len) else {
        return Ok(());
    };
    let mut found = [0; TRAILER_MAGIC.len()];
    artifact.region.read_at(start, &mut found)?;
    if found != TRAILER_MAGIC {
        return Ok(());
    }
    let message = "trailer: expected a footer at the end of the file, found none (the file is truncated or damaged)";
    Err(Error::new(Status::Truncated, message).at(start))
}
