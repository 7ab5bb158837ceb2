#include "process/guard_state.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "base/log.h"
#include "base/options.h"
#include "process/registry.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUARD_NONE                                                                             \
    {                                                                                          \
        .lock = PTHREAD_MUTEX_INITIALIZER, .socket = -1, .guardian = -1, .forkserver = -1,     \
        .old_socket = -1, .old_forkserver = -1, .mark = { .fd = -1 },                          \
        .cgroup = { .children = -1, .forkserver = -1 },                                        \
    }

struct guard brood__guard = GUARD_NONE;

/* What a child does not use, nor free; see registry.c. */
static struct guard inherited __attribute__((used));

/* ---- bonds ---- */

static int ensure(void)
{
    bool was_running, late;
    int r;

    (void)pthread_mutex_lock(&brood__guard.lock);
    was_running = brood__guard.running;
    r = brood__guard_start_locked(brood__guard.wanted_tier);
    late = brood__guard.late;
    (void)pthread_mutex_unlock(&brood__guard.lock);
    if (r == 0 && !was_running && late)
        brood__log(BROOD_LOG_WARNING, "the guardian was started late, with threads running");
    return r;
}

int brood__guard_bond(struct brood__bond *ret_bond)
{
    int r = ensure();

    if (r < 0)
        return r;
    /* These stay until the last start has ended: see brood__registry_shut_down(). */
    ret_bond->mark = brood__guard.mark;
    ret_bond->index = atomic_fetch_add(&brood__guard.marks, 1) + 1;
    ret_bond->cgroup = brood__guard.cgroup.children;
    return 0;
}

const char *brood__guard_mark_id(void)
{
    return brood__guard.mark.fd >= 0 ? brood__guard.mark.id : "";
}

uint64_t brood__guard_start_time(void)
{
    return brood__guard.start_time;
}

_Atomic int32_t *brood__guard_launching_take(void)
{
    for (unsigned i = 0;; i = (i + 1) % GUARD_LAUNCH_COUNT) {
        int32_t expected = 0;

        if (atomic_compare_exchange_strong(&brood__guard.table->launching[i], &expected, -1))
            return &brood__guard.table->launching[i];
        if (i == GUARD_LAUNCH_COUNT - 1)
            (void)sched_yield();
    }
}

/* ---- the end ---- */

void brood__guard_finish(void)
{
    (void)pthread_mutex_lock(&brood__guard.lock);
    if (brood__guard.running) {
        brood__guard_close_ends();
        brood__guard_end_all_lost();
    }
    brood__guard_close_old_ends();
    brood__cgroup_remove(&brood__guard.cgroup);
    brood__cgroup_close(&brood__guard.cgroup);
    brood__fd_close(&brood__guard.mark.fd);
    (void)pthread_mutex_unlock(&brood__guard.lock);
}

bool brood__guard_was_used(void)
{
    return brood__guard.incarnation != 0;
}

void brood__guard_after_fork(bool closing_all)
{
    static const struct guard none = GUARD_NONE;

    if (!brood__guard_was_used())
        return; /* never used: leave its page shared with the parent */
    if (!closing_all) {
        brood__fd_close(&brood__guard.socket);
        brood__fd_close(&brood__guard.guardian);
        brood__fd_close(&brood__guard.forkserver);
        brood__fd_close(&brood__guard.old_socket);
        brood__fd_close(&brood__guard.old_forkserver);
        brood__fd_close(&brood__guard.mark.fd);
        brood__cgroup_close(&brood__guard.cgroup);
    }
    inherited = brood__guard; /* its memory is not freed, but pointed at still */
    brood__guard = none;
}

/* ---- the public calls ---- */

static const char *const guarantees[] = {
    [BROOD_TIER_A] = "Children of the forkserver, and their descendants, end with the program; "
                     "so do daemon children and marked descendants of these.",
    [BROOD_TIER_B] = "Daemon children, children of the forkserver, and all descendants of "
                     "these end with the program: a cgroup holds them.",
    [BROOD_TIER_C] = "Children of the forkserver, and all their descendants, end with the "
                     "forkserver, which ends with the program: a PID namespace holds them.",
};

int brood_guardian_start(const brood_guardian_options *options)
{
    brood_guardian_options o;
    bool was_running, late;
    int r = brood__options_read(&o, sizeof o, sizeof o, options);

    if (r < 0)
        return r;
    if (o.tier < BROOD_TIER_DEFAULT || o.tier > BROOD_TIER_C || o.reserved != 0)
        return -EINVAL;
    if (brood__registry_is_shut_down())
        return -ESHUTDOWN;
    (void)pthread_mutex_lock(&brood__guard.lock);
    was_running = brood__guard.running;
    if (!brood__guard.running)
        r = brood__guard_start_locked(o.tier);
    else if (o.tier != BROOD_TIER_DEFAULT && o.tier != brood__guard.tier)
        r = -EALREADY;
    late = brood__guard.late;
    (void)pthread_mutex_unlock(&brood__guard.lock);
    if (r == 0 && !was_running && late)
        brood__log(BROOD_LOG_WARNING, "the guardian was started late, with threads running");
    return r;
}

/* Never negative: somebody will give it to kill(). */
static int32_t pid_or_0(int pidfd)
{
    pid_t pid = brood__pidfd_pid(pidfd);

    return pid > 0 ? pid : 0;
}

int brood_guardian_status(brood_guardian_info *ret_info)
{
    brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;
    struct brood__say say;
    int pidfd;

    if (ret_info == NULL || ret_info->size < sizeof info)
        return -EINVAL;
    (void)pthread_mutex_lock(&brood__guard.lock);
    if (!brood__guard.running) {
        (void)pthread_mutex_unlock(&brood__guard.lock);
        return -ESRCH;
    }
    while (brood__guard_receive(&say, &pidfd, 0) == 0)
        (void)brood__guard_take_hello(&say, pidfd);
    info.tier = brood__guard.tier;
    info.guardian_pid = pid_or_0(brood__guard.guardian);
    info.forkserver_pid = pid_or_0(brood__guard.forkserver);
    info.restart_count = brood__guard.restarts;
    info.started_late = brood__guard.late;
    (void)snprintf(info.guarantee, sizeof info.guarantee, "%s", guarantees[brood__guard.tier]);
    (void)pthread_mutex_unlock(&brood__guard.lock);
    return brood__result_write(ret_info, sizeof info, &info, sizeof info);
}
