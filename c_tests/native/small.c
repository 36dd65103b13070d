/* Two functions and data, without undefined symbols. */
int answer(void);
int add(int by);
extern int total;

int total = 1;

int answer(void) { return 42; }

int add(int by) { return total += by; }
