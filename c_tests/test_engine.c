/* The engine: its three profiles, every setter and getter, clone. */
#include "check.h"
#include "support.h"

/* ---- profiles ---- */

TEST(engine_new_is_a_baseline) {
    artifact_engine_t *engine = artifact_engine_new();
    CHECK_STR(artifact_engine_producer(engine), "artifact");
    CHECK(artifact_engine_version_rule(engine) == ARTIFACT_VERSION_RULE_LIBRARY);
    CHECK_STR(artifact_engine_version(engine), "1");
    CHECK(artifact_engine_flag_count(engine, ARTIFACT_FLAGS_SHARED) == 0);
    CHECK(artifact_engine_flag_count(engine, ARTIFACT_FLAGS_ISA) == 0);
#if defined __x86_64__ && defined __linux__
    check_words(__FILE__, __LINE__, artifact_engine_target(engine), "x86_64-|-linux");
#elif defined __aarch64__ && defined __linux__
    check_words(__FILE__, __LINE__, artifact_engine_target(engine), "aarch64-|-linux");
#endif
    artifact_engine_free(engine);
}

TEST(engine_new_host_names_cpu_features_as_llvm_does) {
    artifact_engine_t *engine = artifact_engine_new_host();
    CHECK_STR(artifact_engine_producer(engine), "artifact");
    size_t count = artifact_engine_flag_count(engine, ARTIFACT_FLAGS_ISA);
    for (size_t i = 0; i < count; i++) {
        artifact_flag_t flag;
        CHECK_OK(artifact_engine_flag_at(engine, ARTIFACT_FLAGS_ISA, i, &flag, &error));
        bool is_length = strstr(flag.name, "-vector-bits") != NULL;
        CHECK(flag.kind == (is_length ? ARTIFACT_FLAG_ENUM : ARTIFACT_FLAG_BOOL));
        CHECK(strncmp(flag.name, "has_", 4) != 0);
    }
#ifdef __x86_64__
    artifact_flag_t flag;
    CHECK_OK(artifact_engine_flag(engine, ARTIFACT_FLAGS_ISA, "sse2", &flag, &error));
    CHECK(flag.value == 1);
    artifact_status_t avx2 = artifact_engine_flag(engine, ARTIFACT_FLAGS_ISA, "avx2", &flag, NULL);
    CHECK((avx2 == ARTIFACT_OK && flag.value == 1) == (__builtin_cpu_supports("avx2") != 0));
    artifact_status_t sse41 = artifact_engine_flag(engine, ARTIFACT_FLAGS_ISA, "sse4.1", &flag, NULL);
    CHECK((sse41 == ARTIFACT_OK && flag.value == 1) == (__builtin_cpu_supports("sse4.1") != 0));
#endif
    artifact_engine_free(engine);
}

TEST(engine_new_wasmtime_is_the_profile) {
    artifact_engine_t *engine = artifact_engine_new_wasmtime();
    CHECK_STR(artifact_engine_producer(engine), "wasmtime");
    CHECK_STR(artifact_engine_version(engine), "0.33.0");
    CHECK(artifact_engine_version_rule(engine) == ARTIFACT_VERSION_RULE_LIBRARY);
    CHECK(artifact_engine_flag_count(engine, ARTIFACT_FLAGS_SHARED) == 25);
    artifact_flag_t flag;
    CHECK_OK(artifact_engine_flag(engine, ARTIFACT_FLAGS_SHARED, "opt_level", &flag, &error));
    CHECK(flag.kind == ARTIFACT_FLAG_ENUM && flag.value == 0);
    CHECK_STR(flag.text, "speed");
    CHECK_OK(artifact_engine_flag(engine, ARTIFACT_FLAGS_SHARED, "probestack_size_log2", &flag, &error));
    CHECK(flag.kind == ARTIFACT_FLAG_NUM && flag.value == 12 && flag.text == NULL);
    CHECK_OK(artifact_engine_flag(engine, ARTIFACT_FLAGS_SHARED, "unwind_info", &flag, &error));
    CHECK(flag.kind == ARTIFACT_FLAG_BOOL && flag.value == 1 && flag.text == NULL);
#ifdef __x86_64__
    CHECK(artifact_engine_flag_count(engine, ARTIFACT_FLAGS_ISA) == 15);
    CHECK_OK(artifact_engine_flag(engine, ARTIFACT_FLAGS_ISA, "has_avx2", &flag, &error));
    CHECK(flag.kind == ARTIFACT_FLAG_BOOL && (flag.value == 1) == (__builtin_cpu_supports("avx2") != 0));
#endif
    artifact_engine_free(engine);
}

TEST(engine_wasmtime_defaults_of_tunables_and_features) {
    static const uint64_t tunables[] = {65536, UINT64_C(2147483648), 65536, UINT64_C(2147483648), 0, 0, 0, 0, 0, 1, 1};
    static const bool features[] = {true, true, true, false, true, false, false, false, false, false, false};
    artifact_engine_t *engine = artifact_engine_new_wasmtime();
    for (uint32_t i = 0; i < COUNT(tunables); i++) {
        uint64_t value = 77;
        CHECK_OK(artifact_engine_tunable(engine, i, &value, &error));
        CHECK(value == tunables[i]);
    }
    for (uint32_t i = 0; i < COUNT(features); i++) {
        bool value = !features[i];
        CHECK_OK(artifact_engine_feature(engine, i, &value, &error));
        CHECK(value == features[i]);
    }
    artifact_engine_free(engine);
}

/* ---- setters ---- */

TEST(engine_target) {
    artifact_engine_t *engine = artifact_engine_new();
    const char *before = artifact_engine_target(engine);
    char copy[200];
    snprintf(copy, sizeof copy, "%s", before);
    CHECK_OK(artifact_engine_set_target(engine, "s390x-unknown-linux-gnu", &error));
    CHECK_STR(artifact_engine_target(engine), "s390x-unknown-linux-gnu");
    CHECK_STR(before, copy); /* still valid: borrowed until the engine is freed */
    static const char *const bad[] = {"", "nonsense", "x86_64-unknown-linux-gnu-and-more-of-it",
                                      "\xff-unknown-linux-gnu"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_FAILS(artifact_engine_set_target(engine, bad[i], &error), ARTIFACT_INVALID_ARGUMENT, "");
    }
    CHECK_STR(artifact_engine_target(engine), "s390x-unknown-linux-gnu");
    artifact_engine_free(engine);
}

TEST(engine_producer) {
    static const char *const good[] = {"a",       "my.engine_2-x", "aot", "a-ao", "0123456789abcdefghijklmnopqrstuv",
                                       "wasmtime"};
    static const char *const bad[] = {
        "",       "Upper",    "a b",      "a/b",       "a-aot",
        "x-aoty", "\xc3\xa4", "\xff\xfe", "new\nline", "0123456789abcdefghijklmnopqrstuvw"};
    artifact_engine_t *engine = artifact_engine_new();
    for (size_t i = 0; i < COUNT(good); i++) {
        CHECK_OK(artifact_engine_set_producer(engine, good[i], &error));
        CHECK_STR(artifact_engine_producer(engine), good[i]);
    }
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_FAILS(artifact_engine_set_producer(engine, bad[i], &error), ARTIFACT_INVALID_ARGUMENT, "");
        CHECK_STR(artifact_engine_producer(engine), "wasmtime");
    }
    artifact_engine_free(engine);
}

TEST(engine_version_rule) {
    char longest[257];
    memset(longest, 'v', sizeof longest);
    artifact_engine_t *engine = artifact_engine_new();
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_NONE, NULL, &error));
    CHECK(artifact_engine_version_rule(engine) == ARTIFACT_VERSION_RULE_NONE);
    CHECK_STR(artifact_engine_version(engine), "");
    longest[255] = 0;
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, longest, &error));
    CHECK(artifact_engine_version_rule(engine) == ARTIFACT_VERSION_RULE_CUSTOM);
    CHECK_STR(artifact_engine_version(engine), longest);
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "", &error));
    CHECK(artifact_engine_version_rule(engine) == ARTIFACT_VERSION_RULE_CUSTOM);
    CHECK_STR(artifact_engine_version(engine), "");
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "größer", &error));
    longest[255] = 'v', longest[256] = 0;
    const struct {
        uint32_t rule;
        const char *custom;
    } bad[] = {
        {ARTIFACT_VERSION_RULE_CUSTOM, longest},
        {ARTIFACT_VERSION_RULE_CUSTOM, NULL},
        {ARTIFACT_VERSION_RULE_CUSTOM, "\xff"},
        {ARTIFACT_VERSION_RULE_NONE, "x"},
        {ARTIFACT_VERSION_RULE_LIBRARY, "x"},
        {3, NULL},
        {UINT32_MAX, NULL},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        CHECK_FAILS(artifact_engine_set_version_rule(engine, bad[i].rule, bad[i].custom, &error),
                    ARTIFACT_INVALID_ARGUMENT, "");
        CHECK_STR(artifact_engine_version(engine), "größer");
    }
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_LIBRARY, NULL, &error));
    CHECK_STR(artifact_engine_version(engine), "1");
    CHECK_OK(artifact_engine_set_producer(engine, "wasmtime", &error));
    CHECK_STR(artifact_engine_version(engine), "0.33.0");
    artifact_engine_free(engine);
}

TEST(engine_flags_come_back_in_name_order) {
    artifact_engine_t *engine = plain_engine();
    for (uint32_t map = ARTIFACT_FLAGS_SHARED; map <= ARTIFACT_FLAGS_ISA; map++) {
        CHECK_OK(artifact_engine_set_flag_bool(engine, map, "b", true, &error));
        CHECK_OK(artifact_engine_set_flag_enum(engine, map, "c", "größe", &error));
        CHECK_OK(artifact_engine_set_flag_num(engine, map, "a", 255, &error));
        CHECK(artifact_engine_flag_count(engine, map) == 3);
        artifact_flag_t flags[3];
        for (size_t i = 0; i < 3; i++) CHECK_OK(artifact_engine_flag_at(engine, map, i, &flags[i], &error));
        CHECK_STR(flags[0].name, "a");
        CHECK_STR(flags[1].name, "b");
        CHECK_STR(flags[2].name, "c");
        CHECK(flags[0].kind == ARTIFACT_FLAG_NUM && flags[0].value == 255 && flags[0].text == NULL);
        CHECK(flags[1].kind == ARTIFACT_FLAG_BOOL && flags[1].value == 1 && flags[1].text == NULL);
        CHECK(flags[2].kind == ARTIFACT_FLAG_ENUM && flags[2].value == 0);
        CHECK_STR(flags[2].text, "größe");
    }
    artifact_engine_free(engine);
}

TEST(engine_flag_can_change_its_kind_and_be_unset) {
    artifact_engine_t *engine = plain_engine();
    artifact_flag_t flag, after;
    memset(&after, 0x5a, sizeof after);
    CHECK_OK(artifact_engine_set_flag_enum(engine, ARTIFACT_FLAGS_SHARED, "x", "text", &error));
    CHECK_OK(artifact_engine_flag(engine, ARTIFACT_FLAGS_SHARED, "x", &flag, &error));
    CHECK_OK(artifact_engine_set_flag_num(engine, ARTIFACT_FLAGS_SHARED, "x", 3, &error));
    CHECK_STR(flag.text, "text"); /* valid until the engine is freed, whatever changes */
    CHECK(artifact_engine_flag_count(engine, ARTIFACT_FLAGS_SHARED) == 1);
    CHECK_FAILS(artifact_engine_flag(engine, ARTIFACT_FLAGS_ISA, "x", &after, &error), ARTIFACT_NOT_FOUND, "x");
    CHECK(after.name == NULL && after.text == NULL && after.kind == 0 && after.value == 0);
    CHECK_OK(artifact_engine_unset_flag(engine, ARTIFACT_FLAGS_SHARED, "x", &error));
    CHECK(artifact_engine_flag_count(engine, ARTIFACT_FLAGS_SHARED) == 0);
    CHECK_FAILS(artifact_engine_unset_flag(engine, ARTIFACT_FLAGS_SHARED, "x", &error), ARTIFACT_NOT_FOUND, "x");
    CHECK_STR(flag.name, "x");
    artifact_engine_free(engine);
}

TEST(engine_flags_refuse_bad_arguments) {
    artifact_engine_t *engine = plain_engine();
    artifact_flag_t flag;
    CHECK_FAILS(artifact_engine_set_flag_bool(engine, 2, "x", true, &error), ARTIFACT_INVALID_ARGUMENT, "map|2");
    CHECK_FAILS(artifact_engine_set_flag_num(engine, 99, "x", 1, &error), ARTIFACT_INVALID_ARGUMENT, "map|99");
    CHECK_FAILS(artifact_engine_set_flag_enum(engine, 2, "x", "y", &error), ARTIFACT_INVALID_ARGUMENT, "map|2");
    CHECK_FAILS(artifact_engine_unset_flag(engine, 2, "x", &error), ARTIFACT_INVALID_ARGUMENT, "map|2");
    CHECK_FAILS(artifact_engine_flag_at(engine, 2, 0, &flag, &error), ARTIFACT_INVALID_ARGUMENT, "map|2");
    CHECK_FAILS(artifact_engine_flag(engine, 2, "x", &flag, &error), ARTIFACT_INVALID_ARGUMENT, "map|2");
    CHECK(artifact_engine_flag_count(engine, 2) == 0);
    CHECK_FAILS(artifact_engine_set_flag_bool(engine, 0, "\xff", true, &error), ARTIFACT_INVALID_ARGUMENT, "UTF-8");
    CHECK_FAILS(artifact_engine_set_flag_enum(engine, 0, "x", "\xff", &error), ARTIFACT_INVALID_ARGUMENT, "UTF-8");
    CHECK_FAILS(artifact_engine_flag(engine, 0, "\xff", &flag, &error), ARTIFACT_INVALID_ARGUMENT, "UTF-8");
    CHECK(artifact_engine_flag_count(engine, ARTIFACT_FLAGS_SHARED) == 0);
    CHECK_FAILS(artifact_engine_flag_at(engine, 0, 0, &flag, &error), ARTIFACT_NOT_FOUND, "");
    CHECK_FAILS(artifact_engine_flag_at(engine, 1, SIZE_MAX, &flag, &error), ARTIFACT_NOT_FOUND, "");
    artifact_engine_free(engine);
}

TEST(engine_tunables) {
    artifact_engine_t *engine = artifact_engine_new();
    for (uint32_t i = 0; i <= ARTIFACT_TUNABLE_GENERATE_ADDRESS_MAP; i++) {
        bool number = i <= ARTIFACT_TUNABLE_DYNAMIC_MEMORY_GROWTH_RESERVE;
        uint64_t value = 9, set = number ? UINT64_MAX - i : 1;
        CHECK_OK(artifact_engine_set_tunable(engine, i, set, &error));
        CHECK_OK(artifact_engine_tunable(engine, i, &value, &error));
        CHECK(value == set);
        CHECK_OK(artifact_engine_set_tunable(engine, i, 0, &error));
        CHECK_OK(artifact_engine_tunable(engine, i, &value, &error));
        CHECK(value == 0);
        if (!number) CHECK_FAILS(artifact_engine_set_tunable(engine, i, 2, &error), ARTIFACT_INVALID_ARGUMENT, "2");
    }
    uint64_t value = 9;
    CHECK_FAILS(artifact_engine_set_tunable(engine, 11, 0, &error), ARTIFACT_INVALID_ARGUMENT, "tunable|11");
    CHECK_FAILS(artifact_engine_tunable(engine, UINT32_MAX, &value, &error), ARTIFACT_INVALID_ARGUMENT, "tunable");
    CHECK(value == 0);
    artifact_engine_free(engine);
}

TEST(engine_features) {
    artifact_engine_t *engine = artifact_engine_new();
    for (uint32_t i = 0; i <= ARTIFACT_FEATURE_MEMORY64; i++) {
        bool value = true;
        CHECK_OK(artifact_engine_set_feature(engine, i, false, &error));
        CHECK_OK(artifact_engine_feature(engine, i, &value, &error));
        CHECK(!value);
        CHECK_OK(artifact_engine_set_feature(engine, i, true, &error));
        CHECK_OK(artifact_engine_feature(engine, i, &value, &error));
        CHECK(value);
    }
    bool value = true;
    CHECK_FAILS(artifact_engine_set_feature(engine, 11, true, &error), ARTIFACT_INVALID_ARGUMENT, "feature|11");
    CHECK_FAILS(artifact_engine_feature(engine, 11, &value, &error), ARTIFACT_INVALID_ARGUMENT, "feature|11");
    CHECK(!value);
    artifact_engine_free(engine);
}

/* ---- clone ---- */

TEST(engine_clone_is_independent) {
    artifact_engine_t *engine = genuine_engine(), *clone = artifact_engine_clone(engine);
    CHECK(clone && clone != engine);
    CHECK(artifact_engine_flag_count(clone, ARTIFACT_FLAGS_SHARED) == 25);
    CHECK(artifact_engine_flag_count(clone, ARTIFACT_FLAGS_ISA) == 15);
    CHECK_OK(artifact_engine_set_flag_num(clone, ARTIFACT_FLAGS_SHARED, "probestack_size_log2", 13, &error));
    CHECK_OK(artifact_engine_set_target(clone, "aarch64-unknown-linux-gnu", &error));
    CHECK_STR(artifact_engine_target(engine), HOST_TARGET);
    artifact_engine_free(engine);
    CHECK_STR(artifact_engine_target(clone), "aarch64-unknown-linux-gnu");
    CHECK_STR(artifact_engine_producer(clone), "wasmtime");
    artifact_engine_free(clone);
    CHECK(artifact_engine_clone(NULL) == NULL);
}
