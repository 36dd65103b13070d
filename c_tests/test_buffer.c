/* Buffers: bytes that the caller owns. */
#include "check.h"
#include "image.h"
#include "support.h"

TEST(buffer_null) {
    CHECK(artifact_buffer_data(NULL) == NULL);
    CHECK(artifact_buffer_len(NULL) == 0);
    artifact_buffer_free(NULL);
}

/* JSON in a buffer can be used as a C string. */
TEST(buffer_of_text_is_nul_terminated) {
    artifact_engine_t *engine = plain_engine();
    artifact_buffer_t *json = GARBAGE;
    CHECK_OK(artifact_engine_to_json(engine, &json, &error));
    CHECK(artifact_buffer_len(json) == strlen((const char *)artifact_buffer_data(json)));
    CHECK(artifact_buffer_len(json) > 100);
    artifact_buffer_free(json);
    artifact_engine_free(engine);
}

TEST(buffer_of_an_artifact_is_nul_terminated) {
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

TEST(buffer_outlives_everything_else) {
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
