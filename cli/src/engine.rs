//! `artifact engine`: prints the engine of this host.

use std::io::Write;
use std::path::Path;

use artifact::engine::Engine;
use artifact::error::Error;

use crate::failure::Failure;
use crate::output::{CommandResult, Console};
use crate::pack::triple;

/// Print this host's engine, or that of another CPU, as JSON for --engine
///
/// The engine has this host's target triple and every instruction set that this CPU supports, under LLVM's names.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  artifact engine > here.json
  artifact engine --wasmtime | jq .isa_flags
  artifact engine --cpu x86-64-v3
  artifact engine --target aarch64-unknown-linux-gnu --cpu neoverse-n1
  ssh server artifact engine | artifact check --engine - module.cwasm")]
pub struct Args {
    /// Print the default engine of Wasmtime 0.33 on this host, with Cranelift's names of instruction sets
    #[arg(long)]
    wasmtime: bool,
    /// Print the engine of this CPU: native, CPUs by LLVM's name, levels such as x86-64-v3, and features; `-NAME` takes away
    #[arg(long, value_name = "CPU")]
    cpu: Option<String>,
    /// Print the engine of this target, without features of a CPU unless --cpu names them
    #[arg(long, value_name = "TRIPLE", value_parser = triple)]
    target: Option<String>,
    /// Accepted for uniformity: the output is always JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Returns what is wrong with the arguments although each by itself is right.
    pub fn check(&self) -> Result<(), Error> {
        self.engine().map(drop)
    }

    fn engine(&self) -> Result<Engine, Error> {
        let mut engine = match (self.wasmtime, &self.cpu, &self.target) {
            (true, ..) => Engine::wasmtime(),
            (false, None, None) => return Ok(Engine::host()),
            (false, ..) => Engine::new(),
        };
        if let Some(triple) = &self.target {
            engine.set_target(triple)?;
            engine.remove_cpu();
        }
        self.cpu.iter().try_for_each(|names| engine.set_cpu(names))?;
        Ok(engine)
    }
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    let engine = args.engine().map_err(|error| Failure::cannot("write", Path::new("-"), error))?;
    let json = engine.to_json().map_err(|error| Failure::cannot("write", Path::new("-"), error))?;
    Ok(writeln!(console, "{json}")?)
}
