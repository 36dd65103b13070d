/* A symbol that no library exports and that the loader cannot define. */
extern unsigned __cpu_features2[3];
unsigned use(void);

unsigned use(void) { return __cpu_features2[0]; }
