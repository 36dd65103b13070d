//! The index of a file of several targets: which variants it holds, and where. It follows the last variant and is found from the last
//! bytes of the file, as a trailer is.
//!
//! The structs have the layout of the file. This module locates and decodes the index; `trust` computes its digests.

use std::borrow::Cow;

use self_cell::self_cell;
use zerocopy::byteorder::little_endian::{I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::flags::Flag;
use super::trailer::{ALIGN, Digest, FOOTER_SIZE as TRAILER_FOOTER_SIZE, ROOT_SIZE, SIGNATURE_SIZE};
use super::{align_up, first_nonzero};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::limits::{MAX_INDEX_TEXTS, MAX_NEEDS, MAX_SIGNATURES, MAX_VARIANTS};

/// The first bytes of an index.
pub const INDEX_MAGIC: [u8; 8] = *b"\x93AFI\r\n\x1a\n";
/// The last bytes of a file of several targets.
pub const INDEX_FOOTER_MAGIC: [u8; 8] = *b"\x93AFV\r\n\x1a\n";
/// The index format that this library reads and writes.
pub const INDEX_FORMAT: u32 = 1;
/// The alignment of variants in the file: the largest page size of a supported host.
pub const VARIANT_ALIGN: u64 = 64 << 10;

/// The beginning of an index. The rows follow, then the texts, the signatures and the footer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct IndexHeader {
    /// [`INDEX_MAGIC`].
    pub magic: [u8; 8],
    /// [`INDEX_FORMAT`].
    pub format: U32,
    /// Number of variants, and of rows.
    pub variants: U32,
    /// Size of all texts in bytes, padding to a multiple of 8 included.
    pub texts_len: U32,
    /// Zeros.
    pub reserved: [u8; 4],
}

/// A row of the index. The rows are in the order in which an engine tries them, which is the reverse of the order in the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct Row {
    /// Offset of the variant.
    pub offset: U64,
    /// Length of the variant in bytes.
    pub len: U64,
    /// The checksum in the footer of the variant's trailer: a digest of its root record, signatures and footer.
    pub checksum: Digest,
    /// When the variant was added: a number below that of variants, different in each row.
    pub added: U32,
    /// The variant's score.
    pub score: I32,
    /// Size of the row's texts in bytes: the target triple, empty if it is that of the row before, then each need, all with a NUL at the
    /// end.
    pub texts_len: U32,
    /// Zeros.
    pub reserved: [u8; 4],
}

/// The end of an index, and of the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct IndexFooter {
    /// Offset of the index.
    pub index_offset: U64,
    /// The length of the whole file.
    pub file_len: U64,
    /// Number of signatures between the texts and the footer.
    pub signatures: U32,
    /// Zeros.
    pub reserved: [u8; 4],
    /// Digest of the signatures; zeros if there are none.
    pub signatures_digest: Digest,
    /// Digest of the header, rows and texts. Signatures are over this digest.
    pub index_digest: Digest,
    /// [`INDEX_FOOTER_MAGIC`].
    pub magic: [u8; 8],
}

const HEADER_SIZE: u64 = size_of::<IndexHeader>() as u64;
const ROW_SIZE: u64 = size_of::<Row>() as u64;
/// Size of the footer.
pub const INDEX_FOOTER_SIZE: u64 = size_of::<IndexFooter>() as u64;

/// Size of the shortest variant: nothing smaller has a trailer.
const MIN_VARIANT: u64 = ROOT_SIZE + TRAILER_FOOTER_SIZE;

impl IndexFooter {
    /// Finds the footer in `bytes`, the last bytes of a file of `len` bytes. Returns none if the file has no index.
    ///
    /// # Errors
    ///
    /// CORRUPT if the footer contradicts itself or the file, TRUNCATED if it describes a longer file.
    pub fn find(bytes: &[u8], len: u64) -> Result<Option<IndexFooter>> {
        let Ok((_, footer)) = IndexFooter::read_from_suffix(bytes) else { return Ok(None) };
        if footer.magic != INDEX_FOOTER_MAGIC {
            return Ok(None);
        }
        let at = len - INDEX_FOOTER_SIZE;
        let file_len = footer.file_len.get();
        if file_len != len {
            let message = format!("index: expected a file of {file_len} bytes, found {len}");
            let status = if file_len > len { Status::Truncated } else { Status::Corrupt };
            return Err(Error::new(status, message).at(at));
        }
        if footer.signatures.get() > MAX_SIGNATURES {
            let message = format!("index: expected at most {MAX_SIGNATURES} signatures, found {}", footer.signatures);
            return Err(Error::corrupt(message).at(at));
        }
        if footer.reserved != [0; 4] {
            let message = "index: expected zeros in the footer's reserved field, found nonzero bytes";
            return Err(Error::corrupt(message).at(at));
        }
        let size = footer.signatures_at().and_then(|end| end.checked_sub(footer.index_offset.get()));
        let most = HEADER_SIZE + MAX_VARIANTS as u64 * ROW_SIZE + MAX_INDEX_TEXTS;
        if !size.is_some_and(|size| (HEADER_SIZE..=most).contains(&size)) {
            let message = format!("index: expected it before the footer, found it at {}", footer.index_offset);
            return Err(Error::corrupt(message).at(at));
        }
        Ok(Some(footer))
    }

    /// Returns the offset of the signatures.
    fn signatures_at(&self) -> Option<u64> {
        let signatures = u64::from(self.signatures.get()) * SIGNATURE_SIZE;
        self.file_len.get().checked_sub(INDEX_FOOTER_SIZE)?.checked_sub(signatures)
    }

    /// Returns the size of the header, the rows and the texts together.
    #[must_use]
    pub fn index_size(&self) -> u64 {
        self.signatures_at().unwrap_or(0).saturating_sub(self.index_offset.get())
    }
}

/// A variant: where it is, and what it needs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Variant<'a> {
    /// Offset of the variant in the file.
    pub offset: u64,
    /// Length of the variant in bytes.
    pub len: u64,
    /// Target triple.
    pub target: &'a str,
    /// The score that it was added with.
    pub score: i32,
    /// When it was added: 0 for the first one.
    pub added: u32,
    /// The checksum in its footer.
    pub(crate) checksum: Digest,
    pub(crate) needs: Needs<'a>,
}

/// Where the needs of a variant are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Needs<'a> {
    /// In a row: each with a NUL at the end.
    Texts(&'a str),
    /// In Metadata: ISA flags, sorted by name, of which those that are off are no needs.
    Flags(&'a [(&'a str, Flag<&'a str>)]),
}

impl<'a> Variant<'a> {
    /// Describes what code with this target and these ISA flags, sorted by name, needs. It is at no place in a file.
    pub(crate) fn of_code(target: &'a str, flags: &'a [(&'a str, Flag<&'a str>)]) -> Variant<'a> {
        let needs = Needs::Flags(flags);
        Variant { offset: 0, len: 0, target, score: 0, added: 0, checksum: [0; 32], needs }
    }

    /// Returns the ISA flags that are on, sorted by name: the names of switches, and `name=value` of others.
    pub fn needs(&self) -> impl Iterator<Item = Cow<'a, str>> + Clone + use<'a> {
        let (texts, flags) = match self.needs {
            Needs::Texts(texts) => (texts, &[][..]),
            Needs::Flags(flags) => ("", flags),
        };
        texts.split_terminator('\0').map(Cow::Borrowed).chain(flags.iter().filter_map(|(name, flag)| need(name, flag)))
    }

    /// Returns the target and, of a row, the text with all needs.
    pub(crate) fn texts(&self) -> (&'a str, &'a str) {
        match self.needs {
            Needs::Texts(texts) => (self.target, texts),
            Needs::Flags(_) => (self.target, ""),
        }
    }

    /// Passes each need to `find`, and returns the first that it returns something for.
    pub(crate) fn find_need<T>(&self, find: &mut dyn FnMut(&str) -> Option<T>) -> Option<T> {
        match self.needs {
            Needs::Texts(mut rest) => loop {
                // Names are too short for a search by vectors to be faster.
                let end = rest.bytes().position(|byte| byte == 0)?;
                let found = find(rest.get(..end)?);
                if found.is_some() {
                    return found;
                }
                rest = rest.get(end + 1..)?;
            },
            Needs::Flags(flags) => {
                flags.iter().filter_map(|(name, flag)| need(name, flag)).find_map(|need| find(&need))
            }
        }
    }

    /// Returns whether code with these ISA flags, sorted by name, has exactly these needs.
    #[must_use]
    pub(crate) fn has_needs_of(&self, flags: &[(&str, Flag<&str>)]) -> bool {
        let Needs::Texts(mut rest) = self.needs else { return false };
        // Takes a text and the byte after it off the rest.
        let mut take = |text: &str, end: u8| {
            let same = rest.starts_with(text) && rest.as_bytes().get(text.len()) == Some(&end);
            rest = rest.get(text.len() + 1..).filter(|_| same).unwrap_or("");
            same
        };
        let same = flags.iter().all(|(name, flag)| match flag {
            Flag::Bool(false) => true,
            Flag::Bool(true) => take(name, 0),
            other => take(name, b'=') && take(&other.to_string(), 0),
        });
        same && rest.is_empty()
    }
}

/// Returns the text for what a flag needs; none if it is off.
fn need<'a>(name: &'a str, flag: &Flag<&str>) -> Option<Cow<'a, str>> {
    match flag {
        Flag::Bool(false) => None,
        Flag::Bool(true) => Some(Cow::Borrowed(name)),
        other => Some(Cow::Owned(format!("{name}={other}"))),
    }
}

/// Splits the text of a need into the flag's name and, unless it is a switch, its value.
#[must_use]
pub(crate) fn split_need(need: &str) -> (&str, Option<&str>) {
    need.split_once('=').map_or((need, None), |(name, value)| (name, Some(value)))
}

/// Checks that a variant has no more needs than a row can have.
///
/// # Errors
///
/// LIMIT.
pub(crate) fn check_needs(count: usize) -> Result<()> {
    if count <= MAX_NEEDS {
        return Ok(());
    }
    let message = format!("needs of a variant: expected at most {MAX_NEEDS}, found {count}");
    Err(Error::new(Status::Limit, message))
}

/// Encodes the texts of a row: target and needs, all with a NUL at the end. The flags must be sorted by name.
///
/// # Errors
///
/// INVALID_ARGUMENT if they have characters that a row can't have; LIMIT for too many needs; NO_MEMORY.
pub fn encode_texts(target: &str, flags: &[(&str, Flag<&str>)]) -> Result<Vec<u8>> {
    let what = "the needs of a variant";
    let mut out = Vec::new();
    let mut add = |text: &str, fits: bool| {
        if !fits || text.contains('\0') {
            let message = format!("variant: expected texts without NUL and '=', found '{}'", quote(text.as_bytes()));
            return Err(Error::new(Status::InvalidArgument, message));
        }
        alloc::extend(&mut out, text.as_bytes(), what)?;
        alloc::extend(&mut out, b"\0", what)
    };
    add(target, !target.is_empty())?;
    let mut count = 0;
    for (name, flag) in flags {
        if let Some(need) = need(name, flag) {
            add(&need, !name.is_empty() && !name.contains('='))?;
            count += 1;
        }
    }
    check_needs(count)?;
    Ok(out)
}

type Variants<'a> = Vec<Variant<'a>>;

self_cell! {
    /// The header, rows and texts of an index, and the variants that they describe.
    pub(crate) struct Rows {
        owner: Vec<u8>,
        #[covariant]
        dependent: Variants,
    }
    impl { Debug }
}

/// Decodes an index, of which `bytes` are the header, the rows and the texts, and which is at `offset` in the file.
///
/// # Errors
///
/// UNSUPPORTED for another format; CORRUPT if the index contradicts itself or the file; LIMIT, NO_MEMORY.
pub fn decode_index(bytes: &[u8], offset: u64) -> Result<Vec<Variant<'_>>> {
    let wrong = |what: String| Error::corrupt(format!("index: expected {what}")).at(offset);
    let cut = || wrong(format!("a header, rows and texts, found {} bytes", bytes.len()));
    let (header, rest) = IndexHeader::read_from_prefix(bytes).map_err(|_| cut())?;
    if header.magic != INDEX_MAGIC {
        return Err(wrong("its magic, found other bytes".to_owned()));
    }
    if header.format.get() != INDEX_FORMAT {
        let message = format!(
            "index: expected format {INDEX_FORMAT} of files of several targets, found {}, which is newer than this library",
            header.format
        );
        return Err(Error::new(Status::Unsupported, message).at(offset));
    }
    let count = header.variants.get() as usize;
    if !(2..=MAX_VARIANTS).contains(&count) || u64::from(header.texts_len.get()) > MAX_INDEX_TEXTS {
        let message = format!(
            "index: expected 2 to {MAX_VARIANTS} variants with {MAX_INDEX_TEXTS} bytes of texts, found {count} with {}",
            header.texts_len
        );
        return Err(Error::new(Status::Limit, message).at(offset));
    }
    let (rows, texts) = <[Row]>::ref_from_prefix_with_elems(rest, count).map_err(|_| cut())?;
    let whole = texts.len() == header.texts_len.get() as usize && texts.len().is_multiple_of(ALIGN as usize);
    if !whole || header.reserved != [0; 4] {
        return Err(cut());
    }
    let used = rows.iter().map(|row| u64::from(row.texts_len.get())).sum::<u64>();
    let (texts, padding) = usize::try_from(used).ok().and_then(|used| texts.split_at_checked(used)).ok_or_else(cut)?;
    if padding.len() as u64 >= ALIGN || first_nonzero(padding).is_some() {
        return Err(wrong("the texts of all rows and zeros to a multiple of 8, found other bytes".to_owned()));
    }
    let mut texts = std::str::from_utf8(texts).map_err(|_| wrong("texts in UTF-8, found other bytes".to_owned()))?;
    let mut found = alloc::with_capacity(count, "the list of variants")?;
    let (mut end, mut numbers, mut target) = (offset, [false; MAX_VARIANTS], "");
    for (at, row) in rows.iter().enumerate() {
        let wrong = |what: String| {
            Error::corrupt(format!("index: expected variant {at} {what}"))
                .at(offset + HEADER_SIZE + at as u64 * ROW_SIZE)
        };
        // The next row's variant comes before this one in the file. Each begins where the one before it ends, but for alignment.
        let (start, len) = (row.offset.get(), row.len.get());
        let after =
            start.checked_add(len).and_then(|after| align_up(after, if at == 0 { ALIGN } else { VARIANT_ALIGN }));
        if !start.is_multiple_of(VARIANT_ALIGN) || len < MIN_VARIANT || after != Some(end) {
            return Err(wrong(format!(
                "to end before {end}, where the next part begins, found {len} bytes at {start}"
            )));
        }
        end = start;
        let added = row.added.get() as usize;
        let is_taken = numbers.get_mut(..count).and_then(|numbers| numbers.get_mut(added));
        if is_taken.is_none_or(|taken| std::mem::replace(taken, true)) || row.reserved != [0; 4] {
            return Err(wrong(format!("with a number below {count} that no other row has, found {added}")));
        }
        let (own, rest) = texts.split_at_checked(row.texts_len.get() as usize).ok_or_else(cut)?;
        texts = rest;
        let target_end = own.find('\0').unwrap_or(own.len());
        let (own_target, needs) = (own.get(..target_end).unwrap_or(""), own.get(target_end + 1..).unwrap_or(""));
        target = if own_target.is_empty() { target } else { own_target };
        // Whether they are sorted shows when they are compared with those of the variant, which are.
        if target.is_empty() || !own.ends_with('\0') {
            return Err(wrong("to have a target and needs with a NUL after each, found other texts".to_owned()));
        }
        let nuls = needs.bytes().filter(|byte| *byte == 0).count();
        check_needs(nuls).map_err(|error| error.at(offset))?;
        let (score, added) = (row.score.get(), row.added.get());
        found.push(Variant {
            offset: start,
            len,
            target,
            score,
            added,
            checksum: row.checksum,
            needs: Needs::Texts(needs),
        });
    }
    if end != 0 {
        return Err(wrong(format!("the last row's variant at the start of the file, found it at {end}")));
    }
    Ok(found)
}

/// What a writer knows about a variant.
#[derive(Clone, Copy, Debug)]
pub struct NewRow<'r> {
    /// Length of the variant in bytes.
    pub len: u64,
    /// The checksum in its footer.
    pub checksum: Digest,
    /// When it was added.
    pub added: u32,
    /// Its score.
    pub score: i32,
    /// The target triple and each need, all with a NUL at the end.
    pub texts: &'r [u8],
}

/// Encodes header, rows and texts of an index, and returns them with the offset of the index. `rows` are in the order of the index.
///
/// # Errors
///
/// LIMIT for more texts than a reader accepts, or a file of 2^64 bytes; NO_MEMORY.
pub fn encode_index(rows: &[NewRow<'_>]) -> Result<(Vec<u8>, u64)> {
    let too_large = || Error::new(Status::Limit, "index: expected a file shorter than 2^64 bytes, found more");
    let target_of = |row: &NewRow<'_>| row.texts.iter().position(|byte| *byte == 0).unwrap_or(0);
    let mut texts = alloc::with_capacity(rows.len(), "the index")?;
    let mut last: &[u8] = &[];
    for row in rows {
        // What follows the target begins with its NUL.
        let (target, rest) = row.texts.split_at(target_of(row));
        texts.push(if target == last { rest } else { row.texts });
        last = target;
    }
    let texts_len: usize = texts.iter().map(|texts| texts.len()).sum();
    let padded = texts_len.next_multiple_of(ALIGN as usize);
    if padded as u64 > MAX_INDEX_TEXTS {
        let message =
            format!("index: expected at most {MAX_INDEX_TEXTS} bytes of targets and needs, found {texts_len}");
        return Err(Error::new(Status::Limit, message));
    }
    let header = IndexHeader {
        magic: INDEX_MAGIC,
        format: INDEX_FORMAT.into(),
        variants: (rows.len() as u32).into(), // at most MAX_VARIANTS
        texts_len: (padded as u32).into(),    // at most MAX_INDEX_TEXTS
        reserved: [0; 4],
    };
    let mut encoded = alloc::with_capacity(rows.len(), "the index")?;
    let mut end = 0;
    for (row, texts) in rows.iter().zip(&texts).rev() {
        let offset = align_up(end, VARIANT_ALIGN).ok_or_else(too_large)?;
        end = offset.checked_add(row.len).ok_or_else(too_large)?;
        encoded.push(Row {
            offset: offset.into(),
            len: row.len.into(),
            checksum: row.checksum,
            added: row.added.into(),
            score: row.score.into(),
            texts_len: (texts.len() as u32).into(),
            reserved: [0; 4],
        });
    }
    encoded.reverse();
    let size = size_of::<IndexHeader>() + size_of_val(encoded.as_slice()) + padded;
    let mut out = alloc::with_capacity(size, "the index")?;
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(encoded.as_bytes());
    texts.iter().for_each(|texts| out.extend_from_slice(texts));
    out.resize(size, 0);
    Ok((out, align_up(end, ALIGN).ok_or_else(too_large)?))
}

/// Creates the footer of an index of `size` bytes at `index_offset`, with this many signatures.
///
/// # Errors
///
/// LIMIT for a file of 2^64 bytes.
pub fn index_footer(
    index_offset: u64,
    size: u64,
    signatures: u32,
    signatures_digest: Digest,
    index_digest: Digest,
) -> Result<IndexFooter> {
    let rest = size + u64::from(signatures) * SIGNATURE_SIZE + INDEX_FOOTER_SIZE;
    let file_len = index_offset.checked_add(rest);
    let file_len = file_len
        .ok_or_else(|| Error::new(Status::Limit, "index: expected a file shorter than 2^64 bytes, found more"))?;
    Ok(IndexFooter {
        index_offset: index_offset.into(),
        file_len: file_len.into(),
        signatures: signatures.into(),
        reserved: [0; 4],
        signatures_digest,
        index_digest,
        magic: INDEX_FOOTER_MAGIC,
    })
}
