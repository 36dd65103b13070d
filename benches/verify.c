/*
 * Compares verification with BLAKE3 of the same bytes on one thread: pinned to one processor, and with all processors.
 * `--strict` fails if the limit is missed, `--quick` takes fewer rounds.
 */
#include "bench.h"

#include <sched.h>

/* The limit of BLAKE3 / ours: with all processors for files of 1 MiB or more, and on one processor for modules of 256
 * KiB or more. */
static const double min_ratio = 0.9;

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

static void verify_one(void *context) {
    cpu_set_t before, one;
    must_work(sched_getaffinity(0, sizeof before, &before) == 0, "affinity");
    CPU_ZERO(&one);
    CPU_SET((size_t)sched_getcpu(), &one);
    must_work(sched_setaffinity(0, sizeof one, &one) == 0, "affinity");
    verify_all(context);
    must_work(sched_setaffinity(0, sizeof before, &before) == 0, "affinity");
}

int main(int argc, char **argv) {
    arguments_t arguments = begin(argc, argv);
    artifact_engine_t *wasmtime = artifact_engine_new_wasmtime();
    printf("libartifact %s, verifying an opened artifact. raw: BLAKE3 on one thread; one: pinned to one processor;\n"
           "all: with all %ld processors; ratios: raw / ours\n"
           "modules  file size   raw us   one us  ratio   all us  ratio\n",
           artifact_version_string(), sysconf(_SC_NPROCESSORS_ONLN));
    enum { ROWS = 7 };
    verifying_t rows[ROWS] = {
        {.modules = 1, .len = 64 << 10},      {.modules = 1, .len = 1 << 20},   {.modules = 1, .len = 4 << 20},
        {.modules = 1, .len = 16 << 20},      {.modules = 1, .len = 256 << 20}, {.modules = 51, .len = 51 << 18},
        {.modules = 1000, .len = 1000 << 15},
    };
    double worst = 1e9, worst_all = 1e9;
    for (size_t i = 0; i < ROWS; i++) {
        artifact_error_t *error = NULL;
        verifying_t *row = &rows[i];
        row->path[0] = (char)('a' + i);
        make_artifact(wasmtime, row->path, row->modules, row->len, 1);
        must(artifact_open_file(row->path, wasmtime, NULL, &row->artifact, &error), &error);
        row->bytes = map_file(row->path);
        size_t len = row->bytes.len;
        way_t ways[] = {{.run = hash_raw, .context = row},
                        {.run = verify_one, .context = row},
                        {.run = verify_all, .context = row}};
        measure(ways, 3, len > 64 << 20 ? 9 : arguments.quick ? 21 : 101);
        printf("%7zu  ", row->modules);
        print_size(len);
        printf(" %8.0f %8.0f  %5.2f %8.0f  %5.2f\n", ways[0].ns / 1e3, ways[1].ns / 1e3, ways[0].ns / ways[1].ns,
               ways[2].ns / 1e3, ways[0].ns / ways[2].ns);
        fflush(stdout);
        if (row->len / row->modules >= 256 << 10 && ways[0].ns / ways[1].ns < worst) worst = ways[0].ns / ways[1].ns;
        if (row->len >= 1 << 20 && ways[0].ns / ways[2].ns < worst_all) worst_all = ways[0].ns / ways[2].ns;
        artifact_free(row->artifact);
        unmap(row->bytes);
    }
    int good = at_least("BLAKE3 / verifying", worst_all, min_ratio);
    good &= at_least("the same on one processor", worst, min_ratio);
    artifact_engine_free(wasmtime);
    return arguments.strict && !good ? 1 : 0;
}
