/* Refused: an indirect function, which a resolver selects at load time. */
int chosen(int n);
int use(int n);

static int one(int n) { return n + 1; }

static int (*resolve(void))(int) { return one; }

int chosen(int n) __attribute__((ifunc("resolve")));

int use(int n) { return chosen(n); }
