//! The bytes of an artifact, and nothing else: where each ELF ends and how it is aligned, how they are linked, HEADER and
//! version, and what Metadata says. Pure functions over slices. Knows no file, no engine, and no host.
//!
//! `docs/format.md` describes the format for people.

pub(crate) mod body;
// For tests of this repository.
#[doc(hidden)]
pub mod elf;
pub mod flags;
pub mod metadata;
pub mod module;
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

/// Copies bytes at an offset of the artifact into a buffer, all of them or an error: how pure code reads a large file.
#[doc(hidden)] // elf, which is hidden too, reads through it
pub trait Fetch {
    /// Fills `buffer` from `offset`.
    ///
    /// # Errors
    ///
    /// Whatever the source says, TRUNCATED if it ends before `buffer` is full.
    fn fetch(&mut self, offset: u64, buffer: &mut [u8]) -> crate::error::Result<()>;
}

/// Where the first byte is that isn't zero. Padding is looked at in blocks: of small modules it is a good part.
#[must_use]
pub(crate) fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 64;
    let clean = bytes.as_chunks::<BLOCK>().0.iter().take_while(|block| **block == [0; BLOCK]).count() * BLOCK;
    bytes.get(clean..)?.iter().position(|byte| *byte != 0).map(|at| clean + at)
}

/// `value` rounded up to a multiple of `align`, a power of two.
#[must_use]
pub(crate) fn align_up(value: u64, align: u64) -> Option<u64> {
    let mask = align.checked_sub(1)?;
    Some(value.checked_add(mask)? & !mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_other_bytes_is_found_wherever_it_is() {
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
