/*
 * Signals that system calls of the library could raise: SIGXFSZ of writes beyond RLIMIT_FSIZE, SIGBUS of reads from
 * truncated files. None of them ends the process or runs a handler.
 */
#include "check.h"
#include "native.h"
#include "signed.h"

#include <signal.h>
#include <sys/resource.h>

static volatile sig_atomic_t handled;

static void handle(int number) {
    (void)number;
    handled++;
}

static struct rlimit unlimited;

static void limit_files(rlim_t len) {
    CHECK(getrlimit(RLIMIT_FSIZE, &unlimited) == 0);
    struct rlimit limit = {len, unlimited.rlim_max};
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
}

static void end_limit(void) { CHECK(setrlimit(RLIMIT_FSIZE, &unlimited) == 0); }

static bool is_pending(void) {
    sigset_t set;
    CHECK(sigpending(&set) == 0);
    return sigismember(&set, SIGXFSZ) == 1;
}

static bool is_blocked(void) {
    sigset_t set;
    CHECK(pthread_sigmask(SIG_BLOCK, NULL, &set) == 0);
    return sigismember(&set, SIGXFSZ) == 1;
}

static void too_large(artifact_status_t status, artifact_error_t **error) {
    end_limit();
    CHECK_STATUS(status, ARTIFACT_IO);
    CHECK(artifact_error_errno(*error) == EFBIG);
    artifact_error_free(*error);
}

/* Everything that writes, under a limit of 2048 bytes. */
static void write_too_much(void) {
    loaded_t loaded = open_packed("code.artifact");
    artifact_builder_t *builder = GARBAGE;
    CHECK_OK(artifact_builder_new_from_artifact(loaded.artifact, &builder, &error));
    char folder[4200], path[4300];
    snprintf(folder, sizeof folder, "%s", scratch("folder"));
    snprintf(path, sizeof path, "%s/saved.artifact", folder);
    CHECK(mkdir(folder, 0755) == 0 || errno == EEXIST);
    artifact_save_options_t saving = ARTIFACT_SAVE_OPTIONS_INIT;
    artifact_error_t *error = NULL;
    for (int i = 0; i < 2; i++) {
        saving.flags = i ? ARTIFACT_SAVE_NO_SYNC : 0;
        limit_files(2048);
        too_large(artifact_serialize_to_file(builder, path, &saving, &error), &error);
        CHECK(count_entries(folder) == 0);
    }
    artifact_builder_free(builder);

    artifact_open_options_t copying = ARTIFACT_OPEN_OPTIONS_INIT;
    copying.flags = ARTIFACT_OPEN_COPY;
    artifact_t *copy = GARBAGE;
    limit_files(2048);
    too_large(artifact_open_file(scratch("code.artifact"), loaded.engine, &copying, &copy, &error), &error);

    bytes_t bytes = read_file(scratch("code.artifact"));
    artifact_t *in_memory = open_bytes(&bytes, loaded.engine);
    artifact_code_t *code = GARBAGE;
    limit_files(2048);
    too_large(artifact_load(in_memory, loaded.engine, NULL, &code, &error), &error);
    CHECK(code == NULL);
    artifact_free(in_memory);
    bytes_free(&bytes);

    /* The functions' code takes more than that. */
    for (int i = 0; i < 2; i++) {
        artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
        options.flags = i ? ARTIFACT_LOAD_JITDUMP : ARTIFACT_LOAD_PERF_MAP;
        limit_files(16);
        too_large(artifact_load(loaded.artifact, loaded.engine, &options, &code, &error), &error);
        snprintf(path, sizeof path, i ? "/tmp/jit-%d.dump" : "/tmp/perf-%d.map", (int)getpid());
        unlink(path);
    }
    unload(&loaded);
}

TEST(file_size_limit_whatever_the_disposition) {
    pack("code.artifact", "small", 2);
    signal(SIGXFSZ, SIG_DFL);
    write_too_much();
    signal(SIGXFSZ, SIG_IGN);
    write_too_much();
    signal(SIGXFSZ, handle);
    write_too_much();
    CHECK(handled == 0 && !is_blocked() && !is_pending());
}

TEST(file_size_limit_with_the_signal_blocked) {
    pack("code.artifact", "small", 2);
    signal(SIGXFSZ, handle);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGXFSZ);
    CHECK(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    write_too_much();
    CHECK(handled == 0 && is_blocked() && !is_pending());
    /* One that was pending before is the program's. */
    CHECK(raise(SIGXFSZ) == 0);
    write_too_much();
    CHECK(handled == 0 && is_blocked() && is_pending());
    CHECK(pthread_sigmask(SIG_UNBLOCK, &set, NULL) == 0);
    CHECK(handled == 1);
}

/* A file that is truncated after it was opened is an error for what checks signatures, which reads it. */
TEST(truncated_files_and_signatures) {
    artifact_key_t *key = new_key();
    artifact_engine_t *engine = plain_engine();
    bytes_t plain = make(NULL, 0, true);
    write_file(scratch("plain"), plain.data, plain.len);
    artifact_t *artifact = open_path(scratch("plain"), NULL);
    artifact_buffer_t *signature = GARBAGE, *record = GARBAGE;
    CHECK_OK(artifact_sign(artifact, key, &signature, &error));
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_verify(artifact, &report, &error)); /* has mapped the file */
    artifact_report_free(report);
    CHECK(truncate(scratch("plain"), 100) == 0);
    CHECK_STATUS(artifact_detached_record(artifact, &record, NULL), ARTIFACT_TRUNCATED);
    CHECK_STATUS(artifact_verify(artifact, &report, NULL), ARTIFACT_TRUNCATED);
    CHECK(record == NULL && report == NULL);
    artifact_free(artifact);
    artifact_buffer_free(signature);
    artifact_engine_free(engine);
    artifact_key_free(key);
    bytes_free(&plain);
}

/* Another process shortens the file again and again while its detached signature is checked. */
TEST(files_that_are_truncated_while_a_detached_signature_is_checked) {
    artifact_key_t *key = new_key();
    artifact_engine_t *engine = plain_engine();
    trust(engine, key);
    bytes_t plain = make(NULL, 0, true);
    char path[4200];
    snprintf(path, sizeof path, "%s", scratch("plain"));
    write_file(path, plain.data, plain.len);
    artifact_t *artifact = open_path(path, NULL);
    artifact_buffer_t *signature = GARBAGE;
    CHECK_OK(artifact_sign(artifact, key, &signature, &error));
    artifact_free(artifact);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.signature = artifact_buffer_data(signature), options.signature_len = 96;
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(50); /* if this process is killed */
        int fd = open(path, O_RDWR);
        for (;;) {
            if (ftruncate(fd, 100) != 0 || pwrite(fd, plain.data, plain.len, 0) < 0) _exit(1);
        }
    }
    for (int i = 0; i < 2000; i++) {
        artifact_status_t status = artifact_open_file(path, engine, &options, &artifact, NULL);
        CHECK(status == ARTIFACT_OK || artifact == NULL);
        artifact_free(artifact);
    }
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    artifact_buffer_free(signature);
    artifact_engine_free(engine);
    artifact_key_free(key);
    bytes_free(&plain);
}

static artifact_status_t read_module(artifact_t *artifact, size_t index) {
    artifact_module_t module;
    return artifact_module(artifact, index, &module, NULL);
}

/* A file that is truncated between two reads of its modules. */
TEST(truncated_files_whose_modules_are_read) {
    artifact_engine_t *engine = plain_engine();
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_READ;
    for (int plain = 0; plain < 2; plain++) {
        bytes_t bytes = make(NULL, 0, plain);
        write_file(scratch("file"), bytes.data, bytes.len);
        artifact_t *artifact = GARBAGE;
        CHECK_OK(artifact_open_file(scratch("file"), NULL, &options, &artifact, &error));
        artifact_module_t module;
        CHECK_OK(artifact_module(artifact, 0, &module, &error));
        bytes_t before = bytes_copy(module.bytes.data, module.bytes.len);
        CHECK(truncate(scratch("file"), 100) == 0);
        /* What has been read stays. */
        CHECK_OK(artifact_module(artifact, 0, &module, &error));
        CHECK(same_bytes(module.bytes.data, module.bytes.len, before.data, before.len));
        CHECK_STATUS(read_module(artifact, 1), ARTIFACT_TRUNCATED);
        CHECK_STATUS(read_module(artifact, 2), ARTIFACT_TRUNCATED);
        artifact_section_t section;
        CHECK_STATUS(artifact_section_at(artifact, 1, 1, &section, NULL), ARTIFACT_TRUNCATED);
        artifact_symbol_t symbol;
        CHECK_STATUS(artifact_symbol(artifact, 1, "answer", &symbol, NULL), ARTIFACT_TRUNCATED);
        artifact_report_t *report = GARBAGE;
        CHECK_STATUS(artifact_verify(artifact, &report, NULL), ARTIFACT_TRUNCATED);
        artifact_code_t *code = GARBAGE;
        CHECK(artifact_load(artifact, engine, NULL, &code, NULL) != ARTIFACT_OK);
        artifact_builder_t *builder = GARBAGE;
        CHECK_OK(artifact_builder_new_from_artifact(artifact, &builder, &error));
        artifact_buffer_t *buffer = GARBAGE;
        CHECK_STATUS(artifact_serialize(builder, &buffer, NULL), ARTIFACT_TRUNCATED);
        artifact_builder_free(builder);
        artifact_free(artifact);
        bytes_free(&before), bytes_free(&bytes);
    }
    artifact_engine_free(engine);
}

/* A compiler truncates its output before it writes it again. */
TEST(truncated_files_that_were_added) {
    bytes_t elf = make_elf((shape_t){0});
    write_file(scratch("module"), elf.data, elf.len);
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine), *other = new_builder(engine);
    CHECK_OK(artifact_builder_add_module_file(builder, scratch("module"), NULL, &error));
    CHECK_OK(artifact_builder_add_module(other, elf.data, elf.len, NULL, &error));
    CHECK(truncate(scratch("module"), 0) == 0);
    bytes_t saved = serialize(builder), expected = serialize(other);
    CHECK(same_bytes(saved.data, saved.len, expected.data, expected.len));
    bytes_free(&saved), bytes_free(&expected), bytes_free(&elf);
    artifact_builder_free(builder), artifact_builder_free(other);
    artifact_engine_free(engine);
}

/* Another process shortens the file again and again while it is verified. */
static void verify_while_truncated(mode_t mode, uint64_t flags) {
    bytes_t bytes = make(NULL, 0, false);
    char path[4200];
    snprintf(path, sizeof path, "%s", scratch("file"));
    write_file(path, bytes.data, bytes.len);
    CHECK(chmod(path, mode) == 0);
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = flags;
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(50); /* if this process is killed */
        int fd = open(path, O_RDWR);
        for (;;) {
            if (ftruncate(fd, 100) != 0 || pwrite(fd, bytes.data, bytes.len, 0) < 0) _exit(1);
            usleep(10); /* while it is whole */
        }
    }
    int verified = 0;
    for (int i = 0; i < 2000 || (verified == 0 && i < 1000000); i++) {
        artifact_t *artifact = GARBAGE;
        artifact_report_t *report = GARBAGE;
        if (artifact_open_file(path, NULL, &options, &artifact, NULL)) continue;
        artifact_status_t status = artifact_verify(artifact, &report, NULL);
        CHECK(status == ARTIFACT_OK || (status >= ARTIFACT_NOT_AN_ARTIFACT && status <= ARTIFACT_DIGEST_MISMATCH));
        artifact_report_free(report);
        artifact_free(artifact);
        verified++;
    }
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    CHECK(verified > 0);
    bytes_free(&bytes);
}

TEST(files_that_are_truncated_while_they_are_verified) { verify_while_truncated(0600, ARTIFACT_OPEN_READ); }

TEST(files_of_others_that_are_truncated_while_they_are_verified) {
    verify_while_truncated(0620, 0);
    verify_while_truncated(0602, 0);
}
