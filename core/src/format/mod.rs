//! The file format: where each ELF image ends and how it is aligned, the links between images, HEADER and version, Metadata,
//! and the trailer. This module holds pure functions over byte slices; it does not know about files, engines or hosts.
//!
//! `docs/format.md` specifies the format.

pub mod archive;
pub(crate) mod body;
pub mod cwasm;
// For tests of this repository.
#[doc(hidden)]
pub mod elf;
// For tests of this repository.
#[doc(hidden)]
pub mod fat;
pub mod flags;
pub(crate) mod foreign;
pub mod metadata;
pub mod module;
// For the cache, the command line and tests of this repository.
#[doc(hidden)]
pub mod pack;
mod symbols;
pub(crate) mod tail;
// For tests of this repository.
#[doc(hidden)]
pub mod trailer;
pub mod types;
pub mod upvars;
mod wire;

pub use wire::Map;
// For the command line, whose metadata.json is read by the same rules.
#[doc(hidden)]
pub use wire::{Object, object};

/// Random access to the bytes of an artifact, so that this module can parse a large file without reading all of it.
#[doc(hidden)] // elf, which is hidden too, reads through it
pub trait Fetch {
    /// Fills `buffer` with the bytes at `offset`.
    ///
    /// # Errors
    ///
    /// TRUNCATED if the source ends before `buffer` is full, or any other error of the source.
    fn fetch(&mut self, offset: u64, buffer: &mut [u8]) -> crate::error::Result<()>;
}

/// Returns the index of the first nonzero byte. Padding is a large part of a file of small modules, so zeros are compared a
/// block at a time.
#[must_use]
pub(crate) fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 64;
    let zeros = bytes.as_chunks::<BLOCK>().0.iter().take_while(|block| **block == [0; BLOCK]).count() * BLOCK;
    bytes.get(zeros..)?.iter().position(|byte| *byte != 0).map(|at| zeros + at)
}

/// Rounds `value` up to a multiple of `align`, which must be a power of two. Returns none on overflow.
#[must_use]
pub(crate) fn align_up(value: u64, align: u64) -> Option<u64> {
    let mask = align.checked_sub(1)?;
    Some(value.checked_add(mask)? & !mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_nonzero_finds_every_position() {
        for len in 0..200 {
            let mut bytes = vec![0; len];
            assert_eq!(first_nonzero(&bytes), None);
            for at in (0..len).rev() {
                bytes[at] = 1;
                assert_eq!(first_nonzero(&bytes), Some(at));
            }
        }
    }
}
