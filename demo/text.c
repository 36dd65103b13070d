/* Compiled code of the demo, part 2: the main module. It calls part 1. */
#include <stddef.h>
#include <stdint.h>

int64_t fib(int64_t n); /* in numbers.c */
size_t count_words(const char *text);
int64_t fib_of_words(const char *text);

static const char blanks[] = " \t\n";

static int is_blank(char c) {
    for (const char *blank = blanks; *blank; blank++) {
        if (c == *blank) return 1;
    }
    return 0;
}

size_t count_words(const char *text) {
    size_t words = 0;
    int inside = 0;
    for (; *text; text++) {
        int blank = is_blank(*text);
        words += (size_t)(!blank && !inside);
        inside = !blank;
    }
    return words;
}

int64_t fib_of_words(const char *text) { return fib((int64_t)count_words(text)); }
