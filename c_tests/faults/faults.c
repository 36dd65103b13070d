/*
 * Saving under faults: strace makes each system call of a save fail in turn, with each error that it can have, or kills
 * the process there. Whatever happens, the path has the old file or the new one, complete.
 */
#include "../check.h"
#include "../image.h"
#include "../support.h"
#include "trace.h"

enum { MODULES = 3, WHOLE = 1 << 30 };

typedef struct setting_t {
    bool fresh;       /* no old file */
    bool link;        /* the path is a symbolic link */
    bool relative;    /* the path is a name in the current folder */
    uint64_t flags;   /* ARTIFACT_SAVE_ */
    size_t max_write; /* the maximum number of bytes that a write accepts */
    size_t extra;     /* extra bytes in each module, so that writeback starts before everything is written */
} setting_t;

static char folder[4200], path[4300], link_path[4300], modules[MODULES][4200];
static bytes_t old_file, new_file;

static void make_files(size_t extra) {
    snprintf(folder, sizeof folder, "%s", scratch("folder"));
    snprintf(path, sizeof path, "%s/saved.artifact", folder);
    snprintf(link_path, sizeof link_path, "%s", scratch("link.artifact"));
    snprintf(trace, sizeof trace, "%s", scratch("trace"));
    CHECK(mkdir(folder, 0755) == 0);
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *old = new_builder(engine), *new = new_builder(engine);
    bytes_t elves[MODULES];
    for (size_t i = 0; i < MODULES; i++) {
        char name[32];
        snprintf(name, sizeof name, "module-%zu", i);
        snprintf(modules[i], sizeof modules[i], "%s", scratch(name));
        elves[i] = make_elf((shape_t){.fill = (uint8_t)(i + 1), .align = UINT64_C(16) << 4 * i, .trailing = extra});
        write_file(modules[i], elves[i].data, elves[i].len);
        CHECK_OK(artifact_builder_add_module(new, elves[i].data, elves[i].len, NULL, &error));
    }
    CHECK_OK(artifact_builder_add_module(old, elves[0].data, elves[0].len, NULL, &error));
    old_file = serialize(old), new_file = serialize(new);
    artifact_builder_free(old), artifact_builder_free(new);
    for (size_t i = 0; i < MODULES; i++) bytes_free(&elves[i]);
    artifact_engine_free(engine);
}

/* Empties the folder, and writes the old file unless the setting is without one. */
static void reset(const setting_t *setting) {
    DIR *dir = opendir(folder);
    CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_type == DT_REG) CHECK(unlinkat(dirfd(dir), entry->d_name, 0) == 0);
    }
    closedir(dir);
    if (!setting->fresh) {
        write_file(path, old_file.data, old_file.len);
        CHECK(chmod(path, 0666) == 0); /* wider than the umask, so that the save has to set it */
    }
    unlink(link_path);
    if (setting->link) CHECK(symlink(path, link_path) == 0);
}

/* Runs the save under strace with additional options. Returns its wait status; `output` receives what it printed. */
static int run(const setting_t *setting, const char *const *options, char output[64]) {
    char flags[24], max_write[24];
    snprintf(flags, sizeof flags, "%llu", (unsigned long long)setting->flags);
    snprintf(max_write, sizeof max_write, "%zu", setting->max_write);
    const char *to = setting->relative ? "saved.artifact" : setting->link ? link_path : path;
    const char *command[] = {SAVE_PROGRAM, to, flags, max_write, modules[0], modules[1], modules[2], NULL};
    return run_traced(command, folder, options, output);
}

/* Returns the system calls between the marks of a trace. */
static size_t calls_of_a_save(const setting_t *setting, call_t *calls) {
    char output[64];
    reset(setting);
    int status = run(setting, (const char *const[]){"-e", "trace=all", NULL}, output);
    size_t count = traced_calls(calls, status, strcmp(output, "0 0\n") == 0);
    CHECK(count > 0 && calls[count - 1].renamed);
    return count;
}

/* Returns whether the path has the new file. Fails unless it has the new or the old one, complete. */
static bool is_new(const setting_t *setting, const char *what) {
    const char *where = path; /* the target of the link, if there is one */
    if (setting->fresh && access(where, F_OK) != 0) return false;
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_VERIFY;
    artifact_t *artifact = NULL;
    if (artifact_open_file(where, NULL, &options, &artifact, NULL) != ARTIFACT_OK) {
        check_fail(__FILE__, __LINE__, what, "the file is broken", "");
    }
    artifact_free(artifact);
    bytes_t found = read_file(where);
    bool new = same_bytes(found.data, found.len, new_file.data, new_file.len);
    bool old = !setting->fresh && same_bytes(found.data, found.len, old_file.data, old_file.len);
    bytes_free(&found);
    if (!new && !old) check_fail(__FILE__, __LINE__, what, "the file is neither the old one nor the new one", "");
    return new;
}

static void fail_at(const setting_t *setting, const call_t *call, const char *error, bool must_fail) {
    char output[64];
    injection_t injected = injection(call, error);
    const char *inject = injected.inject;
    reset(setting);
    int ended = run(setting, options_of(&injected), output);
    expect(trace_says("INJECTED"), inject, "the fault was not injected");
    bool new = is_new(setting, inject), interrupted = strcmp(error, "EINTR") == 0;
    int status = -1, number = 0;
    if (strncmp(call->name, "m", 1) == 0 && WIFSIGNALED(ended))
        return; /* aborted: no memory even for small allocations */
    expect(ended == 0 && sscanf(output, "%d %d", &status, &number) == 2, inject, "the save did not return");
    expect(count_entries(folder) == (new || !setting->fresh), inject, "a temporary file is left");
    if (status == ARTIFACT_OK) {
        expect(new, inject, "the save succeeded, but the path has the old file");
        expect(!must_fail || interrupted, inject, "the error was not reported");
        return;
    }
    char found[64];
    snprintf(found, sizeof found, "status %d, errno %d", status, number);
    expect(!interrupted, inject, found);
    expect(status == ARTIFACT_NO_MEMORY || (status == ARTIFACT_IO && number == number_of(error)), inject, found);
    expect(new == call->renamed, inject, new ? "the save failed, but replaced the file" : "the new file is gone");
}

static void kill_at(const setting_t *setting, const call_t *call) {
    char output[64];
    injection_t injected = injection(call, NULL);
    const char *inject = injected.inject;
    reset(setting);
    int ended = run(setting, options_of(&injected), output);
    expect(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL, inject, "the process was not killed");
    bool new = is_new(setting, inject);
    expect(!call->renamed || new, inject, "the new file is gone");
}

static void every_fault(setting_t setting) {
    static call_t calls[MAX_CALLS];
    make_files(setting.extra);
    size_t count = calls_of_a_save(&setting, calls);
    expect(is_new(&setting, "a save without faults"), "a save without faults", "the old file is still there");
    bool early = false;
    for (size_t i = 0; i < count; i++) {
        early = early || strcmp(calls[i].name, "sync_file_range") == 0;
        size_t row = 0;
        while (*faults[row].name && strcmp(faults[row].name, calls[i].name) != 0) row++;
        char list[64];
        snprintf(list, sizeof list, "%s", faults[row].errors);
        for (char *error = strtok(list, " "); error; error = strtok(NULL, " ")) {
            fail_at(&setting, &calls[i], error, faults[row].must_fail);
        }
        kill_at(&setting, &calls[i]);
    }
    CHECK(early == (setting.extra > 0));
    printf("%zu system calls, %u runs\n", count, runs);
    bytes_free(&old_file), bytes_free(&new_file);
}

TEST(faults_replacing) { every_fault((setting_t){.max_write = WHOLE}); }
TEST(faults_short_writes) { every_fault((setting_t){.max_write = 2500}); }
TEST(faults_large_modules) { every_fault((setting_t){.max_write = 300 << 10, .extra = 400 << 10}); }
TEST(faults_new_file) { every_fault((setting_t){.max_write = WHOLE, .fresh = true}); }
TEST(faults_relative_name) { every_fault((setting_t){.max_write = WHOLE, .relative = true}); }
TEST(faults_through_a_link) { every_fault((setting_t){.max_write = WHOLE, .link = true}); }
TEST(faults_without_sync) { every_fault((setting_t){.max_write = 2500, .flags = ARTIFACT_SAVE_NO_SYNC}); }
