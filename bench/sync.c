/*
 * sync: locks and the like beside those of pthreads, POSIX, the kernel and Python.
 * Asks     what does it cost that nobody can take a lock to the grave?
 * Reports  sync_alone: ns for an acquire and a release that nobody disturbs.
 *          sync_2, sync_4: pairs a second of as many processes that do nothing else, and the
 *          share of the slowest in that of the fastest. sync_barrier: ns a meeting.
 *          sync_recovery: us from SIGKILL of the holder to a sleeping waiter's having it.
 * Holds    objects a cache line or more apart; peers in turn, in one process or in the same
 *          processes. brood_event stands beside posting and waiting for a semaphore, POSIX
 *          having no events. Python's pairs run in a process of its own.
 */
#include "bench.h"
#include "sync_peers.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIR_COUNT 20000
#define ROUND_COUNT 60
#define CONTENDED_NS 60000000
#define CONTENDED_ROUND_COUNT 15
#define PROCESS_COUNT_MAX 4

/* ---- nobody else ---- */

static double time_pairs(void (*pair)(void), int count)
{
    int64_t start = bench_now();

    for (int i = 0; i < count; i++)
        pair();
    return (double)(bench_now() - start) / count;
}

static int python_partner(const char *count, struct bench_partner *ret_partner)
{
    const char *script = getenv("BENCH_PYTHON_SYNC");
    const char *argv[] = { "/usr/bin/python3", script, count, NULL };

    return script == NULL ? -ENOENT : bench_partner_exec(argv, ret_partner);
}

int sync_alone(struct bench *bench)
{
    static const char *const python[] = { "python_lock", "python_semaphore", "python_event" };
    static const char *const ours[] = { "brood_lock", "brood_semaphore", "brood_event" };
    struct bench_partner partner;
    int r = sync_peers_create();

    if (r == 0)
        r = python_partner(NULL, &partner);
    if (r < 0)
        return r;
    for (int round = -1; round < ROUND_COUNT; round++) { /* the first warms up */
        for (const struct sync_peer *p = sync_peers; p->name != NULL; p++) {
            double ns = time_pairs(p->pair, PAIR_COUNT);

            if (round >= 0)
                bench_add(bench, p->name, "ns", ns);
        }
        for (int i = 0; r == 0 && i < 3 && round >= 0; i++) {
            double ns;

            r = bench_partner_ask(&partner, python[i], 1, &ns);
            if (r == 0)
                bench_add(bench, python[i], "ns", ns);
        }
    }
    bench_partner_end(&partner);
    for (const struct sync_peer *p = sync_peers; p->name != NULL; p++)
        if (p->against != NULL)
            bench_compare(bench, p->name, p->against,
                          p->ratio_max > 0 ? BAR_RATIO_MAX : BAR_NONE, p->ratio_max);
    for (int i = 0; i < 3; i++)
        bench_compare(bench, ours[i], python[i], i == 0 ? BAR_RATIO_MAX : BAR_NONE, 0.5);
    return r;
}

/* ---- several at once ---- */

static struct arena {
    _Atomic int command; /* an index in sync_peers; -1: rest, -2: end */
    _Atomic int resting;
    struct {
        _Alignas(256) _Atomic uint64_t pairs;
    } done[PROCESS_COUNT_MAX];
} * arena;

/* Two have a processor each: on one they would take turns, and seldom meet. */
static void pin(int number, int count)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET((unsigned)number, &set);
    if (count == 2)
        (void)sched_setaffinity(0, sizeof set, &set);
}

static void contend(int number)
{
    uint64_t pairs = 0;
    int command;

    for (;;) {
        while ((command = atomic_load(&arena->command)) == -1)
            usleep(500);
        if (command == -2)
            _exit(0);
        pairs = 0;
        while (atomic_load_explicit(&arena->command, memory_order_relaxed) == command) {
            for (int i = 0; i < 16; i++)
                sync_peers[command].pair();
            pairs += 16;
        }
        atomic_store(&arena->done[number].pairs, pairs);
        atomic_fetch_add(&arena->resting, 1);
    }
}

static void one_round(struct bench *bench, int peer, int count, char names[][64])
{
    uint64_t sum = 0, least = UINT64_MAX, most = 0;
    int64_t start;
    double seconds;

    atomic_store(&arena->resting, 0);
    start = bench_now();
    atomic_store(&arena->command, peer);
    usleep(CONTENDED_NS / 1000);
    atomic_store(&arena->command, -1);
    seconds = (double)(bench_now() - start) / 1e9;
    while (atomic_load(&arena->resting) < count)
        usleep(100);
    for (int i = 0; i < count; i++) {
        uint64_t pairs = atomic_load(&arena->done[i].pairs);

        sum += pairs;
        least = pairs < least ? pairs : least;
        most = pairs > most ? pairs : most;
    }
    if (bench == NULL)
        return;
    bench_add(bench, sync_peers[peer].name, "1/s", (double)sum / seconds);
    bench_add(bench, names[peer], "min/max", most == 0 ? 0 : (double)least / (double)most);
}

static int python_contended(struct bench *bench, struct bench_partner *partner)
{
    static const char *const names[] = { "python_lock", "python_semaphore" };
    int r = 0;

    for (int i = 0; r == 0 && i < 2; i++) {
        double rate;

        r = bench_partner_ask(partner, names[i], 1, &rate);
        if (r == 0)
            bench_add(bench, names[i], "1/s", rate);
    }
    return r;
}

static int contended(struct bench *bench, int count)
{
    static char names[16][64];
    struct bench_partner python;
    pid_t pids[PROCESS_COUNT_MAX];
    int r = sync_peers_create(), peer_count = 0;

    if (r == 0)
        r = python_partner(count == 2 ? "2" : "4", &python);
    if (r < 0)
        return r;
    arena =
        mmap(NULL, sizeof *arena, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (arena == MAP_FAILED)
        return -errno;
    atomic_store(&arena->command, -1);
    for (int i = 0; i < count; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            pin(i, count);
            contend(i);
        }
    }
    for (; sync_peers[peer_count].name != NULL; peer_count++)
        snprintf(names[peer_count], sizeof names[0], "%s.share", sync_peers[peer_count].name);
    for (int round = -1; r == 0 && round < CONTENDED_ROUND_COUNT; round++) {
        for (int i = 0; i < peer_count - 1; i++) /* an event is set and cleared by one */
            one_round(round < 0 ? NULL : bench, i, count, names);
        if (round >= 0)
            r = python_contended(bench, &python);
    }
    atomic_store(&arena->command, -2);
    for (int i = 0; i < count; i++)
        waitpid(pids[i], NULL, 0);
    bench_partner_end(&python); /* after those who have copies of its pipes */
    for (int i = 0; i < peer_count - 1; i++)
        if (sync_peers[i].against != NULL)
            bench_compare(bench, sync_peers[i].name, sync_peers[i].against,
                          sync_peers[i].rate_min > 0 ? BAR_RATIO_MIN : BAR_NONE,
                          sync_peers[i].rate_min);
    bench_compare(bench, "brood_lock", "python_lock", BAR_NONE, 0);
    bench_compare(bench, "brood_semaphore", "python_semaphore", BAR_NONE, 0);
    return r;
}

int sync_2(struct bench *bench)
{
    return contended(bench, 2);
}

int sync_4(struct bench *bench)
{
    return contended(bench, 4);
}

/* ---- barriers ---- */

#define MEETING_COUNT 200

static int barrier_of(struct bench *bench, unsigned parties, const char *ours,
                      const char *theirs)
{
    void (*const meet[2])(void) = { sync_meet_brood, sync_meet_pthread };
    const char *const names[2] = { ours, theirs };
    pid_t pids[PROCESS_COUNT_MAX];
    int r = sync_barriers_create(parties);

    if (r < 0)
        return r;
    for (unsigned i = 1; i < parties; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            for (int round = -1; round < ROUND_COUNT; round++)
                for (int m = 0; m < 2; m++)
                    for (int n = 0; n < MEETING_COUNT; n++)
                        meet[m]();
            _exit(0);
        }
    }
    for (int round = -1; round < ROUND_COUNT; round++)
        for (int m = 0; m < 2; m++) {
            double ns = time_pairs(meet[m], MEETING_COUNT);

            if (round >= 0)
                bench_add(bench, names[m], "ns", ns);
        }
    for (unsigned i = 1; i < parties; i++)
        waitpid(pids[i], NULL, 0);
    bench_compare(bench, ours, theirs, BAR_RATIO_MAX, 1);
    return 0;
}

int sync_barrier(struct bench *bench)
{
    int r = barrier_of(bench, 2, "brood_barrier_2", "pthread_barrier_2");

    return r < 0 ? r : barrier_of(bench, 4, "brood_barrier_4", "pthread_barrier_4");
}

/* ---- recovery ---- */

#define KILL_COUNT 100

struct taken {
    _Atomic int64_t when;
    _Atomic int recovered;
};

/* Microseconds from the kill to the waiter's having the lock; negative: it was not told. */
static double recovery(int (*keep)(void), int (*take)(void), struct taken *taken)
{
    pid_t holder, waiter;
    int ready[2];
    char byte;
    int64_t killed;

    if (pipe(ready) < 0)
        return -1;
    holder = fork();
    if (holder == 0) {
        (void)keep();
        (void)!write(ready[1], "h", 1);
        for (;;)
            pause();
    }
    (void)!read(ready[0], &byte, 1);
    waiter = fork();
    if (waiter == 0) {
        (void)!write(ready[1], "w", 1);
        atomic_store(&taken->recovered, take());
        atomic_store(&taken->when, bench_now());
        _exit(0);
    }
    (void)!read(ready[0], &byte, 1);
    usleep(2000); /* it sleeps by now */
    killed = bench_now();
    kill(holder, SIGKILL);
    waitpid(waiter, NULL, 0);
    waitpid(holder, NULL, 0);
    close(ready[0]);
    close(ready[1]);
    if (!atomic_load(&taken->recovered))
        return -1;
    return (double)(atomic_load(&taken->when) - killed) / 1e3;
}

int sync_recovery(struct bench *bench)
{
    struct taken *taken =
        mmap(NULL, sizeof *taken, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int r = taken == MAP_FAILED ? -errno : sync_peers_create();
    int told = 0;

    for (int i = 0; r == 0 && i < KILL_COUNT; i++) {
        double us = recovery(sync_keep_brood, sync_take_brood, taken);

        if (us >= 0) {
            told++;
            bench_add(bench, "brood_lock", "us", us);
        }
        us = recovery(sync_keep_pthread, sync_take_pthread, taken);
        if (us >= 0)
            bench_add(bench, "pthread_robust", "us", us);
    }
    if (r == 0) {
        bench_add(bench, "brood_lock.missed", "deaths", KILL_COUNT - told);
        bench_compare(bench, "brood_lock", NULL, BAR_MAX, 200);
        bench_compare(bench, "brood_lock.missed", NULL, BAR_MAX, 0);
        bench_compare(bench, "brood_lock", "pthread_robust", BAR_NONE, 0);
    }
    return r;
}
