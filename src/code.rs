//! Code: modules made runnable.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::artifact::artifact_t;
use super::boundary::{
    c_text, fallible, ffi, free, give_handle, handle, infallible, known_flags, options, out_optional, slice,
};
use super::engine::artifact_engine_t;
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use super::text::Texts;
use artifact::alloc;
use artifact::error::{Error, Result, Status};
use artifact::native::load::{Code, Import, LoadOptions, load};

/// An artifact's modules, mapped and bound. Owned; freed with artifact_code_free(). All functions that read it may run in
/// many threads at once.
pub struct artifact_code_t {
    code: Code,
    texts: Texts,
}

/// A symbol that modules use and the host defines.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_import_t {
    /// Its name.
    pub name: *const c_char,
    /// Its address; NULL: not defined.
    pub address: *mut c_void,
}

/// Defines symbols: called once in artifact_load(), if modules use names that the table doesn't have, with all of them at once,
/// each once. Sets addresses and leaves NULL what it doesn't know. Names are as the modules have them, valid during the call.
/// Must not unwind or longjmp.
pub type artifact_resolve_fn =
    Option<unsafe extern "C" fn(context: *mut c_void, missing: *mut artifact_import_t, count: usize)>;

/// How to load. Begin with ARTIFACT_LOAD_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_load_options_t {
    /// sizeof(artifact_load_options_t)
    pub size: usize,
    /// ARTIFACT_LOAD_ flags.
    pub flags: u64,
    /// What the host defines, in any order; of several with one name the first counts. Needed during the call only.
    pub symbols: *const artifact_import_t,
    /// How many those are.
    pub symbol_count: usize,
    /// Asked for what is missing then; may be NULL.
    pub resolve: artifact_resolve_fn,
    /// Passed to resolve.
    pub context: *mut c_void,
}

const ARTIFACT_LOAD_ALLOW_MEMFD: u64 = 1;
const ARTIFACT_LOAD_PROCESS_SYMBOLS: u64 = 2;
const ARTIFACT_LOAD_RUN_CONSTRUCTORS: u64 = 4;
const ARTIFACT_LOAD_NO_UNWIND: u64 = 8;
const ARTIFACT_LOAD_GDB: u64 = 16;
const ARTIFACT_LOAD_PERF_MAP: u64 = 32;
const ARTIFACT_LOAD_JITDUMP: u64 = 64;
const KNOWN: u64 = ARTIFACT_LOAD_ALLOW_MEMFD
    | ARTIFACT_LOAD_PROCESS_SYMBOLS
    | ARTIFACT_LOAD_RUN_CONSTRUCTORS
    | ARTIFACT_LOAD_NO_UNWIND
    | ARTIFACT_LOAD_GDB
    | ARTIFACT_LOAD_PERF_MAP
    | ARTIFACT_LOAD_JITDUMP;

/// Makes an artifact's modules runnable: maps them into one range of addresses, text straight from the file, binds the symbols
/// that they use, and tells the process's unwinders about them, so that C++ exceptions pass through. The caller owns the code,
/// which keeps what it needs of the artifact: both may be freed in any order.
///
/// The engine is needed. If it trusts keys, one of them must have signed the artifact (ARTIFACT_UNTRUSTED), and the code that
/// runs is what was signed (ARTIFACT_DIGEST_MISMATCH); then it must fit, as artifact_check_compat() says: whatever was checked
/// when the artifact was opened. Symbols that modules leave undefined are looked for in the table of the options, then by its
/// callback, then, only with ARTIFACT_LOAD_PROCESS_SYMBOLS, in the process; modules don't see one another's. What is still
/// missing and not weak is ARTIFACT_UNRESOLVED, one error with every name (artifact_error_missing()). After a failure nothing
/// stays mapped.
///
/// Modules are shared objects for this machine, or those of Wasmtime 0.33. ARTIFACT_UNSUPPORTED: relocatable objects,
/// thread-local storage, indirect functions (IRELATIVE), COPY relocations, relocations in text, an executable stack.
/// ARTIFACT_CORRUPT, ARTIFACT_TRUNCATED, ARTIFACT_DIGEST_MISMATCH, ARTIFACT_LIMIT: the file. ARTIFACT_IO: it can't be mapped.
/// ARTIFACT_WRONG_PRODUCER, ARTIFACT_WRONG_VERSION, ARTIFACT_INCOMPATIBLE: it isn't for this engine or this host.
///
/// No page is ever writable and executable, and none becomes executable that was writable: this works under PR_SET_MDWE.
/// What is in no file (artifact_open_bytes()), or not on pages of its own there, is mapped from a sealed memfd.
///
/// Whatever a file says about its code is checked before it is used. What the code does when it is called nobody can check:
/// load only what you trust.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_load(
    artifact: *const artifact_t,
    engine: *const artifact_engine_t,
    options: *const artifact_load_options_t,
    code: *mut *mut artifact_code_t,
    error: *mut *mut artifact_error_t,
) -> artifact_status_t {
    ffi!(give_handle(code, "code", error, || {
        let artifact = Arc::clone(&handle(artifact, "artifact")?.artifact);
        let engine = &handle(engine, "engine")?.engine;
        let given = read_options(options)?;
        let symbols = imports(&given)?;
        let mut resolver = |missing: &mut [Import<'_>]| ask(&given, missing);
        let flag = |flag| given.flags & flag != 0;
        let loaded = load(
            artifact,
            engine,
            LoadOptions {
                symbols: &symbols,
                resolver: given.resolve.is_some().then_some(&mut resolver),
                process_symbols: flag(ARTIFACT_LOAD_PROCESS_SYMBOLS),
                allow_memfd: flag(ARTIFACT_LOAD_ALLOW_MEMFD),
                constructors: flag(ARTIFACT_LOAD_RUN_CONSTRUCTORS),
                no_unwind: flag(ARTIFACT_LOAD_NO_UNWIND),
                gdb: flag(ARTIFACT_LOAD_GDB),
                perf_map: flag(ARTIFACT_LOAD_PERF_MAP),
                jitdump: flag(ARTIFACT_LOAD_JITDUMP),
            },
        )?;
        Ok(artifact_code_t { code: loaded, texts: Texts::default() })
    }))
}

unsafe fn read_options(given: *const artifact_load_options_t) -> Result<artifact_load_options_t> {
    let defaults = artifact_load_options_t {
        size: 0,
        flags: 0,
        symbols: std::ptr::null(),
        symbol_count: 0,
        resolve: None,
        context: std::ptr::null_mut(),
    };
    let given = ffi!(options(given, defaults, "options"))?;
    known_flags(given.flags, KNOWN)?;
    Ok(given)
}

unsafe fn imports<'a>(given: &artifact_load_options_t) -> Result<Vec<Import<'a>>> {
    let symbols = ffi!(slice(given.symbols, given.symbol_count, "options.symbols"))?;
    let mut imports = alloc::with_capacity(symbols.len(), "symbols")?;
    for symbol in symbols {
        let name = ffi!(c_text(symbol.name, "options.symbols[].name"))?;
        imports.push(Import { name, address: symbol.address });
    }
    Ok(imports)
}

/// Asks the callback for the addresses of missing symbols. If there is no memory for its array, they stay undefined.
unsafe fn ask(given: &artifact_load_options_t, missing: &mut [Import<'_>]) {
    let Some(resolve) = given.resolve else { return };
    let import = |import: &Import<'_>| artifact_import_t { name: import.name.as_ptr(), address: std::ptr::null_mut() };
    let Ok(mut asked) = alloc::collect(missing.iter().map(import), "missing symbols") else { return };
    ffi!(resolve(given.context, asked.as_mut_ptr(), asked.len()));
    for (import, answer) in missing.iter_mut().zip(&asked) {
        import.address = answer.address;
    }
}

/// Returns the index of the main module, the last one; 0 for NULL. It is the same as artifact_main_module() of the artifact,
/// which may have been freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_code_main_module(code: *const artifact_code_t) -> usize {
    ffi!(infallible(0, || {
        let code = handle(code, "code");
        code.map_or(0, |code| code.code.module_count().saturating_sub(1))
    }))
}

/// The address of the function or object that a module exports under that name; NULL if it exports none. *size, which may be
/// NULL, is its size in bytes, or 0 where that isn't known. Of Wasmtime's modules, which export nothing, any symbol. Valid until
/// the code is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_code_symbol(
    code: *const artifact_code_t,
    module: usize,
    name: *const c_char,
    size: *mut usize,
) -> *mut c_void {
    ffi!(infallible(std::ptr::null_mut(), || {
        let size = out_optional(size, 0);
        let found =
            handle(code, "code").and_then(|code| Ok(code.code.symbol(module, c_text(name, "name")?.to_bytes())));
        let found = found.ok().flatten();
        if let (Some(size), Some(place)) = (size, found) {
            *size = place.size as usize;
        }
        found.map_or(std::ptr::null_mut(), |place| place.address as *mut c_void)
    }))
}

/// What an address lies in: the module, the name of the function or object, whether exported or not, and how many bytes
/// behind its beginning. The name is valid until the code is freed. Each of the three may be NULL. ARTIFACT_NOT_FOUND if the
/// address lies in none of this code's. Of a return address take the one before: the next function may begin there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_code_symbolize(
    code: *const artifact_code_t,
    pc: *const c_void,
    module: *mut usize,
    name: *mut *const c_char,
    offset: *mut usize,
) -> artifact_status_t {
    ffi!({
        let (module, offset) = (out_optional(module, 0), out_optional(offset, 0));
        let name = out_optional(name, std::ptr::null());
        fallible(std::ptr::null_mut(), || {
            let code = handle(code, "code")?;
            let found = code.code.symbolize(pc as usize);
            let found = found.ok_or_else(|| Error::new(Status::NotFound, "no symbol has that address"))?;
            let text = code.texts.get(found.name)?;
            for (to, value) in [(module, found.module), (offset, found.offset as usize)] {
                to.into_iter().for_each(|to| *to = value);
            }
            name.into_iter().for_each(|to| *to = text);
            Ok(())
        })
    })
}

/// Frees code: runs destructors, if constructors ran, and unmaps it. No thread may run it or use its data any more, and no
/// exception object that it threw may be alive. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_code_free(code: *mut artifact_code_t) {
    ffi!(free(code))
}
