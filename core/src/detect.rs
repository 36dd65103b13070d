//! Detection of artifacts, from headers alone.

use std::path::Path;

use crate::artifact::{Trailer, first_variant, header_offset};
use crate::error::{Result, Status};
use crate::format::body::{Header, follow_links};
use crate::storage::{Part, Region, Window, narrow_buffer};

/// The origin of an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detection {
    /// The name of the producer that compiled it.
    pub producer: String,
    /// The producer's version; arbitrary bytes.
    pub version: Vec<u8>,
}

/// Returns the origin of the artifact in the file at `path`; none if the file is not an artifact.
///
/// # Errors
///
/// IO if the file can't be opened or read; INVALID_ARGUMENT if it is not a regular file; TRUNCATED, CORRUPT, DIGEST_MISMATCH, LIMIT
/// or UNSUPPORTED for an artifact that is damaged or too new; NO_MEMORY.
pub fn detect(path: &Path) -> Result<Option<Detection>> {
    detect_region(&Region::open(path, Part::default())?)
}

/// Returns the origin of the artifact in a region. See [`detect`].
#[doc(hidden)] // for the C interface and the command line
pub fn detect_region(region: &Region) -> Result<Option<Detection>> {
    let mut buffer = Window::BUFFER;
    let window = Window::new(region, &mut buffer)?;
    // A variant is never a file of several targets itself, so this does not recurse.
    let region = &region.part(0, first_variant(&window, region.len())?.unwrap_or(region.len()))?;
    let held = window.held();
    let held = narrow_buffer(&mut buffer, &held, 0, region.len());
    let mut window = Window::resume(region, &mut buffer, held)?;
    let offset = match Trailer::find(&window, region.len())? {
        Some(trailer) => trailer.root.header_offset.get(),
        None => match follow_links(&mut window, region.len()) {
            Ok(places) => header_offset(&places),
            Err(error) if error.status() == Status::NotAnArtifact => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    let bytes = window.read_to_vec(offset, region.len().saturating_sub(offset).min(Header::MAX_SIZE), "HEADER")?;
    let header = Header::decode(&bytes).map_err(|error| error.shifted(offset))?;
    Ok(Some(Detection { producer: header.producer.to_owned(), version: header.version.to_vec() }))
}
