/* Owned bytes. */
#include "check.h"
#include "image.h"
#include "support.h"

TEST(buffer_null) {
    CHECK(artifact_buffer_data(NULL) == NULL);
    CHECK(artifact_buffer_len(NULL) == 0);
    artifact_buffer_free(NULL);
}

/* So that JSON in a buffer is a C string as it is. */
TEST(buffer_of_text_ends_in_a_nul_that_is_not_counted) {
    artifact_engine_t *engine = plain_engine();
    artifact_buffer_t *json = GARBAGE;
    CHECK_OK(artifact_engine_to_json(engine, &json, &error));
    CHECK(artifact_buffer_len(json) == strlen((const char *)artifact_buffer_data(json)));
    CHECK(artifact_buffer_len(json) > 100);
    artifact_buffer_free(json);
    artifact_engine_free(engine);
}

TEST(buffer_of_an_artifact_ends_in_a_nul_too) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    bytes_t elf = make_elf((shape_t){0});
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    artifact_buffer_t *buffer = GARBAGE;
    CHECK_OK(artifact_serialize(builder, &buffer, &error));
    CHECK(artifact_buffer_len(buffer) > elf.len);
    CHECK(artifact_buffer_data(buffer)[artifact_buffer_len(buffer)] == 0);
    artifact_buffer_free(buffer);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&elf);
}

TEST(buffer_keeps_its_bytes_when_everything_else_is_gone) {
    artifact_engine_t *engine = plain_engine();
    artifact_buffer_t *first = GARBAGE, *second = GARBAGE;
    CHECK_OK(artifact_engine_to_json(engine, &first, &error));
    CHECK_OK(artifact_engine_to_json(engine, &second, &error));
    artifact_engine_free(engine);
    CHECK(artifact_buffer_data(first) != artifact_buffer_data(second));
    CHECK_STR((const char *)artifact_buffer_data(first), (const char *)artifact_buffer_data(second));
    artifact_buffer_free(first);
    CHECK(strstr((const char *)artifact_buffer_data(second), HOST_TARGET));
    artifact_buffer_free(second);
}
