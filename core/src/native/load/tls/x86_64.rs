//! x86-64. A descriptor's function gets the descriptor's address in rax, returns an offset from the thread pointer there, and
//! preserves all other registers but the flags (psABI, Thread-Local Storage Descriptors). Of a descriptor's second word, the upper half
//! is the index and the lower half the offset in the block.

use std::arch::{asm, naked_asm};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::block;

#[cfg(target_env = "gnu")]
pub use fast::{descriptor, get_address};
#[cfg(not(target_env = "gnu"))]
pub use slow::{descriptor, get_address};

/// Components of the state that XSAVE saves: those that functions in C may change. x87, SSE, AVX, the three of AVX-512, and the
/// registers of APX. Tiles are not among them, since nothing uses them unasked.
const SAVED: u32 = 0b1110_0111 | 1 << 19;

/// Which components `slow::descriptor` saves; 0: by FXSAVE.
static MASK: AtomicU32 = AtomicU32::new(0);
/// How many bytes they take: x87 and SSE alone take 512.
static SIZE: AtomicU32 = AtomicU32::new(512);

/// Finds out how `slow::descriptor` saves vector registers.
pub fn prepare() {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    const OSXSAVE: u32 = 1 << 27;
    if __cpuid(1).ecx & OSXSAVE == 0 {
        return;
    }
    let enabled: u32;
    // SAFETY: OSXSAVE says that XGETBV can be executed. It reads XCR0.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") enabled, out("edx") _, options(nomem, nostack, preserves_flags)) };
    let mask = enabled & SAVED;
    // Each component has a place of its own, after the legacy region and the header of 64 bytes.
    let ends = (2..32).filter(|component| mask >> component & 1 != 0).map(|component| {
        let about = __cpuid_count(0xd, component);
        about.ebx + about.eax
    });
    SIZE.store(ends.max().unwrap_or(0).max(512 + 64), Relaxed);
    MASK.store(mask, Relaxed);
}

/// The address that offsets of thread-local variables count from.
pub fn thread_pointer() -> usize {
    let address;
    // SAFETY: the ABI keeps the thread pointer in the word that it points to.
    unsafe { asm!("mov {}, qword ptr fs:[0]", out(reg) address, options(nostack, preserves_flags, readonly)) };
    address
}

/// The offset of this thread's vector from the thread pointer.
#[cfg(target_env = "gnu")]
pub fn vector_offset() -> usize {
    let offset;
    // SAFETY: reads an entry of the GOT.
    unsafe {
        asm!("mov {}, qword ptr [rip + {block}.vector@GOTTPOFF]", out(reg) offset, block = sym block,
            options(nostack, preserves_flags, readonly));
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
            "mov rdx, qword ptr [rip + {block}.vector@GOTTPOFF]",
            "mov rcx, qword ptr [rdi]",
            "not rcx",
            "cmp rcx, qword ptr fs:[rdx + 8]",
            "jae {slow}",
            "mov rax, qword ptr fs:[rdx]",
            "mov rax, qword ptr [rax + 8 * rcx]",
            "test rax, rax",
            "jz {slow}",
            "add rax, qword ptr [rdi + 8]",
            "ret",
            block = sym block,
            slow = sym slow::get_address,
        )
    }

    /// In descriptors of modules.
    ///
    /// # Safety
    ///
    /// A module calls it as the psABI says.
    #[unsafe(naked)]
    pub unsafe extern "C" fn descriptor() {
        naked_asm!(
            // Below the stack pointer, in the red zone.
            "mov qword ptr [rsp - 8], rdi",
            "mov qword ptr [rsp - 16], rsi",
            "mov rsi, qword ptr [rip + {block}.vector@GOTTPOFF]",
            "mov edi, dword ptr [rax + 12]",
            "cmp rdi, qword ptr fs:[rsi + 8]",
            "jae 2f",
            "mov rsi, qword ptr fs:[rsi]",
            "mov rdi, qword ptr [rsi + 8 * rdi]",
            "test rdi, rdi",
            "jz 2f",
            "movsxd rax, dword ptr [rax + 8]",
            "add rax, rdi",
            "sub rax, qword ptr fs:[0]",
            "mov rdi, qword ptr [rsp - 8]",
            "mov rsi, qword ptr [rsp - 16]",
            "ret",
            "2:",
            "mov rdi, qword ptr [rsp - 8]",
            "mov rsi, qword ptr [rsp - 16]",
            "jmp {slow}",
            block = sym block,
            slow = sym slow::descriptor,
        )
    }
}

mod slow {
    use super::{MASK, SIZE, block, c_void, naked_asm};

    /// As the fast function of that name. Aligns the stack, which compilers have not always done for this call.
    ///
    /// # Safety
    ///
    /// As of the fast function.
    #[unsafe(naked)]
    pub unsafe extern "C" fn get_address(variable: *const [usize; 2]) -> *mut c_void {
        naked_asm!(
            "push rbp",
            "mov rbp, rsp",
            "push rdi",
            "and rsp, -16",
            "mov rcx, qword ptr [rdi]",
            "xor eax, eax",
            "mov rdi, rcx",
            "not rdi",
            "test rcx, rcx",
            "jz 2f", // undefined and weak
            "call {block}",
            "2:",
            "mov rdi, qword ptr [rbp - 8]",
            "add rax, qword ptr [rdi + 8]",
            "leave",
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
            "push rbp",
            "mov rbp, rsp",
            "push rcx",
            "push rdx",
            "push rsi",
            "push rdi",
            "push r8",
            "push r9",
            "push r10",
            "push r11",
            "push rbx",
            "mov rbx, rax",
            "mov ecx, dword ptr [rip + {size}]",
            "sub rsp, rcx",
            "and rsp, -64",
            "mov eax, dword ptr [rip + {mask}]",
            "test eax, eax",
            "jz 2f",
            // XRSTOR wants zeros in the rest of the header, which XSAVE doesn't write.
            "xor edx, edx",
            "mov qword ptr [rsp + 512], rdx",
            "mov qword ptr [rsp + 520], rdx",
            "mov qword ptr [rsp + 528], rdx",
            "mov qword ptr [rsp + 536], rdx",
            "mov qword ptr [rsp + 544], rdx",
            "mov qword ptr [rsp + 552], rdx",
            "mov qword ptr [rsp + 560], rdx",
            "mov qword ptr [rsp + 568], rdx",
            "xsave64 [rsp]",
            "jmp 3f",
            "2:",
            "fxsave64 [rsp]",
            "3:",
            "mov edi, dword ptr [rbx + 12]",
            "call {block}",
            "movsxd rcx, dword ptr [rbx + 8]",
            "lea rbx, [rax + rcx]",
            "sub rbx, qword ptr fs:[0]",
            "mov eax, dword ptr [rip + {mask}]",
            "test eax, eax",
            "jz 4f",
            "xor edx, edx",
            "xrstor64 [rsp]",
            "jmp 5f",
            "4:",
            "fxrstor64 [rsp]",
            "5:",
            "mov rax, rbx",
            "lea rsp, [rbp - 72]",
            "pop rbx",
            "pop r11",
            "pop r10",
            "pop r9",
            "pop r8",
            "pop rdi",
            "pop rsi",
            "pop rdx",
            "pop rcx",
            "pop rbp",
            "ret",
            block = sym block,
            size = sym SIZE,
            mask = sym MASK,
        )
    }
}

/// In descriptors of weak variables that are undefined: returns the offset at which the second word is the address.
///
/// # Safety
///
/// A module calls it as the psABI says.
#[unsafe(naked)]
pub unsafe extern "C" fn undefined() {
    naked_asm!("mov rax, qword ptr [rax + 8]", "sub rax, qword ptr fs:[0]", "ret")
}
