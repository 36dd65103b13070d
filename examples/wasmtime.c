/*
 * Reads a file that Wasmtime 0.33 compiled (`wasmtime compile`, `Engine::precompile_module`) without Wasmtime, and
 * prints its settings, its functions and their types, where they can trap, and whether Wasmtime would run it on this
 * host.
 *
 *     wasmtime FILE.cwasm
 *
 * It shows: opening for inspection (without an engine), reading settings, sections and symbols, decoding an untrusted
 * section, and a report of every mismatch.
 */
#include <artifact.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Prints the error and exits if a call failed. */
static void must(artifact_status_t status, artifact_error_t **error) {
    if (status == ARTIFACT_OK) return;
    fprintf(stderr, "%s: %s\n", artifact_status_name(status), artifact_error_message(*error));
    artifact_error_free(*error);
    exit(1);
}

/* ---- settings ---- */

static void print_flags(const artifact_t *file, uint32_t map, const char *title) {
    artifact_error_t *error = NULL;
    size_t count;
    must(artifact_flag_count(file, map, &count, &error), &error);
    printf("%s:", title);
    for (size_t i = 0; i < count; i++) {
        artifact_flag_t flag;
        must(artifact_flag_at(file, map, i, &flag, &error), &error);
        if (flag.kind == ARTIFACT_FLAG_ENUM) {
            printf(" %s=%s", flag.name, flag.text);
        } else if (flag.kind == ARTIFACT_FLAG_NUM) {
            printf(" %s=%" PRIu32, flag.name, flag.value);
        } else if (flag.value) { /* a boolean that is true */
            printf(" %s", flag.name);
        }
    }
    putchar('\n');
}

static void print_settings(const artifact_t *file) {
    artifact_error_t *error = NULL;
    const char *target;
    uint64_t guard;
    must(artifact_target(file, &target, &error), &error);
    must(artifact_tunable(file, ARTIFACT_TUNABLE_STATIC_MEMORY_OFFSET_GUARD_SIZE, &guard, &error), &error);
    artifact_slice_t version = artifact_producer_version(file);
    printf("%s %.*s for %s, %" PRIu64 " bytes\n", artifact_producer(file), (int)version.len, (const char *)version.data,
           target, artifact_file_len(file));
    print_flags(file, ARTIFACT_FLAGS_SHARED, "flags");
    print_flags(file, ARTIFACT_FLAGS_ISA, "instruction sets");
    printf("guard after static memories: %" PRIu64 " MiB\n", guard >> 20);
}

static void print_values(const uint8_t *types, size_t count) {
    static const char *const names[] = {"i32", "i64", "f32", "f64", "v128", "funcref", "externref", "exnref"};
    putchar('(');
    for (size_t i = 0; i < count; i++) printf("%s%s", i ? ", " : "", types[i] < 8 ? names[types[i]] : "?");
    putchar(')');
}

static void print_types(const artifact_t *file) {
    artifact_error_t *error = NULL;
    size_t count;
    must(artifact_type_counts(file, &count, NULL, NULL, &error), &error);
    for (size_t i = 0; i < count; i++) {
        artifact_func_type_t type;
        must(artifact_func_type(file, i, &type, &error), &error);
        printf("type %zu: ", i);
        print_values(type.params, type.params_len);
        fputs(" -> ", stdout);
        print_values(type.returns, type.returns_len);
        putchar('\n');
    }
}

/* ---- code ---- */

static uint32_t get_u32(const uint8_t *place) {
    return (uint32_t)place[0] | (uint32_t)place[1] << 8 | (uint32_t)place[2] << 16 | (uint32_t)place[3] << 24;
}

/*
 * Where code can trap. The section has the number of traps, the offset of each in .text, and one byte for each with the
 * reason. The library guarantees that the section is inside the file; its contents must be checked here.
 */
typedef struct traps_t {
    const uint8_t *offsets;
    size_t count;
} traps_t;

static traps_t find_traps(const artifact_t *file, size_t module) {
    artifact_section_t section;
    if (artifact_section(file, module, ".wasmtime.traps", &section, NULL) != ARTIFACT_OK) return (traps_t){NULL, 0};
    size_t len = section.bytes.len;
    if (len < 4) return (traps_t){NULL, 0};
    size_t count = get_u32(section.bytes.data);
    if ((len - 4) / 5 != count || (len - 4) % 5 != 0) {
        fprintf(stderr, "module %zu: .wasmtime.traps has %zu bytes, which do not match its %zu traps\n", module, len,
                count);
        exit(1);
    }
    return (traps_t){section.bytes.data + 4, count};
}

static size_t count_traps(const traps_t *traps, uint64_t begin, uint64_t len) {
    size_t found = 0;
    for (size_t i = 0; i < traps->count; i++) {
        uint64_t offset = get_u32(traps->offsets + 4 * i);
        found += offset >= begin && offset - begin < len;
    }
    return found;
}

/* Prints functions and trampolines, which are the defined symbols. Undefined ones are helpers of the runtime. */
static void print_module(const artifact_t *file, size_t index) {
    artifact_error_t *error = NULL;
    artifact_module_t module;
    size_t symbols;
    must(artifact_module(file, index, &module, &error), &error);
    must(artifact_symbol_count(file, index, &symbols, &error), &error);
    traps_t traps = find_traps(file, index);
    printf("module %zu%s: %zu bytes at %" PRIu64 "\n", index, index == artifact_main_module(file) ? " (main)" : "",
           module.bytes.len, module.offset);
    for (size_t i = 1; i < symbols; i++) {
        artifact_symbol_t symbol;
        artifact_section_t section;
        must(artifact_symbol_at(file, index, i, &symbol, &error), &error);
        if (symbol.type != 2 || symbol.section == 0) continue; /* STT_FUNC; SHN_UNDEF */
        must(artifact_section_at(file, index, symbol.section, &section, &error), &error);
        printf("    %-24s %6" PRIu64 " bytes at %s+%#" PRIx64 ", can trap in %zu places\n", symbol.name, symbol.size,
               section.name, symbol.value, count_traps(&traps, symbol.value, symbol.size));
    }
}

/* ---- compatibility ---- */

static void print_verdict(const artifact_t *file) {
    artifact_error_t *error = NULL;
    artifact_report_t *report;
    artifact_engine_t *host = artifact_engine_new_wasmtime();
    must(artifact_compat_report(file, host, &report, &error), &error);
    if (artifact_report_status(report) == ARTIFACT_OK) puts("Wasmtime 0.33 would run it on this host.");
    for (size_t i = 0; i < artifact_report_count(report); i++) {
        artifact_report_entry_t entry;
        must(artifact_report_at(report, i, &entry, &error), &error);
        printf("Wasmtime 0.33 would not run it on this host: %s\n", entry.sentence);
    }
    artifact_report_free(report);
    artifact_engine_free(host);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: %s FILE.cwasm\n", argv[0]), 2;
    artifact_error_t *error = NULL;
    artifact_t *file;
    must(artifact_open_file(argv[1], NULL, NULL, &file, &error), &error);
    print_settings(file);
    print_types(file);
    for (size_t i = 0; i < artifact_module_count(file); i++) print_module(file, i);
    print_verdict(file);
    artifact_free(file);
    return 0;
}
