/* Registers functions that run when the process exits or forks, or when a thread ends. They tell the host. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

int __cxa_atexit(void (*function)(void *), void *argument, void *handle);
int __cxa_thread_atexit_impl(void (*function)(void *), void *object, void *handle);
extern char __dso_handle __attribute__((visibility("hidden")));

void set_host(void (*function)(int));
int at_exit(void);
int at_thread_exit(int n);
int at_thread_exit_then_at_exit(void);
int at_quick(void);
int at_fork(void);

static void (*host)(int);

void set_host(void (*function)(int)) { host = function; }

static void first(void) { host(1); }
static void second(void) { host(2); }
static void with_argument(void *argument) { host((int)(intptr_t)argument); }

int at_exit(void) { return atexit(first) | atexit(second) | __cxa_atexit(with_argument, (void *)3, &__dso_handle); }

int at_thread_exit(int n) { return __cxa_thread_atexit_impl(with_argument, (void *)(intptr_t)n, &__dso_handle); }

static void register_more(void *argument) {
    with_argument(argument);
    atexit(first);
    at_thread_exit(9);
}

int at_thread_exit_then_at_exit(void) { return __cxa_thread_atexit_impl(register_more, (void *)8, &__dso_handle); }

int at_quick(void) { return at_quick_exit(first); }

static void prepare(void) { host(4); }
static void parent(void) { host(5); }
static void child(void) { host(6); }

int at_fork(void) { return pthread_atfork(prepare, parent, child); }
