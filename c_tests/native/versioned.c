/* Refused: a definition with a version. */
int versioned(void);

int versioned(void) { return 1; }
__asm__(".symver versioned, plain@VERSION_1");
