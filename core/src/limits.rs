//! The limits on sizes and counts in files. A size or count read from a file is compared with one of these, or with the number
//! of bytes that remain, before memory is allocated for it.

/// Maximum size of encoded Metadata in bytes. Decoded, it takes at most eight times as much memory.
pub const MAX_METADATA: u64 = 64 << 20;

/// Maximum size of all chunks of a trailer in bytes, attributes included.
pub const MAX_CHUNKS: u64 = 64 << 20;

/// Maximum number of attributes in an artifact.
pub const MAX_ATTRIBUTES: usize = 1 << 16;

/// Maximum number of signatures in an artifact.
pub const MAX_SIGNATURES: u32 = 64;

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

/// Maximum size of an artifact's loaded code and data in bytes: the range of 32-bit relative addresses.
pub const MAX_CODE: u64 = 2 << 30;

/// Maximum nesting depth of upvars. Decoding uses a stack frame for each level.
pub const MAX_UPVAR_DEPTH: usize = 100;

/// Maximum alignment of a module within the file in bytes: a huge page on x86-64.
pub const MAX_ALIGN: u64 = 2 << 20;

/// Maximum part of a PT_LOAD segment's alignment that counts for the module's alignment in the file, in bytes: the largest page
/// size of a supported host.
pub const MAX_SEGMENT_ALIGN: u64 = 64 << 10;

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

/// Maximum total length of the names of all symbols, or of all sections, of an object or a linked image, in bytes. Names may
/// overlap in an object; they do not in a linked image.
pub const MAX_STRINGS: usize = 256 << 20;
