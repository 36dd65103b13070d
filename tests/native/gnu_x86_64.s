# Relocations that compilers seldom emit: against `fixed`, an absolute symbol of another object; of every width; distances; .init_array.
    .text
    .globl run
    .type run, @function
run:
    .cfi_startproc
    pushq %rbx
    .cfi_adjust_cfa_offset 8
    movq host_number@GOTPCREL(%rip), %rax
    movl (%rax), %ebx                   # 12
    leaq distances(%rip), %rcx
    movslq 4(%rcx), %rdx
    addq %rcx, %rdx
    call *%rdx                          # + 30
    movl $21, %edi
    call host_twice@PLT                 # + 42
    addl %eax, %ebx
    call host_twice                     # what is in %edi, whatever it is
    movq $fixed, %rax                   # + 1000
    addl %eax, %ebx
    movzwl narrow(%rip), %eax           # + 1000
    addl %eax, %ebx
    movzbl narrow+2(%rip), %eax         # + 100
    addl %eax, %ebx
    leaq nearby(%rip), %rdx
    movswq (%rdx), %rcx
    addq %rcx, %rdx
    call *%rdx                          # + 7
    leaq nearby+2(%rip), %rdx
    movsbq (%rdx), %rcx
    addq %rcx, %rdx
    call *%rdx                          # + 7
    leaq slot(%rip), %rdx
    addq (%rdx), %rdx
    movq (%rdx), %rdx
    addl (%rdx), %ebx                   # + 12
    movl $_GLOBAL_OFFSET_TABLE_ - ., %eax
    movabsq $word@GOTOFF, %rax
    leaq _GLOBAL_OFFSET_TABLE_(%rip), %rdx
    addl (%rax,%rdx), %ebx              # + 5
    movabsq $word@GOT, %rax
    movq (%rdx,%rax), %rax
    addl (%rax), %ebx                   # + 5
    movabsq $word@GOTPLT, %rax
    movq (%rdx,%rax), %rax
    addl (%rax), %ebx                   # + 5
    movslq slot+8(%rip), %rax
    movq (%rdx,%rax), %rax
    addl (%rax), %ebx                   # + 5
    movabsq $third@PLTOFF, %rax
    addq %rdx, %rax
    call *%rax                          # + 3
    movl $word@SIZE, %eax
    addl %eax, %ebx                     # + 8
    addl size(%rip), %ebx               # + 8
    addl constructed(%rip), %ebx        # + 1
    addl nowhere(%rip), %ebx            # + 0
    movl %ebx, %eax
    popq %rbx
    .cfi_adjust_cfa_offset -8
    ret
    .cfi_endproc
    .size run, . - run

first:
    ret
second:
    addl $30, %ebx
    ret
third:
    addl $3, %ebx
    jmp fourth
    .section .text.far, "ax"
fourth:
    ret
    .globl fifth
    .hidden fifth
fifth:
    addl $7, %ebx
    ret
    .section .text.far.too, "ax"
nearby:
    .short fifth - .
    .byte fifth - .

    .section .rodata
    .align 4
distances:
    .long first - distances, second - distances
narrow:
    .short fixed
    .byte fixed - 900
    .align 8
slot:
    .quad host_number@GOTPCREL
    .long word@GOT
    .align 8
size:
    .quad word@SIZE
    .data
    .globl word
    .type word, @object
    .size word, 8
word:
    .quad 5
    .quad word - . + 8
nowhere:
    .quad 0
constructed:
    .quad 0
    .section .init_array.00500, "aw", @init_array
    .quad construct
    .text
construct:
    incl constructed(%rip)
    ret
    .section .note.GNU-stack, "", @progbits
