//! Looks symbols up in the process, as the dynamic linker would have bound them.

use std::ffi::{CStr, c_void};

/// The address of a symbol in the process. With a version it is that version of the symbol, wherever it is defined, hidden ones
/// included; or else, as for a symbol without a version, what `dlsym` finds.
///
/// An object that defines no versions can replace a symbol of another one that does, such as an allocator that replaces libc's: if
/// `dlsym` finds such a symbol first, this is it. Dynamic linkers bind it, too, but `dlvsym` passes it over.
pub fn find(name: &CStr, version: Option<&CStr>) -> Option<*const c_void> {
    // SAFETY: `dlsym` reads the NUL-terminated name during the call and keeps nothing of it.
    let default = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    let versioned = version.map_or(std::ptr::null_mut(), |version| of_version(name, version));
    let found = match () {
        () if versioned.is_null() || versioned == default => default,
        () if !default.is_null() && !defines_versions(default) => default,
        () => versioned,
    };
    (!found.is_null()).then_some(found.cast_const())
}

#[cfg(target_env = "gnu")]
fn of_version(name: &CStr, version: &CStr) -> *mut c_void {
    // SAFETY: `dlvsym` reads the NUL-terminated texts during the call and keeps nothing of them.
    unsafe { libc::dlvsym(libc::RTLD_DEFAULT, name.as_ptr(), version.as_ptr()) }
}

#[cfg(not(target_env = "gnu"))]
fn of_version(_: &CStr, _: &CStr) -> *mut c_void {
    std::ptr::null_mut()
}

/// Whether the object that an address is in defines versions.
#[cfg(target_env = "gnu")]
fn defines_versions(address: *const c_void) -> bool {
    use std::mem::MaybeUninit;
    use std::ptr::null_mut;

    use object::elf::{DT_NULL, DT_VERDEF};

    /// How `struct link_map` of <link.h> begins.
    #[repr(C)]
    struct LinkMap {
        _address_and_name: [usize; 2],
        dynamic: *const [isize; 2],
    }
    const RTLD_DL_LINKMAP: libc::c_int = 2;

    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    let mut map: *mut LinkMap = null_mut();
    // SAFETY: both can be written, and with this flag the second one gets a `struct link_map *`.
    let found = unsafe { libc::dladdr1(address, info.as_mut_ptr(), (&raw mut map).cast(), RTLD_DL_LINKMAP) };
    if found == 0 || map.is_null() {
        return false;
    }
    // SAFETY: an object that a symbol has just been found in. It stays loaded: the caller of `load` promises that what modules are
    // bound to does. Its dynamic section ends with DT_NULL.
    unsafe {
        let mut entry = (*map).dynamic;
        while let Some([tag, _]) = entry.as_ref().filter(|[tag, _]| *tag as i64 != DT_NULL.0) {
            if *tag as i64 == DT_VERDEF.0 {
                return true;
            }
            entry = entry.add(1);
        }
    }
    false
}

#[cfg(not(target_env = "gnu"))]
fn defines_versions(_: *const c_void) -> bool {
    false
}
