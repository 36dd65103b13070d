/* Many threads may use a const handle at once. Values that are computed on first use are computed once for all. */
#include "check.h"
#include "signed.h"

#include <pthread.h>

enum { THREADS = 32, ROUNDS = 10 };

typedef struct shared_t {
    const artifact_t *artifact;
    const artifact_engine_t *engine;
    const artifact_builder_t *builder;
    const bytes_t *expected;
    pthread_barrier_t start;
} shared_t;

static void read_all(const shared_t *shared) {
    const artifact_t *artifact = shared->artifact;
    const char *target = NULL;
    CHECK_STR(artifact_producer(artifact), "wasmtime");
    CHECK_OK(artifact_target(artifact, &target, &error));
    CHECK_STR(target, HOST_TARGET);
    for (size_t i = 0; i < 25; i++) {
        artifact_flag_t at, found;
        CHECK_OK(artifact_flag_at(artifact, ARTIFACT_FLAGS_SHARED, i, &at, &error));
        CHECK_OK(artifact_flag(artifact, ARTIFACT_FLAGS_SHARED, at.name, &found, &error));
        CHECK(at.kind == found.kind && at.value == found.value);
        CHECK_OK(artifact_engine_flag_at(shared->engine, ARTIFACT_FLAGS_SHARED, i, &found, &error));
        CHECK_STR(found.name, at.name);
    }
    for (size_t i = 0; i < artifact_module_count(artifact); i++) {
        artifact_module_t module;
        artifact_section_t section;
        artifact_symbol_t symbol;
        size_t count = 0;
        CHECK_OK(artifact_module(artifact, i, &module, &error));
        CHECK(memcmp(module.bytes.data, shared->expected->data + module.offset, module.bytes.len) == 0);
        CHECK_OK(artifact_section(artifact, i, ".text", &section, &error));
        CHECK_OK(artifact_symbol_count(artifact, i, &count, &error));
        for (size_t j = 0; j < count; j++) {
            CHECK_OK(artifact_symbol_at(artifact, i, j, &symbol, &error));
            CHECK(symbol.name);
        }
    }
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_compat_report(artifact, shared->engine, &report, &error));
    CHECK(artifact_report_count(report) == 1);
    artifact_report_free(report);
    CHECK_FAILS(artifact_check_compat(artifact, shared->engine, &error), ARTIFACT_INCOMPATIBLE, "module linking");
    uint8_t fingerprint[32];
    CHECK_OK(artifact_engine_fingerprint(shared->engine, fingerprint, &error));
    bytes_t written = serialize(shared->builder);
    CHECK(same_bytes(written.data, written.len, shared->expected->data, shared->expected->len));
    bytes_free(&written);
}

static void *reader(void *context) {
    shared_t *shared = context;
    pthread_barrier_wait(&shared->start);
    read_all(shared);
    return NULL;
}

TEST(threads_read_one_artifact) {
    bytes_t expected = read_file(fixture("ml_two.cwasm"));
    artifact_engine_t *engine = genuine_engine();
    for (int round = 0; round < ROUNDS; round++) { /* a new artifact each time, so that first uses coincide */
        artifact_t *artifact = open_path(fixture("ml_two.cwasm"), engine);
        artifact_builder_t *builder = GARBAGE;
        CHECK_OK(artifact_builder_new_from_artifact(artifact, &builder, &error));
        CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
        shared_t shared = {.artifact = artifact, .engine = engine, .builder = builder, .expected = &expected};
        CHECK(pthread_barrier_init(&shared.start, NULL, THREADS) == 0);
        pthread_t threads[THREADS];
        for (size_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, reader, &shared) == 0);
        for (size_t i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
        pthread_barrier_destroy(&shared.start);
        artifact_builder_free(builder);
        artifact_free(artifact);
    }
    artifact_engine_free(engine);
    bytes_free(&expected);
}

/* Modules of a signed artifact: each is copied and verified when the first thread reads it. */
enum { MODULES = 3 };

typedef struct asker_t {
    shared_t *shared;
    const uint8_t *found[MODULES];
} asker_t;

static void *asker(void *context) {
    asker_t *asker = context;
    pthread_barrier_wait(&asker->shared->start);
    for (size_t i = 0; i < MODULES; i++) {
        artifact_module_t module;
        CHECK_OK(artifact_module(asker->shared->artifact, i, &module, &error));
        CHECK(memcmp(module.bytes.data, asker->shared->expected->data + module.offset, module.bytes.len) == 0);
        asker->found[i] = module.bytes.data;
    }
    CHECK_OK(artifact_check_compat(asker->shared->artifact, asker->shared->engine, &error));
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_verify(asker->shared->artifact, &report, &error));
    artifact_report_free(report);
    return NULL;
}

TEST(threads_share_the_copies_of_signed_modules) {
    artifact_engine_t *engine = plain_engine();
    bytes_t bytes = make_trusted(engine);
    write_file(scratch("signed"), bytes.data, bytes.len);
    for (int round = 0; round < ROUNDS; round++) {
        artifact_t *artifact = open_path(scratch("signed"), engine);
        shared_t shared = {.artifact = artifact, .engine = engine, .expected = &bytes};
        CHECK(pthread_barrier_init(&shared.start, NULL, THREADS) == 0);
        pthread_t threads[THREADS];
        asker_t askers[THREADS];
        for (size_t i = 0; i < THREADS; i++) {
            askers[i].shared = &shared;
            CHECK(pthread_create(&threads[i], NULL, asker, &askers[i]) == 0);
        }
        for (size_t i = 0; i < THREADS; i++) {
            CHECK(pthread_join(threads[i], NULL) == 0);
            CHECK(memcmp(askers[i].found, askers[0].found, sizeof askers[0].found) == 0);
        }
        pthread_barrier_destroy(&shared.start);
        artifact_free(artifact);
    }
    artifact_engine_free(engine);
    bytes_free(&bytes);
}

/* A handle that one thread made can be freed by another. */
static void *freer(void *artifact) {
    artifact_free(artifact);
    return NULL;
}

TEST(threads_free_elsewhere) {
    artifact_t *artifact = open_path(fixture("addfib.cwasm"), NULL);
    artifact_module_t module;
    CHECK_OK(artifact_module(artifact, 0, &module, &error));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, freer, artifact) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

/* Readers of a path that is constantly replaced always see one of the files, complete. */
static void *replacer(void *builders) {
    artifact_builder_t **both = builders;
    for (int i = 0; i < 60; i++) {
        artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
        options.flags = ARTIFACT_SAVE_NO_SYNC;
        CHECK_OK(artifact_serialize_to_file(both[i % 2], scratch("replaced.cwasm"), &options, &error));
    }
    return NULL;
}

TEST(threads_open_while_the_file_is_replaced) {
    bytes_t elves[2] = {make_elf((shape_t){.fill = 1}), make_elf((shape_t){.fill = 2, .align = 65536})};
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builders[2];
    for (size_t i = 0; i < 2; i++) {
        builders[i] = new_builder(engine);
        CHECK_OK(artifact_builder_add_module(builders[i], elves[i].data, elves[i].len, NULL, &error));
        CHECK_OK(artifact_serialize_to_file(builders[i], scratch("replaced.cwasm"), NULL, &error));
    }
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, replacer, builders) == 0);
    for (int i = 0; i < 200; i++) {
        artifact_t *artifact = open_path(scratch("replaced.cwasm"), engine);
        artifact_section_t section;
        artifact_module_t module;
        CHECK_OK(artifact_section(artifact, 0, ".text", &section, &error));
        CHECK_OK(artifact_module(artifact, 0, &module, &error));
        size_t which = section.bytes.data[0] == 2;
        CHECK(same_bytes(module.bytes.data, module.bytes.len, elves[which].data, elves[which].len));
        artifact_free(artifact);
    }
    for (size_t i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    for (size_t i = 0; i < 2; i++) {
        artifact_builder_free(builders[i]);
        bytes_free(&elves[i]);
    }
    artifact_engine_free(engine);
}

/* Everything at once: opening, reading, checking, verifying, saving and closing, of shared artifacts and of separate
 * ones. */
enum { FILES = 3, LARGE = 2, TURNS = 4, PAYLOAD = 6 << 20 };
static const char *const names[FILES] = {"sealed", "bare", "large"};

typedef struct worker_t {
    shared_t *shared; /* its builder is large enough to be hashed by several threads */
    const artifact_t *opened[FILES];
    char paths[FILES][4200], own[4200];
} worker_t;

static void use_file(const worker_t *worker, const artifact_t *artifact, bool has_trailer) {
    artifact_report_t *report = GARBAGE;
    artifact_module_t module;
    artifact_slice_t value;
    CHECK_OK(artifact_check_compat(artifact, worker->shared->engine, &error));
    CHECK_OK(artifact_module(artifact, artifact_main_module(artifact), &module, &error));
    CHECK(module.bytes.len > 0 && module.bytes.data[1] == 'E');
    CHECK(artifact_producer(artifact) && artifact_file_len(artifact) > module.bytes.len);
    if (has_trailer) {
        CHECK_OK(artifact_attribute(artifact, "name", &value, &error));
        CHECK(value.len == 5 && memcmp(value.data, "value", 5) == 0);
    }
    CHECK_OK(artifact_verify(artifact, &report, &error));
    CHECK(artifact_report_count(report) == 0);
    artifact_report_free(report);
}

static void *worker(void *context) {
    const worker_t *worker = context;
    pthread_barrier_wait(&worker->shared->start);
    for (int turn = 0; turn < TURNS; turn++) {
        for (size_t i = 0; i < FILES; i++) {
            artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
            static const uint64_t flags[] = {0, ARTIFACT_OPEN_VERIFY, ARTIFACT_OPEN_COPY, ARTIFACT_OPEN_READ};
            options.flags = flags[(size_t)turn % COUNT(flags)];
            artifact_t *artifact = GARBAGE;
            CHECK_OK(artifact_open_file(worker->paths[i], worker->shared->engine, &options, &artifact, &error));
            use_file(worker, artifact, i != 1);
            use_file(worker, worker->opened[i], i != 1);
            if (i != LARGE) {
                artifact_builder_t *builder = GARBAGE;
                CHECK_OK(artifact_builder_new_from_artifact(artifact, &builder, &error));
                artifact_free(artifact); /* the builder keeps what it needs */
                CHECK_OK(artifact_serialize_to_file(builder, worker->own, NULL, &error));
                artifact_builder_free(builder);
                artifact = open_path(worker->own, worker->shared->engine);
                use_file(worker, artifact, i != 1);
            }
            artifact_free(artifact);
        }
        artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
        options.flags = ARTIFACT_SAVE_NO_SYNC;
        /* Some threads save to the path that the others read. */
        const char *path = turn == 1 ? worker->paths[LARGE] : worker->own;
        CHECK_OK(artifact_serialize_to_file(worker->shared->builder, path, &options, &error));
    }
    return NULL;
}

TEST(threads_do_everything_at_once) {
    bytes_t elf = make_elf((shape_t){.fill = 1}), large = make_elf((shape_t){.fill = 2, .trailing = PAYLOAD});
    artifact_engine_t *engine = plain_engine();
    shared_t shared = {.engine = engine};
    worker_t *workers = calloc(THREADS, sizeof *workers);
    artifact_t *opened[FILES];
    CHECK(workers && pthread_barrier_init(&shared.start, NULL, THREADS) == 0);
    artifact_builder_t *builders[FILES];
    for (size_t i = 0; i < FILES; i++) {
        const bytes_t *image = i == LARGE ? &large : &elf;
        builders[i] = new_builder(engine);
        CHECK_OK(artifact_builder_add_module(builders[i], image->data, image->len, NULL, &error));
        if (i == 1) {
            CHECK_OK(artifact_builder_set_trailer(builders[i], false, &error));
        } else {
            CHECK_OK(artifact_builder_set_attribute(builders[i], "name", (const uint8_t *)"value", 5, &error));
        }
        CHECK_OK(artifact_serialize_to_file(builders[i], scratch(names[i]), NULL, &error));
        opened[i] = open_path(scratch(names[i]), engine);
    }
    shared.builder = builders[LARGE];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        char own[32];
        snprintf(own, sizeof own, "own-%zu", i);
        workers[i].shared = &shared;
        memcpy(workers[i].opened, opened, sizeof opened);
        for (size_t j = 0; j < FILES; j++)
            snprintf(workers[i].paths[j], sizeof workers[i].paths[j], "%s", scratch(names[j]));
        snprintf(workers[i].own, sizeof workers[i].own, "%s", scratch(own));
        CHECK(pthread_create(&threads[i], NULL, worker, &workers[i]) == 0);
    }
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&shared.start);
    for (size_t i = 0; i < FILES; i++) {
        artifact_free(opened[i]);
        artifact_builder_free(builders[i]);
    }
    artifact_engine_free(engine);
    bytes_free(&elf), bytes_free(&large);
    free(workers);
}
