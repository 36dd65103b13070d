//! BLAKE3 in its derive-key mode, one context for each kind of thing, so that a digest of one never passes for another's.

use blake3::Hasher;
use blake3::hazmat::{ContextKey, hash_derive_key_context};
use zerocopy::IntoBytes;

use crate::format::trailer::{Digest, Footer, Root, Signature};

const MODULE: &str = "libartifact 2026-11 trailer 1: module";
const TAIL: &str = "libartifact 2026-11 trailer 1: tail";
const TABLE: &str = "libartifact 2026-11 trailer 1: module table";
const CHUNKS: &str = "libartifact 2026-11 trailer 1: chunks";
const FOOTER: &str = "libartifact 2026-11 trailer 1: footer";

fn digest(context: &str, parts: &[&[u8]]) -> Digest {
    let mut hasher = Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Of a module, its link word and padding where it has them, and its ELF: what they are keyed with. They are made together, in
/// `hashing`.
#[must_use]
pub fn module_key() -> ContextKey {
    hash_derive_key_context(MODULE)
}

/// Of the terminator, HEADER, version and Metadata.
#[must_use]
pub fn tail(bytes: &[u8]) -> Digest {
    digest(TAIL, &[bytes])
}

/// Of the module table.
#[must_use]
pub fn table(bytes: &[u8]) -> Digest {
    digest(TABLE, &[bytes])
}

/// Of all chunks.
#[must_use]
pub fn chunks(bytes: &[u8]) -> Digest {
    digest(CHUNKS, &[bytes])
}

/// Of root record, signatures and footer, whose own field counts as zero.
#[must_use]
pub fn footer(root: &Root, signatures: &[Signature], footer: &Footer) -> Digest {
    let blank = Footer { checksum: [0; 32], ..*footer };
    digest(FOOTER, &[root.as_bytes(), signatures.as_bytes(), blank.as_bytes()])
}
