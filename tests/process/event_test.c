/*
 * The event between processes: who waits, who sets, and who dies at it; row f of the failure
 * matrix. Method: forked children wait and are killed at that; whoever lives must wake, and
 * whoever sets must not wait for anybody.
 */
#include "helpers.h"

#include <stdatomic.h>

#define CHILDREN 4
#define LIMIT brood_seconds(20) /* for what happens at once, on a machine that is busy */

static bool long_mode(void)
{
    const char *value = getenv("BROOD_TEST_LONG");

    return value != NULL && strcmp(value, "1") == 0;
}

static brood_shared *segment(void)
{
    brood_shared *shared = NULL;

    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    return shared;
}

static brood_event *event_in(brood_shared *shared)
{
    brood_event *event = NULL;

    assert_int_equal(brood_event_create(shared, &event), 0);
    return event;
}

static void end_by_kill(pid_t pid)
{
    int status = 0;

    assert_true(pid > 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, SIGKILL); /* it had not ended by itself */
}

/* A child that waits for the event, and ends with 0 if that ended well. */
static pid_t waiter_of(brood_event *event)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(brood_event_wait(event, LIMIT) == 0 ? 0 : 1);
    assert_true(pid > 1);
    return pid;
}

static void await_sleep(pid_t pid)
{
    int64_t deadline = test_now() + 20000 * MS;

    for (int looks = 0; looks < 5;) {
        assert_true(test_now() < deadline);
        test_pause();
        looks = process_state(pid) == 'S' ? looks + 1 : 0;
    }
}

static void assert_ends_well(pid_t pid)
{
    int status = -1;

    assert_true(pid > 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void child_sets_what_its_parent_waits_for(void **state)
{
    brood_shared *shared = segment();
    brood_event *event = event_in(shared);
    pid_t pid;

    (void)state;
    pid = fork();
    if (pid == 0)
        _exit(brood_event_set(event) == 0 ? 0 : 1);
    assert_int_equal(brood_event_wait(event, LIMIT), 0);
    assert_int_equal(brood_event_is_set(event), 1);
    assert_ends_well(pid);
    brood_shared_detach(shared);
}

static void all_processes_wake(void **state)
{
    brood_shared *shared = segment();
    brood_event *event = event_in(shared);
    pid_t pids[CHILDREN];

    (void)state;
    for (int i = 0; i < CHILDREN; i++)
        pids[i] = waiter_of(event);
    for (int i = 0; i < CHILDREN; i++)
        await_sleep(pids[i]);
    assert_int_equal(brood_event_set(event), 0);
    assert_int_equal(brood_event_clear(event), 0); /* that it is over already is no matter */
    for (int i = 0; i < CHILDREN; i++)
        assert_ends_well(pids[i]);
    brood_shared_detach(shared);
}

/* In a process that has the segment elsewhere, by the event's place. */
static void is_found_by_its_place(void **state)
{
    brood_shared *shared = segment();
    brood_event *event = event_in(shared);
    uint64_t place = brood_shared_place(shared, event);
    int fd = brood_shared_fd(shared);
    pid_t pid;

    (void)state;
    assert_true(place != 0);
    pid = fork();
    if (pid == 0) {
        brood_shared *again = NULL;
        brood_event *there;

        if (brood_shared_attach_fd(fd, NULL, &again) < 0)
            _exit(1);
        there = brood_shared_at(again, place);
        _exit(there != event && brood_event_set(there) == 0 ? 0 : 2);
    }
    assert_int_equal(brood_event_wait(event, LIMIT), 0);
    assert_ends_well(pid);
    brood_shared_detach(shared);
}

/* Row f: CPython's set() hangs. */
static void row_f_set_does_not_wait_for_a_killed_waiter(void **state)
{
    brood_shared *shared = segment();
    brood_event *event = event_in(shared);

    (void)state;
    for (int round = 0; round < 20; round++) {
        pid_t victims[CHILDREN], survivor;
        int64_t start;

        for (int i = 0; i < CHILDREN; i++)
            victims[i] = waiter_of(event);
        survivor = waiter_of(event);
        for (int i = 0; i < CHILDREN; i++) {
            await_sleep(victims[i]);
            end_by_kill(victims[i]);
        }
        await_sleep(survivor);
        start = test_now();
        assert_int_equal(brood_event_set(event), 0);
        assert_true(test_now() - start < 1000 * MS);
        assert_ends_well(survivor);
        assert_int_equal(brood_event_clear(event), 0);
    }
    brood_shared_detach(shared);
}

/* A waiter that is stopped cannot hold up the one who sets, either. */
static void set_does_not_wait_for_a_stopped_waiter(void **state)
{
    brood_shared *shared = segment();
    brood_event *event = event_in(shared);
    pid_t stopped = waiter_of(event);
    pid_t other = waiter_of(event);

    (void)state;
    await_sleep(stopped);
    assert_int_equal(kill(stopped, SIGSTOP), 0);
    assert_int_equal(waitpid(stopped, NULL, WUNTRACED), stopped);
    assert_int_equal(brood_event_set(event), 0);
    assert_ends_well(other);
    assert_int_equal(brood_event_clear(event), 0);
    assert_int_equal(kill(stopped, SIGCONT), 0);
    assert_ends_well(stopped);
    brood_shared_detach(shared);
}

/* One who sets and clears without a pause is killed at some point of that: nobody who waits
 * is left behind, and the event can be used on. */
static void setter_is_killed_at_random(void **state)
{
    const int rounds = long_mode() ? 2000 : 100;
    brood_shared *shared = segment();
    brood_event *event = event_in(shared);

    (void)state;
    for (int round = 0; round < rounds; round++) {
        pid_t setter = fork(), waiter;

        if (setter == 0)
            for (;;) {
                (void)brood_event_set(event);
                (void)brood_event_clear(event);
            }
        assert_true(setter > 1);
        waiter = waiter_of(event);
        assert_int_equal(brood_event_wait(event, LIMIT), 0);
        end_by_kill(setter);
        assert_int_equal(brood_event_set(event), 0);
        assert_ends_well(waiter);
        assert_int_equal(brood_event_is_set(event), 1);
        assert_int_equal(brood_event_clear(event), 0);
    }
    brood_shared_detach(shared);
}

/* ---- set from a signal handler while waiters die ---- */

static brood_event *signalled;

static void set_in_handler(int signal)
{
    (void)signal;
    (void)brood_event_set(signalled);
}

/* Waits, most of the time, for an event that is never set, so the handler runs in a wait. */
static pid_t setter_by_signal(brood_event *never, brood_event *started)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct sigaction action = { .sa_handler = set_in_handler };

        (void)sigaction(SIGUSR1, &action, NULL);
        (void)brood_event_set(started);
        for (;;)
            (void)brood_event_wait(never, BROOD_FOREVER);
    }
    assert_true(pid > 1);
    return pid;
}

/* Answers each time the event is set. */
static pid_t answerer(brood_event *event, brood_event *answer)
{
    pid_t pid = fork();

    if (pid == 0)
        for (;;) {
            if (brood_event_wait(event, BROOD_FOREVER) < 0 || brood_event_clear(event) < 0 ||
                brood_event_set(answer) < 0)
                _exit(1);
        }
    assert_true(pid > 1);
    return pid;
}

static void set_in_a_handler_while_waiters_die(void **state)
{
    const int rounds = long_mode() ? 10000 : 500;
    brood_shared *shared = segment();
    brood_event *never = event_in(shared), *started = event_in(shared);
    brood_event *answer = event_in(shared);
    pid_t setter, survivor;

    (void)state;
    signalled = event_in(shared);
    setter = setter_by_signal(never, started);
    survivor = answerer(signalled, answer);
    assert_int_equal(brood_event_wait(started, LIMIT), 0);
    for (int round = 0; round < rounds; round++) {
        pid_t victim = fork();

        if (victim == 0)
            for (;;)
                (void)brood_event_wait(signalled, BROOD_FOREVER);
        assert_true(victim > 1);
        if (round % 4 == 0)
            (void)usleep((useconds_t)(round % 97) * 4); /* so it is met at other points */
        if (round % 2 == 0)
            assert_int_equal(kill(victim, SIGKILL), 0);
        assert_int_equal(kill(setter, SIGUSR1), 0);
        if (round % 2 != 0)
            assert_int_equal(kill(victim, SIGKILL), 0);
        if (brood_event_wait(answer, LIMIT) != 0)
            fail_msg("nobody woke in round %d", round);
        assert_int_equal(brood_event_clear(answer), 0);
        assert_int_equal(waitpid(victim, NULL, 0), victim);
    }
    end_by_kill(setter);
    end_by_kill(survivor);
    brood_shared_detach(shared);
}

static const struct test_case cases[] = {
    TEST_CASE(child_sets_what_its_parent_waits_for),
    TEST_CASE(all_processes_wake),
    TEST_CASE(is_found_by_its_place),
    TEST_CASE_LIMIT(row_f_set_does_not_wait_for_a_killed_waiter, 60),
    TEST_CASE(set_does_not_wait_for_a_stopped_waiter),
    TEST_CASE_LIMIT(setter_is_killed_at_random, 120),
    TEST_CASE_LIMIT(set_in_a_handler_while_waiters_die, 240),
};
TEST_SUITE(event_processes, cases)
