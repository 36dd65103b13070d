//! What vouches for an artifact's bytes: digests, signatures, and the trailer that a writer makes of them. Hashes what it is
//! given; reads and writes nothing, and knows no opened artifact.

// For tests of this repository.
#[doc(hidden)]
pub mod digest;
pub(crate) mod hashing;
pub mod keys;
pub(crate) mod seal;
