/* The constructs that C compilers emit. Each function is called as loaded by the library and as loaded by dlopen(). */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int switch_table(int n);
int count(void);
long long *bss_at(size_t at);
int shared_block;
int common(int by);
int weak(void);
int dispatch(int which, int value);
int64_t sum(int count, ...);
size_t libc(const char *text, char *out, size_t len);
int large_frame(int n);
const char *name_of(int at);
int call_back(int (*host)(int), int value);
#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 wide_t;
uint64_t divide_wide(uint64_t high, uint64_t low, uint64_t by);
#endif

/* A jump table. */
int switch_table(int n) {
    switch (n) {
    case 0:
        return 11;
    case 1:
        return count() + 100;
    case 2:
        return 7;
    case 3:
        return -4;
    case 4:
        return (int)strlen("four");
    case 5:
        return 5000;
    case 6:
        return n * 3;
    case 7:
        return -n;
    default:
        return -1;
    }
}

static int counter = 40; /* data */

int count(void) { return ++counter; }

static long long zeros[100000]; /* .bss over many pages, starting on the last page of the file */

long long *bss_at(size_t at) { return &zeros[at]; }

int common(int by) { return shared_block += by; } /* COMMON, compiled with -fcommon */

extern int defined_nowhere(void) __attribute__((weak));

int weak(void) { return defined_nowhere ? defined_nowhere() : -7; }

static int twice(int n) { return 2 * n; }
static int square(int n) { return n * n; }
static int (*const table[])(int) = {twice, square, switch_table}; /* RELATIVE, or 64 where one is exported */

int dispatch(int which, int value) { return table[which](value); }

int64_t sum(int count, ...) {
    va_list list;
    int64_t total = 0;
    va_start(list, count);
    for (int i = 0; i < count; i++) total += i % 2 ? (int64_t)va_arg(list, double) : va_arg(list, int64_t);
    va_end(list);
    return total;
}

/* Calls of other libraries, also with variable arguments. */
size_t libc(const char *text, char *out, size_t len) {
    char *copy = malloc(strlen(text) + 1);
    if (!copy) return 0;
    strcpy(copy, text);
    size_t written = (size_t)snprintf(out, len, "%s-%d-%.2f", copy, 42, 1.5);
    free(copy);
    return written;
}

int large_frame(int n) {
    volatile char frame[400000];
    for (size_t i = 0; i < sizeof frame; i += 4096) frame[i] = (char)n;
    return frame[4096 * (n & 63)] + (n ? large_frame(n / 2) : 0);
}

static const char *const names[] = {"zero", "one", "two"};

const char *name_of(int at) { return names[at]; }

int call_back(int (*host)(int), int value) { return host(value) + 1; }

#ifdef __SIZEOF_INT128__
uint64_t divide_wide(uint64_t high, uint64_t low, uint64_t by) { return (uint64_t)((((wide_t)high << 64) | low) / by); }
#endif
