/* Loading: compiled code works as it does under dlopen(); symbols, resolving, lifetimes. */
#include "check.h"
#include "native.h"

#include <inttypes.h>
#include <pthread.h>

static int host_negate(int n) { return -n; }

static loaded_t load_basic(const char *module) { return load_flags(module, ARTIFACT_LOAD_PROCESS_SYMBOLS); }

typedef struct outcome_t {
    long long values[64];
    size_t count;
    char text[64];
    char name[8];
} outcome_t;

static void note(outcome_t *outcome, long long value) { outcome->values[outcome->count++] = value; }

/* Calls everything in basic.c that needs no host. */
static outcome_t use_basic(const side_t *side) {
    outcome_t outcome = {0};
    int (*switch_table)(int), (*count)(void), (*common)(int), (*weak)(void), (*dispatch)(int, int), (*large_frame)(int);
    long long *(*bss_at)(size_t);
    int64_t (*sum)(int, ...);
    size_t (*libc)(const char *, char *, size_t);
    const char *(*name_of)(int);
    int (*call_back)(int (*)(int), int);
    SIDE(side, "switch_table", switch_table), SIDE(side, "count", count), SIDE(side, "common", common);
    SIDE(side, "weak", weak), SIDE(side, "dispatch", dispatch), SIDE(side, "large_frame", large_frame);
    SIDE(side, "bss_at", bss_at), SIDE(side, "sum", sum), SIDE(side, "libc", libc), SIDE(side, "name_of", name_of);
    SIDE(side, "call_back", call_back);
    for (int i = -1; i < 9; i++) note(&outcome, switch_table(i));
    note(&outcome, count()), note(&outcome, count());
    for (size_t i = 0; i < 100000; i++) {
        if (*bss_at(i)) note(&outcome, *bss_at(i));
    }
    *bss_at(99999) = 5;
    note(&outcome, *bss_at(99999) + *bss_at(0));
    note(&outcome, common(3)), note(&outcome, common(4));
    note(&outcome, weak());
    for (int i = 0; i < 3; i++) note(&outcome, dispatch(i, 5));
    note(&outcome, sum(5, (int64_t)1, 2.0, (int64_t)3, 4.0, (int64_t)5));
    note(&outcome, (long long)libc("text", outcome.text, sizeof outcome.text));
    note(&outcome, large_frame(8));
    note(&outcome, call_back(host_negate, 9));
    snprintf(outcome.name, sizeof outcome.name, "%s", name_of(2));
    return outcome;
}

static void compare_basic(const char *module) {
    skip_without(module);
    loaded_t loaded = load_basic(module);
    const char *same = is_object(module) ? "basic" : module;
    /* dlopen() can load an artifact too: as the shared object that is its first module. */
    side_t sides[] = {{.handle = dlopen(native(same), RTLD_NOW)},
                      {.code = loaded.code},
                      {.handle = dlopen(scratch("code.artifact"), RTLD_NOW)}};
    if (!sides[0].handle || !sides[2].handle) check_fail(__FILE__, __LINE__, module, dlerror(), "");
    outcome_t expected = use_basic(&sides[0]);
    CHECK(expected.count == 23);
    CHECK_STR(expected.text, "text-42-1.50");
    CHECK_STR(expected.name, "two");
    for (size_t side = 1; side < COUNT(sides); side++) {
        outcome_t found = use_basic(&sides[side]);
        CHECK(found.count == expected.count);
        for (size_t i = 0; i < found.count; i++) CHECK(found.values[i] == expected.values[i]);
        CHECK_STR(found.text, expected.text);
        CHECK_STR(found.name, expected.name);
    }
    dlclose(sides[0].handle);
    dlclose(sides[2].handle);
    unload(&loaded);
}

TEST(load_system_linked) { compare_basic("basic"); }
TEST(load_linked_by_us) { compare_basic("basic.o"); }
TEST(load_with_a_sysv_hash_table) { compare_basic("basic_sysv"); }
TEST(load_without_separate_code_or_relro) { compare_basic("basic_together"); }
TEST(load_bound_at_once_and_stripped) { compare_basic("basic_now"); }
TEST(load_packed_relative_relocations) { compare_basic("basic_relr"); }

static void compare_5000_functions(const char *module) {
    loaded_t loaded = load_flags(module, 0);
    int (*call_many)(int, int);
    SYMBOL(loaded.code, 0, "call_many", call_many);
    void *handle = dlopen(native("many"), RTLD_NOW);
    CHECK(handle);
    for (int i = 0; i < 5000; i++) {
        char name[16];
        int (*ours)(int), (*theirs)(int);
        snprintf(name, sizeof name, "f%d", i);
        SYMBOL(loaded.code, 0, name, ours);
        set_function(&theirs, dlsym(handle, name));
        CHECK(ours(i) == theirs(i) && call_many(i, 2) == 2 * i + 3);
        if (i % 50 != 0) continue; /* symbolize searches all symbols, so sample */
        char text[16];
        artifact_symbolized_t found;
        CHECK_STATUS(artifact_code_symbolize(loaded.code, (char *)address_of(&ours) + 1, text, sizeof text, &found),
                     ARTIFACT_OK);
        CHECK_STR(text, name);
        CHECK(found.module == 0 && found.offset == 1);
    }
    dlclose(handle);
    unload(&loaded);
}

TEST(load_5000_functions) { compare_5000_functions("many"); }
TEST(load_5000_functions_linked_by_us) { compare_5000_functions("many.o"); }

static void use_1000_modules(const char *module) {
    int (*theirs)(int);
    void *handle = dlopen(native("small"), RTLD_NOW);
    CHECK(handle);
    set_function(&theirs, dlsym(handle, "add"));
    int before = theirs(0);
    pack("code.artifact", module, 1000);
    loaded_t loaded = open_packed("code.artifact");
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, &error));
    CHECK(artifact_code_main_module(loaded.code) == artifact_main_module(loaded.artifact));
    CHECK(artifact_code_main_module(loaded.code) == 999);
    char *lowest = NULL, *highest = NULL;
    for (size_t i = 0; i < 1000; i++) {
        int (*add)(int);
        SYMBOL(loaded.code, i, "add", add);
        CHECK(add((int)i) == theirs((int)i) && theirs(-(int)i) == before); /* each module has its own data */
        char *at = (char *)address_of(&add);
        if (!lowest || at < lowest) lowest = at;
        if (at > highest) highest = at;
        artifact_symbolized_t found;
        CHECK_STATUS(artifact_code_symbolize(loaded.code, at, NULL, 0, &found), ARTIFACT_OK);
        CHECK(found.module == i);
    }
    CHECK(highest - lowest < 1 << 30); /* all in one range */
    unload(&loaded);
    dlclose(handle);
}

TEST(load_1000_modules) { use_1000_modules("small"); }
TEST(load_1000_modules_linked_by_us) { use_1000_modules("small.o"); }

/* ---- symbols ---- */

TEST(code_symbol_finds_exported_symbols) {
    loaded_t loaded = load_flags("small", 0);
    size_t size = 99;
    int *total = artifact_code_symbol(loaded.code, 0, "total", &size);
    CHECK(total && *total == 1 && size == sizeof(int));
    CHECK(artifact_code_symbol(loaded.code, 0, "answer", &size) && size > 0 && size < 100);
    CHECK(!artifact_code_symbol(loaded.code, 0, "no_such_thing", &size) && size == 0);
    CHECK(!artifact_code_symbol(loaded.code, 0, "answe", NULL) &&
          !artifact_code_symbol(loaded.code, 0, "answer2", NULL));
    CHECK(!artifact_code_symbol(loaded.code, 0, "", NULL) && !artifact_code_symbol(loaded.code, 0, "\xff", NULL));
    CHECK(!artifact_code_symbol(loaded.code, 1, "answer", NULL));
    CHECK(!artifact_code_symbol(loaded.code, SIZE_MAX, "answer", NULL));
    CHECK(!artifact_code_symbol(loaded.code, 0, NULL, &size) && !artifact_code_symbol(NULL, 0, "answer", &size));
    CHECK(artifact_code_main_module(loaded.code) == 0 && artifact_code_main_module(NULL) == 0);
    unload(&loaded);
}

static void find_ends(const char *module) {
    static const char *const labels[] = {"constants", "constants_end", "table", "table_end", "zeros_end", "code_end"};
    loaded_t loaded = load_flags(module, 0);
    void *handle = dlopen(is_object(module) ? scratch("code.artifact") : native(module), RTLD_NOW);
    CHECK(handle);
    for (size_t i = 0; i < COUNT(labels); i++) {
        char *ours = symbol_of(loaded.code, 0, labels[i]), *theirs = dlsym(handle, labels[i]);
        CHECK(theirs &&
              ours - (char *)symbol_of(loaded.code, 0, "constants") == theirs - (char *)dlsym(handle, "constants"));
    }
    dlclose(handle);
    unload(&loaded);
}

TEST(code_symbol_finds_labels_at_ends) { find_ends("ends"); }
TEST(code_symbol_finds_labels_at_ends_of_segments_linked_by_us) { find_ends("ends.o"); }

/* ---- resolving ---- */

static int first(int n) { return n + 100; }
static int second(int n) { return n + 200; }
static int other(int n) { return n + 300; }
static int host_value = 5;

#define ADDRESS(function) address_of(&(int (*[1])(int)){function})

typedef struct asked_t {
    size_t calls, count;
    char names[8][32];
    bool answer;
} asked_t;

static void resolve(void *context, artifact_import_t *missing, size_t count) {
    asked_t *asked = context;
    asked->calls++;
    asked->count = count;
    for (size_t i = 0; i < count; i++) {
        CHECK(missing[i].address == NULL);
        if (i < 8) snprintf(asked->names[i], sizeof asked->names[i], "%s", missing[i].name);
        if (!asked->answer) continue;
        if (strcmp(missing[i].name, "host_first") == 0) missing[i].address = ADDRESS(other);
        if (strcmp(missing[i].name, "host_second") == 0) missing[i].address = ADDRESS(second);
        if (strcmp(missing[i].name, "host_value") == 0) missing[i].address = &host_value;
    }
}

static bool was_asked(const asked_t *asked, const char *name) {
    for (size_t i = 0; i < asked->count && i < 8; i++) {
        if (strcmp(asked->names[i], name) == 0) return true;
    }
    return false;
}

TEST(load_asks_table_then_callback) {
    asked_t asked = {.answer = true};
    artifact_import_t table[] = {{"host_first", NULL}, /* defines nothing */
                                 {"host_first", ADDRESS(first)},
                                 {"host_first", ADDRESS(other)},
                                 {"host_second", NULL},
                                 {"unused", NULL}};
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.symbols = table;
    options.symbol_count = COUNT(table);
    options.resolve = resolve;
    options.context = &asked;
    pack("code.artifact", "imports", 3);
    loaded_t loaded = open_packed("code.artifact");
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    CHECK(asked.calls == 1 && asked.count == 3); /* each name once, for all modules */
    CHECK(was_asked(&asked, "host_second") && was_asked(&asked, "host_value") && was_asked(&asked, "host_weak"));
    for (size_t i = 0; i < 3; i++) {
        int (*use_first)(int), (*use_second)(int), (*use_value)(void), (*has_weak)(void), *(*place)(void);
        SYMBOL(loaded.code, i, "use_first", use_first), SYMBOL(loaded.code, i, "use_second", use_second);
        SYMBOL(loaded.code, i, "use_value", use_value), SYMBOL(loaded.code, i, "has_weak", has_weak);
        SYMBOL(loaded.code, i, "place_of_value", place);
        CHECK(use_first(1) == 102 && use_second(1) == 203 && use_value() == 5);
        CHECK(place() == &host_value && has_weak() == -1);
    }
    unload(&loaded);
}

TEST(load_reports_every_undefined_symbol) {
    asked_t asked = {.answer = false};
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.resolve = resolve;
    options.context = &asked;
    pack("code.artifact", "imports", 2);
    loaded_t loaded = open_packed("code.artifact");
    artifact_error_t *error = NULL;
    loaded.code = GARBAGE;
    CHECK_STATUS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_UNRESOLVED);
    CHECK(loaded.code == NULL && asked.calls == 1 && asked.count == 4);
    check_error(__FILE__, __LINE__, error, ARTIFACT_UNRESOLVED, "host_first|host_second|host_value");
    CHECK(artifact_error_missing_count(error) == 3);
    bool found[3] = {false, false, false};
    for (size_t i = 0; i < 3; i++) {
        const char *name = artifact_error_missing(error, i);
        if (strcmp(name, "host_first") == 0) found[0] = true;
        if (strcmp(name, "host_second") == 0) found[1] = true;
        if (strcmp(name, "host_value") == 0) found[2] = true;
    }
    CHECK(found[0] && found[1] && found[2]);
    CHECK(artifact_error_missing(error, 3) == NULL);
    CHECK(!strstr(artifact_error_message(error), "host_weak"));
    artifact_error_free(error);
    unload(&loaded);
}

TEST(load_uses_the_process_only_if_asked) {
    pack("code.artifact", "basic", 1);
    loaded_t loaded = open_packed("code.artifact");
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_UNRESOLVED,
                "malloc");
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    unload(&loaded);
}

/* ---- arguments and lifetimes ---- */

TEST(load_checks_its_arguments) {
    pack("code.artifact", "small", 1);
    loaded_t loaded = open_packed("code.artifact");
    artifact_code_t *code = GARBAGE;
    CHECK_FAILS(artifact_load(NULL, loaded.engine, NULL, &code, &error), ARTIFACT_INVALID_ARGUMENT, "artifact|NULL");
    CHECK(code == NULL);
    code = GARBAGE;
    CHECK_FAILS(artifact_load(loaded.artifact, NULL, NULL, &code, &error), ARTIFACT_INVALID_ARGUMENT, "engine|NULL");
    CHECK(code == NULL);
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, NULL, NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "code|NULL");
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = UINT64_C(1) << 63;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &code, &error), ARTIFACT_UNSUPPORTED, "flags");
    options.flags = 0;
    options.symbol_count = 1;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &code, &error), ARTIFACT_INVALID_ARGUMENT,
                "symbols|NULL");
    artifact_import_t table[] = {{NULL, NULL}};
    options.symbols = table;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &code, &error), ARTIFACT_INVALID_ARGUMENT,
                "name|NULL");
    table[0].name = "\xff";
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &code, &error), ARTIFACT_INVALID_ARGUMENT,
                "UTF-8");
    artifact_code_free(NULL);
    unload(&loaded);
}

TEST(load_always_checks_compatibility) {
    pack("code.artifact", "small", 1);
    artifact_t *artifact = open_path(scratch("code.artifact"), NULL);
    artifact_engine_t *engine = artifact_engine_new_host(), *foreign = artifact_engine_new_wasmtime();
    artifact_code_t *code = GARBAGE;
    CHECK_FAILS(artifact_load(artifact, foreign, NULL, &code, &error), ARTIFACT_WRONG_PRODUCER, "compiled by");
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_SHARED, "is_pic", true, &error));
    CHECK_FAILS(artifact_load(artifact, engine, NULL, &code, &error), ARTIFACT_INCOMPATIBLE, "is_pic");
    artifact_engine_free(engine);
    artifact_engine_free(foreign);
    artifact_free(artifact);
}

TEST(code_outlives_artifact_and_engine) {
    loaded_t loaded = load_basic("basic");
    artifact_free(loaded.artifact);
    artifact_engine_free(loaded.engine);
    CHECK(remove(scratch("code.artifact")) == 0);
    int (*count)(void);
    SYMBOL(loaded.code, 0, "count", count);
    CHECK(count() == 41);
    artifact_code_free(loaded.code);
}

TEST(load_twice_gives_separate_data) {
    loaded_t loaded = load_flags("small", 0);
    artifact_code_t *again = NULL;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, NULL, &again, &error));
    int (*add)(int), (*add_again)(int);
    SYMBOL(loaded.code, 0, "add", add), SYMBOL(again, 0, "add", add_again);
    CHECK(add(1) == 2 && add(1) == 3 && add_again(10) == 11);
    artifact_code_free(loaded.code);
    loaded.code = again;
    CHECK(add_again(1) == 12);
    unload(&loaded);
}

static void *load_in_thread(void *context) {
    const loaded_t *shared = context;
    for (int i = 0; i < 200; i++) {
        artifact_code_t *code = NULL;
        int (*add)(int);
        CHECK_OK(artifact_load(shared->artifact, shared->engine, NULL, &code, &error));
        SYMBOL(code, 1, "add", add);
        CHECK(add(i) == i + 1);
        artifact_code_free(code);
    }
    return NULL;
}

TEST(load_in_many_threads) {
    pack("code.artifact", "small", 2);
    loaded_t shared = open_packed("code.artifact");
    pthread_t threads[4];
    for (size_t i = 0; i < COUNT(threads); i++) CHECK(pthread_create(&threads[i], NULL, load_in_thread, &shared) == 0);
    for (size_t i = 0; i < COUNT(threads); i++) CHECK(pthread_join(threads[i], NULL) == 0);
    unload(&shared);
}
