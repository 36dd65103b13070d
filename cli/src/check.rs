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
use crate::variants;
use crate::verdict::{self, Checked, Format, Origin};

/// Check whether this host can run artifacts, or whether they fit an engine or Wasmtime 0.33
///
/// Prints `FILE: compatible`, or `FILE: REASON` for the first mismatch; with --all, one line for each mismatch.
/// Without --engine and --wasmtime, also who made the file, unless that is this library itself. For a file of several targets, which
/// variant is chosen, and a line for each variant.
#[derive(clap::Args)]
#[command(after_help = "\
A file of Wasmtime 3 or newer is compared with this CPU, whatever version compiled it: target and ISA flags. With --engine, everything is \
compared that an engine of Wasmtime compares; E.json is what `artifact inspect --json` prints of any file which that engine compiled.

By default, only what the code needs is compared with this host: architecture, operating system and instruction sets, under \
whatever producer, version and settings it was made. --engine and --wasmtime compare everything that opening and loading do.

With --json, prints one line for each file: {\"file\", \"status\", \"sentence\", \"offset\", \"producer\", \"version\", \
\"findings\": [{\"kind\", \"setting\", \"artifact\", \"engine\", \"sentence\"}]}. \"status\" is the artifact_status_t of \
the C interface; \"findings\" are all mismatches. Producer and version are null if they can't be read. For a file of several \
targets also \"variant\", the index of the chosen one or null, and \"variants\": [{\"index\", \"target\", \"needs\", \
\"offset\", \"len\", \"score\", \"findings\"}]; if none fits, the findings are those of the last one, the most portable.

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
    let rules = args.trust.rules(against.engine.clone())?;
    let format = Format { json: args.json, all: args.all, success: "compatible", finding: Outcome::Incompatible };
    args.files.iter().try_for_each(|file| {
        let progress = console.progress("checking", file)?;
        let checked = Input::open(file).and_then(|input| {
            let origin = detect_region(&input.region()?).ok().flatten();
            let report = match cwasm::open(&input, &rules) {
                Ok(Some(found)) => found.check(&against, console).map(Checked::from),
                Ok(None) => check(file, &input, against.engine.as_ref(), &rules),
                Err(failure) => Err(failure),
            };
            Ok((report, origin))
        });
        drop(progress);
        let (report, origin) = checked.unwrap_or_else(|failure| (Err(failure), None));
        verdict::print(console, file, &report, &format, Some(&Origin { found: origin, told: against.engine.is_none() }))
    })
}

fn check(file: &Path, input: &Input<'_>, engine: Option<&Engine>, rules: &OpenRules) -> Result<Checked, Failure> {
    // If another producer or version than the engine's wrote the file, nothing after its version needs to make sense: this comes
    // before everything but the signature.
    if !rules.require_signature()
        && let Some(report) = check_origin(file, input, engine)?
    {
        return Ok(report.into());
    }
    let artifact = match input.artifact(rules) {
        // With a valid signature, opening reports the producer and the version as errors. Here they are mismatches.
        Err(failure) if matches!(failure.status(), Status::WrongProducer | Status::WrongVersion) => {
            return check_origin(file, input, engine)?.map(Checked::from).ok_or(failure);
        }
        opened => opened?,
    };
    let judged = |artifact: &Artifact| {
        if rules.require_signature() {
            // Opening has verified only the settings.
            artifact.verify()?;
        }
        let variants = variants::judge(artifact, engine)?;
        match (variants.is_empty(), engine) {
            (false, _) => Ok(Checked::of_variants(variants)),
            (true, Some(engine)) => artifact.report(engine).map(Checked::from),
            (true, None) => artifact.report_for_host().map(Checked::from),
        }
    };
    judged(&artifact).map_err(|error| Failure::in_file(file, error))
}

/// Returns a report if another producer or version than the engine's wrote the file.
fn check_origin(file: &Path, input: &Input<'_>, engine: Option<&Engine>) -> Result<Option<Report>, Failure> {
    let Some(engine) = engine else { return Ok(None) };
    let found = detect_region(&input.region()?).map_err(|error| Failure::in_file(file, error))?;
    let finding = found.and_then(|found| compat::origin(engine, &found.producer, &found.version));
    Ok(finding.map(Report::from))
}
