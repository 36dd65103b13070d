//! The type tables of Metadata: functions, modules, instances. `S` is the text type: borrowed when read, owned when built.

use serde::{Deserialize, Serialize};

use super::wire::{self, Map};
use crate::error::{Error, Result};

/// A Wasm value type.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum WasmType {
    I32,
    I64,
    F32,
    F64,
    V128,
    FuncRef,
    ExternRef,
    ExnRef,
}

/// A function's signature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FuncType {
    /// Parameters, in order.
    #[serde(deserialize_with = "wire::list")]
    pub params: Vec<WasmType>,
    /// How many parameters are `externref`.
    pub externref_params_count: u64,
    /// Results, in order.
    #[serde(deserialize_with = "wire::list")]
    pub returns: Vec<WasmType>,
    /// How many results are `externref`. Wasmtime 0.33 counts the parameters here instead; what was read is kept.
    pub externref_returns_count: u64,
}

impl FuncType {
    /// A signature with its counts.
    #[must_use]
    pub fn new(params: Vec<WasmType>, returns: Vec<WasmType>) -> FuncType {
        let externrefs = |types: &[WasmType]| types.iter().filter(|ty| **ty == WasmType::ExternRef).count() as u64;
        FuncType {
            externref_params_count: externrefs(&params),
            externref_returns_count: externrefs(&returns),
            params,
            returns,
        }
    }
}

/// A V128 value. As two words, so that it doesn't raise the alignment, and with it the size, of every entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u128", into = "u128")]
pub struct V128 {
    /// The lower 64 bits.
    pub low: u64,
    /// The upper 64 bits.
    pub high: u64,
}

impl From<u128> for V128 {
    fn from(bits: u128) -> V128 {
        V128 { low: bits as u64, high: (bits >> 64) as u64 }
    }
}

impl From<V128> for u128 {
    fn from(value: V128) -> u128 {
        u128::from(value.low) | u128::from(value.high) << 64
    }
}

/// How a global begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum GlobalInit {
    I32Const(i32),
    I64Const(i64),
    F32Const(u32),
    F64Const(u64),
    V128Const(V128),
    GetGlobal(u32),
    RefNullConst,
    RefFunc(u32),
    Import,
}

/// A global variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Global {
    pub wasm_ty: WasmType,
    pub mutability: bool,
    pub initializer: GlobalInit,
}

/// A linear memory; sizes in Wasm pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Memory {
    pub minimum: u64,
    pub maximum: Option<u64>,
    pub shared: bool,
    pub memory64: bool,
}

/// An exception tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Tag {
    pub ty: u32,
}

/// A table; sizes in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Table {
    pub wasm_ty: WasmType,
    pub minimum: u32,
    pub maximum: Option<u32>,
}

/// What an import wants or an export gives. Functions, instances and modules are indexes into [`Types`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum EntityType {
    Global(#[serde(deserialize_with = "wire::object")] Global),
    Memory(#[serde(deserialize_with = "wire::object")] Memory),
    Tag(#[serde(deserialize_with = "wire::object")] Tag),
    Table(#[serde(deserialize_with = "wire::object")] Table),
    Function(u32),
    Instance(u32),
    Module(u32),
}

/// A module's type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleType<S> {
    /// What it wants, in order.
    pub imports: Map<S, EntityType>,
    /// What an instance of it gives: an index into [`Types::instance_signatures`].
    pub exports: u32,
}

/// An instance's type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceType<S> {
    /// What it gives, in order.
    pub exports: Map<S, EntityType>,
}

/// All types of an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "S: Deserialize<'de>"))]
pub struct Types<S> {
    /// Functions.
    #[serde(deserialize_with = "wire::objects")]
    pub wasm_signatures: Vec<FuncType>,
    /// Modules.
    #[serde(deserialize_with = "wire::objects")]
    pub module_signatures: Vec<ModuleType<S>>,
    /// Instances.
    #[serde(deserialize_with = "wire::objects")]
    pub instance_signatures: Vec<InstanceType<S>>,
}

impl<S> Default for Types<S> {
    fn default() -> Self {
        Types { wasm_signatures: Vec::new(), module_signatures: Vec::new(), instance_signatures: Vec::new() }
    }
}

impl<S> Types<S> {
    /// Checks that an entity's index names a type that is there.
    ///
    /// # Errors
    ///
    /// CORRUPT, saying which index has no type.
    pub(crate) fn check_entity(&self, entity: &EntityType) -> Result<()> {
        let (what, index, count) = match *entity {
            EntityType::Function(index) => ("function", index, self.wasm_signatures.len()),
            EntityType::Tag(Tag { ty }) => ("function", ty, self.wasm_signatures.len()),
            EntityType::Instance(index) => ("instance", index, self.instance_signatures.len()),
            EntityType::Module(index) => ("module", index, self.module_signatures.len()),
            EntityType::Global(_) | EntityType::Memory(_) | EntityType::Table(_) => return Ok(()),
        };
        check_index(what, index, count)
    }

    /// Checks every index in the tables.
    ///
    /// # Errors
    ///
    /// CORRUPT, saying which index has no type.
    pub fn check(&self) -> Result<()> {
        for module in &self.module_signatures {
            check_index("instance", module.exports, self.instance_signatures.len())?;
            module.imports.0.iter().try_for_each(|(_, entity)| self.check_entity(entity))?;
        }
        for instance in &self.instance_signatures {
            instance.exports.0.iter().try_for_each(|(_, entity)| self.check_entity(entity))?;
        }
        Ok(())
    }
}

/// Checks one index into a table of types.
///
/// # Errors
///
/// CORRUPT if the table has no such entry.
pub(crate) fn check_index(what: &str, index: u32, count: usize) -> Result<()> {
    if (index as usize) < count {
        return Ok(());
    }
    let message = format!("{what} type: expected an index below {count}, found {index}");
    Err(Error::corrupt(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_no_objects() {
        let good = r#"{"wasm_signatures": [{"params": ["I32"], "externref_params_count": 0, "returns": [],
            "externref_returns_count": 0}], "module_signatures": [], "instance_signatures": [{"exports": {"a": {"Tag": {"ty": 0}}}}]}"#;
        serde_json::from_str::<Types<String>>(good).unwrap();
        for (object, list) in [
            (
                r#"{"params": ["I32"], "externref_params_count": 0, "returns": [],
            "externref_returns_count": 0}"#,
                r#"[["I32"], 0, [], 0]"#,
            ),
            (r#"{"exports": {"a": {"Tag": {"ty": 0}}}}"#, r#"[{"a": {"Tag": {"ty": 0}}}]"#),
            (r#"{"ty": 0}"#, "[0]"),
        ] {
            assert!(good.contains(object));
            let error = serde_json::from_str::<Types<String>>(&good.replacen(object, list, 1)).unwrap_err();
            assert!(error.to_string().contains("expected an object"), "{error}");
        }
    }
}
