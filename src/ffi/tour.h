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
