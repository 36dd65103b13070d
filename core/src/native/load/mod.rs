//! Loading: maps the modules of an artifact, applies their relocations and registers them with unwinders, debuggers and
//! profilers. Dropping [`Code`] undoes all of it.
//!
//! [`load`] lists the steps. `map` decides how each module gets into memory and maps it, `whole_file` maps all modules at once,
//! `fast_path` an artifact's only module; `reserve` makes the system calls. `bind` applies relocations, `resolve` finds undefined
//! symbols, `builtin` and `exits` define some of them, `ifunc` asks the modules' own resolvers, and `tls` gives threads their
//! variables. `unwind`, `gdb` and `perf` register the code, and `registry` finds it by its addresses. By then `native::image` has
//! checked everything that an image says about itself.

mod bind;
mod builtin;
mod code;
mod constructors;
mod exits;
mod fast_path;
mod gdb;
mod ifunc;
mod map;
mod perf;
mod process;
mod registry;
mod reserve;
mod resolve;
mod tls;
mod unwind;
mod whole_file;

use std::sync::{Arc, Weak};

use crate::alloc;
use crate::artifact::{Artifact, ModuleBytes, ModuleRange, reopen_trusted};
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::native::image::{self, Bytes, Image, Tables};
use crate::native::machine;

pub use code::{Code, SymbolAddress, SymbolizedAddress, symbolize};
pub use resolve::{Import, Resolver};
pub use unwind::{HostUnwinders, Libgcc, Llvm};

use bind::Bound;
use code::{Loaded, View};
use exits::Exits;
use gdb::Debugged;
use ifunc::IndirectWords;
use map::{Mapper, ReservedLayout};
use registry::Reservation;
use unwind::{Frames, Registration};

/// What a caller can do if the system forbids executing the file.
const NOEXEC: &str = "the file can't be executed where it is, such as on a mount with noexec or under SELinux; \
    ARTIFACT_LOAD_ALLOW_MEMFD would load a private copy";

/// Said if the system forbids executing a private copy.
const NOEXEC_COPY: &str = "a private copy of the code can't be executed here, which a policy such as SELinux, seccomp or the \
    sysctl vm.memfd_noexec forbids";

/// How to load.
#[derive(Default)]
#[non_exhaustive]
pub struct LoadOptions<'o> {
    /// Symbols that the host defines. If a name is defined twice, the first one counts.
    pub symbols: &'o [Import<'o>],
    /// Called once with all symbols that are undefined after `symbols`.
    pub resolver: Option<Resolver<'o>>,
    /// Look undefined symbols up in the process, as `dlsym(RTLD_DEFAULT)` does.
    pub process_symbols: bool,
    /// Load a private copy if the artifact's file can't be mapped executable.
    pub allow_memfd: bool,
    /// Run constructors at the end of loading, and destructors when the code is dropped. Modules with indirect functions need it:
    /// their resolvers run before the constructors, and when a symbol is looked up.
    pub constructors: bool,
    /// Load modules that have constructors without running them. Otherwise that is UNSUPPORTED.
    pub skip_constructors: bool,
    /// Don't register unwind tables.
    pub no_unwind: bool,
    /// Register the code with GDB.
    pub gdb: bool,
    /// Write a perf map.
    pub perf_map: bool,
    /// Write a jitdump file.
    pub jitdump: bool,
    /// The indexes of the modules to load, in any order; `None`: all. The others are neither read nor mapped, and export nothing.
    /// Indexes of modules stay the artifact's.
    pub modules: Option<&'o [usize]>,
    /// Unwinders of the host that the process doesn't export. A program that is linked with this crate needs none: what it uses is
    /// what this crate uses.
    pub unwinders: HostUnwinders,
}

/// Where the bytes of a module's image are read from.
#[derive(Debug)]
enum ImageBytes {
    /// From the artifact: its own mapping, or its checked copy of a signed module.
    Artifact,
    /// From a copy of the whole image.
    Copy(Vec<u8>),
    /// From the read-only segments that the image begins with, where they are mapped for execution.
    Mapped { address: usize, len: usize },
}

/// A module that is mapped, or is going to be.
#[derive(Debug)]
struct LoadedModule {
    /// Its index in the artifact.
    index: usize,
    /// Where it is in the artifact.
    range: ModuleRange,
    tables: Tables,
    /// What is added to an address of the image to get an address in memory. It may wrap around.
    bias: u64,
    bytes: ImageBytes,
    /// If it has thread-local storage and is mapped.
    thread_local: Option<tls::Index>,
}

impl LoadedModule {
    fn new(index: usize, range: ModuleRange, tables: Tables) -> LoadedModule {
        LoadedModule { index, range, tables, bias: 0, bytes: ImageBytes::Artifact, thread_local: None }
    }

    /// The module's image, while it is loaded.
    fn image<'c>(&'c self, artifact: &'c Artifact) -> Result<Image<'c>> {
        self.image_in(|| artifact.module_bytes(self.index))
    }

    /// The module's image. `stored` returns the bytes that the artifact has. Only bytes that no relocation is written to are read
    /// through it.
    fn image_in<'c>(&'c self, stored: impl FnOnce() -> Result<&'c [u8]>) -> Result<Image<'c>> {
        let bytes = match &self.bytes {
            ImageBytes::Artifact => stored()?,
            ImageBytes::Copy(bytes) => bytes,
            // SAFETY: `fast_path` has mapped these bytes readable, and they stay so. Nothing writes to them: they are segments
            // without PF_W, and relocations are written to segments with it. They stay mapped as long as this module exists:
            // `Mapped` and `Code` own it together with the reserved range, and drop the range last.
            ImageBytes::Mapped { address, len } => unsafe { std::slice::from_raw_parts(*address as *const u8, *len) },
        };
        Ok(Image { bytes: Bytes::whole(bytes), tables: &self.tables })
    }

    /// All bytes of the module's image, as in the file: symbol tables and the like, which no segment has. Takes no memory and no lock:
    /// signal handlers call it.
    fn whole_image<'c>(&'c self, stored: Option<&'c ModuleBytes>) -> Option<&'c [u8]> {
        match &self.bytes {
            ImageBytes::Copy(bytes) => Some(bytes),
            ImageBytes::Artifact | ImageBytes::Mapped { .. } => stored?.get(self.index, &self.range),
        }
    }

    /// An address of the image, in memory.
    fn address(&self, address: u64) -> usize {
        self.bias.wrapping_add(address) as usize
    }

    /// The address of the image's first page in memory.
    fn base(&self) -> u64 {
        self.bias.wrapping_add(self.tables.start)
    }
}

/// Maps an artifact's modules, applies their relocations, and makes their functions callable.
///
/// # Safety
///
/// The artifact's machine code becomes a part of this process, and nothing can check what it does. The caller promises:
///
/// - The code is what the caller trusts it to be. With [`LoadOptions::constructors`] it runs during this call, when the symbol of an
///   indirect function is looked up, and again when the [`Code`] is dropped. Unless [`LoadOptions::no_unwind`] is set, every exception that is thrown in the process may read its
///   unwind tables.
/// - Every address in [`LoadOptions::symbols`], every address that the resolver sets, and with
///   [`LoadOptions::process_symbols`] every symbol of the process that the code uses, is what the code takes it for: a function
///   with the signature that the code calls, or an object of the type that it uses. It stays valid as long as the code can run.
/// - As long as the code is mapped, the functions in [`LoadOptions::unwinders`] do what their names stand for.
/// - As long as the code is mapped, the artifact's file isn't truncated or overwritten in place: text is mapped from it.
/// - When the `Code` is dropped, no thread is running its functions. Afterwards nothing uses its functions, its data, or pointers
///   to either: callbacks that it registered, exceptions that it threw. Destructors of its thread-local objects still run when their
///   threads end, and keep the code mapped until then; whatever they use of the host stays valid.
///
/// # Errors
///
/// UNTRUSTED if the engine trusts keys and none of them has signed the artifact; WRONG_PRODUCER, WRONG_VERSION or INCOMPATIBLE as
/// [`Artifact::check`]; INCOMPATIBLE too if this very CPU lacks what the ISA flags name, whatever the engine says; UNRESOLVED with
/// the names of all undefined symbols; NOT_FOUND for an index of no module; UNSUPPORTED if a module needs something that this loader doesn't do, or has constructors and
/// the options don't say what to do with them; CORRUPT, TRUNCATED, DIGEST_MISMATCH or LIMIT for a damaged module; IO if the system
/// refuses to map it; INVALID_ARGUMENT if a module imports a thread-local variable, and the host's symbol isn't one; NO_MEMORY. If
/// several modules are at fault, the error is about the first one.
pub unsafe fn load(artifact: Arc<Artifact>, engine: &Engine, options: LoadOptions<'_>) -> Result<Code> {
    let artifact = reopen_trusted(&artifact, engine)?;
    artifact.check_for_loading(engine)?;
    let machine = machine::HOST.map(|machine| machine.number.0).ok_or_else(|| {
        Error::new(Status::Unsupported, "code can be loaded on x86-64 and aarch64, this host is another machine")
    })?;
    let mapper = Mapper::new(&artifact, options.allow_memfd);

    let chosen = options.modules.map(|chosen| choose(&artifact, chosen)).transpose()?;
    let fast = match chosen.as_deref() {
        Some(&[only]) => fast_path::prepare_and_map(&mapper, only, machine, options.no_unwind),
        None if artifact.module_count() == 1 => fast_path::prepare_and_map(&mapper, 0, machine, options.no_unwind),
        _ => None,
    };
    let mapped = match (fast, chosen) {
        (Some(mapped), _) => mapped,
        (None, Some(chosen)) => prepare(&mapper, chosen.into_iter(), machine, options.no_unwind)?.map(&mapper)?,
        (None, None) => prepare(&mapper, 0..artifact.module_count(), machine, options.no_unwind)?.map(&mapper)?,
    };
    let Mapped { mut modules, frames, mut layout } = mapped;
    tls::register(&mut modules)?;
    let indirect = IndirectWords::new(options.constructors);
    let Bound { has_handles, patched, host_variables, indirect } =
        bind::bind(&mapper, &modules, &layout, options.symbols, options.resolver, options.process_symbols, indirect)?;
    mapper.protect(&modules, &mut layout, &patched)?;
    // SAFETY: the modules are mapped, bound and protected, and the caller trusts their code.
    unsafe { indirect.resolve(&mapper, &modules, &layout)? };
    let unwind_table = frames.map(|frames| frames.install(&artifact, &modules, &mut layout)).transpose()?;
    if options.constructors {
        constructors::check(&artifact, &modules)?;
    } else if !options.skip_constructors {
        constructors::check_none(&artifact, &modules)?;
    }

    let debugged = options.gdb.then(|| Debugged::new(&artifact, &modules)).transpose()?;
    if options.perf_map {
        perf::map(&artifact, &modules)?;
    }
    if options.jitdump {
        perf::dump(&artifact, &modules, machine)?;
    }
    // SAFETY: `Frames` has checked the table, which has functions and a terminator. Its pages are read-only by now, and `Code`
    // drops the registration before it unmaps them. The caller promises what the host's functions do.
    let registration = unwind_table.map(|table| unsafe { Registration::new(table, options.unwinders) });
    let place = Reservation::new()?;
    let is_copy = |module: &LoadedModule| matches!(module.bytes, ImageBytes::Copy(_));
    let stored = if modules.iter().all(is_copy) { None } else { Some(artifact.shared_bytes()) };
    let view = Arc::new(View { stored, count: artifact.module_count(), modules });
    let loaded = Arc::new_cyclic(|weak| Loaded {
        _entry: place.publish(layout.reserved.addresses(), Arc::clone(&view), Weak::clone(weak)),
        _debugged: debugged,
        _registration: registration,
        view,
        exits: Exits::new(has_handles),
        _host_variables: host_variables,
        _reserved: layout.reserved,
    });
    let code = Code { loaded, destructors: options.constructors, resolvers: options.constructors };
    if options.constructors {
        // SAFETY: everything is mapped, bound and registered, and the caller trusts the code.
        code.loaded.view.modules.iter().for_each(|module| unsafe { constructors::construct(module) });
    }
    Ok(code)
}

/// Modules whose tables have been checked, with nothing mapped yet.
struct Prepared {
    modules: Vec<LoadedModule>,
    /// Their unwind tables, unless they are not to be registered.
    frames: Option<Frames>,
}

/// Modules in memory, before relocation. Writable segments, and whatever relocations are written to, are writable.
struct Mapped {
    modules: Vec<LoadedModule>,
    frames: Option<Frames>,
    /// With room next to the modules for what `frames` needs. Dropped last: the modules may refer to it.
    layout: ReservedLayout,
}

/// Checks the indexes of the modules to load, and returns them in ascending order, each once.
fn choose(artifact: &Artifact, chosen: &[usize]) -> Result<Vec<usize>> {
    if chosen.is_empty() {
        return Err(Error::new(Status::InvalidArgument, "modules to load: expected at least one, found none"));
    }
    for index in chosen {
        artifact.check_index(*index)?;
    }
    let mut chosen = alloc::copy(chosen, "the modules to load")?;
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// Parses and checks the modules with these indexes.
fn prepare(
    mapper: &Mapper<'_>,
    indexes: impl ExactSizeIterator<Item = usize>,
    machine: u16,
    no_unwind: bool,
) -> Result<Prepared> {
    let artifact = mapper.artifact;
    let mut modules: Vec<LoadedModule> = alloc::with_capacity(indexes.len(), "modules")?;
    for index in indexes {
        artifact.extent(index)?;
        let tables = image::parse(artifact.module_bytes(index)?, machine, mapper.page);
        let range = *artifact.module_range(index)?;
        modules.push(LoadedModule::new(index, range, tables.map_err(|error| artifact.in_module(index, error))?));
    }
    let frames = if no_unwind { None } else { Frames::check(artifact, &modules)? };
    Ok(Prepared { modules, frames })
}

impl Prepared {
    fn map(self, mapper: &Mapper<'_>) -> Result<Mapped> {
        let Prepared { mut modules, frames } = self;
        let room = frames.as_ref().map_or(0, Frames::copy_len);
        let layout = mapper.map(&mut modules, room, &|index, offset, buffer| {
            let bytes = mapper.artifact.module_bytes(index)?.get(offset..offset + buffer.len());
            buffer.copy_from_slice(bytes.ok_or_else(|| defect("a segment outside its image"))?);
            Ok(())
        })?;
        Ok(Mapped { modules, frames, layout })
    }
}

/// An error for what can't happen, whatever the artifact says: the loader itself is wrong.
#[cold]
fn defect(what: &str) -> Error {
    Error::new(Status::Internal, format!("loader: {what}"))
}
