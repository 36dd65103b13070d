/*
 * A folder of very many entries: many ENTRIES. A get takes no longer than among a few, and no store waits long for the
 * collection that it starts. Times are the best of three attempts: others use the machine too.
 */
#define main check_main /* that of check.h runs tests */
#include "../check.h"
#undef main
#include "../cache.h"
#include "tool.h"

enum { SAMPLES = 500, STORES = 300 };

static const double max_slower = 1.5, max_wait = 0.1;

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Returns the median time of a get that hits, in seconds. */
static double time_of_get(used_t *used) {
    static double times[SAMPLES];
    artifact_cache_key_t *key = key_of(1);
    for (size_t i = 0; i < SAMPLES; i++) {
        artifact_t *artifact = NULL;
        double start = seconds();
        CHECK_OK(artifact_cache_get(used->cache, key, &artifact, NULL, &error));
        times[i] = seconds() - start;
        CHECK(artifact);
        artifact_free(artifact);
    }
    artifact_cache_key_free(key);
    qsort(times, SAMPLES, sizeof *times, by_size);
    return times[SAMPLES / 2];
}

/* Fills the folder: links to a few entries under names of keys that nobody has. */
static void fill(used_t *used, size_t entries) {
    char from[4200], to[8400], group[4300];
    for (size_t i = 0; i < entries; i++) {
        if (i % 10000 == 0) { /* a file can't have more than 65,000 links on ext4 */
            uint32_t number = (uint32_t)(2 + i / 10000);
            CHECK_OUTCOME(use(used, number), ARTIFACT_CACHE_MADE);
            snprintf(from, sizeof from, "%s", entry_of(used, number));
        }
        snprintf(group, sizeof group, "%s/v1/%02x", used->folder, (unsigned)(i % 256));
        if (i < 256) mkdir(group, 0700);
        snprintf(to, sizeof to, "%s/%02x%062zx%s", group, (unsigned)(i % 256), i, strrchr(from, '.'));
        CHECK(link(from, to) == 0);
    }
}

/* Stores while the folder is too large, so that stores collect. Returns the longest time of one, and of one that
 * collected nothing. */
static double time_of_stores(used_t *used, uint32_t first) {
    /* A handle collects at the latest when it has stored a sixteenth of the limit. */
    uint32_t stores = (uint32_t)(used->options.max_entries / 16) + STORES;
    double longest = 0;
    artifact_t *artifact = NULL;
    for (uint32_t i = 0; i < stores; i++) {
        artifact_cache_key_t *key = key_of(first + i);
        artifact_builder_t *builder = new_builder(used->engine);
        CHECK(add_keyed(builder, first + i, NULL) == ARTIFACT_OK);
        double start = seconds();
        CHECK_OK(artifact_cache_put(used->cache, key, builder, &artifact, NULL, &error));
        double took = seconds() - start;
        if (took > longest) longest = took;
        artifact_free(artifact);
        artifact_builder_free(builder);
        artifact_cache_key_free(key);
    }
    return longest;
}

int main(int argc, char **argv) {
    size_t entries = argc > 1 ? strtoull(argv[1], NULL, 10) : 100000;
    used_t *used = new_used("code");
    used->options.flags = ARTIFACT_CACHE_NO_SYNC; /* the disk's own time isn't what is measured */
    used->options.max_bytes = UINT64_MAX;
    open_used(used);
    CHECK_OUTCOME(use(used, 1), ARTIFACT_CACHE_MADE);
    double few = time_of_get(used);
    fill(used, entries);
    double slower = 1e9;
    for (int attempt = 0; attempt < 3; attempt++) {
        double ratio = time_of_get(used) / few;
        if (ratio < slower) slower = ratio;
    }
    printf("%zu entries: a get takes %.2f times as long, at most %.1f\n", entries, slower, max_slower);
    artifact_cache_free(used->cache);

    used->options.max_bytes = 0;
    double wait = 1e9;
    for (uint32_t attempt = 0; attempt < 3; attempt++) {
        used->options.max_entries = entries / (2 + attempt); /* each time too many */
        open_used(used);
        double longest = time_of_stores(used, 100000 * (attempt + 1));
        if (longest < wait) wait = longest;
        if (attempt < 2) artifact_cache_free(used->cache);
    }
    unsigned evicted = used->events[ARTIFACT_CACHE_EVICTED];
    printf("%u evicted; the longest store took %.3f s, at most %.3f\n", evicted, wait, max_wait);
    CHECK(slower <= max_slower && wait <= max_wait && evicted > 0);
    CHECK_OK(artifact_cache_trim(used->cache, NULL, &error));
    CHECK(entries_of(used).count <= entries / 4);
    free_used(used);
    return 0;
}
