/*
 * Code that libtcc compiles is kept in a cache: warm_start FOLDER prints 6 * 7, and how many functions were compiled.
 * TCC compiles at the first start; later ones map what is in FOLDER, and never enter TCC.
 */
#include <artifact.h>
#include <libtcc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static const char source[] = "int host(int);\n"
                             "int product(int a, int b) { int sum = 0; while (b-- > 0) sum += host(a); return sum; }\n";

static int compiled;

/* The code calls it. */
static int host(int n) { return n; }

static int failed(artifact_error_t *error) {
    fprintf(stderr, "%s\n", artifact_error_message(error));
    artifact_error_free(error);
    return 1;
}

/* Called by the cache if it has no code that fits. */
static uint32_t compile(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    const char *path = context;
    TCCState *tcc = tcc_new();
    tcc_set_options(tcc, "-nostdlib");
    /* An object, which the library links. What TCC keeps in memory knows only this process's addresses. */
    tcc_set_output_type(tcc, TCC_OUTPUT_OBJ);
    const int broken = tcc_compile_string(tcc, source) != 0 || tcc_output_file(tcc, path) != 0;
    tcc_delete(tcc);
    FILE *file = broken ? NULL : fopen(path, "rb");
    if (!file) return ARTIFACT_IO;
    static uint8_t bytes[1 << 20];
    const artifact_object_t object = {"product", bytes, fread(bytes, 1, sizeof bytes, file)};
    fclose(file);
    remove(path);
    compiled++;
    return artifact_builder_add_objects(builder, &object, 1, NULL, NULL, error);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: warm_start FOLDER\n"), 2;
    char object[4096];
    snprintf(object, sizeof object, "%s.o", argv[1]);
    artifact_error_t *error = NULL;
    artifact_cache_t *cache = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    artifact_engine_t *engine = artifact_engine_new_host();
    artifact_cache_key_t *key = artifact_cache_key_new();
    artifact_import_t import = {.name = "host"};
    memcpy(&import.address, &(int (*)(int)){host}, sizeof import.address);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.symbols = &import;
    options.symbol_count = 1;
    if (artifact_cache_key_add(key, "source", (const uint8_t *)source, sizeof source, &error) ||
        artifact_cache_open(argv[1], engine, NULL, &cache, &error) ||
        artifact_cache_get_or_make(cache, key, compile, object, &artifact, NULL, &error) ||
        artifact_load(artifact, engine, &options, &code, &error))
        return failed(error);
    union {
        void *address;
        int (*function)(int, int);
    } product = {artifact_code_symbol(code, 0, "product", NULL)};
    printf("6 * 7 = %d, compiled %d\n", product.function(6, 7), compiled);
    artifact_code_free(code);
    artifact_free(artifact);
    artifact_cache_free(cache);
    artifact_cache_key_free(key);
    artifact_engine_free(engine);
    return 0;
}
