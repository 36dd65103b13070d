//! The signatures of an artifact being built: those of keys added to the builder, those made elsewhere, and those that an existing
//! artifact already had.

use std::fmt;
use std::sync::Arc;

use zerocopy::FromZeros;

use super::Builder;
use crate::error::{Error, Result, Status};
use crate::format::trailer::{Root, Signature};
use crate::limits::MAX_SIGNATURES;
use crate::trust::keys::{PrivateKey, PublicKey, Statement};

/// A function that signs a message, and returns the key that verifies the signature.
pub type SignFn = dyn Fn(&[u8]) -> Result<(PublicKey, [u8; 64])> + Send + Sync;

/// Who signs what is written.
#[derive(Clone)]
#[non_exhaustive]
pub enum Signer {
    /// A key in memory.
    Key(Arc<PrivateKey>),
    /// A function, for keys that are elsewhere. The message is a context and a root record, as docs/format.md says.
    Callback(Arc<SignFn>),
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signer::Key(key) => key.fmt(f),
            Signer::Callback(_) => f.write_str("Callback"),
        }
    }
}

impl Signer {
    /// Signs the root record of an artifact or of a pack.
    pub(crate) fn sign(&self, statement: &impl Statement) -> Result<Signature> {
        let sign = match self {
            Signer::Key(key) => return Ok(key.sign(statement)),
            Signer::Callback(sign) => sign,
        };
        let (key, bytes) = sign(&statement.message())?;
        let signature = Signature { key: key.bytes(), bytes };
        if key.verifies(statement, &signature) {
            return Ok(signature);
        }
        let message = format!("signer: expected a signature of key {key} over the message, found another");
        Err(Error::new(Status::InvalidArgument, message))
    }
}

#[derive(Debug, Default)]
pub(super) struct Signing {
    keys: Vec<Arc<PrivateKey>>,
    /// Signatures made elsewhere, over the root record at the time they were added.
    added: Vec<(PublicKey, Signature)>,
    /// Signatures of the existing artifact whose body is kept. They are written if they still match the root record and there is
    /// room for them after the others.
    inherited: Vec<Signature>,
}

impl Signing {
    pub(super) fn inherit(&mut self, signatures: impl Iterator<Item = Signature>) {
        self.inherited = signatures.collect();
    }

    /// Returns whether the caller added a key or signature.
    pub(super) fn is_requested(&self) -> bool {
        !self.keys.is_empty() || !self.added.is_empty()
    }

    /// Adds a key, unless it is there already.
    pub(super) fn add_key(&mut self, key: &Arc<PrivateKey>) -> Result<()> {
        if self.keys.iter().any(|existing| existing.public() == key.public()) {
            return Ok(());
        }
        check_count(self.keys.len() + 1)?;
        self.keys.push(Arc::clone(key));
        Ok(())
    }

    /// Adds a signature over a statement that was made elsewhere.
    pub(super) fn add_signature<S: Statement>(&mut self, key: &PublicKey, bytes: &[u8; 64], signed: &S) -> Result<()> {
        let signature = Signature { key: key.bytes(), bytes: *bytes };
        if !key.verifies(signed, &signature) {
            let message = format!("signature: expected one of key {key} over the {}, found another", S::WHAT);
            return Err(Error::new(Status::InvalidArgument, message));
        }
        self.added.retain(|(existing, _)| existing != key);
        check_count(self.added.len() + 1)?;
        self.added.push((key.clone(), signature));
        Ok(())
    }

    /// Returns how many signatures the existing artifact had.
    pub(super) fn inherited_count(&self) -> usize {
        self.inherited.len()
    }

    /// Returns how many of the existing artifact's signatures are not valid for a statement.
    pub(super) fn void(&self, signed: &impl Statement) -> usize {
        self.inherited.iter().filter(|signature| !is_valid(signed, signature)).count()
    }

    /// Returns the signatures over a statement, at most one for each key; one of `signer` among them.
    pub(super) fn signatures<S: Statement>(&self, signed: &S, signer: Option<&Signer>) -> Result<Vec<Signature>> {
        let mut signatures: Vec<Signature> = self.keys.iter().map(|key| key.sign(signed)).collect();
        if let Some(signer) = signer {
            push(&mut signatures, &signer.sign(signed)?)?;
        }
        for (key, signature) in &self.added {
            if !key.verifies(signed, signature) {
                let message = format!(
                    "signature of key {key}: expected one of the current {}, found one that does not match (the artifact was changed since it was signed)",
                    S::WHAT
                );
                return Err(Error::new(Status::InvalidArgument, message));
            }
            push(&mut signatures, signature)?;
        }
        for signature in &self.inherited {
            let full = signatures.len() >= MAX_SIGNATURES as usize;
            if !full && is_valid(signed, signature) {
                push(&mut signatures, signature)?;
            }
        }
        Ok(signatures)
    }
}

fn is_valid(signed: &impl Statement, signature: &Signature) -> bool {
    PublicKey::from_bytes(&signature.key).is_ok_and(|key| key.verifies(signed, signature))
}

fn push(signatures: &mut Vec<Signature>, signature: &Signature) -> Result<()> {
    if signatures.iter().any(|existing| existing.key == signature.key) {
        return Ok(());
    }
    signatures.push(*signature);
    check_count(signatures.len())
}

fn check_count(count: usize) -> Result<()> {
    if count <= MAX_SIGNATURES as usize {
        return Ok(());
    }
    Err(Error::new(Status::Limit, format!("signatures: expected at most {MAX_SIGNATURES}, found one more")))
}

impl Builder<'_> {
    /// Adds a key, which signs each artifact that is written from now on.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if no trailer is written, LIMIT for more keys than an artifact may have signatures.
    pub fn add_key(&mut self, key: &Arc<PrivateKey>) -> Result<()> {
        self.needs_trailer("key")?;
        self.signing.add_key(key)
    }

    /// Computes the root record of the artifact in its current state, for signing elsewhere. This hashes every byte.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if no trailer is written; as [`Builder::serialize`].
    pub fn root_record(&self) -> Result<Root> {
        self.needs_trailer("root record")?;
        let mut record = Root::new_zeroed();
        self.with_layout(&mut |layout| {
            record = layout.root()?;
            Ok(())
        })?;
        Ok(record)
    }

    /// Adds a signature over [`Builder::root_record`] that was made elsewhere.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if the signature is not one of `key` over the current root record; LIMIT for too many signatures; as
    /// [`Builder::root_record`].
    pub fn add_signature(&mut self, key: &PublicKey, bytes: &[u8; 64]) -> Result<()> {
        let root = self.root_record()?;
        self.signing.add_signature(key, bytes, &root)
    }

    /// Returns how many signatures of the existing artifact no longer match and will not be written.
    ///
    /// # Errors
    ///
    /// As [`Builder::root_record`].
    pub fn void_signatures(&self) -> Result<usize> {
        if self.signing.inherited.is_empty() {
            return Ok(0);
        }
        if !self.trailer {
            return Ok(self.signing.inherited_count());
        }
        Ok(self.signing.void(&self.root_record()?))
    }

    /// Removes all keys and signatures, those of the existing artifact included.
    pub fn clear_signatures(&mut self) {
        self.signing = Signing::default();
    }
}
