//! Another static library in Rust, with its own copy of the runtime.

use std::panic::catch_unwind;

/// Panics and catches it, so that the unwinders of both libraries run in one program.
#[unsafe(no_mangle)]
pub extern "C" fn other_survives() -> bool {
    std::panic::set_hook(Box::new(|_| ()));
    let numbers = std::hint::black_box(vec![1, 2, 3]);
    catch_unwind(|| numbers[std::hint::black_box(3)]).is_err()
}
