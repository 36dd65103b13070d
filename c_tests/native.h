/*
 * Helpers for tests of loading: artifacts of the modules that native.cmake builds, loaded by the library and, for
 * comparison, by dlopen(). Include it after support.h.
 */
#ifndef NATIVE_H
#define NATIVE_H
#include "support.h"

#include <dlfcn.h>

#ifndef NATIVE_DIR
#define NATIVE_DIR "native"
#endif

/* A module is named after its source and was linked by the system linker; with ".o" appended, the library links it. */
static inline bool is_object(const char *module) { return strstr(module, ".o") != NULL; }

/* Returns the path of a module or object. Valid until this thread's next call. */
static inline const char *native(const char *module) {
    static _Thread_local char path[4096];
    snprintf(path, sizeof path, "%s/%s%s", NATIVE_DIR, module, is_object(module) ? "" : ".so");
    return path;
}

/* Returns whether this runs under an emulator. /proc and debuggers then show the emulator's pages and processes. */
static inline bool is_emulated(void) { return getenv("ARTIFACT_EMULATED") != NULL; }

/* Skips the test on machines whose code the library does not load. */
static inline void need_machine(void) {
#if !defined(__x86_64__) && !defined(__aarch64__)
    SKIP("the library does not load code of this machine");
#endif
}

static inline void skip_without(const char *module) {
    if (access(native(module), R_OK) != 0) SKIP("the module was not built here");
}

/* Loads the C++ runtime that modules in C++ need; the test programs are C. */
static inline void need_cxx(void) {
    skip_without("exceptions");
    if (!dlopen("libstdc++.so.6", RTLD_NOW | RTLD_GLOBAL)) SKIP("there is no libstdc++.so.6");
}

/* Saves an artifact of `count` copies of a module in the scratch folder. */
static inline void pack(const char *file, const char *module, size_t count) {
    need_machine();
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    bytes_t object = {0};
    if (is_object(module)) object = read_file(native(module));
    const artifact_object_t one = {module, object.data, object.len};
    for (size_t i = 0; i < count; i++) {
        if (is_object(module)) {
            CHECK_OK(artifact_builder_add_objects(builder, &one, 1, NULL, NULL, &error));
        } else {
            CHECK_OK(artifact_builder_add_module_file(builder, native(module), NULL, &error));
        }
    }
    bytes_free(&object);
    CHECK_OK(artifact_serialize_to_file(builder, scratch(file), NULL, &error));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

/* Loaded code with its artifact and engine. */
typedef struct loaded_t {
    artifact_engine_t *engine;
    artifact_t *artifact;
    artifact_code_t *code;
} loaded_t;

/* Opens an artifact that pack() saved. */
static inline loaded_t open_packed(const char *file) {
    loaded_t loaded = {artifact_engine_new_host(), NULL, NULL};
    loaded.artifact = open_path(scratch(file), loaded.engine);
    return loaded;
}

static inline loaded_t load_with(const char *module, const artifact_load_options_t *options) {
    pack("code.artifact", module, 1);
    loaded_t loaded = open_packed("code.artifact");
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, options, &loaded.code, &error));
    CHECK(loaded.code);
    return loaded;
}

static inline loaded_t load_flags(const char *module, uint64_t flags) {
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = flags;
    return load_with(module, &options);
}

static inline void unload(loaded_t *loaded) {
    artifact_code_free(loaded->code);
    artifact_free(loaded->artifact);
    artifact_engine_free(loaded->engine);
    *loaded = (loaded_t){0};
}

/* Convert between addresses and function pointers. POSIX guarantees that this works; ISO C has no cast for it. */
static inline void set_function(void *function, const void *address) { memcpy(function, &address, sizeof address); }

static inline void *address_of(const void *function) {
    void *address;
    memcpy(&address, function, sizeof address);
    return address;
}

/* Sets a function pointer to the address of a symbol. */
#define SYMBOL(code, module, name, function) set_function(&(function), symbol_of((code), (module), (name)))

static inline void *symbol_of(const artifact_code_t *code, size_t module, const char *name) {
    void *found = artifact_code_symbol(code, module, name, NULL);
    if (!found) check_fail(__FILE__, __LINE__, name, "not found", "");
    return found;
}

typedef struct page_t {
    char rights[8], path[256];
    unsigned long start, end;
    long dirty; /* KiB of Private_Dirty */
} page_t;

/* Returns the mapping that an address is in. Also CHECKs that no page of the process is writable and executable. */
static inline page_t page_of(const void *address) {
    FILE *maps = fopen(is_emulated() ? "/proc/self/maps" : "/proc/self/smaps", "r");
    if (!maps) SKIP("there is no /proc/self/smaps");
    char line[4096];
    page_t found = {.dirty = -1}, page = found;
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        char rights[8], path[256] = "";
        if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &start, &end, rights, path) >= 3 && strchr(rights, 'p')) {
            CHECK(!(rights[1] == 'w' && rights[2] == 'x') || is_valgrind());
            page = (page_t){.start = start, .end = end, .dirty = -1};
            memcpy(page.rights, rights, sizeof rights);
            memcpy(page.path, path, sizeof path);
        }
        sscanf(line, "Private_Dirty: %ld kB", &page.dirty);
        if (page.start <= (uintptr_t)address && (uintptr_t)address < page.end) found = page;
    }
    fclose(maps);
    return found;
}

/* A loaded module: by the library, or by dlopen(). */
typedef struct side_t {
    const artifact_code_t *code;
    void *handle;
} side_t;

static inline void *side_symbol(const side_t *side, const char *name) {
    void *found = side->code ? artifact_code_symbol(side->code, 0, name, NULL) : dlsym(side->handle, name);
    if (!found) check_fail(__FILE__, __LINE__, name, "not found", side->code ? "ours" : "dlopen's");
    return found;
}

#define SIDE(side, name, function) set_function(&(function), side_symbol((side), (name)))

#endif
