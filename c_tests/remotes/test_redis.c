/* libartifact-redis with a real redis-server, and with one that misbehaves. */
#include "servers.h"
#include <artifact_redis.h>

typedef struct remote_t {
    artifact_redis_t *redis;
    const artifact_cache_remote_t *calls;
} remote_t;

static const char *server_option, *server_value;
static bool with_tls;

static bool start_real(server_t *server) {
    char port[8], folder[4096];
    snprintf(port, sizeof port, "%u", server->port);
    snprintf(folder, sizeof folder, "%s", scratch(""));
    char *arguments[40] = {"redis-server", "--bind", "127.0.0.1",    "--dir",      folder,        "--save", "",
                           "--appendonly", "no",     "--unixsocket", "redis.sock", "--maxmemory", "512mb"};
    char *const plain[] = {"--port", port},
                *const tls[] = {
                    "--port",          "0",        "--tls-port",     port,      "--tls-auth-clients", "no",
                    "--tls-cert-file", "cert.pem", "--tls-key-file", "key.pem", "--tls-ca-cert-file", "cert.pem"};
    size_t count = 13, more = with_tls ? COUNT(tls) : COUNT(plain);
    memcpy(arguments + count, with_tls ? tls : plain, more * sizeof *arguments);
    if (server_option)
        arguments[count + more] = (char *)server_option, arguments[count + more + 1] = (char *)server_value;
    return start_program(server, arguments);
}

static void remote_with(remote_t *remote, const artifact_redis_options_t *options) {
    artifact_status_t status = artifact_redis_new(options, &remote->redis, sentence, sizeof sentence);
    if (status) check_fail(__FILE__, __LINE__, "artifact_redis_new", sentence, "");
    CHECK(remote->redis && !*sentence);
    remote->calls = artifact_redis_remote(remote->redis);
    CHECK(remote->calls->size == sizeof *remote->calls);
}

static artifact_redis_options_t options_for(unsigned port) {
    artifact_redis_options_t options = ARTIFACT_REDIS_OPTIONS_INIT;
    options.port = port;
    options.connect_timeout_ms = 20000; /* the machine may be busy */
    options.request_timeout_ms = 20000;
    return options;
}

static void remote_on(remote_t *remote, unsigned port, limits_t limits) {
    artifact_redis_options_t options = options_for(port);
    if (limits.connect_ms) options.connect_timeout_ms = limits.connect_ms;
    if (limits.request_ms) options.request_timeout_ms = limits.request_ms;
    options.back_off_ms = limits.back_off_ms;
    options.idle_connections = limits.idle;
    remote_with(remote, &options);
}

static void remote_free(remote_t *remote) { artifact_redis_free(remote->redis); }

#include "cases.h"
#include "fleet.h"

TEST(options_are_checked) {
    artifact_redis_t *redis = GARBAGE;
    char path[200];
    memset(path, 'a', sizeof path - 1);
    path[sizeof path - 1] = 0;
    char prefix[600] = {0};
    memset(prefix, 'p', 513);
    for (int i = 0; i < 9; i++) {
        artifact_redis_options_t options = ARTIFACT_REDIS_OPTIONS_INIT;
        artifact_status_t expected = ARTIFACT_INVALID_ARGUMENT;
        const char *about = "";
        switch (i) {
        case 0:
            options.size = 1, about = "size";
            break;
        case 1:
            options.flags = 2, about = "flags", expected = ARTIFACT_UNSUPPORTED;
            break;
        case 2:
            options.port = 65536, about = "port";
            break;
        case 3:
            options.idle_connections = 1025, about = "idle_connections";
            break;
        case 4:
            options.unix_path = path, about = "unix_path";
            break;
        case 5:
            options.prefix = prefix, about = "prefix";
            break;
        case 6:
            options.user = "user", about = "user";
            break;
        case 7:
            options.cert_file = "cert", about = "cert_file";
            break;
        case 8:
            options.unix_path = "s", options.flags = ARTIFACT_REDIS_TLS, about = "host";
            break;
        }
        redis = GARBAGE;
        CHECK_STATUS(artifact_redis_new(&options, &redis, sentence, sizeof sentence), expected);
        CHECK(!redis && strstr(sentence, about));
    }
    CHECK_STATUS(artifact_redis_new(NULL, NULL, sentence, sizeof sentence), ARTIFACT_INVALID_ARGUMENT);
    CHECK(artifact_redis_remote(NULL) == NULL);
    artifact_redis_free(NULL);
}

TEST(options_of_later_versions_are_unsupported_unless_zero) {
    struct {
        artifact_redis_options_t options;
        uint64_t later;
    } extended = {ARTIFACT_REDIS_OPTIONS_INIT, 0};
    extended.options.size = sizeof extended;
    artifact_redis_t *redis;
    CHECK_STATUS(artifact_redis_new(&extended.options, &redis, NULL, 0), ARTIFACT_OK);
    artifact_redis_free(redis);
    extended.later = 1;
    CHECK_STATUS(artifact_redis_new(&extended.options, &redis, NULL, 0), ARTIFACT_UNSUPPORTED);
    CHECK_STATUS(artifact_redis_new(NULL, &redis, NULL, 0), ARTIFACT_OK);
    artifact_redis_free(redis);
}

TEST(a_sentence_is_cut_off_at_the_end_of_its_buffer) {
    artifact_redis_options_t options = ARTIFACT_REDIS_OPTIONS_INIT;
    artifact_redis_t *redis;
    char small[8] = "xxxxxxx";
    options.port = 65536;
    CHECK_STATUS(artifact_redis_new(&options, &redis, small, 5), ARTIFACT_INVALID_ARGUMENT);
    CHECK_STR(small, "port");
    CHECK(small[5] == 'x');
}

TEST(a_unix_socket_is_used) {
    server_t server = {0};
    remote_t remote;
    start_server(&server, start_real);
    char path[4096];
    snprintf(path, sizeof path, "%s", scratch("redis.sock"));
    artifact_redis_options_t options = options_for(1);
    options.unix_path = path;
    remote_with(&remote, &options);
    memset(path, 'x', 3); /* strings are copied */
    put_noise(remote.calls, 1, 2 * MIB);
    get_noise(remote.calls, 1, 2 * MIB);
    end(&server, &remote);
}

TEST(prefix_and_database_keep_entries_apart) {
    server_t server = {0};
    remote_t a, b, c;
    start_server(&server, start_real);
    artifact_redis_options_t options = options_for(server.port);
    remote_with(&a, &options);
    options.prefix = "";
    remote_with(&b, &options);
    options.database = 3;
    remote_with(&c, &options);
    put_noise(a.calls, 1, 10);
    CHECK_STATUS(get_status(b.calls, 1), ARTIFACT_NOT_FOUND);
    put_noise(b.calls, 1, 10);
    CHECK_STATUS(get_status(c.calls, 1), ARTIFACT_NOT_FOUND);
    put_noise(c.calls, 2, 10);
    CHECK_STATUS(get_status(b.calls, 2), ARTIFACT_NOT_FOUND);
    get_noise(c.calls, 2, 10);
    remote_free(&b);
    remote_free(&c);
    options.prefix = NULL;
    options.database = 4000000000u;
    remote_with(&c, &options);
    CHECK_STATUS(get_status(c.calls, 1), ARTIFACT_IO);
    CHECK(strstr(sentence, "connecting failed"));
    remote_free(&c);
    end(&server, &a);
}

TEST(entries_expire) {
    server_t server = {0};
    remote_t remote;
    start_server(&server, start_real);
    artifact_redis_options_t options = options_for(server.port);
    options.ttl_s = 2;
    remote_with(&remote, &options);
    put_noise(remote.calls, 1, 10);
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_OK);
    sleep_ms(2200);
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_NOT_FOUND);
    end(&server, &remote);
}

TEST(a_password_is_needed_and_never_printed) {
    server_t server = {0};
    remote_t remote;
    server_option = "--requirepass", server_value = "s3cret";
    start_server(&server, start_real);
    artifact_redis_options_t options = options_for(server.port);
    const char *const passwords[] = {NULL, "wr0ng", "s3cret", "s3cret"};
    const char *const users[] = {NULL, NULL, NULL, "default"};
    for (size_t i = 0; i < COUNT(passwords); i++) {
        options.password = passwords[i];
        options.user = users[i];
        remote_with(&remote, &options);
        artifact_status_t expected = i < 2 ? ARTIFACT_IO : ARTIFACT_OK;
        CHECK_STATUS(put_status(remote.calls, 1, 10), expected);
        CHECK_STATUS(get_status(remote.calls, 1), expected);
        CHECK(!passwords[i] || !strstr(sentence, passwords[i]));
        remote_free(&remote);
    }
    stop_server(&server);
}

TEST(a_full_server_is_still_read) {
    server_t server = {0};
    remote_t remote;
    server_option = "--maxmemory", server_value = "6mb";
    start_server(&server, start_real);
    remote_on(&remote, server.port, (limits_t){.back_off_ms = 1500});
    put_noise(remote.calls, 1, 1000);
    unsigned number = 2;
    while (number < 1000 && put_status(remote.calls, number, 100000) == ARTIFACT_OK) number++;
    CHECK(number > 2);
    CHECK(strstr(sentence, "OOM"));
    CHECK_STATUS(put_status(remote.calls, 3, 10), ARTIFACT_IO);
    CHECK(strstr(sentence, "not asked"));
    get_noise(remote.calls, 1, 1000);
    sleep_ms(1600);
    CHECK_STATUS(put_status(remote.calls, 3, 4 * MIB), ARTIFACT_IO);
    CHECK(strstr(sentence, "OOM"));
    get_noise(remote.calls, 1, 1000);
    end(&server, &remote);
}

TEST(a_port_without_server_is_an_error) {
    unsigned port;
    close(listen_somewhere(&port));
    remote_t remote;
    remote_on(&remote, port, (limits_t){0});
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_IO);
    CHECK(strstr(sentence, "127.0.0.1:") && strstr(sentence, "Connection refused"));
    remote_free(&remote);
    artifact_redis_options_t options = options_for(port);
    options.host = "no-such-host.invalid";
    remote_with(&remote, &options);
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_IO);
    CHECK(strstr(sentence, "no-such-host.invalid"));
    remote_free(&remote);
}

TEST(an_idle_connection_that_was_closed_raises_no_sigpipe) {
    fake_t fake;
    remote_t remote;
    signal(SIGPIPE, SIG_DFL);
    start_fake(&fake, follow_script, &(script_t){.bytes = "+OK\r\n", .len = 5, .request = 8 * MIB});
    remote_on(&remote, fake.port, (limits_t){0});
    for (int i = 1; i <= 10; i++) {
        CHECK_STATUS(put_status(remote.calls, 1, 8 * MIB), ARTIFACT_OK);
        CHECK(atomic_load(&fake.accepted) == i);
        sleep_ms(20); /* the connection is idle, and the server closes it */
    }
    no_sigpipe();
    remote_free(&remote);
    stop_fake(&fake);
}

TEST(hostile_answers_are_errors) {
#define ANSWER(text)                                                                                                   \
    { .bytes = (text), .len = sizeof(text) - 1 }
    static const script_t scripts[] = {
        ANSWER(""),
        ANSWER("$10\r\n12345"), /* truncated */
        {.bytes = "$10\r\n12345", .len = 10, .stays_open = true},
        ANSWER("$5\r\n1234567890\r\n"), /* wrong length */
        ANSWER("$1001\r\n"),
        ANSWER("$9223372036854775807\r\n"),
        ANSWER("$99999999999999999999999\r\n"),
        ANSWER("$-5\r\n"),
        ANSWER("*2147483647\r\n$1\r\n"),
        ANSWER("*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ANSWER("*0\r\n"),
        ANSWER("*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"),
        ANSWER(":5\r\n"),
        ANSWER("+OK\r\n"),
        ANSWER("-ERR \x1b[31m\xff very wrong\r\n"),
        ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        {.bytes = "+", .len = 1, .again = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", .repeat = 1000},
        {.bytes = "$1000\r\n", .len = 7, .again = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", .repeat = 1000},
        /* Parsed as fast as it comes, without end. */
        {.bytes = "*2147483647\r\n",
         .len = 13,
         .again = ":1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
         .repeat = 100000},
    };
    static const artifact_status_t statuses[] = {
        ARTIFACT_IO, ARTIFACT_IO, ARTIFACT_IO,    ARTIFACT_OK, ARTIFACT_LIMIT, ARTIFACT_LIMIT, ARTIFACT_IO,
        ARTIFACT_IO, ARTIFACT_IO, ARTIFACT_IO,    ARTIFACT_IO, ARTIFACT_IO,    ARTIFACT_IO,    ARTIFACT_IO,
        ARTIFACT_IO, ARTIFACT_IO, ARTIFACT_LIMIT, ARTIFACT_OK, ARTIFACT_LIMIT,
    };
    expect_failures(scripts, statuses, COUNT(scripts));
}

TEST(tls_is_used_or_refused) {
    artifact_redis_options_t options = ARTIFACT_REDIS_OPTIONS_INIT;
    artifact_redis_t *redis;
    options.flags = ARTIFACT_REDIS_TLS;
    options.ca_file = "/no/such/file";
    artifact_status_t status = artifact_redis_new(&options, &redis, sentence, sizeof sentence);
    if (status == ARTIFACT_UNSUPPORTED) {
        CHECK(strstr(sentence, "TLS") && strstr(sentence, "hiredis"));
        return;
    }
    CHECK_STATUS(status, ARTIFACT_IO);
    CHECK(strstr(sentence, "ca_file"));

    server_t server = {0};
    remote_t remote;
    char *path = certificate();
    with_tls = true;
    start_server(&server, start_real);
    options = options_for(server.port);
    options.flags = ARTIFACT_REDIS_TLS;
    remote_with(&remote, &options);
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_IO);
    remote_free(&remote);
    options.ca_file = path;
    remote_with(&remote, &options);
    expect_session_outlives_children(&server, &remote);
    put_noise(remote.calls, 2, 32 * MIB);
    get_noise(remote.calls, 2, 32 * MIB);
    remote_free(&remote);
    options.host = "localhost"; /* the certificate is for the address */
    remote_with(&remote, &options);
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_IO);
    end(&server, &remote);
}
