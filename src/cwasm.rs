//! Files of Wasmtime 3 and newer.

use std::ffi::{CString, c_char, c_int};

use super::artifact::borrow_fd;
use super::boundary::{ffi, free, give_handle, handle, infallible, path, slice, text};
use super::buffer::artifact_buffer_t;
use super::detect::artifact_detected_t;
use super::engine::artifact_engine_t;
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use super::report::artifact_report_t;
use artifact::cwasm::{Cwasm, Kind, Settings};
use artifact::error::{Error, Result, Status};
use artifact::storage::{Part, Region};

/// A file that Wasmtime 3 or newer compiled (`.cwasm`), which is no artifact. It is only read: running it takes the
/// runtime of the version that compiled it. You own it; free it with artifact_cwasm_free(). Many threads may use one at
/// once.
pub struct artifact_cwasm_t {
    cwasm: Cwasm,
    version: CString,
    target: CString,
}

/// Returns the number in C of what such a file holds.
pub(super) fn detected(kind: Kind) -> artifact_detected_t {
    match kind {
        Kind::Component => artifact_detected_t::ARTIFACT_DETECTED_WASMTIME_COMPONENT,
        _ => artifact_detected_t::ARTIFACT_DETECTED_WASMTIME_MODULE,
    }
}

unsafe fn open(
    cwasm: *mut *mut artifact_cwasm_t,
    error: *mut *mut artifact_error_t,
    region: impl FnOnce() -> Result<Region>,
) -> artifact_status_t {
    ffi!(give_handle(cwasm, "cwasm", error, || {
        let not_wasmtime = || Error::new(Status::NotFound, "expected a file of Wasmtime 3 or newer, found another one");
        let cwasm = Cwasm::read(&region()?)?.ok_or_else(not_wasmtime)?;
        let c_text = |what: &str, text: &str| {
            let message = || Error::corrupt(format!("section .wasmtime.engine, {what}: expected no NUL, found one"));
            CString::new(text).map_err(|_| message())
        };
        let (version, target) =
            (c_text("version", &cwasm.settings.version)?, c_text("target", &cwasm.settings.target)?);
        Ok(artifact_cwasm_t { cwasm, version, target })
    }))
}

/// Reads the settings in a file that Wasmtime 3 or newer compiled. Only headers and settings are read; the file is
/// closed again.
///
/// @param path The file's path.
/// @param cwasm Receives what was read, which you own.
/// @return ARTIFACT_OK, a general status, or one of these:
///   - ARTIFACT_NOT_FOUND: the file is anything else, such as an artifact.
///   - ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT, ARTIFACT_LIMIT, ARTIFACT_UNSUPPORTED: Wasmtime wrote the file, but it is
///     damaged, or its settings have another layout.
///   - ARTIFACT_IO: the file cannot be read.
///   - ARTIFACT_INVALID_ARGUMENT: path is a directory, device, FIFO or socket.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cwasm_open_file(
    path: *const c_char,
    cwasm: *mut *mut artifact_cwasm_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(open(cwasm, error, || Region::open(self::path(path)?, Part::default())))
}

/// Reads the settings in an open file that Wasmtime compiled. Otherwise like artifact_cwasm_open_file().
///
/// @param fd A descriptor open for reading. Its position is neither used nor changed.
/// @param cwasm As artifact_cwasm_open_file().
/// @return As artifact_cwasm_open_file().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cwasm_open_fd(
    fd: c_int,
    cwasm: *mut *mut artifact_cwasm_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(open(cwasm, error, || Region::open_fd(borrow_fd(fd)?, Part::default())))
}

/// Reads the settings in bytes that Wasmtime compiled. Otherwise like artifact_cwasm_open_file().
///
/// @param data The bytes, needed only during the call; may be NULL if len is 0.
/// @param len The number of bytes.
/// @param cwasm As artifact_cwasm_open_file().
/// @return As artifact_cwasm_open_file().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cwasm_open_bytes(
    data: *const u8,
    len: usize,
    cwasm: *mut *mut artifact_cwasm_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(open(cwasm, error, || {
        // The region is dropped before the call returns.
        let bytes: &'static [u8] = slice(data, len, "data")?;
        Region::borrowed(bytes, Part::default())
    }))
}

/// Frees what was read. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cwasm_free(cwasm: *mut artifact_cwasm_t) {
    ffi!(free(cwasm))
}

/// Returns what the file holds: ARTIFACT_DETECTED_WASMTIME_MODULE or ARTIFACT_DETECTED_WASMTIME_COMPONENT;
/// ARTIFACT_DETECTED_NOTHING if cwasm is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cwasm_kind(cwasm: *const artifact_cwasm_t) -> u32 {
    ffi!(infallible(0, || handle(cwasm, "cwasm").map_or(0, |cwasm| detected(cwasm.cwasm.kind) as u32)))
}

/// Returns the version of Wasmtime that compiled the file: a full one such as "14.0.4" up to 37, the major number alone
/// from 38 on. A program that embeds Wasmtime may have set any other text; "" fits every version. Borrowed: valid until
/// cwasm is freed. NULL if cwasm is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cwasm_version(cwasm: *const artifact_cwasm_t) -> *const c_char {
    ffi!(infallible(std::ptr::null(), || {
        handle(cwasm, "cwasm").map_or(std::ptr::null(), |cwasm| cwasm.version.as_ptr())
    }))
}

/// Returns the target triple. Borrowed: valid until cwasm is freed. NULL if cwasm is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cwasm_target(cwasm: *const artifact_cwasm_t) -> *const c_char {
    ffi!(infallible(std::ptr::null(), || {
        handle(cwasm, "cwasm").map_or(std::ptr::null(), |cwasm| cwasm.target.as_ptr())
    }))
}

/// Returns all settings as JSON: an object with "kind", "version", "target", "shared_flags", "isa_flags", "tunables" and
/// "features", as `artifact inspect --json` prints them. Which tunables and features there are depends on the version;
/// if it is none of the releases that this library knows, both are null.
///
/// @param cwasm What was read.
/// @param json Receives the text, which you own.
/// @return ARTIFACT_OK or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cwasm_to_json(
    cwasm: *const artifact_cwasm_t,
    json: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(json, "json", error, || {
        handle(cwasm, "cwasm")?.cwasm.to_json().map(|text| artifact_buffer_t::of(text.into_bytes()))
    }))
}

/// Reports every reason why a host cannot run the file's code, in the words of Wasmtime. Only target and ISA flags are
/// compared: the engine's producer, version and other settings are not.
///
/// @param cwasm What was read.
/// @param engine The host, such as artifact_engine_new_host().
/// @param report Receives the report, which you own. It is empty if the host can run the code.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_LIMIT for more mismatches than a report holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cwasm_report(
    cwasm: *const artifact_cwasm_t,
    engine: *const artifact_engine_t,
    report: *mut *mut artifact_report_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(report, "report", error, || {
        let cwasm = &handle(cwasm, "cwasm")?.cwasm;
        Ok(artifact_report_t::of(cwasm.report(&handle(engine, "engine")?.engine)?))
    }))
}

/// Reports every reason why an engine of Wasmtime refuses the file, in the words of Wasmtime. If the engine has another
/// version, that is the only entry. Tunables and features are compared if the version is a release that this library
/// knows.
///
/// @param cwasm What was read.
/// @param engine_json The engine's settings in JSON: what artifact_cwasm_to_json() returns for any file that the engine
///     compiled.
/// @param report Receives the report, which you own. It is empty if the engine accepts the file.
/// @return ARTIFACT_OK, a general status, or one of these:
///   - ARTIFACT_INVALID_ARGUMENT: engine_json is not such an object, or lacks settings of its version.
///   - ARTIFACT_LIMIT: more mismatches than a report holds.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_cwasm_report_against(
    cwasm: *const artifact_cwasm_t,
    engine_json: *const c_char,
    report: *mut *mut artifact_report_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(report, "report", error, || {
        let cwasm = &handle(cwasm, "cwasm")?.cwasm;
        let engine = Settings::from_json(text(engine_json, "engine_json")?)?;
        Ok(artifact_report_t::of(cwasm.report_against(&engine)?))
    }))
}
