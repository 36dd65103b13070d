//! A private copy that nobody can change any more, the process itself included: a sealed memfd.

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

/// Bytes copied at once.
const BITE: u64 = 1 << 20;

impl Region {
    /// The same bytes, which stay the same whatever happens to the file: in a memfd sealed against writing, growing and
    /// shrinking. A file that is such a memfd already, or under fs-verity, can't change and is not copied.
    ///
    /// # Errors
    ///
    /// IO, TRUNCATED if the file becomes shorter meanwhile, NO_MEMORY.
    pub fn snapshot(self) -> Result<Region> {
        if matches!(self.backing, Backing::File(..)) && self.is_immutable() {
            return Ok(self);
        }
        let mut copy = fresh()?;
        let mut buffer = alloc::zeroed(self.len.min(BITE) as usize, "a private copy")?;
        let mut offset = 0;
        while offset < self.len {
            let bite = buffer.get_mut(..(self.len - offset).min(BITE) as usize).unwrap_or_default();
            self.read_at(offset, bite)?;
            copy.write_all(bite).map_err(|error| Error::io("writing a private copy", &error))?;
            offset += bite.len() as u64;
        }
        seal(&copy)?;
        let noexec = self.noexec();
        Ok(Region { backing: Backing::File(copy, OnceLock::new()), base: self.base, start: 0, len: self.len, noexec })
    }

    /// Whether nobody but this library can change its bytes, as of now: they are in its own memory, in a sealed memfd or under
    /// fs-verity. Whoever relies on it asks before the first byte is read: a file that is frozen later may have changed before.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        match &self.backing {
            Backing::File(file, _) => is_frozen(file.as_fd()),
            Backing::Owned(_) => true,
            Backing::Borrowed(_) => false,
        }
    }
}

/// These pieces, one behind another, in a file of their own that nobody can change.
///
/// # Errors
///
/// IO, NO_MEMORY.
pub fn sealed(pieces: &[&[u8]]) -> Result<File> {
    let mut copy = fresh()?;
    for piece in pieces {
        copy.write_all(piece).map_err(|error| Error::io("writing a private copy", &error))?;
    }
    seal(&copy)?;
    Ok(copy)
}

fn fresh() -> Result<File> {
    let made = memfd_create("artifact", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    made.map(File::from).map_err(|error| Error::io("making a private copy", &error.into()))
}

fn seal(copy: &File) -> Result<()> {
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(copy, seals).map_err(|error| Error::io("sealing a private copy", &error.into()))
}

/// Whether the file system forbids executing what it has.
pub(super) fn noexec(file: BorrowedFd<'_>) -> bool {
    fstatvfs(file).is_ok_and(|status| status.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// Whether nobody can change the file's bytes: sealed, or under fs-verity.
fn is_frozen(file: BorrowedFd<'_>) -> bool {
    let sealed = fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::WRITE | SealFlags::SHRINK));
    sealed
        || statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::empty())
            .is_ok_and(|status| status.stx_attributes.contains(StatxAttributes::VERITY))
}
