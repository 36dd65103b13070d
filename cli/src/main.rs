//! The `artifact` command line: parses the arguments and dispatches to the commands.
//!
//! Each command has a file of its own. All of them use the library's public API; none of them knows the file format or the
//! compatibility rules. What they share:
//!
//! - `input` opens files and standard input; `write` holds the options of commands that write artifacts.
//! - `output` prints everything and determines the exit status, also if `closed` says that nobody reads; `failure` words the errors; `progress` shows progress.
//! - `variants` says which variant of a file of several targets is chosen.
//! - `verdict` prints one result per file for `check` and `verify`.
//! - `facts` collects what `inspect` shows; `summary`, `elf_names` and `types` format it for people.
//! - `packs` shows and verifies packs of artifacts.
//! - `cwasm` is what commands do with files of Wasmtime 3 and newer, which are no artifacts.
//! - `metadata` defines metadata.json, which `extract` writes and `pack` reads.

// Only `run` has unsafe code, which is what that command is for, and `closed`, which runs before `main`.
#![deny(unsafe_code)]

mod cache;
mod check;
mod closed;
mod cwasm;
mod elf_names;
mod engine;
mod extract;
mod facts;
mod failure;
mod fat;
mod input;
mod inspect;
mod keys;
mod manual;
mod metadata;
mod output;
mod pack;
mod packs;
mod progress;
mod rewrite;
mod run;
mod summary;
mod types;
mod variants;
mod verdict;
mod verify;
mod write;

use std::path::Path;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use output::Console;

/// Inspect, check, sign, pack and run artifacts of compiled code
#[derive(Parser)]
#[command(
    name = "artifact",
    version,
    after_help = "\
Examples:
  artifact inspect module.cwasm
  artifact check *.cwasm && echo all are compatible with this host
  artifact check --wasmtime --all module.cwasm
  artifact pack -o kernels.artifact --cpu native --object kernels.o
  artifact engine > here.json; artifact check --engine here.json module.cwasm"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Part of the help of every command. The numbers are those of `output::Outcome::exit_status`.
const EXIT_STATUS: &str = "\
Exit status:
  0  Success
  1  Incompatible (target, settings, version or producer), or not supported
  2  Usage error
  3  Damaged, or not an artifact
  4  Not signed by a trusted key
  5  Any other error, for example a file that cannot be read
  With several files, the worst result counts, in the order 4, 3, 5, 1, 0.

";

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
    Cache(cache::Args),
    Fat(fat::Fat),
    Thin(fat::Thin),
    Keygen(keys::Keygen),
    Sign(keys::Sign),
    #[command(hide = true)]
    Man(manual::Man),
    #[command(hide = true)]
    Completions(manual::Completions),
}

impl Command {
    /// The files that the command reads.
    fn inputs(&self) -> Vec<&Path> {
        match self {
            Command::Inspect(args) => args.inputs(),
            Command::Check(args) => args.inputs(),
            Command::Verify(args) => args.inputs(),
            Command::Engine(_) | Command::Keygen(_) | Command::Man(_) | Command::Completions(_) => Vec::new(),
            Command::Pack(args) => args.inputs(),
            Command::Extract(args) => args.inputs(),
            Command::Rewrite(args) => args.inputs(),
            Command::Run(args) => args.inputs(),
            Command::Cache(args) => args.inputs(),
            Command::Fat(args) => args.inputs(),
            Command::Thin(args) => args.inputs(),
            Command::Sign(args) => args.inputs(),
        }
    }
}

/// The definition of the command line, with the exit statuses in the help of every command, before its examples.
fn cli() -> clap::Command {
    fn with_exit_status(command: clap::Command) -> clap::Command {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let command = command.after_help(help.replacen("Examples:\n", &format!("{EXIT_STATUS}Examples:\n"), 1));
        command.mut_subcommands(with_exit_status)
    }
    with_exit_status(Cli::command())
}

/// Parses the arguments. Requests for help and for the version are errors, too, as in clap.
fn parse() -> Result<Command, clap::Error> {
    let mut cli = cli();
    let matches = cli.try_get_matches_from_mut(std::env::args_os())?;
    let Cli { command } = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut cli))?;
    if command.inputs().into_iter().filter(|path| input::is_standard(path)).count() > 1 {
        return Err(cli.error(ErrorKind::ArgumentConflict, "standard input ('-') can be used only once"));
    }
    let checked = match &command {
        Command::Pack(args) => args.check(),
        Command::Engine(args) => args.check(),
        Command::Fat(args) => args.check(),
        _ => Ok(()),
    };
    checked.map_err(|error| cli.error(ErrorKind::InvalidValue, error))?;
    Ok(command)
}

fn main() -> ExitCode {
    let mut console = Console::new();
    let command = match parse() {
        Ok(command) => command,
        Err(error) => return console.exit_with_usage(&error),
    };
    let result = match command {
        Command::Inspect(args) => inspect::run(&args, &mut console),
        Command::Check(args) => check::run(&args, &mut console),
        Command::Verify(args) => verify::run(&args, &mut console),
        Command::Engine(args) => engine::run(&args, &mut console),
        Command::Pack(args) => pack::run(&args, &mut console),
        Command::Extract(args) => extract::run(&args, &mut console),
        Command::Rewrite(args) => rewrite::run(&args, &mut console),
        Command::Run(args) => run::run(&args, &mut console),
        Command::Cache(args) => cache::run(&args, &mut console),
        Command::Fat(args) => fat::fat(&args, &mut console),
        Command::Thin(args) => fat::thin(&args, &mut console),
        Command::Keygen(args) => keys::generate(&args, &mut console),
        Command::Sign(args) => keys::sign(&args, &mut console),
        Command::Man(args) => manual::man(&args),
        Command::Completions(args) => manual::completions(&args, &mut console),
    };
    console.exit(result)
}
