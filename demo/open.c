/* The second process: prints the contents of the file, checks it against this host, and reports why it does not fit
 * another one. */
#include "settings.h"
#include <inttypes.h>
#include <string.h>

static void print_flags(const artifact_t *artifact, uint32_t map, const char *title) {
    artifact_error_t *error = NULL;
    size_t count = 0;
    must(artifact_flag_count(artifact, map, &count, &error), &error, title);
    printf("  %s:", title);
    for (size_t i = 0; i < count; i++) {
        artifact_flag_t flag;
        must(artifact_flag_at(artifact, map, i, &flag, &error), &error, title);
        switch (flag.kind) {
        case ARTIFACT_FLAG_ENUM:
            printf(" %s=%s", flag.name, flag.text);
            break;
        case ARTIFACT_FLAG_NUM:
            printf(" %s=%" PRIu32, flag.name, flag.value);
            break;
        default:
            printf(" %s=%s", flag.name, flag.value ? "true" : "false");
        }
    }
    putchar('\n');
}

static void print_settings(const artifact_t *artifact) {
    artifact_error_t *error = NULL;
    const char *target = NULL;
    must(artifact_target(artifact, &target, &error), &error, "target");
    artifact_slice_t version = artifact_producer_version(artifact);
    printf("  %" PRIu64 " bytes, by \"%s\", version \"%.*s\"\n", artifact_file_len(artifact),
           artifact_producer(artifact), (int)version.len, (const char *)version.data);
    printf("  target: %s\n", target);
    print_flags(artifact, ARTIFACT_FLAGS_SHARED, "shared flags");
    print_flags(artifact, ARTIFACT_FLAGS_ISA, "ISA flags");
    uint64_t bound = 0, fuel = 0;
    bool simd = false;
    must(artifact_tunable(artifact, ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND, &bound, &error), &error, "bound");
    must(artifact_tunable(artifact, ARTIFACT_TUNABLE_CONSUME_FUEL, &fuel, &error), &error, "fuel");
    must(artifact_feature(artifact, ARTIFACT_FEATURE_SIMD, &simd, &error), &error, "simd");
    printf("  tunables: static memory bound %" PRIu64 " pages, fuel %s; features: SIMD %s\n", bound,
           fuel ? "on" : "off", simd ? "on" : "off");
}

static void print_module(const artifact_t *artifact, size_t index) {
    artifact_error_t *error = NULL;
    artifact_module_t module;
    must(artifact_module(artifact, index, &module, &error), &error, "module");
    printf("  module %zu%s: %zu bytes at offset %" PRIu64 ", aligned to %" PRIu64 ", machine %" PRIu32 "\n", index,
           index == artifact_main_module(artifact) ? " (main)" : "", module.bytes.len, module.offset, module.align,
           module.machine);

    size_t count = 0;
    must(artifact_section_count(artifact, index, &count, &error), &error, "sections");
    printf("    sections:");
    for (size_t i = 1; i < count; i++) {
        artifact_section_t section;
        must(artifact_section_at(artifact, index, i, &section, &error), &error, "section");
        if (section.size) printf(" %s(%" PRIu64 ")", section.name, section.size);
    }
    printf("\n    symbols:");
    must(artifact_symbol_count(artifact, index, &count, &error), &error, "symbols");
    for (size_t i = 1; i < count; i++) {
        artifact_symbol_t symbol;
        must(artifact_symbol_at(artifact, index, i, &symbol, &error), &error, "symbol");
        if (symbol.binding != 1) continue; /* STB_GLOBAL */
        if (symbol.section) {
            printf(" %s=%#" PRIx64 "(%" PRIu64 ")", symbol.name, symbol.value, symbol.size);
        } else {
            printf(" %s(undefined)", symbol.name);
        }
    }
    putchar('\n');
}

/* Prints the result of artifact_check_compat() on one line. */
static artifact_status_t print_check(const artifact_t *artifact, const artifact_engine_t *engine) {
    artifact_error_t *error = NULL;
    artifact_status_t status = artifact_check_compat(artifact, engine, &error);
    if (status == ARTIFACT_OK) {
        printf("  compatible\n");
    } else {
        printf("  %s: %s\n", artifact_status_name(status), artifact_error_message(error));
    }
    artifact_error_free(error);
    return status;
}

/* Returns an engine that differs in everything that is compared. */
static artifact_engine_t *other_engine(const artifact_engine_t *host) {
    artifact_error_t *error = NULL;
    artifact_engine_t *other = artifact_engine_new();
    bool is_arm = strncmp(artifact_engine_target(host), "aarch64", 7) == 0;
    const uint32_t shared = ARTIFACT_FLAGS_SHARED;
    must(artifact_engine_set_target(other, is_arm ? "x86_64-apple-darwin" : "aarch64-apple-darwin", &error), &error,
         "target");
    must(artifact_engine_set_flag_enum(other, shared, "opt_level", "none", &error), &error, "opt_level");
    must(artifact_engine_set_flag_bool(other, shared, "is_pic", true, &error), &error, "is_pic");
    must(artifact_engine_set_flag_num(other, shared, "stack_align_log2", 5, &error), &error, "stack_align_log2");
    must(artifact_engine_set_flag_bool(other, shared, "pinned_reg", true, &error), &error, "pinned_reg");
    must(artifact_engine_set_tunable(other, ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND, 1024, &error), &error, "bound");
    must(artifact_engine_set_tunable(other, ARTIFACT_TUNABLE_CONSUME_FUEL, 1, &error), &error, "fuel");
    return other;
}

static uint64_t print_report(const artifact_t *artifact, const artifact_engine_t *engine) {
    artifact_error_t *error = NULL;
    artifact_report_t *report = NULL;
    must(artifact_compat_report(artifact, engine, &report, &error), &error, "report");
    for (size_t i = 0; i < artifact_report_count(report); i++) {
        artifact_report_entry_t entry;
        must(artifact_report_at(report, i, &entry, &error), &error, "report");
        printf("  %zu. %s\n", i + 1, entry.sentence);
    }
    uint64_t kinds = artifact_report_kinds(report);
    artifact_report_free(report);
    return kinds;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    artifact_error_t *error = NULL;
    artifact_engine_t *host = artifact_engine_new_host();
    add_compiler_settings(host);
    artifact_t *artifact = NULL;
    must(artifact_open_file(argv[1], host, NULL, &artifact, &error), &error, argv[1]);

    printf("\nContents\n");
    print_settings(artifact);
    for (size_t i = 0; i < artifact_module_count(artifact); i++) print_module(artifact, i);

    printf("\nCompatibility with this host, whose CPU has %zu features\n",
           artifact_engine_flag_count(host, ARTIFACT_FLAGS_ISA));
    bool good = print_check(artifact, host) == ARTIFACT_OK;

    artifact_engine_t *other = other_engine(host);
    printf("\nCompatibility with %s and other compiler settings\n", artifact_engine_target(other));
    good = print_check(artifact, other) == ARTIFACT_INCOMPATIBLE && good;
    printf("\nEvery mismatch\n");
    uint64_t kinds = print_report(artifact, other);
    size_t isa_flags = 0;
    must(artifact_flag_count(artifact, ARTIFACT_FLAGS_ISA, &isa_flags, &error), &error, "ISA flags");
    uint64_t expected = ARTIFACT_REPORT_ARCHITECTURE | ARTIFACT_REPORT_OPERATING_SYSTEM | ARTIFACT_REPORT_SHARED_FLAG |
                        ARTIFACT_REPORT_TUNABLE | ARTIFACT_REPORT_FEATURE;
    if (isa_flags) expected |= ARTIFACT_REPORT_ISA_FLAG;
    good = kinds == expected && good;

    artifact_engine_free(other);
    artifact_engine_free(host);
    artifact_free(artifact);
    if (!good) fprintf(stderr, "unexpected results\n");
    return good ? 0 : 1;
}
