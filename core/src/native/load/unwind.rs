//! Registers unwind tables with the unwinders of the process, so that C++ exceptions pass through loaded code. Each artifact
//! registers exactly one table: in place if it has one module, otherwise a relocated copy of all modules' tables.

#[cfg(test)]
mod tests;

use std::ffi::{CStr, c_void};
use std::sync::OnceLock;

use super::map::ReservedLayout;
use super::{LoadedModule, defect};
use crate::alloc;
use crate::artifact::Artifact;
use crate::error::Result;
use crate::native::eh_frame::{self, Table};

/// The unwind tables of an artifact's modules, checked.
pub struct Frames {
    /// For each module with a table: its index, and the length of its table in bytes, without the terminator.
    parts: Vec<(usize, usize)>,
    /// There is one table, with its terminator and without empty FDEs: no copy is needed.
    in_place: bool,
}

/// A module's table.
fn table_of<'a>(artifact: &'a Artifact, index: usize, module: &'a LoadedModule) -> Result<Option<Table<'a>>> {
    let image = module.image(artifact, index)?;
    image.unwind_table().map_err(|error| artifact.in_module(index, error))
}

impl Frames {
    /// Checks every module's table. Returns `None` if no table has a function.
    pub fn check(artifact: &Artifact, modules: &[LoadedModule]) -> Result<Option<Frames>> {
        let mut frames = Frames { parts: alloc::with_capacity(modules.len(), "unwind tables")?, in_place: true };
        for (index, module) in modules.iter().enumerate() {
            let found = module.image(artifact, index)?.check_unwind_table();
            let Some(found) = found.map_err(|error| artifact.in_module(index, error))? else { continue };
            if found.functions > 0 {
                frames.in_place &= found.terminated && found.empty == 0;
                frames.parts.push((index, found.len));
            }
        }
        frames.in_place &= frames.parts.len() == 1;
        Ok((!frames.parts.is_empty()).then_some(frames))
    }

    /// The length of a copy of all tables in bytes, or 0 if no copy is needed.
    pub fn copy_len(&self) -> usize {
        let all: usize = self.parts.iter().map(|(_, len)| len).sum();
        if self.in_place { 0 } else { all + TERMINATOR }
    }

    /// Returns the address of the table to register: a module's own, or a copy of all tables after the last module, where there
    /// is room for it.
    pub fn install(&self, artifact: &Artifact, modules: &[LoadedModule], layout: &mut ReservedLayout) -> Result<usize> {
        let module = |index: usize| modules.get(index).ok_or_else(|| defect("an unwind table of no module"));
        if let (true, [(index, _)]) = (self.in_place, self.parts.as_slice()) {
            let module = module(*index)?;
            let table = module.tables.eh_frame.ok_or_else(|| defect("a module without an unwind table"))?;
            return Ok(module.address(table.address));
        }
        let mut copy = alloc::with_capacity(self.copy_len(), "unwind tables")?;
        for (index, len) in &self.parts {
            let module = module(*index)?;
            let table = table_of(artifact, *index, module)?;
            let table = table.and_then(|table| Some((table.address, table.bytes.get(..*len)?)));
            let (address, bytes) = table.ok_or_else(|| defect("a module without its unwind table"))?;
            let start = copy.len();
            copy.extend_from_slice(bytes);
            let part = copy.get_mut(start..).ok_or_else(|| defect("a copy of an unwind table that is too short"))?;
            let moved = ((layout.end + start) as u64).wrapping_sub(module.bias.wrapping_add(address));
            let done = eh_frame::adapt(part, address, &module.tables.unwind_scope(), moved);
            done.map_err(|error| artifact.in_module(*index, error))?;
        }
        copy.resize(copy.len() + TERMINATOR, 0);
        // SAFETY: the room that was reserved for this, which is still as it was reserved: zeroed memory that nothing refers to.
        unsafe { layout.reserved.map_bytes(layout.end, &copy)? };
        Ok(layout.end)
    }
}

/// The length of the zero word that ends a table.
const TERMINATOR: usize = 4;

/// libgcc's record of a registered table: `struct object` of its unwind-dw2-fde.h, which has six to eight words in all versions.
type Object = [usize; 16];

unsafe extern "C" {
    fn __register_frame_info(table: *const c_void, object: *mut Object);
    fn __deregister_frame_info(table: *const c_void) -> *mut Object;
}

type Change = unsafe extern "C" fn(usize);

/// LLVM's libunwind, if the process has it. Its `__register_frame` differs from libgcc's, so it is told through functions that only
/// LLVM has. They take one FDE. `__unw_add_dynamic_eh_frame_section`, which takes a table, reads on after its terminator in LLVM
/// 14: it takes the terminator for a CIE as long as the last one.
#[derive(Clone, Copy)]
struct Llvm {
    add: Change,
    remove: Change,
}

fn llvm() -> Option<Llvm> {
    static FOUND: OnceLock<Option<Llvm>> = OnceLock::new();
    let find = |name: &CStr| -> Option<Change> {
        // SAFETY: `dlsym` reads the NUL-terminated name during the call and keeps nothing of it.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        // SAFETY: libunwind_ext.h declares each of these functions as `void (unw_word_t)`. NULL is `None`.
        unsafe { std::mem::transmute::<*mut c_void, Option<Change>>(found) }
    };
    *FOUND
        .get_or_init(|| Some(Llvm { add: find(c"__unw_add_dynamic_fde")?, remove: find(c"__unw_remove_dynamic_fde")? }))
}

impl Llvm {
    /// Calls `change` for each FDE of the table.
    ///
    /// # Safety
    ///
    /// The promise of [`Registration::new`] holds for the table; `change` is one of this unwinder's functions.
    unsafe fn each(table: usize, change: Change) {
        let mut at = table;
        loop {
            // SAFETY: a record of a checked table. Its records, of at least eight bytes, follow one another up to the zero word.
            let (len, identity) = unsafe {
                let len = (at as *const u32).read_unaligned();
                (len, if len == 0 { 0 } else { (at as *const u32).add(1).read_unaligned() })
            };
            if len == 0 {
                return;
            }
            if identity != 0 {
                // SAFETY: a function that takes FDEs, and a sound one: CIEs have identity 0.
                unsafe { change(at) };
            }
            at += 4 + len as usize;
        }
    }
}

/// A table that is registered with unwinders until this is dropped.
pub struct Registration {
    table: usize,
    /// Written by libgcc as long as the table is registered.
    object: *mut Object,
}

// SAFETY: dropping it in another thread is fine, since both unwinders lock their lists. Nobody else has `object`.
unsafe impl Send for Registration {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl Sync for Registration {}

impl Registration {
    /// # Safety
    ///
    /// There is a table at this address that `eh_frame::check` accepts, with at least one function and a terminator. It doesn't change
    /// until this is dropped.
    pub unsafe fn new(table: usize) -> Registration {
        let object = Box::into_raw(Box::new([0; 16]));
        // SAFETY: a sound table that stays, as the caller promises, and an object that stays until `drop`, with room for the one of
        // any version.
        unsafe { __register_frame_info(table as *const c_void, object) };
        if let Some(llvm) = llvm() {
            // SAFETY: the caller's promise, and the function that registers.
            unsafe { Llvm::each(table, llvm.add) };
        }
        Registration { table, object }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: `new` has registered the table, which is deregistered here once, and is still there. After that libgcc doesn't use
        // the object any more, which came from `Box::into_raw`.
        unsafe {
            if let Some(llvm) = llvm() {
                Llvm::each(self.table, llvm.remove);
            }
            __deregister_frame_info(self.table as *const c_void);
            drop(Box::from_raw(self.object));
        }
    }
}
