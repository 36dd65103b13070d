/*
 * A hit of the cache that ends in a call, against opening, loading and calling the same file without the cache; beside
 * it, reading the file into memory, as caches of files do, and dlopen(RTLD_NOW) of it. `--strict` fails if a limit is
 * missed, `--quick` takes fewer rounds.
 */
#include "bench.h"

#include <dlfcn.h>
#include <ftw.h>

static const double max_hit = 1.3; /* a hit / the same without the cache */

typedef int (*function_fn)(int n);

typedef struct {
    const artifact_engine_t *engine;
    const artifact_cache_t *cache;
    const artifact_cache_key_t *key;
    const char *object, *function;
    char path[4300]; /* of the entry */
} hit_t;

static void call(void *symbol) {
    function_fn function;
    memcpy(&function, &symbol, sizeof function);
    must_work(symbol && function(7) >= 0, "the function");
}

static void run(const hit_t *hit, artifact_t *artifact) {
    artifact_error_t *error = NULL;
    artifact_code_t *code = NULL;
    must(artifact_load(artifact, hit->engine, NULL, &code, &error), &error);
    call(artifact_code_symbol(code, 0, hit->function, NULL));
    artifact_code_free(code);
    artifact_free(artifact);
}

static void with_cache(void *context) {
    const hit_t *hit = context;
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    must(artifact_cache_get(hit->cache, hit->key, &artifact, NULL, &error), &error);
    must_work(artifact != NULL, "the entry");
    run(hit, artifact);
}

static void without_cache(void *context) {
    const hit_t *hit = context;
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    must(artifact_open_file(hit->path, hit->engine, NULL, &artifact, &error), &error);
    run(hit, artifact);
}

static void into_memory(void *context) {
    const hit_t *hit = context;
    struct stat about;
    int fd = open(hit->path, O_RDONLY | O_CLOEXEC);
    must_work(fd >= 0 && fstat(fd, &about) == 0, hit->path);
    uint8_t *bytes = malloc((size_t)about.st_size);
    must_work(bytes && read(fd, bytes, (size_t)about.st_size) == about.st_size, hit->path);
    close(fd);
    free(bytes);
}

static void with_dlopen(void *context) {
    const hit_t *hit = context;
    void *handle = dlopen(hit->path, RTLD_NOW | RTLD_LOCAL);
    must_work(handle != NULL, "dlopen");
    call(dlsym(handle, hit->function));
    dlclose(handle);
}

static uint32_t make(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    const hit_t *hit = context;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.o", BENCH_MODULES, hit->object);
    bytes_t bytes = map_file(path);
    const artifact_object_t object = {hit->object, bytes.data, bytes.len};
    artifact_status_t status = artifact_builder_add_objects(builder, &object, 1, NULL, NULL, error);
    unmap(bytes);
    return (uint32_t)status;
}

static int take_path(void *context, const artifact_cache_entry_t *entry) {
    hit_t *hit = context;
    snprintf(hit->path, sizeof hit->path, "%s", entry->path);
    return 1;
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about, (void)type, (void)place;
    return remove(path);
}

static void remove_cache(void) { nftw("cache", remove_one, 8, FTW_DEPTH | FTW_PHYS); }

int main(int argc, char **argv) {
    arguments_t arguments = begin(argc, argv);
    size_t rounds = arguments.quick ? 51 : 501;
    artifact_engine_t *engine = artifact_engine_new_host();
    hit_t rows[] = {{.engine = engine, .object = "f1", .function = "call_many"},
                    {.engine = engine, .object = "f200", .function = "call_many"},
                    {.engine = engine, .object = "f5000", .function = "call_many"}};
    static const char *const names[] = {"1 function", "200 functions", "5,000 functions"};
    atexit(remove_cache);
    printf("A hit of the cache, with a call of the code, in microseconds\n\n");
    printf("  %-16s %10s %10s %10s %10s %8s\n", "", "hit", "no cache", "read", "dlopen", "ratio");
    double worst = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hit_t *hit = &rows[i];
        artifact_error_t *error = NULL;
        artifact_cache_t *cache = NULL;
        artifact_t *artifact = NULL;
        artifact_cache_key_t *key = artifact_cache_key_new();
        must(artifact_cache_key_add(key, "object", (const uint8_t *)hit->object, strlen(hit->object), &error), &error);
        must(artifact_cache_open("cache", engine, NULL, &cache, &error), &error);
        must(artifact_cache_get_or_make(cache, key, make, hit, &artifact, NULL, &error), &error);
        artifact_free(artifact);
        must(artifact_cache_each(cache, take_path, hit, &error), &error);
        hit->cache = cache, hit->key = key;
        way_t ways[] = {{with_cache, hit, 0}, {without_cache, hit, 0}, {into_memory, hit, 0}, {with_dlopen, hit, 0}};
        measure(ways, 4, rounds);
        double ratio = ways[0].ns / ways[1].ns;
        if (ratio > worst) worst = ratio;
        printf("  %-16s %10.1f %10.1f %10.1f %10.1f %8.2f\n", names[i], ways[0].ns / 1e3, ways[1].ns / 1e3,
               ways[2].ns / 1e3, ways[3].ns / 1e3, ratio);
        must(artifact_cache_remove(cache, key, &error), &error);
        artifact_cache_key_free(key);
        artifact_cache_free(cache);
    }
    printf("\nLimits\n");
    int good = at_most("a hit / the same without the cache", worst, max_hit, "");
    artifact_engine_free(engine);
    return arguments.strict && !good;
}
