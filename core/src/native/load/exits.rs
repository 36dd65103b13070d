//! What code leaves to be run later, and that it stays mapped until then: functions for the exit of the process and for forks, and
//! destructors of thread-local objects.
//!
//! Code registers them with functions of the C library, each with a handle, by which the library tells whose they are. It can't
//! know when code is freed. So code gets the functions below instead, which find it by an address in it. Whatever handle it passes,
//! what it registers gets the one of its module, its base; and destructors of thread-local objects keep it mapped.

use std::cell::RefCell;
use std::ffi::{CStr, c_int, c_void};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use super::code::Loaded;
use super::{LoadedModule, registry};
use crate::alloc;

type Handler = unsafe extern "C" fn(*mut c_void);
#[cfg(target_env = "gnu")]
type ForkHandler = Option<unsafe extern "C" fn()>;

unsafe extern "C" {
    /// Itanium C++ ABI, DSO Object Destruction API: registers a function that is called with `argument`.
    fn __cxa_atexit(function: Handler, argument: *mut c_void, handle: *mut c_void) -> c_int;
    /// Calls and removes what is registered with a handle, or everything if it is NULL. Of glibc also removes what is registered
    /// for quick_exit() and for forks.
    fn __cxa_finalize(handle: *mut c_void);
}

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    fn __cxa_at_quick_exit(function: Handler, handle: *mut c_void) -> c_int;
    fn __register_atfork(prepare: ForkHandler, parent: ForkHandler, child: ForkHandler, handle: *mut c_void) -> c_int;
}

/// What loaded code has left to be run later.
pub struct Exits {
    /// Something is registered with a module's handle.
    registered: AtomicBool,
    /// The code has been freed, and is mapped only because threads have destructors to run.
    freed: AtomicBool,
}

impl Exits {
    /// `registered`: the code may register something with handles without this module's functions.
    pub fn new(registered: bool) -> Exits {
        Exits { registered: AtomicBool::new(registered), freed: AtomicBool::new(false) }
    }
}

/// Runs what can run when code is freed: destructors of this thread's thread-local objects, then the modules' own, then functions
/// for the exit of the process. What other threads have left keeps the code mapped.
///
/// # Safety
///
/// The code isn't used any more. `destruct` runs the modules' destructors.
pub unsafe fn free(loaded: &Arc<Loaded>, destruct: impl FnOnce()) {
    while let Some(exit) = Exit::take(|exit| exit.loaded.as_ref().is_some_and(|owner| Arc::ptr_eq(owner, loaded))) {
        // SAFETY: the caller's promise: the objects aren't used any more.
        unsafe { exit.run() };
    }
    destruct();
    loaded.exits.freed.store(true, SeqCst);
    finalize(loaded);
}

/// Runs what is registered with the modules' handles.
fn finalize(loaded: &Loaded) {
    if loaded.exits.registered.swap(false, SeqCst) {
        for module in loaded.view.modules.iter().rev() {
            // SAFETY: the module is mapped. What is registered with its base is its own, and the code has been freed.
            unsafe { __cxa_finalize(handle(module)) };
        }
    }
}

fn handle(module: &LoadedModule) -> *mut c_void {
    module.base() as *mut c_void
}

/// The code and the handle of the module that the first of these addresses which lies in loaded code lies in.
fn owner(addresses: &[usize]) -> Option<(Arc<Loaded>, *mut c_void)> {
    let (address, loaded) = addresses.iter().find_map(|address| Some((*address, registry::pin(*address)?)))?;
    let modules = &loaded.view.modules;
    let index = modules.partition_point(|module| module.base() <= address as u64).checked_sub(1)?;
    let handle = handle(modules.get(index)?);
    Some((loaded, handle))
}

/// Registers something with the handle of the module that one of these addresses lies in or, if none does, with the one given.
fn register(addresses: &[usize], given: *mut c_void, with: impl FnOnce(*mut c_void) -> c_int) -> c_int {
    let Some((loaded, handle)) = owner(addresses) else { return with(given) };
    let result = with(handle);
    // In this order: see `Exit::run`.
    loaded.exits.registered.store(true, SeqCst);
    result
}

unsafe extern "C" fn cxa_atexit(function: Handler, argument: *mut c_void, given: *mut c_void) -> c_int {
    // SAFETY: the arguments of the caller, compiled code, which knows what it registers; the handle is its own.
    register(&[given as usize, function as usize], given, |handle| unsafe { __cxa_atexit(function, argument, handle) })
}

/// Ignores the argument: `function` takes none.
unsafe extern "C" fn atexit(function: Handler) -> c_int {
    // SAFETY: as for `cxa_atexit`. Functions of the C calling convention ignore arguments that they don't take.
    unsafe { cxa_atexit(function, std::ptr::null_mut(), std::ptr::null_mut()) }
}

unsafe extern "C" fn cxa_finalize(given: *mut c_void) {
    let handle = owner(&[given as usize]).map_or(given, |(_, handle)| handle);
    // SAFETY: called by compiled code, which knows that what it has registered may run.
    unsafe { __cxa_finalize(handle) };
}

#[cfg(target_env = "gnu")]
unsafe extern "C" fn cxa_at_quick_exit(function: Handler, given: *mut c_void) -> c_int {
    // SAFETY: as in `cxa_atexit`.
    register(&[given as usize, function as usize], given, |handle| unsafe { __cxa_at_quick_exit(function, handle) })
}

#[cfg(target_env = "gnu")]
unsafe extern "C" fn at_quick_exit(function: Handler) -> c_int {
    // SAFETY: as for `atexit`.
    unsafe { cxa_at_quick_exit(function, std::ptr::null_mut()) }
}

#[cfg(target_env = "gnu")]
unsafe extern "C" fn register_atfork(
    prepare: ForkHandler,
    parent: ForkHandler,
    child: ForkHandler,
    given: *mut c_void,
) -> c_int {
    let at = |handler: ForkHandler| handler.map_or(0, |handler| handler as usize);
    let addresses = [given as usize, at(prepare), at(parent), at(child)];
    // SAFETY: as in `cxa_atexit`.
    register(&addresses, given, |handle| unsafe { __register_atfork(prepare, parent, child, handle) })
}

#[cfg(target_env = "gnu")]
unsafe extern "C" fn pthread_atfork(prepare: ForkHandler, parent: ForkHandler, child: ForkHandler) -> c_int {
    // SAFETY: as in `cxa_atexit`.
    unsafe { register_atfork(prepare, parent, child, std::ptr::null_mut()) }
}

unsafe extern "C" fn cxa_thread_atexit(function: Handler, object: *mut c_void, given: *mut c_void) -> c_int {
    let loaded = owner(&[given as usize, function as usize]).map(|(loaded, _)| loaded);
    Exit { function, object, loaded }.push()
}

/// The function that code gets under a name, if it is one of those that register something to be run later.
pub fn find(name: &[u8]) -> Option<*const c_void> {
    if !name.starts_with(b"__") {
        return None;
    }
    let found = match name {
        b"__cxa_atexit" => cxa_atexit as *const c_void,
        b"__cxa_finalize" => cxa_finalize as *const c_void,
        b"__cxa_thread_atexit" | b"__cxa_thread_atexit_impl" => cxa_thread_atexit as *const c_void,
        #[cfg(target_env = "gnu")]
        b"__cxa_at_quick_exit" => cxa_at_quick_exit as *const c_void,
        #[cfg(target_env = "gnu")]
        b"__register_atfork" => register_atfork as *const c_void,
        _ => return None,
    };
    Some(found)
}

/// The same for names that compilers' startup code or the C library's static part define in each object, if nothing else does.
pub fn find_missing(name: &[u8]) -> Option<*const c_void> {
    let found = match name {
        b"atexit" => atexit as *const c_void,
        #[cfg(target_env = "gnu")]
        b"at_quick_exit" => at_quick_exit as *const c_void,
        #[cfg(target_env = "gnu")]
        b"pthread_atfork" => pthread_atfork as *const c_void,
        _ => return None,
    };
    Some(found)
}

/// The address that code gets for a symbol that the host defines: if the host gives the C library's own function, then ours.
pub fn instead_of(name: &CStr, address: *const c_void) -> *const c_void {
    match find(name.to_bytes()) {
        Some(ours) if super::process::find(name, None) == Some(address) => ours,
        _ => address,
    }
}

/// The destructor of a thread-local object.
struct Exit {
    function: Handler,
    object: *mut c_void,
    /// The code that the destructor is in, which stays mapped until it has run.
    loaded: Option<Arc<Loaded>>,
}

/// The destructors that a thread has to run, in the order of registration.
struct Pending {
    exits: ManuallyDrop<Vec<Exit>>,
    /// How often the thread is going to call [`run_last`] when it ends: at least once for each destructor. That is more often if
    /// code was freed. Without these calls to spare, a thread that loads and frees code again and again would register more and more.
    calls: usize,
}

thread_local! {
    // Without a destructor, so that it can be used until the thread has ended.
    static PENDING: RefCell<Pending> = const { RefCell::new(Pending { exits: ManuallyDrop::new(Vec::new()), calls: 0 }) };
}

impl Exit {
    /// Adds it to this thread's. Returns -1 if that is not possible, as the C library does.
    fn push(self) -> c_int {
        PENDING.with(|pending| {
            // Not if a signal handler has interrupted this function.
            let Ok(mut pending) = pending.try_borrow_mut() else { return -1 };
            if alloc::push(&mut pending.exits, self, "destructors").is_err() {
                return -1;
            }
            if pending.exits.len() > pending.calls {
                if call_at_thread_exit() != 0 {
                    pending.exits.pop();
                    return -1;
                }
                pending.calls += 1;
            }
            0
        })
    }

    /// Takes the last one of this thread that is wanted.
    fn take(is_wanted: impl Fn(&Exit) -> bool) -> Option<Exit> {
        PENDING.with(|pending| {
            let mut pending = pending.try_borrow_mut().ok()?;
            let index = pending.exits.iter().rposition(is_wanted)?;
            Some(pending.exits.remove(index))
        })
    }

    /// # Safety
    ///
    /// The object isn't used any more.
    unsafe fn run(self) {
        // SAFETY: the code that registered the destructor is still mapped, and the caller's promise.
        unsafe { (self.function)(self.object) };
        // If the destructor has registered something, either this thread sees that the code has been freed, or the thread that frees
        // it sees that something is registered.
        if let Some(loaded) = self.loaded.filter(|loaded| loaded.exits.freed.load(SeqCst)) {
            finalize(&loaded);
        }
    }
}

/// Runs the last destructor of a thread that ends.
extern "C" fn run_last(_: *mut c_void) {
    let exit = PENDING.with(|pending| {
        let mut pending = pending.try_borrow_mut().ok()?;
        pending.calls = pending.calls.saturating_sub(1);
        let exit = pending.exits.pop();
        if pending.exits.is_empty() {
            *pending.exits = Vec::new();
        }
        exit
    });
    if let Some(exit) = exit {
        // SAFETY: the thread ends, and this is the last of its objects, in the order of their construction.
        unsafe { exit.run() };
    }
}

/// Has [`run_last`] called once more when this thread ends, before anything that has been registered so far.
#[cfg(target_env = "gnu")]
fn call_at_thread_exit() -> c_int {
    unsafe extern "C" {
        fn __cxa_thread_atexit_impl(function: Handler, object: *mut c_void, handle: *const c_void) -> c_int;
        /// Of the object that this library is linked into, which stays until `run_last` has been called.
        static __dso_handle: c_void;
    }
    // SAFETY: `run_last` takes any argument. glibc only looks at the address of the handle.
    unsafe { __cxa_thread_atexit_impl(run_last, std::ptr::null_mut(), &raw const __dso_handle) }
}

/// Has [`run_last`] called when this thread ends, with all other destructors of this kind.
#[cfg(not(target_env = "gnu"))]
fn call_at_thread_exit() -> c_int {
    struct RunAll;
    impl Drop for RunAll {
        fn drop(&mut self) {
            while PENDING.with(|pending| pending.try_borrow().is_ok_and(|pending| pending.calls > 0)) {
                run_last(std::ptr::null_mut());
            }
        }
    }
    thread_local! {
        static RUN_ALL: RunAll = const { RunAll };
    }
    if RUN_ALL.try_with(|_| ()).is_ok() { 0 } else { -1 }
}
