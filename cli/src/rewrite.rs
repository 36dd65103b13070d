//! `artifact rewrite`: the same body in a new file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifact::builder::Builder;
use artifact::error::{Error, Result, Status};

use crate::input::{self, Input, Opening, Rules};
use crate::keys;
use crate::output::{Console, Done, Stop};

/// Writes an artifact anew, its body kept byte for byte
///
/// Behind the body stands a trailer with digests over every byte, and the attributes. Anything else that follows the
/// body is dropped, if the version is one whose end is known. OUT is replaced as a whole or not at all, and may be FILE
/// itself.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact rewrite module.cwasm -o sealed.cwasm --attribute built-by=ci
  artifact rewrite module.cwasm -o clean.cwasm --no-trailer
  artifact rewrite module.cwasm -o module.cwasm
  artifact rewrite - -o - < module.cwasm | sha256sum")]
pub struct Args {
    /// The artifact; `-` is standard input
    file: PathBuf,
    /// Where to write; `-` is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Write the body alone: no digests, no attributes
    #[arg(long, conflicts_with_all = ["attributes", "keys"])]
    no_trailer: bool,
    /// Set an attribute; the others stay
    #[arg(long = "attribute", value_name = "K=V", value_parser = input::attribute)]
    attributes: Vec<(String, String)>,
    /// Sign with this private key, PKCS#8 in PEM; may be given several times
    #[arg(long = "sign", value_name = "KEY")]
    keys: Vec<PathBuf>,
    /// Leave out the signatures that it has
    #[arg(long)]
    unsign: bool,
    #[command(flatten)]
    opening: Opening,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        std::iter::once(self.file.as_path())
            .chain(self.opening.inputs())
            .chain(self.keys.iter().map(PathBuf::as_path))
            .collect()
    }
}

pub fn run(args: &Args, console: &mut Console) -> Done {
    let rules = args.opening.rules()?;
    let progress = console.working("reading", &args.file)?;
    let mut builder = read(args, &rules).map_err(|error| Stop::File(args.file.clone(), error))?;
    keys::sign_with(&mut builder, &args.keys)?;
    let void = builder.void_signatures().map_err(|error| Stop::File(args.file.clone(), error))?;
    drop(progress);
    if void > 0 {
        let message = format!("{void} of its signatures don't hold for what is written, and are left out");
        console.note(&args.file, &Error::new(Status::Untrusted, message))?;
    }
    console.save(&builder, &args.output)
}

fn read(args: &Args, rules: &Rules) -> Result<Builder<'static>> {
    let artifact = Input::open(&args.file)?.artifact(rules)?;
    // Now and not while writing, so that the error is about the right file.
    artifact.body()?;
    let mut builder = Builder::from_artifact(Arc::new(artifact))?;
    if args.unsign {
        builder.clear_signatures();
    }
    if args.no_trailer {
        builder.clear_attributes();
        builder.set_trailer(false)?;
    }
    for (name, value) in &args.attributes {
        builder.set_attribute(name, value.as_bytes())?;
    }
    Ok(builder)
}
