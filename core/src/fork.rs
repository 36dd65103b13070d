//! Forking. A child has only the thread that forked: a lock that another thread held at that moment stays locked there for ever, and
//! what the lock protects is half changed. So whatever a child may need is changed within [`hold`], and the process forks only when
//! no thread is in there. The unwinders' own locks count, too, as far as we are those who take them.
//!
//! Turned down: locks that the child replaces by new ones, which helps neither what they protect nor the locks of libgcc.

use std::cell::{Cell, UnsafeCell};
use std::ops::{Deref, DerefMut};
use std::os::fd::{BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Read by threads that change something, written by one that forks.
static CHANGES: RwLock<()> = RwLock::new(());

/// What [`prepare`] took, and the handlers that run after the fork give back.
struct Taken(UnsafeCell<Option<RwLockWriteGuard<'static, ()>>>);

// SAFETY: used only by the thread that has locked `CHANGES` for writing, or by its copy in a child.
unsafe impl Sync for Taken {}

static TAKEN: Taken = Taken(UnsafeCell::new(None));

/// How many processes there are between the one that loaded this library and this one.
static GENERATION: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// How many [`Hold`]s this thread has. Without a destructor, it can be used at any time.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// The process doesn't fork until this is dropped, unless this very thread forks it, in a signal handler.
pub struct Hold(Option<RwLockReadGuard<'static, ()>>);

/// Waits until the process isn't forking, and keeps it from forking. What is done meanwhile must be short, and must not run anybody
/// else's code.
#[must_use]
pub fn hold() -> Hold {
    let depth = DEPTH.replace(DEPTH.get() + 1);
    // A second reader of one thread could wait for a writer that waits for the first.
    Hold((depth == 0).then(|| CHANGES.read().unwrap_or_else(PoisonError::into_inner)))
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0 = None;
        DEPTH.set(DEPTH.get() - 1);
    }
}

/// A locked mutex. The process doesn't fork until it is unlocked.
pub struct Locked<'m, T> {
    value: MutexGuard<'m, T>,
    _hold: Hold,
}

/// Locks a mutex that a child may need.
pub fn lock<T>(mutex: &Mutex<T>) -> Locked<'_, T> {
    let hold = hold();
    Locked { value: mutex.lock().unwrap_or_else(PoisonError::into_inner), _hold: hold }
}

impl<T> Deref for Locked<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Locked<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

/// Puts a value into a cell that was empty a moment ago, and returns what is in it: if several threads get here at once, the first one's
/// value. A cell that is being filled while the process forks would keep the child waiting.
pub fn keep<T>(cell: &OnceLock<T>, value: T) -> &T {
    let _hold = hold();
    cell.get_or_init(|| value)
}

/// A number that differs from the parent's in a child.
pub fn generation() -> u32 {
    GENERATION.load(SeqCst)
}

extern "C" fn prepare() {
    if DEPTH.get() == 0 {
        let taken = CHANGES.write().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: this thread has locked `CHANGES` for writing.
        unsafe { *TAKEN.0.get() = Some(taken) };
    }
}

extern "C" fn in_parent() {
    if DEPTH.get() == 0 {
        // SAFETY: this thread, or the one that it is a copy of, has locked `CHANGES` for writing in `prepare`.
        drop(unsafe { (*TAKEN.0.get()).take() });
    }
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, SeqCst);
    // Locked only by a thread that forks in a signal handler while it changes the list. That child keeps them.
    if let Ok(mut unshared) = UNSHARED.try_lock() {
        for file in unshared.drain(..) {
            // SAFETY: the child's copy of a descriptor that `Unshared` owned, and doesn't use in this generation.
            drop(unsafe { OwnedFd::from_raw_fd(file) });
        }
    }
    in_parent();
}

/// The descriptors that children close.
static UNSHARED: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// A descriptor that a child of a fork doesn't have. Create it within [`hold`].
#[derive(Debug)]
pub struct Unshared {
    file: RawFd,
    generation: u32,
}

impl Unshared {
    /// Takes a descriptor.
    #[must_use]
    pub fn new(file: OwnedFd) -> Unshared {
        let file = file.into_raw_fd();
        lock(&UNSHARED).push(file);
        Unshared { file, generation: generation() }
    }

    /// Returns the descriptor; none in a child.
    #[must_use]
    pub fn get(&self) -> Option<BorrowedFd<'_>> {
        // SAFETY: open until this is dropped, in the process that made it.
        (self.generation == generation()).then(|| unsafe { BorrowedFd::borrow_raw(self.file) })
    }
}

impl Drop for Unshared {
    fn drop(&mut self) {
        let mut unshared = lock(&UNSHARED);
        if self.generation == generation() {
            unshared.retain(|file| *file != self.file);
            // SAFETY: owned by this, and nothing borrows it any more.
            drop(unsafe { OwnedFd::from_raw_fd(self.file) });
        }
    }
}

extern "C" fn register() {
    // SAFETY: functions that can be called at any time, as long as this library is loaded: libc forgets the handlers of a library that
    // is unloaded.
    unsafe { libc::pthread_atfork(Some(prepare), Some(in_parent), Some(in_child)) };
}

/// Registered when the library is loaded, so before the handlers of a program for locks that it holds when it calls us: these are then
/// taken before ours.
#[used]
// SAFETY: an array of functions, which the dynamic linker calls with arguments that `register` ignores.
#[unsafe(link_section = ".init_array")]
static REGISTER: extern "C" fn() = register;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    #[test]
    fn a_child_finds_everything_unlocked() {
        static MUTEX: Mutex<u32> = Mutex::new(0);
        let (locked, is_locked) = channel();
        let thread = std::thread::spawn(move || {
            let mut value = lock(&MUTEX);
            *value = 1;
            drop(hold());
            locked.send(()).unwrap();
            std::thread::sleep(Duration::from_millis(100));
            *value = 2;
        });
        is_locked.recv().unwrap();
        let before = generation();
        // SAFETY: the child only locks, and ends without running anything of the test's.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let sound = MUTEX.try_lock().is_ok_and(|value| *value == 2) && generation() == before + 1;
            drop((lock(&MUTEX), hold()));
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(!sound)) };
        }
        let mut status = -1;
        // SAFETY: the child just made, and a number to write to.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        assert_eq!(generation(), before);
        thread.join().unwrap();
    }
}
