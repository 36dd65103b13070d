//! What a command fails with, and how it is worded: `cannot open 'FILE': REASON` if an operation on a file failed,
//! `'FILE': REASON` if the contents of a file are at fault.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use artifact::error::{Error, Status, escape};

use crate::input::is_standard;

/// An error, and the file that it is about.
pub struct Failure {
    /// The operation that failed, such as "open"; `None` if the contents of the file are at fault.
    action: Option<&'static str>,
    file: PathBuf,
    error: Error,
}

impl Failure {
    /// The contents of `file` are at fault.
    pub fn in_file(file: &Path, error: Error) -> Failure {
        Failure { action: None, file: file.to_owned(), error }
    }

    /// An operation on `file` failed; `action` is its verb.
    pub fn cannot(action: &'static str, file: &Path, error: Error) -> Failure {
        Failure { action: Some(action), file: file.to_owned(), error }
    }

    /// A storage function of the library failed on `file`. If the reason is a system call, the system's description replaces
    /// the message, which would name the file a second time.
    pub fn storage(action: &'static str, file: &Path, error: Error) -> Failure {
        let reason = match error.errno() {
            0 => error,
            errno => system_error(&io::Error::from_raw_os_error(errno)),
        };
        Failure::cannot(action, file, reason)
    }

    /// A system call on `file` failed.
    pub fn io(action: &'static str, file: &Path, cause: &io::Error) -> Failure {
        Failure::cannot(action, file, system_error(cause))
    }

    pub fn status(&self) -> Status {
        self.error.status()
    }

    /// The offset in the file that the error is about.
    pub fn offset(&self) -> Option<u64> {
        self.error.offset()
    }

    /// The message without the offset, for output that names the file and the offset by itself.
    pub fn message(&self) -> Cow<'_, str> {
        let reason = without_errno(self.error.message(), self.error.errno());
        match self.action {
            Some(_) => format!("{}: {reason}", self.subject()).into(),
            None => reason,
        }
    }

    /// The message in full.
    pub fn full(&self) -> String {
        let reason = self.error.to_string();
        format!("{}: {}", self.subject(), without_errno(&reason, self.error.errno()))
    }

    /// What comes before the reason. The file's name is escaped: it must not reach a terminal as it is.
    fn subject(&self) -> String {
        let action = self.action.map(|action| format!("cannot {action} ")).unwrap_or_default();
        let name = match (is_standard(&self.file), self.action) {
            (true, Some("write")) => "standard output".into(),
            (true, _) => "standard input".into(),
            (false, _) => format!("'{}'", escape(self.file.as_os_str().as_encoded_bytes())),
        };
        action + &name
    }
}

/// An error of the operating system, with its description as the whole message.
pub fn system_error(cause: &io::Error) -> Error {
    let status = if cause.kind() == io::ErrorKind::OutOfMemory { Status::NoMemory } else { Status::Io };
    Error::new(status, without_errno(&cause.to_string(), cause.raw_os_error().unwrap_or(0)))
}

/// A message without the error number that the standard library appends to the system's description.
fn without_errno(message: &str, errno: i32) -> Cow<'_, str> {
    match errno {
        0 => message.into(),
        _ => message.replace(&format!(" (os error {errno})"), "").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(failure: &Failure) -> String {
        failure.full()
    }

    #[test]
    fn wording() {
        let missing = io::Error::from_raw_os_error(libc::ENOENT);
        let (file, standard) = (Path::new("a b"), Path::new("-"));
        let failure = Failure::io("open", file, &missing);
        assert_eq!(text(&failure), "cannot open 'a b': No such file or directory");
        assert_eq!(failure.message(), "cannot open 'a b': No such file or directory");
        assert_eq!(failure.status(), Status::Io);
        let create = Failure::storage("create", file, Error::io("creating 'a b'", &missing));
        assert_eq!(text(&create), "cannot create 'a b': No such file or directory");
        let link = Failure::cannot("link", file, Error::io("mapping 7 bytes", &missing));
        assert_eq!(text(&link), "cannot link 'a b': mapping 7 bytes: No such file or directory");
        let write = Failure::io("write", standard, &missing);
        assert_eq!(text(&write), "cannot write standard output: No such file or directory");
        let read = Failure::io("read", standard, &missing);
        assert_eq!(text(&read), "cannot read standard input: No such file or directory");
        let contents = Failure::in_file(file, Error::corrupt("HEADER: expected 1, found 2").at(7));
        assert_eq!(text(&contents), "'a b': HEADER: expected 1, found 2 (at offset 7)");
        assert_eq!((contents.message().as_ref(), contents.offset()), ("HEADER: expected 1, found 2", Some(7)));
    }
}
