//! `artifact check`: checks whether artifacts are compatible with an engine.

use std::path::{Path, PathBuf};

use artifact::artifact::Artifact;
use artifact::compat;
use artifact::detect::detect_region;
use artifact::engine::Engine;
use artifact::error::Status;
use artifact::report::Report;

use crate::cwasm::{self, Against};
use crate::failure::Failure;
use crate::input::{Input, OpenRules, TrustArgs};
use crate::output::{CommandResult, Console, Outcome};
use crate::verdict::{self, Format};

/// Check whether artifacts are compatible with this host, an engine, or Wasmtime 0.33
///
/// Prints `FILE: compatible`, or `FILE: REASON` for the first mismatch; with --all, one line for each mismatch.
#[derive(clap::Args)]
#[command(after_help = "\
A file of Wasmtime 3 or newer is compared with this CPU, whatever version compiled it: target and ISA flags. With --engine, everything is \
compared that an engine of Wasmtime compares; E.json is what `artifact inspect --json` prints of any file which that engine compiled.

The default engine has this host's target and CPU features, and no compiler flags. For code compiled with flags, pass an \
engine with the same flags to --engine.

With --json, prints one line for each file: {\"file\", \"status\", \"sentence\", \"offset\", \"findings\": [{\"kind\", \
\"setting\", \"artifact\", \"engine\", \"sentence\"}]}. \"status\" is the artifact_status_t of the C interface; \"findings\" \
are all mismatches.

Examples:
  artifact check module.cwasm
  artifact check --wasmtime --all *.cwasm
  artifact engine > here.json; artifact check --engine here.json module.cwasm
  artifact check --json *.cwasm | jq -r 'select(.status != 0).file'")]
pub struct Args {
    /// Artifacts to check; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Check against this engine; a JSON file, as printed by `artifact engine`
    #[arg(long, value_name = "ENGINE", conflicts_with = "wasmtime")]
    engine: Option<PathBuf>,
    /// Check against the default engine of Wasmtime 0.33 on this host
    #[arg(long)]
    wasmtime: bool,
    /// Print every mismatch instead of the first
    #[arg(long)]
    all: bool,
    /// Print one JSON object for each file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trust: TrustArgs,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        self.trust.inputs(self.files.iter().chain(&self.engine))
    }
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    let against = match &args.engine {
        Some(path) => Against::read(path)?,
        None if args.wasmtime => Against::engine(Engine::wasmtime()),
        None => Against::this_cpu(),
    };
    let rules = args.trust.rules(Some(against.engine.clone()))?;
    let format = Format { json: args.json, all: args.all, success: "compatible", finding: Outcome::Incompatible };
    args.files.iter().try_for_each(|file| {
        let progress = console.progress("checking", file)?;
        let report = check(file, &against, &rules, console);
        drop(progress);
        verdict::print(console, file, &report, &format)
    })
}

fn check(file: &Path, against: &Against, rules: &OpenRules, console: &mut Console) -> Result<Report, Failure> {
    let (input, engine) = (Input::open(file)?, &against.engine);
    if let Some(found) = cwasm::open(&input, rules)? {
        return found.check(against, console);
    }
    // If another producer or version wrote the file, nothing after its version needs to make sense: this comes before
    // everything but the signature.
    if !rules.require_signature()
        && let Some(report) = check_origin(file, &input, engine)?
    {
        return Ok(report);
    }
    let artifact = match input.artifact(rules) {
        // With a valid signature, opening reports the producer and the version as errors. Here they are mismatches.
        Err(failure) if matches!(failure.status(), Status::WrongProducer | Status::WrongVersion) => {
            return check_origin(file, &input, engine)?.ok_or(failure);
        }
        opened => opened?,
    };
    let report = |artifact: &Artifact| {
        if rules.require_signature() {
            // Opening has verified only the settings.
            artifact.verify()?;
        }
        artifact.report(engine)
    };
    report(&artifact).map_err(|error| Failure::in_file(file, error))
}

/// Returns a report if another producer or version than the engine's wrote the file.
fn check_origin(file: &Path, input: &Input<'_>, engine: &Engine) -> Result<Option<Report>, Failure> {
    let found = detect_region(&input.region()?).map_err(|error| Failure::in_file(file, error))?;
    let finding = found.and_then(|found| compat::origin(engine, &found.producer, &found.version));
    Ok(finding.map(Report::from))
}
