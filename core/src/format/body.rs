//! The structure around the modules: link words between ELF images, the terminator, HEADER and the version.

use super::elf;
use super::{Fetch, align_up};
use crate::alloc;
use crate::error::{Error, Result, Status, quote};
use crate::limits::{MAX_MODULES, MAX_PRODUCER, MAX_VERSION};

/// The link word after the last ELF image.
pub const TERMINATOR: u64 = u64::MAX;
/// Size of a link word.
pub const LINK_SIZE: u64 = 8;
/// The suffix of the producer's name in HEADER.
const SUFFIX: &str = "-aot";

/// The byte range of one module's ELF image in the artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModuleRange {
    /// Offset of the image's first byte.
    pub offset: u64,
    /// Length in bytes.
    pub len: u64,
}

impl ModuleRange {
    /// Returns the offset just past the image.
    #[must_use]
    pub fn end(&self) -> u64 {
        // Every ModuleRange has been checked to lie within the file, so the sum does not saturate.
        self.offset.saturating_add(self.len)
    }
}

/// Returns the offset of the ELF image that follows a link word at `position`, for an image of alignment `align`. Returns none
/// on overflow.
#[must_use]
pub fn link_target(position: u64, align: u64) -> Option<u64> {
    align_up(position.checked_add(LINK_SIZE)?, align)
}

/// Follows the links from the first ELF image to the terminator, in a file of `len` bytes, and returns every image's range.
/// HEADER follows the terminator: it begins [`LINK_SIZE`] bytes after the end of the last range.
///
/// # Errors
///
/// NOT_AN_ARTIFACT if the file does not begin with an ELF64 image or ends after one; TRUNCATED if it ends early; CORRUPT if
/// a link or an image is invalid; LIMIT if there are too many modules or sections; any error of `fetch`.
pub fn follow_links(fetch: &mut impl Fetch, len: u64) -> Result<Vec<ModuleRange>> {
    let mut ranges: Vec<ModuleRange> = Vec::new();
    let mut offset = 0;
    loop {
        let extent = elf::extent(fetch, offset, len.saturating_sub(offset)).map_err(|error| {
            let foreign =
                matches!(error.status(), Status::InvalidArgument | Status::Unsupported | Status::NotAnArtifact);
            let status = match (foreign, ranges.is_empty()) {
                (true, true) => Status::NotAnArtifact,
                // A link points here, but fewer bytes follow than an ELF magic has.
                (true, false) if len - offset < 4 => Status::Truncated,
                (true, false) => Status::Corrupt,
                (false, _) => error.status(),
            };
            error.with_status(status).within(format!("module {}", ranges.len())).at(0).shifted(offset)
        })?;
        if ranges.len() >= MAX_MODULES {
            let message = format!("number of modules: expected at most {MAX_MODULES}, found more");
            return Err(Error::new(Status::Limit, message).at(offset));
        }
        let range = ModuleRange { offset, len: extent.len };
        alloc::push(&mut ranges, range, "the list of modules")?;
        let position = range.end();
        if position == len && ranges.len() == 1 {
            let message = "expected an artifact, found an ELF file with nothing after its section headers";
            return Err(Error::new(Status::NotAnArtifact, message).at(position));
        }
        let Some(after) = position.checked_add(LINK_SIZE).filter(|after| *after <= len) else {
            let found = len - position;
            let message = format!(
                "expected a link word of {LINK_SIZE} bytes after module {}, found {found} bytes",
                ranges.len() - 1
            );
            return Err(Error::new(Status::Truncated, message).at(position));
        };
        let mut word = [0; LINK_SIZE as usize];
        fetch.fetch(position, &mut word)?;
        match u64::from_le_bytes(word) {
            TERMINATOR => return Ok(ranges),
            next if next < after || next >= len => {
                // A link past the end of the file means truncation, unless no file could be that long.
                let cut = next >= len && i64::try_from(next).is_ok();
                let status = if cut { Status::Truncated } else { Status::Corrupt };
                let module = ranges.len() - 1;
                let message =
                    format!("link after module {module}: expected {after} to {len} or all ones, found {next}");
                return Err(Error::new(status, message).at(position));
            }
            next => offset = next,
        }
    }
}

/// HEADER and the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The name of the producer that compiled the artifact.
    pub producer: &'a str,
    /// The producer's version; arbitrary bytes.
    pub version: &'a [u8],
    /// Size of HEADER and version together. Metadata follows.
    pub len: usize,
}

impl<'a> Header<'a> {
    /// Maximum size of HEADER and version together.
    pub const MAX_SIZE: u64 = (1 + MAX_PRODUCER + SUFFIX.len() + 1 + MAX_VERSION) as u64;

    /// Decodes HEADER and the version from the start of `bytes`, which begin after the terminator.
    ///
    /// # Errors
    ///
    /// CORRUPT if HEADER does not name a producer, TRUNCATED if `bytes` end early. Offsets count from the start of `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Header<'a>> {
        let longest = 1 + MAX_PRODUCER + SUFFIX.len();
        let window = bytes.get(..longest).unwrap_or(bytes);
        let malformed = |status, bytes: &[u8]| {
            let shown = bytes.get(..24).unwrap_or(bytes);
            let message =
                format!("HEADER: expected a NUL, a producer's name and \"{SUFFIX}\", found \"{}\"", quote(shown));
            Error::new(status, message).at(0)
        };
        let Some(end) = window.windows(SUFFIX.len()).position(|part| part == SUFFIX.as_bytes()) else {
            let plausible = window.iter().enumerate().all(|(at, byte)| match at {
                0 => *byte == 0,
                _ => is_producer_byte(*byte),
            });
            let cut = plausible && window.len() < longest;
            return Err(malformed(if cut { Status::Truncated } else { Status::Corrupt }, window));
        };
        let name = window.get(1..end).filter(|_| window.first() == Some(&0));
        let producer = name.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| check_producer(name).is_ok());
        let producer = producer.ok_or_else(|| malformed(Status::Corrupt, window))?;
        let length_at = end + SUFFIX.len();
        let rest = bytes.get(length_at..).unwrap_or(&[]);
        let Some((length, rest)) = rest.split_first() else {
            let message = "expected the length of the version, found the end of the file";
            return Err(Error::new(Status::Truncated, message).at(length_at as u64));
        };
        let version = rest.get(..usize::from(*length)).ok_or_else(|| {
            let message = format!("version: expected {length} bytes, found {}", rest.len());
            Error::new(Status::Truncated, message).at(length_at as u64 + 1)
        })?;
        Ok(Header { producer, version, len: length_at + 1 + version.len() })
    }

    /// Appends HEADER and the version to `out`.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT for an invalid producer name or a version that is too long.
    pub fn encode(producer: &str, version: &[u8], out: &mut Vec<u8>) -> Result<()> {
        check_producer(producer)?;
        let length = check_version(version)?;
        out.push(0);
        out.extend_from_slice(producer.as_bytes());
        out.extend_from_slice(SUFFIX.as_bytes());
        out.push(length);
        out.extend_from_slice(version);
        Ok(())
    }
}

fn is_producer_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

/// Checks a producer's name: 1 to 32 of the characters `a-z 0-9 . _ -`, not containing `-aot`.
///
/// # Errors
///
/// INVALID_ARGUMENT for any other name.
pub fn check_producer(name: &str) -> Result<()> {
    let fits = (1..=MAX_PRODUCER).contains(&name.len());
    if fits && name.bytes().all(is_producer_byte) && !name.contains(SUFFIX) {
        return Ok(());
    }
    let message = format!(
        "producer: expected 1 to {MAX_PRODUCER} of a-z 0-9 . _ - without \"{SUFFIX}\", found '{}'",
        quote(name.as_bytes())
    );
    Err(Error::new(Status::InvalidArgument, message))
}

/// Checks that a version's length fits into the one byte that stores it, and returns that byte.
///
/// # Errors
///
/// INVALID_ARGUMENT for a longer version.
pub fn check_version(version: &[u8]) -> Result<u8> {
    u8::try_from(version.len()).map_err(|_| {
        let message = format!("version: expected at most {MAX_VERSION} bytes, found {}", version.len());
        Error::new(Status::InvalidArgument, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_absolute_and_aligned() {
        assert_eq!(link_target(10640, 4096), Some(12288));
        assert_eq!(link_target(4088, 4096), Some(4096));
        assert_eq!(link_target(4089, 4096), Some(8192));
        assert_eq!(link_target(100, 1), Some(108));
        assert_eq!(link_target(u64::MAX - 3, 1), None);
    }

    #[test]
    fn header_of_a_genuine_file() {
        let header = Header::decode(b"\0wasmtime-aot\x060.33.0rest").unwrap();
        assert_eq!((header.producer, header.version, header.len), ("wasmtime", &b"0.33.0"[..], 20));
        let mut bytes = Vec::new();
        Header::encode("wasmtime", b"0.33.0", &mut bytes).unwrap();
        assert_eq!(bytes, b"\0wasmtime-aot\x060.33.0");
    }

    #[test]
    fn a_cut_header_is_truncated_and_an_invalid_one_corrupt() {
        let whole = b"\0wasmtime-aot\x060.33.0";
        for cut in 0..whole.len() {
            assert_eq!(Header::decode(&whole[..cut]).unwrap_err().status(), Status::Truncated, "cut at {cut}");
        }
        for bad in [
            &b"xwasmtime-aot\x000"[..],
            b"\0Wasmtime-aot\0",
            b"\0-aot\0",
            b"\0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(Header::decode(bad).unwrap_err().status(), Status::Corrupt, "{bad:?}");
        }
    }

    #[test]
    fn producers() {
        for good in ["a", "wasmtime", "my-engine_2.0", "-ao", "a-ao"] {
            check_producer(good).unwrap();
        }
        for bad in ["", "A", "a b", "x-aot", "-aotx", "ü", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert_eq!(check_producer(bad).unwrap_err().status(), Status::InvalidArgument, "{bad}");
        }
    }
}
