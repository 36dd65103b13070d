//! Passes all modules of an artifact and their digests to whoever looks at every byte and keeps none.

use super::Artifact;
use crate::alloc;
use crate::error::Result;
use crate::format::trailer::Digest;
use crate::trust::hashing;

/// Receives the index of a module, the bytes that its digest is over, and that digest.
pub(super) type Visit<'v> = &'v mut dyn FnMut(usize, &[u8], &Digest) -> Result<()>;

/// Passes each module to `visit`, with the bytes that [`Artifact::module_span`] returns. If another user can write to the file, one module
/// after another is read into memory instead: whoever truncates a file kills the processes that read a mapping of it (SIGBUS).
///
/// # Errors
///
/// Any error of `visit`; IO, NO_MEMORY; TRUNCATED if the file has become shorter; DIGEST_MISMATCH if the bytes of a signed module do not
/// match its digest.
pub(super) fn each_span(artifact: &Artifact, visit: Visit<'_>) -> Result<()> {
    let count = artifact.module_count();
    let region = artifact.region();
    if !artifact.is_private() && region.others_can_write() && !region.is_immutable() {
        return (0..count).try_for_each(|index| {
            let (start, range) = (artifact.span_start(index)?, artifact.module_range(index)?);
            let copy = artifact.private_span(index, start, range.end())?;
            let digests = hashing::hash_each(&[copy.bytes()])?;
            digests.iter().try_for_each(|digest| visit(index, copy.bytes(), digest))
        });
    }
    let spans = alloc::try_collect((0..count).map(|index| artifact.module_span(index)), "the list of modules")?;
    let digests = match artifact.signer() {
        // A signed artifact's bytes are only returned after they matched their digests.
        Some(_) => alloc::collect(artifact.entries()?.iter().map(|entry| entry.digest), "the digests of all modules")?,
        None => hashing::hash_each(&spans)?,
    };
    spans.iter().zip(&digests).enumerate().try_for_each(|(index, (span, digest))| visit(index, span, digest))
}
