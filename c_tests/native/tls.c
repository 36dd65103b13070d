/* Thread-local variables of the module: exported, static, aligned, zero, with a pointer as its initial value. */
#include <stdalign.h>
#include <stdint.h>

int next(void);
int next_static(void);
int sum(void);
int through_pointer(void);
const void *small_address(void);
const void *page_address(void);
void fill(int value);

static int target = 77;

alignas(64) _Thread_local char aligned_small[100] = {1};
alignas(4096) _Thread_local char aligned_page[100];
_Thread_local int counter = 41;
static _Thread_local int static_counter = 7, other_counter = 3;
_Thread_local int *pointer = &target;
static _Thread_local volatile unsigned char zeros[5000]; /* volatile: without calls of memset() */

int next(void) { return ++counter; }
int next_static(void) { return ++static_counter * 100 + ++other_counter; }
int through_pointer(void) { return *pointer; }
const void *small_address(void) { return aligned_small; }
const void *page_address(void) { return aligned_page; }

int sum(void) {
    int sum = 0;
    for (int i = 0; i < (int)sizeof zeros; i++) sum += zeros[i];
    return sum;
}

void fill(int value) {
    for (int i = 0; i < (int)sizeof zeros; i++) zeros[i] = (unsigned char)value;
}
