// What compilers seldom write.
    .text
    .globl run
    .type run, %function
run:
    .cfi_startproc
    stp x29, x30, [sp, #-32]!
    .cfi_adjust_cfa_offset 32
    .cfi_offset 29, -32
    .cfi_offset 30, -24
    str x19, [sp, #16]
    .cfi_offset 19, -16
    adrp x0, :got:host_number
    ldr x0, [x0, :got_lo12:host_number]
    ldr w19, [x0]                       // 12
    mov w0, #21
    bl host_twice                       // + 42
    add w19, w19, w0
    adr x1, word
    ldr w1, [x1]                        // + 5
    add w19, w19, w1
    ldr w1, literal                     // + 7
    add w19, w19, w1
    movz x1, #:abs_g0:fixed             // + 1000
    add w19, w19, w1
    adrp x1, halves
    ldrh w2, [x1, :lo12:halves+2]       // + 2
    add w19, w19, w2
    ldrb w2, [x1, :lo12:halves+4]       // + 3
    add w19, w19, w2
    adrp x1, wide
    ldr q0, [x1, :lo12:wide]
    fmov x2, d0                         // + 4
    add w19, w19, w2
    tbz w19, #31, 1f
    b away
1:  cbz w19, away
    adr x1, distances
    ldrsw x2, [x1, #4]
    add x1, x1, x2
    blr x1                              // + 30
    mov w0, w19
    ldr x19, [sp, #16]
    ldp x29, x30, [sp], #32
    .cfi_adjust_cfa_offset -32
    ret
    .cfi_endproc
    .size run, . - run
literal:
    .word 7
    .align 3
word:
    .quad 5
distances:
    .word first - distances, second - distances
first:
    ret
second:
    add w19, w19, #30
    ret
    .section .text.far, "ax"
    .globl away
    .hidden away
away:
    brk #1
    .set fixed, 1000
    .globl fixed
    .section .rodata
    .align 4
wide:
    .quad 4, 0
halves:
    .hword 1, 2
    .byte 3
    .section .note.GNU-stack, "", %progbits
