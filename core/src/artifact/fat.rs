//! Files of several targets: reading the index, choosing a variant, and asking about the others.
//!
//! The order of checks is: footer, digest of the index, its signature, its rows; then each variant that may be the one, as a file of one
//! target is checked, against its row.

use std::collections::BTreeSet;
use std::sync::Arc;

use zerocopy::{FromBytes, IntoBytes};

use super::open::{Vouched, digest_mismatch, open_one, trusted_keys};
use super::trust::{Detached, signer};
use super::verify::{check_all_digests, verify, wrong_signature};
use super::{Artifact, OpenOptions};
use crate::alloc;
use crate::compat;
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::format::fat::{IndexFooter, Rows, Variant, check_needs, decode_index};
use crate::format::first_nonzero;
use crate::format::trailer::{Digest, SIGNATURE_SIZE, Signature};
use crate::limits::MAX_REFUSALS;
use crate::report::Report;
use crate::storage::{Held, Region, Window};
use crate::trust::digest;
use crate::trust::keys::{IndexRecord, PublicKey};

/// The index of an opened file of several targets.
#[derive(Debug)]
pub(super) struct Index {
    rows: Arc<Rows>,
    /// The digest that signatures are over.
    pub(super) digest: Digest,
    signatures: Vec<Signature>,
    pub(super) detached: Detached,
    /// The trusted key whose signature over the index was verified.
    signer: Option<PublicKey>,
    /// The whole file.
    pub(super) whole: Region,
    /// Offset of the index in it.
    offset: u64,
}

/// An index whose digests are right, and whose rows may not be decoded yet.
pub(super) struct Found {
    rows: Coded,
    footer: IndexFooter,
    signatures: Vec<Signature>,
    /// The first row that the engine may meet: 0 unless it is known that it doesn't meet those before.
    first: usize,
}

enum Coded {
    Bytes(Vec<u8>),
    /// The engine has opened a file with the same index.
    Known(Arc<Rows>),
}

impl Found {
    /// Finds the index of a file of several targets. Returns none if it is a file of one.
    pub(super) fn find(window: &Window<'_>, len: u64, engine: Option<&Engine>) -> Result<Option<Found>> {
        let Some(footer) = IndexFooter::find(window.bytes(), len)? else { return Ok(None) };
        let (offset, size) = (footer.index_offset.get(), footer.index_size());
        let signatures = u64::from(footer.signatures.get()) * SIGNATURE_SIZE;
        let read = window.read(offset, size + signatures, "the index of variants")?;
        let (bytes, signed) = read.split_at_checked(size as usize).unwrap_or_default(); // at most the length of `read`
        let signatures = alloc::copy(<[Signature]>::ref_from_bytes(signed).unwrap_or(&[]), "the signatures")?;
        let known = engine.and_then(|engine| engine.accepted.find_index(&footer.index_digest, offset, bytes));
        let right = (known.is_some() || digest::index(bytes) == footer.index_digest)
            && digest::index_signatures(&signatures) == footer.signatures_digest;
        if !right {
            return Err(digest_mismatch("index", offset));
        }
        let (rows, first) = match known {
            Some((rows, first)) => (Coded::Known(rows), first),
            None => {
                let mut bytes = alloc::into_owned(read, "the index of variants")?;
                bytes.truncate(size as usize);
                (Coded::Bytes(bytes), 0)
            }
        };
        Ok(Some(Found { rows, footer, signatures, first }))
    }

    /// Returns the trusted key that has signed the index; none if no keys are trusted.
    fn signer(&self, trusted: &[&PublicKey], detached: &Detached) -> Result<Option<PublicKey>> {
        let found = signer(trusted, &IndexRecord(self.footer.index_digest), &self.signatures, detached);
        found.map_err(|error| error.within("index of variants"))
    }

    /// Returns the rows, decoded.
    fn rows(self) -> Result<Arc<Rows>> {
        let offset = self.footer.index_offset.get();
        match self.rows {
            Coded::Bytes(bytes) => Ok(Arc::new(Rows::try_new(bytes, |bytes| decode_index(bytes, offset))?)),
            Coded::Known(rows) => Ok(rows),
        }
    }

    fn decode(mut self, whole: Region, detached: Detached, signer: Option<PublicKey>) -> Result<Index> {
        let signatures = std::mem::take(&mut self.signatures);
        let (digest, offset) = (self.footer.index_digest, self.footer.index_offset.get());
        Ok(Index { rows: self.rows()?, digest, signatures, detached, signer, whole, offset })
    }
}

impl Index {
    fn variants(&self) -> &[Variant<'_>] {
        self.rows.borrow_dependent()
    }

    fn variant(&self, index: usize) -> Result<&Variant<'_>> {
        let variants = self.variants();
        variants.get(index).ok_or_else(|| no_variant(variants.len(), index))
    }

    /// Returns the signatures over the index, those in the file first.
    pub(super) fn signatures(&self) -> impl Iterator<Item = &Signature> {
        self.signatures.iter().chain(self.detached.signatures())
    }

    /// Opens a variant. `buffer` holds some bytes of the whole file.
    fn open(
        self: &Arc<Index>,
        index: usize,
        engine: Option<&Engine>,
        options: &OpenOptions<'_>,
        buffer: &mut [u8],
        held: Held,
    ) -> Result<Artifact> {
        let row = *self.variant(index)?;
        let mut region = self.whole.part(row.offset, row.len)?;
        let mut held = held.narrowed(row.offset, row.len);
        if options.copy {
            (region, held) = (region.snapshot(options.copy_limit)?, Held::default());
        }
        let private = options.is_private(&region, self.signer.is_some());
        let vouched = Vouched { checksum: &row.checksum, signer: self.signer.as_ref() };
        let opened = open_one(region, private, buffer, held, engine, options, Some(&vouched));
        let mut opened = opened.map_err(|error| error.shifted(row.offset))?;
        if let Ok(metadata) = opened.metadata()
            && (metadata.target != row.target || !row.has_needs_of(metadata.isa_flags.sorted()))
        {
            let message = "expected the target and ISA flags that the index says, found others in Metadata";
            return Err(Error::corrupt(message).at(row.offset + opened.metadata_offset()));
        }
        opened.variant = Some((Arc::clone(self), index));
        Ok(opened)
    }
}

/// Returns the length of the variant at the start of a file of several targets; none if it is a file of one.
///
/// # Errors
///
/// DIGEST_MISMATCH, TRUNCATED or CORRUPT if the index is damaged; UNSUPPORTED for another format; LIMIT; IO; NO_MEMORY.
pub(crate) fn first_variant(window: &Window<'_>, len: u64) -> Result<Option<u64>> {
    let Some(found) = Found::find(window, len, None)? else { return Ok(None) };
    Ok(found.rows()?.borrow_dependent().last().map(|first| first.len))
}

/// Opens the variant of a file of several targets that the caller asks for, or that fits the engine best.
pub(super) fn open(
    region: Region,
    found: Found,
    engine: Option<&Engine>,
    options: &OpenOptions<'_>,
    buffer: &mut [u8],
    held: Held,
) -> Result<Artifact> {
    let detached = Detached::new(options.signature)?;
    let signer = found.signer(&trusted_keys(engine, options), &detached)?;
    let first = found.first;
    let index = Arc::new(found.decode(region, detached, signer)?);
    let count = index.variants().len();
    let Some(engine) = engine.filter(|_| options.variant.is_none()) else {
        let wanted = options.variant.unwrap_or(count - 1); // the first in the file
        return index.open(wanted, engine, options, buffer, held).map_err(|error| in_variant(wanted, error));
    };
    let unmet = |at| index.variant(at).map(|row| compat::unmet(engine, row).map(Error::from));
    let first = if options.require_best { 0 } else { first };
    let mut reasons = Vec::new();
    let (mut held, mut only_needs) = (Some(held), true);
    for at in first..count {
        let mismatch = match unmet(at)? {
            Some(mismatch) => mismatch,
            None => {
                let opened = index.open(at, Some(engine), options, buffer, held.take().unwrap_or_default());
                let opened = opened.map_err(|error| in_variant(at, error))?;
                match opened.check_known_needs(engine) {
                    Ok(()) => {
                        if only_needs {
                            engine.accepted.remember_index(&index.rows, &index.digest, index.offset, at);
                        }
                        return Ok(opened);
                    }
                    Err(error) if error.status() == Status::Incompatible => {
                        only_needs = false;
                        error
                    }
                    // The caller adds the base to the offset.
                    Err(error) => return Err(in_variant(at, error).relative_to(index.whole.base())),
                }
            }
        };
        reasons.push((at, mismatch));
        if options.require_best && compat::same_target(engine, index.variant(at)?.target) {
            break;
        }
    }
    for at in (0..first).rev() {
        reasons.splice(0..0, unmet(at)?.map(|mismatch| (at, mismatch)));
    }
    // No variant of another producer or version fits, whatever the rows say.
    index
        .open(count - 1, Some(engine), options, buffer, Held::default())
        .map_err(|error| in_variant(count - 1, error))?;
    Err(refusal(&reasons, count))
}

/// Says which variant a damaged part of the file belongs to. The sentences about producer and version are the same for all.
fn in_variant(index: usize, error: Error) -> Error {
    match error.status() {
        Status::WrongProducer | Status::WrongVersion | Status::NoMemory => error,
        _ => error.within(format_args!("variant {index}")),
    }
}

#[cold]
pub(super) fn no_variant(count: usize, index: usize) -> Error {
    Error::new(Status::NotFound, format!("expected a variant below {count}, found {index}"))
}

/// Creates the error for a file of `count` variants of which those in `reasons` don't fit. If these are not all, the last of them is the
/// best one for the engine's target, which was required.
#[cold]
fn refusal(reasons: &[(usize, Error)], count: usize) -> Error {
    let sentence = |(at, error): &(usize, Error)| format!("variant {at}: {}", error.message());
    let message = match reasons.last() {
        Some(best) if reasons.len() < count => {
            format!("expected the best variant for this target to fit, found that it does not: {}", sentence(best))
        }
        _ => {
            let mut sentences: Vec<String> = reasons.iter().take(MAX_REFUSALS).map(sentence).collect();
            if count > MAX_REFUSALS {
                sentences.push(format!("and {} more", count - MAX_REFUSALS));
            }
            format!("expected a variant that fits, found {count} that do not: {}", sentences.join("; "))
        }
    };
    Error::new(Status::Incompatible, message)
}

impl Artifact {
    /// Returns the number of variants in the file: 1 unless it is a file of several targets.
    #[must_use]
    pub fn variant_count(&self) -> usize {
        self.variant.as_ref().map_or(1, |(index, _)| index.variants().len())
    }

    /// Returns the index of the variant that this artifact is. Variants are numbered in the order in which an engine tries them, so the
    /// last one is the most portable.
    #[must_use]
    pub fn variant_chosen(&self) -> usize {
        self.variant.as_ref().map_or(0, |(_, chosen)| *chosen)
    }

    /// Returns what a variant is for. In a file of one target, variant 0 is the whole file.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such variant; if the file has one target, WRONG_VERSION for Metadata of an unknown layout, and LIMIT for
    /// more needs than a variant of several can have.
    pub fn variant(&self, index: usize) -> Result<Variant<'_>> {
        match &self.variant {
            Some((of, _)) => of.variant(index).copied(),
            None if index == 0 => {
                let metadata = self.metadata()?;
                let only = Variant::of_code(metadata.target, metadata.isa_flags.sorted());
                check_needs(only.needs().count())?;
                Ok(Variant { len: self.len(), ..only })
            }
            None => Err(no_variant(1, index)),
        }
    }

    /// Opens another variant of the same file, which needs to fit nothing. The index that was read, and whose signature was verified if
    /// keys are trusted, says what it must be. The options `copy`, `read`, `memory_limit` and `verify` count.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such variant; as [`Artifact::open`].
    pub fn open_variant(&self, index: usize, options: &OpenOptions<'_>) -> Result<Artifact> {
        let Some((of, _)) = &self.variant else {
            return if index == 0 { self.reopen(options) } else { Err(no_variant(1, index)) };
        };
        let mut buffer = Window::BUFFER;
        let opened = of.open(index, None, options, &mut buffer, Held::default());
        let opened = opened.map_err(|error| in_variant(index, error).shifted(of.whole.base()))?;
        if options.verify {
            verify(&opened)?;
        }
        Ok(opened)
    }

    fn reopen(&self, options: &OpenOptions<'_>) -> Result<Artifact> {
        let detached = self.detached.signatures();
        let trusted: Vec<PublicKey> = self.signer.iter().cloned().collect();
        let options = OpenOptions {
            signature: if trusted.is_empty() { &[] } else { detached.as_bytes() },
            trusted: &trusted,
            variant: None,
            require_best: false,
            ..*options
        };
        Artifact::from_region(self.region.part(0, self.region.len())?, None, &options)
    }

    /// Returns every mismatch between a variant and an engine: why it was not chosen. A report without findings is that of a variant
    /// that fits. The variant is opened, unless it is this one.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such variant; as [`Artifact::report`] and [`Artifact::open_variant`].
    pub fn variant_report(&self, index: usize, engine: &Engine) -> Result<Report> {
        if index == self.variant_chosen() {
            return self.report(engine);
        }
        self.open_variant(index, &OpenOptions { read: true, ..OpenOptions::default() })?.report(engine)
    }

    /// Verifies every variant of the file, that they are of one producer and version and need different things, and that only zeros are
    /// between them.
    pub(super) fn verify_all(&self) -> Result<Report> {
        let mut report = Report::default();
        let options = OpenOptions { read: self.private, ..OpenOptions::default() };
        let Some((of, _)) = &self.variant else { return Ok(report) };
        let base = of.whole.base();
        let (mut end, mut seen) = (of.offset, BTreeSet::new());
        for (at, row) in of.variants().iter().enumerate() {
            let wrong = |what: &str| Error::corrupt(format!("variant {at}: {what}")).at(base + row.offset);
            let other = self.open_variant(at, &options)?;
            if (other.producer(), other.version()) != (self.producer(), self.version()) {
                return Err(wrong("expected the producer and version of the other variants, found others"));
            }
            if !seen.insert(row.texts()) {
                return Err(wrong("expected needs that no other variant has, found those of another"));
            }
            for mut finding in verify(&other).map_err(|error| in_variant(at, error))?.findings {
                finding.sentence = format!("variant {at}: {}", finding.sentence);
                report.add(finding)?;
            }
            let gap = of.whole.read_to_vec(
                row.offset + row.len,
                end - row.offset - row.len,
                "the padding after a variant",
            )?;
            if first_nonzero(&gap).is_some() {
                return Err(wrong("expected zero padding after it, found nonzero bytes"));
            }
            end = row.offset;
        }
        for (at, signature) in self.index_signatures().enumerate() {
            if !PublicKey::from_bytes(&signature.key).is_ok_and(|key| key.verifies(&IndexRecord(of.digest), signature))
            {
                report.add(wrong_signature(&format!("signature {at} of the index")))?;
            }
        }
        Ok(report)
    }

    /// Checks that no variant is damaged, before someone vouches for the index.
    pub(super) fn check_variants(&self) -> Result<()> {
        let options = OpenOptions { read: true, ..OpenOptions::default() };
        (0..self.variant_count()).try_for_each(|at| check_all_digests(&self.open_variant(at, &options)?))
    }

    /// Returns the digest of the index, which signatures of a file of several targets are over; none for a file of one.
    #[must_use]
    pub fn index_digest(&self) -> Option<&Digest> {
        self.variant.as_ref().map(|(index, _)| &index.digest)
    }

    /// Returns the signatures over the index of a file of several targets: those in the file, then the detached ones. They are not
    /// verified, except for that of [`Artifact::signer`].
    pub fn index_signatures(&self) -> impl Iterator<Item = &Signature> {
        self.variant.iter().flat_map(|(index, _)| index.signatures())
    }
}
