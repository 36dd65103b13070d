/* Links an object, loads it and returns its function `pass`, which calls `callback`. In C, for own_unwinder.cpp. */
#include <artifact.h>
#include <stdio.h>
#include <stdlib.h>

typedef int (*function_t)(int);
function_t load_pass(const uint8_t *object, size_t len, function_t callback);

static artifact_error_t *error;

static void check(artifact_status_t status) {
    if (status == ARTIFACT_OK) return;
    fprintf(stderr, "%s\n", artifact_error_message(error));
    exit(1);
}

function_t load_pass(const uint8_t *object, size_t len, function_t callback) {
    union {
        function_t function;
        void *address;
    } defined = {.function = callback}, pass;
    const artifact_object_t objects[] = {{"pass.o", object, len}};
    const artifact_import_t imports[] = {{"callback", defined.address}};
    artifact_engine_t *engine = artifact_engine_new_host();
    artifact_builder_t *builder;
    artifact_buffer_t *bytes;
    artifact_t *artifact;
    artifact_code_t *code; /* stays until the program ends */
    check(artifact_builder_new(engine, &builder, &error));
    check(artifact_builder_add_objects(builder, objects, 1, NULL, NULL, &error));
    check(artifact_serialize(builder, &bytes, &error));
    check(
        artifact_open_bytes(artifact_buffer_data(bytes), artifact_buffer_len(bytes), engine, NULL, &artifact, &error));
    artifact_load_options_t options = ARTIFACT_LOAD_OPTIONS_INIT;
    options.symbols = imports;
    options.symbol_count = 1;
    check(artifact_load(artifact, engine, &options, &code, &error));
    pass.address = artifact_code_symbol(code, 0, "pass", NULL);
    artifact_free(artifact);
    artifact_buffer_free(bytes);
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    return pass.function;
}
