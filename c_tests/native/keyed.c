/*
 * A module that tells whose it is. Tests of the cache replace each MARK in the object by the number of a key, so that
 * code of another key, or code of which a part is missing, shows.
 */
#include <stdint.h>

#define MARK UINT32_C(0x5eedc0de)
#define FOUR MARK, MARK, MARK, MARK
#define SIXTEEN FOUR, FOUR, FOUR, FOUR
#define ROW SIXTEEN, SIXTEEN, SIXTEEN, SIXTEEN

enum { LEN = 1024 };

/* Volatile, so that the compiler reads it. */
static const volatile uint32_t marks[LEN] = {ROW, ROW, ROW, ROW, ROW, ROW, ROW, ROW,
                                             ROW, ROW, ROW, ROW, ROW, ROW, ROW, ROW};

/* Returns the number, or -1 unless all of them are equal. */
int64_t whose(void);
int64_t whose(void) {
    for (int i = 1; i < LEN; i++) {
        if (marks[i] != marks[0]) return -1;
    }
    return marks[0];
}
