/* Starting guardian and forkserver, and replacing them when they are found dead. */
#include "process/guard_state.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "base/log.h"
#include "base/stamp.h"
#include "process/current.h"
#include "process/reaper.h"
#include "process/registry.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELLO_NS (10 * (int64_t)1000000000) /* for guardian and forkserver to report */
#define HELLO_TRIES 4
#define AWAIT_NS (6 * (int64_t)1000000000) /* for a sweep */
#define LOST_MS 2000                       /* for children to die with their forkserver */

/* ---- messages that are no answers ---- */

/* Takes one message of the helpers that is not an answer: who they are. */
int brood__guard_take_hello(const struct brood__say *say, int pidfd)
{
    int *place = say->what == SAY_GUARDIAN     ? &brood__guard.guardian
                 : say->what == SAY_FORKSERVER ? &brood__guard.forkserver
                                               : NULL;

    if (place == NULL || pidfd < 0) {
        brood__fd_close(&pidfd);
        return say->what == SAY_FAILED && say->error < 0 ? say->error : 0;
    }
    if (place == &brood__guard.forkserver && *place >= 0)
        brood__guard.restarts++;
    brood__fd_close(place);
    *place = brood__fd_above_stdio(pidfd);
    return *place < 0 ? *place : 0;
}

/* One message from the helpers, with at most one descriptor; -EAGAIN if none came in time,
 * -ECONNRESET when both are gone. */
int brood__guard_receive(struct brood__say *ret_say, int *ret_pidfd, int64_t deadline)
{
    struct pollfd entry = { .fd = brood__guard.socket, .events = POLLIN };
    size_t count;
    ssize_t n;
    int r = brood__poll(&entry, 1, deadline);

    if (r <= 0)
        return r < 0 ? r : -EAGAIN;
    *ret_pidfd = -1;
    n = brood__receive(brood__guard.socket, ret_say, sizeof *ret_say, ret_pidfd, 1, &count,
                       MSG_DONTWAIT);
    if (n == -EAGAIN || n == -EMFILE)
        return (int)n;
    return n == (ssize_t)sizeof *ret_say ? 0 : -ECONNRESET;
}

/* ---- starting ---- */

/* Threads of the program's own, beside the caller. */
static bool has_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    if (tasks == NULL)
        return true; /* who knows */
    while (readdir(tasks) != NULL)
        count++;
    (void)closedir(tasks);
    count -= 2; /* . and .. */
    return brood__reaper_is_me() || atomic_load(&brood__guard.in_log) ||
           count > (brood__reaper_runs() ? 2 : 1);
}

static int make_mark(void)
{
    int r = brood__mark_create(&brood__guard.mark);

    if (r == 0)
        r = brood__mark_program(&brood__guard.mark);
    if (r < 0)
        brood__fd_close(&brood__guard.mark.fd);
    return r;
}

/* What is made once and survives replacements. */
static int make_lasting_parts(int tier)
{
    int r;

    if (brood__guard.table == NULL) {
        void *table = mmap(NULL, sizeof *brood__guard.table, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (table == MAP_FAILED)
            return -ENOMEM;
        brood__guard.table = table;
    }
    if (brood__guard.free_slots == NULL) {
        brood__guard.free_slots = calloc(GUARD_SLOT_COUNT, sizeof *brood__guard.free_slots);
        if (brood__guard.free_slots == NULL)
            return -ENOMEM;
    }
    if (brood__guard.message == NULL) {
        brood__guard.message = malloc(sizeof(struct brood__say) + BROOD__INLINE_BYTES_MAX);
        if (brood__guard.message == NULL)
            return -ENOMEM;
    }
    r = brood__start_time(brood__process_id(), &brood__guard.start_time);
    if (r == 0 && brood__guard.mark.fd < 0)
        r = make_mark();
    if (r < 0)
        return r == -ENOENT ? -ENOTSUP : r; /* there is no /proc */
    if (tier == BROOD_TIER_B && brood__guard.cgroup.children < 0)
        return brood__cgroup_create(&brood__guard.cgroup, brood__guard.start_time,
                                    brood__guard.mark.id);
    return 0;
}

/* Makes a process that is nobody's child here: forked twice, the one between reaped. */
static int fork_twice(void)
{
    struct rusage usage;
    siginfo_t info;
    pid_t pid = brood__fork(true);

    if (pid == 0) {
        pid = brood__fork(true);
        if (pid != 0)
            _exit(pid < 0 ? -pid : 0);
        return 0;
    }
    if (pid < 0)
        return pid;
    /* -ECHILD: another wait() was faster. Then a failure shows as a missing hello. */
    if (brood__wait_pid(pid, WEXITED, &info, &usage) == 0 && info.si_code == CLD_EXITED &&
        info.si_status != 0)
        return -info.si_status;
    return pid;
}

/* Forks the guardian so that no wait() of the program's meets it: as a hidden child, which
 * we reap, or in a program with threads, where that is not safe, as init's. */
static int fork_guardian(void)
{
    sigset_t all, before;
    pid_t pid;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = brood__guard.threaded ? fork_twice() : brood__fork_hidden();
    if (pid != 0)
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

static int await_hellos(void)
{
    const int64_t deadline = brood__now() + HELLO_NS;
    bool guardian = false, forkserver = false;

    while (!guardian || !forkserver) {
        struct brood__say say;
        int pidfd, r = brood__guard_receive(&say, &pidfd, deadline);

        if (r == 0)
            r = brood__guard_take_hello(&say, pidfd);
        if (r < 0)
            return r;
        guardian |= say.what == SAY_GUARDIAN;
        forkserver |= say.what == SAY_FORKSERVER;
    }
    atomic_store(&brood__guard.table->accepted, brood__guard.incarnation);
    return 0;
}

/* Waits for a helper that has no reason to live any more; kills it when that takes long. */
static void await_helper(int pidfd)
{
    struct rusage usage;
    siginfo_t info;
    struct pollfd entry = { .fd = pidfd, .events = POLLIN };

    if (pidfd < 0)
        return;
    if (brood__poll(&entry, 1, brood__now() + AWAIT_NS) == 0) {
        (void)brood__pidfd_signal(pidfd, SIGKILL);
        (void)brood__poll(&entry, 1, brood__now() + AWAIT_NS);
    }
    /* A hidden child; or an orphan, where this program is init or a subreaper. Else
     * -ECHILD. */
    (void)brood__wait_pidfd(pidfd, WEXITED | WNOHANG | __WALL, &info, &usage);
}

void brood__guard_close_ends(void)
{
    brood__registry_lock();
    brood__reaper_watch_guardian(-1);
    brood__registry_unlock();
    if (brood__guard.socket >= 0)
        (void)shutdown(brood__guard.socket, SHUT_RDWR); /* which is what ends the guardian */
    await_helper(brood__guard.guardian);
    await_helper(brood__guard.forkserver);
    brood__fd_close(&brood__guard.socket);
    brood__fd_close(&brood__guard.guardian);
    brood__fd_close(&brood__guard.forkserver);
    brood__guard.running = false;
}

/* A hidden guardian is ours to reap, even if it never says hello. One that cannot be watched
 * is given up: it ends when its socket does. */
static int watch_hidden(pid_t pid)
{
    struct rusage usage;
    siginfo_t info;
    int pidfd = brood__pidfd_open(pid);

    if (pidfd < 0) {
        brood__fd_close(&brood__guard.socket);
        (void)brood__wait_pid(pid, WEXITED | __WALL, &info, &usage);
        return pidfd;
    }
    brood__guard.guardian = pidfd;
    return 0;
}

static int fork_helpers(int tier)
{
    struct brood__kit kit = { .table = brood__guard.table,
                              .mark = brood__guard.mark,
                              .cgroup = brood__guard.cgroup,
                              .start_time = brood__guard.start_time,
                              .incarnation = ++brood__guard.incarnation,
                              .guardian = -1,
                              .forkserver = -1,
                              .tier = tier };
    int pair[2], r = brood__fd_socketpair(pair);

    if (r < 0)
        return r;
    kit.socket = pair[1];
    kit.program = brood__pidfd_open(brood__process_id());
    r = kit.program;
    if (r >= 0) {
        brood__flush_stdio();
        (void)madvise(brood__guard.table, sizeof *brood__guard.table, MADV_DOFORK);
        r = fork_guardian();
        if (r == 0)
            brood__guardian_main(&kit);
        /* Children have no business with the table. */
        (void)madvise(brood__guard.table, sizeof *brood__guard.table, MADV_DONTFORK);
    }
    brood__fd_close(&kit.program);
    (void)close(pair[1]);
    brood__guard.socket = pair[0];
    if (r > 0 && !brood__guard.threaded)
        r = watch_hidden(r);
    if (r >= 0)
        r = await_hellos();
    return r < 0 ? r : 0;
}

int brood__guard_start_locked(int tier)
{
    int r;

    if (brood__guard.running)
        return 0;
    if (brood__registry_is_shut_down())
        return -ESHUTDOWN;
    brood__registry_init();
    brood__guard.threaded = has_threads();
    if (brood__guard.incarnation == 0)
        brood__guard.late = brood__guard.threaded;
    r = make_lasting_parts(tier);
    for (int i = 0; r == 0 && i < HELLO_TRIES; i++) { /* somebody may kill them at birth */
        r = fork_helpers(tier);
        if (r != -ECONNRESET)
            break;
        brood__guard_close_ends();
        r = i + 1 < HELLO_TRIES ? 0 : -EAGAIN;
    }
    if (r == 0)
        r = brood__reaper_start();
    if (r < 0) {
        brood__guard_close_ends();
        return tier == BROOD_TIER_C && (r == -EPERM || r == -ENOSPC) ? -ENOTSUP : r;
    }
    brood__guard_close_old_ends(); /* before its late reports can meet new children */
    brood__guard.wanted_tier = tier;
    brood__guard.tier = tier == BROOD_TIER_DEFAULT ? BROOD_TIER_A : tier;
    brood__guard.running = true;
    brood__registry_lock();
    brood__reaper_watch_guardian(brood__guard.guardian);
    brood__registry_unlock();
    return 0;
}

/* ---- replacing ---- */

/*
 * Guardian and forkserver are dead, so their children are dead or dying, and nobody will
 * enter their ends: those not entered yet are ended here, as unknown or as the kernel still
 * knows. Returns how many have not died yet.
 */
static int end_lost(bool kill_them)
{
    brood_process *process, *older;
    int left = 0;

    brood__registry_lock();
    for (process = brood__registry_newest(); process != NULL; process = older) {
        older = process->older;
        if (process->slot < 0 || brood__guard_reap(process))
            continue;
        if (brood__pidfd_alive(process->pidfd)) {
            left++;
            if (kill_them)
                (void)brood__pidfd_signal(process->pidfd, SIGKILL);
            continue;
        }
        brood__guard_slot_leave((uint32_t)process->slot);
        brood__child_ended(process, NULL, NULL);
    }
    brood__registry_unlock();
    return left;
}

void brood__guard_end_all_lost(void)
{
    for (int ms = 0; ms < LOST_MS && end_lost(ms > LOST_MS / 20) > 0; ms++)
        (void)poll(NULL, 0, 1);
}

/* The guardian is dead. Its forkserver, if it lives, guards the program alone. */
static void set_old_aside(void)
{
    struct rusage usage;
    siginfo_t info;

    brood__registry_lock();
    brood__reaper_watch_guardian(-1);
    brood__registry_unlock();
    (void)brood__wait_pidfd(brood__guard.guardian, WEXITED | WNOHANG | __WALL, &info, &usage);
    brood__fd_close(&brood__guard.guardian);
    brood__guard_close_old_ends(); /* from the time before, which cannot be */
    brood__guard.old_socket = brood__guard.socket;
    brood__guard.old_forkserver = brood__guard.forkserver;
    brood__guard.socket = brood__guard.forkserver = -1;
    brood__guard.running = false;
    brood__guard.restarts++;
}

void brood__guard_close_old_ends(void)
{
    const struct brood__say say = { .what = SAY_RELEASE };

    if (brood__guard.old_socket < 0)
        return;
    (void)brood__send(brood__guard.old_socket, &say, sizeof say, NULL, 0, MSG_DONTWAIT);
    await_helper(brood__guard.old_forkserver);
    brood__fd_close(&brood__guard.old_socket);
    brood__fd_close(&brood__guard.old_forkserver);
    brood__guard_end_all_lost();
}

int brood__guard_replace_locked(void)
{
    int r;

    if (brood__guard.running)
        set_old_aside();
    r = brood__guard_start_locked(brood__guard.wanted_tier);
    if (r < 0 && !brood__pidfd_alive(brood__guard.old_forkserver))
        brood__guard_end_all_lost();
    return r;
}

/* During the end of the program nothing is replaced, but children must not be waited for
 * whose end nobody is left to report. */
static int settle_at_end(void)
{
    if (!brood__guard.running || brood__pidfd_alive(brood__guard.guardian))
        return 0;
    if (brood__pidfd_alive(brood__guard.forkserver))
        return -EAGAIN; /* it is ending them */
    brood__guard_end_all_lost();
    return 0;
}

int brood__guard_replace(void)
{
    bool at_end, needed;
    int r = 0;

    (void)pthread_mutex_lock(&brood__guard.lock);
    at_end = brood__registry_is_shut_down();
    needed = !brood__guard.running || !brood__pidfd_alive(brood__guard.guardian);
    if (at_end)
        r = settle_at_end();
    else if (needed)
        r = brood__guard_replace_locked();
    atomic_store(&brood__guard.in_log, true);
    (void)pthread_mutex_unlock(&brood__guard.lock);
    if (!at_end && r < 0)
        brood__log(BROOD_LOG_ERROR, "the guardian died and cannot be replaced yet: %s",
                   brood_strerror(r));
    else if (!at_end && needed)
        brood__log(BROOD_LOG_WARNING, "the guardian died and was replaced");
    atomic_store(&brood__guard.in_log, false);
    return r;
}
