/* The object files of the example in core/src/lib.rs, which are committed so that it needs no compiler:
 *
 *     clang --target=x86_64-linux-gnu -O1 -fPIC -fno-asynchronous-unwind-tables -fno-ident -c fib.c -o fib-x86_64.o
 *     llvm-strip --strip-unneeded fib-x86_64.o
 *
 * and the same for aarch64. */
long fib(long n) {
    long a = 0, b = 1;
    while (n-- > 0) {
        b += a;
        a = b - a;
    }
    return a;
}
