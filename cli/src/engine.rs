//! `artifact engine`: prints the engine of this host.

use std::io::Write;
use std::path::Path;

use artifact::engine::Engine;

use crate::failure::Failure;
use crate::output::{CommandResult, Console};

/// Print this host's engine as JSON, for --engine
///
/// The engine has this host's target triple and every instruction set that this CPU supports, under LLVM's names.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact engine > here.json
  artifact engine --wasmtime | jq .isa_flags
  ssh server artifact engine | artifact check --engine - module.cwasm")]
pub struct Args {
    /// Print the default engine of Wasmtime 0.33 on this host, with Cranelift's names of instruction sets
    #[arg(long)]
    wasmtime: bool,
    /// Accepted for uniformity: the output is always JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    let engine = if args.wasmtime { Engine::wasmtime() } else { Engine::host() };
    let json = engine.to_json().map_err(|error| Failure::cannot("write", Path::new("-"), error))?;
    Ok(writeln!(console, "{json}")?)
}
