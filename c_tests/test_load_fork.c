/* Forking while other threads load, free and look up code: the child can do all of that. */
#include "check.h"
#include "native.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

enum { THREADS = 4, FORKS = 200, SECONDS = 20 };

static const uint64_t FLAGS = ARTIFACT_LOAD_GDB | ARTIFACT_LOAD_RUN_CONSTRUCTORS;

/* Loads, calls, names and frees code once. */
static void use_code(const loaded_t *from) {
    artifact_code_t *code = NULL;
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = FLAGS;
    CHECK_OK(artifact_load(from->artifact, from->engine, &options, &code, &error));
    int (*answer)(void);
    SYMBOL(code, 0, "answer", answer);
    CHECK(answer() == 42);
    char name[16];
    CHECK_STATUS(artifact_symbolize(address_of(&answer), name, sizeof name, NULL), ARTIFACT_OK);
    CHECK_STR(name, "answer");
    /* The names of sections are made for C under a lock of the artifact. */
    artifact_section_t section;
    CHECK_OK(artifact_section(from->artifact, 0, ".text", &section, &error));
    CHECK_STR(section.name, ".text");
    artifact_code_free(code);
}

static _Atomic bool done;

static void *use_often(void *context) {
    while (!done) use_code(context);
    return NULL;
}

/* Forks often while threads are at work. Each child has a time limit. */
static void fork_often(loaded_t *from) {
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, use_often, from) == 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(SECONDS);
            for (int j = 0; j < 3; j++) use_code(from);
            if (i % 10 == 0) { /* and the child's child */
                pid_t grandchild = fork();
                if (grandchild == 0) use_code(from), _exit(0);
                int status = -1;
                CHECK(waitpid(grandchild, &status, 0) == grandchild && status == 0);
            }
            _exit(0);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
    done = true;
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

static void skip_watched(void) {
#ifdef __SANITIZE_ADDRESS__
    SKIP("in a child of a process with threads, the sanitizer's allocator may be locked");
#endif
    if (is_valgrind()) SKIP("valgrind reports what its child processes leave allocated");
    if (is_emulated()) SKIP("in a child of a process with threads, the emulator itself may be locked");
}

TEST(fork_while_threads_load) {
    skip_watched();
    pack("small.artifact", "small.o", 1);
    loaded_t from = open_packed("small.artifact");
    fork_often(&from);
    unload(&from);
}

/* The modules have unwind tables, which are copied and registered as one. */
TEST(fork_while_threads_load_several_modules) {
    skip_watched();
    pack("small.artifact", "small", 3);
    loaded_t from = open_packed("small.artifact");
    fork_often(&from);
    unload(&from);
}

/* ---- signal handlers, which are at work in other threads while the process forks ---- */

static const char *address;
static _Atomic unsigned long handled;

static void name_it(int number) {
    (void)number;
    char name[16];
    if (artifact_symbolize(address, name, sizeof name, NULL) != ARTIFACT_OK) abort();
    handled++;
}

static void *spin(void *context) {
    (void)context;
    while (!done) name_it(0);
    return NULL;
}

TEST(fork_while_handlers_name_code) {
    if (is_valgrind()) SKIP("valgrind reports what its child processes leave allocated");
    loaded_t stays = load_flags("many", 0);
    address = symbol_of(stays.code, 0, "f4999");
    pack("small.artifact", "small", 1);
    loaded_t from = open_packed("small.artifact");
    struct sigaction action = {.sa_handler = name_it, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGPROF, &action, NULL) == 0);
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_PROF, &often, NULL) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, spin, NULL) == 0);
    for (int i = 0; i < FORKS; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(SECONDS);
            name_it(0);
            artifact_code_free(stays.code); /* waits for readers, of which the child has none */
            _exit(0);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(status == 0);
    }
    CHECK(setitimer(ITIMER_PROF, &never, NULL) == 0);
    CHECK(signal(SIGPROF, SIG_IGN) != SIG_ERR); /* one that is pending would come when the code is gone */
    done = true;
    CHECK(pthread_join(thread, NULL) == 0);
    unload(&from), unload(&stays);
}
