//! The trailer that a writer puts behind a body.

use zerocopy::IntoBytes;

use super::digest;
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::format::body::Place;
use crate::format::trailer::{ALIGN, Digest, END, FOOTER_SIZE, FORMAT, Footer, Layout, Root, Row, START, Signature};

/// What a writer knows of the body.
#[derive(Clone, Copy, Debug)]
pub struct Body<'b> {
    /// Where it ends.
    pub end: u64,
    /// Where HEADER begins.
    pub header_offset: u64,
    /// Where Metadata begins.
    pub metadata_offset: u64,
    /// Terminator, HEADER, version and Metadata.
    pub tail: &'b [u8],
    /// The modules.
    pub rows: &'b [Row],
}

/// A module's row in the table.
#[must_use]
pub fn row(place: &Place, align: u64, digest: &Digest) -> Row {
    Row { offset: place.offset.into(), len: place.len.into(), align: align.into(), digest: *digest }
}

/// The root record of a file with this body and these chunks.
#[must_use]
pub fn root(body: &Body<'_>, chunks: &[u8], critical: u32) -> Root {
    Root {
        format: FORMAT.into(),
        critical_chunks: critical.into(),
        body_end: body.end.into(),
        header_offset: body.header_offset.into(),
        metadata_offset: body.metadata_offset.into(),
        modules: (body.rows.len() as u64).into(),
        chunks_len: (chunks.len() as u64).into(),
        tail_digest: digest::tail(body.tail),
        table_digest: digest::table(body.rows.as_bytes()),
        chunks_digest: digest::chunks(chunks),
        reserved: [0; 112],
    }
}

/// Everything that follows the body.
///
/// # Errors
///
/// LIMIT for a file of 2^64 bytes, NO_MEMORY.
pub fn trailer(body: &Body<'_>, chunks: &[u8], root: &Root, signatures: &[Signature]) -> Result<Vec<u8>> {
    let too_large = || Error::new(Status::Limit, "trailer: expected a file below 2^64 bytes, found more");
    let layout = Layout::new(body.end, body.rows.len() as u64, chunks.len() as u64).ok_or_else(too_large)?;
    let signed = signatures.as_bytes();
    let count = u32::try_from(signatures.len()).map_err(|_| too_large())?;
    let root_bytes = root.as_bytes();
    let fixed = root_bytes.len() + signed.len() + FOOTER_SIZE as usize;
    let file_len = layout.root.checked_add(fixed as u64).ok_or_else(too_large)?;
    let mut footer = Footer {
        root_offset: layout.root.into(),
        file_len: file_len.into(),
        signatures: count.into(),
        reserved: [0; 4],
        checksum: [0; 32],
        end: END,
    };
    footer.checksum = digest::footer(root, signatures, &footer);

    let padding = (layout.start - body.end) as usize;
    let rows = body.rows.as_bytes();
    let mut out = alloc::with_capacity(padding + START.len() + rows.len() + chunks.len() + fixed, "a trailer")?;
    out.extend_from_slice([0; ALIGN as usize].get(..padding).unwrap_or(&[]));
    for part in [&START[..], rows, chunks, root_bytes, signed, footer.as_bytes()] {
        out.extend_from_slice(part);
    }
    Ok(out)
}
