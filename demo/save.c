/* The first process: saves compiled modules, with the settings that they were compiled with, in one file. */
#include "settings.h"

/* The instruction sets that the modules use: the defaults of cc, which also compiles this file. */
static const char *const instruction_sets[] = {
#if defined(__x86_64__)
    "fxsr", "sse", "sse2",
#elif defined(__aarch64__)
    "neon",
#endif
    NULL};

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: %s FILE MODULE.o...\n", argv[0]);
        return 2;
    }
    artifact_error_t *error = NULL;
    artifact_engine_t *engine = artifact_engine_new();
    add_compiler_settings(engine);
    for (size_t i = 0; instruction_sets[i]; i++) {
        const char *name = instruction_sets[i];
        must(artifact_engine_set_flag_bool(engine, ARTIFACT_FLAGS_ISA, name, true, &error), &error, name);
    }

    artifact_builder_t *builder = NULL;
    must(artifact_builder_new(engine, &builder, &error), &error, "builder");
    for (int i = 2; i < argc; i++) {
        size_t index = 0;
        must(artifact_builder_add_module_file(builder, argv[i], &index, &error), &error, argv[i]);
        printf("  module %zu: %s\n", index, argv[i]);
    }
    must(artifact_serialize_to_file(builder, argv[1], NULL, &error), &error, argv[1]);
    printf("  saved as %s for %s by \"%s\"\n", argv[1], artifact_engine_target(engine),
           artifact_engine_producer(engine));

    artifact_builder_free(builder);
    artifact_engine_free(engine);
    return 0;
}
