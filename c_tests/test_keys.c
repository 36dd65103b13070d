/* Keys: PEM, files, and the trusted keys of an engine. */
#include "check.h"
#include "signed.h"

/* RFC 8032, 7.1, test 1: the seed as openssl writes it, and the public key. */
#define KNOWN_PRIVATE                                                                                                  \
    "-----BEGIN PRIVATE KEY-----\n"                                                                                    \
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"                                               \
    "-----END PRIVATE KEY-----\n"

TEST(keys_round_trip_through_pem) {
    artifact_key_t *key = GARBAGE, *again = GARBAGE;
    artifact_buffer_t *pem = GARBAGE;
    CHECK_OK(artifact_key_from_pem(KNOWN_PRIVATE, &key, &error));
    CHECK_OK(artifact_key_to_pem(key, &pem, &error));
    CHECK_STR((const char *)artifact_buffer_data(pem), KNOWN_PRIVATE);
    CHECK(artifact_buffer_len(pem) == strlen(KNOWN_PRIVATE));
    artifact_buffer_free(pem);
    artifact_public_key_t known = public_of(key), back;
    CHECK(known.bytes[0] == 0xd7 && known.bytes[1] == 0x5a && known.bytes[31] == 0x1a);
    CHECK_OK(artifact_public_key_to_pem(&known, &pem, &error));
    CHECK(strncmp((const char *)artifact_buffer_data(pem), "-----BEGIN PUBLIC KEY-----\n", 27) == 0);
    CHECK_OK(artifact_public_key_from_pem((const char *)artifact_buffer_data(pem), &back, &error));
    CHECK(same_key(known, back));
    CHECK_FAILS(artifact_key_from_pem((const char *)artifact_buffer_data(pem), &again, &error),
                ARTIFACT_INVALID_ARGUMENT, "PRIVATE KEY");
    CHECK(again == NULL);
    artifact_buffer_free(pem);
    artifact_key_free(key);
    artifact_key_free(NULL);
}

TEST(keys_refuse_invalid_pem) {
    artifact_public_key_t key = {{1}}, weak = {{1}};
    CHECK_FAILS(artifact_public_key_from_pem("", &key, &error), ARTIFACT_INVALID_ARGUMENT, "PUBLIC KEY");
    CHECK(key.bytes[0] == 0);
    CHECK_FAILS(artifact_public_key_from_pem(KNOWN_PRIVATE, &key, &error), ARTIFACT_INVALID_ARGUMENT, "PUBLIC KEY");
    /* The neutral element: signatures that verify with it prove nothing. */
    static const char small_order[] = "-----BEGIN PUBLIC KEY-----\n"
                                      "MCowBQYDK2VwAyEAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
                                      "-----END PUBLIC KEY-----\n";
    CHECK_FAILS(artifact_public_key_from_pem(small_order, &key, &error), ARTIFACT_INVALID_ARGUMENT, "small order");
    artifact_engine_t *engine = plain_engine();
    CHECK_FAILS(artifact_engine_trust_key(engine, small_order, &error), ARTIFACT_INVALID_ARGUMENT, "small order");
    CHECK(artifact_engine_trusted_key_count(engine) == 0);
    artifact_buffer_t *pem = GARBAGE;
    CHECK_FAILS(artifact_public_key_to_pem(&weak, &pem, &error), ARTIFACT_INVALID_ARGUMENT, "small order");
    CHECK(pem == NULL);
    artifact_engine_free(engine);
}

TEST(key_files_are_private_and_never_replaced) {
    artifact_key_t *key = new_key(), *other = new_key();
    CHECK(!same_key(public_of(key), public_of(other)));
    char path[4096];
    snprintf(path, sizeof path, "%s", scratch("key.pem"));
    CHECK_OK(artifact_key_save(key, path, &error));
    struct stat stat_;
    CHECK(stat(path, &stat_) == 0 && (stat_.st_mode & 0777) == 0600);
    artifact_error_t *error = NULL;
    CHECK_STATUS(artifact_key_save(other, path, &error), ARTIFACT_IO);
    CHECK(artifact_error_errno(error) == EEXIST);
    artifact_error_free(error);
    CHECK(count_entries(check_folder) == 1);
    bytes_t pem = read_file(path);
    add_u8(&pem, 0);
    artifact_key_t *again = GARBAGE;
    CHECK_OK(artifact_key_from_pem((const char *)pem.data, &again, &error));
    CHECK(same_key(public_of(again), public_of(key)));
    bytes_free(&pem);
    artifact_key_free(key), artifact_key_free(other), artifact_key_free(again);
}

TEST(engines_list_the_keys_they_trust) {
    artifact_engine_t *engine = plain_engine();
    artifact_key_t *a = new_key(), *b = new_key();
    uint8_t before[32], after[32];
    CHECK_OK(artifact_engine_fingerprint(engine, before, &error));
    trust(engine, a), trust(engine, b), trust(engine, a);
    CHECK(artifact_engine_trusted_key_count(engine) == 2);
    CHECK(artifact_engine_trusted_key_count(NULL) == 0);
    CHECK_OK(artifact_engine_fingerprint(engine, after, &error));
    CHECK(memcmp(before, after, 32) == 0);
    artifact_public_key_t first, second, none = {{1}};
    CHECK_OK(artifact_engine_trusted_key_at(engine, 0, &first, &error));
    CHECK_OK(artifact_engine_trusted_key_at(engine, 1, &second, &error));
    CHECK(memcmp(&first, &second, 32) < 0);
    CHECK(same_key(first, public_of(a)) || same_key(second, public_of(a)));
    CHECK_FAILS(artifact_engine_trusted_key_at(engine, 2, &none, &error), ARTIFACT_NOT_FOUND, "below 2");
    CHECK(none.bytes[0] == 0);
    /* JSON and clones include them. */
    artifact_buffer_t *json = GARBAGE;
    artifact_engine_t *again = GARBAGE, *clone = artifact_engine_clone(engine);
    CHECK_OK(artifact_engine_to_json(engine, &json, &error));
    CHECK_OK(artifact_engine_from_json((const char *)artifact_buffer_data(json), &again, &error));
    CHECK(artifact_engine_trusted_key_count(again) == 2 && artifact_engine_trusted_key_count(clone) == 2);
    artifact_buffer_free(json);
    artifact_engine_free(engine), artifact_engine_free(again), artifact_engine_free(clone);
    artifact_key_free(a), artifact_key_free(b);
}
