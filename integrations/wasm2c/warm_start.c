/*
 * Wasm without a Wasm engine: warm_start FOLDER PROGRAM.WASM GLUE.C prints fib(40), and how often it compiled. At the
 * first start wasm2c translates to C and cc compiles; later starts map the code from FOLDER. wasm2c's runtime is part
 * of this program, which the code is bound to when it is loaded: link with -rdynamic and all of wasm-rt-impl.
 */
#include <artifact.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasm-rt.h>

static int compiled;

/* The module imports it, by way of glue.c. */
void host_log(uint64_t value);
void host_log(uint64_t value) { printf("log %llu\n", (unsigned long long)value); }

typedef struct {
    const char *folder, *wasm, *glue;
} inputs_t;

static size_t read_file(const char *path, uint8_t *bytes, size_t size) {
    FILE *file = fopen(path, "rb");
    const size_t len = file ? fread(bytes, 1, size, file) : 0;
    if (file) fclose(file);
    return len;
}

/* Called by the cache if it has no code that fits. */
static uint32_t compile(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    static uint8_t bytes[2][1 << 20];
    const inputs_t *inputs = context;
    char command[16384], paths[2][4096];
    snprintf(command, sizeof command,
             "mkdir -p '%s.c' && cd '%s.c' && wasm2c '%s' -o program.c && cc -O2 -fPIC -I. -c program.c '%s'",
             inputs->folder, inputs->folder, inputs->wasm, inputs->glue);
    if (system(command) != 0) return ARTIFACT_IO;
    artifact_object_t objects[2] = {{.name = "program"}, {.name = "glue"}};
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s.c/%s.o", inputs->folder, objects[i].name);
        objects[i].data = bytes[i];
        objects[i].len = read_file(paths[i], bytes[i], sizeof bytes[i]);
    }
    compiled++;
    return artifact_builder_add_objects(builder, objects, 2, NULL, NULL, error);
}

int main(int argc, char **argv) {
    if (argc != 4) return fprintf(stderr, "usage: warm_start FOLDER PROGRAM.WASM GLUE.C\n"), 2;
    static uint8_t wasm[1 << 20], glue[1 << 16];
    inputs_t inputs = {argv[1], argv[2], argv[3]};
    artifact_error_t *error = NULL;
    artifact_cache_t *cache = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    artifact_engine_t *host = artifact_engine_new_host();
    artifact_cache_key_t *key = artifact_cache_key_new();
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    if (artifact_cache_key_add(key, "wasm", wasm, read_file(argv[2], wasm, sizeof wasm), &error) ||
        artifact_cache_key_add(key, "glue", glue, read_file(argv[3], glue, sizeof glue), &error) ||
        artifact_cache_open(argv[1], host, NULL, &cache, &error) ||
        artifact_cache_get_or_make(cache, key, compile, &inputs, &artifact, NULL, &error) ||
        artifact_load(artifact, host, &options, &code, &error)) {
        fprintf(stderr, "%s\n", artifact_error_message(error));
        return 1;
    }
    union {
        void *address;
        void (*start)(void);
        uint64_t (*fib)(uint64_t);
    } start = {artifact_code_symbol(code, 0, "start", NULL)}, fib = {artifact_code_symbol(code, 0, "fib", NULL)};
    wasm_rt_init();
    start.start();
    printf("fib(40) = %llu, compiled %d\n", (unsigned long long)fib.fib(40), compiled);
    wasm_rt_free();
    artifact_code_free(code);
    artifact_free(artifact);
    artifact_cache_free(cache);
    artifact_cache_key_free(key);
    artifact_engine_free(host);
    return 0;
}
