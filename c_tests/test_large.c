/* Large artifacts: offsets beyond 4 GiB, memory use independent of payload, running out of memory. */
#include "check.h"
#include "image.h"
#include "support.h"

/* Returns an ELF of about `len` bytes. All but its ends are zeros, which take no memory until they are read. */
static uint8_t *make_huge(size_t len, size_t *total) {
    bytes_t elf = make_elf((shape_t){.trailing = 8});
    size_t headers = section_at(&elf, 0, NO_SECTION), table = SECTIONS * sizeof(Elf64_Shdr);
    *total = len + table;
    uint8_t *huge = mmap(NULL, *total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(huge != MAP_FAILED && len % 8 == 0);
    memcpy(huge, elf.data, headers);
    memcpy(huge + len, elf.data + headers, table);
    put_uint(huge + offsetof(Elf64_Ehdr, e_shoff), len, 8, false);
    bytes_free(&elf);
    return huge;
}

/* A callback that writes to a file, and leaves holes for large runs of zeros. */
typedef struct sparse_t {
    int fd;
    uint64_t at;
    size_t largest;
} sparse_t;

static int write_sparse(void *context, const uint8_t *data, size_t len) {
    sparse_t *to = context;
    size_t ends = len > 65536 ? 16384 : len;
    if (pwrite(to->fd, data, ends, (off_t)to->at) != (ssize_t)ends) return errno;
    if (ends < len && pwrite(to->fd, data + len - ends, ends, (off_t)(to->at + len - ends)) != (ssize_t)ends)
        return errno;
    to->at += len;
    if (len > to->largest) to->largest = len;
    return 0;
}

enum { PAYLOAD = 256 << 20, LITTLE = 32 << 20 };

TEST(large_payload_goes_out_without_a_copy) {
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    size_t len = 0;
    uint8_t *elf = make_huge(PAYLOAD, &len);
    sparse_t file = {.fd = open(scratch("huge"), O_RDWR | O_CREAT | O_TRUNC, 0600)};
    bool limited = limit_memory(LITTLE);
    CHECK_OK(artifact_builder_add_module(builder, elf, len, NULL, &error));
    CHECK_OK(artifact_serialize_to(builder, write_sparse, &file, &error));
    CHECK(file.at > len && file.largest > PAYLOAD / 2);
    artifact_buffer_t *buffer = GARBAGE;
    if (limited) {
        CHECK_FAILS(artifact_serialize(builder, &buffer, &error), ARTIFACT_NO_MEMORY, "memory");
        CHECK(buffer == NULL);
    }
    /* Opening and reading settings need no mapping; reading the bytes of the module does. */
    artifact_t *artifact = open_path(scratch("huge"), engine);
    CHECK(artifact_file_len(artifact) == file.at);
    CHECK_OK(artifact_check_compat(artifact, engine, &error));
    artifact_module_t module;
    memset(&module, 0x5a, sizeof module);
    if (limited) {
        CHECK_FAILS(artifact_module(artifact, 0, &module, &error), ARTIFACT_NO_MEMORY, "");
        CHECK(module.bytes.data == NULL && module.bytes.len == 0);
    } else {
        CHECK_OK(artifact_module(artifact, 0, &module, &error));
        CHECK(module.bytes.len >= len);
    }
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    munmap(elf, len);
    close(file.fd);
}

TEST(large_copies_that_do_not_fit_in_memory) {
    size_t len = 0;
    uint8_t *elf = make_huge(PAYLOAD, &len);
    if (!limit_memory(LITTLE)) SKIP("the address space cannot be limited");
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_open_bytes(elf, len, NULL, NULL, &artifact, &error), ARTIFACT_NO_MEMORY, "memory");
    CHECK(artifact == NULL);
    munmap(elf, len);
}

/* Counts that ask for far more memory than there is: the error must be about the file, not about memory. */
TEST(large_counts_in_small_files) {
    bytes_t body = make_front("artifact", "1");
    add_settings(&body, HOST_TARGET);
    add_u64(&body, UINT64_C(1) << 33);
    bytes_grow(&body, 1 << 16);
    (void)limit_memory(LITTLE); /* without a limit the test proves less */
    artifact_t *artifact = GARBAGE;
    artifact_status_t status = artifact_open_bytes(body.data, body.len, NULL, NULL, &artifact, NULL);
    CHECK(status == ARTIFACT_CORRUPT || status == ARTIFACT_TRUNCATED || status == ARTIFACT_LIMIT);
    CHECK(artifact == NULL);
    bytes_free(&body);
}

/* The second module is beyond 4 GiB. */
TEST(large_offsets) {
    if (sizeof(void *) < 8) SKIP("the address space is too small for 5 GiB");
    const uint64_t far = UINT64_C(5) << 30;
    bytes_t elf = make_elf((shape_t){.fill = 7}), tail = {0}, front = bytes_copy(elf.data, elf.len);
    add_u64(&front, far);
    bytes_add(&tail, elf.data, elf.len);
    add_header(&tail, "artifact", "1");
    add_settings(&tail, HOST_TARGET);
    add_no_types(&tail);
    int fd = open(scratch("far"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && pwrite(fd, front.data, front.len, 0) == (ssize_t)front.len);
    if (pwrite(fd, tail.data, tail.len, (off_t)far) != (ssize_t)tail.len) SKIP("a file of 5 GiB cannot be written");
    artifact_engine_t *engine = plain_engine();
    artifact_t *artifact = open_path(scratch("far"), engine);
    artifact_module_t module;
    artifact_section_t section;
    CHECK(artifact_module_count(artifact) == 2 && artifact_file_len(artifact) == far + tail.len);
    CHECK_OK(artifact_module(artifact, 1, &module, &error));
    CHECK(module.offset == far && same_bytes(module.bytes.data, module.bytes.len, elf.data, elf.len));
    CHECK_OK(artifact_section(artifact, 1, ".text", &section, &error));
    CHECK(section.bytes.len == TEXT_LEN && section.bytes.data[0] == 7);
    artifact_free(artifact);
    /* Errors have offsets beyond 4 GiB. */
    uint8_t byte = 0;
    CHECK(pwrite(fd, &byte, 1, (off_t)far) == 1);
    artifact_error_t *error = NULL;
    CHECK_STATUS(artifact_open_file(scratch("far"), engine, NULL, &artifact, &error), ARTIFACT_CORRUPT);
    CHECK(artifact_error_offset(error) == far);
    artifact_error_free(error);
    artifact_engine_free(engine);
    close(fd);
    bytes_free(&elf), bytes_free(&tail), bytes_free(&front);
}

TEST(large_number_of_modules) {
    enum { MANY = 2000 };
    bytes_t elf = make_elf((shape_t){0});
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    for (size_t i = 0; i < MANY; i++) {
        size_t index = 0;
        CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, &index, &error));
        CHECK(index == i);
    }
    bytes_t body = serialize(builder);
    artifact_t *artifact = open_bytes(&body, engine);
    CHECK(artifact_module_count(artifact) == MANY && artifact_main_module(artifact) == MANY - 1);
    for (size_t i = 0; i < MANY; i += 99) {
        artifact_module_t module;
        CHECK_OK(artifact_module(artifact, i, &module, &error));
        CHECK(same_bytes(module.bytes.data, module.bytes.len, elf.data, elf.len));
    }
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&elf), bytes_free(&body);
}

/* ---- work that several threads share ---- */

enum { TOGETHER = 3 };

/* Modules of different lengths and contents, large enough for several threads. */
static artifact_builder_t *new_large_builder(const artifact_engine_t *engine, uint8_t *elves[TOGETHER]) {
    artifact_builder_t *builder = new_builder(engine);
    uint32_t random = 1;
    for (size_t i = 0; i < TOGETHER; i++) {
        size_t len = ((size_t)3 << 20) + i * 100008, total = 0;
        elves[i] = make_huge(len, &total);
        for (size_t at = 65536; at < len; at++)
            elves[i][at] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
        CHECK_OK(artifact_builder_add_module(builder, elves[i], total, NULL, &error));
    }
    return builder;
}

/* Runs in a process of its own, so that no cached thread stack is left for the next run. */
static void save_expected(const artifact_builder_t *builder) {
    (void)scratch(""); /* so that both processes use one folder */
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        bytes_t bytes = serialize(builder);
        write_file(scratch("expected"), bytes.data, bytes.len);
        bytes.data[(size_t)5 << 20] ^= 1; /* in the second module */
        write_file(scratch("damaged"), bytes.data, bytes.len);
        _exit(0);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

/* Opened and mapped. */
static artifact_t *open_mapped(const char *path) {
    artifact_t *artifact = open_path(path, NULL);
    artifact_module_t module;
    CHECK_OK(artifact_module(artifact, 0, &module, &error));
    return artifact;
}

/* Saves and verifies, and compares the result with that of another process. */
static void save_and_verify(bool without_threads) {
    if (is_valgrind()) SKIP("valgrind reports what its child processes leave allocated");
    uint8_t *elves[TOGETHER];
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_large_builder(engine, elves), *rewrite = GARBAGE;
    save_expected(builder);
    artifact_t *sound = open_mapped(scratch("expected")), *damaged = open_mapped(scratch("damaged"));
    CHECK_OK(artifact_builder_new_from_artifact(damaged, &rewrite, &error));
    /* Smaller than the stack of a thread. */
    if (without_threads && !limit_memory(128 << 10)) SKIP("the address space cannot be limited");

    CHECK_OK(artifact_serialize_to_file(builder, scratch("saved"), NULL, &error));
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_verify(sound, &report, &error));
    CHECK(artifact_report_count(report) == 0);
    artifact_report_free(report);
    CHECK_FAILS(artifact_verify(damaged, &report, &error), ARTIFACT_DIGEST_MISMATCH, "module 1");
    CHECK_FAILS(artifact_serialize_to_file(rewrite, scratch("saved"), NULL, &error), ARTIFACT_DIGEST_MISMATCH,
                "module 1");

    FILE *expected = fopen(scratch("expected"), "rb"), *saved = fopen(scratch("saved"), "rb");
    CHECK(expected && saved);
    int byte;
    do {
        byte = getc_unlocked(expected);
        CHECK(getc_unlocked(saved) == byte);
    } while (byte != EOF);
    fclose(expected), fclose(saved);
    artifact_free(sound), artifact_free(damaged);
    artifact_builder_free(builder), artifact_builder_free(rewrite);
    artifact_engine_free(engine);
    for (size_t i = 0; i < TOGETHER; i++) munmap(elves[i], (size_t)3 << 20);
}

TEST(large_modules_with_threads) { save_and_verify(false); }

TEST(large_modules_without_threads) { save_and_verify(true); }
