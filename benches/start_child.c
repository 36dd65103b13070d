/*
 * The fresh process of start.c. Without an argument it ends at once. Otherwise it makes its first call of a function in
 * that file, and writes to standard output how many nanoseconds that took, a double. With LINKED it is the library that
 * loads the file, otherwise dlopen().
 */
#include "bench.h"

#include <dlfcn.h>

#ifdef LINKED
static void *load(const char *path) {
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    artifact_engine_t *engine = artifact_engine_new_host();
    must(artifact_open_file(path, engine, NULL, &artifact, &error), &error);
    must(artifact_load(artifact, engine, NULL, &code, &error), &error);
    return artifact_code_symbol(code, 0, "call_many", NULL);
}
#else
static void *load(const char *path) {
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    must_work(handle != NULL, path);
    return dlsym(handle, "call_many");
}
#endif

int main(int argc, char **argv) {
    if (argc < 2) return 0;
    const double start = now();
    int (*function)(int n);
    void *symbol = load(argv[1]);
    memcpy(&function, &symbol, sizeof function);
    must_work(symbol && function(7) >= 0, "the function");
    const double took = now() - start;
    must_work(write(STDOUT_FILENO, &took, sizeof took) == sizeof took, "standard output");
    return 0;
}
