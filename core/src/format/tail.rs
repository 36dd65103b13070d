//! The tail of a body: the terminator, HEADER, version and Metadata, decoded from one private buffer.

use self_cell::self_cell;

use super::body::{Header, LINK_SIZE};
use super::metadata::Metadata;
use crate::error::Result;

/// HEADER, version and Metadata.
#[derive(Debug)]
pub(crate) struct Decoded<'a> {
    pub header: Header<'a>,
    /// Metadata and its encoded length, or the error that decoding it gave.
    pub metadata: Result<(Metadata<'a>, usize)>,
}

self_cell! {
    /// The bytes from the terminator on, and what they decode to.
    pub(crate) struct Tail {
        owner: Vec<u8>,
        #[covariant]
        dependent: Decoded,
    }
    impl { Debug }
}

impl Tail {
    /// Returns the bytes up to the end of Metadata; none if it did not decode, so that nobody knows where it ends.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        let Decoded { header, metadata } = self.borrow_dependent();
        let (_, len) = metadata.as_ref().ok()?;
        self.borrow_owner().get(..LINK_SIZE as usize + header.len + len)
    }
}
