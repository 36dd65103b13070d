//! Helpers that share a call's work and are gone when it returns. What they do the caller can do as well: where no thread can
//! be had, it does.

use std::mem::MaybeUninit;
use std::thread;

use rustix::thread::sched_getaffinity;

/// More would wait for memory.
const MOST: usize = 16;

/// A helper's stack, in bytes. Hashing takes about 30 KiB, four times that in a debug build.
const STACK: usize = 256 << 10;

/// Errors of the running thread itself, which can't wait.
const SYNCHRONOUS: [i32; 6] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS];

/// Runs `own`, and `help` on other threads meanwhile: as many as there are other processors for this process. Returns when all
/// are done.
pub fn with_helpers<T>(help: &(dyn Fn() + Sync), own: impl FnOnce() -> T) -> T {
    // The standard library would also look for quotas, in files.
    let processors = sched_getaffinity(None).map_or(1, |set| set.count() as usize).min(MOST);
    if processors <= 1 {
        return own();
    }
    thread::scope(|scope| {
        without_signals(|| {
            for _ in 1..processors {
                let helper = thread::Builder::new().name("artifact".into()).stack_size(STACK);
                if helper.spawn_scoped(scope, help).is_err() {
                    break;
                }
            }
        });
        own()
    })
}

/// Threads made meanwhile take no signals: handlers of the program expect its own threads.
fn without_signals(make: impl FnOnce()) {
    let (mut none, mut before) = (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::<libc::sigset_t>::uninit());
    // SAFETY: the calls fill the sets that they get a pointer to, and nothing else; numbers are those of signals. The mask is
    // this thread's own.
    let masked = unsafe {
        libc::sigfillset(none.as_mut_ptr());
        for signal in SYNCHRONOUS {
            libc::sigdelset(none.as_mut_ptr(), signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), before.as_mut_ptr()) == 0
    };
    make();
    if masked {
        // SAFETY: the call above has filled the set.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
    }
}
