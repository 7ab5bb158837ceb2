/* The smaller parts of base: error texts, version, log, process id, the Linux calls. */
#include "base/linux.h"
#include "base/log.h"
#include "base/stamp.h"

#include "test.h"

#include <brood/base.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void errors_have_texts(void **state)
{
    static const int used[] = {
        EINVAL,  ENOMEM,    EAGAIN,          EMFILE,    ENFILE,  E2BIG,  EBADF,   EALREADY,
        ECHILD,  EBUSY,     ETIMEDOUT,       ESRCH,     ENOENT,  EACCES, ENOEXEC, ENOSYS,
        ENOTSUP, ESHUTDOWN, EPERM,           ENODATA,   ETXTBSY, EEXIST, ENOTDIR, ENAMETOOLONG,
        EDEADLK, EFBIG,     ENOTRECOVERABLE, EOVERFLOW, EPROTO,  ERANGE, EUSERS,  EXDEV,
        EPIPE,   EBADMSG,   EMSGSIZE,        ENOSPC,    E2BIG
    };

    (void)state;
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++) {
        assert_string_not_equal(brood_strerror(-used[i]), "unknown error");
        assert_ptr_equal(brood_strerror(-used[i]), brood_strerror(used[i]));
    }
    assert_string_equal(brood_strerror(0), "success");
    assert_string_equal(brood_strerror(-123456), "unknown error");
    assert_string_equal(brood_strerror(INT_MIN), "unknown error");
    assert_string_equal(brood_strerror(INT_MAX), "unknown error");
    assert_string_equal(brood_version(), BROOD_VERSION_STRING);
}

static char heard[600];
static int heard_level;

static void hear(int level, const char *message, void *user)
{
    assert_ptr_equal(user, heard);
    heard_level = level;
    (void)snprintf(heard, sizeof heard, "%s", message);
    assert_int_equal(brood_set_log(hear, heard, BROOD_LOG_INFO), 0); /* no lock is held */
}

static void the_log_hook_hears_its_levels(void **state)
{
    char longer[1000];

    (void)state;
    brood__log(BROOD_LOG_ERROR, "nobody %s", "listens");
    assert_int_equal(brood_set_log(hear, heard, BROOD_LOG_INFO), 0);
    brood__log(BROOD_LOG_DEBUG, "below");
    assert_string_equal(heard, "");
    brood__log(BROOD_LOG_INFO, "%d", 5);
    assert_string_equal(heard, "5");
    assert_int_equal(heard_level, BROOD_LOG_INFO);
    memset(longer, 'l', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    brood__log(BROOD_LOG_ERROR, "%s", longer); /* cut, not overrun */
    assert_in_range(strlen(heard), 100, 511);
    assert_int_equal(brood_set_log(NULL, NULL, 0), 0);
    brood__log(BROOD_LOG_ERROR, "gone");
    assert_string_not_equal(heard, "gone");
}

static void the_process_id_follows_forks(void **state)
{
    int status;
    pid_t pid;

    (void)state;
    assert_int_equal(brood__process_id(), getpid());
    pid = fork();
    if (pid == 0)
        _exit(brood__process_id() == getpid() ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void pidfds_tell_of_their_process(void **state)
{
    uint64_t started, again;
    struct rusage usage;
    siginfo_t info;
    int pidfd, status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        for (;;)
            (void)pause();
    pidfd = brood__pidfd_open(pid);
    assert_true(pidfd > 2);
    assert_true(brood__pidfd_alive(pidfd));
    assert_false(brood__pidfd_alive(-1));
    assert_int_equal(brood__pidfd_pid(pidfd), pid);
    assert_int_equal(brood__start_time(pid, &started), 0);
    assert_int_equal(brood__start_time(pid, &again), 0);
    assert_int_equal(started, again);
    assert_int_equal(brood__wait_pidfd(pidfd, WEXITED | WNOHANG, &info, &usage), 0);
    assert_int_equal(info.si_pid, 0);
    assert_int_equal(brood__pidfd_signal(pidfd, 0), 0);
    assert_int_equal(brood__pidfd_signal(pidfd, SIGKILL), 0);
    assert_int_equal(brood__wait_pidfd(pidfd, WEXITED | WNOWAIT, &info, &usage), 0);
    assert_false(brood__pidfd_alive(pidfd)); /* a zombie by now */
    assert_int_equal(brood__wait_pid(pid, WEXITED, &info, &usage), 0);
    assert_int_equal(info.si_status, SIGKILL);
    assert_int_equal(brood__wait_pidfd(pidfd, WEXITED, &info, &usage), -ECHILD);
    assert_int_equal(brood__pidfd_signal(pidfd, 0), -ESRCH);
    assert_int_equal(brood__pidfd_open(pid), -ESRCH);
    assert_true(brood__pidfd_pid(pidfd) < 0);
    assert_true(brood__start_time(pid, &started) < 0);
    if (brood__pidfd_lost_status(pidfd, &status) == 0) /* Linux 6.15 and later */
        assert_int_equal(WTERMSIG(status), SIGKILL);
    assert_int_equal(close(pidfd), 0);
}

static const struct test_case cases[] = {
    TEST_CASE(errors_have_texts),
    TEST_CASE(the_log_hook_hears_its_levels),
    TEST_CASE(the_process_id_follows_forks),
    TEST_CASE(pidfds_tell_of_their_process),
};
TEST_SUITE(base_unit, cases)
