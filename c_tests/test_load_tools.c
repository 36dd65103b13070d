/* Debuggers and profilers: GDB's JIT interface with a real gdb, the perf map, jitdump with a real perf. */
#include "check.h"
#include "native.h"

#include <signal.h>

/* Runs a command and returns its output. */
static bytes_t output_of(const char *command, int *status) {
    bytes_t out = {0};
    FILE *pipe = popen(command, "r");
    CHECK(pipe);
    char chunk[4096];
    for (size_t got; (got = fread(chunk, 1, sizeof chunk, pipe)) > 0;) bytes_add(&out, chunk, got);
    *status = pclose(pipe);
    add_u8(&out, 0);
    return out;
}

static bool has_program(const char *command) {
    int status = 1;
    bytes_t out = output_of(command, &status);
    bytes_free(&out);
    return status == 0;
}

/* The process that gdb runs: stops in a function of the host that the module calls. */
static int stop_here(int n) {
    raise(SIGTRAP);
    return n;
}

TEST(gdb_child) {
    const char *module = getenv("LOAD_FOR_GDB");
    if (!module) SKIP("run by another test, under gdb");
    loaded_t loaded = load_flags(module, ARTIFACT_LOAD_PROCESS_SYMBOLS | ARTIFACT_LOAD_GDB);
    int (*outer)(int (*)(int), int);
    SYMBOL(loaded.code, 0, "debugged_outer", outer);
    CHECK(outer(stop_here, 5) == 12);
    unload(&loaded);
}

static void ask_gdb(const char *module) {
    if (is_emulated() || !has_program("gdb --version >/dev/null 2>&1")) SKIP("gdb is not installed");
    char self[4000] = "", command[9000];
    CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    const char *script = "ASAN_OPTIONS=detect_leaks=0 LOAD_FOR_GDB=%s gdb -nx -batch -iex 'set auto-load off' "
                         "-iex 'set debuginfod enabled off' -ex run -ex bt -ex continue "
                         "--args %s gdb_child 2>&1";
    snprintf(command, sizeof command, script, module, self);
    int status = 0;
    bytes_t out = output_of(command, &status);
    const char *text = (const char *)out.data;
    if (strstr(text, "ptrace: Operation not permitted")) SKIP("gdb is not permitted to trace");
    check_words(__FILE__, __LINE__, text,
                "debugged_inner (|debugged_outer (|debugged.c:9|debugged.c:13|exited normally");
    bytes_free(&out);
}

TEST(gdb_names_frames_with_file_and_line) { ask_gdb("debugged"); }
TEST(gdb_names_frames_linked_by_us) { ask_gdb("debugged.o"); }

TEST(perf_map_names_functions) {
    loaded_t loaded = load_flags("small", ARTIFACT_LOAD_PERF_MAP);
    char path[64], line[128];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    snprintf(line, sizeof line, "%lx ", (unsigned long)(uintptr_t)symbol_of(loaded.code, 0, "answer"));
    bytes_t map = read_file(path);
    add_u8(&map, 0);
    const char *found = strstr((const char *)map.data, line);
    CHECK(found && strncmp(strchr(strchr(found, ' ') + 1, ' '), " answer\n", 8) == 0);
    bytes_free(&map);
    CHECK(remove(path) == 0);
    unload(&loaded);
}

TEST(perf_map_follows_no_links) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    CHECK(symlink(scratch("elsewhere"), path) == 0);
    pack("code.artifact", "small", 1);
    loaded_t loaded = open_packed("code.artifact");
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_PERF_MAP;
    CHECK_FAILS(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error), ARTIFACT_IO, "perf");
    CHECK(remove(path) == 0 && access(scratch("elsewhere"), F_OK) != 0);
    unload(&loaded);
}

TEST(jitdump_has_names_and_code) {
    loaded_t loaded = load_flags("small", ARTIFACT_LOAD_JITDUMP);
    char path[64];
    snprintf(path, sizeof path, "/tmp/jit-%d.dump", (int)getpid());
    bytes_t dump = read_file(path);
    size_t size = 0;
    const uint8_t *answer = artifact_code_symbol(loaded.code, 0, "answer", &size);
    uint32_t word;
    memcpy(&word, dump.data, 4);
    CHECK(word == 0x4a695444);
    bool found = false;
    for (size_t at = 40; at < dump.len; at += word) {
        CHECK(dump.len - at >= 56);
        memcpy(&word, dump.data + at + 4, 4);
        CHECK(word >= 56 && word <= dump.len - at);
        const char *name = (const char *)dump.data + at + 56;
        if (strcmp(name, "answer") != 0) continue;
        found = get_u64(dump.data + at + 32) == (uintptr_t)answer && get_u64(dump.data + at + 40) == size &&
                memcmp(name + 7, answer, size) == 0;
    }
    CHECK(found);
    bytes_free(&dump);
    CHECK(remove(path) == 0);
    unload(&loaded);
}

TEST(perf_child) {
    const char *module = getenv("LOAD_FOR_PERF");
    if (!module) SKIP("run by another test, under perf");
    pack("code.artifact", "small", 1);
    loaded_t loaded = open_packed("code.artifact");
    pack("two.artifact", module, 2);
    loaded.artifact = (artifact_free(loaded.artifact), open_path(scratch("two.artifact"), loaded.engine));
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.flags = ARTIFACT_LOAD_JITDUMP | ARTIFACT_LOAD_PROCESS_SYMBOLS;
    CHECK_OK(artifact_load(loaded.artifact, loaded.engine, &options, &loaded.code, &error));
    long (*spin)(long);
    SYMBOL(loaded.code, 1, "debugged_spin", spin);
    CHECK(spin(300000000) != 1);
    unload(&loaded);
}

static void ask_perf(const char *module) {
    if (is_emulated() || !has_program("perf record -q -k mono -e cpu-clock -o /dev/null true >/dev/null 2>&1")) {
        SKIP("perf is not available");
    }
    char self[4000] = "", command[16000], folder[4096];
    CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(folder, sizeof folder, "%s", scratch("perf"));
    CHECK(mkdir(folder, 0700) == 0);
    /* Only the dump of this process: other tests run at the same time. */
    const char *script = "cd %s && LOAD_FOR_PERF=%s perf record -q -k mono -e cpu-clock -o a "
                         "sh -c 'echo $$ >pid && exec %s perf_child' >/dev/null 2>&1 && "
                         "perf inject --jit -i a -o b 2>/dev/null && perf report -i b --stdio 2>/dev/null; "
                         "rm -f /tmp/jit-$(cat pid).dump";
    snprintf(command, sizeof command, script, folder, module, self);
    int status = 0;
    bytes_t out = output_of(command, &status);
    check_words(__FILE__, __LINE__, (const char *)out.data, "debugged_spin");
    bytes_free(&out);
}

TEST(perf_report_names_a_function_of_a_later_module) { ask_perf("debugged"); }
TEST(perf_report_names_a_function_linked_by_us) { ask_perf("debugged.o"); }
