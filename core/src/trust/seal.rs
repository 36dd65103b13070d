//! Computes and encodes the trailer that a writer appends to a body.

use zerocopy::IntoBytes;

use super::digest;
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::format::body::ModuleRange;
use crate::format::trailer::{
    ALIGN, CommonIdentity, Digest, FOOTER_SIZE, FORMAT, Footer, Layout, ModuleEntry, Root, SIGNED, Signature,
    TRAILER_MAGIC,
};

/// The facts about a body that a trailer records.
#[derive(Clone, Copy, Debug)]
pub struct BodyInfo<'b> {
    /// End of the body.
    pub body_end: u64,
    /// Offset of HEADER.
    pub header_offset: u64,
    /// Offset of Metadata.
    pub metadata_offset: u64,
    /// The tail: terminator, HEADER, version and Metadata.
    pub tail: &'b [u8],
    /// The module table.
    pub entries: &'b [ModuleEntry],
    /// What the headers of all modules say.
    pub identity: CommonIdentity,
}

/// Returns the module table's entry for a module.
#[must_use]
pub fn module_entry(range: &ModuleRange, align: u64, digest: &Digest) -> ModuleEntry {
    ModuleEntry { offset: range.offset.into(), len: range.len.into(), align: align.into(), digest: *digest }
}

/// Returns the root record of a file with this body and these chunks, of which `critical` are critical.
#[must_use]
pub fn root_record(body: &BodyInfo<'_>, chunks: &[u8], critical: u32) -> Root {
    Root {
        format: FORMAT.into(),
        critical_chunks: critical.into(),
        body_end: body.body_end.into(),
        header_offset: body.header_offset.into(),
        metadata_offset: body.metadata_offset.into(),
        modules: (body.entries.len() as u64).into(),
        chunks_len: (chunks.len() as u64).into(),
        tail_digest: digest::tail(body.tail),
        table_digest: digest::table(body.entries.as_bytes()),
        chunks_digest: digest::chunks(chunks),
        identity: body.identity,
        reserved: [0; 108],
    }
}

/// Encodes the trailer: everything that follows the body.
///
/// # Errors
///
/// LIMIT for a file of 2^64 bytes or more, NO_MEMORY.
pub fn encode_trailer(
    body: &BodyInfo<'_>,
    chunks: &[u8],
    root_record: &Root,
    signatures: &[Signature],
) -> Result<Vec<u8>> {
    let too_large = || Error::new(Status::Limit, "trailer: expected a file shorter than 2^64 bytes, found more");
    let layout = Layout::new(body.body_end, body.entries.len() as u64, chunks.len() as u64).ok_or_else(too_large)?;
    let signature_bytes = signatures.as_bytes();
    let root_bytes = root_record.as_bytes();
    let end_size = root_bytes.len() + signature_bytes.len() + FOOTER_SIZE as usize;
    let mut footer = Footer::new(layout.root, signatures.len(), &SIGNED)?;
    footer.checksum = digest::footer(root_record, signatures, &footer);

    let padding = (layout.start - body.body_end) as usize;
    let entries = body.entries.as_bytes();
    let mut out =
        alloc::with_capacity(padding + TRAILER_MAGIC.len() + entries.len() + chunks.len() + end_size, "a trailer")?;
    out.extend_from_slice([0; ALIGN as usize].get(..padding).unwrap_or(&[]));
    for part in [&TRAILER_MAGIC[..], entries, chunks, root_bytes, signature_bytes, footer.as_bytes()] {
        out.extend_from_slice(part);
    }
    Ok(out)
}
