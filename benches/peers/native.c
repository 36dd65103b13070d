/*
 * The peers `dlopen`, `artifact`, `artifact-verify` and `artifact-signed`: `native PEER FOLDER FUNCTIONS ROUNDS` prints
 * how long it takes from a file with compiled code to its first call, in nanoseconds, a line for each round. `native
 * make FOLDER FUNCTIONS` makes the artifacts out of the objects in FOLDER.
 */
#define _GNU_SOURCE
#include <artifact.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *folder;
static int functions;

static void must(artifact_status_t status, artifact_error_t *const *error) {
    if (status == ARTIFACT_OK) return;
    fprintf(stderr, "%s\n", artifact_error_message(*error));
    exit(1);
}

static const char *path(const char *end) {
    static char text[4096];
    snprintf(text, sizeof text, "%s/f%d%s", folder, functions, end);
    return text;
}

static void call(void *symbol) {
    int (*function)(int);
    memcpy(&function, &symbol, sizeof function);
    if (!function || function(7) != 7 * (7 % functions) + 3) abort();
}

static size_t read_all(const char *from, uint8_t *to, size_t size) {
    FILE *file = fopen(from, "rb");
    if (!file) perror(from), exit(1);
    const size_t len = fread(to, 1, size, file);
    fclose(file);
    return len;
}

/* Saves the object as an artifact, signed by a new key, whose public half is saved beside it. */
static void make(void) {
    static uint8_t bytes[16 << 20];
    artifact_error_t *error = NULL;
    artifact_builder_t *builder = NULL;
    artifact_key_t *key = NULL;
    artifact_public_key_t public_key;
    artifact_buffer_t *pem = NULL;
    artifact_engine_t *engine = artifact_engine_new();
    const artifact_object_t object = {"functions", bytes, read_all(path(".o"), bytes, sizeof bytes)};
    must(artifact_builder_new(engine, &builder, &error), &error);
    must(artifact_builder_add_objects(builder, &object, 1, NULL, NULL, &error), &error);
    must(artifact_key_generate(&key, &error), &error);
    must(artifact_builder_add_key(builder, key, &error), &error);
    must(artifact_serialize_to_file(builder, path(".artifact"), NULL, &error), &error);
    must(artifact_key_public(key, &public_key, &error), &error);
    must(artifact_public_key_to_pem(&public_key, &pem, &error), &error);
    FILE *file = fopen(path(".pem"), "wb");
    if (!file || fwrite(artifact_buffer_data(pem), 1, artifact_buffer_len(pem), file) == 0 || fclose(file)) abort();
    artifact_buffer_free(pem);
    artifact_key_free(key);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

static void run_dlopen(void) {
    void *handle = dlopen(path(".so"), RTLD_NOW | RTLD_LOCAL);
    if (!handle) fprintf(stderr, "%s\n", dlerror()), exit(1);
    call(dlsym(handle, "call_many"));
    dlclose(handle);
}

static void run_ours(const artifact_engine_t *engine, uint64_t flags) {
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = flags;
    must(artifact_open_file(path(".artifact"), engine, &options, &artifact, &error), &error);
    must(artifact_load(artifact, engine, NULL, &code, &error), &error);
    call(artifact_code_symbol(code, 0, "call_many", NULL));
    artifact_code_free(code);
    artifact_free(artifact);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    const char *peer = argv[1];
    folder = argv[2];
    functions = atoi(argv[3]);
    if (strcmp(peer, "make") == 0) return make(), 0;
    const int rounds = argc == 5 ? atoi(argv[4]) : 0;
    double *times = calloc((size_t)rounds + 1, sizeof *times);
    if (!times) return 1;
    const int system = strcmp(peer, "dlopen") == 0;
    const uint64_t flags = strcmp(peer, "artifact-verify") == 0 ? ARTIFACT_OPEN_VERIFY : 0;

    double start = now();
    artifact_engine_t *engine = system ? NULL : artifact_engine_new_host();
    if (strcmp(peer, "artifact-signed") == 0) {
        static uint8_t pem[4096];
        artifact_error_t *error = NULL;
        read_all(path(".pem"), pem, sizeof pem - 1);
        must(artifact_engine_trust_key(engine, (const char *)pem, &error), &error);
    }
    for (int round = 0; round < rounds; round++) {
        if (system) {
            run_dlopen();
        } else {
            run_ours(engine, flags);
        }
        times[round] = now() - start;
        start = now();
    }
    for (int round = 0; round < rounds; round++) printf("%.0f\n", times[round]);
    artifact_engine_free(engine);
    free(times);
    return 0;
}
