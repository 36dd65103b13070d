/* Representations of an engine: the fingerprint for cache keys, JSON for files. */
#include "check.h"
#include "support.h"

typedef struct fingerprint_t {
    uint8_t bytes[32];
} fingerprint_t;

static fingerprint_t fingerprint(const artifact_engine_t *engine) {
    fingerprint_t print;
    memset(&print, 0x5a, sizeof print);
    CHECK_OK(artifact_engine_fingerprint(engine, print.bytes, &error));
    return print;
}

static bool same_fingerprint(const artifact_engine_t *a, const artifact_engine_t *b) {
    fingerprint_t first = fingerprint(a), second = fingerprint(b);
    return memcmp(first.bytes, second.bytes, sizeof first.bytes) == 0;
}

static bytes_t to_json(const artifact_engine_t *engine) {
    artifact_buffer_t *json = GARBAGE;
    CHECK_OK(artifact_engine_to_json(engine, &json, &error));
    bytes_t copy = bytes_copy(artifact_buffer_data(json), artifact_buffer_len(json) + 1);
    artifact_buffer_free(json);
    return copy;
}

static artifact_engine_t *from_json(const char *json) {
    artifact_engine_t *engine = GARBAGE;
    CHECK_OK(artifact_engine_from_json(json, &engine, &error));
    CHECK(engine);
    return engine;
}

/* One change of each setting that a check compares. Each must change the fingerprint. */
static void change(artifact_engine_t *engine, size_t which) {
    switch (which) {
    case 0:
        CHECK_OK(artifact_engine_set_target(engine, "aarch64-unknown-linux-gnu", &error));
        break;
    case 1:
        CHECK_OK(artifact_engine_set_target(engine, "x86_64-unknown-freebsd", &error));
        break;
    case 2:
        CHECK_OK(artifact_engine_set_producer(engine, "mine", &error));
        break;
    case 3:
        CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "3", &error));
        break;
    case 4:
        CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_NONE, NULL, &error));
        break;
    case 5:
        CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "2", &error));
        break;
    case 6:
        CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_SHARED, "x", true, &error));
        break;
    case 7:
        CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_SHARED, "x", false, &error));
        break;
    case 8:
        CHECK_OK(artifact_engine_set_flag_num(engine, ARTIFACT_FLAGS_SHARED, "x", 1, &error));
        break;
    case 9:
        CHECK_OK(artifact_engine_set_flag_enum(engine, ARTIFACT_FLAGS_SHARED, "x", "true", &error));
        break;
    case 10:
        CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "x", true, &error));
        break;
    case 11:
        CHECK_OK(artifact_engine_unset_flag(engine, ARTIFACT_FLAGS_ISA, "avx", &error));
        break;
    case 12:
        CHECK_OK(artifact_engine_set_flag_enum(engine, ARTIFACT_FLAGS_SHARED, "xt", "rue", &error));
        break;
    default: {
        uint32_t key = (uint32_t)which - 13;
        bool value;
        uint64_t number;
        if (key <= ARTIFACT_FEATURE_MEMORY64) {
            CHECK_OK(artifact_engine_feature(engine, key, &value, &error));
            CHECK_OK(artifact_engine_set_feature(engine, key, !value, &error));
            break;
        }
        static const uint32_t compared[] = {0, 1, 2, 4, 5, 6, 7, 8, 9};
        key = compared[key - ARTIFACT_FEATURE_MEMORY64 - 1];
        CHECK_OK(artifact_engine_tunable(engine, key, &number, &error));
        CHECK_OK(artifact_engine_set_tunable(engine, key, !number, &error));
    }
    }
}
enum { CHANGES = 13 + 11 + 9 };

static artifact_engine_t *changed(size_t which) {
    artifact_engine_t *engine = plain_engine();
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "avx", true, &error));
    if (which < CHANGES) change(engine, which);
    return engine;
}

TEST(fingerprint_differs_with_everything_that_is_compared) {
    fingerprint_t prints[CHANGES + 1];
    for (size_t i = 0; i <= CHANGES; i++) {
        artifact_engine_t *engine = changed(i);
        prints[i] = fingerprint(engine);
        artifact_engine_free(engine);
        for (size_t j = 0; j < i; j++) CHECK(memcmp(prints[i].bytes, prints[j].bytes, 32) != 0);
    }
}

TEST(fingerprint_is_the_same_for_the_same_settings) {
    artifact_engine_t *a = plain_engine(), *b = plain_engine();
    CHECK_OK(artifact_engine_set_flag_bool(a, ARTIFACT_FLAGS_SHARED, "x", true, &error));
    CHECK_OK(artifact_engine_set_flag_num(a, ARTIFACT_FLAGS_SHARED, "y", 1, &error));
    CHECK_OK(artifact_engine_set_flag_num(b, ARTIFACT_FLAGS_SHARED, "y", 1, &error));
    CHECK(!same_fingerprint(a, b));
    CHECK_OK(artifact_engine_set_flag_bool(b, ARTIFACT_FLAGS_SHARED, "x", true, &error));
    CHECK(same_fingerprint(a, b));
    artifact_engine_free(a);
    artifact_engine_free(b);
}

/* Settings that no check distinguishes have the same fingerprint. */
TEST(fingerprint_ignores_what_is_not_compared) {
    artifact_engine_t *a = plain_engine(), *b = plain_engine();
    CHECK_OK(artifact_engine_set_target(b, "x86_64-pc-linux-musl", &error));
    CHECK_OK(artifact_engine_set_version_rule(b, ARTIFACT_VERSION_RULE_CUSTOM, artifact_engine_version(a), &error));
    CHECK_OK(artifact_engine_set_flag_bool(b, ARTIFACT_FLAGS_ISA, "avx", false, &error)); /* absent counts as off */
    CHECK_OK(artifact_engine_set_tunable(b, ARTIFACT_TUNABLE_DYNAMIC_MEMORY_GROWTH_RESERVE, 12345, &error));
    uint64_t map = 0;
    CHECK_OK(artifact_engine_tunable(b, ARTIFACT_TUNABLE_GENERATE_ADDRESS_MAP, &map, &error));
    CHECK_OK(artifact_engine_set_tunable(b, ARTIFACT_TUNABLE_GENERATE_ADDRESS_MAP, !map, &error));
    CHECK(same_fingerprint(a, b));
    artifact_engine_free(a);
    artifact_engine_free(b);
}

TEST(json_keeps_every_setting) {
    for (size_t i = 0; i <= CHANGES; i++) {
        artifact_engine_t *engine = changed(i);
        CHECK_OK(artifact_engine_set_flag_enum(engine, ARTIFACT_FLAGS_SHARED, "quote\"\\\n", "größe\t", &error));
        CHECK_OK(
            artifact_engine_set_tunable(engine, ARTIFACT_TUNABLE_DYNAMIC_MEMORY_GROWTH_RESERVE, UINT64_MAX, &error));
        bytes_t json = to_json(engine);
        artifact_engine_t *copy = from_json((const char *)json.data);
        CHECK(same_fingerprint(engine, copy));
        bytes_t again = to_json(copy);
        CHECK_STR((const char *)again.data, (const char *)json.data);
        CHECK_STR(artifact_engine_target(copy), artifact_engine_target(engine));
        CHECK_STR(artifact_engine_producer(copy), artifact_engine_producer(engine));
        CHECK_STR(artifact_engine_version(copy), artifact_engine_version(engine));
        CHECK(artifact_engine_version_rule(copy) == artifact_engine_version_rule(engine));
        uint64_t reserve = 0;
        CHECK_OK(artifact_engine_tunable(copy, ARTIFACT_TUNABLE_DYNAMIC_MEMORY_GROWTH_RESERVE, &reserve, &error));
        CHECK(reserve == UINT64_MAX);
        artifact_flag_t flag;
        CHECK_OK(artifact_engine_flag(copy, ARTIFACT_FLAGS_SHARED, "quote\"\\\n", &flag, &error));
        CHECK_STR(flag.text, "größe\t");
        bytes_free(&json);
        bytes_free(&again);
        artifact_engine_free(engine);
        artifact_engine_free(copy);
    }
}

TEST(json_of_every_profile_round_trips) {
    artifact_engine_t *(*const make[])(void) = {artifact_engine_new, artifact_engine_new_host,
                                                artifact_engine_new_wasmtime};
    for (size_t i = 0; i < COUNT(make); i++) {
        artifact_engine_t *engine = make[i]();
        bytes_t json = to_json(engine);
        artifact_engine_t *copy = from_json((const char *)json.data);
        CHECK(same_fingerprint(engine, copy));
        bytes_free(&json);
        artifact_engine_free(engine);
        artifact_engine_free(copy);
    }
}

TEST(json_refuses_other_than_an_engine) {
    static const char *const bad[] = {
        "", "{", "null", "[]", "17", "\"text\"", "\xff", "{\"target\": 3}", "{} x", "{\"unheard_of\": true}"};
    for (size_t i = 0; i < COUNT(bad); i++) {
        artifact_engine_t *engine = GARBAGE;
        CHECK_FAILS(artifact_engine_from_json(bad[i], &engine, &error), ARTIFACT_INVALID_ARGUMENT, "");
        CHECK(engine == NULL);
    }
}

/* JSON bypasses the setters, so it must refuse what they refuse. */
TEST(json_refuses_what_setters_refuse) {
    static const char *const edits[][2] = {
        {HOST_TARGET, "x86_64-no-such-thing-at-all"},
        {"\"artifact\"", "\"Not A Producer\""},
        {"\"artifact\"", "\"x-aot\""},
    };
    artifact_engine_t *engine = plain_engine();
    bytes_t json = to_json(engine);
    for (size_t i = 0; i < COUNT(edits); i++) {
        const char *text = (const char *)json.data, *place = strstr(text, edits[i][0]);
        CHECK(place);
        bytes_t edited = {0};
        bytes_add(&edited, text, (size_t)(place - text));
        bytes_add(&edited, edits[i][1], strlen(edits[i][1]));
        bytes_add(&edited, place + strlen(edits[i][0]), strlen(place + strlen(edits[i][0])) + 1);
        artifact_engine_t *other = GARBAGE;
        CHECK_FAILS(artifact_engine_from_json((const char *)edited.data, &other, &error), ARTIFACT_INVALID_ARGUMENT,
                    "");
        CHECK(other == NULL);
        bytes_free(&edited);
    }
    bytes_free(&json);
    artifact_engine_free(engine);
}

/* Without a limit on nesting this would overflow the stack. */
TEST(json_refuses_deep_nesting) {
    size_t depth = 200000;
    char *json = malloc(depth + 1);
    CHECK(json);
    memset(json, '[', depth);
    json[depth] = 0;
    artifact_engine_t *engine = GARBAGE;
    CHECK_FAILS(artifact_engine_from_json(json, &engine, &error), ARTIFACT_INVALID_ARGUMENT, "");
    CHECK(engine == NULL);
    free(json);
}
