//! Builder: an artifact being made.

use std::ffi::{c_char, c_int, c_void};
use std::io;
use std::sync::Arc;

use super::artifact::artifact_t;
use super::boundary::{
    fallible, ffi, free, give_handle, handle, handle_mut, infallible, known_flags, options, out_optional, path, slice,
    text,
};
use super::buffer::artifact_buffer_t;
use super::engine::artifact_engine_t;
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use super::types::{artifact_entity_t, wasm_type};
use artifact::builder::Builder;
use artifact::error::{Error, Result, Status};
use artifact::format::types::WasmType;
use artifact::native::link::{Object, Options};
use artifact::storage::Sync;

/// An artifact being made. Owned; freed with artifact_builder_free(). One thread at a time may change it; functions that
/// take it const may run in many threads at once.
pub struct artifact_builder_t {
    pub(super) builder: Builder<'static>,
}

/// Takes an artifact piece by piece. Returns 0, or an errno that ends the writing. Must not unwind (throw), longjmp, or use
/// the builder. data is only valid during the call.
pub type artifact_write_fn = Option<unsafe extern "C" fn(context: *mut c_void, data: *const u8, len: usize) -> c_int>;

/// How to save; see artifact_serialize_to_file(). Begin with ARTIFACT_SAVE_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_save_options_t {
    /// sizeof(artifact_save_options_t)
    pub size: usize,
    /// ARTIFACT_SAVE_ flags.
    pub flags: u64,
}

/// A relocatable object (ET_REL): what `cc -c`, LLVM, Cranelift and GNU as make. Needed during the call only.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_object_t {
    /// What messages call it, such as its file's name; NULL: its place in the array.
    pub name: *const c_char,
    /// Its bytes.
    pub data: *const u8,
    /// How many those are.
    pub len: usize,
}

/// How to link; see artifact_builder_add_objects(). Begin with ARTIFACT_LINK_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_link_options_t {
    /// sizeof(artifact_link_options_t)
    pub size: usize,
    /// ARTIFACT_LINK_ flags.
    pub flags: u64,
}

const ARTIFACT_LINK_NO_DEBUG: u64 = 1;
const ARTIFACT_SAVE_NO_SYNC: u64 = 1;

/// A builder for a new artifact, for what this engine compiles. The engine's settings as they are now are kept. The
/// caller owns the builder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_new(
    engine: *const artifact_engine_t,
    builder: *mut *mut artifact_builder_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(builder, "builder", error, || {
        let fresh = Builder::new(&handle(engine, "engine")?.engine);
        Ok(artifact_builder_t { builder: fresh })
    }))
}

/// A builder that keeps the body of an artifact byte for byte, its attributes, and those of its signatures that still hold
/// when it is written. No module, type or upvar can be added: every artifact_builder_add_ function is
/// ARTIFACT_INVALID_ARGUMENT. If it has a trailer, saving checks all its digests first: ARTIFACT_DIGEST_MISMATCH or
/// ARTIFACT_CORRUPT if it is damaged. The artifact may be freed before the builder. The caller owns the builder.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_new_from_artifact(
    artifact: *const artifact_t,
    builder: *mut *mut artifact_builder_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(builder, "builder", error, || {
        let copy = Builder::from_artifact(Arc::clone(&handle(artifact, "artifact")?.artifact))?;
        Ok(artifact_builder_t { builder: copy })
    }))
}

/// Frees a builder. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_free(builder: *mut artifact_builder_t) {
    ffi!(free(builder))
}

/// Changes the builder in `body`, which gives an index; the shape of every adding function.
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

/// Adds a module: an ELF64 image of either byte order, of any machine. It is borrowed, not copied: it must stay as it is
/// until the builder is freed. The module added last is the main module. index, which may be NULL, takes the module's index.
/// An image whose section headers are not the last thing in it is stored with a copy of them at its end.
/// ARTIFACT_INVALID_ARGUMENT: no ELF. ARTIFACT_UNSUPPORTED: an ELF32. ARTIFACT_TRUNCATED: ends before its section headers.
/// ARTIFACT_CORRUPT: damaged. ARTIFACT_LIMIT: asks for an alignment over 2 MiB. Nothing is added then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_module(
    builder: *mut artifact_builder_t,
    elf: *const u8,
    len: usize,
    index: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(builder, index, error, |builder| {
        let elf: &'static [u8] = slice(elf, len, "elf")?;
        builder.add_module(elf)
    }))
}

/// Adds a module from a file, which is mapped until the builder is freed; as artifact_builder_add_module(), and
/// ARTIFACT_IO. The file must stay as it is until then: rewriting it in place is saved as it comes, and truncating it
/// can end the process (SIGBUS). Give each compilation an output file of its own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_module_file(
    builder: *mut artifact_builder_t,
    path: *const c_char,
    index: *mut usize,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(builder, index, error, |builder| builder.add_module_file(self::path(path)?)))
}

/// Links objects into one position-independent shared object, and adds that as a module. They are needed during the call only.
/// index, which may be NULL, takes the module's index; options may be NULL. The same objects give the same module.
///
/// Global symbols of default or protected visibility can be looked up in the module. A name that an object defines means
/// that definition in all of them; a name that none defines is left to artifact_load(). An artifact whose first module is made
/// here is a shared object itself: dlopen(), nm, objdump and gdb take the file as it is.
///
/// Objects are for x86-64 or aarch64, whichever the engine's target names, and compiled with -fPIC; code with direct references
/// to its own data (-fPIE) does too. Code is never written when it is loaded, so that what asks for it is refused, as are
/// thread-local storage, indirect functions, symbol versions, executable stacks and unknown relocations:
/// ARTIFACT_UNSUPPORTED, with a message that names object, section, offset, symbol and relocation, and says what to do.
/// ARTIFACT_INVALID_ARGUMENT: no objects, something else than a relocatable object, another machine than the engine's target, a
/// name that two objects define. ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT: a damaged object. ARTIFACT_LIMIT: an image of more
/// than 2 GiB, or with more than 64 MiB of padding. Nothing is added then.
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
        let defaults = artifact_link_options_t { size: 0, flags: 0 };
        let flags = self::options(options, defaults, "options")?.flags;
        known_flags(flags, ARTIFACT_LINK_NO_DEBUG)?;
        let given = slice(objects, count, "objects")?;
        let names: Vec<String> = (0..given.len()).map(|index| format!("object {index}")).collect();
        let objects = given.iter().zip(&names).map(|(object, unnamed)| {
            let name = if object.name.is_null() { unnamed.as_str() } else { text(object.name, "objects[].name")? };
            Ok(Object { name, bytes: slice(object.data, object.len, "objects[].data")? })
        });
        let objects = objects.collect::<Result<Vec<_>>>()?;
        builder.add_objects(&objects, &Options { leave_out_debug: flags & ARTIFACT_LINK_NO_DEBUG != 0 })
    }))
}

/// How many modules it has; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_module_count(builder: *const artifact_builder_t) -> usize {
    ffi!(infallible(0, || { handle(builder, "builder").map_or(0, |builder| builder.builder.module_count()) }))
}

/// Adds a function type from arrays of artifact_wasm_type_t, which are copied. index, which may be NULL, takes its index
/// among the function types.
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

/// Adds an instance type without exports. index, which may be NULL, takes its index among the instance types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_instance_type(
    builder: *mut artifact_builder_t,
    index: *mut u32,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(builder, index, error, |builder| builder.add_instance_type()))
}

/// Adds an export, behind the others, to an instance type. ARTIFACT_INVALID_ARGUMENT if it has that name already, or for an
/// index that nothing has.
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

/// Adds a module type without imports, whose instances have the instance type exports. index, which may be NULL, takes its
/// index among the module types. ARTIFACT_INVALID_ARGUMENT if there is no such instance type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_add_module_type(
    builder: *mut artifact_builder_t,
    exports: u32,
    index: *mut u32,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(add(builder, index, error, |builder| builder.add_module_type(exports)))
}

/// Adds an import, behind the others, to a module type; as artifact_builder_add_instance_export().
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

/// Adds an upvar, a module that nested modules can reach, with the modules that it passes on: a notion of Wasmtime's
/// module linking; other compilers have none. parent is the index of the upvar that it is nested in, or SIZE_MAX. index,
/// which may be NULL, takes its index. ARTIFACT_INVALID_ARGUMENT if parent or a module is not there yet; ARTIFACT_LIMIT
/// for more than 100 levels.
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
        // An index too large for 32 bits names no upvar, and u32::MAX neither.
        let parent = (parent != usize::MAX).then(|| u32::try_from(parent).unwrap_or(u32::MAX));
        builder.add_upvar(parent, module as u64, &passed).map(|index| index as usize)
    }))
}

/// Says whether a trailer follows the body: digests over every byte of the file, and the attributes. It does unless
/// this says otherwise; Wasmtime 0.33 skips it. ARTIFACT_INVALID_ARGUMENT if it shan't although there are attributes,
/// which stand in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_set_trailer(
    builder: *mut artifact_builder_t,
    trailer: bool,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle_mut(builder, "builder")?.builder.set_trailer(trailer)))
}

/// Sets an attribute: bytes of your own under a name of your own, such as the source's digest. Both are copied. One that is
/// there is replaced; a builder made from an artifact begins with that one's. ARTIFACT_INVALID_ARGUMENT without a trailer,
/// ARTIFACT_LIMIT for more than 65536 of them or 64 MiB in all.
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

/// Removes an attribute. ARTIFACT_NOT_FOUND if there is none of that name.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_builder_unset_attribute(
    builder: *mut artifact_builder_t,
    name: *const c_char,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || handle_mut(builder, "builder")?.builder.unset_attribute(text(name, "name")?)))
}

/// The whole artifact in a buffer that the caller owns. The same input gives the same bytes. ARTIFACT_INVALID_ARGUMENT
/// without any module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_serialize(
    builder: *const artifact_builder_t,
    buffer: *mut *mut artifact_buffer_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(buffer, "buffer", error, || {
        handle(builder, "builder")?.builder.serialize().map(artifact_buffer_t::of)
    }))
}

/// The whole artifact as a file. It is written to a fresh temporary file in the same folder, synced, and renamed over
/// path, and the folder is synced: whoever opens path at any moment, through a crash or a full disk, sees the old file
/// whole or the new one whole. After a failure path holds what it held, and the temporary file is gone; only if syncing
/// the folder, the last step, fails, path holds the new file already. A process that is killed while saving may leave
/// the temporary file, .NAME.RANDOM.tmp, which can be deleted when nobody saves there. A symbolic link is followed; one
/// that leads nowhere is ARTIFACT_IO. The new file has the permission bits of the one that it replaces, or else those
/// that the umask leaves; owner and group are the process's. options may be NULL. To be synced, the folder must be
/// readable: otherwise nothing is saved. ARTIFACT_INVALID_ARGUMENT if path is a directory, device, FIFO or socket;
/// ARTIFACT_IO.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_serialize_to_file(
    builder: *const artifact_builder_t,
    path: *const c_char,
    options: *const artifact_save_options_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let builder = &handle(builder, "builder")?.builder;
        let path = self::path(path)?;
        let defaults = artifact_save_options_t { size: 0, flags: 0 };
        let flags = self::options(options, defaults, "options")?.flags;
        known_flags(flags, ARTIFACT_SAVE_NO_SYNC)?;
        builder.serialize_to_file(path, if flags == 0 { Sync::Yes } else { Sync::No })
    }))
}

/// The whole artifact through a callback, in order. What write returns other than 0 ends the writing: ARTIFACT_IO with that
/// errno.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_serialize_to(
    builder: *const artifact_builder_t,
    write: artifact_write_fn,
    context: *mut c_void,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(fallible(error, || {
        let builder = &handle(builder, "builder")?.builder;
        let write =
            write.ok_or_else(|| Error::new(Status::InvalidArgument, "write: expected a function, found NULL"))?;
        builder.serialize_to(|piece| match piece.len() {
            0 => Ok(()),
            len => match write(context, piece.as_ptr(), len) {
                0 => Ok(()),
                errno => {
                    let cause = io::Error::from_raw_os_error(errno);
                    // Whatever ended it: it was the caller's writing, not our memory.
                    Err(Error::io("the caller's write function", &cause).with_status(Status::Io))
                }
            },
        })
    }))
}
