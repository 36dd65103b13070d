/* The same functions for each CPU: LEVEL says which one it was compiled for. At -O3 the loops use the widest vectors
 * that there are, so that running the wrong one is likely to end in SIGILL. */
#include <stdint.h>

int level(void);
uint64_t work(const uint32_t *numbers, uint32_t count);

int level(void) { return LEVEL; }

uint64_t work(const uint32_t *numbers, uint32_t count) {
    uint64_t bits = 0, sum = 0;
    for (uint32_t i = 0; i < count; i++) bits += (uint64_t)__builtin_popcount(numbers[i]);
    for (uint32_t i = 0; i < count; i++) sum += (uint64_t)(numbers[i] * 3) >> (numbers[i] & 7);
    return bits * 1000003 + sum;
}
