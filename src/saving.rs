//! Saving: writing a builder's artifact to memory, to a file, or through a callback.

use std::ffi::{c_char, c_int, c_void};
use std::io;

use super::boundary::{fallible, ffi, give_handle, handle, known_flags, options, path};
use super::buffer::artifact_buffer_t;
use super::builder::artifact_builder_t;
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use artifact::error::{Error, Result, Status};
use artifact::storage::Sync;

/// How artifact_serialize_to_file() saves. Begin with ARTIFACT_SAVE_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_save_options_t {
    /// sizeof(artifact_save_options_t).
    pub size: usize,
    /// A combination of ARTIFACT_SAVE_ flags.
    pub flags: u64,
}

/// Writes the next piece of an artifact for artifact_serialize_to(). It must not unwind (throw), longjmp, or use the
/// builder.
///
/// @param context The context given to artifact_serialize_to().
/// @param data The bytes, valid only during the call.
/// @param len The number of bytes.
/// @return 0, or an errno, which ends the writing.
pub type artifact_write_fn = Option<unsafe extern "C" fn(context: *mut c_void, data: *const u8, len: usize) -> c_int>;

const ARTIFACT_SAVE_NO_SYNC: u64 = 1;

/// Writes the artifact to memory. The same input gives the same bytes.
///
/// @param builder The builder.
/// @param buffer Receives the artifact, a buffer that you own.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the builder has no module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_serialize(
    builder: *const artifact_builder_t,
    buffer: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(buffer, "buffer", error, || {
        handle(builder, "builder")?.builder.serialize().map(artifact_buffer_t::of)
    }))
}

/// Writes the artifact to a file, atomically: whoever opens path at any moment, even after a crash of the machine or on
/// a full disk, sees either the whole old file or the whole new one.
///
/// The bytes go to a new temporary file in the same folder, which is synced and renamed to path; then the folder is
/// synced, for which it must be readable: otherwise nothing is saved. After a failure, path has its old contents, and
/// the temporary file is removed. If only the last step, syncing the folder, fails, path already has the new contents.
/// A process that is killed while it saves may leave the temporary file, .NAME.RANDOM.tmp, which you can delete while
/// no process saves in that folder.
///
/// The new file has the permission bits of the file that it replaces, otherwise those that the umask allows; its owner
/// and group are those of the process. If the old file belongs to another user, group and others cannot write to the
/// new one.
///
/// @param builder The builder.
/// @param path The file to create or replace. A symbolic link is followed if it belongs to this user or to root.
/// @param options How to save; NULL: the defaults.
/// @return ARTIFACT_OK, a general status, or one of these:
///   - ARTIFACT_INVALID_ARGUMENT: the builder has no module, or path is a directory, device, FIFO or socket.
///   - ARTIFACT_IO: the file cannot be written, or path is a dangling symbolic link. With errno ELOOP, path is a symbolic
///     link of another user; with EFBIG, the file would exceed RLIMIT_FSIZE. SIGXFSZ is not delivered, whatever its
///     disposition is.
///   - ARTIFACT_DIGEST_MISMATCH, ARTIFACT_CORRUPT: see artifact_builder_new_from_artifact().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_serialize_to_file(
    builder: *const artifact_builder_t,
    path: *const c_char,
    options: *const artifact_save_options_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let builder = &handle(builder, "builder")?.builder;
        builder.serialize_to_file(self::path(path)?, read_options(options)?)
    }))
}

/// Reads how to save.
pub(super) unsafe fn read_options(options: *const artifact_save_options_t) -> Result<Sync> {
    let defaults = artifact_save_options_t { size: 0, flags: 0 };
    let flags = ffi!(self::options(options, defaults, "options"))?.flags;
    known_flags(flags, ARTIFACT_SAVE_NO_SYNC)?;
    Ok(if flags == 0 { Sync::Yes } else { Sync::No })
}

/// Writes the artifact through a callback, piece by piece, in order.
///
/// @param builder The builder.
/// @param write Called with each piece. If it returns a value other than 0, the writing ends.
/// @param context Passed to write; may be NULL.
/// @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if the builder has no module, or ARTIFACT_IO with
///     the errno that write returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_serialize_to(
    builder: *const artifact_builder_t,
    write: artifact_write_fn,
    context: *mut c_void,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let builder = &handle(builder, "builder")?.builder;
        builder.serialize_to(caller(write, context)?)
    }))
}

/// Returns a function that passes pieces to the caller's.
pub(super) unsafe fn caller(write: artifact_write_fn, context: *mut c_void) -> Result<impl FnMut(&[u8]) -> Result<()>> {
    let write = write.ok_or_else(|| Error::new(Status::InvalidArgument, "write: expected a function, found NULL"))?;
    Ok(move |piece: &[u8]| match piece.len() {
        0 => Ok(()),
        len => match ffi!(write(context, piece.as_ptr(), len)) {
            0 => Ok(()),
            errno => {
                let cause = io::Error::from_raw_os_error(errno);
                // ENOMEM would become NO_MEMORY, but it was the caller's write that failed.
                Err(Error::io("the caller's write function", &cause).with_status(Status::Io))
            }
        },
    })
}
