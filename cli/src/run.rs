//! `artifact run`: calls a function.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use artifact::engine::Engine;
use artifact::error::{Error, Result, Status, quote};
use artifact::native::load::{Code, LoadOptions, load};

use crate::input::{Input, Opening};
use crate::output::{Console, Done};

/// Loads an artifact and calls a function in it
///
/// Calls `int SYMBOL(int64_t, ...)` and prints its result in decimal. The main module's function of that name comes first, then
/// those of the modules before it. Symbols that modules use are this program's own and its C library's. Constructors and
/// destructors run.
///
/// It runs what the file says: run only what you trust.
#[derive(clap::Args)]
#[command(after_help = "\
This host's engine has its CPU's features and no compiler flags: for files compiled with flags, give an engine that has \
the same ones with --engine.

What the function prints through C's stdio comes behind its result where standard output is no terminal.

Examples:
  artifact run code.artifact answer
  artifact run --trust key.pub code.artifact fib --returns i64 90
  artifact run code.artifact add 40 -2")]
pub struct Args {
    /// The artifact; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The function
    symbol: String,
    /// Its arguments, up to six
    #[arg(value_name = "INT", allow_negative_numbers = true, num_args = 0..=6)]
    arguments: Vec<i64>,
    /// What it returns
    #[arg(long, value_enum, default_value_t = Returns::Int, value_name = "TYPE")]
    returns: Returns,
    #[command(flatten)]
    opening: Opening,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Returns {
    /// C's int
    #[value(name = "int")]
    Int,
    /// int64_t
    #[value(name = "i64")]
    I64,
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        std::iter::once(self.file.as_path()).chain(self.opening.inputs()).collect()
    }
}

pub fn run(args: &Args, console: &mut Console) -> Done {
    let mut rules = args.opening.rules()?;
    let engine = rules.engine.take().unwrap_or_else(Engine::host);
    rules.engine = Some(engine.clone());
    let progress = console.working("loading", &args.file)?;
    let loaded = Input::open(&args.file).and_then(|input| input.artifact(&rules)).and_then(|artifact| {
        let options = LoadOptions { process_symbols: true, constructors: true, ..LoadOptions::default() };
        load(Arc::new(artifact), &engine, options)
    });
    // The function has the terminal to itself.
    drop(progress);
    match loaded.and_then(|code| call(&code, args)) {
        Ok(result) => match args.returns {
            Returns::Int => Ok(writeln!(console, "{}", result as i32)?),
            Returns::I64 => Ok(writeln!(console, "{result}")?),
        },
        Err(error) => Ok(console.refuse(&args.file, &error)?),
    }
}

fn call(code: &Code, args: &Args) -> Result<i64> {
    let name = args.symbol.as_bytes();
    let module = (0..code.module_count()).rev().find(|module| code.symbol(*module, name).is_some());
    let missing = || Error::new(Status::NotFound, format!("no module exports '{}'", quote(name)));
    code.call(module.ok_or_else(missing)?, name, &args.arguments)
}
