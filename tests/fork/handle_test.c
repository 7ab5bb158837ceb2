/*
 * A handle belongs to the process that made it. Method: a plain fork of the case, and a
 * child made by the library, try every call on inherited handles (created, running, ended);
 * only the name, and free, are for them; and the parent notices nothing.
 */
#include "../process/helpers.h"

/* The number of the first call that does not answer -ECHILD, or 0. */
static int first_wrong_call(brood_process *process)
{
    brood_exit end = BROOD_EXIT_INIT;
    brood_process *set[] = { NULL, process };
    size_t index = 0;
    int code = 0;
    const int answers[] = {
        brood_process_start(process),
        brood_process_join(process, BROOD_NOWAIT),
        brood_process_try_join(process),
        brood_process_is_alive(process),
        brood_process_pid(process),
        brood_process_is_daemon(process),
        brood_process_exit(process, &end),
        brood_process_exit_code(process, &code),
        brood_process_pidfd(process),
        brood_process_signal(process, SIGKILL, BROOD_SCOPE_PROCESS),
        brood_process_signal(process, SIGKILL, BROOD_SCOPE_GROUP),
        brood_process_signal(process, SIGKILL, BROOD_SCOPE_TREE),
        brood_process_terminate(process),
        brood_process_kill(process),
        brood_process_interrupt(process),
        brood_process_stop(process, 0, BROOD_SCOPE_TREE),
        brood_process_wait_any(set, 2, 0, &index),
        brood_process_wait_all(set, 2, 0),
    };

    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (answers[i] != -ECHILD)
            return (int)i + 1;
    return strncmp(brood_process_name(process), "process-", 8) == 0 ? 0 : 100;
}

static brood_process *inherited[4];

static int try_all(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    for (int i = 0; i < 4; i++) {
        int wrong = first_wrong_call(inherited[i]);

        if (wrong != 0)
            return wrong;
    }
    if (brood_active_children(NULL, 0) != 0)
        return 101;
    for (int i = 0; i < 4; i++)
        brood_process_free(inherited[i]);
    return 0;
}

static void try_all_in_fork(void)
{
    int code = try_all(NULL, 0);

    if (code == 0) /* and a shutdown here ends nobody there */
        code = brood_shutdown(BROOD_FOREVER) == 0 ? 0 : 102;
    _exit(code);
}

static void handles_stay_with_their_process(void **state)
{
    brood_process_options options = options_of(BROOD_START_FORKSERVER);
    int code = -1, status;

    (void)state;
    inherited[0] = create(return_zero, NULL, 0, NULL);
    inherited[1] = start(live_on, NULL, 0, NULL);
    inherited[2] = start(return_zero, NULL, 0, NULL);
    inherited[3] = start(live_on, NULL, 0, &options);
    assert_int_equal(brood_process_join(inherited[2], BROOD_FOREVER), 0);
    assert_true(brood_process_pidfd(inherited[3]) > 2);

    status = status_of_fork(try_all_in_fork);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(end_of(start(try_all, NULL, 0, NULL)), 0);

    assert_int_equal(brood_process_is_alive(inherited[1]), 1);
    assert_int_equal(brood_process_is_alive(inherited[3]), 1);
    assert_int_equal(brood_process_exit_code(inherited[2], &code), 0);
    assert_int_equal(code, 0);
    assert_int_equal(brood_active_children(NULL, 0), 2);
    assert_int_equal(brood_process_start(inherited[0]), 0);
    assert_int_equal(end_of(inherited[0]), 0);
    kill_and_free(inherited[1]);
    brood_process_free(inherited[2]);
    kill_and_free(inherited[3]);
}

/* ---- descriptors ---- */

static size_t wanted_descriptors;

static void count_in_fork(void)
{
    _exit(descriptor_count() == wanted_descriptors ? 0 : (int)descriptor_count());
}

/* A fork of the program's own inherits the program's descriptors, and none of the
 * library's, but the ones that were given to the caller of brood_process_pidfd(). */
static void forks_inherit_no_descriptors(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process[3], *ended;

    (void)state;
    wanted_descriptors = descriptor_count();
    assert_int_equal(brood_guardian_start(NULL), 0);
    for (int i = 0; i < 3; i++) {
        options.start_method = start_methods[i];
        process[i] = start(live_on, NULL, 0, &options);
    }
    ended = start(return_zero, NULL, 0, NULL);
    assert_int_equal(brood_process_join(ended, BROOD_FOREVER), 0);
    assert_int_equal(status_of_fork(count_in_fork), 0);
    for (int i = 0; i < 3; i++)
        kill_and_free(process[i]);
    brood_process_free(ended);
}

/* ---- a fork as a program of its own ---- */

static void use_all_in_fork(void)
{
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        for (int daemon = BROOD_DAEMON_YES; daemon <= BROOD_DAEMON_NO; daemon++) {
            brood_process_options options = options_of(start_methods[m]);
            int wanted = 70 + (int)m;

            options.daemon = daemon;
            if (end_of(start(return_int, &wanted, sizeof wanted, &options)) != wanted)
                _exit(1 + (int)m);
        }
    }
    if (brood_shutdown(BROOD_FOREVER) != 0)
        _exit(9);
}

static void a_fork_starts_children_of_its_own(void **state)
{
    brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;
    brood_process *process = start(live_on, NULL, 0, NULL);

    (void)state;
    assert_int_equal(brood_guardian_start(NULL), 0);
    assert_int_equal(status_of_fork(use_all_in_fork), 0);
    assert_int_equal(brood_guardian_status(&info), 0); /* ours runs on */
    assert_int_equal(kill(info.guardian_pid, 0), 0);
    assert_int_equal(brood_process_is_alive(process), 1);
    kill_and_free(process);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    assert_int_equal(status_of_fork(use_all_in_fork), 0); /* our end is not its end */
}

static void exit_in_fork(void)
{
    exit(5); /* runs the exit handlers of the program, among them ours */
}

static void a_forks_exit_ends_only_itself(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process, *other = start(live_on, NULL, 0, NULL);

    (void)state;
    options.daemon = BROOD_DAEMON_YES;
    process = start(live_on, NULL, 0, &options);
    assert_int_equal(WEXITSTATUS(status_of_fork(exit_in_fork)), 5);
    assert_int_equal(brood_process_is_alive(process), 1);
    assert_int_equal(brood_process_is_alive(other), 1);
    kill_and_free(process);
    kill_and_free(other);
}

static const struct test_case cases[] = {
    TEST_CASE(handles_stay_with_their_process),
    TEST_CASE(forks_inherit_no_descriptors),
    TEST_CASE(a_fork_starts_children_of_its_own),
    TEST_CASE(a_forks_exit_ends_only_itself),
};
TEST_SUITE(handle, cases)
