//! The blocks of all threads, by the indexes of modules.
//!
//! A thread reads its own vector without a lock, in `access`. Only the thread itself replaces the vector. Whoever frees a module
//! sets its place in all vectors to NULL before the index is given away again, so an index that is used again finds no old block.
//! Everything but that reading happens with [`REGISTRY`] locked. The process doesn't fork meanwhile.

use std::alloc::Layout;
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};

use super::super::defect;
use super::access;
use super::host::{self, GetAddress};
use crate::alloc;
use crate::error::{Error, Result};
use crate::fork::{self, Locked};

/// In how many rounds of destructors of thread keys blocks are kept, so that destructors of other keys can use variables. glibc and
/// musl make four rounds.
const ROUNDS: u8 = 3;

/// What memory is asked for, in errors.
const STORAGE: &str = "thread-local storage";

/// How a thread gets its block.
#[derive(Clone, Copy)]
pub enum Template {
    /// It is a copy of the initial values at an address, which stay there as long as the template exists. Zeros follow. It begins
    /// `skew` bytes after an address with the layout's alignment.
    Module { initial: usize, initial_len: usize, layout: Layout, skew: usize },
    /// It is libc's, at this distance from the thread pointer.
    Static { distance: usize },
    /// It is libc's, of the module with this id.
    Host { get_address: GetAddress, id: usize },
}

impl Template {
    /// Makes this thread's block. Returns NULL if there is no memory.
    fn make(&self) -> *mut u8 {
        match *self {
            Template::Module { initial, initial_len, layout, skew } => {
                // SAFETY: the layout has at least one byte: `register` sees to it.
                let start = unsafe { std::alloc::alloc_zeroed(layout) };
                if start.is_null() {
                    return start;
                }
                // SAFETY: the block has room for the initial values after `skew` bytes, since both are parts of its length. The
                // values are mapped readable until the template is taken away, which the module's user does when nothing uses it.
                unsafe {
                    let block = start.add(skew);
                    std::ptr::copy_nonoverlapping(initial as *const u8, block, initial_len);
                    block
                }
            }
            Template::Static { distance } => access::thread_pointer().wrapping_add(distance) as *mut u8,
            Template::Host { get_address, id } => host::block(get_address, id),
        }
    }

    /// Frees a block.
    ///
    /// # Safety
    ///
    /// `make` returned it, and nothing uses it.
    unsafe fn free(&self, block: *mut u8) {
        if let Template::Module { layout, skew, .. } = *self {
            // SAFETY: the caller's promise; the block began `skew` bytes before.
            unsafe { std::alloc::dealloc(block.sub(skew), layout) };
        }
    }
}

/// A thread's block, or NULL as long as it has none.
pub type Block = AtomicPtr<u8>;

/// A thread that has blocks.
struct Thread {
    blocks: Vec<Block>,
    /// Its place in [`Registry::threads`].
    place: usize,
    /// How often the key's destructor has run.
    rounds: u8,
}

struct Registry {
    /// By index.
    templates: Vec<Option<Template>>,
    /// Indexes without a template. There is room for all.
    free: Vec<u32>,
    threads: Vec<*mut Thread>,
}

// SAFETY: the threads are valid until they are taken out. Other threads use them only while the registry is locked.
unsafe impl Send for Registry {}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { templates: Vec::new(), free: Vec::new(), threads: Vec::new() });

/// The key whose values are threads, and whose destructor frees their blocks.
static KEY: OnceLock<libc::pthread_key_t> = OnceLock::new();

fn lock() -> Locked<'static, Registry> {
    fork::lock(&REGISTRY)
}

/// An index, until it is dropped. Nothing uses the variables then.
#[derive(Debug)]
pub struct Index(u32);

impl Index {
    pub fn new(template: Template) -> Result<Index> {
        let mut registry = lock();
        if KEY.get().is_none() {
            prepare_process()?;
        }
        if let Some(index) = registry.free.pop() {
            *registry.templates.get_mut(index as usize).ok_or_else(|| defect("a free index"))? = Some(template);
            return Ok(Index(index));
        }
        let index = u32::try_from(registry.templates.len()).map_err(|_| Error::no_memory(STORAGE))?;
        alloc::push(&mut registry.templates, Some(template), STORAGE)?;
        let room = registry.templates.len() - registry.free.len();
        if registry.free.try_reserve(room).is_err() {
            registry.templates.pop();
            return Err(Error::no_memory(STORAGE));
        }
        Ok(Index(index))
    }

    pub fn get(&self) -> u32 {
        self.0
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let mut registry = lock();
        let index = self.0 as usize;
        let Some(template) = registry.templates.get_mut(index).and_then(Option::take) else { return };
        for thread in &registry.threads {
            // SAFETY: valid, since it is in the registry, which is locked.
            let Some(place) = unsafe { &**thread }.blocks.get(index) else { continue };
            let block = place.swap(std::ptr::null_mut(), Relaxed);
            if !block.is_null() {
                // SAFETY: `make` of this template returned it. The thread doesn't use it any more, as whoever drops the index says,
                // and can't find it again.
                unsafe { template.free(block) };
            }
        }
        registry.free.push(self.0);
    }
}

/// Makes what is made once in a process. The registry is locked.
fn prepare_process() -> Result<()> {
    access::prepare();
    let failed = |what, code| Err(Error::io(what, &std::io::Error::from_raw_os_error(code)));
    let mut key = 0;
    // SAFETY: `key` is written during the call. The destructor stays in memory: the shared library is never unloaded.
    let code = unsafe { libc::pthread_key_create(&raw mut key, Some(end_thread)) };
    if code != 0 {
        return failed("making a thread key for thread-local storage", code);
    }
    KEY.set(key).map_err(|_| defect("two keys for thread-local storage"))
}

/// Returns this thread's value of the key.
fn this_thread() -> *mut Thread {
    match KEY.get() {
        // SAFETY: a key that is never deleted.
        Some(key) => unsafe { libc::pthread_getspecific(*key) }.cast(),
        None => std::ptr::null_mut(),
    }
}

/// Returns this thread's block with an index, if it has one.
fn existing(at: usize) -> Option<*mut u8> {
    let thread = this_thread();
    if thread.is_null() {
        return None;
    }
    // SAFETY: a valid thread, as long as it is this thread's value of the key. Only this thread replaces its vector; others set
    // blocks in it to NULL.
    let blocks = unsafe { &(*thread).blocks };
    let block = blocks.get(at)?.load(Relaxed);
    (!block.is_null()).then_some(block)
}

/// Returns this thread's block with an index, and makes it if it is the first time.
///
/// # Errors
///
/// NO_MEMORY.
pub fn get(index: u32) -> Result<*mut u8> {
    let at = index as usize;
    if let Some(block) = existing(at) {
        return Ok(block);
    }
    let template = lock().templates.get(at).copied().flatten();
    let template = template.ok_or_else(|| defect("an index without thread-local storage"))?;
    // Without the lock: `make` may call the process's own allocator, or libc.
    let block = template.make();
    if block.is_null() {
        return Err(Error::no_memory(STORAGE));
    }
    let mut registry = lock();
    // A signal handler may have been here in the meantime.
    let done = match existing(at) {
        Some(found) => Ok(found),
        None => registry.store(at, block).map(|()| block),
    };
    if done.as_ref().map_or(true, |found| *found != block) {
        // SAFETY: made above, and stored nowhere.
        unsafe { template.free(block) };
    }
    done
}

impl Registry {
    /// Enters a block in this thread's vector.
    fn store(&mut self, at: usize, block: *mut u8) -> Result<()> {
        let mut thread = this_thread();
        if thread.is_null() {
            thread = self.add_thread()?;
        }
        // SAFETY: a thread in the registry, which is locked: nothing else refers to it. `access` reads the blocks, but not `thread`.
        let thread = unsafe { &mut *thread };
        if thread.blocks.len() <= at {
            let len = self.templates.len().max(8).next_power_of_two();
            let kept = thread.blocks.iter().map(|block| block.load(Relaxed));
            let blocks = kept.chain(std::iter::repeat(std::ptr::null_mut())).take(len).map(Block::new);
            let blocks = alloc::collect(blocks, STORAGE)?;
            access::publish(&blocks);
            thread.blocks = blocks; // frees the old one, which nothing reads any more
        }
        thread.blocks.get(at).ok_or_else(|| defect("a vector that is too short"))?.store(block, Relaxed);
        Ok(())
    }

    fn add_thread(&mut self) -> Result<*mut Thread> {
        self.threads.try_reserve(1).map_err(|_| Error::no_memory(STORAGE))?;
        let thread = Thread { blocks: Vec::new(), place: self.threads.len(), rounds: 0 };
        let thread = Box::into_raw(Box::new(thread));
        let key = *KEY.get().ok_or_else(|| defect("no key for thread-local storage"))?;
        // SAFETY: a key that is never deleted.
        if unsafe { libc::pthread_setspecific(key, thread.cast()) } != 0 {
            // SAFETY: made above, and entered nowhere.
            drop(unsafe { Box::from_raw(thread) });
            return Err(Error::no_memory(STORAGE));
        }
        self.threads.push(thread);
        Ok(thread)
    }
}

/// The key's destructor: frees the blocks of the thread that ends.
extern "C" fn end_thread(thread: *mut c_void) {
    let thread = thread.cast::<Thread>();
    let mut registry = lock();
    // SAFETY: the key's value is a thread in the registry, which is locked.
    let (place, rounds) = unsafe {
        (*thread).rounds += 1;
        ((*thread).place, (*thread).rounds)
    };
    // SAFETY: a key that is never deleted. The value that it had stays valid.
    let is_kept =
        rounds < ROUNDS && KEY.get().is_some_and(|key| unsafe { libc::pthread_setspecific(*key, thread.cast()) } == 0);
    if is_kept {
        return;
    }
    access::publish(&[]);
    registry.threads.swap_remove(place);
    if let Some(moved) = registry.threads.get(place) {
        // SAFETY: a thread in the registry, which is locked.
        unsafe { (**moved).place = place };
    }
    // SAFETY: from `add_thread`, and in the registry no more.
    let thread = unsafe { Box::from_raw(thread) };
    for (block, template) in thread.blocks.iter().zip(&registry.templates) {
        let block = block.load(Relaxed);
        if let Some(template) = template.as_ref().filter(|_| !block.is_null()) {
            // SAFETY: `make` of this template returned it: blocks of other templates with this index became NULL with them. Only this
            // thread knew it, which has ended.
            unsafe { template.free(block) };
        }
    }
}

/// Returns the index of this thread's block that contains an address, and the address's offset in it.
pub fn find(address: usize) -> Option<(u32, u64)> {
    let registry = lock();
    // SAFETY: this thread's value of the key is NULL or a thread in the registry, which is locked.
    let thread = unsafe { this_thread().as_ref() }?;
    let offsets = thread.blocks.iter().zip(&registry.templates).zip(0..).filter_map(|((block, template), index)| {
        let Some(Template::Module { layout, skew, .. }) = template else { return None };
        let offset = address.checked_sub(block.load(Relaxed) as usize)?;
        (offset < layout.size() - skew).then_some((index, offset as u64))
    });
    offsets.into_iter().next()
}
