/*
 * Cases that misbehave, each in one way, for runner_test.sh to see the runner find out, and
 * two that do nothing wrong. They are not run by themselves.
 */
#include "test.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void good(void **state)
{
    (void)state;
    assert_int_equal(2 + 2, 4);
}

/* Its orphan ends within the second that is granted. */
static void good_orphan_ends(void **state)
{
    (void)state;
    if (fork() == 0) {
        usleep(200000);
        _exit(0);
    }
}

static void good_skips(void **state)
{
    (void)state;
    test_skip("to see it counted");
}

static void bad_assertion(void **state)
{
    (void)state;
    assert_int_equal(2 + 2, 5);
}

/* The parent hears of an assertion that failed in its child. */
static void bad_assertion_in_child(void **state)
{
    int status = 0;
    pid_t child;

    (void)state;
    child = fork();
    if (child == 0)
        assert_true(child != 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void bad_child(void **state)
{
    (void)state;
    if (fork() == 0) {
        pause();
        _exit(0);
    }
}

/* Out of its session and its parent's sight, as a daemon is. */
static void bad_daemon(void **state)
{
    pid_t child;

    (void)state;
    child = fork();
    if (child == 0) {
        setsid();
        if (fork() == 0)
            pause();
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void bad_shm(void **state)
{
    const char *name = getenv("RUNNER_TEST_SHM");
    int fd;

    (void)state;
    assert_non_null(name);
    fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void bad_descriptor(void **state)
{
    (void)state;
    assert_true(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

static void bad_descriptor_closed(void **state)
{
    (void)state;
    assert_int_equal(close(0), 0);
}

static void bad_hang(void **state)
{
    (void)state;
    for (;;)
        pause();
}

static void bad_crash(void **state)
{
    (void)state;
    raise(SIGSEGV);
}

static void bad_exit(void **state)
{
    (void)state;
    exit(3);
}

static const struct test_case cases[] = {
    TEST_CASE(good),
    TEST_CASE(good_orphan_ends),
    TEST_CASE(good_skips),
    TEST_CASE(bad_assertion),
    TEST_CASE(bad_assertion_in_child),
    TEST_CASE(bad_child),
    TEST_CASE(bad_daemon),
    TEST_CASE(bad_shm),
    TEST_CASE(bad_descriptor),
    TEST_CASE(bad_descriptor_closed),
    TEST_CASE_LIMIT(bad_hang, 2),
    TEST_CASE(bad_crash),
    TEST_CASE(bad_exit),
};
TEST_SUITE(seeded, cases)
