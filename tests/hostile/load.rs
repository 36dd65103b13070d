//! Images with arbitrary contents are mapped, bound, registered with debuggers and searched for symbols, as far as they can be. None of
//! their code is called. Input: an ELF image or a part of one, whose machine is set to this host's.

use std::os::fd::AsFd;
use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::Status;
use artifact::native::load::{Import, LoadOptions, load};
use artifact::storage::sealed;

/// One input.
pub fn run(data: &[u8]) {
    let mut image = data.to_vec();
    if let Some(machine) = image.get_mut(18..20) {
        machine.copy_from_slice(if cfg!(target_arch = "aarch64") { &[183, 0] } else { &[62, 0] });
    }
    let engine = Engine::new();
    let mut builder = Builder::new(&engine);
    // Two of them have their unwind tables copied.
    for _ in 0..1 + data.len() % 2 {
        if builder.add_module(&image).is_err() {
            return;
        }
    }
    let Ok(bytes) = builder.serialize() else { return };
    // From a file, the only module of an artifact is mapped before its tables are read.
    let file = sealed(&[&bytes]).expect("a file");
    let artifact = Artifact::open_fd(file.as_fd(), Some(&engine), &OpenOptions::default());
    let artifact = Arc::new(artifact.expect("just written"));
    let somewhere = (&raw const engine).cast();
    let mut resolver = |missing: &mut [Import<'_>]| missing.iter_mut().for_each(|import| import.address = somewhere);
    let options =
        LoadOptions { resolver: Some(&mut resolver), gdb: data.len().is_multiple_of(3), ..LoadOptions::default() };
    // SAFETY: the image isn't trusted, but none of its code runs: no constructors, no calls, and the handle of a module that
    // registered no destructors. No exception is thrown. The sealed file doesn't change.
    let code = match unsafe { load(artifact, &engine, options) } {
        Ok(code) => code,
        Err(error) => {
            assert!(![Status::Internal, Status::Io, Status::Unresolved].contains(&error.status()), "{error}");
            return;
        }
    };
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
