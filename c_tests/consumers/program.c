/* A user's program, in C and C++, for any copy of the library. */
#include <artifact.h>
#include <stdio.h>
#include <string.h>

int main(void) {
    artifact_engine_t *engine = artifact_engine_new_host();
    artifact_t *artifact = NULL;
    artifact_error_t *error = NULL;
    artifact_status_t status = artifact_open_file("no such file", engine, NULL, &artifact, &error);
    int good = engine != NULL && artifact == NULL && status == ARTIFACT_IO && artifact_error_status(error) == status &&
               strlen(artifact_error_message(error)) > 0 && artifact_version() == ARTIFACT_VERSION_NUMBER;
    printf("libartifact %s: %s\n", artifact_version_string(), artifact_error_message(error));
    artifact_error_free(error);
    artifact_engine_free(engine);
    return good ? 0 : 1;
}
