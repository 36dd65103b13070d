/* Read by gdb and perf. test_load_tools.c has the line numbers. */
int debugged_outer(int (*host)(int), int n);
long debugged_spin(long n);

static int __attribute__((noinline)) debugged_inner(int (*host)(int), int n) {
    int before = n + 1;
    int found =
        /* stops here */
        host(before);
    return found;
}

int debugged_outer(int (*host)(int), int n) { return debugged_inner(host, n) * 2; }

long debugged_spin(long n) {
    volatile long sum = 0;
    for (long i = 0; i < n; i++) sum += i & 7;
    return sum;
}
