/* ARTIFACT_OPEN_COPY: later changes to the file have no effect. */
#include "check.h"
#include "image.h"
#include "support.h"

#include <sys/mman.h>

static artifact_open_options_t copying(void) {
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_COPY;
    return options;
}

TEST(copy_is_independent_of_the_file) {
    bytes_t file = read_file(fixture("ml_two.cwasm"));
    for (int shorter = 0; shorter < 2; shorter++) {
        write_file(scratch("shared"), file.data, file.len);
        artifact_open_options_t options = copying();
        artifact_t *artifact = NULL;
        CHECK_OK(artifact_open_file(scratch("shared"), NULL, &options, &artifact, &error));
        int fd = open(scratch("shared"), O_WRONLY);
        CHECK(fd >= 0);
        char garbage[4096];
        memset(garbage, 0x5a, sizeof garbage);
        CHECK(pwrite(fd, garbage, sizeof garbage, 0) == (ssize_t)sizeof garbage);
        if (shorter) CHECK(ftruncate(fd, 10) == 0);
        CHECK(close(fd) == 0);
        for (size_t i = 0; i < artifact_module_count(artifact); i++) {
            artifact_module_t module;
            CHECK_OK(artifact_module(artifact, i, &module, &error));
            CHECK(same_bytes(module.bytes.data, module.bytes.len, file.data + module.offset, module.bytes.len));
        }
        artifact_report_t *report = NULL;
        CHECK_OK(artifact_verify(artifact, &report, &error));
        artifact_report_free(report);
        artifact_free(artifact);
    }
    bytes_free(&file);
}

TEST(copy_of_a_part_of_a_file) {
    bytes_t file = read_file(fixture("addfib.cwasm")), larger = {0};
    bytes_grow(&larger, 100);
    bytes_add(&larger, file.data, file.len);
    bytes_grow(&larger, 50);
    write_file(scratch("larger"), larger.data, larger.len);
    artifact_open_options_t options = copying();
    options.offset = 100, options.length = file.len;
    artifact_t *one = NULL, *other = NULL;
    CHECK_OK(artifact_open_file(scratch("larger"), NULL, &options, &one, &error));
    CHECK_OK(artifact_open_borrowed(larger.data, larger.len, NULL, &options, &other, &error));
    bytes_free(&larger); /* the bytes were copied, so they may go */
    artifact_module_t first, second;
    CHECK_OK(artifact_module(one, 0, &first, &error));
    CHECK_OK(artifact_module(other, 0, &second, &error));
    CHECK(same_bytes(first.bytes.data, first.bytes.len, file.data, first.bytes.len));
    CHECK(same_bytes(second.bytes.data, second.bytes.len, file.data, second.bytes.len));
    artifact_free(one), artifact_free(other);
    bytes_free(&file);
}

/* Returns the bytes of memory that this process's private copies take; SIZE_MAX if it has none. */
static size_t memory_of_copies(void) {
    size_t total = SIZE_MAX;
    char link[64], target[256];
    for (int fd = 3; fd < 64; fd++) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(link, target, sizeof target - 1);
        if (len <= 0) continue;
        target[len] = '\0';
        struct stat status;
        if (strstr(target, "memfd:artifact") && fstat(fd, &status) == 0) {
            total = (total == SIZE_MAX ? 0 : total) + (size_t)status.st_blocks * 512;
        }
    }
    return total;
}

TEST(copy_keeps_holes) {
    const uint64_t size = UINT64_C(1) << 30;
    bytes_t file = read_file(fixture("addfib.cwasm"));
    write_file(scratch("sparse"), file.data, file.len);
    CHECK(truncate(scratch("sparse"), (off_t)size) == 0);
    artifact_open_options_t options = copying();
    artifact_t *artifact = NULL;
    CHECK_OK(artifact_open_file(scratch("sparse"), NULL, &options, &artifact, &error));
    CHECK(artifact_file_len(artifact) == size);
    CHECK(memory_of_copies() <= file.len + 4096);
    artifact_module_t module;
    CHECK_OK(artifact_module(artifact, 0, &module, &error));
    CHECK(same_bytes(module.bytes.data, module.bytes.len, file.data, module.bytes.len));
    artifact_free(artifact);

    options.copy_limit = size - 1;
    CHECK_FAILS(artifact_open_file(scratch("sparse"), NULL, &options, &artifact, &error), ARTIFACT_LIMIT, "1073741823");
    options.copy_limit = size;
    CHECK_OK(artifact_open_file(scratch("sparse"), NULL, &options, &artifact, &error));
    artifact_free(artifact);
    bytes_free(&file);
}

TEST(copy_leaves_the_offset_of_the_descriptor) {
    int fd = open(fixture("addfib.cwasm"), O_RDONLY);
    CHECK(fd >= 0 && lseek(fd, 100, SEEK_SET) == 100);
    artifact_open_options_t options = copying();
    artifact_t *artifact = NULL;
    CHECK_OK(artifact_open_fd(fd, NULL, &options, &artifact, &error));
    CHECK(lseek(fd, 0, SEEK_CUR) == 100);
    artifact_free(artifact);
    CHECK(close(fd) == 0);
}

/* Returns the number of open descriptors. */
static size_t descriptors(void) {
    size_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    if (!folder) SKIP("there is no /proc");
    while (readdir(folder)) count++;
    closedir(folder);
    return count;
}

TEST(copy_is_omitted_for_immutable_files) {
    bytes_t file = read_file(fixture("addfib.cwasm"));
    for (int sealed = 0; sealed < 2; sealed++) {
        int fd = memfd_create("artifact", MFD_ALLOW_SEALING | MFD_CLOEXEC);
        if (fd < 0) SKIP("memfd_create is not available");
        CHECK(write(fd, file.data, file.len) == (ssize_t)file.len);
        if (sealed) CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK) == 0);
        artifact_open_options_t options = copying();
        artifact_t *artifact = NULL;
        CHECK_OK(artifact_open_fd(fd, NULL, &options, &artifact, &error));
        struct stat mine, its;
        bool found = false;
        CHECK(fstat(fd, &mine) == 0);
        for (int other = fd + 1; other < fd + 20; other++) {
            if (fstat(other, &its) == 0 && its.st_ino == mine.st_ino && its.st_dev == mine.st_dev) found = true;
        }
        CHECK(found == (sealed == 1));
        artifact_free(artifact);
        close(fd);
    }
    bytes_free(&file);
}

TEST(copy_leaves_no_descriptors) {
    bytes_t file = read_file(fixture("addfib.cwasm"));
    size_t before = descriptors();
    for (int i = 0; i < 50; i++) {
        artifact_open_options_t options = copying();
        artifact_t *artifact = NULL;
        CHECK_OK(artifact_open_file(fixture("addfib.cwasm"), NULL, &options, &artifact, &error));
        artifact_free(artifact);
        CHECK_STATUS(artifact_open_bytes(file.data, 1000, NULL, &options, &artifact, NULL), ARTIFACT_TRUNCATED);
    }
    CHECK(descriptors() == before);
    bytes_free(&file);
}
