//! The trailer: what follows the body in files of ours and lets every byte be checked. Wasmtime 0.33 skips it.
//!
//! The structs are the bytes: little-endian fields of alignment 1, in the order in which they stand in the file. From the
//! body's end: zeros to a multiple of 8, [`START`], module table, chunks, root record, signatures, footer. What stands here
//! is only where things are; what the digests are over is `trust`'s.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{align_up, first_nonzero};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::limits::{MAX_ATTRIBUTES, MAX_SIGNATURES};

/// The first bytes of a trailer: no text, and mangled by any transfer that takes them for text.
pub const START: [u8; 8] = *b"\x93AFT\r\n\x1a\n";
/// The last bytes of a file with a trailer.
pub const END: [u8; 8] = *b"\x93AFE\r\n\x1a\n";
/// The format that this library writes and reads.
pub const FORMAT: u32 = 1;
/// What the trailer and every chunk in it are aligned to.
pub const ALIGN: u64 = 8;

/// A BLAKE3 digest.
pub type Digest = [u8; 32];

/// The fixed-size record from which everything else is found and checked. A signature signs it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct Root {
    /// [`FORMAT`].
    pub format: U32,
    /// How many chunks are critical.
    pub critical_chunks: U32,
    /// Where the body ends: behind Metadata.
    pub body_end: U64,
    /// Where HEADER begins, right behind the terminator.
    pub header_offset: U64,
    /// Where Metadata begins.
    pub metadata_offset: U64,
    /// Number of modules.
    pub modules: U64,
    /// Bytes of all chunks, their headers and padding included.
    pub chunks_len: U64,
    /// Over the terminator, HEADER, version and Metadata.
    pub tail_digest: Digest,
    /// Over the module table.
    pub table_digest: Digest,
    /// Over the chunks.
    pub chunks_digest: Digest,
    /// Zeros.
    pub reserved: [u8; 112],
}

/// One row of the module table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct Row {
    /// Where the ELF begins.
    pub offset: U64,
    /// Its length.
    pub len: U64,
    /// What its offset is a multiple of.
    pub align: U64,
    /// Over its link word, padding and ELF; the first has only the ELF.
    pub digest: Digest,
}

/// What stands before a chunk's bytes, which are followed by zeros to a multiple of 8.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct ChunkHeader {
    /// What it is.
    pub kind: U32,
    /// Bit 0: a reader that doesn't know the kind must refuse the file. The others are zero.
    pub flags: U32,
    /// How many bytes follow, without padding.
    pub len: U64,
}

/// A signature over the root record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct Signature {
    /// The Ed25519 public key: a hint of which trusted key to try.
    pub key: [u8; 32],
    /// The signature.
    pub bytes: [u8; 64],
}

/// The last bytes of the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct Footer {
    /// Where the root record begins.
    pub root_offset: U64,
    /// The length of the whole file.
    pub file_len: U64,
    /// How many signatures stand between root record and footer.
    pub signatures: U32,
    /// Zeros.
    pub reserved: [u8; 4],
    /// Over root record, signatures and footer, this field being zero.
    pub checksum: Digest,
    /// [`END`].
    pub end: [u8; 8],
}

/// Size of the root record.
pub const ROOT_SIZE: u64 = size_of::<Root>() as u64;
/// Size of a row of the module table.
pub const ROW_SIZE: u64 = size_of::<Row>() as u64;
/// Size of a signature.
pub const SIGNATURE_SIZE: u64 = size_of::<Signature>() as u64;
/// Size of the footer.
pub const FOOTER_SIZE: u64 = size_of::<Footer>() as u64;

/// Chunk kind: one attribute. u32 length of its name, the name, the value.
pub const ATTRIBUTE: u32 = 1;
const CRITICAL: u32 = 1;

/// Where a trailer's parts begin in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// [`START`].
    pub start: u64,
    /// The module table.
    pub table: u64,
    /// The chunks.
    pub chunks: u64,
    /// The root record.
    pub root: u64,
}

impl Layout {
    /// The layout behind a body.
    #[must_use]
    pub fn new(body_end: u64, modules: u64, chunks_len: u64) -> Option<Layout> {
        let start = align_up(body_end, ALIGN)?;
        let table = start.checked_add(START.len() as u64)?;
        let chunks = table.checked_add(modules.checked_mul(ROW_SIZE)?)?;
        let root = chunks.checked_add(chunks_len)?;
        Some(Layout { start, table, chunks, root })
    }
}

impl Footer {
    /// The footer at the end of `bytes`, which are the last ones of a file of `len` bytes; none if there is no trailer.
    ///
    /// # Errors
    ///
    /// CORRUPT or TRUNCATED if it contradicts itself or the file.
    pub fn find(bytes: &[u8], len: u64) -> Result<Option<Footer>> {
        let Ok((_, footer)) = Footer::read_from_suffix(bytes) else { return Ok(None) };
        if footer.end != END {
            return Ok(None);
        }
        let at = len - FOOTER_SIZE;
        if footer.file_len.get() != len {
            let message = format!("trailer: expected a file of {} bytes, found {len}", footer.file_len);
            let status = if footer.file_len.get() > len { Status::Truncated } else { Status::Corrupt };
            return Err(Error::new(status, message).at(at));
        }
        if footer.signatures.get() > MAX_SIGNATURES {
            let message = format!("trailer: expected at most {MAX_SIGNATURES} signatures, found {}", footer.signatures);
            return Err(Error::corrupt(message).at(at));
        }
        let signatures = u64::from(footer.signatures.get()) * SIGNATURE_SIZE;
        let expected = at.checked_sub(signatures).and_then(|end| end.checked_sub(ROOT_SIZE));
        if expected != Some(footer.root_offset.get()) {
            let message = format!(
                "trailer: expected the root record before {} signatures and the footer, found it at {}",
                footer.signatures, footer.root_offset
            );
            return Err(Error::corrupt(message).at(at));
        }
        Ok(Some(footer))
    }
}

impl Root {
    /// Checks that a root record at `offset` describes a file that could be.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED for another format, CORRUPT otherwise.
    pub fn check(&self, offset: u64) -> Result<Layout> {
        if self.format.get() != FORMAT {
            let message = format!("trailer: expected format {FORMAT}, found {}", self.format);
            return Err(Error::new(Status::Unsupported, message).at(offset));
        }
        let wrong =
            || Error::corrupt("trailer: expected offsets in the order of the file, found others".to_owned()).at(offset);
        let Root { body_end, header_offset, metadata_offset, modules, chunks_len, .. } = *self;
        let layout = Layout::new(body_end.get(), modules.get(), chunks_len.get()).ok_or_else(wrong)?;
        let ordered = header_offset.get() >= 8
            && header_offset < metadata_offset
            && metadata_offset < body_end
            && modules.get() > 0
            && layout.root == offset
            && self.reserved == [0; 112];
        if ordered { Ok(layout) } else { Err(wrong()) }
    }

    /// Where the tail begins: with the terminator.
    #[must_use]
    pub fn tail_offset(&self) -> u64 {
        self.header_offset.get().saturating_sub(super::body::LINK_SIZE)
    }
}

/// A chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// What it is.
    pub kind: u32,
    /// Whether a reader that doesn't know the kind must refuse the file.
    pub critical: bool,
    /// Its bytes.
    pub bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Takes a chunk from the front of `rest`.
    ///
    /// # Errors
    ///
    /// CORRUPT if it ends behind `rest` or has a flag that nobody knows.
    pub fn take(rest: &mut &'a [u8]) -> Result<Chunk<'a>> {
        let cut = || Error::corrupt(format!("trailer: expected a whole chunk, found {} bytes", rest.len()));
        let (header, after) = ChunkHeader::read_from_prefix(rest).map_err(|_| cut())?;
        if header.flags.get() & !CRITICAL != 0 {
            return Err(Error::corrupt(format!(
                "trailer: chunk {} has unknown flags {:#x}",
                header.kind, header.flags
            )));
        }
        let len = usize::try_from(header.len.get()).map_err(|_| cut())?;
        let padded = len.checked_next_multiple_of(ALIGN as usize).ok_or_else(cut)?;
        let (whole, next) = after.split_at_checked(padded).ok_or_else(cut)?;
        let (bytes, padding) = whole.split_at(len);
        if first_nonzero(padding).is_some() {
            return Err(Error::corrupt(format!("trailer: expected zeros behind chunk {}, found others", header.kind)));
        }
        *rest = next;
        Ok(Chunk { kind: header.kind.get(), critical: header.flags.get() & CRITICAL != 0, bytes })
    }

    /// Appends a chunk made of these parts, one behind the other.
    ///
    /// # Errors
    ///
    /// NO_MEMORY.
    pub fn put(out: &mut Vec<u8>, kind: u32, critical: bool, parts: [&[u8]; 3]) -> Result<()> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let header = ChunkHeader { kind: kind.into(), flags: u32::from(critical).into(), len: (len as u64).into() };
        let padded = len.next_multiple_of(ALIGN as usize);
        out.try_reserve(size_of::<ChunkHeader>() + padded).map_err(|_| Error::no_memory("a chunk"))?;
        out.extend_from_slice(header.as_bytes());
        parts.iter().for_each(|part| out.extend_from_slice(part));
        out.resize(out.len() + padded - len, 0);
        Ok(())
    }
}

/// Named bytes of the embedder's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a [u8],
}

/// The attributes among the chunks, in the order of the file. A chunk of another kind is skipped, unless it is critical.
/// `critical` is how many critical ones the root record promises.
///
/// # Errors
///
/// UNSUPPORTED for an unknown critical chunk, by number; CORRUPT; LIMIT; NO_MEMORY.
pub fn attributes(chunks: &[u8], critical: u32) -> Result<Vec<Attribute<'_>>> {
    let mut found = Vec::new();
    let mut rest = chunks;
    let mut seen = 0;
    while !rest.is_empty() {
        let chunk = Chunk::take(&mut rest)?;
        seen += u32::from(chunk.critical); // a chunk takes 16 bytes, and all of them 64 MiB at most
        if chunk.kind != ATTRIBUTE {
            if chunk.critical {
                let message =
                    format!("trailer: chunk of kind {} is critical and not known to this library", chunk.kind);
                return Err(Error::new(Status::Unsupported, message));
            }
            continue;
        }
        let bad =
            || Error::corrupt("trailer: expected an attribute's name in UTF-8 and its value, found others".to_owned());
        let (len, after) = U32::read_from_prefix(chunk.bytes).map_err(|_| bad())?;
        let (name, value) = after.split_at_checked(len.get() as usize).ok_or_else(bad)?;
        let name = std::str::from_utf8(name).map_err(|_| bad())?;
        if found.last().is_some_and(|last: &Attribute<'_>| last.name >= name) {
            return Err(Error::corrupt(
                "trailer: expected attributes in the order of their names, each once, found others".to_owned(),
            ));
        }
        if found.len() >= MAX_ATTRIBUTES {
            let message = format!("trailer: expected at most {MAX_ATTRIBUTES} attributes, found more");
            return Err(Error::new(Status::Limit, message));
        }
        alloc::push(&mut found, Attribute { name, value }, "the list of attributes")?;
    }
    if seen != critical {
        return Err(Error::corrupt(format!("trailer: expected {critical} critical chunks, found {seen}")));
    }
    Ok(found)
}

/// Bytes that an attribute's chunk takes, at most.
#[must_use]
pub fn attribute_size(name: &str, value: &[u8]) -> u64 {
    (size_of::<ChunkHeader>() + size_of::<u32>() + name.len() + value.len()) as u64 + ALIGN
}

/// Appends an attribute's chunk.
///
/// # Errors
///
/// NO_MEMORY; INVALID_ARGUMENT for a name of 4 GiB.
pub fn put_attribute(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<()> {
    let len = u32::try_from(name.len())
        .map_err(|_| Error::new(Status::InvalidArgument, "attribute: expected a name below 4 GiB"))?;
    Chunk::put(out, ATTRIBUTE, false, [&len.to_le_bytes(), name.as_bytes(), value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_documented_table() {
        assert_eq!((ROOT_SIZE, ROW_SIZE, SIGNATURE_SIZE, FOOTER_SIZE), (256, 56, 96, 64));
    }

    #[test]
    fn chunks_there_and_back() {
        let mut bytes = Vec::new();
        put_attribute(&mut bytes, "", b"").unwrap();
        Chunk::put(&mut bytes, 77, false, [b"skipped", b"", b""]).unwrap();
        put_attribute(&mut bytes, "name", b"value").unwrap();
        assert_eq!(bytes.len() % 8, 0);
        let found = attributes(&bytes, 0).unwrap();
        assert_eq!(found, [Attribute { name: "", value: b"" }, Attribute { name: "name", value: b"value" }]);
        assert_eq!(attributes(&bytes, 1).unwrap_err().status(), Status::Corrupt, "fewer critical chunks than promised");
        let twice = bytes.repeat(2);
        assert_eq!(attributes(&twice, 0).unwrap_err().status(), Status::Corrupt);

        let mut critical = bytes.clone();
        Chunk::put(&mut critical, 77, true, [b"", b"", b""]).unwrap();
        let error = attributes(&critical, 1).unwrap_err();
        assert_eq!(error.status(), Status::Unsupported);
        assert!(error.message().contains("kind 77"), "{error}");

        for cut in 1..bytes.len() {
            let whole = attributes(&bytes[..cut], 0);
            assert!(whole.is_err() || whole.unwrap().len() < 2, "cut at {cut}");
        }
        let mut wrong = bytes.clone();
        wrong[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(attributes(&wrong, 0).unwrap_err().status(), Status::Corrupt);
    }
}
