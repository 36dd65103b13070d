//! Replacing a file so that whoever opens the path at any moment sees the old one whole or the new one whole.

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

use super::{kind_of, shown};
use crate::error::{Error, Result, Status};

/// Whether a replaced file has reached the disk when the call returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// File and folder are synced: the new file survives a power failure.
    Yes,
    /// Left to the operating system: for caches.
    No,
}

/// For a file that only its owner may read.
pub const PRIVATE_MODE: u32 = 0o600;
/// For a file that everybody may read and write, as far as the umask lets them.
pub const PUBLIC_MODE: u32 = 0o666;

/// Takes the next pieces of a file.
pub type Sink<'s> = dyn FnMut(&[&[u8]]) -> Result<()> + 's;

/// Writes the pieces to a file that replaces `path`, as [`replace_with`].
///
/// # Errors
///
/// As [`replace_with`].
pub fn replace(path: &Path, pieces: &[&[u8]], sync: Sync) -> Result<()> {
    replace_with(path, sync, &mut |write| write(pieces))
}

/// Has `fill` write a fresh file in the same folder, and renames that over `path`. A symbolic link is followed, and what it
/// points at replaced. The new file has the replaced one's permission bits, or those that the umask leaves.
///
/// # Errors
///
/// IO; what `fill` returns; INVALID_ARGUMENT if the path is something other than a regular file. The path then still holds what
/// it held, and the temporary file is gone; only if the very last step, syncing the folder, fails, it already holds the new
/// file.
pub fn replace_with(path: &Path, sync: Sync, fill: &mut dyn FnMut(&mut Sink<'_>) -> Result<()>) -> Result<()> {
    let Target { path, folder, mode } = target(path)?;
    let failed = |what: &'static str| {
        let path = &path;
        move |error: io::Error| Error::io(format!("{what} {}", shown(path)), &error)
    };
    // Before anything is done: a folder that can't be opened can't be synced.
    let opened = match sync {
        Sync::Yes => Some(File::open(&folder).map_err(failed("opening the folder of"))?),
        Sync::No => None,
    };
    let mut temporary =
        fresh(&path, &folder, mode.unwrap_or(PUBLIC_MODE)).map_err(failed("making a temporary file beside"))?;
    if let Some(mode) = mode {
        let made = temporary.as_file().metadata().map_err(failed("looking up"))?.permissions().mode() & 0o777;
        if mode != made {
            // The umask has narrowed what `open` made.
            let permissions = Permissions::from_mode(mode);
            temporary.as_file().set_permissions(permissions).map_err(failed("setting the permissions of"))?;
        }
    }
    fill(&mut |pieces| write_all(temporary.as_file_mut(), pieces, sync).map_err(failed("writing")))?;
    if sync == Sync::Yes {
        temporary.as_file().sync_all().map_err(failed("syncing"))?;
    }
    temporary.persist(&path).map_err(|error| failed("replacing")(error.error))?;
    if let Some(folder) = opened {
        sync_folder(&folder).map_err(failed("syncing the folder of"))?;
    }
    Ok(())
}

/// Writes a new file, which the umask may make narrower than `mode`, and syncs it. It is there whole or not at all.
///
/// # Errors
///
/// IO; its errno is EEXIST if there is a file, which stays as it is.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let failed = |error: io::Error| Error::io(format!("creating {}", shown(path)), &error);
    let path = std::path::absolute(path).map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let opened = File::open(folder).map_err(failed)?;
    let mut temporary = fresh(&path, folder, mode).map_err(failed)?;
    temporary.as_file_mut().write_all(bytes).map_err(failed)?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist_noclobber(&path).map_err(|error| failed(error.error))?;
    sync_folder(&opened).map_err(failed)
}

struct Target {
    path: PathBuf,
    folder: PathBuf,
    /// The permission bits of the file that is there.
    mode: Option<u32>,
}

fn target(path: &Path) -> Result<Target> {
    let failed = |error: io::Error| Error::io(format!("looking up {}", shown(path)), &error);
    // Nothing is no failure.
    let look_up = |found: io::Result<fs::Metadata>| match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some).map_err(failed),
    };
    let there = look_up(fs::symlink_metadata(path))?;
    // Absolute, so that another thread's chdir can't part the temporary file from its target.
    let (path, there) = if there.as_ref().is_some_and(fs::Metadata::is_symlink) {
        let path = fs::canonicalize(path).map_err(failed)?;
        let there = look_up(fs::metadata(&path))?;
        (path, there)
    } else {
        (std::path::absolute(path).map_err(failed)?, there)
    };
    let mode = match there {
        Some(metadata) if !metadata.is_file() => {
            let found = kind_of(metadata.file_type());
            let message = format!("{}: expected a regular file or nothing, found {found}", shown(&path));
            return Err(Error::new(Status::InvalidArgument, message));
        }
        there => there.map(|metadata| metadata.permissions().mode() & 0o777),
    };
    if path.file_name().is_none() {
        let message = format!("path: expected a file's name, found {}", shown(&path));
        return Err(Error::new(Status::InvalidArgument, message));
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok(Target { path, folder, mode })
}

/// A fresh file in the folder, `.NAME.RANDOM.tmp`, which is gone again unless it is persisted.
fn fresh(path: &Path, folder: &Path, mode: u32) -> io::Result<NamedTempFile> {
    // File systems take names of 255 bytes.
    let name = path.file_name().unwrap_or_default().as_bytes();
    let name = OsStr::from_bytes(name.get(..200).unwrap_or(name));
    loop {
        // Not tempfile's own names: its generator leaves memory behind in each thread that valgrind calls possibly lost,
        // and its errors have lost their errno.
        let random = RandomState::new().build_hasher().finish();
        let mut fresh = OsString::from(".");
        fresh.push(name);
        fresh.push(format!(".{random:016x}.tmp"));
        let fresh = folder.join(fresh);
        match File::options().write(true).create_new(true).mode(mode).open(&fresh) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return Ok(NamedTempFile::from_parts(made?, TempPath::try_from_path(fresh)?)),
        }
    }
}

/// Bytes after which a disk may begin with them, while the next ones are hashed and copied: less would be cut into requests
/// smaller than disks like, and what is hashed last should find the disk at work.
const STRETCH: usize = 512 << 10;

/// Writes a file's next pieces, a stretch at a time where it is going to be synced.
fn write_all(file: &mut File, pieces: &[&[u8]], sync: Sync) -> io::Result<()> {
    let stretch = if sync == Sync::Yes { STRETCH } else { usize::MAX };
    let mut slices: Vec<IoSlice<'_>> = Vec::new();
    let mut len = 0;
    for slice in pieces.iter().flat_map(|piece| piece.chunks(stretch)) {
        slices.push(IoSlice::new(slice));
        len += slice.len();
        if len >= stretch {
            write_slices(file, &mut slices)?;
            start_writeback(file);
            slices.clear();
            len = 0;
        }
    }
    write_slices(file, &mut slices)
}

/// `writev` until all is out, interrupted or cut short as it may be.
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

/// Has the disk begin with what was written. It may fail: syncing the file does the rest, and reports what went wrong.
fn start_writeback(file: &File) {
    // SAFETY: the descriptor is open; the call changes nothing of this process's.
    unsafe { libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
}

fn sync_folder(folder: &File) -> io::Result<()> {
    match folder.sync_all() {
        // Some file systems can't sync folders and say so; their renames are as durable as they get.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP)) => Ok(()),
        done => done,
    }
}
