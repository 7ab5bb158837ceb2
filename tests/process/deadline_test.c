/*
 * P7: each wait has a deadline on the monotonic clock and keeps it, whatever the child does.
 * Method: let each wait expire on children that run, are stopped or ignore SIGTERM, also
 * under a rain of signals, and compare the clock; then let each end at a death.
 *
 * A step of the wall clock changes nothing: no call here takes or reads it. That cannot be
 * tested without setting the machine's clock, and is not.
 */
#include "helpers.h"

#include <sys/time.h>

#define LATE_MS 2000 /* beyond this an expiry was not one: the machine may be busy */

typedef int wait_function(brood_process *process, int64_t timeout);

static int wait_by_any(brood_process *process, int64_t timeout)
{
    size_t index = 99;
    int r = brood_process_wait_any(&process, 1, timeout, &index);

    return r == 0 && index != 0 ? -ERANGE : r;
}

static int wait_by_all(brood_process *process, int64_t timeout)
{
    return brood_process_wait_all(&process, 1, timeout);
}

static wait_function *const waits[] = { brood_process_join, wait_by_any, wait_by_all };
#define WAIT_COUNT (sizeof waits / sizeof waits[0])

static void assert_expires(wait_function *wait, brood_process *process, int64_t timeout)
{
    int64_t before = test_now();

    assert_int_equal(wait(process, timeout), -ETIMEDOUT);
    assert_in_range(test_now() - before, timeout, timeout + LATE_MS * MS);
}

static void waits_expire(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = start(live_on, NULL, 0, &options);

        for (size_t w = 0; w < WAIT_COUNT; w++) {
            assert_expires(waits[w], process, BROOD_NOWAIT);
            assert_expires(waits[w], process, 1);
            assert_expires(waits[w], process, 20 * MS);
        }
        kill_and_free(process);
    }
}

static void waits_of_a_stopped_child_expire(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = start(live_on, NULL, 0, &options);

        assert_int_equal(brood_process_signal(process, SIGSTOP, BROOD_SCOPE_PROCESS), 0);
        for (size_t w = 0; w < WAIT_COUNT; w++)
            assert_expires(waits[w], process, 10 * MS);
        kill_and_free(process);
    }
}

static void other_negative_timeouts_are_refused(void **state)
{
    static const int64_t wrong[] = { -2, -1000000, INT64_MIN };
    brood_process *process = start(live_on, NULL, 0, NULL);

    (void)state;
    for (int ended = 0; ended < 2; ended++) {
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
            for (size_t w = 0; w < WAIT_COUNT; w++)
                assert_int_equal(waits[w](process, wrong[i]), -EINVAL);
            assert_int_equal(brood_process_stop(process, wrong[i], BROOD_SCOPE_PROCESS),
                             -EINVAL);
            assert_int_equal(brood_parent_join(wrong[i]), -EINVAL);
            assert_int_equal(brood_shutdown(wrong[i]), -EINVAL);
        }
        assert_int_equal(brood_process_is_alive(process), !ended);
        assert_int_equal(brood_process_kill(process), 0);
        assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
    }
    brood_process_free(process);
}

/* The longest timeouts are not mistaken for ones that are over. */
static void long_waits_end_with_the_child(void **state)
{
    static const int64_t timeouts[] = { BROOD_FOREVER, INT64_MAX, INT64_MAX - 1,
                                        INT64_MAX / 2 };

    (void)state;
    for (size_t w = 0; w < WAIT_COUNT; w++) {
        for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
            brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
            int ends[2], code = -1;
            brood_process *process;

            assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
            options.stdin_fd = ends[0];
            process = start(await_end_of_stdin, NULL, 0, &options);
            assert_int_equal(brood_process_is_alive(process), 1);
            assert_int_equal(close(ends[1]), 0);
            assert_int_equal(close(ends[0]), 0);
            assert_int_equal(waits[w](process, timeouts[i]), 0);
            assert_int_equal(brood_process_exit_code(process, &code), 0);
            assert_int_equal(code, 0);
            brood_process_free(process);
        }
    }
}

/* ---- signals ---- */

static volatile sig_atomic_t rang;

static void ring(int number)
{
    (void)number;
    rang++;
}

static void rain_start(void)
{
    const struct itimerval often = { { 0, 2000 }, { 0, 2000 } };
    struct sigaction action = { .sa_handler = ring }; /* no SA_RESTART */

    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
}

static void rain_stop(void)
{
    const struct itimerval never = { { 0, 0 }, { 0, 0 } };

    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_true(rang > 0);
}

static void signals_neither_end_nor_prolong_a_wait(void **state)
{
    brood_process *process = start(live_on, NULL, 0, NULL);

    (void)state;
    rain_start();
    for (size_t w = 0; w < WAIT_COUNT; w++)
        assert_expires(waits[w], process, 40 * MS);
    rain_stop();
    kill_and_free(process);
}

/* Starts are waits too: for exec, for the forkserver, for the spawned program. */
static void signals_do_not_disturb_a_start(void **state)
{
    static const char *const argv[] = { "true", NULL };

    (void)state;
    rain_start();
    for (int i = 0; i < 20; i++) {
        for (size_t m = 0; m < START_METHOD_COUNT; m++) {
            brood_process_options options = options_of(start_methods[m]);

            options.working_directory = "/";
            assert_int_equal(end_of(start(return_int, &i, sizeof i, &options)), i);
        }
        assert_int_equal(end_of(start_command(argv, NULL)), 0);
    }
    while (rang == 0)
        (void)pause();
    rain_stop();
}

/* ---- stop ---- */

static int ignore_term(void *argument, size_t argument_bytes)
{
    (void)signal(SIGTERM, SIG_IGN);
    (void)!write(1, "", 1);
    return live_on(argument, argument_bytes);
}

/* Started, and known to ignore SIGTERM by now. */
static brood_process *start_deaf(const brood_process_options *given)
{
    brood_process_options options = *given;
    brood_process *process;
    int ends[2];
    char byte;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.stdout_fd = ends[1];
    process = start(ignore_term, NULL, 0, &options);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
    return process;
}

static void stop_keeps_its_grace(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = start_deaf(&options);
        int64_t before = test_now();
        int code = 0;

        assert_int_equal(brood_process_stop(process, 30 * MS, BROOD_SCOPE_PROCESS), 0);
        assert_in_range(test_now() - before, 30 * MS, (30 + LATE_MS) * MS);
        assert_int_equal(brood_process_exit_code(process, &code), 0);
        assert_int_equal(code, -SIGKILL);
        brood_process_free(process);

        process = start(live_on, NULL, 0, &options);
        before = test_now();
        assert_int_equal(brood_process_stop(process, 20000 * MS, BROOD_SCOPE_PROCESS), 0);
        assert_true(test_now() - before < 10000 * MS);
        assert_int_equal(brood_process_exit_code(process, &code), 0);
        assert_int_equal(code, -SIGTERM);
        brood_process_free(process);
    }
}

static void stop_without_grace(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = start_deaf(&options);
    int code = 0;

    (void)state;
    assert_int_equal(brood_process_stop(process, BROOD_NOWAIT, BROOD_SCOPE_PROCESS), 0);
    assert_int_equal(brood_process_exit_code(process, &code), 0);
    assert_int_equal(code, -SIGKILL);
    brood_process_free(process);
}

/* ---- the parent's end ---- */

static int join_parent_in_vain(void *argument, size_t argument_bytes)
{
    int64_t before = test_now();
    int r = brood_parent_join(20 * MS);

    (void)argument, (void)argument_bytes;
    if (r != -ETIMEDOUT || brood_parent_join(BROOD_NOWAIT) != -ETIMEDOUT)
        return 1;
    return test_now() - before >= 20 * MS && test_now() - before < LATE_MS * MS ? 0 : 2;
}

static void waits_for_the_parent_expire(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        assert_int_equal(end_of(start(join_parent_in_vain, NULL, 0, &options)), 0);
    }
}

/* ---- shutdown ---- */

static void a_shutdown_expires_and_may_be_repeated(void **state)
{
    brood_process *process = start(live_on, NULL, 0, NULL);
    int64_t before = test_now();

    (void)state;
    assert_int_equal(brood_shutdown(30 * MS), -ETIMEDOUT);
    assert_in_range(test_now() - before, 30 * MS, (30 + LATE_MS) * MS);
    assert_int_equal(brood_process_is_alive(process), 1);
    assert_int_equal(brood_shutdown(BROOD_NOWAIT), -ETIMEDOUT);
    kill_and_free(process);
    assert_int_equal(brood_shutdown(BROOD_NOWAIT), 0);
}

static const struct test_case cases[] = {
    TEST_CASE(waits_expire),
    TEST_CASE(waits_of_a_stopped_child_expire),
    TEST_CASE(other_negative_timeouts_are_refused),
    TEST_CASE(long_waits_end_with_the_child),
    TEST_CASE(signals_neither_end_nor_prolong_a_wait),
    TEST_CASE(signals_do_not_disturb_a_start),
    TEST_CASE(stop_keeps_its_grace),
    TEST_CASE(stop_without_grace),
    TEST_CASE(waits_for_the_parent_expire),
    TEST_CASE(a_shutdown_expires_and_may_be_repeated),
};
TEST_SUITE(deadline, cases)
