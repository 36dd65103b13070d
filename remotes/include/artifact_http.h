/*
 * libartifact-http: an HTTP server with GET and PUT as the remote of a code cache. remotes/README.md says how to set up
 * the server, what happens when it fails, and whom to trust.
 *
 * Link with `cc program.c $(pkg-config --cflags --libs artifact-http)`.
 */
#ifndef ARTIFACT_HTTP_H
#define ARTIFACT_HTTP_H

#include <artifact.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A server, and the connections to it. Any number of threads may use it at once. */
typedef struct artifact_http_t artifact_http_t;

/** Initializes options with the defaults: `artifact_http_options_t options = ARTIFACT_HTTP_OPTIONS_INIT;` */
#define ARTIFACT_HTTP_OPTIONS_INIT                                                                                     \
    { sizeof(artifact_http_options_t), 0, NULL, NULL, 0, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0 }

/** How to use a server. Begin with ARTIFACT_HTTP_OPTIONS_INIT. Strings are copied. */
typedef struct artifact_http_options_t {
    /** sizeof(artifact_http_options_t). */
    size_t size;
    /** 0. */
    uint64_t flags;
    /**
     * What the URL of an entry begins with: http or https, without query and fragment. "/" and 64 hex digits are added.
     * It may contain user and password. Must not be NULL.
     */
    const char *url;
    /** Headers to send with each request, such as "Authorization: Bearer …"; NULL for none. */
    const char *const *headers;
    /** The number of headers. */
    size_t header_count;
    /** A file in the format of netrc with user and password for the server; NULL for none. */
    const char *netrc_file;
    /** The URL of a proxy; NULL for none: the environment isn't asked. */
    const char *proxy;
    /** With https: a PEM file of the authorities to trust; NULL for the system's. */
    const char *ca_file;
    /** With https: a PEM file of the certificate to present; NULL for none. */
    const char *cert_file;
    /** The PEM file of that certificate's private key; NULL if there is no certificate. */
    const char *key_file;
    /** Milliseconds for connecting, which includes TLS; 0 is 1000. */
    uint32_t connect_timeout_ms;
    /** Milliseconds for a request, connecting and all bytes included; 0 is 10000. */
    uint32_t request_timeout_ms;
    /** Milliseconds for which the server isn't asked after a failure; 0 is 60000. */
    uint32_t back_off_ms;
    /** How many connections stay open between requests; 0 is 8. At most 1024. */
    uint32_t idle_connections;
} artifact_http_options_t;

/**
 * Makes a remote. It connects when it is first used. The first call in a process calls curl_global_init(): with libcurl
 * before 7.84, no other thread may use libcurl meanwhile.
 *
 * @param options The options.
 * @param http Receives the remote, which you own; NULL after a failure.
 * @param message Receives a sentence after a failure, and an empty string otherwise; may be NULL.
 * @param message_len The size of message in bytes. A sentence that is longer is cut off.
 * @return ARTIFACT_OK; ARTIFACT_INVALID_ARGUMENT if options or http is NULL, there is no URL of that form, a header has
 * no colon or more than one line, or a number is out of range; ARTIFACT_UNSUPPORTED for an option that this library
 * doesn't know, or https where libcurl has no TLS; ARTIFACT_NO_MEMORY.
 */
artifact_status_t artifact_http_new(const artifact_http_options_t *options, artifact_http_t **http, char *message,
                                    size_t message_len);

/**
 * Returns the two functions, for the options of artifact_cache_open().
 *
 * @param http The remote; NULL gives NULL.
 * @return Borrowed from http.
 */
const artifact_cache_remote_t *artifact_http_remote(const artifact_http_t *http);

/**
 * Frees a remote and closes its connections. No cache may use it any more.
 *
 * @param http The remote, or NULL.
 */
void artifact_http_free(artifact_http_t *http);

#ifdef __cplusplus
}
#endif

#endif
