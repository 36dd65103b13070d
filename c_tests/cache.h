/*
 * Helpers for tests of the cache: keys that are numbers, code that returns the number of its key, and a record of
 * events. Include it after native.h.
 */
#ifndef CACHE_H
#define CACHE_H
#include "native.h"

#include <inttypes.h>
#include <time.h>

enum { OUTCOMES = 64 };

#define CHECK_OUTCOME(found, expected) check_outcome(__FILE__, __LINE__, (uint32_t)(found), (uint32_t)(expected))

static inline void check_outcome(const char *file, int line, uint32_t found, uint32_t expected) {
    if (found == expected) return;
    check_fail(file, line, "outcome", artifact_cache_outcome_name(found), artifact_cache_outcome_name(expected));
}

/* ---- keys and code ---- */

static inline artifact_cache_key_t *key_of(uint32_t number) {
    artifact_cache_key_t *key = artifact_cache_key_new();
    CHECK(key);
    CHECK_OK(artifact_cache_key_add(key, "number", (const uint8_t *)&number, sizeof number, &error));
    return key;
}

/* What make() is to do, and what it did. */
typedef struct maker_t {
    uint32_t number;
    unsigned calls;
    artifact_status_t status; /* what it returns after it has added the module */
    unsigned sleep_ms;
} maker_t;

/* Adds the module of a number to a builder. */
static inline artifact_status_t add_keyed(artifact_builder_t *builder, uint32_t number, artifact_error_t **error) {
    static bytes_t object; /* before any thread starts, or read twice: equal bytes */
    if (!object.data) object = read_file(native("keyed.o"));
    bytes_t copy = bytes_copy(object.data, object.len);
    for (size_t i = 0; i + 4 <= copy.len; i++) {
        static const uint32_t mark = UINT32_C(0x5eedc0de); /* of native/keyed.c */
        if (memcmp(copy.data + i, &mark, 4) == 0) memcpy(copy.data + i, &number, 4);
    }
    const artifact_object_t one = {"keyed.o", copy.data, copy.len};
    artifact_status_t status = artifact_builder_add_objects(builder, &one, 1, NULL, NULL, error);
    bytes_free(&copy);
    return status;
}

static inline uint32_t make_keyed(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    maker_t *maker = context;
    CHECK(builder && error && *error == NULL);
    maker->calls++;
    if (maker->sleep_ms) usleep(maker->sleep_ms * 1000);
    artifact_status_t status = add_keyed(builder, maker->number, error);
    return (uint32_t)(status ? status : maker->status);
}

/* Loads an artifact and calls its function: returns the number of its key, or -1 for code that isn't whole. */
static inline int64_t whose(const artifact_t *artifact, const artifact_engine_t *engine) {
    artifact_code_t *code = NULL;
    CHECK_OK(artifact_load(artifact, engine, NULL, &code, &error));
    int64_t (*function)(void);
    SYMBOL(code, 0, "whose", function);
    int64_t number = function();
    artifact_code_free(code);
    return number;
}

/* ---- caches ---- */

/* A cache with the folder, the engine and the events of a test. */
typedef struct used_t {
    artifact_engine_t *engine;
    artifact_cache_t *cache;
    artifact_cache_options_t options;
    char folder[4200];
    unsigned events[OUTCOMES];
    char why[600], where[4200]; /* of the last event that has them */
} used_t;

static inline void note(void *context, uint32_t outcome, const char *path, const artifact_error_t *error) {
    used_t *used = context;
    CHECK(outcome < OUTCOMES && path);
    used->events[outcome]++;
    snprintf(used->where, sizeof used->where, "%s", path);
    if (error) snprintf(used->why, sizeof used->why, "%s", artifact_error_message(error));
}

/* Returns an engine of the tests' compiler. */
static inline artifact_engine_t *cache_engine(const char *version) {
    artifact_engine_t *engine = artifact_engine_new_host();
    CHECK_OK(artifact_engine_set_producer(engine, "cache-tests", &error));
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, version, &error));
    return engine;
}

/* Prepares a cache, for options to be set before open_used(). */
static inline used_t *new_used_at(const char *folder) {
    need_machine();
    used_t *used = calloc(1, sizeof *used);
    CHECK(used);
    used->engine = cache_engine("1");
    used->options = (artifact_cache_options_t)ARTIFACT_CACHE_OPTIONS_INIT;
    used->options.on_event = note;
    used->options.event_context = used;
    snprintf(used->folder, sizeof used->folder, "%s", folder);
    return used;
}

/* The same in the scratch folder. */
static inline used_t *new_used(const char *name) { return new_used_at(scratch(name)); }

static inline used_t *open_used(used_t *used) {
    CHECK_OK(artifact_cache_open(used->folder, used->engine, &used->options, &used->cache, &error));
    CHECK(used->cache);
    return used;
}

static inline void free_used(used_t *used) {
    artifact_cache_free(used->cache);
    artifact_engine_free(used->engine);
    free(used);
}

/* Gets or makes the code of a number, checks that it is that of this number, and returns the outcome. */
static inline uint32_t use_with(used_t *used, uint32_t number, maker_t *maker) {
    artifact_cache_key_t *key = key_of(number);
    artifact_t *artifact = GARBAGE;
    uint32_t outcome = 99;
    maker->number = number;
    CHECK_OK(artifact_cache_get_or_make(used->cache, key, make_keyed, maker, &artifact, &outcome, &error));
    CHECK(artifact && whose(artifact, used->engine) == number);
    artifact_free(artifact);
    artifact_cache_key_free(key);
    return outcome;
}

static inline uint32_t use(used_t *used, uint32_t number) {
    maker_t maker = {0};
    return use_with(used, number, &maker);
}

/* Looks the code of a number up, checks what is found, and returns the outcome. */
static inline uint32_t look(used_t *used, uint32_t number) {
    artifact_cache_key_t *key = key_of(number);
    artifact_t *artifact = GARBAGE;
    uint32_t outcome = 99;
    CHECK_OK(artifact_cache_get(used->cache, key, &artifact, &outcome, &error));
    bool found = outcome == ARTIFACT_CACHE_HIT || outcome == ARTIFACT_CACHE_FETCHED;
    CHECK(found == (artifact != NULL));
    if (artifact) CHECK(whose(artifact, used->engine) == number);
    artifact_free(artifact);
    artifact_cache_key_free(key);
    return outcome;
}

static inline artifact_status_t store_with(used_t *used, const artifact_engine_t *engine, uint32_t number,
                                           uint32_t *outcome, artifact_error_t **error) {
    artifact_cache_key_t *key = key_of(number);
    artifact_builder_t *builder = new_builder(engine);
    artifact_t *artifact = GARBAGE;
    CHECK(add_keyed(builder, number, NULL) == ARTIFACT_OK);
    artifact_status_t status = artifact_cache_put(used->cache, key, builder, &artifact, outcome, error);
    CHECK((status == ARTIFACT_OK) == (artifact != NULL));
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_cache_key_free(key);
    return status;
}

static inline uint32_t store(used_t *used, uint32_t number) {
    uint32_t outcome = 99;
    CHECK_OK(store_with(used, used->engine, number, &outcome, &error));
    return outcome;
}

/* ---- files ---- */

typedef struct entry_t {
    char path[4200];
    uint64_t len;
    unsigned count;
} entry_t;

static inline int take_entry(void *context, const artifact_cache_entry_t *entry) {
    entry_t *found = context;
    snprintf(found->path, sizeof found->path, "%s", entry->path);
    found->len = entry->size;
    found->count++;
    return 0;
}

/* Returns the last entry of a folder, and how many there are. */
static inline entry_t entries_of(const used_t *used) {
    entry_t found = {0};
    CHECK_OK(artifact_cache_each(used->cache, take_entry, &found, &error));
    return found;
}

/* Returns the path of the entry of a number. Valid until the next call. */
typedef struct wanted_t {
    uint8_t digest[32];
    char path[4200];
} wanted_t;

static inline int take_wanted(void *context, const artifact_cache_entry_t *entry) {
    wanted_t *wanted = context;
    if (memcmp(wanted->digest, entry->key, 32) != 0) return 0;
    snprintf(wanted->path, sizeof wanted->path, "%s", entry->path);
    return 1;
}

static inline const char *entry_of(const used_t *used, uint32_t number) {
    static wanted_t wanted;
    artifact_cache_key_t *key = key_of(number);
    *wanted.path = 0;
    CHECK_OK(artifact_cache_key_digest(key, wanted.digest, &error));
    CHECK_OK(artifact_cache_each(used->cache, take_wanted, &wanted, &error));
    artifact_cache_key_free(key);
    CHECK(*wanted.path);
    return wanted.path;
}

/* Replaces a file as an editor would: readers of the old one keep it. */
static inline void replace_file(const char *path, const void *data, size_t len) {
    char beside[4300];
    snprintf(beside, sizeof beside, "%s.new", path);
    write_file(beside, data, len);
    CHECK(rename(beside, path) == 0);
}
#endif
