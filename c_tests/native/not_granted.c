/* Symbols that no library exports and that the loader cannot define. */
int atexit(void (*function)(void));
extern int __cpu_model[4];
int use(void);

static void nothing(void) {}

int use(void) { return atexit(nothing) + __cpu_model[0]; }
