/* Refused: a direct reference to data of the host. -fPIE emits these for data that it assumes to be its own. */
__attribute__((visibility("hidden"))) extern int host_value;
int value(void);

int value(void) { return host_value; }
