//! Small variants of several targets, and files of them.
#![allow(missing_docs, dead_code)]

use std::sync::Arc;

use artifact::artifact::{Artifact, OpenOptions};
use artifact::builder::{Builder, FatBuilder};
use artifact::engine::Engine;
use artifact::error::{Error, Result, Status};
use artifact::trust::digest;

use super::elf::Shape;

pub const X86: &str = "x86_64-unknown-linux-gnu";
pub const ARM: &str = "aarch64-unknown-linux-gnu";
pub const V2: &str = "x86-64-v2";
pub const V3: &str = "x86-64-v3";
pub const V4: &str = "x86-64-v4";

pub fn engine(target: &str, cpu: &str) -> Engine {
    let mut engine = Engine::new();
    engine.set_target(target).unwrap();
    if !cpu.is_empty() {
        engine.set_cpu(cpu).unwrap();
    }
    engine
}

/// The content of a variant's module, by which it is recognized.
pub fn text(target: &str, cpu: &str) -> Vec<u8> {
    format!("{target} {cpu}").into_bytes()
}

pub fn artifact_for(engine: &Engine, text: &[u8]) -> Vec<u8> {
    let machine = if engine.target().starts_with("aarch64") { 183 } else { 62 };
    let image = Shape { machine, text: text.to_vec(), ..Shape::default() }.image();
    let mut builder = Builder::new(engine);
    builder.add_module(&image).unwrap();
    builder.serialize().unwrap()
}

pub fn variant(target: &str, cpu: &str) -> Vec<u8> {
    artifact_for(&engine(target, cpu), &text(target, cpu))
}

pub fn open(bytes: &[u8], engine: Option<&Engine>) -> Result<Artifact> {
    Artifact::open_bytes(bytes, engine, &OpenOptions::default())
}

pub fn opened(bytes: &[u8]) -> Arc<Artifact> {
    Arc::new(open(bytes, None).unwrap())
}

pub fn fat_of(variants: &[(Vec<u8>, i32)]) -> FatBuilder {
    let mut builder = FatBuilder::new();
    for (bytes, score) in variants {
        builder.add(opened(bytes), *score).unwrap();
    }
    builder
}

pub const FIVE: [(&str, &str); 5] = [(X86, V3), (X86, ""), (ARM, ""), (X86, V4), (X86, V2)];

pub fn five() -> FatBuilder {
    fat_of(&FIVE.map(|(target, cpu)| (variant(target, cpu), 0)))
}

/// Returns which code an opened artifact has.
pub fn text_of(artifact: &Artifact) -> String {
    let (_, bytes) = artifact.section_named(0, b".text").unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn chosen(bytes: &[u8], target: &str, cpu: &str) -> String {
    text_of(&open(bytes, Some(&engine(target, cpu))).unwrap())
}

pub fn error<T>(result: Result<T>) -> Error {
    result.err().expect("an error")
}

pub fn status<T>(result: Result<T>) -> Status {
    result.map_or_else(|error| error.status(), |_| Status::Ok)
}

pub fn options() -> OpenOptions<'static> {
    OpenOptions::default()
}

pub fn with<'s>(set: impl FnOnce(&mut OpenOptions<'s>)) -> OpenOptions<'s> {
    let mut options = OpenOptions::default();
    set(&mut options);
    options
}

/// Offset of the index, found as docs/format.md says.
pub fn index_of(file: &[u8]) -> usize {
    u64::from_le_bytes(file[file.len() - 96..][..8].try_into().unwrap()) as usize
}

/// Recomputes the digest of an index after a change of its bytes.
pub fn reseal(file: &mut [u8]) {
    let (start, end) = (index_of(file), file.len() - 96);
    let signatures = u32::from_le_bytes(file[end + 16..end + 20].try_into().unwrap()) as usize * 96;
    let found = digest::index(&file[start..end - signatures]);
    file[end + 56..end + 88].copy_from_slice(&found);
}
