//! Builder: what an artifact consists of.

use std::ffi::c_char;
use std::ptr::null;
use std::sync::Arc;

use super::artifact::artifact_t;
use super::boundary::{
    fallible, ffi, free, give_handle, handle, handle_mut, infallible, known_flags, options, out_optional, path, slice,
    text,
};
use super::engine::artifact_engine_t;
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use super::types::{artifact_entity_t, wasm_type};
use artifact::alloc;
use artifact::builder::Builder;
use artifact::engine::Engine;
use artifact::error::Result;
use artifact::format::types::WasmType;
use artifact::native::link::{Object, Options};

/// An artifact under construction. You own it; free it with artifact_builder_free(). Only one thread at a time may
/// change it. Functions that take it const may run in many threads at once while no thread changes it.
pub struct artifact_builder_t {
    pub(super) builder: Builder<'static>,
    /// Whether modules are copied: of a builder that is lent to a function of the caller's, which gives it bytes of its own.
    copies: bool,
}

impl artifact_builder_t {
    /// Lends a builder to a function of the caller's.
    pub(super) fn lend<T>(builder: &mut Builder<'static>, body: impl FnOnce(*mut artifact_builder_t) -> T) -> T {
        let builder_itself = std::mem::replace(builder, Builder::new(&Engine::new()));
        let mut lent = artifact_builder_t { builder: builder_itself, copies: true };
        let result = body(&raw mut lent);
        *builder = lent.builder;
        result
    }
}

/// A relocatable object (ET_REL), as `cc -c`, LLVM, Cranelift and GNU as write it, or an archive of them, as `ar` makes
/// it. Everything is needed only during the call.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_object_t {
    /// The name in messages, such as that of its file; NULL: "object " and its index in the array.
    pub name: *const c_char,
    /// The object's bytes.
    pub data: *const u8,
    /// The number of bytes.
    pub len: usize,
}

/// How artifact_builder_add_objects() links. Begin with ARTIFACT_LINK_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_link_options_t {
    /// sizeof(artifact_link_options_t).
    pub size: usize,
    /// A combination of ARTIFACT_LINK_ flags.
    pub flags: u64,
    /// The names of the symbols that the module exports, among the global ones of default or protected visibility; NULL:
    /// all of those. With names, it exports no others, and sections that these symbols do not need are left out, as with
    /// ARTIFACT_LINK_GC_SECTIONS.
    pub entries: *const *const c_char,
    /// The number of entries.
    pub entry_count: usize,
}

const ARTIFACT_LINK_NO_DEBUG: u64 = 1;
const ARTIFACT_LINK_WHOLE_ARCHIVE: u64 = 2;
const ARTIFACT_LINK_GC_SECTIONS: u64 = 4;
const ARTIFACT_LINK_PACK_RELATIVE_RELOCS: u64 = 8;
const LINK_FLAGS: u64 = ARTIFACT_LINK_NO_DEBUG
    | ARTIFACT_LINK_WHOLE_ARCHIVE
    | ARTIFACT_LINK_GC_SECTIONS
    | ARTIFACT_LINK_PACK_RELATIVE_RELOCS;

/// Creates a builder for a new artifact.
///
/// @param engine What the code is compiled for. Its settings are copied: later changes to the engine have no effect on
///     the builder.
/// @param builder Receives the builder, which you own.
/// @return ARTIFACT_OK, or a general status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_new(
    engine: *const artifact_engine_t,
    builder: *mut *mut artifact_builder_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(builder, "builder", error, || {
        let fresh = Builder::new(&handle(engine, "engine")?.engine);
        Ok(artifact_builder_t { builder: fresh, copies: false })
    }))
}

/// Creates a builder that rewrites an artifact: it keeps the artifact's body byte for byte, its attributes, and those
/// of its signatures that are still valid when it is written.
///
/// No module, type or upvar can be added: each such artifact_builder_add_ function returns ARTIFACT_INVALID_ARGUMENT.
/// If the artifact has a trailer, saving first checks all its digests, and returns ARTIFACT_DIGEST_MISMATCH or
/// ARTIFACT_CORRUPT if the artifact is damaged.
///
/// @param artifact The artifact. It may be freed before the builder.
/// @param builder Receives the builder, which you own.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_DIGEST_MISMATCH or ARTIFACT_CORRUPT if the attributes are
///     damaged.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_new_from_artifact(
    artifact: *const artifact_t,
    builder: *mut *mut artifact_builder_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(builder, "builder", error, || {
        let copy = Builder::from_artifact(Arc::clone(&handle(artifact, "artifact")?.artifact))?;
        Ok(artifact_builder_t { builder: copy, copies: false })
    }))
}

/// Frees a builder. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_free(builder: *mut artifact_builder_t) {
    ffi!(free(builder))
}

/// Adds something with `body`, which returns its index: what all adding functions have in common.
unsafe fn add<I: Default>(
    builder: *mut artifact_builder_t,
    index: *mut I,
    error: *mut *mut artifact_error_t,
    body: impl FnOnce(&mut Builder<'static>) -> Result<I>,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let index = out_optional(index, I::default());
        let added = body(&mut handle_mut(builder, "builder")?.builder)?;
        if let Some(index) = index {
            *index = added;
        }
        Ok(())
    }))
}

/// Adds an ELF image as a module. The module that is added last is the main module. An image whose section header table
/// is not its last part is stored with a copy of that table at its end.
///
/// @param builder The builder to change.
/// @param elf An ELF64 image of either byte order, for any machine. It is borrowed, not copied: the bytes must not
///     change until the builder is freed. Only a builder that artifact_cache_get_or_make() passes to a function copies them.
/// @param len The number of bytes.
/// @param index Receives the module's index; may be NULL.
/// @return ARTIFACT_OK, a general status, or one of these, in which case nothing was added:
///   - ARTIFACT_INVALID_ARGUMENT: the image is not ELF, or the builder rewrites an artifact.
///   - ARTIFACT_UNSUPPORTED: the image is ELF32.
///   - ARTIFACT_TRUNCATED: the image ends before its section header table does.
///   - ARTIFACT_CORRUPT: the image is damaged.
///   - ARTIFACT_LIMIT: the image needs an alignment of more than 2 MiB.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_module(
    builder: *mut artifact_builder_t,
    elf: *const u8,
    len: usize,
    index: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!({
        let copies = builder.as_ref().is_some_and(|builder| builder.copies);
        add(builder, index, error, |builder| {
            // Unless it is copied, the header requires that the image stays unchanged until the builder is freed.
            let elf: &'static [u8] = slice(elf, len, "elf")?;
            if copies { builder.add_owned_module(alloc::copy(elf, "a module")?) } else { builder.add_module(elf) }
        })
    })
}

/// Adds an ELF file as a module. The file is read into memory that the builder owns, so it may change afterwards.
///
/// @param builder The builder to change.
/// @param path The file's path.
/// @param index Receives the module's index; may be NULL.
/// @return As artifact_builder_add_module(), or ARTIFACT_IO if the file cannot be read. ARTIFACT_TRUNCATED also if it
/// becomes shorter meanwhile.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_module_file(
    builder: *mut artifact_builder_t,
    path: *const c_char,
    index: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(builder, index, error, |builder| builder.add_module_file(self::path(path)?)))
}

/// Links relocatable objects into one position-independent shared object, and adds that as a module. Equal objects give
/// equal modules.
///
/// The module exports the global symbols of default or protected visibility: artifact_code_symbol() finds them. Every
/// reference to a symbol that one of the objects defines is bound to that definition. artifact_load() resolves
/// undefined symbols. If the first module of an artifact is linked here, the file itself is a shared object: dlopen(),
/// nm, objdump and gdb accept it.
///
/// Of an archive, those members are linked that define a symbol which an object, an entry of the options or another linked
/// member refers to, other than weakly. Of several members that define a symbol, the first one of the first archive
/// counts. Members come after all objects. Messages name them `lib.a(member.o)`. Thin archives, which have no bytes of
/// their members, are refused: `artifact pack` reads the files that they name.
///
/// Objects must match the engine's target (x86-64 or aarch64) and be compiled with -fPIC. Other objects also work if
/// they refer directly only to their own data, have no thread-local variables of their own, and have whole addresses
/// only in instructions that the linker can replace: those of -fPIE, of LLVM's large code model, which its JITs use, and
/// of Cranelift without is_pic.
///
/// Thread-local variables may be reached as in any shared object: general dynamic, local dynamic or through descriptors,
/// which is what -fPIC gives. Initial exec is possible for variables of the host only; artifact_load() refuses it if the
/// variable is not in static storage.
///
/// @param builder The builder to change.
/// @param objects An array of objects and archives, needed only during the call.
/// @param count The number of objects and archives.
/// @param options How to link; NULL: the defaults.
/// @param index Receives the module's index; may be NULL.
/// @return ARTIFACT_OK, a general status, or one of these, in which case nothing was added:
///   - ARTIFACT_INVALID_ARGUMENT: there is nothing to link, an input is neither a relocatable object nor an archive, is a
///     thin archive, or is for another machine than the engine's target, two objects define the same symbol, no object
///     defines an entry with default or protected visibility, or the builder rewrites an artifact.
///   - ARTIFACT_UNSUPPORTED: an object refers directly to data of the host, or needs its code to be written when it is
///     loaded (relocations in text), static thread-local storage of its own (local exec, initial exec), a version of
///     a symbol that it defines or of a library that is not known, an executable stack, or an unknown relocation. The
///     message names object, section, offset, symbol and relocation, and says what to do. It lists all that cannot be
///     linked, duplicate symbols too, up to 20, separated by " | ".
///   - ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT: an object is damaged.
///   - ARTIFACT_LIMIT: the linked image exceeds 2 GiB without .bss and .lbss, or 1 TiB with them, has more than 64 MiB of
///     padding, or more than 256 MiB of thread-local storage.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_objects(
    builder: *mut artifact_builder_t,
    objects: *const artifact_object_t,
    count: usize,
    options: *const artifact_link_options_t,
    index: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(builder, index, error, |builder| {
        let defaults = artifact_link_options_t { size: 0, flags: 0, entries: null(), entry_count: 0 };
        let artifact_link_options_t { flags, entries, entry_count, .. } = self::options(options, defaults, "options")?;
        known_flags(flags, LINK_FLAGS)?;
        let entries = slice(entries, entry_count, "entries")?.iter().map(|entry| text(*entry, "entries[]"));
        let entries = entries.collect::<Result<Vec<_>>>()?;
        let given = slice(objects, count, "objects")?;
        let names: Vec<String> = (0..given.len()).map(|index| format!("object {index}")).collect();
        let objects = given.iter().zip(&names).map(|(object, unnamed)| {
            let name = if object.name.is_null() { unnamed.as_str() } else { text(object.name, "objects[].name")? };
            Ok(Object { name, bytes: slice(object.data, object.len, "objects[].data")? })
        });
        let objects = objects.collect::<Result<Vec<_>>>()?;
        let mut options = Options::default();
        options.leave_out_debug = flags & ARTIFACT_LINK_NO_DEBUG != 0;
        options.whole_archives = flags & ARTIFACT_LINK_WHOLE_ARCHIVE != 0;
        options.gc_sections = flags & ARTIFACT_LINK_GC_SECTIONS != 0;
        options.pack_relative_relocs = flags & ARTIFACT_LINK_PACK_RELATIVE_RELOCS != 0;
        options.entries = &entries;
        builder.add_objects(&objects, &options)
    }))
}

/// Returns the number of modules in a builder; 0 if builder is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_module_count(builder: *const artifact_builder_t) -> usize {
    ffi!(infallible(0, || { handle(builder, "builder").map_or(0, |builder| builder.builder.module_count()) }))
}

/// Adds a function type.
///
/// @param builder The builder to change.
/// @param params The types of the parameters, an artifact_wasm_type_t in each byte; copied; may be NULL if params_len
///     is 0.
/// @param params_len The number of parameters.
/// @param returns The types of the results, likewise; may be NULL if returns_len is 0.
/// @param returns_len The number of results.
/// @param index Receives the index among the function types; may be NULL.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if a type is unknown or the builder rewrites an
///     artifact.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_func_type(
    builder: *mut artifact_builder_t,
    params: *const u8,
    params_len: usize,
    returns: *const u8,
    returns_len: usize,
    index: *mut u32,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    let types =
        |numbers: &[u8]| numbers.iter().map(|number| wasm_type((*number).into())).collect::<Result<Vec<WasmType>>>();
    ffi!(add(builder, index, error, |builder| {
        let params = types(slice(params, params_len, "params")?)?;
        let returns = types(slice(returns, returns_len, "returns")?)?;
        builder.add_func_type(params, returns)
    }))
}

/// Adds an instance type without exports.
///
/// @param builder The builder to change.
/// @param index Receives the index among the instance types; may be NULL.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the builder rewrites an artifact.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_instance_type(
    builder: *mut artifact_builder_t,
    index: *mut u32,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(builder, index, error, |builder| builder.add_instance_type()))
}

/// Appends an export to an instance type.
///
/// @param builder The builder to change.
/// @param instance_type The index of an instance type that was added.
/// @param name The export's name.
/// @param entity What is exported.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the instance type has an export of this name
///     already, if instance_type or an index in entity is out of range, or if the builder rewrites an artifact.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_instance_export(
    builder: *mut artifact_builder_t,
    instance_type: u32,
    name: *const c_char,
    entity: *const artifact_entity_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let builder = &mut handle_mut(builder, "builder")?.builder;
        builder.add_instance_export(instance_type, text(name, "name")?, handle(entity, "entity")?.read()?)
    }))
}

/// Adds a module type without imports.
///
/// @param builder The builder to change.
/// @param exports The index of the instance type that describes the module's instances.
/// @param index Receives the index among the module types; may be NULL.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if there is no such instance type or the builder
///     rewrites an artifact.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_module_type(
    builder: *mut artifact_builder_t,
    exports: u32,
    index: *mut u32,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(builder, index, error, |builder| builder.add_module_type(exports)))
}

/// Appends an import to a module type.
///
/// @param builder The builder to change.
/// @param module_type The index of a module type that was added.
/// @param name The import's name.
/// @param entity What is imported.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the module type has an import of this name
///     already, if module_type or an index in entity is out of range, or if the builder rewrites an artifact.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_module_import(
    builder: *mut artifact_builder_t,
    module_type: u32,
    name: *const c_char,
    entity: *const artifact_entity_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let builder = &mut handle_mut(builder, "builder")?.builder;
        builder.add_module_import(module_type, text(name, "name")?, handle(entity, "entity")?.read()?)
    }))
}

/// Adds an upvar: a module that nested modules can reach, and the modules that it passes on to them. Upvars belong to
/// Wasmtime's module linking; other compilers have none.
///
/// @param builder The builder to change.
/// @param parent The index of the upvar that contains this one, or SIZE_MAX.
/// @param module The index of the module.
/// @param artifact_upvars The indexes of the modules that it passes on, an array that is copied; may be NULL if
///     artifact_upvars_len is 0.
/// @param artifact_upvars_len The number of those modules.
/// @param index Receives the upvar's index; may be NULL.
/// @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if parent or a module has not been added yet or the
///     builder rewrites an artifact, or ARTIFACT_LIMIT if more than 100 levels would be nested.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_upvar(
    builder: *mut artifact_builder_t,
    parent: usize,
    module: usize,
    artifact_upvars: *const usize,
    artifact_upvars_len: usize,
    index: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(builder, index, error, |builder| {
        let passed = slice(artifact_upvars, artifact_upvars_len, "artifact_upvars")?;
        let passed: Vec<u64> = passed.iter().map(|module| *module as u64).collect();
        // Indexes that don't fit into 32 bits become u32::MAX, which is out of range as well.
        let parent = (parent != usize::MAX).then(|| u32::try_from(parent).unwrap_or(u32::MAX));
        builder.add_upvar(parent, module as u64, &passed).map(|index| index as usize)
    }))
}

/// Sets whether a trailer (digests over every byte, attributes, signatures) is written; true by default. Wasmtime 0.33
/// ignores trailers.
///
/// @param builder The builder to change.
/// @param trailer Whether to write a trailer.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if trailer is false while the builder has
///     attributes or keys.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_set_trailer(
    builder: *mut artifact_builder_t,
    trailer: bool,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle_mut(builder, "builder")?.builder.set_trailer(trailer)))
}

/// Sets an attribute: a name and bytes of your own, such as the digest of the source. Replaces the attribute if it
/// exists. A builder that rewrites an artifact starts with that artifact's attributes.
///
/// @param builder The builder to change.
/// @param name The attribute's name, which is copied.
/// @param data The value, which is copied; may be NULL if len is 0.
/// @param len The number of bytes.
/// @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if the builder writes no trailer, or ARTIFACT_LIMIT
///     if there would be more than 65536 attributes or 64 MiB of them in all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_set_attribute(
    builder: *mut artifact_builder_t,
    name: *const c_char,
    data: *const u8,
    len: usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let builder = &mut handle_mut(builder, "builder")?.builder;
        builder.set_attribute(text(name, "name")?, slice(data, len, "data")?)
    }))
}

/// Removes an attribute.
///
/// @param builder The builder to change.
/// @param name The attribute's name.
/// @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if the builder has no attribute of this name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_unset_attribute(
    builder: *mut artifact_builder_t,
    name: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle_mut(builder, "builder")?.builder.unset_attribute(text(name, "name")?)))
}
