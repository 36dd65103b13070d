//! An artifact, opened: where its modules are and what its Metadata says. Opening reads the headers of the modules and the
//! bytes behind the last one; module bytes are mapped when somebody asks for them.

mod open;
mod verify;

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::OnceLock;

use self_cell::self_cell;
use zerocopy::FromBytes;

use crate::compat;
use crate::engine::Engine;
use crate::error::{Error, Result, Status, quote};
use crate::format::body::{Head, LINK_SIZE, Place};
use crate::format::elf::{Extent, extent_of};
use crate::format::metadata::Metadata;
use crate::format::module::{Module, Section, Symbols};
use crate::format::trailer::{self, Attribute, ROW_SIZE, Row};
use crate::limits::{MAX_CHUNKS, MAX_METADATA};
use crate::memory;
use crate::report::Report;
use crate::storage::{Part, Region};
use crate::trust::digest;

pub use open::{Trailer, mismatch};
pub(crate) use verify::sealed_rows;
use verify::verify;

/// How to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Which part of the file or memory is the artifact.
    pub part: Part,
    /// Most bytes of Metadata to read.
    pub memory_limit: u64,
    /// Verify everything before the artifact is handed out.
    pub verify: bool,
    /// Read everything into private memory first, so that nobody can change it any more.
    pub copy: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions { part: Part::default(), memory_limit: MAX_METADATA, verify: false, copy: false }
    }
}

/// HEADER, version and Metadata, as decoded from one private buffer.
#[derive(Debug)]
struct Decoded<'a> {
    head: Head<'a>,
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
    places: OnceLock<Vec<Place>>,
    trailer: Option<Trailer>,
    /// Read when somebody first asks for attributes.
    chunks: OnceLock<Chunks>,
}

impl Artifact {
    /// Opens the artifact at `path`. With an engine, producer and version rule are enforced before Metadata is decoded.
    ///
    /// # Errors
    ///
    /// IO, INVALID_ARGUMENT, NOT_AN_ARTIFACT, TRUNCATED, CORRUPT, LIMIT, NO_MEMORY; with an engine WRONG_PRODUCER and
    /// WRONG_VERSION.
    pub fn open(path: &Path, engine: Option<&Engine>, options: &OpenOptions) -> Result<Artifact> {
        Artifact::from_region(Region::open(path, options.part)?, engine, options)
    }

    /// Opens the artifact in an open file, whose descriptor is duplicated.
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub fn open_fd(fd: BorrowedFd<'_>, engine: Option<&Engine>, options: &OpenOptions) -> Result<Artifact> {
        Artifact::from_region(Region::open_fd(fd, options.part)?, engine, options)
    }

    /// Opens an artifact in memory, of which a copy is made.
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub fn open_bytes(bytes: &[u8], engine: Option<&Engine>, options: &OpenOptions) -> Result<Artifact> {
        Artifact::from_region(Region::copied(bytes, options.part)?, engine, options)
    }

    /// Opens an artifact in memory that stays.
    ///
    /// # Errors
    ///
    /// As [`Artifact::open`].
    pub fn open_borrowed(bytes: &'static [u8], engine: Option<&Engine>, options: &OpenOptions) -> Result<Artifact> {
        Artifact::from_region(Region::borrowed(bytes, options.part)?, engine, options)
    }

    fn from_region(region: Region, engine: Option<&Engine>, options: &OpenOptions) -> Result<Artifact> {
        let base = region.base();
        let region = if options.copy { region.snapshot()? } else { region };
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
        self.decoded().head.producer
    }

    /// The version that the producer wrote; any bytes.
    #[must_use]
    pub fn version(&self) -> &[u8] {
        self.decoded().head.version
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
        self.header_offset + self.decoded().head.len as u64
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

    /// The body's bytes.
    ///
    /// # Errors
    ///
    /// IO or NO_MEMORY if the file can't be mapped.
    pub fn body(&self) -> Result<&[u8]> {
        let end = self.body_end() as usize;
        Ok(self.bytes()?.get(..end).unwrap_or(&[]))
    }

    /// All bytes.
    ///
    /// # Errors
    ///
    /// IO or NO_MEMORY if the file can't be mapped.
    pub fn bytes(&self) -> Result<&[u8]> {
        self.region.bytes()
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

    /// Where the modules are.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH or CORRUPT if the trailer's table is damaged; IO, NO_MEMORY.
    pub fn places(&self) -> Result<&[Place]> {
        if let Some(places) = self.places.get() {
            return Ok(places);
        }
        let trailer = self.trailer.as_ref().ok_or_else(|| Error::new(Status::Internal, "modules without places"))?;
        let places = self.read_table(trailer).map_err(|error| error.shifted(self.base()))?;
        Ok(self.places.get_or_init(|| places))
    }

    /// The trailer's table, its digest being right.
    fn read_table(&self, trailer: &Trailer) -> Result<Vec<Place>> {
        let table = trailer.layout.table;
        let bytes = self.region.copy(table, trailer.root.modules.get() * ROW_SIZE, "the module table")?;
        if digest::table(&bytes) != trailer.root.table_digest {
            return Err(mismatch("module table", table));
        }
        let rows = <[Row]>::ref_from_bytes(&bytes).unwrap_or(&[]);
        let tail = trailer.root.tail_offset();
        let mut places = memory::with_room(rows.len(), "the list of modules")?;
        let mut earliest = 0;
        for (index, row) in rows.iter().enumerate() {
            let place = Place { offset: row.offset.get(), len: row.len.get() };
            let first_is_first = index > 0 || place.offset == 0;
            if place.offset < earliest || place.end() > tail || !first_is_first {
                let message = format!(
                    "module table: expected module {index} between {earliest} and {tail}, found it at {}",
                    place.offset
                );
                return Err(Error::new(Status::Corrupt, message).at(table + index as u64 * ROW_SIZE));
            }
            earliest = place.end().saturating_add(LINK_SIZE);
            places.push(place);
        }
        if earliest != tail + LINK_SIZE {
            let message =
                format!("module table: expected the last module to end at {tail}, found {}", earliest - LINK_SIZE);
            return Err(Error::new(Status::Corrupt, message).at(table));
        }
        Ok(places)
    }

    /// Where a module is.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such module; as [`Artifact::places`].
    pub fn place(&self, index: usize) -> Result<&Place> {
        self.places()?.get(index).ok_or_else(|| {
            let count = self.modules;
            Error::new(Status::NotFound, format!("expected a module index below {count}, found {index}"))
        })
    }

    /// A module's ELF.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such module, IO or NO_MEMORY if the file can't be mapped.
    pub fn module_bytes(&self, index: usize) -> Result<&[u8]> {
        let place = self.place(index)?;
        let bytes = self.bytes()?;
        bytes
            .get(place.offset as usize..place.end() as usize)
            .ok_or_else(|| Error::new(Status::Internal, "module lies outside the mapping"))
    }

    /// What a module's header says.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module_bytes`], and CORRUPT if the header doesn't fit the module's place.
    pub fn extent(&self, index: usize) -> Result<Extent> {
        let located = |error: Error| self.in_module(index, error);
        let bytes = self.module_bytes(index)?;
        let extent = extent_of(bytes).map_err(located)?;
        self.check_link(index)?;
        if extent.len == bytes.len() as u64 {
            return Ok(extent);
        }
        let message = format!("expected {} bytes, as the trailer says, found an ELF of {}", bytes.len(), extent.len);
        Err(located(Error::new(Status::Corrupt, message)))
    }

    /// The trailer's table must say what the links say, which is what other readers follow.
    fn check_link(&self, index: usize) -> Result<()> {
        let Some(previous) = index.checked_sub(1) else { return Ok(()) };
        let (from, to) = (self.place(previous)?.end(), self.place(index)?.offset);
        let word = self.bytes()?.get(from as usize..).and_then(<[u8]>::first_chunk);
        let found = word.map(|word| u64::from_le_bytes(*word));
        if found == Some(to) {
            return Ok(());
        }
        let found = found.map_or("none".to_owned(), |found| found.to_string());
        let message = format!("module {index}: expected a link to {to}, as the trailer says, found {found}");
        Err(Error::new(Status::Corrupt, message).at(self.base() + from))
    }

    /// A section by its index.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module`], NOT_FOUND, and CORRUPT if it lies outside its module.
    pub fn section(&self, module: usize, index: usize) -> Result<(Section<'_>, &[u8])> {
        let bytes = self.module_bytes(module)?;
        let found = self.module(module)?.section(index).and_then(|section| Ok((section, section.bytes(bytes)?)));
        found.map_err(|error| self.in_module(module, error))
    }

    /// The first section of a name.
    ///
    /// # Errors
    ///
    /// As [`Artifact::section`].
    pub fn section_named(&self, module: usize, name: &[u8]) -> Result<(Section<'_>, &[u8])> {
        let bytes = self.module_bytes(module)?;
        let found = self.module(module)?.section_named(name).and_then(|section| Ok((section, section.bytes(bytes)?)));
        found.map_err(|error| self.in_module(module, error))
    }

    /// A module's symbols.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module`], and CORRUPT if the table or its names lie outside the module.
    pub fn symbols(&self, module: usize) -> Result<Symbols<'_>> {
        self.module(module)?.symbols().map_err(|error| self.in_module(module, error))
    }

    /// A checked view of a module's ELF.
    ///
    /// # Errors
    ///
    /// As [`Artifact::extent`], and CORRUPT if its tables are damaged.
    pub fn module(&self, index: usize) -> Result<Module<'_>> {
        self.extent(index)?;
        Module::parse(self.module_bytes(index)?).map_err(|error| self.in_module(index, error))
    }

    /// Places an error about a module, whose offset counts from the module's start, in the file.
    pub(crate) fn in_module(&self, index: usize, error: Error) -> Error {
        let start = self.place(index).map_or(0, |place| place.offset).saturating_add(self.base());
        error.within(format!("module {index}")).at(0).shifted(start)
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
        let bytes = self.region.copy(at, len, "the trailer's chunks")?;
        if digest::chunks(&bytes) != trailer.root.chunks_digest {
            return Err(mismatch("attributes", at));
        }
        let critical = trailer.root.critical_chunks.get();
        Chunks::try_new(bytes, |bytes| trailer::attributes(bytes, critical)).map_err(|error| error.at(at))
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
pub(crate) fn header_offset(places: &[Place]) -> u64 {
    places.last().map_or(0, |last| last.end().saturating_add(LINK_SIZE))
}
