//! Types: what module graphs are described with.

use super::boundary::unknown;
use artifact::error::{Error, Result, Status};
use artifact::format::types::{EntityType, Global, GlobalInit, Memory, Table, Tag, V128, WasmType};

/// A Wasm value type.
#[repr(C)]
#[allow(missing_docs)]
pub enum artifact_wasm_type_t {
    ARTIFACT_WASM_I32 = 0,
    ARTIFACT_WASM_I64 = 1,
    ARTIFACT_WASM_F32 = 2,
    ARTIFACT_WASM_F64 = 3,
    ARTIFACT_WASM_V128 = 4,
    ARTIFACT_WASM_FUNCREF = 5,
    ARTIFACT_WASM_EXTERNREF = 6,
    ARTIFACT_WASM_EXNREF = 7,
}

/// What an import wants or an export gives.
#[repr(C)]
#[allow(missing_docs)]
pub enum artifact_entity_kind_t {
    ARTIFACT_ENTITY_GLOBAL = 0,
    ARTIFACT_ENTITY_MEMORY = 1,
    ARTIFACT_ENTITY_TAG = 2,
    ARTIFACT_ENTITY_TABLE = 3,
    ARTIFACT_ENTITY_FUNCTION = 4,
    ARTIFACT_ENTITY_INSTANCE = 5,
    ARTIFACT_ENTITY_MODULE = 6,
}

/// How a global begins.
#[repr(C)]
#[allow(missing_docs)]
pub enum artifact_init_kind_t {
    ARTIFACT_INIT_I32 = 0,
    ARTIFACT_INIT_I64 = 1,
    ARTIFACT_INIT_F32 = 2,
    ARTIFACT_INIT_F64 = 3,
    ARTIFACT_INIT_V128 = 4,
    ARTIFACT_INIT_GET_GLOBAL = 5,
    ARTIFACT_INIT_REF_NULL = 6,
    ARTIFACT_INIT_REF_FUNC = 7,
    ARTIFACT_INIT_IMPORT = 8,
}

/// An entity. Fields that its kind doesn't use are 0 when read, and not looked at when given.
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
    /// Global: the initial value's bits. An I32 stands in the lower 32, the upper ones being copies of its sign; floats are
    /// their IEEE 754 bits; GET_GLOBAL and REF_FUNC are an index.
    pub init_low: u64,
    /// Global: the upper 64 bits of a V128.
    pub init_high: u64,
    /// Memory: pages. Table: elements.
    pub minimum: u64,
    /// The same, if has_maximum.
    pub maximum: u64,
    /// Memory, table: whether there is a maximum.
    pub has_maximum: bool,
    /// Global: whether it can be changed.
    pub is_mutable: bool,
    /// Memory: whether threads share it.
    pub is_shared: bool,
    /// Memory: whether its addresses have 64 bits.
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
            let message = format!("entity.init_low: expected a value of 32 bits, found {low}");
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
