/* Uses functions and data of the host, one of them weakly. */
extern int host_value;
int host_first(int n);
int host_second(int n);
extern int host_weak(int n) __attribute__((weak));
int use_first(int n);
int use_second(int n);
int use_value(void);
int has_weak(void);
int *place_of_value(void);

static int *const place = &host_value;

int use_first(int n) { return host_first(n) + 1; }
int use_second(int n) { return host_second(n) + 2; }
int use_value(void) { return host_value; }
int has_weak(void) { return host_weak ? host_weak(1) : -1; }
int *place_of_value(void) { return place; }
