//! Settings of an artifact: its Metadata.

use std::ffi::c_char;

use super::artifact::artifact_t;
use super::boundary::{fallible, ffi, give, handle, out, out_optional, past_the_end, text};
use super::error::artifact_error_t;
use super::flags::{artifact_flag_t, feature, flag_map, tunable};
use super::library::artifact_status_t;
use super::text::Texts;
use super::types::artifact_entity_t;
use artifact::engine::{FlagMap, no_flag};
use artifact::error::Result;
use artifact::format::Map;
use artifact::format::flags::Flags;
use artifact::format::metadata::Metadata;
use artifact::format::types::EntityType;

/// A function type. Its arrays hold an artifact_wasm_type_t in each byte, and are borrowed: valid until the artifact is
/// freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_func_type_t {
    /// The types of the parameters.
    pub params: *const u8,
    /// The number of parameters.
    pub params_len: usize,
    /// The types of the results.
    pub returns: *const u8,
    /// The number of results.
    pub returns_len: usize,
    /// The number of parameters of type ARTIFACT_WASM_EXTERNREF.
    pub externref_params: u64,
    /// The number of such results, as stored in the file. Wasmtime 0.33 stores the number of parameters here.
    pub externref_returns: u64,
}

/// An upvar; see artifact_builder_add_upvar(). Its array is borrowed: valid until the artifact is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_upvar_t {
    /// The index of the upvar that contains this one, which is smaller than its own; SIZE_MAX: none.
    pub parent: usize,
    /// The index of the module.
    pub module: u64,
    /// The indexes of the modules that it passes on.
    pub artifact_upvars: *const u64,
    /// The number of those modules.
    pub artifact_upvars_len: usize,
}

/// Borrows an artifact's Metadata, and the texts that it has returned to C.
unsafe fn read<'a>(artifact: *const artifact_t) -> Result<(&'a Metadata<'a>, &'a Texts)> {
    let artifact: &'a artifact_t = ffi!(handle(artifact, "artifact"))?;
    Ok((artifact.artifact.metadata()?, &artifact.texts))
}

fn flags<'m>(metadata: &'m Metadata<'m>, map: u32) -> Result<&'m Flags<'m>> {
    Ok(match flag_map(map)? {
        FlagMap::Shared => &metadata.shared_flags,
        FlagMap::Isa => &metadata.isa_flags,
    })
}

/// Reads the target triple.
///
/// This and all other functions that read settings return ARTIFACT_WRONG_VERSION if the settings cannot be decoded
/// because another version wrote them. Such an artifact opens only with a NULL engine.
///
/// @param artifact The artifact.
/// @param target Receives the triple, borrowed: valid until the artifact is freed.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_WRONG_VERSION.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_target(
    artifact: *const artifact_t,
    target: *mut *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(target, "target", std::ptr::null(), error, || {
        let (metadata, texts) = read(artifact)?;
        texts.get(metadata.target.as_bytes())
    }))
}

/// Reads the number of compiler flags in a map.
///
/// @param artifact The artifact.
/// @param map An artifact_flag_map_t.
/// @param count Receives the number.
/// @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if map is unknown, or ARTIFACT_WRONG_VERSION (see
///     artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_flag_count(
    artifact: *const artifact_t,
    map: u32,
    count: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(count, "count", 0, error, || {
        let (metadata, _) = read(artifact)?;
        Ok(flags(metadata, map)?.sorted().len())
    }))
}

/// Reads a compiler flag by its index.
///
/// @param artifact The artifact.
/// @param map An artifact_flag_map_t.
/// @param index An index below artifact_flag_count(). Flags are sorted by name.
/// @param flag Receives the flag. Its texts are valid until the artifact is freed.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, ARTIFACT_INVALID_ARGUMENT if map
///     is unknown, or ARTIFACT_WRONG_VERSION (see artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_flag_at(
    artifact: *const artifact_t,
    map: u32,
    index: usize,
    flag: *mut artifact_flag_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(flag, "flag", artifact_flag_t::EMPTY, error, || {
        let (metadata, texts) = read(artifact)?;
        let flags = flags(metadata, map)?.sorted();
        let (name, value) = flags.get(index).ok_or_else(|| past_the_end("flag", index, flags.len()))?;
        artifact_flag_t::of(texts, name, *value)
    }))
}

/// Reads a compiler flag by its name.
///
/// @param artifact The artifact.
/// @param map An artifact_flag_map_t.
/// @param name The flag's name.
/// @param flag Receives the flag. Its texts are valid until the artifact is freed.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if the map has no flag of this name,
///     ARTIFACT_INVALID_ARGUMENT if map is unknown, or ARTIFACT_WRONG_VERSION (see artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_flag(
    artifact: *const artifact_t,
    map: u32,
    name: *const c_char,
    flag: *mut artifact_flag_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(flag, "flag", artifact_flag_t::EMPTY, error, || {
        let (metadata, texts) = read(artifact)?;
        let name = text(name, "name")?;
        let value = flags(metadata, map)?.get(name).ok_or_else(|| no_flag(name))?;
        artifact_flag_t::of(texts, name, value)
    }))
}

/// Reads a tunable.
///
/// @param artifact The artifact.
/// @param tunable An artifact_tunable_t.
/// @param value Receives the size, or 0 or 1 for a switch.
/// @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if tunable is unknown, or ARTIFACT_WRONG_VERSION
///     (see artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_tunable(
    artifact: *const artifact_t,
    tunable: u32,
    value: *mut u64,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(value, "value", 0, error, || {
        let (metadata, _) = read(artifact)?;
        self::tunable(metadata.tunables, tunable)
    }))
}

/// Reads whether a Wasm feature is on.
///
/// @param artifact The artifact.
/// @param feature An artifact_feature_t.
/// @param value Receives true for on, false for off.
/// @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if feature is unknown, or ARTIFACT_WRONG_VERSION
///     (see artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_feature(
    artifact: *const artifact_t,
    feature: u32,
    value: *mut bool,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(value, "value", false, error, || {
        let (metadata, _) = read(artifact)?;
        self::feature(metadata.features, feature)
    }))
}

/// Reads the number of upvars, including nested ones.
///
/// @param artifact The artifact.
/// @param count Receives the number.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_WRONG_VERSION (see artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_upvar_count(
    artifact: *const artifact_t,
    count: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(count, "count", 0, error, || {
        let (metadata, _) = read(artifact)?;
        Ok(metadata.upvars.nodes().len())
    }))
}

/// Reads an upvar by its index.
///
/// @param artifact The artifact.
/// @param index An index below artifact_upvar_count(). Parents come before their children.
/// @param upvar Receives the upvar. Its array is valid until the artifact is freed.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or ARTIFACT_WRONG_VERSION (see
///     artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_upvar_at(
    artifact: *const artifact_t,
    index: usize,
    upvar: *mut artifact_upvar_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    let empty =
        artifact_upvar_t { parent: usize::MAX, module: 0, artifact_upvars: std::ptr::null(), artifact_upvars_len: 0 };
    ffi!(give(upvar, "upvar", empty, error, || {
        let (metadata, _) = read(artifact)?;
        let nodes = metadata.upvars.nodes();
        let node = nodes.get(index).ok_or_else(|| past_the_end("upvar", index, nodes.len()))?;
        let passed = metadata.upvars.artifact_upvars(node);
        Ok(artifact_upvar_t {
            parent: node.parent.map_or(usize::MAX, |parent| parent as usize),
            module: node.module,
            artifact_upvars: passed.as_ptr(),
            artifact_upvars_len: passed.len(),
        })
    }))
}

/// Reads the numbers of types.
///
/// @param artifact The artifact.
/// @param funcs Receives the number of function types; may be NULL.
/// @param modules Receives the number of module types; may be NULL.
/// @param instances Receives the number of instance types; may be NULL.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_WRONG_VERSION (see artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_type_counts(
    artifact: *const artifact_t,
    funcs: *mut usize,
    modules: *mut usize,
    instances: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!({
        let counts = [funcs, modules, instances];
        for count in counts {
            out_optional(count, 0);
        }
        fallible(error, || {
            let (metadata, _) = read(artifact)?;
            let types = &metadata.types;
            let found = [types.wasm_signatures.len(), types.module_signatures.len(), types.instance_signatures.len()];
            for (count, found) in counts.into_iter().zip(found) {
                out_optional(count, found);
            }
            Ok(())
        })
    })
}

/// Reads a function type.
///
/// @param artifact The artifact.
/// @param index An index below the number of function types.
/// @param func_type Receives the function type. Its arrays are valid until the artifact is freed.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or ARTIFACT_WRONG_VERSION (see
///     artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_func_type(
    artifact: *const artifact_t,
    index: usize,
    func_type: *mut artifact_func_type_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    let empty = artifact_func_type_t {
        params: std::ptr::null(),
        params_len: 0,
        returns: std::ptr::null(),
        returns_len: 0,
        externref_params: 0,
        externref_returns: 0,
    };
    ffi!(give(func_type, "func_type", empty, error, || {
        let (metadata, _) = read(artifact)?;
        let types = &metadata.types.wasm_signatures;
        let found = types.get(index).ok_or_else(|| past_the_end("function type", index, types.len()))?;
        Ok(artifact_func_type_t {
            // A WasmType is one byte, the number of its artifact_wasm_type_t.
            params: found.params.as_ptr().cast(),
            params_len: found.params.len(),
            returns: found.returns.as_ptr().cast(),
            returns_len: found.returns.len(),
            externref_params: found.externref_params_count,
            externref_returns: found.externref_returns_count,
        })
    }))
}

/// Reads a module type.
///
/// @param artifact The artifact.
/// @param index An index below the number of module types.
/// @param imports Receives the number of imports.
/// @param exports Receives the index of the instance type that describes the module's instances.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or ARTIFACT_WRONG_VERSION (see
///     artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_module_type(
    artifact: *const artifact_t,
    index: usize,
    imports: *mut usize,
    exports: *mut u32,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!({
        let (imports, exports) = (out(imports, "imports", 0), out(exports, "exports", 0));
        fallible(error, || {
            let (metadata, _) = read(artifact)?;
            let (imports, exports) = (imports?, exports?);
            let types = &metadata.types.module_signatures;
            let found = types.get(index).ok_or_else(|| past_the_end("module type", index, types.len()))?;
            (*imports, *exports) = (found.imports.0.len(), found.exports);
            Ok(())
        })
    })
}

/// Reads an import of a module type.
///
/// @param artifact The artifact.
/// @param module_type The index of the module type.
/// @param index An index below the number of imports. Imports have the order of the file.
/// @param name Receives the import's name, borrowed: valid until the artifact is freed.
/// @param entity Receives what is imported.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if module_type or index is out of range, or
///     ARTIFACT_WRONG_VERSION (see artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_module_import(
    artifact: *const artifact_t,
    module_type: usize,
    index: usize,
    name: *mut *const c_char,
    entity: *mut artifact_entity_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!({
        let outs = (out(name, "name", std::ptr::null()), out(entity, "entity", artifact_entity_t::EMPTY));
        fallible(error, || {
            let (metadata, texts) = read(artifact)?;
            let types = &metadata.types.module_signatures;
            let found = types.get(module_type).ok_or_else(|| past_the_end("module type", module_type, types.len()))?;
            named(&found.imports, index, "import", texts, (outs.0?, outs.1?))
        })
    })
}

/// Reads the number of exports of an instance type.
///
/// @param artifact The artifact.
/// @param index An index below the number of instance types.
/// @param exports Receives the number of exports.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or ARTIFACT_WRONG_VERSION (see
///     artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_instance_type(
    artifact: *const artifact_t,
    index: usize,
    exports: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give(exports, "exports", 0, error, || {
        let (metadata, _) = read(artifact)?;
        let types = &metadata.types.instance_signatures;
        let found = types.get(index).ok_or_else(|| past_the_end("instance type", index, types.len()))?;
        Ok(found.exports.0.len())
    }))
}

/// Reads an export of an instance type.
///
/// @param artifact The artifact.
/// @param instance_type The index of the instance type.
/// @param index An index below the number of exports. Exports have the order of the file.
/// @param name Receives the export's name, borrowed: valid until the artifact is freed.
/// @param entity Receives what is exported.
/// @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if instance_type or index is out of range, or
///     ARTIFACT_WRONG_VERSION (see artifact_target()).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_instance_export(
    artifact: *const artifact_t,
    instance_type: usize,
    index: usize,
    name: *mut *const c_char,
    entity: *mut artifact_entity_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!({
        let outs = (out(name, "name", std::ptr::null()), out(entity, "entity", artifact_entity_t::EMPTY));
        fallible(error, || {
            let (metadata, texts) = read(artifact)?;
            let types = &metadata.types.instance_signatures;
            let missing = || past_the_end("instance type", instance_type, types.len());
            let found = types.get(instance_type).ok_or_else(missing)?;
            named(&found.exports, index, "export", texts, (outs.0?, outs.1?))
        })
    })
}

fn named(
    map: &Map<&str, EntityType>,
    index: usize,
    what: &str,
    texts: &Texts,
    outs: (&mut *const c_char, &mut artifact_entity_t),
) -> Result<()> {
    let (name, entity) = map.0.get(index).ok_or_else(|| past_the_end(what, index, map.0.len()))?;
    *outs.0 = texts.get(name.as_bytes())?;
    *outs.1 = artifact_entity_t::of(entity);
    Ok(())
}
