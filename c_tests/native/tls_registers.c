/* Calls a TLS descriptor with every register set that the call must preserve, and stores them afterwards. */
#include <stdint.h>

typedef struct registers_t {
    uint64_t general[32];
    uint64_t vectors[32][8];
} registers_t;

int descriptor_keeps_registers(int wide);

_Thread_local int described = 5;

#if defined(__x86_64__)
/* rax receives the result; rsp and rbp stay for the function itself. */
#define GENERAL "rbx, rcx, rdx, rsi, r8, r9, r10, r11, r12, r13, r14, r15"
#define SIXTEEN "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15"
#define THIRTY_TWO SIXTEEN ", 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31"
#define CALL(name, move, register, vectors)                                                                            \
    __asm__(".text\n.type " name ", @function\n" name ":\n"                                                            \
            "push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\nmov %rdi, %rbp\n"                       \
            ".set at, 8\n.irp name, " GENERAL "\nmov at(%rdi), %\\name\n.set at, at + 8\n.endr\n"                      \
            ".irp n, " vectors "\n" move                                                                               \
            " 256+64*\\n(%rdi), %" register "\\n\n.endr\n"                                                             \
                                            "lea described@tlsdesc(%rip), %rax\ncall *described@tlscall(%rax)\n"       \
                                            "cmp %rdi, %rbp\njne 1f\n"                                                 \
                                            ".set at, 8\n.irp name, " GENERAL                                          \
                                            "\nmov %\\name, at(%rdi)\n.set at, at + 8\n.endr\n"                        \
                                            ".irp n, " vectors "\n" move                                               \
                                            " %" register "\\n, 256+64*\\n(%rdi)\n.endr\n"                             \
                                                          "1: mov %rax, (%rbp)\n"                                      \
                                                          "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop "     \
                                                          "%rbx\nret\n.size " name ", .-" name "\n")
CALL("call_descriptor_sse", "movups", "xmm", SIXTEEN);
CALL("call_descriptor_avx", "vmovups", "ymm", SIXTEEN);
CALL("call_descriptor_avx512", "vmovups", "zmm", THIRTY_TWO);
void call_descriptor_sse(registers_t *registers) __attribute__((visibility("hidden")));
void call_descriptor_avx(registers_t *registers) __attribute__((visibility("hidden")));
void call_descriptor_avx512(registers_t *registers) __attribute__((visibility("hidden")));

static void call_descriptor(registers_t *registers, int wide) {
    __builtin_cpu_init();
    if (wide && __builtin_cpu_supports("avx512f")) {
        call_descriptor_avx512(registers);
    } else if (wide && __builtin_cpu_supports("avx")) {
        call_descriptor_avx(registers);
    } else {
        call_descriptor_sse(registers);
    }
}
#elif defined(__aarch64__)
/* x0 receives the result, x1 and x30 belong to the call; x29 stays for the function itself. */
#define GENERAL(move)                                                                                                  \
    move(2) move(3) move(4) move(5) move(6) move(7) move(8) move(9) move(10) move(11) move(12) move(13) move(14)       \
        move(15) move(16) move(17) move(19) move(20) move(21) move(22) move(23) move(24) move(25) move(26) move(27)    \
            move(28)
#define VECTORS(move)                                                                                                  \
    move(0) move(1) move(2) move(3) move(4) move(5) move(6) move(7) move(8) move(9) move(10) move(11) move(12)         \
        move(13) move(14) move(15) move(16) move(17) move(18) move(19) move(20) move(21) move(22) move(23) move(24)    \
            move(25) move(26) move(27) move(28) move(29) move(30) move(31)
#define LOAD(n) "ldr x" #n ", [x29, #8*" #n "]\n"
#define STORE(n) "str x" #n ", [x29, #8*" #n "]\n"
#define LOAD_VECTOR(n) "ldr q" #n ", [x29, #256+64*" #n "]\n"
#define STORE_VECTOR(n) "str q" #n ", [x29, #256+64*" #n "]\n"
__asm__(".text\n.globl call_descriptor_base\n.type call_descriptor_base, %function\ncall_descriptor_base:\n"
        "sub sp, sp, #176\nstp x29, x30, [sp]\nstp x19, x20, [sp, #16]\nstp x21, x22, [sp, #32]\n"
        "stp x23, x24, [sp, #48]\nstp x25, x26, [sp, #64]\nstp x27, x28, [sp, #80]\nstp d8, d9, [sp, #96]\n"
        "stp d10, d11, [sp, #112]\nstp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\nmov x29, x0\n" //
        GENERAL(LOAD) VECTORS(LOAD_VECTOR) "adrp x0, :tlsdesc:described\nldr x1, [x0, #:tlsdesc_lo12:described]\nadd "
                                           "x0, x0, :tlsdesc_lo12:described\n"
                                           ".tlsdesccall described\nblr x1\n" //
        GENERAL(STORE) VECTORS(STORE_VECTOR) "str x0, [x29]\n"
                                             "ldp d14, d15, [sp, #144]\nldp d12, d13, [sp, #128]\nldp d10, d11, [sp, "
                                             "#112]\nldp d8, d9, [sp, #96]\n"
                                             "ldp x27, x28, [sp, #80]\nldp x25, x26, [sp, #64]\nldp x23, x24, [sp, "
                                             "#48]\nldp x21, x22, [sp, #32]\n"
                                             "ldp x19, x20, [sp, #16]\nldp x29, x30, [sp]\nadd sp, sp, "
                                             "#176\nret\n.size call_descriptor_base, .-call_descriptor_base\n");
void call_descriptor_base(registers_t *registers) __attribute__((visibility("hidden")));

static void call_descriptor(registers_t *registers, int wide) {
    (void)wide;
    call_descriptor_base(registers);
}
#endif

static uint64_t pattern(int n) { return UINT64_C(0x9e3779b97f4a7c15) * (uint64_t)(n + 1); }

/* `wide`: the whole vector registers that this CPU has, or those that every CPU has. */
int descriptor_keeps_registers(int wide) {
    registers_t registers;
    for (int i = 0; i < 32; i++) {
        registers.general[i] = pattern(i);
        for (int j = 0; j < 8; j++) registers.vectors[i][j] = pattern(100 + 8 * i + j);
    }
    call_descriptor(&registers, wide);
    const char *pointer = (const char *)__builtin_thread_pointer() + registers.general[0];
    if (*(const int *)(const void *)pointer != 5) return -1;
    for (int i = 1; i < 32; i++) {
        if (registers.general[i] != pattern(i)) return i;
    }
    for (int i = 0; i < 32; i++) {
        for (int j = 0; j < 8; j++) {
            if (registers.vectors[i][j] != pattern(100 + 8 * i + j)) return 100 + i;
        }
    }
    return 0;
}
