/*
 * Compares verification with BLAKE3 of the same bytes on one thread: both pinned to one processor, and with all
 * processors.
 * `--strict` fails if the limit is missed, `--quick` takes fewer rounds.
 */
#include "bench.h"

#include <sched.h>

/* The limits of BLAKE3 / ours: of one module, and of 1,000 modules of 30 KiB on one processor. */
static const double min_ratio = 0.9, min_ratio_many = 0.85;

typedef struct {
    size_t modules;
    uint64_t len; /* about */
    artifact_t *artifact;
    bytes_t bytes;
    char path[2];
} verifying_t;

static void hash_raw(void *context) {
    const verifying_t *verifying = context;
    uint8_t digest[32];
    raw_blake3(verifying->bytes.data, verifying->bytes.len, digest);
}

static void verify_all(void *context) {
    const verifying_t *verifying = context;
    artifact_error_t *error = NULL;
    artifact_report_t *report = NULL;
    must(artifact_verify(verifying->artifact, &report, &error), &error);
    artifact_report_free(report);
}

/* Measures BLAKE3 and verifying side by side, on the processors that the process may use. Returns BLAKE3 / verifying.
 */
static double compare(verifying_t *verifying, size_t turns, double ns[2]) {
    way_t ways[] = {{.run = hash_raw, .context = verifying}, {.run = verify_all, .context = verifying}};
    measure(ways, 2, turns);
    ns[0] = ways[0].ns;
    ns[1] = ways[1].ns;
    return ns[0] / ns[1];
}

int main(int argc, char **argv) {
    arguments_t arguments = begin(argc, argv);
    artifact_engine_t *wasmtime = artifact_engine_new_wasmtime();
    printf("libartifact %s, verifying an opened artifact. raw: BLAKE3 on one thread; one: pinned to one processor;\n"
           "all: with all %ld processors; ratios: raw / ours\n"
           "modules  file size   raw us   one us  ratio   raw us   all us  ratio\n",
           artifact_version_string(), sysconf(_SC_NPROCESSORS_ONLN));
    enum { ROWS = 7 };
    verifying_t rows[ROWS] = {
        {.modules = 1, .len = 64 << 10},      {.modules = 1, .len = 1 << 20},   {.modules = 1, .len = 4 << 20},
        {.modules = 1, .len = 16 << 20},      {.modules = 1, .len = 256 << 20}, {.modules = 51, .len = 51 << 18},
        {.modules = 1000, .len = 1000 << 15},
    };
    cpu_set_t all, one;
    must_work(sched_getaffinity(0, sizeof all, &all) == 0, "affinity");
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    double worst = 1e9, worst_all = 1e9, many = 0;
    for (size_t i = 0; i < ROWS; i++) {
        artifact_error_t *error = NULL;
        verifying_t *row = &rows[i];
        row->path[0] = (char)('a' + i);
        make_artifact(wasmtime, row->path, row->modules, row->len, 1);
        must(artifact_open_file(row->path, wasmtime, NULL, &row->artifact, &error), &error);
        row->bytes = map_file(row->path);
        size_t len = row->bytes.len;
        size_t turns = len > 64 << 20 ? 9 : arguments.quick ? 21 : 101;
        double pinned[2], free_to_move[2];
        must_work(sched_setaffinity(0, sizeof one, &one) == 0, "affinity");
        double ratio = compare(row, turns, pinned);
        must_work(sched_setaffinity(0, sizeof all, &all) == 0, "affinity");
        double ratio_all = compare(row, turns, free_to_move);
        printf("%7zu  ", row->modules);
        print_size(len);
        printf(" %8.0f %8.0f  %5.2f %8.0f %8.0f  %5.2f\n", pinned[0] / 1e3, pinned[1] / 1e3, ratio,
               free_to_move[0] / 1e3, free_to_move[1] / 1e3, ratio_all);
        fflush(stdout);
        if (row->modules == 1000)
            many = ratio;
        else if (ratio < worst)
            worst = ratio;
        if (ratio_all < worst_all) worst_all = ratio_all;
        artifact_free(row->artifact);
        unmap(row->bytes);
    }
    int good = at_least("BLAKE3 / verifying", worst_all, min_ratio);
    good &= at_least("the same on one processor", worst, min_ratio);
    good &= at_least("the same on one processor, 1,000 modules of 30 KiB", many, min_ratio_many);
    artifact_engine_free(wasmtime);
    return arguments.strict && !good ? 1 : 0;
}
