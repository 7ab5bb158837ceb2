/*
 * The event, in one process: what its calls answer, and waiting between threads and signal
 * handlers. After CPython's TestEvent.
 */
#include "../process/helpers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define THREADS 4

static brood_shared *shared; /* a case's own segment */

static brood_event *created(void)
{
    brood_event *event = NULL;

    if (shared == NULL)
        assert_int_equal(brood_shared_create(NULL, &shared), 0);
    assert_int_equal(brood_event_create(shared, &event), 0);
    assert_non_null(event);
    return event;
}

/* Together with the segment. */
static void destroy_last(brood_event *event)
{
    assert_int_equal(brood_event_destroy(event), 0);
    brood_shared_detach(shared);
    shared = NULL;
}

static void is_clear_until_it_is_set(void **state)
{
    brood_event *event = created();

    (void)state;
    assert_int_equal(brood_event_is_set(event), 0);
    assert_int_equal(brood_event_clear(event), 0);
    assert_int_equal(brood_event_is_set(event), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(brood_event_set(event), 0);
        assert_int_equal(brood_event_is_set(event), 1);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(brood_event_clear(event), 0);
        assert_int_equal(brood_event_is_set(event), 0);
    }
    destroy_last(event);
}

static void waits_as_long_as_it_is_told(void **state)
{
    brood_event *event = created();
    int64_t start = test_now();

    (void)state;
    assert_int_equal(brood_event_wait(event, BROOD_NOWAIT), -ETIMEDOUT);
    assert_int_equal(brood_event_wait(event, 30 * MS), -ETIMEDOUT);
    assert_true(test_now() - start >= 30 * MS);
    assert_int_equal(brood_event_set(event), 0);
    assert_int_equal(brood_event_wait(event, BROOD_NOWAIT), 0);
    assert_int_equal(brood_event_wait(event, 30 * MS), 0);
    assert_int_equal(brood_event_wait(event, BROOD_FOREVER), 0);
    assert_int_equal(brood_event_wait(event, INT64_MAX), 0);
    destroy_last(event);
}

static void refuses_what_is_no_event(void **state)
{
    _Alignas(64) uint64_t nothing[8] = { 0 };
    brood_event *event = created();
    brood_lock *lock = NULL;

    (void)state;
    assert_int_equal(brood_event_create(NULL, NULL), -EINVAL);
    assert_int_equal(brood_event_set(NULL), -EINVAL);
    assert_int_equal(brood_event_clear(NULL), -EINVAL);
    assert_int_equal(brood_event_is_set(NULL), -EINVAL);
    assert_int_equal(brood_event_wait(NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_event_set((brood_event *)nothing), -EINVAL);
    assert_int_equal(brood_event_wait((brood_event *)nothing, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_lock_create(shared, NULL, &lock), 0);
    assert_int_equal(brood_event_set((brood_event *)lock), -EINVAL);
    assert_int_equal(brood_event_wait(event, -2), -EINVAL);
    assert_int_equal(brood_event_set(event), 0);
    assert_int_equal(brood_event_wait(event, -2), -EINVAL);
    assert_int_equal(brood_event_destroy(NULL), 0);
    assert_int_equal(brood_event_destroy(event), 0);
    assert_int_equal(brood_event_destroy(event), -EINVAL);
    assert_int_equal(brood_event_set(event), -EINVAL);
    assert_int_equal(brood_lock_destroy(lock), 0);
    brood_shared_detach(shared);
}

/* ---- threads ---- */

struct waiter {
    pthread_t thread;
    brood_event *event;
    _Atomic int tid;
    int result;
};

static void *wait_for_event(void *argument)
{
    struct waiter *waiter = argument;

    atomic_store(&waiter->tid, (int)syscall(SYS_gettid));
    waiter->result = brood_event_wait(waiter->event, brood_seconds(20));
    return NULL;
}

/* Waits until a thread sleeps, and goes on sleeping. */
static void await_sleep(const _Atomic int *tid)
{
    int64_t deadline = test_now() + 20000 * MS;

    for (int looks = 0; looks < 5;) {
        assert_true(test_now() < deadline);
        test_pause();
        looks = atomic_load(tid) > 0 && process_state(atomic_load(tid)) == 'S' ? looks + 1 : 0;
    }
}

static void start_waiter(struct waiter *waiter, brood_event *event)
{
    waiter->event = event;
    waiter->result = -1;
    atomic_init(&waiter->tid, 0);
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_for_event, waiter), 0);
}

static void join_waiter(struct waiter *waiter)
{
    assert_int_equal(pthread_join(waiter->thread, NULL), 0);
    assert_int_equal(waiter->result, 0);
}

static void wakes_all_threads(void **state)
{
    brood_event *event = created();
    struct waiter waiters[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        start_waiter(&waiters[i], event);
    for (int i = 0; i < THREADS; i++)
        await_sleep(&waiters[i].tid);
    assert_int_equal(brood_event_set(event), 0);
    for (int i = 0; i < THREADS; i++)
        join_waiter(&waiters[i]);
    destroy_last(event);
}

/* Also those see a set that is over before they are awake. */
static void threads_miss_no_set(void **state)
{
    brood_event *event = created();
    struct waiter waiters[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        start_waiter(&waiters[i], event);
    for (int i = 0; i < THREADS; i++)
        await_sleep(&waiters[i].tid);
    assert_int_equal(brood_event_set(event), 0);
    assert_int_equal(brood_event_clear(event), 0);
    for (int i = 0; i < THREADS; i++)
        join_waiter(&waiters[i]);
    assert_int_equal(brood_event_is_set(event), 0);
    destroy_last(event);
}

struct pair {
    brood_event *there, *back;
    int rounds;
};

static void *answer(void *argument)
{
    struct pair *pair = argument;

    for (int i = 0; i < pair->rounds; i++) {
        INSIST(brood_event_wait(pair->there, brood_seconds(20)) == 0, "round %d", i);
        INSIST(brood_event_clear(pair->there) == 0, "round %d", i);
        INSIST(brood_event_set(pair->back) == 0, "round %d", i);
    }
    return NULL;
}

static void threads_answer_each_other(void **state)
{
    struct pair pair = { created(), created(), 2000 };
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, answer, &pair), 0);
    for (int i = 0; i < pair.rounds; i++) {
        assert_int_equal(brood_event_set(pair.there), 0);
        assert_int_equal(brood_event_wait(pair.back, brood_seconds(20)), 0);
        assert_int_equal(brood_event_clear(pair.back), 0);
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(brood_event_destroy(pair.there), 0);
    destroy_last(pair.back);
}

/* ---- signals ---- */

static brood_event *handled;
static _Atomic int signals;

static void set_in_handler(int signal)
{
    (void)signal;
    (void)brood_event_set(handled);
    (void)atomic_fetch_add(&signals, 1);
}

static void do_nothing(int signal)
{
    (void)signal;
    (void)atomic_fetch_add(&signals, 1);
}

static void on_usr1(void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler };

    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
}

/* The very thread that waits runs the handler. */
static void handler_wakes_its_own_thread(void **state)
{
    struct waiter waiter;

    (void)state;
    handled = created();
    on_usr1(set_in_handler);
    start_waiter(&waiter, handled);
    await_sleep(&waiter.tid);
    assert_int_equal(pthread_kill(waiter.thread, SIGUSR1), 0);
    join_waiter(&waiter);
    on_usr1(SIG_DFL);
    destroy_last(handled);
}

static void signal_does_not_end_a_threads_wait(void **state)
{
    brood_event *event = created();
    struct waiter waiter;

    (void)state;
    atomic_store(&signals, 0);
    on_usr1(do_nothing);
    start_waiter(&waiter, event);
    for (int i = 1; i <= 3; i++) {
        await_sleep(&waiter.tid);
        assert_int_equal(pthread_kill(waiter.thread, SIGUSR1), 0);
        while (atomic_load(&signals) < i)
            test_pause();
    }
    await_sleep(&waiter.tid);
    assert_int_equal(brood_event_set(event), 0);
    join_waiter(&waiter);
    on_usr1(SIG_DFL);
    destroy_last(event);
}

static _Atomic int busy;

static void *use_event(void *argument)
{
    (void)argument;
    while (atomic_load(&busy)) {
        INSIST(brood_event_set(handled) == 0, "set");
        INSIST(brood_event_clear(handled) == 0, "clear");
        (void)brood_event_wait(handled, 20000);
    }
    return NULL;
}

/* Handlers interrupt the event's own calls at any point of them. */
static void handler_may_interrupt_a_threads_calls(void **state)
{
    pthread_t thread;

    (void)state;
    handled = created();
    atomic_store(&signals, 0);
    atomic_store(&busy, 1);
    on_usr1(set_in_handler);
    assert_int_equal(pthread_create(&thread, NULL, use_event, NULL), 0);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
        if (i % 16 == 0)
            assert_int_equal(brood_event_wait(handled, brood_seconds(20)), 0);
    }
    atomic_store(&busy, 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(atomic_load(&signals) > 0);
    on_usr1(SIG_DFL);
    destroy_last(handled);
}

static const struct test_case cases[] = {
    TEST_CASE(is_clear_until_it_is_set),
    TEST_CASE(waits_as_long_as_it_is_told),
    TEST_CASE(refuses_what_is_no_event),
    TEST_CASE(wakes_all_threads),
    TEST_CASE(threads_miss_no_set),
    TEST_CASE(threads_answer_each_other),
    TEST_CASE(handler_wakes_its_own_thread),
    TEST_CASE(signal_does_not_end_a_threads_wait),
    TEST_CASE(handler_may_interrupt_a_threads_calls),
};
TEST_SUITE(event, cases)
