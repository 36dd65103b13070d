//! Constructors and destructors (gABI, Initialization and Termination Functions).

use std::ffi::{c_char, c_int};

use super::LoadedModule;
use crate::artifact::Artifact;
use crate::error::{Error, Result, Status};
use crate::native::image::Image;

type Function = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// The addresses in DT_INIT_ARRAY or DT_FINI_ARRAY of a module that is mapped and bound. Linkers fill unused entries with 0 or -1.
fn functions(module: &LoadedModule, (address, count): (u64, u64)) -> impl DoubleEndedIterator<Item = u64> + '_ {
    let start = module.address(address) as *const u64;
    // SAFETY: the array lies within one segment, as `Tables::read` has checked. The segment is mapped readable as long as the module
    // exists.
    let read = move |index| unsafe { start.add(index).read_unaligned() };
    (0..count as usize).map(read).filter(|address| ![0, u64::MAX].contains(address))
}

/// Checks that all constructors and destructors in arrays are code of their own module.
pub fn check(artifact: &Artifact, modules: &[LoadedModule]) -> Result<()> {
    for module in modules {
        let tables = &module.tables;
        for array in [tables.init_array, tables.fini_array] {
            if !functions(module, array).all(|function| tables.is_code(function.wrapping_sub(module.bias))) {
                let message = "DT_INIT_ARRAY or DT_FINI_ARRAY: expected functions of the module, found another address";
                return Err(artifact.in_module(module.index, Error::new(Status::Unsupported, message)));
            }
        }
    }
    Ok(())
}

/// Checks that no module has constructors, which its code may rely on. The startup files of compilers have two that do nothing here:
/// DT_INIT, and one function of the array.
pub fn check_none(artifact: &Artifact, modules: &[LoadedModule]) -> Result<()> {
    const OF_STARTUP_FILES: usize = 2;
    for module in modules {
        let tables = &module.tables;
        let mut count = functions(module, tables.init_array).count() + usize::from(tables.init.is_some());
        if count > 0 && has_startup_files(&module.image(artifact)?).unwrap_or(false) {
            count = count.saturating_sub(OF_STARTUP_FILES);
        }
        if count > 0 {
            let message = format!(
                "constructors: expected none, since they are not to be run, found {count}; load with \
                 ARTIFACT_LOAD_RUN_CONSTRUCTORS or, if the code works without them, with ARTIFACT_LOAD_SKIP_CONSTRUCTORS"
            );
            return Err(artifact.in_module(module.index, Error::new(Status::Unsupported, message)));
        }
    }
    Ok(())
}

/// Whether a compiler has linked the image with its startup files: these refer to functions that hardly any process has, for
/// profiling and for transactional memory. Symbols that nobody defines come first in the table.
fn has_startup_files(image: &Image<'_>) -> Result<bool> {
    let symbols = image.symbols()?;
    for index in 1..symbols.count() as u32 {
        let symbol = symbols.get(index)?;
        if symbol.defined || !symbol.weak {
            continue;
        }
        if matches!(symbols.name(&symbol)?.to_bytes(), b"__gmon_start__" | b"_ITM_registerTMCloneTable") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// # Safety
///
/// There is a constructor or destructor at this address, and it may run now.
unsafe fn call(address: u64) {
    let arguments = [std::ptr::null()];
    // SAFETY: the caller's promise. As of C programs: these functions get `main`'s arguments, of which there are none here, and
    // `environ`, which is read as `getenv` reads it.
    unsafe {
        let function: Function = std::mem::transmute(address as usize);
        function(0, arguments.as_ptr(), environ);
    }
}

/// Calls DT_INIT, then the functions of DT_INIT_ARRAY.
///
/// # Safety
///
/// The module is mapped and bound, [`check`] has passed, and its code is trusted.
pub unsafe fn construct(module: &LoadedModule) {
    let init = module.tables.init.map(|init| module.bias.wrapping_add(init));
    // SAFETY: code of the module, as parsing and `check` have seen, which its tables say is a constructor.
    init.into_iter().chain(functions(module, module.tables.init_array)).for_each(|function| unsafe { call(function) });
}

/// Calls the functions of DT_FINI_ARRAY from the last to the first, then DT_FINI. The module's own code may have changed what
/// [`check`] saw, as it may change anything.
///
/// # Safety
///
/// As for [`construct`], which has run; nothing else runs the module's code.
pub unsafe fn destruct(module: &LoadedModule) {
    let fini = module.tables.fini.map(|fini| module.bias.wrapping_add(fini));
    let array = functions(module, module.tables.fini_array).rev();
    // SAFETY: code of the module, which its tables say is a destructor.
    array.chain(fini).for_each(|function| unsafe { call(function) });
}
