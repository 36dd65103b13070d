/* Saves objects as one linked module, which loads without any more work on its code. */
#include "settings.h"

/* A file as an object to link; the bytes are the caller's to free. */
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
    enum { MOST = 8 };
    if (argc < 3 || argc > 2 + MOST) {
        fprintf(stderr, "usage: %s FILE OBJECT.o... (at most %d)\n", argv[0], MOST);
        return 2;
    }
    artifact_object_t objects[MOST];
    size_t count = (size_t)(argc - 2);
    for (size_t i = 0; i < count; i++) objects[i] = read_object(argv[2 + i]);

    artifact_error_t *error = NULL;
    artifact_engine_t *engine = artifact_engine_new();
    add_compiler_settings(engine);
    artifact_builder_t *builder = NULL;
    must(artifact_builder_new(engine, &builder, &error), &error, "builder");
    must(artifact_builder_add_objects(builder, objects, count, NULL, NULL, &error), &error, "linking");
    for (size_t i = 0; i < count; i++) free((void *)objects[i].data); /* needed for linking only */
    must(artifact_serialize_to_file(builder, argv[1], NULL, &error), &error, argv[1]);
    printf("  %zu objects became one module of %s\n", count, argv[1]);

    artifact_builder_free(builder);
    artifact_engine_free(engine);
    return 0;
}
