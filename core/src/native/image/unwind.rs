//! Where an image's unwind table is, and what says where it ends.

use object::LittleEndian as Le;
use object::elf::{self, SectionHeader64};

use super::{Bytes, Tables, header, not_kept, refused, slice_at, unsupported, word};
use crate::error::Result;
use crate::native::eh_frame::TableEnd;

/// An unwind table, `.eh_frame`.
#[derive(Clone, Copy, Debug)]
pub struct UnwindTable {
    /// Its address, in a read-only segment.
    pub address: u64,
    /// Its offset.
    pub offset: usize,
    /// The offset up to which the bytes that follow are mapped.
    pub limit: usize,
    /// What says where it ends, besides a terminator: many linkers write none unless `crtend.o` brings it.
    pub end: TableEnd,
}

const PCREL_SDATA4: u8 = 0x1b;
const DATAREL_SDATA4: u8 = 0x3b;
const UDATA4: u8 = 0x03;
const OMIT: u8 = 0xff;

impl Tables {
    /// Finds the unwind table by its header, PT_GNU_EH_FRAME.
    pub(super) fn find_eh_frame(&mut self, bytes: &Bytes<'_>, address: u64, page: u64) -> Result<()> {
        let (_, place) = self.place(address, 8, ".eh_frame_hdr")?;
        let start = place.start;
        let &[version, encoding, count, table, a, b, c, d] = bytes.get(place).unwrap_or(&[]) else {
            return Err(not_kept(".eh_frame_hdr"));
        };
        match (version, encoding) {
            (1, OMIT) => return Ok(()),
            (1, PCREL_SDATA4) => {}
            _ => {
                let message = format!(
                    ".eh_frame_hdr: expected version 1 and encoding {PCREL_SDATA4:#x}, found {version} and {encoding:#x}"
                );
                return Err(unsupported(message));
            }
        }
        let target = address.wrapping_add(4).wrapping_add_signed(i32::from_le_bytes([a, b, c, d]).into());
        self.set_eh_frame(target, None, page)?;
        let Some(found) = self.eh_frame else { return Ok(()) };
        if !bytes.keep(&(found.offset..found.limit)) {
            return Err(not_kept(".eh_frame"));
        }
        // Section headers aren't mapped. What is read where it is mapped ends with a terminator, or is read again as a whole.
        let Some(sections) = sections(bytes) else { return Ok(()) };
        let listed = || match (count, table) {
            (UDATA4, DATAREL_SDATA4) => last_listed(bytes, start, target.wrapping_sub(address)),
            _ => None,
        };
        let end = section_len(sections, &found).map(TableEnd::At).or_else(|| listed().map(TableEnd::After));
        self.eh_frame = Some(UnwindTable { end: end.unwrap_or(TableEnd::Unknown), ..found });
        Ok(())
    }

    /// Sets the address of `.eh_frame`, and its length if it is known.
    pub(in crate::native) fn set_eh_frame(&mut self, address: u64, len: Option<usize>, page: u64) -> Result<()> {
        let (segment, place) = self.place(address, 0, ".eh_frame")?;
        if segment.writable {
            return Err(refused("a writable .eh_frame"));
        }
        let mapped = (segment.offset + segment.file_len).next_multiple_of(page);
        let limit = self.image.min(usize::try_from(mapped).unwrap_or(usize::MAX));
        let end = len.map_or(TableEnd::Unknown, TableEnd::At);
        self.eh_frame = Some(UnwindTable { address, offset: place.start, limit, end });
        Ok(())
    }
}

/// The section headers, if they are among the bytes that are read.
fn sections<'a>(bytes: &Bytes<'a>) -> Option<&'a [SectionHeader64<Le>]> {
    let header = header(bytes).ok()?;
    if usize::from(header.e_shentsize.get(Le)) != size_of::<SectionHeader64<Le>>() {
        return Some(&[]);
    }
    slice_at(bytes, header.e_shoff.get(Le), header.e_shnum.get(Le).into())
}

/// The length of the section that is at the table's address.
fn section_len(sections: &[SectionHeader64<Le>], table: &UnwindTable) -> Option<usize> {
    let found = sections.iter().find(|section| {
        section.sh_addr.get(Le) == table.address
            && section.sh_offset.get(Le) == table.offset as u64
            && section.sh_type.get(Le) != elf::SHT_NOBITS
            && section.sh_size.get(Le) > 0
    })?;
    usize::try_from(found.sh_size.get(Le)).ok().filter(|len| *len <= table.limit - table.offset)
}

/// The largest offset in the unwind table of an FDE that `.eh_frame_hdr` lists. `start` is that header's offset, and `distance` the
/// unwind table's distance from it.
fn last_listed(bytes: &Bytes<'_>, start: usize, distance: u64) -> Option<usize> {
    let count = word(bytes, start + 8)?;
    let entries: &[[u8; 8]] = slice_at(bytes, start as u64 + 12, count.into())?;
    let offset = |entry: &[u8; 8]| {
        let [.., a, b, c, d] = *entry;
        i64::from(i32::from_le_bytes([a, b, c, d])).wrapping_sub_unsigned(distance)
    };
    usize::try_from(entries.iter().map(offset).max()?).ok()
}
