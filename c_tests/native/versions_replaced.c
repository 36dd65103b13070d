/* Defines a name of versions.c without a version, as an allocator that replaces libc's does. */
int one_of_three(void);
int one_of_three(void) { return 100; }
