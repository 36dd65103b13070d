//! `artifact engine`: what this host compiles with, or would.

use std::io::Write;
use std::path::Path;

use artifact::engine::Engine;

use crate::output::{Console, Done, Stop};

/// Prints this host's engine as JSON, for --engine to read
///
/// It holds the host's target triple and every instruction set of this very CPU, under LLVM's names.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact engine > here.json
  artifact engine --wasmtime | jq .isa_flags
  ssh server artifact engine | artifact check --engine - module.cwasm")]
pub struct Args {
    /// What Wasmtime 0.33 compiles with on this host by default, under Cranelift's names
    #[arg(long)]
    wasmtime: bool,
    /// Accepted for scripts that always pass it: the output is JSON anyway
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, console: &mut Console) -> Done {
    let engine = if args.wasmtime { Engine::wasmtime() } else { Engine::host() };
    let json = engine.to_json().map_err(|error| Stop::File(Path::new("engine").to_owned(), error))?;
    Ok(writeln!(console, "{json}")?)
}
