/* Labels at the ends of sections, which in a small image are the ends of its segments, too. */
__asm__(".globl constants, constants_end, table, table_end, zeros_end, code_end\n"
        ".section .rodata\nconstants: .zero 8\nconstants_end:\n"
        ".data\ntable: .zero 4096\ntable_end:\n"
        ".bss\n.zero 8192\nzeros_end:\n"
        ".text\n.zero 16\ncode_end:\n");
