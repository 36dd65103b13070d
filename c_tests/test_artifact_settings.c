/* The settings of an opened artifact. */
#include "check.h"
#include "image.h"
#include "support.h"

TEST(settings_of_a_genuine_file) {
    artifact_t *artifact = open_path(fixture("addfib.cwasm"), NULL);
    CHECK_STR(artifact_producer(artifact), "wasmtime");
    artifact_slice_t version = artifact_producer_version(artifact);
    CHECK(same_bytes(version.data, version.len, (const uint8_t *)"0.33.0", 6));
    CHECK(artifact_file_len(artifact) == 12061);
    const char *target = GARBAGE;
    CHECK_OK(artifact_target(artifact, &target, &error));
    CHECK_STR(target, "x86_64-unknown-linux-gnu");
    size_t count = 0;
    CHECK_OK(artifact_flag_count(artifact, ARTIFACT_FLAGS_SHARED, &count, &error));
    CHECK(count == 25);
    CHECK_OK(artifact_flag_count(artifact, ARTIFACT_FLAGS_ISA, &count, &error));
    CHECK(count == 15);
    artifact_flag_t flag;
    CHECK_OK(artifact_flag(artifact, ARTIFACT_FLAGS_SHARED, "opt_level", &flag, &error));
    CHECK(flag.kind == ARTIFACT_FLAG_ENUM && flag.value == 0);
    CHECK_STR(flag.name, "opt_level");
    CHECK_STR(flag.text, "speed");
    CHECK_OK(artifact_flag(artifact, ARTIFACT_FLAGS_SHARED, "probestack_size_log2", &flag, &error));
    CHECK(flag.kind == ARTIFACT_FLAG_NUM && flag.value == 12 && flag.text == NULL);
    CHECK_OK(artifact_flag(artifact, ARTIFACT_FLAGS_ISA, "has_avx512vl", &flag, &error));
    CHECK(flag.kind == ARTIFACT_FLAG_BOOL && flag.value == 1 && flag.text == NULL);
    artifact_free(artifact);
}

TEST(settings_flags_can_be_walked_and_found) {
    artifact_t *artifact = open_path(fixture("addfib.cwasm"), NULL);
    for (uint32_t map = ARTIFACT_FLAGS_SHARED; map <= ARTIFACT_FLAGS_ISA; map++) {
        size_t count = 0;
        CHECK_OK(artifact_flag_count(artifact, map, &count, &error));
        char last[100] = "";
        for (size_t i = 0; i < count; i++) {
            artifact_flag_t at, by_name;
            CHECK_OK(artifact_flag_at(artifact, map, i, &at, &error));
            CHECK_OK(artifact_flag(artifact, map, at.name, &by_name, &error));
            CHECK(at.kind == by_name.kind && at.value == by_name.value);
            CHECK_STR(at.text, by_name.text);
            CHECK(strcmp(last, at.name) < 0);
            snprintf(last, sizeof last, "%s", at.name);
        }
    }
    artifact_free(artifact);
}

TEST(settings_tunables_and_features) {
    static const uint64_t tunables[] = {65536, UINT64_C(2147483648), 65536, UINT64_C(2147483648), 0, 0, 0, 1, 0, 1, 1};
    static const bool features[] = {true, true, true, false, true, false, false, false, false, false, false};
    artifact_t *artifact = open_path(fixture("cfg_fuel.cwasm"), NULL);
    for (uint32_t i = 0; i < COUNT(tunables); i++) {
        uint64_t value = 77;
        CHECK_OK(artifact_tunable(artifact, i, &value, &error));
        CHECK(value == tunables[i]);
    }
    for (uint32_t i = 0; i < COUNT(features); i++) {
        bool value = !features[i];
        CHECK_OK(artifact_feature(artifact, i, &value, &error));
        CHECK(value == features[i]);
    }
    artifact_free(artifact);
}

TEST(settings_of_other_targets) {
    static const char *const targets[][2] = {
        {"target_aarch64.cwasm", "aarch64-unknown-linux-gnu"},
        {"target_s390x.cwasm", "s390x-unknown-linux-gnu"},
        {"target_win64.cwasm", "x86_64-pc-windows-msvc"},
    };
    for (size_t i = 0; i < COUNT(targets); i++) {
        artifact_t *artifact = open_path(fixture(targets[i][0]), NULL);
        const char *target = GARBAGE;
        CHECK_OK(artifact_target(artifact, &target, &error));
        CHECK_STR(target, targets[i][1]);
        artifact_free(artifact);
    }
}

TEST(settings_version_follows_the_rule) {
    static const char *const versions[][2] = {
        {"addfib.cwasm", "0.33.0"}, {"ver_custom.cwasm", "my-embedder-1"}, {"ver_none.cwasm", ""}};
    for (size_t i = 0; i < COUNT(versions); i++) {
        artifact_t *artifact = open_path(fixture(versions[i][0]), NULL);
        artifact_slice_t version = artifact_producer_version(artifact);
        CHECK(same_bytes(version.data, version.len, (const uint8_t *)versions[i][1], strlen(versions[i][1])));
        artifact_free(artifact);
    }
}

/* The rule "none" accepts any version, even one that is not UTF-8. */
TEST(settings_version_may_be_any_bytes) {
    bytes_t body = make_body("artifact", "\xff\x01");
    artifact_engine_t *engine = plain_engine();
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_NONE, NULL, &error));
    artifact_t *artifact = open_bytes(&body, engine);
    artifact_slice_t version = artifact_producer_version(artifact);
    CHECK(same_bytes(version.data, version.len, (const uint8_t *)"\xff\x01", 2));
    artifact_free(artifact);
    artifact_engine_free(engine);
    bytes_free(&body);
}

TEST(settings_not_found) {
    artifact_t *artifact = open_path(fixture("addfib.cwasm"), NULL);
    artifact_flag_t flag;
    size_t count = 77;
    uint64_t number = 77;
    bool feature = true;
#define EMPTY_FLAG() (flag.name == NULL && flag.text == NULL && flag.kind == 0 && flag.value == 0)
    memset(&flag, 0x5a, sizeof flag);
    CHECK_FAILS(artifact_flag(artifact, ARTIFACT_FLAGS_SHARED, "nonesuch", &flag, &error), ARTIFACT_NOT_FOUND,
                "nonesuch");
    CHECK(EMPTY_FLAG());
    memset(&flag, 0x5a, sizeof flag);
    CHECK_FAILS(artifact_flag(artifact, ARTIFACT_FLAGS_SHARED, "\xff", &flag, &error), ARTIFACT_INVALID_ARGUMENT,
                "UTF-8");
    CHECK(EMPTY_FLAG());
    memset(&flag, 0x5a, sizeof flag);
    CHECK_FAILS(artifact_flag_at(artifact, ARTIFACT_FLAGS_ISA, 15, &flag, &error), ARTIFACT_NOT_FOUND, "15");
    CHECK(EMPTY_FLAG());
    CHECK_FAILS(artifact_flag_at(artifact, ARTIFACT_FLAGS_ISA, SIZE_MAX, &flag, &error), ARTIFACT_NOT_FOUND, "");
    CHECK_FAILS(artifact_flag(artifact, 2, "x", &flag, &error), ARTIFACT_INVALID_ARGUMENT, "map|2");
    CHECK_FAILS(artifact_flag_at(artifact, 2, 0, &flag, &error), ARTIFACT_INVALID_ARGUMENT, "map|2");
    CHECK_FAILS(artifact_flag_count(artifact, 2, &count, &error), ARTIFACT_INVALID_ARGUMENT, "map|2");
    CHECK(count == 0);
    CHECK_FAILS(artifact_tunable(artifact, 11, &number, &error), ARTIFACT_INVALID_ARGUMENT, "tunable|11");
    CHECK(number == 0);
    CHECK_FAILS(artifact_feature(artifact, UINT32_MAX, &feature, &error), ARTIFACT_INVALID_ARGUMENT, "feature");
    CHECK(!feature);
    artifact_free(artifact);
}

/* Wasmtime accepts duplicate and unsorted keys: the last one of a name counts. */
TEST(settings_last_of_a_duplicate_flag_wins) {
    bytes_t body = make_front("artifact", "1");
    add_str(&body, HOST_TARGET);
    add_u64(&body, 3);
    add_str(&body, "z"), add_u32(&body, 1), add_u8(&body, 1);
    add_str(&body, "a"), add_u32(&body, 2), add_u8(&body, 1);
    add_str(&body, "z"), add_u32(&body, 1), add_u8(&body, 9);
    add_u64(&body, 0);
    add_tunables(&body), add_features(&body), add_no_types(&body);
    artifact_t *artifact = open_bytes(&body, NULL);
    artifact_flag_t flag;
    CHECK_OK(artifact_flag(artifact, ARTIFACT_FLAGS_SHARED, "z", &flag, &error));
    CHECK(flag.kind == ARTIFACT_FLAG_NUM && flag.value == 9);
    size_t count = 77;
    CHECK_OK(artifact_flag_count(artifact, ARTIFACT_FLAGS_SHARED, &count, &error));
    CHECK(count == 2);
    artifact_free(artifact);
    bytes_free(&body);
}

/* ---- a foreign version, whose Metadata can have any layout ---- */

TEST(settings_of_a_foreign_layout_are_the_wrong_version) {
    bytes_t body = make_front("artifact", "layout-99");
    bytes_add(&body, "what another version put here", 29);
    artifact_t *artifact = open_bytes(&body, NULL);
    CHECK_STR(artifact_producer(artifact), "artifact");
    CHECK(artifact_module_count(artifact) == 1);
    artifact_module_t module;
    CHECK_OK(artifact_module(artifact, 0, &module, &error)); /* modules are still readable */
    const char *text = GARBAGE;
    size_t a = 77, b = 77, c = 77;
    uint64_t number = 77;
    uint32_t index = 77;
    bool feature = true;
    artifact_flag_t flag;
    artifact_upvar_t upvar;
    artifact_func_type_t type;
    artifact_entity_t entity;
#define FOREIGN(call) CHECK_FAILS(call, ARTIFACT_WRONG_VERSION, "layout-99")
    FOREIGN(artifact_target(artifact, &text, &error));
    CHECK(text == NULL);
    FOREIGN(artifact_flag_count(artifact, 0, &a, &error));
    FOREIGN(artifact_flag_at(artifact, 0, 0, &flag, &error));
    FOREIGN(artifact_flag(artifact, 1, "avx", &flag, &error));
    FOREIGN(artifact_tunable(artifact, 0, &number, &error));
    FOREIGN(artifact_feature(artifact, 0, &feature, &error));
    FOREIGN(artifact_upvar_count(artifact, &a, &error));
    FOREIGN(artifact_upvar_at(artifact, 0, &upvar, &error));
    FOREIGN(artifact_type_counts(artifact, &a, &b, &c, &error));
    FOREIGN(artifact_func_type(artifact, 0, &type, &error));
    FOREIGN(artifact_module_type(artifact, 0, &a, &index, &error));
    FOREIGN(artifact_module_import(artifact, 0, 0, &text, &entity, &error));
    FOREIGN(artifact_instance_type(artifact, 0, &a, &error));
    FOREIGN(artifact_instance_export(artifact, 0, 0, &text, &entity, &error));
    CHECK(a == 0 && b == 0 && c == 0 && number == 0 && index == 0 && !feature && text == NULL);
    artifact_engine_t *engine = plain_engine();
    CHECK_FAILS(artifact_check_compat(artifact, engine, &error), ARTIFACT_WRONG_VERSION, "layout-99");
    /* An engine that accepts any version can't compare settings that it can't read. */
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_NONE, NULL, &error));
    artifact_report_t *report = GARBAGE;
    artifact_status_t status = artifact_check_compat(artifact, engine, NULL);
    CHECK(status == ARTIFACT_CORRUPT || status == ARTIFACT_TRUNCATED || status == ARTIFACT_LIMIT);
    CHECK_STATUS(artifact_compat_report(artifact, engine, &report, NULL), status);
    CHECK(report == NULL);
    artifact_engine_free(engine);
    artifact_free(artifact);
    bytes_free(&body);
}

/* The same bytes under the library's own version are damage, not another layout. */
TEST(settings_undecodable_under_our_own_version_are_damage) {
    static const char *const own[][2] = {{"artifact", "1"}, {"wasmtime", "0.33.0"}};
    for (size_t i = 0; i < COUNT(own); i++) {
        bytes_t body = make_front(own[i][0], own[i][1]);
        bytes_add(&body, "what another version put here", 29);
        artifact_t *artifact = GARBAGE;
        artifact_status_t status = artifact_open_bytes(body.data, body.len, NULL, NULL, &artifact, NULL);
        CHECK(status == ARTIFACT_CORRUPT || status == ARTIFACT_TRUNCATED);
        CHECK(artifact == NULL);
        bytes_free(&body);
    }
}
