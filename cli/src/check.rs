//! `artifact check`: does it fit?

use std::path::{Path, PathBuf};

use artifact::compat;
use artifact::detect::detect;
use artifact::engine::Engine;
use artifact::error::{Result, Status};
use artifact::report::Report;

use crate::input::{self, Input, Rules, Trust};
use crate::output::{Console, Done, Outcome};
use crate::verdict::{self, Style};

/// Says whether artifacts fit this host, an engine, or Wasmtime 0.33
///
/// Prints `FILE: compatible`, or why not: the first reason, or with --all each reason on a line of its own.
#[derive(clap::Args)]
#[command(after_help = "\
This host's engine has its CPU's features and no compiler flags: for files compiled with flags, give an engine that has \
the same ones with --engine.

Exits with 1 for what doesn't fit, 3 for what is damaged, 4 for what isn't trusted; `artifact --help` has all of them.

With --json each file is one line: {\"file\", \"status\", \"sentence\", \"offset\", \"findings\": [{\"kind\", \"setting\", \
\"artifact\", \"engine\", \"sentence\"}]}, where status is the C interface's, and findings are all there are.

Examples:
  artifact check module.cwasm
  artifact check --wasmtime --all *.cwasm
  artifact engine > here.json; artifact check --engine here.json module.cwasm
  artifact check --json *.cwasm | jq -r 'select(.status != 0).file'")]
pub struct Args {
    /// Artifacts; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Check against this engine, as `artifact engine` prints it
    #[arg(long, value_name = "E.json", conflicts_with = "wasmtime")]
    engine: Option<PathBuf>,
    /// Check against what Wasmtime 0.33 compiles with on this host by default
    #[arg(long)]
    wasmtime: bool,
    /// Print every mismatch, one per line
    #[arg(long)]
    all: bool,
    /// Print one JSON object per file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    trust: Trust,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        self.files.iter().chain(&self.engine).map(PathBuf::as_path).chain(self.trust.inputs()).collect()
    }
}

pub fn run(args: &Args, console: &mut Console) -> Done {
    let engine = match &args.engine {
        Some(path) => input::engine(path)?,
        None if args.wasmtime => Engine::wasmtime(),
        None => Engine::host(),
    };
    let rules = args.trust.rules(Some(engine.clone()))?;
    let style = Style { json: args.json, all: args.all, fine: "compatible", oddity: Outcome::Incompatible };
    args.files.iter().try_for_each(|file| {
        let progress = console.working("checking", file)?;
        let report = report(file, &engine, &rules);
        drop(progress);
        verdict::show(console, file, &report, &style)
    })
}

fn report(file: &Path, engine: &Engine, rules: &Rules) -> Result<Report> {
    let input = Input::open(file)?;
    let stranger = || -> Result<Option<Report>> {
        let found = detect(&input.region()?)?;
        let finding = found.and_then(|found| compat::origin(engine, &found.producer, &found.version));
        Ok(finding.map(|finding| Report { findings: vec![finding] }))
    };
    // Who wrote it comes first, but for who signed it: of a stranger's file nothing further need make sense.
    if !rules.ask_for_signature()
        && let Some(report) = stranger()?
    {
        return Ok(report);
    }
    let artifact = match input.artifact(rules) {
        // Opening refuses strangers itself, once their signatures are known: a verdict all the same.
        Err(error) if matches!(error.status(), Status::WrongProducer | Status::WrongVersion) => {
            return stranger()?.ok_or(error);
        }
        opened => opened?,
    };
    if rules.ask_for_signature() {
        // Opening has looked at the settings only.
        artifact.verify()?;
    }
    artifact.report(engine)
}
