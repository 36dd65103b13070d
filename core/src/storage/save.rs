//! Atomic replacement of files: a process that opens the path at any moment gets either the whole old file or the whole new one.

use std::collections::hash_map::RandomState;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Permissions};
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IoSlice, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, Stat, fstat, linkat, openat, readlinkat, renameat,
    renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::geteuid;

use super::quote_path;
use crate::error::{Error, Result, Status};
use crate::threads::without_size_signal;

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
/// `path` is a symbolic link of this user or of root, its target is replaced. The new file gets the permission bits of the old
/// one, or the default ones under the umask if there was none. If the old file belongs to another user, only its owner may write
/// to the new one.
///
/// # Errors
///
/// IO, with errno ELOOP for a symbolic link of another user; any error of `fill`; INVALID_ARGUMENT if the path is something other
/// than a regular file. After an error `path` is unchanged and the temporary file is removed, except if the last step, syncing the
/// folder, fails: then `path` is already the new file.
pub fn replace_with(path: &Path, sync: Sync, fill: &mut dyn FnMut(&mut Sink<'_>) -> Result<()>) -> Result<()> {
    let failed = |what: &'static str| move |error: io::Error| Error::io(format!("{what} {}", quote_path(path)), &error);
    let Target { folder, name, mode } = find_target(path, sync)?;
    let mut temporary = Temporary::create(folder.as_fd(), &name, mode.unwrap_or(PUBLIC_MODE))
        .map_err(failed("making a temporary file beside"))?;
    if let Some(mode) = mode {
        let actual = temporary.file.metadata().map_err(failed("looking up"))?.permissions().mode() & 0o777;
        if mode != actual {
            // The umask has cleared some of the bits.
            let permissions = Permissions::from_mode(mode);
            temporary.file.set_permissions(permissions).map_err(failed("setting the permissions of"))?;
        }
    }
    fill(&mut |pieces| write_all(&mut temporary.file, pieces, sync).map_err(failed("writing")))?;
    if sync == Sync::Yes {
        temporary.file.sync_all().map_err(failed("syncing"))?;
    }
    temporary.replace(&name).map_err(failed("replacing"))?;
    if sync == Sync::Yes {
        sync_folder(folder).map_err(failed("syncing the folder of"))?;
    }
    Ok(())
}

/// Replaces the file `name` in an open folder atomically by one with permission bits `mode`, reduced by the umask. The folder isn't synced: after a power
/// failure it has the old file or the whole new one. Returns the new file, whatever has its name by now.
///
/// # Errors
///
/// IO; any error of `fill`. The old file is left unchanged, and the temporary file is removed.
pub(super) fn replace_at(
    folder: BorrowedFd<'_>,
    name: &str,
    mode: u32,
    sync: Sync,
    fill: &mut dyn FnMut(&mut Sink<'_>) -> Result<()>,
) -> Result<File> {
    let failed = |what: &'static str| move |error: io::Error| Error::io(what, &error);
    let name = OsStr::new(name);
    let mut temporary = Temporary::create(folder, name, mode).map_err(failed("making a temporary file"))?;
    let file = temporary.file.try_clone().map_err(failed("duplicating the descriptor"))?;
    fill(&mut |pieces| write_all(&mut temporary.file, pieces, sync).map_err(failed("writing")))?;
    if sync == Sync::Yes {
        temporary.file.sync_all().map_err(failed("syncing"))?;
    }
    let replaced = match temporary.rename(name) {
        // A folder is there. Unless it is empty, it stays.
        Err(error) if error.raw_os_error() == Some(libc::EISDIR) => {
            let _ = unlinkat(folder, name, AtFlags::REMOVEDIR);
            temporary.rename(name)
        }
        replaced => replaced,
    };
    replaced.map_err(failed("replacing the entry"))?;
    Ok(file)
}

/// Creates a file with permission bits `mode`, reduced by the umask, and syncs it. The file appears at `path` complete or not at
/// all.
///
/// # Errors
///
/// IO, with errno EEXIST if a file exists at `path`, which is left unchanged.
pub fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let failed = |error: io::Error| Error::io(format!("creating {}", quote_path(path)), &error);
    let name = path.file_name().ok_or_else(|| failed(Errno::EXIST.into()))?;
    let folder = open_folder(CWD, path, Sync::Yes).map_err(failed)?;
    let mut temporary = Temporary::create(folder.as_fd(), name, mode).map_err(failed)?;
    without_size_signal(|| temporary.file.write_all(bytes)).map_err(failed)?;
    temporary.file.sync_all().map_err(failed)?;
    temporary.persist_new(name).map_err(failed)?;
    sync_folder(folder).map_err(failed)
}

/// A folder that new files are written to. It stays the same folder if another user puts a link in its place.
#[doc(hidden)] // for the command line
#[derive(Debug)]
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens a folder. If the path is a symbolic link, it must be one of this user or of root.
    ///
    /// # Errors
    ///
    /// The system's; ELOOP for another user's link.
    pub fn open(path: &Path) -> io::Result<Folder> {
        // Without a slash at the end, which would follow a link.
        let path = path.components().as_path();
        let entry = open_at(CWD, path, OFlags::PATH | OFlags::NOFOLLOW, 0)?;
        let found = fstat(&entry)?;
        if !is_link(&found) {
            return Ok(Folder(open_at(entry.as_fd(), ".", OFlags::DIRECTORY, 0)?));
        }
        if !may_follow(&found) {
            return Err(Errno::LOOP.into());
        }
        Ok(Folder(open_at(CWD, path, OFlags::DIRECTORY, 0)?))
    }

    /// Returns whether the folder has no entries.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn is_empty(&self) -> io::Result<bool> {
        for entry in Dir::read_from(&self.0)? {
            if ![&b"."[..], b".."].contains(&entry?.file_name().to_bytes()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes a file that must not exist yet, not even as a symbolic link. After an error the file is removed.
    ///
    /// # Errors
    ///
    /// The system's, EEXIST among them.
    pub fn add(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mut file = File::from(open_at(self.0.as_fd(), name, flags, PUBLIC_MODE)?);
        let written = without_size_signal(|| file.write_all(bytes));
        if written.is_err() {
            // The first error says more than one of removing.
            let _ = unlinkat(&self.0, name, AtFlags::empty());
        }
        written
    }
}

/// Where a file is to be written.
struct Target {
    folder: OwnedFd,
    name: OsString,
    /// Permission bits for the new file if it replaces one.
    mode: Option<u32>,
}

/// The number of symbolic links that are followed, as by the kernel.
const MAX_LINKS: usize = 40;

/// Opens the folder of a path, after following symbolic links. From then on all is relative to that folder: neither a chdir in
/// another thread nor links that another user puts on the way can separate the temporary file from its target. A path that the
/// kernel takes can't become too long either.
fn find_target(path: &Path, sync: Sync) -> Result<Target> {
    let failed = |what: &'static str| {
        move |error: Errno| Error::io(format!("{what} {}", quote_path(path)), &io::Error::from(error))
    };
    let (mut base, mut rest) = (None::<OwnedFd>, path.to_owned());
    for _ in 0..=MAX_LINKS {
        let at = base.as_ref().map_or(CWD, AsFd::as_fd);
        let Some(name) = file_name(&rest) else {
            let found = retry_on_intr(|| statat(at, &rest, AtFlags::empty()));
            let found = found.map_err(failed("looking up"))?;
            check_regular(path, &found)?;
            return Err(failed("looking up")(Errno::NOTDIR));
        };
        // Opened first: if that fails, syncing it would fail after the file was already replaced.
        let folder = open_folder(at, &rest, sync)
            .map_err(|error| Error::io(format!("opening the folder of {}", quote_path(path)), &error))?;
        // One descriptor for the owner and the target of a link: between two look-ups another user could exchange it.
        let entry = match open_at(folder.as_fd(), name, OFlags::PATH | OFlags::NOFOLLOW, 0) {
            Err(Errno::NOENT) if base.is_none() => return Ok(Target { folder, name: name.to_owned(), mode: None }),
            entry => entry.map_err(failed("looking up"))?,
        };
        let found = fstat(&entry).map_err(failed("looking up"))?;
        if !is_link(&found) {
            check_regular(path, &found)?;
            let shared = if found.st_uid == geteuid().as_raw() { 0o777 } else { 0o755 };
            return Ok(Target { folder, name: name.to_owned(), mode: Some(found.st_mode & shared) });
        }
        if !may_follow(&found) {
            let message = format!("following {}, a symbolic link of user {}", quote_path(path), found.st_uid);
            return Err(Error::io(message, &Errno::LOOP.into()));
        }
        let link = readlinkat(&entry, "", Vec::new()).map_err(failed("looking up"))?;
        rest = PathBuf::from(OsString::from_vec(link.into_bytes()));
        base = Some(folder);
    }
    Err(failed("looking up")(Errno::LOOP))
}

fn is_link(found: &Stat) -> bool {
    FileType::from_raw_mode(found.st_mode).is_symlink()
}

/// Whether a symbolic link is this user's or root's. Another user could have put it into a shared folder.
fn may_follow(link: &Stat) -> bool {
    [geteuid().as_raw(), 0].contains(&link.st_uid)
}

/// The last component of a path, unless that can only be a folder.
fn file_name(path: &Path) -> Option<&OsStr> {
    let bytes = path.as_os_str().as_bytes();
    path.file_name().filter(|_| !bytes.ends_with(b"/") && !bytes.ends_with(b"/."))
}

fn check_regular(path: &Path, found: &Stat) -> Result<()> {
    if FileType::from_raw_mode(found.st_mode).is_file() {
        return Ok(());
    }
    let message = format!("{}: expected a regular file or no file, found {}", quote_path(path), file_type(found));
    Err(Error::new(Status::InvalidArgument, message))
}

/// Returns what something is that isn't a regular file.
pub(super) fn file_type(found: &Stat) -> &'static str {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::Directory => "a directory",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        _ => "something else",
    }
}

pub(super) fn open_at(
    at: BorrowedFd<'_>,
    path: impl AsRef<OsStr>,
    flags: OFlags,
    mode: u32,
) -> rustix::io::Result<OwnedFd> {
    let path = path.as_ref();
    retry_on_intr(|| openat(at, path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(mode)))
}

/// Opens the folder that a path's file is in. Only one that is going to be synced has to be readable.
pub(super) fn open_folder(at: BorrowedFd<'_>, path: &Path, sync: Sync) -> io::Result<OwnedFd> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let access = if sync == Sync::Yes { OFlags::RDONLY } else { OFlags::PATH };
    Ok(open_at(at, folder, access | OFlags::DIRECTORY, 0)?)
}

/// A temporary file `.NAME.RANDOM.tmp`. It is removed on drop unless it got its name.
struct Temporary<'f> {
    folder: BorrowedFd<'f>,
    name: OsString,
    file: File,
    is_named: bool,
}

/// Up to this length, a temporary file's name has all of its target's. No file system in use has a lower limit.
const MAX_TEMPORARY_NAME: usize = 128;

/// What [`Temporary::create`] adds to a name in bytes.
const AFFIXES: usize = 22;

/// Returns the name in the name of a temporary file; none for other files.
#[must_use]
pub fn temporary_of(name: &[u8]) -> Option<&[u8]> {
    let (target, random) = name.strip_prefix(b".")?.strip_suffix(b".tmp")?.split_last_chunk::<17>()?;
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    random.strip_prefix(b".")?.iter().all(is_digit).then_some(target)
}

impl<'f> Temporary<'f> {
    fn create(folder: BorrowedFd<'f>, name: &OsStr, mode: u32) -> io::Result<Temporary<'f>> {
        // Not longer than the target's name, which the file system takes.
        let name = name.as_bytes();
        let mut len = name.len().min(MAX_TEMPORARY_NAME.max(name.len()) - AFFIXES);
        while name.get(len).is_some_and(|byte| byte & 0xc0 == 0x80) {
            len -= 1; // file systems may insist on UTF-8
        }
        let prefix = OsStr::from_bytes(name.get(..len).unwrap_or(name));
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        loop {
            let random = RandomState::new().build_hasher().finish();
            let mut name = OsString::from(".");
            name.push(prefix);
            name.push(format!(".{random:016x}.tmp"));
            match open_at(folder, &name, flags, mode) {
                Err(Errno::EXIST) => {}
                made => return Ok(Temporary { folder, name, file: made?.into(), is_named: false }),
            }
        }
    }

    /// Gives the file its name, in place of the file that has it.
    fn replace(mut self, name: &OsStr) -> io::Result<()> {
        self.rename(name)
    }

    fn rename(&mut self, name: &OsStr) -> io::Result<()> {
        renameat(self.folder, &self.name, self.folder, name)?;
        self.is_named = true;
        Ok(())
    }

    /// Gives the file its name unless one has it already.
    fn persist_new(mut self, name: &OsStr) -> io::Result<()> {
        match renameat_with(self.folder, &self.name, self.folder, name, RenameFlags::NOREPLACE) {
            // Not every kernel and file system can. A second name it is then; the first one is removed.
            Err(Errno::INVAL | Errno::NOSYS) => linkat(self.folder, &self.name, self.folder, name, AtFlags::empty())?,
            done => {
                done?;
                self.is_named = true;
            }
        }
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_named {
            // After an error, which is reported; one of removing says nothing more.
            let _ = unlinkat(self.folder, &self.name, AtFlags::empty());
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
        match without_size_signal(|| file.write_vectored(rest)) {
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

fn sync_folder(folder: OwnedFd) -> io::Result<()> {
    match File::from(folder).sync_all() {
        // Some file systems do not support syncing folders and return one of these; nothing more can be done there.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOTSUP)) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_planted_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, parts) = (folder.path().join("victim"), folder.path().join("parts"));
        fs::write(&victim, "old").unwrap();
        fs::create_dir(&parts).unwrap();
        let opened = Folder::open(&parts).unwrap();
        assert!(opened.is_empty().unwrap());
        std::os::unix::fs::symlink(&victim, parts.join("module-0.elf")).unwrap();
        assert!(!opened.is_empty().unwrap());
        assert_eq!(opened.add("module-0.elf", b"new").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&victim).unwrap(), b"old");
        // A link in place of the folder leads nowhere else either.
        fs::rename(&parts, folder.path().join("moved")).unwrap();
        std::os::unix::fs::symlink(folder.path(), &parts).unwrap();
        opened.add("module-1.elf", b"new").unwrap();
        assert_eq!(fs::read(folder.path().join("moved/module-1.elf")).unwrap(), b"new");
        assert_eq!(create(&parts.join("victim"), b"new", PUBLIC_MODE).unwrap_err().errno(), libc::EEXIST);
        assert_eq!(fs::read(&victim).unwrap(), b"old");
    }
}
