/*
 * The end of a program: brood_shutdown(), exit(), a child's return. Method: most programs
 * here are plain forks of the case that end in their own way; children tell of their end
 * through pipes, in which the order of bytes is the order of events.
 */
#include "helpers.h"

static int event_pipe[2];

static void say(const char *text)
{
    (void)!write(event_pipe[1], text, strlen(text));
}

/* Runs `body` in a fork, and returns what it and its children said. */
static const char *events_of(void (*body)(void), int wanted_status)
{
    static char text[256];
    int status;

    assert_int_equal(pipe2(event_pipe, O_CLOEXEC), 0);
    status = status_of_fork(body);
    assert_int_equal(close(event_pipe[1]), 0);
    (void)read_all(event_pipe[0], text, sizeof text);
    assert_int_equal(close(event_pipe[0]), 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), wanted_status);
    return text;
}

static brood_process *start_with_pipe(brood_process_function *function, int daemon)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    char name = (char)(daemon == BROOD_DAEMON_YES ? 'd' : 'n');
    int ready[2];
    char byte;
    brood_process *process;

    if (pipe2(ready, O_CLOEXEC) < 0)
        _exit(99);
    options.daemon = daemon;
    options.stdout_fd = ready[1];
    options.descriptors = &event_pipe[1];
    options.descriptor_count = 1;
    process = start(function, &name, 1, &options);
    (void)close(ready[1]);
    if (read(ready[0], &byte, 1) != 1) /* it says so when it is ready */
        _exit(98);
    (void)close(ready[0]);
    return process;
}

static void say_term(int number)
{
    (void)number;
    say("T");
    _exit(0);
}

static int until_term(void *argument, size_t argument_bytes)
{
    (void)signal(SIGTERM, say_term);
    (void)!write(1, "", 1);
    (void)close(1);
    return live_on(argument, argument_bytes);
}

static int deaf_to_term(void *argument, size_t argument_bytes)
{
    (void)signal(SIGTERM, SIG_IGN);
    (void)!write(1, "", 1);
    (void)close(1);
    return live_on(argument, argument_bytes);
}

/* Long enough for what must not happen before it. */
static int work_a_while(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    (void)!write(1, "", 1);
    (void)close(1);
    usleep(50000);
    say("W");
    return 0;
}

/* ---- brood_shutdown() ---- */

static void shut_down_in_order(void)
{
    (void)start_with_pipe(until_term, BROOD_DAEMON_YES);
    (void)start_with_pipe(deaf_to_term, BROOD_DAEMON_YES);
    (void)start_with_pipe(work_a_while, BROOD_DAEMON_NO);
    if (brood_shutdown(BROOD_FOREVER) != 0 || brood_active_children(NULL, 0) != 0)
        _exit(1);
    say("E");
    _exit(0);
}

/* Daemons hear SIGTERM first, the others are joined, and nobody is left. */
static void daemons_are_ended_and_others_joined(void **state)
{
    (void)state;
    assert_string_equal(events_of(shut_down_in_order, 0), "TWE");
}

static void deaf_daemons_only(void)
{
    int64_t before = test_now();

    for (int i = 0; i < 3; i++)
        (void)start_with_pipe(deaf_to_term, BROOD_DAEMON_YES);
    before = test_now();
    if (brood_shutdown(BROOD_FOREVER) != 0)
        _exit(1);
    /* 100 ms of grace for all of them together. */
    _exit(test_now() - before >= 95 * MS && test_now() - before < 2000 * MS ? 0 : 2);
}

static void a_daemon_has_100_ms(void **state)
{
    (void)state;
    assert_string_equal(events_of(deaf_daemons_only, 0), "");
}

static void nothing_starts_after_a_shutdown(void **state)
{
    static const char *const argv[] = { "true", NULL };
    brood_process *command = NULL;

    (void)state;
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = create(return_zero, NULL, 0, &options);

        assert_int_equal(brood_process_start(process), -ESHUTDOWN);
        assert_int_equal(brood_process_join(process, 0), -ESRCH);
        brood_process_free(process);
    }
    assert_int_equal(brood_process_create_command(argv, NULL, &command), 0);
    assert_int_equal(brood_process_start(command), -ESHUTDOWN);
    brood_process_free(command);
    assert_int_equal(brood_guardian_start(NULL), -ESHUTDOWN);
}

static void handles_tell_their_ends_after_a_shutdown(void **state)
{
    int wanted = 21, code = 0;
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = start(return_int, &wanted, sizeof wanted, NULL), *daemon;

    (void)state;
    options.daemon = BROOD_DAEMON_YES;
    daemon = start(live_on, NULL, 0, &options);
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    assert_int_equal(brood_process_join(process, BROOD_NOWAIT), 0);
    assert_int_equal(brood_process_exit_code(process, &code), 0);
    assert_int_equal(code, 21);
    assert_int_equal(brood_process_exit_code(daemon, &code), 0);
    assert_int_equal(code, -SIGTERM);
    brood_process_free(process);
    brood_process_free(daemon);
}

/* An expired shutdown leaves the non-daemons, and ends the daemons all the same. */
static void an_expired_shutdown_ends_the_daemons(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *other = start(live_on, NULL, 0, NULL), *daemon;

    (void)state;
    options.daemon = BROOD_DAEMON_YES;
    daemon = start(live_on, NULL, 0, &options);
    assert_int_equal(brood_shutdown(5 * MS), -ETIMEDOUT);
    assert_int_equal(brood_process_is_alive(daemon), 0);
    assert_int_equal(brood_process_is_alive(other), 1);
    assert_int_equal(brood_active_children(NULL, 0), 1);
    kill_and_free(other);
    brood_process_free(daemon);
}

/* ---- exit() ---- */

static void exit_with_children(void)
{
    (void)start_with_pipe(until_term, BROOD_DAEMON_YES);
    (void)start_with_pipe(work_a_while, BROOD_DAEMON_NO);
    brood_process_free(start_with_pipe(work_a_while, BROOD_DAEMON_NO));
    exit(7);
}

static void exit_shuts_down(void **state)
{
    (void)state;
    assert_string_equal(events_of(exit_with_children, 7), "TWW");
}

static void exit_after_shutdown(void)
{
    brood_process *process = start_with_pipe(until_term, BROOD_DAEMON_NO);

    if (brood_shutdown(BROOD_NOWAIT) != -ETIMEDOUT)
        _exit(1);
    say("X");
    (void)kill(brood_process_pid(process), SIGTERM);
    exit(8); /* must not wait: it was shut down before */
}

static void exit_does_not_repeat_a_shutdown(void **state)
{
    (void)state;
    assert_string_equal(events_of(exit_after_shutdown, 8), "XT");
}

/* ---- the end of a child ---- */

static int leave_children(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    (void)start_with_pipe(until_term, BROOD_DAEMON_YES);
    (void)start_with_pipe(work_a_while, BROOD_DAEMON_NO);
    (void)!write(1, "", 1);
    return 0;
}

static int exit_from_children(void *argument, size_t argument_bytes)
{
    (void)leave_children(argument, argument_bytes);
    exit(0);
}

static void return_from_child(void)
{
    brood_process *process = start_with_pipe(leave_children, BROOD_DAEMON_NO);

    if (end_of(process) != 0)
        _exit(1);
    say("J");
    _exit(0);
}

static void exit_in_child(void)
{
    brood_process *process = start_with_pipe(exit_from_children, BROOD_DAEMON_NO);

    if (end_of(process) != 0)
        _exit(1);
    say("J");
    _exit(0);
}

static void a_childs_return_and_exit_shut_down_its_children(void **state)
{
    (void)state;
    assert_string_equal(events_of(return_from_child, 0), "TWJ");
    assert_string_equal(events_of(exit_in_child, 0), "TWJ");
}

/* ---- _exit() ---- */

static void exit_at_once(void)
{
    (void)start_with_pipe(work_a_while, BROOD_DAEMON_NO);
    say("X");
    _exit(3);
}

static void non_daemons_outlive_a_sudden_end(void **state)
{
    (void)state;
    assert_string_equal(events_of(exit_at_once, 3), "XW");
}

static const struct test_case cases[] = {
    TEST_CASE(daemons_are_ended_and_others_joined),
    TEST_CASE(a_daemon_has_100_ms),
    TEST_CASE(nothing_starts_after_a_shutdown),
    TEST_CASE(handles_tell_their_ends_after_a_shutdown),
    TEST_CASE(an_expired_shutdown_ends_the_daemons),
    TEST_CASE(exit_shuts_down),
    TEST_CASE(exit_does_not_repeat_a_shutdown),
    TEST_CASE(a_childs_return_and_exit_shut_down_its_children),
    TEST_CASE(non_daemons_outlive_a_sudden_end),
};
TEST_SUITE(shutdown, cases)
