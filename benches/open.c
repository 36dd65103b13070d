/*
 * Compares opening with the system calls that any implementation needs, in the same run. `--strict` fails if a limit is
 * missed, `--quick` takes fewer rounds.
 */
#include "bench.h"

/* The limits, for files with a trailer. */
static const double max_extra_us = 1.5;    /* ours - raw calls, where these take more than 3 us */
static const double max_ratio = 1.5;       /* ours / raw calls elsewhere */
static const double max_first = 2.2;       /* an engine's first opening / raw calls */
static const double max_signed_us = 40.0;  /* over files with distinct signatures */
static const double max_spread = 1.25;     /* slowest size / fastest size, one module */
static const double max_by_modules = 1.3;  /* 51 and 1000 modules / one module */
static const double max_check_ns = 1000.0; /* the check alone, one module */
static const double max_by_targets = 1.3;  /* five targets / the one of them that is chosen */

typedef struct {
    const char *name;
    const artifact_engine_t *engine;
    size_t modules;
    uint64_t len; /* about */
    artifact_t *artifact;
    const artifact_engine_t *trusting;
    char path[2], bare_path[2], signed_path[2];
    double raw, ours, bare, signed_, check;
} opening_t;

static void open_raw_path(const char *path) {
    struct stat stat;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    must_work(fd >= 0 && fstat(fd, &stat) == 0, path);
    void *bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    must_work(bytes != MAP_FAILED, path);
    munmap(bytes, (size_t)stat.st_size);
    close(fd);
}

static void open_raw(void *context) {
    const opening_t *opening = context;
    open_raw_path(opening->path);
}

static void open_path(const char *path, const artifact_engine_t *engine) {
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    must(artifact_open_file(path, engine, NULL, &artifact, &error), &error);
    must(artifact_check_compat(artifact, engine, &error), &error);
    artifact_free(artifact);
}

static void open_ours(void *context) {
    const opening_t *opening = context;
    open_path(opening->path, opening->engine);
}

static void open_bare(void *context) {
    const opening_t *opening = context;
    open_path(opening->bare_path, opening->engine);
}

static void open_signed(void *context) {
    const opening_t *opening = context;
    open_path(opening->signed_path, opening->trusting);
}

static void check_ours(void *context) {
    const opening_t *opening = context;
    artifact_error_t *error = NULL;
    must(artifact_check_compat(opening->artifact, opening->engine, &error), &error);
}

/* Saves a signed copy of an artifact. */
static void sign(const artifact_t *artifact, const artifact_key_t *key, const char *path) {
    artifact_error_t *error = NULL;
    artifact_builder_t *builder = NULL;
    artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
    options.flags = ARTIFACT_SAVE_NO_SYNC;
    must(artifact_builder_new_from_artifact(artifact, &builder, &error), &error);
    must(artifact_builder_add_key(builder, key, &error), &error);
    must(artifact_serialize_to_file(builder, path, &options, &error), &error);
    artifact_builder_free(builder);
}

/* Returns a copy of an engine that also trusts the key. */
static artifact_engine_t *trusting(const artifact_engine_t *engine, const artifact_key_t *key) {
    artifact_error_t *error = NULL;
    artifact_engine_t *clone = artifact_engine_clone(engine);
    artifact_public_key_t public_key;
    artifact_buffer_t *pem = NULL;
    must(artifact_key_public(key, &public_key, &error), &error);
    must(artifact_public_key_to_pem(&public_key, &pem, &error), &error);
    must(artifact_engine_trust_key(clone, (const char *)artifact_buffer_data(pem), &error), &error);
    artifact_buffer_free(pem);
    return clone;
}

enum { OPENINGS = 8, SIZES = 5, WAYS = 5 };

static void measure_opening(opening_t *openings, const artifact_key_t *key, size_t turns) {
    artifact_error_t *error = NULL;
    way_t ways[OPENINGS * WAYS];
    for (size_t i = 0; i < OPENINGS; i++) {
        opening_t *opening = &openings[i];
        opening->path[0] = (char)('a' + i);
        opening->bare_path[0] = (char)('n' + i);
        opening->signed_path[0] = (char)('A' + i);
        make_artifact(opening->engine, opening->path, opening->modules, opening->len, 1);
        make_artifact(opening->engine, opening->bare_path, opening->modules, opening->len, 0);
        must(artifact_open_file(opening->path, opening->engine, NULL, &opening->artifact, &error), &error);
        sign(opening->artifact, key, opening->signed_path);
        ways[i * WAYS] = (way_t){.run = open_raw, .context = opening};
        ways[i * WAYS + 1] = (way_t){.run = open_ours, .context = opening};
        ways[i * WAYS + 2] = (way_t){.run = open_bare, .context = opening};
        ways[i * WAYS + 3] = (way_t){.run = open_signed, .context = opening};
        ways[i * WAYS + 4] = (way_t){.run = check_ours, .context = opening};
    }
    measure(ways, OPENINGS * WAYS, turns);
    for (size_t i = 0; i < OPENINGS; i++) {
        opening_t *opening = &openings[i];
        opening->raw = ways[i * WAYS].ns, opening->ours = ways[i * WAYS + 1].ns;
        opening->bare = ways[i * WAYS + 2].ns, opening->signed_ = ways[i * WAYS + 3].ns;
        opening->check = ways[i * WAYS + 4].ns;
        printf("%-9s %6zu  ", opening->name, opening->modules);
        print_size(artifact_file_len(opening->artifact));
        printf(" %8.2f %8.2f   %5.2f %9.2f %10.2f  %8.0f\n", opening->raw / 1e3, opening->ours / 1e3,
               opening->ours / opening->raw, opening->bare / 1e3, opening->signed_ / 1e3, opening->check);
        artifact_free(opening->artifact);
    }
}

/* Returns whether what we add to the raw calls is within the limits. */
static int good_opening(const char *what, double ours, double raw) {
    char text[80];
    if (raw > 3000) {
        snprintf(text, sizeof text, "%s - raw calls", what);
        return at_most(text, (ours - raw) / 1e3, max_extra_us, " us");
    }
    snprintf(text, sizeof text, "%s / raw calls", what);
    return at_most(text, ours / raw, max_ratio, "x");
}

/* Opening many files, each with contents, digests and a signature of its own, in the order of their names. */
enum { FEW = 100, MANY = 1000 };

typedef struct {
    char path[5];
} name_t;

static double time_raw(const name_t *names) {
    const double start = now();
    for (size_t i = 0; i < FEW; i++) open_raw_path(names[i].path);
    return (now() - start) / FEW;
}

static double time_ours(const name_t *names, artifact_engine_t *const *engines, size_t step) {
    const double start = now();
    for (size_t i = 0; i < FEW; i++) open_path(names[i].path, engines[i * step]);
    return (now() - start) / FEW;
}

static double median(double *times, size_t count) {
    qsort(times, count, sizeof *times, by_size);
    return times[count / 2];
}

/* Measures files of `modules` modules each. Returns whether the limits are met. */
static int measure_distinct(const artifact_engine_t *engine, const artifact_key_t *key, size_t modules, int quick) {
    enum { ROUNDS = 50 };
    const size_t files = quick ? FEW : MANY;
    static name_t names[MANY];
    static double raw[ROUNDS], ours[ROUNDS], first[ROUNDS], signed_[ROUNDS];
    artifact_error_t *error = NULL;
    artifact_t *artifact = NULL;
    artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
    options.flags = ARTIFACT_SAVE_NO_SYNC;
    make_artifact(engine, "a", modules, modules * 1816, 1);
    must(artifact_open_file("a", engine, NULL, &artifact, &error), &error);
    for (size_t i = 0; i < files; i++) {
        artifact_builder_t *builder = NULL;
        snprintf(names[i].path, sizeof names[i].path, "%04zu", i);
        must(artifact_builder_new_from_artifact(artifact, &builder, &error), &error);
        must(artifact_builder_set_attribute(builder, "number", (const uint8_t *)&i, sizeof i, &error), &error);
        must(artifact_builder_add_key(builder, key, &error), &error);
        must(artifact_serialize_to_file(builder, names[i].path, &options, &error), &error);
        artifact_builder_free(builder);
    }
    artifact_engine_t *warm = artifact_engine_clone(engine), *trusted = trusting(engine, key), *fresh[FEW];
    open_path(names[0].path, warm);
    open_path(names[0].path, trusted);
    for (size_t round = 0; round < ROUNDS; round++) {
        const name_t *some = &names[round * FEW % files];
        for (size_t i = 0; i < FEW; i++) fresh[i] = artifact_engine_clone(engine);
        raw[round] = time_raw(some);
        ours[round] = time_ours(some, &warm, 0);
        first[round] = time_ours(some, fresh, 1);
        signed_[round] = time_ours(some, &trusted, 0);
        for (size_t i = 0; i < FEW; i++) artifact_engine_free(fresh[i]);
    }
    const double r = median(raw, ROUNDS), o = median(ours, ROUNDS), f = median(first, ROUNDS);
    const double s = median(signed_, ROUNDS);
    printf("%zu files of %zu modules: raw %.2f us, ours %.2f us, an engine's first %.2f us, signed %.2f us\n", files,
           modules, r / 1e3, o / 1e3, f / 1e3, s / 1e3);
    int good = good_opening("open, check and close", o, r);
    good &= at_most("an engine's first / raw calls", f / r, max_first, "x");
    good &= at_most("with a signature each", s / 1e3, max_signed_us, " us");
    for (size_t i = 0; i < files; i++) must_work(unlink(names[i].path) == 0, names[i].path);
    artifact_engine_free(warm), artifact_engine_free(trusted);
    artifact_free(artifact);
    return good;
}

/* The features of the x86-64 levels, as a compiler names them. */
static const char *const levels[4][24] = {
    {"cx8", "fxsr", "mmx", "sse", "sse2", "x87"},
    {"crc32", "cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3"},
    {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"},
    {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"},
};

/* Saves the five variants of a file of several targets, and the one that `host` chooses of them. Returns which that is.
 */
static size_t make_fat(const artifact_engine_t *host, const char *fat_path, const char *one_path) {
    artifact_error_t *error = NULL;
    artifact_fat_builder_t *fat = artifact_fat_builder_new();
    artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
    options.flags = ARTIFACT_SAVE_NO_SYNC;
    for (size_t variant = 0; variant < 5; variant++) {
        artifact_engine_t *engine = artifact_engine_new();
        const char *target = variant == 4 ? "aarch64-unknown-linux-gnu" : "x86_64-unknown-linux-gnu";
        must(artifact_engine_set_target(engine, target, &error), &error);
        for (size_t level = 0; level <= variant && variant < 4; level++) {
            for (const char *const *name = levels[level]; *name; name++)
                must(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, *name, true, &error), &error);
        }
        artifact_t *artifact = NULL;
        make_artifact(engine, one_path, 1, 64 << 10, 1);
        must(artifact_open_file(one_path, NULL, NULL, &artifact, &error), &error);
        must(artifact_fat_builder_add_artifact(fat, artifact, 0, NULL, &error), &error);
        must_work(unlink(one_path) == 0, one_path); /* the builder keeps it open */
        artifact_free(artifact);
        artifact_engine_free(engine);
    }
    must(artifact_fat_serialize_to_file(fat, fat_path, &options, &error), &error);
    artifact_fat_builder_free(fat);
    artifact_t *chosen = NULL;
    must(artifact_open_file(fat_path, host, NULL, &chosen, &error), &error);
    const size_t which = artifact_variant_chosen(chosen);
    fat = artifact_fat_builder_new();
    must(artifact_fat_builder_add_artifact(fat, chosen, 0, NULL, &error), &error);
    must(artifact_fat_serialize_to_file(fat, one_path, &options, &error), &error);
    artifact_fat_builder_free(fat);
    artifact_free(chosen);
    return which;
}

static double measure_targets(const artifact_engine_t *host, size_t turns) {
    opening_t fat = {.engine = host, .path = "1"}, one = {.engine = host, .path = "2"};
    const size_t which = make_fat(host, fat.path, one.path);
    way_t ways[] = {{.run = open_ours, .context = &fat}, {.run = open_ours, .context = &one}};
    measure(ways, 2, turns);
    printf("five targets, the host gets variant %zu: %.2f us; a file of that one: %.2f us\n", which, ways[0].ns / 1e3,
           ways[1].ns / 1e3);
    return ways[0].ns / ways[1].ns;
}

int main(int argc, char **argv) {
    arguments_t arguments = begin(argc, argv);
    size_t turns = arguments.quick ? 101 : 1001;
    /* An engine with as many settings as a real compiler has, and one with every feature of this CPU. */
    artifact_engine_t *wasmtime = artifact_engine_new_wasmtime(), *host = artifact_engine_new_host();
    printf("libartifact %s, opening, warm; medians of %zu rounds. A Wasmtime engine has %zu flags, a host engine %zu.\n"
           "raw: open fstat mmap munmap close; ours: open check close; bare: the same without a trailer;\n"
           "signed: with a signature, which is verified\n"
           "settings  modules  file size   raw us  ours us   ratio   bare us  signed us  check ns\n",
           artifact_version_string(), turns,
           artifact_engine_flag_count(wasmtime, ARTIFACT_FLAGS_SHARED) +
               artifact_engine_flag_count(wasmtime, ARTIFACT_FLAGS_ISA),
           artifact_engine_flag_count(host, ARTIFACT_FLAGS_ISA));
    artifact_key_t *key = NULL;
    artifact_error_t *error = NULL;
    must(artifact_key_generate(&key, &error), &error);
    artifact_engine_t *trusting_wasmtime = trusting(wasmtime, key), *trusting_host = trusting(host, key);
    opening_t openings[OPENINGS] = {
        {"Wasmtime", wasmtime, .trusting = trusting_wasmtime, .modules = 1, .len = 4 << 10},
        {"Wasmtime", wasmtime, .trusting = trusting_wasmtime, .modules = 1, .len = 64 << 10},
        {"Wasmtime", wasmtime, .trusting = trusting_wasmtime, .modules = 1, .len = 1 << 20},
        {"Wasmtime", wasmtime, .trusting = trusting_wasmtime, .modules = 1, .len = 64 << 20},
        {"Wasmtime", wasmtime, .trusting = trusting_wasmtime, .modules = 1, .len = 1 << 30},
        {"Wasmtime", wasmtime, .trusting = trusting_wasmtime, .modules = 51, .len = 51 << 13},
        {"Wasmtime", wasmtime, .trusting = trusting_wasmtime, .modules = 1000, .len = 1000 << 13},
        {"host", host, .trusting = trusting_host, .modules = 1, .len = 64 << 10},
    };
    measure_opening(openings, key, turns);

    double worst_check = 0, fastest = openings[0].ours, slowest = 0, many = 0, many_signed = 0;
    for (size_t i = 0; i < SIZES; i++) {
        double ours = openings[i].ours;
        if (openings[i].check > worst_check) worst_check = openings[i].check;
        if (ours < fastest) fastest = ours;
        if (ours > slowest) slowest = ours;
    }
    for (size_t i = SIZES; i < SIZES + 2; i++) {
        if (openings[i].ours > many) many = openings[i].ours;
        if (openings[i].signed_ > many_signed) many_signed = openings[i].signed_;
    }
    int good = good_opening("open, check and close", openings[1].ours, openings[1].raw);
    good &= at_most("slowest size / fastest size", slowest / fastest, max_spread, "x");
    good &= at_most("51 and 1000 modules / one", many / openings[1].ours, max_by_modules, "x");
    good &= at_most("the same, signed", many_signed / openings[1].signed_, max_by_modules, "x");
    good &= at_most("the check alone", worst_check, max_check_ns, " ns");
    good &= measure_distinct(wasmtime, key, 1, arguments.quick);
    good &= measure_distinct(wasmtime, key, 51, arguments.quick);
    good &= measure_distinct(wasmtime, key, 1000, arguments.quick);
#ifdef __x86_64__
    good &= at_most("five targets / one of them", measure_targets(host, turns), max_by_targets, "x");
#endif
    artifact_key_free(key);
    artifact_engine_free(trusting_wasmtime), artifact_engine_free(trusting_host);
    artifact_engine_free(wasmtime), artifact_engine_free(host);
    return arguments.strict && !good ? 1 : 0;
}
