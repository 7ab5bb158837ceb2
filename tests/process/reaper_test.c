/*
 * P4: no zombies, and nobody else's children. Method: children end unjoined, in programs
 * that ignore or handle SIGCHLD, or whose own threads and calls wait for any child; then
 * /proc is looked at, and the ends that the handles report.
 */
#include "helpers.h"

#include <pthread.h>
#include <stdatomic.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

/* An end may have been taken by somebody else's wait(), but may then not be wrong. */
static void assert_ended_with(brood_process *process, int code)
{
    brood_exit end = BROOD_EXIT_INIT;

    assert_int_equal(brood_process_is_alive(process), 0);
    assert_int_equal(brood_process_exit(process, &end), 0);
    assert_true(end.kind == BROOD_EXIT_CODE || end.kind == BROOD_EXIT_UNKNOWN);
    if (end.kind == BROOD_EXIT_CODE)
        assert_int_equal(end.code, code);
}

static void an_unjoined_child_leaves_no_zombie(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        int wanted = 6, code = 0;
        brood_process *process = start(return_int, &wanted, sizeof wanted, &options);

        assert_true(gone_within(brood_process_pid(process), 5000));
        assert_int_equal(brood_process_is_alive(process), 0);
        assert_int_equal(brood_process_exit_code(process, &code), 0);
        assert_int_equal(code, 6);
        assert_int_equal(brood_process_join(process, BROOD_NOWAIT), 0);
        brood_process_free(process);
    }
}

static void a_freed_child_leaves_no_zombie(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        int ends[2], pid;
        brood_process *process;

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        options.stdin_fd = ends[0];
        process = start(await_end_of_stdin, NULL, 0, &options);
        pid = brood_process_pid(process);
        if (m != 0)
            assert_true(brood_process_pidfd(process) > 2);
        brood_process_free(process);
        assert_int_equal(brood_active_children(NULL, 0), 1);
        assert_int_equal(close(ends[0]), 0);
        assert_int_equal(close(ends[1]), 0);
        assert_true(gone_within(pid, 5000));
        assert_int_equal(brood_active_children(NULL, 0), 0);
    }
}

#define UNCLAIMED_COUNT 2000

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
static size_t heap_in_use(void)
{
    return mallinfo2().uordblks;
}
#else
static size_t heap_in_use(void)
{
    return 0; /* cannot be asked for */
}
#endif

/*
 * Two thousand children that nobody joins: no zombie 100 ms after the last, no descriptor,
 * and less than a kibibyte each. Half as much time again is given to a machine in use.
 */
static void two_thousand_unclaimed_ends(void **state)
{
    static brood_process *process[UNCLAIMED_COUNT];
    int64_t deadline;
    size_t descriptors, heap;
    int zombies;

    (void)state;
    kill_and_free(start(live_on, NULL, 0, NULL)); /* starts the reaper */
    descriptors = descriptor_count();
    heap = heap_in_use();
    for (int i = 0; i < UNCLAIMED_COUNT; i++)
        process[i] = start(return_int, &i, sizeof i, NULL);
    assert_true(dead_within(brood_process_pid(process[UNCLAIMED_COUNT - 1]), 10000));
    deadline = test_now() + 150 * MS;
    do {
        zombies = 0;
        for (int i = 0; i < UNCLAIMED_COUNT; i++)
            zombies += process_state(brood_process_pid(process[i])) == 'Z';
    } while (zombies > 0 && test_now() < deadline);
    assert_int_equal(zombies, 0);
    assert_int_equal(brood_active_children(NULL, 0), 0);
    assert_int_equal(descriptor_count(), descriptors);
    assert_true(heap_in_use() < heap + (size_t)UNCLAIMED_COUNT * 1024 || heap == 0);
    for (int i = 0; i < UNCLAIMED_COUNT; i++) {
        int code = -1;

        assert_int_equal(brood_process_exit_code(process[i], &code), 0);
        assert_int_equal(code, i & 0xff);
        brood_process_free(process[i]);
    }
    assert_true(heap_in_use() < heap + 131072 || heap == 0);
}

/* ---- what the program does with SIGCHLD ---- */

static void start_and_join_all_ways(void)
{
    static const char *const argv[] = { "sh", "-c", "exit 7", NULL };

    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        for (int i = 0; i < 10; i++) {
            int wanted = 100 + i;
            brood_process *process = start(return_int, &wanted, sizeof wanted, &options);

            assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
            assert_ended_with(process, wanted);
            brood_process_free(process);
        }
    }
    for (int i = 0; i < 10; i++) {
        brood_process *process = start_command(argv, NULL);

        assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
        assert_ended_with(process, 7);
        brood_process_free(process);
    }
}

static void sigchld_ignored(void **state)
{
    brood_process *process;

    (void)state;
    assert_true(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    start_and_join_all_ways();
    process = start(live_on, NULL, 0, NULL);
    assert_int_equal(brood_process_is_alive(process), 1);
    assert_int_equal(brood_process_join(process, 5 * MS), -ETIMEDOUT);
    assert_int_equal(brood_process_kill(process), 0);
    assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
    assert_int_equal(brood_process_is_alive(process), 0);
    brood_process_free(process);
    assert_true(signal(SIGCHLD, SIG_DFL) == SIG_IGN);
}

static void sigchld_ignored_and_nobody_joins(void **state)
{
    int wanted = 3;
    brood_process *process;

    (void)state;
    assert_true(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
    process = start(return_int, &wanted, sizeof wanted, NULL);
    assert_true(gone_within(brood_process_pid(process), 5000));
    assert_ended_with(process, 3);
    assert_int_equal(brood_active_children(NULL, 0), 0);
    brood_process_free(process);
}

static void sa_nocldwait(void **state)
{
    struct sigaction action = { .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT };

    (void)state;
    assert_int_equal(sigaction(SIGCHLD, &action, NULL), 0);
    start_and_join_all_ways();
}

static atomic_int handled;

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&handled, 1);
}

static void sigchld_handled(void **state)
{
    struct sigaction action = { .sa_handler = count_signal }, now;

    (void)state;
    assert_int_equal(sigaction(SIGCHLD, &action, NULL), 0);
    start_and_join_all_ways();
    assert_true(atomic_load(&handled) > 0); /* the program hears of them as of any child */
    assert_int_equal(sigaction(SIGCHLD, NULL, &now), 0);
    assert_true(now.sa_handler == count_signal);
}

static void reap_everything(int number)
{
    int error = errno;

    (void)number;
    while (waitpid(-1, NULL, WNOHANG) > 0)
        atomic_fetch_add(&handled, 1);
    errno = error;
}

static void a_handler_that_reaps_everything(void **state)
{
    struct sigaction action = { .sa_handler = reap_everything };

    (void)state;
    assert_int_equal(sigaction(SIGCHLD, &action, NULL), 0);
    start_and_join_all_ways();
}

static atomic_bool thief_may_end;

static void *steal(void *unused)
{
    while (!atomic_load(&thief_may_end))
        if (waitpid(-1, NULL, 0) < 0)
            test_pause();
    return unused;
}

static void a_thread_that_waits_for_any_child(void **state)
{
    pthread_t thief;

    (void)state;
    assert_int_equal(pthread_create(&thief, NULL, steal, NULL), 0);
    for (int i = 0; i < 3; i++)
        start_and_join_all_ways();
    assert_int_equal(brood_active_children(NULL, 0), 0);
    atomic_store(&thief_may_end, true);
    assert_int_equal(pthread_join(thief, NULL), 0);
}

/* ---- others' children ---- */

static void children_of_the_program_are_left_to_it(void **state)
{
    pid_t own[8];

    (void)state;
    kill_and_free(start(live_on, NULL, 0, NULL)); /* the reaper runs */
    for (int i = 0; i < 8; i++) {
        own[i] = fork();
        assert_true(own[i] >= 0);
        if (own[i] == 0)
            _exit(50 + i);
    }
    for (int i = 0; i < 8; i++)
        assert_true(dead_within(own[i], 5000));
    for (int i = 0; i < 20; i++)
        assert_int_equal(end_of(start(return_int, &i, sizeof i, NULL)), i);
    for (int i = 0; i < 8; i++) {
        int status;

        assert_int_equal(process_state(own[i]), 'Z');
        assert_int_equal(waitpid(own[i], &status, 0), own[i]);
        assert_int_equal(WEXITSTATUS(status), 50 + i);
    }
}

/* With no child of its own the program's wait() must find nothing, helpers included. */
static void a_wait_does_not_see_the_helpers(void **state)
{
    brood_process_options options = options_of(BROOD_START_FORKSERVER);
    brood_process *process;

    (void)state;
    assert_int_equal(brood_guardian_start(NULL), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    process = start(live_on, NULL, 0, &options);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    kill_and_free(process);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static const struct test_case cases[] = {
    TEST_CASE(an_unjoined_child_leaves_no_zombie),
    TEST_CASE(a_freed_child_leaves_no_zombie),
    TEST_CASE_LIMIT(two_thousand_unclaimed_ends, 60),
    TEST_CASE(sigchld_ignored),
    TEST_CASE(sigchld_ignored_and_nobody_joins),
    TEST_CASE(sa_nocldwait),
    TEST_CASE(sigchld_handled),
    TEST_CASE(a_handler_that_reaps_everything),
    TEST_CASE(a_thread_that_waits_for_any_child),
    TEST_CASE(children_of_the_program_are_left_to_it),
    TEST_CASE(a_wait_does_not_see_the_helpers),
};
TEST_SUITE(reaper, cases)
