//! Thread-local variables of the host: which module of the process has them, where libc puts them.

use std::ffi::{c_int, c_void};

use libc::dl_phdr_info;

use super::super::process;
use super::blocks::{self, Index, Template};
use super::{Place, Words, access, initial_exec, words};
use crate::alloc;
use crate::error::{Error, Result, Status};
use crate::native::machine::DynamicRelocation;
use crate::threads::on_another_thread;

/// libc's `__tls_get_addr`, which takes the id of a module and an offset in its block (ELF Handling For Thread-Local Storage).
pub type GetAddress = unsafe extern "C" fn(*const [usize; 2]) -> *mut c_void;

/// Returns this thread's block of a module of the process.
pub fn block(get_address: GetAddress, id: usize) -> *mut u8 {
    let start = [id, 0];
    // SAFETY: libc's function and an id that `dl_iterate_phdr` gave. Whoever loads code promises that what its symbols are bound to
    // stays.
    unsafe { get_address(&raw const start) }.cast()
}

/// A module of the process, and this thread's block of it.
struct Module {
    id: usize,
    /// NULL if this thread has none yet.
    block: usize,
    len: usize,
    /// It is the program itself.
    is_program: bool,
}

impl Module {
    /// The distance of this thread's block from its thread pointer. It may wrap around.
    fn distance(&self) -> usize {
        self.block.wrapping_sub(access::thread_pointer())
    }

    /// How other threads get their blocks. A program that is linked statically has no `__tls_get_addr`, nor needs it.
    fn template(&self) -> Result<Template> {
        if self.is_program {
            return Ok(Template::Static { distance: self.distance() });
        }
        let Some(found) = process::find(super::GET_ADDRESS, None) else {
            return Err(Error::new(Status::Unsupported, "expected __tls_get_addr in the process, found none"));
        };
        // SAFETY: libc's function of this name has this type.
        let get_address = unsafe { std::mem::transmute::<*const c_void, GetAddress>(found) };
        Ok(Template::Host { get_address, id: self.id })
    }
}

/// Returns the first module with thread-local storage that `accept` accepts.
fn find_module(accept: &dyn Fn(&Module) -> bool) -> Option<Module> {
    struct Search<'s> {
        accept: &'s dyn Fn(&Module) -> bool,
        count: usize,
        found: Option<Module>,
    }
    unsafe extern "C" fn visit(info: *mut dl_phdr_info, size: usize, search: *mut c_void) -> c_int {
        // SAFETY: `find_module` passes its search, and libc a description that is valid during the call, with `size` bytes.
        let (search, info) = unsafe { (&mut *search.cast::<Search<'_>>(), &*info) };
        search.count += 1;
        if size < size_of::<dl_phdr_info>() || info.dlpi_phdr.is_null() {
            return 0;
        }
        // SAFETY: the module's program headers, mapped as long as the module is.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
        let Some(header) = headers.iter().find(|header| header.p_type == libc::PT_TLS) else { return 0 };
        let (id, block, len) = (info.dlpi_tls_modid, info.dlpi_tls_data as usize, header.p_memsz as usize);
        let module = Module { id, block, len, is_program: search.count == 1 };
        let is_found = (search.accept)(&module);
        if is_found {
            search.found = Some(module);
        }
        c_int::from(is_found)
    }
    let mut search = Search { accept, count: 0, found: None };
    // SAFETY: `visit` takes what it is passed here, which lives until the call returns, and does not unwind.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.found
}

/// Returns the module whose block in this thread contains an address.
fn module_of(address: usize) -> Option<Module> {
    find_module(&|module| module.block != 0 && address.checked_sub(module.block).is_some_and(|at| at < module.len))
}

/// Whether all threads have a module's block at the same distance from their thread pointer.
///
/// The program's own block is always there. Of another module, glibc puts the block there if a thread that has just begun has it,
/// at this thread's distance: blocks at other places are made on first use, in each thread anew. musl gives a new thread all blocks
/// at once, which tells nothing about older threads.
fn is_static(module: &Module) -> bool {
    let id = module.id;
    let in_new_thread = || {
        let found = find_module(&|module| module.id == id).filter(|module| module.block != 0);
        found.map(|module| module.distance())
    };
    module.is_program
        || cfg!(target_env = "gnu") && on_another_thread(in_new_thread).flatten() == Some(module.distance())
}

/// Variables of the host that modules of one artifact use.
#[derive(Default)]
pub struct HostVariables {
    /// For each module of the process that has such variables: its id, and the index that stands for it.
    indexes: Vec<(usize, Index)>,
}

impl HostVariables {
    /// Returns what a relocation stores for the variable whose instance in this thread has an address. 0 means that it is undefined.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if no thread-local variable has this address; UNSUPPORTED, NO_MEMORY.
    pub fn words(&mut self, kind: DynamicRelocation, address: u64, addend: u64) -> Result<Words> {
        if address == 0 {
            return words(kind, Place::Nowhere, addend);
        }
        let at = address as usize;
        if let Some((index, offset)) = blocks::find(at) {
            return words(kind, Place::Block { index, offset }, addend); // of code that was loaded before
        }
        let module = module_of(at).ok_or_else(|| {
            let message = format!("expected a thread-local variable at address {address:#x}, found other memory");
            Error::new(Status::InvalidArgument, message)
        })?;
        if kind == DynamicRelocation::TlsStaticOffset {
            if !is_static(&module) {
                return Err(initial_exec());
            }
            return Ok((address.wrapping_sub(access::thread_pointer() as u64).wrapping_add(addend), None));
        }
        let offset = (at - module.block) as u64;
        let index = self.index(&module)?;
        words(kind, Place::Block { index, offset }, addend)
    }

    /// The index that stands for a module of the process.
    fn index(&mut self, module: &Module) -> Result<u32> {
        if let Some((_, index)) = self.indexes.iter().find(|(known, _)| *known == module.id) {
            return Ok(index.get());
        }
        let index = Index::new(module.template()?)?;
        let number = index.get();
        alloc::push(&mut self.indexes, (module.id, index), "thread-local storage")?;
        Ok(number)
    }
}
