#include "process/guard.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "base/log.h"
#include "base/options.h"
#include "base/stamp.h"
#include "process/cgroup.h"
#include "process/current.h"
#include "process/guardian.h"
#include "process/kin.h"
#include "process/reaper.h"
#include "process/registry.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELLO_NS (10 * (int64_t)1000000000) /* for guardian and forkserver to report */
#define SLICE_NS ((int64_t)50000000)        /* between looks at the epoch while waiting */
#define FINISH_NS (6 * (int64_t)1000000000)
#define TRIES_MAX 8

/* Guarded by `lock`, except where atomic. The lock may be held over requests, which end
 * with the forkserver's answer or its death; the reaper and starting threads take it. */
static struct {
    pthread_mutex_t lock;
    bool running;
    bool late;
    int tier;
    int wanted_tier; /* what brood_guardian_start() asked for, for a replacement */
    unsigned restarts;
    struct guard_table *table; /* made once, kept for the process's life */
    struct brood__mark mark;   /* likewise */
    struct brood__cgroup cgroup;
    uint64_t start_time;
    _Atomic uint64_t marks;
    int socket;
    int guardian; /* pidfds */
    int forkserver;
    uint32_t *free_slots; /* a stack; taken and left under the registry lock */
    uint32_t free_count;
} guard = { .lock = PTHREAD_MUTEX_INITIALIZER,
            .socket = -1,
            .guardian = -1,
            .forkserver = -1,
            .mark = { .fd = -1 },
            .cgroup = { .children = -1, .forkserver = -1 } };

/* ---- slots ---- */

static int slot_take(uint32_t *ret_slot)
{
    uint32_t used;
    int r = 0;

    brood__registry_lock();
    used = atomic_load(&guard.table->slots_used);
    if (guard.free_count > 0)
        *ret_slot = guard.free_slots[--guard.free_count];
    else if (used < GUARD_SLOT_COUNT)
        atomic_store(&guard.table->slots_used, (*ret_slot = used) + 1);
    else
        r = -EAGAIN;
    brood__registry_unlock();
    return r;
}

/* (L) */
static void slot_leave(uint32_t slot)
{
    guard.table->slots[slot].generation++;
    atomic_store(&guard.table->slots[slot].state, SLOT_FREE);
    guard.free_slots[guard.free_count++] = slot;
}

static void slot_give_up(uint32_t slot)
{
    brood__registry_lock();
    slot_leave(slot);
    brood__registry_unlock();
}

/* ---- starting ---- */

/* Threads of the program's own, beside the caller. */
static bool has_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int count = 0;

    while (tasks != NULL && readdir(tasks) != NULL)
        count++;
    if (tasks != NULL)
        (void)closedir(tasks);
    count -= 2; /* . and .. */
    return brood__reaper_is_me() || count > (brood__reaper_runs() ? 2 : 1);
}

/* What is made once and survives replacements. */
static int make_lasting_parts(int tier)
{
    int r;

    if (guard.table == NULL) {
        void *table = mmap(NULL, sizeof *guard.table, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (table == MAP_FAILED)
            return -ENOMEM;
        guard.table = table;
    }
    if (guard.free_slots == NULL) {
        guard.free_slots = calloc(GUARD_SLOT_COUNT, sizeof *guard.free_slots);
        if (guard.free_slots == NULL)
            return -ENOMEM;
    }
    r = brood__start_time(brood__process_id(), &guard.start_time);
    if (r == 0 && guard.mark.fd < 0)
        r = brood__mark_create(&guard.mark);
    if (r < 0)
        return r;
    if (guard.cgroup.children < 0 && tier != BROOD_TIER_A &&
        brood__cgroup_create(&guard.cgroup, guard.start_time, guard.mark.id,
                             tier == BROOD_TIER_B) < 0 &&
        tier == BROOD_TIER_B)
        return -ENOTSUP;
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
    pid = guard.late ? fork_twice() : brood__fork_hidden();
    if (pid != 0)
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* Takes one message of the helpers that is not an answer: who they are. */
static int take_hello(const struct brood__say *say, int pidfd)
{
    int *place = say->what == SAY_GUARDIAN     ? &guard.guardian
                 : say->what == SAY_FORKSERVER ? &guard.forkserver
                                               : NULL;

    if (place == NULL || pidfd < 0) {
        brood__fd_close(&pidfd);
        return say->what == SAY_FAILED && say->error < 0 ? say->error : 0;
    }
    if (place == &guard.forkserver && *place >= 0)
        guard.restarts++;
    brood__fd_close(place);
    *place = brood__fd_above_stdio(pidfd);
    return *place < 0 ? *place : 0;
}

/* One message from the helpers, with at most one descriptor; -EAGAIN if none came in time,
 * -ECONNRESET when both are gone. */
static int receive(struct brood__say *ret_say, int *ret_pidfd, int64_t deadline)
{
    struct pollfd entry = { .fd = guard.socket, .events = POLLIN };
    size_t count;
    ssize_t n;
    int r = brood__poll(&entry, 1, deadline);

    if (r <= 0)
        return r < 0 ? r : -EAGAIN;
    *ret_pidfd = -1;
    n = brood__receive(guard.socket, ret_say, sizeof *ret_say, ret_pidfd, 1, &count,
                       MSG_DONTWAIT);
    if (n == -EAGAIN || n == -EMFILE)
        return (int)n;
    return n == (ssize_t)sizeof *ret_say ? 0 : -ECONNRESET;
}

static int await_hellos(void)
{
    const int64_t deadline = brood__now() + HELLO_NS;

    while (guard.guardian < 0 || guard.forkserver < 0) {
        struct brood__say say;
        int pidfd, r = receive(&say, &pidfd, deadline);

        if (r == 0)
            r = take_hello(&say, pidfd);
        if (r < 0)
            return r == -ECONNRESET ? -EAGAIN : r;
    }
    return 0;
}

/* Reaps a guardian that is our child; -ECHILD says that it is not, or not yet dead. */
static void reap_guardian(void)
{
    struct rusage usage;
    siginfo_t info;

    if (guard.guardian >= 0)
        (void)brood__wait_pidfd(guard.guardian, WEXITED | WNOHANG | __WALL, &info, &usage);
}

static void close_ends(void)
{
    reap_guardian();
    brood__registry_lock();
    brood__reaper_watch_guardian(-1);
    brood__registry_unlock();
    brood__fd_close(&guard.socket);
    brood__fd_close(&guard.guardian);
    brood__fd_close(&guard.forkserver);
    guard.running = false;
}

static int fork_helpers(int tier)
{
    struct brood__kit kit = { .table = guard.table,
                              .mark = guard.mark,
                              .cgroup = guard.cgroup,
                              .start_time = guard.start_time,
                              .program_pid = brood__process_id(),
                              .guardian = -1,
                              .forkserver = -1,
                              .tier = tier };
    int pair[2], r = brood__fd_socketpair(pair);

    if (r < 0)
        return r;
    kit.socket = pair[1];
    kit.program = brood__pidfd_open(kit.program_pid);
    r = kit.program;
    if (r >= 0) {
        brood__flush_stdio();
        (void)madvise(guard.table, sizeof *guard.table, MADV_DOFORK);
        r = fork_guardian();
        if (r == 0)
            brood__guardian_main(&kit);
        /* Children have no business with the table. */
        (void)madvise(guard.table, sizeof *guard.table, MADV_DONTFORK);
    }
    brood__fd_close(&kit.program);
    (void)close(pair[1]);
    guard.socket = pair[0];
    if (r >= 0)
        r = await_hellos();
    return r < 0 ? r : 0;
}

/* Under the lock. */
static int start(int tier)
{
    int r;

    if (guard.running)
        return 0;
    brood__registry_init();
    guard.late = has_threads();
    r = make_lasting_parts(tier);
    if (r == 0)
        r = fork_helpers(tier);
    if (r == 0)
        r = brood__reaper_start();
    if (r < 0) {
        close_ends();
        return tier == BROOD_TIER_C && (r == -EPERM || r == -ENOSPC) ? -ENOTSUP : r;
    }
    guard.wanted_tier = tier;
    guard.tier = tier == BROOD_TIER_C           ? BROOD_TIER_C
                 : guard.cgroup.path[0] != '\0' ? BROOD_TIER_B
                                                : BROOD_TIER_A;
    guard.running = true;
    brood__registry_lock();
    brood__reaper_watch_guardian(guard.guardian);
    brood__registry_unlock();
    return 0;
}

/* ---- replacing ---- */

/*
 * Guardian and forkserver are dead, so their children are dead or dying, and nobody will
 * enter their ends: those not entered yet are ended here, as unknown or as the kernel still
 * knows. Returns how many have not died yet.
 */
static int end_lost_children(bool kill_them)
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
        slot_leave((uint32_t)process->slot);
        brood__child_ended(process, NULL, NULL);
    }
    brood__registry_unlock();
    return left;
}

/* Waits for a helper that has no reason to live any more; kills it when that takes long. */
static void await_helper(int pidfd)
{
    struct pollfd entry = { .fd = pidfd, .events = POLLIN };

    if (pidfd >= 0 && brood__poll(&entry, 1, brood__now() + FINISH_NS) == 0)
        (void)brood__pidfd_signal(pidfd, SIGKILL);
}

/* Under the lock. The guardian is dead, and so its forkserver ends its children and itself. */
static int replace(void)
{
    int tier = guard.wanted_tier;

    if (guard.running) {
        await_helper(guard.forkserver);
        close_ends();
        guard.restarts++;
        for (int i = 0; end_lost_children(i > 100) > 0 && i < 2000; i++)
            (void)poll(NULL, 0, 1);
    }
    return start(tier);
}

int brood__guard_replace(void)
{
    bool needed;
    int r = 0;

    (void)pthread_mutex_lock(&guard.lock);
    needed = !brood__registry_is_shut_down() &&
             (!guard.running || !brood__pidfd_alive(guard.guardian));
    if (needed)
        r = replace();
    (void)pthread_mutex_unlock(&guard.lock);
    if (r < 0)
        brood__log(BROOD_LOG_ERROR, "the guardian died and cannot be replaced yet: %s",
                   brood_strerror(r));
    else if (needed)
        brood__log(BROOD_LOG_WARNING, "the guardian died and was replaced");
    return r;
}

/* ---- bonds ---- */

static int ensure(void)
{
    bool was_running, late;
    int r;

    (void)pthread_mutex_lock(&guard.lock);
    was_running = guard.running;
    r = start(guard.wanted_tier);
    late = guard.late;
    (void)pthread_mutex_unlock(&guard.lock);
    if (r == 0 && !was_running && late)
        brood__log(BROOD_LOG_WARNING, "the guardian was started late, with threads running");
    return r;
}

int brood__guard_bond(struct brood__bond *ret_bond)
{
    int r = ensure();

    if (r < 0)
        return r;
    ret_bond->mark = guard.mark;
    ret_bond->index = atomic_fetch_add(&guard.marks, 1) + 1;
    ret_bond->cgroup = guard.cgroup.children;
    return 0;
}

const char *brood__guard_mark_id(void)
{
    return guard.mark.fd >= 0 ? guard.mark.id : "";
}

uint64_t brood__guard_start_time(void)
{
    return guard.start_time;
}

_Atomic int32_t *brood__guard_launching_take(void)
{
    for (unsigned i = 0;; i = (i + 1) % GUARD_LAUNCH_COUNT) {
        int32_t expected = 0;

        if (atomic_compare_exchange_strong(&guard.table->launching[i], &expected, -1))
            return &guard.table->launching[i];
        if (i == GUARD_LAUNCH_COUNT - 1)
            (void)sched_yield();
    }
}

/* ---- requests ---- */

/* Puts a launch that is too long for a message into a file. */
static int launch_file(const struct brood__launch *launch)
{
    const char *bytes = (const char *)launch;
    size_t done = 0;
    int fd = brood__memfd("brood-launch");

    while (fd >= 0 && done < launch->bytes) {
        ssize_t n = write(fd, bytes + done, launch->bytes - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int error = n < 0 ? errno : EIO;

            (void)close(fd);
            return -error;
        }
        done += (size_t)n;
    }
    return fd;
}

static int send_request(const struct brood__launch *l, uint32_t slot)
{
    static char message[sizeof(struct brood__say) + BROOD__INLINE_BYTES_MAX]; /* (lock) */
    struct brood__say say = { .what = SAY_REQUEST,
                              .slot = slot,
                              .generation = guard.table->slots[slot].generation,
                              .launch_bytes = l->bytes };
    const int *named = brood__launch_ints(l, &l->descriptors);
    int fds[BROOD__FDS_MAX], file = -1, r;
    size_t count = 0, bytes = sizeof say;

    for (int i = 0; i < 3; i++)
        if (l->stdio[i] > 0)
            fds[count++] = l->stdio[i];
    for (size_t i = 0; i < l->descriptors.count; i++)
        fds[count++] = named[i];
    if (l->bytes > BROOD__INLINE_BYTES_MAX) {
        file = launch_file(l);
        if (file < 0)
            return file;
        fds[count++] = file;
        say.in_file = 1;
    } else {
        memcpy(message + sizeof say, l, l->bytes);
        bytes += l->bytes;
    }
    memcpy(message, &say, sizeof say);
    r = brood__send(guard.socket, message, bytes, fds, count, 0);
    brood__fd_close(&file);
    return r == -EPIPE ? -ECONNRESET : r;
}

enum progress { WAITING, DONE, AGAIN };

/* Where a request stands, by its slot. AGAIN: the forkserver died before the child ran. */
static enum progress look_at(struct guard_slot *slot, uint32_t epoch, int pidfd)
{
    bool cannot_change =
        atomic_load(&guard.table->epoch) != epoch || (pidfd >= 0 && !brood__pidfd_alive(pidfd));

    if (atomic_load_explicit(&slot->state, memory_order_acquire) != SLOT_REQUESTED)
        return DONE;
    return cannot_change ? AGAIN : WAITING;
}

/* Waits for the forkserver's answer to this request, with the child's pidfd. */
static int await_answer(uint32_t slot, uint32_t epoch, int *ret_pidfd)
{
    struct guard_slot *s = &guard.table->slots[slot];

    for (;;) {
        struct brood__say say;
        int pidfd, r = receive(&say, &pidfd, brood__now() + SLICE_NS);

        if (r == -EAGAIN && atomic_load(&guard.table->epoch) == epoch)
            continue;
        if (r == -EAGAIN) /* answered or not, the child is dead */
            return look_at(s, epoch, -1) == DONE ? 0 : -EAGAIN;
        if (r < 0)
            return r;
        if (say.what == SAY_GUARDIAN || say.what == SAY_FORKSERVER) {
            r = take_hello(&say, pidfd);
            if (r < 0)
                return r;
            continue;
        }
        if (say.slot != slot || say.generation != s->generation) {
            brood__fd_close(&pidfd); /* an answer to a request given up since */
            continue;
        }
        *ret_pidfd = pidfd < 0 ? -1 : brood__fd_above_stdio(pidfd);
        return say.what == SAY_STARTED ? 0 : say.error < 0 ? say.error : -EAGAIN;
    }
}

/* Waits until the child says that it runs, or why not: a short spin, for that is near. */
static int await_birth(struct guard_slot *slot, uint32_t epoch, int pidfd)
{
    for (int i = 0;; i++) {
        switch (look_at(slot, epoch, i % 64 == 63 ? pidfd : -1)) {
        case DONE: return atomic_load(&slot->state) == SLOT_FAILED ? slot->error : 0;
        case AGAIN: return -EAGAIN;
        case WAITING: break;
        }
        if (i >= 200)
            brood__futex_wait(&slot->state, SLOT_REQUESTED, SLICE_NS / 10);
    }
}

/* One try. -ECONNRESET: both helpers are gone. -EAGAIN with the slot still REQUESTED: the
 * child is dead and has run nothing. */
static int request(struct brood__launch *launch, uint32_t slot, int *ret_pidfd)
{
    struct guard_slot *s = &guard.table->slots[slot];
    uint32_t epoch = atomic_load(&guard.table->epoch);
    int r;

    *ret_pidfd = -1;
    atomic_store(&s->state, SLOT_REQUESTED);
    r = send_request(launch, slot);
    if (r == 0)
        r = await_answer(slot, epoch, ret_pidfd);
    if (r == 0)
        r = await_birth(s, epoch, *ret_pidfd);
    if (r < 0)
        brood__fd_close(ret_pidfd);
    return r;
}

pid_t brood__guard_fork(struct brood__launch *launch, int *ret_pidfd, int *ret_slot)
{
    uint32_t slot = 0;
    pid_t pid;
    int r;

    (void)pthread_mutex_lock(&guard.lock);
    r = start(guard.wanted_tier);
    if (r == 0)
        r = slot_take(&slot);
    if (r < 0) {
        (void)pthread_mutex_unlock(&guard.lock);
        return r;
    }
    for (int i = 0; i < TRIES_MAX; i++) {
        r = request(launch, slot, ret_pidfd);
        if (r == -ECONNRESET) {
            uint32_t state = atomic_load(&guard.table->slots[slot].state);

            r = replace();
            if (r == 0 && state == SLOT_REQUESTED)
                r = -EAGAIN;
            else
                break; /* it was born, and has died with its forkserver */
        }
        if (r != -EAGAIN || atomic_load(&guard.table->slots[slot].state) != SLOT_REQUESTED)
            break;
    }
    pid = guard.table->slots[slot].pid;
    if (r == 0 && guard.tier == BROOD_TIER_C && brood__pidfd_pid(*ret_pidfd) > 0)
        pid = brood__pidfd_pid(*ret_pidfd); /* as this namespace sees it */
    (void)pthread_mutex_unlock(&guard.lock);
    if (r < 0) {
        slot_give_up(slot);
        return r;
    }
    *ret_slot = (int)slot;
    return pid;
}

/* ---- ends ---- */

bool brood__guard_reap(brood_process *process)
{
    struct guard_slot *slot = &guard.table->slots[process->slot];
    struct rusage usage = { 0 };
    siginfo_t info = { 0 };

    if (atomic_load_explicit(&slot->state, memory_order_acquire) != SLOT_ENDED)
        return false;
    info.si_code = slot->code;
    info.si_status = slot->status;
    usage.ru_utime.tv_sec = (time_t)(slot->user_us / 1000000);
    usage.ru_utime.tv_usec = (suseconds_t)(slot->user_us % 1000000);
    usage.ru_stime.tv_sec = (time_t)(slot->system_us / 1000000);
    usage.ru_stime.tv_usec = (suseconds_t)(slot->system_us % 1000000);
    usage.ru_maxrss = slot->max_rss_kib;
    usage.ru_minflt = slot->minor_faults;
    usage.ru_majflt = slot->major_faults;
    slot_leave((uint32_t)process->slot);
    if (info.si_code == 0) /* its forkserver died between reaping it and saying so */
        brood__child_ended(process, NULL, NULL);
    else
        brood__child_ended(process, &info, &usage);
    return true;
}

void brood__guard_await_report(int slot)
{
    _Atomic uint32_t *state = &guard.table->slots[slot].state;

    for (int i = 0; i < 200; i++)
        if (atomic_load(state) == SLOT_ENDED)
            return;
    brood__futex_wait(state, SLOT_BORN, 2000000);
}

void brood__guard_finish(void)
{
    (void)pthread_mutex_lock(&guard.lock);
    if (guard.running) {
        struct pollfd entry = { .fd = guard.guardian, .events = POLLIN };

        atomic_store(&guard.table->finishing, 1);
        (void)brood__pidfd_signal(guard.guardian, SIGTERM);
        (void)brood__poll(&entry, 1, brood__now() + FINISH_NS);
        await_helper(guard.forkserver);
        for (int i = 0; end_lost_children(i > 100) > 0 && i < 2000; i++)
            (void)poll(NULL, 0, 1);
    }
    close_ends();
    brood__cgroup_remove(&guard.cgroup);
    brood__cgroup_close(&guard.cgroup);
    brood__fd_close(&guard.mark.fd);
    (void)pthread_mutex_unlock(&guard.lock);
}

void brood__guard_after_fork(bool closing_all)
{
    if (!closing_all) {
        brood__fd_close(&guard.socket);
        brood__fd_close(&guard.guardian);
        brood__fd_close(&guard.forkserver);
        brood__fd_close(&guard.mark.fd);
        brood__cgroup_close(&guard.cgroup);
    }
    free(guard.free_slots);
    memset(&guard, 0, sizeof guard);
    guard.socket = guard.guardian = guard.forkserver = guard.mark.fd = -1;
    guard.cgroup.children = guard.cgroup.forkserver = -1;
    (void)pthread_mutex_init(&guard.lock, NULL);
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
    if (o.tier < BROOD_TIER_BEST || o.tier > BROOD_TIER_C || o.reserved != 0)
        return -EINVAL;
    if (brood__registry_is_shut_down())
        return -ESHUTDOWN;
    (void)pthread_mutex_lock(&guard.lock);
    was_running = guard.running;
    if (!guard.running)
        r = start(o.tier);
    else if (o.tier != BROOD_TIER_BEST && o.tier != guard.tier)
        r = -EALREADY;
    late = guard.late;
    (void)pthread_mutex_unlock(&guard.lock);
    if (r == 0 && !was_running && late)
        brood__log(BROOD_LOG_WARNING, "the guardian was started late, with threads running");
    return r;
}

int brood_guardian_status(brood_guardian_info *ret_info)
{
    brood_guardian_info info = BROOD_GUARDIAN_INFO_INIT;
    struct brood__say say;
    int pidfd;

    if (ret_info == NULL || ret_info->size < sizeof info)
        return -EINVAL;
    (void)pthread_mutex_lock(&guard.lock);
    if (!guard.running) {
        (void)pthread_mutex_unlock(&guard.lock);
        return -ESRCH;
    }
    while (receive(&say, &pidfd, 0) == 0)
        (void)take_hello(&say, pidfd);
    info.tier = guard.tier;
    info.guardian_pid = brood__pidfd_pid(guard.guardian);
    info.forkserver_pid = brood__pidfd_pid(guard.forkserver);
    info.restart_count = guard.restarts;
    info.started_late = guard.late;
    (void)snprintf(info.guarantee, sizeof info.guarantee, "%s", guarantees[guard.tier]);
    (void)pthread_mutex_unlock(&guard.lock);
    return brood__result_write(ret_info, sizeof info, &info, sizeof info);
}
