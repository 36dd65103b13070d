//! What modules call to get the address of a thread-local variable: `get_address` is their `__tls_get_addr`, `descriptor` and
//! `undefined` are functions in their TLS descriptors.
//!
//! With glibc, a thread's vector is in 16 bytes of static TLS, which code reaches with two instructions. Other libcs have no room for
//! that in libraries that are loaded later, so there a thread key leads to the vector, by way of the slow functions.

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), path = "other.rs")]
mod machine;

#[cfg(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod state {
    use std::sync::atomic::{Ordering::SeqCst, compiler_fence};

    use super::super::blocks::Block;
    use super::{block, machine, thread_pointer};

    // The name is `block`'s, which is different in each copy of this library in a process, with a suffix.
    std::arch::global_asm!(
        ".pushsection .tbss, \"awT\", @nobits",
        ".balign 16",
        ".globl {block}.vector",
        ".hidden {block}.vector",
        ".type {block}.vector, @object",
        ".size {block}.vector, 16",
        "{block}.vector:",
        ".zero 16",
        ".popsection",
        block = sym block,
    );

    /// This thread's vector, as the functions of `machine` read it.
    #[repr(C)]
    struct Vector {
        blocks: *const Block,
        len: usize,
    }

    /// Makes a vector known to this thread's accesses. The one before is read no more.
    pub fn publish(blocks: &[Block]) {
        let vector = thread_pointer().wrapping_add(machine::vector_offset()) as *mut Vector;
        // SAFETY: this thread's instance of the variable above. Only this thread uses it: here, and in functions that a signal handler
        // may call between two of the stores. They never find a length without as many blocks.
        unsafe {
            (&raw mut (*vector).len).write_volatile(0);
            compiler_fence(SeqCst);
            (&raw mut (*vector).blocks).write_volatile(blocks.as_ptr());
            compiler_fence(SeqCst);
            (&raw mut (*vector).len).write_volatile(blocks.len());
        }
    }
}

#[cfg(not(all(target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod state {
    /// Nothing to do: `block` finds the vector.
    pub fn publish(_: &[super::super::blocks::Block]) {}
}

pub use machine::{descriptor, get_address, prepare, thread_pointer, undefined};
pub use state::publish;

/// Returns this thread's block with an index. Ends the process if there is no memory for it, as libc does: the caller is code that
/// uses a variable.
extern "C" fn block(index: usize) -> *mut u8 {
    match u32::try_from(index).map_err(|_| super::defect("no index")).and_then(super::blocks::get) {
        Ok(block) => block,
        Err(error) => {
            let message = format_args!("libartifact: thread-local storage: {error}\n").to_string();
            // SAFETY: reads the bytes of the message. If they can't be written, nobody can be told.
            unsafe { libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len()) };
            std::process::abort()
        }
    }
}
