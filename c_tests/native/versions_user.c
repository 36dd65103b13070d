/* Refers to several versions of names that versions.c defines. */
int old(void);
int middle(void);
int newest(void);
int was_hidden(void);
int plain(void);
int call_version(int version);

__asm__(".symver old, one_of_three@V1");
__asm__(".symver middle, one_of_three@V2");
__asm__(".symver newest, one_of_three@V3");
__asm__(".symver was_hidden, hidden@V2");

int call_version(int version) {
    switch (version) {
    case 1:
        return old();
    case 2:
        return middle();
    case 3:
        return newest();
    case 4:
        return was_hidden();
    default:
        return plain();
    }
}
