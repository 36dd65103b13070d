//! Images made runnable: reserved, mapped, bound, known to unwinders and debuggers, and all of that undone.
//!
//! `reserve` maps, `bind` relocates, `resolve` finds names, `builtin` has some of its own; `unwind`, `gdb` and `perf` tell others
//! about the code. What an image says has been checked by `native::image` before any of them sees it.

mod assemble;
mod bind;
mod builtin;
mod constructors;
#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod machine;
#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod machine;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "other.rs"]
mod machine;
mod reserve;
mod resolve;
mod unwind;

use std::sync::Arc;

use crate::artifact::{Artifact, trusted_by};
use crate::engine::Engine;
use crate::error::{Error, Result, Status};
use crate::format::module::Symbol as FileSymbol;
use crate::memory;
use crate::native::image::{self, Image, Tables};

pub use resolve::{Import, Resolver};

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
}

/// One module that is mapped.
#[derive(Debug)]
struct Loaded {
    tables: Tables,
    /// What its addresses count from.
    bias: u64,
}

impl Loaded {
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
    _registration: Option<Registration>,
    /// Last: everything above refers to what is mapped here.
    _reserved: Reserved,
}

/// Makes an artifact's modules runnable.
///
/// # Errors
///
/// UNTRUSTED if the engine trusts keys and none of them has signed it; WRONG_PRODUCER, WRONG_VERSION or INCOMPATIBLE as [`Artifact::check`]; UNRESOLVED with every missing name; UNSUPPORTED for
/// what a module asks for and can't get; CORRUPT, TRUNCATED, DIGEST_MISMATCH or LIMIT for damage; IO if the system doesn't map
/// it; NO_MEMORY. Of several modules the first one's.
pub fn load(artifact: Arc<Artifact>, engine: &Engine, options: LoadOptions<'_>) -> Result<Code> {
    let artifact = trusted_by(&artifact, engine)?;
    artifact.check(engine)?;
    let machine = machine::MACHINE.ok_or_else(|| {
        Error::new(Status::Unsupported, "code can be loaded on x86-64 and aarch64, this host is another machine")
    })?;
    let page = rustix::param::page_size() as u64;
    let count = artifact.module_count();
    let mut modules: Vec<Loaded> = memory::with_room(count, "modules")?;
    for index in 0..count {
        artifact.extent(index)?;
        let tables = image::parse(artifact.module_bytes(index)?, machine, page);
        let tables = tables.map_err(|error| artifact.in_module(index, error))?;
        modules.push(Loaded { tables, bias: 0 });
    }
    let frames = if options.no_unwind { None } else { Frames::check(&artifact, &modules)? };
    let room = frames.as_ref().map_or(0, Frames::room);
    let (reserved, end) = assemble::place(&mut modules, room, page)?;
    let handles = assemble::Assembly { artifact: &artifact, modules: &modules, reserved: &reserved, page }.run(
        options.symbols,
        options.resolver,
        options.process_symbols,
        options.allow_memfd,
    )?;
    let table = frames.map(|frames| frames.put(&artifact, &modules, &reserved, end)).transpose()?;
    if options.constructors {
        for (index, module) in modules.iter().enumerate() {
            constructors::check(module).map_err(|error| artifact.in_module(index, error))?;
        }
    }
    // SAFETY: a checked table with functions and a terminator; `Code` drops the registration before the mapping.
    let registration = table.map(|table| unsafe { Registration::new(table) });
    let code = Code {
        artifact,
        modules,
        handles,
        destructors: options.constructors,
        _registration: registration,
        _reserved: reserved,
    };
    if options.constructors {
        code.modules.iter().for_each(constructors::construct);
    }
    Ok(code)
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
        let image = Image { bytes: self.artifact.module_bytes(module).ok()?, tables: &loaded.tables };
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

    /// Calls a function of the C type `int64_t f(int64_t, …)`, whose missing arguments are 0.
    ///
    /// It runs code, and nobody can check what that does: it may do anything that the process may.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if the module exports no such function; LIMIT for more arguments than go in registers.
    pub fn call(&self, module: usize, name: &[u8], arguments: &[i64]) -> Result<i64> {
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
        // SAFETY: an address that the code exports. That there is such a function is the caller's to know; registers that it
        // doesn't look at do no harm.
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
