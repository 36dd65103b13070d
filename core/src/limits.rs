//! Every bound on what a file may ask for. A count or length taken from a file is compared with one of these, or with
//! the bytes that remain, before anything is allocated for it.

/// Metadata: most bytes on the wire. What it decodes to is at most eight times this.
pub const MAX_METADATA: u64 = 64 << 20;

/// A trailer's chunks, attributes among them, in bytes.
pub const MAX_CHUNKS: u64 = 64 << 20;

/// Attributes in one artifact.
pub const MAX_ATTRIBUTES: usize = 1 << 16;

/// Signatures in one artifact.
pub const MAX_SIGNATURES: u32 = 64;

/// Entries in a report.
pub const MAX_FINDINGS: usize = 4096;

/// The name of a section or symbol, in bytes. Names may overlap in their table, so that reading them all could take far more
/// than the file.
pub const MAX_NAME: usize = 64 << 10;

/// Modules in one artifact.
pub const MAX_MODULES: usize = 1 << 20;

/// Sections in one module: what ELF numbering without the extension reaches, sixteen times over.
pub const MAX_SECTIONS: u64 = 1 << 20;

/// PT_LOAD segments in one module: linkers make two to five.
pub const MAX_SEGMENTS: usize = 16;

/// Addresses that one artifact's code takes, in bytes: what 32-bit distances reach.
pub const MAX_CODE: u64 = 2 << 30;

/// Upvars nested in one another. Each level costs a stack frame while decoding.
pub const MAX_UPVAR_DEPTH: usize = 100;

/// Alignment of a module within the file, in bytes: one huge page on x86-64.
pub const MAX_ALIGN: u64 = 2 << 20;

/// Up to this, the alignment of PT_LOAD segments counts too, in bytes: the largest page size of a supported host.
pub const MAX_SEGMENT_ALIGN: u64 = 64 << 10;

/// A producer's name, in bytes.
pub const MAX_PRODUCER: usize = 32;

/// A version, in bytes: its length is stored in one.
pub const MAX_VERSION: usize = 255;

/// Bytes of text from a file that an error message quotes.
pub const MAX_QUOTE: usize = 300;

/// What a decoder reserves ahead of the items it has really seen, in bytes.
pub const MAX_RESERVE: usize = 64 << 10;

/// What sections' alignments add to a linked image, in bytes.
pub const MAX_PADDING: u64 = 64 << 20;

/// The names of all symbols, or of all sections, of an object or a linked image, in bytes: they may overlap in an object, and
/// don't in an image.
pub const MAX_STRINGS: usize = 256 << 20;
