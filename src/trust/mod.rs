//! Whether an artifact's bytes can be relied on: digests over all of them, and verification. Hashes what it is given; reads
//! and writes nothing.

pub mod digest;
pub mod seal;
pub mod verify;
