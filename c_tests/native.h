/*
 * Loading in the tests: artifacts of modules that native.cmake has built, loaded by us and, to compare, by dlopen.
 * Include it after support.h.
 */
#ifndef NATIVE_H
#define NATIVE_H
#include "support.h"

#include <dlfcn.h>

#ifndef NATIVE_DIR
#define NATIVE_DIR "native"
#endif

/* Modules are called as their sources, and are linked by the system; or with ".o", and are linked by us. */
static inline bool is_object(const char *module) { return strstr(module, ".o") != NULL; }

/* The path of a module, or of its object; good until this thread's next call. */
static inline const char *native(const char *module) {
    static _Thread_local char path[4096];
    snprintf(path, sizeof path, "%s/%s%s", NATIVE_DIR, module, is_object(module) ? "" : ".so");
    return path;
}

/* Whether this runs under an emulator, whose own pages and processes are what /proc and debuggers see. */
static inline bool is_emulated(void) { return getenv("ARTIFACT_EMULATED") != NULL; }

/* Other machines' code isn't loaded. */
static inline void need_machine(void) {
#if !defined(__x86_64__) && !defined(__aarch64__)
    SKIP("code of this machine isn't loaded");
#endif
}

static inline void skip_without(const char *module) {
    if (access(native(module), R_OK) != 0) SKIP("the module was not built here");
}

/* An artifact of `count` times the same module, saved under that name in the scratch folder. */
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

/* What the tests of loading need at once. */
typedef struct loaded_t {
    artifact_engine_t *engine;
    artifact_t *artifact;
    artifact_code_t *code;
} loaded_t;

/* Opens what `pack` saved. */
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

/* Function pointers from addresses and back, as POSIX has them, without a cast that C doesn't know. */
static inline void set_function(void *function, const void *address) { memcpy(function, &address, sizeof address); }

static inline void *address_of(const void *function) {
    void *address;
    memcpy(&address, function, sizeof address);
    return address;
}

/* A symbol as the function pointer that it is assigned to. */
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

/* What is mapped at an address; CHECKs on the way that nothing in the process is writable and executable. */
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

/* Where symbols come from: ours, or dlopen's. */
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
