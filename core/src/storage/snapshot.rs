//! Immutable private copies in sealed memfds, which not even this process can change.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use rustix::fs::{
    AtFlags, MemfdFlags, SealFlags, StatVfsMountFlags, StatxAttributes, StatxFlags, fcntl_add_seals, fcntl_get_seals,
    fstatvfs, memfd_create, statx,
};

use super::{Backing, Region};
use crate::alloc;
use crate::error::{Error, Result};

/// Number of bytes copied at a time.
const COPY_CHUNK: u64 = 1 << 20;

impl Region {
    /// Copies the region into a memfd sealed against writing, growing and shrinking, so that later changes of the file have no
    /// effect. A file that is already a sealed memfd or under fs-verity can't change and is not copied.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED if the file becomes shorter during the copy, NO_MEMORY.
    pub fn snapshot(self) -> Result<Region> {
        if matches!(self.backing, Backing::File(..)) && self.is_immutable() {
            return Ok(self);
        }
        let mut copy = new_memfd()?;
        let mut buffer = alloc::zeroed(self.len.min(COPY_CHUNK) as usize, "a private copy")?;
        let mut offset = 0;
        while offset < self.len {
            let chunk = buffer.get_mut(..(self.len - offset).min(COPY_CHUNK) as usize).unwrap_or_default();
            self.read_at(offset, chunk)?;
            copy.write_all(chunk).map_err(|error| Error::io("writing a private copy", &error))?;
            offset += chunk.len() as u64;
        }
        seal(&copy)?;
        let noexec = self.noexec();
        Ok(Region { backing: Backing::File(copy, OnceLock::new()), base: self.base, start: 0, len: self.len, noexec })
    }

    /// Returns whether only this library can change the bytes from now on: they are in its own memory, in a sealed memfd, or under
    /// fs-verity. Call this before reading the first byte: a file that became immutable later may have changed in between.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        match &self.backing {
            Backing::File(file, _) => is_immutable_file(file.as_fd()),
            Backing::Owned(_) => true,
            Backing::Borrowed(_) => false,
        }
    }
}

/// Writes the concatenation of `pieces` to a new sealed memfd.
///
/// # Errors
///
/// IO, NO_MEMORY.
pub fn sealed(pieces: &[&[u8]]) -> Result<File> {
    let mut copy = new_memfd()?;
    for locate in pieces {
        copy.write_all(locate).map_err(|error| Error::io("writing a private copy", &error))?;
    }
    seal(&copy)?;
    Ok(copy)
}

fn new_memfd() -> Result<File> {
    let made = memfd_create("artifact", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    made.map(File::from).map_err(|error| Error::io("making a private copy", &error.into()))
}

fn seal(copy: &File) -> Result<()> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(copy, seals).map_err(|error| Error::io("sealing a private copy", &error.into()))
}

/// Returns whether the file lies on a file system mounted with noexec.
pub(super) fn noexec(file: BorrowedFd<'_>) -> bool {
    fstatvfs(file).is_ok_and(|status| status.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// Returns whether the file's bytes can't change: it is a sealed memfd or under fs-verity.
fn is_immutable_file(file: BorrowedFd<'_>) -> bool {
    let sealed = fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::WRITE | SealFlags::SHRINK));
    sealed
        || statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::empty())
            .is_ok_and(|status| status.stx_attributes.contains(StatxAttributes::VERITY))
}
