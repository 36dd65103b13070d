//! `artifact rewrite`: writes an artifact's body to a new file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifact::artifact::Artifact;
use artifact::builder::Builder;
use artifact::error::{Error, Result as LibraryResult, Status};

use crate::failure::Failure;
use crate::input::OpenArgs;
use crate::output::{CommandResult, Console};
use crate::variants::expect_one;
use crate::write::WriteArgs;

/// Rewrite an artifact, keeping its body byte for byte
///
/// Appends a trailer with the attributes and with digests of every byte. Other data after the body is dropped, unless the
/// layout of the version is unknown, and thus the end of the body. OUT is replaced atomically, and may be FILE itself.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact rewrite module.cwasm -o sealed.cwasm --attribute built-by=ci
  artifact rewrite module.cwasm -o clean.cwasm --no-trailer
  artifact rewrite module.cwasm -o module.cwasm
  artifact rewrite - -o - < module.cwasm | sha256sum")]
pub struct Args {
    /// Artifact to rewrite; `-` is standard input
    file: PathBuf,
    #[command(flatten)]
    write: WriteArgs,
    /// Drop the existing signatures
    #[arg(long)]
    unsign: bool,
    #[command(flatten)]
    open: OpenArgs,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        self.open.inputs([&self.file].into_iter().chain(self.write.inputs()))
    }
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    let Args { file, write, unsign, open } = args;
    let progress = console.progress("reading", file)?;
    let mut builder = builder(open.artifact(file)?).map_err(|error| Failure::in_file(file, error))?;
    if *unsign {
        builder.clear_signatures();
    }
    write.apply(&mut builder)?;
    let void = builder.void_signatures().map_err(|error| write.cannot_write(error))?;
    drop(progress);
    if void > 0 {
        let signatures = if void == 1 { "signature" } else { "signatures" };
        let message = format!("dropped {void} {signatures} not valid for the rewritten artifact");
        console.warn(file, Error::new(Status::Untrusted, message))?;
    }
    write.save(&builder, console)
}

fn builder(artifact: Artifact) -> LibraryResult<Builder<'static>> {
    expect_one(&artifact, "artifact fat")?;
    // Read the body now: an error while saving would be reported for the output.
    artifact.body()?;
    Builder::from_artifact(Arc::new(artifact))
}
