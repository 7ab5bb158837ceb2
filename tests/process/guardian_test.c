/*
 * The guardian as its program sees it: what it says of itself, that nobody else sees it, and
 * that killing it at any moment costs the program at most an error.
 *
 * Method: each case forks a program (deaths.h), so that a guardian is always a fresh one.
 */
#include "deaths.h"

#include <pthread.h>
#include <sched.h>

static void run_program(void (*body)(struct witness *, void *), void *argument, int64_t gone_ms)
{
    struct witness w;
    int status;

    witness_begin(&w);
    (void)program_start(&w, body, argument);
    witness_let_go(&w);
    status = program_end(&w);
    if (status != 0)
        fail_msg("the program's status is %#x", (unsigned)status);
    (void)await_nothing_left(gone_ms, 0);
    witness_end(&w);
}

/* ---- status ---- */

/* Waits until the process has the name, which it gives itself after its birth is told. */
static void await_name(pid_t pid, const char *name)
{
    const int64_t deadline = now_ms() + 5000;
    char path[64], text[64] = "";

    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
    do {
        FILE *file = fopen(path, "re");

        assert_non_null(file);
        assert_non_null(fgets(text, sizeof text, file));
        (void)fclose(file);
        text[strcspn(text, "\n")] = '\0';
    } while (strcmp(text, name) != 0 && now_ms() < deadline);
    assert_string_equal(text, name);
}

static void check_tier(struct witness *w, void *argument)
{
    brood_guardian_options options = BROOD_GUARDIAN_OPTIONS_INIT;
    const int *tier = argument;
    brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;

    (void)w;
    assert_int_equal(brood_guardian_status(&info), -ESRCH);
    guardian_in(*tier);
    assert_int_equal(brood_guardian_status(&info), 0);
    assert_int_equal(info.tier, *tier);
    assert_true(info.guardian_pid > 1);
    assert_true(info.forkserver_pid > 1);
    assert_int_not_equal(info.guardian_pid, info.forkserver_pid);
    assert_int_equal(info.restart_count, 0);
    assert_int_equal(info.started_late, 0);
    assert_int_equal(info.reserved, 0);
    assert_true(strlen(info.guarantee) > 20);
    await_name(info.guardian_pid, "brood-guardian");
    await_name(info.forkserver_pid, "brood-forkserve"); /* the kernel keeps 15 characters */

    /* Started again: fine in this tier or without a wish, refused in another. */
    options.tier = *tier;
    assert_int_equal(brood_guardian_start(&options), 0);
    assert_int_equal(brood_guardian_start(NULL), 0);
    options.tier = *tier == BROOD_TIER_A ? BROOD_TIER_C : BROOD_TIER_A;
    assert_int_equal(brood_guardian_start(&options), -EALREADY);

    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    assert_int_equal(brood_guardian_status(&info), -ESRCH);
    assert_int_equal(brood_guardian_start(NULL), -ESHUTDOWN);
}

static void tier_a(void **state)
{
    int tier = BROOD_TIER_A;

    (void)state;
    run_program(check_tier, &tier, GONE_MS);
}

static void tier_b(void **state)
{
    int tier = BROOD_TIER_B;

    (void)state;
    run_program(check_tier, &tier, GONE_MS);
}

static void tier_c(void **state)
{
    int tier = BROOD_TIER_C;

    (void)state;
    run_program(check_tier, &tier, GONE_MS);
}

static void ask_for_nonsense(struct witness *w, void *argument)
{
    brood_guardian_options options = BROOD_GUARDIAN_OPTIONS_INIT;
    brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;
    struct {
        brood_guardian_options known;
        int64_t unknown;
    } newer = { BROOD_GUARDIAN_OPTIONS_INIT, 0 };

    (void)w;
    (void)argument;
    options.tier = 4;
    assert_int_equal(brood_guardian_start(&options), -EINVAL);
    options.tier = -1;
    assert_int_equal(brood_guardian_start(&options), -EINVAL);
    options.tier = 0;
    options.reserved = 1;
    assert_int_equal(brood_guardian_start(&options), -EINVAL);
    newer.known.size = sizeof newer;
    newer.unknown = 1;
    assert_int_equal(brood_guardian_start(&newer.known), -E2BIG);
    assert_int_equal(brood_guardian_status(NULL), -EINVAL);
    assert_int_equal(brood_guardian_status(&info), -ESRCH);
    newer.unknown = 0;
    newer.known.tier = BROOD_TIER_A;
    assert_int_equal(brood_guardian_start(&newer.known), 0);
    info.size = 8;
    assert_int_equal(brood_guardian_status(&info), -EINVAL);
}

static void refuses_nonsense(void **state)
{
    (void)state;
    run_program(ask_for_nonsense, NULL, GONE_MS);
}

/* In a user namespace of its own the program is nobody: it may make no other namespace if
 * their number is limited to none, nor write to the cgroup of its parent. */
static void ask_for_the_impossible(struct witness *w, void *argument)
{
    brood_guardian_options options = BROOD_GUARDIAN_OPTIONS_INIT;
    static const char *const limits[] = { "/proc/sys/user/max_pid_namespaces",
                                          "/proc/sys/user/max_user_namespaces" };

    (void)w;
    (void)argument;
    if (unshare(CLONE_NEWUSER) < 0)
        _exit(TEST_EXIT_SKIPPED);
    for (size_t i = 0; i < 2; i++) {
        int fd = open(limits[i], O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, "0", 1) != 1)
            _exit(TEST_EXIT_SKIPPED);
        (void)close(fd);
    }
    options.tier = BROOD_TIER_C;
    assert_int_equal(brood_guardian_start(&options), -ENOTSUP);
    options.tier = BROOD_TIER_A; /* a failed start is none */
    assert_int_equal(brood_guardian_start(&options), 0);
}

static void tier_c_that_cannot_be(void **state)
{
    (void)state;
    run_program(ask_for_the_impossible, NULL, GONE_MS);
}

/* ---- hidden ---- */

static _Atomic int sigchld_count;

static void count_sigchld(int signal)
{
    (void)signal;
    atomic_fetch_add(&sigchld_count, 1);
}

static int returns_seven(void *argument, size_t argument_bytes)
{
    (void)argument;
    (void)argument_bytes;
    return 7;
}

static void join_one(int method, int want_code)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int code = -1;

    options.start_method = method;
    assert_int_equal(brood_process_create(returns_seven, NULL, 0, &options, &process), 0);
    assert_int_equal(brood_process_start(process), 0);
    assert_int_equal(brood_process_join(process, brood_seconds(10)), 0);
    assert_int_equal(brood_process_exit_code(process, &code), 0);
    assert_int_equal(code, want_code);
    brood_process_free(process);
}

static void look_for_the_guardian(struct witness *w, void *argument)
{
    const int *tier = argument;
    brood_guardian_info info;
    pid_t old;

    (void)w;
    guardian_in(*tier);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    join_one(BROOD_START_FORKSERVER, 7);
    assert_int_equal(waitpid(-1, NULL, 0), -1); /* would hang if it met one that lives */
    assert_int_equal(errno, ECHILD);

    /* Its death is nobody's business either, nor is its successor. */
    old = guardian_now().guardian_pid;
    kill_one(old);
    do {
        info = guardian_now();
    } while (info.guardian_pid == old);
    join_one(BROOD_START_FORKSERVER, 7);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    assert_int_equal(waitpid(-1, NULL, 0), -1);
    assert_int_equal(errno, ECHILD);
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1); /* and it was reaped */
    assert_int_equal(errno, ECHILD);
}

/* The one process of a replacement that makes SIGCHLD is the fork between, so far: a
 * guardian made in a program with threads is forked twice. */
static void check_no_sigchld(struct witness *w, void *argument)
{
    const int *tier = argument;

    assert_true(signal(SIGCHLD, count_sigchld) != SIG_ERR);
    guardian_in(*tier);
    join_one(BROOD_START_FORKSERVER, 7);
    assert_int_equal(atomic_load(&sigchld_count), 0);
    look_for_the_guardian(w, argument);
    assert_in_range(atomic_load(&sigchld_count), 0, 1);
}

static void hidden_from_wait(void **state)
{
    int tier = BROOD_TIER_A;

    (void)state;
    run_program(look_for_the_guardian, &tier, GONE_MS);
}

static void sends_no_sigchld(void **state)
{
    int tier = BROOD_TIER_A;

    (void)state;
    run_program(check_no_sigchld, &tier, GONE_MS);
}

/* ---- late ---- */

static _Atomic int warning_count;

static void count_warnings(int level, const char *message, void *user)
{
    (void)user;
    if (level == BROOD_LOG_WARNING && strstr(message, "late") != NULL)
        atomic_fetch_add(&warning_count, 1);
}

static void *wait_on_a_barrier(void *argument)
{
    (void)pthread_barrier_wait(argument);
    (void)pthread_barrier_wait(argument);
    return NULL;
}

static void start_late(struct witness *w, void *argument)
{
    pthread_barrier_t barrier;
    pthread_t thread;

    (void)w;
    (void)argument;
    assert_int_equal(brood_set_log(count_warnings, NULL, BROOD_LOG_DEBUG), 0);
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_on_a_barrier, &barrier), 0);
    (void)pthread_barrier_wait(&barrier);
    assert_int_equal(brood_guardian_start(NULL), 0);
    assert_int_equal(atomic_load(&warning_count), 1);
    assert_int_equal(guardian_now().started_late, 1);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    join_one(BROOD_START_FORKSERVER, 7);
    (void)pthread_barrier_wait(&barrier);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
}

static void late_start_is_told(void **state)
{
    (void)state;
    run_program(start_late, NULL, GONE_MS);
}

static void start_early(struct witness *w, void *argument)
{
    (void)w;
    (void)argument;
    assert_int_equal(brood_set_log(count_warnings, NULL, BROOD_LOG_DEBUG), 0);
    join_one(BROOD_START_FORK, 7); /* the reaper is a thread of ours, not the program's */
    assert_int_equal(brood_guardian_start(NULL), 0);
    assert_int_equal(atomic_load(&warning_count), 0);
    assert_int_equal(guardian_now().started_late, 0);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
}

static void early_start_is_quiet(void **state)
{
    (void)state;
    run_program(start_early, NULL, GONE_MS);
}

/* ---- strangers ---- */

static void bear_strangers(struct witness *w, void *argument)
{
    const int *tier = argument;
    static const int signals[] = { SIGTERM, SIGINT,  SIGHUP,  SIGQUIT,
                                   SIGUSR1, SIGPIPE, SIGALRM, SIGCHLD };
    brood_guardian_info before, after;

    (void)w;
    guardian_in(*tier);
    before = guardian_now();
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        assert_int_equal(kill(before.guardian_pid, signals[i]), 0);
        assert_int_equal(kill(before.forkserver_pid, signals[i]), 0);
        join_one(BROOD_START_FORKSERVER, 7); /* answered after the signal was taken */
    }
    after = guardian_now();
    assert_int_equal(after.guardian_pid, before.guardian_pid);
    assert_int_equal(after.forkserver_pid, before.forkserver_pid);
    assert_int_equal(after.restart_count, 0);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
}

static void strangers_signals_are_ignored(void **state)
{
    static int tiers[] = { BROOD_TIER_A, BROOD_TIER_C };

    (void)state;
    run_program(bear_strangers, &tiers[0], GONE_MS);
    run_program(bear_strangers, &tiers[1], GONE_MS);
}

/* ---- killed in every state ---- */

#define STARTERS 4

struct chase {
    int tier;
    int rounds;
    bool forkserver_too;
    _Atomic int stop;
    _Atomic unsigned started, refused, killed, unknown;
};

static int returns_soon(void *argument, size_t argument_bytes)
{
    (void)argument_bytes;
    nap_us(*(unsigned char *)argument * 10);
    return 7;
}

static void *start_and_join(void *argument)
{
    struct chase *c = argument;
    unsigned seed = (unsigned)(uintptr_t)&seed;

    while (!atomic_load(&c->stop)) {
        brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
        unsigned char nap = (unsigned char)rand_r(&seed);
        brood_process *process = NULL;
        brood_exit end = BROOD_EXIT_INIT;
        int r;

        options.start_method = BROOD_START_FORKSERVER;
        r = brood_process_create(returns_soon, &nap, 1, &options, &process);
        INSIST(r == 0, "%d", r);
        r = brood_process_start(process);
        if (r == 0) {
            atomic_fetch_add(&c->started, 1);
            r = brood_process_join(process, brood_seconds(10));
            INSIST(r == 0, "%d", r);
            r = brood_process_exit(process, &end);
            INSIST(r == 0, "%d", r);
            if (end.kind == BROOD_EXIT_CODE)
                INSIST(end.code == 7, "%d", end.code);
            else if (end.kind == BROOD_EXIT_SIGNAL)
                INSIST(end.signal == SIGKILL, "%d", end.signal);
            if (end.kind == BROOD_EXIT_SIGNAL)
                atomic_fetch_add(&c->killed, 1);
            if (end.kind == BROOD_EXIT_UNKNOWN)
                atomic_fetch_add(&c->unknown, 1);
        } else {
            INSIST(r == -EAGAIN || r == -ENOMEM || r == -EMFILE || r == -ENFILE, "%d", r);
            atomic_fetch_add(&c->refused, 1);
        }
        brood_process_free(process);
    }
    return NULL;
}

/* Kills without looking twice: which state it is in is left to chance. */
static void chase(struct chase *c)
{
    unsigned seed = (unsigned)getpid();

    for (int round = 0; round < c->rounds; round++) {
        brood_guardian_info info = guardian_now();

        nap_us(rand_r(&seed) % 3000);
        if (!c->forkserver_too || round % 3 != 0)
            kill_one(info.guardian_pid);
        if (c->forkserver_too && round % 3 != 1)
            kill_one(info.forkserver_pid);
        nap_us(rand_r(&seed) % 8000);
    }
}

static void be_chased(struct witness *w, void *argument)
{
    struct chase *c = argument;
    pthread_t threads[STARTERS];

    (void)w;
    guardian_in(c->tier);
    for (int i = 0; i < STARTERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_and_join, c), 0);
    chase(c);
    atomic_store(&c->stop, 1);
    for (int i = 0; i < STARTERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    print_message("%u children, %u killed, %u ended unknown, %u refused, %u replacements\n",
                  atomic_load(&c->started), atomic_load(&c->killed), atomic_load(&c->unknown),
                  atomic_load(&c->refused), guardian_now().restart_count);
    assert_true(atomic_load(&c->started) > 0);
    join_one(BROOD_START_FORKSERVER, 7);
    assert_int_equal(brood_active_children(NULL, 0), 0);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1);
    assert_int_equal(errno, ECHILD);
}

static void run_chase(int tier, bool forkserver_too)
{
    struct chase c = { .tier = tier,
                       .rounds = long_mode() ? 1000 : 100,
                       .forkserver_too = forkserver_too };

    if (SANITIZED)
        test_skip("this sanitizer does not survive a fork while other threads allocate");
    run_program(be_chased, &c, GONE_MS);
}

static void killed_at_random(void **state)
{
    (void)state;
    run_chase(BROOD_TIER_DEFAULT, false);
}

static void killed_at_random_tier_a(void **state)
{
    (void)state;
    run_chase(BROOD_TIER_A, false);
}

static void killed_at_random_tier_c(void **state)
{
    (void)state;
    run_chase(BROOD_TIER_C, false);
}

static void killed_at_random_with_forkserver(void **state)
{
    (void)state;
    run_chase(BROOD_TIER_A, true);
}

static const struct test_case cases[] = {
    TEST_CASE(tier_a),
    TEST_CASE(tier_b),
    TEST_CASE(tier_c),
    TEST_CASE(refuses_nonsense),
    TEST_CASE(tier_c_that_cannot_be),
    TEST_CASE(hidden_from_wait),
    TEST_CASE(sends_no_sigchld),
    TEST_CASE(late_start_is_told),
    TEST_CASE(early_start_is_quiet),
    TEST_CASE(strangers_signals_are_ignored),
    TEST_CASE_LIMIT(killed_at_random, 120),
    TEST_CASE_LIMIT(killed_at_random_tier_a, 120),
    TEST_CASE_LIMIT(killed_at_random_tier_c, 120),
    TEST_CASE_LIMIT(killed_at_random_with_forkserver, 120),
};
TEST_SUITE(guardian, cases)
