/*
 * Eight processes use one cache, while each of them may be killed at any moment, files are damaged and the folder is
 * trimmed: stress OPERATIONS SECONDS, whichever is reached first. Fails if anyone ever gets the code of another key, or
 * code that isn't whole, if a call fails, or if anything is left but entries and temporary files, which the next
 * collection removes.
 */
#define main check_main /* that of check.h runs tests */
#include "../check.h"
#undef main
#include "../cache.h"
#include "tool.h"

#include <ctype.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>

enum { PROCESSES = 8, KEYS = 1000 };

typedef struct shared_t {
    _Atomic uint64_t operations, outcomes[OUTCOMES], kills, damaged;
    _Atomic bool over;
} shared_t;

static shared_t *shared;
static uint64_t wanted;
static char folder[4096], stock[4096];

/* ---- those who use it ---- */

static void count(void *context, uint32_t outcome, const char *path, const artifact_error_t *error) {
    (void)context, (void)path, (void)error;
    if (outcome == ARTIFACT_CACHE_EVICTED) shared->outcomes[outcome]++;
}

static void work(unsigned which) {
    used_t *used = new_used_at(folder);
    used->options.on_event = count;
    /* Damage is found by digests only: entries are never changed in place. */
    used->options.flags = ARTIFACT_CACHE_VERIFY_ALWAYS | (which % 2 ? ARTIFACT_CACHE_NO_SYNC : 0);
    used->options.max_bytes = 8 << 20;
    used->options.wait_ms = 2000;
    open_used(used);
    while (!shared->over) {
        if (++shared->operations >= wanted) shared->over = true;
        /* Half of the time a few keys, so that they meet. */
        uint32_t number = random_below(2) ? random_below(10) : random_below(KEYS), outcome = 0,
                 what = random_below(100);
        if (what < 70) {
            outcome = use(used, number);
        } else if (what < 90) {
            outcome = look(used, number);
        } else if (what < 97) {
            outcome = store(used, number);
        } else if (what < 99) {
            artifact_cache_key_t *key = key_of(number);
            artifact_status_t status = artifact_cache_remove(used->cache, key, NULL);
            CHECK(status == ARTIFACT_OK || status == ARTIFACT_IO); /* a directory is in its place */
            artifact_cache_key_free(key);
        } else if (random_below(20) == 0) {
            artifact_status_t status = artifact_cache_trim(used->cache, NULL, NULL);
            CHECK(status == ARTIFACT_OK || status == ARTIFACT_LIMIT); /* another process takes long */
        }
        CHECK(outcome < OUTCOMES);
        shared->outcomes[outcome]++;
    }
    free_used(used);
}

/* ---- those who disturb it ---- */

static bool is_entry(const char *name) {
    for (size_t i = 0; i < 81; i++) {
        if (i == 64 ? name[i] != '.' : !isxdigit((unsigned char)name[i])) return false;
    }
    return name[81] == 0;
}

static char paths[4][4200]; /* a few entries, chosen at random */
static size_t seen;

static int choose(const char *path, const struct stat *about, int type, struct FTW *place) {
    if (type != FTW_F || !S_ISREG(about->st_mode) || !is_entry(path + place->base)) return 0;
    seen++;
    for (size_t i = 0; i < COUNT(paths); i++) {
        if (random_below((uint32_t)seen) == 0) snprintf(paths[i], sizeof paths[i], "%s", path);
    }
    return 0;
}

/* Puts something wrong in the place of an entry: cut off, changed, of another key, or no file. */
static void damage(void) {
    seen = 0;
    walk(folder, choose); /* files may go away meanwhile */
    if (seen < 10) return;
    static uint8_t bytes[1 << 20];
    int from = open(paths[0], O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* it may have become a FIFO */
    if (from < 0) return;
    ssize_t got = read(from, bytes, sizeof bytes);
    close(from);
    size_t len = got > 0 ? (size_t)got : 0;
    const char *to = paths[0];
    switch (random_below(5)) {
    case 0:
        len = random_below((uint32_t)len + 1);
        break;
    case 1:
        if (len) bytes[random_below((uint32_t)len)] ^= (uint8_t)(1 << random_below(8));
        break;
    case 2:
        to = paths[1];
        break;
    case 3:
        if (unlink(to) == 0 && mkfifo(to, 0600) == 0) shared->damaged++;
        return;
    default:
        if (unlink(to) == 0 && symlink(paths[2], to) == 0) shared->damaged++;
        return;
    }
    char beside[4200];
    snprintf(beside, sizeof beside, "%s/beside", stock);
    write_file(beside, bytes, len);
    if (rename(beside, to) == 0) shared->damaged++;
}

static pid_t begin(unsigned which, uint64_t seed) {
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* if the test fails */
        *check_folder = 0;                /* the folder is removed by the parent only */
        random_state = seed * 977 + which + 1;
        work(which);
        fflush(NULL);
        _exit(0);
    }
    return child;
}

/* ---- what is left ---- */

static unsigned entries, temporary, others;

static int sort(const char *path, const struct stat *about, int type, struct FTW *place) {
    const char *name = path + place->base;
    if (place->level < 2 || S_ISDIR(about->st_mode)) return 0;
    (void)type;
    if (is_entry(name)) {
        entries++;
    } else if (strstr(name, ".tmp")) {
        temporary++;
        struct timespec old[2] = {{.tv_sec = time(NULL) - 120}, {.tv_sec = time(NULL) - 120}};
        CHECK(utimensat(AT_FDCWD, path, old, AT_SYMLINK_NOFOLLOW) == 0);
    } else {
        others++;
        fprintf(stderr, "left over: %s\n", path);
    }
    return 0;
}

static void check_folder_is_clean(void) {
    used_t *used = new_used_at(folder);
    used->options.flags = ARTIFACT_CACHE_VERIFY_ALWAYS;
    used->options.max_bytes = 8 << 20;
    open_used(used);
    CHECK(walk(folder, sort) == 0);
    printf("%u entries, %u temporary files\n", entries, temporary);
    CHECK(others == 0 && entries > 0);
    CHECK_OK(artifact_cache_trim(used->cache, NULL, &error));
    entries = temporary = 0;
    CHECK(walk(folder, sort) == 0);
    CHECK(temporary == 0 && others == 0);
    for (uint32_t i = 0; i < KEYS; i++) use(used, i); /* every damage can be repaired */
    artifact_cache_stats_t stats;
    CHECK_OK(artifact_cache_trim(used->cache, NULL, &error));
    CHECK_OK(artifact_cache_stats(used->cache, &stats, &error));
    CHECK(stats.bytes <= 8 << 20);
    free_used(used);
}

int main(int argc, char **argv) {
    wanted = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    double limit = argc > 2 ? strtod(argv[2], NULL) : 1e9;
    snprintf(folder, sizeof folder, "%s", scratch("code"));
    snprintf(stock, sizeof stock, "%s", scratch("stock"));
    CHECK(mkdir(stock, 0700) == 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    artifact_engine_t *engine = artifact_engine_new();
    artifact_builder_t *builder = new_builder(engine);
    CHECK(add_keyed(builder, 0, NULL) == ARTIFACT_OK); /* reads the object, once for all processes */
    artifact_builder_free(builder);
    artifact_engine_free(engine);
    random_state = (uint64_t)time(NULL) * 2 + 1;
    printf("seed %" PRIu64 "\n", random_state);

    pid_t children[PROCESSES];
    unsigned running = PROCESSES;
    uint64_t started = 0;
    for (unsigned i = 0; i < PROCESSES; i++) children[i] = begin(i, random_state + started++);
    double from = seconds();
    while (running > 0) {
        usleep(1000 + random_below(20000));
        if (seconds() - from > limit) shared->over = true;
        bool over = shared->over;
        if (!over) damage();
        unsigned victim = random_below(PROCESSES);
        if (!over && children[victim] && random_below(4) == 0 && kill(children[victim], SIGKILL) == 0) shared->kills++;
        int status;
        for (pid_t ended; (ended = waitpid(-1, &status, WNOHANG)) > 0;) {
            unsigned which = 0;
            while (children[which] != ended) which++;
            if (status != 0 && status != SIGKILL) check_fail(__FILE__, __LINE__, "a process", "has failed", "");
            children[which] = 0, running--;
            if (status == SIGKILL && !over) children[which] = begin(which, random_state + started++), running++;
        }
    }
    printf("%" PRIu64 " operations in %.1f s, %" PRIu64 " kills, %" PRIu64 " damaged\n", shared->operations,
           seconds() - from, shared->kills, shared->damaged);
    for (uint32_t i = 1; i < OUTCOMES; i++) {
        if (shared->outcomes[i]) printf("%10" PRIu64 " %s\n", shared->outcomes[i], artifact_cache_outcome_name(i));
    }
    CHECK(shared->kills > 0 && shared->damaged > 0 && shared->outcomes[ARTIFACT_CACHE_HIT] > 0);
    check_folder_is_clean();
    return 0;
}
