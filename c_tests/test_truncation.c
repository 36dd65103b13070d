/* Three artifacts, truncated at every byte, and with every bit of their Metadata flipped. */
#include "check.h"
#include "image.h"
#include "support.h"

/* Returns the end of the first module. A file that is truncated before it is not an artifact. */
static size_t first_end(const bytes_t *bytes) {
    uint64_t headers = get_u64(bytes->data + offsetof(Elf64_Ehdr, e_shoff));
    return (size_t)headers + (size_t)(bytes->data[offsetof(Elf64_Ehdr, e_shnum)] * sizeof(Elf64_Shdr));
}

/* `bytes` is a complete body, so a reader needs every byte of it. */
static void cut_everywhere(const bytes_t *bytes, const artifact_engine_t *engine) {
    size_t end = first_end(bytes);
    uint8_t *page =
        malloc(bytes->len); /* filled from the end, so that a read past the cut is a read past the allocation */
    CHECK(page);
    for (size_t len = 0; len < bytes->len; len++) {
        uint8_t *exact = realloc(page, len ? len : 1);
        CHECK(exact);
        page = exact;
        memcpy(page, bytes->data, len);
        for (int with = 0; with < 2; with++) {
            artifact_t *artifact = GARBAGE;
            artifact_error_t *error = NULL;
            artifact_status_t status = artifact_open_borrowed(page, len, with ? engine : NULL, NULL, &artifact, &error);
            bool in_first = len < end;
            if (len == end || len < SELFMAG) {
                CHECK_STATUS(status, ARTIFACT_NOT_AN_ARTIFACT);
            } else if (in_first) {
                CHECK(status == ARTIFACT_NOT_AN_ARTIFACT || status == ARTIFACT_TRUNCATED);
            } else {
                CHECK_STATUS(status, ARTIFACT_TRUNCATED);
            }
            CHECK(artifact == NULL && *artifact_error_message(error));
            artifact_error_free(error);
        }
    }
    free(page);
    artifact_t *artifact = open_bytes(bytes, engine); /* the complete one opens */
    artifact_free(artifact);
}

static bytes_t our_own(const artifact_engine_t *engine) {
    static const uint8_t types[] = {ARTIFACT_WASM_I32, ARTIFACT_WASM_V128};
    static const artifact_entity_t entity = {
        .kind = ARTIFACT_ENTITY_MEMORY, .minimum = 1, .maximum = 9, .has_maximum = true};
    bytes_t one = make_elf((shape_t){.align = 64}), two = make_elf((shape_t){0});
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_module(builder, one.data, one.len, NULL, &error));
    CHECK_OK(artifact_builder_add_module(builder, two.data, two.len, NULL, &error));
    CHECK_OK(artifact_builder_add_func_type(builder, types, 2, types, 1, NULL, &error));
    CHECK_OK(artifact_builder_add_instance_type(builder, NULL, &error));
    CHECK_OK(artifact_builder_add_module_type(builder, 0, NULL, &error));
    CHECK_OK(artifact_builder_add_module_import(builder, 0, "name", &entity, &error));
    CHECK_OK(artifact_builder_add_upvar(builder, SIZE_MAX, 0, NULL, 0, NULL, &error));
    CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
    bytes_t body = serialize(builder);
    artifact_builder_free(builder);
    bytes_free(&one), bytes_free(&two);
    return body;
}

TEST(truncation_of_a_genuine_file) {
    artifact_engine_t *engine = genuine_engine();
    bytes_t file = read_file(fixture("empty.cwasm"));
    cut_everywhere(&file, engine);
    artifact_engine_free(engine);
    bytes_free(&file);
}

TEST(truncation_of_a_genuine_file_with_several_modules) {
    artifact_engine_t *engine = genuine_engine();
    bytes_t file = read_file(fixture("ml_types.cwasm"));
    cut_everywhere(&file, engine);
    artifact_engine_free(engine);
    bytes_free(&file);
}

TEST(truncation_of_a_file_of_the_library) {
    artifact_engine_t *engine = plain_engine();
    bytes_t body = our_own(engine);
    cut_everywhere(&body, engine);
    artifact_engine_free(engine);
    bytes_free(&body);
}

/* Truncates a file that is read, also for detection. */
TEST(truncation_of_files) {
    artifact_engine_t *engine = plain_engine();
    bytes_t body = our_own(engine);
    size_t end = first_end(&body);
    write_file(scratch("cut"), body.data, body.len);
    for (size_t len = body.len; len-- > 0;) {
        CHECK(truncate(scratch("cut"), (off_t)len) == 0);
        artifact_t *artifact = GARBAGE;
        artifact_status_t status = artifact_open_file(scratch("cut"), engine, NULL, &artifact, NULL);
        CHECK(status == (len > end ? ARTIFACT_TRUNCATED : status) && artifact == NULL);
        CHECK(status == ARTIFACT_TRUNCATED || status == ARTIFACT_NOT_AN_ARTIFACT);
        artifact_detection_t detection;
        status = artifact_detect_file(scratch("cut"), &detection, NULL);
        if (len <= end) CHECK(status == ARTIFACT_TRUNCATED || (status == ARTIFACT_OK && detection.kind == 0));
        CHECK(status == ARTIFACT_OK || status == ARTIFACT_TRUNCATED);
    }
    artifact_engine_free(engine);
    bytes_free(&body);
}

/* ---- flipped bits ---- */

static uint64_t sink;

/* Reads everything. Any result is fine, but nothing may crash. */
static void read_everything(const artifact_t *artifact) {
    size_t count = 0, inner = 0, funcs = 0, modules = 0, instances = 0;
    const char *text;
    uint32_t index;
    artifact_entity_t entity;
    artifact_report_t *report = NULL;
    if (artifact_target(artifact, &text, NULL) == ARTIFACT_OK) sink += strlen(text);
    for (uint32_t map = 0; map < 2; map++) {
        if (artifact_flag_count(artifact, map, &count, NULL) != ARTIFACT_OK) continue;
        for (size_t i = 0; i < count; i++) {
            artifact_flag_t flag;
            if (artifact_flag_at(artifact, map, i, &flag, NULL) == ARTIFACT_OK) sink += strlen(flag.name);
        }
    }
    artifact_upvar_count(artifact, &count, NULL);
    for (size_t i = 0; i < count; i++) {
        artifact_upvar_t upvar;
        if (artifact_upvar_at(artifact, i, &upvar, NULL) == ARTIFACT_OK) sink += upvar.module;
    }
    artifact_type_counts(artifact, &funcs, &modules, &instances, NULL);
    for (size_t i = 0; i < funcs; i++) {
        artifact_func_type_t type;
        if (artifact_func_type(artifact, i, &type, NULL) == ARTIFACT_OK) sink += type.params_len;
    }
    for (size_t i = 0; i < modules; i++) {
        artifact_module_type(artifact, i, &inner, &index, NULL);
        for (size_t j = 0; j < inner; j++) artifact_module_import(artifact, i, j, &text, &entity, NULL);
    }
    for (size_t i = 0; i < instances; i++) {
        artifact_instance_type(artifact, i, &inner, NULL);
        for (size_t j = 0; j < inner; j++) artifact_instance_export(artifact, i, j, &text, &entity, NULL);
    }
    for (size_t i = 0; i < artifact_module_count(artifact); i++) {
        artifact_module_t module;
        artifact_section_t section;
        artifact_symbol_t symbol;
        if (artifact_module(artifact, i, &module, NULL) != ARTIFACT_OK) continue;
        for (size_t j = 0; j < module.bytes.len; j += 64) sink += module.bytes.data[j];
        artifact_section_count(artifact, i, &count, NULL);
        for (size_t j = 0; j < count; j++) artifact_section_at(artifact, i, j, &section, NULL);
        artifact_symbol_count(artifact, i, &count, NULL);
        for (size_t j = 0; j < count; j++) artifact_symbol_at(artifact, i, j, &symbol, NULL);
    }
    if (artifact_verify(artifact, &report, NULL) == ARTIFACT_OK) sink += artifact_report_count(report);
    artifact_report_free(report);
}

static void flip(bytes_t *bytes, size_t from, size_t to, const artifact_engine_t *engine) {
    size_t opened = 0, refused = 0;
    for (size_t i = from; i < to; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes->data[i] ^= (uint8_t)(1 << bit);
            for (int with = 0; with < 2; with++) {
                artifact_t *artifact = GARBAGE;
                artifact_error_t *error = NULL;
                artifact_status_t status =
                    artifact_open_borrowed(bytes->data, bytes->len, with ? engine : NULL, NULL, &artifact, &error);
                CHECK(status != ARTIFACT_INTERNAL && status != ARTIFACT_NO_MEMORY && status != ARTIFACT_IO);
                CHECK(status != ARTIFACT_INVALID_ARGUMENT);
                CHECK((status == ARTIFACT_OK) == (artifact != NULL));
                if (artifact) {
                    if (!with) read_everything(artifact);
                    CHECK(artifact_check_compat(artifact, engine, NULL) != ARTIFACT_INTERNAL);
                    opened++;
                } else {
                    refused++;
                }
                artifact_error_free(error);
                artifact_free(artifact);
            }
            bytes->data[i] ^= (uint8_t)(1 << bit);
        }
    }
    CHECK(opened > 0 && refused > 0);
}

TEST(flips_in_a_file_of_the_library) {
    artifact_engine_t *engine = plain_engine();
    bytes_t body = our_own(engine);
    flip(&body, 0, body.len, engine);
    artifact_engine_free(engine);
    bytes_free(&body);
}

TEST(flips_in_the_metadata_of_a_genuine_file) {
    artifact_engine_t *engine = genuine_engine();
    bytes_t file = read_file(fixture("ml_types.cwasm"));
    flip(&file, 14104 - 8, file.len, engine);
    artifact_engine_free(engine);
    bytes_free(&file);
}
