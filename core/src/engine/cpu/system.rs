//! What the operating system says about the CPU's state, with calls and an instruction that no crate wraps.

/// Returns XCR0, the components of the state that the operating system has enabled. Only with OSXSAVE.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn xcr0() -> u64 {
    // SAFETY: the caller has found OSXSAVE in CPUID, with which user programs may execute XGETBV. Register 0 always exists.
    unsafe { std::arch::x86_64::_xgetbv(0) }
}

/// What the C library learned from CPUID when the process started. Under hypervisors, each CPUID instruction takes microseconds.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy)]
pub struct KnownLeaves(Function);

#[cfg(target_arch = "x86_64")]
type Function = unsafe extern "C" fn(u32) -> *const [u32; 8];

#[cfg(target_arch = "x86_64")]
impl KnownLeaves {
    /// Finds glibc's `__x86_get_cpuid_feature_leaf`, which is there from 2.33 on and meant for <sys/platform/x86.h>.
    #[must_use]
    pub fn find() -> Option<KnownLeaves> {
        if cfg!(not(target_env = "gnu")) {
            return None;
        }
        // SAFETY: `dlsym` reads the NUL-terminated name during the call.
        let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__x86_get_cpuid_feature_leaf".as_ptr()) };
        // SAFETY: the type that glibc's manual gives the function, whose results are two arrays of four words.
        (!found.is_null()).then(|| KnownLeaves(unsafe { std::mem::transmute::<*mut libc::c_void, Function>(found) }))
    }

    /// Returns a leaf as CPUID reported it, whatever the environment says about what programs should use (GLIBC_TUNABLES); none if the C
    /// library has not asked for it.
    #[must_use]
    pub fn get(self, number: u32, subleaf: u32) -> Option<std::arch::x86_64::CpuidResult> {
        let index = match (number, subleaf) {
            (0x1, 0) => 0,
            (0x7, 0) => 1,
            (0x8000_0001, 0) => 2,
            (0xd, 1) => 3,
            (0x8000_0008, 0) => 5,
            (0x7, 1) => 6,
            (0x19, 0) => 7,
            (0x14, 0) => 8,
            _ => return None,
        };
        // SAFETY: the function takes any number, and returns a pointer to what is never freed or changed.
        let (found, unknown) = unsafe { ((self.0)(index), (self.0)(u32::MAX)) };
        // For an index that this glibc does not have, it returns the same zeros each time.
        if found == unknown {
            return None;
        }
        // SAFETY: as above.
        let [eax, ebx, ecx, edx, ..] = *unsafe { found.as_ref() }?;
        Some(std::arch::x86_64::CpuidResult { eax, ebx, ecx, edx })
    }
}

/// Returns whether this process may use AMX now. Linux gives the tile registers to a process only after it has asked for them, with
/// `arch_prctl(ARCH_REQ_XCOMP_PERM, 18)`; before that, the first instruction raises SIGILL. Asking costs the host larger signal
/// frames, so it is the host's decision.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[must_use]
pub fn amx_permitted() -> bool {
    const ARCH_GET_XCOMP_PERM: libc::c_int = 0x1022;
    const TILE_DATA: u32 = 18;
    let mut components = 0u64;
    // SAFETY: the kernel writes 8 bytes to `components`, which outlives the call. An older kernel returns EINVAL.
    let result = unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &raw mut components) };
    result == 0 && components >> TILE_DATA & 1 == 1
}

/// Returns true: other systems give the tile registers to every process, if to any.
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[must_use]
pub fn amx_permitted() -> bool {
    true
}

/// Returns whether user programs may execute RDFSBASE and its like. Linux does not hide the CPUID bit if it has not enabled them.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[must_use]
pub fn fsgsbase_enabled() -> bool {
    const HWCAP2_FSGSBASE: usize = 2;
    // Emulators have no HWCAP2, nor the other entry, which Linux has had since 5.14: CPUID decides there.
    rustix::param::linux_hwcap().1 & HWCAP2_FSGSBASE != 0 || rustix::param::linux_minsigstksz() == 0
}

/// Returns true: CPUID decides.
#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
#[must_use]
pub fn fsgsbase_enabled() -> bool {
    true
}

/// Returns HWCAP2 of the auxiliary vector; 0 if the system has none.
#[cfg(target_arch = "aarch64")]
#[must_use]
pub fn hwcap2() -> u64 {
    #[cfg(target_os = "linux")]
    return rustix::param::linux_hwcap().1 as u64;
    #[cfg(not(target_os = "linux"))]
    return 0;
}

/// Returns the lengths in bits of the calling thread's SVE and streaming SVE vectors, and of RISC-V vectors, which are not
/// detected; none where there are none.
#[cfg(all(target_arch = "aarch64", target_os = "linux"))]
#[must_use]
pub fn vector_bits() -> [Option<u32>; 3] {
    const PR_SME_GET_VL: libc::c_int = 64;
    const LENGTH_MASK: u32 = 0xffff;
    let sve = rustix::thread::sve_vector_length_configuration().ok();
    // SAFETY: the call takes no pointers and changes nothing. A kernel without SME returns EINVAL.
    let streaming = unsafe { libc::prctl(PR_SME_GET_VL, 0, 0, 0, 0) };
    let streaming = u32::try_from(streaming).ok().map(|config| config & LENGTH_MASK);
    [sve.map(|config| config.vector_length_in_bytes), streaming, None].map(|bytes| bytes.map(|bytes| bytes * 8))
}

/// Returns none: this machine's vectors have no length that differs from CPU to CPU, or the system does not say.
#[cfg(not(all(target_arch = "aarch64", target_os = "linux")))]
#[must_use]
pub fn vector_bits() -> [Option<u32>; 3] {
    [None, None, None]
}
