//! Files of Wasmtime 3 and newer. They are read only: shown, checked against a host, signed beside and verified. To run one takes that
//! version's runtime.

use crate::compat;
use crate::engine::Engine;
use crate::error::{Error, Result, Status, quote};
use crate::format::Fetch;
use crate::format::cwasm::{ENGINE_SECTION, kind};
use crate::format::elf::{Extent, HEADER_SIZE, extent, extent_of, header_tables};
use crate::format::module::Module;
use crate::limits::{MAX_ENGINE_SECTION, NameBudget};
use crate::report::Report;
use crate::storage::Region;
use crate::trust::hashing;
use crate::trust::keys::{self, FileRecord, PublicKey};

pub use crate::format::cwasm::{Document, Features, Kind, ReleaseSettings, Settings, Value};
// For the command line.
#[doc(hidden)]
pub use crate::format::cwasm::Flags;

/// A file of Wasmtime 3 or newer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Cwasm {
    /// What the file holds.
    pub kind: Kind,
    /// The length of the file in bytes.
    pub len: u64,
    /// The settings that its code was compiled with.
    pub settings: Settings,
}

impl Cwasm {
    /// Reads the settings of the file in a region, and no more than headers besides. Returns none if it is anything else, which includes
    /// an artifact whose first module is such a file: those end with their section headers.
    ///
    /// # Errors
    ///
    /// TRUNCATED, CORRUPT, LIMIT or UNSUPPORTED if it is a file of Wasmtime but damaged, or too new; IO; NO_MEMORY.
    #[doc(hidden)] // Region is not public
    pub fn read(region: &Region) -> Result<Option<Cwasm>> {
        let mut header = [0; HEADER_SIZE];
        if region.len() < HEADER_SIZE as u64 {
            return Ok(None);
        }
        region.read_at(0, &mut header)?;
        if kind(&header).is_none() {
            return Ok(None);
        }
        if !is_whole(extent(&mut Source(region), 0, region.len()), region.len()) {
            return Ok(None);
        }
        // Of a file that may be large, only what `parse` looks at is copied: first the tables, which tell where the rest is.
        let tables = header_tables(&header, region.len())?;
        let copy = region.private_copy_of(0, region.len(), &tables)?;
        let names = Module::parse(copy.bytes())?.names_range();
        check_size("names of sections", names.end.saturating_sub(names.start))?;
        let [header, sections, segments] = tables;
        let mut ranges = [header, sections, segments, names, 0..0];
        let copy = region.private_copy_of(0, region.len(), &ranges)?;
        let section = Module::parse(copy.bytes()).and_then(|module| engine_section(&module, copy.bytes()))?;
        ranges[4] = section.0..section.1;
        let copy = region.private_copy_of(0, region.len(), &ranges)?;
        Cwasm::parse(copy.bytes())
    }

    /// Reads the settings of the file in `bytes`. See [`Cwasm::read`].
    ///
    /// # Errors
    ///
    /// As [`Cwasm::read`].
    pub fn parse(bytes: &[u8]) -> Result<Option<Cwasm>> {
        let header = bytes.first_chunk().and_then(|header| Some((header, kind(header)?)));
        let Some((header, kind)) = header.filter(|_| is_whole(extent_of(bytes), bytes.len() as u64)) else {
            return Ok(None);
        };
        header_tables(header, bytes.len() as u64)?;
        let (start, end) = engine_section(&Module::parse(bytes)?, bytes)?;
        let section = bytes.get(start as usize..end as usize).unwrap_or_default(); // checked to lie inside
        let settings = Settings::decode(section).map_err(|error| error.shifted(start))?;
        Ok(Some(Cwasm { kind, len: bytes.len() as u64, settings }))
    }

    /// Returns the settings as JSON: the object of `artifact inspect --json` without sections and symbols.
    ///
    /// # Errors
    ///
    /// INTERNAL if serialization fails, which would be a bug.
    pub fn to_json(&self) -> Result<String> {
        let json = serde_json::to_string_pretty(&Document::new(self.kind, &self.settings));
        json.map_err(|error| Error::new(Status::Internal, error.to_string()))
    }

    /// Returns every reason why the target and CPU of `host` cannot run the code, in Wasmtime's words, whatever version compiled it. Code
    /// for Pulley, Wasmtime's interpreter, is for no CPU.
    ///
    /// # Errors
    ///
    /// LIMIT for more mismatches than a report holds.
    pub fn report(&self, host: &Engine) -> Result<Report> {
        compat::cwasm::cpu(host, &self.settings)
    }

    /// Returns every reason why an engine of Wasmtime with these settings refuses the file, in Wasmtime's words. If the version is another
    /// one, that is the only reason. Tunables and features are compared if both versions are known.
    ///
    /// # Errors
    ///
    /// LIMIT for more mismatches than a report holds.
    pub fn report_against(&self, engine: &Settings) -> Result<Report> {
        compat::cwasm::engine(engine, &self.settings)
    }

    /// Says in a sentence what the file is, which version made it, and what runs it.
    #[must_use]
    pub fn describe(&self) -> String {
        let Settings { version, rest, .. } = &self.settings;
        let (kind, version) = (self.kind.name(), quote(version.as_bytes()));
        match rest {
            Some(rest) if rest.release < crate::format::cwasm::fields::MAJOR_ALONE => format!(
                "a WebAssembly {kind} that Wasmtime {version} compiled, which Wasmtime {version} runs (`wasmtime run \
                 --allow-precompiled`)"
            ),
            Some(_) => format!(
                "a WebAssembly {kind} that Wasmtime {version} compiled, which any Wasmtime {version}.x runs (`wasmtime run \
                 --allow-precompiled`)"
            ),
            None if version.is_empty() => format!(
                "a WebAssembly {kind} that a Wasmtime without a version compiled, which only the program that embeds the same Wasmtime \
                 runs"
            ),
            None => format!(
                "a WebAssembly {kind} that Wasmtime compiled under the version '{version}', which only a Wasmtime of this version runs"
            ),
        }
    }
}

struct Source<'r>(&'r Region);

impl Fetch for Source<'_> {
    fn fetch(&mut self, offset: u64, out: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, out)
    }
}

/// Returns whether an image ends with its file, as every one that Wasmtime writes does.
fn is_whole(extent: Result<Extent>, len: u64) -> bool {
    extent.is_ok_and(|extent| extent.len == len)
}

fn check_size(what: &str, size: u64) -> Result<()> {
    if size <= MAX_ENGINE_SECTION {
        return Ok(());
    }
    let message = format!("{what}: expected at most {MAX_ENGINE_SECTION} bytes, found {size}");
    Err(Error::new(Status::Limit, message))
}

/// Returns where the section with the settings begins and ends.
fn engine_section(module: &Module<'_>, bytes: &[u8]) -> Result<(u64, u64)> {
    let section = module.section_named(ENGINE_SECTION).map_err(|error| match error.status() {
        Status::NotFound => Error::corrupt("expected a section .wasmtime.engine, found none"),
        _ => error,
    })?;
    check_size("section .wasmtime.engine", section.size)?;
    section.check_inside(bytes)?;
    let size = if section.has_bytes() { section.size } else { 0 };
    let start = section.offset.min(bytes.len() as u64);
    Ok((start, start + size))
}

/// Checks everything about a file of Wasmtime: its settings, and that its sections and symbols lie inside it.
///
/// # Errors
///
/// As [`Cwasm::read`].
pub fn verify(bytes: &[u8]) -> Result<()> {
    Cwasm::parse(bytes)?;
    let module = Module::parse(bytes)?;
    let mut names = NameBudget::for_file(bytes.len() as u64);
    for index in 0..module.section_count() {
        let section = module.section(index)?;
        names.take(section.name.len())?;
        section.check_inside(bytes)?;
    }
    let symbols = module.symbols()?;
    (1..symbols.count()).try_for_each(|index| names.take(symbols.get(index)?.name.len()))
}

/// Returns the record of a whole file, which a detached signature of one of Wasmtime is over.
///
/// # Errors
///
/// NO_MEMORY.
pub fn file_record(bytes: &[u8]) -> Result<FileRecord> {
    let digests = hashing::hash_each(&[bytes])?;
    Ok(FileRecord { len: bytes.len() as u64, digest: digests.first().copied().unwrap_or_default() })
}

/// Returns the trusted key that has signed the file in `bytes`; none if no keys are trusted. `signature` has detached signatures in the form
/// that they have for artifacts.
///
/// # Errors
///
/// UNTRUSTED if there are trusted keys but none has signed it; INVALID_ARGUMENT for signatures without a trusted key to check them
/// with; NO_MEMORY.
pub fn signer(bytes: &[u8], trusted: &[PublicKey], signature: &[u8]) -> Result<Option<PublicKey>> {
    match (trusted, keys::detached(signature)?) {
        ([], []) => Ok(None),
        ([], _) => {
            let message = "detached signature: expected a trusted key to check it with, found none";
            Err(Error::new(Status::InvalidArgument, message))
        }
        (_, signatures) => keys::signer(trusted, &file_record(bytes)?, signatures).map(|key| Some(key.clone())),
    }
}

/// Returns the error for a file of Wasmtime that was to be opened as an artifact; `error` itself for any other file. It stays
/// NOT_AN_ARTIFACT: the file is whole, and another program's.
#[cold]
pub(crate) fn refusal(region: &Region, error: Error) -> Error {
    if error.status() != Status::NotAnArtifact {
        return error;
    }
    let found = match Cwasm::read(region) {
        Ok(None) => return error,
        Ok(Some(found)) => found.describe(),
        Err(damage) => format!("a damaged file of Wasmtime ({})", damage.message()),
    };
    Error::new(Status::NotAnArtifact, format!("expected an artifact, found {found}")).at(0)
}
