/* A Redis server and a connection to it. Internal: redis.c decides what to ask, redis_connection.c asks it. */
#ifndef REDIS_H
#define REDIS_H
#include "remote.h"

#include <artifact_redis.h>
#include <hiredis/hiredis.h>
#ifdef ARTIFACT_REDIS_WITH_TLS
#include <openssl/ssl.h>
#endif

struct artifact_redis_t {
    artifact_cache_remote_t remote;
    artifact_redis_options_t options; /* its strings are owned */
    char *strings[8];
    char server[300]; /* for sentences */
    gate_t gate, stores;
    pool_t pool;
#ifdef ARTIFACT_REDIS_WITH_TLS
    SSL_CTX *tls;
#endif
};

typedef struct string_t {
    const void *data;
    size_t len;
} string_t;

/* What the server answered to one command. */
typedef struct answer_t {
    int type; /* REDIS_REPLY_STRING, _NIL, _STATUS, _ERROR, or 0 for anything else */
    char text[160];
    uint64_t max_len;
    artifact_write_fn write; /* what takes a string */
    void *write_context;
    bool too_long, refused; /* refused: write returned other than 0 */
} answer_t;

typedef struct connection_t {
    pid_t pid;
    bool used;  /* it has answered before */
    bool large; /* its reader's buffer has grown beyond KEPT_BUFFER */
#ifdef ARTIFACT_REDIS_WITH_TLS
    SSL *session; /* owned by redis */
#endif
    redisContext *redis;
    answer_t answer;
} connection_t;

/* One attempt at a request. */
typedef struct attempt_t {
    artifact_redis_t *redis;
    report_t report;
    int64_t deadline;
    const char *doing; /* for sentences */
    bool stale;        /* the connection was closed by the server before it answered */
} attempt_t;

/* Connects, and logs in. */
artifact_status_t redis_connect(attempt_t *attempt, connection_t **result);
void redis_disconnect(connection_t *connection);

/* Sends a command and receives its answer. Other statuses than ARTIFACT_OK leave the connection unusable. */
artifact_status_t redis_command(attempt_t *attempt, connection_t *connection, const string_t *words, size_t count);

/* Makes a connection ready to be kept. Returns false if it has to be closed. */
bool redis_rest(connection_t *connection);

/* Reads the certificates that the options name. */
artifact_status_t redis_use_tls(artifact_redis_t *redis, report_t report);

static inline string_t word(const char *text) { return (string_t){text, strlen(text)}; }
#endif
