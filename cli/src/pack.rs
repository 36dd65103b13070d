//! `artifact pack`: an artifact of ELF files.

use std::path::{Path, PathBuf};

use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::Error;
use artifact::format::upvars::Upvars;
use artifact::native::link::{Object, Options};

use crate::input::{self, Input};
use crate::keys;
use crate::metadata::Document;
use crate::output::{Console, Done, Stop};

/// Makes an artifact of ELF files, the last of which is the main module, and of relocatable objects
///
/// It says that they were compiled for this host's baseline CPU and with no flags, unless one of --engine, --wasmtime, --cpu and
/// --metadata says otherwise. OUT is replaced as a whole or not at all.
#[derive(clap::Args)]
#[command(after_help = "\
CPU is names separated by commas: native for every instruction set of this very CPU; x86-64-v2, -v3 or -v4 for a \
microarchitecture level of the x86-64 psABI; or LLVM's name of an instruction set, such as avx2 or lse.

Examples:
  artifact pack -o kernels.artifact --object helpers.o kernels.o
  artifact pack -o kernels.artifact --object kernels.o -- libhelpers.so
  artifact pack -o kernels.artifact --cpu x86-64-v3 --attribute built-by=ci libhelpers.so kernels.so
  artifact engine > here.json; artifact pack -o kernels.artifact --engine here.json --object kernels.o
  artifact extract old.cwasm -d old && artifact pack -o new.cwasm --metadata old/metadata.json old/module-*.elf")]
pub struct Args {
    /// ELF files, in their order; `-` is standard input
    #[arg(required_unless_present = "objects", value_name = "MODULE.elf")]
    modules: Vec<PathBuf>,
    /// Relocatable objects: linked into one shared object, which becomes the last module, the main one. `--` ends them
    #[arg(long = "object", value_name = "a.o", num_args = 1..)]
    objects: Vec<PathBuf>,
    /// Where to write; `-` is standard output
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    origin: Origin,
    /// Write the body alone: no digests, no attributes
    #[arg(long, conflicts_with_all = ["attributes", "keys"])]
    no_trailer: bool,
    /// Set an attribute
    #[arg(long = "attribute", value_name = "K=V", value_parser = input::attribute)]
    attributes: Vec<(String, String)>,
    /// Sign with this private key, PKCS#8 in PEM; may be given several times
    #[arg(long = "sign", value_name = "KEY")]
    keys: Vec<PathBuf>,
}

/// What the modules were compiled with.
#[derive(clap::Args)]
#[group(multiple = false)]
struct Origin {
    /// They were compiled with this engine's settings, as `artifact engine` prints them
    #[arg(long, value_name = "E.json")]
    engine: Option<PathBuf>,
    /// They were compiled as Wasmtime 0.33 does on this host by default
    #[arg(long)]
    wasmtime: bool,
    /// They use these instruction sets
    #[arg(long, value_name = "CPU", value_parser = cpu)]
    cpu: Option<Box<Engine>>,
    /// Everything beside the modules is as in this file, which `artifact extract` writes
    #[arg(long, value_name = "metadata.json")]
    metadata: Option<PathBuf>,
}

fn cpu(names: &str) -> Result<Box<Engine>, Error> {
    Engine::for_cpu(names).map(Box::new)
}

impl Args {
    pub fn inputs(&self) -> Vec<&Path> {
        let Origin { engine, metadata, .. } = &self.origin;
        self.modules
            .iter()
            .chain(&self.objects)
            .chain(engine)
            .chain(metadata)
            .chain(&self.keys)
            .map(PathBuf::as_path)
            .collect()
    }
}

pub fn run(args: &Args, console: &mut Console) -> Done {
    let about = |file: &Path| {
        let file = file.to_owned();
        move |error: Error| Stop::File(file, error)
    };
    let progress = console.working("packing", &args.output)?;
    let open = |file: &PathBuf| Input::open(file).and_then(|input| input.bytes()).map_err(about(file));
    let modules = args.modules.iter().map(open).collect::<Result<Vec<_>, Stop>>()?;
    let (mut builder, upvars) = start(&args.origin)?;
    for (file, module) in args.modules.iter().zip(&modules) {
        builder.add_module(module.as_ref().as_ref()).map_err(about(file))?;
    }
    // Which object an error is about stands in it.
    link(&mut builder, &args.objects, &args.output)?;
    if let Some(file) = &args.origin.metadata {
        builder.set_upvars(upvars).map_err(about(file))?;
    }
    let finish = |builder: &mut Builder<'_>| {
        if args.no_trailer {
            builder.clear_attributes();
            builder.set_trailer(false)?;
        }
        args.attributes.iter().try_for_each(|(name, value)| builder.set_attribute(name, value.as_bytes()))
    };
    finish(&mut builder).map_err(about(&args.output))?;
    keys::sign_with(&mut builder, &args.keys)?;
    drop(progress);
    console.save(&builder, &args.output)
}

/// Links the objects into one more module.
fn link(builder: &mut Builder<'_>, files: &[PathBuf], output: &Path) -> Result<(), Stop> {
    if files.is_empty() {
        return Ok(());
    }
    let mut read = Vec::new();
    for file in files {
        let bytes = Input::open(file).and_then(|input| input.bytes());
        read.push((file.to_string_lossy(), bytes.map_err(|error| Stop::File(file.clone(), error))?));
    }
    let objects = read.iter().map(|(name, bytes)| Object { name, bytes: (**bytes).as_ref() });
    let linked = builder.add_objects(&objects.collect::<Vec<_>>(), &Options::default());
    linked.map(drop).map_err(|error| Stop::File(output.to_owned(), error))
}

fn start<'m>(origin: &Origin) -> Result<(Builder<'m>, Upvars), Stop> {
    let engine = match origin {
        Origin { metadata: Some(file), .. } => {
            return input::text(file, "metadata in JSON", |json| Document::from_json(json)?.start());
        }
        Origin { engine: Some(file), .. } => &input::engine(file)?,
        Origin { cpu: Some(engine), .. } => engine,
        Origin { wasmtime: true, .. } => &Engine::wasmtime(),
        _ => &Engine::new(),
    };
    Ok((Builder::new(engine), Upvars::default()))
}
