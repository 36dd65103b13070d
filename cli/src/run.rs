//! `artifact run`: calls a function of an artifact.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifact::artifact::Artifact;
use artifact::engine::Engine;
use artifact::error::{Error, Result as LibraryResult, Status, quote};
use artifact::native::load::{Code, LoadOptions, load};

use crate::failure::Failure;
use crate::input::{Input, OpenArgs};
use crate::output::{CommandResult, Console};

/// Load an artifact and call one of its functions
///
/// Calls `int SYMBOL(int64_t, ...)` and prints the result in decimal. The main module is searched for SYMBOL first, then the
/// modules before it, the last one first. Of a file of several targets, the best variant for the engine is loaded. Undefined
/// symbols of the modules are looked up in this program and its C library. Constructors and destructors run.
///
/// This runs machine code from the file: use it only with files that you trust.
#[derive(clap::Args)]
#[command(after_help = "\
The default engine has this host's target and CPU features, and no compiler flags. For code compiled with flags, pass an \
engine with the same flags to --engine.

If standard output is not a terminal, what the function prints through C's stdio appears after its result.

Examples:
  artifact run code.artifact answer
  artifact run --trust key.pub code.artifact fib --returns i64 90
  artifact run code.artifact add 40 -2")]
pub struct Args {
    /// Artifact to load; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name of the function
    symbol: String,
    /// Arguments of the function: up to six 64-bit integers
    #[arg(value_name = "INT", allow_negative_numbers = true, num_args = 0..=6)]
    arguments: Vec<i64>,
    /// Return type of the function
    #[arg(long, value_enum, default_value_t = Returns::Int, value_name = "TYPE")]
    returns: Returns,
    #[command(flatten)]
    open: OpenArgs,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Returns {
    /// int
    #[value(name = "int")]
    Int,
    /// int64_t
    #[value(name = "i64")]
    I64,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        self.open.inputs([&self.file])
    }
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    let file = args.file.as_path();
    let mut rules = args.open.rules()?;
    let engine = rules.engine.take().unwrap_or_else(Engine::host);
    (rules.engine, rules.map, rules.variant) = (Some(engine.clone()), true, None);
    let progress = console.progress("loading", file)?;
    let artifact = Input::open(file)?.artifact(&rules)?;
    let loaded = load_artifact(artifact, &engine);
    // The function has the terminal to itself.
    drop(progress);
    let result = loaded.and_then(|code| call(&code, args)).map_err(|error| Failure::in_file(file, error))?;
    match args.returns {
        Returns::Int => writeln!(console, "{}", result as i32)?,
        Returns::I64 => writeln!(console, "{result}")?,
    }
    Ok(())
}

#[expect(unsafe_code, reason = "loading makes the artifact's code a part of this process")]
fn load_artifact(artifact: Artifact, engine: &Engine) -> LibraryResult<Code> {
    let mut options = LoadOptions::default();
    (options.process_symbols, options.constructors) = (true, true);
    // SAFETY: the user trusts the code, as the command's help asks for, and its symbols are this process's own. Only this thread runs
    // it, and nothing of it is used after the `Code` is dropped, at the end of the command.
    unsafe { load(Arc::new(artifact), engine, options) }
}

#[expect(unsafe_code, reason = "the user says what the function's type is")]
fn call(code: &Code, args: &Args) -> LibraryResult<i64> {
    let name = args.symbol.as_bytes();
    let module = (0..code.module_count()).rev().find(|module| code.symbol(*module, name).is_some());
    let not_found = || Error::new(Status::NotFound, format!("no module exports '{}'", quote(name)));
    let module = module.ok_or_else(not_found)?;
    // SAFETY: the user says that it is a function of this type, and can be called with these arguments.
    unsafe { code.call(module, name, &args.arguments) }
}
