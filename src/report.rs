//! Report: mismatches and oddities.

use std::ffi::c_char;

use super::boundary::{ffi, free, give, handle, infallible, past_the_end};
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use super::text::Texts;
use artifact::report::Report;

/// What a comparison or a verification found. Owned; freed with artifact_report_free(). May be read from many threads
/// at once.
pub struct artifact_report_t {
    report: Report,
    texts: Texts,
}

impl artifact_report_t {
    pub(super) fn of(report: Report) -> artifact_report_t {
        artifact_report_t { report, texts: Texts::default() }
    }
}

/// What an entry is about. Each is one bit of artifact_report_kinds().
#[repr(C)]
pub enum artifact_report_kind_t {
    /// Another producer wrote it.
    ARTIFACT_REPORT_PRODUCER = 0x1,
    /// Another version wrote it.
    ARTIFACT_REPORT_VERSION = 0x2,
    /// It is for another architecture.
    ARTIFACT_REPORT_ARCHITECTURE = 0x4,
    /// It is for another operating system.
    ARTIFACT_REPORT_OPERATING_SYSTEM = 0x8,
    /// A compiler flag differs.
    ARTIFACT_REPORT_SHARED_FLAG = 0x10,
    /// An instruction set is missing, or an ISA flag differs.
    ARTIFACT_REPORT_ISA_FLAG = 0x20,
    /// A tunable differs.
    ARTIFACT_REPORT_TUNABLE = 0x40,
    /// A Wasm feature differs.
    ARTIFACT_REPORT_FEATURE = 0x80,
    /// artifact_verify(): a link skips bytes, or leads to where the module isn't aligned.
    ARTIFACT_REPORT_LINK = 0x10000,
    /// artifact_verify(): padding isn't zero.
    ARTIFACT_REPORT_PADDING = 0x20000,
    /// artifact_verify(): a module is for another machine than the target triple.
    ARTIFACT_REPORT_MACHINE = 0x40000,
    /// artifact_verify(): sections overlap or aren't aligned, or relocations point outside.
    ARTIFACT_REPORT_SECTION = 0x80000,
    /// artifact_verify(): keys of the settings are out of order or stand there twice.
    ARTIFACT_REPORT_METADATA = 0x100000,
    /// artifact_verify(): bytes that are nothing of ours follow the body.
    ARTIFACT_REPORT_TRAILING_BYTES = 0x200000,
    /// artifact_verify(): a signature that isn't of this artifact, or not of the key that it names.
    ARTIFACT_REPORT_SIGNATURE = 0x400000,
}

/// One mismatch or oddity. Its texts are borrowed: valid until the report is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_report_entry_t {
    /// An artifact_report_kind_t.
    pub kind: u32,
    /// The setting's name; of an oddity, what it is about.
    pub setting: *const c_char,
    /// The artifact's value; "" where it has none.
    pub artifact_value: *const c_char,
    /// The engine's value; "" where it has none.
    pub engine_value: *const c_char,
    /// The whole sentence, as artifact_check_compat() would word it.
    pub sentence: *const c_char,
}

/// What it comes to: of a comparison, the status that artifact_check_compat() returns; of a verification, ARTIFACT_OK.
/// ARTIFACT_INVALID_ARGUMENT for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_report_status(report: *const artifact_report_t) -> artifact_status_t {
    ffi!(infallible(artifact_status_t::ARTIFACT_INTERNAL, || {
        let report = handle(report, "report");
        report.map_or_else(|error| error.status().into(), |report| report.report.status().into())
    }))
}

/// How many entries it has; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_report_count(report: *const artifact_report_t) -> usize {
    ffi!(infallible(0, || { handle(report, "report").map_or(0, |report| report.report.findings.len()) }))
}

/// The kinds of its entries, as a mask of artifact_report_kind_t; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_report_kinds(report: *const artifact_report_t) -> u64 {
    ffi!(infallible(0, || { handle(report, "report").map_or(0, |report| report.report.kinds()) }))
}

/// An entry, in the order of the checks. ARTIFACT_NOT_FOUND past the last one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_report_at(
    report: *const artifact_report_t,
    index: usize,
    entry: *mut artifact_report_entry_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    let none = std::ptr::null();
    let empty =
        artifact_report_entry_t { kind: 0, setting: none, artifact_value: none, engine_value: none, sentence: none };
    ffi!(give(entry, "entry", empty, error, || {
        let artifact_report_t { report, texts } = handle(report, "report")?;
        let findings = &report.findings;
        let found = findings.get(index).ok_or_else(|| past_the_end("report", index, findings.len()))?;
        Ok(artifact_report_entry_t {
            kind: found.kind as u32,
            setting: texts.get(found.setting.as_bytes())?,
            artifact_value: texts.get(found.artifact.as_bytes())?,
            engine_value: texts.get(found.engine.as_bytes())?,
            sentence: texts.get(found.sentence.as_bytes())?,
        })
    }))
}

/// Frees a report. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_report_free(report: *mut artifact_report_t) {
    ffi!(free(report))
}
