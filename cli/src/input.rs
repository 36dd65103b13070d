//! Where artifacts and engines come from: files by name, and `-` for standard input.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use artifact::artifact::{Artifact, OpenOptions};
use artifact::engine::Engine;
use artifact::error::{Error, Result, Status};
use artifact::storage::{Mapping, Part, Region};
use artifact::trust::keys::PublicKey;
use zeroize::Zeroizing;

use crate::output::Stop;

/// How every command opens what it reads.
#[derive(clap::Args)]
pub struct Opening {
    /// Open under the rules of this engine: refuse other producers and versions
    #[arg(long, value_name = "E.json")]
    engine: Option<PathBuf>,
    #[command(flatten)]
    trust: Trust,
}

/// Whose signatures a command asks for.
#[derive(clap::Args)]
pub struct Trust {
    /// Refuse what this key hasn't signed: a public key in PEM. Given several times, one of them is enough
    #[arg(long = "trust", value_name = "KEY")]
    trusted: Vec<PathBuf>,
    /// Signatures beside the file, as `artifact sign` makes them
    #[arg(long, value_name = "SIG")]
    signature: Option<PathBuf>,
}

/// What files are opened under.
#[derive(Default)]
pub struct Rules {
    pub engine: Option<Engine>,
    trusted: Vec<PublicKey>,
    signature: Vec<u8>,
}

impl Opening {
    pub fn inputs(&self) -> impl Iterator<Item = &Path> {
        self.engine.as_deref().into_iter().chain(self.trust.inputs())
    }

    pub fn rules(&self) -> std::result::Result<Rules, Stop> {
        self.trust.rules(self.engine.as_deref().map(engine).transpose()?)
    }
}

impl Trust {
    pub fn inputs(&self) -> impl Iterator<Item = &Path> {
        self.trusted.iter().chain(&self.signature).map(PathBuf::as_path)
    }

    pub fn rules(&self, engine: Option<Engine>) -> std::result::Result<Rules, Stop> {
        let trusted = self
            .trusted
            .iter()
            .map(|path| text(path, "public key", PublicKey::from_pem))
            .collect::<std::result::Result<_, _>>()?;
        let signature = match &self.signature {
            Some(path) => whole(path, "signature").map_err(|error| Stop::File(path.clone(), error))?,
            None => Vec::new(),
        };
        Ok(Rules { engine, trusted, signature })
    }
}

impl Rules {
    /// Whether a signature is asked for.
    pub fn ask_for_signature(&self) -> bool {
        !self.trusted.is_empty() || self.engine.as_ref().is_some_and(|engine| !engine.trusted_keys().is_empty())
    }
}

/// Whether a name means standard input.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// A file that may be an artifact.
pub enum Input {
    File(File),
    /// Standard input, read to its end. It stays until the process ends, so that no second copy is needed.
    Memory(&'static [u8]),
}

impl Input {
    pub fn open(path: &Path) -> Result<Input> {
        if is_standard(path) {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).map_err(|error| Error::io("reading standard input", &error))?;
            return Ok(Input::Memory(bytes.leak()));
        }
        Ok(Input::File(open(path)?))
    }

    pub fn artifact(&self, rules: &Rules) -> Result<Artifact> {
        let Rules { engine, trusted, signature } = rules;
        let (engine, options) = (engine.as_ref(), OpenOptions { trusted, signature, ..OpenOptions::default() });
        match self {
            Input::File(file) => Artifact::open_fd(file.as_fd(), engine, &options),
            Input::Memory(bytes) => Artifact::open_borrowed(bytes, engine, &options),
        }
    }

    /// All of it; no file stays open for that.
    pub fn bytes(&self) -> Result<Box<dyn AsRef<[u8]>>> {
        Ok(match self {
            Input::File(file) => Box::new(Mapping::open_fd(file.as_fd())?),
            Input::Memory(bytes) => Box::new(*bytes),
        })
    }

    pub fn region(&self) -> Result<Region> {
        match self {
            Input::File(file) => Region::open_fd(file.as_fd(), Part::default()),
            Input::Memory(bytes) => Region::borrowed(bytes, Part::default()),
        }
    }
}

/// Whether two names are of one file.
pub fn same_file(one: &Path, other: &Path) -> bool {
    match (std::fs::metadata(one), std::fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => one == other,
    }
}

/// Opens here and not in the library, whose errors name the file again; never waits for another process.
fn open(path: &Path) -> Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| Error::io("opening the file", &error))
}

/// An attribute as it is given on the command line.
pub fn attribute(text: &str) -> std::result::Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The engine in a JSON file.
pub fn engine(path: &Path) -> std::result::Result<Engine, Stop> {
    text(path, "engine in JSON", Engine::from_json)
}

/// What is in a file of text. Pipes are fine: it is read once.
pub fn text<T>(path: &Path, what: &str, parse: impl FnOnce(&str) -> Result<T>) -> std::result::Result<T, Stop> {
    let read = || {
        let text = String::from_utf8(whole(path, what)?).map_err(|error| {
            let at = error.utf8_error().valid_up_to() as u64;
            Error::new(Status::InvalidArgument, format!("{what}: expected UTF-8, found other bytes")).at(at)
        })?;
        parse(&text)
    };
    read().map_err(|error| Stop::File(path.to_owned(), error))
}

/// As [`text`], of what must not stay in memory.
pub fn secret<T>(path: &Path, what: &str, parse: impl FnOnce(&str) -> Result<T>) -> std::result::Result<T, Stop> {
    let read =
        || {
            let bytes = Zeroizing::new(whole(path, what)?);
            let text = std::str::from_utf8(&bytes);
            parse(text.map_err(|_| {
                Error::new(Status::InvalidArgument, format!("{what}: expected UTF-8, found other bytes"))
            })?)
        };
    read().map_err(|error| Stop::File(path.to_owned(), error))
}

/// Most bytes of a file that stands beside artifacts. Genuine ones have a few thousand.
pub const MAX_BESIDE: usize = 256 << 20;

/// All of a file that somebody names beside artifacts.
fn whole(path: &Path, what: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MAX_BESIDE as u64 + 1;
    let read = match is_standard(path) {
        true => io::stdin().lock().take(most).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes)),
    };
    read.map_err(|error| Error::io(format!("reading the {what}"), &error))?;
    if bytes.len() > MAX_BESIDE {
        let message = format!("{what}: expected at most {MAX_BESIDE} bytes, found more");
        return Err(Error::new(Status::Limit, message));
    }
    Ok(bytes)
}
