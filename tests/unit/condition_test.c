/*
 * The condition, in one process: what its calls answer, and waiting between threads. After
 * CPython's TestCondition.
 */
#include "../process/helpers.h"

#include "sync/condition.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 6
#define LIMIT brood_seconds(20) /* for what happens at once, on a machine that is busy */

/* What a case works with, in a segment of its own. */
struct place {
    brood_shared *shared;
    brood_lock *lock;
    brood_condition *condition;
};

static struct place made(uint32_t lock_flags)
{
    brood_lock_options options = BROOD_LOCK_OPTIONS_INIT;
    struct place place = { NULL, NULL, NULL };

    options.flags = lock_flags;
    assert_int_equal(brood_shared_create(NULL, &place.shared), 0);
    assert_int_equal(brood_lock_create(place.shared, &options, &place.lock), 0);
    assert_int_equal(brood_condition_create(place.shared, &place.condition), 0);
    return place;
}

static void unmake(const struct place *place)
{
    assert_int_equal(brood_condition_destroy(place->condition), 0);
    assert_int_equal(brood_lock_destroy(place->lock), 0);
    brood_shared_detach(place->shared);
}

static void acquire(const struct place *place)
{
    assert_int_equal(brood_lock_acquire(place->lock, LIMIT), 0);
}

static void release(const struct place *place)
{
    assert_int_equal(brood_lock_release(place->lock), 0);
}

static void waits_as_long_as_it_is_told(void **state)
{
    struct place place = made(0);
    int64_t start = test_now();

    (void)state;
    acquire(&place);
    assert_int_equal(brood_condition_wait(place.condition, place.lock, BROOD_NOWAIT),
                     -ETIMEDOUT);
    assert_int_equal(brood_condition_wait(place.condition, place.lock, 30 * MS), -ETIMEDOUT);
    assert_true(test_now() - start >= 30 * MS);
    assert_int_equal(brood_condition_waiters(place.condition), 0);
    release(&place); /* so it was held */
    unmake(&place);
}

static void wants_its_lock_held(void **state)
{
    struct place place = made(0), other = made(0);

    (void)state;
    assert_int_equal(brood_condition_wait(place.condition, place.lock, BROOD_NOWAIT), -EPERM);
    acquire(&other);
    assert_int_equal(brood_condition_wait(place.condition, other.lock, BROOD_NOWAIT), -EXDEV);
    release(&other);
    unmake(&other);
    unmake(&place);
}

static int holds(void *user)
{
    (void)user;
    return 1;
}

static int fails(void *user)
{
    (void)user;
    return -ENOSPC;
}

static int count_calls(void *user)
{
    ++*(int *)user;
    return 0;
}

static void refuses_what_is_no_condition(void **state)
{
    struct place place = made(0);
    _Alignas(64) uint64_t nothing[16] = { 0 };
    brood_condition *none = (brood_condition *)nothing;

    (void)state;
    acquire(&place);
    assert_int_equal(brood_condition_create(place.shared, NULL), -EINVAL);
    assert_int_equal(brood_condition_wait(NULL, place.lock, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_condition_wait(none, place.lock, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_condition_wait(place.condition, NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_condition_wait(place.condition, (brood_lock *)nothing, BROOD_NOWAIT),
                     -EINVAL);
    assert_int_equal(brood_condition_wait(place.condition, place.lock, -2), -EINVAL);
    assert_int_equal(
        brood_condition_wait_for(place.condition, place.lock, NULL, NULL, BROOD_NOWAIT),
        -EINVAL);
    assert_int_equal(brood_condition_wait_for(place.condition, place.lock, holds, NULL, -2),
                     -EINVAL);
    assert_int_equal(brood_condition_notify(NULL, 1), -EINVAL);
    assert_int_equal(brood_condition_notify(NULL, 0), -EINVAL);
    assert_int_equal(brood_condition_notify(none, 1), -EINVAL);
    assert_int_equal(brood_condition_notify(place.condition, -1), -EINVAL);
    assert_int_equal(brood_condition_notify_all(NULL), -EINVAL);
    assert_int_equal(brood_condition_waiters(NULL), -EINVAL);
    assert_int_equal(brood_condition_destroy(NULL), 0);
    assert_int_equal(brood_condition_destroy((brood_condition *)place.lock), -EINVAL);
    assert_int_equal(brood_condition_notify(place.condition, 0), 0);
    assert_int_equal(brood_condition_notify(place.condition, 5), 0); /* there is nobody */
    assert_int_equal(brood_condition_notify_all(place.condition), 0);
    release(&place);
    unmake(&place);
}

/* A notification is not kept for those who come later. */
static void notifies_only_those_who_wait(void **state)
{
    struct place place = made(0);

    (void)state;
    acquire(&place);
    assert_int_equal(brood_condition_notify(place.condition, 1), 0);
    assert_int_equal(brood_condition_wait(place.condition, place.lock, 10 * MS), -ETIMEDOUT);
    release(&place);
    unmake(&place);
}

static void waits_for_a_predicate(void **state)
{
    struct place place = made(0);
    int calls = 0;

    (void)state;
    assert_int_equal(
        brood_condition_wait_for(place.condition, place.lock, holds, NULL, BROOD_NOWAIT),
        -EPERM);
    acquire(&place);
    assert_int_equal(
        brood_condition_wait_for(place.condition, place.lock, holds, NULL, BROOD_NOWAIT), 0);
    assert_int_equal(
        brood_condition_wait_for(place.condition, place.lock, fails, NULL, BROOD_FOREVER),
        -ENOSPC);
    assert_int_equal(
        brood_condition_wait_for(place.condition, place.lock, count_calls, &calls, 10 * MS),
        -ETIMEDOUT);
    assert_int_equal(calls, 2); /* before, and when the time was over */
    release(&place);
    unmake(&place);
}

/* ---- threads ---- */

struct waiter {
    pthread_t thread;
    const struct place *place;
    _Atomic int *woken;
    _Atomic int sleeps; /* set with the lock held: who has that later finds it asleep */
    int64_t timeout;
    int result;
    int levels; /* of the lock, while it waits */
};

static void *wait_once(void *argument)
{
    struct waiter *waiter = argument;
    const struct place *place = waiter->place;

    for (int i = 0; i < waiter->levels; i++)
        INSIST(brood_lock_acquire(place->lock, LIMIT) == 0, "acquire");
    atomic_store(&waiter->sleeps, 1);
    waiter->result = brood_condition_wait(place->condition, place->lock, waiter->timeout);
    (void)atomic_fetch_add(waiter->woken, 1);
    for (int i = 0; i < waiter->levels && waiter->result != -ENOTRECOVERABLE; i++)
        INSIST(brood_lock_release(place->lock) == 0, "release");
    INSIST(brood_lock_release(place->lock) == -EPERM, "one level too many");
    return NULL;
}

static void start_waiters(struct waiter *waiters, int count, const struct place *place,
                          _Atomic int *woken, int64_t timeout, int levels)
{
    for (int i = 0; i < count; i++) {
        waiters[i] = (struct waiter){
            .place = place, .woken = woken, .timeout = timeout, .levels = levels, .result = -1
        };
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_once, &waiters[i]), 0);
    }
}

/* With the lock held at the end, and all of them waiting. */
static void acquire_when_all_wait(struct waiter *waiters, int count, const struct place *place)
{
    for (int i = 0; i < count; i++)
        while (!atomic_load(&waiters[i].sleeps))
            test_pause();
    acquire(place);
    assert_int_equal(brood_condition_waiters(place->condition), count);
}

static void await_count(_Atomic int *woken, int count)
{
    int64_t deadline = test_now() + LIMIT;

    while (atomic_load(woken) < count) {
        assert_true(test_now() < deadline);
        test_pause();
    }
    assert_int_equal(atomic_load(woken), count);
}

static void join(struct waiter *waiters, int count, int result)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(pthread_join(waiters[i].thread, NULL), 0);
        assert_int_equal(waiters[i].result, result);
    }
}

static void notifies_threads_one_by_one(void **state)
{
    struct place place = made(0);
    struct waiter waiters[2];
    _Atomic int woken = 0;

    (void)state;
    start_waiters(waiters, 2, &place, &woken, LIMIT, 1);
    acquire_when_all_wait(waiters, 2, &place);
    assert_int_equal(brood_condition_destroy(place.condition), -EBUSY);
    release(&place);
    for (int i = 1; i <= 2; i++) {
        acquire(&place);
        assert_int_equal(brood_condition_notify(place.condition, 1), 1);
        assert_int_equal(brood_condition_waiters(place.condition), 2 - i);
        release(&place);
        await_count(&woken, i);
    }
    join(waiters, 2, 0);
    unmake(&place);
}

static void notifies_so_many_threads(void **state)
{
    struct place place = made(0);
    struct waiter waiters[THREADS];
    _Atomic int woken = 0;

    (void)state;
    start_waiters(waiters, THREADS, &place, &woken, LIMIT, 1);
    acquire_when_all_wait(waiters, THREADS, &place);
    assert_int_equal(brood_condition_notify(place.condition, 2), 2);
    release(&place);
    await_count(&woken, 2);
    acquire(&place);
    assert_int_equal(brood_condition_waiters(place.condition), THREADS - 2);
    assert_int_equal(brood_condition_notify(place.condition, THREADS - 2), THREADS - 2);
    release(&place);
    await_count(&woken, THREADS);
    assert_int_equal(brood_condition_notify(place.condition, 3), 0);
    join(waiters, THREADS, 0);
    unmake(&place);
}

static void notifies_all_threads(void **state)
{
    struct place place = made(0);
    struct waiter waiters[THREADS];
    _Atomic int woken = 0;

    (void)state;
    start_waiters(waiters, THREADS, &place, &woken, 30 * MS, 1);
    join(waiters, THREADS, -ETIMEDOUT);
    assert_int_equal(brood_condition_waiters(place.condition), 0);
    atomic_store(&woken, 0);
    start_waiters(waiters, THREADS, &place, &woken, LIMIT, 1);
    acquire_when_all_wait(waiters, THREADS, &place);
    assert_int_equal(atomic_load(&woken), 0);
    assert_int_equal(brood_condition_notify_all(place.condition), THREADS);
    assert_int_equal(brood_condition_waiters(place.condition), 0);
    release(&place);
    await_count(&woken, THREADS);
    join(waiters, THREADS, 0);
    unmake(&place);
}

/* Those who came first are notified first. */
static void notifies_threads_in_order(void **state)
{
    struct place place = made(0);
    struct waiter waiters[THREADS];
    _Atomic int woken[THREADS] = { 0 };

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        start_waiters(&waiters[i], 1, &place, &woken[i], LIMIT, 1);
        while (!atomic_load(&waiters[i].sleeps))
            test_pause();
        acquire(&place);
        release(&place);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(brood_condition_notify(place.condition, 1), 1);
        await_count(&woken[i], 1);
        for (int later = i + 1; later < THREADS; later++)
            assert_int_equal(atomic_load(&woken[later]), 0);
    }
    join(waiters, THREADS, 0);
    unmake(&place);
}

/* Who was notified still writes to the condition when he has the lock again. */
static void stays_until_its_threads_have_the_lock(void **state)
{
    struct place place = made(0);
    struct waiter waiter;
    _Atomic int woken = 0;

    (void)state;
    start_waiters(&waiter, 1, &place, &woken, LIMIT, 1);
    acquire_when_all_wait(&waiter, 1, &place);
    assert_int_equal(brood_condition_notify_all(place.condition), 1);
    assert_int_equal(brood_condition_waiters(place.condition), 0);
    assert_int_equal(brood_condition_destroy(place.condition), -EBUSY);
    release(&place);
    join(&waiter, 1, 0);
    unmake(&place);
}

/* The only word on the roll that is not 0. */
static uint64_t word_of_waiter(const struct place *place)
{
    struct brood__header *header = brood__object_header(&place->condition->object);
    uint64_t word = 0;

    for (uint32_t i = 0; i < brood__slots_used(header); i++)
        if (brood__roll_value(atomic_load(&place->condition->roll[i])) != 0)
            word = atomic_load(&place->condition->roll[i]);
    return word;
}

/* Others come and go so often, without being notified, that the numbers of tickets come
 * again: the one who waits all the time is still found, and still the first. */
static void a_thread_that_waits_while_tickets_go_round_is_notified(void **state)
{
    struct place place = made(0);
    struct waiter waiters[2];
    _Atomic int woken[2] = { 0 };

    (void)state;
    start_waiters(&waiters[0], 1, &place, &woken[0], LIMIT, 1);
    acquire_when_all_wait(waiters, 1, &place);
    for (int i = 0; i < 6; i++) {
        uint64_t before = word_of_waiter(&place);

        (void)atomic_fetch_add(&place.condition->tickets, 1u << 28);
        for (int64_t end = test_now() + LIMIT; i > 0 && word_of_waiter(&place) == before;) {
            assert_true(test_now() < end);
            test_pause();
        }
    }
    release(&place);
    start_waiters(&waiters[1], 1, &place, &woken[1], LIMIT, 1);
    acquire_when_all_wait(waiters, 2, &place);
    assert_int_equal(brood_condition_notify(place.condition, 1), 1);
    release(&place);
    await_count(&woken[0], 1);
    assert_int_equal(atomic_load(&woken[1]), 0);
    assert_int_equal(brood_condition_notify_all(place.condition), 1);
    join(waiters, 2, 0);
    unmake(&place);
}

/* A recursive lock is given up with all its levels, and had again with all of them. */
static void threads_give_up_all_levels(void **state)
{
    struct place place = made(BROOD_LOCK_RECURSIVE);
    struct waiter waiters[2];
    _Atomic int woken = 0;

    (void)state;
    start_waiters(waiters, 2, &place, &woken, LIMIT, 3);
    acquire_when_all_wait(waiters, 2, &place);
    assert_int_equal(brood_condition_notify_all(place.condition), 2);
    release(&place);
    join(waiters, 2, 0);
    start_waiters(waiters, 2, &place, &woken, 5 * MS, 3);
    join(waiters, 2, -ETIMEDOUT);
    unmake(&place);
}

static void tells_threads_of_a_poisoned_lock(void **state)
{
    struct place place = made(0);
    struct waiter waiters[2];
    _Atomic int woken = 0;

    (void)state;
    start_waiters(waiters, 2, &place, &woken, LIMIT, 1);
    acquire_when_all_wait(waiters, 2, &place);
    assert_int_equal(brood_condition_notify(place.condition, 1), 1);
    assert_int_equal(brood_lock_poison(place.lock), 0);
    join(waiters, 2, -ENOTRECOVERABLE); /* who hears of it leaves the word to the next */
    assert_int_equal(brood_lock_destroy(place.lock), 0);
    assert_int_equal(brood_condition_destroy(place.condition), 0);
    brood_shared_detach(place.shared);
}

struct steps {
    struct place place;
    int value;
};

static int is_four(void *user)
{
    return ((struct steps *)user)->value == 4;
}

static int is_zero(void *user)
{
    return ((struct steps *)user)->value == 0;
}

static void *wait_for_four(void *argument)
{
    struct steps *steps = argument;
    const struct place *place = &steps->place;

    INSIST(brood_lock_acquire(place->lock, LIMIT) == 0, "acquire");
    steps->value = 0;
    INSIST(brood_condition_notify(place->condition, 1) >= 0, "notify");
    INSIST(brood_condition_wait_for(place->condition, place->lock, is_four, steps, LIMIT) == 0,
           "wait");
    INSIST(steps->value == 4, "%d", steps->value);
    INSIST(brood_lock_release(place->lock) == 0, "release");
    return NULL;
}

static void threads_wait_for_a_predicate(void **state)
{
    struct steps steps = { made(0), -1 };
    pthread_t thread;

    (void)state;
    acquire(&steps.place);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_four, &steps), 0);
    assert_int_equal(brood_condition_wait_for(steps.place.condition, steps.place.lock, is_zero,
                                              &steps, LIMIT),
                     0);
    release(&steps.place);
    for (int i = 0; i < 4; i++) {
        acquire(&steps.place);
        steps.value++;
        assert_in_range(brood_condition_notify(steps.place.condition, 1), 0, 1);
        release(&steps.place);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    unmake(&steps.place);
}

/* ---- conservation: as many wake as were notified ---- */

struct exchange {
    struct place place;
    long made, used;
    int rounds;
};

static int is_some(void *user)
{
    const struct exchange *exchange = user;

    return exchange->made > exchange->used;
}

static void *use(void *argument)
{
    struct exchange *exchange = argument;
    const struct place *place = &exchange->place;

    for (int i = 0; i < exchange->rounds; i++) {
        INSIST(brood_lock_acquire(place->lock, LIMIT) == 0, "acquire");
        INSIST(brood_condition_wait_for(place->condition, place->lock, is_some, exchange,
                                        LIMIT) == 0,
               "wait");
        exchange->used++;
        INSIST(brood_lock_release(place->lock) == 0, "release");
    }
    return NULL;
}

static void no_thread_is_left_behind(void **state)
{
    struct exchange exchange = { made(0), 0, 0, 3000 };
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, &exchange), 0);
    for (int i = 0; i < THREADS * exchange.rounds; i++) {
        acquire(&exchange.place);
        exchange.made++;
        if (i % 2 == 0)
            assert_in_range(brood_condition_notify(exchange.place.condition, 1), 0, 1);
        release(&exchange.place);
        if (i % 2 != 0) /* the lock need not be held for it */
            assert_in_range(brood_condition_notify(exchange.place.condition, 1), 0, 1);
    }
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(exchange.used, exchange.made);
    assert_int_equal(brood_condition_waiters(exchange.place.condition), 0);
    unmake(&exchange.place);
}

/* ---- signals ---- */

static void do_nothing(int signal)
{
    (void)signal;
}

static void signal_does_not_end_a_threads_wait(void **state)
{
    struct sigaction action = { .sa_handler = do_nothing };
    struct place place = made(0);
    struct waiter waiter;
    _Atomic int woken = 0;

    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    start_waiters(&waiter, 1, &place, &woken, LIMIT, 1);
    acquire_when_all_wait(&waiter, 1, &place);
    release(&place);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(pthread_kill(waiter.thread, SIGUSR1), 0);
        test_pause();
    }
    assert_int_equal(atomic_load(&woken), 0);
    assert_int_equal(brood_condition_notify(place.condition, 1), 1);
    join(&waiter, 1, 0);
    action.sa_handler = SIG_DFL;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    unmake(&place);
}

static const struct test_case cases[] = {
    TEST_CASE(waits_as_long_as_it_is_told),
    TEST_CASE(wants_its_lock_held),
    TEST_CASE(refuses_what_is_no_condition),
    TEST_CASE(notifies_only_those_who_wait),
    TEST_CASE(waits_for_a_predicate),
    TEST_CASE(notifies_threads_one_by_one),
    TEST_CASE(notifies_so_many_threads),
    TEST_CASE(notifies_all_threads),
    TEST_CASE(notifies_threads_in_order),
    TEST_CASE(stays_until_its_threads_have_the_lock),
    TEST_CASE(a_thread_that_waits_while_tickets_go_round_is_notified),
    TEST_CASE(threads_give_up_all_levels),
    TEST_CASE(tells_threads_of_a_poisoned_lock),
    TEST_CASE(threads_wait_for_a_predicate),
    TEST_CASE_LIMIT(no_thread_is_left_behind, 60),
    TEST_CASE(signal_does_not_end_a_threads_wait),
};
TEST_SUITE(condition, cases)
