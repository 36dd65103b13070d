/*
 * What must hold for every remote. The file that includes it defines before:
 *
 *     typedef struct remote_t { const artifact_cache_remote_t *calls; … } remote_t;
 *     static bool start_real(server_t *server);                                 starts the real server on server->port
 *     static void remote_on(remote_t *remote, unsigned port, limits_t limits);  makes a remote
 *     static void remote_free(remote_t *remote);
 */

#define MIB ((size_t)1024 * 1024)

static void start_remote(server_t *server, remote_t *remote, limits_t limits) {
    start_server(server, start_real);
    remote_on(remote, server->port, limits);
}

static void end(server_t *server, remote_t *remote) {
    remote_free(remote);
    stop_server(server);
}

TEST(an_absent_entry_is_not_found) {
    server_t server = {0};
    remote_t remote;
    start_remote(&server, &remote, (limits_t){0});
    for (unsigned i = 0; i < 3; i++) CHECK_STATUS(get_status(remote.calls, i), ARTIFACT_NOT_FOUND);
    CHECK(strstr(sentence, entry_name(2)));
    end(&server, &remote);
}

TEST(what_is_put_is_got) {
    server_t server = {0};
    remote_t remote;
    start_remote(&server, &remote, (limits_t){.request_ms = 60000});
    const size_t lens[] = {1, 2, 4095, 65536, 65537, MIB, 64 * MIB};
    for (unsigned i = 0; i < COUNT(lens); i++) put_noise(remote.calls, i, lens[i]);
    for (unsigned i = 0; i < COUNT(lens); i++) get_noise(remote.calls, i, lens[i]);
    bytes_t zeros = {0};
    bytes_grow(&zeros, 1000);
    CHECK_STATUS(put_entry(remote.calls, 0, zeros), ARTIFACT_OK);
    bytes_t bytes;
    CHECK_STATUS(get_entry(remote.calls, 0, 1000, &bytes), ARTIFACT_OK);
    CHECK(same_bytes(bytes.data, bytes.len, zeros.data, zeros.len));
    bytes_free(&bytes);
    bytes_free(&zeros);
    end(&server, &remote);
}

TEST(an_entry_over_the_limit_is_refused) {
    server_t server = {0};
    remote_t remote;
    start_remote(&server, &remote, (limits_t){.request_ms = 60000});
    const size_t lens[] = {2, 100, 70000, 8 * MIB};
    for (unsigned i = 0; i < COUNT(lens); i++) {
        put_noise(remote.calls, i, lens[i]);
        bytes_t bytes;
        CHECK_STATUS(get_entry(remote.calls, i, lens[i] - 1, &bytes), ARTIFACT_LIMIT);
        CHECK_STATUS(get_entry(remote.calls, i, 0, &bytes), ARTIFACT_LIMIT);
        CHECK_STATUS(get_entry(remote.calls, i, UINT64_MAX, &bytes), ARTIFACT_OK);
        bytes_free(&bytes);
        get_noise(remote.calls, i, lens[i]); /* it was no failure of the server */
    }
    end(&server, &remote);
}

TEST(a_receiver_can_refuse) {
    server_t server = {0};
    remote_t remote;
    start_remote(&server, &remote, (limits_t){0});
    put_noise(remote.calls, 1, 100000);
    CHECK_STATUS(remote.calls->get(remote.calls->context, entry_name(1), MIB, refuse, NULL, NULL, 0), ARTIFACT_LIMIT);
    get_noise(remote.calls, 1, 100000);
    end(&server, &remote);
}

TEST(names_are_64_hex_digits) {
    remote_t remote;
    remote_on(&remote, 1, (limits_t){0});
    const char *const names[] = {NULL,
                                 "",
                                 "00000000000000000000000000000000000000000000000000000000000000",
                                 "0000000000000000000000000000000000000000000000000000000000000000a",
                                 "A000000000000000000000000000000000000000000000000000000000000000",
                                 "../../../../../../../../../../../../../../../../../../etc/passwd",
                                 "000000000000000000000000000000000000000000000000000000000000\r\n00"};
    for (size_t i = 0; i < COUNT(names); i++) {
        received_t received = {0};
        const artifact_cache_remote_t *calls = remote.calls;
        CHECK_STATUS(calls->get(calls->context, names[i], MIB, receive, &received, sentence, sizeof sentence),
                     ARTIFACT_INVALID_ARGUMENT);
        CHECK(strstr(sentence, "64"));
        CHECK_STATUS(calls->put(calls->context, names[i], (const uint8_t *)"x", 1, NULL, 0), ARTIFACT_INVALID_ARGUMENT);
    }
    remote_free(&remote);
}

/* ---- threads and processes ---- */

typedef struct work_t {
    const artifact_cache_remote_t *calls;
    unsigned first, rounds;
} work_t;

static void *put_and_get(void *context) {
    const work_t *work = context;
    for (unsigned round = 0; round < work->rounds; round++) {
        unsigned number = work->first + round % 7;
        size_t len = (size_t)number * 3001 + 1;
        put_noise(work->calls, number, len);
        get_noise(work->calls, number, len);
        CHECK_STATUS(get_status(work->calls, number + 1000000), ARTIFACT_NOT_FOUND);
    }
    return NULL;
}

static void with_threads(const artifact_cache_remote_t *calls, unsigned count, void *(*run)(void *), work_t *works) {
    pthread_t threads[16];
    for (unsigned i = 0; i < count; i++) {
        works[i] = (work_t){calls, i * 10, 20};
        CHECK(!pthread_create(&threads[i], NULL, run, &works[i]));
    }
    for (unsigned i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

TEST(eight_threads_use_a_remote) {
    server_t server = {0};
    remote_t remote;
    work_t works[8];
    start_remote(&server, &remote, (limits_t){.request_ms = 60000, .idle = 3}); /* more threads than are kept */
    with_threads(remote.calls, 8, put_and_get, works);
    end(&server, &remote);
}

static void expect_success(pid_t child) {
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(a_child_has_connections_of_its_own) {
    server_t server = {0};
    remote_t remote;
    start_remote(&server, &remote, (limits_t){.request_ms = 60000});
    put_noise(remote.calls, 1, 1000);
    for (unsigned i = 0; i < 4; i++) {
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            put_and_get(&(work_t){remote.calls, 500, 20});
            if (i % 2) remote_free(&remote);
            _exit(0);
        }
        put_and_get(&(work_t){remote.calls, 100, 20});
        expect_success(child);
        get_noise(remote.calls, 1, 1000); /* on the connection from before */
    }
    end(&server, &remote);
}

/* A child that inherits a connection with TLS doesn't disturb its session. */
static inline void expect_session_outlives_children(const server_t *server, remote_t *remote) {
    put_noise(remote->calls, 1, 2 * MIB);
    unsigned port = local_port(server);
    CHECK(port);
    for (unsigned i = 0; i < 4; i++) {
        fflush(NULL);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            if (i % 2) get_noise(remote->calls, 1, 2 * MIB);
            remote_free(remote);
            _exit(0);
        }
        expect_success(child);
        get_noise(remote->calls, 1, 2 * MIB);
        CHECK(local_port(server) == port); /* on the connection from before */
    }
}

static void *fork_often(void *context) {
    const work_t *work = context;
    for (unsigned i = 0; i < work->rounds; i++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            put_and_get(&(work_t){work->calls, work->first, 2});
            _exit(0);
        }
        expect_success(child);
    }
    return NULL;
}

TEST(forks_while_threads_use_a_remote) {
    if (is_sanitized())
        SKIP("locks of a sanitizer's memory are taken in children; valgrind reports what those leave allocated");
    server_t server = {0};
    remote_t remote;
    work_t works[4];
    pthread_t forking;
    start_remote(&server, &remote, (limits_t){.request_ms = 60000});
    work_t forks = {remote.calls, 900, 10};
    CHECK(!pthread_create(&forking, NULL, fork_often, &forks));
    with_threads(remote.calls, 4, put_and_get, works);
    pthread_join(forking, NULL);
    end(&server, &remote);
}

TEST(two_processes_share_a_server) {
    server_t server = {0};
    start_server(&server, start_real);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        remote_t remote;
        remote_on(&remote, server.port, (limits_t){0});
        put_noise(remote.calls, 1, 100000);
        remote_free(&remote);
        _exit(0);
    }
    expect_success(child);
    remote_t remote;
    remote_on(&remote, server.port, (limits_t){0});
    get_noise(remote.calls, 1, 100000);
    end(&server, &remote);
}

/* ---- descriptors and signals ---- */

TEST(descriptors_are_closed_on_exec_and_at_the_end) {
    server_t server = {0};
    remote_t remote;
    start_remote(&server, &remote, (limits_t){0});
    put_noise(remote.calls, 1, 1000);
    remote_free(&remote); /* what a client library opens once is open */
    size_t before = count_entries("/proc/self/fd");
    remote_on(&remote, server.port, (limits_t){0});
    put_noise(remote.calls, 2, 1000);
    CHECK(count_entries("/proc/self/fd") > before);
    for (int fd = 3; fd < 256; fd++) {
        struct sockaddr_in address = {0};
        socklen_t len = sizeof address;
        if (!getpeername(fd, (struct sockaddr *)&address, &len) && address.sin_family == AF_INET)
            CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    remote_free(&remote);
    CHECK(count_entries("/proc/self/fd") == before);
    stop_server(&server);
}

static void no_sigpipe(void) {
    sigset_t mask, pending;
    CHECK(!sigprocmask(SIG_SETMASK, NULL, &mask) && !sigismember(&mask, SIGPIPE));
    CHECK(!sigpending(&pending) && !sigismember(&pending, SIGPIPE));
}

static void close_at_once(int connection, const void *context) {
    (void)context;
    struct linger linger = {1, 0}; /* a reset: the next write fails */
    setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

TEST(no_sigpipe_is_raised) {
    fake_t fake;
    remote_t remote;
    start_fake(&fake, close_at_once, NULL);
    signal(SIGPIPE, SIG_DFL);
    remote_on(&remote, fake.port, (limits_t){.back_off_ms = 1});
    for (unsigned i = 0; i < 20; i++) {
        CHECK_STATUS(put_status(remote.calls, i, 8 * MIB), ARTIFACT_IO);
        sleep_ms(3);
    }
    no_sigpipe();
    stop_fake(&fake);
    remote_free(&remote);
}

/* ---- servers that fail ---- */

TEST(a_server_that_stops_is_not_asked_until_later) {
    server_t server = {0};
    remote_t remote;
    start_remote(&server, &remote, (limits_t){.back_off_ms = 1500});
    put_noise(remote.calls, 1, 1000);
    stop_server(&server);
    int64_t begin = now_ms();
    CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_IO);
    CHECK(!strstr(sentence, "not asked"));
    int64_t failed = now_ms();
    start_server(&server, start_real);
    while (now_ms() < begin + 1400) {
        CHECK_STATUS(get_status(remote.calls, 1), ARTIFACT_IO);
        CHECK(strstr(sentence, "not asked"));
        CHECK_STATUS(put_status(remote.calls, 1, 1000), ARTIFACT_IO);
        CHECK(strstr(sentence, "not asked"));
        sleep_ms(100);
    }
    sleep_ms(failed + 1600 - now_ms());
    put_noise(remote.calls, 2, 1000);
    get_noise(remote.calls, 2, 1000);
    end(&server, &remote);
}

TEST(a_server_that_was_restarted_is_used_at_once) {
    server_t server = {0};
    remote_t remote;
    start_remote(&server, &remote, (limits_t){0});
    put_noise(remote.calls, 1, 1000); /* leaves an idle connection, which the server closes by stopping */
    stop_server(&server);
    start_server(&server, start_real);
    put_noise(remote.calls, 1, 1000);
    stop_server(&server);
    start_server(&server, start_real);
    put_noise(remote.calls, 2, 8 * MIB);
    get_noise(remote.calls, 2, 8 * MIB);
    end(&server, &remote);
}

TEST(a_silent_server_costs_one_timeout) {
    fake_t fake;
    remote_t remote;
    start_fake(&fake, follow_script, &(script_t){.bytes = "", .stays_open = true});
    remote_on(&remote, fake.port, (limits_t){.request_ms = 300, .connect_ms = 300});
    int64_t begin = now_ms();
    CHECK_STATUS(get_status(remote.calls, 0), ARTIFACT_IO);
    int64_t first = now_ms() - begin;
    for (unsigned i = 1; i < 1000; i++) CHECK_STATUS(get_status(remote.calls, i), ARTIFACT_IO);
    int64_t others = now_ms() - begin - first;
    if (first < 290 || first > 3000 || others > 1000) {
        char times[64];
        snprintf(times, sizeof times, "%d ms, then %d ms", (int)first, (int)others);
        check_fail(__FILE__, __LINE__, "timeouts", times, "300 ms, then 0 ms");
    }
    CHECK(atomic_load(&fake.accepted) == 1);
    remote_free(&remote);
    stop_fake(&fake);
}

TEST(a_server_that_takes_no_bytes_costs_one_timeout) {
    unsigned port;
    int listener = listen_somewhere(&port); /* nobody accepts: the bytes stay in the socket's buffer */
    remote_t remote;
    remote_on(&remote, port, (limits_t){.request_ms = 300, .connect_ms = 300});
    bytes_t bytes = noise(32 * MIB, 0);
    int64_t begin = now_ms();
    CHECK_STATUS(put_entry(remote.calls, 0, bytes), ARTIFACT_IO);
    CHECK(now_ms() - begin < 5000);
    bytes_free(&bytes);
    CHECK_STATUS(put_status(remote.calls, 0, 1), ARTIFACT_IO);
    CHECK(strstr(sentence, "not asked"));
    remote_free(&remote);
    close(listener);
}

static void *ask_once(void *context) {
    const work_t *work = context;
    CHECK_STATUS(get_status(work->calls, work->first), ARTIFACT_IO);
    return NULL;
}

TEST(one_thread_finds_out_whether_a_server_is_back) {
    fake_t fake;
    remote_t remote;
    work_t works[8];
    start_fake(&fake, follow_script, &(script_t){.bytes = "nonsense\r\n", .len = 10});
    remote_on(&remote, fake.port, (limits_t){.back_off_ms = 4000});
    CHECK_STATUS(get_status(remote.calls, 0), ARTIFACT_IO);
    for (int round = 1; round < 3; round++) {
        CHECK(atomic_load(&fake.accepted) == round);
        sleep_ms(4100);
        with_threads(remote.calls, 8, ask_once, works);
    }
    CHECK(atomic_load(&fake.accepted) == 3);
    remote_free(&remote);
    stop_fake(&fake);
}

/* Answers that must fail, in bounded time, with a status. */
static void expect_failures(const script_t *scripts, const artifact_status_t *statuses, size_t count) {
    for (size_t i = 0; i < count; i++) {
        fake_t fake;
        remote_t remote;
        bytes_t bytes;
        start_fake(&fake, follow_script, &scripts[i]);
        remote_on(&remote, fake.port, (limits_t){.request_ms = 1500});
        int64_t begin = now_ms();
        atomic_store(&sent_bytes, 0);
        artifact_status_t status = get_entry(remote.calls, 1, 1000, &bytes);
        if (status != statuses[i]) fprintf(stderr, "answer %zu: %s\n", i, sentence);
        CHECK_STATUS(status, statuses[i]);
        bytes_free(&bytes);
        CHECK(now_ms() - begin < 5000);
        for (const char *c = sentence; *c; c++) CHECK(*c >= ' ' && *c <= '~');
        remote_free(&remote);
        stop_fake(&fake);
        CHECK(atomic_load(&sent_bytes) < 16 * MIB); /* what is in the buffers of the sockets when the client ends */
    }
}
