/* A large .bss, and debug information after it in the file. */
char *room(void);

static char bytes[2 << 20];

char *room(void) { return bytes; }

__asm__(".pushsection .debug_filler\n.zero 4194304\n.popsection");
