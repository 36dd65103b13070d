/* Opens each shared object that it is given, prints what its run() returns, and closes it. */
#include <dlfcn.h>
#include <stdio.h>

int host_number = 12;
int host_twice(int number);
int host_twice(int number) { return 2 * number; }

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        void *image = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
        if (!image) {
            puts(dlerror());
            return 1;
        }
        int (*run)(void);
        *(void **)&run = dlsym(image, "run");
        if (!run) {
            puts(dlerror());
            return 1;
        }
        printf("returned %d\n", run());
        if (dlclose(image)) return 1;
        /* Before constructors of the next one print anything. */
        fflush(stdout);
    }
    puts("closed");
    return 0;
}
