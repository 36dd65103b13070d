/* Code for which C compilers emit many kinds of relocations. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern int host_number;
int host_twice(int number);
#ifdef __PIE__
/* With -fPIE, code would refer to it directly. */
#define number_of_host() (*pointer_to_host)
#else
#define number_of_host() host_number
#endif

extern int table[4];
extern const char *const words[];
int sum(int count, ...);
int (*chosen(int which))(int);
int (*chosen_address(void))(const char *);

int common_number;
int common_array[100];
static int counter = 3;
static char zeros[5000];
int *const pointer_inside = &table[2];
int *pointer_to_host = &host_number;
size_t (*function_of_host)(const char *) = strlen;
const double fractions[] = {0.5, 0.25, 0.125};

__attribute__((weak)) int nobody_has_this(void);
__attribute__((weak)) int overridden(void) { return 1; }
__attribute__((visibility("hidden"))) int hidden_number = 77;
__attribute__((visibility("protected"))) int protected_number(void) { return hidden_number; }

__attribute__((constructor)) static void constructed(void) { counter *= 10; }
__attribute__((constructor(200))) static void constructed_second(void) { counter += 5; }
__attribute__((constructor(150))) static void constructed_first(void) { counter *= 2; }
__attribute__((destructor)) static void destroyed(void) { printf("destroyed with %d\n", counter); }

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

__attribute__((noinline)) static int dispatch(int which) {
    switch (which) {
    case 0:
        return counter;
    case 1:
        return printf("one\n");
    case 2:
        return puts("two") >= 0;
    case 3:
        return abs(-counter);
    case 4:
        return table[1];
    case 5:
        return hidden_number++;
    case 6:
        return (int)strlen(words[1]);
    case 7:
        return common_number += 2;
    default:
        return -1;
    }
}

__attribute__((section("marks"), used)) static const int mark_one = 1;
__attribute__((section("marks"), used)) static const int mark_two = 2;
extern const int __start_marks[], __stop_marks[];

static __attribute__((noinline)) double scaled(double value) { return value * fractions[1] + 1.5; }

int run(void) {
    int numbers[] = {5, 3, 9, 1};
    qsort(numbers, 4, sizeof *numbers, compare);
    printf("%d %d %d %d\n", numbers[0], numbers[1], numbers[2], numbers[3]);
    for (int i = -1; i < 9; i++) printf("dispatch %d: %d\n", i, dispatch(i));
    printf("host %d %d %d\n", number_of_host(), *pointer_to_host, host_twice(21));
    printf("inside %d, %s %s\n", *pointer_inside, words[0], words[2]);
    printf("weak %d, overridden %d, protected %d\n", nobody_has_this ? nobody_has_this() : -5, overridden(),
           protected_number());
    printf("lengths %zu %zu\n", function_of_host("four"), sizeof zeros + (size_t)zeros[4999]);
    printf("chosen %d %d, sum %d\n", chosen(0)(4), chosen(1)(4), sum(3, 10, 20, 30));
    common_array[99] = 9;
    int marks = 0;
    for (const int *mark = __start_marks; mark < __stop_marks; mark++) marks += *mark;
    printf("common %d %d, marks %d, scaled %.3f\n", common_number, common_array[99], marks, scaled(3));
    printf("puts is puts: %d\n", (int (*)(const char *))puts == chosen_address());
    return counter;
}
