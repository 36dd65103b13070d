//! Whether standard output was closed when the program was started, as with `>&-` in a shell.
//!
//! Before `main`, the standard library opens /dev/null in place of closed standard streams, so that no file gets their numbers. What
//! is written there is lost without an error, and nothing tells such a stream from one that the caller redirected to /dev/null. So
//! this looks earlier, when the program is initialized.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};

static CLOSED: AtomicBool = AtomicBool::new(false);

/// Returns whether standard output was closed.
pub fn is_stdout_closed() -> bool {
    CLOSED.load(Ordering::Relaxed)
}

extern "C" fn look() {
    // SAFETY: F_GETFD takes no pointer, and only asks for the flags of a descriptor, which need not be open.
    let found = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    CLOSED.store(found == -1, Ordering::Relaxed);
}

// SAFETY: the section is an array of pointers to functions, which libc calls before `main`, one after the other, with arguments that
// `look` ignores. Nothing that it uses is set up later: it stores into a static variable, and calls one function of libc, which is
// initialized by then. It cannot unwind.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;
