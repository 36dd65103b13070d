/* Signatures, in the file or detached, and engines that require them. */
#include "check.h"
#include "signed.h"

TEST(signed_artifacts_open_with_a_trusted_key) {
    artifact_key_t *a = new_key(), *b = new_key(), *c = new_key();
    const artifact_key_t *both[] = {a, b};
    bytes_t one = make(both, 1, false), two = make(both, 2, false), again = make(both, 2, false);
    CHECK(same_bytes(two.data, two.len, again.data, again.len));
    CHECK(two.len == one.len + 96);
    artifact_engine_t *trusts_b = plain_engine(), *trusts_b_c = plain_engine(), *trusts_c = plain_engine();
    trust(trusts_b, b), trust(trusts_b_c, b), trust(trusts_b_c, c), trust(trusts_c, c);

    artifact_t *artifact = open_bytes(&two, trusts_b_c);
    artifact_public_key_t signer, claimed;
    CHECK_OK(artifact_signed_by(artifact, &signer, &error));
    CHECK(same_key(signer, public_of(b)));
    CHECK(artifact_integrity(artifact) == ARTIFACT_INTEGRITY_SIGNED);
    CHECK(artifact_signature_count(artifact) == 2);
    CHECK_OK(artifact_signature_at(artifact, 0, &claimed, &error));
    CHECK(same_key(claimed, public_of(a)));
    CHECK_FAILS(artifact_signature_at(artifact, 2, &claimed, &error), ARTIFACT_NOT_FOUND, "below 2");
    CHECK_OK(artifact_check_compat(artifact, trusts_b_c, &error));
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_verify(artifact, &report, &error));
    artifact_report_free(report);
    artifact_free(artifact);

    CHECK_UNTRUSTED(one, trusts_b, "one of another key");
    CHECK_UNTRUSTED(two, trusts_c, "2 of other keys");
    artifact_free(open_bytes(&two, trusts_b));

    /* An engine without trusted keys opens it, and no signer is known. */
    artifact = open_bytes(&one, NULL);
    CHECK(artifact_integrity(artifact) == ARTIFACT_INTEGRITY_DIGESTS);
    CHECK(artifact_signature_count(artifact) == 1);
    CHECK_FAILS(artifact_signed_by(artifact, &signer, &error), ARTIFACT_NOT_FOUND, "trusts a key");
    CHECK(signer.bytes[0] == 0 && signer.bytes[31] == 0);
    artifact_free(artifact);

    artifact_engine_free(trusts_b), artifact_engine_free(trusts_b_c), artifact_engine_free(trusts_c);
    artifact_key_free(a), artifact_key_free(b), artifact_key_free(c);
    bytes_free(&one), bytes_free(&two), bytes_free(&again);
}

TEST(unsigned_artifacts_are_untrusted_before_other_checks) {
    artifact_key_t *key = new_key();
    bytes_t with = make(NULL, 0, false), without = make(NULL, 0, true);
    artifact_engine_t *engine = plain_engine();
    CHECK_OK(artifact_engine_set_producer(engine, "somebody", &error)); /* otherwise WRONG_PRODUCER */
    trust(engine, key);
    CHECK_UNTRUSTED(with, engine, "found none");
    CHECK_UNTRUSTED(without, engine, "without a trailer");
    bytes_t foreign = bytes_copy("no artifact at all", 18);
    CHECK_UNTRUSTED(foreign, engine, "without a trailer");
    /* Even if the bytes that a signature would cover are damaged. */
    with.data[with.len - 64 - 256 - 300] ^= 1;
    CHECK_UNTRUSTED(with, engine, "found none");
    artifact_engine_free(engine);
    artifact_key_free(key);
    bytes_free(&with), bytes_free(&without), bytes_free(&foreign);
}

/* The offset of the signature in a signed artifact: before the footer. */
static uint8_t *signature_in(bytes_t *bytes) { return bytes->data + bytes->len - 64 - 96; }

TEST(forged_signatures_are_found) {
    artifact_key_t *key = new_key(), *mallory = new_key();
    const artifact_key_t *keys[] = {key, mallory};
    artifact_engine_t *engine = plain_engine();
    trust(engine, key);
    /* A signature by another key in the name of the trusted key. Saving it again recomputes the digest in the footer.
     */
    bytes_t mine = make(keys, 1, false), theirs = make(keys + 1, 1, false);
    CHECK(memcmp(signature_in(&mine), public_of(key).bytes, 32) == 0);
    for (size_t bit = 0; bit < 96 * 8; bit++) {
        bytes_t bad = bytes_copy(mine.data, mine.len);
        signature_in(&bad)[bit / 8] ^= (uint8_t)(1 << bit % 8);
        artifact_t *artifact = GARBAGE;
        CHECK_FAILS(artifact_open_bytes(bad.data, bad.len, engine, NULL, &artifact, &error), ARTIFACT_DIGEST_MISMATCH,
                    "footer");
        bytes_free(&bad);
    }
    CHECK_UNTRUSTED(theirs, engine, "one of another key");
    artifact_engine_free(engine);
    artifact_key_free(key), artifact_key_free(mallory);
    bytes_free(&mine), bytes_free(&theirs);
}

TEST(signatures_made_elsewhere_can_be_added) {
    bytes_t elfs[3];
    artifact_builder_t *builder = builder_of(elfs);
    artifact_key_t *key = new_key(), *other = new_key();
    artifact_public_key_t public_key = public_of(key), wrong = public_of(other);
    artifact_buffer_t *record = GARBAGE;
    CHECK_OK(artifact_root_record(builder, &record, &error));
    CHECK(artifact_buffer_len(record) == 256);
    CHECK(sizeof ARTIFACT_SIGNATURE_CONTEXT == 24);

    /* A detached signature of the same artifact signs the same record, so it can play the part of a hardware key. */
    bytes_t bytes = serialize(builder);
    artifact_t *artifact = open_bytes(&bytes, NULL);
    artifact_buffer_t *detached = GARBAGE, *same = GARBAGE;
    CHECK_OK(artifact_detached_record(artifact, &same, &error));
    CHECK(same_bytes(artifact_buffer_data(record), 256, artifact_buffer_data(same), artifact_buffer_len(same)));
    CHECK_OK(artifact_sign(artifact, key, &detached, &error));
    CHECK(artifact_buffer_len(detached) == 96);
    const uint8_t *signature = artifact_buffer_data(detached) + 32;

    CHECK_FAILS(artifact_builder_add_signature(builder, &wrong, signature, 64, &error), ARTIFACT_INVALID_ARGUMENT,
                "root record");
    CHECK_FAILS(artifact_builder_add_signature(builder, &public_key, signature, 63, &error), ARTIFACT_INVALID_ARGUMENT,
                "64 bytes|63");
    CHECK_OK(artifact_builder_add_signature(builder, &public_key, signature, 64, &error));
    bytes_t signed_bytes = serialize(builder);
    artifact_engine_t *engine = plain_engine();
    trust(engine, key);
    artifact_free(open_bytes(&signed_bytes, engine));

    /* It does not match the artifact that the builder makes after a change. */
    CHECK_OK(artifact_builder_set_attribute(builder, "a", NULL, 0, &error));
    artifact_buffer_t *buffer = GARBAGE;
    CHECK_FAILS(artifact_serialize(builder, &buffer, &error), ARTIFACT_INVALID_ARGUMENT, "changed since");
    CHECK(buffer == NULL);
    CHECK_OK(artifact_builder_clear_signatures(builder, &error));
    bytes_t unsigned_bytes = serialize(builder);
    CHECK_UNTRUSTED(unsigned_bytes, engine, "found none");

    artifact_buffer_free(record), artifact_buffer_free(same), artifact_buffer_free(detached);
    artifact_free(artifact);
    artifact_engine_free(engine);
    artifact_key_free(key), artifact_key_free(other);
    artifact_builder_free(builder);
    for (size_t i = 0; i < 3; i++) bytes_free(&elfs[i]);
    bytes_free(&bytes), bytes_free(&signed_bytes), bytes_free(&unsigned_bytes);
}

TEST(signatures_need_a_trailer) {
    bytes_t elfs[3];
    artifact_builder_t *builder = builder_of(elfs);
    artifact_key_t *key = new_key();
    CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
    CHECK_FAILS(artifact_builder_add_key(builder, key, &error), ARTIFACT_INVALID_ARGUMENT, "trailer");
    artifact_buffer_t *record = GARBAGE;
    CHECK_FAILS(artifact_root_record(builder, &record, &error), ARTIFACT_INVALID_ARGUMENT, "trailer");
    CHECK(record == NULL);
    CHECK_OK(artifact_builder_set_trailer(builder, true, &error));
    CHECK_OK(artifact_builder_add_key(builder, key, &error));
    CHECK_FAILS(artifact_builder_set_trailer(builder, false, &error), ARTIFACT_INVALID_ARGUMENT, "keys");
    for (size_t i = 1; i < 64; i++) {
        artifact_key_t *another = new_key();
        CHECK_OK(artifact_builder_add_key(builder, another, &error));
        artifact_key_free(another);
    }
    artifact_key_t *last = new_key();
    CHECK_FAILS(artifact_builder_add_key(builder, last, &error), ARTIFACT_LIMIT, "64");
    CHECK_OK(artifact_builder_add_key(builder, key, &error)); /* there is a trailer */
    bytes_t bytes = serialize(builder);
    artifact_t *artifact = open_bytes(&bytes, NULL);
    CHECK(artifact_signature_count(artifact) == 64);
    artifact_free(artifact);
    artifact_key_free(key), artifact_key_free(last);
    artifact_builder_free(builder);
    for (size_t i = 0; i < 3; i++) bytes_free(&elfs[i]);
    bytes_free(&bytes);
}

TEST(rewritten_artifacts_keep_valid_signatures) {
    artifact_key_t *a = new_key(), *b = new_key();
    const artifact_key_t *keys[] = {a};
    bytes_t bytes = make(keys, 1, false);
    artifact_t *artifact = open_bytes(&bytes, NULL);
    artifact_builder_t *builder = NULL;
    CHECK_OK(artifact_builder_new_from_artifact(artifact, &builder, &error));
    bytes_t same = serialize(builder);
    CHECK(same_bytes(same.data, same.len, bytes.data, bytes.len));
    CHECK_OK(artifact_builder_add_key(builder, b, &error));
    bytes_t both = serialize(builder);
    artifact_t *opened = open_bytes(&both, NULL);
    CHECK(artifact_signature_count(opened) == 2);
    CHECK_OK(artifact_builder_set_attribute(builder, "a", NULL, 0, &error));
    bytes_t changed = serialize(builder);
    artifact_t *other = open_bytes(&changed, NULL);
    CHECK(artifact_signature_count(other) == 1);
    artifact_engine_t *engine = plain_engine();
    trust(engine, a);
    artifact_free(open_bytes(&both, engine));
    CHECK_UNTRUSTED(changed, engine, "one of another key");
    artifact_engine_free(engine);
    artifact_free(artifact), artifact_free(opened), artifact_free(other);
    artifact_builder_free(builder);
    artifact_key_free(a), artifact_key_free(b);
    bytes_free(&bytes), bytes_free(&same), bytes_free(&both), bytes_free(&changed);
}

static artifact_status_t open_detached(const bytes_t *bytes, const artifact_engine_t *engine, const uint8_t *signature,
                                       size_t len, artifact_t **artifact, artifact_error_t **error) {
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.signature = signature;
    options.signature_len = len;
    return artifact_open_bytes(bytes->data, bytes->len, engine, &options, artifact, error);
}

TEST(detached_signatures_cover_files_as_they_are) {
    artifact_key_t *key = new_key(), *other = new_key();
    artifact_engine_t *engine = plain_engine();
    trust(engine, key);
    for (int plain = 0; plain < 2; plain++) {
        bytes_t bytes = make(NULL, 0, plain != 0);
        artifact_t *artifact = open_bytes(&bytes, NULL);
        artifact_buffer_t *good = GARBAGE, *foreign = GARBAGE;
        CHECK_OK(artifact_sign(artifact, key, &good, &error));
        CHECK_OK(artifact_sign(artifact, other, &foreign, &error));
        artifact_free(artifact);
        bytes_t two = bytes_copy(artifact_buffer_data(foreign), 96);
        bytes_add(&two, artifact_buffer_data(good), 96);

        CHECK_OK(open_detached(&bytes, engine, artifact_buffer_data(good), 96, &artifact, &error));
        CHECK(artifact_integrity(artifact) == ARTIFACT_INTEGRITY_SIGNED);
        CHECK(artifact_signature_count(artifact) == 1);
        artifact_report_t *report = GARBAGE;
        CHECK_OK(artifact_verify(artifact, &report, &error));
        artifact_report_free(report);
        artifact_module_t module;
        for (size_t i = 0; i < 3; i++) CHECK_OK(artifact_module(artifact, i, &module, &error));
        artifact_free(artifact);
        CHECK_OK(open_detached(&bytes, engine, two.data, two.len, &artifact, &error));
        artifact_free(artifact);
        CHECK_FAILS(open_detached(&bytes, engine, two.data, 96, &artifact, &error), ARTIFACT_UNTRUSTED,
                    "one of another key");
        CHECK(artifact == NULL);
        CHECK_FAILS(open_detached(&bytes, engine, two.data, 95, &artifact, &error), ARTIFACT_UNTRUSTED, "96");
        CHECK_FAILS(open_detached(&bytes, NULL, two.data, 96, &artifact, &error), ARTIFACT_INVALID_ARGUMENT,
                    "a trusted key");

        /* Flips any bit of a file without a trailer, or any that opening reads of one with a trailer. */
        size_t step = plain ? 997 : 64;
        for (size_t at = plain ? 0 : bytes.len - 64 - 256; at < bytes.len; at += step) {
            bytes_t bad = bytes_copy(bytes.data, bytes.len);
            bad.data[at] ^= 4;
            artifact_t *opened = GARBAGE;
            CHECK(open_detached(&bad, engine, artifact_buffer_data(good), 96, &opened, NULL) != ARTIFACT_OK);
            CHECK(opened == NULL);
            bytes_free(&bad);
        }
        artifact_buffer_free(good), artifact_buffer_free(foreign);
        bytes_free(&two), bytes_free(&bytes);
    }
    artifact_engine_free(engine);
    artifact_key_free(key), artifact_key_free(other);
}

TEST(files_with_unknown_bytes_cannot_be_signed) {
    artifact_key_t *key = new_key();
    bytes_t bytes = make(NULL, 0, true);
    add_u8(&bytes, 7);
    artifact_t *artifact = open_bytes(&bytes, NULL);
    artifact_buffer_t *signature = GARBAGE;
    CHECK_FAILS(artifact_sign(artifact, key, &signature, &error), ARTIFACT_CORRUPT, "ends with Metadata");
    CHECK(signature == NULL);
    artifact_free(artifact);
    artifact_key_free(key);
    bytes_free(&bytes);
}

TEST(damaged_files_cannot_be_signed) {
    artifact_key_t *key = new_key();
    bytes_t bytes = make(NULL, 0, false);
    bytes.data[100] ^= 1;
    artifact_t *artifact = open_bytes(&bytes, NULL);
    artifact_buffer_t *buffer = GARBAGE;
    CHECK_FAILS(artifact_sign(artifact, key, &buffer, &error), ARTIFACT_DIGEST_MISMATCH, "module 0");
    CHECK(buffer == NULL);
    CHECK_FAILS(artifact_detached_record(artifact, &buffer, &error), ARTIFACT_DIGEST_MISMATCH, "module 0");
    artifact_free(artifact);
    artifact_key_free(key);
    bytes_free(&bytes);
}

/* No valid signature of them can exist, so they are untrusted, whatever else is wrong with them. */
TEST(detached_signatures_of_damaged_files_are_untrusted) {
    artifact_key_t *key = new_key();
    artifact_engine_t *engine = plain_engine();
    trust(engine, key);
    bytes_t bytes = make(NULL, 0, true);
    artifact_t *artifact = open_bytes(&bytes, NULL);
    artifact_buffer_t *signature = NULL;
    CHECK_OK(artifact_sign(artifact, key, &signature, &error));
    artifact_free(artifact);
    for (size_t at = 0; at < 64; at++) {
        bytes.data[at] ^= 0xff;
        CHECK_STATUS(open_detached(&bytes, engine, artifact_buffer_data(signature), 96, &artifact, NULL),
                     ARTIFACT_UNTRUSTED);
        bytes.data[at] ^= 0xff;
    }
    artifact_buffer_free(signature);
    artifact_engine_free(engine);
    artifact_key_free(key);
    bytes_free(&bytes);
}

TEST(requested_signatures_precede_inherited_ones) {
    bytes_t elfs[3];
    artifact_builder_t *builder = builder_of(elfs);
    for (size_t i = 0; i < 64; i++) {
        artifact_key_t *stranger = new_key();
        CHECK_OK(artifact_builder_add_key(builder, stranger, &error));
        artifact_key_free(stranger);
    }
    bytes_t bytes = serialize(builder);
    artifact_builder_free(builder);
    artifact_t *artifact = open_bytes(&bytes, NULL);
    CHECK_OK(artifact_builder_new_from_artifact(artifact, &builder, &error));
    artifact_key_t *mine = new_key();
    CHECK_OK(artifact_builder_add_key(builder, mine, &error));
    bytes_t mixed = serialize(builder);
    artifact_engine_t *engine = plain_engine();
    trust(engine, mine);
    artifact_t *again = open_bytes(&mixed, engine);
    CHECK(artifact_signature_count(again) == 64);
    artifact_free(artifact), artifact_free(again);
    artifact_engine_free(engine);
    artifact_builder_free(builder);
    artifact_key_free(mine);
    for (size_t i = 0; i < 3; i++) bytes_free(&elfs[i]);
    bytes_free(&bytes), bytes_free(&mixed);
}

TEST(signatures_refuse_null) {
    artifact_key_t *key = new_key(), *none = GARBAGE;
    artifact_public_key_t public_key;
    artifact_buffer_t *buffer = GARBAGE;
    artifact_engine_t *engine = plain_engine();
    CHECK_FAILS(artifact_key_generate(NULL, &error), ARTIFACT_INVALID_ARGUMENT, "key");
    CHECK_FAILS(artifact_key_from_pem(NULL, &none, &error), ARTIFACT_INVALID_ARGUMENT, "pem");
    CHECK(none == NULL);
    CHECK_FAILS(artifact_key_to_pem(NULL, &buffer, &error), ARTIFACT_INVALID_ARGUMENT, "key");
    CHECK(buffer == NULL);
    CHECK_FAILS(artifact_key_save(key, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "path");
    CHECK_FAILS(artifact_key_save(NULL, "x", &error), ARTIFACT_INVALID_ARGUMENT, "key");
    CHECK_FAILS(artifact_key_public(NULL, &public_key, &error), ARTIFACT_INVALID_ARGUMENT, "key");
    CHECK_FAILS(artifact_public_key_to_pem(NULL, &buffer, &error), ARTIFACT_INVALID_ARGUMENT, "public_key");
    CHECK_FAILS(artifact_public_key_from_pem(NULL, &public_key, &error), ARTIFACT_INVALID_ARGUMENT, "pem");
    CHECK_FAILS(artifact_engine_trust_key(NULL, "", &error), ARTIFACT_INVALID_ARGUMENT, "engine");
    CHECK_FAILS(artifact_engine_trust_key(engine, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "pem");
    CHECK_FAILS(artifact_engine_trusted_key_at(NULL, 0, &public_key, &error), ARTIFACT_INVALID_ARGUMENT, "engine");
    CHECK_FAILS(artifact_builder_add_key(NULL, key, &error), ARTIFACT_INVALID_ARGUMENT, "builder");
    CHECK_FAILS(artifact_root_record(NULL, &buffer, &error), ARTIFACT_INVALID_ARGUMENT, "builder");
    CHECK_FAILS(artifact_builder_add_signature(NULL, &public_key, NULL, 0, &error), ARTIFACT_INVALID_ARGUMENT,
                "builder");
    CHECK_FAILS(artifact_builder_clear_signatures(NULL, &error), ARTIFACT_INVALID_ARGUMENT, "builder");
    CHECK_FAILS(artifact_signed_by(NULL, &public_key, &error), ARTIFACT_INVALID_ARGUMENT, "artifact");
    CHECK(artifact_signature_count(NULL) == 0);
    CHECK_FAILS(artifact_signature_at(NULL, 0, &public_key, &error), ARTIFACT_INVALID_ARGUMENT, "artifact");
    CHECK_FAILS(artifact_sign(NULL, key, &buffer, &error), ARTIFACT_INVALID_ARGUMENT, "artifact");
    CHECK_FAILS(artifact_detached_record(NULL, &buffer, &error), ARTIFACT_INVALID_ARGUMENT, "artifact");
    bytes_t bytes = make(NULL, 0, false);
    artifact_t *artifact = open_bytes(&bytes, NULL);
    CHECK_FAILS(artifact_sign(artifact, NULL, &buffer, &error), ARTIFACT_INVALID_ARGUMENT, "key");
    CHECK(buffer == NULL);
    artifact_free(artifact);
    bytes_free(&bytes);
    artifact_engine_free(engine);
    artifact_key_free(key);
}
