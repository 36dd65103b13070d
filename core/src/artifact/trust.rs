//! Who has signed an artifact: the signatures in its trailer and those that came beside it, and whether a trusted key made one.

use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes};

use super::{Artifact, OpenOptions, digest_mismatch};
use crate::alloc;
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::format::trailer::{Root, SIGNATURE_SIZE, Signature};
use crate::limits::MAX_SIGNATURES;
use crate::trust::keys::{self, PublicKey};

/// Signatures that came beside the file.
#[derive(Debug, Default)]
pub(super) struct Detached {
    signatures: Vec<Signature>,
    /// What they are over, where the file has no root record of its own.
    pub(super) root: Option<Root>,
}

impl Detached {
    /// The signatures in these bytes: as they stand in a trailer, one behind the other.
    pub(super) fn new(bytes: &[u8]) -> Result<Detached> {
        let found = <[Signature]>::ref_from_bytes(bytes).ok().filter(|found| found.len() <= MAX_SIGNATURES as usize);
        let found = found.ok_or_else(|| {
            let message = format!(
                "detached signature: expected up to {MAX_SIGNATURES} times {SIGNATURE_SIZE} bytes, found {}",
                bytes.len()
            );
            Error::new(Status::Untrusted, message)
        })?;
        Ok(Detached { signatures: alloc::copy(found, "the signatures")?, root: None })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.signatures.is_empty()
    }
}

/// The trusted key that has signed this root record; none where no signature is asked for.
///
/// # Errors
///
/// UNTRUSTED.
pub(super) fn signer(
    trusted: &[&PublicKey],
    root: &Root,
    inside: &[Signature],
    beside: &Detached,
) -> Result<Option<PublicKey>> {
    if trusted.is_empty() {
        return Ok(None);
    }
    keys::signer(trusted.iter().copied(), root, inside.iter().chain(&beside.signatures)).map(|key| Some(key.clone()))
}

/// What vouches for an artifact's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Integrity {
    /// Nothing.
    None = 0,
    /// A trailer's digests, which anybody can make.
    Digests = 1,
    /// A trusted key's signature over digests.
    Signed = 2,
}

impl Artifact {
    /// What vouches for its bytes.
    #[must_use]
    pub fn integrity(&self) -> Integrity {
        match (&self.signer, &self.trailer) {
            (Some(_), _) => Integrity::Signed,
            (None, Some(_)) => Integrity::Digests,
            (None, None) => Integrity::None,
        }
    }

    /// The root record, if there is one that something may have signed.
    pub(super) fn root(&self) -> Option<&Root> {
        self.trailer.as_ref().map(|trailer| &trailer.root).or(self.detached.root.as_ref())
    }

    /// The signatures in its trailer, then those beside it. Anybody can write them: what they claim holds only for
    /// [`Artifact::signer`].
    pub fn signatures(&self) -> impl Iterator<Item = &Signature> {
        let inside = self.trailer.iter().flat_map(|trailer| &trailer.signatures);
        inside.chain(&self.detached.signatures)
    }

    /// The trusted key whose signature was found when it was opened.
    #[must_use]
    pub fn signer(&self) -> Option<&PublicKey> {
        self.signer.as_ref()
    }

    /// Whether a signature is the one of [`Artifact::signer`], and not another in its name.
    #[must_use]
    pub fn confirms(&self, signature: &Signature) -> bool {
        let signed =
            |root| self.signer().is_some_and(|key| key.bytes() == signature.key && key.verifies(root, signature));
        self.root().is_some_and(signed)
    }

    /// Whether a key that this engine trusts has signed it, whatever was asked for at opening.
    ///
    /// # Errors
    ///
    /// UNTRUSTED if none has, although the engine trusts some.
    pub fn check_trust(&self, engine: &Engine) -> Result<()> {
        let trusted = engine.trusted_keys();
        match self.root() {
            _ if trusted.is_empty() => Ok(()),
            Some(root) => keys::signer(trusted, root, self.signatures()).map(|_| ()),
            None => Err(unsigned()),
        }
    }
}

/// This artifact as an engine that trusts keys wants it: every module is compared with what one of them has signed before
/// its bytes are handed out. Opened anew where that wasn't asked for at opening; it must be the same then.
///
/// # Errors
///
/// UNTRUSTED; DIGEST_MISMATCH if another artifact is there now; as opening it anew.
pub(crate) fn trusted_by(artifact: &Arc<Artifact>, engine: &Engine) -> Result<Arc<Artifact>> {
    artifact.check_trust(engine)?;
    if engine.trusted_keys().is_empty() || artifact.signer.is_some() {
        return Ok(Arc::clone(artifact));
    }
    let beside = artifact.detached.signatures.as_bytes();
    let options = OpenOptions { signature: beside, ..OpenOptions::default() };
    let again = Artifact::from_region(artifact.region.try_clone()?, Some(engine), &options)?;
    if again.root() != artifact.root() {
        return Err(digest_mismatch("root record", again.base()));
    }
    Ok(Arc::new(again))
}

/// There is no trailer, and therefore no signature.
#[cold]
pub(super) fn unsigned() -> Error {
    let message = "signature: expected one of a trusted key, found a file without a trailer, and none beside it";
    Error::new(Status::Untrusted, message)
}
