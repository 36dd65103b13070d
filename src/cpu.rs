//! Engines for CPUs: those of a name, and this host's.

use std::ffi::c_char;

use super::boundary::{ffi, text};
use super::engine::{artifact_engine_t, boxed, change};
use super::error::artifact_error_t;
use super::library::artifact_status_t;

/// Sets the CPU that code is compiled for: replaces the CPU features among the ISA flags by those of a CPU of the
/// engine's target. They have Cranelift's names ("has_avx2") if the engine has one of these or its producer is
/// "wasmtime", LLVM's otherwise. ISA flags that are not features of a CPU stay. Set target and producer first.
///
/// A CPU's name stands for every feature that LLVM gives it and that code can need. What needs nothing of a CPU (tuning,
/// instructions of the kernel) is left out. A CPU of that very name fits only if nothing has switched one of them off:
/// take away what your code does not use, as in "skylake,-sgx".
///
/// @param engine The engine to change.
/// @param names A comma-separated list. Each item is "native" (the CPU that runs this call), LLVM's name of a CPU
///     ("haswell", "znver4", "neoverse-n1"), a level of the x86-64 psABI ("x86-64-v1" to "x86-64-v4"), the name of a
///     feature, or a length of vectors ("sve-vector-bits=512"). An item that begins with '-' takes away features of the
///     items before it.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT for a name that the target's architecture does not
///     have (the message has similar ones), for "native" if this host has another architecture, and under producer
///     "wasmtime" for a single feature that Cranelift has no flag for. Nothing changes then. On architectures other than
///     x86-64 and aarch64, every name is taken for a feature.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_set_cpu(
    engine: *mut artifact_engine_t,
    names: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(change(engine, error, |engine| engine.set_cpu(text(names, "names")?)))
}

/// Copies an engine and replaces target and CPU features by those of this host and of the CPU that runs this call, as
/// artifact_engine_new_host() finds them: from the engine that a compiler describes itself with, makes the one to check
/// its code against. Everything else is copied: producer, version rule, shared flags, tunables, features, trusted keys,
/// and ISA flags that are not features of a CPU.
///
/// CPU features have Cranelift's names ("has_avx2") if the engine has one of these or its producer is "wasmtime", LLVM's
/// otherwise.
///
/// @param engine The engine to copy; it does not change.
/// @return An engine that you own; NULL if engine is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_engine_clone_for_host(engine: *const artifact_engine_t) -> *mut artifact_engine_t {
    match ffi!(engine.as_ref()) {
        Some(engine) => boxed(|| engine.engine.clone_for_host()),
        None => std::ptr::null_mut(),
    }
}
