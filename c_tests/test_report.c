/* Compatibility: the first mismatch, and the report of every mismatch. */
#include "check.h"
#include "image.h"
#include "support.h"

static artifact_report_t *report_on(const artifact_t *artifact, const artifact_engine_t *engine) {
    artifact_report_t *report = GARBAGE;
    CHECK_OK(artifact_compat_report(artifact, engine, &report, &error));
    CHECK(report);
    return report;
}

static artifact_report_entry_t entry_at(const artifact_report_t *report, size_t index) {
    artifact_report_entry_t entry;
    CHECK_OK(artifact_report_at(report, index, &entry, &error));
    return entry;
}

/* Returns the default engine with a few flags of each kind, and an artifact that was built with it. */
static artifact_engine_t *flag_engine(void) {
    artifact_engine_t *engine = plain_engine();
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_SHARED, "fast", true, &error));
    CHECK_OK(artifact_engine_set_flag_enum(engine, ARTIFACT_FLAGS_SHARED, "opt_level", "speed", &error));
    CHECK_OK(artifact_engine_set_flag_num(engine, ARTIFACT_FLAGS_SHARED, "size", 12, &error));
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "avx2", true, &error));
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "fma", false, &error));
    CHECK_OK(artifact_engine_set_flag_enum(engine, ARTIFACT_FLAGS_ISA, "tune", "native", &error));
    return engine;
}

static artifact_t *made_by(const artifact_engine_t *engine) {
    bytes_t elf = make_elf((shape_t){0});
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_module(builder, elf.data, elf.len, NULL, &error));
    bytes_t body = serialize(builder);
    artifact_t *artifact = open_bytes(&body, NULL);
    artifact_builder_free(builder);
    bytes_free(&elf), bytes_free(&body);
    return artifact;
}

TEST(report_of_a_compatible_artifact_is_empty) {
    artifact_engine_t *engine = flag_engine();
    artifact_t *artifact = made_by(engine);
    CHECK_OK(artifact_check_compat(artifact, engine, &error));
    artifact_report_t *report = report_on(artifact, engine);
    CHECK_STATUS(artifact_report_status(report), ARTIFACT_OK);
    CHECK(artifact_report_count(report) == 0 && artifact_report_kinds(report) == 0);
    artifact_report_entry_t entry;
    memset(&entry, 0x5a, sizeof entry);
    CHECK_FAILS(artifact_report_at(report, 0, &entry, &error), ARTIFACT_NOT_FOUND, "");
    CHECK(entry.kind == 0 && entry.setting == NULL && entry.artifact_value == NULL && entry.engine_value == NULL);
    CHECK(entry.sentence == NULL);
    artifact_report_free(report);
    artifact_free(artifact);
    artifact_engine_free(engine);
}

/* A file of many settings can't make a report of any size. */
TEST(report_has_at_most_4096_entries) {
    artifact_engine_t *engine = plain_engine(), *other = plain_engine();
    for (int i = 0; i < 4096; i++) {
        char name[16];
        snprintf(name, sizeof name, "flag%d", i);
        CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, name, true, &error));
    }
    artifact_t *artifact = made_by(engine);
    artifact_report_t *report = report_on(artifact, other);
    CHECK(artifact_report_count(report) == 4096);
    artifact_report_free(report);
    artifact_free(artifact);
    CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, "one more", true, &error));
    artifact = made_by(engine);
    report = GARBAGE;
    CHECK_FAILS(artifact_compat_report(artifact, other, &report, &error), ARTIFACT_LIMIT, "4096");
    CHECK(report == NULL);
    artifact_free(artifact);
    artifact_engine_free(engine), artifact_engine_free(other);
}

TEST(report_null) {
    CHECK_STATUS(artifact_report_status(NULL), ARTIFACT_INVALID_ARGUMENT);
    CHECK(artifact_report_count(NULL) == 0 && artifact_report_kinds(NULL) == 0);
    artifact_report_free(NULL);
}

/* ---- single differences: kind, setting, both values, sentence ---- */

typedef enum how_t { TARGET, BOOL, NUM, ENUM, UNSET, TUNABLE, FEATURE } how_t;

typedef struct difference_t {
    how_t how;
    uint32_t map; /* or which tunable or feature */
    const char *name, *text;
    uint64_t value;
    uint32_t kind;
    const char *setting, *artifact_value, *engine_value, *sentence;
} difference_t;

static void apply(artifact_engine_t *engine, const difference_t *d) {
    switch (d->how) {
    case TARGET:
        CHECK_OK(artifact_engine_set_target(engine, d->text, &error));
        break;
    case BOOL:
        CHECK_OK(artifact_engine_set_flag_bool(engine, d->map, d->name, d->value, &error));
        break;
    case NUM:
        CHECK_OK(artifact_engine_set_flag_num(engine, d->map, d->name, (uint8_t)d->value, &error));
        break;
    case ENUM:
        CHECK_OK(artifact_engine_set_flag_enum(engine, d->map, d->name, d->text, &error));
        break;
    case UNSET:
        CHECK_OK(artifact_engine_unset_flag(engine, d->map, d->name, &error));
        break;
    case TUNABLE:
        CHECK_OK(artifact_engine_set_tunable(engine, d->map, d->value, &error));
        break;
    case FEATURE:
        CHECK_OK(artifact_engine_set_feature(engine, d->map, d->value, &error));
        break;
    }
}

#define DIFFERENT(name, a, e)                                                                                          \
    "Module was compiled with a different '" name "' setting: expected '" a "' but host has '" e "'"
#define ABSENT(name) "Module was compiled with setting '" name "' but it is not present for the host"
#define UNSUPPORTED_ISA(name) "Module was compiled with setting '" name "' enabled but the host does not support it"
#define BOUND(name, a, e) "Module was compiled with a " name " of '" a "' but '" e "' is expected for the host"
#define WITH(name) "Module was compiled with " name " but it is not enabled for the host"
#define WITHOUT(name) "Module was compiled without " name " but it is enabled for the host"

static const difference_t differences[] = {
    {.how = TARGET,
     .text = "aarch64-unknown-linux-gnu",
     .kind = ARTIFACT_REPORT_ARCHITECTURE,
     .artifact_value = "x86_64",
     .engine_value = "aarch64",
     .sentence = "Module was compiled for architecture 'x86_64'"},
    {.how = TARGET,
     .text = "x86_64-unknown-freebsd",
     .kind = ARTIFACT_REPORT_OPERATING_SYSTEM,
     .artifact_value = "linux",
     .engine_value = "freebsd",
     .sentence = "Module was compiled for operating system 'linux'"},
    {.how = TARGET, .text = "x86_64-pc-linux-musl"}, /* vendor and environment are not compared */
    {.how = BOOL,
     .name = "fast",
     .kind = ARTIFACT_REPORT_SHARED_FLAG,
     .setting = "fast",
     .artifact_value = "true",
     .engine_value = "false",
     .sentence = DIFFERENT("fast", "true", "false")},
    {.how = ENUM,
     .name = "opt_level",
     .text = "none",
     .kind = ARTIFACT_REPORT_SHARED_FLAG,
     .setting = "opt_level",
     .artifact_value = "speed",
     .engine_value = "none",
     .sentence = DIFFERENT("opt_level", "speed", "none")},
    {.how = NUM,
     .name = "size",
     .value = 13,
     .kind = ARTIFACT_REPORT_SHARED_FLAG,
     .setting = "size",
     .artifact_value = "12",
     .engine_value = "13",
     .sentence = DIFFERENT("size", "12", "13")},
    {.how = BOOL,
     .name = "new",
     .value = 0,
     .kind = ARTIFACT_REPORT_SHARED_FLAG,
     .setting = "new",
     .artifact_value = "",
     .engine_value = "false",
     .sentence = "Module was compiled without setting 'new'"},
    {.how = UNSET,
     .name = "size",
     .kind = ARTIFACT_REPORT_SHARED_FLAG,
     .setting = "size",
     .artifact_value = "12",
     .engine_value = "",
     .sentence = ABSENT("size")},
    {.how = BOOL,
     .map = ARTIFACT_FLAGS_ISA,
     .name = "avx2",
     .kind = ARTIFACT_REPORT_ISA_FLAG,
     .setting = "avx2",
     .artifact_value = "true",
     .engine_value = "false",
     .sentence = UNSUPPORTED_ISA("avx2")},
    {.how = UNSET,
     .map = ARTIFACT_FLAGS_ISA,
     .name = "avx2",
     .kind = ARTIFACT_REPORT_ISA_FLAG,
     .setting = "avx2",
     .artifact_value = "true",
     .sentence = NULL},
    {.how = BOOL, .map = ARTIFACT_FLAGS_ISA, .name = "fma", .value = 1},                /* the host has more */
    {.how = UNSET, .map = ARTIFACT_FLAGS_ISA, .name = "fma"},                           /* absent counts as off */
    {.how = BOOL, .map = ARTIFACT_FLAGS_ISA, .name = "avx10.2", .value = 1},            /* a feature of newer CPUs */
    {.how = ENUM, .map = ARTIFACT_FLAGS_ISA, .name = "sve-vector-bits", .text = "512"}, /* fits code for any length */
    {.how = ENUM,
     .map = ARTIFACT_FLAGS_ISA,
     .name = "tune",
     .text = "generic",
     .kind = ARTIFACT_REPORT_ISA_FLAG,
     .setting = "tune",
     .artifact_value = "native",
     .engine_value = "generic",
     .sentence = DIFFERENT("tune", "native", "generic")},
    {.how = UNSET,
     .map = ARTIFACT_FLAGS_ISA,
     .name = "tune",
     .kind = ARTIFACT_REPORT_ISA_FLAG,
     .setting = "tune",
     .artifact_value = "native",
     .engine_value = "",
     .sentence = ABSENT("tune")},
    {.how = NUM,
     .map = ARTIFACT_FLAGS_ISA,
     .name = "width",
     .value = 3,
     .kind = ARTIFACT_REPORT_ISA_FLAG,
     .setting = "width",
     .artifact_value = "",
     .engine_value = "3",
     .sentence = "Module was compiled without setting 'width'"},
};

static void check_difference(const difference_t *d) {
    artifact_engine_t *engine = flag_engine(), *other = flag_engine();
    apply(other, d);
    artifact_t *artifact = made_by(engine);
    artifact_report_t *report = report_on(artifact, other);
    if (d->kind == 0) {
        CHECK_OK(artifact_check_compat(artifact, other, &error));
        CHECK(artifact_report_count(report) == 0);
    } else {
        artifact_error_t *error = GARBAGE;
        CHECK_STATUS(artifact_check_compat(artifact, other, &error), ARTIFACT_INCOMPATIBLE);
        CHECK_STATUS(artifact_report_status(report), ARTIFACT_INCOMPATIBLE);
        CHECK(artifact_report_count(report) == 1 && artifact_report_kinds(report) == d->kind);
        artifact_report_entry_t entry = entry_at(report, 0);
        CHECK(entry.kind == d->kind);
        if (d->setting) CHECK_STR(entry.setting, d->setting);
        if (d->artifact_value) CHECK_STR(entry.artifact_value, d->artifact_value);
        if (d->engine_value) CHECK_STR(entry.engine_value, d->engine_value);
        if (d->sentence) CHECK_STR(entry.sentence, d->sentence);
        CHECK_STR(artifact_error_message(error), entry.sentence);
        artifact_error_free(error);
    }
    artifact_report_free(report);
    artifact_free(artifact);
    artifact_engine_free(engine);
    artifact_engine_free(other);
}

TEST(report_of_one_difference) {
    for (size_t i = 0; i < COUNT(differences); i++) check_difference(&differences[i]);
}

/* Tunables and features that are off in the artifact and on in the host, and vice versa. */
static const struct {
    how_t how;
    uint32_t key;
    const char *name;
} switches[] = {
    {TUNABLE, ARTIFACT_TUNABLE_GENERATE_NATIVE_DEBUGINFO, "debug information support"},
    {TUNABLE, ARTIFACT_TUNABLE_PARSE_WASM_DEBUGINFO, "WebAssembly backtrace support"},
    {TUNABLE, ARTIFACT_TUNABLE_INTERRUPTABLE, "interruption support"},
    {TUNABLE, ARTIFACT_TUNABLE_CONSUME_FUEL, "fuel support"},
    {TUNABLE, ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND_IS_MAXIMUM, "pooling allocation support"},
    {TUNABLE, ARTIFACT_TUNABLE_GUARD_BEFORE_LINEAR_MEMORY, "guard before linear memory"},
    {FEATURE, ARTIFACT_FEATURE_REFERENCE_TYPES, "WebAssembly reference types support"},
    {FEATURE, ARTIFACT_FEATURE_MULTI_VALUE, "WebAssembly multi-value support"},
    {FEATURE, ARTIFACT_FEATURE_BULK_MEMORY, "WebAssembly bulk memory support"},
    {FEATURE, ARTIFACT_FEATURE_MODULE_LINKING, "WebAssembly module linking support"},
    {FEATURE, ARTIFACT_FEATURE_SIMD, "WebAssembly SIMD support"},
    {FEATURE, ARTIFACT_FEATURE_THREADS, "WebAssembly threads support"},
    {FEATURE, ARTIFACT_FEATURE_TAIL_CALL, "WebAssembly tail-call support"},
    {FEATURE, ARTIFACT_FEATURE_DETERMINISTIC_ONLY, "WebAssembly deterministic-only support"},
    {FEATURE, ARTIFACT_FEATURE_MULTI_MEMORY, "WebAssembly multi-memory support"},
    {FEATURE, ARTIFACT_FEATURE_EXCEPTIONS, "WebAssembly exceptions support"},
    {FEATURE, ARTIFACT_FEATURE_MEMORY64, "WebAssembly 64-bit memory support"},
};

TEST(report_of_switches_in_both_directions) {
    for (size_t i = 0; i < 2 * COUNT(switches); i++) {
        size_t which = i / 2;
        bool on = i % 2;
        artifact_engine_t *with = plain_engine(), *without = plain_engine();
        difference_t d = {.how = switches[which].how, .map = switches[which].key, .value = 1};
        apply(with, &d);
        d.value = 0;
        apply(without, &d);
        artifact_t *artifact = made_by(on ? with : without);
        artifact_report_t *report = report_on(artifact, on ? without : with);
        char sentence[200];
        snprintf(sentence, sizeof sentence, on ? WITH("%s") : WITHOUT("%s"), switches[which].name);
        CHECK(artifact_report_count(report) == 1);
        artifact_report_entry_t entry = entry_at(report, 0);
        CHECK(entry.kind == (d.how == TUNABLE ? ARTIFACT_REPORT_TUNABLE : ARTIFACT_REPORT_FEATURE));
        CHECK_STR(entry.sentence, sentence);
        CHECK_STR(entry.artifact_value, on ? "true" : "false");
        CHECK_STR(entry.engine_value, on ? "false" : "true");
        CHECK(*entry.setting);
        artifact_report_free(report);
        artifact_free(artifact);
        artifact_engine_free(with), artifact_engine_free(without);
    }
}

TEST(report_of_numbers) {
    static const struct {
        uint32_t key;
        const char *sentence;
    } numbers[] = {
        {ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND, BOUND("static memory bound", "5", "6")},
        {ARTIFACT_TUNABLE_STATIC_MEMORY_OFFSET_GUARD_SIZE, BOUND("static memory guard size", "5", "6")},
        {ARTIFACT_TUNABLE_DYNAMIC_MEMORY_OFFSET_GUARD_SIZE, BOUND("dynamic memory guard size", "5", "6")},
        {ARTIFACT_TUNABLE_DYNAMIC_MEMORY_GROWTH_RESERVE, NULL},
        {ARTIFACT_TUNABLE_GENERATE_ADDRESS_MAP, NULL},
    };
    for (size_t i = 0; i < COUNT(numbers); i++) {
        bool number = numbers[i].key < ARTIFACT_TUNABLE_GENERATE_NATIVE_DEBUGINFO;
        artifact_engine_t *engine = plain_engine();
        CHECK_OK(artifact_engine_set_tunable(engine, numbers[i].key, number ? 5 : 0, &error));
        artifact_t *artifact = made_by(engine);
        CHECK_OK(artifact_engine_set_tunable(engine, numbers[i].key, number ? 6 : 1, &error));
        artifact_report_t *report = report_on(artifact, engine);
        CHECK(artifact_report_count(report) == (numbers[i].sentence != NULL));
        if (numbers[i].sentence) {
            artifact_report_entry_t entry = entry_at(report, 0);
            CHECK_STR(entry.sentence, numbers[i].sentence);
            CHECK_STR(entry.artifact_value, "5");
            CHECK_STR(entry.engine_value, "6");
            CHECK(entry.kind == ARTIFACT_REPORT_TUNABLE);
        }
        artifact_report_free(report);
        artifact_free(artifact);
        artifact_engine_free(engine);
    }
}
