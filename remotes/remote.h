/*
 * What both remotes share: checks of arguments, sentences, the back-off, idle connections, SIGPIPE. Internal, and
 * included by one file of each library.
 */
#ifndef REMOTE_H
#define REMOTE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* sockets with SOCK_CLOEXEC */
#endif
#include <artifact.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define MAX_IDLE 1024
#define NAME_LEN 64

/* ---- sentences ---- */

/* Where a sentence about a failure goes. */
typedef struct report_t {
    char *message;
    size_t len;
} report_t;

/* Writes a sentence, and returns the status. */
__attribute__((format(printf, 3, 4))) static inline artifact_status_t say(report_t report, artifact_status_t status,
                                                                          const char *format, ...) {
    if (!report.message || !report.len) return status;
    va_list arguments;
    va_start(arguments, format);
    if (vsnprintf(report.message, report.len, format, arguments) < 0) *report.message = 0;
    va_end(arguments);
    return status;
}

static inline report_t report_to(char *message, size_t len) {
    if (message && len) *message = 0;
    return (report_t){message, len};
}

/* Copies what a server said, so that it can be printed: what isn't printable ASCII becomes "?". */
static inline void copy_printable(char *to, size_t size, const char *from, size_t len) {
    size_t count = len < size ? len : size - 1;
    for (size_t i = 0; i < count; i++) to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
    to[count] = 0;
}

/* ---- arguments ---- */

/* Copies the options that this library knows; others must be zero. `size` leads both structs. */
static inline artifact_status_t copy_options(void *options, size_t known, const void *given, report_t report) {
    size_t size;
    memcpy(&size, given, sizeof size);
    if (size < sizeof size) return say(report, ARTIFACT_INVALID_ARGUMENT, "options.size: smaller than itself");
    memcpy(options, given, size < known ? size : known);
    for (size_t i = known; i < size; i++) {
        if (((const unsigned char *)given)[i])
            return say(report, ARTIFACT_UNSUPPORTED, "options: found some that this library doesn't know");
    }
    return ARTIFACT_OK;
}

static inline uint32_t or_default(uint32_t value, uint32_t otherwise) { return value ? value : otherwise; }

/* Copies a string, or `otherwise` if it is NULL. Returns false if there is no memory. */
static inline bool copy_string(char **copy, const char *string, const char *otherwise) {
    if (!string) string = otherwise;
    *copy = string ? strdup(string) : NULL;
    return *copy || !string;
}

static inline bool is_name(const char *name) {
    return name && strlen(name) == NAME_LEN && strspn(name, "0123456789abcdef") == NAME_LEN;
}

/* ---- the back-off ---- */

static inline int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* 0, or the time from which on one request may find out whether the server is back. */
typedef _Atomic int64_t gate_t;

/* Whether a request may go out. `left_ms` receives the time for which none may. */
static inline bool gate_passes(gate_t *gate, uint32_t back_off_ms, int64_t *left_ms) {
    int64_t until = atomic_load(gate), now = now_ms();
    if (until == 0) return true;
    *left_ms = until - now;
    if (*left_ms > 0) return false;
    *left_ms = back_off_ms;
    return atomic_compare_exchange_strong(gate, &until, now + back_off_ms); /* one request, and one alone */
}

static inline void gate_close(gate_t *gate, uint32_t back_off_ms) { atomic_store(gate, now_ms() + back_off_ms); }
static inline void gate_open(gate_t *gate) { atomic_store(gate, 0); }

/* ---- idle connections ---- */

typedef struct pool_t {
    uint32_t count;
    _Atomic(void *) *idle;
} pool_t;

static inline bool pool_new(pool_t *pool, uint32_t count) {
    pool->count = count;
    pool->idle = calloc(count, sizeof *pool->idle);
    return pool->idle;
}

/* Takes a connection, or returns NULL. */
static inline void *pool_take(pool_t *pool) {
    for (uint32_t i = 0; i < pool->count; i++) {
        if (!atomic_load_explicit(&pool->idle[i], memory_order_relaxed)) continue;
        void *connection = atomic_exchange(&pool->idle[i], NULL);
        if (connection) return connection;
    }
    return NULL;
}

/* Returns false if the pool is full. */
static inline bool pool_give(pool_t *pool, void *connection) {
    for (uint32_t i = 0; i < pool->count; i++) {
        void *none = NULL;
        if (atomic_compare_exchange_strong(&pool->idle[i], &none, connection)) return true;
    }
    return false;
}

/* ---- SIGPIPE ---- */

/* Writing to a closed connection raises SIGPIPE in the thread that writes. Here it stays pending, and is taken away. */
typedef struct sigpipe_t {
    sigset_t before;
    bool was_pending;
} sigpipe_t;

static inline sigset_t only_sigpipe(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    return set;
}

static inline sigpipe_t sigpipe_hold(void) {
    sigpipe_t held;
    sigset_t pending, set = only_sigpipe();
    sigemptyset(&pending);
    sigpending(&pending);
    held.was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &set, &held.before);
    return held;
}

static inline void sigpipe_release(const sigpipe_t *held) {
    const struct timespec at_once = {0, 0};
    sigset_t set = only_sigpipe();
    if (!held->was_pending)
        while (sigtimedwait(&set, NULL, &at_once) < 0 && errno == EINTR) continue;
    pthread_sigmask(SIG_SETMASK, &held->before, NULL);
}
#endif
