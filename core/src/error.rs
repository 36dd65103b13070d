//! The one error type: a status whose number never changes, and a sentence that says what was expected, what was found
//! and where. Construction is cold and boxed, so that a `Result` stays a word wide.

use std::borrow::Cow;
use std::ffi::CString;
use std::fmt::{self, Write as _};
use std::io;

use crate::limits::MAX_QUOTE;

/// What a call came to. The numbers are part of the C interface: never changed, never reused.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// All is well.
    Ok = 0,
    /// The caller passed something that makes no sense.
    InvalidArgument = 1,
    /// The operating system refused; the error carries its errno.
    Io = 2,
    /// A named bound was exceeded.
    Limit = 3,
    /// Memory ran out.
    NoMemory = 4,
    /// There is no such thing.
    NotFound = 5,
    /// Nothing of ours: leave it alone.
    NotAnArtifact = 10,
    /// The file ends inside something that promised more.
    Truncated = 11,
    /// The file contradicts the format or itself.
    Corrupt = 12,
    /// A digest doesn't match.
    DigestMismatch = 13,
    /// Sound, but made for another host or with other settings.
    Incompatible = 20,
    /// Sound, but written by another version.
    WrongVersion = 21,
    /// Sound, but written by another producer.
    WrongProducer = 22,
    /// Sound, but asks for what this library can't do.
    Unsupported = 23,
    /// Not signed by a trusted key.
    Untrusted = 30,
    /// Symbols that nobody defines.
    Unresolved = 40,
    /// A defect of this library.
    Internal = 90,
}

macro_rules! every_status {
    ($($status:ident)*) => {
        impl Status {
            /// Every status, in the order of their numbers.
            pub const ALL: &'static [Status] = &[$(Status::$status),*];
        }

        // Doesn't compile while a status is missing above.
        const _: fn(Status) = |status| match status {
            $(Status::$status => (),)*
        };
    };
}

every_status! {
    Ok InvalidArgument Io Limit NoMemory NotFound
    NotAnArtifact Truncated Corrupt DigestMismatch
    Incompatible WrongVersion WrongProducer Unsupported
    Untrusted
    Unresolved
    Internal
}

/// A failure, owned.
#[derive(Debug)]
pub struct Error(Box<Inner>);

/// The result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, Clone)]
struct Inner {
    status: Status,
    message: String,
    offset: Option<u64>,
    errno: i32,
    missing: Vec<CString>,
}

impl Error {
    /// An error with a sentence of our own. Text in it that came from a file goes through [`quote`] first.
    #[cold]
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { status, message: message.into(), offset: None, errno: 0, missing: Vec::new() }))
    }

    /// Damage: the file contradicts the format or itself.
    #[cold]
    pub fn corrupt(message: impl Into<String>) -> Error {
        Error::new(Status::Corrupt, message)
    }

    /// The operating system's refusal; `what` says what was tried, on what.
    #[cold]
    pub fn io(what: impl fmt::Display, cause: &io::Error) -> Error {
        let status = match cause.kind() {
            io::ErrorKind::OutOfMemory => Status::NoMemory,
            _ => Status::Io,
        };
        let mut error = Error::new(status, format!("{what}: {cause}"));
        error.0.errno = cause.raw_os_error().unwrap_or(0);
        error
    }

    /// JSON that isn't what was expected: INVALID_ARGUMENT, with line and column.
    #[doc(hidden)] // for the command line
    #[cold]
    pub fn json(what: impl fmt::Display, cause: &serde_json::Error) -> Error {
        let (text, place) = (cause.to_string(), format!(" at line {} column {}", cause.line(), cause.column()));
        // What the sentence quotes may be long, and is cut; the place stays.
        let why = quote(text.trim_end_matches(&place).as_bytes());
        Error::new(Status::InvalidArgument, format!("{what} in JSON: {why}{place}"))
    }

    /// Memory ran out while making room for `what`.
    #[cold]
    pub fn no_memory(what: impl fmt::Display) -> Error {
        Error::new(Status::NoMemory, format!("out of memory for {what}"))
    }

    /// The same error under another status: what it means where it is seen from.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Error {
        self.0.status = status;
        self
    }

    /// The same error, at this offset of the artifact. The first offset stays: it is the closest to the cause.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Error {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// The same error with its offset counted from `base` bytes earlier: an artifact inside a larger file.
    #[must_use]
    pub fn shifted(mut self, base: u64) -> Error {
        self.0.offset = self.0.offset.map(|offset| offset.saturating_add(base));
        self
    }

    /// The same error with its offset counted from `base`: the reverse of [`Error::shifted`].
    #[must_use]
    pub fn relative_to(mut self, base: u64) -> Error {
        self.0.offset = self.0.offset.map(|offset| offset.saturating_sub(base));
        self
    }

    /// The same error with its sentence behind `context`, such as a file's name.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Error {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// A second error like this one: for a failure that is remembered and told each time somebody asks.
    #[must_use]
    pub fn duplicate(&self) -> Error {
        Error(self.0.clone())
    }

    /// The same error with the names of symbols that nobody defines.
    #[must_use]
    pub fn missing_names(mut self, names: Vec<CString>) -> Error {
        self.0.missing = names;
        self
    }

    /// Symbols that nobody defines.
    #[must_use]
    pub fn missing(&self) -> &[CString] {
        &self.0.missing
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// One sentence: what was expected, what was found, where.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Where in the file, if it is about a place in a file.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// The operating system's error number, or 0.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.0.errno
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.offset {
            Some(offset) => write!(f, "{} (at offset {offset})", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl std::error::Error for Error {}

/// Text from a file as messages show it: no control characters, nothing that isn't UTF-8, nothing endless.
#[must_use]
pub fn quote(text: &[u8]) -> Cow<'_, str> {
    let shown = text.get(..MAX_QUOTE).unwrap_or(text);
    if let Ok(clean) = std::str::from_utf8(text)
        && shown.len() == text.len()
        && !clean.chars().any(needs_escape)
    {
        return Cow::Borrowed(clean);
    }
    let mut quoted = String::new();
    for chunk in shown.utf8_chunks() {
        for c in chunk.valid().chars() {
            if needs_escape(c) {
                // Writing to a String can't fail.
                let _ = write!(quoted, "{}", c.escape_default());
            } else {
                quoted.push(c);
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(quoted, "\\x{byte:02x}");
        }
    }
    if shown.len() < text.len() {
        quoted.push('…');
    }
    Cow::Owned(quoted)
}

/// Control characters, and the marks that reorder or hide the text around them on a terminal.
fn needs_escape(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_a_word_wide() {
        assert_eq!(size_of::<Result<()>>(), size_of::<usize>());
    }

    #[test]
    fn messages_never_carry_raw_bytes() {
        assert_eq!(quote(b"0.33.0"), "0.33.0");
        assert_eq!(quote("größer".as_bytes()), "größer");
        assert_eq!(quote(b"a\0b\x1b[31m"), "a\\u{0}b\\u{1b}[31m");
        assert_eq!(quote(b"\xff\xfea"), "\\xff\\xfea");
        assert_eq!(quote("a\u{202e}b".as_bytes()), "a\\u{202e}b");
        assert_eq!(quote(&[b'x'; 10_000]).chars().count(), MAX_QUOTE + 1);
        assert!(quote(&[0xff; 10_000]).len() < 5 * MAX_QUOTE);
    }

    #[test]
    fn the_first_offset_stays() {
        let error = Error::new(Status::Corrupt, "x").at(7).at(9).shifted(100);
        assert_eq!(error.offset(), Some(107));
    }
}
