/* Everything that waits for children: join, stop, any, all. */
#include "process/wait.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "base/options.h"
#include "process/guard.h"
#include "process/kin.h"
#include "process/reaper.h"
#include "process/registry.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/types.h>

#define KILL_NS (2 * (int64_t)1000000000) /* then what is left cannot be killed */

/* ---- one ---- */

/* Enters the joiners of a RUNNING process: the reaper leaves it to them. (L) */
static void joiner_enter(brood_process *process)
{
    if (process->joiners++ == 0)
        brood__reaper_forget(process);
}

/* The last to leave gives a process that still runs back to the reaper, and closes the
 * pidfd of one that has ended. (L) */
static void joiner_leave(brood_process *process)
{
    if (--process->joiners > 0)
        return;
    if (process->state == RUNNING)
        brood__reaper_watch(process);
    else if (!process->exported)
        brood__fd_close(&process->pidfd);
}

/* Polls outside the lock; one without a pidfd is dead. */
static int await_death(int pidfd, int64_t deadline)
{
    struct pollfd entry = { .fd = pidfd, .events = POLLIN };
    int r = pidfd < 0 ? 1 : brood__poll(&entry, 1, deadline);

    return r < 0 ? r : r == 0 ? -ETIMEDOUT : 0;
}

/* Reaps a dead one. Its end is there at once; or for a forkserver child within a moment, in
 * which the deadline does not count, for it was met; or not before a tracer lets it go. (L) */
static int reap_dead(brood_process *process, int64_t deadline)
{
    while (!brood__child_reap(process)) {
        int slot = process->slot;

        if (slot < 0 && brood__time_left(deadline) == 0)
            return -ETIMEDOUT;
        brood__registry_unlock();
        if (slot >= 0)
            brood__guard_await_report(slot);
        else
            (void)poll(NULL, 0, 1);
        brood__registry_lock();
    }
    return 0;
}

int brood__process_await(brood_process *process, int64_t deadline, bool reap)
{
    int r = 0;

    brood__registry_lock();
    if (process->state == RUNNING) {
        int pidfd = process->pidfd;

        joiner_enter(process);
        brood__registry_unlock();
        r = await_death(pidfd, deadline);
        brood__registry_lock();
        if (r == 0 && reap)
            r = reap_dead(process, deadline);
        joiner_leave(process);
    }
    brood__registry_unlock();
    return r;
}

bool brood__process_is_started(const brood_process *process)
{
    bool started;

    brood__registry_lock();
    started = process->state == RUNNING || process->state == ENDED;
    brood__registry_unlock();
    return started;
}

static int check_started(const brood_process *process)
{
    int r = brood__process_check(process);

    if (r < 0)
        return r;
    return brood__process_is_started(process) ? 0 : -ESRCH;
}

int brood_process_join(brood_process *process, int64_t timeout)
{
    int64_t deadline;
    int r = check_started(process);

    if (r == 0)
        r = brood__deadline(timeout, &deadline);
    return r < 0 ? r : brood__process_await(process, deadline, true);
}

int brood_process_try_join(brood_process *process)
{
    int r = brood_process_join(process, BROOD_NOWAIT);

    return r == -ETIMEDOUT ? -EBUSY : r;
}

int brood_process_exit(brood_process *process, brood_exit *ret_exit)
{
    int r = check_started(process);

    if (r == 0 && (ret_exit == NULL || ret_exit->size < sizeof *ret_exit))
        return -EINVAL;
    if (r == 0)
        r = brood_process_try_join(process);
    return r < 0 ? r
                 : brood__result_write(ret_exit, sizeof *ret_exit, &process->exit,
                                       sizeof process->exit);
}

int brood_process_exit_code(brood_process *process, int *ret_code)
{
    brood_exit end = BROOD_EXIT_INIT;
    int r;

    if (ret_code == NULL)
        return -EINVAL;
    r = brood_process_exit(process, &end);
    if (r < 0)
        return r;
    if (end.kind == BROOD_EXIT_UNKNOWN)
        return -ENODATA;
    *ret_code = end.kind == BROOD_EXIT_SIGNAL ? -end.signal : end.code;
    return 0;
}

/* ---- stop ---- */

struct brood__kin brood__process_kin(const brood_process *process)
{
    struct brood__kin kin = { .mark_id = NULL };

    if (process->mark_index != 0 && brood__guard_mark_id()[0] != '\0') {
        kin.mark_id = brood__guard_mark_id();
        kin.mark_index = process->mark_index;
        kin.not_before = brood__guard_start_time();
    }
    return kin;
}

/* The start time is the child's if the child lives after it was read. */
struct brood__kin_ref brood__process_root(brood_process *process)
{
    struct brood__kin_ref root = { .pid = process->pid };

    if (root.pid <= 0 || brood__start_time(root.pid, &root.start_time) < 0 ||
        brood_process_is_alive(process) != 1)
        root = (struct brood__kin_ref){ .pid = 0 };
    return root;
}

/* SIGTERM to the tree, which is listed: what leaves it by its parent's death is still ours. */
static int terminate_tree(brood_process *process, struct brood__kin_ref **ret_refs,
                          size_t *ret_count)
{
    struct brood__kin kin = brood__process_kin(process);

    kin.root = brood__process_root(process);
    return brood__kin_signal(&kin, SIGTERM, ret_refs, ret_count);
}

/* The child's number may be somebody else's once it is dead: then only what was listed
 * before, and what carries its mark, is meant. */
static int kill_tree(brood_process *process, const struct brood__kin_ref *refs, size_t count)
{
    struct brood__kin kin = brood__process_kin(process);
    int r;

    kin.also = refs;
    kin.also_count = count;
    kin.root = brood__process_root(process);
    r = brood__kin_kill(&kin, brood__now() + KILL_NS);
    return r == -ETIMEDOUT ? 0 : r;
}

/* A group lives on after its leader. Our own child is not reaped yet, so the group is still
 * its; the forkserver reaps at once, but what it starts is marked. */
static int kill_group(brood_process *process)
{
    struct brood__kin kin = brood__process_kin(process);
    int r = brood_process_signal(process, SIGKILL, BROOD_SCOPE_GROUP);

    if (r < 0 || process->slot < 0 || !process->group_leader || kin.mark_id == NULL)
        return r;
    kin.group = process->pid;
    r = brood__kin_kill(&kin, brood__now() + KILL_NS);
    return r == -ETIMEDOUT || r == -ENOTSUP ? 0 : r;
}

static int stop_tree(brood_process *process, int64_t deadline)
{
    struct brood__kin_ref *refs = NULL;
    size_t count = 0;
    int r = terminate_tree(process, &refs, &count);

    if (r >= 0)
        r = brood_process_signal(process, SIGCONT, BROOD_SCOPE_TREE);
    if (r >= 0) {
        (void)brood__process_await(process, deadline, false);
        r = kill_tree(process, refs, count);
    }
    free(refs);
    return r;
}

static int stop_one_or_group(brood_process *process, int64_t deadline, int scope)
{
    int r = brood_process_signal(process, SIGTERM, scope);

    if (r == 0)
        r = brood_process_signal(process, SIGCONT, scope);
    if (r < 0)
        return r;
    r = brood__process_await(process, deadline, false);
    if (scope == BROOD_SCOPE_GROUP)
        return kill_group(process);
    return r == -ETIMEDOUT ? brood_process_signal(process, SIGKILL, scope) : r;
}

int brood_process_stop(brood_process *process, int64_t grace, int scope)
{
    int64_t deadline;
    int r = check_started(process);

    if (r == 0)
        r = brood__deadline(grace, &deadline);
    if (r == 0 && (scope < BROOD_SCOPE_PROCESS || scope > BROOD_SCOPE_TREE))
        r = -EINVAL;
    if (r < 0)
        return r;
    brood__registry_lock();
    joiner_enter(process); /* so that the reaper leaves a dead leader's number to its group */
    brood__registry_unlock();
    r = -ENOTSUP;
    if (scope == BROOD_SCOPE_TREE)
        r = stop_tree(process, deadline);
    if (r == -ENOTSUP) /* nobody to be found: the child alone, then */
        r = stop_one_or_group(process, deadline,
                              scope == BROOD_SCOPE_GROUP ? scope : BROOD_SCOPE_PROCESS);
    brood__registry_lock();
    joiner_leave(process);
    brood__registry_unlock();
    return r < 0 ? r : brood__process_await(process, BROOD__NEVER, true);
}

/* ---- several ---- */

/* Makes the poll set, of those that run. Returns the lowest index of one that does not, or
 * -1. (L) */
static ssize_t fill_entries(brood_process *const *processes, size_t count,
                            struct pollfd *entries)
{
    ssize_t ended = -1;

    for (size_t i = 0; i < count; i++) {
        brood_process *p = processes[i];
        bool runs = p != NULL && p->state == RUNNING && p->pidfd >= 0;

        entries[i] = (struct pollfd){ .fd = runs ? p->pidfd : -1, .events = POLLIN };
        if (p != NULL && !runs && ended < 0)
            ended = (ssize_t)i;
    }
    return ended;
}

static int wait_any(brood_process *const *processes, size_t count, int64_t deadline,
                    struct pollfd *entries, size_t *ret_index)
{
    ssize_t ended;
    int r;

    brood__registry_lock();
    ended = fill_entries(processes, count, entries);
    for (size_t i = 0; i < count; i++)
        if (processes[i] != NULL)
            joiner_enter(processes[i]);
    brood__registry_unlock();
    r = brood__poll(entries, count, ended >= 0 ? 0 : deadline);
    brood__registry_lock();
    for (size_t i = 0; i < count; i++)
        if (processes[i] != NULL)
            joiner_leave(processes[i]);
    brood__registry_unlock();
    for (size_t i = 0; r > 0 && i < count; i++) {
        if (entries[i].revents != 0 && (ended < 0 || (ssize_t)i < ended)) {
            ended = (ssize_t)i;
            break;
        }
    }
    if (ended < 0)
        return r < 0 ? r : -ETIMEDOUT;
    *ret_index = (size_t)ended;
    return brood__process_await(processes[ended], BROOD__NEVER, true);
}

static int check_all(brood_process *const *processes, size_t count)
{
    size_t there = 0;

    if (processes == NULL && count > 0)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        int r = processes[i] == NULL ? 0 : check_started(processes[i]);

        if (r < 0)
            return r;
        there += processes[i] != NULL;
    }
    return there > 0;
}

int brood_process_wait_any(brood_process *const *processes, size_t count, int64_t timeout,
                           size_t *ret_index)
{
    struct pollfd few[16], *entries = few;
    int64_t deadline;
    int r = check_all(processes, count);

    if (r <= 0 || ret_index == NULL)
        return r < 0 ? r : -EINVAL;
    r = brood__deadline(timeout, &deadline);
    if (r < 0)
        return r;
    if (count > sizeof few / sizeof few[0]) {
        entries = calloc(count, sizeof *entries);
        if (entries == NULL)
            return -ENOMEM;
    }
    r = wait_any(processes, count, deadline, entries, ret_index);
    if (entries != few)
        free(entries);
    return r;
}

int brood_process_wait_all(brood_process *const *processes, size_t count, int64_t timeout)
{
    int64_t deadline;
    int r = check_all(processes, count), result = 0;

    if (r < 0)
        return r;
    r = brood__deadline(timeout, &deadline);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count && result == 0; i++)
        if (processes[i] != NULL)
            result = brood__process_await(processes[i], deadline, true);
    return result;
}
