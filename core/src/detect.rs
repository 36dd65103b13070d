//! Detection of artifacts and of files of Wasmtime, from headers alone.

use std::path::Path;

use crate::artifact::{Trailer, first_variant, header_offset};
use crate::cwasm::{Cwasm, Kind};
use crate::engine::WASMTIME;
use crate::error::{Result, Status};
use crate::format::body::{Header, follow_links};
use crate::storage::{Part, Region, Window};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// An artifact.
    Artifact,
    /// A file of Wasmtime 3 or newer, which is no artifact: see [`cwasm`](crate::cwasm).
    Wasmtime(Kind),
}

/// What a file is, and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detection {
    /// What it is.
    pub what: What,
    /// The name of the producer that compiled it.
    pub producer: String,
    /// The producer's version; arbitrary bytes.
    pub version: Vec<u8>,
}

/// Returns what the file at `path` is, and its origin; none if it is neither an artifact nor a file of Wasmtime.
///
/// # Errors
///
/// IO if the file can't be opened or read; INVALID_ARGUMENT if it is not a regular file; TRUNCATED, CORRUPT, DIGEST_MISMATCH, LIMIT
/// or UNSUPPORTED for an artifact or a file of Wasmtime that is damaged or too new; NO_MEMORY.
pub fn detect(path: &Path) -> Result<Option<Detection>> {
    detect_region(&Region::open(path, Part::default())?)
}

/// Returns what is in a region. See [`detect`].
#[doc(hidden)] // for the C interface and the command line
pub fn detect_region(region: &Region) -> Result<Option<Detection>> {
    let mut buffer = Window::BUFFER;
    let window = Window::new(region, &mut buffer)?;
    // A variant is never a file of several targets itself, so this does not recurse.
    let region = &region.part(0, first_variant(&window, region.len())?.unwrap_or(region.len()))?;
    let held = window.held().narrowed(0, region.len());
    let mut window = Window::resume(region, &mut buffer, held)?;
    let offset = match Trailer::find(&window, region.len())? {
        Some(trailer) => trailer.root.header_offset.get(),
        None => match follow_links(&mut window, region.len()) {
            Ok(places) => header_offset(&places),
            Err(error) if error.status() == Status::NotAnArtifact => return detect_wasmtime(region),
            Err(error) => return Err(error),
        },
    };
    let bytes = window.read_to_vec(offset, region.len().saturating_sub(offset).min(Header::MAX_SIZE), "HEADER")?;
    let header = Header::decode(&bytes).map_err(|error| error.shifted(offset))?;
    let (producer, version) = (header.producer.to_owned(), header.version.to_vec());
    Ok(Some(Detection { what: What::Artifact, producer, version }))
}

fn detect_wasmtime(region: &Region) -> Result<Option<Detection>> {
    let found = Cwasm::read(region)?;
    Ok(found.map(|Cwasm { kind, settings, .. }| {
        let (producer, version) = (WASMTIME.to_owned(), settings.version.into_bytes());
        Detection { what: What::Wasmtime(kind), producer, version }
    }))
}
