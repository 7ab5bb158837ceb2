/*
 * Who am I, who is my parent, does it live? Method: children answer on their stdout; for a
 * parent's death, a plain fork of the case is the parent, and its child reports through a
 * pipe that outlives it.
 */
#include "helpers.h"

static void the_program_is_main(void **state)
{
    brood_process_info info = BROOD_PROCESS_INFO_INIT;

    (void)state;
    assert_int_equal(brood_current_process(&info), 0);
    assert_string_equal(info.name, "main");
    assert_int_equal(info.pid, getpid());
    assert_int_equal(info.daemon, 0);
    assert_int_equal(info.start_method, 0);
    assert_int_equal(info.is_command, 0);
    assert_int_equal(brood_parent_process(&info), -ESRCH);
    assert_int_equal(brood_parent_is_alive(), -ESRCH);
    assert_int_equal(brood_parent_join(0), -ESRCH);
    info.size--;
    assert_int_equal(brood_current_process(&info), -EINVAL);
}

static int describe(void *argument, size_t argument_bytes)
{
    brood_process_info self = BROOD_PROCESS_INFO_INIT, parent = BROOD_PROCESS_INFO_INIT;

    (void)argument_bytes;
    if (brood_current_process(&self) != 0 || brood_parent_process(&parent) != 0)
        return 1;
    dprintf(1, "%s %d %d %d, %s %d %d %d, %d %d", self.name, self.pid == getpid(), self.daemon,
            self.start_method, parent.name, parent.pid == *(int *)argument, parent.daemon,
            parent.start_method, brood_parent_is_alive(), brood_parent_join(0) == -ETIMEDOUT);
    return 0;
}

static void a_child_knows_itself_and_its_parent(void **state)
{
    int pid = getpid();

    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        char wanted[128];

        options.name = "somebody";
        options.daemon = m == 1 ? BROOD_DAEMON_YES : BROOD_DAEMON_NO;
        (void)snprintf(wanted, sizeof wanted, "somebody 1 %d %d, main 1 0 0, 1 1", m == 1,
                       start_methods[m]);
        assert_string_equal(output_of(describe, &pid, sizeof pid, &options), wanted);
    }
}

static int describe_in_grandchild(void *argument, size_t argument_bytes)
{
    brood_process *process = NULL;
    int pid = getpid(), r;

    (void)argument, (void)argument_bytes;
    r = brood_process_create(describe, &pid, sizeof pid, NULL, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    brood_process_free(process);
    return r == 0 ? 0 : 1;
}

static void a_grandchilds_parent_is_the_child(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m++) {
        brood_process_options options = options_of(start_methods[m]);
        char wanted[128];

        (void)snprintf(wanted, sizeof wanted, "process-%zu:1 1 0 1, process-%zu 1 0 %d, 1 1",
                       m + 1, m + 1, start_methods[m]);
        assert_string_equal(output_of(describe_in_grandchild, NULL, 0, &options), wanted);
    }
}

/* ---- after a plain fork ---- */

static int fork_and_describe(void *argument, size_t argument_bytes)
{
    brood_process_info info = BROOD_PROCESS_INFO_INIT;
    pid_t pid = fork();
    int status;

    (void)argument, (void)argument_bytes;
    if (pid == 0) {
        if (brood_current_process(&info) != 0 || strcmp(info.name, "named") != 0)
            _exit(1);
        _exit(info.pid == getpid() ? 0 : 2);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 9;
}

/* It has the name of the process that forked, and a pid of its own. */
static void a_plain_fork_keeps_the_name(void **state)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process_info info = BROOD_PROCESS_INFO_INIT;
    pid_t pid;
    int status;

    (void)state;
    options.name = "named";
    assert_int_equal(end_of(start(fork_and_describe, NULL, 0, &options)), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(brood_current_process(&info) != 0 || strcmp(info.name, "main") != 0 ? 1
              : info.pid != getpid()                                              ? 2
                                                                                  : 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- a parent that dies ---- */

/* Waits for the parent's death, then looks twice; "1" before, "0 0 0" after. */
static int outlive_parent(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    dprintf(1, "%d", brood_parent_is_alive());
    dprintf(1, " %d", brood_parent_join(BROOD_FOREVER));
    dprintf(1, " %d %d", brood_parent_join(BROOD_NOWAIT), brood_parent_is_alive());
    return 0;
}

static void a_parent_that_dies_is_noticed(void **state)
{
    (void)state;
    for (size_t m = 0; m < START_METHOD_COUNT; m += 2) { /* forkserver children die with it */
        char text[64];
        int ends[2], status;
        pid_t parent;

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        (void)fflush(NULL);
        parent = fork();
        assert_true(parent >= 0);
        if (parent == 0) {
            brood_process_options options = options_of(start_methods[m]);
            brood_process *process = NULL;

            options.stdout_fd = ends[1];
            if (brood_process_create(outlive_parent, NULL, 0, &options, &process) != 0 ||
                brood_process_start(process) != 0)
                _exit(1);
            live_on(NULL, 0);
        }
        assert_int_equal(close(ends[1]), 0);
        assert_int_equal(read(ends[0], text, 1), 1);
        assert_int_equal(text[0], '1');
        assert_int_equal(kill(parent, SIGKILL), 0);
        assert_int_equal(waitpid(parent, &status, 0), parent);
        (void)read_all(ends[0], text, sizeof text);
        assert_string_equal(text, " 0 0 0");
        assert_int_equal(close(ends[0]), 0);
    }
}

static const struct test_case cases[] = {
    TEST_CASE(the_program_is_main),
    TEST_CASE(a_child_knows_itself_and_its_parent),
    TEST_CASE(a_grandchilds_parent_is_the_child),
    TEST_CASE(a_plain_fork_keeps_the_name),
    TEST_CASE(a_parent_that_dies_is_noticed),
};
TEST_SUITE(current, cases)
