/* Compiled code of the demo, part 1. It has no undefined symbols. */
#include <stddef.h>
#include <stdint.h>

int64_t fib(int64_t n);
void matrix_multiply(size_t n, const double *a, const double *b, double *product);

/* The number of calls of matrix_multiply, so that the module has data too. */
uint64_t multiplications;

int64_t fib(int64_t n) {
    int64_t a = 0, b = 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t next = a + b;
        a = b;
        b = next;
    }
    return a;
}

void matrix_multiply(size_t n, const double *a, const double *b, double *product) {
    multiplications++;
    for (size_t row = 0; row < n; row++) {
        for (size_t column = 0; column < n; column++) {
            double sum = 0;
            for (size_t i = 0; i < n; i++) sum += a[row * n + i] * b[i * n + column];
            product[row * n + column] = sum;
        }
    }
}
