//! x86-64's relocations in shared objects (System V psABI, Relocation Types).

use super::bind::Kind;

/// `e_machine`.
pub const MACHINE: Option<u16> = Some(62);

/// The image's place and the addend: most relocations.
pub const RELATIVE: u32 = 8;

/// What any other type asks for.
#[inline]
pub fn kind(number: u32) -> Kind {
    match number {
        6 | 7 => Kind::Slot, // GLOB_DAT, JUMP_SLOT
        1 => Kind::Address,  // 64
        0 => Kind::Nothing,
        5 => Kind::Refused("R_X86_64_COPY"),
        37 => Kind::Refused("R_X86_64_IRELATIVE"),
        16 => Kind::Refused("R_X86_64_DTPMOD64 (thread-local storage)"),
        17 => Kind::Refused("R_X86_64_DTPOFF64 (thread-local storage)"),
        18 => Kind::Refused("R_X86_64_TPOFF64 (thread-local storage)"),
        36 => Kind::Refused("R_X86_64_TLSDESC (thread-local storage)"),
        _ => Kind::Unknown,
    }
}
