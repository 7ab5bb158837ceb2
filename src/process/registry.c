#include "process/registry.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "base/log.h"
#include "base/stamp.h"
#include "process/board.h"
#include "process/guard.h"
#include "process/module.h"
#include "process/reaper.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child's id is its place in `table` plus a generation from 1, so that an event which the
 * reaper fetched before somebody else reaped the child finds nothing, never another child. */
#define PLACES_MAX (1u << 20)

struct place {
    brood_process *process;
    uint32_t generation;
    uint32_t next_free;
};

static struct {
    pthread_mutex_t lock;
    struct place *table;
    uint32_t table_count;
    uint32_t first_free; /* index + 1; 0: none */
    brood_process *newest;
    uint32_t child_number;
    uint32_t starting_count;
    bool shut_down;
    pthread_cond_t started; /* the last of these has ended */
    int spare;              /* a descriptor, or -1 */
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER,
               .started = PTHREAD_COND_INITIALIZER,
               .spare = -1 };

/* What a child does not use, and does not free, for that would copy pages. Still pointed at,
 * so that no leak is seen in it. */
static struct {
    struct place *table;
    brood_process *newest;
} inherited __attribute__((used));

static pthread_once_t once = PTHREAD_ONCE_INIT;

/* The fork that this thread makes is ours, and its child closes all descriptors at once, when
 * it no longer needs them. */
static _Thread_local bool closing_all;

void brood__registry_lock(void)
{
    (void)pthread_mutex_lock(&registry.lock);
}

void brood__registry_unlock(void)
{
    (void)pthread_mutex_unlock(&registry.lock);
}

int brood__process_check(const brood_process *process)
{
    if (process == NULL || process->magic != BROOD__PROCESS_MAGIC)
        return -EINVAL;
    return process->owner == brood__process_id() ? 0 : -ECHILD;
}

/* ---- fork and exit ---- */

static void init_locks(void)
{
    (void)pthread_mutex_init(&registry.lock, NULL);
    (void)pthread_cond_init(&registry.started, NULL);
}

/*
 * The child starts with no children, no reaper and no guardian. Handles it inherited keep
 * their memory, and the stamp keeps everyone off them; the descriptors behind them are
 * closed here, for it would be a leak otherwise.
 *
 * No lock is held over the fork, for that would order our locks against those of the
 * program's own fork handlers. So another thread may have been anywhere: the list is read
 * along `older`, which is whole at every step of list_enter() and list_leave(); the table,
 * which may be between two places, is left alone.
 */
static void after_fork_in_child(void)
{
    for (brood_process *p = registry.newest; p != NULL && !closing_all; p = p->older)
        brood__fd_close(&p->pidfd);
    if (!closing_all)
        brood__fd_close(&registry.spare);
    brood__reaper_after_fork(closing_all);
    brood__guard_after_fork(closing_all);
    brood__board_after_fork();
    brood__log_after_fork();
    brood__function_after_fork();
    closing_all = false;
    inherited.table = registry.table;
    inherited.newest = registry.newest;
    memset(&registry, 0, sizeof registry);
    init_locks();
    registry.spare = -1;
}

static void at_exit(void)
{
    if (!brood__registry_is_shut_down())
        (void)brood_shutdown(BROOD_FOREVER);
}

pid_t brood__fork(bool child_closes_all)
{
    pid_t pid;

    closing_all = child_closes_all;
    pid = fork();
    if (pid < 0)
        pid = -errno;
    if (pid != 0)
        closing_all = false;
    return pid;
}

pid_t brood__fork_hidden(void)
{
    long pid;
    int error;

    brood__registry_lock();
    while (!brood__reaper_is_resting()) { /* the only other thread must not be in malloc() */
        brood__registry_unlock();
        (void)sched_yield();
        brood__registry_lock();
    }
    pid = syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
    error = errno;
    if (pid == 0) {
        brood__process_id_refresh();
        closing_all = true;
        after_fork_in_child();
        return 0;
    }
    brood__registry_unlock();
    return pid < 0 ? -error : (pid_t)pid;
}

/* Before main(), so that our handler in the child runs before those of the program, which
 * may call us. What it calls is called here once, for a program that binds at the first call
 * would otherwise bind in each child anew. */
__attribute__((constructor)) static void install_fork_handler(void)
{
    (void)brood__process_id(); /* its own goes first */
    init_locks();
    (void)pthread_atfork(NULL, NULL, after_fork_in_child);
}

static void install_exit_handler(void)
{
    (void)atexit(at_exit);
}

void brood__registry_init(void)
{
    (void)pthread_once(&once, install_exit_handler);
}

void brood__registry_shut_down(void)
{
    brood__registry_lock();
    registry.shut_down = true;
    while (registry.starting_count > 0)
        (void)pthread_cond_wait(&registry.started, &registry.lock);
    brood__fd_close(&registry.spare);
    brood__registry_unlock();
}

bool brood__registry_is_shut_down(void)
{
    bool shut_down;

    brood__registry_lock();
    shut_down = registry.shut_down;
    brood__registry_unlock();
    return shut_down;
}

bool brood__registry_is_untouched(void)
{
    bool untouched;

    brood__registry_lock();
    untouched = registry.table_count == 0;
    brood__registry_unlock();
    return untouched && !brood__guard_was_used();
}

uint32_t brood__registry_next_number(void)
{
    uint32_t number;

    brood__registry_lock();
    number = ++registry.child_number;
    brood__registry_unlock();
    return number;
}

/* ---- the spare descriptor ---- */

int brood__spare_take(int *ret_fd)
{
    int fd;

    brood__registry_lock();
    fd = registry.spare;
    registry.spare = -1;
    brood__registry_unlock();
    if (fd < 0) {
        fd = eventfd(0, EFD_CLOEXEC);
        fd = fd < 0 ? -errno : brood__fd_above_stdio(fd);
        if (fd < 0)
            return fd;
    }
    *ret_fd = fd;
    return 0;
}

void brood__spare_return(int *fd)
{
    brood__registry_lock();
    if (registry.spare < 0) {
        registry.spare = *fd;
        *fd = -1;
    }
    brood__registry_unlock();
    brood__fd_close(fd);
}

/* ---- places ---- */

static int place_take(brood_process *process)
{
    uint32_t index;

    if (registry.first_free == 0) {
        uint32_t count = registry.table_count == 0 ? 64 : registry.table_count * 2;
        struct place *table;

        if (count > PLACES_MAX)
            return -EAGAIN;
        table = realloc(registry.table, count * sizeof *table);
        if (table == NULL)
            return -ENOMEM;
        for (uint32_t i = count; i > registry.table_count; i--) {
            table[i - 1] = (struct place){ .next_free = registry.first_free };
            registry.first_free = i;
        }
        registry.table = table;
        registry.table_count = count;
    }
    index = registry.first_free - 1;
    registry.first_free = registry.table[index].next_free;
    registry.table[index].process = process;
    if (++registry.table[index].generation == 0)
        registry.table[index].generation = 1;
    process->id = (uint64_t)registry.table[index].generation << 32 | index;
    return 0;
}

static void place_leave(brood_process *process)
{
    uint32_t index = (uint32_t)process->id;

    registry.table[index].process = NULL;
    registry.table[index].next_free = registry.first_free;
    registry.first_free = index + 1;
}

brood_process *brood__registry_find(uint64_t id)
{
    uint32_t index = (uint32_t)id;
    brood_process *process;

    if (index >= registry.table_count)
        return NULL;
    process = registry.table[index].process;
    return process != NULL && process->id == id && process->state == RUNNING ? process : NULL;
}

brood_process *brood__registry_newest(void)
{
    return registry.newest;
}

int brood__registry_begin(brood_process *process)
{
    int r = 0;

    brood__registry_lock();
    if (process->state != CREATED)
        r = -EALREADY;
    else if (registry.shut_down)
        r = -ESHUTDOWN;
    else
        r = place_take(process);
    if (r == 0) {
        process->state = STARTING;
        registry.starting_count++;
    }
    brood__registry_unlock();
    return r;
}

static void list_enter(brood_process *process)
{
    process->older = registry.newest;
    process->newer = NULL;
    if (registry.newest != NULL)
        registry.newest->newer = process;
    registry.newest = process;
}

void brood__registry_end(brood_process *process, bool started)
{
    brood__registry_lock();
    if (started) {
        process->state = RUNNING;
        process->references++;
        list_enter(process);
        brood__reaper_watch(process);
    } else {
        place_leave(process);
        process->state = CREATED;
    }
    if (--registry.starting_count == 0)
        (void)pthread_cond_broadcast(&registry.started);
    brood__registry_unlock();
}

static void list_leave(brood_process *process)
{
    if (process->newer != NULL)
        process->newer->older = process->older;
    else
        registry.newest = process->older;
    if (process->older != NULL)
        process->older->newer = process->newer;
}

/* ---- the end ---- */

static int64_t timeval_ns(struct timeval t)
{
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

void brood__exit_fill(brood_exit *ret_exit, const siginfo_t *info, const struct rusage *usage)
{
    if (info->si_code == CLD_EXITED) {
        ret_exit->kind = BROOD_EXIT_CODE;
        ret_exit->code = info->si_status & 0xff;
    } else {
        ret_exit->kind = BROOD_EXIT_SIGNAL;
        ret_exit->signal = info->si_status;
        ret_exit->core_dumped = info->si_code == CLD_DUMPED;
    }
    if (usage != NULL) {
        ret_exit->user_ns = timeval_ns(usage->ru_utime);
        ret_exit->system_ns = timeval_ns(usage->ru_stime);
        ret_exit->max_rss_bytes = (int64_t)usage->ru_maxrss * 1024;
        ret_exit->minor_faults = usage->ru_minflt;
        ret_exit->major_faults = usage->ru_majflt;
    }
}

/* Somebody else reaped it. The kernel may still know, or the child may have said. */
static void fill_lost(brood_process *process)
{
    int status, code;

    if (process->pidfd >= 0 && brood__pidfd_lost_status(process->pidfd, &status) == 0) {
        siginfo_t info = { 0 };

        info.si_code = WIFEXITED(status)   ? CLD_EXITED
                       : WCOREDUMP(status) ? CLD_DUMPED
                                           : CLD_KILLED;
        info.si_status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
        brood__exit_fill(&process->exit, &info, NULL);
    } else if (brood__board_read(process->board_entry, &code)) {
        process->exit.kind = BROOD_EXIT_CODE;
        process->exit.code = code;
    }
}

void brood__child_ended(brood_process *process, const siginfo_t *info,
                        const struct rusage *usage)
{
    brood__reaper_forget(process);
    process->exit.size = sizeof process->exit;
    process->exit.wall_ns = brood__now() - process->started_at;
    if (info != NULL)
        brood__exit_fill(&process->exit, info, usage);
    else
        fill_lost(process);
    brood__board_leave(&process->board_entry);
    process->state = ENDED;
    list_leave(process);
    place_leave(process);
    if (!process->exported && process->joiners == 0)
        brood__fd_close(&process->pidfd);
    brood__child_release(process);
}

bool brood__child_reap(brood_process *process)
{
    struct rusage usage;
    siginfo_t info;
    int r;

    if (process->state != RUNNING)
        return process->state == ENDED;
    if (process->slot >= 0)
        return brood__guard_reap(process);
    r = brood__wait_pidfd(process->pidfd, WEXITED | WNOHANG | __WALL, &info, &usage);
    if (r == 0 && info.si_pid == 0)
        return false;
    /* -ECHILD says that it was reaped behind our back, or that a thread of a dying group
     * still runs and the status is not to be had by us: only the pidfd tells them apart. */
    if (r < 0 && brood__pidfd_alive(process->pidfd))
        return false;
    brood__child_ended(process, r == 0 ? &info : NULL, r == 0 ? &usage : NULL);
    return true;
}

void brood__child_release(brood_process *process)
{
    if (--process->references > 0)
        return;
    brood__fd_close(&process->pidfd);
    free(process->launch);
    process->magic = 0;
    free(process);
}
