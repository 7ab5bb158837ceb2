/* The program's end: brood_shutdown(), step by step as <brood/process.h> promises. */
#include "base/clock.h"
#include "base/linux.h"
#include "process/guard.h"
#include "process/reaper.h"
#include "process/registry.h"
#include "process/wait.h"

#include <errno.h>
#include <signal.h>

#define DAEMON_GRACE_NS ((int64_t)100000000)

/* Takes a reference to the newest RUNNING child that is, or is not, a daemon. */
static brood_process *take_newest(bool daemon)
{
    brood_process *process;

    brood__registry_lock();
    process = brood__registry_newest();
    while (process != NULL && (process->daemon != 0) != daemon)
        process = process->older;
    if (process != NULL)
        process->references++;
    brood__registry_unlock();
    return process;
}

static void leave(brood_process *process)
{
    brood__registry_lock();
    brood__child_release(process);
    brood__registry_unlock();
}

static void terminate_daemons(void)
{
    brood__registry_lock();
    for (brood_process *p = brood__registry_newest(); p != NULL; p = p->older)
        if (p->daemon && p->pidfd >= 0)
            (void)brood__pidfd_signal(p->pidfd, SIGTERM);
    brood__registry_unlock();
}

/* Joins all children of one kind; -ETIMEDOUT leaves the rest. */
static int join_all(bool daemons, int64_t deadline)
{
    brood_process *process;
    int r = 0;

    while (r == 0 && (process = take_newest(daemons)) != NULL) {
        r = brood__process_await(process, deadline, true);
        leave(process);
    }
    return r;
}

static void kill_daemons(void)
{
    brood__registry_lock();
    for (brood_process *p = brood__registry_newest(); p != NULL; p = p->older)
        if (p->daemon && p->pidfd >= 0)
            (void)brood__pidfd_signal(p->pidfd, SIGKILL);
    brood__registry_unlock();
}

/* After a timeout: these would end with their forkserver. */
static bool forkserver_children_left(void)
{
    const brood_process *process;

    brood__registry_lock();
    process = brood__registry_newest();
    while (process != NULL && process->slot < 0)
        process = process->older;
    brood__registry_unlock();
    return process != NULL;
}

int brood_shutdown(int64_t timeout)
{
    int64_t deadline, grace_over;
    int r = brood__deadline(timeout, &deadline);

    if (r < 0)
        return r;
    brood__registry_shut_down();
    terminate_daemons();
    grace_over = brood__now() + DAEMON_GRACE_NS;
    r = join_all(false, deadline);
    (void)join_all(true, grace_over);
    kill_daemons();
    (void)join_all(true, BROOD__NEVER);
    if (!forkserver_children_left())
        brood__guard_finish();
    if (r == 0)
        brood__reaper_stop();
    return r;
}
