/* Resolving undefined symbols: the order of the sources, and the symbols that compilers rely on implicitly. */
#include "check.h"
#include "native.h"

enum { MAX_VALUES = 512 };

static size_t run_granted(const side_t *side, uint64_t seed, uint64_t *out) {
    size_t (*arithmetic)(uint64_t, uint64_t *), (*atomics)(uint64_t, uint64_t *);
    SIDE(side, "arithmetic", arithmetic), SIDE(side, "atomics", atomics);
    size_t count = arithmetic(seed, out);
    return count + atomics(seed, out + count);
}

TEST(names_that_compilers_rely_on_are_defined) {
    loaded_t loaded = load_flags("granted.o", 0); /* independent of the symbols of the process */
    side_t ours = {.code = loaded.code}, theirs = {.handle = dlopen(native("granted"), RTLD_NOW)};
    CHECK(theirs.handle);
    uint64_t seed = 0x0123456789abcdef;
    for (int i = 0; i < 1000; i++) {
        uint64_t found[MAX_VALUES], expected[MAX_VALUES];
        size_t count = run_granted(&ours, seed, found);
        CHECK(count > 150 && count <= MAX_VALUES && run_granted(&theirs, seed, expected) == count);
        CHECK(memcmp(found, expected, count * sizeof *found) == 0);
        seed = (seed ^ seed >> 29) * 0xbf58476d1ce4e5b9 + 1;
    }
    dlclose(theirs.handle);
    unload(&loaded);
}

TEST(names_that_no_library_exports_are_explained) {
    pack("code.artifact", "not_granted.o", 1);
    loaded_t loaded = open_packed("code.artifact");
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_UNRESOLVED,
                "'__cpu_features2'|libgcc.a");
    CHECK(loaded.code == NULL);
    unload(&loaded);
}

static size_t lengths;

static size_t own_strlen(const char *text) {
    lengths++;
    size_t len = 0;
    while (text[len]) len++;
    return len;
}

static void answer_strlen(void *context, artifact_import_t *missing, size_t count) {
    *(size_t *)context += 1;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(missing[i].name, "strlen") == 0) {
            missing[i].address = address_of(&(size_t(*[1])(const char *)){own_strlen});
        }
    }
}

/* The process also has strlen and the other functions that the module calls. */
TEST(names_from_the_callback_precede_the_process) {
    size_t calls = 0, (*libc)(const char *, char *, size_t);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    options.resolve = answer_strlen;
    options.context = &calls;
    loaded_t loaded = load_with("basic", &options);
    CHECK(calls == 1);
    char text[64];
    SYMBOL(loaded.code, 0, "libc", libc);
    CHECK(libc("four", text, sizeof text) == 12 && lengths == 1);
    CHECK_STR(text, "four-42-1.50");
    unload(&loaded);
}

static uint64_t own_division(void) { return 7; }

/* The host can override the built-in definitions. */
TEST(names_from_the_host_precede_built_in_ones) {
    void *division = address_of(&(uint64_t(*[1])(void)){own_division});
    artifact_import_t table[] = {{"__udivti3", division}, {"__udivmodti4", division}};
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.symbols = table;
    options.symbol_count = COUNT(table);
    loaded_t loaded = load_with("granted.o", &options);
    uint64_t out[MAX_VALUES];
    CHECK(run_granted(&(side_t){.code = loaded.code}, 1, out) > 150 && out[0] == 7);
    unload(&loaded);
}
