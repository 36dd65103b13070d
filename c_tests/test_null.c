/* Passes NULL for every pointer of every function. Calls that can fail name the argument and clear their outputs;
 * getters return nothing. */
#include "check.h"
#include "image.h"
#include "support.h"

/* Expects a call, which mentions `error`, to fail because of `argument`, also if no error is asked for. */
#define REFUSES(argument, call)                                                                                        \
    do {                                                                                                               \
        artifact_error_t *kept = GARBAGE, **error = &kept;                                                             \
        CHECK_STATUS(call, ARTIFACT_INVALID_ARGUMENT);                                                                 \
        check_error(__FILE__, __LINE__, kept, ARTIFACT_INVALID_ARGUMENT, argument);                                    \
        artifact_error_free(kept);                                                                                     \
        error = NULL;                                                                                                  \
        CHECK_STATUS(call, ARTIFACT_INVALID_ARGUMENT);                                                                 \
    } while (0)

/* Also expects `output` to be `empty` afterwards. */
#define EMPTIES(argument, output, garbage, empty, call)                                                                \
    do {                                                                                                               \
        (output) = garbage;                                                                                            \
        REFUSES(argument, call);                                                                                       \
        CHECK((output) == (empty));                                                                                    \
    } while (0)

/* The same for a struct, whose fields must all be zero. */
#define CLEARS(argument, output, last, call)                                                                           \
    do {                                                                                                               \
        memset(&(output), 0x5a, sizeof(output));                                                                       \
        REFUSES(argument, call);                                                                                       \
        CHECK(is_clear(&(output), &(output).last + 1));                                                                \
    } while (0)

static bool is_clear(const void *from, const void *to) {
    for (const uint8_t *byte = from; byte != to; byte++) {
        if (*byte != 0) return false;
    }
    return true;
}

TEST(null_engine_setters) {
    artifact_engine_t *engine = plain_engine();
    REFUSES("engine", artifact_engine_set_target(NULL, HOST_TARGET, error));
    REFUSES("triple", artifact_engine_set_target(engine, NULL, error));
    REFUSES("engine", artifact_engine_set_producer(NULL, "x", error));
    REFUSES("producer", artifact_engine_set_producer(engine, NULL, error));
    REFUSES("engine", artifact_engine_set_version_rule(NULL, ARTIFACT_VERSION_RULE_NONE, NULL, error));
    REFUSES("custom", artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, NULL, error));
    REFUSES("engine", artifact_engine_set_flag_bool(NULL, 0, "x", true, error));
    REFUSES("name", artifact_engine_set_flag_bool(engine, 0, NULL, true, error));
    REFUSES("engine", artifact_engine_set_flag_num(NULL, 0, "x", 1, error));
    REFUSES("name", artifact_engine_set_flag_num(engine, 0, NULL, 1, error));
    REFUSES("engine", artifact_engine_set_flag_enum(NULL, 0, "x", "y", error));
    REFUSES("name", artifact_engine_set_flag_enum(engine, 0, NULL, "y", error));
    REFUSES("value", artifact_engine_set_flag_enum(engine, 0, "x", NULL, error));
    REFUSES("engine", artifact_engine_unset_flag(NULL, 0, "x", error));
    REFUSES("name", artifact_engine_unset_flag(engine, 0, NULL, error));
    REFUSES("engine", artifact_engine_set_tunable(NULL, 0, 0, error));
    REFUSES("engine", artifact_engine_set_feature(NULL, 0, true, error));
    CHECK(artifact_engine_flag_count(engine, 0) == 0);
    artifact_engine_free(engine);
}

TEST(null_engine_getters) {
    artifact_engine_t *engine = plain_engine(), *made = NULL;
    artifact_flag_t flag;
    uint64_t number;
    bool feature;
    artifact_buffer_t *json;
    uint8_t fingerprint[32];
    CHECK(artifact_engine_target(NULL) == NULL && artifact_engine_producer(NULL) == NULL);
    CHECK(artifact_engine_version(NULL) == NULL && artifact_engine_clone(NULL) == NULL);
    CHECK(artifact_engine_version_rule(NULL) == ARTIFACT_VERSION_RULE_LIBRARY);
    CHECK(artifact_engine_flag_count(NULL, 0) == 0 && artifact_engine_flag_count(NULL, 9) == 0);
    CLEARS("engine", flag, text, artifact_engine_flag_at(NULL, 0, 0, &flag, error));
    REFUSES("flag", artifact_engine_flag_at(engine, 0, 0, NULL, error));
    CLEARS("engine", flag, text, artifact_engine_flag(NULL, 0, "x", &flag, error));
    CLEARS("name", flag, text, artifact_engine_flag(engine, 0, NULL, &flag, error));
    REFUSES("flag", artifact_engine_flag(engine, 0, "x", NULL, error));
    EMPTIES("engine", number, 77, 0, artifact_engine_tunable(NULL, 0, &number, error));
    REFUSES("value", artifact_engine_tunable(engine, 0, NULL, error));
    EMPTIES("engine", feature, true, false, artifact_engine_feature(NULL, 0, &feature, error));
    REFUSES("value", artifact_engine_feature(engine, 0, NULL, error));
    memset(fingerprint, 0x5a, sizeof fingerprint);
    REFUSES("engine", artifact_engine_fingerprint(NULL, fingerprint, error));
    CHECK(is_clear(fingerprint, fingerprint + sizeof fingerprint));
    REFUSES("fingerprint", artifact_engine_fingerprint(engine, NULL, error));
    EMPTIES("engine", json, GARBAGE, NULL, artifact_engine_to_json(NULL, &json, error));
    REFUSES("json", artifact_engine_to_json(engine, NULL, error));
    EMPTIES("json", made, GARBAGE, NULL, artifact_engine_from_json(NULL, &made, error));
    REFUSES("engine", artifact_engine_from_json("{}", NULL, error));
    artifact_engine_free(engine);
}

static int write_nothing(void *context, const uint8_t *data, size_t len) {
    (void)context, (void)data, (void)len;
    return 0;
}

TEST(null_builder) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *made, *builder = new_builder(engine);
    bytes_t elf = make_elf((shape_t){0});
    size_t index;
    artifact_buffer_t *buffer;
    artifact_t *artifact = open_path(fixture("addfib.cwasm"), NULL);
    EMPTIES("engine", made, GARBAGE, NULL, artifact_builder_new(NULL, &made, error));
    REFUSES("builder", artifact_builder_new(engine, NULL, error));
    EMPTIES("artifact", made, GARBAGE, NULL, artifact_builder_new_from_artifact(NULL, &made, error));
    REFUSES("builder", artifact_builder_new_from_artifact(artifact, NULL, error));
    EMPTIES("builder", index, 77, 0, artifact_builder_add_module(NULL, elf.data, elf.len, &index, error));
    EMPTIES("elf", index, 77, 0, artifact_builder_add_module(builder, NULL, 100, &index, error));
    EMPTIES("builder", index, 77, 0, artifact_builder_add_module_file(NULL, "/", &index, error));
    EMPTIES("path", index, 77, 0, artifact_builder_add_module_file(builder, NULL, &index, error));
    CHECK(artifact_builder_module_count(NULL) == 0);
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    EMPTIES("builder", buffer, GARBAGE, NULL, artifact_serialize(NULL, &buffer, error));
    REFUSES("buffer", artifact_serialize(builder, NULL, error));
    REFUSES("builder", artifact_serialize_to_file(NULL, scratch("x"), NULL, error));
    REFUSES("path", artifact_serialize_to_file(builder, NULL, NULL, error));
    REFUSES("builder", artifact_serialize_to(NULL, write_nothing, NULL, error));
    REFUSES("write", artifact_serialize_to(builder, NULL, NULL, error));
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&elf);
}

TEST(null_builder_types) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    artifact_entity_t entity = {.kind = ARTIFACT_ENTITY_MEMORY};
    uint32_t index;
    size_t upvar;
    uint8_t type = 0;
    EMPTIES("builder", index, 77, 0, artifact_builder_add_func_type(NULL, NULL, 0, NULL, 0, &index, error));
    EMPTIES("params", index, 77, 0, artifact_builder_add_func_type(builder, NULL, 1, NULL, 0, &index, error));
    EMPTIES("returns", index, 77, 0, artifact_builder_add_func_type(builder, &type, 1, NULL, 1, &index, error));
    EMPTIES("builder", index, 77, 0, artifact_builder_add_instance_type(NULL, &index, error));
    EMPTIES("builder", index, 77, 0, artifact_builder_add_module_type(NULL, 0, &index, error));
    CHECK_OK(artifact_builder_add_instance_type(builder, NULL, &error));
    CHECK_OK(artifact_builder_add_module_type(builder, 0, NULL, &error));
    REFUSES("builder", artifact_builder_add_instance_export(NULL, 0, "x", &entity, error));
    REFUSES("name", artifact_builder_add_instance_export(builder, 0, NULL, &entity, error));
    REFUSES("entity", artifact_builder_add_instance_export(builder, 0, "x", NULL, error));
    REFUSES("builder", artifact_builder_add_module_import(NULL, 0, "x", &entity, error));
    REFUSES("name", artifact_builder_add_module_import(builder, 0, NULL, &entity, error));
    REFUSES("entity", artifact_builder_add_module_import(builder, 0, "x", NULL, error));
    EMPTIES("builder", upvar, 77, 0, artifact_builder_add_upvar(NULL, SIZE_MAX, 0, NULL, 0, &upvar, error));
    EMPTIES("artifact_upvars", upvar, 77, 0, artifact_builder_add_upvar(builder, SIZE_MAX, 0, NULL, 1, &upvar, error));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

TEST(null_open) {
    bytes_t body = make_body("artifact", "1");
    write_file(scratch("n.cwasm"), body.data, body.len);
    const char *path = scratch("n.cwasm");
    int fd = open(path, O_RDONLY);
    artifact_t *artifact;
    artifact_detection_t detection;
    EMPTIES("path", artifact, GARBAGE, NULL, artifact_open_file(NULL, NULL, NULL, &artifact, error));
    REFUSES("artifact", artifact_open_file(path, NULL, NULL, NULL, error));
    REFUSES("artifact", artifact_open_fd(fd, NULL, NULL, NULL, error));
    EMPTIES("data", artifact, GARBAGE, NULL, artifact_open_bytes(NULL, 10, NULL, NULL, &artifact, error));
    REFUSES("artifact", artifact_open_bytes(body.data, body.len, NULL, NULL, NULL, error));
    EMPTIES("data", artifact, GARBAGE, NULL, artifact_open_borrowed(NULL, 10, NULL, NULL, &artifact, error));
    REFUSES("artifact", artifact_open_borrowed(body.data, body.len, NULL, NULL, NULL, error));
    CLEARS("path", detection, version, artifact_detect_file(NULL, &detection, error));
    REFUSES("detection", artifact_detect_file(path, NULL, error));
    REFUSES("detection", artifact_detect_fd(fd, NULL, error));
    CLEARS("data", detection, version, artifact_detect_bytes(NULL, 10, &detection, error));
    REFUSES("detection", artifact_detect_bytes(body.data, body.len, NULL, error));
    close(fd);
    bytes_free(&body);
}

TEST(null_artifact_checks) {
    artifact_engine_t *engine = genuine_engine();
    artifact_t *artifact = open_path(fixture("addfib.cwasm"), engine);
    artifact_report_t *report;
    artifact_report_entry_t entry;
    REFUSES("artifact", artifact_check_compat(NULL, engine, error));
    REFUSES("engine", artifact_check_compat(artifact, NULL, error));
    EMPTIES("artifact", report, GARBAGE, NULL, artifact_compat_report(NULL, engine, &report, error));
    EMPTIES("engine", report, GARBAGE, NULL, artifact_compat_report(artifact, NULL, &report, error));
    EMPTIES("artifact", report, GARBAGE, NULL, artifact_host_report(NULL, &report, error));
    REFUSES("report", artifact_compat_report(artifact, engine, NULL, error));
    EMPTIES("artifact", report, GARBAGE, NULL, artifact_verify(NULL, &report, error));
    REFUSES("report", artifact_verify(artifact, NULL, error));
    memset(&entry, 0x5a, sizeof entry);
    REFUSES("report", artifact_report_at(NULL, 0, &entry, error));
    CHECK(entry.kind == 0 && is_clear(&entry.setting, &entry.sentence + 1));
    CHECK_OK(artifact_compat_report(artifact, engine, &report, &error));
    REFUSES("entry", artifact_report_at(report, 0, NULL, error));
    artifact_report_free(report);
    artifact_free(artifact);
    artifact_engine_free(engine);
}

TEST(null_artifact_settings) {
    artifact_t *artifact = open_path(fixture("ml_types.cwasm"), NULL);
    const char *text;
    size_t count;
    uint64_t number;
    bool feature;
    artifact_flag_t flag;
    artifact_upvar_t upvar;
    CHECK(artifact_producer(NULL) == NULL && artifact_file_len(NULL) == 0);
    artifact_slice_t version = artifact_producer_version(NULL);
    CHECK(version.data == NULL && version.len == 0);
    EMPTIES("artifact", text, GARBAGE, NULL, artifact_target(NULL, &text, error));
    REFUSES("target", artifact_target(artifact, NULL, error));
    EMPTIES("artifact", count, 77, 0, artifact_flag_count(NULL, 0, &count, error));
    REFUSES("count", artifact_flag_count(artifact, 0, NULL, error));
    CLEARS("artifact", flag, text, artifact_flag_at(NULL, 0, 0, &flag, error));
    REFUSES("flag", artifact_flag_at(artifact, 0, 0, NULL, error));
    CLEARS("artifact", flag, text, artifact_flag(NULL, 0, "x", &flag, error));
    CLEARS("name", flag, text, artifact_flag(artifact, 0, NULL, &flag, error));
    REFUSES("flag", artifact_flag(artifact, 0, "opt_level", NULL, error));
    EMPTIES("artifact", number, 77, 0, artifact_tunable(NULL, 0, &number, error));
    REFUSES("value", artifact_tunable(artifact, 0, NULL, error));
    EMPTIES("artifact", feature, true, false, artifact_feature(NULL, 0, &feature, error));
    REFUSES("value", artifact_feature(artifact, 0, NULL, error));
    EMPTIES("artifact", count, 77, 0, artifact_upvar_count(NULL, &count, error));
    REFUSES("count", artifact_upvar_count(artifact, NULL, error));
    memset(&upvar, 0x5a, sizeof upvar);
    REFUSES("artifact", artifact_upvar_at(NULL, 0, &upvar, error));
    CHECK(upvar.artifact_upvars == NULL && upvar.artifact_upvars_len == 0 && upvar.module == 0);
    artifact_free(artifact);
    artifact = open_path(fixture("ml_upvars1.cwasm"), NULL);
    REFUSES("upvar", artifact_upvar_at(artifact, 0, NULL, error));
    artifact_free(artifact);
}

TEST(null_artifact_types) {
    artifact_t *artifact = open_path(fixture("ml_types.cwasm"), NULL);
    size_t funcs, modules, instances, count;
    uint32_t exports = 77;
    const char *name;
    artifact_func_type_t type;
    artifact_entity_t entity;
    funcs = modules = instances = 77;
    REFUSES("artifact", artifact_type_counts(NULL, &funcs, &modules, &instances, error));
    CHECK(funcs == 0 && modules == 0 && instances == 0);
    CHECK_OK(artifact_type_counts(artifact, NULL, NULL, NULL, &error)); /* each may be NULL */
    CLEARS("artifact", type, externref_returns, artifact_func_type(NULL, 0, &type, error));
    REFUSES("type", artifact_func_type(artifact, 0, NULL, error));
    EMPTIES("artifact", count, 77, 0, artifact_module_type(NULL, 0, &count, &exports, error));
    CHECK(exports == 0);
    EMPTIES("imports", exports, 77, 0, artifact_module_type(artifact, 1, NULL, &exports, error));
    EMPTIES("exports", count, 77, 0, artifact_module_type(artifact, 1, &count, NULL, error));
    EMPTIES("artifact", name, GARBAGE, NULL, artifact_module_import(NULL, 1, 0, &name, &entity, error));
    CLEARS("name", entity, is_memory64, artifact_module_import(artifact, 1, 0, NULL, &entity, error));
    EMPTIES("entity", name, GARBAGE, NULL, artifact_module_import(artifact, 1, 0, &name, NULL, error));
    CLEARS("artifact", entity, is_memory64, artifact_module_import(NULL, 1, 0, &name, &entity, error));
    EMPTIES("artifact", count, 77, 0, artifact_instance_type(NULL, 0, &count, error));
    REFUSES("exports", artifact_instance_type(artifact, 0, NULL, error));
    CLEARS("name", entity, is_memory64, artifact_instance_export(artifact, 0, 0, NULL, &entity, error));
    EMPTIES("entity", name, GARBAGE, NULL, artifact_instance_export(artifact, 0, 0, &name, NULL, error));
    EMPTIES("artifact", name, GARBAGE, NULL, artifact_instance_export(NULL, 0, 0, &name, &entity, error));
    CLEARS("artifact", entity, is_memory64, artifact_instance_export(NULL, 0, 0, &name, &entity, error));
    artifact_free(artifact);
}

TEST(null_artifact_modules) {
    artifact_t *artifact = open_path(fixture("addfib.cwasm"), NULL);
    size_t count;
    artifact_module_t module;
    artifact_section_t section;
    artifact_symbol_t symbol;
    CHECK(artifact_module_count(NULL) == 0 && artifact_main_module(NULL) == 0);
    CLEARS("artifact", module, byte_order, artifact_module(NULL, 0, &module, error));
    REFUSES("module", artifact_module(artifact, 0, NULL, error));
    EMPTIES("artifact", count, 77, 0, artifact_section_count(NULL, 0, &count, error));
    REFUSES("count", artifact_section_count(artifact, 0, NULL, error));
    CLEARS("artifact", section, type, artifact_section_at(NULL, 0, 0, &section, error));
    REFUSES("section", artifact_section_at(artifact, 0, 0, NULL, error));
    CLEARS("artifact", section, type, artifact_section(NULL, 0, ".text", &section, error));
    CLEARS("name", section, type, artifact_section(artifact, 0, NULL, &section, error));
    REFUSES("section", artifact_section(artifact, 0, ".text", NULL, error));
    EMPTIES("artifact", count, 77, 0, artifact_symbol_count(NULL, 0, &count, error));
    REFUSES("count", artifact_symbol_count(artifact, 0, NULL, error));
    CLEARS("artifact", symbol, binding, artifact_symbol_at(NULL, 0, 0, &symbol, error));
    REFUSES("symbol", artifact_symbol_at(artifact, 0, 0, NULL, error));
    CLEARS("artifact", symbol, binding, artifact_symbol(NULL, 0, "x", &symbol, error));
    CLEARS("name", symbol, binding, artifact_symbol(artifact, 0, NULL, &symbol, error));
    REFUSES("symbol", artifact_symbol(artifact, 0, "_wasm_function_0", NULL, error));
    artifact_free(artifact);
}

static uint32_t make_nothing(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    (void)context, (void)builder, (void)error;
    return ARTIFACT_OK;
}

static int visit_nothing(void *context, const artifact_cache_entry_t *entry) {
    (void)context, (void)entry;
    return 0;
}

TEST(null_cache_key) {
    artifact_cache_key_t *key = artifact_cache_key_new();
    uint8_t digest[32];
    REFUSES("key", artifact_cache_key_add(NULL, "x", NULL, 0, error));
    REFUSES("name", artifact_cache_key_add(key, NULL, NULL, 0, error));
    REFUSES("data", artifact_cache_key_add(key, "x", NULL, 1, error));
    memset(digest, 0x5a, sizeof digest);
    REFUSES("key", artifact_cache_key_digest(NULL, digest, error));
    CHECK(is_clear(digest, digest + sizeof digest));
    REFUSES("digest", artifact_cache_key_digest(key, NULL, error));
    artifact_cache_key_free(key);
    artifact_cache_key_free(NULL);
}

TEST(null_cache) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    artifact_cache_key_t *key = artifact_cache_key_new();
    artifact_cache_t *cache = NULL, *opened;
    artifact_t *artifact;
    uint32_t outcome;
    uint64_t freed;
    artifact_cache_stats_t stats;
    CHECK_OK(artifact_cache_open(scratch("cache"), engine, NULL, &cache, &error));
    EMPTIES("folder", opened, GARBAGE, NULL, artifact_cache_open(NULL, engine, NULL, &opened, error));
    EMPTIES("engine", opened, GARBAGE, NULL, artifact_cache_open(scratch("cache"), NULL, NULL, &opened, error));
    REFUSES("cache", artifact_cache_open(scratch("cache"), engine, NULL, NULL, error));
    REFUSES("cache", artifact_cache_trouble(NULL, error));
    EMPTIES("cache", artifact, GARBAGE, NULL, artifact_cache_get(NULL, key, &artifact, &outcome, error));
    EMPTIES("key", outcome, 77, 0, artifact_cache_get(cache, NULL, &artifact, &outcome, error));
    EMPTIES("artifact", outcome, 77, 0, artifact_cache_get(cache, key, NULL, &outcome, error));
    EMPTIES("cache", artifact, GARBAGE, NULL, artifact_cache_put(NULL, key, builder, &artifact, &outcome, error));
    EMPTIES("key", outcome, 77, 0, artifact_cache_put(cache, NULL, builder, &artifact, &outcome, error));
    EMPTIES("builder", artifact, GARBAGE, NULL, artifact_cache_put(cache, key, NULL, &artifact, &outcome, error));
    REFUSES("artifact", artifact_cache_put(cache, key, builder, NULL, NULL, error));
    EMPTIES("cache", artifact, GARBAGE, NULL,
            artifact_cache_get_or_make(NULL, key, make_nothing, NULL, &artifact, &outcome, error));
    EMPTIES("key", outcome, 77, 0,
            artifact_cache_get_or_make(cache, NULL, make_nothing, NULL, &artifact, &outcome, error));
    EMPTIES("make", artifact, GARBAGE, NULL,
            artifact_cache_get_or_make(cache, key, NULL, NULL, &artifact, &outcome, error));
    REFUSES("artifact", artifact_cache_get_or_make(cache, key, make_nothing, NULL, NULL, NULL, error));
    REFUSES("cache", artifact_cache_remove(NULL, key, error));
    REFUSES("key", artifact_cache_remove(cache, NULL, error));
    EMPTIES("cache", freed, 77, 0, artifact_cache_trim(NULL, &freed, error));
    REFUSES("cache", artifact_cache_each(NULL, visit_nothing, NULL, error));
    REFUSES("entry", artifact_cache_each(cache, NULL, NULL, error));
    CLEARS("cache", stats, bytes, artifact_cache_stats(NULL, &stats, error));
    REFUSES("stats", artifact_cache_stats(cache, NULL, error));
    REFUSES("cache", artifact_cache_export(NULL, scratch("pack"), error));
    REFUSES("path", artifact_cache_export(cache, NULL, error));
    CHECK(artifact_cache_count(NULL, ARTIFACT_CACHE_HIT) == 0);
    artifact_cache_free(cache);
    artifact_cache_free(NULL);
    artifact_cache_key_free(key);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}
