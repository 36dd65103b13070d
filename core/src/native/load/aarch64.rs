//! aarch64's relocations in shared objects (ELF for the Arm 64-bit Architecture, Dynamic relocations).

use super::bind::Kind;

/// `e_machine`.
pub const MACHINE: Option<u16> = Some(183);

/// The image's place and the addend: most relocations.
pub const RELATIVE: u32 = 1027;

/// What any other type asks for.
#[inline]
pub fn kind(number: u32) -> Kind {
    match number {
        257 | 1025 | 1026 => Kind::Address, // ABS64, GLOB_DAT, JUMP_SLOT: all of them add
        0 | 256 => Kind::Nothing,
        1024 => Kind::Refused("R_AARCH64_COPY"),
        1032 => Kind::Refused("R_AARCH64_IRELATIVE"),
        1028 => Kind::Refused("R_AARCH64_TLS_DTPMOD (thread-local storage)"),
        1029 => Kind::Refused("R_AARCH64_TLS_DTPREL (thread-local storage)"),
        1030 => Kind::Refused("R_AARCH64_TLS_TPREL (thread-local storage)"),
        1031 => Kind::Refused("R_AARCH64_TLSDESC (thread-local storage)"),
        _ => Kind::Unknown,
    }
}
