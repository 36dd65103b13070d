//! Functions that a module wants to run when it comes and goes (gABI, Initialization and Termination Functions).

use std::ffi::{c_char, c_int, c_void};

use super::Loaded;
use super::builtin::__cxa_finalize;
use crate::error::{Error, Result};

type Function = extern "C" fn(c_int, *const *const c_char, *const *const c_char);

unsafe extern "C" {
    static environ: *const *const c_char;
}

/// The functions that an array of a mapped and bound module names; fillers aside.
fn functions(module: &Loaded, (address, count): (u64, u64)) -> impl DoubleEndedIterator<Item = u64> + '_ {
    let start = module.bias.wrapping_add(address) as *const u64;
    // SAFETY: the array lies within a mapped segment, as was checked when its place was read.
    (0..count as usize)
        .map(move |index| unsafe { start.add(index).read_unaligned() })
        .filter(|at| ![0, u64::MAX].contains(at))
}

/// Whether all that construction and destruction call is code of the module.
pub fn check(module: &Loaded) -> Result<()> {
    for array in [module.tables.init_array, module.tables.fini_array] {
        for function in functions(module, array) {
            if !module.tables.is_code(function.wrapping_sub(module.bias)) {
                return Err(Error::corrupt(
                    "DT_INIT_ARRAY or DT_FINI_ARRAY: expected functions of the module, found another address",
                ));
            }
        }
    }
    Ok(())
}

fn run(address: u64) {
    let none = [std::ptr::null()];
    // SAFETY: code of the module, whose tables say that it is such a function; `environ` is read as C programs do.
    unsafe {
        let function: Function = std::mem::transmute(address as usize);
        function(0, none.as_ptr(), environ);
    }
}

/// DT_INIT, then DT_INIT_ARRAY.
pub fn construct(module: &Loaded) {
    module.tables.init.iter().for_each(|init| run(module.bias.wrapping_add(*init)));
    functions(module, module.tables.init_array).for_each(run);
}

/// DT_FINI_ARRAY from its end, then DT_FINI. Constructors may have changed what [`check`] saw, as code may change anything.
pub fn destruct(module: &Loaded) {
    functions(module, module.tables.fini_array).rev().for_each(run);
    module.tables.fini.iter().for_each(|fini| run(module.bias.wrapping_add(*fini)));
}

/// Runs what was registered under the handle that the module was given.
pub fn finalize(module: &Loaded) {
    // SAFETY: a handle is an address that stands for itself, and not NULL.
    unsafe { __cxa_finalize(module.base() as *mut c_void) };
}
