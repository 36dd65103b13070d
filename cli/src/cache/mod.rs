//! `artifact cache`: what is in the folder of a cache, and what can be done with all of it. One file for each subject: `entries` lists and
//! verifies, `limits` trims and clears, `export` makes a pack.

mod entries;
mod export;
mod limits;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use artifact::cache::{Cache, CacheOptions, Event};
use artifact::engine::Engine;
use artifact::trust::keys::PublicKey;

use crate::failure::Failure;
use crate::input;
use crate::output::{CommandResult, Console};

/// Show, verify, trim, pack or clear the folder of a cache
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact cache stat ~/.cache/compiler
  artifact cache trim --max-bytes 200M --max-age 30d ~/.cache/compiler
  artifact cache pack ~/.cache/compiler -o prefilled.pack")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Stat(entries::Stat),
    List(entries::List),
    Verify(entries::Verify),
    Trim(limits::Trim),
    Pack(export::Pack),
    Clear(limits::Clear),
}

/// The folder, for every command.
#[derive(clap::Args)]
struct FolderArgs {
    /// Folder of a cache
    folder: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The keys that entries must be signed with.
#[derive(clap::Args)]
struct TrustArgs {
    /// Accept only entries that are signed by this public key, a PEM file. If repeated, one of the keys is enough
    #[arg(long = "trust", value_name = "KEY")]
    trusted: Vec<PathBuf>,
}

impl Args {
    /// The files that the command reads.
    pub fn inputs(&self) -> Vec<&Path> {
        let files = match &self.command {
            Command::Verify(args) => args.trust.trusted.iter().chain(&[]),
            Command::Pack(args) => args.trust.trusted.iter().chain(&args.keys),
            Command::Stat(_) | Command::List(_) | Command::Trim(_) | Command::Clear(_) => return Vec::new(),
        };
        files.map(PathBuf::as_path).collect()
    }
}

impl TrustArgs {
    fn engine(&self) -> Result<Engine, Failure> {
        let mut engine = Engine::host();
        for path in &self.trusted {
            engine.trust(input::parse(path, "public key", PublicKey::from_pem)?);
        }
        Ok(engine)
    }
}

/// Opens the cache in a folder that must be one. Nothing is written to it unless `change` says so.
fn open(folder: &Path, engine: &Engine, change: impl FnOnce(&mut CacheOptions)) -> Result<Cache, Failure> {
    let open = |options| {
        let cache = Cache::open(folder, engine, options).map_err(|error| Failure::cannot("open", folder, error))?;
        match cache.trouble() {
            Some(error) => Err(Failure::storage("open", folder, error)),
            None => Ok(cache),
        }
    };
    let mut options = CacheOptions::default();
    options.read_only = true;
    let mut changed = options.clone();
    change(&mut changed);
    // A folder that is no cache does not become one.
    let cache = open(options)?;
    if changed.read_only && changed.on_event.is_none() { Ok(cache) } else { open(changed) }
}

/// Returns a callback that collects what was left out of a pack, and why.
fn collect_failures(failures: &Arc<Mutex<Vec<Failure>>>) -> Arc<artifact::cache::OnEvent> {
    let failures = Arc::clone(failures);
    Arc::new(move |event: &Event<'_>| {
        if let (Some(error), Ok(mut failures)) = (event.error, failures.lock()) {
            failures.push(Failure::in_file(event.path, error.duplicate()));
        }
    })
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    match &args.command {
        Command::Stat(args) => entries::stat(args, console),
        Command::List(args) => entries::list(args, console),
        Command::Verify(args) => entries::verify(args, console),
        Command::Trim(args) => limits::trim(args, console),
        Command::Pack(args) => export::pack(args, console),
        Command::Clear(args) => limits::clear(args, console),
    }
}
