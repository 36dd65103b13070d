/* Opening: the four functions, and everything that is not a regular file. */
#include "check.h"
#include "image.h"
#include "support.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ---- the four functions ---- */

static void check_is_the_body(const artifact_t *artifact, const bytes_t *body) {
    CHECK(artifact_file_len(artifact) == body->len);
    CHECK(artifact_module_count(artifact) == 1);
    CHECK_STR(artifact_producer(artifact), "artifact");
    artifact_module_t module;
    CHECK_OK(artifact_module(artifact, 0, &module, &error));
    CHECK(module.offset == 0 && same_bytes(module.bytes.data, module.bytes.len, body->data, module.bytes.len));
}

TEST(open_functions_agree) {
    bytes_t body = make_body("artifact", "1");
    artifact_engine_t *engine = plain_engine();
    artifact_t *artifacts[4];
    write_file(scratch("whole.cwasm"), body.data, body.len);
    int fd = open(scratch("whole.cwasm"), O_RDONLY);
    CHECK(fd >= 0);
    CHECK_OK(artifact_open_file(scratch("whole.cwasm"), engine, NULL, &artifacts[0], &error));
    CHECK_OK(artifact_open_fd(fd, engine, NULL, &artifacts[1], &error));
    CHECK_OK(artifact_open_bytes(body.data, body.len, engine, NULL, &artifacts[2], &error));
    CHECK_OK(artifact_open_borrowed(body.data, body.len, engine, NULL, &artifacts[3], &error));
    for (size_t i = 0; i < 4; i++) {
        check_is_the_body(artifacts[i], &body);
        artifact_free(artifacts[i]);
    }
    close(fd);
    artifact_engine_free(engine);
    bytes_free(&body);
}

TEST(open_bytes_copies_and_open_borrowed_does_not) {
    bytes_t body = make_body("artifact", "1"), original = bytes_copy(body.data, body.len);
    artifact_t *copied = open_bytes(&body, NULL), *borrowed = GARBAGE;
    CHECK_OK(artifact_open_borrowed(body.data, body.len, NULL, NULL, &borrowed, &error));
    artifact_module_t module;
    CHECK_OK(artifact_module(borrowed, 0, &module, &error));
    CHECK(module.bytes.data == body.data);
    artifact_free(borrowed);
    memset(body.data, 0xaa, body.len);
    bytes_free(&body);
    check_is_the_body(copied, &original);
    artifact_free(copied);
    bytes_free(&original);
}

TEST(open_borrowed_bytes_of_any_alignment) {
    bytes_t body = make_body("artifact", "1");
    uint8_t *room = malloc(body.len + 16);
    CHECK(room);
    for (size_t shift = 0; shift < 16; shift++) {
        memcpy(room + shift, body.data, body.len);
        artifact_t *artifact = GARBAGE;
        artifact_section_t section;
        artifact_symbol_t symbol;
        CHECK_OK(artifact_open_borrowed(room + shift, body.len, NULL, NULL, &artifact, &error));
        check_is_the_body(artifact, &body);
        CHECK_OK(artifact_section(artifact, 0, ".data", &section, &error));
        CHECK(memcmp(section.bytes.data, "datadata", DATA_LEN) == 0);
        CHECK_OK(artifact_symbol(artifact, 0, "answer", &symbol, &error));
        CHECK(symbol.value == ANSWER_AT);
        artifact_free(artifact);
    }
    free(room);
    bytes_free(&body);
}

TEST(open_fd_leaves_the_descriptor_alone) {
    bytes_t body = make_body("artifact", "1");
    write_file(scratch("fd.cwasm"), body.data, body.len);
    int fd = open(scratch("fd.cwasm"), O_RDONLY);
    CHECK(fd >= 0 && lseek(fd, 5, SEEK_SET) == 5);
    artifact_t *artifact = GARBAGE, *second = GARBAGE;
    CHECK_OK(artifact_open_fd(fd, NULL, NULL, &artifact, &error));
    CHECK(lseek(fd, 0, SEEK_CUR) == 5);
    check_is_the_body(artifact, &body);
    CHECK(lseek(fd, 0, SEEK_CUR) == 5);
    artifact_free(artifact);
    uint8_t byte = 0;
    CHECK(read(fd, &byte, 1) == 1 && byte == body.data[5]); /* still open, at its old position */
    CHECK_OK(artifact_open_fd(fd, NULL, NULL, &second, &error));
    CHECK(close(fd) == 0);
    CHECK(unlink(scratch("fd.cwasm")) == 0);
    check_is_the_body(second, &body); /* opening duplicated the descriptor */
    artifact_free(second);
    bytes_free(&body);
}

/* A memfd has no name; processes pass such files to one another. */
TEST(open_fd_of_memory) {
    int fd = memfd_create("artifact", MFD_CLOEXEC);
    if (fd < 0) SKIP("memfd_create is not available");
    bytes_t body = make_body("artifact", "1");
    CHECK(write(fd, body.data, body.len) == (ssize_t)body.len);
    artifact_t *artifact = GARBAGE;
    CHECK_OK(artifact_open_fd(fd, NULL, NULL, &artifact, &error));
    close(fd);
    check_is_the_body(artifact, &body);
    artifact_free(artifact);
    bytes_free(&body);
}

/* Descriptors of an opened artifact must not leak into child programs. */
TEST(open_keeps_only_close_on_exec_descriptors) {
    bytes_t body = make_body("artifact", "1");
    write_file(scratch("cloexec.cwasm"), body.data, body.len);
    bool inherited[64];
    for (int i = 0; i < 64; i++) inherited[i] = fcntl(i, F_GETFD) >= 0;
    int fd = open(scratch("cloexec.cwasm"), O_RDONLY);
    artifact_t *one = open_path(scratch("cloexec.cwasm"), NULL), *two = GARBAGE;
    CHECK_OK(artifact_open_fd(fd, NULL, NULL, &two, &error));
    for (int i = 0; i < 64; i++) {
        int flags = fcntl(i, F_GETFD);
        if (i != fd && !inherited[i]) CHECK(flags < 0 || (flags & FD_CLOEXEC));
    }
    artifact_free(one), artifact_free(two);
    for (int i = 0; i < 64; i++) {
        if (i != fd && !inherited[i]) CHECK(fcntl(i, F_GETFD) < 0); /* none leaks */
    }
    close(fd);
    bytes_free(&body);
}

/* ---- not a regular file ---- */

static void cannot_open(const char *path, artifact_status_t status, int code) {
    artifact_t *artifact = GARBAGE;
    artifact_error_t *error = GARBAGE;
    CHECK_STATUS(artifact_open_file(path, NULL, NULL, &artifact, &error), status);
    CHECK(artifact == NULL);
    check_error(__FILE__, __LINE__, error, status, status == ARTIFACT_NOT_AN_ARTIFACT ? "" : path);
    if (code) CHECK(artifact_error_errno(error) == code);
    artifact_error_free(error);
}

TEST(open_missing_file) { cannot_open(scratch("missing.cwasm"), ARTIFACT_IO, ENOENT); }

TEST(open_directory) { cannot_open("/tmp", ARTIFACT_INVALID_ARGUMENT, 0); }

TEST(open_device) {
    cannot_open("/dev/null", ARTIFACT_INVALID_ARGUMENT, 0);
    cannot_open("/dev/zero", ARTIFACT_INVALID_ARGUMENT, 0);
}

TEST(open_fifo_does_not_block) {
    char path[4096];
    snprintf(path, sizeof path, "%s", scratch("fifo"));
    CHECK(mkfifo(path, 0600) == 0);
    alarm(20); /* ends the test if opening blocks */
    cannot_open(path, ARTIFACT_INVALID_ARGUMENT, 0);
}

TEST(open_socket) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CHECK(snprintf(address.sun_path, sizeof address.sun_path, "%s", scratch("socket")) < (int)sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0) SKIP("Unix sockets are not available");
    cannot_open(address.sun_path, ARTIFACT_IO, ENXIO);
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_open_fd(fd, NULL, NULL, &artifact, &error), ARTIFACT_INVALID_ARGUMENT, "socket");
    close(fd);
}

TEST(open_empty_file) {
    write_file(scratch("empty"), "", 0);
    cannot_open(scratch("empty"), ARTIFACT_NOT_AN_ARTIFACT, 0);
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_open_bytes((const uint8_t *)"", 0, NULL, NULL, &artifact, &error), ARTIFACT_NOT_AN_ARTIFACT,
                "");
    CHECK(artifact == NULL);
}

TEST(open_loop_of_links_and_names_too_long) {
    CHECK(symlink("loop", scratch("loop")) == 0);
    cannot_open(scratch("loop"), ARTIFACT_IO, ELOOP);
    char name[600];
    memset(name, 'n', sizeof name);
    name[0] = '/', name[sizeof name - 1] = 0;
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_open_file(name, NULL, NULL, &artifact, &error), ARTIFACT_IO, "");
    CHECK_FAILS(artifact_open_file("", NULL, NULL, &artifact, &error), ARTIFACT_INVALID_ARGUMENT, "path");
}

TEST(open_path_is_bytes_not_text) {
    bytes_t body = make_body("artifact", "1");
    write_file(scratch("\xff\xfe.cwasm"), body.data, body.len);
    artifact_t *artifact = open_path(scratch("\xff\xfe.cwasm"), NULL);
    check_is_the_body(artifact, &body);
    artifact_free(artifact);
    CHECK_FAILS(artifact_open_file(scratch("\xff\x1b.cwasm"), NULL, NULL, &artifact, &error), ARTIFACT_IO, "");
    bytes_free(&body);
}

TEST(open_descriptors_that_cannot_be_read) {
    int pipes[2], folder = open("/", O_RDONLY);
    CHECK(pipe(pipes) == 0 && folder >= 0);
    write_file(scratch("w"), "some bytes", 10);
    int write_only = open(scratch("w"), O_WRONLY), closed = 1000;
    const struct {
        int fd;
        artifact_status_t status;
        int code;
        const char *words;
    } bad[] = {
        {-1, ARTIFACT_INVALID_ARGUMENT, 0, "fd|-1"},
        {INT32_MIN, ARTIFACT_INVALID_ARGUMENT, 0, "fd"},
        {closed, ARTIFACT_IO, EBADF, ""},
        {write_only, ARTIFACT_IO, EBADF, ""},
        {pipes[0], ARTIFACT_INVALID_ARGUMENT, 0, "regular file|FIFO"},
        {folder, ARTIFACT_INVALID_ARGUMENT, 0, "regular file|directory"},
    };
    alarm(20); /* ends the test if one of them blocks */
    for (size_t i = 0; i < COUNT(bad); i++) {
        artifact_t *artifact = GARBAGE;
        artifact_error_t *error = GARBAGE;
        CHECK_STATUS(artifact_open_fd(bad[i].fd, NULL, NULL, &artifact, &error), bad[i].status);
        CHECK(artifact == NULL);
        CHECK(artifact_error_errno(error) == bad[i].code);
        check_error(__FILE__, __LINE__, error, bad[i].status, bad[i].words);
        artifact_error_free(error);
    }
    close(pipes[0]), close(pipes[1]), close(folder), close(write_only);
}

/* ---- with an engine ---- */

TEST(open_enforces_producer_then_version) {
    static const struct {
        const char *producer, *version;
        artifact_status_t status;
        const char *words;
    } files[] = {
        {"artifact", "1", ARTIFACT_OK, ""},
        {"artifact", "2", ARTIFACT_WRONG_VERSION, "Module was compiled with incompatible version '2'"},
        {"artifact", "", ARTIFACT_WRONG_VERSION, "Module was compiled with incompatible version ''"},
        {"other", "1", ARTIFACT_WRONG_PRODUCER, "other|artifact"},
        {"other", "2", ARTIFACT_WRONG_PRODUCER, "other|artifact"},
        {"wasmtime", "0.33.0", ARTIFACT_WRONG_PRODUCER, "wasmtime|artifact"},
    };
    artifact_engine_t *engine = plain_engine();
    for (size_t i = 0; i < COUNT(files); i++) {
        bytes_t body = make_body(files[i].producer, files[i].version);
        artifact_t *artifact = GARBAGE;
        artifact_error_t *error = GARBAGE;
        CHECK_STATUS(artifact_open_bytes(body.data, body.len, engine, NULL, &artifact, &error), files[i].status);
        CHECK((artifact == NULL) == (files[i].status != ARTIFACT_OK));
        check_words(__FILE__, __LINE__, artifact_error_message(error), files[i].words);
        artifact_error_free(error);
        artifact_free(artifact);
        artifact = open_bytes(&body, NULL); /* without an engine every file opens */
        CHECK_STR(artifact_producer(artifact), files[i].producer);
        CHECK(artifact_producer_version(artifact).len == strlen(files[i].version));
        artifact_free(artifact);
        bytes_free(&body);
    }
    artifact_engine_free(engine);
}

TEST(open_does_not_compare_settings) {
    bytes_t body = make_body("artifact", "1");
    artifact_engine_t *engine = plain_engine();
    CHECK_OK(artifact_engine_set_target(engine, "s390x-unknown-linux-gnu", &error));
    artifact_t *artifact = open_bytes(&body, engine);
    CHECK_STATUS(artifact_check_compat(artifact, engine, NULL), ARTIFACT_INCOMPATIBLE);
    const char *target = GARBAGE;
    CHECK_OK(artifact_target(artifact, &target, &error)); /* still readable */
    CHECK_STR(target, HOST_TARGET);
    artifact_free(artifact);
    artifact_engine_free(engine);
    bytes_free(&body);
}
