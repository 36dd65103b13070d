//! PT_GNU_RELRO: the pages that become read-only are those that the dynamic linker makes read-only.
mod native;

use std::ffi::{CString, c_char, c_int, c_void};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::native::load::{LoadOptions, load};
use artifact::storage::Sync;

use native::{compile_text, folder, have, link_to, run};

/// With two pages of data that is relocated, and three that is written.
const TEXT: &str = "extern const void *const pointers[2048]; char room[3 * 4096] = {1}; long zero[64];
    const void *const pointers[2048] = {room, &pointers, [2047] = room};
    long get(void) { return room[0] + zero[0] + (pointers[2047] != room); }";

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const PT_GNU_STACK: u32 = 0x6474_e551;
const PT_GNU_RELRO: u32 = 0x6474_e552;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn dlclose(handle: *mut c_void) -> c_int;
}

fn number<const N: usize>(image: &[u8], at: usize) -> [u8; N] {
    *image[at..].first_chunk().unwrap()
}

fn word(image: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(number(image, at))
}

/// The offsets of the program headers of a type.
fn headers(image: &[u8], kind: u32) -> Vec<usize> {
    let (start, count) = (word(image, 32) as usize, u16::from_le_bytes(number(image, 56)) as usize);
    let offsets = (0..count).map(|index| start + 56 * index);
    offsets.filter(|at| u32::from_le_bytes(number(image, *at)) == kind).collect()
}

fn set_relro(image: &mut [u8], header: usize, address: u64, len: u64) {
    image[header..header + 4].copy_from_slice(&PT_GNU_RELRO.to_le_bytes());
    image[header + 16..header + 24].copy_from_slice(&address.to_le_bytes());
    image[header + 40..header + 48].copy_from_slice(&len.to_le_bytes());
}

/// The addresses and ends of the writable segments.
fn writable_segments(image: &[u8]) -> Vec<(u64, u64)> {
    let writable = |at: &usize| image[*at + 4] & 2 != 0;
    let segments = headers(image, PT_LOAD).into_iter().filter(writable);
    segments.map(|at| (word(image, at + 16), word(image, at + 16) + word(image, at + 40))).collect()
}

/// Which pages of the writable segments can be written, in an image whose address 0 is at `bias`.
fn writable_pages(image: &[u8], bias: u64) -> Vec<(u64, bool)> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let is_writable = |address: u64| {
        maps.lines().any(|line| {
            let (range, rights) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16).unwrap());
            (start..end).contains(&address) && rights.as_bytes()[1] == b'w'
        })
    };
    let pages = writable_segments(image).into_iter().flat_map(|(start, end)| start / 4096..end.div_ceil(4096));
    pages.map(|page| (page * 4096, is_writable(bias + page * 4096))).collect()
}

/// The pages, as the dynamic linker leaves them, unless it refuses the image.
fn dynamic_linker(path: &Path, image: &[u8], get: u64) -> Option<Vec<(u64, bool)>> {
    let path = CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the image's code is the text above, which has no constructors.
    unsafe {
        let handle = dlopen(path.as_ptr(), 2);
        if handle.is_null() {
            return None;
        }
        let found = dlsym(handle, c"get".as_ptr());
        let pages = writable_pages(image, (found as u64).wrapping_sub(get));
        dlclose(handle);
        Some(pages)
    }
}

fn loader(artifact: Artifact, image: &[u8], get: u64) -> artifact::error::Result<Vec<(u64, bool)>> {
    // SAFETY: as above, and the file isn't changed.
    let code = unsafe { load(Arc::new(artifact), &Engine::new(), LoadOptions::default()) }?;
    let found = code.symbol(0, b"get").unwrap().address as u64;
    // SAFETY: `get` takes no arguments and returns a long.
    assert_eq!(unsafe { code.call(0, b"get", &[]) }.unwrap(), 1);
    Ok(writable_pages(image, found.wrapping_sub(get)))
}

fn compare(name: &str, image: &[u8], folder: &Path) -> bool {
    let (path, file) = (folder.join(format!("{name}.so")), folder.join(format!("{name}.artifact")));
    fs::write(&path, image).unwrap();
    let module = artifact::format::module::Module::parse(image).unwrap();
    let get = module.symbols().unwrap().named(b"get").unwrap().value;
    let mut builder = Builder::new(&Engine::new());
    builder.add_module(image).unwrap();
    builder.serialize_to_file(&file, Sync::No).unwrap();
    let Some(expected) = dynamic_linker(&path, image, get) else { return false };
    let options = OpenOptions::default();
    let from_file = loader(Artifact::open(&file, None, &options).unwrap(), image, get);
    let bytes = fs::read(&file).unwrap();
    let from_memory = loader(Artifact::open_bytes(&bytes, None, &options).unwrap(), image, get);
    for (way, found) in [("file", from_file), ("memory", from_memory)] {
        let found = found.unwrap_or_else(|error| panic!("{name}, from {way}: {error}"));
        assert_eq!(found, expected, "{name}, from {way}");
    }
    true
}

/// Images of one linker, with RELRO in every place where the dynamic linker takes it.
fn compare_all(linker: &str, image: &[u8], folder: &Path) {
    let relro = headers(image, PT_GNU_RELRO)[0];
    let (address, len) = (word(image, relro + 16), word(image, relro + 40));
    let data = writable_segments(image);
    let (first, last) = (data[0].0, data[data.len() - 1].1);
    let up = |value: u64| value.div_ceil(4096) * 4096;
    let places = [
        ("as-linked", address, len),
        ("empty", address, 0),
        ("under-a-page", address, 1),
        ("to-the-next-page", address, up(address + len) - address),
        ("one-page-more", address, up(address + len) + 4096 - address),
        ("in-the-middle", up(first) + 4096, 4096),
        ("unaligned", first + 5000, 9000),
        ("the-end", up(last) - 4096, 4096),
        ("everything-written", first, up(last) - first),
        ("beyond-the-end", first, up(last) + 4096 - first),
        ("far-away", 1 << 40, 4096),
        ("overflowing", address, u64::MAX - 5),
        ("before-the-data", first / 4096 * 4096 - 4096, 8192),
    ];
    let mut loaded = 0;
    for (name, address, len) in places {
        let mut changed = image.to_vec();
        set_relro(&mut changed, relro, address, len);
        loaded += usize::from(compare(&format!("{linker}-{name}"), &changed, folder));
    }
    assert!(loaded >= 9, "{linker}: the dynamic linker took {loaded}");
    // Of several the last one counts.
    for kind in [PT_NOTE, PT_GNU_STACK] {
        for other in headers(image, kind).into_iter().take(1) {
            let mut changed = image.to_vec();
            set_relro(&mut changed, other, first, 4096);
            compare(&format!("{linker}-two-{kind}"), &changed, folder);
            set_relro(&mut changed, other, up(last) - 4096, 4096);
            compare(&format!("{linker}-two-apart-{kind}"), &changed, folder);
        }
    }
}

#[test]
fn the_pages_that_the_dynamic_linker_protects_are_protected() {
    if !cfg!(target_arch = "x86_64") || !have("cc") {
        return; // pages of 4 KiB
    }
    let folder = folder("relro");
    let object = compile_text("cc", &["-O1", "-fPIC"], "c", TEXT, &folder.join("data.o"));
    compare_all("ours", &link_to(&[&object], &folder.join("ours.so")), &folder);
    for (linker, program) in
        [("bfd", "ld.bfd"), ("gold", "ld.gold"), ("lld", "ld.lld"), ("lld-14", "ld.lld-14"), ("mold", "mold")]
    {
        if !have(program) {
            continue;
        }
        let image = folder.join(format!("{linker}.so"));
        run(Command::new(program).args(["-shared", "-z", "relro"]).arg(&object).arg("-o").arg(&image));
        compare_all(linker, &fs::read(&image).unwrap(), &folder);
    }
}
