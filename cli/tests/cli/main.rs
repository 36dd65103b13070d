//! The command line as programs meet it: the built binary on genuine artifacts, its output and its exit status. One module
//! per command.

mod check;
#[path = "../../../tests/common/elf.rs"]
mod elf;
mod inspect;
mod json;
mod keys;
mod manual;
mod pack;
mod readme;
mod rewrite;
mod run;
mod streams;
mod support;
mod terminal;
mod verify;
