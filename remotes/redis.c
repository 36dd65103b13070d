/* Redis and Valkey as a remote: what is asked, on which connection, and what an answer means. */
#include "redis.h"

#include <sys/un.h>

/* ---- connections ---- */

/* Returns an idle connection of this process, or NULL. */
static connection_t *idle_connection(artifact_redis_t *redis) {
    for (;;) {
        connection_t *connection = pool_take(&redis->pool);
        if (!connection || connection->pid == getpid()) return connection;
        redis_disconnect(connection);
    }
}

static void keep(artifact_redis_t *redis, connection_t *connection) {
    if (!redis_rest(connection) || !pool_give(&redis->pool, connection)) redis_disconnect(connection);
}

/* ---- requests ---- */

/* What is asked: a command, and what takes the answer. */
typedef struct request_t {
    const string_t *words;
    size_t count;
    uint64_t max_len;
    artifact_write_fn write;
    void *write_context;
} request_t;

/* Sends a request on an idle connection, or on a new one, and gives back what was answered. */
static artifact_status_t attempt_request(attempt_t *attempt, const request_t *request, bool idle, answer_t *answer) {
    connection_t *connection = idle ? idle_connection(attempt->redis) : NULL;
    artifact_status_t status = connection ? ARTIFACT_OK : redis_connect(attempt, &connection);
    if (status) return status;
    attempt->doing = "a request";
    attempt->deadline = now_ms() + attempt->redis->options.request_timeout_ms;
    connection->answer =
        (answer_t){.max_len = request->max_len, .write = request->write, .write_context = request->write_context};
    status = redis_command(attempt, connection, request->words, request->count);
    *answer = connection->answer;
    answer->write = NULL;
    if (status)
        redis_disconnect(connection);
    else
        keep(attempt->redis, connection);
    return status;
}

static artifact_status_t ask(artifact_redis_t *redis, report_t report, const request_t *request, answer_t *answer) {
    attempt_t attempt = {.redis = redis, .report = report};
    artifact_status_t status = attempt_request(&attempt, request, true, answer);
    if (attempt.stale) {
        attempt.stale = false;
        report_to(report.message, report.len);
        status = attempt_request(&attempt, request, false, answer);
    }
    if (!status && answer->type == 0)
        status = say(report, ARTIFACT_IO, "%s: a request failed: the answer is of another kind", redis->server);
    if (status == ARTIFACT_IO)
        gate_close(&redis->gate, redis->options.back_off_ms);
    else if (status != ARTIFACT_NO_MEMORY)
        gate_open(&redis->gate);
    return status;
}

static artifact_status_t run(artifact_redis_t *redis, const char *name, report_t report, gate_t *stores,
                             request_t *request, answer_t *answer) {
    if (!is_name(name))
        return say(report, ARTIFACT_INVALID_ARGUMENT, "name: expected %d lower-case hex digits", NAME_LEN);
    int64_t left;
    uint32_t back_off = redis->options.back_off_ms;
    if ((stores && !gate_passes(stores, back_off, &left)) || !gate_passes(&redis->gate, back_off, &left)) {
        return say(report, ARTIFACT_IO, "%s: not asked for another %" PRId64 " ms, because it failed", redis->server,
                   left);
    }
    sigpipe_t held = sigpipe_hold();
    artifact_status_t status = ask(redis, report, request, answer);
    sigpipe_release(&held);
    if (status || answer->type != REDIS_REPLY_ERROR) return status;
    gate_close(stores ? stores : &redis->gate, back_off);
    return say(report, ARTIFACT_IO, "%s: the server refused: %s", redis->server, answer->text);
}

static uint32_t get(void *context, const char *name, uint64_t max_len, artifact_write_fn write, void *write_context,
                    char *message, size_t message_len) {
    artifact_redis_t *redis = context;
    report_t report = report_to(message, message_len);
    char key[1024];
    int len = snprintf(key, sizeof key, "%s%s", redis->options.prefix, name ? name : "");
    const string_t words[] = {word("GET"), {key, (size_t)len}};
    request_t request = {words, 2, max_len, write, write_context};
    answer_t answer = {0};
    artifact_status_t status = run(redis, name, report, NULL, &request, &answer);
    if (status) return status;
    if (answer.type == REDIS_REPLY_NIL)
        return say(report, ARTIFACT_NOT_FOUND, "%s: has no entry %s", redis->server, name);
    if (answer.type != REDIS_REPLY_STRING)
        return say(report, ARTIFACT_IO, "%s: expected an entry, found a status", redis->server);
    if (answer.refused) return say(report, ARTIFACT_LIMIT, "the entry was refused by its receiver");
    return ARTIFACT_OK;
}

static uint32_t put(void *context, const char *name, const uint8_t *data, size_t data_len, char *message,
                    size_t message_len) {
    artifact_redis_t *redis = context;
    report_t report = report_to(message, message_len);
    char key[1024], ttl[16];
    int len = snprintf(key, sizeof key, "%s%s", redis->options.prefix, name ? name : "");
    snprintf(ttl, sizeof ttl, "%u", (unsigned)redis->options.ttl_s);
    const string_t words[] = {word("SET"), {key, (size_t)len}, {data, data_len}, word("EX"), word(ttl)};
    request_t request = {words, redis->options.ttl_s ? 5 : 3, 0, NULL, NULL};
    answer_t answer = {0};
    artifact_status_t status = run(redis, name, report, &redis->stores, &request, &answer);
    if (status) return status;
    if (answer.type != REDIS_REPLY_STATUS)
        return say(report, ARTIFACT_IO, "%s: expected OK, found another answer", redis->server);
    gate_open(&redis->stores);
    return ARTIFACT_OK;
}

/* ---- the remote ---- */

static artifact_status_t check(const artifact_redis_options_t *options, report_t report) {
    struct sockaddr_un address;
    if (options->flags & ~ARTIFACT_REDIS_TLS) return say(report, ARTIFACT_UNSUPPORTED, "flags: unknown flags");
    if (options->port > UINT16_MAX) return say(report, ARTIFACT_INVALID_ARGUMENT, "port: expected at most 65535");
    if (options->idle_connections > MAX_IDLE)
        return say(report, ARTIFACT_INVALID_ARGUMENT, "idle_connections: expected at most %d", MAX_IDLE);
    if (options->unix_path && strlen(options->unix_path) >= sizeof address.sun_path)
        return say(report, ARTIFACT_INVALID_ARGUMENT, "unix_path: longer than the path of a socket may be");
    if (options->unix_path && options->flags & ARTIFACT_REDIS_TLS && !options->host)
        return say(report, ARTIFACT_INVALID_ARGUMENT, "host: expected the name in the server's certificate");
    if (options->prefix && strlen(options->prefix) > 512)
        return say(report, ARTIFACT_INVALID_ARGUMENT, "prefix: expected at most 512 bytes");
    if (options->user && !options->password) return say(report, ARTIFACT_INVALID_ARGUMENT, "user: has no password");
    if (!options->cert_file != !options->key_file)
        return say(report, ARTIFACT_INVALID_ARGUMENT, "cert_file, key_file: expected both or none");
    return ARTIFACT_OK;
}

/* Replaces what options point at by copies, and zeros by defaults. */
static bool complete(artifact_redis_t *redis) {
    artifact_redis_options_t *options = &redis->options;
    const char **const strings[] = {&options->host,   &options->unix_path, &options->user,      &options->password,
                                    &options->prefix, &options->ca_file,   &options->cert_file, &options->key_file};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        const char *otherwise = i == 0 ? "127.0.0.1" : i == 4 ? "artifact:" : NULL;
        if (!copy_string(&redis->strings[i], *strings[i], otherwise)) return false;
        *strings[i] = redis->strings[i];
    }
    options->port = or_default(options->port, 6379);
    options->connect_timeout_ms = or_default(options->connect_timeout_ms, 1000);
    options->request_timeout_ms = or_default(options->request_timeout_ms, 10000);
    options->back_off_ms = or_default(options->back_off_ms, 60000);
    const char *place = options->unix_path ? options->unix_path : options->host;
    copy_printable(redis->server, sizeof redis->server - 8, place, strlen(place));
    if (!options->unix_path) sprintf(redis->server + strlen(redis->server), ":%u", (unsigned)options->port);
    return pool_new(&redis->pool, or_default(options->idle_connections, 8));
}

EXPORTED artifact_status_t artifact_redis_new(const artifact_redis_options_t *options, artifact_redis_t **redis,
                                              char *message, size_t message_len) {
    report_t report = report_to(message, message_len);
    if (!redis) return say(report, ARTIFACT_INVALID_ARGUMENT, "redis is NULL");
    *redis = NULL;
    artifact_redis_t *made = calloc(1, sizeof *made);
    if (!made) return say(report, ARTIFACT_NO_MEMORY, "no memory for a remote");
    artifact_status_t status = ARTIFACT_OK;
    if (options) status = copy_options(&made->options, sizeof made->options, options, report);
    if (!status) status = check(&made->options, report);
    if (!status && !complete(made)) status = say(report, ARTIFACT_NO_MEMORY, "no memory for a remote");
    if (!status) status = redis_use_tls(made, report);
    if (status) {
        artifact_redis_free(made);
        return status;
    }
    made->remote = (artifact_cache_remote_t){sizeof made->remote, made, get, put};
    *redis = made;
    return ARTIFACT_OK;
}

EXPORTED const artifact_cache_remote_t *artifact_redis_remote(const artifact_redis_t *redis) {
    return redis ? &redis->remote : NULL;
}

EXPORTED void artifact_redis_free(artifact_redis_t *redis) {
    if (!redis) return;
    for (connection_t *connection; redis->pool.idle && (connection = pool_take(&redis->pool));)
        redis_disconnect(connection);
    free(redis->pool.idle);
#ifdef ARTIFACT_REDIS_WITH_TLS
    SSL_CTX_free(redis->tls);
#endif
    for (size_t i = 0; i < sizeof redis->strings / sizeof *redis->strings; i++) free(redis->strings[i]);
    free(redis);
}
