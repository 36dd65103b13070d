//! Integrity and authenticity: digests, signatures, and the trailer that holds them. This module hashes the bytes it is given.
//! It performs no I/O and does not know opened artifacts.

// For tests of this repository.
#[doc(hidden)]
pub mod digest;
pub(crate) mod hashing;
pub mod keys;
mod lanes;
pub(crate) mod seal;
