/*
 * One call of a cache, for cache_faults.c to trace: cache_call FOLDER CALL
 *
 * CALL is `get`, `make`, `trim` or `open`. Two calls of close(MARK) mark its beginning and end. Prints the status, the
 * outcome and the number that the code returned, if there is any, and exits with 0 whatever they are.
 */
#define main check_main /* that of check.h runs tests */
#include "../check.h"
#undef main
#include "../cache.h"

enum { MARK = -1234, NUMBER = 42 };

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    used_t *used = new_used_at(argv[1]);
    used->options.on_event = NULL;
    const char *call = argv[2];
    used->options.max_entries =
        strcmp(call, "trim") == 0 ? 4 : UINT64_MAX; /* a store collects for as long as it has time */
    artifact_cache_key_t *key = key_of(NUMBER);
    artifact_t *artifact = NULL;
    uint32_t outcome = 0;
    maker_t maker = {.number = NUMBER};
    artifact_status_t status = ARTIFACT_OK;
    artifact_builder_t *builder = new_builder(used->engine);
    CHECK(add_keyed(builder, NUMBER, NULL) == ARTIFACT_OK); /* reads the object, which isn't what is tested */
    artifact_builder_free(builder);
    if (strcmp(call, "open") != 0) open_used(used);
    close(MARK);
    if (strcmp(call, "open") == 0) {
        status = artifact_cache_open(used->folder, used->engine, &used->options, &used->cache, NULL);
    } else if (strcmp(call, "get") == 0) {
        status = artifact_cache_get(used->cache, key, &artifact, &outcome, NULL);
    } else if (strcmp(call, "make") == 0) {
        status = artifact_cache_get_or_make(used->cache, key, make_keyed, &maker, &artifact, &outcome, NULL);
    } else {
        status = artifact_cache_trim(used->cache, NULL, NULL);
    }
    close(MARK);
    char text[64];
    int64_t number = artifact ? whose(artifact, used->engine) : 0;
    int len = snprintf(text, sizeof text, "%d %u %" PRId64 "\n", (int)status, outcome, number);
    if (write(STDOUT_FILENO, text, (size_t)len) != len) return 1;
    artifact_free(artifact);
    artifact_cache_key_free(key);
    free_used(used);
    return 0;
}
