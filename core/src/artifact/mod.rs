//! An opened artifact. Opening reads the modules' headers and the bytes after the last module. The modules' bytes are mapped on
//! first use.

mod fat;
mod modules;
mod open;
mod options;
mod spans;
mod table;
mod trust;
mod verify;

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use self_cell::self_cell;

use crate::alloc;
use crate::compat;
use crate::engine::Engine;
use crate::error::{Error, Result, Status, quote};
use crate::fork;
use crate::format::body::LINK_SIZE;
use crate::format::metadata::Metadata;
use crate::format::tail::{Decoded, Tail};
use crate::format::trailer;
use crate::limits::MAX_CHUNKS;
use crate::report::{Kind, Report};
use crate::storage::Region;
use crate::trust::digest;
use crate::trust::keys::PublicKey;

pub use crate::format::body::ModuleRange;
pub use crate::format::elf::{Extent, Identity};
pub use crate::format::fat::Variant;
pub use crate::format::trailer::{Attribute, Root, Signature};
pub use crate::storage::Part;
pub(crate) use fat::first_variant;
pub use open::Trailer;
pub(crate) use open::digest_mismatch;
pub use options::OpenOptions;
pub(crate) use table::ModuleBytes;
use table::Table;
use trust::Detached;
pub use trust::Integrity;
pub(crate) use trust::{Voucher, reopen_trusted};
use verify::verify;
pub(crate) use verify::{check_all_digests, check_digests, wrong_signature};

type Attributes<'a> = Vec<Attribute<'a>>;

self_cell! {
    struct Chunks {
        owner: Vec<u8>,
        #[covariant]
        dependent: Attributes,
    }
    impl { Debug }
}

/// An opened artifact.
#[derive(Debug)]
pub struct Artifact {
    region: Region,
    /// The bytes from the terminator on, and what they decode to. An engine that has accepted the same bytes before has it, too.
    tail: Arc<Tail>,
    header_offset: u64,
    modules: usize,
    /// The ranges of the modules: known after following the links, or read from the trailer's module table on first use.
    table: OnceLock<Arc<Table>>,
    trailer: Option<Trailer>,
    /// Detached signatures.
    detached: Detached,
    /// The trusted key whose signature was verified when the artifact was opened.
    signer: Option<PublicKey>,
    /// Whether the signer has signed the pack that the artifact is in, and with it this root record.
    vouched: bool,
    /// Whether the modules are private copies.
    private: bool,
    /// Whether it was made by this process and never left its memory.
    own: bool,
    /// The rest of a tail that Metadata of an unknown layout is in, read on first use of the tail.
    unknown_tail: OnceLock<Vec<u8>>,
    /// What the headers of all modules say, if they say the same; read at the first check.
    identity: OnceLock<Identity>,
    /// The trailer's chunks, read when attributes are first requested.
    chunks: OnceLock<Chunks>,
    /// The file of several targets that this is a variant of, and which one.
    variant: Option<(Arc<fat::Index>, usize)>,
}

impl Artifact {
    /// Opens the artifact at `path`. The engine's trusted keys, producer and version rule are checked, in this order, before Metadata
    /// is decoded. Without an engine any artifact opens, even one of another version whose Metadata can't be decoded.
    ///
    /// Module bytes are mapped on first use. The file must not be truncated or written in place while the artifact is open: reading
    /// pages past the new end of a truncated file raises SIGBUS, and bytes rewritten in place change under borrowed slices. Set
    /// [`OpenOptions::copy`] if other programs might do that. Replacing the file, by renaming another one over it, is safe. See the
    /// [crate's documentation](crate#files-that-change).
    ///
    /// # Errors
    ///
    /// IO if the file can't be opened or read; INVALID_ARGUMENT if it is not a regular file, the part lies outside it, or detached
    /// signatures are given without a trusted key; NOT_AN_ARTIFACT for other files; TRUNCATED, CORRUPT or DIGEST_MISMATCH for a
    /// damaged artifact; UNSUPPORTED for a newer trailer; UNTRUSTED if no trusted key has signed it; WRONG_PRODUCER or WRONG_VERSION if
    /// the engine does not accept its producer or version; LIMIT; NO_MEMORY. With [`OpenOptions::verify`] as [`Artifact::verify`].
    pub fn open(path: &Path, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        Artifact::from_region(Region::open(path, options.part)?, engine, options)
    }

    /// Opens the artifact in an open file. The descriptor is duplicated. The file must not change, as with [`Artifact::open`].
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub fn open_fd(fd: BorrowedFd<'_>, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        Artifact::from_region(Region::open_fd(fd, options.part)?, engine, options)
    }

    /// Opens an artifact in memory. The bytes are copied.
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub fn open_bytes(bytes: &[u8], engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        Artifact::from_region(Region::copied(bytes, options.part)?, engine, options)
    }

    /// Opens an artifact in memory. The bytes are borrowed.
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub fn open_borrowed(bytes: &'static [u8], engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        Artifact::from_region(Region::borrowed(bytes, options.part)?, engine, options)
    }

    /// Opens what this process has just made. It needs no signature: nobody else could have changed it.
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub(crate) fn own(bytes: Vec<u8>) -> Result<Artifact> {
        let artifact = Artifact::from_region(Region::owned(bytes), None, &OpenOptions::default())?;
        Ok(Artifact { own: true, ..artifact })
    }

    /// Opens the artifact in a region.
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub(crate) fn from_region(region: Region, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        let base = region.base();
        let artifact = open::open(region, engine, options).map_err(|error| error.shifted(base))?;
        if options.verify {
            verify(&artifact)?;
        }
        Ok(artifact)
    }

    fn decoded(&self) -> &Decoded<'_> {
        self.tail.borrow_dependent()
    }

    /// Returns the name of the producer that compiled the artifact.
    #[must_use]
    pub fn producer(&self) -> &str {
        self.decoded().header.producer
    }

    /// Returns the producer's version; arbitrary bytes.
    #[must_use]
    pub fn version(&self) -> &[u8] {
        self.decoded().header.version
    }

    /// Returns the decoded Metadata.
    ///
    /// # Errors
    ///
    /// WRONG_VERSION if the artifact was written by a version with an unknown layout.
    pub fn metadata(&self) -> Result<&Metadata<'_>> {
        match &self.decoded().metadata {
            Ok((metadata, _)) => Ok(metadata),
            Err(error) => {
                let version = quote(self.version());
                let message = format!("Metadata of version '{version}' has an unknown layout: {}", error.message());
                Err(Error::new(Status::WrongVersion, message)
                    .at(error.offset().unwrap_or(self.metadata_offset()))
                    .shifted(self.base()))
            }
        }
    }

    /// Returns the artifact's length in bytes, including everything after Metadata.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // an artifact is never empty
    pub fn len(&self) -> u64 {
        self.region.len()
    }

    /// Returns the offset of HEADER.
    #[must_use]
    pub fn header_offset(&self) -> u64 {
        self.header_offset
    }

    /// Returns the offset of Metadata.
    #[must_use]
    pub fn metadata_offset(&self) -> u64 {
        self.header_offset + self.decoded().header.len as u64
    }

    /// Returns the end of the body, the offset just past Metadata. If Metadata can't be decoded and there is no trailer, this is the end
    /// of the file.
    #[must_use]
    pub fn body_end(&self) -> u64 {
        match (&self.trailer, &self.decoded().metadata) {
            (Some(trailer), _) => trailer.root.body_end.get(),
            (None, Ok((_, len))) => self.metadata_offset() + *len as u64,
            (None, Err(_)) => self.len(),
        }
    }

    /// Returns the trailer, if the file has one.
    #[must_use]
    pub fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }

    /// Returns the body in pieces: each module with the link word and padding before it, then the tail.
    ///
    /// # Errors
    ///
    /// IO or NO_MEMORY if the file can't be mapped; DIGEST_MISMATCH if the bytes of a signed module do not match its digest.
    pub fn body(&self) -> Result<Vec<&[u8]>> {
        let spans = (0..self.modules).map(|index| self.module_span(index));
        alloc::try_collect(spans.chain(std::iter::once_with(|| self.tail())), "the list of modules")
    }

    /// Returns the tail: the bytes from the terminator to the end of the body.
    pub(crate) fn tail(&self) -> Result<&[u8]> {
        let start = self.header_offset - LINK_SIZE;
        // The cast is lossless: the bytes are in memory.
        if let Some(found) = self.tail.borrow_owner().get(..(self.body_end() - start) as usize) {
            return Ok(found);
        }
        // Metadata did not decode, and reading stopped before the end of the body.
        if !self.private {
            return Ok(self.bytes()?.get(start as usize..self.body_end() as usize).unwrap_or(&[]));
        }
        let read = match self.unknown_tail.get() {
            Some(read) => read,
            None => {
                let read = self.region.read_to_vec(start, self.body_end() - start, "Metadata")?;
                fork::keep(&self.unknown_tail, read)
            }
        };
        Ok(read)
    }

    /// Returns all bytes, unchecked. Those of a file may change.
    ///
    /// # Errors
    ///
    /// IO or NO_MEMORY if the file can't be mapped; TRUNCATED if it has become shorter since it was opened.
    pub fn bytes(&self) -> Result<&[u8]> {
        self.region.bytes()
    }

    /// Returns whether the modules' bytes are private copies: the file's could change after a check.
    pub(crate) fn is_private(&self) -> bool {
        self.private
    }

    /// Returns the region that holds the artifact.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// Returns the number of modules, at least 1.
    #[must_use]
    pub fn module_count(&self) -> usize {
        self.modules
    }

    /// Returns the index of the main module, which is the last one.
    #[must_use]
    pub fn main_module(&self) -> usize {
        self.modules - 1
    }

    /// Returns the embedder's attributes, in file order.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH or CORRUPT if the trailer's chunks are damaged; UNSUPPORTED for a critical chunk of an unknown kind; LIMIT, IO,
    /// NO_MEMORY.
    pub fn attributes(&self) -> Result<&[Attribute<'_>]> {
        let Some(trailer) = &self.trailer else { return Ok(&[]) };
        if let Some(chunks) = self.chunks.get() {
            return Ok(chunks.borrow_dependent());
        }
        let chunks = self.read_chunks(trailer).map_err(|error| error.shifted(self.base()))?;
        Ok(fork::keep(&self.chunks, chunks).borrow_dependent())
    }

    /// Returns the value of the attribute named `name`.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no attribute of that name; as [`Artifact::attributes`].
    pub fn attribute(&self, name: &str) -> Result<&[u8]> {
        let attributes = self.attributes()?;
        // Decoding has checked that they are sorted by name.
        let found = attributes.binary_search_by(|attribute| attribute.name.cmp(name)).ok();
        found.and_then(|found| attributes.get(found)).map(|attribute| attribute.value).ok_or_else(|| {
            let message = format!("no attribute is named '{}'", quote(name.as_bytes()));
            Error::new(Status::NotFound, message)
        })
    }

    /// Reads the trailer's chunks, checks their digest and decodes them.
    fn read_chunks(&self, trailer: &Trailer) -> Result<Chunks> {
        let (at, len) = (trailer.layout.chunks, trailer.root.chunks_len.get());
        if len > MAX_CHUNKS {
            let message = format!("trailer: expected at most {MAX_CHUNKS} bytes of chunks, found {len}");
            return Err(Error::new(Status::Limit, message).at(at));
        }
        let bytes = self.region.read_to_vec(at, len, "the trailer's chunks")?;
        if digest::chunks(&bytes) != trailer.root.chunks_digest {
            return Err(digest_mismatch("attributes", at));
        }
        let critical = trailer.root.critical_chunks.get();
        Chunks::try_new(bytes, |bytes| trailer::decode_attributes(bytes, critical)).map_err(|error| error.at(at))
    }

    /// Checks that the artifact is compatible with an engine: its settings, and that the ELF header of each module is for the machine of
    /// the engine's target. The first call reads these headers, 20 bytes of each module, unless the root record says what they have in common.
    ///
    /// # Errors
    ///
    /// WRONG_PRODUCER, WRONG_VERSION or INCOMPATIBLE, with the first mismatch as the message; the error of decoding, such as CORRUPT, if
    /// the engine accepts the version but Metadata does not decode; CORRUPT, DIGEST_MISMATCH, TRUNCATED or IO if a module's header can't
    /// be read.
    pub fn check(&self, engine: &Engine) -> Result<()> {
        self.check_settings(engine)?;
        let mut first = None;
        self.compare_machines(engine, &mut |finding| {
            first.get_or_insert(finding);
            Ok(())
        })?;
        first.map_or(Ok(()), |finding| Err(finding.into()))
    }

    /// Checks the settings of a variant whose row the engine has been found to meet.
    fn check_known_needs(&self, engine: &Engine) -> Result<()> {
        if engine.accepted.has(&self.tail) {
            self.check_settings(engine)
        } else {
            compat::check_rest(engine, self.known_metadata()?)
        }
    }

    /// Checks the settings of the artifact, not its modules. The engine remembers those that it accepts.
    fn check_settings(&self, engine: &Engine) -> Result<()> {
        if engine.accepted.has(&self.tail) {
            return compat::check_fields(engine, self.known_metadata()?);
        }
        if let Some(finding) = compat::origin(engine, self.producer(), self.version()) {
            return Err(finding.into());
        }
        compat::check(engine, self.known_metadata()?)?;
        if let Some(trailer) = &self.trailer {
            engine.accepted.remember(&self.tail, &trailer.root.tail_digest);
        }
        Ok(())
    }

    /// Checks that the artifact is compatible with an engine and that this very CPU can run it. The loader compares the machine when it
    /// parses the modules.
    ///
    /// # Errors
    ///
    /// As [`Artifact::check`]; INCOMPATIBLE if this CPU lacks something that the engine says it has.
    pub(crate) fn check_for_loading(&self, engine: &Engine) -> Result<()> {
        self.check_settings(engine)?;
        compat::check_this_cpu(self.known_metadata()?)
    }

    /// Returns every mismatch between the artifact and an engine.
    ///
    /// # Errors
    ///
    /// The error of decoding, such as CORRUPT, if the engine accepts the version but Metadata does not decode; as [`Artifact::check`] if
    /// a module's header can't be read; LIMIT for more mismatches than a report holds.
    pub fn report(&self, engine: &Engine) -> Result<Report> {
        if let Some(finding) = compat::origin(engine, self.producer(), self.version()) {
            return Ok(Report { findings: vec![finding] });
        }
        self.with_machines(compat::report(engine, self.known_metadata()?)?, engine)
    }

    /// Returns every reason for which this host cannot run the artifact's code, whoever made it, in which version and with which
    /// settings: architecture, operating system, features of the CPU, lengths of vectors, modules for another machine.
    ///
    /// # Errors
    ///
    /// As [`Artifact::metadata`]; as [`Artifact::check`] if a module's header can't be read; LIMIT for more reasons than a report
    /// holds.
    pub fn report_for_host(&self) -> Result<Report> {
        let host = Engine::host();
        self.with_machines(compat::report_for_host(&host, self.metadata()?)?, &host)
    }

    /// Adds the modules that are for another machine, unless all are.
    fn with_machines(&self, mut report: Report, engine: &Engine) -> Result<Report> {
        if !report.findings.iter().any(|finding| finding.kind == Kind::Architecture) {
            self.compare_machines(engine, &mut |finding| report.add(finding))?;
        }
        Ok(report)
    }

    fn known_metadata(&self) -> Result<&Metadata<'_>> {
        match &self.decoded().metadata {
            Ok((metadata, _)) => Ok(metadata),
            Err(error) => Err(error.duplicate().shifted(self.base())),
        }
    }

    /// Verifies everything that opening does not check: all digests, every module's tables, links, padding, order of map keys. The
    /// report lists oddities that a genuine Wasmtime 0.33 accepts although no known writer creates them. Of a file of several targets,
    /// all variants are verified, and what is between them.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH, CORRUPT or TRUNCATED for damage; WRONG_VERSION if Metadata has an unknown layout; LIMIT, IO, NO_MEMORY.
    pub fn verify(&self) -> Result<Report> {
        match self.variant {
            Some(_) => self.verify_all(),
            None => verify(self),
        }
    }

    /// Returns the artifact's offset in the file or memory that the caller gave, which offsets in errors include.
    pub(crate) fn base(&self) -> u64 {
        self.region.base()
    }
}

/// Returns the offset of HEADER, which follows the terminator after the last module.
pub(crate) fn header_offset(ranges: &[ModuleRange]) -> u64 {
    ranges.last().map_or(0, |last| last.end().saturating_add(LINK_SIZE))
}
