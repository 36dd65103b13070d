/* Servers for the tests of remotes: real ones, which end with the test however it ends, and one that says whatever a
 * test wants. */
#ifndef SERVERS_H
#define SERVERS_H
#include "support.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

static inline int64_t now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void sleep_ms(int64_t ms) {
    struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&time, &time) && errno == EINTR) continue;
}

static inline struct sockaddr_in loopback(unsigned port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* Returns a listening socket on a port that the system chooses. */
static inline int listen_somewhere(unsigned *port) {
    struct sockaddr_in address = loopback(0);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof address) && !listen(fd, 64));
    CHECK(!getsockname(fd, (struct sockaddr *)&address, &len));
    *port = ntohs(address.sin_port);
    return fd;
}

/* ---- real servers ---- */

typedef struct server_t {
    pid_t pid;
    unsigned port;
} server_t;

static inline void stop_server(server_t *server) {
    if (server->pid <= 0) return;
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

/* Starts a program, and waits until something listens on the port. Returns false if the program ended before. */
static inline bool start_program(server_t *server, char *const *arguments) {
    fflush(NULL);
    pid_t parent = getpid();
    server->pid = fork();
    CHECK(server->pid >= 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(1);
        int log = open(scratch("server.log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(log, 1);
        dup2(log, 2);
        signal(SIGPIPE, SIG_DFL);
        execvp(arguments[0], arguments);
        _exit(77);
    }
    struct sockaddr_in address = loopback(server->port);
    for (int64_t end = now_ms() + 20000; now_ms() < end; sleep_ms(5)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
        bool up = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
        close(fd);
        if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
            server->pid = 0;
            if (WIFEXITED(status) && WEXITSTATUS(status) == 77) SKIP("the server is not installed");
            return false;
        }
        if (up) return true;
    }
    check_fail(__FILE__, __LINE__, arguments[0], "doesn't listen", "");
    return false;
}

/* Starts a server on a free port, or on the port that it had before. `start` starts it once. */
static inline void start_server(server_t *server, bool (*start)(server_t *)) {
    for (int attempt = 0; attempt < 20; attempt++) {
        bool chosen = server->port == 0;
        if (chosen) close(listen_somewhere(&server->port)); /* another process may take it before the server does */
        if (start(server)) return;
        if (chosen) server->port = 0;
        sleep_ms(50);
    }
    bytes_t log = read_file(scratch("server.log"));
    fwrite(log.data, 1, log.len, stderr);
    check_fail(__FILE__, __LINE__, "the server", "doesn't start", "");
}

/* Makes a certificate for 127.0.0.1. Returns the path of its PEM file. */
static inline char *certificate(void) {
    char command[10000];
    static char path[4200];
    snprintf(path, sizeof path, "%s", scratch("cert.pem"));
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 "
             "-keyout '%s' -out '%s' 2>/dev/null",
             scratch("key.pem"), path);
    if (system(command)) SKIP("openssl can't make a certificate");
    return path;
}

/* Returns the local port of the connection to a server, which is the only one. */
static inline unsigned local_port(const server_t *server) {
    unsigned port = 0;
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in address = {0};
        socklen_t len = sizeof address;
        if (getpeername(fd, (struct sockaddr *)&address, &len) || address.sin_family != AF_INET) continue;
        if (ntohs(address.sin_port) != server->port) continue;
        CHECK(!port && !getsockname(fd, (struct sockaddr *)&address, &len));
        port = ntohs(address.sin_port);
    }
    return port;
}

/* ---- a server that says what a test wants ---- */

typedef struct fake_t {
    int listener;
    unsigned port;
    void (*serve)(int connection, const void *context);
    const void *context;
    atomic_int accepted;
    pthread_t thread;
} fake_t;

static inline void *fake_serve(void *context) {
    fake_t *fake = context;
    for (;;) {
        int connection = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
        if (connection < 0) return NULL;
        atomic_fetch_add(&fake->accepted, 1);
        fake->serve(connection, fake->context);
        close(connection);
    }
}

/* Serves one connection after the other, in a thread. */
static inline void start_fake(fake_t *fake, void (*serve)(int, const void *), const void *context) {
    fake->serve = serve;
    fake->context = context;
    atomic_init(&fake->accepted, 0);
    fake->listener = listen_somewhere(&fake->port);
    CHECK(!pthread_create(&fake->thread, NULL, fake_serve, fake));
}

static inline void stop_fake(fake_t *fake) {
    shutdown(fake->listener, SHUT_RDWR);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
}

/* How many bytes were sent by send_all(). */
static _Atomic size_t sent_bytes;

static inline void send_all(int connection, const void *bytes, size_t len) {
    const char *next = bytes;
    for (ssize_t sent; len && (sent = send(connection, next, len, MSG_NOSIGNAL)) > 0; len -= (size_t)sent) {
        next += sent;
        atomic_fetch_add(&sent_bytes, (size_t)sent);
    }
}

/* Reads what the client sends until it ends, or pauses after so many bytes. */
static inline void read_request(int connection, size_t len) {
    static char buffer[65536];
    struct pollfd poller = {.fd = connection, .events = POLLIN};
    ssize_t got;
    for (size_t total = 0; poll(&poller, 1, total > len ? 50 : 20000) > 0; total += (size_t)got)
        if ((got = recv(connection, buffer, sizeof buffer, 0)) <= 0) return;
}

/* Reads until the client ends the connection. */
static inline void read_to_end(int connection) {
    static char buffer[65536];
    while (recv(connection, buffer, sizeof buffer, 0) > 0) continue;
}

/* What to answer to each request: `bytes`, after which the connection is closed, or stays open until the client ends
 * it. */
typedef struct script_t {
    const char *bytes;
    size_t len;
    const char *again; /* is sent a thousand times as often as `repeat` says */
    size_t repeat;
    size_t request; /* how long a request is, at least */
    bool stays_open;
} script_t;

static inline void follow_script(int connection, const void *context) {
    const script_t *script = context;
    read_request(connection, script->request);
    send_all(connection, script->bytes, script->len);
    bytes_t many = {0};
    for (size_t i = 0; i < 1000 && script->repeat; i++) bytes_add(&many, script->again, strlen(script->again));
    for (size_t i = 0; i < script->repeat; i++) send_all(connection, many.data, many.len);
    bytes_free(&many);
    if (script->stays_open) read_to_end(connection);
    shutdown(connection, SHUT_WR);
}

/* ---- entries ---- */

/* Limits of a remote; 0 stands for the default. */
typedef struct limits_t {
    uint32_t request_ms, connect_ms, back_off_ms, idle;
} limits_t;

/* Receives an entry, and checks that it isn't longer than was asked for. */
typedef struct received_t {
    bytes_t bytes;
    uint64_t max_len;
} received_t;

static inline int receive(void *context, const uint8_t *data, size_t len) {
    received_t *received = context;
    bytes_add(&received->bytes, data, len);
    CHECK(received->bytes.len <= received->max_len);
    return 0;
}

static inline int refuse(void *context, const uint8_t *data, size_t len) {
    (void)context, (void)data, (void)len;
    return EFBIG;
}

/* Returns the name of an entry. Valid until this thread's next call. */
static inline const char *entry_name(unsigned number) {
    static _Thread_local char name[65];
    snprintf(name, sizeof name, "%064x", number);
    return name;
}

/* Returns bytes in which every value occurs, zero included. */
static inline bytes_t noise(size_t len, unsigned seed) {
    bytes_t bytes = {0};
    uint8_t *place = bytes_grow(&bytes, len);
    uint32_t state = seed * 2654435761u + 1;
    for (size_t i = 0; i < len; i++) {
        state = state * 1664525u + 1013904223u;
        place[i] = (uint8_t)(state >> 24);
    }
    return bytes;
}

/* The sentence of this thread's last call of get_entry() or put_entry(). */
static _Thread_local char sentence[256];

static inline artifact_status_t put_entry(const artifact_cache_remote_t *remote, unsigned number, bytes_t bytes) {
    artifact_status_t status =
        remote->put(remote->context, entry_name(number), bytes.data, bytes.len, sentence, sizeof sentence);
    CHECK((status == ARTIFACT_OK) == (*sentence == 0));
    return status;
}

/* Gets an entry, which the caller frees. Unless it is got, there are no bytes. */
static inline artifact_status_t get_entry(const artifact_cache_remote_t *remote, unsigned number, uint64_t max_len,
                                          bytes_t *bytes) {
    received_t received = {.max_len = max_len};
    artifact_status_t status =
        remote->get(remote->context, entry_name(number), max_len, receive, &received, sentence, sizeof sentence);
    CHECK((status == ARTIFACT_OK) == (*sentence == 0));
    if (status) bytes_free(&received.bytes);
    *bytes = received.bytes;
    return status;
}

static inline void put_noise(const artifact_cache_remote_t *remote, unsigned number, size_t len) {
    bytes_t bytes = noise(len, number);
    artifact_status_t status = put_entry(remote, number, bytes);
    if (status) check_fail(__FILE__, __LINE__, "put", sentence, "");
    bytes_free(&bytes);
}

/* Gets what put_noise() has put. */
static inline void get_noise(const artifact_cache_remote_t *remote, unsigned number, size_t len) {
    bytes_t expected = noise(len, number), bytes;
    artifact_status_t status = get_entry(remote, number, len, &bytes);
    if (status) check_fail(__FILE__, __LINE__, "get", sentence, "");
    CHECK(same_bytes(bytes.data, bytes.len, expected.data, expected.len));
    bytes_free(&bytes);
    bytes_free(&expected);
}

static inline artifact_status_t get_status(const artifact_cache_remote_t *remote, unsigned number) {
    bytes_t bytes;
    artifact_status_t status = get_entry(remote, number, 1 << 20, &bytes);
    bytes_free(&bytes);
    return status;
}

static inline artifact_status_t put_status(const artifact_cache_remote_t *remote, unsigned number, size_t len) {
    bytes_t bytes = noise(len, number);
    artifact_status_t status = put_entry(remote, number, bytes);
    bytes_free(&bytes);
    return status;
}
#endif
