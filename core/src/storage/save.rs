//! Atomic replacement of files: a process that opens the path at any moment gets either the whole old file or the whole new one.

use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IoSlice, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::{file_type_name, quote_path};
use crate::error::{Error, Result, Status};

/// Whether a new file has reached the disk when the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// Sync file and folder, so that the new file survives a power failure.
    Yes,
    /// Leave writing to the operating system, as suits a cache.
    No,
}

/// Permission bits for a file that only its owner may read.
pub const PRIVATE_MODE: u32 = 0o600;
/// Permission bits for a file that everyone may read and write, before the umask is applied.
pub const PUBLIC_MODE: u32 = 0o666;

/// A function that receives the next pieces of a file.
pub type Sink<'s> = dyn FnMut(&[&[u8]]) -> Result<()> + 's;

/// Replaces the file at `path` by the concatenation of `pieces`. See [`replace_with`].
///
/// # Errors
///
/// As [`replace_with`].
pub fn replace(path: &Path, pieces: &[&[u8]], sync: Sync) -> Result<()> {
    replace_with(path, sync, &mut |write| write(pieces))
}

/// Replaces the file at `path` atomically: `fill` writes a temporary file in the same folder, which is then renamed to `path`. If
/// `path` is a symbolic link, its target is replaced. The new file gets the permission bits of the old one, or the default ones
/// under the umask if there was none.
///
/// # Errors
///
/// IO; any error of `fill`; INVALID_ARGUMENT if the path is something other than a regular file. After an error `path` is
/// unchanged and the temporary file is removed, except if the last step, syncing the folder, fails: then `path` is already the
/// new file.
pub fn replace_with(path: &Path, sync: Sync, fill: &mut dyn FnMut(&mut Sink<'_>) -> Result<()>) -> Result<()> {
    let Target { path, folder, mode } = resolve_target(path)?;
    let failed = |what: &'static str| {
        let path = &path;
        move |error: io::Error| Error::io(format!("{what} {}", quote_path(path)), &error)
    };
    // Open the folder first: if that fails, syncing it would fail after the file was already replaced.
    let folder_handle = match sync {
        Sync::Yes => Some(File::open(&folder).map_err(failed("opening the folder of"))?),
        Sync::No => None,
    };
    let mut temporary = create_temporary(&path, &folder, mode.unwrap_or(PUBLIC_MODE))
        .map_err(failed("making a temporary file beside"))?;
    if let Some(mode) = mode {
        let actual = temporary.as_file().metadata().map_err(failed("looking up"))?.permissions().mode() & 0o777;
        if mode != actual {
            // The umask has cleared some of the bits.
            let permissions = Permissions::from_mode(mode);
            temporary.as_file().set_permissions(permissions).map_err(failed("setting the permissions of"))?;
        }
    }
    fill(&mut |pieces| write_all(temporary.as_file_mut(), pieces, sync).map_err(failed("writing")))?;
    if sync == Sync::Yes {
        temporary.as_file().sync_all().map_err(failed("syncing"))?;
    }
    temporary.persist(&path).map_err(|error| failed("replacing")(error.error))?;
    if let Some(folder) = folder_handle {
        sync_folder(&folder).map_err(failed("syncing the folder of"))?;
    }
    Ok(())
}

/// Creates a file with permission bits `mode`, reduced by the umask, and syncs it. The file appears at `path` complete or not at
/// all.
///
/// # Errors
///
/// IO, with errno EEXIST if a file exists at `path`, which is left unchanged.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let failed = |error: io::Error| Error::io(format!("creating {}", quote_path(path)), &error);
    let path = std::path::absolute(path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let folder_handle = File::open(folder).map_err(failed)?;
    let mut temporary = create_temporary(&path, folder, mode).map_err(failed)?;
    temporary.as_file_mut().write_all(bytes).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist_noclobber(&path).map_err(|error| failed(error.error))?;
    sync_folder(&folder_handle).map_err(failed)
}

struct Target {
    path: PathBuf,
    folder: PathBuf,
    /// Permission bits of the existing file, if there is one.
    mode: Option<u32>,
}

fn resolve_target(path: &Path) -> Result<Target> {
    let failed = |error: io::Error| Error::io(format!("looking up {}", quote_path(path)), &error);
    // A missing file is not an error.
    let look_up = |found: io::Result<fs::Metadata>| match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(failed),
    };
    let existing = look_up(fs::symlink_metadata(path))?;
    // An absolute path, so that a chdir in another thread can't separate the temporary file from its target.
    let (path, existing) = if existing.as_ref().is_some_and(fs::Metadata::is_symlink) {
        let path = fs::canonicalize(path).map_err(failed)?;
        let existing = look_up(fs::metadata(&path))?;
        (path, existing)
    } else {
        (std::path::absolute(path).map_err(failed)?, existing)
    };
    let mode = match existing {
        Some(metadata) if !metadata.is_file() => {
            let found = file_type_name(metadata.file_type());
            let message = format!("{}: expected a regular file or no file, found {found}", quote_path(&path));
            return Err(Error::new(Status::InvalidArgument, message));
        }
        existing => existing.map(|metadata| metadata.permissions().mode() & 0o777),
    };
    if path.file_name().is_none() {
        let message = format!("path: expected a file's name, found {}", quote_path(&path));
        return Err(Error::new(Status::InvalidArgument, message));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok(Target { path, folder, mode })
}

/// Creates a temporary file `.NAME.RANDOM.tmp` in the folder. It is removed on drop unless it is persisted.
fn create_temporary(path: &Path, folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    // File names are limited to 255 bytes.
    let name = path.file_name().unwrap_or_default().as_bytes();
    let name = OsStr::from_bytes(name.get(..200).unwrap_or(name));
    loop {
        // tempfile's own name generator is not used: valgrind reports its per-thread memory as possibly lost, and its
        // errors carry no errno.
        let random = RandomState::new().build_hasher().finish();
        let mut candidate = OsString::from(".");
        candidate.push(name);
        candidate.push(format!(".{random:016x}.tmp"));
        let candidate = folder.join(candidate);
        match File::options().write(true).create_new(true).mode(mode).open(&candidate) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return Ok(NamedTempFile::from_parts(made?, TempPath::try_from_path(candidate)?)),
        }
    }
}

/// Number of bytes after which writeback is started, so that the disk works while the next bytes are hashed and copied. Smaller
/// chunks would mean small disk requests; larger ones would leave the disk idle for longer.
const WRITEBACK_CHUNK: usize = 512 << 10;

/// Writes the next pieces of a file. If the file is going to be synced, writeback is started after each chunk.
fn write_all(file: &mut File, pieces: &[&[u8]], sync: Sync) -> io::Result<()> {
    let chunk_size = if sync == Sync::Yes { WRITEBACK_CHUNK } else { usize::MAX };
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    let mut len = 0;
    for slice in pieces.iter().flat_map(|piece| piece.chunks(chunk_size)) {
        slices.push(IoSlice::new(slice));
        len += slice.len();
        if len >= chunk_size {
            write_slices(file, &mut slices)?;
            start_writeback(file);
            slices.clear();
            len = 0;
        }
    }
    write_slices(file, &mut slices)
}

/// Calls `writev` until everything is written, after interruptions and short writes too.
fn write_slices(file: &mut File, mut rest: &mut [IoSlice<'_>]) -> io::Result<()> {
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Starts writing dirty pages to disk. Failure is ignored: syncing the file later writes the rest and reports errors.
fn start_writeback(file: &File) {
    // SAFETY: `file` keeps the descriptor open during the call, and the call does not access this process's memory.
    unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

fn sync_folder(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        // Some file systems do not support syncing folders and return one of these; nothing more can be done there.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP)) => Ok(()),
        done => done,
    }
}
