//! `artifact inspect`: what is in it. What that is `facts` finds out; `summary` and `types` word it for people.

use std::path::{Path, PathBuf};

use crate::facts::Facts;
use crate::input::{Input, Opening};
use crate::output::{Console, Done, Stop};
use crate::summary;

/// Shows what is in an artifact: origin, modules, settings, types
///
/// Works on incompatible artifacts too, and on those of foreign versions as far as they decode.
#[derive(clap::Args)]
#[command(after_help = "\
With --json: {\"file_len\", \"producer\", \"version\", \"target\", \"modules\": [{\"offset\", \"len\", \"align\", \
\"machine\", \"endian\", \"type\", \"sections\": [{\"name\", \"offset\", \"size\", \"align\", \"type\", \"flags\"}], \
\"symbols\": [{\"name\", \"value\", \"size\", \"type\", \"binding\", \"section\"}]}], \"main\", \"header_offset\", \
\"metadata_offset\", \"shared_flags\", \"isa_flags\", \"tunables\", \"features\", \"module_upvars\", \"types\", \
\"trailer\": {\"format\", \"attributes\", \"signed_by\", \"signatures\"}}. Maps keep the order of the file, attributes are \
base64, symbols are there with --symbols, and what couldn't be decoded is null. Without a trailer, \"signed_by\" stands \
outside of it if --signature was given.

Without it, tables have columns on a terminal, and elsewhere a tab between their cells.

Examples:
  artifact inspect module.cwasm
  artifact inspect --json module.cwasm | jq -r .target
  artifact inspect --symbols kernels.artifact | awk -F '\\t' '$3 == \"FUNC\"'
  curl -s https://example.org/module.cwasm | artifact inspect -")]
pub struct Args {
    /// The artifact; `-` is standard input
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// List the symbols of each module, too
    #[arg(long)]
    symbols: bool,
    #[command(flatten)]
    opening: Opening,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        std::iter::once(self.file.as_path()).chain(self.opening.inputs()).collect()
    }
}

pub fn run(args: &Args, console: &mut Console) -> Done {
    let rules = args.opening.rules()?;
    let file = args.file.as_path();
    let progress = console.working("reading", file)?;
    let artifact = Input::open(file)
        .and_then(|input| input.artifact(&rules))
        .map_err(|error| Stop::File(file.to_owned(), error))?;
    let facts = Facts::new(&artifact, args.symbols).map_err(|error| Stop::File(file.to_owned(), error))?;
    drop(progress);
    if args.json {
        console.document(&facts)?;
    } else {
        summary::print(console, file, &artifact, &facts)?;
    }
    // A foreign version is nothing wrong with the file: it is only said.
    if let Err(error) = artifact.metadata() {
        console.note(file, &error)?;
    }
    facts.modules.iter().filter_map(|module| module.damage.as_ref()).try_for_each(|error| {
        console.refuse(file, error)?;
        Ok(())
    })
}
