/*
 * P10: nothing left behind. Method: do the same many times, succeeding, failing, freed
 * early, and compare descriptors, memory maps and heap with those after the first time; the
 * harness looks at the descriptors once more, and the runner at processes and /dev/shm.
 */
#include "helpers.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

#define ROUND_COUNT 40

static size_t heap_in_use(void)
{
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

static size_t map_count(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    size_t lines = 0;
    int byte;

    assert_non_null(file);
    while ((byte = getc(file)) != EOF)
        lines += byte == '\n';
    (void)fclose(file);
    return lines;
}

/* Runs `round` until all is warm, and then again: nothing may have grown. */
static void assert_nothing_grows(void (*round)(void))
{
    size_t descriptors, heap, maps;

    for (int i = 0; i < 3; i++)
        round();
    descriptors = descriptor_count();
    maps = map_count();
    heap = heap_in_use();
    for (int i = 0; i < ROUND_COUNT; i++)
        round();
    /* Children whose handles are freed are reaped a moment after their end. */
    for (int64_t deadline = test_now() + 2000 * MS;
         descriptor_count() > descriptors && test_now() < deadline;)
        test_pause();
    assert_true(descriptor_count() <= descriptors);
    if (!SANITIZED)                           /* it maps as it likes */
        assert_true(map_count() <= maps + 3); /* malloc may have made an arena or two */
    assert_true(heap_in_use() < heap + 8192);
    assert_int_equal(brood_active_children(NULL, 0), 0);
}

static void succeed(void)
{
    static const char *const argv[] = { "true", NULL };

    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);

        options.working_directory = "/";
        assert_int_equal(end_of(start(return_zero, "argument", 9, &options)), 0);
    }
    assert_int_equal(end_of(start_command(argv, NULL)), 0);
}

static void successes_leave_nothing(void **state)
{
    (void)state;
    assert_nothing_grows(succeed);
}

static void succeed_as_daemons(void)
{
    static const char *const argv[] = { "true", NULL };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;

    options.daemon = BROOD_DAEMON_YES;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        options.start_method = start_methods[m];
        assert_int_equal(end_of(start(return_zero, "argument", 9, &options)), 0);
    }
    assert_int_equal(end_of(start_command(argv, &options)), 0);
}

static void daemons_leave_nothing(void **state)
{
    (void)state;
    assert_nothing_grows(succeed_as_daemons);
}

static void fail_to_start(void)
{
    static const char *const argv[] = { "/not/there", NULL };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int bad = 60000;

    for (int daemon = BROOD_DAEMON_YES; daemon <= BROOD_DAEMON_NO; daemon++) {
        for (size_t m = 0; m < START_METHOD_COUNT; m++) {
            options = options_of(start_methods[m]);
            options.daemon = daemon;
            options.cpus = &bad;
            options.cpu_count = 1;
            process = create(return_zero, NULL, 0, &options);
            assert_int_equal(brood_process_start(process), -EINVAL);
            brood_process_free(process);
        }
        options = (brood_process_options)BROOD_PROCESS_OPTIONS_INIT;
        options.daemon = daemon;
        assert_int_equal(brood_process_create_command(argv, &options, &process), 0);
        assert_int_equal(brood_process_start(process), -ENOENT);
        brood_process_free(process);
    }
    options.stdin_fd = 1000;
    assert_int_equal(brood_process_create_command(argv, &options, &process), -EBADF);
    brood_process_free(create(return_zero, NULL, 0, NULL)); /* never started */
}

static void failures_leave_nothing(void **state)
{
    (void)state;
    assert_nothing_grows(fail_to_start);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void use_every_wait(void)
{
    brood_process *process[20];
    size_t index;

    for (int i = 0; i < 20; i++)
        process[i] = start(i % 2 ? live_on : return_zero, NULL, 0, NULL);
    assert_true(brood_process_pidfd(process[0]) > 2);
    assert_true(brood_process_pidfd(process[1]) > 2);
    assert_int_equal(brood_process_wait_any(process, 20, BROOD_FOREVER, &index), 0);
    assert_int_equal(brood_process_wait_all(process, 20, 1), -ETIMEDOUT);
    assert_int_equal(brood_process_stop(process[1], 0, BROOD_SCOPE_TREE), 0);
    for (int i = 3; i < 20; i += 2)
        assert_int_equal(brood_process_kill(process[i]), 0);
    assert_int_equal(brood_process_wait_all(process, 20, BROOD_FOREVER), 0);
    assert_true(brood_process_pidfd(process[2]) > 2);
    for (int i = 0; i < 20; i++)
        brood_process_free(process[i]);
}

static void waits_leave_nothing(void **state)
{
    (void)state;
    assert_nothing_grows(use_every_wait);
}

static void free_while_it_runs(void)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    pid_t pids[START_METHOD_COUNT];
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    options.stdin_fd = ends[0];
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process *process;

        options.start_method = start_methods[m];
        process = start(await_end_of_stdin, NULL, 0, &options);
        pids[m] = brood_process_pid(process);
        brood_process_free(process);
    }
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(close(ends[1]), 0);
    for (size_t m = 0; m < START_METHOD_COUNT; m++)
        assert_true(gone_within(pids[m], 5000));
}

static void freed_handles_leave_nothing(void **state)
{
    (void)state;
    assert_nothing_grows(free_while_it_runs);
}

static void helpers_end_with_the_shutdown(void **state)
{
    brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;

    (void)state;
    assert_int_equal(brood_guardian_status(&info), -ESRCH);
    assert_int_equal(brood_guardian_start(NULL), 0);
    assert_int_equal(brood_guardian_status(&info), 0);
    assert_true(info.guardian_pid > 0 && info.forkserver_pid > 0);
    assert_true(info.guarantee[0] != '\0');
    assert_int_equal(brood_shutdown(BROOD_FOREVER), 0);
    assert_true(gone_within(info.guardian_pid, 1000));
    assert_true(gone_within(info.forkserver_pid, 1000));
    assert_int_equal(brood_guardian_status(&info), -ESRCH);
}

static const struct test_case cases[] = {
    TEST_CASE(successes_leave_nothing),     TEST_CASE(daemons_leave_nothing),
    TEST_CASE(failures_leave_nothing),      TEST_CASE(waits_leave_nothing),
    TEST_CASE(freed_handles_leave_nothing), TEST_CASE(helpers_end_with_the_shutdown),
};
TEST_SUITE(leaks, cases)
