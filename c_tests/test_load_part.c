/* Loading some of an artifact's modules; loaded code keeps no descriptor. */
#include "check.h"
#include "native.h"
#include "signed.h"

#include <sys/resource.h>

static artifact_load_options_t part(const size_t *modules, size_t count) {
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.modules = modules, options.module_count = count;
    return options;
}

/* Calls answer() and add() of each of these modules, and sees that no other of `count` modules is there. */
static void use_part(const artifact_code_t *code, const size_t *modules, size_t loaded, size_t count) {
    for (size_t i = 0; i < count; i++) {
        bool is_loaded = false;
        for (size_t k = 0; k < loaded; k++) is_loaded |= modules[k] == i;
        if (!is_loaded) {
            size_t size = 7;
            CHECK(!artifact_code_symbol(code, i, "answer", &size) && size == 0);
            continue;
        }
        int (*answer)(void), (*add)(int);
        SYMBOL(code, i, "answer", answer), SYMBOL(code, i, "add", add);
        CHECK(answer() == 42 && add((int)i) == (int)i + 1); /* each has data of its own */
        artifact_symbolized_t found;
        char name[16];
        CHECK_STATUS(artifact_code_symbolize(code, address_of(&add), name, sizeof name, &found), ARTIFACT_OK);
        CHECK(found.module == i && found.offset == 0);
        CHECK_STR(name, "add");
    }
    CHECK(!artifact_code_symbol(code, count, "answer", NULL));
    CHECK(artifact_code_main_module(code) == count - 1);
}

static void load_parts(artifact_t *artifact, const artifact_engine_t *engine, size_t count, uint64_t flags) {
    const size_t last = count - 1;
    const size_t parts[][3] = {{0}, {last}, {last / 2, last / 2 + 1}, {last, 0, last / 2}, {last, last, 0}};
    static const size_t sizes[] = {1, 1, 2, 3, 3};
    for (size_t i = 0; i < COUNT(parts); i++) {
        artifact_load_options_t options = part(parts[i], sizes[i]);
        options.flags = flags;
        artifact_code_t *code;
        CHECK_OK(artifact_load(artifact, engine, &options, &code, &error));
        use_part(code, parts[i], sizes[i], count);
        artifact_code_free(code);
    }
}

static void load_parts_of(const char *module, size_t count) {
    skip_without(module);
    pack("code.artifact", module, count);
    loaded_t loaded = open_packed("code.artifact");
    load_parts(loaded.artifact, loaded.engine, count, 0);
    unload(&loaded);
}

TEST(load_a_part_of_1000_modules_linked_by_us) { load_parts_of("small.o", 1000); }
TEST(load_a_part_of_what_the_system_linked) { load_parts_of("small", 5); }

/* From the file, from copies, from memory, at an offset that is no multiple of a page, from a private copy of text. */
TEST(load_a_part_in_every_way) {
    pack("code.artifact", "small.o", 3);
    bytes_t bytes = read_file(scratch("code.artifact")), moved = {0};
    bytes_add(&moved, "12345678", 8);
    bytes_add(&moved, bytes.data, bytes.len);
    write_file(scratch("moved.artifact"), moved.data, moved.len);
    artifact_engine_t *engine = artifact_engine_new_host();
    artifact_t *memory = open_bytes(&bytes, engine);
    load_parts(memory, engine, 3, 0);
    artifact_free(memory);
    const artifact_open_options_t ways[] = {
        {.size = sizeof ways[0], .flags = ARTIFACT_OPEN_COPY},
        {.size = sizeof ways[0], .flags = ARTIFACT_OPEN_READ},
        {.size = sizeof ways[0], .offset = 8},
    };
    for (size_t i = 0; i < COUNT(ways); i++) {
        artifact_t *artifact;
        const char *path = scratch(ways[i].offset ? "moved.artifact" : "code.artifact");
        CHECK_OK(artifact_open_file(path, engine, &ways[i], &artifact, &error));
        load_parts(artifact, engine, 3, 0);
        load_parts(artifact, engine, 3, ARTIFACT_LOAD_ALLOW_MEMFD | ARTIFACT_LOAD_GDB | ARTIFACT_LOAD_NO_UNWIND);
        artifact_free(artifact);
    }
    artifact_engine_free(engine);
    bytes_free(&bytes), bytes_free(&moved);
}

TEST(load_a_part_that_does_not_exist) {
    pack("code.artifact", "small.o", 3);
    loaded_t loaded = open_packed("code.artifact");
    const size_t modules[] = {1, 3};
    artifact_load_options_t options = part(modules, 2);
    artifact_code_t *code = GARBAGE;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &code, &error), ARTIFACT_NOT_FOUND,
                "module index below 3|found 3");
    CHECK(code == NULL);
    options.module_count = 0;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &code, &error), ARTIFACT_INVALID_ARGUMENT,
                "at least one|none");
    options = part(NULL, 1);
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &code, &error), ARTIFACT_INVALID_ARGUMENT,
                "options.modules");
    unload(&loaded);
}

/* Adds to an artifact: small.o, and then a module with undefined symbols, which nobody defines. */
static void pack_two(const char *file, const artifact_key_t *key) {
    need_machine();
    static const char *const names[] = {"small.o", "imports.o"};
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    for (size_t i = 0; i < 2; i++) {
        bytes_t object = read_file(native(names[i]));
        const artifact_object_t one = {names[i], object.data, object.len};
        CHECK_OK(artifact_builder_add_objects(builder, &one, 1, NULL, NULL, &error));
        bytes_free(&object);
    }
    if (key) CHECK_OK(artifact_builder_add_key(builder, key, &error));
    CHECK_OK(artifact_serialize_to_file(builder, scratch(file), NULL, &error));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

static void resolve_all(void *context, artifact_import_t *missing, size_t count) {
    for (size_t i = 0; i < count; i++) missing[i].address = context;
}

/* What another module lacks does not matter. What another module has is no definition, loaded or not. */
TEST(load_a_part_binds_as_the_whole_does) {
    pack_two("two.artifact", NULL);
    loaded_t loaded = open_packed("two.artifact");
    artifact_error_t *error;
    artifact_code_t *code;
    CHECK_STATUS(artifact_load(loaded.artifact, loaded.engine, NULL, &code, NULL), ARTIFACT_UNRESOLVED);
    const size_t modules[] = {0, 1};
    artifact_load_options_t first = part(&modules[0], 1), second = part(&modules[1], 1);
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &first, &code, &error));
    CHECK(artifact_code_symbol(code, 0, "answer", NULL) && !artifact_code_symbol(code, 1, "use_first", NULL));
    artifact_code_free(code);
    CHECK_STATUS(artifact_load(loaded.artifact, loaded.engine, &second, &code, &error), ARTIFACT_UNRESOLVED);
    const size_t count = artifact_error_missing_count(error);
    CHECK(count == 3);
    artifact_error_free(error);
    second.resolve = resolve_all, second.context = &loaded;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &second, &code, &error));
    CHECK(artifact_code_symbol(code, 1, "use_first", NULL) && !artifact_code_symbol(code, 0, "answer", NULL));
    artifact_code_free(code);
    unload(&loaded);
}

/* Writes a byte of a module that is not its own. */
static void damage(const char *file, const artifact_t *artifact, size_t module, size_t at) {
    artifact_module_t found = {0};
    CHECK_OK(artifact_module(artifact, module, &found, &error));
    FILE *to = fopen(scratch(file), "r+b");
    CHECK(to && fseek(to, (long)(found.offset + at), SEEK_SET) == 0);
    CHECK(fputc(0xf4, to) == 0xf4 && fclose(to) == 0);
}

/* The other modules are not looked at: damage there is found when they are loaded. */
TEST(load_a_part_of_a_damaged_artifact) {
    pack("code.artifact", "small.o", 3);
    loaded_t loaded = open_packed("code.artifact");
    damage("code.artifact", loaded.artifact, 0, 1); /* the magic */
    damage("code.artifact", loaded.artifact, 2, 1);
    unload(&loaded);
    loaded = open_packed("code.artifact");
    for (size_t i = 0; i < 3; i++) {
        artifact_load_options_t options = part(&i, 1);
        artifact_code_t *code;
        const artifact_status_t expected = i == 1 ? ARTIFACT_OK : ARTIFACT_CORRUPT;
        CHECK_STATUS(artifact_load(loaded.artifact, loaded.engine, &options, &code, NULL), expected);
        if (i == 1) use_part(code, &i, 1, 3);
        artifact_code_free(code);
    }
    CHECK_STATUS(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, NULL), ARTIFACT_CORRUPT);
    unload(&loaded);
}

TEST(load_a_part_of_a_signed_artifact) {
    artifact_key_t *key = new_key();
    pack_two("two.artifact", key);
    artifact_engine_t *engine = artifact_engine_new_host();
    trust(engine, key);
    for (int late = 0; late < 2; late++) { /* whatever opening did */
        artifact_t *artifact = open_path(scratch("two.artifact"), late ? NULL : engine);
        damage("two.artifact", artifact, 1, 200);
        artifact_free(artifact);
        artifact = open_path(scratch("two.artifact"), late ? NULL : engine);
        const size_t modules[] = {0, 1};
        artifact_load_options_t first = part(&modules[0], 1), second = part(&modules[1], 1);
        artifact_code_t *code;
        CHECK_OK(artifact_load(artifact, engine, &first, &code, &error));
        use_part(code, &modules[0], 1, 2);
        artifact_code_free(code);
        second.resolve = resolve_all, second.context = &code;
        CHECK_STATUS(artifact_load(artifact, engine, &second, &code, NULL), ARTIFACT_DIGEST_MISMATCH);
        artifact_free(artifact);
    }
    artifact_engine_free(engine);
    artifact_key_free(key);
}

/* ---- Descriptors ---- */

enum { MANY = 2000, FEW = 256 };

/* Loads an artifact that is closed at once. */
static artifact_code_t *load_closed(const char *path, const artifact_engine_t *engine, uint64_t open, uint64_t load) {
    artifact_open_options_t opening = ARTIFACT_OPEN_OPTIONS_INIT;
    artifact_load_options_t loading = ARTIFACT_LOAD_OPTIONS_INIT;
    opening.flags = open, loading.flags = load;
    artifact_t *artifact;
    artifact_code_t *code;
    CHECK_OK(artifact_open_file(path, engine, &opening, &artifact, &error));
    CHECK_OK(artifact_load(artifact, engine, &loading, &code, &error));
    artifact_free(artifact);
    return code;
}

TEST(loaded_code_keeps_no_descriptor) {
    pack("code.artifact", "small.o", 1);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = FEW; /* valgrind lets nobody change the other one */
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    artifact_engine_t *engine = artifact_engine_new_host();
    static artifact_code_t *code[MANY];
    const size_t before = count_entries("/proc/self/fd");
    static const uint64_t ways[] = {0, ARTIFACT_OPEN_COPY, ARTIFACT_OPEN_READ};
    for (size_t i = 0; i < MANY; i++) code[i] = load_closed(scratch("code.artifact"), engine, ways[i % 3], 0);
    CHECK(count_entries("/proc/self/fd") == before);
    const size_t module = 0;
    for (size_t i = 0; i < MANY; i++) use_part(code[i], &module, 1, 1);
    for (size_t i = 0; i < MANY; i++) artifact_code_free(code[i]);
    artifact_engine_free(engine);
}

/* Of a large module only the tables that loading needs are read. Local symbols are read when somebody asks. */
TEST(names_are_found_when_the_artifact_is_closed) {
    pack("code.artifact", "many.o", 1);
    artifact_engine_t *engine = artifact_engine_new_host();
    static const uint64_t ways[] = {0, ARTIFACT_OPEN_COPY, ARTIFACT_OPEN_READ};
    for (size_t i = 0; i < COUNT(ways); i++) {
        artifact_code_t *code = load_closed(scratch("code.artifact"), engine, ways[i], 0);
        int (*function)(int);
        char name[16];
        SYMBOL(code, 0, "f77", function);
        CHECK_STATUS(artifact_code_symbolize(code, address_of(&function), name, sizeof name, NULL), ARTIFACT_OK);
        CHECK_STR(name, "f77");
        artifact_code_free(code);
    }
    artifact_engine_free(engine);
}

/* ---- Packed images ---- */

/* Opens, loads, and compares what the code does, where it is, and what dlopen() makes of the same file. */
static void use_packed(artifact_t *artifact, const artifact_engine_t *engine, const char *path) {
    artifact_code_t *code;
    CHECK_OK(artifact_load(artifact, engine, NULL, &code, &error));
    const size_t module = 0;
    use_part(code, &module, 1, 1);
    const char *const names[] = {"answer", "total"}, *const rights[] = {"r-xp", "rw-p"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const page_t page = page_of(artifact_code_symbol(code, 0, names[i], NULL));
        CHECK_STR(page.rights, rights[i]);
        if (i == 0 && path) CHECK(strstr(page.path, path) != NULL && page.dirty <= 0);
    }
    artifact_code_free(code);
}

TEST(small_objects_become_small_artifacts) {
    pack("code.artifact", "small.o", 1);
    bytes_t bytes = read_file(scratch("code.artifact"));
    CHECK(bytes.len < 8 << 10); /* with debug information; each of its segments has a page of its own in memory */
    loaded_t loaded = open_packed("code.artifact");
    use_packed(loaded.artifact, loaded.engine, "code.artifact");
    artifact_t *memory = open_bytes(&bytes, loaded.engine);
    use_packed(memory, loaded.engine, NULL);
    artifact_free(memory);
    unload(&loaded);
    void *handle = dlopen(scratch("code.artifact"), RTLD_NOW);
    if (!handle) check_fail(__FILE__, __LINE__, "dlopen", dlerror(), "");
    int (*add)(int);
    set_function(&add, dlsym(handle, "add"));
    CHECK(add(6) == 7);
    dlclose(handle);
    bytes_free(&bytes);
}

/* A file of the time when each segment began at a page of the file. */
TEST(page_aligned_artifacts_load) {
#if !defined(__x86_64__)
    SKIP("the file is for x86-64");
#endif
    artifact_engine_t *engine = artifact_engine_new_host();
    artifact_t *artifact = open_path(fixture("page_aligned.artifact"), engine);
    artifact_code_t *code;
    CHECK_OK(artifact_load(artifact, engine, NULL, &code, &error));
    long (*fib)(long);
    SYMBOL(code, 0, "fib", fib);
    CHECK(fib(80) == 23416728348467685);
    artifact_code_free(code);
    artifact_free(artifact);
    artifact_engine_free(engine);
}
