/*
 * Runs programs under strace, which makes one of their system calls fail or kills them there. Include it after
 * support.h.
 *
 * A traced program calls close(MARK) before and after what is to be disturbed.
 */
#ifndef TRACE_H
#define TRACE_H
#include <ctype.h>
#include <signal.h>

enum { MARK = -1234, MAX_CALLS = 800 };

/* A system call between the marks: the nth of its name in the process. */
typedef struct call_t {
    char name[32];
    unsigned nth;
    bool renamed; /* the call comes after the rename */
} call_t;

/* The errors to inject. EINTR must not be reported; where it is not listed, Linux does not return it. */
static const struct {
    const char *name, *errors;
    bool must_fail; /* the save must report this error */
} faults[] = {
    {"openat", "EIO ENOSPC EROFS EMFILE EDQUOT EINTR", true},
    {"write", "EIO ENOSPC EDQUOT EINTR", true},
    {"writev", "EIO ENOSPC EDQUOT EINTR", true},
    {"fsync", "EIO ENOSPC EDQUOT EINTR", true},
    {"sync_file_range", "EIO ENOSPC EINTR", false}, /* fsync reports it too */
    {"fdatasync", "EIO ENOSPC EDQUOT EINTR", true},
    {"fchmod", "EIO EPERM EROFS EINTR", true},
    {"rename", "EIO ENOSPC EROFS", true},
    {"renameat", "EIO ENOSPC EROFS", true},
    {"renameat2", "EIO ENOSPC EROFS", true},
    {"close", "EIO ENOSPC EINTR", false}, /* fsync has reported it already */
    {"getrandom", "ENOSYS EINTR", false},
    {"mmap", "ENOMEM", false},
    {"mremap", "ENOMEM", false},
    {"brk", "ENOMEM", false},
    {"", "EIO", false},
};

static const struct {
    const char *name;
    int number;
} errors[] = {{"EIO", EIO},     {"ENOSPC", ENOSPC}, {"EROFS", EROFS},   {"EMFILE", EMFILE}, {"EDQUOT", EDQUOT},
              {"EINTR", EINTR}, {"EPERM", EPERM},   {"ENOSYS", ENOSYS}, {"ENOMEM", ENOMEM}};

static char trace[4200];
static unsigned runs;

/* Runs a command in a folder under strace with additional options. Returns its wait status; `output` receives what it
 * printed. */
static inline int run_traced(const char *const *command, const char *folder, const char *const *options,
                             char output[64]) {
    const char *words[32] = {"strace", "-f", "-qq", "-o", trace};
    size_t count = 5;
    while (*options) words[count++] = *options++;
    while (*command) words[count++] = *command++;
    int ends[2], status = 0;
    CHECK(count < COUNT(words) && pipe(ends) == 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDOUT_FILENO);
        if (chdir(folder) != 0) _exit(1);
        close(ends[0]), close(ends[1]);
        execvp("strace", (char *const *)(uintptr_t)words);
        _exit(127);
    }
    close(ends[1]);
    ssize_t len = 0, got;
    while (len < 63 && (got = read(ends[0], output + len, (size_t)(63 - len))) > 0) len += got;
    output[len] = 0;
    close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child);
    runs++;
    return status;
}

/* Reads the system calls between the marks of a run without faults, which ended with this status. */
static inline size_t traced_calls(call_t *calls, int status, bool went_well) {
    char line[4096];
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127) SKIP("strace is not installed");
    FILE *file = fopen(trace, "r");
    if (!file || status != 0 || !went_well) SKIP("strace is not permitted to trace");
    static struct {
        char name[32];
        unsigned count;
    } seen[200];
    size_t names = 0, count = 0;
    int marks = 0;
    bool renamed = false;
    while (fgets(line, sizeof line, file)) {
        const char *text = line + strspn(line, "0123456789 ");
        size_t len = strcspn(text, "(");
        if (!islower((unsigned char)*text) || text[len] != '(' || len > 31) continue;
        char name[32];
        snprintf(name, sizeof name, "%.*s", (int)len, text);
        size_t at = 0;
        while (at < names && strcmp(seen[at].name, name) != 0) at++;
        CHECK(at < COUNT(seen));
        if (at == names) memcpy(seen[names++].name, name, sizeof name);
        seen[at].count++;
        if (strncmp(text, "close(-1234)", 12) == 0) {
            marks++;
        } else if (marks == 1) {
            CHECK(count < MAX_CALLS);
            calls[count].nth = seen[at].count;
            calls[count].renamed = renamed;
            memcpy(calls[count++].name, name, sizeof name);
            renamed = renamed || strncmp(name, "rename", 6) == 0;
        }
    }
    fclose(file);
    CHECK(marks == 2);
    return count;
}

/* Options for strace: one call fails with an error, or ends the process. */
typedef struct injection_t {
    char only[64], inject[128];
    const char *options[5];
} injection_t;

static inline injection_t injection(const call_t *call, const char *error) {
    injection_t made;
    snprintf(made.only, sizeof made.only, "trace=%.31s", call->name);
    snprintf(made.inject, sizeof made.inject, "inject=%.31s:%s%s:when=%u", call->name, error ? "error=" : "signal=KILL",
             error ? error : "", call->nth);
    return made;
}

/* Fills in the options of an injection, which stays in its place. */
static inline const char *const *options_of(injection_t *made) {
    const char *const options[] = {"-e", made->only, "-e", made->inject, NULL};
    memcpy(made->options, options, sizeof options);
    return made->options;
}

static inline bool trace_says(const char *word) {
    bytes_t bytes = read_file(trace);
    *bytes_grow(&bytes, 1) = 0;
    bool found = strstr((const char *)bytes.data, word) != NULL;
    bytes_free(&bytes);
    return found;
}

static inline void expect(bool cond, const char *what, const char *found) {
    if (!cond) check_fail(__FILE__, __LINE__, what, found, "");
}

static inline int number_of(const char *error) {
    for (size_t i = 0; i < COUNT(errors); i++) {
        if (strcmp(errors[i].name, error) == 0) return errors[i].number;
    }
    abort();
}

#endif
