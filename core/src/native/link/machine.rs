//! What a machine is to the linker: its page size, what its relocations compute and where they put it, its stubs. The
//! machines themselves are in a file each.

use object::elf::{self, RelocationType};

use super::{aarch64, x86_64};

/// A machine that objects can be linked for.
pub(super) struct Machine {
    pub name: &'static str,
    /// `e_machine`.
    pub number: elf::Machine,
    /// Largest page size of its Linux kernels: what segments are apart in memory.
    pub page: u64,
    /// Names of its relocations, for messages.
    pub names: fn(RelocationType) -> Option<&'static str>,
    /// A word that holds an address inside the image.
    pub relative: RelocationType,
    /// A word of the GOT that holds a symbol's address.
    pub glob_dat: RelocationType,
    /// A word of data that holds a symbol's address and something added.
    pub word: RelocationType,
    /// What a relocation computes and where it puts it; nothing for those that we don't know.
    pub how: fn(RelocationType) -> Option<How>,
    /// Whether the field at an offset belongs to an instruction that goes to an address, and doesn't read or take it.
    pub is_jump: fn(&[u8], usize) -> bool,
    /// For the instruction with this field, if it loads an address from the GOT or has a whole one in it: another one that
    /// computes the address.
    pub relax: fn(&[u8], usize, Value) -> Option<Relaxed>,
    /// Goes on to the address in a GOT slot.
    pub stub: Template,
    /// Calls `__cxa_finalize`, if the host has one, with `__dso_handle`.
    pub finalizer: Template,
}

/// An instruction in place of another.
pub(super) struct Relaxed {
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
pub(super) struct Template {
    pub code: &'static [u8],
    pub holes: &'static [Hole],
}

/// Where code takes an address.
pub(super) struct Hole {
    pub at: usize,
    pub how: How,
    pub addend: i64,
    pub of: Of,
}

/// Whose address.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Slot,
    Handle,
}

/// What a relocation is.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub value: Value,
    pub field: Field,
}

/// What a relocation computes, with the letters of the psABIs: S symbol, A addend, P place, G slot in the GOT, L stub or,
/// where there is none, symbol; GOT its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
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
pub(super) enum Field {
    /// So many bytes, little-endian.
    Bytes(usize, Range),
    /// The immediate of an instruction.
    Immediate(aarch64::Immediate),
}

/// Which values fit into a field of bytes.
#[derive(Clone, Copy)]
pub(super) enum Range {
    Any,
    Signed,
    Unsigned,
    /// What one of the two holds.
    Either,
}

/// A value that doesn't fit.
pub(super) struct Unfit;

impl Machine {
    /// The machine of that `e_machine`.
    pub fn of(number: u16) -> Option<&'static Machine> {
        [&x86_64::MACHINE, &aarch64::MACHINE].into_iter().find(|machine| machine.number.0 == number)
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
