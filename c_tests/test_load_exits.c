/* What loaded code leaves to be run later: when it is freed, when threads end, when the process exits or forks. */
#include "check.h"
#include "native.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { CXX = ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_RUN_CONSTRUCTORS, MAX_NOTES = 256, MAX_THREADS = 32 };

static int notes[MAX_NOTES];
static atomic_int note_count;

static void note(int n) {
    int at = atomic_fetch_add(&note_count, 1);
    if (at < MAX_NOTES) notes[at] = n;
}

/* Checks what was noted since the last time. */
static void check_notes(size_t count, const int *expected) {
    CHECK(atomic_load(&note_count) == (int)count);
    for (size_t i = 0; i < count; i++) CHECK(notes[i] == expected[i]);
    atomic_store(&note_count, 0);
}

#define CHECK_NOTES(...)                                                                                               \
    check_notes(sizeof((int[]){0, __VA_ARGS__}) / sizeof(int) - 1, (const int[]){0, __VA_ARGS__} + 1)

static void set_host(const side_t *side, void (*host)(int)) {
    void (*set)(void (*)(int));
    SIDE(side, "set_host", set);
    set(host);
}

static int call(const side_t *side, const char *name) {
    int (*function)(void);
    SIDE(side, name, function);
    return function();
}

static int at_thread_exit(const side_t *side, int n) {
    int (*function)(int);
    SIDE(side, "at_thread_exit", function);
    return function(n);
}

static loaded_t load_exits(const char *module, uint64_t flags, side_t *side) {
    skip_without(module);
    loaded_t loaded = load_flags(module, flags);
    *side = (side_t){.code = loaded.code};
    set_host(side, note);
    return loaded;
}

static void free_code(loaded_t *loaded) {
    artifact_code_free(loaded->code);
    loaded->code = NULL;
}

static bool is_mapped(const void *address) { return page_of(address).end != 0; }

/* The same as dlopen() and dlclose(), of the same file if the library linked it. */
static side_t open_exits(const char *module) {
    side_t theirs = {.handle = dlopen(is_object(module) ? scratch("code.artifact") : native(module), RTLD_NOW)};
    if (!theirs.handle) check_fail(__FILE__, __LINE__, module, dlerror(), "");
    set_host(&theirs, note);
    return theirs;
}

/* ---- exit ---- */

static void run_at_free(const char *module, uint64_t flags) {
    side_t ours;
    loaded_t loaded = load_exits(module, flags, &ours);
    CHECK(call(&ours, "at_exit") == 0);
    CHECK_NOTES();
    void *code = symbol_of(loaded.code, 0, "at_exit");
    CHECK(is_mapped(code));
    free_code(&loaded);
    CHECK_NOTES(3, 2, 1);
    CHECK(!is_mapped(code));
    side_t theirs = open_exits(module);
    CHECK(call(&theirs, "at_exit") == 0);
    CHECK(dlclose(theirs.handle) == 0);
    CHECK_NOTES(3, 2, 1);
    unload(&loaded);
}

TEST(exits_run_when_code_is_freed) { run_at_free("exits", ARTIFACT_LOAD_PROCESS_SYMBOLS); }
TEST(exits_run_when_constructed_code_is_freed) { run_at_free("exits", CXX); }
TEST(exits_run_when_code_linked_by_us_is_freed) { run_at_free("exits.o", ARTIFACT_LOAD_PROCESS_SYMBOLS); }
TEST(exits_run_when_constructed_code_linked_by_us_is_freed) { run_at_free("exits.o", CXX); }

static void destroy_at_free(const char *module, uint64_t flags) {
    need_cxx();
    side_t ours;
    loaded_t loaded = load_exits(module, flags, &ours);
    CHECK(call(&ours, "local_statics") == 3 && call(&ours, "local_statics") == 3);
    free_code(&loaded);
    CHECK_NOTES(1, 2, 12, 11);
    unload(&loaded);
}

TEST(local_statics_are_destroyed_when_code_is_freed) { destroy_at_free("statics", ARTIFACT_LOAD_PROCESS_SYMBOLS); }
TEST(local_statics_are_destroyed_when_constructed_code_is_freed) { destroy_at_free("statics", CXX); }
TEST(local_statics_linked_by_us_are_destroyed) { destroy_at_free("statics.o", ARTIFACT_LOAD_PROCESS_SYMBOLS); }
TEST(local_statics_linked_by_us_are_destroyed_with_constructors) { destroy_at_free("statics.o", CXX); }

static void give_own(void *context, artifact_import_t *missing, size_t count) {
    (void)context;
    for (size_t i = 0; i < count; i++) missing[i].address = dlsym(RTLD_DEFAULT, missing[i].name);
}

/* A host that gives the C library's own functions gets the library's, which know when code is freed. */
TEST(exits_run_if_the_host_gives_the_c_library) {
    skip_without("exits");
    static const char *const names[] = {"__cxa_atexit", "__cxa_thread_atexit_impl", "__cxa_finalize"};
    artifact_import_t table[COUNT(names)];
    for (size_t i = 0; i < COUNT(names); i++) table[i] = (artifact_import_t){names[i], dlsym(RTLD_DEFAULT, names[i])};
    for (int by_table = 0; by_table < 2; by_table++) {
        artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
        options.symbols = table;
        options.symbol_count = by_table ? COUNT(table) : 0;
        options.resolve = give_own;
        loaded_t loaded = load_with("exits.o", &options);
        side_t ours = {.code = loaded.code};
        set_host(&ours, note);
        CHECK(call(&ours, "at_exit") == 0 && at_thread_exit(&ours, 7) == 0);
        free_code(&loaded);
        CHECK_NOTES(7, 3, 2, 1);
        unload(&loaded);
    }
}

static int own_registrations;

static int own_atexit(void (*function)(void *), void *argument, void *handle) {
    (void)function, (void)argument, (void)handle;
    own_registrations++;
    return 0;
}

/* A host may have its own. */
TEST(exits_are_the_host_s_if_it_defines_them) {
    skip_without("exits");
    artifact_import_t table[] = {
        {"__cxa_atexit", address_of(&(int (*[1])(void (*)(void *), void *, void *)){own_atexit})}};
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    options.symbols = table;
    options.symbol_count = 1;
    loaded_t loaded = load_with("exits", &options);
    side_t ours = {.code = loaded.code};
    set_host(&ours, note);
    CHECK(call(&ours, "at_exit") == 0 && own_registrations == 3);
    unload(&loaded);
    CHECK_NOTES();
}

static void end(int n) { _exit(40 + n); }

/* Returns the exit status of a child process. */
static int status_of(pid_t child) {
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Code that isn't freed runs its functions at exit; code that was freed has nothing left to run. */
static void exit_process(const char *module) {
    for (int freed = 0; freed < 2; freed++) {
        for (int quick = 0; quick < 2; quick++) {
            side_t ours;
            loaded_t loaded = load_exits(module, ARTIFACT_LOAD_PROCESS_SYMBOLS, &ours);
            fflush(NULL);
            pid_t child = fork();
            if (child == 0) {
                if (call(&ours, "at_exit") || call(&ours, "at_quick")) _exit(1);
                if (freed) free_code(&loaded);
                if (!freed) set_host(&ours, end);
                if (quick) quick_exit(5);
                _exit(freed ? 5 : (exit(5), 5));
            }
            int status = status_of(child);
            CHECK(status == (freed ? 5 : quick ? 41 : 43));
            unload(&loaded);
        }
    }
}

TEST(exits_run_at_exit_unless_code_was_freed) { exit_process("exits"); }
TEST(exits_linked_by_us_run_at_exit_unless_code_was_freed) { exit_process("exits.o"); }

/* ---- fork ---- */

static void fork_process(const char *module) {
    side_t ours;
    loaded_t loaded = load_exits(module, ARTIFACT_LOAD_PROCESS_SYMBOLS, &ours);
    CHECK(call(&ours, "at_fork") == 0);
    pid_t child = fork();
    if (child == 0) _exit(atomic_load(&note_count) == 2 && notes[0] == 4 && notes[1] == 6 ? 0 : 1);
    CHECK(status_of(child) == 0);
    CHECK_NOTES(4, 5);
    free_code(&loaded);
    child = fork();
    if (child == 0) _exit(atomic_load(&note_count));
    CHECK(status_of(child) == 0);
    CHECK_NOTES();
    unload(&loaded);
}

TEST(handlers_of_forks_are_gone_when_code_is_freed) { fork_process("exits"); }
TEST(handlers_of_forks_linked_by_us_are_gone_when_code_is_freed) { fork_process("exits.o"); }

/* ---- threads ---- */

/* A thread that registers destructors and ends when it is told to. */
typedef struct worker_t {
    pthread_t thread;
    pthread_barrier_t *registered, *end;
    const side_t *side;
    const char *function; /* NULL: two destructors */
    int number;
} worker_t;

static void *work(void *context) {
    const worker_t *worker = context;
    if (worker->function) {
        CHECK(call(worker->side, worker->function) == 0);
    } else {
        CHECK(at_thread_exit(worker->side, worker->number) == 0);
        CHECK(at_thread_exit(worker->side, worker->number + 100) == 0);
    }
    pthread_barrier_wait(worker->registered);
    pthread_barrier_wait(worker->end);
    return NULL;
}

/* Code that is freed before or after the threads end that have destructors of its to run. */
static void end_threads(const char *module, size_t count, bool free_first) {
    side_t ours;
    loaded_t loaded = load_exits(module, ARTIFACT_LOAD_PROCESS_SYMBOLS, &ours);
    void *code = symbol_of(loaded.code, 0, "at_exit");
    pthread_barrier_t registered, end;
    CHECK(pthread_barrier_init(&registered, NULL, (unsigned)count + 1) == 0);
    CHECK(pthread_barrier_init(&end, NULL, (unsigned)count + 1) == 0);
    worker_t workers[MAX_THREADS];
    for (size_t i = 0; i < count; i++) {
        workers[i] = (worker_t){.registered = &registered, .end = &end, .side = &ours, .number = (int)i + 20};
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    pthread_barrier_wait(&registered);
    if (free_first) {
        free_code(&loaded);
        CHECK_NOTES();
        CHECK(is_mapped(code));
    }
    pthread_barrier_wait(&end);
    for (size_t i = 0; i < count; i++) CHECK(pthread_join(workers[i].thread, NULL) == 0);
    CHECK(atomic_load(&note_count) == 2 * (int)count);
    for (size_t i = 0; i < count; i++) { /* each thread's in reverse order */
        size_t at[2] = {0, 0};
        for (size_t n = 0; n < 2 * count; n++) {
            if (notes[n] == workers[i].number + 100) at[0] = n + 1;
            if (notes[n] == workers[i].number) at[1] = n + 1;
        }
        CHECK(at[0] && at[0] < at[1]);
    }
    atomic_store(&note_count, 0);
    CHECK(is_mapped(code) == !free_first);
    unload(&loaded);
    CHECK(!is_mapped(code));
    CHECK_NOTES();
    pthread_barrier_destroy(&registered);
    pthread_barrier_destroy(&end);
}

TEST(code_stays_until_a_thread_has_ended) { end_threads("exits", 1, true); }
TEST(code_linked_by_us_stays_until_a_thread_has_ended) { end_threads("exits.o", 1, true); }
TEST(code_stays_until_32_threads_have_ended) { end_threads("exits.o", 32, true); }
TEST(code_is_freed_after_a_thread_has_ended) { end_threads("exits", 1, false); }
TEST(code_is_freed_after_32_threads_have_ended) { end_threads("exits.o", 32, false); }

/* A destructor of freed code may register something itself. */
TEST(destructors_of_freed_code_may_register_more) {
    side_t ours;
    loaded_t loaded = load_exits("exits.o", ARTIFACT_LOAD_PROCESS_SYMBOLS, &ours);
    void *code = symbol_of(loaded.code, 0, "at_exit");
    pthread_barrier_t registered, end;
    CHECK(pthread_barrier_init(&registered, NULL, 2) == 0 && pthread_barrier_init(&end, NULL, 2) == 0);
    worker_t worker = {
        .registered = &registered, .end = &end, .side = &ours, .function = "at_thread_exit_then_at_exit"};
    CHECK(pthread_create(&worker.thread, NULL, work, &worker) == 0);
    pthread_barrier_wait(&registered);
    free_code(&loaded);
    pthread_barrier_wait(&end);
    CHECK(pthread_join(worker.thread, NULL) == 0);
    CHECK_NOTES(8, 1, 9);
    CHECK(!is_mapped(code));
    unload(&loaded);
    pthread_barrier_destroy(&registered);
    pthread_barrier_destroy(&end);
}

/* The destructors of the thread that frees the code run at once, those of other code stay. */
TEST(destructors_of_this_thread_run_when_code_is_freed) {
    side_t one, two;
    loaded_t first = load_exits("exits.o", ARTIFACT_LOAD_PROCESS_SYMBOLS, &one);
    loaded_t second = load_exits("exits.o", ARTIFACT_LOAD_PROCESS_SYMBOLS, &two);
    void *code = symbol_of(first.code, 0, "at_exit");
    CHECK(call(&one, "at_exit") == 0);
    for (int i = 20; i < 24; i++) CHECK(at_thread_exit(i % 2 ? &one : &two, i) == 0);
    unload(&first);
    CHECK_NOTES(23, 21, 3, 2, 1);
    CHECK(!is_mapped(code));
    for (int i = 0; i < 1000; i++) {
        artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
        options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
        artifact_code_t *again = NULL;
        CHECK_OK(artifact_load(second.artifact, second.engine, &options, &again, &error));
        one.code = again;
        set_host(&one, note);
        CHECK(at_thread_exit(&one, 30) == 0);
        artifact_code_free(again);
        CHECK_NOTES(30);
    }
    unload(&second);
    CHECK_NOTES(22, 20);
}

/* ---- constructors ---- */

static void refuse_constructors(const char *module) {
    need_cxx();
    pack("code.artifact", module, 1);
    loaded_t loaded = open_packed("code.artifact");
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_UNSUPPORTED,
                "module 0|constructors|found 1|RUN_CONSTRUCTORS|SKIP_CONSTRUCTORS");
    options.flags |= ARTIFACT_LOAD_SKIP_CONSTRUCTORS;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    unload(&loaded);
}

TEST(constructors_are_never_skipped_silently) { refuse_constructors("exceptions"); }
TEST(constructors_linked_by_us_are_never_skipped_silently) { refuse_constructors("exceptions.o"); }
TEST(constructors_in_sections_are_never_skipped_silently) { refuse_constructors("startup.o"); }
