/* libartifact-http with a real nginx, and with a server that misbehaves. */
#include "servers.h"
#include <artifact_http.h>

typedef struct remote_t {
    artifact_http_t *http;
    const artifact_cache_remote_t *calls;
} remote_t;

static bool with_tls;

static bool start_real(server_t *server) {
    char configuration[4096], prefix[4200];
    snprintf(
        configuration, sizeof configuration,
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\n"
        "events { worker_connections 64; }\n"
        "http {\n"
        "  access_log off; client_body_temp_path body; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u;\n"
        "  scgi_temp_path s; client_max_body_size 100m; keepalive_requests 100000;\n"
        "  server {\n"
        "    listen 127.0.0.1:%u%s;\n"
        "    root data; dav_methods PUT; create_full_put_path on;\n"
        "    location /small/ { client_max_body_size 1m; }\n"
        "    location /read-only/ { dav_methods off; }\n"
        "    location /moved/ { return 301 /elsewhere/; }\n"
        "    location /secret/ { auth_basic here; auth_basic_user_file users; }\n"
        "    location /header/ { if ($http_x_pass != token) { return 403; } }\n"
        "  }\n"
        "}\n",
        server->port, with_tls ? " ssl; ssl_certificate cert.pem; ssl_certificate_key key.pem" : "");
    write_file(scratch("nginx.conf"), configuration, strlen(configuration));
    write_file(scratch("users"), "me:{PLAIN}s3cret\n", 17);
    mkdir(scratch("data"), 0700);
    snprintf(prefix, sizeof prefix, "%s", scratch(""));
    setenv("PATH", "/usr/sbin:/usr/local/sbin:/usr/bin:/bin", 1);
    char *arguments[] = {"nginx", "-p", prefix, "-c", "nginx.conf", "-e", "stderr", NULL};
    return start_program(server, arguments);
}

static void remote_with(remote_t *remote, const artifact_http_options_t *options) {
    artifact_status_t status = artifact_http_new(options, &remote->http, sentence, sizeof sentence);
    if (status) check_fail(__FILE__, __LINE__, "artifact_http_new", sentence, "");
    CHECK(remote->http && !*sentence);
    remote->calls = artifact_http_remote(remote->http);
    CHECK(remote->calls->size == sizeof *remote->calls);
}

/* Returns a URL. Valid until this thread's next call. */
static const char *url_of(unsigned port, const char *before, const char *after) {
    static _Thread_local char url[256];
    snprintf(url, sizeof url, "%s://%s127.0.0.1:%u%s", with_tls ? "https" : "http", before, port, after);
    return url;
}

static artifact_http_options_t options_for(const char *url) {
    artifact_http_options_t options = ARTIFACT_HTTP_OPTIONS_INIT;
    options.url = url;
    options.connect_timeout_ms = 20000; /* the machine may be busy */
    options.request_timeout_ms = 20000;
    return options;
}

static void remote_on(remote_t *remote, unsigned port, limits_t limits) {
    artifact_http_options_t options = options_for(url_of(port, "", "/cache/"));
    if (limits.connect_ms) options.connect_timeout_ms = limits.connect_ms;
    if (limits.request_ms) options.request_timeout_ms = limits.request_ms;
    options.back_off_ms = limits.back_off_ms;
    options.idle_connections = limits.idle;
    remote_with(remote, &options);
}

static void remote_free(remote_t *remote) { artifact_http_free(remote->http); }

#include "cases.h"
#include "fleet.h"

TEST(options_are_checked) {
    static const char *const no_colon[] = {"Authorization"}, *const two_lines[] = {"A: b\r\nC: d"},
                             *const null[] = {NULL};
    static const struct {
        artifact_http_options_t options;
        artifact_status_t status;
        const char *about;
    } cases[] = {
        {{.size = 1}, ARTIFACT_INVALID_ARGUMENT, "size"},
        {{.flags = 1}, ARTIFACT_UNSUPPORTED, "flags"},
        {{.url = NULL}, ARTIFACT_INVALID_ARGUMENT, "url"},
        {{.url = ""}, ARTIFACT_INVALID_ARGUMENT, "url"},
        {{.url = "localhost"}, ARTIFACT_INVALID_ARGUMENT, "url"},
        {{.url = "file:///etc"}, ARTIFACT_INVALID_ARGUMENT, "url"},
        {{.url = "ftp://host/"}, ARTIFACT_INVALID_ARGUMENT, "url"},
        {{.url = "http://"}, ARTIFACT_INVALID_ARGUMENT, "url"},
        {{.url = "http://host/?query"}, ARTIFACT_INVALID_ARGUMENT, "url"},
        {{.url = "http://host/#fragment"}, ARTIFACT_INVALID_ARGUMENT, "url"},
        {{.url = "http://h", .idle_connections = 1025}, ARTIFACT_INVALID_ARGUMENT, "idle_connections"},
        {{.url = "http://h", .connect_timeout_ms = UINT32_MAX}, ARTIFACT_INVALID_ARGUMENT, "timeouts"},
        {{.url = "http://h", .request_timeout_ms = UINT32_MAX}, ARTIFACT_INVALID_ARGUMENT, "timeouts"},
        {{.url = "http://h", .key_file = "key"}, ARTIFACT_INVALID_ARGUMENT, "key_file"},
        {{.url = "http://h", .header_count = 1}, ARTIFACT_INVALID_ARGUMENT, "headers"},
        {{.url = "http://h", .header_count = 1, .headers = no_colon}, ARTIFACT_INVALID_ARGUMENT, "headers[0]"},
        {{.url = "http://h", .header_count = 1, .headers = two_lines}, ARTIFACT_INVALID_ARGUMENT, "headers[0]"},
        {{.url = "http://h", .header_count = 1, .headers = null}, ARTIFACT_INVALID_ARGUMENT, "headers[0]"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        artifact_http_t *http = GARBAGE;
        artifact_http_options_t options = cases[i].options;
        if (!options.size) options.size = sizeof options;
        CHECK_STATUS(artifact_http_new(&options, &http, sentence, sizeof sentence), cases[i].status);
        CHECK(!http && strstr(sentence, cases[i].about));
    }
    artifact_http_t *http = GARBAGE;
    CHECK_STATUS(artifact_http_new(NULL, &http, NULL, 0), ARTIFACT_INVALID_ARGUMENT);
    CHECK(!http);
    CHECK_STATUS(artifact_http_new(&cases[2].options, NULL, NULL, 0), ARTIFACT_INVALID_ARGUMENT);
    CHECK(artifact_http_remote(NULL) == NULL);
    artifact_http_free(NULL);
}

TEST(options_of_later_versions_are_unsupported_unless_zero) {
    struct {
        artifact_http_options_t options;
        uint64_t later;
    } extended = {ARTIFACT_HTTP_OPTIONS_INIT, 0};
    extended.options.size = sizeof extended;
    extended.options.url = "http://host";
    artifact_http_t *http;
    CHECK_STATUS(artifact_http_new(&extended.options, &http, NULL, 0), ARTIFACT_OK);
    artifact_http_free(http);
    extended.later = 1;
    CHECK_STATUS(artifact_http_new(&extended.options, &http, NULL, 0), ARTIFACT_UNSUPPORTED);
}

TEST(credentials_are_sent_and_never_printed) {
    server_t server = {0};
    start_server(&server, start_real);
    char netrc[4200];
    snprintf(netrc, sizeof netrc, "%s", scratch("netrc"));
    write_file(netrc, "machine 127.0.0.1 login me password s3cret\n", 43);
    const char *const headers[] = {"X-Other: 1", "Authorization: Basic bWU6czNjcmV0"};
    for (int i = 0; i < 5; i++) {
        static const char *const before[] = {"", "me:wr0ng@", "me:s3cret@", "", ""};
        artifact_http_options_t options = options_for(url_of(server.port, before[i], "/secret"));
        if (i == 3) options.netrc_file = netrc;
        if (i == 4) options.headers = headers, options.header_count = 2;
        remote_t remote;
        remote_with(&remote, &options);
        artifact_status_t expected = i < 2 ? ARTIFACT_IO : ARTIFACT_OK;
        CHECK_STATUS(put_status(remote.calls, 1, 2 * MIB), expected);
        CHECK(!strstr(sentence, "wr0ng") && (!*sentence || strstr(sentence, "401")));
        CHECK_STATUS(get_status(remote.calls, 1000), i < 2 ? ARTIFACT_IO : ARTIFACT_NOT_FOUND);
        CHECK(!strstr(sentence, "wr0ng") && !strstr(sentence, "s3cret"));
        remote_free(&remote);
    }
    stop_server(&server);
}

TEST(a_header_is_sent_with_each_request) {
    server_t server = {0};
    remote_t remote;
    start_server(&server, start_real);
    const char *const headers[] = {"X-Pass: token"};
    artifact_http_options_t options = options_for(url_of(server.port, "", "/header"));
    options.headers = headers;
    options.header_count = 1;
    remote_with(&remote, &options);
    for (unsigned i = 0; i < 3; i++) put_noise(remote.calls, i, 100);
    for (unsigned i = 0; i < 3; i++) get_noise(remote.calls, i, 100);
    end(&server, &remote);
}

TEST(a_redirect_is_not_followed) {
    server_t server = {0};
    remote_t remote;
    start_server(&server, start_real);
    artifact_http_options_t options = options_for(url_of(server.port, "", "/moved"));
    remote_with(&remote, &options);
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_IO);
    CHECK(strstr(sentence, "301"));
    remote_free(&remote);
    remote_with(&remote, &options);
    CHECK_STATUS(put_status(remote.calls, 1, 10), ARTIFACT_IO);
    CHECK(strstr(sentence, "301"));
    end(&server, &remote);
}

TEST(a_server_that_stores_nothing_is_still_read) {
    server_t server = {0};
    remote_t remote;
    start_server(&server, start_real);
    artifact_http_options_t options = options_for(url_of(server.port, "", "/read-only"));
    remote_with(&remote, &options);
    CHECK_STATUS(put_status(remote.calls, 1, 10), ARTIFACT_IO);
    CHECK(strstr(sentence, "405"));
    CHECK_STATUS(put_status(remote.calls, 1, 10), ARTIFACT_IO);
    CHECK(strstr(sentence, "not asked"));
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_NOT_FOUND);
    end(&server, &remote);
}

TEST(an_entry_that_is_too_large_for_the_server_is_no_failure) {
    server_t server = {0};
    remote_t remote;
    start_server(&server, start_real);
    artifact_http_options_t options = options_for(url_of(server.port, "", "/small"));
    remote_with(&remote, &options);
    CHECK_STATUS(put_status(remote.calls, 1, 2 * MIB), ARTIFACT_LIMIT);
    put_noise(remote.calls, 2, MIB);
    get_noise(remote.calls, 2, MIB);
    end(&server, &remote);
}

TEST(proxies_of_the_environment_are_not_used) {
    server_t server = {0};
    remote_t remote;
    start_server(&server, start_real);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    remote_on(&remote, server.port, (limits_t){0});
    put_noise(remote.calls, 1, 10);
    remote_free(&remote);
    artifact_http_options_t options = options_for(url_of(server.port, "", ""));
    options.proxy = "http://127.0.0.1:1";
    remote_with(&remote, &options);
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_IO);
    end(&server, &remote);
}

TEST(tls_is_checked_and_outlives_children) {
    server_t server = {0};
    remote_t remote;
    char *path = certificate();
    with_tls = true;
    start_server(&server, start_real);
    artifact_http_options_t options = options_for(url_of(server.port, "", "/cache"));
    remote_with(&remote, &options);
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_IO);
    CHECK(strstr(sentence, "ertificate"));
    remote_free(&remote);
    options.ca_file = path;
    remote_with(&remote, &options);
    expect_session_outlives_children(&server, &remote);
    remote_free(&remote);
    char url[64];
    snprintf(url, sizeof url, "https://localhost:%u/cache", server.port);
    options.url = url; /* the certificate is for the address */
    remote_with(&remote, &options);
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_IO);
    end(&server, &remote);
}

TEST(hostile_answers_are_errors) {
#define ANSWER(text)                                                                                                   \
    { .bytes = (text), .len = sizeof(text) - 1 }
#define OK "HTTP/1.1 200 OK\r\n"
    static const script_t scripts[] = {
        ANSWER(""),
        ANSWER(OK "Content-Length: 10\r\n\r\n12345"), /* truncated */
        {.bytes = OK "Content-Length: 10\r\n\r\n12345",
         .len = sizeof(OK "Content-Length: 10\r\n\r\n12345") - 1,
         .stays_open = true},
        ANSWER(OK "Content-Length: 5\r\n\r\n1234567890"), /* too long: the rest is ignored */
        ANSWER(OK "Content-Length: 1001\r\n\r\n1"),
        ANSWER(OK "Content-Length: -5\r\n\r\n12345"),
        ANSWER(OK "Content-Length: 99999999999999999999999\r\n\r\n12345"), /* ignored */
        ANSWER(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345"),
        ANSWER(OK "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"),     /* truncated */
        ANSWER(OK "Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n12345"), /* likewise */
        ANSWER(OK "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n"),
        ANSWER("nonsense"),
        ANSWER("HTTP/1.1 404 Not Found\r\nContent-Length: 5000\r\n\r\n12345"),
        ANSWER("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        ANSWER("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"),
        ANSWER("HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\n12345"),
        ANSWER("HTTP/1.1 204 No Content\r\n\r\n"),
        ANSWER("HTTP/1.1 500 \x1b[31m\r\nContent-Length: 0\r\n\r\n"),
        ANSWER("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"),
        {.bytes = "", .again = "HTTP/1.1 100 Continue\r\n\r\n", .repeat = 1000},
        {.bytes = OK,
         .len = sizeof OK - 1,
         .again = "X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
         .repeat = 1000},
        {.bytes = OK "\r\n",
         .len = sizeof OK + 1,
         .again = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         .repeat = 1000},
        {.bytes = "HTTP/1.1 503 No\r\n\r\n",
         .len = 19,
         .again = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         .repeat = 1000},
    };
    static const artifact_status_t statuses[] = {
        ARTIFACT_IO, ARTIFACT_IO,        ARTIFACT_IO,        ARTIFACT_OK,    ARTIFACT_LIMIT, ARTIFACT_IO,
        ARTIFACT_OK, ARTIFACT_IO,        ARTIFACT_IO,        ARTIFACT_IO,    ARTIFACT_OK,    ARTIFACT_IO,
        ARTIFACT_IO, ARTIFACT_NOT_FOUND, ARTIFACT_NOT_FOUND, ARTIFACT_IO,    ARTIFACT_IO,    ARTIFACT_IO,
        ARTIFACT_IO, ARTIFACT_IO,        ARTIFACT_IO,        ARTIFACT_LIMIT, ARTIFACT_IO,
    };
    expect_failures(scripts, statuses, COUNT(scripts));
}
