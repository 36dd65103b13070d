// Relocations that compilers seldom emit; another object defines `fixed` and `wide_number` as absolute symbols.
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
    movz x1, #:abs_g1:fixed             // + 0
    add w19, w19, w1
    movz x1, #:abs_g2:fixed             // + 0
    add w19, w19, w1
    movz x1, #:abs_g3:wide_number       // 0x0001000200030004
    movk x1, #:abs_g2_nc:wide_number
    movk x1, #:abs_g1_nc:wide_number
    movk x1, #:abs_g0_nc:wide_number
    add w19, w19, w1                    // + 4 and 3 << 16
    lsr x1, x1, #32
    add w19, w19, w1                    // + 2 and 1 << 16
    ldr x0, :got:host_number
    ldr w0, [x0]                        // + 12
    add w19, w19, w0
    adrp x0, _GLOBAL_OFFSET_TABLE_
    add x0, x0, :lo12:_GLOBAL_OFFSET_TABLE_
    ldr x0, [x0, :gotoff_lo15:host_number]
    ldr w0, [x0]                        // + 12
    add w19, w19, w0
    adrp x0, _GLOBAL_OFFSET_TABLE_
    ldr x0, [x0, :gotpage_lo15:host_number]
    ldr w0, [x0]                        // + 12
    add w19, w19, w0
    adrp x1, numbers
    ldr w2, [x1, :lo12:numbers]         // + 1000
    add w19, w19, w2
    add x1, x1, :lo12:numbers
    ldrh w2, [x1, #4]                   // + 1000
    add w19, w19, w2
    ldr x2, [x1, #8]
    add x2, x2, x1
    ldr w2, [x2, #8]                    // + 5
    add w19, w19, w2
    adr x1, nearby
    ldrsh x2, [x1]
    add x1, x1, x2
    blr x1                              // + 30
    adrp x1, :pg_hi21_nc:halves
    ldrh w2, [x1, :lo12:halves+2]       // + 2
    add w19, w19, w2
    ldrb w2, [x1, :lo12:halves+4]       // + 3
    add w19, w19, w2
    adrp x1, wide
    ldr q0, [x1, :lo12:wide]
    fmov x2, d0                         // + 4
    add w19, w19, w2
    tbnz w19, #31, away
    cbz w19, away
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
distances:
    .word first - distances, second - distances
first:
    ret
    .globl second
    .hidden second
second:
    add w19, w19, #30
    ret
    .section .text.far, "ax"
    .globl away
    .hidden away
away:
    brk #1
literal:
    .word 7
    .align 3
word:
    .quad 5
nearby:
    .hword second - .
    .section .rodata
    .align 3
numbers:
    .word fixed
    .hword fixed
    .align 3
    .quad word - .
    .align 4
wide:
    .quad 4, 0
halves:
    .hword 1, 2
    .byte 3
    .section .note.GNU-stack, "", %progbits
