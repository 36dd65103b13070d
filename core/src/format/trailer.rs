//! The trailer follows the body and holds digests over every byte, attributes and signatures. Wasmtime 0.33 ignores it.
//!
//! The structs have the layout of the file: little-endian fields of alignment 1, in file order. After the body come zeros up to
//! a multiple of 8, [`TRAILER_MAGIC`], the module table, the chunks, the root record, the signatures and the footer. This
//! module only locates and decodes them; `trust` computes the digests.

use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::elf::Identity;
use super::{align_up, first_nonzero};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::limits::{MAX_ATTRIBUTES, MAX_SIGNATURES};

/// The first bytes of a trailer. They are not text, and a transfer in text mode damages them detectably.
pub const TRAILER_MAGIC: [u8; 8] = *b"\x93AFT\r\n\x1a\n";
/// The last bytes of a file with a trailer.
pub const FOOTER_MAGIC: [u8; 8] = *b"\x93AFE\r\n\x1a\n";
/// The trailer format that this library reads and writes.
pub const FORMAT: u32 = 1;
/// Alignment of the trailer and of every chunk in it.
pub const ALIGN: u64 = 8;

/// A BLAKE3 digest.
pub type Digest = [u8; 32];

/// The root record: the fixed-size record that locates everything else and holds its digests. Signatures are over this record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct Root {
    /// [`FORMAT`].
    pub format: U32,
    /// Number of critical chunks.
    pub critical_chunks: U32,
    /// End of the body: the offset just past Metadata.
    pub body_end: U64,
    /// Offset of HEADER, which directly follows the terminator.
    pub header_offset: U64,
    /// Offset of Metadata.
    pub metadata_offset: U64,
    /// Number of modules.
    pub modules: U64,
    /// Size of all chunks in bytes, headers and padding included.
    pub chunks_len: U64,
    /// Digest of the terminator, HEADER, version and Metadata.
    pub tail_digest: Digest,
    /// Digest of the module table.
    pub table_digest: Digest,
    /// Digest of the chunks.
    pub chunks_digest: Digest,
    /// What the ELF headers of all modules say, so that a check need not read them.
    pub identity: CommonIdentity,
    /// Zeros.
    pub reserved: [u8; 108],
}

/// The fields of an ELF header that tell machines apart, as they are in the modules; zeros if these differ, or if the writer did not say.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct CommonIdentity {
    /// `e_machine`, little-endian whatever the modules' byte order is.
    pub machine: U16,
    /// `EI_CLASS`: 1 for 32-bit, 2 for 64-bit modules.
    pub class: u8,
    /// `EI_DATA`: 1 for little-endian, 2 for big-endian modules.
    pub data: u8,
}

impl CommonIdentity {
    /// Returns the identity that all of these have.
    #[must_use]
    pub fn of(mut modules: &mut dyn Iterator<Item = Option<Identity>>) -> CommonIdentity {
        let first = modules.next().flatten();
        match first.filter(|_| Iterator::all(&mut modules, |module| module == first)) {
            Some(all) => CommonIdentity {
                machine: all.machine.into(),
                class: if all.bits == 32 { 1 } else { 2 },
                data: if all.big_endian { 2 } else { 1 },
            },
            None => CommonIdentity::default(),
        }
    }

    /// Returns the identity of each module; none if the modules' headers must be read to know.
    #[must_use]
    pub fn get(&self) -> Option<Identity> {
        let bits = match self.class {
            1 => 32,
            2 => 64,
            _ => return None,
        };
        matches!(self.data, 1 | 2).then(|| Identity::new(self.machine.get(), bits, self.data == 2))
    }
}

/// One entry of the module table.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct ModuleEntry {
    /// Offset of the ELF image.
    pub offset: U64,
    /// Length of the ELF image in bytes.
    pub len: U64,
    /// Alignment of the offset.
    pub align: U64,
    /// Digest of the link word and padding before the image, and of the image. The first module has only the image.
    pub digest: Digest,
}

/// The header of a chunk. The chunk's bytes follow, then zeros up to a multiple of 8.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct ChunkHeader {
    /// The chunk's kind.
    pub kind: U32,
    /// Bit 0: the chunk is critical, so a reader that doesn't know its kind must reject the file. All other bits are zero.
    pub flags: U32,
    /// Number of bytes that follow, without padding.
    pub len: U64,
}

/// A signature over the root record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct Signature {
    /// The signer's Ed25519 public key: a hint which trusted key to try.
    pub key: [u8; 32],
    /// The signature.
    pub bytes: [u8; 64],
}

/// The prefix of the signed message, NUL included; the root record follows. It keeps signatures over other data with the same key
/// from being valid for a root record.
pub const SIGNATURE_CONTEXT: &[u8; 24] = b"libartifact signature 1\0";

/// A kind of file that ends with a root record, signatures over it, and a footer.
#[derive(Debug)]
pub struct Signed {
    /// What ends with them, for messages.
    pub what: &'static str,
    /// The last bytes of the footer.
    pub magic: [u8; 8],
    /// Size of the root record.
    pub record_size: u64,
    /// The prefix of the signed message; the root record follows.
    pub context: &'static [u8],
}

/// An artifact with a trailer.
pub const SIGNED: Signed =
    Signed { what: "trailer", magic: FOOTER_MAGIC, record_size: ROOT_SIZE, context: SIGNATURE_CONTEXT };

/// The footer: the last bytes of the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct Footer {
    /// Offset of the root record.
    pub root_offset: U64,
    /// The length of the whole file.
    pub file_len: U64,
    /// Number of signatures between root record and footer.
    pub signatures: U32,
    /// Zeros.
    pub reserved: [u8; 4],
    /// Digest of root record, signatures and footer, computed with this field set to zero.
    pub checksum: Digest,
    /// [`Signed::magic`]: [`FOOTER_MAGIC`] in an artifact.
    pub magic: [u8; 8],
}

/// Size of the root record.
pub const ROOT_SIZE: u64 = size_of::<Root>() as u64;
/// Size of an entry of the module table.
pub const MODULE_ENTRY_SIZE: u64 = size_of::<ModuleEntry>() as u64;
/// Size of a signature.
pub const SIGNATURE_SIZE: u64 = size_of::<Signature>() as u64;
/// Size of the footer.
pub const FOOTER_SIZE: u64 = size_of::<Footer>() as u64;

/// The kind of a chunk that holds one attribute: the name's length as a u32, the name, the value.
pub const CHUNK_ATTRIBUTE: u32 = 1;
const CHUNK_CRITICAL: u32 = 1;

/// The offsets of a trailer's parts in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Offset of [`TRAILER_MAGIC`].
    pub start: u64,
    /// Offset of the module table.
    pub table: u64,
    /// Offset of the chunks.
    pub chunks: u64,
    /// Offset of the root record.
    pub root: u64,
}

impl Layout {
    /// Computes the layout of a trailer after a body that ends at `body_end`. Returns none on overflow.
    #[must_use]
    pub fn new(body_end: u64, modules: u64, chunks_len: u64) -> Option<Layout> {
        let start = align_up(body_end, ALIGN)?;
        let table = start.checked_add(TRAILER_MAGIC.len() as u64)?;
        let chunks = table.checked_add(modules.checked_mul(MODULE_ENTRY_SIZE)?)?;
        let root = chunks.checked_add(chunks_len)?;
        Some(Layout { start, table, chunks, root })
    }
}

impl Footer {
    /// Creates the footer that follows a root record at `root_offset` and this number of signatures, without its checksum.
    ///
    /// # Errors
    ///
    /// LIMIT for more signatures than a file may have, or a file of 2^64 bytes or more.
    pub fn new(root_offset: u64, signatures: usize, signed: &Signed) -> Result<Footer> {
        let too_large = || {
            Error::new(Status::Limit, format!("{}: expected a file shorter than 2^64 bytes, found more", signed.what))
        };
        let count = u32::try_from(signatures).ok().filter(|count| *count <= MAX_SIGNATURES);
        let count = count.ok_or_else(|| {
            let message = format!("{}: expected at most {MAX_SIGNATURES} signatures, found {signatures}", signed.what);
            Error::new(Status::Limit, message)
        })?;
        let end_size = signed.record_size + u64::from(count) * SIGNATURE_SIZE + FOOTER_SIZE;
        Ok(Footer {
            root_offset: root_offset.into(),
            file_len: root_offset.checked_add(end_size).ok_or_else(too_large)?.into(),
            signatures: count.into(),
            reserved: [0; 4],
            checksum: [0; 32],
            magic: signed.magic,
        })
    }

    /// Finds the footer in `bytes`, the last bytes of a file of `len` bytes. Returns none if the file is not of the kind `signed`: an
    /// artifact may have no trailer.
    ///
    /// # Errors
    ///
    /// CORRUPT if the footer contradicts itself or the file, TRUNCATED if it describes a longer file.
    pub fn find(bytes: &[u8], len: u64, signed: &Signed) -> Result<Option<Footer>> {
        let what = signed.what;
        let Ok((_, footer)) = Footer::read_from_suffix(bytes) else { return Ok(None) };
        if footer.magic != signed.magic {
            return Ok(None);
        }
        let at = len - FOOTER_SIZE;
        if footer.file_len.get() != len {
            let message = format!("{what}: expected a file of {} bytes, found {len}", footer.file_len);
            let status = if footer.file_len.get() > len { Status::Truncated } else { Status::Corrupt };
            return Err(Error::new(status, message).at(at));
        }
        if footer.signatures.get() > MAX_SIGNATURES {
            let message = format!("{what}: expected at most {MAX_SIGNATURES} signatures, found {}", footer.signatures);
            return Err(Error::corrupt(message).at(at));
        }
        let signatures = u64::from(footer.signatures.get()) * SIGNATURE_SIZE;
        let expected = at.checked_sub(signatures).and_then(|end| end.checked_sub(signed.record_size));
        if expected != Some(footer.root_offset.get()) {
            let message = format!(
                "{what}: expected the root record before {} signatures and the footer, found it at {}",
                footer.signatures, footer.root_offset
            );
            return Err(Error::corrupt(message).at(at));
        }
        Ok(Some(footer))
    }
}

impl Root {
    /// Checks that a root record at `offset` is consistent, and returns the layout that it describes.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED for another trailer format, CORRUPT for offsets that contradict each other.
    pub fn check(&self, offset: u64) -> Result<Layout> {
        if self.format.get() != FORMAT {
            let message = format!("trailer: expected format {FORMAT}, found {}", self.format);
            return Err(Error::new(Status::Unsupported, message).at(offset));
        }
        let wrong =
            || Error::corrupt("trailer: expected offsets in file order, found them out of order".to_owned()).at(offset);
        let Root { body_end, header_offset, metadata_offset, modules, chunks_len, .. } = *self;
        let layout = Layout::new(body_end.get(), modules.get(), chunks_len.get()).ok_or_else(wrong)?;
        let ordered = header_offset.get() >= 8
            && header_offset < metadata_offset
            && metadata_offset < body_end
            && modules.get() > 0
            && layout.root == offset
            && self.reserved == [0; 108];
        if !ordered {
            return Err(wrong());
        }
        if self.identity.get().is_none() && self.identity != CommonIdentity::default() {
            let CommonIdentity { class, data, .. } = self.identity;
            let message = format!(
                "trailer: expected the class and byte order of ELF modules, or zeros, found {class} and {data}"
            );
            return Err(Error::corrupt(message).at(offset));
        }
        Ok(layout)
    }

    /// Returns the offset of the tail, which begins with the terminator.
    #[must_use]
    pub fn tail_offset(&self) -> u64 {
        self.header_offset.get().saturating_sub(super::body::LINK_SIZE)
    }
}

/// A decoded chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The chunk's kind.
    pub kind: u32,
    /// Whether a reader that doesn't know the kind must reject the file.
    pub critical: bool,
    /// The content, without padding.
    pub bytes: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Decodes the chunk at the front of `rest`, and advances `rest` past it.
    ///
    /// # Errors
    ///
    /// CORRUPT if the chunk extends past `rest`, has an unknown flag, or has nonzero padding.
    pub fn decode(rest: &mut &'a [u8]) -> Result<Chunk<'a>> {
        let cut = || Error::corrupt(format!("trailer: expected a whole chunk, found {} bytes", rest.len()));
        let (header, after) = ChunkHeader::read_from_prefix(rest).map_err(|_| cut())?;
        if header.flags.get() & !CHUNK_CRITICAL != 0 {
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
            let message = format!("trailer: expected zero padding after chunk {}, found nonzero bytes", header.kind);
            return Err(Error::corrupt(message));
        }
        *rest = next;
        Ok(Chunk { kind: header.kind.get(), critical: header.flags.get() & CHUNK_CRITICAL != 0, bytes })
    }

    /// Appends a chunk to `out`. Its content is the concatenation of `parts`.
    ///
    /// # Errors
    ///
    /// NO_MEMORY.
    pub fn encode(out: &mut Vec<u8>, kind: u32, critical: bool, parts: [&[u8]; 3]) -> Result<()> {
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

/// An attribute: named bytes that the embedder stores in the artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The attribute's name.
    pub name: &'a str,
    /// The attribute's value.
    pub value: &'a [u8],
}

/// Decodes the attributes among the chunks, in file order. Chunks of another kind are skipped unless they are critical.
/// `critical` is the number of critical chunks according to the root record.
///
/// # Errors
///
/// UNSUPPORTED for a critical chunk of an unknown kind; CORRUPT for damaged chunks, attribute names out of order, or another
/// number of critical chunks; LIMIT for too many attributes; NO_MEMORY.
pub fn decode_attributes(chunks: &[u8], critical: u32) -> Result<Vec<Attribute<'_>>> {
    let mut found = Vec::new();
    let mut rest = chunks;
    let mut seen = 0;
    while !rest.is_empty() {
        let chunk = Chunk::decode(&mut rest)?;
        seen += u32::from(chunk.critical); // no overflow: each chunk takes at least 16 bytes of at most 64 MiB
        if chunk.kind != CHUNK_ATTRIBUTE {
            if chunk.critical {
                let message = format!("trailer: chunk of kind {} is critical and unknown to this library", chunk.kind);
                return Err(Error::new(Status::Unsupported, message));
            }
            continue;
        }
        let malformed =
            || Error::corrupt("trailer: expected an attribute's name in UTF-8 and its value, found other bytes");
        let (len, after) = U32::read_from_prefix(chunk.bytes).map_err(|_| malformed())?;
        let (name, value) = after.split_at_checked(len.get() as usize).ok_or_else(malformed)?;
        let name = std::str::from_utf8(name).map_err(|_| malformed())?;
        if found.last().is_some_and(|last: &Attribute<'_>| last.name >= name) {
            let message = "trailer: expected attributes sorted by name without duplicates, found them out of order";
            return Err(Error::corrupt(message));
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

/// Returns the maximum size of an attribute's chunk in bytes.
#[must_use]
pub fn max_attribute_size(name: &str, value: &[u8]) -> u64 {
    (size_of::<ChunkHeader>() + size_of::<u32>() + name.len() + value.len()) as u64 + ALIGN
}

/// Appends an attribute's chunk to `out`.
///
/// # Errors
///
/// NO_MEMORY; INVALID_ARGUMENT for a name of 4 GiB or more.
pub fn encode_attribute(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<()> {
    let len = u32::try_from(name.len())
        .map_err(|_| Error::new(Status::InvalidArgument, "attribute: expected a name shorter than 4 GiB"))?;
    Chunk::encode(out, CHUNK_ATTRIBUTE, false, [&len.to_le_bytes(), name.as_bytes(), value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_match_the_documented_table() {
        assert_eq!((ROOT_SIZE, MODULE_ENTRY_SIZE, SIGNATURE_SIZE, FOOTER_SIZE), (256, 56, 96, 64));
    }

    #[test]
    fn chunks_round_trip() {
        let mut bytes = Vec::new();
        encode_attribute(&mut bytes, "", b"").unwrap();
        Chunk::encode(&mut bytes, 77, false, [b"skipped", b"", b""]).unwrap();
        encode_attribute(&mut bytes, "name", b"value").unwrap();
        assert_eq!(bytes.len() % 8, 0);
        let found = decode_attributes(&bytes, 0).unwrap();
        assert_eq!(found, [Attribute { name: "", value: b"" }, Attribute { name: "name", value: b"value" }]);
        assert_eq!(
            decode_attributes(&bytes, 1).unwrap_err().status(),
            Status::Corrupt,
            "fewer critical chunks than promised"
        );
        let twice = bytes.repeat(2);
        assert_eq!(decode_attributes(&twice, 0).unwrap_err().status(), Status::Corrupt);

        let mut critical = bytes.clone();
        Chunk::encode(&mut critical, 77, true, [b"", b"", b""]).unwrap();
        let error = decode_attributes(&critical, 1).unwrap_err();
        assert_eq!(error.status(), Status::Unsupported);
        assert!(error.message().contains("kind 77"), "{error}");

        for cut in 1..bytes.len() {
            let whole = decode_attributes(&bytes[..cut], 0);
            assert!(whole.is_err() || whole.unwrap().len() < 2, "cut at {cut}");
        }
        let mut wrong = bytes.clone();
        wrong[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(decode_attributes(&wrong, 0).unwrap_err().status(), Status::Corrupt);
    }
}
