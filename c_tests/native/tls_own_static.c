/* Refused: initial exec, to the module's own variable. */
int next(void);

static __attribute__((tls_model("initial-exec"))) _Thread_local int value;

int next(void) { return ++value; }
