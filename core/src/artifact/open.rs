//! Opening: what is read, in which order, and what is believed before what.
//!
//! With a trailer: footer and root record, signature, tail digest, producer, version, Metadata; the module table waits until a
//! module is asked for. Without one: the walk from link to link, producer, version, Metadata; where the engine trusts keys, a
//! signature beside the file, for which every byte is read, before the producer.

use std::sync::OnceLock;

use zerocopy::FromBytes;

use super::modules::{Table, implied_root};
use super::trust::{Detached, signer, unsigned};
use super::{Artifact, Decoded, OpenOptions, Tail, header_offset};
use crate::alloc;
use crate::compat;
use crate::engine::{Engine, library_version};
use crate::error::{Error, Result, Status};
use crate::format::align_up;
use crate::format::body::{Header, LINK_SIZE, TERMINATOR, follow_links};
use crate::format::metadata::Metadata;
use crate::format::trailer::{
    ALIGN, Footer, Layout, MODULE_ENTRY_SIZE, ROOT_SIZE, Root, SIGNATURE_SIZE, Signature, TRAILER_MAGIC,
};
use crate::limits::{MAX_METADATA, MAX_MODULES};
use crate::storage::{Region, Window};
use crate::trust::digest;
use crate::trust::keys::PublicKey;

/// The terminator, HEADER and version are not Metadata, and have room of their own.
const TAIL_OVERHEAD: u64 = LINK_SIZE + Header::MAX_SIZE;

/// What a trailer says about the file, its checksum being right.
#[derive(Debug)]
#[non_exhaustive]
pub struct Trailer {
    /// The root record.
    pub root: Root,
    /// Where the parts are.
    pub(crate) layout: Layout,
    /// The signatures that it carries.
    pub signatures: Vec<Signature>,
    /// The module table's bytes, if they were read with the rest; not looked at yet.
    pub(crate) table: Option<Vec<u8>>,
}

impl Trailer {
    /// The trailer at the end of a region, if it has one.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH, TRUNCATED, CORRUPT or UNSUPPORTED if it can't be relied on.
    pub(crate) fn find(window: &Window<'_>, len: u64) -> Result<Option<Trailer>> {
        let Some(footer) = Footer::find(window.bytes(), len)? else { return Ok(None) };
        let offset = footer.root_offset.get();
        let signatures = u64::from(footer.signatures.get()) * SIGNATURE_SIZE;
        let bytes = window.read_to_vec(offset, ROOT_SIZE + signatures, "the root record")?;
        let cut = || Error::corrupt("trailer: root record is cut short").at(offset);
        let (root, signed) = Root::read_from_prefix(&bytes).map_err(|_| cut())?;
        let signed = <[Signature]>::ref_from_bytes(signed).map_err(|_| cut())?;
        if digest::footer(&root, signed, &footer) != footer.checksum {
            return Err(digest_mismatch("footer and root record", offset));
        }
        let layout = root.check(offset)?;
        if root.modules.get() > MAX_MODULES as u64 {
            let message = format!("number of modules: expected at most {MAX_MODULES}, found {}", root.modules);
            return Err(Error::new(Status::Limit, message).at(offset));
        }
        let signatures = alloc::copy(signed, "the signatures")?;
        let table = window.get(layout.table, root.modules.get() as usize * MODULE_ENTRY_SIZE as usize); // at most MAX_MODULES
        let table = table.map(|bytes| alloc::copy(bytes, "the module table")).transpose()?;
        Ok(Some(Trailer { root, layout, signatures, table }))
    }
}

/// Bytes are not those that a digest was made of.
#[cold]
pub fn digest_mismatch(what: &str, offset: u64) -> Error {
    let message = format!("{what}: expected the bytes that were written, found others (digest mismatch)");
    Error::new(Status::DigestMismatch, message).at(offset)
}

pub fn open(region: Region, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
    let trusted = trusted_keys(engine, options);
    if trusted.is_empty() && !options.signature.is_empty() {
        let message = "detached signature: expected an engine that trusts a key, found none to check it with";
        return Err(Error::new(Status::InvalidArgument, message));
    }
    let mut detached = Detached::new(options.signature)?;
    // Before a byte is read.
    let frozen = !trusted.is_empty() && region.is_immutable();
    let mut buffer = Window::BUFFER;
    let mut window = Window::new(&region, &mut buffer)?;
    let limit = options.memory_limit.min(MAX_METADATA);
    let trailer = Trailer::find(&window, region.len())?;
    let (tail, header_offset, modules, table, signer) = match &trailer {
        Some(Trailer { root, signatures, .. }) => {
            let signer = signer(&trusted, root, signatures, &detached)?;
            let tail = sealed_tail(&window, root, engine, limit)?;
            let modules = root.modules.get() as usize; // at most MAX_MODULES
            (tail, root.header_offset.get(), modules, None, signer)
        }
        None if trusted.is_empty() => {
            let ranges = follow_links(&mut window, region.len())?;
            let (header_offset, modules) = (header_offset(&ranges), ranges.len());
            let tail = found_tail(&window, region.len(), header_offset, modules as u64, engine, limit)?;
            (tail, header_offset, modules, Some(Table::without_entries(ranges)), None)
        }
        None if detached.is_empty() => return Err(unsigned()),
        None => {
            let ranges = follow_links(&mut window, region.len()).map_err(unsignable)?;
            let (header_offset, modules) = (header_offset(&ranges), ranges.len());
            let (root, entries) = implied_root(&region, &ranges, header_offset).map_err(unsignable)?;
            let signer = signer(&trusted, &root, &[], &detached)?;
            let tail = sealed_tail(&window, &root, engine, limit)?;
            detached.root = Some(root);
            (tail, header_offset, modules, Some(Table::with_entries(ranges, entries, true)?), signer)
        }
    };
    let decoded = tail.borrow_dependent();
    if let Err(error) = &decoded.metadata {
        // Another version may have another layout: such a file opens for inspection, as far as it goes.
        let foreign = decoded.header.version != library_version(decoded.header.producer).as_bytes();
        if engine.is_some() || !foreign || error.status() == Status::NoMemory {
            return Err(error.duplicate());
        }
    }
    let table = table.map_or_else(OnceLock::new, OnceLock::from);
    let chunks = OnceLock::new();
    let artifact = Artifact { tail, header_offset, modules, table, trailer, detached, signer, frozen, chunks, region };
    if artifact.trailer.is_none() {
        refuse_cut_trailer(&artifact)?;
    }
    if artifact.trailer.as_ref().is_some_and(|trailer| trailer.root.critical_chunks.get() > 0) {
        // Only then do chunks have a say in whether the file may be used.
        artifact.attributes()?;
    }
    Ok(artifact)
}

/// Refuses what no trusted key has signed, as far as that can be told without looking at all of it: before it is copied.
pub fn ask_for_signature(region: &Region, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<()> {
    let trusted = trusted_keys(engine, options);
    if trusted.is_empty() {
        return Ok(());
    }
    let detached = Detached::new(options.signature)?;
    let mut buffer = Window::BUFFER;
    match Trailer::find(&Window::new(region, &mut buffer)?, region.len())? {
        Some(Trailer { root, signatures, .. }) => signer(&trusted, &root, &signatures, &detached).map(|_| ()),
        None if detached.is_empty() => Err(unsigned()),
        None => Ok(()),
    }
}

fn trusted_keys<'k>(engine: Option<&'k Engine>, options: &OpenOptions<'k>) -> Vec<&'k PublicKey> {
    engine.map_or(&[][..], Engine::trusted_keys).iter().chain(options.trusted).collect()
}

/// Nobody can have signed what has no root record.
fn unsignable(error: Error) -> Error {
    match error.status() {
        Status::Io | Status::NoMemory => error,
        _ => error.with_status(Status::Untrusted).within("signature: expected a file that somebody can have signed"),
    }
}

/// The tail that a root record vouches for.
fn sealed_tail(window: &Window<'_>, root: &Root, engine: Option<&Engine>, limit: u64) -> Result<Tail> {
    let (start, header) = (root.tail_offset(), root.header_offset.get());
    let size = root.body_end.get().saturating_sub(start);
    let metadata = root.body_end.get().saturating_sub(root.metadata_offset.get());
    if metadata > limit || size > limit + TAIL_OVERHEAD {
        return Err(too_large(limit, root.metadata_offset.get()));
    }
    let buffer = window.read_to_vec(start, size, "Metadata")?;
    if digest::tail(&buffer) != root.tail_digest {
        return Err(digest_mismatch("HEADER and Metadata", start));
    }
    let disagrees = |what: &str, at| {
        let message = format!("expected {what} where the root record says, found another place");
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
    Ok(place_metadata_error(tail, metadata_at))
}

/// The tail behind the last link, from the terminator on. How long Metadata is only decoding tells, so a large rest of the
/// file is taken in growing bites.
fn found_tail(
    window: &Window<'_>,
    len: u64,
    offset: u64,
    modules: u64,
    engine: Option<&Engine>,
    limit: u64,
) -> Result<Tail> {
    const FIRST_BITE: u64 = 16 << 10;
    let start = offset - LINK_SIZE;
    let rest = len - start;
    let most = limit + TAIL_OVERHEAD;
    let mut bite = FIRST_BITE.min(most);
    loop {
        let size = rest.min(bite);
        let buffer = window.read_to_vec(start, size, "Metadata")?;
        let tail = Tail::try_new(buffer, |buffer| {
            let bytes = buffer.get(LINK_SIZE as usize..).unwrap_or(&[]);
            decode(bytes, modules, engine).map_err(|error| error.shifted(offset))
        })?;
        let decoded = tail.borrow_dependent();
        let metadata_at = offset + decoded.header.len as u64;
        let cut = matches!(&decoded.metadata, Err(error) if error.status() == Status::Truncated) && size < rest;
        let exceeded = decoded.metadata.as_ref().map_or(cut && bite == most, |(_, len)| *len as u64 > limit);
        if exceeded {
            return Err(too_large(limit, metadata_at));
        }
        if !cut {
            return Ok(place_metadata_error(tail, metadata_at));
        }
        bite = bite.saturating_mul(16).min(most);
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

fn place_metadata_error(mut tail: Tail, metadata_at: u64) -> Tail {
    tail.with_dependent_mut(|_, decoded| {
        if let Err(error) = &mut decoded.metadata {
            *error = error.duplicate().at(0).shifted(metadata_at);
        }
    });
    tail
}

/// A file whose footer was cut off or damaged still shows where its trailer began. One cut before that can't be told from a
/// file that never had one.
fn refuse_cut_trailer(artifact: &Artifact) -> Result<()> {
    let (end, len) = (artifact.body_end(), artifact.len());
    let Some(start) = align_up(end, ALIGN).filter(|start| start + TRAILER_MAGIC.len() as u64 <= len) else {
        return Ok(());
    };
    let mut found = [0; TRAILER_MAGIC.len()];
    artifact.region.read_at(start, &mut found)?;
    if found != TRAILER_MAGIC {
        return Ok(());
    }
    let message = "trailer: expected a footer at the end of the file, found none (cut off, or damaged)";
    Err(Error::new(Status::Truncated, message).at(start))
}
