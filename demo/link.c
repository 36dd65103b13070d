/* Links objects into one module and saves it as an artifact. */
#include "settings.h"

/* Returns a file as an object to link. The caller frees its bytes. */
static artifact_object_t read_object(const char *path) {
    FILE *file = fopen(path, "rb");
    long len = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    uint8_t *data = len > 0 ? malloc((size_t)len) : NULL;
    if (!data || fseek(file, 0, SEEK_SET) != 0 || fread(data, (size_t)len, 1, file) != 1) {
        perror(path);
        exit(1);
    }
    fclose(file);
    return (artifact_object_t){path, data, (size_t)len};
}

int main(int argc, char **argv) {
    enum { MAX_OBJECTS = 8 };
    if (argc < 3 || argc > 2 + MAX_OBJECTS) {
        fprintf(stderr, "usage: %s FILE OBJECT.o... (at most %d)\n", argv[0], MAX_OBJECTS);
        return 2;
    }
    artifact_object_t objects[MAX_OBJECTS];
    size_t count = (size_t)(argc - 2);
    for (size_t i = 0; i < count; i++) objects[i] = read_object(argv[2 + i]);

    artifact_error_t *error = NULL;
    artifact_engine_t *engine = artifact_engine_new();
    add_compiler_settings(engine);
    artifact_builder_t *builder = NULL;
    must(artifact_builder_new(engine, &builder, &error), &error, "builder");
    must(artifact_builder_add_objects(builder, objects, count, NULL, NULL, &error), &error, "linking");
    for (size_t i = 0; i < count; i++) free((void *)objects[i].data); /* needed during the call only */
    must(artifact_serialize_to_file(builder, argv[1], NULL, &error), &error, argv[1]);
    printf("  linked %zu objects into one module of %s\n", count, argv[1]);

    artifact_builder_free(builder);
    artifact_engine_free(engine);
    return 0;
}
