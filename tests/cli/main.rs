//! The command line as programs meet it: the built binary on genuine artifacts, its output and its exit status. One module
//! per command.
#![cfg(feature = "cli")]

mod check;
mod inspect;
mod json;
mod rewrite;
mod streams;
mod support;
mod verify;
