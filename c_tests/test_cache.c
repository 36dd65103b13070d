/* The cache: keys, hits, making, storing, removing, counting. */
#include "cache.h"
#include "check.h"

/* ---- keys ---- */

typedef struct part_t {
    const char *name, *data;
} part_t;

static void digest_of(const part_t *parts, size_t count, uint8_t digest[32]) {
    artifact_cache_key_t *key = artifact_cache_key_new();
    for (size_t i = 0; i < count; i++) {
        CHECK_OK(
            artifact_cache_key_add(key, parts[i].name, (const uint8_t *)parts[i].data, strlen(parts[i].data), &error));
    }
    CHECK_OK(artifact_cache_key_digest(key, digest, &error));
    artifact_cache_key_free(key);
}

TEST(cache_key_parts_count) {
    static const part_t parts[][2] = {
        {{"a", "bc"}, {"x", ""}}, {{"ab", "c"}, {"x", ""}}, {{"x", ""}, {"a", "bc"}},
        {{"a", "bcx"}, {"", ""}}, {{"a", "bc"}, {"a", ""}}, {{"a", "bc"}, {"a", "bc"}},
    };
    uint8_t digests[COUNT(parts) + 2][32];
    for (size_t i = 0; i < COUNT(parts); i++) digest_of(parts[i], 2, digests[i]);
    digest_of(parts[0], 1, digests[COUNT(parts)]);
    digest_of(NULL, 0, digests[COUNT(parts) + 1]);
    for (size_t i = 0; i < COUNT(digests); i++) {
        for (size_t j = 0; j < i; j++) CHECK(memcmp(digests[i], digests[j], 32) != 0);
    }
    uint8_t again[32];
    digest_of(parts[0], 2, again);
    CHECK(memcmp(again, digests[0], 32) == 0);
}

TEST(cache_key_can_grow_after_its_digest) {
    artifact_cache_key_t *key = artifact_cache_key_new();
    uint8_t before[32], after[32], both[32];
    CHECK_OK(artifact_cache_key_add(key, "a", (const uint8_t *)"1", 1, &error));
    CHECK_OK(artifact_cache_key_digest(key, before, &error));
    CHECK_OK(artifact_cache_key_add(key, "b", NULL, 0, &error));
    CHECK_OK(artifact_cache_key_digest(key, after, &error));
    artifact_cache_key_free(key);
    digest_of((part_t[]){{"a", "1"}, {"b", ""}}, 2, both);
    CHECK(memcmp(after, both, 32) == 0 && memcmp(before, after, 32) != 0);
    artifact_cache_key_free(NULL);
}

/* Entries are found by other versions of the library, and on other machines. */
TEST(cache_key_digest_is_the_same_everywhere) {
    uint8_t digest[32];
    char hex[65];
    digest_of((part_t[]){{"source", "int f(void) { return 1; }"}, {"options", "-O2"}}, 2, digest);
    for (size_t i = 0; i < 32; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    CHECK_STR(hex, "e6778c48bdbaa0aef7bb1ec63ec75eff02fe1ccead0628145328bda227a7d542");
}

/* ---- hits ---- */

TEST(cache_makes_once_and_finds_afterwards) {
    used_t *used = open_used(new_used("code"));
    maker_t maker = {0};
    CHECK_OUTCOME(look(used, 7), ARTIFACT_CACHE_ABSENT);
    CHECK_OUTCOME(use_with(used, 7, &maker), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(use_with(used, 7, &maker), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(look(used, 7), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(use_with(used, 8, &maker), ARTIFACT_CACHE_MADE);
    CHECK(maker.calls == 2 && entries_of(used).count == 2);
    free_used(used);

    /* Another handle, as another process would have it. */
    used = open_used(new_used("code"));
    CHECK_OUTCOME(use_with(used, 7, &maker), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(use_with(used, 8, &maker), ARTIFACT_CACHE_HIT);
    CHECK(maker.calls == 2);
    free_used(used);
}

TEST(cache_outcome_may_be_null) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(1);
    artifact_t *artifact = GARBAGE;
    maker_t maker = {.number = 1};
    CHECK_OK(artifact_cache_get(used->cache, key, &artifact, NULL, &error));
    CHECK(artifact == NULL);
    CHECK_OK(artifact_cache_get_or_make(used->cache, key, make_keyed, &maker, &artifact, NULL, &error));
    CHECK(artifact);
    artifact_free(artifact);
    artifact_cache_key_free(key);
    free_used(used);
}

TEST(cache_artifacts_outlive_it_and_one_another) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(5);
    artifact_t *artifacts[3] = {NULL};
    maker_t maker = {.number = 5};
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(artifact_cache_get_or_make(used->cache, key, make_keyed, &maker, &artifacts[i], NULL, &error));
    }
    CHECK(maker.calls == 1 && artifacts[0] != artifacts[1] && artifacts[1] != artifacts[2]);
    artifact_cache_key_free(key);
    artifact_cache_free(used->cache);
    used->cache = NULL;
    artifact_free(artifacts[1]);
    CHECK(whose(artifacts[2], used->engine) == 5);
    artifact_free(artifacts[2]);
    CHECK(whose(artifacts[0], used->engine) == 5);
    artifact_free(artifacts[0]);
    free_used(used);
    artifact_cache_free(NULL);
}

/* Whoever has code mapped keeps it. */
TEST(cache_artifacts_outlive_their_files) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(5);
    artifact_t *artifact = NULL;
    CHECK_OUTCOME(use(used, 5), ARTIFACT_CACHE_MADE);
    CHECK_OK(artifact_cache_get(used->cache, key, &artifact, NULL, &error));
    CHECK_OK(artifact_cache_remove(used->cache, key, &error));
    CHECK(entries_of(used).count == 0 && whose(artifact, used->engine) == 5);
    artifact_free(artifact);
    artifact_cache_key_free(key);
    free_used(used);
}

/* ---- make ---- */

TEST(cache_make_that_fails_fails_its_call_only) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(3);
    artifact_t *artifact = GARBAGE;
    uint32_t outcome = 99;
    maker_t maker = {.number = 3, .status = ARTIFACT_LIMIT};
    CHECK_FAILS(artifact_cache_get_or_make(used->cache, key, make_keyed, &maker, &artifact, &outcome, &error),
                ARTIFACT_LIMIT, "make");
    CHECK(artifact == NULL && outcome == 0 && maker.calls == 1 && entries_of(used).count == 0);
    maker.status = ARTIFACT_OK;
    CHECK_OUTCOME(use_with(used, 3, &maker), ARTIFACT_CACHE_MADE);
    artifact_cache_key_free(key);
    free_used(used);
}

static uint32_t pass_error_on(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    return (uint32_t)artifact_builder_add_module_file(builder, context, NULL, error);
}

TEST(cache_returns_the_error_that_make_passes_on) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(3);
    artifact_t *artifact = GARBAGE;
    char path[] = "/no such file";
    artifact_error_t *error = GARBAGE;
    CHECK(artifact_cache_get_or_make(used->cache, key, pass_error_on, path, &artifact, NULL, &error) == ARTIFACT_IO);
    check_error(__FILE__, __LINE__, error, ARTIFACT_IO, "no such file");
    CHECK(artifact_error_errno(error) == ENOENT && artifact == NULL);
    artifact_error_free(error);
    /* Also if nobody asks for it. */
    CHECK(artifact_cache_get_or_make(used->cache, key, pass_error_on, path, &artifact, NULL, NULL) == ARTIFACT_IO);
    artifact_cache_key_free(key);
    free_used(used);
}

static uint32_t unknown_status(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    (void)context, (void)builder, (void)error;
    return 4711;
}

static uint32_t nothing(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    (void)context, (void)builder, (void)error;
    return ARTIFACT_OK;
}

TEST(cache_make_must_return_a_status_and_add_a_module) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(3);
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_cache_get_or_make(used->cache, key, unknown_status, NULL, &artifact, NULL, &error),
                ARTIFACT_INVALID_ARGUMENT, "make|4711");
    CHECK_FAILS(artifact_cache_get_or_make(used->cache, key, nothing, NULL, &artifact, NULL, &error),
                ARTIFACT_INVALID_ARGUMENT, "module");
    CHECK(artifact == NULL && entries_of(used).count == 0);
    artifact_cache_key_free(key);
    free_used(used);
}

static uint32_t make_nested(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    CHECK_OUTCOME(use(context, 2), ARTIFACT_CACHE_MADE);
    return (uint32_t)add_keyed(builder, 1, error);
}

TEST(cache_make_may_use_the_cache_for_another_key) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(1);
    artifact_t *artifact = GARBAGE;
    CHECK_OK(artifact_cache_get_or_make(used->cache, key, make_nested, used, &artifact, NULL, &error));
    CHECK(whose(artifact, used->engine) == 1);
    CHECK_OUTCOME(look(used, 2), ARTIFACT_CACHE_HIT);
    artifact_free(artifact);
    artifact_cache_key_free(key);
    free_used(used);
}

static uint32_t make_same(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    used_t *used = context;
    artifact_cache_key_t *key = key_of(1);
    artifact_t *artifact = GARBAGE;
    (void)builder;
    artifact_status_t status = artifact_cache_get_or_make(used->cache, key, make_same, used, &artifact, NULL, error);
    CHECK(artifact == NULL);
    artifact_cache_key_free(key);
    return (uint32_t)status;
}

TEST(cache_make_must_not_ask_for_its_own_key) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(1);
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_cache_get_or_make(used->cache, key, make_same, used, &artifact, NULL, &error),
                ARTIFACT_INVALID_ARGUMENT, "make");
    CHECK(artifact == NULL);
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    artifact_cache_key_free(key);
    free_used(used);
}

/* A compiler's buffers are gone when it returns. */
static uint32_t make_from_own_buffer(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    (void)context;
    bytes_t module = read_file(native("small"));
    size_t index = 77;
    artifact_status_t status = artifact_builder_add_module(builder, module.data, module.len, &index, error);
    CHECK(index == 0);
    memset(module.data, 0, module.len);
    bytes_free(&module);
    return (uint32_t)status;
}

TEST(cache_make_may_add_bytes_of_its_own) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(1);
    artifact_t *artifact = GARBAGE;
    bytes_t module = read_file(native("small"));
    artifact_module_t found;
    CHECK_OK(artifact_cache_get_or_make(used->cache, key, make_from_own_buffer, NULL, &artifact, NULL, &error));
    CHECK_OK(artifact_module(artifact, 0, &found, &error));
    CHECK(found.bytes.len >= module.len && memcmp(found.bytes.data, module.data, module.len) == 0);
    bytes_free(&module);
    artifact_free(artifact);
    artifact_cache_key_free(key);
    free_used(used);
}

/* ---- put, remove, each ---- */

TEST(cache_put_replaces) {
    used_t *used = open_used(new_used("code"));
    CHECK_OUTCOME(store(used, 1), ARTIFACT_CACHE_STORED);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(store(used, 1), ARTIFACT_CACHE_STORED);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_HIT);
    CHECK(entries_of(used).count == 1);
    free_used(used);
}

TEST(cache_put_does_not_change_the_builder) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(1);
    artifact_builder_t *builder = new_builder(used->engine);
    artifact_t *artifact = GARBAGE;
    CHECK(add_keyed(builder, 1, NULL) == ARTIFACT_OK);
    bytes_t before = serialize(builder);
    CHECK_OK(artifact_cache_put(used->cache, key, builder, &artifact, NULL, &error));
    bytes_t after = serialize(builder);
    CHECK(same_bytes(before.data, before.len, after.data, after.len));
    bytes_free(&before), bytes_free(&after);
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_cache_key_free(key);
    free_used(used);
}

TEST(cache_put_refuses_what_no_target_made) {
    used_t *used = open_used(new_used("code"));
    artifact_engine_t *other = cache_engine("2");
    uint32_t outcome = 99;
    CHECK_FAILS(store_with(used, other, 1, &outcome, &error), ARTIFACT_WRONG_VERSION, "2");
    CHECK(outcome == 0 && entries_of(used).count == 0);
    artifact_engine_free(other);
    /* An entry carries its key in its trailer. */
    artifact_cache_key_t *key = key_of(1);
    artifact_builder_t *builder = new_builder(used->engine);
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_cache_put(used->cache, key, builder, &artifact, NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "module");
    CHECK(add_keyed(builder, 1, NULL) == ARTIFACT_OK);
    CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
    CHECK_FAILS(artifact_cache_put(used->cache, key, builder, &artifact, NULL, &error), ARTIFACT_INVALID_ARGUMENT,
                "trailer");
    CHECK(artifact == NULL && entries_of(used).count == 0);
    artifact_builder_free(builder);
    artifact_cache_key_free(key);
    free_used(used);
}

TEST(cache_remove_is_idempotent) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(1);
    CHECK_OK(artifact_cache_remove(used->cache, key, &error));
    CHECK_OUTCOME(store(used, 1), ARTIFACT_CACHE_STORED);
    CHECK_OUTCOME(store(used, 2), ARTIFACT_CACHE_STORED);
    CHECK_OK(artifact_cache_remove(used->cache, key, &error));
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_ABSENT);
    CHECK_OUTCOME(look(used, 2), ARTIFACT_CACHE_HIT);
    CHECK(used->events[ARTIFACT_CACHE_REMOVED] == 1);
    CHECK_OK(artifact_cache_remove(used->cache, key, &error));
    CHECK(artifact_cache_count(used->cache, ARTIFACT_CACHE_REMOVED) == 1);
    artifact_cache_key_free(key);
    free_used(used);
}

static int stop_at_once(void *context, const artifact_cache_entry_t *entry) {
    ++*(unsigned *)context;
    return entry->size > 0;
}

TEST(cache_each_gives_entries_that_inspection_reads) {
    used_t *used = open_used(new_used("code"));
    uint8_t digest[32];
    for (uint32_t i = 0; i < 5; i++) CHECK_OUTCOME(use(used, i), ARTIFACT_CACHE_MADE);
    entry_t found = entries_of(used);
    struct stat about;
    CHECK(found.count == 5 && stat(found.path, &about) == 0 &&
          ((uint64_t)about.st_size + 4095) / 4096 * 4096 == found.len);
    artifact_free(open_path(found.path, NULL));
    wanted_t wanted = {.path = ""};
    artifact_cache_key_t *key = key_of(4);
    CHECK_OK(artifact_cache_key_digest(key, digest, &error));
    memcpy(wanted.digest, digest, 32);
    CHECK_OK(artifact_cache_each(used->cache, take_wanted, &wanted, &error));
    artifact_t *artifact = open_path(wanted.path, used->engine);
    CHECK(whose(artifact, used->engine) == 4);
    artifact_free(artifact);
    artifact_cache_key_free(key);
    unsigned calls = 0;
    CHECK_OK(artifact_cache_each(used->cache, stop_at_once, &calls, &error));
    CHECK(calls == 1);
    free_used(used);
}

static int check_age(void *context, const artifact_cache_entry_t *entry) {
    const int64_t *now = context;
    CHECK(entry->used >= *now - 5 && entry->used <= *now + 60);
    return 0;
}

TEST(cache_each_tells_when_an_entry_was_used) {
    used_t *used = open_used(new_used("code"));
    int64_t now = (int64_t)time(NULL);
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    CHECK_OK(artifact_cache_each(used->cache, check_age, &now, &error));
    struct timespec old[2] = {{.tv_sec = now - 7000}, {.tv_sec = now - 7000}};
    CHECK(utimensat(AT_FDCWD, entry_of(used, 1), old, 0) == 0);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_HIT);
    CHECK_OK(artifact_cache_each(used->cache, check_age, &now, &error));
    free_used(used);
}

/* ---- counting ---- */

TEST(cache_counts_outcomes_and_events) {
    used_t *used = open_used(new_used("code"));
    look(used, 1), use(used, 1), look(used, 1), look(used, 1), use(used, 2);
    CHECK(artifact_cache_count(used->cache, ARTIFACT_CACHE_HIT) == 2);
    CHECK(artifact_cache_count(used->cache, ARTIFACT_CACHE_MADE) == 2);
    CHECK(artifact_cache_count(used->cache, ARTIFACT_CACHE_ABSENT) == 3);
    CHECK(artifact_cache_count(used->cache, ARTIFACT_CACHE_DAMAGED) == 0);
    CHECK(artifact_cache_count(used->cache, 4711) == 0 && artifact_cache_count(NULL, ARTIFACT_CACHE_HIT) == 0);
    CHECK(used->events[ARTIFACT_CACHE_ABSENT] == 3 && used->events[ARTIFACT_CACHE_HIT] == 0);
    artifact_cache_stats_t stats;
    CHECK_OK(artifact_cache_stats(used->cache, &stats, &error));
    CHECK(stats.entries == 2 && stats.bytes >= 2 * 4096 && stats.bytes < 1 << 20);
    free_used(used);
}

TEST(cache_outcome_names) {
    CHECK_STR(artifact_cache_outcome_name(ARTIFACT_CACHE_HIT), "ARTIFACT_CACHE_HIT");
    CHECK_STR(artifact_cache_outcome_name(ARTIFACT_CACHE_REMOTE_FAILED), "ARTIFACT_CACHE_REMOTE_FAILED");
    CHECK_STR(artifact_cache_outcome_name(0), "unknown outcome");
    CHECK_STR(artifact_cache_outcome_name(4711), "unknown outcome");
}

/* ---- a hit ---- */

/* A hit takes no lock and writes nothing: it works in a folder whose lock another process holds. */
TEST(cache_hit_leaves_the_folder_alone) {
    used_t *used = open_used(new_used("code"));
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    char path[4200];
    snprintf(path, sizeof path, "%s", entry_of(used, 1));
    struct stat before, after;
    CHECK(stat(path, &before) == 0);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_HIT);
    CHECK(stat(path, &after) == 0 && before.st_ino == after.st_ino);
    CHECK(before.st_mtim.tv_sec == after.st_mtim.tv_sec && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
    CHECK(before.st_ctim.tv_sec == after.st_ctim.tv_sec && before.st_ctim.tv_nsec == after.st_ctim.tv_nsec);
    free_used(used);
}
