//! Tells what a file is from its headers alone.

use std::path::Path;

use crate::artifact::{Trailer, header_offset};
use crate::error::{Result, Status};
use crate::format::body::{Header, follow_links};
use crate::storage::{Part, Region, Window};

/// An artifact's origin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detection {
    /// Who compiled it.
    pub producer: String,
    /// The version that the producer wrote; any bytes.
    pub version: Vec<u8>,
}

/// Tells whether the file at `path` is an artifact, and who made it; none if it is something else.
///
/// # Errors
///
/// TRUNCATED, CORRUPT or LIMIT for a damaged artifact; IO; INVALID_ARGUMENT if it is no regular file.
pub fn detect(path: &Path) -> Result<Option<Detection>> {
    detect_region(&Region::open(path, Part::default())?)
}

/// The same for a region.
#[doc(hidden)] // for the C interface and the command line
pub fn detect_region(region: &Region) -> Result<Option<Detection>> {
    let mut buffer = Window::BUFFER;
    let mut window = Window::new(region, &mut buffer)?;
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
