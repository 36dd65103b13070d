/* A symbol that no library exports and that the loader cannot define. */
extern int __cpu_model[4];
int use(void);

int use(void) { return __cpu_model[0]; }
