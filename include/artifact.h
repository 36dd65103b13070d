/*
 * libartifact saves compiled code in a file, checks that the file fits a host, and loads the code in microseconds.
 *
 * ## Overview
 *
 * - A *module* is an ELF64 image: compiled code with its symbols.
 * - An *engine* (artifact_engine_t) says what code is compiled for: target triple, compiler flags, instruction sets, and
 *   the name and version of the compiler. A compiler describes itself with an engine when it saves code; a program that
 *   runs code describes its host with one.
 * - A *builder* (artifact_builder_t) collects modules, or links relocatable objects into modules, and writes them and the
 *   engine's settings to an *artifact*, which is one file.
 * - An opened *artifact* (artifact_t) can be checked against an engine, verified, inspected, and loaded.
 * - *Code* (artifact_code_t) is an artifact's modules, mapped and ready to be called.
 * - A *cache* (artifact_cache_t) is a folder of artifacts, which it finds by a key, or has made.
 *
 * ## Example
 *
 * Saves a shared object made by `cc -O2 -fPIC -shared -o fib.so fib.c`; then opens, checks, loads and calls it, as another
 * process would.
 *
 *     #include <artifact.h>
 *     #include <stdio.h>
 *     #include <stdlib.h>
 *
 *     static artifact_error_t *error;
 *
 *     static void check(artifact_status_t status) {
 *         if (status == ARTIFACT_OK) return;
 *         fprintf(stderr, "%s\n", artifact_error_message(error));
 *         exit(1);
 *     }
 *
 *     int main(void) {
 *         artifact_engine_t *engine = artifact_engine_new(); // the baseline of this architecture
 *         artifact_builder_t *builder;
 *         check(artifact_builder_new(engine, &builder, &error));
 *         check(artifact_builder_add_module_file(builder, "fib.so", NULL, &error));
 *         check(artifact_serialize_to_file(builder, "fib.artifact", NULL, &error));
 *         artifact_builder_free(builder);
 *         artifact_engine_free(engine);
 *
 *         artifact_engine_t *host = artifact_engine_new_host(); // with the instruction sets of this CPU
 *         artifact_t *artifact;
 *         artifact_code_t *code;
 *         check(artifact_open_file("fib.artifact", host, NULL, &artifact, &error));
 *         check(artifact_check_compat(artifact, host, &error)); // artifact_load() checks it too
 *         check(artifact_load(artifact, host, NULL, &code, &error));
 *         union {
 *             void *address;
 *             int64_t (*function)(int64_t);
 *         } fib = {artifact_code_symbol(code, artifact_main_module(artifact), "fib", NULL)};
 *         if (fib.address) printf("%lld\n", (long long)fib.function(90));
 *         artifact_code_free(code); // from here on fib.function is invalid
 *         artifact_free(artifact);
 *         artifact_engine_free(host);
 *         return 0;
 *     }
 *
 * Link with `cc program.c $(pkg-config --cflags --libs artifact)`.
 *
 * ## Errors
 *
 * A function that can fail returns an artifact_status_t, 0 for success. Its last parameter, `artifact_error_t **error`, may
 * be NULL. Otherwise *error is set to NULL on success, and to an error that you own on failure: artifact_error_message()
 * says what went wrong, artifact_error_free() frees it. The previous value of *error is ignored: free an error before you
 * pass the same variable again. The comments below do not repeat this parameter. artifact_symbolize() and
 * artifact_code_symbolize(), which signal handlers call, do not have it.
 *
 * Any function that returns a status can return these *general statuses*, which its comment does not repeat:
 *
 * - ARTIFACT_INVALID_ARGUMENT: a pointer is NULL that must not be, a string is not UTF-8 (paths may be any bytes), or a
 *   number is not one of its enumeration. The message names the argument.
 * - ARTIFACT_NO_MEMORY: an allocation whose size depends on a file failed.
 * - ARTIFACT_INTERNAL: a defect of the library.
 *
 * artifact_status_t says what to do about each status.
 *
 * ## Arguments
 *
 * - A pointer must not be NULL unless its description says so. What it points at must be valid during the call: an array
 *   has as many elements as its length says, and a handle has not been freed. Outputs must not overlap other arguments.
 * - Strings are NUL-terminated UTF-8. Names in a file that are not UTF-8 are returned with U+FFFD in place of the invalid
 *   bytes.
 * - Enumerations are passed as uint32_t.
 * - A parameter that "receives" something is an output. Outputs are written whether the call succeeds or fails; after a
 *   failure they are NULL, 0 or empty.
 * - Structs of options may grow in later versions: initialize them with their _INIT macro, which sets their size. NULL
 *   stands for the defaults. An option that this library does not know is ARTIFACT_UNSUPPORTED; it is never ignored.
 *
 * ## Ownership
 *
 * What you *own* you free, with the _free function of its type. Each accepts NULL. Handles may be freed in any order: a
 * builder, an artifact or code keeps alive what it needs of the objects that it was made from. What is *borrowed* is valid
 * until the handle that the comment names is freed; never free it.
 *
 * ## Threads
 *
 * Many threads may use a handle at once in calls that take it const. A call that takes it without const must be the only one
 * that uses it at that moment. There is no global state that could be observed: no last error, no environment variable, no
 * signal handler, no output to stdout or stderr.
 *
 * A thread that is cancelled (pthread_cancel()) ends the call that it is in first; functions that the library calls are not
 * cancelled either.
 *
 * The process may fork at any time: a child can use what it inherits. Signal handlers may call artifact_symbolize() and
 * artifact_code_symbolize(), and nothing else.
 *
 * ## Hostile files
 *
 * Files may be damaged or hostile. Opening, reading and verifying them is safe: it never ends the process, and its memory is
 * bounded. (The exception is a file that another process changes while it is open; see artifact_open_file().) Running
 * their code is as dangerous as running any program: load only what you trust. To trust by signature, sign with
 * artifact_builder_add_key(), and call artifact_engine_trust_key(): such an engine opens only artifacts that a trusted key
 * has signed, and their modules are copied to private memory and checked before they are used.
 */
#ifndef ARTIFACT_H
#define ARTIFACT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version of this header. artifact_version() returns the version of the library. */
#define ARTIFACT_VERSION_MAJOR 0
#define ARTIFACT_VERSION_MINOR 1
#define ARTIFACT_VERSION_PATCH 0
#define ARTIFACT_VERSION_NUMBER                                                                                        \
    (ARTIFACT_VERSION_MAJOR * 1000000 + ARTIFACT_VERSION_MINOR * 1000 + ARTIFACT_VERSION_PATCH)
#define ARTIFACT_VERSION_STRING "0.1.0"

#ifdef __cplusplus
extern "C" {
#endif

/* ==== Handles: you free each with its _free function ==== */

/**
 * Why a call failed. You own it; free it with artifact_error_free(). Its functions accept NULL, which means "no
 * error". Many threads may read one error at once.
 */
typedef struct artifact_error_t artifact_error_t;

/**
 * Bytes that you own; free them with artifact_buffer_free(). A NUL, which the length does not count, follows the last
 * byte, so that a buffer that holds text is a C string. Many threads may read one buffer at once.
 */
typedef struct artifact_buffer_t artifact_buffer_t;

/**
 * What code is compiled for, or what a host can run: target triple, flags, tunables, features, producer, version rule,
 * and trusted keys. You own it; free it with artifact_engine_free(). Functions that take it const may run in many
 * threads at once while no thread changes it. Builders, artifacts and reports copy what they need from it: you may
 * change or free it after any call.
 */
typedef struct artifact_engine_t artifact_engine_t;

/**
 * An artifact under construction. You own it; free it with artifact_builder_free(). Only one thread at a time may
 * change it. Functions that take it const may run in many threads at once while no thread changes it.
 */
typedef struct artifact_builder_t artifact_builder_t;

/** An opened artifact. You own it; free it with artifact_free(). Many threads may read one artifact at once. */
typedef struct artifact_t artifact_t;

/**
 * A private key: Ed25519 (RFC 8032). You own it; free it with artifact_key_free(). It is wiped from memory when it and
 * every builder that signs with it are freed. A text from which you read a key is yours to wipe. Many threads may use
 * one key at once.
 */
typedef struct artifact_key_t artifact_key_t;

/**
 * An artifact's modules, mapped and ready to run. You own it; free it with artifact_code_free(). Many threads may look
 * symbols up in it at once.
 */
typedef struct artifact_code_t artifact_code_t;

/**
 * The findings of a comparison or verification. You own it; free it with artifact_report_free(). Many threads may read
 * one report at once.
 */
typedef struct artifact_report_t artifact_report_t;

/**
 * A file of several targets under construction. You own it; free it with artifact_fat_builder_free(). Only one thread at
 * a time may change it. Functions that take it const may run in many threads at once while no thread changes it.
 */
typedef struct artifact_fat_builder_t artifact_fat_builder_t;

/**
 * A key: everything that code was compiled from. You own it; free it with artifact_cache_key_free().
 *
 * Add whatever can make a compiler produce other code: the source, options, versions of what the source includes. What the
 * engine says need not be added: an entry is for one target, and its producer and version are compared.
 */
typedef struct artifact_cache_key_t artifact_cache_key_t;

/**
 * A folder of artifacts that were made once and are found by a key. You own it; free it with artifact_cache_free(). Many threads
 * may use one cache at once, and many processes one folder.
 */
typedef struct artifact_cache_t artifact_cache_t;

/**
 * A file that Wasmtime 3 or newer compiled (`.cwasm`), which is no artifact. It is only read: running it takes the
 * runtime of the version that compiled it. You own it; free it with artifact_cwasm_free(). Many threads may use one at
 * once.
 */
typedef struct artifact_cwasm_t artifact_cwasm_t;

/* ==== Library ==== */

/**
 * The outcome of a call. The numbers never change meaning and are never reused. New ones may be added, so a switch
 * needs a default.
 *
 * What a cache should do:
 *
 * - 10, not an artifact, or too short to tell (an artifact cut to less than 4 bytes, or right after its first module):
 *   never overwrite it in a folder that you share with others; rebuild in a folder of your own.
 * - 11 to 13, damaged: rebuild.
 * - 20 to 23, valid but stale or foreign: rebuild.
 * - 30, not signed by a trusted key: do not run.
 *
 * To replace a file, save over it. Do not delete it first: another process may just have replaced it.
 */
typedef enum artifact_status_t {
    /** Success. */
    ARTIFACT_OK = 0,
    /** An argument is invalid; the message names it. */
    ARTIFACT_INVALID_ARGUMENT = 1,
    /** The operating system refused a request; artifact_error_errno() returns the reason. */
    ARTIFACT_IO = 2,
    /** Something exceeds a limit of the library or of the call's options. */
    ARTIFACT_LIMIT = 3,
    /** Not enough memory. */
    ARTIFACT_NO_MEMORY = 4,
    /** There is no such section, symbol, flag, attribute or index. A missing file is ARTIFACT_IO with ENOENT. */
    ARTIFACT_NOT_FOUND = 5,
    /** The file is not an artifact. */
    ARTIFACT_NOT_AN_ARTIFACT = 10,
    /** The file is shorter than its contents say. */
    ARTIFACT_TRUNCATED = 11,
    /** The file violates the format or contradicts itself. */
    ARTIFACT_CORRUPT = 12,
    /** The bytes do not match their digest. */
    ARTIFACT_DIGEST_MISMATCH = 13,
    /** The artifact was compiled for another host, or with other settings. */
    ARTIFACT_INCOMPATIBLE = 20,
    /** The artifact was written by another version. */
    ARTIFACT_WRONG_VERSION = 21,
    /** The artifact was written by another producer. */
    ARTIFACT_WRONG_PRODUCER = 22,
    /** The input needs something that this library cannot do. */
    ARTIFACT_UNSUPPORTED = 23,
    /** No key that the engine trusts has signed the artifact: do not run it. */
    ARTIFACT_UNTRUSTED = 30,
    /** Symbols are undefined; artifact_error_missing() returns their names. */
    ARTIFACT_UNRESOLVED = 40,
    /** A defect of the library. */
    ARTIFACT_INTERNAL = 90,
} artifact_status_t;

/** Borrowed bytes. The function that returns them says how long they are valid. */
typedef struct artifact_slice_t {
    /** The first byte; NULL if and only if len is 0. */
    const uint8_t *data;
    /** The number of bytes. */
    size_t len;
} artifact_slice_t;

/**
 * Returns the version of the library that the program runs with, as ARTIFACT_VERSION_NUMBER encodes it:
 * major * 1000000 + minor * 1000 + patch.
 */
uint32_t artifact_version(void);

/**
 * Returns the version of the library that the program runs with as text, such as "0.1.0". The text is static: never
 * free it.
 */
const char *artifact_version_string(void);

/**
 * Returns the name of a status.
 *
 * @param status An artifact_status_t.
 * @return Static text, never to be freed, such as "ARTIFACT_CORRUPT"; "unknown status" if no status has this number.
 */
const char *artifact_status_name(uint32_t status);

/* ==== Error: why a call failed ==== */

/** Returns the status that the failed call returned; ARTIFACT_OK if error is NULL. */
artifact_status_t artifact_error_status(const artifact_error_t *error);

/**
 * Returns one sentence that says what was expected, what was found, and where. It has no line breaks or other control
 * characters. Borrowed: valid until the error is freed. "" if error is NULL.
 */
const char *artifact_error_message(const artifact_error_t *error);

/**
 * Returns the offset, in bytes, of what is wrong. It counts from the start of the file or bytes that were opened, even
 * if the artifact starts later in them. UINT64_MAX if the error concerns no particular offset, or if error is NULL.
 */
uint64_t artifact_error_offset(const artifact_error_t *error);

/** Returns the operating system's error number (errno); 0 if no system call failed, or if error is NULL. */
int artifact_error_errno(const artifact_error_t *error);

/** Returns the number of undefined symbols; 0 unless the status is ARTIFACT_UNRESOLVED, or if error is NULL. */
size_t artifact_error_missing_count(const artifact_error_t *error);

/**
 * Returns the name of an undefined symbol.
 *
 * @param error The error, or NULL.
 * @param index An index below artifact_error_missing_count().
 * @return The name, borrowed: valid until the error is freed. NULL if index is out of range or error is NULL.
 */
const char *artifact_error_missing(const artifact_error_t *error, size_t index);

/** Frees an error. NULL is allowed. */
void artifact_error_free(artifact_error_t *error);

/* ==== Buffer: bytes that you own ==== */

/** Returns the first byte of a buffer. Borrowed: valid until the buffer is freed. NULL if buffer is NULL. */
const uint8_t *artifact_buffer_data(const artifact_buffer_t *buffer);

/** Returns the number of bytes in a buffer; 0 if buffer is NULL. */
size_t artifact_buffer_len(const artifact_buffer_t *buffer);

/** Frees a buffer. NULL is allowed. */
void artifact_buffer_free(artifact_buffer_t *buffer);

/* ==== Settings of engines and artifacts: flags, tunables, features ==== */

/** The two maps of compiler flags. */
typedef enum artifact_flag_map_t {
    /** Flags that every architecture has, such as "opt_level". They must be equal. */
    ARTIFACT_FLAGS_SHARED = 0,
    /** Instruction sets, such as "avx2". A boolean flag is compared only if it is on in the artifact. */
    ARTIFACT_FLAGS_ISA = 1,
} artifact_flag_map_t;

/** The type of a flag's value. */
typedef enum artifact_flag_kind_t {
    /** One of several words. */
    ARTIFACT_FLAG_ENUM = 0,
    /** A number from 0 to 255. */
    ARTIFACT_FLAG_NUM = 1,
    /** On or off. */
    ARTIFACT_FLAG_BOOL = 2,
} artifact_flag_kind_t;

/**
 * Settings of how a Wasm compiler lays out linear memories and what it compiles into the code. Sizes are in bytes
 * unless said otherwise. Settings without a size are switches, 0 or 1. A compatibility check compares all but the two
 * that say otherwise.
 */
typedef enum artifact_tunable_t {
    /** Memories of at most this size, in Wasm pages of 64 KiB, are reserved as a whole (static memories). */
    ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND = 0,
    /** Size of the guard region after a static memory. */
    ARTIFACT_TUNABLE_STATIC_MEMORY_OFFSET_GUARD_SIZE = 1,
    /** Size of the guard region after a memory that can move (a dynamic memory). */
    ARTIFACT_TUNABLE_DYNAMIC_MEMORY_OFFSET_GUARD_SIZE = 2,
    /** How far a dynamic memory can grow in place. Not compared. */
    ARTIFACT_TUNABLE_DYNAMIC_MEMORY_GROWTH_RESERVE = 3,
    /** The machine code has DWARF. */
    ARTIFACT_TUNABLE_GENERATE_NATIVE_DEBUGINFO = 4,
    /** Backtraces use the Wasm module's DWARF. */
    ARTIFACT_TUNABLE_PARSE_WASM_DEBUGINFO = 5,
    /** The code can be interrupted. */
    ARTIFACT_TUNABLE_INTERRUPTABLE = 6,
    /** The code counts fuel. */
    ARTIFACT_TUNABLE_CONSUME_FUEL = 7,
    /** No memory grows beyond the static bound, as a pooling allocator requires. */
    ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND_IS_MAXIMUM = 8,
    /** A guard region also precedes each memory. */
    ARTIFACT_TUNABLE_GUARD_BEFORE_LINEAR_MEMORY = 9,
    /** The artifact stores a map from machine code to Wasm code. Not compared. */
    ARTIFACT_TUNABLE_GENERATE_ADDRESS_MAP = 10,
} artifact_tunable_t;

/** Wasm proposals that a compiler accepts. */
typedef enum artifact_feature_t {
    /** Reference types. */
    ARTIFACT_FEATURE_REFERENCE_TYPES = 0,
    /** Functions and blocks with several results. */
    ARTIFACT_FEATURE_MULTI_VALUE = 1,
    /** Bulk memory operations. */
    ARTIFACT_FEATURE_BULK_MEMORY = 2,
    /** Module linking. */
    ARTIFACT_FEATURE_MODULE_LINKING = 3,
    /** 128-bit SIMD. */
    ARTIFACT_FEATURE_SIMD = 4,
    /** Shared memories and atomics. */
    ARTIFACT_FEATURE_THREADS = 5,
    /** Tail calls. */
    ARTIFACT_FEATURE_TAIL_CALL = 6,
    /** Only deterministic instructions. */
    ARTIFACT_FEATURE_DETERMINISTIC_ONLY = 7,
    /** Several memories in one module. */
    ARTIFACT_FEATURE_MULTI_MEMORY = 8,
    /** Exceptions. */
    ARTIFACT_FEATURE_EXCEPTIONS = 9,
    /** Memories with 64-bit addresses. */
    ARTIFACT_FEATURE_MEMORY64 = 10,
} artifact_feature_t;

/** A compiler flag. Its texts are borrowed: valid until the engine or artifact that returned it is freed. */
typedef struct artifact_flag_t {
    /** The flag's name. */
    const char *name;
    /** An artifact_flag_kind_t. */
    uint32_t kind;
    /** ARTIFACT_FLAG_NUM: the number. ARTIFACT_FLAG_BOOL: 1 for on, 0 for off. ARTIFACT_FLAG_ENUM: 0. */
    uint32_t value;
    /** ARTIFACT_FLAG_ENUM: the word. Otherwise NULL. */
    const char *text;
} artifact_flag_t;

/* ==== Engine: what code is compiled for, or what a host can run ==== */

/** Which version an engine writes into artifacts, and which it accepts when it opens them. */
typedef enum artifact_version_rule_t {
    /**
     * Writes and accepts exactly the version of the body's layout: "1", which releases of the library change only if
     * they must; "0.33.0" under producer "wasmtime".
     */
    ARTIFACT_VERSION_RULE_LIBRARY = 0,
    /** Writes and accepts exactly a version of your own, such as that of your compiler. */
    ARTIFACT_VERSION_RULE_CUSTOM = 1,
    /** Writes no version and accepts any. */
    ARTIFACT_VERSION_RULE_NONE = 2,
} artifact_version_rule_t;

/**
 * Creates an engine with this host's target triple, producer "artifact", ARTIFACT_VERSION_RULE_LIBRARY, no flags, and
 * all tunables and features 0. A compiler starts with it and sets what it compiles with.
 *
 * If your code generator can change, set a producer, and ARTIFACT_VERSION_RULE_CUSTOM with its version or build id:
 * ARTIFACT_VERSION_RULE_LIBRARY notices neither a new compiler nor a new runtime.
 *
 * @return An engine that you own. NULL only because of a defect of the library.
 */
artifact_engine_t *artifact_engine_new(void);

/**
 * Creates an engine as artifact_engine_new() does, and adds every instruction set of the CPU that runs this call as an
 * ISA flag under LLVM's name for it. Check artifacts against this engine. On machines other than x86-64 and aarch64 it
 * has no ISA flags.
 *
 * An instruction set counts if the CPU has it, the operating system has enabled the registers that it uses, and this
 * process may use it, all at the time of this call. On Linux, a process may use AMX only after
 * arch_prctl(ARCH_REQ_XCOMP_PERM, 18): make that call before you create the engine, which otherwise has no amx-tile.
 *
 * The length of SVE vectors differs from CPU to CPU. It is the enum flag "sve-vector-bits", the length of the calling
 * thread's vectors in bits, such as "512"; "sme-vector-bits" is the length in streaming mode. An artifact that has such
 * a flag fits only the same length; one that does not fits any.
 *
 * Shared flags, tunables, features, producer and version rule are those of artifact_engine_new(): set them to what you
 * set when you save.
 *
 * @return An engine that you own. NULL only because of a defect of the library.
 */
artifact_engine_t *artifact_engine_new_host(void);

/**
 * Creates an engine with what Wasmtime 0.33 compiles with by default on this host: producer "wasmtime", and
 * Cranelift's names of flags. Use it to exchange files with Wasmtime 0.33.
 *
 * @return An engine that you own. NULL only because of a defect of the library.
 */
artifact_engine_t *artifact_engine_new_wasmtime(void);

/** Copies an engine. Returns a copy that you own; NULL if engine is NULL. */
artifact_engine_t *artifact_engine_clone(const artifact_engine_t *engine);

/** Frees an engine. NULL is allowed. */
void artifact_engine_free(artifact_engine_t *engine);

/**
 * Sets the target triple.
 *
 * @param engine The engine to change.
 * @param triple A target triple, such as "x86_64-unknown-linux-gnu". A compatibility check compares only its
 *     architecture and operating system. If your code depends on a C library or an ABI, add a shared flag for it.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if triple is not a target triple.
 */
artifact_status_t artifact_engine_set_target(artifact_engine_t *engine,
                                             const char *triple,
                                             artifact_error_t **error);

/**
 * Sets the producer: the name of the program that compiles. An engine does not open artifacts of another producer.
 * Wasmtime 0.33 opens artifacts that are saved under producer "wasmtime".
 *
 * @param engine The engine to change.
 * @param producer 1 to 32 characters from a-z, 0-9, '.', '_' and '-', without "-aot", which the file format appends.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if producer is not such a name.
 */
artifact_status_t artifact_engine_set_producer(artifact_engine_t *engine,
                                               const char *producer,
                                               artifact_error_t **error);

/**
 * Sets which version the engine writes into artifacts and accepts when it opens them.
 *
 * @param engine The engine to change.
 * @param rule An artifact_version_rule_t.
 * @param custom The version, 0 to 255 bytes, if rule is ARTIFACT_VERSION_RULE_CUSTOM; otherwise NULL.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if rule is unknown or custom does not suit it.
 */
artifact_status_t artifact_engine_set_version_rule(artifact_engine_t *engine,
                                                   uint32_t rule,
                                                   const char *custom,
                                                   artifact_error_t **error);

/**
 * Sets a compiler flag to on or off. Replaces the flag if it exists, whatever its type was. The library gives names
 * and values no meaning except what artifact_flag_map_t says of their map.
 *
 * @param engine The engine to change.
 * @param map An artifact_flag_map_t.
 * @param name The flag's name, not empty.
 * @param value On or off.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if map is unknown or name is empty.
 */
artifact_status_t artifact_engine_set_flag_bool(artifact_engine_t *engine,
                                                uint32_t map,
                                                const char *name,
                                                bool value,
                                                artifact_error_t **error);

/**
 * Sets a compiler flag to a number. Otherwise like artifact_engine_set_flag_bool().
 *
 * @param engine The engine to change.
 * @param map An artifact_flag_map_t.
 * @param name The flag's name, not empty.
 * @param value The number.
 * @return As artifact_engine_set_flag_bool().
 */
artifact_status_t artifact_engine_set_flag_num(artifact_engine_t *engine,
                                               uint32_t map,
                                               const char *name,
                                               uint8_t value,
                                               artifact_error_t **error);

/**
 * Sets a compiler flag to a word. Otherwise like artifact_engine_set_flag_bool().
 *
 * @param engine The engine to change.
 * @param map An artifact_flag_map_t.
 * @param name The flag's name, not empty.
 * @param value The word, which is copied.
 * @return As artifact_engine_set_flag_bool().
 */
artifact_status_t artifact_engine_set_flag_enum(artifact_engine_t *engine,
                                                uint32_t map,
                                                const char *name,
                                                const char *value,
                                                artifact_error_t **error);

/**
 * Removes a compiler flag.
 *
 * @param engine The engine to change.
 * @param map An artifact_flag_map_t.
 * @param name The flag's name.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if the map has no flag of this name, or
 *     ARTIFACT_INVALID_ARGUMENT if map is unknown.
 */
artifact_status_t artifact_engine_unset_flag(artifact_engine_t *engine,
                                             uint32_t map,
                                             const char *name,
                                             artifact_error_t **error);

/**
 * Sets a tunable.
 *
 * @param engine The engine to change.
 * @param tunable An artifact_tunable_t.
 * @param value The size, or 0 or 1 for a switch.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if tunable is unknown, or is a switch and value
 *     is neither 0 nor 1.
 */
artifact_status_t artifact_engine_set_tunable(artifact_engine_t *engine,
                                              uint32_t tunable,
                                              uint64_t value,
                                              artifact_error_t **error);

/**
 * Turns a Wasm feature on or off.
 *
 * @param engine The engine to change.
 * @param feature An artifact_feature_t.
 * @param value On or off.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if feature is unknown.
 */
artifact_status_t artifact_engine_set_feature(artifact_engine_t *engine,
                                              uint32_t feature,
                                              bool value,
                                              artifact_error_t **error);

/**
 * Returns the target triple. Borrowed: valid until the engine is freed, even if the target changes. NULL if engine is
 * NULL.
 */
const char *artifact_engine_target(const artifact_engine_t *engine);

/**
 * Returns the producer. Borrowed: valid until the engine is freed, even if the producer changes. NULL if engine is
 * NULL.
 */
const char *artifact_engine_producer(const artifact_engine_t *engine);

/**
 * Returns the version that the engine writes into artifacts; "" under ARTIFACT_VERSION_RULE_NONE. Borrowed: valid
 * until the engine is freed, even if the version changes. NULL if engine is NULL.
 */
const char *artifact_engine_version(const artifact_engine_t *engine);

/** Returns the version rule, an artifact_version_rule_t; ARTIFACT_VERSION_RULE_LIBRARY if engine is NULL. */
uint32_t artifact_engine_version_rule(const artifact_engine_t *engine);

/**
 * Returns the number of compiler flags in a map.
 *
 * @param engine The engine, or NULL.
 * @param map An artifact_flag_map_t.
 * @return The number of flags; 0 if engine is NULL or map is unknown.
 */
size_t artifact_engine_flag_count(const artifact_engine_t *engine, uint32_t map);

/**
 * Reads a compiler flag by its index.
 *
 * @param engine The engine.
 * @param map An artifact_flag_map_t.
 * @param index An index below artifact_engine_flag_count(). Flags are sorted by name.
 * @param flag Receives the flag. Its texts are valid until the engine is freed.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or ARTIFACT_INVALID_ARGUMENT if
 *     map is unknown.
 */
artifact_status_t artifact_engine_flag_at(const artifact_engine_t *engine,
                                          uint32_t map,
                                          size_t index,
                                          artifact_flag_t *flag,
                                          artifact_error_t **error);

/**
 * Reads a compiler flag by its name.
 *
 * @param engine The engine.
 * @param map An artifact_flag_map_t.
 * @param name The flag's name.
 * @param flag Receives the flag. Its texts are valid until the engine is freed.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if the map has no flag of this name, or
 *     ARTIFACT_INVALID_ARGUMENT if map is unknown.
 */
artifact_status_t artifact_engine_flag(const artifact_engine_t *engine,
                                       uint32_t map,
                                       const char *name,
                                       artifact_flag_t *flag,
                                       artifact_error_t **error);

/**
 * Reads a tunable.
 *
 * @param engine The engine.
 * @param tunable An artifact_tunable_t.
 * @param value Receives the size, or 0 or 1 for a switch.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if tunable is unknown.
 */
artifact_status_t artifact_engine_tunable(const artifact_engine_t *engine,
                                          uint32_t tunable,
                                          uint64_t *value,
                                          artifact_error_t **error);

/**
 * Reads whether a Wasm feature is on.
 *
 * @param engine The engine.
 * @param feature An artifact_feature_t.
 * @param value Receives true for on, false for off.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if feature is unknown.
 */
artifact_status_t artifact_engine_feature(const artifact_engine_t *engine,
                                          uint32_t feature,
                                          bool *value,
                                          artifact_error_t **error);

/**
 * Computes a cache key: a digest of everything that a compatibility check compares. Two engines have equal
 * fingerprints if and only if every artifact fits both or neither. A fingerprint is not secret, and is the same on
 * every machine.
 *
 * Fingerprint the engine that you check against to get one entry for each kind of CPU, which is never stale.
 * Fingerprint the engine that you build with to share entries between CPUs, and check each entry when you open it.
 *
 * @param engine The engine.
 * @param fingerprint An array of 32 bytes, which receives the fingerprint.
 * @return ARTIFACT_OK, or a general status.
 */
artifact_status_t artifact_engine_fingerprint(const artifact_engine_t *engine,
                                              uint8_t *fingerprint,
                                              artifact_error_t **error);

/**
 * Writes everything in an engine as JSON, which artifact_engine_from_json() reads.
 *
 * @param engine The engine.
 * @param json Receives the JSON text, a buffer that you own.
 * @return ARTIFACT_OK, or a general status.
 */
artifact_status_t artifact_engine_to_json(const artifact_engine_t *engine,
                                          artifact_buffer_t **json,
                                          artifact_error_t **error);

/**
 * Creates an engine from JSON, as artifact_engine_to_json() writes it.
 *
 * @param json JSON text. Every key is required, and unknown keys are refused.
 * @param engine Receives the engine, which you own.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT, with line and column, if the text is not the
 *     JSON of an engine.
 */
artifact_status_t artifact_engine_from_json(const char *json,
                                            artifact_engine_t **engine,
                                            artifact_error_t **error);

/* ==== Engines for CPUs ==== */

/**
 * Sets the CPU that code is compiled for: replaces the CPU features among the ISA flags by those of a CPU of the
 * engine's target. They have Cranelift's names ("has_avx2") if the engine has one of these or its producer is
 * "wasmtime", LLVM's otherwise. ISA flags that are not features of a CPU stay. Set target and producer first.
 *
 * A CPU's name stands for every feature that LLVM gives it and that code can need. What needs nothing of a CPU (tuning,
 * instructions of the kernel) is left out. A CPU of that very name fits only if nothing has switched one of them off:
 * take away what your code does not use, as in "skylake,-sgx".
 *
 * @param engine The engine to change.
 * @param names A comma-separated list. Each item is "native" (the CPU that runs this call), LLVM's name of a CPU
 *     ("haswell", "znver4", "neoverse-n1"), a level of the x86-64 psABI ("x86-64-v1" to "x86-64-v4"), the name of a
 *     feature, or a length of vectors ("sve-vector-bits=512"). An item that begins with '-' takes away features of the
 *     items before it.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT for a name that the target's architecture does not
 *     have (the message has similar ones), for "native" if this host has another architecture, and under producer
 *     "wasmtime" for a single feature that Cranelift has no flag for. Nothing changes then. On architectures other than
 *     x86-64 and aarch64, every name is taken for a feature.
 */
artifact_status_t artifact_engine_set_cpu(artifact_engine_t *engine,
                                          const char *names,
                                          artifact_error_t **error);

/**
 * Copies an engine and replaces target and CPU features by those of this host and of the CPU that runs this call, as
 * artifact_engine_new_host() finds them: from the engine that a compiler describes itself with, makes the one to check
 * its code against. Everything else is copied: producer, version rule, shared flags, tunables, features, trusted keys,
 * and ISA flags that are not features of a CPU.
 *
 * CPU features have Cranelift's names ("has_avx2") if the engine has one of these or its producer is "wasmtime", LLVM's
 * otherwise.
 *
 * @param engine The engine to copy; it does not change.
 * @return An engine that you own; NULL if engine is NULL.
 */
artifact_engine_t *artifact_engine_clone_for_host(const artifact_engine_t *engine);

/* ==== Types of Wasm imports and exports ==== */

/** A Wasm value type. */
typedef enum artifact_wasm_type_t {
    /** 32-bit integer. */
    ARTIFACT_WASM_I32 = 0,
    /** 64-bit integer. */
    ARTIFACT_WASM_I64 = 1,
    /** 32-bit float. */
    ARTIFACT_WASM_F32 = 2,
    /** 64-bit float. */
    ARTIFACT_WASM_F64 = 3,
    /** 128-bit vector. */
    ARTIFACT_WASM_V128 = 4,
    /** Reference to a function. */
    ARTIFACT_WASM_FUNCREF = 5,
    /** Reference to an object of the host. */
    ARTIFACT_WASM_EXTERNREF = 6,
    /** Reference to an exception. */
    ARTIFACT_WASM_EXNREF = 7,
} artifact_wasm_type_t;

/** What a module imports or exports. */
typedef enum artifact_entity_kind_t {
    /** A global variable. */
    ARTIFACT_ENTITY_GLOBAL = 0,
    /** A linear memory. */
    ARTIFACT_ENTITY_MEMORY = 1,
    /** An exception tag. */
    ARTIFACT_ENTITY_TAG = 2,
    /** A table of references. */
    ARTIFACT_ENTITY_TABLE = 3,
    /** A function. */
    ARTIFACT_ENTITY_FUNCTION = 4,
    /** An instance of a module. */
    ARTIFACT_ENTITY_INSTANCE = 5,
    /** A module. */
    ARTIFACT_ENTITY_MODULE = 6,
} artifact_entity_kind_t;

/** How a global is initialized. */
typedef enum artifact_init_kind_t {
    /** With a constant i32. */
    ARTIFACT_INIT_I32 = 0,
    /** With a constant i64. */
    ARTIFACT_INIT_I64 = 1,
    /** With a constant f32. */
    ARTIFACT_INIT_F32 = 2,
    /** With a constant f64. */
    ARTIFACT_INIT_F64 = 3,
    /** With a constant v128. */
    ARTIFACT_INIT_V128 = 4,
    /** With the value of another global. */
    ARTIFACT_INIT_GET_GLOBAL = 5,
    /** With a null reference. */
    ARTIFACT_INIT_REF_NULL = 6,
    /** With a reference to a function. */
    ARTIFACT_INIT_REF_FUNC = 7,
    /** Not at all: the global is imported. */
    ARTIFACT_INIT_IMPORT = 8,
} artifact_init_kind_t;

/** The type of an import or export. Reading sets fields that the kind does not use to 0; writing ignores them. */
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
     * Global: the bits of the initial value. I32: the value, sign-extended to 64 bits. F32, F64: IEEE 754 bits. V128:
     * the lower 64 bits. GET_GLOBAL, REF_FUNC: an index.
     */
    uint64_t init_low;
    /** Global: the upper 64 bits of a V128. */
    uint64_t init_high;
    /** Memory: the minimum size in pages. Table: the minimum number of elements. */
    uint64_t minimum;
    /** Memory, table: the maximum, in the same unit, if has_maximum is true. */
    uint64_t maximum;
    /** Memory, table: whether there is a maximum. */
    bool has_maximum;
    /** Global: whether it can change. */
    bool is_mutable;
    /** Memory: whether threads share it. */
    bool is_shared;
    /** Memory: whether it has 64-bit addresses. */
    bool is_memory64;
} artifact_entity_t;

/* ==== Builder: what an artifact consists of ==== */

/** For artifact_link_options_t.flags: omit sections that only debuggers read, such as .debug_info. */
#define ARTIFACT_LINK_NO_DEBUG UINT64_C(1)

/** For artifact_link_options_t.flags: link all members of archives, whether or not they are needed. */
#define ARTIFACT_LINK_WHOLE_ARCHIVE UINT64_C(2)

/**
 * For artifact_link_options_t.flags: leave out sections that nothing needs that is exported or runs when the module is
 * loaded. Compile with -ffunction-sections and -fdata-sections, so that each function has a section of its own.
 */
#define ARTIFACT_LINK_GC_SECTIONS UINT64_C(4)

/**
 * For artifact_link_options_t.flags: pack relative relocations (DT_RELR), which makes tables of pointers smaller, such as
 * vtables, and faster to load. artifact_load() knows DT_RELR. glibc knows it from 2.36 on, musl from 1.2.4 on; with older
 * ones, `dlopen` of the file reports no error and leaves these pointers unrelocated.
 */
#define ARTIFACT_LINK_PACK_RELATIVE_RELOCS UINT64_C(8)

/** Initializes options with the defaults: `artifact_link_options_t options = ARTIFACT_LINK_OPTIONS_INIT;` */
#define ARTIFACT_LINK_OPTIONS_INIT {sizeof(artifact_link_options_t), 0, NULL, 0}

/**
 * A relocatable object (ET_REL), as `cc -c`, LLVM, Cranelift and GNU as write it, or an archive of them, as `ar` makes
 * it. Everything is needed only during the call.
 */
typedef struct artifact_object_t {
    /** The name in messages, such as that of its file; NULL: "object " and its index in the array. */
    const char *name;
    /** The object's bytes. */
    const uint8_t *data;
    /** The number of bytes. */
    size_t len;
} artifact_object_t;

/** How artifact_builder_add_objects() links. Begin with ARTIFACT_LINK_OPTIONS_INIT. */
typedef struct artifact_link_options_t {
    /** sizeof(artifact_link_options_t). */
    size_t size;
    /** A combination of ARTIFACT_LINK_ flags. */
    uint64_t flags;
    /**
     * The names of the symbols that the module exports, among the global ones of default or protected visibility; NULL:
     * all of those. With names, it exports no others, and sections that these symbols do not need are left out, as with
     * ARTIFACT_LINK_GC_SECTIONS.
     */
    const char *const *entries;
    /** The number of entries. */
    size_t entry_count;
} artifact_link_options_t;

/**
 * Creates a builder for a new artifact.
 *
 * @param engine What the code is compiled for. Its settings are copied: later changes to the engine have no effect on
 *     the builder.
 * @param builder Receives the builder, which you own.
 * @return ARTIFACT_OK, or a general status.
 */
artifact_status_t artifact_builder_new(const artifact_engine_t *engine,
                                       artifact_builder_t **builder,
                                       artifact_error_t **error);

/**
 * Creates a builder that rewrites an artifact: it keeps the artifact's body byte for byte, its attributes, and those
 * of its signatures that are still valid when it is written.
 *
 * No module, type or upvar can be added: each such artifact_builder_add_ function returns ARTIFACT_INVALID_ARGUMENT.
 * If the artifact has a trailer, saving first checks all its digests, and returns ARTIFACT_DIGEST_MISMATCH or
 * ARTIFACT_CORRUPT if the artifact is damaged.
 *
 * @param artifact The artifact. It may be freed before the builder.
 * @param builder Receives the builder, which you own.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_DIGEST_MISMATCH or ARTIFACT_CORRUPT if the attributes are
 *     damaged.
 */
artifact_status_t artifact_builder_new_from_artifact(const artifact_t *artifact,
                                                     artifact_builder_t **builder,
                                                     artifact_error_t **error);

/** Frees a builder. NULL is allowed. */
void artifact_builder_free(artifact_builder_t *builder);

/**
 * Adds an ELF image as a module. The module that is added last is the main module. An image whose section header table
 * is not its last part is stored with a copy of that table at its end.
 *
 * @param builder The builder to change.
 * @param elf An ELF64 image of either byte order, for any machine. It is borrowed, not copied: the bytes must not
 *     change until the builder is freed. Only a builder that artifact_cache_get_or_make() passes to a function copies them.
 * @param len The number of bytes.
 * @param index Receives the module's index; may be NULL.
 * @return ARTIFACT_OK, a general status, or one of these, in which case nothing was added:
 *   - ARTIFACT_INVALID_ARGUMENT: the image is not ELF, or the builder rewrites an artifact.
 *   - ARTIFACT_UNSUPPORTED: the image is ELF32.
 *   - ARTIFACT_TRUNCATED: the image ends before its section header table does.
 *   - ARTIFACT_CORRUPT: the image is damaged.
 *   - ARTIFACT_LIMIT: the image needs an alignment of more than 2 MiB.
 */
artifact_status_t artifact_builder_add_module(artifact_builder_t *builder,
                                              const uint8_t *elf,
                                              size_t len,
                                              size_t *index,
                                              artifact_error_t **error);

/**
 * Adds an ELF file as a module. The file is read into memory that the builder owns, so it may change afterwards.
 *
 * @param builder The builder to change.
 * @param path The file's path.
 * @param index Receives the module's index; may be NULL.
 * @return As artifact_builder_add_module(), or ARTIFACT_IO if the file cannot be read. ARTIFACT_TRUNCATED also if it
 * becomes shorter meanwhile.
 */
artifact_status_t artifact_builder_add_module_file(artifact_builder_t *builder,
                                                   const char *path,
                                                   size_t *index,
                                                   artifact_error_t **error);

/**
 * Links relocatable objects into one position-independent shared object, and adds that as a module. Equal objects give
 * equal modules.
 *
 * The module exports the global symbols of default or protected visibility: artifact_code_symbol() finds them. Every
 * reference to a symbol that one of the objects defines is bound to that definition. artifact_load() resolves
 * undefined symbols. If the first module of an artifact is linked here, the file itself is a shared object: dlopen(),
 * nm, objdump and gdb accept it.
 *
 * Of an archive, those members are linked that define a symbol which an object, an entry of the options or another linked
 * member refers to, other than weakly. Of several members that define a symbol, the first one of the first archive
 * counts. Members come after all objects. Messages name them `lib.a(member.o)`. Thin archives, which have no bytes of
 * their members, are refused: `artifact pack` reads the files that they name.
 *
 * Objects must match the engine's target (x86-64 or aarch64) and be compiled with -fPIC. Other objects also work if
 * they refer directly only to their own data, have no thread-local variables of their own, and have whole addresses
 * only in instructions that the linker can replace: those of -fPIE, of LLVM's large code model, which its JITs use, and
 * of Cranelift without is_pic.
 *
 * Thread-local variables may be reached as in any shared object: general dynamic, local dynamic or through descriptors,
 * which is what -fPIC gives. Initial exec is possible for variables of the host only; artifact_load() refuses it if the
 * variable is not in static storage.
 *
 * @param builder The builder to change.
 * @param objects An array of objects and archives, needed only during the call.
 * @param count The number of objects and archives.
 * @param options How to link; NULL: the defaults.
 * @param index Receives the module's index; may be NULL.
 * @return ARTIFACT_OK, a general status, or one of these, in which case nothing was added:
 *   - ARTIFACT_INVALID_ARGUMENT: there is nothing to link, an input is neither a relocatable object nor an archive, is a
 *     thin archive, or is for another machine than the engine's target, two objects define the same symbol, no object
 *     defines an entry with default or protected visibility, or the builder rewrites an artifact.
 *   - ARTIFACT_UNSUPPORTED: an object refers directly to data of the host, or needs its code to be written when it is
 *     loaded (relocations in text), static thread-local storage of its own (local exec, initial exec), a version of
 *     a symbol that it defines or of a library that is not known, an executable stack, or an unknown relocation. The
 *     message names object, section, offset, symbol and relocation, and says what to do. It lists all that cannot be
 *     linked, duplicate symbols too, up to 20, separated by " | ".
 *   - ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT: an object is damaged.
 *   - ARTIFACT_LIMIT: the linked image exceeds 2 GiB without .bss and .lbss, or 1 TiB with them, has more than 64 MiB of
 *     padding, or more than 256 MiB of thread-local storage.
 */
artifact_status_t artifact_builder_add_objects(artifact_builder_t *builder,
                                               const artifact_object_t *objects,
                                               size_t count,
                                               const artifact_link_options_t *options,
                                               size_t *index,
                                               artifact_error_t **error);

/** Returns the number of modules in a builder; 0 if builder is NULL. */
size_t artifact_builder_module_count(const artifact_builder_t *builder);

/**
 * Adds a function type.
 *
 * @param builder The builder to change.
 * @param params The types of the parameters, an artifact_wasm_type_t in each byte; copied; may be NULL if params_len
 *     is 0.
 * @param params_len The number of parameters.
 * @param returns The types of the results, likewise; may be NULL if returns_len is 0.
 * @param returns_len The number of results.
 * @param index Receives the index among the function types; may be NULL.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if a type is unknown or the builder rewrites an
 *     artifact.
 */
artifact_status_t artifact_builder_add_func_type(artifact_builder_t *builder,
                                                 const uint8_t *params,
                                                 size_t params_len,
                                                 const uint8_t *returns,
                                                 size_t returns_len,
                                                 uint32_t *index,
                                                 artifact_error_t **error);

/**
 * Adds an instance type without exports.
 *
 * @param builder The builder to change.
 * @param index Receives the index among the instance types; may be NULL.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the builder rewrites an artifact.
 */
artifact_status_t artifact_builder_add_instance_type(artifact_builder_t *builder,
                                                     uint32_t *index,
                                                     artifact_error_t **error);

/**
 * Appends an export to an instance type.
 *
 * @param builder The builder to change.
 * @param instance_type The index of an instance type that was added.
 * @param name The export's name.
 * @param entity What is exported.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the instance type has an export of this name
 *     already, if instance_type or an index in entity is out of range, or if the builder rewrites an artifact.
 */
artifact_status_t artifact_builder_add_instance_export(artifact_builder_t *builder,
                                                       uint32_t instance_type,
                                                       const char *name,
                                                       const artifact_entity_t *entity,
                                                       artifact_error_t **error);

/**
 * Adds a module type without imports.
 *
 * @param builder The builder to change.
 * @param exports The index of the instance type that describes the module's instances.
 * @param index Receives the index among the module types; may be NULL.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if there is no such instance type or the builder
 *     rewrites an artifact.
 */
artifact_status_t artifact_builder_add_module_type(artifact_builder_t *builder,
                                                   uint32_t exports,
                                                   uint32_t *index,
                                                   artifact_error_t **error);

/**
 * Appends an import to a module type.
 *
 * @param builder The builder to change.
 * @param module_type The index of a module type that was added.
 * @param name The import's name.
 * @param entity What is imported.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the module type has an import of this name
 *     already, if module_type or an index in entity is out of range, or if the builder rewrites an artifact.
 */
artifact_status_t artifact_builder_add_module_import(artifact_builder_t *builder,
                                                     uint32_t module_type,
                                                     const char *name,
                                                     const artifact_entity_t *entity,
                                                     artifact_error_t **error);

/**
 * Adds an upvar: a module that nested modules can reach, and the modules that it passes on to them. Upvars belong to
 * Wasmtime's module linking; other compilers have none.
 *
 * @param builder The builder to change.
 * @param parent The index of the upvar that contains this one, or SIZE_MAX.
 * @param module The index of the module.
 * @param artifact_upvars The indexes of the modules that it passes on, an array that is copied; may be NULL if
 *     artifact_upvars_len is 0.
 * @param artifact_upvars_len The number of those modules.
 * @param index Receives the upvar's index; may be NULL.
 * @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if parent or a module has not been added yet or the
 *     builder rewrites an artifact, or ARTIFACT_LIMIT if more than 100 levels would be nested.
 */
artifact_status_t artifact_builder_add_upvar(artifact_builder_t *builder,
                                             size_t parent,
                                             size_t module,
                                             const size_t *artifact_upvars,
                                             size_t artifact_upvars_len,
                                             size_t *index,
                                             artifact_error_t **error);

/**
 * Sets whether a trailer (digests over every byte, attributes, signatures) is written; true by default. Wasmtime 0.33
 * ignores trailers.
 *
 * @param builder The builder to change.
 * @param trailer Whether to write a trailer.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if trailer is false while the builder has
 *     attributes or keys.
 */
artifact_status_t artifact_builder_set_trailer(artifact_builder_t *builder,
                                               bool trailer,
                                               artifact_error_t **error);

/**
 * Sets an attribute: a name and bytes of your own, such as the digest of the source. Replaces the attribute if it
 * exists. A builder that rewrites an artifact starts with that artifact's attributes.
 *
 * @param builder The builder to change.
 * @param name The attribute's name, which is copied.
 * @param data The value, which is copied; may be NULL if len is 0.
 * @param len The number of bytes.
 * @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if the builder writes no trailer, or ARTIFACT_LIMIT
 *     if there would be more than 65536 attributes or 64 MiB of them in all.
 */
artifact_status_t artifact_builder_set_attribute(artifact_builder_t *builder,
                                                 const char *name,
                                                 const uint8_t *data,
                                                 size_t len,
                                                 artifact_error_t **error);

/**
 * Removes an attribute.
 *
 * @param builder The builder to change.
 * @param name The attribute's name.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if the builder has no attribute of this name.
 */
artifact_status_t artifact_builder_unset_attribute(artifact_builder_t *builder,
                                                   const char *name,
                                                   artifact_error_t **error);

/* ==== Saving: writing a builder's artifact ==== */

/**
 * For artifact_save_options_t.flags: return before the file is on the disk; for caches. Readers still see either the whole
 * old file or the whole new one, but after a crash of the machine the file may be empty or partial: open it with
 * ARTIFACT_OPEN_VERIFY, and replace it if it is damaged.
 */
#define ARTIFACT_SAVE_NO_SYNC UINT64_C(1)

/** Initializes options with the defaults: `artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;` */
#define ARTIFACT_SAVE_OPTIONS_INIT {sizeof(artifact_save_options_t), 0}

/** How artifact_serialize_to_file() saves. Begin with ARTIFACT_SAVE_OPTIONS_INIT. */
typedef struct artifact_save_options_t {
    /** sizeof(artifact_save_options_t). */
    size_t size;
    /** A combination of ARTIFACT_SAVE_ flags. */
    uint64_t flags;
} artifact_save_options_t;

/**
 * Writes the next piece of an artifact for artifact_serialize_to(). It must not unwind (throw), longjmp, or use the
 * builder.
 *
 * @param context The context given to artifact_serialize_to().
 * @param data The bytes, valid only during the call.
 * @param len The number of bytes.
 * @return 0, or an errno, which ends the writing.
 */
typedef int (*artifact_write_fn)(void *context, const uint8_t *data, size_t len);

/**
 * Writes the artifact to memory. The same input gives the same bytes.
 *
 * @param builder The builder.
 * @param buffer Receives the artifact, a buffer that you own.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the builder has no module.
 */
artifact_status_t artifact_serialize(const artifact_builder_t *builder,
                                     artifact_buffer_t **buffer,
                                     artifact_error_t **error);

/**
 * Writes the artifact to a file, atomically: whoever opens path at any moment, even after a crash of the machine or on
 * a full disk, sees either the whole old file or the whole new one.
 *
 * The bytes go to a new temporary file in the same folder, which is synced and renamed to path; then the folder is
 * synced, for which it must be readable: otherwise nothing is saved. After a failure, path has its old contents, and
 * the temporary file is removed. If only the last step, syncing the folder, fails, path already has the new contents.
 * A process that is killed while it saves may leave the temporary file, .NAME.RANDOM.tmp, which you can delete while
 * no process saves in that folder.
 *
 * The new file has the permission bits of the file that it replaces, otherwise those that the umask allows; its owner
 * and group are those of the process. If the old file belongs to another user, group and others cannot write to the
 * new one.
 *
 * @param builder The builder.
 * @param path The file to create or replace. A symbolic link is followed if it belongs to this user or to root.
 * @param options How to save; NULL: the defaults.
 * @return ARTIFACT_OK, a general status, or one of these:
 *   - ARTIFACT_INVALID_ARGUMENT: the builder has no module, or path is a directory, device, FIFO or socket.
 *   - ARTIFACT_IO: the file cannot be written, or path is a dangling symbolic link. With errno ELOOP, path is a symbolic
 *     link of another user; with EFBIG, the file would exceed RLIMIT_FSIZE. SIGXFSZ is not delivered, whatever its
 *     disposition is.
 *   - ARTIFACT_DIGEST_MISMATCH, ARTIFACT_CORRUPT: see artifact_builder_new_from_artifact().
 */
artifact_status_t artifact_serialize_to_file(const artifact_builder_t *builder,
                                             const char *path,
                                             const artifact_save_options_t *options,
                                             artifact_error_t **error);

/**
 * Writes the artifact through a callback, piece by piece, in order.
 *
 * @param builder The builder.
 * @param write Called with each piece. If it returns a value other than 0, the writing ends.
 * @param context Passed to write; may be NULL.
 * @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if the builder has no module, or ARTIFACT_IO with
 *     the errno that write returned.
 */
artifact_status_t artifact_serialize_to(const artifact_builder_t *builder,
                                        artifact_write_fn write,
                                        void *context,
                                        artifact_error_t **error);

/* ==== Artifact: opening and checking ==== */

/**
 * For artifact_open_options_t.flags: check everything that artifact_verify() checks while opening; of a file of several targets,
 * check the variant that is opened.
 */
#define ARTIFACT_OPEN_VERIFY UINT64_C(1)

/**
 * For artifact_open_options_t.flags: copy the whole file to private memory, a sealed memfd, before anything else, and use only
 * the copy: later changes to the file have no effect. Of a file of several targets, the variant is copied. A file that cannot change is not copied: a memfd that is sealed against
 * writing and shrinking, or a file under fs-verity.
 */
#define ARTIFACT_OPEN_COPY UINT64_C(2)

/**
 * For artifact_open_options_t.flags: read modules into private memory on first use, rather than mapping the file. If another
 * process truncates the file, reading a module is then an error, ARTIFACT_TRUNCATED; with a mapping, it kills the process
 * (SIGBUS). What has been read does not change until the artifact is freed. Reading is slower than a mapping, since every
 * byte is copied. Loading copies the code too. The modules of signed files are always read, and memory is never copied.
 */
#define ARTIFACT_OPEN_READ UINT64_C(4)

/**
 * For artifact_open_options_t.flags: open the variant of a file of several targets whose index is
 * artifact_open_options_t.variant, whatever it needs. A file of one target has variant 0 only.
 */
#define ARTIFACT_OPEN_VARIANT UINT64_C(8)

/**
 * For artifact_open_options_t.flags: refuse a file of several targets if the first variant for the engine's target does not fit the
 * engine, rather than open one that needs less. Any file of one target is the best that it has.
 */
#define ARTIFACT_OPEN_REQUIRE_BEST UINT64_C(16)

/** Initializes options with the defaults: `artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;` */
#define ARTIFACT_OPEN_OPTIONS_INIT {sizeof(artifact_open_options_t), 0, 0, 0, 0, NULL, 0, 0, 0}

/** How to open. Begin with ARTIFACT_OPEN_OPTIONS_INIT. */
typedef struct artifact_open_options_t {
    /** sizeof(artifact_open_options_t). */
    size_t size;
    /** A combination of ARTIFACT_OPEN_ flags. */
    uint64_t flags;
    /** The offset of the artifact in the file or bytes, if it is part of something larger; otherwise 0. */
    uint64_t offset;
    /** The artifact's length in bytes; 0: up to the end. */
    uint64_t length;
    /** The maximum size of Metadata (the settings) in bytes; 0, or more than that: 64 MiB. */
    uint64_t memory_limit;
    /**
     * Detached signatures, as artifact_sign() and `artifact sign` create them, one after the other; needed only during
     * the call. Requires an engine with trusted keys. NULL: none.
     */
    const uint8_t *signature;
    /** The length of the detached signatures in bytes. */
    size_t signature_len;
    /**
     * The maximum number of bytes that ARTIFACT_OPEN_COPY copies; 0: no limit. Holes of a sparse file count: they take no
     * memory at first, but reading the copy can fill them.
     */
    uint64_t copy_limit;
    /** With ARTIFACT_OPEN_VARIANT, the index of the variant to open of a file of several targets; otherwise 0. */
    uint64_t variant;
} artifact_open_options_t;

/**
 * Opens the artifact in a file. Reads headers and settings into private memory, and keeps one close-on-exec descriptor
 * open. Modules are mapped when the first of them is needed.
 *
 * If the engine trusts keys, one of them must have signed the artifact, which is checked before anything else; each
 * module is then copied to private memory and checked when it is first needed. Next, the engine's producer and version
 * rule must match, before anything else is decoded. artifact_check_compat() checks everything else. A NULL engine
 * opens any artifact for inspection, even one whose settings cannot be decoded because another version wrote them.
 *
 * Of a file of several targets, the first variant whose settings all fit the engine is opened; see
 * artifact_fat_builder_add() for the order. Without an engine it is the first in the file, the most portable one, and with
 * ARTIFACT_OPEN_VARIANT the one that you name. If the engine trusts keys, one of them must have signed the index.
 *
 * If another process truncates the file while it is open, reading its modules can kill the process (SIGBUS). Replace
 * files instead, as artifact_serialize_to_file() does. If other users can write to the file, use ARTIFACT_OPEN_READ or
 * ARTIFACT_OPEN_COPY. Verifying is safe if other users can write to the file: it then reads a copy.
 *
 * @param path The file's path.
 * @param engine The engine whose trusted keys, producer and version rule the artifact must match; may be NULL.
 * @param options How to open; NULL: the defaults.
 * @param artifact Receives the artifact, which you own.
 * @return ARTIFACT_OK, a general status, or one of these:
 *   - ARTIFACT_UNTRUSTED: the engine trusts keys, and none of them has signed the artifact.
 *   - ARTIFACT_WRONG_PRODUCER, ARTIFACT_WRONG_VERSION: the artifact's producer or version is not the engine's.
 *   - ARTIFACT_INCOMPATIBLE: no variant of a file of several targets fits; the message says why not. Or, with
 *     ARTIFACT_OPEN_REQUIRE_BEST, the best one for the engine's target does not.
 *   - ARTIFACT_NOT_FOUND: the file has no variant with the index in the options.
 *   - ARTIFACT_NOT_AN_ARTIFACT, ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT, ARTIFACT_DIGEST_MISMATCH: the file is not a
 *     valid artifact. If a variant's settings contradict the index, that is ARTIFACT_CORRUPT.
 *   - ARTIFACT_LIMIT: the artifact exceeds a limit of the library or of the options.
 *   - ARTIFACT_UNSUPPORTED: the artifact or the options need a newer library.
 *   - ARTIFACT_IO: the file cannot be read; artifact_error_errno() is ENOENT if it does not exist.
 *   - ARTIFACT_INVALID_ARGUMENT: path is a directory, device or FIFO (opening never blocks on one), offset and length
 *     of the options reach beyond the file, the options have detached signatures although the engine trusts no key, or
 *     ARTIFACT_OPEN_REQUIRE_BEST is given without an engine or together with ARTIFACT_OPEN_VARIANT.
 */
artifact_status_t artifact_open_file(const char *path,
                                     const artifact_engine_t *engine,
                                     const artifact_open_options_t *options,
                                     artifact_t **artifact,
                                     artifact_error_t **error);

/**
 * Opens the artifact in an open file. Otherwise like artifact_open_file().
 *
 * @param fd A descriptor open for reading. It is duplicated: you keep yours, and its position is neither used nor
 *     changed.
 * @param engine As artifact_open_file().
 * @param options As artifact_open_file().
 * @param artifact Receives the artifact, which you own.
 * @return As artifact_open_file().
 */
artifact_status_t artifact_open_fd(int fd,
                                   const artifact_engine_t *engine,
                                   const artifact_open_options_t *options,
                                   artifact_t **artifact,
                                   artifact_error_t **error);

/**
 * Opens a copy of an artifact in memory. Otherwise like artifact_open_file().
 *
 * @param data The bytes, needed only during the call.
 * @param len The number of bytes.
 * @param engine As artifact_open_file().
 * @param options As artifact_open_file().
 * @param artifact Receives the artifact, which you own.
 * @return As artifact_open_file().
 */
artifact_status_t artifact_open_bytes(const uint8_t *data,
                                      size_t len,
                                      const artifact_engine_t *engine,
                                      const artifact_open_options_t *options,
                                      artifact_t **artifact,
                                      artifact_error_t **error);

/**
 * Opens an artifact in memory without copying it. Otherwise like artifact_open_file().
 *
 * @param data The bytes, of any alignment. They must not change until the artifact, and every builder and code made
 *     from it, is freed. The bytes of modules are aligned as artifact_module_t.align says only if
 *     data + options.offset is aligned likewise.
 * @param len The number of bytes.
 * @param engine As artifact_open_file().
 * @param options As artifact_open_file().
 * @param artifact Receives the artifact, which you own.
 * @return As artifact_open_file().
 */
artifact_status_t artifact_open_borrowed(const uint8_t *data,
                                         size_t len,
                                         const artifact_engine_t *engine,
                                         const artifact_open_options_t *options,
                                         artifact_t **artifact,
                                         artifact_error_t **error);

/** Frees an artifact, and every text, slice and array that was borrowed from it. NULL is allowed. */
void artifact_free(artifact_t *artifact);

/**
 * Checks whether an artifact fits an engine. Compares, in this order: producer, version, architecture, operating
 * system, shared flags by name, ISA flags by name, tunables, features, and the machine, class and byte order in each
 * module's ELF header, which are read at the first check. The error's message describes the first
 * mismatch in the words of Wasmtime 0.33; artifact_compat_report() returns all mismatches, with both values. The
 * artifact remains open and readable in any case.
 *
 * @param artifact The artifact.
 * @param engine The engine to compare with.
 * @return ARTIFACT_OK if the artifact fits, a general status, or one of these:
 *   - ARTIFACT_WRONG_PRODUCER: the producer differs.
 *   - ARTIFACT_WRONG_VERSION: the version differs.
 *   - ARTIFACT_INCOMPATIBLE: anything else differs.
 *   - ARTIFACT_CORRUPT, ARTIFACT_TRUNCATED, ARTIFACT_DIGEST_MISMATCH, ARTIFACT_LIMIT: the engine accepts the version,
 *     but the settings or the modules' headers are damaged.
 */
artifact_status_t artifact_check_compat(const artifact_t *artifact,
                                        const artifact_engine_t *engine,
                                        artifact_error_t **error);

/**
 * Lists every mismatch between an artifact and an engine. If producer or version differ, that is the only entry.
 *
 * @param artifact The artifact.
 * @param engine The engine to compare with.
 * @param report Receives the report, which you own; it has no entries if the artifact fits. artifact_report_status()
 *     returns what artifact_check_compat() would return.
 * @return ARTIFACT_OK if the comparison was made, whatever its outcome; a general status; ARTIFACT_CORRUPT,
 *     ARTIFACT_TRUNCATED or ARTIFACT_LIMIT if the engine accepts the version, but the settings cannot be decoded; or
 *     ARTIFACT_LIMIT if there are more than 4096 mismatches.
 */
artifact_status_t artifact_compat_report(const artifact_t *artifact,
                                         const artifact_engine_t *engine,
                                         artifact_report_t **report,
                                         artifact_error_t **error);

/**
 * Lists why this host cannot run an artifact's code, whoever made it, in which version and with which settings:
 * architecture, operating system, CPU features and lengths of vectors as artifact_engine_new_host() finds them, and
 * modules for another machine. Use it to judge files of other programs; whether your own program should take a file is
 * a question for artifact_compat_report().
 *
 * @param artifact The artifact.
 * @param report Receives the report, which you own; it has no entries if this host can run the code.
 * @return ARTIFACT_OK if the comparison was made, whatever its outcome; a general status; ARTIFACT_WRONG_VERSION if the
 *     settings have the layout of another version, which is not known; or ARTIFACT_LIMIT if there are more than 4096
 *     reasons.
 */
artifact_status_t artifact_host_report(const artifact_t *artifact,
                                       artifact_report_t **report,
                                       artifact_error_t **error);

/**
 * Checks everything that opening skips because it takes time in proportion to the file's size: every digest, each
 * module's sections, symbols and relocations, links, padding, and the order of keys. In a file without a trailer (see
 * artifact_integrity()) only the structure can be checked: a changed byte of code goes unnoticed. Of a file of several
 * targets, every variant is checked, and what is between them.
 *
 * @param artifact The artifact.
 * @param report Receives the report, which you own. It lists warnings: what Wasmtime 0.33 accepts although no program
 *     writes it.
 * @return ARTIFACT_OK if the artifact is undamaged, a general status, or one of these:
 *   - ARTIFACT_DIGEST_MISMATCH, ARTIFACT_CORRUPT, ARTIFACT_TRUNCATED, ARTIFACT_LIMIT: the artifact is damaged; the
 *     error says where.
 *   - ARTIFACT_WRONG_VERSION: the settings cannot be decoded.
 *   - ARTIFACT_IO: the file cannot be read.
 */
artifact_status_t artifact_verify(const artifact_t *artifact,
                                  artifact_report_t **report,
                                  artifact_error_t **error);

/**
 * Returns the producer: the name of the program that compiled the artifact. Borrowed: valid until the artifact is
 * freed. NULL if artifact is NULL.
 */
const char *artifact_producer(const artifact_t *artifact);

/**
 * Returns the version that the producer wrote: 0 to 255 bytes, which need not be text. Borrowed: valid until the
 * artifact is freed. Empty if artifact is NULL.
 */
artifact_slice_t artifact_producer_version(const artifact_t *artifact);

/**
 * Returns the artifact's length in bytes, including whatever follows its body; of a file of several targets, that of the
 * variant; 0 if artifact is NULL.
 */
uint64_t artifact_file_len(const artifact_t *artifact);

/* ==== Settings of an artifact ==== */

/** An upvar; see artifact_builder_add_upvar(). Its array is borrowed: valid until the artifact is freed. */
typedef struct artifact_upvar_t {
    /** The index of the upvar that contains this one, which is smaller than its own; SIZE_MAX: none. */
    size_t parent;
    /** The index of the module. */
    uint64_t module;
    /** The indexes of the modules that it passes on. */
    const uint64_t *artifact_upvars;
    /** The number of those modules. */
    size_t artifact_upvars_len;
} artifact_upvar_t;

/**
 * A function type. Its arrays hold an artifact_wasm_type_t in each byte, and are borrowed: valid until the artifact is
 * freed.
 */
typedef struct artifact_func_type_t {
    /** The types of the parameters. */
    const uint8_t *params;
    /** The number of parameters. */
    size_t params_len;
    /** The types of the results. */
    const uint8_t *returns;
    /** The number of results. */
    size_t returns_len;
    /** The number of parameters of type ARTIFACT_WASM_EXTERNREF. */
    uint64_t externref_params;
    /** The number of such results, as stored in the file. Wasmtime 0.33 stores the number of parameters here. */
    uint64_t externref_returns;
} artifact_func_type_t;

/**
 * Reads the target triple.
 *
 * This and all other functions that read settings return ARTIFACT_WRONG_VERSION if the settings cannot be decoded
 * because another version wrote them. Such an artifact opens only with a NULL engine.
 *
 * @param artifact The artifact.
 * @param target Receives the triple, borrowed: valid until the artifact is freed.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_WRONG_VERSION.
 */
artifact_status_t artifact_target(const artifact_t *artifact,
                                  const char **target,
                                  artifact_error_t **error);

/**
 * Reads the number of compiler flags in a map.
 *
 * @param artifact The artifact.
 * @param map An artifact_flag_map_t.
 * @param count Receives the number.
 * @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if map is unknown, or ARTIFACT_WRONG_VERSION (see
 *     artifact_target()).
 */
artifact_status_t artifact_flag_count(const artifact_t *artifact,
                                      uint32_t map,
                                      size_t *count,
                                      artifact_error_t **error);

/**
 * Reads a compiler flag by its index.
 *
 * @param artifact The artifact.
 * @param map An artifact_flag_map_t.
 * @param index An index below artifact_flag_count(). Flags are sorted by name.
 * @param flag Receives the flag. Its texts are valid until the artifact is freed.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, ARTIFACT_INVALID_ARGUMENT if map
 *     is unknown, or ARTIFACT_WRONG_VERSION (see artifact_target()).
 */
artifact_status_t artifact_flag_at(const artifact_t *artifact,
                                   uint32_t map,
                                   size_t index,
                                   artifact_flag_t *flag,
                                   artifact_error_t **error);

/**
 * Reads a compiler flag by its name.
 *
 * @param artifact The artifact.
 * @param map An artifact_flag_map_t.
 * @param name The flag's name.
 * @param flag Receives the flag. Its texts are valid until the artifact is freed.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if the map has no flag of this name,
 *     ARTIFACT_INVALID_ARGUMENT if map is unknown, or ARTIFACT_WRONG_VERSION (see artifact_target()).
 */
artifact_status_t artifact_flag(const artifact_t *artifact,
                                uint32_t map,
                                const char *name,
                                artifact_flag_t *flag,
                                artifact_error_t **error);

/**
 * Reads a tunable.
 *
 * @param artifact The artifact.
 * @param tunable An artifact_tunable_t.
 * @param value Receives the size, or 0 or 1 for a switch.
 * @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if tunable is unknown, or ARTIFACT_WRONG_VERSION
 *     (see artifact_target()).
 */
artifact_status_t artifact_tunable(const artifact_t *artifact,
                                   uint32_t tunable,
                                   uint64_t *value,
                                   artifact_error_t **error);

/**
 * Reads whether a Wasm feature is on.
 *
 * @param artifact The artifact.
 * @param feature An artifact_feature_t.
 * @param value Receives true for on, false for off.
 * @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if feature is unknown, or ARTIFACT_WRONG_VERSION
 *     (see artifact_target()).
 */
artifact_status_t artifact_feature(const artifact_t *artifact,
                                   uint32_t feature,
                                   bool *value,
                                   artifact_error_t **error);

/**
 * Reads the number of upvars, including nested ones.
 *
 * @param artifact The artifact.
 * @param count Receives the number.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_WRONG_VERSION (see artifact_target()).
 */
artifact_status_t artifact_upvar_count(const artifact_t *artifact, size_t *count, artifact_error_t **error);

/**
 * Reads an upvar by its index.
 *
 * @param artifact The artifact.
 * @param index An index below artifact_upvar_count(). Parents come before their children.
 * @param upvar Receives the upvar. Its array is valid until the artifact is freed.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or ARTIFACT_WRONG_VERSION (see
 *     artifact_target()).
 */
artifact_status_t artifact_upvar_at(const artifact_t *artifact,
                                    size_t index,
                                    artifact_upvar_t *upvar,
                                    artifact_error_t **error);

/**
 * Reads the numbers of types.
 *
 * @param artifact The artifact.
 * @param funcs Receives the number of function types; may be NULL.
 * @param modules Receives the number of module types; may be NULL.
 * @param instances Receives the number of instance types; may be NULL.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_WRONG_VERSION (see artifact_target()).
 */
artifact_status_t artifact_type_counts(const artifact_t *artifact,
                                       size_t *funcs,
                                       size_t *modules,
                                       size_t *instances,
                                       artifact_error_t **error);

/**
 * Reads a function type.
 *
 * @param artifact The artifact.
 * @param index An index below the number of function types.
 * @param func_type Receives the function type. Its arrays are valid until the artifact is freed.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or ARTIFACT_WRONG_VERSION (see
 *     artifact_target()).
 */
artifact_status_t artifact_func_type(const artifact_t *artifact,
                                     size_t index,
                                     artifact_func_type_t *func_type,
                                     artifact_error_t **error);

/**
 * Reads a module type.
 *
 * @param artifact The artifact.
 * @param index An index below the number of module types.
 * @param imports Receives the number of imports.
 * @param exports Receives the index of the instance type that describes the module's instances.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or ARTIFACT_WRONG_VERSION (see
 *     artifact_target()).
 */
artifact_status_t artifact_module_type(const artifact_t *artifact,
                                       size_t index,
                                       size_t *imports,
                                       uint32_t *exports,
                                       artifact_error_t **error);

/**
 * Reads an import of a module type.
 *
 * @param artifact The artifact.
 * @param module_type The index of the module type.
 * @param index An index below the number of imports. Imports have the order of the file.
 * @param name Receives the import's name, borrowed: valid until the artifact is freed.
 * @param entity Receives what is imported.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if module_type or index is out of range, or
 *     ARTIFACT_WRONG_VERSION (see artifact_target()).
 */
artifact_status_t artifact_module_import(const artifact_t *artifact,
                                         size_t module_type,
                                         size_t index,
                                         const char **name,
                                         artifact_entity_t *entity,
                                         artifact_error_t **error);

/**
 * Reads the number of exports of an instance type.
 *
 * @param artifact The artifact.
 * @param index An index below the number of instance types.
 * @param exports Receives the number of exports.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or ARTIFACT_WRONG_VERSION (see
 *     artifact_target()).
 */
artifact_status_t artifact_instance_type(const artifact_t *artifact,
                                         size_t index,
                                         size_t *exports,
                                         artifact_error_t **error);

/**
 * Reads an export of an instance type.
 *
 * @param artifact The artifact.
 * @param instance_type The index of the instance type.
 * @param index An index below the number of exports. Exports have the order of the file.
 * @param name Receives the export's name, borrowed: valid until the artifact is freed.
 * @param entity Receives what is exported.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if instance_type or index is out of range, or
 *     ARTIFACT_WRONG_VERSION (see artifact_target()).
 */
artifact_status_t artifact_instance_export(const artifact_t *artifact,
                                           size_t instance_type,
                                           size_t index,
                                           const char **name,
                                           artifact_entity_t *entity,
                                           artifact_error_t **error);

/* ==== Trailer: integrity and attributes ==== */

/** What guarantees that an artifact's bytes are those that were written. */
typedef enum artifact_integrity_t {
    /** Nothing: the file has no trailer, such as those that Wasmtime 0.33 writes. */
    ARTIFACT_INTEGRITY_NONE = 0,
    /**
     * A trailer with digests over every byte. Opening checks those of the settings, artifact_verify() checks all. They
     * detect damage, not malice: whoever changes the file can recompute them.
     */
    ARTIFACT_INTEGRITY_DIGESTS = 1,
    /**
     * A trusted key's signature over digests of every byte; see artifact_signed_by(). A module is checked when it is
     * first needed.
     */
    ARTIFACT_INTEGRITY_SIGNED = 2,
} artifact_integrity_t;

/**
 * Returns what guarantees that an artifact's bytes are those that were written, an artifact_integrity_t;
 * ARTIFACT_INTEGRITY_NONE if artifact is NULL.
 */
uint32_t artifact_integrity(const artifact_t *artifact);

/**
 * Reads the number of attributes. This and the other functions that read attributes check the digest of all attributes
 * when one of them is first called.
 *
 * @param artifact The artifact.
 * @param count Receives the number.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_DIGEST_MISMATCH or ARTIFACT_CORRUPT if the attributes are
 *     damaged.
 */
artifact_status_t artifact_attribute_count(const artifact_t *artifact,
                                           size_t *count,
                                           artifact_error_t **error);

/**
 * Reads an attribute by its index.
 *
 * @param artifact The artifact.
 * @param index An index below artifact_attribute_count(). Attributes have the order of the file.
 * @param name Receives the name, borrowed: valid until the artifact is freed.
 * @param value Receives the value, borrowed: valid until the artifact is freed.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or as
 *     artifact_attribute_count().
 */
artifact_status_t artifact_attribute_at(const artifact_t *artifact,
                                        size_t index,
                                        const char **name,
                                        artifact_slice_t *value,
                                        artifact_error_t **error);

/**
 * Reads an attribute by its name.
 *
 * @param artifact The artifact.
 * @param name The attribute's name.
 * @param value Receives the value, borrowed: valid until the artifact is freed.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if the artifact has no attribute of this name, or as
 *     artifact_attribute_count().
 */
artifact_status_t artifact_attribute(const artifact_t *artifact,
                                     const char *name,
                                     artifact_slice_t *value,
                                     artifact_error_t **error);

/* ==== Signatures ==== */

/**
 * The bytes that precede the root record in what is signed: sizeof ARTIFACT_SIGNATURE_CONTEXT bytes, including the NUL. See
 * artifact_root_record().
 */
#define ARTIFACT_SIGNATURE_CONTEXT "libartifact signature 1"

/**
 * The bytes that precede the digest of an index in what is signed: sizeof ARTIFACT_INDEX_SIGNATURE_CONTEXT bytes, including the
 * NUL. See artifact_fat_builder_index_digest().
 */
#define ARTIFACT_INDEX_SIGNATURE_CONTEXT "libartifact fat index 1"

/** A public key: Ed25519 (RFC 8032). People exchange public keys as PEM; see artifact_public_key_from_pem(). */
typedef struct artifact_public_key_t {
    /** The key's 32 bytes. */
    uint8_t bytes[32];
} artifact_public_key_t;

/**
 * Generates a private key from the operating system's random numbers.
 *
 * @param key Receives the key, which you own.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_IO if the operating system has no random numbers.
 */
artifact_status_t artifact_key_generate(artifact_key_t **key, artifact_error_t **error);

/**
 * Reads a private key from PEM.
 *
 * @param pem PEM text of one unencrypted PKCS#8 key, as `openssl genpkey -algorithm ed25519` writes it.
 * @param key Receives the key, which you own.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the text is anything else.
 */
artifact_status_t artifact_key_from_pem(const char *pem, artifact_key_t **key, artifact_error_t **error);

/** Frees a key. NULL is allowed. */
void artifact_key_free(artifact_key_t *key);

/**
 * Writes a private key as PEM text, PKCS#8.
 *
 * @param key The key.
 * @param pem Receives the text, a buffer that you own and that is wiped when it is freed.
 * @return ARTIFACT_OK, or a general status.
 */
artifact_status_t artifact_key_to_pem(const artifact_key_t *key,
                                      artifact_buffer_t **pem,
                                      artifact_error_t **error);

/**
 * Saves a private key to a new file that only its owner can read (mode 0600), as artifact_key_to_pem() writes it.
 *
 * @param key The key.
 * @param path The file to create. An existing file is never replaced.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_IO if the file cannot be written; artifact_error_errno() is
 *     EEXIST if it exists.
 */
artifact_status_t artifact_key_save(const artifact_key_t *key,
                                    const char *path,
                                    artifact_error_t **error);

/**
 * Computes the public key of a private key.
 *
 * @param key The private key.
 * @param public_key Receives the public key.
 * @return ARTIFACT_OK, or a general status.
 */
artifact_status_t artifact_key_public(const artifact_key_t *key,
                                      artifact_public_key_t *public_key,
                                      artifact_error_t **error);

/**
 * Reads a public key from PEM.
 *
 * @param pem PEM text of one SubjectPublicKeyInfo, as `openssl pkey -pubout` writes it.
 * @param public_key Receives the key.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the text is anything else, or if the key has
 *     a small order and its signatures prove nothing.
 */
artifact_status_t artifact_public_key_from_pem(const char *pem,
                                               artifact_public_key_t *public_key,
                                               artifact_error_t **error);

/**
 * Writes a public key as PEM text.
 *
 * @param public_key The key.
 * @param pem Receives the text, a buffer that you own.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the bytes are not a public key.
 */
artifact_status_t artifact_public_key_to_pem(const artifact_public_key_t *public_key,
                                             artifact_buffer_t **pem,
                                             artifact_error_t **error);

/**
 * Makes an engine trust a key. From then on it opens and loads only artifacts that a trusted key has signed; any other
 * is ARTIFACT_UNTRUSTED, which is decided before anything else of it is decoded. An engine can trust several keys.
 * Compatibility checks and fingerprints ignore keys.
 *
 * @param engine The engine to change.
 * @param pem The public key as PEM text; see artifact_public_key_from_pem().
 * @return As artifact_public_key_from_pem().
 */
artifact_status_t artifact_engine_trust_key(artifact_engine_t *engine,
                                            const char *pem,
                                            artifact_error_t **error);

/** Returns the number of keys that an engine trusts; 0 if engine is NULL. */
size_t artifact_engine_trusted_key_count(const artifact_engine_t *engine);

/**
 * Reads a key that an engine trusts.
 *
 * @param engine The engine.
 * @param index An index below artifact_engine_trusted_key_count(). Keys are sorted by their bytes.
 * @param public_key Receives the key.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if index is out of range.
 */
artifact_status_t artifact_engine_trusted_key_at(const artifact_engine_t *engine,
                                                 size_t index,
                                                 artifact_public_key_t *public_key,
                                                 artifact_error_t **error);

/**
 * Makes a builder sign everything that it writes from now on. The same artifact and key give the same bytes.
 *
 * @param builder The builder to change. It can have up to 64 keys, each of which adds a signature.
 * @param key The private key. It may be freed before the builder.
 * @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if the builder writes no trailer, which holds
 *     signatures, or ARTIFACT_LIMIT if the builder has 64 keys already.
 */
artifact_status_t artifact_builder_add_key(artifact_builder_t *builder,
                                           const artifact_key_t *key,
                                           artifact_error_t **error);

/**
 * Computes the root record of a builder's artifact as it is now, to be signed with a key that this process does not
 * have. What has to be signed is ARTIFACT_SIGNATURE_CONTEXT with its NUL, followed by the record; pass the signature
 * to artifact_builder_add_signature(). Reads every byte of the modules.
 *
 * @param builder The builder.
 * @param record Receives the record, 256 bytes in a buffer that you own.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the builder has no module or writes no
 *     trailer.
 */
artifact_status_t artifact_root_record(const artifact_builder_t *builder,
                                       artifact_buffer_t **record,
                                       artifact_error_t **error);

/**
 * Adds a signature that was made elsewhere; see artifact_root_record(). If the artifact changes afterwards, writing it
 * returns ARTIFACT_INVALID_ARGUMENT.
 *
 * @param builder The builder to change.
 * @param public_key The key that signed.
 * @param signature An Ed25519 signature (RFC 8032) of the artifact as it is now; it is copied.
 * @param signature_len Its length in bytes: 64.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the signature is by another key, or of
 *     another artifact.
 */
artifact_status_t artifact_builder_add_signature(artifact_builder_t *builder,
                                                 const artifact_public_key_t *public_key,
                                                 const uint8_t *signature,
                                                 size_t signature_len,
                                                 artifact_error_t **error);

/**
 * Removes all keys and signatures from a builder. A builder that rewrites an artifact starts with that artifact's
 * signatures, and writes those that are still valid; changing an attribute invalidates them.
 *
 * @param builder The builder to change.
 * @return ARTIFACT_OK, or a general status.
 */
artifact_status_t artifact_builder_clear_signatures(artifact_builder_t *builder,
                                                    artifact_error_t **error);

/**
 * Reads the trusted key whose signature was verified when the artifact was opened.
 *
 * @param artifact The artifact.
 * @param public_key Receives the key.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if no key was trusted when the artifact was opened.
 *     What such a file claims, artifact_signature_at() returns; it proves nothing.
 */
artifact_status_t artifact_signed_by(const artifact_t *artifact,
                                     artifact_public_key_t *public_key,
                                     artifact_error_t **error);

/**
 * Returns the number of signatures that an artifact carries, whoever made them; 0 if artifact is NULL. A variant's own
 * are counted, not those of the index that it was found by.
 */
size_t artifact_signature_count(const artifact_t *artifact);

/**
 * Reads which key a signature claims to be from. The claim is not verified; see artifact_signed_by().
 *
 * @param artifact The artifact.
 * @param index An index below artifact_signature_count().
 * @param public_key Receives the key.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if index is out of range.
 */
artifact_status_t artifact_signature_at(const artifact_t *artifact,
                                        size_t index,
                                        artifact_public_key_t *public_key,
                                        artifact_error_t **error);

/**
 * Creates a detached signature, for a file that must not change, such as one without a trailer. Keep it beside the
 * file, and pass it in artifact_open_options_t.signature, where several may follow one another. Of a file of several
 * targets, it is over the index. Reads every byte of the file.
 *
 * @param artifact The artifact.
 * @param key The private key.
 * @param signature Receives the detached signature, 96 bytes in a buffer that you own: 32 of the public key, 64 of the
 *     signature.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_DIGEST_MISMATCH or ARTIFACT_CORRUPT if the artifact is damaged,
 *     or has no trailer and does not end with its settings.
 */
artifact_status_t artifact_sign(const artifact_t *artifact,
                                const artifact_key_t *key,
                                artifact_buffer_t **signature,
                                artifact_error_t **error);

/**
 * Computes the root record of an opened artifact, for a detached signature by a key that this process does not have.
 * What has to be signed is described at artifact_root_record(). The detached signature consists of the public key's 32
 * bytes and the signature's 64. For a file of several targets, what has to be signed is ARTIFACT_INDEX_SIGNATURE_CONTEXT
 * with its NUL, followed by the digest of the index.
 *
 * @param artifact The artifact.
 * @param record Receives the record, 256 bytes, or the digest of the index, 32 bytes, in a buffer that you own.
 * @return As artifact_sign().
 */
artifact_status_t artifact_detached_record(const artifact_t *artifact,
                                           artifact_buffer_t **record,
                                           artifact_error_t **error);

/* ==== Modules: the ELF images in an artifact ==== */

/** The byte order of a module. */
typedef enum artifact_byte_order_t {
    /** Least significant byte first. */
    ARTIFACT_LITTLE_ENDIAN = 0,
    /** Most significant byte first. */
    ARTIFACT_BIG_ENDIAN = 1,
} artifact_byte_order_t;

/** A module: an ELF image. Machine and type are numbers of <elf.h>. */
typedef struct artifact_module_t {
    /** The whole image, borrowed: valid until the artifact is freed. */
    artifact_slice_t bytes;
    /** The offset of the image in the artifact. */
    uint64_t offset;
    /**
     * The alignment of that offset in bytes: the largest alignment of the module's sections, and of its segments up to
     * 64 KiB. The bytes have the same alignment in memory only if the artifact does: one that is a file by itself
     * does, up to the page size.
     */
    uint64_t align;
    /** e_machine: the architecture. */
    uint32_t machine;
    /** e_type: 1 for a relocatable object, 3 for a shared object. */
    uint32_t type;
    /** An artifact_byte_order_t. */
    uint32_t byte_order;
} artifact_module_t;

/**
 * A section of a module. Flags and type are numbers of <elf.h>. Name and bytes are borrowed: valid until the artifact
 * is freed.
 */
typedef struct artifact_section_t {
    /** The section's name. */
    const char *name;
    /** The section's bytes; empty for SHT_NOBITS. */
    artifact_slice_t bytes;
    /** sh_offset: its offset in the module. */
    uint64_t offset;
    /** sh_size, in bytes. */
    uint64_t size;
    /** sh_addralign, in bytes. */
    uint64_t align;
    /** sh_addr. */
    uint64_t address;
    /** sh_flags. */
    uint64_t flags;
    /** sh_type. */
    uint32_t type;
} artifact_section_t;

/**
 * A symbol of a module. Type and binding are numbers of <elf.h>. The name is borrowed: valid until the artifact is
 * freed.
 */
typedef struct artifact_symbol_t {
    /** The symbol's name. */
    const char *name;
    /** st_value: an offset in its section if the module is a relocatable object, otherwise an address. */
    uint64_t value;
    /** st_size, in bytes. */
    uint64_t size;
    /**
     * st_shndx, with extended numbering resolved: the index of its section, or 0 (SHN_UNDEF) for an undefined symbol,
     * 65521 (SHN_ABS) for an absolute value, 65522 (SHN_COMMON) for a common block.
     */
    uint32_t section;
    /** The type of st_info, such as STT_FUNC. */
    uint32_t type;
    /** The binding of st_info, such as STB_GLOBAL. */
    uint32_t binding;
} artifact_symbol_t;

/** Returns the number of modules in an artifact, at least 1; 0 if artifact is NULL. */
size_t artifact_module_count(const artifact_t *artifact);

/** Returns the index of the main module, which is the last one; 0 if artifact is NULL. */
size_t artifact_main_module(const artifact_t *artifact);

/**
 * Reads a module by its index.
 *
 * This and the other functions that read modules map the file when one of them is first called. If a trusted key has
 * signed the artifact, they copy the module to private memory instead, and check it.
 *
 * @param artifact The artifact.
 * @param index An index below artifact_module_count().
 * @param module Receives the module. Its bytes are valid until the artifact is freed.
 * @return ARTIFACT_OK, a general status, or one of these:
 *   - ARTIFACT_NOT_FOUND: index is out of range.
 *   - ARTIFACT_IO: the file cannot be mapped or read.
 *   - ARTIFACT_DIGEST_MISMATCH: the module is not what was signed, or the module table is damaged.
 *   - ARTIFACT_CORRUPT, ARTIFACT_LIMIT: the module's headers or the module table are damaged.
 */
artifact_status_t artifact_module(const artifact_t *artifact,
                                  size_t index,
                                  artifact_module_t *module,
                                  artifact_error_t **error);

/**
 * Reads the number of sections of a module, including the null section.
 *
 * @param artifact The artifact.
 * @param module The module's index.
 * @param count Receives the number.
 * @return As artifact_module().
 */
artifact_status_t artifact_section_count(const artifact_t *artifact,
                                         size_t module,
                                         size_t *count,
                                         artifact_error_t **error);

/**
 * Reads a section by its index in the section header table.
 *
 * @param artifact The artifact.
 * @param module The module's index.
 * @param index An index below artifact_section_count(); 0 is the null section.
 * @param section Receives the section. Its name and bytes are valid until the artifact is freed.
 * @return As artifact_module(); ARTIFACT_NOT_FOUND also if index is out of range, ARTIFACT_CORRUPT also if the section
 *     reaches beyond its module.
 */
artifact_status_t artifact_section_at(const artifact_t *artifact,
                                      size_t module,
                                      size_t index,
                                      artifact_section_t *section,
                                      artifact_error_t **error);

/**
 * Reads the first section of a name. Each call looks at the sections one after the other; to find many, read all of
 * them once with artifact_section_at().
 *
 * @param artifact The artifact.
 * @param module The module's index.
 * @param name The section's name, such as ".text".
 * @param section Receives the section. Its name and bytes are valid until the artifact is freed.
 * @return As artifact_module(); ARTIFACT_NOT_FOUND also if no section has this name, ARTIFACT_CORRUPT also if the
 *     section reaches beyond its module.
 */
artifact_status_t artifact_section(const artifact_t *artifact,
                                   size_t module,
                                   const char *name,
                                   artifact_section_t *section,
                                   artifact_error_t **error);

/**
 * Reads the number of symbols in a module's .symtab, or in its .dynsym if it has no .symtab, including the null
 * symbol.
 *
 * @param artifact The artifact.
 * @param module The module's index.
 * @param count Receives the number.
 * @return As artifact_module(); ARTIFACT_CORRUPT also if the table or its names reach beyond the module.
 */
artifact_status_t artifact_symbol_count(const artifact_t *artifact,
                                        size_t module,
                                        size_t *count,
                                        artifact_error_t **error);

/**
 * Reads a symbol by its index in the symbol table.
 *
 * @param artifact The artifact.
 * @param module The module's index.
 * @param index An index below artifact_symbol_count(); 0 is the null symbol.
 * @param symbol Receives the symbol. Its name is valid until the artifact is freed.
 * @return As artifact_symbol_count(); ARTIFACT_NOT_FOUND also if index is out of range.
 */
artifact_status_t artifact_symbol_at(const artifact_t *artifact,
                                     size_t module,
                                     size_t index,
                                     artifact_symbol_t *symbol,
                                     artifact_error_t **error);

/**
 * Reads a symbol by its name. If several symbols have this name, a defined global one precedes a weak one, a local
 * one, and an undefined one; among equals the first in the table is chosen.
 *
 * Each call looks at all symbols of the module; to find many, read all of them once with artifact_symbol_at(). In loaded
 * code, artifact_code_symbol() finds exported symbols through the module's hash table.
 *
 * @param artifact The artifact.
 * @param module The module's index.
 * @param name The symbol's name.
 * @param symbol Receives the symbol. Its name is valid until the artifact is freed.
 * @return As artifact_symbol_count(); ARTIFACT_NOT_FOUND also if no symbol has this name.
 */
artifact_status_t artifact_symbol(const artifact_t *artifact,
                                  size_t module,
                                  const char *name,
                                  artifact_symbol_t *symbol,
                                  artifact_error_t **error);

/* ==== Code: loading and running modules ==== */

/**
 * For artifact_load_options_t.flags: load a private copy if the file cannot be mapped executable, whoever forbids it: a file
 * system mounted with noexec, SELinux, IMA, or a seccomp filter (EACCES or EPERM). Without this flag that is ARTIFACT_IO:
 * an administrator's policy is never bypassed silently.
 */
#define ARTIFACT_LOAD_ALLOW_MEMFD UINT64_C(1)

/**
 * For artifact_load_options_t.flags: look up symbols that neither the table nor the callback defines among those of the process,
 * as dlsym(RTLD_DEFAULT) does.
 */
#define ARTIFACT_LOAD_PROCESS_SYMBOLS UINT64_C(2)

/**
 * For artifact_load_options_t.flags: run the modules' constructors, those of the first module first, before artifact_load()
 * returns, and run their destructors in reverse order in artifact_code_free(). Neither may throw an exception. Modules that have
 * constructors are not loaded without this flag or ARTIFACT_LOAD_SKIP_CONSTRUCTORS. Modules that
 * have indirect functions need it: before constructors, their resolvers run, which return the addresses of the functions to use.
 */
#define ARTIFACT_LOAD_RUN_CONSTRUCTORS UINT64_C(4)

/** For artifact_load_options_t.flags: do not register unwind tables; then no exception can pass through the code. */
#define ARTIFACT_LOAD_NO_UNWIND UINT64_C(8)

/**
 * For artifact_load_options_t.flags: register the code with GDB through its JIT interface until the code is freed. Frames get
 * names, and also lines if the module keeps the relocations of its debug sections.
 */
#define ARTIFACT_LOAD_GDB UINT64_C(16)

/** For artifact_load_options_t.flags: write the names of functions to /tmp/perf-PID.map, for profilers. */
#define ARTIFACT_LOAD_PERF_MAP UINT64_C(32)

/**
 * For artifact_load_options_t.flags: write the functions to /tmp/jit-PID.dump, for `perf inject --jit`. Record with
 * `perf record -k mono`. On its own, perf resolves file-backed code only in the artifact's first module.
 */
#define ARTIFACT_LOAD_JITDUMP UINT64_C(64)

/**
 * For artifact_load_options_t.flags: load modules although they have constructors, which do not run. Static objects that these
 * would set up then have zeros in them. No effect together with ARTIFACT_LOAD_RUN_CONSTRUCTORS.
 */
#define ARTIFACT_LOAD_SKIP_CONSTRUCTORS UINT64_C(128)

/*
 * Functions of the unwinders that this program or library is linked with, under names that no other declaration of them
 * contradicts. A weak reference links nothing: what is missing is NULL.
 */
extern void libartifact_register_frame_info(const void *table, void *object) __asm__("__register_frame_info")
    __attribute__((__weak__));
extern void *libartifact_deregister_frame_info(const void *table) __asm__("__deregister_frame_info")
    __attribute__((__weak__));
extern void libartifact_add_dynamic_fde(size_t fde) __asm__("__unw_add_dynamic_fde") __attribute__((__weak__));
extern void libartifact_remove_dynamic_fde(size_t fde) __asm__("__unw_remove_dynamic_fde") __attribute__((__weak__));

/**
 * Initializes options with the defaults, and with the unwinders of the program or library that uses the macro:
 * `artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;`
 */
#define ARTIFACT_LOAD_OPTIONS_INIT                                                                                     \
    {sizeof(artifact_load_options_t), 0, NULL, 0, NULL, NULL, libartifact_register_frame_info,                         \
     libartifact_deregister_frame_info, libartifact_add_dynamic_fde, libartifact_remove_dynamic_fde, NULL, 0}

/** The definition of a symbol that modules import from the host. */
typedef struct artifact_import_t {
    /** The symbol's name. */
    const char *name;
    /**
     * The symbol's address. NULL does not define it: the next source is asked. Of a thread-local variable: the address of
     * the instance of the thread that calls artifact_load(). Each thread that runs the code then uses its own instance.
     */
    void *address;
} artifact_import_t;

/**
 * Defines symbols that the table of artifact_load_options_t does not define. artifact_load() calls it at most once,
 * with all of them, each once. It sets addresses, and leaves those of unknown symbols NULL. It must not unwind (throw)
 * or longjmp.
 *
 * @param context artifact_load_options_t.context.
 * @param missing The symbols, as the modules name them. Array and names are valid only during the call.
 * @param count The number of symbols.
 */
typedef void (*artifact_resolve_fn)(void *context, artifact_import_t *missing, size_t count);

/** How to load. Begin with ARTIFACT_LOAD_OPTIONS_INIT. */
typedef struct artifact_load_options_t {
    /** sizeof(artifact_load_options_t). */
    size_t size;
    /** A combination of ARTIFACT_LOAD_ flags. */
    uint64_t flags;
    /**
     * Symbols that the host defines, in any order; of several definitions of a name the first counts. Needed only during
     * the call. NULL: none.
     */
    const artifact_import_t *symbols;
    /** The number of those symbols. */
    size_t symbol_count;
    /** Called for symbols that are not among those; may be NULL. */
    artifact_resolve_fn resolve;
    /** Passed to resolve; may be NULL. */
    void *context;
    /**
     * __register_frame_info of the host's own libgcc. ARTIFACT_LOAD_OPTIONS_INIT fills this and the following fields
     * in for the program or library whose source uses it, so that exceptions can pass through the code even if that is
     * linked with -static-libgcc, and nothing else can find its unwinder. Each must do what the function of its name
     * does until the code is freed. NULL, as in a language that has no such macro: only the unwinders that the process
     * exports are told of the code. The same holds if deregister_frame_info is NULL.
     */
    void (*register_frame_info)(const void *table, void *object);
    /** __deregister_frame_info of the same; may be NULL. */
    void *(*deregister_frame_info)(const void *table);
    /** __unw_add_dynamic_fde of the host's own libunwind of LLVM; NULL, as for remove_dynamic_fde: it has none. */
    void (*add_dynamic_fde)(size_t fde);
    /** __unw_remove_dynamic_fde of the same; may be NULL. */
    void (*remove_dynamic_fde)(size_t fde);
    /**
     * The indexes of the modules to load, in any order; NULL: all of them. The others are neither read nor mapped, and what
     * they do not have does not matter. Needed only during the call.
     */
    const size_t *modules;
    /** The number of those indexes, at least 1; 0 with NULL. */
    size_t module_count;
} artifact_load_options_t;

/** The function or object that an address belongs to. */
typedef struct artifact_symbolized_t {
    /** The index of its module in the artifact that the code was loaded from. */
    size_t module;
    /** The distance of the address from the first byte of the function or object, in bytes. */
    size_t offset;
    /** The length of its name in bytes, without the NUL, whether or not the name fits into the buffer. */
    size_t name_len;
} artifact_symbolized_t;

/**
 * Loads an artifact's modules so that their code can run: maps them into one range of addresses, text directly from
 * the file, binds the symbols that they use, and registers their unwind tables, so that C++ exceptions can pass
 * through. The code keeps what it needs of the artifact: you may free both in any order. It keeps no descriptor; the
 * artifact keeps one until you free it.
 *
 * Trust and compatibility are checked here, whatever was checked when the artifact was opened. If the engine trusts
 * keys, one of them must have signed the artifact, and what runs is exactly what was signed. The artifact must fit the
 * engine, as artifact_check_compat() defines it. Whatever the engine says, this CPU must have the instruction sets and
 * vector lengths that the artifact's ISA flags name, and this process must be permitted to use them.
 *
 * Undefined symbols are looked up in the table of the options, then with its callback, then, only with
 * ARTIFACT_LOAD_PROCESS_SYMBOLS, in the process, in the version that the module names. Of what compilers use
 * without being asked, the library defines __cxa_atexit(), 128-bit arithmetic and the like unless the table or the
 * callback does, and __tls_get_addr() always. Modules do not see each other's symbols. After a failure nothing stays
 * mapped.
 *
 * If the options name modules, only those are loaded, which takes about as long as if the artifact had no others. Of a
 * signed artifact, only those are read and compared with what was signed. Indexes stay the artifact's:
 * artifact_code_symbol() finds nothing in modules that are not loaded. Their symbols stay undefined, as those of other
 * modules always do. To load another part later, load the artifact again: that is other code, with data of its own.
 *
 * Each thread has its own instances of the modules' thread-local variables. A thread gets them, with their initial
 * values, when it first uses one, and keeps them until it ends or the code is freed. That first use takes memory and a
 * lock, so a signal handler must not be the first to use one. Without memory it ends the process, as with dlopen().
 *
 * No page is ever writable and executable, and no page that was writable becomes executable: loading works under
 * PR_SET_MDWE. Code that is in no file (artifact_open_bytes()), or that shares a page with something else there, is
 * mapped from a sealed memfd.
 *
 * The library checks everything that a file says about its code before it relies on it. It cannot check what the code
 * does when it runs: load only what you trust. Until the code is unmapped, each symbol that the host defines must remain
 * what the code uses it as, and the file must not be truncated or overwritten in place, since its text is mapped. That
 * is when artifact_code_free() returns or, if threads still have destructors of the code to run, when they have ended.
 *
 * @param artifact The artifact. Its modules must be shared objects for this machine, such as
 *     artifact_builder_add_objects() links, or modules of Wasmtime 0.33.
 * @param engine The engine that the artifact must fit.
 * @param options How to load; NULL: the defaults. A program that is linked with -static-libgcc or a static libunwind
 *     passes options that begin with ARTIFACT_LOAD_OPTIONS_INIT: with NULL its exceptions cannot pass through the code.
 * @param code Receives the code, which you own.
 * @return ARTIFACT_OK, a general status, or one of these:
 *   - ARTIFACT_UNTRUSTED: the engine trusts keys, and none of them has signed the artifact.
 *   - ARTIFACT_WRONG_PRODUCER, ARTIFACT_WRONG_VERSION, ARTIFACT_INCOMPATIBLE: the artifact does not fit the engine or
 *     this host.
 *   - ARTIFACT_UNRESOLVED: symbols are undefined and not weak; artifact_error_missing() returns all their names.
 *   - ARTIFACT_INVALID_ARGUMENT: also if a module imports a thread-local variable, and the host's symbol is not one, or
 *     if the options name modules but none.
 *   - ARTIFACT_NOT_FOUND: the options name a module that the artifact does not have.
 *   - ARTIFACT_UNSUPPORTED: a module is a relocatable object, or needs COPY relocations, relocations in text, or an
 *     executable stack; or it uses thread-local variables by the initial-exec model that are not in the static storage
 *     of the process, such as its own; or it has constructors, and the flags say neither
 *     ARTIFACT_LOAD_RUN_CONSTRUCTORS nor ARTIFACT_LOAD_SKIP_CONSTRUCTORS; or it has indirect functions (IRELATIVE),
 *     whose resolvers run only with ARTIFACT_LOAD_RUN_CONSTRUCTORS; or the options need a newer library.
 *   - ARTIFACT_CORRUPT, ARTIFACT_TRUNCATED, ARTIFACT_DIGEST_MISMATCH, ARTIFACT_LIMIT: the file is damaged, or is not
 *     what was signed.
 *   - ARTIFACT_IO: the file cannot be mapped.
 */
artifact_status_t artifact_load(const artifact_t *artifact,
                                const artifact_engine_t *engine,
                                const artifact_load_options_t *options,
                                artifact_code_t **code,
                                artifact_error_t **error);

/**
 * Returns the index of the main module, which is the last one; 0 if code is NULL. It equals artifact_main_module() of
 * the artifact, which may have been freed, whether that module is loaded or not.
 */
size_t artifact_code_main_module(const artifact_code_t *code);

/**
 * Looks up a function or object that a module exports. Modules of Wasmtime 0.33 export nothing: any symbol of theirs
 * is found. Of a thread-local variable, the calling thread's instance is found, as with dlsym(), and made if it is the
 * first use. Of a symbol with several versions, the default one is found: name@@VERSION, as with dlsym(). Of an indirect
 * function, the resolver is called, as with dlsym(); without ARTIFACT_LOAD_RUN_CONSTRUCTORS it is not found.
 *
 * @param code The code, or NULL.
 * @param module The module's index in the artifact, such as artifact_code_main_module().
 * @param name The symbol's name.
 * @param size Receives the symbol's size in bytes, 0 if unknown; may be NULL.
 * @return The address, valid until the code is freed, that of a thread-local variable also only until the calling
 *     thread ends; NULL if the module is not loaded or exports no such symbol, or there is no memory for a thread-local variable.
 */
void *artifact_code_symbol(const artifact_code_t *code,
                           size_t module,
                           const char *name,
                           size_t *size);

/**
 * Finds the function or object that contains an address, whether it is exported or not. For a return address pass
 * pc - 1: the call may be the last instruction of its function.
 *
 * A signal handler may call it: it takes no lock and no memory. It may change errno. It looks at every symbol of the
 * module that the address is in.
 *
 * @param code The code.
 * @param pc The address.
 * @param name Receives the symbol's name as the module has it, which is UTF-8 unless its compiler or linker chose
 *     otherwise, with a NUL at its end. A name that does not fit is cut off; then found->name_len is at least
 *     name_size. Empty if the call fails. NULL if name_size is 0.
 * @param name_size The size of that buffer in bytes; 0: the name is not needed.
 * @param found Receives the symbol's place; zeros if the call fails. May be NULL.
 * @return ARTIFACT_OK; ARTIFACT_NOT_FOUND if no symbol of this code contains the address; ARTIFACT_INVALID_ARGUMENT if
 *     code is NULL, or name is NULL and name_size is not 0.
 */
artifact_status_t artifact_code_symbolize(const artifact_code_t *code,
                                          const void *pc,
                                          char *name,
                                          size_t name_size,
                                          artifact_symbolized_t *found);

/**
 * Finds the function or object that contains an address in all code that is loaded in this process, as
 * artifact_code_symbolize() does in the code of one artifact. Other threads may load and free code meanwhile. A signal
 * handler may call it: it takes no lock and no memory. It may change errno. Who frees code waits for calls that are
 * reading its symbols.
 *
 * It does not tell which code contains the address; artifact_code_symbolize() does, of one that you name. Code of another
 * copy of this library in the same process is not found.
 *
 * @param pc The address, as for artifact_code_symbolize().
 * @param name As artifact_code_symbolize().
 * @param name_size As artifact_code_symbolize().
 * @param found As artifact_code_symbolize().
 * @return ARTIFACT_OK; ARTIFACT_NOT_FOUND if no symbol of loaded code contains the address; ARTIFACT_INVALID_ARGUMENT
 *     if name is NULL and name_size is not 0.
 */
artifact_status_t artifact_symbolize(const void *pc,
                                     char *name,
                                     size_t name_size,
                                     artifact_symbolized_t *found);

/**
 * Frees code. No thread may run the code any more, and from then on nothing may use its functions, its data, or pointers
 * to them, such as callbacks that it registered; no exception object that it threw may still exist. NULL is allowed.
 *
 * These run before artifact_code_free() returns, in this order:
 *   - the destructors of this thread's thread_local objects;
 *   - if constructors were run, the modules' destructors, those of the last module first;
 *   - whether they were run or not, what the code has registered with atexit(), and the destructors of its function-local
 *     static objects. What it has registered with at_quick_exit() or pthread_atfork() is forgotten.
 *
 * The destructors of other threads' thread_local objects run when these threads end. The code stays mapped, and known to
 * unwinders and debuggers, until they have run, and the last of these threads unmaps it: until then the symbols that the
 * host defines must stay valid. That is never if a thread does not end, and in the child of a fork(), which has only one
 * of the threads. The thread-local variables of all threads are freed with the code. When the process exits, the thread
 * that calls exit() runs its destructors; other threads do not. Of code that is not freed, exit() also runs what it has
 * registered with atexit() and the destructors of its static objects, but no other destructors of the modules, such as
 * functions with the attribute destructor.
 *
 * All this holds for what is registered through __cxa_atexit(), __cxa_thread_atexit(), and what calls them. If the host
 * defines these functions itself for the code, in another way than the C library, that is the host's task.
 */
void artifact_code_free(artifact_code_t *code);

/* ==== Report: mismatches and warnings ==== */

/**
 * What a report's entry is about. Each is one bit of artifact_report_kinds(). artifact_compat_report() reports the
 * first eight, artifact_verify() the others.
 */
typedef enum artifact_report_kind_t {
    /** Another producer wrote the artifact. */
    ARTIFACT_REPORT_PRODUCER = 1,
    /** Another version wrote the artifact. */
    ARTIFACT_REPORT_VERSION = 2,
    /** The artifact is for another architecture. */
    ARTIFACT_REPORT_ARCHITECTURE = 4,
    /** The artifact is for another operating system. */
    ARTIFACT_REPORT_OPERATING_SYSTEM = 8,
    /** A shared flag differs. */
    ARTIFACT_REPORT_SHARED_FLAG = 16,
    /** The engine lacks an instruction set, or an ISA flag differs. */
    ARTIFACT_REPORT_ISA_FLAG = 32,
    /** A tunable differs. */
    ARTIFACT_REPORT_TUNABLE = 64,
    /** A Wasm feature differs. */
    ARTIFACT_REPORT_FEATURE = 128,
    /** A module's ELF header is for another machine, class or byte order than the engine's target. */
    ARTIFACT_REPORT_MODULE_MACHINE = 256,
    /** A link skips bytes, or points to an offset that does not have the module's alignment. */
    ARTIFACT_REPORT_LINK = 65536,
    /** Padding is not zero. */
    ARTIFACT_REPORT_PADDING = 131072,
    /** A module is for another machine than the target triple. */
    ARTIFACT_REPORT_MACHINE = 262144,
    /**
     * Sections overlap or are misaligned, the section of the code is not named .text, or relocations point outside of
     * their section.
     */
    ARTIFACT_REPORT_SECTION = 524288,
    /** Keys of the settings are out of order or repeated. */
    ARTIFACT_REPORT_METADATA = 1048576,
    /** Bytes that are not a trailer follow the body. */
    ARTIFACT_REPORT_TRAILING_BYTES = 2097152,
    /** A signature is not of this artifact, or not by the key that it names. */
    ARTIFACT_REPORT_SIGNATURE = 4194304,
} artifact_report_kind_t;

/** A mismatch or warning. Its texts are borrowed: valid until the report is freed. */
typedef struct artifact_report_entry_t {
    /** An artifact_report_kind_t. */
    uint32_t kind;
    /** The name of the setting; for a warning, what it is about. */
    const char *setting;
    /** The artifact's value; "" if it has none. */
    const char *artifact_value;
    /** The engine's value; "" if it has none. */
    const char *engine_value;
    /** The whole finding as a sentence, as artifact_check_compat() words it. */
    const char *sentence;
} artifact_report_entry_t;

/**
 * Returns the outcome. For a comparison: the status that artifact_check_compat() returns. For a verification:
 * ARTIFACT_OK. ARTIFACT_INVALID_ARGUMENT if report is NULL.
 */
artifact_status_t artifact_report_status(const artifact_report_t *report);

/** Returns the number of entries; 0 if report is NULL. */
size_t artifact_report_count(const artifact_report_t *report);

/** Returns the kinds of all entries, a combination of artifact_report_kind_t bits; 0 if report is NULL. */
uint64_t artifact_report_kinds(const artifact_report_t *report);

/**
 * Reads an entry.
 *
 * @param report The report.
 * @param index An index below artifact_report_count(). Entries have the order of the checks.
 * @param entry Receives the entry. Its texts are valid until the report is freed.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if index is out of range.
 */
artifact_status_t artifact_report_at(const artifact_report_t *report,
                                     size_t index,
                                     artifact_report_entry_t *entry,
                                     artifact_error_t **error);

/** Frees a report. NULL is allowed. */
void artifact_report_free(artifact_report_t *report);

/* ==== Files of several targets: the best variant that fits is opened ==== */

/** A variant of a file of several targets. */
typedef struct artifact_variant_t {
    /** The target triple, borrowed: valid until the artifact is freed. */
    const char *target;
    /** The number of ISA flags that it needs; see artifact_variant_need_at(). */
    size_t needs;
    /** The offset of the variant in the file, a multiple of 64 KiB. */
    uint64_t offset;
    /** Its length in bytes. */
    uint64_t length;
    /** The score that it was added with. */
    int32_t score;
    /** When it was added: 0 for the variant that was added first. */
    uint32_t added;
} artifact_variant_t;

/**
 * Creates a builder of a file of several targets: one artifact for each, of which artifact_open_file() opens the best that
 * fits. Returns NULL only after an internal error.
 */
artifact_fat_builder_t *artifact_fat_builder_new(void);

/**
 * Creates a builder with all variants of an existing file, in the order in which they were added, and with their scores.
 * Signatures of the index that are still valid when the file is written are kept. Of a file of one target, the artifact is
 * the only variant.
 *
 * @param artifact Any variant of the file. It may be freed before the builder.
 * @param fat Receives the builder, which you own.
 * @return ARTIFACT_OK, a general status, or as artifact_open_file() and artifact_fat_builder_add_artifact().
 */
artifact_status_t artifact_fat_builder_new_from_artifact(const artifact_t *artifact,
                                                         artifact_fat_builder_t **fat,
                                                         artifact_error_t **error);

/** Frees a builder of a file of several targets. NULL is allowed. */
void artifact_fat_builder_free(artifact_fat_builder_t *fat);

/**
 * Adds the artifact that a builder would write as a variant: its target and the ISA flags that are on say which hosts it
 * is for. The artifact is kept in memory.
 *
 * An engine tries a variant before those of the same target that need less; among others, the one with the higher score
 * first, then the one that was added first. Last comes the most portable variant: the one with the fewest needs, and among
 * equals the one that was added first. It lies at the start of the file, where Wasmtime 0.33, nm and dlopen find it.
 *
 * @param fat The builder to change.
 * @param builder The artifact's builder, with a trailer. It may be freed at once.
 * @param score Decides the order of variants of which neither needs all that the other one needs.
 * @param index Receives the variant's index in the order of adding; may be NULL.
 * @return ARTIFACT_OK, a general status, or one of these, in which case nothing was added:
 *   - ARTIFACT_INVALID_ARGUMENT: the artifact has no module or no trailer, has another producer or version than the
 *     others, or needs the same as one of them; or the name of a flag that is on has a '='.
 *   - ARTIFACT_LIMIT: there are 256 variants, or more than 1024 flags are on.
 */
artifact_status_t artifact_fat_builder_add(artifact_fat_builder_t *fat,
                                           const artifact_builder_t *builder,
                                           int32_t score,
                                           size_t *index,
                                           artifact_error_t **error);

/**
 * Adds an opened artifact as a variant, as artifact_fat_builder_add() does. Its bytes are copied as they are, with its
 * signatures, when the file is written; until then its file must not change. Of a file of several targets, only the variant
 * that was opened is added.
 *
 * @param fat The builder to change.
 * @param artifact The artifact. It may be freed before the builder.
 * @param score As artifact_fat_builder_add().
 * @param index As artifact_fat_builder_add().
 * @return As artifact_fat_builder_add(), or ARTIFACT_WRONG_VERSION if the artifact's settings cannot be decoded.
 */
artifact_status_t artifact_fat_builder_add_artifact(artifact_fat_builder_t *fat,
                                                    const artifact_t *artifact,
                                                    int32_t score,
                                                    size_t *index,
                                                    artifact_error_t **error);

/**
 * Removes a variant. The indexes of those that were added later become one less.
 *
 * @param fat The builder to change.
 * @param index An index below artifact_fat_builder_count(), in the order of adding.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_NOT_FOUND if index is out of range.
 */
artifact_status_t artifact_fat_builder_remove(artifact_fat_builder_t *fat,
                                              size_t index,
                                              artifact_error_t **error);

/** Returns the number of variants that were added; 0 if fat is NULL. */
size_t artifact_fat_builder_count(const artifact_fat_builder_t *fat);

/**
 * Makes a builder sign the index of each file that it writes from now on. The variants need no signatures of their own.
 *
 * @param fat The builder to change. It can have up to 64 keys.
 * @param key The private key. It may be freed before the builder.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_LIMIT if the builder has 64 keys already.
 */
artifact_status_t artifact_fat_builder_add_key(artifact_fat_builder_t *fat,
                                               const artifact_key_t *key,
                                               artifact_error_t **error);

/**
 * Computes the digest of the index as it is now, to be signed with a key that this process does not have. What has to be
 * signed is ARTIFACT_INDEX_SIGNATURE_CONTEXT with its NUL, followed by the digest; pass the signature to
 * artifact_fat_builder_add_signature().
 *
 * @param fat The builder.
 * @param digest Receives the digest, 32 bytes in a buffer that you own.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if there are fewer than two variants.
 */
artifact_status_t artifact_fat_builder_index_digest(const artifact_fat_builder_t *fat,
                                                    artifact_buffer_t **digest,
                                                    artifact_error_t **error);

/**
 * Adds a signature of the index that was made elsewhere; see artifact_fat_builder_index_digest(). If the index changes
 * afterwards, writing it returns ARTIFACT_INVALID_ARGUMENT.
 *
 * @param fat The builder to change.
 * @param public_key The key that signed.
 * @param signature An Ed25519 signature (RFC 8032) of the index as it is now; it is copied.
 * @param signature_len Its length in bytes: 64.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_INVALID_ARGUMENT if the signature is by another key, or of
 *     another index.
 */
artifact_status_t artifact_fat_builder_add_signature(artifact_fat_builder_t *fat,
                                                     const artifact_public_key_t *public_key,
                                                     const uint8_t *signature,
                                                     size_t signature_len,
                                                     artifact_error_t **error);

/**
 * Removes all keys and all signatures of the index from a builder. The variants keep theirs.
 *
 * @param fat The builder to change.
 * @return ARTIFACT_OK, or a general status.
 */
artifact_status_t artifact_fat_builder_clear_signatures(artifact_fat_builder_t *fat,
                                                        artifact_error_t **error);

/**
 * Writes the file to memory. The same variants, scores and order of adding give the same bytes. With one variant, the
 * file is that artifact, byte for byte. All digests of the variants are checked first.
 *
 * @param fat The builder.
 * @param buffer Receives the file, a buffer that you own.
 * @return ARTIFACT_OK, a general status, or one of these:
 *   - ARTIFACT_INVALID_ARGUMENT: there is no variant, or there is a key although one variant has no index to sign.
 *   - ARTIFACT_DIGEST_MISMATCH, ARTIFACT_CORRUPT: a variant is damaged.
 *   - ARTIFACT_LIMIT: targets and flags take more than 1 MiB.
 *   - ARTIFACT_IO: the file of a variant cannot be read.
 */
artifact_status_t artifact_fat_serialize(const artifact_fat_builder_t *fat,
                                         artifact_buffer_t **buffer,
                                         artifact_error_t **error);

/**
 * Writes to a file, as atomically as artifact_serialize_to_file().
 *
 * @param fat The builder.
 * @param path The file to create or replace. It may be the file of a variant.
 * @param options How to save; NULL: the defaults.
 * @return As artifact_fat_serialize() and artifact_serialize_to_file().
 */
artifact_status_t artifact_fat_serialize_to_file(const artifact_fat_builder_t *fat,
                                                 const char *path,
                                                 const artifact_save_options_t *options,
                                                 artifact_error_t **error);

/**
 * Writes the file through a callback, piece by piece, in order.
 *
 * @param fat The builder.
 * @param write Called with each piece. If it returns a value other than 0, the writing ends.
 * @param context Passed to write; may be NULL.
 * @return As artifact_fat_serialize(), or ARTIFACT_IO with the errno that write returned.
 */
artifact_status_t artifact_fat_serialize_to(const artifact_fat_builder_t *fat,
                                            artifact_write_fn write,
                                            void *context,
                                            artifact_error_t **error);

/**
 * Returns the number of variants in an artifact's file: 1 unless it is a file of several targets; 0 if artifact is NULL.
 */
size_t artifact_variant_count(const artifact_t *artifact);

/** Returns the index of the variant that was opened; 0 if the file has one target, or artifact is NULL. */
size_t artifact_variant_chosen(const artifact_t *artifact);

/**
 * Reads what a variant is for. In a file of one target, variant 0 is the whole artifact.
 *
 * @param artifact Any variant of the file.
 * @param index An index below artifact_variant_count(), in the order in which an engine tries them: the last one is the
 *     most portable.
 * @param variant Receives the variant.
 * @return ARTIFACT_OK, a general status, ARTIFACT_NOT_FOUND if index is out of range, or, for a file of one target,
 *     ARTIFACT_WRONG_VERSION if its settings cannot be decoded, or ARTIFACT_LIMIT if more than 1024 flags are on.
 */
artifact_status_t artifact_variant_at(const artifact_t *artifact,
                                      size_t index,
                                      artifact_variant_t *variant,
                                      artifact_error_t **error);

/**
 * Reads what a variant needs.
 *
 * @param artifact Any variant of the file.
 * @param index An index below artifact_variant_count().
 * @param need An index below artifact_variant_t.needs. Needs are sorted by name.
 * @param text Receives the name of an ISA flag that is on, or `name=value` for one that is no switch. Borrowed: valid
 *     until the artifact is freed.
 * @return As artifact_variant_at(); ARTIFACT_NOT_FOUND also if need is out of range.
 */
artifact_status_t artifact_variant_need_at(const artifact_t *artifact,
                                           size_t index,
                                           size_t need,
                                           const char **text,
                                           artifact_error_t **error);

/**
 * Lists every mismatch between a variant and an engine: why it was not chosen. A variant that fits, but comes after the one
 * that was chosen, has an empty report.
 *
 * @param artifact Any variant of the file.
 * @param index An index below artifact_variant_count().
 * @param engine The engine to compare with.
 * @param report Receives the report, which you own.
 * @return As artifact_compat_report() and, since the variant is opened, as artifact_open_file(); ARTIFACT_NOT_FOUND if index
 *     is out of range.
 */
artifact_status_t artifact_variant_report(const artifact_t *artifact,
                                          size_t index,
                                          const artifact_engine_t *engine,
                                          artifact_report_t **report,
                                          artifact_error_t **error);

/* ==== Cache: from a key to code, in one call ==== */

/*
 *     artifact_cache_key_t *key = artifact_cache_key_new();
 *     artifact_cache_key_add(key, "source", source, len, NULL);
 *     artifact_cache_get_or_make(cache, key, compile, &source, &artifact, NULL, &error); // compile() fills a builder
 *     artifact_cache_key_free(key);
 */

/**
 * Creates a key without parts.
 *
 * @return A key that you own. NULL only because of a defect of the library.
 */
artifact_cache_key_t *artifact_cache_key_new(void);

/**
 * Adds a part to a key. Names, lengths and the order of parts count: "a" and "bc" are another key than "ab" and "c", and a
 * name may occur several times.
 *
 * @param key The key to change.
 * @param name The part's name, such as "source".
 * @param data The part's bytes, needed only during the call; may be NULL if len is 0.
 * @param len The number of bytes.
 * @return ARTIFACT_OK, or a general status.
 */
artifact_status_t artifact_cache_key_add(artifact_cache_key_t *key,
                                         const char *name,
                                         const uint8_t *data,
                                         size_t len,
                                         artifact_error_t **error);

/**
 * Computes the digest of a key, by which entries are found: BLAKE3 of all parts, under a context of its own. Equal keys have
 * equal digests on every machine. A part may be added afterwards.
 *
 * @param key The key.
 * @param digest An array of 32 bytes, which receives the digest.
 * @return ARTIFACT_OK, or a general status.
 */
artifact_status_t artifact_cache_key_digest(const artifact_cache_key_t *key,
                                            uint8_t *digest,
                                            artifact_error_t **error);

/** Frees a key. NULL is allowed. */
void artifact_cache_key_free(artifact_cache_key_t *key);

/**
 * What came of a call of a cache, or what an event is about. The numbers never change meaning and are never reused. New ones may
 * be added, so a switch needs a default.
 */
typedef enum artifact_cache_outcome_t {
    /** There was an entry in the folder or in a layer, and it fits. */
    ARTIFACT_CACHE_HIT = 1,
    /** The caller's function made the artifact, and it was stored. */
    ARTIFACT_CACHE_MADE = 2,
    /** Another thread or process made the entry while this call waited for it. */
    ARTIFACT_CACHE_MADE_BY_OTHER = 3,
    /** The builder's artifact was stored. */
    ARTIFACT_CACHE_STORED = 4,
    /** The artifact was made, and can be used, but could not be stored; the event says why. */
    ARTIFACT_CACHE_NOT_STORED = 5,
    /** The entry came from the remote, and is now in the folder too. */
    ARTIFACT_CACHE_FETCHED = 6,
    /** There is no entry. */
    ARTIFACT_CACHE_ABSENT = 10,
    /** The entry is from another producer or another version, or needs a newer library. */
    ARTIFACT_CACHE_STALE = 11,
    /** The entry does not fit the host. */
    ARTIFACT_CACHE_INCOMPATIBLE = 12,
    /** The entry is damaged, belongs to another key, or is no regular file. */
    ARTIFACT_CACHE_DAMAGED = 13,
    /**
     * The engine trusts keys, and none of them has signed the entry; or it trusts none, and others could have put the entry there.
     */
    ARTIFACT_CACHE_UNTRUSTED = 14,
    /** The entry or the folder cannot be read. */
    ARTIFACT_CACHE_UNREADABLE = 15,
    /** An entry was deleted, since the folder exceeded its limits. In events only. */
    ARTIFACT_CACHE_EVICTED = 20,
    /** An entry was removed by artifact_cache_remove(). In events only. */
    ARTIFACT_CACHE_REMOVED = 21,
    /** The remote reported an error. In events only. */
    ARTIFACT_CACHE_REMOTE_FAILED = 22,
    /**
     * Another thread or process that makes the same entry took longer than wait_ms of the options, or the folder cannot be locked. In
     * events only.
     */
    ARTIFACT_CACHE_NOT_LOCKED = 23,
} artifact_cache_outcome_t;

/**
 * Returns the name of an outcome.
 *
 * @param outcome An artifact_cache_outcome_t.
 * @return Static text, never to be freed, such as "ARTIFACT_CACHE_HIT"; "unknown outcome" if no outcome has this number.
 */
const char *artifact_cache_outcome_name(uint32_t outcome);

/**
 * For artifact_cache_options_t.flags: write nothing to the folder, not even when an entry was used. What is made is not stored.
 * A folder that does not exist is not created, and has no entries.
 */
#define ARTIFACT_CACHE_READ_ONLY UINT64_C(1)

/**
 * For artifact_cache_options_t.flags: do not wait until what is stored is on the disk. An entry that was stored so may be partial after a
 * crash of the machine: it says so, and every cache that finds it verifies it as ARTIFACT_CACHE_VERIFY_ALWAYS does.
 */
#define ARTIFACT_CACHE_NO_SYNC UINT64_C(2)

/** For artifact_cache_options_t.flags: check all digests of each entry that is found, which reads all of its bytes. */
#define ARTIFACT_CACHE_VERIFY_ALWAYS UINT64_C(4)

/**
 * For artifact_cache_options_t.flags: use what the remote returns although no key that the engine trusts has signed it. Whoever can write to
 * the remote can then run code in this process.
 */
#define ARTIFACT_CACHE_REMOTE_UNSIGNED UINT64_C(8)

/**
 * A store that caches of several machines share, such as a server: two functions that fetch and store bytes under a name,
 * which is 64 lower-case hexadecimal digits. Both are called by several threads at once. They must not unwind (throw) or longjmp,
 * and must not use the cache. They should give up soon on a server that does not answer, and not ask it again for a while.
 */
typedef struct artifact_cache_remote_t {
    /** sizeof(artifact_cache_remote_t). */
    size_t size;
    /** Passed to get and put; may be NULL. */
    void *context;
    /**
     * Fetches what is stored under name: passes the bytes to write(write_context, data, len), in one call or several, in
     * order, at most max_len bytes in all. Returns ARTIFACT_OK; ARTIFACT_NOT_FOUND if there is nothing of this name; or another
     * artifact_status_t, with a NUL-terminated sentence of at most message_len bytes in message. If write returns a value other than 0,
     * get calls it no more, and returns ARTIFACT_LIMIT.
     */
    uint32_t (*get)(void *context,
                    const char *name,
                    uint64_t max_len,
                    artifact_write_fn write,
                    void *write_context,
                    char *message,
                    size_t message_len);
    /**
     * Stores len bytes of data under name, replacing what is there. Returns as get does. NULL: nothing is ever stored.
     */
    uint32_t (*put)(void *context,
                    const char *name,
                    const uint8_t *data,
                    size_t len,
                    char *message,
                    size_t message_len);
} artifact_cache_remote_t;

/** Initializes options with the defaults: `artifact_cache_options_t options = ARTIFACT_CACHE_OPTIONS_INIT;` */
#define ARTIFACT_CACHE_OPTIONS_INIT                                                                                    \
    {sizeof(artifact_cache_options_t), 0, 0, 0, 0, 0, NULL, 0, NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL}

/**
 * Is told what a cache does; see artifact_cache_options_t.on_event. Called in the thread whose call of the cache it is about,
 * by several threads at once if several use the cache. It must not unwind (throw) or longjmp, and must not use the cache.
 *
 * @param context artifact_cache_options_t.event_context.
 * @param outcome An artifact_cache_outcome_t.
 * @param path The file that it happened to, or the name in the remote; valid only during the call.
 * @param error Why; NULL if the outcome says everything. Valid only during the call; never free it.
 */
typedef void (*artifact_cache_event_fn)(void *context,
                                        uint32_t outcome,
                                        const char *path,
                                        const artifact_error_t *error);

/**
 * Signs what a cache stores, with a key that this process does not have; see artifact_cache_options_t.sign. Called by several
 * threads at once if several use the cache. It must not unwind (throw) or longjmp, and must not use the cache.
 *
 * @param context artifact_cache_options_t.sign_context.
 * @param message The bytes to sign with Ed25519 (RFC 8032), as they are: for an entry, ARTIFACT_SIGNATURE_CONTEXT with its NUL,
 *     followed by the root record. Valid only during the call.
 * @param len The number of bytes.
 * @param public_key Receives the key that signed.
 * @param signature An array of 64 bytes, which receives the signature.
 * @return ARTIFACT_OK, or another artifact_status_t: the entry is then not stored.
 */
typedef uint32_t (*artifact_sign_fn)(void *context,
                                     const uint8_t *message,
                                     size_t len,
                                     artifact_public_key_t *public_key,
                                     uint8_t *signature);

/**
 * How a cache works. Begin with ARTIFACT_CACHE_OPTIONS_INIT. Everything is needed only while artifact_cache_open() runs, except
 * for functions and their contexts, which must remain valid until the cache is freed.
 */
typedef struct artifact_cache_options_t {
    /** sizeof(artifact_cache_options_t). */
    size_t size;
    /** A combination of ARTIFACT_CACHE_ flags. */
    uint64_t flags;
    /**
     * The number of bytes that the entries may take, in full blocks of 4 KiB; 0: 1 GiB; UINT64_MAX: no limit. When stores exceed it, the
     * entries that were not used for longest are deleted, down to 80 %. If N processes store at once, it may be exceeded by N eighths.
     */
    uint64_t max_bytes;
    /** The number of entries, likewise; 0: no limit. */
    uint64_t max_entries;
    /**
     * The number of seconds after its last use when an entry may be deleted; 0: no limit. A use is noted at most once an hour.
     */
    uint64_t max_age_s;
    /**
     * The number of milliseconds for which artifact_cache_get_or_make() waits for another thread or process that makes the same entry, before it makes
     * one itself; 0: a minute; UINT64_MAX: no limit. After it has waited in vain for another process, it does not wait for one again for as long.
     */
    uint64_t wait_ms;
    /**
     * Engines that entries may be built for, the preferred one first, each with the producer and version of the cache's engine.
     * NULL: that engine alone. An entry is looked for under each of them in this order. artifact_cache_get_or_make() makes for
     * the first. Machines that share a folder share the entries of the targets that they have in common.
     */
    const artifact_engine_t *const *targets;
    /** The number of targets. */
    size_t target_count;
    /** Signs what is stored; it may be freed before the cache. NULL: see sign. */
    const artifact_key_t *signing_key;
    /**
     * Signs what is stored, instead of signing_key, for example in hardware. NULL, as signing_key: entries are not signed, and
     * if the engine trusts keys nothing can be stored.
     */
    artifact_sign_fn sign;
    /** Passed to sign; may be NULL. */
    void *sign_context;
    /**
     * Paths that are searched after the folder, in this order, and never written: folders of other caches, or packs as
     * artifact_cache_export() writes them. One that does not exist is skipped. NULL: none.
     */
    const char *const *layers;
    /** The number of layers. */
    size_t layer_count;
    /**
     * Searched last, and filled after each store; copied. What it returns is used, and stored in the folder, only if it is signed
     * by a key that the engine trusts, or with ARTIFACT_CACHE_REMOTE_UNSIGNED. NULL: none.
     */
    const artifact_cache_remote_t *remote;
    /**
     * Called for each miss, each store, each deletion, and each reason for which something was not stored or used; may be NULL.
     */
    artifact_cache_event_fn on_event;
    /** Passed to on_event; may be NULL. */
    void *event_context;
} artifact_cache_options_t;

/**
 * Makes the artifact of a key for artifact_cache_get_or_make(). It must not unwind (throw) or longjmp. It may use the cache,
 * for another key.
 *
 * @param context The context given to artifact_cache_get_or_make().
 * @param builder A builder for the artifact, with the settings of the cache's first target, to which it adds modules. It must not
 *     free it. artifact_builder_add_module() copies the bytes that this builder is given.
 * @param error May receive an error of this library, which artifact_cache_get_or_make() then returns. Never NULL; *error is NULL.
 * @return ARTIFACT_OK, or another artifact_status_t, which artifact_cache_get_or_make() returns.
 */
typedef uint32_t (*artifact_make_fn)(void *context, artifact_builder_t *builder, artifact_error_t **error);

/** An entry of a cache's folder. */
typedef struct artifact_cache_entry_t {
    /** The path of the file. */
    const char *path;
    /** The digest of its key; see artifact_cache_key_digest(). */
    uint8_t key[32];
    /** The first 8 bytes of the fingerprint of the target that it was made for; see artifact_engine_fingerprint(). */
    uint8_t target[8];
    /** The number of bytes that it takes, in full blocks of 4 KiB. */
    uint64_t size;
    /** When it was stored or last used, in seconds since 1970. A use is noted at most once an hour. */
    int64_t used;
} artifact_cache_entry_t;

/**
 * Is given an entry by artifact_cache_each(). It must not unwind (throw) or longjmp.
 *
 * @param context The context given to artifact_cache_each().
 * @param entry The entry, valid only during the call.
 * @return 0 to go on, another value to stop.
 */
typedef int (*artifact_cache_entry_fn)(void *context, const artifact_cache_entry_t *entry);

/** What a cache's folder holds. */
typedef struct artifact_cache_stats_t {
    /** The number of entries. */
    uint64_t entries;
    /** The number of bytes that they take, in full blocks of 4 KiB. */
    uint64_t bytes;
} artifact_cache_stats_t;

/**
 * Opens a cache. Creates the folder and its parents, with mode 0700, unless they exist or the options say ARTIFACT_CACHE_READ_ONLY.
 *
 * That the folder cannot be used, now or later, is no error: nothing is then found or stored there, and the program has its code
 * made each time. artifact_cache_trouble() says why. This includes a folder that others than root and this user own, can write
 * to, or can replace, unless the engine trusts keys: who can write to a cache can run code.
 *
 * @param folder The folder's path. It must be the cache's own.
 * @param engine The host that will run the code. Its producer and version say which compiler makes the entries: those of another one
 *     are never found. Make a compiler's build id part of the version if it changes without its version.
 * @param options How the cache works; NULL: the defaults.
 * @param cache Receives the cache, which you own.
 * @return ARTIFACT_OK, a general status, or one of these:
 *   - ARTIFACT_INVALID_ARGUMENT: also if a target has another producer or version than the engine, the engine trusts keys but not
 *     signing_key, both signing_key and sign are set, or there is a remote although the engine trusts no key and the flags do not say
 *     ARTIFACT_CACHE_REMOTE_UNSIGNED.
 *   - ARTIFACT_UNSUPPORTED: the options need a newer library.
 */
artifact_status_t artifact_cache_open(const char *folder,
                                      const artifact_engine_t *engine,
                                      const artifact_cache_options_t *options,
                                      artifact_cache_t **cache,
                                      artifact_error_t **error);

/**
 * Returns why the folder of a cache could not be used when it was opened.
 *
 * @param cache The cache.
 * @return ARTIFACT_OK if it can be used, a general status, or one of these:
 *   - ARTIFACT_UNTRUSTED: the engine trusts no keys, and others than root and this user own the folder, can write to it, or can
 *     replace it.
 *   - ARTIFACT_IO: the folder cannot be created or opened.
 */
artifact_status_t artifact_cache_trouble(const artifact_cache_t *cache,
                                         artifact_error_t **error);

/**
 * Finds the artifact of a key: in the folder, then in the layers, then in the remote. A hit opens one file, takes no lock and writes
 * nothing.
 *
 * That there is no entry that fits, whatever the reason, is no error.
 *
 * @param cache The cache.
 * @param key The key.
 * @param artifact Receives the artifact, which you own, and which may outlive the cache; NULL if there is none. It fits the
 *     engine, was verified as far as artifact_open_file() does, and belongs to this key. artifact_load() makes it run.
 * @param outcome Receives an artifact_cache_outcome_t: ARTIFACT_CACHE_HIT or ARTIFACT_CACHE_FETCHED, or why there is no
 *     artifact; may be NULL.
 * @return ARTIFACT_OK, or a general status.
 */
artifact_status_t artifact_cache_get(const artifact_cache_t *cache,
                                     const artifact_cache_key_t *key,
                                     artifact_t **artifact,
                                     uint32_t *outcome,
                                     artifact_error_t **error);

/**
 * Stores what a builder has under a key, replacing an entry that is there.
 *
 * @param cache The cache.
 * @param key The key.
 * @param builder The builder. Its artifact is stored for the target whose settings it has, otherwise for the last target that it fits.
 *     It does not change.
 * @param artifact Receives the artifact, which you own, also if it could not be stored.
 * @param outcome Receives ARTIFACT_CACHE_STORED or ARTIFACT_CACHE_NOT_STORED; may be NULL.
 * @return ARTIFACT_OK, a general status, or one of these:
 *   - ARTIFACT_INVALID_ARGUMENT: the builder has no module, or writes no trailer.
 *   - ARTIFACT_WRONG_PRODUCER, ARTIFACT_WRONG_VERSION, ARTIFACT_INCOMPATIBLE: the artifact fits none of the targets.
 */
artifact_status_t artifact_cache_put(const artifact_cache_t *cache,
                                     const artifact_cache_key_t *key,
                                     const artifact_builder_t *builder,
                                     artifact_t **artifact,
                                     uint32_t *outcome,
                                     artifact_error_t **error);

/**
 * Finds the artifact of a key as artifact_cache_get() does, or else makes and stores it.
 *
 * Of all threads and processes that use the folder, only one at a time makes the artifact of a key. The others wait, at most
 * wait_ms of the options, and get what it made. If it fails or dies, the next one makes it.
 *
 * An artifact that cannot be stored is returned all the same, from memory.
 *
 * @param cache The cache.
 * @param key The key.
 * @param make Makes the artifact; called at most once, in this thread.
 * @param context Passed to make; may be NULL.
 * @param artifact Receives the artifact, which you own, and which may outlive the cache. It fits the engine.
 * @param outcome Receives an artifact_cache_outcome_t: ARTIFACT_CACHE_HIT, ARTIFACT_CACHE_FETCHED, ARTIFACT_CACHE_MADE_BY_OTHER,
 *     ARTIFACT_CACHE_MADE or ARTIFACT_CACHE_NOT_STORED; may be NULL. Why there was no entry, the event says.
 * @return ARTIFACT_OK, a general status, what make returned, or one of these:
 *   - ARTIFACT_INVALID_ARGUMENT: also if make added no module, or was itself asked for by a make of the same key.
 *   - ARTIFACT_INCOMPATIBLE: what was made does not fit the engine, since the first target does not.
 */
artifact_status_t artifact_cache_get_or_make(const artifact_cache_t *cache,
                                             const artifact_cache_key_t *key,
                                             artifact_make_fn make,
                                             void *context,
                                             artifact_t **artifact,
                                             uint32_t *outcome,
                                             artifact_error_t **error);

/**
 * Removes the entries of a key for all targets. That there are none is no error.
 *
 * @param cache The cache.
 * @param key The key.
 * @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if the cache is read-only, ARTIFACT_IO if an entry cannot be
 *     removed, or what artifact_cache_trouble() returns.
 */
artifact_status_t artifact_cache_remove(const artifact_cache_t *cache,
                                        const artifact_cache_key_t *key,
                                        artifact_error_t **error);

/**
 * Deletes what exceeds the limits, now and until nothing does: what stores do bit by bit. Also deletes temporary files of processes
 * that died.
 *
 * @param cache The cache.
 * @param freed Receives the number of bytes that were freed; may be NULL.
 * @return ARTIFACT_OK, a general status, ARTIFACT_INVALID_ARGUMENT if the cache is read-only, ARTIFACT_IO if the folder cannot be
 *     read, ARTIFACT_LIMIT if another process has been doing so for longer than wait_ms of the options, or what
 *     artifact_cache_trouble() returns.
 */
artifact_status_t artifact_cache_trim(const artifact_cache_t *cache,
                                      uint64_t *freed,
                                      artifact_error_t **error);

/**
 * Passes each entry of the folder to a function, in no particular order. Entries that are stored or deleted meanwhile may or may not be
 * among them.
 *
 * @param cache The cache.
 * @param entry Called with each entry.
 * @param context Passed to entry; may be NULL.
 * @return ARTIFACT_OK, also if entry stopped it, a general status, ARTIFACT_IO if the folder cannot be read, or what
 *     artifact_cache_trouble() returns.
 */
artifact_status_t artifact_cache_each(const artifact_cache_t *cache,
                                      artifact_cache_entry_fn entry,
                                      void *context,
                                      artifact_error_t **error);

/**
 * Counts what this handle has seen since it was opened: the results of its calls, and its events.
 *
 * @param cache The cache.
 * @param outcome An artifact_cache_outcome_t.
 * @return How often that was the outcome of a call or an event; 0 if cache is NULL or outcome unknown.
 */
uint64_t artifact_cache_count(const artifact_cache_t *cache, uint32_t outcome);

/**
 * Measures the folder, by reading all of it.
 *
 * @param cache The cache.
 * @param stats Receives the numbers.
 * @return ARTIFACT_OK, a general status, ARTIFACT_IO if the folder cannot be read, or what artifact_cache_trouble() returns.
 */
artifact_status_t artifact_cache_stats(const artifact_cache_t *cache,
                                       artifact_cache_stats_t *stats,
                                       artifact_error_t **error);

/**
 * Writes the entries of the folder to one file, a pack, which artifact_cache_options_t.layers takes: what a product is shipped with. The
 * file is replaced atomically, as artifact_serialize_to_file() does it. Each entry is verified; what is damaged or not trusted is left
 * out, and becomes an event.
 *
 * @param cache The cache. If it signs, it signs the pack, too: who trusts the key needs no other signature of what is in it.
 * @param path The file to create or replace.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_IO if the folder cannot be read or the file cannot be
 *     written, or what artifact_cache_trouble() returns.
 */
artifact_status_t artifact_cache_export(const artifact_cache_t *cache,
                                        const char *path,
                                        artifact_error_t **error);

/** Frees a cache. NULL is allowed. Artifacts that it returned remain valid. */
void artifact_cache_free(artifact_cache_t *cache);

/* ==== Detection: what is a file? ==== */

/** What a file is. */
typedef enum artifact_detected_t {
    /** Neither an artifact nor a file of Wasmtime. */
    ARTIFACT_DETECTED_NOTHING = 0,
    /** An artifact. */
    ARTIFACT_DETECTED_ARTIFACT = 1,
    /** A WebAssembly module that Wasmtime 3 or newer compiled, which is no artifact: see artifact_cwasm_open_file(). */
    ARTIFACT_DETECTED_WASMTIME_MODULE = 2,
    /** A WebAssembly component that Wasmtime 3 or newer compiled, which is no artifact either. */
    ARTIFACT_DETECTED_WASMTIME_COMPONENT = 3,
} artifact_detected_t;

/** What a file is, and who wrote it. */
typedef struct artifact_detection_t {
    /** An artifact_detected_t. */
    uint32_t kind;
    /** The length of version in bytes, 0 to 255. */
    uint32_t version_len;
    /** The producer, NUL-terminated: "wasmtime" for a file of Wasmtime. */
    char producer[36];
    /** The version that the producer wrote: any bytes, followed by NULs. */
    char version[256];
} artifact_detection_t;

/**
 * Finds out whether a file is an artifact or one of Wasmtime 3 or newer, and who wrote it, with as few reads as
 * possible: it reads headers, and settings only of a file of Wasmtime.
 *
 * @param path The file's path.
 * @param detection Receives what the file is.
 * @return ARTIFACT_OK whatever the file is, a general status, or one of these:
 *   - ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT, ARTIFACT_DIGEST_MISMATCH, ARTIFACT_LIMIT, ARTIFACT_UNSUPPORTED: the file
 *     is an artifact or one of Wasmtime, but its headers are damaged, or need a newer library.
 *   - ARTIFACT_IO: the file cannot be read.
 *   - ARTIFACT_INVALID_ARGUMENT: path is a directory, device, FIFO or socket.
 */
artifact_status_t artifact_detect_file(const char *path,
                                       artifact_detection_t *detection,
                                       artifact_error_t **error);

/**
 * Finds out whether an open file is an artifact. Otherwise like artifact_detect_file().
 *
 * @param fd A descriptor open for reading. Its position is neither used nor changed.
 * @param detection Receives what the file is.
 * @return As artifact_detect_file().
 */
artifact_status_t artifact_detect_fd(int fd, artifact_detection_t *detection, artifact_error_t **error);

/**
 * Finds out whether bytes in memory are an artifact. Otherwise like artifact_detect_file().
 *
 * @param data The bytes, needed only during the call; may be NULL if len is 0.
 * @param len The number of bytes.
 * @param detection Receives what the bytes are.
 * @return As artifact_detect_file().
 */
artifact_status_t artifact_detect_bytes(const uint8_t *data,
                                        size_t len,
                                        artifact_detection_t *detection,
                                        artifact_error_t **error);

/* ==== Files of Wasmtime 3 and newer ==== */

/**
 * Reads the settings in a file that Wasmtime 3 or newer compiled. Only headers and settings are read; the file is
 * closed again.
 *
 * @param path The file's path.
 * @param cwasm Receives what was read, which you own.
 * @return ARTIFACT_OK, a general status, or one of these:
 *   - ARTIFACT_NOT_FOUND: the file is anything else, such as an artifact.
 *   - ARTIFACT_TRUNCATED, ARTIFACT_CORRUPT, ARTIFACT_LIMIT, ARTIFACT_UNSUPPORTED: Wasmtime wrote the file, but it is
 *     damaged, or its settings have another layout.
 *   - ARTIFACT_IO: the file cannot be read.
 *   - ARTIFACT_INVALID_ARGUMENT: path is a directory, device, FIFO or socket.
 */
artifact_status_t artifact_cwasm_open_file(const char *path,
                                           artifact_cwasm_t **cwasm,
                                           artifact_error_t **error);

/**
 * Reads the settings in an open file that Wasmtime compiled. Otherwise like artifact_cwasm_open_file().
 *
 * @param fd A descriptor open for reading. Its position is neither used nor changed.
 * @param cwasm As artifact_cwasm_open_file().
 * @return As artifact_cwasm_open_file().
 */
artifact_status_t artifact_cwasm_open_fd(int fd, artifact_cwasm_t **cwasm, artifact_error_t **error);

/**
 * Reads the settings in bytes that Wasmtime compiled. Otherwise like artifact_cwasm_open_file().
 *
 * @param data The bytes, needed only during the call; may be NULL if len is 0.
 * @param len The number of bytes.
 * @param cwasm As artifact_cwasm_open_file().
 * @return As artifact_cwasm_open_file().
 */
artifact_status_t artifact_cwasm_open_bytes(const uint8_t *data,
                                            size_t len,
                                            artifact_cwasm_t **cwasm,
                                            artifact_error_t **error);

/** Frees what was read. NULL is allowed. */
void artifact_cwasm_free(artifact_cwasm_t *cwasm);

/**
 * Returns what the file holds: ARTIFACT_DETECTED_WASMTIME_MODULE or ARTIFACT_DETECTED_WASMTIME_COMPONENT;
 * ARTIFACT_DETECTED_NOTHING if cwasm is NULL.
 */
uint32_t artifact_cwasm_kind(const artifact_cwasm_t *cwasm);

/**
 * Returns the version of Wasmtime that compiled the file: a full one such as "14.0.4" up to 37, the major number alone
 * from 38 on. A program that embeds Wasmtime may have set any other text; "" fits every version. Borrowed: valid until
 * cwasm is freed. NULL if cwasm is NULL.
 */
const char *artifact_cwasm_version(const artifact_cwasm_t *cwasm);

/** Returns the target triple. Borrowed: valid until cwasm is freed. NULL if cwasm is NULL. */
const char *artifact_cwasm_target(const artifact_cwasm_t *cwasm);

/**
 * Returns all settings as JSON: an object with "kind", "version", "target", "shared_flags", "isa_flags", "tunables" and
 * "features", as `artifact inspect --json` prints them. Which tunables and features there are depends on the version;
 * if it is none of the releases that this library knows, both are null.
 *
 * @param cwasm What was read.
 * @param json Receives the text, which you own.
 * @return ARTIFACT_OK or a general status.
 */
artifact_status_t artifact_cwasm_to_json(const artifact_cwasm_t *cwasm,
                                         artifact_buffer_t **json,
                                         artifact_error_t **error);

/**
 * Reports every reason why a host cannot run the file's code, in the words of Wasmtime. Only target and ISA flags are
 * compared: the engine's producer, version and other settings are not.
 *
 * @param cwasm What was read.
 * @param engine The host, such as artifact_engine_new_host().
 * @param report Receives the report, which you own. It is empty if the host can run the code.
 * @return ARTIFACT_OK, a general status, or ARTIFACT_LIMIT for more mismatches than a report holds.
 */
artifact_status_t artifact_cwasm_report(const artifact_cwasm_t *cwasm,
                                        const artifact_engine_t *engine,
                                        artifact_report_t **report,
                                        artifact_error_t **error);

/**
 * Reports every reason why an engine of Wasmtime refuses the file, in the words of Wasmtime. If the engine has another
 * version, that is the only entry. Tunables and features are compared if the version is a release that this library
 * knows.
 *
 * @param cwasm What was read.
 * @param engine_json The engine's settings in JSON: what artifact_cwasm_to_json() returns for any file that the engine
 *     compiled.
 * @param report Receives the report, which you own. It is empty if the engine accepts the file.
 * @return ARTIFACT_OK, a general status, or one of these:
 *   - ARTIFACT_INVALID_ARGUMENT: engine_json is not such an object, or lacks settings of its version.
 *   - ARTIFACT_LIMIT: more mismatches than a report holds.
 */
artifact_status_t artifact_cwasm_report_against(const artifact_cwasm_t *cwasm,
                                                const char *engine_json,
                                                artifact_report_t **report,
                                                artifact_error_t **error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* ARTIFACT_H */
