//! What is printed, and what the process ends with: results on stdout, errors on stderr, and the worst outcome of all
//! files as the exit status. The only place that writes to either stream.

use std::borrow::Cow;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use artifact::builder::Builder;
use artifact::error::{Error, Status};
use artifact::storage::Sync;

use crate::input::is_standard;
use crate::progress::Progress;

/// What a file came to, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Fine,
    Incompatible,
    Other,
    Damaged,
    Untrusted,
}

impl Outcome {
    pub fn of(status: Status) -> Outcome {
        match status {
            Status::Ok => Outcome::Fine,
            Status::Incompatible | Status::WrongVersion | Status::WrongProducer | Status::Unsupported => {
                Outcome::Incompatible
            }
            Status::NotAnArtifact | Status::Truncated | Status::Corrupt | Status::DigestMismatch => Outcome::Damaged,
            Status::Untrusted => Outcome::Untrusted,
            Status::InvalidArgument
            | Status::Io
            | Status::Limit
            | Status::NoMemory
            | Status::NotFound
            | Status::Unresolved
            | Status::Internal => Outcome::Other,
        }
    }

    /// The exit status; 2 is for wrong usage.
    fn code(self) -> u8 {
        match self {
            Outcome::Fine => 0,
            Outcome::Incompatible => 1,
            Outcome::Damaged => 3,
            Outcome::Untrusted => 4,
            Outcome::Other => 5,
        }
    }
}

/// Why a command ended before its time.
pub enum Stop {
    /// Nothing more can be printed.
    Output(io::Error),
    /// A file that everything else depends on.
    File(PathBuf, Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Output(error)
    }
}

impl From<serde_json::Error> for Stop {
    fn from(error: serde_json::Error) -> Stop {
        Stop::Output(error.into())
    }
}

/// The result of a command.
pub type Done = Result<(), Stop>;

/// How text looks on a terminal.
#[derive(Clone, Copy)]
pub enum Paint {
    Good,
    Odd,
    Bad,
    Heading,
}

impl Paint {
    /// ECMA-48, Select Graphic Rendition.
    fn around(self, text: &str, terminal: bool) -> Cow<'_, str> {
        let code = match self {
            Paint::Good => 32,
            Paint::Odd => 33,
            Paint::Bad => 31,
            Paint::Heading => 1,
        };
        if terminal { format!("\x1b[{code}m{text}\x1b[0m").into() } else { text.into() }
    }
}

/// Whether a stream may be coloured: a terminal that can, whose user doesn't decline it (no-color.org).
fn colours(stream: &impl IsTerminal) -> bool {
    let given = |name| std::env::var_os(name).unwrap_or_default();
    stream.is_terminal() && given("NO_COLOR").is_empty() && given("TERM") != "dumb"
}

/// Both streams, and the worst outcome so far.
pub struct Console {
    out: BufWriter<Quiet<StdoutLock<'static>>>,
    terminal: bool,
    colours: bool,
    worst: Outcome,
}

impl Console {
    pub fn new() -> Console {
        let out = io::stdout().lock();
        let (terminal, colours) = (out.is_terminal(), colours(&out));
        Console { terminal, colours, out: BufWriter::new(Quiet::Open(out)), worst: Outcome::Fine }
    }

    /// A line that begins something new.
    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{}", Paint::Heading.around(text, self.colours))
    }

    /// A row of a table: on a terminal in columns this wide, numbers to the right where the width is negative; elsewhere with
    /// a tab between the cells, for `cut` and `awk`.
    pub fn row<const N: usize>(&mut self, widths: [isize; N], cells: [&str; N]) -> io::Result<()> {
        if !self.terminal {
            return writeln!(self.out, "{}", cells.join("\t"));
        }
        let mut row = String::new();
        for (width, cell) in widths.into_iter().zip(cells) {
            let (left, right) = if width < 0 { (0, width.unsigned_abs()) } else { (width.unsigned_abs(), 0) };
            // One of both is 0, and does nothing.
            row.push_str(&format!("  {:<left$}", format!("{cell:>right$}")));
        }
        writeln!(self.out, "{}", row.trim_end())
    }

    /// Remembers an outcome if it is the worst so far.
    pub fn count(&mut self, outcome: Outcome) {
        self.worst = self.worst.max(outcome);
    }

    /// Says on stderr what went wrong with a file, and counts it.
    pub fn refuse(&mut self, file: &Path, error: &Error) -> io::Result<()> {
        self.count(Outcome::of(error.status()));
        self.note(file, error)
    }

    /// Says something about a file on stderr.
    pub fn note(&mut self, file: &Path, error: &Error) -> io::Result<()> {
        // First what was printed before: both streams may go to one terminal.
        self.out.flush()?;
        complain(file, &error.to_string());
        Ok(())
    }

    /// One value as JSON, over several lines.
    pub fn document(&mut self, value: &impl serde::Serialize) -> Done {
        serde_json::to_writer_pretty(&mut self.out, value)?;
        Ok(writeln!(self.out)?)
    }

    /// One value as JSON, on one line.
    pub fn json_line(&mut self, value: &impl serde::Serialize) -> Done {
        serde_json::to_writer(&mut self.out, value)?;
        Ok(writeln!(self.out)?)
    }

    /// `FILE: sentence`, with the name as it was given, whatever its bytes are.
    pub fn line(&mut self, file: &Path, sentence: &str, paint: Paint) -> io::Result<()> {
        self.out.write_all(file.as_os_str().as_encoded_bytes())?;
        writeln!(self.out, ": {}", paint.around(sentence, self.colours))
    }

    /// Says what takes long from here on, until the result is dropped, if somebody is watching.
    pub fn working(&mut self, on: &str, file: &Path) -> io::Result<Progress> {
        self.out.flush()?;
        Ok(Progress::new(&format!("{on} {}", file.to_string_lossy())))
    }

    /// Saves an artifact, as a file that is replaced whole or not at all, or on standard output.
    pub fn save(&mut self, builder: &Builder<'_>, output: &Path) -> Done {
        let _progress = self.working("writing", output)?;
        if is_standard(output) {
            let written = self.takes_bytes().and_then(|()| {
                builder.serialize_to(|piece| self.write_all(piece).map_err(|error| Error::io("writing", &error)))
            });
            return written.map_err(|error| Stop::File(PathBuf::from("standard output"), error));
        }
        builder.serialize_to_file(output, Sync::Yes).map_err(|error| Stop::File(output.to_owned(), error))
    }

    /// Refuses terminals, which bytes that are no text upset.
    pub fn takes_bytes(&self) -> Result<(), Error> {
        if self.terminal {
            return Err(Error::new(Status::InvalidArgument, "expected a file or a pipe, found a terminal"));
        }
        Ok(())
    }

    /// Prints help where it was asked for, and on stderr what is wrong with the arguments. Here and not by clap, which has other
    /// rules for colours and doesn't notice that output is lost.
    pub fn usage(mut self, error: &clap::Error) -> ExitCode {
        let text = error.render();
        if error.use_stderr() {
            let mut err = io::stderr().lock();
            // Where stderr can't be written to, nobody can be told.
            let _ = if colours(&err) { write!(err, "{}", text.ansi()) } else { write!(err, "{text}") };
            return ExitCode::from(2);
        }
        let printed = if self.colours { write!(self, "{}", text.ansi()) } else { write!(self, "{text}") };
        self.finish(printed.map_err(Stop::Output))
    }

    /// Prints what is left and says why a command stopped, if it did.
    pub fn finish(mut self, done: Done) -> ExitCode {
        match done.and_then(|()| Ok(self.out.flush()?)) {
            Ok(()) => {}
            Err(Stop::Output(error)) => {
                self.count(Outcome::Other);
                complain(Path::new("standard output"), &error.to_string());
            }
            Err(Stop::File(file, error)) => {
                self.count(Outcome::of(error.status()));
                complain(&file, &error.to_string());
            }
        }
        ExitCode::from(self.worst.code())
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

fn complain(file: &Path, sentence: &str) {
    let mut err = io::stderr().lock();
    let name = Paint::Bad.around("artifact:", colours(&err));
    // Where stderr can't be written to, nobody can be told.
    let _ = write!(err, "{name} ")
        .and_then(|()| err.write_all(file.as_os_str().as_encoded_bytes()))
        .and_then(|()| writeln!(err, ": {sentence}"));
}

/// A stream whose reader may leave: what comes after that is dropped in silence, and the work goes on to its exit status.
enum Quiet<W> {
    Open(W),
    Left,
}

impl<W: Write> Quiet<W> {
    fn with<T>(&mut self, gone: T, write: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        let Quiet::Open(stream) = self else { return Ok(gone) };
        match write(stream) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                *self = Quiet::Left;
                Ok(gone)
            }
            done => done,
        }
    }
}

impl<W: Write> Write for Quiet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
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
    fn the_worst_counts() {
        let order = [Outcome::Fine, Outcome::Incompatible, Outcome::Other, Outcome::Damaged, Outcome::Untrusted];
        assert!(order.is_sorted());
        assert_eq!(order.map(Outcome::code), [0, 1, 5, 3, 4]);
    }

    #[test]
    fn colours_are_around_the_text() {
        assert_eq!(Paint::Good.around("sound", true), "\x1b[32msound\x1b[0m");
        assert_eq!(Paint::Good.around("sound", false), "sound");
    }
}
