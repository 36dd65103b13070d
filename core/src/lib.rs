//! libartifact saves compiled code to a file, and opens, checks and runs it later, in microseconds.
//!
//! A program that makes machine code (a compiler, a Wasm runtime, a query engine) saves it with a [`Builder`]. The file, an
//! *artifact*, holds ELF modules and the settings that they were compiled with: target, compiler flags, instruction sets,
//! tunables. An [`Engine`] describes what a host compiles with, or can run. [`Artifact::open`] reads the settings, with bounds
//! on everything, since a file may be damaged or hostile; [`Artifact::check`] compares them with an engine;
//! [`load`](native::load::load) maps the modules as running code.
//!
//! ```
//! use std::sync::Arc;
//!
//! use artifact::builder::Sync;
//! use artifact::native::link::Object;
//! use artifact::native::load::{LoadOptions, load};
//! use artifact::{Artifact, Builder, Engine, OpenOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let machine = std::env::consts::ARCH;
//! # if !matches!(machine, "x86_64" | "aarch64") || cfg!(target_endian = "big") {
//! #     return Ok(()); // code can be linked and loaded on these machines only
//! # }
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("fib.artifact");
//! // Once: link the object file that a compiler made, and save it with the target that it is for.
//! let object = std::fs::read(format!("tests/objects/fib-{machine}.o"))?;
//! let mut builder = Builder::new(&Engine::new());
//! builder.add_objects(&[Object { name: "fib.o", bytes: &object }], &Default::default())?;
//! builder.serialize_to_file(&path, Sync::No)?;
//!
//! // In any later process: open the file, and check that this CPU and operating system can run it.
//! let host = Engine::host();
//! let artifact = Artifact::open(&path, Some(&host), &OpenOptions::default())?;
//! artifact.check(&host)?;
//!
//! // SAFETY: this program made the file, from code that it trusts.
//! let code = unsafe { load(Arc::new(artifact), &host, LoadOptions::default())? };
//! let fib = code.symbol(0, b"fib").ok_or("fib is missing")?;
//! // SAFETY: fib is a C function of this type, and is called before `code` is dropped.
//! let fib: extern "C" fn(i64) -> i64 = unsafe { std::mem::transmute(fib.address) };
//! assert_eq!(fib(90), 2880067194370816120);
//! # Ok(())
//! # }
//! ```
//!
//! # Where to find what
//!
//! | module | what it has |
//! |---|---|
//! | [`builder`] | [`Builder`]: modules, objects, settings, attributes and signatures in; a file or a buffer out |
//! | [`artifact`] | [`Artifact`] and [`OpenOptions`]: open, check, verify; modules, sections, symbols, attributes |
//! | [`engine`] | [`Engine`]: target, flags, tunables, features, version rule, trusted keys; fingerprints and JSON |
//! | [`report`] | [`Report`]: every mismatch between an artifact and an engine, or every warning that verification found |
//! | [`cache`] | [`Cache`]: key → code, in a folder that many processes share |
//! | [`detect`] | tells whether a file is an artifact, and who made it, by its headers only |
//! | [`cwasm`] | [`Cwasm`](cwasm::Cwasm): files of Wasmtime 3 and newer, which are only read: settings, check, signature |
//! | [`native`] | [`native::link`] combines object files into a module; [`native::load`] makes modules runnable |
//! | [`trust`] | [`PrivateKey`] and [`PublicKey`]: who signs artifacts, and whose signatures are trusted |
//! | [`format`](mod@format) | what is in a file: flags, tunables, types, upvars; the view of an ELF module |
//! | [`error`] | [`Error`] and [`Status`]: every failure has a status with a fixed number, and a sentence |
//!
//! # Files that change
//!
//! Settings are read into private memory. Module bytes come from a read-only mapping of the file, with the caveat of every
//! memory-mapped file: if a process truncates the file while it is mapped, reading the lost pages kills this process
//! with SIGBUS; and bytes that are rewritten in place change under the slice that was borrowed, which Rust's rules for shared
//! references exclude. Nothing in this crate writes to a file in place ([`Builder::serialize_to_file`] replaces it), and no
//! check relies on mapped bytes that stay the same. Where other programs might truncate the file, set
//! [`OpenOptions::read`]; where they might write to it, [`OpenOptions::copy`], or open a copy with [`Artifact::open_bytes`]. Files that are replaced, sealed, or protected by
//! fs-verity never change.
//!
//! # Running code
//!
//! Everything but loading and calling is safe for hostile files. Loading runs code: an engine that trusts a key
//! ([`Engine::trust`]) opens and loads only what that key has signed.

pub mod artifact;
pub mod builder;
pub mod cache;
pub mod cwasm;
pub mod detect;
pub mod engine;
pub mod error;
pub mod format;
pub mod native;
pub mod report;
pub mod trust;

// Not part of the API, and may change in any release: the C interface, the command line and the tests of this repository
// use them.
#[doc(hidden)]
pub mod alloc;
#[doc(hidden)]
pub mod compat;
#[doc(hidden)]
pub mod fork;
#[doc(hidden)]
pub mod limits;
#[doc(hidden)]
pub mod storage;
mod threads;

pub use artifact::{Artifact, Integrity, OpenOptions};
pub use builder::{Builder, FatBuilder, Settings};
pub use cache::Cache;
pub use engine::{Engine, FlagMap, VersionRule};
pub use error::{Error, Result, Status};
pub use report::Report;
pub use trust::keys::{PrivateKey, PublicKey};
