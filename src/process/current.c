#include "process/current.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "base/options.h"
#include "base/stamp.h"
#include "process/board.h"
#include "process/registry.h"
#include "shm/presence.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    brood_process_info self;
    brood_process_info parent;
    char lineage[BROOD_NAME_BYTES];
    bool has_parent;
    uint64_t parent_start_time;
    int parent_pidfd; /* a kept one, or -1 */
    _Atomic int default_method;
} current = { .self = { .size = sizeof(brood_process_info), .name = "main" },
              .parent_pidfd = -1,
              .default_method = BROOD_START_FORK };

/* All names are arrays of the same size, ended by NUL. */
static void copy_name(char to[BROOD_NAME_BYTES], const char from[BROOD_NAME_BYTES])
{
    memcpy(to, from, BROOD_NAME_BYTES);
}

void brood__current_enter(const struct brood__launch *l, int parent_pidfd)
{
    memset(&current.self, 0, sizeof current.self);
    memset(&current.parent, 0, sizeof current.parent);
    current.self.size = current.parent.size = sizeof current.self;
    current.self.daemon = l->daemon;
    current.self.start_method = l->used_method;
    copy_name(current.self.name, l->name);
    copy_name(current.lineage, l->lineage);
    current.has_parent = true;
    current.parent.pid = l->parent_pid;
    current.parent.daemon = l->parent_daemon;
    current.parent.start_method = l->parent_start_method;
    copy_name(current.parent.name, l->parent_name);
    current.parent_start_time = l->parent_start_time;
    current.parent_pidfd = parent_pidfd;
    atomic_store(&current.default_method, l->default_start_method);
}

/* What the slots of shared memory say of a process that brood started. */
static const char *name_in_slots(void)
{
    return current.has_parent ? current.self.name : NULL;
}

static void __attribute__((constructor)) name_slots(void)
{
    brood__presence_namer = name_in_slots;
}

void brood__current_describe(struct brood__launch *l)
{
    int method = atomic_load(&current.default_method);
    static _Atomic uint64_t own_start_time;
    static _Atomic pid_t own_pid;

    if (atomic_load(&own_pid) != brood__process_id()) {
        uint64_t ticks = 0;

        (void)brood__start_time(brood__process_id(), &ticks);
        atomic_store(&own_start_time, ticks);
        atomic_store(&own_pid, brood__process_id());
    }
    if (l->lineage[0] == '\0') {
        (void)snprintf(l->lineage, sizeof l->lineage, "%.100s%s%u", current.lineage,
                       current.lineage[0] == '\0' ? "" : ":", brood__registry_next_number());
        if (!l->named)
            (void)snprintf(l->name, sizeof l->name, "process-%.110s", l->lineage);
    }
    if (l->daemon == BROOD_DAEMON_INHERIT)
        l->daemon = current.self.daemon;
    else
        l->daemon = l->daemon == BROOD_DAEMON_YES;
    l->parent_pid = brood__process_id();
    l->parent_daemon = current.self.daemon;
    l->parent_start_method = current.self.start_method;
    l->parent_start_time = atomic_load(&own_start_time);
    l->default_start_method = method;
    copy_name(l->parent_name, current.self.name);
}

void brood__flush_stdio(void)
{
    FILE *streams[] = { stdout, stderr };

    for (int i = 0; i < 2; i++) {
        if (__fpending(streams[i]) == 0 || ftrylockfile(streams[i]) != 0)
            continue;
        (void)fflush(streams[i]);
        funlockfile(streams[i]);
    }
}

/* Not called by its name, which many a program would bind here, in each child anew. */
static void (*const volatile leave)(int) = _exit;

_Noreturn void brood__child_run(struct brood__launch *l, int board_entry, bool fresh)
{
    void *argument = brood__launch_argument(l);
    size_t bytes = l->argument.count;
    int code;

    if (l->kind == LAUNCH_OBJECT) {
        if (l->ops->after_fork_child != NULL)
            l->ops->after_fork_child(argument, bytes);
        code = l->ops->run(argument, bytes);
    } else {
        code = l->function(argument, bytes);
    }
    if (fresh)
        exit(code & 0xff);
    if (!brood__registry_is_untouched() && !brood__registry_is_shut_down())
        (void)brood_shutdown(BROOD_FOREVER);
    brood__flush_stdio();
    brood__board_write(board_entry, code);
    for (;;)
        leave(code & 0xff);
}

/* ---- questions ---- */

int brood_current_process(brood_process_info *ret_info)
{
    brood_process_info info = current.self;

    info.pid = (int32_t)brood__process_id();
    return brood__result_write(ret_info, sizeof info, &info, sizeof info);
}

int brood_parent_process(brood_process_info *ret_info)
{
    if (!current.has_parent)
        return ret_info == NULL ? -EINVAL : -ESRCH;
    return brood__result_write(ret_info, sizeof current.parent, &current.parent,
                               sizeof current.parent);
}

/* A pidfd of the parent for the caller to close, or -ESRCH if it is gone. */
static int open_parent(void)
{
    uint64_t start_time;
    int pidfd;

    if (current.parent_pidfd >= 0) {
        pidfd = brood__pidfd_alive(current.parent_pidfd) ? dup(current.parent_pidfd) : -2;
        return pidfd == -2 ? -ESRCH : pidfd < 0 ? -errno : pidfd;
    }
    pidfd = brood__pidfd_open(current.parent.pid);
    if (pidfd < 0)
        return pidfd;
    /* It is the parent if it still was after the pidfd was opened, or started when it did. */
    if (brood__pidfd_alive(pidfd) &&
        (getppid() == current.parent.pid ||
         (brood__start_time(current.parent.pid, &start_time) == 0 &&
          start_time == current.parent_start_time)))
        return pidfd;
    (void)close(pidfd);
    return -ESRCH; /* the number is somebody else's by now */
}

int brood_parent_is_alive(void)
{
    int pidfd;

    if (!current.has_parent)
        return -ESRCH;
    pidfd = open_parent();
    if (pidfd == -ESRCH)
        return 0;
    if (pidfd < 0)
        return pidfd;
    (void)close(pidfd);
    return 1;
}

int brood_parent_join(int64_t timeout)
{
    struct pollfd entry = { .events = POLLIN };
    int64_t deadline;
    int pidfd, r = brood__deadline(timeout, &deadline);

    if (r < 0)
        return r;
    if (!current.has_parent)
        return -ESRCH;
    pidfd = open_parent();
    if (pidfd == -ESRCH)
        return 0;
    if (pidfd < 0)
        return pidfd;
    entry.fd = pidfd;
    r = brood__poll(&entry, 1, deadline);
    (void)close(pidfd);
    return r < 0 ? r : r == 0 ? -ETIMEDOUT : 0;
}

int brood_set_start_method(int start_method)
{
    if (start_method < BROOD_START_FORK || start_method > BROOD_START_SPAWN)
        return -EINVAL;
    atomic_store(&current.default_method, start_method);
    return 0;
}

int brood_start_method(void)
{
    return atomic_load(&current.default_method);
}
