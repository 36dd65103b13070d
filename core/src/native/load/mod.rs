//! Images made runnable: reserved, mapped, bound, known to unwinders and debuggers, and all of that undone.
//!
//! `reserve` maps, `bind` relocates, `resolve` finds names, `builtin` has some of its own; `unwind`, `gdb` and `perf` tell others
//! about the code. What an image says has been checked by `native::image` before any of them sees it.

mod assemble;
mod bind;
mod builtin;
mod constructors;
mod direct;
mod gdb;
mod perf;
mod reserve;
mod resolve;
mod unwind;

use std::sync::Arc;

use crate::alloc;
use crate::artifact::{Artifact, trusted_by};
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::format::module::Symbol as FileSymbol;
use crate::native::image::{self, Bytes, Image, Tables};
use crate::native::machine;

pub use resolve::{Import, Resolver};

use assemble::Placed;
use gdb::Debugged;
use reserve::Reserved;
use unwind::{Frames, Registration};

/// What to do where a file system forbids executing what it has.
const NOEXEC: &str = "the file can't be executed where it is, such as on a mount with noexec; \
    ARTIFACT_LOAD_ALLOW_MEMFD would load a private copy";

/// How to load.
#[derive(Default)]
pub struct LoadOptions<'o> {
    /// What the host defines.
    pub symbols: &'o [Import<'o>],
    /// Asked for what is still missing.
    pub resolver: Option<Resolver<'o>>,
    /// The process's own symbols count too.
    pub process_symbols: bool,
    /// A private copy is fine where the file can't be mapped executable.
    pub allow_memfd: bool,
    /// Run constructors when everything is in place, and destructors at the end.
    pub constructors: bool,
    /// Don't tell unwinders.
    pub no_unwind: bool,
    /// Tell GDB.
    pub gdb: bool,
    /// Write a perf map.
    pub perf_map: bool,
    /// Write a jitdump.
    pub jitdump: bool,
}

/// One module that is mapped.
#[derive(Debug)]
struct Loaded {
    tables: Tables,
    /// What its addresses count from.
    bias: u64,
    /// Mapped already, with its read-only part in memory as it is in the file: offset, address, length.
    run: Option<(usize, usize, usize)>,
    /// All bytes of a small image, where that is cheaper than looking at it where it is mapped.
    own: Vec<u8>,
}

impl Loaded {
    /// The image, from the file or from where it is mapped. What has a `run` lives no longer than the range it is mapped in.
    fn image<'c>(&'c self, artifact: &'c Artifact, index: usize) -> Result<Image<'c>> {
        if !self.own.is_empty() {
            return Ok(Image { bytes: Bytes::whole(&self.own), tables: &self.tables });
        }
        let Some((at, address, len)) = self.run else {
            return Ok(Image { bytes: Bytes::whole(artifact.module_bytes(index)?), tables: &self.tables });
        };
        // SAFETY: pages of a file, mapped to be read as long as this is there; as with all mappings, what is read from them is
        // checked where it is used.
        let bytes = unsafe { std::slice::from_raw_parts(address as *const u8, len) };
        Ok(Image { bytes: Bytes::pieces([(at, bytes), (0, &[])]), tables: &self.tables })
    }

    fn base(&self) -> u64 {
        self.bias.wrapping_add(self.tables.start)
    }
}

/// Modules of an artifact, mapped and bound. Gone when it is dropped: nothing of it may run or be read then.
pub struct Code {
    artifact: Arc<Artifact>,
    modules: Vec<Loaded>,
    /// Modules use the handle that we gave them to register destructors with.
    handles: bool,
    destructors: bool,
    _debugged: Option<Debugged>,
    _registration: Option<Registration>,
    /// Last: everything above refers to what is mapped here.
    _reserved: Reserved,
}

/// Maps an artifact's modules, applies their relocations, and makes their functions callable.
///
/// # Safety
///
/// The artifact's machine code becomes a part of this process, and nobody can check what it does. The caller promises:
///
/// - The code is what the caller trusts it to be. With [`LoadOptions::constructors`] it runs during this call, and again when the
///   [`Code`] is dropped. Unless [`LoadOptions::no_unwind`] is set, every exception that is thrown in the process may read its
///   unwind tables.
/// - Every address in [`LoadOptions::symbols`], every address that the resolver sets, and with
///   [`LoadOptions::process_symbols`] every symbol of the process that the code uses, is what the code takes it for: a function
///   with the signature that the code calls, or an object of the type that it uses. It stays valid as long as the code can run.
/// - Until the `Code` is dropped, nobody truncates the artifact's file or overwrites bytes in it: text is mapped from it.
/// - When the `Code` is dropped, no thread is running its functions. Afterwards nothing uses its functions, its data, or pointers
///   to either: callbacks that it registered, exceptions that it threw, destructors of its thread-local objects.
///
/// # Errors
///
/// UNTRUSTED if the engine trusts keys and none of them has signed the artifact; WRONG_PRODUCER, WRONG_VERSION or INCOMPATIBLE as
/// [`Artifact::check`]; UNRESOLVED with the names of all undefined symbols; UNSUPPORTED if a module needs something that this
/// loader doesn't do; CORRUPT, TRUNCATED, DIGEST_MISMATCH or LIMIT for a damaged module; IO if the system refuses to map it;
/// NO_MEMORY. If several modules are at fault, the error is about the first one.
pub unsafe fn load(artifact: Arc<Artifact>, engine: &Engine, options: LoadOptions<'_>) -> Result<Code> {
    let artifact = trusted_by(&artifact, engine)?;
    artifact.check(engine)?;
    let machine = machine::HOST.map(|machine| machine.number.0).ok_or_else(|| {
        Error::new(Status::Unsupported, "code can be loaded on x86-64 and aarch64, this host is another machine")
    })?;
    let page = rustix::param::page_size() as u64;
    let prepared = direct::prepare(&artifact, &options, machine, page)
        .map_or_else(|| Prepared::new(&artifact, &options, machine, page), Ok)?;
    let Prepared { modules, frames, placed } = prepared;
    let handles = assemble::Assembly { artifact: &artifact, modules: &modules, placed: &placed, page }.run(
        options.symbols,
        options.resolver,
        options.process_symbols,
        options.allow_memfd,
    )?;
    let table = frames.map(|frames| frames.put(&artifact, &modules, &placed.reserved, placed.end)).transpose()?;
    if options.constructors {
        for (index, module) in modules.iter().enumerate() {
            constructors::check(module).map_err(|error| artifact.in_module(index, error))?;
        }
    }
    let debugged = options.gdb.then(|| Debugged::new(&artifact, &modules)).transpose()?;
    if options.perf_map {
        perf::map(&artifact, &modules)?;
    }
    if options.jitdump {
        perf::dump(&artifact, &modules, machine)?;
    }
    // SAFETY: a checked table with functions and a terminator; `Code` drops the registration before the mapping.
    let registration = table.map(|table| unsafe { Registration::new(table) });
    let code = Code {
        artifact,
        modules,
        handles,
        destructors: options.constructors,
        _debugged: debugged,
        _registration: registration,
        _reserved: placed.reserved,
    };
    if options.constructors {
        code.modules.iter().for_each(constructors::construct);
    }
    Ok(code)
}

/// Modules that have places.
struct Prepared {
    modules: Vec<Loaded>,
    /// Their unwind tables, if anybody is to know them.
    frames: Option<Frames>,
    /// With room behind them for what `frames` wants.
    placed: Placed,
}

impl Prepared {
    fn new(artifact: &Artifact, options: &LoadOptions<'_>, machine: u16, page: u64) -> Result<Prepared> {
        let count = artifact.module_count();
        let mut modules: Vec<Loaded> = alloc::with_capacity(count, "modules")?;
        for index in 0..count {
            artifact.extent(index)?;
            let tables = image::parse(artifact.module_bytes(index)?, machine, page);
            let tables = tables.map_err(|error| artifact.in_module(index, error))?;
            modules.push(Loaded { tables, bias: 0, run: None, own: Vec::new() });
        }
        let frames = if options.no_unwind { None } else { Frames::check(artifact, &modules)? };
        let room = frames.as_ref().map_or(0, Frames::room);
        let flat = assemble::place_flat(artifact, &mut modules, room, page, options.allow_memfd);
        let placed = flat.map_or_else(|| assemble::place(&mut modules, room, page), Ok)?;
        Ok(Prepared { modules, frames, placed })
    }
}

/// What a name stands for in running code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is.
    pub address: usize,
    /// Its size in bytes; 0 if nobody knows.
    pub size: u64,
}

/// A function or object that an address lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside<'c> {
    /// The module.
    pub module: usize,
    /// Its name, as stored.
    pub name: &'c [u8],
    /// How far behind its beginning, in bytes.
    pub offset: u64,
}

impl Code {
    /// How many modules it has.
    #[must_use]
    pub fn module_count(&self) -> usize {
        self.modules.len()
    }

    /// The function or object that a module exports under that name. Of Wasmtime's modules, which export nothing, any.
    #[must_use]
    pub fn symbol(&self, module: usize, name: &[u8]) -> Option<Place> {
        let loaded = self.modules.get(module)?;
        let image = loaded.image(&self.artifact, module).ok()?;
        let symbol = image.export(name).ok()??;
        let address = if symbol.absolute { symbol.value } else { loaded.bias.wrapping_add(symbol.value) };
        let known = symbol.absolute || loaded.tables.contains(symbol.value);
        (known && symbol.is_plain()).then_some(Place { address: address as usize, size: symbol.size })
    }

    /// What an address lies in: the innermost function or object whose extent is known, or else the label before it.
    #[must_use]
    pub fn symbolize(&self, address: usize) -> Option<Inside<'_>> {
        let module = self.modules.partition_point(|module| module.base() <= address as u64).checked_sub(1)?;
        let loaded = self.modules.get(module)?;
        let address = (address as u64).wrapping_sub(loaded.bias);
        if !loaded.tables.contains(address) {
            return None;
        }
        let symbols = self.artifact.symbols(module).ok()?;
        let mut best: Option<((bool, u64), FileSymbol<'_>)> = None;
        for index in 1..symbols.count() {
            let Ok(symbol) = symbols.get(index) else { continue };
            let start = symbol.value.wrapping_add(loaded.tables.origin());
            let Some(offset) = address.checked_sub(start).filter(|_| symbol.is_place()) else { continue };
            let covers = offset < symbol.size;
            let rank = (covers, start);
            if (covers || symbol.size == 0) && best.as_ref().is_none_or(|(found, _)| *found < rank) {
                best = Some((rank, symbol));
            }
        }
        best.map(|((_, start), symbol)| Inside { module, name: symbol.name, offset: address - start })
    }

    /// Calls a function of the C type `int64_t f(int64_t, …)` with up to six arguments. Missing arguments are 0.
    ///
    /// # Safety
    ///
    /// The module's symbol of that name is a function that takes at most six arguments, all of them integers or pointers, and
    /// returns an integer, a pointer or nothing. Calling it with these arguments, and 0 for the rest, is sound. It doesn't
    /// unwind. If the function returns a type narrower than `int64_t`, the upper bits of the result are unspecified.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if the module exports no such function; LIMIT for more than six arguments, which are those that go in registers.
    pub unsafe fn call(&self, module: usize, name: &[u8], arguments: &[i64]) -> Result<i64> {
        const MOST: usize = 6;
        let place = self.symbol(module, name).ok_or_else(|| {
            Error::new(Status::NotFound, format!("module {module} exports no '{}'", crate::error::quote(name)))
        })?;
        let mut registers = [0; MOST];
        let Some(given) = registers.get_mut(..arguments.len()) else {
            let message = format!("arguments: expected at most {MOST}, found {}", arguments.len());
            return Err(Error::new(Status::Limit, message));
        };
        given.copy_from_slice(arguments);
        let [a, b, c, d, e, f] = registers;
        // SAFETY: the address of an exported symbol of mapped code, which the caller promises to be a function that can be called
        // with these arguments. All six go in registers on x86-64 and aarch64, and a function ignores those that it doesn't take.
        unsafe {
            let function: extern "C" fn(i64, i64, i64, i64, i64, i64) -> i64 = std::mem::transmute(place.address);
            Ok(function(a, b, c, d, e, f))
        }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        for module in self.modules.iter().rev() {
            if self.destructors {
                constructors::destruct(module);
            }
            if self.handles {
                constructors::finalize(module);
            }
        }
    }
}
