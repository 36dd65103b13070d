//! aarch64. A descriptor's function gets the descriptor's address in x0, returns an offset from the thread pointer there, and preserves
//! all other registers but the flags, of vector registers the lower 128 bits (AAELF64, TLS descriptors). Of a descriptor's second word,
//! the upper half is the index and the lower half the offset in the block.

use std::arch::{asm, naked_asm};
use std::ffi::c_void;

use super::block;

#[cfg(target_env = "gnu")]
pub use fast::{descriptor, get_address};
#[cfg(not(target_env = "gnu"))]
pub use slow::{descriptor, get_address};

/// Nothing to find out.
pub fn prepare() {}

/// The address that offsets of thread-local variables count from.
pub fn thread_pointer() -> usize {
    let address;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, tpidr_el0", out(reg) address, options(nomem, nostack, preserves_flags)) };
    address
}

/// The offset of this thread's vector from the thread pointer.
#[cfg(target_env = "gnu")]
pub fn vector_offset() -> usize {
    let offset;
    // SAFETY: reads an entry of the GOT.
    unsafe {
        asm!("adrp {offset}, :gottprel:{block}.vector", "ldr {offset}, [{offset}, :gottprel_lo12:{block}.vector]",
            offset = out(reg) offset, block = sym block, options(nostack, preserves_flags, readonly));
    }
    offset
}

#[cfg(target_env = "gnu")]
mod fast {
    use super::{block, c_void, naked_asm, slow};

    /// `__tls_get_addr` of modules.
    ///
    /// # Safety
    ///
    /// A module passes two words that relocations have written.
    #[unsafe(naked)]
    pub unsafe extern "C" fn get_address(variable: *const [usize; 2]) -> *mut c_void {
        naked_asm!(
            "adrp x9, :gottprel:{block}.vector",
            "ldr x9, [x9, :gottprel_lo12:{block}.vector]",
            "mrs x10, tpidr_el0",
            "add x9, x9, x10",
            "ldr x8, [x0]",
            "mvn x8, x8",
            "ldp x10, x11, [x9]",
            "cmp x8, x11",
            "b.hs 2f",
            "ldr x10, [x10, x8, lsl #3]",
            "cbz x10, 2f",
            "ldr x0, [x0, #8]",
            "add x0, x0, x10",
            "ret",
            "2:",
            "b {slow}",
            block = sym block,
            slow = sym slow::get_address,
        )
    }

    /// In descriptors of modules.
    ///
    /// # Safety
    ///
    /// A module calls it as AAELF64 says.
    #[unsafe(naked)]
    pub unsafe extern "C" fn descriptor() {
        naked_asm!(
            "stp x1, x2, [sp, #-32]!",
            "str x3, [sp, #16]",
            "adrp x1, :gottprel:{block}.vector",
            "ldr x1, [x1, :gottprel_lo12:{block}.vector]",
            "mrs x2, tpidr_el0",
            "add x1, x1, x2",
            "ldr w2, [x0, #12]",
            "ldr x3, [x1, #8]",
            "cmp x2, x3",
            "b.hs 2f",
            "ldr x1, [x1]",
            "ldr x1, [x1, x2, lsl #3]",
            "cbz x1, 2f",
            "ldrsw x0, [x0, #8]",
            "add x0, x0, x1",
            "mrs x1, tpidr_el0",
            "sub x0, x0, x1",
            "ldr x3, [sp, #16]",
            "ldp x1, x2, [sp], #32",
            "ret",
            "2:",
            "ldr x3, [sp, #16]",
            "ldp x1, x2, [sp], #32",
            "b {slow}",
            block = sym block,
            slow = sym slow::descriptor,
        )
    }
}

mod slow {
    use super::{block, c_void, naked_asm};

    /// As the fast function of that name.
    ///
    /// # Safety
    ///
    /// As of the fast function.
    #[unsafe(naked)]
    pub unsafe extern "C" fn get_address(variable: *const [usize; 2]) -> *mut c_void {
        naked_asm!(
            "stp x29, x30, [sp, #-32]!",
            "mov x29, sp",
            "str x0, [sp, #16]",
            "ldr x8, [x0]",
            "mov x0, xzr",
            "cbz x8, 2f", // undefined and weak
            "mvn x0, x8",
            "bl {block}",
            "2:",
            "ldr x8, [sp, #16]",
            "ldr x8, [x8, #8]",
            "add x0, x0, x8",
            "ldp x29, x30, [sp], #32",
            "ret",
            block = sym block,
        )
    }

    /// As the fast function of that name. Saves everything that `block` may change.
    ///
    /// # Safety
    ///
    /// As of the fast function.
    #[unsafe(naked)]
    pub unsafe extern "C" fn descriptor() {
        naked_asm!(
            "sub sp, sp, #688",
            "stp x29, x30, [sp]",
            "mov x29, sp",
            "stp x1, x2, [sp, #16]",
            "stp x3, x4, [sp, #32]",
            "stp x5, x6, [sp, #48]",
            "stp x7, x8, [sp, #64]",
            "stp x9, x10, [sp, #80]",
            "stp x11, x12, [sp, #96]",
            "stp x13, x14, [sp, #112]",
            "stp x15, x16, [sp, #128]",
            "stp x17, x18, [sp, #144]",
            "str x0, [sp, #160]",
            "stp q0, q1, [sp, #176]",
            "stp q2, q3, [sp, #208]",
            "stp q4, q5, [sp, #240]",
            "stp q6, q7, [sp, #272]",
            "stp q8, q9, [sp, #304]",
            "stp q10, q11, [sp, #336]",
            "stp q12, q13, [sp, #368]",
            "stp q14, q15, [sp, #400]",
            "stp q16, q17, [sp, #432]",
            "stp q18, q19, [sp, #464]",
            "stp q20, q21, [sp, #496]",
            "stp q22, q23, [sp, #528]",
            "stp q24, q25, [sp, #560]",
            "stp q26, q27, [sp, #592]",
            "stp q28, q29, [sp, #624]",
            "stp q30, q31, [sp, #656]",
            "ldr w0, [x0, #12]",
            "bl {block}",
            "ldr x1, [sp, #160]",
            "ldrsw x1, [x1, #8]",
            "add x0, x0, x1",
            "mrs x1, tpidr_el0",
            "sub x0, x0, x1",
            "ldp q30, q31, [sp, #656]",
            "ldp q28, q29, [sp, #624]",
            "ldp q26, q27, [sp, #592]",
            "ldp q24, q25, [sp, #560]",
            "ldp q22, q23, [sp, #528]",
            "ldp q20, q21, [sp, #496]",
            "ldp q18, q19, [sp, #464]",
            "ldp q16, q17, [sp, #432]",
            "ldp q14, q15, [sp, #400]",
            "ldp q12, q13, [sp, #368]",
            "ldp q10, q11, [sp, #336]",
            "ldp q8, q9, [sp, #304]",
            "ldp q6, q7, [sp, #272]",
            "ldp q4, q5, [sp, #240]",
            "ldp q2, q3, [sp, #208]",
            "ldp q0, q1, [sp, #176]",
            "ldp x17, x18, [sp, #144]",
            "ldp x15, x16, [sp, #128]",
            "ldp x13, x14, [sp, #112]",
            "ldp x11, x12, [sp, #96]",
            "ldp x9, x10, [sp, #80]",
            "ldp x7, x8, [sp, #64]",
            "ldp x5, x6, [sp, #48]",
            "ldp x3, x4, [sp, #32]",
            "ldp x1, x2, [sp, #16]",
            "ldp x29, x30, [sp]",
            "add sp, sp, #688",
            "ret",
            block = sym block,
        )
    }
}

/// In descriptors of weak variables that are undefined: returns the offset at which the second word is the address.
///
/// # Safety
///
/// A module calls it as AAELF64 says.
#[unsafe(naked)]
pub unsafe extern "C" fn undefined() {
    naked_asm!(
        "str x1, [sp, #-16]!",
        "ldr x0, [x0, #8]",
        "mrs x1, tpidr_el0",
        "sub x0, x0, x1",
        "ldr x1, [sp], #16",
        "ret",
    )
}
