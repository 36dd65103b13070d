/* Symbol versions: what is found in a module, and in the process for a module, is what dlsym(), dlvsym() and ld.so
 * find. */
#include "check.h"
#include "native.h"

static void compare_exports(const char *module) {
    loaded_t loaded = load_flags(module, ARTIFACT_LOAD_PROCESS_SYMBOLS);
    void *handle = dlopen(native(module), RTLD_NOW | RTLD_LOCAL);
    CHECK(handle);
    static const char *const names[] = {"one_of_three",   "hidden", "plain", "call_each", "each",
                                        "one_of_three_1", "V1",     "V2",    "V3",        "none"};
    for (size_t i = 0; i < COUNT(names); i++) {
        const bool found = artifact_code_symbol(loaded.code, 0, names[i], NULL) != NULL;
        CHECK(found == (dlsym(handle, names[i]) != NULL));
    }
    int (*ours)(void), (*theirs)(void), (*each)(int);
    SYMBOL(loaded.code, 0, "one_of_three", ours);
    set_function(&theirs, dlsym(handle, "one_of_three"));
    CHECK(ours() == 3 && theirs() == 3);
    CHECK(!artifact_code_symbol(loaded.code, 0, "hidden", NULL));
    SYMBOL(loaded.code, 0, "call_each", each);
    for (int version = 1; version <= 3; version++) CHECK(each(version) == version);
    dlclose(handle);
    unload(&loaded);
}

TEST(versions_of_exports_as_dlsym) { compare_exports("versions_gnu"); }
TEST(versions_of_exports_as_dlsym_with_sysv_hash) { compare_exports("versions_sysv"); }

static void check_calls(const artifact_code_t *code, const int expected[5]) {
    int (*call)(int);
    SYMBOL(code, 0, "call_version", call);
    for (int version = 1; version <= 5; version++) CHECK(call(version) == expected[version - 1]);
}

/* Returns what ld.so binds the module to. */
static void theirs(int results[5]) {
    void *handle = dlopen(native("versions_user"), RTLD_NOW | RTLD_LOCAL);
    if (!handle) check_fail(__FILE__, __LINE__, "dlopen", dlerror(), "");
    int (*call)(int);
    set_function(&call, dlsym(handle, "call_version"));
    for (int version = 1; version <= 5; version++) results[version - 1] = call(version);
    dlclose(handle);
}

TEST(versions_in_the_process_as_ld_so_binds_them) {
    CHECK(dlopen(native("versions_gnu"), RTLD_NOW | RTLD_GLOBAL));
    static const int expected[5] = {1, 2, 3, 12, 20};
    static const char *const versions[] = {"V1", "V2", "V3"};
    int found[5];
    theirs(found);
    CHECK(memcmp(found, expected, sizeof found) == 0);
    for (size_t i = 0; i < COUNT(versions); i++) {
        int (*function)(void);
        set_function(&function, dlvsym(RTLD_DEFAULT, "one_of_three", versions[i]));
        CHECK(function() == expected[i]);
    }
    loaded_t loaded = load_flags("versions_user", ARTIFACT_LOAD_PROCESS_SYMBOLS);
    check_calls(loaded.code, expected);
    unload(&loaded);
}

/* An object without versions comes first in the process: it replaces all versions. */
TEST(versions_are_replaced_as_by_ld_so) {
    CHECK(dlopen(native("versions_replaced"), RTLD_NOW | RTLD_GLOBAL));
    CHECK(dlopen(native("versions_gnu"), RTLD_NOW | RTLD_GLOBAL));
    static const int expected[5] = {100, 100, 100, 12, 20};
    int found[5];
    theirs(found);
    CHECK(memcmp(found, expected, sizeof found) == 0);
    loaded_t loaded = load_flags("versions_user", ARTIFACT_LOAD_PROCESS_SYMBOLS);
    check_calls(loaded.code, expected);
    unload(&loaded);
}

static int seven(void) { return 7; }

static void resolve_all(void *context, artifact_import_t *missing, size_t count) {
    size_t *calls = context;
    *calls += 1;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) CHECK(strcmp(missing[i].name, missing[j].name) != 0);
        missing[i].address = address_of(&(int (*[1])(void)){seven});
    }
}

/* The host's table and callback have names only, with or without symbols of the process. */
TEST(versions_do_not_count_for_the_host) {
    static const int expected[5] = {7, 7, 7, 7, 7};
    for (uint64_t flags = 0; flags <= ARTIFACT_LOAD_PROCESS_SYMBOLS; flags += ARTIFACT_LOAD_PROCESS_SYMBOLS) {
        size_t calls = 0;
        artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
        options.flags = flags;
        options.resolve = resolve_all;
        options.context = &calls;
        loaded_t loaded = load_with("versions_user", &options);
        CHECK(calls == 1);
        check_calls(loaded.code, expected);
        unload(&loaded);
        const artifact_import_t table[] = {{"one_of_three", address_of(&(int (*[1])(void)){seven})}};
        options.symbols = table;
        options.symbol_count = 1;
        loaded = load_with("versions_user", &options);
        check_calls(loaded.code, expected);
        unload(&loaded);
    }
}

TEST(versions_that_nobody_defines_are_missing) {
    pack("code.artifact", "versions_user", 1);
    loaded_t loaded = open_packed("code.artifact");
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    artifact_error_t *error = NULL;
    CHECK_STATUS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_UNRESOLVED);
    const char *message = artifact_error_message(error);
    CHECK(strstr(message, "'plain'") && strstr(message, "'hidden'"));
    const char *first = strstr(message, "'one_of_three'");
    CHECK(first && !strstr(first + 1, "'one_of_three'"));
    artifact_error_free(error);
    unload(&loaded);
}
