/* Detection: is a file an artifact, and whose? */
#include "check.h"
#include "image.h"
#include "support.h"

static artifact_detection_t garbage(void) {
    artifact_detection_t detection;
    memset(&detection, 0x5a, sizeof detection);
    return detection;
}

static void check_empty(const artifact_detection_t *detection) {
    static const artifact_detection_t empty;
    CHECK(detection->kind == ARTIFACT_DETECTED_NOTHING && detection->version_len == 0);
    CHECK(memcmp(detection->producer, empty.producer, sizeof empty.producer) == 0);
    CHECK(memcmp(detection->version, empty.version, sizeof empty.version) == 0);
}

TEST(detect_functions_agree) {
    bytes_t body = make_body("my.engine", "v 7");
    write_file(scratch("d.cwasm"), body.data, body.len);
    int fd = open(scratch("d.cwasm"), O_RDONLY);
    CHECK(lseek(fd, 3, SEEK_SET) == 3);
    artifact_detection_t detections[3] = {garbage(), garbage(), garbage()};
    CHECK_OK(artifact_detect_file(scratch("d.cwasm"), &detections[0], &error));
    CHECK_OK(artifact_detect_fd(fd, &detections[1], &error));
    CHECK_OK(artifact_detect_bytes(body.data, body.len, &detections[2], &error));
    CHECK(lseek(fd, 0, SEEK_CUR) == 3);
    for (size_t i = 0; i < 3; i++) {
        CHECK(detections[i].kind == ARTIFACT_DETECTED_ARTIFACT && detections[i].version_len == 3);
        CHECK_STR(detections[i].producer, "my.engine");
        CHECK_STR(detections[i].version, "v 7");
    }
    close(fd);
    bytes_free(&body);
}

TEST(detect_genuine_files) {
    for (size_t i = 0; i < COUNT(genuine); i++) {
        artifact_detection_t detection = garbage();
        CHECK_OK(artifact_detect_file(fixture(genuine[i]), &detection, &error));
        CHECK(detection.kind == ARTIFACT_DETECTED_ARTIFACT);
        CHECK_STR(detection.producer, "wasmtime");
        const char *version = strcmp(genuine[i], "ver_custom.cwasm") == 0 ? "my-embedder-1"
                              : strcmp(genuine[i], "ver_none.cwasm") == 0 ? ""
                                                                          : "0.33.0";
        CHECK_STR(detection.version, version);
        CHECK(detection.version_len == strlen(version));
    }
}

TEST(detect_longest_names) {
    char version[256], producer[33];
    memset(version, 'v', 255), memset(producer, 'p', 32);
    version[255] = producer[32] = 0;
    bytes_t body = make_body(producer, version);
    artifact_detection_t detection = garbage();
    CHECK_OK(artifact_detect_bytes(body.data, body.len, &detection, &error));
    CHECK(detection.version_len == 255);
    CHECK_STR(detection.version, version);
    CHECK_STR(detection.producer, producer);
    bytes_free(&body);
}

TEST(detect_version_other_than_text) {
    bytes_t body = make_body("artifact", "\xff\x1b");
    artifact_detection_t detection = garbage();
    CHECK_OK(artifact_detect_bytes(body.data, body.len, &detection, &error));
    CHECK(detection.version_len == 2 && memcmp(detection.version, "\xff\x1b", 3) == 0);
    bytes_free(&body);
}

/* Detection ignores Metadata: another version's can have any layout. */
TEST(detect_any_layout) {
    bytes_t body = make_front("artifact", "99");
    artifact_detection_t detection = garbage();
    CHECK_OK(artifact_detect_bytes(body.data, body.len, &detection, &error));
    CHECK(detection.kind == ARTIFACT_DETECTED_ARTIFACT);
    CHECK_STR(detection.version, "99");
    bytes_free(&body);
}

TEST(detect_nothing_in_other_files) {
    bytes_t elf = make_elf((shape_t){0}), elf32 = make_elf((shape_t){0}), stripped = make_elf((shape_t){0});
    elf32.data[EI_CLASS] = ELFCLASS32;
    put_uint(stripped.data + offsetof(Elf64_Ehdr, e_shoff), 0, 8, false);
    const bytes_t foreign[] = {
        {(uint8_t *)"", 0, 0},
        {(uint8_t *)"x", 1, 0},
        {(uint8_t *)"#!/bin/sh\n", 10, 0},
        elf,      /* any object file */
        elf32,    /* a 32-bit one */
        stripped, /* one without section headers */
    };
    for (size_t i = 0; i < COUNT(foreign); i++) {
        bytes_t exact = bytes_copy(foreign[i].data, foreign[i].len);
        artifact_detection_t detection = garbage();
        CHECK_OK(artifact_detect_bytes(exact.data, exact.len, &detection, &error));
        check_empty(&detection);
        write_file(scratch("foreign"), exact.data, exact.len);
        detection = garbage();
        CHECK_OK(artifact_detect_file(scratch("foreign"), &detection, &error));
        check_empty(&detection);
        artifact_t *artifact = GARBAGE;
        CHECK_FAILS(artifact_open_file(scratch("foreign"), NULL, NULL, &artifact, &error), ARTIFACT_NOT_AN_ARTIFACT,
                    "");
        CHECK(artifact == NULL);
        bytes_free(&exact);
    }
    bytes_free(&elf), bytes_free(&elf32), bytes_free(&stripped);
}

TEST(detect_damage) {
    bytes_t body = make_body("artifact", "1");
    size_t end = section_at(&body, 0, SECTIONS);
    artifact_detection_t detection = garbage();
    CHECK_FAILS(artifact_detect_bytes(body.data, end + 12, &detection, &error), ARTIFACT_TRUNCATED, "");
    check_empty(&detection);
    put_uint(body.data + end, 3, 8, false);
    detection = garbage();
    CHECK_FAILS(artifact_detect_bytes(body.data, body.len, &detection, &error), ARTIFACT_CORRUPT, "");
    check_empty(&detection);
    bytes_free(&body);
}

TEST(detect_damaged_trailer) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    bytes_t elf = make_elf((shape_t){0});
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    bytes_t bytes = serialize(builder);
    bytes.data[bytes.len - 9] ^= 1; /* the last byte of the footer's digest */
    artifact_detection_t detection = garbage();
    CHECK_FAILS(artifact_detect_bytes(bytes.data, bytes.len, &detection, &error), ARTIFACT_DIGEST_MISMATCH, "");
    check_empty(&detection);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&elf), bytes_free(&bytes);
}

TEST(detect_unreadable_files) {
    artifact_detection_t detection = garbage();
    artifact_error_t *error = GARBAGE;
    CHECK_STATUS(artifact_detect_file(scratch("missing"), &detection, &error), ARTIFACT_IO);
    CHECK(artifact_error_errno(error) == ENOENT);
    check_empty(&detection);
    artifact_error_free(error);
    CHECK(mkfifo(scratch("fifo"), 0600) == 0);
    alarm(20); /* ends the test if opening waits for a writer */
    static const char *const odd[] = {"/tmp", "/dev/null", "/dev/zero"};
    for (size_t i = 0; i <= COUNT(odd); i++) {
        detection = garbage();
        const char *path = i < COUNT(odd) ? odd[i] : scratch("fifo");
        CHECK_FAILS(artifact_detect_file(path, &detection, &error), ARTIFACT_INVALID_ARGUMENT, path);
        check_empty(&detection);
    }
    detection = garbage();
    CHECK_FAILS(artifact_detect_fd(-1, &detection, &error), ARTIFACT_INVALID_ARGUMENT, "fd");
    check_empty(&detection);
}
