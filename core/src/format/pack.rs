//! A pack: many whole artifacts in one file, then a table of them, which is searched without reading the rest.
//!
//! The structs have the layout of the file, as those of the trailer. The file begins with [`PACK_MAGIC`] and zeros; then come the
//! artifacts, each at a multiple of the pack's alignment, the table in blocks of [`BLOCK_ROWS`] rows, the directory of these blocks,
//! the root record, the signatures and the footer. This module only locates and checks them; `trust` computes the digests.

use zerocopy::byteorder::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::trailer::{Digest, Signed};
use crate::error::{Error, Result, Status};
use crate::limits::{MAX_ALIGN, MAX_PACK_ROWS};

/// The first bytes of a pack.
pub const PACK_MAGIC: [u8; 8] = *b"\x93AFP\r\n\x1a\n";
/// The pack format that this library reads and writes.
pub const FORMAT: u32 = 1;
/// Number of rows in a block. The last block may have fewer.
pub const BLOCK_ROWS: u64 = 64;
/// Alignment of the table, and the smallest one of artifacts.
pub const ALIGN: u64 = 8;

/// What the footer of a pack is over.
pub const SIGNED: Signed = Signed {
    what: "pack",
    magic: *b"\x93AFQ\r\n\x1a\n",
    record_size: size_of::<PackRoot>() as u64,
    context: b"libartifact pack signature 1\0",
};

/// The first bytes of an engine's fingerprint: which target an artifact was built for. They tell targets apart; whether the artifact
/// fits the host is checked when it is used.
pub type Target = [u8; 8];

/// The root record, which signatures are over.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct PackRoot {
    /// [`FORMAT`].
    pub format: U32,
    /// Zeros.
    pub reserved: [u8; 4],
    /// Each artifact begins at a multiple of this.
    pub align: U64,
    /// Number of rows.
    pub rows: U64,
    /// Offset of the table. The directory follows it, then this record.
    pub table: U64,
    /// Digest of the directory.
    pub directory_digest: Digest,
    /// Zeros.
    pub reserved_end: [u8; 64],
}

/// A row of the table: an artifact and what it is found by. Rows are sorted by key, then target, without duplicates, and the artifacts
/// are in the order of their rows.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct Row {
    /// The digest of the key.
    pub key: Digest,
    /// The target that the artifact was built for.
    pub target: Target,
    /// Offset of the artifact.
    pub offset: U64,
    /// Length of the artifact in bytes.
    pub len: U64,
    /// Digest of the root record in the artifact's trailer.
    pub root_digest: Digest,
}

/// An entry of the directory: what a block of rows begins with, and its digest.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
pub struct Block {
    /// The key of the block's first row.
    pub key: Digest,
    /// The target of the block's first row.
    pub target: Target,
    /// Digest of the block's rows.
    pub digest: Digest,
}

/// Size of a row.
pub const ROW_SIZE: u64 = size_of::<Row>() as u64;
/// Size of an entry of the directory.
pub const BLOCK_SIZE: u64 = size_of::<Block>() as u64;

/// The offsets of a pack's parts in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Number of rows.
    pub rows: u64,
    /// Number of blocks that the rows are in.
    pub blocks: u64,
    /// Alignment of artifacts.
    pub align: u64,
    /// Offset of the table, which is the end of the artifacts.
    pub table: u64,
    /// Offset of the directory.
    pub directory: u64,
    /// Offset of the root record.
    pub root: u64,
}

/// Returns whether artifacts in a pack can have this alignment.
#[must_use]
pub fn is_alignment(align: u64) -> bool {
    align.is_power_of_two() && (ALIGN..=MAX_ALIGN).contains(&align)
}

impl Layout {
    /// Computes the layout of a pack. Returns none on overflow.
    #[must_use]
    pub fn new(rows: u64, align: u64, table: u64) -> Option<Layout> {
        let blocks = rows.div_ceil(BLOCK_ROWS);
        let directory = table.checked_add(rows.checked_mul(ROW_SIZE)?)?;
        let root = directory.checked_add(blocks.checked_mul(BLOCK_SIZE)?)?;
        Some(Layout { rows, blocks, align, table, directory, root })
    }

    /// Returns offset and number of the rows in a block.
    #[must_use]
    pub fn block(&self, index: u64) -> (u64, u64) {
        let before = index.saturating_mul(BLOCK_ROWS).min(self.rows);
        (self.table + before * ROW_SIZE, (self.rows - before).min(BLOCK_ROWS))
    }
}

impl PackRoot {
    /// Checks that a root record at `offset` is consistent, and returns the layout that it describes.
    ///
    /// # Errors
    ///
    /// UNSUPPORTED for another format, LIMIT for too many rows, CORRUPT for a record that contradicts itself.
    pub fn check(&self, offset: u64) -> Result<Layout> {
        let wrong = |what: String| Error::corrupt(format!("pack: {what}")).at(offset);
        let PackRoot { format, reserved, align, rows, table, reserved_end, .. } = *self;
        if format.get() != FORMAT {
            let message = format!("pack: expected format {FORMAT}, found {format}");
            return Err(Error::new(Status::Unsupported, message).at(offset));
        }
        if rows.get() > MAX_PACK_ROWS {
            let message = format!("pack: expected at most {MAX_PACK_ROWS} artifacts, found {rows}");
            return Err(Error::new(Status::Limit, message).at(offset));
        }
        if !is_alignment(align.get()) {
            return Err(wrong(format!(
                "expected a power of two from {ALIGN} to {MAX_ALIGN} as alignment, found {align}"
            )));
        }
        if reserved != [0; 4] || reserved_end != [0; 64] {
            return Err(wrong("expected zeros in the root record's reserved fields, found other bytes".to_owned()));
        }
        let layout = Layout::new(rows.get(), align.get(), table.get());
        layout
            .filter(|layout| {
                layout.root == offset && layout.table >= PACK_MAGIC.len() as u64 && layout.table.is_multiple_of(ALIGN)
            })
            .ok_or_else(|| {
                wrong(format!(
                    "expected {rows} rows and their directory before the root record, found a table at {table}"
                ))
            })
    }
}

impl Row {
    /// What rows are sorted by.
    #[must_use]
    pub fn name(&self) -> (&Digest, &Target) {
        (&self.key, &self.target)
    }

    /// Returns the end of the artifact. No overflow in a checked row.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.get().saturating_add(self.len.get())
    }
}

impl Block {
    /// What blocks are sorted by.
    #[must_use]
    pub fn name(&self) -> (&Digest, &Target) {
        (&self.key, &self.target)
    }
}

/// Checks that the directory has an entry for each block and is sorted.
///
/// # Errors
///
/// CORRUPT if it has another length than the layout says, or isn't sorted.
pub fn check_directory(bytes: &[u8], layout: &Layout) -> Result<()> {
    let wrong = |what: &str| Error::corrupt(format!("pack: expected {what}")).at(layout.directory);
    let blocks = <[Block]>::ref_from_bytes(bytes).ok().filter(|blocks| blocks.len() as u64 == layout.blocks);
    let blocks =
        blocks.ok_or_else(|| wrong("a directory with an entry for each block, found one of another length"))?;
    if !blocks.is_sorted_by(|a, b| a.name() < b.name()) {
        return Err(wrong("a directory sorted by key and target, found one out of order"));
    }
    Ok(())
}

/// Decodes the rows of the block with this index, and checks that they are where the directory says, sorted, and describe artifacts that
/// lie one after another before the table.
///
/// # Errors
///
/// CORRUPT otherwise.
pub fn check_rows<'b>(bytes: &'b [u8], layout: &Layout, directory: &[Block], index: usize) -> Result<&'b [Row]> {
    let (offset, count) = layout.block(index as u64);
    let wrong = |what: &str| Error::corrupt(format!("pack: expected {what}")).at(offset);
    let rows = <[Row]>::ref_from_bytes(bytes).ok().filter(|rows| rows.len() as u64 == count);
    let rows = rows.ok_or_else(|| wrong("a whole block of rows, found another number of bytes"))?;
    let (this, next) = (directory.get(index).map(Block::name), directory.get(index + 1).map(Block::name));
    let after = |last: &Row| next.is_none_or(|next| last.name() < next);
    let begins = rows.first().map(Row::name) == this;
    if !begins || !rows.is_sorted_by(|a, b| a.name() < b.name()) || !rows.last().is_none_or(after) {
        return Err(wrong("rows sorted by key and target, as in the directory, found them out of order"));
    }
    let mut end = PACK_MAGIC.len() as u64;
    for row in rows {
        let (start, len) = (row.offset.get(), row.len.get());
        let fits = start >= end
            && start.is_multiple_of(layout.align)
            && len > 0
            && start.checked_add(len).is_some_and(|end| end <= layout.table);
        if !fits {
            let message = format!(
                "artifacts in the order of their rows, at multiples of {}, from {end} to {}, found {len} bytes at {start}",
                layout.align, layout.table
            );
            return Err(wrong(&message));
        }
        end = row.end();
    }
    Ok(rows)
}

/// Searches sorted blocks for the one that a name would be in.
#[must_use]
pub fn find_block(directory: &[Block], name: (&Digest, &Target)) -> Option<usize> {
    directory.partition_point(|block| block.name() <= name).checked_sub(1)
}

/// Searches sorted rows for a name.
#[must_use]
pub fn find_row<'r>(rows: &'r [Row], name: (&Digest, &Target)) -> Option<&'r Row> {
    rows.get(rows.binary_search_by(|row| row.name().cmp(&name)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_match_the_documented_tables() {
        assert_eq!((ROW_SIZE, BLOCK_SIZE, SIGNED.record_size, SIGNED.context.len()), (88, 72, 128, 29));
    }

    #[test]
    fn offsets_that_overflow_are_no_layout() {
        assert_eq!(Layout::new(u64::MAX, 8, 8), None);
        assert_eq!(Layout::new(1, 8, u64::MAX - 7), None);
        let layout = Layout::new(65, 8, 16).unwrap();
        assert_eq!((layout.blocks, layout.directory, layout.root), (2, 16 + 65 * 88, 16 + 65 * 88 + 144));
        assert_eq!([0, 1, 2, u64::MAX].map(|index| layout.block(index).1), [64, 1, 0, 0]);
    }
}
