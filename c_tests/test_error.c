/* The error object: its contents, its ownership, and that callers may pass NULL for it. */
#include "check.h"
#include "image.h"
#include "support.h"

TEST(error_null_means_no_error) {
    CHECK_STATUS(artifact_error_status(NULL), ARTIFACT_OK);
    CHECK_STR(artifact_error_message(NULL), "");
    CHECK(artifact_error_offset(NULL) == UINT64_MAX);
    CHECK(artifact_error_errno(NULL) == 0);
    CHECK(artifact_error_missing_count(NULL) == 0);
    CHECK(artifact_error_missing(NULL, 0) == NULL);
    CHECK(artifact_error_missing(NULL, SIZE_MAX) == NULL);
    artifact_error_free(NULL);
}

TEST(error_of_the_operating_system_has_errno_and_path) {
    artifact_t *artifact = GARBAGE;
    artifact_error_t *error = GARBAGE;
    CHECK_STATUS(artifact_open_file("/nonexistent/file.cwasm", NULL, NULL, &artifact, &error), ARTIFACT_IO);
    CHECK(artifact == NULL);
    check_error(__FILE__, __LINE__, error, ARTIFACT_IO, "/nonexistent/file.cwasm|o such file");
    CHECK(artifact_error_errno(error) == ENOENT);
    CHECK(artifact_error_offset(error) == UINT64_MAX);
    CHECK(artifact_error_missing_count(error) == 0);
    CHECK(artifact_error_missing(error, 0) == NULL);
    artifact_error_free(error);
}

TEST(error_of_a_file_has_the_offset) {
    bytes_t body = make_body("artifact", "1");
    size_t link = section_at(&body, 0, SECTIONS);
    put_uint(body.data + link, UINT64_C(1) << 40, 8, false);
    artifact_t *artifact = GARBAGE;
    artifact_error_t *error = GARBAGE;
    artifact_open_bytes(body.data, body.len, NULL, NULL, &artifact, &error);
    CHECK(artifact == NULL);
    CHECK(artifact_error_offset(error) == link);
    CHECK(artifact_error_errno(error) == 0);
    check_words(__FILE__, __LINE__, artifact_error_message(error), "1099511627776");
    artifact_error_free(error);
    bytes_free(&body);
}

/* For an artifact inside a larger file, the offset counts from the beginning of that file, for whoever inspects it. */
TEST(error_offset_counts_from_the_start_of_the_file) {
    bytes_t body = make_body("artifact", "1"), file = {0};
    size_t link = section_at(&body, 0, SECTIONS);
    put_uint(body.data + link, 1, 8, false);
    bytes_grow(&file, 1000);
    bytes_add(&file, body.data, body.len);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.offset = 1000;
    artifact_t *artifact = GARBAGE;
    artifact_error_t *error = GARBAGE;
    CHECK_STATUS(artifact_open_bytes(file.data, file.len, NULL, &options, &artifact, &error), ARTIFACT_CORRUPT);
    CHECK(artifact_error_offset(error) == 1000 + link);
    artifact_error_free(error);
    bytes_free(&body);
    bytes_free(&file);
}

TEST(error_is_reset_by_success) {
    artifact_error_t *error = GARBAGE;
    artifact_engine_t *engine = artifact_engine_new();
    CHECK_STATUS(artifact_engine_set_feature(engine, ARTIFACT_FEATURE_SIMD, true, &error), ARTIFACT_OK);
    CHECK(error == NULL);
    artifact_engine_free(engine);
}

/* Errors are independent: the library keeps none per thread or globally. */
TEST(error_does_not_change_when_another_call_fails) {
    artifact_engine_t *engine = artifact_engine_new();
    artifact_error_t *first = NULL, *second = NULL;
    CHECK_STATUS(artifact_engine_set_producer(engine, "Ä", &first), ARTIFACT_INVALID_ARGUMENT);
    const char *message = artifact_error_message(first);
    char before[500];
    snprintf(before, sizeof before, "%s", message);
    CHECK_STATUS(artifact_engine_unset_flag(engine, ARTIFACT_FLAGS_ISA, "nothing", &second), ARTIFACT_NOT_FOUND);
    CHECK(first != second);
    CHECK(artifact_error_message(first) == message);
    CHECK_STR(message, before);
    CHECK_STATUS(artifact_error_status(first), ARTIFACT_INVALID_ARGUMENT);
    CHECK_STATUS(artifact_error_status(second), ARTIFACT_NOT_FOUND);
    artifact_error_free(first);
    CHECK(strcmp(artifact_error_message(second), before) != 0);
    artifact_error_free(second);
    artifact_engine_free(engine);
}

/* A message has no raw bytes of a file, since it may end up on a terminal or in a log. */
TEST(error_message_escapes_bytes_of_a_file) {
    bytes_t body = make_body("artifact", "\x1b[31m\xff\n");
    artifact_engine_t *engine = plain_engine();
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_open_bytes(body.data, body.len, engine, NULL, &artifact, &error), ARTIFACT_WRONG_VERSION,
                "[31m");
    artifact_engine_free(engine);
    bytes_free(&body);
}

TEST(error_argument_may_be_null) {
    artifact_t *artifact = GARBAGE;
    CHECK_STATUS(artifact_open_bytes((const uint8_t *)"junk", 4, NULL, NULL, &artifact, NULL),
                 ARTIFACT_NOT_AN_ARTIFACT);
    CHECK(artifact == NULL);
    CHECK_STATUS(artifact_open_file("/nonexistent", NULL, NULL, &artifact, NULL), ARTIFACT_IO);
}
