//! aarch64: the relocations of ELF for the Arm 64-bit Architecture (AAELF64), the immediates of its instructions, and the
//! linker's code templates.

use object::elf::{self, RelocationType};

use super::{
    DynamicRelocation, Field, Hole, HoleTarget, Howto, Machine, Overflow, Range, RelExpr, Slot, Startup, Template,
    TlsRelocations,
};

pub static MACHINE: Machine = Machine {
    name: "aarch64",
    number: elf::EM_AARCH64,
    max_page_size: 64 << 10,
    reloc_name: |kind| elf::NAMES_R_AARCH64.name(kind),
    relative: elf::R_AARCH64_RELATIVE,
    glob_dat: elf::R_AARCH64_GLOB_DAT,
    word: elf::R_AARCH64_ABS64,
    tls: TlsRelocations {
        module: elf::R_AARCH64_TLS_DTPMOD,
        offset: elf::R_AARCH64_TLS_DTPREL,
        static_offset: elf::R_AARCH64_TLS_TPREL,
        descriptor: elf::R_AARCH64_TLSDESC,
    },
    indirect: elf::R_AARCH64_IRELATIVE,
    dynamic_relocation,
    howto,
    // Branches have relocation types of their own.
    is_jump: |_, _| false,
    rewrite: super::rewrite_aarch64::rewrite,
    #[rustfmt::skip]
    veneer: Some(Template {
        code: &[
            0x10, 0x00, 0x00, 0x90, // adrp x16, destination
            0x10, 0x02, 0x00, 0x91, // add x16, x16, destination
            0x00, 0x02, 0x1f, 0xd6, // br x16
        ],
        holes: &[page(0, HoleTarget::Destination), in_page(4, Immediate::Offset(0), HoleTarget::Destination)],
    }),
    #[rustfmt::skip]
    plt_entry: Template {
        code: &[
            0x10, 0x00, 0x00, 0x90, // adrp x16, entry
            0x11, 0x02, 0x40, 0xf9, // ldr x17, [x16, entry]
            0x20, 0x02, 0x1f, 0xd6, // br x17
            0x1f, 0x20, 0x03, 0xd5, // nop
        ],
        holes: &[page(0, HoleTarget::GotEntry), in_page(4, Immediate::Offset(3), HoleTarget::GotEntry)],
    },
    #[rustfmt::skip]
    finalizer: Template {
        code: &[
            0x01, 0x00, 0x00, 0x90, // adrp x1, entry
            0x21, 0x00, 0x40, 0xf9, // ldr x1, [x1, entry]
            0x81, 0x00, 0x00, 0xb4, // cbz x1, ret
            0x00, 0x00, 0x00, 0x90, // adrp x0, handle
            0x00, 0x00, 0x00, 0x91, // add x0, x0, handle
            0x20, 0x00, 0x1f, 0xd6, // br x1
            0xc0, 0x03, 0x5f, 0xd6, // ret
        ],
        holes: &[
            page(0, HoleTarget::GotEntry), in_page(4, Immediate::Offset(3), HoleTarget::GotEntry),
            page(12, HoleTarget::DsoHandle), in_page(16, Immediate::Offset(0), HoleTarget::DsoHandle),
        ],
    },
    startup: Startup {
        start: &[0xfd, 0x7b, 0xbf, 0xa9, 0xfd, 0x03, 0x00, 0x91], // stp x29, x30, [sp, #-16]!; mov x29, sp
        end: &[0xfd, 0x7b, 0xc1, 0xa8, 0xc0, 0x03, 0x5f, 0xd6],   // ldp x29, x30, [sp], #16; ret
        nop: &[0x1f, 0x20, 0x03, 0xd5],
    },
    #[rustfmt::skip]
    exit_functions: [
        Template {
            code: &[
                0x01, 0x00, 0x80, 0xd2, // mov x1, 0
                0x02, 0x00, 0x00, 0x90, // adrp x2, handle
                0x42, 0x00, 0x00, 0x91, // add x2, x2, handle
                0x10, 0x00, 0x00, 0x90, // adrp x16, entry
                0x11, 0x02, 0x40, 0xf9, // ldr x17, [x16, entry]
                0x20, 0x02, 0x1f, 0xd6, // br x17
            ],
            holes: &[
                page(4, HoleTarget::DsoHandle), in_page(8, Immediate::Offset(0), HoleTarget::DsoHandle),
                page(12, HoleTarget::GotEntry), in_page(16, Immediate::Offset(3), HoleTarget::GotEntry),
            ],
        },
        Template {
            code: &[
                0x01, 0x00, 0x00, 0x90, // adrp x1, handle
                0x21, 0x00, 0x00, 0x91, // add x1, x1, handle
                0x10, 0x00, 0x00, 0x90, // adrp x16, entry
                0x11, 0x02, 0x40, 0xf9, // ldr x17, [x16, entry]
                0x20, 0x02, 0x1f, 0xd6, // br x17
            ],
            holes: &[
                page(0, HoleTarget::DsoHandle), in_page(4, Immediate::Offset(0), HoleTarget::DsoHandle),
                page(8, HoleTarget::GotEntry), in_page(12, Immediate::Offset(3), HoleTarget::GotEntry),
            ],
        },
        Template {
            code: &[
                0x03, 0x00, 0x00, 0x90, // adrp x3, handle
                0x63, 0x00, 0x00, 0x91, // add x3, x3, handle
                0x10, 0x00, 0x00, 0x90, // adrp x16, entry
                0x11, 0x02, 0x40, 0xf9, // ldr x17, [x16, entry]
                0x20, 0x02, 0x1f, 0xd6, // br x17
            ],
            holes: &[
                page(0, HoleTarget::DsoHandle), in_page(4, Immediate::Offset(0), HoleTarget::DsoHandle),
                page(8, HoleTarget::GotEntry), in_page(12, Immediate::Offset(3), HoleTarget::GotEntry),
            ],
        },
    ],
    cpu_model: None,
    large_common: None,
    unwind: None,
};

const fn page(at: usize, target: HoleTarget) -> Hole {
    let howto = Howto { expr: RelExpr::PagePc, field: Field::Immediate(Immediate::Page(true)) };
    Hole { at, howto, addend: 0, target }
}

const fn in_page(at: usize, immediate: Immediate, target: HoleTarget) -> Hole {
    let howto = Howto { expr: RelExpr::PageOffset, field: Field::Immediate(immediate) };
    Hole { at, howto, addend: 0, target }
}

fn howto(kind: RelocationType) -> Option<Howto> {
    use Immediate::{Adr, Branch, GotOffset, Move, Offset, Page};
    let bytes = |expr, width, range| (expr, Field::Bytes(width, range));
    let instruction = |expr, immediate| (expr, Field::Immediate(immediate));
    let (expr, field) = match kind {
        elf::R_AARCH64_NONE => bytes(RelExpr::None, 0, Range::Any),
        elf::R_AARCH64_ABS64 => bytes(RelExpr::Absolute, 8, Range::Any),
        elf::R_AARCH64_ABS32 => bytes(RelExpr::Absolute, 4, Range::Either),
        elf::R_AARCH64_ABS16 => bytes(RelExpr::Absolute, 2, Range::Either),
        elf::R_AARCH64_PREL64 => bytes(RelExpr::Pc, 8, Range::Any),
        elf::R_AARCH64_PREL32 => bytes(RelExpr::Pc, 4, Range::Either),
        elf::R_AARCH64_PREL16 => bytes(RelExpr::Pc, 2, Range::Either),
        elf::R_AARCH64_PLT32 => bytes(RelExpr::PltPc, 4, Range::Signed),
        elf::R_AARCH64_GOTPCREL32 => bytes(RelExpr::GotPc(Slot::Address), 4, Range::Signed),
        elf::R_AARCH64_GOTREL64 => bytes(RelExpr::GotRel, 8, Range::Any),
        elf::R_AARCH64_GOTREL32 => bytes(RelExpr::GotRel, 4, Range::Signed),
        elf::R_AARCH64_CALL26 | elf::R_AARCH64_JUMP26 => instruction(RelExpr::PltPc, Branch { bits: 26, at: 0 }),
        elf::R_AARCH64_CONDBR19 => instruction(RelExpr::PltPc, Branch { bits: 19, at: 5 }),
        elf::R_AARCH64_TSTBR14 => instruction(RelExpr::PltPc, Branch { bits: 14, at: 5 }),
        elf::R_AARCH64_LD_PREL_LO19 => instruction(RelExpr::Pc, Branch { bits: 19, at: 5 }),
        elf::R_AARCH64_ADR_PREL_LO21 => instruction(RelExpr::Pc, Adr),
        elf::R_AARCH64_ADR_PREL_PG_HI21 => instruction(RelExpr::PagePc, Page(true)),
        elf::R_AARCH64_ADR_PREL_PG_HI21_NC => instruction(RelExpr::PagePc, Page(false)),
        elf::R_AARCH64_ADD_ABS_LO12_NC | elf::R_AARCH64_LDST8_ABS_LO12_NC => {
            instruction(RelExpr::PageOffset, Offset(0))
        }
        elf::R_AARCH64_LDST16_ABS_LO12_NC => instruction(RelExpr::PageOffset, Offset(1)),
        elf::R_AARCH64_LDST32_ABS_LO12_NC => instruction(RelExpr::PageOffset, Offset(2)),
        elf::R_AARCH64_LDST64_ABS_LO12_NC => instruction(RelExpr::PageOffset, Offset(3)),
        elf::R_AARCH64_LDST128_ABS_LO12_NC => instruction(RelExpr::PageOffset, Offset(4)),
        elf::R_AARCH64_GOT_LD_PREL19 => instruction(RelExpr::GotPc(Slot::Address), Branch { bits: 19, at: 5 }),
        elf::R_AARCH64_ADR_GOT_PAGE => instruction(RelExpr::GotPagePc(Slot::Address), Page(true)),
        elf::R_AARCH64_LD64_GOT_LO12_NC => instruction(RelExpr::GotPageOffset(Slot::Address), Offset(3)),
        elf::R_AARCH64_LD64_GOTPAGE_LO15 => instruction(RelExpr::GotFromGotPage, GotOffset),
        elf::R_AARCH64_LD64_GOTOFF_LO15 => instruction(RelExpr::GotFromGot, GotOffset),
        elf::R_AARCH64_MOVW_UABS_G0 => instruction(RelExpr::Absolute, Move { shift: 0, checked: true }),
        elf::R_AARCH64_MOVW_UABS_G0_NC => instruction(RelExpr::Absolute, Move { shift: 0, checked: false }),
        elf::R_AARCH64_MOVW_UABS_G1 => instruction(RelExpr::Absolute, Move { shift: 16, checked: true }),
        elf::R_AARCH64_MOVW_UABS_G1_NC => instruction(RelExpr::Absolute, Move { shift: 16, checked: false }),
        elf::R_AARCH64_MOVW_UABS_G2 => instruction(RelExpr::Absolute, Move { shift: 32, checked: true }),
        elf::R_AARCH64_MOVW_UABS_G2_NC => instruction(RelExpr::Absolute, Move { shift: 32, checked: false }),
        elf::R_AARCH64_MOVW_UABS_G3 => instruction(RelExpr::Absolute, Move { shift: 48, checked: true }),
        kind => return thread_local(kind),
    };
    Some(Howto { expr, field })
}

/// [`howto`] for thread-local storage. Without the types of the large code model, which no compiler has in position-independent
/// code.
fn thread_local(kind: RelocationType) -> Option<Howto> {
    use Immediate::{Adr, Branch, Low, Middle, Move, Offset, Page};
    let load = Branch { bits: 19, at: 5 };
    let (expr, immediate) = match kind {
        elf::R_AARCH64_TLSGD_ADR_PREL21 => (RelExpr::GotPc(Slot::General), Adr),
        elf::R_AARCH64_TLSGD_ADR_PAGE21 => (RelExpr::GotPagePc(Slot::General), Page(true)),
        elf::R_AARCH64_TLSGD_ADD_LO12_NC => (RelExpr::GotPageOffset(Slot::General), Offset(0)),
        elf::R_AARCH64_TLSLD_ADR_PREL21 => (RelExpr::GotPc(Slot::Local), Adr),
        elf::R_AARCH64_TLSLD_ADR_PAGE21 => (RelExpr::GotPagePc(Slot::Local), Page(true)),
        elf::R_AARCH64_TLSLD_ADD_LO12_NC => (RelExpr::GotPageOffset(Slot::Local), Offset(0)),
        elf::R_AARCH64_TLSLD_LD_PREL19 => (RelExpr::GotPc(Slot::Local), load),
        elf::R_AARCH64_TLSLD_MOVW_DTPREL_G2 => (RelExpr::TlsOffset, Move { shift: 32, checked: true }),
        elf::R_AARCH64_TLSLD_MOVW_DTPREL_G1 => (RelExpr::TlsOffset, Move { shift: 16, checked: true }),
        elf::R_AARCH64_TLSLD_MOVW_DTPREL_G1_NC => (RelExpr::TlsOffset, Move { shift: 16, checked: false }),
        elf::R_AARCH64_TLSLD_MOVW_DTPREL_G0 => (RelExpr::TlsOffset, Move { shift: 0, checked: true }),
        elf::R_AARCH64_TLSLD_MOVW_DTPREL_G0_NC => (RelExpr::TlsOffset, Move { shift: 0, checked: false }),
        elf::R_AARCH64_TLSLD_ADD_DTPREL_HI12 => (RelExpr::TlsOffset, Middle),
        elf::R_AARCH64_TLSLD_ADD_DTPREL_LO12 | elf::R_AARCH64_TLSLD_LDST8_DTPREL_LO12 => (RelExpr::TlsOffset, Low(0)),
        elf::R_AARCH64_TLSLD_LDST16_DTPREL_LO12 => (RelExpr::TlsOffset, Low(1)),
        elf::R_AARCH64_TLSLD_LDST32_DTPREL_LO12 => (RelExpr::TlsOffset, Low(2)),
        elf::R_AARCH64_TLSLD_LDST64_DTPREL_LO12 => (RelExpr::TlsOffset, Low(3)),
        elf::R_AARCH64_TLSLD_LDST128_DTPREL_LO12 => (RelExpr::TlsOffset, Low(4)),
        elf::R_AARCH64_TLSLD_ADD_DTPREL_LO12_NC | elf::R_AARCH64_TLSLD_LDST8_DTPREL_LO12_NC => {
            (RelExpr::TlsOffset, Offset(0))
        }
        elf::R_AARCH64_TLSLD_LDST16_DTPREL_LO12_NC => (RelExpr::TlsOffset, Offset(1)),
        elf::R_AARCH64_TLSLD_LDST32_DTPREL_LO12_NC => (RelExpr::TlsOffset, Offset(2)),
        elf::R_AARCH64_TLSLD_LDST64_DTPREL_LO12_NC => (RelExpr::TlsOffset, Offset(3)),
        elf::R_AARCH64_TLSLD_LDST128_DTPREL_LO12_NC => (RelExpr::TlsOffset, Offset(4)),
        elf::R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21 => (RelExpr::GotPagePc(Slot::StaticOffset), Page(true)),
        elf::R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC => (RelExpr::GotPageOffset(Slot::StaticOffset), Offset(3)),
        elf::R_AARCH64_TLSIE_LD_GOTTPREL_PREL19 => (RelExpr::GotPc(Slot::StaticOffset), load),
        elf::R_AARCH64_TLSDESC_LD_PREL19 => (RelExpr::GotPc(Slot::Descriptor), load),
        elf::R_AARCH64_TLSDESC_ADR_PREL21 => (RelExpr::GotPc(Slot::Descriptor), Adr),
        elf::R_AARCH64_TLSDESC_ADR_PAGE21 => (RelExpr::GotPagePc(Slot::Descriptor), Page(true)),
        elf::R_AARCH64_TLSDESC_LD64_LO12 => (RelExpr::GotPageOffset(Slot::Descriptor), Offset(3)),
        elf::R_AARCH64_TLSDESC_ADD_LO12 => (RelExpr::GotPageOffset(Slot::Descriptor), Offset(0)),
        // Marks the call of a descriptor's function for linkers that replace it.
        elf::R_AARCH64_TLSDESC_CALL => return Some(Howto { expr: RelExpr::None, field: Field::Bytes(0, Range::Any) }),
        elf::R_AARCH64_TLS_DTPREL => {
            return Some(Howto { expr: RelExpr::TlsOffset, field: Field::Bytes(8, Range::Any) });
        }
        // Refused, so the immediate does not matter.
        kind if is_local_exec(kind) => (RelExpr::TlsStaticOffset, Adr),
        _ => return None,
    };
    Some(Howto { expr, field: Field::Immediate(immediate) })
}

/// AAELF64 gives the types of local exec two ranges of numbers.
fn is_local_exec(kind: RelocationType) -> bool {
    let most = elf::R_AARCH64_TLSLE_MOVW_TPREL_G2.0..=elf::R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC.0;
    let wide = elf::R_AARCH64_TLSLE_LDST128_TPREL_LO12.0..=elf::R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC.0;
    most.contains(&kind.0) || wide.contains(&kind.0)
}

/// A withdrawn number, which AAELF64 says to treat as R_AARCH64_NONE.
const R_AARCH64_NONE_WITHDRAWN: RelocationType = RelocationType(256);

/// Returns what a dynamic relocation asks for (AAELF64, Dynamic relocations), other than R_AARCH64_RELATIVE.
#[inline]
pub fn dynamic_relocation(kind: RelocationType) -> DynamicRelocation {
    use DynamicRelocation::{Indirect, Nothing, SymbolPlusAddend, Unknown, Unsupported};
    use DynamicRelocation::{TlsDescriptor, TlsModule, TlsOffset, TlsStaticOffset};
    match kind {
        // Unlike on x86-64, all three add the addend.
        elf::R_AARCH64_ABS64 | elf::R_AARCH64_GLOB_DAT | elf::R_AARCH64_JUMP_SLOT => SymbolPlusAddend,
        elf::R_AARCH64_NONE | R_AARCH64_NONE_WITHDRAWN => Nothing,
        elf::R_AARCH64_COPY => Unsupported("R_AARCH64_COPY"),
        elf::R_AARCH64_IRELATIVE => Indirect,
        elf::R_AARCH64_TLS_DTPMOD => TlsModule,
        elf::R_AARCH64_TLS_DTPREL => TlsOffset,
        elf::R_AARCH64_TLS_TPREL => TlsStaticOffset,
        elf::R_AARCH64_TLSDESC => TlsDescriptor,
        _ => Unknown,
    }
}

/// The immediate of an instruction.
#[derive(Clone, Copy)]
pub enum Immediate {
    /// A distance in instructions, in the `bits` bits from bit `at` on.
    Branch { bits: u32, at: u32 },
    /// A distance in bytes: adr.
    Adr,
    /// A distance in pages of 4 KiB: adrp. Whether an overflow is an error.
    Page(bool),
    /// An offset within a page of 4 KiB, in units of two to this power.
    Offset(u32),
    /// The same, of a value that must be below 4 KiB.
    Low(u32),
    /// Bits 12 to 23 of a value that has no higher ones.
    Middle,
    /// An offset of 15 bits from the GOT's page, in words.
    GotOffset,
    /// 16 bits of a value, from bit `shift` on. If `checked`, higher bits that are not zero are an error.
    Move { shift: u32, checked: bool },
}

impl Immediate {
    pub fn store(self, bytes: &mut [u8], value: i128) -> Result<(), Overflow> {
        let word: &mut [u8; 4] = bytes.first_chunk_mut().ok_or(Overflow)?;
        // The value in units, if a signed field of `bits` bits holds it.
        let signed = |bits: u32, unit: i128| {
            let end = unit << (bits - 1);
            if value % unit == 0 && (-end..end).contains(&value) { Ok(value / unit) } else { Err(Overflow) }
        };
        let (mask, at, immediate) = match self {
            Immediate::Branch { bits, at } => ((1u32 << bits) - 1, at, signed(bits, 4)?),
            Immediate::Adr | Immediate::Page(_) => {
                let immediate = match self {
                    Immediate::Adr => signed(21, 1)?,
                    Immediate::Page(true) => signed(21, 4096)?,
                    _ => value >> 12,
                };
                // The two low bits have a field of their own.
                let split = (immediate & 3) << 24 | (immediate >> 2 & 0x7_ffff);
                (0x307_ffff, 5, split)
            }
            Immediate::Low(_) if !(0..1 << 12).contains(&value) => return Err(Overflow),
            Immediate::Offset(scale) | Immediate::Low(scale) => {
                let offset = value & 0xfff;
                if offset & ((1 << scale) - 1) != 0 {
                    return Err(Overflow);
                }
                (0xfff, 10, offset >> scale)
            }
            Immediate::Middle if (0..1 << 24).contains(&value) => (0xfff, 10, value >> 12),
            Immediate::Middle => return Err(Overflow),
            Immediate::GotOffset if value & 7 == 0 && (0..1 << 15).contains(&value) => (0xfff, 10, value >> 3),
            Immediate::GotOffset => return Err(Overflow),
            Immediate::Move { shift, checked } => {
                if checked && !(0..1i128 << (shift + 16)).contains(&value) {
                    return Err(Overflow);
                }
                (0xffff, 5, value >> shift)
            }
        };
        let kept = u32::from_le_bytes(*word) & !(mask << at);
        *word = (kept | (immediate as u32 & mask) << at).to_le_bytes();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(code: u32, immediate: Immediate, value: i128) -> Option<u32> {
        let mut bytes = code.to_le_bytes();
        immediate.store(&mut bytes, value).ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    #[test]
    fn immediates_as_the_assembler_encodes_them() {
        // bl .+8; bl .-4; the farthest target in reach, and the next one.
        let branch = Immediate::Branch { bits: 26, at: 0 };
        assert_eq!(stored(0x9400_0000, branch, 8), Some(0x9400_0002));
        assert_eq!(stored(0x9400_0000, branch, -4), Some(0x97ff_ffff));
        assert_eq!(stored(0x9400_0000, branch, (128 << 20) - 4), Some(0x95ff_ffff));
        assert_eq!(stored(0x9400_0000, branch, 128 << 20), None);
        assert_eq!(stored(0x9400_0000, branch, 2), None, "between two instructions");
        // adrp x1, .+0x5000; adrp x1, .-0x1000; adr x1, .+5
        assert_eq!(stored(0x9000_0001, Immediate::Page(true), 0x5000), Some(0xb000_0021));
        assert_eq!(stored(0x9000_0001, Immediate::Page(true), -0x1000), Some(0xf0ff_ffe1));
        assert_eq!(stored(0x9000_0001, Immediate::Page(true), 1 << 32), None);
        assert_eq!(stored(0x1000_0001, Immediate::Adr, 5), Some(0x3000_0021));
        // add x0, x0, #0x234; ldr x0, [x0, #0x238]
        assert_eq!(stored(0x9100_0000, Immediate::Offset(0), 0x1234), Some(0x9108_d000));
        assert_eq!(stored(0xf940_0000, Immediate::Offset(3), 0x1238), Some(0xf941_1c00));
        assert_eq!(stored(0xf940_0000, Immediate::Offset(3), 0x1234), None, "not a multiple of 8");
        // add x0, x0, #0x234; add x0, x0, #0x567, lsl #12
        assert_eq!(stored(0x9100_0000, Immediate::Low(0), 0x234), Some(0x9108_d000));
        assert_eq!(stored(0x9100_0000, Immediate::Low(0), 0x1234), None, "not below 4 KiB");
        assert_eq!(stored(0x9140_0000, Immediate::Middle, 0x56_7234), Some(0x9155_9c00));
        assert_eq!(stored(0x9140_0000, Immediate::Middle, 1 << 24), None);
        // movz x0, #0x1234, lsl #16
        assert_eq!(stored(0xd2a0_0000, Immediate::Move { shift: 16, checked: true }, 0x1234_5678), Some(0xd2a2_4680));
        assert_eq!(stored(0xd2a0_0000, Immediate::Move { shift: 16, checked: true }, 1 << 32), None);
    }
}
