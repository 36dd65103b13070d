//! Artifact: opening, checking, verifying.

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

/// An opened artifact. You own it; free it with artifact_free(). Many threads may read one artifact at once.
pub struct artifact_t {
    pub(super) artifact: Arc<Artifact>,
    pub(super) texts: Texts,
}

/// How to open. Begin with ARTIFACT_OPEN_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_open_options_t {
    /// sizeof(artifact_open_options_t).
    pub size: usize,
    /// A combination of ARTIFACT_OPEN_ flags.
    pub flags: u64,
    /// The offset of the artifact in the file or bytes, if it is part of something larger; otherwise 0.
    pub offset: u64,
    /// The artifact's length in bytes; 0: up to the end.
    pub length: u64,
    /// The maximum size of Metadata (the settings) in bytes; 0, or more than that: 64 MiB.
    pub memory_limit: u64,
    /// Detached signatures, as artifact_sign() and `artifact sign` create them, one after the other; needed only during
    /// the call. Requires an engine with trusted keys. NULL: none.
    pub signature: *const u8,
    /// The length of the detached signatures in bytes.
    pub signature_len: usize,
    /// The maximum number of bytes that ARTIFACT_OPEN_COPY copies; 0: no limit. Holes of a sparse file count: they take no
    /// memory at first, but reading the copy can fill them.
    pub copy_limit: u64,
    /// With ARTIFACT_OPEN_VARIANT, the index of the variant to open of a file of several targets; otherwise 0.
    pub variant: u64,
}

const ARTIFACT_OPEN_VERIFY: u64 = 1;
const ARTIFACT_OPEN_COPY: u64 = 2;
const ARTIFACT_OPEN_READ: u64 = 4;
const ARTIFACT_OPEN_VARIANT: u64 = 8;
const ARTIFACT_OPEN_REQUIRE_BEST: u64 = 16;
const OPEN_FLAGS: u64 =
    ARTIFACT_OPEN_VERIFY | ARTIFACT_OPEN_COPY | ARTIFACT_OPEN_READ | ARTIFACT_OPEN_VARIANT | ARTIFACT_OPEN_REQUIRE_BEST;

unsafe fn read_options<'s>(given: *const artifact_open_options_t) -> Result<OpenOptions<'s>> {
    let defaults = artifact_open_options_t {
        size: 0,
        flags: 0,
        offset: 0,
        length: 0,
        memory_limit: 0,
        signature: std::ptr::null(),
        signature_len: 0,
        copy_limit: 0,
        variant: 0,
    };
    let given = ffi!(options(given, defaults, "options"))?;
    let artifact_open_options_t { flags, offset, length, memory_limit, signature, signature_len, .. } = given;
    let artifact_open_options_t { copy_limit, variant, .. } = given;
    known_flags(flags, OPEN_FLAGS)?;
    let mut read = OpenOptions::default();
    read.part = Part { offset, length: (length != 0).then_some(length) };
    if memory_limit != 0 {
        read.memory_limit = memory_limit;
    }
    read.verify = flags & ARTIFACT_OPEN_VERIFY != 0;
    read.copy = flags & ARTIFACT_OPEN_COPY != 0;
    read.read = flags & ARTIFACT_OPEN_READ != 0;
    if copy_limit != 0 {
        read.copy_limit = copy_limit;
    }
    read.require_best = flags & ARTIFACT_OPEN_REQUIRE_BEST != 0;
    if flags & ARTIFACT_OPEN_VARIANT != 0 {
        read.variant = Some(variant.try_into().unwrap_or(usize::MAX));
    } else if variant != 0 {
        let message = format!("options.variant: expected 0 without ARTIFACT_OPEN_VARIANT, found {variant}");
        return Err(Error::new(Status::InvalidArgument, message));
    }
    read.signature = ffi!(slice(signature, signature_len, "options.signature"))?;
    Ok(read)
}

/// Opens an artifact with `body`: what all opening functions have in common.
unsafe fn open(
    engine: *const artifact_engine_t,
    options: *const artifact_open_options_t,
    artifact: *mut *mut artifact_t,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce(Option<&Engine>, &OpenOptions<'_>) -> Result<Artifact>,
) -> artifact_status_t {
    ffi!(give_handle(artifact, "artifact", error, || {
        let opened = body(engine.as_ref().map(|engine| &engine.engine), &read_options(options)?)?;
        let texts = Texts::for_file(opened.len());
        Ok(artifact_t { artifact: Arc::new(opened), texts })
    }))
}

/// Opens the artifact in a file. Reads headers and settings into private memory, and keeps one close-on-exec descriptor
/// open. Modules are mapped when the first of them is needed.
///
/// If the engine trusts keys, one of them must have signed the artifact, which is checked before anything else; each
/// module is then copied to private memory and checked when it is first needed. Next, the engine's producer and version
/// rule must match, before anything else is decoded. artifact_check_compat() checks everything else. A NULL engine
/// opens any artifact for inspection, even one whose settings cannot be decoded because another version wrote them.
///
/// Of a file of several targets, the first variant whose settings all fit the engine is opened; see
/// artifact_fat_builder_add() for the order. Without an engine it is the first in the file, the most portable one, and with
/// ARTIFACT_OPEN_VARIANT the one that you name. If the engine trusts keys, one of them must have signed the index.
///
/// If another process truncates the file while it is open, reading its modules can kill the process (SIGBUS). Replace
/// files instead, as artifact_serialize_to_file() does. If other users can write to the file, use ARTIFACT_OPEN_READ or
/// ARTIFACT_OPEN_COPY. Verifying is safe if other users can write to the file: it then reads a copy.
///
/// @param path The file's path.
/// @param engine The engine whose trusted keys, producer and version rule the artifact must match; may be NULL.
/// @param options How to open; NULL: the defaults.
/// @param artifact Receives the artifact, which you own.
/// @return ARTIFACT_OK, a general status, or one of these:
///   - ARTIFACT_UNTRUSTED: the engine trusts keys, and none of them has signed the artifact.
///   - ARTIFACT_WRONG_PRODUCER, ARTIFACT_WRONG_VERSION: the artifact's producer or version is not the engine's.
///   - ARTIFACT_INCOMPATIBLE: no variant of a file of several targets fits; the message says why not. Or, with
///     ARTIFACT_OPEN_REQUIRE_BEST, the best one for the engine's target does not.
///   - ARTIFACT_NOT_FOUND: the file has no variant with the index in the options.
///   - ARTIFACT_NOT_AN_ARTIFACT, ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT, ARTIFACT_DIGEST_MISMATCH: the file is not a
///     valid artifact. If a variant's settings contradict the index, that is ARTIFACT_CORRUPT.
///   - ARTIFACT_LIMIT: the artifact exceeds a limit of the library or of the options.
///   - ARTIFACT_UNSUPPORTED: the artifact or the options need a newer library.
///   - ARTIFACT_IO: the file cannot be read; artifact_error_errno() is ENOENT if it does not exist.
///   - ARTIFACT_INVALID_ARGUMENT: path is a directory, device or FIFO (opening never blocks on one), offset and length
///     of the options reach beyond the file, the options have detached signatures although the engine trusts no key, or
///     ARTIFACT_OPEN_REQUIRE_BEST is given without an engine or together with ARTIFACT_OPEN_VARIANT.
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
            // These sentences are Wasmtime's, and programs compare them: nothing is added.
            Status::WrongProducer | Status::WrongVersion | Status::Incompatible => error,
            // These messages name the path already.
            Status::Io | Status::InvalidArgument => error,
            _ => error.within(quote_path(path)),
        })
    }))
}

/// Opens the artifact in an open file. Otherwise like artifact_open_file().
///
/// @param fd A descriptor open for reading. It is duplicated: you keep yours, and its position is neither used nor
///     changed.
/// @param engine As artifact_open_file().
/// @param options As artifact_open_file().
/// @param artifact Receives the artifact, which you own.
/// @return As artifact_open_file().
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

/// Opens a copy of an artifact in memory. Otherwise like artifact_open_file().
///
/// @param data The bytes, needed only during the call.
/// @param len The number of bytes.
/// @param engine As artifact_open_file().
/// @param options As artifact_open_file().
/// @param artifact Receives the artifact, which you own.
/// @return As artifact_open_file().
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

/// Opens an artifact in memory without copying it. Otherwise like artifact_open_file().
///
/// @param data The bytes, of any alignment. They must not change until the artifact, and every builder and code made
///     from it, is freed. The bytes of modules are aligned as artifact_module_t.align says only if
///     data + options.offset is aligned likewise.
/// @param len The number of bytes.
/// @param engine As artifact_open_file().
/// @param options As artifact_open_file().
/// @param artifact Receives the artifact, which you own.
/// @return As artifact_open_file().
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
        // The header requires that the bytes outlive the artifact and everything made from it.
        let bytes: &'static [u8] = slice(data, len, "data")?;
        Artifact::open_borrowed(bytes, engine, options)
    }))
}

/// Frees an artifact, and every text, slice and array that was borrowed from it. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_free(artifact: *mut artifact_t) {
    ffi!(free(artifact))
}

/// Checks whether an artifact fits an engine. Compares, in this order: producer, version, architecture, operating
/// system, shared flags by name, ISA flags by name, tunables, features, and the machine, class and byte order in each
/// module's ELF header, which are read at the first check. The error's message describes the first
/// mismatch in the words of Wasmtime 0.33; artifact_compat_report() returns all mismatches, with both values. The
/// artifact remains open and readable in any case.
///
/// @param artifact The artifact.
/// @param engine The engine to compare with.
/// @return ARTIFACT_OK if the artifact fits, a general status, or one of these:
///   - ARTIFACT_WRONG_PRODUCER: the producer differs.
///   - ARTIFACT_WRONG_VERSION: the version differs.
///   - ARTIFACT_INCOMPATIBLE: anything else differs.
///   - ARTIFACT_CORRUPT, ARTIFACT_TRUNCATED, ARTIFACT_DIGEST_MISMATCH, ARTIFACT_LIMIT: the engine accepts the version,
///     but the settings or the modules' headers are damaged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_check_compat(
    artifact: *const artifact_t,
    engine: *const artifact_engine_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle(artifact, "artifact")?.artifact.check(&handle(engine, "engine")?.engine)))
}

/// Lists every mismatch between an artifact and an engine. If producer or version differ, that is the only entry.
///
/// @param artifact The artifact.
/// @param engine The engine to compare with.
/// @param report Receives the report, which you own; it has no entries if the artifact fits. artifact_report_status()
///     returns what artifact_check_compat() would return.
/// @return ARTIFACT_OK if the comparison was made, whatever its outcome; a general status; ARTIFACT_CORRUPT,
///     ARTIFACT_TRUNCATED or ARTIFACT_LIMIT if the engine accepts the version, but the settings cannot be decoded; or
///     ARTIFACT_LIMIT if there are more than 4096 mismatches.
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

/// Lists why this host cannot run an artifact's code, whoever made it, in which version and with which settings:
/// architecture, operating system, CPU features and lengths of vectors as artifact_engine_new_host() finds them, and
/// modules for another machine. Use it to judge files of other programs; whether your own program should take a file is
/// a question for artifact_compat_report().
///
/// @param artifact The artifact.
/// @param report Receives the report, which you own; it has no entries if this host can run the code.
/// @return ARTIFACT_OK if the comparison was made, whatever its outcome; a general status; ARTIFACT_WRONG_VERSION if the
///     settings have the layout of another version, which is not known; or ARTIFACT_LIMIT if there are more than 4096
///     reasons.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_host_report(
    artifact: *const artifact_t,
    report: *mut *mut artifact_report_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(report, "report", error, || {
        handle(artifact, "artifact")?.artifact.report_for_host().map(artifact_report_t::of)
    }))
}

/// Checks everything that opening skips because it takes time in proportion to the file's size: every digest, each
/// module's sections, symbols and relocations, links, padding, and the order of keys. In a file without a trailer (see
/// artifact_integrity()) only the structure can be checked: a changed byte of code goes unnoticed. Of a file of several
/// targets, every variant is checked, and what is between them.
///
/// @param artifact The artifact.
/// @param report Receives the report, which you own. It lists warnings: what Wasmtime 0.33 accepts although no program
///     writes it.
/// @return ARTIFACT_OK if the artifact is undamaged, a general status, or one of these:
///   - ARTIFACT_DIGEST_MISMATCH, ARTIFACT_CORRUPT, ARTIFACT_TRUNCATED, ARTIFACT_LIMIT: the artifact is damaged; the
///     error says where.
///   - ARTIFACT_WRONG_VERSION: the settings cannot be decoded.
///   - ARTIFACT_IO: the file cannot be read.
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

/// Returns the producer: the name of the program that compiled the artifact. Borrowed: valid until the artifact is
/// freed. NULL if artifact is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_producer(artifact: *const artifact_t) -> *const c_char {
    ffi!(infallible(std::ptr::null(), || {
        let artifact = handle(artifact, "artifact");
        artifact.and_then(|found| found.texts.get(found.artifact.producer().as_bytes())).unwrap_or(std::ptr::null())
    }))
}

/// Returns the version that the producer wrote: 0 to 255 bytes, which need not be text. Borrowed: valid until the
/// artifact is freed. Empty if artifact is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_producer_version(artifact: *const artifact_t) -> artifact_slice_t {
    ffi!(infallible(artifact_slice_t::EMPTY, || {
        let artifact = handle(artifact, "artifact");
        artifact.map_or(artifact_slice_t::EMPTY, |found| artifact_slice_t::of(found.artifact.version()))
    }))
}

/// Returns the artifact's length in bytes, including whatever follows its body; of a file of several targets, that of the
/// variant; 0 if artifact is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_file_len(artifact: *const artifact_t) -> u64 {
    ffi!(infallible(0, || { handle(artifact, "artifact").map_or(0, |found| found.artifact.len()) }))
}
