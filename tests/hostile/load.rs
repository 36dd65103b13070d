//! Images with arbitrary contents are mapped, bound, registered with debuggers and searched for symbols, as far as they can be. None of
//! their code is called, and the host's exceptions don't notice them. Input: an ELF image or a part of one, whose machine is set to this host's.

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::{Result, Status};
use artifact::native::load::{Code, Import, LoadOptions, load};
use artifact::storage::sealed;

unsafe extern "C" {
    /// libgcc's: it reads the unwind tables of all code in the process, as throwing an exception does. `bases` has three words, and
    /// the function's address is the last one.
    fn _Unwind_Find_FDE(pc: *const c_void, bases: *mut [usize; 3]) -> *const c_void;
}

/// The function that libgcc finds at an address.
fn found_by_unwinder(pc: usize) -> usize {
    let mut bases = [0; 3];
    // SAFETY: `bases` is valid for writing. That the tables can be read is what is tested.
    let found = unsafe { _Unwind_Find_FDE(pc as *const c_void, &raw mut bases) };
    if found.is_null() { 0 } else { bases[2] }
}

/// Loads an input, and checks that whatever is loaded doesn't matter to an exception of the host.
pub fn run(data: &[u8]) {
    let mut image = data.to_vec();
    if let Some(machine) = image.get_mut(18..20) {
        machine.copy_from_slice(if cfg!(target_arch = "aarch64") { &[183, 0] } else { &[62, 0] });
    }
    // Two of them have their unwind tables copied.
    let Some(artifact) = stored(&image, 1 + data.len() % 2) else { return };
    let verified = artifact.verify();
    let outside =
        [run as fn(&[u8]) as usize + 1, (&raw const SOMEWHERE) as usize, data.as_ptr() as usize, 4096, usize::MAX];
    let expected = outside.map(found_by_unwinder);
    let code = match loaded(artifact, data.len().is_multiple_of(3)) {
        Ok(code) => code,
        Err(error) => {
            assert!(![Status::Internal, Status::Io, Status::Unresolved].contains(&error.status()), "{error}");
            let is_damage = [Status::Corrupt, Status::Truncated].contains(&error.status());
            assert!(!is_damage || verified.is_err(), "only loading calls it damaged: {error}");
            return;
        }
    };
    assert_eq!(outside.map(found_by_unwinder), expected, "functions of the process are found elsewhere");
    for module in 0..=code.module_count() {
        for name in [&b"answer"[..], b"total", b"_wasm_function_0", b"", b"none", b"\xff"] {
            let Some(place) = code.symbol(module, name) else { continue };
            for address in [place.address, place.address.wrapping_add(1), place.address.wrapping_add(1 << 12)] {
                let inside = code.symbolize(address);
                assert!(inside.is_none_or(|inside| inside.module < code.module_count()));
            }
        }
    }
}

/// Stores `count` modules with the same image in an artifact, and opens it. None if that image can't be stored.
pub fn stored(image: &[u8], count: usize) -> Option<Arc<Artifact>> {
    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    for _ in 0..count {
        builder.add_module(image).ok()?;
    }
    let bytes = builder.serialize().ok()?;
    // From a file, the only module of an artifact is mapped before its tables are read.
    let file = sealed(&[&bytes]).expect("a file");
    let artifact = Artifact::open_fd(file.as_fd(), Some(&engine), &OpenOptions::default());
    Some(Arc::new(artifact.expect("just written")))
}

/// Loads an artifact, with every undefined symbol at [`SOMEWHERE`].
pub fn loaded(artifact: Arc<Artifact>, gdb: bool) -> Result<Code> {
    let somewhere = (&raw const SOMEWHERE).cast();
    let mut resolver = |missing: &mut [Import<'_>]| {
        missing.iter_mut().for_each(|import| import.address = somewhere);
        Ok(())
    };
    let mut options = LoadOptions::default();
    options.resolver = Some(&mut resolver);
    options.gdb = gdb;
    options.skip_constructors = true;
    // SAFETY: the image isn't trusted, but none of its code runs: no constructors, no calls, and the handle of a module that
    // registered no destructors. The sealed file doesn't change.
    unsafe { load(artifact, &Engine::new(), options) }
}

/// What undefined symbols are resolved to.
pub static SOMEWHERE: u64 = 0;

/// Checks that an image from the linker can be loaded here, if it is for this machine.
pub fn linked(image: &[u8]) {
    let machine = if cfg!(target_arch = "aarch64") { [183, 0] } else { [62, 0] };
    if image.get(18..20) != Some(&machine) {
        return;
    }
    for count in [1, 2] {
        if let Err(error) = loaded(stored(image, count).expect("an image that can be stored"), false) {
            let here = [Status::Limit, Status::Unsupported, Status::NoMemory];
            // `SOMEWHERE` is no thread-local variable.
            let is_variable = error.message().contains("expected a thread-local variable");
            assert!(is_variable || here.contains(&error.status()), "the loader refuses what the linker made: {error}");
        }
    }
}
