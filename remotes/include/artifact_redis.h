/*
 * libartifact-redis: a Redis or Valkey server as the remote of a code cache. remotes/README.md says how to set up the
 * server, what happens when it fails, and whom to trust.
 *
 * Link with `cc program.c $(pkg-config --cflags --libs artifact-redis)`.
 */
#ifndef ARTIFACT_REDIS_H
#define ARTIFACT_REDIS_H

#include <artifact.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A server, and the connections to it. Any number of threads may use it at once. */
typedef struct artifact_redis_t artifact_redis_t;

/**
 * Connect with TLS. The server's certificate must be signed by an authority of ca_file, or of the system, and be made
 * out to host. Without hiredis 1.0 and hiredis_ssl, artifact_redis_new() returns ARTIFACT_UNSUPPORTED.
 */
#define ARTIFACT_REDIS_TLS UINT64_C(1)

/** Initializes options with the defaults: `artifact_redis_options_t options = ARTIFACT_REDIS_OPTIONS_INIT;` */
#define ARTIFACT_REDIS_OPTIONS_INIT                                                                                    \
    { sizeof(artifact_redis_options_t), 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0 }

/** How to use a server. Begin with ARTIFACT_REDIS_OPTIONS_INIT. Strings are copied. */
typedef struct artifact_redis_options_t {
    /** sizeof(artifact_redis_options_t). */
    size_t size;
    /** ARTIFACT_REDIS_TLS, or 0. */
    uint64_t flags;
    /** The server's name or address; NULL is 127.0.0.1. */
    const char *host;
    /** The path of the server's Unix socket, which is used instead of host and port; NULL for none. */
    const char *unix_path;
    /** The user to log in as (Redis 6 or newer), who must have a password; NULL is the server's default user. */
    const char *user;
    /** The password; NULL for no login. */
    const char *password;
    /** What keys begin with; NULL is "artifact:". */
    const char *prefix;
    /** With TLS: a PEM file of the authorities to trust; NULL for the system's. */
    const char *ca_file;
    /** With TLS: a PEM file of the certificate to present, and those of its authorities; NULL for none. */
    const char *cert_file;
    /** The PEM file of that certificate's private key; NULL if there is no certificate. */
    const char *key_file;
    /** The server's port; 0 is 6379. At most 65535. */
    uint32_t port;
    /** The number of the database. */
    uint32_t database;
    /** Seconds after which the server forgets what is stored now; 0 leaves that to its own policy. */
    uint32_t ttl_s;
    /** Milliseconds for connecting, which includes TLS and login; 0 is 1000. */
    uint32_t connect_timeout_ms;
    /** Milliseconds for a request, all bytes included; 0 is 10000. */
    uint32_t request_timeout_ms;
    /** Milliseconds for which the server isn't asked after a failure; 0 is 60000. */
    uint32_t back_off_ms;
    /** How many connections stay open between requests; 0 is 8. At most 1024. */
    uint32_t idle_connections;
} artifact_redis_options_t;

/**
 * Makes a remote. It connects when it is first used.
 *
 * @param options The options; NULL for the defaults.
 * @param redis Receives the remote, which you own; NULL after a failure.
 * @param message Receives a sentence after a failure, and an empty string otherwise; may be NULL.
 * @param message_len The size of message in bytes. A sentence that is longer is cut off.
 * @return ARTIFACT_OK; ARTIFACT_INVALID_ARGUMENT if redis is NULL or an option is out of range; ARTIFACT_UNSUPPORTED
 * for an option that this library doesn't know, or TLS where it has none; ARTIFACT_IO if a certificate can't be read;
 * ARTIFACT_NO_MEMORY.
 */
artifact_status_t artifact_redis_new(const artifact_redis_options_t *options, artifact_redis_t **redis, char *message,
                                     size_t message_len);

/**
 * Returns the two functions, for the options of artifact_cache_open().
 *
 * @param redis The remote; NULL gives NULL.
 * @return Borrowed from redis.
 */
const artifact_cache_remote_t *artifact_redis_remote(const artifact_redis_t *redis);

/**
 * Frees a remote and closes its connections. No cache may use it any more.
 *
 * @param redis The remote, or NULL.
 */
void artifact_redis_free(artifact_redis_t *redis);

#ifdef __cplusplus
}
#endif

#endif
