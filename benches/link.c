/*
 * Compares linking with those linkers of the system that are installed. The library links objects in memory to a module
 * in memory. The linkers run as a process, from file to file, as a compiler without the library would run them. Then
 * links objects of half a million and of a million symbols, sections and relocations, and half as many groups: an item
 * should take as long in both. `--strict` fails if the library is not faster or grows faster than its input, `--quick`
 * takes fewer rounds and a tenth of the items.
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

static void link_raw(void *context) {
    char *words[] = {context, "-shared", "-Bsymbolic", "-o", "b", "a", NULL};
    must_work(spawn(words), context);
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

static FILE *new_source(void) {
    FILE *source = fopen("s", "w");
    must_work(source != NULL, "s");
    return source;
}

static void compile(FILE *source, const char *language) {
    must_work(fclose(source) == 0, "s");
    char *words[] = {"cc", "-O1", "-fPIC", "-c", "-x", (char *)language, "-o", "a", "s", NULL};
    must_work(spawn(words), "cc");
}

/* Compiles an object of functions, each of which has data of its own and calls the next function and one of the host.
 */
static void compile_small(size_t functions) {
    FILE *source = new_source();
    fprintf(source, "int host(int);\n");
    for (size_t i = 0; i < functions; i++) fprintf(source, "int f%zu(int);\n", i);
    for (size_t i = 0; i < functions; i++) {
        fprintf(source,
                "static int d%zu = %zu; int *p%zu = &d%zu; int f%zu(int n) { return n ? f%zu(n - 1) + host(d%zu++) : "
                "0; }\n",
                i, i, i, i, i, (i + 1) % functions, i);
    }
    compile(source, "c");
}

/* Compiles an object in the proportions of SQLite's amalgamation: long functions, of which most are static, and
 * strings.
 */
static void compile_large(size_t functions) {
    FILE *source = new_source();
    fprintf(source, "int host(const char *, int);\n");
    for (size_t i = 0; i < functions; i++) {
        fprintf(source, "%s __attribute__((noinline)) int f%zu(int *p, int n) {\n", i % 8 ? "static" : "", i);
        for (size_t line = 0; line < 24; line++)
            fprintf(source, "p[n & %zu] ^= n * %zu; n += p[%zu];\n", line, i, line);
        fprintf(source, "if (n == %zu) return host(\"message %zu of many\", n);\n", i, i);
        if (i == 0) fprintf(source, "return n; }\n");
        if (i > 0) fprintf(source, "return f%zu(p, n) + f%zu(p, n + 1); }\n", i - 1, i / 2);
    }
    compile(source, "c");
}

typedef struct {
    const char *name;
    void (*compile)(size_t count);
    size_t count;
} row_t;

static double compare(const artifact_engine_t *engine, size_t turns) {
    static const char *const known[] = {"ld", "ld.lld", "mold", "wild"};
    enum { KNOWN = sizeof known / sizeof *known };
    const char *linkers[KNOWN];
    size_t count = 0;
    printf("functions             object   ours us");
    for (size_t i = 0; i < KNOWN; i++) {
        char *words[] = {(char *)known[i], "--version", NULL};
        if (!spawn(words)) continue;
        linkers[count++] = known[i];
        printf(" %6s us  ratio", known[i]);
    }
    printf("\n");
    static const row_t rows[] = {{"short", compile_small, 1},
                                 {"short", compile_small, 200},
                                 {"short", compile_small, 5000},
                                 {"long", compile_large, 2400}};
    double worst = 1e9;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        rows[i].compile(rows[i].count);
        bytes_t bytes = map_file("a");
        ours_t ours = {engine, {"a", bytes.data, bytes.len}};
        way_t ways[1 + KNOWN] = {{.run = link_ours, .context = &ours}};
        for (size_t at = 0; at < count; at++) ways[1 + at] = (way_t){.run = link_raw, .context = (void *)linkers[at]};
        measure(ways, 1 + count, turns);
        printf("%9zu  %-5s  ", rows[i].count, rows[i].name);
        print_size(bytes.len);
        printf(" %9.0f", ways[0].ns / 1e3);
        for (size_t at = 1; at <= count; at++) {
            double ratio = ways[at].ns / ways[0].ns;
            printf(" %9.0f  %5.1f", ways[at].ns / 1e3, ratio);
            if (ratio < worst) worst = ratio;
        }
        printf("\n");
        fflush(stdout);
        unmap(bytes);
    }
    return worst;
}

static void symbols(size_t count) {
    FILE *source = new_source();
    for (size_t i = 0; i < count; i++) fprintf(source, ".globl f%zu\nf%zu: ret\n", i, i);
    compile(source, "assembler");
}

static void sections(size_t count) {
    FILE *source = new_source();
    for (size_t i = 0; i < count; i++) fprintf(source, ".section .text.f%zu, \"ax\"\nret\n", i);
    compile(source, "assembler");
}

static void relocations(size_t count) {
    FILE *source = new_source();
    fprintf(source, ".globl f\nf: ret\n.data\n");
    for (size_t i = 0; i < count; i++) fprintf(source, ".quad f\n");
    compile(source, "assembler");
}

static void groups(size_t count) {
    FILE *source = new_source();
    for (size_t i = 0; i < count; i++) {
        fprintf(source, ".section .text.g%zu, \"axG\", %%progbits, g%zu, comdat\n.weak g%zu\ng%zu: ret\n", i, i, i, i);
    }
    compile(source, "assembler");
}

/* Returns how much longer an item takes among twice as many, at worst. A group takes two sections, of
 * which an object may have 2^20, so there are half as many groups. */
static double grow(const artifact_engine_t *engine, size_t most) {
    const row_t rows[] = {{"symbols", symbols, most},
                          {"sections", sections, most},
                          {"relocations", relocations, most},
                          {"groups", groups, most / 2}};
    double worst = 0;
    printf("\nitems           number     ns each    number     ns each  ratio\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bytes_t bytes[2];
        ours_t ours[2];
        way_t ways[2];
        for (size_t step = 0; step < 2; step++) {
            rows[i].compile(step ? rows[i].count : rows[i].count / 2);
            must_work(rename("a", step ? "d" : "c") == 0, "a");
            bytes[step] = map_file(step ? "d" : "c");
            ours[step] = (ours_t){engine, {"a", bytes[step].data, bytes[step].len}};
            ways[step] = (way_t){.run = link_ours, .context = &ours[step]};
        }
        measure(ways, 2, 5);
        double few = ways[0].ns / (double)(rows[i].count / 2), many = ways[1].ns / (double)rows[i].count;
        double ratio = many / few;
        printf("%-12s %9zu %11.0f %9zu %11.0f  %5.2f\n", rows[i].name, rows[i].count / 2, few, rows[i].count, many,
               ratio);
        fflush(stdout);
        for (size_t step = 0; step < 2; step++) unmap(bytes[step]);
        if (ratio > worst) worst = ratio;
    }
    return worst;
}

int main(int argc, char **argv) {
    arguments_t arguments = begin(argc, argv);
    artifact_engine_t *engine = artifact_engine_new();
    printf(
        "libartifact %s, linking one object. ours: in this process, in memory; others: a process, from file to file\n",
        artifact_version_string());
    double worst = compare(engine, arguments.quick ? 11 : 51);
    double growth = grow(engine, arguments.quick ? 100000 : 1000000);
    int good = at_least("the fastest linker / ours", worst, 1);
    /* With quadratic growth it would be 2. The CPU's caches hold less of the longer lists. */
    good &= at_most("an item among twice as many", growth, 1.6, "");
    artifact_engine_free(engine);
    return arguments.strict && !good ? 1 : 0;
}
