#include "base/linux.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#ifndef __NR_close_range
#define __NR_close_range 436
#endif

int brood__pidfd_open(pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : brood__fd_above_stdio((int)fd);
}

int brood__pidfd_signal(int pidfd, int signal)
{
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

static int wait_for(int id_type, int id, int options, siginfo_t *info, struct rusage *usage)
{
    info->si_pid = 0;
    while (syscall(SYS_waitid, id_type, id, info, options, usage) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int brood__wait_pidfd(int pidfd, int options, siginfo_t *info, struct rusage *usage)
{
    return wait_for(P_PIDFD, pidfd, options, info, usage);
}

int brood__wait_pid(pid_t pid, int options, siginfo_t *info, struct rusage *usage)
{
    return wait_for(P_PID, pid, options, info, usage);
}

int brood__wait_any(int options, siginfo_t *info, struct rusage *usage)
{
    return wait_for(P_ALL, 0, options, info, usage);
}

bool brood__pidfd_alive(int pidfd)
{
    struct pollfd entry = { .fd = pidfd, .events = POLLIN };
    int r = -1;

    /* A signal is no answer, even to a poll that does not wait. */
    while (pidfd >= 0 && (r = poll(&entry, 1, 0)) < 0 && errno == EINTR)
        ;
    return r == 0;
}

pid_t brood__pidfd_pid(int pidfd)
{
    char path[64], text[512];
    const char *line;
    ssize_t n;
    int r;

    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    r = brood__read_file(path, text, sizeof text, &n);
    if (r < 0)
        return r;
    line = strstr(text, "\nPid:");
    if (line == NULL)
        return -ENODATA;
    return atoi(line + 5) > 0 ? (pid_t)atoi(line + 5) : -ESRCH; /* reaped: the kernel says -1 */
}

/* The part of struct pidfd_info that was there when exit reports came (Linux 6.15); older
 * headers lack it. */
struct pidfd_info_v2 {
    uint64_t mask;
    uint64_t cgroup_id;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_GET_INFO_V2 _IOWR(0xFF, 11, struct pidfd_info_v2)
#define PIDFD_INFO_EXIT_BIT (1ULL << 3)

_Static_assert(sizeof(struct pidfd_info_v2) == 64, "the kernel's first layout");

int brood__pidfd_lost_status(int pidfd, int *ret_status)
{
    struct pidfd_info_v2 info = { .mask = PIDFD_INFO_EXIT_BIT };

    if (ioctl(pidfd, PIDFD_GET_INFO_V2, &info) < 0 || !(info.mask & PIDFD_INFO_EXIT_BIT))
        return -ENODATA;
    *ret_status = info.exit_code;
    return 0;
}

int brood__close_range(unsigned first, unsigned last)
{
    return syscall(__NR_close_range, first, last, 0) < 0 ? -errno : 0;
}

int brood__memfd(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC);

    return fd < 0 ? -errno : brood__fd_above_stdio(fd);
}

void brood__futex_wait(_Atomic uint32_t *word, uint32_t seen, int64_t timeout_ns)
{
    struct timespec limit = { .tv_sec = (time_t)(timeout_ns / 1000000000),
                              .tv_nsec = (long)(timeout_ns % 1000000000) };

    (void)syscall(SYS_futex, word, FUTEX_WAIT, seen, &limit, NULL, 0);
}

void brood__futex_wake(_Atomic uint32_t *word, int count)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE, count, NULL, NULL, 0);
}

void brood__futex_wake_all(_Atomic uint32_t *word)
{
    brood__futex_wake(word, INT_MAX);
}

/* Fields 3 and 22 of /proc/PID/stat, which also answers for the id of a thread. */
static int read_stat(pid_t pid, char *ret_state, uint64_t *ret_ticks)
{
    char path[64], text[1024];
    const char *field;
    ssize_t n;
    int r;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    r = brood__read_file(path, text, sizeof text, &n);
    if (r < 0)
        return r;
    /* The name, field 2, may hold anything, so count from the last parenthesis. */
    field = strrchr(text, ')');
    if (field == NULL || field[1] != ' ')
        return -ENODATA;
    *ret_state = field[2];
    for (int i = 2; field != NULL && i < 22; i++)
        field = strchr(field + 1, ' ');
    if (field == NULL)
        return -ENODATA;
    *ret_ticks = strtoull(field + 1, NULL, 10);
    return 0;
}

int brood__start_time(pid_t pid, uint64_t *ret_ticks)
{
    char state;

    return read_stat(pid, &state, ret_ticks);
}

int brood__running_since(pid_t tid, uint64_t *ret_ticks)
{
    char state = '\0';
    int r = read_stat(tid, &state, ret_ticks);

    if (r == -ENOENT || r == -ESRCH || (r == 0 && (state == 'Z' || state == 'X')))
        return -ESRCH;
    return r;
}
