/* The version, the names of statuses, and the numbers of all enumerators. */
#include "check.h"
#include "support.h"

TEST(library_version_is_the_headers) {
    CHECK(artifact_version() == ARTIFACT_VERSION_NUMBER);
    CHECK_STR(artifact_version_string(), ARTIFACT_VERSION_STRING);
}

TEST(library_version_arithmetic) {
    char text[40];
    snprintf(text, sizeof text, "%d.%d.%d", ARTIFACT_VERSION_MAJOR, ARTIFACT_VERSION_MINOR, ARTIFACT_VERSION_PATCH);
    CHECK_STR(text, ARTIFACT_VERSION_STRING);
    CHECK(ARTIFACT_VERSION_NUMBER / 1000000 == ARTIFACT_VERSION_MAJOR);
    CHECK(ARTIFACT_VERSION_NUMBER / 1000 % 1000 == ARTIFACT_VERSION_MINOR);
    CHECK(ARTIFACT_VERSION_NUMBER % 1000 == ARTIFACT_VERSION_PATCH);
}

/* Programs were compiled with the numbers of an older header, so none may change. */
static const struct {
    uint32_t number, constant;
    const char *name;
} statuses[] = {
    {0, ARTIFACT_OK, "ARTIFACT_OK"},
    {1, ARTIFACT_INVALID_ARGUMENT, "ARTIFACT_INVALID_ARGUMENT"},
    {2, ARTIFACT_IO, "ARTIFACT_IO"},
    {3, ARTIFACT_LIMIT, "ARTIFACT_LIMIT"},
    {4, ARTIFACT_NO_MEMORY, "ARTIFACT_NO_MEMORY"},
    {5, ARTIFACT_NOT_FOUND, "ARTIFACT_NOT_FOUND"},
    {10, ARTIFACT_NOT_AN_ARTIFACT, "ARTIFACT_NOT_AN_ARTIFACT"},
    {11, ARTIFACT_TRUNCATED, "ARTIFACT_TRUNCATED"},
    {12, ARTIFACT_CORRUPT, "ARTIFACT_CORRUPT"},
    {13, ARTIFACT_DIGEST_MISMATCH, "ARTIFACT_DIGEST_MISMATCH"},
    {20, ARTIFACT_INCOMPATIBLE, "ARTIFACT_INCOMPATIBLE"},
    {21, ARTIFACT_WRONG_VERSION, "ARTIFACT_WRONG_VERSION"},
    {22, ARTIFACT_WRONG_PRODUCER, "ARTIFACT_WRONG_PRODUCER"},
    {23, ARTIFACT_UNSUPPORTED, "ARTIFACT_UNSUPPORTED"},
    {30, ARTIFACT_UNTRUSTED, "ARTIFACT_UNTRUSTED"},
    {40, ARTIFACT_UNRESOLVED, "ARTIFACT_UNRESOLVED"},
    {90, ARTIFACT_INTERNAL, "ARTIFACT_INTERNAL"},
};

TEST(library_status_numbers_and_names) {
    for (size_t i = 0; i < COUNT(statuses); i++) {
        CHECK(statuses[i].number == statuses[i].constant);
        CHECK_STR(artifact_status_name(statuses[i].number), statuses[i].name);
    }
}

TEST(library_unknown_status_has_a_name) {
    static const uint32_t unknown[] = {6, 9, 14, 19, 24, 31, 41, 89, 91, 1000, UINT32_MAX};
    for (size_t i = 0; i < COUNT(unknown); i++) CHECK_STR(artifact_status_name(unknown[i]), "unknown status");
}

/* The other numbers that callers pass in or read from structs. */
TEST(library_enum_numbers) {
    CHECK(ARTIFACT_VERSION_RULE_LIBRARY == 0 && ARTIFACT_VERSION_RULE_CUSTOM == 1 && ARTIFACT_VERSION_RULE_NONE == 2);
    CHECK(ARTIFACT_FLAGS_SHARED == 0 && ARTIFACT_FLAGS_ISA == 1);
    CHECK(ARTIFACT_FLAG_ENUM == 0 && ARTIFACT_FLAG_NUM == 1 && ARTIFACT_FLAG_BOOL == 2);
    CHECK(ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND == 0 && ARTIFACT_TUNABLE_GENERATE_ADDRESS_MAP == 10);
    CHECK(ARTIFACT_FEATURE_REFERENCE_TYPES == 0 && ARTIFACT_FEATURE_MEMORY64 == 10);
    CHECK(ARTIFACT_WASM_I32 == 0 && ARTIFACT_WASM_EXNREF == 7);
    CHECK(ARTIFACT_ENTITY_GLOBAL == 0 && ARTIFACT_ENTITY_MODULE == 6);
    CHECK(ARTIFACT_INIT_I32 == 0 && ARTIFACT_INIT_IMPORT == 8);
    CHECK(ARTIFACT_LITTLE_ENDIAN == 0 && ARTIFACT_BIG_ENDIAN == 1);
    CHECK(ARTIFACT_DETECTED_NOTHING == 0 && ARTIFACT_DETECTED_ARTIFACT == 1);
    CHECK(ARTIFACT_OPEN_VERIFY == 1 && ARTIFACT_SAVE_NO_SYNC == 1);
    CHECK(ARTIFACT_REPORT_PRODUCER == 1 && ARTIFACT_REPORT_FEATURE == 128);
    CHECK(ARTIFACT_REPORT_MODULE_MACHINE == 0x100);
    CHECK(ARTIFACT_REPORT_LINK == 0x10000 && ARTIFACT_REPORT_TRAILING_BYTES == 0x200000);
    CHECK(ARTIFACT_REPORT_SIGNATURE == 0x400000);
}

TEST(library_initializers_give_their_size) {
    artifact_open_options_t open_options = ARTIFACT_OPEN_OPTIONS_INIT;
    artifact_save_options_t save_options = ARTIFACT_SAVE_OPTIONS_INIT;
    CHECK(open_options.size == sizeof open_options && open_options.flags == 0 && open_options.offset == 0);
    CHECK(open_options.length == 0 && open_options.memory_limit == 0);
    CHECK(save_options.size == sizeof save_options && save_options.flags == 0);
}

/* The library prints nothing: it reports failures to the caller only. */
TEST(library_prints_nothing) {
    const char *path = scratch("output");
    fflush(NULL);
    int out = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600), saved_out = dup(1), saved_err = dup(2);
    CHECK(out >= 0 && saved_out >= 0 && saved_err >= 0 && dup2(out, 1) == 1 && dup2(out, 2) == 2);
    artifact_t *artifact = NULL;
    artifact_error_t *error = NULL;
    artifact_status_t status = artifact_open_bytes((const uint8_t *)"junk", 4, NULL, NULL, &artifact, &error);
    artifact_engine_free(artifact_engine_new_host());
    artifact_error_free(error);
    fflush(NULL);
    dup2(saved_out, 1), dup2(saved_err, 2);
    struct stat stat;
    CHECK(status == ARTIFACT_NOT_AN_ARTIFACT && fstat(out, &stat) == 0);
    CHECK(stat.st_size == 0);
    close(out), close(saved_out), close(saved_err);
}
