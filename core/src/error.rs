//! The error type of the whole library: a status with a stable number, and a message that says what was expected, what was found
//! and where. The error is boxed so that a `Result` is one word wide, and its constructors are cold.

use std::borrow::Cow;
use std::ffi::CString;
use std::fmt::{self, Write as _};
use std::io;

use crate::limits::MAX_QUOTE;

/// The outcome of a call. The numbers are part of the C interface: they never change and are never reused.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Status {
    /// Success.
    Ok = 0,
    /// The caller passed an invalid argument.
    InvalidArgument = 1,
    /// A system call failed; the error carries its errno.
    Io = 2,
    /// A limit was exceeded; the message names it.
    Limit = 3,
    /// Memory ran out.
    NoMemory = 4,
    /// The requested item does not exist.
    NotFound = 5,
    /// The file is not an artifact. It should not be overwritten.
    NotAnArtifact = 10,
    /// The file ends too early.
    Truncated = 11,
    /// The file contradicts the format or itself.
    Corrupt = 12,
    /// Bytes do not match their digest.
    DigestMismatch = 13,
    /// The artifact is valid, but was compiled for another host or with other settings.
    Incompatible = 20,
    /// The artifact is valid, but was written by another version.
    WrongVersion = 21,
    /// The artifact is valid, but was written by another producer.
    WrongProducer = 22,
    /// The file is valid, but needs a feature that this library does not have.
    Unsupported = 23,
    /// The artifact is not signed by a trusted key.
    Untrusted = 30,
    /// Symbols are undefined.
    Unresolved = 40,
    /// A bug in this library.
    Internal = 90,
}

macro_rules! every_status {
    ($($status:ident)*) => {
        impl Status {
            /// All statuses, ordered by number.
            pub const ALL: &'static [Status] = &[$(Status::$status),*];
        }

        // Fails to compile if a status is missing in the list below.
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

/// An error: a status, a message and, where known, an offset in the file.
#[derive(Debug)]
pub struct Error(Box<Inner>);

/// The result type of the library.
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
    /// Creates an error. Text from a file must be passed through [`quote`] before it becomes part of the message.
    #[cold]
    pub fn new(status: Status, message: impl Into<String>) -> Error {
        Error(Box::new(Inner { status, message: message.into(), offset: None, errno: 0, missing: Vec::new() }))
    }

    /// Creates a CORRUPT error: the file contradicts the format or itself.
    #[cold]
    pub fn corrupt(message: impl Into<String>) -> Error {
        Error::new(Status::Corrupt, message)
    }

    /// Creates an IO error, or NO_MEMORY if the cause is ENOMEM. `what` describes the operation that failed.
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

    /// Creates an INVALID_ARGUMENT error for invalid JSON, with line and column.
    #[doc(hidden)] // for the command line
    #[cold]
    pub fn json(what: impl fmt::Display, cause: &serde_json::Error) -> Error {
        let (text, position) = (cause.to_string(), format!(" at line {} column {}", cause.line(), cause.column()));
        // The text may quote long input, so `quote` cuts it; the position is kept.
        let why = quote(text.trim_end_matches(&position).as_bytes());
        Error::new(Status::InvalidArgument, format!("{what} in JSON: {why}{position}"))
    }

    /// Creates a NO_MEMORY error; `what` names the data that memory was requested for.
    #[cold]
    pub fn no_memory(what: impl fmt::Display) -> Error {
        Error::new(Status::NoMemory, format!("out of memory for {what}"))
    }

    /// Returns the error with another status, where a caller knows better what the failure means.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Error {
        self.0.status = status;
        self
    }

    /// Returns the error with an offset in the artifact. An offset that is already set is kept: it is closer to the cause.
    #[must_use]
    pub fn at(mut self, offset: u64) -> Error {
        self.0.offset.get_or_insert(offset);
        self
    }

    /// Returns the error with `base` added to its offset, to make an offset in a part an offset in the whole.
    #[must_use]
    pub fn shifted(mut self, base: u64) -> Error {
        self.0.offset = self.0.offset.map(|offset| offset.saturating_add(base));
        self
    }

    /// Returns the error with `base` subtracted from its offset: the inverse of [`Error::shifted`].
    #[must_use]
    pub fn relative_to(mut self, base: u64) -> Error {
        self.0.offset = self.0.offset.map(|offset| offset.saturating_sub(base));
        self
    }

    /// Returns the error with its message prefixed by `context`, such as a file name.
    #[must_use]
    pub fn within(mut self, context: impl fmt::Display) -> Error {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// Returns a copy of the error, for a failure that is stored and returned repeatedly.
    #[must_use]
    pub fn duplicate(&self) -> Error {
        Error(self.0.clone())
    }

    /// Returns the error with the names of undefined symbols.
    #[must_use]
    pub fn missing_names(mut self, names: Vec<CString>) -> Error {
        self.0.missing = names;
        self
    }

    /// Returns the names of undefined symbols.
    #[must_use]
    pub fn missing(&self) -> &[CString] {
        &self.0.missing
    }

    /// Takes the names of undefined symbols out of the error, so that a caller can keep them without a copy.
    #[must_use]
    pub fn take_missing(&mut self) -> Vec<CString> {
        std::mem::take(&mut self.0.missing)
    }

    /// Returns the status.
    #[must_use]
    pub fn status(&self) -> Status {
        self.0.status
    }

    /// Returns the message: one sentence that says what was expected, what was found, and where.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the offset in the file, if the error has one.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        self.0.offset
    }

    /// Returns the errno of the failed system call, or 0.
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

/// Quotes text from a file for a message: escapes control characters and invalid UTF-8, and cuts text at a maximum length.
#[must_use]
pub fn quote(text: &[u8]) -> Cow<'_, str> {
    let shown = text.get(..MAX_QUOTE).unwrap_or(text);
    let quoted = escape(shown);
    if shown.len() < text.len() { Cow::Owned(quoted.into_owned() + "…") } else { quoted }
}

/// Escapes text as [`quote`] does, without cutting it.
#[doc(hidden)] // for the command line
#[must_use]
pub fn escape(text: &[u8]) -> Cow<'_, str> {
    if let Ok(clean) = std::str::from_utf8(text)
        && !clean.chars().any(needs_escape)
    {
        return Cow::Borrowed(clean);
    }
    let mut quoted = String::new();
    for chunk in text.utf8_chunks() {
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
    Cow::Owned(quoted)
}

/// Returns whether a character must be escaped: control characters, and those that reorder or hide text on a terminal. The latter
/// are Unicode's format characters (general categories Cf, Zl and Zp) and those of the property Default_Ignorable_Code_Point.
#[doc(hidden)] // for the command line
#[must_use]
pub fn needs_escape(c: char) -> bool {
    c.is_control()
        || (c >= '\u{ad}'
            && matches!(c, '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{13438}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'))
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
        for hidden in
            "\u{7f}\u{9b}\u{ad}\u{61c}\u{180e}\u{200b}\u{2028}\u{202e}\u{2060}\u{2066}\u{206a}\u{feff}\u{fff9}\u{e0041}"
                .chars()
        {
            assert_eq!(quote(format!("a{hidden}b").as_bytes()), format!("a{}b", hidden.escape_unicode()));
        }
        assert_eq!(quote(&[b'x'; 10_000]).chars().count(), MAX_QUOTE + 1);
        assert!(quote(&[0xff; 10_000]).len() < 5 * MAX_QUOTE);
    }

    #[test]
    fn the_first_offset_stays() {
        let error = Error::new(Status::Corrupt, "x").at(7).at(9).shifted(100);
        assert_eq!(error.offset(), Some(107));
    }
}
