//! The signatures of an opened artifact, embedded in its trailer or detached, and the check for one of a trusted key.

use std::sync::Arc;

use zerocopy::IntoBytes;

use super::{Artifact, OpenOptions, Trailer, digest_mismatch};
use crate::alloc;
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::format::trailer::{Digest, Root, Signature};
use crate::trust::digest;
use crate::trust::keys::{self, IndexRecord, PrivateKey, PublicKey, Statement};

/// Signatures that are stored outside the file.
#[derive(Debug, Default)]
pub(super) struct Detached {
    signatures: Vec<Signature>,
    /// The root record that they are over if the file has no trailer.
    pub(super) root: Option<Root>,
}

impl Detached {
    /// Decodes a sequence of signatures, in the form that a trailer stores them in.
    pub(super) fn new(bytes: &[u8]) -> Result<Detached> {
        Ok(Detached { signatures: alloc::copy(keys::detached(bytes)?, "the signatures")?, root: None })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }

    pub(super) fn signatures(&self) -> &[Signature] {
        &self.signatures
    }
}

/// What a pack says about an artifact in it.
#[derive(Debug, PartialEq)]
pub(crate) struct Voucher {
    /// Digest of the artifact's root record.
    pub digest: Digest,
    /// The trusted key that has signed the pack.
    pub signer: Option<PublicKey>,
}

impl Voucher {
    /// Checks that an artifact with this trailer is the one that the pack lists.
    pub(super) fn check(&self, trailer: Option<&Trailer>) -> Result<()> {
        match trailer {
            Some(trailer) if digest::packed(&trailer.root) == self.digest => Ok(()),
            Some(trailer) => Err(digest_mismatch("root record in a pack", trailer.layout.root)),
            None => Err(Error::corrupt("pack: expected an artifact with a trailer, found one without")),
        }
    }
}

/// Returns the trusted key that has signed a root record or an index; none if no keys are trusted.
///
/// # Errors
///
/// UNTRUSTED if there are trusted keys but none has signed it.
pub(super) fn signer(
    trusted: &[&PublicKey],
    signed: &impl Statement,
    embedded: &[Signature],
    detached: &Detached,
) -> Result<Option<PublicKey>> {
    if trusted.is_empty() {
        return Ok(None);
    }
    keys::signer(trusted.iter().copied(), signed, embedded.iter().chain(&detached.signatures))
        .map(|key| Some(key.clone()))
}

/// How the bytes of an artifact are protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Integrity {
    /// No protection.
    None = 0,
    /// Digests in a trailer, which detect damage but which anyone can compute.
    Digests = 1,
    /// A trusted key's signature over digests.
    Signed = 2,
}

impl Artifact {
    /// Returns how the artifact's bytes are protected.
    #[must_use]
    pub fn integrity(&self) -> Integrity {
        match (&self.signer, &self.trailer) {
            (Some(_), _) => Integrity::Signed,
            (None, Some(_)) => Integrity::Digests,
            (None, None) => Integrity::None,
        }
    }

    /// Returns the root record that signatures are over, if one is known.
    pub(super) fn root(&self) -> Option<&Root> {
        self.trailer.as_ref().map(|trailer| &trailer.root).or(self.detached.root.as_ref())
    }

    /// Creates a detached signature: over the index of a file of several targets, otherwise over the root record. This reads every byte.
    ///
    /// # Errors
    ///
    /// As [`Artifact::root_record`], for each variant.
    pub fn sign(&self, key: &PrivateKey) -> Result<Signature> {
        match self.index_digest() {
            Some(digest) => self.check_variants().map(|()| key.sign(&IndexRecord(*digest))),
            None => Ok(key.sign(&self.root_record()?)),
        }
    }

    /// Returns what a detached signature is over, without the context before it: the digest of the index of a file of several targets,
    /// which is 32 bytes, otherwise the root record. This reads every byte.
    ///
    /// # Errors
    ///
    /// As [`Artifact::sign`].
    pub fn signed_record(&self) -> Result<Vec<u8>> {
        match self.index_digest() {
            Some(digest) => self.check_variants().map(|()| digest.to_vec()),
            None => Ok(self.root_record()?.as_bytes().to_vec()),
        }
    }

    /// Returns the embedded signatures, then the detached ones. They are not verified, except for that of [`Artifact::signer`]. Those
    /// over an index of variants are [`Artifact::index_signatures`].
    pub fn signatures(&self) -> impl Iterator<Item = &Signature> {
        let embedded = self.trailer.iter().flat_map(|trailer| &trailer.signatures);
        embedded.chain(&self.detached.signatures)
    }

    /// Returns the trusted key whose signature was verified when the artifact was opened.
    #[must_use]
    pub fn signer(&self) -> Option<&PublicKey> {
        self.signer.as_ref()
    }

    /// Returns whether a signature, over the root record or over the index of variants, is a valid one of [`Artifact::signer`].
    #[must_use]
    pub fn confirms(&self, signature: &Signature) -> bool {
        self.signer().filter(|key| key.bytes() == signature.key).is_some_and(|key| {
            self.root().is_some_and(|root| key.verifies(root, signature))
                || self.index_digest().is_some_and(|digest| key.verifies(&IndexRecord(*digest), signature))
        })
    }

    /// Checks that a key that `engine` trusts has signed the artifact, independently of the keys trusted when it was opened. What this
    /// process has made itself, and has kept in memory, needs no signature.
    ///
    /// # Errors
    ///
    /// UNTRUSTED if the engine trusts keys but none has signed it.
    pub fn check_trust(&self, engine: &Engine) -> Result<()> {
        let trusted = engine.trusted_keys();
        match self.root() {
            _ if trusted.is_empty() || self.own => Ok(()),
            // That was verified when the pack was opened.
            _ if self.vouched && self.signer().is_some_and(|key| trusted.contains(key)) => Ok(()),
            // A row of the index has the digest of this root record, which opening has compared.
            _ if let Some((index, _)) = &self.variant => {
                keys::signer(trusted, &IndexRecord(index.digest), index.signatures()).map(|_| ())
            }
            Some(root) => keys::signer(trusted, root, self.signatures()).map(|_| ()),
            None => Err(unsigned_error()),
        }
    }
}

/// Returns the artifact opened such that every module is checked against what a key that `engine` trusts has signed, before its
/// bytes are used. The artifact is reopened if it was not opened that way.
///
/// # Errors
///
/// UNTRUSTED if no trusted key has signed it; DIGEST_MISMATCH if the file holds another artifact now; as [`Artifact::open`].
pub(crate) fn reopen_trusted(artifact: &Arc<Artifact>, engine: &Engine) -> Result<Arc<Artifact>> {
    artifact.check_trust(engine)?;
    if engine.trusted_keys().is_empty() || artifact.signer.is_some() || artifact.own {
        return Ok(Arc::clone(artifact));
    }
    let (region, detached, variant) = match &artifact.variant {
        Some((index, chosen)) => (&index.whole, &index.detached, Some(*chosen)),
        None => (&artifact.region, &artifact.detached, None),
    };
    let options = OpenOptions { signature: detached.signatures.as_bytes(), variant, ..OpenOptions::default() };
    let reopened = Artifact::from_region(region.part(0, region.len())?, Some(engine), &options)?;
    if reopened.root() != artifact.root() {
        return Err(digest_mismatch("root record", reopened.base()));
    }
    Ok(Arc::new(reopened))
}

/// Creates the error for a file that has neither a trailer nor detached signatures.
#[cold]
pub(super) fn unsigned_error() -> Error {
    let message = "signature: expected one of a trusted key, found a file without a trailer and no detached signature";
    Error::new(Status::Untrusted, message)
}
