//! Machine code. `machine` has everything that differs by machine. `link` makes one shared object of compiled objects when an artifact is written. `image` is the checked view of a
//! shared object that the loader maps, `eh_frame` of its unwind tables; all of these are pure. `load` turns images into running
//! code.

mod eh_frame;
// For tests of this repository.
#[doc(hidden)]
pub mod image;
pub mod link;
pub mod load;
mod machine;
mod wasmtime;
