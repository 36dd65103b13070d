//! What is this file? Answered from headers alone.

use crate::artifact::{Trailer, header_offset};
use crate::error::{Result, Status};
use crate::format::body::{Head, walk};
use crate::storage::{Region, Window};

/// An artifact's origin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Detection {
    /// Who compiled it.
    pub producer: String,
    /// The version that the producer wrote; any bytes.
    pub version: Vec<u8>,
}

/// Tells whether a region is an artifact, and whose; none if it is nothing of ours.
///
/// # Errors
///
/// TRUNCATED, CORRUPT or LIMIT for a damaged artifact; IO.
pub fn detect(region: &Region) -> Result<Option<Detection>> {
    let mut buffer = Window::BUFFER;
    let mut window = Window::new(region, &mut buffer)?;
    let offset = match Trailer::find(&window, region.len())? {
        Some(trailer) => trailer.root.header_offset.get(),
        None => match walk(&mut window, region.len()) {
            Ok(places) => header_offset(&places),
            Err(error) if error.status() == Status::NotAnArtifact => return Ok(None),
            Err(error) => return Err(error),
        },
    };
    let bytes = window.copy(offset, region.len().saturating_sub(offset).min(Head::MOST), "HEADER")?;
    let head = Head::decode(&bytes).map_err(|error| error.shifted(offset))?;
    Ok(Some(Detection { producer: head.producer.to_owned(), version: head.version.to_vec() }))
}
