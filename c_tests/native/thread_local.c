/* Refused: thread-local storage. */
int next(void);

static _Thread_local int value;

int next(void) { return ++value; }
