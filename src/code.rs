//! Code: loading modules.

use std::ffi::{c_char, c_void};
use std::sync::Arc;

use super::artifact::artifact_t;
use super::boundary::{
    c_text, ffi, free, give_handle, handle, infallible, known_flags, options, out_array, out_optional, slice,
};
use super::engine::artifact_engine_t;
use super::error::artifact_error_t;
use super::library::artifact_status_t;
use super::text::copy_cut_off;
use artifact::alloc;
use artifact::error::{Result, Status};
use artifact::native::load::{
    Code, HostUnwinders, Import, Libgcc, Llvm, LoadOptions, SymbolizedAddress, load, symbolize,
};

/// An artifact's modules, mapped and ready to run. You own it; free it with artifact_code_free(). Many threads may look
/// symbols up in it at once.
pub struct artifact_code_t {
    code: Code,
}

/// The definition of a symbol that modules import from the host.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_import_t {
    /// The symbol's name.
    pub name: *const c_char,
    /// The symbol's address. NULL does not define it: the next source is asked. Of a thread-local variable: the address of
    /// the instance of the thread that calls artifact_load(). Each thread that runs the code then uses its own instance.
    pub address: *mut c_void,
}

/// Defines symbols that the table of artifact_load_options_t does not define. artifact_load() calls it at most once,
/// with all of them, each once. It sets addresses, and leaves those of unknown symbols NULL. It must not unwind (throw)
/// or longjmp.
///
/// @param context artifact_load_options_t.context.
/// @param missing The symbols, as the modules name them. Array and names are valid only during the call.
/// @param count The number of symbols.
pub type artifact_resolve_fn =
    Option<unsafe extern "C" fn(context: *mut c_void, missing: *mut artifact_import_t, count: usize)>;

/// How to load. Begin with ARTIFACT_LOAD_OPTIONS_INIT.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_load_options_t {
    /// sizeof(artifact_load_options_t).
    pub size: usize,
    /// A combination of ARTIFACT_LOAD_ flags.
    pub flags: u64,
    /// Symbols that the host defines, in any order; of several definitions of a name the first counts. Needed only during
    /// the call. NULL: none.
    pub symbols: *const artifact_import_t,
    /// The number of those symbols.
    pub symbol_count: usize,
    /// Called for symbols that are not among those; may be NULL.
    pub resolve: artifact_resolve_fn,
    /// Passed to resolve; may be NULL.
    pub context: *mut c_void,
    /// __register_frame_info of the host's own libgcc. ARTIFACT_LOAD_OPTIONS_INIT fills this and the following fields
    /// in for the program or library whose source uses it, so that exceptions can pass through the code even if that is
    /// linked with -static-libgcc, and nothing else can find its unwinder. Each must do what the function of its name
    /// does until the code is freed. NULL, as in a language that has no such macro: only the unwinders that the process
    /// exports are told of the code. The same holds if deregister_frame_info is NULL.
    pub register_frame_info: Option<unsafe extern "C" fn(table: *const c_void, object: *mut c_void)>,
    /// __deregister_frame_info of the same; may be NULL.
    pub deregister_frame_info: Option<unsafe extern "C" fn(table: *const c_void) -> *mut c_void>,
    /// __unw_add_dynamic_fde of the host's own libunwind of LLVM; NULL, as for remove_dynamic_fde: it has none.
    pub add_dynamic_fde: Option<unsafe extern "C" fn(fde: usize)>,
    /// __unw_remove_dynamic_fde of the same; may be NULL.
    pub remove_dynamic_fde: Option<unsafe extern "C" fn(fde: usize)>,
    /// The indexes of the modules to load, in any order; NULL: all of them. The others are neither read nor mapped, and what
    /// they do not have does not matter. Needed only during the call.
    pub modules: *const usize,
    /// The number of those indexes, at least 1; 0 with NULL.
    pub module_count: usize,
}

const ARTIFACT_LOAD_ALLOW_MEMFD: u64 = 1;
const ARTIFACT_LOAD_PROCESS_SYMBOLS: u64 = 2;
const ARTIFACT_LOAD_RUN_CONSTRUCTORS: u64 = 4;
const ARTIFACT_LOAD_NO_UNWIND: u64 = 8;
const ARTIFACT_LOAD_GDB: u64 = 16;
const ARTIFACT_LOAD_PERF_MAP: u64 = 32;
const ARTIFACT_LOAD_JITDUMP: u64 = 64;
const ARTIFACT_LOAD_SKIP_CONSTRUCTORS: u64 = 128;
const KNOWN: u64 = ARTIFACT_LOAD_ALLOW_MEMFD
    | ARTIFACT_LOAD_PROCESS_SYMBOLS
    | ARTIFACT_LOAD_RUN_CONSTRUCTORS
    | ARTIFACT_LOAD_NO_UNWIND
    | ARTIFACT_LOAD_GDB
    | ARTIFACT_LOAD_PERF_MAP
    | ARTIFACT_LOAD_JITDUMP
    | ARTIFACT_LOAD_SKIP_CONSTRUCTORS;

/// Loads an artifact's modules so that their code can run: maps them into one range of addresses, text directly from
/// the file, binds the symbols that they use, and registers their unwind tables, so that C++ exceptions can pass
/// through. The code keeps what it needs of the artifact: you may free both in any order. It keeps no descriptor; the
/// artifact keeps one until you free it.
///
/// Trust and compatibility are checked here, whatever was checked when the artifact was opened. If the engine trusts
/// keys, one of them must have signed the artifact, and what runs is exactly what was signed. The artifact must fit the
/// engine, as artifact_check_compat() defines it. Whatever the engine says, this CPU must have the instruction sets and
/// vector lengths that the artifact's ISA flags name, and this process must be permitted to use them.
///
/// Undefined symbols are looked up in the table of the options, then with its callback, then, only with
/// ARTIFACT_LOAD_PROCESS_SYMBOLS, in the process, in the version that the module names. Of what compilers use
/// without being asked, the library defines __cxa_atexit(), 128-bit arithmetic and the like unless the table or the
/// callback does, and __tls_get_addr() always. Modules do not see each other's symbols. After a failure nothing stays
/// mapped.
///
/// If the options name modules, only those are loaded, which takes about as long as if the artifact had no others. Of a
/// signed artifact, only those are read and compared with what was signed. Indexes stay the artifact's:
/// artifact_code_symbol() finds nothing in modules that are not loaded. Their symbols stay undefined, as those of other
/// modules always do. To load another part later, load the artifact again: that is other code, with data of its own.
///
/// Each thread has its own instances of the modules' thread-local variables. A thread gets them, with their initial
/// values, when it first uses one, and keeps them until it ends or the code is freed. That first use takes memory and a
/// lock, so a signal handler must not be the first to use one. Without memory it ends the process, as with dlopen().
///
/// No page is ever writable and executable, and no page that was writable becomes executable: loading works under
/// PR_SET_MDWE. Code that is in no file (artifact_open_bytes()), or that shares a page with something else there, is
/// mapped from a sealed memfd.
///
/// The library checks everything that a file says about its code before it relies on it. It cannot check what the code
/// does when it runs: load only what you trust. Until the code is unmapped, each symbol that the host defines must remain
/// what the code uses it as, and the file must not be truncated or overwritten in place, since its text is mapped. That
/// is when artifact_code_free() returns or, if threads still have destructors of the code to run, when they have ended.
///
/// @param artifact The artifact. Its modules must be shared objects for this machine, such as
///     artifact_builder_add_objects() links, or modules of Wasmtime 0.33.
/// @param engine The engine that the artifact must fit.
/// @param options How to load; NULL: the defaults. A program that is linked with -static-libgcc or a static libunwind
///     passes options that begin with ARTIFACT_LOAD_OPTIONS_INIT: with NULL its exceptions cannot pass through the code.
/// @param code Receives the code, which you own.
/// @return ARTIFACT_OK, a general status, or one of these:
///   - ARTIFACT_UNTRUSTED: the engine trusts keys, and none of them has signed the artifact.
///   - ARTIFACT_WRONG_PRODUCER, ARTIFACT_WRONG_VERSION, ARTIFACT_INCOMPATIBLE: the artifact does not fit the engine or
///     this host.
///   - ARTIFACT_UNRESOLVED: symbols are undefined and not weak; artifact_error_missing() returns all their names.
///   - ARTIFACT_INVALID_ARGUMENT: also if a module imports a thread-local variable, and the host's symbol is not one, or
///     if the options name modules but none.
///   - ARTIFACT_NOT_FOUND: the options name a module that the artifact does not have.
///   - ARTIFACT_UNSUPPORTED: a module is a relocatable object, or needs COPY relocations, relocations in text, or an
///     executable stack; or it uses thread-local variables by the initial-exec model that are not in the static storage
///     of the process, such as its own; or it has constructors, and the flags say neither
///     ARTIFACT_LOAD_RUN_CONSTRUCTORS nor ARTIFACT_LOAD_SKIP_CONSTRUCTORS; or it has indirect functions (IRELATIVE),
///     whose resolvers run only with ARTIFACT_LOAD_RUN_CONSTRUCTORS; or the options need a newer library.
///   - ARTIFACT_CORRUPT, ARTIFACT_TRUNCATED, ARTIFACT_DIGEST_MISMATCH, ARTIFACT_LIMIT: the file is damaged, or is not
///     what was signed.
///   - ARTIFACT_IO: the file cannot be mapped.
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
        let modules = slice(given.modules, given.module_count, "options.modules")?;
        let mut resolver = |missing: &mut [Import<'_>]| ask(&given, missing);
        let flag = |flag| given.flags & flag != 0;
        let mut options = LoadOptions::default();
        options.symbols = &symbols;
        options.resolver = given.resolve.is_some().then_some(&mut resolver);
        options.process_symbols = flag(ARTIFACT_LOAD_PROCESS_SYMBOLS);
        options.allow_memfd = flag(ARTIFACT_LOAD_ALLOW_MEMFD);
        options.constructors = flag(ARTIFACT_LOAD_RUN_CONSTRUCTORS);
        options.skip_constructors = flag(ARTIFACT_LOAD_SKIP_CONSTRUCTORS);
        options.no_unwind = flag(ARTIFACT_LOAD_NO_UNWIND);
        options.gdb = flag(ARTIFACT_LOAD_GDB);
        options.perf_map = flag(ARTIFACT_LOAD_PERF_MAP);
        options.jitdump = flag(ARTIFACT_LOAD_JITDUMP);
        options.unwinders = unwinders(&given);
        options.modules = (!given.modules.is_null()).then_some(modules);
        // `load` runs the modules' code, and so does freeing it. Their descriptions in the header pass its promises on.
        let loaded = load(artifact, engine, options)?;
        Ok(artifact_code_t { code: loaded })
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
        register_frame_info: None,
        deregister_frame_info: None,
        add_dynamic_fde: None,
        remove_dynamic_fde: None,
        modules: std::ptr::null(),
        module_count: 0,
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

fn unwinders(given: &artifact_load_options_t) -> HostUnwinders {
    let libgcc = given.register_frame_info.zip(given.deregister_frame_info);
    let llvm = given.add_dynamic_fde.zip(given.remove_dynamic_fde);
    HostUnwinders {
        libgcc: libgcc.map(|(register, deregister)| Libgcc { register, deregister }),
        llvm: llvm.map(|(add, remove)| Llvm { add, remove }),
    }
}

/// Asks the callback for the addresses of missing symbols.
unsafe fn ask(given: &artifact_load_options_t, missing: &mut [Import<'_>]) -> Result<()> {
    let Some(resolve) = given.resolve else { return Ok(()) };
    let import = |import: &Import<'_>| artifact_import_t { name: import.name.as_ptr(), address: std::ptr::null_mut() };
    let mut asked = alloc::collect(missing.iter().map(import), "missing symbols")?;
    ffi!(resolve(given.context, asked.as_mut_ptr(), asked.len()));
    for (import, answer) in missing.iter_mut().zip(&asked) {
        import.address = answer.address;
    }
    Ok(())
}

/// Returns the index of the main module, which is the last one; 0 if code is NULL. It equals artifact_main_module() of
/// the artifact, which may have been freed, whether that module is loaded or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_code_main_module(code: *const artifact_code_t) -> usize {
    ffi!(infallible(0, || {
        let code = handle(code, "code");
        code.map_or(0, |code| code.code.module_count().saturating_sub(1))
    }))
}

/// Looks up a function or object that a module exports. Modules of Wasmtime 0.33 export nothing: any symbol of theirs
/// is found. Of a thread-local variable, the calling thread's instance is found, as with dlsym(), and made if it is the
/// first use. Of a symbol with several versions, the default one is found: name@@VERSION, as with dlsym(). Of an indirect
/// function, the resolver is called, as with dlsym(); without ARTIFACT_LOAD_RUN_CONSTRUCTORS it is not found.
///
/// @param code The code, or NULL.
/// @param module The module's index in the artifact, such as artifact_code_main_module().
/// @param name The symbol's name.
/// @param size Receives the symbol's size in bytes, 0 if unknown; may be NULL.
/// @return The address, valid until the code is freed, that of a thread-local variable also only until the calling
///     thread ends; NULL if the module is not loaded or exports no such symbol, or there is no memory for a thread-local variable.
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

/// The function or object that an address belongs to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct artifact_symbolized_t {
    /// The index of its module in the artifact that the code was loaded from.
    pub module: usize,
    /// The distance of the address from the first byte of the function or object, in bytes.
    pub offset: usize,
    /// The length of its name in bytes, without the NUL, whether or not the name fits into the buffer.
    pub name_len: usize,
}

/// Finds the function or object that contains an address, whether it is exported or not. For a return address pass
/// pc - 1: the call may be the last instruction of its function.
///
/// A signal handler may call it: it takes no lock and no memory. It may change errno. It looks at every symbol of the
/// module that the address is in.
///
/// @param code The code.
/// @param pc The address.
/// @param name Receives the symbol's name as the module has it, which is UTF-8 unless its compiler or linker chose
///     otherwise, with a NUL at its end. A name that does not fit is cut off; then found->name_len is at least
///     name_size. Empty if the call fails. NULL if name_size is 0.
/// @param name_size The size of that buffer in bytes; 0: the name is not needed.
/// @param found Receives the symbol's place; zeros if the call fails. May be NULL.
/// @return ARTIFACT_OK; ARTIFACT_NOT_FOUND if no symbol of this code contains the address; ARTIFACT_INVALID_ARGUMENT if
///     code is NULL, or name is NULL and name_size is not 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_code_symbolize(
    code: *const artifact_code_t,
    pc: *const c_void,
    name: *mut c_char,
    name_size: usize,
    found: *mut artifact_symbolized_t,
) -> artifact_status_t {
    ffi!(give_symbol(name, name_size, found, |give| {
        let code = code.as_ref().ok_or(Status::InvalidArgument)?;
        code.code.symbolize(pc as usize).map(give).ok_or(Status::NotFound)
    }))
}

/// Finds the function or object that contains an address in all code that is loaded in this process, as
/// artifact_code_symbolize() does in the code of one artifact. Other threads may load and free code meanwhile. A signal
/// handler may call it: it takes no lock and no memory. It may change errno. Who frees code waits for calls that are
/// reading its symbols.
///
/// It does not tell which code contains the address; artifact_code_symbolize() does, of one that you name. Code of another
/// copy of this library in the same process is not found.
///
/// @param pc The address, as for artifact_code_symbolize().
/// @param name As artifact_code_symbolize().
/// @param name_size As artifact_code_symbolize().
/// @param found As artifact_code_symbolize().
/// @return ARTIFACT_OK; ARTIFACT_NOT_FOUND if no symbol of loaded code contains the address; ARTIFACT_INVALID_ARGUMENT
///     if name is NULL and name_size is not 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_symbolize(
    pc: *const c_void,
    name: *mut c_char,
    name_size: usize,
    found: *mut artifact_symbolized_t,
) -> artifact_status_t {
    ffi!(give_symbol(name, name_size, found, |give| symbolize(pc as usize, give).ok_or(Status::NotFound)))
}

/// Gives C the symbol that `find` passes on. An error would take memory, so there is only a status.
unsafe fn give_symbol(
    name: *mut c_char,
    name_size: usize,
    found: *mut artifact_symbolized_t,
    find: impl FnOnce(&mut dyn FnMut(SymbolizedAddress<'_>)) -> std::result::Result<(), Status>,
) -> artifact_status_t {
    ffi!({
        let found = out_optional(found, artifact_symbolized_t { module: 0, offset: 0, name_len: 0 });
        let name = out_array(name.cast::<u8>(), name_size);
        infallible(Status::Internal, || {
            let Some(name) = name else { return Status::InvalidArgument };
            let mut found = found;
            let outcome = find(&mut |symbol| {
                copy_cut_off(symbol.name, name);
                if let Some(found) = &mut found {
                    **found = artifact_symbolized_t {
                        module: symbol.module,
                        offset: symbol.offset as usize,
                        name_len: symbol.name.len(),
                    };
                }
            });
            outcome.err().unwrap_or(Status::Ok)
        })
        .into()
    })
}

/// Frees code. No thread may run the code any more, and from then on nothing may use its functions, its data, or pointers
/// to them, such as callbacks that it registered; no exception object that it threw may still exist. NULL is allowed.
///
/// These run before artifact_code_free() returns, in this order:
///   - the destructors of this thread's thread_local objects;
///   - if constructors were run, the modules' destructors, those of the last module first;
///   - whether they were run or not, what the code has registered with atexit(), and the destructors of its function-local
///     static objects. What it has registered with at_quick_exit() or pthread_atfork() is forgotten.
///
/// The destructors of other threads' thread_local objects run when these threads end. The code stays mapped, and known to
/// unwinders and debuggers, until they have run, and the last of these threads unmaps it: until then the symbols that the
/// host defines must stay valid. That is never if a thread does not end, and in the child of a fork(), which has only one
/// of the threads. The thread-local variables of all threads are freed with the code. When the process exits, the thread
/// that calls exit() runs its destructors; other threads do not. Of code that is not freed, exit() also runs what it has
/// registered with atexit() and the destructors of its static objects, but no other destructors of the modules, such as
/// functions with the attribute destructor.
///
/// All this holds for what is registered through __cxa_atexit(), __cxa_thread_atexit(), and what calls them. If the host
/// defines these functions itself for the code, in another way than the C library, that is the host's task.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn artifact_code_free(code: *mut artifact_code_t) {
    ffi!(free(code))
}
