//! Indirect functions (STT_GNU_IFUNC): a function of the module, the resolver, returns the address of the one to use, such as the
//! fastest one for this CPU. Resolvers run once all other relocations have been applied and text is mapped, before constructors.

use super::map::{Mapper, ReservedLayout};
use super::reserve::Memory;
use super::{LoadedModule, defect};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::native::image::Tables;
use crate::native::verify::wrong_resolver;

/// A word that receives the address of an indirect function.
pub struct IndirectWord {
    /// The module's position among the loaded ones.
    module: usize,
    /// The image's address of the word.
    address: u64,
    /// The image's address of the resolver.
    resolver: u64,
    addend: u64,
}

/// The words of all modules that receive addresses of indirect functions, in ascending order of modules.
pub struct IndirectWords {
    words: Vec<IndirectWord>,
    /// The caller allows the modules' code to run.
    allowed: bool,
}

impl IndirectWords {
    pub fn new(allowed: bool) -> IndirectWords {
        IndirectWords { words: Vec::new(), allowed }
    }

    /// Notes a word of a module.
    ///
    /// # Errors
    ///
    /// CORRUPT if the resolver isn't code of the module or the word can't be written, UNSUPPORTED if no code may run, NO_MEMORY.
    #[cold]
    pub fn add(&mut self, module: usize, tables: &Tables, address: u64, resolver: u64, addend: u64) -> Result<()> {
        if tables.in_text {
            return Err(Error::new(
                Status::Unsupported,
                "relocation: expected none of an indirect function in text, found one",
            ));
        }
        if !tables.is_code(resolver) {
            return Err(wrong_resolver(resolver));
        }
        if !tables.is_relocated(address) {
            return Err(super::bind::outside(address));
        }
        if !self.allowed {
            let message = "expected a module without indirect functions (IRELATIVE), found one; their resolvers run when the \
                module is loaded, which ARTIFACT_LOAD_RUN_CONSTRUCTORS allows";
            return Err(Error::new(Status::Unsupported, message));
        }
        alloc::push(&mut self.words, IndirectWord { module, address, resolver, addend }, "indirect functions")
    }

    /// Calls the resolvers and writes what they return.
    ///
    /// # Safety
    ///
    /// The modules are mapped, bound and protected, and their code is trusted.
    ///
    /// # Errors
    ///
    /// IO if the system refuses to make their relocated constants writable once more.
    pub unsafe fn resolve(&self, mapper: &Mapper<'_>, modules: &[LoadedModule], layout: &ReservedLayout) -> Result<()> {
        for words in self.words.chunk_by(|a, b| a.module == b.module) {
            let module = words.first().and_then(|word| modules.get(word.module));
            let module = module.ok_or_else(|| defect("an indirect function of no module"))?;
            let constants = module.tables.segments.iter().filter_map(|data| module.tables.relro_of(data, mapper.page));
            let pages = |range: std::ops::Range<u64>| (module.address(range.start), (range.end - range.start) as usize);
            for (address, len) in constants.clone().map(pages) {
                layout.reserved.allow(address, len)?;
            }
            for word in words {
                // SAFETY: code of the module, as `add` has seen, which its tables say is a resolver; the caller promises the rest.
                let found = unsafe { call(module, word.resolver) };
                // SAFETY: writable segments are writable as a whole again. The resolver has returned, and nothing refers to them.
                let memory = unsafe { Memory::new(&module.tables, module.bias) };
                let written = memory.write(word.address, found.wrapping_add(word.addend));
                written.ok_or_else(|| defect("the word of an indirect function can't be written"))?;
            }
            for (address, len) in constants.map(pages) {
                layout.reserved.protect(address, len)?;
            }
        }
        Ok(())
    }
}

/// The second argument of resolvers on aarch64: `__ifunc_arg_t` of glibc's `sys/ifunc.h`.
#[cfg(target_arch = "aarch64")]
#[repr(C)]
struct Capabilities {
    size: u64,
    hwcap: u64,
    hwcap2: u64,
}

/// Calls the resolver at an address of the image, and returns the function's address.
///
/// # Safety
///
/// There is a resolver at this address. The module is mapped and bound, and its code is trusted.
pub unsafe fn call(module: &LoadedModule, resolver: u64) -> u64 {
    let resolver = module.address(resolver);
    #[cfg(target_arch = "aarch64")]
    {
        /// `_IFUNC_ARG_HWCAP`: there is a second argument.
        const HAS_CAPABILITIES: u64 = 1 << 62;
        // SAFETY: `getauxval` reads a table of the process that doesn't change.
        let [hwcap, hwcap2] = [libc::AT_HWCAP, libc::AT_HWCAP2].map(|kind| unsafe { libc::getauxval(kind) });
        let capabilities = Capabilities { size: size_of::<Capabilities>() as u64, hwcap, hwcap2 };
        // SAFETY: the caller's promise. As glibc calls resolvers; they may keep nothing of the arguments.
        unsafe {
            let resolver: extern "C" fn(u64, &Capabilities) -> u64 = std::mem::transmute(resolver);
            resolver(hwcap | HAS_CAPABILITIES, &capabilities)
        }
    }
    #[cfg(not(target_arch = "aarch64"))]
    // SAFETY: the caller's promise. As glibc calls resolvers on x86-64, without arguments.
    unsafe {
        let resolver: extern "C" fn() -> u64 = std::mem::transmute(resolver);
        resolver()
    }
}
