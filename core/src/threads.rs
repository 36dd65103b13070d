//! Helper threads that share the work of one call and end before it returns. If a helper thread cannot be started, the caller
//! does its share of the work. Also the signal masks of this process's threads.

use std::io;
use std::mem::MaybeUninit;
use std::thread;

use rustix::thread::sched_getaffinity;

/// Maximum number of threads, the caller's included. More would only wait for memory bandwidth.
const MAX_THREADS: usize = 16;

/// Stack size of a helper thread in bytes. Hashing takes about 30 KiB, four times that in a debug build.
const STACK_SIZE: usize = 256 << 10;

/// Signals that a thread raises by its own faults. They must not be blocked.
const SYNCHRONOUS: [i32; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// Runs `main` on the calling thread, and `helper` on one helper thread for each other processor that this process may use.
/// Returns when all are done.
pub fn with_helpers<T>(helper: &(dyn Fn() + Sync), main: impl FnOnce() -> T) -> T {
    // Not `available_parallelism`, which also reads cgroup quotas from files.
    let processors = sched_getaffinity(None).map_or(1, |set| set.count() as usize).min(MAX_THREADS);
    if processors <= 1 {
        return main();
    }
    thread::scope(|scope| {
        with_signals_blocked(|| {
            for _ in 1..processors {
                let thread = thread::Builder::new().name("artifact".into()).stack_size(STACK_SIZE);
                if thread.spawn_scoped(scope, helper).is_err() {
                    break;
                }
            }
        });
        main()
    })
}

/// Runs `work` on a new thread and returns its result; `None` if no thread can be started.
pub fn on_another_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    thread::scope(|scope| {
        let mut started = None;
        with_signals_blocked(|| {
            let thread = thread::Builder::new().name("artifact".into()).stack_size(STACK_SIZE);
            started = thread.spawn_scoped(scope, work).ok();
        });
        started?.join().ok()
    })
}

/// Runs `start` with signals blocked. Threads started there inherit the mask, so that the program's signal handlers run on its own
/// threads only.
fn with_signals_blocked(start: impl FnOnce()) {
    let (mut blocked, mut previous) =
        (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::<libc::sigset_t>::uninit());
    // SAFETY: `sigfillset` initializes `blocked` before the other calls read it, the numbers are valid signals, and both
    // pointers are valid for the type. `pthread_sigmask` changes the mask of this thread only and initializes `previous` if it
    // returns 0.
    let changed = unsafe {
        libc::sigfillset(blocked.as_mut_ptr());
        for signal in SYNCHRONOUS {
            libc::sigdelset(blocked.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, blocked.as_ptr(), previous.as_mut_ptr()) == 0
    };
    start();
    if changed {
        // SAFETY: `pthread_sigmask` returned 0 above, so `previous` is initialized.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, previous.as_ptr(), std::ptr::null_mut()) };
    }
}

/// Writes to a file while SIGXFSZ is held back. A write beyond RLIMIT_FSIZE fails with EFBIG, as one to a full disk fails with
/// ENOSPC, and neither ends the process nor runs a handler of the program, whatever the signal's disposition is.
///
/// The kernel sends SIGXFSZ to the thread that writes. It is blocked for this thread alone, and the one that the write has raised
/// is taken from the pending signals before the old mask is restored. One that was pending before stays pending.
///
/// # Errors
///
/// As `write`.
pub fn without_size_signal<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let (mut set, mut previous) = (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::<libc::sigset_t>::uninit());
    let mut pending = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: `sigemptyset` initializes `set` before the other calls read it, the number is a valid signal, and the pointers are
    // valid for the type. `pthread_sigmask` changes the mask of this thread only, can't fail with these arguments, and initializes
    // `previous`. `pending` is initialized: all zeros is a set, which `sigpending` replaces.
    let (was_blocked, was_pending) = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGXFSZ);
        if libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), previous.as_mut_ptr()) != 0 {
            return write();
        }
        // Only a signal that is blocked can stay pending.
        let was_blocked = libc::sigismember(previous.as_ptr(), libc::SIGXFSZ) == 1;
        if was_blocked {
            libc::sigpending(pending.as_mut_ptr());
        }
        (was_blocked, libc::sigismember(pending.as_ptr(), libc::SIGXFSZ) == 1)
    };
    let result = write();
    if !was_pending && result.as_ref().err().and_then(io::Error::raw_os_error) == Some(libc::EFBIG) {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `set` is initialized, `at_once` outlives the call, and the signal's details are not asked for.
        while unsafe { libc::sigtimedwait(set.as_ptr(), std::ptr::null_mut(), &raw const at_once) } == -1
            && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
        {}
    }
    if !was_blocked {
        // SAFETY: `set` is initialized.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut()) };
    }
    result
}
