/* Pieces of DT_INIT and DT_FINI, without the startup files of a compiler. */
__asm__(".section .init,\"ax\",%progbits\nnop\n"
        ".section .fini,\"ax\",%progbits\nnop\n"
        ".text\n");
