/* What the long tests of the cache share: a clock, random numbers and a folder that is removed. Include it after
 * cache.h. */
#ifndef TOOL_H
#define TOOL_H
#include <time.h>

static inline double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* xorshift64*; a state of each process. */
static uint64_t random_state = 1;

static inline uint32_t random_below(uint32_t limit) {
    random_state ^= random_state >> 12, random_state ^= random_state << 25, random_state ^= random_state >> 27;
    return (uint32_t)((random_state * UINT64_C(0x2545f4914f6cdd1d)) >> 32) % limit;
}

/* Calls a function with the path of each file and folder in a folder. */
static inline int walk(const char *folder, int (*visit)(const char *, const struct stat *, int, struct FTW *)) {
    return nftw(folder, visit, 8, FTW_PHYS);
}
#endif
