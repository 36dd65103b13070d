//! GDB's JIT interface (GDB manual, JIT Compilation Interface): a list of images, which GDB reads when its breakpoint in
//! [`__jit_debug_register_code`] is hit, or when it attaches.
//!
//! GDB takes addresses from an image's section headers and adds no bias. So each module is registered as a relocatable object whose
//! sections have their addresses in memory: then GDB applies the relocations that linkers keep for debug sections, and finds the
//! right lines. With a shared object whose section addresses are changed, functions would be right and lines wrong.

use std::ptr::null_mut;
use std::sync::Mutex;

use object::LittleEndian as Le;
use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::pod;

use super::LoadedModule;
use crate::alloc;
use crate::artifact::Artifact;
use crate::error::Result;
use crate::fork;

#[repr(C)]
struct Entry {
    next: *mut Entry,
    prev: *mut Entry,
    image: *const u8,
    size: u64,
}

/// The list's head, which GDB finds by its name. The layout is GDB's, too.
#[repr(C)]
pub struct Descriptor {
    version: u32,
    action: u32,
    relevant: *mut Entry,
    first: *mut Entry,
}

const REGISTER: u32 = 1;
const UNREGISTER: u32 = 2;

/// GDB sets a breakpoint here. LLVM defines the same two names, so they are weak in the static library.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn __jit_debug_register_code() {
    std::hint::black_box(());
}

/// See [`Descriptor`].
#[unsafe(no_mangle)]
pub static mut __jit_debug_descriptor: Descriptor =
    Descriptor { version: 1, action: 0, relevant: null_mut(), first: null_mut() };

/// Protects the list. Another JIT in the process with a descriptor of its own has a list of its own.
static LIST: Mutex<()> = Mutex::new(());

/// A module that is in GDB's list until this is dropped.
struct DebuggedModule {
    entry: *mut Entry,
    _image: Vec<u8>,
}

/// Modules that are registered with GDB.
pub struct Debugged(Vec<DebuggedModule>);

// SAFETY: dropping it in another thread is fine, since entries are used only while `LIST` is locked.
unsafe impl Send for Debugged {}
// SAFETY: a shared reference gives access to nothing.
unsafe impl Sync for Debugged {}

/// What memory is asked for, in errors.
const COPY: &str = "a copy of a module for debuggers";

impl Debugged {
    /// Registers all modules with GDB.
    pub fn new(artifact: &Artifact, modules: &[LoadedModule]) -> Result<Debugged> {
        let mut debugged = Debugged(alloc::with_capacity(modules.len(), COPY)?);
        for module in modules {
            let image = relocatable(artifact.module_bytes(module.index)?, module.bias)?;
            debugged.0.push(DebuggedModule::new(image));
        }
        Ok(debugged)
    }
}

impl DebuggedModule {
    fn new(image: Vec<u8>) -> DebuggedModule {
        let entry = Entry { next: null_mut(), prev: null_mut(), image: image.as_ptr(), size: image.len() as u64 };
        let entry = Box::into_raw(Box::new(entry));
        let _guard = fork::lock(&LIST);
        // SAFETY: nothing else in this process uses the list while it is locked, and all its entries are valid: `drop` takes each one
        // out before it frees it.
        unsafe {
            let list = &raw mut __jit_debug_descriptor;
            (*entry).next = (*list).first;
            if let Some(next) = (*entry).next.as_mut() {
                next.prev = entry;
            }
            (*list).first = entry;
            announce(entry, REGISTER);
        }
        DebuggedModule { entry, _image: image }
    }
}

impl Drop for DebuggedModule {
    fn drop(&mut self) {
        let _guard = fork::lock(&LIST);
        // SAFETY: the list is used as in `new`. The entry came from `Box::into_raw`, is in the list once, and is freed once, after it
        // has left the list.
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

/// Tells GDB about an entry.
///
/// # Safety
///
/// `LIST` is locked.
unsafe fn announce(entry: *mut Entry, action: u32) {
    let list = &raw mut __jit_debug_descriptor;
    // SAFETY: a static that nothing else in this process uses while `LIST` is locked. Volatile: GDB, another process, reads it.
    unsafe {
        (&raw mut (*list).relevant).write_volatile(entry);
        (&raw mut (*list).action).write_volatile(action);
        __jit_debug_register_code();
        (&raw mut (*list).action).write_volatile(0);
        (&raw mut (*list).relevant).write_volatile(null_mut());
    }
}

/// Returns a copy of an image as a relocatable object whose sections have their addresses in memory. Damaged headers, which loading
/// doesn't need, stay as they are: GDB complains about them and shows less.
fn relocatable(bytes: &[u8], bias: u64) -> Result<Vec<u8>> {
    let mut copy: Vec<u8> = alloc::copy(bytes, COPY)?;
    let Ok((header, _)) = pod::from_bytes_mut::<FileHeader64<Le>>(&mut copy) else { return Ok(copy) };
    let is_relocatable = header.e_type.get(Le) == elf::ET_REL;
    header.e_type.set(Le, elf::ET_REL);
    header.e_phnum.set(Le, 0);
    header.e_phoff.set(Le, 0);
    header.e_entry.set(Le, 0);
    let (at, count) = (header.e_shoff.get(Le) as usize, usize::from(header.e_shnum.get(Le)));
    let Some((mut body, table)) = copy.split_at_mut_checked(at) else { return Ok(copy) };
    let Ok((sections, _)) = pod::slice_from_bytes_mut::<SectionHeader64<Le>>(table, count) else { return Ok(copy) };
    let allocated = |section: &SectionHeader64<Le>| section.sh_flags.get(Le).0 & elf::SHF_ALLOC.0 != 0;
    let before = sections.iter().map(|section| (allocated(section), section.sh_addr.get(Le)));
    let before: Vec<(bool, u64)> = alloc::collect(before, COPY)?;
    // GDB reads one symbol table. If there are several, changing them all could take far longer than the image is.
    let mut has_symbols = false;
    for section in sections {
        let kind = section.sh_type.get(Le);
        let target = before.get(section.sh_info.get(Le) as usize);
        let relocates = kind == elf::SHT_RELA || kind == elf::SHT_REL;
        if allocated(section) {
            // Sections of a relocatable object have no addresses. A module of Wasmtime has the same layout in memory as in the file.
            let address = if is_relocatable { section.sh_offset.get(Le) } else { section.sh_addr.get(Le) };
            section.sh_addr.set(Le, bias.wrapping_add(address));
        }
        let has_data = kind != elf::SHT_NOBITS && kind != elf::SHT_NOTE;
        if allocated(section) && has_data || relocates && target.is_none_or(|(allocated, _)| *allocated) {
            // Plain data for GDB: dynamic tables, and relocations that the loader has applied.
            section.sh_type.set(Le, elf::SHT_PROGBITS);
        }
        if kind == elf::SHT_SYMTAB && !is_relocatable && !std::mem::replace(&mut has_symbols, true) {
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
