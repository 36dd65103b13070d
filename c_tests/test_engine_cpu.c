/* Engines for CPUs: names of CPUs, and a compiler's engine that becomes the host's. */
#include "check.h"
#include "signed.h"
#include "support.h"

enum { ISA = ARTIFACT_FLAGS_ISA };

static artifact_engine_t *engine_for(const char *triple) {
    artifact_engine_t *engine = artifact_engine_new();
    CHECK_OK(artifact_engine_set_target(engine, triple, &error));
    return engine;
}

static bool is_on(const artifact_engine_t *engine, const char *name) {
    artifact_flag_t flag;
    return !artifact_engine_flag(engine, ISA, name, &flag, NULL) && flag.kind == ARTIFACT_FLAG_BOOL && flag.value == 1;
}

static size_t count(const artifact_engine_t *engine) { return artifact_engine_flag_count(engine, ISA); }

/* Checks that two engines fit the same artifacts, or that they don't. */
static void check_same(const artifact_engine_t *a, const artifact_engine_t *b, bool same) {
    uint8_t first[32], second[32];
    CHECK_OK(artifact_engine_fingerprint(a, first, &error));
    CHECK_OK(artifact_engine_fingerprint(b, second, &error));
    CHECK((memcmp(first, second, sizeof first) == 0) == same);
}

/* ---- names ---- */

TEST(engine_set_cpu_replaces_the_features) {
    artifact_engine_t *engine = engine_for("x86_64-unknown-linux-gnu");
    CHECK_OK(artifact_engine_set_flag_bool(engine, ISA, "avx512f", true, &error));
    CHECK_OK(artifact_engine_set_flag_bool(engine, ISA, "my-flag", true, &error));
    CHECK_OK(artifact_engine_set_flag_num(engine, ISA, "my-number", 3, &error));
    CHECK_OK(artifact_engine_set_cpu(engine, "haswell", &error));
    CHECK(is_on(engine, "avx2") && is_on(engine, "bmi") && !is_on(engine, "avx512f"));
    CHECK(is_on(engine, "my-flag"));
    /* What every CPU has, what only the kernel uses. */
    CHECK(!is_on(engine, "sse2") && !is_on(engine, "invpcid"));
    artifact_flag_t flag;
    CHECK_OK(artifact_engine_flag(engine, ISA, "my-number", &flag, &error));
    CHECK(flag.value == 3);
    artifact_engine_free(engine);
}

TEST(engine_set_cpu_takes_every_kind_of_name) {
    artifact_engine_t *engine = engine_for("x86_64-unknown-linux-gnu");
    static const struct {
        const char *names;
        size_t count;
    } cases[] = {{"x86-64-v1", 0},
                 {"x86-64", 0},
                 {"x86-64-v2", 8},
                 {"x86-64-v3", 17},
                 {"x86-64-v4", 22},
                 {"adx", 1},
                 {"x86-64-v2,adx,bmi1", 10},
                 {"x86-64-v3,-x86-64-v2", 9},
                 {"x86-64-v4,-avx512vl,adx", 22}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        CHECK_OK(artifact_engine_set_cpu(engine, cases[i].names, &error));
        CHECK(count(engine) == cases[i].count);
    }
    CHECK_OK(artifact_engine_set_cpu(engine, "skylake", &error));
    size_t all = count(engine);
    CHECK(is_on(engine, "sgx"));
    CHECK_OK(artifact_engine_set_cpu(engine, "skylake,-sgx", &error));
    CHECK(!is_on(engine, "sgx") && count(engine) == all - 1);
    CHECK_OK(artifact_engine_set_cpu(engine, "znver4", &error));
    CHECK(is_on(engine, "avx512bf16") && is_on(engine, "sse4a"));
    CHECK_OK(artifact_engine_set_target(engine, "aarch64-unknown-linux-gnu", &error));
    CHECK_OK(artifact_engine_set_cpu(engine, "neoverse-n1", &error));
    CHECK(is_on(engine, "lse") && is_on(engine, "dotprod") && !is_on(engine, "sve"));
    CHECK_OK(artifact_engine_set_cpu(engine, "sve,sve-vector-bits=512", &error));
    artifact_flag_t flag;
    CHECK_OK(artifact_engine_flag(engine, ISA, "sve-vector-bits", &flag, &error));
    CHECK_STR(flag.text, "512");
    CHECK_OK(artifact_engine_set_target(engine, "s390x-unknown-linux-gnu", &error));
    CHECK_OK(artifact_engine_set_cpu(engine, "anything", &error));
    CHECK(is_on(engine, "anything"));
    artifact_engine_free(engine);
}

TEST(engine_set_cpu_native_is_this_cpu) {
    artifact_engine_t *engine = artifact_engine_new(), *host = artifact_engine_new_host();
    CHECK_OK(artifact_engine_set_cpu(engine, "native", &error));
    check_same(engine, host, true);
    CHECK(count(engine) == count(host));
    const char *foreign = "riscv64gc-unknown-linux-gnu";
    CHECK_OK(artifact_engine_set_target(engine, foreign, &error));
    CHECK_FAILS(artifact_engine_set_cpu(engine, "native", &error), ARTIFACT_INVALID_ARGUMENT, "'native'");
    artifact_engine_free(engine), artifact_engine_free(host);
}

TEST(engine_set_cpu_refuses_unknown_names) {
    artifact_engine_t *engine = engine_for("x86_64-unknown-linux-gnu");
    CHECK_OK(artifact_engine_set_cpu(engine, "x86-64-v2", &error));
    CHECK_FAILS(artifact_engine_set_cpu(engine, "znver9", &error), ARTIFACT_INVALID_ARGUMENT,
                "'znver9'; similar names are znver1");
    static const char *const wrong[] = {"", "haswell,", "haswell,x", "-x", "neoverse-n1", "AVX2"};
    for (size_t i = 0; i < COUNT(wrong); i++)
        CHECK_FAILS(artifact_engine_set_cpu(engine, wrong[i], &error), ARTIFACT_INVALID_ARGUMENT, "CPU: expected");
    CHECK_FAILS(artifact_engine_set_cpu(engine, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "names");
    CHECK_FAILS(artifact_engine_set_cpu(NULL, "haswell", &error), ARTIFACT_INVALID_ARGUMENT, "engine");
    CHECK(count(engine) == 8);
    artifact_engine_free(engine);
}

TEST(engine_set_cpu_under_wasmtime_sets_cranelifts_flags) {
    artifact_engine_t *engine = artifact_engine_new_wasmtime();
    CHECK_OK(artifact_engine_set_target(engine, "x86_64-unknown-linux-gnu", &error));
#ifdef __x86_64__
    size_t all = count(engine);
    CHECK_OK(artifact_engine_set_cpu(engine, "x86-64-v3", &error));
    CHECK(count(engine) == all && is_on(engine, "has_avx2") && !is_on(engine, "has_avx512f"));
#endif
    CHECK_FAILS(artifact_engine_set_cpu(engine, "adx", &error), ARTIFACT_INVALID_ARGUMENT, "Cranelift has a flag");
    artifact_engine_free(engine);
}

/* ---- the host's engine ---- */

/* A compiler's engine, with settings of every kind. */
static artifact_engine_t *compiler(void) {
    artifact_engine_t *engine = artifact_engine_new();
    CHECK_OK(artifact_engine_set_producer(engine, "my-compiler", &error));
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "8.1", &error));
    CHECK_OK(artifact_engine_set_flag_enum(engine, ARTIFACT_FLAGS_SHARED, "opt_level", "speed", &error));
    CHECK_OK(artifact_engine_set_tunable(engine, ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND, 7, &error));
    CHECK_OK(artifact_engine_set_feature(engine, ARTIFACT_FEATURE_SIMD, true, &error));
    CHECK_OK(artifact_engine_set_flag_enum(engine, ISA, "my-abi", "x", &error));
    return engine;
}

/* Checks everything of a compiler's engine that is not of the CPU. */
static void check_settings(const artifact_engine_t *engine) {
    CHECK_STR(artifact_engine_producer(engine), "my-compiler");
    CHECK_STR(artifact_engine_version(engine), "8.1");
    CHECK(artifact_engine_version_rule(engine) == ARTIFACT_VERSION_RULE_CUSTOM);
    artifact_flag_t flag;
    CHECK_OK(artifact_engine_flag(engine, ARTIFACT_FLAGS_SHARED, "opt_level", &flag, &error));
    CHECK_STR(flag.text, "speed");
    CHECK_OK(artifact_engine_flag(engine, ISA, "my-abi", &flag, &error));
    CHECK_STR(flag.text, "x");
    uint64_t bound = 0;
    CHECK_OK(artifact_engine_tunable(engine, ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND, &bound, &error));
    bool simd = false;
    CHECK_OK(artifact_engine_feature(engine, ARTIFACT_FEATURE_SIMD, &simd, &error));
    CHECK(bound == 7 && simd);
}

TEST(engine_clone_for_host_replaces_target_and_features) {
    artifact_engine_t *engine = compiler(), *host = artifact_engine_new_host();
    CHECK_OK(artifact_engine_set_target(engine, "aarch64-apple-darwin", &error));
    CHECK_OK(artifact_engine_set_cpu(engine, "apple-m1", &error));
    artifact_key_t *key = new_key();
    trust(engine, key);
    artifact_key_free(key);
    size_t before = count(engine);
    artifact_engine_t *clone = artifact_engine_clone_for_host(engine);
    check_settings(clone), check_settings(engine);
    CHECK_STR(artifact_engine_target(clone), artifact_engine_target(host));
    CHECK(artifact_engine_trusted_key_count(clone) == 1);
    CHECK(count(clone) == count(host) + 1); /* and my-abi */
    /* The compiler's is as before. */
    CHECK_STR(artifact_engine_target(engine), "aarch64-apple-darwin");
    CHECK(count(engine) == before);
    artifact_engine_free(engine), artifact_engine_free(clone), artifact_engine_free(host);
    CHECK(artifact_engine_clone_for_host(NULL) == NULL);
}

TEST(engine_clone_for_host_keeps_the_naming_scheme) {
    artifact_engine_t *engine = artifact_engine_new(), *wasmtime = artifact_engine_new_wasmtime();
    artifact_engine_t *clone = artifact_engine_clone_for_host(wasmtime);
    check_same(clone, wasmtime, true);
    CHECK(count(clone) == count(wasmtime));
    artifact_engine_free(clone);
#ifdef __x86_64__
    CHECK_OK(artifact_engine_set_flag_bool(engine, ISA, "has_ssse3", false, &error));
    clone = artifact_engine_clone_for_host(engine);
    bool avx2 = __builtin_cpu_supports("avx2");
    CHECK(is_on(clone, "has_avx2") == avx2 && !is_on(clone, "avx2"));
    CHECK_OK(artifact_engine_unset_flag(engine, ISA, "has_ssse3", &error));
    artifact_engine_free(clone);
    clone = artifact_engine_clone_for_host(engine);
    CHECK(is_on(clone, "avx2") == avx2 && !is_on(clone, "has_avx2"));
    artifact_engine_free(clone);
#endif
    artifact_engine_free(engine), artifact_engine_free(wasmtime);
}

/* Returns an image of this machine; of one that the library has no table for, any image will do. */
static bytes_t of_this_machine(void) {
    shape_t shape = {.align = 64};
#if defined __aarch64__
    shape.machine = EM_AARCH64;
#elif defined __s390x__
    shape.machine = EM_S390, shape.big_endian = true;
#endif
    return make_elf(shape);
}

TEST(engine_clone_for_host_is_what_to_check_against) {
    artifact_engine_t *engine = compiler();
    artifact_builder_t *builder = new_builder(engine);
    bytes_t elf = of_this_machine();
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    bytes_t bytes = serialize(builder);
    artifact_engine_t *host = artifact_engine_clone_for_host(engine);
    artifact_t *artifact = open_bytes(&bytes, host);
    CHECK_OK(artifact_check_compat(artifact, host, &error));
    artifact_free(artifact);
    artifact_builder_free(builder);
    bytes_free(&bytes), bytes_free(&elf);
    artifact_engine_free(engine), artifact_engine_free(host);
}

/* ---- what this host can run, whoever made it ---- */

/* Returns an artifact that is opened for inspection, of one module of this machine. */
static artifact_t *made_with(const artifact_engine_t *engine) {
    artifact_builder_t *builder = new_builder(engine);
    bytes_t elf = of_this_machine();
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    bytes_t bytes = serialize(builder);
    artifact_t *artifact = open_bytes(&bytes, NULL);
    artifact_builder_free(builder);
    bytes_free(&bytes), bytes_free(&elf);
    return artifact;
}

/* Checks which reasons this host has, and the first sentence. */
static void check_host(const artifact_t *artifact, uint32_t kinds, const char *words) {
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_host_report(artifact, &report, &error));
    CHECK(artifact_report_kinds(report) == kinds);
    artifact_report_entry_t entry;
    if (kinds) {
        CHECK_OK(artifact_report_at(report, 0, &entry, &error));
        check_words(__FILE__, __LINE__, entry.sentence, words);
    }
    artifact_report_free(report);
}

TEST(host_report_judges_the_code_whoever_made_it) {
    artifact_engine_t *engine = compiler(), *host = artifact_engine_new_host();
    artifact_t *artifact = made_with(engine);
    CHECK_FAILS(artifact_check_compat(artifact, host, &error), ARTIFACT_WRONG_PRODUCER, "my-compiler");
    check_host(artifact, 0, NULL);
    artifact_free(artifact);

    CHECK_OK(artifact_engine_set_flag_bool(engine, ISA, "my-flag", true, &error));
    artifact = made_with(engine);
    check_host(artifact, ARTIFACT_REPORT_ISA_FLAG, "my-flag|unknown");
    artifact_free(artifact);

    CHECK_OK(artifact_engine_unset_flag(engine, ISA, "my-flag", &error));
    CHECK_OK(artifact_engine_set_target(engine, "riscv64gc-unknown-linux-gnu", &error));
    artifact = made_with(engine);
    check_host(artifact, ARTIFACT_REPORT_ARCHITECTURE, "architecture|riscv64");
    artifact_free(artifact);
    artifact_engine_free(engine), artifact_engine_free(host);
}
