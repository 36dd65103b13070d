/* Thread-local variables of every kind. run() changes them all, and returns a sum that depends on each. */
#include <stdint.h>

int more(int step);
int host_twice(int number);
extern __thread int host_count;

extern __thread int exported, shared, guarded, hidden;
__thread int exported = 5;
__thread int shared;
__thread int guarded __attribute__((visibility("protected"))) = 7;
__thread int hidden __attribute__((visibility("hidden"))) = 9;

static __thread char one = 1;
static __thread int zero[5], numbers[3] = {1, 2, 3};
static __thread __attribute__((aligned(64))) char line[3];
static __thread __attribute__((aligned(4096))) int page = 11;
static __thread char large[60000];
/* Initial values that the loader relocates. */
static int plain = 13;
static __thread int *inside = &plain;
static __thread int (*outside)(int) = host_twice;
__attribute__((noinline)) static void *same(void *address) {
    __asm__ volatile("" : "+r"(address));
    return address;
}

int run(int step);
int run(int step) {
    exported += step, shared += 2 * step, guarded += step, hidden += step, host_count += step;
    one += (char)step, zero[4] += step, numbers[1] += step, line[2] += (char)step, page += step,
        large[59999] += (char)step;
    if ((uintptr_t)same(line) % 64 || (uintptr_t)same(&page) % 4096) return -1;
    int sum = exported + shared + guarded + hidden + host_count + one + line[2] + page + large[59999];
    for (int i = 0; i < 5; i++) sum += zero[i];
    for (int i = 0; i < 3; i++) sum = sum * 3 + numbers[i];
    return sum + *inside + outside(4) + more(step) + large[0];
}
