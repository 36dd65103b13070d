//! Packs: files of many artifacts, found by key and target. `format::pack` has the layout.

use std::path::Path;

use zerocopy::{FromBytes, IntoBytes};

use crate::alloc;
use crate::artifact::{Artifact, OpenOptions, Voucher, digest_mismatch, wrong_signature};
use crate::builder::Signer;
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::format::first_nonzero;
use crate::format::pack::{
    self, BLOCK_ROWS, BLOCK_SIZE, Block, FORMAT, Layout, PACK_MAGIC, PackRoot, ROW_SIZE, SIGNED,
};
pub use crate::format::pack::{Row, Target};
use crate::format::trailer::{Digest, FOOTER_SIZE, Footer, SIGNATURE_SIZE, Signature};
use crate::limits::MAX_PACK_ROWS;
use crate::report::Report;
use crate::storage::{self, Part, Region, Sink, Sync, Window};
use crate::trust::digest;
use crate::trust::keys::{self, PublicKey};

/// An opened pack. Its directory is in memory; rows are read when they are searched.
#[derive(Debug)]
pub struct Pack {
    region: Region,
    root: PackRoot,
    layout: Layout,
    /// The directory, checked.
    directory: Vec<u8>,
    signatures: Vec<Signature>,
    signer: Option<PublicKey>,
}

impl Pack {
    /// Opens the pack at `path`. If a key that the engine trusts has signed it, its artifacts need no signatures of their own.
    /// Otherwise the pack opens too, but an engine that trusts keys accepts only artifacts in it that are signed themselves.
    ///
    /// # Errors
    ///
    /// IO if the file can't be opened or read; INVALID_ARGUMENT if it is not a regular file; NOT_AN_ARTIFACT if it is not a pack;
    /// TRUNCATED, CORRUPT or DIGEST_MISMATCH for a damaged one; UNSUPPORTED for a newer one; LIMIT; NO_MEMORY.
    pub fn open(path: &Path, engine: Option<&Engine>) -> Result<Pack> {
        let region = Region::open(path, Part::default())?;
        Pack::from_region(region, engine.map_or(&[], Engine::trusted_keys))
    }

    /// Opens the pack in a region. See [`Pack::open`].
    #[doc(hidden)] // for the command line and tests
    pub fn from_region(region: Region, trusted: &[PublicKey]) -> Result<Pack> {
        let base = region.base();
        read(region, trusted).map_err(|error| error.shifted(base))
    }

    /// Returns whether a region ends as packs do.
    #[doc(hidden)] // for the command line
    pub fn is_pack(region: &Region) -> Result<bool> {
        let mut end = [0; SIGNED.magic.len()];
        let Some(at) = region.len().checked_sub(end.len() as u64) else { return Ok(false) };
        region.read_at(at, &mut end)?;
        Ok(end == SIGNED.magic)
    }

    /// Finds the artifact with this key and target. Reads and checks one block of the table.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH or CORRUPT if that block is damaged; TRUNCATED, IO, NO_MEMORY.
    pub fn find(&self, key: &Digest, target: &Target) -> Result<Option<Row>> {
        let name = (key, target);
        let Some(index) = pack::find_block(self.directory(), name) else { return Ok(None) };
        self.with_block(index, |rows| Ok(pack::find_row(rows, name).copied()))
    }

    /// Opens the artifact in a row, which must be one of this pack.
    ///
    /// # Errors
    ///
    /// DIGEST_MISMATCH if the artifact is another one than the row says; UNTRUSTED if the engine trusts keys, and none of them has signed
    /// the pack or the artifact; as [`Artifact::open`]. The options' part is not used.
    pub fn artifact(&self, row: &Row, engine: Option<&Engine>, options: &OpenOptions<'_>) -> Result<Artifact> {
        let voucher = Voucher { digest: row.root_digest, signer: self.signer.clone() };
        let region = self.region.part(row.offset.get(), row.len.get())?;
        Artifact::from_region(region, engine, &OpenOptions { voucher: Some(&voucher), ..*options })
    }

    /// Calls `visit` with each row, in their order.
    ///
    /// # Errors
    ///
    /// As [`Pack::find`]; any error of `visit`.
    pub fn each(&self, visit: &mut dyn FnMut(&Row) -> Result<()>) -> Result<()> {
        (0..self.directory().len())
            .try_for_each(|index| self.with_block(index, |rows| rows.iter().try_for_each(&mut *visit)))
    }

    /// Checks what neither opening nor finding looks at: that the artifacts lie one after another with only zeros between them. The
    /// artifacts themselves are verified by [`Artifact::verify`]. The report lists signatures that do not match the keys that they name.
    ///
    /// # Errors
    ///
    /// CORRUPT for anything else between them; as [`Pack::find`].
    pub fn verify(&self) -> Result<Report> {
        let mut end = PACK_MAGIC.len() as u64;
        self.each(&mut |row| {
            self.check_gap(end, row.offset.get())?;
            end = row.end();
            Ok(())
        })?;
        self.check_gap(end, self.layout.table)?;
        let mut report = Report::default();
        for (index, signature) in self.signatures.iter().enumerate() {
            if !PublicKey::from_bytes(&signature.key).is_ok_and(|key| key.verifies(&self.root, signature)) {
                report.add(wrong_signature(&format!("signature {index}")))?;
            }
        }
        Ok(report)
    }

    /// Returns the number of artifacts.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // not a collection
    pub fn len(&self) -> u64 {
        self.layout.rows
    }

    /// Returns the length of the file in bytes.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.region.len()
    }

    /// Returns the alignment of the artifacts in bytes.
    #[must_use]
    pub fn align(&self) -> u64 {
        self.layout.align
    }

    /// Returns the signatures. They are not verified, except for that of [`Pack::signer`].
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Returns the trusted key whose signature was verified when the pack was opened.
    #[must_use]
    pub fn signer(&self) -> Option<&PublicKey> {
        self.signer.as_ref()
    }

    fn directory(&self) -> &[Block] {
        <[Block]>::ref_from_bytes(&self.directory).unwrap_or(&[])
    }

    fn with_block<T>(&self, index: usize, use_rows: impl FnOnce(&[Row]) -> Result<T>) -> Result<T> {
        let (offset, count) = self.layout.block(index as u64);
        let mut buffer = [0; (BLOCK_ROWS * ROW_SIZE) as usize];
        let bytes = buffer.get_mut(..(count * ROW_SIZE) as usize).unwrap_or_default(); // at most BLOCK_ROWS
        let in_file = |error: Error| error.shifted(self.region.base());
        self.region.read_at(offset, bytes).map_err(in_file)?;
        if self.directory().get(index).is_none_or(|block| block.digest != digest::rows(bytes)) {
            return Err(in_file(digest_mismatch("table of a pack", offset)));
        }
        use_rows(pack::check_rows(bytes, &self.layout, self.directory(), index).map_err(in_file)?)
    }

    /// Checks that the bytes from `start` to `end` are zeros.
    fn check_gap(&self, start: u64, end: u64) -> Result<()> {
        let wrong = |message: String, at| Err(Error::corrupt(message).at(at).shifted(self.region.base()));
        if start > end {
            return wrong(
                format!("pack: expected the next artifact after the end of one at {start}, found it at {end}"),
                end,
            );
        }
        let mut buffer = [0; 4096];
        let mut at = start;
        while at < end {
            let piece = buffer.get_mut(..(end - at).min(4096) as usize).unwrap_or_default();
            self.region.read_at(at, piece)?;
            if let Some(found) = first_nonzero(piece) {
                return wrong(
                    "pack: expected zeros between artifacts, found other bytes".to_owned(),
                    at + found as u64,
                );
            }
            at += piece.len() as u64;
        }
        Ok(())
    }
}

fn read(region: Region, trusted: &[PublicKey]) -> Result<Pack> {
    let len = region.len();
    let mut buffer = Window::BUFFER;
    let window = Window::new(&region, &mut buffer)?;
    let Some(footer) = Footer::find(window.bytes(), len, &SIGNED)? else {
        return Err(Error::new(
            Status::NotAnArtifact,
            "pack: expected the footer of a pack at the end of the file, found none",
        ));
    };
    let offset = footer.root_offset.get();
    let signatures = u64::from(footer.signatures.get()) * SIGNATURE_SIZE;
    let bytes = window.read_to_vec(offset, SIGNED.record_size + signatures, "the root record")?;
    let truncated = || Error::corrupt("pack: root record is truncated").at(offset);
    let (root, signed) = PackRoot::read_from_prefix(&bytes).map_err(|_| truncated())?;
    let signed = <[Signature]>::ref_from_bytes(signed).map_err(|_| truncated())?;
    if digest::pack_footer(&root, signed, &footer) != footer.checksum {
        return Err(digest_mismatch("footer and root record of a pack", offset));
    }
    if footer.reserved != [0; 4] {
        let message = "pack: expected zeros in the footer's reserved field, found other bytes";
        return Err(Error::corrupt(message).at(len - FOOTER_SIZE));
    }
    let layout = root.check(offset)?;
    let signer = keys::signer(trusted, &root, signed).ok().cloned();
    let mut magic = [0; PACK_MAGIC.len()];
    region.read_at(0, &mut magic)?;
    if magic != PACK_MAGIC {
        return Err(Error::corrupt("pack: expected the first bytes of a pack, found other bytes").at(0));
    }
    let directory = window.read_to_vec(layout.directory, layout.blocks * BLOCK_SIZE, "the directory of a pack")?;
    if digest::directory(&directory) != root.directory_digest {
        return Err(digest_mismatch("directory of a pack", layout.directory));
    }
    pack::check_directory(&directory, &layout)?;
    let signatures = alloc::copy(signed, "the signatures")?;
    Ok(Pack { region, root, layout, directory, signatures, signer })
}

/// How a pack is written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PackOptions {
    /// Each artifact begins at a multiple of this: a power of two from 8 bytes to 2 MiB. The default is 4 KiB. A host whose pages are
    /// larger copies code that it could map otherwise.
    pub align: u64,
    /// Who signs the pack.
    pub signers: Vec<Signer>,
    /// Whether the file has reached the disk when the call returns.
    pub sync: Sync,
}

impl Default for PackOptions {
    fn default() -> Self {
        PackOptions { align: 4096, signers: Vec::new(), sync: Sync::Yes }
    }
}

/// An artifact to put into a pack.
#[derive(Debug)]
pub struct Packed {
    /// The digest of its key.
    pub key: Digest,
    /// The target that it was built for.
    pub target: Target,
    /// The artifact.
    pub artifact: Artifact,
}

/// Writes a pack to `path`, atomically. `next` returns the artifacts, sorted by key, then target. The same artifacts and keys give the
/// same bytes.
///
/// # Errors
///
/// INVALID_ARGUMENT if the artifacts aren't sorted, one has no trailer, or the alignment can't be one; LIMIT for too many artifacts or
/// keys; any error of `next` and of reading an artifact; otherwise as saving an artifact.
pub fn write(path: &Path, options: &PackOptions, next: &mut dyn FnMut() -> Result<Option<Packed>>) -> Result<()> {
    if !pack::is_alignment(options.align) {
        let message = format!("pack: expected a power of two from 8 to 2 MiB as alignment, found {}", options.align);
        return Err(Error::new(Status::InvalidArgument, message));
    }
    storage::replace_with(path, options.sync, &mut |to| Writer { to, at: 0, rows: Vec::new() }.write(options, next))
}

struct Writer<'w, 's> {
    to: &'w mut Sink<'s>,
    at: u64,
    rows: Vec<Row>,
}

impl Writer<'_, '_> {
    /// Number of bytes copied at a time.
    const CHUNK: u64 = 256 << 10;

    fn write(mut self, options: &PackOptions, next: &mut dyn FnMut() -> Result<Option<Packed>>) -> Result<()> {
        self.put(&PACK_MAGIC)?;
        while let Some(packed) = next()? {
            self.add(&packed, options.align)?;
        }
        self.pad(pack::ALIGN)?;
        let rows = std::mem::take(&mut self.rows);
        let mut directory = alloc::with_capacity(rows.len().div_ceil(BLOCK_ROWS as usize), "the directory of a pack")?;
        for block in rows.chunks(BLOCK_ROWS as usize) {
            let Some(first) = block.first() else { continue };
            directory.push(Block { key: first.key, target: first.target, digest: digest::rows(block.as_bytes()) });
        }
        let root = PackRoot {
            format: FORMAT.into(),
            reserved: [0; 4],
            align: options.align.into(),
            rows: (rows.len() as u64).into(),
            table: self.at.into(),
            directory_digest: digest::directory(directory.as_bytes()),
            reserved_end: [0; 64],
        };
        self.put(rows.as_bytes())?;
        self.put(directory.as_bytes())?;
        let signatures = alloc::try_collect(options.signers.iter().map(|signer| signer.sign(&root)), "signatures")?;
        let mut footer = Footer::new(self.at, signatures.len(), &SIGNED)?;
        footer.checksum = digest::pack_footer(&root, &signatures, &footer);
        self.put(root.as_bytes())?;
        self.put(signatures.as_bytes())?;
        self.put(footer.as_bytes())
    }

    fn add(&mut self, packed: &Packed, align: u64) -> Result<()> {
        let Packed { key, target, artifact } = packed;
        let wrong = |what: &str| Error::new(Status::InvalidArgument, format!("pack: expected {what}"));
        if self.rows.last().is_some_and(|last| last.name() >= (key, target)) {
            return Err(wrong("artifacts sorted by key and target, found them out of order"));
        }
        if self.rows.len() as u64 >= MAX_PACK_ROWS {
            return Err(Error::new(
                Status::Limit,
                format!("pack: expected at most {MAX_PACK_ROWS} artifacts, found more"),
            ));
        }
        let trailer = artifact.trailer().ok_or_else(|| wrong("an artifact with a trailer, found one without"))?;
        self.pad(align)?;
        let row = Row {
            key: *key,
            target: *target,
            offset: self.at.into(),
            len: artifact.len().into(),
            root_digest: digest::packed(&trailer.root),
        };
        alloc::push(&mut self.rows, row, "the table of a pack")?;
        let mut read = 0;
        while read < artifact.len() {
            let bytes = artifact.region().read_to_vec(read, Self::CHUNK.min(artifact.len() - read), "an artifact")?;
            self.put(&bytes)?;
            read += bytes.len() as u64;
        }
        Ok(())
    }

    /// Writes zeros up to a multiple of `align`.
    fn pad(&mut self, align: u64) -> Result<()> {
        const ZEROS: [u8; 4096] = [0; 4096];
        let end = self.at.checked_next_multiple_of(align).unwrap_or(u64::MAX);
        while self.at < end {
            self.put(ZEROS.get(..(end - self.at).min(4096) as usize).unwrap_or_default())?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.at = self.at.saturating_add(bytes.len() as u64);
        (self.to)(&[bytes])
    }
}
