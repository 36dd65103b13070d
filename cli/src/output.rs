//! Printing and the exit status: results on standard output, errors and warnings on standard error. No other module but
//! `progress` writes to either stream.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::Path;
use std::process::ExitCode;

use artifact::error::{Error, Status, escape, needs_escape};
use artifact::storage::without_size_signal;

use crate::closed::is_stdout_closed;
use crate::failure::Failure;
use crate::progress::Progress;

/// The result of a command for one file, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Success,
    Incompatible,
    OtherError,
    Damaged,
    Untrusted,
}

impl Outcome {
    pub fn of(status: Status) -> Outcome {
        match status {
            Status::Ok => Outcome::Success,
            Status::Incompatible | Status::WrongVersion | Status::WrongProducer | Status::Unsupported => {
                Outcome::Incompatible
            }
            Status::NotAnArtifact | Status::Truncated | Status::Corrupt | Status::DigestMismatch => Outcome::Damaged,
            Status::Untrusted => Outcome::Untrusted,
            _ => Outcome::OtherError,
        }
    }

    /// The exit status. 2 is reserved for usage errors.
    fn exit_status(self) -> u8 {
        match self {
            Outcome::Success => 0,
            Outcome::Incompatible => 1,
            Outcome::Damaged => 3,
            Outcome::Untrusted => 4,
            Outcome::OtherError => 5,
        }
    }
}

/// Why a command stopped early.
pub enum CommandError {
    /// Standard output cannot be written.
    Output(io::Error),
    /// A file that the rest of the command depends on.
    File(Failure),
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> CommandError {
        CommandError::Output(error)
    }
}

impl From<serde_json::Error> for CommandError {
    fn from(error: serde_json::Error) -> CommandError {
        CommandError::Output(error.into())
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> CommandError {
        CommandError::File(failure)
    }
}

/// The result of a command.
pub type CommandResult = Result<(), CommandError>;

/// The colour of text on a terminal.
#[derive(Clone, Copy)]
pub enum Style {
    Success,
    Warning,
    Error,
    Heading,
}

impl Style {
    /// Wraps the text in ECMA-48 SGR sequences if the stream takes colours.
    fn paint(self, text: &str, colours: bool) -> Cow<'_, str> {
        let code = match self {
            Style::Success => 32,
            Style::Warning => 33,
            Style::Error => 31,
            Style::Heading => 1,
        };
        if colours { format!("\x1b[{code}m{text}\x1b[0m").into() } else { text.into() }
    }
}

/// Whether to colour a stream: it must be a terminal that takes colours, and NO_COLOR must not be set (no-color.org).
fn colours(stream: &impl IsTerminal) -> bool {
    let variable = |name| std::env::var_os(name).unwrap_or_default();
    stream.is_terminal() && variable("NO_COLOR").is_empty() && variable("TERM") != "dumb"
}

/// Both output streams, and the worst outcome so far.
pub struct Console {
    out: BufWriter<Output<StdoutLock<'static>>>,
    terminal: bool,
    colours: bool,
    worst: Outcome,
}

impl Console {
    pub fn new() -> Console {
        let out = io::stdout().lock();
        let (terminal, colours) = (out.is_terminal(), colours(&out));
        let out = if is_stdout_closed() { Output::Missing } else { Output::Open(out) };
        Console { terminal, colours, out: BufWriter::new(out), worst: Outcome::Success }
    }

    /// Prints a blank line and a heading.
    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}", Style::Heading.paint(text, self.colours))
    }

    /// Prints a row of a table. On a terminal, the cells are padded to these widths, right-aligned where the width is
    /// negative. Elsewhere, they are separated by tabs, for `cut` and `awk`.
    pub fn row<const N: usize>(&mut self, widths: [isize; N], cells: [&str; N]) -> io::Result<()> {
        if !self.terminal {
            return writeln!(self.out, "{}", cells.join("\t"));
        }
        let mut row = String::new();
        for (width, cell) in widths.into_iter().zip(cells) {
            let (left, right) = if width < 0 { (0, width.unsigned_abs()) } else { (width.unsigned_abs(), 0) };
            // Either width is 0, which pads nothing.
            row.push_str(&format!("  {:<left$}", format!("{cell:>right$}")));
        }
        writeln!(self.out, "{}", row.trim_end())
    }

    /// Remembers an outcome if it is the worst so far.
    pub fn record(&mut self, outcome: Outcome) {
        self.worst = self.worst.max(outcome);
    }

    /// Prints an error and records its outcome.
    pub fn error(&mut self, failure: &Failure) -> io::Result<()> {
        self.record(Outcome::of(failure.status()));
        self.diagnose("error:", Style::Error, &failure.full())
    }

    /// Prints a warning about a file, which does not change the exit status.
    pub fn warn(&mut self, file: &Path, error: Error) -> io::Result<()> {
        self.diagnose("warning:", Style::Warning, &Failure::in_file(file, error).full())
    }

    fn diagnose(&mut self, label: &str, style: Style, message: &str) -> io::Result<()> {
        // Both streams may go to the same terminal: keep their order.
        self.out.flush()?;
        print_to_stderr(label, style, message);
        Ok(())
    }

    /// Prints a value as JSON, indented.
    pub fn json(&mut self, value: &impl serde::Serialize) -> CommandResult {
        serde_json::to_writer_pretty(EscapeJson(&mut self.out), value)?;
        Ok(writeln!(self.out)?)
    }

    /// Prints a value as JSON on one line.
    pub fn json_line(&mut self, value: &impl serde::Serialize) -> CommandResult {
        serde_json::to_writer(EscapeJson(&mut self.out), value)?;
        Ok(writeln!(self.out)?)
    }

    /// Prints `FILE: TEXT`. The file's name is escaped.
    pub fn line(&mut self, file: &Path, text: &str, style: Style) -> io::Result<()> {
        let file = escape(file.as_os_str().as_encoded_bytes());
        writeln!(self.out, "{file}: {}", style.paint(text, self.colours))
    }

    /// Shows progress until the result is dropped, if standard error is a terminal.
    pub fn progress(&mut self, action: &str, file: &Path) -> io::Result<Progress> {
        self.out.flush()?;
        Ok(Progress::new(&format!("{action} {}", file.to_string_lossy())))
    }

    /// Fails if standard output is a terminal, which binary data would garble.
    pub fn expect_binary_output(&self) -> Result<(), Error> {
        if self.terminal {
            return Err(Error::new(Status::InvalidArgument, "binary data is not written to a terminal"));
        }
        Ok(())
    }

    /// Prints the help or version on standard output, or a usage error on standard error, and ends the command.
    ///
    /// clap's own printing follows other rules for colours, and does not report failed writes.
    pub fn exit_with_usage(mut self, error: &clap::Error) -> ExitCode {
        let text = error.render();
        if error.use_stderr() {
            let mut err = io::stderr().lock();
            // clap repeats arguments as they are. Without colours it leaves escape sequences out.
            let plain = text.to_string();
            let lines: Vec<_> = plain.split('\n').map(|line| escape(line.as_bytes())).collect();
            let is_clean = std::env::args_os().all(|arg| arg.to_str().is_some_and(|arg| !arg.contains(needs_escape)));
            // A failed write to stderr cannot be reported anywhere.
            let _ = if is_clean && colours(&err) {
                write!(err, "{}", text.ansi())
            } else {
                write!(err, "{}", lines.join("\n"))
            };
            return ExitCode::from(2);
        }
        let printed = if self.colours { write!(self, "{}", text.ansi()) } else { write!(self, "{text}") };
        self.exit(printed.map_err(CommandError::Output))
    }

    /// Flushes standard output, prints the error that stopped the command, and returns the exit status.
    pub fn exit(mut self, result: CommandResult) -> ExitCode {
        let failure = match result.and_then(|()| Ok(self.out.flush()?)) {
            Ok(()) => None,
            Err(CommandError::Output(error)) => Some(Failure::io("write", Path::new("-"), &error)),
            Err(CommandError::File(failure)) => Some(failure),
        };
        if let Some(failure) = failure {
            self.record(Outcome::of(failure.status()));
            // Not `error()`: standard output may be what failed.
            print_to_stderr("error:", Style::Error, &failure.full());
        }
        ExitCode::from(self.worst.exit_status())
    }
}

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn print_to_stderr(label: &str, style: Style, message: &str) {
    let mut err = io::stderr().lock();
    let label = style.paint(label, colours(&err));
    // A failed write to stderr cannot be reported anywhere.
    let _ = without_size_signal(|| writeln!(err, "{label} {message}"));
}

/// Escapes what a terminal would interpret in JSON: control characters, which serde_json escapes below U+0020 only, and those that
/// reorder or hide text. Outside strings JSON has none of them but line feeds.
pub struct EscapeJson<W>(pub W);

impl<W: Write> Write for EscapeJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // serde_json writes whole characters at a time.
        let text = std::str::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let mut clean = 0;
        for (at, found) in text.char_indices().filter(|(_, c)| *c != '\n' && needs_escape(*c)) {
            self.0.write_all(text.get(clean..at).unwrap_or_default().as_bytes())?;
            for unit in found.encode_utf16(&mut [0; 2]) {
                write!(self.0, "\\u{unit:04x}")?;
            }
            clean = at + found.len_utf8();
        }
        self.0.write_all(text.get(clean..).unwrap_or_default().as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A stream that discards everything after its reader has closed the pipe, so that the command still runs to its end and
/// returns the right exit status.
enum Output<W> {
    Open(W),
    /// The pipe is closed.
    Closed,
    /// The stream was closed from the start: there never was a reader.
    Missing,
}

impl<W: Write> Output<W> {
    /// Calls `write`, or returns `discarded` if the pipe is closed.
    fn with<T>(&mut self, discarded: T, write: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        let Output::Open(stream) = self else { return Ok(discarded) };
        match without_size_signal(|| write(stream)) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                *self = Output::Closed;
                Ok(discarded)
            }
            result => result,
        }
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if matches!(self, Output::Missing) {
            return Err(io::Error::from_raw_os_error(libc::EBADF));
        }
        self.with(bytes.len(), |stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.with((), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_ordered_and_have_their_exit_status() {
        let outcomes =
            [Outcome::Success, Outcome::Incompatible, Outcome::OtherError, Outcome::Damaged, Outcome::Untrusted];
        assert!(outcomes.is_sorted());
        assert_eq!(outcomes.map(Outcome::exit_status), [0, 1, 5, 3, 4]);
    }

    #[test]
    fn json_has_no_raw_control_or_format_characters() {
        let text = "a\u{1b}\u{9b}\u{202e}\n\u{e0041}é\"";
        let mut json = Vec::new();
        serde_json::to_writer_pretty(EscapeJson(&mut json), &[text]).unwrap();
        let json = String::from_utf8(json).unwrap();
        assert_eq!(json, "[\n  \"a\\u001b\\u009b\\u202e\\n\\udb40\\udc41é\\\"\"\n]");
        assert_eq!(serde_json::from_str::<[String; 1]>(&json).unwrap(), [text]);
    }

    #[test]
    fn colours_surround_the_text() {
        assert_eq!(Style::Success.paint("OK", true), "\x1b[32mOK\x1b[0m");
        assert_eq!(Style::Success.paint("OK", false), "OK");
    }
}
