/* Files of Wasmtime 3 and newer: read through a handle, told apart, refused as artifacts, kept as modules. */
#include "check.h"
#include "support.h"

static artifact_cwasm_t *open_cwasm(const char *name) {
    artifact_cwasm_t *cwasm = GARBAGE;
    CHECK_OK(artifact_cwasm_open_file(fixture(name), &cwasm, &error));
    CHECK(cwasm);
    return cwasm;
}

static artifact_buffer_t *json_of(const artifact_cwasm_t *cwasm) {
    artifact_buffer_t *json = GARBAGE;
    CHECK_OK(artifact_cwasm_to_json(cwasm, &json, &error));
    return json;
}

static const char *text(const artifact_buffer_t *buffer) { return (const char *)artifact_buffer_data(buffer); }

TEST(cwasm_detection) {
    static const struct {
        const char *name, *version;
        uint32_t kind;
    } files[] = {
        {"wasmtime/v03_settings.cwasm", "3.0.0", ARTIFACT_DETECTED_WASMTIME_MODULE},
        {"wasmtime/v14_vernone_add.cwasm", "", ARTIFACT_DETECTED_WASMTIME_MODULE},
        {"wasmtime/v48_default_comp.cwasm", "48", ARTIFACT_DETECTED_WASMTIME_COMPONENT},
        {"wasmtime/v48_s390x_add.cwasm", "48", ARTIFACT_DETECTED_WASMTIME_MODULE},
        {"wasmtime/v48_vercustom_add.cwasm", "my-host 7", ARTIFACT_DETECTED_WASMTIME_MODULE},
    };
    for (size_t i = 0; i < COUNT(files); i++) {
        artifact_detection_t detection;
        CHECK_OK(artifact_detect_file(fixture(files[i].name), &detection, &error));
        CHECK(detection.kind == files[i].kind && detection.version_len == strlen(files[i].version));
        CHECK_STR(detection.producer, "wasmtime");
        CHECK_STR(detection.version, files[i].version);
        artifact_cwasm_t *cwasm = open_cwasm(files[i].name);
        CHECK(artifact_cwasm_kind(cwasm) == files[i].kind);
        CHECK_STR(artifact_cwasm_version(cwasm), files[i].version);
        artifact_cwasm_free(cwasm);
    }
    artifact_detection_t detection;
    CHECK_OK(artifact_detect_file("/bin/true", &detection, &error));
    CHECK(detection.kind == ARTIFACT_DETECTED_NOTHING);
}

TEST(cwasm_functions_agree) {
    const char *name = "wasmtime/v48_default_comp.cwasm";
    bytes_t bytes = read_file(fixture(name));
    int fd = open(fixture(name), O_RDONLY);
    CHECK(lseek(fd, 5, SEEK_SET) == 5);
    artifact_cwasm_t *files[3] = {open_cwasm(name), GARBAGE, GARBAGE};
    CHECK_OK(artifact_cwasm_open_fd(fd, &files[1], &error));
    CHECK_OK(artifact_cwasm_open_bytes(bytes.data, bytes.len, &files[2], &error));
    CHECK(lseek(fd, 0, SEEK_CUR) == 5);
    artifact_buffer_t *first = json_of(files[0]);
    CHECK(strstr(text(first), "\"kind\": \"component\"") && strstr(text(first), "\"features\": \"0xc000bdcff\""));
    for (size_t i = 0; i < COUNT(files); i++) {
        artifact_buffer_t *json = json_of(files[i]);
        CHECK_STR(text(json), text(first));
        CHECK_STR(artifact_cwasm_target(files[i]), "x86_64-unknown-linux-gnu");
        artifact_buffer_free(json);
        artifact_cwasm_free(files[i]);
    }
    artifact_buffer_free(first);
    close(fd);
    bytes_free(&bytes);
}

TEST(cwasm_unknown_version) {
    artifact_cwasm_t *cwasm = open_cwasm("wasmtime/v48_vercustom_add.cwasm");
    artifact_buffer_t *json = json_of(cwasm);
    CHECK(strstr(text(json), "\"tunables\": null") && strstr(text(json), "\"features\": null"));
    CHECK(strstr(text(json), "\"has_avx2\""));
    artifact_buffer_free(json);
    artifact_cwasm_free(cwasm);
}

TEST(cwasm_reports) {
    artifact_cwasm_t *cwasm = open_cwasm("wasmtime/v48_default_empty.cwasm");
    artifact_engine_t *engine = artifact_engine_new();
    CHECK_OK(artifact_engine_set_target(engine, "x86_64-unknown-linux-gnu", &error));
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_cwasm_report(cwasm, engine, &report, &error));
    CHECK(artifact_report_kinds(report) == ARTIFACT_REPORT_ISA_FLAG);
    artifact_report_entry_t entry;
    CHECK_OK(artifact_report_at(report, 0, &entry, &error));
    CHECK_STR(entry.setting, "has_sse3");
    CHECK_STR(entry.sentence, "compilation settings of module incompatible with native host: compilation setting "
                              "\"has_sse3\" is enabled, but not available on the host");
    artifact_report_free(report);
    /* All that the file needs, under LLVM's names. */
    static const char *const features[] = {"sse3",     "ssse3",    "cx16",       "sse4.1",  "sse4.2",
                                           "avx",      "avx2",     "fma",        "avxvnni", "avx512bitalg",
                                           "avx512dq", "avx512vl", "avx512vbmi", "avx512f", "avx512vnni",
                                           "popcnt",   "bmi",      "bmi2",       "lzcnt"};
    for (size_t i = 0; i < COUNT(features); i++)
        CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, features[i], true, &error));
    CHECK_OK(artifact_cwasm_report(cwasm, engine, &report, &error));
    CHECK(artifact_report_count(report) == 0);
    artifact_report_free(report);
    CHECK_OK(artifact_engine_set_target(engine, "aarch64-unknown-linux-gnu", &error));
    CHECK_OK(artifact_cwasm_report(cwasm, engine, &report, &error));
    CHECK(artifact_report_kinds(report) == ARTIFACT_REPORT_ARCHITECTURE);
    artifact_report_free(report);
    artifact_engine_free(engine);

    artifact_buffer_t *json = json_of(cwasm);
    CHECK_OK(artifact_cwasm_report_against(cwasm, text(json), &report, &error));
    CHECK(artifact_report_count(report) == 0 && artifact_report_status(report) == ARTIFACT_OK);
    artifact_report_free(report);
    artifact_cwasm_t *other = open_cwasm("wasmtime/v50_settings.cwasm");
    CHECK_OK(artifact_cwasm_report_against(other, text(json), &report, &error));
    CHECK(artifact_report_count(report) == 1 && artifact_report_status(report) == ARTIFACT_WRONG_VERSION);
    CHECK_OK(artifact_report_at(report, 0, &entry, &error));
    CHECK_STR(entry.sentence, "Module was compiled with incompatible version '50'");
    artifact_report_free(report);
    report = GARBAGE;
    CHECK_FAILS(artifact_cwasm_report_against(other, "{}", &report, &error), ARTIFACT_INVALID_ARGUMENT, "version");
    CHECK(report == NULL);
    artifact_cwasm_free(other);
    artifact_buffer_free(json);
    artifact_cwasm_free(cwasm);
}

TEST(cwasm_other_files_are_refused) {
    artifact_cwasm_t *cwasm = GARBAGE;
    CHECK_FAILS(artifact_cwasm_open_file(fixture("addfib.cwasm"), &cwasm, &error), ARTIFACT_NOT_FOUND, "another one");
    CHECK(cwasm == NULL);
    CHECK_FAILS(artifact_cwasm_open_file("/bin/true", &cwasm, &error), ARTIFACT_NOT_FOUND, "");
    CHECK_FAILS(artifact_cwasm_open_file("/tmp", &cwasm, &error), ARTIFACT_INVALID_ARGUMENT, "/tmp");
    CHECK_FAILS(artifact_cwasm_open_file(scratch("missing"), &cwasm, &error), ARTIFACT_IO, "");
    CHECK_FAILS(artifact_cwasm_open_fd(-1, &cwasm, &error), ARTIFACT_INVALID_ARGUMENT, "fd");
    CHECK_FAILS(artifact_cwasm_open_bytes(NULL, 0, &cwasm, &error), ARTIFACT_NOT_FOUND, "");
    bytes_t bytes = read_file(fixture("wasmtime/v48_default_empty.cwasm"));
    /* The settings begin after the ELF header, and with 0. The version's length follows. */
    CHECK(bytes.data[64] == 0 && bytes.data[65] == 2);
    bytes.data[64] = 1;
    CHECK_FAILS(artifact_cwasm_open_bytes(bytes.data, bytes.len, &cwasm, &error), ARTIFACT_UNSUPPORTED, "layout");
    artifact_detection_t detection;
    CHECK_FAILS(artifact_detect_bytes(bytes.data, bytes.len, &detection, &error), ARTIFACT_UNSUPPORTED, "layout");
    bytes.data[64] = 0, bytes.data[66] = 0xff;
    CHECK_FAILS(artifact_cwasm_open_bytes(bytes.data, bytes.len, &cwasm, &error), ARTIFACT_CORRUPT, "UTF-8");
    bytes.data[66] = 0;
    CHECK_FAILS(artifact_cwasm_open_bytes(bytes.data, bytes.len, &cwasm, &error), ARTIFACT_CORRUPT, "NUL");
    bytes_free(&bytes);
}

/* A cache must not overwrite the file: it is whole, and another program's. */
TEST(cwasm_is_not_an_artifact) {
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_open_file(fixture("wasmtime/v14_debug_add.cwasm"), NULL, NULL, &artifact, &error),
                ARTIFACT_NOT_AN_ARTIFACT, "Wasmtime 14.0.4 compiled, which Wasmtime 14.0.4 runs");
    CHECK(artifact == NULL);
}

TEST(cwasm_as_a_module) {
    static const char *const names[] = {"wasmtime/v14_s390x_add.cwasm", "wasmtime/v48_pulley_add.cwasm",
                                        "wasmtime/v48_default_comp.cwasm"};
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    bytes_t files[COUNT(names)];
    for (size_t i = 0; i < COUNT(names); i++) {
        files[i] = read_file(fixture(names[i]));
        CHECK_OK(artifact_builder_add_module(builder, files[i].data, files[i].len, NULL, &error));
    }
    bytes_t saved = serialize(builder);
    artifact_t *artifact = NULL;
    CHECK_OK(artifact_open_bytes(saved.data, saved.len, NULL, NULL, &artifact, &error));
    for (size_t i = 0; i < COUNT(names); i++) {
        artifact_module_t module;
        CHECK_OK(artifact_module(artifact, i, &module, &error));
        CHECK(module.bytes.len == files[i].len && memcmp(module.bytes.data, files[i].data, files[i].len) == 0);
        bytes_free(&files[i]);
    }
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&saved);
}

TEST(cwasm_null) {
    CHECK(artifact_cwasm_kind(NULL) == ARTIFACT_DETECTED_NOTHING);
    CHECK(artifact_cwasm_version(NULL) == NULL && artifact_cwasm_target(NULL) == NULL);
    artifact_cwasm_free(NULL);
    artifact_buffer_t *json = GARBAGE;
    CHECK_FAILS(artifact_cwasm_to_json(NULL, &json, &error), ARTIFACT_INVALID_ARGUMENT, "cwasm");
    CHECK(json == NULL);
    artifact_report_t *report = GARBAGE;
    CHECK_FAILS(artifact_cwasm_report(NULL, NULL, &report, &error), ARTIFACT_INVALID_ARGUMENT, "cwasm");
    CHECK(report == NULL);
    CHECK_FAILS(artifact_cwasm_open_file(NULL, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "cwasm");
}
