/* Helpers for tests of files of several targets. Include it after native.h and signed.h. */
#ifndef FAT_H
#define FAT_H
#include "image.h"
#include "support.h"

#define ARM_TARGET "aarch64-unknown-linux-gnu"

/* The features that each level of the x86-64 psABI adds, and NULL. */
static const char *const v2[] = {"cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3", NULL};
static const char *const v3[] = {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave", NULL};
static const char *const v4[] = {"avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl", NULL};
static const char *const *const levels[] = {v2, v3, v4};

/* Returns an engine for a level from 1 to 4. */
static inline artifact_engine_t *engine_of(int level) {
    artifact_engine_t *engine = plain_engine();
    for (int i = 0; i + 1 < level; i++) {
        for (const char *const *name = levels[i]; *name; name++)
            CHECK_OK(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, *name, true, &error));
    }
    return engine;
}

static inline artifact_engine_t *arm_engine(void) {
    artifact_engine_t *engine = artifact_engine_new();
    CHECK_OK(artifact_engine_set_target(engine, ARM_TARGET, &error));
    return engine;
}

/* Returns a builder of one module for an engine. Its machine is that of the target; `elf` has the bytes. */
static inline artifact_builder_t *module_for(const artifact_engine_t *engine, bytes_t *elf) {
    const bool arm = strcmp(artifact_engine_target(engine), ARM_TARGET) == 0;
    *elf = make_elf((shape_t){.machine = arm ? 183 : 62, .align = 16});
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_module(builder, elf->data, elf->len, NULL, &error));
    return builder;
}

/* Adds a variant for an engine, which is freed. */
static inline void add_for(artifact_fat_builder_t *fat, artifact_engine_t *engine, int32_t score) {
    bytes_t elf;
    artifact_builder_t *builder = module_for(engine, &elf);
    size_t index = 99;
    CHECK_OK(artifact_fat_builder_add(fat, builder, score, &index, &error));
    CHECK(index + 1 == artifact_fat_builder_count(fat));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&elf);
}

/* Levels 1 to 3 and aarch64, in the order of the index: aarch64 is a target of its own. */
static inline artifact_fat_builder_t *four(void) {
    artifact_fat_builder_t *fat = artifact_fat_builder_new();
    CHECK(fat);
    add_for(fat, engine_of(1), 0);
    add_for(fat, arm_engine(), -1);
    add_for(fat, engine_of(3), 0);
    add_for(fat, engine_of(2), 0);
    return fat;
}

static inline bytes_t fat_bytes(const artifact_fat_builder_t *fat) {
    artifact_buffer_t *buffer = GARBAGE;
    CHECK_OK(artifact_fat_serialize(fat, &buffer, &error));
    bytes_t copy = bytes_copy(artifact_buffer_data(buffer), artifact_buffer_len(buffer));
    artifact_buffer_free(buffer);
    return copy;
}

static inline bytes_t four_bytes(void) {
    artifact_fat_builder_t *fat = four();
    bytes_t bytes = fat_bytes(fat);
    artifact_fat_builder_free(fat);
    return bytes;
}

/* Adds the object that native.cmake compiled for a level, if it is there. */
static inline void add_object(artifact_fat_builder_t *fat, artifact_engine_t *engine, const char *path) {
    bytes_t bytes = read_file(path);
    const artifact_object_t object = {path, bytes.data, bytes.len};
    artifact_builder_t *builder = new_builder(engine);
    CHECK_OK(artifact_builder_add_objects(builder, &object, 1, NULL, NULL, &error));
    CHECK_OK(artifact_fat_builder_add(fat, builder, 0, NULL, &error));
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    bytes_free(&bytes);
}

static inline size_t chosen(const bytes_t *bytes, const artifact_engine_t *engine, uint64_t flags, uint64_t variant) {
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = flags;
    options.variant = variant;
    artifact_t *artifact = GARBAGE;
    CHECK_OK(artifact_open_bytes(bytes->data, bytes->len, engine, &options, &artifact, &error));
    const size_t found = artifact_variant_chosen(artifact);
    artifact_free(artifact);
    return found;
}

static inline void refuses(const bytes_t *bytes, const artifact_engine_t *engine, uint64_t flags, uint64_t variant,
                           artifact_status_t status, const char *words) {
    artifact_open_options_t options = ARTIFACT_OPEN_OPTIONS_INIT;
    options.flags = flags;
    options.variant = variant;
    artifact_t *artifact = GARBAGE;
    CHECK_FAILS(artifact_open_bytes(bytes->data, bytes->len, engine, &options, &artifact, &error), status, words);
    CHECK(artifact == NULL);
}

#endif
