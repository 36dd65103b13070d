/* Files of several targets: building and rebuilding them, signatures of their index, and damage. */
#include "check.h"
#include "native.h"
#include "signed.h"

#include "fat.h"

/* ---- building ---- */

static int append(void *context, const uint8_t *data, size_t len) {
    bytes_add(context, data, len);
    return 0;
}

static int fail(void *context, const uint8_t *data, size_t len) {
    (void)context, (void)data, (void)len;
    return ENOSPC;
}

TEST(all_ways_of_writing_give_the_same) {
    artifact_fat_builder_t *fat = four();
    bytes_t bytes = fat_bytes(fat), pieces = {0}, again = four_bytes();
    CHECK_OK(artifact_fat_serialize_to(fat, append, &pieces, &error));
    CHECK(same_bytes(bytes.data, bytes.len, pieces.data, pieces.len));
    CHECK(same_bytes(bytes.data, bytes.len, again.data, again.len));
    CHECK_FAILS(artifact_fat_serialize_to(fat, fail, NULL, &error), ARTIFACT_IO, "write function");
    CHECK_FAILS(artifact_fat_serialize_to(fat, NULL, NULL, &error), ARTIFACT_INVALID_ARGUMENT, "write");
    const char *path = scratch("four.artifact");
    artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
    options.flags = ARTIFACT_SAVE_NO_SYNC;
    CHECK_OK(artifact_fat_serialize_to_file(fat, path, &options, &error));
    options.flags = 64;
    CHECK_FAILS(artifact_fat_serialize_to_file(fat, path, &options, &error), ARTIFACT_UNSUPPORTED, "options.flags");
    CHECK_FAILS(artifact_fat_serialize_to_file(fat, "", NULL, &error), ARTIFACT_INVALID_ARGUMENT, "path");
    artifact_fat_builder_free(fat);
    bytes_t file = read_file(path);
    CHECK(same_bytes(bytes.data, bytes.len, file.data, file.len));

    /* A file is rebuilt from any of its variants, and may be replaced while it is read. */
    artifact_t *artifact = open_path(path, NULL);
    CHECK_OK(artifact_fat_builder_new_from_artifact(artifact, &fat, &error));
    artifact_free(artifact);
    CHECK(artifact_fat_builder_count(fat) == 4);
    CHECK_OK(artifact_fat_serialize_to_file(fat, path, NULL, &error));
    bytes_free(&file);
    file = read_file(path);
    CHECK(same_bytes(bytes.data, bytes.len, file.data, file.len));

    /* Removing copies what remains, and so does adding. */
    CHECK_FAILS(artifact_fat_builder_remove(fat, 4, &error), ARTIFACT_NOT_FOUND, "below 4");
    CHECK_OK(artifact_fat_builder_remove(fat, 1, &error));
    CHECK(artifact_fat_builder_count(fat) == 3);
    bytes_t three = fat_bytes(fat);
    artifact = open_bytes(&three, NULL);
    artifact_t *other = GARBAGE;
    artifact_open_options_t by_hand = ARTIFACT_OPEN_OPTIONS_INIT;
    by_hand.flags = ARTIFACT_OPEN_VARIANT, by_hand.variant = 2;
    CHECK_OK(artifact_open_file(path, NULL, &by_hand, &other, &error));
    size_t index = 0;
    CHECK_OK(artifact_fat_builder_add_artifact(fat, other, -1, &index, &error));
    CHECK(index == 3);
    artifact_free(other);
    bytes_t rebuilt = fat_bytes(fat);
    CHECK(rebuilt.len == bytes.len);
    artifact_variant_t variant;
    CHECK_OK(artifact_variant_at(artifact, 0, &variant, &error));
    CHECK(memcmp(three.data + variant.offset, bytes.data + 3 * 65536, variant.length) == 0);
    artifact_free(artifact);
    artifact_fat_builder_free(fat);
    artifact_fat_builder_free(NULL);
    CHECK(artifact_fat_builder_count(NULL) == 0);
    bytes_free(&bytes);
    bytes_free(&pieces);
    bytes_free(&again);
    bytes_free(&file);
    bytes_free(&three);
    bytes_free(&rebuilt);
}

static void refuse_to_add(artifact_fat_builder_t *fat, const artifact_builder_t *builder, const char *words) {
    size_t index = 7;
    const size_t before = artifact_fat_builder_count(fat);
    CHECK_FAILS(artifact_fat_builder_add(fat, builder, 0, &index, &error), ARTIFACT_INVALID_ARGUMENT, words);
    CHECK(index == 0 && artifact_fat_builder_count(fat) == before);
}

TEST(what_cannot_be_a_variant) {
    artifact_fat_builder_t *fat = artifact_fat_builder_new();
    CHECK_FAILS(artifact_fat_serialize(fat, &(artifact_buffer_t *){0}, &error), ARTIFACT_INVALID_ARGUMENT, "none");
    add_for(fat, engine_of(2), 0);
    artifact_engine_t *engine = engine_of(1);
    artifact_builder_t *builder = new_builder(engine);
    refuse_to_add(fat, builder, "module");
    artifact_builder_free(builder);
    bytes_t elf, unused;
    builder = module_for(engine, &elf);
    CHECK_OK(artifact_builder_set_trailer(builder, false, &error));
    refuse_to_add(fat, builder, "trailer");
    artifact_builder_free(builder);
    artifact_engine_t *same = engine_of(2);
    CHECK_OK(artifact_engine_set_flag_bool(same, ARTIFACT_FLAGS_ISA, "sse2", true, &error)); /* no need: the baseline */
    builder = module_for(same, &unused);
    refuse_to_add(fat, builder, "needs|variant 0");
    artifact_builder_free(builder);
    bytes_free(&unused);
    artifact_engine_free(same);
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_CUSTOM, "2", &error));
    builder = module_for(engine, &unused);
    refuse_to_add(fat, builder, "version '2'");
    artifact_builder_free(builder);
    bytes_free(&unused);
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "a=b", true, &error));
    CHECK_OK(artifact_engine_set_version_rule(engine, ARTIFACT_VERSION_RULE_LIBRARY, NULL, &error));
    builder = module_for(engine, &unused);
    refuse_to_add(fat, builder, "'a=b'");
    artifact_builder_free(builder);
    bytes_free(&unused);
    bytes_free(&elf);
    artifact_engine_free(engine);
    artifact_fat_builder_free(fat);
}

/* ---- trust ---- */

TEST(keys_sign_the_index) {
    artifact_key_t *key = new_key();
    artifact_engine_t *trusting = engine_of(2), *plain = engine_of(2);
    trust(trusting, key);
    artifact_fat_builder_t *fat = four();
    bytes_t unsigned_bytes = fat_bytes(fat);
    CHECK_UNTRUSTED(unsigned_bytes, trusting, "index");
    artifact_buffer_t *digest = GARBAGE, *record = GARBAGE, *signature = GARBAGE;
    CHECK_OK(artifact_fat_builder_index_digest(fat, &digest, &error));
    CHECK(artifact_buffer_len(digest) == 32 && sizeof ARTIFACT_INDEX_SIGNATURE_CONTEXT == 24);

    /* Detached: over the index, by this library or by whoever gets the digest. */
    artifact_t *artifact = open_bytes(&unsigned_bytes, plain);
    CHECK_OK(artifact_detached_record(artifact, &record, &error));
    CHECK(artifact_buffer_len(record) == 32);
    CHECK(memcmp(artifact_buffer_data(record), artifact_buffer_data(digest), 32) == 0);
    CHECK_OK(artifact_sign(artifact, key, &signature, &error));
    artifact_free(artifact);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.signature = artifact_buffer_data(signature), options.signature_len = artifact_buffer_len(signature);
    CHECK_OK(artifact_open_bytes(unsigned_bytes.data, unsigned_bytes.len, trusting, &options, &artifact, &error));
    CHECK(artifact_integrity(artifact) == ARTIFACT_INTEGRITY_SIGNED && artifact_variant_chosen(artifact) == 1);
    artifact_public_key_t by, public_key = public_of(key);
    CHECK_OK(artifact_signed_by(artifact, &by, &error));
    CHECK(same_key(by, public_key));
    CHECK(artifact_signature_count(artifact) == 0); /* the variant itself has none */
    artifact_free(artifact);

    /* In the file: made elsewhere, or by a key. The bytes are the same. */
    const uint8_t *bytes64 = artifact_buffer_data(signature) + 32;
    CHECK_FAILS(artifact_fat_builder_add_signature(fat, &public_key, bytes64, 63, &error), ARTIFACT_INVALID_ARGUMENT,
                "64");
    CHECK_OK(artifact_fat_builder_add_signature(fat, &public_key, bytes64, 64, &error));
    bytes_t external = fat_bytes(fat);
    CHECK_OK(artifact_fat_builder_clear_signatures(fat, &error));
    CHECK_OK(artifact_fat_builder_add_key(fat, key, &error));
    bytes_t signed_bytes = fat_bytes(fat);
    CHECK(same_bytes(external.data, external.len, signed_bytes.data, signed_bytes.len));
    CHECK(chosen(&signed_bytes, trusting, 0, 0) == 1);
    CHECK(chosen(&signed_bytes, trusting, ARTIFACT_OPEN_VARIANT, 3) == 3);
    CHECK_OK(artifact_fat_builder_clear_signatures(fat, &error));
    CHECK_OK(artifact_fat_builder_add_signature(fat, &public_key, bytes64, 64, &error));
    CHECK_OK(artifact_fat_builder_remove(fat, 0, &error));
    CHECK_FAILS(artifact_fat_serialize(fat, &(artifact_buffer_t *){0}, &error), ARTIFACT_INVALID_ARGUMENT, "index");
    CHECK_FAILS(artifact_fat_builder_add_signature(fat, &public_key, bytes64, 64, &error), ARTIFACT_INVALID_ARGUMENT,
                "index");
    CHECK_OK(artifact_fat_builder_remove(fat, 0, &error));
    CHECK_OK(artifact_fat_builder_remove(fat, 0, &error));
    artifact_buffer_free(digest);
    CHECK_FAILS(artifact_fat_builder_index_digest(fat, &digest, &error), ARTIFACT_INVALID_ARGUMENT, "two");
    CHECK_FAILS(artifact_fat_serialize(fat, &(artifact_buffer_t *){0}, &error), ARTIFACT_INVALID_ARGUMENT, "key");

    /* Cutting the file down to its first variant is a downgrade: without signatures of its own, it is not trusted
     * either. */
    artifact = open_bytes(&signed_bytes, NULL);
    bytes_t first = bytes_copy(signed_bytes.data, (size_t)artifact_file_len(artifact));
    artifact_free(artifact);
    CHECK_UNTRUSTED(first, trusting, "none");
    artifact_free(open_bytes(&first, plain));
    artifact_fat_builder_free(fat);
    artifact_buffer_free(record);
    artifact_buffer_free(signature);
    artifact_engine_free(trusting);
    artifact_engine_free(plain);
    artifact_key_free(key);
    bytes_free(&first);
    bytes_free(&unsigned_bytes);
    bytes_free(&external);
    bytes_free(&signed_bytes);
}

/* Loading checks the signature of the index again, against the engine that it is given. */
TEST(a_signed_variant_is_loaded) {
#ifndef __x86_64__
    SKIP("the levels are those of x86-64");
#endif
    skip_without("variant_v1.o");
    artifact_key_t *key = new_key(), *other_key = new_key();
    artifact_fat_builder_t *fat = artifact_fat_builder_new();
    add_object(fat, engine_of(1), native("variant_v1.o"));
    add_object(fat, arm_engine(), fixture("../../core/tests/objects/fib-aarch64.o"));
    CHECK_OK(artifact_fat_builder_add_key(fat, key, &error));
    const char *path = scratch("signed.artifact");
    CHECK_OK(artifact_fat_serialize_to_file(fat, path, NULL, &error));
    artifact_fat_builder_free(fat);
    artifact_engine_t *host = artifact_engine_new_host(), *trusting = artifact_engine_new_host();
    artifact_engine_t *others = artifact_engine_new_host();
    trust(trusting, key);
    trust(others, other_key);
    for (int i = 0; i < 2; i++) {
        artifact_t *artifact = open_path(path, i ? trusting : host);
        artifact_code_t *code = GARBAGE;
        CHECK_OK(artifact_load(artifact, trusting, NULL, &code, &error));
        int (*level)(void);
        SYMBOL(code, 0, "level", level);
        CHECK(level() == 1);
        artifact_code_free(code);
        CHECK_FAILS(artifact_load(artifact, others, NULL, &code, &error), ARTIFACT_UNTRUSTED, "signature");
        artifact_free(artifact);
    }
    artifact_engine_free(host);
    artifact_engine_free(trusting);
    artifact_engine_free(others);
    artifact_key_free(key);
    artifact_key_free(other_key);
}

/* ---- damage ---- */

/* Every flipped bit of the index, and every cut in it, is found before a variant is chosen. */
TEST(a_damaged_index_is_found) {
    bytes_t bytes = four_bytes();
    size_t index = 0;
    for (size_t i = 8; i-- > 0;) index = index << 8 | bytes.data[bytes.len - 96 + i];
    artifact_engine_t *engine = engine_of(4);
    for (size_t at = index; at < bytes.len; at++) {
        artifact_t *artifact = GARBAGE;
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[at] ^= (uint8_t)(1 << bit);
            artifact_status_t status = artifact_open_bytes(bytes.data, bytes.len, engine, NULL, &artifact, NULL);
            CHECK(status == ARTIFACT_DIGEST_MISMATCH || status == ARTIFACT_CORRUPT || status == ARTIFACT_TRUNCATED);
            CHECK(artifact == NULL);
            bytes.data[at] ^= (uint8_t)(1 << bit);
        }
        artifact_status_t status = artifact_open_bytes(bytes.data, at, engine, NULL, &artifact, NULL);
        CHECK(status == ARTIFACT_CORRUPT || status == ARTIFACT_TRUNCATED);
        CHECK(artifact == NULL);
    }
    CHECK(chosen(&bytes, engine, 0, 0) == 0);
    artifact_engine_free(engine);
    bytes_free(&bytes);
}

/* Verifying looks at all variants and between them, opening at the one that it opens. */
TEST(verifying_looks_at_everything) {
    bytes_t bytes = four_bytes();
    artifact_engine_t *engine = engine_of(3);
    artifact_t *artifact = open_bytes(&bytes, NULL);
    const size_t first_end = (size_t)artifact_file_len(artifact);
    artifact_free(artifact);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_VERIFY;
    const size_t places[] = {70, first_end + 3, 65536 + 70};
    for (size_t i = 0; i < COUNT(places); i++) {
        bytes.data[places[i]] ^= 1;
        CHECK_OK(artifact_open_bytes(bytes.data, bytes.len, engine, &options, &artifact, &error));
        artifact_report_t *report = GARBAGE;
        CHECK_FAILS(artifact_verify(artifact, &report, &error), i == 1 ? ARTIFACT_CORRUPT : ARTIFACT_DIGEST_MISMATCH,
                    i == 2 ? "variant 2" : "variant 3");
        artifact_free(artifact);
        bytes.data[places[i]] ^= 1;
    }
    bytes.data[3 * 65536 + 70] ^= 1;
    CHECK_FAILS(artifact_open_bytes(bytes.data, bytes.len, engine, &options, &artifact, &error),
                ARTIFACT_DIGEST_MISMATCH, "module 0");
    artifact_engine_free(engine);
    bytes_free(&bytes);
}

TEST(null_arguments_of_several_targets) {
    artifact_fat_builder_t *fat = artifact_fat_builder_new();
    artifact_fat_builder_t *none = GARBAGE;
    size_t index = 9;
    artifact_buffer_t *buffer = GARBAGE;
    const artifact_status_t invalid = ARTIFACT_INVALID_ARGUMENT;
    CHECK_FAILS(artifact_fat_builder_new_from_artifact(NULL, &none, &error), invalid, "artifact");
    CHECK(none == NULL);
    CHECK_FAILS(artifact_fat_builder_add(fat, NULL, 0, &index, &error), invalid, "builder");
    CHECK(index == 0);
    CHECK_FAILS(artifact_fat_builder_add(NULL, NULL, 0, NULL, &error), invalid, "fat");
    CHECK_FAILS(artifact_fat_builder_add_artifact(fat, NULL, 0, NULL, &error), invalid, "artifact");
    CHECK_FAILS(artifact_fat_builder_remove(NULL, 0, &error), invalid, "fat");
    CHECK_FAILS(artifact_fat_builder_add_key(fat, NULL, &error), invalid, "key");
    CHECK_FAILS(artifact_fat_builder_index_digest(NULL, &buffer, &error), invalid, "fat");
    CHECK(buffer == NULL);
    CHECK_FAILS(artifact_fat_builder_add_signature(fat, NULL, NULL, 0, &error), invalid, "public_key");
    CHECK_FAILS(artifact_fat_builder_clear_signatures(NULL, &error), invalid, "fat");
    CHECK_FAILS(artifact_fat_serialize(fat, NULL, &error), invalid, "buffer");
    CHECK_FAILS(artifact_fat_serialize_to_file(NULL, "x", NULL, &error), invalid, "fat");
    CHECK_FAILS(artifact_fat_serialize_to(NULL, append, NULL, &error), invalid, "fat");
    artifact_variant_t variant;
    const char *text = GARBAGE;
    artifact_report_t *report = GARBAGE;
    CHECK_FAILS(artifact_variant_at(NULL, 0, &variant, &error), invalid, "artifact");
    CHECK_FAILS(artifact_variant_need_at(NULL, 0, 0, &text, &error), invalid, "artifact");
    CHECK_FAILS(artifact_variant_report(NULL, 0, NULL, &report, &error), invalid, "artifact");
    CHECK(text == NULL && report == NULL);
    artifact_fat_builder_free(fat);
}
