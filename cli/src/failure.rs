//! What a command fails with, and how it is worded: `cannot open 'FILE': REASON` if an operation on a file failed,
//! `'FILE': REASON` if the contents of a file are at fault.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use artifact::error::{Error, Status};

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

    /// The message without the offset, for output that names the file by itself.
    pub fn message(&self) -> Cow<'_, str> {
        match self.action {
            Some(_) => format!("{}: {}", String::from_utf8_lossy(&self.subject()), self.error.message()).into(),
            None => self.error.message().into(),
        }
    }

    /// The message in full. A file's name is shown as it was given, whatever its bytes are.
    pub fn to_bytes(&self) -> Vec<u8> {
        let errno = Some(self.error.errno()).filter(|errno| *errno != 0);
        let mut text = self.subject();
        text.extend_from_slice(b": ");
        text.extend_from_slice(without_errno(self.error.to_string(), errno).as_bytes());
        text
    }

    /// What comes before the reason.
    fn subject(&self) -> Vec<u8> {
        let action = self.action.map(|action| format!("cannot {action} ")).unwrap_or_default();
        let name = match (is_standard(&self.file), self.action) {
            (true, Some("write")) => b"standard output".to_vec(),
            (true, _) => b"standard input".to_vec(),
            (false, _) => [b"'", self.file.as_os_str().as_encoded_bytes(), b"'"].concat(),
        };
        [action.into_bytes(), name].concat()
    }
}

/// An error of the operating system, with its description as the whole message.
pub fn system_error(cause: &io::Error) -> Error {
    let status = if cause.kind() == io::ErrorKind::OutOfMemory { Status::NoMemory } else { Status::Io };
    Error::new(status, without_errno(cause.to_string(), cause.raw_os_error()))
}

/// A message without the error number that the standard library appends to the system's description.
fn without_errno(message: String, errno: Option<i32>) -> String {
    match errno {
        Some(errno) => message.replace(&format!(" (os error {errno})"), ""),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(failure: &Failure) -> String {
        String::from_utf8(failure.to_bytes()).unwrap()
    }

    #[test]
    fn wording() {
        let missing = io::Error::from_raw_os_error(libc::ENOENT);
        let (file, standard) = (Path::new("a b"), Path::new("-"));
        let failure = Failure::io("open", file, &missing);
        assert_eq!(text(&failure), "cannot open 'a b': No such file or directory");
        assert_eq!(failure.message(), "cannot open 'a b': No such file or directory");
        assert_eq!(failure.status(), Status::Io);
        let library = Failure::cannot("write", file, Error::io("renaming it", &missing));
        assert_eq!(text(&library), "cannot write 'a b': renaming it: No such file or directory");
        assert_eq!(
            text(&Failure::io("write", standard, &missing)),
            "cannot write standard output: No such file or directory"
        );
        assert_eq!(
            text(&Failure::io("read", standard, &missing)),
            "cannot read standard input: No such file or directory"
        );
        let contents = Failure::in_file(file, Error::corrupt("HEADER: expected 1, found 2").at(7));
        assert_eq!(text(&contents), "'a b': HEADER: expected 1, found 2 (at offset 7)");
        assert_eq!((contents.message().as_ref(), contents.offset()), ("HEADER: expected 1, found 2", Some(7)));
    }
}
