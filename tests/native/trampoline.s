# What GCC 14 makes of this with -O2 -fPIC -ftrampoline-impl=heap, in our own words of assembly: the trampoline of a nested function
# is made and freed by two functions of libgcc.
#
#     int apply(int (*)(int), int);
#     int run(void) { int sum = 40; int add(int n) { return sum += n; } return apply(add, 1) + apply(add, 2); }
    .text
    .type add, @function
add:
    .cfi_startproc
    addl (%r10), %edi
    movl %edi, %eax
    movl %edi, (%r10)
    ret
    .cfi_endproc
    .size add, . - add

    .globl run
    .type run, @function
run:
    .cfi_startproc
    pushq %rbx
    .cfi_def_cfa_offset 16
    .cfi_offset %rbx, -16
    subq $16, %rsp
    .cfi_def_cfa_offset 32
    movl $40, (%rsp)
    movq %rsp, %rdi
    leaq add(%rip), %rsi
    leaq 8(%rsp), %rdx
    call __gcc_nested_func_ptr_created@PLT
    movq 8(%rsp), %rdi
    movl $1, %esi
    call apply@PLT
    movl %eax, %ebx
    movq 8(%rsp), %rdi
    movl $2, %esi
    call apply@PLT
    addl %eax, %ebx
    call __gcc_nested_func_ptr_deleted@PLT
    movl %ebx, %eax
    addq $16, %rsp
    .cfi_def_cfa_offset 16
    popq %rbx
    .cfi_def_cfa_offset 8
    ret
    .cfi_endproc
    .size run, . - run

    .section .note.GNU-stack,"",@progbits
