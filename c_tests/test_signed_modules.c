/* Modules of signed artifacts: verified private copies, independent of the file. */
#include "check.h"
#include "signed.h"

#include <inttypes.h>
#include <sys/mman.h>

TEST(signed_modules_are_verified_copies) {
    artifact_engine_t *engine = plain_engine();
    bytes_t bytes = make_trusted(engine);
    char path[4096];
    snprintf(path, sizeof path, "%s", scratch("signed"));
    write_file(path, bytes.data, bytes.len);
    artifact_t *artifact = open_path(path, engine);
    artifact_module_t first, second, third;
    CHECK(bytes.data[4096] == 0x7f);
    CHECK_OK(artifact_module(artifact, 0, &first, &error));
    CHECK_OK(artifact_module(artifact, 2, &third, &error));
    CHECK(third.align == 65536 && (uintptr_t)third.bytes.data % 65536 == 0);
    CHECK(same_bytes(third.bytes.data, third.bytes.len, bytes.data + third.offset, third.bytes.len));

    /* After a write to the file, modules that were read stay as they are; others are found to be damaged. */
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    uint64_t at[] = {first.offset + 100, 4096 + 100}; /* module 1 is on the second page */
    for (size_t i = 0; i < 2; i++) {
        uint8_t byte = bytes.data[at[i]] ^ 1;
        CHECK(pwrite(fd, &byte, 1, (off_t)at[i]) == 1);
    }
    CHECK(first.bytes.data[100] == bytes.data[at[0]]);
    CHECK_FAILS(artifact_module(artifact, 1, &second, &error), ARTIFACT_DIGEST_MISMATCH, "module 1");
    CHECK_OK(artifact_module(artifact, 0, &first, &error));
    CHECK(first.bytes.data[100] == bytes.data[at[0]]);
    /* Even truncating the file does not crash the process. */
    CHECK(ftruncate(fd, 100) == 0);
    CHECK(first.bytes.data[100] == bytes.data[at[0]]);
    CHECK_FAILS(artifact_module(artifact, 1, &second, &error), ARTIFACT_TRUNCATED, "shorter");
    close(fd);
    artifact_free(artifact);
    artifact_engine_free(engine);
    bytes_free(&bytes);
}

/* All modules were copied. Verifying reads the rest of the truncated file: an error, not a signal. */
TEST(signed_files_are_verified_without_their_mapping) {
    artifact_engine_t *engine = plain_engine();
    bytes_t bytes = make_trusted(engine);
    write_file(scratch("signed"), bytes.data, bytes.len);
    artifact_t *artifact = open_path(scratch("signed"), engine);
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_verify(artifact, &report, &error));
    artifact_report_free(report);
    CHECK(truncate(scratch("signed"), 100) == 0);
    CHECK_FAILS(artifact_verify(artifact, &report, &error), ARTIFACT_TRUNCATED, "shorter");
    CHECK(report == NULL);
    artifact_free(artifact);
    artifact_engine_free(engine);
    bytes_free(&bytes);
}

/* Overwrites module 0 and seals the file, like an attacker who hopes that the seals are checked too late. */
static void change_and_freeze(int fd, uint64_t at) {
    uint8_t byte = 0;
    CHECK(pread(fd, &byte, 1, (off_t)at) == 1);
    byte ^= 1;
    CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) == 0);
}

TEST(files_sealed_after_opening_count_as_changeable) {
    artifact_engine_t *engine = plain_engine();
    bytes_t bytes = make_trusted(engine);
    int fd = memfd_create("artifact", MFD_ALLOW_SEALING | MFD_CLOEXEC);
    if (fd < 0) SKIP("memfd_create is not available");
    CHECK(write(fd, bytes.data, bytes.len) == (ssize_t)bytes.len);
    artifact_t *artifact = NULL;
    CHECK_OK(artifact_open_fd(fd, engine, NULL, &artifact, &error));
    artifact_module_t first, second;
    CHECK_OK(artifact_module(artifact, 0, &first, &error));
    change_and_freeze(fd, 100);
    CHECK(first.bytes.data[100] == bytes.data[100]);
    CHECK_OK(artifact_module(artifact, 0, &first, &error));
    CHECK(first.bytes.data[100] == bytes.data[100]);
    CHECK_OK(artifact_module(artifact, 1, &second, &error));
    artifact_free(artifact);
    /* Opening it now detects the damage. */
    CHECK_OK(artifact_open_fd(fd, engine, NULL, &artifact, &error));
    CHECK_FAILS(artifact_module(artifact, 0, &first, &error), ARTIFACT_DIGEST_MISMATCH, "module 0");
    artifact_free(artifact);
    close(fd);
    artifact_engine_free(engine);
    bytes_free(&bytes);
}

/* Returns whether an address is in a mapping of a memfd. */
static bool is_in_memfd(const uint8_t *address) {
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps) SKIP("there is no /proc/self/maps");
    char line[4400];
    bool found = false;
    while (!found && fgets(line, sizeof line, maps)) {
        uintptr_t start, end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &start, &end) != 2) continue;
        found = (uintptr_t)address >= start && (uintptr_t)address < end && strstr(line, "/memfd:");
    }
    fclose(maps);
    return found;
}

TEST(signed_modules_of_immutable_files_are_not_copied) {
    artifact_engine_t *engine = plain_engine();
    bytes_t bytes = make_trusted(engine);
    static const int seals[] = {0, F_SEAL_WRITE, F_SEAL_SHRINK, F_SEAL_WRITE | F_SEAL_SHRINK};
    for (size_t i = 0; i < COUNT(seals); i++) {
        int fd = memfd_create("artifact", MFD_ALLOW_SEALING | MFD_CLOEXEC);
        if (fd < 0) SKIP("memfd_create is not available");
        CHECK(write(fd, bytes.data, bytes.len) == (ssize_t)bytes.len);
        CHECK(fcntl(fd, F_ADD_SEALS, seals[i]) == 0);
        artifact_t *artifact = NULL;
        CHECK_OK(artifact_open_fd(fd, engine, NULL, &artifact, &error));
        artifact_module_t module;
        CHECK_OK(artifact_module(artifact, 1, &module, &error));
        CHECK(memcmp(module.bytes.data, bytes.data + module.offset, module.bytes.len) == 0);
        CHECK(is_in_memfd(module.bytes.data) == (i == 3));
        artifact_free(artifact);
        close(fd);
    }
    artifact_engine_free(engine);
    bytes_free(&bytes);
}

TEST(signed_modules_in_borrowed_memory_are_verified_copies) {
    artifact_engine_t *engine = plain_engine();
    bytes_t bytes = make_trusted(engine);
    artifact_t *artifact = NULL;
    CHECK_OK(artifact_open_borrowed(bytes.data, bytes.len, engine, NULL, &artifact, &error));
    artifact_module_t module;
    CHECK_OK(artifact_module(artifact, 0, &module, &error));
    CHECK(module.bytes.data < bytes.data || module.bytes.data >= bytes.data + bytes.len);
    artifact_free(artifact);
    artifact_engine_free(engine);
    bytes_free(&bytes);
}

TEST(unsigned_files_are_refused_without_a_copy) {
    artifact_key_t *key = new_key();
    artifact_engine_t *engine = plain_engine();
    trust(engine, key);
    char path[4096];
    snprintf(path, sizeof path, "%s", scratch("huge"));
    bytes_t bytes = make(NULL, 0, false);
    write_file(path, bytes.data, bytes.len);
    CHECK(truncate(path, (off_t)1 << (sizeof(off_t) > 4 ? 42 : 30)) == 0 || errno == EFBIG);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_COPY;
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_open_file(path, engine, &options, &artifact, &error), ARTIFACT_UNTRUSTED, "signature");
    CHECK(artifact == NULL);
    artifact_engine_free(engine);
    artifact_key_free(key);
    bytes_free(&bytes);
}
