/*
 * What a fresh process pays: the start of one that only links the library against one that doesn't, and the first open,
 * load and call, with its engine, against the first dlopen(RTLD_NOW), dlsym and call, as each process measures itself.
 * `--strict` fails if a limit is missed, `--quick` takes fewer rounds.
 */
#include "bench.h"

#include <spawn.h>
#include <sys/wait.h>

static const double max_start_us = 150; /* a start with the library - one without */
static const double max_first = 1.3;    /* the first call of ours / of dlopen's */

extern char **environ;

/* A program, what it opens, and the times that its processes have reported. */
typedef struct {
    const char *program, *file;
    double *times;
    size_t count;
} start_t;

/* Runs the program to its end. */
static void run(void *context) {
    start_t *start = context;
    int ends[2], status;
    pid_t child;
    posix_spawn_file_actions_t actions;
    must_work(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
    must_work(posix_spawn_file_actions_init(&actions) == 0, "posix_spawn");
    must_work(posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO) == 0, "posix_spawn");
    char *argv[] = {(char *)(uintptr_t)start->program, (char *)(uintptr_t)start->file, NULL};
    must_work(posix_spawn(&child, start->program, &actions, NULL, argv, environ) == 0, start->program);
    must_work(waitpid(child, &status, 0) == child && status == 0, start->program);
    if (start->times)
        must_work(read(ends[0], &start->times[start->count++], sizeof(double)) == sizeof(double), "a time");
    posix_spawn_file_actions_destroy(&actions);
    close(ends[0]);
    close(ends[1]);
}

/* Returns the median of the time between a process's main() and the end of its first call, for each of two programs,
 * which take turns. */
static void first_calls(const char *raw, const char *ours, size_t rounds, double medians[2]) {
    start_t starts[2] = {{BENCH_PROGRAMS "/start_dlopen", raw, calloc(rounds, sizeof(double)), 0},
                         {BENCH_PROGRAMS "/start_artifact", ours, calloc(rounds, sizeof(double)), 0}};
    must_work(starts[0].times && starts[1].times, "memory");
    for (size_t i = 0; i < 2 * rounds; i++) run(&starts[i % 2]);
    for (size_t i = 0; i < 2; i++) {
        qsort(starts[i].times, rounds, sizeof(double), by_size);
        medians[i] = starts[i].times[rounds / 2];
        free(starts[i].times);
    }
}

static void save(const char *module, const char *to) {
    artifact_error_t *error = NULL;
    artifact_builder_t *builder = NULL;
    artifact_engine_t *engine = artifact_engine_new();
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.o", BENCH_MODULES, module);
    bytes_t bytes = map_file(path);
    artifact_object_t object = {module, bytes.data, bytes.len};
    must(artifact_builder_new(engine, &builder, &error), &error);
    must(artifact_builder_add_objects(builder, &object, 1, NULL, NULL, &error), &error);
    unmap(bytes);
    must(artifact_serialize_to_file(builder, to, NULL, &error), &error);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
}

int main(int argc, char **argv) {
    arguments_t arguments = begin(argc, argv);
    const size_t rounds = arguments.quick ? 201 : 1001;
    static const char *const names[] = {"1 function", "200 functions", "5,000 functions"};
    static const char *const modules[] = {"f1", "f200", "f5000"};
    enum { ROWS = sizeof modules / sizeof *modules };

    start_t without = {BENCH_PROGRAMS "/start_dlopen", NULL, NULL, 0};
    start_t with = {BENCH_PROGRAMS "/start_artifact", NULL, NULL, 0};
    way_t ways[2] = {{run, &without, 0}, {run, &with, 0}};
    measure(ways, 2, rounds);
    const double added = (ways[1].ns - ways[0].ns) / 1e3;
    printf("libartifact %s, a fresh process, in microseconds\n"
           "start and end of one without the library: %.0f, of one that only links it: %.0f\n\n"
           "                    dlopen     ours   ratio\n",
           artifact_version_string(), ways[0].ns / 1e3, ways[1].ns / 1e3);
    double ratios[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        char so[4096];
        double medians[2];
        snprintf(so, sizeof so, "%s/%s.so", BENCH_MODULES, modules[i]);
        save(modules[i], "a");
        first_calls(so, "a", rounds, medians);
        ratios[i] = medians[1] / medians[0];
        printf("  %-16s %8.1f %8.1f   %5.2f\n", names[i], medians[0] / 1e3, medians[1] / 1e3, ratios[i]);
        fflush(stdout);
    }
    printf("\nLimits\n");
    int good = at_most("what linking the library adds to a start", added, max_start_us, " us");
    for (size_t i = 0; i < ROWS; i++) good = at_most(names[i], ratios[i], max_first, "x") && good;
    return arguments.strict && !good ? 1 : 0;
}
