/*
 * Compares linking with the system's linker and, if it is installed, mold. The library links objects in memory to a
 * module in memory. The linkers run as a process, from file to file, as a compiler without the library would run them.
 * `--strict` fails if the library is not faster, `--quick` takes fewer rounds.
 */
#include "bench.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static int spawn(char *const *words) {
    pid_t child;
    int status = -1;
    posix_spawn_file_actions_t quiet;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    if (posix_spawnp(&child, words[0], &quiet, NULL, words, environ) == 0) waitpid(child, &status, 0);
    posix_spawn_file_actions_destroy(&quiet);
    return status == 0;
}

typedef struct {
    const char *program;
} system_t;

static void link_raw(void *context) {
    const system_t *system = context;
    char *words[] = {(char *)system->program, "-shared", "-Bsymbolic", "-o", "b", "a", NULL};
    must_work(spawn(words), system->program);
}

typedef struct {
    const artifact_engine_t *engine;
    artifact_object_t object;
} ours_t;

static void link_ours(void *context) {
    const ours_t *ours = context;
    artifact_error_t *error = NULL;
    artifact_builder_t *builder = NULL;
    must(artifact_builder_new(ours->engine, &builder, &error), &error);
    must(artifact_builder_add_objects(builder, &ours->object, 1, NULL, NULL, &error), &error);
    artifact_builder_free(builder);
}

/* Compiles an object of functions, each of which has data of its own and calls the next function and one of the host.
 */
static void compile(size_t functions) {
    FILE *source = fopen("s", "w");
    must_work(source != NULL, "s");
    fprintf(source, "int host(int);\n");
    for (size_t i = 0; i < functions; i++) fprintf(source, "int f%zu(int);\n", i);
    for (size_t i = 0; i < functions; i++) {
        fprintf(source,
                "static int d%zu = %zu; int *p%zu = &d%zu; int f%zu(int n) { return n ? f%zu(n - 1) + host(d%zu++) : "
                "0; }\n",
                i, i, i, i, i, (i + 1) % functions, i);
    }
    must_work(fclose(source) == 0, "s");
    char *words[] = {"cc", "-O1", "-fPIC", "-c", "-x", "c", "-o", "a", "s", NULL};
    must_work(spawn(words), "cc");
}

int main(int argc, char **argv) {
    arguments_t arguments = begin(argc, argv);
    artifact_engine_t *engine = artifact_engine_new();
    char *have_mold[] = {"mold", "--version", NULL};
    int mold = spawn(have_mold);
    printf("libartifact %s, linking one object. ours: in this process, in memory; ld%s: a process, from file to file\n"
           "functions    object   ours us     ld us  ratio%s\n",
           artifact_version_string(), mold ? ", mold" : " (mold is not installed)", mold ? "   mold us  ratio" : "");
    static const size_t rows[] = {1, 200, 5000};
    double worst = 1e9;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        compile(rows[i]);
        bytes_t bytes = map_file("a");
        ours_t ours = {engine, {"a", bytes.data, bytes.len}};
        system_t systems[] = {{"ld"}, {"mold"}};
        way_t ways[] = {{.run = link_ours, .context = &ours},
                        {.run = link_raw, .context = &systems[0]},
                        {.run = link_raw, .context = &systems[1]}};
        measure(ways, mold ? 3 : 2, arguments.quick ? 11 : 51);
        printf("%9zu  ", rows[i]);
        print_size(bytes.len);
        for (size_t way = 0; way < (mold ? 3u : 2u); way++) {
            printf(" %9.0f", ways[way].ns / 1e3);
            if (way == 0) continue;
            double ratio = ways[way].ns / ways[0].ns;
            printf("  %5.1f", ratio);
            if (ratio < worst) worst = ratio;
        }
        printf("\n");
        fflush(stdout);
        unmap(bytes);
    }
    int good = at_least("the faster linker / ours", worst, 1);
    artifact_engine_free(engine);
    return arguments.strict && !good ? 1 : 0;
}
