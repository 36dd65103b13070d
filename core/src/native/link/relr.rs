//! Packed relative relocations, `.relr.dyn` (gABI, Relative Relocation Table): an address, then bitmaps of the 63 words that follow
//! it or the last bitmap. The addends are in the words.
//!
//! The table's size depends on the distances between words of one segment, and these do not depend on its size: the table is in
//! another segment, and each segment starts at a multiple of its sections' alignments. So the image is laid out and written without
//! the table, which is then made and measured, and once more with room for it.

use super::dynamic::DynamicReloc;
use super::layout::Layout;
use crate::alloc;
use crate::error::Result;
use crate::native::machine::Machine;

/// The size of a word.
pub(super) const WORD: u64 = 8;
/// A bitmap's lowest bit tells it from an address; each of the others stands for a word.
const WORDS_OF_BITMAP: u64 = 63;

/// The dynamic relocations of an image.
pub(super) struct Packed {
    /// Those that are in the table, by address.
    pub packed: Vec<DynamicReloc>,
    /// All others.
    pub rest: Vec<DynamicReloc>,
    /// The table.
    pub table: Vec<u64>,
}

impl Packed {
    /// Packs relative relocations. An odd address would be a bitmap. Words that overlap would get the sum of what is added to each.
    pub fn new(mut found: Vec<DynamicReloc>, layout: &Layout<'_>, machine: &Machine) -> Result<Packed> {
        let mut packed = alloc::with_capacity(found.len(), ".relr.dyn")?;
        let mut rest = Vec::new();
        alloc::sort(&mut found, ".relr.dyn", |relocation| (relocation.kind != machine.relative, relocation.address))?;
        let mut relative = found.iter().take_while(|relocation| relocation.kind == machine.relative).peekable();
        let mut free = 0;
        while let Some(relocation) = relative.next() {
            let (address, end) = (relocation.address, relocation.address.saturating_add(WORD));
            let overlaps = address < free || relative.peek().is_some_and(|next| next.address < end);
            free = end;
            if overlaps || !address.is_multiple_of(2) {
                alloc::push(&mut rest, *relocation, ".rela.dyn")?;
            } else {
                packed.push(*relocation);
            }
        }
        let others = found.iter().skip_while(|relocation| relocation.kind == machine.relative);
        others.copied().try_for_each(|relocation| alloc::push(&mut rest, relocation, ".rela.dyn"))?;
        let mut table = Vec::new();
        let segment = |relocation: &DynamicReloc| layout.segment_at(relocation.address).map(|segment| segment.address);
        for of_segment in packed.chunk_by(|one, other| segment(one) == segment(other)) {
            encode(of_segment.iter().map(|relocation| relocation.address), &mut table)?;
        }
        Ok(Packed { packed, rest, table })
    }
}

/// Appends the encoding of ascending, even addresses of words that do not overlap.
fn encode(addresses: impl Iterator<Item = u64>, table: &mut Vec<u64>) -> Result<()> {
    let mut addresses = addresses.peekable();
    while let Some(address) = addresses.next() {
        alloc::push(table, address, ".relr.dyn")?;
        let mut next = address + WORD;
        loop {
            let mut bits = 0;
            let bit = |address: &u64| {
                // A word at another distance than the bitmap's words may be in its range.
                let distance = address.checked_sub(next)?;
                (distance.is_multiple_of(WORD) && distance < WORDS_OF_BITMAP * WORD).then_some(distance / WORD)
            };
            while let Some(bit) = addresses.peek().and_then(bit) {
                bits |= 2 << bit;
                addresses.next();
            }
            if bits == 0 {
                break;
            }
            alloc::push(table, bits | 1, ".relr.dyn")?;
            next += WORDS_OF_BITMAP * WORD;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn words_are_addresses_and_bitmaps() {
        let encoded = |addresses: &[u64]| {
            let mut table = Vec::new();
            encode(addresses.iter().copied(), &mut table).unwrap();
            table
        };
        assert!(encoded(&[]).is_empty());
        assert_eq!(encoded(&[0x1000]), [0x1000]);
        assert_eq!(encoded(&[0x1000, 0x1008, 0x1018]), [0x1000, 0b1011]);
        // The last word of the first bitmap, and the first of the second.
        assert_eq!(encoded(&[0x1000, 0x1000 + 63 * 8]), [0x1000, 1 << 63 | 1]);
        assert_eq!(encoded(&[0x1000, 0x1008, 0x1000 + 64 * 8]), [0x1000, 3, 3]);
        // Out of reach without a bitmap in between, and at another distance than words have.
        assert_eq!(encoded(&[0x1000, 0x1000 + 64 * 8]), [0x1000, 0x1000 + 64 * 8]);
        assert_eq!(encoded(&[0x1000, 0x100a, 0x1012]), [0x1000, 0x100a, 3]);
        assert_eq!(encoded(&[0x1000, 0x1008, 0x1012, 0x101a]), [0x1000, 3, 0x1012, 3]);
        let run: Vec<u64> = (0..127).map(|word| 0x1000 + 8 * word).collect();
        assert_eq!(encoded(&run), [0x1000, u64::MAX, u64::MAX]);
    }
}
