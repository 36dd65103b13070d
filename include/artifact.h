/*
 * libartifact: compiled code saved once, shipped, known to fit this host, and opened again in microseconds.
 *
 * A tour. What a host compiles with is an *engine*. ELF modules and an engine go into a *builder*, which writes an *artifact*,
 * one file; opened again, the artifact is checked against the engine of the host that wants to use it:
 *
 *     artifact_engine_t *engine = artifact_engine_new();                     saving: what your compiler used
 *     artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "avx2", true, NULL);
 *     artifact_builder_new(engine, &builder, &error);
 *     artifact_builder_add_module(builder, elf, elf_len, NULL, &error);
 *     artifact_serialize_to_file(builder, "code.artifact", NULL, &error);
 *
 *     artifact_engine_t *host = artifact_engine_new_host();                  using: what this CPU has
 *     artifact_open_file("code.artifact", host, NULL, &artifact, &error);
 *     artifact_check_compat(artifact, host, &error);                         OK, or why not
 *     artifact_module(artifact, artifact_main_module(artifact), &module, &error);
 *
 * Errors. A call that can fail returns an artifact_status_t and takes, last, `artifact_error_t **error`, which may be NULL.
 * On success *error is set to NULL; on failure to an error that you own and free with artifact_error_free(). What it held before
 * is not looked at: free an error before you pass the same variable again. No global state shows: there is no "last error", no
 * environment variable, no signal handler, and nothing is ever printed. A NULL where a pointer is needed is
 * ARTIFACT_INVALID_ARGUMENT, naming the argument; text that is not UTF-8 likewise (paths are bytes). A defect of the library is
 * ARTIFACT_INTERNAL. Memory that grows with a file and can't be had is ARTIFACT_NO_MEMORY.
 *
 * Results. Out-parameters are written on every path: NULL, 0 or empty on failure. "Owned" means that you free it, "borrowed" that
 * it is valid until the named handle is freed. Text is NUL-terminated UTF-8; where a file has other bytes in a name, U+FFFD
 * stands for them.
 *
 * Handles. Each is freed with its own _free, which takes NULL too, and in any order: a builder or artifact keeps what it needs
 * of others. A const handle may be used by many threads at once; a handle that is not const by one at a time, and by nobody
 * after it was freed.
 *
 * Options are structs that grow: begin with their _INIT, which sets their size. NULL means the defaults. What a newer caller asks
 * of an older library is ARTIFACT_UNSUPPORTED, never ignored. Enumerations are passed as uint32_t.
 *
 * Files that come from elsewhere may be damaged or hostile: opening, reading and verifying them is safe, bounded in memory, and
 * never ends the process. Machine code that is well-formed and does harm is another matter: run only what you trust. Who signs
 * with artifact_builder_add_key() is trusted with artifact_engine_trust_key(): an engine that trusts a key opens only what that
 * key has signed, and modules are then served from private copies that were checked.
 */
#ifndef ARTIFACT_H
#define ARTIFACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version of this header; artifact_version() is the library's. */
#define ARTIFACT_VERSION_MAJOR 0
#define ARTIFACT_VERSION_MINOR 1
#define ARTIFACT_VERSION_PATCH 0
#define ARTIFACT_VERSION_NUMBER                                                                                        \
    (ARTIFACT_VERSION_MAJOR * 1000000 + ARTIFACT_VERSION_MINOR * 1000 + ARTIFACT_VERSION_PATCH)
#define ARTIFACT_VERSION_STRING "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* ==== Handles: each is freed with its own _free ==== */

/**
 * Why a call failed. Owned by the caller, who frees it with artifact_error_free(). Every function here takes NULL, which
 * stands for "no error". May be read from many threads at once.
 */
typedef struct artifact_error_t artifact_error_t;

/**
 * Bytes that the caller owns and frees with artifact_buffer_free(). One NUL, which doesn't count, stands behind the last
 * byte, so that text in a buffer can be used as it is. May be read from many threads at once.
 */
typedef struct artifact_buffer_t artifact_buffer_t;

/**
 * What a host compiles with, or runs: target, flags, tunables, features, producer and version rule. Owned; freed with
 * artifact_engine_free(). Functions that take it const may run in many threads at once as long as none changes it.
 * Builders, artifacts and reports keep what they need of it: it may be changed or freed at any time after the call.
 */
typedef struct artifact_engine_t artifact_engine_t;

/**
 * An artifact being made. Owned; freed with artifact_builder_free(). One thread at a time may change it; functions that
 * take it const may run in many threads at once.
 */
typedef struct artifact_builder_t artifact_builder_t;

/**
 * An opened artifact. Owned; freed with artifact_free(). All functions that read it may run in many threads at once.
 */
typedef struct artifact_t artifact_t;

/**
 * A private key: Ed25519 (RFC 8032). Owned; freed with artifact_key_free(). It is wiped from memory when it and every builder
 * that signs with it are freed; a text that it was read from is yours to wipe. May be used from many threads at once.
 */
typedef struct artifact_key_t artifact_key_t;

/**
 * An artifact's modules, mapped and bound. Owned; freed with artifact_code_free(). All functions that read it may run in
 * many threads at once.
 */
typedef struct artifact_code_t artifact_code_t;

/**
 * What a comparison or a verification found. Owned; freed with artifact_report_free(). May be read from many threads
 * at once.
 */
typedef struct artifact_report_t artifact_report_t;

/* ==== Library ==== */

/**
 * What a call came to. The numbers never change meaning and are never reused; new ones may come, so keep a default in
 * a switch. By the number alone: 10 is not ours, or too little to tell (an artifact cut to under 4 bytes, or right
 * behind its first module): leave it alone where others put files, replace it in a cache folder of your own. 11 to 13
 * is damaged. 20 to 23 is sound but stale or foreign: make it anew. 30 must not run. To replace a bad file save over
 * it; don't delete it first, since another process may just have replaced it.
 */
typedef enum artifact_status_t {
    /** All is well. */
    ARTIFACT_OK = 0,
    /** An argument makes no sense; the message names it. */
    ARTIFACT_INVALID_ARGUMENT = 1,
    /** The operating system refused; artifact_error_errno() says why. */
    ARTIFACT_IO = 2,
    /** A limit of the library or of the call's options was exceeded. */
    ARTIFACT_LIMIT = 3,
    /** Memory ran out. */
    ARTIFACT_NO_MEMORY = 4,
    /** There is no such section, symbol, flag, attribute or index. A missing file is ARTIFACT_IO with ENOENT. */
    ARTIFACT_NOT_FOUND = 5,
    /** The file is nothing of ours. */
    ARTIFACT_NOT_AN_ARTIFACT = 10,
    /** The file ends inside something that promised more. */
    ARTIFACT_TRUNCATED = 11,
    /** The file contradicts the format or itself. */
    ARTIFACT_CORRUPT = 12,
    /** A digest doesn't match. */
    ARTIFACT_DIGEST_MISMATCH = 13,
    /** Made for another host, or with other settings. */
    ARTIFACT_INCOMPATIBLE = 20,
    /** Written by another version. */
    ARTIFACT_WRONG_VERSION = 21,
    /** Written by another producer. */
    ARTIFACT_WRONG_PRODUCER = 22,
    /** Asks for something that this library can't do. */
    ARTIFACT_UNSUPPORTED = 23,
    /** Not signed by a key that the engine trusts: don't run it. */
    ARTIFACT_UNTRUSTED = 30,
    /** Symbols that nobody defines; artifact_error_missing() has their names. */
    ARTIFACT_UNRESOLVED = 40,
    /** A defect of the library. */
    ARTIFACT_INTERNAL = 90,
} artifact_status_t;

/** Bytes that somebody else owns; the function that gives them says who. data is NULL exactly where len is 0. */
typedef struct artifact_slice_t {
    /** The first byte. */
    const uint8_t *data;
    /** How many bytes. */
    size_t len;
} artifact_slice_t;

/**
 * The library's version at run time, as ARTIFACT_VERSION_NUMBER was when the library was built:
 * major * 1000000 + minor * 1000 + patch.
 */
uint32_t artifact_version(void);

/** The library's version at run time, as text such as "0.1.0". Static: never freed. */
const char *artifact_version_string(void);

/**
 * The name of a status, such as "ARTIFACT_CORRUPT"; "unknown status" for a number that is none. Static: never freed.
 */
const char *artifact_status_name(uint32_t status);

/* ==== Error: why a call failed ==== */

/** The status that the failed call returned; ARTIFACT_OK for NULL. */
artifact_status_t artifact_error_status(const artifact_error_t *error);

/**
 * One sentence: what was expected, what was found, where. Without line breaks or other control characters. Valid until
 * the error is freed; "" for NULL.
 */
const char *artifact_error_message(const artifact_error_t *error);

/**
 * Where in the file or bytes, counted from their beginning (not from the artifact's, where that is inside a larger file);
 * UINT64_MAX if it is about no place in particular, and for NULL.
 */
uint64_t artifact_error_offset(const artifact_error_t *error);

/** The operating system's error number; 0 if it had no part in it, and for NULL. */
int artifact_error_errno(const artifact_error_t *error);

/** How many symbols nobody defines; 0 unless the status is ARTIFACT_UNRESOLVED, and for NULL. */
size_t artifact_error_missing_count(const artifact_error_t *error);

/** The name of one of them, valid until the error is freed; NULL past the last one, and for NULL. */
const char *artifact_error_missing(const artifact_error_t *error, size_t index);

/** Frees an error. NULL is fine. */
void artifact_error_free(artifact_error_t *error);

/* ==== Buffer: bytes that you own ==== */

/** The first byte, valid until the buffer is freed; NULL for NULL. */
const uint8_t *artifact_buffer_data(const artifact_buffer_t *buffer);

/** How many bytes; 0 for NULL. */
size_t artifact_buffer_len(const artifact_buffer_t *buffer);

/** Frees a buffer. NULL is fine. */
void artifact_buffer_free(artifact_buffer_t *buffer);

/* ==== Flags, tunables, features: what engines and artifacts are described with ==== */

/** The two maps of compiler flags. */
typedef enum artifact_flag_map_t {
    /** Flags that every architecture has, such as "opt_level". Compared exactly. */
    ARTIFACT_FLAGS_SHARED = 0,
    /** Instruction sets, such as "avx2". A boolean only matters where the artifact has it on. */
    ARTIFACT_FLAGS_ISA = 1,
} artifact_flag_map_t;

/** What kind of value a flag has. */
typedef enum artifact_flag_kind_t {
    /** One of several words. */
    ARTIFACT_FLAG_ENUM = 0,
    /** A number of 0 to 255. */
    ARTIFACT_FLAG_NUM = 1,
    /** On or off. */
    ARTIFACT_FLAG_BOOL = 2,
} artifact_flag_kind_t;

/**
 * How a compiler lays out linear memories, and what it compiles in. Sizes are in bytes unless said otherwise; the others
 * are 0 or 1. All but the two that say so are compared.
 */
typedef enum artifact_tunable_t {
    /** Memories up to this many Wasm pages are reserved whole. */
    ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND = 0,
    /** Guard behind such a memory. */
    ARTIFACT_TUNABLE_STATIC_MEMORY_OFFSET_GUARD_SIZE = 1,
    /** Guard behind a memory that can move. */
    ARTIFACT_TUNABLE_DYNAMIC_MEMORY_OFFSET_GUARD_SIZE = 2,
    /** How far such a memory can grow in place. Not compared. */
    ARTIFACT_TUNABLE_DYNAMIC_MEMORY_GROWTH_RESERVE = 3,
    /** DWARF for the machine code. */
    ARTIFACT_TUNABLE_GENERATE_NATIVE_DEBUGINFO = 4,
    /** The Wasm module's DWARF is used in backtraces. */
    ARTIFACT_TUNABLE_PARSE_WASM_DEBUGINFO = 5,
    /** Code can be interrupted. */
    ARTIFACT_TUNABLE_INTERRUPTABLE = 6,
    /** Code counts fuel. */
    ARTIFACT_TUNABLE_CONSUME_FUEL = 7,
    /** No memory grows beyond the static bound, as a pooling allocator needs it. */
    ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND_IS_MAXIMUM = 8,
    /** A guard lies before each memory too. */
    ARTIFACT_TUNABLE_GUARD_BEFORE_LINEAR_MEMORY = 9,
    /** A map from machine code to Wasm code is stored. Not compared. */
    ARTIFACT_TUNABLE_GENERATE_ADDRESS_MAP = 10,
} artifact_tunable_t;

/** Wasm proposals that the compiler accepts. */
typedef enum artifact_feature_t {
    ARTIFACT_FEATURE_REFERENCE_TYPES = 0,
    ARTIFACT_FEATURE_MULTI_VALUE = 1,
    ARTIFACT_FEATURE_BULK_MEMORY = 2,
    ARTIFACT_FEATURE_MODULE_LINKING = 3,
    ARTIFACT_FEATURE_SIMD = 4,
    ARTIFACT_FEATURE_THREADS = 5,
    ARTIFACT_FEATURE_TAIL_CALL = 6,
    ARTIFACT_FEATURE_DETERMINISTIC_ONLY = 7,
    ARTIFACT_FEATURE_MULTI_MEMORY = 8,
    ARTIFACT_FEATURE_EXCEPTIONS = 9,
    ARTIFACT_FEATURE_MEMORY64 = 10,
} artifact_feature_t;

/** One flag. Its texts are borrowed: valid until the engine or artifact that they were asked of is freed. */
typedef struct artifact_flag_t {
    /** Its name. */
    const char *name;
    /** An artifact_flag_kind_t. */
    uint32_t kind;
    /** The number, or 1 for on and 0 for off; 0 for a word. */
    uint32_t value;
    /** The word; NULL for the other kinds. */
    const char *text;
} artifact_flag_t;

/* ==== Engine: what a host compiles with, or runs ==== */

/** Which version an engine writes, and which it accepts when opening. */
typedef enum artifact_version_rule_t {
    /**
     * The revision of the body's layout, "1", which no release of the library changes without need; "0.33.0" under producer
     * "wasmtime". Accepts exactly that.
     */
    ARTIFACT_VERSION_RULE_LIBRARY = 0,
    /** The embedder's own, such as its compiler's version. Accepts exactly that. */
    ARTIFACT_VERSION_RULE_CUSTOM = 1,
    /** Writes none and accepts any. */
    ARTIFACT_VERSION_RULE_NONE = 2,
} artifact_version_rule_t;

/**
 * An engine with this host's target triple and no flags: the baseline that a compiler fills in. Producer "artifact",
 * library version rule, tunables 0 and features off. The caller owns it. NULL only for a defect of the library.
 *
 * If your code generator can change, set a producer and ARTIFACT_VERSION_RULE_CUSTOM with its version or build id: the
 * library rule notices neither a new compiler nor a new runtime.
 */
artifact_engine_t *artifact_engine_new(void);

/**
 * The same plus every instruction set of this very CPU, detected at run time, under LLVM's target-feature names: what
 * artifacts are checked against. On machines other than x86-64 and aarch64 there are none. Shared flags, tunables, features,
 * producer and version are as empty as in artifact_engine_new(): set the same ones on both.
 */
artifact_engine_t *artifact_engine_new_host(void);

/**
 * What Wasmtime 0.33 compiles with on this host by default, under producer "wasmtime" and Cranelift's names: exchanges
 * files with it.
 */
artifact_engine_t *artifact_engine_new_wasmtime(void);

/** A copy that the caller owns; NULL for NULL. */
artifact_engine_t *artifact_engine_clone(const artifact_engine_t *engine);

/** Frees an engine. NULL is fine. */
void artifact_engine_free(artifact_engine_t *engine);

/**
 * Sets the target triple, such as "x86_64-unknown-linux-gnu". ARTIFACT_INVALID_ARGUMENT if it is none. Only architecture and
 * operating system are compared: if your code depends on a C library or an ABI, say so in a shared flag.
 */
artifact_status_t artifact_engine_set_target(artifact_engine_t *engine,
                                             const char *triple,
                                             artifact_error_t **error);

/**
 * Sets who compiles: 1 to 32 of a-z 0-9 . _ -, not containing "-aot", which the file puts behind it; otherwise
 * ARTIFACT_INVALID_ARGUMENT. Files of another producer are not opened. Under "wasmtime" Wasmtime 0.33 opens the files that
 * are written.
 */
artifact_status_t artifact_engine_set_producer(artifact_engine_t *engine,
                                               const char *producer,
                                               artifact_error_t **error);

/**
 * Sets which version is written and accepted: an artifact_version_rule_t. custom is the version's text, 0 to 255 bytes,
 * with ARTIFACT_VERSION_RULE_CUSTOM, and NULL with the others; otherwise ARTIFACT_INVALID_ARGUMENT.
 */
artifact_status_t artifact_engine_set_version_rule(artifact_engine_t *engine,
                                                   uint32_t rule,
                                                   const char *custom,
                                                   artifact_error_t **error);

/**
 * Sets a flag of a map (an artifact_flag_map_t) to on or off, whatever it was before. Names and words are yours: the library
 * gives them no meaning but that of the map. ARTIFACT_INVALID_ARGUMENT for an empty name or an unknown map.
 */
artifact_status_t artifact_engine_set_flag_bool(artifact_engine_t *engine,
                                                uint32_t map,
                                                const char *name,
                                                bool value,
                                                artifact_error_t **error);

/** Sets a flag to a number; as artifact_engine_set_flag_bool(). */
artifact_status_t artifact_engine_set_flag_num(artifact_engine_t *engine,
                                               uint32_t map,
                                               const char *name,
                                               uint8_t value,
                                               artifact_error_t **error);

/** Sets a flag to a word; as artifact_engine_set_flag_bool(). */
artifact_status_t artifact_engine_set_flag_enum(artifact_engine_t *engine,
                                                uint32_t map,
                                                const char *name,
                                                const char *value,
                                                artifact_error_t **error);

/** Removes a flag. ARTIFACT_NOT_FOUND if the map has none of that name. */
artifact_status_t artifact_engine_unset_flag(artifact_engine_t *engine,
                                             uint32_t map,
                                             const char *name,
                                             artifact_error_t **error);

/**
 * Sets a tunable, an artifact_tunable_t. ARTIFACT_INVALID_ARGUMENT if there is no such tunable, or for a value other than
 * 0 or 1 where it is a switch.
 */
artifact_status_t artifact_engine_set_tunable(artifact_engine_t *engine,
                                              uint32_t tunable,
                                              uint64_t value,
                                              artifact_error_t **error);

/** Sets a Wasm feature, an artifact_feature_t. ARTIFACT_INVALID_ARGUMENT if there is no such feature. */
artifact_status_t artifact_engine_set_feature(artifact_engine_t *engine,
                                              uint32_t feature,
                                              bool value,
                                              artifact_error_t **error);

/** The target triple. Borrowed: valid until the engine is freed, even if the target is changed. NULL for NULL. */
const char *artifact_engine_target(const artifact_engine_t *engine);

/** The producer; as artifact_engine_target(). */
const char *artifact_engine_producer(const artifact_engine_t *engine);

/** The version that is written, "" under ARTIFACT_VERSION_RULE_NONE; as artifact_engine_target(). */
const char *artifact_engine_version(const artifact_engine_t *engine);

/** The version rule, an artifact_version_rule_t; ARTIFACT_VERSION_RULE_LIBRARY for NULL. */
uint32_t artifact_engine_version_rule(const artifact_engine_t *engine);

/** How many flags a map has; 0 for NULL or an unknown map. */
size_t artifact_engine_flag_count(const artifact_engine_t *engine, uint32_t map);

/** A flag by its place in the order of names. ARTIFACT_NOT_FOUND past the last one. */
artifact_status_t artifact_engine_flag_at(const artifact_engine_t *engine,
                                          uint32_t map,
                                          size_t index,
                                          artifact_flag_t *flag,
                                          artifact_error_t **error);

/** A flag by its name. ARTIFACT_NOT_FOUND if the map has none of that name. */
artifact_status_t artifact_engine_flag(const artifact_engine_t *engine,
                                       uint32_t map,
                                       const char *name,
                                       artifact_flag_t *flag,
                                       artifact_error_t **error);

/** The value of a tunable, an artifact_tunable_t; a switch is 0 or 1. */
artifact_status_t artifact_engine_tunable(const artifact_engine_t *engine,
                                          uint32_t tunable,
                                          uint64_t *value,
                                          artifact_error_t **error);

/** Whether a Wasm feature, an artifact_feature_t, is on. */
artifact_status_t artifact_engine_feature(const artifact_engine_t *engine,
                                          uint32_t feature,
                                          bool *value,
                                          artifact_error_t **error);

/**
 * Writes 32 bytes over everything that a compatibility check compares: a cache key. Two engines have the same ones
 * exactly if every artifact fits both or neither. Not a secret, and the same on every machine. Made of the engine that
 * you check against, a key never finds anything stale, and each kind of CPU has its own entries; made of the engine
 * that you build with, CPUs share entries, and each must be checked.
 */
artifact_status_t artifact_engine_fingerprint(const artifact_engine_t *engine,
                                              uint8_t *fingerprint,
                                              artifact_error_t **error);

/** Everything in the engine, as JSON in a buffer that the caller owns; artifact_engine_from_json() reads it. */
artifact_status_t artifact_engine_to_json(const artifact_engine_t *engine,
                                          artifact_buffer_t **json,
                                          artifact_error_t **error);

/**
 * The engine that this JSON describes; the caller owns it. ARTIFACT_INVALID_ARGUMENT, with line and column, if it is no such
 * JSON: every key is needed, and an unknown one refused.
 */
artifact_status_t artifact_engine_from_json(const char *json,
                                            artifact_engine_t **engine,
                                            artifact_error_t **error);

/* ==== Types: what module graphs are described with ==== */

/** A Wasm value type. */
typedef enum artifact_wasm_type_t {
    ARTIFACT_WASM_I32 = 0,
    ARTIFACT_WASM_I64 = 1,
    ARTIFACT_WASM_F32 = 2,
    ARTIFACT_WASM_F64 = 3,
    ARTIFACT_WASM_V128 = 4,
    ARTIFACT_WASM_FUNCREF = 5,
    ARTIFACT_WASM_EXTERNREF = 6,
    ARTIFACT_WASM_EXNREF = 7,
} artifact_wasm_type_t;

/** What an import wants or an export gives. */
typedef enum artifact_entity_kind_t {
    ARTIFACT_ENTITY_GLOBAL = 0,
    ARTIFACT_ENTITY_MEMORY = 1,
    ARTIFACT_ENTITY_TAG = 2,
    ARTIFACT_ENTITY_TABLE = 3,
    ARTIFACT_ENTITY_FUNCTION = 4,
    ARTIFACT_ENTITY_INSTANCE = 5,
    ARTIFACT_ENTITY_MODULE = 6,
} artifact_entity_kind_t;

/** How a global begins. */
typedef enum artifact_init_kind_t {
    ARTIFACT_INIT_I32 = 0,
    ARTIFACT_INIT_I64 = 1,
    ARTIFACT_INIT_F32 = 2,
    ARTIFACT_INIT_F64 = 3,
    ARTIFACT_INIT_V128 = 4,
    ARTIFACT_INIT_GET_GLOBAL = 5,
    ARTIFACT_INIT_REF_NULL = 6,
    ARTIFACT_INIT_REF_FUNC = 7,
    ARTIFACT_INIT_IMPORT = 8,
} artifact_init_kind_t;

/** An entity. Fields that its kind doesn't use are 0 when read, and not looked at when given. */
typedef struct artifact_entity_t {
    /** An artifact_entity_kind_t. */
    uint32_t kind;
    /** Function, instance, module, tag: the index of its type. */
    uint32_t index;
    /** Global, table: an artifact_wasm_type_t. */
    uint32_t wasm_type;
    /** Global: an artifact_init_kind_t. */
    uint32_t init;
    /**
     * Global: the initial value's bits. An I32 stands in the lower 32, the upper ones being copies of its sign; floats are
     * their IEEE 754 bits; GET_GLOBAL and REF_FUNC are an index.
     */
    uint64_t init_low;
    /** Global: the upper 64 bits of a V128. */
    uint64_t init_high;
    /** Memory: pages. Table: elements. */
    uint64_t minimum;
    /** The same, if has_maximum. */
    uint64_t maximum;
    /** Memory, table: whether there is a maximum. */
    bool has_maximum;
    /** Global: whether it can be changed. */
    bool is_mutable;
    /** Memory: whether threads share it. */
    bool is_shared;
    /** Memory: whether its addresses have 64 bits. */
    bool is_memory64;
} artifact_entity_t;

/* ==== Builder: an artifact being made ==== */

/**
 * For artifact_save_options_t.flags: don't wait until the file is on the disk; for caches. Readers still see the old file
 * whole or the new one whole; but after a crash of the machine it may be empty or partial. Open it with
 * ARTIFACT_OPEN_VERIFY then, and replace it if it is damaged.
 */
#define ARTIFACT_SAVE_NO_SYNC UINT64_C(1)

/** For artifact_link_options_t.flags: leave out what only debuggers read, sections such as .debug_info. */
#define ARTIFACT_LINK_NO_DEBUG UINT64_C(1)

/** The defaults: `artifact_link_options_t options = ARTIFACT_LINK_OPTIONS_INIT;` */
#define ARTIFACT_LINK_OPTIONS_INIT {sizeof(artifact_link_options_t), 0}

/** The defaults: `artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;` */
#define ARTIFACT_SAVE_OPTIONS_INIT {sizeof(artifact_save_options_t), 0}

/** A relocatable object (ET_REL): what `cc -c`, LLVM, Cranelift and GNU as make. Needed during the call only. */
typedef struct artifact_object_t {
    /** What messages call it, such as its file's name; NULL: its place in the array. */
    const char *name;
    /** Its bytes. */
    const uint8_t *data;
    /** How many those are. */
    size_t len;
} artifact_object_t;

/** How to link; see artifact_builder_add_objects(). Begin with ARTIFACT_LINK_OPTIONS_INIT. */
typedef struct artifact_link_options_t {
    /** sizeof(artifact_link_options_t) */
    size_t size;
    /** ARTIFACT_LINK_ flags. */
    uint64_t flags;
} artifact_link_options_t;

/** How to save; see artifact_serialize_to_file(). Begin with ARTIFACT_SAVE_OPTIONS_INIT. */
typedef struct artifact_save_options_t {
    /** sizeof(artifact_save_options_t) */
    size_t size;
    /** ARTIFACT_SAVE_ flags. */
    uint64_t flags;
} artifact_save_options_t;

/**
 * Takes an artifact piece by piece. Returns 0, or an errno that ends the writing. Must not unwind (throw), longjmp, or use
 * the builder. data is only valid during the call.
 */
typedef int (*artifact_write_fn)(void *context, const uint8_t *data, size_t len);

/**
 * A builder for a new artifact, for what this engine compiles. The engine's settings as they are now are kept. The
 * caller owns the builder.
 */
artifact_status_t artifact_builder_new(const artifact_engine_t *engine,
                                       artifact_builder_t **builder,
                                       artifact_error_t **error);

/**
 * A builder that keeps the body of an artifact byte for byte, its attributes, and those of its signatures that still hold
 * when it is written. No module, type or upvar can be added: every artifact_builder_add_ function is
 * ARTIFACT_INVALID_ARGUMENT. If it has a trailer, saving checks all its digests first: ARTIFACT_DIGEST_MISMATCH or
 * ARTIFACT_CORRUPT if it is damaged. The artifact may be freed before the builder. The caller owns the builder.
 */
artifact_status_t artifact_builder_new_from_artifact(const artifact_t *artifact,
                                                     artifact_builder_t **builder,
                                                     artifact_error_t **error);

/** Frees a builder. NULL is fine. */
void artifact_builder_free(artifact_builder_t *builder);

/**
 * Adds a module: an ELF64 image of either byte order, of any machine. It is borrowed, not copied: it must stay as it is
 * until the builder is freed. The module added last is the main module. index, which may be NULL, takes the module's index.
 * An image whose section headers are not the last thing in it is stored with a copy of them at its end.
 * ARTIFACT_INVALID_ARGUMENT: no ELF. ARTIFACT_UNSUPPORTED: an ELF32. ARTIFACT_TRUNCATED: ends before its section headers.
 * ARTIFACT_CORRUPT: damaged. ARTIFACT_LIMIT: asks for an alignment over 2 MiB. Nothing is added then.
 */
artifact_status_t artifact_builder_add_module(artifact_builder_t *builder,
                                              const uint8_t *elf,
                                              size_t len,
                                              size_t *index,
                                              artifact_error_t **error);

/**
 * Adds a module from a file, which is mapped until the builder is freed; as artifact_builder_add_module(), and
 * ARTIFACT_IO. The file must stay as it is until then: rewriting it in place is saved as it comes, and truncating it
 * can end the process (SIGBUS). Give each compilation an output file of its own.
 */
artifact_status_t artifact_builder_add_module_file(artifact_builder_t *builder,
                                                   const char *path,
                                                   size_t *index,
                                                   artifact_error_t **error);

/**
 * Links objects into one position-independent shared object, and adds that as a module. They are needed during the call only.
 * index, which may be NULL, takes the module's index; options may be NULL. The same objects give the same module.
 *
 * Global symbols of default or protected visibility can be looked up in the module. A name that an object defines means
 * that definition in all of them; a name that none defines is left to artifact_load(). An artifact whose first module is made
 * here is a shared object itself: dlopen(), nm, objdump and gdb take the file as it is.
 *
 * Objects are for x86-64 or aarch64, whichever the engine's target names, and compiled with -fPIC; code with direct references
 * to its own data (-fPIE) does too. Code is never written when it is loaded, so that what asks for it is refused, as are
 * thread-local storage, indirect functions, symbol versions, executable stacks and unknown relocations:
 * ARTIFACT_UNSUPPORTED, with a message that names object, section, offset, symbol and relocation, and says what to do.
 * ARTIFACT_INVALID_ARGUMENT: no objects, something else than a relocatable object, another machine than the engine's target, a
 * name that two objects define. ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT: a damaged object. ARTIFACT_LIMIT: an image of more
 * than 2 GiB, or with more than 64 MiB of padding. Nothing is added then.
 */
artifact_status_t artifact_builder_add_objects(artifact_builder_t *builder,
                                               const artifact_object_t *objects,
                                               size_t count,
                                               const artifact_link_options_t *options,
                                               size_t *index,
                                               artifact_error_t **error);

/** How many modules it has; 0 for NULL. */
size_t artifact_builder_module_count(const artifact_builder_t *builder);

/**
 * Adds a function type from arrays of artifact_wasm_type_t, which are copied. index, which may be NULL, takes its index
 * among the function types.
 */
artifact_status_t artifact_builder_add_func_type(artifact_builder_t *builder,
                                                 const uint8_t *params,
                                                 size_t params_len,
                                                 const uint8_t *returns,
                                                 size_t returns_len,
                                                 uint32_t *index,
                                                 artifact_error_t **error);

/** Adds an instance type without exports. index, which may be NULL, takes its index among the instance types. */
artifact_status_t artifact_builder_add_instance_type(artifact_builder_t *builder,
                                                     uint32_t *index,
                                                     artifact_error_t **error);

/**
 * Adds an export, behind the others, to an instance type. ARTIFACT_INVALID_ARGUMENT if it has that name already, or for an
 * index that nothing has.
 */
artifact_status_t artifact_builder_add_instance_export(artifact_builder_t *builder,
                                                       uint32_t instance_type,
                                                       const char *name,
                                                       const artifact_entity_t *entity,
                                                       artifact_error_t **error);

/**
 * Adds a module type without imports, whose instances have the instance type exports. index, which may be NULL, takes its
 * index among the module types. ARTIFACT_INVALID_ARGUMENT if there is no such instance type.
 */
artifact_status_t artifact_builder_add_module_type(artifact_builder_t *builder,
                                                   uint32_t exports,
                                                   uint32_t *index,
                                                   artifact_error_t **error);

/** Adds an import, behind the others, to a module type; as artifact_builder_add_instance_export(). */
artifact_status_t artifact_builder_add_module_import(artifact_builder_t *builder,
                                                     uint32_t module_type,
                                                     const char *name,
                                                     const artifact_entity_t *entity,
                                                     artifact_error_t **error);

/**
 * Adds an upvar, a module that nested modules can reach, with the modules that it passes on: a notion of Wasmtime's
 * module linking; other compilers have none. parent is the index of the upvar that it is nested in, or SIZE_MAX. index,
 * which may be NULL, takes its index. ARTIFACT_INVALID_ARGUMENT if parent or a module is not there yet; ARTIFACT_LIMIT
 * for more than 100 levels.
 */
artifact_status_t artifact_builder_add_upvar(artifact_builder_t *builder,
                                             size_t parent,
                                             size_t module,
                                             const size_t *artifact_upvars,
                                             size_t artifact_upvars_len,
                                             size_t *index,
                                             artifact_error_t **error);

/**
 * Says whether a trailer follows the body: digests over every byte of the file, and the attributes. It does unless
 * this says otherwise; Wasmtime 0.33 skips it. ARTIFACT_INVALID_ARGUMENT if it shan't although there are attributes,
 * which stand in it.
 */
artifact_status_t artifact_builder_set_trailer(artifact_builder_t *builder,
                                               bool trailer,
                                               artifact_error_t **error);

/**
 * Sets an attribute: bytes of your own under a name of your own, such as the source's digest. Both are copied. One that is
 * there is replaced; a builder made from an artifact begins with that one's. ARTIFACT_INVALID_ARGUMENT without a trailer,
 * ARTIFACT_LIMIT for more than 65536 of them or 64 MiB in all.
 */
artifact_status_t artifact_builder_set_attribute(artifact_builder_t *builder,
                                                 const char *name,
                                                 const uint8_t *data,
                                                 size_t len,
                                                 artifact_error_t **error);

/** Removes an attribute. ARTIFACT_NOT_FOUND if there is none of that name. */
artifact_status_t artifact_builder_unset_attribute(artifact_builder_t *builder,
                                                   const char *name,
                                                   artifact_error_t **error);

/**
 * The whole artifact in a buffer that the caller owns. The same input gives the same bytes. ARTIFACT_INVALID_ARGUMENT
 * without any module.
 */
artifact_status_t artifact_serialize(const artifact_builder_t *builder,
                                     artifact_buffer_t **buffer,
                                     artifact_error_t **error);

/**
 * The whole artifact as a file. It is written to a fresh temporary file in the same folder, synced, and renamed over
 * path, and the folder is synced: whoever opens path at any moment, through a crash or a full disk, sees the old file
 * whole or the new one whole. After a failure path holds what it held, and the temporary file is gone; only if syncing
 * the folder, the last step, fails, path holds the new file already. A process that is killed while saving may leave
 * the temporary file, .NAME.RANDOM.tmp, which can be deleted when nobody saves there. A symbolic link is followed; one
 * that leads nowhere is ARTIFACT_IO. The new file has the permission bits of the one that it replaces, or else those
 * that the umask leaves; owner and group are the process's. options may be NULL. To be synced, the folder must be
 * readable: otherwise nothing is saved. ARTIFACT_INVALID_ARGUMENT if path is a directory, device, FIFO or socket;
 * ARTIFACT_IO.
 */
artifact_status_t artifact_serialize_to_file(const artifact_builder_t *builder,
                                             const char *path,
                                             const artifact_save_options_t *options,
                                             artifact_error_t **error);

/**
 * The whole artifact through a callback, in order. What write returns other than 0 ends the writing: ARTIFACT_IO with that
 * errno.
 */
artifact_status_t artifact_serialize_to(const artifact_builder_t *builder,
                                        artifact_write_fn write,
                                        void *context,
                                        artifact_error_t **error);

/* ==== Artifact: an opened one ==== */

/** For artifact_open_options_t.flags: do what artifact_verify() does while opening. */
#define ARTIFACT_OPEN_VERIFY UINT64_C(1)

/**
 * For artifact_open_options_t.flags: read everything into private memory first, a sealed memfd, and use nothing but that. What
 * others do to the file afterwards changes nothing. A file that nobody can change, a memfd sealed against writing and
 * shrinking or a file under fs-verity, is not copied.
 */
#define ARTIFACT_OPEN_COPY UINT64_C(2)

/** The defaults: `artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;` */
#define ARTIFACT_OPEN_OPTIONS_INIT {sizeof(artifact_open_options_t), 0, 0, 0, 0, NULL, 0}

/** How to open. Begin with ARTIFACT_OPEN_OPTIONS_INIT. */
typedef struct artifact_open_options_t {
    /** sizeof(artifact_open_options_t) */
    size_t size;
    /** ARTIFACT_OPEN_ flags. */
    uint64_t flags;
    /** Where the artifact begins in the file or bytes: 0 unless it lies inside something larger. */
    uint64_t offset;
    /** Its length in bytes; 0: to the end. */
    uint64_t length;
    /** Most bytes of Metadata to read; 0, or more than that: 64 MiB. */
    uint64_t memory_limit;
    /**
     * Detached signatures, as artifact_sign() and `artifact sign` give them, one behind the other; read during the call. They
     * need an engine with trusted keys. NULL: none.
     */
    const uint8_t *signature;
    /** Their length in bytes. */
    size_t signature_len;
} artifact_open_options_t;

/**
 * Opens the artifact at path. Reads headers and Metadata into private memory; modules are mapped when one is first asked
 * for. One close-on-exec descriptor stays open. The caller owns the artifact.
 *
 * With an engine that trusts keys, one of them must have signed the file (ARTIFACT_UNTRUSTED), before anything else of it is
 * looked at; a module is then copied to private memory and checked when it is first asked for. The file must be of the
 * engine's producer (ARTIFACT_WRONG_PRODUCER) and of a version that its rule accepts (ARTIFACT_WRONG_VERSION); that is checked
 * before anything else is decoded. Whether it fits otherwise, artifact_check_compat() tells. With NULL whatever it is opens,
 * for inspection: even a foreign version whose settings can't be decoded. options may be NULL.
 *
 * ARTIFACT_NOT_AN_ARTIFACT, ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT, ARTIFACT_DIGEST_MISMATCH, ARTIFACT_UNSUPPORTED,
 * ARTIFACT_LIMIT: the file. ARTIFACT_IO: it can't be read; artifact_error_errno() is ENOENT if there is none.
 * ARTIFACT_INVALID_ARGUMENT: it is a directory, device or FIFO, on which opening never waits, or the options' offset
 * and length lie outside it.
 *
 * A file that others truncate or write in place while it is open can take the process down when its modules are read
 * (SIGBUS): replace files, as artifact_serialize_to_file() does, never change them. Where others can write, use
 * ARTIFACT_OPEN_COPY.
 */
artifact_status_t artifact_open_file(const char *path,
                                     const artifact_engine_t *engine,
                                     const artifact_open_options_t *options,
                                     artifact_t **artifact,
                                     artifact_error_t **error);

/**
 * Opens the artifact in an open file. The descriptor is duplicated: yours stays yours, and its position is neither used nor
 * moved. Otherwise as artifact_open_file().
 */
artifact_status_t artifact_open_fd(int fd,
                                   const artifact_engine_t *engine,
                                   const artifact_open_options_t *options,
                                   artifact_t **artifact,
                                   artifact_error_t **error);

/** Opens an artifact in memory, of which a copy is made. Otherwise as artifact_open_file(). */
artifact_status_t artifact_open_bytes(const uint8_t *data,
                                      size_t len,
                                      const artifact_engine_t *engine,
                                      const artifact_open_options_t *options,
                                      artifact_t **artifact,
                                      artifact_error_t **error);

/**
 * Opens an artifact in memory without copying it. The bytes must stay as they are until the artifact, and every builder made
 * from it, is freed. They may have any alignment; a module's bytes are aligned as its align says only if data plus
 * the offset in options is aligned so too. Otherwise as artifact_open_file().
 */
artifact_status_t artifact_open_borrowed(const uint8_t *data,
                                         size_t len,
                                         const artifact_engine_t *engine,
                                         const artifact_open_options_t *options,
                                         artifact_t **artifact,
                                         artifact_error_t **error);

/** Frees an artifact, and with it every text, slice and array that it gave out. NULL is fine. */
void artifact_free(artifact_t *artifact);

/**
 * Does the artifact fit the engine? The sentences are Wasmtime's; artifact_compat_report() has both sides' values.
 * ARTIFACT_OK, or ARTIFACT_WRONG_PRODUCER, ARTIFACT_WRONG_VERSION or ARTIFACT_INCOMPATIBLE with the first mismatch as
 * the message. In this order: producer, version, architecture, operating system, shared flags by name, ISA flags by
 * name, tunables, features. The artifact stays open and readable.
 */
artifact_status_t artifact_check_compat(const artifact_t *artifact,
                                        const artifact_engine_t *engine,
                                        artifact_error_t **error);

/**
 * Every way in which the artifact doesn't fit the engine, in a report that the caller owns; an empty one if it fits. Returns
 * ARTIFACT_OK whenever the comparison could be made; artifact_report_status() then says what it came to. Where producer or
 * version differ, the report has that one entry.
 */
artifact_status_t artifact_compat_report(const artifact_t *artifact,
                                         const artifact_engine_t *engine,
                                         artifact_report_t **report,
                                         artifact_error_t **error);

/**
 * Checks everything that opening leaves alone because it takes time that grows with the file: every digest, every
 * module's sections, symbols and relocations, links, padding, the order of keys. Damage is ARTIFACT_DIGEST_MISMATCH,
 * ARTIFACT_CORRUPT, ARTIFACT_TRUNCATED or ARTIFACT_LIMIT, with its place. In a file without a trailer
 * (artifact_integrity()) only structure can be checked: a changed byte of code isn't noticed there. ARTIFACT_OK gives
 * a report, which the caller owns, of oddities that a genuine Wasmtime 0.33 accepts although no writer makes them.
 * ARTIFACT_WRONG_VERSION if the settings have an unknown layout.
 */
artifact_status_t artifact_verify(const artifact_t *artifact,
                                  artifact_report_t **report,
                                  artifact_error_t **error);

/** Who compiled it. Borrowed: valid until the artifact is freed. NULL for NULL. */
const char *artifact_producer(const artifact_t *artifact);

/**
 * The version that its producer wrote: 0 to 255 bytes of any kind, borrowed, valid until the artifact is freed. Empty for
 * NULL.
 */
artifact_slice_t artifact_producer_version(const artifact_t *artifact);

/** Its length in bytes, with whatever follows the body; 0 for NULL. */
uint64_t artifact_file_len(const artifact_t *artifact);

/* ==== Settings: what an artifact says about itself ==== */

/** One upvar. Its array is borrowed: valid until the artifact is freed. */
typedef struct artifact_upvar_t {
    /** The index of the upvar that it is nested in, or SIZE_MAX. It is smaller than its own. */
    size_t parent;
    /** Which module of the artifact it is. */
    uint64_t module;
    /** The modules of the artifact that it passes on. */
    const uint64_t *artifact_upvars;
    /** How many. */
    size_t artifact_upvars_len;
} artifact_upvar_t;

/** A function type. Its arrays, of artifact_wasm_type_t, are borrowed: valid until the artifact is freed. */
typedef struct artifact_func_type_t {
    /** The parameters. */
    const uint8_t *params;
    /** How many. */
    size_t params_len;
    /** The results. */
    const uint8_t *returns;
    /** How many. */
    size_t returns_len;
    /** How many parameters are ARTIFACT_WASM_EXTERNREF. */
    uint64_t externref_params;
    /** How many results, as the file says: Wasmtime 0.33 counts the parameters here instead. */
    uint64_t externref_returns;
} artifact_func_type_t;

/**
 * The target triple. Borrowed: valid until the artifact is freed. This and all functions that read settings return
 * ARTIFACT_WRONG_VERSION where a foreign version's settings can't be decoded.
 */
artifact_status_t artifact_target(const artifact_t *artifact,
                                  const char **target,
                                  artifact_error_t **error);

/** How many flags a map, an artifact_flag_map_t, has. */
artifact_status_t artifact_flag_count(const artifact_t *artifact,
                                      uint32_t map,
                                      size_t *count,
                                      artifact_error_t **error);

/** A flag by its place in the order of names. ARTIFACT_NOT_FOUND past the last one. */
artifact_status_t artifact_flag_at(const artifact_t *artifact,
                                   uint32_t map,
                                   size_t index,
                                   artifact_flag_t *flag,
                                   artifact_error_t **error);

/** A flag by its name. ARTIFACT_NOT_FOUND if the map has none of that name. */
artifact_status_t artifact_flag(const artifact_t *artifact,
                                uint32_t map,
                                const char *name,
                                artifact_flag_t *flag,
                                artifact_error_t **error);

/** The value of a tunable, an artifact_tunable_t; a switch is 0 or 1. */
artifact_status_t artifact_tunable(const artifact_t *artifact,
                                   uint32_t tunable,
                                   uint64_t *value,
                                   artifact_error_t **error);

/** Whether a Wasm feature, an artifact_feature_t, is on. */
artifact_status_t artifact_feature(const artifact_t *artifact,
                                   uint32_t feature,
                                   bool *value,
                                   artifact_error_t **error);

/** How many upvars it has, nested ones among them. */
artifact_status_t artifact_upvar_count(const artifact_t *artifact, size_t *count, artifact_error_t **error);

/** An upvar by its index; parents come before their children. ARTIFACT_NOT_FOUND past the last one. */
artifact_status_t artifact_upvar_at(const artifact_t *artifact,
                                    size_t index,
                                    artifact_upvar_t *upvar,
                                    artifact_error_t **error);

/** How many function, module and instance types it has. Each of the three may be NULL. */
artifact_status_t artifact_type_counts(const artifact_t *artifact,
                                       size_t *funcs,
                                       size_t *modules,
                                       size_t *instances,
                                       artifact_error_t **error);

/** A function type by its index. ARTIFACT_NOT_FOUND past the last one. */
artifact_status_t artifact_func_type(const artifact_t *artifact,
                                     size_t index,
                                     artifact_func_type_t *func_type,
                                     artifact_error_t **error);

/**
 * A module type by its index: how many imports it has, and the instance type of what it exports. ARTIFACT_NOT_FOUND past the
 * last one.
 */
artifact_status_t artifact_module_type(const artifact_t *artifact,
                                       size_t index,
                                       size_t *imports,
                                       uint32_t *exports,
                                       artifact_error_t **error);

/**
 * An import of a module type, in the order of the file. The name is borrowed: valid until the artifact is freed.
 * ARTIFACT_NOT_FOUND past the last one.
 */
artifact_status_t artifact_module_import(const artifact_t *artifact,
                                         size_t module_type,
                                         size_t index,
                                         const char **name,
                                         artifact_entity_t *entity,
                                         artifact_error_t **error);

/** An instance type by its index: how many exports it has. ARTIFACT_NOT_FOUND past the last one. */
artifact_status_t artifact_instance_type(const artifact_t *artifact,
                                         size_t index,
                                         size_t *exports,
                                         artifact_error_t **error);

/** An export of an instance type; as artifact_module_import(). */
artifact_status_t artifact_instance_export(const artifact_t *artifact,
                                           size_t instance_type,
                                           size_t index,
                                           const char **name,
                                           artifact_entity_t *entity,
                                           artifact_error_t **error);

/* ==== Trailer: integrity and attributes ==== */

/** What vouches for an artifact's bytes. */
typedef enum artifact_integrity_t {
    /** Nothing: a file without a trailer, as Wasmtime 0.33 writes them. */
    ARTIFACT_INTEGRITY_NONE = 0,
    /**
     * A trailer with digests over every byte. Opening checks those of the settings, artifact_verify() all. They find
     * damage, not malice: whoever changes a file can make them anew.
     */
    ARTIFACT_INTEGRITY_DIGESTS = 1,
    /**
     * The signature of a key that the engine trusts, over digests of every byte; see artifact_signed_by(). A module is
     * checked when it is first asked for.
     */
    ARTIFACT_INTEGRITY_SIGNED = 2,
} artifact_integrity_t;

/** What vouches for the artifact's bytes, an artifact_integrity_t; ARTIFACT_INTEGRITY_NONE for NULL. */
uint32_t artifact_integrity(const artifact_t *artifact);

/**
 * How many attributes it has. They are read, and their digest is checked, when this or another function that reads
 * them is first called: ARTIFACT_DIGEST_MISMATCH or ARTIFACT_CORRUPT if they are damaged.
 */
artifact_status_t artifact_attribute_count(const artifact_t *artifact,
                                           size_t *count,
                                           artifact_error_t **error);

/**
 * An attribute by its place in the file. Name and value are borrowed: valid until the artifact is freed.
 * ARTIFACT_NOT_FOUND past the last one.
 */
artifact_status_t artifact_attribute_at(const artifact_t *artifact,
                                        size_t index,
                                        const char **name,
                                        artifact_slice_t *value,
                                        artifact_error_t **error);

/**
 * The value of an attribute, borrowed: valid until the artifact is freed. ARTIFACT_NOT_FOUND if there is none of that name.
 */
artifact_status_t artifact_attribute(const artifact_t *artifact,
                                     const char *name,
                                     artifact_slice_t *value,
                                     artifact_error_t **error);

/* ==== Signatures: keys, and who has signed ==== */

/** What stands before the root record where it is signed, with its NUL: sizeof bytes. See artifact_root_record(). */
#define ARTIFACT_SIGNATURE_CONTEXT "libartifact signature 1"

/** A public key: the 32 bytes of RFC 8032. PEM is what people exchange; see artifact_public_key_from_pem(). */
typedef struct artifact_public_key_t {
    /** The key. */
    uint8_t bytes[32];
} artifact_public_key_t;

/** A new key, from the operating system's random numbers. The caller owns it. ARTIFACT_IO if there are none. */
artifact_status_t artifact_key_generate(artifact_key_t **key, artifact_error_t **error);

/**
 * The key in a PEM text: unencrypted PKCS#8, as `openssl genpkey -algorithm ed25519` writes it. The caller owns it.
 * ARTIFACT_INVALID_ARGUMENT if it is anything else.
 */
artifact_status_t artifact_key_from_pem(const char *pem,
                                        artifact_key_t **key,
                                        artifact_error_t **error);

/** Frees a key. NULL is fine. */
void artifact_key_free(artifact_key_t *key);

/** The key as a PEM text, PKCS#8, in a buffer that the caller owns and that is wiped when it is freed. */
artifact_status_t artifact_key_to_pem(const artifact_key_t *key,
                                      artifact_buffer_t **pem,
                                      artifact_error_t **error);

/**
 * Saves the key at path as artifact_key_to_pem() gives it, in a file that only its owner can read (mode 0600). A file that is
 * there is never replaced: ARTIFACT_IO, artifact_error_errno() being EEXIST.
 */
artifact_status_t artifact_key_save(const artifact_key_t *key,
                                    const char *path,
                                    artifact_error_t **error);

/** The public key that belongs to a private one. */
artifact_status_t artifact_key_public(const artifact_key_t *key,
                                      artifact_public_key_t *public_key,
                                      artifact_error_t **error);

/**
 * The public key in a PEM text (SubjectPublicKeyInfo), as `openssl pkey -pubout` writes it. ARTIFACT_INVALID_ARGUMENT if
 * it is anything else, or a key of small order, whose signatures prove nothing.
 */
artifact_status_t artifact_public_key_from_pem(const char *pem,
                                               artifact_public_key_t *public_key,
                                               artifact_error_t **error);

/**
 * The public key as a PEM text, in a buffer that the caller owns. ARTIFACT_INVALID_ARGUMENT if the bytes are no key.
 */
artifact_status_t artifact_public_key_to_pem(const artifact_public_key_t *public_key,
                                             artifact_buffer_t **pem,
                                             artifact_error_t **error);

/**
 * Makes the engine trust what this key signs, a PEM text as artifact_public_key_from_pem() takes it. From then on, opening
 * with this engine whatever no trusted key has signed is ARTIFACT_UNTRUSTED, before anything else of it is decoded. A
 * second key is trusted beside the first. No check of compatibility, and no fingerprint, takes notice of keys.
 */
artifact_status_t artifact_engine_trust_key(artifact_engine_t *engine,
                                            const char *pem,
                                            artifact_error_t **error);

/** How many keys the engine trusts; 0 for NULL. */
size_t artifact_engine_trusted_key_count(const artifact_engine_t *engine);

/** A key that the engine trusts, in the order of their bytes. ARTIFACT_NOT_FOUND past the last one. */
artifact_status_t artifact_engine_trusted_key_at(const artifact_engine_t *engine,
                                                 size_t index,
                                                 artifact_public_key_t *public_key,
                                                 artifact_error_t **error);

/**
 * Signs with this key whatever the builder writes from now on; up to 64 keys sign side by side. The key may be freed. The same
 * artifact and key give the same bytes. ARTIFACT_INVALID_ARGUMENT without a trailer, in which signatures stand.
 */
artifact_status_t artifact_builder_add_key(artifact_builder_t *builder,
                                           const artifact_key_t *key,
                                           artifact_error_t **error);

/**
 * For a key that this process doesn't have: the 256 bytes of the root record of the artifact as it is now, in a buffer that
 * the caller owns. What has to be signed is ARTIFACT_SIGNATURE_CONTEXT, with its NUL, and then this record; the
 * signature goes to artifact_builder_add_signature(). Every byte of the modules is read. ARTIFACT_INVALID_ARGUMENT
 * without any module or without a trailer.
 */
artifact_status_t artifact_root_record(const artifact_builder_t *builder,
                                       artifact_buffer_t **record,
                                       artifact_error_t **error);

/**
 * Adds a signature made elsewhere: 64 bytes (RFC 8032), of the artifact as it is now. ARTIFACT_INVALID_ARGUMENT if it isn't
 * this key's, or of another artifact; and when the artifact is written, if it was changed since.
 */
artifact_status_t artifact_builder_add_signature(artifact_builder_t *builder,
                                                 const artifact_public_key_t *public_key,
                                                 const uint8_t *signature,
                                                 size_t signature_len,
                                                 artifact_error_t **error);

/**
 * Forgets the builder's keys and signatures. A builder made from an artifact begins with that one's signatures, and
 * writes those that still hold: an attribute that changes makes them void.
 */
artifact_status_t artifact_builder_clear_signatures(artifact_builder_t *builder,
                                                    artifact_error_t **error);

/**
 * The trusted key whose signature was found when the artifact was opened. ARTIFACT_NOT_FOUND if it was opened without an engine
 * that trusts a key: what a file then claims is in artifact_signature_at(), and proves nothing.
 */
artifact_status_t artifact_signed_by(const artifact_t *artifact,
                                     artifact_public_key_t *public_key,
                                     artifact_error_t **error);

/** How many signatures the artifact carries, whoever made them; 0 for NULL. */
size_t artifact_signature_count(const artifact_t *artifact);

/**
 * Whose signature one claims to be. Nobody has checked it: see artifact_signed_by(). ARTIFACT_NOT_FOUND past the last one.
 */
artifact_status_t artifact_signature_at(const artifact_t *artifact,
                                        size_t index,
                                        artifact_public_key_t *public_key,
                                        artifact_error_t **error);

/**
 * A detached signature of the artifact, to keep beside a file that must stay as it is, such as one without a trailer: 96
 * bytes, the public key and the signature, in a buffer that the caller owns. For artifact_open_options_t.signature; several
 * may stand one behind the other. Every byte is read: ARTIFACT_DIGEST_MISMATCH or ARTIFACT_CORRUPT if the file is damaged, or
 * has no trailer and doesn't end with Metadata.
 */
artifact_status_t artifact_sign(const artifact_t *artifact,
                                const artifact_key_t *key,
                                artifact_buffer_t **signature,
                                artifact_error_t **error);

/**
 * For a detached signature by a key that this process doesn't have: the root record of an opened artifact, as
 * artifact_root_record() gives a builder's. The detached signature is then the public key's 32 bytes and the signature's 64.
 */
artifact_status_t artifact_detached_record(const artifact_t *artifact,
                                           artifact_buffer_t **record,
                                           artifact_error_t **error);

/* ==== Modules: the ELF images in an artifact ==== */

/** The byte order of a module. */
typedef enum artifact_byte_order_t {
    ARTIFACT_LITTLE_ENDIAN = 0,
    ARTIFACT_BIG_ENDIAN = 1,
} artifact_byte_order_t;

/** One module: an ELF image. Numbers are those of <elf.h>. */
typedef struct artifact_module_t {
    /** The whole image. Borrowed: valid until the artifact is freed. */
    artifact_slice_t bytes;
    /** Where it begins in the artifact. */
    uint64_t offset;
    /**
     * What that offset is a multiple of: the largest alignment of its sections, and of its segments up to 64 KiB. In
     * memory the bytes are aligned so only where the artifact begins at such an address: a file of its own does, up to
     * the page size.
     */
    uint64_t align;
    /** e_machine: which architecture. */
    uint32_t machine;
    /** e_type: 1 relocatable, 3 shared object. */
    uint32_t type;
    /** An artifact_byte_order_t. */
    uint32_t byte_order;
} artifact_module_t;

/** One section of a module. Numbers are those of <elf.h>. Borrowed: valid until the artifact is freed. */
typedef struct artifact_section_t {
    /** Its name. */
    const char *name;
    /** Its bytes; none for SHT_NOBITS. */
    artifact_slice_t bytes;
    /** sh_offset: where it begins in the module. */
    uint64_t offset;
    /** sh_size, in bytes. */
    uint64_t size;
    /** sh_addralign. */
    uint64_t align;
    /** sh_addr. */
    uint64_t address;
    /** sh_flags. */
    uint64_t flags;
    /** sh_type. */
    uint32_t type;
} artifact_section_t;

/** One symbol of a module. Numbers are those of <elf.h>. Borrowed: valid until the artifact is freed. */
typedef struct artifact_symbol_t {
    /** Its name. */
    const char *name;
    /** st_value: in a relocatable module an offset in its section, otherwise an address. */
    uint64_t value;
    /** st_size, in bytes. */
    uint64_t size;
    /**
     * st_shndx: the index of its section, extended numbering being resolved; 0 (SHN_UNDEF) if it is undefined, 65521
     * (SHN_ABS) for a number that is no address, 65522 (SHN_COMMON) for a common block.
     */
    uint32_t section;
    /** st_type. */
    uint32_t type;
    /** st_bind. */
    uint32_t binding;
} artifact_symbol_t;

/** How many modules it has, at least 1; 0 for NULL. */
size_t artifact_module_count(const artifact_t *artifact);

/** The index of the main module, the last one; 0 for NULL. */
size_t artifact_main_module(const artifact_t *artifact);

/**
 * A module by its index. The file is mapped when this or another function that reads modules is first called:
 * ARTIFACT_IO or ARTIFACT_NO_MEMORY if that fails. Of an artifact that a trusted key has signed the module is read into private
 * memory instead, and checked: ARTIFACT_DIGEST_MISMATCH if it isn't what was signed. ARTIFACT_NOT_FOUND past the last one;
 * ARTIFACT_CORRUPT or ARTIFACT_LIMIT if its headers are damaged.
 */
artifact_status_t artifact_module(const artifact_t *artifact,
                                  size_t index,
                                  artifact_module_t *module,
                                  artifact_error_t **error);

/** How many sections a module has, the null section among them. */
artifact_status_t artifact_section_count(const artifact_t *artifact,
                                         size_t module,
                                         size_t *count,
                                         artifact_error_t **error);

/**
 * A section by its index in the section header table; 0 is the null section. ARTIFACT_NOT_FOUND past the last one,
 * ARTIFACT_CORRUPT if it lies outside its module.
 */
artifact_status_t artifact_section_at(const artifact_t *artifact,
                                      size_t module,
                                      size_t index,
                                      artifact_section_t *section,
                                      artifact_error_t **error);

/** The first section of that name, such as ".text". ARTIFACT_NOT_FOUND if none has it. */
artifact_status_t artifact_section(const artifact_t *artifact,
                                   size_t module,
                                   const char *name,
                                   artifact_section_t *section,
                                   artifact_error_t **error);

/** How many symbols a module has in .symtab, or in .dynsym if it has no other table; the null symbol among them. */
artifact_status_t artifact_symbol_count(const artifact_t *artifact,
                                        size_t module,
                                        size_t *count,
                                        artifact_error_t **error);

/** A symbol by its index; 0 is the null symbol. ARTIFACT_NOT_FOUND past the last one. */
artifact_status_t artifact_symbol_at(const artifact_t *artifact,
                                     size_t module,
                                     size_t index,
                                     artifact_symbol_t *symbol,
                                     artifact_error_t **error);

/**
 * The symbol of that name: a defined global one before a weak, a local, and an undefined one; of several alike the first.
 * ARTIFACT_NOT_FOUND if none has it.
 */
artifact_status_t artifact_symbol(const artifact_t *artifact,
                                  size_t module,
                                  const char *name,
                                  artifact_symbol_t *symbol,
                                  artifact_error_t **error);

/* ==== Code: modules made runnable ==== */

/**
 * For artifact_load_options_t.flags: where the file can't be mapped executable, such as on a mount with noexec, load a private
 * copy. Without it that is ARTIFACT_IO: an administrator's policy is not bypassed in silence.
 */
#define ARTIFACT_LOAD_ALLOW_MEMFD UINT64_C(1)

/**
 * For artifact_load_options_t.flags: what neither the table nor the callback defines is looked for among the symbols of the
 * process, as dlsym(RTLD_DEFAULT) finds them.
 */
#define ARTIFACT_LOAD_PROCESS_SYMBOLS UINT64_C(2)

/**
 * For artifact_load_options_t.flags: run the modules' constructors, of the first module first, before artifact_load() returns,
 * and their destructors in the reverse order in artifact_code_free(). Neither may let an exception out.
 */
#define ARTIFACT_LOAD_RUN_CONSTRUCTORS UINT64_C(4)

/** For artifact_load_options_t.flags: don't tell unwinders; no exception can pass through the code then. */
#define ARTIFACT_LOAD_NO_UNWIND UINT64_C(8)

/**
 * For artifact_load_options_t.flags: tell GDB about the code, through its JIT interface, until it is freed: frames get names,
 * and lines too where the module keeps the relocations of its debug sections.
 */
#define ARTIFACT_LOAD_GDB UINT64_C(16)

/** For artifact_load_options_t.flags: name the functions in /tmp/perf-PID.map, for profilers. */
#define ARTIFACT_LOAD_PERF_MAP UINT64_C(32)

/**
 * For artifact_load_options_t.flags: write the functions to /tmp/jit-PID.dump, for `perf inject --jit`. Text that is mapped from
 * a file perf names by itself only in the artifact's first module. Record with `perf record -k mono`.
 */
#define ARTIFACT_LOAD_JITDUMP UINT64_C(64)

/** The defaults: `artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;` */
#define ARTIFACT_LOAD_OPTIONS_INIT {sizeof(artifact_load_options_t), 0, NULL, 0, NULL, NULL}

/** A symbol that modules use and the host defines. */
typedef struct artifact_import_t {
    /** Its name. */
    const char *name;
    /** Its address; NULL: not defined. */
    void *address;
} artifact_import_t;

/**
 * Defines symbols: called once in artifact_load(), if modules use names that the table doesn't have, with all of them at once,
 * each once. Sets addresses and leaves NULL what it doesn't know. Names are as the modules have them, valid during the call.
 * Must not unwind or longjmp.
 */
typedef void (*artifact_resolve_fn)(void *context, artifact_import_t *missing, size_t count);

/** How to load. Begin with ARTIFACT_LOAD_OPTIONS_INIT. */
typedef struct artifact_load_options_t {
    /** sizeof(artifact_load_options_t) */
    size_t size;
    /** ARTIFACT_LOAD_ flags. */
    uint64_t flags;
    /** What the host defines, in any order; of several with one name the first counts. Needed during the call only. */
    const artifact_import_t *symbols;
    /** How many those are. */
    size_t symbol_count;
    /** Asked for what is missing then; may be NULL. */
    artifact_resolve_fn resolve;
    /** Passed to resolve. */
    void *context;
} artifact_load_options_t;

/**
 * Makes an artifact's modules runnable: maps them into one range of addresses, text straight from the file, binds the symbols
 * that they use, and tells the process's unwinders about them, so that C++ exceptions pass through. The caller owns the code,
 * which keeps what it needs of the artifact: both may be freed in any order.
 *
 * The engine is needed. If it trusts keys, one of them must have signed the artifact (ARTIFACT_UNTRUSTED), and the code that
 * runs is what was signed (ARTIFACT_DIGEST_MISMATCH); then it must fit, as artifact_check_compat() says: whatever was checked
 * when the artifact was opened. Symbols that modules leave undefined are looked for in the table of the options, then by its
 * callback, then, only with ARTIFACT_LOAD_PROCESS_SYMBOLS, in the process; modules don't see one another's. What is still
 * missing and not weak is ARTIFACT_UNRESOLVED, one error with every name (artifact_error_missing()). After a failure nothing
 * stays mapped.
 *
 * Modules are shared objects for this machine, or those of Wasmtime 0.33. ARTIFACT_UNSUPPORTED: relocatable objects,
 * thread-local storage, indirect functions (IRELATIVE), COPY relocations, relocations in text, an executable stack.
 * ARTIFACT_CORRUPT, ARTIFACT_TRUNCATED, ARTIFACT_DIGEST_MISMATCH, ARTIFACT_LIMIT: the file. ARTIFACT_IO: it can't be mapped.
 * ARTIFACT_WRONG_PRODUCER, ARTIFACT_WRONG_VERSION, ARTIFACT_INCOMPATIBLE: it isn't for this engine or this host.
 *
 * No page is ever writable and executable, and none becomes executable that was writable: this works under PR_SET_MDWE.
 * What is in no file (artifact_open_bytes()), or not on pages of its own there, is mapped from a sealed memfd.
 *
 * Whatever a file says about its code is checked before it is used. What the code does when it is called nobody can check:
 * load only what you trust.
 */
artifact_status_t artifact_load(const artifact_t *artifact,
                                const artifact_engine_t *engine,
                                const artifact_load_options_t *options,
                                artifact_code_t **code,
                                artifact_error_t **error);

/**
 * Returns the index of the main module, the last one; 0 for NULL. It is the same as artifact_main_module() of the artifact,
 * which may have been freed.
 */
size_t artifact_code_main_module(const artifact_code_t *code);

/**
 * The address of the function or object that a module exports under that name; NULL if it exports none. *size, which may be
 * NULL, is its size in bytes, or 0 where that isn't known. Of Wasmtime's modules, which export nothing, any symbol. Valid until
 * the code is freed.
 */
void *artifact_code_symbol(const artifact_code_t *code,
                           size_t module,
                           const char *name,
                           size_t *size);

/**
 * What an address lies in: the module, the name of the function or object, whether exported or not, and how many bytes
 * behind its beginning. The name is valid until the code is freed. Each of the three may be NULL. ARTIFACT_NOT_FOUND if the
 * address lies in none of this code's. Of a return address take the one before: the next function may begin there.
 */
artifact_status_t artifact_code_symbolize(const artifact_code_t *code,
                                          const void *pc,
                                          size_t *module,
                                          const char **name,
                                          size_t *offset);

/**
 * Frees code: runs destructors, if constructors ran, and unmaps it. No thread may run it or use its data any more, and no
 * exception object that it threw may be alive. NULL is fine.
 */
void artifact_code_free(artifact_code_t *code);

/* ==== Report: mismatches and oddities ==== */

/** What an entry is about. Each is one bit of artifact_report_kinds(). */
typedef enum artifact_report_kind_t {
    /** Another producer wrote it. */
    ARTIFACT_REPORT_PRODUCER = 1,
    /** Another version wrote it. */
    ARTIFACT_REPORT_VERSION = 2,
    /** It is for another architecture. */
    ARTIFACT_REPORT_ARCHITECTURE = 4,
    /** It is for another operating system. */
    ARTIFACT_REPORT_OPERATING_SYSTEM = 8,
    /** A compiler flag differs. */
    ARTIFACT_REPORT_SHARED_FLAG = 16,
    /** An instruction set is missing, or an ISA flag differs. */
    ARTIFACT_REPORT_ISA_FLAG = 32,
    /** A tunable differs. */
    ARTIFACT_REPORT_TUNABLE = 64,
    /** A Wasm feature differs. */
    ARTIFACT_REPORT_FEATURE = 128,
    /** artifact_verify(): a link skips bytes, or leads to where the module isn't aligned. */
    ARTIFACT_REPORT_LINK = 65536,
    /** artifact_verify(): padding isn't zero. */
    ARTIFACT_REPORT_PADDING = 131072,
    /** artifact_verify(): a module is for another machine than the target triple. */
    ARTIFACT_REPORT_MACHINE = 262144,
    /** artifact_verify(): sections overlap or aren't aligned, or relocations point outside. */
    ARTIFACT_REPORT_SECTION = 524288,
    /** artifact_verify(): keys of the settings are out of order or stand there twice. */
    ARTIFACT_REPORT_METADATA = 1048576,
    /** artifact_verify(): bytes that are nothing of ours follow the body. */
    ARTIFACT_REPORT_TRAILING_BYTES = 2097152,
    /** artifact_verify(): a signature that isn't of this artifact, or not of the key that it names. */
    ARTIFACT_REPORT_SIGNATURE = 4194304,
} artifact_report_kind_t;

/** One mismatch or oddity. Its texts are borrowed: valid until the report is freed. */
typedef struct artifact_report_entry_t {
    /** An artifact_report_kind_t. */
    uint32_t kind;
    /** The setting's name; of an oddity, what it is about. */
    const char *setting;
    /** The artifact's value; "" where it has none. */
    const char *artifact_value;
    /** The engine's value; "" where it has none. */
    const char *engine_value;
    /** The whole sentence, as artifact_check_compat() would word it. */
    const char *sentence;
} artifact_report_entry_t;

/**
 * What it comes to: of a comparison, the status that artifact_check_compat() returns; of a verification, ARTIFACT_OK.
 * ARTIFACT_INVALID_ARGUMENT for NULL.
 */
artifact_status_t artifact_report_status(const artifact_report_t *report);

/** How many entries it has; 0 for NULL. */
size_t artifact_report_count(const artifact_report_t *report);

/** The kinds of its entries, as a mask of artifact_report_kind_t; 0 for NULL. */
uint64_t artifact_report_kinds(const artifact_report_t *report);

/** An entry, in the order of the checks. ARTIFACT_NOT_FOUND past the last one. */
artifact_status_t artifact_report_at(const artifact_report_t *report,
                                     size_t index,
                                     artifact_report_entry_t *entry,
                                     artifact_error_t **error);

/** Frees a report. NULL is fine. */
void artifact_report_free(artifact_report_t *report);

/* ==== Detection: what is it? ==== */

/** What a file was found to be. */
typedef enum artifact_detected_t {
    /** Nothing of ours. */
    ARTIFACT_DETECTED_NOTHING = 0,
    /** An artifact. */
    ARTIFACT_DETECTED_ARTIFACT = 1,
} artifact_detected_t;

/** What a file is, and if an artifact, of whom. */
typedef struct artifact_detection_t {
    /** An artifact_detected_t. */
    uint32_t kind;
    /** Bytes in version, 0 to 255. */
    uint32_t version_len;
    /** Who compiled it, NUL-terminated. */
    char producer[36];
    /** The version that the producer wrote: any bytes, then NUL to the end. */
    char version[256];
} artifact_detection_t;

/**
 * Tells what the file at path is, with as few reads as possible: headers only, no settings. ARTIFACT_OK for an artifact, and
 * for what is nothing of ours; ARTIFACT_TRUNCATED or ARTIFACT_CORRUPT for a damaged artifact; ARTIFACT_IO;
 * ARTIFACT_INVALID_ARGUMENT for a directory, device, FIFO or socket.
 */
artifact_status_t artifact_detect_file(const char *path,
                                       artifact_detection_t *detection,
                                       artifact_error_t **error);

/** The same for an open file, whose position is neither used nor moved. */
artifact_status_t artifact_detect_fd(int fd, artifact_detection_t *detection, artifact_error_t **error);

/** The same for bytes in memory. */
artifact_status_t artifact_detect_bytes(const uint8_t *data,
                                        size_t len,
                                        artifact_detection_t *detection,
                                        artifact_error_t **error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* ARTIFACT_H */
