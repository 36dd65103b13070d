/* Caches in many threads and processes at once: one of them makes, the others wait for it. */
#include "cache.h"
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum { PROCESSES = 8, THREADS = 16 };

/* What the processes of a test share. */
typedef struct shared_t {
    _Atomic unsigned ready, calls, finished, outcomes[OUTCOMES];
    _Atomic int go, holder;
} shared_t;

static shared_t *shared;

static void share(void) {
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Waits for what another process does; fails if that takes more than 30 s. */
#define AWAIT(cond)                                                                                                    \
    do {                                                                                                               \
        double end_ = seconds() + 30;                                                                                  \
        while (!(cond)) {                                                                                              \
            CHECK(seconds() < end_);                                                                                   \
            usleep(1000);                                                                                              \
        }                                                                                                              \
    } while (0)

/* How a make behaves: it tells who it is, and takes its time. */
typedef struct slow_t {
    uint32_t number;
    unsigned ms;
    bool hangs; /* the first one to make */
} slow_t;

static uint32_t make_slowly(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    slow_t *slow = context;
    unsigned before = shared->calls++;
    if (slow->hangs && before == 0) {
        shared->holder = getpid();
        while (true) pause();
    }
    usleep(slow->ms * 1000);
    return (uint32_t)add_keyed(builder, slow->number, error);
}

static void use_slowly(used_t *used, slow_t *slow) {
    artifact_cache_key_t *key = key_of(slow->number);
    artifact_t *artifact = GARBAGE;
    uint32_t outcome = 0;
    CHECK_OK(artifact_cache_get_or_make(used->cache, key, make_slowly, slow, &artifact, &outcome, &error));
    CHECK(whose(artifact, used->engine) == slow->number);
    artifact_free(artifact);
    artifact_cache_key_free(key);
    shared->outcomes[outcome]++;
    shared->finished++;
}

static pid_t start(void (*run)(void *context), void *context) {
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child != 0) return child;
    run(context);
    fflush(NULL);
    _exit(0);
}

static void finish(pid_t child, int expected) {
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(status == expected);
}

/* ---- processes ---- */

static void stampede(void *context) {
    used_t *used =
        open_used(new_used("code")); /* a handle of its own, as in programs that know nothing of each other */
    shared->ready++;
    while (!shared->go) usleep(500);
    use_slowly(used, context);
    free_used(used);
}

TEST(cache_stampede_makes_once) {
    share();
    scratch("code");
    slow_t slow = {.number = 6, .ms = 300};
    pid_t children[PROCESSES];
    for (size_t i = 0; i < PROCESSES; i++) children[i] = start(stampede, &slow);
    AWAIT(shared->ready == PROCESSES);
    shared->go = 1;
    for (size_t i = 0; i < PROCESSES; i++) finish(children[i], 0);
    CHECK(shared->calls == 1 && shared->outcomes[ARTIFACT_CACHE_MADE] == 1);
    CHECK(shared->outcomes[ARTIFACT_CACHE_MADE] + shared->outcomes[ARTIFACT_CACHE_MADE_BY_OTHER] +
              shared->outcomes[ARTIFACT_CACHE_HIT] ==
          PROCESSES);
    CHECK(shared->outcomes[ARTIFACT_CACHE_MADE_BY_OTHER] > 0);
}

TEST(cache_maker_that_is_killed_frees_its_turn) {
    share();
    scratch("code");
    slow_t slow = {.number = 6, .ms = 100, .hangs = true};
    pid_t children[PROCESSES];
    for (size_t i = 0; i < PROCESSES; i++) children[i] = start(stampede, &slow);
    AWAIT(shared->ready == PROCESSES);
    shared->go = 1;
    AWAIT(shared->holder != 0);
    usleep(300 * 1000);
    CHECK(shared->finished == 0); /* all the others wait */
    double killed = seconds();
    CHECK(kill(shared->holder, SIGKILL) == 0);
    for (size_t i = 0; i < PROCESSES; i++) finish(children[i], children[i] == shared->holder ? SIGKILL : 0);
    CHECK(shared->calls == 2 && shared->finished == PROCESSES - 1 && seconds() - killed < 10);
}

static void impatient(void *context) {
    used_t *used = new_used("code");
    used->options.wait_ms = 300;
    open_used(used);
    use_slowly(used, context);
    free_used(used);
}

/* A stuck holder costs a compile, never a hang. */
TEST(cache_waiting_is_bounded) {
    share();
    scratch("code");
    slow_t slow = {.number = 6, .hangs = true};
    pid_t holder = start(impatient, &slow);
    AWAIT(shared->holder != 0);
    double before = seconds();
    pid_t others[2] = {start(impatient, &slow), start(impatient, &slow)};
    finish(others[0], 0), finish(others[1], 0);
    CHECK(seconds() - before > 0.25 && seconds() - before < 10);
    CHECK(shared->calls >= 2 && shared->finished == 2);
    CHECK(kill(holder, SIGKILL) == 0);
    finish(holder, SIGKILL);
    finish(start(impatient, &slow), 0);
    CHECK(shared->outcomes[ARTIFACT_CACHE_HIT] >= 1);
}

/* Who locks all of the file costs one wait, not one for each key. */
TEST(cache_waits_in_vain_once) {
    used_t *used = new_used("code");
    used->options.wait_ms = 1500;
    open_used(used);
    CHECK_OUTCOME(use(used, 20), ARTIFACT_CACHE_MADE);
    int file = open(scratch("code/lock"), O_RDWR | O_CLOEXEC);
    struct flock all = {.l_type = F_WRLCK};
    CHECK(file >= 0 && fcntl(file, F_OFD_SETLK, &all) == 0);
    double before = seconds();
    for (uint32_t number = 21; number < 31; number++) CHECK_OUTCOME(use(used, number), ARTIFACT_CACHE_MADE);
    CHECK(seconds() - before > 1.4 && seconds() - before < 6);
    CHECK(artifact_cache_count(used->cache, ARTIFACT_CACHE_NOT_LOCKED) == 10);
    close(file);
    free_used(used);
}

static void *use_and_end(void *context) {
    use_slowly(context, &(slow_t){.number = 7, .ms = 300});
    while (true) pause(); /* where a thread is cancelled */
    return NULL;
}

/* Whoever waits or makes is cancelled after the call. */
TEST(cache_cancelled_threads_end_their_calls) {
    share();
    used_t *used = open_used(new_used("code"));
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) CHECK(!pthread_create(&threads[i], NULL, use_and_end, used));
    AWAIT(shared->calls == 1);
    for (int i = 0; i < 3; i++) CHECK(!pthread_cancel(threads[i]));
    void *result;
    for (int i = 0; i < 3; i++) CHECK(!pthread_join(threads[i], &result) && result == PTHREAD_CANCELED);
    CHECK(shared->calls == 1 && shared->finished == 3);
    CHECK_OUTCOME(look(used, 7), ARTIFACT_CACHE_HIT);
    free_used(used);
}

/* The next in line makes what another one failed to. */
static uint32_t fail_first(void *context, artifact_builder_t *builder, artifact_error_t **error) {
    slow_t *slow = context;
    if (shared->calls++ == 0) {
        usleep(200 * 1000);
        return ARTIFACT_LIMIT;
    }
    return (uint32_t)add_keyed(builder, slow->number, error);
}

static void may_fail(void *context) {
    used_t *used = open_used(new_used("code"));
    artifact_cache_key_t *key = key_of(6);
    artifact_t *artifact = GARBAGE;
    shared->ready++;
    while (!shared->go) usleep(500);
    artifact_status_t status = artifact_cache_get_or_make(used->cache, key, fail_first, context, &artifact, NULL, NULL);
    shared->outcomes[status == ARTIFACT_OK ? 1 : status == ARTIFACT_LIMIT ? 0 : 2]++;
    CHECK((status == ARTIFACT_OK) == (artifact != NULL));
    artifact_free(artifact);
    artifact_cache_key_free(key);
    free_used(used);
}

TEST(cache_make_that_fails_lets_the_next_one_try) {
    share();
    scratch("code");
    slow_t slow = {.number = 6};
    pid_t children[4];
    for (size_t i = 0; i < 4; i++) children[i] = start(may_fail, &slow);
    AWAIT(shared->ready == 4);
    shared->go = 1;
    for (size_t i = 0; i < 4; i++) finish(children[i], 0);
    CHECK(shared->calls == 2 && shared->outcomes[0] == 1 && shared->outcomes[1] == 3);
}

/* ---- threads ---- */

typedef struct crowd_t {
    used_t *used;
    pthread_barrier_t barrier;
    uint32_t numbers;
} crowd_t;

static void *join_in(void *context) {
    crowd_t *crowd = context;
    pthread_barrier_wait(&crowd->barrier);
    for (uint32_t i = 0; i < crowd->numbers; i++) {
        slow_t slow = {.number = i, .ms = crowd->numbers == 1 ? 100 : 0};
        use_slowly(crowd->used, &slow);
    }
    return NULL;
}

static void ignore(void *context, uint32_t outcome, const char *path, const artifact_error_t *error) {
    (void)context, (void)outcome, (void)path, (void)error;
}

static void crowd_of(uint32_t numbers) {
    share();
    crowd_t crowd = {.used = new_used("code"), .numbers = numbers};
    crowd.used->options.on_event = ignore; /* note() is for one thread */
    open_used(crowd.used);
    artifact_builder_t *builder = new_builder(crowd.used->engine);
    CHECK(add_keyed(builder, 0, NULL) == ARTIFACT_OK); /* it keeps the object */
    artifact_builder_free(builder);
    pthread_t threads[THREADS];
    CHECK(pthread_barrier_init(&crowd.barrier, NULL, THREADS) == 0);
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, join_in, &crowd) == 0);
    for (size_t i = 0; i < THREADS; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(shared->calls == numbers && shared->finished == THREADS * numbers);
    CHECK(artifact_cache_count(crowd.used->cache, ARTIFACT_CACHE_MADE) == numbers);
    CHECK(shared->outcomes[ARTIFACT_CACHE_MADE] == numbers);
    free_used(crowd.used);
}

TEST(cache_threads_make_once) { crowd_of(1); }
TEST(cache_threads_share_a_handle) { crowd_of(60); }

/* ---- forking ---- */

typedef struct making_t {
    used_t *used;
    slow_t slow;
} making_t;

static void *make_in_thread(void *context) {
    making_t *making = context;
    use_slowly(making->used, &making->slow);
    return NULL;
}

static void use_inherited(void *context) {
    making_t *making = context;
    slow_t slow = {.number = 9};
    use_slowly(making->used, &slow); /* nobody makes this */
    slow.number = making->slow.number;
    use_slowly(making->used, &slow); /* a thread of the parent does */
    CHECK_OUTCOME(look(making->used, slow.number), ARTIFACT_CACHE_HIT);
}

TEST(cache_works_in_a_child_that_forks_while_a_thread_makes) {
    if (is_valgrind()) SKIP("valgrind reports what its child processes leave allocated");
    share();
    making_t making = {.used = new_used("code"), .slow = {.number = 5, .ms = 500}};
    making.used->options.on_event = ignore;
    open_used(making.used);
    use_slowly(making.used, &(slow_t){.number = 1});
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, make_in_thread, &making) == 0);
    AWAIT(shared->calls == 2);
    pid_t child = start(use_inherited, &making);
    finish(child, 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(shared->calls == 3); /* the child has waited for its parent */
    free_used(making.used);
}

/* A maker dies, and leaves a child behind that it forked meanwhile, with all descriptors that it inherited. */
static void sleep_on(void *context) {
    (void)context;
    shared->ready++;
    while (!shared->go) usleep(1000);
}

static void leave_a_child(void *context) {
    making_t making = {.used = open_used(new_used("code")), .slow = *(slow_t *)context};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, make_in_thread, &making) == 0);
    AWAIT(shared->holder != 0);
    start(sleep_on, NULL);
    while (true) pause();
}

TEST(cache_maker_that_is_killed_after_a_fork_frees_its_turn) {
    share();
    scratch("code");
    slow_t slow = {.number = 6, .hangs = true};
    pid_t maker = start(leave_a_child, &slow);
    AWAIT(shared->ready == 1);
    CHECK(kill(maker, SIGKILL) == 0);
    finish(maker, SIGKILL);
    double killed = seconds();
    used_t *used = open_used(new_used("code"));
    use_slowly(used, &slow);
    CHECK(shared->calls == 2 && seconds() - killed < 10);
    shared->go = 1;
    free_used(used);
}
