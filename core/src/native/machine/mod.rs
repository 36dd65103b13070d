//! Everything that differs by machine: relocation types and what they mean, PLT entries, page size. Each machine has a file.
//! The linker looks machines up by `e_machine` ([`Machine::of`]); the loader asks about the host, [`HOST`].

mod aarch64;
mod rewrite_aarch64;
mod rewrite_x86_64;
mod x86_64;

use object::elf::{self, RelocationType, SectionType};

/// A machine that objects can be linked for.
pub struct Machine {
    pub name: &'static str,
    /// `e_machine`.
    pub number: elf::Machine,
    /// The largest page size that Linux kernels for this machine use. Segments are aligned to it in memory.
    pub max_page_size: u64,
    /// Returns the name of a relocation type, for messages.
    pub reloc_name: fn(RelocationType) -> Option<&'static str>,
    /// Dynamic relocation: a word that holds an address inside the image.
    pub relative: RelocationType,
    /// Dynamic relocation: a GOT entry that holds a symbol's address.
    pub glob_dat: RelocationType,
    /// Dynamic relocation: a word of data that holds a symbol's address plus an addend.
    pub word: RelocationType,
    /// Dynamic relocations of thread-local storage.
    pub tls: TlsRelocations,
    /// Dynamic relocation: a word that holds what a function of the image returns, which is the address of an indirect function.
    pub indirect: RelocationType,
    /// Returns what a dynamic relocation asks for. [`Machine::relative`] is not among the cases.
    pub dynamic_relocation: fn(RelocationType) -> DynamicRelocation,
    /// Returns what a relocation of an object computes and where it stores the result; `None` for unknown types.
    pub howto: fn(RelocationType) -> Option<Howto>,
    /// Returns whether the field at an offset belongs to an instruction that jumps to an address, rather than one that reads
    /// from the address or takes it.
    pub is_jump: fn(&[u8], usize) -> bool,
    /// Returns a replacement for the instructions with the field at an offset, if they are certain to do nothing but put a
    /// symbol's address into a register.
    pub rewrite: fn(&[u8], usize, Howto, AddressFrom) -> Option<Rewrite>,
    /// Jumps to the address in a GOT entry.
    pub plt_entry: Template,
    /// Jumps to any address of the image, for branches that do not reach it; `None` if branches reach everything.
    pub veneer: Option<Template>,
    /// Calls `__cxa_finalize` with `__dso_handle`, if the host defines `__cxa_finalize`.
    pub finalizer: Template,
    /// The code around the pieces of `.init` and `.fini`.
    pub startup: Startup,
    /// The functions of [`EXIT_FUNCTIONS`].
    pub exit_functions: [Template; EXIT_FUNCTIONS.len()],
    /// How `__cpu_model` is copied; `None` if compilers for the machine do not use it.
    pub cpu_model: Option<CpuModel>,
    /// `SHN_COMMON` of the large memory model: such a symbol may be more than 2 GiB away from the code.
    pub large_common: Option<elf::SymbolSection>,
    /// The section type that this machine's ABI allows for `.eh_frame`, besides SHT_PROGBITS.
    pub unwind: Option<SectionType>,
}

/// Functions that each object has its own of, since they pass its `__dso_handle` to a function of the C library. Each is here with
/// that function's name.
pub const EXIT_FUNCTIONS: [(&[u8], &[u8]); 3] = [
    (b"atexit", b"__cxa_atexit"),
    (b"at_quick_exit", b"__cxa_at_quick_exit"),
    (b"pthread_atfork", b"__register_atfork"),
];

/// What each of their templates may take, in bytes.
pub const EXIT_FUNCTION_SIZE: u64 = 32;

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
    /// The id that the module with the thread-local variable has for `__tls_get_addr`. Without a symbol, this module's.
    TlsModule,
    /// S + A, of which S is the variable's offset in its module's thread-local storage. Without a symbol, S is 0.
    TlsOffset,
    /// S + A, of which S is the variable's offset from the thread pointer: the initial-exec model.
    TlsStaticOffset,
    /// Two words: a function that returns the offset of S + A from the thread pointer, and the argument that it finds there.
    TlsDescriptor,
    /// indirect(B + A): what the function at the addend's address returns.
    Indirect,
    /// Nothing.
    Nothing,
    /// A relocation that this loader does not apply, by name.
    Unsupported(&'static str),
    /// A type that the machine's psABI does not define for shared objects.
    Unknown,
}

/// Returns what a dynamic relocation asks for on the host's machine. [`HOST_RELATIVE`] is not among the cases: most dynamic
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

/// Where rewritten instructions get an address from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AddressFrom {
    /// They compute it: its distance is known.
    Distance,
    /// They load it from the symbol's GOT entry. The relocation must ask for the symbol's own address.
    Got,
}

/// Instructions that replace others.
pub struct Rewrite {
    /// Where they start: this many bytes before the relocation's field.
    pub before: usize,
    code: [u8; 16],
    len: usize,
    fields: [RewrittenField; 2],
    count: usize,
}

/// A field of a [`Rewrite`].
#[derive(Clone, Copy)]
pub struct RewrittenField {
    /// Its offset in the instructions.
    pub at: usize,
    pub howto: Howto,
    /// Added to the relocation's addend.
    pub addend: i64,
}

/// A function that calls libgcc_s's `__cpu_indicator_init`, if there is one, and copies its `__cpu_model`. It is `__cpu_indicator_init`
/// itself, and returns 0.
pub struct CpuModel {
    pub code: &'static [u8],
    /// Its relocations: offset, type, and one of the symbols below. All count from the end of a field of four bytes.
    pub fields: &'static [(u64, RelocationType, u32)],
}

impl CpuModel {
    /// The size of `__cpu_model` in bytes, which is a part of libgcc_s's ABI.
    pub const SIZE: u64 = 16;

    /// The copy.
    pub const COPY: u32 = 1;
    /// This function.
    pub const INIT: u32 = 2;
    /// libgcc_s's `__cpu_model`.
    pub const SHARED_MODEL: u32 = 3;
    /// libgcc_s's `__cpu_indicator_init`.
    pub const SHARED_INIT: u32 = 4;
}

/// How a function of the C startup code begins and ends.
pub struct Startup {
    pub start: &'static [u8],
    pub end: &'static [u8],
    /// Fills the space between its pieces.
    pub nop: &'static [u8],
}

impl Rewrite {
    /// At most 16 bytes of code with at most two fields; more is cut off.
    fn new(before: usize, code: &[u8], fields: &[RewrittenField]) -> Rewrite {
        let none = RewrittenField {
            at: 0,
            howto: Howto { expr: RelExpr::None, field: Field::Bytes(0, Range::Any) },
            addend: 0,
        };
        let mut new =
            Rewrite { before, code: [0; 16], len: code.len().min(16), fields: [none; 2], count: fields.len().min(2) };
        new.code.iter_mut().zip(code).for_each(|(to, from)| *to = *from);
        new.fields.iter_mut().zip(fields).for_each(|(to, from)| *to = *from);
        new
    }

    pub fn code(&self) -> &[u8] {
        self.code.get(..self.len).unwrap_or_default()
    }

    pub fn fields(&self) -> &[RewrittenField] {
        self.fields.get(..self.count).unwrap_or_default()
    }
}

/// Code with holes for addresses.
pub struct Template {
    pub code: &'static [u8],
    pub holes: &'static [Hole],
}

/// A field of a [`Template`] that receives an address.
pub struct Hole {
    /// Offset of the field in the code.
    pub at: usize,
    pub howto: Howto,
    pub addend: i64,
    pub target: HoleTarget,
}

/// Whose address a hole receives.
#[derive(Clone, Copy)]
pub enum HoleTarget {
    GotEntry,
    /// `__dso_handle`.
    DsoHandle,
    /// Where a veneer jumps to.
    Destination,
}

/// Types of dynamic relocations that fill GOT slots of thread-local symbols.
pub struct TlsRelocations {
    /// A word that holds the number of the symbol's module.
    pub module: RelocationType,
    /// A word that holds the symbol's offset in the storage of its module.
    pub offset: RelocationType,
    /// A word that holds the symbol's offset from the thread pointer, the same in every thread.
    pub static_offset: RelocationType,
    /// A descriptor.
    pub descriptor: RelocationType,
}

/// What a symbol's slot in the GOT holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The symbol's address.
    Address,
    /// General dynamic: the number of a thread-local symbol's module and its offset there, the argument of `__tls_get_addr`.
    General,
    /// Local dynamic: the same for the start of this module's thread-local storage.
    Local,
    /// A TLS descriptor: the function that returns a thread-local symbol's offset from the thread pointer, and its argument.
    Descriptor,
    /// Initial exec: that offset itself.
    StaticOffset,
}

impl Slot {
    /// Number of variants.
    pub const COUNT: usize = Slot::StaticOffset as usize + 1;

    /// Returns how many words it has.
    pub fn words(self) -> u32 {
        match self {
            Slot::Address | Slot::StaticOffset => 1,
            Slot::General | Slot::Local | Slot::Descriptor => 2,
        }
    }
}

/// How to apply a relocation: what it computes, and where it stores the result.
#[derive(Clone, Copy)]
pub struct Howto {
    pub expr: RelExpr,
    pub field: Field,
}

/// What a relocation computes, in the letters of the psABIs: S is the symbol, A the addend, P the place that is relocated,
/// G the symbol's GOT slot, L its PLT entry or, without one, the symbol, and GOT the start of the GOT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelExpr {
    None,
    /// S + A
    Absolute,
    /// S + A, of which the field takes the offset within a page of 4 KiB
    PageOffset,
    /// S + A - P
    Pc,
    /// Page(S + A) - Page(P)
    PagePc,
    /// L + A - P
    PltPc,
    /// G + A - P
    GotPc(Slot),
    /// G + A - P, in an instruction that may be relaxed
    GotPcRelaxable,
    /// Page(G) - Page(P)
    GotPagePc(Slot),
    /// G, of which the field takes the offset within a page of 4 KiB
    GotPageOffset(Slot),
    /// G - Page(GOT)
    GotFromGotPage,
    /// G + A - GOT
    GotFromGot,
    /// GOT + A - P
    GotBasePc,
    /// S + A - GOT
    GotRel,
    /// L + A - GOT
    PltGotRel,
    /// Size of the symbol + A
    Size,
    /// S + A, where S is a thread-local symbol's offset in the storage of its module
    TlsOffset,
    /// S + A, where S is a thread-local symbol's offset from the thread pointer: local exec
    TlsStaticOffset,
}

impl RelExpr {
    /// Returns whether the symbol has to be thread-local. For all others but [`RelExpr::None`] and [`RelExpr::Size`] it must not be.
    pub fn is_thread_local(self) -> bool {
        match self {
            RelExpr::GotPc(slot) | RelExpr::GotPagePc(slot) | RelExpr::GotPageOffset(slot) => slot != Slot::Address,
            RelExpr::TlsOffset | RelExpr::TlsStaticOffset => true,
            _ => false,
        }
    }
}

/// Where a relocation stores its value.
#[derive(Clone, Copy)]
pub enum Field {
    /// A little-endian integer of this many bytes.
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
    /// The union of the signed and the unsigned range.
    Either,
}

/// A value does not fit into its field.
pub struct Overflow;

impl Machine {
    /// Returns the machine with this `e_machine`.
    pub fn of(number: u16) -> Option<&'static Machine> {
        ALL.into_iter().find(|machine| machine.number.0 == number)
    }
}

impl Howto {
    /// Returns whether this is a jump or call that may go through a veneer.
    pub fn is_far_branch(self) -> bool {
        let is_branch = matches!(self.field, Field::Immediate(aarch64::Immediate::Branch { bits: 26, .. }));
        is_branch && self.expr == RelExpr::PltPc
    }
}

impl Field {
    /// Returns whether the field can hold a value.
    pub fn fits(self, value: i128) -> bool {
        let mut bytes = [0; 8];
        bytes.get_mut(..self.width()).is_some_and(|bytes| self.store(bytes, value).is_ok())
    }

    /// Returns how many bytes the field or its instruction has.
    pub fn width(self) -> usize {
        match self {
            Field::Bytes(width, _) => width,
            Field::Immediate(_) => 4,
        }
    }

    /// Returns whether the field holds a whole address.
    pub fn is_word(self) -> bool {
        matches!(self, Field::Bytes(8, _))
    }

    /// Stores a value in `bytes`, whose length is [`Field::width`].
    pub fn store(self, bytes: &mut [u8], value: i128) -> Result<(), Overflow> {
        let (width, range) = match self {
            Field::Bytes(width, range) => (width, range),
            Field::Immediate(immediate) => return immediate.store(bytes, value),
        };
        if width == 0 {
            return Ok(());
        }
        let bits = width * 8;
        let (min, end) = (-1i128 << (bits - 1), 1i128 << bits);
        let fits = match range {
            Range::Any => true,
            Range::Signed => (min..-min).contains(&value),
            Range::Unsigned => (0..end).contains(&value),
            Range::Either => (min..end).contains(&value),
        };
        if !fits {
            return Err(Overflow);
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
        for machine in ALL {
            assert_eq!((machine.dynamic_relocation)(machine.indirect), DynamicRelocation::Indirect);
        }
        assert!(known(aarch64::dynamic_relocation(aarch64::MACHINE.glob_dat)));
        assert_eq!(aarch64::dynamic_relocation(aarch64::MACHINE.word), SymbolPlusAddend);
        assert_eq!(HOST.map_or(u32::MAX, |machine| machine.relative.0), HOST_RELATIVE.0);
    }
}
