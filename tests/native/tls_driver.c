/* Opens a shared object, and prints what its run() returns in this thread, in one older than the object, and in new
 * ones. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

extern __thread int host_count;
__thread int host_count = 30;
int host_twice(int number);
int host_twice(int number) { return 2 * number; }

static int (*run)(int);
static pthread_barrier_t opened;

static void *in_thread(void *name) {
    host_count = 40;
    pthread_barrier_wait(&opened);
    const int first = run(1), second = run(1);
    printf("%s: %d, then %d, host_count %d\n", (const char *)name, first, second, host_count);
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t thread;
    if (argc != 2 || pthread_barrier_init(&opened, NULL, 2) || pthread_create(&thread, NULL, in_thread, "older thread"))
        return 1;
    void *image = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!image || !(*(void **)&run = dlsym(image, "run"))) {
        puts(dlerror());
        return 1;
    }
    const int *exported = dlsym(image, "exported");
    printf("main thread: %d, exported %d", run(1), exported ? *exported : -1);
    printf(", then %d, host_count %d\n", run(2), host_count);
    pthread_barrier_wait(&opened);
    pthread_join(thread, NULL);
    for (int i = 0; i < 3; i++) {
        if (pthread_create(&thread, NULL, in_thread, "new thread")) return 1;
        pthread_barrier_wait(&opened);
        pthread_join(thread, NULL);
    }
    if (dlclose(image)) return 1;
    puts("closed");
    return 0;
}
