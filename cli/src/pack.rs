//! `artifact pack`: builds an artifact from ELF files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::{Error, escape};
use artifact::format::archive;
use artifact::format::upvars::Upvars;
use artifact::native::link::{Object, Options, check_code};

use crate::failure::Failure;
use crate::input::{self, Input};
use crate::metadata::Document;
use crate::output::{CommandResult, Console};
use crate::write::WriteArgs;

/// Pack ELF modules and relocatable objects into an artifact
///
/// The last module is the main module. The objects are linked into a shared object, which becomes the last module. Of an archive
/// (libx.a, also a thin one) those members are linked that objects and other members need. The
/// artifact says that its modules were compiled without flags for the baseline CPU of this host's target, unless --target, --cpu,
/// --engine, --wasmtime or --metadata is given. OUT is replaced atomically.
#[derive(clap::Args)]
#[command(after_help = "\
CPU is a comma-separated list of names: native for all instruction sets of this CPU; x86-64-v2, x86-64-v3 or x86-64-v4 for \
a microarchitecture level of the x86-64 psABI; LLVM's name of an instruction set, such as avx2 or lse; or \
sve-vector-bits=512 for code that was compiled for one length of SVE vectors. The names are those of the target's architecture. Modules for another machine than the \
target's are refused.

Examples:
  artifact pack -o kernels.artifact --object helpers.o kernels.o
  artifact pack -o kernels.artifact --object kernels.o -- libhelpers.so
  artifact pack -o kernels.artifact --entry scale --entry sum --object libkernels.a
  artifact pack -o kernels.artifact --cpu x86-64-v3 --attribute built-by=ci libhelpers.so kernels.so
  artifact pack -o kernels.artifact --target aarch64-unknown-linux-gnu --cpu lse --no-debug --object kernels.o
  artifact engine > here.json; artifact pack -o kernels.artifact --engine here.json --object kernels.o
  artifact extract old.cwasm -d old && artifact pack -o new.cwasm --metadata old/metadata.json old/module-*.elf")]
pub struct Args {
    /// ELF files to add as modules, in this order; `-` is standard input
    #[arg(required_unless_present = "objects", value_name = "MODULE")]
    modules: Vec<PathBuf>,
    /// Relocatable objects and archives to link into the main module. `--` ends the list
    #[arg(long = "object", value_name = "OBJECT", num_args = 1..)]
    objects: Vec<PathBuf>,
    #[command(flatten)]
    linking: LinkArgs,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    write: WriteArgs,
}

/// The options for linking.
#[derive(clap::Args)]
struct LinkArgs {
    /// Export this symbol of the objects, and only those given in this way. What they do not need is left out
    #[arg(long = "entry", value_name = "SYMBOL", requires = "objects")]
    entries: Vec<String>,
    /// Link all members of archives, whether or not they are needed
    #[arg(long, requires = "objects")]
    whole_archive: bool,
    /// Leave out sections of objects that no exported symbol needs. --entry implies it
    #[arg(long, requires = "objects")]
    gc_sections: bool,
    /// Pack relative relocations of objects (DT_RELR): smaller tables of pointers. `dlopen` of glibc before 2.36 and of musl before
    /// 1.2.4 does not relocate such a file, without an error
    #[arg(long, requires = "objects")]
    pack_relative_relocs: bool,
    /// Leave out the objects' debug information
    #[arg(long)]
    no_debug: bool,
}

/// The options for the settings with which the modules were compiled.
#[derive(clap::Args)]
struct SettingsArgs {
    /// Take the settings from this engine; a JSON file, as printed by `artifact engine`
    #[arg(long, value_name = "ENGINE", group = "settings")]
    engine: Option<PathBuf>,
    /// Take the settings from the default engine of Wasmtime 0.33 on this host
    #[arg(long, group = "settings")]
    wasmtime: bool,
    /// Record that the modules need these instruction sets, and no flags: native, CPUs by LLVM's name such as haswell, levels such as
    /// x86-64-v3, and features; `-NAME` takes away
    #[arg(long, value_name = "CPU", conflicts_with = "settings")]
    cpu: Option<String>,
    /// Record that the modules are for this target rather than for the host's, such as aarch64-unknown-linux-gnu
    #[arg(long, value_name = "TRIPLE", value_parser = triple, conflicts_with = "settings")]
    target: Option<String>,
    /// Take the settings, types, upvars and attributes from this file, as written by `artifact extract`
    #[arg(long, value_name = "METADATA", group = "settings")]
    metadata: Option<PathBuf>,
}

/// Checks a target triple.
pub fn triple(triple: &str) -> Result<String, Error> {
    Engine::new().set_target(triple)?;
    Ok(triple.to_owned())
}

impl Args {
    /// Returns what is wrong with the arguments although each by itself is right.
    pub fn check(&self) -> Result<(), Error> {
        self.settings.named().map(drop)
    }

    pub fn inputs(&self) -> Vec<&Path> {
        let SettingsArgs { engine, metadata, .. } = &self.settings;
        let files = self.modules.iter().chain(&self.objects).chain(engine).chain(metadata).chain(self.write.inputs());
        files.map(PathBuf::as_path).collect()
    }
}

pub fn run(args: &Args, console: &mut Console) -> CommandResult {
    let Args { modules: files, objects, linking, settings, write } = args;
    let progress = console.progress("packing", write.output())?;
    let modules = read(files)?;
    let (mut builder, upvars) = settings.builder(write.output())?;
    for (file, module) in files.iter().zip(&modules) {
        let bytes = (**module).as_ref();
        let checked = builder.check_machine(bytes).and_then(|()| check_code(bytes));
        let added = checked.and_then(|()| builder.add_module(bytes));
        added.map_err(|error| Failure::in_file(file, error))?;
    }
    link(&mut builder, objects, linking, write.output())?;
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
fn link(builder: &mut Builder<'_>, files: &[PathBuf], args: &LinkArgs, output: &Path) -> Result<(), Failure> {
    if files.is_empty() {
        return Ok(());
    }
    let mut contents = read(files)?;
    for (file, bytes) in files.iter().zip(&mut contents) {
        if archive::is_thin((**bytes).as_ref()) {
            let filled = archive::fill_thin((**bytes).as_ref(), |name| read_member(file, name));
            *bytes = Box::new(filled.map_err(|error| Failure::in_file(file, error))?);
        }
    }
    let names: Vec<_> = files.iter().map(|file| file.to_string_lossy()).collect();
    let object = |(name, bytes)| Object { name, bytes };
    let bytes = contents.iter().map(|bytes| (**bytes).as_ref());
    let objects: Vec<_> = names.iter().map(AsRef::as_ref).zip(bytes).map(object).collect();
    let entries: Vec<_> = args.entries.iter().map(String::as_str).collect();
    let mut options = Options::default();
    options.entries = &entries;
    (options.whole_archives, options.gc_sections) = (args.whole_archive, args.gc_sections);
    options.pack_relative_relocs = args.pack_relative_relocs;
    options.leave_out_debug = args.no_debug;
    // The messages name the objects.
    let linked = builder.add_objects(&objects, &options);
    linked.map(drop).map_err(|error| Failure::cannot("link", output, error))
}

/// Reads a member of a thin archive, whose path is relative to the archive's folder.
fn read_member(archive: &Path, name: &[u8]) -> Result<Vec<u8>, Error> {
    let path = archive.with_file_name(OsStr::from_bytes(name));
    std::fs::read(&path)
        .map_err(|cause| Error::io(format_args!("cannot read '{}'", escape(path.as_os_str().as_bytes())), &cause))
}

impl SettingsArgs {
    /// The engine that --target and --cpu name.
    fn named(&self) -> Result<Engine, Error> {
        let mut engine = Engine::new();
        self.target.iter().try_for_each(|triple| engine.set_target(triple))?;
        self.cpu.iter().try_for_each(|names| engine.set_cpu(names))?;
        Ok(engine)
    }

    /// A builder with these settings, and the upvars.
    fn builder<'m>(&self, output: &Path) -> Result<(Builder<'m>, Upvars), Failure> {
        let engine = match self {
            SettingsArgs { metadata: Some(file), .. } => {
                return input::parse(file, "metadata in JSON", |json| Document::from_json(json)?.into_builder());
            }
            SettingsArgs { engine: Some(file), .. } => &input::engine(file)?,
            SettingsArgs { wasmtime: true, .. } => &Engine::wasmtime(),
            _ => &self.named().map_err(|error| Failure::cannot("pack", output, error))?,
        };
        Ok((Builder::new(engine), Upvars::default()))
    }
}
