/*
 * A fleet: processes with folders of their own and one real server. The file that includes it has included cases.h.
 */
#include "cache.h"
#include "signed.h"

enum { FLEET_KEYS = 8 };

/* A remote that remembers the last name that something was stored under. */
typedef struct spy_t {
    const artifact_cache_remote_t *calls;
    char name[65];
} spy_t;

static uint32_t spy_get(void *context, const char *name, uint64_t max_len, artifact_write_fn write, void *write_context,
                        char *message, size_t len) {
    const artifact_cache_remote_t *calls = ((spy_t *)context)->calls;
    return calls->get(calls->context, name, max_len, write, write_context, message, len);
}

static uint32_t spy_put(void *context, const char *name, const uint8_t *data, size_t data_len, char *message,
                        size_t len) {
    spy_t *spy = context;
    snprintf(spy->name, sizeof spy->name, "%s", name);
    return spy->calls->put(spy->calls->context, name, data, data_len, message, len);
}

/* Returns a machine's cache: a folder of its own, the server, and a key that signs and is trusted. */
static used_t *machine(const char *folder, const artifact_cache_remote_t *calls, const artifact_key_t *key) {
    used_t *used = new_used(folder);
    trust(used->engine, key);
    used->options.signing_key = key;
    used->options.remote = calls;
    return open_used(used);
}

/* What one process of the fleet does: uses the code of each key in turn, and expects an outcome. */
static void use_all(const char *folder, const server_t *server, const artifact_key_t *key, uint32_t expected) {
    remote_t remote;
    remote_on(&remote, server->port, (limits_t){0});
    used_t *used = machine(folder, remote.calls, key);
    unsigned made = 0;
    for (uint32_t number = 0; number < FLEET_KEYS; number++) {
        maker_t maker = {0};
        CHECK_OUTCOME(use_with(used, number, &maker), expected); /* calls the code too */
        made += maker.calls;
    }
    CHECK(made == (expected == ARTIFACT_CACHE_MADE ? FLEET_KEYS : 0));
    CHECK(used->events[ARTIFACT_CACHE_REMOTE_FAILED] == 0);
    for (uint32_t number = 0; number < FLEET_KEYS; number++) CHECK_OUTCOME(use(used, number), ARTIFACT_CACHE_HIT);
    free_used(used);
    remote_free(&remote);
}

TEST(one_process_compiles_and_three_fetch) {
    if (is_valgrind()) SKIP("valgrind reports what its child processes leave allocated");
    need_machine();
    server_t server = {0};
    start_server(&server, start_real);
    artifact_key_t *key = new_key();
    static const char *const folders[] = {"one", "two", "three", "four"};
    pid_t processes[4];
    for (size_t i = 0; i < COUNT(folders); i++) {
        fflush(NULL);
        processes[i] = fork();
        CHECK(processes[i] >= 0);
        if (processes[i] == 0) {
            use_all(folders[i], &server, key, i == 0 ? ARTIFACT_CACHE_MADE : ARTIFACT_CACHE_FETCHED);
            _exit(0);
        }
        if (i == 0) expect_success(processes[i]); /* the others at once */
    }
    for (size_t i = 1; i < COUNT(folders); i++) expect_success(processes[i]);
    artifact_key_free(key);
    stop_server(&server);
}

TEST(a_fleet_goes_on_without_its_server) {
    need_machine();
    server_t server = {0};
    remote_t first, second;
    start_remote(&server, &first, (limits_t){0});
    remote_on(&second, server.port, (limits_t){0});
    artifact_key_t *key = new_key();
    used_t *one = machine("one", first.calls, key), *two = machine("two", second.calls, key);
    for (uint32_t number = 0; number < FLEET_KEYS; number++) CHECK_OUTCOME(use(one, number), ARTIFACT_CACHE_MADE);
    for (uint32_t number = 0; number < FLEET_KEYS; number++) {
        if (number == FLEET_KEYS / 2) stop_server(&server);
        bool up = number < FLEET_KEYS / 2;
        CHECK_OUTCOME(use(two, number), up ? ARTIFACT_CACHE_FETCHED : ARTIFACT_CACHE_MADE);
        CHECK((two->events[ARTIFACT_CACHE_REMOTE_FAILED] == 0) == up);
    }
    CHECK(strstr(two->why, "not asked"));
    for (uint32_t number = 0; number < FLEET_KEYS; number++) CHECK_OUTCOME(use(two, number), ARTIFACT_CACHE_HIT);
    artifact_key_free(key);
    free_used(one), free_used(two);
    remote_free(&first), remote_free(&second);
}

/* Whoever can write to the server gives other code: of a key that nobody trusts, of another entry, or damaged. */
TEST(a_poisoned_server_runs_nothing) {
    need_machine();
    server_t server = {0};
    remote_t remote;
    start_remote(&server, &remote, (limits_t){0});
    artifact_key_t *key = new_key(), *stranger = new_key();
    spy_t spy = {.calls = remote.calls};
    const artifact_cache_remote_t spied = {sizeof spied, &spy, spy_get, spy_put};
    used_t *one = machine("one", &spied, key), *evil = machine("evil", &spied, stranger),
           *two = machine("two", &spied, key);
    char name[65];

    /* The same name, signed by somebody else: 666 in place of 1. */
    CHECK_OUTCOME(store(one, 1), ARTIFACT_CACHE_STORED);
    memcpy(name, spy.name, sizeof name);
    artifact_cache_key_t *cache_key = key_of(1);
    artifact_builder_t *builder = new_builder(evil->engine);
    artifact_t *artifact = GARBAGE;
    uint32_t outcome = 99;
    CHECK(add_keyed(builder, 666, NULL) == ARTIFACT_OK);
    CHECK_OK(artifact_cache_put(evil->cache, cache_key, builder, &artifact, &outcome, &error));
    CHECK_STR(spy.name, name);
    CHECK_OUTCOME(look(two, 1), ARTIFACT_CACHE_UNTRUSTED);
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_cache_key_free(cache_key);

    /* Another entry under its name, which is signed and whole: that of 2 in place of 1. */
    CHECK_OUTCOME(store(one, 2), ARTIFACT_CACHE_STORED);
    received_t received = {.max_len = MIB};
    CHECK_STATUS(remote.calls->get(remote.calls->context, spy.name, MIB, receive, &received, NULL, 0), ARTIFACT_OK);
    bytes_t bytes = received.bytes;
    CHECK_STATUS(remote.calls->put(remote.calls->context, name, bytes.data, bytes.len, NULL, 0), ARTIFACT_OK);
    CHECK_OUTCOME(look(two, 1), ARTIFACT_CACHE_DAMAGED);

    /* Damaged, truncated, and no artifact at all. */
    for (size_t at = 0; at < bytes.len; at += bytes.len / 7) {
        bytes.data[at] ^= 1;
        CHECK_STATUS(remote.calls->put(remote.calls->context, spy.name, bytes.data, bytes.len, NULL, 0), ARTIFACT_OK);
        CHECK(look(two, 2) >= ARTIFACT_CACHE_STALE);
        bytes.data[at] ^= 1;
    }
    CHECK_STATUS(remote.calls->put(remote.calls->context, spy.name, bytes.data, bytes.len / 2, NULL, 0), ARTIFACT_OK);
    CHECK(look(two, 2) >= ARTIFACT_CACHE_STALE);
    CHECK_STATUS(remote.calls->put(remote.calls->context, spy.name, (const uint8_t *)"x", 1, NULL, 0), ARTIFACT_OK);
    CHECK(look(two, 2) >= ARTIFACT_CACHE_STALE);
    CHECK(entries_of(two).count == 0);

    /* The programs compile, run their own code, and heal the server. */
    CHECK_OUTCOME(use(two, 1), ARTIFACT_CACHE_MADE);
    CHECK_OUTCOME(use(two, 2), ARTIFACT_CACHE_MADE);
    used_t *three = machine("three", &spied, key);
    CHECK_OUTCOME(use(three, 1), ARTIFACT_CACHE_FETCHED);
    CHECK_OUTCOME(use(three, 2), ARTIFACT_CACHE_FETCHED);
    bytes_free(&bytes);
    artifact_key_free(key), artifact_key_free(stranger);
    free_used(one), free_used(two), free_used(three), free_used(evil);
    end(&server, &remote);
}
