//! `artifact verify`: checks artifacts for damage.

use std::path::{Path, PathBuf};

use crate::cwasm;
use crate::failure::Failure;
use crate::input::{Input, OpenArgs, OpenRules};
use crate::output::{CommandResult, Console, Outcome};
use crate::packs;
use crate::verdict::{self, Checked, Format};

/// Verify all digests, bounds, links and tables of artifacts
///
/// Prints `FILE: OK`, or one line for each warning. A warning reports a deviation that Wasmtime 0.33 accepts but no known writer
/// produces. Damage is an error. Of a pack, all artifacts in it are verified. A file of Wasmtime 3 or newer has no digests: without a
/// signature, only its structure is verified. Of a file of several targets, all variants and what is between them are verified.
#[derive(clap::Args)]
#[command(after_help = "\
With --json, prints one line for each file: {\"file\", \"status\", \"sentence\", \"offset\", \"findings\": [{\"kind\", \
\"setting\", \"artifact\", \"engine\", \"sentence\"}]}. \"status\" is the artifact_status_t of the C interface; \"findings\" \
are the warnings.

Examples:
  artifact verify module.cwasm
  artifact verify --strict *.cwasm
  curl -s https://example.org/module.cwasm | artifact verify -")]
pub struct Args {
    /// Artifacts or packs to verify; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Treat warnings as damage: exit with status 3
    #[arg(long)]
    strict: bool,
    /// Print one JSON object for each file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    open: OpenArgs,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        self.open.inputs(&self.files)
    }
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    let rules = args.open.rules()?;
    let finding = if args.strict { Outcome::Damaged } else { Outcome::Success };
    let format = Format { json: args.json, all: true, success: "OK", finding };
    args.files.iter().try_for_each(|file| {
        let progress = console.progress("verifying", file)?;
        let report = verify(file, &rules);
        drop(progress);
        verdict::print(console, file, &report, &format, None)
    })
}

fn verify(file: &Path, rules: &OpenRules) -> Result<Checked, Failure> {
    let input = Input::open(file)?;
    if let Some(pack) = packs::open(file, &input, rules)? {
        return packs::verify(file, &pack, rules).map(Checked::from);
    }
    if let Some(found) = cwasm::open(&input, rules)? {
        found.check_origin(rules.engine.as_ref())?;
        return found.verify().map(Checked::from);
    }
    let report = input.artifact(rules)?.verify();
    report.map(Checked::from).map_err(|error| Failure::in_file(file, error))
}
