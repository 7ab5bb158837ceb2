/*
 * Tier B's directories. Method: where a cgroup may be made, a family is put into one and
 * killed with it; elsewhere the answer is -ENOTSUP and nothing is made.
 */
#include "base/clock.h"
#include "base/linux.h"
#include "process/cgroup.h"

#include "test.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void what_is_born_in_it_is_killed_with_it(void **state)
{
    struct brood__cgroup cgroup;
    struct stat status;
    uint64_t start_time;
    int ends[2], result;
    char byte;
    pid_t pid;

    (void)state;
    assert_int_equal(brood__start_time(getpid(), &start_time), 0);
    if (brood__cgroup_create(&cgroup, start_time, "0123456789abcdef") < 0) {
        assert_null(cgroup.path);
        assert_true(cgroup.children == -1 && cgroup.forkserver == -1);
        test_skip("no cgroup may be made here");
    }
    assert_true(cgroup.children > 2 && cgroup.forkserver > 2);
    assert_int_equal(brood__cgroup_kill(&cgroup, BROOD__CGROUP_ALL, brood__now()), 0);
    assert_int_equal(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        if (brood__cgroup_join(cgroup.forkserver) != 0)
            _exit(1);
        if (fork() == 0)
            (void)setsid();
        (void)!write(ends[1], "", 1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(close(ends[1]), 0);
    assert_int_equal(
        brood__cgroup_kill(&cgroup, BROOD__CGROUP_FORKSERVER, brood__now() + 5000000000), 0);
    assert_int_equal(read(ends[0], &byte, 1), 0); /* both are dead */
    assert_int_equal(waitpid(pid, &result, 0), pid);
    assert_int_equal(WTERMSIG(result), SIGKILL);
    assert_int_equal(close(ends[0]), 0);
    brood__cgroup_remove(&cgroup);
    assert_non_null(cgroup.path);
    assert_int_equal(stat(cgroup.path, &status), -1);
    assert_int_equal(errno, ENOENT);
    brood__cgroup_close(&cgroup);
    assert_null(cgroup.path);
    assert_int_equal(brood__cgroup_kill(&cgroup, BROOD__CGROUP_ALL, brood__now()), 0);
    brood__cgroup_remove(&cgroup); /* there is none: does nothing */
}

static const struct test_case cases[] = {
    TEST_CASE(what_is_born_in_it_is_killed_with_it),
};
TEST_SUITE(cgroup_unit, cases)
