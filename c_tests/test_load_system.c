/* Loading and the operating system: page protections, files that must not be executed, leaks, forks, trust. */
#include "check.h"
#include "native.h"
#include "signed.h"

#include <elf.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef PR_MDWE_REFUSE_EXEC_GAIN
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

/* Checks that a mapping cannot be changed through /proc, even by a process that may open it. */
static void check_sealed(const page_t *page) {
    char path[128];
    snprintf(path, sizeof path, "/proc/self/map_files/%lx-%lx", page->start, page->end);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return; /* only root may open it, and not under emulators */
    int all = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL;
    CHECK(fcntl(fd, F_GET_SEALS) == all);
    CHECK(pwrite(fd, "", 1, 0) < 0 && errno == EPERM);
    close(fd);
}

static size_t count_lines(const char *path) {
    FILE *file = fopen(path, "r");
    if (!file) SKIP("there is no /proc/self/maps");
    size_t count = 0;
    for (int c; (c = getc(file)) != EOF;) count += c == '\n';
    fclose(file);
    return count;
}

TEST(text_is_mapped_from_the_file_and_stays_clean) {
    loaded_t loaded = load_flags("basic", ARTIFACT_LOAD_PROCESS_SYMBOLS);
    int (*count)(void);
    SYMBOL(loaded.code, 0, "count", count);
    CHECK(count() == 41);
    page_t text = page_of(address_of(&count));
    CHECK_STR(text.rights, "r-xp");
    CHECK(strstr(text.path, "code.artifact") != NULL);
    if (text.dirty >= 0) CHECK(text.dirty == 0);
    unload(&loaded);
}

TEST(relocated_constants_are_read_only) {
    loaded_t loaded = load_flags("many", 0);
    int (*const *many)(int) = symbol_of(loaded.code, 0, "many");
    CHECK(many[4999](1) == 5002);
    CHECK_STR(page_of((const void *)&many[2500]).rights, "r--p");
    unload(&loaded);
}

/* Saves a copy of an artifact that pack() saved, in which the relocated constants of the module are on the last whole
 * page of its data. */
static void move_constants(const char *file) {
    artifact_t *artifact = open_path(scratch(file), NULL);
    artifact_module_t module;
    CHECK_OK(artifact_module(artifact, 0, &module, &error));
    bytes_t image = bytes_copy(module.bytes.data, module.bytes.len);
    artifact_free(artifact);
    Elf64_Ehdr *header = (void *)image.data;
    Elf64_Phdr *segments = (void *)(image.data + header->e_phoff), *constants = NULL, *data = NULL;
    for (size_t i = 0; i < header->e_phnum; i++) {
        if (segments[i].p_type == PT_GNU_RELRO) constants = &segments[i];
        if (segments[i].p_type == PT_LOAD && segments[i].p_flags & PF_W) data = &segments[i];
    }
    CHECK(constants && data);
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    constants->p_memsz = page;
    constants->p_vaddr = (data->p_vaddr + data->p_memsz) / page * page - page;
    if (constants->p_vaddr < data->p_vaddr + page) SKIP("pages are too large");
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_module(builder, image.data, image.len, NULL, &error));
    CHECK_OK(artifact_serialize_to_file(builder, scratch(file), NULL, &error));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&image);
}

TEST(relocated_constants_after_data_are_read_only) {
    pack("code.artifact", "data.o", 1);
    move_constants("code.artifact");
    loaded_t loaded = open_packed("code.artifact");
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, &error));
    char(*bytes)[4 * 4096] = symbol_of(loaded.code, 0, "bytes");
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    CHECK_STR(page_of(bytes).rights, "rw-p");
    CHECK_STR(page_of((const void *)((uintptr_t)(bytes + 1) / page * page - page)).rights, "r--p");
    (*bytes)[0]++;
    unload(&loaded);
}

TEST(code_in_memory_is_mapped_from_a_sealed_copy) {
    pack("code.artifact", "basic", 3);
    bytes_t bytes = read_file(scratch("code.artifact"));
    artifact_engine_t *engine = artifact_engine_new_host();
    artifact_t *copied = open_bytes(&bytes, engine), *borrowed = NULL;
    CHECK_OK(artifact_open_borrowed(bytes.data, bytes.len, engine, NULL, &borrowed, &error));
    artifact_t *artifacts[] = {copied, borrowed};
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    for (size_t i = 0; i < 2; i++) {
        artifact_code_t *code = NULL;
        CHECK_OK(artifact_load(artifacts[i], engine, &options, &code, &error));
        for (size_t module = 0; module < 3; module++) {
            int (*count)(void);
            SYMBOL(code, module, "count", count);
            CHECK(count() == 41 && count() == 42);
            page_t text = page_of(address_of(&count));
            CHECK_STR(text.rights, "r-xp");
            CHECK(strstr(text.path, "memfd:artifact") != NULL);
            check_sealed(&text);
        }
        artifact_code_free(code);
        artifact_free(artifacts[i]);
    }
    bytes_free(&bytes);
    artifact_engine_free(engine);
}

TEST(code_inside_a_larger_file_loads_at_any_offset) {
    pack("code.artifact", "basic", 2);
    bytes_t bytes = read_file(scratch("code.artifact"));
    artifact_engine_t *engine = artifact_engine_new_host();
    static const size_t offsets[] = {4096, 65536, 8, 1000};
    for (size_t i = 0; i < COUNT(offsets); i++) {
        bytes_t larger = {0};
        bytes_grow(&larger, offsets[i]);
        bytes_add(&larger, bytes.data, bytes.len);
        write_file(scratch("larger"), larger.data, larger.len);
        artifact_open_options_t where = ARTIFACT_OPEN_OPTIONS_INIT;
        where.offset = offsets[i];
        artifact_t *artifact = NULL;
        CHECK_OK(artifact_open_file(scratch("larger"), engine, &where, &artifact, &error));
        artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
        options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
        artifact_code_t *code = NULL;
        CHECK_OK(artifact_load(artifact, engine, &options, &code, &error));
        int (*count)(void);
        SYMBOL(code, 1, "count", count);
        CHECK(count() == 41);
        CHECK_STR(page_of(address_of(&count)).rights, "r-xp");
        artifact_code_free(code);
        artifact_free(artifact);
        bytes_free(&larger);
    }
    bytes_free(&bytes);
    artifact_engine_free(engine);
}

TEST(load_works_under_memory_deny_write_execute) {
    pack("code.artifact", "basic", 2);
    loaded_t loaded = open_packed("code.artifact");
    bytes_t bytes = read_file(scratch("code.artifact"));
    artifact_t *copy = open_bytes(&bytes, loaded.engine);
    if (is_valgrind()) SKIP("valgrind does not work under it");
    if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0) SKIP("the kernel does not have PR_SET_MDWE");
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && mprotect(page, 4096, PROT_READ | PROT_EXEC) != 0);
    artifact_t *artifacts[] = {loaded.artifact, copy};
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    for (size_t i = 0; i < 2; i++) {
        int (*count)(void);
        CHECK_OK(artifact_load(artifacts[i], loaded.engine, &options, &loaded.code, &error));
        SYMBOL(loaded.code, 1, "count", count);
        CHECK(count() == 41);
        artifact_code_free(loaded.code);
    }
    loaded.code = NULL;
    artifact_free(copy);
    bytes_free(&bytes);
    unload(&loaded);
}

static void count_call(void *context, artifact_import_t *missing, size_t count) {
    (void)missing, (void)count;
    ++*(int *)context;
}

TEST(a_mount_without_exec_is_respected) {
    if (is_emulated()) SKIP("the emulator does not map files executable");
    pack("code.artifact", "basic", 1);
    bytes_t bytes = read_file(scratch("code.artifact"));
    char folder[4096], path[4200];
    snprintf(folder, sizeof folder, "%s", scratch("mount"));
    snprintf(path, sizeof path, "%s/code.artifact", folder);
    CHECK(mkdir(folder, 0700) == 0);
    if (mount("tmpfs", folder, "tmpfs", MS_NOEXEC, NULL) != 0) {
        rmdir(folder);
        SKIP("mounting is not permitted");
    }
    write_file(path, bytes.data, bytes.len);
    char importing[4200];
    snprintf(importing, sizeof importing, "%s/importing.artifact", folder);
    pack("importing.artifact", "imports", 1);
    bytes_t imports = read_file(scratch("importing.artifact"));
    write_file(importing, imports.data, imports.len);
    artifact_engine_t *engine = artifact_engine_new_host();
    artifact_open_options_t copying = ARTIFACT_OPEN_OPTIONS_INIT;
    copying.flags = ARTIFACT_OPEN_COPY;
    artifact_t *artifacts[2] = {open_path(path, engine), NULL};
    CHECK_OK(artifact_open_file(path, engine, &copying, &artifacts[1], &error));
    artifact_t *unloadable = open_path(importing, engine);
    CHECK(umount2(folder, MNT_DETACH) == 0 && rmdir(folder) == 0);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    /* The callback is not called if the module cannot be mapped anyway. */
    int calls = 0;
    artifact_code_t *none = GARBAGE;
    options.resolve = count_call, options.context = &calls;
    CHECK_FAILS(artifact_load(unloadable, engine, &options, &none, &error), ARTIFACT_IO, "noexec");
    CHECK(calls == 0 && none == NULL);
    artifact_free(unloadable);
    bytes_free(&imports);
    options.resolve = NULL, options.context = NULL;
    for (size_t i = 0; i < 2; i++) {
        artifact_code_t *code = GARBAGE;
        artifact_error_t *error = NULL;
        options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
        CHECK_STATUS(artifact_load(artifacts[i], engine, &options, &code, &error), ARTIFACT_IO);
        check_error(__FILE__, __LINE__, error, ARTIFACT_IO, "noexec|ARTIFACT_LOAD_ALLOW_MEMFD");
        CHECK(artifact_error_errno(error) == EPERM && code == NULL);
        artifact_error_free(error);
        options.flags |= ARTIFACT_LOAD_ALLOW_MEMFD;
        CHECK_OK(artifact_load(artifacts[i], engine, &options, &code, &error));
        int (*count)(void);
        SYMBOL(code, 0, "count", count);
        CHECK(count() == 41);
        artifact_code_free(code);
        artifact_free(artifacts[i]);
    }
    artifact_engine_free(engine);
    bytes_free(&bytes);
}

/* ---- memory ---- */

static size_t resident(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file) SKIP("there is no /proc/self/statm");
    size_t total = 0, pages = 0;
    CHECK(fscanf(file, "%zu %zu", &total, &pages) == 2);
    fclose(file);
    return pages;
}

TEST(bss_takes_no_memory_until_it_is_used) {
    if (is_emulated() || is_sanitized()) SKIP("the memory of the emulator or sanitizer would be counted");
    loaded_t loaded = load_flags("large_bss.o", 0);
    const size_t len = 2 << 20, page = (size_t)sysconf(_SC_PAGESIZE);
    size_t before = resident();
    artifact_code_t *another = NULL;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, NULL, &another, &error));
    CHECK(resident() < before + len / 2 / page);
    artifact_code_free(another);
    char *(*room)(void);
    SYMBOL(loaded.code, 0, "room", room);
    for (size_t i = 0; i < len; i++) CHECK(room()[i] == 0);
    unload(&loaded);
}

static void cycle(const char *path, const artifact_engine_t *engine, const artifact_load_options_t *options) {
    artifact_t *artifact = open_path(path, engine);
    artifact_code_t *code = NULL;
    CHECK_OK(artifact_load(artifact, engine, options, &code, &error));
    int (*add)(int);
    SYMBOL(code, 1, "add", add);
    CHECK(add(1) == 2);
    artifact_free(artifact);
    artifact_code_free(code);
}

TEST(load_and_free_10000_times_without_growth) {
    if (is_emulated() || is_sanitized()) SKIP("the memory of the emulator or sanitizer grows");
    pack("code.artifact", "small", 2);
    artifact_engine_t *engine = artifact_engine_new_host();
    char path[4096];
    snprintf(path, sizeof path, "%s", scratch("code.artifact"));
    for (int i = 0; i < 200; i++) cycle(path, engine, NULL);
    size_t maps = count_lines("/proc/self/maps"), pages = resident(), files = count_entries("/proc/self/fd");
    for (int i = 0; i < 10000; i++) cycle(path, engine, NULL);
    CHECK(count_lines("/proc/self/maps") <= maps + 2);
    CHECK(count_entries("/proc/self/fd") == files);
    CHECK(resident() < pages + 128); /* half a MiB; a leak of one page per load would be 40 MiB */
    artifact_engine_free(engine);
}

TEST(a_failed_load_leaves_nothing_mapped) {
    if (is_sanitized()) SKIP("the mappings of the sanitizer grow");
    pack("code.artifact", "imports", 3);
    loaded_t loaded = open_packed("code.artifact");
    CHECK_STATUS(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, NULL), ARTIFACT_UNRESOLVED);
    size_t maps = count_lines("/proc/self/maps"), files = count_entries("/proc/self/fd");
    for (int i = 0; i < 100; i++) {
        CHECK_STATUS(artifact_load(loaded.artifact, loaded.engine, NULL, &loaded.code, NULL), ARTIFACT_UNRESOLVED);
    }
    CHECK(count_lines("/proc/self/maps") <= maps + 1 && count_entries("/proc/self/fd") == files);
    unload(&loaded);
}

TEST(code_survives_a_fork_and_can_be_freed_in_the_child) {
    loaded_t loaded = load_flags("small", 0);
    int (*add)(int);
    SYMBOL(loaded.code, 0, "add", add);
    CHECK(add(1) == 2);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        bool good = add(1) == 3;
        unload(&loaded);
        _exit(good ? 0 : 1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(add(5) == 7);
    unload(&loaded);
}

/* ---- trust ---- */

TEST(load_checks_signatures_whatever_opening_did) {
    pack("plain.artifact", "basic", 1);
    artifact_key_t *key = new_key();
    artifact_engine_t *engine = artifact_engine_new(), *host = artifact_engine_new_host();
    artifact_builder_t *builder = new_builder(engine);
    for (int i = 0; i < 2; i++) CHECK_OK(artifact_builder_add_module_file(builder, native("basic"), NULL, &error));
    CHECK_OK(artifact_builder_add_key(builder, key, &error));
    CHECK_OK(artifact_serialize_to_file(builder, scratch("signed.artifact"), NULL, &error));
    trust(host, key);

    artifact_t *plain = open_path(scratch("plain.artifact"), NULL),
               *signed_one = open_path(scratch("signed.artifact"), NULL);
    artifact_t *trusted = open_path(scratch("signed.artifact"), host);
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PROCESS_SYMBOLS;
    artifact_code_t *code = GARBAGE;
    CHECK_FAILS(artifact_load(plain, host, &options, &code, &error), ARTIFACT_UNTRUSTED, "signature");
    CHECK(code == NULL);
    artifact_t *both[] = {signed_one, trusted};
    for (size_t i = 0; i < 2; i++) {
        CHECK_OK(artifact_load(both[i], host, &options, &code, &error));
        int (*count)(void);
        SYMBOL(code, 1, "count", count);
        CHECK(count() == 41);
        CHECK(strstr(page_of(address_of(&count)).path, "memfd:artifact") != NULL); /* the verified copy */
        artifact_code_free(code);
    }
    /* A byte of code that changes after opening is detected when its module is loaded. */
    artifact_t *late[] = {open_path(scratch("signed.artifact"), NULL), open_path(scratch("signed.artifact"), host)};
    bytes_t bytes = read_file(scratch("signed.artifact"));
    FILE *file = fopen(scratch("signed.artifact"), "r+b");
    CHECK(file && fseek(file, 0x1010, SEEK_SET) == 0 && fputc(bytes.data[0x1010] ^ 1, file) != EOF &&
          fclose(file) == 0);
    for (size_t i = 0; i < 2; i++) {
        CHECK_FAILS(artifact_load(late[i], host, &options, &code, &error), ARTIFACT_DIGEST_MISMATCH, "module 0");
        artifact_free(late[i]);
    }
    /* After the file is truncated, modules with a verified copy still load; others give an error, not a signal.
     */
    CHECK(truncate(scratch("signed.artifact"), 100) == 0);
    CHECK_OK(artifact_load(trusted, host, &options, &code, &error));
    artifact_code_free(code);
    CHECK_FAILS(artifact_load(signed_one, host, &options, &code, &error), ARTIFACT_TRUNCATED, "");
    CHECK(code == NULL);
    bytes_free(&bytes);
    artifact_free(plain), artifact_free(signed_one), artifact_free(trusted);
    artifact_builder_free(builder);
    artifact_engine_free(engine), artifact_engine_free(host);
    artifact_key_free(key);
}
