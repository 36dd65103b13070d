/*
 * Saves an artifact, for faults.c to trace: save PATH FLAGS MAX_WRITE MODULE...
 *
 * No write accepts more than MAX_WRITE bytes. Two calls of close(MARK) mark the beginning and end of the save. Prints
 * the status and the error number, and exits with 0 whatever they are.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall */
#endif
#include <artifact.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MARK = -1234 };

static size_t max_write = SIZE_MAX;

/* These replace the C library's functions, and write only part of the bytes. */
ssize_t write(int fd, const void *data, size_t len) {
    return (ssize_t)syscall(SYS_write, fd, data, len < max_write ? len : max_write);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    struct iovec allowed[1024];
    size_t room = max_write;
    int used = 0;
    for (; used < count && used < 1024 && room > 0; used++) {
        allowed[used] = pieces[used];
        if (allowed[used].iov_len > room) allowed[used].iov_len = room;
        room -= allowed[used].iov_len;
    }
    return (ssize_t)syscall(SYS_writev, fd, allowed, used);
}

int main(int argc, char **argv) {
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = NULL;
    artifact_error_t *error = NULL;
    artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
    if (argc < 5 || artifact_builder_new(engine, &builder, NULL) != ARTIFACT_OK) return 1;
    for (int i = 4; i < argc; i++) {
        if (artifact_builder_add_module_file(builder, argv[i], NULL, NULL) != ARTIFACT_OK) return 1;
    }
    options.flags = strtoul(argv[2], NULL, 10);
    max_write = strtoul(argv[3], NULL, 10);
    close(MARK);
    artifact_status_t status = artifact_serialize_to_file(builder, argv[1], &options, &error);
    close(MARK);
    max_write = SIZE_MAX;
    char text[64];
    int len = snprintf(text, sizeof text, "%d %d\n", (int)status, artifact_error_errno(error));
    if (syscall(SYS_write, STDOUT_FILENO, text, (size_t)len) != len) return 1;
    artifact_error_free(error);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    return 0;
}
