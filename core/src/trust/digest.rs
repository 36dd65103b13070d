//! BLAKE3 digests in derive-key mode. Each kind of data has its own context, so a digest of one kind is never valid for another.

use std::sync::OnceLock;

use blake3::Hasher;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use zerocopy::IntoBytes;

use crate::fork;
use crate::format::pack::PackRoot;
use crate::format::trailer::{Digest, Footer, Root, Signature};

/// The context of one kind of data. Its key is derived once, which takes as long as hashing a small module table.
pub struct Context {
    name: &'static str,
    key: OnceLock<ContextKey>,
}

static MODULE: Context = Context::new("libartifact 2026-11 trailer 1: module");
static TAIL: Context = Context::new("libartifact 2026-11 trailer 1: tail");
static TABLE: Context = Context::new("libartifact 2026-11 trailer 1: module table");
static CHUNKS: Context = Context::new("libartifact 2026-11 trailer 1: chunks");
static FOOTER: Context = Context::new("libartifact 2026-11 trailer 1: footer");
/// Keys of the cache.
pub static CACHE_KEY: Context = Context::new("libartifact 2026-11 cache 1: key");
static REMOTE_NAME: Context = Context::new("libartifact 2026-11 cache 1: name at a remote");

static PACKED: Context = Context::new("libartifact 2026-11 pack 1: artifact");
static ROWS: Context = Context::new("libartifact 2026-11 pack 1: rows");
static DIRECTORY: Context = Context::new("libartifact 2026-11 pack 1: directory");
static PACK_FOOTER: Context = Context::new("libartifact 2026-11 pack 1: footer");

static INDEX: Context = Context::new("libartifact 2026-11 index 1: index");
static INDEX_SIGNATURES: Context = Context::new("libartifact 2026-11 index 1: signatures");

impl Context {
    const fn new(name: &'static str) -> Context {
        Context { name, key: OnceLock::new() }
    }

    fn key(&self) -> &ContextKey {
        self.key.get().unwrap_or_else(|| fork::keep(&self.key, hash_derive_key_context(self.name)))
    }

    fn digest(&self, parts: &[&[u8]]) -> Digest {
        let mut hasher = hasher(self);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

/// Returns a hasher for data of one kind.
#[must_use]
pub fn hasher(context: &Context) -> Hasher {
    Hasher::new_from_context_key(context.key())
}

/// Returns the digest that names an entry of the cache at a remote: of the digest of its key and the fingerprint of its target.
#[must_use]
pub fn remote_name(key: &Digest, target: &Digest) -> Digest {
    REMOTE_NAME.digest(&[key, target])
}

/// Returns the key for digests of modules, which cover the link word and padding before a module, if any, and its ELF image.
/// `hashing` computes these digests, all modules at once.
#[must_use]
pub fn module_key() -> &'static ContextKey {
    MODULE.key()
}

/// Hashes the tail: the terminator, HEADER, version and Metadata.
#[must_use]
pub fn tail(bytes: &[u8]) -> Digest {
    TAIL.digest(&[bytes])
}

/// Hashes the module table.
#[must_use]
pub fn table(bytes: &[u8]) -> Digest {
    TABLE.digest(&[bytes])
}

/// Hashes the chunks.
#[must_use]
pub fn chunks(bytes: &[u8]) -> Digest {
    CHUNKS.digest(&[bytes])
}

/// Hashes root record, signatures and footer, with the footer's checksum field taken as zero.
#[must_use]
pub fn footer(root: &Root, signatures: &[Signature], footer: &Footer) -> Digest {
    seal(&FOOTER, root.as_bytes(), signatures, footer)
}

/// Hashes root record, signatures and footer of a pack, with the footer's checksum field taken as zero.
#[must_use]
pub fn pack_footer(root: &PackRoot, signatures: &[Signature], footer: &Footer) -> Digest {
    seal(&PACK_FOOTER, root.as_bytes(), signatures, footer)
}

fn seal(context: &Context, root: &[u8], signatures: &[Signature], footer: &Footer) -> Digest {
    let blank = Footer { checksum: [0; 32], ..*footer };
    context.digest(&[root, signatures.as_bytes(), blank.as_bytes()])
}

/// Hashes the root record of an artifact that is in a pack.
#[must_use]
pub fn packed(root: &Root) -> Digest {
    PACKED.digest(&[root.as_bytes()])
}

/// Hashes a block of a pack's table.
#[must_use]
pub fn rows(bytes: &[u8]) -> Digest {
    ROWS.digest(&[bytes])
}

/// Hashes the directory of a pack.
#[must_use]
pub fn directory(bytes: &[u8]) -> Digest {
    DIRECTORY.digest(&[bytes])
}

/// Hashes the header, rows and texts of an index of variants.
#[must_use]
pub fn index(bytes: &[u8]) -> Digest {
    INDEX.digest(&[bytes])
}

/// Hashes the signatures of an index; zeros if there are none.
#[must_use]
pub fn index_signatures(signatures: &[Signature]) -> Digest {
    if signatures.is_empty() { [0; 32] } else { INDEX_SIGNATURES.digest(&[signatures.as_bytes()]) }
}
