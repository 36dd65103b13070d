/* Names of addresses: in buffers of any size, in signal handlers, and while other threads load and free code. */
#include "check.h"
#include "native.h"
#include "signed.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

/* ---- memory: whoever asks for some, or gives some back, in a signal handler, ends the process ---- */

static _Thread_local volatile sig_atomic_t in_handler;

static void not_in_handler(void) {
    if (in_handler) abort();
}

#ifdef __SANITIZE_ADDRESS__
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *, size_t),
                                              void (*free_hook)(const volatile void *));

static void on_malloc(const volatile void *memory, size_t size) { (void)memory, (void)size, not_in_handler(); }
static void on_free(const volatile void *memory) { (void)memory, not_in_handler(); }
static void watch_memory(void) { CHECK(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0); }
#elif defined(__GLIBC__)
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void __libc_free(void *memory);

void *malloc(size_t size) { return not_in_handler(), __libc_malloc(size); }
void *calloc(size_t count, size_t size) { return not_in_handler(), __libc_calloc(count, size); }
void *realloc(void *memory, size_t size) { return not_in_handler(), __libc_realloc(memory, size); }
void free(void *memory) { not_in_handler(), __libc_free(memory); }
static void watch_memory(void) {}
#else
static void watch_memory(void) {}
#endif

/* ---- results ---- */

static void check_nothing(artifact_status_t status, artifact_status_t expected, const char *name,
                          const artifact_symbolized_t *found) {
    CHECK_STATUS(status, expected);
    CHECK_STR(name, "");
    CHECK(found->module == 0 && found->offset == 0 && found->name_len == 0);
}

TEST(symbolize_finds_functions_and_objects) {
    loaded_t loaded = load_flags("basic", ARTIFACT_LOAD_PROCESS_SYMBOLS);
    char *count = symbol_of(loaded.code, 0, "count"), name[16];
    artifact_symbolized_t found;
    CHECK_STATUS(artifact_code_symbolize(loaded.code, count + 3, name, sizeof name, &found), ARTIFACT_OK);
    CHECK_STR(name, "count");
    CHECK(found.module == 0 && found.offset == 3 && found.name_len == 5);
    memset(&found, 9, sizeof found), memset(name, 'x', sizeof name);
    CHECK_STATUS(artifact_symbolize(count + 3, name, sizeof name, &found), ARTIFACT_OK);
    CHECK_STR(name, "count");
    CHECK(found.module == 0 && found.offset == 3 && found.name_len == 5);
    CHECK_STATUS(artifact_code_symbolize(loaded.code, count, NULL, 0, NULL), ARTIFACT_OK);
    CHECK_STATUS(artifact_symbolize(count, NULL, 0, NULL), ARTIFACT_OK);
    const void *outside[] = {NULL, &loaded, (void *)(uintptr_t)-1, count - (1 << 30)};
    for (size_t i = 0; i < COUNT(outside); i++) {
        memset(&found, 9, sizeof found), memset(name, 'x', sizeof name);
        check_nothing(artifact_code_symbolize(loaded.code, outside[i], name, sizeof name, &found), ARTIFACT_NOT_FOUND,
                      name, &found);
        memset(&found, 9, sizeof found), memset(name, 'x', sizeof name);
        check_nothing(artifact_symbolize(outside[i], name, sizeof name, &found), ARTIFACT_NOT_FOUND, name, &found);
    }
    memset(&found, 9, sizeof found), memset(name, 'x', sizeof name);
    check_nothing(artifact_code_symbolize(NULL, count, name, sizeof name, &found), ARTIFACT_INVALID_ARGUMENT, name,
                  &found);
    check_nothing(artifact_code_symbolize(loaded.code, count, NULL, 1, &found), ARTIFACT_INVALID_ARGUMENT, "", &found);
    check_nothing(artifact_symbolize(count, NULL, 1, &found), ARTIFACT_INVALID_ARGUMENT, "", &found);
    unload(&loaded);
    check_nothing(artifact_symbolize(count, name, sizeof name, &found), ARTIFACT_NOT_FOUND, name, &found);
}

TEST(symbolize_cuts_names_off_that_do_not_fit) {
    loaded_t loaded = load_flags("small", 0);
    const char *answer = symbol_of(loaded.code, 0, "answer");
    for (size_t size = 0; size <= 8; size++) {
        char name[9], expected[9] = "answer";
        memset(name, '#', sizeof name);
        artifact_symbolized_t found;
        CHECK_STATUS(artifact_symbolize(answer, name, size, &found), ARTIFACT_OK);
        CHECK(found.name_len == 6 && name[size] == '#');
        if (size == 0) continue;
        expected[size - 1] = 0;
        CHECK_STR(name, expected);
    }
    unload(&loaded);
}

TEST(symbolize_names_code_of_several_artifacts) {
    loaded_t loaded[20];
    for (size_t i = 0; i < COUNT(loaded); i++) loaded[i] = load_flags(i % 2 ? "small" : "many.o", 0);
    for (size_t i = 0; i < COUNT(loaded); i++) {
        const char *expected = i % 2 ? "answer" : "f77";
        const char *address = symbol_of(loaded[i].code, 0, expected);
        char name[16];
        CHECK_STATUS(artifact_symbolize(address, name, sizeof name, NULL), ARTIFACT_OK);
        CHECK_STR(name, expected);
        const artifact_code_t *next = loaded[(i + 1) % COUNT(loaded)].code;
        CHECK_STATUS(artifact_code_symbolize(next, address, name, sizeof name, NULL), ARTIFACT_NOT_FOUND);
    }
    for (size_t i = 0; i < COUNT(loaded); i++) unload(&loaded[i]);
}

/* ---- signal handlers ---- */

static const artifact_code_t *code;
static const char *address;
static char text[64];
static volatile artifact_status_t status;

static void name_it(int number) {
    in_handler = 1;
    status = number == SIGUSR1 ? artifact_code_symbolize(code, address, text, sizeof text, NULL)
                               : artifact_symbolize(address, text, sizeof text, NULL);
    in_handler = 0;
}

static void on_signal(int number, void (*handler)(int)) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    CHECK(sigaction(number, &action, NULL) == 0);
}

/* Nothing has been read of the symbols when the handler runs. */
static void name_in_handlers(const artifact_code_t *loaded, const char *name, const char *other) {
    watch_memory();
    on_signal(SIGUSR1, name_it);
    on_signal(SIGUSR2, name_it);
    code = loaded;
    for (int i = 0; i < 4; i++) {
        address = symbol_of(code, 0, i % 2 ? other : name);
        CHECK(raise(i / 2 ? SIGUSR1 : SIGUSR2) == 0);
        CHECK_STATUS(status, ARTIFACT_OK);
        CHECK_STR(text, i % 2 ? other : name);
        address = (const char *)&address;
        CHECK(raise(i / 2 ? SIGUSR1 : SIGUSR2) == 0);
        CHECK_STATUS(status, ARTIFACT_NOT_FOUND);
    }
}

static void name_module_in_handlers(const char *module, const char *name, const char *other) {
    loaded_t loaded = load_flags(module, ARTIFACT_LOAD_PROCESS_SYMBOLS);
    name_in_handlers(loaded.code, name, other);
    unload(&loaded);
}

TEST(handlers_name_code) { name_module_in_handlers("small", "answer", "add"); }
TEST(handlers_name_code_linked_by_us) { name_module_in_handlers("small.o", "answer", "add"); }
TEST(handlers_name_code_of_a_large_module) { name_module_in_handlers("many", "f4999", "call_many"); }
TEST(handlers_name_code_of_a_large_module_linked_by_us) { name_module_in_handlers("many.o", "f4999", "call_many"); }
TEST(handlers_name_code_without_symbol_table) { name_module_in_handlers("basic_now", "count", "count"); }

TEST(handlers_name_code_of_several_modules) {
    pack("code.artifact", "many", 3);
    loaded_t loaded = open_packed("code.artifact");
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, &error));
    name_in_handlers(loaded.code, "f1", "call_many");
    unload(&loaded);
}

TEST(handlers_name_signed_code) {
    need_machine();
    artifact_engine_t *engine = artifact_engine_new_host();
    artifact_key_t *key = new_key();
    artifact_engine_t *plain = artifact_engine_new();
    artifact_builder_t *builder = new_builder(plain);
    CHECK_OK(artifact_builder_add_module_file(builder, native("many"), NULL, &error));
    CHECK_OK(artifact_builder_add_key(builder, key, &error));
    CHECK_OK(artifact_serialize_to_file(builder, scratch("signed.artifact"), NULL, &error));
    trust(engine, key);
    artifact_t *artifact = open_path(scratch("signed.artifact"), engine);
    artifact_code_t *loaded = NULL;
    CHECK_OK(artifact_load(artifact, engine, NULL, &loaded, &error));
    artifact_free(artifact);
    name_in_handlers(loaded, "f1", "call_many");
    artifact_code_free(loaded);
    artifact_builder_free(builder), artifact_key_free(key), artifact_engine_free(plain), artifact_engine_free(engine);
}

/* Section headers that the loader does not need may be damaged: then addresses have no names, and errors no memory. */
TEST(handlers_name_nothing_in_damaged_modules) {
    need_machine();
    bytes_t image = read_file(native("many"));
    loaded_t loaded = {artifact_engine_new_host(), NULL, NULL};
    watch_memory();
    on_signal(SIGUSR2, name_it);
    for (size_t round = 0; round < 64; round++) {
        bytes_t damaged = {0};
        bytes_add(&damaged, image.data, image.len);
        uint64_t headers = get_u64(damaged.data + 40);
        size_t at = (size_t)headers + 64 * (round / 2 % 32) + (round % 2 ? 24 : 40);
        if (at + 8 <= damaged.len) memset(damaged.data + at, 0x7f, 7);
        artifact_builder_t *builder = new_builder(loaded.engine);
        artifact_status_t added = artifact_builder_add_module(builder, damaged.data, damaged.len, NULL, NULL);
        bytes_t file = {0};
        if (added == ARTIFACT_OK) {
            file = serialize(builder);
            write_file(scratch("damaged.artifact"), file.data, file.len);
            loaded.artifact = open_path(scratch("damaged.artifact"), loaded.engine);
            if (artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, NULL) == ARTIFACT_OK) {
                address = symbol_of(loaded.code, 0, "f1");
                CHECK(raise(SIGUSR2) == 0);
                CHECK(status == ARTIFACT_NOT_FOUND || strcmp(text, "f1") == 0);
            }
            artifact_code_free(loaded.code), artifact_free(loaded.artifact);
            loaded.code = NULL;
        }
        artifact_builder_free(builder), bytes_free(&file), bytes_free(&damaged);
    }
    artifact_engine_free(loaded.engine), bytes_free(&image);
}

/* ---- other threads ---- */

enum { LOADERS = 3, LOADS = 150, SIGNALS = 20 };

static const char *_Atomic recent[LOADERS];
static _Atomic unsigned long named, handled, gone, signals;

/* What was loaded a moment ago has its name or none. */
static void name_recent(int number) {
    signals += number == SIGPROF;
    in_handler = 1;
    char name[16] = "";
    for (size_t i = 0; i < LOADERS; i++) {
        const char *at = recent[i];
        if (!at) continue;
        artifact_status_t outcome = artifact_symbolize(at, name, sizeof name, NULL);
        if (outcome == ARTIFACT_OK ? strcmp(name, "answer") != 0 : outcome != ARTIFACT_NOT_FOUND) abort();
        *(outcome == ARTIFACT_OK ? &named : &gone) += 1;
    }
    if (artifact_symbolize(address, name, sizeof name, NULL) != ARTIFACT_OK || strcmp(name, "f4999") != 0) abort();
    handled++;
    in_handler = 0;
}

typedef struct loader_t {
    loaded_t from;
    size_t number;
} loader_t;

static void *load_often(void *context) {
    const loader_t *loader = context;
    /* A kernel may deliver no more than one signal in four milliseconds of processor time. */
    for (int i = 0; i < LOADS || signals < SIGNALS; i++) {
        artifact_code_t *own = NULL;
        CHECK_OK(artifact_load(loader->from.artifact, loader->from.engine, NULL, &own, &error));
        recent[loader->number] = symbol_of(own, 0, "answer");
        name_recent(0);
        artifact_code_free(own);
    }
    return NULL;
}

TEST(handlers_name_code_while_threads_load_and_free) {
    loaded_t stays = load_flags("many", 0);
    address = symbol_of(stays.code, 0, "f4999");
    pack("small.artifact", "small", 1);
    loader_t loaders[LOADERS];
    watch_memory();
    on_signal(SIGPROF, name_recent);
    struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_PROF, &often, NULL) == 0);
    pthread_t threads[LOADERS];
    for (size_t i = 0; i < LOADERS; i++) {
        loaders[i] = (loader_t){open_packed("small.artifact"), i};
        CHECK(pthread_create(&threads[i], NULL, load_often, &loaders[i]) == 0);
    }
    for (size_t i = 0; i < LOADERS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(setitimer(ITIMER_PROF, &never, NULL) == 0);
    on_signal(SIGPROF, SIG_IGN); /* one that is pending would come when the code is gone */
    CHECK(handled >= LOADERS * LOADS + SIGNALS && named >= LOADERS * LOADS);
    for (size_t i = 0; i < LOADERS; i++) {
        CHECK_STATUS(artifact_symbolize(recent[i], NULL, 0, NULL), ARTIFACT_NOT_FOUND);
        unload(&loaders[i].from);
    }
    unload(&stays);
}
