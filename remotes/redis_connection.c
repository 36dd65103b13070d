/* Connections to Redis. hiredis parses answers and encrypts; connecting, timeouts and limits are ours. */
#include "redis.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>
#ifdef ARTIFACT_REDIS_WITH_TLS
#include <arpa/inet.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/x509v3.h>
#endif

/* How much of a command is passed to hiredis at once. It moves what is left after each write. */
#define PIECE ((size_t)64 * 1024)
/* A reader whose buffer has grown beyond this is replaced when its connection becomes idle. */
#define KEPT_BUFFER ((size_t)1024 * 1024)

/* ---- answers: hiredis calls these while it parses ---- */

static answer_t *outermost(const redisReadTask *task) { return task->parent ? NULL : task->privdata; }

/* NULL would mean that there is no memory, so parts of an answer that isn't looked at return their task's. */
static void *take_string(const redisReadTask *task, char *bytes, size_t len) {
    answer_t *answer = outermost(task);
    if (!answer) return task->privdata;
    if (task->type == REDIS_REPLY_STRING && answer->write) {
        answer->type = task->type;
        answer->too_long = len > answer->max_len;
        if (answer->too_long) return answer;
        answer->refused = answer->write(answer->write_context, (const uint8_t *)bytes, len) != 0;
    } else if (task->type == REDIS_REPLY_STATUS || task->type == REDIS_REPLY_ERROR) {
        answer->type = task->type;
        copy_printable(answer->text, sizeof answer->text, bytes, len);
    }
    return answer;
}

static void *take_nil(const redisReadTask *task) {
    answer_t *answer = outermost(task);
    if (answer) answer->type = REDIS_REPLY_NIL;
    return task->privdata;
}

/* Without a function for arrays nothing is allocated for them. */
static redisReplyObjectFunctions take = {.createString = take_string, .createNil = take_nil};

/* ---- connections ---- */

void redis_disconnect(connection_t *connection) {
    if (!connection) return;
    /* Closes the descriptor, and says nothing to the server: a parent's session goes on. */
    if (connection->redis) redisFree(connection->redis);
    free(connection);
}

/* Waits until the socket is ready. Returns 0, or an errno. */
static int wait_for(int fd, short events, int64_t deadline) {
    for (;;) {
        int64_t left = deadline - now_ms();
        struct pollfd poller = {.fd = fd, .events = events};
        int ready = left > 0 ? poll(&poller, 1, left < INT32_MAX ? (int)left : INT32_MAX) : 0;
        if (ready > 0) return 0;
        if (ready == 0) return ETIMEDOUT;
        if (errno != EINTR) return errno;
    }
}

static artifact_status_t failed(attempt_t *attempt, int number) {
    const char *why = number == ETIMEDOUT ? "timed out" : strerror(number);
    return say(attempt->report, ARTIFACT_IO, "%s: %s failed: %s", attempt->redis->server, attempt->doing, why);
}

/* Connects a socket of a kind to an address. Returns 0 and the socket, or an errno. */
static int connect_to(int family, const struct sockaddr *address, socklen_t len, int64_t deadline, int *fd) {
    *fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) return errno;
    int error;
    while ((error = connect(*fd, address, len) ? errno : 0) == EAGAIN && now_ms() < deadline)
        poll(NULL, 0, 1); /* the queue of a Unix socket is full */
    if (error == EINPROGRESS || error == EINTR) {
        error = wait_for(*fd, POLLOUT, deadline);
        socklen_t size = sizeof error;
        if (!error && getsockopt(*fd, SOL_SOCKET, SO_ERROR, &error, &size)) error = errno;
    }
    if (error) close(*fd);
    return error;
}

static artifact_status_t open_socket(attempt_t *attempt, int *fd) {
    const artifact_redis_options_t *options = &attempt->redis->options;
    if (options->unix_path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strcpy(address.sun_path, options->unix_path); /* artifact_redis_new() has looked at its length */
        int error = connect_to(AF_UNIX, (struct sockaddr *)&address, sizeof address, attempt->deadline, fd);
        return error ? failed(attempt, error) : ARTIFACT_OK;
    }
    char port[8];
    snprintf(port, sizeof port, "%u", (unsigned)options->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found = NULL;
    int error = getaddrinfo(options->host, port, &hints, &found);
    if (error) {
        return say(attempt->report, ARTIFACT_IO, "%s: %s failed: %s", attempt->redis->server, attempt->doing,
                   gai_strerror(error));
    }
    error = EADDRNOTAVAIL;
    for (struct addrinfo *each = found; each && error && error != ETIMEDOUT; each = each->ai_next)
        error = connect_to(each->ai_family, each->ai_addr, each->ai_addrlen, attempt->deadline, fd);
    freeaddrinfo(found);
    if (error) return failed(attempt, error);
    setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    return ARTIFACT_OK;
}

/* ---- commands ---- */

static artifact_status_t broken(attempt_t *attempt, connection_t *connection) {
    redisContext *redis = connection->redis;
    bool closed = redis->err == REDIS_ERR_EOF || redis->err == REDIS_ERR_IO;
    attempt->stale = closed && connection->used && redis->reader->len == redis->reader->pos;
    char text[128];
    copy_printable(text, sizeof text, redis->errstr, strnlen(redis->errstr, sizeof redis->errstr));
    return say(attempt->report, redis->err == REDIS_ERR_OOM ? ARTIFACT_NO_MEMORY : ARTIFACT_IO, "%s: %s failed: %s",
               attempt->redis->server, attempt->doing, text);
}

/* What to wait for before going on: TLS may have to read in order to write, and the other way round. */
static short wanted(const connection_t *connection, short otherwise) {
#ifdef ARTIFACT_REDIS_WITH_TLS
    if (connection->session && SSL_want_read(connection->session)) return POLLIN;
    if (connection->session && SSL_want_write(connection->session)) return POLLOUT;
#else
    (void)connection;
#endif
    return otherwise;
}

static artifact_status_t flush(attempt_t *attempt, connection_t *connection) {
    for (int done = 0;;) {
        if (redisBufferWrite(connection->redis, &done) != REDIS_OK) return broken(attempt, connection);
        if (done) return ARTIFACT_OK;
        int error = wait_for(connection->redis->fd, wanted(connection, POLLOUT), attempt->deadline);
        if (error) return failed(attempt, error);
    }
}

/* Sends bytes, or leaves them in the output buffer if it is small. */
static artifact_status_t send_bytes(attempt_t *attempt, connection_t *connection, const void *data, size_t len) {
    artifact_status_t status = ARTIFACT_OK;
    for (const char *next = data; len && !status;) {
        size_t piece = len < PIECE ? len : PIECE;
        if (redisAppendFormattedCommand(connection->redis, next, piece) != REDIS_OK) return broken(attempt, connection);
        if (piece == PIECE) status = flush(attempt, connection);
        next += piece;
        len -= piece;
    }
    return status;
}

static artifact_status_t receive(attempt_t *attempt, connection_t *connection) {
    redisReader *reader = connection->redis->reader;
    answer_t *answer = &connection->answer;
    uint64_t received = 0;
    for (void *reply = NULL;;) {
        if (redisReaderGetReply(reader, &reply) != REDIS_OK) {
            return say(attempt->report, ARTIFACT_IO, "%s: %s failed: the answer is not Redis's protocol",
                       attempt->redis->server, attempt->doing);
        }
        if (reply && !answer->too_long) return ARTIFACT_OK;
        /* "$123" announces a string; the reader has taken the "$" and waits for the rest. */
        const char *next = reader->buf + reader->pos;
        bool string = reader->len > reader->pos && reader->pos && next[-1] == '$' && *next >= '0' && *next <= '9';
        uint64_t announced = string ? strtoull(next, NULL, 10) : 0;
        /* Neither may anything else be longer: the elements of an array are parsed, and gone, as they arrive. */
        if (announced < received && received > PIECE) announced = received - PIECE;
        if (answer->too_long || announced > answer->max_len) {
            return say(attempt->report, ARTIFACT_LIMIT, "%s: expected at most %" PRIu64 " bytes, found more",
                       attempt->redis->server, answer->max_len);
        }
        size_t before = reader->len;
        if (redisBufferRead(connection->redis) != REDIS_OK) return broken(attempt, connection);
        connection->large |= reader->len > KEPT_BUFFER;
        received += reader->len - before;
        int error = reader->len > before && now_ms() < attempt->deadline
                        ? 0
                        : wait_for(connection->redis->fd, wanted(connection, POLLIN), attempt->deadline);
        if (error) return failed(attempt, error);
    }
}

artifact_status_t redis_command(attempt_t *attempt, connection_t *connection, const string_t *words, size_t count) {
    char head[32];
    connection->answer.type = 0;
    int len = snprintf(head, sizeof head, "*%zu\r\n", count);
    artifact_status_t status = send_bytes(attempt, connection, head, (size_t)len);
    for (size_t i = 0; i < count && !status; i++) {
        len = snprintf(head, sizeof head, "$%zu\r\n", words[i].len);
        status = send_bytes(attempt, connection, head, (size_t)len);
        if (!status) status = send_bytes(attempt, connection, words[i].data, words[i].len);
        if (!status) status = send_bytes(attempt, connection, "\r\n", 2);
    }
    if (!status) status = flush(attempt, connection);
    if (!status) status = receive(attempt, connection);
    return status;
}

/* ---- connecting ---- */

static artifact_status_t start_tls(attempt_t *attempt, connection_t *connection) {
#ifdef ARTIFACT_REDIS_WITH_TLS
    if (!attempt->redis->tls) return ARTIFACT_OK;
    const char *host = attempt->redis->options.host;
    SSL *session = SSL_new(attempt->redis->tls);
    if (!session) return say(attempt->report, ARTIFACT_NO_MEMORY, "no memory for TLS");
    struct in6_addr address;
    bool number = inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;
    bool named = number ? X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1
                        : SSL_set1_host(session, host) == 1 && SSL_set_tlsext_host_name(session, host) == 1;
    if (!named || redisInitiateSSL(connection->redis, session) != REDIS_OK) {
        SSL_free(session);
        return say(attempt->report, ARTIFACT_IO, "%s: %s failed: no TLS", attempt->redis->server, attempt->doing);
    }
    connection->session = session;
#else
    (void)attempt, (void)connection;
#endif
    return ARTIFACT_OK;
}

/* Sends a command of the login, and expects "OK". */
static artifact_status_t introduce(attempt_t *attempt, connection_t *connection, const string_t *words, size_t count) {
    artifact_status_t status = redis_command(attempt, connection, words, count);
    if (status || connection->answer.type == REDIS_REPLY_STATUS) return status;
    bool error = connection->answer.type == REDIS_REPLY_ERROR;
    return say(attempt->report, ARTIFACT_IO, "%s: %s failed: %s", attempt->redis->server, attempt->doing,
               error ? connection->answer.text : "expected OK, found another answer");
}

static artifact_status_t log_in(attempt_t *attempt, connection_t *connection) {
    const artifact_redis_options_t *options = &attempt->redis->options;
    artifact_status_t status = start_tls(attempt, connection);
    if (!status && options->password) {
        string_t words[3] = {word("AUTH")};
        size_t count = 1;
        if (options->user) words[count++] = word(options->user);
        words[count++] = word(options->password);
        status = introduce(attempt, connection, words, count);
    }
    if (!status && options->database) {
        char number[16];
        snprintf(number, sizeof number, "%u", (unsigned)options->database);
        status = introduce(attempt, connection, (string_t[]){word("SELECT"), word(number)}, 2);
    }
    return status;
}

static bool new_reader(connection_t *connection) {
    if (connection->redis->reader) redisReaderFree(connection->redis->reader);
    connection->redis->reader = redisReaderCreateWithFunctions(&take);
    if (connection->redis->reader) connection->redis->reader->privdata = &connection->answer;
    return connection->redis->reader;
}

artifact_status_t redis_connect(attempt_t *attempt, connection_t **result) {
    attempt->doing = "connecting";
    attempt->deadline = now_ms() + attempt->redis->options.connect_timeout_ms;
    int fd = -1;
    artifact_status_t status = open_socket(attempt, &fd);
    if (status) return status;
    connection_t *connection = calloc(1, sizeof *connection);
    if (connection) connection->redis = redisConnectFd(fd);
    if (!connection || !connection->redis) close(fd);
    if (!connection || !connection->redis || !new_reader(connection)) {
        redis_disconnect(connection);
        return say(attempt->report, ARTIFACT_NO_MEMORY, "no memory for a connection");
    }
    connection->pid = getpid();
    connection->redis->flags &= ~REDIS_BLOCK;
    status = log_in(attempt, connection);
    if (status)
        redis_disconnect(connection);
    else
        *result = connection;
    return status;
}

bool redis_rest(connection_t *connection) {
    const redisReader *reader = connection->redis->reader;
    bool usable = reader->pos == reader->len; /* more than one answer would be the next request's */
    if (usable && connection->large) usable = new_reader(connection);
    connection->used = true;
    connection->large = false;
    return usable;
}

/* ---- TLS ---- */

artifact_status_t redis_use_tls(artifact_redis_t *redis, report_t report) {
    if (!(redis->options.flags & ARTIFACT_REDIS_TLS)) return ARTIFACT_OK;
#ifdef ARTIFACT_REDIS_WITH_TLS
    const artifact_redis_options_t *options = &redis->options;
    redis->tls = SSL_CTX_new(TLS_client_method());
    if (!redis->tls) return say(report, ARTIFACT_NO_MEMORY, "no memory for TLS");
    SSL_CTX_set_verify(redis->tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(redis->tls, TLS1_2_VERSION);
    if (options->ca_file ? SSL_CTX_load_verify_locations(redis->tls, options->ca_file, NULL) != 1
                         : SSL_CTX_set_default_verify_paths(redis->tls) != 1)
        return say(report, ARTIFACT_IO, "ca_file: no certificates could be read");
    if (options->cert_file && SSL_CTX_use_certificate_chain_file(redis->tls, options->cert_file) != 1)
        return say(report, ARTIFACT_IO, "cert_file: no certificate could be read");
    if (options->key_file && SSL_CTX_use_PrivateKey_file(redis->tls, options->key_file, SSL_FILETYPE_PEM) != 1)
        return say(report, ARTIFACT_IO, "key_file: no key that belongs to cert_file could be read");
    return ARTIFACT_OK;
#else
    return say(report, ARTIFACT_UNSUPPORTED, "this libartifact-redis has no TLS: it was built with hiredis %d.%d",
               HIREDIS_MAJOR, HIREDIS_MINOR);
#endif
}
