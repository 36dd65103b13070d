//! `artifact fat` and `artifact thin`: files of several targets, and one variant out of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifact::artifact::OpenOptions;
use artifact::builder::FatBuilder;
use artifact::error::{Error, Status};
use artifact::storage::Sync;

use crate::failure::{Failure, system_error};
use crate::input::{self, Input, OpenArgs, OpenRules, is_standard};
use crate::output::{CommandResult, Console};
use crate::write::private_key;

/// Make one file of artifacts for several targets, of which each host gets the best
///
/// Each artifact becomes a variant, byte for byte. A host gets the first variant whose target and instruction sets it has: those that
/// need more come before those that need less of it, then higher scores, then the order given. A file of several targets may be given
/// too: its variants are added with their scores.
#[derive(clap::Args)]
#[command(after_help = "\
All artifacts must have been made by the same producer and version, need different things, and have a trailer. Of one \
artifact, a copy is written. --sign signs the index, which says what the variants are; the artifacts keep their own signatures.

Examples:
  artifact pack -o v1.artifact --object kernels.o
  artifact pack -o v3.artifact --cpu x86-64-v3 --object kernels-v3.o
  artifact fat v1.artifact v3.artifact -o kernels.artifact --sign release.key
  artifact fat kernels.artifact arm.artifact -o kernels.artifact
  artifact check kernels.artifact")]
pub struct Fat {
    /// Artifacts to put together; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// File to write; `-` is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Scores of the files, in their order: of two variants of which neither needs all that the other does, the higher one comes first
    #[arg(long, value_name = "SCORE,...", value_delimiter = ',', allow_hyphen_values = true)]
    scores: Vec<i32>,
    /// Sign the index with this private key, a PEM file (PKCS#8); may be repeated
    #[arg(long = "sign", value_name = "KEY")]
    keys: Vec<PathBuf>,
    #[command(flatten)]
    open: OpenArgs,
}

/// Take one variant out of a file of several targets
///
/// Writes the variant byte for byte, as an artifact of one target, with its own signatures.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact thin kernels.artifact --variant 0 -o v3.artifact
  artifact engine --cpu haswell > haswell.json; artifact thin kernels.artifact --for haswell.json -o v3.artifact")]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct Thin {
    /// File of several targets; `-` is standard input
    file: PathBuf,
    /// File to write; `-` is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// The variant with this number, as `artifact inspect` lists them
    #[arg(long, value_name = "N", group = "which")]
    variant: Option<usize>,
    /// The variant that this engine gets; a JSON file, as printed by `artifact engine`
    #[arg(long = "for", value_name = "ENGINE", group = "which", conflicts_with = "engine")]
    for_engine: Option<PathBuf>,
    #[command(flatten)]
    open: OpenArgs,
}

impl Fat {
    pub fn inputs(&self) -> Vec<&Path> {
        self.open.inputs(self.files.iter().chain(&self.keys))
    }

    /// Returns what is wrong with the arguments although each by itself is right.
    pub fn check(&self) -> Result<(), Error> {
        if self.scores.is_empty() || self.scores.len() == self.files.len() {
            return Ok(());
        }
        let message = format!("scores: expected {}, one for each file, found {}", self.files.len(), self.scores.len());
        Err(Error::new(Status::InvalidArgument, message))
    }
}

impl Thin {
    pub fn inputs(&self) -> Vec<&Path> {
        self.open.inputs([&self.file].into_iter().chain(&self.for_engine))
    }
}

pub fn fat(args: &Fat, console: &mut Console) -> CommandResult {
    let Fat { files, output, scores, keys, open } = args;
    let rules = open.rules()?;
    let mut builder = FatBuilder::new();
    for (index, file) in files.iter().enumerate() {
        let progress = console.progress("reading", file)?;
        add(&mut builder, file, &rules, scores.get(index).copied())?;
        drop(progress);
    }
    for file in keys {
        let key = Arc::new(private_key(file)?);
        builder.add_key(&key).map_err(|error| Failure::in_file(file, error))?;
    }
    let void = builder.void_signatures().map_err(|error| Failure::cannot("write", output, error))?;
    if void > 0 {
        let signatures = if void == 1 { "signature" } else { "signatures" };
        let message = format!("dropped {void} {signatures} of an index that has changed");
        console.warn(output, Error::new(Status::Untrusted, message))?;
    }
    save(&builder, output, console)
}

/// Adds the variants of a file, in the order in which they were added to it.
fn add(builder: &mut FatBuilder, file: &Path, rules: &OpenRules, score: Option<i32>) -> Result<(), Failure> {
    let in_file = |error| Failure::in_file(file, error);
    let artifact = Input::open(file)?.artifact(rules)?;
    if artifact.variant_count() == 1 {
        return builder.add(Arc::new(artifact), score.unwrap_or(0)).map(drop).map_err(in_file);
    }
    let artifact = Arc::new(artifact);
    if builder.variant_count() == 0 && score.is_none() {
        *builder = FatBuilder::from_artifact(&artifact).map_err(in_file)?;
        return Ok(());
    }
    let mut options = OpenOptions::default();
    options.read = true;
    let rows: Result<Vec<_>, Error> = (0..artifact.variant_count())
        .map(|index| artifact.variant(index).map(|row| (row.added, index, row.score)))
        .collect();
    let mut rows = rows.map_err(in_file)?;
    rows.sort_unstable();
    for (_, index, own) in rows {
        let added = artifact.open_variant(index, &options);
        let added = added.and_then(|variant| builder.add(Arc::new(variant), score.unwrap_or(own)));
        added.map_err(in_file)?;
    }
    Ok(())
}

pub fn thin(args: &Thin, console: &mut Console) -> CommandResult {
    let Thin { file, output, variant, for_engine, open } = args;
    let mut rules = open.rules()?;
    rules.variant = *variant;
    if let Some(path) = for_engine {
        rules.engine = Some(input::engine(path)?);
    }
    let progress = console.progress("reading", file)?;
    let artifact = Input::open(file)?.artifact(&rules)?;
    let mut builder = FatBuilder::new();
    builder.add(Arc::new(artifact), 0).map_err(|error| Failure::in_file(file, error))?;
    drop(progress);
    save(&builder, output, console)
}

/// Saves the file, atomically if the output is one.
fn save(builder: &FatBuilder, output: &Path, console: &mut Console) -> CommandResult {
    let _progress = console.progress("writing", output)?;
    if is_standard(output) {
        let written = console.expect_binary_output().and_then(|()| {
            builder.serialize_to(|piece| console.write_all(piece).map_err(|error| system_error(&error)))
        });
        return Ok(written.map_err(|error| Failure::cannot("write", output, error))?);
    }
    let saved = builder.serialize_to_file(output, Sync::Yes);
    Ok(saved.map_err(|error| Failure::storage("write", output, error))?)
}
