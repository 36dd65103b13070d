//! `artifact pack`: builds an artifact from ELF files.

use std::path::{Path, PathBuf};

use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::Error;
use artifact::format::upvars::Upvars;
use artifact::native::link::{Object, Options};

use crate::failure::Failure;
use crate::input::{self, Input};
use crate::metadata::Document;
use crate::output::{CommandResult, Console};
use crate::write::WriteArgs;

/// Pack ELF modules and relocatable objects into an artifact
///
/// The last module is the main module. The objects are linked into a shared object, which becomes the last module. The
/// artifact says that its modules were compiled without flags for the baseline CPU of this host's target, unless --engine,
/// --wasmtime, --cpu or --metadata is given. OUT is replaced atomically.
#[derive(clap::Args)]
#[command(after_help = "\
CPU is a comma-separated list of names: native for all instruction sets of this CPU; x86-64-v2, x86-64-v3 or x86-64-v4 for \
a microarchitecture level of the x86-64 psABI; LLVM's name of an instruction set, such as avx2 or lse; or \
sve-vector-bits=512 for code that was compiled for one length of SVE vectors. Modules for another machine than the \
target's are refused.

Examples:
  artifact pack -o kernels.artifact --object helpers.o kernels.o
  artifact pack -o kernels.artifact --object kernels.o -- libhelpers.so
  artifact pack -o kernels.artifact --cpu x86-64-v3 --attribute built-by=ci libhelpers.so kernels.so
  artifact engine > here.json; artifact pack -o kernels.artifact --engine here.json --object kernels.o
  artifact extract old.cwasm -d old && artifact pack -o new.cwasm --metadata old/metadata.json old/module-*.elf")]
pub struct Args {
    /// ELF files to add as modules, in this order; `-` is standard input
    #[arg(required_unless_present = "objects", value_name = "MODULE")]
    modules: Vec<PathBuf>,
    /// Relocatable objects to link into the main module. `--` ends the list
    #[arg(long = "object", value_name = "OBJECT", num_args = 1..)]
    objects: Vec<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    write: WriteArgs,
}

/// The options for the settings with which the modules were compiled.
#[derive(clap::Args)]
#[group(multiple = false)]
struct SettingsArgs {
    /// Take the settings from this engine; a JSON file, as printed by `artifact engine`
    #[arg(long, value_name = "ENGINE")]
    engine: Option<PathBuf>,
    /// Take the settings from the default engine of Wasmtime 0.33 on this host
    #[arg(long)]
    wasmtime: bool,
    /// Record that the modules need these instruction sets, and no flags
    #[arg(long, value_name = "CPU", value_parser = cpu)]
    cpu: Option<Box<Engine>>,
    /// Take the settings, types, upvars and attributes from this file, as written by `artifact extract`
    #[arg(long, value_name = "METADATA")]
    metadata: Option<PathBuf>,
}

fn cpu(names: &str) -> Result<Box<Engine>, Error> {
    Engine::for_cpu(names).map(Box::new)
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        let SettingsArgs { engine, metadata, .. } = &self.settings;
        let files = self.modules.iter().chain(&self.objects).chain(engine).chain(metadata).chain(self.write.inputs());
        files.map(PathBuf::as_path).collect()
    }
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    let Args { modules: files, objects, settings, write } = args;
    let progress = console.progress("packing", write.output())?;
    let modules = read(files)?;
    let (mut builder, upvars) = settings.builder()?;
    for (file, module) in files.iter().zip(&modules) {
        let bytes = (**module).as_ref();
        let added = builder.check_machine(bytes).and_then(|()| builder.add_module(bytes));
        added.map_err(|error| Failure::in_file(file, error))?;
    }
    link(&mut builder, objects, write.output())?;
    if let Some(file) = &settings.metadata {
        // Not before: upvars refer to modules.
        builder.set_upvars(upvars).map_err(|error| Failure::in_file(file, error))?;
    }
    write.apply(&mut builder)?;
    drop(progress);
    write.save(&builder, console)
}

/// Reads files whole.
fn read(files: &[PathBuf]) -> Result<Vec<Box<dyn AsRef<[u8]>>>, Failure> {
    files.iter().map(|file| Input::open(file)?.bytes()).collect()
}

/// Links the objects into one more module.
fn link(builder: &mut Builder<'_>, files: &[PathBuf], output: &Path) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    let contents = read(files)?;
    let names: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
    let object = |(name, bytes)| Object { name, bytes };
    let bytes = contents.iter().map(|bytes| (**bytes).as_ref());
    let objects: Vec<_> = names.iter().map(AsRef::as_ref).zip(bytes).map(object).collect();
    // The messages name the objects.
    let linked = builder.add_objects(&objects, &Options::default());
    linked.map(drop).map_err(|error| Failure::cannot("link", output, error))
}

impl SettingsArgs {
    /// A builder with these settings, and the upvars.
    fn builder<'m>(&self) -> Result<(Builder<'m>, Upvars), Failure> {
        let engine = match self {
            SettingsArgs { metadata: Some(file), .. } => {
                return input::parse(file, "metadata in JSON", |json| Document::from_json(json)?.into_builder());
            }
            SettingsArgs { engine: Some(file), .. } => &input::engine(file)?,
            SettingsArgs { cpu: Some(engine), .. } => engine,
            SettingsArgs { wasmtime: true, .. } => &Engine::wasmtime(),
            _ => &Engine::new(),
        };
        Ok((Builder::new(engine), Upvars::default()))
    }
}
