/*
 * Descriptors: kept away from stdio, sent and received. Method: forks of the case with low
 * numbers free; messages with as many descriptors as can be, and with one too many.
 */
#include "base/fd.h"
#include "base/linux.h"

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int all_above_stdio(void)
{
    int pair[2], fd;

    for (fd = 0; fd < 3; fd++)
        (void)close(fd);
    if (brood__fd_pipe(pair) != 0 || pair[0] < 3 || pair[1] < 3)
        return 1;
    if (brood__fd_socketpair(pair) != 0 || pair[0] < 3 || pair[1] < 3)
        return 2;
    fd = brood__memfd("fd-test");
    if (fd < 3)
        return 3;
    if ((fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0 || (fcntl(pair[1], F_GETFD) & FD_CLOEXEC) == 0)
        return 4;
    if (brood__pidfd_open(getpid()) < 3)
        return 5;
    fd = open("/dev/null", O_RDONLY);
    if (fd != 0 || brood__fd_above_stdio(fd) < 3)
        return 6;
    for (fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return 7;
    return 0;
}

static void nothing_lands_on_stdio(void **state)
{
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0)
        _exit(all_above_stdio());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void closing_twice_is_closing_once(void **state)
{
    int fd = brood__memfd("fd-test"), number = fd;

    (void)state;
    brood__fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(fcntl(number, F_GETFD), -1);
    brood__fd_close(&fd);
}

static void files_are_read(void **state)
{
    char text[8];
    ssize_t bytes = -1;
    int fd = open("file", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    (void)state;
    assert_int_equal(brood__read_file("missing", text, sizeof text, &bytes), -ENOENT);
    assert_int_equal(brood__read_file("file", text, sizeof text, &bytes), 0);
    assert_int_equal(bytes, 0);
    assert_string_equal(text, "");
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_int_equal(brood__read_file("file", text, sizeof text, &bytes), 0);
    assert_int_equal(bytes, 7); /* what does not fit is left out */
    assert_string_equal(text, "0123456");
    assert_int_equal(brood__read_file(".", text, sizeof text, &bytes), -EISDIR);
    assert_int_equal(close(fd), 0);
}

static void messages_carry_descriptors(void **state)
{
    int pair[2], fds[BROOD__FDS_MAX + 1], got[BROOD__FDS_MAX];
    char text[8];
    size_t count = 99;

    (void)state;
    assert_int_equal(brood__fd_socketpair(pair), 0);
    for (int i = 0; i <= BROOD__FDS_MAX; i++)
        fds[i] = pair[0];
    assert_int_equal(brood__send(pair[0], "abc", 3, fds, BROOD__FDS_MAX + 1, 0), -EINVAL);
    assert_int_equal(brood__send(pair[0], "abc", 3, fds, BROOD__FDS_MAX, 0), 0);
    assert_int_equal(brood__receive(pair[1], text, sizeof text, got, BROOD__FDS_MAX, &count, 0),
                     3);
    assert_int_equal(count, BROOD__FDS_MAX);
    for (size_t i = 0; i < count; i++) {
        assert_true((fcntl(got[i], F_GETFD) & FD_CLOEXEC) != 0);
        assert_int_equal(close(got[i]), 0);
    }
    /* More than there is room for are closed, not leaked: the harness counts. */
    assert_int_equal(brood__send(pair[0], "abc", 3, fds, 5, 0), 0);
    assert_true(brood__receive(pair[1], text, sizeof text, got, 2, &count, 0) < 0);
    assert_int_equal(count, 0);
    /* A message that is too long says so, and leaks nothing. */
    assert_int_equal(brood__send(pair[0], "0123456789", 10, fds, 2, 0), 0);
    assert_int_equal(brood__receive(pair[1], text, sizeof text, got, 2, &count, 0), -EMSGSIZE);
    assert_int_equal(count, 0);
    assert_int_equal(brood__receive(pair[1], text, sizeof text, got, 2, &count, MSG_DONTWAIT),
                     -EAGAIN);
    brood__fd_close(&pair[0]);
    assert_int_equal(brood__receive(pair[1], text, sizeof text, got, 2, &count, 0), 0);
    assert_int_equal(brood__send(pair[1], "x", 1, NULL, 0, 0), -EPIPE); /* and no SIGPIPE */
    brood__fd_close(&pair[1]);
}

static const struct test_case cases[] = {
    TEST_CASE(nothing_lands_on_stdio),
    TEST_CASE(closing_twice_is_closing_once),
    TEST_CASE(files_are_read),
    TEST_CASE(messages_carry_descriptors),
};
TEST_SUITE(fd_unit, cases)
