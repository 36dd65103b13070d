/* What both programs of the demo share: the settings of the "compiler", and what to do when a call fails. */
#ifndef SETTINGS_H
#define SETTINGS_H
#include <artifact.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * Ends the program with the library's sentence unless the call went well. Takes the error by its address: it is the
 * call in the first argument that sets it, and C may look at the others before.
 */
static inline void must(artifact_status_t status, artifact_error_t **error, const char *what) {
    if (status == ARTIFACT_OK) return;
    fprintf(stderr, "%s: %s (%s)\n", what, artifact_error_message(*error), artifact_status_name(status));
    artifact_error_free(*error);
    exit(1);
}

/* How the modules are compiled, apart from target and CPU: what the host that runs them must have chosen, too. */
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
