/* A user's program with both remotes, in C and C++. No server listens on the port. */
#include <artifact_http.h>
#include <artifact_redis.h>
#include <stdio.h>

static int failed(const artifact_cache_remote_t *remote) {
    char message[256] = "";
    char name[65];
    snprintf(name, sizeof name, "%064x", 1);
    const uint8_t byte = 1;
    int good = remote && remote->put(remote->context, name, &byte, 1, message, sizeof message) == ARTIFACT_IO;
    printf("%s\n", message);
    return !good || !*message;
}

int main(void) {
    artifact_redis_options_t redis_options = ARTIFACT_REDIS_OPTIONS_INIT;
    artifact_http_options_t http_options = ARTIFACT_HTTP_OPTIONS_INIT;
    artifact_redis_t *redis = NULL;
    artifact_http_t *http = NULL;
    redis_options.port = 1;
    http_options.url = "http://127.0.0.1:1";
    if (artifact_redis_new(&redis_options, &redis, NULL, 0) || artifact_http_new(&http_options, &http, NULL, 0))
        return 1;
    int bad = failed(artifact_redis_remote(redis)) + failed(artifact_http_remote(http));
    artifact_redis_free(redis);
    artifact_http_free(http);
    return bad || artifact_version() != ARTIFACT_VERSION_NUMBER;
}
