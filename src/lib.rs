//! The C interface: one file per C object, no logic. Each function checks its arguments, catches panics, converts, and
//! calls the core. `include/artifact.h` is generated from the doc comments here, in the order of the modules below: they
//! address C programmers.
//!
//! Every function that takes a pointer is `unsafe` for the same reason, which the header states once, under "Arguments", and
//! `boundary::ffi` relies on.
#![allow(non_camel_case_types, clippy::missing_safety_doc)]

mod boundary;
mod text;

pub mod library;

pub mod error;

pub mod buffer;

pub mod flags;

pub mod engine;

pub mod cpu;

pub mod types;

pub mod builder;

pub mod saving;

pub mod artifact;

pub mod settings;

pub mod trailer;

pub mod signing;

pub mod module;

pub mod code;

pub mod report;

pub mod cache_key;

pub mod cache_outcome;

pub mod cache_remote;

pub mod cache_options;

pub mod cache;

pub mod fat;

pub mod detect;

pub mod cwasm;

#[cfg(test)]
mod tests {
    /// Many threads may use a const handle at once.
    #[test]
    fn handles_can_be_shared_and_sent() {
        fn shared<T: Send + Sync>() {}
        shared::<super::engine::artifact_engine_t>();
        shared::<super::builder::artifact_builder_t>();
        shared::<super::artifact::artifact_t>();
        shared::<super::fat::artifact_fat_builder_t>();
        shared::<super::signing::artifact_key_t>();
        shared::<super::code::artifact_code_t>();
        shared::<super::report::artifact_report_t>();
        shared::<super::buffer::artifact_buffer_t>();
        shared::<super::cwasm::artifact_cwasm_t>();
        shared::<super::error::artifact_error_t>();
        shared::<super::cache::artifact_cache_t>();
        shared::<super::cache_key::artifact_cache_key_t>();
    }
}
