/*
 * P6: what the library says of a child is true at the moment it says it. Method: bring a
 * child into each state that could mislead (killed, zombie, stopped, led by a dead thread)
 * and ask without any pause; end it in every possible way and compare the report.
 */
#include "helpers.h"

#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>

static void dead_right_after_kill_and_join(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        for (int i = 0; i < 20; i++) {
            brood_process *process = start(live_on, NULL, 0, &options);
            int code = 0;

            assert_int_equal(brood_process_is_alive(process), 1);
            assert_int_equal(brood_process_exit_code(process, &code), -EBUSY);
            assert_int_equal(brood_process_try_join(process), -EBUSY);
            assert_int_equal(brood_process_kill(process), 0);
            assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
            assert_int_equal(brood_process_is_alive(process), 0);
            assert_int_equal(brood_process_exit_code(process, &code), 0);
            assert_int_equal(code, -SIGKILL);
            assert_int_equal(brood_active_children(NULL, 0), 0);
            brood_process_free(process);
        }
    }
}

/* The kernel's word, by the pidfd, and ours must agree without anyone having joined. */
static void dead_as_soon_as_the_kernel_says_so(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = start(live_on, NULL, 0, &options);
        struct pollfd entry = { .fd = brood_process_pidfd(process), .events = POLLIN };
        int code = 0;

        assert_true(entry.fd > 2);
        assert_int_equal(poll(&entry, 1, 0), 0);
        assert_int_equal(brood_process_kill(process), 0);
        assert_int_equal(poll(&entry, 1, -1), 1);
        assert_int_equal(brood_process_is_alive(process), 0);
        assert_int_equal(brood_active_children(NULL, 0), 0);
        assert_int_equal(brood_process_exit_code(process, &code), 0);
        assert_int_equal(code, -SIGKILL);
        brood_process_free(process);
    }
}

static void a_zombie_is_not_alive(void **state)
{
    brood_process *process = start(live_on, NULL, 0, NULL);
    int pid = brood_process_pid(process), code = 0;
    bool seen = false;

    (void)state;
    /* Asking for the pidfd keeps the reaper away for a while: long enough for a look. */
    assert_true(brood_process_pidfd(process) > 2);
    assert_int_equal(brood_process_kill(process), 0);
    while (!seen) {
        char now = process_state(pid);

        if (now == 'Z')
            assert_int_equal(brood_process_is_alive(process), 0);
        seen = now == 'Z' || now == 0;
    }
    assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
    assert_int_equal(brood_process_exit_code(process, &code), 0);
    assert_int_equal(code, -SIGKILL);
    assert_int_equal(process_state(pid), 0);
    brood_process_free(process);
}

static void a_stopped_child_is_alive(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = start(live_on, NULL, 0, &options);
        brood_exit end = BROOD_EXIT_INIT;

        assert_int_equal(brood_process_signal(process, SIGSTOP, BROOD_SCOPE_PROCESS), 0);
        while (process_state(brood_process_pid(process)) != 'T')
            test_pause();
        assert_int_equal(brood_process_is_alive(process), 1);
        assert_int_equal(brood_process_join(process, 10 * MS), -ETIMEDOUT);
        assert_int_equal(brood_process_exit(process, &end), -EBUSY);
        assert_int_equal(brood_process_signal(process, SIGCONT, BROOD_SCOPE_PROCESS), 0);
        while (process_state(brood_process_pid(process)) == 'T')
            test_pause();
        assert_int_equal(brood_process_is_alive(process), 1);
        kill_and_free(process);
    }
}

/* ---- a process without its first thread ---- */

static void *exit_at_end_of_file(void *argument)
{
    char byte;

    (void)!read(*(int *)argument, &byte, 1);
    exit(9);
}

static int leave_to_a_thread(void *argument, size_t argument_bytes)
{
    pthread_t thread;

    (void)argument_bytes;
    if (pthread_create(&thread, NULL, exit_at_end_of_file, argument) != 0)
        return 1;
    pthread_exit(NULL);
}

static void alive_while_any_thread_is(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process;
    int ends[2], code = 0;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.descriptors = &ends[0];
    options.descriptor_count = 1;
    process = start(leave_to_a_thread, &ends[0], sizeof ends[0], &options);
    while (process_state(brood_process_pid(process)) != 'Z') /* says /proc of the leader */
        test_pause();
    assert_int_equal(brood_process_is_alive(process), 1);
    assert_int_equal(brood_process_try_join(process), -EBUSY);
    assert_int_equal(brood_process_join(process, 20 * MS), -ETIMEDOUT);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
    assert_int_equal(brood_process_exit_code(process, &code), 0);
    assert_int_equal(code, 9);
    assert_int_equal(close(ends[0]), 0);
    brood_process_free(process);
}

/* ---- how it ended ---- */

static int raise_signal(void *argument, size_t argument_bytes)
{
    int number = *(int *)argument;
    sigset_t none;

    (void)argument_bytes;
    (void)signal(number, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)raise(number);
    return 77; /* not a fatal one after all */
}

static void every_fatal_signal_is_told(void **state)
{
    const struct rlimit no_core = { 0, 0 };

    (void)state;
    assert_int_equal(setrlimit(RLIMIT_CORE, &no_core), 0);
    for (int number = 1; number <= SIGRTMAX; number++) {
        bool fatal = number != SIGCHLD && number != SIGCONT && number != SIGURG &&
                     number != SIGWINCH && number != SIGSTOP && number != SIGTSTP &&
                     number != SIGTTIN && number != SIGTTOU;
        brood_exit end = BROOD_EXIT_INIT;
        brood_process *process;
        int code = 0;

        if (!fatal || (number >= 32 && number < SIGRTMIN)) /* libc keeps those */
            continue;
        process = start(raise_signal, &number, sizeof number, NULL);
        assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
        assert_int_equal(brood_process_exit(process, &end), 0);
        assert_int_equal(end.kind, BROOD_EXIT_SIGNAL);
        assert_int_equal(end.signal, number);
        assert_int_equal(end.core_dumped, 0);
        assert_int_equal(brood_process_exit_code(process, &code), 0);
        assert_int_equal(code, -number);
        brood_process_free(process);
    }
}

static void forkserver_and_spawn_tell_signals_too(void **state)
{
    static const int numbers[] = { SIGHUP, SIGABRT, SIGKILL, SIGTERM };
    const struct rlimit no_core = { 0, 0 };

    (void)state;
    assert_int_equal(setrlimit(RLIMIT_CORE, &no_core), 0);
    for (size_t m = 1; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
            assert_int_equal(end_of(start(raise_signal, &numbers[i], sizeof(int), &options)),
                             -numbers[i]);
    }
}

static int burn(void *argument, size_t argument_bytes)
{
    struct timespec used = { 0, 0 };

    (void)argument, (void)argument_bytes;
    while (used.tv_sec == 0 && used.tv_nsec < 50000000)
        (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return 0;
}

static int touch_memory(void *argument, size_t argument_bytes)
{
    size_t bytes = (size_t)20 << 20;
    char *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)argument, (void)argument_bytes;
    if (memory == MAP_FAILED)
        return 1;
    for (size_t i = 0; i < bytes; i += 4096)
        ((volatile char *)memory)[i] = 1;
    return 0;
}

static void the_use_of_resources_is_told(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_exit end = BROOD_EXIT_INIT;
        int64_t before = test_now();
        brood_process *process = start(burn, NULL, 0, &options);

        assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
        assert_int_equal(brood_process_exit(process, &end), 0);
        assert_int_equal(end.size, sizeof end);
        assert_in_range(end.user_ns + end.system_ns, 40 * MS, 5000 * MS);
        assert_in_range(end.wall_ns, 40 * MS, test_now() - before);
        assert_true(end.max_rss_bytes > 100000);
        assert_true(end.minor_faults > 0);
        assert_true(end.major_faults >= 0);
        brood_process_free(process);

        process = start(touch_memory, NULL, 0, &options);
        assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
        assert_int_equal(brood_process_exit(process, &end), 0);
        assert_int_equal(end.code, 0);
        assert_true(end.max_rss_bytes >= (int64_t)20 << 20);
        brood_process_free(process);
    }
}

static void an_exit_report_respects_the_callers_size(void **state)
{
    struct {
        brood_exit end;
        unsigned char more[16];
    } larger = { BROOD_EXIT_INIT, { 0 } };
    brood_exit smaller = BROOD_EXIT_INIT;
    int wanted = 3;
    brood_process *process = start(return_int, &wanted, sizeof wanted, NULL);

    (void)state;
    assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
    larger.end.size = sizeof larger;
    assert_int_equal(brood_process_exit(process, &larger.end), 0);
    assert_int_equal(larger.end.size, sizeof larger);
    assert_int_equal(larger.end.code, 3);
    smaller.size = sizeof smaller - 1;
    assert_int_equal(brood_process_exit(process, &smaller), -EINVAL);
    smaller.size = 0;
    assert_int_equal(brood_process_exit(process, &smaller), -EINVAL);
    brood_process_free(process);
}

/* ---- active children ---- */

static void active_children_are_those_that_live(void **state)
{
    brood_process *process[4];
    brood_process_info infos[4] = { BROOD_PROCESS_INFO_INIT };

    (void)state;
    for (int i = 0; i < 4; i++)
        process[i] = start(live_on, NULL, 0, NULL);
    assert_int_equal(brood_active_children(NULL, 0), 4);
    assert_int_equal(brood_active_children(infos, 2), 4);
    assert_string_equal(infos[0].name, "process-1");
    assert_string_equal(infos[1].name, "process-2");
    assert_int_equal(infos[2].pid, 0);
    assert_int_equal(infos[1].pid, brood_process_pid(process[1]));
    assert_int_equal(infos[1].start_method, BROOD_START_FORK);
    assert_int_equal(infos[1].is_command, 0);
    assert_int_equal(infos[1].daemon, 0);

    kill_and_free(process[1]);
    assert_int_equal(brood_active_children(infos, 4), 3);
    assert_string_equal(infos[1].name, "process-3");
    assert_string_equal(infos[2].name, "process-4");

    infos[0].size = sizeof infos[0] - 1;
    assert_int_equal(brood_active_children(infos, 4), -EINVAL);
    kill_and_free(process[0]);
    kill_and_free(process[2]);
    kill_and_free(process[3]);
    assert_int_equal(brood_active_children(NULL, 0), 0);
}

static void active_children_without_a_handle_count(void **state)
{
    brood_process_info info = BROOD_PROCESS_INFO_INIT;

    (void)state;
    brood_process_free(start(live_on, NULL, 0, NULL));
    assert_int_equal(brood_active_children(&info, 1), 1);
    assert_string_equal(info.name, "process-1");
    assert_int_equal(kill(info.pid, SIGKILL), 0);
    assert_true(gone_within(info.pid, 5000));
    assert_int_equal(brood_active_children(NULL, 0), 0);
}

/* ---- the pidfd ---- */

static void a_pidfd_wakes_epoll_at_the_end(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = start(live_on, NULL, 0, &options);
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = 5 };
        int fd = brood_process_pidfd(process), epoll = epoll_create1(EPOLL_CLOEXEC);

        assert_int_equal(brood_process_pidfd(process), fd);
        assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), 0);
        assert_int_equal(epoll_wait(epoll, &event, 1, 20), 0);
        assert_int_equal(brood_process_kill(process), 0);
        assert_int_equal(epoll_wait(epoll, &event, 1, -1), 1);
        assert_int_equal(event.data.u64, 5);
        assert_int_equal(brood_process_is_alive(process), 0);
        assert_int_equal(brood_process_join(process, BROOD_NOWAIT), 0);
        /* It stays readable, and stays the caller's, until the handle is freed. */
        assert_int_equal(epoll_wait(epoll, &event, 1, 0), 1);
        assert_int_equal(brood_process_pidfd(process), fd);
        assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
        brood_process_free(process);
        assert_int_equal(fcntl(fd, F_GETFD), -1);
        assert_int_equal(close(epoll), 0);
    }
}

static void a_pidfd_asked_for_afterwards_is_readable(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        brood_process *process = start(return_zero, NULL, 0, &options);
        struct pollfd entry = { .events = POLLIN };

        assert_int_equal(brood_process_join(process, BROOD_FOREVER), 0);
        entry.fd = brood_process_pidfd(process);
        assert_true(entry.fd > 2);
        assert_int_equal(poll(&entry, 1, 0), 1);
        assert_int_equal(brood_process_pidfd(process), entry.fd);
        brood_process_free(process);
    }
}

static void a_child_whose_pidfd_was_given_away_is_reaped(void **state)
{
    int wanted = 4, code = 0;
    brood_process *process = start(return_int, &wanted, sizeof wanted, NULL);
    int pid = brood_process_pid(process);
    struct pollfd entry = { .fd = brood_process_pidfd(process), .events = POLLIN };

    (void)state;
    assert_int_equal(poll(&entry, 1, -1), 1);
    assert_true(gone_within(pid, 500)); /* 50 ms are promised, on a machine that is free */
    assert_int_equal(brood_process_exit_code(process, &code), 0);
    assert_int_equal(code, 4);
    brood_process_free(process);
}

static const struct test_case cases[] = {
    TEST_CASE(dead_right_after_kill_and_join),
    TEST_CASE(dead_as_soon_as_the_kernel_says_so),
    TEST_CASE(a_zombie_is_not_alive),
    TEST_CASE(a_stopped_child_is_alive),
    TEST_CASE(alive_while_any_thread_is),
    TEST_CASE(every_fatal_signal_is_told),
    TEST_CASE(forkserver_and_spawn_tell_signals_too),
    TEST_CASE(the_use_of_resources_is_told),
    TEST_CASE(an_exit_report_respects_the_callers_size),
    TEST_CASE(active_children_are_those_that_live),
    TEST_CASE(active_children_without_a_handle_count),
    TEST_CASE(a_pidfd_wakes_epoll_at_the_end),
    TEST_CASE(a_pidfd_asked_for_afterwards_is_readable),
    TEST_CASE(a_child_whose_pidfd_was_given_away_is_reaped),
};
TEST_SUITE(exact, cases)
