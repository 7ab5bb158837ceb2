/*
 * Everything at once: children of all methods, daemons and others, started, joined, killed
 * and freed by several threads, while SIGKILL meets children, guardian and forkserver at
 * random. Then the program shuts down, and must come back with nothing left of it all.
 */
#include "deaths.h"

#include <pthread.h>

#define THREADS 4
#define HELD 6 /* children each thread has at a time */
#define SECONDS (long_mode() ? 60 : 4)

struct storm {
    int tier;
    bool kill_helpers;
    _Atomic int stop;
    _Atomic unsigned counts[5]; /* by method, from 1; COMMAND is 4 */
    _Atomic unsigned killed, refused, unknown;
};

static const char *const commands[][4] = {
    { "true", NULL },
    { "sleep", LONG_SLEEP, NULL },
    { "sh", "-c", "sleep " LONG_SLEEP " & exit 3", NULL },
};

/* Ends at once, soon, or never, as `*argument` says. */
static int weather(void *argument, size_t argument_bytes)
{
    unsigned char what = *(unsigned char *)argument;

    (void)argument_bytes;
    if (what % 4 == 0)
        return 0;
    if (what % 4 == 1)
        nap_us(what * 20);
    else if (what % 4 == 2)
        pause_for_ever();
    else if (fork() == 0)
        pause_for_ever();
    return 0;
}

/* Children that are no daemons are joined at the end, so those must end by themselves. */
static brood_process *start_one(struct storm *s, unsigned *seed)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int kind = 1 + rand_r(seed) % 4, r;
    bool daemon = rand_r(seed) % 2;
    unsigned char what = (unsigned char)rand_r(seed);
    brood_process *process = NULL;

    options.daemon = daemon ? BROOD_DAEMON_YES : BROOD_DAEMON_NO;
    if (kind == 4) {
        r = brood_process_create_command(commands[daemon ? what % 3 : 0], &options, &process);
    } else {
        options.start_method = kind;
        if (!daemon)
            what &= 0xfd; /* 0 or 1 */
        r = brood_process_create(weather, &what, 1, &options, &process);
    }
    INSIST(r == 0, "%d", r);
    r = brood_process_start(process);
    if (r == 0) {
        atomic_fetch_add(&s->counts[kind], 1);
        return process;
    }
    /* A spawned copy that was killed before it could say anything is none. */
    INSIST(r == -EAGAIN || r == -ENOMEM || r == -EMFILE || (kind == 3 && r == -ENOEXEC),
           "kind %d: %d", kind, r);
    atomic_fetch_add(&s->refused, 1);
    brood_process_free(process);
    return NULL;
}

static void end_one(struct storm *s, brood_process *process, unsigned *seed)
{
    brood_exit end = BROOD_EXIT_INIT;
    int r = 0;

    switch (rand_r(seed) % 5) {
    case 0: r = brood_process_kill(process); break;
    case 1: r = brood_process_signal(process, SIGKILL, BROOD_SCOPE_TREE); break;
    case 2: r = brood_process_stop(process, brood_ms(20), BROOD_SCOPE_PROCESS); break;
    case 3: r = brood_process_terminate(process); break;
    default: /* given up, in whatever state */ brood_process_free(process); return;
    }
    INSIST(r == 0, "%d", r);
    r = brood_process_join(process, brood_seconds(10));
    INSIST(r == 0, "%d", r);
    r = brood_process_exit(process, &end);
    INSIST(r == 0, "%d", r);
    if (end.kind == BROOD_EXIT_UNKNOWN)
        atomic_fetch_add(&s->unknown, 1);
    INSIST(brood_process_is_alive(process) == 0, "joined, and alive");
    brood_process_free(process);
}

static void *rain(void *argument)
{
    struct storm *s = argument;
    brood_process *held[HELD] = { NULL };
    unsigned seed = (unsigned)(uintptr_t)&seed ^ (unsigned)getpid();

    while (!atomic_load(&s->stop)) {
        int i = rand_r(&seed) % HELD;

        if (held[i] == NULL) {
            held[i] = start_one(s, &seed);
        } else if (rand_r(&seed) % 4 == 0) {
            int r = brood_process_try_join(held[i]);

            INSIST(r == 0 || r == -EBUSY, "%d", r);
        } else {
            end_one(s, held[i], &seed);
            held[i] = NULL;
        }
    }
    for (int i = 0; i < HELD; i++)
        brood_process_free(held[i]);
    return NULL;
}

/* SIGKILL to one of our children at random, and to a helper now and then. */
static void lightning(struct storm *s, unsigned *seed)
{
    static brood_process_info infos[THREADS * HELD * 4];
    const size_t room = sizeof infos / sizeof infos[0];
    int count;

    if (s->kill_helpers && rand_r(seed) % 8 == 0) {
        brood_guardian_info info = guardian_now();

        kill_one(rand_r(seed) % 2 == 0 ? info.guardian_pid : info.forkserver_pid);
        return;
    }
    infos[0].size = sizeof infos[0];
    count = brood_active_children(infos, room);
    assert_true(count >= 0);
    if (count > (int)room)
        count = (int)room;
    if (count > 0) {
        /* By number, as a stranger would; it may have ended since, and be nobody's. */
        kill_one(infos[rand_r(seed) % count].pid);
        atomic_fetch_add(&s->killed, 1);
    }
}

static int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    assert_non_null(directory);
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count;
}

static void be_in_a_storm(struct witness *w, void *argument)
{
    const int64_t end = now_ms() + SECONDS * 1000;
    unsigned seed = (unsigned)getpid();
    struct storm *s = argument;
    pthread_t threads[THREADS];
    int before = count_descriptors();

    (void)w;
    guardian_in(s->tier);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, rain, s), 0);
    while (now_ms() < end) {
        lightning(s, &seed);
        nap_us(rand_r(&seed) % 6000);
    }
    atomic_store(&s->stop, 1);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    print_message("fork %u, forkserver %u, spawn %u, command %u; %u struck, %u refused, "
                  "%u ended unknown, %u replacements\n",
                  atomic_load(&s->counts[1]), atomic_load(&s->counts[2]),
                  atomic_load(&s->counts[3]), atomic_load(&s->counts[4]),
                  atomic_load(&s->killed), atomic_load(&s->refused), atomic_load(&s->unknown),
                  guardian_now().restart_count);
    (void)fflush(stdout);
    for (int kind = 1; kind <= 4; kind++)
        assert_true(atomic_load(&s->counts[kind]) > 0);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    assert_int_equal(brood_active_children(NULL, 0), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG | __WALL), -1); /* no zombie of ours */
    assert_int_equal(errno, ECHILD);
    assert_int_equal(count_descriptors(), before);
}

static void run_storm(int tier, bool kill_helpers)
{
    struct storm s = { .tier = tier, .kill_helpers = kill_helpers };
    struct witness w;
    int status;

    if (SANITIZED)
        test_skip("this sanitizer does not survive a fork while other threads allocate");
    witness_begin(&w);
    (void)program_start(&w, be_in_a_storm, &s);
    witness_let_go(&w);
    status = program_end(&w);
    if (status != 0)
        fail_msg("the program's status is %#x", (unsigned)status);
    (void)await_nothing_left(GONE_MS, 0);
    witness_end(&w);
}

static void children_only(void **state)
{
    (void)state;
    run_storm(BROOD_TIER_A, false);
}

static void all_at_once(void **state)
{
    (void)state;
    run_storm(BROOD_TIER_A, true);
}

static void all_at_once_best_tier(void **state)
{
    (void)state;
    run_storm(BROOD_TIER_DEFAULT, true);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(children_only, 150),
    TEST_CASE_LIMIT(all_at_once, 150),
    TEST_CASE_LIMIT(all_at_once_best_tier, 150),
};
TEST_SUITE(storm, cases)
