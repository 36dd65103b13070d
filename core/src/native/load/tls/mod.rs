//! Thread-local storage of modules. Each module with such variables has an index; each thread has a vector with the addresses of its
//! blocks, by these indexes. A block is made when its thread first uses a variable in it, and freed with the thread or the module.
//!
//! `access` has what modules call: they pass the index and the variable's offset in the block. `blocks` makes and frees blocks.
//! Variables of the host have an index too: the blocks with that index are libc's, which `host` finds. So every access takes the same
//! path, and libc is asked once in each thread.

mod access;
mod blocks;
mod host;

use std::alloc::Layout;
use std::ffi::{CStr, c_void};

use super::{LoadedModule, defect};
use crate::error::{Error, Result, Status};
use crate::native::image::ThreadLocal;
use crate::native::machine::DynamicRelocation;

pub use blocks::Index;
pub use host::HostVariables;

use blocks::Template;

/// `__tls_get_addr`, which modules always get from here: what they pass to it is written here, too.
pub const GET_ADDRESS: &CStr = c"__tls_get_addr";

/// Returns the address of [`GET_ADDRESS`].
pub fn get_address() -> *const c_void {
    access::get_address as *const c_void
}

/// Gives indexes to modules that are mapped and have thread-local storage.
pub fn register(modules: &mut [LoadedModule]) -> Result<()> {
    for module in modules {
        let Some(ThreadLocal { address, file_len, len, align }) = module.tables.thread_local else { continue };
        let skew = (address % align) as usize;
        // An empty block has an address too.
        let layout = Layout::from_size_align(skew + len.max(1) as usize, align as usize)
            .map_err(|_| defect("thread-local storage beyond its limits"))?;
        let (initial, initial_len) = (module.address(address), file_len as usize);
        module.thread_local = Some(Index::new(Template::Module { initial, initial_len, layout, skew })?);
    }
    Ok(())
}

/// A variable as relocations of its users describe it.
#[derive(Clone, Copy)]
pub enum Place {
    /// An offset in the blocks with an index.
    Block { index: u32, offset: u64 },
    /// Undefined and weak: its address is 0.
    Nowhere,
}

/// What relocations store: a word, or the two words of a descriptor.
pub type Words = (u64, Option<u64>);

/// Returns what a relocation for a variable stores.
///
/// # Errors
///
/// UNSUPPORTED for the initial-exec model.
pub fn words(kind: DynamicRelocation, place: Place, addend: u64) -> Result<Words> {
    match (kind, place) {
        // Ids count down from the largest number, far from those that libc gives. 0 is no module.
        (DynamicRelocation::TlsModule, Place::Block { index, .. }) => Ok((!u64::from(index), None)),
        (DynamicRelocation::TlsModule, Place::Nowhere) => Ok((0, None)),
        (DynamicRelocation::TlsOffset, Place::Block { offset, .. }) => Ok((offset.wrapping_add(addend), None)),
        (DynamicRelocation::TlsOffset, Place::Nowhere) => Ok((addend, None)),
        (DynamicRelocation::TlsDescriptor, Place::Block { index, offset }) => {
            let offset = i32::try_from(offset.wrapping_add(addend) as i64).map_err(|_| {
                Error::new(Status::Unsupported, "TLS descriptor: expected an offset of 32 bits, found a longer one")
            })?;
            let argument = u64::from(index) << 32 | u64::from(offset as u32);
            Ok((access::descriptor as *const c_void as u64, Some(argument)))
        }
        (DynamicRelocation::TlsDescriptor, Place::Nowhere) => {
            Ok((access::undefined as *const c_void as u64, Some(addend)))
        }
        (DynamicRelocation::TlsStaticOffset, _) => Err(initial_exec()),
        _ => Err(defect("a relocation that isn't for thread-local storage")),
    }
}

/// The offset from the thread pointer isn't the same in all threads.
#[cold]
fn initial_exec() -> Error {
    let message = "relocation: expected a thread-local variable that each thread has from its start, since code uses it with the \
        initial-exec model; found another one (compile with -fPIC and -ftls-model=global-dynamic, and without \
        __attribute__((tls_model)))";
    Error::new(Status::Unsupported, message)
}

/// Returns the address of this thread's instance of a variable.
pub fn address(index: &Index, offset: u64) -> Option<usize> {
    Some(blocks::get(index.get()).ok()? as usize + offset as usize)
}
