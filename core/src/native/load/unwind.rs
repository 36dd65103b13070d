//! Registers unwind tables with the unwinders of the process, so that C++ exceptions pass through loaded code. Each artifact
//! registers exactly one table: in place if it has one module, otherwise a relocated copy of all modules' tables.

#[cfg(test)]
mod tests;

use std::ffi::{CStr, c_void};
use std::ptr::{NonNull, fn_addr_eq};
use std::sync::OnceLock;

use super::map::ReservedLayout;
use super::{LoadedModule, defect};
use crate::alloc;
use crate::artifact::Artifact;
use crate::error::Result;
use crate::fork;
use crate::native::eh_frame::{self, Table};

/// The unwind tables of an artifact's modules, checked.
pub struct Frames {
    /// For each module with a table: its position among the loaded ones, and the length of its table in bytes, without the terminator.
    parts: Vec<(usize, usize)>,
    /// There is one table, with its terminator and without empty FDEs: no copy is needed.
    in_place: bool,
}

/// A module's table.
fn table_of<'a>(artifact: &'a Artifact, module: &'a LoadedModule) -> Result<Option<Table<'a>>> {
    let image = module.image(artifact)?;
    image.unwind_table().map_err(|error| artifact.in_module(module.index, error))
}

impl Frames {
    /// Checks every module's table. Returns `None` if no table has a function.
    pub fn check(artifact: &Artifact, modules: &[LoadedModule]) -> Result<Option<Frames>> {
        let mut frames = Frames { parts: alloc::with_capacity(modules.len(), "unwind tables")?, in_place: true };
        for (at, module) in modules.iter().enumerate() {
            let found = module.image(artifact)?.check_unwind_table();
            let Some(found) = found.map_err(|error| artifact.in_module(module.index, error))? else { continue };
            if found.functions > 0 {
                frames.in_place &= found.terminated && found.empty == 0;
                frames.parts.push((at, found.len));
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

    /// Returns the address of the table to register: a module's own, or a copy of all tables next to the modules, where
    /// there is room for it.
    pub fn install(&self, artifact: &Artifact, modules: &[LoadedModule], layout: &mut ReservedLayout) -> Result<usize> {
        let module = |at: usize| modules.get(at).ok_or_else(|| defect("an unwind table of no module"));
        if let (true, [(at, _)]) = (self.in_place, self.parts.as_slice()) {
            let module = module(*at)?;
            let table = module.tables.eh_frame.ok_or_else(|| defect("a module without an unwind table"))?;
            return Ok(module.address(table.address));
        }
        let mut copy = alloc::with_capacity(self.copy_len(), "unwind tables")?;
        for (at, len) in &self.parts {
            let module = module(*at)?;
            let table = table_of(artifact, module)?;
            let table = table.and_then(|table| Some((table.address, table.bytes.get(..*len)?)));
            let (address, bytes) = table.ok_or_else(|| defect("a module without its unwind table"))?;
            let start = copy.len();
            copy.extend_from_slice(bytes);
            let part = copy.get_mut(start..).ok_or_else(|| defect("a copy of an unwind table that is too short"))?;
            let moved = ((layout.room + start) as u64).wrapping_sub(module.bias.wrapping_add(address));
            let done = eh_frame::adapt(part, address, &module.tables.unwind_scope(), moved);
            done.map_err(|error| artifact.in_module(module.index, error))?;
        }
        copy.resize(copy.len() + TERMINATOR, 0);
        // SAFETY: the room that was reserved for this, which is still as it was reserved: zeroed memory that nothing refers to.
        unsafe { layout.reserved.map_bytes(layout.room, &copy)? };
        Ok(layout.room)
    }
}

/// The length of the zero word that ends a table.
const TERMINATOR: usize = 4;

/// libgcc's record of a registered table: `struct object` of its unwind-dw2-fde.h, which has six to eight words in all versions.
type Object = [usize; 16];

unsafe extern "C" {
    fn __register_frame_info(table: *const c_void, object: *mut c_void);
    fn __deregister_frame_info(table: *const c_void) -> *mut c_void;
}

type Register = unsafe extern "C" fn(table: *const c_void, object: *mut c_void);
type Deregister = unsafe extern "C" fn(table: *const c_void) -> *mut c_void;
type Change = unsafe extern "C" fn(fde: usize);

/// A copy of libgcc's unwinder: the functions that register and deregister a table.
#[derive(Clone, Copy, Debug)]
pub struct Libgcc {
    /// `__register_frame_info`.
    pub register: Register,
    /// `__deregister_frame_info`.
    pub deregister: Deregister,
}

impl Libgcc {
    /// The copy that this library is linked with.
    const OURS: Libgcc = Libgcc { register: __register_frame_info, deregister: __deregister_frame_info };

    /// The copy that the process exports, if any. Ours is another one if it is linked statically.
    fn of_process() -> Option<Libgcc> {
        static FOUND: OnceLock<Option<Libgcc>> = OnceLock::new();
        let find = || {
            let (register, deregister) = (exported(c"__register_frame_info")?, exported(c"__deregister_frame_info")?);
            // SAFETY: libgcc's functions of these names have these types, and so do LLVM's, which do nothing.
            unsafe {
                Some(Libgcc {
                    register: std::mem::transmute::<NonNull<c_void>, Register>(register),
                    deregister: std::mem::transmute::<NonNull<c_void>, Deregister>(deregister),
                })
            }
        };
        *FOUND.get().unwrap_or_else(|| fork::keep(&FOUND, find()))
    }

    fn is(&self, other: &Libgcc) -> bool {
        fn_addr_eq(self.register, other.register)
    }
}

/// Finds a function that the process exports.
fn exported(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: `dlsym` reads the NUL-terminated name during the call and keeps nothing of it.
    NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

/// A copy of LLVM's libunwind. Its `__register_frame` differs from libgcc's, and its `__register_frame_info` does nothing, so it is
/// told through functions that only LLVM has. They take one FDE. `__unw_add_dynamic_eh_frame_section`, which takes a table, reads on
/// after its terminator in LLVM 14: it takes the terminator for a CIE as long as the last one.
#[derive(Clone, Copy, Debug)]
pub struct Llvm {
    /// `__unw_add_dynamic_fde`.
    pub add: Change,
    /// `__unw_remove_dynamic_fde`.
    pub remove: Change,
}

impl Llvm {
    /// The copy that the process exports, if any.
    fn of_process() -> Option<Llvm> {
        static FOUND: OnceLock<Option<Llvm>> = OnceLock::new();
        // SAFETY: libunwind_ext.h declares each of these functions as `void (unw_word_t)`.
        let change = |found: NonNull<c_void>| unsafe { std::mem::transmute::<NonNull<c_void>, Change>(found) };
        let find = |name: &CStr| exported(name).map(change);
        let both = || Some(Llvm { add: find(c"__unw_add_dynamic_fde")?, remove: find(c"__unw_remove_dynamic_fde")? });
        *FOUND.get().unwrap_or_else(|| fork::keep(&FOUND, both()))
    }

    fn is(&self, other: &Llvm) -> bool {
        fn_addr_eq(self.add, other.add)
    }

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

/// The unwinders that the host's own frames use. They are told of loaded code in addition to those that the process exports: a
/// host that is linked with `-static-libgcc` has a copy that nobody else can find.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostUnwinders {
    /// The host's libgcc, if it is known.
    pub libgcc: Option<Libgcc>,
    /// The host's libunwind of LLVM, if it has one.
    pub llvm: Option<Llvm>,
}

/// Leaves each copy of an unwinder in its first place only.
fn distinct<T: Copy, const N: usize>(copies: [Option<T>; N], is: fn(&T, &T) -> bool) -> [Option<T>; N] {
    let mut left = copies;
    for (at, place) in left.iter_mut().enumerate() {
        let mut before = copies.iter().take(at).flatten();
        if place.is_some_and(|copy| before.any(|other| is(&copy, other))) {
            *place = None;
        }
    }
    left
}

/// A table that is registered with unwinders until this is dropped.
pub struct Registration {
    table: usize,
    /// Copies of libgcc, each with its record, which it writes as long as the table is registered.
    libgcc: [Option<(Libgcc, *mut Object)>; 3],
    llvm: [Option<Llvm>; 2],
}

// SAFETY: dropping it in another thread is fine, since both unwinders lock their lists. Nobody else has the records.
unsafe impl Send for Registration {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers a table once with each unwinder: libgcc aborts if a table that it has twice is deregistered.
    ///
    /// # Safety
    ///
    /// There is a table at this address that `eh_frame::check` accepts, with at least one function and a terminator. It doesn't change
    /// until this is dropped. Until then the host's functions do what those of their names do.
    pub unsafe fn new(table: usize, host: HostUnwinders) -> Registration {
        let libgcc = [Some(Libgcc::OURS), Libgcc::of_process(), host.libgcc];
        let libgcc = distinct(libgcc, Libgcc::is).map(|copy| Some((copy?, Box::into_raw(Box::new([0; 16])))));
        let llvm = distinct([Llvm::of_process(), host.llvm], Llvm::is);
        let _hold = fork::hold(); // the unwinders lock their lists
        for (copy, object) in libgcc.iter().flatten() {
            // SAFETY: a sound table that stays, as the caller promises, and an object that stays until `drop`, with room for the one
            // of any version.
            unsafe { (copy.register)(table as *const c_void, object.cast()) };
        }
        for copy in llvm.iter().flatten() {
            // SAFETY: the caller's promise, and the function that registers.
            unsafe { Llvm::each(table, copy.add) };
        }
        Registration { table, libgcc, llvm }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _hold = fork::hold();
        for copy in self.llvm.iter().flatten() {
            // SAFETY: `new` has registered the table with this copy, and the table is still there.
            unsafe { Llvm::each(self.table, copy.remove) };
        }
        for (copy, object) in self.libgcc.iter().flatten() {
            // SAFETY: the same, once. After that libgcc doesn't use the object any more, which came from `Box::into_raw`.
            unsafe {
                (copy.deregister)(self.table as *const c_void);
                drop(Box::from_raw(*object));
            }
        }
    }
}
