//! Makes loaded frames known to the unwinders of the process, so that C++ exceptions pass through them. All of an artifact's
//! unwind tables are one to them, registered once.

use std::ffi::{CStr, c_void};
use std::ops::Range;
use std::sync::OnceLock;

use super::Loaded;
use super::reserve::Reserved;
use crate::alloc;
use crate::artifact::Artifact;
use crate::error::{Error, Result, Status};
use crate::native::eh_frame;

/// The unwind tables of an artifact's modules, checked.
pub struct Frames {
    /// Module, and bytes of its table without what ends it.
    parts: Vec<(usize, usize)>,
    /// There is one, with its terminator: it can stay where it is.
    in_place: bool,
}

/// Where a module has its table: an address of the image, and the bytes that are mapped from there.
fn table_of<'a>(artifact: &'a Artifact, index: usize, module: &'a Loaded) -> Result<Option<(u64, &'a [u8])>> {
    let Some((address, at)) = module.tables.eh_frame else { return Ok(None) };
    let bytes = module.image(artifact, index)?.bytes.get(at..module.tables.eh_frame_limit);
    Ok(Some((address, bytes.unwrap_or(&[]))))
}

fn code_of(module: &Loaded) -> Range<u64> {
    module.tables.start..module.tables.start + module.tables.len
}

impl Frames {
    /// Checks every module's table; none if there is no function in any.
    pub fn check(artifact: &Artifact, modules: &[Loaded]) -> Result<Option<Frames>> {
        let mut frames = Frames { parts: alloc::with_capacity(modules.len(), "unwind tables")?, in_place: true };
        for (index, module) in modules.iter().enumerate() {
            let Some((address, bytes)) = table_of(artifact, index, module)? else { continue };
            let found = eh_frame::check(bytes, address, &code_of(module), |_, _| ());
            let found = found.map_err(|error| artifact.in_module(index, error))?;
            if found.functions > 0 {
                frames.in_place &= found.terminated;
                frames.parts.push((index, found.len));
            }
        }
        frames.in_place &= frames.parts.len() == 1;
        Ok((!frames.parts.is_empty()).then_some(frames))
    }

    /// Bytes that a copy of all of them takes, if there has to be one.
    pub fn room(&self) -> usize {
        let all: usize = self.parts.iter().map(|(_, len)| len).sum();
        if self.in_place { 0 } else { all + TERMINATOR }
    }

    /// Where the one table is that the unwinders get: a module's own, or a copy at `place`, for which there is room.
    pub fn put(&self, artifact: &Artifact, modules: &[Loaded], reserved: &Reserved, place: usize) -> Result<usize> {
        let module = |index: usize| modules.get(index).ok_or_else(|| Error::new(Status::Internal, "no such module"));
        if let (true, [(index, _)]) = (self.in_place, self.parts.as_slice()) {
            let module = module(*index)?;
            return Ok(module.tables.eh_frame.map_or(0, |(address, _)| module.bias.wrapping_add(address)) as usize);
        }
        let mut copy = alloc::with_capacity(self.room(), "unwind tables")?;
        for (index, len) in &self.parts {
            let module = module(*index)?;
            let Some((address, bytes)) = table_of(artifact, *index, module)? else { continue };
            let start = copy.len();
            copy.extend_from_slice(bytes.get(..*len).unwrap_or(&[]));
            let moved = ((place + start) as u64).wrapping_sub(module.bias.wrapping_add(address));
            let part = copy.get_mut(start..).unwrap_or_default();
            let done = eh_frame::move_by(part, address, &code_of(module), moved);
            done.map_err(|error| artifact.in_module(*index, error))?;
        }
        copy.resize(copy.len() + TERMINATOR, 0);
        reserved.map_bytes(place, &copy)?;
        Ok(place)
    }
}

/// The zero word at the end of a table.
const TERMINATOR: usize = 4;

/// What libgcc keeps about a table: `struct object` of its unwind-dw2-fde.h has six to eight words in all versions.
type Object = [usize; 16];

unsafe extern "C" {
    fn __register_frame_info(table: *const c_void, object: *mut Object);
    fn __deregister_frame_info(table: *const c_void) -> *mut Object;
}

type Change = unsafe extern "C" fn(usize);

/// LLVM's libunwind, where the process has it. It has other ideas of `__register_frame` than libgcc, and names of its own.
#[derive(Clone, Copy)]
struct Llvm {
    add: Change,
    remove: Change,
    /// They take a whole table (since LLVM 14), not one function's record.
    whole: bool,
}

fn llvm() -> Option<Llvm> {
    static FOUND: OnceLock<Option<Llvm>> = OnceLock::new();
    let find = |name: &CStr| -> Option<Change> {
        // SAFETY: a NUL-terminated name.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
        // SAFETY: libunwind_ext.h declares each of them as `void (unw_word_t)`; NULL is None.
        unsafe { std::mem::transmute::<*mut c_void, Option<Change>>(found) }
    };
    *FOUND.get_or_init(|| {
        let add = find(c"__unw_add_dynamic_fde")?;
        let whole = find(c"__unw_add_dynamic_eh_frame_section").zip(find(c"__unw_remove_dynamic_eh_frame_section"));
        match whole {
            Some((add, remove)) => Some(Llvm { add, remove, whole: true }),
            None => Some(Llvm { add, remove: find(c"__unw_remove_dynamic_fde")?, whole: false }),
        }
    })
}

impl Llvm {
    /// # Safety
    ///
    /// As [`Registration::new`].
    unsafe fn each(&self, table: usize, change: Change) {
        if self.whole {
            // SAFETY: the caller's promise.
            return unsafe { change(table) };
        }
        let mut at = table;
        loop {
            // SAFETY: within a checked table, whose records follow one another up to the zero word.
            let (len, identity) = unsafe {
                let len = (at as *const u32).read_unaligned();
                (len, if len == 0 { 0 } else { (at as *const u32).add(1).read_unaligned() })
            };
            if len == 0 {
                return;
            }
            if identity != 0 {
                // SAFETY: the caller's promise.
                unsafe { change(at) };
            }
            at += 4 + len as usize;
        }
    }
}

/// A table that unwinders know, until this is dropped.
pub struct Registration {
    table: usize,
    /// Written by libgcc for as long as it knows the table.
    object: *mut Object,
}

// SAFETY: both unwinders lock what they know; the object is theirs until it is deregistered, which happens once.
unsafe impl Send for Registration {}
// SAFETY: as above; nothing can be done with a shared one.
unsafe impl Sync for Registration {}

impl Registration {
    /// # Safety
    ///
    /// At `table` stands one that `eh_frame::check` found sound, with at least one function and a terminator, which stays
    /// as it is until this is dropped.
    pub unsafe fn new(table: usize) -> Registration {
        let object = Box::into_raw(Box::new([0; 16]));
        // SAFETY: the caller's promise; the object has room for any version's.
        unsafe { __register_frame_info(table as *const c_void, object) };
        if let Some(llvm) = llvm() {
            // SAFETY: the caller's promise.
            unsafe { llvm.each(table, llvm.add) };
        }
        Registration { table, object }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: registered once, deregistered once, while the table is still there. After that nobody has the object.
        unsafe {
            if let Some(llvm) = llvm() {
                llvm.each(self.table, llvm.remove);
            }
            __deregister_frame_info(self.table as *const c_void);
            drop(Box::from_raw(self.object));
        }
    }
}
