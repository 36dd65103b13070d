/* A function of which the compiler makes one for each instruction set, and a resolver that asks the CPU. */
int sum(const int *numbers, int count);

__attribute__((target_clones("avx2", "default"))) int sum(const int *numbers, int count) {
    int total = 0;
    for (int i = 0; i < count; i++) total += numbers[i];
    return total;
}
