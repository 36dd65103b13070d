//! The bytes of an artifact, and nothing else: where each ELF ends and how it is aligned, how they are linked, HEADER and
//! version, and what Metadata says. Pure functions over slices. Knows no file, no engine, and no host.
//!
//! `docs/format.md` describes the format for people.

pub mod body;
pub mod elf;
pub mod flags;
pub mod metadata;
pub mod module;
pub mod trailer;
pub mod types;
pub mod upvars;
mod wire;

pub use wire::{Map, Object, object};

/// Copies bytes at an offset of the artifact into a buffer, all of them or an error: how pure code reads a large file.
pub trait Fetch {
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    ///
    /// Whatever the source says, TRUNCATED if it ends before `buffer` is full.
    fn fetch(&mut self, offset: u64, buffer: &mut [u8]) -> crate::error::Result<()>;
}

/// `value` rounded up to a multiple of `align`, a power of two.
#[must_use]
pub fn align_up(value: u64, align: u64) -> Option<u64> {
    let mask = align.checked_sub(1)?;
    Some(value.checked_add(mask)? & !mask)
}
