/* Reports of several mismatches: all of them, in the order of the checks. */
#include "check.h"
#include "image.h"
#include "support.h"

static const struct {
    uint32_t kind;
    const char *setting, *sentence;
} expected[] = {
    {ARTIFACT_REPORT_ARCHITECTURE, NULL, "Module was compiled for architecture 'x86_64'"},
    {ARTIFACT_REPORT_OPERATING_SYSTEM, NULL, "Module was compiled for operating system 'linux'"},
    {ARTIFACT_REPORT_SHARED_FLAG, "b",
     "Module was compiled with a different 'b' setting: expected '1' but host has '2'"},
    {ARTIFACT_REPORT_SHARED_FLAG, "c", "Module was compiled without setting 'c'"},
    {ARTIFACT_REPORT_SHARED_FLAG, "a", "Module was compiled with setting 'a' but it is not present for the host"},
    {ARTIFACT_REPORT_SHARED_FLAG, "z", "Module was compiled with setting 'z' but it is not present for the host"},
    {ARTIFACT_REPORT_ISA_FLAG, "i", "Module was compiled with setting 'i' enabled but the host does not support it"},
    {ARTIFACT_REPORT_TUNABLE, NULL,
     "Module was compiled with a static memory bound of '1' but '2' is expected for the host"},
    {ARTIFACT_REPORT_TUNABLE, NULL, "Module was compiled with fuel support but it is not enabled for the host"},
    {ARTIFACT_REPORT_FEATURE, NULL,
     "Module was compiled with WebAssembly SIMD support but it is not enabled for the host"},
    {ARTIFACT_REPORT_FEATURE, NULL,
     "Module was compiled without WebAssembly threads support but it is enabled for the host"},
};

/* Side 0 is the artifact, side 1 the host. */
static artifact_engine_t *side(bool host) {
    artifact_engine_t *engine = artifact_engine_new();
    CHECK_OK(artifact_engine_set_target(engine, host ? "aarch64-apple-darwin" : HOST_TARGET, &error));
    CHECK_OK(artifact_engine_set_flag_num(engine, ARTIFACT_FLAGS_SHARED, "b", host ? 2 : 1, &error));
    CHECK_OK(artifact_engine_set_flag_num(engine, ARTIFACT_FLAGS_SHARED, host ? "c" : "a", 1, &error));
    if (!host) CHECK_OK(artifact_engine_set_flag_num(engine, ARTIFACT_FLAGS_SHARED, "z", 1, &error));
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "i", !host, &error));
    CHECK_OK(artifact_engine_set_tunable(engine, ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND, host ? 2 : 1, &error));
    CHECK_OK(artifact_engine_set_tunable(engine, ARTIFACT_TUNABLE_CONSUME_FUEL, !host, &error));
    CHECK_OK(artifact_engine_set_feature(engine, ARTIFACT_FEATURE_SIMD, !host, &error));
    CHECK_OK(artifact_engine_set_feature(engine, ARTIFACT_FEATURE_THREADS, host, &error));
    return engine;
}

TEST(report_has_every_mismatch_in_order) {
    artifact_engine_t *engine = side(false), *host = side(true);
    artifact_builder_t *builder = new_builder(engine);
    bytes_t elf = make_elf((shape_t){0});
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    bytes_t body = serialize(builder);
    artifact_t *artifact = open_bytes(&body, host); /* an incompatible artifact can be opened */
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_compat_report(artifact, host, &report, &error));
    CHECK(artifact_report_count(report) == COUNT(expected));
    uint64_t kinds = 0;
    for (size_t i = 0; i < COUNT(expected); i++) {
        artifact_report_entry_t entry;
        CHECK_OK(artifact_report_at(report, i, &entry, &error));
        CHECK_STR(entry.sentence, expected[i].sentence);
        CHECK(entry.kind == expected[i].kind);
        if (expected[i].setting) CHECK_STR(entry.setting, expected[i].setting);
        CHECK(entry.setting && entry.artifact_value && entry.engine_value);
        kinds |= expected[i].kind;
    }
    CHECK(artifact_report_kinds(report) == kinds);
    CHECK_FAILS(artifact_check_compat(artifact, host, &error), ARTIFACT_INCOMPATIBLE, expected[0].sentence);
    artifact_report_free(report);
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine), artifact_engine_free(host);
    bytes_free(&elf), bytes_free(&body);
}

/* With a foreign producer or version nothing else can be compared. */
TEST(report_of_a_foreign_producer_or_version_has_one_entry) {
    static const struct {
        const char *producer, *version;
        artifact_status_t status;
        uint32_t kind;
        const char *artifact_value, *engine_value, *words;
    } files[] = {
        {"other", "9", ARTIFACT_WRONG_PRODUCER, ARTIFACT_REPORT_PRODUCER, "other", "artifact", "other"},
        {"artifact", "9", ARTIFACT_WRONG_VERSION, ARTIFACT_REPORT_VERSION, "9", "1",
         "Module was compiled with incompatible version '9'"},
    };
    artifact_engine_t *engine = plain_engine();
    for (size_t i = 0; i < COUNT(files); i++) {
        bytes_t body = make_front(files[i].producer, files[i].version);
        add_settings(&body, "s390x-unknown-linux-gnu"); /* differs too, but is not reported */
        add_no_types(&body);
        artifact_t *artifact = open_bytes(&body, NULL);
        artifact_report_t *report = GARBAGE;
        artifact_report_entry_t entry;
        CHECK_OK(artifact_compat_report(artifact, engine, &report, &error));
        CHECK_STATUS(artifact_report_status(report), files[i].status);
        CHECK(artifact_report_count(report) == 1 && artifact_report_kinds(report) == files[i].kind);
        CHECK_OK(artifact_report_at(report, 0, &entry, &error));
        CHECK(entry.kind == files[i].kind);
        CHECK_STR(entry.artifact_value, files[i].artifact_value);
        CHECK_STR(entry.engine_value, files[i].engine_value);
        check_words(__FILE__, __LINE__, entry.sentence, files[i].words);
        CHECK_FAILS(artifact_check_compat(artifact, engine, &error), files[i].status, entry.sentence);
        artifact_report_free(report);
        artifact_free(artifact);
        bytes_free(&body);
    }
    artifact_engine_free(engine);
}

/* With producer "wasmtime" the sentences name Wasmtime, and an ISA flag that only one side has is a mismatch. */
TEST(report_under_the_wasmtime_profile) {
    bytes_t foreign = make_body("wasmtime", "0.34.0");
    artifact_engine_t *engine = genuine_engine();
    artifact_t *artifact = open_bytes(&foreign, NULL);
    CHECK_FAILS(artifact_check_compat(artifact, engine, &error), ARTIFACT_WRONG_VERSION,
                "Module was compiled with incompatible Wasmtime version '0.34.0'");
    artifact_free(artifact);
    bytes_free(&foreign);

    artifact = open_path(fixture("addfib.cwasm"), engine);
    CHECK_OK(artifact_check_compat(artifact, engine, &error));
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "has_new", false, &error));
    CHECK_FAILS(artifact_check_compat(artifact, engine, &error), ARTIFACT_INCOMPATIBLE,
                "Module was compiled without setting 'has_new'");
    CHECK_OK(artifact_engine_unset_flag(engine, ARTIFACT_FLAGS_ISA, "has_new", &error));
    CHECK_OK(artifact_engine_unset_flag(engine, ARTIFACT_FLAGS_ISA, "has_avx", &error));
    CHECK_FAILS(artifact_check_compat(artifact, engine, &error), ARTIFACT_INCOMPATIBLE,
                "Module was compiled with setting 'has_avx' but it is not present for the host");
    artifact_free(artifact);
    artifact_engine_free(engine);
}
