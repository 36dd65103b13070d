//! The type tables and upvars as `inspect` tells people about them.

use std::borrow::Cow;
use std::io::{self, Write};

use artifact::error::quote;
use artifact::format::Map;
use artifact::format::types::{EntityType, FuncType, Global, GlobalInit, Memory, Table, Tag, Types, WasmType};
use artifact::format::upvars::Upvars;

use crate::output::Console;
use crate::summary::Bytes;

pub fn tables(out: &mut Console, types: &Types<&str>) -> io::Result<()> {
    let Types { wasm_signatures, module_signatures, instance_signatures } = types;
    if wasm_signatures.is_empty() && module_signatures.is_empty() && instance_signatures.is_empty() {
        return out.heading("types: none");
    }
    out.heading("types:")?;
    for (index, FuncType { params, returns, .. }) in wasm_signatures.iter().enumerate() {
        writeln!(out, "  function {index}: {} -> {}", values(params), values(returns))?;
    }
    for (index, module) in module_signatures.iter().enumerate() {
        writeln!(out, "  module {index}: exports as instance {}", module.exports)?;
        entities(out, "import", &module.imports)?;
    }
    for (index, instance) in instance_signatures.iter().enumerate() {
        writeln!(out, "  instance {index}: {} exports", instance.exports.0.len())?;
        entities(out, "export", &instance.exports)?;
    }
    Ok(())
}

fn entities(out: &mut Console, what: &str, map: &Map<&str, EntityType>) -> io::Result<()> {
    for (name, entity) in &map.0 {
        writeln!(out, "    {what} \"{}\": {}", quote(name.as_bytes()), describe(entity))?;
    }
    Ok(())
}

fn describe(entity: &EntityType) -> String {
    match *entity {
        EntityType::Function(ty) => format!("function of type {ty}"),
        EntityType::Instance(ty) => format!("instance of type {ty}"),
        EntityType::Module(ty) => format!("module of type {ty}"),
        EntityType::Tag(Tag { ty }) => format!("tag of function type {ty}"),
        EntityType::Memory(Memory { minimum, maximum, shared, memory64 }) => {
            let most = maximum.map(|maximum| format!(" to {}", pages(maximum))).unwrap_or_default();
            let shared = if shared { ", shared" } else { "" };
            let wide = if memory64 { ", 64-bit" } else { "" };
            format!("memory of {}{most}{shared}{wide}", pages(minimum))
        }
        EntityType::Table(Table { wasm_ty, minimum, maximum }) => {
            let most = maximum.map(|maximum| format!(" to {maximum}")).unwrap_or_default();
            format!("table of {minimum}{most} {}", value(wasm_ty))
        }
        EntityType::Global(Global { wasm_ty, mutability, initializer }) => {
            let mutable = if mutability { "mutable " } else { "" };
            format!("{mutable}global {}, {}", value(wasm_ty), start(initializer))
        }
    }
}

fn start(initializer: GlobalInit) -> Cow<'static, str> {
    match initializer {
        GlobalInit::I32Const(number) => format!("starts as {number}").into(),
        GlobalInit::I64Const(number) => format!("starts as {number}").into(),
        GlobalInit::F32Const(bits) => format!("starts as {}", f32::from_bits(bits)).into(),
        GlobalInit::F64Const(bits) => format!("starts as {}", f64::from_bits(bits)).into(),
        GlobalInit::V128Const(bits) => format!("starts as {:#034x}", u128::from(bits)).into(),
        GlobalInit::GetGlobal(index) => format!("starts as global {index}").into(),
        GlobalInit::RefFunc(index) => format!("starts as function {index}").into(),
        GlobalInit::RefNullConst => "starts as null".into(),
        GlobalInit::Import => "imported".into(),
    }
}

fn values(types: &[WasmType]) -> String {
    let names: Vec<&str> = types.iter().copied().map(value).collect();
    format!("({})", names.join(", "))
}

fn value(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 => "i32",
        WasmType::I64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
        WasmType::V128 => "v128",
        WasmType::FuncRef => "funcref",
        WasmType::ExternRef => "externref",
        WasmType::ExnRef => "exnref",
    }
}

/// A number of Wasm pages, and what they come to.
pub fn pages(count: u64) -> String {
    const PAGE: u64 = 64 << 10;
    let unit = if count == 1 { "page" } else { "pages" };
    match count.checked_mul(PAGE) {
        Some(bytes) if count > 0 => format!("{count} {unit}, {}", Bytes(bytes)),
        _ => format!("{count} {unit}"),
    }
}

pub fn upvars(out: &mut Console, upvars: &Upvars) -> io::Result<()> {
    if upvars.nodes().is_empty() {
        return out.heading("upvars: none");
    }
    out.heading("upvars:")?;
    for (index, node) in upvars.nodes().iter().enumerate() {
        let inside = node.parent.map(|parent| format!(" inside upvar {parent}")).unwrap_or_default();
        let passed: Vec<String> = upvars.artifact_upvars(node).iter().map(u64::to_string).collect();
        let passed = if passed.is_empty() { "none".to_owned() } else { passed.join(", ") };
        writeln!(out, "  upvar {index}{inside}: module {}, passes on modules {passed}", node.module)?;
    }
    Ok(())
}
