//! libartifact: compiled code saved once, shipped, known to fit this host, and opened again in microseconds.
pub mod compat;
pub mod engine;
pub mod error;
pub mod format;
pub mod limits;
pub mod report;
