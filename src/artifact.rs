//! Artifact: an opened one.

use std::ffi::{c_char, c_int};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use super::boundary::{fallible, ffi, free, give_handle, handle, infallible, known_flags, options, path, slice};
use super::engine::artifact_engine_t;
use super::error::artifact_error_t;
use super::library::{artifact_slice_t, artifact_status_t};
use super::report::artifact_report_t;
use super::text::Texts;
use artifact::artifact::{Artifact, OpenOptions};
use artifact::engine::Engine;
use artifact::error::{Error, Result, Status};
use artifact::storage::{Part, quote_path};

/// An opened artifact. Owned; freed with artifact_free(). All functions that read it may run in many threads at once.
pub struct artifact_t {
    pub(super) artifact: Arc<Artifact>,
    pub(super) texts: Texts,
}

/// How to open. Begin with ARTIFACT_OPEN_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_open_options_t {
    /// sizeof(artifact_open_options_t)
    pub size: usize,
    /// ARTIFACT_OPEN_ flags.
    pub flags: u64,
    /// Where the artifact begins in the file or bytes: 0 unless it lies inside something larger.
    pub offset: u64,
    /// Its length in bytes; 0: to the end.
    pub length: u64,
    /// Most bytes of Metadata to read; 0, or more than that: 64 MiB.
    pub memory_limit: u64,
    /// Detached signatures, as artifact_sign() and `artifact sign` give them, one behind the other; read during the call. They
    /// need an engine with trusted keys. NULL: none.
    pub signature: *const u8,
    /// Their length in bytes.
    pub signature_len: usize,
}

const ARTIFACT_OPEN_VERIFY: u64 = 1;
const ARTIFACT_OPEN_COPY: u64 = 2;

unsafe fn read_options<'s>(given: *const artifact_open_options_t) -> Result<OpenOptions<'s>> {
    let defaults = artifact_open_options_t {
        size: 0,
        flags: 0,
        offset: 0,
        length: 0,
        memory_limit: 0,
        signature: std::ptr::null(),
        signature_len: 0,
    };
    let artifact_open_options_t { flags, offset, length, memory_limit, signature, signature_len, .. } =
        ffi!(options(given, defaults, "options"))?;
    known_flags(flags, ARTIFACT_OPEN_VERIFY | ARTIFACT_OPEN_COPY)?;
    let mut read = OpenOptions::default();
    read.part = Part { offset, length: (length != 0).then_some(length) };
    if memory_limit != 0 {
        read.memory_limit = memory_limit;
    }
    read.verify = flags & ARTIFACT_OPEN_VERIFY != 0;
    read.copy = flags & ARTIFACT_OPEN_COPY != 0;

    read.signature = ffi!(slice(signature, signature_len, "options.signature"))?;
    Ok(read)
}

/// Opens in `body`; the shape of every opening function.
unsafe fn open(
    engine: *const artifact_engine_t,
    options: *const artifact_open_options_t,
    artifact: *mut *mut artifact_t,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce(Option<&Engine>, &OpenOptions<'_>) -> Result<Artifact>,
) -> artifact_status_t {
    ffi!(give_handle(artifact, "artifact", error, || {
        let opened = body(engine.as_ref().map(|engine| &engine.engine), &read_options(options)?)?;
        Ok(artifact_t { artifact: Arc::new(opened), texts: Texts::default() })
    }))
}

/// Opens the artifact at path. Reads headers and Metadata into private memory; modules are mapped when one is first asked
/// for. One close-on-exec descriptor stays open. The caller owns the artifact.
///
/// With an engine that trusts keys, one of them must have signed the file (ARTIFACT_UNTRUSTED), before anything else of it is
/// looked at; a module is then copied to private memory and checked when it is first asked for. The file must be of the
/// engine's producer (ARTIFACT_WRONG_PRODUCER) and of a version that its rule accepts (ARTIFACT_WRONG_VERSION); that is checked
/// before anything else is decoded. Whether it fits otherwise, artifact_check_compat() tells. With NULL whatever it is opens,
/// for inspection: even a foreign version whose settings can't be decoded. options may be NULL.
///
/// ARTIFACT_NOT_AN_ARTIFACT, ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT, ARTIFACT_DIGEST_MISMATCH, ARTIFACT_UNSUPPORTED,
/// ARTIFACT_LIMIT: the file. ARTIFACT_IO: it can't be read; artifact_error_errno() is ENOENT if there is none.
/// ARTIFACT_INVALID_ARGUMENT: it is a directory, device or FIFO, on which opening never waits, or the options' offset
/// and length lie outside it.
///
/// A file that others truncate or write in place while it is open can take the process down when its modules are read
/// (SIGBUS): replace files, as artifact_serialize_to_file() does, never change them. Where others can write, use
/// ARTIFACT_OPEN_COPY.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_open_file(
    path: *const c_char,
    engine: *const artifact_engine_t,
    options: *const artifact_open_options_t,
    artifact: *mut *mut artifact_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(open(engine, options, artifact, error, |engine, options| {
        let path = self::path(path)?;
        Artifact::open(path, engine, options).map_err(|error| match error.status() {
            // Sentences about what an artifact was made for stand for themselves: programs compare them.
            Status::WrongProducer | Status::WrongVersion | Status::Incompatible => error,
            // Opening has named the path.
            Status::Io | Status::InvalidArgument => error,
            _ => error.within(quote_path(path)),
        })
    }))
}

/// Opens the artifact in an open file. The descriptor is duplicated: yours stays yours, and its position is neither used nor
/// moved. Otherwise as artifact_open_file().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_open_fd(
    fd: c_int,
    engine: *const artifact_engine_t,
    options: *const artifact_open_options_t,
    artifact: *mut *mut artifact_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(open(engine, options, artifact, error, |engine, options| Artifact::open_fd(borrow_fd(fd)?, engine, options)))
}

/// Borrows the caller's descriptor for the duration of a call.
///
/// # Safety
///
/// If `fd` is open, it stays open for `'a`.
pub(super) unsafe fn borrow_fd<'a>(fd: c_int) -> Result<BorrowedFd<'a>> {
    if fd < 0 {
        return Err(Error::new(Status::InvalidArgument, format!("fd: expected an open descriptor, found {fd}")));
    }
    // SAFETY: `fd` isn't -1, and the caller keeps it open. If it was never open, its first use fails with EBADF.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Opens an artifact in memory, of which a copy is made. Otherwise as artifact_open_file().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_open_bytes(
    data: *const u8,
    len: usize,
    engine: *const artifact_engine_t,
    options: *const artifact_open_options_t,
    artifact: *mut *mut artifact_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(open(engine, options, artifact, error, |engine, options| {
        Artifact::open_bytes(slice(data, len, "data")?, engine, options)
    }))
}

/// Opens an artifact in memory without copying it. The bytes must stay as they are until the artifact, and every builder made
/// from it, is freed. They may have any alignment; a module's bytes are aligned as its align says only if data plus
/// the offset in options is aligned so too. Otherwise as artifact_open_file().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_open_borrowed(
    data: *const u8,
    len: usize,
    engine: *const artifact_engine_t,
    options: *const artifact_open_options_t,
    artifact: *mut *mut artifact_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(open(engine, options, artifact, error, |engine, options| {
        let bytes: &'static [u8] = slice(data, len, "data")?;
        Artifact::open_borrowed(bytes, engine, options)
    }))
}

/// Frees an artifact, and with it every text, slice and array that it gave out. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_free(artifact: *mut artifact_t) {
    ffi!(free(artifact))
}

/// Does the artifact fit the engine? The sentences are Wasmtime's; artifact_compat_report() has both sides' values.
/// ARTIFACT_OK, or ARTIFACT_WRONG_PRODUCER, ARTIFACT_WRONG_VERSION or ARTIFACT_INCOMPATIBLE with the first mismatch as
/// the message. In this order: producer, version, architecture, operating system, shared flags by name, ISA flags by
/// name, tunables, features. The artifact stays open and readable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_check_compat(
    artifact: *const artifact_t,
    engine: *const artifact_engine_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle(artifact, "artifact")?.artifact.check(&handle(engine, "engine")?.engine)))
}

/// Every way in which the artifact doesn't fit the engine, in a report that the caller owns; an empty one if it fits. Returns
/// ARTIFACT_OK whenever the comparison could be made; artifact_report_status() then says what it came to. Where producer or
/// version differ, the report has that one entry.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_compat_report(
    artifact: *const artifact_t,
    engine: *const artifact_engine_t,
    report: *mut *mut artifact_report_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(report, "report", error, || {
        handle(artifact, "artifact")?.artifact.report(&handle(engine, "engine")?.engine).map(artifact_report_t::of)
    }))
}

/// Checks everything that opening leaves alone because it takes time that grows with the file: every digest, every
/// module's sections, symbols and relocations, links, padding, the order of keys. Damage is ARTIFACT_DIGEST_MISMATCH,
/// ARTIFACT_CORRUPT, ARTIFACT_TRUNCATED or ARTIFACT_LIMIT, with its place. In a file without a trailer
/// (artifact_integrity()) only structure can be checked: a changed byte of code isn't noticed there. ARTIFACT_OK gives
/// a report, which the caller owns, of oddities that a genuine Wasmtime 0.33 accepts although no writer makes them.
/// ARTIFACT_WRONG_VERSION if the settings have an unknown layout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_verify(
    artifact: *const artifact_t,
    report: *mut *mut artifact_report_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(report, "report", error, || {
        handle(artifact, "artifact")?.artifact.verify().map(artifact_report_t::of)
    }))
}

/// Who compiled it. Borrowed: valid until the artifact is freed. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_producer(artifact: *const artifact_t) -> *const c_char {
    ffi!(infallible(std::ptr::null(), || {
        let artifact = handle(artifact, "artifact");
        artifact.and_then(|found| found.texts.get(found.artifact.producer().as_bytes())).unwrap_or(std::ptr::null())
    }))
}

/// The version that its producer wrote: 0 to 255 bytes of any kind, borrowed, valid until the artifact is freed. Empty for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_producer_version(artifact: *const artifact_t) -> artifact_slice_t {
    ffi!(infallible(artifact_slice_t::EMPTY, || {
        let artifact = handle(artifact, "artifact");
        artifact.map_or(artifact_slice_t::EMPTY, |found| artifact_slice_t::of(found.artifact.version()))
    }))
}

/// Its length in bytes, with whatever follows the body; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_file_len(artifact: *const artifact_t) -> u64 {
    ffi!(infallible(0, || { handle(artifact, "artifact").map_or(0, |found| found.artifact.len()) }))
}
