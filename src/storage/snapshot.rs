//! A private copy that nobody can change any more, the process itself included: a sealed memfd.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;

use rustix::fs::{
    AtFlags, MemfdFlags, SealFlags, StatxAttributes, StatxFlags, fcntl_add_seals, fcntl_get_seals, memfd_create, statx,
};

use super::{Backing, Region};
use crate::error::{Error, Result};
use crate::memory;

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
        let failed = |what: &'static str| move |error: io::Error| Error::io(what, &error);
        let copy = memfd_create("artifact", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
        let mut copy = File::from(copy.map_err(|error| failed("making a private copy")(error.into()))?);
        let mut bite = memory::with_room(self.len.min(BITE) as usize, "a private copy")?;
        let mut offset = 0;
        while offset < self.len {
            bite.resize((self.len - offset).min(BITE) as usize, 0);
            self.read_at(offset, &mut bite)?;
            copy.write_all(&bite).map_err(failed("writing a private copy"))?;
            offset += bite.len() as u64;
        }
        let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
        fcntl_add_seals(&copy, seals).map_err(|error| failed("sealing a private copy")(error.into()))?;
        Ok(Region { backing: Backing::File(copy, OnceLock::new()), base: self.base, start: 0, len: self.len })
    }

    /// Whether nobody but this process can change its bytes: they are in memory, in a sealed memfd or under fs-verity.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        match &self.backing {
            Backing::File(file, _) => is_frozen(file.as_fd()),
            Backing::Owned(_) | Backing::Borrowed(_) => true,
        }
    }
}

/// Whether nobody can change the file's bytes: sealed, or under fs-verity.
fn is_frozen(file: BorrowedFd<'_>) -> bool {
    let sealed = fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::WRITE | SealFlags::SHRINK));
    sealed
        || statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::empty())
            .is_ok_and(|status| status.stx_attributes.contains(StatxAttributes::VERITY))
}
