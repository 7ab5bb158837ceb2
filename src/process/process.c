/* The public face: making, starting, asking, signalling. wait.c has what waits. */
#include <brood/process.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "base/options.h"
#include "base/stamp.h"
#include "process/current.h"
#include "process/reaper.h"
#include "process/registry.h"
#include "process/start.h"
#include "process/wait.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- making ---- */

static int create(const struct brood__launch *what, const void *argument, size_t argument_bytes,
                  const char *const *argv, const brood_process_options *options,
                  brood_process **ret_process)
{
    struct brood__launch *launch;
    brood_process *process;
    int r;

    if (ret_process == NULL)
        return -EINVAL;
    r = brood__launch_pack(what, argument, argument_bytes, argv, options, &launch);
    if (r < 0)
        return r;
    brood__registry_init();
    brood__current_describe(launch);
    process = calloc(1, sizeof *process + strlen(launch->name) + 1);
    if (process == NULL) {
        free(launch);
        return -ENOMEM;
    }
    process->magic = BROOD__PROCESS_MAGIC;
    process->owner = brood__process_id();
    process->launch = launch;
    process->ops = launch->ops;
    process->references = 1;
    process->pidfd = process->slot = process->board_entry = -1;
    process->daemon = launch->daemon;
    process->start_method = launch->start_method;
    process->is_command = launch->kind == LAUNCH_COMMAND;
    process->group_leader = launch->process_group != BROOD_GROUP_INHERIT;
    memcpy(process->name, launch->name, strlen(launch->name));
    *ret_process = process;
    return 0;
}

int brood_process_create(brood_process_function *function, const void *argument,
                         size_t argument_bytes, const brood_process_options *options,
                         brood_process **ret_process)
{
    const struct brood__launch what = { .kind = LAUNCH_FUNCTION,
                                        .function = function,
                                        .pointer = (void *)(uintptr_t)argument };

    if (function == NULL)
        return -EINVAL;
    return create(&what, argument, argument_bytes, NULL, options, ret_process);
}

int brood_process_create_object(const brood_process_ops *ops, const void *object,
                                size_t object_bytes, const brood_process_options *options,
                                brood_process **ret_process)
{
    const struct brood__launch what = { .kind = LAUNCH_OBJECT,
                                        .ops = ops,
                                        .pointer = (void *)(uintptr_t)object };

    if (ops == NULL || ops->size != sizeof *ops || ops->run == NULL)
        return -EINVAL;
    return create(&what, object, object_bytes, NULL, options, ret_process);
}

int brood_process_create_command(const char *const argv[], const brood_process_options *options,
                                 brood_process **ret_process)
{
    const struct brood__launch what = { .kind = LAUNCH_COMMAND };

    if (argv == NULL || argv[0] == NULL || argv[0][0] == '\0')
        return -EINVAL;
    return create(&what, NULL, 0, argv, options, ret_process);
}

/* ---- starting ---- */

static int start_as(brood_process *process, struct brood__launch *launch, int method)
{
    struct brood__bond bond;
    bool bound = launch->daemon || method == BROOD_START_FORKSERVER;
    int r = bound ? brood__guard_bond(&bond) : 0;

    if (r < 0)
        return r;
    launch->mark_index = process->mark_index = bound ? bond.index : 0;
    launch->used_method = method;
    process->start_method = method;
    process->started_at = brood__now();
    if (launch->kind == LAUNCH_COMMAND)
        return brood__start_command(process, launch, bound ? &bond : NULL);
    if (method == BROOD_START_FORK)
        return brood__start_fork(process, launch, bound ? &bond : NULL);
    if (method == BROOD_START_SPAWN)
        return brood__start_spawn(process, launch, bound ? &bond : NULL);
    return brood__start_forkserver(process, launch);
}

/* The default method may have changed since creation, to one that cannot pass this. */
static int settle_method(const struct brood__launch *launch)
{
    int method = launch->start_method;

    if (launch->kind == LAUNCH_COMMAND)
        return BROOD_START_FORK;
    if (method == BROOD_START_DEFAULT)
        method = brood_start_method();
    if (method != BROOD_START_FORK &&
        ((launch->argument.count == 0 && launch->pointer != NULL) || launch->flags != 0))
        return -EINVAL;
    return method;
}

static int start(brood_process *process)
{
    int method = settle_method(process->launch), r = method < 0 ? method : 0;

    if (r == 0)
        r = brood__reaper_start();
    if (r == 0)
        r = start_as(process, process->launch, method);
    if (r < 0)
        process->pid = 0;
    return r;
}

int brood_process_start(brood_process *process)
{
    const brood_process_ops *ops;
    int r = brood__process_check(process);

    if (r == 0)
        r = brood__registry_begin(process);
    if (r < 0)
        return r;
    r = start(process);
    brood__registry_end(process, r == 0);
    if (r < 0)
        return r;
    ops = process->ops;
    if (ops != NULL && ops->after_fork_parent != NULL)
        ops->after_fork_parent(brood__launch_argument(process->launch),
                               process->launch->argument.count, process);
    free(process->launch);
    process->launch = NULL;
    return 0;
}

void brood_process_free(brood_process *process)
{
    if (process == NULL || process->magic != BROOD__PROCESS_MAGIC)
        return;
    if (process->owner != brood__process_id()) {
        process->magic = 0; /* its descriptors were closed, or are not ours, since the fork */
        free(process->launch);
        free(process);
        return;
    }
    brood__registry_lock();
    process->exported = false;
    brood__child_release(process);
    brood__registry_unlock();
}

/* ---- asking ---- */

int brood_process_pid(brood_process *process)
{
    int r = brood__process_check(process);

    if (r < 0)
        return r;
    return brood__process_is_started(process) && process->pid > 0 ? process->pid : -ESRCH;
}

const char *brood_process_name(const brood_process *process)
{
    return process == NULL ? "" : process->name;
}

int brood_process_is_daemon(const brood_process *process)
{
    int r = brood__process_check(process);

    return r < 0 ? r : process->daemon;
}

int brood_process_is_alive(brood_process *process)
{
    int alive, r = brood__process_check(process);

    if (r < 0)
        return r;
    brood__registry_lock();
    alive = process->state == RUNNING && brood__pidfd_alive(process->pidfd);
    brood__registry_unlock();
    return alive;
}

int brood_process_pidfd(brood_process *process)
{
    int fd, r = brood__process_check(process);

    if (r < 0)
        return r;
    brood__registry_lock();
    if (process->state != RUNNING && process->state != ENDED) {
        fd = -ESRCH;
    } else if (process->pidfd >= 0) {
        fd = process->pidfd;
        process->exported = true;
    } else { /* it has ended, and its pidfd with it: anything readable will do */
        fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        fd = fd < 0 ? -errno : brood__fd_above_stdio(fd);
        if (fd >= 0) {
            process->pidfd = fd;
            process->exported = true;
        }
    }
    brood__registry_unlock();
    return fd;
}

int brood_active_children(brood_process_info *ret_infos, size_t capacity)
{
    brood_process *oldest = NULL;
    size_t count = 0;
    int r = 0;

    if (capacity > 0 && (ret_infos == NULL || ret_infos->size < sizeof *ret_infos))
        return -EINVAL;
    brood__registry_lock();
    for (brood_process *p = brood__registry_newest(); p != NULL; p = p->older)
        oldest = p;
    for (brood_process *p = oldest; p != NULL && r == 0; p = p->newer) {
        if (!brood__pidfd_alive(p->pidfd))
            continue;
        if (count < capacity) {
            brood_process_info info = { .size = sizeof info,
                                        .pid = p->pid,
                                        .daemon = p->daemon,
                                        .start_method = p->start_method,
                                        .is_command = p->is_command };
            char *to = (char *)ret_infos + count * ret_infos->size;

            memcpy(info.name, p->name, strlen(p->name));
            memcpy(to, &ret_infos->size, sizeof info.size);
            r = brood__result_write(to, sizeof info, &info, sizeof info);
        }
        count++;
    }
    brood__registry_unlock();
    return r < 0 ? r : (int)count;
}

/* ---- signalling ---- */

/* Whom the scope of a tree means. False if there is nobody to look for in /proc. */
static bool kin_of(brood_process *process, struct brood__kin *ret_kin)
{
    *ret_kin = brood__process_kin(process);
    ret_kin->root = brood__process_root(process);
    return ret_kin->root.pid != 0 || ret_kin->mark_id != NULL;
}

/* To the process or its group; nothing to one that was reaped, for whose number it is now
 * nobody can say. We do not reap our own child under the lock; one of the forkserver's may
 * be reaped as soon as it is dead. (L) */
static int signal_running(brood_process *process, int signal, int scope)
{
    int r;

    if (process->state != RUNNING)
        return 0;
    if (scope == BROOD_SCOPE_GROUP && process->group_leader && process->pid > 1 &&
        (process->slot < 0 ? brood__pidfd_signal(process->pidfd, 0) == 0
                           : brood__pidfd_alive(process->pidfd)))
        r = kill(-process->pid, signal) < 0 ? -errno : 0;
    else
        r = process->pidfd < 0 ? 0 : brood__pidfd_signal(process->pidfd, signal);
    return r == -ESRCH ? 0 : r;
}

static int check_signal(const brood_process *process, int signal, int scope)
{
    int r = brood__process_check(process);

    if (r < 0)
        return r;
    if (signal <= 0 || signal >= NSIG || scope < BROOD_SCOPE_PROCESS ||
        scope > BROOD_SCOPE_TREE)
        return -EINVAL;
    return brood__process_is_started(process) ? 0 : -ESRCH;
}

int brood_process_signal(brood_process *process, int signal, int scope)
{
    struct brood__kin kin;
    int r = check_signal(process, signal, scope);

    if (r < 0)
        return r;
    if (scope == BROOD_SCOPE_TREE) {
        if (!kin_of(process, &kin))
            return 0;
        if (signal == SIGKILL)
            r = brood__kin_kill(&kin, brood__now() + 1000000000);
        else
            r = brood__kin_signal(&kin, signal, NULL, NULL);
        if (r != -ENOTSUP)
            return r < 0 && r != -ETIMEDOUT ? r : 0;
    }
    brood__registry_lock();
    r = signal_running(process, signal, scope);
    brood__registry_unlock();
    return r;
}

int brood_process_terminate(brood_process *process)
{
    return brood_process_signal(process, SIGTERM, BROOD_SCOPE_PROCESS);
}

int brood_process_kill(brood_process *process)
{
    return brood_process_signal(process, SIGKILL, BROOD_SCOPE_PROCESS);
}

int brood_process_interrupt(brood_process *process)
{
    return brood_process_signal(process, SIGINT, BROOD_SCOPE_PROCESS);
}
