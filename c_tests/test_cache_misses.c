/* Each reason for which the cache has no artifact. None of them is an error, and the next artifact that is made
 * replaces what was there. */
#include "cache.h"
#include "check.h"
#include "signed.h"

/* Expects that the entry of a number is not found for this reason, and that a new one replaces it. */
static void misses(used_t *used, uint32_t number, uint32_t expected) {
    unsigned before = used->events[expected];
    CHECK_OUTCOME(look(used, number), expected);
    CHECK(used->events[expected] == before + 1);
    CHECK(strlen(used->why) > 8);
    CHECK_OUTCOME(use(used, number), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(look(used, number), ARTIFACT_CACHE_HIT);
}

static used_t *with_entries(uint32_t count) {
    used_t *used = open_used(new_used("code"));
    for (uint32_t i = 0; i < count; i++) CHECK_OUTCOME(use(used, i), ARTIFACT_CACHE_MADE);
    return used;
}

TEST(cache_truncated_entries_are_damaged) {
    used_t *used = with_entries(1);
    bytes_t bytes = read_file(entry_of(used, 0));
    static const size_t parts[] = {0, 1, 3, 4, 100, 2000, 4096};
    for (size_t i = 0; i < COUNT(parts) + 2; i++) {
        size_t len = i < COUNT(parts) ? parts[i] : bytes.len - 1 - (i - COUNT(parts)) * 200;
        replace_file(entry_of(used, 0), bytes.data, len);
        misses(used, 0, ARTIFACT_CACHE_DAMAGED);
    }
    bytes_free(&bytes);
    free_used(used);
}

TEST(cache_entries_that_are_no_artifacts_are_damaged) {
    used_t *used = with_entries(1);
    static const char text[] = "#!/bin/sh\necho this is no artifact, and longer than what a header could be\n";
    replace_file(entry_of(used, 0), text, sizeof text);
    misses(used, 0, ARTIFACT_CACHE_DAMAGED);
    bytes_t module = read_file(native("small"));
    replace_file(entry_of(used, 0), module.data, module.len);
    misses(used, 0, ARTIFACT_CACHE_DAMAGED);
    bytes_free(&module);
    free_used(used);
}

/* Somebody renamed a file, or restored the wrong one: the entry has the digest of its key. */
TEST(cache_entries_of_another_key_are_damaged) {
    used_t *used = with_entries(2);
    bytes_t other = read_file(entry_of(used, 1));
    replace_file(entry_of(used, 0), other.data, other.len);
    misses(used, 0, ARTIFACT_CACHE_DAMAGED);
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_HIT);
    /* An artifact that no cache made. */
    pack("plain.artifact", "keyed.o", 1);
    bytes_t plain = read_file(scratch("plain.artifact"));
    replace_file(entry_of(used, 0), plain.data, plain.len);
    CHECK(look(used, 0) != ARTIFACT_CACHE_HIT);
    bytes_free(&other), bytes_free(&plain);
    free_used(used);
}

/* What is neither an open header nor a setting is checked with VERIFY_ALWAYS, and without syncing. */
TEST(cache_flipped_bits_are_damage) {
    static const uint64_t flags[] = {ARTIFACT_CACHE_VERIFY_ALWAYS, ARTIFACT_CACHE_NO_SYNC};
    for (size_t i = 0; i < COUNT(flags); i++) {
        used_t *used = new_used(i ? "unsynced" : "synced");
        used->options.flags = flags[i];
        open_used(used);
        use(used, 0);
        if (i) { /* the entry says that it may be partial */
            artifact_cache_free(used->cache);
            used->options.flags = 0;
            open_used(used);
        }
        bytes_t bytes = read_file(entry_of(used, 0));
        for (size_t at = 0; at < bytes.len; at += 1237) {
            bytes.data[at] ^= 0x10;
            replace_file(entry_of(used, 0), bytes.data, bytes.len);
            bytes.data[at] ^= 0x10;
            CHECK(look(used, 0) >= ARTIFACT_CACHE_STALE); /* a version that is changed is another version */
        }
        bytes.data[bytes.len / 2] ^= 1;
        replace_file(entry_of(used, 0), bytes.data, bytes.len);
        CHECK_OUTCOME(look(used, 0), ARTIFACT_CACHE_DAMAGED);
        bytes_free(&bytes);
        free_used(used);
    }
}

TEST(cache_entries_that_are_no_files_are_damage) {
    used_t *used = with_entries(2);
    char path[4200], other[4200];
    snprintf(path, sizeof path, "%s", entry_of(used, 0));
    snprintf(other, sizeof other, "%s", entry_of(used, 1));
    CHECK(unlink(path) == 0 && mkfifo(path, 0600) == 0);
    misses(used, 0, ARTIFACT_CACHE_DAMAGED);
    CHECK(unlink(path) == 0 && symlink(other, path) == 0);
    misses(used, 0, ARTIFACT_CACHE_DAMAGED);
    struct stat about;
    CHECK(lstat(path, &about) == 0 && S_ISREG(about.st_mode));
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_HIT);
    /* Also a link to the very entry that belongs here is not followed. */
    char moved[4300];
    snprintf(moved, sizeof moved, "%s.moved", path);
    CHECK(rename(path, moved) == 0 && symlink(moved, path) == 0);
    CHECK_OUTCOME(look(used, 0), ARTIFACT_CACHE_DAMAGED);
    free_used(used);
}

TEST(cache_directories_in_place_of_entries_cost_a_compile) {
    used_t *used = with_entries(1);
    char path[4200];
    snprintf(path, sizeof path, "%s", entry_of(used, 0));
    CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
    CHECK_OUTCOME(look(used, 0), ARTIFACT_CACHE_DAMAGED);
    uint32_t outcome = use(used, 0);
    CHECK(outcome == ARTIFACT_CACHE_MADE || outcome == ARTIFACT_CACHE_NOT_STORED);
    free_used(used);
}

/* ---- versions and hosts ---- */

TEST(cache_versions_have_entries_of_their_own) {
    used_t *one = with_entries(1), *two = new_used("code");
    CHECK_OK(artifact_engine_set_version_rule(two->engine, ARTIFACT_VERSION_RULE_CUSTOM, "2", &error));
    open_used(two);
    CHECK_OUTCOME(look(two, 0), ARTIFACT_CACHE_ABSENT);
    CHECK_OUTCOME(use(two, 0), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(look(one, 0), ARTIFACT_CACHE_HIT);
    CHECK_OUTCOME(look(two, 0), ARTIFACT_CACHE_HIT);
    free_used(one), free_used(two);
}

TEST(cache_entries_of_another_version_are_stale) {
    used_t *one = with_entries(1), *two = new_used("other");
    CHECK_OK(artifact_engine_set_version_rule(two->engine, ARTIFACT_VERSION_RULE_CUSTOM, "2", &error));
    open_used(two);
    CHECK_OUTCOME(use(two, 0), ARTIFACT_CACHE_MADE);
    bytes_t other = read_file(entry_of(two, 0));
    replace_file(entry_of(one, 0), other.data, other.len);
    misses(one, 0, ARTIFACT_CACHE_STALE);
    bytes_free(&other);
    free_used(one), free_used(two);
}

/* Makes an engine need an instruction set that no CPU has. */
static void need_too_much(artifact_engine_t *engine) {
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "instructions-of-tomorrow", true, &error));
}

TEST(cache_entries_for_another_host_are_incompatible) {
    used_t *one = with_entries(1), *two = new_used("other");
    need_too_much(two->engine);
    open_used(two);
    CHECK_OUTCOME(store(two, 0), ARTIFACT_CACHE_STORED);
    bytes_t other = read_file(entry_of(two, 0));
    replace_file(entry_of(one, 0), other.data, other.len);
    misses(one, 0, ARTIFACT_CACHE_INCOMPATIBLE);
    bytes_free(&other);
    free_used(one), free_used(two);
}

/* ---- trust ---- */

TEST(cache_unsigned_entries_are_untrusted) {
    used_t *plain = with_entries(1), *careful = new_used("code");
    artifact_key_t *key = new_key();
    trust(careful->engine, key);
    open_used(careful);
    CHECK_OUTCOME(look(careful, 0), ARTIFACT_CACHE_UNTRUSTED);
    /* Without a key it can't store, but it has its code. */
    CHECK_OUTCOME(use(careful, 0), ARTIFACT_CACHE_NOT_STORED);
    CHECK(careful->events[ARTIFACT_CACHE_NOT_STORED] == 1 && strstr(careful->why, "key"));
    CHECK_OUTCOME(look(plain, 0), ARTIFACT_CACHE_HIT);
    artifact_cache_free(careful->cache);
    careful->options.signing_key = key;
    open_used(careful);
    artifact_key_free(key);
    misses(careful, 0, ARTIFACT_CACHE_UNTRUSTED);
    CHECK_OUTCOME(look(plain, 0), ARTIFACT_CACHE_HIT); /* whoever trusts anybody takes it too */
    free_used(careful), free_used(plain);
}

TEST(cache_entries_signed_by_others_are_untrusted) {
    used_t *mine = new_used("code"), *theirs = new_used("code");
    artifact_key_t *key = new_key(), *other = new_key();
    trust(mine->engine, key), trust(theirs->engine, other);
    mine->options.signing_key = key, theirs->options.signing_key = other;
    open_used(mine), open_used(theirs);
    CHECK_OUTCOME(use(theirs, 0), ARTIFACT_CACHE_MADE);
    misses(mine, 0, ARTIFACT_CACHE_UNTRUSTED);
    artifact_key_free(key), artifact_key_free(other);
    free_used(mine), free_used(theirs);
}

/* A key in hardware, whose part a second cache plays: equal artifacts have equal signatures. */
typedef struct hardware_t {
    artifact_key_t *key;
    artifact_t *same;
    unsigned calls;
    uint32_t status;
} hardware_t;

static uint32_t sign_elsewhere(void *context, const uint8_t *message, size_t len, artifact_public_key_t *public_key,
                               uint8_t *signature) {
    hardware_t *hardware = context;
    artifact_buffer_t *record = NULL, *detached = NULL;
    hardware->calls++;
    CHECK(len == sizeof ARTIFACT_SIGNATURE_CONTEXT + 256);
    CHECK(memcmp(message, ARTIFACT_SIGNATURE_CONTEXT, sizeof ARTIFACT_SIGNATURE_CONTEXT) == 0);
    if (hardware->status) return hardware->status;
    CHECK_OK(artifact_detached_record(hardware->same, &record, &error));
    CHECK(memcmp(message + sizeof ARTIFACT_SIGNATURE_CONTEXT, artifact_buffer_data(record), 256) == 0);
    CHECK_OK(artifact_sign(hardware->same, hardware->key, &detached, &error));
    memcpy(public_key->bytes, artifact_buffer_data(detached), 32);
    memcpy(signature, artifact_buffer_data(detached) + 32, 64);
    artifact_buffer_free(record), artifact_buffer_free(detached);
    return ARTIFACT_OK;
}

TEST(cache_signs_through_a_callback) {
    used_t *model = with_entries(1), *used = new_used("signed");
    hardware_t hardware = {.key = new_key(), .same = open_path(entry_of(model, 0), NULL)};
    trust(used->engine, hardware.key);
    used->options.sign = sign_elsewhere;
    used->options.sign_context = &hardware;
    open_used(used);
    CHECK_OUTCOME(use(used, 0), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(look(used, 0), ARTIFACT_CACHE_HIT);
    CHECK(hardware.calls == 1);
    /* If the key isn't there, nothing is stored. */
    hardware.status = ARTIFACT_IO;
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_NOT_STORED);
    CHECK(strstr(used->why, "sign"));
    CHECK_OUTCOME(look(used, 1), ARTIFACT_CACHE_ABSENT);
    artifact_free(hardware.same);
    artifact_key_free(hardware.key);
    free_used(used), free_used(model);
}

/* ---- what the system refuses ---- */

/* Runs a part of a test as a user whom the system refuses things, in a process of its own, in a folder that belongs to
 * that user. */
static void as_user(void (*part)(void)) {
    const char *folder = scratch("");
    if (geteuid() == 0) CHECK(chown(folder, 65534, 65534) == 0);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        if (geteuid() == 0) CHECK(setgid(65534) == 0 && setuid(65534) == 0);
        part();
        fflush(NULL);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void cannot_read(void) {
    used_t *used = with_entries(1);
    CHECK(chmod(entry_of(used, 0), 0) == 0);
    misses(used, 0, ARTIFACT_CACHE_UNREADABLE);
    free_used(used);
}

TEST(cache_entries_without_permission_are_unreadable) { as_user(cannot_read); }

static int forbid_writing(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about, (void)place;
    return type == FTW_D ? chmod(path, 0500) : 0;
}

static int allow_writing(const char *path, const struct stat *about, int type, struct FTW *place) {
    (void)about, (void)place;
    return type == FTW_D ? chmod(path, 0700) : 0;
}

static void cannot_write(void) {
    used_t *used = with_entries(1);
    CHECK(nftw(used->folder, forbid_writing, 8, FTW_PHYS) == 0);
    CHECK_OUTCOME(look(used, 0), ARTIFACT_CACHE_HIT);
    for (uint32_t i = 1; i < 20; i++) CHECK_OUTCOME(use(used, i), ARTIFACT_CACHE_NOT_STORED);
    CHECK(strlen(used->why) > 8 && used->events[ARTIFACT_CACHE_NOT_STORED] == 19);
    CHECK(nftw(used->folder, allow_writing, 8, FTW_PHYS) == 0);
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    free_used(used);
}

TEST(cache_folder_that_becomes_read_only_costs_no_code) { as_user(cannot_write); }

TEST(cache_without_descriptors_has_code) {
    used_t *used = with_entries(1);
    struct rlimit limit, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    none = limit;
    none.rlim_cur = 0;
    artifact_cache_key_t *key = key_of(0), *other = key_of(1);
    artifact_t *found = GARBAGE, *made = GARBAGE;
    uint32_t found_outcome, made_outcome;
    maker_t maker = {.number = 1};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    artifact_status_t got = artifact_cache_get(used->cache, key, &found, &found_outcome, NULL);
    artifact_status_t was_made =
        artifact_cache_get_or_make(used->cache, other, make_keyed, &maker, &made, &made_outcome, NULL);
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_STATUS(got, ARTIFACT_OK);
    CHECK_OUTCOME(found_outcome, ARTIFACT_CACHE_UNREADABLE);
    CHECK_STATUS(was_made, ARTIFACT_OK);
    CHECK_OUTCOME(made_outcome, ARTIFACT_CACHE_NOT_STORED);
    CHECK(found == NULL && maker.calls == 1 && whose(made, used->engine) == 1);
    artifact_free(made);
    CHECK_OUTCOME(look(used, 0), ARTIFACT_CACHE_HIT);
    artifact_cache_key_free(key), artifact_cache_key_free(other);
    free_used(used);
}
