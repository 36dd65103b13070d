/* The trailer: integrity and attributes. */
#include "check.h"
#include "image.h"
#include "support.h"

/* Returns a builder of one module. It borrows `elf`. */
static artifact_builder_t *builder_of(bytes_t *elf) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    *elf = make_elf((shape_t){.align = 64});
    CHECK_OK(artifact_builder_add_module(builder, elf->data, elf->len, NULL, &error));
    artifact_engine_free(engine);
    return builder;
}

static bytes_t sealed(void) {
    bytes_t elf;
    artifact_builder_t *builder = builder_of(&elf);
    CHECK_OK(artifact_builder_set_attribute(builder, "source", (const uint8_t *)"abc", 3, &error));
    CHECK_OK(artifact_builder_set_attribute(builder, "empty", NULL, 0, &error));
    bytes_t bytes = serialize(builder);
    artifact_builder_free(builder);
    bytes_free(&elf);
    return bytes;
}

TEST(trailer_is_written_by_default_after_the_same_body) {
    bytes_t elf;
    artifact_builder_t *builder = builder_of(&elf);
    bytes_t with = serialize(builder);
    CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
    bytes_t without = serialize(builder);
    CHECK(with.len > without.len && memcmp(with.data, without.data, without.len) == 0);
    artifact_t *one = open_bytes(&with, NULL), *other = open_bytes(&without, NULL);
    CHECK(artifact_integrity(one) == ARTIFACT_INTEGRITY_DIGESTS);
    CHECK(artifact_integrity(other) == ARTIFACT_INTEGRITY_NONE);
    CHECK(artifact_integrity(NULL) == ARTIFACT_INTEGRITY_NONE);
    size_t count = 77;
    CHECK_OK(artifact_attribute_count(other, &count, &error));
    CHECK(count == 0);
    artifact_free(one), artifact_free(other);
    artifact_builder_free(builder);
    bytes_free(&elf), bytes_free(&with), bytes_free(&without);
}

TEST(trailer_attributes_round_trip) {
    bytes_t bytes = sealed();
    artifact_t *artifact = open_bytes(&bytes, NULL);
    size_t count = 0;
    CHECK_OK(artifact_attribute_count(artifact, &count, &error));
    CHECK(count == 2);
    const char *name = NULL;
    artifact_slice_t value = {0};
    CHECK_OK(artifact_attribute_at(artifact, 0, &name, &value, &error));
    CHECK_STR(name, "empty");
    CHECK(value.len == 0);
    CHECK_OK(artifact_attribute_at(artifact, 1, &name, &value, &error));
    CHECK_STR(name, "source");
    CHECK_OK(artifact_attribute(artifact, "source", &value, &error));
    CHECK(value.len == 3 && memcmp(value.data, "abc", 3) == 0);
    value = (artifact_slice_t){GARBAGE, 9}, name = GARBAGE;
    CHECK_FAILS(artifact_attribute(artifact, "other", &value, &error), ARTIFACT_NOT_FOUND, "other");
    CHECK(value.data == NULL && value.len == 0);
    value = (artifact_slice_t){GARBAGE, 9};
    CHECK_FAILS(artifact_attribute_at(artifact, 2, &name, &value, &error), ARTIFACT_NOT_FOUND, "below 2");
    CHECK(name == NULL && value.data == NULL && value.len == 0);
    artifact_free(artifact);
    bytes_free(&bytes);
}

TEST(trailer_attributes_are_changed_without_touching_the_body) {
    bytes_t bytes = sealed();
    artifact_t *artifact = open_bytes(&bytes, NULL);
    artifact_builder_t *builder = NULL;
    CHECK_OK(artifact_builder_new_from_artifact(artifact, &builder, &error));
    bytes_t same = serialize(builder);
    CHECK(same_bytes(same.data, same.len, bytes.data, bytes.len));
    CHECK_OK(artifact_builder_unset_attribute(builder, "empty", &error));
    CHECK_FAILS(artifact_builder_unset_attribute(builder, "empty", &error), ARTIFACT_NOT_FOUND, "empty");
    CHECK_OK(artifact_builder_set_attribute(builder, "source", (const uint8_t *)"defg", 4, &error));
    bytes_t changed = serialize(builder);
    artifact_t *again = open_bytes(&changed, NULL);
    size_t count = 0;
    artifact_slice_t value;
    CHECK_OK(artifact_attribute_count(again, &count, &error));
    CHECK_OK(artifact_attribute(again, "source", &value, &error));
    CHECK(count == 1 && value.len == 4 && memcmp(value.data, "defg", 4) == 0);
    CHECK_FAILS(artifact_builder_set_trailer(builder, false, &error), ARTIFACT_INVALID_ARGUMENT, "attributes");
    CHECK_OK(artifact_builder_unset_attribute(builder, "source", &error));
    CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
    CHECK_FAILS(artifact_builder_set_attribute(builder, "a", NULL, 0, &error), ARTIFACT_INVALID_ARGUMENT, "trailer");
    artifact_free(artifact), artifact_free(again);
    artifact_builder_free(builder);
    bytes_free(&bytes), bytes_free(&same), bytes_free(&changed);
}

TEST(trailer_refuses_null) {
    bytes_t bytes = sealed(), elf;
    artifact_t *artifact = open_bytes(&bytes, NULL);
    artifact_builder_t *builder = builder_of(&elf);
    size_t count = 77;
    const char *name = GARBAGE;
    artifact_slice_t value = {GARBAGE, 9};
    CHECK_FAILS(artifact_attribute_count(NULL, &count, &error), ARTIFACT_INVALID_ARGUMENT, "artifact");
    CHECK(count == 0);
    CHECK_FAILS(artifact_attribute_count(artifact, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "count");
    CHECK_FAILS(artifact_attribute_at(NULL, 0, &name, &value, &error), ARTIFACT_INVALID_ARGUMENT, "artifact");
    CHECK(name == NULL && value.data == NULL && value.len == 0);
    value = (artifact_slice_t){GARBAGE, 9};
    CHECK_FAILS(artifact_attribute_at(artifact, 0, NULL, &value, &error), ARTIFACT_INVALID_ARGUMENT, "name");
    CHECK(value.data == NULL && value.len == 0);
    CHECK_FAILS(artifact_attribute_at(artifact, 0, &name, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "value");
    CHECK_FAILS(artifact_attribute(artifact, NULL, &value, &error), ARTIFACT_INVALID_ARGUMENT, "name");
    CHECK_FAILS(artifact_attribute(artifact, "source", NULL, &error), ARTIFACT_INVALID_ARGUMENT, "value");
    CHECK_FAILS(artifact_attribute(NULL, "source", &value, &error), ARTIFACT_INVALID_ARGUMENT, "artifact");
    CHECK_FAILS(artifact_attribute(artifact, "\xff", &value, &error), ARTIFACT_INVALID_ARGUMENT, "UTF-8");
    CHECK_FAILS(artifact_builder_set_trailer(NULL, true, &error), ARTIFACT_INVALID_ARGUMENT, "builder");
    CHECK_FAILS(artifact_builder_set_attribute(NULL, "a", NULL, 0, &error), ARTIFACT_INVALID_ARGUMENT, "builder");
    CHECK_FAILS(artifact_builder_set_attribute(builder, NULL, NULL, 0, &error), ARTIFACT_INVALID_ARGUMENT, "name");
    CHECK_FAILS(artifact_builder_set_attribute(builder, "a", NULL, 1, &error), ARTIFACT_INVALID_ARGUMENT, "data");
    CHECK_FAILS(artifact_builder_set_attribute(builder, "\xff", NULL, 0, &error), ARTIFACT_INVALID_ARGUMENT, "UTF-8");
    CHECK_FAILS(artifact_builder_unset_attribute(NULL, "a", &error), ARTIFACT_INVALID_ARGUMENT, "builder");
    CHECK_FAILS(artifact_builder_unset_attribute(builder, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "name");
    artifact_free(artifact);
    artifact_builder_free(builder);
    bytes_free(&bytes), bytes_free(&elf);
}

/* Opening finds some flipped bits, verifying all of them. */
TEST(trailer_finds_every_flipped_bit) {
    bytes_t bytes = sealed();
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_VERIFY;
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t bit = (uint8_t)(1 << i % 8);
        bytes.data[i] ^= bit;
        artifact_t *artifact = GARBAGE;
        artifact_status_t status = artifact_open_bytes(bytes.data, bytes.len, NULL, &options, &artifact, NULL);
        CHECK(status >= ARTIFACT_NOT_AN_ARTIFACT && status <= ARTIFACT_UNSUPPORTED && artifact == NULL);
        bytes.data[i] ^= bit;
    }
    artifact_t *artifact = NULL;
    CHECK_OK(artifact_open_bytes(bytes.data, bytes.len, NULL, &options, &artifact, &error));
    artifact_free(artifact);
    bytes_free(&bytes);
}

TEST(trailer_damage_has_status_and_offset) {
    bytes_t bytes = sealed();
    artifact_t *artifact = NULL;
    bytes.data[bytes.len - 40] ^= 1; /* the footer's checksum */
    CHECK_FAILS(artifact_open_bytes(bytes.data, bytes.len, NULL, NULL, &artifact, &error), ARTIFACT_DIGEST_MISMATCH,
                "footer");
    bytes.data[bytes.len - 40] ^= 1;
    bytes.data[bytes.len - 1] ^= 1; /* its last byte: the start of the trailer is still recognized */
    CHECK_FAILS(artifact_open_bytes(bytes.data, bytes.len, NULL, NULL, &artifact, &error), ARTIFACT_TRUNCATED,
                "footer");
    bytes.data[bytes.len - 1] ^= 1;
    bytes.data[70] ^= 1; /* the module */
    CHECK_OK(artifact_open_bytes(bytes.data, bytes.len, NULL, NULL, &artifact, &error));
    artifact_report_t *report = GARBAGE;
    artifact_error_t *failure = NULL;
    CHECK_STATUS(artifact_verify(artifact, &report, &failure), ARTIFACT_DIGEST_MISMATCH);
    CHECK(report == NULL && artifact_error_offset(failure) == 0);
    CHECK(strstr(artifact_error_message(failure), "module 0"));
    artifact_error_free(failure);
    artifact_free(artifact);
    bytes_free(&bytes);
}
