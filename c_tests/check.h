/*
 * The harness of the C tests. Include it first. A test file looks like this:
 *
 *     #include "check.h"
 *     TEST(buffer_free_takes_null) { artifact_buffer_free(NULL); }
 *
 * `./test_buffer buffer_free_takes_null` runs one test: exit status 0 is passed, 1 failed, 77 skipped. `./test_buffer`
 * runs each test in a process of its own. A failed CHECK ends the process, so callbacks and helpers may use it too.
 */
#ifndef CHECK_H
#define CHECK_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp and nftw here; memfd_create and others in the tests */
#endif
#include <artifact.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef FIXTURES_DIR
#define FIXTURES_DIR "tests/fixtures"
#endif

#define TEST(name)                                                                                                     \
    static void test_##name(void);                                                                                     \
    __attribute__((constructor)) static void add_##name(void) { check_add(#name, test_##name); }                       \
    static void test_##name(void)
#define CHECK(cond) ((cond) ? (void)0 : check_fail(__FILE__, __LINE__, #cond, "it is false", ""))
/* Compares statuses by number and prints them by name. */
#define CHECK_STATUS(call, expected) check_status(__FILE__, __LINE__, #call, (uint32_t)(call), (uint32_t)(expected))
#define CHECK_STR(a, b) check_str(__FILE__, __LINE__, #a, (a), (b))
#define SKIP(msg) (printf("skipped: %s\n", (msg)), exit(77))

static struct check_test {
    const char *name;
    void (*run)(void);
} check_tests[500];
static size_t check_count;

static inline void check_add(const char *name, void (*run)(void)) {
    if (check_count == sizeof check_tests / sizeof *check_tests) abort();
    check_tests[check_count++] = (struct check_test){name, run};
}

static inline void check_fail(const char *file, int line, const char *what, const char *found, const char *expected) {
    fprintf(stderr, "%s:%d: %s: %s%s%s\n", file, line, what, found, *expected ? ", expected " : "", expected);
    exit(1);
}

static inline void check_status(const char *file, int line, const char *call, uint32_t found, uint32_t expected) {
    if (found != expected) check_fail(file, line, call, artifact_status_name(found), artifact_status_name(expected));
}

static inline void check_str(const char *file, int line, const char *what, const char *found, const char *expected) {
    found = found ? found : "(NULL)";
    expected = expected ? expected : "(NULL)";
    if (strcmp(found, expected) != 0) check_fail(file, line, what, found, *expected ? expected : "an empty string");
}

/* Returns the path of a fixture. Valid until this thread's next call. */
static inline const char *fixture(const char *name) {
    static _Thread_local char path[4096];
    snprintf(path, sizeof path, "%s/%s", FIXTURES_DIR, name);
    return path;
}

static char check_folder[3000];

static inline int check_remove(const char *path, const struct stat *stat, int type, struct FTW *ftw) {
    (void)stat, (void)type, (void)ftw;
    return remove(path);
}

static inline void check_clean(void) { nftw(check_folder, check_remove, 8, FTW_DEPTH | FTW_PHYS); }

/* Returns a path in a folder of this process, which is removed when the process ends. Valid until this thread's next
 * call.
 */
static inline const char *scratch(const char *name) {
    static _Thread_local char path[4096];
    if (!*check_folder) {
        const char *parent = getenv("TEST_TMP");
        snprintf(check_folder, sizeof check_folder, "%s/artifact-test-XXXXXX", parent ? parent : "/tmp");
        if (!mkdtemp(check_folder)) check_fail(__FILE__, __LINE__, check_folder, "can't be made", "");
        atexit(check_clean);
    }
    snprintf(path, sizeof path, "%s/%s", check_folder, name);
    return path;
}

int main(int argc, char **argv) {
    size_t failed = 0, skipped = 0;
    for (size_t i = 0; i < check_count; i++) {
        if (argc > 1) {
            if (strcmp(argv[1], check_tests[i].name) != 0) continue;
            check_tests[i].run();
            return 0;
        }
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            check_tests[i].run();
            exit(0);
        }
        int status = -1;
        if (child < 0 || waitpid(child, &status, 0) != child) return 1;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
            skipped++;
        } else if (status != 0) {
            fprintf(stderr, "FAILED %s\n", check_tests[i].name);
            failed++;
        }
    }
    if (argc > 1) return fprintf(stderr, "no such test: %s\n", argv[1]), 1;
    printf("%zu tests, %zu failed, %zu skipped\n", check_count, failed, skipped);
    return failed != 0;
}
#endif
