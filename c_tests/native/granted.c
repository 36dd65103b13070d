/* Functions that compilers call implicitly: libgcc's, from 128-bit arithmetic to the outline atomics of aarch64. */
#include <stddef.h>
#include <stdint.h>

size_t arithmetic(uint64_t seed, uint64_t *out);
size_t atomics(uint64_t seed, uint64_t *out);

#ifdef __SIZEOF_INT128__ /* not on 32-bit machines, whose code is not loaded */
__extension__ typedef __int128 wide_t;
__extension__ typedef unsigned __int128 unsigned_t;

wide_t __multi3(wide_t a, wide_t b);

static size_t put(uint64_t *out, size_t at, unsigned_t value) {
    out[at] = (uint64_t)value;
    out[at + 1] = (uint64_t)(value >> 64);
    return at + 2;
}

size_t arithmetic(uint64_t seed, uint64_t *out) {
    unsigned_t a = ((unsigned_t)seed << 64 | seed * 3) ^ (unsigned_t)seed << 17, b = (unsigned_t)(seed >> 7) << 31 | 5;
    wide_t c = (wide_t)a, d = -(wide_t)b;
    double wide = (double)(seed >> 5) * 1e20 + 0.75;
    float narrow = (float)(seed >> 40) * 1e18f;
    size_t at = 0;
    at = put(out, at, a / b), at = put(out, at, a % b);
    at = put(out, at, (unsigned_t)(c / d)), at = put(out, at, (unsigned_t)(c % d));
    at = put(out, at, (unsigned_t)__multi3(c, d));
    at = put(out, at, (unsigned_t)(wide_t)-wide), at = put(out, at, (unsigned_t)wide);
    at = put(out, at, (unsigned_t)(wide_t)-narrow), at = put(out, at, (unsigned_t)narrow);
    double doubles[] = {(double)c, (double)a, (double)d};
    float floats[] = {(float)c, (float)a, (float)d};
    for (size_t i = 0; i < 3; i++) out[at++] = (uint64_t)(int64_t)(doubles[i] / 1e20);
    for (size_t i = 0; i < 3; i++) out[at++] = (uint64_t)(int64_t)(floats[i] / 1e20f);
    out[at++] = (uint64_t)__builtin_popcountll(seed);
    return at;
}

/* Every atomic operation on a word of this type. */
#define OPERATIONS(type, order)                                                                                        \
    do {                                                                                                               \
        type place = (type)seed, expected = (type)(seed ^ (seed & 1 ? 0 : 9));                                         \
        out[at++] = __atomic_compare_exchange_n(&place, &expected, (type)77, 0, order, __ATOMIC_RELAXED);              \
        out[at++] = expected;                                                                                          \
        out[at++] = __atomic_fetch_add(&place, (type)seed, order);                                                     \
        out[at++] = __atomic_fetch_and(&place, (type)0x77, order);                                                     \
        out[at++] = __atomic_fetch_or(&place, (type)0x88, order);                                                      \
        out[at++] = __atomic_fetch_xor(&place, (type)0x3c, order);                                                     \
        out[at++] = __atomic_exchange_n(&place, (type)5, order);                                                       \
        out[at++] = place;                                                                                             \
    } while (0)

#define ORDERS(type)                                                                                                   \
    OPERATIONS(type, __ATOMIC_RELAXED);                                                                                \
    OPERATIONS(type, __ATOMIC_ACQUIRE);                                                                                \
    OPERATIONS(type, __ATOMIC_RELEASE);                                                                                \
    OPERATIONS(type, __ATOMIC_ACQ_REL)

size_t atomics(uint64_t seed, uint64_t *out) {
    size_t at = 0;
    ORDERS(uint8_t);
    ORDERS(uint16_t);
    ORDERS(uint32_t);
    ORDERS(uint64_t);
    return at;
}
#endif
