//! An artifact, opened: where its modules are and what its Metadata says. Opening reads the headers of the modules and the
//! bytes behind the last one; module bytes are mapped when somebody asks for them.

use std::os::fd::BorrowedFd;
use std::path::Path;

use self_cell::self_cell;

use crate::compat;
use crate::engine::{Engine, library_version};
use crate::error::{Error, Result, Status, quote};
use crate::format::body::{Head, LINK_SIZE, Place, walk};
use crate::format::elf::Module;
use crate::format::metadata::Metadata;
use crate::limits::MAX_METADATA;
use crate::memory;
use crate::report::Report;
use crate::storage::{Part, Region, Window};
use crate::trust::verify::verify;

/// How to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Which part of the file or memory is the artifact.
    pub part: Part,
    /// Most bytes of Metadata to read.
    pub memory_limit: u64,
    /// Verify everything before the artifact is handed out.
    pub verify: bool,
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions { part: Part::default(), memory_limit: MAX_METADATA, verify: false }
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

/// An opened artifact.
#[derive(Debug)]
pub struct Artifact {
    region: Region,
    places: Vec<Place>,
    /// What follows the terminator.
    tail: Tail,
    header_offset: u64,
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
        Artifact::parse(region, engine, options).map_err(|error| error.shifted(base))
    }

    fn parse(region: Region, engine: Option<&Engine>, options: &OpenOptions) -> Result<Artifact> {
        let (places, header_offset, tail) = {
            let mut window = Window::new(&region);
            let places = walk(&mut window, region.len())?;
            let header_offset = header_offset(&places);
            let tail = read_tail(&region, &window, header_offset, places.len() as u64, engine, options)?;
            (places, header_offset, tail)
        };
        let artifact = Artifact { region, places, tail, header_offset };
        if let Err(error) = &artifact.decoded().metadata {
            // Another version may have another layout: such a file opens for inspection, as far as it goes.
            let head = artifact.decoded().head;
            let foreign = head.version != library_version(head.producer).as_bytes();
            if engine.is_some() || !foreign {
                return Err(error.duplicate());
            }
        }
        if options.verify {
            verify(&artifact)?;
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
                Err(Error::new(Status::WrongVersion, message).at(error.offset().unwrap_or(self.metadata_offset())))
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

    /// Where the body ends: behind Metadata; at the file's end where Metadata doesn't decode.
    #[must_use]
    pub fn body_end(&self) -> u64 {
        match &self.decoded().metadata {
            Ok((_, len)) => self.metadata_offset() + *len as u64,
            Err(_) => self.len(),
        }
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

    /// Where the modules are.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Which module is the main one: the last.
    #[must_use]
    pub fn main_module(&self) -> usize {
        self.places.len() - 1
    }

    /// Where a module is.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no such module.
    pub fn place(&self, index: usize) -> Result<&Place> {
        self.places.get(index).ok_or_else(|| {
            let count = self.places.len();
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

    /// A checked view of a module's ELF.
    ///
    /// # Errors
    ///
    /// As [`Artifact::module_bytes`], and CORRUPT if its tables are damaged.
    pub fn module(&self, index: usize) -> Result<Module<'_>> {
        let offset = self.place(index)?.offset + self.region.base();
        Module::parse(self.module_bytes(index)?)
            .map_err(|error| error.within(format!("module {index}")).at(0).shifted(offset))
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
    /// CORRUPT if Metadata doesn't decode although its version is accepted.
    pub fn report(&self, engine: &Engine) -> Result<Report> {
        match compat::origin(engine, self.producer(), self.version()) {
            Some(finding) => Ok(Report { findings: vec![finding] }),
            None => Ok(compat::report(engine, self.accepted_metadata()?)),
        }
    }

    fn accepted_metadata(&self) -> Result<&Metadata<'_>> {
        match &self.decoded().metadata {
            Ok((metadata, _)) => Ok(metadata),
            Err(error) => Err(error.duplicate()),
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

/// Reads and decodes what follows the terminator. How long Metadata is only decoding tells, so a large rest of the file is
/// taken in growing bites.
fn read_tail(
    region: &Region,
    window: &Window<'_>,
    offset: u64,
    modules: u64,
    engine: Option<&Engine>,
    options: &OpenOptions,
) -> Result<Tail> {
    const FIRST_BITE: u64 = 16 << 10;
    let rest = region.len().saturating_sub(offset);
    let head_room = 1 + 255 + 64; // HEADER and version are not Metadata
    let most = options.memory_limit.min(MAX_METADATA);
    let limit = most + head_room;
    let mut bite = FIRST_BITE.min(limit);
    loop {
        let size = rest.min(bite);
        let room = usize::try_from(size).unwrap_or(usize::MAX);
        let mut buffer = memory::with_room(room, "Metadata")?;
        match window.rest(offset).filter(|bytes| bytes.len() == room) {
            Some(bytes) => buffer.extend_from_slice(bytes),
            None => {
                buffer.resize(room, 0);
                region.read_at(offset, &mut buffer)?;
            }
        }
        let tail =
            Tail::try_new(buffer, |buffer| decode(buffer, modules, engine).map_err(|error| error.shifted(offset)))?;
        let metadata_at = offset + tail.borrow_dependent().head.len as u64;
        let cut = matches!(&tail.borrow_dependent().metadata, Err(error) if error.status() == Status::Truncated);
        let decoded = tail.borrow_dependent().metadata.as_ref();
        let too_large = decoded.map_or(cut && size < rest && bite == limit, |(_, len)| *len as u64 > most);
        if too_large {
            let message = format!("Metadata: expected at most {most} bytes, found more");
            return Err(Error::new(Status::Limit, message).at(metadata_at));
        }
        if !cut || size == rest {
            return shift_metadata_error(tail, metadata_at);
        }
        bite = bite.saturating_mul(16).min(limit);
    }
}

fn decode<'a>(buffer: &'a [u8], modules: u64, engine: Option<&Engine>) -> Result<Decoded<'a>> {
    let head = Head::decode(buffer)?;
    if let Some(engine) = engine
        && let Some(finding) = compat::origin(engine, head.producer, head.version)
    {
        return Err(Error::from(finding).at(0));
    }
    let bytes = buffer.get(head.len..).unwrap_or(&[]);
    let metadata = Metadata::decode(bytes).and_then(|(metadata, len)| {
        metadata.check(modules)?;
        Ok((metadata, len))
    });
    Ok(Decoded { head, metadata })
}

fn shift_metadata_error(mut tail: Tail, metadata_at: u64) -> Result<Tail> {
    tail.with_dependent_mut(|_, decoded| {
        if let Err(error) = &mut decoded.metadata {
            *error = error.duplicate().at(0).shifted(metadata_at);
        }
    });
    Ok(tail)
}
