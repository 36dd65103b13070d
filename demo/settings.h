/* Shared by the programs of the demo: the settings of the "compiler", and error handling. */
#ifndef SETTINGS_H
#define SETTINGS_H
#include <artifact.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Prints the error and exits if a call failed. Takes a pointer to the error, because the call in the first argument
 * sets it, and C may evaluate the other arguments earlier.
 */
static inline void must(artifact_status_t status, artifact_error_t **error, const char *what) {
    if (status == ARTIFACT_OK) return;
    fprintf(stderr, "%s: %s (%s)\n", what, artifact_error_message(*error), artifact_status_name(status));
    artifact_error_free(*error);
    exit(1);
}

/* Sets how the modules are compiled, apart from target and CPU. A host that runs them must use the same settings. */
static inline void add_compiler_settings(artifact_engine_t *engine) {
    artifact_error_t *error = NULL;
    const uint32_t shared = ARTIFACT_FLAGS_SHARED;
    must(artifact_engine_set_flag_enum(engine, shared, "opt_level", "speed", &error), &error, "opt_level");
    must(artifact_engine_set_flag_bool(engine, shared, "is_pic", true, &error), &error, "is_pic");
    must(artifact_engine_set_flag_bool(engine, shared, "unwind_info", true, &error), &error, "unwind_info");
    must(artifact_engine_set_flag_num(engine, shared, "stack_align_log2", 4, &error), &error, "stack_align_log2");
    must(artifact_engine_set_tunable(engine, ARTIFACT_TUNABLE_STATIC_MEMORY_BOUND, 65536, &error), &error, "bound");
    must(artifact_engine_set_tunable(engine, ARTIFACT_TUNABLE_CONSUME_FUEL, 0, &error), &error, "fuel");
    must(artifact_engine_set_feature(engine, ARTIFACT_FEATURE_SIMD, true, &error), &error, "simd");
}
#endif
