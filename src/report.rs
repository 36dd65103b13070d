//! Report: mismatches and warnings.

use std::ffi::c_char;

use super::boundary::{ffi, free, give, handle, infallible, past_the_end};
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use super::text::Texts;
use artifact::report::Report;

/// The findings of a comparison or verification. You own it; free it with artifact_report_free(). Many threads may read
/// one report at once.
pub struct artifact_report_t {
    report: Report,
    texts: Texts,
}

impl artifact_report_t {
    pub(super) fn of(report: Report) -> artifact_report_t {
        artifact_report_t { report, texts: Texts::default() }
    }
}

/// What a report's entry is about. Each is one bit of artifact_report_kinds(). artifact_compat_report() reports the
/// first eight, artifact_verify() the others.
#[repr(C)]
pub enum artifact_report_kind_t {
    /// Another producer wrote the artifact.
    ARTIFACT_REPORT_PRODUCER = 0x1,
    /// Another version wrote the artifact.
    ARTIFACT_REPORT_VERSION = 0x2,
    /// The artifact is for another architecture.
    ARTIFACT_REPORT_ARCHITECTURE = 0x4,
    /// The artifact is for another operating system.
    ARTIFACT_REPORT_OPERATING_SYSTEM = 0x8,
    /// A shared flag differs.
    ARTIFACT_REPORT_SHARED_FLAG = 0x10,
    /// The engine lacks an instruction set, or an ISA flag differs.
    ARTIFACT_REPORT_ISA_FLAG = 0x20,
    /// A tunable differs.
    ARTIFACT_REPORT_TUNABLE = 0x40,
    /// A Wasm feature differs.
    ARTIFACT_REPORT_FEATURE = 0x80,
    /// A module's ELF header is for another machine, class or byte order than the engine's target.
    ARTIFACT_REPORT_MODULE_MACHINE = 0x100,
    /// A link skips bytes, or points to an offset that does not have the module's alignment.
    ARTIFACT_REPORT_LINK = 0x10000,
    /// Padding is not zero.
    ARTIFACT_REPORT_PADDING = 0x20000,
    /// A module is for another machine than the target triple.
    ARTIFACT_REPORT_MACHINE = 0x40000,
    /// Sections overlap or are misaligned, the section of the code is not named .text, or relocations point outside of
    /// their section.
    ARTIFACT_REPORT_SECTION = 0x80000,
    /// Keys of the settings are out of order or repeated.
    ARTIFACT_REPORT_METADATA = 0x100000,
    /// Bytes that are not a trailer follow the body.
    ARTIFACT_REPORT_TRAILING_BYTES = 0x200000,
    /// A signature is not of this artifact, or not by the key that it names.
    ARTIFACT_REPORT_SIGNATURE = 0x400000,
}

/// A mismatch or warning. Its texts are borrowed: valid until the report is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_report_entry_t {
    /// An artifact_report_kind_t.
    pub kind: u32,
    /// The name of the setting; for a warning, what it is about.
    pub setting: *const c_char,
    /// The artifact's value; "" if it has none.
    pub artifact_value: *const c_char,
    /// The engine's value; "" if it has none.
    pub engine_value: *const c_char,
    /// The whole finding as a sentence, as artifact_check_compat() words it.
    pub sentence: *const c_char,
}

/// Returns the outcome. For a comparison: the status that artifact_check_compat() returns. For a verification:
/// ARTIFACT_OK. ARTIFACT_INVALID_ARGUMENT if report is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_report_status(report: *const artifact_report_t) -> artifact_status_t {
    ffi!(infallible(artifact_status_t::ARTIFACT_INTERNAL, || {
        let report = handle(report, "report");
        report.map_or_else(|error| error.status().into(), |report| report.report.status().into())
    }))
}

/// Returns the number of entries; 0 if report is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_report_count(report: *const artifact_report_t) -> usize {
    ffi!(infallible(0, || { handle(report, "report").map_or(0, |report| report.report.findings.len()) }))
}

/// Returns the kinds of all entries, a combination of artifact_report_kind_t bits; 0 if report is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_report_kinds(report: *const artifact_report_t) -> u64 {
    ffi!(infallible(0, || { handle(report, "report").map_or(0, |report| report.report.kinds()) }))
}

/// Reads an entry.
///
/// @param report The report.
/// @param index An index below artifact_report_count(). Entries have the order of the checks.
/// @param entry Receives the entry. Its texts are valid until the report is freed.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if index is out of range.
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

/// Frees a report. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_report_free(report: *mut artifact_report_t) {
    ffi!(free(report))
}
