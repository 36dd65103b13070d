//! Everything that differs by machine: relocation types and what they mean, PLT entries, page size. Each machine has a file.
//! The linker looks machines up by `e_machine` ([`Machine::of`]); the loader asks about the host, [`HOST`].

mod aarch64;
mod x86_64;

use object::elf::{self, RelocationType, SectionType};

/// A machine that objects can be linked for.
pub struct Machine {
    pub name: &'static str,
    /// `e_machine`.
    pub number: elf::Machine,
    /// The largest page size that Linux kernels for this machine use. Segments are aligned to it in memory.
    pub page: u64,
    /// The name of a relocation type, for messages.
    pub names: fn(RelocationType) -> Option<&'static str>,
    /// Dynamic relocation: a word that holds an address inside the image.
    pub relative: RelocationType,
    /// Dynamic relocation: a GOT entry that holds a symbol's address.
    pub glob_dat: RelocationType,
    /// Dynamic relocation: a word of data that holds a symbol's address plus an addend.
    pub word: RelocationType,
    /// What a relocation of an object computes and where it stores the result; `None` for unknown types.
    pub how: fn(RelocationType) -> Option<How>,
    /// Whether the field at an offset belongs to an instruction that jumps to an address, rather than reading or taking it.
    pub is_jump: fn(&[u8], usize) -> bool,
    /// If the instruction with this field loads an address from the GOT or contains a whole address: an instruction to
    /// replace it, which computes the address.
    pub relax: fn(&[u8], usize, Value) -> Option<Relaxed>,
    /// Jumps to the address in a GOT entry.
    pub stub: Template,
    /// Calls `__cxa_finalize`, if the host has one, with `__dso_handle`.
    pub finalizer: Template,
    /// `SHN_COMMON` of the large memory model: such a symbol may be further than 2 GiB away.
    pub large_common: Option<elf::SymbolSection>,
    /// Section type that this machine's ABI allows for `.eh_frame`, besides SHT_PROGBITS.
    pub unwind: Option<SectionType>,
}

/// Every machine that objects can be linked for.
pub const ALL: [&Machine; 2] = [&x86_64::MACHINE, &aarch64::MACHINE];

/// The machine that this program runs on; `None` if code for it cannot be loaded.
pub const HOST: Option<&Machine> = if cfg!(target_arch = "x86_64") {
    Some(&x86_64::MACHINE)
} else if cfg!(target_arch = "aarch64") {
    Some(&aarch64::MACHINE)
} else {
    None
};

/// [`Machine::relative`] of the host, as a constant for the loader's inner loop.
pub const HOST_RELATIVE: RelocationType = match HOST {
    Some(machine) => machine.relative,
    None => RelocationType(u32::MAX),
};

/// What a dynamic relocation asks the loader to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DynamicRelocation {
    /// S: the symbol's address. The addend is ignored.
    Symbol,
    /// S + A: the symbol's address plus the addend.
    SymbolPlusAddend,
    /// Nothing.
    Nothing,
    /// A relocation that this loader does not apply, by name.
    Unsupported(&'static str),
    /// A type that the machine's psABI does not define for shared objects.
    Unknown,
}

/// What a dynamic relocation asks for on the host's machine. [`HOST_RELATIVE`] is not among the cases: most dynamic
/// relocations have that type, and loaders compare with it first.
#[inline(always)]
pub fn host_dynamic_relocation(kind: RelocationType) -> DynamicRelocation {
    if cfg!(target_arch = "x86_64") {
        x86_64::dynamic_relocation(kind)
    } else if cfg!(target_arch = "aarch64") {
        aarch64::dynamic_relocation(kind)
    } else {
        DynamicRelocation::Unknown
    }
}

/// An instruction in place of another.
pub struct Relaxed {
    /// It begins so many bytes before the old one's field.
    pub before: usize,
    pub code: [u8; 10],
    /// How much of `code` is meant.
    pub len: usize,
    /// Its own field, relative to the instruction's end, and so many bytes behind the old one's.
    pub field: Field,
    pub behind: usize,
    pub addend: i64,
}

/// Code with holes.
pub struct Template {
    pub code: &'static [u8],
    pub holes: &'static [Hole],
}

/// Where code takes an address.
pub struct Hole {
    pub at: usize,
    pub how: How,
    pub addend: i64,
    pub of: Of,
}

/// Whose address.
#[derive(Clone, Copy)]
pub enum Of {
    Slot,
    Handle,
}

/// What a relocation is.
#[derive(Clone, Copy)]
pub struct How {
    pub value: Value,
    pub field: Field,
}

/// What a relocation computes, with the letters of the psABIs: S symbol, A addend, P place, G slot in the GOT, L stub or,
/// where there is none, symbol; GOT its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    Nothing,
    /// S + A
    Absolute,
    /// S + A, of which the field takes the offset in a page of 4 KiB
    InPage,
    /// S + A - P
    Relative,
    /// Page(S + A) - Page(P)
    RelativePage,
    /// L + A - P
    Call,
    /// G + A - P
    Slot,
    /// The same in an instruction that may be changed
    SlotRelaxable,
    /// Page(G) - Page(P)
    SlotPage,
    /// G, of which the field takes the offset in a page of 4 KiB
    SlotInPage,
    /// G - Page(GOT)
    SlotFromGotPage,
    /// G + A - GOT
    SlotFromGot,
    /// GOT + A - P
    Got,
    /// S + A - GOT
    FromGot,
    /// L + A - GOT
    CallFromGot,
    /// Size of the symbol + A
    Size,
    /// Something about thread-local storage
    ThreadLocal,
}

/// Where a relocation puts its value.
#[derive(Clone, Copy)]
pub enum Field {
    /// So many bytes, little-endian.
    Bytes(usize, Range),
    /// The immediate of an instruction.
    Immediate(aarch64::Immediate),
}

/// Which values fit into a field of bytes.
#[derive(Clone, Copy)]
pub enum Range {
    Any,
    Signed,
    Unsigned,
    /// What one of the two holds.
    Either,
}

/// A value that doesn't fit.
pub struct Unfit;

impl Machine {
    /// Returns the machine with this `e_machine`.
    pub fn of(number: u16) -> Option<&'static Machine> {
        ALL.into_iter().find(|machine| machine.number.0 == number)
    }
}

impl Field {
    /// How many bytes it reaches over.
    pub fn width(self) -> usize {
        match self {
            Field::Bytes(width, _) => width,
            Field::Immediate(_) => 4,
        }
    }

    /// Whether it takes a whole address.
    pub fn is_word(self) -> bool {
        matches!(self, Field::Bytes(8, _))
    }

    /// Writes a value at the start of `bytes`, which are as many as the field has.
    pub fn store(self, bytes: &mut [u8], value: i128) -> Result<(), Unfit> {
        let (width, range) = match self {
            Field::Bytes(width, range) => (width, range),
            Field::Immediate(immediate) => return immediate.store(bytes, value),
        };
        if width == 0 {
            return Ok(());
        }
        let bits = width * 8;
        let (least, most) = (-1i128 << (bits - 1), 1i128 << bits);
        let fits = match range {
            Range::Any => true,
            Range::Signed => (least..-least).contains(&value),
            Range::Unsigned => (0..most).contains(&value),
            Range::Either => (least..most).contains(&value),
        };
        if !fits {
            return Err(Unfit);
        }
        bytes.iter_mut().zip(value.to_le_bytes()).take(width).for_each(|(byte, new)| *byte = new);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_applies_what_the_linker_writes() {
        use DynamicRelocation::{Symbol, SymbolPlusAddend};
        let known = |kind| matches!(kind, Symbol | SymbolPlusAddend);
        assert!(known(x86_64::dynamic_relocation(x86_64::MACHINE.glob_dat)));
        assert_eq!(x86_64::dynamic_relocation(x86_64::MACHINE.word), SymbolPlusAddend);
        assert!(known(aarch64::dynamic_relocation(aarch64::MACHINE.glob_dat)));
        assert_eq!(aarch64::dynamic_relocation(aarch64::MACHINE.word), SymbolPlusAddend);
        assert_eq!(HOST.map_or(u32::MAX, |machine| machine.relative.0), HOST_RELATIVE.0);
    }
}
