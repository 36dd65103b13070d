/* Helpers for tests of signatures: keys, and signed artifacts. Include it after support.h. */
#ifndef SIGNED_H
#define SIGNED_H
#include "image.h"
#include "support.h"

static inline artifact_key_t *new_key(void) {
    artifact_key_t *key = GARBAGE;
    CHECK_OK(artifact_key_generate(&key, &error));
    CHECK(key);
    return key;
}

static inline artifact_public_key_t public_of(const artifact_key_t *key) {
    artifact_public_key_t public_key;
    CHECK_OK(artifact_key_public(key, &public_key, &error));
    return public_key;
}

static inline bool same_key(artifact_public_key_t a, artifact_public_key_t b) { return memcmp(&a, &b, sizeof a) == 0; }

static inline void trust(artifact_engine_t *engine, const artifact_key_t *key) {
    artifact_public_key_t public_key = public_of(key);
    artifact_buffer_t *pem = GARBAGE;
    CHECK_OK(artifact_public_key_to_pem(&public_key, &pem, &error));
    CHECK_OK(artifact_engine_trust_key(engine, (const char *)artifact_buffer_data(pem), &error));
    artifact_buffer_free(pem);
}

/* Returns a builder of three modules with different alignments. It borrows `elfs`. */
static inline artifact_builder_t *builder_of(bytes_t elfs[3]) {
    static const uint64_t aligns[3] = {64, 4096, 65536};
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    for (size_t i = 0; i < 3; i++) {
        elfs[i] = make_elf((shape_t){.align = aligns[i]});
        CHECK_OK(artifact_builder_add_module(builder, elfs[i].data, elfs[i].len, NULL, &error));
    }
    artifact_engine_free(engine);
    return builder;
}

/* Returns an artifact signed with these keys. If there are none and `plain` is set, it has no trailer. */
static inline bytes_t make(const artifact_key_t *const *keys, size_t count, bool plain) {
    bytes_t elfs[3];
    artifact_builder_t *builder = builder_of(elfs);
    for (size_t i = 0; i < count; i++) CHECK_OK(artifact_builder_add_key(builder, keys[i], &error));
    if (plain) CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
    bytes_t bytes = serialize(builder);
    artifact_builder_free(builder);
    for (size_t i = 0; i < 3; i++) bytes_free(&elfs[i]);
    return bytes;
}

/* Returns an artifact signed with a new key, and makes the engine trust that key. */
static inline bytes_t make_trusted(artifact_engine_t *engine) {
    artifact_key_t *key = new_key();
    const artifact_key_t *keys[] = {key};
    bytes_t bytes = make(keys, 1, false);
    trust(engine, key);
    artifact_key_free(key);
    return bytes;
}

#define CHECK_UNTRUSTED(bytes, engine, words)                                                                          \
    do {                                                                                                               \
        artifact_t *refused_ = GARBAGE;                                                                                \
        CHECK_FAILS(artifact_open_bytes((bytes).data, (bytes).len, engine, NULL, &refused_, &error),                   \
                    ARTIFACT_UNTRUSTED, words);                                                                        \
        CHECK(refused_ == NULL);                                                                                       \
    } while (0)

#endif
