//! Machines whose code isn't loaded.

use super::bind::Kind;

/// None: every module is refused before its relocations are looked at.
pub const MACHINE: Option<u16> = None;

/// Never asked.
pub const RELATIVE: u32 = u32::MAX;

/// Never asked.
pub fn kind(_: u32) -> Kind {
    Kind::Unknown
}
