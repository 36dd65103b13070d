/*
 * The cache under faults: strace makes each system call of a call in turn fail, with each error that it can have, or
 * kills the process there. Whatever happens, a call that returns has the right code or none, the next process finds or
 * makes it, and nothing is left but temporary files of killed processes.
 */
#include "../cache.h"
#include "../check.h"
#include "trace.h"

enum { NUMBER = 42, OTHERS = 8 };

static char folder[4200];

/* Fills the folder: with the entry of the key, without it, or with more than the limits allow. */
static void reset(const char *call) {
    nftw(folder, check_remove, 8, FTW_DEPTH | FTW_PHYS);
    used_t *used = new_used_at(folder);
    if (strcmp(call, "open") == 0) {
        free_used(used);
        return;
    }
    open_used(used);
    if (strcmp(call, "get") == 0) CHECK_OUTCOME(use(used, NUMBER), ARTIFACT_CACHE_MADE);
    if (strcmp(call, "trim") == 0) {
        for (uint32_t i = 0; i < OTHERS; i++) CHECK_OUTCOME(use(used, i), ARTIFACT_CACHE_MADE);
    }
    free_used(used);
}

static int run(const char *call, const char *const *options, char output[64]) {
    const char *command[] = {CALL_PROGRAM, folder, call, NULL};
    return run_traced(command, "/", options, output);
}

static unsigned temporary;

static int count_temporary(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about, (void)place;
    temporary += type == FTW_F && strstr(path, ".tmp");
    return 0;
}

/* Expects that the folder is of use to the next process. */
static void check_cache(const char *what, bool killed) {
    used_t *used = open_used(new_used_at(folder));
    for (uint32_t i = 0; i < OTHERS; i++) {
        uint32_t outcome = look(used, i); /* checks that the code is the right one */
        expect(outcome == ARTIFACT_CACHE_HIT || outcome == ARTIFACT_CACHE_ABSENT, what,
               artifact_cache_outcome_name(outcome));
    }
    uint32_t outcome = use(used, NUMBER);
    expect(outcome == ARTIFACT_CACHE_HIT || outcome == ARTIFACT_CACHE_MADE, what, artifact_cache_outcome_name(outcome));
    outcome = look(used, NUMBER);
    expect(outcome == ARTIFACT_CACHE_HIT, what, artifact_cache_outcome_name(outcome));
    free_used(used);
    temporary = 0;
    nftw(folder, count_temporary, 8, FTW_PHYS);
    expect(temporary <= killed, what, "a temporary file is left");
}

static void fail_at(const char *call, const call_t *at, const char *error) {
    char output[64];
    injection_t injected = injection(at, error);
    const char *what = injected.inject;
    reset(call);
    int ended = run(call, options_of(&injected), output), status = -1;
    unsigned outcome = 0;
    long number = -1;
    expect(trace_says("INJECTED"), what, "the fault was not injected");
    bool memory = strncmp(at->name, "m", 1) == 0 || strcmp(at->name, "brk") == 0;
    if (!memory || !WIFSIGNALED(ended)) { /* without memory even for small allocations it is aborted */
        expect(ended == 0 && sscanf(output, "%d %u %ld", &status, &outcome, &number) == 3, what,
               "the call did not return");
        expect(number == 0 || number == NUMBER, what, "the wrong code");
        bool made = strcmp(call, "make") != 0 || number == NUMBER;
        if (strcmp(call, "trim") == 0) made = made || status == ARTIFACT_IO;
        expect((status == ARTIFACT_OK && made) || (strcmp(call, "trim") == 0 && status == ARTIFACT_IO) ||
                   (memory && status == ARTIFACT_NO_MEMORY),
               what, output);
    }
    check_cache(what, ended != 0);
}

static void kill_at(const char *call, const call_t *at) {
    char output[64];
    injection_t injected = injection(at, NULL);
    reset(call);
    int ended = run(call, options_of(&injected), output);
    expect(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL, injected.inject, "the process was not killed");
    check_cache(injected.inject, true);
}

static void every_fault(const char *call) {
    static call_t calls[MAX_CALLS];
    char output[64], expected[64];
    snprintf(folder, sizeof folder, "%s", scratch("code"));
    snprintf(trace, sizeof trace, "%s", scratch("trace"));
    reset(call);
    int status = run(call, (const char *const[]){"-e", "trace=all", NULL}, output);
    int outcome = strcmp(call, "get") == 0 ? ARTIFACT_CACHE_HIT : strcmp(call, "make") == 0 ? ARTIFACT_CACHE_MADE : 0;
    snprintf(expected, sizeof expected, "0 %d %d\n", outcome, outcome ? NUMBER : 0);
    size_t count = traced_calls(calls, status, strcmp(output, expected) == 0);
    CHECK(count > 0);
    for (size_t i = 0; i < count; i++) {
        /* A listing repeats few calls for each of 256 subfolders. */
        if (count > 200 && i > 40 && i + 40 < count && i % 37 != 0) continue;
        size_t row = 0;
        while (*faults[row].name && strcmp(faults[row].name, calls[i].name) != 0) row++;
        char list[64];
        snprintf(list, sizeof list, "%s", faults[row].errors);
        for (char *error = strtok(list, " "); error; error = strtok(NULL, " ")) fail_at(call, &calls[i], error);
        kill_at(call, &calls[i]);
    }
    printf("%zu system calls, %u runs\n", count, runs);
}

TEST(faults_of_a_cache_hit) { every_fault("get"); }
TEST(faults_of_a_cache_miss) { every_fault("make"); }
TEST(faults_of_a_cache_trim) { every_fault("trim"); }
TEST(faults_of_a_cache_open) { every_fault("open"); }
