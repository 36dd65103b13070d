//! Types of Wasm imports and exports.

use super::boundary::unknown;
use artifact::error::{Error, Result, Status};
use artifact::format::types::{EntityType, Global, GlobalInit, Memory, Table, Tag, V128, WasmType};

/// A Wasm value type.
#[repr(C)]
pub enum artifact_wasm_type_t {
    /// 32-bit integer.
    ARTIFACT_WASM_I32 = 0,
    /// 64-bit integer.
    ARTIFACT_WASM_I64 = 1,
    /// 32-bit float.
    ARTIFACT_WASM_F32 = 2,
    /// 64-bit float.
    ARTIFACT_WASM_F64 = 3,
    /// 128-bit vector.
    ARTIFACT_WASM_V128 = 4,
    /// Reference to a function.
    ARTIFACT_WASM_FUNCREF = 5,
    /// Reference to an object of the host.
    ARTIFACT_WASM_EXTERNREF = 6,
    /// Reference to an exception.
    ARTIFACT_WASM_EXNREF = 7,
}

/// What a module imports or exports.
#[repr(C)]
pub enum artifact_entity_kind_t {
    /// A global variable.
    ARTIFACT_ENTITY_GLOBAL = 0,
    /// A linear memory.
    ARTIFACT_ENTITY_MEMORY = 1,
    /// An exception tag.
    ARTIFACT_ENTITY_TAG = 2,
    /// A table of references.
    ARTIFACT_ENTITY_TABLE = 3,
    /// A function.
    ARTIFACT_ENTITY_FUNCTION = 4,
    /// An instance of a module.
    ARTIFACT_ENTITY_INSTANCE = 5,
    /// A module.
    ARTIFACT_ENTITY_MODULE = 6,
}

/// How a global is initialized.
#[repr(C)]
pub enum artifact_init_kind_t {
    /// With a constant i32.
    ARTIFACT_INIT_I32 = 0,
    /// With a constant i64.
    ARTIFACT_INIT_I64 = 1,
    /// With a constant f32.
    ARTIFACT_INIT_F32 = 2,
    /// With a constant f64.
    ARTIFACT_INIT_F64 = 3,
    /// With a constant v128.
    ARTIFACT_INIT_V128 = 4,
    /// With the value of another global.
    ARTIFACT_INIT_GET_GLOBAL = 5,
    /// With a null reference.
    ARTIFACT_INIT_REF_NULL = 6,
    /// With a reference to a function.
    ARTIFACT_INIT_REF_FUNC = 7,
    /// Not at all: the global is imported.
    ARTIFACT_INIT_IMPORT = 8,
}

/// The type of an import or export. Reading sets fields that the kind does not use to 0; writing ignores them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_entity_t {
    /// An artifact_entity_kind_t.
    pub kind: u32,
    /// Function, instance, module, tag: the index of its type.
    pub index: u32,
    /// Global, table: an artifact_wasm_type_t.
    pub wasm_type: u32,
    /// Global: an artifact_init_kind_t.
    pub init: u32,
    /// Global: the bits of the initial value. I32: the value, sign-extended to 64 bits. F32, F64: IEEE 754 bits. V128:
    /// the lower 64 bits. GET_GLOBAL, REF_FUNC: an index.
    pub init_low: u64,
    /// Global: the upper 64 bits of a V128.
    pub init_high: u64,
    /// Memory: the minimum size in pages. Table: the minimum number of elements.
    pub minimum: u64,
    /// Memory, table: the maximum, in the same unit, if has_maximum is true.
    pub maximum: u64,
    /// Memory, table: whether there is a maximum.
    pub has_maximum: bool,
    /// Global: whether it can change.
    pub is_mutable: bool,
    /// Memory: whether threads share it.
    pub is_shared: bool,
    /// Memory: whether it has 64-bit addresses.
    pub is_memory64: bool,
}

impl artifact_entity_t {
    pub(super) const EMPTY: artifact_entity_t = artifact_entity_t {
        kind: 0,
        index: 0,
        wasm_type: 0,
        init: 0,
        init_low: 0,
        init_high: 0,
        minimum: 0,
        maximum: 0,
        has_maximum: false,
        is_mutable: false,
        is_shared: false,
        is_memory64: false,
    };

    pub(super) fn of(entity: &EntityType) -> artifact_entity_t {
        let empty = artifact_entity_t::EMPTY;
        match *entity {
            EntityType::Global(Global { wasm_ty, mutability, initializer }) => {
                let (init, init_low, init_high) = match initializer {
                    GlobalInit::I32Const(value) => (0, i64::from(value).cast_unsigned(), 0),
                    GlobalInit::I64Const(value) => (1, value.cast_unsigned(), 0),
                    GlobalInit::F32Const(bits) => (2, bits.into(), 0),
                    GlobalInit::F64Const(bits) => (3, bits, 0),
                    GlobalInit::V128Const(V128 { low, high }) => (4, low, high),
                    GlobalInit::GetGlobal(index) => (5, index.into(), 0),
                    GlobalInit::RefNullConst => (6, 0, 0),
                    GlobalInit::RefFunc(index) => (7, index.into(), 0),
                    GlobalInit::Import => (8, 0, 0),
                };
                let wasm_type = wasm_ty as u32;
                artifact_entity_t { kind: 0, wasm_type, is_mutable: mutability, init, init_low, init_high, ..empty }
            }
            EntityType::Memory(Memory { minimum, maximum, shared, memory64 }) => artifact_entity_t {
                kind: 1,
                minimum,
                maximum: maximum.unwrap_or(0),
                has_maximum: maximum.is_some(),
                is_shared: shared,
                is_memory64: memory64,
                ..empty
            },
            EntityType::Tag(Tag { ty }) => artifact_entity_t { kind: 2, index: ty, ..empty },
            EntityType::Table(Table { wasm_ty, minimum, maximum }) => artifact_entity_t {
                kind: 3,
                wasm_type: wasm_ty as u32,
                minimum: minimum.into(),
                maximum: maximum.unwrap_or(0).into(),
                has_maximum: maximum.is_some(),
                ..empty
            },
            EntityType::Function(index) => artifact_entity_t { kind: 4, index, ..empty },
            EntityType::Instance(index) => artifact_entity_t { kind: 5, index, ..empty },
            EntityType::Module(index) => artifact_entity_t { kind: 6, index, ..empty },
        }
    }

    pub(super) fn read(&self) -> Result<EntityType> {
        let elements = |name: &str, count: u64| {
            u32::try_from(count).map_err(|_| {
                let message = format!("entity.{name}: expected a number of elements below 2^32, found {count}");
                Error::new(Status::InvalidArgument, message)
            })
        };
        Ok(match self.kind {
            0 => EntityType::Global(Global {
                wasm_ty: wasm_type(self.wasm_type)?,
                mutability: self.is_mutable,
                initializer: self.read_init()?,
            }),
            1 => EntityType::Memory(Memory {
                minimum: self.minimum,
                maximum: self.has_maximum.then_some(self.maximum),
                shared: self.is_shared,
                memory64: self.is_memory64,
            }),
            2 => EntityType::Tag(Tag { ty: self.index }),
            3 => EntityType::Table(Table {
                wasm_ty: wasm_type(self.wasm_type)?,
                minimum: elements("minimum", self.minimum)?,
                maximum: if self.has_maximum { Some(elements("maximum", self.maximum)?) } else { None },
            }),
            4 => EntityType::Function(self.index),
            5 => EntityType::Instance(self.index),
            6 => EntityType::Module(self.index),
            found => return Err(unknown("entity.kind", found, 7)),
        })
    }

    fn read_init(&self) -> Result<GlobalInit> {
        let (low, high) = (self.init_low, self.init_high);
        let too_large = |_| {
            let message = format!("entity.init_low: expected a 32-bit value, found {low}");
            Error::new(Status::InvalidArgument, message)
        };
        let bits32 = || u32::try_from(low).map_err(too_large);
        Ok(match self.init {
            0 => GlobalInit::I32Const(i32::try_from(low.cast_signed()).map_err(too_large)?),
            1 => GlobalInit::I64Const(low.cast_signed()),
            2 => GlobalInit::F32Const(bits32()?),
            3 => GlobalInit::F64Const(low),
            4 => GlobalInit::V128Const(V128 { low, high }),
            5 => GlobalInit::GetGlobal(bits32()?),
            6 => GlobalInit::RefNullConst,
            7 => GlobalInit::RefFunc(bits32()?),
            8 => GlobalInit::Import,
            found => return Err(unknown("entity.init", found, 9)),
        })
    }
}

pub(super) fn wasm_type(number: u32) -> Result<WasmType> {
    Ok(match number {
        0 => WasmType::I32,
        1 => WasmType::I64,
        2 => WasmType::F32,
        3 => WasmType::F64,
        4 => WasmType::V128,
        5 => WasmType::FuncRef,
        6 => WasmType::ExternRef,
        7 => WasmType::ExnRef,
        found => return Err(unknown("wasm type", found, 8)),
    })
}
