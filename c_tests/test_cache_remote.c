/* A remote behind the cache: what is fetched, stored, and refused. */
#include "cache.h"
#include "check.h"
#include "signed.h"

#include <ctype.h>

enum { MAX_STORED = 32 };

/* A remote in memory. */
typedef struct memory_t {
    struct {
        char name[65];
        bytes_t bytes;
    } stored[MAX_STORED];
    size_t count;
    unsigned gets, puts;
    uint32_t status; /* what both return, unless it is ARTIFACT_OK */
    size_t piece;    /* how many bytes are passed at once; 0: all */
    uint64_t extra;  /* how many bytes too many are passed */
    uint64_t max_len;
    bool stopped; /* write took no more */
} memory_t;

static size_t place_of(memory_t *memory, const char *name) {
    CHECK(strlen(name) == 64);
    for (const char *c = name; *c; c++) CHECK(isdigit((unsigned char)*c) || (*c >= 'a' && *c <= 'f'));
    size_t at = 0;
    while (at < memory->count && strcmp(memory->stored[at].name, name) != 0) at++;
    return at;
}

static uint32_t get(void *context, const char *name, uint64_t max_len, artifact_write_fn write, void *write_context,
                    char *message, size_t message_len) {
    memory_t *memory = context;
    memory->gets++;
    memory->max_len = max_len;
    if (memory->status) {
        snprintf(message, message_len, "the server is %s", "down\n");
        return memory->status;
    }
    size_t at = place_of(memory, name);
    if (at == memory->count) return ARTIFACT_NOT_FOUND;
    const bytes_t *bytes = &memory->stored[at].bytes;
    size_t piece = memory->piece ? memory->piece : bytes->len;
    for (size_t sent = 0; sent < bytes->len; sent += piece) {
        size_t len = bytes->len - sent < piece ? bytes->len - sent : piece;
        if (write(write_context, bytes->data + sent, len) != 0) {
            memory->stopped = true;
            return ARTIFACT_LIMIT;
        }
    }
    static const uint8_t zeros[4096];
    for (uint64_t sent = 0; sent < memory->extra; sent += sizeof zeros) {
        if (write(write_context, zeros, sizeof zeros) != 0) {
            memory->stopped = true;
            return ARTIFACT_LIMIT;
        }
    }
    return ARTIFACT_OK;
}

static uint32_t put(void *context, const char *name, const uint8_t *data, size_t len, char *message,
                    size_t message_len) {
    memory_t *memory = context;
    memory->puts++;
    if (memory->status) {
        memset(message, 'x', message_len); /* without a NUL */
        return memory->status;
    }
    size_t at = place_of(memory, name);
    if (at == memory->count) {
        CHECK(memory->count < MAX_STORED);
        memory->count++;
        snprintf(memory->stored[at].name, 65, "%s", name);
    }
    bytes_free(&memory->stored[at].bytes);
    memory->stored[at].bytes = bytes_copy(data, len);
    return ARTIFACT_OK;
}

static void forget(memory_t *memory) {
    for (size_t i = 0; i < memory->count; i++) bytes_free(&memory->stored[i].bytes);
    memory->count = 0;
}

/* A machine: a folder of its own, and the remote that it shares with others. */
static used_t *machine(const char *folder, memory_t *memory, uint64_t flags, const artifact_key_t *key) {
    used_t *used = new_used(folder);
    const artifact_cache_remote_t remote = {sizeof remote, memory, get, put};
    used->options.remote = &remote; /* copied */
    used->options.flags = flags;
    if (key) trust(used->engine, key);
    used->options.signing_key = key;
    open_used(used);
    used->options.remote = NULL;
    return used;
}

TEST(cache_remote_is_filled_and_searched) {
    memory_t memory = {.piece = 1000};
    artifact_key_t *key = new_key();
    used_t *one = machine("one", &memory, 0, key), *two = machine("two", &memory, 0, key);
    CHECK_OUTCOME(use(one, 1), ARTIFACT_CACHE_MADE);
    CHECK(memory.count == 1 && memory.puts == 1);
    maker_t maker = {0};
    CHECK_OUTCOME(use_with(two, 1, &maker), ARTIFACT_CACHE_FETCHED);
    CHECK(maker.calls == 0 && memory.puts == 1 && memory.max_len >= memory.stored[0].bytes.len);
    /* It is in the folder now. */
    unsigned gets = memory.gets;
    CHECK_OUTCOME(use(two, 1), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(look(two, 1), ARTIFACT_CACHE_HIT);
    CHECK(memory.gets == gets && entries_of(two).count == 1);
    CHECK_OUTCOME(use(two, 2), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(look(one, 2), ARTIFACT_CACHE_FETCHED);
    CHECK_OUTCOME(look(one, 3), ARTIFACT_CACHE_ABSENT);
    CHECK(artifact_cache_count(one->cache, ARTIFACT_CACHE_FETCHED) == 1);
    artifact_key_free(key);
    free_used(one), free_used(two);
    forget(&memory);
}

TEST(cache_remote_must_be_signed) {
    memory_t memory = {0};
    artifact_key_t *key = new_key();
    used_t *one = machine("one", &memory, ARTIFACT_CACHE_REMOTE_UNSIGNED, NULL);
    CHECK_OUTCOME(use(one, 1), ARTIFACT_CACHE_MADE);
    CHECK(memory.count == 1);
    used_t *two = machine("two", &memory, ARTIFACT_CACHE_REMOTE_UNSIGNED, NULL);
    CHECK_OUTCOME(look(two, 1), ARTIFACT_CACHE_FETCHED);
    /* Who trusts keys takes nothing else, whatever the flag says. */
    used_t *three = machine("three", &memory, ARTIFACT_CACHE_REMOTE_UNSIGNED, key);
    CHECK_OUTCOME(look(three, 1), ARTIFACT_CACHE_UNTRUSTED);
    CHECK(entries_of(three).count == 0);
    CHECK_OUTCOME(use(three, 1), ARTIFACT_CACHE_MADE);
    /* Without a key and without the flag there is nothing that a remote could be used for. */
    used_t *none = new_used("none");
    const artifact_cache_remote_t remote = {sizeof remote, &memory, get, put};
    artifact_cache_t *cache = GARBAGE;
    none->options.remote = &remote;
    CHECK_FAILS(artifact_cache_open(none->folder, none->engine, &none->options, &cache, &error),
                ARTIFACT_INVALID_ARGUMENT, "remote");
    artifact_key_free(key);
    free_used(one), free_used(two), free_used(three), free_used(none);
    forget(&memory);
}

/* Whoever controls the server changes bytes, or gives the entry of another key. */
TEST(cache_remote_that_is_poisoned_runs_nothing) {
    memory_t memory = {0};
    artifact_key_t *key = new_key();
    used_t *one = machine("one", &memory, 0, key), *two = machine("two", &memory, 0, key);
    CHECK_OUTCOME(use(one, 1), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(use(one, 2), ARTIFACT_CACHE_MADE);
    bytes_t *first = &memory.stored[0].bytes, *second = &memory.stored[1].bytes;
    CHECK(memory.count == 2 && first->len == second->len);
    bytes_t kept = bytes_copy(first->data, first->len);
    for (size_t at = 0; at < first->len; at += 769) {
        first->data[at] ^= 4;
        CHECK(look(two, 1) >= ARTIFACT_CACHE_STALE && entries_of(two).count == 0);
        first->data[at] ^= 4;
    }
    memcpy(first->data, second->data, second->len);
    uint32_t outcome = look(two, 1);
    CHECK(outcome == ARTIFACT_CACHE_UNTRUSTED || outcome == ARTIFACT_CACHE_DAMAGED);
    first->len = 100;
    CHECK(look(two, 1) >= ARTIFACT_CACHE_STALE && entries_of(two).count == 0);
    first->len = kept.len;
    memcpy(first->data, kept.data, kept.len);
    CHECK_OUTCOME(look(two, 1), ARTIFACT_CACHE_FETCHED);
    bytes_free(&kept);
    artifact_key_free(key);
    free_used(one), free_used(two);
    forget(&memory);
}

TEST(cache_remote_cannot_send_without_end) {
    memory_t memory = {0};
    artifact_key_t *key = new_key();
    used_t *one = machine("one", &memory, 0, key), *two = machine("two", &memory, 0, key);
    CHECK_OUTCOME(use(one, 1), ARTIFACT_CACHE_MADE);
    memory.extra = UINT64_C(1) << 40;
    CHECK(look(two, 1) >= ARTIFACT_CACHE_ABSENT && memory.stopped);
    CHECK(entries_of(two).count == 0);
    CHECK_OUTCOME(use(two, 1), ARTIFACT_CACHE_MADE);
    artifact_key_free(key);
    free_used(one), free_used(two);
    forget(&memory);
}

TEST(cache_remote_that_fails_costs_a_compile) {
    memory_t memory = {.status = ARTIFACT_IO};
    artifact_key_t *key = new_key();
    used_t *used = machine("one", &memory, 0, key);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_ABSENT);
    CHECK(used->events[ARTIFACT_CACHE_REMOTE_FAILED] == 1 && strstr(used->why, "the server is down\\n"));
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    CHECK(used->events[ARTIFACT_CACHE_REMOTE_FAILED] == 3 && strstr(used->why, "xxx"));
    CHECK(artifact_cache_count(used->cache, ARTIFACT_CACHE_REMOTE_FAILED) == 3);
    memory.status = 4711; /* no status */
    CHECK_OUTCOME(look(used, 2), ARTIFACT_CACHE_ABSENT);
    CHECK(used->events[ARTIFACT_CACHE_REMOTE_FAILED] == 4);
    memory.status = 0;
    CHECK_OUTCOME(use(used, 3), ARTIFACT_CACHE_MADE);
    CHECK(memory.count == 1);
    artifact_key_free(key);
    free_used(used);
    forget(&memory);
}

TEST(cache_remote_may_lack_put_but_not_get) {
    memory_t memory = {0};
    artifact_cache_remote_t remote = {sizeof remote, &memory, NULL, put};
    used_t *used = new_used("one");
    artifact_cache_t *cache = GARBAGE;
    used->options.remote = &remote;
    used->options.flags = ARTIFACT_CACHE_REMOTE_UNSIGNED;
    CHECK_FAILS(artifact_cache_open(used->folder, used->engine, &used->options, &cache, &error),
                ARTIFACT_INVALID_ARGUMENT, "options.remote.get");
    remote.get = get, remote.put = NULL;
    open_used(used);
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    CHECK(memory.gets > 0 && memory.puts == 0);
    remote.size = 1;
    CHECK_FAILS(artifact_cache_open(used->folder, used->engine, &used->options, &cache, &error),
                ARTIFACT_INVALID_ARGUMENT, "options.remote|size");
    free_used(used);
}

/* A machine without write access to its folder still uses the remote. */
TEST(cache_remote_of_a_read_only_cache) {
    memory_t memory = {0};
    artifact_key_t *key = new_key();
    used_t *one = machine("one", &memory, 0, key), *two = machine("two", &memory, ARTIFACT_CACHE_READ_ONLY, key);
    CHECK_OUTCOME(use(one, 1), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(look(two, 1), ARTIFACT_CACHE_FETCHED);
    CHECK(access(two->folder, F_OK) != 0);
    artifact_key_free(key);
    free_used(one), free_used(two);
    forget(&memory);
}
