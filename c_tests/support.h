/*
 * Helpers that several tests share: growable bytes, files, engines, builders and opened artifacts. Include it after
 * check.h.
 */
#ifndef SUPPORT_H
#define SUPPORT_H
#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define HOST_TARGET "x86_64-unknown-linux-gnu"

/* The value of out-parameters before a call, which a failing call must replace. */
#define GARBAGE ((void *)(uintptr_t)0x5a5a5a50)

/* ---- bytes ---- */

typedef struct bytes_t {
    uint8_t *data;
    size_t len, capacity;
} bytes_t;

static inline void bytes_free(bytes_t *bytes) {
    free(bytes->data);
    *bytes = (bytes_t){0};
}

/* Appends `len` zero bytes and returns a pointer to them. */
static inline uint8_t *bytes_grow(bytes_t *bytes, size_t len) {
    if (bytes->capacity - bytes->len < len) {
        bytes->capacity = (bytes->len + len) * 2;
        bytes->data = realloc(bytes->data, bytes->capacity);
        if (!bytes->data) abort();
    }
    uint8_t *place = bytes->data + bytes->len;
    if (len) memset(place, 0, len);
    bytes->len += len;
    return place;
}

static inline void bytes_add(bytes_t *bytes, const void *data, size_t len) {
    if (len) memcpy(bytes_grow(bytes, len), data, len);
}

/* Returns a copy in an allocation of exactly its size, so that valgrind and ASan see a read past its end. */
static inline bytes_t bytes_copy(const void *data, size_t len) {
    bytes_t copy = {malloc(len ? len : 1), len, len};
    if (!copy.data) abort();
    if (len) memcpy(copy.data, data, len);
    return copy;
}

static inline void put_uint(uint8_t *place, uint64_t value, size_t size, bool big_endian) {
    for (size_t i = 0; i < size; i++) place[big_endian ? size - 1 - i : i] = (uint8_t)(value >> (8 * i));
}

static inline uint64_t get_u64(const uint8_t *place) {
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;) value = value << 8 | place[i];
    return value;
}

static inline void add_u8(bytes_t *out, uint8_t value) { *bytes_grow(out, 1) = value; }
static inline void add_u32(bytes_t *out, uint32_t value) { put_uint(bytes_grow(out, 4), value, 4, false); }
static inline void add_u64(bytes_t *out, uint64_t value) { put_uint(bytes_grow(out, 8), value, 8, false); }

static inline bool same_bytes(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len) {
    return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

/* ---- files ---- */

static inline bytes_t read_file(const char *path) {
    bytes_t bytes = {0};
    FILE *file = fopen(path, "rb");
    if (!file) check_fail(__FILE__, __LINE__, path, strerror(errno), "");
    uint8_t chunk[8192];
    size_t got;
    while ((got = fread(chunk, 1, sizeof chunk, file)) > 0) bytes_add(&bytes, chunk, got);
    CHECK(!ferror(file));
    fclose(file);
    return bytes;
}

static inline void write_file(const char *path, const void *data, size_t len) {
    FILE *file = fopen(path, "wb");
    if (!file) check_fail(__FILE__, __LINE__, path, strerror(errno), "");
    CHECK(fwrite(data, 1, len, file) == len);
    CHECK(fclose(file) == 0);
}

/* Returns the number of entries of a folder without "." and "..". */
static inline size_t count_entries(const char *folder) {
    DIR *dir = opendir(folder);
    CHECK(dir);
    size_t count = 0;
    while (readdir(dir)) count++;
    closedir(dir);
    return count - 2;
}

/* The files that Wasmtime wrote. */
static const char *const genuine[] = {
    "addfib.cwasm",       "cfg_debug_info.cwasm", "cfg_fuel.cwasm",
    "cfg_memory64.cwasm", "cfg_no_addrmap.cwasm", "cfg_opt_none.cwasm",
    "dwarf_bt_on.cwasm",  "empty.cwasm",          "imports.cwasm",
    "libcalls.cwasm",     "ml_deep.cwasm",        "ml_two.cwasm",
    "ml_types.cwasm",     "ml_upvars1.cwasm",     "mem_table_global.cwasm",
    "passive.cwasm",      "target_aarch64.cwasm", "target_s390x.cwasm",
    "target_win64.cwasm", "types.cwasm",          "target_x64_baseline_libcalls.cwasm",
    "unicode.cwasm",      "ver_custom.cwasm",     "ver_none.cwasm",
};

/* ---- handles ---- */

/* Reports an unexpected error and ends the test. */
#define CHECK_OK(call)                                                                                                 \
    do {                                                                                                               \
        artifact_error_t *error = GARBAGE;                                                                             \
        artifact_status_t status_ = (call);                                                                            \
        if (status_ != ARTIFACT_OK) {                                                                                  \
            check_fail(__FILE__, __LINE__, #call, artifact_status_name((uint32_t)status_),                             \
                       artifact_error_message(error));                                                                 \
        }                                                                                                              \
        CHECK(error == NULL);                                                                                          \
    } while (0)

/* Expects a call, which mentions `&error`, to fail with this status and with all of these words, separated by '|'. */
#define CHECK_FAILS(call, expected, words)                                                                             \
    do {                                                                                                               \
        artifact_error_t *error = GARBAGE;                                                                             \
        CHECK_STATUS(call, expected);                                                                                  \
        check_error(__FILE__, __LINE__, error, expected, words);                                                       \
        artifact_error_free(error);                                                                                    \
    } while (0)

static inline void check_words(const char *file, int line, const char *text, const char *words) {
    while (*words) {
        char word[200];
        size_t len = strcspn(words, "|");
        snprintf(word, sizeof word, "%.*s", (int)len, words);
        if (!strstr(text, word)) check_fail(file, line, text, "lacks a word", word);
        words += len + (words[len] == '|');
    }
}

/* Checks that an error has the status and a message of one printable line. */
static inline void check_error(const char *file, int line, const artifact_error_t *error, artifact_status_t status,
                               const char *words) {
    if (error == NULL || error == GARBAGE) check_fail(file, line, "error", "not set", "an error");
    check_status(file, line, "artifact_error_status(error)", artifact_error_status(error), status);
    const char *message = artifact_error_message(error);
    if (message == NULL || strlen(message) < 8) check_fail(file, line, "message", message ? message : "NULL", "more");
    for (const char *c = message; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) check_fail(file, line, message, "has raw bytes", "");
    }
    check_words(file, line, message, words);
}

/* Returns the default engine with a fixed target, wherever the tests run. */
static inline artifact_engine_t *plain_engine(void) {
    artifact_engine_t *engine = artifact_engine_new();
    CHECK(engine);
    CHECK_OK(artifact_engine_set_target(engine, HOST_TARGET, &error));
    return engine;
}

/* Returns the Wasmtime profile of the machine that the genuine files come from. */
static inline artifact_engine_t *genuine_engine(void) {
    static const char *const x86[] = {"avx",        "avx2",     "avx512bitalg", "avx512dq", "avx512f",
                                      "avx512vbmi", "avx512vl", "bmi1",         "bmi2",     "lzcnt",
                                      "popcnt",     "sse3",     "sse41",        "sse42",    "ssse3"};
    artifact_engine_t *engine = artifact_engine_new_wasmtime();
    CHECK(engine);
    CHECK_OK(artifact_engine_set_target(engine, HOST_TARGET, &error));
    for (size_t i = artifact_engine_flag_count(engine, ARTIFACT_FLAGS_ISA); i-- > 0;) {
        artifact_flag_t flag;
        CHECK_OK(artifact_engine_flag_at(engine, ARTIFACT_FLAGS_ISA, i, &flag, &error));
        CHECK_OK(artifact_engine_unset_flag(engine, ARTIFACT_FLAGS_ISA, flag.name, &error));
    }
    for (size_t i = 0; i < COUNT(x86); i++) {
        char name[32];
        snprintf(name, sizeof name, "has_%s", x86[i]);
        CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, name, true, &error));
    }
    return engine;
}

static inline artifact_builder_t *new_builder(const artifact_engine_t *engine) {
    artifact_builder_t *builder = GARBAGE;
    CHECK_OK(artifact_builder_new(engine, &builder, &error));
    CHECK(builder);
    return builder;
}

static inline bytes_t serialize(const artifact_builder_t *builder) {
    artifact_buffer_t *buffer = GARBAGE;
    CHECK_OK(artifact_serialize(builder, &buffer, &error));
    bytes_t copy = bytes_copy(artifact_buffer_data(buffer), artifact_buffer_len(buffer));
    artifact_buffer_free(buffer);
    return copy;
}

static inline artifact_t *open_bytes(const bytes_t *bytes, const artifact_engine_t *engine) {
    artifact_t *artifact = GARBAGE;
    CHECK_OK(artifact_open_bytes(bytes->data, bytes->len, engine, NULL, &artifact, &error));
    CHECK(artifact);
    return artifact;
}

static inline artifact_t *open_path(const char *path, const artifact_engine_t *engine) {
    artifact_t *artifact = GARBAGE;
    CHECK_OK(artifact_open_file(path, engine, NULL, &artifact, &error));
    CHECK(artifact);
    return artifact;
}

/* ---- memory ---- */

/* Returns whether this runs under valgrind, which generates code in pages that are writable and executable. */
static inline bool is_valgrind(void) {
    const char *preload = getenv("LD_PRELOAD");
    return preload && strstr(preload, "vgpreload");
}

/* Returns whether a sanitizer or valgrind manages memory and adds mappings of its own. */
static inline bool is_sanitized(void) {
#ifdef __SANITIZE_ADDRESS__
    return true;
#else
    return is_valgrind();
#endif
}

/* Limits the address space to `more` bytes above the current size. Returns false where that is not possible. */
static inline bool limit_memory(size_t more) {
    if (is_sanitized()) return false;
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    if (!statm || fscanf(statm, "%lu", &pages) != 1) return false;
    fclose(statm);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + more;
    if (setrlimit(RLIMIT_AS, &limit) != 0) return false;
    /* An emulator accepts the limit and ignores it. */
    void *more_than_that = mmap(NULL, 2 * more, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (more_than_that == MAP_FAILED) return true;
    munmap(more_than_that, 2 * more);
    return false;
}

#endif
