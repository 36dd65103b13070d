//! A gate in front of Wasmtime: compiled modules (`.cwasm`) are signed where they are built, and run only if a trusted key has signed them
//! and this CPU can run them. `Module::deserialize` itself trusts whatever it gets.
//!
//!     wasmtime-gate sign FILE KEY.pem SIGNATURE       where modules are built
//!     wasmtime-gate run FILE SIGNATURE PUBLIC.pem     where they run
//!
//! The file is read once: what was checked is what runs.

use std::fs;

use artifact::cwasm::{self, Cwasm};
use artifact::engine::Engine;
use artifact::error::{Error, Result, Status};
use artifact::trust::keys::{PrivateKey, PublicKey};

fn read(path: &str) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::new(Status::Io, format!("{path}: {error}")))
}

fn pem(path: &str) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|_| Error::new(Status::InvalidArgument, format!("{path}: expected PEM")))
}

/// Signs a compiled module.
fn sign(file: &str, key: &str, signature: &str) -> Result<()> {
    let bytes = read(file)?;
    cwasm::verify(&bytes)?; // nothing damaged gets a signature
    let made = PrivateKey::from_pem(&pem(key)?)?.sign(&cwasm::file_record(&bytes)?);
    let bytes = [&made.key[..], &made.bytes].concat();
    fs::write(signature, bytes).map_err(|error| Error::new(Status::Io, format!("{signature}: {error}")))
}

/// Returns the bytes of a module that a trusted key has signed and that this CPU can run.
fn trusted(file: &str, signature: &str, key: &str) -> Result<Vec<u8>> {
    let bytes = read(file)?;
    let key = PublicKey::from_pem(&pem(key)?)?;
    cwasm::signer(&bytes, &[key], &read(signature)?)?; // before anything in it is looked at
    let Some(module) = Cwasm::parse(&bytes)? else {
        return Err(Error::new(Status::NotAnArtifact, format!("{file}: expected a module of Wasmtime")));
    };
    match module.report(&Engine::host())?.findings.first() {
        Some(mismatch) => Err(Error::new(Status::Incompatible, mismatch.sentence.clone())),
        None => Ok(bytes),
    }
}

#[cfg(feature = "runtime")]
fn run(bytes: &[u8]) -> Result<()> {
    let failed = |error: wasmtime::Error| Error::new(Status::Internal, error.to_string());
    let engine = wasmtime::Engine::default();
    // SAFETY: a key that is trusted has signed these very bytes, so they are what Wasmtime compiled.
    let module = unsafe { wasmtime::Module::deserialize(&engine, bytes) }.map_err(failed)?;
    let mut store = wasmtime::Store::new(&engine, ());
    let instance = wasmtime::Instance::new(&mut store, &module, &[]).map_err(failed)?;
    let main = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add").map_err(failed)?;
    println!("add(40, 2) = {}", main.call(&mut store, (40, 2)).map_err(failed)?);
    Ok(())
}

#[cfg(not(feature = "runtime"))]
fn run(bytes: &[u8]) -> Result<()> {
    println!("trusted, and fits this CPU: {} bytes", bytes.len());
    Ok(())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["sign", file, key, signature] => sign(file, key, signature),
        ["run", file, signature, key] => trusted(file, signature, key).and_then(|bytes| run(&bytes)),
        #[cfg(feature = "runtime")]
        ["compile", wasm, out] => compile(wasm, out),
        _ => Err(Error::new(Status::InvalidArgument, "usage: wasmtime-gate sign|run …")),
    };
    if let Err(error) = done {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

/// Compiles a module of Wasm, for the test with a real Wasmtime.
#[cfg(feature = "runtime")]
fn compile(wasm: &str, out: &str) -> Result<()> {
    let failed = |error: wasmtime::Error| Error::new(Status::Internal, error.to_string());
    let bytes = read(wasm)?;
    let module = wasmtime::Module::new(&wasmtime::Engine::default(), bytes).map_err(failed)?;
    let compiled = module.serialize().map_err(failed)?;
    fs::write(out, compiled).map_err(|error| Error::new(Status::Io, error.to_string()))
}
