/* The second object: it defines what many.c imports. */
#include <stdarg.h>
#include <stdio.h>

int table[4] = {11, 22, 33, 44};
const char *const words[] = {"zero", "one more", "two"};
int common_number;
int overridden(void);
int overridden(void) { return 2; }

static int doubled(int number) { return 2 * number; }
static int squared(int number) { return number * number; }
static int (*const functions[])(int) = {doubled, squared};
int (*chosen(int which))(int);
int (*chosen(int which))(int) { return functions[which]; }
int (*chosen_address(void))(const char *);
int (*chosen_address(void))(const char *) { return puts; }

int sum(int count, ...);
int sum(int count, ...) {
    va_list list;
    va_start(list, count);
    int total = 0;
    for (int i = 0; i < count; i++) total += va_arg(list, int);
    va_end(list);
    return total;
}
