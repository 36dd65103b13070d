//! Who signs an artifact that is being made: keys that are at hand, signatures made elsewhere, and those that the artifact had
//! already.

use std::sync::Arc;

use zerocopy::FromZeros;

use super::Builder;
use crate::error::{Error, Result, Status};
use crate::format::trailer::{Root, Signature};
use crate::limits::MAX_SIGNATURES;
use crate::trust::keys::{PrivateKey, PublicKey};

#[derive(Debug, Default)]
pub(super) struct Signing {
    keys: Vec<Arc<PrivateKey>>,
    /// Made elsewhere, of the root record as it was then.
    added: Vec<(PublicKey, Signature)>,
    /// Of the artifact whose body is kept. They stay as long as the root record does, and there is room beside those that were
    /// asked for.
    inherited: Vec<Signature>,
}

impl Signing {
    pub(super) fn inherit(&mut self, signatures: impl Iterator<Item = Signature>) {
        self.inherited = signatures.collect();
    }

    /// Whether somebody asked for a signature.
    pub(super) fn is_requested(&self) -> bool {
        !self.keys.is_empty() || !self.added.is_empty()
    }

    /// The signatures of this root record, each key's once.
    pub(super) fn signatures(&self, root: &Root) -> Result<Vec<Signature>> {
        let mut signatures: Vec<Signature> = self.keys.iter().map(|key| key.sign(root)).collect();
        for (key, signature) in &self.added {
            if !key.verifies(root, signature) {
                let message = format!(
                    "signature of key {key}: expected one of the artifact as it is now, found another's (it was changed since, or its record was asked for before)"
                );
                return Err(Error::new(Status::InvalidArgument, message));
            }
            push(&mut signatures, signature)?;
        }
        for signature in &self.inherited {
            let full = signatures.len() >= MAX_SIGNATURES as usize;
            if !full && PublicKey::from_bytes(&signature.key).is_ok_and(|key| key.verifies(root, signature)) {
                push(&mut signatures, signature)?;
            }
        }
        Ok(signatures)
    }
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
    /// Signs with this key whatever is written from now on.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT without a trailer, LIMIT for more keys than signatures fit.
    pub fn add_key(&mut self, key: &Arc<PrivateKey>) -> Result<()> {
        self.needs_trailer("key")?;
        let keys = &mut self.signing.keys;
        if keys.iter().any(|existing| existing.public() == key.public()) {
            return Ok(());
        }
        check_count(keys.len() + 1)?;
        keys.push(Arc::clone(key));
        Ok(())
    }

    /// What a signature of the artifact, as it is now, is over, for a key that isn't at hand. It takes a look at every byte.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT without a trailer; as [`Builder::serialize`].
    pub fn root_record(&self) -> Result<Root> {
        self.needs_trailer("root record")?;
        let mut record = Root::new_zeroed();
        self.with_layout(&mut |layout| {
            record = layout.root()?;
            Ok(())
        })?;
        Ok(record)
    }

    /// Adds a signature that was made elsewhere, of [`Builder::root_record`].
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if it isn't this key's, of the artifact as it is now; as [`Builder::root_record`]; LIMIT.
    pub fn add_signature(&mut self, key: &PublicKey, bytes: &[u8; 64]) -> Result<()> {
        let signature = Signature { key: key.bytes(), bytes: *bytes };
        if !key.verifies(&self.root_record()?, &signature) {
            let message =
                format!("signature: expected one of key {key} over the artifact's root record, found another");
            return Err(Error::new(Status::InvalidArgument, message));
        }
        let added = &mut self.signing.added;
        added.retain(|(existing, _)| existing != key);
        check_count(added.len() + 1)?;
        added.push((key.clone(), signature));
        Ok(())
    }

    /// How many signatures of the artifact whose body is kept no longer hold, and won't be written.
    ///
    /// # Errors
    ///
    /// As [`Builder::root_record`].
    pub fn void_signatures(&self) -> Result<usize> {
        if self.signing.inherited.is_empty() {
            return Ok(0);
        }
        if !self.trailer {
            return Ok(self.signing.inherited.len());
        }
        let root = self.root_record()?;
        let holds = |signature: &&Signature| {
            PublicKey::from_bytes(&signature.key).is_ok_and(|key| key.verifies(&root, signature))
        };
        Ok(self.signing.inherited.len() - self.signing.inherited.iter().filter(holds).count())
    }

    /// Forgets keys and signatures, those of the artifact whose body is kept too.
    pub fn clear_signatures(&mut self) {
        self.signing = Signing::default();
    }
}
