//! Formats the type tables and upvars for `inspect`.

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
        writeln!(out, "  function {index}: {} -> {}", type_list(params), type_list(returns))?;
    }
    for (index, module) in module_signatures.iter().enumerate() {
        writeln!(out, "  module {index}: exports instance type {}", module.exports)?;
        entities(out, "import", &module.imports)?;
    }
    for (index, instance) in instance_signatures.iter().enumerate() {
        let count = instance.exports.0.len();
        writeln!(out, "  instance {index}: {count} {}", if count == 1 { "export" } else { "exports" })?;
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
            let maximum = maximum.map(|pages| format!(", maximum {}", page_count(pages))).unwrap_or_default();
            let shared = if shared { ", shared" } else { "" };
            let wide = if memory64 { ", 64-bit" } else { "" };
            format!("memory, minimum {}{maximum}{shared}{wide}", page_count(minimum))
        }
        EntityType::Table(Table { wasm_ty, minimum, maximum }) => {
            let maximum = maximum.map(|maximum| format!(", maximum {maximum}")).unwrap_or_default();
            format!("table of {}, minimum {minimum}{maximum}", type_name(wasm_ty))
        }
        EntityType::Global(Global { wasm_ty, mutability, initializer }) => {
            let mutable = if mutability { "mutable " } else { "" };
            format!("{mutable}global {}, {}", type_name(wasm_ty), describe_initializer(initializer))
        }
    }
}

fn describe_initializer(initializer: GlobalInit) -> Cow<'static, str> {
    match initializer {
        GlobalInit::I32Const(number) => format!("initialized to {number}").into(),
        GlobalInit::I64Const(number) => format!("initialized to {number}").into(),
        GlobalInit::F32Const(bits) => format!("initialized to {}", f32::from_bits(bits)).into(),
        GlobalInit::F64Const(bits) => format!("initialized to {}", f64::from_bits(bits)).into(),
        GlobalInit::V128Const(bits) => format!("initialized to {:#034x}", u128::from(bits)).into(),
        GlobalInit::GetGlobal(index) => format!("initialized to global {index}").into(),
        GlobalInit::RefFunc(index) => format!("initialized to function {index}").into(),
        GlobalInit::RefNullConst => "initialized to null".into(),
        GlobalInit::Import => "imported".into(),
    }
}

fn type_list(types: &[WasmType]) -> String {
    let names: Vec<&str> = types.iter().copied().map(type_name).collect();
    format!("({})", names.join(", "))
}

fn type_name(ty: WasmType) -> &'static str {
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

/// Formats a number of Wasm pages, with its size in bytes.
pub fn page_count(count: u64) -> String {
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
        let parent = node.parent.map(|parent| format!(" in upvar {parent}")).unwrap_or_default();
        let modules: Vec<String> = upvars.artifact_upvars(node).iter().map(u64::to_string).collect();
        let modules = if modules.is_empty() { "none".to_owned() } else { modules.join(", ") };
        writeln!(out, "  upvar {index}{parent}: module {}, artifact upvars: {modules}", node.module)?;
    }
    Ok(())
}
