//! Another library made by Rust, with a runtime of its own.

use std::panic::catch_unwind;

/// Panics and survives it: both libraries' unwinders are at work in one program.
#[unsafe(no_mangle)]
pub extern "C" fn other_survives() -> bool {
    std::panic::set_hook(Box::new(|_| ()));
    let numbers = std::hint::black_box(vec![1, 2, 3]);
    catch_unwind(|| numbers[std::hint::black_box(3)]).is_err()
}
