//! GDB's JIT interface (GDB manual, JIT Compilation Interface): images of loaded modules, in a list that GDB reads when its
//! breakpoint in [`__jit_debug_register_code`] is hit, or when it attaches.
//!
//! GDB takes the addresses of such an image from its sections, and adjusts nothing. So each module is shown as a relocatable
//! object whose sections have their addresses: then GDB applies the relocations that linkers keep for debug sections, and finds
//! lines. A shared object, shifted, would have the right functions and the lines of other addresses.

use std::ptr::null_mut;
use std::sync::{Mutex, PoisonError};

use object::LittleEndian as Le;
use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::pod;

use super::Loaded;
use crate::alloc;
use crate::artifact::Artifact;
use crate::error::Result;

#[repr(C)]
struct Entry {
    next: *mut Entry,
    prev: *mut Entry,
    image: *const u8,
    size: u64,
}

/// What GDB looks for by name. Layout and names are its own.
#[repr(C)]
pub struct Descriptor {
    version: u32,
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

/// GDB has a breakpoint here. LLVM defines the same names: in the static library ours are weak.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn __jit_debug_register_code() {
    std::hint::black_box(());
}

/// See [`Descriptor`].
#[unsafe(no_mangle)]
pub static mut __jit_debug_descriptor: Descriptor =
    Descriptor { version: 1, action: 0, relevant: null_mut(), first: null_mut() };

/// Who may change the list. Another JIT with a descriptor of its own has a list of its own.
static LIST: Mutex<()> = Mutex::new(());

/// A module that GDB knows, until this is dropped.
struct Shown {
    entry: *mut Entry,
    _image: Vec<u8>,
}

/// Modules that GDB knows.
pub struct Debugged(Vec<Shown>);

// SAFETY: entries are changed only with `LIST` locked.
unsafe impl Send for Debugged {}
// SAFETY: as above; nothing can be done with a shared one.
unsafe impl Sync for Debugged {}

impl Debugged {
    /// Shows all modules to GDB.
    pub fn new(artifact: &Artifact, modules: &[Loaded]) -> Result<Debugged> {
        let mut shown = Debugged(alloc::with_capacity(modules.len(), "what a debugger is shown")?);
        for (index, module) in modules.iter().enumerate() {
            let image = view(artifact.module_bytes(index)?, module.bias)?;
            shown.0.push(Shown::new(image));
        }
        Ok(shown)
    }
}

impl Shown {
    fn new(image: Vec<u8>) -> Shown {
        let entry = Entry { next: null_mut(), prev: null_mut(), image: image.as_ptr(), size: image.len() as u64 };
        let entry = Box::into_raw(Box::new(entry));
        let _guard = LIST.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the list is ours while it is locked, and all its entries are alive: each leaves it when it is dropped.
        unsafe {
            let list = &raw mut __jit_debug_descriptor;
            (*entry).next = (*list).first;
            if let Some(next) = (*entry).next.as_mut() {
                next.prev = entry;
            }
            (*list).first = entry;
            announce(entry, REGISTER);
        }
        Shown { entry, _image: image }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _guard = LIST.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: as in `new`; made by `Box::into_raw`, in the list once, and out of it before it is freed.
        unsafe {
            let list = &raw mut __jit_debug_descriptor;
            let Entry { next, prev, .. } = *self.entry;
            match prev.as_mut() {
                Some(prev) => prev.next = next,
                None => (*list).first = next,
            }
            if let Some(next) = next.as_mut() {
                next.prev = prev;
            }
            announce(self.entry, UNREGISTER);
            drop(Box::from_raw(self.entry));
        }
    }
}

/// # Safety
///
/// `LIST` is locked.
unsafe fn announce(entry: *mut Entry, action: u32) {
    let list = &raw mut __jit_debug_descriptor;
    // SAFETY: the caller's promise. Volatile, because who reads it is another process.
    unsafe {
        (&raw mut (*list).relevant).write_volatile(entry);
        (&raw mut (*list).action).write_volatile(action);
        __jit_debug_register_code();
        (&raw mut (*list).action).write_volatile(0);
        (&raw mut (*list).relevant).write_volatile(null_mut());
    }
}

/// A copy of an image as a relocatable object whose sections have the addresses at which they are. What doesn't make sense in
/// it stays as it is: GDB complains, and shows less.
fn view(bytes: &[u8], bias: u64) -> Result<Vec<u8>> {
    let mut copy: Vec<u8> = alloc::copy(bytes, "what a debugger is shown")?;
    let Ok((header, _)) = pod::from_bytes_mut::<FileHeader64<Le>>(&mut copy) else { return Ok(copy) };
    let relocatable = header.e_type.get(Le) == elf::ET_REL;
    header.e_type.set(Le, elf::ET_REL);
    header.e_phnum.set(Le, 0);
    header.e_phoff.set(Le, 0);
    header.e_entry.set(Le, 0);
    let (at, count) = (header.e_shoff.get(Le) as usize, usize::from(header.e_shnum.get(Le)));
    let Some((mut body, table)) = copy.split_at_mut_checked(at) else { return Ok(copy) };
    let Ok((sections, _)) = pod::slice_from_bytes_mut::<SectionHeader64<Le>>(table, count) else { return Ok(copy) };
    let allocated = |section: &SectionHeader64<Le>| section.sh_flags.get(Le).0 & elf::SHF_ALLOC.0 != 0;
    let before: Vec<(bool, u64)> = alloc::collect(
        sections.iter().map(|section| (allocated(section), section.sh_addr.get(Le))),
        "what a debugger is shown",
    )?;
    for section in sections {
        let kind = section.sh_type.get(Le);
        let target = before.get(section.sh_info.get(Le) as usize);
        let relocates = kind == elf::SHT_RELA || kind == elf::SHT_REL;
        if allocated(section) {
            // A relocatable object has no addresses; a module of Wasmtime lies in memory as it does in the file.
            let address = if relocatable { section.sh_offset.get(Le) } else { section.sh_addr.get(Le) };
            section.sh_addr.set(Le, bias.wrapping_add(address));
        }
        let has_data = kind != elf::SHT_NOBITS && kind != elf::SHT_NOTE;
        if allocated(section) && has_data || relocates && target.is_none_or(|(allocated, _)| *allocated) {
            section.sh_type.set(Le, elf::SHT_PROGBITS); // dynamic tables, and relocations that were applied
        }
        if kind == elf::SHT_SYMTAB && !relocatable {
            let (start, len) = (section.sh_offset.get(Le) as usize, section.sh_size.get(Le) as usize);
            let Some(table) = start.checked_add(len).and_then(|end| body.get_mut(start..end)) else { continue };
            let Ok((symbols, _)) = pod::slice_from_bytes_mut::<Sym64<Le>>(table, len / size_of::<Sym64<Le>>()) else {
                continue;
            };
            for symbol in symbols {
                let section = usize::from(symbol.st_shndx.get(Le).0);
                if let Some((true, address)) = before.get(section) {
                    symbol.st_value.set(Le, symbol.st_value.get(Le).wrapping_sub(*address));
                }
            }
        }
        body = &mut *body;
    }
    Ok(copy)
}
