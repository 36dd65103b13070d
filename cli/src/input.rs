//! Reading: artifacts, modules, engines, keys and signatures, from named files or, for `-`, from standard input.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use artifact::artifact::{Artifact, OpenOptions};
use artifact::engine::Engine;
use artifact::error::{Error, Result as LibraryResult, Status};
use artifact::storage::{Part, Region};
use artifact::trust::keys::PublicKey;
use zeroize::Zeroizing;

use crate::cwasm::engine_from_json;
use crate::failure::Failure;

/// The options of every command that opens artifacts.
#[derive(clap::Args)]
pub struct OpenArgs {
    /// Reject artifacts of another producer or version than this engine's; a JSON file, as printed by `artifact engine`
    #[arg(long, value_name = "ENGINE")]
    engine: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
}

/// The options that require a signature.
#[derive(clap::Args)]
pub struct TrustArgs {
    /// Reject artifacts that are not signed by this public key, a PEM file. If repeated, one of the keys is enough
    #[arg(long = "trust", value_name = "KEY")]
    trusted: Vec<PathBuf>,
    /// Read detached signatures from this file, as written by `artifact sign`
    #[arg(long, value_name = "SIG")]
    signature: Option<PathBuf>,
}

/// The engine, keys and signatures with which artifacts are opened.
#[derive(Default)]
pub struct OpenRules {
    pub engine: Option<Engine>,
    /// Whether modules are mapped, as those are that are loaded. Otherwise they are read: another process may truncate the file.
    pub map: bool,
    /// The variant to open of a file of several targets; none for the one that the engine gets. The first one is also what a file of
    /// one target has.
    pub variant: Option<usize>,
    trusted: Vec<PublicKey>,
    signature: Vec<u8>,
}

impl OpenArgs {
    /// The files that a command reads which opens `files`.
    pub fn inputs<'a>(&'a self, files: impl IntoIterator<Item = &'a PathBuf>) -> Vec<&'a Path> {
        self.trust.inputs(files.into_iter().chain(&self.engine))
    }

    pub fn rules(&self) -> Result<OpenRules, Failure> {
        self.trust.rules(self.engine.as_deref().map(engine).transpose()?)
    }

    /// Opens one artifact.
    pub fn artifact(&self, file: &Path) -> Result<Artifact, Failure> {
        let rules = self.rules()?;
        Input::open(file)?.artifact(&rules)
    }
}

impl TrustArgs {
    /// The files that a command reads which opens `files`.
    pub fn inputs<'a>(&'a self, files: impl IntoIterator<Item = &'a PathBuf>) -> Vec<&'a Path> {
        files.into_iter().chain(&self.trusted).chain(&self.signature).map(PathBuf::as_path).collect()
    }

    pub fn rules(&self, engine: Option<Engine>) -> Result<OpenRules, Failure> {
        let public_key = |path: &PathBuf| parse(path, "public key", PublicKey::from_pem);
        let trusted = self.trusted.iter().map(public_key).collect::<Result<_, _>>()?;
        let signature = match &self.signature {
            Some(path) => read(path, "signature")?.to_vec(),
            None => Vec::new(),
        };
        Ok(OpenRules { engine, map: false, variant: Some(0), trusted, signature })
    }
}

impl OpenRules {
    /// The keys of the engine and of --trust, of which one must have signed a file.
    pub fn trusted_keys(&self) -> Vec<PublicKey> {
        self.engine.as_ref().map_or(&[][..], Engine::trusted_keys).iter().chain(&self.trusted).cloned().collect()
    }

    /// The detached signatures.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    pub fn require_signature(&self) -> bool {
        !self.trusted.is_empty() || self.engine.as_ref().is_some_and(|engine| !engine.trusted_keys().is_empty())
    }
}

/// Whether a name means standard input or output.
pub fn is_standard(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// An artifact, module or object file to read.
pub struct Input<'p> {
    path: &'p Path,
    source: Source,
}

enum Source {
    File(File),
    /// All of standard input. It is leaked, so that the library can borrow it without a second copy.
    Memory(&'static [u8]),
}

impl<'p> Input<'p> {
    pub fn open(path: &'p Path) -> Result<Input<'p>, Failure> {
        let source = if is_standard(path) {
            let mut bytes = Vec::new();
            let read = io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| Failure::io("read", path, &error))?;
            Source::Memory(bytes.leak())
        } else {
            // Opened here rather than by the library, whose messages would name the file a second time. Without
            // O_NONBLOCK, opening a FIFO would wait for another process.
            let options = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
            Source::File(options.map_err(|error| Failure::io("open", path, &error))?)
        };
        Ok(Input { path, source })
    }

    pub fn path(&self) -> &'p Path {
        self.path
    }

    pub fn artifact(&self, rules: &OpenRules) -> Result<Artifact, Failure> {
        let OpenRules { engine, map, variant, trusted, signature } = rules;
        let (engine, mut options) = (engine.as_ref(), OpenOptions::default());
        (options.trusted, options.signature, options.read) = (trusted, signature, !map);
        options.variant = *variant;
        let opened = match &self.source {
            Source::File(file) => Artifact::open_fd(file.as_fd(), engine, &options),
            Source::Memory(bytes) => Artifact::open_borrowed(bytes, engine, &options),
        };
        opened.map_err(|error| Failure::in_file(self.path, error))
    }

    /// The whole contents. Those of a file are copied: other processes can truncate it, such as a compiler that writes it again.
    pub fn bytes(&self) -> Result<Box<dyn AsRef<[u8]>>, Failure> {
        if let Source::Memory(bytes) = &self.source {
            return Ok(Box::new(*bytes));
        }
        let region = self.region()?;
        let copy = region.private_copy(0, region.len(), 0, 1);
        Ok(Box::new(copy.map_err(|error| Failure::in_file(self.path, error))?))
    }

    pub fn region(&self) -> Result<Region, Failure> {
        let region = match &self.source {
            Source::File(file) => Region::open_fd(file.as_fd(), Part::default()),
            Source::Memory(bytes) => Region::borrowed(bytes, Part::default()),
        };
        region.map_err(|error| Failure::in_file(self.path, error))
    }
}

/// Whether two paths name the same file.
pub fn same_file(a: &Path, b: &Path) -> bool {
    match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => a == b,
    }
}

/// Reads an engine from a JSON file; of one of Wasmtime's, what an artifact is compared with.
pub fn engine(path: &Path) -> Result<Engine, Failure> {
    parse(path, "engine in JSON", |json| Ok(engine_from_json(json)?.0))
}

/// Reads and parses a text file. The text, which may be a private key, is erased from memory afterwards.
pub fn parse<T>(path: &Path, what: &str, parser: impl FnOnce(&str) -> LibraryResult<T>) -> Result<T, Failure> {
    let bytes = read(path, what)?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let message = format!("{what}: expected UTF-8, found an invalid sequence");
        Error::new(Status::InvalidArgument, message).at(error.valid_up_to() as u64)
    });
    text.and_then(parser).map_err(|error| Failure::in_file(path, error))
}

/// The maximum size of a file that is read into memory: an engine, metadata.json, a key or signatures. Real ones have a few
/// thousand bytes.
pub const MAX_TEXT_LEN: usize = 256 << 20;

/// Reads a whole file, once, so that it may be a pipe.
fn read(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // Enough for a key: a reallocation would leave a copy of it in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(8 << 10));
    let limit = MAX_TEXT_LEN as u64 + 1;
    let result = if is_standard(path) {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        let file = File::open(path).map_err(|error| Failure::io("open", path, &error))?;
        file.take(limit).read_to_end(&mut bytes)
    };
    result.map_err(|error| Failure::io("read", path, &error))?;
    if bytes.len() > MAX_TEXT_LEN {
        let message = format!("{what}: expected at most {MAX_TEXT_LEN} bytes, found more");
        return Err(Failure::in_file(path, Error::new(Status::Limit, message)));
    }
    Ok(bytes)
}
