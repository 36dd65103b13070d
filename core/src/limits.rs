//! The limits on sizes and counts in files. A size or count read from a file is compared with one of these, or with the number
//! of bytes that remain, before memory is allocated for it.

use crate::error::{Error, Result, Status};

/// Maximum size of encoded Metadata in bytes. Decoded, it takes at most eight times as much memory.
pub const MAX_METADATA: u64 = 64 << 20;

/// Maximum number of settings, and of indexes of variants, that an engine remembers because it has accepted them.
pub const MAX_ACCEPTED: usize = 16;

/// Maximum size of what an engine remembers, each in bytes as encoded: ten times the settings of a real compiler.
pub const MAX_ACCEPTED_SIZE: usize = 16 << 10;

/// Maximum size of the section with the settings in a file of Wasmtime, and of the names of its sections, in bytes. Real ones have
/// one or two thousand.
pub const MAX_ENGINE_SECTION: u64 = 1 << 20;

/// Maximum size of all chunks of a trailer in bytes, attributes included.
pub const MAX_CHUNKS: u64 = 64 << 20;

/// Maximum number of attributes in an artifact.
pub const MAX_ATTRIBUTES: usize = 1 << 16;

/// Maximum number of signatures in an artifact.
pub const MAX_SIGNATURES: u32 = 64;

/// Maximum number of artifacts in a pack: its directory takes 18 MiB then.
pub const MAX_PACK_ROWS: u64 = 1 << 24;

/// Maximum number of variants in a file of several targets.
pub const MAX_VARIANTS: usize = 256;

/// Maximum size of the texts in an index of variants in bytes: target triples and ISA flags.
pub const MAX_INDEX_TEXTS: u64 = 1 << 20;

/// Maximum number of needs of a variant: five times the features of any architecture.
pub const MAX_NEEDS: usize = 1024;

/// Maximum number of findings in a report.
pub const MAX_FINDINGS: usize = 4096;

/// Maximum length of a section or symbol name in bytes. Names may overlap in their string table, so all names together could be
/// far longer than the file.
pub const MAX_NAME: usize = 64 << 10;

/// Maximum number of modules in an artifact.
pub const MAX_MODULES: usize = 1 << 20;

/// Maximum number of sections in a module: sixteen times what ELF allows without extended numbering.
pub const MAX_SECTIONS: u64 = 1 << 20;

/// Maximum number of PT_LOAD segments in a module. Linkers create two to five.
pub const MAX_SEGMENTS: usize = 16;

/// Maximum size of an image's code and data in bytes, without the zeroed data at its end: the range of 32-bit relative addresses.
pub const MAX_CODE: u64 = 2 << 30;

/// Maximum number of addresses that an artifact's modules take in memory. It is for zeroed data, which takes memory only where it is
/// used; address spaces of 64-bit machines have 2^39 bytes at least, 2^47 usually.
pub const MAX_ADDRESSES: u64 = 1 << 40;

/// Maximum size of a module's thread-local storage in bytes. Each thread that uses it allocates as much.
pub const MAX_THREAD_LOCAL: u64 = 256 << 20;

/// Maximum nesting depth of upvars. Decoding uses a stack frame for each level.
pub const MAX_UPVAR_DEPTH: usize = 100;

/// Maximum alignment of a module within the file in bytes: a huge page on x86-64.
pub const MAX_ALIGN: u64 = 2 << 20;

/// Maximum part of a PT_LOAD segment's alignment that counts for the module's alignment in the file, in bytes: the largest page
/// size of a supported host.
pub const MAX_SEGMENT_ALIGN: u64 = 64 << 10;

/// Maximum size in bytes of an entry that a cache takes from a remote: it is received into memory before it is checked.
pub const MAX_REMOTE_ENTRY: u64 = 256 << 20;

/// Maximum number of entries of a cache's folder that a collection has in memory, 64 bytes each. It goes on with others later.
pub const MAX_COLLECTED: usize = 1 << 20;

/// Maximum number of folders that the folder of a cache is in.
pub const MAX_FOLDER_DEPTH: u32 = 256;

/// Maximum length of a producer's name in bytes.
pub const MAX_PRODUCER: usize = 32;

/// Maximum length of a version in bytes: its length is stored in one byte.
pub const MAX_VERSION: usize = 255;

/// Maximum number of bytes of a text from a file that an error message quotes.
pub const MAX_QUOTE: usize = 300;

/// Maximum number of bytes that a decoder reserves for items it has not seen yet.
pub const MAX_RESERVE: usize = 64 << 10;

/// Maximum padding for the alignment of sections in a linked image, in bytes.
pub const MAX_PADDING: u64 = 64 << 20;

/// Maximum total size of the compressed debug sections of all objects of a link, expanded, in bytes.
pub const MAX_EXPANDED: u64 = 1 << 30;

/// Maximum total size of the compressed debug sections of an object, expanded, as a multiple of the object's size. Compilers' objects
/// stay below ten: relocations are not compressed.
pub const MAX_EXPANSION: u64 = 64;

/// Maximum number of things that the linker's error lists if they cannot be linked.
pub const MAX_REFUSALS: usize = 20;

/// Maximum total length of the names of all symbols, or of all sections, of an object or a linked image, in bytes. Names may
/// overlap in an object; they do not in a linked image.
pub const MAX_STRINGS: usize = 256 << 20;

/// Maximum total length of the names that are read from a file, as a multiple of the file's size.
const NAMES_FACTOR: u64 = 8;

/// Total length of names that is allowed in files of any size, in bytes.
const MIN_NAMES: u64 = 1 << 20;

/// A limit on the total length of names from one file.
///
/// Names may overlap in their string table, so `n` symbols can have names that are together `n` times as long as the table. All
/// names of a compiler's file are together shorter than the file.
#[derive(Clone, Copy, Debug)]
pub struct NameBudget {
    max: u64,
    left: u64,
}

impl NameBudget {
    /// Returns the budget for a file of `len` bytes.
    #[must_use]
    pub fn for_file(len: u64) -> NameBudget {
        let max = len.saturating_mul(NAMES_FACTOR).max(MIN_NAMES);
        NameBudget { max, left: max }
    }

    /// Returns a budget for names whose number and lengths are limited in another way.
    #[must_use]
    pub fn unlimited() -> NameBudget {
        NameBudget { max: u64::MAX, left: u64::MAX }
    }

    /// Takes the length of a name, and its terminator, out of the budget.
    ///
    /// # Errors
    ///
    /// LIMIT if less than that is left.
    pub fn take(&mut self, len: usize) -> Result<()> {
        self.left = self.left.checked_sub(len as u64 + 1).ok_or_else(|| self.exceeded())?;
        Ok(())
    }

    #[cold]
    fn exceeded(&self) -> Error {
        let max = self.max;
        let message =
            format!("names: expected at most {max} bytes of them in a file of this size, found more that overlap");
        Error::new(Status::Limit, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_limited_by_the_size_of_their_file() {
        let mut small = NameBudget::for_file(0);
        small.take((1 << 20) - 1).unwrap();
        assert_eq!(small.take(0).unwrap_err().status(), Status::Limit);
        let mut large = NameBudget::for_file(1 << 20);
        for _ in 0..8 {
            large.take((1 << 20) - 1).unwrap();
        }
        assert_eq!(large.take(0).unwrap_err().status(), Status::Limit);
        NameBudget::for_file(u64::MAX).take(usize::MAX >> 1).unwrap();
    }
}
