/* The functions of libgcc that heap trampolines need, for one trampoline at a time, and a function that calls through
 * one. */
#define _GNU_SOURCE
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void __gcc_nested_func_ptr_created(void *chain, void *function, void *place);
void __gcc_nested_func_ptr_deleted(void);
int apply(int (*function)(int), int number);

enum { SIZE = 4096 };
static char *trampoline;

void __gcc_nested_func_ptr_created(void *chain, void *function, void *place) {
    /* movabs $chain, %r10; movabs $function, %r11; jmp *%r11 */
    char code[] = "\x49\xba........\x49\xbb........\x41\xff\xe3";
    memcpy(code + 2, &chain, 8);
    memcpy(code + 12, &function, 8);
    int file = memfd_create("trampoline", 0);
    if (file < 0 || ftruncate(file, SIZE) || write(file, code, sizeof code) != sizeof code) _exit(3);
    trampoline = mmap(NULL, SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
    close(file);
    if (trampoline == MAP_FAILED) _exit(4);
    memcpy(place, &trampoline, sizeof trampoline);
}

void __gcc_nested_func_ptr_deleted(void) { munmap(trampoline, SIZE); }

int apply(int (*function)(int), int number) { return function(number); }
