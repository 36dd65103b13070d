//! Constructors and destructors (gABI, Initialization and Termination Functions).

use std::ffi::{c_char, c_int};

use super::LoadedModule;
use crate::artifact::Artifact;
use crate::error::{Error, Result, Status};
use crate::native::image::Tables;

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
    for (index, module) in modules.iter().enumerate() {
        let tables = &module.tables;
        for array in [tables.init_array, tables.fini_array] {
            if !functions(module, array).all(|function| tables.is_code(function.wrapping_sub(module.bias))) {
                let message = "DT_INIT_ARRAY or DT_FINI_ARRAY: expected functions of the module, found another address";
                return Err(artifact.in_module(index, Error::new(Status::Unsupported, message)));
            }
        }
    }
    Ok(())
}

/// Checks that no module has constructors, which the code may rely on. In an image with both DT_INIT and DT_FINI, which the startup
/// files of C compilers define, these and one function of the array are the compiler's: they do nothing for code that `load` loads.
pub fn check_none(artifact: &Artifact, modules: &[LoadedModule]) -> Result<()> {
    for (index, module) in modules.iter().enumerate() {
        let Tables { init, fini, init_array, .. } = &module.tables;
        let of_compiler = init.is_some() && fini.is_some();
        let count = functions(module, *init_array).count() + usize::from(init.is_some());
        let allowed = if of_compiler { 2 } else { 0 };
        if count > allowed {
            let message = format!(
                "constructors: expected none, since they are not to be run, found {}; load with ARTIFACT_LOAD_RUN_CONSTRUCTORS or, if \
                 the code works without them, with ARTIFACT_LOAD_SKIP_CONSTRUCTORS",
                count - allowed
            );
            return Err(artifact.in_module(index, Error::new(Status::Unsupported, message)));
        }
    }
    Ok(())
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
