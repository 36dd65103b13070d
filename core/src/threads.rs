//! Helper threads that share the work of one call and end before it returns. If a helper thread cannot be started, the caller
//! does its share of the work.

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
