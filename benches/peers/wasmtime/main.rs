//! The peers `wasmtime-0.33` and `wasmtime`: `make FOLDER` compiles modules of 1, 200 and 5,000 functions into FOLDER; `run FOLDER
//! FUNCTIONS ROUNDS` prints how long it takes from a compiled file to its first call, in nanoseconds, a line for each round.
//!
//! `Module::deserialize_file` is what Wasmtime's documentation recommends for code that was compiled before: the file is mapped. It trusts
//! the file, so there is nothing to verify.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wasmtime::{Engine, Instance, Module, Store};

const MODULES: [usize; 3] = [1, 200, 5000];

/// The functions of benches/native.cmake as Wasm: each multiplies and adds, and one calls the others through a table.
fn wasm(functions: usize) -> Vec<u8> {
    let mut out = b"\0asm\x01\0\0\0".to_vec();
    let section = |out: &mut Vec<u8>, id: u8, content: &[u8]| {
        out.push(id);
        unsigned(out, content.len());
        out.extend_from_slice(content);
    };
    section(&mut out, 1, &[1, 0x60, 1, 0x7f, 1, 0x7f]);
    let mut types = Vec::new();
    unsigned(&mut types, functions + 1);
    types.resize(types.len() + functions + 1, 0);
    section(&mut out, 3, &types);
    let mut table = vec![1, 0x70, 0];
    unsigned(&mut table, functions);
    section(&mut out, 4, &table);
    let mut export = vec![1, 9];
    export.extend_from_slice(b"call_many");
    export.push(0);
    unsigned(&mut export, functions);
    section(&mut out, 7, &export);
    let mut elements = vec![1, 0, 0x41, 0, 0x0b];
    unsigned(&mut elements, functions);
    (0..functions).for_each(|function| unsigned(&mut elements, function));
    section(&mut out, 9, &elements);
    let mut code = Vec::new();
    unsigned(&mut code, functions + 1);
    let mut body = |bytes: &[u8]| {
        unsigned(&mut code, bytes.len());
        code.extend_from_slice(bytes);
    };
    for function in 0..functions {
        let mut bytes = vec![0, 0x20, 0, 0x41]; // local.get 0, i32.const
        signed(&mut bytes, function);
        bytes.extend_from_slice(&[0x6c, 0x41, 3, 0x6a, 0x0b]); // i32.mul, i32.const 3, i32.add
        body(&bytes);
    }
    let mut bytes = vec![0, 0x20, 0, 0x20, 0, 0x41]; // local.get 0, local.get 0, i32.const
    signed(&mut bytes, functions);
    bytes.extend_from_slice(&[0x6f, 0x11, 0, 0, 0x0b]); // i32.rem_s, call_indirect
    body(&bytes);
    section(&mut out, 10, &code);
    out
}

fn unsigned(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn signed(out: &mut Vec<u8>, mut value: usize) {
    while value > 0x3f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn file(folder: &Path, functions: usize) -> PathBuf {
    folder.join(format!("{}-{functions}", env!("CARGO_PKG_NAME")))
}

fn call(engine: &Engine, path: &Path, functions: usize) {
    // SAFETY: this program wrote the file.
    let module = unsafe { Module::deserialize_file(engine, path) }.unwrap();
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let function = instance.get_func(&mut store, "call_many").unwrap().typed(&store).unwrap();
    let result: i32 = function.call(&mut store, 7).unwrap();
    assert_eq!(result, 7 * (7 % functions as i32) + 3);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| arguments[at].parse::<usize>().unwrap();
    let folder = Path::new(&arguments[1]);
    if arguments[0] == "make" {
        for functions in MODULES {
            let compiled = Module::new(&Engine::default(), wasm(functions)).unwrap().serialize().unwrap();
            std::fs::write(file(folder, functions), compiled).unwrap();
        }
        return;
    }
    let (functions, rounds) = (number(2), number(3));
    let path = file(folder, functions);
    let mut text = String::new();
    let mut start = Instant::now();
    let engine = Engine::default();
    for _ in 0..rounds {
        call(&engine, &path, functions);
        writeln!(text, "{}", start.elapsed().as_nanos()).unwrap();
        start = Instant::now();
    }
    print!("{text}");
}
