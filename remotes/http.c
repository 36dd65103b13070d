/* HTTP through libcurl: GET and PUT of a URL that ends in an entry's name. */
#include "remote.h"

#include <artifact_http.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <pthread.h>

/* What a server may say besides the entry: headers, and the text of an error. */
#define MAX_TALK ((uint64_t)256 * 1024)
/* Sockets of one connection: libcurl tries several addresses at once. */
#define MAX_SOCKETS 8

struct artifact_http_t {
    artifact_cache_remote_t remote;
    artifact_http_options_t options; /* its strings are owned */
    char *strings[6];
    char *server; /* for sentences: the URL without user and password */
    struct curl_slist *headers;
    gate_t gate, stores;
    pool_t pool;
};

/* One request, and what came of it. */
typedef struct request_t {
    CURL *easy;
    artifact_write_fn write;
    void *write_context;
    uint64_t max_len, received, talk; /* talk: how much more of it may come */
    bool too_long, refused;
    const uint8_t *data;
    size_t len, sent;
} request_t;

typedef struct connection_t {
    pid_t pid;
    CURL *easy;
    curl_socket_t sockets[MAX_SOCKETS];
    size_t socket_count;
} connection_t;

/* ---- what libcurl calls ---- */

static size_t take_header(char *bytes, size_t size, size_t count, void *context) {
    (void)bytes;
    request_t *request = context;
    size_t len = size * count;
    if (len > request->talk) return 0;
    request->talk -= len;
    return len;
}

static size_t take_body(char *bytes, size_t size, size_t count, void *context) {
    request_t *request = context;
    size_t len = size * count;
    long code = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &code);
    if (!request->write || code != 200) return take_header(bytes, size, count, context);
    curl_off_t announced = -1;
    curl_easy_getinfo(request->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced);
    request->too_long =
        len > request->max_len - request->received || (announced > 0 && (uint64_t)announced > request->max_len);
    if (request->too_long) return 0;
    request->received += len;
    request->refused = request->write(request->write_context, (const uint8_t *)bytes, len) != 0;
    return request->refused ? 0 : len;
}

static size_t give_body(char *bytes, size_t size, size_t count, void *context) {
    request_t *request = context;
    size_t room = size * count, left = request->len - request->sent;
    size_t len = left < room ? left : room;
    if (len) memcpy(bytes, request->data + request->sent, len);
    request->sent += len;
    return len;
}

/* Before it sends a body again, because an idle connection was closed or a login was asked for. */
static int seek_body(void *context, curl_off_t offset, int origin) {
    request_t *request = context;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > request->len) return CURL_SEEKFUNC_FAIL;
    request->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address) {
    (void)purpose;
    connection_t *connection = context;
    if (connection->socket_count == MAX_SOCKETS) return CURL_SOCKET_BAD;
    curl_socket_t made = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (made >= 0) connection->sockets[connection->socket_count++] = made;
    return made;
}

static int close_socket(void *context, curl_socket_t closed) {
    connection_t *connection = context;
    for (size_t i = 0; i < connection->socket_count; i++)
        if (connection->sockets[i] == closed)
            connection->sockets[i--] = connection->sockets[--connection->socket_count];
    return close(closed);
}

/* ---- connections ---- */

static void disconnect(connection_t *connection) {
    if (!connection) return;
    if (connection->pid != getpid()) {
        /* A TLS shutdown would end the session of the parent, which goes on: nothing may reach its sockets. */
        int nowhere = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (nowhere < 0) return; /* rather a leak */
        for (size_t i = 0; i < connection->socket_count; i++) dup3(nowhere, connection->sockets[i], O_CLOEXEC);
        close(nowhere);
    }
    curl_easy_cleanup(connection->easy);
    free(connection);
}

static CURLcode only_http(CURL *easy) {
#if LIBCURL_VERSION_NUM >= 0x075500
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    return curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
}

/* Sets what is the same for all requests. Returns whether it could be set. */
static bool set_up(const artifact_http_t *http, connection_t *connection) {
    const artifact_http_options_t *options = &http->options;
    CURL *easy = connection->easy;
    CURLcode code = only_http(easy);
#define SET(option, value) code = code ? code : curl_easy_setopt(easy, CURLOPT_##option, value)
    SET(NOSIGNAL, 1L);
    SET(MAXCONNECTS, 1L);
    SET(FOLLOWLOCATION, 0L);
    SET(CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    SET(TIMEOUT_MS, (long)options->request_timeout_ms);
    SET(PROXY, options->proxy ? options->proxy : "");
    SET(HTTPHEADER, http->headers);
    SET(USERAGENT, "libartifact-http/" ARTIFACT_VERSION_STRING);
    SET(HEADERFUNCTION, take_header);
    SET(WRITEFUNCTION, take_body);
    SET(READFUNCTION, give_body);
    SET(SEEKFUNCTION, seek_body);
    SET(OPENSOCKETFUNCTION, open_socket);
    SET(OPENSOCKETDATA, connection);
    SET(CLOSESOCKETFUNCTION, close_socket);
    SET(CLOSESOCKETDATA, connection);
    if (options->netrc_file) {
        SET(NETRC, (long)CURL_NETRC_REQUIRED);
        SET(NETRC_FILE, options->netrc_file);
    }
    if (options->ca_file) SET(CAINFO, options->ca_file);
    if (options->cert_file) {
        SET(SSLCERT, options->cert_file);
        SET(SSLKEY, options->key_file);
    }
    return code == CURLE_OK;
}

/* Returns an idle connection of this process or a new one; NULL if there is no memory. */
static connection_t *any_connection(artifact_http_t *http) {
    connection_t *connection;
    while ((connection = pool_take(&http->pool))) {
        if (connection->pid == getpid()) return connection;
        disconnect(connection);
    }
    connection = calloc(1, sizeof *connection);
    if (!connection) return NULL;
    connection->pid = getpid();
    connection->easy = curl_easy_init();
    if (connection->easy && set_up(http, connection)) return connection;
    disconnect(connection);
    return NULL;
}

/* ---- requests ---- */

static artifact_status_t failed(artifact_http_t *http, report_t report, const request_t *request, CURLcode code) {
    if (request->too_long || request->refused) gate_open(&http->gate);
    if (request->too_long)
        return say(report, ARTIFACT_LIMIT, "%s: expected at most %" PRIu64 " bytes, found more", http->server,
                   request->max_len);
    if (request->refused) return say(report, ARTIFACT_LIMIT, "the entry was refused by its receiver");
    if (code == CURLE_OUT_OF_MEMORY) return say(report, ARTIFACT_NO_MEMORY, "no memory for a request");
    gate_close(&http->gate, http->options.back_off_ms);
    return say(report, ARTIFACT_IO, "%s: a request failed: %s", http->server, curl_easy_strerror(code));
}

/* Sends a request. `code` receives the status of the answer. */
static artifact_status_t perform(artifact_http_t *http, const char *name, request_t *request, report_t report,
                                 long *code) {
    connection_t *connection = any_connection(http);
    size_t base = strlen(http->options.url), size = base + 1 + NAME_LEN + 1;
    char *url = malloc(size);
    if (!connection || !url) {
        disconnect(connection);
        free(url);
        return say(report, ARTIFACT_NO_MEMORY, "no memory for a request");
    }
    snprintf(url, size, "%s/%s", http->options.url, name);
    CURL *easy = request->easy = connection->easy;
    request->talk = MAX_TALK;
    bool put = request->data;
    CURLcode failure = curl_easy_setopt(easy, put ? CURLOPT_UPLOAD : CURLOPT_HTTPGET, 1L);
#define EACH(option, value) failure = failure ? failure : curl_easy_setopt(easy, CURLOPT_##option, value)
    EACH(URL, url);
    EACH(INFILESIZE_LARGE, put ? (curl_off_t)request->len : (curl_off_t)-1);
    EACH(HEADERDATA, request);
    EACH(WRITEDATA, request);
    EACH(READDATA, request);
    EACH(SEEKDATA, request);
    if (!failure) failure = curl_easy_perform(easy);
    free(url);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, code);
    if (failure) {
        disconnect(connection);
        return failed(http, report, request, failure);
    }
    if (!pool_give(&http->pool, connection)) disconnect(connection);
    gate_open(&http->gate);
    return ARTIFACT_OK;
}

static artifact_status_t run(artifact_http_t *http, const char *name, request_t *request, report_t report, long *code) {
    if (!is_name(name))
        return say(report, ARTIFACT_INVALID_ARGUMENT, "name: expected %d lower-case hex digits", NAME_LEN);
    int64_t left;
    uint32_t back_off = http->options.back_off_ms;
    if ((request->data && !gate_passes(&http->stores, back_off, &left)) || !gate_passes(&http->gate, back_off, &left)) {
        return say(report, ARTIFACT_IO, "%s: not asked for another %" PRId64 " ms, because it failed", http->server,
                   left);
    }
    sigpipe_t held = sigpipe_hold();
    artifact_status_t status = perform(http, name, request, report, code);
    sigpipe_release(&held);
    return status;
}

static uint32_t get(void *context, const char *name, uint64_t max_len, artifact_write_fn write, void *write_context,
                    char *message, size_t message_len) {
    artifact_http_t *http = context;
    report_t report = report_to(message, message_len);
    request_t request = {.write = write, .write_context = write_context, .max_len = max_len};
    long code = 0;
    artifact_status_t status = run(http, name, &request, report, &code);
    if (status || code == 200) return status;
    if (code == 404 || code == 410) return say(report, ARTIFACT_NOT_FOUND, "%s: has no entry %s", http->server, name);
    gate_close(&http->gate, http->options.back_off_ms);
    return say(report, ARTIFACT_IO, "%s: expected an entry, found HTTP status %ld", http->server, code);
}

static uint32_t put(void *context, const char *name, const uint8_t *data, size_t len, char *message,
                    size_t message_len) {
    artifact_http_t *http = context;
    report_t report = report_to(message, message_len);
    request_t request = {.data = data ? data : (const uint8_t *)"", .len = len};
    long code = 0;
    artifact_status_t status = run(http, name, &request, report, &code);
    if (status) return status;
    if (code == 200 || code == 201 || code == 202 || code == 204) {
        gate_open(&http->stores);
        return ARTIFACT_OK;
    }
    if (code == 413) return say(report, ARTIFACT_LIMIT, "%s: takes no entry of %zu bytes", http->server, len);
    gate_close(&http->stores, http->options.back_off_ms);
    return say(report, ARTIFACT_IO, "%s: the server refused: HTTP status %ld", http->server, code);
}

/* ---- the remote ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode initialized;
static void initialize(void) { initialized = curl_global_init(CURL_GLOBAL_DEFAULT); }

static bool has_part(CURLU *url, CURLUPart part) {
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;
    curl_free(text);
    return has;
}

static artifact_status_t check_url(artifact_http_t *http, CURLU *url, report_t report) {
    char *scheme = NULL, *shown = NULL;
    CURLUcode code = url ? curl_url_set(url, CURLUPART_URL, http->options.url, 0) : CURLUE_OUT_OF_MEMORY;
    if (!code) code = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0);
    bool https = scheme && !strcmp(scheme, "https"), plain = scheme && !strcmp(scheme, "http");
    curl_free(scheme);
    if (code == CURLUE_OUT_OF_MEMORY) return say(report, ARTIFACT_NO_MEMORY, "no memory for a remote");
    if (code || !(https || plain) || has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT))
        return say(report, ARTIFACT_INVALID_ARGUMENT, "url: expected http or https, without query and fragment");
    if (https && !(curl_version_info(CURLVERSION_NOW)->features & CURL_VERSION_SSL))
        return say(report, ARTIFACT_UNSUPPORTED, "url: this libcurl has no TLS");
    curl_url_set(url, CURLUPART_USER, NULL, 0);
    curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
    if (!curl_url_get(url, CURLUPART_URL, &shown, 0)) http->server = strdup(shown);
    curl_free(shown);
    return http->server ? ARTIFACT_OK : say(report, ARTIFACT_NO_MEMORY, "no memory for a remote");
}

static artifact_status_t check(const artifact_http_options_t *options, report_t report) {
    if (options->flags) return say(report, ARTIFACT_UNSUPPORTED, "flags: unknown flags");
    if (!options->url) return say(report, ARTIFACT_INVALID_ARGUMENT, "url is NULL");
    if (options->idle_connections > MAX_IDLE)
        return say(report, ARTIFACT_INVALID_ARGUMENT, "idle_connections: expected at most %d", MAX_IDLE);
    if (options->connect_timeout_ms > INT32_MAX || options->request_timeout_ms > INT32_MAX)
        return say(report, ARTIFACT_INVALID_ARGUMENT, "timeouts: expected at most %" PRId32, INT32_MAX);
    if (!options->cert_file != !options->key_file)
        return say(report, ARTIFACT_INVALID_ARGUMENT, "cert_file, key_file: expected both or none");
    if (options->header_count && !options->headers) return say(report, ARTIFACT_INVALID_ARGUMENT, "headers is NULL");
    for (size_t i = 0; i < options->header_count; i++) {
        const char *header = options->headers[i];
        if (!header || !strchr(header, ':') || strpbrk(header, "\r\n"))
            return say(report, ARTIFACT_INVALID_ARGUMENT, "headers[%zu]: expected one line with a colon", i);
    }
    return ARTIFACT_OK;
}

static bool add_header(artifact_http_t *http, const char *header) {
    struct curl_slist *longer = curl_slist_append(http->headers, header);
    if (longer) http->headers = longer;
    return longer;
}

/* Replaces what options point at by copies, and zeros by defaults. */
static bool complete(artifact_http_t *http) {
    artifact_http_options_t *options = &http->options;
    const char **const strings[] = {&options->url,     &options->netrc_file, &options->proxy,
                                    &options->ca_file, &options->cert_file,  &options->key_file};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++) {
        if (!copy_string(&http->strings[i], *strings[i], NULL)) return false;
        *strings[i] = http->strings[i];
    }
    char *url = http->strings[0];
    for (size_t len = strlen(url); len && url[len - 1] == '/'; len--) url[len - 1] = 0;
    /* Without this, libcurl waits for a second before it sends to a server that doesn't know "100 Continue". */
    if (!add_header(http, "Expect:")) return false;
    for (size_t i = 0; i < options->header_count; i++)
        if (!add_header(http, options->headers[i])) return false;
    options->headers = NULL;
    options->connect_timeout_ms = or_default(options->connect_timeout_ms, 1000);
    options->request_timeout_ms = or_default(options->request_timeout_ms, 10000);
    options->back_off_ms = or_default(options->back_off_ms, 60000);
    return pool_new(&http->pool, or_default(options->idle_connections, 8));
}

EXPORTED artifact_status_t artifact_http_new(const artifact_http_options_t *options, artifact_http_t **http,
                                             char *message, size_t message_len) {
    report_t report = report_to(message, message_len);
    if (!http) return say(report, ARTIFACT_INVALID_ARGUMENT, "http is NULL");
    *http = NULL;
    if (!options) return say(report, ARTIFACT_INVALID_ARGUMENT, "options is NULL");
    pthread_once(&once, initialize);
    artifact_http_t *made = initialized ? NULL : calloc(1, sizeof *made);
    if (!made) return say(report, ARTIFACT_NO_MEMORY, "no memory for a remote");
    artifact_status_t status = copy_options(&made->options, sizeof made->options, options, report);
    if (!status) status = check(&made->options, report);
    if (!status) {
        CURLU *url = curl_url();
        status = check_url(made, url, report);
        curl_url_cleanup(url);
    }
    if (!status && !complete(made)) status = say(report, ARTIFACT_NO_MEMORY, "no memory for a remote");
    if (status) {
        artifact_http_free(made);
        return status;
    }
    made->remote = (artifact_cache_remote_t){sizeof made->remote, made, get, put};
    *http = made;
    return ARTIFACT_OK;
}

EXPORTED const artifact_cache_remote_t *artifact_http_remote(const artifact_http_t *http) {
    return http ? &http->remote : NULL;
}

EXPORTED void artifact_http_free(artifact_http_t *http) {
    if (!http) return;
    sigpipe_t held = sigpipe_hold();
    for (connection_t *connection; http->pool.idle && (connection = pool_take(&http->pool));) disconnect(connection);
    sigpipe_release(&held);
    free(http->pool.idle);
    curl_slist_free_all(http->headers);
    for (size_t i = 0; i < sizeof http->strings / sizeof *http->strings; i++) free(http->strings[i]);
    free(http->server);
    free(http);
}
