//! Machine code. `link` links compiled objects into a shared object when an artifact is written. `image` is a checked view of a shared
//! object, and `eh_frame` of its unwind table. `machine` has everything that differs by machine. `verify` checks what loading checks. All
//! of these are pure: `load` uses them to map modules and make them callable.

mod eh_frame;
// For tests of this repository.
#[doc(hidden)]
pub mod image;
pub mod link;
pub mod load;
mod machine;
pub(crate) mod verify;
mod wasmtime;
