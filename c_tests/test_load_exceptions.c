/* Exceptions through frames of loaded code and of the host; constructors and destructors. */
#include "check.h"
#include "native.h"

enum { CXX = ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_RUN_CONSTRUCTORS };

static int (*thrower)(int);
static int depth_of_host;

/* A frame of the host between two modules. */
static int host(int n) {
    depth_of_host++;
    int result = thrower(n);
    depth_of_host += 100; /* not reached by an exception */
    return result;
}

typedef int (*host_fn)(int);

typedef struct outcome_t {
    int values[16];
    size_t count;
} outcome_t;

/* One module throws, the other catches. */
static outcome_t exchange(const side_t *throws, const side_t *catches) {
    outcome_t outcome = {{0}, 0};
    int (*throw_error)(int), (*recurse)(int), (*throw_int)(int);
    int (*catch_all)(host_fn, int), (*what_length)(host_fn, int), (*through)(host_fn, int, int *);
    SIDE(throws, "throw_error", throw_error), SIDE(throws, "recurse_and_throw", recurse);
    SIDE(throws, "throw_int", throw_int);
    SIDE(catches, "catch_all", catch_all), SIDE(catches, "what_length", what_length);
    SIDE(catches, "through", through);
    depth_of_host = 0;
    thrower = throw_int;
    outcome.values[outcome.count++] = catch_all(host, 5);
    outcome.values[outcome.count++] = catch_all(host, -5);
    thrower = throw_error;
    outcome.values[outcome.count++] = what_length(host, 40);
    thrower = recurse;
    outcome.values[outcome.count++] = catch_all(host, 50);
    int cleaned = 0;
    thrower = throw_int;
    outcome.values[outcome.count++] = through(host, -1, &cleaned) + cleaned;
    outcome.values[outcome.count++] = depth_of_host;
    return outcome;
}

static void exchange_exceptions(const char *module) {
    need_cxx();
    pack("code.artifact", module, 1);
    loaded_t one = open_packed("code.artifact"), two = open_packed("code.artifact");
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = CXX;
    CHECK_OK(artifact_load(one.artifact, one.engine, &options, &one.code, &error));
    CHECK_OK(artifact_load(two.artifact, two.engine, &options, &two.code, &error));
    side_t ours = {.code = one.code}, other = {.code = two.code};
    side_t theirs = {.handle = dlopen(native("exceptions"), RTLD_NOW)};
    CHECK(theirs.handle);
    const side_t *pairs[][2] = {
        {&theirs, &theirs}, {&ours, &ours}, {&ours, &other}, {&ours, &theirs}, {&theirs, &ours}};
    outcome_t expected = exchange(pairs[0][0], pairs[0][1]);
    CHECK(expected.count == 6 && expected.values[0] == 1005 && expected.values[2] == 40);
    for (size_t i = 1; i < COUNT(pairs); i++) {
        outcome_t found = exchange(pairs[i][0], pairs[i][1]);
        CHECK(memcmp(&found, &expected, sizeof found) == 0);
    }
    unload(&one);
    outcome_t still = exchange(&other, &theirs);
    CHECK(memcmp(&still, &expected, sizeof still) == 0);
    unload(&two);
    dlclose(theirs.handle);
}

TEST(exceptions_pass_between_modules_and_the_host) { exchange_exceptions("exceptions"); }
TEST(exceptions_pass_between_modules_linked_by_us) { exchange_exceptions("exceptions.o"); }

static void throw_in_many_modules(const char *module) {
    need_cxx();
    pack("code.artifact", module, 50);
    loaded_t loaded = open_packed("code.artifact");
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = CXX;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    for (size_t i = 0; i < 50; i += 7) {
        int (*catch_all)(host_fn, int);
        SYMBOL(loaded.code, i, "catch_all", catch_all);
        SYMBOL(loaded.code, 49 - i, "throw_int", thrower);
        CHECK(catch_all(host, 3) == 1003);
    }
    unload(&loaded);
}

TEST(exceptions_pass_through_any_of_many_modules) { throw_in_many_modules("exceptions"); }
TEST(exceptions_pass_through_any_of_many_modules_linked_by_us) { throw_in_many_modules("exceptions.o"); }

static void construct_if_asked(const char *module) {
    need_machine();
    need_cxx();
    int (*constructed)(void), (*local_static)(void);
    int destroyed = 0, by_dlclose = 0;
    side_t theirs = {.handle = dlopen(native("exceptions"), RTLD_NOW)};
    CHECK(theirs.handle);
    SIDE(&theirs, "constructed", constructed), SIDE(&theirs, "local_static", local_static);
    CHECK(constructed() == 57 && local_static() == 57);
    *(int **)side_symbol(&theirs, "destroyed") = &by_dlclose;
    CHECK(dlclose(theirs.handle) == 0);

    loaded_t loaded = load_flags(module, ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_SKIP_CONSTRUCTORS);
    SYMBOL(loaded.code, 0, "constructed", constructed);
    CHECK(constructed() == 0);
    *(int **)symbol_of(loaded.code, 0, "destroyed") = &destroyed;
    unload(&loaded);
    CHECK(destroyed == 0);

    loaded = load_flags(module, CXX);
    SYMBOL(loaded.code, 0, "constructed", constructed);
    CHECK(constructed() == 57);
    SYMBOL(loaded.code, 0, "local_static", local_static);
    CHECK(local_static() == 57);
    *(int **)symbol_of(loaded.code, 0, "destroyed") = &destroyed;
    unload(&loaded);
    CHECK(destroyed == 2 && by_dlclose == 2); /* destructors ran now, not at exit */
}

TEST(constructors_run_only_if_asked) { construct_if_asked("exceptions"); }
TEST(constructors_linked_by_us_run_only_if_asked) { construct_if_asked("exceptions.o"); }

/* ---- unwinders ---- */

/* Checks that an unwinder finds functions until the code is freed: of one module, whose table is used in place, and of
 * several. */
static void unwinder_finds_functions(const char *library) {
    void *handle = dlopen(library, RTLD_NOW | RTLD_GLOBAL);
    if (!handle) SKIP("the library is not installed");
    void *(*enclosing)(void *);
    set_function(&enclosing, dlsym(handle, "_Unwind_FindEnclosingFunction"));
    CHECK(address_of(&enclosing));
    for (size_t count = 1; count < 5; count += 3) {
        pack("code.artifact", count == 1 ? "small" : "small.o", count);
        loaded_t loaded = open_packed("code.artifact");
        artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
        for (int told = 1; told >= 0; told--) {
            options.flags = told ? 0 : ARTIFACT_LOAD_NO_UNWIND;
            CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
            char *functions[8];
            for (size_t i = 0; i < 2 * count; i++) {
                functions[i] = symbol_of(loaded.code, i / 2, i % 2 ? "add" : "answer");
                CHECK(enclosing(functions[i] + 1) == (told ? functions[i] : NULL));
            }
            artifact_code_free(loaded.code);
            loaded.code = NULL;
            for (size_t i = 0; i < 2 * count; i++) CHECK(!enclosing(functions[i] + 1));
        }
        unload(&loaded);
    }
}

TEST(libgcc_unwinds_until_code_is_freed) { unwinder_finds_functions("libgcc_s.so.1"); }
TEST(libunwind_of_llvm_unwinds_until_code_is_freed) { unwinder_finds_functions("libunwind.so.1"); }

/* ---- unwinders that only the host knows ---- */

static struct {
    const void *table;
    int tables, added, removed;
} told;

static void register_table(const void *table, void *object) {
    CHECK(object && !told.table);
    told.table = table;
    told.tables++;
}

static void *deregister_table(const void *table) {
    CHECK(table == told.table);
    told.table = NULL;
    return NULL;
}

static void add_function(size_t fde) { told.added += fde % sizeof(uint32_t) == 0; }
static void remove_function(size_t fde) { told.removed += fde % sizeof(uint32_t) == 0; }

TEST(the_hosts_own_unwinders_are_told) {
    pack("code.artifact", "small.o", 3);
    loaded_t loaded = open_packed("code.artifact");
    artifact_load_options_t options = {.size = sizeof options,
                                       .register_frame_info = register_table,
                                       .deregister_frame_info = deregister_table,
                                       .add_dynamic_fde = add_function,
                                       .remove_dynamic_fde = remove_function};
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    CHECK(told.table && told.tables == 1 && told.added == 6 && told.removed == 0);
    artifact_code_free(loaded.code);
    CHECK(!told.table && told.removed == 6);

    /* Half a pair is none. */
    options.deregister_frame_info = NULL;
    options.add_dynamic_fde = NULL;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    artifact_code_free(loaded.code);
    loaded.code = NULL;
    CHECK(told.tables == 1 && told.added == 6 && told.removed == 6);
    unload(&loaded);
}

/* A table that libgcc has twice makes it abort when it is deregistered, or its searches longer. */
TEST(an_unwinder_that_is_also_the_processs_is_told_once) {
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    void *libgcc = dlsym(RTLD_DEFAULT, "__register_frame_info"), *own = NULL;
    if (options.register_frame_info) own = address_of(&options.register_frame_info);
    CHECK(own == libgcc);
    loaded_t loaded = load_with("small.o", &options);
    unload(&loaded);
}
