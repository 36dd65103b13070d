//! `artifact verify`: is it whole?

use std::path::{Path, PathBuf};

use artifact::error::Result;
use artifact::report::Report;

use crate::input::{Input, Opening, Rules};
use crate::output::{Console, Done, Outcome};
use crate::verdict::{self, Style};

/// Checks every digest, bound, link and table of artifacts, and names each oddity
///
/// Prints `FILE: sound`, or each oddity on a line: what no writer makes but a genuine Wasmtime 0.33 accepts. Damage is an
/// error.
#[derive(clap::Args)]
#[command(after_help = "\
Exits with 3 for what is damaged, 4 for what isn't trusted; `artifact --help` has all of them.

With --json each file is one line: {\"file\", \"status\", \"sentence\", \"offset\", \"findings\": [{\"kind\", \"setting\", \
\"artifact\", \"engine\", \"sentence\"}]}, where status is the C interface's, and findings are the oddities.

Examples:
  artifact verify module.cwasm
  artifact verify --strict *.cwasm
  curl -s https://example.org/module.cwasm | artifact verify -")]
pub struct Args {
    /// Artifacts; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Exit with 3 for oddities too
    #[arg(long)]
    strict: bool,
    /// Print one JSON object per file
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    opening: Opening,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        self.files.iter().map(PathBuf::as_path).chain(self.opening.inputs()).collect()
    }
}

pub fn run(args: &Args, console: &mut Console) -> Done {
    let rules = args.opening.rules()?;
    let oddity = if args.strict { Outcome::Damaged } else { Outcome::Fine };
    let style = Style { json: args.json, all: true, fine: "sound", oddity };
    args.files.iter().try_for_each(|file| {
        let progress = console.working("verifying", file)?;
        let report = report(file, &rules);
        drop(progress);
        verdict::show(console, file, &report, &style)
    })
}

fn report(file: &Path, rules: &Rules) -> Result<Report> {
    Input::open(file)?.artifact(rules)?.verify()
}
