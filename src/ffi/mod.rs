//! The C interface: one file per C object, no logic. Each function checks its arguments, catches panics, converts, and
//! calls the core. `include/artifact.h` is generated from the doc comments here, in the order of the modules below, and is
//! what C programmers read: so these comments speak to them.
//!
//! Every function is `unsafe` for the same reason, which the header states once: pointers must be NULL or point at what
//! their types say, and a handle must not be used after it was freed.
#![allow(non_camel_case_types, clippy::missing_safety_doc)]

mod boundary;
mod text;

pub mod library;

pub mod error;

pub mod buffer;

pub mod engine;

pub mod types;

pub mod builder;

pub mod artifact;

pub mod settings;

pub mod module;

pub mod report;

pub mod detect;
