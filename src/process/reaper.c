#include "process/reaper.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/linux.h"
#include "process/guard.h"
#include "process/registry.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define STACK_BYTES_MIN ((size_t)8 << 20)
#define STACK_BYTES_MAX ((size_t)1 << 30)
#define TICK_MS 50 /* how soon to look at new children */
#define NS_PER_MS ((int64_t)1000000)
#define UNSETTLED_MS 2 /* at ended ones whose report has still to come from the forkserver */
#define RETRY_MS 100   /* at a guardian that could not be replaced */

/* What an event is about: a child's id, or one of these; ids have a generation over 0. */
#define ABOUT_WAKE 0
#define ABOUT_GUARDIAN 1

static struct {
    bool running;
    bool stopping; /* (L) */
    pthread_t thread;
    int epoll;
    int wake;            /* a timerfd */
    int guardian;        /* (L) the pidfd watched, or -1 */
    bool resting;        /* (L) the thread is in epoll_wait(), or about to take the lock */
    bool ticking;        /* (L) the thread wakes within a tick */
    unsigned soon_count; /* (L) children to be looked at soon */
    bool unsettled;      /* (L) */
} reaper = { .epoll = -1, .wake = -1, .guardian = -1 };

static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER;

/* By a timer, so that a start wakes no other processor: when it is over, the thread most
 * often finds nothing left to look at. */
static void wake_in(int64_t ns)
{
    const struct itimerspec when = { .it_value.tv_nsec = (long)ns };

    if (reaper.wake >= 0)
        (void)timerfd_settime(reaper.wake, 0, &when, NULL);
}

static int epoll_add(int fd, uint64_t about)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = about };

    return epoll_ctl(reaper.epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* ---- what others ask ---- */

void brood__reaper_watch(brood_process *process)
{
    if (process->watched || process->soon)
        return;
    process->soon = true;
    reaper.soon_count++;
    if (!reaper.ticking) {
        reaper.ticking = true;
        wake_in(TICK_MS * NS_PER_MS);
    }
}

void brood__reaper_forget(brood_process *process)
{
    if (process->watched)
        (void)epoll_ctl(reaper.epoll, EPOLL_CTL_DEL, process->pidfd, NULL);
    if (process->soon)
        reaper.soon_count--;
    process->watched = process->soon = false;
}

void brood__reaper_watch_guardian(int pidfd)
{
    if (reaper.guardian >= 0)
        (void)epoll_ctl(reaper.epoll, EPOLL_CTL_DEL, reaper.guardian, NULL);
    reaper.guardian = pidfd >= 0 && epoll_add(pidfd, ABOUT_GUARDIAN) == 0 ? pidfd : -1;
}

/* ---- the thread ---- */

static void child_event(uint64_t id)
{
    brood_process *process;

    brood__registry_lock();
    process = brood__registry_find(id);
    if (process != NULL && process->watched && !brood__child_reap(process)) {
        brood__reaper_forget(process); /* its report is on its way */
        brood__reaper_watch(process);
        reaper.unsettled = true;
    }
    brood__registry_unlock();
}

/* One that runs goes into the epoll set, or where that is full is looked at again. */
static void look_at(brood_process *process)
{
    if (!process->soon || brood__child_reap(process))
        return;
    if (!brood__pidfd_alive(process->pidfd)) {
        reaper.unsettled = true;
    } else if (epoll_add(process->pidfd, process->id) == 0) {
        brood__reaper_forget(process);
        process->watched = true;
    }
}

static void tick(void)
{
    brood_process *process, *older;

    brood__registry_lock();
    reaper.unsettled = false;
    for (process = brood__registry_newest(); process != NULL && reaper.soon_count > 0;
         process = older) {
        older = process->older;
        look_at(process);
    }
    brood__registry_unlock();
}

/* Milliseconds to sleep, -1 for ever. `tick_at` is when the last tick was to end. */
static int next_timeout(int64_t *tick_at, bool guardian_missing)
{
    int64_t now = brood__now();
    int period, left;

    brood__registry_lock();
    reaper.resting = true;
    reaper.ticking = reaper.soon_count > 0;
    period = !reaper.ticking ? -1 : reaper.unsettled ? UNSETTLED_MS : TICK_MS;
    brood__registry_unlock();
    if (guardian_missing && (period < 0 || period > RETRY_MS))
        period = RETRY_MS;
    if (period < 0) {
        *tick_at = BROOD__NEVER;
        return -1;
    }
    if (*tick_at == BROOD__NEVER || *tick_at > now + period * NS_PER_MS)
        *tick_at = now + period * NS_PER_MS;
    left = *tick_at <= now ? 0 : (int)((*tick_at - now + NS_PER_MS - 1) / NS_PER_MS);
    return left;
}

static void set_resting(bool resting)
{
    brood__registry_lock();
    reaper.resting = resting;
    brood__registry_unlock();
}

static bool is_stopping(void)
{
    bool stopping;

    brood__registry_lock();
    stopping = reaper.stopping;
    brood__registry_unlock();
    return stopping;
}

static void *reaper_main(void *unused)
{
    struct epoll_event events[EVENTS_MAX];
    int64_t tick_at = BROOD__NEVER;
    bool guardian_missing = false;
    uint64_t ignored;

    (void)pthread_setname_np(pthread_self(), "brood-reaper");
    while (!is_stopping()) {
        int timeout = next_timeout(&tick_at, guardian_missing);
        int n = epoll_wait(reaper.epoll, events, EVENTS_MAX, timeout);

        set_resting(false);

        for (int i = 0; i < n; i++) {
            if (events[i].data.u64 == ABOUT_WAKE)
                tick_at = read(reaper.wake, &ignored, sizeof ignored) < 0 ? tick_at : 0;
            else if (events[i].data.u64 == ABOUT_GUARDIAN)
                guardian_missing = true;
            else
                child_event(events[i].data.u64);
        }
        if (tick_at <= brood__now()) {
            tick();
            tick_at = BROOD__NEVER;
        }
        if (guardian_missing)
            guardian_missing = brood__guard_replace() < 0;
    }
    return unused;
}

static int open_descriptors(void)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int r;

    if (epoll < 0)
        return -errno;
    reaper.epoll = brood__fd_above_stdio(epoll);
    if (reaper.epoll < 0)
        return reaper.epoll;
    r = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    r = r < 0 ? -errno : brood__fd_above_stdio(r);
    if (r < 0)
        return r;
    reaper.wake = r;
    r = epoll_add(reaper.wake, ABOUT_WAKE);
    return r == -ENOSPC ? -EAGAIN : r; /* the user's limit of watches, not a disk's */
}

static bool is_resting(void)
{
    bool resting;

    brood__registry_lock();
    resting = reaper.resting;
    brood__registry_unlock();
    return resting;
}

/* As large as the main thread's: when the reaper replaces the guardian, the new forkserver is
 * a copy of this thread, and its children run the program's functions on this stack. It is
 * only address space. */
static size_t stack_bytes(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_STACK, &limit) < 0 || limit.rlim_cur < STACK_BYTES_MIN ||
        limit.rlim_cur > STACK_BYTES_MAX)
        return STACK_BYTES_MIN;
    return limit.rlim_cur;
}

/* The thread runs with all signals blocked, so that the program's handlers run in the
 * program's threads. */
static int start_thread(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    int r;

    (void)pthread_attr_init(&attributes);
    (void)pthread_attr_setstacksize(&attributes, stack_bytes());
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&reaper.thread, &attributes, reaper_main, NULL);
    while (r == 0 && !is_resting()) /* a fork must not meet it in libc's thread start */
        (void)sched_yield();
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attributes);
    return -r;
}

int brood__reaper_start(void)
{
    int r = 0;

    (void)pthread_mutex_lock(&starting);
    if (!reaper.running) {
        reaper.stopping = reaper.resting = false;
        r = open_descriptors();
        if (r == 0)
            r = start_thread();
        reaper.running = r == 0;
        if (r < 0) {
            brood__fd_close(&reaper.epoll);
            brood__fd_close(&reaper.wake);
        }
    }
    (void)pthread_mutex_unlock(&starting);
    return r;
}

bool brood__reaper_runs(void)
{
    bool runs;

    (void)pthread_mutex_lock(&starting);
    runs = reaper.running;
    (void)pthread_mutex_unlock(&starting);
    return runs;
}

bool brood__reaper_is_resting(void)
{
    return reaper.epoll < 0 || reaper.resting;
}

bool brood__reaper_is_me(void)
{
    return brood__reaper_runs() && pthread_equal(reaper.thread, pthread_self());
}

void brood__reaper_stop(void)
{
    (void)pthread_mutex_lock(&starting);
    if (reaper.running && !pthread_equal(reaper.thread, pthread_self())) {
        brood__registry_lock();
        reaper.stopping = true;
        brood__registry_unlock();
        wake_in(1);
        (void)pthread_join(reaper.thread, NULL);
        brood__registry_lock();
        brood__fd_close(&reaper.epoll);
        brood__fd_close(&reaper.wake);
        reaper.guardian = -1;
        reaper.running = false;
        brood__registry_unlock();
    }
    (void)pthread_mutex_unlock(&starting);
}

void brood__reaper_after_fork(bool closing_all)
{
    if (!closing_all) {
        brood__fd_close(&reaper.epoll);
        brood__fd_close(&reaper.wake);
    }
    memset(&reaper, 0, sizeof reaper);
    reaper.epoll = reaper.wake = reaper.guardian = -1;
    (void)pthread_mutex_init(&starting, NULL);
}
