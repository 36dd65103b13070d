//! The kinds of sections: one table says what happens to each.

use object::elf::{self, SectionFlags, SectionType};

use super::input::Section;
use crate::native::machine::Machine;

/// What happens to the sections of a kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// They become part of a segment.
    Loaded,
    /// They are `.eh_frame`, which becomes part of a segment record by record.
    EhFrame,
    /// They become part of the file, but of no segment: only debuggers and similar tools read them.
    Debug,
    /// They are left out: only linkers read them, or an image is right without them.
    LeftOut,
    /// They cannot be linked, for this reason.
    Refused(&'static str),
    /// They would be part of memory, but what their type means is not known.
    Unknown,
}

use Fate::{Debug, EhFrame, LeftOut, Loaded, Refused};

/// The names of a kind of sections.
enum Name {
    Any,
    Is(&'static [u8]),
    /// This name, alone or followed by a dot and more.
    Family(&'static [u8]),
    Begins(&'static [u8]),
}

/// A kind of sections.
struct Kind {
    name: Name,
    /// The first and the last type.
    types: (u32, u32),
    /// Flags that all of the sections have.
    flags: u64,
}

const ANY: Kind = Kind { name: Name::Any, types: (0, u32::MAX), flags: 0 };

const fn named(name: &'static [u8]) -> Kind {
    Kind { name: Name::Is(name), ..ANY }
}

const fn family(name: &'static [u8]) -> Kind {
    Kind { name: Name::Family(name), ..ANY }
}

const fn typed(kind: SectionType) -> Kind {
    Kind { types: (kind.0, kind.0), ..ANY }
}

impl Kind {
    const fn of_type(self, kind: SectionType) -> Kind {
        Kind { types: (kind.0, kind.0), ..self }
    }

    const fn with(self, flags: SectionFlags) -> Kind {
        Kind { flags: self.flags | flags.0, ..self }
    }

    const fn loaded(self) -> Kind {
        self.with(elf::SHF_ALLOC)
    }

    fn has(&self, section: &Section<'_>, kind: SectionType) -> bool {
        let rest = |start| section.name.strip_prefix(start);
        let name = match self.name {
            Name::Any => true,
            Name::Is(name) => section.name == name,
            Name::Family(name) => rest(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(b".")),
            Name::Begins(name) => rest(name).is_some(),
        };
        name && (self.types.0..=self.types.1).contains(&kind.0) && section.flags & self.flags == self.flags
    }
}

/// SHT_LLVM_*: tables for LLVM's own tools, such as `.llvm_addrsig`, `.deplibs` and `.llvm_bb_addr_map`.
const LLVM: Kind = Kind { types: (0x6fff_4c00, 0x6fff_4cff), ..ANY };

const OF_LINKER: Fate = Refused("has the name of a section that the linker creates; give it another name");
const OF_PROGRAM: Fate = Refused("is valid in executables only; use __attribute__((constructor))");

const NO_DATA: Fate = Refused("is thread-local, but not data");

/// The first kind that a section is of decides.
const KINDS: &[(Kind, Fate)] = &[
    (
        named(b".note.GNU-stack").with(elf::SHF_EXECINSTR),
        Refused(
            "asks for an executable stack, which a host cannot give; nested functions whose address is taken have trampolines there: \
             compile with -ftrampoline-impl=heap, or do without them",
        ),
    ),
    (
        named(b".note.GNU-split-stack"),
        Refused(
            "asks for stacks that grow in pieces, which a host's threads do not have; compile without -fsplit-stack",
        ),
    ),
    (Kind { name: Name::Begins(b".note.GNU-"), ..ANY }, LeftOut),
    (ANY.with(elf::SHF_EXCLUDE), LeftOut),
    (LLVM, LeftOut),
    // Makes claims about all code of an image. An image without it makes none, which is always correct.
    (named(b".note.gnu.property"), LeftOut),
    // Stack traces for profilers. Before binutils 2.45 its type is SHT_PROGBITS.
    (named(b".sframe"), LeftOut),
    (typed(elf::SHT_GNU_SFRAME), LeftOut),
    // Intermediate code and its command line.
    (named(b".llvmbc"), LeftOut),
    (named(b".llvmcmd"), LeftOut),
    // Texts for a linker to print.
    (family(b".gnu.warning"), LeftOut),
    // Debug information from before DWARF. Its strings are no use unless a linker merges them.
    (family(b".stab"), LeftOut),
    (named(b".stabstr"), LeftOut),
    (named(b".eh_frame").of_type(elf::SHT_NOBITS).loaded(), Refused("has no bytes")),
    (named(b".eh_frame").loaded(), EhFrame),
    (ANY.with(elf::SHF_TLS).with(elf::SHF_EXECINSTR), NO_DATA),
    (
        ANY.loaded().with(elf::SHF_WRITE).with(elf::SHF_EXECINSTR),
        Refused("is writable and executable; code must not be writable"),
    ),
    (typed(elf::SHT_NOBITS).loaded().with(elf::SHF_EXECINSTR), Refused("is executable, but has no bytes")),
    (named(b".gnu.hash").loaded(), OF_LINKER),
    (named(b".dynsym").loaded(), OF_LINKER),
    (named(b".dynstr").loaded(), OF_LINKER),
    (named(b".gnu.version").loaded(), OF_LINKER),
    (named(b".gnu.version_r").loaded(), OF_LINKER),
    (named(b".rela.dyn").loaded(), OF_LINKER),
    (named(b".relr.dyn").loaded(), OF_LINKER),
    (named(b".eh_frame_hdr").loaded(), OF_LINKER),
    (named(b".plt.got").loaded(), OF_LINKER),
    (named(b".dynamic").loaded(), OF_LINKER),
    (named(b".got").loaded(), OF_LINKER),
    (family(b".preinit_array").loaded(), OF_PROGRAM),
    (typed(elf::SHT_PREINIT_ARRAY).loaded(), OF_PROGRAM),
    (typed(elf::SHT_PROGBITS).loaded(), Loaded),
    (typed(elf::SHT_NOBITS).loaded(), Loaded),
    (ANY.with(elf::SHF_TLS), NO_DATA),
    (typed(elf::SHT_NOTE).loaded(), Loaded),
    (typed(elf::SHT_INIT_ARRAY).loaded(), Loaded),
    (typed(elf::SHT_FINI_ARRAY).loaded(), Loaded),
    (ANY.loaded(), Fate::Unknown),
    (typed(elf::SHT_PROGBITS), Debug),
    // Such as `.note.stapsdt`, by which tracers find probes.
    (typed(elf::SHT_NOTE), Debug),
    // Symbol tables, relocations, groups, attributes.
    (ANY, LeftOut),
];

/// Returns what happens to a section.
pub(super) fn fate(section: &Section<'_>, machine: &Machine) -> Fate {
    let kind = if machine.unwind == Some(section.kind) { elf::SHT_PROGBITS } else { section.kind };
    KINDS.iter().find(|(known, _)| known.has(section, kind)).map_or(Fate::Unknown, |(_, fate)| *fate)
}
