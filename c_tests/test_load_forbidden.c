/* Loading where a policy forbids executable mappings of the file: seccomp filters stand for SELinux, AppArmor and IMA.
 */
#include "check.h"
#include "native.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define UNLESS_EQUAL(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define UNLESS_SET(bit, skip) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (bit), 0, (skip))
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE(code) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)(code))

static void install(struct sock_filter *filter, size_t count) {
    if (is_valgrind() || is_emulated()) SKIP("system calls are not the program's own");
    struct sock_fprog program = {(unsigned short)count, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        SKIP("seccomp filters are not permitted");
    }
}

/* Mapping a descriptor executable fails with this error; if `any` is set, mapping any descriptor. */
static void forbid(int fd, bool any, int code) {
    struct sock_filter filter[] = {
        LOAD(nr),
        UNLESS_EQUAL(SYS_mmap, 6),
        LOAD(args[2]),
        UNLESS_SET(PROT_EXEC, 4),
        LOAD(args[4]),
        any ? (struct sock_filter)UNLESS_SET(UINT32_MAX, 0) : (struct sock_filter)UNLESS_EQUAL((uint32_t)fd, 2),
        REFUSE(code),
        ALLOW,
        ALLOW,
    };
    install(filter, COUNT(filter));
}

/* No memfd that may be executed can be made, as with the sysctl vm.memfd_noexec at 2. */
static void forbid_executable_memfds(void) {
    struct sock_filter filter[] = {
        LOAD(nr), UNLESS_EQUAL(SYS_memfd_create, 3), LOAD(args[1]), UNLESS_SET(MFD_EXEC, 1), REFUSE(EACCES), ALLOW,
    };
    install(filter, COUNT(filter));
}

/* Opens an artifact with the first free descriptor, which it returns. */
static int open_numbered(const char *file, loaded_t *loaded) {
    int fd = dup(0);
    CHECK(fd > 2 && close(fd) == 0);
    *loaded = open_packed(file);
    return fd;
}

static void count_call(void *context, artifact_import_t *missing, size_t count) {
    (void)missing, (void)count;
    ++*(int *)context;
}

static void loads_a_copy(const char *module, size_t count, int code, int expected) {
    pack("code.artifact", module, count);
    loaded_t loaded;
    forbid(open_numbered("code.artifact", &loaded), false, code);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    artifact_error_t *error = NULL;
    CHECK_STATUS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_IO);
    check_error(__FILE__, __LINE__, error, ARTIFACT_IO, "ARTIFACT_LOAD_ALLOW_MEMFD");
    CHECK(artifact_error_errno(error) == code && loaded.code == NULL);
    artifact_error_free(error);
    options.flags |= ARTIFACT_LOAD_ALLOW_MEMFD;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    int (*function)(void);
    for (size_t i = 0; i < count; i++) {
        SYMBOL(loaded.code, i, "count", function);
        CHECK(function() == expected);
        page_t text = page_of(address_of(&function));
        CHECK_STR(text.rights, "r-xp");
        CHECK(strstr(text.path, "memfd:artifact") != NULL);
    }
    unload(&loaded);
}

TEST(a_copy_is_loaded_after_eacces) { loads_a_copy("basic", 1, EACCES, 41); }
TEST(a_copy_is_loaded_after_eperm) { loads_a_copy("basic", 1, EPERM, 41); }
TEST(a_copy_of_several_modules_is_loaded) { loads_a_copy("basic", 3, EACCES, 41); }

/* Too much .bss to be mapped with the whole file: segment by segment. */
TEST(a_copy_is_loaded_segment_by_segment) {
    pack("code.artifact", "large_bss.o", 1);
    loaded_t loaded;
    forbid(open_numbered("code.artifact", &loaded), false, EACCES);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_IO, "MEMFD");
    options.flags = ARTIFACT_LOAD_ALLOW_MEMFD;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    char *(*room)(void);
    SYMBOL(loaded.code, 0, "room", room);
    CHECK(room()[0] == 0);
    unload(&loaded);
}

TEST(the_callback_is_called_only_if_the_file_can_be_executed) {
    pack("code.artifact", "imports", 1);
    loaded_t loaded;
    forbid(open_numbered("code.artifact", &loaded), false, EACCES);
    int calls = 0;
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.resolve = count_call, options.context = &calls;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_IO, "MEMFD");
    CHECK(calls == 0);
    options.flags = ARTIFACT_LOAD_ALLOW_MEMFD;
    CHECK_STATUS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, NULL), ARTIFACT_UNRESOLVED);
    CHECK(calls == 1);
    unload(&loaded);
}

/* Then the message recommends nothing that was asked for already. */
static void no_copy_either(const loaded_t *loaded, int code) {
    for (int i = 0; i < 2; i++) {
        artifact_code_t *none = GARBAGE;
        artifact_error_t *error = NULL;
        artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
        options.flags = i ? ARTIFACT_LOAD_ALLOW_MEMFD : 0;
        CHECK_STATUS(artifact_load(loaded->artifact, loaded->engine, &options, &none, &error), ARTIFACT_IO);
        check_error(__FILE__, __LINE__, error, ARTIFACT_IO, "private copy");
        CHECK(artifact_error_errno(error) == code && none == NULL);
        bool recommends = strstr(artifact_error_message(error), "ARTIFACT_LOAD_ALLOW_MEMFD") != NULL;
        CHECK(recommends == (i == 0 && code == EPERM));
        artifact_error_free(error);
    }
}

TEST(where_no_file_can_be_executed) {
    pack("code.artifact", "small", 1);
    loaded_t loaded = open_packed("code.artifact");
    forbid(0, true, EPERM);
    no_copy_either(&loaded, EPERM);
    unload(&loaded);
}

TEST(where_no_memfd_can_be_executed) {
    pack("code.artifact", "small", 1);
    bytes_t bytes = read_file(scratch("code.artifact"));
    loaded_t loaded = {.engine = artifact_engine_new_host()};
    loaded.artifact = open_bytes(&bytes, loaded.engine);
    forbid_executable_memfds();
    no_copy_either(&loaded, EACCES);
    /* A copy to read from takes no right to execute it. */
    artifact_open_options_t copying = ARTIFACT_OPEN_OPTIONS_INIT;
    copying.flags = ARTIFACT_OPEN_COPY;
    artifact_t *copy = GARBAGE;
    CHECK_OK(artifact_open_file(scratch("code.artifact"), loaded.engine, &copying, &copy, &error));
    artifact_free(copy);
    bytes_free(&bytes);
    unload(&loaded);
}
