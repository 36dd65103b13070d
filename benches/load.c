/*
 * Compares loading with dlopen(RTLD_NOW) of the same objects, which the system linker links with -Bsymbolic: from
 * opening the file to freeing the code, with one function looked up and called. Also measures the cost of exceptions
 * with many modules, and checks that text pages stay clean. `--strict` fails if a limit is missed, `--quick` takes
 * fewer rounds.
 */
#include "bench.h"

#include <dlfcn.h>

static const double max_part = 1.6;     /* one of 1,000 modules / the same module in an artifact of its own */
static const double max_throw_cost = 2; /* a throw with 5,000 modules / a throw with one */

enum { MANY = 1000, THROWING = 5000, IMPORTS = 200 };

typedef struct {
    const artifact_engine_t *engine;
    const char *what, *module, *function;
    size_t modules;
    char path[2];
    artifact_load_options_t options;
    double min; /* dlopen / ours */
} loading_t;

static const size_t in_the_middle = MANY / 2;

typedef int (*function_fn)(int n);

static void call(void *symbol) {
    function_fn function;
    memcpy(&function, &symbol, sizeof function);
    must_work(symbol && function(7) >= 0, "the function");
}

static const char *so(const char *module) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/%s.so", BENCH_MODULES, module);
    return path;
}

static void load_raw(void *context) {
    const loading_t *loading = context;
    void *handle = dlopen(so(loading->module), RTLD_NOW | RTLD_LOCAL);
    must_work(handle != NULL, "dlopen");
    call(dlsym(handle, loading->function));
    dlclose(handle);
}

static void load_ours(void *context) {
    const loading_t *loading = context;
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    must(artifact_open_file(loading->path, loading->engine, NULL, &artifact, &error), &error);
    must(artifact_load(artifact, loading->engine, &loading->options, &code, &error), &error);
    const size_t first = loading->options.modules ? loading->options.modules[0] : 0;
    for (size_t i = first; i < loading->modules; i++) call(artifact_code_symbol(code, i, loading->function, NULL));
    artifact_code_free(code);
    artifact_free(artifact);
}

/* Loads a thousand files. They must be different files: dlopen() loads the same one only once. */
static void many_raw(void *context) {
    const loading_t *loading = context;
    static void *handles[MANY];
    char path[64];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(path, sizeof path, "./many/%zu.so", i);
        handles[i] = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        must_work(handles[i] != NULL, path);
        call(dlsym(handles[i], loading->function));
    }
    for (size_t i = 0; i < MANY; i++) dlclose(handles[i]);
}

static void remove_many(void) {
    char path[64];
    for (size_t i = 0; i < MANY; i++) snprintf(path, sizeof path, "many/%zu.so", i), unlink(path);
    rmdir("many");
}

static void make_many(const char *module) {
    must_work(mkdir("many", 0700) == 0, "many");
    atexit(remove_many);
    bytes_t bytes = map_file(so(module));
    char path[64];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(path, sizeof path, "many/%zu.so", i);
        FILE *to = fopen(path, "wb");
        must_work(to && fwrite(bytes.data, 1, bytes.len, to) == bytes.len && fclose(to) == 0, path);
    }
    unmap(bytes);
}

static void save(const loading_t *loading) {
    artifact_error_t *error = NULL;
    artifact_builder_t *builder = NULL;
    artifact_engine_t *engine = artifact_engine_new();
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.o", BENCH_MODULES, loading->module);
    bytes_t bytes = map_file(path);
    artifact_object_t object = {loading->module, bytes.data, bytes.len};
    must(artifact_builder_new(engine, &builder, &error), &error);
    for (size_t i = 0; i < loading->modules; i++) {
        must(artifact_builder_add_objects(builder, &object, 1, NULL, NULL, &error), &error);
    }
    unmap(bytes);
    must(artifact_serialize_to_file(builder, loading->path, NULL, &error), &error);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

/* ---- Functions of the host that modules import ---- */

#define HOST(n)                                                                                                        \
    int host_##n(int value);                                                                                           \
    int host_##n(int value) { return value + n; }
#include "imports.h"
#undef HOST

static artifact_import_t imports[IMPORTS];

static void fill_imports(void) {
    size_t count = 0;
#define HOST(n)                                                                                                        \
    imports[count].name = "host_" #n, memcpy(&imports[count++].address, &(function_fn){host_##n}, sizeof(void *));
#include "imports.h"
#undef HOST
    must_work(count == IMPORTS, "imports");
}

/* ---- Exceptions ---- */

static void throw_one(void *context) { call(context); }

/* Loads an artifact of modules that throw, and returns the function of the middle one. */
static artifact_code_t *load_throwing(const artifact_engine_t *engine, size_t modules, void **function) {
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    loading_t loading = {.engine = engine, .module = "throw", .modules = modules, .path = "t"};
    save(&loading);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    must(artifact_open_file("t", engine, NULL, &artifact, &error), &error);
    must(artifact_load(artifact, engine, &options, &code, &error), &error);
    *function = artifact_code_symbol(code, modules / 2, "throw_and_catch", NULL);
    artifact_free(artifact);
    return code;
}

/* Measures a throw and its catch, in nanoseconds, with one module and with 5,000; 0 if the C++ runtime is missing. */
static void throw_costs(const artifact_engine_t *engine, size_t rounds, double *one, double *all) {
    *one = *all = 0;
    if (access(so("throw"), R_OK) != 0 || !dlopen("libstdc++.so.6", RTLD_NOW | RTLD_GLOBAL)) return;
    void *function = NULL;
    const int turns = 11;
    for (int turn = 0; turn < turns; turn++) {
        /* One after the other, since all loaded modules count. Takes the best of several rounds, to exclude noise. */
        for (int many = 0; many < 2; many++) {
            artifact_code_t *code = load_throwing(engine, many ? THROWING : 1, &function);
            way_t way = {throw_one, function, 0};
            measure(&way, 1, rounds / (size_t)turns + 1);
            double *cost = many ? all : one;
            if (*cost == 0 || way.ns < *cost) *cost = way.ns;
            artifact_code_free(code);
        }
    }
}

/* Returns the name of the unwinder. libgcc before 13 searches lists, later versions a tree of ranges. */
static const char *unwinder(void) {
    if (dlsym(RTLD_DEFAULT, "__unw_add_dynamic_fde")) return "LLVM's libunwind";
    void *libgcc = dlopen("libgcc_s.so.1", RTLD_NOW);
    if (!libgcc) return "an unknown unwinder";
    if (dlvsym(libgcc, "__mulbitint3", "GCC_14.0.0")) return "libgcc 14 or later";
    return dlvsym(libgcc, "__truncxfbf2", "GCC_13.0.0") ? "libgcc 13" : "libgcc before 13";
}

/* ---- Text ---- */

/* Returns the KiB of Private_Dirty in the executable mapping of an address. */
static long dirty_text(const void *address) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    must_work(maps != NULL, "/proc/self/smaps");
    char line[4096];
    long dirty = -1;
    int inside = 0;
    while (fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        long value;
        char rights[8];
        if (sscanf(line, "%lx-%lx %7s", &start, &end, rights) == 3) {
            inside = start <= (uintptr_t)address && (uintptr_t)address < end && rights[2] == 'x';
        } else if (inside && sscanf(line, "Private_Dirty: %ld kB", &value) == 1) {
            dirty = value;
        }
    }
    fclose(maps);
    return dirty;
}

static long text_of(const loading_t *loading) {
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    must(artifact_open_file(loading->path, loading->engine, NULL, &artifact, &error), &error);
    must(artifact_load(artifact, loading->engine, &loading->options, &code, &error), &error);
    void *function = artifact_code_symbol(code, 0, loading->function, NULL);
    call(function);
    long dirty = dirty_text(function);
    artifact_code_free(code);
    artifact_free(artifact);
    return dirty;
}

int main(int argc, char **argv) {
    arguments_t arguments = begin(argc, argv);
    size_t rounds = arguments.quick ? 51 : 501;
    artifact_engine_t *engine = artifact_engine_new_host();
    fill_imports();
    artifact_load_options_t plain = ARTIFACT_LOAD_OPTIONS_INIT, hosted = ARTIFACT_LOAD_OPTIONS_INIT;
    hosted.symbols = imports;
    hosted.symbol_count = IMPORTS;
    enum { ROWS = 4 };
    loading_t rows[ROWS] = {
        {engine, "1 function", "f1", "call_many", 1, "a", plain, 1.3},
        {engine, "200 functions", "f200", "call_many", 1, "b", plain, 1.3},
        {engine, "5,000 functions", "f5000", "call_many", 1, "c", plain, 1.15},
        {engine, "200 imports", "imports", "call_host", 1, "d", hosted, 1.2},
    };
    loading_t many = {engine, "1,000 modules", "f1", "call_many", MANY, "e", plain, 6};
    make_many(many.module);
    save(&many);
    printf("libartifact %s, loading: open, load (which checks), look up, call, free. raw: dlopen(RTLD_NOW) dlsym call "
           "dlclose\n"
           "                   raw us  ours us   ratio\n",
           artifact_version_string());
    int good = 1;
    double ratios[ROWS + 1];
    long dirty = 0;
    for (size_t i = 0; i <= ROWS; i++) {
        loading_t *row = i < ROWS ? &rows[i] : &many;
        if (i < ROWS) save(row);
        way_t ways[2] = {{i < ROWS ? load_raw : many_raw, row, 0}, {load_ours, row, 0}};
        measure(ways, 2, i < ROWS ? rounds : rounds / 25 + 1);
        ratios[i] = ways[0].ns / ways[1].ns;
        printf("  %-15s %8.2f %8.2f   %5.2f\n", row->what, ways[0].ns / 1e3, ways[1].ns / 1e3, ratios[i]);
        fflush(stdout);
        long found = text_of(row);
        must_work(found >= 0, "executable pages");
        dirty += found;
    }
    loading_t part = many;
    part.options.modules = &in_the_middle, part.options.module_count = 1, part.modules = in_the_middle + 1;
    way_t parts[2] = {{load_ours, &rows[0], 0}, {load_ours, &part, 0}};
    measure(parts, 2, rounds);
    const double part_cost = parts[1].ns / parts[0].ns;
    printf("one of 1,000 modules: %.2f us, the same module by itself: %.2f us\n", parts[1].ns / 1e3, parts[0].ns / 1e3);
    double one, all;
    throw_costs(engine, rounds, &one, &all);
    printf("a throw and its catch, with %s: %.0f ns with 1 module, %.0f ns with %d\n", unwinder(), one, all, THROWING);

    printf("\nLimits\n");
    for (size_t i = 0; i < ROWS; i++) good = at_least(rows[i].what, ratios[i], rows[i].min) && good;
    good = at_least(many.what, ratios[ROWS], many.min) && good;
    good = at_most("one of 1,000 modules / that module", part_cost, max_part, "x") && good;
    if (one > 0) good = at_most("a throw with 5,000 modules / with 1", all / one, max_throw_cost, "x") && good;
    good = at_most("Private_Dirty in text", (double)dirty, 0, " KiB") && good;
    artifact_engine_free(engine);
    return arguments.strict && !good ? 1 : 0;
}
