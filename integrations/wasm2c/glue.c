/* Compiled with what wasm2c makes of program.wat: an instance, and the host's function as wasm2c names it. */
#include "program.h"

#include <stdint.h>

void host_log(uint64_t value);
void start(void);
uint64_t fib(uint64_t n);

static Z_program_instance_t instance;

void Z_hostZ_log(struct Z_host_instance_t *host, u64 value) {
    (void)host;
    host_log(value);
}

void start(void) {
    Z_program_init_module();
    Z_program_instantiate(&instance, 0);
}

uint64_t fib(uint64_t n) { return Z_programZ_fib(&instance, n); }
