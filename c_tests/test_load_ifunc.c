/* Indirect functions: their resolvers run at load time, under the same conditions as constructors. */
#include "check.h"
#include "native.h"

#include <sys/auxv.h>

typedef int function_t(int n);

static const char *const modules[] = {"ifunc", "ifunc_now", "ifunc.o"};

TEST(indirect_functions_are_resolved) {
    for (size_t i = 0; i < COUNT(modules); i++) {
        loaded_t loaded = load_flags(modules[i], ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_RUN_CONSTRUCTORS);
        function_t *use, *use_hidden, *chosen, *(*address)(void), *(*hidden_address)(void);
        SYMBOL(loaded.code, 0, "use", use);
        SYMBOL(loaded.code, 0, "use_hidden", use_hidden);
        SYMBOL(loaded.code, 0, "chosen", chosen);
        SYMBOL(loaded.code, 0, "address", address);
        SYMBOL(loaded.code, 0, "hidden_address", hidden_address);
        CHECK(use(4) == 5 && use_hidden(4) == 6);
        CHECK(*(int *)symbol_of(loaded.code, 0, "constructed") == 11);

        /* The function has one address, wherever it is taken. */
        function_t *const *pointers = symbol_of(loaded.code, 0, "pointers");
        CHECK(chosen(1) == 2 && pointers[1](1) == 3);
        CHECK(address() == chosen && pointers[0] == chosen);
        CHECK(hidden_address()(1) == 3);
        if (is_object(modules[i])) CHECK(hidden_address() == pointers[1]);
        size_t size = 1;
        CHECK(artifact_code_symbol(loaded.code, 0, "chosen", &size) && size == 0);
        unload(&loaded);
    }
}

TEST(words_of_indirect_functions_are_read_only) {
    loaded_t loaded = load_flags("ifunc.o", ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_RUN_CONSTRUCTORS);
    if (!is_emulated()) CHECK_STR(page_of(symbol_of(loaded.code, 0, "pointers")).rights, "r--p");
    unload(&loaded);
}

TEST(resolvers_get_what_the_system_gives_them) {
    loaded_t loaded = load_flags("ifunc.o", ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_RUN_CONSTRUCTORS);
    unsigned long (*capabilities)(void);
    SYMBOL(loaded.code, 0, "capabilities", capabilities);
#if defined(__aarch64__)
    CHECK(capabilities() == (getauxval(AT_HWCAP) | 1UL << 62));
#else
    CHECK(capabilities() >= 1);
#endif
    unload(&loaded);
}

TEST(indirect_functions_of_the_process) {
    for (size_t i = 0; i < COUNT(modules); i++) {
        loaded_t loaded = load_flags(modules[i], ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_RUN_CONSTRUCTORS);
        size_t (*length)(const char *);
        SYMBOL(loaded.code, 0, "length", length);
        CHECK(length("four") == 4);
        unload(&loaded);
    }
}

TEST(several_modules_resolve_their_own) {
    pack("code.artifact", "ifunc.o", 3);
    loaded_t loaded = open_packed("code.artifact");
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_RUN_CONSTRUCTORS;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    void *first = symbol_of(loaded.code, 0, "chosen");
    for (size_t i = 0; i < 3; i++) {
        function_t *use, *chosen;
        SYMBOL(loaded.code, i, "use", use);
        SYMBOL(loaded.code, i, "chosen", chosen);
        CHECK(use(4) == 5 && chosen(4) == 5);
        CHECK((symbol_of(loaded.code, i, "chosen") == first) == (i == 0));
    }
    unload(&loaded);
}

TEST(without_constructors_no_resolver_runs) {
    for (size_t i = 0; i < COUNT(modules); i++) {
        pack("code.artifact", modules[i], 1);
        loaded_t loaded = open_packed("code.artifact");
        artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
        options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS | (i % 2 ? ARTIFACT_LOAD_SKIP_CONSTRUCTORS : 0);
        loaded.code = GARBAGE;
        CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_UNSUPPORTED,
                    "module 0|IRELATIVE|ARTIFACT_LOAD_RUN_CONSTRUCTORS");
        CHECK(loaded.code == NULL);
        unload(&loaded);
    }
}

TEST(target_clones_ask_the_cpu) {
    skip_without("clones");
    loaded_t loaded = load_flags("clones", ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_RUN_CONSTRUCTORS);
    int (*sum)(const int *, int);
    SYMBOL(loaded.code, 0, "sum", sum);
    const int numbers[] = {1, 20, 300};
    CHECK(sum(numbers, 3) == 321);
    unload(&loaded);
}
