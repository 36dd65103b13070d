/*
 * A machine of a fleet that shares compiled code through a Redis server: what one machine has compiled, the others
 * fetch.
 *
 *     fleet FOLDER SOCKET KEY SOURCE X...
 *     fleet /tmp/a /run/redis.sock fleet.pem 'double f(double x) { return x*x + 1; }' 2 3
 *
 * SOURCE is a function f in C. FOLDER is this machine's own, SOCKET the server's, and KEY the fleet's private key, as
 * `artifact keygen` and `openssl genpkey -algorithm ed25519` make it. It signs what is stored, and nothing else is run,
 * whatever the server returns.
 */
#define _POSIX_C_SOURCE 200809L
#include <artifact.h>
#include <artifact_redis.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void check(artifact_status_t status, artifact_error_t *error) {
    if (status) fail(artifact_status_name(status), artifact_error_message(error));
}

/* Compiles a function, for artifact_cache_get_or_make(). */
static uint32_t compile(void *source, artifact_builder_t *builder, artifact_error_t **error) {
    enum { MAX_OBJECT = 1 << 20 };
    char path[] = "/tmp/fleet-example-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || setenv("OBJECT", path, 1) != 0) fail(path, strerror(errno));
    FILE *cc = popen("exec cc -O2 -fPIC -x c -c -o \"$OBJECT\" -", "w"), *object = fdopen(fd, "rb");
    uint8_t *bytes = malloc(MAX_OBJECT);
    if (!cc || !object || !bytes || fputs(source, cc) < 0 || pclose(cc) != 0) fail("cc", "failed");
    const artifact_object_t code = {"f.o", bytes, fread(bytes, 1, MAX_OBJECT, object)};
    artifact_status_t status = artifact_builder_add_objects(builder, &code, 1, NULL, NULL, error);
    fclose(object);
    unlink(path);
    free(bytes);
    return (uint32_t)status;
}

/* Reads the fleet's key, and makes the engine trust it. */
static artifact_key_t *read_key(const char *path, artifact_engine_t *engine) {
    char pem[4096] = "";
    FILE *file = fopen(path, "r");
    if (!file || fread(pem, 1, sizeof pem - 1, file) == 0) fail(path, "cannot be read");
    fclose(file);
    artifact_key_t *key = NULL;
    artifact_public_key_t public_key;
    artifact_buffer_t *public_pem = NULL;
    artifact_error_t *error = NULL;
    check(artifact_key_from_pem(pem, &key, &error), error);
    check(artifact_key_public(key, &public_key, &error), error);
    check(artifact_public_key_to_pem(&public_key, &public_pem, &error), error);
    check(artifact_engine_trust_key(engine, (const char *)artifact_buffer_data(public_pem), &error), error);
    artifact_buffer_free(public_pem);
    return key;
}

/* A server that fails costs a compile. */
static void note(void *context, uint32_t outcome, const char *path, const artifact_error_t *error) {
    (void)context;
    if (error)
        fprintf(stderr, "%s %s: %s\n", artifact_cache_outcome_name(outcome), path, artifact_error_message(error));
}

int main(int argc, char **argv) {
    if (argc < 6) return fprintf(stderr, "usage: %s FOLDER SOCKET KEY SOURCE X...\n", argv[0]), 2;
    char *source = argv[4], why[256];
    artifact_error_t *error = NULL;

    artifact_redis_t *redis = NULL;
    artifact_redis_options_t server = ARTIFACT_REDIS_OPTIONS_INIT;
    server.unix_path = argv[2];
    if (artifact_redis_new(&server, &redis, why, sizeof why)) fail(argv[2], why);

    artifact_engine_t *host = artifact_engine_new_host(), *baseline = artifact_engine_new();
    artifact_key_t *signing_key = read_key(argv[3], host);
    artifact_cache_options_t options = ARTIFACT_CACHE_OPTIONS_INIT;
    options.targets = (const artifact_engine_t *const[]){baseline}; /* the machines may have different CPUs */
    options.target_count = 1;
    options.signing_key = signing_key;
    options.remote = artifact_redis_remote(redis);
    options.on_event = note;

    artifact_cache_t *cache = NULL;
    artifact_t *artifact = NULL;
    artifact_code_t *code = NULL;
    uint32_t outcome;
    artifact_cache_key_t *key = artifact_cache_key_new();
    check(artifact_cache_open(argv[1], host, &options, &cache, &error), error);
    check(artifact_cache_key_add(key, "source", (const uint8_t *)source, strlen(source), &error), error);
    check(artifact_cache_get_or_make(cache, key, compile, source, &artifact, &outcome, &error), error);
    check(artifact_load(artifact, host, NULL, &code, &error), error);
    void *address = artifact_code_symbol(code, 0, "f", NULL);
    if (!address) fail("f", "is not defined");
    double (*f)(double);
    memcpy(&f, &address, sizeof f);
    printf("%s", artifact_cache_outcome_name(outcome));
    for (int i = 5; i < argc; i++) printf(" %g", f(strtod(argv[i], NULL)));
    putchar('\n');

    artifact_code_free(code), artifact_free(artifact), artifact_cache_key_free(key);
    artifact_cache_free(cache); /* before the remote, which it uses */
    artifact_redis_free(redis);
    artifact_key_free(signing_key);
    artifact_engine_free(baseline), artifact_engine_free(host);
    return 0;
}
