//! Opens the input as it is, and with recomputed digests, and reads everything.

use std::ptr::{null, null_mut};
use std::sync::OnceLock;

use super::capi::artifact::*;
use super::capi::detect::*;
use super::capi::engine::*;
use super::check_outcome;

struct Engine(*mut artifact_engine_t);
// SAFETY: the engine is only passed to functions that take it as const, which any thread may call.
unsafe impl Send for Engine {}
// SAFETY: those functions may run in several threads at once.
unsafe impl Sync for Engine {}

fn open(bytes: &[u8]) {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| Engine(artifact_engine_new_wasmtime())).0;
    // SAFETY: `bytes` outlive the artifacts, the engine is never freed, handles are freed once, and all other pointers are NULL or
    // point to local variables of the right types.
    unsafe {
        let mut artifact = null_mut();
        if call!(artifact_open_bytes(bytes.as_ptr(), bytes.len(), null(), null(), &mut artifact)) {
            super::read_all(artifact);
            call!(artifact_check_compat(artifact, engine));
            let mut report = null_mut();
            call!(artifact_compat_report(artifact, engine, &mut report));
            super::read_report(report);
        } else {
            assert!(artifact.is_null());
        }
        artifact_free(artifact);
        let options = artifact_open_options_t {
            size: size_of::<artifact_open_options_t>(),
            flags: 1,
            offset: 0,
            length: 0,
            memory_limit: 0,
            signature: std::ptr::null(),
            signature_len: 0,
            copy_limit: 0,
            variant: 0,
        };
        let mut artifact = null_mut();
        call!(artifact_open_borrowed(bytes.as_ptr(), bytes.len(), engine, &options, &mut artifact));
        artifact_free(artifact);
        let mut detection = std::mem::zeroed();
        call!(artifact_detect_bytes(bytes.as_ptr(), bytes.len(), &mut detection));
    }
}

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    open(data);
    if data.ends_with(super::FOOTER_MAGIC) {
        let mut sealed = data.to_vec();
        super::reseal(&mut sealed);
        open(&sealed);
    }
}
