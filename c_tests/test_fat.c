/* Files of several targets: which code runs, which variant is opened, and what a file says about the others. */
#include "check.h"
#include "native.h"
#include "signed.h"

#include "fat.h"

/* ---- which code runs ---- */

static uint64_t expected_work(const uint32_t *numbers, uint32_t count) {
    uint64_t bits = 0, sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t rest = numbers[i]; rest; rest &= rest - 1) bits++;
        sum += (uint64_t)(numbers[i] * 3) >> (numbers[i] & 7);
    }
    return bits * 1000003 + sum;
}

/* Returns the best level that this CPU has: what the file should give it. */
static int host_level(const artifact_engine_t *host) {
    int level = 1;
    for (; level < 4; level++) {
        for (const char *const *name = levels[level - 1]; *name; name++) {
            artifact_flag_t flag;
            artifact_error_t *error;
            if (artifact_engine_flag(host, ARTIFACT_FLAGS_ISA, *name, &flag, &error) != ARTIFACT_OK) {
                artifact_error_free(error);
                return level;
            }
        }
    }
    return level;
}

/* Code for four levels of x86-64 and for aarch64: the one runs that this CPU has. Under an emulator, which CPU that is
 * says EXPECTED_LEVEL. */
TEST(the_best_variant_runs) {
#ifndef __x86_64__
    SKIP("the levels are those of x86-64");
#endif
    artifact_fat_builder_t *fat = artifact_fat_builder_new();
    for (int level = 1; level <= 4; level++) {
        char name[32];
        snprintf(name, sizeof name, "variant_v%d.o", level);
        skip_without(name);
        add_object(fat, engine_of(level), native(name));
    }
    add_object(fat, arm_engine(), fixture("../../core/tests/objects/fib-aarch64.o"));
    const char *path = scratch("levels.artifact");
    CHECK_OK(artifact_fat_serialize_to_file(fat, path, NULL, &error));
    artifact_fat_builder_free(fat);

    artifact_engine_t *host = artifact_engine_new_host();
    artifact_t *artifact = open_path(path, host);
    CHECK(artifact_variant_count(artifact) == 5);
    artifact_code_t *code = GARBAGE;
    CHECK_OK(artifact_load(artifact, host, NULL, &code, &error));
    int (*level)(void);
    uint64_t (*work)(const uint32_t *, uint32_t);
    SYMBOL(code, 0, "level", level);
    SYMBOL(code, 0, "work", work);
    const char *emulated = getenv("EXPECTED_LEVEL");
    if (level() != (emulated && *emulated ? atoi(emulated) : host_level(host))) {
        fprintf(stderr, "level %d runs\n", level());
        CHECK(!"the best level that this CPU has");
    }
    uint32_t numbers[1000];
    for (uint32_t i = 0; i < COUNT(numbers); i++) numbers[i] = i * 2654435761u;
    CHECK(work(numbers, COUNT(numbers)) == expected_work(numbers, COUNT(numbers)));
    artifact_code_free(code);
    artifact_free(artifact);

    /* Readers of ELF files see the first variant, which is the most portable. */
    void *handle = dlopen(path, RTLD_NOW);
    CHECK(handle);
    set_function(&level, dlsym(handle, "level"));
    CHECK(level() == 1);
    dlclose(handle);

    /* Whoever chooses one by hand that does not fit can look at it, and not run it. */
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = ARTIFACT_OPEN_VARIANT;
    for (size_t i = 0; i < 5; i++) {
        options.variant = i;
        CHECK_OK(artifact_open_file(path, host, &options, &artifact, &error));
        CHECK(artifact_variant_chosen(artifact) == i);
        artifact_report_t *report = GARBAGE;
        CHECK_OK(artifact_variant_report(artifact, i, host, &report, &error));
        artifact_status_t fits = artifact_check_compat(artifact, host, NULL);
        CHECK_STATUS(artifact_report_status(report), fits);
        code = NULL;
        CHECK_STATUS(artifact_load(artifact, host, NULL, &code, NULL), fits);
        artifact_code_free(code);
        artifact_report_free(report);
        artifact_free(artifact);
    }
    artifact_engine_free(host);
}

/* ---- choosing ---- */

TEST(an_engine_chooses) {
    bytes_t bytes = four_bytes();
    /* Index: level 3, level 2, aarch64 with its lower score, and level 1, which is the most portable and lies first. */
    static const size_t expected[] = {3, 1, 0, 0};
    for (int level = 1; level <= 4; level++) {
        artifact_engine_t *engine = engine_of(level);
        CHECK(chosen(&bytes, engine, 0, 0) == expected[level - 1]);
        if (level >= 3) {
            CHECK(chosen(&bytes, engine, ARTIFACT_OPEN_REQUIRE_BEST, 0) == 0);
        } else {
            refuses(&bytes, engine, ARTIFACT_OPEN_REQUIRE_BEST, 0, ARTIFACT_INCOMPATIBLE, "best|variant 0|'avx'");
        }
        artifact_engine_free(engine);
    }
    artifact_engine_t *arm = arm_engine();
    CHECK(chosen(&bytes, arm, ARTIFACT_OPEN_REQUIRE_BEST, 0) == 2);
    CHECK(chosen(&bytes, NULL, 0, 0) == 3);
    for (size_t i = 0; i < 4; i++) {
        CHECK(chosen(&bytes, NULL, ARTIFACT_OPEN_VARIANT, i) == i);
        CHECK(chosen(&bytes, arm, ARTIFACT_OPEN_VARIANT, i) == i);
    }
    refuses(&bytes, NULL, ARTIFACT_OPEN_VARIANT, 4, ARTIFACT_NOT_FOUND, "below 4|4");
    refuses(&bytes, NULL, ARTIFACT_OPEN_VARIANT, UINT64_MAX, ARTIFACT_NOT_FOUND, "below 4");
    refuses(&bytes, NULL, 0, 1, ARTIFACT_INVALID_ARGUMENT, "options.variant|ARTIFACT_OPEN_VARIANT");
    refuses(&bytes, NULL, ARTIFACT_OPEN_REQUIRE_BEST, 0, ARTIFACT_INVALID_ARGUMENT, "engine");
    refuses(&bytes, arm, ARTIFACT_OPEN_REQUIRE_BEST | ARTIFACT_OPEN_VARIANT, 0, ARTIFACT_INVALID_ARGUMENT, "choice");
    CHECK_OK(artifact_engine_set_target(arm, "s390x-unknown-linux-gnu", &error));
    refuses(&bytes, arm, 0, 0, ARTIFACT_INCOMPATIBLE, "variant 0|variant 3|'aarch64'|'x86_64'");
    CHECK_OK(artifact_engine_set_producer(arm, "other", &error));
    refuses(&bytes, arm, 0, 0, ARTIFACT_WRONG_PRODUCER, "Module was compiled by 'artifact'");
    artifact_engine_free(arm);
    bytes_free(&bytes);
}

TEST(one_target_is_one_variant) {
    artifact_fat_builder_t *fat = artifact_fat_builder_new();
    add_for(fat, engine_of(2), 5);
    bytes_t bytes = fat_bytes(fat);
    artifact_fat_builder_free(fat);
    artifact_engine_t *engine = engine_of(2);
    bytes_t elf;
    artifact_builder_t *builder = module_for(engine, &elf);
    bytes_t same = serialize(builder);
    CHECK(same_bytes(bytes.data, bytes.len, same.data, same.len));
    CHECK(chosen(&bytes, engine, ARTIFACT_OPEN_REQUIRE_BEST, 0) == 0);
    CHECK(chosen(&bytes, NULL, ARTIFACT_OPEN_VARIANT, 0) == 0);
    refuses(&bytes, NULL, ARTIFACT_OPEN_VARIANT, 1, ARTIFACT_NOT_FOUND, "below 1");
    artifact_t *artifact = open_bytes(&bytes, NULL);
    CHECK(artifact_variant_count(artifact) == 1 && artifact_variant_chosen(artifact) == 0);
    artifact_variant_t variant;
    CHECK_OK(artifact_variant_at(artifact, 0, &variant, &error));
    CHECK_STR(variant.target, HOST_TARGET);
    CHECK(variant.needs == COUNT(v2) - 1 && variant.offset == 0 && variant.length == bytes.len);
    CHECK_FAILS(artifact_variant_at(artifact, 1, &variant, &error), ARTIFACT_NOT_FOUND, "below 1");
    CHECK(artifact_variant_count(NULL) == 0 && artifact_variant_chosen(NULL) == 0);
    artifact_free(artifact);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&bytes);
    bytes_free(&same);
    bytes_free(&elf);
}

TEST(what_a_file_says_about_its_variants) {
    bytes_t bytes = four_bytes();
    artifact_engine_t *engine = engine_of(2);
    artifact_t *artifact = open_bytes(&bytes, engine);
    CHECK(artifact_variant_count(artifact) == 4 && artifact_variant_chosen(artifact) == 1);
    static const uint32_t added[] = {2, 3, 1, 0};
    static const size_t needs[] = {COUNT(v2) + COUNT(v3) - 2, COUNT(v2) - 1, 0, 0};
    uint64_t end = bytes.len;
    for (size_t i = 0; i < 4; i++) {
        artifact_variant_t variant;
        CHECK_OK(artifact_variant_at(artifact, i, &variant, &error));
        CHECK_STR(variant.target, i == 2 ? ARM_TARGET : HOST_TARGET);
        CHECK(variant.added == added[i] && variant.needs == needs[i] && variant.score == (i == 2 ? -1 : 0));
        CHECK(variant.offset % 65536 == 0 && variant.length > 0 && variant.offset + variant.length <= end);
        end = variant.offset; /* the order of the file is the reverse */
        const char *last = "";
        for (size_t need = 0; need < variant.needs; need++) {
            const char *name = GARBAGE;
            CHECK_OK(artifact_variant_need_at(artifact, i, need, &name, &error));
            CHECK(strcmp(last, name) < 0);
            last = name;
        }
        const char *name = GARBAGE;
        CHECK_FAILS(artifact_variant_need_at(artifact, i, variant.needs, &name, &error), ARTIFACT_NOT_FOUND, "need");
        CHECK(name == NULL);
        artifact_report_t *report = GARBAGE;
        CHECK_OK(artifact_variant_report(artifact, i, engine, &report, &error));
        static const artifact_status_t why[] = {ARTIFACT_INCOMPATIBLE, ARTIFACT_OK, ARTIFACT_INCOMPATIBLE, ARTIFACT_OK};
        CHECK_STATUS(artifact_report_status(report), why[i]);
        CHECK(artifact_report_count(report) == (i == 0 ? COUNT(v3) - 1 : i == 2 ? 1 : 0));
        artifact_report_free(report);
    }
    CHECK(end == 0);
    artifact_variant_t variant;
    CHECK_FAILS(artifact_variant_at(artifact, 4, &variant, &error), ARTIFACT_NOT_FOUND, "below 4");
    CHECK(variant.target == NULL && variant.length == 0);
    const char *name = GARBAGE;
    CHECK_FAILS(artifact_variant_need_at(artifact, 4, 0, &name, &error), ARTIFACT_NOT_FOUND, "below 4");
    artifact_report_t *report = GARBAGE;
    CHECK_FAILS(artifact_variant_report(artifact, 4, engine, &report, &error), ARTIFACT_NOT_FOUND, "below 4");
    CHECK(report == NULL);
    CHECK_OK(artifact_verify(artifact, &report, &error));
    CHECK(artifact_report_count(report) == 0);
    artifact_report_free(report);
    artifact_detection_t detection;
    CHECK_OK(artifact_detect_bytes(bytes.data, bytes.len, &detection, &error));
    CHECK_STR(detection.producer, "artifact");
    artifact_free(artifact);
    artifact_engine_free(engine);
    bytes_free(&bytes);
}
