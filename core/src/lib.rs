//! libartifact: compiled code saved once, shipped, known to fit this host, and opened again in microseconds.
pub mod alloc;
pub mod artifact;
pub mod builder;
pub mod compat;
pub mod detect;
pub mod engine;
pub mod error;
pub mod format;
pub mod limits;
pub mod native;
pub mod report;
pub mod storage;
mod threads;
pub mod trust;
