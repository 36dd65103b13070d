/* A program with two static libraries that were written in Rust. */
#include <artifact.h>
#include <stdbool.h>

bool other_survives(void);

int main(void) {
    artifact_engine_t *engine = artifact_engine_new();
    artifact_error_t *error = NULL;
    artifact_status_t status = artifact_engine_set_target(engine, "not a triple", &error);
    bool good = status == ARTIFACT_INVALID_ARGUMENT && artifact_error_status(error) == status && other_survives();
    artifact_error_free(error);
    artifact_engine_free(engine);
    return good ? 0 : 1;
}
