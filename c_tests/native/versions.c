/* A name with three versions, of which the last is the default; one with hidden versions only; one without versions. */
int one_of_three_1(void);
int one_of_three_2(void);
int one_of_three_3(void);
int hidden_1(void);
int hidden_2(void);
int plain(void);
int call_each(int version);
extern int (*const each[3])(void);

__asm__(".symver one_of_three_1, one_of_three@V1");
__asm__(".symver one_of_three_2, one_of_three@V2");
__asm__(".symver one_of_three_3, one_of_three@@V3");
__asm__(".symver hidden_1, hidden@V1");
__asm__(".symver hidden_2, hidden@V2");

int one_of_three_1(void) { return 1; }
int one_of_three_2(void) { return 2; }
int one_of_three_3(void) { return 3; }
int hidden_1(void) { return 11; }
int hidden_2(void) { return 12; }
int plain(void) { return 20; }

/* References within the module name their version. */
int (*const each[3])(void) = {one_of_three_1, one_of_three_2, one_of_three_3};

int call_each(int version) { return each[version - 1](); }
