//! Definitions of functions that compilers generate calls to and that no process exports: helpers of libgcc and compiler-rt for
//! 128-bit integers, and outline atomics on aarch64. They do what the libraries' manuals say. If C leaves a result undefined, as for
//! a division by zero, the result is 0.

use std::ffi::c_void;

extern "C" fn udivti3(a: u128, b: u128) -> u128 {
    a.checked_div(b).unwrap_or(0)
}

extern "C" fn umodti3(a: u128, b: u128) -> u128 {
    a.checked_rem(b).unwrap_or(0)
}

/// gcc calls it if a program uses both the quotient and the remainder.
///
/// # Safety
///
/// `rest` is NULL or can be written.
unsafe extern "C" fn udivmodti4(a: u128, b: u128, rest: *mut u128) -> u128 {
    if !rest.is_null() {
        // SAFETY: not NULL, so the caller, compiled code, has room for the remainder there.
        unsafe { rest.write(umodti3(a, b)) };
    }
    udivti3(a, b)
}

extern "C" fn divti3(a: i128, b: i128) -> i128 {
    if b == 0 { 0 } else { a.wrapping_div(b) }
}

extern "C" fn modti3(a: i128, b: i128) -> i128 {
    if b == 0 { 0 } else { a.wrapping_rem(b) }
}

extern "C" fn multi3(a: i128, b: i128) -> i128 {
    a.wrapping_mul(b)
}

extern "C" fn popcountdi2(a: u64) -> i32 {
    a.count_ones() as i32
}

extern "C" fn floattidf(a: i128) -> f64 {
    a as f64
}

extern "C" fn floatuntidf(a: u128) -> f64 {
    a as f64
}

extern "C" fn floattisf(a: i128) -> f32 {
    a as f32
}

extern "C" fn floatuntisf(a: u128) -> f32 {
    a as f32
}

extern "C" fn fixdfti(a: f64) -> i128 {
    a as i128
}

extern "C" fn fixunsdfti(a: f64) -> u128 {
    a as u128
}

extern "C" fn fixsfti(a: f32) -> i128 {
    a as i128
}

extern "C" fn fixunssfti(a: f32) -> u128 {
    a as u128
}

/// Returns the address of a builtin definition.
pub fn find(name: &[u8]) -> Option<*const c_void> {
    let found = match name {
        b"__udivti3" => udivti3 as *const c_void,
        b"__umodti3" => umodti3 as *const c_void,
        b"__udivmodti4" => udivmodti4 as *const c_void,
        b"__divti3" => divti3 as *const c_void,
        b"__modti3" => modti3 as *const c_void,
        b"__multi3" => multi3 as *const c_void,
        b"__popcountdi2" => popcountdi2 as *const c_void,
        b"__floattidf" => floattidf as *const c_void,
        b"__floatuntidf" => floatuntidf as *const c_void,
        b"__floattisf" => floattisf as *const c_void,
        b"__floatuntisf" => floatuntisf as *const c_void,
        b"__fixdfti" => fixdfti as *const c_void,
        b"__fixunsdfti" => fixunsdfti as *const c_void,
        b"__fixsfti" => fixsfti as *const c_void,
        b"__fixunssfti" => fixunssfti as *const c_void,
        _ => return atomics::find(name),
    };
    Some(found)
}

/// Returns the address of a function of the C library that glibc before 2.33 doesn't export: each object had its own.
pub fn find_in_c_library(name: &[u8]) -> Option<*const c_void> {
    let found = match name {
        b"stat" => libc::stat as *const c_void,
        b"fstat" => libc::fstat as *const c_void,
        b"lstat" => libc::lstat as *const c_void,
        b"fstatat" => libc::fstatat as *const c_void,
        b"stat64" => libc::stat64 as *const c_void,
        b"fstat64" => libc::fstat64 as *const c_void,
        b"lstat64" => libc::lstat64 as *const c_void,
        b"fstatat64" => libc::fstatat64 as *const c_void,
        b"mknod" => libc::mknod as *const c_void,
        b"mknodat" => libc::mknodat as *const c_void,
        _ => return None,
    };
    Some(found)
}

/// Returns what to do about an undefined symbol that compilers generate references to and that has no builtin definition.
pub fn hint(name: &[u8]) -> Option<&'static str> {
    match name {
        b"__cpu_model" | b"__cpu_indicator_init" => Some(
            "what __builtin_cpu_supports reads: load with ARTIFACT_LOAD_PROCESS_SYMBOLS in a process that has libgcc_s.so.1, add \
             libgcc.a to the objects, or give __cpu_model",
        ),
        b"__cpu_features2" => {
            Some("features of the CPU that only libgcc.a has: add that archive to the objects, or give __cpu_features2")
        }
        _ if name.starts_with(b"__aarch64_") => Some("an outline atomic: compile with -mno-outline-atomics"),
        _ if name.starts_with(b"_Unwind_") || name.starts_with(b"__cxa_") || name.starts_with(b"__gxx_") => {
            Some("the C++ runtime: load with ARTIFACT_LOAD_PROCESS_SYMBOLS in a process that has it")
        }
        _ => None,
    }
}

#[cfg(not(target_arch = "aarch64"))]
mod atomics {
    pub fn find(_: &[u8]) -> Option<*const std::ffi::c_void> {
        None
    }
}

/// `__aarch64_ldadd4_acq_rel` and the like (Arm's LSE outline atomics ABI). All use the strongest memory order, which is correct for
/// the weaker ones, too.
#[cfg(target_arch = "aarch64")]
mod atomics {
    use std::ffi::c_void;
    use std::sync::atomic::Ordering::SeqCst;
    use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};

    macro_rules! sizes {
        ($($module:ident $word:ty, $atomic:ty;)*) => {$(
            mod $module {
                use super::*;

                // The compiler that generated the call passes an address on which an atomic instruction could be used instead: it is
                // valid and aligned, and all other threads access it atomically.

                pub unsafe extern "C" fn cas(expected: $word, new: $word, place: *mut $word) -> $word {
                    // SAFETY: valid, aligned and accessed atomically: see above.
                    let place = unsafe { <$atomic>::from_ptr(place) };
                    place.compare_exchange(expected, new, SeqCst, SeqCst).unwrap_or_else(|found| found)
                }
                pub unsafe extern "C" fn swp(value: $word, place: *mut $word) -> $word {
                    // SAFETY: valid, aligned and accessed atomically: see above.
                    unsafe { <$atomic>::from_ptr(place) }.swap(value, SeqCst)
                }
                pub unsafe extern "C" fn ldadd(value: $word, place: *mut $word) -> $word {
                    // SAFETY: valid, aligned and accessed atomically: see above.
                    unsafe { <$atomic>::from_ptr(place) }.fetch_add(value, SeqCst)
                }
                pub unsafe extern "C" fn ldclr(value: $word, place: *mut $word) -> $word {
                    // SAFETY: valid, aligned and accessed atomically: see above.
                    unsafe { <$atomic>::from_ptr(place) }.fetch_and(!value, SeqCst)
                }
                pub unsafe extern "C" fn ldeor(value: $word, place: *mut $word) -> $word {
                    // SAFETY: valid, aligned and accessed atomically: see above.
                    unsafe { <$atomic>::from_ptr(place) }.fetch_xor(value, SeqCst)
                }
                pub unsafe extern "C" fn ldset(value: $word, place: *mut $word) -> $word {
                    // SAFETY: valid, aligned and accessed atomically: see above.
                    unsafe { <$atomic>::from_ptr(place) }.fetch_or(value, SeqCst)
                }
                pub fn find(operation: &[u8]) -> Option<*const c_void> {
                    let found = match operation {
                        b"cas" => cas as *const c_void,
                        b"swp" => swp as *const c_void,
                        b"ldadd" => ldadd as *const c_void,
                        b"ldclr" => ldclr as *const c_void,
                        b"ldeor" => ldeor as *const c_void,
                        b"ldset" => ldset as *const c_void,
                        _ => return None,
                    };
                    Some(found)
                }
            }
        )*};
    }

    sizes! {
        one u8, AtomicU8;
        two u16, AtomicU16;
        four u32, AtomicU32;
        eight u64, AtomicU64;
    }

    pub fn find(name: &[u8]) -> Option<*const c_void> {
        let rest = name.strip_prefix(b"__aarch64_")?;
        let orders: [&[u8]; 4] = [b"_relax", b"_acq_rel", b"_acq", b"_rel"];
        let (size, operation) = orders.iter().find_map(|order| rest.strip_suffix(*order))?.split_last()?;
        match size {
            b'1' => one::find(operation),
            b'2' => two::find(operation),
            b'4' => four::find(operation),
            b'8' => eight::find(operation),
            _ => None,
        }
    }
}
