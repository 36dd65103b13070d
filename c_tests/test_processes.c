/* Several processes write one path while others read it. Readers always see one of the files, complete. */
#include "check.h"
#include "image.h"
#include "support.h"

enum { WRITERS = 3, READERS = 3, SAVES = 80, MAX_READS = 20000 };

static artifact_builder_t *builders[WRITERS];
static bytes_t files[WRITERS];
static char path[4200];

static void write_often(size_t writer) {
    artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
    options.flags = ARTIFACT_SAVE_NO_SYNC;
    for (size_t i = 0; i < SAVES; i++) {
        CHECK_OK(artifact_serialize_to_file(builders[writer], path, i % 8 ? &options : NULL, &error));
    }
}

/* Reads until the pipe shows that all writers are done, and once more. */
static void read_often(int done) {
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_VERIFY;
    char byte;
    bool last = false;
    for (int i = 0; i < MAX_READS && !last; i++) {
        last = read(done, &byte, 1) == 0;
        artifact_t *artifact = NULL;
        artifact_slice_t value;
        CHECK_OK(artifact_open_file(path, NULL, &options, &artifact, &error));
        CHECK_OK(artifact_attribute(artifact, "writer", &value, &error));
        CHECK(value.len == 1 && value.data[0] < WRITERS);
        const bytes_t *expected = &files[value.data[0]];
        CHECK(artifact_file_len(artifact) == expected->len);
        artifact_module_t module;
        CHECK_OK(artifact_module(artifact, 0, &module, &error));
        CHECK(memcmp(module.bytes.data, expected->data, module.bytes.len) == 0);
        artifact_free(artifact);
    }
}

TEST(processes_write_and_read_one_path) {
    artifact_engine_t *engine = plain_engine();
    bytes_t elves[WRITERS];
    char folder[4100];
    snprintf(folder, sizeof folder, "%s", scratch("folder"));
    snprintf(path, sizeof path, "%s/shared.artifact", folder);
    CHECK(mkdir(folder, 0755) == 0);
    for (uint8_t i = 0; i < WRITERS; i++) {
        elves[i] = make_elf((shape_t){.fill = (uint8_t)(i + 1), .align = UINT64_C(16) << 6 * i});
        builders[i] = new_builder(engine);
        CHECK_OK(artifact_builder_add_module(builders[i], elves[i].data, elves[i].len, NULL, &error));
        CHECK_OK(artifact_builder_set_attribute(builders[i], "writer", &i, 1, &error));
        files[i] = serialize(builders[i]);
    }
    CHECK_OK(artifact_serialize_to_file(builders[0], path, NULL, &error));
    pid_t children[WRITERS + READERS];
    int done[2];
    CHECK(pipe(done) == 0 && fcntl(done[0], F_SETFL, O_NONBLOCK) == 0);
    fflush(NULL);
    for (size_t i = 0; i < COUNT(children); i++) {
        children[i] = fork();
        CHECK(children[i] >= 0);
        if (children[i] > 0) continue;
        if (i < WRITERS) {
            write_often(i); /* keeps its end of the pipe open, which shows that it is not done */
        } else {
            close(done[1]);
            read_often(done[0]);
        }
        _exit(0);
    }
    close(done[1]);
    for (size_t i = 0; i < COUNT(children); i++) {
        int status = -1;
        CHECK(waitpid(children[i], &status, 0) == children[i]);
        CHECK(status == 0);
    }
    CHECK(count_entries(folder) == 1);
    for (size_t i = 0; i < WRITERS; i++) {
        artifact_builder_free(builders[i]);
        bytes_free(&elves[i]), bytes_free(&files[i]);
    }
    artifact_engine_free(engine);
}
