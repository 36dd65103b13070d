//! An artifact, opened: where its modules are and what its Metadata says. Opening reads the headers of the modules and the
//! bytes behind the last one; module bytes are mapped when somebody asks for them.

mod modules;
mod open;
mod trust;
mod verify;

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::OnceLock;

use self_cell::self_cell;

use crate::compat;
use crate::engine::Engine;
use crate::error::{Error, Result, Status, quote};
use crate::format::body::{Header, LINK_SIZE};
use crate::format::metadata::Metadata;
use crate::format::trailer;
use crate::limits::{MAX_CHUNKS, MAX_METADATA};
use crate::report::Report;
use crate::storage::Region;
use crate::trust::digest;
use crate::trust::keys::PublicKey;

pub use crate::format::body::ModuleRange;
pub use crate::format::elf::Extent;
pub use crate::format::trailer::{Attribute, Root, Signature};
pub use crate::storage::Part;
use modules::Table;
pub use open::Trailer;
pub(crate) use open::digest_mismatch;
use trust::Detached;
pub use trust::Integrity;
pub(crate) use trust::trusted_by;
pub(crate) use verify::check_digests;
use verify::verify;

/// How to open.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct OpenOptions<'s> {
    /// Which part of the file or memory is the artifact.
    pub part: Part,
    /// Most bytes of Metadata to read.
    pub memory_limit: u64,
    /// Verify everything before the artifact is handed out.
    pub verify: bool,
    /// Read everything into private memory first, so that nobody can change it any more.
    pub copy: bool,
    /// Signatures that came beside the file, as they would stand in its trailer. They need an engine that trusts a key.
    pub signature: &'s [u8],
    /// Keys to trust besides the engine's, such as for whoever opens without one.
    pub trusted: &'s [PublicKey],
}

impl Default for OpenOptions<'_> {
    fn default() -> Self {
        OpenOptions {
            part: Part::default(),
            memory_limit: MAX_METADATA,
            verify: false,
            copy: false,
            signature: &[],
            trusted: &[],
        }
    }
}

/// HEADER, version and Metadata, as decoded from one private buffer.
#[derive(Debug)]
struct Decoded<'a> {
    header: Header<'a>,
    /// Metadata and its length; or why it doesn't decode.
    metadata: Result<(Metadata<'a>, usize)>,
}

self_cell! {
    struct Tail {
        owner: Vec<u8>,
        #[covariant]
        dependent: Decoded,
    }
    impl { Debug }
}

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
    /// What follows the terminator.
    tail: Tail,
    header_offset: u64,
    modules: usize,
    /// Where the modules are: known from the walk, or read from the trailer's table when somebody first asks.
    table: OnceLock<Table>,
    trailer: Option<Trailer>,
    /// Signatures that came beside the file.
    detached: Detached,
    /// Whose signature was found when it was opened, and is relied on from then on.
    signer: Option<PublicKey>,
    /// Nobody can change its bytes, and nobody could when the first was read. Only known where somebody has signed it.
    frozen: bool,
    /// Read when somebody first asks for attributes.
    chunks: OnceLock<Chunks>,
}

impl Artifact {
    /// Opens the artifact at `path`. With an engine, trusted keys, producer and version rule are enforced, in this order, before
    /// Metadata is decoded.
    ///
    /// Module bytes are mapped when they are first asked for. The file must not be truncated or written in place while the
    /// artifact is open: reading pages that a truncated file has lost kills the process with SIGBUS, and rewritten bytes change
    /// under the slices that were borrowed. Set [`OpenOptions::copy`] where other programs might do that; a file that is
    /// replaced, by renaming another over it, is safe. The [crate's documentation](crate#files-that-change) has more.
    ///
    /// # Errors
    ///
    /// IO, INVALID_ARGUMENT, NOT_AN_ARTIFACT, TRUNCATED, CORRUPT, LIMIT, NO_MEMORY; with an engine UNTRUSTED,
    /// WRONG_PRODUCER and WRONG_VERSION.
    pub fn open(path: &Path, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        Artifact::from_region(Region::open(path, options.part)?, engine, options)
    }

    /// Opens the artifact in an open file, whose descriptor is duplicated. The file must not change, as with
    /// [`Artifact::open`].
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub fn open_fd(fd: BorrowedFd<'_>, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        Artifact::from_region(Region::open_fd(fd, options.part)?, engine, options)
    }

    /// Opens an artifact in memory, of which a copy is made.
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub fn open_bytes(bytes: &[u8], engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        Artifact::from_region(Region::copied(bytes, options.part)?, engine, options)
    }

    /// Opens an artifact in memory that stays.
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub fn open_borrowed(bytes: &'static [u8], engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        Artifact::from_region(Region::borrowed(bytes, options.part)?, engine, options)
    }

    fn from_region(region: Region, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        let base = region.base();
        let region = match options.copy {
            true => {
                open::ask_for_signature(&region, engine, options).map_err(|error| error.shifted(base))?;
                region.snapshot()?
            }
            false => region,
        };
        let artifact = open::open(region, engine, options).map_err(|error| error.shifted(base))?;
        if options.verify {
            artifact.verify()?;
        }
        Ok(artifact)
    }

    fn decoded(&self) -> &Decoded<'_> {
        self.tail.borrow_dependent()
    }

    /// Who compiled it.
    #[must_use]
    pub fn producer(&self) -> &str {
        self.decoded().header.producer
    }

    /// The version that the producer wrote; any bytes.
    #[must_use]
    pub fn version(&self) -> &[u8] {
        self.decoded().header.version
    }

    /// What the artifact says about itself.
    ///
    /// # Errors
    ///
    /// WRONG_VERSION if it was written by a version with another layout.
    pub fn metadata(&self) -> Result<&Metadata<'_>> {
        match &self.decoded().metadata {
            Ok((metadata, _)) => Ok(metadata),
            Err(error) => {
                let version = quote(self.version());
                let message =
                    format!("Metadata of version '{version}' has a layout that is not known: {}", error.message());
                Err(Error::new(Status::WrongVersion, message)
                    .at(error.offset().unwrap_or(self.metadata_offset()))
                    .shifted(self.base()))
            }
        }
    }

    /// Its length in bytes, with whatever follows Metadata.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // an artifact is never empty
    pub fn len(&self) -> u64 {
        self.region.len()
    }

    /// Where HEADER begins.
    #[must_use]
    pub fn header_offset(&self) -> u64 {
        self.header_offset
    }

    /// Where Metadata begins.
    #[must_use]
    pub fn metadata_offset(&self) -> u64 {
        self.header_offset + self.decoded().header.len as u64
    }

    /// Where the body ends: behind Metadata; at the file's end where Metadata doesn't decode and no trailer tells.
    #[must_use]
    pub fn body_end(&self) -> u64 {
        match (&self.trailer, &self.decoded().metadata) {
            (Some(trailer), _) => trailer.root.body_end.get(),
            (None, Ok((_, len))) => self.metadata_offset() + *len as u64,
            (None, Err(_)) => self.len(),
        }
    }

    /// The trailer, if the file has one.
    #[must_use]
    pub fn trailer(&self) -> Option<&Trailer> {
        self.trailer.as_ref()
    }

    /// The body in pieces: each module with what stands before it, then everything from the terminator to the body's end.
    ///
    /// # Errors
    ///
    /// IO or NO_MEMORY if the file can't be mapped; DIGEST_MISMATCH if a trusted key has signed other bytes.
    pub fn body(&self) -> Result<Vec<&[u8]>> {
        let spans: Result<Vec<&[u8]>> = (0..self.modules).map(|index| self.module_span(index)).collect();
        let mut pieces = spans?;
        pieces.push(self.tail()?);
        Ok(pieces)
    }

    /// From the terminator to the body's end.
    pub(crate) fn tail(&self) -> Result<&[u8]> {
        let start = self.header_offset - LINK_SIZE;
        // Both fit: the bytes were read.
        match self.tail.borrow_owner().get(..(self.body_end() - start) as usize) {
            Some(found) => Ok(found),
            // It was read until it turned out not to decode.
            None => Ok(self.bytes()?.get(start as usize..self.body_end() as usize).unwrap_or(&[])),
        }
    }

    /// All bytes, as they are: unchecked, and those of a file may change.
    ///
    /// # Errors
    ///
    /// IO or NO_MEMORY if the file can't be mapped.
    pub fn bytes(&self) -> Result<&[u8]> {
        self.region.bytes()
    }

    /// Whether its bytes are the same for ever, and have been since before the signature was checked.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The region that it lies in.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    /// How many modules it has, at least 1.
    #[must_use]
    pub fn module_count(&self) -> usize {
        self.modules
    }

    /// Which module is the main one: the last.
    #[must_use]
    pub fn main_module(&self) -> usize {
        self.modules - 1
    }

    /// The embedder's attributes, in the order of the file.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH, CORRUPT or UNSUPPORTED if the trailer's chunks are damaged or have a critical one of an unknown
    /// kind; LIMIT, IO, NO_MEMORY.
    pub fn attributes(&self) -> Result<&[Attribute<'_>]> {
        let Some(trailer) = &self.trailer else { return Ok(&[]) };
        if let Some(chunks) = self.chunks.get() {
            return Ok(chunks.borrow_dependent());
        }
        let chunks = self.read_chunks(trailer).map_err(|error| error.shifted(self.base()))?;
        Ok(self.chunks.get_or_init(|| chunks).borrow_dependent())
    }

    /// The value of an attribute.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is none of that name; as [`Artifact::attributes`].
    pub fn attribute(&self, name: &str) -> Result<&[u8]> {
        let found = self.attributes()?.iter().find(|attribute| attribute.name == name);
        found.map(|attribute| attribute.value).ok_or_else(|| {
            let message = format!("no attribute is named '{}'", quote(name.as_bytes()));
            Error::new(Status::NotFound, message)
        })
    }

    /// The trailer's chunks, their digest being right.
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

    /// Does it fit this engine?
    ///
    /// # Errors
    ///
    /// WRONG_PRODUCER, WRONG_VERSION or INCOMPATIBLE with the first mismatch's sentence; CORRUPT if Metadata doesn't decode
    /// although its version is accepted.
    pub fn check(&self, engine: &Engine) -> Result<()> {
        match compat::origin(engine, self.producer(), self.version()) {
            Some(finding) => Err(finding.into()),
            None => compat::check(engine, self.accepted_metadata()?),
        }
    }

    /// Every way in which it doesn't fit this engine.
    ///
    /// # Errors
    ///
    /// CORRUPT if Metadata doesn't decode although its version is accepted; LIMIT if there are more than a report holds.
    pub fn report(&self, engine: &Engine) -> Result<Report> {
        match compat::origin(engine, self.producer(), self.version()) {
            Some(finding) => Ok(Report { findings: vec![finding] }),
            None => compat::report(engine, self.accepted_metadata()?),
        }
    }

    fn accepted_metadata(&self) -> Result<&Metadata<'_>> {
        match &self.decoded().metadata {
            Ok((metadata, _)) => Ok(metadata),
            Err(error) => Err(error.duplicate().shifted(self.base())),
        }
    }

    /// Checks everything that opening leaves alone: every module's tables, links, padding, order of keys.
    ///
    /// # Errors
    ///
    /// CORRUPT or TRUNCATED for damage. Oddities that a genuine reader accepts are in the report.
    pub fn verify(&self) -> Result<Report> {
        verify(self)
    }

    /// The base that offsets in errors count from.
    pub(crate) fn base(&self) -> u64 {
        self.region.base()
    }
}

/// Where HEADER begins, behind the terminator that follows the last module.
pub(crate) fn header_offset(ranges: &[ModuleRange]) -> u64 {
    ranges.last().map_or(0, |last| last.end().saturating_add(LINK_SIZE))
}
