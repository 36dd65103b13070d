/*
 * Compares saving with writing the same bytes and with BLAKE3 of them, whichever is slower, since digests are computed
 * while the file is written. Also measures memory. `--dir FOLDER` selects the disk, `--strict` fails if a limit is
 * missed, `--quick` takes fewer rounds.
 */
#include "bench.h"

/* The limits, for synced files. */
static const double min_ratio = 0.95;     /* the slower of writing and BLAKE3 / ours */
static const double max_memory = 1 << 10; /* KiB in addition to the payload */

typedef struct {
    const artifact_builder_t *builder;
    const artifact_buffer_t *bytes;
    artifact_save_options_t options;
} saving_t;

static void save_raw(void *context) {
    const saving_t *saving = context;
    int sync = !(saving->options.flags & ARTIFACT_SAVE_NO_SYNC);
    int fd = open("t", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    must_work(fd >= 0, "t");
    const uint8_t *data = artifact_buffer_data(saving->bytes);
    for (size_t rest = artifact_buffer_len(saving->bytes); rest;) {
        ssize_t written = write(fd, data, rest);
        must_work(written > 0, "t");
        data += written;
        rest -= (size_t)written;
    }
    must_work((!sync || fsync(fd) == 0) && close(fd) == 0, "t");
    must_work(rename("t", "s") == 0, "s");
    if (!sync) return;
    fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must_work(fd >= 0 && fsync(fd) == 0 && close(fd) == 0, folder);
}

static void hash_raw(void *context) {
    const saving_t *saving = context;
    uint8_t digest[32];
    raw_blake3(artifact_buffer_data(saving->bytes), artifact_buffer_len(saving->bytes), digest);
}

static void save_ours(void *context) {
    const saving_t *saving = context;
    artifact_error_t *error = NULL;
    must(artifact_serialize_to_file(saving->builder, "s", &saving->options, &error), &error);
}

/* Returns a line of /proc/self/status in KiB: the current resident memory, or its peak since the last reset. */
static double resident(const char *which) {
    char line[256];
    unsigned long found = 0;
    FILE *status = fopen("/proc/self/status", "r");
    must_work(status != NULL, "/proc/self/status");
    while (fgets(line, sizeof line, status)) {
        if (strncmp(line, which, strlen(which)) == 0) found = strtoul(line + strlen(which), NULL, 10);
    }
    fclose(status);
    return (double)found;
}

static double extra_memory(saving_t *saving) {
    FILE *reset = fopen("/proc/self/clear_refs", "w");
    must_work(reset && fputs("5", reset) >= 0 && fclose(reset) == 0, "/proc/self/clear_refs");
    double before = resident("VmRSS:");
    save_ours(saving);
    return resident("VmHWM:") - before;
}

static double measure_saving(const artifact_engine_t *engine, uint64_t len, int sync, size_t turns, double *memory) {
    artifact_error_t *error = NULL;
    artifact_builder_t *builder = NULL;
    artifact_buffer_t *bytes = NULL;
    make_module("m", len);
    must(artifact_builder_new(engine, &builder, &error), &error);
    must(artifact_builder_add_module_file(builder, "m", NULL, &error), &error);
    must(artifact_serialize(builder, &bytes, &error), &error);

    saving_t saving = {builder, bytes, ARTIFACT_SAVE_OPTIONS_INIT};
    if (!sync) saving.options.flags = ARTIFACT_SAVE_NO_SYNC;
    way_t ways[] = {{.run = save_raw, .context = &saving},
                    {.run = hash_raw, .context = &saving},
                    {.run = save_ours, .context = &saving}};
    measure(ways, 3, turns);
    *memory = extra_memory(&saving);
    double slower = ways[0].ns > ways[1].ns ? ways[0].ns : ways[1].ns;
    print_size(len);
    printf("  %-6s %10.0f %9.0f %10.0f   %5.2f %6.0f\n", sync ? "synced" : "not", ways[0].ns / 1e3, ways[1].ns / 1e3,
           ways[2].ns / 1e3, slower / ways[2].ns, *memory);
    fflush(stdout);
    artifact_buffer_free(bytes);
    artifact_builder_free(builder);
    return slower / ways[2].ns;
}

int main(int argc, char **argv) {
    arguments_t arguments = begin(argc, argv);
    artifact_engine_t *wasmtime = artifact_engine_new_wasmtime();
    printf("libartifact %s, saving. raw: open write (fsync) close rename (fsync of the folder); ours:\n"
           "artifact_serialize_to_file; extra: memory in addition to the payload; ratio: the slower of raw and "
           "BLAKE3 / ours\n"
           "     size  disk       raw us BLAKE3 us    ours us   ratio  extra KiB\n",
           artifact_version_string());
    static const uint64_t sizes[] = {4 << 10, 64 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20};
    double worst = 1e9, max = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t turns = sizes[i] >= 16 << 20 ? 9 : arguments.quick ? 21 : 101;
        for (int sync = 0; sync <= 1; sync++) {
            double memory, ratio = measure_saving(wasmtime, sizes[i], sync, turns, &memory);
            if (sync && ratio < worst) worst = ratio;
            if (memory > max) max = memory;
        }
    }
    int good = at_least("the slower of writing and BLAKE3 / saving and syncing", worst, min_ratio);
    good &= at_most("memory in addition to the payload", max, max_memory, " KiB");
    artifact_engine_free(wasmtime);
    return arguments.strict && !good ? 1 : 0;
}
