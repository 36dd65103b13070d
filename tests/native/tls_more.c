/* Variables of tls.c as another object sees them, and others of the same names. */
extern __thread int exported, shared, guarded, hidden __attribute__((visibility("hidden"))), host_count;
static __thread int one = 100, zero[2];
static __thread short line = 6;

/* Not static: its address leaves the function. */
static void add(int *to, int step) { *to += step; }

int more(int step);
int more(int step) {
    add(&one, step), add(&zero[1], 3 * step), add(&exported, step), add(&host_count, 1);
    line = (short)(line + step);
    return one + 2 * zero[1] + 3 * exported + 5 * shared + 7 * guarded + 11 * hidden + 13 * line + host_count;
}
