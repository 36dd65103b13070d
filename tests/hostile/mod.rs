//! The code of the fuzz targets, which `tests/regressions.rs` runs on stored inputs. This module has the shared parts: recomputing
//! digests, so that a changed file passes their check, and reading all of an artifact through the C interface.
#![allow(missing_docs, dead_code)]

/// Calls a C function whose last argument receives the error, checks the outcome, and returns whether the status is OK.
macro_rules! call {
    ($function:ident($($argument:expr),* $(,)?)) => {{
        let mut error = std::ptr::null_mut();
        let status = $function($($argument,)* &mut error);
        check_outcome(status, error)
    }};
}

pub mod api;
pub mod cache_folder;
// The source of the C interface, since the C library can't be linked into Rust programs.
#[path = "../../src/lib.rs"]
pub mod capi;
pub mod cwasm;
#[path = "../common/elf.rs"]
pub mod elf;
pub mod fat;
pub mod link;
pub mod load;
pub mod memory;
pub mod open_all;
pub mod pack;
pub mod rewrite;
pub mod signed;
pub mod texts;
pub mod trailer;

use std::ffi::{CStr, c_char};
use std::mem::zeroed;
use std::ops::Range;
use std::ptr::{null, null_mut};

use capi::artifact::*;
use capi::error::*;
use capi::fat::*;
use capi::flags::artifact_flag_t;
use capi::library::*;
use capi::module::*;
use capi::report::*;
use capi::settings::*;
use capi::trailer::*;

/// The first bytes of a trailer.
pub const TRAILER_MAGIC: &[u8] = b"\x93AFT\r\n\x1a\n";
/// The last bytes of a trailer.
pub const FOOTER_MAGIC: &[u8] = b"\x93AFE\r\n\x1a\n";

/// Size of an entry of the module table.
pub const MODULE_ENTRY: usize = 56;
/// Size of the root record.
pub const ROOT: usize = 256;
/// Size of the footer.
pub const FOOTER: usize = 64;

fn digest(what: &str, bytes: &[u8]) -> [u8; 32] {
    blake3::derive_key(&format!("libartifact 2026-11 trailer 1: {what}"), bytes)
}

fn number(bytes: &[u8], at: usize) -> usize {
    let word = bytes.get(at..at.saturating_add(8)).and_then(|word| word.try_into().ok());
    word.map_or(0, |word| u64::from_le_bytes(word) as usize)
}

/// Recomputes every digest of a file with a trailer, as far as the offsets in the root record are valid.
pub fn reseal(file: &mut [u8]) {
    let Some(last) = file.len().checked_sub(FOOTER + ROOT) else { return };
    let footer = last + ROOT;
    let root = number(file, footer);
    if file[footer + 56..] != *FOOTER_MAGIC || root > last {
        return;
    }
    let part = |file: &[u8], range: Range<usize>| file.get(range).map(<[u8]>::to_vec);
    let (body_end, header) = (number(file, root + 8), number(file, root + 16));
    let (modules, chunks_len) = (number(file, root + 32), number(file, root + 40));
    let chunks = root.wrapping_sub(chunks_len);
    let table = chunks.wrapping_sub(modules.wrapping_mul(MODULE_ENTRY));
    let mut start = 0;
    let entries = if table <= chunks && chunks <= root { table..chunks } else { 0..0 };
    for entry in entries.step_by(MODULE_ENTRY).take(1000) {
        let end = number(file, entry).wrapping_add(number(file, entry + 8));
        if let Some(bytes) = part(file, start..end) {
            file[entry + 24..entry + MODULE_ENTRY].copy_from_slice(&digest("module", &bytes));
        }
        start = end;
    }
    for (at, what, range) in [
        (root + 48, "tail", header.wrapping_sub(8)..body_end),
        (root + 80, "module table", table..chunks),
        (root + 112, "chunks", chunks..root),
    ] {
        if let Some(bytes) = part(file, range) {
            file[at..at + 32].copy_from_slice(&digest(what, &bytes));
        }
    }
    file[footer + 24..footer + 56].fill(0);
    let checksum = digest("footer", &file[root..]);
    file[footer + 24..footer + 56].copy_from_slice(&checksum);
}

/// Checks what every call guarantees about its status and error, frees the error, and returns whether the status is OK.
///
/// # Safety
///
/// `error` is NULL or an error returned by a call.
pub unsafe fn check_outcome(status: artifact_status_t, error: *mut artifact_error_t) -> bool {
    let status = status as u32;
    // SAFETY: the caller guarantees that `error` is valid for these functions, and nobody uses it after it is freed.
    unsafe {
        assert_eq!(artifact_error_status(error) as u32, status);
        assert_ne!(
            status,
            artifact_status_t::ARTIFACT_INTERNAL as u32,
            "{:?}",
            CStr::from_ptr(artifact_error_message(error))
        );
        let message = CStr::from_ptr(artifact_error_message(error)).to_str().expect("UTF-8");
        assert_eq!(message.is_empty(), status == 0);
        assert!(!message.contains(char::is_control), "{message:?}");
        artifact_error_offset(error);
        artifact_error_errno(error);
        for index in 0..=artifact_error_missing_count(error) {
            artifact_error_missing(error, index);
        }
        artifact_error_free(error);
    }
    status == 0
}

/// Reads a borrowed string.
///
/// # Safety
///
/// `text` is NULL or points to a NUL-terminated string.
pub unsafe fn read_text(text: *const c_char) {
    if !text.is_null() {
        // SAFETY: `text` is not NULL, and the caller guarantees that it points to a string.
        unsafe { CStr::from_ptr(text) }.to_str().expect("UTF-8");
    }
}

/// Reads borrowed bytes.
///
/// # Safety
///
/// If `slice.len` is not 0, `slice.data` points to that many bytes.
pub unsafe fn read_slice(slice: artifact_slice_t) {
    assert!(slice.len == 0 || !slice.data.is_null());
    if slice.len > 0 {
        // SAFETY: the length is not 0, so the caller guarantees the bytes.
        let bytes = unsafe { std::slice::from_raw_parts(slice.data, slice.len) };
        std::hint::black_box(bytes.iter().fold(0u8, |sum, byte| sum ^ byte));
    }
}

/// Reads a report and frees it.
///
/// # Safety
///
/// `report` is NULL or a report that is not used afterwards.
pub unsafe fn read_report(report: *mut artifact_report_t) {
    // SAFETY: the caller guarantees the report; all other pointers point to local variables of the right types.
    unsafe {
        artifact_report_status(report);
        artifact_report_kinds(report);
        for index in 0..=artifact_report_count(report) {
            let mut entry: artifact_report_entry_t = zeroed();
            if call!(artifact_report_at(report, index, &mut entry)) {
                for text in [entry.setting, entry.artifact_value, entry.engine_value, entry.sentence] {
                    read_text(text);
                }
            }
        }
        artifact_report_free(report);
    }
}

/// Reads everything in an artifact, and one item past the end of each list. At most 40 items of a kind, and 12 in each module, are
/// read: more calls would slow fuzzing down without finding more.
///
/// # Safety
///
/// `artifact` is NULL or an artifact.
pub unsafe fn read_all(artifact: *const artifact_t) {
    // SAFETY: the caller guarantees the artifact; all other pointers point to local variables of the right types, or were
    // returned by calls on this artifact.
    unsafe {
        let upto = |count: usize| (0..=count).take(40);
        read_text(artifact_producer(artifact));
        artifact_variant_chosen(artifact);
        for index in (0..=artifact_variant_count(artifact)).take(40) {
            let mut variant: artifact_variant_t = zeroed();
            call!(artifact_variant_at(artifact, index, &mut variant));
            read_text(variant.target);
            for need in (0..=variant.needs).take(40) {
                let mut text = null();
                call!(artifact_variant_need_at(artifact, index, need, &mut text));
                read_text(text);
            }
        }
        read_slice(artifact_producer_version(artifact));
        artifact_file_len(artifact);
        artifact_integrity(artifact);
        artifact_main_module(artifact);
        let (mut text, mut value, mut on) = (null(), 0, false);
        if call!(artifact_target(artifact, &mut text)) {
            read_text(text);
        }
        for map in 0..3 {
            let mut count = 0;
            call!(artifact_flag_count(artifact, map, &mut count));
            for index in upto(count) {
                let (mut flag, mut again): (artifact_flag_t, artifact_flag_t) = (zeroed(), zeroed());
                if call!(artifact_flag_at(artifact, map, index, &mut flag)) {
                    read_text(flag.name);
                    read_text(flag.text);
                    call!(artifact_flag(artifact, map, flag.name, &mut again));
                }
            }
        }
        for number in 0..12 {
            call!(artifact_tunable(artifact, number, &mut value));
            call!(artifact_feature(artifact, number, &mut on));
        }
        let mut count = 0;
        call!(artifact_upvar_count(artifact, &mut count));
        for index in upto(count) {
            let mut upvar: artifact_upvar_t = zeroed();
            call!(artifact_upvar_at(artifact, index, &mut upvar));
            let passed = (0..upvar.artifact_upvars_len).map(|at| *upvar.artifact_upvars.add(at));
            std::hint::black_box(passed.fold(0, |sum, module| sum ^ module));
        }
        read_types(artifact);
        count = 0;
        call!(artifact_attribute_count(artifact, &mut count));
        for index in upto(count) {
            let (mut name, mut bytes) = (null(), artifact_slice_t { data: null(), len: 0 });
            if call!(artifact_attribute_at(artifact, index, &mut name, &mut bytes)) {
                read_text(name);
                read_slice(bytes);
                call!(artifact_attribute(artifact, name, &mut bytes));
            }
        }
        for module in upto(artifact_module_count(artifact)) {
            read_module(artifact, module);
        }
        let mut report = null_mut();
        call!(artifact_verify(artifact, &mut report));
        read_report(report);
    }
}

unsafe fn read_types(artifact: *const artifact_t) {
    // SAFETY: as in `read_all`, the only caller.
    unsafe {
        let upto = |count: usize| (0..=count).take(12);
        let (mut funcs, mut modules, mut instances) = (0, 0, 0);
        call!(artifact_type_counts(artifact, &mut funcs, &mut modules, &mut instances));
        for index in upto(funcs) {
            let mut ty: artifact_func_type_t = zeroed();
            call!(artifact_func_type(artifact, index, &mut ty));
            read_slice(artifact_slice_t { data: ty.params, len: ty.params_len });
            read_slice(artifact_slice_t { data: ty.returns, len: ty.returns_len });
        }
        for index in upto(modules) {
            let (mut imports, mut exports) = (0, 0);
            call!(artifact_module_type(artifact, index, &mut imports, &mut exports));
            for at in upto(imports) {
                let (mut name, mut entity) = (null(), zeroed());
                call!(artifact_module_import(artifact, index, at, &mut name, &mut entity));
                read_text(name);
            }
        }
        for index in upto(instances) {
            let mut exports = 0;
            call!(artifact_instance_type(artifact, index, &mut exports));
            for at in upto(exports) {
                let (mut name, mut entity) = (null(), zeroed());
                call!(artifact_instance_export(artifact, index, at, &mut name, &mut entity));
                read_text(name);
            }
        }
    }
}

unsafe fn read_module(artifact: *const artifact_t, index: usize) {
    // SAFETY: as in `read_all`, the only caller.
    unsafe {
        let upto = |count: usize| (0..=count).take(12);
        let mut module: artifact_module_t = zeroed();
        if !call!(artifact_module(artifact, index, &mut module)) {
            return;
        }
        read_slice(module.bytes);
        let mut count = 0;
        call!(artifact_section_count(artifact, index, &mut count));
        for at in upto(count) {
            let (mut section, mut again): (artifact_section_t, artifact_section_t) = (zeroed(), zeroed());
            if call!(artifact_section_at(artifact, index, at, &mut section)) {
                read_text(section.name);
                read_slice(section.bytes);
                call!(artifact_section(artifact, index, section.name, &mut again));
            }
        }
        count = 0;
        call!(artifact_symbol_count(artifact, index, &mut count));
        for at in upto(count) {
            let (mut symbol, mut again): (artifact_symbol_t, artifact_symbol_t) = (zeroed(), zeroed());
            if call!(artifact_symbol_at(artifact, index, at, &mut symbol)) {
                read_text(symbol.name);
                call!(artifact_symbol(artifact, index, symbol.name, &mut again));
            }
        }
    }
}
