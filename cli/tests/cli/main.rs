//! Runs the built program on genuine artifacts and checks its output and exit status. Most commands have a module of their
//! own.

mod cache;
mod check;
mod cpu;
mod cpu_names;
mod cwasm;
#[path = "../../../tests/common/elf.rs"]
mod elf;
mod extract;
mod fat;
mod inspect;
mod json;
mod keys;
mod manual;
mod pack;
mod packs;
mod readme;
mod rewrite;
mod run;
mod streams;
mod support;
mod terminal;
mod verify;
