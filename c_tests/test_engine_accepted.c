/* What an engine has accepted before makes opening faster. Threads share that without waiting for one another, and so
 * do processes that fork meanwhile. */
#include "check.h"
#include "image.h"
#include "native.h"
#include "support.h"

#include <pthread.h>

enum { THREADS = 16, FILES = 24, ROUNDS = 100, SECONDS = 20 };

typedef struct {
    const artifact_engine_t *engine;
    artifact_buffer_t *files[FILES];
} shared_t;

static _Atomic bool done;

static void open_all(const shared_t *shared, const artifact_engine_t *engine) {
    for (size_t i = 0; i < FILES; i++) {
        artifact_t *artifact = NULL;
        const uint8_t *data = artifact_buffer_data(shared->files[i]);
        CHECK_OK(artifact_open_borrowed(data, artifact_buffer_len(shared->files[i]), engine, NULL, &artifact, &error));
        CHECK_OK(artifact_check_compat(artifact, engine, &error));
        size_t count = 0;
        CHECK_OK(artifact_upvar_count(artifact, &count, &error));
        CHECK(count == i);
        artifact_free(artifact);
    }
}

static void *open_often(void *context) {
    const shared_t *shared = context;
    while (!done) open_all(shared, shared->engine);
    return NULL;
}

/* Fills the files: each has settings of its own, and together they are more than an engine remembers. */
static void make_files(shared_t *shared) {
    bytes_t elf = make_elf((shape_t){0});
    for (size_t i = 0; i < FILES; i++) {
        artifact_builder_t *builder = new_builder(shared->engine);
        CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
        for (size_t j = 0; j < i; j++) {
            CHECK_OK(artifact_builder_add_upvar(builder, SIZE_MAX, 0, NULL, 0, NULL, &error));
        }
        CHECK_OK(artifact_serialize(builder, &shared->files[i], &error));
        artifact_builder_free(builder);
    }
    bytes_free(&elf);
}

/* Runs `meanwhile` again and again while threads open files with the same engine. */
static void with_threads(void (*meanwhile)(const shared_t *shared)) {
    artifact_engine_t *engine = plain_engine();
    shared_t shared = {.engine = engine};
    make_files(&shared);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, open_often, &shared) == 0);
    for (int i = 0; i < ROUNDS; i++) meanwhile(&shared);
    done = true;
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    for (size_t i = 0; i < FILES; i++) artifact_buffer_free(shared.files[i]);
    artifact_engine_free(engine);
}

static void clone_it(const shared_t *shared) {
    artifact_engine_t *fresh = artifact_engine_clone(shared->engine);
    open_all(shared, fresh);
    artifact_engine_free(fresh);
}

TEST(engine_accepts_in_many_threads) { with_threads(clone_it); }

/* The child is made while threads add to what the engine has accepted. */
static void fork_it(const shared_t *shared) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(SECONDS);
        open_all(shared, shared->engine);
        clone_it(shared);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

TEST(engine_accepts_in_children_of_threads) {
#ifdef __SANITIZE_ADDRESS__
    SKIP("in a child of a process with threads, the sanitizer's allocator may be locked");
#endif
    if (is_valgrind()) SKIP("valgrind reports what its child processes leave allocated");
    if (is_emulated()) SKIP("in a child of a process with threads, the emulator itself may be locked");
    with_threads(fork_it);
}
