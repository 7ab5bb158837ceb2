/*
 * The guardian: parent of the forkserver, adoptive parent of all that the forkserver leaves
 * behind.
 *
 *     event               then
 *     forkserver died     end its children, enter their ends, move the epoch, fork another
 *     program died, or    sweep its own daemon children, wait for the forkserver to end
 *       shut its socket     the others, exit
 *     child ended         reap it
 *
 * Killed itself: the forkserver sees it and ends what it started; see forkserver.c.
 */
#include "process/guardian.h"

#include <brood/guardian.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "process/registry.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define RETRY_MS 50                             /* when a new forkserver cannot be forked */
#define FORKSERVER_NS (2 * (int64_t)1000000000) /* for it to end its children */
#define KILL_NS ((int64_t)1000000000)           /* for a cgroup to become empty */

/* ---- starting the forkserver ---- */

static int write_proc(pid_t pid, const char *file, const char *text)
{
    char path[64];
    int fd, r;

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    (void)close(fd);
    return r;
}

/* In a user namespace nobody has a name until one is given: everyone keeps his own. */
static int map_users(pid_t pid)
{
    char text[64];
    int r;

    (void)snprintf(text, sizeof text, "%u %u 1", geteuid(), geteuid());
    r = write_proc(pid, "uid_map", text);
    if (r == 0)
        r = write_proc(pid, "setgroups", "deny");
    (void)snprintf(text, sizeof text, "%u %u 1", getegid(), getegid());
    if (r == 0)
        r = write_proc(pid, "gid_map", text);
    return r;
}

/*
 * Tier C: the forkserver is init of a new PID namespace, in a user namespace where that
 * needs one. A bare clone() leaves libc's idea of the thread id stale, which matters for
 * robust mutexes: the forkserver uses none, and its children are made by fork().
 */
static pid_t clone_init(struct brood__kit *kit)
{
    int gate[2], r = brood__fd_pipe(gate);
    long pid;
    bool user = false;
    char byte = 0;

    if (r < 0)
        return r;
    pid = syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid < 0 && errno == EPERM) {
        user = true;
        pid =
            syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
    }
    if (pid == 0) {
        (void)close(gate[1]);
        if (read(gate[0], &byte, 1) != 1) /* until the users are mapped */
            _exit(1);
        kit->forkserver = -1;
        brood__forkserver_main(kit);
    }
    r = pid < 0 ? -errno : 0;
    (void)close(gate[0]);
    if (r == 0 && user)
        r = map_users((pid_t)pid);
    if (r == 0 && write(gate[1], &byte, 1) != 1)
        r = -errno;
    (void)close(gate[1]);
    if (r < 0 && pid > 0)
        (void)kill((pid_t)pid, SIGKILL);
    return r < 0 ? r : (pid_t)pid;
}

static pid_t fork_plain(struct brood__kit *kit)
{
    pid_t pid = brood__fork(true);

    if (pid == 0) {
        kit->forkserver = -1;
        brood__forkserver_main(kit);
    }
    return pid;
}

static int start_forkserver(struct brood__kit *kit)
{
    pid_t pid = kit->tier == BROOD_TIER_C ? clone_init(kit) : fork_plain(kit);
    int pidfd;

    if (pid < 0)
        return pid;
    pidfd = brood__pidfd_open(pid);
    if (pidfd < 0) {
        (void)kill(pid, SIGKILL);
        return pidfd;
    }
    kit->forkserver = pidfd;
    return 0;
}

/* There is no forkserver, and there cannot be one now: says so to whoever asks. */
static void refuse_requests(const struct brood__kit *kit, int error)
{
    char message[sizeof(struct brood__say) + BROOD__INLINE_BYTES_MAX];
    int fds[BROOD__FDS_MAX];
    size_t count;
    ssize_t n;

    while ((n = brood__receive(kit->socket, message, sizeof message, fds, BROOD__FDS_MAX,
                               &count, MSG_DONTWAIT)) > 0) {
        struct brood__say say;

        for (size_t i = 0; i < count; i++)
            (void)close(fds[i]);
        if (n < (ssize_t)sizeof say)
            continue;
        memcpy(&say, message, sizeof say);
        say.what = SAY_FAILED;
        say.error = error;
        (void)brood__send(kit->socket, &say, sizeof say, NULL, 0, MSG_DONTWAIT);
    }
}

/* ---- ends ---- */

/*
 * The program is gone. The forkserver sees that too, ends its children and sweeps as we do
 * here, at the same time, so that either of us may be killed meanwhile; so we wait for it
 * rather than kill it.
 */
static _Noreturn void finish(struct brood__kit *kit)
{
    struct pollfd entry = { .fd = kit->forkserver, .events = POLLIN };

    if (brood__helper_is_abandoned(kit)) {
        if (kit->forkserver >= 0)
            (void)brood__pidfd_signal(kit->forkserver, SIGKILL);
        brood__helper_end_children(kit, false);
        _exit(0);
    }
    brood__helper_sweep(kit);
    if (kit->forkserver >= 0 && brood__poll(&entry, 1, brood__now() + FORKSERVER_NS) == 0)
        (void)brood__pidfd_signal(kit->forkserver, SIGKILL);
    (void)brood__cgroup_kill(&kit->cgroup, BROOD__CGROUP_FORKSERVER, brood__now() + KILL_NS);
    brood__helper_end_children(kit, false);
    brood__cgroup_remove(&kit->cgroup);
    _exit(0);
}

static void clean_up_after_forkserver(struct brood__kit *kit)
{
    brood__fd_close(&kit->forkserver);
    (void)brood__cgroup_kill(&kit->cgroup, BROOD__CGROUP_FORKSERVER, brood__now() + KILL_NS);
    brood__helper_end_children(kit, true);
    (void)atomic_fetch_add(&kit->table->epoch, 1);
}

_Noreturn void brood__guardian_main(struct brood__kit *kit)
{
    bool first = true;
    int signals;

    brood__helper_enter(kit, "brood-guardian");
    kit->guardian = brood__pidfd_open(getpid());
    signals = brood__helper_signals();
    if (kit->guardian < 0 || signals < 0)
        _exit(1);
    brood__helper_say_hello(kit, SAY_GUARDIAN, kit->guardian, 0);

    for (;;) {
        struct pollfd entries[4];
        int r = 0;

        if (kit->forkserver < 0) {
            r = start_forkserver(kit);
            if (r < 0 && first) {
                brood__helper_say_hello(kit, SAY_FAILED, -1, r);
                _exit(1);
            }
            first = false;
            if (r < 0)
                refuse_requests(kit, r);
        }
        entries[0] = (struct pollfd){ .fd = kit->program, .events = POLLIN };
        entries[1] = (struct pollfd){ .fd = kit->forkserver, .events = POLLIN };
        entries[2] = (struct pollfd){ .fd = signals, .events = POLLIN };
        entries[3] = (struct pollfd){ .fd = kit->socket }; /* shut by exec as well */
        (void)poll(entries, 4, r < 0 ? RETRY_MS : -1);
        if (entries[0].revents != 0 || (entries[3].revents & POLLHUP) != 0)
            finish(kit);
        if (kit->forkserver >= 0 && entries[1].revents != 0)
            clean_up_after_forkserver(kit);
        else if (entries[2].revents != 0)
            brood__helper_take_signals(kit, signals);
    }
}
