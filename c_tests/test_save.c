/* Saving to a file: atomically, with the right mode bits, through links, never over anything but a regular file. */
#include "check.h"
#include "image.h"
#include "support.h"

#include <signal.h>
#include <sys/resource.h>
#include <time.h>

/* Makes a folder for the test, so that leftover files are noticed. */
static char folder[4200], target[4300];

static artifact_builder_t *set_up(uint8_t fill) {
    snprintf(folder, sizeof folder, "%s", scratch("folder"));
    CHECK(mkdir(folder, 0755) == 0 || errno == EEXIST);
    snprintf(target, sizeof target, "%s/out.cwasm", folder);
    static bytes_t elves[2];
    bytes_t *elf = &elves[elves[0].data != NULL];
    *elf = make_elf((shape_t){.fill = fill, .align = 65536});
    artifact_engine_t *engine = plain_engine();
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_module(builder, elf->data, elf->len, NULL, &error));
    artifact_engine_free(engine);
    return builder;
}

static void check_holds(const char *path, const artifact_builder_t *builder) {
    bytes_t expected = serialize(builder), found = read_file(path);
    CHECK(same_bytes(found.data, found.len, expected.data, expected.len));
    bytes_free(&expected), bytes_free(&found);
}

static mode_t mode_of(const char *path) {
    struct stat stat;
    CHECK(lstat(path, &stat) == 0);
    return stat.st_mode & 07777;
}

/* Expects that saving fails with this status and leaves no new file in the folder. */
static int cannot_save(const artifact_builder_t *builder, const char *path, artifact_status_t status,
                       const char *words) {
    size_t before = count_entries(folder);
    artifact_error_t *error = GARBAGE;
    CHECK_STATUS(artifact_serialize_to_file(builder, path, NULL, &error), status);
    check_error(__FILE__, __LINE__, error, status, words);
    int code = artifact_error_errno(error);
    artifact_error_free(error);
    CHECK(count_entries(folder) == before);
    return code;
}

TEST(save_writes_the_same_bytes_and_nothing_else) {
    artifact_builder_t *builder = set_up(1);
    artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
    CHECK_OK(artifact_serialize_to_file(builder, target, NULL, &error));
    check_holds(target, builder);
    CHECK(unlink(target) == 0);
    CHECK_OK(artifact_serialize_to_file(builder, target, &options, &error));
    check_holds(target, builder);
    options.flags = ARTIFACT_SAVE_NO_SYNC;
    CHECK_OK(artifact_serialize_to_file(builder, target, &options, &error));
    check_holds(target, builder);
    CHECK(count_entries(folder) == 1);
    artifact_builder_free(builder);
}

TEST(save_mode_follows_the_umask) {
    static const mode_t masks[] = {022, 027, 077, 0, 0777};
    artifact_builder_t *builder = set_up(1);
    for (size_t i = 0; i < COUNT(masks); i++) {
        mode_t old = umask(masks[i]);
        CHECK_OK(artifact_serialize_to_file(builder, target, NULL, &error));
        umask(old);
        CHECK(mode_of(target) == (0666 & ~masks[i]));
        CHECK(unlink(target) == 0);
    }
    artifact_builder_free(builder);
}

TEST(save_mode_follows_the_replaced_file) {
    static const mode_t modes[] = {0600, 0644, 0666, 0751, 0400};
    artifact_builder_t *builder = set_up(1);
    mode_t old = umask(027);
    for (size_t i = 0; i < COUNT(modes); i++) {
        write_file(target, "old", 3);
        CHECK(chmod(target, modes[i]) == 0);
        CHECK_OK(artifact_serialize_to_file(builder, target, NULL, &error));
        CHECK(mode_of(target) == modes[i]);
        CHECK(unlink(target) == 0);
    }
    umask(old);
    artifact_builder_free(builder);
}

/* Other processes may have the old file mapped, so it must not change. */
TEST(save_never_writes_in_place) {
    artifact_builder_t *old = set_up(1), *new = set_up(2);
    CHECK_OK(artifact_serialize_to_file(old, target, NULL, &error));
    struct stat before, after;
    CHECK(stat(target, &before) == 0);
    artifact_t *artifact = open_path(target, NULL);
    artifact_section_t section;
    CHECK_OK(artifact_section(artifact, 0, ".text", &section, &error));
    CHECK(link(target, scratch("second name")) == 0);
    CHECK_OK(artifact_serialize_to_file(new, target, NULL, &error));
    CHECK(stat(target, &after) == 0 && before.st_ino != after.st_ino);
    CHECK(section.bytes.data[0] == 1);
    check_holds(scratch("second name"), old);
    check_holds(target, new);
    artifact_free(artifact);
    artifact_builder_free(old), artifact_builder_free(new);
}

TEST(save_over_the_artifact_it_was_built_from) {
    artifact_builder_t *builder = set_up(1), *again = GARBAGE;
    CHECK_OK(artifact_serialize_to_file(builder, target, NULL, &error));
    artifact_t *artifact = open_path(target, NULL);
    CHECK_OK(artifact_builder_new_from_artifact(artifact, &again, &error));
    artifact_free(artifact);
    CHECK_OK(artifact_serialize_to_file(again, target, NULL, &error));
    check_holds(target, builder);
    artifact_builder_free(builder), artifact_builder_free(again);
}

/* ---- names ---- */

TEST(save_follows_a_link_to_a_file) {
    artifact_builder_t *builder = set_up(1);
    char link[4600], real[4600];
    snprintf(real, sizeof real, "%s", scratch("real.cwasm"));
    snprintf(link, sizeof link, "%s/link.cwasm", folder);
    write_file(real, "old", 3);
    CHECK(chmod(real, 0640) == 0);
    CHECK(symlink("../real.cwasm", link) == 0);
    CHECK_OK(artifact_serialize_to_file(builder, link, NULL, &error));
    struct stat stat;
    CHECK(lstat(link, &stat) == 0 && S_ISLNK(stat.st_mode));
    CHECK(lstat(real, &stat) == 0 && S_ISREG(stat.st_mode) && (stat.st_mode & 07777) == 0640);
    check_holds(real, builder);
    CHECK(count_entries(folder) == 1);
    artifact_builder_free(builder);
}

/* In a folder that others can write to, they could have planted the link. */
TEST(save_does_not_follow_links_of_other_users) {
    artifact_builder_t *builder = set_up(1);
    char real[4600];
    snprintf(real, sizeof real, "%s", scratch("real.cwasm"));
    write_file(real, "old", 3);
    CHECK(symlink(real, target) == 0);
    if (lchown(target, 65534, 65534) != 0) SKIP("only root can give a link to another user");
    CHECK(cannot_save(builder, target, ARTIFACT_IO, "symbolic link of user 65534") == ELOOP);
    bytes_t old = read_file(real);
    CHECK(same_bytes(old.data, old.len, (const uint8_t *)"old", 3));
    bytes_free(&old);
    /* A file of another user is replaced, but nobody else may write to the new one. */
    CHECK(unlink(target) == 0);
    write_file(target, "old", 3);
    CHECK(chown(target, 65534, 65534) == 0 && chmod(target, 0666) == 0);
    CHECK_OK(artifact_serialize_to_file(builder, target, NULL, &error));
    CHECK(mode_of(target) == 0644);
    artifact_builder_free(builder);
}

/* Neither the name nor the path of the temporary file is longer than the file system takes. */
TEST(save_to_a_path_of_maximum_length) {
    artifact_builder_t *builder = set_up(1);
    char path[4600];
    size_t len = (size_t)snprintf(path, sizeof path, "%s", folder);
    while (len + 2 < 4095) {
        size_t room = 4095 - len - 2;
        if (room < 200) break;
        len += (size_t)snprintf(path + len, sizeof path - len, "/%0199d", 0);
        CHECK(mkdir(path, 0755) == 0 || errno == EEXIST);
    }
    size_t name = 4095 - len - 1;
    path[len++] = '/';
    memset(path + len, 'n', name);
    path[len + name] = 0;
    CHECK(strlen(path) == 4095);
    if (name > 255) SKIP("the folder's path has an unfortunate length");
    CHECK_OK(artifact_serialize_to_file(builder, path, NULL, &error));
    check_holds(path, builder);
    artifact_builder_free(builder);
}

TEST(save_refuses_links_in_a_circle) {
    artifact_builder_t *builder = set_up(1);
    CHECK(symlink("out.cwasm", target) == 0);
    CHECK(cannot_save(builder, target, ARTIFACT_IO, "out.cwasm") == ELOOP);
    artifact_builder_free(builder);
}

TEST(save_relative_names) {
    artifact_builder_t *builder = set_up(1);
    CHECK(chdir(folder) == 0);
    CHECK_OK(artifact_serialize_to_file(builder, "plain", NULL, &error));
    CHECK_OK(artifact_serialize_to_file(builder, "./dotted", NULL, &error));
    CHECK_OK(artifact_serialize_to_file(builder, "../beside", NULL, &error));
    check_holds("plain", builder), check_holds("dotted", builder), check_holds(scratch("beside"), builder);
    CHECK(count_entries(folder) == 2);
    CHECK(chdir("/") == 0);
    artifact_builder_free(builder);
}

TEST(save_names_that_are_not_text_or_of_maximum_length) {
    artifact_builder_t *builder = set_up(1);
    char path[4600], longest[256];
    memset(longest, 'n', 255);
    longest[255] = 0;
    snprintf(path, sizeof path, "%s/%s", folder, longest);
    CHECK_OK(artifact_serialize_to_file(builder, path, NULL, &error));
    check_holds(path, builder);
    snprintf(path, sizeof path, "%s/\xff\xfe\n", folder);
    CHECK_OK(artifact_serialize_to_file(builder, path, NULL, &error));
    check_holds(path, builder);
    CHECK(count_entries(folder) == 2);
    snprintf(path, sizeof path, "%s/n%s", folder, longest);
    cannot_save(builder, path, ARTIFACT_IO, "");
    artifact_builder_free(builder);
}

/* ---- files that it does not replace ---- */

TEST(save_refuses_other_than_regular_files) {
    artifact_builder_t *builder = set_up(1);
    char fifo[4600], link[4600];
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    snprintf(link, sizeof link, "%s/null", folder);
    CHECK(mkfifo(fifo, 0600) == 0 && symlink("/dev/null", link) == 0);
    alarm(20); /* ends the test if opening the FIFO blocks */
    cannot_save(builder, folder, ARTIFACT_INVALID_ARGUMENT, "directory");
    cannot_save(builder, fifo, ARTIFACT_INVALID_ARGUMENT, "fifo|FIFO");
    cannot_save(builder, link, ARTIFACT_INVALID_ARGUMENT, "device");
    cannot_save(builder, "/dev/null", ARTIFACT_INVALID_ARGUMENT, "device");
    struct stat stat;
    CHECK(lstat(fifo, &stat) == 0 && S_ISFIFO(stat.st_mode));
    CHECK(lstat("/dev/null", &stat) == 0 && S_ISCHR(stat.st_mode));
    artifact_builder_free(builder);
}

TEST(save_into_missing_folders) {
    artifact_builder_t *builder = set_up(1);
    char path[4400];
    snprintf(path, sizeof path, "%s/no/such", folder);
    CHECK(cannot_save(builder, path, ARTIFACT_IO, "no/such") == ENOENT);
    write_file(target, "x", 1);
    snprintf(path, sizeof path, "%s/below", target);
    CHECK(cannot_save(builder, path, ARTIFACT_IO, "below") == ENOTDIR);
    cannot_save(builder, "", ARTIFACT_INVALID_ARGUMENT, "path");
    snprintf(path, sizeof path, "%s/", folder);
    cannot_save(builder, path, ARTIFACT_INVALID_ARGUMENT, "directory");
    CHECK(count_entries(folder) == 1);
    artifact_builder_free(builder);
}

/* Root may write anywhere, so it temporarily switches to another user. */
TEST(save_into_a_folder_that_is_read_only) {
    artifact_builder_t *builder = set_up(1);
    write_file(target, "old", 3);
    CHECK(chmod(folder, 0555) == 0 && chmod(check_folder, 0755) == 0);
    bool root = geteuid() == 0;
    if (root && seteuid(65534) != 0) SKIP("root cannot switch to another user");
    bool reachable = faccessat(AT_FDCWD, folder, X_OK, AT_EACCESS) == 0;
    artifact_error_t *error = NULL;
    artifact_status_t status = artifact_serialize_to_file(builder, target, NULL, &error);
    if (root) CHECK(seteuid(0) == 0);
    CHECK(chmod(folder, 0755) == 0);
    if (!reachable) SKIP("only root can reach the scratch folder");
    CHECK_STATUS(status, ARTIFACT_IO);
    check_error(__FILE__, __LINE__, error, ARTIFACT_IO, "out.cwasm");
    CHECK(artifact_error_errno(error) == EACCES);
    artifact_error_free(error);
    CHECK(count_entries(folder) == 1);
    bytes_t old = read_file(target);
    CHECK(same_bytes(old.data, old.len, (const uint8_t *)"old", 3));
    bytes_free(&old);
    artifact_builder_free(builder);
}

/* The disk fills up while saving: the old file stays intact and the temporary one is removed. */
TEST(save_that_runs_out_of_room) {
    artifact_builder_t *builder = set_up(1);
    struct rlimit room = {60000, RLIM_INFINITY}, before;
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    write_file(target, "old", 3);
    signal(SIGXFSZ, SIG_IGN);
    room.rlim_max = before.rlim_max;
    CHECK(setrlimit(RLIMIT_FSIZE, &room) == 0);
    int code = cannot_save(builder, target, ARTIFACT_IO, "out.cwasm");
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    CHECK(code == EFBIG);
    bytes_t old = read_file(target);
    CHECK(same_bytes(old.data, old.len, (const uint8_t *)"old", 3));
    bytes_free(&old);
    artifact_builder_free(builder);
}

/* Killed at any moment: the path has the old file or the new one, complete. */
TEST(save_that_is_killed) {
    artifact_builder_t *old = set_up(1), *new = set_up(2);
    bytes_t before = serialize(old), after = serialize(new);
    for (long i = 0; i < 60; i++) {
        CHECK_OK(artifact_serialize_to_file(old, target, NULL, &error));
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            for (;;) {
                artifact_serialize_to_file(new, target, NULL, NULL);
                artifact_serialize_to_file(old, target, NULL, NULL);
            }
        }
        struct timespec wait = {0, 50000 * (i % 40)};
        nanosleep(&wait, NULL);
        int status = 0;
        CHECK(kill(child, SIGKILL) == 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        bytes_t found = read_file(target);
        bool is_old = same_bytes(found.data, found.len, before.data, before.len);
        CHECK(is_old || same_bytes(found.data, found.len, after.data, after.len));
        bytes_free(&found);
    }
    artifact_builder_free(old), artifact_builder_free(new);
    bytes_free(&before), bytes_free(&after);
}

/* ---- options ---- */

TEST(save_options) {
    artifact_builder_t *builder = set_up(1);
    struct {
        artifact_save_options_t known;
        uint64_t tail[2];
    } larger = {.known = {sizeof larger, ARTIFACT_SAVE_NO_SYNC}};
    CHECK_OK(artifact_serialize_to_file(builder, target, &larger.known, &error));
    for (size_t i = 0; i < sizeof larger.tail; i++) {
        ((uint8_t *)larger.tail)[i] = 0x80;
        CHECK_FAILS(artifact_serialize_to_file(builder, target, &larger.known, &error), ARTIFACT_UNSUPPORTED, "");
        ((uint8_t *)larger.tail)[i] = 0;
    }
    for (int bit = 1; bit < 64; bit++) {
        artifact_save_options_t options = ARTIFACT_SAVE_OPTIONS_INIT;
        options.flags = UINT64_C(1) << bit;
        CHECK_FAILS(artifact_serialize_to_file(builder, target, &options, &error), ARTIFACT_UNSUPPORTED, "flag");
    }
    artifact_save_options_t smaller = {sizeof(size_t),
                                       UINT64_MAX}; /* flags are outside the struct, so they are ignored */
    CHECK_OK(artifact_serialize_to_file(builder, target, &smaller, &error));
    CHECK(count_entries(folder) == 1);
    artifact_builder_free(builder);
}
