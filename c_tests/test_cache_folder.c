/* The folder of a cache: who may use it, how much it holds, what is searched behind it. */
#include "cache.h"
#include "check.h"
#include "signed.h"

#include <sys/mount.h>
#include <sys/time.h>

static void refuses(used_t *used, artifact_status_t status, const char *words) {
    artifact_cache_t *cache = GARBAGE;
    CHECK_FAILS(artifact_cache_open(used->folder, used->engine, &used->options, &cache, &error), status, words);
    CHECK(cache == NULL);
}

/* Expects a folder that can't be used, without which there is code all the same. */
static void has_trouble(used_t *used, artifact_status_t status, const char *words) {
    open_used(used);
    CHECK_FAILS(artifact_cache_trouble(used->cache, &error), status, words);
    CHECK(look(used, 1) >= ARTIFACT_CACHE_ABSENT);
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_NOT_STORED);
    CHECK_OUTCOME(store(used, 1), ARTIFACT_CACHE_NOT_STORED);
    CHECK_FAILS(artifact_cache_trim(used->cache, NULL, &error), status, words);
    artifact_cache_free(used->cache);
    used->cache = NULL;
}

/* ---- opening ---- */

TEST(cache_folder_is_created_for_its_owner) {
    used_t *used = open_used(new_used("a/b/code"));
    struct stat about;
    CHECK(stat(used->folder, &about) == 0 && S_ISDIR(about.st_mode) && (about.st_mode & 07777) == 0700);
    CHECK(stat(scratch("a"), &about) == 0 && (about.st_mode & 0022) == 0);
    char tag[4300];
    snprintf(tag, sizeof tag, "%s/CACHEDIR.TAG", used->folder);
    bytes_t text = read_file(tag);
    static const char signature[] = "Signature: 8a477f597d28d172789f06886806bc55"; /* https://bford.info/cachedir/ */
    CHECK(text.len >= sizeof signature - 1 && memcmp(text.data, signature, sizeof signature - 1) == 0);
    bytes_free(&text);
    free_used(used);
}

TEST(cache_folder_must_be_one) {
    used_t *used = new_used("file");
    write_file(used->folder, "x", 1);
    has_trouble(used, ARTIFACT_IO, "file");
    *used->folder = 0;
    refuses(used, ARTIFACT_INVALID_ARGUMENT, "folder");
    free_used(used);
}

/* Who can write to a cache can run code, unless it must be signed. */
TEST(cache_folder_that_others_can_write_to_is_refused) {
    used_t *used = new_used("code");
    CHECK(mkdir(used->folder, 0700) == 0 && chmod(used->folder, 0777) == 0);
    has_trouble(used, ARTIFACT_UNTRUSTED, "write");
    CHECK(chmod(used->folder, 0770) == 0);
    has_trouble(used, ARTIFACT_UNTRUSTED, "write");
    CHECK(chmod(used->folder, 0755) == 0);
    open_used(used);
    CHECK_OK(artifact_cache_trouble(used->cache, &error));
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    artifact_cache_free(used->cache);
    CHECK(chmod(used->folder, 0777) == 0);
    has_trouble(used, ARTIFACT_UNTRUSTED, "write"); /* what is there is not found, either */
    artifact_key_t *key = new_key();
    trust(used->engine, key);
    used->options.signing_key = key;
    open_used(used);
    CHECK_OK(artifact_cache_trouble(used->cache, &error));
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_HIT);
    artifact_key_free(key);
    free_used(used);
}

TEST(cache_folder_in_one_that_others_can_write_to_is_refused) {
    used_t *used = new_used("open/code");
    CHECK(mkdir(scratch("open"), 0700) == 0 && mkdir(used->folder, 0700) == 0);
    CHECK(chmod(scratch("open"), 0777) == 0);
    has_trouble(used, ARTIFACT_UNTRUSTED, "open");
    CHECK(chmod(scratch("open"), 01777) == 0); /* as /tmp is: others can't replace what is ours */
    open_used(used);
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    free_used(used);
}

TEST(cache_folder_of_another_user_is_refused) {
    if (geteuid() != 0) SKIP("only root can give a folder to another user");
    used_t *used = new_used("code");
    CHECK(mkdir(used->folder, 0700) == 0 && chown(used->folder, 65534, 65534) == 0);
    has_trouble(used, ARTIFACT_UNTRUSTED, "65534");
    free_used(used);
}

TEST(cache_options_are_checked) {
    used_t *used = new_used("code");
    used->options.flags = UINT64_C(1) << 40;
    refuses(used, ARTIFACT_UNSUPPORTED, "options.flags");
    used->options.flags = 0;
    used->options.size = 3;
    refuses(used, ARTIFACT_INVALID_ARGUMENT, "size");
    used->options.size = sizeof used->options;

    artifact_engine_t *other = cache_engine("2");
    const artifact_engine_t *targets[] = {used->engine, other};
    used->options.targets = targets, used->options.target_count = 2;
    refuses(used, ARTIFACT_INVALID_ARGUMENT, "target");
    targets[1] = NULL;
    refuses(used, ARTIFACT_INVALID_ARGUMENT, "options.targets[]");
    used->options.targets = NULL;
    refuses(used, ARTIFACT_INVALID_ARGUMENT, "options.targets");
    used->options.target_count = 0;
    artifact_engine_free(other);

    const char *layers[] = {NULL};
    used->options.layers = layers, used->options.layer_count = 1;
    refuses(used, ARTIFACT_INVALID_ARGUMENT, "options.layers[]");
    used->options.layers = NULL, used->options.layer_count = 0;

    artifact_key_t *key = new_key();
    trust(used->engine, key);
    artifact_key_t *another = new_key();
    used->options.signing_key = another;
    refuses(used, ARTIFACT_INVALID_ARGUMENT, "signing key");
    artifact_key_free(key), artifact_key_free(another);
    free_used(used);
}

static uint32_t never_sign(void *context, const uint8_t *message, size_t len, artifact_public_key_t *public_key,
                           uint8_t *signature) {
    (void)context, (void)message, (void)len, (void)public_key, (void)signature;
    return ARTIFACT_INTERNAL;
}

TEST(cache_has_one_signer) {
    used_t *used = new_used("code");
    artifact_key_t *key = new_key();
    used->options.signing_key = key;
    used->options.sign = never_sign;
    refuses(used, ARTIFACT_INVALID_ARGUMENT, "signing_key");
    artifact_key_free(key);
    free_used(used);
}

/* Programs that were compiled for an older library know fewer options. */
TEST(cache_options_of_other_sizes) {
    struct {
        artifact_cache_options_t options;
        uint64_t more;
    } newer = {ARTIFACT_CACHE_OPTIONS_INIT, 0};
    used_t *used = new_used("code");
    artifact_cache_t *cache = NULL;
    newer.options.size = sizeof newer;
    CHECK_OK(artifact_cache_open(used->folder, used->engine, &newer.options, &cache, &error));
    artifact_cache_free(cache);
    newer.more = 1;
    CHECK_FAILS(artifact_cache_open(used->folder, used->engine, &newer.options, &cache, &error), ARTIFACT_UNSUPPORTED,
                "newer");
    newer.options.size = offsetof(artifact_cache_options_t, max_entries);
    newer.options.max_entries = 1; /* not read */
    CHECK_OK(artifact_cache_open(used->folder, used->engine, &newer.options, &cache, &error));
    artifact_cache_free(cache);
    CHECK_OK(artifact_cache_open(used->folder, used->engine, NULL, &cache, &error));
    artifact_cache_free(cache);
    free_used(used);
}

/* ---- reading only ---- */

TEST(cache_read_only_writes_nothing) {
    used_t *used = open_used(new_used("code")), *reader = new_used("code");
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    reader->options.flags = ARTIFACT_CACHE_READ_ONLY;
    open_used(reader);
    CHECK_OUTCOME(look(reader, 1), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(use(reader, 2), ARTIFACT_CACHE_NOT_STORED);
    CHECK_OUTCOME(store(reader, 2), ARTIFACT_CACHE_NOT_STORED);
    artifact_cache_key_t *key = key_of(1);
    CHECK_FAILS(artifact_cache_remove(reader->cache, key, &error), ARTIFACT_INVALID_ARGUMENT, "read");
    CHECK_FAILS(artifact_cache_trim(reader->cache, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "read");
    CHECK(entries_of(used).count == 1 && entries_of(reader).count == 1);
    artifact_cache_key_free(key);
    free_used(used), free_used(reader);
}

TEST(cache_read_only_folder_need_not_exist) {
    used_t *used = new_used("missing");
    used->options.flags = ARTIFACT_CACHE_READ_ONLY;
    open_used(used);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_ABSENT);
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_NOT_STORED);
    CHECK(access(used->folder, F_OK) != 0 && entries_of(used).count == 0);
    free_used(used);
}

TEST(cache_folder_removed_underneath_costs_no_code) {
    used_t *used = open_used(new_used("code"));
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    CHECK(nftw(used->folder, check_remove, 8, FTW_DEPTH | FTW_PHYS) == 0);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_ABSENT);
    uint32_t outcome = use(used, 1);
    CHECK(outcome == ARTIFACT_CACHE_NOT_STORED || outcome == ARTIFACT_CACHE_MADE);
    outcome = store(used, 2);
    CHECK(outcome == ARTIFACT_CACHE_NOT_STORED || outcome == ARTIFACT_CACHE_STORED);
    artifact_cache_free(used->cache);
    open_used(used);
    use(used, 1);
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_HIT);
    free_used(used);
}

/* ---- limits ---- */

/* Valgrind and emulators take half a second for each of these. */
static uint32_t many_stores(void) { return is_valgrind() || is_emulated() ? 160 : 400; }

TEST(cache_stays_within_its_number_of_entries) {
    const uint32_t stores = many_stores();
    used_t *used = new_used("code");
    used->options.max_entries = 64;
    open_used(used);
    for (uint32_t i = 0; i < stores; i++) {
        CHECK_OUTCOME(use(used, i), ARTIFACT_CACHE_MADE);
        CHECK_OUTCOME(look(used, i), ARTIFACT_CACHE_HIT); /* what was just stored is not the oldest */
        CHECK(entries_of(used).count <= 64 * 9 / 8);
    }
    CHECK(used->events[ARTIFACT_CACHE_EVICTED] >= stores - 72);
    free_used(used);
}

TEST(cache_stays_within_its_number_of_bytes) {
    const uint32_t stores = many_stores();
    used_t *used = new_used("code");
    used->options.max_bytes = 1 << 20;
    open_used(used);
    artifact_cache_stats_t stats;
    for (uint32_t i = 0; i < stores; i++) {
        CHECK_OUTCOME(use(used, i), ARTIFACT_CACHE_MADE);
        CHECK_OK(artifact_cache_stats(used->cache, &stats, &error));
        CHECK(stats.bytes <= (1 << 20) * 9 / 8);
    }
    CHECK(stats.entries > 10 && used->events[ARTIFACT_CACHE_EVICTED] >= stores - 144);
    free_used(used);
}

static void set_age(const char *path, time_t seconds) {
    struct timespec times[2] = {{.tv_sec = time(NULL) - seconds}, {.tv_sec = time(NULL) - seconds}};
    CHECK(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW) == 0);
}

/* What was not used for longest goes first. A time in the future, when a clock was wrong, counts as longest ago. */
TEST(cache_trim_deletes_the_oldest) {
    used_t *used = open_used(new_used("code")), *small = new_used("code");
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_OUTCOME(use(used, i), ARTIFACT_CACHE_MADE);
        set_age(entry_of(used, i), i == 7 ? -900000 : 1000 * (long)(i + 1));
    }
    small->options.max_entries = 5;
    open_used(small);
    artifact_cache_stats_t before, after;
    uint64_t freed = 77;
    CHECK_OK(artifact_cache_stats(used->cache, &before, &error));
    CHECK_OK(artifact_cache_trim(small->cache, &freed, &error));
    CHECK_OK(artifact_cache_stats(used->cache, &after, &error));
    CHECK(after.entries <= 5 && after.entries >= 4 && freed == before.bytes - after.bytes);
    for (uint32_t i = 0; i < 10; i++) {
        CHECK_OUTCOME(look(used, i), i < after.entries ? ARTIFACT_CACHE_HIT : ARTIFACT_CACHE_ABSENT);
    }
    CHECK(small->events[ARTIFACT_CACHE_EVICTED] == 10 - after.entries);
    CHECK_OK(artifact_cache_trim(small->cache, NULL, &error));
    free_used(used), free_used(small);
}

TEST(cache_trim_deletes_what_is_too_old) {
    used_t *used = new_used("code");
    used->options.max_age_s = 10000;
    open_used(used);
    for (uint32_t i = 0; i < 4; i++) CHECK_OUTCOME(use(used, i), ARTIFACT_CACHE_MADE);
    set_age(entry_of(used, 0), 20000), set_age(entry_of(used, 1), 9000);
    CHECK_OK(artifact_cache_trim(used->cache, NULL, &error));
    CHECK_OUTCOME(look(used, 0), ARTIFACT_CACHE_ABSENT);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_HIT);
    CHECK(entries_of(used).count == 3);
    free_used(used);
}

/* A use is noted at most once an hour. */
TEST(cache_hits_note_their_time_once_an_hour) {
    used_t *used = open_used(new_used("code"));
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    struct stat about;
    char path[4200];
    snprintf(path, sizeof path, "%s", entry_of(used, 1));
    set_age(path, 1000);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_HIT);
    CHECK(stat(path, &about) == 0 && time(NULL) - about.st_mtim.tv_sec >= 1000);
    set_age(path, 4000);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_HIT);
    CHECK(stat(path, &about) == 0 && time(NULL) - about.st_mtim.tv_sec < 100);
    free_used(used);
}

/* A disk smaller than the limits. */
TEST(cache_on_a_full_disk_has_code) {
    if (geteuid() != 0) SKIP("only root can mount a small disk");
    used_t *used = new_used("disk/code");
    CHECK(mkdir(scratch("disk"), 0700) == 0);
    if (mount("none", scratch("disk"), "tmpfs", 0, "size=1m,mode=0700") != 0) SKIP("mounting is not permitted");
    open_used(used);
    unsigned stored = 0, found = 0;
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t outcome = use(used, i);
        CHECK(outcome == ARTIFACT_CACHE_MADE || outcome == ARTIFACT_CACHE_NOT_STORED);
        stored += outcome == ARTIFACT_CACHE_MADE;
        found += look(used, i) == ARTIFACT_CACHE_HIT;
    }
    unsigned evicted = used->events[ARTIFACT_CACHE_EVICTED];
    free_used(used);
    CHECK(umount(scratch("disk")) == 0);
    if (stored < 290 || found != stored || evicted < 200) {
        fprintf(stderr, "%u stored, %u found, %u evicted\n", stored, found, evicted);
        exit(1);
    }
}

/* ---- layers, packs, targets ---- */

TEST(cache_layers_are_searched_and_not_written) {
    used_t *first = open_used(new_used("first")), *second = open_used(new_used("second"));
    CHECK_OUTCOME(use(first, 1), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(use(second, 1), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(use(second, 2), ARTIFACT_CACHE_MADE);
    char missing[4200];
    snprintf(missing, sizeof missing, "%s", scratch("missing"));
    const char *layers[] = {missing, first->folder, second->folder};
    used_t *used = new_used("code");
    used->options.layers = layers, used->options.layer_count = 3;
    open_used(used);
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(look(used, 2), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(use(used, 3), ARTIFACT_CACHE_MADE);
    CHECK(entries_of(used).count == 1 && entries_of(first).count == 1 && entries_of(second).count == 2);
    /* A layer that is damaged costs a compile. */
    replace_file(entry_of(second, 2), "x", 1);
    CHECK_OUTCOME(use(used, 2), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(use(used, 2), ARTIFACT_CACHE_HIT);
    CHECK(access(missing, F_OK) != 0);
    free_used(first), free_used(second), free_used(used);
}

TEST(cache_exports_a_pack) {
    used_t *from = open_used(new_used("from")), *used = new_used("code");
    for (uint32_t i = 0; i < 20; i++) CHECK_OUTCOME(use(from, i), ARTIFACT_CACHE_MADE);
    char pack_path[4200];
    snprintf(pack_path, sizeof pack_path, "%s", scratch("product.pack"));
    CHECK_OK(artifact_cache_export(from->cache, pack_path, &error));
    CHECK_OK(artifact_cache_export(from->cache, pack_path, &error)); /* replaces the first */
    const char *layers[] = {pack_path};
    used->options.layers = layers, used->options.layer_count = 1;
    open_used(used);
    for (uint32_t i = 0; i < 20; i++) CHECK_OUTCOME(look(used, i), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(use(used, 20), ARTIFACT_CACHE_MADE);
    CHECK(entries_of(used).count == 1);
    CHECK_FAILS(artifact_cache_export(from->cache, scratch("missing/x.pack"), &error), ARTIFACT_IO, "missing");
    free_used(from), free_used(used);
}

/* Machines of different kinds share a folder, and what was built for what they have in common. */
TEST(cache_targets_are_searched_in_their_order) {
    used_t *one = new_used("code"), *two = new_used("code");
    artifact_engine_t *common = artifact_engine_new(), *own = artifact_engine_clone(two->engine);
    CHECK_OK(artifact_engine_set_producer(common, "cache-tests", &error));
    CHECK_OK(artifact_engine_set_version_rule(common, ARTIFACT_VERSION_RULE_CUSTOM, "1", &error));
    const artifact_engine_t *just_common[] = {common}, *both[] = {own, common};
    one->options.targets = just_common, one->options.target_count = 1;
    two->options.targets = both, two->options.target_count = 2;
    open_used(one), open_used(two);
    artifact_engine_free(common), artifact_engine_free(own);
    CHECK_OUTCOME(use(one, 1), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(look(two, 1), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(use(two, 2), ARTIFACT_CACHE_MADE); /* for its own */
    CHECK_OUTCOME(look(one, 2), ARTIFACT_CACHE_ABSENT);
    CHECK_OUTCOME(use(one, 2), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(look(two, 2), ARTIFACT_CACHE_HIT);
    CHECK(entries_of(one).count == 3);
    artifact_cache_key_t *key = key_of(2);
    CHECK_OK(artifact_cache_remove(two->cache, key, &error)); /* for both */
    CHECK(entries_of(one).count == 1);
    artifact_cache_key_free(key);
    free_used(one), free_used(two);
}
