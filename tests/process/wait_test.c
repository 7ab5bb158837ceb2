/*
 * Waiting for one of several, for all, and ending groups and trees. Method: children that
 * live until killed or until their stdin ends; families whose members tell their pids.
 */
#include "helpers.h"

#include <poll.h>

/* ---- any ---- */

static void any_is_the_one_that_ended(void **state)
{
    brood_process *process[3];
    size_t index = 99;

    (void)state;
    for (int i = 0; i < 3; i++)
        process[i] = start(live_on, NULL, 0, NULL);
    assert_int_equal(brood_process_wait_any(process, 3, 10 * MS, &index), -ETIMEDOUT);
    assert_int_equal(brood_process_kill(process[1]), 0);
    assert_int_equal(brood_process_wait_any(process, 3, BROOD_FOREVER, &index), 0);
    assert_int_equal(index, 1);
    assert_int_equal(brood_process_is_alive(process[0]), 1);
    assert_int_equal(brood_process_is_alive(process[2]), 1);
    /* It stays the answer until it is left out. */
    assert_int_equal(brood_process_wait_any(process, 3, BROOD_NOWAIT, &index), 0);
    assert_int_equal(index, 1);
    brood_process_free(process[1]);
    process[1] = NULL;
    assert_int_equal(brood_process_wait_any(process, 3, BROOD_NOWAIT, &index), -ETIMEDOUT);
    assert_int_equal(brood_process_kill(process[2]), 0);
    assert_int_equal(brood_process_wait_any(process, 3, BROOD_FOREVER, &index), 0);
    assert_int_equal(index, 2);
    kill_and_free(process[0]);
    brood_process_free(process[2]);
}

/*
 * Of two that have ended the lowest counts, also if it is the one that has not been reaped
 * yet: asking for its pidfd leaves it a zombie for a moment.
 */
static void a_tie_goes_to_the_lowest(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        brood_process *process[2] = { start(live_on, NULL, 0, NULL),
                                      start(live_on, NULL, 0, NULL) };
        struct pollfd entry = { .fd = brood_process_pidfd(process[0]), .events = POLLIN };
        size_t index = 99;

        assert_int_equal(brood_process_kill(process[1]), 0);
        assert_int_equal(brood_process_join(process[1], BROOD_FOREVER), 0);
        assert_int_equal(brood_process_kill(process[0]), 0);
        assert_int_equal(poll(&entry, 1, -1), 1);
        assert_int_equal(brood_process_wait_any(process, 2, BROOD_FOREVER, &index), 0);
        assert_int_equal(index, 0);
        brood_process_free(process[0]);
        brood_process_free(process[1]);
    }
}

static void any_and_all_pass_over_null(void **state)
{
    brood_process *process[40] = { NULL };
    size_t index = 99;

    (void)state;
    assert_int_equal(brood_process_wait_any(process, 40, BROOD_FOREVER, &index), -EINVAL);
    assert_int_equal(brood_process_wait_any(process, 0, BROOD_FOREVER, &index), -EINVAL);
    assert_int_equal(brood_process_wait_any(NULL, 0, BROOD_FOREVER, &index), -EINVAL);
    assert_int_equal(brood_process_wait_all(process, 40, BROOD_FOREVER), 0);
    assert_int_equal(brood_process_wait_all(process, 0, BROOD_FOREVER), 0);
    assert_int_equal(brood_process_wait_all(NULL, 0, BROOD_FOREVER), 0);
    process[37] = start(return_zero, NULL, 0, NULL);
    assert_int_equal(brood_process_wait_any(process, 40, BROOD_FOREVER, &index), 0);
    assert_int_equal(index, 37);
    assert_int_equal(brood_process_wait_all(process, 40, BROOD_FOREVER), 0);
    brood_process_free(process[37]);
}

static void one_handle_may_stand_twice(void **state)
{
    brood_process *process = start(live_on, NULL, 0, NULL);
    brood_process *twice[] = { process, process };
    size_t index = 99;

    (void)state;
    assert_int_equal(brood_process_wait_any(twice, 2, 5 * MS, &index), -ETIMEDOUT);
    assert_int_equal(brood_process_kill(process), 0);
    assert_int_equal(brood_process_wait_all(twice, 2, BROOD_FOREVER), 0);
    assert_int_equal(brood_process_wait_any(twice, 2, BROOD_NOWAIT, &index), 0);
    assert_int_equal(index, 0);
    brood_process_free(process);
}

/* One by one, of more than fit on the stack of the call, by all start methods. */
static void any_empties_a_set(void **state)
{
    brood_process *process[60];
    int seen[60] = { 0 };

    (void)state;
    for (size_t i = 0; i < 60; i++) {
        brood_process_options options = options_of(start_methods[i % START_METHOD_COUNT]);
        int wanted = (int)i;

        process[i] = start(return_int, &wanted, sizeof wanted, &options);
    }
    for (int i = 0; i < 60; i++) {
        size_t index = 99;

        assert_int_equal(brood_process_wait_any(process, 60, BROOD_FOREVER, &index), 0);
        assert_true(index < 60);
        assert_int_equal(seen[index]++, 0);
        assert_int_equal(end_of(process[index]), (int)index);
        process[index] = NULL;
    }
}

/* ---- all ---- */

static void all_waits_for_the_last(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process[3];
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.stdin_fd = ends[0];
    process[0] = start(return_zero, NULL, 0, NULL);
    process[1] = start(await_end_of_stdin, NULL, 0, &options);
    process[2] = start(return_zero, NULL, 0, NULL);
    assert_int_equal(brood_process_wait_all(process, 3, 20 * MS), -ETIMEDOUT);
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(brood_process_wait_all(process, 3, BROOD_FOREVER), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(brood_process_is_alive(process[i]), 0);
        brood_process_free(process[i]);
    }
}

/* ---- signals to an ended child ---- */

static void signals_to_an_ended_child_do_nothing(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        int code = -1;
        brood_process *process = start(return_zero, NULL, 0, &options);

        assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
        for (int scope = BROOD_SCOPE_PROCESS; scope <= BROOD_SCOPE_TREE; scope++) {
            assert_int_equal(brood_process_signal(process, SIGTERM, scope), 0);
            assert_int_equal(brood_process_stop(process, BROOD_FOREVER, scope), 0);
        }
        assert_int_equal(brood_process_kill(process), 0);
        assert_int_equal(brood_process_terminate(process), 0);
        assert_int_equal(brood_process_interrupt(process), 0);
        assert_int_equal(brood_process_exit_code(process, &code), 0);
        assert_int_equal(code, 0);
        brood_process_free(process);
    }
}

static void wrong_signals_and_scopes_are_refused(void **state)
{
    brood_process *process = start(live_on, NULL, 0, NULL);

    (void)state;
    assert_int_equal(brood_process_signal(process, 0, BROOD_SCOPE_PROCESS), -EINVAL);
    assert_int_equal(brood_process_signal(process, -1, BROOD_SCOPE_PROCESS), -EINVAL);
    assert_int_equal(brood_process_signal(process, 65, BROOD_SCOPE_PROCESS), -EINVAL);
    assert_int_equal(brood_process_signal(process, 100000, BROOD_SCOPE_PROCESS), -EINVAL);
    assert_int_equal(brood_process_signal(process, SIGTERM, -1), -EINVAL);
    assert_int_equal(brood_process_signal(process, SIGTERM, 3), -EINVAL);
    assert_int_equal(brood_process_stop(process, 0, -1), -EINVAL);
    assert_int_equal(brood_process_stop(process, 0, 3), -EINVAL);
    assert_int_equal(brood_process_is_alive(process), 1);
    kill_and_free(process);
}

static void terminate_and_interrupt_are_their_signals(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = start(live_on, NULL, 0, &options);

        assert_int_equal(brood_process_terminate(process), 0);
        assert_int_equal(end_of(process), -SIGTERM);
        process = start(live_on, NULL, 0, &options);
        assert_int_equal(brood_process_interrupt(process), 0);
        assert_int_equal(end_of(process), -SIGINT);
        process = start(live_on, NULL, 0, &options);
        assert_int_equal(brood_process_signal(process, SIGRTMAX, BROOD_SCOPE_GROUP), 0);
        assert_int_equal(end_of(process), -SIGRTMAX);
    }
}

/* ---- families ---- */

#define FAMILY_SIZE 4

enum manner { MANNER_PLAIN, MANNER_CHILDREN_DEAF, MANNER_ALL_DEAF };

/* Is one of a family: a child, its two children, and one grandchild; tells its pid, and that
 * of its parent, when it is ready. */
static int family(void *argument, size_t argument_bytes)
{
    int manner = *(int *)argument, generation = 0;
    pid_t pid;

    (void)argument_bytes;
    for (int i = 0; i < 2 && generation == 0; i++)
        if (fork() == 0)
            generation = i + 1;
    if (generation == 1 && fork() == 0)
        generation = 3;
    if (manner == MANNER_ALL_DEAF || (manner == MANNER_CHILDREN_DEAF && generation != 0))
        (void)signal(SIGTERM, SIG_IGN);
    pid = getpid();
    (void)!write(1, &pid, sizeof pid);
    return live_on(argument, argument_bytes);
}

/* Starts one, and fills in the pids of the members, once all are there. */
static brood_process *start_family(int manner, const brood_process_options *given,
                                   pid_t ret_pids[FAMILY_SIZE])
{
    brood_process_options options = *given;
    brood_process *process;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.stdout_fd = ends[1];
    process = start(family, &manner, sizeof manner, &options);
    for (int i = 0; i < FAMILY_SIZE; i++)
        assert_int_equal(read(ends[0], &ret_pids[i], sizeof(pid_t)), sizeof(pid_t));
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
    return process;
}

static void assert_all_dead(const pid_t pids[FAMILY_SIZE])
{
    for (int i = 0; i < FAMILY_SIZE; i++)
        if (!dead_within(pids[i], 1000)) {
            for (int k = 0; k < FAMILY_SIZE; k++)
                (void)kill(pids[k], SIGKILL);
            fail_msg("member %d of the family lives on", i);
        }
}

static void stop_ends_a_whole_group(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        for (int group = BROOD_GROUP_NEW; group <= BROOD_GROUP_SESSION; group++) {
            brood_process_options options = options_of(start_methods[m]);
            pid_t pids[FAMILY_SIZE];
            brood_process *process;

            options.process_group = group;
            process = start_family(MANNER_ALL_DEAF, &options, pids);
            assert_int_equal(brood_process_stop(process, 10 * MS, BROOD_SCOPE_GROUP), 0);
            assert_all_dead(pids);
            brood_process_free(process);
        }
    }
}

/* The leader dies of SIGTERM at once, and the others must not live on because of that. */
static void stop_ends_a_group_that_outlives_its_leader(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        brood_process_options options = options_of(start_methods[i % 3]);
        pid_t pids[FAMILY_SIZE];
        brood_process *process;

        options.process_group = BROOD_GROUP_NEW;
        process = start_family(MANNER_CHILDREN_DEAF, &options, pids);
        assert_int_equal(brood_process_stop(process, 5000 * MS, BROOD_SCOPE_GROUP), 0);
        assert_all_dead(pids);
        brood_process_free(process);
    }
}

/* A child that leads no group: its own, ours, must not be signalled. */
static void the_group_of_a_child_that_leads_none_is_itself(void **state)
{
    brood_process *other = start(live_on, NULL, 0, NULL);
    brood_process *process = start(live_on, NULL, 0, NULL);

    (void)state;
    assert_int_equal(brood_process_stop(process, 0, BROOD_SCOPE_GROUP), 0);
    assert_int_equal(brood_process_is_alive(other), 1);
    kill_and_free(other);
    brood_process_free(process);
}

static void stop_ends_a_whole_tree(void **state)
{
    static const int manners[] = { MANNER_PLAIN, MANNER_CHILDREN_DEAF, MANNER_ALL_DEAF };

    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        for (size_t i = 0; i < sizeof manners / sizeof manners[0]; i++) {
            brood_process_options options = options_of(start_methods[m]);
            pid_t pids[FAMILY_SIZE];
            brood_process *process = start_family(manners[i], &options, pids);

            assert_int_equal(brood_process_stop(process, 20 * MS, BROOD_SCOPE_TREE), 0);
            assert_all_dead(pids);
            brood_process_free(process);
        }
    }
}

static void kill_reaches_a_whole_tree(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        pid_t pids[FAMILY_SIZE];
        brood_process *process = start_family(MANNER_ALL_DEAF, &options, pids);

        assert_int_equal(brood_process_signal(process, SIGKILL, BROOD_SCOPE_TREE), 0);
        assert_all_dead(pids);
        assert_int_equal(end_of(process), -SIGKILL);
    }
}

static void kill_without_a_scope_leaves_the_others(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    pid_t pids[FAMILY_SIZE];
    brood_process *process = start_family(MANNER_PLAIN, &options, pids);
    int pid = brood_process_pid(process);

    (void)state;
    kill_and_free(process);
    for (int i = 0; i < FAMILY_SIZE; i++)
        assert_true(pids[i] == pid || strchr("SRD", process_state(pids[i])) != NULL);
    for (int i = 0; i < FAMILY_SIZE; i++)
        if (pids[i] != pid)
            assert_int_equal(kill(pids[i], SIGKILL), 0);
    assert_all_dead(pids);
}

/* A daemon's descendants are found by its mark when the daemon itself is gone. */
static void end_the_tree_of_an_ended_daemon(bool by_stop)
{
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        pid_t pids[FAMILY_SIZE];
        brood_process *process;

        options.daemon = BROOD_DAEMON_YES;
        process = start_family(MANNER_ALL_DEAF, &options, pids);
        assert_int_equal(brood_process_kill(process), 0);
        assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
        if (by_stop)
            assert_int_equal(brood_process_stop(process, 0, BROOD_SCOPE_TREE), 0);
        else
            assert_int_equal(brood_process_signal(process, SIGKILL, BROOD_SCOPE_TREE), 0);
        assert_all_dead(pids);
        brood_process_free(process);
    }
}

static void a_signal_reaches_the_tree_of_an_ended_daemon(void **state)
{
    (void)state;
    end_the_tree_of_an_ended_daemon(false);
}

static void stop_reaches_the_tree_of_an_ended_daemon(void **state)
{
    (void)state;
    end_the_tree_of_an_ended_daemon(true);
}

static void stop_wakes_a_stopped_child(void **state)
{
    int code = 0;
    brood_process *process = start(live_on, NULL, 0, NULL);

    (void)state;
    assert_int_equal(brood_process_signal(process, SIGSTOP, BROOD_SCOPE_PROCESS), 0);
    while (process_state(brood_process_pid(process)) != 'T')
        test_pause();
    assert_int_equal(brood_process_stop(process, 10000 * MS, BROOD_SCOPE_PROCESS), 0);
    assert_int_equal(brood_process_exit_code(process, &code), 0);
    assert_int_equal(code, -SIGTERM);
    brood_process_free(process);
}

static const struct test_case cases[] = {
    TEST_CASE(any_is_the_one_that_ended),
    TEST_CASE(a_tie_goes_to_the_lowest),
    TEST_CASE(any_and_all_pass_over_null),
    TEST_CASE(one_handle_may_stand_twice),
    TEST_CASE(any_empties_a_set),
    TEST_CASE(all_waits_for_the_last),
    TEST_CASE(signals_to_an_ended_child_do_nothing),
    TEST_CASE(wrong_signals_and_scopes_are_refused),
    TEST_CASE(terminate_and_interrupt_are_their_signals),
    TEST_CASE(stop_ends_a_whole_group),
    TEST_CASE(stop_ends_a_group_that_outlives_its_leader),
    TEST_CASE(the_group_of_a_child_that_leads_none_is_itself),
    TEST_CASE(stop_ends_a_whole_tree),
    TEST_CASE(kill_reaches_a_whole_tree),
    TEST_CASE(kill_without_a_scope_leaves_the_others),
    TEST_CASE(a_signal_reaches_the_tree_of_an_ended_daemon),
    TEST_CASE(stop_reaches_the_tree_of_an_ended_daemon),
    TEST_CASE(stop_wakes_a_stopped_child),
};
TEST_SUITE(wait, cases)
