/* Options structs of every size, flags, an artifact inside a larger file, the memory limit. */
#include "check.h"
#include "image.h"
#include "support.h"

typedef struct larger_t {
    artifact_open_options_t known;
    uint64_t tail[4];
} larger_t;

static artifact_status_t open_with(const bytes_t *bytes, const artifact_open_options_t *options,
                                   artifact_t **artifact) {
    *artifact = GARBAGE;
    artifact_error_t *error = GARBAGE;
    artifact_status_t status = artifact_open_bytes(bytes->data, bytes->len, NULL, options, artifact, &error);
    CHECK((status == ARTIFACT_OK) == (error == NULL) && (status == ARTIFACT_OK) == (*artifact != NULL));
    if (status != ARTIFACT_OK) check_error(__FILE__, __LINE__, error, status, "");
    artifact_error_free(error);
    artifact_free(*artifact);
    return status;
}

TEST(options_of_every_size) {
    bytes_t body = make_body("artifact", "1");
    artifact_t *artifact;
    larger_t larger = {.known = ARTIFACT_OPEN_OPTIONS_INIT};
    larger.known.size = sizeof larger;
    CHECK_STATUS(open_with(&body, &larger.known, &artifact), ARTIFACT_OK);
    uint8_t *tail = (uint8_t *)larger.tail;
    for (size_t i = 0; i < sizeof larger.tail; i++) {
        tail[i] = 1;
        CHECK_STATUS(open_with(&body, &larger.known, &artifact), ARTIFACT_UNSUPPORTED);
        tail[i] = 0;
    }
    /* A caller whose header ended at `flags`: what follows is not part of its struct and must be ignored. */
    larger.known = (artifact_open_options_t){offsetof(artifact_open_options_t, offset), 0, 1, 2, 3, NULL, 0, 0, 0};
    CHECK_STATUS(open_with(&body, &larger.known, &artifact), ARTIFACT_OK);
    larger.known.size = offsetof(artifact_open_options_t, length);
    CHECK(open_with(&body, &larger.known, &artifact) != ARTIFACT_OK); /* now offset 1 is part of it */
    bytes_free(&body);
}

/* Sizes that no header had, such as 0 or one that ends within a field. No read beyond, no crash. */
TEST(options_of_odd_sizes) {
    bytes_t body = make_body("artifact", "1");
    for (size_t size = 0; size <= sizeof(artifact_open_options_t); size++) {
        size_t room = size < sizeof(size_t) ? sizeof(size_t) : size;
        uint8_t *memory = calloc(1, room); /* exactly the given size, so that valgrind and ASan see a read beyond */
        CHECK(memory);
        memcpy(memory, &size, sizeof size);
        artifact_t *artifact = GARBAGE;
        artifact_error_t *error = GARBAGE;
        artifact_status_t status = artifact_open_bytes(body.data, body.len, NULL, (void *)memory, &artifact, &error);
        CHECK(status == ARTIFACT_OK || status == ARTIFACT_INVALID_ARGUMENT);
        CHECK((artifact != NULL) == (status == ARTIFACT_OK));
        artifact_error_free(error);
        artifact_free(artifact);
        free(memory);
    }
    bytes_free(&body);
}

TEST(options_with_unknown_flags_are_refused) {
    bytes_t body = make_body("artifact", "1");
    artifact_t *artifact;
    for (int bit = 0; bit < 64; bit++) {
        artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
        options.flags = UINT64_C(1) << bit;
        const bool best = options.flags == ARTIFACT_OPEN_REQUIRE_BEST; /* known, but needs an engine */
        const artifact_status_t expected = best      ? ARTIFACT_INVALID_ARGUMENT
                                           : bit < 4 ? ARTIFACT_OK
                                                     : ARTIFACT_UNSUPPORTED;
        CHECK_STATUS(open_with(&body, &options, &artifact), expected);
    }
    bytes_free(&body);
}

/* ---- an artifact inside a larger file ---- */

enum { LEAD = 4096 + 100, TAIL = 333 };

static bytes_t wrap(const bytes_t *body) {
    bytes_t file = {0};
    memset(bytes_grow(&file, LEAD), 0x7f, LEAD);
    bytes_add(&file, body->data, body->len);
    memset(bytes_grow(&file, TAIL), 0xee, TAIL);
    return file;
}

TEST(options_offset_and_length) {
    bytes_t elf = make_elf((shape_t){.align = 4096}), body = make_body("artifact", "1"), multi = {0};
    add_linked(&multi, &elf, 1);
    add_linked(&multi, &elf, 4096);
    add_header(&multi, "artifact", "1");
    add_settings(&multi, HOST_TARGET);
    add_no_types(&multi);
    bytes_t file = wrap(&multi);
    write_file(scratch("wrapped"), file.data, file.len);
    int fd = open(scratch("wrapped"), O_RDONLY);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.offset = LEAD, options.length = multi.len, options.flags = ARTIFACT_OPEN_VERIFY;
    artifact_t *ways[4];
    CHECK_OK(artifact_open_file(scratch("wrapped"), NULL, &options, &ways[0], &error));
    CHECK_OK(artifact_open_fd(fd, NULL, &options, &ways[1], &error));
    CHECK_OK(artifact_open_bytes(file.data, file.len, NULL, &options, &ways[2], &error));
    CHECK_OK(artifact_open_borrowed(file.data, file.len, NULL, &options, &ways[3], &error));
    for (size_t i = 0; i < 4; i++) {
        artifact_module_t module;
        CHECK(artifact_file_len(ways[i]) == multi.len);
        CHECK(artifact_module_count(ways[i]) == 2);
        CHECK_OK(artifact_module(ways[i], 1, &module, &error));
        CHECK(module.offset == 8192); /* relative to the artifact, as links are */
        CHECK(same_bytes(module.bytes.data, module.bytes.len, elf.data, elf.len));
        artifact_report_t *report = GARBAGE;
        CHECK_OK(artifact_verify(ways[i], &report, &error));
        CHECK(artifact_report_count(report) == 0);
        artifact_report_free(report);
        artifact_free(ways[i]);
    }
    close(fd);
    bytes_free(&elf), bytes_free(&body), bytes_free(&multi), bytes_free(&file);
}

TEST(options_length_0_means_to_the_end) {
    bytes_t body = make_body("artifact", "1"), file = wrap(&body);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.offset = LEAD;
    artifact_t *artifact = GARBAGE;
    CHECK_OK(artifact_open_bytes(file.data, file.len, NULL, &options, &artifact, &error));
    CHECK(artifact_file_len(artifact) == body.len + TAIL);
    artifact_free(artifact);
    bytes_free(&body), bytes_free(&file);
}

TEST(options_length_truncates) {
    bytes_t body = make_body("artifact", "1"), file = wrap(&body);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    artifact_t *artifact;
    options.offset = LEAD, options.length = body.len - 1;
    CHECK_STATUS(open_with(&file, &options, &artifact), ARTIFACT_TRUNCATED);
    options.length = 1;
    CHECK_STATUS(open_with(&file, &options, &artifact), ARTIFACT_NOT_AN_ARTIFACT);
    bytes_free(&body), bytes_free(&file);
}

TEST(options_offsets_beyond_the_end) {
    bytes_t body = make_body("artifact", "1");
    write_file(scratch("small"), body.data, body.len);
    const struct {
        uint64_t offset, length;
    } bad[] = {
        {body.len + 1, 0}, {UINT64_MAX, 0},          {0, body.len + 1},    {0, UINT64_MAX},          {1, body.len},
        {1, UINT64_MAX},   {UINT64_MAX, UINT64_MAX}, {UINT64_MAX - 4, 10}, {UINT64_C(1) << 63, 100},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
        options.offset = bad[i].offset, options.length = bad[i].length;
        artifact_t *artifact = GARBAGE;
        CHECK_STATUS(open_with(&body, &options, &artifact), ARTIFACT_INVALID_ARGUMENT);
        CHECK_FAILS(artifact_open_file(scratch("small"), NULL, &options, &artifact, &error), ARTIFACT_INVALID_ARGUMENT,
                    "");
        CHECK(artifact == NULL);
    }
    bytes_free(&body);
}

TEST(options_memory_limit) {
    bytes_t body = make_body("artifact", "1");
    artifact_t *artifact;
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.memory_limit = 16;
    CHECK_STATUS(open_with(&body, &options, &artifact), ARTIFACT_LIMIT);
    options.memory_limit = body.len;
    CHECK_STATUS(open_with(&body, &options, &artifact), ARTIFACT_OK);
    options.memory_limit = UINT64_MAX;
    CHECK_STATUS(open_with(&body, &options, &artifact), ARTIFACT_OK);
    bytes_free(&body);
}

/* ---- ARTIFACT_OPEN_VERIFY ---- */

TEST(options_verify_finds_damage_when_opening) {
    bytes_t body = make_body("artifact", "1");
    put_uint(body.data + section_at(&body, 0, TEXT) + offsetof(Elf64_Shdr, sh_offset), UINT64_C(1) << 40, 8, false);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_VERIFY;
    artifact_t *artifact;
    CHECK_STATUS(open_with(&body, &options, &artifact), ARTIFACT_CORRUPT);
    bytes_free(&body);
}

TEST(options_verify_accepts_warnings) {
    bytes_t body = make_body("artifact", "1");
    bytes_add(&body, "trailing", 8);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_VERIFY;
    artifact_t *artifact;
    CHECK_STATUS(open_with(&body, &options, &artifact), ARTIFACT_OK);
    bytes_free(&body);
}
