/* Accesses to thread-local variables, of the module and of the host. The compiler can't move an access out of its loop.
 */
_Thread_local int own;
/* Too large for the static storage that glibc gives to small modules. */
_Thread_local char many[4096];
extern _Thread_local int bench_host;

static __attribute__((noinline)) int *own_address(void) {
    __asm__ volatile("");
    return &own;
}

static __attribute__((noinline)) int *host_address(void) {
    __asm__ volatile("");
    return &bench_host;
}

int access_own(int n);
int access_host(int n);

int access_own(int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += *own_address();
    return sum;
}

int access_host(int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += *host_address();
    return sum;
}
