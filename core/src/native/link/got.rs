//! The global offset table: which slots it has, what they hold, and the dynamic relocations that fill them.

use std::num::NonZero;

use object::elf::RelocationType;

use super::apply::{ImageWriter, LinkContext};
use super::dynamic::DynamicReloc;
use super::sections::{Synthetic, too_large};
use super::symbols::{Entry, Symbols, Target};
use super::{defect, item, item_mut};
use crate::alloc;
use crate::error::Result;
use crate::native::machine::{Machine, Slot};

#[derive(Default)]
pub(super) struct Got {
    /// The kind of each slot, and its symbol.
    slots: Vec<(Slot, usize)>,
    /// The number of the first word of the slot for local dynamic, of which one is enough.
    local: Option<NonZero<u32>>,
    words: u32,
}

/// What the loader finds in a word of the GOT.
enum Word {
    Constant(u64),
    Relocated {
        kind: RelocationType,
        /// Whether the relocation names the symbol.
        named: bool,
        addend: u64,
    },
}

impl Got {
    /// Adds a slot for a symbol, unless the symbol has one of this kind.
    pub fn add(&mut self, symbols: &mut Symbols<'_>, index: usize, slot: Slot) -> Result<()> {
        let entry = item_mut(&mut symbols.entries, index, "symbol")?;
        let first =
            if slot == Slot::Local { &mut self.local } else { item_mut(&mut entry.slots, slot as usize, "slot")? };
        if first.is_some() {
            return Ok(());
        }
        *first = NonZero::new(self.words.checked_add(1).ok_or_else(too_large)?);
        self.words = self.words.checked_add(slot.words()).ok_or_else(too_large)?;
        entry.imported |= entry.target() == Target::Outside;
        alloc::push(&mut self.slots, (slot, index), "slots of the GOT")
    }

    /// Returns the offset of a symbol's slot.
    pub fn offset(&self, entry: &Entry<'_>, slot: Slot) -> Result<u64> {
        let first = if slot == Slot::Local { self.local } else { *item(&entry.slots, slot as usize, "slot")? };
        first
            .map(|number| 8 * u64::from(number.get() - 1))
            .ok_or_else(|| defect(format_args!("a symbol has no {slot:?} slot")))
    }

    /// Returns the size in bytes. Relocations may refer to the address of a GOT that has no slots, so it is not 0.
    pub fn size(&self) -> u64 {
        8 * u64::from(self.words.max(1))
    }

    /// Returns the number of dynamic relocations.
    pub fn relocations(&self, symbols: &Symbols<'_>, machine: &Machine) -> Result<u64> {
        let mut count = 0;
        for (slot, index) in &self.slots {
            let words = words(*slot, item(&symbols.entries, *index, "symbol")?, machine)?;
            count += words.iter().filter(|word| matches!(word, Word::Relocated { .. })).count() as u64;
        }
        Ok(count)
    }

    /// Returns whether code relies on static thread-local storage.
    pub fn has_static_tls(&self) -> bool {
        self.slots.iter().any(|(slot, _)| *slot == Slot::StaticOffset)
    }
}

/// Returns what the words of a slot hold; a slot of one word has the first.
fn words(slot: Slot, entry: &Entry<'_>, machine: &Machine) -> Result<[Word; 2]> {
    let (tls, value) = (&machine.tls, entry.address);
    let inside = |kind, addend| Word::Relocated { kind, named: false, addend };
    let outside = |kind| Word::Relocated { kind, named: true, addend: 0 };
    let none = Word::Constant(0);
    Ok(match (slot, entry.target()) {
        (Slot::Address, Target::Inside) => [inside(machine.relative, value), none],
        (Slot::Address, Target::Indirect) => [inside(machine.indirect, value), none],
        (Slot::Address, Target::Outside) => [outside(machine.glob_dat), none],
        (Slot::Address, Target::Absolute) => [Word::Constant(value), none],
        (Slot::Address, Target::Zero) => [Word::Constant(0), none],
        (Slot::General, Target::Inside) => [inside(tls.module, 0), Word::Constant(value)],
        (Slot::General, Target::Outside) => [outside(tls.module), outside(tls.offset)],
        (Slot::Local, Target::Inside) => [inside(tls.module, 0), none],
        // The loader writes both words of a descriptor.
        (Slot::Descriptor, Target::Inside) => [inside(tls.descriptor, value), none],
        (Slot::Descriptor, Target::Outside) => [outside(tls.descriptor), none],
        (Slot::StaticOffset, Target::Outside) => [outside(tls.static_offset), none],
        (slot, target) => return Err(defect(format_args!("the GOT has a {slot:?} slot for a symbol {target:?}"))),
    })
}

impl LinkContext<'_> {
    /// Returns the address of a symbol's slot.
    pub fn slot_address(&self, entry: &Entry<'_>, slot: Slot) -> Result<u64> {
        Ok(self.layout.synthetic_address(Synthetic::Got)? + self.needs.got.offset(entry, slot)?)
    }

    pub fn write_got(&self, writer: &mut ImageWriter<'_>) -> Result<()> {
        for (slot, index) in &self.needs.got.slots {
            let entry = item(&self.symbols.entries, *index, "symbol")?;
            let at = self.needs.got.offset(entry, *slot)?;
            let offset = self.layout.synthetic_offset(Synthetic::Got)? + at as usize;
            let address = self.layout.synthetic_address(Synthetic::Got)? + at;
            for (position, word) in words(*slot, entry, self.machine)?.iter().enumerate().take(slot.words() as usize) {
                let (offset, address) = (offset + 8 * position, address + 8 * position as u64);
                match *word {
                    Word::Constant(value) => writer.put(offset, &value.to_le_bytes())?,
                    Word::Relocated { kind, named, addend } => {
                        if kind == self.machine.relative {
                            writer.put(offset, &addend.to_le_bytes())?;
                        }
                        let (entry, addend) = (named.then_some(*index), addend.cast_signed());
                        writer.defer(DynamicReloc { kind, address, entry, addend })?;
                    }
                }
            }
        }
        Ok(())
    }
}
