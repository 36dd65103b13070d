//! Access to the bytes of an image.

use std::ops::Range;

use object::pod::{self, Pod};

/// Bytes of an image, which are found by their offsets: all of them, or those that are mapped.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    /// Each with its offset.
    pieces: [(usize, &'a [u8]); 2],
}

impl<'a> Bytes<'a> {
    /// All bytes of an image.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes { pieces: [(0, bytes), (0, &[])] }
    }

    /// Two pieces of an image, each with its offset. Relocations are never written to the first one; they may be to the second one,
    /// once the tables have been found.
    #[must_use]
    pub fn pieces(pieces: [(usize, &'a [u8]); 2]) -> Bytes<'a> {
        Bytes { pieces }
    }

    /// The bytes of a range of offsets, if they lie in one piece.
    #[must_use]
    #[inline]
    pub fn get(&self, range: Range<usize>) -> Option<&'a [u8]> {
        let within = |(start, bytes): &(usize, &'a [u8])| {
            bytes.get(range.start.checked_sub(*start)?..range.end.checked_sub(*start)?)
        };
        if range.is_empty() { Some(&[]) } else { self.pieces.iter().find_map(within) }
    }

    /// Whether a range lies in the first piece. Tables that are read again when relocations are applied have to.
    pub(super) fn keep(&self, range: &Range<usize>) -> bool {
        let (start, bytes) = self.pieces[0];
        range.is_empty() || range.start >= start && range.end - start <= bytes.len()
    }
}

/// `count` structs at an offset.
pub(super) fn slice_at<'a, T: Pod>(bytes: &Bytes<'a>, offset: u64, count: u64) -> Option<&'a [T]> {
    let (start, count) = (usize::try_from(offset).ok()?, usize::try_from(count).ok()?);
    let end = start.checked_add(count.checked_mul(size_of::<T>())?)?;
    Some(pod::slice_from_bytes(bytes.get(start..end)?, count).ok()?.0)
}

/// The little-endian word at an offset.
pub(super) fn word(bytes: &Bytes<'_>, at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..at.checked_add(4)?)?.first_chunk()?))
}
