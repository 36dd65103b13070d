/* Thread-local storage of loaded code, which must be as that of dlopen(): in each model, in many threads, old and new.
 */
#include "check.h"
#include "native.h"

#include <pthread.h>

/* How tls.c is linked. Those that the compiler can't make are skipped. */
static const char *const models[] = {"tls",   "tls_local",   "tls_other",  "tls_other_now",
                                     "tls.o", "tls_local.o", "tls_other.o"};

typedef struct functions_t {
    int (*next)(void), (*next_static)(void), (*sum)(void), (*through_pointer)(void);
    const void *(*small_address)(void), *(*page_address)(void);
    void (*fill)(int value);
} functions_t;

static functions_t functions_of(const side_t *side) {
    functions_t functions;
    SIDE(side, "next", functions.next);
    SIDE(side, "next_static", functions.next_static);
    SIDE(side, "sum", functions.sum);
    SIDE(side, "through_pointer", functions.through_pointer);
    SIDE(side, "small_address", functions.small_address);
    SIDE(side, "page_address", functions.page_address);
    SIDE(side, "fill", functions.fill);
    return functions;
}

static functions_t functions_in(const artifact_code_t *code) { return functions_of(&(side_t){.code = code}); }

/* What a thread finds when it uses the variables for the first time. */
static void check_fresh(const functions_t *functions) {
    CHECK(functions->sum() == 0);
    CHECK(functions->next() == 42 && functions->next() == 43);
    CHECK(functions->next_static() == 804 && functions->next_static() == 905);
    CHECK(functions->through_pointer() == 77);
    CHECK((uintptr_t)functions->small_address() % 64 == 0 && *(const char *)functions->small_address() == 1);
    CHECK((uintptr_t)functions->page_address() % 4096 == 0);
    functions->fill(2);
    CHECK(functions->sum() == 10000);
}

static void *run_fresh(void *functions) {
    check_fresh(functions);
    return functions;
}

static void start(pthread_t *thread, void *(*run)(void *), void *context) {
    if (pthread_create(thread, NULL, run, context) != 0) check_fail(__FILE__, __LINE__, "a thread", "can't start", "");
}

static void in_threads(size_t count, void *(*run)(void *), void *context) {
    pthread_t threads[64];
    for (size_t i = 0; i < count; i++) start(&threads[i], run, context);
    for (size_t i = 0; i < count; i++) CHECK(pthread_join(threads[i], NULL) == 0);
}

static bool is_built(const char *module) { return access(native(module), R_OK) == 0; }

TEST(thread_local_variables_are_those_of_dlopen) {
    for (size_t i = 0; i < COUNT(models); i++) {
        if (!is_built(models[i])) continue;
        loaded_t loaded = load_flags(models[i], 0);
        /* An artifact of a linked object is a shared object, too. */
        void *handle = dlopen(is_object(models[i]) ? scratch("code.artifact") : native(models[i]), RTLD_NOW);
        CHECK(handle);
        functions_t theirs = functions_of(&(side_t){.handle = handle}), ours = functions_in(loaded.code);
        check_fresh(&theirs), check_fresh(&ours);
        in_threads(1, run_fresh, &theirs), in_threads(1, run_fresh, &ours);
        CHECK(theirs.next() == 44 && ours.next() == 44);
        unload(&loaded);
        dlclose(handle);
    }
}

TEST(each_thread_has_its_own_variables) {
    for (size_t i = 0; i < COUNT(models); i++) {
        if (!is_built(models[i])) continue;
        loaded_t loaded = load_flags(models[i], 0);
        functions_t functions = functions_in(loaded.code);
        for (int round = 0; round < 3; round++) in_threads(32, run_fresh, &functions);
        check_fresh(&functions);
        unload(&loaded);
    }
}

/* ---- threads that are older than the code ---- */

typedef struct meeting_t {
    pthread_barrier_t barrier;
    functions_t functions;
    loaded_t other;
    int rounds;
} meeting_t;

static void meet(meeting_t *meeting) {
    int done = pthread_barrier_wait(&meeting->barrier);
    CHECK(done == 0 || done == PTHREAD_BARRIER_SERIAL_THREAD);
}

static void *attend(void *context) {
    meeting_t *meeting = context;
    for (int i = 0; i < meeting->rounds; i++) {
        meet(meeting); /* the code is loaded */
        check_fresh(&meeting->functions);
        meet(meeting); /* the code may be freed */
    }
    return NULL;
}

TEST(older_threads_have_fresh_variables_after_each_load) {
    need_machine();
    enum { THREADS = 8 };
    meeting_t meeting = {.rounds = 20};
    CHECK(pthread_barrier_init(&meeting.barrier, NULL, THREADS + 1) == 0);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) start(&threads[i], attend, &meeting);
    for (int i = 0; i < meeting.rounds; i++) {
        /* Another module takes the place of the one before in half of the rounds. */
        loaded_t other = {0};
        if (i % 2) other = load_flags("tls_local", 0);
        loaded_t loaded = load_flags("tls", 0);
        meeting.functions = functions_in(loaded.code);
        meet(&meeting);
        meet(&meeting);
        unload(&loaded);
        if (i % 2) unload(&other);
    }
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&meeting.barrier);
}

TEST(modules_of_one_artifact_have_variables_of_their_own) {
    pack("code.artifact", "tls", 20);
    loaded_t loaded = open_packed("code.artifact");
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, &error));
    for (size_t module = 0; module < 20; module++) {
        int (*next)(void);
        SYMBOL(loaded.code, module, "next", next);
        for (size_t i = 0; i <= module; i++) CHECK(next() == 42 + (int)i);
    }
    unload(&loaded);
}

static size_t data_kib(void) {
    FILE *file = fopen("/proc/self/status", "r");
    if (!file) SKIP("there is no /proc/self/status");
    char line[256];
    size_t kib = 0;
    while (fgets(line, sizeof line, file)) sscanf(line, "VmData: %zu kB", &kib);
    fclose(file);
    return kib;
}

/* Sanitizers and valgrind keep freed memory for a while, and an emulator's memory is its own. */
static bool shows_growth(void) { return !is_sanitized() && !is_valgrind() && !is_emulated(); }

TEST(loading_and_freeing_leaves_nothing) {
    const int rounds = is_valgrind() || is_emulated() ? 100 : 10000;
    pack("code.artifact", "tls", 1);
    loaded_t loaded = open_packed("code.artifact");
    size_t before = 0;
    for (int i = 0; i < rounds; i++) {
        CHECK_OK(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, &error));
        functions_t functions = functions_in(loaded.code);
        CHECK(functions.next() == 42 && functions.sum() == 0);
        functions.fill(1);
        artifact_code_free(loaded.code);
        if (i == rounds / 10) before = data_kib();
    }
    /* Each block has more than 8 KiB. */
    if (shows_growth()) CHECK(data_kib() < before + 1024);
    loaded.code = NULL;
    unload(&loaded);
}

TEST(threads_that_end_leave_nothing) {
    loaded_t loaded = load_flags("tls", 0);
    functions_t functions = functions_in(loaded.code);
    const int rounds = is_valgrind() || is_emulated() ? 20 : 2000;
    size_t before = 0;
    for (int i = 0; i < rounds; i++) {
        in_threads(2, run_fresh, &functions);
        if (i == rounds / 10) before = data_kib();
    }
    if (shows_growth()) CHECK(data_kib() < before + 1024);
    unload(&loaded);
}

/* ---- destructors of thread keys ---- */

static pthread_key_t key;

static void use_again(void *functions) {
    CHECK(((functions_t *)functions)->next() == 45);
    CHECK(((functions_t *)functions)->sum() == 10000);
}

static void *run_with_key(void *functions) {
    check_fresh(functions);
    CHECK(pthread_setspecific(key, functions) == 0);
    CHECK(((functions_t *)functions)->next() == 44);
    return NULL;
}

TEST(destructors_of_thread_keys_find_the_variables) {
    /* One key before the library's and one after it. */
    for (int after = 0; after < 2; after++) {
        if (!after) CHECK(pthread_key_create(&key, use_again) == 0);
        loaded_t loaded = load_flags("tls", 0);
        functions_t functions = functions_in(loaded.code);
        functions.next();
        if (after) CHECK(pthread_key_create(&key, use_again) == 0);
        in_threads(4, run_with_key, &functions);
        CHECK(pthread_key_delete(key) == 0);
        unload(&loaded);
    }
}

/* ---- lookups ---- */

static void *look_up(void *code) { return artifact_code_symbol(code, 0, "counter", NULL); }

TEST(symbols_are_those_of_the_calling_thread) {
    loaded_t loaded = load_flags("tls", 0);
    functions_t functions = functions_in(loaded.code);
    size_t size = 0;
    int *mine = artifact_code_symbol(loaded.code, 0, "counter", &size);
    CHECK(mine && size == sizeof(int) && *mine == 41);
    CHECK(functions.next() == 42 && *mine == 42);
    CHECK(artifact_code_symbol(loaded.code, 0, "counter", NULL) == mine);
    CHECK(artifact_code_symbol(loaded.code, 0, "aligned_small", NULL) == functions.small_address());
    pthread_t thread;
    start(&thread, look_up, loaded.code);
    void *other;
    CHECK(pthread_join(thread, &other) == 0);
    CHECK(other && other != mine);
    unload(&loaded);
}

/* ---- variables of the host ---- */

_Thread_local int host_variable = 10;

static artifact_load_options_t with_host_variable(artifact_import_t *import) {
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    *import = (artifact_import_t){"host_variable", &host_variable};
    options.symbols = import;
    options.symbol_count = 1;
    return options;
}

typedef struct host_functions_t {
    int (*next)(void), *(*address)(void), *(*weak)(void);
} host_functions_t;

static void *use_host_variable(void *context) {
    const host_functions_t *functions = context;
    CHECK(host_variable == 10);
    CHECK(functions->next() == 11 && host_variable == 11);
    CHECK(functions->address() == &host_variable);
    host_variable = 20;
    CHECK(functions->next() == 21);
    return NULL;
}

TEST(host_variables_are_the_hosts_in_each_thread) {
    static const char *const modules[] = {"tls_host",   "tls_host_other",   "tls_host_static",
                                          "tls_host.o", "tls_host_other.o", "tls_host_static.o"};
    for (size_t i = 0; i < COUNT(modules); i++) {
        if (!is_built(modules[i])) continue;
        artifact_import_t import;
        artifact_load_options_t options = with_host_variable(&import);
        loaded_t loaded = load_with(modules[i], &options);
        host_functions_t functions;
        SYMBOL(loaded.code, 0, "next_host", functions.next);
        SYMBOL(loaded.code, 0, "host_address", functions.address);
        SYMBOL(loaded.code, 0, "weak_address", functions.weak);
        CHECK(functions.weak() == NULL);
        host_variable = 10;
        use_host_variable(&functions);
        in_threads(16, use_host_variable, &functions);
        unload(&loaded);
    }
}

TEST(plain_data_is_no_thread_local_variable) {
    static int plain;
    pack("code.artifact", "tls_host", 1);
    loaded_t loaded = open_packed("code.artifact");
    artifact_import_t import;
    artifact_load_options_t options = with_host_variable(&import);
    import.address = &plain;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error),
                ARTIFACT_INVALID_ARGUMENT, "module 0|host_variable|thread-local");
    options.symbol_count = 0;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_UNRESOLVED,
                "host_variable");
    unload(&loaded);
}

/* The resolver isn't asked for __tls_get_addr, and the table's definition doesn't count. */
static void expect_host_variable(void *context, artifact_import_t *missing, size_t count) {
    (void)context;
    for (size_t i = 0; i < count; i++) {
        CHECK(strcmp(missing[i].name, "__tls_get_addr") != 0);
        if (strcmp(missing[i].name, "host_variable") == 0) missing[i].address = &host_variable;
    }
}

TEST(tls_get_addr_is_always_the_loaders) {
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    artifact_import_t import = {"__tls_get_addr", address_of(&(int (*)(const char *)){puts})};
    options.symbols = &import;
    options.symbol_count = 1;
    options.resolve = expect_host_variable;
    loaded_t loaded = load_with("tls_host", &options);
    host_functions_t functions;
    SYMBOL(loaded.code, 0, "next_host", functions.next);
    host_variable = 1;
    CHECK(functions.next() == 2);
    unload(&loaded);
}

/* A variable of code that was loaded before is a host variable for other code. */
TEST(code_can_use_variables_of_other_code) {
    loaded_t first = load_flags("tls", 0);
    artifact_import_t import = {"host_variable", artifact_code_symbol(first.code, 0, "counter", NULL)};
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.symbols = &import;
    options.symbol_count = 1;
    loaded_t second = load_with("tls_host", &options);
    functions_t functions = functions_in(first.code);
    int (*next_host)(void);
    SYMBOL(second.code, 0, "next_host", next_host);
    CHECK(functions.next() == 42 && next_host() == 43 && functions.next() == 44);
    pack("code.artifact", "tls_host_static", 1);
    loaded_t third = open_packed("code.artifact");
    CHECK_FAILS(artifact_load(third.artifact, third.engine, &options, &third.code, &error), ARTIFACT_UNSUPPORTED,
                "host_variable|initial-exec");
    unload(&third);
    unload(&second);
    unload(&first);
}

/* Variables of a library that came with dlopen() are not in static storage, even if this thread has used them. */
TEST(initial_exec_is_refused_for_variables_that_threads_make_on_first_use) {
    need_machine();
    void *handle = dlopen(native("tls"), RTLD_NOW);
    CHECK(handle);
    artifact_import_t import = {"host_variable", dlsym(handle, "counter")};
    CHECK(import.address);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.symbols = &import;
    options.symbol_count = 1;
    loaded_t loaded = load_with("tls_host", &options);
    int (*next_host)(void), (*next)(void);
    SYMBOL(loaded.code, 0, "next_host", next_host);
    set_function(&next, dlsym(handle, "next"));
    CHECK(next_host() == 42 && next() == 43);
    unload(&loaded);
    pack("code.artifact", "tls_host_static", 1);
    loaded = open_packed("code.artifact");
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_UNSUPPORTED,
                "module 0|host_variable|initial-exec");
    unload(&loaded);
    dlclose(handle);
}

static void *call_once_in_thread(void *once) {
    int (*function)(int *);
    set_function(&function, once);
    int count = 0;
    CHECK(function(&count) == 0); /* once in the process */
    return NULL;
}

TEST(call_once_works) {
    static const char *const modules[] = {"call_once", "call_once.o"};
    for (size_t i = 0; i < COUNT(modules); i++) {
        skip_without(modules[i]);
        if (!dlopen("libstdc++.so.6", RTLD_NOW | RTLD_GLOBAL)) SKIP("there is no libstdc++");
        loaded_t loaded = load_flags(modules[i], ARTIFACT_LOAD_PROCESS_SYMBOLS);
        int (*once)(int *);
        SYMBOL(loaded.code, 0, "once", once);
        int count = 0;
        CHECK(once(&count) == 1 && once(&count) == 1);
        in_threads(4, call_once_in_thread, address_of(&once));
        unload(&loaded);
    }
}

/* ---- descriptors ---- */

static void *check_registers(void *keeps) {
    int (*function)(int wide);
    set_function(&function, keeps);
    CHECK(function(1) == 0); /* makes the block */
    CHECK(function(0) == 0);
    return NULL;
}

static void *check_narrow_registers(void *keeps) {
    int (*function)(int wide);
    set_function(&function, keeps);
    CHECK(function(0) == 0);
    CHECK(function(1) == 0);
    return NULL;
}

TEST(descriptors_keep_registers) {
    skip_without("tls_registers");
    loaded_t loaded = load_flags("tls_registers", ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_SKIP_CONSTRUCTORS);
    void *keeps = symbol_of(loaded.code, 0, "descriptor_keeps_registers");
    in_threads(4, check_registers, keeps);
    in_threads(4, check_narrow_registers, keeps);
    unload(&loaded);
}

/* ---- fork ---- */

static void *use_on_and_on(void *context) {
    for (int i = 0; i < 300; i++) in_threads(1, run_fresh, context);
    return NULL;
}

TEST(children_have_the_variables_of_the_thread_that_forked) {
    if (is_sanitized()) SKIP("the sanitizer's allocator stays locked in the child if another thread was using it");
    if (is_emulated()) SKIP("emulators do not survive a fork while threads start");
    loaded_t loaded = load_flags("tls", 0);
    functions_t functions = functions_in(loaded.code);
    check_fresh(&functions);
    pthread_t busy[2];
    for (size_t i = 0; i < COUNT(busy); i++) start(&busy[i], use_on_and_on, &functions);
    for (int i = 0; i < (is_valgrind() || is_emulated() ? 5 : 100); i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(30); /* a lock that nobody releases */
            bool good = functions.next() == 44 && functions.sum() == 10000;
            in_threads(2, run_fresh, &functions);
            _exit(good ? 0 : 1);
        }
        int status = -1;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
    for (size_t i = 0; i < COUNT(busy); i++) CHECK(pthread_join(busy[i], NULL) == 0);
    unload(&loaded);
}
