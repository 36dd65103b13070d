//! The type tables of Metadata: function, module and instance types. `S` is the string type: borrowed when an artifact is read,
//! owned when one is built.

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
    /// Number of parameters of type `externref`.
    pub externref_params_count: u64,
    /// Results, in order.
    #[serde(deserialize_with = "wire::list")]
    pub returns: Vec<WasmType>,
    /// Number of results of type `externref`. Wasmtime 0.33 stores the number of parameters here; a rewrite keeps the stored
    /// value.
    pub externref_returns_count: u64,
}

impl FuncType {
    /// Creates a signature, with both counts computed from the types.
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

/// A V128 value, stored as two words: a `u128` would raise the alignment, and so the size, of every entity.
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

/// The initial value of a global.
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

/// A linear memory. Sizes are in Wasm pages.
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

/// A table. Sizes are in elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Table {
    pub wasm_ty: WasmType,
    pub minimum: u32,
    pub maximum: Option<u32>,
}

/// The type of an import or export. Function, instance and module types are indexes into [`Types`].
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
    /// Imports, in order.
    pub imports: Map<S, EntityType>,
    /// The type of the module's instances: an index into [`Types::instance_signatures`].
    pub exports: u32,
}

/// An instance's type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceType<S> {
    /// Exports, in order.
    pub exports: Map<S, EntityType>,
}

/// The type tables of an artifact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "S: Deserialize<'de>"))]
pub struct Types<S> {
    /// Function types.
    #[serde(deserialize_with = "wire::objects")]
    pub wasm_signatures: Vec<FuncType>,
    /// Module types.
    #[serde(deserialize_with = "wire::objects")]
    pub module_signatures: Vec<ModuleType<S>>,
    /// Instance types.
    #[serde(deserialize_with = "wire::objects")]
    pub instance_signatures: Vec<InstanceType<S>>,
}

impl<S> Default for Types<S> {
    fn default() -> Self {
        Types { wasm_signatures: Vec::new(), module_signatures: Vec::new(), instance_signatures: Vec::new() }
    }
}

impl<S> Types<S> {
    /// Checks that the type index of an entity is in range.
    ///
    /// # Errors
    ///
    /// CORRUPT if it is not.
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

    /// Checks that every type index in the tables is in range.
    ///
    /// # Errors
    ///
    /// CORRUPT for the first that is not.
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

/// Checks that `index` is in range for a table of `count` types. `what` names the table in the error.
///
/// # Errors
///
/// CORRUPT if it is not.
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
    fn lists_are_not_accepted_as_objects() {
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
