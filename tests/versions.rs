//! Symbols that have versions: in the system's libraries, what a module exports is what `dlsym` finds.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;

use artifact::format::module::Module;
use artifact::native::image::{Bytes, Image, parse};

/// `Dl_info` of <dlfcn.h>.
#[repr(C)]
struct Place {
    file: *const c_char,
    base: *const c_void,
    name: *const c_char,
    address: *const c_void,
}

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dladdr(address: *const c_void, place: *mut Place) -> c_int;
}

const RTLD_NOW: c_int = 2;
const MACHINE: u16 = if cfg!(target_arch = "x86_64") { 62 } else { 183 };
const STT_GNU_IFUNC: u8 = 10;

/// Compares all names of a library. Returns how many it has, and how many of them only have versions that `dlsym` doesn't find; `None`
/// if it isn't installed, or is none that can be loaded.
fn compare(path: &Path) -> Option<(usize, usize)> {
    let bytes = std::fs::read(path).ok()?;
    let tables = parse(&bytes, MACHINE, 4096).ok()?;
    let image = Image { bytes: Bytes::whole(&bytes), tables: &tables };
    let symbols = Module::parse(&bytes).ok()?.symbols().ok()?;
    let symbols: Vec<_> = (1..symbols.count()).map(|index| symbols.get(index).unwrap()).collect();
    let names: BTreeSet<&[u8]> =
        symbols.iter().filter(|symbol| symbol.section != 0).map(|symbol| symbol.name).collect();
    let file = CString::new(path.to_str()?).ok()?;
    // SAFETY: a library of the system.
    let handle = unsafe { dlopen(file.as_ptr(), RTLD_NOW) };
    assert!(!handle.is_null(), "{}", path.display());
    let mut hidden = 0;
    let mut base = None;
    for name in &names {
        let text = CString::new(*name).ok()?;
        // SAFETY: an open library and a NUL-terminated name.
        let address = Some(unsafe { dlsym(handle, text.as_ptr()) }).filter(|address| is_in(*address, path));
        let found = image.export(name).unwrap();
        if found.is_some_and(|found| found.absolute) {
            continue; // the names of versions, whose value is 0
        }
        assert_eq!(found.is_some(), address.is_some(), "{}: {text:?}", path.display());
        let (Some(found), Some(address)) = (found, address) else {
            hidden += 1;
            continue;
        };
        if found.kind.0 != STT_GNU_IFUNC {
            let expected = *base.get_or_insert((address as u64).wrapping_sub(found.value));
            assert_eq!((address as u64).wrapping_sub(found.value), expected, "{}: {text:?}", path.display());
        }
    }
    Some((names.len(), hidden))
}

/// Whether an address is in a library, rather than in one that it depends on.
fn is_in(address: *mut c_void, path: &Path) -> bool {
    let null: *const c_void = std::ptr::null();
    let mut place = Place { file: null.cast(), base: null, name: null.cast(), address: null };
    // SAFETY: `dladdr` takes any address.
    if address.is_null() || unsafe { dladdr(address, &raw mut place) } == 0 {
        return false;
    }
    // SAFETY: `dladdr` has set a NUL-terminated name, which stays as long as the library.
    let file = unsafe { CStr::from_ptr(place.file) };
    Path::new(file.to_str().unwrap()).file_name() == path.file_name()
}

#[test]
#[cfg(target_env = "gnu")]
fn exports_of_the_systems_libraries_are_those_of_dlsym() {
    let folders =
        ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64"];
    let names =
        ["libm.so.6", "libgcc_s.so.1", "libz.so.1", "libresolv.so.2", "librt.so.1", "libdl.so.2", "libelf.so.1"];
    let (mut all, mut all_hidden) = (0, 0);
    for name in names {
        let found = folders.iter().find_map(|folder| compare(&Path::new(folder).join(name)));
        let (count, hidden) = found.unwrap_or_default();
        println!("{name}: {count} names, {hidden} of them hidden");
        (all, all_hidden) = (all + count, all_hidden + hidden);
    }
    assert!(all > 500 && all_hidden > 10, "{all} names, {all_hidden} of them hidden");
}
