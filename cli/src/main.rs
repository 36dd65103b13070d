//! The command line, for people and scripts: arguments, and which command they go to.
//!
//! One file per command, all on the public API of the library; nothing in here knows the format or the rules. `input` is
//! where files and standard input are opened, `output` where everything is printed and the exit status is found,
//! `verdict` what commands say about each of several files, `facts` what `inspect` shows, `summary` and `types` its words,
//! `progress` what is seen meanwhile, `metadata` the file that `extract` writes and `pack` reads.

#![forbid(unsafe_code)]

mod check;
mod engine;
mod extract;
mod facts;
mod input;
mod inspect;
mod keys;
mod manual;
mod metadata;
mod output;
mod pack;
mod progress;
mod rewrite;
mod run;
mod summary;
mod types;
mod verdict;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use output::Console;

/// Saves compiled code once, ships it, and knows whether it fits this host.
#[derive(Parser)]
#[command(
    name = "artifact",
    version,
    after_help = "\
Exit status:
  0  fine
  1  incompatible: made for another host, with other settings, by another version or producer
  2  wrong usage
  3  damaged, or no artifact at all
  4  not trusted
  5  anything else, such as a file that can't be read
  Of several files the worst counts: not trusted, damaged, anything else, incompatible.

Examples:
  artifact inspect module.cwasm
  artifact check *.cwasm && echo all fit this host
  artifact check --wasmtime --all module.cwasm
  artifact pack -o kernels.artifact --cpu native --object kernels.o
  artifact engine > here.json; artifact check --engine here.json module.cwasm"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Args),
    Check(check::Args),
    Verify(verify::Args),
    Engine(engine::Args),
    Pack(pack::Args),
    Extract(extract::Args),
    Rewrite(rewrite::Args),
    Run(run::Args),
    Keygen(keys::Keygen),
    Sign(keys::Sign),
    #[command(hide = true)]
    Man(manual::Man),
    #[command(hide = true)]
    Completions(manual::Completions),
}

impl Command {
    /// What it reads: `-` can be only one of them.
    fn inputs(&self) -> Vec<&Path> {
        match self {
            Command::Inspect(args) => args.inputs(),
            Command::Check(args) => args.inputs(),
            Command::Verify(args) => args.inputs(),
            Command::Engine(_) | Command::Man(_) | Command::Completions(_) => Vec::new(),
            Command::Pack(args) => args.inputs(),
            Command::Extract(args) => args.inputs(),
            Command::Rewrite(args) => args.inputs(),
            Command::Run(args) => args.inputs(),
            Command::Keygen(_) => Vec::new(),
            Command::Sign(args) => args.inputs(),
        }
    }
}

/// The command that the arguments ask for; an error of clap's is help, too.
fn command() -> Result<Command, clap::Error> {
    let mut cli = Cli::command();
    let matches = cli.try_get_matches_from_mut(std::env::args_os())?;
    let Cli { command } = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut cli))?;
    if command.inputs().into_iter().filter(|path| input::is_standard(path)).count() > 1 {
        let message = "standard input can be read only once: expected one '-', found more";
        return Err(cli.error(ErrorKind::ArgumentConflict, message));
    }
    Ok(command)
}

fn main() -> ExitCode {
    let mut console = Console::new();
    let command = match command() {
        Ok(command) => command,
        Err(error) => return console.usage(&error),
    };
    let done = match command {
        Command::Inspect(args) => inspect::run(&args, &mut console),
        Command::Check(args) => check::run(&args, &mut console),
        Command::Verify(args) => verify::run(&args, &mut console),
        Command::Engine(args) => engine::run(&args, &mut console),
        Command::Pack(args) => pack::run(&args, &mut console),
        Command::Extract(args) => extract::run(&args, &mut console),
        Command::Rewrite(args) => rewrite::run(&args, &mut console),
        Command::Run(args) => run::run(&args, &mut console),
        Command::Keygen(args) => keys::generate(&args, &mut console),
        Command::Sign(args) => keys::sign(&args, &mut console),
        Command::Man(args) => manual::man(&args),
        Command::Completions(args) => manual::completions(&args, &mut console),
    };
    console.finish(done)
}
