/*
 * Compares accesses to thread-local variables in loaded code with those in the same object after dlopen(). `--strict`
 * fails if a limit is missed, `--quick` takes fewer rounds.
 */
#include "bench.h"

#include <dlfcn.h>

static const double max_cost = 1.5; /* an access in our code / in dlopen's */

enum { ACCESSES = 10000 };

extern _Thread_local int bench_host;
_Thread_local int bench_host;

typedef int (*access_fn)(int n);

static void run(void *context) { (*(access_fn *)context)(ACCESSES); }

static access_fn function(void *symbol) {
    access_fn function;
    must_work(symbol != NULL, "the function");
    memcpy(&function, &symbol, sizeof function);
    return function;
}

/* Loads a shared object by way of an artifact. */
static artifact_code_t *load(const artifact_engine_t *host, const char *path) {
    artifact_error_t *error = NULL;
    artifact_builder_t *builder = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    artifact_engine_t *engine = artifact_engine_new();
    must(artifact_builder_new(engine, &builder, &error), &error);
    must(artifact_builder_add_module_file(builder, path, NULL, &error), &error);
    must(artifact_serialize_to_file(builder, "a", NULL, &error), &error);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    must(artifact_open_file("a", host, NULL, &artifact, &error), &error);
    must(artifact_load(artifact, host, &options, &code, &error), &error);
    artifact_free(artifact);
    return code;
}

int main(int argc, char **argv) {
    arguments_t arguments = begin(argc, argv);
    size_t rounds = arguments.quick ? 51 : 501;
    artifact_engine_t *host = artifact_engine_new_host();
    static const char *const models[] = {"tls_trad", "tls_desc"};
    static const char *const names[] = {"access_own", "access_host"};
    printf("libartifact %s, an access to a thread-local variable, with its call: raw: after dlopen()\n"
           "                          raw ns  ours ns   ratio\n",
           artifact_version_string());
    double ratios[2][2] = {{0}};
    for (size_t i = 0; i < 2; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s.so", BENCH_MODULES, models[i]);
        if (access(path, R_OK) != 0) continue; /* the compiler doesn't have it */
        void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        must_work(handle != NULL, path);
        artifact_code_t *code = load(host, path);
        for (size_t j = 0; j < 2; j++) {
            access_fn raw = function(dlsym(handle, names[j]));
            access_fn ours = function(artifact_code_symbol(code, 0, names[j], NULL));
            way_t ways[2] = {{run, &raw, 0}, {run, &ours, 0}};
            measure(ways, 2, rounds);
            ratios[i][j] = ways[1].ns / ways[0].ns;
            printf("  %s, %-11s  %6.2f   %6.2f   %5.2f\n", models[i], names[j], ways[0].ns / ACCESSES,
                   ways[1].ns / ACCESSES, ratios[i][j]);
        }
        artifact_code_free(code);
        dlclose(handle);
    }
    printf("\nLimits\n");
    int good = 1;
    for (size_t i = 0; i < 2; i++) {
        if (ratios[i][0] > 0) good = at_most(models[i], ratios[i][0], max_cost, "x") && good;
    }
    artifact_engine_free(host);
    return arguments.strict && !good ? 1 : 0;
}
