/*
 * The semaphore, in one process: what its calls answer, and its permits between threads.
 * After CPython's TestSemaphore.
 */
#include "../process/helpers.h"

#include <pthread.h>
#include <stdatomic.h>

#define THREADS 4

static brood_shared *shared; /* a case's own segment */

static int create_in_segment(uint32_t value, uint32_t value_max, uint32_t flags,
                             brood_semaphore **ret_semaphore)
{
    brood_semaphore_options options = BROOD_SEMAPHORE_OPTIONS_INIT;

    if (shared == NULL)
        assert_int_equal(brood_shared_create(NULL, &shared), 0);
    options.value_max = value_max;
    options.flags = flags;
    return brood_semaphore_create(shared, value, &options, ret_semaphore);
}

static brood_semaphore *created(uint32_t value, uint32_t value_max, uint32_t flags)
{
    brood_semaphore *semaphore = NULL;

    assert_int_equal(create_in_segment(value, value_max, flags, &semaphore), 0);
    assert_non_null(semaphore);
    return semaphore;
}

/* Together with the segment. */
static void destroy_last(brood_semaphore *semaphore)
{
    assert_int_equal(brood_semaphore_destroy(semaphore), 0);
    brood_shared_detach(shared);
    shared = NULL;
}

/* From 2 to 0 and back. */
static void assert_counts(brood_semaphore *semaphore)
{
    assert_int_equal(brood_semaphore_value(semaphore), 2);
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_FOREVER), 0);
    assert_int_equal(brood_semaphore_value(semaphore), 1);
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), 0);
    assert_int_equal(brood_semaphore_value(semaphore), 0);
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), -ETIMEDOUT);
    assert_int_equal(brood_semaphore_value(semaphore), 0);
    assert_int_equal(brood_semaphore_release(semaphore, 1), 0);
    assert_int_equal(brood_semaphore_value(semaphore), 1);
    assert_int_equal(brood_semaphore_release(semaphore, 1), 0);
    assert_int_equal(brood_semaphore_value(semaphore), 2);
}

static void counts(void **state)
{
    brood_semaphore *counting = created(2, 0, BROOD_SEMAPHORE_COUNTING);

    (void)state;
    assert_counts(counting);
    assert_int_equal(brood_semaphore_release(counting, 1), 0);
    assert_int_equal(brood_semaphore_value(counting), 3);
    assert_int_equal(brood_semaphore_release(counting, 7), 0);
    assert_int_equal(brood_semaphore_value(counting), 10);
    destroy_last(counting);
}

static void is_bounded(void **state)
{
    brood_semaphore *owned = created(2, 0, 0);
    brood_semaphore *counting = created(2, 2, BROOD_SEMAPHORE_COUNTING);

    (void)state;
    assert_counts(owned);
    assert_int_equal(brood_semaphore_release(owned, 1), -EOVERFLOW);
    assert_int_equal(brood_semaphore_value(owned), 2);
    assert_counts(counting);
    assert_int_equal(brood_semaphore_release(counting, 1), -EOVERFLOW);
    assert_int_equal(brood_semaphore_value(counting), 2);
    assert_int_equal(brood_semaphore_destroy(owned), 0);
    destroy_last(counting);
}

static void grows_to_its_bound(void **state)
{
    brood_semaphore *semaphore = created(0, 3, 0);

    (void)state;
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), -ETIMEDOUT);
    assert_int_equal(brood_semaphore_release(semaphore, 2), 0);
    assert_counts(semaphore);
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), 0);
    assert_int_equal(brood_semaphore_release(semaphore, 1), 0); /* that one, not a new one */
    assert_int_equal(brood_semaphore_release(semaphore, 1), 0);
    assert_int_equal(brood_semaphore_value(semaphore), 3);
    assert_int_equal(brood_semaphore_release(semaphore, 1), -EOVERFLOW);
    assert_int_equal(brood_semaphore_value(semaphore), 3);
    destroy_last(semaphore);
}

static void releases_several_or_none(void **state)
{
    brood_semaphore *semaphore = created(5, 7, 0);

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), 0);
    assert_int_equal(brood_semaphore_release(semaphore, 7), -EOVERFLOW);
    assert_int_equal(brood_semaphore_release(semaphore, UINT32_MAX), -EOVERFLOW);
    assert_int_equal(brood_semaphore_value(semaphore), 1);
    assert_int_equal(brood_semaphore_release(semaphore, 3), 0);
    assert_int_equal(brood_semaphore_value(semaphore), 4);
    assert_int_equal(brood_semaphore_release(semaphore, 3), 0); /* one held, and two new */
    assert_int_equal(brood_semaphore_value(semaphore), 7);
    assert_int_equal(brood_semaphore_release(semaphore, 1), -EOVERFLOW);
    for (int i = 0; i < 7; i++)
        assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), 0);
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), -ETIMEDOUT);
    destroy_last(semaphore);
}

static void waits_as_long_as_it_is_told(void **state)
{
    brood_semaphore *semaphores[] = { created(0, 1, 0),
                                      created(0, 0, BROOD_SEMAPHORE_COUNTING) };

    (void)state;
    for (int i = 0; i < 2; i++) {
        int64_t start = test_now();

        assert_int_equal(brood_semaphore_acquire(semaphores[i], BROOD_NOWAIT), -ETIMEDOUT);
        assert_int_equal(brood_semaphore_acquire(semaphores[i], 1), -ETIMEDOUT);
        assert_int_equal(brood_semaphore_acquire(semaphores[i], 30 * MS), -ETIMEDOUT);
        assert_true(test_now() - start >= 30 * MS);
        assert_int_equal(brood_semaphore_release(semaphores[i], 1), 0);
        assert_int_equal(brood_semaphore_acquire(semaphores[i], INT64_MAX), 0);
    }
    assert_int_equal(brood_semaphore_destroy(semaphores[0]), 0);
    destroy_last(semaphores[1]);
}

static void refuses_what_cannot_be(void **state)
{
    brood_semaphore_options newer[2] = { BROOD_SEMAPHORE_OPTIONS_INIT,
                                         BROOD_SEMAPHORE_OPTIONS_INIT };
    brood_semaphore *semaphore = created(1, 0, 0), *other = NULL;
    _Alignas(64) uint64_t nothing[16] = { 0 };

    (void)state;
    newer[0].size = sizeof newer;
    assert_int_equal(brood_semaphore_create(shared, 1, newer, &other), -E2BIG);
    newer[0].size = 4;
    assert_int_equal(brood_semaphore_create(shared, 1, newer, &other), -EINVAL);
    assert_int_equal(brood_semaphore_create(shared, 1, NULL, NULL), -EINVAL);
    assert_int_equal(create_in_segment(1, 0, 2, &other), -EINVAL);
    assert_int_equal(create_in_segment(0, 0, 0, &other), -EINVAL);
    assert_int_equal(create_in_segment(2, 1, 0, &other), -EINVAL);
    assert_int_equal(create_in_segment(BROOD_SEMAPHORE_OWNED_MAX + 1, 0, 0, &other), -EINVAL);
    assert_int_equal(
        create_in_segment(0, BROOD_SEMAPHORE_VALUE_MAX + 1, BROOD_SEMAPHORE_COUNTING, &other),
        -EINVAL);
    assert_null(other);
    assert_int_equal(brood_semaphore_acquire(NULL, BROOD_NOWAIT), -EINVAL);
    assert_int_equal(brood_semaphore_release(NULL, 1), -EINVAL);
    assert_int_equal(brood_semaphore_value(NULL), -EINVAL);
    assert_int_equal(brood_semaphore_acquire((brood_semaphore *)nothing, BROOD_NOWAIT),
                     -EINVAL);
    assert_int_equal(brood_semaphore_acquire(semaphore, -2), -EINVAL);
    assert_int_equal(brood_semaphore_value(semaphore), 1);
    assert_int_equal(brood_semaphore_release(semaphore, 0), -EINVAL);
    assert_int_equal(brood_semaphore_destroy(NULL), 0);
    assert_int_equal(brood_semaphore_destroy(semaphore), 0);
    assert_int_equal(brood_semaphore_destroy(semaphore), -EINVAL);
    assert_int_equal(brood_semaphore_acquire(semaphore, BROOD_NOWAIT), -EINVAL);
    brood_shared_detach(shared);
}

static void can_be_as_large_as_it_says(void **state)
{
    brood_semaphore *owned = created(BROOD_SEMAPHORE_OWNED_MAX, 0, 0);
    brood_semaphore *counting =
        created(BROOD_SEMAPHORE_VALUE_MAX - 1, 0, BROOD_SEMAPHORE_COUNTING);

    (void)state;
    for (uint32_t i = 0; i < BROOD_SEMAPHORE_OWNED_MAX; i++)
        assert_int_equal(brood_semaphore_acquire(owned, BROOD_NOWAIT), 0);
    assert_int_equal(brood_semaphore_acquire(owned, BROOD_NOWAIT), -ETIMEDOUT);
    assert_int_equal(brood_semaphore_value(owned), 0);
    for (uint32_t i = 0; i < BROOD_SEMAPHORE_OWNED_MAX / 2; i++)
        assert_int_equal(brood_semaphore_release(owned, 1), 0);
    assert_int_equal(brood_semaphore_release(owned, BROOD_SEMAPHORE_OWNED_MAX / 2), 0);
    assert_int_equal(brood_semaphore_value(owned), BROOD_SEMAPHORE_OWNED_MAX);
    assert_int_equal(brood_semaphore_release(counting, 2), -EOVERFLOW);
    assert_int_equal(brood_semaphore_release(counting, 1), 0);
    assert_int_equal(brood_semaphore_value(counting), BROOD_SEMAPHORE_VALUE_MAX);
    assert_int_equal(brood_semaphore_release(counting, 1), -EOVERFLOW);
    assert_int_equal(brood_semaphore_acquire(counting, BROOD_NOWAIT), 0);
    assert_int_equal(brood_semaphore_destroy(owned), 0);
    destroy_last(counting);
}

/* One that was made where another one was, which this thread remembers. */
static void forgets_what_was_destroyed(void **state)
{
    brood_semaphore *large = created(100, 0, 0), *small;

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(brood_semaphore_acquire(large, BROOD_NOWAIT), 0);
    assert_int_equal(brood_semaphore_destroy(large), 0);
    small = created(1, 0, 0);
    assert_int_equal(brood_semaphore_acquire(small, BROOD_NOWAIT), 0);
    assert_int_equal(brood_semaphore_acquire(small, BROOD_NOWAIT), -ETIMEDOUT);
    assert_int_equal(brood_semaphore_release(small, 1), 0);
    destroy_last(small);
}

/* ---- threads ---- */

struct traffic {
    brood_semaphore *semaphore;
    _Atomic int inside, most;
    _Atomic int over;
    int rounds;
};

static void *acquire_one(void *argument)
{
    INSIST(brood_semaphore_acquire(argument, brood_seconds(20)) == 0, "acquire");
    return NULL;
}

static void *release_one(void *argument)
{
    INSIST(brood_semaphore_release(argument, 1) == 0, "release");
    return NULL;
}

static void in_thread(void *(*body)(void *), void *argument)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, body, argument), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

/* What a thread acquired is its process's: another may release it, and its end does not. */
static void threads_share_permits(void **state)
{
    brood_semaphore *semaphore = created(2, 0, 0);

    (void)state;
    in_thread(acquire_one, semaphore);
    assert_int_equal(brood_semaphore_value(semaphore), 1);
    in_thread(acquire_one, semaphore);
    assert_int_equal(brood_semaphore_value(semaphore), 0);
    assert_int_equal(brood_semaphore_acquire(semaphore, 150 * MS), -ETIMEDOUT);
    assert_int_equal(brood_semaphore_release(semaphore, 1), 0);
    in_thread(release_one, semaphore);
    assert_int_equal(brood_semaphore_value(semaphore), 2);
    assert_int_equal(brood_semaphore_release(semaphore, 1), -EOVERFLOW);
    destroy_last(semaphore);
}

static void *come_and_go(void *argument)
{
    struct traffic *traffic = argument;

    for (int i = 0; i < traffic->rounds; i++) {
        int inside;

        INSIST(brood_semaphore_acquire(traffic->semaphore, brood_seconds(20)) == 0, "round %d",
               i);
        inside = atomic_fetch_add(&traffic->inside, 1) + 1;
        if (inside > atomic_load(&traffic->most))
            atomic_store(&traffic->most, inside);
        (void)atomic_fetch_sub(&traffic->inside, 1);
        INSIST(brood_semaphore_release(traffic->semaphore, 1) == 0, "round %d", i);
    }
    return NULL;
}

static void assert_admits(brood_semaphore *semaphore, int most)
{
    struct traffic traffic = { .semaphore = semaphore, .rounds = 20000 };
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &traffic), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_in_range(atomic_load(&traffic.most), 1, most);
    assert_int_equal(brood_semaphore_value(semaphore), most);
}

static void admits_so_many_threads(void **state)
{
    brood_semaphore *counting;

    (void)state;
    assert_admits(created(1, 0, 0), 1);
    assert_admits(created(3, 0, 0), 3);
    counting = created(2, 0, BROOD_SEMAPHORE_COUNTING);
    assert_admits(counting, 2);
    destroy_last(counting);
}

static void *hold_one_at_a_time(void *argument)
{
    struct traffic *traffic = argument;

    while (!atomic_load(&traffic->over)) {
        INSIST(brood_semaphore_acquire(traffic->semaphore, BROOD_NOWAIT) == 0, "acquire");
        INSIST(brood_semaphore_release(traffic->semaphore, 1) == 0, "release");
    }
    return NULL;
}

/* Three threads hold one of three permits each, at most, so there is one for each of them at
 * every moment, wherever it is; and never more than three nor fewer than none. */
static void threads_get_exact_answers(void **state)
{
    struct traffic traffic = { .semaphore = created(3, 0, 0) };
    pthread_t threads[2];

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hold_one_at_a_time, &traffic), 0);
    for (int i = 0; i < 50000; i++) {
        assert_in_range(brood_semaphore_value(traffic.semaphore), 1, 3);
        assert_int_equal(brood_semaphore_acquire(traffic.semaphore, BROOD_NOWAIT), 0);
        assert_int_equal(brood_semaphore_release(traffic.semaphore, 1), 0);
    }
    atomic_store(&traffic.over, 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    destroy_last(traffic.semaphore);
}

static void *acquire_all(void *argument)
{
    struct traffic *traffic = argument;

    for (int i = 0; i < traffic->rounds; i++)
        INSIST(brood_semaphore_acquire(traffic->semaphore, brood_seconds(20)) == 0, "%d", i);
    return NULL;
}

/* Several permits at once reach several sleepers. */
static void several_permits_wake_several_threads(void **state)
{
    struct traffic traffic = { .semaphore = created(0, 0, BROOD_SEMAPHORE_COUNTING),
                               .rounds = 2000 };
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, acquire_all, &traffic), 0);
    for (int i = 0; i < traffic.rounds; i++)
        assert_int_equal(brood_semaphore_release(traffic.semaphore, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(brood_semaphore_value(traffic.semaphore), 0);
    destroy_last(traffic.semaphore);
}

/* ---- signals ---- */

static brood_semaphore *handled;

static void release_in_handler(int signal)
{
    (void)signal;
    (void)brood_semaphore_release(handled, 1);
}

static void handler_may_release_to_a_thread(void **state)
{
    struct sigaction action = { .sa_handler = release_in_handler };
    struct traffic traffic = { .rounds = 1 };
    pthread_t thread;

    (void)state;
    handled = created(0, 0, BROOD_SEMAPHORE_COUNTING);
    traffic.semaphore = handled;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    for (int i = 0; i < 500; i++) {
        assert_int_equal(pthread_create(&thread, NULL, acquire_all, &traffic), 0);
        assert_int_equal(pthread_kill(thread, SIGUSR1), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    }
    action.sa_handler = SIG_DFL;
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    assert_int_equal(brood_semaphore_value(handled), 0);
    destroy_last(handled);
}

static const struct test_case cases[] = {
    TEST_CASE(counts),
    TEST_CASE(is_bounded),
    TEST_CASE(grows_to_its_bound),
    TEST_CASE(releases_several_or_none),
    TEST_CASE(waits_as_long_as_it_is_told),
    TEST_CASE(refuses_what_cannot_be),
    TEST_CASE(can_be_as_large_as_it_says),
    TEST_CASE(forgets_what_was_destroyed),
    TEST_CASE(threads_share_permits),
    TEST_CASE_LIMIT(admits_so_many_threads, 60),
    TEST_CASE_LIMIT(threads_get_exact_answers, 60),
    TEST_CASE(several_permits_wake_several_threads),
    TEST_CASE(handler_may_release_to_a_thread),
};
TEST_SUITE(semaphore, cases)
