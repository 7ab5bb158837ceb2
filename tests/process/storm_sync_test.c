/*
 * All nouns of shared memory at once, used by several processes of which one after the other
 * is killed at random. What each of them protects must never be torn without word of a death,
 * nobody may wait for long, and in the end everything is there again: permits, memory, slots.
 */
#include "helpers.h"

#include "shm/heap.h"
#include "shm/segment.h"

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define WORKERS 6
#define PERMITS 3
#define ROWS 4
#define KEYS 8
#define NUMBERS 16
#define WAIT brood_seconds(20) /* for what is held for microseconds: longer is a hang */

enum act { LOCK, RLOCK, RWLOCK, SEMAPHORE, EVENT, CONDITION, BARRIER, TABLE, VALUE, MAP, HEAP };
#define ACT_COUNT 11

/* Equal while nobody is at them, or the last one to be died there. */
struct pair {
    _Atomic int64_t first, second;
};

struct storm {
    brood_lock *lock, *rlock, *meeting;
    brood_rwlock *rwlock;
    brood_semaphore *permits, *signals;
    brood_event *event;
    brood_condition *condition;
    brood_barrier *barrier;
    brood_lock_table *table;
    brood_value *value;
    brood_map *map;
    struct pair by_lock, by_rlock, by_rwlock, by_row[ROWS];
    _Atomic int stop;
    _Atomic int64_t acts[ACT_COUNT];
    _Atomic int64_t recovered;
    _Atomic int failed;
    char failure[200];
};

static brood_shared *shared;
static struct storm *storm;
static unsigned seed;

static unsigned some(unsigned count)
{
    return (unsigned)rand_r(&seed) % count;
}

/* The first failure is told by the case; a worker cannot. */
#define EXPECT(holds, r)                                                                       \
    do {                                                                                       \
        if (!(holds)) {                                                                        \
            if (atomic_fetch_add(&storm->failed, 1) == 0)                                      \
                (void)snprintf(storm->failure, sizeof storm->failure, "line %d: %s (%d)",      \
                               __LINE__, #holds, (int)(r));                                    \
            _exit(1);                                                                          \
        }                                                                                      \
    } while (0)

static void change(struct pair *pair, int r)
{
    if (r == BROOD_LOCK_RECOVERED) {
        atomic_store(&pair->second, atomic_load(&pair->first));
        atomic_fetch_add(&storm->recovered, 1);
    }
    EXPECT(atomic_load(&pair->first) == atomic_load(&pair->second), r);
    atomic_store(&pair->first, atomic_load(&pair->first) + 1);
    if (some(4) == 0)
        (void)sched_yield(); /* so that some are killed here */
    atomic_store(&pair->second, atomic_load(&pair->second) + 1);
}

static void act_lock(void)
{
    int r = brood_lock_acquire(storm->lock, WAIT);

    EXPECT(r >= 0, r);
    change(&storm->by_lock, r);
    r = brood_lock_release(storm->lock);
    EXPECT(r == 0, r);
}

static void act_rlock(void)
{
    int r = brood_lock_acquire(storm->rlock, WAIT), again;

    EXPECT(r >= 0, r);
    again = brood_lock_acquire(storm->rlock, BROOD_NOWAIT);
    EXPECT(again == 0, again);
    change(&storm->by_rlock, r);
    r = brood_lock_release(storm->rlock);
    EXPECT(r == 0, r);
    r = brood_lock_release(storm->rlock);
    EXPECT(r == 0, r);
}

static void act_rwlock(void)
{
    bool writes = some(4) == 0;
    int r = writes ? brood_rwlock_acquire_write(storm->rwlock, WAIT)
                   : brood_rwlock_acquire_read(storm->rwlock, WAIT);

    EXPECT(r >= 0, r);
    if (writes || r == BROOD_LOCK_RECOVERED) /* then a reader is alone, too */
        change(&storm->by_rwlock, r);
    else
        EXPECT(atomic_load(&storm->by_rwlock.first) == atomic_load(&storm->by_rwlock.second),
               r);
    r = writes ? brood_rwlock_release_write(storm->rwlock)
               : brood_rwlock_release_read(storm->rwlock);
    EXPECT(r == 0, r);
}

static void act_semaphore(void)
{
    int r = brood_semaphore_acquire(storm->permits, WAIT);

    EXPECT(r == 0, r);
    if (some(3) == 0) {
        r = brood_semaphore_release(storm->signals, 1);
        EXPECT(r == 0, r);
        r = brood_semaphore_acquire(storm->signals, WAIT); /* there is one for each of us */
        EXPECT(r == 0, r);
    }
    r = brood_semaphore_release(storm->permits, 1);
    EXPECT(r == 0, r);
}

static void act_event(void)
{
    int r;

    switch (some(3)) {
    case 0: r = brood_event_set(storm->event); break;
    case 1: r = brood_event_clear(storm->event); break;
    default:
        r = brood_event_wait(storm->event, brood_ms(5));
        r = r == -ETIMEDOUT ? 0 : r;
        break;
    }
    EXPECT(r == 0, r);
}

static void act_condition(void)
{
    int r = brood_lock_acquire(storm->meeting, WAIT);

    EXPECT(r >= 0, r);
    if (some(2) == 0) {
        r = brood_condition_wait(storm->condition, storm->meeting, brood_ms(5));
        EXPECT(r >= 0 || r == -ETIMEDOUT, r);
    } else {
        r = brood_condition_notify(storm->condition, 1 + (int)some(2));
        EXPECT(r >= 0, r);
    }
    r = brood_lock_release(storm->meeting);
    EXPECT(r == 0, r);
}

/* Whoever finds it broken makes it good for the next ones. */
static void act_barrier(void)
{
    int r = brood_barrier_wait(storm->barrier, brood_ms(5), NULL);

    EXPECT(r == 0 || r == -ETIMEDOUT || r == -EPIPE, r);
    if (r < 0) {
        r = brood_barrier_reset(storm->barrier);
        EXPECT(r == 0, r);
    }
}

static void act_table(void)
{
    unsigned first = some(ROWS), second = some(ROWS);
    int r = brood_lock_table_acquire(storm->table, &first, sizeof first, BROOD_LOCK_EXCLUSIVE,
                                     WAIT, NULL);

    EXPECT(r >= 0, r);
    change(&storm->by_row[first], r);
    r = brood_lock_table_acquire(storm->table, &second, sizeof second, BROOD_LOCK_EXCLUSIVE,
                                 WAIT, NULL);
    EXPECT(r >= 0 || r == -EDEADLK, r);
    if (r >= 0)
        change(&storm->by_row[second], second == first ? 0 : r);
    r = brood_lock_table_release_all(storm->table);
    EXPECT(r >= 1, r);
}

static int next_numbers(void *bytes, size_t bytes_count, void *user)
{
    int64_t *numbers = bytes;

    (void)bytes_count, (void)user;
    for (int i = 0; i < NUMBERS; i++)
        numbers[i]++;
    return 0;
}

static void act_value(void)
{
    int64_t numbers[NUMBERS];
    int r = brood_value_update(storm->value, next_numbers, NULL, WAIT);

    EXPECT(r >= 0, r);
    r = brood_value_read(storm->value, numbers, WAIT);
    EXPECT(r >= 0, r);
    for (int i = 1; i < NUMBERS; i++)
        EXPECT(numbers[i] == numbers[0], i);
}

static void act_map(void)
{
    unsigned key = some(KEYS);
    unsigned char value[200];
    size_t bytes = 1 + some(sizeof value);
    int r;

    switch (some(4)) {
    case 0:
        r = brood_map_remove(storm->map, &key, sizeof key);
        EXPECT(r == 0 || r == -ENOENT, r);
        break;
    case 1:
        memset(value, (int)bytes, bytes);
        r = brood_map_put(storm->map, &key, sizeof key, value, bytes);
        EXPECT(r == 0, r);
        break;
    case 2:
        r = brood_map_acquire(storm->map, &key, sizeof key, BROOD_LOCK_EXCLUSIVE, WAIT);
        EXPECT(r >= 0, r);
        r = brood_map_release(storm->map, &key, sizeof key);
        EXPECT(r == 0, r);
        break;
    default:
        r = brood_map_get(storm->map, &key, sizeof key, value, sizeof value, &bytes);
        EXPECT(r == 0 || r == -ENOENT, r);
        for (size_t i = 0; r == 0 && i < bytes; i++)
            EXPECT(value[i] == (unsigned char)bytes, i);
        break;
    }
}

static void act_heap(void)
{
    void *blocks[4] = { NULL };
    int r;

    for (int i = 0; i < 4; i++) {
        size_t bytes = 1 + some(500);

        r = brood_shared_alloc(shared, bytes, BROOD_ALLOC_OWNED, &blocks[i]);
        EXPECT(r == 0, r);
        memset(blocks[i], i, bytes);
    }
    for (int i = 0; i < 4; i++) {
        EXPECT(*(unsigned char *)blocks[i] == i, i);
        r = brood_shared_free(shared, blocks[i]);
        EXPECT(r == 0, r);
    }
}

static void (*const acts[ACT_COUNT])(void) = {
    act_lock,    act_rlock, act_rwlock, act_semaphore, act_event, act_condition,
    act_barrier, act_table, act_value,  act_map,       act_heap,
};

static _Noreturn void work(void)
{
    seed = (unsigned)getpid();
    while (!atomic_load(&storm->stop)) {
        unsigned what = some(ACT_COUNT);

        acts[what]();
        atomic_fetch_add(&storm->acts[what], 1);
    }
    _exit(0);
}

static pid_t worker_start(void)
{
    pid_t pid = fork();

    if (pid == 0)
        work();
    assert_true(pid > 1);
    return pid;
}

/* Its exit status, as waitpid() says it; after so long it is killed, and counts as hung. */
static int worker_end(pid_t pid, int limit_ms)
{
    int status = -1, pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd entry = { .fd = pidfd, .events = POLLIN };

    assert_true(pidfd >= 0);
    if (poll(&entry, 1, limit_ms) == 0) {
        assert_int_equal(kill(pid, SIGKILL), 0);
        if (atomic_fetch_add(&storm->failed, 1) == 0)
            (void)snprintf(storm->failure, sizeof storm->failure, "a worker hangs");
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    (void)close(pidfd);
    return status;
}

static void storm_make(void)
{
    brood_semaphore_options counting = BROOD_SEMAPHORE_OPTIONS_INIT;
    int64_t zeros[NUMBERS] = { 0 };

    counting.flags = BROOD_SEMAPHORE_COUNTING;
    assert_int_equal(brood_lock_create(shared, NULL, &storm->lock), 0);
    assert_int_equal(brood_rlock_create(shared, &storm->rlock), 0);
    assert_int_equal(brood_lock_create(shared, NULL, &storm->meeting), 0);
    assert_int_equal(brood_rwlock_create(shared, &storm->rwlock), 0);
    assert_int_equal(brood_semaphore_create(shared, PERMITS, NULL, &storm->permits), 0);
    /* A killed one may have taken a signal and not given it back: there are enough. */
    assert_int_equal(brood_semaphore_create(shared, 1000000, &counting, &storm->signals), 0);
    assert_int_equal(brood_event_create(shared, &storm->event), 0);
    assert_int_equal(brood_condition_create(shared, &storm->condition), 0);
    assert_int_equal(brood_barrier_create(shared, 2, &storm->barrier), 0);
    assert_int_equal(brood_lock_table_create(shared, NULL, &storm->table), 0);
    assert_int_equal(brood_value_create(shared, sizeof zeros, zeros, &storm->value), 0);
    assert_int_equal(brood_map_create(shared, NULL, &storm->map), 0);
}

/* All that was ever locked is free, all permits are there, and so is the memory. */
static void storm_end(uint64_t used_before)
{
    brood_shared_info info = BROOD_SHARED_INFO_INIT;
    int r;

    assert_int_equal(brood_semaphore_value(storm->permits), PERMITS);
    for (int i = 0; i < PERMITS; i++)
        assert_int_equal(brood_semaphore_acquire(storm->permits, BROOD_NOWAIT), 0);
    assert_int_equal(brood_semaphore_acquire(storm->permits, BROOD_NOWAIT), -ETIMEDOUT);
    assert_true(brood_lock_acquire(storm->lock, BROOD_NOWAIT) >= 0);
    assert_int_equal(brood_lock_release(storm->lock), 0);
    r = brood_rwlock_acquire_write(storm->rwlock, BROOD_NOWAIT);
    assert_true(r >= 0);
    assert_int_equal(brood_rwlock_release_write(storm->rwlock), 0);
    assert_int_equal(brood_condition_waiters(storm->condition), 0);
    r = brood_lock_table_acquire_table(storm->table, BROOD_LOCK_EXCLUSIVE, BROOD_NOWAIT, NULL);
    assert_true(r >= 0);
    assert_int_equal(brood_lock_table_release_table(storm->table), 0);
    assert_int_equal(brood_lock_table_count(storm->table), 0);

    assert_int_equal(brood_lock_destroy(storm->lock), 0);
    assert_int_equal(brood_lock_destroy(storm->rlock), 0);
    assert_int_equal(brood_lock_destroy(storm->meeting), 0);
    assert_int_equal(brood_rwlock_destroy(storm->rwlock), 0);
    assert_int_equal(brood_semaphore_destroy(storm->permits), 0);
    assert_int_equal(brood_semaphore_destroy(storm->signals), 0);
    assert_int_equal(brood_event_destroy(storm->event), 0);
    assert_int_equal(brood_condition_destroy(storm->condition), 0);
    assert_int_equal(brood_barrier_destroy(storm->barrier), 0);
    assert_int_equal(brood_lock_table_destroy(storm->table), 0);
    assert_int_equal(brood_value_destroy(storm->value), 0);
    assert_int_equal(brood_map_destroy(storm->map), 0);

    assert_true(brood__heap_check(shared->header) > 0);
    assert_true(brood_shared_reclaim(shared) >= 0);
    assert_true(brood__heap_check(shared->header) > 0);
    assert_int_equal(brood_shared_info_get(shared, &info), 0);
    assert_int_equal(info.used_bytes, used_before);
    assert_int_equal(info.members, 1);
}

static void kills_at_random(void **state)
{
    const char *long_mode = getenv("BROOD_TEST_LONG");
    int64_t end =
        test_now() + (long_mode != NULL && strcmp(long_mode, "1") == 0 ? 60000 : 10000) * MS;
    brood_shared_info info = BROOD_SHARED_INFO_INIT;
    pid_t workers[WORKERS];
    unsigned killed = 0;

    (void)state;
    seed = (unsigned)test_now();
    assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(
        brood_shared_alloc(shared, sizeof *storm, BROOD_ALLOC_ZERO, (void **)&storm), 0);
    assert_int_equal(brood_shared_info_get(shared, &info), 0);
    storm_make();
    for (int i = 0; i < WORKERS; i++)
        workers[i] = worker_start();
    while (test_now() < end && atomic_load(&storm->failed) == 0) {
        const struct timespec moment = { .tv_nsec = 100000 * (1 + some(50)) };
        unsigned victim = some(WORKERS);
        int status;

        (void)nanosleep(&moment, NULL);
        assert_true(workers[victim] > 1);
        assert_int_equal(kill(workers[victim], SIGKILL), 0);
        status = worker_end(workers[victim], 10000);
        if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL &&
            atomic_fetch_add(&storm->failed, 1) == 0)
            (void)snprintf(storm->failure, sizeof storm->failure, "a worker died of signal %d",
                           WTERMSIG(status));
        killed++;
        workers[victim] = worker_start();
    }
    atomic_store(&storm->stop, 1);
    for (int i = 0; i < WORKERS; i++) {
        int status = worker_end(workers[i], 30000);

        if (status != 0 && atomic_fetch_add(&storm->failed, 1) == 0)
            (void)snprintf(storm->failure, sizeof storm->failure, "a worker ended with %#x",
                           (unsigned)status);
    }
    print_message("%u killed, %lld recovered; acts:", killed,
                  (long long)atomic_load(&storm->recovered));
    for (int i = 0; i < ACT_COUNT; i++)
        print_message(" %lld", (long long)atomic_load(&storm->acts[i]));
    print_message("\n");
    if (atomic_load(&storm->failed) != 0)
        fail_msg("%s", storm->failure);
    for (int i = 0; i < ACT_COUNT; i++)
        assert_true(atomic_load(&storm->acts[i]) > 0);
    storm_end(info.used_bytes);
    assert_int_equal(brood_shared_free(shared, storm), 0);
    brood_shared_detach(shared);
}

static const struct test_case cases[] = {
    TEST_CASE_LIMIT(kills_at_random, 180),
};
TEST_SUITE(storm_sync, cases)
