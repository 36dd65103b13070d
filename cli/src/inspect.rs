//! `artifact inspect`: shows the contents of an artifact.

use std::path::{Path, PathBuf};

use artifact::artifact::{Artifact, OpenOptions};

use crate::cwasm;
use crate::facts::Facts;
use crate::failure::Failure;
use crate::input::{Input, OpenArgs, OpenRules};
use crate::output::{CommandResult, Console};
use crate::packs;
use crate::summary;

/// Show the contents of an artifact: origin, modules, settings and types
///
/// Works on incompatible artifacts, too, and on files of Wasmtime 3 and newer. If the layout of the version is unknown, shows what can be
/// decoded. Of a pack, shows which artifacts it has; with --trust, the pack itself has to be signed.
#[derive(clap::Args)]
#[command(after_help = "\
With --json, prints {\"file_len\", \"producer\", \"version\", \"target\", \"modules\": [{\"offset\", \"len\", \"align\", \
\"machine\", \"endian\", \"type\", \"sections\": [{\"name\", \"offset\", \"size\", \"align\", \"type\", \"flags\"}], \
\"symbols\": [{\"name\", \"value\", \"size\", \"type\", \"binding\", \"section\"}]}], \"main\", \"header_offset\", \
\"metadata_offset\", \"shared_flags\", \"isa_flags\", \"tunables\", \"features\", \"module_upvars\", \"types\", \
\"trailer\": {\"format\", \"attributes\", \"signed_by\", \"signatures\"}}. Maps keep the order of the file. Attributes are \
base64. \"symbols\" is present only with --symbols. Values that cannot be decoded are null. For a file without a trailer, \
\"signed_by\" is a key of the outermost object, and present only if a signature given with --signature is trusted. For a pack, \
prints {\"file_len\", \"align\", \"signed_by\", \"signatures\", \"artifacts\": [{\"key\", \"target\", \"offset\", \"len\"}]}.

For a file of Wasmtime 3 or newer: {\"file_len\", \"kind\", \"version\", \"target\", \"shared_flags\", \"isa_flags\", \
\"tunables\", \"features\", \"sections\", \"symbols\"}. \"kind\" is \"module\" or \"component\"; \"features\" is a list of \
switches up to version 32, and a number in hexadecimal later.

For a file of several targets, all of this is about one variant, from the variant's start, and there are also \"variant\", its \
index, \"host_variant\", the index of the one that this host would get or null, \"index\": {\"signed_by\", \"signatures\"} \
and \"variants\": [{\"index\", \"target\", \"needs\", \"offset\", \"len\", \"score\"}].

Without --json, tables are aligned on a terminal, and tab-separated elsewhere.

Examples:
  artifact inspect module.cwasm
  artifact inspect --json module.cwasm | jq -r .target
  artifact inspect --symbols kernels.artifact | awk -F '\\t' '$3 == \"FUNC\"'
  curl -s https://example.org/module.cwasm | artifact inspect -")]
pub struct Args {
    /// Artifact or pack to inspect; `-` is standard input
    file: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Also list the symbols of each module
    #[arg(long)]
    symbols: bool,
    /// Of a file of several targets, show this variant [default: the most portable one]
    #[arg(long, value_name = "N")]
    variant: Option<usize>,
    #[command(flatten)]
    open: OpenArgs,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        self.open.inputs([&self.file])
    }
}

/// Opens the file, of several targets the variant that is asked for.
fn open(args: &Args, input: &Input<'_>, mut rules: OpenRules) -> Result<Artifact, Failure> {
    let file = args.file.as_path();
    rules.variant = args.variant.or(rules.variant);
    let artifact = input.artifact(&rules)?;
    let last = artifact.variant_count() - 1;
    if args.variant.is_some() || last == 0 {
        return Ok(artifact);
    }
    let mut options = OpenOptions::default();
    options.read = true;
    artifact.open_variant(last, &options).map_err(|error| Failure::in_file(file, error))
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    let file = args.file.as_path();
    let in_file = |error| Failure::in_file(file, error);
    let progress = console.progress("reading", file)?;
    let (rules, input) = (args.open.rules()?, Input::open(file)?);
    if let Some(pack) = packs::open(file, &input, &rules)? {
        drop(progress);
        return packs::inspect(console, file, &pack, &rules, args.json);
    }
    if let Some(found) = cwasm::open(&input, &rules)? {
        found.check_origin(rules.engine.as_ref())?;
        drop(progress);
        return found.inspect(console, args.json, args.symbols);
    }
    let artifact = open(args, &input, rules)?;
    let facts = Facts::new(&artifact, args.symbols).map_err(in_file)?;
    drop(progress);
    if args.json {
        console.json(&facts)?;
    } else {
        summary::print(console, file, &artifact, &facts)?;
    }
    // The settings of an unknown version cannot be decoded, which is no fault of the file.
    if let Err(error) = artifact.metadata() {
        console.warn(file, error)?;
    }
    for module in facts.modules {
        if let Some(error) = module.damage {
            console.error(&in_file(error))?;
        }
    }
    Ok(())
}
