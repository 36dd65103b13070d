/* Refused: a direct reference to data of the host, as -fPIE makes it of data that it takes for its own. */
__attribute__((visibility("hidden"))) extern int host_value;
int value(void);

int value(void) { return host_value; }
