/* The symbols that imports.c uses, in a separate object. */
extern int host_value;
int host_first(int n);
int host_second(int n);
int host_hidden(void);

int host_value = 1234;

__attribute__((visibility("hidden"))) int host_hidden(void) { return 2; }

int host_first(int n) { return host_hidden() * n; }
__attribute__((visibility("protected"))) int host_second(int n) { return n; }
