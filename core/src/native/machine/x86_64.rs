//! x86-64: the relocations of the System V psABI, and the linker's code templates.

use object::elf::{self, RelocationType};

use super::{
    CpuModel, DynamicRelocation, Field, Hole, HoleTarget, Howto, Machine, Range, RelExpr, Slot, Startup, Template,
    TlsRelocations,
};

/// psABI, Special Section Indexes.
const SHN_X86_64_LCOMMON: elf::SymbolSection = elf::SymbolSection(0xff02);

const WORD: Field = Field::Bytes(8, Range::Any);
pub const SIGNED: Field = Field::Bytes(4, Range::Signed);

/// The psABI had these for jumps with bounds (MPX), which are plain jumps for today's CPUs.
const R_X86_64_PC32_BND: RelocationType = RelocationType(39);
const R_X86_64_PLT32_BND: RelocationType = RelocationType(40);

pub static MACHINE: Machine = Machine {
    name: "x86-64",
    number: elf::EM_X86_64,
    max_page_size: 4 << 10,
    reloc_name: |kind| elf::NAMES_R_X86_64.name(kind),
    relative: elf::R_X86_64_RELATIVE,
    glob_dat: elf::R_X86_64_GLOB_DAT,
    word: elf::R_X86_64_64,
    tls: TlsRelocations {
        module: elf::R_X86_64_DTPMOD64,
        offset: elf::R_X86_64_DTPOFF64,
        static_offset: elf::R_X86_64_TPOFF64,
        descriptor: elf::R_X86_64_TLSDESC,
    },
    indirect: elf::R_X86_64_IRELATIVE,
    dynamic_relocation,
    howto,
    is_jump,
    rewrite: super::rewrite_x86_64::rewrite,
    veneer: None,
    // jmp *entry(%rip); xchg %ax,%ax: the form of .plt.got that `objdump` and debuggers recognize.
    plt_entry: Template { code: &[0xff, 0x25, 0, 0, 0, 0, 0x66, 0x90], holes: &[hole(2, HoleTarget::GotEntry)] },
    #[rustfmt::skip]
    finalizer: Template {
        code: &[
            0x48, 0x8b, 0x05, 0, 0, 0, 0, // mov entry(%rip), %rax
            0x48, 0x85, 0xc0, //             test %rax, %rax
            0x74, 0x09, //                   je to ret
            0x48, 0x8d, 0x3d, 0, 0, 0, 0, // lea handle(%rip), %rdi
            0xff, 0xe0, //                   jmp *%rax
            0xc3, //                         ret
        ],
        holes: &[hole(3, HoleTarget::GotEntry), hole(15, HoleTarget::DsoHandle)],
    },
    startup: Startup {
        start: &[0x48, 0x83, 0xec, 0x08],     // sub $8, %rsp
        end: &[0x48, 0x83, 0xc4, 0x08, 0xc3], // add $8, %rsp; ret
        nop: &[0x90],
    },
    #[rustfmt::skip]
    exit_functions: [
        Template {
            code: &[
                0x31, 0xf6, //                   xor %esi, %esi
                0x48, 0x8d, 0x15, 0, 0, 0, 0, // lea handle(%rip), %rdx
                0xff, 0x25, 0, 0, 0, 0, //       jmp *entry(%rip)
            ],
            holes: &[hole(5, HoleTarget::DsoHandle), hole(11, HoleTarget::GotEntry)],
        },
        Template {
            code: &[
                0x48, 0x8d, 0x35, 0, 0, 0, 0, // lea handle(%rip), %rsi
                0xff, 0x25, 0, 0, 0, 0, //       jmp *entry(%rip)
            ],
            holes: &[hole(3, HoleTarget::DsoHandle), hole(9, HoleTarget::GotEntry)],
        },
        Template {
            code: &[
                0x48, 0x8d, 0x0d, 0, 0, 0, 0, // lea handle(%rip), %rcx
                0xff, 0x25, 0, 0, 0, 0, //       jmp *entry(%rip)
            ],
            holes: &[hole(3, HoleTarget::DsoHandle), hole(9, HoleTarget::GotEntry)],
        },
    ],
    #[rustfmt::skip]
    cpu_model: Some(CpuModel {
        code: &[
            0x48, 0x83, 0xec, 0x08, //       sub $8, %rsp
            0x48, 0x8b, 0x05, 0, 0, 0, 0, // mov init@GOTPCREL(%rip), %rax
            0x48, 0x85, 0xc0, //             test %rax, %rax
            0x74, 0x02, //                   je to mov
            0xff, 0xd0, //                   call *%rax
            0x48, 0x8b, 0x05, 0, 0, 0, 0, // mov model@GOTPCREL(%rip), %rax
            0x0f, 0x10, 0x00, //             movups (%rax), %xmm0
            0x0f, 0x11, 0x05, 0, 0, 0, 0, // movups %xmm0, copy(%rip)
            0x31, 0xc0, //                   xor %eax, %eax
            0x48, 0x83, 0xc4, 0x08, //       add $8, %rsp
            0xc3, //                         ret
        ],
        fields: &[
            (7, elf::R_X86_64_GOTPCREL, CpuModel::SHARED_INIT),
            (21, elf::R_X86_64_GOTPCREL, CpuModel::SHARED_MODEL),
            (31, elf::R_X86_64_PC32, CpuModel::COPY),
        ],
    }),
    large_common: Some(SHN_X86_64_LCOMMON),
    unwind: Some(elf::SHT_X86_64_UNWIND),
};

/// A displacement in the last four bytes of an instruction, relative to the instruction's end.
const fn hole(at: usize, target: HoleTarget) -> Hole {
    Hole { at, howto: Howto { expr: RelExpr::Pc, field: SIGNED }, addend: -4, target }
}

pub fn howto(kind: RelocationType) -> Option<Howto> {
    use Range::{Either, Unsigned};
    let (expr, field) = match kind {
        elf::R_X86_64_NONE => (RelExpr::None, Field::Bytes(0, Range::Any)),
        elf::R_X86_64_64 => (RelExpr::Absolute, WORD),
        elf::R_X86_64_32 => (RelExpr::Absolute, Field::Bytes(4, Unsigned)),
        elf::R_X86_64_32S => (RelExpr::Absolute, SIGNED),
        elf::R_X86_64_16 => (RelExpr::Absolute, Field::Bytes(2, Either)),
        elf::R_X86_64_8 => (RelExpr::Absolute, Field::Bytes(1, Either)),
        elf::R_X86_64_PC64 => (RelExpr::Pc, WORD),
        elf::R_X86_64_PC32 | R_X86_64_PC32_BND => (RelExpr::Pc, SIGNED),
        elf::R_X86_64_PC16 => (RelExpr::Pc, Field::Bytes(2, Range::Signed)),
        elf::R_X86_64_PC8 => (RelExpr::Pc, Field::Bytes(1, Range::Signed)),
        elf::R_X86_64_PLT32 | R_X86_64_PLT32_BND => (RelExpr::PltPc, SIGNED),
        elf::R_X86_64_PLTOFF64 => (RelExpr::PltGotRel, WORD),
        // The numbered forms belong to instructions of APX and are computed alike.
        elf::R_X86_64_GOTPCREL
        | elf::R_X86_64_CODE_4_GOTPCRELX
        | elf::R_X86_64_CODE_5_GOTPCRELX
        | elf::R_X86_64_CODE_6_GOTPCRELX => (RelExpr::GotPc(Slot::Address), SIGNED),
        elf::R_X86_64_GOTPCRELX | elf::R_X86_64_REX_GOTPCRELX => (RelExpr::GotPcRelaxable, SIGNED),
        elf::R_X86_64_GOTPCREL64 => (RelExpr::GotPc(Slot::Address), WORD),
        elf::R_X86_64_GOT32 => (RelExpr::GotFromGot, SIGNED),
        elf::R_X86_64_GOT64 | elf::R_X86_64_GOTPLT64 => (RelExpr::GotFromGot, WORD),
        elf::R_X86_64_GOTPC32 => (RelExpr::GotBasePc, SIGNED),
        elf::R_X86_64_GOTPC64 => (RelExpr::GotBasePc, WORD),
        elf::R_X86_64_GOTOFF64 => (RelExpr::GotRel, WORD),
        elf::R_X86_64_SIZE32 => (RelExpr::Size, Field::Bytes(4, Unsigned)),
        elf::R_X86_64_SIZE64 => (RelExpr::Size, WORD),
        elf::R_X86_64_TLSGD => (RelExpr::GotPc(Slot::General), SIGNED),
        elf::R_X86_64_TLSLD => (RelExpr::GotPc(Slot::Local), SIGNED),
        elf::R_X86_64_GOTTPOFF
        | elf::R_X86_64_CODE_4_GOTTPOFF
        | elf::R_X86_64_CODE_5_GOTTPOFF
        | elf::R_X86_64_CODE_6_GOTTPOFF => (RelExpr::GotPc(Slot::StaticOffset), SIGNED),
        elf::R_X86_64_GOTPC32_TLSDESC
        | elf::R_X86_64_CODE_4_GOTPC32_TLSDESC
        | elf::R_X86_64_CODE_5_GOTPC32_TLSDESC
        | elf::R_X86_64_CODE_6_GOTPC32_TLSDESC => (RelExpr::GotPc(Slot::Descriptor), SIGNED),
        // Marks the call of a descriptor's function for linkers that replace it.
        elf::R_X86_64_TLSDESC_CALL => (RelExpr::None, Field::Bytes(0, Range::Any)),
        elf::R_X86_64_DTPOFF32 => (RelExpr::TlsOffset, SIGNED),
        elf::R_X86_64_DTPOFF64 => (RelExpr::TlsOffset, WORD),
        elf::R_X86_64_TPOFF32 => (RelExpr::TlsStaticOffset, SIGNED),
        elf::R_X86_64_TPOFF64 => (RelExpr::TlsStaticOffset, WORD),
        _ => return None,
    };
    Some(Howto { expr, field })
}

/// Returns what a dynamic relocation asks for (psABI, Relocation Types), other than R_X86_64_RELATIVE.
#[inline]
pub fn dynamic_relocation(kind: RelocationType) -> DynamicRelocation {
    use DynamicRelocation::{Indirect, Nothing, Symbol, SymbolPlusAddend, Unknown, Unsupported};
    use DynamicRelocation::{TlsDescriptor, TlsModule, TlsOffset, TlsStaticOffset};
    match kind {
        elf::R_X86_64_GLOB_DAT | elf::R_X86_64_JUMP_SLOT => Symbol,
        elf::R_X86_64_64 => SymbolPlusAddend,
        elf::R_X86_64_NONE => Nothing,
        elf::R_X86_64_COPY => Unsupported("R_X86_64_COPY"),
        elf::R_X86_64_IRELATIVE => Indirect,
        elf::R_X86_64_DTPMOD64 => TlsModule,
        elf::R_X86_64_DTPOFF64 => TlsOffset,
        elf::R_X86_64_TPOFF64 => TlsStaticOffset,
        elf::R_X86_64_TLSDESC => TlsDescriptor,
        _ => Unknown,
    }
}

/// Recognizes call, jmp and the conditional jumps, each with a displacement of four bytes.
fn is_jump(code: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| code.get(at)).copied();
    matches!(before(1), Some(0xe8 | 0xe9)) || (before(2) == Some(0x0f) && before(1).is_some_and(|op| op & 0xf0 == 0x80))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_are_told_by_their_opcodes() {
        assert!(is_jump(&[0xe8, 0, 0, 0, 0], 1));
        assert!(is_jump(&[0x0f, 0x84, 0, 0, 0, 0], 2));
        assert!(!is_jump(&[0x48, 0x8d, 0x05, 0, 0, 0, 0], 3), "lea");
        assert!(!is_jump(&[0, 0, 0, 0], 0), "data");
    }
}
