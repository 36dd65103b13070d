//! BLAKE3 in its derive-key mode, one context for each kind of thing, so that a digest of one never passes for another's.

use std::sync::OnceLock;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use zerocopy::IntoBytes;

use crate::format::trailer::{Digest, Footer, Root, Signature};

/// What one kind of thing is keyed with. Made once, since that takes as long as the digest of a small module table.
struct Context {
    name: &'static str,
    key: OnceLock<ContextKey>,
}

static MODULE: Context = Context::new("libartifact 2026-11 trailer 1: module");
static TAIL: Context = Context::new("libartifact 2026-11 trailer 1: tail");
static TABLE: Context = Context::new("libartifact 2026-11 trailer 1: module table");
static CHUNKS: Context = Context::new("libartifact 2026-11 trailer 1: chunks");
static FOOTER: Context = Context::new("libartifact 2026-11 trailer 1: footer");

impl Context {
    const fn new(name: &'static str) -> Context {
        Context { name, key: OnceLock::new() }
    }

    fn key(&self) -> &ContextKey {
        self.key.get_or_init(|| hash_derive_key_context(self.name))
    }

    fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut hasher = Hasher::new_from_context_key(self.key());
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

/// Of a module, its link word and padding where it has them, and its ELF: what they are keyed with. They are made together, in
/// `hashing`.
#[must_use]
pub fn module_key() -> &'static ContextKey {
    MODULE.key()
}

/// Of the terminator, HEADER, version and Metadata.
#[must_use]
pub fn tail(bytes: &[u8]) -> Digest {
    TAIL.digest(&[bytes])
}

/// Of the module table.
#[must_use]
pub fn table(bytes: &[u8]) -> Digest {
    TABLE.digest(&[bytes])
}

/// Of all chunks.
#[must_use]
pub fn chunks(bytes: &[u8]) -> Digest {
    CHUNKS.digest(&[bytes])
}

/// Of root record, signatures and footer, whose own field counts as zero.
#[must_use]
pub fn footer(root: &Root, signatures: &[Signature], footer: &Footer) -> Digest {
    let blank = Footer { checksum: [0; 32], ..*footer };
    FOOTER.digest(&[root.as_bytes(), signatures.as_bytes(), blank.as_bytes()])
}
