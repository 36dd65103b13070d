//! Immutable private copies in sealed memfds, which not even this process can change.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{
    AtFlags, MemfdFlags, Mode, SealFlags, SeekFrom, StatVfsMountFlags, StatxAttributes, StatxFlags, fcntl_add_seals,
    fcntl_get_seals, fstat, fstatvfs, memfd_create, seek, statx,
};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::{Backing, MappedFile, Region};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::format::first_nonzero;
use crate::threads::without_size_signal;

/// Number of bytes copied at a time.
const COPY_CHUNK: u64 = 1 << 20;
/// Size of the pieces that are not copied if they are zeros: the smallest page size.
const PAGE: usize = 4 << 10;

impl Region {
    /// Copies the region into a memfd sealed against writing, growing and shrinking, so that later changes of the file have no
    /// effect. A file that is already a sealed memfd or under fs-verity can't change and is not copied. Holes of a sparse file, and
    /// pages of zeros, are holes of the copy and take no memory until they are mapped and read.
    ///
    /// # Errors
    ///
    /// LIMIT if more than `limit` bytes would have to be copied, holes included; IO, TRUNCATED if the file becomes shorter during
    /// the copy, NO_MEMORY.
    pub fn snapshot(self, limit: u64) -> Result<Region> {
        if matches!(self.backing, Backing::File(..)) && self.is_immutable() {
            return Ok(self);
        }
        if self.len > limit {
            let message = format!("private copy: expected at most {limit} bytes, found {}", self.len);
            return Err(Error::new(Status::Limit, message));
        }
        let failed = |error: std::io::Error| Error::io("writing a private copy", &error);
        let copy = new_memfd(false)?;
        without_size_signal(|| copy.set_len(self.len)).map_err(failed)?;
        let mut buffer = alloc::zeroed(self.len.min(COPY_CHUNK) as usize, "a private copy")?;
        let holes = self.holes();
        let mut offset = 0;
        while let Some(data) = self.data_from(holes.as_ref(), offset).filter(|data| *data < self.len) {
            offset = data;
            let chunk = buffer.get_mut(..(self.len - offset).min(COPY_CHUNK) as usize).unwrap_or_default();
            self.read_at(offset, chunk)?;
            let start = offset;
            offset += chunk.len() as u64;
            without_size_signal(|| {
                for (at, page) in (start..).step_by(PAGE).zip(chunk.chunks(PAGE)) {
                    if first_nonzero(page).is_some() {
                        copy.write_all_at(page, at)?;
                    }
                }
                Ok(())
            })
            .map_err(failed)?;
        }
        self.check_length()?; // where a file has become shorter, data is not found either
        seal(&copy)?;
        let noexec = self.noexec();
        let backing = Backing::File(MappedFile::new(Arc::new(copy), 0, self.len));
        Ok(Region { backing, base: self.base, start: 0, len: self.len, noexec })
    }

    /// Fills zeroed memory with the bytes at `offset`. Holes of a sparse file are not touched, so that they take no memory.
    pub(super) fn read_data(&self, offset: u64, zeros: &mut [u8]) -> Result<()> {
        let len = zeros.len() as u64;
        if len <= COPY_CHUNK {
            return self.read_at(offset, zeros);
        }
        let holes = self.holes();
        let mut at = 0;
        while let Some(data) = self.data_from(holes.as_ref(), offset + at).map(|data| data - offset) {
            if data >= len {
                break;
            }
            at = len.min(data + COPY_CHUNK);
            // The casts are lossless: both offsets lie in memory.
            self.read_at(offset + data, zeros.get_mut(data as usize..at as usize).unwrap_or_default())?;
        }
        self.check_length() // where a file has become shorter, data is not found either
    }

    /// Opens the region's file again, to search for holes: that moves the offset of an open file, and the descriptor may share its
    /// own with the caller's. Returns none for memory, and if there is no /proc.
    fn holes(&self) -> Option<File> {
        let Backing::File(from) = &self.backing else { return None };
        File::open(format!("/proc/self/fd/{}", from.file.as_raw_fd())).ok()
    }

    /// Returns the offset, at or after `offset`, where the file has data again; none if only a hole follows. A file system that
    /// knows no holes has data everywhere.
    fn data_from(&self, holes: Option<&File>, offset: u64) -> Option<u64> {
        let Some(file) = holes else { return Some(offset) };
        match seek(file, SeekFrom::Data(self.start + offset)) {
            Ok(found) => Some(found.saturating_sub(self.start).max(offset)),
            Err(Errno::NXIO) => None,
            Err(_) => Some(offset),
        }
    }

    /// Returns whether a user other than root and this process's can write to the file, or could allow it. Memory is no one else's.
    #[must_use]
    pub fn others_can_write(&self) -> bool {
        let Backing::File(from) = &self.backing else { return false };
        fstat(&from.file).map_or(true, |found| {
            let others = Mode::WGRP | Mode::WOTH;
            let ours = [0, geteuid().as_raw()].contains(&found.st_uid);
            !ours || Mode::from_raw_mode(found.st_mode).intersects(others)
        })
    }

    /// Returns whether only this library can change the bytes from now on: they are in its own memory, in a sealed memfd, or under
    /// fs-verity. Call this before reading the first byte: a file that became immutable later may have changed in between.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        match &self.backing {
            Backing::File(from) => is_immutable_file(from.file.as_fd()),
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
    let mut copy = new_memfd(true)?;
    for piece in pieces {
        write(&mut copy, piece)?;
    }
    seal(&copy)?;
    Ok(copy)
}

/// Writes to a memfd, which RLIMIT_FSIZE limits as it does files.
fn write(copy: &mut File, bytes: &[u8]) -> Result<()> {
    without_size_signal(|| copy.write_all(bytes)).map_err(|error| Error::io("writing a private copy", &error))
}

/// Creates a memfd. It may be executed if the system permits that: with the sysctl vm.memfd_noexec at 1, it has to be asked for;
/// with 2, it is an error if code needs it. A copy that is only read does without.
fn new_memfd(for_code: bool) -> Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let made = match memfd_create("artifact", flags | MemfdFlags::EXEC) {
        // Linux before 6.3 doesn't know the flag, and all its memfds can be executed.
        Err(Errno::INVAL) => memfd_create("artifact", flags),
        Err(Errno::ACCESS | Errno::PERM) if !for_code => memfd_create("artifact", flags | MemfdFlags::NOEXEC_SEAL),
        made => made,
    };
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
