/*
 * Waiting for one of several objects, and descriptors, in one process: what is refused, what
 * is taken and what only seen, marks, and that waits in threads wake and lose nothing.
 * Method: one thread waits, another sees by the watchers of an object that it does, and then
 * makes one of the objects ready.
 */
#include "test.h"

#include "sync/lock.h"
#include "sync/semaphore.h"

#include <brood.h>

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MS ((int64_t)1000000)

enum { LOCK, READ, WRITE, PERMIT, EVENT, CONDITION, BARRIER, KIND_COUNT };

struct world {
    brood_shared *shared;
    brood_lock *lock, *guard;
    brood_rwlock *to_read, *to_write;
    brood_semaphore *semaphore;
    brood_event *event;
    brood_condition *condition;
    brood_barrier *barrier;
    brood_waitable items[KIND_COUNT];
};

/* Everything, and nothing of it can be had by another thread than the caller. */
static void make(struct world *world)
{
    brood_semaphore_options counting = BROOD_SEMAPHORE_OPTIONS_INIT;

    memset(world, 0, sizeof *world);
    counting.flags = BROOD_SEMAPHORE_COUNTING;
    assert_int_equal(brood_shared_create(NULL, &world->shared), 0);
    assert_int_equal(brood_lock_create(world->shared, NULL, &world->lock), 0);
    assert_int_equal(brood_lock_create(world->shared, NULL, &world->guard), 0);
    assert_int_equal(brood_rwlock_create(world->shared, &world->to_read), 0);
    assert_int_equal(brood_rwlock_create(world->shared, &world->to_write), 0);
    assert_int_equal(brood_semaphore_create(world->shared, 0, &counting, &world->semaphore), 0);
    assert_int_equal(brood_event_create(world->shared, &world->event), 0);
    assert_int_equal(brood_condition_create(world->shared, &world->condition), 0);
    assert_int_equal(brood_barrier_create(world->shared, 1, &world->barrier), 0);
    world->items[LOCK].object = world->lock;
    world->items[READ].object = world->to_read;
    world->items[READ].what = BROOD_WAIT_READ;
    world->items[WRITE].object = world->to_write;
    world->items[WRITE].what = BROOD_WAIT_WRITE;
    world->items[PERMIT].object = world->semaphore;
    world->items[EVENT].object = world->event;
    world->items[CONDITION].object = world->condition;
    world->items[BARRIER].object = world->barrier;
    assert_int_equal(brood_lock_acquire(world->lock, BROOD_FOREVER), 0);
    assert_int_equal(brood_rwlock_acquire_write(world->to_read, BROOD_FOREVER), 0);
    assert_int_equal(brood_rwlock_acquire_read(world->to_write, BROOD_FOREVER), 0);
}

/* Gives back whatever the calling thread has of it, for that goes with the mapping. */
static void leave(struct world *world)
{
    (void)brood_rwlock_release_write(world->to_read);
    (void)brood_rwlock_release_read(world->to_read);
    (void)brood_rwlock_release_write(world->to_write);
    (void)brood_rwlock_release_read(world->to_write);
    (void)brood_lock_release(world->lock);
    brood_shared_detach(world->shared);
}

static void make_ready(struct world *world, size_t which)
{
    switch (which) {
    case LOCK: assert_int_equal(brood_lock_release(world->lock), 0); break;
    case READ: assert_int_equal(brood_rwlock_release_write(world->to_read), 0); break;
    case WRITE: assert_int_equal(brood_rwlock_release_read(world->to_write), 0); break;
    case PERMIT: assert_int_equal(brood_semaphore_release(world->semaphore, 1), 0); break;
    case EVENT: assert_int_equal(brood_event_set(world->event), 0); break;
    case CONDITION: assert_true(brood_condition_notify(world->condition, 1) >= 0); break;
    default: assert_int_equal(brood_barrier_wait(world->barrier, BROOD_FOREVER, NULL), 0);
    }
}

static uint32_t watchers_of(const brood_waitable *item)
{
    const struct brood__object *object = item->object;

    return atomic_load(&object->watchers);
}

static void await_watchers(const brood_waitable *item, uint32_t count)
{
    const struct timespec moment = { .tv_nsec = 1000000 };

    while (watchers_of(item) != count)
        (void)nanosleep(&moment, NULL);
}

static int64_t now(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* ---- what is refused ---- */

static void refuses_bad_arguments(void **state)
{
    struct world world, other;
    brood_waitable many[BROOD_WAIT_ITEMS_MAX + 1];
    brood_waitable item = { 0 };
    _Alignas(16) char garbage[64] = "no object";
    size_t index = 77;
    int fd = 77;

    (void)state;
    make(&world);
    memset(many, 0, sizeof many);
    many[0] = world.items[EVENT];
    assert_int_equal(brood_event_set(world.event), 0);
    assert_int_equal(brood_wait_any(NULL, 1, BROOD_NOWAIT, &index), -EINVAL);
    assert_int_equal(brood_wait_any(many, 1, BROOD_NOWAIT, NULL), -EINVAL);
    assert_int_equal(brood_wait_any(many, 0, BROOD_NOWAIT, &index), -EINVAL);
    assert_int_equal(brood_wait_any(many, 1, -2, &index), -EINVAL);
    assert_int_equal(brood_wait_any(many, BROOD_WAIT_ITEMS_MAX + 1, BROOD_NOWAIT, &index),
                     -EINVAL);
    assert_int_equal(brood_wait_any(many, BROOD_WAIT_ITEMS_MAX, BROOD_NOWAIT, &index), 0);
    index = 77;
    assert_int_equal(brood_wait_any(&item, 1, BROOD_NOWAIT, &index), -EINVAL);
    assert_int_equal(brood_wait_mark(&item, 1), -EINVAL);
    assert_int_equal(brood_wait_mark(NULL, 1), -EINVAL);
    assert_int_equal(brood_wait_descriptor(NULL, 0, &fd), -EINVAL);
    assert_int_equal(brood_wait_descriptor(world.event, 0, NULL), -EINVAL);
    for (size_t i = 0; i < KIND_COUNT; i++) {
        item = world.items[i];
        item.what = item.what == 0 ? BROOD_WAIT_READ : 0;
        assert_int_equal(brood_wait_any(&item, 1, BROOD_NOWAIT, &index), -EINVAL);
        assert_int_equal(brood_wait_descriptor(item.object, item.what, &fd), -EINVAL);
        item = world.items[i];
        item.reserved = 1;
        assert_int_equal(brood_wait_any(&item, 1, BROOD_NOWAIT, &index), -EINVAL);
        item.reserved = 0;
        item.what |= 8;
        assert_int_equal(brood_wait_any(&item, 1, BROOD_NOWAIT, &index), -EINVAL);
    }
    item = (brood_waitable){ .object = garbage };
    assert_int_equal(brood_wait_any(&item, 1, BROOD_NOWAIT, &index), -EINVAL);
    assert_int_equal(brood_wait_descriptor(garbage, 0, &fd), -EINVAL);
    make(&other);
    many[1] = other.items[EVENT];
    assert_int_equal(brood_wait_any(many, 2, BROOD_NOWAIT, &index), -EXDEV);
    assert_int_equal(brood_wait_descriptor_close(-1), -EBADF);
    assert_int_equal(brood_wait_descriptor_close(0), -EBADF);
    assert_int_equal(index, 77);
    assert_int_equal(fd, 77);
    leave(&other);
    leave(&world);
}

/* ---- taking ---- */

static void takes_the_first_that_can_be_had(void **state)
{
    struct world world;
    brood_waitable items[3] = { { 0 } };
    size_t index = 77;

    (void)state;
    make(&world);
    assert_int_equal(brood_lock_release(world.lock), 0);
    assert_int_equal(brood_semaphore_release(world.semaphore, 2), 0);
    items[1] = world.items[PERMIT];
    items[2] = world.items[LOCK];
    assert_int_equal(brood_wait_any(items, 3, BROOD_FOREVER, &index), 0);
    assert_int_equal(index, 1);
    assert_int_equal(brood_wait_any(items, 3, BROOD_NOWAIT, &index), 0);
    assert_int_equal(index, 1);
    assert_int_equal(brood_semaphore_value(world.semaphore), 0);
    assert_int_equal(brood_wait_any(items, 3, BROOD_FOREVER, &index), 0);
    assert_int_equal(index, 2);
    assert_int_equal(brood_lock_release(world.lock), 0);
    leave(&world);
}

static void times_out(void **state)
{
    struct world world;
    size_t index = 77;
    int64_t before;
    /* The others the calling thread has itself. */
    const size_t from = PERMIT;

    (void)state;
    make(&world);
    assert_int_equal(
        brood_wait_any(world.items + from, KIND_COUNT - from, BROOD_NOWAIT, &index),
        -ETIMEDOUT);
    before = now();
    assert_int_equal(
        brood_wait_any(world.items + from, KIND_COUNT - from, brood_ms(30), &index),
        -ETIMEDOUT);
    assert_true(now() - before >= 30 * MS);
    assert_int_equal(index, 77);
    for (size_t i = 0; i < KIND_COUNT; i++)
        assert_int_equal(watchers_of(&world.items[i]), 0);
    leave(&world);
}

static void says_which_item_ends_the_wait(void **state)
{
    struct world world;
    brood_waitable items[2] = { { 0 } };
    size_t index = 77;

    (void)state;
    make(&world);
    items[0] = world.items[EVENT];
    items[1] = world.items[LOCK];
    assert_int_equal(brood_wait_any(items, 2, BROOD_FOREVER, &index), -EDEADLK);
    assert_int_equal(index, 1);
    index = 77;
    items[1] = world.items[READ];
    assert_int_equal(brood_wait_any(items, 2, BROOD_FOREVER, &index), -EDEADLK);
    assert_int_equal(index, 1);
    index = 77;
    items[1] = world.items[WRITE];
    assert_int_equal(brood_wait_any(items, 2, BROOD_FOREVER, &index), -EDEADLK);
    assert_int_equal(index, 1);
    index = 77;
    assert_int_equal(brood_lock_poison(world.lock), 0);
    items[1] = world.items[LOCK];
    assert_int_equal(brood_wait_any(items, 2, BROOD_FOREVER, &index), -ENOTRECOVERABLE);
    assert_int_equal(index, 1);
    index = 77;
    assert_int_equal(brood_rwlock_poison(world.to_read), 0);
    items[1] = world.items[READ];
    assert_int_equal(brood_wait_any(items, 2, BROOD_FOREVER, &index), -ENOTRECOVERABLE);
    assert_int_equal(index, 1);
    leave(&world);
}

static void acquires_again_what_is_recursive(void **state)
{
    struct world world;
    brood_waitable items[2] = { { 0 } };
    size_t index = 77;

    (void)state;
    make(&world);
    assert_int_equal(brood_rlock_create(world.shared, (brood_lock **)&items[0].object), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(brood_wait_any(items, 1, BROOD_NOWAIT, &index), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(brood_lock_release(items[0].object), 0);
    assert_int_equal(brood_lock_release(items[0].object), -EPERM);
    items[1] = world.items[WRITE]; /* read by this thread: once more */
    items[1].what = BROOD_WAIT_READ;
    assert_int_equal(brood_wait_any(items + 1, 1, BROOD_FOREVER, &index), 0);
    assert_int_equal(brood_rwlock_release_read(world.to_write), 0);
    assert_int_equal(brood_rwlock_release_read(world.to_write), 0);
    assert_int_equal(brood_rwlock_release_read(world.to_write), -EPERM);
    leave(&world);
}

/* ---- what is seen ---- */

static void sees_what_happened_since_the_mark(void **state)
{
    struct world world;
    brood_waitable items[3];
    size_t index = 77;

    (void)state;
    make(&world);
    for (size_t i = 0; i < 3; i++)
        items[i] = world.items[EVENT + i];
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(brood_wait_mark(items, 3), 0);
        assert_int_equal(brood_wait_any(items, 3, BROOD_NOWAIT, &index), -ETIMEDOUT);
        make_ready(&world, EVENT + i);
        (void)brood_event_clear(world.event);
        /* Without the mark it is over and gone. */
        assert_int_equal(brood_wait_any(world.items + EVENT, 3, BROOD_NOWAIT, &index),
                         -ETIMEDOUT);
        for (int again = 0; again < 2; again++) {
            index = 77;
            assert_int_equal(brood_wait_any(items, 3, BROOD_FOREVER, &index), 0);
            assert_int_equal(index, i);
        }
    }
    assert_int_equal(brood_wait_mark(items, 3), 0);
    assert_int_equal(brood_barrier_abort(world.barrier), 0);
    assert_int_equal(brood_wait_any(items, 3, BROOD_FOREVER, &index), 0);
    assert_int_equal(index, 2);
    assert_int_equal(brood_wait_mark(items, 3), 0);
    assert_int_equal(brood_wait_any(items, 3, BROOD_NOWAIT, &index), -ETIMEDOUT);
    assert_int_equal(brood_barrier_reset(world.barrier), 0);
    assert_int_equal(brood_wait_any(items, 3, BROOD_FOREVER, &index), 0);
    assert_int_equal(index, 2);
    leave(&world);
}

/* ---- threads ---- */

struct waiter {
    struct world *world;
    size_t index;
    int r;
};

static void *wait_for_all_kinds(void *argument)
{
    struct waiter *waiter = argument;
    struct world *world = waiter->world;

    waiter->r = brood_wait_any(world->items, KIND_COUNT, brood_seconds(20), &waiter->index);
    if (waiter->r == 0 && waiter->index == LOCK)
        INSIST(brood_lock_release(world->lock) == 0, "not held");
    if (waiter->r == 0 && waiter->index == READ)
        INSIST(brood_rwlock_release_read(world->to_read) == 0, "not held");
    if (waiter->r == 0 && waiter->index == WRITE)
        INSIST(brood_rwlock_release_write(world->to_write) == 0, "not held");
    return NULL;
}

static void thread_wakes_by_each_kind(void **state)
{
    (void)state;
    for (size_t which = 0; which < KIND_COUNT; which++) {
        struct world world;
        struct waiter waiter = { &world, 77, 77 };
        pthread_t thread;

        make(&world);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_all_kinds, &waiter), 0);
        await_watchers(&world.items[KIND_COUNT - 1], 1);
        make_ready(&world, which);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(waiter.r, 0);
        assert_int_equal(waiter.index, which);
        for (size_t i = 0; i < KIND_COUNT; i++)
            assert_int_equal(watchers_of(&world.items[i]), 0);
        leave(&world);
    }
}

static void thread_hears_of_poison(void **state)
{
    struct world world;
    struct waiter waiter = { &world, 77, 77 };
    pthread_t thread;

    (void)state;
    make(&world);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_all_kinds, &waiter), 0);
    await_watchers(&world.items[KIND_COUNT - 1], 1);
    assert_int_equal(brood_rwlock_poison(world.to_read), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(waiter.r, -ENOTRECOVERABLE);
    assert_int_equal(waiter.index, READ);
    leave(&world);
}

static void *hold_and_end(void *argument)
{
    struct world *world = argument;

    INSIST(brood_lock_acquire(world->lock, BROOD_FOREVER) == 0, "no lock");
    await_watchers(&world->items[LOCK], 1);
    return NULL;
}

static void thread_that_ends_with_a_lock_wakes(void **state)
{
    struct world world;
    pthread_t thread;
    size_t index = 77;
    int r;

    (void)state;
    make(&world);
    assert_int_equal(brood_lock_release(world.lock), 0);
    assert_int_equal(pthread_create(&thread, NULL, hold_and_end, &world), 0);
    while (brood_lock_owner(world.lock, NULL) == 0)
        ;
    r = brood_wait_any(world.items, 1, brood_seconds(20), &index);
    assert_int_equal(r, BROOD_LOCK_RECOVERED);
    assert_int_equal(index, 0);
    assert_int_equal(brood_lock_release(world.lock), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    leave(&world);
}

#define LOCKS 3
#define ROUNDS 3000
#define THREADS 4

static struct crowd {
    brood_waitable items[LOCKS];
    long counts[LOCKS];
} crowd;

static void *lock_any(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        size_t index = 77;
        int r = brood_wait_any(crowd.items, LOCKS, brood_seconds(20), &index);

        INSIST(r == 0 && index < LOCKS, "%d", r);
        crowd.counts[index]++;
        INSIST(brood_lock_release(crowd.items[index].object) == 0, "not held");
    }
    return unused;
}

static void thread_crowd_shares_locks(void **state)
{
    pthread_t threads[THREADS];
    struct world world;
    long sum = 0;

    (void)state;
    make(&world);
    for (size_t i = 0; i < LOCKS; i++)
        assert_int_equal(
            brood_lock_create(world.shared, NULL, (brood_lock **)&crowd.items[i].object), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, lock_any, NULL), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < LOCKS; i++) {
        sum += crowd.counts[i];
        assert_int_equal(watchers_of(&crowd.items[i]), 0);
    }
    assert_int_equal(sum, THREADS * ROUNDS);
    leave(&world);
}

static void *eat_any(void *eaten)
{
    for (;;) {
        size_t index = 77;
        int r = brood_wait_any(crowd.items, LOCKS, brood_seconds(20), &index);

        INSIST(r == 0 && index < LOCKS, "%d", r);
        if (index == LOCKS - 1)
            return NULL;
        ++*(long *)eaten;
    }
}

/* Every permit is taken by one, and nobody sleeps beside one. */
static void thread_crowd_loses_no_permit(void **state)
{
    brood_semaphore_options counting = BROOD_SEMAPHORE_OPTIONS_INIT;
    pthread_t threads[THREADS];
    long eaten[THREADS] = { 0 };
    struct world world;
    long sum = 0;

    (void)state;
    make(&world);
    counting.flags = BROOD_SEMAPHORE_COUNTING;
    for (size_t i = 0; i < LOCKS; i++)
        assert_int_equal(brood_semaphore_create(world.shared, 0, &counting,
                                                (brood_semaphore **)&crowd.items[i].object),
                         0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, eat_any, &eaten[i]), 0);
    for (int i = 0; i < ROUNDS; i++)
        assert_int_equal(brood_semaphore_release(crowd.items[i % (LOCKS - 1)].object, 1), 0);
    while (brood_semaphore_value(crowd.items[0].object) > 0 ||
           brood_semaphore_value(crowd.items[1].object) > 0)
        ;
    assert_int_equal(brood_semaphore_release(crowd.items[LOCKS - 1].object, THREADS), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        sum += eaten[i];
    }
    assert_int_equal(sum, ROUNDS);
    leave(&world);
}

/* ---- descriptors ---- */

static bool readable_within(int fd, int ms)
{
    struct pollfd entry = { .fd = fd, .events = POLLIN };

    return poll(&entry, 1, ms) == 1 && entry.revents == POLLIN;
}

static bool hidden_within(int fd, int64_t ms)
{
    const struct timespec moment = { .tv_nsec = 1000000 };
    int64_t deadline = now() + ms * MS;

    while (readable_within(fd, 0)) {
        if (now() > deadline)
            return false;
        (void)nanosleep(&moment, NULL);
    }
    return true;
}

static bool has_watcher(void)
{
    DIR *tasks = opendir("/proc/self/task");
    const struct dirent *task;
    bool found = false;

    assert_non_null(tasks);
    while ((task = readdir(tasks)) != NULL) {
        char path[300], name[32];
        FILE *file;

        (void)snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        file = fopen(path, "re");
        if (file == NULL)
            continue;
        if (fgets(name, sizeof name, file) != NULL && strcmp(name, "brood-watcher\n") == 0)
            found = true;
        (void)fclose(file);
    }
    (void)closedir(tasks);
    return found;
}

static void descriptor_thread_follows_each_kind(void **state)
{
    struct world world;
    int fds[KIND_COUNT];

    (void)state;
    make(&world);
    for (size_t i = 0; i < KIND_COUNT; i++) {
        assert_int_equal(
            brood_wait_descriptor(world.items[i].object, world.items[i].what, &fds[i]), 0);
        assert_true(fds[i] > 2);
        assert_false(readable_within(fds[i], 0));
    }
    for (size_t i = 0; i < KIND_COUNT; i++) {
        make_ready(&world, i);
        assert_true(readable_within(fds[i], 10000));
        for (size_t j = i + 1; j < KIND_COUNT; j++)
            assert_false(readable_within(fds[j], 0));
    }
    for (size_t i = 0; i < CONDITION; i++) {
        size_t index = 77;

        if (i == EVENT)
            assert_int_equal(brood_event_clear(world.event), 0);
        /* Having taken it, or found it gone, the program sees that at once. */
        assert_int_equal(brood_wait_any(&world.items[i], 1, BROOD_NOWAIT, &index),
                         i == EVENT ? -ETIMEDOUT : 0);
        if (i == PERMIT || i == EVENT)
            assert_false(readable_within(fds[i], 0));
    }
    for (size_t i = CONDITION; i < KIND_COUNT; i++) {
        uint64_t ignored;

        assert_int_equal(read(fds[i], &ignored, sizeof ignored), sizeof ignored);
        assert_false(readable_within(fds[i], 0));
        make_ready(&world, i);
        assert_true(readable_within(fds[i], 10000));
    }
    for (size_t i = 0; i < KIND_COUNT; i++)
        assert_int_equal(brood_wait_descriptor_close(fds[i]), 0);
    for (size_t i = 0; i < KIND_COUNT; i++) {
        assert_int_equal(brood_wait_descriptor_close(fds[i]), -EBADF);
        assert_int_equal(watchers_of(&world.items[i]), 0);
    }
    leave(&world);
}

/* Nobody rings when something is taken. */
static void descriptor_thread_sees_by_itself_what_was_taken(void **state)
{
    struct world world;
    int lock = -1, event = -1, again = -1;

    (void)state;
    make(&world);
    assert_int_equal(brood_lock_release(world.lock), 0);
    assert_int_equal(brood_event_set(world.event), 0);
    assert_int_equal(brood_wait_descriptor(world.lock, 0, &lock), 0);
    assert_int_equal(brood_wait_descriptor(world.event, 0, &event), 0);
    assert_int_equal(brood_wait_descriptor(world.event, 0, &again), 0);
    assert_true(again != event);
    assert_true(readable_within(lock, 0));
    assert_true(readable_within(event, 0));
    assert_true(readable_within(again, 0));
    assert_int_equal(brood_lock_acquire(world.lock, BROOD_NOWAIT), 0);
    assert_true(hidden_within(lock, 10000));
    assert_int_equal(brood_event_clear(world.event), 0);
    assert_true(hidden_within(event, 10000));
    assert_true(hidden_within(again, 10000));
    assert_int_equal(brood_lock_release(world.lock), 0);
    assert_true(readable_within(lock, 10000));
    assert_int_equal(brood_wait_descriptor_close(lock), 0);
    assert_int_equal(brood_wait_descriptor_close(event), 0);
    assert_int_equal(brood_event_set(world.event), 0);
    assert_true(readable_within(again, 10000));
    assert_int_equal(brood_wait_descriptor_close(again), 0);
    leave(&world);
}

static void descriptor_thread_comes_and_goes(void **state)
{
    struct world world;
    int fd = -1;

    (void)state;
    make(&world);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(brood_wait_descriptor(world.event, 0, &fd), 0);
        assert_true(has_watcher());
        assert_int_equal(brood_event_set(world.event), 0);
        assert_true(readable_within(fd, 10000));
        assert_int_equal(brood_event_clear(world.event), 0);
        assert_int_equal(brood_wait_descriptor_close(fd), 0);
        while (has_watcher()) /* a joined thread is listed for a moment longer */
            ;
    }
    leave(&world);
}

/* To be cancelled when it corrects a descriptor, which is readable and should not be. That
 * would end it with a lock held, so it is not done there. */
static void *correct_cancelled(void *item)
{
    size_t index;
    int cancel;

    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    (void)brood_wait_any(item, 1, BROOD_NOWAIT, &index); /* the thread's first use */
    (void)brood_event_clear(((brood_waitable *)item)->object);
    (void)pthread_cancel(pthread_self());
    (void)pthread_setcancelstate(cancel, NULL);
    (void)brood_wait_any(item, 1, BROOD_NOWAIT, &index);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    return NULL;
}

static void descriptor_thread_is_not_cancelled_in_between(void **state)
{
    struct world world;
    int fd = -1;

    (void)state;
    make(&world);
    assert_int_equal(brood_wait_descriptor(world.event, 0, &fd), 0);
    for (int i = 0; i < 20; i++) {
        pthread_t thread;
        void *ended = PTHREAD_CANCELED;

        assert_int_equal(brood_event_set(world.event), 0);
        assert_true(readable_within(fd, 10000));
        assert_int_equal(pthread_create(&thread, NULL, correct_cancelled, &world.items[EVENT]),
                         0);
        assert_int_equal(pthread_join(thread, &ended), 0);
        assert_null(ended);
        assert_true(hidden_within(fd, 10000));
    }
    assert_int_equal(brood_wait_descriptor_close(fd), 0);
    leave(&world);
}

#define MANY 200

/* More than one sleep can be at, and several segments. */
static void descriptor_threads_events_are_all_heard(void **state)
{
    static brood_event *events[MANY];
    static int fds[MANY];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct world worlds[3];

    (void)state;
    for (size_t i = 0; i < 3; i++)
        make(&worlds[i]);
    for (size_t i = 0; i < MANY; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.u64 = i };

        assert_int_equal(brood_event_create(worlds[i % 3].shared, &events[i]), 0);
        assert_int_equal(brood_wait_descriptor(events[i], 0, &fds[i]), 0);
        assert_int_equal(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event), 0);
    }
    for (size_t i = 0; i < MANY; i++) {
        size_t which = i * 7 % MANY;
        struct epoll_event event;

        assert_int_equal(brood_event_set(events[which]), 0);
        assert_int_equal(epoll_wait(epoll, &event, 1, 10000), 1);
        assert_int_equal(event.data.u64, which);
        assert_int_equal(brood_event_clear(events[which]), 0);
        assert_true(hidden_within(fds[which], 10000));
    }
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(brood_wait_descriptor_close(fds[i]), 0);
    assert_int_equal(close(epoll), 0);
    for (size_t i = 0; i < 3; i++)
        leave(&worlds[i]);
}

static const struct test_case cases[] = {
    TEST_CASE(refuses_bad_arguments),
    TEST_CASE(takes_the_first_that_can_be_had),
    TEST_CASE(times_out),
    TEST_CASE(says_which_item_ends_the_wait),
    TEST_CASE(acquires_again_what_is_recursive),
    TEST_CASE(sees_what_happened_since_the_mark),
    TEST_CASE(thread_wakes_by_each_kind),
    TEST_CASE(thread_hears_of_poison),
    TEST_CASE(thread_that_ends_with_a_lock_wakes),
    TEST_CASE(thread_crowd_shares_locks),
    TEST_CASE(thread_crowd_loses_no_permit),
    TEST_CASE(descriptor_thread_follows_each_kind),
    TEST_CASE(descriptor_thread_sees_by_itself_what_was_taken),
    TEST_CASE(descriptor_thread_comes_and_goes),
    TEST_CASE(descriptor_thread_is_not_cancelled_in_between),
    TEST_CASE(descriptor_threads_events_are_all_heard),
};
TEST_SUITE(sync_wait, cases)
