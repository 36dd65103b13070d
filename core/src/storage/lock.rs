//! Locks between processes: open-file-description locks on single bytes of a file. They end with the process that holds them, however
//! that ends, and nothing has to be cleaned up.
//!
//! Rejected: `flock`, which locks whole files, so that there would be one file for each key; `fcntl`'s other locks, which belong to the
//! process, so that they don't keep its threads apart, and are lost when any descriptor of the file is closed; waiting in the kernel
//! (`F_OFD_SETLKW`), which only a signal ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::OFlags;

use super::save::open_at;
use crate::fork::{self, Unshared};

/// A file whose bytes can be locked. A child of a fork doesn't have it: it would hold the locks longer than its parent.
#[derive(Debug)]
pub struct LockFile(Unshared);

/// A locked byte.
#[derive(Debug)]
pub struct Lock {
    file: LockFile,
    byte: u64,
}

impl LockFile {
    /// Opens the file `name`, or creates it with permission bits `mode`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(super) fn open(folder: BorrowedFd<'_>, name: &str, mode: u32) -> io::Result<LockFile> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let _hold = fork::hold(); // no child gets the descriptor before it is known to be one to close
        Ok(LockFile(Unshared::new(open_at(folder, name, flags, mode)?)))
    }

    /// Locks a byte unless somebody else, in this process or another, has locked it. Its number is below 2^31.
    ///
    /// # Errors
    ///
    /// The file, if the byte is locked; the system's error if the file system can't lock, or the file is one of the parent's.
    pub fn try_lock(self, byte: u64) -> io::Result<std::result::Result<Lock, LockFile>> {
        match self.set(libc::F_WRLCK, byte) {
            Ok(()) => Ok(Ok(Lock { file: self, byte })),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(Err(self)),
            Err(error) => Err(error),
        }
    }

    fn set(&self, kind: i32, byte: u64) -> io::Result<()> {
        let file = self.0.get().ok_or(io::ErrorKind::NotFound)?;
        // SAFETY: a struct of numbers, for which zeros are valid.
        let mut range: libc::flock = unsafe { std::mem::zeroed() };
        // The casts are lossless: small constants, and a number below 2^31.
        (range.l_type, range.l_whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
        (range.l_start, range.l_len) = ((byte & 0x7fff_ffff) as libc::off_t, 1);
        loop {
            // SAFETY: an open descriptor, and a struct that outlives the call.
            if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) } == 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing unlocks too, but not while a process that was started meanwhile has the descriptor until it executes.
        let _ = self.file.set(libc::F_UNLCK, self.byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_byte_is_locked_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = std::fs::File::open(folder.path()).unwrap();
        let open = || LockFile::open(folder.as_fd(), "lock", 0o600).unwrap();
        let first = open().try_lock(7).unwrap().unwrap();
        let waiting = open().try_lock(7).unwrap().unwrap_err();
        drop(open().try_lock(8).unwrap().unwrap());
        drop(first);
        drop(waiting.try_lock(7).unwrap().unwrap());
    }

    #[test]
    fn a_child_does_not_keep_a_lock() {
        let folder = tempfile::tempdir().unwrap();
        let folder = std::fs::File::open(folder.path()).unwrap();
        let open = || LockFile::open(folder.as_fd(), "lock", 0o600).unwrap();
        let (mut ready, mut go) = ([0; 2], [0; 2]);
        // SAFETY: arrays of two.
        unsafe { assert_eq!(libc::pipe(ready.as_mut_ptr()) | libc::pipe(go.as_mut_ptr()), 0) };
        let lock = open().try_lock(7).unwrap().unwrap();
        // SAFETY: the child drops its copy of the lock, and only reads and writes.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(lock); // does not unlock the parent's
            let mut byte = 0u8;
            // SAFETY: a pipe and a byte; ends the process.
            unsafe {
                libc::write(ready[1], (&raw const byte).cast(), 1);
                libc::read(go[0], (&raw mut byte).cast(), 1);
                libc::_exit(0);
            }
        }
        let mut byte = 0u8;
        // SAFETY: a pipe and a byte.
        assert_eq!(unsafe { libc::read(ready[0], (&raw mut byte).cast(), 1) }, 1);
        let waiting = open().try_lock(7).unwrap().unwrap_err();
        // As if this process died: the lock isn't unlocked, but its last descriptor here is closed.
        let Lock { file, .. } = &lock;
        // SAFETY: nothing uses the descriptor afterwards.
        unsafe { libc::close(file.0.get().unwrap().as_raw_fd()) };
        std::mem::forget(lock);
        drop(waiting.try_lock(7).unwrap().unwrap());
        // SAFETY: the pipe, the child, and a number to write to.
        unsafe {
            assert_eq!(libc::write(go[1], (&raw const byte).cast(), 1), 1);
            assert_eq!(libc::waitpid(child, &raw mut go[0], 0), child);
        }
    }
}
