//! The folder of a cache: files in 256 subfolders. Everything in it is opened relative to the folder, and no link in it is followed.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_NOW, fstat, fstatfs,
    futimens, mkdirat, openat2, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::geteuid;

use super::lock::LockFile;
use super::quote_path;
use super::save::{Sink, Sync, file_type, open_at, open_folder, replace_at, temporary_of};
use crate::error::{Error, Result, Status};
use crate::limits::MAX_FOLDER_DEPTH;

const LOCK: &str = "lock";
/// What tells backup programs to leave the folder out (<https://bford.info/cachedir/>).
const TAG: (&str, &[u8]) = (
    "CACHEDIR.TAG",
    b"Signature: 8a477f597d28d172789f06886806bc55\n# A cache of compiled code, made by libartifact. It can be deleted.\n",
);
const PRIVATE_FOLDER: u32 = 0o700;
/// Permission bits for an entry, as far as the folder has them.
const ENTRY_MODE: u32 = 0o644;
/// The size of the blocks that files are counted in.
const BLOCK: u64 = 4 << 10;

/// File systems that other machines or programs change, by the numbers in statfs(2): a mapping of their files can end in SIGBUS.
const REMOTE_FILE_SYSTEMS: [u32; 15] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xfe53_4d42, // SMB2
    0xff53_4d42, // CIFS
    0x6573_5546, // FUSE
    0x0102_1997, // 9P
    0x5346_414f, // AFS
    0x00c3_6400, // Ceph
    0x7375_7245, // Coda
    0x0bd0_0bd0, // Lustre
    0x4750_4653, // GPFS
    0x7461_636f, // OCFS2
    0x0116_1970, // GFS2
    0x786f_4256, // VirtualBox's shared folders
    0x00c0_ffee, // the host's, in user-mode Linux
];

/// The number of files and their size in bytes, each counted in full blocks of 4 KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// The size.
    pub bytes: u64,
    /// The number.
    pub entries: u64,
}

/// A file of a tree.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'n> {
    /// Its name in its subfolder.
    pub name: &'n [u8],
    /// Its length in full blocks, in bytes.
    pub size: u64,
    /// When it was last written or used, in seconds since 1970.
    pub used: i64,
    /// And the nanoseconds.
    pub nanos: u32,
    /// Whether somebody is writing it, or was when he died.
    pub is_temporary: bool,
}

/// The folder of a cache.
#[derive(Debug)]
pub struct Tree {
    path: PathBuf,
    root: OwnedFd,
    entries: OwnedFd,
    /// The folder's permission bits, which what is made in it has, too: by default, only this user can read it.
    mode: u32,
    /// Who may own what is found, in addition to root; none: anybody, since signatures are checked.
    owner: Option<u32>,
    is_remote: bool,
    is_writable: bool,
}

impl Tree {
    /// The subfolder with the entries in their current layout.
    pub const ENTRIES: &str = "v1";

    /// Opens a folder, and creates it with mode 0700 if `create` is set. If `private` is set, it is refused if anybody but root and
    /// this user can write to it or replace it.
    ///
    /// # Errors
    ///
    /// IO; UNTRUSTED for a folder that is refused.
    pub fn open(path: &Path, create: bool, private: bool) -> Result<Tree> {
        let failed = |error: io::Error| Error::io(format!("opening {}", quote_path(path)), &error);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let root = match open_at(CWD, path, flags, 0) {
            Err(Errno::NOENT) if create => {
                DirBuilder::new().recursive(true).mode(PRIVATE_FOLDER).create(path).map_err(failed)?;
                open_at(CWD, path, flags, 0)
            }
            root => root,
        };
        let root = root.map_err(|error| failed(error.into()))?;
        let mode = fstat(&root).map_err(|error| failed(error.into()))?.st_mode & 0o777;
        let owner = private.then(|| geteuid().as_raw());
        if let Some(owner) = owner {
            check_folder(&root, path, owner)?;
        }
        if create {
            write_tag(root.as_fd(), mode & ENTRY_MODE);
            let _ = mkdirat(&root, Tree::ENTRIES, Mode::from_raw_mode(mode)); // opening it says more
        }
        let entries = open_at(root.as_fd(), Tree::ENTRIES, flags | OFlags::NOFOLLOW, 0);
        let entries = entries.map_err(|error| failed(error.into()).within(Tree::ENTRIES))?;
        if let Some(owner) = owner {
            let found = fstat(&entries).map_err(|error| failed(error.into()))?;
            check_owner(&found, owner).map_err(|error| error.within(quote_path(&path.join(Tree::ENTRIES))))?;
        }
        let is_remote = is_remote(entries.as_fd());
        Ok(Tree { path: path.join(Tree::ENTRIES), root, entries, mode, owner, is_remote, is_writable: create })
    }

    /// Returns the path of a file, for messages.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Returns whether other machines or programs may change files that are mapped.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.is_remote
    }

    /// Returns whether the folder was deleted, by another machine too.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        fstat(&self.entries).map_or_else(|error| error == Errno::STALE, |found| found.st_nlink == 0)
    }

    /// Returns whether the tree was opened for writing.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Opens the file `SUBFOLDER/NAME` for reading. Returns its length in bytes, and when it was last used, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// IO; INVALID_ARGUMENT for anything but a regular file; UNTRUSTED for a file that others have put there or can write to.
    pub fn open_file(&self, name: &str) -> Result<(File, u64, i64)> {
        let failed = |error: Errno| Error::io("opening the entry", &error.into());
        let file = self.open_nofollow(name).map_err(failed)?;
        let found = fstat(&file).map_err(failed)?;
        if !FileType::from_raw_mode(found.st_mode).is_file() {
            let message = format!("expected a regular file, found {}", file_type(&found));
            return Err(Error::new(Status::InvalidArgument, message));
        }
        if let Some(owner) = self.owner {
            check_owner(&found, owner)?;
        }
        Ok((file.into(), found.st_size as u64, found.st_mtime as i64))
    }

    fn open_nofollow(&self, name: &str) -> rustix::io::Result<OwnedFd> {
        static UNKNOWN: AtomicBool = AtomicBool::new(false);
        // O_NONBLOCK keeps the call from waiting for the other end of a FIFO.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !UNKNOWN.load(Relaxed) {
            let open = || openat2(&self.entries, name, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
            match retry_on_intr(open) {
                // Linux before 5.6, and sandboxes that don't know the call.
                Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => UNKNOWN.store(true, Relaxed),
                opened => return opened,
            }
        }
        let (folder, name) = split(name);
        open_at(self.subfolder(folder)?.as_fd(), name, flags, 0)
    }

    fn subfolder(&self, name: &str) -> rustix::io::Result<OwnedFd> {
        open_at(self.entries.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW, 0)
    }

    /// Replaces or creates the file `SUBFOLDER/NAME` atomically. With [`Sync::Yes`] its bytes have reached the disk before it has its
    /// name. Returns the new file, whatever has its name by now.
    ///
    /// # Errors
    ///
    /// IO; any error of `fill`.
    pub fn replace(&self, name: &str, sync: Sync, fill: &mut dyn FnMut(&mut Sink<'_>) -> Result<()>) -> Result<File> {
        let failed = |error: Errno| Error::io("opening the subfolder", &error.into());
        let (folder, file) = split(name);
        let make = || mkdirat(&self.entries, folder, Mode::from_raw_mode(self.mode));
        let mode = self.mode & ENTRY_MODE;
        let made = match self.subfolder(folder) {
            Err(Errno::NOENT) => make(),
            // A file or a link is there.
            Err(Errno::NOTDIR | Errno::LOOP) => unlinkat(&self.entries, folder, AtFlags::empty()).and_then(|()| make()),
            opened => return replace_at(opened.map_err(failed)?.as_fd(), file, mode, sync, fill),
        };
        match made {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(Error::io("making the subfolder", &error.into())),
        }
        replace_at(self.subfolder(folder).map_err(failed)?.as_fd(), file, mode, sync, fill)
    }

    /// Removes the file `SUBFOLDER/NAME`, unless it was used at another time than `used` if that is given. Returns whether it did.
    ///
    /// # Errors
    ///
    /// IO.
    pub fn remove(&self, name: &str, used: Option<i64>) -> Result<bool> {
        let (folder, file) = split(name);
        let remove = |folder: OwnedFd| {
            if let Some(used) = used
                && statat(&folder, file, AtFlags::SYMLINK_NOFOLLOW)?.st_mtime as i64 != used
            {
                return Ok(false);
            }
            unlinkat(folder, file, AtFlags::empty()).map(|()| true)
        };
        match self.subfolder(folder).and_then(remove) {
            Ok(removed) => Ok(removed),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(Error::io("removing the entry", &error.into())),
        }
    }

    /// Passes the files of a subfolder to `each`: those whose names `select` returns true for, as only these are looked up. Ends with
    /// the first error of either.
    ///
    /// # Errors
    ///
    /// IO; the error of `select` or `each`.
    pub fn list(
        &self,
        folder: &str,
        select: &mut dyn FnMut(&[u8]) -> Result<bool>,
        each: &mut dyn FnMut(Listed<'_>) -> Result<()>,
    ) -> Result<()> {
        let failed = |error: Errno| Error::io("reading the subfolder", &error.into());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let folder = match open_at(self.entries.as_fd(), folder, flags, 0) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE) => return Ok(()),
            folder => folder.map_err(failed)?,
        };
        for entry in Dir::read_from(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if !select(name.to_bytes())? {
                continue;
            }
            let found = match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) if FileType::from_raw_mode(found.st_mode).is_file() => found,
                _ => continue, // removed meanwhile, or nothing of ours
            };
            let name = name.to_bytes();
            let size = (found.st_size as u64).saturating_add(BLOCK - 1) / BLOCK * BLOCK;
            let (used, nanos) = (found.st_mtime as i64, found.st_mtime_nsec as u32); // below a billion
            each(Listed { name, size, used, nanos, is_temporary: temporary_of(name).is_some() })?;
        }
        Ok(())
    }

    /// Opens the file for locks between the users of the folder. Nobody can open it who can't write to the folder: whoever reads a file
    /// can lock it, and keep the others waiting.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn lock_file(&self) -> io::Result<LockFile> {
        let writers = self.mode & 0o222;
        LockFile::open(self.root.as_fd(), LOCK, writers | writers << 1)
    }
}

/// Sets the time when a file was last used to now, if it may be.
pub fn touch(file: &File) {
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let _ = futimens(file, &Timestamps { last_access: now, last_modification: now });
}

/// Returns subfolder and name. All names come from this library, and have two digits and a slash before them.
fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or((".", name))
}

fn write_tag(root: BorrowedFd<'_>, mode: u32) {
    let (name, content) = TAG;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    if let Ok(file) = open_at(root, name, flags, mode) {
        // Without it, backups are larger.
        let _ = rustix::io::write(file, content);
    }
}

/// Returns whether other machines or programs may change an open file or folder.
pub fn is_remote(file: BorrowedFd<'_>) -> bool {
    fstatfs(file).is_ok_and(|found| REMOTE_FILE_SYSTEMS.contains(&(found.f_type as u32)))
}

/// Checks that nobody but root and this user can write to the open file at `path`, or replace it.
///
/// # Errors
///
/// UNTRUSTED; IO.
pub fn check_private(file: BorrowedFd<'_>, path: &Path) -> Result<()> {
    let failed = |error: Errno| Error::io(format!("looking up {}", quote_path(path)), &error.into());
    let user = geteuid().as_raw();
    check_owner(&fstat(file).map_err(failed)?, user).map_err(|error| error.within(quote_path(path)))?;
    let folder = open_folder(CWD, path, Sync::No)
        .map_err(|error| Error::io(format!("opening the folder of {}", quote_path(path)), &error))?;
    check_folder(&folder, path, user)
}

/// Checks that nobody but root and `user` owns a file or folder, or can write to it.
fn check_owner(found: &Stat, user: u32) -> Result<()> {
    check_access(found.st_uid, found.st_mode, user)
}

fn check_access(owner: u32, mode: u32, user: u32) -> Result<()> {
    let what = if ![0, user].contains(&owner) {
        format!("belongs to user {owner}")
    } else if mode & 0o022 != 0 {
        format!("has mode {:04o}", mode & 0o7777)
    } else {
        return Ok(());
    };
    let message = format!("expected something that only root and user {user} can write to, found that it {what}");
    Err(Error::new(Status::Untrusted, message))
}

/// Checks that nobody but root and `user` can write to a folder, or replace it or a folder that it is in.
fn check_folder(folder: &OwnedFd, path: &Path, user: u32) -> Result<()> {
    let failed = |error: Errno| Error::io(format!("looking up {}", quote_path(path)), &error.into());
    let mut found = fstat(folder).map_err(failed)?;
    check_owner(&found, user).map_err(|error| error.within(quote_path(path)))?;
    let mut child = open_at(folder.as_fd(), ".", OFlags::PATH | OFlags::DIRECTORY, 0).map_err(failed)?;
    for level in 1..=MAX_FOLDER_DEPTH {
        let parent = open_at(child.as_fd(), "..", OFlags::PATH | OFlags::DIRECTORY, 0).map_err(failed)?;
        let above = fstat(&parent).map_err(failed)?;
        if (above.st_dev, above.st_ino) == (found.st_dev, found.st_ino) {
            return Ok(());
        }
        // In a sticky folder, only the owner of a file can rename it, and all below are root's or this user's.
        let mode = if above.st_mode & 0o1000 != 0 { above.st_mode & !0o022 } else { above.st_mode };
        check_access(above.st_uid, mode, user)
            .map_err(|error| error.within(format_args!("{}, {level} folders up", quote_path(path))))?;
        (child, found) = (parent, above);
    }
    let message = format!("{}: expected at most {MAX_FOLDER_DEPTH} folders above, found more", quote_path(path));
    Err(Error::new(Status::Limit, message))
}
