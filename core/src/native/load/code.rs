//! Code that has been loaded: finding symbols, calling functions, unloading.

use std::sync::Arc;

use object::elf;

use super::exits::{self, Exits};
use super::gdb::Debugged;
use super::registry::{self, Entry};
use super::reserve::Reserved;
use super::tls::{self, HostVariables};
use super::unwind::Registration;
use super::{LoadedModule, constructors, defect, ifunc};
use crate::artifact::ModuleBytes;
use crate::error::{Error, Result, Status, quote};
use crate::format::module::Module;
use crate::native::image::Image;

/// The modules of an artifact, mapped and bound by [`load`](super::load). Dropping it runs the destructors of this thread's
/// thread-local objects, those of the modules, if constructors ran, and what the modules have registered with `atexit`: the promises
/// that `load` asks for have to hold then. The modules are unmapped when the last thread that has destructors of theirs to run has
/// ended, or at once if there is none.
pub struct Code {
    pub(super) loaded: Arc<Loaded>,
    /// Run the modules' destructors when this is dropped.
    pub(super) destructors: bool,
    /// The resolvers of indirect functions may run.
    pub(super) resolvers: bool,
}

/// Modules in memory. They are unmapped when the last reference is dropped.
pub struct Loaded {
    /// Dropped first: nobody finds the code after this.
    pub(super) _entry: Entry,
    pub(super) _debugged: Option<Debugged>,
    pub(super) _registration: Option<Registration>,
    pub(super) view: Arc<View>,
    pub(super) exits: Exits,
    pub(super) _host_variables: HostVariables,
    /// Dropped last: everything above refers to what is mapped here.
    pub(super) _reserved: Reserved,
}

/// What can be looked up in modules.
pub struct View {
    /// The bytes of the artifact's modules, if any of them are needed. The artifact itself would keep its descriptor.
    pub(super) stored: Option<ModuleBytes>,
    /// The number of modules in the artifact.
    pub(super) count: usize,
    /// Those that are loaded, in ascending order of their indexes and of their addresses.
    pub(super) modules: Vec<LoadedModule>,
}

/// The address of a symbol in running code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymbolAddress {
    /// Its address.
    pub address: usize,
    /// Its size in bytes; 0 if it isn't known.
    pub size: u64,
}

/// The function or object that contains an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SymbolizedAddress<'c> {
    /// The index of its module.
    pub module: usize,
    /// Its name, as stored.
    pub name: &'c [u8],
    /// The address's distance from its start, in bytes.
    pub offset: u64,
}

impl View {
    /// The module with an index of the artifact, if it is loaded, and its image.
    fn module(&self, index: usize) -> Option<(&LoadedModule, Image<'_>)> {
        let found = self.modules.binary_search_by_key(&index, |module| module.index).ok()?;
        let module = self.modules.get(found)?;
        let stored = || {
            let bytes = self.stored.as_ref().and_then(|stored| stored.get(index, &module.range));
            bytes.ok_or_else(|| defect("a loaded module without bytes"))
        };
        Some((module, module.image_in(stored).ok()?))
    }

    /// As [`Code::symbolize`].
    fn symbolize(&self, address: usize) -> Option<SymbolizedAddress<'_>> {
        let found = self.modules.partition_point(|module| module.base() <= address as u64).checked_sub(1)?;
        let loaded = self.modules.get(found)?;
        let address = (address as u64).wrapping_sub(loaded.bias);
        if !loaded.tables.contains(address) {
            return None;
        }
        let address = address.checked_sub(loaded.tables.origin())?;
        let symbol = Module::symbol_at(loaded.whole_image(self.stored.as_ref())?, address)?;
        Some(SymbolizedAddress { module: loaded.index, name: symbol.name, offset: address - symbol.value })
    }
}

/// Finds the function or object that contains an address in all code that is loaded in this process, as [`Code::symbolize`] does in
/// one artifact's, and passes it to `read`. What `read` does must be short: who drops the code waits for it.
pub fn symbolize<R>(address: usize, read: impl FnOnce(SymbolizedAddress<'_>) -> R) -> Option<R> {
    registry::find(address, |view| view.symbolize(address).map(read)).flatten()
}

impl Code {
    /// The number of modules in the artifact, whether they are loaded or not.
    #[must_use]
    pub fn module_count(&self) -> usize {
        self.loaded.view.count
    }

    /// Returns the address of a function or object that a loaded module exports, of a thread-local variable that of the calling thread's
    /// instance. Modules of Wasmtime export nothing: there any symbol is found. For an indirect function, this
    /// calls its resolver, as `dlsym` does; without [`LoadOptions::constructors`], it isn't found.
    ///
    /// [`LoadOptions::constructors`]: super::LoadOptions::constructors
    #[must_use]
    pub fn symbol(&self, module: usize, name: &[u8]) -> Option<SymbolAddress> {
        let (loaded, image) = self.loaded.view.module(module)?;
        let symbol = image.export(name).ok()??;
        if symbol.kind == elf::STT_TLS {
            let len = loaded.tables.thread_local?.len;
            let address = tls::address(loaded.thread_local.as_ref().filter(|_| symbol.value <= len)?, symbol.value)?;
            return Some(SymbolAddress { address, size: symbol.size });
        }
        if symbol.is_indirect() {
            let may_run = self.resolvers && loaded.tables.is_code(symbol.value);
            // SAFETY: code of the module, which its tables say is a resolver. The module is mapped and bound, and whoever called
            // `load` promised that resolvers may run.
            return may_run
                .then(|| unsafe { ifunc::call(loaded, symbol.value) as usize })
                .map(|address| SymbolAddress { address, size: 0 });
        }
        let address = if symbol.absolute { symbol.value as usize } else { loaded.address(symbol.value) };
        let is_valid = symbol.absolute || loaded.tables.may_mark(symbol.value);
        is_valid.then_some(SymbolAddress { address, size: symbol.size })
    }

    /// Returns the function or object that contains an address: the innermost one of known size, or else the last symbol
    /// without a size before the address. Takes no lock and no memory: signal handlers may call it.
    #[must_use]
    pub fn symbolize(&self, address: usize) -> Option<SymbolizedAddress<'_>> {
        self.loaded.view.symbolize(address)
    }

    /// Returns whether a symbol is in a segment with code, and doesn't say that it is data. Labels of assembly often have no type.
    fn is_function(&self, module: usize, name: &[u8]) -> bool {
        let Some((loaded, image)) = self.loaded.view.module(module) else { return false };
        let Ok(Some(symbol)) = image.export(name) else { return false };
        let is_data = symbol.absolute || symbol.kind == elf::STT_OBJECT || symbol.kind == elf::STT_TLS;
        !is_data && loaded.tables.is_code(symbol.value)
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
    /// NOT_FOUND if the module exports no such symbol; INVALID_ARGUMENT if it is no function; LIMIT for more than six arguments, which are those that go in registers.
    pub unsafe fn call(&self, module: usize, name: &[u8], arguments: &[i64]) -> Result<i64> {
        const MAX_ARGUMENTS: usize = 6;
        let symbol = self
            .symbol(module, name)
            .ok_or_else(|| Error::new(Status::NotFound, format!("module {module} exports no '{}'", quote(name))))?;
        if !self.is_function(module, name) {
            let message = format!("module {module}: expected '{}' to be a function, found data", quote(name));
            return Err(Error::new(Status::InvalidArgument, message));
        }
        let mut registers = [0; MAX_ARGUMENTS];
        let Some(given) = registers.get_mut(..arguments.len()) else {
            let message = format!("arguments: expected at most {MAX_ARGUMENTS}, found {}", arguments.len());
            return Err(Error::new(Status::Limit, message));
        };
        given.copy_from_slice(arguments);
        let [a, b, c, d, e, f] = registers;
        // SAFETY: the address of an exported symbol of mapped code, which the caller promises to be a function that can be called
        // with these arguments. All six go in registers on x86-64 and aarch64, and a function ignores those that it doesn't take.
        unsafe {
            let function: extern "C" fn(i64, i64, i64, i64, i64, i64) -> i64 = std::mem::transmute(symbol.address);
            Ok(function(a, b, c, d, e, f))
        }
    }
}

impl Drop for Code {
    fn drop(&mut self) {
        let modules = self.loaded.view.modules.iter().rev().filter(|_| self.destructors);
        // SAFETY: the modules are mapped, and whoever called `load` promised that nothing uses them and that their destructors may
        // run now.
        unsafe { exits::free(&self.loaded, || modules.for_each(|module| constructors::destruct(module))) };
    }
}
